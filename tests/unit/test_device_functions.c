/* tests/unit/test_device_functions.c: the small functions of a backend that are no family
 * (kernel/device_rows.h), on the device that FIL_DEVICE names, against the CPU's, at sizes and
 * addresses where vectors end. Without a device it is skipped; over the backend on the CPU it holds
 * the way there and back.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/device_rows.h"
#include "nn/elementwise.h"
#include "support/cmocka_all.h"
#include "tensor/convert.h"

enum { SKIPPED = 77, MOST = 100003, PAD = 4 };

static fil_ctx *ctx, *cpu;

static void must(fil_status status)
{
    if (status != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
}

/* A copy on the device, `off` bytes behind an address on 256. */
typedef struct there {
    char  *block, *at;
    size_t bytes;
} there;

static there put(const void *data, size_t bytes, size_t off)
{
    there t = {.bytes = bytes};
    void *block;
    must(fili_device_alloc(ctx, bytes + 256, "a test", &block));
    t.block = block;
    t.at    = t.block + off;
    if (bytes > 0) must(filk_device_put(ctx, t.at, data, bytes));
    return t;
}

static void drop(there *t, void *copy)
{
    if (copy != NULL) must(filk_device_get(ctx, copy, t->at, t->bytes));
    fili_device_free(ctx, t->block, t->bytes + 256);
}

static float numbers[MOST];

/* ---- what is not finite --------------------------------------------------------------------- */

static void expect_found(int64_t n, size_t off)
{
    int64_t at;
    float   value;
    there   t = put(numbers, (size_t)n * sizeof *numbers, off * sizeof *numbers);
    must(fili_find_nonfinite(ctx, (const float *)(const void *)t.at, n, &at, &value));
    assert_int_equal(at, fili_first_nonfinite(numbers, n));
    if (at < n) assert_memory_equal(&value, &numbers[at], sizeof value);
    drop(&t, NULL);
}

static void the_first_that_is_not_finite_is_found_wherever_it_lies(void **state)
{
    static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 63, 1000, MOST - PAD};
    static const float   kinds[] = {NAN, INFINITY, -INFINITY};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (size_t off = 0; off < 4; off++) {
            const int64_t n       = sizes[s];
            const int64_t place[] = {0, 1, 2, 3, n / 2, n - 4, n - 3, n - 2, n - 1};
            expect_found(n, off);
            for (size_t p = 0; p < sizeof place / sizeof place[0]; p++) {
                if (place[p] < 0 || place[p] >= n) continue;
                const float kept  = numbers[place[p]];
                const float last  = numbers[n - 1];
                numbers[n - 1]    = NAN; /* a later one */
                numbers[place[p]] = kinds[p % 3];
                expect_found(n, off);
                numbers[n - 1]    = last;
                numbers[place[p]] = kept;
            }
        }
}

/* ---- the gate ------------------------------------------------------------------------------- */

static void convert(fil_dtype dtype, void *out, const float *x, int64_t n)
{
    must(fili_convert(ctx, dtype, out, FIL_F32, x, n));
}

static void expect_gated(fil_dtype dtype, int64_t cols)
{
    static const int32_t offset[] = {0, 1, 4, 9};
    const int64_t        n        = 9 * cols;
    const size_t         bytes    = (size_t)n * fil_dtype_bits(dtype) / 8;
    float               *coarse   = malloc((size_t)(3 * cols) * sizeof *coarse);
    float               *raw      = malloc((size_t)n * sizeof *raw);
    char                *gate     = malloc(bytes);
    char                *want     = malloc(bytes);
    char                *got      = malloc(bytes);
    assert_true(coarse != NULL && raw != NULL && gate != NULL && want != NULL && got != NULL);
    for (int64_t i = 0; i < n; i++)
        raw[i] = i % 5 == 0 ? (i % 2 == 0 ? 0.0f : -0.0f) : numbers[i];
    memcpy(coarse, numbers + 100, (size_t)(3 * cols) * sizeof *coarse);
    coarse[0] = NAN; /* behind a gate of 0 in the first row */
    convert(dtype, gate, raw, n);
    convert(dtype, want, numbers + 7, n);
    fili_gated g = {
        .dtype = dtype, .gate = gate, .coarse = coarse, .offset = offset, .m = 3, .cols = cols};
    there on[2] = {put(gate, bytes, 0), put(want, bytes, 0)};
    g.out       = want;
    assert_int_equal(fili_gated_add(cpu, &g), FIL_OK);
    g.gate = on[0].at;
    g.out  = on[1].at;
    must(fili_gated_add(ctx, &g));
    drop(&on[1], got);
    drop(&on[0], NULL);
    assert_memory_equal(got, want, bytes);
    free(coarse);
    free(raw);
    free(gate);
    free(want);
    free(got);
}

static void a_gated_branch_is_added_to_the_bits_of_the_cpu(void **state)
{
    static const int64_t cols[] = {1, 5, 64, 300};
    (void)state;
    for (size_t i = 0; i < sizeof cols / sizeof cols[0]; i++) {
        expect_gated(FIL_BF16, cols[i]);
        expect_gated(FIL_F32, cols[i]);
    }
}

/* ---- frames --------------------------------------------------------------------------------- */

