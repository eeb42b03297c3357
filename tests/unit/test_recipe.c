/* tests/unit/test_recipe.c: a run as JSON (engine/recipe.h, fil_recipe_open): what is written comes
 * back field by field, and what is no recipe is refused with a sentence.
 */
#include <stdio.h>
#include <string.h>

#include "engine/recipe.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

typedef struct rig {
    fil_ctx             *ctx;
    fili_arena           arena;
    scratch              dir;
    char                 path[300];
    fil_model_options    model;
    fil_generate_options generate;
    fil_policy_options   policy;
} rig;

static rig r;

static int set_up(void **state)
{
    (void)state;
    memset(&r, 0, sizeof r);
    assert_int_equal(fil_ctx_open(&r.ctx, NULL), FIL_OK);
    fili_arena_init(&r.arena, r.ctx, "a test", 0);
    scratch_make(&r.dir);
    snprintf(r.path, sizeof r.path, "%s/recipe.json", r.dir.path);
    fil_model_options_init(&r.model);
    fil_generate_options_init(&r.generate);
    fil_policy_options_init(&r.policy);
    r.model.dir       = "model";
    r.generate.prompt = "A red fox.";
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&r.dir);
    fili_arena_fini(&r.arena);
    assert_int_equal(fil_ctx_memory(r.ctx).used, 0);
    fil_ctx_close(&r.ctx);
    return 0;
}

static const char *text_of_rig(void)
{
    const char *text;
    fili_ctx_enter(r.ctx);
    if (fili_recipe_text(r.ctx, &r.arena, &r.model, &r.generate, &text) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r.ctx)->message);
    return text;
}

