/* tests/unit/test_resume.c: a run that is stopped goes on with the same bits (engine/checkpoint.h):
 * with every policy, from every step, from within a step and from decoding; and what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/video_job.h"
#include "filigree/calibrate.h"
#include "sparse/mask_file.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/sanitized.h"
#include "support/scratch_dir.h"

/* 2 x 8 x 12 tokens, in four blocks. */
enum { W = 192, H = 128, FRAMES = 5, STEPS = 12, F = 2, LATENT_H = 16, LATENT_W = 24 };

/* ---- when a run is told to stop ------------------------------------------------------------- */

typedef struct stopper {
    const char *phase;
    uint64_t    at;    /* units of the phase that are done; UINT64_MAX: never */
    int         after; /* so many questions later: within a step */
    int         asked, reached;
    int64_t     begun; /* the least number of the phase that was told of; -1: none */
} stopper;

static void on_progress(void *user, const fil_progress *p)
{
    stopper *s = user;
    if (strcmp(p->phase, s->phase) != 0) return;
    if (s->begun < 0) s->begun = (int64_t)p->done;
    if (p->done >= s->at) s->reached = 1;
}

static int on_cancel(void *user)
{
    stopper *s = user;
    return s->reached && s->asked++ >= s->after;
}

static void stop_at(stopper *s, const char *phase, uint64_t at, int after)
{
    *s = (stopper){.phase = phase, .at = at, .after = after, .begun = -1};
}

/* ---- runs ----------------------------------------------------------------------------------- */

typedef struct rig {
    stopper              stop;
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
    fil_policy_options   policy;
    fil_video_result     result;
    char                 latents[300], saved[300];
} rig;

static void open_rig(rig *r)
{
    fil_options opt;
    memset(r, 0, sizeof *r);
    stop_at(&r->stop, "none", UINT64_MAX, 0);
    fil_options_init(&opt);
    opt.n_threads = 1;
    opt.progress  = on_progress;
    opt.cancel    = on_cancel;
    opt.user      = &r->stop;
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    r->model = demo_open(r->ctx, NULL);
    snprintf(r->latents, sizeof r->latents, "%s/l.safetensors", dir.path);
    snprintf(r->saved, sizeof r->saved, "%s/run.safetensors", dir.path);
    fil_policy_options_init(&r->policy);
    r->policy.name = "dense";
    fil_generate_options_init(&r->o);
    r->o.prompt       = "A red fox.";
    r->o.negative     = "fog";
    r->o.width        = W;
    r->o.height       = H;
    r->o.frames       = FRAMES;
    r->o.steps        = STEPS;
    r->o.save_latents = r->latents;
    r->o.policy       = &r->policy;
    r->o.checkpoint   = r->saved;
}

static void close_rig(rig *r)
{
    fil_model_close(&r->model);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
}

static void expect(const rig *r, fil_status expected, fil_status found)
{
    if (found != expected)
        fail_msg("%s: %s, expected %s: %s", r->policy.name, fil_status_name(found),
                 fil_status_name(expected), fil_ctx_error(r->ctx)->message);
}

static int is_there(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f != NULL) fclose(f);
    return f != NULL;
}

/* A whole run without a stop: its latents, to be freed. */
static float *undisturbed(rig *r, int64_t *n)
{
    expect(r, FIL_OK, fil_generate(r->model, &r->o, &r->result));
    assert_false(is_there(r->saved));
    float *x = fixture_tensor(r->ctx, r->latents, "latents", FIL_F32, n);
    assert_int_equal(remove(r->latents), 0);
    return x;
}

static void compare(rig *r, const float *x, int64_t n, const char *what)
{
    int64_t m;
    float  *y = fixture_tensor(r->ctx, r->latents, "latents", FIL_F32, &m);
    assert_int_equal(m, n);
    if (memcmp(x, y, (size_t)n * sizeof *x) != 0)
        fail_msg("%s: other latents %s", r->policy.name, what);
    free(y);
    assert_int_equal(remove(r->latents), 0);
}

