/* engine/compare_ssim.c: structural similarity of two RGB frames (compare_job.h).
 *
 * Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
 * similarity", IEEE TIP 13(4), 2004, equation 13, with the Gaussian window of section III-B. The
 * window is separable: columns first, then rows. A row of pixels is taken as 3 * width interleaved
 * values, so that the three channels go through the same loops; a step to the next pixel is then 3
 * values. Windows that reach over the border are left out. One task is one row of windows.
 */
#include <math.h>

#include "base/mem.h"
#include "base/pool.h"
#include "engine/compare_job.h"

enum { SIDE = FILI_SSIM_SIDE, SUMS = 4 /* a, b, a^2 + b^2, ab */ };

static const double c1 = (0.01 * 255.0) * (0.01 * 255.0);
static const double c2 = (0.03 * 255.0) * (0.03 * 255.0);

static void make_weights(double weight[SIDE])
{
    const double sigma = 1.5;
    double       sum   = 0.0;
    for (int i = 0; i < SIDE; i++) {
        const double x = (double)i - (SIDE - 1) / 2.0;
        weight[i]      = exp(-0.5 * x * x / (sigma * sigma));
        sum += weight[i];
    }
    for (int i = 0; i < SIDE; i++)
        weight[i] /= sum;
}

static bool has_window(const fili_ssim *s)
{
    return s->width >= SIDE && s->height >= SIDE;
}

fil_status fili_ssim_open(fili_ssim *s, fil_ctx *ctx, int32_t width, int32_t height)
{
    void *block;
    *s = (fili_ssim){.ctx = ctx, .width = width, .height = height};
    make_weights(s->weight);
    if (!has_window(s)) return FIL_OK;
    s->row_bytes    = (size_t)(height - SIDE + 1) * sizeof *s->row;
    s->column_bytes = (size_t)ctx->n_threads * SUMS * 3 * (size_t)width * sizeof *s->column;
    FIL_TRY(fili_alloc(ctx, s->row_bytes, "sums of SSIM", &block));
    s->row                  = block;
    const fil_status status = fili_alloc(ctx, s->column_bytes, "columns of SSIM", &block);
    if (status == FIL_OK)
        s->column = block;
    else
        fili_ssim_close(s);
    return status;
}

void fili_ssim_close(fili_ssim *s)
{
    if (s->ctx == NULL) return;
    fili_free(s->ctx, s->row, s->row_bytes);
    fili_free(s->ctx, s->column, s->column_bytes);
    *s = (fili_ssim){.ctx = NULL};
}

/* column[sum][n]: weighted sums over SIDE rows of n values, from row y on. */
static void add_columns(const fili_ssim *s, int64_t y, size_t n, double *column)
{
    double *restrict ca = column;
    double *restrict cb = column + n;
    double *restrict cs = column + 2 * n;
    double *restrict cp = column + 3 * n;
    for (size_t i = 0; i < SUMS * n; i++)
        column[i] = 0.0;
    for (size_t k = 0; k < SIDE; k++) {
        const uint8_t *restrict a = s->a + ((size_t)y + k) * n;
        const uint8_t *restrict b = s->b + ((size_t)y + k) * n;
        const double w            = s->weight[k];
        for (size_t i = 0; i < n; i++) {
            const int32_t va = a[i];
            const int32_t vb = b[i];
            ca[i] += w * (double)va;
            cb[i] += w * (double)vb;
            cs[i] += w * (double)(va * va + vb * vb);
            cp[i] += w * (double)(va * vb);
        }
    }
}

/* In place: column[i] = sum over SIDE pixels to the right, for i < n - 3 * (SIDE - 1). */
static void add_rows(const double weight[SIDE], size_t n, double *column)
{
    const size_t most = n - 3 * (size_t)(SIDE - 1);
    for (size_t i = 0; i < most; i++) {
        double sum = 0.0;
        for (size_t k = 0; k < SIDE; k++)
            sum += weight[k] * column[i + 3 * k];
        column[i] = sum;
    }
}

static double similarity(double a, double b, double squares, double product)
{
    const double ab     = a * b;
    const double aa_bb  = a * a + b * b;
    const double spread = squares - aa_bb; /* both variances */
    const double shared = product - ab;    /* covariance */
    return (2.0 * ab + c1) * (2.0 * shared + c2) / ((aa_bb + c1) * (spread + c2));
}

static fil_status row_of_windows(void *arg, int64_t y, int32_t worker)
{
    const fili_ssim *s      = arg;
    const size_t     n      = 3 * (size_t)s->width;
    double          *column = s->column + (size_t)worker * SUMS * n;
    double           sum    = 0.0;
    add_columns(s, y, n, column);
    for (size_t k = 0; k < SUMS; k++)
        add_rows(s->weight, n, column + k * n);
    for (size_t i = 0; i < n - 3 * (size_t)(SIDE - 1); i++)
        sum += similarity(column[i], column[n + i], column[2 * n + i], column[3 * n + i]);
    s->row[y] = sum;
    return FIL_OK;
}

fil_status fili_ssim_of(fili_ssim *s, const uint8_t *a, const uint8_t *b, double *value)
{
    *value = (double)NAN;
    if (!has_window(s)) return FIL_OK;
    const int64_t rows = s->height - SIDE + 1;
    double        sum  = 0.0;
    s->a               = a;
    s->b               = b;
    FIL_TRY(fili_pool_run(s->ctx, "structural similarity", rows, row_of_windows, s));
    for (int64_t y = 0; y < rows; y++)
        sum += s->row[y];
    *value = sum / ((double)rows * 3.0 * (double)(s->width - SIDE + 1));
    return FIL_OK;
}
