/* tests/unit/test_compare.c: filigree/compare.h: figures of frames and latents against those of an
 * independent program, what is refused, memory, threads, failures.
 *
 * The expected figures were computed with numpy in f64 from the same formulas of the inputs
 * (frame_byte, latent_value): PSNR and relative L2 from their definitions; SSIM window by window
 * with the full 11 x 11 Gaussian, variances as weighted means of squared distances to the weighted
 * mean. scikit-image 0.26 gave the same SSIM to 1e-14, called as the header says.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/compare_job.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/folder_rig.h"

enum { F = 3, H = 21, W = 34, C = 4, T = 3, LH = 5, LW = 6, LATENTS = C * T * LH * LW };

static scratch dir;

static fil_ctx *open_ctx(int32_t threads)
{
    fil_ctx    *ctx = NULL;
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = threads;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    return ctx;
}

static int set_up(void **state)
{
    scratch_make(&dir);
    *state = open_ctx(2);
    return 0;
}

static int tear_down(void **state)
{
    return folder_rig_close(&dir, state);
}

/* ---- inputs --------------------------------------------------------------------------------- */

/* A smooth ramp that wraps, and the same with a disturbance of -9 to 9, cut off at 0 and 255. */
static uint8_t frame_byte(int side, int f, int y, int x, int c)
{
    const int b = (x * 7 + y * 13 + c * 29 + f * 17) % 256;
    const int a = b + (x * y * 31 + c * 7 + f * 5) % 19 - 9;
    if (side == 1) return (uint8_t)b;
    return (uint8_t)(a < 0 ? 0 : a > 255 ? 255 : a);
}

static float latent_value(int side, int c, int t, int y, int x)
{
    const float b = (float)((c * 5 + t * 7 + y * 3 + x * 11) % 29 - 14) / 8.0f;
    return side == 1 ? b : b + (float)((c * 3 + t * 13 + y * 7 + x) % 11 - 5) / 64.0f;
}

static const char *write_tensor(fil_ctx *ctx, const char *name, const fil_tensor_desc *t,
                                const void *data, size_t bytes)
{
    fili_writer             w;
    const fili_writer_input input = {.tensors = t, .n_tensors = 1};
    const char             *path  = scratch_path(&dir, name);
    assert_int_equal(fili_writer_open(&w, ctx, path, &input, 1), FIL_OK);
    assert_int_equal(fili_writer_put(&w, 0, data, bytes), FIL_OK);
    assert_int_equal(fili_writer_finish(&w), FIL_OK);
    return path;
}

static uint8_t *make_frames(int side, int n, int h, int w)
{
    uint8_t *data = malloc((size_t)n * (size_t)h * (size_t)w * 3);
    uint8_t *p    = data;
    assert_non_null(data);
    for (int f = 0; f < n; f++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                for (int c = 0; c < 3; c++)
                    *p++ = frame_byte(side, f, y, x, c);
    return data;
}

static const char *write_frames(fil_ctx *ctx, const char *name, int side, int n, int h, int w)
{
    const fil_tensor_desc t = {.name = "frames", .dtype = FIL_U8, .rank = 4, .shape = {n, h, w, 3}};
    uint8_t              *data = make_frames(side, n, h, w);
    const char *path = write_tensor(ctx, name, &t, data, (size_t)n * (size_t)h * (size_t)w * 3);
    free(data);
    return path;
}

static const char *write_latents(fil_ctx *ctx, const char *name, const float *data)
{
    const fil_tensor_desc t = {
        .name = "latents", .dtype = FIL_F32, .rank = 4, .shape = {C, T, LH, LW}};
    return write_tensor(ctx, name, &t, data, LATENTS * sizeof *data);
}

static void make_latents(int side, float *data)
{
    for (int c = 0; c < C; c++)
        for (int t = 0; t < T; t++)
            for (int y = 0; y < LH; y++)
                for (int x = 0; x < LW; x++)
                    *data++ = latent_value(side, c, t, y, x);
}

/* ---- calls ---------------------------------------------------------------------------------- */

typedef struct told {
    fil_compare_frame frame[8];
    int               n, stop_at; /* stop_at: -1 = never */
} told;

static int tell(void *user, const fil_compare_frame *frame)
{
    told *t = user;
    assert_true(t->n < 8);
    t->frame[t->n++] = *frame;
    return frame->index == t->stop_at;
}

static fil_status compare(fil_ctx *ctx, const char *a, const char *b, told *t,
                          fil_compare_result *r)
{
    fil_compare_options o;
    fil_compare_options_init(&o);
    o.a = a;
    o.b = b;
    if (t != NULL) {
        *t      = (told){.stop_at = t->stop_at};
        o.frame = tell;
        o.user  = t;
    }
    return fil_compare(ctx, &o, r);
}

static void assert_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance)) fail_msg("%.15g, expected %.15g", found, expected);
}

