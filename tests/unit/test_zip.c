/* tests/unit/test_zip.c: the directory of a stored archive: what is read, and what is refused when
 * one field of a well-formed archive is changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/memory_file.h"
#include "io/zip.h"
#include "support/cmocka_all.h"
#include "support/pth_make.h"

static const zip_item three[] = {
    {"x/data.pkl", "pickle", 6}, {"x/data/0", "0123456789", 10}, {"x/version", "3\n", 2}};

typedef struct bench {
    memory_file file;
    fili_os     os;
    fil_ctx    *ctx;
    fili_file   opened;
    fili_zip    zip;
    fil_status  status;
} bench;

static void open_bench(bench *t, const buffer *b, const fil_limits *limits)
{
    fil_options opt;
    fil_options_init(&opt);
    if (limits != NULL) opt.limits = *limits;
    *t    = (bench){.file = {.data = b->data, .bytes = b->bytes}};
    t->os = memory_file_table(&t->file);
    assert_int_equal(fili_ctx_open_on(&t->os, &t->ctx, &opt), FIL_OK);
    assert_int_equal(fili_file_open(t->ctx, FILI_CWD, "x", 0, &t->opened), FIL_OK);
    t->status = fili_zip_open(t->ctx, &t->opened, &t->zip);
    assert_int_equal(t->status, fil_ctx_error(t->ctx)->status);
}

static void close_bench(bench *t)
{
    fili_zip_fini(&t->zip);
    fili_zip_fini(&t->zip);
    fili_file_close(t->ctx, &t->opened);
    assert_int_equal(fil_ctx_memory(t->ctx).used, 0);
    fil_ctx_close(&t->ctx);
    assert_int_equal(t->file.open, 0);
}

static void expect_limited(const char *what, const buffer *b, const fil_limits *limits,
                           fil_status status, const char *needle)
{
    bench t;
    open_bench(&t, b, limits);
    const char *message = fil_ctx_error(t.ctx)->message;
    if (t.status != status || strstr(message, needle) == NULL)
        fail_msg("%s: got %s '%s', expected %s '...%s...'", what, fil_status_name(t.status),
                 message, fil_status_name(status), needle);
    close_bench(&t);
}

static void expect(const char *what, const buffer *b, fil_status status, const char *needle)
{
    expect_limited(what, b, NULL, status, needle);
}

static void make_three(buffer *b, int style, zip_map *map)
{
    b->bytes = 0;
    zip_make(b, style, three, 3, map);
}

/* ---- what is read --------------------------------------------------------------------------- */

static void crc_32_has_the_published_check_value(void **state)
{
    (void)state;
    assert_int_equal(fili_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(fili_crc32("", 0), 0);
}

/* The definition, a bit at a time. */
static uint32_t crc_by_bits(const unsigned char *data, size_t bytes)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
    }
    return ~crc;
}

/* Of every length and from every address, in one part and in two. */
static void crc_32_is_the_same_however_the_data_is_cut(void **state)
{
    enum { MOST = 300 };
    unsigned char data[MOST + 4];
    (void)state;
    for (int i = 0; i < MOST + 4; i++)
        data[i] = (unsigned char)(i * 167 + (i >> 3) * 29);
    for (size_t n = 0; n <= MOST; n++) {
        const unsigned char *p    = data + n % 4;
        const uint32_t       want = crc_by_bits(p, n);
        assert_int_equal(fili_crc32(p, n), want);
        for (size_t cut = 0; cut <= n; cut += 1 + n / 7)
            assert_int_equal(fili_crc32_more(fili_crc32(p, cut), p + cut, n - cut), want);
    }
}

