/* tests/unit/test_generate.c: fil_generate, fil_decode and fil_encode on the demo checkpoint that
 * make_demo writes: what is written, what is refused, memory, threads, cancelling, failures.
 * Against other implementations: test_parity.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/video_job.h"
#include "nn/elementwise.h"
#include "sparse/mask_file.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"

enum {
    W       = 32,
    H       = 48,
    FRAMES  = 5,
    STEPS   = 2,
    LATENTS = 16 * 2 * 6 * 4,
    BYTES   = FRAMES * W * H * 3
};

enum { MOST_PATHS = 8 };

static scratch dir;
static char    paths[MOST_PATHS][320];
static int     n_paths;

typedef struct bench {
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
} bench;

static bench open_bench_with(const fil_options *opt)
{
    bench b = {.ctx = NULL};
    assert_int_equal(fil_ctx_open(&b.ctx, opt), FIL_OK);
    b.model = demo_open(b.ctx, NULL);
    fil_generate_options_init(&b.o);
    b.o.prompt    = "A red fox in the snow.";
    b.o.negative  = "the black field";
    b.o.width     = W;
    b.o.height    = H;
    b.o.frames    = FRAMES;
    b.o.steps     = STEPS;
    b.o.precision = FIL_F32;
    return b;
}

static bench open_bench(int32_t threads)
{
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = threads;
    return open_bench_with(&opt);
}

static void close_bench(bench *b)
{
    fil_model_close(&b->model);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
}

static int set_up(void **state)
{
    (void)state;
    scratch_make(&dir);
    n_paths = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

/* dir/name, valid until the next test. */
static const char *path(const char *name)
{
    for (int i = 0; i < n_paths; i++)
        if (strcmp(strrchr(paths[i], '/') + 1, name) == 0) return paths[i];
    assert_true(n_paths < MOST_PATHS);
    snprintf(paths[n_paths], sizeof paths[0], "%s/%s", dir.path, name);
    return paths[n_paths++];
}

