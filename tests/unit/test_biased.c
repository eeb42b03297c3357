/* tests/unit/test_biased.c: nn/biased.h against its definition in f64. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "nn/biased.h"
#include "support/cmocka_all.h"

static fil_ctx *open_ctx(int32_t n_threads)
{
    fil_options opt;
    fil_ctx    *ctx;
    fil_options_init(&opt);
    opt.n_threads = n_threads;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    return ctx;
}

/* ---- buckets -------------------------------------------------------------------------------- */

/* The table of the specification: 32 buckets, distances up to 128. */
static int32_t by_table(int32_t distance)
{
    static const int32_t first[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91};
    const int32_t        n       = abs(distance);
    int32_t              bucket  = 0;
    for (int32_t i = 0; i < 16; i++)
        if (n >= first[i]) bucket = i;
    return bucket + (distance > 0 ? 16 : 0);
}

static void buckets_are_those_of_the_table(void **state)
{
    (void)state;
    for (int32_t d = -600; d <= 600; d++)
        if (fili_biased_bucket(d, 32) != by_table(d))
            fail_msg("distance %d: bucket %d, expected %d", d, fili_biased_bucket(d, 32),
                     by_table(d));
}

/* ---- attention ------------------------------------------------------------------------------ */

typedef struct problem {
    int32_t n, heads, d, buckets;
    float  *q, *k, *v, *bias, *out;
} problem;

static float *random_floats(uint64_t stream, size_t n, float scale)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    fili_philox_normal(3, stream, 0, x, (int64_t)n);
    for (size_t i = 0; i < n; i++)
        x[i] *= scale;
    return x;
}

static problem make(int32_t n, int32_t heads, int32_t d, float scale)
{
    const size_t size = (size_t)n * (size_t)heads * (size_t)d;
    problem      p    = {.n = n, .heads = heads, .d = d, .buckets = 32};
    p.q               = random_floats(1, size, scale);
    p.k               = random_floats(2, size, 1.0f);
    p.v               = random_floats(3, size, 1.0f);
    p.bias            = random_floats(4, 32 * (size_t)heads, 1.0f);
    p.out             = malloc(size * sizeof(float));
    assert_non_null(p.out);
    return p;
}

static void drop(problem *p)
{
    free(p->q);
    free(p->k);
    free(p->v);
    free(p->bias);
    free(p->out);
}

static void run(fil_ctx *ctx, const problem *p)
{
    const fili_biased_shape shape = {
        .n = p->n, .heads = p->heads, .head_dim = p->d, .buckets = p->buckets};
    const fili_biased_io io = {
        .q = p->q, .k = p->k, .v = p->v, .bias = p->bias, .out = p->out, .out_dtype = FIL_F32};
    fili_biased b;
    void       *space;
    assert_int_equal(fili_biased_open(&b, ctx, &shape), FIL_OK);
    assert_int_equal(fili_alloc(ctx, b.workspace, "test", &space), FIL_OK);
    assert_int_equal(fili_biased_forward(&b, &io, space), FIL_OK);
    fili_free(ctx, space, b.workspace);
    fili_biased_close(&b);
    fili_biased_close(&b);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
}

/* Row i of head h in f64; *most = the largest |v| there, for the tolerance. */
static void oracle(const problem *p, int32_t h, int32_t i, double *out, double *logits)
{
    const int32_t stride = p->heads * p->d;
    double        top    = -(double)INFINITY;
    double        sum    = 0.0;
    for (int32_t j = 0; j < p->n; j++) {
        logits[j] = (double)p->bias[by_table(j - i) * p->heads + h];
        for (int32_t c = 0; c < p->d; c++)
            logits[j] +=
                (double)p->q[i * stride + h * p->d + c] * (double)p->k[j * stride + h * p->d + c];
        top = fmax(top, logits[j]);
    }
    memset(out, 0, (size_t)p->d * sizeof *out);
    for (int32_t j = 0; j < p->n; j++) {
        const double e = exp(logits[j] - top);
        sum += e;
        for (int32_t c = 0; c < p->d; c++)
            out[c] += e * (double)p->v[j * stride + h * p->d + c];
    }
    for (int32_t c = 0; c < p->d; c++)
        out[c] /= sum;
}

