/* tests/unit/test_view.c: strided views (tensor/view.h): strides, slices, permutations, extents,
 * and sizes near the end of 63 bits, which must be refused and never wrap.
 */
#include <string.h>

#include "support/cmocka_all.h"
#include "tensor/view.h"

static fil_ctx *ctx;

static int open_ctx(void **state)
{
    (void)state;
    return fil_ctx_open(&ctx, NULL) == FIL_OK ? 0 : 1;
}

static int close_ctx(void **state)
{
    (void)state;
    fil_ctx_close(&ctx);
    return 0;
}

/* Each call stands for a public one of its own: forgets the last failure. */
#define STATUS(call, want)                                                                         \
    do {                                                                                           \
        fili_ctx_enter(ctx);                                                                       \
        assert_int_equal((call), (want));                                                          \
    } while (0)

static int16_t cells[2 * 3 * 4];

/* [2, 3, 4] I16 over `cells`, each cell its own index. */
static fili_view cube(void)
{
    const int64_t shape[3] = {2, 3, 4};
    fili_view     v;
    for (int i = 0; i < 24; i++)
        cells[i] = (int16_t)i;
    STATUS(fili_view_dense(ctx, cells, FIL_I16, 3, shape, &v), FIL_OK);
    return v;
}

static int16_t value_at(const fili_view *v, int64_t a, int64_t b, int64_t c)
{
    const int64_t index[3] = {a, b, c};
    int16_t       x;
    memcpy(&x, fili_view_at(v, index), sizeof x);
    return x;
}

static void a_dense_view_is_row_major(void **state)
{
    (void)state;
    const fili_view v = cube();
    assert_int_equal(v.stride[0], 12);
    assert_int_equal(v.stride[1], 4);
    assert_int_equal(v.stride[2], 1);
    assert_int_equal(fili_view_count(&v), 24);
    assert_true(fili_view_is_dense(&v));
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 4; c++)
                assert_int_equal(value_at(&v, a, b, c), a * 12 + b * 4 + c);
}

static void rank_0_is_one_element(void **state)
{
    (void)state;
    int16_t     x = 5;
    fili_view   v;
    fili_extent e;
    STATUS(fili_view_dense(ctx, &x, FIL_I16, 0, NULL, &v), FIL_OK);
    assert_int_equal(fili_view_count(&v), 1);
    assert_true(fili_view_is_dense(&v));
    assert_ptr_equal(fili_view_at(&v, NULL), &x);
    STATUS(fili_view_extent(ctx, &v, &e), FIL_OK);
    assert_int_equal(e.begin, 0);
    assert_int_equal(e.end, 2);
}

static void bad_forms_are_refused_and_leave_the_output(void **state)
{
    (void)state;
    const int64_t shape[9]    = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int64_t negative[2] = {3, -1};
    fili_view     v           = {.rank = 77};
    STATUS(fili_view_dense(ctx, cells, FIL_I16, 9, shape, &v), FIL_E_ARG);
    STATUS(fili_view_dense(ctx, cells, FIL_I16, 2, negative, &v), FIL_E_ARG);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "dimension 1 is -1"));
    STATUS(fili_view_dense(ctx, cells, FIL_DTYPE_NONE, 1, shape, &v), FIL_E_ARG);
    STATUS(fili_view_dense(ctx, cells, FIL_F4, 1, shape, &v), FIL_E_UNSUP);
    STATUS(fili_view_dense(ctx, cells, FIL_F6_E2M3, 1, shape, &v), FIL_E_UNSUP);
    STATUS(fili_view_dense(ctx, cells, FIL_Q8_0, 1, shape, &v), FIL_E_UNSUP);
    assert_int_equal(v.rank, 77);
    STATUS(fili_view_dense(ctx, cells, FIL_I16, 8, shape, &v), FIL_OK);
}

