/* tests/unit/test_video_file.c: io/video_file.h: frames come back from an mp4 nearly as they went
 * in, equal frames give equal bytes, and what fails leaves nothing behind.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/video_file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

enum { W = 64, H = 48, N = 9, BYTES = W * H * 3 };

static scratch dir;
static uint8_t picture[BYTES + FILI_VIDEO_PAD];

/* A soft picture that moves: what a codec is made for. */
static void draw(int frame, int c, uint8_t *rgb)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int k = 0; k < 3; k++)
                rgb[(y * W + x) * 3 + k] =
                    (uint8_t)(128 + 100 * sin(0.07 * (x + 2 * frame) + 0.05 * y + 2.0 * (k + c)));
}

static int set_up(void **state)
{
    fil_ctx *ctx = NULL;
    scratch_make(&dir);
    if (fil_ctx_open(&ctx, NULL) != FIL_OK) return -1;
    *state = ctx;
    return 0;
}

static int tear_down(void **state)
{
    fil_ctx *ctx = *state;
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
    scratch_remove(&dir);
    return 0;
}

static fili_video_shape shape_of(int32_t width, int32_t height)
{
    return (fili_video_shape){
        .width = width, .height = height, .fps_num = 16, .fps_den = 1, .crf = 10};
}

/* False: there is no plug-in here. */
static bool have_plugin(fil_ctx *ctx)
{
    const fili_video_plugin *plugin;
    const bool               have = fili_video_load(ctx, &plugin) == FIL_OK;
    if (!have) print_message("%s\n", fil_ctx_error(ctx)->message);
    return have;
}

static void write_clip(fil_ctx *ctx, const char *name)
{
    fili_video_writer      w;
    const fili_video_shape shape = shape_of(W, H);
    assert_int_equal(fili_video_writer_open(&w, ctx, scratch_path(&dir, name), 0, &shape), FIL_OK);
    for (int f = 0; f < N; f++) {
        draw(f, 0, picture);
        assert_int_equal(fili_video_writer_put(&w, picture), FIL_OK);
    }
    assert_int_equal(fili_video_writer_finish(&w), FIL_OK);
}

static void frames_come_back_nearly_as_they_went_in(void **state)
{
    fil_ctx          *ctx = *state;
    fili_video_reader r;
    uint8_t           want[BYTES];
    int               more;
    int               n   = 0;
    double            sum = 0.0;
    if (!have_plugin(ctx)) skip();
    write_clip(ctx, "a.mp4");
    assert_int_equal(fili_video_reader_open(&r, ctx, scratch_path(&dir, "a.mp4")), FIL_OK);
    assert_int_equal(r.shape.width, W);
    assert_int_equal(r.shape.height, H);
    assert_int_equal(r.shape.fps_num, 16 * r.shape.fps_den);
    for (;; n++) {
        assert_int_equal(fili_video_reader_get(&r, picture, &more), FIL_OK);
        if (!more) break;
        draw(n, 0, want);
        for (int i = 0; i < BYTES; i++)
            sum += pow((double)picture[i] - (double)want[i], 2.0);
    }
    fili_video_reader_close(&r);
    assert_int_equal(n, N);
    const double psnr = 10.0 * log10(255.0 * 255.0 * N * BYTES / sum);
    print_message("PSNR %.1f dB\n", psnr);
    assert_true(psnr > 38.0); /* another matrix or range would cost 15 dB */
}

static void equal_frames_give_equal_bytes(void **state)
{
    fil_ctx *ctx = *state;
    size_t   na;
    size_t   nb;
    if (!have_plugin(ctx)) skip();
    write_clip(ctx, "a.mp4");
    write_clip(ctx, "b.mp4");
    unsigned char *a = scratch_read(&dir, "a.mp4", &na);
    unsigned char *b = scratch_read(&dir, "b.mp4", &nb);
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    free(a);
    free(b);
}

