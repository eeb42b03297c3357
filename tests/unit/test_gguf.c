/* tests/unit/test_gguf.c: reading GGUF files (io/gguf.c): what well-formed ones give, every
 * truncation, every flipped bit of a header. Files that are refused: malformed_gguf.c.
 */
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/memory_file.h"
#include "support/cmocka_all.h"
#include "support/gguf_make.h"
#include "support/invariants.h"

#define PAIRS(f, ...)                                                                              \
    static const gguf_pair f##_pairs[] = {__VA_ARGS__};                                            \
    enum { f##_n_pairs = sizeof f##_pairs / sizeof f##_pairs[0] }
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#define ONE_U64      "\1\0\0\0\0\0\0\0"

/* One opened file. */
typedef struct bench {
    buffer       bytes;
    memory_file  memory;
    fili_os      os;
    fil_ctx     *ctx;
    fili_tensors set;
    fil_status   status;
} bench;

static void open_bytes(bench *b, uint32_t flags, const fil_limits *limits)
{
    fil_options opt;
    fil_options_init(&opt);
    if (limits != NULL) opt.limits = *limits;
    b->memory = (memory_file){.data = b->bytes.data, .bytes = b->bytes.bytes};
    b->os     = memory_file_table(&b->memory);
    assert_int_equal(fili_ctx_open_on(&b->os, &b->ctx, &opt), FIL_OK);
    fili_tensors_init(&b->set, b->ctx, flags);
    b->status = fili_tensors_open(&b->set, "x.gguf");
    assert_int_equal(b->status, fil_ctx_error(b->ctx)->status);
}

static void close_bytes(bench *b)
{
    fili_tensors_fini(&b->set);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
    assert_int_equal(b->memory.open, 0);
    assert_int_equal(b->memory.mapped, 0);
}

/* Opens a file that is right, with everything that must hold for it. */
static void open_good(bench *b, const gguf_file *f, uint32_t flags)
{
    b->bytes = (buffer){0};
    gguf_make(&b->bytes, f);
    open_bytes(b, flags, NULL);
    if (b->status != FIL_OK) fail_msg("%s", fil_ctx_error(b->ctx)->message);
    assert_string_equal(b->set.format, "gguf");
    const char *why = tensors_broken(&b->set);
    if (why != NULL) fail_msg("%s", why);
}

static void shut(bench *b)
{
    close_bytes(b);
    buffer_free(&b->bytes);
}

static const fili_entry *entry(const bench *b, const char *name)
{
    const fili_entry *e = fili_tensors_find(&b->set, name);
    if (e == NULL) fail_msg("no tensor '%s'", name);
    return e;
}

static void expect_shape(const fili_entry *e, uint32_t rank, const int64_t *shape)
{
    assert_int_equal(e->rank, rank);
    for (uint32_t i = 0; i < rank; i++)
        assert_int_equal(e->shape[i], shape[i]);
}

/* ---- tensors -------------------------------------------------------------------------------- */

static void dimensions_are_turned_round(void **state)
{
    gguf_info info[] = {
        {.name = "patch", .type = GGML_F16, .rank = 5, .dims = {2, 3, 1, 4, 5}, .bytes = 240},
        {.name = "eight", .rank = 8, .dims = {1, 2, 1, 1, 3, 1, 1, 4}, .bytes = 96},
        {.name = "scalar", .rank = 0, .bytes = 4},
        {.name = "empty", .rank = 2, .dims = {0, 3}, .bytes = 0},
        {.name = "rows", .type = GGML_Q8_0, .rank = 2, .dims = {64, 3}, .bytes = 204},
    };
    const gguf_file f = {
        .info = info, .n_infos = COUNT(info), .data = gguf_lay_out(info, COUNT(info))};
    bench b;
    (void)state;
    open_good(&b, &f, 0);
    assert_int_equal(b.set.n_entries, COUNT(info));
    expect_shape(entry(&b, "patch"), 5, (const int64_t[]){5, 4, 1, 3, 2});
    expect_shape(entry(&b, "eight"), 8, (const int64_t[]){4, 1, 1, 3, 1, 1, 2, 1});
    expect_shape(entry(&b, "scalar"), 0, NULL);
    expect_shape(entry(&b, "empty"), 2, (const int64_t[]){3, 0});
    expect_shape(entry(&b, "rows"), 2, (const int64_t[]){3, 64});
    assert_int_equal(entry(&b, "rows")->dtype, FIL_Q8_0);
    assert_int_equal(entry(&b, "rows")->bytes, 204);
    shut(&b);
}

static void every_type_that_is_read_has_its_number_and_size(void **state)
{
    static const struct {
        uint32_t  number;
        fil_dtype dtype;
        uint64_t  bytes; /* of 256 elements */
    } rows[] = {
        {0, FIL_F32, 1024},  {1, FIL_F16, 512},   {2, FIL_Q4_0, 144},  {3, FIL_Q4_1, 160},
        {6, FIL_Q5_0, 176},  {7, FIL_Q5_1, 192},  {8, FIL_Q8_0, 272},  {10, FIL_Q2_K, 84},
        {11, FIL_Q3_K, 110}, {12, FIL_Q4_K, 144}, {13, FIL_Q5_K, 176}, {14, FIL_Q6_K, 210},
        {24, FIL_I8, 256},   {25, FIL_I16, 512},  {26, FIL_I32, 1024}, {27, FIL_I64, 2048},
        {28, FIL_F64, 2048}, {30, FIL_BF16, 512},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const gguf_info info = {.name = "a", .type = rows[i].number, .rank = 1, .dims = {256}};
        const gguf_file f    = {.info = &info, .n_infos = 1, .data = rows[i].bytes};
        bench           b;
        open_good(&b, &f, 0);
        assert_int_equal(entry(&b, "a")->dtype, rows[i].dtype);
        assert_int_equal(entry(&b, "a")->bytes, rows[i].bytes);
        shut(&b);
    }
}

static void versions_2_and_3_are_read_alike(void **state)
{
    const gguf_info info = {.name = "a", .rank = 1, .dims = {4}};
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        const gguf_file f = {.info = &info, .n_infos = 1, .data = 32, .version = version};
        bench           b;
        open_good(&b, &f, 0);
        assert_int_equal(b.set.n_entries, 1);
        shut(&b);
    }
}

