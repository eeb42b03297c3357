/* tests/unit/test_parity.c: whole runs, prompt in, latents and frames out, against the runs of two
 * other implementations (outside fixtures). Tolerances: those of the fixtures' README for six steps
 * with guidance, two bytes' difference of one level for frames.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/video_job.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"

static const char prompt[] =
    "A red circle moves across a snowy field. The camera pans slowly to the left.";

static scratch dir;
static char    latents_path[320], frames_path[320];

static int set_up(void **state)
{
    (void)state;
    scratch_make(&dir);
    snprintf(latents_path, sizeof latents_path, "%s/l.safetensors", dir.path);
    snprintf(frames_path, sizeof frames_path, "%s/f.safetensors", dir.path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

/* A run of the pipeline fixture's length and size. */
static fil_generate_options usual(void)
{
    fil_generate_options o;
    fil_generate_options_init(&o);
    o.prompt    = prompt;
    o.width     = 128;
    o.height    = 96;
    o.frames    = 17;
    o.steps     = 6;
    o.shift     = 5;
    o.precision = FIL_F32;
    o.replace   = 1;
    return o;
}

/* FIL_FIXTURES/name in memory of its own. */
static char *fixture(const char *name)
{
    const char *path = fixture_path(name);
    char       *copy = malloc(strlen(path) + 1);
    assert_non_null(copy);
    return strcpy(copy, path);
}

static fil_ctx *run(const char *model_name, fil_generate_options o, const char *noise)
{
    fil_ctx          *ctx = NULL;
    fil_model        *model;
    fil_model_options m;
    fil_options       opt;
    char             *model_path = fixture(model_name);
    char             *noise_path = fixture(noise);
    fil_options_init(&opt);
    opt.n_threads = 2;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    fil_model_options_init(&m);
    m.dir          = model_path;
    o.noise        = noise_path;
    o.save_latents = latents_path;
    if (fil_model_open(ctx, &m, &model) != FIL_OK || fil_generate(model, &o, NULL) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    fil_model_close(&model);
    free(model_path);
    free(noise_path);
    return ctx;
}

static void near_latents(fil_ctx *ctx, const char *file, const char *name)
{
    int64_t n;
    int64_t m;
    char   *path = fixture(file);
    float  *want = fixture_tensor(ctx, path, name, FIL_F32, &m);
    float  *got  = fixture_tensor(ctx, latents_path, "latents", FIL_F32, &n);
    assert_int_equal(n, m);
    double sum   = 0.0;
    double norm  = 0.0;
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)want[i]);
        sum += d * d;
        norm += (double)want[i] * (double)want[i];
        if (!(d <= worst)) worst = d;
    }
    const double rel = sqrt(sum / norm);
    print_message("%s %s: rel_l2 %.2g, max_abs %.2g\n", file, name, rel, worst);
    if (!(rel <= 2e-5)) fail_msg("rel_l2 %g", rel);
    if (!(worst <= 2e-4)) fail_msg("max_abs %g", worst);
    free(path);
    free(want);
    free(got);
}

static void near_bytes(const uint8_t *got, const uint8_t *want, int64_t n)
{
    int64_t differ = 0;
    for (int64_t i = 0; i < n; i++) {
        const int d = abs(got[i] - want[i]);
        differ += d != 0;
        if (d > 1) fail_msg("byte %lld is %d, expected %d", (long long)i, got[i], want[i]);
    }
    print_message("%lld of %lld bytes differ, by 1\n", (long long)differ, (long long)n);
    assert_true(differ < n / 500);
}

static void near_frames(fil_ctx *ctx, const char *file)
{
    int64_t  n;
    int64_t  m;
    char    *path = fixture(file);
    uint8_t *want = fixture_tensor(ctx, path, "frames.u8", FIL_U8, &m);
    uint8_t *got  = fixture_tensor(ctx, frames_path, "frames", FIL_U8, &n);
    assert_int_equal(n, m);
    near_bytes(got, want, n);
    free(path);
    free(want);
    free(got);
}

/* ---- diffusers ------------------------------------------------------------------------------ */

/* The negative prompt of both runs is the official one. */
static fil_generate_options like_diffusers(void)
{
    fil_generate_options official = usual();
    official.preset               = FIL_PRESET_DIFFUSERS;
    official.negative =
        "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，"
        "最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部"
        "，"
        "畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，"
        "倒着走";
    return official;
}

static void a_run_is_that_of_diffusers(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    fil_generate_options o = like_diffusers();
    o.save_frames          = frames_path;
    fil_ctx *ctx           = run("pipeline", o, "pipeline/run/run_diffusers.safetensors");
    near_latents(ctx, "pipeline/run/run_diffusers.safetensors", "latents.step5");
    near_frames(ctx, "pipeline/run/run_diffusers.safetensors");
    fil_ctx_close(&ctx);
}

