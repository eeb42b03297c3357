/* tests/unit/test_tokenizer.c: io/tokenizer.h: ids of prompts, with the fixtures' tokenizer and with
 * the small one of tests/golden (made by tools/make_golden_tokenizer.py).
 */
#include <jansson.h>
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
    const char   *name = text_of(prompt, "name");
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

/* ids: as "1 2 3". */
static void ids_are(fili_tokenizer *t, const char *text, const char *want)
{
    int32_t ids[FILI_TOKENIZER_MAX];
    int32_t n;
    char    got[4096] = "";
    size_t  at        = 0;
    assert_int_equal(fili_tokenizer_ids(t, text, ids, &n, NULL), FIL_OK);
    for (int32_t i = 0; i < n && at < sizeof got - 16; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, i ? " %d" : "%d", ids[i]);
    if (strcmp(got, want) != 0) fail_msg("'%s': %s, expected %s", text, got, want);
}