/* Infos need not stand in the order of their data. */
static void bytes_are_those_of_the_tensor_read_and_mapped(void **state)
{
    static const char first[]  = "0123456789abcdef0123456789abcdef";
    static const char second[] = "the quick brown fox";
    gguf_info         info[]   = {
                  {.name = "b", .type = 24, .rank = 1, .dims = {32}, .data = first, .bytes = 32},
                  {.name = "a", .type = 24, .rank = 1, .dims = {19}, .data = second, .bytes = 19},
    };
    const gguf_info swapped[] = {info[1], info[0]};
    gguf_file       f         = {.info = info, .n_infos = 2, .data = gguf_lay_out(info, 2)};
    (void)state;
    for (int round = 0; round < 4; round++) {
        char  got[32];
        bench b;
        if (round == 2) {
            info[0]        = swapped[0];
            info[1]        = swapped[1];
            info[0].offset = 32;
        }
        open_good(&b, &f, (uint32_t)round % 2);
        assert_int_equal(fili_tensors_read(&b.set, entry(&b, "b"), 0, got, 32), FIL_OK);
        assert_memory_equal(got, first, 32);
        assert_int_equal(fili_tensors_read(&b.set, entry(&b, "a"), 0, got, 19), FIL_OK);
        assert_memory_equal(got, second, 19);
        shut(&b);
    }
}

