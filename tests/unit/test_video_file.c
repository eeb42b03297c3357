/* tests/unit/test_video_file.c: io/video_file.h: in every format frames come back nearly as they
 * went in, equal frames give equal bytes, and what fails leaves nothing behind.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/video_file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/folder_rig.h"

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
    return folder_rig_open(&dir, state);
}

static int tear_down(void **state)
{
    return folder_rig_close(&dir, state);
}

/* Names by format. */
static const char *const names[FILI_VIDEO_FORMATS] = {"a.mp4", "a.webm", "a.webp", "a.y4m"};

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

static void write_clip(fil_ctx *ctx, const char *name, const char *comment)
{
    fili_video_writer w;
    fili_video_shape  shape = shape_of(W, H);
    shape.notes             = (fili_video_notes){
                    .software = "filigree 1", .description = "a red fox", .comment = comment};
    assert_true(fili_video_format_of(name, &shape.format));
    const fil_status status =
        fili_video_writer_open(&w, ctx, scratch_path(&dir, name), 0, &(fili_video_clip){shape, N});
    if (status != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    for (int f = 0; f < N; f++) {
        draw(f, 0, picture);
        assert_int_equal(fili_video_writer_put(&w, picture), FIL_OK);
    }
    assert_int_equal(fili_video_writer_finish(&w), FIL_OK);
}

/* Of N frames of the clip in a file. */
static double psnr_of(fil_ctx *ctx, const char *name, int frames)
{
    fili_video_reader r;
    uint8_t           want[BYTES];
    int               more;
    int               n   = 0;
    double            sum = 0.0;
    if (fili_video_reader_open(&r, ctx, scratch_path(&dir, name)) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    assert_int_equal(r.shape.width, W);
    assert_int_equal(r.shape.height, H);
    if (frames > 1) assert_int_equal(r.shape.fps_num, 16 * r.shape.fps_den);
    for (;; n++) {
        assert_int_equal(fili_video_reader_get(&r, picture, &more), FIL_OK);
        if (!more) break;
        draw(n, 0, want);
        for (int i = 0; i < BYTES; i++)
            sum += pow((double)picture[i] - (double)want[i], 2.0);
    }
    fili_video_reader_close(&r);
    assert_int_equal(n, frames);
    const double psnr = 10.0 * log10(255.0 * 255.0 * n * BYTES / sum);
    print_message("%s: PSNR %.1f dB\n", name, psnr);
    return psnr;
}

/* Another matrix, range or place of chroma would cost 10 dB and more. */
static void frames_come_back_nearly_as_they_went_in(void **state)
{
    static const double least[FILI_VIDEO_FORMATS] = {42.0, 42.0, 0.0, 47.0};
    fil_ctx            *ctx                       = *state;
    if (!have_plugin(ctx)) skip();
    for (int f = 0; f < FILI_VIDEO_FORMATS; f++) {
        if (f == FILI_VIDEO_WEBP) continue; /* libav does not read animations */
        write_clip(ctx, names[f], NULL);
        assert_true(psnr_of(ctx, names[f], N) > least[f]);
    }
}

/* ---- webp ----------------------------------------------------------------------------------- */

static size_t le_of(const unsigned char *p, int bytes)
{
    size_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

static void put_le32(unsigned char *p, size_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(value >> 8 * i);
}

/* The chunks behind RIFF's header, one after the other: false at the end. */
static bool next_chunk(const unsigned char *data, size_t bytes, size_t *at,
                       const unsigned char **chunk, size_t *n)
{
    if (*at + 8 > bytes) return false;
    *chunk = data + *at;
    *n     = le_of(*chunk + 4, 4);
    assert_true(*at + 8 + *n <= bytes);
    *at += 8 + *n + *n % 2;
    return true;
}

/* A still picture of what one ANMF chunk holds, for libav. */
static void write_still(const char *name, const unsigned char *anmf, size_t n)
{
    enum { FIELDS = 16 };
    const size_t   inside = n - FIELDS;
    unsigned char *still  = malloc(12 + inside);
    assert_non_null(still);
    memcpy(still, "RIFF....WEBP", 12);
    put_le32(still + 4, 4 + inside);
    memcpy(still + 12, anmf + 8 + FIELDS, inside);
    scratch_write(&dir, name, still, 12 + inside);
    free(still);
}

static void a_webp_is_an_animation_without_end(void **state)
{
    fil_ctx             *ctx = *state;
    const unsigned char *chunk;
    size_t               bytes;
    size_t               n;
    size_t               at     = 12;
    int                  frames = 0;
    if (!have_plugin(ctx)) skip();
    write_clip(ctx, "a.webp", NULL);
    unsigned char *data = scratch_read(&dir, "a.webp", &bytes);
    assert_memory_equal(data, "RIFF", 4);
    assert_memory_equal(data + 8, "WEBP", 4);
    assert_int_equal(le_of(data + 4, 4), bytes - 8);
    while (next_chunk(data, bytes, &at, &chunk, &n)) {
        if (memcmp(chunk, "ANIM", 4) == 0) assert_int_equal(le_of(chunk + 12, 2), 0);
        if (memcmp(chunk, "ANMF", 4) != 0) continue;
        const size_t ms = le_of(chunk + 8 + 12, 3);
        assert_true(ms == 62 || ms == 63); /* a sixteenth of a second */
        if (frames++ == 0) write_still("still.webp", chunk, n);
    }
    assert_int_equal(frames, N);
    assert_true(psnr_of(ctx, "still.webp", 1) > 37.0);
    free(data);
}

/* ---- laws of all formats -------------------------------------------------------------------- */

static void equal_frames_give_equal_bytes(void **state)
{
    fil_ctx *ctx = *state;
    size_t   na;
    size_t   nb;
    if (!have_plugin(ctx)) skip();
    for (int f = 0; f < FILI_VIDEO_FORMATS; f++) {
        char second[16] = "b";
        strcat(second, names[f] + 1);
        write_clip(ctx, names[f], "{}");
        write_clip(ctx, second, "{}");
        unsigned char *a = scratch_read(&dir, names[f], &na);
        unsigned char *b = scratch_read(&dir, second, &nb);
        assert_int_equal(na, nb);
        assert_memory_equal(a, b, na);
        free(a);
        free(b);
    }
}

static bool holds(const unsigned char *data, size_t bytes, const char *text)
{
    for (size_t i = 0; i + strlen(text) <= bytes; i++)
        if (memcmp(data + i, text, strlen(text)) == 0) return true;
    return false;
}

static void notes_are_in_the_containers(void **state)
{
    static const char comment[] = "{\"prompt\":\"a \\\"fox\\\"\",\"seed\":1}";
    fil_ctx          *ctx       = *state;
    size_t            n;
    if (!have_plugin(ctx)) skip();
    for (int f = FILI_VIDEO_MP4; f <= FILI_VIDEO_WEBM; f++) {
        write_clip(ctx, names[f], comment);
        unsigned char *data = scratch_read(&dir, names[f], &n);
        assert_true(holds(data, n, comment));
        assert_true(holds(data, n, "a red fox"));
        if (!holds(data, n, "filigree 1")) fail_msg("%s", names[f]);
        free(data);
    }
}

static void crf_0_is_better_than_crf_10(void **state)
{
    fil_ctx *ctx = *state;
    if (!have_plugin(ctx)) skip();
    for (int f = FILI_VIDEO_MP4; f <= FILI_VIDEO_WEBP; f++) {
        size_t bytes[2];
        for (int k = 0; k < 2; k++) {
            fili_video_writer w;
            fili_video_shape  shape = shape_of(W, H);
            shape.format            = (fili_video_format)f;
            shape.crf               = 10 * k;
            assert_int_equal(fili_video_writer_open(&w, ctx, scratch_path(&dir, "x"), 1,
                                                    &(fili_video_clip){shape, 1}),
                             FIL_OK);
            draw(0, 0, picture);
            assert_int_equal(fili_video_writer_put(&w, picture), FIL_OK);
            assert_int_equal(fili_video_writer_finish(&w), FIL_OK);
            free(scratch_read(&dir, "x", &bytes[k]));
        }
        assert_true(bytes[0] > bytes[1]);
    }
}

static void what_is_not_finished_is_not_seen(void **state)
{
    fil_ctx               *ctx = *state;
    fili_video_writer      w;
    const fili_video_shape shape = shape_of(W, H);
    if (!have_plugin(ctx)) skip();
    assert_int_equal(fili_video_writer_open(&w, ctx, scratch_path(&dir, "a.mp4"), 0,
                                            &(fili_video_clip){shape, N}),
                     FIL_OK);
    draw(0, 0, picture);
    assert_int_equal(fili_video_writer_put(&w, picture), FIL_OK);
    fili_video_writer_close(&w);
    fili_video_writer_close(&w); /* idempotent */
    assert_int_equal(scratch_count(&dir), 0);
}

static void fill_the_disk(void **state, fili_video_format format)
{
    os_fault         fault = {.call = OS_PWRITE, .at = -1, .forever = 1, .error = ENOSPC};
    const fili_os    os    = os_fault_table(&fault);
    fili_video_shape shape = shape_of(W, H);
    shape.format           = format;
    fili_video_writer w;
    fil_ctx          *ctx = NULL;
    if (!have_plugin(*state)) skip();
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    for (fault.at = 0; fault.at < 100; fault.at++) {
        fault.calls       = 0;
        fault.failed      = 0;
        fil_status status = fili_video_writer_open(&w, ctx, scratch_path(&dir, "x"), 1,
                                                   &(fili_video_clip){shape, N});
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
    scratch_remove(&dir); /* the one that was written in the end */
    scratch_make(&dir);
}

static void a_full_disk_is_told_in_the_systems_words_and_leaves_nothing(void **state)
{
    for (int f = 0; f < FILI_VIDEO_FORMATS; f++)
        fill_the_disk(state, (fili_video_format)f);
}

/* ---- a plug-in that lacks an encoder -------------------------------------------------------- */

static int lacks(const fili_video_shape *shape, char *why)
{
    (void)shape;
    strcpy(why, "this libav writes no .webm: it has no encoder libvpx-vp9");
    return -1;
}

static const fili_video_plugin *poor_plugin(void)
{
    static const fili_video_plugin plugin = {.write_check = lacks};
    return &plugin;
}

static void *open_poor(void *self, const char *file, const char **why)
{
    static char object;
    (void)self;
    (void)file;
    (void)why;
    return &object;
}

static void *symbol_of_poor(void *self, void *library, const char *name)
{
    const fili_video_plugin_fn get = poor_plugin;
    void                      *symbol;
    (void)self;
    (void)library;
    assert_string_equal(name, FILI_VIDEO_SYMBOL);
    memcpy(&symbol, &get, sizeof symbol);
    return symbol;
}

static void an_encoder_that_is_missing_is_told_before_a_file_is_made(void **state)
{
    fili_os          os    = fili_os_posix;
    fili_video_shape shape = shape_of(W, H);
    fil_ctx         *ctx   = NULL;
    (void)state;
    os.library_open   = open_poor;
    os.library_symbol = symbol_of_poor;
    shape.format      = FILI_VIDEO_WEBM;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    assert_int_equal(fili_video_writer_check(ctx, &shape), FIL_E_UNSUP);
    assert_string_equal(fil_ctx_error(ctx)->message,
                        "this libav writes no .webm: it has no encoder libvpx-vp9");
    shape.format = FILI_VIDEO_Y4M; /* needs none */
    fili_ctx_enter(ctx);
    assert_int_equal(fili_video_writer_check(ctx, &shape), FIL_OK);
    assert_int_equal(scratch_count(&dir), 0);
    fil_ctx_close(&ctx);
}

static void odd_sides_and_other_shapes_that_cannot_be_are_refused(void **state)
{
    fil_ctx               *ctx    = *state;
    const fili_video_shape bad[7] = {shape_of(63, 48), shape_of(64, 0),  shape_of(64, 20000),
                                     shape_of(64, 48), shape_of(64, 48), shape_of(64, 48),
                                     shape_of(64, 48)};
    for (int k = 0; k < 7; k++) {
        fili_video_shape  shape = bad[k];
        fili_video_writer w;
        if (k == 3) shape.crf = 52;
        if (k == 4) shape.fps_num = 0;
        if (k == 5) shape.crf = 64;
        if (k == 6) shape.crf = -1;
        shape.format = k == 5 ? FILI_VIDEO_WEBM : k == 6 ? FILI_VIDEO_Y4M : FILI_VIDEO_MP4;
        assert_int_equal(fili_video_writer_open(&w, ctx, scratch_path(&dir, "a.mp4"), 0,
                                                &(fili_video_clip){shape, 1}),
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
    assert_int_equal(fili_video_writer_open(&w, ctx, scratch_path(&dir, "a.mp4"), 0,
                                            &(fili_video_clip){shape, 1}),
                     FIL_E_NOMEM);
    fil_ctx_close(&ctx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(frames_come_back_nearly_as_they_went_in),
        TEST(a_webp_is_an_animation_without_end),
        TEST(equal_frames_give_equal_bytes),
        TEST(notes_are_in_the_containers),
        TEST(crf_0_is_better_than_crf_10),
        TEST(what_is_not_finished_is_not_seen),
        TEST(a_full_disk_is_told_in_the_systems_words_and_leaves_nothing),
        TEST(an_encoder_that_is_missing_is_told_before_a_file_is_made),
        TEST(odd_sides_and_other_shapes_that_cannot_be_are_refused),
        TEST(a_file_that_is_no_video_is_refused_by_name),
        TEST(the_encoder_is_counted_against_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
