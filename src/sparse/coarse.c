/* sparse/coarse.c: attention between cubes (coarse.h), VSA (arXiv 2505.13389, section 3.1). */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "sparse/bits.h"
#include "sparse/coarse.h"

int32_t fili_coarse_keep(double sparsity, int32_t n)
{
    const double keep = ceil((1.0 - sparsity) * (double)n);
    return keep >= (double)n ? n : keep >= 1.0 ? (int32_t)keep : 1;
}

/* ---- plan ----------------------------------------------------------------------------------- */

static fil_status table(fili_arena *arena, int32_t n, int32_t step, int32_t end, int32_t **out)
{
    void *block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)n + 1, sizeof(int32_t), &block));
    int32_t *to = block;
    for (int32_t i = 0; i < n; i++)
        to[i] = i * step;
    to[n] = end;
    *out  = to;
    return FIL_OK;
}

static fil_status rows_of(fili_arena *arena, const fili_coarse_shape *s, float **out)
{
    void *block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)s->m, /* heads * D <= dim of a model */
                              (size_t)s->heads * (size_t)s->head_dim * sizeof(float), &block));
    *out = block;
    return FIL_OK;
}

static fil_status plan_pooling(fili_coarse *c, const fili_coarse_shape *s)
{
    c->pooling = (filk_pooling_problem){.n        = s->n,
                                        .heads    = s->heads,
                                        .head_dim = s->head_dim,
                                        .dtype    = s->dtype,
                                        .m        = s->m,
                                        .offset   = s->offset};
    return filk_select(c->ctx, &filk_pooling, &c->pooling, NULL, &c->pooling_row);
}

static fil_status plan_select(fili_coarse *c, const fili_coarse_shape *s, fili_arena *arena)
{
    int32_t *tiles;
    FIL_TRY(table(arena, s->m, 1, s->m, &tiles));
    c->select = (filk_select_problem){.kind     = FILK_SELECT_LOGIT,
                                      .heads    = s->heads,
                                      .kv_heads = s->heads,
                                      .head_dim = s->head_dim,
                                      .tq       = s->m,
                                      .tk       = s->m,
                                      .mq       = s->m,
                                      .mk       = s->m,
                                      .q_tiles  = tiles,
                                      .k_tiles  = tiles,
                                      .keep     = s->m};
    return filk_select(c->ctx, &filk_selection, &c->select, NULL, &c->select_row);
}

/* Cubes are the tokens here; every one attends to every one. */
static fil_status plan_attention(fili_coarse *c, const fili_coarse_shape *s, fili_arena *arena)
{
    const int32_t runs = (int32_t)fili_task_count(s->m, FILI_BLOCK_TOKENS);
    int32_t      *offset;
    FIL_TRY(table(arena, runs, FILI_BLOCK_TOKENS, s->m, &offset));
    FIL_TRY(rows_of(arena, s, &c->v));
    c->attention = (filk_attn_problem){.nq       = s->m,
                                       .nk       = s->m,
                                       .heads    = s->heads,
                                       .kv_heads = s->heads,
                                       .head_dim = s->head_dim,
                                       .dtype    = FIL_F32,
                                       .mq       = runs,
                                       .mk       = runs,
                                       .q_offset = offset,
                                       .k_offset = offset};
    return filk_select(c->ctx, &filk_attention, &c->attention, NULL, &c->attention_row);
}

fil_status fili_coarse_open(fili_coarse *out, fil_ctx *ctx, const fili_coarse_shape *shape,
                            fili_arena *arena)
{
    const int32_t threads = ctx->n_threads;
    size_t        most    = 0;
    *out                  = (fili_coarse){.ctx = ctx};
    FIL_CHECK(ctx, shape->m >= 1 && shape->n >= shape->m, "%d cubes of %d tokens", shape->m,
              shape->n);
    FIL_TRY(plan_pooling(out, shape));
    FIL_TRY(plan_select(out, shape, arena));
    if (shape->with_output) FIL_TRY(plan_attention(out, shape, arena));
    FIL_TRY(rows_of(arena, shape, &out->q));
    FIL_TRY(rows_of(arena, shape, &out->k));
    out->select_room    = out->select_row->workspace(&out->select, threads);
    const size_t pooled = out->pooling_row->workspace(&out->pooling, threads);
    if (shape->with_output) most = out->attention_row->workspace(&out->attention, threads);
    if (pooled > most) most = pooled;
    if (out->select_room > most) most = out->select_room;
    return fili_arena_alloc(arena, most, &out->workspace);
}

/* ---- run ------------------------------------------------------------------------------------ */

static fil_status pool(const fili_coarse *c, const filk_attn_view *x, float *to)
{
    const filk_pooling_args args = {.x = *x, .out_f32 = to};
    return c->pooling_row->run(c->ctx, &c->pooling, &args, c->workspace);
}

