/* tests/unit/test_tensors.c: the directory of tensors (io/tensors.h) without any reader: whatever a
 * reader says is checked again.
 */
#include <string.h>

#include "io/tensors.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

typedef struct bench {
    scratch      dir;
    fil_ctx     *ctx;
    fili_tensors set;
    int32_t      source;
} bench;

/* One source of 64 bytes, 0 to 63. */
static void set_up(bench *b, uint32_t flags)
{
    unsigned char data[64];
    for (int i = 0; i < 64; i++)
        data[i] = (unsigned char)i;
    scratch_make(&b->dir);
    scratch_write(&b->dir, "data", data, sizeof data);
    assert_int_equal(fil_ctx_open(&b->ctx, NULL), FIL_OK);
    fili_tensors_init(&b->set, b->ctx, flags);
    assert_int_equal(
        fili_tensors_source(&b->set, FILI_CWD, scratch_path(&b->dir, "data"), 0, &b->source),
        FIL_OK);
    assert_int_equal(fili_tensors_reserve(&b->set, 16), FIL_OK);
}

static void tear_down(bench *b)
{
    fili_tensors_fini(&b->set);
    fili_tensors_fini(&b->set);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
    scratch_remove(&b->dir);
}

static fil_status add(bench *b, const char *name, fili_entry e)
{
    fili_ctx_enter(b->ctx);
    return fili_tensors_add(&b->set, name, strlen(name), &e);
}

/* F32 [n] at `offset`. */
static fili_entry vector(int64_t n, uint64_t offset)
{
    return (fili_entry){
        .dtype = FIL_F32, .rank = 1, .shape = {n}, .offset = offset, .bytes = (uint64_t)n * 4};
}

static void assert_refused(bench *b, fili_entry e, fil_status status, const char *message)
{
    assert_int_equal(add(b, "x", e), status);
    if (strstr(fil_ctx_error(b->ctx)->message, message) == NULL)
        fail_msg("'%s' lacks '%s'", fil_ctx_error(b->ctx)->message, message);
    assert_int_equal(b->set.n_entries, 0);
}

static void an_entry_must_fit_its_source_its_shape_and_its_dtype(void **state)
{
    (void)state;
    bench b;
    set_up(&b, 0);
    fili_entry e = vector(16, 4);
    assert_refused(&b, e, FIL_E_FORMAT, "ends beyond the file");
    e = vector(1, 61);
    assert_refused(&b, e, FIL_E_FORMAT, "ends beyond the file");
    e = vector(1, UINT64_MAX - 1);
    assert_refused(&b, e, FIL_E_FORMAT, "ends beyond the file");
    e       = vector(4, 0);
    e.bytes = 12;
    assert_refused(&b, e, FIL_E_FORMAT, "its range has 12");
    e          = vector(4, 0);
    e.shape[0] = -4;
    assert_refused(&b, e, FIL_E_FORMAT, "no valid number of bytes");
    e      = vector(4, 0);
    e.rank = FIL_MAX_RANK + 1;
    assert_refused(&b, e, FIL_E_LIMIT, "dimensions");
    e       = vector(4, 0);
    e.dtype = FIL_DTYPE_NONE;
    assert_refused(&b, e, FIL_E_INTERNAL, "no source or no dtype");
    e        = vector(4, 0);
    e.source = 1;
    assert_refused(&b, e, FIL_E_INTERNAL, "no source or no dtype");
    e.source = -1;
    assert_refused(&b, e, FIL_E_INTERNAL, "no source or no dtype");
    assert_int_equal(add(&b, "whole", vector(16, 0)), FIL_OK);
    assert_int_equal(add(&b, "nothing at the end", vector(0, 64)), FIL_OK);
    tear_down(&b);
}

