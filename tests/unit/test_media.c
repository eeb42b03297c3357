/* tests/unit/test_media.c: filigree/media.h: what was noted in a picture or video is told, what is
 * cut or damaged is refused, and nothing is made up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/video_job.h"
#include "filigree/media.h"
#include "io/media_head.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/folder_rig.h"
#include "support/media_make.h"

static scratch dir;

static const char ours[] =
    "{\"filigree\":\"0.1.0\",\"generate\":{\"prompt\":\"a \\\"fox\\\"\",\"seed\":5,\"shift\":1.5,"
    "\"sigmas\":[1.0,0.5]},\"policy\":{},\"dit\":\"abc\",\"result\":{\"steps\":2}}";

static int set_up(void **state)
{
    return folder_rig_open(&dir, state);
}

static int tear_down(void **state)
{
    return folder_rig_close(&dir, state);
}

static fil_status open_bytes(fil_ctx *ctx, const void *data, size_t bytes, fil_media **out)
{
    scratch_write(&dir, "m", data, bytes);
    const fil_status status = fil_media_open(ctx, scratch_path(&dir, "m"), out);
    assert_int_equal(status == FIL_OK, *out != NULL);
    assert_int_equal(status, fil_ctx_error(ctx)->status);
    return status;
}

static fil_media *open_good(fil_ctx *ctx, const media_bytes *m)
{
    fil_media *media = NULL;
    if (open_bytes(ctx, m->data, m->n, &media) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    return media;
}

static fil_media_info info_of(const fil_media *media)
{
    fil_media_info info;
    fil_media_info_get(media, &info);
    return info;
}

static void expect_setting(const fil_media *media, size_t i, const char *section, const char *name,
                           const char *value)
{
    fil_media_setting s;
    fil_media_setting_get(media, i, &s);
    assert_string_equal(s.section, section);
    assert_string_equal(s.name, name);
    assert_string_equal(s.value, value);
}

/* ---- PNG ------------------------------------------------------------------------------------ */

static void the_settings_of_a_picture_are_taken_apart(void **state)
{
    static uint8_t        rgb[37 * 21 * 3];
    fil_ctx              *ctx    = *state;
    const fili_png_source source = {
        .rgb    = rgb,
        .width  = 37,
        .height = 21,
        .notes  = {.software = "filigree 1", .description = "a red f\xc3\xb6x", .comment = ours}};
    fil_media *media = NULL;
    assert_int_equal(fili_png_write(ctx, scratch_path(&dir, "a.png"), 0, &source), FIL_OK);
    assert_string_equal(fil_media_format(ctx, scratch_path(&dir, "a.png")), "png");
    assert_int_equal(fil_media_open(ctx, scratch_path(&dir, "a.png"), &media), FIL_OK);
    const fil_media_info info = info_of(media);
    assert_string_equal(info.format, "png");
    assert_int_equal(info.width, 37);
    assert_int_equal(info.height, 21);
    assert_int_equal(info.frames, 1);
    assert_int_equal(info.fps_den, 0);
    assert_string_equal(info.software, "filigree 1");
    assert_string_equal(info.description, "a red f\xc3\xb6x");
    assert_null(info.comment);
    assert_int_equal(fil_media_settings(media), 7);
    expect_setting(media, 0, "", "filigree", "0.1.0");
    expect_setting(media, 1, "", "dit", "abc");
    expect_setting(media, 2, "generate", "prompt", "a \"fox\"");
    expect_setting(media, 3, "generate", "seed", "5");
    expect_setting(media, 4, "generate", "shift", "1.5");
    expect_setting(media, 5, "generate", "sigmas", "[1.0,0.5]");
    expect_setting(media, 6, "result", "steps", "2");
    fil_media_setting s;
    fil_media_setting_get(media, 7, &s);
    assert_null(s.name);
    fil_media_close(&media);
    assert_null(media);
}

static void only_whole_texts_of_known_names_count(void **state)
{
    fil_ctx    *ctx = *state;
    media_bytes m;
    png_begin(&m, 3, 4);
    PNG_TEXT(&m, "tEXt", "Author\0somebody");
    PNG_TEXT(&m, "tEXt", "no keyword ends here");
    PNG_TEXT(&m, "iTXt", "Software\0\1\0\0\0compressed");
    PNG_TEXT(&m, "iTXt", "Software\0\0\0en");
    PNG_TEXT(&m, "iTXt", "Software\0\0\0en\0\0filigree 9");
    PNG_TEXT(&m, "tEXt", "Software\0another");
    PNG_TEXT(&m, "tEXt", "Comment\0{\"filigree\":broken");
    PNG_TEXT(&m, "tEXt", "Description\0spoilt");
    m.data[m.n - 1] ^= 1;
    png_end(&m);
    fil_media           *media = open_good(ctx, &m);
    const fil_media_info info  = info_of(media);
    assert_string_equal(info.software, "filigree 9");
    assert_null(info.description);
    assert_string_equal(info.comment, "{\"filigree\":broken");
    assert_int_equal(fil_media_settings(media), 0);
    assert_int_equal(fil_ctx_error(ctx)->status, FIL_OK);
    fil_media_close(&media);
}

