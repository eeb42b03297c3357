/* tests/kernel/test_check.c: the checker's own comparison, guards and generator (check.h). A
 * checker that cannot fail proves nothing.
 */
#include <math.h>
#include <string.h>

#include "kernel/check.h"

static int accepts(double got, double want, double tolerance)
{
    check_report r = {.what = "x"};
    return check_value(&r, 0, 0, 0, got, want, tolerance);
}

static void nan_is_good_only_where_nan_is_expected(void **state)
{
    (void)state;
    assert_true(accepts((double)NAN, (double)NAN, 0.0));
    assert_false(accepts((double)NAN, 0.0, (double)INFINITY));
    assert_false(accepts(0.0, (double)NAN, (double)INFINITY));
    assert_false(accepts((double)NAN, (double)INFINITY, (double)INFINITY));
}

static void infinities_are_good_only_with_the_same_sign(void **state)
{
    (void)state;
    assert_true(accepts((double)INFINITY, (double)INFINITY, 0.0));
    assert_true(accepts(-(double)INFINITY, -(double)INFINITY, 0.0));
    assert_false(accepts((double)INFINITY, -(double)INFINITY, (double)INFINITY));
    assert_false(accepts(1e308, (double)INFINITY, (double)INFINITY));
    assert_false(accepts(-(double)INFINITY, -1e308, (double)INFINITY));
}

static void a_tolerance_that_is_nan_accepts_nothing_finite(void **state)
{
    (void)state;
    assert_false(accepts(1.0, 1.0, (double)NAN));
}

static void minus_zero_equals_zero_within_any_tolerance(void **state)
{
    (void)state;
    assert_true(accepts(-0.0, 0.0, 0.0));
    assert_true(accepts(0.0, -0.0, 0.0));
}

static void an_error_at_the_tolerance_is_good_and_beyond_it_bad(void **state)
{
    (void)state;
    assert_true(accepts(1.5, 1.0, 0.5));
    assert_false(accepts(1.5, 1.0, nextafter(0.5, 0.0)));
    assert_false(accepts(0.5, 1.0, nextafter(0.5, 0.0)));
}

static void the_first_bad_coordinate_and_the_worst_ratio_are_kept(void **state)
{
    (void)state;
    check_report r = {.what = "x"};
    check_value(&r, 0, 0, 0, 1.0, 1.25, 0.5);
    check_value(&r, 1, 2, 3, 9.0, 1.0, 2.0);
    check_value(&r, 4, 5, 6, 9.0, 1.0, 1.0);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.bad, 2);
    assert_int_equal(r.at[0] * 100 + r.at[1] * 10 + r.at[2], 123);
    assert_true(r.worst == 8.0);
}

static void cosine_distance_sees_direction_and_zero(void **state)
{
    (void)state;
    check_report same = {.what = "x"};
    check_report turn = {.what = "x"};
    check_report lost = {.what = "x"};
    check_report none = {.what = "x"};
    check_value(&same, 0, 0, 0, 3.0, 3.0, 0.0);
    check_value(&same, 1, 0, 0, -4.0, -4.0, 0.0);
    check_value(&turn, 0, 0, 0, 0.0, 1.0, 9.0);
    check_value(&turn, 1, 0, 0, 1.0, 0.0, 9.0);
    check_value(&lost, 0, 0, 0, 0.0, 1.0, 9.0);
    check_value(&none, 0, 0, 0, 0.0, -0.0, 9.0);
    assert_true(fabs(check_cosine_distance(&same)) < 1e-15);
    assert_true(check_cosine_distance(&turn) == 1.0);
    assert_true(check_cosine_distance(&lost) == 1.0);
    assert_true(check_cosine_distance(&none) == 0.0);
}

static void guards_see_one_byte_on_either_side(void **state)
{
    (void)state;
    for (size_t off = 0; off <= 2; off += 2) {
        check_buffer b;
        check_buffer_make(&b, 100, 64, off);
        assert_int_equal((uintptr_t)b.data % 64, off);
        memset(b.data, 0, b.bytes);
        assert_true(check_buffer_intact(&b));
        b.data[-1] = 0;
        assert_false(check_buffer_intact(&b));
        b.data[-1]      = 0xAA;
        b.data[b.bytes] = 0;
        assert_false(check_buffer_intact(&b));
        check_buffer_free(&b);
    }
}

static void elements_are_rounded_to_their_type(void **state)
{
    (void)state;
    float    f;
    uint16_t h;
    check_store(FIL_F32, &f, 0, 0.1);
    check_store(FIL_BF16, &h, 0, 1.00390625); /* halfway: to the even neighbour */
    assert_true(f == 0.1f);
    assert_int_equal(h, 0x3f80);
    assert_true(check_load(FIL_BF16, &h, 0) == 1.0);
    assert_true(check_round(FIL_BF16, 1e39) == (double)INFINITY);
    assert_true(isnan(check_round(FIL_BF16, (double)NAN)));
    assert_true(signbit(check_round(FIL_BF16, -0.0)));
}

static void the_generator_repeats_itself_and_covers_its_range(void **state)
{
    (void)state;
    check_rng a    = {.seed = 5, .stream = 1};
    check_rng b    = {.seed = 5, .stream = 1};
    int       seen = 0;
    float     x[3000];
    float     y[3000];
    for (int i = 0; i < 200; i++) {
        const int64_t n = check_between(&a, -1, 2);
        assert_int_equal(n, check_between(&b, -1, 2));
        assert_in_range(n + 1, 0, 3);
        seen |= 1 << (n + 1);
    }
    assert_int_equal(seen, 15);
    check_fill_normal(&a, FIL_F32, x, 3000, 2.0);
    check_fill_normal(&b, FIL_F32, y, 3000, 2.0);
    assert_memory_equal(x, y, sizeof x);
    double sum2 = 0.0;
    for (int i = 0; i < 3000; i++)
        sum2 += (double)x[i] * (double)x[i];
    assert_true(fabs(sum2 / 3000 - 4.0) < 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nan_is_good_only_where_nan_is_expected),
        cmocka_unit_test(infinities_are_good_only_with_the_same_sign),
        cmocka_unit_test(a_tolerance_that_is_nan_accepts_nothing_finite),
        cmocka_unit_test(minus_zero_equals_zero_within_any_tolerance),
        cmocka_unit_test(an_error_at_the_tolerance_is_good_and_beyond_it_bad),
        cmocka_unit_test(the_first_bad_coordinate_and_the_worst_ratio_are_kept),
        cmocka_unit_test(cosine_distance_sees_direction_and_zero),
        cmocka_unit_test(guards_see_one_byte_on_either_side),
        cmocka_unit_test(elements_are_rounded_to_their_type),
        cmocka_unit_test(the_generator_repeats_itself_and_covers_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
