/* sparse/policy_tail.c: what is left out takes part as means (policy.h, kernel/attention.h).
 *
 * Per call: the means of the keys and values of every block, without the head's sinks, and how many
 * tokens each stands for. A mean never exceeds the true mass of its block (Jensen), so that a tail
 * can only be too light.
 */
#include "kernel/pooling.h"
#include "sparse/policy_inside.h"

struct fili_policy_tail {
    filk_pooling_problem problem;
    const filk_row      *row;
    void                *workspace;
    void                *k, *v; /* [M, H, D] of the run's type */
    int32_t             *count; /* [H, M] */
};

fil_status fili_policy_tail_open(fili_policy *p)
{
    const uint64_t rows = (uint64_t)p->blocks.m * (uint64_t)p->setup.heads;
    const size_t   size = p->setup.dtype == FIL_BF16 ? 2 : 4;
    const uint64_t row  = (uint64_t)p->setup.head_dim * size;
    void          *block;
    FIL_TRY(fili_arena_calloc(&p->arena, 1, sizeof *p->tail, &block));
    struct fili_policy_tail *t = block;
    p->tail                    = t;
    t->problem                 = (filk_pooling_problem){.n        = p->order.n,
                                                        .heads    = p->setup.heads,
                                                        .head_dim = p->setup.head_dim,
                                                        .dtype    = p->setup.dtype,
                                                        .m        = p->blocks.m,
                                                        .offset   = p->blocks.offset};
    FIL_TRY(filk_select(p->ctx, &filk_pooling, &t->problem, NULL, &t->row));
    FIL_TRY(fili_arena_alloc(&p->arena, t->row->workspace(&t->problem, p->ctx->n_threads),
                             &t->workspace));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)rows, (size_t)row, &t->k));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)rows, (size_t)row, &t->v));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)rows, sizeof(int32_t), &block));
    t->count = block;
    return FIL_OK;
}

static fil_status pool(fili_policy *p, filk_attn_view x, void *out, int32_t *count,
                       const fili_policy_choice *choice)
{
    const struct fili_policy_tail *t    = p->tail;
    filk_pooling_args              args = {.x              = x,
                                           .sinks          = choice->sinks,
                                           .n_sinks        = choice->n_sinks,
                                           .sinks_stride_h = choice->sinks_stride_h,
                                           .count          = count};
    if (count != NULL && choice->sinks_stride_h != 0) args.count_stride_h = p->blocks.m;
    if (p->setup.dtype == FIL_BF16)
        args.out_bf16 = out;
    else
        args.out_f32 = out;
    return t->row->run(p->ctx, &t->problem, &args, t->workspace);
}

fil_status fili_policy_tail_fill(fili_policy *p, const fili_policy_call *call,
                                 fili_policy_choice *choice)
{
    const struct fili_policy_tail *t    = p->tail;
    const int64_t                  row  = (int64_t)p->setup.heads * p->setup.head_dim;
    const filk_attn_view           view = {.stride_n = row, .stride_h = p->setup.head_dim};
    FIL_TRY(pool(p, call->k, t->k, t->count, choice));
    FIL_TRY(pool(p, call->v, t->v, NULL, choice));
    choice->tail_k              = view;
    choice->tail_v              = view;
    choice->tail_k.data         = t->k;
    choice->tail_v.data         = t->v;
    choice->tail_count          = t->count;
    choice->tail_count_stride_h = choice->sinks_stride_h != 0 ? p->blocks.m : 0;
    return FIL_OK;
}