static void run(bench *b)
{
    if (fil_generate(b->model, &b->o, NULL) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
}

static void says(const bench *b, const char *words)
{
    const fil_error *e = fil_ctx_error(b->ctx);
    if (strstr(e->message, words) == NULL) fail_msg("'%s' says nothing of '%s'", e->message, words);
}

static float *latents_of(fil_ctx *ctx, const char *file, const char *name)
{
    int64_t n;
    float  *data = fixture_tensor(ctx, file, name, FIL_F32, &n);
    assert_int_equal(n, LATENTS);
    return data;
}

static uint8_t *frames_of(fil_ctx *ctx, const char *file)
{
    int64_t  n;
    uint8_t *data = fixture_tensor(ctx, file, "frames", FIL_U8, &n);
    assert_int_equal(n, BYTES);
    return data;
}

/* ---- what is written ------------------------------------------------------------------------ */

static void a_run_leaves_what_was_asked_for_and_nothing_else(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b         = open_bench(1);
    b.o.save_frames = path("f.safetensors");
    run(&b);
    assert_int_equal(scratch_count(&dir), 1); /* the latents beside it are gone */
    b.o.save_latents = path("l.safetensors");
    b.o.save_noise   = path("n.safetensors");
    b.o.replace      = 1;
    run(&b);
    assert_int_equal(scratch_count(&dir), 3);
    free(frames_of(b.ctx, path("f.safetensors")));
    free(latents_of(b.ctx, path("l.safetensors"), "latents"));
    free(latents_of(b.ctx, path("n.safetensors"), "noise"));
    close_bench(&b);
}

static void one_frame_can_be_a_picture(void **state)
{
    fili_picture p;
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b    = open_bench(1);
    b.o.frames = 1;
    b.o.video  = path("a.png");
    run(&b);
    assert_int_equal(fili_png_read(b.ctx, path("a.png"), &p), FIL_OK);
    assert_int_equal(p.width, W);
    assert_int_equal(p.height, H);
    fili_picture_free(b.ctx, &p);
    assert_int_equal(scratch_count(&dir), 1);
    close_bench(&b);
}

static void decoding_saved_latents_gives_the_frames_of_the_run(void **state)
{
    fil_decode_options d;
    fil_video_result   r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b          = open_bench(1);
    b.o.save_latents = path("l.safetensors");
    b.o.save_frames  = path("f.safetensors");
    run(&b);
    fil_decode_options_init(&d);
    d.precision   = FIL_F32;
    d.latents     = path("l.safetensors");
    d.save_frames = path("g.safetensors");
    assert_int_equal(fil_decode(b.model, &d, &r), FIL_OK);
    assert_int_equal(r.frames, FRAMES);
    assert_int_equal(r.width, W);
    uint8_t *x = frames_of(b.ctx, path("f.safetensors"));
    uint8_t *y = frames_of(b.ctx, path("g.safetensors"));
    assert_memory_equal(x, y, BYTES);
    free(x);
    free(y);
    close_bench(&b);
}

static void encoding_takes_frames_from_a_tensor_a_picture_and_a_video(void **state)
{
    static const char *const names[] = {"f.safetensors", "p.png", "v.mp4"};
    fil_encode_options       e;
    fil_video_result         r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b         = open_bench(1);
    b.o.save_frames = path("f.safetensors");
    b.o.video       = path("v.mp4");
    if (fil_generate(b.model, &b.o, NULL) == FIL_E_UNSUP) { /* no plug-in */
        close_bench(&b);
        skip();
    }
    b.o.frames      = 1;
    b.o.save_frames = NULL;
    b.o.video       = path("p.png");
    run(&b);
    for (int i = 0; i < 3; i++) {
        const int64_t want[4] = {16, i == 1 ? 1 : 2, H / 8, W / 8};
        int64_t       found[4];
        fil_encode_options_init(&e);
        e.precision = FIL_F32;
        e.input     = path(names[i]);
        e.latents   = path("z.safetensors");
        e.replace   = 1;
        if (fil_encode(b.model, &e, &r) != FIL_OK) fail_msg("%s", fil_ctx_error(b.ctx)->message);
        assert_int_equal(r.frames, i == 1 ? 1 : FRAMES);
        assert_int_equal(fili_latents_look(b.ctx, e.latents, "latents", want, found), FIL_OK);
    }
    close_bench(&b);
}

typedef struct seen {
    int32_t n, stop_at;
    double  sum;
} seen;

static int see(void *user, int32_t index, const uint8_t *rgb, int32_t width, int32_t height)
{
    seen *s = user;
    assert_int_equal(index, s->n++);
    for (int32_t i = 0; i < width * height * 3; i++)
        s->sum += rgb[i];
    return index == s->stop_at;
}

static void a_callback_sees_every_frame_and_may_end_the_run(void **state)
{
    seen s = {.stop_at = -1};
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b        = open_bench(1);
    b.o.frame      = see;
    b.o.frame_user = &s;
    run(&b);
    assert_int_equal(s.n, FRAMES);
    assert_true(s.sum > 0.0);
    assert_int_equal(scratch_count(&dir), 0);
    s = (seen){.stop_at = 2};
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_CANCELLED);
    assert_int_equal(s.n, 3);
    close_bench(&b);
}

static void latents_are_kept_where_decoding_fails(void **state)
{
    seen s = {.stop_at = 1};
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b         = open_bench(1);
    b.o.save_frames = path("f.safetensors");
    b.o.frame       = see;
    b.o.frame_user  = &s;
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_CANCELLED);
    assert_int_equal(scratch_count(&dir), 1);
    free(latents_of(b.ctx, path("f.safetensors.latents.safetensors"), "latents"));
    assert_non_null(strstr(fil_ctx_error(b.ctx)->frame[0], "latents are kept"));
    close_bench(&b);
}

