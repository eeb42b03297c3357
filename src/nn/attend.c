/* nn/attend.c: attention over a sequence, and over the keys of a prompt (attend.h).
 *
 * The prompt's keys are cut into runs of 64. The key that stands for the padding is a run of its
 * own, which the mask leaves out: so it takes part through the tail, with count 1 and the number of
 * equal keys as the factor.
 */
#include <math.h>
#include <string.h>

#include "nn/attend.h"

static fil_status open_problem(fili_attend *out)
{
    FIL_TRY(filk_select(out->ctx, &filk_attention, &out->problem, NULL, &out->row));
    out->workspace = out->row->workspace(&out->problem, out->ctx->n_threads);
    return FIL_OK;
}

static filk_attn_problem problem_of(const fili_attend_shape *shape)
{
    return (filk_attn_problem){.nq       = fili_blocks_tokens(shape->q),
                               .heads    = shape->heads,
                               .kv_heads = shape->heads,
                               .head_dim = shape->head_dim,
                               .dtype    = shape->dtype,
                               .mq       = shape->q->m,
                               .q_offset = shape->q->offset};
}

fil_status fili_attend_open(fili_attend *out, fil_ctx *ctx, const fili_attend_shape *shape)
{
    *out                   = (fili_attend){.ctx = ctx, .problem = problem_of(shape)};
    out->problem.nk        = out->problem.nq;
    out->problem.mk        = out->problem.mq;
    out->problem.k_offset  = out->problem.q_offset;
    out->problem.max_sinks = shape->max_sinks;
    out->problem.has_tail  = shape->has_tail;
    return open_problem(out);
}

static filk_attn_args args_of(const filk_attn_problem *p, const fili_attend_io *io)
{
    const int64_t row = (int64_t)p->heads * p->head_dim;
    const int64_t in  = io->stride != 0 ? io->stride : row;
    return (filk_attn_args){.q   = {.data = io->q, .stride_n = in, .stride_h = p->head_dim},
                            .k   = {.data = io->k, .stride_n = in, .stride_h = p->head_dim},
                            .v   = {.data = io->v, .stride_n = in, .stride_h = p->head_dim},
                            .out = io->out,
                            .out_stride_n = row,
                            .out_stride_h = p->head_dim,
                            .scale        = 1.0f / sqrtf((float)p->head_dim)};
}

static fil_status check_choice(const fili_attend *a, const fili_policy_choice *c)
{
    const filk_attn_problem *p    = &a->problem;
    const fili_mask         *mask = c->mask;
    if (mask != NULL &&
        !((mask->heads == 1 || mask->heads == p->heads) && mask->mq == p->mq && mask->mk == p->mk))
        return FIL_FAIL(a->ctx, FIL_E_SHAPE,
                        "the mask has %d heads and %d by %d blocks; expected %d (or 1) and %d by "
                        "%d",
                        mask->heads, mask->mq, mask->mk, p->heads, p->mq, p->mk);
    if (c->n_sinks > p->max_sinks || (c->tail_k.data != NULL && !p->has_tail))
        return FIL_FAIL(a->ctx, FIL_E_INTERNAL, "attention was planned for %d sinks and %s tail",
                        p->max_sinks, p->has_tail ? "a" : "no");
    return FIL_OK;
}

static void add_choice(filk_attn_args *args, const fili_policy_choice *c)
{
    const fili_mask *mask = c->mask;
    if (mask == NULL) return;
    args->mask                = mask->bits;
    args->mask_stride_h       = mask->heads == 1 ? 0 : (int64_t)mask->mq * mask->words;
    args->sinks               = c->sinks;
    args->n_sinks             = c->n_sinks;
    args->sinks_stride_h      = c->sinks_stride_h;
    args->tail_k              = c->tail_k;
    args->tail_v              = c->tail_v;
    args->tail_count          = c->tail_count;
    args->tail_count_stride_h = c->tail_count_stride_h;
    args->tail_factor         = c->tail_factor;
}

fil_status fili_attend_forward(const fili_attend *a, const fili_attend_io *io, void *workspace)
{
    filk_attn_args args = args_of(&a->problem, io);
    if (io->choice != NULL) {
        FIL_TRY(check_choice(a, io->choice));
        add_choice(&args, io->choice);
    }
    return a->row->run(a->ctx, &a->problem, &args, workspace);
}

/* ---- keys of a prompt ----------------------------------------------------------------------- */

static int32_t runs_of(int32_t n)
{
    return n / FILK_BLOCK + (n % FILK_BLOCK != 0);
}

