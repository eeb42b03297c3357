/* tests/unit/test_writer.c: io/safetensors_writer.c: what it writes, what it refuses, and what is
 * left behind when anything fails on the way. Files are read back through io/tensors.h, and once
 * more by a few lines of this test that share no code with the library.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors_writer.h"
#include "io/tensors.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "tensor/dtype.h"

#define OLD   "what stood here before"
#define MODEL "m.safetensors"

/* ---- models --------------------------------------------------------------------------------- */

enum { MAX_TENSORS = 40, MAX_PAIRS = 6 };

typedef struct model {
    fil_tensor_desc descs[MAX_TENSORS];
    unsigned char  *data[MAX_TENSORS];
    uint64_t        bytes[MAX_TENSORS];
    char            names[MAX_TENSORS][128];
    fil_pair        pairs[MAX_PAIRS];
    char            texts[2 * MAX_PAIRS][128];
    size_t          n, n_pairs;
} model;

static uint64_t rng_state;

static uint64_t draw(void) /* splitmix64 */
{
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t n)
{
    return draw() % n;
}

static void draw_name(char *name, size_t size, size_t i)
{
    static const char *const parts[] = {
        "blocks.",      "weight",           "\"", "\\", "\xc3\xa9", " ",
        "\xe6\x97\xa5", "\xf0\x9f\x98\x80", "/",  "0",  "{",        "Z"};
    size_t used = 0;
    for (uint64_t k = below(6); k > 0; k--)
        used += (size_t)snprintf(name + used, size - used, "%s", parts[below(12)]);
    snprintf(name + used, size - used, "%zu", i);
}

static void draw_desc(fil_tensor_desc *t)
{
    static const fil_dtype all[] = {
#define ROW(name, value, bits, text) FIL_##name,
        FIL_DTYPE_LIST(ROW)
#undef ROW
    };
    t->dtype = all[below(sizeof all / sizeof all[0])];
    t->rank  = (uint32_t)below(FIL_MAX_RANK + 1);
    for (uint32_t d = 0; d < t->rank; d++)
        t->shape[d] = below(16) == 0 ? 0 : (int64_t)below(4) + 1;
    if (fil_dtype_bits(t->dtype) >= 8) return;
    if (t->rank == 0) t->rank = 1; /* below a byte: whole bytes by the last dimension */
    t->shape[t->rank - 1] = (int64_t)below(3) * 8;
}

static void add_data(model *m, size_t i)
{
    assert_true(
        fili_shape_bytes(m->descs[i].dtype, m->descs[i].rank, m->descs[i].shape, &m->bytes[i]));
    m->data[i] = malloc((size_t)m->bytes[i] + 1);
    assert_non_null(m->data[i]);
    for (uint64_t b = 0; b < m->bytes[i]; b++)
        m->data[i][b] = (unsigned char)draw();
}

static void model_draw(model *m, uint64_t seed)
{
    memset(m, 0, sizeof *m);
    rng_state = seed;
    m->n      = (size_t)below(MAX_TENSORS + 1);
    for (size_t i = 0; i < m->n; i++) {
        draw_name(m->names[i], sizeof m->names[i], i);
        draw_desc(&m->descs[i]);
        m->descs[i].name = m->names[i];
        add_data(m, i);
    }
    m->n_pairs = (size_t)below(MAX_PAIRS + 1);
    for (size_t i = 0; i < m->n_pairs; i++) {
        draw_name(m->texts[2 * i], sizeof m->texts[0], i);
        snprintf(m->texts[2 * i + 1], sizeof m->texts[0], "line\n\ttab \"quoted\" \\ %d \xc3\xbc\r",
                 (int)below(1000));
        m->pairs[i] = (fil_pair){.key = m->texts[2 * i], .value = m->texts[2 * i + 1]};
    }
}

/* Three tensors of different alignment, about `bytes` bytes. */
static void model_fixed(model *m, int64_t bytes)
{
    memset(m, 0, sizeof *m);
    rng_state   = 7;
    m->descs[0] = (fil_tensor_desc){"b.u8", FIL_U8, 1, {3}};
    m->descs[1] = (fil_tensor_desc){"a.bf16", FIL_BF16, 2, {bytes / 4 / 16, 16}};
    m->descs[2] = (fil_tensor_desc){"c.f32", FIL_F32, 2, {bytes / 8 / 16, 16}};
    m->n        = 3;
    m->pairs[0] = (fil_pair){.key = "format", .value = "test"};
    m->n_pairs  = 1;
    for (size_t i = 0; i < m->n; i++)
        add_data(m, i);
}