static void entries_of_both_styles_are_found_with_their_bytes(void **state)
{
    (void)state;
    for (int style = ZIP_TORCH; style <= ZIP_PLAIN; style++) {
        buffer  b = {0};
        bench   t;
        zip_map map;
        make_three(&b, style, &map);
        open_bench(&t, &b, NULL);
        assert_string_equal(fil_ctx_error(t.ctx)->message, "");
        assert_int_equal(t.zip.n_entries, 3);
        for (size_t i = 0; i < 3; i++) {
            char                  data[16];
            const fili_zip_entry *e = fili_zip_find(&t.zip, three[i].name, strlen(three[i].name));
            assert_non_null(e);
            assert_int_equal(e->bytes, three[i].bytes);
            assert_int_equal(e->offset, map.data[i]);
            assert_int_equal(fili_zip_read(&t.zip, e, data), FIL_OK);
            assert_memory_equal(data, three[i].data, three[i].bytes);
        }
        assert_null(fili_zip_find(&t.zip, "x/versio", 8));
        assert_null(fili_zip_find(&t.zip, "x/version2", 10));
        assert_null(fili_zip_find(&t.zip, "", 0));
        close_bench(&t);
        buffer_free(&b);
    }
}

static void an_empty_archive_has_no_entries(void **state)
{
    (void)state;
    for (int style = ZIP_TORCH; style <= ZIP_PLAIN; style++) {
        buffer b = {0};
        bench  t;
        zip_make(&b, style, three, 0, NULL);
        open_bench(&t, &b, NULL);
        assert_int_equal(t.status, FIL_OK);
        assert_int_equal(t.zip.n_entries, 0);
        assert_null(fili_zip_find(&t.zip, "x", 1));
        close_bench(&t);
        buffer_free(&b);
    }
}

static void comments_up_to_65535_bytes_are_skipped(void **state)
{
    static const size_t bytes[] = {1, 21, 22, 65534, 65535};
    (void)state;
    for (int style = ZIP_TORCH; style <= ZIP_PLAIN; style++)
        for (size_t i = 0; i < 5; i++) {
            buffer  b = {0};
            zip_map map;
            make_three(&b, style, &map);
            buffer_set(&b, (size_t)map.end + END_COMMENT_BYTES, 2, bytes[i]);
            buffer_fill(&b, 'c', bytes[i]);
            expect("comment", &b, FIL_OK, "");
            buffer_fill(&b, 'c', 1);
            expect("comment + 1", &b, FIL_E_FORMAT, "no end record");
            buffer_free(&b);
        }
}

static void a_folder_entry_is_let_through(void **state)
{
    static const zip_item items[] = {{"x/", "", 0}, {"x/data.pkl", "p", 1}};
    buffer                b       = {0};
    (void)state;
    zip_make(&b, ZIP_PLAIN, items, 2, NULL);
    expect("folder", &b, FIL_OK, "");
    buffer_free(&b);
}

static void reading_an_entry_verifies_its_crc(void **state)
{
    (void)state;
    for (int style = ZIP_TORCH; style <= ZIP_PLAIN; style++) {
        buffer  b = {0};
        bench   t;
        zip_map map;
        char    data[16];
        make_three(&b, style, &map);
        b.data[map.data[0]] ^= 1;
        open_bench(&t, &b, NULL);
        assert_int_equal(t.status, FIL_OK);
        assert_int_equal(fili_zip_read(&t.zip, fili_zip_find(&t.zip, "x/data.pkl", 10), data),
                         FIL_E_FORMAT);
        assert_non_null(strstr(fil_ctx_error(t.ctx)->message, "is damaged"));
        close_bench(&t);
        buffer_free(&b);
    }
}

/* ---- one field changed ---------------------------------------------------------------------- */

typedef enum record { LOCAL, CENTRAL, END, END64, LOCATOR } record;