/* One run in as many pieces as it has steps: each ends within a step, which the next does again. */
static void in_pieces(rig *r)
{
    r->o.resume = NULL;
    for (int step = 0; step < r->o.steps; step++) {
        stop_at(&r->stop, "sample", (uint64_t)step, 1 + 2 * (step % 3));
        expect(r, FIL_E_CANCELLED, fil_generate(r->model, &r->o, &r->result));
        assert_int_equal(r->result.saved_step, step);
        assert_int_equal(r->result.resumed_step, step > 0 ? step - 1 : 0);
        assert_int_equal(r->result.save_failures, 0);
        assert_true(is_there(r->saved));
        r->o.resume = r->saved;
    }
    stop_at(&r->stop, "none", UINT64_MAX, 0);
    expect(r, FIL_OK, fil_generate(r->model, &r->o, &r->result));
    assert_int_equal(r->result.resumed_step, r->o.steps - 1);
    assert_false(is_there(r->saved));
}

/* ---- policies ------------------------------------------------------------------------------- */

/* A mask of each layer's own: half of the blocks, the diagonal always. */
static void write_masks(rig *r, const char *path)
{
    const fili_mask_key keys[] = {{0, -1, -1}, {1, 3, 0}, {1, -1, -1}};
    fili_order_spec     spec;
    fili_order          order;
    fili_blocks         blocks;
    fili_mask           mask;
    fili_mask_writer    w;
    assert_int_equal(fili_order_parse(r->ctx, "raster", &spec), FIL_OK);
    assert_int_equal(
        fili_order_init(&order, r->ctx, (fili_grid){F, LATENT_H / 2, LATENT_W / 2}, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&blocks, &order), FIL_OK);
    const fili_mask_desc desc = {
        .order = &order, .q = &blocks, .k = &blocks, .map = keys, .n_masks = 3, .heads = 1};
    assert_int_equal(fili_mask_writer_open(&w, r->ctx, path, &desc, 1), FIL_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fili_mask_init(&mask, r->ctx, 1, blocks.m, blocks.m), FIL_OK);
        for (int32_t q = 0; q < blocks.m; q++)
            for (int32_t k = 0; k < blocks.m; k++)
                if (q == k || (q + k + i) % 2 == 0)
                    assert_int_equal(fili_mask_set(&mask, 0, q, k, true), FIL_OK);
        assert_int_equal(fili_mask_writer_put(&w, &mask), FIL_OK);
        fili_mask_fini(&mask);
    }
    assert_int_equal(fili_mask_writer_finish(&w), FIL_OK);
    fili_blocks_fini(&blocks);
    fili_order_fini(&order);
}