static void model_free(model *m)
{
    for (size_t i = 0; i < m->n; i++)
        free(m->data[i]);
}

static fili_writer_input input_of(const model *m)
{
    return (fili_writer_input){
        .tensors = m->descs, .n_tensors = m->n, .metadata = m->pairs, .n_pairs = m->n_pairs};
}

/* Data in pieces of at most `piece` bytes, tensor after tensor in turn. */
static fil_status put_all(fili_writer *w, const model *m, uint64_t piece)
{
    uint64_t done[MAX_TENSORS] = {0};
    for (int more = 1; more;) {
        more = 0;
        for (size_t i = 0; i < m->n; i++) {
            const uint64_t left = m->bytes[i] - done[i];
            const uint64_t n    = left < piece ? left : piece;
            FIL_TRY(fili_writer_put(w, i, m->data[i] + done[i], n));
            done[i] += n;
            more |= done[i] < m->bytes[i];
        }
    }
    return FIL_OK;
}

static fil_status write_model(fil_ctx *ctx, const char *path, const model *m, int replace,
                              uint64_t piece)
{
    const fili_writer_input in = input_of(m);
    fili_writer             w;
    fil_status              status;
    fili_ctx_enter(ctx);
    FIL_TRY(fili_writer_open(&w, ctx, path, &in, replace));
    status = put_all(&w, m, piece);
    if (status == FIL_OK) return fili_writer_finish(&w);
    fili_writer_close(&w);
    return status;
}

/* ---- support -------------------------------------------------------------------------------- */

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
    fil_ctx_close(&b->ctx);
    scratch_remove(&b->dir);
    return 0;
}

