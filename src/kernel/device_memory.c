/* kernel/device_memory.c: the rows of mass, pooling and norms that run on a CUDA device, as the
 * registry sees them: they refuse, stage (device_stage.h) and hand on to the backend.
 */
#include "kernel/device_stage.h"
#include "kernel/mass.h"
#include "kernel/norm.h"
#include "kernel/pooling.h"

static int64_t size_of(fil_dtype dtype)
{
    return (int64_t)fil_dtype_bits(dtype) / 8;
}

/* ---- mass ----------------------------------------------------------------------------------- */

const char *filk_mass_bf16_mma_64x64__sm80_refuse(const void *problem)
{
    const filk_mass_problem *p = problem;
    if (p->dtype != FIL_BF16) return "takes bf16 only";
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 and 128 only";
    return NULL;
}

size_t filk_mass_bf16_mma_64x64__sm80_workspace(const void *problem, int32_t n_threads)
{
    const filk_backend_kernels *k = filk_device_kernels();
    (void)n_threads;
    return k != NULL ? k->mass_bf16_mma.workspace(problem) : 0;
}

fil_status filk_mass_bf16_mma_64x64__sm80_run(fil_ctx *ctx, const void *problem, const void *args,
                                              void *workspace)
{
    const filk_backend_kernels *k    = filk_device_kernels();
    const filk_mass_problem    *p    = problem;
    const size_t                rows = sizeof(float) * (size_t)(p->heads * p->nq);
    filk_mass_args              a    = *(const filk_mass_args *)args;
    const float                *in   = a.lse_in;
    filk_stage                  s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    a.q      = filk_stage_view(&s, &a.q, p->nq, p->heads, p->head_dim, 2, 1);
    a.k      = filk_stage_view(&s, &a.k, p->nk, p->kv_heads, p->head_dim, 2, 1);
    a.lse_in = filk_stage_in(&s, in, rows);
    /* One array may be both: then it is one on the device too where it lies there already. */
    a.lse_out = filk_stage_out(&s, a.lse_out, rows);
    a.mass    = filk_stage_out(&s, a.mass,
                               sizeof(float) * (size_t)p->heads * (size_t)p->mq * (size_t)p->mk);
    workspace = filk_stage_workspace(&s, workspace, k->mass_bf16_mma.workspace(problem));
    if (s.status == FIL_OK)
        s.status = k->mass_bf16_mma.run(s.device->handle, problem, &a, workspace);
    return filk_stage_end(&s, "mass");
}

/* ---- pooling -------------------------------------------------------------------------------- */

const char *filk_pooling_any_run__sm80_refuse(const void *problem)
{
    return filk_is_plain(((const filk_pooling_problem *)problem)->dtype)
               ? NULL
               : "takes bf16 and f32 only";
}

size_t filk_pooling_any_run__sm80_workspace(const void *problem, int32_t n_threads)
{
    const filk_backend_kernels *k = filk_device_kernels();
    (void)n_threads;
    return k != NULL ? k->pooling.workspace(problem) : 0;
}

fil_status filk_pooling_any_run__sm80_run(fil_ctx *ctx, const void *problem, const void *args,
                                          void *workspace)
{
    const filk_backend_kernels *k      = filk_device_kernels();
    const filk_pooling_problem *p      = problem;
    filk_pooling_args           a      = *(const filk_pooling_args *)args;
    const size_t                cells  = (size_t)p->m * (size_t)p->heads * (size_t)p->head_dim;
    const int64_t               lists  = a.sinks_stride_h != 0 ? p->heads : 1;
    const int64_t               counts = a.count_stride_h != 0 ? p->heads : 1;
    filk_stage_area sinks = filk_stage_area_of(lists, 1, a.sinks_stride_h, 1, a.n_sinks, 4);
    filk_stage_area count = filk_stage_area_of(counts, 1, a.count_stride_h, 1, p->m, 4);
    filk_stage      s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    a.x     = filk_stage_view(&s, &a.x, p->n, p->heads, p->head_dim, size_of(p->dtype), 1);
    a.sinks = filk_stage_in_area(&s, a.sinks, &sinks, 4);
    if (lists > 1) a.sinks_stride_h = sinks.stride[0] / 4;
    a.out_f32  = filk_stage_out(&s, a.out_f32, cells * sizeof(float));
    a.out_bf16 = filk_stage_out(&s, a.out_bf16, cells * sizeof(uint16_t));
    a.count    = filk_stage_out_area(&s, a.count, &count, 4, 0);
    if (counts > 1) a.count_stride_h = count.stride[0] / 4;
    workspace = filk_stage_workspace(&s, workspace, k->pooling.workspace(problem));
    if (s.status == FIL_OK) s.status = k->pooling.run(s.device->handle, problem, &a, workspace);
    return filk_stage_end(&s, "pooling");
}

/* ---- norm ----------------------------------------------------------------------------------- */

const char *filk_norm_any_row__sm80_refuse(const void *problem)
{
    const filk_norm_problem *p = problem;
    return filk_is_plain(p->dtype) && filk_is_plain(p->out_dtype) ? NULL
                                                                  : "takes bf16 and f32 only";
}

size_t filk_norm_any_row__sm80_workspace(const void *problem, int32_t n_threads)
{
    const filk_backend_kernels *k = filk_device_kernels();
    (void)n_threads;
    return k != NULL ? k->norm.workspace(problem) : 0;
}

/* x and out: one array on the device where they are one on the host. */
static void stage_rows(filk_stage *s, const filk_norm_problem *p, filk_norm_args *a)
{
    const int64_t   in    = size_of(p->dtype);
    const int64_t   out   = size_of(p->out_dtype);
    filk_stage_area from  = filk_stage_area_of(p->rows, 1, a->x_stride, 1, p->dim, in);
    filk_stage_area to    = filk_stage_area_of(p->rows, 1, a->out_stride, 1, p->dim, out);
    const int       alias = a->out == a->x;
    if (!alias) a->x = filk_stage_in_area(s, a->x, &from, in);
    a->out        = filk_stage_out_area(s, a->out, &to, out, alias);
    a->out_stride = to.stride[0] / out;
    a->x_stride   = alias ? a->out_stride : from.stride[0] / in;
    if (alias) a->x = a->out;
}

fil_status filk_norm_any_row__sm80_run(fil_ctx *ctx, const void *problem, const void *args,
                                       void *workspace)
{
    const filk_backend_kernels *k      = filk_device_kernels();
    const filk_norm_problem    *p      = problem;
    const size_t                vector = sizeof(float) * (size_t)p->dim;
    filk_norm_args              a      = *(const filk_norm_args *)args;
    const size_t angles = sizeof(float) * (size_t)p->rows * (size_t)(p->head_dim / 2);
    filk_stage   s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    stage_rows(&s, p, &a);
    a.a       = filk_stage_in(&s, a.a, vector);
    a.b       = p->kind != FILK_NORM_RMS ? filk_stage_in(&s, a.b, vector) : NULL;
    a.cos     = filk_stage_in(&s, a.cos, angles);
    a.sin     = filk_stage_in(&s, a.sin, angles);
    workspace = filk_stage_workspace(&s, workspace, k->norm.workspace(problem));
    if (s.status == FIL_OK) s.status = k->norm.run(s.device->handle, problem, &a, workspace);
    return filk_stage_end(&s, "norm");
}