static void sizes_beyond_63_bits_are_refused(void **state)
{
    (void)state;
    const struct {
        int64_t    shape[3];
        fil_dtype  dtype;
        fil_status status;
    } cases[] = {
        {{1ll << 62, 1, 1}, FIL_U8, FIL_OK},
        {{1ll << 62, 1, 1}, FIL_I16, FIL_E_SHAPE},
        {{1ll << 61, 1, 1}, FIL_I16, FIL_OK},
        {{INT64_MAX, 1, 1}, FIL_U8, FIL_OK},
        {{INT64_MAX, 2, 1}, FIL_U8, FIL_E_SHAPE},
        {{1ll << 32, 1ll << 31, 1}, FIL_U8, FIL_E_SHAPE},
        {{1ll << 32, 1ll << 32, 1}, FIL_U8, FIL_E_SHAPE},
        {{1ll << 32, 1ll << 32, 0}, FIL_U8, FIL_E_SHAPE},
        {{1ll << 40, 1ll << 20, 0}, FIL_F64, FIL_E_SHAPE},
        {{1ll << 40, 1ll << 19, 0}, FIL_F64, FIL_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fili_view v;
        STATUS(fili_view_dense(ctx, NULL, cases[i].dtype, 3, cases[i].shape, &v), cases[i].status);
    }
}

static void a_slice_sees_its_range_and_step(void **state)
{
    (void)state;
    const fili_view v = cube();
    fili_view       s;
    STATUS(fili_view_slice(ctx, &v, 2, 1, 4, 2, &s), FIL_OK);
    assert_int_equal(s.shape[2], 2);
    assert_int_equal(value_at(&s, 1, 2, 0), 21);
    assert_int_equal(value_at(&s, 1, 2, 1), 23);
    assert_false(fili_view_is_dense(&s));
    STATUS(fili_view_slice(ctx, &s, 1, 1, 2, 1, &s), FIL_OK); /* in place */
    assert_int_equal(s.shape[1], 1);
    assert_int_equal(value_at(&s, 0, 0, 1), 7);
    STATUS(fili_view_slice(ctx, &v, 0, 1, 2, 1, &s), FIL_OK);
    assert_true(fili_view_is_dense(&s));
    assert_int_equal(value_at(&s, 0, 0, 0), 12);
    STATUS(fili_view_slice(ctx, &v, 1, 0, 3, 5, &s), FIL_OK);
    assert_int_equal(s.shape[1], 1);
}

static void an_empty_slice_keeps_its_address(void **state)
{
    (void)state;
    const fili_view v = cube();
    fili_view       s;
    fili_extent     e;
    STATUS(fili_view_slice(ctx, &v, 0, 2, 2, 1, &s), FIL_OK);
    assert_ptr_equal(s.data, v.data);
    assert_int_equal(fili_view_count(&s), 0);
    assert_true(fili_view_is_dense(&s));
    STATUS(fili_view_extent(ctx, &s, &e), FIL_OK);
    assert_int_equal(e.end, 0);
    STATUS(fili_view_within(ctx, &s, 0), FIL_OK);
}

static void a_slice_outside_is_refused(void **state)
{
    (void)state;
    const fili_view v = cube();
    fili_view       s;
    STATUS(fili_view_slice(ctx, &v, 3, 0, 1, 1, &s), FIL_E_ARG);
    STATUS(fili_view_slice(ctx, &v, 0, -1, 1, 1, &s), FIL_E_ARG);
    STATUS(fili_view_slice(ctx, &v, 0, 0, 3, 1, &s), FIL_E_ARG);
    STATUS(fili_view_slice(ctx, &v, 0, 2, 1, 1, &s), FIL_E_ARG);
    STATUS(fili_view_slice(ctx, &v, 0, 0, 2, 0, &s), FIL_E_ARG);
    STATUS(fili_view_slice(ctx, &v, 0, 0, 2, -1, &s), FIL_E_ARG);
    STATUS(fili_view_slice(ctx, &v, 0, INT64_MIN, INT64_MAX, 1, &s), FIL_E_ARG);
    STATUS(fili_view_slice(ctx, &v, 0, 0, 2, INT64_MAX, &s), FIL_OK); /* one element: no step */
    assert_int_equal(s.shape[0], 1);
}

static void a_permutation_moves_shape_and_strides(void **state)
{
    (void)state;
    const fili_view v        = cube();
    const uint32_t  order[3] = {2, 0, 1};
    const uint32_t  back[3]  = {1, 2, 0};
    fili_view       p;
    STATUS(fili_view_permute(ctx, &v, order, &p), FIL_OK);
    assert_int_equal(p.shape[0], 4);
    assert_int_equal(p.shape[1], 2);
    assert_int_equal(p.shape[2], 3);
    assert_false(fili_view_is_dense(&p));
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 4; c++)
                assert_int_equal(value_at(&p, c, a, b), value_at(&v, a, b, c));
    STATUS(fili_view_permute(ctx, &p, back, &p), FIL_OK);
    assert_true(fili_view_is_dense(&p));
}

static void what_is_no_permutation_is_refused(void **state)
{
    (void)state;
    const fili_view v         = cube();
    const uint32_t  twice[3]  = {0, 1, 1};
    const uint32_t  beyond[3] = {0, 1, 3};
    const uint32_t  far[3]    = {0, 1, 33};
    fili_view       p;
    STATUS(fili_view_permute(ctx, &v, twice, &p), FIL_E_ARG);
    STATUS(fili_view_permute(ctx, &v, beyond, &p), FIL_E_ARG);
    STATUS(fili_view_permute(ctx, &v, far, &p), FIL_E_ARG);
}

