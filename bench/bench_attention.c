/* bench/bench_attention.c: attention in forms that `filigree bench` does not have: f32, ragged
 * cubes, tail and sinks against the same mask without.
 *
 * One JSON object a line, one thread, head dim 128, the kernel that is chosen. Each form runs in
 * turn with its base and with the peak loop of the kernel's instruction set; medians.
 * of_peak: multiplications and additions of the pairs that count, sinks and pooled keys included.
 * of_base: its rate on them over that of the base; time_of_base: its time.
 * Usage: bench_attention [repetitions]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_input.h"
#include "bench_open_ctx.h"
#include "kernel/cpu/peak.h"
#include "sparse/blocks.h"

enum { HEADS = 2, D = 128, ROW = HEADS * D, MAX_REPETITIONS = 51, SINKS = 16 };

typedef struct form {
    const char *name, *base; /* base: whole blocks, the same density, neither tail nor sinks */
    int64_t     n;
    const char *cubes; /* order on a 5x30x52 grid; NULL: blocks of 64 */
    double      density;
    int         tail, sinks;
} form;

typedef struct problem {
    filk_attn_problem p;
    filk_attn_args    a;
    const filk_row   *row;
    bench_room        room;
    double            flops;
    double            seconds[MAX_REPETITIONS];
    double            share[MAX_REPETITIONS]; /* of peak */
} problem;

/* ---- making a problem ----------------------------------------------------------------------- */

static void make_blocks(fil_ctx *ctx, problem *b, const form *f)
{
    const int32_t *from  = NULL;
    fili_order     order = {.n = 0};
    fili_blocks    cubes = {.m = 0};
    int32_t        m     = (int32_t)((f->n + FILK_BLOCK - 1) / FILK_BLOCK);
    if (f->cubes != NULL) {
        fili_order_spec spec;
        bench_must(ctx, fili_order_parse(ctx, f->cubes, &spec));
        bench_must(ctx, fili_order_init(&order, ctx, (fili_grid){5, 30, 52}, &spec));
        bench_must(ctx, fili_blocks_from_order(&cubes, &order));
        m    = cubes.m;
        from = cubes.offset;
    }
    int32_t *offset = bench_need(&b->room, sizeof(int32_t) * (size_t)(m + 1));
    for (int32_t i = 0; i <= m; i++)
        offset[i] = from != NULL ? from[i] : INT64_C(64) * i < f->n ? i * 64 : (int32_t)f->n;
    b->p.mq = b->p.mk = m;
    b->p.q_offset = b->p.k_offset = offset;
    if (f->cubes != NULL) {
        fili_blocks_fini(&cubes);
        fili_order_fini(&order);
    }
}

/* The same number of blocks in every row, at random. */
static void make_mask(problem *b, double density)
{
    const int32_t m     = b->p.mk;
    const int32_t words = (m + 31) / 32;
    const int32_t keep  = (int32_t)(density * m + 0.5);
    uint64_t      seed  = 7;
    if (density >= 1.0) return;
    uint32_t *mask = bench_need(&b->room, sizeof(uint32_t) * (size_t)words * (size_t)m * HEADS);
    for (int32_t r = 0; r < m * HEADS; r++)
        for (int32_t left = keep; left > 0;) {
            seed              = seed * 6364136223846793005u + 1442695040888963407u;
            const int32_t  at = (int32_t)((seed >> 33) % (uint64_t)m);
            uint32_t      *w  = &mask[(int64_t)r * words + at / 32];
            const uint32_t it = 1u << (at % 32);
            left -= (*w & it) == 0;
            *w |= it;
        }
    b->a.mask          = mask;
    b->a.mask_stride_h = (int64_t)words * m;
}

static double pairs_of(const problem *b)
{
    double        pairs = 0.0;
    const int32_t words = (b->p.mk + 31) / 32;
    for (int32_t h = 0; h < HEADS; h++)
        for (int32_t i = 0; i < b->p.mq; i++) {
            const double rows = b->p.q_offset[i + 1] - b->p.q_offset[i];
            for (int32_t j = 0; j < b->p.mk; j++) {
                const uint32_t *row  = b->a.mask != NULL
                                           ? b->a.mask + h * b->a.mask_stride_h + (int64_t)i * words
                                           : NULL;
                const int       kept = row == NULL || (row[j / 32] >> (j % 32) & 1u) != 0;
                if (kept) pairs += rows * (b->p.k_offset[j + 1] - b->p.k_offset[j]);
                if (!kept && b->p.has_tail) pairs += rows;
            }
            pairs += rows * b->a.n_sinks;
        }
    return pairs;
}

