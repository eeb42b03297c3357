/* tests/unit/test_coarse.c: sparse/coarse.h against its definition in f64, and against the case of
 * the methods' fixtures.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/coarse.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "tensor/convert.h"

typedef struct rig {
    fil_ctx    *ctx;
    fili_order  order;
    fili_blocks blocks;
    fili_arena  arena;
    fili_coarse coarse;
    int32_t     n, m, heads, d;
    float      *q, *k, *v;          /* [n, heads, d], in order */
    uint32_t   *mask;               /* [heads, m, words] */
    float      *score, *out;        /* [heads, m, m], [m, heads, d] */
    double     *want_score, *w_out; /* the definition */
} rig;

static void *array(size_t n, size_t size)
{
    void *p = calloc(n + 1, size);
    assert_non_null(p);
    return p;
}

static void open_rig(rig *r, int32_t threads, fili_grid grid, const char *order, int32_t heads,
                     int32_t d)
{
    fil_options     opt;
    fili_order_spec spec;
    *r = (rig){.heads = heads, .d = d};
    fil_options_init(&opt);
    opt.n_threads = threads;
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    assert_int_equal(fili_order_parse(r->ctx, order, &spec), FIL_OK);
    assert_int_equal(fili_order_init(&r->order, r->ctx, grid, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&r->blocks, &r->order), FIL_OK);
    r->n             = r->order.n;
    r->m             = r->order.n_pieces;
    const size_t n   = (size_t)r->n * (size_t)heads * (size_t)d;
    const size_t mm  = (size_t)heads * (size_t)r->m * (size_t)r->m;
    const size_t row = (size_t)r->m * (size_t)heads * (size_t)d;
    r->q             = array(n, sizeof *r->q);
    r->k             = array(n, sizeof *r->k);
    r->v             = array(n, sizeof *r->v);
    r->mask  = array((size_t)heads * (size_t)r->m * (size_t)fili_mask_words(r->m), sizeof *r->mask);
    r->score = array(mm, sizeof *r->score);
    r->out   = array(row, sizeof *r->out);
    r->want_score = array(mm, sizeof *r->want_score);
    r->w_out      = array(row, sizeof *r->w_out);
    fili_philox_normal(5, 1, 0, r->q, (int64_t)n);
    fili_philox_normal(5, 2, 0, r->k, (int64_t)n);
    fili_philox_normal(5, 3, 0, r->v, (int64_t)n);
    fili_arena_init(&r->arena, r->ctx, "test", 0);
}

static void close_rig(rig *r)
{
    fili_arena_fini(&r->arena);
    fili_blocks_fini(&r->blocks);
    fili_order_fini(&r->order);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
    free(r->q);
    free(r->k);
    free(r->v);
    free(r->mask);
    free(r->score);
    free(r->out);
    free(r->want_score);
    free(r->w_out);
}

static filk_attn_view view(const rig *r, const void *data)
{
    return (filk_attn_view){.data = data, .stride_n = (int64_t)r->heads * r->d, .stride_h = r->d};
}

static fili_coarse_io io_of(const rig *r, int32_t keep)
{
    return (fili_coarse_io){.q     = view(r, r->q),
                            .k     = view(r, r->k),
                            .v     = view(r, r->v),
                            .scale = 1.0f / sqrtf((float)r->d),
                            .keep  = keep,
                            .mask  = r->mask,
                            .score = r->score,
                            .out   = r->out};
}

static fil_status open_coarse(rig *r, fil_dtype dtype)
{
    const fili_coarse_shape shape = {.n           = r->n,
                                     .heads       = r->heads,
                                     .head_dim    = r->d,
                                     .dtype       = dtype,
                                     .m           = r->m,
                                     .offset      = r->order.piece,
                                     .with_output = 1};
    return fili_coarse_open(&r->coarse, r->ctx, &shape, &r->arena);
}

