/* tests/unit/test_y4m_file.c: io/y4m_file.h: the file is the header and the exact conversion of
 * each frame, byte by byte, and what fails leaves nothing behind.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "io/y4m_file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/folder_rig.h"

enum { W = 22, H = 14, PIXELS = W * H, N = 3, FRAME = PIXELS * 3 / 2, TALL = 578 };

static scratch dir;
static uint8_t picture[2 * TALL * 3 > PIXELS * 3 ? 2 * TALL * 3 : PIXELS * 3];

static int set_up(void **state)
{
    return folder_rig_open(&dir, state);
}

static int tear_down(void **state)
{
    return folder_rig_close(&dir, state);
}

static void draw(uint64_t seed, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        picture[i] = (uint8_t)fili_philox_u32(seed, 7, i);
}

/* ---- the definition, in f64 ----------------------------------------------------------------- */

typedef struct pixel {
    double r, g, b;
} pixel;

/* The mean of a square of side x side pixels. */
static pixel mean_of(const uint8_t *rgb, int width, int x, int y, int side)
{
    pixel p = {0.0, 0.0, 0.0};
    for (int j = y; j < y + side; j++)
        for (int i = x; i < x + side; i++) {
            const uint8_t *c = rgb + 3 * (j * width + i);
            p.r += c[0] / 255.0 / (side * side);
            p.g += c[1] / 255.0 / (side * side);
            p.b += c[2] / 255.0 / (side * side);
        }
    return p;
}

/* plane: 0 Y, 1 Cb, 2 Cr. */
static double exact(pixel p, int plane, double kr, double kb)
{
    const double luma = kr * p.r + (1.0 - kr - kb) * p.g + kb * p.b;
    if (plane == 0) return 16.0 + 219.0 * luma;
    return 128.0 +
           224.0 * (plane == 1 ? (p.b - luma) / (2.0 - 2.0 * kb) : (p.r - luma) / (2.0 - 2.0 * kr));
}

/* The fixed point of the conversion is right to some thousandths. */
static void assert_nearest(uint8_t found, double wanted)
{
    const double distance = fabs((double)found - wanted);
    if (!(distance <= 0.502)) fail_msg("found %d, expected %.4f rounded", (int)found, wanted);
}

static void check_planes(const uint8_t *planes, int width, int height, double kr, double kb)
{
    const uint8_t *at = planes;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            assert_nearest(*at++, exact(mean_of(picture, width, x, y, 1), 0, kr, kb));
    for (int plane = 1; plane < 3; plane++)
        for (int y = 0; y < height; y += 2)
            for (int x = 0; x < width; x += 2)
                assert_nearest(*at++, exact(mean_of(picture, width, x, y, 2), plane, kr, kb));
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void small_pictures_are_bt601(void **state)
{
    uint8_t planes[FRAME];
    (void)state;
    assert_int_equal(fili_y4m_frame_bytes(W, H), FRAME);
    for (uint64_t seed = 0; seed < 20; seed++) {
        draw(seed, sizeof picture);
        fili_y4m_convert(picture, W, H, planes);
        check_planes(planes, W, H, 0.299, 0.114);
    }
}

static void large_pictures_are_bt709(void **state)
{
    static uint8_t planes[2 * TALL * 3 / 2];
    (void)state;
    draw(3, sizeof picture);
    fili_y4m_convert(picture, 2, TALL, planes);
    check_planes(planes, 2, TALL, 0.2126, 0.0722);
}

static void extremes_are_those_of_the_limited_range(void **state)
{
    static const struct {
        uint8_t rgb[3], y, cb, cr;
    } colours[] = {{{0, 0, 0}, 16, 128, 128},        {{255, 255, 255}, 235, 128, 128},
                   {{128, 128, 128}, 126, 128, 128}, {{255, 0, 0}, 81, 90, 240},
                   {{0, 255, 0}, 145, 54, 34},       {{0, 0, 255}, 41, 240, 110}};
    uint8_t planes[6];
    (void)state;
    for (size_t i = 0; i < sizeof colours / sizeof colours[0]; i++) {
        for (int k = 0; k < 4; k++)
            memcpy(picture + 3 * k, colours[i].rgb, 3);
        fili_y4m_convert(picture, 2, 2, planes);
        assert_int_equal(planes[0], colours[i].y);
        assert_int_equal(planes[4], colours[i].cb);
        assert_int_equal(planes[5], colours[i].cr);
    }
}

static const fili_video_shape shape = {
    .width = W, .height = H, .fps_num = 16, .fps_den = 1, .format = FILI_VIDEO_Y4M};

static fil_status write_clip(fil_ctx *ctx, const char *name)
{
    fili_y4m y;
    FIL_TRY(fili_y4m_open(&y, ctx, scratch_path(&dir, name), 0, &shape));
    fil_status status = FIL_OK;
    for (uint64_t f = 0; f < N && status == FIL_OK; f++) {
        draw(f, sizeof picture);
        status = fili_y4m_put(&y, picture);
    }
    if (status == FIL_OK) return fili_y4m_finish(&y);
    fili_y4m_close(&y);
    fili_y4m_close(&y); /* idempotent */
    return status;
}

static void the_file_is_the_header_and_the_converted_frames(void **state)
{
    static const char header[] = "YUV4MPEG2 W22 H14 F16:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n";
    const size_t      head     = sizeof header - 1;
    uint8_t           planes[FRAME];
    size_t            bytes;
    assert_int_equal(write_clip(*state, "a.y4m"), FIL_OK);
    unsigned char *data = scratch_read(&dir, "a.y4m", &bytes);
    assert_int_equal(bytes, head + N * (6 + FRAME));
    assert_int_equal(fili_y4m_file_bytes(&shape, N), bytes);
    assert_memory_equal(data, header, head);
    for (size_t f = 0; f < N; f++) {
        const unsigned char *at = data + head + f * (6 + FRAME);
        draw(f, sizeof picture);
        fili_y4m_convert(picture, W, H, planes);
        assert_memory_equal(at, "FRAME\n", 6);
        assert_memory_equal(at + 6, planes, FRAME);
    }
    free(data);
}

static void every_call_that_fails_leaves_nothing(void **state)
{
    os_fault      fault = {.call = OS_ANY, .at = -1, .error = ENOSPC};
    const fili_os os    = os_fault_table(&fault);
    fil_ctx      *ctx   = NULL;
    (void)state;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    for (fault.at = 0; fault.at < 100; fault.at++) {
        fault.calls             = 0;
        fault.failed            = 0;
        const fil_status status = write_clip(ctx, "x.y4m");
        if (fault.failed == 0) {
            assert_int_equal(status, FIL_OK);
            break;
        }
        if (status != FIL_OK) {
            assert_int_equal(status, FIL_E_IO);
            /* All but the sync of the folder behind the rename, after which the file stands. */
            if (scratch_count(&dir) != 0)
                assert_non_null(strstr(fil_ctx_error(ctx)->message, "sync the folder"));
        }
        scratch_remove(&dir);
        scratch_make(&dir);
        fili_ctx_enter(ctx);
    }
    assert_true(fault.at > 2 * N);
    assert_int_equal(fault.open, 0);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_pictures_are_bt601),
        TEST(large_pictures_are_bt709),
        TEST(extremes_are_those_of_the_limited_range),
        TEST(the_file_is_the_header_and_the_converted_frames),
        TEST(every_call_that_fails_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
