/* tests/kernel/check_pooling.c: every row of pooling against means in f64, computed here from the
 * definition (kernel/pooling.h). Tolerance: (count + 2) EPS mean |x| for f32, and one rounding to
 * bf16 on top where that is the output. It does not test attention's tail, which reads the result.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernel/check.h"
#include "kernel/pooling.h"
#include "kernel/row_run.h"

#define EPS 0x1p-24

typedef struct pool_case {
    filk_pooling_problem p;
    filk_pooling_args    a;
    row_tensor           x;
    int32_t             *offset, *sinks;
    check_buffer         wide, half, count;
} pool_case;

/* Normal x in n tokens; offset is filled by row_runs; no sinks. */
static void make_case(pool_case *c, check_rng *rng, int64_t n, int32_t heads, int32_t D,
                      fil_dtype dtype)
{
    memset(c, 0, sizeof *c);
    c->offset = row_need(malloc(sizeof(int32_t) * (size_t)(n + 1)));
    c->sinks  = row_need(calloc((size_t)heads * FILK_MAX_SINKS, sizeof(int32_t)));
    c->p      = (filk_pooling_problem){
             .n = n, .heads = heads, .head_dim = D, .dtype = dtype, .offset = c->offset};
    c->p.m = row_runs(rng, n, c->offset);
    row_tensor_make(&c->x, rng, dtype, n, heads, D);
    for (int64_t i = 0; i < n; i++)
        for (int32_t h = 0; h < heads; h++)
            for (int32_t d = 0; d < D; d++)
                row_tensor_set(&c->x, i, h, d, check_normal(rng) + 0.25);
    const size_t cells = (size_t)n * (size_t)heads;
    check_buffer_make(&c->wide, cells * (size_t)D * sizeof(float), 4, 0);
    check_buffer_make(&c->half, cells * (size_t)D * 2, 2, 0);
    check_buffer_make(&c->count, cells * sizeof(int32_t), 4, 0);
    c->a = (filk_pooling_args){.x              = c->x.view,
                               .out_f32        = (float *)(void *)c->wide.data,
                               .out_bf16       = (uint16_t *)(void *)c->half.data,
                               .count          = (int32_t *)(void *)c->count.data,
                               .count_stride_h = c->p.m};
}

static void free_case(pool_case *c)
{
    check_buffer_free(&c->x.buffer);
    check_buffer_free(&c->wide);
    check_buffer_free(&c->half);
    check_buffer_free(&c->count);
    free(c->offset);
    free(c->sinks);
}

/* n sinks, rising; one list for all heads, or one each. */
static void add_sinks(pool_case *c, check_rng *rng, int32_t n, int shared)
{
    const int32_t lists = shared ? 1 : c->p.heads;
    if (n > c->p.n) n = (int32_t)c->p.n;
    for (int32_t h = 0; h < lists; h++) {
        int64_t token = -1;
        for (int32_t i = 0; i < n; i++) {
            token               = check_between(rng, token + 1, c->p.n - n + i);
            c->sinks[h * n + i] = (int32_t)token;
        }
    }
    c->a.sinks          = c->sinks;
    c->a.n_sinks        = n;
    c->a.sinks_stride_h = shared ? 0 : n;
    c->a.count_stride_h = shared ? 0 : c->p.m;
}

static void run_case(const filk_row *row, pool_case *c, int32_t n_threads)
{
    memset(c->wide.data, 0xFF, c->wide.bytes);
    memset(c->half.data, 0xFF, c->half.bytes);
    memset(c->count.data, 0xFF, c->count.bytes);
    row_run(row, &c->p, &c->a, n_threads);
    if (!check_buffer_intact(&c->wide) || !check_buffer_intact(&c->half) ||
        !check_buffer_intact(&c->count))
        check_fail("run wrote beside its outputs");
}

static int is_sink(const pool_case *c, int32_t h, int64_t token)
{
    for (int32_t i = 0; i < c->a.n_sinks; i++)
        if (c->a.sinks[h * c->a.sinks_stride_h + i] == token) return 1;
    return 0;
}

/* The mean of one channel, and of its magnitudes. Returns the count. */
static int32_t mean_of(const pool_case *c, int32_t run, int32_t h, int32_t d, double *mean,
                       double *size)
{
    int32_t n = 0;
    *mean = *size = 0.0;
    for (int64_t i = c->offset[run]; i < c->offset[run + 1]; i++) {
        if (is_sink(c, h, i)) continue;
        const double x = check_load(c->x.dtype, c->x.buffer.data, row_tensor_at(&c->x, i, h, d));
        *mean += x;
        *size += fabs(x);
        n++;
    }
    if (n > 0) *mean /= n;
    if (n > 0) *size /= n;
    return n;
}

