/* tests/unit/test_file_api.c: engine/file_api.c: the public interface of files, from write to read,
 * and every way to misuse it that an argument allows.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ctx.h"
#include "filigree/file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

typedef struct bench {
    scratch  dir;
    fil_ctx *ctx;
} bench;

static int set_up(void **state)
{
    static bench b;
    scratch_make(&b.dir);
    assert_int_equal(fil_ctx_open(&b.ctx, NULL), FIL_OK);
    *state = &b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
    scratch_remove(&b->dir);
    return 0;
}

/* ---- a small model -------------------------------------------------------------------------- */

static const fil_tensor_desc two[] = {
    {.name = "second", .dtype = FIL_I16, .rank = 2, .shape = {2, 3}},
    {.name = "first", .dtype = FIL_F32, .rank = 0},
};
static const int16_t  second[6] = {1, -2, 3, -4, 5, -6};
static const float    first     = 1.5f;
static const fil_pair note[]    = {{.key = "note", .value = "a test"}};

static fil_status write_two(fil_ctx *ctx, const char *path, uint32_t flags)
{
    fil_writer *w;
    FIL_TRY(fil_writer_open(ctx, path, two, 2, note, 1, flags, &w));
    if (fil_writer_put(w, 0, second, sizeof second) == FIL_OK &&
        fil_writer_put(w, 1, &first, sizeof first) == FIL_OK)
        return fil_writer_finish(&w);
    fil_writer_close(&w);
    return fil_ctx_error(ctx)->status;
}