static void any_power_of_two_up_to_a_mebibyte_aligns(void **state)
{
    (void)state;
    for (uint32_t alignment = 1; alignment <= 1u << 20; alignment *= 2) {
        char value[4];
        for (int i = 0; i < 4; i++)
            value[i] = (char)(alignment >> 8 * i);
        const gguf_pair pair   = {"general.alignment", GGUF_U32, value, 4, 0};
        const uint64_t  second = alignment > 16 ? alignment : 16;
        const gguf_info info[] = {
            {.name = "a", .rank = 1, .dims = {4}, .data = "aaaaaaaaaaaaaaaa", .bytes = 16},
            {.name   = "b",
             .rank   = 1,
             .dims   = {4},
             .data   = "bbbbbbbbbbbbbbbb",
             .bytes  = 16,
             .offset = second}};
        const gguf_file f = {.pair      = &pair,
                             .n_pairs   = 1,
                             .info      = info,
                             .n_infos   = 2,
                             .data      = second + 16,
                             .alignment = alignment};
        char            got[16];
        bench           b;
        open_good(&b, &f, 0);
        assert_int_equal(entry(&b, "a")->offset % alignment, 0);
        assert_int_equal(fili_tensors_read(&b.set, entry(&b, "b"), 0, got, 16), FIL_OK);
        assert_memory_equal(got, "bbbbbbbbbbbbbbbb", 16);
        shut(&b);
    }
}

static void a_true_shape_is_taken_and_one_without_a_tensor_is_not_minded(void **state)
{
    PAIRS(f,
          {"comfy.gguf.orig_shape.a", GGUF_ARRAY,
           GGUF_VALUE("\5\0\0\0\4\0\0\0\0\0\0\0\x10\0\0\0\4\0\0\0\2\0\0\0\2\0\0\0"), 0},
          {"comfy.gguf.orig_shape.b", GGUF_ARRAY,
           GGUF_VALUE("\x0b\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"), 0},
          {"comfy.gguf.orig_shape.", GGUF_U8, GGUF_VALUE("\1"), 0},
          {"comfy.gguf.orig_shape.aa", GGUF_U8, GGUF_VALUE("\1"), 0},
          {"comfy.gguf.orig_shap", GGUF_U8, GGUF_VALUE("\1"), 0});
    gguf_info       info[] = {{.name = "a", .type = 12, .rank = 2, .dims = {256, 1}, .bytes = 144},
                              {.name = "b", .rank = 1, .dims = {4}, .bytes = 16},
                              {.name = "c", .rank = 1, .dims = {4}, .bytes = 16}};
    const gguf_file f      = {.pair    = f_pairs,
                              .n_pairs = f_n_pairs,
                              .info    = info,
                              .n_infos = 3,
                              .data    = gguf_lay_out(info, 3)};
    bench           b;
    (void)state;
    open_good(&b, &f, 0);
    expect_shape(entry(&b, "a"), 4, (const int64_t[]){16, 4, 2, 2});
    assert_int_equal(entry(&b, "a")->bytes, 144);
    expect_shape(entry(&b, "b"), 2, (const int64_t[]){2, 2});
    expect_shape(entry(&b, "c"), 1, (const int64_t[]){4});
    shut(&b);
}

static void a_file_of_nothing_and_one_of_metadata_alone_are_fine(void **state)
{
    PAIRS(f, {"general.architecture", GGUF_STRING, GGUF_VALUE("\3\0\0\0\0\0\0\0wan"), 0});
    gguf_file f = {.pair = f_pairs, .n_pairs = 0};
    bench     b;
    (void)state;
    open_good(&b, &f, 0);
    assert_int_equal(b.set.n_entries, 0);
    assert_int_equal(b.set.n_pairs, 0);
    shut(&b);
    f.n_pairs = f_n_pairs;
    open_good(&b, &f, FIL_OPEN_TRUSTED);
    assert_int_equal(b.set.n_pairs, 1);
    shut(&b);
}

/* ---- metadata ------------------------------------------------------------------------------- */

static void expect_pair(const bench *b, size_t i, const char *key, const char *value)
{
    assert_string_equal(b->set.metadata[i].key, key);
    assert_string_equal(b->set.metadata[i].value, value);
}

