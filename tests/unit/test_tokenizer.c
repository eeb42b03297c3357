/* tests/unit/test_tokenizer.c: io/tokenizer.h: ids of prompts, with the fixtures' tokenizer and
 * with the small one of tests/golden (made by tools/make_golden_tokenizer.py).
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/text_clean.h"
#include "io/tokenizer.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"

#ifndef FIL_GOLDEN
#error "the build says where tests/golden is"
#endif

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

/* Skips the test where the build has no sentencepiece. */
static fili_tokenizer *open_or_skip(fil_ctx *ctx, const char *path)
{
    fili_tokenizer  *t;
    const fil_status status = fili_tokenizer_open(ctx, path, &t);
    if (status == FIL_E_UNSUP) {
        print_message("%s\n", fil_ctx_error(ctx)->message);
        skip();
    }
    if (status != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    return t;
}

/* ---- fixtures ------------------------------------------------------------------------------- */

static const char *text_of(const json_t *prompt, const char *key)
{
    const char *text = json_string_value(json_object_get(prompt, key));
    assert_non_null(text);
    return text;
}

static void check_prompt(fili_tokenizer *t, const json_t *prompt)
{
    int32_t       ids[FILI_TOKENIZER_MAX];
    int32_t       n;
    const char   *name = text_of(prompt, "cleaned");
    const json_t *want = json_object_get(prompt, "ids");
    assert_int_equal(fili_tokenizer_ids(t, text_of(prompt, "text"), ids, &n, NULL), FIL_OK);
    if ((size_t)n != json_array_size(want))
        fail_msg("'%s': %d ids, expected %zu", name, n, json_array_size(want));
    for (int32_t i = 0; i < n; i++) {
        const json_int_t id = json_integer_value(json_array_get(want, (size_t)i));
        if (ids[i] != id) fail_msg("'%s': id %d is %d, expected %d", name, i, ids[i], (int)id);
    }
}

/* Any tokenizer folder that holds the fixtures' model. */
static void check_folder(fil_ctx *ctx, const char *folder)
{
    const char *path = fixture_path(folder);
    fili_json   json;
    if (path == NULL) {
        print_message("FIL_FIXTURES is not set\n");
        skip();
    }
    fili_tokenizer *t = open_or_skip(ctx, path);
    assert_int_equal(fili_json_read(ctx, FILI_CWD, fixture_path("umt5/prompts.json"), 0, 1 << 20,
                                    FILI_JSON_REALS, &json),
                     FIL_OK);
    assert_true(json_array_size(json.root) >= 23);
    for (size_t i = 0; i < json_array_size(json.root); i++)
        check_prompt(t, json_array_get(json.root, i));
    fili_json_fini(ctx, &json);
    fili_tokenizer_close(&t);
}

static void the_ids_of_every_fixture_prompt_are_exact(void **state)
{
    check_folder(*state, "pipeline/tokenizer");
}

static void the_ids_are_the_same_from_the_original_layout(void **state)
{
    check_folder(*state, "pipeline/original/google/umt5-xxl");
}

static void the_cleaned_fixture_prompts_are_exact(void **state)
{
    fil_ctx    *ctx  = *state;
    const char *path = fixture_path("umt5/prompts.json");
    fili_json   json;
    if (path == NULL) {
        print_message("FIL_FIXTURES is not set\n");
        skip();
    }
    assert_int_equal(fili_json_read(ctx, FILI_CWD, path, 0, 1 << 20, FILI_JSON_REALS, &json),
                     FIL_OK);
    for (size_t i = 0; i < json_array_size(json.root); i++) {
        const json_t *prompt = json_array_get(json.root, i);
        char         *clean;
        assert_int_equal(fili_text_clean(ctx, text_of(prompt, "text"), &clean), FIL_OK);
        assert_string_equal(clean, text_of(prompt, "cleaned"));
        fili_text_free(ctx, clean);
    }
    fili_json_fini(ctx, &json);
}

/* ---- the small model ------------------------------------------------------------------------ */

#define SMALL FIL_GOLDEN "/tokenizer"

static void read_golden(fil_ctx *ctx, fili_json *json)
{
    assert_int_equal(
        fili_json_read(ctx, FILI_CWD, SMALL "/prompts.json", 0, 1 << 20, FILI_JSON_REALS, json),
        FIL_OK);
    assert_true(json_array_size(json->root) > 0);
}

static void the_cleaned_golden_prompts_are_exact(void **state)
{
    fil_ctx  *ctx = *state;
    fili_json json;
    read_golden(ctx, &json);
    for (size_t i = 0; i < json_array_size(json.root); i++) {
        const json_t *prompt = json_array_get(json.root, i);
        char         *clean;
        assert_int_equal(fili_text_clean(ctx, text_of(prompt, "text"), &clean), FIL_OK);
        assert_string_equal(clean, text_of(prompt, "cleaned"));
        fili_text_free(ctx, clean);
    }
    fili_json_fini(ctx, &json);
}

static void the_ids_of_every_golden_prompt_are_exact(void **state)
{
    fil_ctx        *ctx = *state;
    fili_json       json;
    fili_tokenizer *t = open_or_skip(ctx, SMALL);
    read_golden(ctx, &json);
    for (size_t i = 0; i < json_array_size(json.root); i++)
        check_prompt(t, json_array_get(json.root, i));
    fili_json_fini(ctx, &json);
    fili_tokenizer_close(&t);
}

static void a_prompt_that_is_too_long_is_cut_and_says_by_how_much(void **state)
{
    enum { WORDS = 700 };
    fil_ctx        *ctx = *state;
    fili_tokenizer *t   = open_or_skip(ctx, SMALL);
    char            text[4 * WORDS + 1];
    int32_t         ids[FILI_TOKENIZER_MAX];
    int32_t         n;
    int             cut = -1;
    for (int i = 0; i < WORDS; i++)
        memcpy(text + 4 * i, "the ", 5);
    assert_int_equal(fili_tokenizer_ids(t, text, ids, &n, &cut), FIL_OK);
    assert_int_equal(n, FILI_TOKENIZER_MAX);
    assert_int_equal(ids[n - 1], 1);
    assert_int_equal(cut, WORDS - (FILI_TOKENIZER_MAX - 1));
    text[4 * (FILI_TOKENIZER_MAX - 1)] = '\0';
    assert_int_equal(fili_tokenizer_ids(t, text, ids, &n, &cut), FIL_OK);
    assert_int_equal(n, FILI_TOKENIZER_MAX);
    assert_int_equal(cut, 0);
    fili_tokenizer_close(&t);
}

static void its_size_is_one_past_the_last_added_token(void **state)
{
    fili_tokenizer *t = open_or_skip(*state, SMALL);
    assert_int_equal(fili_tokenizer_size(t), 365);
    fili_tokenizer_close(&t);
}

/* ---- files beside the model ----------------------------------------------------------------- */

typedef struct copy {
    scratch        s;
    unsigned char *model;
    size_t         bytes;
} copy;

/* A folder with spiece.model alone. */
static void make_copy(copy *c)
{
    FILE *f = fopen(SMALL "/spiece.model", "rb");
    assert_non_null(f);
    c->model = malloc(1 << 16);
    assert_non_null(c->model);
    c->bytes = fread(c->model, 1, 1 << 16, f);
    fclose(f);
    scratch_make(&c->s);
    scratch_write(&c->s, "spiece.model", c->model, c->bytes);
}

static void drop_copy(copy *c)
{
    scratch_remove(&c->s);
    free(c->model);
}

static void write_text(const copy *c, const char *name, const char *text)
{
    scratch_write(&c->s, name, text, strlen(text));
}

static void ids_are(fili_tokenizer *t, const char *text, int32_t n_want, ...)
{
    int32_t ids[FILI_TOKENIZER_MAX];
    int32_t n;
    va_list want;
    assert_int_equal(fili_tokenizer_ids(t, text, ids, &n, NULL), FIL_OK);
    assert_int_equal(n, n_want);
    va_start(want, n_want);
    for (int32_t i = 0; i < n; i++)
        assert_int_equal(ids[i], va_arg(want, int));
    va_end(want);
}

static void a_model_alone_knows_its_control_pieces(void **state)
{
    copy c;
    make_copy(&c);
    fili_tokenizer *t = open_or_skip(*state, c.s.path);
    ids_are(t, "</s><pad> <unk><s>", 5, 1, 0, 3, 2, 1);
    assert_int_equal(fili_tokenizer_size(t), 360);
    fili_tokenizer_close(&t);
    drop_copy(&c);
}

static void the_file_itself_can_be_named(void **state)
{
    fili_tokenizer *t = open_or_skip(*state, SMALL "/spiece.model");
    assert_int_equal(fili_tokenizer_size(t), 365);
    fili_tokenizer_close(&t);
}

static void bytes_in_memory_do_as_well(void **state)
{
    copy c;
    make_copy(&c);
    fili_tokenizer *first = open_or_skip(*state, c.s.path);
    fili_tokenizer *t;
    fili_tokenizer_close(&first);
    assert_int_equal(fili_tokenizer_open_bytes(*state, "spiece_model", c.model, c.bytes, &t),
                     FIL_OK);
    ids_are(t, "</s>", 2, 1, 1);
    fili_tokenizer_close(&t);
    drop_copy(&c);
}

/* Pieces 4 .. 259 are the bytes. */
static void byte_pieces_stay_where_tokenizer_json_says_so(void **state)
{
    copy c;
    make_copy(&c);
    write_text(
        &c, "tokenizer.json",
        "{\"version\": \"byte_fallback\", \"normalizer\": {\"byte_fallback\": false},"
        " \"model\": {\"unk_id\": 3, \"vocab\": [[\"byte_fallback\", 0.0], [\"\\\",\\\\\", 1]],"
        " \"byte_fallback\": true}}");
    fili_tokenizer *t = open_or_skip(*state, c.s.path);
    ids_are(t, "\xe1\x9a\xa0", 5, 260, 4 + 0xe1, 4 + 0x9a, 4 + 0xa0, 1);
    fili_tokenizer_close(&t);
    write_text(&c, "tokenizer.json", "{\"model\": {\"byte_fallback\": false, \"x\": true}}");
    t = open_or_skip(*state, c.s.path);
    ids_are(t, "\xe1\x9a\xa0", 3, 260, 3, 1);
    fili_tokenizer_close(&t);
    drop_copy(&c);
}

static void refused(fil_ctx *ctx, const char *path, fil_status status, const char *part)
{
    fili_tokenizer *t = (fili_tokenizer *)ctx;
    fili_ctx_enter(ctx);
    assert_int_equal(fili_tokenizer_open(ctx, path, &t), status);
    assert_null(t);
    if (strstr(fil_ctx_error(ctx)->message, part) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(ctx)->message, part);
}

static void added_tokens_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        const char *text, *part;
    } bad[] = {{"{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}", "has no id"},
               {"{\"added_tokens_decoder\": {\"\": {\"content\": \"a\"}}}", "has no id"},
               {"{\"added_tokens_decoder\": {\"99999999999\": {\"content\": \"a\"}}}", "has no id"},
               {"{\"added_tokens_decoder\": {\"7\": {\"content\": \"\"}}}", "no text"},
               {"{\"added_tokens_decoder\": {\"7\": {}}}", "no text"},
               {"{\"added_tokens_decoder\": {\"7\": 1}}", "no text"},
               {"{\"added_tokens_decoder\": ", "tokenizer_config.json"},
               {"", "empty"}};
    copy c;
    make_copy(&c);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_text(&c, "tokenizer_config.json", bad[i].text);
        refused(*state, c.s.path, FIL_E_FORMAT, bad[i].part);
    }
    drop_copy(&c);
}