static void bytes_are_cut_off_or_rounded_and_never_outside(void **state)
{
    static const struct {
        float   value;
        uint8_t cut, rounded;
    } want[] = {{-1.0f, 0, 0},        {1.0f, 255, 255},  {0.0f, 127, 128},
                {-1.5f, 0, 0},        {7.0f, 255, 255},  {NAN, 0, 0},
                {INFINITY, 255, 255}, {-INFINITY, 0, 0}, {0.999f, 254, 255}};
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_int_equal(fili_frame_byte(want[i].value, 0), want[i].cut);
        assert_int_equal(fili_frame_byte(want[i].value, 1), want[i].rounded);
    }
    for (int i = 0; i < 256; i++) /* what encode makes of a byte comes back */
        assert_int_equal(fili_frame_byte((float)i / 127.5f - 1.0f, 1), i);
}

/* ---- the same bits -------------------------------------------------------------------------- */

static void latents_and_frames_have_the_same_bits_for_1_2_and_3_threads(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int k = 0; k < 2; k++) {
        float   *x[3];
        uint8_t *f[3];
        for (int32_t t = 0; t < 3; t++) {
            bench b          = open_bench(t + 1);
            b.o.precision    = k == 0 ? FIL_F32 : FIL_BF16;
            b.o.replace      = 1;
            b.o.save_latents = path("l.safetensors");
            b.o.save_frames  = path("f.safetensors");
            run(&b);
            x[t] = latents_of(b.ctx, path("l.safetensors"), "latents");
            f[t] = frames_of(b.ctx, path("f.safetensors"));
            close_bench(&b);
        }
        for (int t = 1; t < 3; t++) {
            assert_memory_equal(x[0], x[t], LATENTS * sizeof(float));
            assert_memory_equal(f[0], f[t], BYTES);
        }
        for (int t = 0; t < 3; t++) {
            free(x[t]);
            free(f[t]);
        }
    }
}

static void noise_from_a_file_is_the_noise_of_its_seed(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b          = open_bench(1);
    b.o.seed         = 7;
    b.o.save_noise   = path("n.safetensors");
    b.o.save_latents = path("a.safetensors");
    run(&b);
    b.o.seed         = 8;
    b.o.save_noise   = NULL;
    b.o.noise        = path("n.safetensors");
    b.o.save_latents = path("b.safetensors");
    run(&b);
    b.o.noise        = NULL;
    b.o.save_latents = path("c.safetensors");
    run(&b);
    float *x = latents_of(b.ctx, path("a.safetensors"), "latents");
    float *y = latents_of(b.ctx, path("b.safetensors"), "latents");
    float *z = latents_of(b.ctx, path("c.safetensors"), "latents");
    assert_memory_equal(x, y, LATENTS * sizeof(float));
    assert_true(memcmp(x, z, LATENTS * sizeof(float)) != 0);
    free(x);
    free(y);
    free(z);
    close_bench(&b);
}

static void every_sampler_runs_on_every_grid(void **state)
{
    static const char *const samplers[] = {"unipc", "dpmpp", "euler", "dmd"};
    static const char *const grids[]    = {"wan-unipc", "wan-dpm", "diffusers-unipc",
                                           "diffusers-euler", "comfy-discrete"};
    static const double      times[]    = {1000.0, 937.5, 833.3, 625.0};
    static const double      levels[]   = {0.9, 0.4, 0.0};
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b          = open_bench(1);
    b.o.frames       = 1;
    b.o.guidance     = 1.0;
    b.o.replace      = 1;
    b.o.save_latents = path("l.safetensors");
    for (int k = 0; k < 20; k++) {
        b.o.sampler = samplers[k % 4];
        b.o.grid    = grids[k / 4];
        run(&b);
    }
    b.o.grid    = NULL;
    b.o.sampler = NULL;
    b.o.steps   = FIL_AUTO;
    for (int k = 0; k < 3; k++) {
        fil_plan p;
        b.o.sampler     = k == 2 ? "dmd" : NULL;
        b.o.timesteps   = times;
        b.o.n_timesteps = k == 0 ? 4 : 0;
        b.o.sigmas      = levels;
        b.o.n_sigmas    = k == 1 ? 3 : 0;
        assert_int_equal(fil_generate_check(b.model, &b.o, &p), FIL_OK);
        assert_int_equal(p.steps, k == 0 ? 4 : k == 1 ? 2 : 3);
        assert_string_equal(p.sampler, k == 2 ? "dmd" : "euler");
        assert_string_equal(p.grid, "list");
        run(&b);
    }
    close_bench(&b);
}