static uint64_t load_le64(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* Header length and alignment, seen without the library. */
static void check_front(const scratch *dir, const model *m)
{
    size_t         size;
    unsigned char *file  = scratch_read(dir, MODEL, &size);
    uint64_t       total = 0;
    for (size_t i = 0; i < m->n; i++)
        total += m->bytes[i];
    assert_true(size >= 8);
    const uint64_t header = load_le64(file);
    assert_int_equal((8 + header) % 64, 0);
    assert_int_equal(size, 8 + header + total);
    assert_int_equal(file[8], '{');
    uint64_t end = 8 + header;
    while (file[end - 1] == ' ')
        end--;
    assert_int_equal(file[end - 1], '}');
    free(file);
}

static void check_content(fil_ctx *ctx, const char *path, const model *m)
{
    fili_tensors set;
    fili_ctx_enter(ctx);
    fili_tensors_init(&set, ctx, 0);
    if (fili_tensors_open(&set, path) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    assert_int_equal(set.n_entries, m->n);
    assert_int_equal(set.n_pairs, m->n_pairs);
    for (size_t i = 0; i < m->n_pairs; i++) {
        assert_string_equal(set.metadata[i].key, m->pairs[i].key);
        assert_string_equal(set.metadata[i].value, m->pairs[i].value);
    }
    for (size_t i = 0; i < m->n; i++) {
        const fili_entry *e = fili_tensors_find(&set, m->descs[i].name);
        assert_non_null(e);
        assert_int_equal(e->dtype, m->descs[i].dtype);
        assert_int_equal(e->rank, m->descs[i].rank);
        assert_memory_equal(e->shape, m->descs[i].shape, e->rank * sizeof e->shape[0]);
        assert_int_equal(e->bytes, m->bytes[i]);
        const uint32_t bits = fil_dtype_bits(e->dtype);
        assert_int_equal(e->offset % (bits < 8 ? 1 : bits / 8), 0);
        unsigned char *copy = malloc((size_t)e->bytes + 1);
        assert_int_equal(fili_tensors_read(&set, e, 0, copy, e->bytes), FIL_OK);
        assert_memory_equal(copy, m->data[i], (size_t)e->bytes);
        free(copy);
    }
    fili_tensors_fini(&set);
}

static int is_content(const scratch *dir, const void *expected, size_t bytes)
{
    size_t         size;
    unsigned char *file = scratch_read(dir, MODEL, &size);
    const int      same = size == bytes && memcmp(file, expected, bytes) == 0;
    free(file);
    return same;
}

static void put_old(const scratch *dir)
{
    scratch_write(dir, MODEL, OLD, sizeof OLD);
}

static int is_old(const scratch *dir)
{
    return is_content(dir, OLD, sizeof OLD);
}

/* ---- what is written ------------------------------------------------------------------------ */

static void random_files_read_back_equal(void **state)
{
    const bench *b    = *state;
    const char  *path = scratch_path(&b->dir, MODEL);
    static model m;
    print_message("seeds 1 to 200\n");
    for (uint64_t seed = 1; seed <= 200; seed++) {
        model_draw(&m, seed);
        const fil_status status = write_model(b->ctx, path, &m, 1, 1 + seed * 7);
        if (status != FIL_OK) fail_msg("seed %d: %s", (int)seed, fil_ctx_error(b->ctx)->message);
        check_front(&b->dir, &m);
        check_content(b->ctx, path, &m);
        model_free(&m);
    }
    assert_int_equal(scratch_count(&b->dir), 1);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
}

static void equal_input_gives_equal_bytes_whatever_the_pieces(void **state)
{
    const bench *b    = *state;
    const char  *path = scratch_path(&b->dir, MODEL);
    size_t       size;
    static model m;
    model_draw(&m, 42);
    assert_int_equal(write_model(b->ctx, path, &m, 0, UINT64_MAX), FIL_OK);
    unsigned char *first = scratch_read(&b->dir, MODEL, &size);
    assert_int_equal(write_model(b->ctx, path, &m, 1, 3), FIL_OK);
    assert_true(is_content(&b->dir, first, size));
    free(first);
    model_free(&m);
}

static void header_is_the_expected_text(void **state)
{
    static const char expected[] =
        "{\"__metadata__\":{\"format\":\"test\"},"
        "\"c.f32\":{\"dtype\":\"F32\",\"shape\":[2,16],\"data_offsets\":[0,128]},"
        "\"a.bf16\":{\"dtype\":\"BF16\",\"shape\":[4,16],\"data_offsets\":[128,256]},"
        "\"b.u8\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[256,259]}} ";
    const bench *b = *state;
    size_t       size;
    static model m;
    model_fixed(&m, 256);
    assert_int_equal(write_model(b->ctx, scratch_path(&b->dir, MODEL), &m, 0, 100), FIL_OK);
    unsigned char *file = scratch_read(&b->dir, MODEL, &size);
    assert_memory_equal(file + 8, expected, sizeof expected - 1);
    assert_memory_equal(file + 8 + load_le64(file), m.data[2], 128);
    free(file);
    model_free(&m);
}

static void file_of_no_tensors_is_written(void **state)
{
    const bench *b    = *state;
    const char  *path = scratch_path(&b->dir, MODEL);
    static model m;
    memset(&m, 0, sizeof m);
    assert_int_equal(write_model(b->ctx, path, &m, 0, 1), FIL_OK);
    check_front(&b->dir, &m);
    check_content(b->ctx, path, &m);
}

static void file_larger_than_the_memory_limit_is_streamed(void **state)
{
    enum { piece = 1 << 18, pieces = 256 };
    static unsigned char  buffer[piece];
    static unsigned char  again[piece];
    const bench          *b    = *state;
    const char           *path = scratch_path(&b->dir, MODEL);
    const fil_tensor_desc t    = {"big", FIL_F32, 2, {pieces, piece / 4}};
    fil_options           opt;
    fil_ctx              *ctx;
    fili_writer           w;
    fili_tensors          set;
    fil_options_init(&opt);
    opt.max_host_bytes = 1u << 20;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    const fili_writer_input in = {.tensors = &t, .n_tensors = 1};
    assert_int_equal(fili_writer_open(&w, ctx, path, &in, 0), FIL_OK);
    for (int i = 0; i < pieces; i++) {
        memset(buffer, i, sizeof buffer);
        assert_int_equal(fili_writer_put(&w, 0, buffer, sizeof buffer), FIL_OK);
    }
    assert_int_equal(fili_writer_finish(&w), FIL_OK);

    fili_tensors_init(&set, ctx, 0);
    assert_int_equal(fili_tensors_open(&set, path), FIL_OK);
    for (int i = 0; i < pieces; i++) {
        memset(buffer, i, sizeof buffer);
        assert_int_equal(
            fili_tensors_read(&set, &set.entries[0], (uint64_t)i * piece, again, piece), FIL_OK);
        assert_memory_equal(again, buffer, piece);
    }
    fili_tensors_fini(&set);
    assert_true(fil_ctx_memory(ctx).peak <= opt.max_host_bytes);
    fil_ctx_close(&ctx);
}

/* ---- replacing, giving up ------------------------------------------------------------------- */

static void existing_file_is_refused_at_open_without_replace(void **state)
{
    const bench            *b = *state;
    fili_writer             w;
    static model            m;
    const fili_writer_input in = input_of(&m);
    put_old(&b->dir);
    fili_ctx_enter(b->ctx);
    assert_int_equal(fili_writer_open(&w, b->ctx, scratch_path(&b->dir, MODEL), &in, 0), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(b->ctx)->message, "exists already"));
    assert_true(is_old(&b->dir));
    assert_int_equal(scratch_count(&b->dir), 1);
}

static void file_that_appears_meanwhile_is_not_replaced_without_replace(void **state)
{
    const bench *b = *state;
    fili_writer  w;
    static model m;
    model_fixed(&m, 4096);
    const fili_writer_input in = input_of(&m);
    assert_int_equal(fili_writer_open(&w, b->ctx, scratch_path(&b->dir, MODEL), &in, 0), FIL_OK);
    assert_int_equal(put_all(&w, &m, 1000), FIL_OK);
    put_old(&b->dir);
    assert_int_equal(fili_writer_finish(&w), FIL_E_IO);
    assert_true(is_old(&b->dir));
    assert_int_equal(scratch_count(&b->dir), 1);
    model_free(&m);
}

static void old_file_stands_until_finish_when_replaced(void **state)
{
    const bench *b    = *state;
    const char  *path = scratch_path(&b->dir, MODEL);
    fili_writer  w;
    static model m;
    model_fixed(&m, 4096);
    const fili_writer_input in = input_of(&m);
    put_old(&b->dir);
    assert_int_equal(fili_writer_open(&w, b->ctx, path, &in, 1), FIL_OK);
    assert_true(is_old(&b->dir));
    assert_int_equal(put_all(&w, &m, 1000), FIL_OK);
    assert_true(is_old(&b->dir));
    assert_int_equal(fili_writer_finish(&w), FIL_OK);
    check_content(b->ctx, path, &m);
    assert_int_equal(scratch_count(&b->dir), 1);
    model_free(&m);
}

static void file_gets_its_final_size_at_open(void **state)
{
    const bench  *b     = *state;
    os_fault      fault = {.call = OS_FTRUNCATE, .at = 0, .error = EFBIG};
    const fili_os os    = os_fault_table(&fault);
    fil_ctx      *ctx;
    fili_writer   w;
    static model  m;
    model_fixed(&m, 4096);
    const fili_writer_input in = input_of(&m);
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    assert_int_equal(fili_writer_open(&w, ctx, scratch_path(&b->dir, MODEL), &in, 0), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "File too large"));
    assert_int_equal(scratch_count(&b->dir), 0);
    fil_ctx_close(&ctx);
    model_free(&m);
}