static void casts_round_as_the_cpu_does(void **state)
{
    static const fil_dtype types[] = {FIL_BF16, FIL_F32};
    static char            want[MOST * 4], got[MOST * 4];
    (void)state;
    for (int t = 0; t < 2; t++)
        for (int64_t n = 1; n < MOST; n = 10 * n + 3) {
            const filk_cast_problem p     = {.n = n, .dtype = types[t]};
            const size_t            bytes = (size_t)n * fil_dtype_bits(types[t]) / 8;
            there                   x     = put(numbers, (size_t)n * sizeof *numbers, 0);

            memset(got, 0, bytes);
            there                out = put(got, bytes, 0);
            const filk_cast_args a   = {.x = (const float *)(const void *)x.at, .out = out.at};
            must(filk_device_cast(ctx, &p, &a));
            drop(&out, got);
            drop(&x, NULL);
            convert(types[t], want, numbers, n);
            assert_memory_equal(got, want, bytes);
        }
}

static void four_parts_make_a_frame_that_is_twice_as_large(void **state)
{
    enum { H = 3, W = 5, C = 7, ALL = 4 * H * W * C };
    float got[ALL];
    (void)state;
    memset(got, 0xff, sizeof got);
    there to = put(got, sizeof got, 0);
    for (int32_t part = 0; part < 4; part++) {
        const filk_double_problem p    = {.h = H, .w = W, .c = C, .part = part};
        there                     from = put(numbers + part * 1000, H * W * C * sizeof *numbers, 0);
        const filk_double_args    a    = {.from = (const float *)(const void *)from.at,
                                          .to   = (float *)(void *)to.at};
        must(filk_device_double(ctx, &p, &a));
        drop(&from, NULL);
    }
    drop(&to, got);
    for (int y = 0; y < 2 * H; y++)
        for (int x = 0; x < 2 * W; x++)
            for (int c = 0; c < C; c++) {
                const int    part = y % 2 * 2 + x % 2;
                const float *from = numbers + part * 1000 + ((y / 2) * W + x / 2) * C;
                assert_true(got[(y * 2 * W + x) * C + c] == from[c]);
            }
}

/* ---- softmax -------------------------------------------------------------------------------- */

static void expect_softmax(const float *x, const float *got, int64_t n, double scale)
{
    double most = -(double)INFINITY;
    double sum  = 0.0;
    int    odd  = 0;
    for (int64_t i = 0; i < n; i++) {
        odd |= !isfinite(x[i]) && x[i] != -INFINITY;
        most = fmax(most, (double)x[i] * scale);
    }
    odd |= most == -(double)INFINITY;
    for (int64_t i = 0; i < n; i++)
        sum += exp((double)x[i] * scale - most);
    for (int64_t i = 0; i < n; i++) {
        const double want = exp((double)x[i] * scale - most) / sum;
        if (odd ? !isnan(got[i]) : !(fabs((double)got[i] - want) <= 4e-6 * want + 1e-37))
            fail_msg("%lld of %lld: %g, expected %g", (long long)i, (long long)n, (double)got[i],
                     odd ? (double)NAN : want);
    }
}

static void rows_of_softmax_sum_to_one_or_are_nan(void **state)
{
    enum { ROWS = 5 };
    static const int64_t sizes[] = {1, 2, 31, 33, 256, 257, 1000};
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        const int64_t n     = sizes[s];
        const size_t  bytes = (size_t)(ROWS * n) * sizeof(float);
        float        *x     = malloc(bytes);
        float        *got   = malloc(bytes);
        assert_true(x != NULL && got != NULL);
        memcpy(x, numbers, bytes);
        x[n + n / 2]     = NAN;
        x[2 * n + n / 3] = INFINITY;
        x[3 * n]         = -INFINITY;
        for (int64_t i = 0; i < n; i++)
            x[4 * n + i] = -INFINITY;
        const filk_softmax_problem p = {.rows = ROWS, .n = n, .scale = 2.5f};
        there                      t = put(x, bytes, 0);
        must(filk_device_softmax(ctx, &p, &(filk_softmax_args){.x = (float *)(void *)t.at}));
        drop(&t, got);
        for (int64_t r = 0; r < ROWS; r++)
            expect_softmax(x + r * n, got + r * n, n, 2.5);
        free(x);
        free(got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_that_is_not_finite_is_found_wherever_it_lies),
        cmocka_unit_test(a_gated_branch_is_added_to_the_bits_of_the_cpu),
        cmocka_unit_test(casts_round_as_the_cpu_does),
        cmocka_unit_test(four_parts_make_a_frame_that_is_twice_as_large),
        cmocka_unit_test(rows_of_softmax_sum_to_one_or_are_nan),
    };
    fil_options opt;
    fil_options_init(&opt);
    opt.device = "cpu";
    if (fil_ctx_open(&ctx, NULL) != FIL_OK || fil_ctx_open(&cpu, &opt) != FIL_OK) return 1;
    int failed = SKIPPED;
    fili_philox_normal(11, 1, 0, numbers, MOST);
    if (ctx->device != NULL)
        failed = cmocka_run_group_tests(tests, NULL, NULL);
    else
        printf("skipped: no device is open (FIL_DEVICE)\n");
    fil_ctx_close(&ctx);
    fil_ctx_close(&cpu);
    return failed;
}
