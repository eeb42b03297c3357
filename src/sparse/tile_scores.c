/* sparse/tile_scores.c: pooling and selection with their memory (sparse/tile_scores.h). */
#include <string.h>

#include "sparse/tile_scores.h"

static fil_status cut(fili_tile_scores *t, fili_arena *arena, const fili_blocks *blocks,
                      int32_t tile)
{
    void *block;
    FIL_TRY(fili_arena_alloc(arena, ((size_t)blocks->m + 1) * sizeof(int32_t), &block));
    t->first = block;
    FIL_TRY(fili_blocks_split(&t->tiles, blocks, tile, t->first));
    t->m = blocks->m / t->per + (blocks->m % t->per != 0);
    for (int32_t b = 0; b < t->m; b++)
        t->first[b] = t->first[(int64_t)b * t->per];
    t->first[t->m] = t->tiles.m;
    return FIL_OK;
}

static fil_status choose_kernels(fili_tile_scores *t, int32_t heads, int32_t head_dim,
                                 fil_dtype dtype)
{
    t->pooling = (filk_pooling_problem){.n        = fili_blocks_tokens(&t->tiles),
                                        .heads    = heads,
                                        .head_dim = head_dim,
                                        .dtype    = dtype,
                                        .m        = t->tiles.m,
                                        .offset   = t->tiles.offset};
    t->select  = (filk_select_problem){.kind     = FILK_SELECT_SOFTMAX,
                                       .heads    = heads,
                                       .kv_heads = heads,
                                       .head_dim = head_dim,
                                       .tq       = t->tiles.m,
                                       .tk       = t->tiles.m,
                                       .mq       = t->m,
                                       .mk       = t->m,
                                       .q_tiles  = t->first,
                                       .k_tiles  = t->first,
                                       .keep     = 1};
    FIL_TRY(filk_select(t->ctx, &filk_pooling, &t->pooling, NULL, &t->pooling_row));
    return filk_select(t->ctx, &filk_selection, &t->select, NULL, &t->select_row);
}

static fil_status take_memory(fili_tile_scores *t, fili_arena *arena)
{
    const int32_t threads = t->ctx->n_threads;
    const size_t  pool    = t->pooling_row->workspace(&t->pooling, threads);
    const size_t  select  = t->select_row->workspace(&t->select, threads);
    const size_t  row     = (size_t)t->select.heads * (size_t)t->select.head_dim * sizeof(float);
    void         *block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)t->tiles.m, row, &block));
    t->q = block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)t->tiles.m, row, &block));
    t->k = block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)t->tiles.m, (size_t)t->select.heads * sizeof(int32_t),
                              &block));
    t->count = block;
    return fili_arena_alloc(arena, pool > select ? pool : select, &t->workspace);
}

fil_status fili_tile_scores_init(fili_tile_scores *out, fil_ctx *ctx, fili_arena *arena,
                                 const fili_blocks *blocks, int32_t per, int32_t heads,
                                 int32_t head_dim, fil_dtype dtype)
{
    *out = (fili_tile_scores){.ctx = ctx, .per = per, .tiles = {.ctx = ctx}};
    FIL_CHECK(ctx, per == 1 || per == 2, "tile scores: %d blocks at a time; expected 1 or 2", per);
    FIL_TRY(cut(out, arena, blocks, FILI_SUBRUN_TOKENS));
    FIL_TRY(choose_kernels(out, heads, head_dim, dtype));
    return take_memory(out, arena);
}

fil_status fili_tile_scores_init_of(fili_tile_scores *out, fil_ctx *ctx, fili_arena *arena,
                                    const fili_blocks *blocks, int32_t tile, int32_t heads,
                                    int32_t head_dim, fil_dtype dtype)
{
    *out = (fili_tile_scores){.ctx = ctx, .per = 1, .tiles = {.ctx = ctx}};
    FIL_TRY(cut(out, arena, blocks, tile));
    FIL_TRY(choose_kernels(out, heads, head_dim, dtype));
    return take_memory(out, arena);
}

void fili_tile_scores_fini(fili_tile_scores *t)
{
    if (t->ctx != NULL) fili_blocks_fini(&t->tiles);
}

static bool is_finite(const float *x, int32_t n)
{
    float sum = 0.0f; /* 0 times NaN or infinity is NaN */
    for (int32_t d = 0; d < n; d++)
        sum += 0.0f * x[d];
    return sum == 0.0f;
}

/* A token that is no number must not decide for the whole head: its key tile takes no part, its
 * query tile votes for all alike. */
static void take_out_nonfinite(fili_tile_scores *t)
{
    const int32_t heads = t->select.heads;
    const int32_t dim   = t->select.head_dim;
    for (int32_t i = 0; i < t->tiles.m; i++)
        for (int32_t h = 0; h < heads; h++) {
            const int64_t at = ((int64_t)i * heads + h) * dim;

            t->count[(int64_t)h * t->tiles.m + i] = is_finite(t->k + at, dim);
            if (!is_finite(t->q + at, dim)) memset(t->q + at, 0, (size_t)dim * sizeof(float));
        }
}

fil_status fili_tile_scores_run(fili_tile_scores *t, filk_attn_view q, filk_attn_view k,
                                float scale, int32_t keep, uint32_t *mask, float *score)
{
    const filk_pooling_args of_q = {.x = q, .out_f32 = t->q};
    const filk_pooling_args of_k = {.x = k, .out_f32 = t->k};
    const filk_select_args  args = {.q              = t->q,
                                    .k              = t->k,
                                    .count          = t->count,
                                    .count_stride_h = t->tiles.m,
                                    .scale          = scale,
                                    .mask           = mask,
                                    .score          = score};
    t->select.keep               = keep;
    FIL_TRY(t->pooling_row->run(t->ctx, &t->pooling, &of_q, t->workspace));
    FIL_TRY(t->pooling_row->run(t->ctx, &t->pooling, &of_k, t->workspace));
    take_out_nonfinite(t);
    return t->select_row->run(t->ctx, &t->select, &args, t->workspace);
}