static void close_without_finish_leaves_nothing(void **state)
{
    const bench *b = *state;
    fili_writer  w;
    static model m;
    model_fixed(&m, 4096);
    const fili_writer_input in = input_of(&m);
    assert_int_equal(fili_writer_open(&w, b->ctx, scratch_path(&b->dir, MODEL), &in, 0), FIL_OK);
    assert_int_equal(put_all(&w, &m, 1000), FIL_OK);
    fili_writer_close(&w);
    fili_writer_close(&w);
    assert_int_equal(scratch_count(&b->dir), 0);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    model_free(&m);
}

static void finish_of_an_incomplete_file_names_the_tensor_and_keeps_the_old_file(void **state)
{
    const bench *b = *state;
    fili_writer  w;
    static model m;
    model_fixed(&m, 4096);
    const fili_writer_input in = input_of(&m);
    put_old(&b->dir);
    fili_ctx_enter(b->ctx);
    assert_int_equal(fili_writer_open(&w, b->ctx, scratch_path(&b->dir, MODEL), &in, 1), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 0, m.data[0], 3), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 1, m.data[1], 100), FIL_OK);
    assert_int_equal(fili_writer_finish(&w), FIL_E_ARG);
    assert_string_equal(fil_ctx_error(b->ctx)->message,
                        "tensor 'a.bf16' is incomplete: it has 100 bytes, expected 2048");
    assert_true(is_old(&b->dir));
    assert_int_equal(scratch_count(&b->dir), 1);
    model_free(&m);
}