static void verify(const pool_case *c)
{
    check_report wide = {.what = "out_f32"};
    check_report half = {.what = "out_bf16"};
    for (int32_t run = 0; run < c->p.m; run++)
        for (int32_t h = 0; h < c->p.heads; h++) {
            int32_t n = 0;
            for (int32_t d = 0; d < c->p.head_dim; d++) {
                double        mean, size;
                const int64_t at = ((int64_t)run * c->p.heads + h) * c->p.head_dim + d;
                n                = mean_of(c, run, h, d, &mean, &size);
                const double tol = (n + 2) * EPS * size;
                if (c->a.out_f32 != NULL)
                    check_value(&wide, run, h, d, (double)c->a.out_f32[at], mean, tol);
                if (c->a.out_bf16 != NULL)
                    check_value(&half, run, h, d, check_load(FIL_BF16, c->a.out_bf16, at), mean,
                                tol + check_eps(FIL_BF16) * fabs(mean));
            }
            if (c->a.count != NULL && c->a.count[h * c->a.count_stride_h + run] != n)
                check_fail("count[%d, %d] is %d, expected %d", h, run,
                           c->a.count[h * c->a.count_stride_h + run], n);
        }
    check_report_verdict(&wide, 1e-12);
    check_report_verdict(&half, 1e-5);
}

static void random_problems_agree_with_the_definition(const filk_row *row)
{
    for (int64_t i = 0; i < check_opt.problems; i++) {
        check_rng     rng   = {.seed = check_opt.seed + (uint64_t)i};
        const int32_t D     = check_chance(&rng, 40) ? 64 : check_chance(&rng, 60) ? 128 : 13;
        const int64_t n     = check_between(&rng, 1, 300);
        const int32_t heads = (int32_t)check_between(&rng, 1, 5);
        pool_case     c;
        check_case(row->name, __func__, rng.seed);
        make_case(&c, &rng, n, heads, D, check_chance(&rng, 50) ? FIL_BF16 : FIL_F32);
        if (check_chance(&rng, 60))
            add_sinks(&c, &rng, (int32_t)check_between(&rng, 1, FILK_MAX_SINKS),
                      check_chance(&rng, 50));
        if (check_chance(&rng, 20)) c.a.out_f32 = NULL;
        if (check_chance(&rng, 20)) c.a.out_bf16 = NULL;
        if (check_chance(&rng, 20)) c.a.count = NULL;
        run_case(row, &c, 2);
        verify(&c);
        free_case(&c);
    }
}

static void runs_of_16_and_longer_than_a_block_agree(const filk_row *row)
{
    static const int32_t sizes[] = {1, 16, 64, 200};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_rng rng = {.seed = check_opt.seed, .stream = 1};
        pool_case c;
        make_case(&c, &rng, 230, 2, 64, FIL_BF16);
        c.p.m = 0;
        while (c.offset[c.p.m] < 230) {
            const int32_t next = c.offset[c.p.m] + sizes[i];
            c.offset[++c.p.m]  = next < 230 ? next : 230;
        }
        c.a.count_stride_h = c.p.m;
        run_case(row, &c, 1);
        verify(&c);
        free_case(&c);
    }
}

static void a_run_of_sinks_alone_is_zeros_with_count_0(const filk_row *row)
{
    check_rng rng = {.seed = check_opt.seed, .stream = 2};
    pool_case c;
    make_case(&c, &rng, 130, 3, 64, FIL_BF16);
    c.p.m       = 3;
    c.offset[1] = 60;
    c.offset[2] = 62;
    c.offset[3] = 130;
    add_sinks(&c, &rng, 2, 1);
    c.sinks[0] = 60;
    c.sinks[1] = 61;
    for (int32_t d = 0; d < 64; d++)
        row_tensor_set(&c.x, 60, 1, d, (double)NAN);
    run_case(row, &c, 1);
    verify(&c);
    assert_int_equal(c.a.count[1], 0);
    for (int32_t i = 0; i < 3 * 64; i++)
        assert_true(c.a.out_f32[3 * 64 + i] == 0.0f && c.a.out_bf16[3 * 64 + i] == 0);
    free_case(&c);
}

