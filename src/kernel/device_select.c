/* kernel/device_select.c: the row of block selection that runs on a CUDA device, as the registry
 * sees it: it refuses, stages (device_stage.h) and hands on to the backend.
 */
#include "kernel/device_stage.h"
#include "kernel/select.h"

#define MOST_BLOCKS 6144 /* a row of scores and the table of blocks lie in shared memory */
#define MOST_TILES  64   /* of a query block */

const char *filk_select_f32_tile__sm80_refuse(const void *problem)
{
    const filk_select_problem *p = problem;
    if (p->head_dim < 1 || p->head_dim > 128) return "takes head dim 1 to 128";
    if (p->mk > MOST_BLOCKS) return "takes at most 6144 key blocks";
    for (int32_t u = 0; p->q_tiles != NULL && u < p->mq; u++)
        if (p->q_tiles[u + 1] - p->q_tiles[u] > MOST_TILES)
            return "takes at most 64 tiles to a query block";
    return NULL;
}

size_t filk_select_f32_tile__sm80_workspace(const void *problem, int32_t n_threads)
{
    const filk_backend_kernels *k = filk_device_kernels();
    (void)n_threads;
    return k != NULL ? k->select.workspace(problem) : 0;
}

fil_status filk_select_f32_tile__sm80_run(fil_ctx *ctx, const void *problem, const void *args,
                                          void *workspace)
{
    const filk_backend_kernels *k     = filk_device_kernels();
    const filk_select_problem  *p     = problem;
    const size_t                rows  = (size_t)p->heads * (size_t)p->mq;
    const size_t                words = (size_t)(p->mk + 31) / 32;
    const size_t                each  = sizeof(float) * (size_t)p->head_dim;
    filk_select_args            a     = *(const filk_select_args *)args;
    const int64_t               lists = a.count_stride_h != 0 ? p->kv_heads : 1;
    filk_stage_area             count = filk_stage_area_of(lists, 1, a.count_stride_h, 1, p->tk, 4);
    filk_stage                  s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    a.q     = filk_stage_in(&s, a.q, each * (size_t)p->tq * (size_t)p->heads);
    a.k     = filk_stage_in(&s, a.k, each * (size_t)p->tk * (size_t)p->kv_heads);
    a.count = filk_stage_in_area(&s, a.count, &count, 4);
    if (lists > 1) a.count_stride_h = count.stride[0] / 4;
    a.mask    = filk_stage_out(&s, a.mask, sizeof(uint32_t) * rows * words);
    a.score   = filk_stage_out(&s, a.score, sizeof(float) * rows * (size_t)p->mk);
    workspace = filk_stage_workspace(&s, workspace, k->select.workspace(problem));
    if (s.status == FIL_OK) s.status = k->select.run(s.device->handle, problem, &a, workspace);
    return filk_stage_end(&s, "select");
}
