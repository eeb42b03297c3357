/* tests/unit/test_safetensors.c: what a good safetensors file gives, limits at limit - 1, limit and
 * limit + 1, and every fixture. Bad files: test_malformed.c.
 */
#define _DEFAULT_SOURCE
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka_all.h"
#include "support/invariants.h"
#include "support/malformed.h"

static scratch  dir;
static fil_ctx *ctx;

static int open_all(void **state)
{
    (void)state;
    scratch_make(&dir);
    return fil_ctx_open(&ctx, NULL) == FIL_OK ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    const int held = fil_ctx_memory(ctx).used != 0;
    fil_ctx_close(&ctx);
    scratch_remove(&dir);
    return held;
}

static void write_file(const char *name, const char *header, uint64_t data)
{
    blob b = blob_safetensors(header, strlen(header), data);
    scratch_write(&dir, name, b.data, b.bytes);
    blob_free(&b);
}

static fil_status open_file(fili_tensors *set, const char *name)
{
    fili_ctx_enter(ctx);
    fili_tensors_init(set, ctx, 0);
    return fili_tensors_open(set, scratch_path(&dir, name));
}

/* Opens a file of that header and closes it. */
static fil_status try_header(const char *header, uint64_t data)
{
    fili_tensors set;
    write_file("try", header, data);
    const fil_status status = open_file(&set, "try");
    if (status == FIL_OK) assert_null(safetensors_broken(&set));
    fili_tensors_fini(&set);
    return status;
}

static void tensors_come_sorted_with_absolute_offsets(void **state)
{
    (void)state;
    static const char header[] =
        "{\"z\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"a\":{\"data_offsets\":[24,26],\"shape\":[],\"dtype\":\"BF16\"},"
        "\"m\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[24,24]}}  ";
    fili_tensors set;
    write_file("good", header, 26);
    assert_int_equal(open_file(&set, "good"), FIL_OK);
    assert_null(safetensors_broken(&set));
    assert_string_equal(set.format, "safetensors");
    assert_int_equal(set.n_entries, 3);
    const fili_entry *a = &set.entries[0];
    const fili_entry *m = &set.entries[1];
    const fili_entry *z = &set.entries[2];
    assert_string_equal(a->name, "a");
    assert_int_equal(a->dtype, FIL_BF16);
    assert_int_equal(a->rank, 0);
    assert_int_equal(a->offset, 8 + sizeof header - 1 + 24);
    assert_int_equal(a->bytes, 2);
    assert_int_equal(m->bytes, 0);
    assert_int_equal(m->shape[1], 7);
    assert_int_equal(z->offset, 8 + sizeof header - 1);
    assert_int_equal(z->shape[0], 2);
    assert_int_equal(z->shape[1], 3);
    assert_string_equal(set.sources[0].name, "good");
    assert_int_equal(set.n_pairs, 0);
    fili_tensors_fini(&set);
}

static void every_dtype_is_read_by_its_name(void **state)
{
    (void)state;
    char header[128];
#define TRY_DTYPE(name, value, bits, text)                                                         \
    snprintf(header, sizeof header,                                                                \
             "{\"a\":{\"dtype\":\"%s\",\"shape\":[4],\"data_offsets\":[0,%d]}}", text,             \
             (bits)*4 / 8);                                                                        \
    assert_int_equal(try_header(header, (bits)*4 / 8), FIL_OK);
    FIL_DTYPE_LIST(TRY_DTYPE)
#undef TRY_DTYPE
}

static void metadata_keeps_the_order_of_the_file(void **state)
{
    (void)state;
    fili_tensors set;
    write_file("meta", "{\"__metadata__\":{\"z\":\"1\",\"a\":\"line\\nline\",\"\":\"\"}}", 0);
    assert_int_equal(open_file(&set, "meta"), FIL_OK);
    assert_int_equal(set.n_entries, 0);
    assert_int_equal(set.n_pairs, 3);
    assert_string_equal(set.metadata[0].key, "z");
    assert_string_equal(set.metadata[0].value, "1");
    assert_string_equal(set.metadata[1].value, "line\nline");
    assert_string_equal(set.metadata[2].key, "");
    fili_tensors_fini(&set);
}

static void files_with_little_in_them_are_legal(void **state)
{
    (void)state;
    assert_int_equal(try_header("{}", 0), FIL_OK);
    assert_int_equal(try_header("{} \t\r\n", 0), FIL_OK);
    assert_int_equal(try_header("{\"__metadata__\":{}}", 0), FIL_OK);
    assert_int_equal(try_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                                "\"b\":{\"dtype\":\"F32\",\"shape\":[0,0],\"data_offsets\":[0,0]}}",
                                0),
                     FIL_OK);
    assert_int_equal(
        try_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}",
                   1),
        FIL_OK);
}

/* A header of 640 bytes begins with the bytes of a pickle, one of 18,256 with "PG"... */
static void a_length_that_looks_like_another_format_is_a_length(void **state)
{
    (void)state;
    static const size_t lengths[] = {0x0280, 0x0480, 0x4b50, 0x3c21, 0x8a0280};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char *header = malloc(lengths[i] + 1);
        assert_non_null(header);
        memset(header, ' ', lengths[i]);
        memcpy(header, "{}", 2);
        header[lengths[i]] = '\0';
        assert_int_equal(try_header(header, 0), FIL_OK);
        free(header);
    }
}

/* ---- limits --------------------------------------------------------------------------------- */

