/* tests/unit/test_dtype.c: element types and block types (filigree/file.h, tensor/dtype.h): sizes,
 * names, and shapes whose bytes would wrap.
 */
#include <string.h>

#include "support/cmocka_all.h"
#include "tensor/dtype.h"

typedef struct type_row {
    fil_dtype   dtype;
    uint32_t    bits;            /* 0: a block type */
    uint32_t    elements, bytes; /* of a block; 0: an element type */
    const char *name;
} type_row;

static const type_row rows[] = {
#define ELEMENT(name, value, bits, text) {FIL_##name, (bits), 0, 0, (text)},
    FIL_DTYPE_LIST(ELEMENT)
#undef ELEMENT
#define BLOCK(name, value, elements, bytes) {FIL_##name, 0, (elements), (bytes), #name},
        FIL_BLOCK_DTYPE_LIST(BLOCK)
#undef BLOCK
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static void every_type_has_a_name_and_a_value_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        assert_string_equal(fil_dtype_name(rows[i].dtype), rows[i].name);
        assert_int_equal(fil_dtype_bits(rows[i].dtype), rows[i].bits);
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(rows[i].dtype, rows[j].dtype);
            assert_string_not_equal(rows[i].name, rows[j].name);
        }
    }
    assert_string_equal(fil_dtype_name((fil_dtype)63), "?");
    assert_int_equal(fil_dtype_bits((fil_dtype)63), 0);
}

static void a_block_is_the_shortest_run_of_whole_bytes(void **state)
{
    uint32_t elements = 7;
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        const type_row *r     = &rows[i];
        const uint32_t  bytes = fil_dtype_block(r->dtype, &elements);
        if (r->bits == 0) {
            assert_int_equal(bytes, r->bytes);
            assert_int_equal(elements, r->elements);
            continue;
        }
        assert_int_equal(elements * r->bits, 8 * bytes);
        for (uint32_t n = 1; n < elements; n++)
            assert_int_not_equal(n * r->bits % 8, 0);
    }
    assert_int_equal(fil_dtype_block(FIL_DTYPE_NONE, &elements), 0);
    assert_int_equal(elements, 0);
}

static void a_safetensors_file_names_no_block_type(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS; i++)
        assert_int_equal(fili_dtype_from_name(rows[i].name, strlen(rows[i].name)),
                         rows[i].bits != 0 ? rows[i].dtype : FIL_DTYPE_NONE);
}

static void a_shape_has_whole_blocks_or_no_bytes(void **state)
{
    uint64_t bytes;
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        uint32_t       run;
        const uint32_t size   = fil_dtype_block(rows[i].dtype, &run);
        const int64_t  some[] = {3, run};
        const int64_t  none[] = {0, run + 1};
        const int64_t  odd[]  = {3, run + 1};
        assert_true(fili_shape_bytes(rows[i].dtype, 2, some, &bytes));
        assert_int_equal(bytes, 3 * size);
        assert_true(fili_shape_bytes(rows[i].dtype, 2, none, &bytes));
        assert_int_equal(bytes, 0);
        assert_int_equal(fili_shape_bytes(rows[i].dtype, 2, odd, &bytes), run == 1);
    }
    assert_false(fili_shape_bytes(FIL_DTYPE_NONE, 0, NULL, &bytes));
}

static void a_product_that_wraps_is_refused_for_every_type(void **state)
{
    static const int64_t wraps[][3] = {{1ll << 32, 1ll << 32, 1},
                                       {1ll << 32, 1ll << 32, 0},
                                       {1ll << 62, 256, 1},
                                       {INT64_MAX, INT64_MAX, 1},
                                       {1ll << 62, 1ll << 62, 256}};
    uint64_t             bytes;
    (void)state;
    for (int i = 0; i < ROWS; i++)
        for (size_t k = 0; k < sizeof wraps / sizeof wraps[0]; k++)
            assert_false(fili_shape_bytes(rows[i].dtype, 3, wraps[k], &bytes));
}

/* What a block type is widened to must be countable as well, whatever the file promises. */
static void elements_of_a_block_type_fit_as_f64(void **state)
{
    static const int64_t most[]  = {(1ll << 58) - 256};
    static const int64_t above[] = {1ll << 58};
    uint64_t             bytes;
    (void)state;
    assert_true(fili_shape_bytes(FIL_Q2_K, 1, most, &bytes));
    assert_true(bytes == (uint64_t)most[0] / 256 * 84);
    assert_false(fili_shape_bytes(FIL_Q2_K, 1, above, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_name_and_a_value_of_its_own),
        cmocka_unit_test(a_block_is_the_shortest_run_of_whole_bytes),
        cmocka_unit_test(a_safetensors_file_names_no_block_type),
        cmocka_unit_test(a_shape_has_whole_blocks_or_no_bytes),
        cmocka_unit_test(a_product_that_wraps_is_refused_for_every_type),
        cmocka_unit_test(elements_of_a_block_type_fit_as_f64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