static void run(rig *r, int32_t keep)
{
    const fili_coarse_io io = io_of(r, keep);
    if (open_coarse(r, FIL_F32) != FIL_OK || fili_coarse_run(&r->coarse, &io) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
}

/* ---- the definition ------------------------------------------------------------------------- */

static double mean(const rig *r, const float *x, int32_t cube, int64_t channel)
{
    double sum = 0.0;
    for (int32_t i = r->order.piece[cube]; i < r->order.piece[cube + 1]; i++)
        sum += (double)x[(int64_t)i * r->heads * r->d + channel];
    return sum / (r->order.piece[cube + 1] - r->order.piece[cube]);
}

static void define(rig *r)
{
    for (int32_t h = 0; h < r->heads; h++)
        for (int32_t i = 0; i < r->m; i++) {
            double *s   = r->want_score + ((int64_t)h * r->m + i) * r->m;
            double  sum = 0.0;
            double  max = -1e300;
            for (int32_t j = 0; j < r->m; j++) {
                for (int32_t c = 0; c < r->d; c++)
                    s[j] += mean(r, r->q, i, h * r->d + c) * mean(r, r->k, j, h * r->d + c);
                s[j] /= sqrt((double)r->d);
                if (s[j] > max) max = s[j];
            }
            for (int32_t j = 0; j < r->m; j++)
                sum += exp(s[j] - max);
            for (int32_t c = 0; c < r->d; c++)
                for (int32_t j = 0; j < r->m; j++)
                    r->w_out[((int64_t)i * r->heads + h) * r->d + c] +=
                        exp(s[j] - max) / sum * mean(r, r->v, j, h * r->d + c);
        }
}

static void near(double found, double expected, double tolerance, const char *what)
{
    if (!(fabs(found - expected) <= tolerance * (fabs(expected) > 1.0 ? fabs(expected) : 1.0)))
        fail_msg("%s: %.9g, expected %.9g", what, found, expected);
}

static int kept(const rig *r, int32_t h, int32_t i, int32_t j)
{
    const uint32_t *row = r->mask + ((int64_t)h * r->m + i) * fili_mask_words(r->m);
    return (int)(row[j / 32] >> j % 32 & 1u);
}

/* The `keep` largest of the scores that were computed, ties to the lower index. */
static void expect_top(const rig *r, int32_t keep)
{
    for (int32_t h = 0; h < r->heads; h++)
        for (int32_t i = 0; i < r->m; i++) {
            const float *s = r->score + ((int64_t)h * r->m + i) * r->m;
            for (int32_t j = 0; j < r->m; j++) {
                int32_t before = 0;
                for (int32_t o = 0; o < r->m; o++)
                    before += s[o] > s[j] || (s[o] == s[j] && o < j);
                assert_int_equal(kept(r, h, i, j), before < keep);
            }
        }
}

static void expect_definition(rig *r)
{
    define(r);
    for (int64_t i = 0; i < (int64_t)r->heads * r->m * r->m; i++)
        near((double)r->score[i], r->want_score[i], 1e-5, "score");
    for (int64_t i = 0; i < (int64_t)r->m * r->heads * r->d; i++)
        near((double)r->out[i], r->w_out[i], 1e-5, "output");
}

static const struct {
    fili_grid   grid;
    const char *order;
    int32_t     heads, d;
} cases[] = {
    {{5, 6, 9}, "cubes 4x4x4", 2, 64},   {{1, 1, 1}, "cubes 4x4x4", 1, 64},
    {{2, 3, 3}, "cubes 4x4x4", 3, 128},  {{6, 10, 8}, "cubes 3x5x4", 2, 64},
    {{5, 9, 17}, "cubes 4x4x8", 1, 128}, {{3, 20, 33}, "cubes 4x4x4", 2, 64},
    {{9, 9, 9}, "cubes 1x1x3", 1, 64},
};

enum { CASES = sizeof cases / sizeof cases[0] };

static void it_equals_its_definition_on_whole_and_ragged_grids(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        rig r;
        open_rig(&r, 2, cases[i].grid, cases[i].order, cases[i].heads, cases[i].d);
        const int32_t keep = fili_coarse_keep(0.8, r.m);
        run(&r, keep);
        expect_definition(&r);
        expect_top(&r, keep);
        close_rig(&r);
    }
}