/* What `limit` allows is taken, one less is taken, one more is refused and names the limit. */
static void assert_limit(uint64_t *limit, uint64_t need, const char *header, uint64_t data,
                         const char *name)
{
    const uint64_t before = *limit;
    *limit                = need + 1;
    assert_int_equal(try_header(header, data), FIL_OK);
    *limit = need;
    assert_int_equal(try_header(header, data), FIL_OK);
    *limit = need - 1;
    assert_int_equal(try_header(header, data), FIL_E_LIMIT);
    if (strstr(fil_ctx_error(ctx)->message, name) == NULL)
        fail_msg("'%s' does not name %s", fil_ctx_error(ctx)->message, name);
    *limit = before;
}

static void limits_hold_to_the_last_unit(void **state)
{
    (void)state;
    fil_limits       *l = &ctx->opt.limits;
    static const char header[] =
        "{\"__metadata__\":{\"k\":\"12345\",\"key\":\"\\u0041\"},"
        "\"ab\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]},"
        "\"abc\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[1,2]},"
        "\"abcde\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[2,3]}}";
    assert_limit(&l->header_bytes, sizeof header - 1, header, 3, "limit: header_bytes");
    assert_limit(&l->tensors, 3, header, 3, "limit: tensors");
    assert_limit(&l->name_bytes, 5, header, 3, "the limit is 4");
    assert_limit(&l->metadata_bytes, 10, header, 3, "limit: metadata_bytes");
    assert_limit(&l->metadata_pairs, 2, header, 3, "limit: metadata_pairs");
}

static void a_header_may_hold_as_many_values_as_its_limits_allow(void **state)
{
    (void)state;
    const fil_limits before        = ctx->opt.limits;
    ctx->opt.limits.tensors        = 1;
    ctx->opt.limits.metadata_pairs = 1;
    assert_int_equal(try_header("{\"__metadata__\":{\"a\":\"b\"},\"t\":{\"dtype\":\"U8\","
                                "\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}",
                                1),
                     FIL_OK);
    ctx->opt.limits.tensors        = 0;
    ctx->opt.limits.metadata_pairs = 0;
    assert_int_equal(try_header("{\"__metadata__\":{}}", 0), FIL_OK);
    assert_int_equal(
        try_header("{\"t\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0),
        FIL_E_LIMIT);
    ctx->opt.limits = before;
}

static void rank_ends_at_8(void **state)
{
    (void)state;
    static const char *const shapes[] = {"1,1,1,1,1,1,1", "1,1,1,1,1,1,1,1", "1,1,1,1,1,1,1,1,1"};
    for (int i = 0; i < 3; i++) {
        char header[128];
        snprintf(header, sizeof header,
                 "{\"a\":{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[0,1]}}", shapes[i]);
        assert_int_equal(try_header(header, 1), i < 2 ? FIL_OK : FIL_E_LIMIT);
    }
}

/* ---- fixtures ------------------------------------------------------------------------------- */

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text);
    const size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Opens all tensor files of a folder; puts its subfolders at the end of the list. */
static int visit(char (*folders)[512], int *n_folders, int max, int at)
{
    int            opened = 0;
    DIR           *d      = opendir(folders[at]);
    struct dirent *e;
    if (d == NULL) return 0;
    while ((e = readdir(d)) != NULL) {
        char         path[1024];
        fili_tensors set;
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folders[at], e->d_name);
        if (e->d_type == DT_DIR && *n_folders < max && strlen(path) < 512)
            memcpy(folders[(*n_folders)++], path, strlen(path) + 1);
        const int index = ends_with(path, ".safetensors.index.json");
        if (!index && !ends_with(path, ".safetensors")) continue;
        fili_ctx_enter(ctx);
        fili_tensors_init(&set, ctx, FIL_OPEN_TRUSTED);
        if (fili_tensors_open(&set, path) != FIL_OK)
            fail_msg("%s: %s", path, fil_ctx_error(ctx)->message);
        const char *why = index ? tensors_broken(&set) : safetensors_broken(&set);
        if (why != NULL) fail_msg("%s: %s", path, why);
        assert_true(set.n_entries > 0);
        fili_tensors_fini(&set);
        opened++;
    }
    closedir(d);
    return opened;
}

static void every_fixture_opens(void **state)
{
    (void)state;
    enum { MAX_FOLDERS = 256 };
    static char folders[MAX_FOLDERS][512];
    const char *root   = getenv("FIL_FIXTURES");
    int         n      = 1;
    int         opened = 0;
    if (root == NULL) {
        print_message("skipped: FIL_FIXTURES is not set\n");
        skip();
    }
    snprintf(folders[0], sizeof folders[0], "%s", root);
    for (int i = 0; i < n; i++)
        opened += visit(folders, &n, MAX_FOLDERS, i);
    printf("%d files in %d folders\n", opened, n);
    assert_true(opened > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_come_sorted_with_absolute_offsets),
        cmocka_unit_test(every_dtype_is_read_by_its_name),
        cmocka_unit_test(metadata_keeps_the_order_of_the_file),
        cmocka_unit_test(files_with_little_in_them_are_legal),
        cmocka_unit_test(a_length_that_looks_like_another_format_is_a_length),
        cmocka_unit_test(limits_hold_to_the_last_unit),
        cmocka_unit_test(a_header_may_hold_as_many_values_as_its_limits_allow),
        cmocka_unit_test(rank_ends_at_8),
        cmocka_unit_test(every_fixture_opens),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
