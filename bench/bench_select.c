/* bench/bench_select.c: what choosing blocks costs beside the attention that it thins out.
 *
 * One JSON object a line, one thread, 12 heads of 128, bf16: pooling q and k to tiles of 16,
 * scoring them with softmax votes and keeping the k largest (kernel/select.h) in blocks of 128 and
 * 64 tokens, and of one tile to a block of 64 (as Video Sparse Attention pools); against dense
 * attention of the layer, all in turn. Dense is measured on 2,048 queries of one head and
 * multiplied. of_dense: pooling, scores and choice over dense; per_step: the same with a mask that
 * serves 12 steps, as DFSAttn refreshes it. top_ms: the choice alone. Medians.
 * Usage: bench_select [repetitions]
 */
#include <stdio.h>
#include <string.h>

#include "bench_input.h"
#include "bench_open_ctx.h"
#include "kernel/cpu/peak.h"
#include "kernel/pooling.h"
#include "kernel/select.h"

enum { HEADS = 12, D = 128, ROWS = 2048, INTERVAL = 12, MAX_REPETITIONS = 51, PARTS = 4 };
enum { POOL, SCORE, TOP, DENSE };

typedef struct form {
    int32_t tokens, block, tile;
} form;

typedef struct problem {
    fil_ctx             *ctx;
    const form          *f;
    filk_pooling_problem pool;
    filk_select_problem  select;
    filk_attn_problem    dense;
    filk_select_args     select_args;
    filk_attn_args       dense_args;
    const filk_row      *row[3]; /* pooling, select, attention */
    float               *means[2];
    void                *workspace;
    bench_room           room;
    double               seconds[PARTS][MAX_REPETITIONS];
} problem;

/* Runs of `size` over n, and their offsets; returns their number. */
static int32_t runs(problem *b, int32_t n, int32_t size, int32_t **offset)
{
    const int32_t m = (n + size - 1) / size;
    *offset         = bench_need(&b->room, sizeof(int32_t) * (size_t)(m + 1));
    for (int32_t i = 0; i <= m; i++)
        (*offset)[i] = i < m ? i * size : n;
    return m;
}

static void make_dense(problem *b)
{
    const int32_t n = b->f->tokens;
    int32_t      *offset;
    b->dense          = (filk_attn_problem){.nq       = ROWS,
                                            .nk       = n,
                                            .heads    = 1,
                                            .kv_heads = 1,
                                            .head_dim = D,
                                            .dtype    = FIL_BF16,
                                            .mq       = ROWS / FILK_BLOCK};
    b->dense.mk       = runs(b, n, FILK_BLOCK, &offset);
    b->dense.k_offset = b->dense.q_offset = offset; /* whole blocks to ROWS and beyond */

    b->dense_args = (filk_attn_args){.q   = bench_normal(&b->room, FIL_BF16, n, HEADS, D, 1),
                                     .k   = bench_normal(&b->room, FIL_BF16, n, HEADS, D, 2),
                                     .v   = bench_normal(&b->room, FIL_BF16, n, HEADS, D, 3),
                                     .out = bench_need(&b->room, sizeof(uint16_t) * ROWS * D),
                                     .out_stride_n = D,
                                     .out_stride_h = D,
                                     .scale        = 0.08838834764f};
    bench_must(b->ctx, filk_select(b->ctx, &filk_attention, &b->dense, NULL, &b->row[2]));
}

static void make_select(problem *b)
{
    int32_t *tiles;
    int32_t *blocks;
    b->pool =
        (filk_pooling_problem){.n = b->f->tokens, .heads = HEADS, .head_dim = D, .dtype = FIL_BF16};
    b->pool.m           = runs(b, b->f->tokens, b->f->tile, &tiles);
    b->pool.offset      = tiles;
    const int32_t m     = runs(b, b->pool.m, b->f->block / b->f->tile, &blocks);
    const bool    logit = b->f->block == b->f->tile;

    b->select = (filk_select_problem){.kind     = logit ? FILK_SELECT_LOGIT : FILK_SELECT_SOFTMAX,
                                      .heads    = HEADS,
                                      .kv_heads = HEADS,
                                      .head_dim = D,
                                      .tq       = b->pool.m,
                                      .tk       = b->pool.m,
                                      .mq       = m,
                                      .mk       = m,
                                      .q_tiles  = blocks,
                                      .k_tiles  = blocks,
                                      .keep     = (m + 4) / 5};
    const size_t each = sizeof(float) * (size_t)b->pool.m * HEADS * D;
    const size_t rows = (size_t)HEADS * (size_t)m;
    for (int i = 0; i < 2; i++)
        b->means[i] = bench_need(&b->room, each);
    b->select_args = (filk_select_args){
        .q     = b->means[0],
        .k     = b->means[1],
        .scale = b->dense_args.scale,
        .mask  = bench_need(&b->room, rows * (size_t)(m + 31) / 32 * 4 + rows * 4),
        .score = bench_need(&b->room, rows * (size_t)m * sizeof(float))};
    bench_must(b->ctx, filk_select(b->ctx, &filk_pooling, &b->pool, NULL, &b->row[0]));
    bench_must(b->ctx, filk_select(b->ctx, &filk_selection, &b->select, NULL, &b->row[1]));
}

