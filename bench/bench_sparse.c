/* bench/bench_sparse.c: what orders and masks cost on the grids of Wan at 480p and 720p.
 *
 * One JSON object a line: {"bench", "grid", "order", "blocks", "heads", "density", "ms"}; ms is the
 * median of nine runs. Masks have 40 heads and keep about 30 % of the blocks at random.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/os.h"
#include "sparse/mask.h"

enum { RUNS = 9, HEADS = 40 };

typedef struct state {
    fil_ctx        *ctx;
    fili_grid       grid;
    fili_order_spec spec;
    char            order_name[FILI_ORDER_NAME];
    fili_order      order;
    fili_blocks     blocks, pairs;
    fili_mask       a, b, t, small;
    int32_t        *count;
    uint64_t        sink; /* of results, so that no call is idle */
    double          density;
} state;

static void must(const state *s, fil_status status)
{
    if (status == FIL_OK) return;
    fprintf(stderr, "bench_sparse: %s\n", fil_ctx_error(s->ctx)->message);
    exit(1);
}

/* ---- what is measured ----------------------------------------------------------------------- */

static void run_order(state *s)
{
    fili_order o;
    must(s, fili_order_init(&o, s->ctx, s->grid, &s->spec));
    s->sink += (uint64_t)o.order[o.n / 2];
    fili_order_fini(&o);
}

static void run_fill(state *s)
{
    fili_mask_fill(&s->t);
}

static void run_union(state *s)
{
    must(s, fili_mask_union(&s->t, &s->b));
}

static void run_subtract(state *s)
{
    must(s, fili_mask_subtract(&s->t, &s->b));
}

static void run_copy(state *s)
{
    must(s, fili_mask_copy(&s->t, &s->a));
}

static void run_complement(state *s)
{
    fili_mask_complement(&s->t);
}

static void run_equal(state *s)
{
    s->sink += fili_mask_equal(&s->a, &s->a);
}

static void run_check(state *s)
{
    must(s, fili_mask_check(&s->a));
}

static void run_counts(state *s)
{
    fili_mask_counts(&s->a, s->count);
    s->sink += (uint64_t)s->count[0];
}

static void run_lists(state *s)
{
    for (int32_t h = 0; h < HEADS; h++)
        for (int32_t q = 0; q < s->a.mq; q++)
            s->sink += (uint64_t)fili_mask_list(&s->a, h, q, s->count);
}

static void run_transpose(state *s)
{
    must(s, fili_mask_transpose(&s->t, &s->a));
}

static void run_expand(state *s)
{
    must(s, fili_mask_expand(&s->t, &s->small));
}

static void run_density(state *s)
{
    must(s, fili_mask_density(&s->a, &s->blocks, &s->blocks, &s->density));
}

/* ---- the frame ------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_ms(state *s, void (*run)(state *s))
{
    double ms[RUNS];
    for (int i = 0; i < RUNS; i++) {
        const uint64_t begin = fili_os_posix.clock_ns(NULL);
        run(s);
        ms[i] = (double)(fili_os_posix.clock_ns(NULL) - begin) * 1e-6;
    }
    qsort(ms, RUNS, sizeof ms[0], by_value);
    return ms[RUNS / 2];
}

static void report(state *s, const char *name, void (*run)(state *s))
{
    const double ms = median_ms(s, run);
    printf("{\"bench\": \"%s\", \"grid\": \"%d,%d,%d\", \"order\": \"%s\", \"blocks\": %d, "
           "\"heads\": %d, \"density\": %.4f, \"ms\": %.3f}\n",
           name, s->grid.f, s->grid.h, s->grid.w, s->order_name, s->blocks.m, HEADS, s->density,
           ms);
}

static void keep_some(state *s, fili_mask *m, uint64_t seed)
{
    for (int32_t h = 0; h < m->heads; h++)
        for (int32_t q = 0; q < m->mq; q++)
            for (int32_t k = 0; k < m->mk; k++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                must(s, fili_mask_set(m, h, q, k, (seed >> 33) % 10 < 3));
            }
}

static void set_up(state *s)
{
    fili_order_name(&s->spec, s->order_name);
    must(s, fili_order_init(&s->order, s->ctx, s->grid, &s->spec));
    must(s, fili_blocks_from_order(&s->blocks, &s->order));
    must(s, fili_blocks_pairs(&s->pairs, &s->blocks));
    const int32_t m = s->blocks.m;
    must(s, fili_mask_init(&s->a, s->ctx, HEADS, m, m));
    must(s, fili_mask_init(&s->b, s->ctx, HEADS, m, m));
    must(s, fili_mask_init(&s->t, s->ctx, HEADS, m, m));
    must(s, fili_mask_init(&s->small, s->ctx, HEADS, s->pairs.m, s->pairs.m));
    keep_some(s, &s->a, 1);
    keep_some(s, &s->b, 2);
    keep_some(s, &s->small, 3);
    s->count = malloc((size_t)HEADS * (size_t)m * sizeof *s->count);
    if (s->count == NULL) exit(1);
    run_density(s);
}

static void tear_down(state *s)
{
    free(s->count);
    fili_mask_fini(&s->a);
    fili_mask_fini(&s->b);
    fili_mask_fini(&s->t);
    fili_mask_fini(&s->small);
    fili_blocks_fini(&s->pairs);
    fili_blocks_fini(&s->blocks);
    fili_order_fini(&s->order);
}

static void bench(fil_ctx *ctx, fili_grid grid, const char *order, int masks)
{
    static const struct {
        const char *name;
        void (*run)(state *s);
    } ops[] = {
        {"mask_fill", run_fill},     {"mask_copy", run_copy},
        {"mask_union", run_union},   {"mask_subtract", run_subtract},
        {"mask_equal", run_equal},   {"mask_complement", run_complement},
        {"mask_check", run_check},   {"mask_counts", run_counts},
        {"mask_lists", run_lists},   {"mask_transpose", run_transpose},
        {"mask_expand", run_expand}, {"mask_density", run_density},
    };
    state s = {.ctx = ctx, .grid = grid};
    must(&s, fili_order_parse(ctx, order, &s.spec));
    set_up(&s);
    report(&s, "order", run_order);
    for (size_t i = 0; masks && i < sizeof ops / sizeof ops[0]; i++)
        report(&s, ops[i].name, ops[i].run);
    tear_down(&s);
}

int main(void)
{
    static const fili_grid grids[] = {{21, 30, 52}, {21, 45, 80}};
    fil_ctx               *ctx;
    if (fil_ctx_open(&ctx, NULL) != FIL_OK) return 1;
    for (int i = 0; i < 2; i++) {
        bench(ctx, grids[i], "raster", 0);
        bench(ctx, grids[i], "hilbert", 1);
        bench(ctx, grids[i], "hilbert-xyz", 0);
        bench(ctx, grids[i], "cubes 4x4x4", 0);
        bench(ctx, grids[i], "hilbert-cubes 4x4x4", 1);
        bench(ctx, grids[i], "hilbert-cubes 3x5x4", 0);
    }
    fil_ctx_close(&ctx);
    return 0;
}