static void equal_scores_go_to_the_lower_index(void **state)
{
    rig r;
    (void)state;
    open_rig(&r, 1, (fili_grid){4, 12, 36}, "cubes 4x4x4", 2, 64);
    for (int64_t i = 0; i < (int64_t)r.n * r.heads * r.d; i++)
        r.k[i] = (float)(i % r.d) * 0.125f; /* all keys alike */
    run(&r, 5);
    for (int32_t h = 0; h < r.heads; h++)
        for (int32_t i = 0; i < r.m; i++)
            for (int32_t j = 0; j < r.m; j++)
                assert_int_equal(kept(&r, h, i, j), j < 5);
    close_rig(&r);
}

static void bits_are_the_same_for_any_number_of_threads(void **state)
{
    rig r[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        open_rig(&r[i], i == 0 ? 1 : 3, (fili_grid){5, 18, 22}, "cubes 4x4x4", 3, 64);
        run(&r[i], 9);
    }
    const size_t mm = (size_t)r[0].heads * (size_t)r[0].m * (size_t)r[0].m;
    assert_memory_equal(r[0].score, r[1].score, mm * sizeof(float));
    assert_memory_equal(r[0].out, r[1].out,
                        (size_t)r[0].m * (size_t)r[0].heads * (size_t)r[0].d * sizeof(float));
    close_rig(&r[0]);
    close_rig(&r[1]);
}

static void a_nan_in_a_value_leaves_the_mask_alone(void **state)
{
    rig r;
    (void)state;
    open_rig(&r, 1, (fili_grid){5, 6, 9}, "cubes 4x4x4", 2, 64);
    run(&r, 4);
    const size_t words = (size_t)r.heads * (size_t)r.m * (size_t)fili_mask_words(r.m);
    uint32_t    *mask  = array(words, sizeof *mask);
    memcpy(mask, r.mask, words * sizeof *mask);
    r.v[70 * r.heads * r.d] = NAN; /* head 0 */
    run(&r, 4);
    assert_memory_equal(mask, r.mask, words * sizeof *mask);
    for (int32_t i = 0; i < r.m; i++)
        assert_true(isfinite(r.out[(i * r.heads + 1) * r.d]));
    free(mask);
    close_rig(&r);
}

static void a_nan_in_a_key_stays_in_its_head_and_is_kept_last(void **state)
{
    rig r;
    (void)state;
    open_rig(&r, 1, (fili_grid){5, 6, 9}, "cubes 4x4x4", 2, 64);
    r.k[3] = NAN; /* cube 0, head 0 */
    run(&r, r.m - 1);
    for (int32_t i = 0; i < r.m; i++)
        for (int32_t j = 0; j < r.m; j++)
            assert_int_equal(kept(&r, 0, i, j), j != 0);
    for (int32_t i = 0; i < r.m * r.m; i++)
        assert_true(isfinite(r.score[r.m * r.m + i]));
    close_rig(&r);
}

static void bf16_input_is_pooled_in_f32(void **state)
{
    rig r;
    (void)state;
    open_rig(&r, 2, (fili_grid){5, 6, 9}, "cubes 4x4x4", 2, 128);
    const size_t            n    = (size_t)r.n * (size_t)r.heads * (size_t)r.d;
    const fili_convert_set *set  = fili_convert_select(FILI_ISA_REF);
    uint16_t               *half = array(3 * n, sizeof *half);
    float                  *x[3] = {r.q, r.k, r.v};
    for (size_t i = 0; i < 3; i++) {
        fili_convert_row(set, FIL_BF16, half + i * n, FIL_F32, x[i], n);
        fili_convert_row(set, FIL_F32, x[i], FIL_BF16, half + i * n, n);
    }
    fili_coarse_io io = io_of(&r, 3);
    io.q              = view(&r, half);
    io.k              = view(&r, half + n);
    io.v              = view(&r, half + 2 * n);
    assert_int_equal(open_coarse(&r, FIL_BF16), FIL_OK);
    assert_int_equal(fili_coarse_run(&r.coarse, &io), FIL_OK);
    expect_definition(&r);
    free(half);
    close_rig(&r);
}