static void write_text(const char *text)
{
    FILE *f = fopen(r.path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* The recipe of the rig, through a file. */
static fil_recipe *back(void)
{
    fil_recipe *recipe;
    write_text(text_of_rig());
    if (fil_recipe_open(r.ctx, r.path, &recipe) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r.ctx)->message);
    return recipe;
}

static void refused(const char *text, fil_status status, const char *says)
{
    fil_recipe *recipe = (fil_recipe *)(uintptr_t)1;
    write_text(text);
    const fil_status found = fil_recipe_open(r.ctx, r.path, &recipe);
    assert_null(recipe);
    const char *message = fil_ctx_error(r.ctx)->message;
    if (found != status || strstr(message, says) == NULL)
        fail_msg("%s: %s: '%s', expected %s: '%s'", text, fil_status_name(found), message,
                 fil_status_name(status), says);
}

/* ---- there and back ------------------------------------------------------------------------- */

static void defaults_come_back_as_defaults(void **state)
{
    (void)state;
    fil_recipe                 *recipe = back();
    const fil_generate_options *g      = fil_recipe_generate(recipe);
    fil_generate_options        expected;
    fil_generate_options_init(&expected);
    assert_string_equal(g->prompt, "A red fox.");
    assert_string_equal(fil_recipe_model(recipe)->dir, "model");
    expected.prompt = g->prompt;
    assert_memory_equal(g, &expected, sizeof expected);
    fil_recipe_close(&recipe);
    assert_null(recipe);
}

static void every_field_comes_back(void **state)
{
    static const double times[] = {1000.0, 937.5, 1.0 / 3.0};
    static const char   odd[]   = "quote \" back \\ line\n del \x7f \xe7\x8b\x90";
    (void)state;
    r.model            = (fil_model_options){.struct_size = sizeof r.model,
                                             .flags       = FIL_OPEN_TRUSTED,
                                             .dir         = "a",
                                             .dit         = "b",
                                             .t5          = "c",
                                             .vae         = "d",
                                             .tokenizer   = "e"};
    r.policy           = (fil_policy_options){.struct_size    = sizeof r.policy,
                                              .name           = "west",
                                              .density        = 0.1,
                                              .fidelity       = 0.3,
                                              .dense_steps    = 3,
                                              .dense_layers   = "0-2,29",
                                              .min_tokens     = INT64_C(1) << 40,
                                              .order          = "raster",
                                              .block          = 128,
                                              .tail           = 1,
                                              .refresh        = 7,
                                              .tau            = 1e-300,
                                              .topology       = "t",
                                              .budgets        = "error",
                                              .mask           = "m",
                                              .gate           = 1,
                                              .preset         = "fast",
                                              .dense_from     = INT64_C(1) << 50,
                                              .fallback       = 1,
                                              .measure_recall = 1};
    r.generate         = (fil_generate_options){.struct_size        = sizeof r.generate,
                                                .prompt             = odd,
                                                .negative           = "",
                                                .width              = 16,
                                                .height             = 32,
                                                .frames             = 5,
                                                .steps              = 3,
                                                .shift              = 0.1,
                                                .guidance           = 7.25,
                                                .preset             = FIL_PRESET_DIFFUSERS,
                                                .sampler            = "euler",
                                                .grid               = "wan-dpm",
                                                .timesteps          = times,
                                                .n_timesteps        = 3,
                                                .seed               = UINT64_MAX,
                                                .noise              = "n",
                                                .precision          = FIL_F32,
                                                .mask               = "k",
                                                .policy             = &r.policy,
                                                .video              = "v",
                                                .fps                = 24,
                                                .crf                = 20,
                                                .save_noise         = "sn",
                                                .save_latents       = "sl",
                                                .save_frames        = "sf",
                                                .replace            = 1,
                                                .capture            = "0:1",
                                                .capture_to         = "to",
                                                .checkpoint_steps   = 4,
                                                .checkpoint_seconds = 2.5};
    const char *text   = text_of_rig();
    fil_recipe *recipe = back();
    assert_true(fili_is_printable(text, strlen(text)));
    const fil_generate_options *g = fil_recipe_generate(recipe);
    assert_string_equal(g->prompt, r.generate.prompt);
    assert_true(g->seed == UINT64_MAX);
    assert_true(g->timesteps[2] == times[2] && g->n_timesteps == 3);
    assert_true(g->policy->tau == 1e-300);
    /* Written again, it is the same text: no field is lost on the way. */
    r.model    = *fil_recipe_model(recipe);
    r.generate = *g;
    assert_string_equal(text_of_rig(), text);
    fil_recipe_close(&recipe);
}

static void what_stands_beside_a_recipe_is_not_looked_at(void **state)
{
    fil_recipe *recipe;
    (void)state;
    write_text("{\"filigree\": \"9.9\", \"seconds\": -1.5, \"model\": {}, \"generate\": "
               "{\"prompt\": \"x\", \"shift\": 3}, \"result\": {\"density\": [1, 2]}}");
    assert_int_equal(fil_recipe_open(r.ctx, r.path, &recipe), FIL_OK);
    assert_int_equal(fil_recipe_is_saved(recipe), 0);
    assert_true(fil_recipe_generate(recipe)->shift == 3.0);
    assert_null(fil_recipe_generate(recipe)->policy);
    fil_recipe_close(&recipe);
}

static void the_transformer_is_told_beside_the_options(void **state)
{
    static const char hash[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    fil_recipe       *recipe;
    char              text[200];
    (void)state;
    snprintf(text, sizeof text, "{\"model\": {}, \"generate\": {}, \"dit\": \"%s\"}", hash);
    write_text(text);
    assert_int_equal(fil_recipe_open(r.ctx, r.path, &recipe), FIL_OK);
    assert_string_equal(fil_recipe_generate(recipe)->made_with, hash);
    fil_recipe_close(&recipe);
    for (int i = 0; i < 2; i++) {
        char *digit = strstr(text, hash) + 63 * i;
        *digit      = i == 0 ? 'A' : '"';
        refused(text, FIL_E_FORMAT, i == 0 ? "64 hexadecimal digits" : "");
        *digit = '0';
    }
    refused("{\"model\": {}, \"generate\": {}, \"dit\": 3}", FIL_E_FORMAT, "'dit'");
    refused("{\"model\": {}, \"generate\": {}, \"dit\": \"\"}", FIL_E_FORMAT, "'dit'");
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void what_is_no_recipe_is_refused(void **state)
{
    (void)state;
    refused("", FIL_E_FORMAT, "");
    refused("{}", FIL_E_FORMAT, "no object 'model'");
    refused("{\"model\": 3, \"generate\": {}}", FIL_E_FORMAT, "no object 'model'");
    refused("{\"model\": {}, \"generate\": {}, \"policy\": 1}", FIL_E_FORMAT, "no object 'policy'");
    refused("{\"model\": {}, \"generate\": {\"prompt\": 1}}", FIL_E_FORMAT, "expected a text");
    refused("{\"model\": {}, \"generate\": {\"steps\": 1.5}}", FIL_E_FORMAT, "a whole number");
    refused("{\"model\": {}, \"generate\": {\"steps\": 4294967296}}", FIL_E_FORMAT, "below 2^31");
    refused("{\"model\": {}, \"generate\": {\"shift\": \"5\"}}", FIL_E_FORMAT, "a number");
    refused("{\"model\": {}, \"generate\": {\"seed\": -1}}", FIL_E_FORMAT, "0 to 2^64 - 1");
    refused("{\"model\": {}, \"generate\": {\"seed\": \"18446744073709551616\"}}", FIL_E_FORMAT,
            "0 to 2^64 - 1");
    refused("{\"model\": {}, \"generate\": {\"seed\": \"1x\"}}", FIL_E_FORMAT, "0 to 2^64 - 1");
    refused("{\"model\": {}, \"generate\": {\"sigmas\": []}}", FIL_E_FORMAT, "1 to 1000 numbers");
    refused("{\"model\": {}, \"generate\": {\"sigmas\": [\"1\"]}}", FIL_E_FORMAT, "numbers");
    refused("{\"model\": {}, \"generate\": {\"precision\": \"f16\"}}", FIL_E_FORMAT, "bf16 or f32");
    refused("{\"model\": {}, \"generate\": {\"preset\": \"mine\"}}", FIL_E_FORMAT,
            "official or diffusers");
    refused("{\"model\": {}, \"generate\": {\"lora\": \"x\"}}", FIL_E_UNSUP,
            "'lora', which this version does not know");
    refused("not json", FIL_E_FORMAT, "");
}

static void a_text_that_is_not_utf8_has_no_recipe(void **state)
{
    const char *text;
    (void)state;
    r.generate.video = "a\xff.mp4";
    assert_int_equal(fili_recipe_text(r.ctx, &r.arena, &r.model, &r.generate, &text), FIL_E_ARG);
    assert_non_null(strstr(fil_ctx_error(r.ctx)->message, "'output'"));
}

static void only_what_makes_the_latents_must_agree(void **state)
{
    (void)state;
    const char *mine      = text_of_rig();
    r.generate.video      = "other.mp4";
    r.generate.fps        = 30;
    r.model.dir           = "elsewhere";
    const char *elsewhere = text_of_rig();
    assert_int_equal(fili_recipe_agree(r.ctx, mine, elsewhere), FIL_OK);
    r.generate.seed = 8;
    assert_int_equal(fili_recipe_agree(r.ctx, mine, text_of_rig()), FIL_E_MISMATCH);
    r.generate.seed   = 0;
    r.generate.policy = &r.policy;
    assert_int_equal(fili_recipe_agree(r.ctx, mine, text_of_rig()), FIL_E_MISMATCH);
    fili_ctx_enter(r.ctx);
    assert_int_equal(fili_recipe_agree(r.ctx, mine, "x"), FIL_E_FORMAT);
}

/* What a video tells of itself. */
static const char *settings_of_rig(void)
{
    static const fil_plan         plan   = {.sampler   = "unipc",
                                            .grid      = "wan-unipc",
                                            .steps     = 50,
                                            .shift     = 5.0,
                                            .guidance  = 6.5,
                                            .attention = "dense"};
    static const fil_video_result result = {
        .density = 0.25, .sparse_density = 0.125, .sample_seconds = 12345.0};
    const fili_recipe_run run = {
        .o = &r.generate, .dit = "0123abcd", .plan = &plan, .result = &result};
    const char *text;
    fili_ctx_enter(r.ctx);
    if (fili_recipe_settings(r.ctx, &r.arena, &run, &text) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r.ctx)->message);
    return text;
}

static void settings_tell_what_was_asked_for_and_what_came_of_it(void **state)
{
    (void)state;
    r.policy.name         = "west";
    r.policy.topology     = "/some/where/t.safetensors";
    r.generate.policy     = &r.policy;
    r.generate.noise      = "noise.safetensors";
    r.generate.seed       = 77;
    const char *text      = settings_of_rig();
    const char *wanted[8] = {"\"prompt\":\"A red fox.\"",
                             "\"seed\":77",
                             "\"noise\":\"noise.safetensors\"",
                             "\"topology\":\"t.safetensors\"",
                             "\"dit\":\"0123abcd\"",
                             "\"cfg\":6.5",
                             "\"density\":0.25",
                             ("\"filigree\":\"" FIL_VERSION_STRING)};
    for (int i = 0; i < 8; i++)
        if (strstr(text, wanted[i]) == NULL) fail_msg("no %s in %s", wanted[i], text);
    assert_true(fili_is_printable(text, strlen(text)));
}

static void settings_tell_nothing_of_folders_and_times(void **state)
{
    (void)state;
    r.policy.mask           = "/secret/place/mask";
    r.generate.policy       = &r.policy;
    const char *before      = settings_of_rig();
    r.model.dir             = "/secret/model";
    r.generate.video        = "/secret/a.mp4";
    r.generate.save_latents = "/secret/l";
    r.generate.capture_to   = "/secret/c";
    r.generate.checkpoint   = "/secret/r";
    r.policy.mask           = "mask";
    assert_string_equal(settings_of_rig(), before);
    assert_null(strstr(before, "secret"));
    assert_null(strstr(before, "12345"));
}

static void null_arguments_are_refused(void **state)
{
    fil_recipe *recipe;
    (void)state;
    assert_int_equal(fil_recipe_open(NULL, "x", &recipe), FIL_E_ARG);
    assert_int_equal(fil_recipe_open(r.ctx, NULL, &recipe), FIL_E_ARG);
    assert_int_equal(fil_recipe_open(r.ctx, "x", NULL), FIL_E_ARG);
    fil_recipe_close(NULL);
    recipe = NULL;
    fil_recipe_close(&recipe);
    assert_null(fil_recipe_model(NULL));
    assert_null(fil_recipe_generate(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_come_back_as_defaults),
        TEST(every_field_comes_back),
        TEST(what_stands_beside_a_recipe_is_not_looked_at),
        TEST(the_transformer_is_told_beside_the_options),
        TEST(what_is_no_recipe_is_refused),
        TEST(a_text_that_is_not_utf8_has_no_recipe),
        TEST(only_what_makes_the_latents_must_agree),
        TEST(settings_tell_what_was_asked_for_and_what_came_of_it),
        TEST(settings_tell_nothing_of_folders_and_times),
        TEST(null_arguments_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