static const struct {
    const char *name;
    int         style;
    record      record;
    unsigned    item, field, width;
    uint64_t    value;
    fil_status  status;
    const char *needle;
} patches[] = {
#define PLAIN ZIP_PLAIN
#define TORCH ZIP_TORCH
    {"deflate", TORCH, CENTRAL, 1, CENTRAL_METHOD, 2, 8, FIL_E_UNSUP, "compressed (method 8, def"},
    {"method 99", TORCH, CENTRAL, 1, CENTRAL_METHOD, 2, 99, FIL_E_UNSUP, "compressed (method 99)"},
    {"local deflate", TORCH, LOCAL, 1, LOCAL_METHOD, 2, 8, FIL_E_FORMAT, "method 8 in its local"},
    {"encrypted", TORCH, CENTRAL, 1, CENTRAL_FLAGS, 2, 0x809, FIL_E_UNSUP, "is encrypted"},
    {"strong", TORCH, CENTRAL, 1, CENTRAL_FLAGS, 2, 0x848, FIL_E_UNSUP, "is encrypted"},
    {"masked", TORCH, CENTRAL, 1, CENTRAL_FLAGS, 2, 0x2808, FIL_E_UNSUP, "is encrypted"},
    {"patched data", TORCH, CENTRAL, 1, CENTRAL_FLAGS, 2, 0x828, FIL_E_UNSUP, "unknown flags"},
    {"local encrypted", TORCH, LOCAL, 1, LOCAL_FLAGS, 2, 0x809, FIL_E_FORMAT, "flags 0x0809"},
    {"flags differ", PLAIN, LOCAL, 1, LOCAL_FLAGS, 2, 8, FIL_E_FORMAT, "flags 0x0008"},
    {"size + 1", PLAIN, CENTRAL, 1, CENTRAL_SIZE, 4, 11, FIL_E_FORMAT, "11 bytes, but 10"},
    {"packed - 1", PLAIN, CENTRAL, 1, CENTRAL_PACKED, 4, 9, FIL_E_FORMAT, "10 bytes, but 9"},
    {"local size", PLAIN, LOCAL, 1, LOCAL_SIZE, 4, 9, FIL_E_FORMAT, "has 9 bytes"},
    {"local packed", PLAIN, LOCAL, 1, LOCAL_PACKED, 4, 11, FIL_E_FORMAT, "in its local header"},
    {"local crc", PLAIN, LOCAL, 1, LOCAL_CRC, 4, 1, FIL_E_FORMAT, "00000001"},
    {"central crc", PLAIN, CENTRAL, 1, CENTRAL_CRC, 4, 1, FIL_E_FORMAT, "(00000001)"},
    {"local size behind", TORCH, LOCAL, 1, LOCAL_SIZE, 4, 9, FIL_E_FORMAT, "in its local header"},
    {"local saturated", PLAIN, LOCAL, 1, LOCAL_SIZE, 4, 0xffffffff, FIL_E_FORMAT, "extra area"},
    {"saturated", PLAIN, CENTRAL, 1, CENTRAL_SIZE, 4, 0xffffffff, FIL_E_FORMAT, "extra area"},
    {"offset saturated", TORCH, CENTRAL, 1, CENTRAL_LOCAL, 4, 0xffffffff, FIL_E_FORMAT, "extra"},
    {"local name", TORCH, LOCAL, 1, LOCAL_NAME, 1, 'y', FIL_E_FORMAT, "another name"},
    {"local name length", TORCH, LOCAL, 1, LOCAL_NAME_BYTES, 2, 7, FIL_E_FORMAT, "another name"},
    {"local extra", PLAIN, LOCAL, 1, LOCAL_EXTRA_BYTES, 2, 8, FIL_E_FORMAT, "extra area in its lo"},
    {"local extra - 1", TORCH, LOCAL, 1, LOCAL_EXTRA_BYTES, 2, 3, FIL_E_FORMAT, "extra area in"},
    {"local extra far", PLAIN, LOCAL, 1, LOCAL_EXTRA_BYTES, 2, 65535, FIL_E_FORMAT,
     "before the di"},
    {"no local header", TORCH, LOCAL, 1, 0, 1, 'Q', FIL_E_FORMAT, "no local header"},
    {"no entry", TORCH, CENTRAL, 1, 0, 1, 'Q', FIL_E_FORMAT, "no entry where"},
    {"name of 0", TORCH, CENTRAL, 2, CENTRAL_NAME_BYTES, 2, 0, FIL_E_FORMAT, "no plain"},
    {"name too long", TORCH, CENTRAL, 2, CENTRAL_NAME_BYTES, 2, 65535, FIL_E_FORMAT, "has 55 left"},
    {"name longer", TORCH, CENTRAL, 1, CENTRAL_NAME_BYTES, 2, 9, FIL_E_FORMAT, "zip"},
    {"extra too long", TORCH, CENTRAL, 2, CENTRAL_EXTRA_BYTES, 2, 9, FIL_E_FORMAT, "left"},
    {"extra over next", TORCH, CENTRAL, 0, CENTRAL_EXTRA_BYTES, 2, 3, FIL_E_FORMAT, "extra area"},
    {"comment over next", TORCH, CENTRAL, 0, CENTRAL_NOTE_BYTES, 2, 1, FIL_E_FORMAT, "no entry"},
    {"comment too long", TORCH, CENTRAL, 2, CENTRAL_NOTE_BYTES, 2, 1, FIL_E_FORMAT, "left"},
    {"entry's disk", TORCH, CENTRAL, 1, CENTRAL_DISK, 2, 1, FIL_E_UNSUP, "another disk"},
    {"offset of another", TORCH, CENTRAL, 1, CENTRAL_LOCAL, 4, 0, FIL_E_FORMAT, "another name"},
    {"offset far", TORCH, CENTRAL, 1, CENTRAL_LOCAL, 4, 0xfffffffe, FIL_E_FORMAT, "before the dir"},
    {"offset odd", TORCH, CENTRAL, 1, CENTRAL_LOCAL, 4, 1, FIL_E_FORMAT, "no local header"},
    {"control in name", TORCH, CENTRAL, 1, CENTRAL_NAME, 1, 7, FIL_E_FORMAT, "control character"},
    {"NUL in name", TORCH, CENTRAL, 1, CENTRAL_NAME + 1, 1, 0, FIL_E_FORMAT, "control character"},
    {"no UTF-8", TORCH, CENTRAL, 1, CENTRAL_NAME, 1, 0xff, FIL_E_FORMAT, "not UTF-8"},
    {"backslash", TORCH, CENTRAL, 1, CENTRAL_NAME + 1, 1, '\\', FIL_E_FORMAT, "no plain"},
    {"absolute", TORCH, CENTRAL, 1, CENTRAL_NAME, 1, '/', FIL_E_FORMAT, "no plain"},
    {"dot", TORCH, CENTRAL, 1, CENTRAL_NAME, 1, '.', FIL_E_FORMAT, "no plain"},
    {"disk", TORCH, END, 0, END_DISK, 2, 1, FIL_E_UNSUP, "several disks"},
    {"directory's disk", TORCH, END, 0, END_DISK + 2, 2, 1, FIL_E_UNSUP, "several disks"},
    {"entries here", TORCH, END, 0, END_ENTRIES_HERE, 2, 2, FIL_E_UNSUP, "several disks"},
    {"entries", PLAIN, END, 0, END_ENTRIES_HERE, 4, 0x40004, FIL_E_FORMAT, "4 entries do not"},
    {"fewer entries", PLAIN, END, 0, END_ENTRIES_HERE, 4, 0x20002, FIL_E_FORMAT, "after its entr"},
    {"many entries", PLAIN, END, 0, END_ENTRIES_HERE, 4, 0xfffefffe, FIL_E_FORMAT, "do not fit"},
    {"entries disagree", TORCH, END, 0, END_ENTRIES_HERE, 4, 0x40004, FIL_E_FORMAT, "disagree"},
    {"directory size", PLAIN, END, 0, END_SIZE, 4, 1, FIL_E_FORMAT, "does not end where"},
    {"directory offset", PLAIN, END, 0, END_OFFSET, 4, 1, FIL_E_FORMAT, "does not end where"},
    {"size disagrees", TORCH, END, 0, END_SIZE, 4, 1, FIL_E_FORMAT, "disagree"},
    {"offset disagrees", TORCH, END, 0, END_OFFSET, 4, 1, FIL_E_FORMAT, "disagree"},
    {"saturated without ZIP64", PLAIN, END, 0, END_OFFSET, 4, 0xffffffff, FIL_E_FORMAT, "not end"},
    {"no locator", TORCH, LOCATOR, 0, 0, 1, 'Q', FIL_E_FORMAT, "does not end where"},
    {"locator beyond", TORCH, LOCATOR, 0, LOCATOR_OFFSET, 8, 1u << 30, FIL_E_FORMAT, "not lie bef"},
    {"locator wraps", TORCH, LOCATOR, 0, LOCATOR_OFFSET, 8, UINT64_MAX - 7, FIL_E_FORMAT,
     "not lie"},
    {"locator elsewhere", TORCH, LOCATOR, 0, LOCATOR_OFFSET, 8, 0, FIL_E_FORMAT, "malformed or"},
    {"two disks", TORCH, LOCATOR, 0, LOCATOR_DISKS, 4, 2, FIL_E_UNSUP, "several disks"},
    {"no ZIP64 record", TORCH, END64, 0, 0, 1, 'Q', FIL_E_FORMAT, "malformed or"},
    {"ZIP64 record short", TORCH, END64, 0, END64_RECORD_BYTES, 8, 43, FIL_E_FORMAT, "malformed"},
    {"ZIP64 record long", TORCH, END64, 0, END64_RECORD_BYTES, 8, 45, FIL_E_FORMAT, "malformed"},
    {"ZIP64 record wraps", TORCH, END64, 0, END64_RECORD_BYTES, 8, UINT64_MAX, FIL_E_FORMAT, "mal"},
    {"ZIP64 disk", TORCH, END64, 0, END64_DISK, 4, 1, FIL_E_UNSUP, "several disks"},
    {"ZIP64 entries here", TORCH, END64, 0, END64_ENTRIES_HERE, 8, 2, FIL_E_UNSUP, "several disks"},
    {"ZIP64 size", TORCH, END64, 0, END64_SIZE, 8, UINT64_MAX, FIL_E_FORMAT, "disagree"},
    {"ZIP64 offset", TORCH, END64, 0, END64_OFFSET, 8, UINT64_MAX, FIL_E_FORMAT, "disagree"},
#undef PLAIN
#undef TORCH
};