static void assert_message(const fil_ctx *ctx, const char *part)
{
    const char *message = fil_ctx_error(ctx)->message;
    if (strstr(message, part) == NULL) fail_msg("'%s' has no '%s'", message, part);
}

/* ---- figures -------------------------------------------------------------------------------- */

static void figures_of_frames_are_those_of_an_independent_program(void **state)
{
    static const double psnr[F] = {33.320702172755, 33.361619053496, 33.485691054727};
    static const double ssim[F] = {0.98506550112742, 0.98393288802151, 0.98308714234401};
    static const double l2[F]   = {0.03732962939882, 0.03706263743647, 0.03659661118368};

    fil_ctx           *ctx = *state;
    fil_compare_result r;
    told               t = {.stop_at = -1};
    const char        *a = write_frames(ctx, "a.safetensors", 0, F, H, W);
    const char        *b = write_frames(ctx, "b.safetensors", 1, F, H, W);
    assert_int_equal(compare(ctx, a, b, &t, &r), FIL_OK);
    assert_int_equal(r.kind, FIL_COMPARE_FRAMES);
    assert_int_equal(r.frames, F);
    assert_int_equal(r.width, W);
    assert_int_equal(r.height, H);
    assert_int_equal(r.equal, 0);
    assert_int_equal(t.n, F);
    for (int i = 0; i < F; i++) {
        assert_int_equal(t.frame[i].index, i);
        assert_near(t.frame[i].psnr, psnr[i], 1e-10);
        assert_near(t.frame[i].ssim, ssim[i], 1e-12);
        assert_near(t.frame[i].rel_l2, l2[i], 1e-12);
    }
    assert_near(r.psnr, 33.388772509146, 1e-10);
    assert_near(r.psnr_mean, (psnr[0] + psnr[1] + psnr[2]) / 3.0, 1e-10);
    assert_near(r.psnr_min, psnr[0], 1e-10);
    assert_near(r.ssim, (ssim[0] + ssim[1] + ssim[2]) / 3.0, 1e-12);
    assert_near(r.ssim_min, ssim[2], 1e-12);
    assert_near(r.rel_l2, 0.03699741778545, 1e-12);
    assert_near(r.max_abs, 9.0, 0.0);
}

static void figures_of_latents_are_those_of_an_independent_program(void **state)
{
    static const double psnr[T] = {30.933986046487, 30.980742839851, 30.977128237213};
    static const double l2[T]   = {0.04844622404892, 0.04768432004131, 0.04638526051638};

    fil_ctx           *ctx = *state;
    fil_compare_result r;
    float              values[2][LATENTS];
    told               t = {.stop_at = -1};
    make_latents(0, values[0]);
    make_latents(1, values[1]);
    const char *a = write_latents(ctx, "a", values[0]);
    const char *b = write_latents(ctx, "b", values[1]);
    assert_int_equal(compare(ctx, a, b, &t, &r), FIL_OK);
    assert_int_equal(r.kind, FIL_COMPARE_LATENTS);
    assert_int_equal(r.channels, C);
    assert_int_equal(t.n, T);
    for (int i = 0; i < T; i++) {
        assert_near(t.frame[i].psnr, psnr[i], 1e-10);
        assert_near(t.frame[i].rel_l2, l2[i], 1e-12);
        assert_true(isnan(t.frame[i].ssim));
    }
    assert_near(r.psnr, 30.963900373460, 1e-10);
    assert_near(r.rel_l2, 0.04748528801010, 1e-12);
    assert_near(r.max_abs, 0.078125, 0.0);
    assert_near(r.peak, 1.75, 0.0);
    assert_true(isnan(r.ssim) && isnan(r.ssim_min));
}