static void more_data_than_a_tensor_holds_is_refused_and_the_writer_goes_on(void **state)
{
    const bench *b = *state;
    fili_writer  w;
    static model m;
    model_fixed(&m, 4096);
    const fili_writer_input in   = input_of(&m);
    const char             *path = scratch_path(&b->dir, MODEL);
    assert_int_equal(fili_writer_open(&w, b->ctx, path, &in, 0), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 0, m.data[0], 2), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 0, m.data[0], 2), FIL_E_ARG);
    assert_int_equal(fili_writer_put(&w, 0, m.data[0], UINT64_MAX), FIL_E_ARG);
    assert_int_equal(fili_writer_put(&w, 0, m.data[0] + 2, 1), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 1, m.data[1], m.bytes[1]), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 2, m.data[2], m.bytes[2]), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 2, NULL, 0), FIL_OK);
    assert_int_equal(fili_writer_finish(&w), FIL_OK);
    check_content(b->ctx, path, &m);
    model_free(&m);
}

/* ---- what is refused ------------------------------------------------------------------------ */

#define BIG  ((int64_t)1 << 40)
#define HUGE (((int64_t)1 << 61) - 1) /* bytes: the most one tensor may have */

typedef struct refusal {
    fil_tensor_desc tensors[5];
    size_t          n;
    fil_pair        pairs[2];
    size_t          n_pairs;
    fil_status      status;
    const char     *message; /* part of it */
} refusal;

static char long_name[514];