static void make_problem(fil_ctx *ctx, problem *b, const form *f, fil_dtype dtype)
{
    *b   = (problem){.row = NULL};
    b->p = (filk_attn_problem){.nq        = f->n,
                               .nk        = f->n,
                               .heads     = HEADS,
                               .kv_heads  = HEADS,
                               .head_dim  = D,
                               .dtype     = dtype,
                               .max_sinks = f->sinks ? SINKS : 0,
                               .has_tail  = f->tail};
    make_blocks(ctx, b, f);
    b->a     = (filk_attn_args){.q            = bench_normal(&b->room, dtype, f->n, HEADS, D, 1),
                                .k            = bench_normal(&b->room, dtype, f->n, HEADS, D, 2),
                                .v            = bench_normal(&b->room, dtype, f->n, HEADS, D, 3),
                                .out_stride_n = ROW,
                                .out_stride_h = D,
                                .scale        = 0.08838834764f};
    b->a.out = bench_need(&b->room, (size_t)(f->n * HEADS * D) * fil_dtype_bits(dtype) / 8);
    b->a.lse = bench_need(&b->room, sizeof(float) * (size_t)(f->n * HEADS));
    make_mask(b, f->density);
    if (f->sinks) {
        int32_t *sinks = bench_need(&b->room, sizeof(int32_t) * SINKS);
        for (int32_t i = 0; i < SINKS; i++)
            sinks[i] = i;
        b->a.sinks   = sinks;
        b->a.n_sinks = SINKS;
    }
    if (f->tail) {
        int32_t *count = bench_need(&b->room, sizeof(int32_t) * (size_t)b->p.mk);
        for (int32_t i = 0; i < b->p.mk; i++)
            count[i] = b->p.k_offset[i + 1] - b->p.k_offset[i];
        b->a.tail_count = count;
        b->a.tail_k     = bench_normal(&b->room, dtype, b->p.mk, HEADS, D, 4);
        b->a.tail_v     = bench_normal(&b->room, dtype, b->p.mk, HEADS, D, 5);
    }
    b->flops = 4.0 * D * pairs_of(b);
    bench_must(ctx, filk_select(ctx, &filk_attention, &b->p, NULL, &b->row));
}

/* ---- measuring ------------------------------------------------------------------------------ */

static void run_once(fil_ctx *ctx, problem *b, void *workspace, int at)
{
    double       peak;
    const double start = filk_seconds(ctx);
    bench_must(ctx, b->row->run(ctx, &b->p, &b->a, workspace));
    const double seconds = filk_seconds(ctx) - start;
    bench_must(ctx, filk_peak_measure(ctx, filk_peak_find(b->row->isa, b->p.dtype), &peak));
    if (at < 0) return;
    b->seconds[at] = seconds;
    b->share[at]   = b->flops / seconds / peak;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

static void measure(fil_ctx *ctx, const form *f, const form *base, fil_dtype dtype, int repetitions)
{
    problem b[2];
    void   *workspace[2];
    make_problem(ctx, &b[0], f, dtype);
    make_problem(ctx, &b[1], base, dtype);
    for (int i = 0; i < 2; i++) {
        const size_t bytes = b[i].row->workspace(&b[i].p, 1);
        workspace[i]       = bench_need(&b[i].room, bytes);
        run_once(ctx, &b[i], workspace[i], -1); /* warms up */
    }
    for (int r = 0; r < repetitions; r++)
        for (int i = 0; i < 2; i++)
            run_once(ctx, &b[i], workspace[i], r);
    const double t[2] = {median(b[0].seconds, repetitions), median(b[1].seconds, repetitions)};
    printf("{\"bench\":\"attention\",\"form\":\"%s\",\"base\":\"%s\",\"kernel\":\"%s\",\"n\":%lld,"
           "\"blocks\":%d,\"heads\":%d,\"head_dim\":%d,\"density\":%.3f,\"threads\":1,"
           "\"seconds\":%.6f,\"of_peak\":%.4f,\"base_of_peak\":%.4f,\"of_base\":%.4f,"
           "\"time_of_base\":%.4f}\n",
           f->name, base->name, b[0].row->name, (long long)f->n, b[0].p.mk, HEADS, D, f->density,
           t[0], median(b[0].share, repetitions), median(b[1].share, repetitions),
           b[0].flops / t[0] / (b[1].flops / t[1]), t[0] / t[1]);
    fflush(stdout);
    bench_drop(&b[0].room);
    bench_drop(&b[1].room);
}

int main(int argc, char **argv)
{
    static const form forms[] = {
        {"dense", "dense", 4096, NULL, 1.0, 0, 0},
        {"sparse", "dense 8192", 8192, NULL, 0.15, 0, 0},
        {"dense 8192", "dense 8192", 8192, NULL, 1.0, 0, 0},
        {"tail", "sparse", 8192, NULL, 0.15, 1, 0},
        {"tail and sinks", "sparse", 8192, NULL, 0.15, 1, 1},
        {"cubes", "whole blocks", 7800, "hilbert-cubes 4x4x4", 0.3, 0, 0},
        {"whole blocks", "whole blocks", 7800, NULL, 0.3, 0, 0},
    };
    enum { N = sizeof forms / sizeof forms[0] };
    int       repetitions = 0;
    fil_ctx  *ctx         = NULL;
    const int failed      = begin_bench(argc, argv, 7, MAX_REPETITIONS, &repetitions, &ctx);
    if (failed != 0) return failed;
    for (int type = 0; type < 2; type++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++)
                if (i != j && strcmp(forms[i].base, forms[j].name) == 0)
                    measure(ctx, &forms[i], &forms[j], type == 0 ? FIL_BF16 : FIL_F32, repetitions);
    fil_ctx_close(&ctx);
    return 0;
}
