/* tests/unit/test_select_top.c: the k largest of a row of scores (kernel/select.h) against a slow
 * rule of its own: how many numbers rank before each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/select.h"
#include "support/cmocka_all.h"

enum { MOST = 700 };

static int ranks_before(const float *x, int32_t a, int32_t b)
{
    if (isnan(x[a]) || isnan(x[b])) return isnan(x[a]) && isnan(x[b]) ? a < b : isnan(x[b]);
    return x[a] == x[b] ? a < b : x[a] > x[b];
}

static void agrees(const float *x, int32_t n, int32_t keep)
{
    uint32_t row[MOST / 32 + 2];
    memset(row, 0xFF, sizeof row);
    filk_select_top(x, n, keep, row);
    for (int32_t b = 0; b < 32 * ((n + 31) / 32); b++) {
        int32_t before = 0;
        for (int32_t o = 0; b < n && o < n; o++)
            before += o != b && ranks_before(x, o, b);
        const int want = b < n && before < keep;
        if ((int)(row[b / 32] >> (b % 32) & 1u) != want)
            fail_msg("bit %d of %d, keep %d: %d expected", b, n, keep, want);
    }
    assert_int_equal(row[(n + 31) / 32], ~0u);
}

/* Every size to 70 and some beyond, a few k each. */
static void sizes(void (*fill)(float *x, int32_t n, uint64_t seed))
{
    float x[MOST];
    for (int32_t n = 1; n <= MOST; n += n < 70 ? 1 : 63) {
        fill(x, n, (uint64_t)n);
        agrees(x, n, 1);
        agrees(x, n, n);
        agrees(x, n, (n + 1) / 2);
        agrees(x, n, (n + 9) / 10);
    }
}

static void fill_normal(float *x, int32_t n, uint64_t seed)
{
    fili_philox_normal(seed, 0, 0, x, n);
}

static void fill_close(float *x, int32_t n, uint64_t seed)
{
    fili_philox_normal(seed, 1, 0, x, n);
    for (int32_t i = 0; i < n; i++)
        x[i] = 1.0f + 0x1p-23f * floorf(40.0f * x[i]);
}

static void fill_few(float *x, int32_t n, uint64_t seed)
{
    fili_philox_normal(seed, 2, 0, x, n);
    for (int32_t i = 0; i < n; i++)
        x[i] = floorf(x[i]);
}

static void fill_odd(float *x, int32_t n, uint64_t seed)
{
    static const float odd[] = {0.0f,      -0.0f,      NAN,       -NAN,    INFINITY, -INFINITY,
                                0x1p-149f, -0x1p-149f, 0x1p-126f, 3.4e38f, -3.4e38f, 1.0f};
    fili_philox_uniform(seed, 3, 0, x, n);
    for (int32_t i = 0; i < n; i++)
        x[i] = odd[(int32_t)(x[i] * 11.99f)];
}

static void the_largest_of_random_numbers_are_kept(void **state)
{
    (void)state;
    sizes(fill_normal);
}

static void numbers_that_differ_in_their_last_bits_are_told_apart(void **state)
{
    (void)state;
    sizes(fill_close);
}

static void of_equal_numbers_the_first_are_kept(void **state)
{
    (void)state;
    sizes(fill_few);
}

static void zeros_are_equal_and_nan_ranks_below_minus_infinity(void **state)
{
    (void)state;
    sizes(fill_odd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_largest_of_random_numbers_are_kept),
        cmocka_unit_test(numbers_that_differ_in_their_last_bits_are_told_apart),
        cmocka_unit_test(of_equal_numbers_the_first_are_kept),
        cmocka_unit_test(zeros_are_equal_and_nan_ranks_below_minus_infinity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
