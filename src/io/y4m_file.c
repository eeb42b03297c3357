/* io/y4m_file.c: YUV4MPEG2 (io/y4m_file.h). ITU-R BT.601 and BT.709; the format itself as
 * mjpegtools' yuv4mpeg(5) describes it. Does not read.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/y4m_file.h"

enum { HD_LINES = 577, SHIFT = 20 };

static const char frame_line[] = "FRAME\n";
#define FRAME_LINE (sizeof frame_line - 1)

/* Parts of red, green and blue, times 2^20: Y of 219 steps, Cb and Cr of 224. Rows of chroma sum to
 * 0, those of Y to 219 / 255, so that greys are grey and white is 235. */
typedef struct matrix {
    int32_t y[3], cb[3], cr[3];
} matrix;

static const matrix bt601 = {
    {269262, 528618, 102662}, {-155423, -305128, 460551}, {460551, -385654, -74897}};
static const matrix bt709 = {
    {191455, 644068, 65019}, {-105533, -355018, 460551}, {460551, -418321, -42230}};

/* ---- colours -------------------------------------------------------------------------------- */

/* The sum of `n` = 2^k pixels times a row, rounded: offset is 16 or 128. Below 2^31. */
static uint8_t level(const int32_t row[3], const int32_t rgb[3], int32_t offset, int k)
{
    const int32_t half = 1 << (SHIFT + k - 1);
    const int32_t sum  = row[0] * rgb[0] + row[1] * rgb[1] + row[2] * rgb[2];
    return (uint8_t)((sum + (offset << (SHIFT + k)) + half) >> (SHIFT + k));
}

static void convert_luma(const matrix *m, const uint8_t *rgb, size_t n, uint8_t *y)
{
    for (size_t i = 0; i < n; i++) {
        const int32_t pixel[3] = {rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2]};
        y[i]                   = level(m->y, pixel, 16, 0);
    }
}

/* Two lines of the picture to one of each chroma plane. */
static void convert_chroma(const matrix *m, const uint8_t *rgb, size_t width, uint8_t *cb,
                           uint8_t *cr)
{
    const uint8_t *below = rgb + 3 * width;
    for (size_t x = 0; x < width / 2; x++) {
        const uint8_t *a = rgb + 6 * x;
        const uint8_t *b = below + 6 * x;
        int32_t        sum[3];
        for (int c = 0; c < 3; c++)
            sum[c] = a[c] + a[c + 3] + b[c] + b[c + 3];
        cb[x] = level(m->cb, sum, 128, 2);
        cr[x] = level(m->cr, sum, 128, 2);
    }
}

size_t fili_y4m_frame_bytes(int32_t width, int32_t height)
{
    return (size_t)width * (size_t)height * 3 / 2;
}

void fili_y4m_convert(const uint8_t *rgb, int32_t width, int32_t height, uint8_t *planes)
{
    const matrix *m  = height >= HD_LINES ? &bt709 : &bt601;
    const size_t  w  = (size_t)width;
    const size_t  n  = w * (size_t)height;
    uint8_t      *cb = planes + n;
    uint8_t      *cr = cb + n / 4;
    convert_luma(m, rgb, n, planes);
    for (size_t row = 0; row < (size_t)height / 2; row++)
        convert_chroma(m, rgb + 6 * w * row, w, cb + row * (w / 2), cr + row * (w / 2));
}

/* ---- the file ------------------------------------------------------------------------------- */

static fil_status append(fili_y4m *y, const void *data, size_t bytes)
{
    FIL_TRY(fili_atomic_write(y->ctx, &y->file, y->at, data, bytes));
    y->at += bytes;
    return FIL_OK;
}

typedef struct header {
    char   text[160];
    size_t bytes;
} header;

static header header_of(const fili_video_shape *shape)
{
    header    h;
    const int n = snprintf(
        h.text, sizeof h.text, "YUV4MPEG2 W%d H%d F%d:%d Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n",
        (int)shape->width, (int)shape->height, (int)shape->fps_num, (int)shape->fps_den);
    h.bytes = (size_t)n;
    return h;
}

uint64_t fili_y4m_file_bytes(const fili_video_shape *shape, int32_t frames)
{
    const uint64_t each = FRAME_LINE + fili_y4m_frame_bytes(shape->width, shape->height);
    return header_of(shape).bytes + (uint64_t)frames * each;
}

fil_status fili_y4m_open(fili_y4m *y, fil_ctx *ctx, const char *path, int replace,
                         const fili_video_shape *shape)
{
    fil_status status;
    void      *block;
    *y = (fili_y4m){
        .ctx = ctx, .file = FILI_ATOMIC_CLOSED, .width = shape->width, .height = shape->height};
    FIL_TRY_OR(
        fail, fili_alloc(ctx, fili_y4m_frame_bytes(y->width, y->height), "a frame of y4m", &block));
    y->planes = block;
    FIL_TRY_OR(fail, fili_atomic_open(ctx, path, replace, &y->file));
    const header h = header_of(shape);
    FIL_TRY_OR(fail, append(y, h.text, h.bytes));
    return FIL_OK;
fail:
    fili_y4m_close(y);
    return status;
}

fil_status fili_y4m_put(fili_y4m *y, const uint8_t *rgb)
{
    fili_y4m_convert(rgb, y->width, y->height, y->planes);
    FIL_TRY(append(y, frame_line, FRAME_LINE));
    return append(y, y->planes, fili_y4m_frame_bytes(y->width, y->height));
}

fil_status fili_y4m_finish(fili_y4m *y)
{
    const fil_status status = fili_atomic_commit(y->ctx, &y->file);
    fili_y4m_close(y);
    return status;
}

void fili_y4m_close(fili_y4m *y)
{
    if (y->ctx == NULL) return;
    fili_atomic_abort(y->ctx, &y->file);
    if (y->planes != NULL) fili_free(y->ctx, y->planes, fili_y4m_frame_bytes(y->width, y->height));
    *y = (fili_y4m){.ctx = NULL};
}