static void a_run_of_no_tokens_is_zeros_with_count_0(const filk_row *row)
{
    check_rng rng = {.seed = check_opt.seed, .stream = 3};
    pool_case c;
    make_case(&c, &rng, 100, 1, 64, FIL_F32);
    c.p.m              = 3;
    c.offset[1]        = 50;
    c.offset[2]        = 50;
    c.offset[3]        = 100;
    c.a.count_stride_h = 3;
    run_case(row, &c, 1);
    verify(&c);
    free_case(&c);
}

static void nan_and_infinity_stay_in_their_run_head_and_channel(const filk_row *row)
{
    check_rng rng = {.seed = check_opt.seed, .stream = 4};
    pool_case c;
    make_case(&c, &rng, 200, 3, 64, FIL_BF16);
    row_tensor_set(&c.x, 70, 1, 5, (double)NAN);
    row_tensor_set(&c.x, 71, 2, 6, (double)INFINITY);
    row_tensor_set(&c.x, 72, 0, 7, (double)INFINITY);
    row_tensor_set(&c.x, 73, 0, 7, -(double)INFINITY);
    run_case(row, &c, 1);
    verify(&c);
    free_case(&c);
}

static void bad_values_in_a_sink_have_no_effect(const filk_row *row)
{
    for (int shared = 0; shared < 2; shared++) {
        check_rng rng = {.seed = check_opt.seed, .stream = 5};
        pool_case c;
        make_case(&c, &rng, 300, 3, 64, FIL_F32);
        add_sinks(&c, &rng, 9, shared);
        for (int32_t h = 0; h < 3; h++)
            for (int32_t i = 0; i < 9; i++)
                row_tensor_set(&c.x, c.sinks[h * c.a.sinks_stride_h + i], h, i,
                               i % 2 ? (double)NAN : (double)INFINITY);
        run_case(row, &c, 1);
        verify(&c);
        free_case(&c);
    }
}

static void denormals_are_kept(const filk_row *row)
{
    check_rng rng = {.seed = check_opt.seed, .stream = 6};
    pool_case c;
    make_case(&c, &rng, 4, 1, 64, FIL_BF16);
    c.p.m       = 1;
    c.offset[1] = 4;
    for (int64_t i = 0; i < 4; i++)
        for (int32_t d = 0; d < 64; d++)
            row_tensor_set(&c.x, i, 0, d, 0x1p-130);
    run_case(row, &c, 1);
    for (int32_t d = 0; d < 64; d++) {
        assert_true(c.a.out_f32[d] == 0x1p-130f);
        assert_true(check_load(FIL_BF16, c.a.out_bf16, d) == 0x1p-130);
    }
    free_case(&c);
}

static void same_bits_for_any_number_of_threads(const filk_row *row)
{
    static const int32_t threads[] = {2, 3, 7};
    check_rng            rng       = {.seed = check_opt.seed, .stream = 7};
    pool_case            c;
    make_case(&c, &rng, 1025, 3, 128, FIL_BF16);
    add_sinks(&c, &rng, 20, 1);
    run_case(row, &c, 1);
    void *wide = row_need(malloc(c.wide.bytes));
    memcpy(wide, c.wide.data, c.wide.bytes);
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        run_case(row, &c, threads[t]);
        check_same_bytes("out_f32", c.wide.data, wide, c.wide.bytes);
    }
    verify(&c);
    free(wide);
    free_case(&c);
}

static void integers_are_refused(const filk_row *row)
{
    const filk_pooling_problem p = {.dtype = FIL_I8};
    assert_non_null(row->refuse(&p));
}

/* ---- fixtures ------------------------------------------------------------------------------- */

/* Means over tiles of 16 tokens of the named int8 tensor, in the order hilbert_xyz. */
static float *pool_tiles(const filk_row *row, fil_file *file, const char *name, int32_t *tiles,
                         int32_t *heads, int32_t *D)
{
    check_rng       rng = {.seed = check_opt.seed, .stream = 8};
    fil_tensor_info info;
    pool_case       c;
    int32_t        *order = row_fixture(file, "order_hilbert_xyz", &info);
    signed char    *x     = row_fixture(file, name, &info);
    const int64_t   n     = info.shape[0];
    *heads                = (int32_t)info.shape[1];
    *D                    = (int32_t)info.shape[2];
    make_case(&c, &rng, n, *heads, *D, FIL_BF16);
    for (int64_t i = 0; i < n; i++)
        for (int32_t h = 0; h < *heads; h++)
            for (int32_t d = 0; d < *D; d++)
                row_tensor_set(&c.x, i, h, d, x[((int64_t)order[i] * *heads + h) * *D + d]);
    c.p.m = (int32_t)((n + 15) / 16);
    for (int32_t i = 0; i <= c.p.m; i++)
        c.offset[i] = i * 16 < n ? i * 16 : (int32_t)n;
    c.a.count_stride_h = c.p.m;
    run_case(row, &c, 2);
    *tiles             = c.p.m;
    const size_t bytes = sizeof(float) * (size_t)(c.p.m * *heads * *D);
    float       *out   = row_need(malloc(bytes));
    memcpy(out, c.a.out_f32, bytes);
    free(order);
    free(x);
    free_case(&c);
    return out;
}