static const char *two_at(const bench *b, const char *name)
{
    const char *path = scratch_path(&b->dir, name);
    if (write_two(b->ctx, path, FIL_WRITE_REPLACE) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
    return path;
}

static fil_file *open_two(const bench *b, uint32_t flags)
{
    fil_file *f;
    assert_int_equal(fil_file_open(b->ctx, two_at(b, "two.safetensors"), flags, &f), FIL_OK);
    return f;
}

static void check_two(fil_file *f, const char *source)
{
    fil_tensor_info t;
    int16_t         values[6];
    float           value;
    assert_int_equal(fil_file_tensors(f), 2);
    fil_file_tensor(f, 0, &t);
    assert_string_equal(t.name, "first");
    assert_int_equal(t.dtype, FIL_F32);
    assert_int_equal(t.rank, 0);
    assert_int_equal(t.bytes, 4);
    assert_string_equal(t.file, source);
    assert_int_equal(fil_file_read(f, 0, 0, &value, sizeof value), FIL_OK);
    assert_memory_equal(&value, &first, sizeof value);
    fil_file_tensor(f, 1, &t);
    assert_string_equal(t.name, "second");
    assert_int_equal(t.dtype, FIL_I16);
    assert_int_equal(t.rank, 2);
    assert_int_equal(t.shape[0], 2);
    assert_int_equal(t.shape[1], 3);
    assert_int_equal(t.shape[2], 0);
    assert_int_equal(t.bytes, 12);
    assert_int_equal(fil_file_read(f, 1, 0, values, sizeof values), FIL_OK);
    assert_memory_equal(values, second, sizeof values);
}

/* ---- from write to read --------------------------------------------------------------------- */

static void what_was_written_is_read_back_in_the_order_of_names(void **state)
{
    const bench *b = *state;
    fil_file    *f = open_two(b, 0);
    const char  *key;
    const char  *value;
    check_two(f, "two.safetensors");
    assert_string_equal(fil_file_format(f), "safetensors");
    assert_int_equal(fil_file_shards(f), 1);
    assert_int_equal(fil_file_find(f, "first"), 0);
    assert_int_equal(fil_file_find(f, "second"), 1);
    assert_int_equal(fil_file_find(f, "third"), -1);
    assert_int_equal(fil_file_find(f, ""), -1);
    assert_int_equal(fil_file_metadata_pairs(f), 1);
    fil_file_metadata(f, 0, &key, &value);
    assert_string_equal(key, "note");
    assert_string_equal(value, "a test");
    fil_file_close(&f);
    assert_null(f);
    assert_int_equal(fil_ctx_error(b->ctx)->status, FIL_OK);
}

static void file_offset_and_size_are_those_on_disk(void **state)
{
    const bench    *b = *state;
    fil_file       *f = open_two(b, 0);
    fil_tensor_info t;
    size_t          size;
    unsigned char  *bytes = scratch_read(&b->dir, "two.safetensors", &size);
    fil_file_tensor(f, 1, &t);
    assert_int_equal(fil_file_bytes(f), size);
    assert_memory_equal(bytes + t.offset, second, sizeof second);
    free(bytes);
    fil_file_close(&f);
}

static void sharded_model_is_read_through_its_index(void **state)
{
    static const char     index[] = "{\"weight_map\":{\"a\":\"m-1.safetensors\","
                                    "\"first\":\"m-2.safetensors\","
                                    "\"second\":\"m-2.safetensors\"}}";
    const fil_tensor_desc a       = {.name = "a", .dtype = FIL_U8, .rank = 1, .shape = {0}};
    const bench          *b       = *state;
    fil_writer           *w;
    fil_file             *f;
    fil_tensor_info       t;
    assert_int_equal(
        fil_writer_open(b->ctx, scratch_path(&b->dir, "m-1.safetensors"), &a, 1, NULL, 0, 0, &w),
        FIL_OK);
    assert_int_equal(fil_writer_finish(&w), FIL_OK);
    two_at(b, "m-2.safetensors");
    scratch_write(&b->dir, "m.safetensors.index.json", index, sizeof index - 1);
    assert_int_equal(
        fil_file_open(b->ctx, scratch_path(&b->dir, "m.safetensors.index.json"), 0, &f), FIL_OK);
    assert_string_equal(fil_file_format(f), "safetensors-index");
    assert_int_equal(fil_file_shards(f), 2);
    assert_int_equal(fil_file_tensors(f), 3);
    assert_int_equal(fil_file_metadata_pairs(f), 0);
    fil_file_tensor(f, 0, &t);
    assert_string_equal(t.file, "m-1.safetensors");
    fil_file_tensor(f, 2, &t);
    assert_string_equal(t.file, "m-2.safetensors");
    size_t one;
    size_t other;
    free(scratch_read(&b->dir, "m-1.safetensors", &one));
    free(scratch_read(&b->dir, "m-2.safetensors", &other));
    assert_int_equal(fil_file_bytes(f), one + other);
    fil_file_close(&f);
}

/* ---- ranges --------------------------------------------------------------------------------- */

static void read_copies_exactly_the_range_asked_for(void **state)
{
    const bench *b = *state;
    for (uint32_t flags = 0; flags <= FIL_OPEN_TRUSTED; flags++) {
        fil_file            *f        = open_two(b, flags);
        const unsigned char *expected = (const unsigned char *)second;
        for (uint64_t begin = 0; begin <= sizeof second; begin++)
            for (uint64_t n = 0; n <= sizeof second - begin; n++) {
                unsigned char copy[sizeof second + 1];
                memset(copy, 0x5a, sizeof copy);
                assert_int_equal(fil_file_read(f, 1, begin, copy, n), FIL_OK);
                assert_memory_equal(copy, expected + begin, n);
                assert_int_equal(copy[n], 0x5a);
            }
        fil_file_close(&f);
    }
}

static void read_outside_the_tensor_is_refused_and_names_it(void **state)
{
    static const uint64_t ranges[][2] = {
        {0, 13}, {12, 1}, {13, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX}, {UINT64_MAX, UINT64_MAX}};
    const bench  *b = *state;
    fil_file     *f = open_two(b, 0);
    unsigned char copy[16];
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        assert_int_equal(fil_file_read(f, 1, ranges[i][0], copy, ranges[i][1]), FIL_E_ARG);
        const fil_error *e = fil_ctx_error(b->ctx);
        assert_non_null(strstr(e->message, "'second' has 12 bytes"));
        assert_int_equal(e->n_frames, 2);
        assert_string_equal(e->frame[0], "tensor second");
        assert_string_equal(e->frame[1], "file two.safetensors");
    }
    assert_int_equal(fil_file_read(f, 1, 12, NULL, 0), FIL_OK);
    fil_file_close(&f);
}

static void read_of_a_file_that_has_shrunk_is_an_io_error_when_untrusted(void **state)
{
    const bench *b = *state;
    fil_file    *f = open_two(b, 0);
    int16_t      values[6];
    assert_int_equal(truncate(scratch_path(&b->dir, "two.safetensors"), 64), 0);
    assert_int_equal(fil_file_read(f, 1, 0, values, sizeof values), FIL_E_IO);
    fil_file_close(&f);
}