static void values_of_every_type_become_text_in_the_order_of_the_file(void **state)
{
    PAIRS(f, {"z", GGUF_U8, GGUF_VALUE("\xff"), 0}, {"y", GGUF_I8, GGUF_VALUE("\xff"), 0},
          {"x", GGUF_U16, GGUF_VALUE("\xfe\xff"), 0}, {"w", GGUF_I16, GGUF_VALUE("\xfe\xff"), 0},
          {"v", GGUF_U32, GGUF_VALUE("\xfd\xff\xff\xff"), 0},
          {"u", GGUF_I32, GGUF_VALUE("\xfd\xff\xff\xff"), 0},
          {"t", GGUF_U64, GGUF_VALUE("\xff\xff\xff\xff\xff\xff\xff\xff"), 0},
          {"s", GGUF_I64, GGUF_VALUE("\0\0\0\0\0\0\0\x80"), 0},
          {"r", GGUF_F32, GGUF_VALUE("\0\0\xc0\xbf"), 0},
          {"q", GGUF_F64, GGUF_VALUE("\x9a\x99\x99\x99\x99\x99\xb9\x3f"), 0},
          {"p", GGUF_BOOL, GGUF_VALUE("\1"), 0}, {"o", GGUF_BOOL, GGUF_VALUE("\0"), 0},
          {"n", GGUF_STRING, GGUF_VALUE("\4\0\0\0\0\0\0\0a\n\xc3\xa9"), 0},
          {"m", GGUF_STRING, GGUF_VALUE("\0\0\0\0\0\0\0\0"), 0},
          {"l", GGUF_ARRAY, GGUF_VALUE("\5\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\xff\xff\xff\xff"), 0},
          {"k", GGUF_ARRAY, GGUF_VALUE("\5\0\0\0\0\0\0\0\0\0\0\0"), 0},
          {"j", GGUF_ARRAY, GGUF_VALUE("\0\0\0\0\x11\0\0\0\0\0\0\0qqqqqqqqqqqqqqqqq"), 0},
          {"i", GGUF_ARRAY, GGUF_VALUE("\x08\0\0\0" ONE_U64 ONE_U64 "\xff"), 0},
          {"h", GGUF_ARRAY, GGUF_VALUE("\7\0\0\0" ONE_U64 "\1"), 0});
    static const char *const values[] = {"255",
                                         "-1",
                                         "65534",
                                         "-2",
                                         "4294967293",
                                         "-3",
                                         "18446744073709551615",
                                         "-9223372036854775808",
                                         "-1.5",
                                         "0.10000000000000001",
                                         "true",
                                         "false",
                                         "a\n\xc3\xa9",
                                         "",
                                         "[1, -1]",
                                         "[]",
                                         "(17 values of type u8)",
                                         "(1 values of type string)",
                                         "[true]"};
    const gguf_file          f        = {.pair = f_pairs, .n_pairs = f_n_pairs};
    bench                    b;
    (void)state;
    open_good(&b, &f, 0);
    assert_int_equal(b.set.n_pairs, COUNT(values));
    for (size_t i = 0; i < COUNT(values); i++)
        expect_pair(&b, i, f_pairs[i].key, values[i]);
    shut(&b);
}

/* The longest list of numbers that is written out, of the longest numbers. */
static void a_list_of_16_long_numbers_is_written_out(void **state)
{
    char  value[12 + 16 * 8] = {10 /* u64 */, 0, 0, 0, 16};
    char  text[16 * 22 + 3]  = "[";
    bench b;
    (void)state;
    memset(value + 12, 0xff, 16 * 8);
    for (int i = 0; i < 16; i++) {
        strcat(text, i > 0 ? ", " : "");
        strcat(text, "18446744073709551615");
    }
    strcat(text, "]");
    const gguf_pair pair = {"k", GGUF_ARRAY, value, sizeof value, 0};
    const gguf_file f    = {.pair = &pair, .n_pairs = 1};
    open_good(&b, &f, 0);
    expect_pair(&b, 0, "k", text);
    shut(&b);
}

static void a_locale_with_a_comma_changes_no_text(void **state)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    PAIRS(f, {"r", GGUF_F32, GGUF_VALUE("\0\0\xc0\xbf"), 0});
    const gguf_file f     = {.pair = f_pairs, .n_pairs = f_n_pairs};
    const char     *found = NULL;
    bench           b;
    (void)state;
    for (size_t i = 0; i < COUNT(names) && found == NULL; i++)
        found = setlocale(LC_NUMERIC, names[i]);
    if (found == NULL) skip();
    open_good(&b, &f, 0);
    expect_pair(&b, 0, "r", "-1.5");
    shut(&b);
    setlocale(LC_NUMERIC, "C");
}

