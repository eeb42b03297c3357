/* tests/unit/test_drift.c: which tokens sparse/drift.h looks at, for any length. */
#include "sparse/drift.h"
#include "support/cmocka_all.h"

static void places_are_even_and_within_the_sequence(void **state)
{
    static const int32_t long_ones[] = {513, 4096, 32760, 75600, 131072, (1 << 20) + 1};
    (void)state;
    for (int32_t i = 1; i <= 206; i++) {
        const int32_t n = i <= 200 ? i : long_ones[i - 201];
        fili_drift    d;
        fili_drift_init(&d, NULL, n, 2, 64, FIL_BF16);
        const int64_t end = (int64_t)(d.places - 1) * d.step + d.read;
        assert_in_range(d.places, 1, FILI_DRIFT_PLACES);
        assert_in_range(d.read, 1, d.step < FILI_DRIFT_TOKENS ? d.step : FILI_DRIFT_TOKENS);
        assert_in_range(end, 1, n);
        assert_true(n - end < d.step); /* no room for another */
        if (n <= FILI_DRIFT_PLACES) assert_int_equal(end, n);
        assert_int_equal(fili_drift_floats(&d), (size_t)d.places * 2 * 2 * 64);
    }
}

/* Tokens of a place that is looked at count, their neighbours do not. */
static void a_signature_sees_the_tokens_of_its_places_alone(void **state)
{
    enum { N = 1000, D = 64 };
    static float x[N * D], before[2 * 64 * D], after[2 * 64 * D];
    fil_ctx     *ctx;
    fili_drift   d;
    (void)state;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    for (int i = 0; i < N * D; i++)
        x[i] = (float)(i % 37) - 18.0f;
    const filk_attn_view view = {x, D, D};
    fili_drift_init(&d, ctx, N, 1, D, FIL_F32);
    assert_int_equal(d.step, 16);
    assert_int_equal(fili_drift_sign(&d, view, view, before), FIL_OK);
    for (int i = 0; i < N; i++)
        if (i % d.step >= d.read) x[i * D] += 100.0f;
    assert_int_equal(fili_drift_sign(&d, view, view, after), FIL_OK);
    assert_true(fili_drift_between(&d, before, after) == 0.0);
    x[(3 * d.step + d.read - 1) * D] += 100.0f;
    assert_int_equal(fili_drift_sign(&d, view, view, after), FIL_OK);
    assert_true(fili_drift_between(&d, before, after) > 0.0);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_even_and_within_the_sequence),
        cmocka_unit_test(a_signature_sees_the_tokens_of_its_places_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