/* Of the run itself, without what it writes. */
static void write_topology(rig *r, const char *path)
{
    fil_generate_options  run = r->o;
    fil_calibrate_options c;
    char                  prompts[300];
    snprintf(prompts, sizeof prompts, "%s/prompts.txt", dir.path);
    FILE *f = fopen(prompts, "wb");
    assert_non_null(f);
    assert_true(fputs("A red fox.\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    run.prompt       = NULL;
    run.save_latents = NULL;
    run.checkpoint   = NULL;
    run.policy       = NULL;
    fil_calibrate_options_init(&c);
    c.run         = &run;
    c.prompt_file = prompts;
    c.output      = path;
    expect(r, FIL_OK, fil_calibrate(r->model, &c, NULL));
}

static void choose_policy(rig *r, const char *name, char path[300])
{
    snprintf(path, 300, "%s/%s.safetensors", dir.path, name);
    r->policy.name         = name;
    r->policy.dense_steps  = 1;
    r->policy.dense_layers = "";
    r->policy.dense_from   = 1000000; /* the clock has no say */
    if (strcmp(name, "mask") == 0) {
        write_masks(r, path);
        r->policy.mask = path;
        return;
    }
    if (strcmp(name, "west") == 0) {
        write_topology(r, path);
        r->policy.topology = path;
    }
    r->policy.block   = 64;
    r->policy.density = strcmp(name, "dense") == 0 ? 1.0 : 0.6;
}

/* Stopping within every one of 12 steps, for every policy. */
static void a_run_in_pieces_gives_the_bits_of_one_run(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int32_t i = 0; i < fil_policies(); i++) {
        fil_policy_info info;
        rig             r;
        int64_t         n;
        char            path[300];
        fil_policy_get(i, &info);
        if (SANITIZED && i % 3 != 0) continue;
        open_rig(&r);
        choose_policy(&r, info.name, path);
        float       *x     = undisturbed(&r, &n);
        const double whole = r.result.density;
        in_pieces(&r);
        print_message("%s: density %.4f in one run, %.4f in pieces\n", info.name, whole,
                      r.result.density);
        assert_true(r.result.density == whole);
        compare(&r, x, n, "in pieces");
        free(x);
        close_rig(&r);
    }
}

/* Each solver remembers something else. */
static void every_sampler_goes_on(void **state)
{
    static const char *const samplers[] = {"unipc", "dpmpp", "euler", "dmd"};
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int i = 0; i < 4; i++) {
        rig     r;
        int64_t n;
        open_rig(&r);
        r.o.sampler = samplers[i];
        r.o.steps   = strcmp(samplers[i], "dmd") == 0 ? 3 : 5;
        r.o.width = r.o.height = 64;
        float *x               = undisturbed(&r, &n);
        in_pieces(&r);
        compare(&r, x, n, samplers[i]);
        free(x);
        close_rig(&r);
    }
}

static void open_small(rig *r)
{
    open_rig(r);
    r->o.width = r->o.height = 64;
    r->o.steps               = 4;
}

static void saves_come_by_steps_or_by_the_clock(void **state)
{
    rig     r;
    int64_t n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    r.o.checkpoint_steps = 1;
    free(undisturbed(&r, &n));
    assert_int_equal(r.result.saves, 4); /* before steps 1, 2, 3, and the end */
    assert_int_equal(r.result.saved_step, 4);
    r.o.checkpoint_steps = 3;
    free(undisturbed(&r, &n));
    assert_int_equal(r.result.saves, 2);
    r.o.checkpoint_steps   = FIL_AUTO;
    r.o.checkpoint_seconds = 0.0;
    free(undisturbed(&r, &n));
    assert_int_equal(r.result.saves, 4);
    r.o.checkpoint_seconds = 1e6;
    free(undisturbed(&r, &n));
    assert_int_equal(r.result.saves, 1);
    r.o.checkpoint = NULL;
    free(undisturbed(&r, &n));
    assert_int_equal(r.result.saves, 0);
    assert_int_equal(r.result.saved_step, -1);
    close_rig(&r);
}

static int count_frames(void *user, int32_t index, const uint8_t *rgb, int32_t width,
                        int32_t height)
{
    (void)rgb;
    (void)width;
    (void)height;
    *(int32_t *)user = index + 1;
    return 0;
}

/* With rates that are given nothing is measured. */
static double seconds_of(rig *r, const fil_plan **plan)
{
    static fil_plan found;
    fili_rates      rates = {.each = {1e-9, 2e-9, 4e-9}};
    fili_job       *job   = NULL;
    fili_ctx_enter(r->ctx);
    fil_status status = fili_job_open(r->model, &r->o, NULL, &job);
    if (status == FIL_OK) status = fili_job_estimate(job, &rates);
    expect(r, FIL_OK, status);
    found = job->plan;
    *plan = &found;
    fili_job_close(&job);
    return found.estimate_seconds;
}

static void expect_seconds(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12 * expected))
        fail_msg("%.17g seconds, expected %.17g", found, expected);
}