/* ---- masks ---------------------------------------------------------------------------------- */

static void write_mask(fil_ctx *ctx, const char *file, fili_grid grid, int32_t layer, bool full)
{
    const fili_order_spec spec = {.kind = FILI_ORDER_HILBERT};
    const fili_mask_key   key  = {.layer = layer, .step = -1, .pass = -1};
    fili_order            order;
    fili_blocks           blocks;
    fili_mask             mask;
    fili_mask_writer      w;
    assert_int_equal(fili_order_init(&order, ctx, grid, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&blocks, &order), FIL_OK);
    assert_int_equal(fili_mask_init(&mask, ctx, 1, blocks.m, blocks.m), FIL_OK);
    if (full) fili_mask_fill(&mask);
    const fili_mask_desc desc = {
        .order = &order, .q = &blocks, .k = &blocks, .map = &key, .n_masks = 1, .heads = 1};
    assert_int_equal(fili_mask_writer_open(&w, ctx, file, &desc, 1), FIL_OK);
    assert_int_equal(fili_mask_writer_put(&w, &mask), FIL_OK);
    assert_int_equal(fili_mask_writer_finish(&w), FIL_OK);
    fili_mask_fini(&mask);
    fili_blocks_fini(&blocks);
    fili_order_fini(&order);
}

static double difference(const float *a, const float *b)
{
    double d = 0.0;
    double n = 0.0;
    for (int i = 0; i < LATENTS; i++) {
        d += pow((double)a[i] - (double)b[i], 2.0);
        n += pow((double)b[i], 2.0);
    }
    return sqrt(d / n);
}

static void a_full_mask_is_dense_an_empty_one_is_not_and_a_layer_can_be_left_out(void **state)
{
    const fili_grid grid = {.f = 2, .h = H / 16, .w = W / 16};
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b          = open_bench(1);
    b.o.replace      = 1;
    b.o.save_latents = path("l.safetensors");
    run(&b);
    float *dense = latents_of(b.ctx, path("l.safetensors"), "latents");
    for (int k = 0; k < 3; k++) {
        write_mask(b.ctx, path("m.safetensors"), grid, k == 2 ? 99 : -1, k == 0);
        b.o.mask = path("m.safetensors");
        run(&b);
        float       *x = latents_of(b.ctx, path("l.safetensors"), "latents");
        const double d = difference(x, dense);
        if (k == 1)
            assert_true(d > 1e-3);
        else
            assert_true(d <= 1e-5);
        free(x);
    }
    free(dense);
    close_bench(&b);
}

static void a_mask_of_another_grid_is_refused(void **state)
{
    const fili_grid grid = {.f = 3, .h = H / 16, .w = W / 16};
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b = open_bench(1);
    write_mask(b.ctx, path("m.safetensors"), grid, -1, true);
    b.o.mask         = path("m.safetensors");
    b.o.save_latents = path("l.safetensors");
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_SHAPE);
    says(&b, "3,3,2; this video has 2,3,2");
    close_bench(&b);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void a_run_takes_what_the_plan_says_and_no_more(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int k = 0; k < 4; k++) {
        fil_plan         p;
        fil_video_result r;
        bench            b = open_bench(1 + k % 2);
        b.o.precision      = k < 2 ? FIL_F32 : FIL_BF16;
        b.o.save_frames    = path("f.safetensors");
        b.o.replace        = 1;
        assert_int_equal(fil_generate_check(b.model, &b.o, &p), FIL_OK);
        const uint64_t before = fil_ctx_memory(b.ctx).used;
        assert_int_equal(fil_generate(b.model, &b.o, &r), FIL_OK);
        print_message("plan %llu, peak %llu\n", (unsigned long long)p.peak_bytes,
                      (unsigned long long)r.peak_bytes);
        /* headers of the files and the run's own struct are not in the plan: a megabyte */
        assert_true(r.peak_bytes - before <= p.peak_bytes + (1 << 20));
        close_bench(&b);
    }
}