static void a_name_is_checked_against_the_limit_and_for_control_characters(void **state)
{
    (void)state;
    bench b;
    set_up(&b, 0);
    b.ctx->opt.limits.name_bytes = 4;
    assert_int_equal(add(&b, "abc", vector(1, 0)), FIL_OK);
    assert_int_equal(add(&b, "abcd", vector(1, 0)), FIL_OK);
    assert_int_equal(add(&b, "abcde", vector(1, 0)), FIL_E_LIMIT);
    assert_int_equal(add(&b, "", vector(1, 0)), FIL_E_FORMAT);
    assert_int_equal(add(&b, "a\n", vector(1, 0)), FIL_E_FORMAT);
    assert_int_equal(add(&b, "a\x7f", vector(1, 0)), FIL_E_FORMAT);
    assert_int_equal(add(&b, "\xc3", vector(1, 0)), FIL_E_FORMAT);
    assert_int_equal(add(&b, "\xc3\xa9", vector(1, 0)), FIL_OK);
    const fili_entry e = vector(1, 0);
    fili_ctx_enter(b.ctx);
    assert_int_equal(fili_tensors_add(&b.set, "a\0b", 3, &e), FIL_E_FORMAT);
    fili_ctx_enter(b.ctx);
    assert_int_equal(fili_tensors_add(&b.set, "abXX", 2, &e), FIL_OK); /* need not end in NUL */
    assert_string_equal(b.set.entries[3].name, "ab");
    tear_down(&b);
}

static void the_number_of_tensors_is_limited(void **state)
{
    (void)state;
    bench b;
    set_up(&b, 0);
    b.ctx->opt.limits.tensors = 32;
    assert_int_equal(add(&b, "one", vector(1, 0)), FIL_OK);
    assert_int_equal(fili_tensors_reserve(&b.set, 30), FIL_OK);
    assert_int_equal(fili_tensors_reserve(&b.set, 31), FIL_OK);
    assert_int_equal(fili_tensors_reserve(&b.set, 32), FIL_E_LIMIT);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "limit: tensors"));
    fili_ctx_enter(b.ctx);
    assert_int_equal(fili_tensors_reserve(&b.set, SIZE_MAX), FIL_E_LIMIT);
    assert_int_equal(b.set.n_entries, 1);
    tear_down(&b);
}

static void an_entry_without_room_is_refused(void **state)
{
    (void)state;
    bench b;
    set_up(&b, 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(add(&b, "x", vector(1, 0)), FIL_OK);
    assert_int_equal(add(&b, "x", vector(1, 0)), FIL_E_INTERNAL);
    tear_down(&b);
}

static void the_number_of_files_is_limited(void **state)
{
    (void)state;
    bench   b;
    int32_t source;
    set_up(&b, 0);
    b.ctx->opt.limits.shards = 3;
    const char *path         = scratch_path(&b.dir, "data");
    assert_int_equal(fili_tensors_source(&b.set, FILI_CWD, path, 0, &source), FIL_OK);
    assert_int_equal(fili_tensors_source(&b.set, FILI_CWD, path, 0, &source), FIL_OK);
    assert_int_equal(source, 2);
    assert_int_equal(fili_tensors_source(&b.set, FILI_CWD, path, 0, &source), FIL_E_LIMIT);
    assert_int_equal(source, -1);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "limit: shards"));
    tear_down(&b);
}

static void sealing_sorts_by_bytes_and_finds_every_name(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "a.10", "a.2", "\xc3\xa9", "a", "B", "a."};
    static const char *const order[] = {"B", "a", "a.", "a.10", "a.2", "b", "\xc3\xa9"};
    bench                    b;
    set_up(&b, 0);
    assert_null(fili_tensors_find(&b.set, "a"));
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(add(&b, names[i], vector(1, 4 * i)), FIL_OK);
    assert_int_equal(fili_tensors_seal(&b.set), FIL_OK);
    for (size_t i = 0; i < 7; i++) {
        assert_string_equal(b.set.entries[i].name, order[i]);
        assert_ptr_equal(fili_tensors_find(&b.set, order[i]), &b.set.entries[i]);
    }
    assert_int_equal(fili_tensors_find(&b.set, "a.2")->offset, 8);
    assert_null(fili_tensors_find(&b.set, "a.1"));
    assert_null(fili_tensors_find(&b.set, ""));
    assert_null(fili_tensors_find(&b.set, "\xff"));
    tear_down(&b);
}

