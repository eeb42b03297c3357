/* kernel/device_attention.c: the rows of attention that run on a CUDA device, as the registry sees
 * them: they refuse, stage (device_stage.h) and hand on to the backend. The kernels are in
 * kernel/cuda. A row for Hopper reads through tensor maps, which want 16-byte bases and strides;
 * views on the device that have others go to the row for any alignment.
 */
#include "kernel/attention.h"
#include "kernel/cuda/attn_plan.h"
#include "kernel/device_stage.h"

#define TMA_ALIGN 16

static const char *refuse(const void *problem)
{
    const filk_attn_problem *p = problem;
    if (p->dtype != FIL_BF16) return "takes bf16 only";
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 and 128 only";
    return NULL;
}

static void stage_tail(filk_stage *s, const filk_attn_problem *p, filk_attn_args *a, int64_t align)
{
    const int64_t lists = a->tail_count_stride_h != 0 ? p->kv_heads : 1;
    if (a->tail_k.data == NULL) { /* what belongs to a tail is not looked at */
        a->tail_v.data = NULL;
        a->tail_count  = NULL;
        a->tail_factor = NULL;
        return;
    }
    a->tail_k = filk_stage_view(s, &a->tail_k, p->mk, p->kv_heads, p->head_dim, 2, align);
    a->tail_v = filk_stage_view(s, &a->tail_v, p->mk, p->kv_heads, p->head_dim, 2, align);
    filk_stage_area counts = filk_stage_area_of(lists, 1, a->tail_count_stride_h, 1, p->mk, 4);
    a->tail_count          = filk_stage_in_area(s, a->tail_count, &counts, 4);
    a->tail_count_stride_h = lists > 1 ? counts.stride[0] / 4 : 0;
    a->tail_factor         = filk_stage_in(s, a->tail_factor, (size_t)p->heads * sizeof(float));
}

static void stage_sets(filk_stage *s, const filk_attn_problem *p, filk_attn_args *a)
{
    const int64_t   words = (p->mk + 31) / 32;
    const int64_t   maps  = a->mask_stride_h != 0 ? p->heads : 1;
    const int64_t   lists = a->sinks_stride_h != 0 ? p->kv_heads : 1;
    filk_stage_area mask  = filk_stage_area_of(maps, 1, a->mask_stride_h, 1, p->mq * words, 4);
    filk_stage_area sinks = filk_stage_area_of(lists, 1, a->sinks_stride_h, 1, a->n_sinks, 4);
    a->mask               = filk_stage_in_area(s, a->mask, &mask, 4);
    a->sinks              = filk_stage_in_area(s, a->sinks, &sinks, 4);
    if (maps > 1) a->mask_stride_h = mask.stride[0] / 4;
    if (lists > 1) a->sinks_stride_h = sinks.stride[0] / 4;
}

static void stage_args(filk_stage *s, const filk_attn_problem *p, filk_attn_args *a, int64_t align)
{
    filk_stage_area out =
        filk_stage_area_of(p->nq, p->heads, a->out_stride_n, a->out_stride_h, p->head_dim, 2);
    a->q = filk_stage_view(s, &a->q, p->nq, p->heads, p->head_dim, 2, align);
    a->k = filk_stage_view(s, &a->k, p->nk, p->kv_heads, p->head_dim, 2, align);
    a->v = filk_stage_view(s, &a->v, p->nk, p->kv_heads, p->head_dim, 2, align);
    stage_sets(s, p, a);
    stage_tail(s, p, a, align);
    a->out          = filk_stage_out_area(s, a->out, &out, align, 0);
    a->out_stride_n = out.stride[0] / 2;
    a->out_stride_h = out.stride[1] / 2;
    a->lse          = filk_stage_out(s, a->lse, sizeof(float) * (size_t)(p->heads * p->nq));
}

static int suits_tma(const void *data, int64_t stride_n, int64_t stride_h)
{
    return ((uintptr_t)data | (uintptr_t)(stride_n * 2) | (uintptr_t)(stride_h * 2)) % TMA_ALIGN ==
           0;
}

static int all_suit_tma(const filk_attn_args *a)
{
    return suits_tma(a->q.data, a->q.stride_n, a->q.stride_h) &&
           suits_tma(a->k.data, a->k.stride_n, a->k.stride_h) &&
           suits_tma(a->v.data, a->v.stride_n, a->v.stride_h) &&
           suits_tma(a->out, a->out_stride_n, a->out_stride_h) &&
           suits_tma(a->tail_k.data, a->tail_k.stride_n, a->tail_k.stride_h) &&
           suits_tma(a->tail_v.data, a->tail_v.stride_n, a->tail_v.stride_h);
}

static size_t space_for(const void *problem, int tma)
{
    const filk_backend_kernels *k = filk_device_kernels();
    if (k == NULL) return 0;
    const size_t any    = k->attn_fwd_bf16_mma.workspace(problem);
    const size_t hopper = tma ? k->attn_fwd_bf16_sm90.workspace(problem) : 0;
    return any > hopper ? any : hopper;
}

static fil_status run(fil_ctx *ctx, const void *problem, const void *args, void *space, int tma)
{
    const filk_backend_kernels *k = filk_device_kernels();
    filk_attn_args              a = *(const filk_attn_args *)args;
    filk_stage                  s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    stage_args(&s, problem, &a, tma ? TMA_ALIGN : 1);
    space                      = filk_stage_workspace(&s, space, space_for(problem, tma));
    const filk_device_row *row = tma && all_suit_tma(&a) && filk_attn90_fits(problem)
                                     ? &k->attn_fwd_bf16_sm90
                                     : &k->attn_fwd_bf16_mma;
    if (s.status == FIL_OK) s.status = row->run(s.device->handle, problem, &a, space);
    return filk_stage_end(&s, "attention");
}

/* ---- rows ----------------------------------------------------------------------------------- */

const char *filk_attn_fwd_bf16_union_128x64__sm90_refuse(const void *problem)
{
    return refuse(problem);
}

size_t filk_attn_fwd_bf16_union_128x64__sm90_workspace(const void *problem, int32_t n_threads)
{
    (void)n_threads;
    return space_for(problem, 1);
}

fil_status filk_attn_fwd_bf16_union_128x64__sm90_run(fil_ctx *ctx, const void *problem,
                                                     const void *args, void *workspace)
{
    return run(ctx, problem, args, workspace, 1);
}

const char *filk_attn_fwd_bf16_mma_64x64__sm80_refuse(const void *problem)
{
    return refuse(problem);
}

size_t filk_attn_fwd_bf16_mma_64x64__sm80_workspace(const void *problem, int32_t n_threads)
{
    (void)n_threads;
    return space_for(problem, 0);
}

fil_status filk_attn_fwd_bf16_mma_64x64__sm80_run(fil_ctx *ctx, const void *problem,
                                                  const void *args, void *workspace)
{
    return run(ctx, problem, args, workspace, 0);
}