static void what_is_not_there_or_no_model_is_refused(void **state)
{
    copy c;
    make_copy(&c);
    refused(*state, scratch_path(&c.s, "nothing"), FIL_E_IO, "cannot open");
    scratch_write(&c.s, "empty", "", 0);
    refused(*state, scratch_path(&c.s, "empty"), FIL_E_FORMAT, "not a sentencepiece model");
    write_text(&c, "text", "{\"a\": 1}");
    refused(*state, scratch_path(&c.s, "text"), FIL_E_FORMAT, "not a sentencepiece model");
    refused(*state, FIL_GOLDEN, FIL_E_IO, "spiece.model");
    drop_copy(&c);
}

static void broken_utf8_in_a_prompt_is_the_callers_mistake(void **state)
{
    fili_tokenizer *t = open_or_skip(*state, SMALL);
    int32_t         ids[FILI_TOKENIZER_MAX];
    int32_t         n;
    assert_int_equal(fili_tokenizer_ids(t, "a\xff", ids, &n, NULL), FIL_E_ARG);
    assert_int_equal(fili_tokenizer_ids(t, "a\xe4\xb8", ids, &n, NULL), FIL_E_ARG);
    fili_tokenizer_close(&t);
}

static void a_build_without_the_library_says_so(void **state)
{
    fil_ctx        *ctx = *state;
    fili_tokenizer *t;
    if (fili_tokenizer_open(ctx, SMALL, &t) == FIL_OK) {
        fili_tokenizer_close(&t);
        skip();
    }
    assert_int_equal(fil_ctx_error(ctx)->status, FIL_E_UNSUP);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "FIL_SENTENCEPIECE"));
}