static void sealing_refuses_a_name_that_is_there_twice(void **state)
{
    (void)state;
    bench b;
    set_up(&b, 0);
    assert_int_equal(add(&b, "x", vector(1, 0)), FIL_OK);
    assert_int_equal(add(&b, "y", vector(1, 0)), FIL_OK);
    assert_int_equal(add(&b, "x", vector(1, 4)), FIL_OK);
    assert_int_equal(fili_tensors_seal(&b.set), FIL_E_FORMAT);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "tensor 'x' is there twice"));
    tear_down(&b);
}

static void reads_stay_inside_the_tensor(void **state)
{
    (void)state;
    bench         b;
    unsigned char out[16] = {0};
    set_up(&b, 0);
    assert_int_equal(add(&b, "x", vector(2, 8)), FIL_OK);
    assert_int_equal(fili_tensors_seal(&b.set), FIL_OK);
    const fili_entry *e = &b.set.entries[0];
    assert_int_equal(fili_tensors_read(&b.set, e, 0, out, 8), FIL_OK);
    assert_int_equal(out[0], 8);
    assert_int_equal(out[7], 15);
    assert_int_equal(fili_tensors_read(&b.set, e, 7, out, 1), FIL_OK);
    assert_int_equal(out[0], 15);
    assert_int_equal(fili_tensors_read(&b.set, e, 8, out, 0), FIL_OK);
    assert_int_equal(fili_tensors_read(&b.set, e, 8, out, 1), FIL_E_ARG);
    assert_int_equal(fili_tensors_read(&b.set, e, 9, out, 0), FIL_E_ARG);
    assert_int_equal(fili_tensors_read(&b.set, e, 1, out, 8), FIL_E_ARG);
    assert_int_equal(fili_tensors_read(&b.set, e, 1, out, UINT64_MAX), FIL_E_ARG);
    tear_down(&b);
}

static void only_a_trusted_set_maps(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags <= FIL_OPEN_TRUSTED; flags++) {
        bench b;
        set_up(&b, flags);
        assert_int_equal(add(&b, "x", vector(2, 8)), FIL_OK);
        assert_int_equal(fili_tensors_seal(&b.set), FIL_OK);
        const unsigned char *map = fili_tensors_map(&b.set, &b.set.entries[0]);
        assert_true((map != NULL) == (flags != 0));
        if (map != NULL) assert_int_equal(map[7], 15);
        tear_down(&b);
    }
}

static void an_empty_set_seals_and_finds_nothing(void **state)
{
    (void)state;
    fil_ctx     *ctx = NULL;
    fili_tensors set;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    fili_tensors_init(&set, ctx, FIL_OPEN_TRUSTED);
    assert_int_equal(fili_tensors_reserve(&set, 0), FIL_OK);
    assert_int_equal(fili_tensors_seal(&set), FIL_OK);
    assert_null(fili_tensors_find(&set, "x"));
    fili_tensors_fini(&set);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_must_fit_its_source_its_shape_and_its_dtype),
        cmocka_unit_test(a_name_is_checked_against_the_limit_and_for_control_characters),
        cmocka_unit_test(the_number_of_tensors_is_limited),
        cmocka_unit_test(an_entry_without_room_is_refused),
        cmocka_unit_test(the_number_of_files_is_limited),
        cmocka_unit_test(sealing_sorts_by_bytes_and_finds_every_name),
        cmocka_unit_test(sealing_refuses_a_name_that_is_there_twice),
        cmocka_unit_test(reads_stay_inside_the_tensor),
        cmocka_unit_test(only_a_trusted_set_maps),
        cmocka_unit_test(an_empty_set_seals_and_finds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
