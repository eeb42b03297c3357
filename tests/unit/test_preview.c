/* tests/unit/test_preview.c: pictures of a run on its way (engine/preview.h): when they come, what
 * they show, that the video does not change by them, and that their failures are not the run's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/preview_fit.h"
#include "engine/video_job.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/sanitized.h"
#include "support/scratch_dir.h"

/* 9 latent frames of 16 x 24, under a sanitizer 8 x 12: eight are shown, in two rows of four. */
enum { SHARE = SANITIZED ? 2 : 1, W = 192 / SHARE, H = 128 / SHARE, FRAMES = 33, STEPS = 5 };
enum { H_PLACES = H / 8, W_PLACES = W / 8 };
enum { SHEET_W = 2 * W_PLACES * 4, SHEET_H = 2 * H_PLACES * 2 };

typedef struct seen {
    int      n, steps[16], warnings, events;
    uint8_t  last[SHEET_H * SHEET_W * 3];
    char     event[320], warning[320];
    char     to_make[320]; /* a folder, after the first step */
    uint64_t cancel_at;    /* steps; 0: never */
    int      is_cancelled;
} seen;

static void on_preview(void *user, const fil_preview *p)
{
    seen *s = user;
    assert_int_equal(p->width, SHEET_W);
    assert_int_equal(p->height, SHEET_H);
    assert_int_equal(p->columns, 4);
    assert_int_equal(p->rows, 2);
    assert_int_equal(p->n_steps, STEPS);
    assert_true(s->n < 16);
    s->steps[s->n++] = p->step;
    memcpy(s->last, p->rgb, sizeof s->last);
}

static void on_event(void *user, const fil_event *e)
{
    seen *s = user;
    if (e->kind != FIL_EVENT_PREVIEW) return;
    s->events++;
    snprintf(s->event, sizeof s->event, "%s", e->path);
}

static void on_log(void *user, fil_log_level level, const char *text)
{
    seen *s = user;
    if (level != FIL_LOG_WARNING) return;
    s->warnings++;
    snprintf(s->warning, sizeof s->warning, "%s", text);
}

static void on_progress(void *user, const fil_progress *p)
{
    seen *s = user;
    if (strcmp(p->phase, "sample") == 0 && p->done == s->cancel_at && s->cancel_at > 0)
        s->is_cancelled = 1;
    if (s->to_make[0] != '\0' && strcmp(p->phase, "sample") == 0 && p->done == 1 && p->part == 0)
        assert_int_equal(mkdir(s->to_make, 0700), 0);
}

static int on_cancel(void *user)
{
    return ((const seen *)user)->is_cancelled;
}

typedef struct rig {
    seen                 seen;
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
    fil_video_result     result;
    char                 latents[300], frames[300], preview[300];
} rig;

static void open_rig(rig *r, int with_callback)
{
    fil_options opt;
    memset(r, 0, sizeof *r);
    fil_options_init(&opt);
    opt.n_threads = 1;
    opt.log       = on_log;
    opt.progress  = on_progress;
    opt.cancel    = on_cancel;
    if (with_callback) opt.preview = on_preview;
    opt.user = &r->seen;
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    r->model = demo_open(r->ctx, NULL);
    snprintf(r->latents, sizeof r->latents, "%s/l.safetensors", dir.path);
    snprintf(r->frames, sizeof r->frames, "%s/f.safetensors", dir.path);
    snprintf(r->preview, sizeof r->preview, "%s/p.png", dir.path);
    fil_generate_options_init(&r->o);
    r->o.prompt        = "A red fox.";
    r->o.negative      = "fog";
    r->o.width         = W;
    r->o.height        = H;
    r->o.frames        = FRAMES;
    r->o.steps         = STEPS;
    r->o.save_latents  = r->latents;
    r->o.save_frames   = r->frames;
    r->o.preview       = r->preview;
    r->o.preview_steps = 2;
    r->o.event         = on_event;
    r->o.event_user    = &r->seen;
    r->o.replace       = 1;
}

static void close_rig(rig *r)
{
    fil_model_close(&r->model);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
}