/* ---- trust ---------------------------------------------------------------------------------- */

static void trusted_files_are_mapped_and_untrusted_ones_are_not(void **state)
{
    const bench *b    = *state;
    const char  *path = two_at(b, "two.safetensors");
    for (uint32_t flags = 0; flags <= FIL_OPEN_TRUSTED; flags++) {
        os_fault      fault = {.at = -1};
        const fili_os os    = os_fault_table(&fault);
        fil_ctx      *ctx;
        fil_file     *f;
        assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
        assert_int_equal(fil_file_open(ctx, path, flags, &f), FIL_OK);
        assert_int_equal(fault.mapped, flags == FIL_OPEN_TRUSTED ? 1 : 0);
        check_two(f, "two.safetensors");
        fil_file_close(&f);
        assert_int_equal(fault.mapped, 0);
        assert_int_equal(fault.open, 0);
        fil_ctx_close(&ctx);
    }
}

static void shard_that_is_a_link_is_followed_only_when_trusted(void **state)
{
    static const char index[] = "{\"weight_map\":{\"first\":\"m-1.safetensors\","
                                "\"second\":\"m-1.safetensors\"}}";
    const bench      *b       = *state;
    const char       *path    = scratch_path(&b->dir, "m.safetensors.index.json");
    fil_file         *f;
    two_at(b, "elsewhere");
    scratch_write(&b->dir, "m.safetensors.index.json", index, sizeof index - 1);
    assert_int_equal(symlink("elsewhere", scratch_path(&b->dir, "m-1.safetensors")), 0);
    assert_int_equal(fil_file_open(b->ctx, path, 0, &f), FIL_E_FORMAT);
    assert_non_null(strstr(fil_ctx_error(b->ctx)->message, "symbolic link"));
    assert_null(f);
    assert_int_equal(fil_file_open(b->ctx, path, FIL_OPEN_TRUSTED, &f), FIL_OK);
    check_two(f, "m-1.safetensors");
    fil_file_close(&f);
}

/* ---- misuse --------------------------------------------------------------------------------- */

static void expect_arg(const fil_ctx *ctx, fil_status status, const char *message)
{
    assert_int_equal(status, FIL_E_ARG);
    assert_int_equal(fil_ctx_error(ctx)->status, FIL_E_ARG);
    assert_string_equal(fil_ctx_error(ctx)->message, message);
}

static void misuse_of_the_reader_is_answered_with_e_arg_and_a_sentence(void **state)
{
    const bench *b    = *state;
    fil_file    *f    = open_two(b, 0);
    fil_file    *none = f;
    const char  *path = scratch_path(&b->dir, "two.safetensors");
    char         byte;
    expect_arg(NULL, fil_file_open(NULL, path, 0, &none), "fil_file_open: ctx is NULL");
    assert_null(none);
    expect_arg(b->ctx, fil_file_open(b->ctx, NULL, 0, &none), "fil_file_open: path is NULL");
    expect_arg(b->ctx, fil_file_open(b->ctx, path, 0, NULL), "fil_file_open: out is NULL");
    expect_arg(b->ctx, fil_file_open(b->ctx, path, 6, &none), "fil_file_open: unknown flags 0x6");
    assert_null(none);
    expect_arg(NULL, fil_file_read(NULL, 0, 0, &byte, 1), "fil_file_read: file is NULL");
    expect_arg(b->ctx, fil_file_read(f, 2, 0, &byte, 1), "fil_file_read: tensor 2 of 2");
    expect_arg(b->ctx, fil_file_read(f, SIZE_MAX, 0, &byte, 0),
               "fil_file_read: tensor 18446744073709551615 of 2");
    expect_arg(b->ctx, fil_file_read(f, 0, 0, NULL, 1), "fil_file_read: dst is NULL");
    fil_file_close(&f);
    fil_file_close(&f);
    fil_file_close(NULL);
}

static int is_zeroed(const fil_tensor_info *t)
{
    return t->name == NULL && t->dtype == FIL_DTYPE_NONE && t->rank == 0 && t->bytes == 0 &&
           t->offset == 0 && t->file == NULL;
}