static void more_than_the_limit_is_refused_before_any_work(void **state)
{
    fil_options opt;
    (void)state;
    SKIP_WITHOUT_DEMO();
    fil_options_init(&opt);
    opt.max_host_bytes = (uint64_t)4 << 20;
    bench b            = open_bench_with(&opt);
    b.o.width          = 512;
    b.o.height         = 512;
    b.o.save_latents   = path("l.safetensors");
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_NOMEM);
    says(&b, "the limit is 4194304");
    assert_int_equal(scratch_count(&dir), 0);
    close_bench(&b);
}

/* ---- refusals ------------------------------------------------------------------------------- */

typedef void (*change_fn)(fil_generate_options *o);

#define CHANGE(name, field, value)                                                                 \
    static void name(fil_generate_options *o)                                                      \
    {                                                                                              \
        o->field = value;                                                                          \
    }
CHANGE(no_prompt, prompt, NULL)
CHANGE(broken_prompt, prompt, "\xff\xfe")
CHANGE(width_20, width, 20)
CHANGE(height_0, height, 0)
CHANGE(width_huge, width, 1 << 20)
CHANGE(frames_4, frames, 4)
CHANGE(frames_0, frames, 0)
CHANGE(steps_0, steps, 0)
CHANGE(steps_1001, steps, 1001)
CHANGE(shift_0, shift, 0.0)
CHANGE(shift_nan, shift, (double)NAN)
CHANGE(guidance_nan, guidance, (double)NAN)
CHANGE(sampler_x, sampler, "heun")
CHANGE(grid_x, grid, "karras")
CHANGE(precision_x, precision, FIL_F16)
CHANGE(fps_0, fps, 0)
CHANGE(crf_101, crf, 101)
CHANGE(no_output, save_latents, NULL)
CHANGE(avi, video, "a.avi")
CHANGE(png_of_many, video, "a.png")
CHANGE(folder_missing, save_frames, "no/such/folder/f.safetensors")
CHANGE(noise_missing, noise, "no-such-file.safetensors")
CHANGE(mask_missing, mask, "no-such-file.safetensors")
CHANGE(struct_size_1, struct_size, 1)

static void both_lists(fil_generate_options *o)
{
    static const double one[] = {0.5};
    o->timesteps = o->sigmas = one;
    o->n_timesteps = o->n_sigmas = 1;
}

static void list_and_steps(fil_generate_options *o)
{
    static const double three[] = {900, 500, 100};
    o->timesteps                = three;
    o->n_timesteps              = 3;
}

static void list_and_grid(fil_generate_options *o)
{
    list_and_steps(o);
    o->steps = FIL_AUTO;
    o->grid  = "wan-unipc";
}

static void crf_52_of_mp4(fil_generate_options *o)
{
    o->video = "a.mp4";
    o->crf   = 52;
}

static void one_file_for_two(fil_generate_options *o)
{
    o->save_frames = o->save_latents;
}