static void the_estimate_is_of_what_is_left(void **state)
{
    rig             r;
    int32_t         frames = 0;
    const fil_plan *p;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    r.o.frame      = count_frames;
    r.o.frame_user = &frames;
    double seconds = seconds_of(&r, &p);
    assert_true(p->text_flops > 0.0 && p->vae_flops > 0.0);
    expect_seconds(seconds, 1e-9 * (p->linear_flops + p->text_flops) + 2e-9 * p->attention_flops +
                                4e-9 * p->vae_flops);
    stop_at(&r.stop, "sample", 3, 1);
    expect(&r, FIL_E_CANCELLED, fil_generate(r.model, &r.o, &r.result));
    assert_int_equal(r.result.saved_step, 3);
    r.o.resume = r.saved;
    stop_at(&r.stop, "none", UINT64_MAX, 0);
    seconds = seconds_of(&r, &p);
    expect_seconds(seconds, 0.25 * (1e-9 * p->linear_flops + 2e-9 * p->attention_flops) +
                                4e-9 * p->vae_flops);
    stop_at(&r.stop, "decode", 0, 1);
    expect(&r, FIL_E_CANCELLED, fil_generate(r.model, &r.o, &r.result));
    stop_at(&r.stop, "none", UINT64_MAX, 0);
    seconds = seconds_of(&r, &p);
    expect_seconds(seconds, 4e-9 * p->vae_flops);
    close_rig(&r);
}

/* The steps are not done again, and the latents that were written are no obstacle. */
static void decoding_goes_on_from_the_latents(void **state)
{
    rig     r;
    int64_t n;
    int32_t frames = 0;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    r.o.frame      = count_frames;
    r.o.frame_user = &frames;
    float *x       = undisturbed(&r, &n);
    assert_int_equal(frames, FRAMES);
    stop_at(&r.stop, "decode", 0, 2);
    expect(&r, FIL_E_CANCELLED, fil_generate(r.model, &r.o, &r.result));
    assert_int_equal(r.result.saved_step, 4);
    assert_true(is_there(r.saved) && is_there(r.latents));
    frames     = 0;
    r.o.resume = r.saved;
    stop_at(&r.stop, "none", UINT64_MAX, 0);
    expect(&r, FIL_OK, fil_generate(r.model, &r.o, &r.result));
    assert_int_equal(r.result.resumed_step, 4);
    assert_int_equal(frames, FRAMES);
    compare(&r, x, n, "after decoding was stopped");
    free(x);
    close_rig(&r);
}

/* Of a file: to be freed. */
static unsigned char *bytes_of(const char *name, size_t *n)
{
    return scratch_read(&dir, name, n);
}

/* Frames that were decoded when a run was stopped are not decoded again, and all come out as they
 * would have: whichever latent frame was at work, and whatever became of the frame log. */
static void frames_that_were_decoded_are_kept(void **state)
{
    enum { LATENTS = 6 };
    rig    r;
    size_t n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    char frames[300];
    char kept[310];
    snprintf(frames, sizeof frames, "%s/f.safetensors", dir.path);
    snprintf(kept, sizeof kept, "%s.frames", r.saved);
    r.o.frames      = 4 * (LATENTS - 1) + 1;
    r.o.save_frames = frames;
    expect(&r, FIL_OK, fil_generate(r.model, &r.o, &r.result));
    assert_false(is_there(kept));
    unsigned char *want = bytes_of("f.safetensors", &n);
    for (uint64_t at = 0; at < 2 * LATENTS; at++) {
        const bool whole = at < LATENTS; /* else the log of the frames is cut within one of them */
        size_t     m;
        r.o.resume  = NULL;
        r.o.replace = 1;
        stop_at(&r.stop, "decode", at % LATENTS, 3);
        expect(&r, FIL_E_CANCELLED, fil_generate(r.model, &r.o, &r.result));
        assert_true(is_there(kept));
        unsigned char *log = bytes_of("run.safetensors.frames", &m);
        if (!whole) scratch_write(&dir, "run.safetensors.frames", log, m / 2);
        free(log);
        r.o.resume = r.saved;
        stop_at(&r.stop, "decode", UINT64_MAX, 0);
        expect(&r, FIL_OK, fil_generate(r.model, &r.o, &r.result));
        if (whole) assert_int_equal(r.stop.begun, at);
        if (!whole) assert_true(r.stop.begun <= (int64_t)(at % LATENTS));
        unsigned char *got = bytes_of("f.safetensors", &m);
        assert_int_equal(m, n);
        assert_memory_equal(got, want, n);
        free(got);
        assert_false(is_there(kept) || is_there(r.saved));
    }
    free(want);
    assert_int_equal(remove(frames) | remove(r.latents), 0);
    close_rig(&r);
}