static void a_picture_of_one_window_has_an_ssim_and_a_smaller_one_has_none(void **state)
{
    fil_ctx           *ctx = *state;
    fil_compare_result r;
    const char        *a = write_frames(ctx, "a.safetensors", 0, 1, 11, 11);
    const char        *b = write_frames(ctx, "b.safetensors", 1, 1, 11, 11);
    assert_int_equal(compare(ctx, a, b, NULL, &r), FIL_OK);
    assert_near(r.psnr, 33.243509974714, 1e-10);
    assert_near(r.ssim, 0.97205440063488, 1e-12);
    a = write_frames(ctx, "a.safetensors", 0, 2, 10, 40);
    b = write_frames(ctx, "b.safetensors", 1, 2, 10, 40);
    assert_int_equal(compare(ctx, a, b, NULL, &r), FIL_OK);
    assert_true(isnan(r.ssim) && isfinite(r.psnr));
}

static void equal_inputs_are_equal_and_have_an_infinite_psnr(void **state)
{
    fil_ctx           *ctx = *state;
    fil_compare_result r;
    float              values[LATENTS];
    told               t = {.stop_at = -1};
    const char        *a = write_frames(ctx, "a.safetensors", 0, F, H, W);
    assert_int_equal(compare(ctx, a, a, &t, &r), FIL_OK);
    assert_true(r.equal == 1 && t.frame[0].equal == 1);
    assert_true(isinf(r.psnr) && r.psnr > 0.0 && isinf(r.psnr_min));
    assert_near(r.ssim, 1.0, 1e-12);
    assert_near(r.rel_l2, 0.0, 0.0);
    make_latents(0, values);
    a = write_latents(ctx, "l", values);
    assert_int_equal(compare(ctx, a, a, NULL, &r), FIL_OK);
    assert_true(r.equal == 1 && isinf(r.psnr));
    assert_near(r.rel_l2, 0.0, 0.0);
}

static void an_error_against_a_reference_of_zeros_is_infinite(void **state)
{
    fil_ctx           *ctx = *state;
    fil_compare_result r;
    float              values[LATENTS] = {0};
    const char        *zero            = write_latents(ctx, "zero", values);
    values[7]                          = 1.0f;
    const char *one                    = write_latents(ctx, "one", values);
    assert_int_equal(compare(ctx, one, zero, NULL, &r), FIL_OK);
    assert_true(isinf(r.rel_l2) && isinf(r.psnr) && r.psnr < 0.0);
    assert_int_equal(compare(ctx, zero, one, NULL, &r), FIL_OK);
    assert_near(r.rel_l2, 1.0, 0.0);
}

static void a_picture_is_compared_with_a_tensor_of_one_frame(void **state)
{
    fil_ctx           *ctx = *state;
    fil_compare_result r;
    uint8_t           *rgb = make_frames(1, 1, H, W);
    const char        *png = scratch_path(&dir, "a.png");
    assert_int_equal(
        fili_png_write(ctx, png, 0, &(fili_png_source){.rgb = rgb, .width = W, .height = H}),
        FIL_OK);
    free(rgb);
    const char *b = write_frames(ctx, "b", 1, 1, H, W); /* told by its content */
    assert_int_equal(compare(ctx, png, b, NULL, &r), FIL_OK);
    assert_int_equal(r.equal, 1);
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    fil_ctx           *ctx = *state;
    fil_compare_result r[2];
    const char        *a = write_frames(ctx, "a.safetensors", 0, F, H, W);
    const char        *b = write_frames(ctx, "b.safetensors", 1, F, H, W);
    for (int i = 0; i < 2; i++) {
        fil_ctx *other = open_ctx(i == 0 ? 1 : 3);
        assert_int_equal(compare(other, a, b, NULL, &r[i]), FIL_OK);
        fil_ctx_close(&other);
    }
    assert_memory_equal(&r[0], &r[1], sizeof r[0]);
}

static void memory_does_not_grow_with_the_number_of_frames(void **state)
{
    fil_ctx           *ctx = *state;
    fil_compare_result r;
    uint64_t           peak[2];
    for (int i = 0; i < 2; i++) {
        const int   n     = i == 0 ? 1 : 100;
        const char *a     = write_frames(ctx, "a.safetensors", 0, n, H, W);
        const char *b     = write_frames(ctx, "b.safetensors", 1, n, H, W);
        fil_ctx    *other = open_ctx(1);
        assert_int_equal(compare(other, a, b, NULL, &r), FIL_OK);
        peak[i] = fil_ctx_memory(other).peak;
        fil_ctx_close(&other);
    }
    assert_int_equal(peak[0], peak[1]);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void other_sizes_and_counts_are_refused(void **state)
{
    static const int   other[][3] = {{F + 1, H, W}, {F, H + 1, W}, {F, H, W - 1}};
    fil_ctx           *ctx        = *state;
    fil_compare_result r;
    const char        *a = write_frames(ctx, "a.safetensors", 0, F, H, W);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        const char *b =
            write_frames(ctx, "b.safetensors", 1, other[i][0], other[i][1], other[i][2]);
        assert_int_equal(compare(ctx, a, b, NULL, &r), FIL_E_SHAPE);
        assert_message(ctx, "3 of 34 x 21 pixels");
        assert_int_equal(r.frames, 0);
    }
}