/* ---- faults --------------------------------------------------------------------------------- */

static fil_status open_and_ask(fil_ctx *ctx)
{
    fili_tokenizer *t;
    int32_t         ids[FILI_TOKENIZER_MAX];
    int32_t         n;
    fil_status      status = fili_tokenizer_open(ctx, SMALL, &t);
    if (status == FIL_OK)
        status =
            fili_tokenizer_ids(t, "na\xc3\x83\xc2\xafve </s> &amp; \xe4\xb8\x80", ids, &n, NULL);
    fili_tokenizer_close(&t);
    return status;
}

static void every_allocation_may_fail(void **state)
{
    fili_tokenizer *t = open_or_skip(*state, SMALL);
    fili_tokenizer_close(&t);
    for (int64_t at = 0;; at++) {
        alloc_fault fault = {.at = at};
        fil_options opt;
        fil_ctx    *ctx;
        fil_options_init(&opt);
        opt.host = alloc_fault_allocator(&fault);
        alloc_fault_json(&fault);
        const fil_status opened = fil_ctx_open(&ctx, &opt);
        const fil_status status = opened == FIL_OK ? open_and_ask(ctx) : opened;
        fil_ctx_close(&ctx);
        alloc_fault_json(NULL);
        assert_int_equal(fault.live, 0);
        if (fault.failed == 0) {
            assert_int_equal(status, FIL_OK);
            break;
        }
        assert_int_equal(status, FIL_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_ids_of_every_fixture_prompt_are_exact, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_ids_are_the_same_from_the_original_layout, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_cleaned_fixture_prompts_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cleaned_golden_prompts_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_ids_of_every_golden_prompt_are_exact, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_prompt_that_is_too_long_is_cut_and_says_by_how_much,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(its_size_is_one_past_the_last_added_token, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_model_alone_knows_its_control_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_file_itself_can_be_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bytes_in_memory_do_as_well, set_up, tear_down),
        cmocka_unit_test_setup_teardown(byte_pieces_stay_where_tokenizer_json_says_so, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(added_tokens_that_make_no_sense_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_or_no_model_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(broken_utf8_in_a_prompt_is_the_callers_mistake, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_build_without_the_library_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