static fil_status choose(const fili_coarse *c, const fili_coarse_io *io)
{
    filk_select_problem    p    = c->select;
    const filk_select_args args = {
        .q = c->q, .k = c->k, .scale = io->scale, .mask = io->mask, .score = io->score};
    p.keep = io->keep;
    if (c->select_row->workspace(&p, c->ctx->n_threads) > c->select_room)
        return FIL_FAIL(c->ctx, FIL_E_INTERNAL, "selection of %d cubes needs more than was planned",
                        p.keep);
    return c->select_row->run(c->ctx, &p, &args, c->workspace);
}

static fil_status attend(const fili_coarse *c, const fili_coarse_io *io)
{
    const int64_t        d    = c->attention.head_dim;
    const int64_t        row  = c->attention.heads * d;
    const filk_attn_args args = {.q            = {.data = c->q, .stride_n = row, .stride_h = d},
                                 .k            = {.data = c->k, .stride_n = row, .stride_h = d},
                                 .v            = {.data = c->v, .stride_n = row, .stride_h = d},
                                 .out          = io->out,
                                 .out_stride_n = row,
                                 .out_stride_h = d,
                                 .scale        = io->scale};
    return c->attention_row->run(c->ctx, &c->attention, &args, c->workspace);
}

fil_status fili_coarse_run(const fili_coarse *c, const fili_coarse_io *io)
{
    FIL_CHECK(c->ctx, io->keep >= 1 && io->keep <= c->select.mk, "%d cubes kept; expected 1 to %d",
              io->keep, c->select.mk);
    FIL_CHECK(c->ctx, io->out == NULL || c->v != NULL, "coarse output was not planned");
    FIL_TRY(pool(c, &io->q, c->q));
    FIL_TRY(pool(c, &io->k, c->k));
    if (io->mask != NULL) FIL_TRY(choose(c, io));
    if (io->out == NULL) return FIL_OK;
    FIL_TRY(pool(c, &io->v, c->v));
    return attend(c, io);
}

/* ---- cubes of several blocks ---------------------------------------------------------------- */

fil_status fili_coarse_blocks(const fili_order *order, const fili_blocks *blocks, int32_t *first)
{
    int32_t b = 0;
    for (int32_t c = 0; c <= order->n_pieces; c++) {
        while (b < blocks->m && blocks->offset[b] < order->piece[c])
            b++;
        FIL_CHECK(order->ctx, blocks->offset[b] == order->piece[c],
                  "no block begins at token %d, where a cube does", order->piece[c]);
        first[c] = b;
    }
    return FIL_OK;
}

typedef struct expand_state {
    fili_mask       *dst;
    const fili_mask *src;
    const int32_t   *first;
} expand_state;

static void set_bits(uint32_t *row, int32_t begin, int32_t end)
{
    for (int32_t b = begin; b < end; b++)
        row[b / 32] |= UINT32_C(1) << b % 32;
}

/* One row of cubes becomes the rows of its blocks, which are alike. */
static fil_status expand_task(void *arg, int64_t index, int32_t worker)
{
    const expand_state *s     = arg;
    const int32_t       h     = (int32_t)(index / s->src->mq);
    const int32_t       cube  = (int32_t)(index % s->src->mq);
    const uint32_t     *from  = fili_mask_row(s->src, h, cube);
    uint32_t           *to    = fili_mask_row(s->dst, h, s->first[cube]);
    const size_t        bytes = (size_t)s->dst->words * sizeof *to;
    (void)worker;
    memset(to, 0, bytes);
    for (int32_t w = 0; w < s->src->words; w++)
        for (uint32_t left = from[w]; left != 0; left &= left - 1) {
            const int32_t c = 32 * w + fili_lowest_bit(left);
            set_bits(to, s->first[c], s->first[c + 1]);
        }
    for (int32_t b = s->first[cube] + 1; b < s->first[cube + 1]; b++)
        memcpy(fili_mask_row(s->dst, h, b), to, bytes);
    return FIL_OK;
}

fil_status fili_coarse_expand(fili_mask *dst, const fili_mask *src, const int32_t *first)
{
    expand_state s = {.dst = dst, .src = src, .first = first};
    if (dst->heads != src->heads || src->mq != src->mk || dst->mq != first[src->mq] ||
        dst->mk != dst->mq)
        return FIL_FAIL(src->ctx, FIL_E_SHAPE,
                        "a mask of %d heads and %d cubes does not fit %d heads and %d blocks",
                        src->heads, src->mq, dst->heads, dst->mq);
    return fili_pool_run(src->ctx, "mask of cubes", (int64_t)src->heads * src->mq, expand_task, &s);
}