/* ---- long headers and limits ---------------------------------------------------------------- */

/* A vocabulary of 30,000 strings and a list of 100,000 numbers: 640 kB of header. */
static void make_long(buffer *b)
{
    enum { strings = 30000, numbers = 100000 };
    buffer          words = {0};
    buffer          list  = {0};
    const gguf_info info  = {.name = "a", .rank = 1, .dims = {4}};
    buffer_number(&words, 4, GGUF_STRING);
    buffer_number(&words, 8, strings);
    for (int i = 0; i < strings; i++) {
        buffer_number(&words, 8, 1);
        buffer_fill(&words, i, 1);
    }
    buffer_number(&list, 4, GGUF_F32);
    buffer_number(&list, 8, numbers);
    buffer_fill(&list, 7, 4 * (size_t)numbers);
    const gguf_pair pairs[] = {
        {"tokenizer.ggml.tokens", GGUF_ARRAY, (const char *)words.data, words.bytes, 0},
        {"tokenizer.ggml.scores", GGUF_ARRAY, (const char *)list.data, list.bytes, 0}};
    const gguf_file f = {.pair = pairs, .n_pairs = 2, .info = &info, .n_infos = 1, .data = 32};
    gguf_make(b, &f);
    buffer_free(&words);
    buffer_free(&list);
}

static void a_long_header_is_read_in_pieces_and_its_lists_are_counted(void **state)
{
    bench b = {.bytes = {0}};
    (void)state;
    make_long(&b.bytes);
    open_bytes(&b, 0, NULL);
    if (b.status != FIL_OK) fail_msg("%s", fil_ctx_error(b.ctx)->message);
    expect_pair(&b, 0, "tokenizer.ggml.tokens", "(30000 values of type string)");
    expect_pair(&b, 1, "tokenizer.ggml.scores", "(100000 values of type f32)");
    assert_int_equal(entry(&b, "a")->offset, b.bytes.bytes - 32);
    shut(&b);
}

static void the_header_is_limited_to_the_byte(void **state)
{
    const gguf_info info   = {.name = "a", .rank = 1, .dims = {4}};
    const gguf_file f      = {.info = &info, .n_infos = 1, .data = 32};
    const uint64_t  header = 24 + 8 + 1 + 4 + 8 + 4 + 8;
    fil_options     opt;
    bench           b = {.bytes = {0}};
    (void)state;
    fil_options_init(&opt);
    gguf_make(&b.bytes, &f);
    opt.limits.header_bytes = header;
    open_bytes(&b, 0, &opt.limits);
    assert_int_equal(b.status, FIL_OK);
    close_bytes(&b);
    opt.limits.header_bytes = header - 1;
    open_bytes(&b, 0, &opt.limits);
    assert_int_equal(b.status, FIL_E_LIMIT);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "limit: header_bytes"));
    shut(&b);
}

static void memory_for_a_small_file_is_small(void **state)
{
    const gguf_info info = {.name = "a", .rank = 1, .dims = {1 << 20}};
    const gguf_file f    = {.info = &info, .n_infos = 1, .data = 4 << 20};
    bench           b;
    (void)state;
    open_good(&b, &f, 0);
    assert_true(fil_ctx_memory(b.ctx).peak < 256 * 1024);
    shut(&b);
}

/* ---- damage --------------------------------------------------------------------------------- */