static void a_run_from_the_original_layout_is_the_same(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    fil_ctx *ctx =
        run("pipeline/original", like_diffusers(), "pipeline/run/run_diffusers.safetensors");
    near_latents(ctx, "pipeline/run/run_diffusers.safetensors", "latents.step5");
    fil_ctx_close(&ctx);
}

static void a_run_without_guidance_is_that_of_diffusers(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    fil_generate_options o = like_diffusers();
    o.guidance             = 1;
    fil_ctx *ctx           = run("pipeline", o, "pipeline/run/run_diffusers.safetensors");
    near_latents(ctx, "pipeline/run/run_diffusers_guidance1.safetensors", "latents.final");
    fil_ctx_close(&ctx);
}

/* Seed 42 is where the fixture's noise comes from. */
static void the_noise_of_seed_42_leads_to_the_same_run(void **state)
{
    int64_t n;
    (void)state;
    if (fixture_path("") == NULL) skip();
    fil_ctx *ctx  = NULL;
    char    *path = fixture("pipeline/run/run_diffusers.safetensors");
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    float *want = fixture_tensor(ctx, path, "noise", FIL_F32, &n);
    float *got  = malloc((size_t)n * sizeof *got);
    assert_non_null(got);
    assert_int_equal(fili_torch_randn(ctx, 42, got, n), FIL_OK);
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= 2e-6f)) fail_msg("number %lld", (long long)i);
    free(path);
    free(want);
    free(got);
    fil_ctx_close(&ctx);
}

/* ---- the official code ---------------------------------------------------------------------- */

static void near_official_frame(fil_ctx *ctx)
{
    int64_t  n;
    int64_t  m;
    char    *path = fixture("pipeline/run/run_official.safetensors");
    float   *want = fixture_tensor(ctx, path, "frame16.f32", FIL_F32, &m);
    uint8_t *got  = fixture_tensor(ctx, frames_path, "frames", FIL_U8, &n);
    assert_int_equal(n, 17 * m);
    uint8_t      *cut   = malloc((size_t)m);
    const int64_t plane = m / 3;
    assert_non_null(cut);
    for (int64_t i = 0; i < m; i++)
        cut[i] = (uint8_t)((want[i % 3 * plane + i / 3] + 1.0f) / 2.0f * 255.0f);
    near_bytes(got + 16 * m, cut, m);
    free(cut);
    free(path);
    free(want);
    free(got);
}

static void a_run_is_that_of_the_official_code(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    fil_generate_options o = usual();
    o.save_frames          = frames_path;
    fil_ctx *ctx           = run("pipeline/original", o, "pipeline/run/run_diffusers.safetensors");
    near_latents(ctx, "pipeline/run/run_official.safetensors", "latents.final");
    near_official_frame(ctx);
    fil_ctx_close(&ctx);
}

static void a_run_of_dpmpp_is_that_of_the_official_code(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    fil_generate_options o = usual();
    o.sampler              = "dpmpp";
    fil_ctx *ctx           = run("pipeline/original", o, "pipeline/run/run_diffusers.safetensors");
    near_latents(ctx, "pipeline/run/run_official.safetensors", "latents.final.dpm++");
    fil_ctx_close(&ctx);
}

static void a_run_without_guidance_is_that_of_the_official_code(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    fil_generate_options o = usual();
    o.guidance             = 1;
    fil_ctx *ctx           = run("pipeline/original", o, "pipeline/run/run_diffusers.safetensors");
    near_latents(ctx, "pipeline/run/run_official.safetensors", "latents.final.guidance1");
    fil_ctx_close(&ctx);
}

/* ---- the trained model ---------------------------------------------------------------------- */

static void a_run_of_the_trained_model_is_that_of_diffusers(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    fil_generate_options o = usual();
    o.preset               = FIL_PRESET_DIFFUSERS;
    o.prompt               = "A red circle moves to the left over a black background.";
    o.negative             = "";
    o.height               = 128;
    o.steps                = 20;
    o.guidance             = 3;
    o.save_frames          = frames_path;
    fil_ctx *ctx           = run("shapes", o, "shapes/run.safetensors");
    near_latents(ctx, "shapes/run.safetensors", "latents.final");
    near_frames(ctx, "shapes/run.safetensors");
    fil_ctx_close(&ctx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_is_that_of_diffusers),
        TEST(a_run_from_the_original_layout_is_the_same),
        TEST(a_run_without_guidance_is_that_of_diffusers),
        TEST(the_noise_of_seed_42_leads_to_the_same_run),
        TEST(a_run_is_that_of_the_official_code),
        TEST(a_run_of_dpmpp_is_that_of_the_official_code),
        TEST(a_run_without_guidance_is_that_of_the_official_code),
        TEST(a_run_of_the_trained_model_is_that_of_diffusers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