static const refusal refusals[] = {
    {{{NULL, FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "its name is NULL"},
    {{{"", FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "its name is empty"},
    {{{long_name, FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "has 513 bytes; the limit is 512"},
    {{{"a\nb", FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "control character"},
    {{{"a\x7f", FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "control character"},
    {{{"a\xc2\x85", FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "control character"},
    {{{"a\xff", FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "not UTF-8"},
    {{{"\xc0\xaf", FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "not UTF-8"},
    {{{"__metadata__", FIL_U8, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "'__metadata__'"},
    {{{"a", FIL_U8, 0, {0}}, {"a", FIL_U8, 0, {0}}}, 2, {{0}}, 0, FIL_E_ARG, "'a' is there twice"},
    {{{"a", FIL_U8, 0, {0}}, {"a", FIL_F64, 1, {0}}}, 2, {{0}}, 0, FIL_E_ARG, "there twice"},
    {{{"a", FIL_DTYPE_NONE, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "0 is no dtype"},
    {{{"a", (fil_dtype)12, 0, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "12 is no dtype"},
    {{{"a", FIL_Q8_0, 1, {32}}}, 1, {{0}}, 0, FIL_E_ARG, "52 is no dtype of a safetensors file"},
    {{{"a", FIL_U8, 9, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "9 dimensions; the limit is 8"},
    {{{"a", FIL_U8, UINT32_MAX, {0}}}, 1, {{0}}, 0, FIL_E_ARG, "the limit is 8"},
    {{{"a", FIL_U8, 2, {1, -1}}}, 1, {{0}}, 0, FIL_E_ARG, "dimension 1 is -1"},
    {{{"a", FIL_F4, 1, {3}}}, 1, {{0}}, 0, FIL_E_ARG, "no whole number of bytes"},
    {{{"a", FIL_F6_E2M3, 1, {2}}}, 1, {{0}}, 0, FIL_E_ARG, "no whole number of bytes"},
    {{{"a", FIL_U8, 2, {BIG, BIG}}}, 1, {{0}}, 0, FIL_E_ARG, "no whole number of bytes"},
    {{{"a", FIL_U8, 3, {BIG, BIG, 0}}}, 1, {{0}}, 0, FIL_E_ARG, "no whole number of bytes"},
    {{{"a", FIL_U8, 1, {HUGE}},
      {"b", FIL_U8, 1, {HUGE}},
      {"c", FIL_U8, 1, {HUGE}},
      {"d", FIL_U8, 1, {HUGE}},
      {"e", FIL_U8, 1, {HUGE}}},
     5,
     {{0}},
     0,
     FIL_E_ARG,
     "exceed the largest file"},
    {{{0}}, 0, {{NULL, "v"}}, 1, FIL_E_ARG, "metadata pair 0 has a NULL"},
    {{{0}}, 0, {{"k", "v"}, {"l", NULL}}, 2, FIL_E_ARG, "metadata pair 1 has a NULL"},
    {{{0}}, 0, {{"k\n", "v"}}, 1, FIL_E_ARG, "metadata key 'k?'"},
    {{{0}}, 0, {{"k", "v\x01"}}, 1, FIL_E_ARG, "value of metadata key 'k'"},
    {{{0}}, 0, {{"k", "v\n\xff"}}, 1, FIL_E_ARG, "value of metadata key 'k'"},
    {{{0}}, 0, {{"k", "v"}, {"k", "w"}}, 2, FIL_E_ARG, "metadata key 'k' is there twice"},
};

static void bad_input_is_refused_and_nothing_is_created(void **state)
{
    const bench *b = *state;
    fili_writer  w;
    memset(long_name, 'n', sizeof long_name - 1);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const refusal          *r  = &refusals[i];
        const fili_writer_input in = {
            .tensors = r->tensors, .n_tensors = r->n, .metadata = r->pairs, .n_pairs = r->n_pairs};
        fili_ctx_enter(b->ctx);
        const fil_status status =
            fili_writer_open(&w, b->ctx, scratch_path(&b->dir, MODEL), &in, 1);
        const char *message = fil_ctx_error(b->ctx)->message;
        if (status != r->status || strstr(message, r->message) == NULL)
            fail_msg("row %zu: status %d, message '%s'; expected %d, '%s'", i, (int)status, message,
                     (int)r->status, r->message);
    }
    assert_int_equal(scratch_count(&b->dir), 0);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
}

/* Writes `m` under the limits of `opt`. */
static fil_status write_limited(const bench *b, const fil_options *opt, const model *m)
{
    fil_ctx *ctx;
    assert_int_equal(fil_ctx_open(&ctx, opt), FIL_OK);
    const fil_status status = write_model(ctx, scratch_path(&b->dir, MODEL), m, 1, UINT64_MAX);
    if (status == FIL_OK) check_content(ctx, scratch_path(&b->dir, MODEL), m);
    fil_ctx_close(&ctx);
    return status;
}

static void each_limit_is_kept_to_the_unit(void **state)
{
    const bench *b = *state;
    size_t       size;
    fil_options  opt;
    static model m;
    model_fixed(&m, 4096);
    fil_options_init(&opt);
    assert_int_equal(write_limited(b, &opt, &m), FIL_OK);
    unsigned char *file   = scratch_read(&b->dir, MODEL, &size);
    const uint64_t header = load_le64(file);
    free(file);
    struct {
        uint64_t  *limit;
        uint64_t   need;
        fil_status refusal;
    } rows[] = {{&opt.limits.header_bytes, header, FIL_E_LIMIT},
                {&opt.limits.tensors, m.n, FIL_E_LIMIT},
                {&opt.limits.metadata_pairs, 1, FIL_E_LIMIT},
                {&opt.limits.metadata_bytes, strlen("formattest"), FIL_E_LIMIT},
                {&opt.limits.name_bytes, strlen("a.bf16"), FIL_E_ARG}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const uint64_t before = *rows[i].limit;
        *rows[i].limit        = rows[i].need;
        if (write_limited(b, &opt, &m) != FIL_OK) fail_msg("row %zu: refused at its limit", i);
        *rows[i].limit = rows[i].need - 1;
        if (write_limited(b, &opt, &m) != rows[i].refusal)
            fail_msg("row %zu: accepted beyond its limit", i);
        *rows[i].limit = before;
    }
    model_free(&m);
}

/* ---- faults --------------------------------------------------------------------------------- */

/* Something that is to be tried again. */
static int is_passing(const os_fault *fault)
{
    if (fault->error == OS_SHORT_COUNT) return 1;
    return !fault->forever && (fault->error == EINTR || fault->error == EAGAIN) &&
           (fault->call == OS_PWRITE || fault->call == OS_FTRUNCATE || fault->call == OS_FSYNC);
}

/* One replacing write with a fault; what is left must be the old file or the new one. */
static void one_fault(const bench *b, os_fault *fault, const model *m,
                      const unsigned char *new_file, size_t new_size)
{
    const fili_os os = os_fault_table(fault);
    fil_ctx      *ctx;
    put_old(&b->dir);
    const int64_t at = fault->at;
    fault->at        = -1; /* the context is opened without faults */
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    fault->at    = at;
    fault->calls = 0;

    const fil_status status = write_model(ctx, scratch_path(&b->dir, MODEL), m, 1, 4000);
    const int        is_new = is_content(&b->dir, new_file, new_size);
    const int folder_sync   = fault->call == OS_FSYNC || fault->call == OS_ANY; /* see file.h */
    const int left_temp     = scratch_count(&b->dir) != 1;
    int       right         = status == FIL_OK ? is_new : status == FIL_E_IO;
    if (status != FIL_OK) right &= is_old(&b->dir) || (folder_sync && is_new);
    if (is_passing(fault)) right &= status == FIL_OK;
    if (!right || fault->open != 0 || fil_ctx_memory(ctx).used != 0 ||
        (left_temp && !(fault->call == OS_ANY && fault->forever)))
        fail_msg("%s call %d%s, error %d: status %d, new %d, open %d, temporary file left %d",
                 os_call_name(fault->call), (int)at, fault->forever ? " and later" : "",
                 fault->error, (int)status, is_new, (int)fault->open, left_temp);
    fil_ctx_close(&ctx);
    if (!left_temp) return;
    scratch *dir = (scratch *)(uintptr_t)&b->dir;
    scratch_remove(dir);
    scratch_make(dir);
}

static int64_t all_faults_of(const bench *b, os_call call, int error, int forever, const model *m,
                             const unsigned char *new_file, size_t new_size)
{
    for (int64_t at = 0;; at++) {
        os_fault fault = {.call = call, .at = at, .forever = forever, .error = error};
        one_fault(b, &fault, m, new_file, new_size);
        if (fault.failed == 0) return at;
    }
}

static void every_failing_system_call_leaves_the_old_file_or_the_new_one(void **state)
{
    static const os_call calls[]  = {OS_OPENAT,    OS_CLOSE,    OS_PREAD,    OS_PWRITE,
                                     OS_FTRUNCATE, OS_FSYNC,    OS_RENAMEAT, OS_FSTAT,
                                     OS_RANDOM,    OS_UNLINKAT, OS_ANY};
    static const int     errors[] = {EIO, ENOSPC, EINTR, EAGAIN};
    const bench         *b        = *state;
    size_t               size;
    int64_t              total = 0;
    static model         m;
    model_fixed(&m, 16384);
    assert_int_equal(write_model(b->ctx, scratch_path(&b->dir, MODEL), &m, 1, 4000), FIL_OK);
    unsigned char *file = scratch_read(&b->dir, MODEL, &size);
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++)
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++)
            for (int forever = 0; forever < 2; forever++)
                total += all_faults_of(b, calls[c], errors[e], forever, &m, file, size);
    for (int forever = 0; forever < 2; forever++)
        total += all_faults_of(b, OS_PWRITE, OS_SHORT_COUNT, forever, &m, file, size);
    print_message("%d faults\n", (int)total);
    assert_true(total > 100);
    free(file);
    model_free(&m);
}

typedef struct disk {
    os_fault fault; /* first: the table's functions see this as their state */
    uint64_t room;
} disk;

static int64_t disk_pwrite(void *self, int fd, const void *src, size_t bytes, uint64_t offset)
{
    disk *d = self;
    if (d->room == 0) return -ENOSPC;
    const size_t  n = bytes < d->room ? bytes : (size_t)d->room;
    const int64_t r = fili_os_posix.pwrite(NULL, fd, src, n, offset);
    if (r > 0) d->room -= (uint64_t)r;
    return r;
}

static void disk_that_fills_at_any_page_keeps_the_old_file(void **state)
{
    const bench *b     = *state;
    int          fails = 0;
    static model m;
    model_fixed(&m, 100000);
    uint64_t   room = 0;
    fil_status status;
    do {
        disk     d   = {.fault = {.at = -1}, .room = room};
        fili_os  os  = os_fault_table(&d.fault);
        fil_ctx *ctx = NULL;
        os.pwrite    = disk_pwrite;
        put_old(&b->dir);
        assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
        status = write_model(ctx, scratch_path(&b->dir, MODEL), &m, 1, 3000);
        if (status != FIL_OK) {
            assert_int_equal(status, FIL_E_IO);
            assert_non_null(strstr(fil_ctx_error(ctx)->message, "No space left"));
            assert_true(is_old(&b->dir));
            fails++;
        }
        assert_int_equal(scratch_count(&b->dir), 1);
        assert_int_equal(d.fault.open, 0);
        fil_ctx_close(&ctx);
        room += 4096;
    } while (status != FIL_OK && room < 1u << 20);
    assert_int_equal(status, FIL_OK);
    assert_true(fails >= 18); /* about 75,000 bytes */
    check_content(b->ctx, scratch_path(&b->dir, MODEL), &m);
    model_free(&m);
}

static void after_a_failed_write_the_writer_can_only_be_closed(void **state)
{
    const bench  *b     = *state;
    os_fault      fault = {.call = OS_PWRITE, .at = 1, .error = EIO}; /* 0 is the header */
    const fili_os os    = os_fault_table(&fault);
    fil_ctx      *ctx;
    fili_writer   w;
    static model  m;
    model_fixed(&m, 4096);
    const fili_writer_input in = input_of(&m);
    put_old(&b->dir);
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    assert_int_equal(fili_writer_open(&w, ctx, scratch_path(&b->dir, MODEL), &in, 1), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 0, m.data[0], 3), FIL_E_IO);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_writer_put(&w, 0, m.data[0], 3), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "an earlier write failed"));
    fili_ctx_enter(ctx);
    assert_int_equal(fili_writer_finish(&w), FIL_E_IO);
    assert_true(is_old(&b->dir));
    assert_int_equal(scratch_count(&b->dir), 1);
    assert_int_equal(fault.open, 0);
    fil_ctx_close(&ctx);
    model_free(&m);
}

static void every_failing_allocation_leaves_the_old_file_and_no_memory(void **state)
{
    const bench *b = *state;
    static model m;
    model_fixed(&m, 4096);
    for (int forever = 0; forever < 2; forever++)
        for (int64_t at = 0;; at++) {
            alloc_fault fault = {.at = -1};
            fil_options opt;
            fil_ctx    *ctx;
            fil_options_init(&opt);
            opt.host = alloc_fault_allocator(&fault);
            put_old(&b->dir);
            assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
            fault.at      = fault.calls + at;
            fault.forever = forever;
            const fil_status status =
                write_model(ctx, scratch_path(&b->dir, MODEL), &m, 1, UINT64_MAX);
            assert_int_equal(status, fault.failed > 0 ? FIL_E_NOMEM : FIL_OK);
            if (status != FIL_OK) assert_true(is_old(&b->dir));
            assert_int_equal(scratch_count(&b->dir), 1);
            assert_int_equal(fil_ctx_memory(ctx).used, 0);
            fil_ctx_close(&ctx);
            assert_int_equal(fault.live, 0);
            if (fault.failed == 0) {
                assert_true(at >= 4);
                break;
            }
        }
    model_free(&m);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(random_files_read_back_equal),
        TEST(equal_input_gives_equal_bytes_whatever_the_pieces),
        TEST(header_is_the_expected_text),
        TEST(file_of_no_tensors_is_written),
        TEST(file_larger_than_the_memory_limit_is_streamed),
        TEST(existing_file_is_refused_at_open_without_replace),
        TEST(file_that_appears_meanwhile_is_not_replaced_without_replace),
        TEST(old_file_stands_until_finish_when_replaced),
        TEST(file_gets_its_final_size_at_open),
        TEST(close_without_finish_leaves_nothing),
        TEST(finish_of_an_incomplete_file_names_the_tensor_and_keeps_the_old_file),
        TEST(more_data_than_a_tensor_holds_is_refused_and_the_writer_goes_on),
        TEST(bad_input_is_refused_and_nothing_is_created),
        TEST(each_limit_is_kept_to_the_unit),
        TEST(every_failing_system_call_leaves_the_old_file_or_the_new_one),
        TEST(disk_that_fills_at_any_page_keeps_the_old_file),
        TEST(after_a_failed_write_the_writer_can_only_be_closed),
        TEST(every_failing_allocation_leaves_the_old_file_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