static size_t position(const zip_map *map, record r, unsigned item)
{
    const uint64_t at[] = {map->local[item], map->central[item], map->end, map->end64,
                           map->locator};
    return (size_t)at[r];
}

static void one_wrong_field_is_refused_with_its_reason(void **state)
{
    buffer  b = {0};
    zip_map map;
    (void)state;
    for (size_t i = 0; i < sizeof patches / sizeof *patches; i++) {
        make_three(&b, patches[i].style, &map);
        buffer_set(&b, position(&map, patches[i].record, patches[i].item) + patches[i].field,
                   patches[i].width, patches[i].value);
        expect(patches[i].name, &b, patches[i].status, patches[i].needle);
    }
    buffer_free(&b);
    print_message("%zu archives\n", sizeof patches / sizeof *patches);
}

/* Saturates a 32-bit field of the end record, so that the 64-bit one counts alone. */
static void zip64_figures_that_wrap_or_lie_are_refused(void **state)
{
    static const struct {
        unsigned   end, end_width, end64;
        uint64_t   value;
        fil_status status;
    } rows[] = {
        {END_SIZE, 4, END64_SIZE, UINT64_MAX, FIL_E_FORMAT},
        {END_SIZE, 4, END64_SIZE, UINT64_MAX - 100, FIL_E_FORMAT},
        {END_OFFSET, 4, END64_OFFSET, UINT64_MAX, FIL_E_FORMAT},
        {END_OFFSET, 4, END64_OFFSET, 0, FIL_E_FORMAT},
    };
    buffer  b = {0};
    zip_map map;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        make_three(&b, ZIP_TORCH, &map);
        buffer_set(&b, (size_t)map.end + rows[i].end, rows[i].end_width, UINT64_MAX);
        expect("saturated, true ZIP64 figure", &b, FIL_OK, "");
        buffer_set(&b, (size_t)map.end64 + rows[i].end64, 8, rows[i].value);
        expect("saturated, false ZIP64 figure", &b, rows[i].status, "does not end where");
    }
    make_three(&b, ZIP_TORCH, &map);
    buffer_set(&b, (size_t)map.end + END_ENTRIES_HERE, 4, UINT64_MAX);
    expect("saturated entries", &b, FIL_OK, "");
    buffer_set(&b, (size_t)map.end64 + END64_ENTRIES, 8, 1ull << 63);
    buffer_set(&b, (size_t)map.end64 + END64_ENTRIES_HERE, 8, 1ull << 63);
    expect("2^63 entries", &b, FIL_E_LIMIT, "9223372036854775808 entries");
    buffer_free(&b);
}

