/* tests/unit/test_quantise.c: Q8_0 blocks equal their definition computed in f64
 * (tensor/quantise.h), and read back (tensor/dequant.h) they lie within what the definition allows.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/cmocka_all.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"
#include "tensor/quantise.h"

enum { N = FILI_Q8_0_ELEMENTS, BLOCKS = 300, TOTAL = BLOCKS * N };

static double f16(const unsigned char *p)
{
    double x;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F64, &x, FIL_F16, p, 1);
    return x;
}

/* Rounded to F16 by one rounding from the F32 scale. */
static double rounded(float scale)
{
    uint16_t h;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F16, &h, FIL_F32, &scale, 1);
    unsigned char bytes[2];
    memcpy(bytes, &h, sizeof bytes);
    return f16(bytes);
}

/* Normal values, each block at a scale of its own from 2^-12 to 2^12. */
static void fill(float *x)
{
    fili_philox_normal(7, 1, 0, x, TOTAL);
    for (int i = 0; i < TOTAL; i++)
        x[i] = ldexpf(x[i], i / N % 25 - 12);
}

static float scale_of(const float *x)
{
    float most = 0.0f;
    for (int i = 0; i < N; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]);
    return most / 127.0f;
}

static void scales_and_elements_are_those_of_the_definition(void **state)
{
    static float         x[TOTAL];
    static unsigned char q[BLOCKS * FILI_Q8_0_BYTES + 1];
    (void)state;
    fill(x);
    q[sizeof q - 1] = 0xa5;
    assert_true(fili_quantise_q8_0(q, x, BLOCKS));
    assert_int_equal(q[sizeof q - 1], 0xa5);
    for (int b = 0; b < BLOCKS; b++) {
        const unsigned char *block = q + b * FILI_Q8_0_BYTES;
        const float          scale = scale_of(x + b * N);
        assert_true(f16(block) == rounded(scale));
        for (int i = 0; i < N; i++) {
            /* The quotient in f64; one step aside only where F32 cannot tell its half. */
            const double want = (double)x[b * N + i] / (double)scale;
            const double have = (int8_t)block[2 + i];
            if (!(fabs(want - have) <= 0.5 + 127.0 * ldexp(1.0, -22)))
                fail_msg("block %d, element %d: %g became %g", b, i, want, have);
        }
    }
}

static void an_element_read_back_is_half_a_step_and_the_scales_rounding_away(void **state)
{
    static float         x[TOTAL];
    static float         y[TOTAL];
    static unsigned char q[BLOCKS * FILI_Q8_0_BYTES];
    (void)state;
    fill(x);
    assert_true(fili_quantise_q8_0(q, x, BLOCKS));
    fili_dequant_select(FILI_ISA_REF, FIL_Q8_0)(y, q, BLOCKS);
    for (int i = 0; i < TOTAL; i++) {
        const double step  = (double)scale_of(x + i / N * N);
        const double lost  = fabs(step - f16(q + i / N * FILI_Q8_0_BYTES));
        const double bound = step * (0.5 + 127.0 * ldexp(1.0, -22)) + 127.0 * lost;
        if (!(fabs((double)x[i] - (double)y[i]) <= bound))
            fail_msg("element %d: %g became %g, step %g", i, (double)x[i], (double)y[i], step);
    }
}

static void halves_are_rounded_away_from_zero(void **state)
{
    float         x[N] = {127.0f, 0.5f, -0.5f, 1.5f, -1.5f, 0.49999997f, -0.49999997f, 126.5f};
    unsigned char q[FILI_Q8_0_BYTES];
    const int8_t  want[8] = {127, 1, -1, 2, -2, 0, 0, 127};
    (void)state;
    assert_true(fili_quantise_q8_0(q, x, 1));
    assert_true(f16(q) == 1.0);
    assert_memory_equal(q + 2, want, sizeof want);
}

static void zeros_and_what_is_next_to_them_become_zeros(void **state)
{
    static const float tiny[] = {0.0f, 1e-45f, 1e-40f, 1e-30f};
    (void)state;
    for (size_t t = 0; t < sizeof tiny / sizeof tiny[0]; t++) {
        float         x[N] = {0.0f};
        float         y[N];
        unsigned char q[FILI_Q8_0_BYTES];
        x[3] = tiny[t];
        assert_true(fili_quantise_q8_0(q, x, 1));
        fili_dequant_select(FILI_ISA_REF, FIL_Q8_0)(y, q, 1);
        for (int i = 0; i < N; i++)
            assert_true(y[i] == 0.0f);
    }
}

static void what_has_no_scale_is_refused(void **state)
{
    static const float wrong[] = {NAN, -NAN, INFINITY, -INFINITY, 8.4e6f};
    (void)state;
    for (size_t w = 0; w < sizeof wrong / sizeof wrong[0]; w++)
        for (int at = 0; at < 3 * N; at += 13) {
            float         x[3 * N] = {1.0f};
            unsigned char q[3 * FILI_Q8_0_BYTES];
            x[at] = wrong[w];
            assert_false(fili_quantise_q8_0(q, x, 3));
            x[at] = 8.3e6f;
            assert_true(fili_quantise_q8_0(q, x, 3));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_and_elements_are_those_of_the_definition),
        cmocka_unit_test(an_element_read_back_is_half_a_step_and_the_scales_rounding_away),
        cmocka_unit_test(halves_are_rounded_away_from_zero),
        cmocka_unit_test(zeros_and_what_is_next_to_them_become_zeros),
        cmocka_unit_test(what_has_no_scale_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