static void every_bad_request_is_one_sentence_before_any_work(void **state)
{
    static const struct {
        change_fn   change;
        fil_status  status;
        const char *words;
    } cases[] = {
        {no_prompt, FIL_E_ARG, "expected a prompt"},
        {broken_prompt, FIL_E_ARG, "UTF-8"},
        {width_20, FIL_E_ARG, "width: expected a multiple of 16"},
        {height_0, FIL_E_ARG, "height: expected a multiple of 16"},
        {width_huge, FIL_E_ARG, "width: expected a multiple of 16"},
        {frames_4, FIL_E_ARG, "frames: expected 4n + 1"},
        {frames_0, FIL_E_ARG, "frames: expected 4n + 1"},
        {steps_0, FIL_E_ARG, "steps: expected 1 to 1000, found 0"},
        {steps_1001, FIL_E_ARG, "steps: expected 1 to 1000, found 1001"},
        {shift_0, FIL_E_ARG, "shift: expected a number above 0"},
        {shift_nan, FIL_E_ARG, "shift"},
        {guidance_nan, FIL_E_ARG, "guidance"},
        {sampler_x, FIL_E_ARG, "sampler: expected unipc, dpmpp, euler or dmd, found 'heun'"},
        {grid_x, FIL_E_ARG, "grid: expected wan-unipc"},
        {precision_x, FIL_E_ARG, "precision: expected BF16 or F32, found F16"},
        {fps_0, FIL_E_ARG, "fps"},
        {crf_101, FIL_E_ARG, "crf: expected 0 to 100, found 101"},
        {crf_52_of_mp4, FIL_E_ARG, "crf: expected 0 to 51, found 52"},
        {no_output, FIL_E_ARG, "nothing would come of it"},
        {avi, FIL_E_ARG, "expected a name that ends in .mp4, .webm, .webp or .y4m"},
        {png_of_many, FIL_E_ARG, "a .png holds one frame, this video has 5"},
        {folder_missing, FIL_E_IO, "no/such/folder"},
        {noise_missing, FIL_E_IO, "no-such-file"},
        {mask_missing, FIL_E_IO, "no-such-file"},
        {struct_size_1, FIL_E_ARG, "struct_size"},
        {both_lists, FIL_E_ARG, "timesteps or of sigmas, found both"},
        {list_and_steps, FIL_E_ARG, "steps: the list has 3, found 2"},
        {list_and_grid, FIL_E_ARG, "grid: expected none"},
        {one_file_for_two, FIL_E_ARG, "one file"},
    };
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b = open_bench(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench c          = b;
        c.o.save_latents = path("l.safetensors");
        cases[i].change(&c.o);
        const fil_status status = fil_generate(c.model, &c.o, NULL);
        if (status != cases[i].status)
            fail_msg("case %zu: %s, '%s'", i, fil_status_name(status),
                     fil_ctx_error(b.ctx)->message);
        says(&b, cases[i].words);
        assert_int_equal(scratch_count(&dir), 0);
    }
    close_bench(&b);
}

static void frames_are_kept_in_a_file_of_their_own(void **state)
{
    fil_decode_options d;
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b          = open_bench(1);
    b.o.save_latents = path("l.safetensors");
    run(&b);
    for (int k = 0; k < 4; k++) {
        fil_decode_options_init(&d);
        d.latents     = path("l.safetensors");
        d.save_frames = path("f.safetensors");
        if (k == 0) d.resume = 1;
        if (k == 1) d.kept = path("l.safetensors");
        if (k == 2) d.kept = path("f.safetensors");
        if (k == 3) d.kept = path("no/such/folder/k");
        assert_int_equal(fil_decode(b.model, &d, NULL), k < 3 ? FIL_E_ARG : FIL_E_IO);
        says(&b, k == 0 ? "the file of the frames" : k < 3 ? "another file" : "no/such/folder");
        assert_int_equal(scratch_count(&dir), 1);
    }
    close_bench(&b);
}

static void an_output_that_exists_stays_unless_it_may_be_replaced(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b          = open_bench(1);
    b.o.save_latents = path("l.safetensors");
    scratch_write(&dir, "l.safetensors", "mine", 4);
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_IO);
    says(&b, "exists already");
    b.o.replace = 1;
    run(&b);
    close_bench(&b);
}