static void other_shapes_of_latents_are_refused(void **state)
{
    const fil_tensor_desc t = {
        .name = "latents", .dtype = FIL_F32, .rank = 4, .shape = {C, T, LW, LH}};
    fil_ctx           *ctx = *state;
    fil_compare_result r;
    float              values[LATENTS];
    make_latents(0, values);
    const char *a = write_latents(ctx, "a", values);
    const char *b = write_tensor(ctx, "b", &t, values, sizeof values);
    assert_int_equal(compare(ctx, a, b, NULL, &r), FIL_E_SHAPE);
    assert_message(ctx, "dimension 2 of 5");
}

static void frames_are_not_compared_with_latents(void **state)
{
    const fil_tensor_desc t   = {.name = "noise", .dtype = FIL_F32, .rank = 1, .shape = {4}};
    fil_ctx              *ctx = *state;
    fil_compare_result    r;
    float                 values[LATENTS];
    make_latents(0, values);
    const char *a = write_frames(ctx, "a.safetensors", 0, F, H, W);
    const char *l = write_latents(ctx, "l", values);
    const char *n = write_tensor(ctx, "n", &t, values, 16);
    assert_int_equal(compare(ctx, a, l, NULL, &r), FIL_E_MISMATCH);
    assert_message(ctx, "found frames in");
    assert_int_equal(compare(ctx, a, n, NULL, &r), FIL_E_MISMATCH);
    assert_message(ctx, "'frames' or 'latents'");
}

static void a_video_file_is_refused_unless_it_is_wanted(void **state)
{
    fil_ctx            *ctx = *state;
    fil_compare_options o;
    fil_compare_result  r;
    fil_compare_options_init(&o);
    o.a = write_frames(ctx, "a.safetensors", 0, F, H, W);
    o.b = scratch_path(&dir, "b.mp4");
    scratch_write(&dir, "b.mp4", "no video", 8);
    assert_int_equal(fil_compare(ctx, &o, &r), FIL_E_MISMATCH);
    assert_message(ctx, "is a video file");
    o.lossy = 1;
    assert_int_not_equal(fil_compare(ctx, &o, &r), FIL_OK);
    assert_true(fil_ctx_error(ctx)->status == FIL_E_FORMAT ||
                fil_ctx_error(ctx)->status == FIL_E_UNSUP);
}

static void write_video(fil_ctx *ctx, const char *name, int32_t side)
{
    const fili_video_shape shape = {
        .width = side, .height = side, .fps_num = 16, .fps_den = 1, .format = FILI_VIDEO_Y4M};
    fili_video_writer w;
    uint8_t          *rgb = calloc(1, (size_t)side * (size_t)side * 3 + FILI_VIDEO_PAD);
    assert_non_null(rgb);
    assert_int_equal(
        fili_video_writer_open(&w, ctx, scratch_path(&dir, name), 0, &(fili_video_clip){shape, 1}),
        FIL_OK);
    assert_int_equal(fili_video_writer_put(&w, rgb), FIL_OK);
    assert_int_equal(fili_video_writer_finish(&w), FIL_OK);
    free(rgb);
}

/* A fil_cancel_fn: it is asked between the two times that a video is opened. */
static int replace_the_video(void *user)
{
    (void)user;
    (void)rename(scratch_path(&dir, "large.y4m"), scratch_path(&dir, "a.y4m"));
    return 0;
}

/* Its frames would not fit into the memory that was taken for the first one. */
static void a_video_that_is_replaced_while_it_is_read_is_refused(void **state)
{
    const fili_video_plugin *plugin;
    fil_compare_options      o;
    fil_compare_result       r;
    fil_ctx                 *ctx = NULL;
    fil_options              opt;
    if (fili_video_load(*state, &plugin) != FIL_OK) skip();
    write_video(*state, "a.y4m", 16);
    write_video(*state, "large.y4m", 256);
    fil_options_init(&opt);
    opt.cancel = replace_the_video;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    char a[512];
    snprintf(a, sizeof a, "%s", scratch_path(&dir, "a.y4m"));
    fil_compare_options_init(&o);
    o.a     = a;
    o.b     = a;
    o.lossy = 1;
    assert_int_equal(fil_compare(ctx, &o, &r), FIL_E_IO);
    assert_message(ctx, "was replaced while it was read");
    fil_ctx_close(&ctx);
}