static void accessors_answer_for_null_and_for_an_index_out_of_range(void **state)
{
    const bench    *b   = *state;
    fil_file       *f   = open_two(b, 0);
    fil_tensor_info t   = {.name = "x", .rank = 7, .bytes = 7, .file = "x"};
    const char     *key = "x";
    const char     *value;
    fil_file_tensor(f, 2, &t);
    assert_true(is_zeroed(&t));
    t.name = "x";
    fil_file_tensor(NULL, 0, &t);
    assert_true(is_zeroed(&t));
    fil_file_tensor(f, 0, NULL);
    fil_file_metadata(f, 1, &key, &value);
    assert_null(key);
    assert_null(value);
    fil_file_metadata(f, 0, NULL, &value);
    assert_string_equal(value, "a test");
    fil_file_metadata(f, 0, NULL, NULL);
    fil_file_metadata(NULL, 0, &key, NULL);
    assert_null(key);
    assert_int_equal(fil_file_find(f, NULL), -1);
    assert_int_equal(fil_file_find(NULL, "first"), -1);
    assert_int_equal(fil_file_tensors(NULL), 0);
    assert_int_equal(fil_file_shards(NULL), 0);
    assert_int_equal(fil_file_bytes(NULL), 0);
    assert_int_equal(fil_file_metadata_pairs(NULL), 0);
    assert_string_equal(fil_file_format(NULL), "");
    fil_file_close(&f);
}

static void misuse_of_the_writer_is_answered_with_e_arg_and_a_sentence(void **state)
{
    const bench *b    = *state;
    fil_ctx     *c    = b->ctx;
    const char  *path = scratch_path(&b->dir, "w.safetensors");
    fil_writer  *w    = NULL;
    expect_arg(NULL, fil_writer_open(NULL, path, two, 2, NULL, 0, 0, &w),
               "fil_writer_open: ctx is NULL");
    expect_arg(c, fil_writer_open(c, NULL, two, 2, NULL, 0, 0, &w),
               "fil_writer_open: path is NULL");
    expect_arg(c, fil_writer_open(c, path, two, 2, NULL, 0, 0, NULL),
               "fil_writer_open: out is NULL");
    expect_arg(c, fil_writer_open(c, path, NULL, 2, NULL, 0, 0, &w),
               "fil_writer_open: tensors is NULL, n_tensors is 2");
    expect_arg(c, fil_writer_open(c, path, two, 2, NULL, 3, 0, &w),
               "fil_writer_open: metadata is NULL, n_pairs is 3");
    expect_arg(c, fil_writer_open(c, path, two, 2, NULL, 0, 8, &w),
               "fil_writer_open: unknown flags 0x8");
    expect_arg(NULL, fil_writer_put(NULL, 0, "", 1), "fil_writer_put: writer is NULL");
    expect_arg(NULL, fil_writer_finish(NULL), "fil_writer_finish: writer is NULL");
    expect_arg(NULL, fil_writer_finish(&w), "fil_writer_finish: writer is NULL");
    assert_null(w);
    fil_writer_close(&w);
    fil_writer_close(NULL);

    assert_int_equal(fil_writer_open(c, path, two, 2, NULL, 0, 0, &w), FIL_OK);
    expect_arg(c, fil_writer_put(w, 2, second, 1), "fil_writer_put: tensor 2 of 2");
    expect_arg(c, fil_writer_put(w, 0, NULL, 1), "fil_writer_put: data is NULL");
    assert_int_equal(fil_writer_put(w, 0, second, sizeof second), FIL_OK);
    assert_int_equal(fil_ctx_error(c)->status, FIL_OK);
    expect_arg(c, fil_writer_finish(&w),
               "tensor 'first' is incomplete: it has 0 bytes, expected 4");
    assert_string_equal(fil_ctx_error(c)->frame[0], "file w.safetensors");
    assert_null(w);
    assert_int_equal(scratch_count(&b->dir), 0);
}

static void paths_without_a_file_name_are_refused(void **state)
{
    static const char *const bad[] = {"", ".", "..", "/", "folder/", "folder/.."};
    const bench             *b     = *state;
    fil_writer              *w;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fil_writer_open(b->ctx, bad[i], two, 2, NULL, 0, 0, &w), FIL_E_ARG);
        assert_null(w);
    }
}

/* ---- failures ------------------------------------------------------------------------------- */