/* Everything that a header can hold, and 21 bytes in the last tensor. */
static uint64_t make_rich(buffer *b)
{
    PAIRS(f, {"general.architecture", GGUF_STRING, GGUF_VALUE("\3\0\0\0\0\0\0\0wan"), 0},
          {"general.alignment", GGUF_U32, GGUF_VALUE("\x20\0\0\0"), 0},
          {"general.flag", GGUF_BOOL, GGUF_VALUE("\1"), 0},
          {"comfy.gguf.orig_shape.blocks.0.w", GGUF_ARRAY,
           GGUF_VALUE("\5\0\0\0\2\0\0\0\0\0\0\0\x08\0\0\0\x20\0\0\0"), 0},
          {"general.tags", GGUF_ARRAY, GGUF_VALUE("\x08\0\0\0" ONE_U64 ONE_U64 "t"), 0});
    gguf_info info[] = {
        {.name = "blocks.0.w", .type = GGML_Q4_K, .rank = 1, .dims = {256}, .bytes = 144},
        {.name = "blocks.0.b", .type = GGML_BF16, .rank = 2, .dims = {8, 2}, .bytes = 32},
        {.name = "patch", .type = GGML_F16, .rank = 5, .dims = {2, 2, 1, 2, 2}, .bytes = 32},
        {.name = "last", .type = 24, .rank = 1, .dims = {21}, .bytes = 21}};
    const gguf_file f = {.pair    = f_pairs,
                         .n_pairs = f_n_pairs,
                         .info    = info,
                         .n_infos = COUNT(info),
                         .data    = gguf_lay_out(info, COUNT(info))};
    return gguf_make(b, &f);
}

static void every_truncation_is_refused_up_to_the_padding_at_the_end(void **state)
{
    bench          b     = {.bytes = {0}};
    const uint64_t begin = make_rich(&b.bytes);
    const size_t   whole = b.bytes.bytes;
    const size_t   used  = (size_t)begin + 160 + 32 + 32 + 21;
    (void)state;
    for (size_t bytes = 4; bytes <= whole; bytes++) {
        b.bytes.bytes = bytes;
        open_bytes(&b, 0, NULL);
        if (b.status != (bytes < used ? FIL_E_FORMAT : FIL_OK))
            fail_msg("cut to %zu of %zu bytes: %s", bytes, whole, fil_status_name(b.status));
        close_bytes(&b);
    }
    buffer_free(&b.bytes);
}

/* A flip may change a name, a text, or a number that nobody looks at: then the file is another
 * valid one, and everything that holds for valid files must hold for it. */
static void every_flipped_bit_of_a_header_is_refused_or_gives_a_valid_file(void **state)
{
    bench          b        = {.bytes = {0}};
    const uint64_t begin    = make_rich(&b.bytes);
    int            accepted = 0;
    (void)state;
    for (size_t bit = 0; bit < begin * 8; bit++) {
        b.bytes.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        open_bytes(&b, bit % 2, NULL);
        const char *broken = b.status == FIL_OK ? tensors_broken(&b.set) : NULL;
        if (b.status == FIL_OK
                ? broken != NULL
                : b.status != FIL_E_FORMAT && b.status != FIL_E_LIMIT && b.status != FIL_E_UNSUP)
            fail_msg("bit %zu: %s %s", bit, fil_status_name(b.status), broken ? broken : "");
        accepted += b.status == FIL_OK;
        close_bytes(&b);
        b.bytes.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    printf("%llu bits, %d give another valid file\n", (unsigned long long)begin * 8, accepted);
    assert_in_range(accepted, 1, (int)begin * 4);
    buffer_free(&b.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dimensions_are_turned_round),
        cmocka_unit_test(every_type_that_is_read_has_its_number_and_size),
        cmocka_unit_test(versions_2_and_3_are_read_alike),
        cmocka_unit_test(bytes_are_those_of_the_tensor_read_and_mapped),
        cmocka_unit_test(any_power_of_two_up_to_a_mebibyte_aligns),
        cmocka_unit_test(a_true_shape_is_taken_and_one_without_a_tensor_is_not_minded),
        cmocka_unit_test(a_file_of_nothing_and_one_of_metadata_alone_are_fine),
        cmocka_unit_test(values_of_every_type_become_text_in_the_order_of_the_file),
        cmocka_unit_test(a_list_of_16_long_numbers_is_written_out),
        cmocka_unit_test(a_locale_with_a_comma_changes_no_text),
        cmocka_unit_test(a_long_header_is_read_in_pieces_and_its_lists_are_counted),
        cmocka_unit_test(the_header_is_limited_to_the_byte),
        cmocka_unit_test(memory_for_a_small_file_is_small),
        cmocka_unit_test(every_truncation_is_refused_up_to_the_padding_at_the_end),
        cmocka_unit_test(every_flipped_bit_of_a_header_is_refused_or_gives_a_valid_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