static void what_cannot_be_is_refused(void **state)
{
    rig r;
    (void)state;
    open_rig(&r, 1, (fili_grid){5, 6, 9}, "cubes 4x4x4", 2, 64);
    assert_int_equal(open_coarse(&r, FIL_F32), FIL_OK);
    fili_coarse_io io = io_of(&r, 0);
    assert_int_equal(fili_coarse_run(&r.coarse, &io), FIL_E_ARG);
    io.keep = r.m + 1;
    assert_int_equal(fili_coarse_run(&r.coarse, &io), FIL_E_ARG);
    r.m = 0;
    assert_int_equal(open_coarse(&r, FIL_F32), FIL_E_ARG);
    r.m = r.order.n_pieces;
    close_rig(&r);
}

static void a_run_allocates_nothing(void **state)
{
    rig r;
    (void)state;
    open_rig(&r, 2, (fili_grid){5, 6, 9}, "cubes 4x4x4", 2, 64);
    assert_int_equal(open_coarse(&r, FIL_F32), FIL_OK);
    const fil_memory     before = fil_ctx_memory(r.ctx);
    const fili_coarse_io io     = io_of(&r, 4);
    assert_int_equal(fili_coarse_run(&r.coarse, &io), FIL_OK);
    assert_int_equal(fil_ctx_memory(r.ctx).used, before.used);
    assert_int_equal(fil_ctx_memory(r.ctx).peak, before.peak);
    close_rig(&r);
}

/* ---- cubes of several blocks ---------------------------------------------------------------- */

static void a_kept_cube_keeps_all_its_blocks_for_all_of_the_querys(void **state)
{
    static const char *const orders[] = {"cubes 4x4x8", "cubes 4x8x8", "cubes 3x5x4",
                                         "cubes 5x5x5"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        rig       r;
        fili_mask cubes;
        fili_mask blocks;
        open_rig(&r, 2, (fili_grid){5, 9, 19}, orders[i], 2, 64);
        int32_t *first = array((size_t)r.m + 1, sizeof *first);
        assert_int_equal(fili_coarse_blocks(&r.order, &r.blocks, first), FIL_OK);
        assert_int_equal(fili_mask_init(&cubes, r.ctx, 2, r.m, r.m), FIL_OK);
        assert_int_equal(fili_mask_init(&blocks, r.ctx, 2, r.blocks.m, r.blocks.m), FIL_OK);
        fili_mask_fill(&blocks); /* what was there is gone afterwards */
        for (int32_t k = 0; k < 2 * r.m * r.m; k += 3)
            assert_int_equal(fili_mask_set(&cubes, k / (r.m * r.m), k / r.m % r.m, k % r.m, true),
                             FIL_OK);
        assert_int_equal(fili_coarse_expand(&blocks, &cubes, first), FIL_OK);
        assert_int_equal(fili_mask_check(&blocks), FIL_OK);
        for (int32_t h = 0; h < 2; h++)
            for (int32_t a = 0; a < r.m; a++)
                for (int32_t c = 0; c < r.m; c++)
                    for (int32_t q = first[a]; q < first[a + 1]; q++)
                        for (int32_t k = first[c]; k < first[c + 1]; k++)
                            assert_int_equal(fili_mask_get(&blocks, h, q, k),
                                             fili_mask_get(&cubes, h, a, c));
        assert_int_equal(first[r.m], r.blocks.m);
        fili_mask_fini(&blocks);
        fili_mask_fini(&cubes);
        free(first);
        close_rig(&r);
    }
}

