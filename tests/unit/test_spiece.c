/* tests/unit/test_spiece.c: io/spiece_check.h: what is refused, and that nothing that passes makes
 * the library misbehave (the sanitizers watch).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/spiece_check.h"
#include "io/tokenizer.h"
#include "support/cmocka_all.h"
#include "support/pth_make.h"

static int set_up(void **state)
{
    fil_ctx *ctx;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    *state = ctx;
    return 0;
}

static int tear_down(void **state)
{
    fil_ctx *ctx = *state;
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
    return 0;
}

/* ---- writing protocol buffers --------------------------------------------------------------- */

static void put_varint(buffer *b, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buffer_number(b, 1, (value & 0x7f) | 0x80);
    buffer_number(b, 1, value);
}

static void put_bytes(buffer *b, uint32_t number, const void *data, size_t bytes)
{
    put_varint(b, (uint64_t)number << 3 | 2);
    put_varint(b, bytes);
    buffer_put(b, data, bytes);
}

static void put_number(buffer *b, uint32_t number, uint64_t value)
{
    put_varint(b, (uint64_t)number << 3);
    put_varint(b, value);
}

static void put_piece_of(buffer *b, const char *text, size_t bytes, float score, int type)
{
    buffer   piece = {0};
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    put_bytes(&piece, 1, text, bytes);
    put_varint(&piece, 2 << 3 | 5);
    buffer_number(&piece, 4, bits);
    put_number(&piece, 3, (uint64_t)type);
    put_bytes(b, 1, piece.data, piece.bytes);
    buffer_free(&piece);
}

static void put_piece(buffer *b, const char *text, float score, int type)
{
    put_piece_of(b, text, strlen(text), score, type);
}

static void put_specials(buffer *b)
{
    put_piece(b, "<pad>", 0.0f, FILI_PIECE_CONTROL);
    put_piece(b, "</s>", 0.0f, FILI_PIECE_CONTROL);
    put_piece(b, "<unk>", 0.0f, FILI_PIECE_UNKNOWN);
}

static void put_trainer(buffer *b, uint64_t model_type)
{
    buffer trainer = {0};
    put_number(&trainer, 3, model_type);
    put_number(&trainer, 40, 2);
    put_number(&trainer, 42, 1);
    put_number(&trainer, 41, UINT64_MAX); /* -1 */
    put_bytes(b, 2, trainer.data, trainer.bytes);
    buffer_free(&trainer);
}

static void put_charsmap(buffer *b, const void *map, size_t bytes)
{
    buffer normalizer = {0};
    put_bytes(&normalizer, 2, map, bytes);
    put_bytes(b, 3, normalizer.data, normalizer.bytes);
    buffer_free(&normalizer);
}

/* A trie of one block: byte 'a' leads to base 0x40, where the leaf says `value`. */
static void put_trie(buffer *b, uint32_t root, uint32_t unit, uint32_t value, const char *texts,
                     size_t text_bytes)
{
    buffer map = {0};
    buffer_number(&map, 4, 256 * 4);
    for (uint32_t i = 0; i < 256; i++)
        buffer_number(&map, 4, i == 0 ? root : i == 'a' ? unit : i == 0x40 ? value : 0);
    buffer_put(&map, texts, text_bytes);
    put_charsmap(b, map.data, map.bytes);
    buffer_free(&map);
}

enum { LEAF = 0x100 };

/* The unit at 'a' whose base is 0x40. */
#define UNIT_A (('a' ^ 0x40u) << 10 | LEAF | 'a')

/* ---- one thing wrong at a time -------------------------------------------------------------- */

static void expect(fil_ctx *ctx, const char *what, const buffer *b, fil_status status,
                   const char *part)
{
    fili_spiece s;
    fili_ctx_enter(ctx);
    const fil_status got = fili_spiece_check(ctx, "spiece.model", b->data, b->bytes, &s);
    if (got != status) fail_msg("%s: status %d, expected %d", what, got, status);
    if (got == FIL_OK)
        fili_spiece_fini(ctx, &s);
    else if (strstr(fil_ctx_error(ctx)->message, part) == NULL)
        fail_msg("%s: '%s' does not say '%s'", what, fil_ctx_error(ctx)->message, part);
}

typedef struct bad_piece {
    const char *what, *text;
    size_t      bytes;
    float       score;
    int         type;
    const char *part;
} bad_piece;