static void failure_to_open_says_which_file_and_why(void **state)
{
    const bench *b    = *state;
    fil_file    *f    = (fil_file *)(uintptr_t)b;
    fil_writer  *w    = (fil_writer *)(uintptr_t)b;
    const char  *none = scratch_path(&b->dir, "none.safetensors");
    const char  *deep = scratch_path(&b->dir, "none/x.safetensors");
    assert_int_equal(fil_file_open(b->ctx, none, 0, &f), FIL_E_IO);
    assert_null(f);
    assert_non_null(strstr(fil_ctx_error(b->ctx)->message, "No such file"));
    assert_int_equal(fil_ctx_error(b->ctx)->n_frames, 1);
    assert_string_equal(fil_ctx_error(b->ctx)->frame[0], "file none.safetensors");
    assert_int_equal(fil_writer_open(b->ctx, deep, two, 2, NULL, 0, 0, &w), FIL_E_IO);
    assert_null(w);
    assert_non_null(strstr(fil_ctx_error(b->ctx)->message, "No such file"));
    assert_string_equal(fil_ctx_error(b->ctx)->frame[0], "file x.safetensors");
    assert_int_equal(fil_file_open(b->ctx, b->dir.path, 0, &f), FIL_E_FORMAT);
    assert_non_null(strstr(fil_ctx_error(b->ctx)->message, "a directory"));
}

static void existing_file_is_replaced_only_with_the_flag(void **state)
{
    const bench *b    = *state;
    const char  *path = scratch_path(&b->dir, "w.safetensors");
    assert_int_equal(write_two(b->ctx, path, 0), FIL_OK);
    assert_int_equal(write_two(b->ctx, path, 0), FIL_E_IO);
    assert_int_equal(write_two(b->ctx, path, FIL_WRITE_REPLACE), FIL_OK);
    assert_int_equal(scratch_count(&b->dir), 1);
}

static void writer_that_failed_stays_closable_and_says_so(void **state)
{
    const bench  *b     = *state;
    os_fault      fault = {.call = OS_PWRITE, .at = 1, .error = ENOSPC};
    const fili_os os    = os_fault_table(&fault);
    fil_ctx      *ctx;
    fil_writer   *w;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    assert_int_equal(
        fil_writer_open(ctx, scratch_path(&b->dir, "w.safetensors"), two, 2, NULL, 0, 0, &w),
        FIL_OK);
    assert_int_equal(fil_writer_put(w, 1, &first, sizeof first), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "No space left"));
    assert_int_equal(fil_writer_put(w, 1, &first, sizeof first), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "can only be closed"));
    assert_int_equal(fil_writer_finish(&w), FIL_E_IO);
    assert_null(w);
    assert_int_equal(fault.open, 0);
    assert_int_equal(scratch_count(&b->dir), 0);
    fil_ctx_close(&ctx);
}

static void every_failing_allocation_of_open_and_read_gives_e_nomem(void **state)
{
    const bench *b    = *state;
    const char  *path = two_at(b, "two.safetensors");
    for (int forever = 0; forever < 2; forever++)
        for (int64_t at = 0;; at++) {
            alloc_fault fault = {.at = -1};
            fil_options opt;
            fil_ctx    *ctx;
            fil_file   *f;
            fil_options_init(&opt);
            opt.host = alloc_fault_allocator(&fault);
            alloc_fault_json(&fault);
            assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
            fault.at                = fault.calls + at;
            fault.forever           = forever;
            const fil_status status = fil_file_open(ctx, path, 0, &f);
            const int        failed = fault.failed > 0;
            assert_int_equal(status, failed ? FIL_E_NOMEM : FIL_OK);
            if (!failed) check_two(f, "two.safetensors");
            fil_file_close(&f);
            assert_int_equal(fil_ctx_memory(ctx).used, 0);
            fil_ctx_close(&ctx);
            alloc_fault_json(NULL);
            assert_int_equal(fault.live, 0);
            if (failed) continue;
            assert_true(at >= 5);
            break;
        }
}

/* ---- files made elsewhere ------------------------------------------------------------------- */