static void check(int32_t n, int32_t heads, int32_t d, float scale)
{
    fil_ctx *ctx    = open_ctx(2);
    problem  p      = make(n, heads, d, scale);
    double  *row    = malloc((size_t)d * sizeof *row);
    double  *logits = malloc((size_t)n * sizeof *logits);
    double   error  = 0.0;
    double   size   = 0.0;
    assert_non_null(row);
    assert_non_null(logits);
    run(ctx, &p);
    for (int32_t h = 0; h < heads; h++)
        for (int32_t i = 0; i < n; i++) {
            oracle(&p, h, i, row, logits);
            for (int32_t c = 0; c < d; c++) {
                const double e = (double)p.out[(i * heads + h) * d + c] - row[c];
                error += e * e;
                size += row[c] * row[c];
            }
        }
    if (!(sqrt(error / size) <= 2e-6))
        fail_msg("n %d, %d heads of %d: %.3g", n, heads, d, sqrt(error / size));
    free(row);
    free(logits);
    drop(&p);
    fil_ctx_close(&ctx);
}

static void it_is_softmax_of_products_and_bias(void **state)
{
    (void)state;
    check(1, 1, 4, 1.0f);
    check(2, 3, 8, 1.0f);
    check(17, 2, 16, 1.0f);
    check(130, 2, 64, 1.0f);
    check(301, 1, 24, 0.3f);
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    check(33, 2, 32, 10.0f);
}

static void the_bits_are_the_same_for_any_number_of_threads(void **state)
{
    fil_ctx     *one  = open_ctx(1);
    problem      p    = make(97, 5, 16, 1.0f);
    const size_t size = 97 * 5 * 16 * sizeof(float);
    float       *kept = malloc(size);
    (void)state;
    assert_non_null(kept);
    run(one, &p);
    memcpy(kept, p.out, size);
    for (int32_t n = 2; n <= 9; n++) {
        fil_ctx *ctx = open_ctx(n);
        memset(p.out, 0xff, size);
        run(ctx, &p);
        assert_memory_equal(p.out, kept, size);
        fil_ctx_close(&ctx);
    }
    free(kept);
    drop(&p);
    fil_ctx_close(&one);
}

static void nan_in_a_query_reaches_its_row_alone(void **state)
{
    fil_ctx *ctx = open_ctx(1);
    problem  p   = make(20, 2, 8, 1.0f);
    (void)state;
    p.q[5 * 16 + 3] = NAN; /* row 5, head 0 */
    run(ctx, &p);
    for (int32_t i = 0; i < 20; i++)
        for (int32_t c = 0; c < 16; c++)
            assert_int_equal(isnan(p.out[i * 16 + c]) != 0, i == 5 && c < 8);
    drop(&p);
    fil_ctx_close(&ctx);
}

static void shapes_that_make_no_sense_are_refused(void **state)
{
    static const fili_biased_shape bad[] = {
        {.n = 0, .heads = 1, .head_dim = 4, .buckets = 32},
        {.n = 4, .heads = 0, .head_dim = 4, .buckets = 32},
        {.n = 4, .heads = 1, .head_dim = 0, .buckets = 32},
        {.n = 4, .heads = 1, .head_dim = 4, .buckets = 6},
        {.n = 1 << 20, .heads = 1, .head_dim = 4, .buckets = 32}};
    fil_ctx *ctx = open_ctx(1);
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fili_biased b;
        assert_int_equal(fili_biased_open(&b, ctx, &bad[i]), FIL_E_ARG);
    }
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_those_of_the_table),
        cmocka_unit_test(it_is_softmax_of_products_and_bias),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(the_bits_are_the_same_for_any_number_of_threads),
        cmocka_unit_test(nan_in_a_query_reaches_its_row_alone),
        cmocka_unit_test(shapes_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