static void a_nan_in_latents_is_told(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    fil_ctx           *ctx   = *state;
    fil_compare_result r;
    float              values[LATENTS];
    make_latents(0, values);
    const char *good = write_latents(ctx, "good", values);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        values[17]      = bad[i];
        const char *nan = write_latents(ctx, "nan", values);
        assert_int_equal(compare(ctx, nan, good, NULL, &r), FIL_E_NONFINITE);
        assert_message(ctx, "value 17 of 360");
        assert_int_equal(compare(ctx, good, nan, NULL, &r), FIL_E_NONFINITE);
    }
}

static void missing_arguments_are_refused(void **state)
{
    fil_ctx            *ctx = *state;
    fil_compare_options o;
    fil_compare_result  r;
    fil_compare_options_init(&o);
    assert_int_equal(fil_compare(NULL, &o, &r), FIL_E_ARG);
    assert_int_equal(fil_compare(ctx, NULL, &r), FIL_E_ARG);
    assert_int_equal(fil_compare(ctx, &o, NULL), FIL_E_ARG);
    assert_int_equal(fil_compare(ctx, &o, &r), FIL_E_ARG);
    o.a = "none";
    assert_int_equal(fil_compare(ctx, &o, &r), FIL_E_ARG);
    o.b = "none";
    assert_int_equal(fil_compare(ctx, &o, &r), FIL_E_IO);
    o.struct_size = 2;
    assert_int_equal(fil_compare(ctx, &o, &r), FIL_E_ARG);
}

static void the_callback_ends_the_call(void **state)
{
    fil_ctx           *ctx = *state;
    fil_compare_result r;
    told               t = {.stop_at = 1};
    const char        *a = write_frames(ctx, "a.safetensors", 0, F, H, W);
    assert_int_equal(compare(ctx, a, a, &t, &r), FIL_E_CANCELLED);
    assert_int_equal(t.n, 2);
    assert_int_equal(r.frames, 0);
}

static void every_allocation_that_fails_ends_in_order(void **state)
{
    fil_ctx           *ctx = *state;
    fil_compare_result r;
    float              values[LATENTS];
    make_latents(0, values);
    const char *a = write_frames(ctx, "a.safetensors", 0, F, H, W);
    const char *b = write_latents(ctx, "b", values);
    for (int i = 0; i < 2; i++) {
        alloc_fault fault = {.at = 0};
        for (fault.at = 0;; fault.at++) {
            fil_options opt;
            fil_ctx    *other = NULL;
            fault.calls = fault.failed = 0;
            fil_options_init(&opt);
            opt.n_threads     = 1;
            opt.host          = alloc_fault_allocator(&fault);
            fil_status status = fil_ctx_open(&other, &opt);
            if (status == FIL_OK) status = compare(other, i == 0 ? a : b, i == 0 ? a : b, NULL, &r);
            fil_ctx_close(&other);
            assert_int_equal(fault.live, 0);
            if (fault.failed == 0) {
                assert_int_equal(status, FIL_OK);
                break;
            }
            assert_int_equal(status, FIL_E_NOMEM);
        }
        assert_true(fault.at > 3);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(figures_of_frames_are_those_of_an_independent_program),
        TEST(figures_of_latents_are_those_of_an_independent_program),
        TEST(a_picture_of_one_window_has_an_ssim_and_a_smaller_one_has_none),
        TEST(equal_inputs_are_equal_and_have_an_infinite_psnr),
        TEST(an_error_against_a_reference_of_zeros_is_infinite),
        TEST(a_picture_is_compared_with_a_tensor_of_one_frame),
        TEST(any_number_of_threads_gives_the_same_bits),
        TEST(memory_does_not_grow_with_the_number_of_frames),
        TEST(other_sizes_and_counts_are_refused),
        TEST(other_shapes_of_latents_are_refused),
        TEST(frames_are_not_compared_with_latents),
        TEST(a_video_file_is_refused_unless_it_is_wanted),
        TEST(a_video_that_is_replaced_while_it_is_read_is_refused),
        TEST(a_nan_in_latents_is_told),
        TEST(missing_arguments_are_refused),
        TEST(the_callback_ends_the_call),
        TEST(every_allocation_that_fails_ends_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