/* demo/NAME */
static const char *demo(const char *name)
{
    static char text[512];
    snprintf(text, sizeof text, "%s/%s", getenv("FIL_DEMO"), name);
    return text;
}

static void a_part_of_another_model_is_refused_by_name(void **state)
{
    fil_model_options m;
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b = open_bench(1);
    for (int k = 0; k < 3; k++) {
        fil_model *wrong = NULL;
        fil_model_options_init(&m);
        m.dir = getenv("FIL_DEMO");
        if (k == 0) m.vae = demo("models_t5_umt5-xxl-enc-bf16.safetensors");
        if (k == 1) m.t5 = demo("Wan2.1_VAE.safetensors");
        if (k == 2) m.dit = demo("Wan2.1_VAE.safetensors");
        assert_int_equal(fil_model_open(b.ctx, &m, &wrong), FIL_OK);
        b.o.save_frames = path("f.safetensors");
        assert_int_equal(fil_generate(wrong, &b.o, NULL), FIL_E_MISMATCH);
        print_message("%s\n", fil_ctx_error(b.ctx)->message);
        assert_int_equal(scratch_count(&dir), 0);
        fil_model_close(&wrong);
    }
    close_bench(&b);
}

/* Finite noise that no layer survives. */
static void a_run_that_comes_to_nothing_says_in_which_layer(void **state)
{
    static float  huge[LATENTS];
    const int64_t shape[] = {16, 2, 6, 4};
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b = open_bench(1);
    for (int i = 0; i < LATENTS; i++)
        huge[i] = i % 2 == 0 ? 3e38f : -3e38f;
    assert_int_equal(fili_latents_write(b.ctx, path("n.safetensors"), "noise", shape, huge, 1),
                     FIL_OK);
    b.o.noise        = path("n.safetensors");
    b.o.save_latents = path("l.safetensors");
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_NONFINITE);
    const fil_error *e = fil_ctx_error(b.ctx);
    assert_non_null(strstr(e->message, "layer 0 of 0 to "));
    assert_non_null(strstr(e->frame[0], "step 1 of 2"));
    close_bench(&b);
}

static void the_first_value_that_is_not_finite_is_found(void **state)
{
    static float x[10000];
    (void)state;
    assert_int_equal(fili_first_nonfinite(x, 10000), 10000);
    assert_int_equal(fili_first_nonfinite(x, 0), 0);
    x[9999] = 3.4e38f;
    assert_int_equal(fili_first_nonfinite(x, 10000), 10000);
    x[9998] = -INFINITY;
    assert_int_equal(fili_first_nonfinite(x, 10000), 9998);
    x[4096] = NAN;
    assert_int_equal(fili_first_nonfinite(x, 10000), 4096);
    assert_int_equal(fili_first_nonfinite(x, 4096), 4096);
    x[0] = INFINITY;
    assert_int_equal(fili_first_nonfinite(x, 10000), 0);
}

static void noise_of_another_size_is_refused(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b          = open_bench(1);
    b.o.save_noise   = path("n.safetensors");
    b.o.save_latents = path("l.safetensors");
    run(&b);
    b.o.save_noise   = NULL;
    b.o.save_latents = path("m.safetensors");
    b.o.noise        = path("n.safetensors");
    b.o.frames       = 9;
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_SHAPE);
    says(&b, "'noise': expected [16, 3, 6, 4], found [16, 2, 6, 4]");
    b.o.noise  = path("l.safetensors");
    b.o.frames = FRAMES;
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_MISMATCH);
    says(&b, "expected a tensor 'noise'");
    close_bench(&b);
}

/* ---- stopping and failing ------------------------------------------------------------------- */

typedef struct countdown {
    int64_t calls, at;
} countdown;

static int cancel_at(void *user)
{
    countdown *c = user;
    return c->calls++ >= c->at;
}