static void run(rig *r)
{
    if (fil_generate(r->model, &r->o, &r->result) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
}

/* ---- the map -------------------------------------------------------------------------------- */

static void least_squares_finds_a_linear_map(void **state)
{
    static fili_preview_fit fit;
    float                   z[3 * 40];
    float                   rgb[3 * 40];
    (void)state;
    fili_fit_begin(&fit, 3);
    float out[3];
    fili_fit_apply(&fit, z, 40, out);
    assert_true(out[0] == -1.0f); /* black before anything is known */
    assert_int_equal(fili_fit_solve(&fit), 0);
    for (int i = 0; i < 40; i++) {
        z[i]        = (float)sin(i * 0.7);
        z[40 + i]   = (float)cos(i * 1.9);
        z[80 + i]   = (float)sin(i * 2.3 + 1.0);
        rgb[i]      = 0.1f + 0.5f * z[i] - 0.25f * z[40 + i];
        rgb[40 + i] = -0.2f + 0.125f * z[80 + i];
        rgb[80 + i] = 0.3f;
    }
    for (int i = 0; i < 40; i++)
        fili_fit_add(&fit, z + i, 40, rgb + i, 40);
    assert_int_equal(fili_fit_solve(&fit), 1);
    for (int i = 0; i < 40; i++) {
        fili_fit_apply(&fit, z + i, 40, out);
        for (int k = 0; k < 3; k++)
            assert_true(fabsf(out[k] - rgb[40 * k + i]) <= 2e-3f); /* the ridge's share */
    }
}

static void what_is_not_finite_is_no_sample(void **state)
{
    static fili_preview_fit fit;
    const float             good[] = {0.5f, -0.5f};
    const float             bad[]  = {0.5f, (float)NAN};
    const float             rgb[]  = {0.1f, 0.2f, 0.3f};
    float                   out[3];
    (void)state;
    fili_fit_begin(&fit, 2);
    fili_fit_add(&fit, bad, 1, rgb, 1);
    assert_int_equal(fili_fit_solve(&fit), 0);
    fili_fit_add(&fit, good, 1, rgb, 1);
    assert_int_equal(fili_fit_solve(&fit), 1);
    fili_fit_apply(&fit, good, 1, out);
    for (int k = 0; k < 3; k++)
        assert_true(fabsf(out[k] - rgb[k]) <= 1e-3f);
}

/* ---- when and what -------------------------------------------------------------------------- */

static void a_picture_comes_every_so_many_steps_and_at_the_end(void **state)
{
    rig          r;
    fili_picture p;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    run(&r);
    assert_int_equal(r.seen.n, 3);
    assert_int_equal(r.seen.steps[0], 2);
    assert_int_equal(r.seen.steps[1], 4);
    assert_int_equal(r.seen.steps[2], 5);
    assert_int_equal(r.seen.events, 3);
    assert_string_equal(r.seen.event, r.preview);
    assert_int_equal(fili_png_read(r.ctx, r.preview, &p), FIL_OK);
    assert_int_equal(p.width, SHEET_W);
    assert_int_equal(p.height, SHEET_H);
    assert_memory_equal(p.rgb, r.seen.last, sizeof r.seen.last);
    fili_picture_free(r.ctx, &p);
    assert_int_equal(r.seen.warnings, 0);
    close_rig(&r);
}

/* Pearson's, of a frame's places (means of 8 x 8 pixels) against those of the sheet. */
static double correlation(const uint8_t *frame, int frames, const uint8_t *sheet, int cell)
{
    double    a1 = 0.0;
    double    b1 = 0.0;
    double    aa = 0.0;
    double    bb = 0.0;
    double    ab = 0.0;
    const int n  = H_PLACES * W_PLACES * 3;
    for (int i = 0; i < n; i++) {
        const int y = i / 3 / W_PLACES;
        const int x = i / 3 % W_PLACES;
        double    a = 0.0;
        for (int k = 0; k < 64 * frames; k++) {
            const int row = k / 64 * H + y * 8 + k / 8 % 8;
            const int at  = (row * W + x * 8 + k % 8) * 3 + i % 3;
            a += frame[at] / 64.0;
        }
        const int    row = cell / 4 * 2 * H_PLACES + 2 * y;
        const int    col = cell % 4 * 2 * W_PLACES + 2 * x;
        const double b   = sheet[(row * SHEET_W + col) * 3 + i % 3];
        a1 += a;
        b1 += b;
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    return (ab - a1 * b1 / n) / sqrt((aa - a1 * a1 / n) * (bb - b1 * b1 / n));
}

/* Of the finished latents: the first frame, and the mean of the four of a later latent frame. */
static void the_last_picture_looks_like_the_video(void **state)
{
    rig     r;
    int64_t n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    if (SANITIZED) skip(); /* quality, and of too few places */
    open_rig(&r, 1);
    run(&r);
    uint8_t *f = fixture_tensor(r.ctx, r.frames, "frames", FIL_U8, &n);
    for (int cell = 0; cell < 8; cell += 7) {
        const int    n_frames = cell == 0 ? 1 : 4;
        const int    frame    = cell == 0 ? 0 : FRAMES - 4;
        const double c = correlation(f + (size_t)frame * H * W * 3, n_frames, r.seen.last, cell);
        print_message("frame %d: correlation %.3f\n", frame, c);
        assert_true(c >= 0.4);
    }
    free(f);
    close_rig(&r);
}

static void the_video_is_the_same_without(void **state)
{
    rig     r;
    int64_t n;
    int64_t m;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    r.o.preview_steps = 1;
    run(&r);
    uint8_t *with     = fixture_tensor(r.ctx, r.frames, "frames", FIL_U8, &n);
    r.o.preview_steps = 0;
    r.o.preview       = NULL;
    run(&r);
    uint8_t *without = fixture_tensor(r.ctx, r.frames, "frames", FIL_U8, &m);
    assert_int_equal(n, m);
    assert_memory_equal(with, without, (size_t)n);
    free(with);
    free(without);
    close_rig(&r);
}

static void a_run_without_frames_has_pictures_too(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    r.o.save_frames = NULL;
    r.o.preview     = NULL;
    run(&r);
    assert_int_equal(r.seen.n, 3);
    assert_int_equal(r.seen.events, 0);
    close_rig(&r);
}

/* ---- memory, failures ----------------------------------------------------------------------- */

static void its_memory_is_in_the_plan(void **state)
{
    rig      r;
    fil_plan with;
    fil_plan without;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    r.o.save_frames = NULL;
    assert_int_equal(fil_generate_check(r.model, &r.o, &with), FIL_OK);
    run(&r);
    r.o.preview_steps = 0;
    r.o.preview       = NULL;
    assert_int_equal(fil_generate_check(r.model, &r.o, &without), FIL_OK);
    assert_true(r.result.peak_bytes <= with.peak_bytes + (1 << 20)); /* directories of the files */
    assert_true(with.sample_bytes > without.sample_bytes);
    close_rig(&r);
}

static void a_picture_that_cannot_be_written_is_told_once(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    r.o.preview_steps = 1;
    snprintf(r.seen.to_make, sizeof r.seen.to_make, "%s", r.preview);
    run(&r);
    assert_int_equal(r.seen.warnings, 1);
    assert_non_null(strstr(r.seen.warning, "there is no preview of step 1"));
    assert_int_equal(r.seen.events, 0);
    close_rig(&r);
}

static void what_is_wrong_is_refused(void **state)
{
    rig      r;
    fil_plan plan;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    const int32_t wrong[] = {-1, 0, 1001};
    for (int i = 0; i < 3; i++) {
        r.o.preview_steps = wrong[i];
        assert_int_equal(fil_generate_check(r.model, &r.o, &plan), FIL_E_ARG);
    }
    r.o.preview_steps = 1;
    r.o.preview       = r.frames;
    assert_int_equal(fil_generate_check(r.model, &r.o, &plan), FIL_E_ARG);
    r.o.preview = "/nowhere/p.png";
    assert_int_equal(fil_generate_check(r.model, &r.o, &plan), FIL_E_IO);
    close_rig(&r);
}

/* Stopped within the picture after a step: the step counts, and the run goes on to the same bits.
 */
static void a_stop_within_a_picture_loses_nothing(void **state)
{
    rig     r;
    char    saved[300];
    int64_t n;
    int64_t m;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    run(&r);
    float *whole = fixture_tensor(r.ctx, r.latents, "latents", FIL_F32, &n);
    snprintf(saved, sizeof saved, "%s/run.safetensors", dir.path);
    for (int at = 1; at <= 3; at++) {
        r.seen.n          = 0;
        r.seen.cancel_at  = at == 3 ? STEPS : 2 * (uint64_t)at;
        r.o.checkpoint    = saved;
        r.o.preview_steps = 2;
        r.o.resume        = NULL;
        assert_int_equal(remove(r.latents), 0);
        assert_int_equal(fil_generate(r.model, &r.o, &r.result), FIL_E_CANCELLED);
        assert_int_equal(r.seen.n, at - 1); /* this one is asked for, and not made */
        assert_int_equal(r.result.saved_step, r.seen.cancel_at);
        r.seen.cancel_at    = 0;
        r.seen.is_cancelled = 0;
        r.o.resume          = saved;
        run(&r);
        float *x = fixture_tensor(r.ctx, r.latents, "latents", FIL_F32, &m);
        assert_int_equal(n, m);
        assert_memory_equal(whole, x, (size_t)n * sizeof *x);
        free(x);
    }
    free(whole);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(least_squares_finds_a_linear_map),
        cmocka_unit_test(what_is_not_finite_is_no_sample),
        TEST(a_picture_comes_every_so_many_steps_and_at_the_end),
        TEST(the_last_picture_looks_like_the_video),
        TEST(the_video_is_the_same_without),
        TEST(a_run_without_frames_has_pictures_too),
        TEST(its_memory_is_in_the_plan),
        TEST(a_picture_that_cannot_be_written_is_told_once),
        TEST(what_is_wrong_is_refused),
        TEST(a_stop_within_a_picture_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