static void pieces_that_the_library_would_trip_over_are_refused(void **state)
{
    static char     longest[513];
    const bad_piece bad[] = {
        {"empty", "", 0, 0.0f, 1, "empty or not UTF-8"},
        {"NUL", "a\0b", 3, 0.0f, 1, "empty or not UTF-8"},
        {"broken UTF-8", "\xe4\xb8", 2, 0.0f, 1, "empty or not UTF-8"},
        {"long", longest, 513, 0.0f, 1, "longer than 512"},
        {"NaN", "x", 1, NAN, 1, "score"},
        {"infinite", "x", 1, -INFINITY, 1, "score"},
        {"type 0", "x", 1, 0.0f, 0, "type"},
        {"type 7", "x", 1, 0.0f, 7, "type"},
        {"second unknown", "x", 1, 0.0f, FILI_PIECE_UNKNOWN, "one piece of the type 'unknown'"}};
    memset(longest, 'a', sizeof longest);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        buffer b = {0};
        put_specials(&b);
        put_piece_of(&b, bad[i].text, bad[i].bytes, bad[i].score, bad[i].type);
        expect(*state, bad[i].what, &b, FIL_E_FORMAT, bad[i].part);
        buffer_free(&b);
    }
}

static void a_model_needs_pieces_and_its_specials(void **state)
{
    buffer b = {0};
    expect(*state, "empty", &b, FIL_E_FORMAT, "empty");
    put_trainer(&b, 1);
    expect(*state, "no pieces", &b, FIL_E_FORMAT, "no pieces");
    put_piece(&b, "a", -1.0f, FILI_PIECE_NORMAL);
    expect(*state, "no unknown piece", &b, FIL_E_FORMAT, "unknown");
    put_piece(&b, "<unk>", 0.0f, FILI_PIECE_UNKNOWN);
    put_piece(&b, "</s>", 0.0f, FILI_PIECE_CONTROL);
    expect(*state, "all there", &b, FIL_OK, "");
    buffer_free(&b);
}

static void only_unigram_models_are_read(void **state)
{
    buffer b = {0};
    put_specials(&b);
    put_trainer(&b, 2);
    expect(*state, "BPE", &b, FIL_E_UNSUP, "unigram");
    buffer_free(&b);
}

static void a_good_table_of_replacements_passes(void **state)
{
    buffer b = {0};
    put_specials(&b);
    put_trie(&b, 0, UNIT_A, 0, "bc\0d", 5);
    expect(*state, "good", &b, FIL_OK, "");
    buffer_free(&b);
}

static void replacements_that_lead_outside_are_refused(void **state)
{
    static const struct {
        const char *what;
        uint32_t    root, unit, value;
        const char *texts;
        size_t      bytes;
        const char *part;
    } bad[] = {
        {"root", 1u << 20, UNIT_A, 0, "b", 2, "outside"},
        {"child", 0, (1u << 19) << 10 | LEAF | 'a', 0, "b", 2, "outside"},
        {"far child", 0, 1u << 10 | 0x200 | 'a', 0, "b", 2, "outside"},
        {"value", 0, UNIT_A, 2, "b", 2, "outside"},
        {"huge value", 0, UNIT_A, 0x7fffffff, "b", 2, "outside"},
        {"inside a character", 0, UNIT_A, 1, "\xc3\xa9", 3, "outside"},
        {"no end", 0, UNIT_A, 0, "b", 1, "not UTF-8"},
        {"broken text", 0, UNIT_A, 0, "\xc3", 2, "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        buffer b = {0};
        put_specials(&b);
        put_trie(&b, bad[i].root, bad[i].unit, bad[i].value, bad[i].texts, bad[i].bytes);
        expect(*state, bad[i].what, &b, FIL_E_FORMAT, bad[i].part);
        buffer_free(&b);
    }
}

static void a_table_that_is_cut_off_is_refused(void **state)
{
    static const unsigned char maps[][12] = {{1},
                                             {4, 0, 0, 0},
                                             {4, 0, 0, 0, 0, 0, 0, 0},
                                             {3, 0, 0, 0, 0, 0, 0, 0, 0},
                                             {0xff, 0xff, 0xff, 0xff, 0}};
    static const size_t        bytes[]    = {1, 4, 8, 9, 12};
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        buffer b = {0};
        put_specials(&b);
        put_charsmap(&b, maps[i], bytes[i]);
        expect(*state, "cut off", &b, FIL_E_FORMAT, "cut off");
        buffer_free(&b);
    }
}