/* An archive of one entry whose 32-bit fields are saturated and stand in a ZIP64 extra area. The
 * area can be bent: `length` instead of its 24 bytes. */
static void make_wide(buffer *b, uint64_t bytes, uint64_t packed, uint64_t local, uint16_t length)
{
    b->bytes = 0;
    buffer_text(b, "PK\3\4");
    buffer_fill(b, 0, 14);
    buffer_set(b, LOCAL_CRC, 4, fili_crc32("abcd", 4));
    buffer_number(b, 4, 0xffffffff);
    buffer_number(b, 4, 0xffffffff);
    buffer_number(b, 2, 1);
    buffer_number(b, 2, 20);
    buffer_text(b, "n");
    buffer_number(b, 2, 1);
    buffer_number(b, 2, 16);
    buffer_number(b, 8, 4);
    buffer_number(b, 8, 4);
    buffer_text(b, "abcd");
    const size_t directory = b->bytes;
    buffer_text(b, "PK\1\2");
    buffer_fill(b, 0, 12);
    buffer_number(b, 4, fili_crc32("abcd", 4));
    buffer_number(b, 4, 0xffffffff);
    buffer_number(b, 4, 0xffffffff);
    buffer_number(b, 2, 1);
    buffer_number(b, 2, 28);
    buffer_fill(b, 0, 10);
    buffer_number(b, 4, 0xffffffff);
    buffer_text(b, "n");
    buffer_number(b, 2, 1);
    buffer_number(b, 2, length);
    buffer_number(b, 8, bytes);
    buffer_number(b, 8, packed);
    buffer_number(b, 8, local);
    const size_t end = b->bytes;
    buffer_text(b, "PK\5\6");
    buffer_fill(b, 0, 4);
    buffer_number(b, 2, 1);
    buffer_number(b, 2, 1);
    buffer_number(b, 4, end - directory);
    buffer_number(b, 4, directory);
    buffer_number(b, 2, 0);
}