static void blocks_that_are_not_the_orders_are_refused(void **state)
{
    rig         r;
    fili_blocks other;
    int32_t     first[64];
    (void)state;
    open_rig(&r, 1, (fili_grid){5, 6, 9}, "cubes 4x4x4", 1, 64);
    assert_int_equal(fili_blocks_uniform(&other, r.ctx, r.n), FIL_OK);
    assert_int_equal(fili_coarse_blocks(&r.order, &other, first), FIL_E_ARG);
    fili_blocks_fini(&other);
    close_rig(&r);
}

/* ---- the count ------------------------------------------------------------------------------ */

static void the_count_is_the_formula_with_its_rounding(void **state)
{
    (void)state;
    assert_int_equal(fili_coarse_keep(0.7, 10), 4);
    assert_int_equal(fili_coarse_keep(0.9, 10), 1);
    assert_int_equal(fili_coarse_keep(0.9, 624), 63);
    assert_int_equal(fili_coarse_keep(0.8, 624), 125);
    assert_int_equal(fili_coarse_keep(0.75, 1440), 360);
    assert_int_equal(fili_coarse_keep(0.9, 1440), 144);
    assert_int_equal(fili_coarse_keep(0.0, 7), 7);
    assert_int_equal(fili_coarse_keep(1.0, 7), 1);
    assert_int_equal(fili_coarse_keep(-1.0, 7), 7);
    assert_int_equal(fili_coarse_keep(0.999, 1), 1);
}

static void the_count_equals_the_fixtures(void **state)
{
    const char *key;
    json_t     *value;
    (void)state;
    if (fixture_path("") == NULL) skip();
    json_t *root = json_load_file(fixture_path("methods/vsa.json"), 0, NULL);
    assert_non_null(root);
    const int32_t n = (int32_t)json_integer_value(json_object_get(root, "cubes"));
    json_object_foreach(json_object_get(root, "k_for"), key, value)
        assert_int_equal(fili_coarse_keep(strtod(key, NULL), n), json_integer_value(value));
    json_decref(root);
}

/* ---- the fixture ---------------------------------------------------------------------------- */

/* int8 [N,H,D] in raster order, times the step, in the order of the rig. */
static void take_int8(rig *r, const char *name, double step, float *to)
{
    int64_t      n;
    const size_t row = (size_t)r->heads * (size_t)r->d;
    signed char *data =
        fixture_tensor(r->ctx, fixture_path("methods/vsa.safetensors"), name, FIL_I8, &n);
    assert_int_equal(n, (int64_t)r->n * (int64_t)row);
    for (int32_t i = 0; i < r->n; i++)
        for (size_t c = 0; c < row; c++)
            to[(size_t)i * row + c] =
                (float)(step * (double)data[(size_t)r->order.order[i] * row + c]);
    free(data);
}

static void compare(rig *r, const char *name, const float *found, int64_t count)
{
    int64_t n;
    float  *want =
        fixture_tensor(r->ctx, fixture_path("methods/vsa.safetensors"), name, FIL_F32, &n);
    double worst = 0.0;
    assert_int_equal(n, count);
    for (int64_t i = 0; i < n; i++) {
        near((double)found[i], (double)want[i], 1e-5, name);
        worst = fmax(worst, fabs((double)found[i] - (double)want[i]));
    }
    printf("%-12s max difference %.1e\n", name, worst);
    free(want);
}

/* In place: scores become the softmax of their rows. */
static void softmax(const rig *r, float *s)
{
    for (int64_t row = 0; row < (int64_t)r->heads * r->m; row++, s += r->m) {
        double sum = 0.0;
        double max = (double)s[0];
        for (int32_t j = 1; j < r->m; j++)
            max = fmax(max, (double)s[j]);
        for (int32_t j = 0; j < r->m; j++)
            sum += exp((double)s[j] - max);
        for (int32_t j = 0; j < r->m; j++)
            s[j] = (float)(exp((double)s[j] - max) / sum);
    }
}