/* One row of the softmax over tile scores. unit: q_step k_step / sqrt(D). */
static void tile_row(const float *q, const float *k, int32_t tiles, int64_t stride, int32_t D,
                     double unit, double *out)
{
    double max = -(double)INFINITY;
    double sum = 0.0;
    for (int32_t t = 0; t < tiles; t++) {
        out[t] = 0.0;
        for (int32_t d = 0; d < D; d++)
            out[t] += unit * (double)q[d] * (double)k[t * stride + d];
        if (out[t] > max) max = out[t];
    }
    for (int32_t t = 0; t < tiles; t++)
        sum += out[t] = exp(out[t] - max);
    for (int32_t t = 0; t < tiles; t++)
        out[t] /= sum;
}

static void tile_scores_of_the_fixture_agree(const filk_row *row)
{
    const char     *folder = getenv("FIL_FIXTURES");
    check_report    report = {.what = "dfs_tile16"};
    char            path[512];
    fil_ctx        *ctx  = NULL;
    fil_file       *file = NULL;
    fil_tensor_info info;
    int32_t         tiles, heads, D;
    static double   got[75];
    const char     *key, *value;
    double          unit = 1.0;
    if (folder == NULL) {
        check_case(NULL, NULL, 0);
        skip();
    }
    snprintf(path, sizeof path, "%s/methods/attention_a.safetensors", folder);
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    if (fil_file_open(ctx, path, 0, &file) != FIL_OK) check_fail("%s", fil_ctx_error(ctx)->message);
    for (size_t i = 0; i < fil_file_metadata_pairs(file); i++) {
        fil_file_metadata(file, i, &key, &value);
        if (strcmp(key, "q_step") == 0 || strcmp(key, "k_step") == 0) unit *= atof(value);
    }
    float *q    = pool_tiles(row, file, "q", &tiles, &heads, &D);
    float *k    = pool_tiles(row, file, "k", &tiles, &heads, &D);
    float *want = row_fixture(file, "dfs_tile16", &info);
    assert_int_equal(tiles, 75);
    for (int32_t h = 0; h < heads; h++)
        for (int32_t t = 0; t < tiles; t++) {
            tile_row(q + (t * heads + h) * D, k + h * D, tiles, heads * D, D,
                     unit / sqrt((double)D), got);
            for (int32_t b = 0; b < tiles; b++)
                check_value(&report, h, t, b, got[b], (double)want[(h * tiles + t) * tiles + b],
                            1e-5);
        }
    free(q);
    free(k);
    free(want);
    fil_file_close(&file);
    fil_ctx_close(&ctx);
    check_report_verdict(&report, 1e-9);
}

/* ---- the list ------------------------------------------------------------------------------- */

#define TEST(claim)                                                                                \
    {                                                                                              \
#claim, claim                                                                              \
    }

static const check_test tests[] = {
    TEST(random_problems_agree_with_the_definition),
    TEST(runs_of_16_and_longer_than_a_block_agree),
    TEST(a_run_of_sinks_alone_is_zeros_with_count_0),
    TEST(a_run_of_no_tokens_is_zeros_with_count_0),
    TEST(nan_and_infinity_stay_in_their_run_head_and_channel),
    TEST(bad_values_in_a_sink_have_no_effect),
    TEST(denormals_are_kept),
    TEST(same_bits_for_any_number_of_threads),
    TEST(integers_are_refused),
    TEST(tile_scores_of_the_fixture_agree),
};

int main(int argc, char **argv)
{
    if (check_options_read(argc, argv, "check_pooling", 40) != 0) return 2;
    return check_run(&filk_pooling, tests, sizeof tests / sizeof tests[0]);
}