/* Writes the offsets of n keys and, with a tail, of one more behind them. */
static void set_keys(fili_attend_list *list, int32_t n, int has_tail)
{
    filk_attn_problem *p = &list->attend.problem;
    p->mk                = 0;
    for (int32_t at = 0; at < n; at += FILK_BLOCK)
        list->k_offset[p->mk++] = at;
    list->k_offset[p->mk] = n;
    if (has_tail) list->k_offset[++p->mk] = n + 1;
    p->k_offset    = list->k_offset;
    p->nk          = n + (has_tail != 0);
    p->has_tail    = has_tail;
    list->has_tail = has_tail;
}

/* The most over all numbers of keys. */
static fil_status most_workspace(fili_attend_list *list)
{
    size_t most = 0;
    for (int32_t keys = 1; keys <= list->max_keys; keys++)
        for (int tail = 0; tail <= (keys > 1); tail++) {
            set_keys(list, keys - tail, tail);
            FIL_TRY(open_problem(&list->attend));
            if (list->attend.workspace > most) most = list->attend.workspace;
        }
    list->attend.workspace = most;
    return FIL_OK;
}

fil_status fili_attend_list_open(fili_attend_list *out, fil_ctx *ctx,
                                 const fili_attend_shape *shape, int32_t max_keys,
                                 fili_space *space)
{
    const int32_t words = fili_mask_words(runs_of(max_keys) + 1);
    void         *mask;
    void         *factor;
    *out = (fili_attend_list){.attend   = {.ctx = ctx, .problem = problem_of(shape)},
                              .max_keys = max_keys};
    FIL_TRY(
        fili_space_take(space, (uint64_t)shape->q->m * (uint64_t)words, sizeof(uint32_t), &mask));
    FIL_TRY(fili_space_take(space, (uint64_t)shape->heads, sizeof(float), &factor));
    out->mask   = mask;
    out->factor = factor;
    return most_workspace(out);
}

static void set_mask(fili_attend_list *list)
{
    const filk_attn_problem *p     = &list->attend.problem;
    const int32_t            words = fili_mask_words(p->mk);
    const int32_t            kept  = p->mk - 1;
    for (int32_t q = 0; q < p->mq; q++)
        for (int32_t w = 0; w < words; w++) {
            const int32_t left        = kept - 32 * w;
            list->mask[q * words + w] = left >= 32  ? UINT32_MAX
                                        : left <= 0 ? 0
                                                    : (UINT32_C(1) << left) - 1;
        }
}

fil_status fili_attend_list_set(fili_attend_list *list, int32_t n, int32_t more)
{
    fil_ctx      *ctx  = list->attend.ctx;
    const int     tail = n > 0 && more > 0;
    const int32_t keys = n > 0 ? n : 1; /* one kind of key alone: its number does not matter */
    const size_t  room = list->attend.workspace;
    FIL_CHECK(ctx, n >= 0 && more >= 0 && n + more > 0 && keys + tail <= list->max_keys,
              "%d keys and %d more; expected 1 to %d", n, more, list->max_keys);
    set_keys(list, keys, tail);
    FIL_TRY(open_problem(&list->attend));
    if (list->attend.workspace > room)
        return FIL_FAIL(ctx, FIL_E_INTERNAL, "attention to %d keys needs more than was planned",
                        keys);
    list->attend.workspace = room;
    if (!tail) return FIL_OK;
    set_mask(list);
    for (int32_t b = 0; b < list->attend.problem.mk; b++)
        list->count[b] = b == list->attend.problem.mk - 1;
    for (int32_t h = 0; h < list->attend.problem.heads; h++)
        list->factor[h] = (float)more;
    return FIL_OK;
}

fil_status fili_attend_list_forward(const fili_attend_list *list, const fili_attend_io *io,
                                    void *workspace)
{
    const filk_attn_problem *p    = &list->attend.problem;
    filk_attn_args           args = args_of(p, io);
    if (list->has_tail) {
        /* Row b of the tail is key nk - mk + b, so that the last one is the last key; the others
         * have count 0 and exist, since each run holds at least one key. */
        const int64_t skip = (p->nk - p->mk) * args.k.stride_n;
        const int64_t size = (int64_t)fil_dtype_bits(p->dtype) / 8;
        args.mask          = list->mask;
        args.tail_k        = args.k;
        args.tail_v        = args.v;
        args.tail_k.data   = (const char *)io->k + skip * size;
        args.tail_v.data   = (const char *)io->v + skip * size;
        args.tail_count    = list->count;
        args.tail_factor   = list->factor;
    }
    return list->attend.row->run(list->attend.ctx, p, &args, workspace);
}