static void zip64_extra_areas_are_read_and_bounded(void **state)
{
    buffer b = {0};
    (void)state;
    make_wide(&b, 4, 4, 0, 24);
    expect("true", &b, FIL_OK, "");
    make_wide(&b, 4, 5, 0, 24);
    expect("sizes differ", &b, FIL_E_FORMAT, "4 bytes, but 5");
    make_wide(&b, 3, 3, 0, 24);
    expect("local says 4", &b, FIL_E_FORMAT, "has 4 bytes");
    make_wide(&b, UINT64_MAX, UINT64_MAX, 0, 24);
    expect("size wraps", &b, FIL_E_FORMAT, "before the directory");
    make_wide(&b, UINT64_MAX - 54, UINT64_MAX - 54, 0, 24);
    expect("offset + size wraps to 0", &b, FIL_E_FORMAT, "before the directory");
    make_wide(&b, 4, 4, UINT64_MAX, 24);
    expect("offset wraps", &b, FIL_E_FORMAT, "before the directory");
    make_wide(&b, 4, 4, UINT64_MAX - 30, 24);
    expect("offset + header wraps", &b, FIL_E_FORMAT, "before the directory");
    make_wide(&b, 4, 4, 0, 23);
    expect("record too short", &b, FIL_E_FORMAT, "extra area");
    make_wide(&b, 4, 4, 0, 25);
    expect("record too long", &b, FIL_E_FORMAT, "extra area");
    make_wide(&b, 4, 4, 0, 16);
    expect("a field missing", &b, FIL_E_FORMAT, "extra area");
    make_wide(&b, 4, 4, 0, 0);
    expect("a record of nothing", &b, FIL_E_FORMAT, "extra area");
    make_wide(&b, 4, 4, 0, 24);
    buffer_set(&b, 31 + 4, 8, 5);
    expect("local ZIP64 size differs", &b, FIL_E_FORMAT, "in its local header");
    make_wide(&b, 4, 4, 0, 24);
    buffer_set(&b, 31, 2, 2);
    expect("local ZIP64 record missing", &b, FIL_E_FORMAT, "extra area in its local");
    buffer_free(&b);
}