static void a_long_text_is_left_out(void **state)
{
    enum { LONG = FILI_MEDIA_NOTE + 1 };
    fil_ctx    *ctx   = *state;
    fil_media  *media = NULL;
    media_bytes m;
    png_begin(&m, 3, 4);
    uint8_t *file = malloc(m.n + LONG + 12 + 64);
    assert_non_null(file);
    memcpy(file, m.data, m.n);
    size_t at = m.n;
    m.n       = 0;
    media_be32(&m, LONG);
    media_put(&m, "tEXtComment", 12);
    memcpy(file + at, m.data, m.n);
    memset(file + at + m.n, 'x', LONG);
    at += 12 + LONG; /* the checksum is looked at by nobody */
    m.n = 0;
    png_end(&m);
    memcpy(file + at, m.data, m.n);
    assert_int_equal(open_bytes(ctx, file, at + m.n, &media), FIL_OK);
    assert_null(info_of(media).comment);
    fil_media_close(&media);
    free(file);
}

/* ---- WebP ----------------------------------------------------------------------------------- */

static void a_webp_tells_size_and_rate(void **state)
{
    fil_ctx    *ctx = *state;
    media_bytes m;
    webp_animation(&m, 832, 480, 8, 125);
    fil_media     *media = open_good(ctx, &m);
    fil_media_info info  = info_of(media);
    assert_string_equal(info.format, "webp");
    assert_int_equal(info.width, 832);
    assert_int_equal(info.height, 480);
    assert_int_equal(info.frames, 8);
    assert_int_equal(info.fps_num, 8 * info.fps_den);
    fil_media_close(&media);
    webp_begin(&m);
    webp_chunk(&m, "VP8 ", "\0\0\0\x9d\x01\x2a\x40\0\x30\xc0", 10);
    media = open_good(ctx, &m);
    info  = info_of(media);
    assert_string_equal(info.codec, "vp8");
    assert_int_equal(info.width, 64);
    assert_int_equal(info.height, 48);
    assert_int_equal(info.frames, 1);
    fil_media_close(&media);
    webp_begin(&m);
    webp_chunk(&m, "VP8L", "\x2f\x3f\xc0\x0b\x10", 5);
    media = open_good(ctx, &m);
    info  = info_of(media);
    assert_string_equal(info.codec, "lossless");
    assert_int_equal(info.width, 64);
    assert_int_equal(info.height, 48);
    fil_media_close(&media);
}

/* ---- what is broken ------------------------------------------------------------------------- */

/* Cut anywhere, and with each byte of the header changed: refused, or told with some size. */
static void torture(fil_ctx *ctx, const media_bytes *m, size_t least)
{
    fil_media *media = NULL;
    for (size_t cut = 0; cut < m->n; cut++) {
        const fil_status status = open_bytes(ctx, m->data, cut, &media);
        if (cut < least) assert_true(status == FIL_E_MISMATCH || status == FIL_E_FORMAT);
        if (cut < least) assert_non_null(strstr(fil_ctx_error(ctx)->frame[0], "/m"));
        fil_media_close(&media);
    }
    for (size_t at = 0; at < m->n; at++)
        for (int bit = 0; bit < 8; bit++) {
            media_bytes other = *m;
            other.data[at] ^= (uint8_t)(1 << bit);
            const fil_status status = open_bytes(ctx, other.data, other.n, &media);
            if (status == FIL_OK) assert_true(info_of(media).width > 0);
            if (at >= 12) assert_true(status == FIL_OK || status == FIL_E_FORMAT);
            fil_media_close(&media);
        }
}

static void what_is_cut_or_damaged_is_refused(void **state)
{
    fil_ctx    *ctx   = *state;
    fil_media  *media = NULL;
    media_bytes m;
    png_begin(&m, 3, 4);
    PNG_TEXT(&m, "tEXt", "Comment\0{\"filigree\":\"1\"}");
    PNG_TEXT(&m, "iTXt", "Description\0\0\0\0\0text");
    png_end(&m);
    torture(ctx, &m, m.n);
    webp_animation(&m, 64, 48, 2, 62);
    torture(ctx, &m, 30);
    png_begin(&m, 0, 4);
    png_end(&m);
    assert_int_equal(open_bytes(ctx, m.data, m.n, &media), FIL_E_FORMAT);
    webp_begin(&m);
    webp_chunk(&m, "ICCP", "", 0);
    assert_int_equal(open_bytes(ctx, m.data, m.n, &media), FIL_E_FORMAT);
    webp_begin(&m);
    webp_chunk(&m, "VP8 ", "", 0);
    assert_int_equal(open_bytes(ctx, m.data, m.n, &media), FIL_E_FORMAT);
}