static void make_problem(problem *b, fil_ctx *ctx, const form *f)
{
    *b = (problem){.ctx = ctx, .f = f};
    make_dense(b);
    make_select(b);
    size_t most  = b->row[0]->workspace(&b->pool, 1);
    size_t more  = b->row[1]->workspace(&b->select, 1);
    most         = more > most ? more : most;
    more         = b->row[2]->workspace(&b->dense, 1);
    b->workspace = bench_need(&b->room, more > most ? more : most);
}

static void pool(problem *b)
{
    for (int i = 0; i < 2; i++) {
        const filk_pooling_args a = {.x       = i == 0 ? b->dense_args.q : b->dense_args.k,
                                     .out_f32 = b->means[i]};
        bench_must(b->ctx, b->row[0]->run(b->ctx, &b->pool, &a, b->workspace));
    }
}

static void top(problem *b)
{
    const int32_t m     = b->select.mk;
    const int32_t words = (m + 31) / 32;
    for (int64_t r = 0; r < (int64_t)HEADS * m; r++)
        filk_select_top(b->select_args.score + r * m, m, b->select.keep,
                        b->select_args.mask + r * words);
}

static void run_part(problem *b, int part)
{
    if (part == POOL)
        pool(b);
    else if (part == SCORE)
        bench_must(b->ctx, b->row[1]->run(b->ctx, &b->select, &b->select_args, b->workspace));
    else if (part == TOP)
        top(b);
    else
        bench_must(b->ctx, b->row[2]->run(b->ctx, &b->dense, &b->dense_args, b->workspace));
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(fil_ctx *ctx, const form *f, int repetitions)
{
    static problem b;
    double         t[PARTS];
    make_problem(&b, ctx, f);
    for (int r = -1; r < repetitions; r++)
        for (int part = 0; part < PARTS; part++) {
            const double start = filk_seconds(ctx);
            run_part(&b, part);
            if (r >= 0) b.seconds[part][r] = filk_seconds(ctx) - start;
        }
    for (int part = 0; part < PARTS; part++) {
        qsort(b.seconds[part], (size_t)repetitions, sizeof(double), by_value);
        t[part] = b.seconds[part][repetitions / 2];
    }
    const double dense = t[DENSE] * f->tokens / ROWS * HEADS;
    const double all   = t[POOL] + t[SCORE];
    printf("{\"bench\":\"select\",\"kernel\":\"%s\",\"attention\":\"%s\",\"tokens\":%d,"
           "\"block\":%d,\"tile\":%d,\"heads\":%d,\"head_dim\":%d,\"threads\":1,\"pool_ms\":%.2f,"
           "\"select_ms\":%.2f,\"top_ms\":%.2f,\"dense_ms\":%.0f,\"dense_gflops\":%.1f,"
           "\"select_gflops\":%.1f,\"of_dense\":%.5f,\"per_step\":%.6f}\n",
           b.row[1]->name, b.row[2]->name, f->tokens, f->block, f->tile, HEADS, D, t[POOL] * 1e3,
           t[SCORE] * 1e3, t[TOP] * 1e3, dense * 1e3,
           4e-9 * D * ROWS * (double)f->tokens / t[DENSE],
           2e-9 * D * HEADS * (double)b.pool.m * (double)b.pool.m / t[SCORE], all / dense,
           all / dense / INTERVAL);
    fflush(stdout);
    bench_drop(&b.room);
}

int main(int argc, char **argv)
{
    static const form forms[]     = {{7800, 128, 16},  {7800, 64, 16},  {7800, 64, 64},
                                     {17160, 128, 16}, {17160, 64, 16}, {17160, 64, 64},
                                     {32760, 128, 16}, {32760, 64, 16}, {32760, 64, 64}};
    int               repetitions = 0;
    fil_ctx          *ctx         = NULL;
    const int         failed      = begin_bench(argc, argv, 7, MAX_REPETITIONS, &repetitions, &ctx);
    if (failed != 0) return failed;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        measure(ctx, &forms[i], repetitions);
    fil_ctx_close(&ctx);
    return 0;
}