/* ---- several entries ------------------------------------------------------------------------ */

static void names_that_are_no_plain_paths_are_refused(void **state)
{
    static const char *const names[] = {"/x",  "x//y",  "../x", "x/../y", "x/..", ".", "..",
                                        "./x", "x/./y", "x\\y", "//",     "x//",  "/"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const zip_item item = {names[i], "", 0};
        buffer         b    = {0};
        zip_make(&b, ZIP_TORCH, &item, 1, NULL);
        expect(names[i], &b, FIL_E_FORMAT, "no plain relative path");
        buffer_free(&b);
    }
    static const char *const fine[] = {"x", "...", "x/..y", ".data/x", "x/.format_version", "x y"};
    for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
        const zip_item item = {fine[i], "", 0};
        buffer         b    = {0};
        zip_make(&b, ZIP_TORCH, &item, 1, NULL);
        expect(fine[i], &b, FIL_OK, "");
        buffer_free(&b);
    }
}

static void names_of_1024_bytes_are_read_and_of_1025_refused(void **state)
{
    char   name[1026];
    buffer b = {0};
    (void)state;
    memset(name, 'n', sizeof name);
    name[1024]    = '\0';
    zip_item item = {name, "", 0};
    zip_make(&b, ZIP_TORCH, &item, 1, NULL);
    expect("1024", &b, FIL_OK, "");
    buffer_free(&b);
    name[1024] = 'n';
    name[1025] = '\0';
    zip_make(&b, ZIP_TORCH, &item, 1, NULL);
    expect("1025", &b, FIL_E_LIMIT, "1025 bytes; the limit is 1024");
    buffer_free(&b);
}

static void a_name_that_is_there_twice_is_refused(void **state)
{
    static const zip_item items[] = {{"x/a", "1", 1}, {"x/b", "2", 1}, {"x/a", "3", 1}};
    buffer                b       = {0};
    (void)state;
    zip_make(&b, ZIP_TORCH, items, 3, NULL);
    expect("twice", &b, FIL_E_FORMAT, "'x/a' is there twice");
    buffer_free(&b);
}

static void entries_that_share_bytes_are_refused(void **state)
{
    static const zip_item same[] = {{"a", "12", 2}, {"a", "34", 2}};
    buffer                b      = {0};
    zip_map               map;
    (void)state;
    /* Both entries name the first local header. */
    zip_make(&b, ZIP_PLAIN, same, 2, &map);
    buffer_set(&b, (size_t)map.central[1] + CENTRAL_LOCAL, 4, map.local[0]);
    buffer_set(&b, (size_t)map.central[1] + CENTRAL_CRC, 4, fili_crc32("12", 2));
    expect("the same entry twice", &b, FIL_E_FORMAT, "they overlap");
    buffer_free(&b);

    /* A local header that lies inside the data of another entry. */
    buffer inner = {0};
    zip_make(&inner, ZIP_PLAIN, same, 1, NULL);
    const zip_item outer[] = {{"outer", inner.data, inner.bytes}, {"a", "12", 2}};
    zip_make(&b, ZIP_PLAIN, outer, 2, &map);
    expect("apart", &b, FIL_OK, "");
    buffer_set(&b, (size_t)map.central[1] + CENTRAL_LOCAL, 4, map.data[0]);
    expect("one inside another", &b, FIL_E_FORMAT, "they overlap");
    buffer_free(&inner);
    buffer_free(&b);
}