static void formats_are_told_by_their_first_bytes(void **state)
{
    static const struct {
        const char *bytes;
        size_t      n;
        const char *format;
    } heads[]    = {{"\0\0\0\x18"
                        "ftypisom",
                     12, "mp4"},
                    {"\0\0\0\x14"
                        "ftypqt  ",
                     12, "mov"},
                    {"\x1a\x45\xdf\xa3\x93\x42\x82\x84webm", 12, "webm"},
                    {"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska", 16, "matroska"},
                    {"RIFF\0\0\0\0AVI ", 12, "avi"},
                    {"GIF89a", 6, "gif"},
                    {"YUV4MPEG2 W64", 13, "y4m"},
                    {"RIFF\0\0\0\0WAVE", 12, NULL},
                    {"{\"a\":1}", 7, NULL},
                    {"", 0, NULL},
                    {"\x89PN", 3, NULL}};
    fil_ctx *ctx = *state;
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        scratch_write(&dir, "h", heads[i].bytes, heads[i].n);
        const char *found = fil_media_format(ctx, scratch_path(&dir, "h"));
        if (heads[i].format != NULL)
            assert_string_equal(found, heads[i].format);
        else
            assert_null(found);
    }
    assert_null(fil_media_format(ctx, scratch_path(&dir, "missing")));
    assert_null(fil_media_format(ctx, dir.path));
    assert_int_equal(fil_ctx_error(ctx)->status, FIL_OK);
}

static void wrong_calls_are_refused(void **state)
{
    fil_ctx       *ctx   = *state;
    char           other = '\0';
    fil_media     *media = (fil_media *)(void *)&other; /* whatever it was before */
    fil_media_info info;
    assert_int_equal(fil_media_open(NULL, "x", &media), FIL_E_ARG);
    assert_null(media);
    assert_int_equal(fil_media_open(ctx, NULL, &media), FIL_E_ARG);
    assert_int_equal(fil_media_open(ctx, "x", NULL), FIL_E_ARG);
    assert_int_equal(fil_media_open(ctx, scratch_path(&dir, "x"), &media), FIL_E_IO);
    assert_int_equal(fil_media_open(ctx, dir.path, &media), FIL_E_FORMAT);
    assert_int_equal(fil_media_settings(NULL), 0);
    fil_media_info_get(NULL, &info);
    assert_null(info.format);
    fil_media_close(&media);
    fil_media_close(NULL);
}

/* ---- libav ---------------------------------------------------------------------------------- */

enum { W = 64, H = 48, N = 9 };