static void strides_of_size_1_dimensions_do_not_matter(void **state)
{
    (void)state;
    const fili_view odd = {.data   = (unsigned char *)cells,
                           .dtype  = FIL_I16,
                           .rank   = 3,
                           .shape  = {1, 3, 1},
                           .stride = {999, 1, -7}};
    assert_true(fili_view_is_dense(&odd));
    fili_view gap = odd;
    gap.stride[1] = 2;
    assert_false(fili_view_is_dense(&gap));
}

static void an_extent_counts_negative_and_zero_strides(void **state)
{
    (void)state;
    fili_view   v = {.dtype = FIL_F32, .rank = 2, .shape = {3, 5}, .stride = {-10, 2}};
    fili_extent e;
    STATUS(fili_view_extent(ctx, &v, &e), FIL_OK);
    assert_int_equal(e.begin, -80);
    assert_int_equal(e.end, 36);
    STATUS(fili_view_within(ctx, &v, 1000), FIL_E_SHAPE);
    v.stride[0] = 0;
    STATUS(fili_view_extent(ctx, &v, &e), FIL_OK);
    assert_int_equal(e.begin, 0);
    STATUS(fili_view_within(ctx, &v, 36), FIL_OK);
    STATUS(fili_view_within(ctx, &v, 35), FIL_E_SHAPE);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "buffer of 35"));
}

static void an_extent_never_wraps(void **state)
{
    (void)state;
    const fili_view cases[] = {
        {.dtype = FIL_U8, .rank = 1, .shape = {3}, .stride = {INT64_MAX}},
        {.dtype = FIL_U8, .rank = 1, .shape = {2}, .stride = {INT64_MAX}}, /* + 1 byte */
        {.dtype = FIL_F64, .rank = 1, .shape = {2}, .stride = {1ll << 60}},
        {.dtype = FIL_F64, .rank = 1, .shape = {2}, .stride = {-(1ll << 60) - 1}},
        {.dtype = FIL_U8, .rank = 2, .shape = {2, 2}, .stride = {1ll << 62, 1ll << 62}},
        {.dtype = FIL_U8, .rank = 2, .shape = {1ll << 40, 1ll << 40}, .stride = {0, 0}},
        {.dtype = FIL_U8, .rank = 1, .shape = {2}, .stride = {INT64_MIN}},
    };
    fili_extent e;
    for (size_t i = 0; i < 6; i++)
        STATUS(fili_view_extent(ctx, &cases[i], &e), FIL_E_SHAPE);
    STATUS(fili_view_extent(ctx, &cases[6], &e), FIL_OK); /* -2^63 is a number */
    assert_true(e.begin == INT64_MIN);
    const fili_view broken = {.dtype = FIL_U8, .rank = 9};
    STATUS(fili_view_extent(ctx, &broken, &e), FIL_E_ARG);
}

static void addresses_beyond_4_gib_do_not_wrap(void **state)
{
    (void)state;
    const int64_t shape[2] = {1ll << 20, 1ll << 20};
    const int64_t last[2]  = {(1ll << 20) - 1, (1ll << 20) - 1};
    fili_view     v;
    fili_extent   e;
    STATUS(fili_view_dense(ctx, NULL, FIL_F32, 2, shape, &v), FIL_OK);
    v.data = (unsigned char *)(uintptr_t)(1u << 16); /* an address alone, never read */
    assert_true((uintptr_t)fili_view_at(&v, last) == (1u << 16) + (1ull << 42) - 4);
    STATUS(fili_view_extent(ctx, &v, &e), FIL_OK);
    assert_true(e.end == 1ll << 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dense_view_is_row_major),
        cmocka_unit_test(rank_0_is_one_element),
        cmocka_unit_test(bad_forms_are_refused_and_leave_the_output),
        cmocka_unit_test(sizes_beyond_63_bits_are_refused),
        cmocka_unit_test(a_slice_sees_its_range_and_step),
        cmocka_unit_test(an_empty_slice_keeps_its_address),
        cmocka_unit_test(a_slice_outside_is_refused),
        cmocka_unit_test(a_permutation_moves_shape_and_strides),
        cmocka_unit_test(what_is_no_permutation_is_refused),
        cmocka_unit_test(strides_of_size_1_dimensions_do_not_matter),
        cmocka_unit_test(an_extent_counts_negative_and_zero_strides),
        cmocka_unit_test(an_extent_never_wraps),
        cmocka_unit_test(addresses_beyond_4_gib_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