static void expect_mask(rig *r, int32_t k)
{
    char    name[16];
    int64_t n;
    snprintf(name, sizeof name, "mask_k%d", k);
    uint32_t *want =
        fixture_tensor(r->ctx, fixture_path("methods/vsa.safetensors"), name, FIL_U32, &n);
    snprintf(name, sizeof name, "gap_k%d", k);
    int64_t gaps;
    float  *gap =
        fixture_tensor(r->ctx, fixture_path("methods/vsa.safetensors"), name, FIL_F32, &gaps);
    assert_int_equal(gaps, (int64_t)r->heads * r->m);
    assert_int_equal(n, gaps * fili_mask_words(r->m));
    run(r, k);
    for (int64_t i = 0; i < gaps; i++)
        if (gap[i] > 1e-4f) assert_int_equal(r->mask[i], want[i]);
    free(want);
    free(gap);
}

static void it_equals_the_fixture(void **state)
{
    rig r;
    (void)state;
    if (fixture_path("") == NULL) skip();
    open_rig(&r, 2, (fili_grid){5, 6, 9}, "cubes 4x4x4", 2, 128);
    take_int8(&r, "q", 0.0625, r.q);
    take_int8(&r, "k", 0.125, r.k);
    take_int8(&r, "v", 0.03125, r.v);
    expect_mask(&r, 12);
    expect_mask(&r, 1);
    expect_mask(&r, 4);
    compare(&r, "scores", r.score, (int64_t)r.heads * r.m * r.m);
    compare(&r, "out_coarse", r.out, (int64_t)r.m * r.heads * r.d);
    softmax(&r, r.score);
    compare(&r, "attn_coarse", r.score, (int64_t)r.heads * r.m * r.m);
    close_rig(&r);
}

/* ---- failures ------------------------------------------------------------------------------- */

static void every_allocation_may_fail(void **state)
{
    alloc_fault f = {.at = -1};
    fil_options opt;
    fil_ctx    *ctx;
    fili_arena  arena;
    fili_coarse c;
    fil_status  status = FIL_E_NOMEM;
    (void)state;
    static const int32_t    offset[] = {0, 64, 70};
    const fili_coarse_shape shape    = {.n           = 70,
                                        .heads       = 2,
                                        .head_dim    = 64,
                                        .dtype       = FIL_F32,
                                        .m           = 2,
                                        .offset      = offset,
                                        .with_output = 1};
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&f);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    for (int64_t at = 0; status != FIL_OK; at++) {
        f.calls  = 0;
        f.failed = 0;
        f.at     = at;
        fili_ctx_enter(ctx);
        fili_arena_init(&arena, ctx, "test", 64);
        status = fili_coarse_open(&c, ctx, &shape, &arena);
        assert_int_equal(status, f.failed > 0 ? FIL_E_NOMEM : FIL_OK);
        fili_arena_fini(&arena);
        assert_int_equal(f.live, 1);
    }
    assert_true(f.calls > 1);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_equals_its_definition_on_whole_and_ragged_grids),
        cmocka_unit_test(equal_scores_go_to_the_lower_index),
        cmocka_unit_test(bits_are_the_same_for_any_number_of_threads),
        cmocka_unit_test(a_nan_in_a_value_leaves_the_mask_alone),
        cmocka_unit_test(a_nan_in_a_key_stays_in_its_head_and_is_kept_last),
        cmocka_unit_test(bf16_input_is_pooled_in_f32),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(a_run_allocates_nothing),
        cmocka_unit_test(a_kept_cube_keeps_all_its_blocks_for_all_of_the_querys),
        cmocka_unit_test(blocks_that_are_not_the_orders_are_refused),
        cmocka_unit_test(the_count_is_the_formula_with_its_rounding),
        cmocka_unit_test(the_count_equals_the_fixtures),
        cmocka_unit_test(it_equals_the_fixture),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