/* The same in two tiles of three latent frames, whichever was at work. */
static void tiles_that_were_decoded_are_kept(void **state)
{
    enum { LATENTS = 3, UNITS = 2 * LATENTS };
    rig    r;
    size_t n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    char frames[300];
    char kept[310];
    snprintf(frames, sizeof frames, "%s/f.safetensors", dir.path);
    snprintf(kept, sizeof kept, "%s.frames", r.saved);
    r.o.width       = 272;
    r.o.frames      = 4 * (LATENTS - 1) + 1;
    r.o.vae_tiles   = 1;
    r.o.save_frames = frames;
    expect(&r, FIL_OK, fil_generate(r.model, &r.o, &r.result));
    assert_false(is_there(kept));
    unsigned char *want = bytes_of("f.safetensors", &n);
    for (uint64_t at = 0; at <= UNITS; at++) {
        size_t m;
        r.o.resume  = NULL;
        r.o.replace = 1;
        stop_at(&r.stop, "decode", at, 0);
        expect(&r, FIL_E_CANCELLED, fil_generate(r.model, &r.o, &r.result));
        assert_true(is_there(kept));
        assert_int_equal(r.result.kept_tiles, (at + LATENTS - 1) / LATENTS);
        assert_int_equal(r.result.kept_frames, 0);
        r.o.resume = r.saved;
        stop_at(&r.stop, "decode", UINT64_MAX, 0);
        expect(&r, FIL_OK, fil_generate(r.model, &r.o, &r.result));
        assert_int_equal(r.stop.begun, at);
        assert_int_equal(r.result.kept_tiles, 0);
        unsigned char *got = bytes_of("f.safetensors", &m);
        assert_int_equal(m, n);
        assert_memory_equal(got, want, n);
        free(got);
        assert_false(is_there(kept) || is_there(r.saved));
    }
    free(want);
    assert_int_equal(remove(frames) | remove(r.latents), 0);
    close_rig(&r);
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void stop_at_step(rig *r, uint64_t step)
{
    stop_at(&r->stop, "sample", step, 0);
    expect(r, FIL_E_CANCELLED, fil_generate(r->model, &r->o, &r->result));
    stop_at(&r->stop, "none", UINT64_MAX, 0);
    r->o.resume = r->saved;
}

static void refused(rig *r, fil_status status, const char *says)
{
    expect(r, status, fil_generate(r->model, &r->o, NULL));
    if (strstr(fil_ctx_error(r->ctx)->message, says) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(r->ctx)->message, says);
    assert_true(is_there(r->saved));
}

static void another_run_does_not_go_on_from_it(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    stop_at_step(&r, 2);
    r.o.steps = 5;
    refused(&r, FIL_E_MISMATCH, "steps was 4, is 5");
    r.o.steps  = 4;
    r.o.prompt = "A blue fox.";
    refused(&r, FIL_E_MISMATCH, "prompt was \"A red fox.\", is \"A blue fox.\"");
    r.o.prompt          = "A red fox.";
    r.policy.min_tokens = 5;
    refused(&r, FIL_E_MISMATCH, "min_tokens was -1, is 5");
    r.policy.min_tokens = FIL_AUTO;
    r.o.fps             = 24; /* another output is no other run */
    expect(&r, FIL_OK, fil_generate(r.model, &r.o, NULL));
    close_rig(&r);
}

static void a_saved_run_is_not_written_over_unasked(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    stop_at_step(&r, 2);
    r.o.resume = NULL;
    refused(&r, FIL_E_IO, "exists already");
    r.o.replace = 1;
    expect(&r, FIL_OK, fil_generate(r.model, &r.o, NULL));
    assert_false(is_there(r.saved));
    close_rig(&r);
}

static long size_of(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    const long size = ftell(f);
    assert_int_equal(fclose(f), 0);
    return size;
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    const int c = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_not_equal(fputc(c ^ 0x10, f), EOF);
    assert_int_equal(fclose(f), 0);
}

/* A bit in any part of the data. */
static void a_damaged_file_is_refused(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    stop_at_step(&r, 2);
    const long size = size_of(r.saved);
    for (int i = 1; i <= 8; i++) {
        const long at = size - 1 - (size - 4096) / 8 * (i - 1);
        flip(r.saved, at);
        refused(&r, FIL_E_FORMAT, "it is damaged");
        flip(r.saved, at);
    }
    expect(&r, FIL_OK, fil_generate(r.model, &r.o, NULL));
    close_rig(&r);
}

static void what_is_no_saved_run_is_refused(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    const int64_t shape[] = {16, 2, 8, 8};
    static float  zero[16 * 2 * 8 * 8];
    assert_int_equal(fili_latents_write(r.ctx, r.saved, "latents", shape, zero, 0), FIL_OK);
    r.o.resume = r.saved;
    refused(&r, FIL_E_MISMATCH, "no saved run");
    assert_int_equal(remove(r.saved), 0);
    expect(&r, FIL_E_IO, fil_generate(r.model, &r.o, NULL));
    r.o.resume           = NULL;
    r.o.checkpoint_steps = 0;
    expect(&r, FIL_E_ARG, fil_generate(r.model, &r.o, NULL));
    r.o.checkpoint_steps   = FIL_AUTO;
    r.o.checkpoint_seconds = -2.0;
    expect(&r, FIL_E_ARG, fil_generate(r.model, &r.o, NULL));
    r.o.checkpoint_seconds = FIL_AUTO;
    r.o.checkpoint         = r.latents;
    expect(&r, FIL_E_ARG, fil_generate(r.model, &r.o, NULL));
    close_rig(&r);
}

/* The file alone says all. */
static void a_saved_run_carries_its_recipe(void **state)
{
    rig         r;
    fil_recipe *recipe = NULL;
    int64_t     n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_small(&r);
    r.o.noise = NULL;
    r.o.seed  = 7;
    float *x  = undisturbed(&r, &n);
    stop_at_step(&r, 3);
    fil_model_close(&r.model);
    assert_int_equal(fil_recipe_open(r.ctx, r.saved, &recipe), FIL_OK);
    assert_int_equal(fil_recipe_is_saved(recipe), 1);
    assert_int_equal(fil_model_open(r.ctx, fil_recipe_model(recipe), &r.model), FIL_OK);
    fil_generate_options o = *fil_recipe_generate(recipe);
    assert_int_equal(o.seed, 7);
    o.resume = o.checkpoint = r.saved;
    expect(&r, FIL_OK, fil_generate(r.model, &o, &r.result));
    compare(&r, x, n, "from the recipe");
    free(x);
    fil_recipe_close(&recipe);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_in_pieces_gives_the_bits_of_one_run),
        TEST(every_sampler_goes_on),
        TEST(saves_come_by_steps_or_by_the_clock),
        TEST(decoding_goes_on_from_the_latents),
        TEST(frames_that_were_decoded_are_kept),
        TEST(tiles_that_were_decoded_are_kept),
        TEST(another_run_does_not_go_on_from_it),
        TEST(a_saved_run_is_not_written_over_unasked),
        TEST(a_damaged_file_is_refused),
        TEST(what_is_no_saved_run_is_refused),
        TEST(a_saved_run_carries_its_recipe),
        TEST(the_estimate_is_of_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