static void data_and_descriptor_end_exactly_at_the_directory(void **state)
{
    buffer  b = {0};
    zip_map map;
    (void)state;
    make_three(&b, ZIP_TORCH, &map); /* the last entry: 2 bytes, then 16 of descriptor */
    for (uint64_t n = 0; n < 40; n++) {
        const char *needle = n < 2     ? "there is a hole"
                             : n == 2  ? ""
                             : n <= 18 ? "they overlap"
                                       : "before the directory";
        buffer_set(&b, (size_t)map.central[2] + CENTRAL_SIZE, 4, n);
        buffer_set(&b, (size_t)map.central[2] + CENTRAL_PACKED, 4, n);
        expect("last entry", &b, n == 2 ? FIL_OK : FIL_E_FORMAT, needle);
    }
    buffer_free(&b);
}

/* ---- limits --------------------------------------------------------------------------------- */

static void directory_bytes_and_entries_are_limited(void **state)
{
    buffer      b = {0};
    zip_map     map;
    fil_options opt;
    (void)state;
    fil_options_init(&opt);
    make_three(&b, ZIP_TORCH, &map);
    opt.limits.header_bytes = map.end64 - map.directory;
    expect_limited("at the limit", &b, &opt.limits, FIL_OK, "");
    opt.limits.header_bytes--;
    expect_limited("1 over", &b, &opt.limits, FIL_E_LIMIT, "(header_bytes)");
    buffer_free(&b);

    char     names[67][16];
    zip_item items[67];
    for (int i = 0; i < 67; i++) {
        snprintf(names[i], sizeof names[i], "x/%d", i);
        items[i] = (zip_item){names[i], "", 0};
    }
    fil_options_init(&opt);
    opt.limits.tensors = 2;
    zip_make(&b, ZIP_TORCH, items, 66, NULL);
    expect_limited("at the limit", &b, &opt.limits, FIL_OK, "");
    buffer_free(&b);
    zip_make(&b, ZIP_TORCH, items, 67, NULL);
    expect_limited("1 over", &b, &opt.limits, FIL_E_LIMIT, "67 entries; the limit is 66");
    buffer_free(&b);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (int style = ZIP_TORCH; style <= ZIP_PLAIN; style++) {
        buffer b = {0};
        make_three(&b, style, NULL);
        const size_t whole = b.bytes;
        for (size_t n = 0; n < whole; n++) {
            buffer exact = {0};
            buffer_put(&exact, b.data, n);
            expect("truncated", &exact, FIL_E_FORMAT, "zip: ");
            buffer_free(&exact);
        }
        buffer_free(&b);
    }
}

static void bytes_before_or_behind_the_archive_are_refused(void **state)
{
    buffer b    = {0};
    buffer more = {0};
    (void)state;
    make_three(&b, ZIP_TORCH, NULL);
    buffer_text(&more, "#!/bin/sh\n");
    buffer_put(&more, b.data, b.bytes);
    expect("before", &more, FIL_E_FORMAT, "zip: ");
    buffer_text(&b, "x");
    expect("behind", &b, FIL_E_FORMAT, "no end record");
    buffer_free(&b);
    buffer_free(&more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_32_has_the_published_check_value),
        cmocka_unit_test(crc_32_is_the_same_however_the_data_is_cut),
        cmocka_unit_test(entries_of_both_styles_are_found_with_their_bytes),
        cmocka_unit_test(an_empty_archive_has_no_entries),
        cmocka_unit_test(comments_up_to_65535_bytes_are_skipped),
        cmocka_unit_test(a_folder_entry_is_let_through),
        cmocka_unit_test(reading_an_entry_verifies_its_crc),
        cmocka_unit_test(one_wrong_field_is_refused_with_its_reason),
        cmocka_unit_test(zip64_figures_that_wrap_or_lie_are_refused),
        cmocka_unit_test(zip64_extra_areas_are_read_and_bounded),
        cmocka_unit_test(names_that_are_no_plain_paths_are_refused),
        cmocka_unit_test(names_of_1024_bytes_are_read_and_of_1025_refused),
        cmocka_unit_test(a_name_that_is_there_twice_is_refused),
        cmocka_unit_test(entries_that_share_bytes_are_refused),
        cmocka_unit_test(data_and_descriptor_end_exactly_at_the_directory),
        cmocka_unit_test(directory_bytes_and_entries_are_limited),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(bytes_before_or_behind_the_archive_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