static void cancelling_anywhere_leaves_no_half_file_and_no_memory(void **state)
{
    countdown   c = {.at = 0};
    fil_options opt;
    (void)state;
    SKIP_WITHOUT_DEMO();
    fil_options_init(&opt);
    opt.n_threads = 1;
    opt.cancel    = cancel_at;
    opt.user      = &c;
    for (int64_t at = 0;; at = at * 5 / 4 + 1) {
        c                       = (countdown){.at = at};
        bench b                 = open_bench_with(&opt);
        b.o.save_frames         = path("f.safetensors");
        b.o.replace             = 1;
        const fil_status status = fil_generate(b.model, &b.o, NULL);
        close_bench(&b);
        if (status == FIL_OK) break;
        assert_int_equal(status, FIL_E_CANCELLED);
        assert_true(scratch_count(&dir) <= 1); /* the latents, if they were done */
    }
    print_message("asked %lld times\n", (long long)c.calls);
    assert_true(c.calls > 2 * STEPS);
}

static void running_out_of_memory_anywhere_is_told_and_leaks_nothing(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int64_t at = 0;; at = at * 9 / 8 + 1) {
        alloc_fault       fault = {.at = at, .forever = 1};
        fil_options       opt;
        fil_ctx          *ctx   = NULL;
        fil_model        *model = NULL;
        fil_model_options m;
        fil_options_init(&opt);
        opt.n_threads     = 1;
        opt.host          = alloc_fault_allocator(&fault);
        fil_status status = fil_ctx_open(&ctx, &opt);
        if (status == FIL_OK) {
            fil_generate_options o;

            fil_model_options_init(&m);
            m.dir  = getenv("FIL_DEMO");
            status = fil_model_open(ctx, &m, &model);
            fil_generate_options_init(&o);
            o.prompt = o.negative = "a fox";
            o.width = o.height = 32;
            o.frames           = 1;
            o.steps            = 1;
            o.save_frames      = path("f.safetensors");
            o.replace          = 1;
            if (status == FIL_OK) status = fil_generate(model, &o, NULL);
            fil_model_close(&model);
            fil_ctx_close(&ctx);
        }
        assert_int_equal(fault.live, 0);
        if (fault.failed == 0) {
            assert_int_equal(status, FIL_OK);
            break;
        }
        assert_int_equal(status, FIL_E_NOMEM);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_leaves_what_was_asked_for_and_nothing_else),
        TEST(one_frame_can_be_a_picture),
        TEST(decoding_saved_latents_gives_the_frames_of_the_run),
        TEST(encoding_takes_frames_from_a_tensor_a_picture_and_a_video),
        TEST(a_callback_sees_every_frame_and_may_end_the_run),
        TEST(latents_are_kept_where_decoding_fails),
        TEST(bytes_are_cut_off_or_rounded_and_never_outside),
        TEST(latents_and_frames_have_the_same_bits_for_1_2_and_3_threads),
        TEST(noise_from_a_file_is_the_noise_of_its_seed),
        TEST(every_sampler_runs_on_every_grid),
        TEST(a_full_mask_is_dense_an_empty_one_is_not_and_a_layer_can_be_left_out),
        TEST(a_mask_of_another_grid_is_refused),
        TEST(a_run_takes_what_the_plan_says_and_no_more),
        TEST(more_than_the_limit_is_refused_before_any_work),
        TEST(every_bad_request_is_one_sentence_before_any_work),
        TEST(frames_are_kept_in_a_file_of_their_own),
        TEST(an_output_that_exists_stays_unless_it_may_be_replaced),
        TEST(a_part_of_another_model_is_refused_by_name),
        TEST(a_run_that_comes_to_nothing_says_in_which_layer),
        TEST(the_first_value_that_is_not_finite_is_found),
        TEST(noise_of_another_size_is_refused),
        TEST(cancelling_anywhere_leaves_no_half_file_and_no_memory),
        TEST(running_out_of_memory_anywhere_is_told_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