static void write_clip(fil_ctx *ctx, const char *name)
{
    static uint8_t    rgb[W * H * 3 + FILI_VIDEO_PAD];
    fili_video_writer w;
    fili_video_shape  shape = {
         .width   = W,
         .height  = H,
         .fps_num = 16,
         .fps_den = 1,
         .crf     = 20,
         .notes   = {.software = "filigree 1", .description = "a fox", .comment = ours}};
    assert_true(fili_video_format_of(name, &shape.format));
    if (fili_video_writer_open(&w, ctx, scratch_path(&dir, name), 0,
                               &(fili_video_clip){shape, N}) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    for (int f = 0; f < N; f++) { /* equal frames would become one in a .webp */
        memset(rgb, 25 * f, (size_t)W * H * 3);
        assert_int_equal(fili_video_writer_put(&w, rgb), FIL_OK);
    }
    assert_int_equal(fili_video_writer_finish(&w), FIL_OK);
}

static void videos_tell_frames_rate_and_settings(void **state)
{
    static const char *const codecs[FILI_VIDEO_FORMATS] = {"h264", "vp9", "", "rawvideo"};
    static const char *const names[FILI_VIDEO_FORMATS]  = {"a.mp4", "a.webm", "a.webp", "a.y4m"};
    const fili_video_plugin *plugin;
    fil_ctx                 *ctx = *state;
    if (fili_video_load(ctx, &plugin) != FIL_OK) skip();
    for (int f = 0; f < FILI_VIDEO_FORMATS; f++) {
        fil_media *media = NULL;
        write_clip(ctx, names[f]);
        if (fil_media_open(ctx, scratch_path(&dir, names[f]), &media) != FIL_OK)
            fail_msg("%s: %s", names[f], fil_ctx_error(ctx)->message);
        const fil_media_info info  = info_of(media);
        const bool           noted = f == FILI_VIDEO_MP4 || f == FILI_VIDEO_WEBM;
        assert_string_equal(info.format, names[f] + 2);
        assert_string_equal(info.codec, codecs[f]);
        assert_int_equal(info.width, W);
        assert_int_equal(info.height, H);
        if (info.frames != N) fail_msg("%s: %d frames", names[f], (int)info.frames);
        const double fps = (double)info.fps_num / (double)info.fps_den;
        if (!(fps > 15.9 && fps < 16.1)) fail_msg("%s: %g a second", names[f], fps);
        assert_int_equal(fil_media_settings(media), noted ? 7 : 0);
        if (noted) assert_string_equal(info.software, "filigree 1");
        if (noted) assert_string_equal(info.description, "a fox");
        if (noted) expect_setting(media, 3, "generate", "seed", "5");
        fil_media_close(&media);
    }
}

/* ---- faults --------------------------------------------------------------------------------- */

static void write_noted_png(void)
{
    media_bytes m;
    png_begin(&m, 3, 4);
    png_chunk(&m, "tEXt", "Software\0filigree 1", 19);
    media_bytes text = {.n = 0};
    media_put(&text, "Comment", 8);
    media_put(&text, ours, sizeof ours - 1);
    png_chunk(&m, "tEXt", text.data, text.n);
    png_end(&m);
    scratch_write(&dir, "f.png", m.data, m.n);
}

static fil_status open_once(fil_ctx *ctx)
{
    fil_media       *media  = NULL;
    const fil_status status = fil_media_open(ctx, scratch_path(&dir, "f.png"), &media);
    if (status == FIL_OK) assert_int_equal(fil_media_settings(media), 7);
    assert_int_equal(status == FIL_OK, media != NULL);
    fil_media_close(&media);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    return status;
}

static void every_failing_allocation_gives_nomem_and_no_leak(void **state)
{
    alloc_fault fault = {.at = -1};
    fil_options opt;
    fil_ctx    *ctx = NULL;
    (void)state;
    write_noted_png();
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&fault);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    for (int forever = 0; forever < 2; forever++)
        for (int64_t at = 0;; at++) {
            fault                   = (alloc_fault){.at = at, .forever = forever, .live = 1};
            const fil_status status = open_once(ctx);
            assert_int_equal(fault.live, 1); /* the context */
            assert_int_equal(status, fault.failed == 0 ? FIL_OK : FIL_E_NOMEM);
            if (fault.failed != 0) continue;
            assert_in_range(at, 3, 1000); /* the path is not empty */
            break;
        }
    fault.at = -1;
    fil_ctx_close(&ctx);
    assert_int_equal(fault.live, 0);
}

static void fail_each(os_call call, int error, int least, fil_status expected)
{
    for (int64_t at = 0;; at++) {
        os_fault      fault = {.call = call, .at = -1};
        const fili_os os    = os_fault_table(&fault);
        fil_ctx      *ctx   = NULL;
        assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
        fault                   = (os_fault){.call = call, .at = at, .error = error};
        const fil_status status = open_once(ctx);
        const int        hit    = fault.failed != 0;
        assert_int_equal(fault.open, 0);
        assert_int_equal(status, hit ? expected : FIL_OK);
        fil_ctx_close(&ctx);
        if (hit) continue;
        assert_true(at >= least);
        break;
    }
}

static void every_failing_system_call_gives_io_and_no_leak(void **state)
{
    (void)state;
    write_noted_png();
    fail_each(OS_OPENAT, EIO, 1, FIL_E_IO);
    fail_each(OS_FSTAT, EIO, 1, FIL_E_IO);
    fail_each(OS_PREAD, EIO, 6, FIL_E_IO);
    fail_each(OS_PREAD, OS_SHORT_COUNT, 6, FIL_OK);
    fail_each(OS_CLOSE, EIO, 1, FIL_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_settings_of_a_picture_are_taken_apart),
        TEST(only_whole_texts_of_known_names_count),
        TEST(a_long_text_is_left_out),
        TEST(a_webp_tells_size_and_rate),
        TEST(what_is_cut_or_damaged_is_refused),
        TEST(formats_are_told_by_their_first_bytes),
        TEST(wrong_calls_are_refused),
        TEST(videos_tell_frames_rate_and_settings),
        TEST(every_failing_allocation_gives_nomem_and_no_leak),
        TEST(every_failing_system_call_gives_io_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