static void structure_that_is_no_protocol_buffer_is_refused(void **state)
{
    static const struct {
        const char *what, *bytes;
        size_t      n;
    } bad[] = {{"field 0", "\x02\x01", 2},
               {"group", "\x0b", 1},
               {"length beyond the end",
                "\x0a\x05"
                "a",
                3},
               {"huge length", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},
               {"varint of 11 bytes", "\x38\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12},
               {"varint without end", "\x38\x80", 2},
               {"short fixed32", "\x3d\x01\x02", 3},
               {"piece of wrong type", "\x08\x01", 2},
               {"trainer of wrong type", "\x10\x01", 2}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        buffer b = {0};
        put_specials(&b);
        buffer_put(&b, bad[i].bytes, bad[i].n);
        expect(*state, bad[i].what, &b, FIL_E_FORMAT, "not a sentencepiece model");
        buffer_free(&b);
    }
}

/* ---- whole files ---------------------------------------------------------------------------- */

typedef struct model {
    unsigned char data[1 << 14];
    size_t        bytes;
} model;

static void read_model(model *m)
{
    FILE *f = fopen(FIL_GOLDEN "/tokenizer/spiece.model", "rb");
    assert_non_null(f);
    m->bytes = fread(m->data, 1, sizeof m->data, f);
    fclose(f);
    assert_in_range(m->bytes, 1, sizeof m->data - 1);
}

/* What passes must work, or be refused by the library in peace. */
static void try_model(fil_ctx *ctx, const unsigned char *data, size_t bytes)
{
    fili_tokenizer *t;
    int32_t         ids[FILI_TOKENIZER_MAX];
    int32_t         n;
    fili_ctx_enter(ctx);
    const fil_status status = fili_tokenizer_open_bytes(ctx, "spiece.model", data, bytes, &t);
    if (status == FIL_OK) {
        const fil_status asked = fili_tokenizer_ids(
            t, "A red \xe2\x91\xa0\xe2\x80\xa6 cat \xe1\x9a\xa0 </s>", ids, &n, NULL);
        assert_true(asked == FIL_OK || asked == FIL_E_FORMAT);
    } else {
        assert_true(status == FIL_E_FORMAT || status == FIL_E_UNSUP || status == FIL_E_LIMIT);
        assert_true(fil_ctx_error(ctx)->message[0] != '\0');
    }
    fili_tokenizer_close(&t);
}

static void a_model_may_end_anywhere(void **state)
{
    model m;
    read_model(&m);
    for (size_t bytes = 0; bytes < m.bytes; bytes += bytes < 64 || bytes > m.bytes - 1300 ? 1 : 7) {
        /* A copy of its own, so that a read beyond the end is seen. */
        unsigned char *cut = malloc(bytes + 1);
        assert_non_null(cut);
        memcpy(cut, m.data, bytes);
        try_model(*state, cut, bytes);
        free(cut);
    }
}

static void any_byte_of_a_model_may_be_wrong(void **state)
{
    model m;
    read_model(&m);
    for (uint64_t round = 0; round < 1500; round++) {
        float         r[4];
        unsigned char kept[2];
        size_t        at[2];
        fili_philox_uniform(7, round, 0, r, 4);
        for (int i = 0; i < 2; i++) {
            /* The second half of the rounds is for the table of replacements, at the end. */
            const size_t from = round < 750 ? 0 : m.bytes - 1400;
            at[i]             = from + (size_t)(r[2 * i] * (float)(m.bytes - from - 1));
            kept[i]           = m.data[at[i]];
            m.data[at[i]]     = (unsigned char)(r[2 * i + 1] * 256.0f);
        }
        try_model(*state, m.data, m.bytes);
        m.data[at[1]] = kept[1];
        m.data[at[0]] = kept[0];
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pieces_that_the_library_would_trip_over_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_model_needs_pieces_and_its_specials, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_unigram_models_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_good_table_of_replacements_passes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(replacements_that_lead_outside_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_table_that_is_cut_off_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(structure_that_is_no_protocol_buffer_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_model_may_end_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_byte_of_a_model_may_be_wrong, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