static void what_is_not_finished_is_not_seen(void **state)
{
    fil_ctx               *ctx = *state;
    fili_video_writer      w;
    const fili_video_shape shape = shape_of(W, H);
    if (!have_plugin(ctx)) skip();
    assert_int_equal(fili_video_writer_open(&w, ctx, scratch_path(&dir, "a.mp4"), 0, &shape),
                     FIL_OK);
    draw(0, 0, picture);
    assert_int_equal(fili_video_writer_put(&w, picture), FIL_OK);
    fili_video_writer_close(&w);
    fili_video_writer_close(&w); /* idempotent */
    assert_int_equal(scratch_count(&dir), 0);
}

static void a_full_disk_is_told_in_the_systems_words_and_leaves_nothing(void **state)
{
    os_fault               fault = {.call = OS_PWRITE, .at = -1, .forever = 1, .error = ENOSPC};
    const fili_os          os    = os_fault_table(&fault);
    const fili_video_shape shape = shape_of(W, H);
    fili_video_writer      w;
    fil_ctx               *ctx = NULL;
    if (!have_plugin(*state)) skip();
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    for (fault.at = 0; fault.at < 100; fault.at++) {
        fault.calls       = 0;
        fault.failed      = 0;
        fil_status status = fili_video_writer_open(&w, ctx, scratch_path(&dir, "x.mp4"), 1, &shape);
        draw(0, 0, picture);
        if (status == FIL_OK) status = fili_video_writer_put(&w, picture);
        if (status == FIL_OK) status = fili_video_writer_finish(&w);
        fili_video_writer_close(&w);
        if (fault.failed == 0) break;
        assert_int_equal(status, FIL_E_IO);
        assert_non_null(strstr(fil_ctx_error(ctx)->message, "No space left"));
        assert_int_equal(scratch_count(&dir), 0);
        fili_ctx_enter(ctx);
    }
    assert_true(fault.at > 0);
    assert_int_equal(fault.open, 0);
    fil_ctx_close(&ctx);
}

static void odd_sides_and_other_shapes_that_cannot_be_are_refused(void **state)
{
    fil_ctx               *ctx    = *state;
    const fili_video_shape bad[5] = {shape_of(63, 48), shape_of(64, 0), shape_of(64, 20000),
                                     shape_of(64, 48), shape_of(64, 48)};
    for (int k = 0; k < 5; k++) {
        fili_video_shape  shape = bad[k];
        fili_video_writer w;
        if (k == 3) shape.crf = 52;
        if (k == 4) shape.fps_num = 0;
        assert_int_equal(fili_video_writer_open(&w, ctx, scratch_path(&dir, "a.mp4"), 0, &shape),
                         FIL_E_ARG);
        fili_ctx_enter(ctx);
    }
    assert_int_equal(scratch_count(&dir), 0);
}

static void a_file_that_is_no_video_is_refused_by_name(void **state)
{
    fil_ctx          *ctx = *state;
    fili_video_reader r;
    if (!have_plugin(ctx)) skip();
    scratch_write(&dir, "note.mp4", "this is text", 12);
    scratch_write(&dir, "empty.mp4", "", 0);
    assert_int_equal(fili_video_reader_open(&r, ctx, scratch_path(&dir, "note.mp4")), FIL_E_FORMAT);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "note.mp4"));
    fili_ctx_enter(ctx);
    assert_int_equal(fili_video_reader_open(&r, ctx, scratch_path(&dir, "empty.mp4")),
                     FIL_E_FORMAT);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_video_reader_open(&r, ctx, scratch_path(&dir, "none.mp4")), FIL_E_IO);
}

static void the_encoder_is_counted_against_the_limit(void **state)
{
    const fili_video_shape shape = shape_of(1024, 1024);
    fili_video_writer      w;
    fil_options            opt;
    fil_ctx               *ctx = NULL;
    if (!have_plugin(*state)) skip();
    fil_options_init(&opt);
    opt.max_host_bytes = (uint64_t)64 << 20;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_int_equal(fili_video_writer_open(&w, ctx, scratch_path(&dir, "a.mp4"), 0, &shape),
                     FIL_E_NOMEM);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_come_back_nearly_as_they_went_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_frames_give_equal_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_finished_is_not_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_is_told_in_the_systems_words_and_leaves_nothing,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(odd_sides_and_other_shapes_that_cannot_be_are_refused,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_video_is_refused_by_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_encoder_is_counted_against_the_limit, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