/* Opens the file, lists it, and reads the last byte of every tensor. */
static void list_file(fil_ctx *ctx, const char *path, uint32_t flags)
{
    fil_file       *f;
    fil_tensor_info t;
    fil_tensor_info before = {.name = ""};
    char            byte;
    if (fil_file_open(ctx, path, flags, &f) != FIL_OK)
        fail_msg("%s: %s", path, fil_ctx_error(ctx)->message);
    assert_true(fil_file_tensors(f) > 0);
    for (size_t i = 0; i < fil_file_tensors(f); i++) {
        fil_file_tensor(f, i, &t);
        assert_true(strcmp(before.name, t.name) < 0);
        assert_int_equal(fil_file_find(f, t.name), i);
        assert_string_not_equal(fil_dtype_name(t.dtype), "?");
        if (t.bytes > 0) assert_int_equal(fil_file_read(f, i, t.bytes - 1, &byte, 1), FIL_OK);
        before = t;
    }
    fil_file_close(&f);
}

static size_t list_folder(fil_ctx *ctx, const char *path)
{
    char        file[512];
    fil_folder *folder;
    if (fil_folder_open(ctx, path, 0, &folder) != FIL_OK)
        fail_msg("%s: %s", path, fil_ctx_error(ctx)->message);
    const size_t n = fil_folder_files(folder);
    for (size_t i = 0; i < n; i++) {
        snprintf(file, sizeof file, "%s/%s", path, fil_folder_file(folder, i));
        list_file(ctx, file, 0);
        list_file(ctx, file, FIL_OPEN_TRUSTED);
    }
    fil_folder_close(&folder);
    return n;
}

static void every_model_file_of_the_fixtures_opens(void **state)
{
    static const char *const folders[] = {"pipeline", "shapes",    "dit",      "vae",   "umt5",
                                          "solvers",  "attention", "training", "noise", "methods"};
    const bench             *b         = *state;
    const char              *fixtures  = getenv("FIL_FIXTURES");
    char                     path[400];
    size_t                   n = 0;
    if (fixtures == NULL) {
        skip();
        return;
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", fixtures, folders[i]);
        n += list_folder(b->ctx, path);
    }
    print_message("%d files\n", (int)n);
    assert_true(n >= 30);
}

static void demo_checkpoint_is_a_model_in_the_original_layout(void **state)
{
    static const struct {
        const char *name;
        size_t      tensors, shards;
    } expected[]      = {{"Wan2.1_VAE.safetensors", 194, 1},
                         {"diffusion_pytorch_model.safetensors.index.json", 69, 2},
                         {"models_t5_umt5-xxl-enc-bf16.safetensors", 22, 1}};
    const bench *b    = *state;
    const char  *demo = getenv("FIL_DEMO");
    char         path[512];
    fil_folder  *folder;
    fil_file    *f;
    if (demo == NULL) {
        skip();
        return;
    }
    assert_int_equal(fil_folder_open(b->ctx, demo, 0, &folder), FIL_OK);
    assert_string_equal(fil_folder_layout(folder), "original");
    assert_int_equal(fil_folder_files(folder), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(fil_folder_file(folder, i), expected[i].name);
        snprintf(path, sizeof path, "%s/%s", demo, expected[i].name);
        assert_int_equal(fil_file_open(b->ctx, path, 0, &f), FIL_OK);
        assert_int_equal(fil_file_tensors(f), expected[i].tensors);
        assert_int_equal(fil_file_shards(f), expected[i].shards);
        fil_file_close(&f);
    }
    fil_folder_close(&folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read_back_in_the_order_of_names),
        TEST(file_offset_and_size_are_those_on_disk),
        TEST(sharded_model_is_read_through_its_index),
        TEST(read_copies_exactly_the_range_asked_for),
        TEST(read_outside_the_tensor_is_refused_and_names_it),
        TEST(read_of_a_file_that_has_shrunk_is_an_io_error_when_untrusted),
        TEST(trusted_files_are_mapped_and_untrusted_ones_are_not),
        TEST(shard_that_is_a_link_is_followed_only_when_trusted),
        TEST(misuse_of_the_reader_is_answered_with_e_arg_and_a_sentence),
        TEST(accessors_answer_for_null_and_for_an_index_out_of_range),
        TEST(misuse_of_the_writer_is_answered_with_e_arg_and_a_sentence),
        TEST(paths_without_a_file_name_are_refused),
        TEST(failure_to_open_says_which_file_and_why),
        TEST(existing_file_is_replaced_only_with_the_flag),
        TEST(writer_that_failed_stays_closable_and_says_so),
        TEST(every_failing_allocation_of_open_and_read_gives_e_nomem),
        TEST(every_model_file_of_the_fixtures_opens),
        TEST(demo_checkpoint_is_a_model_in_the_original_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
