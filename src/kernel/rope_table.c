/* kernel/rope_table.c: tables of the 3-axis rotary position embedding (rope_table.h). One call per
 * grid, so it is plain: no threads, no tables per axis.
 */
#include <math.h>

#include "base/checked.h"
#include "kernel/rope_table.h"

#define THETA 10000.0

static void axis(double position, int32_t dims, float *cos_row, float *sin_row)
{
    for (int32_t i = 0; i < dims / 2; i++) {
        const double angle = position * pow(THETA, -2.0 * (double)i / (double)dims);
        cos_row[i]         = (float)cos(angle);
        sin_row[i]         = (float)sin(angle);
    }
}

fil_status fili_rope_table(fil_ctx *ctx, const filk_rope_grid *grid, const int32_t *order,
                           int64_t n, float *cos_table, float *sin_table)
{
    const int32_t f      = grid->f;
    const int32_t h      = grid->h;
    const int32_t w      = grid->w;
    const int32_t half   = grid->head_dim / 2;
    const int32_t space  = 2 * (grid->head_dim / 6);
    const int32_t time   = grid->head_dim - 2 * space;
    int64_t       tokens = 0;
    FIL_CHECK(ctx, f > 0 && h > 0 && w > 0, "rope: grid %dx%dx%d; expected 1 or more", f, h, w);
    FIL_CHECK(ctx, grid->head_dim > 0 && grid->head_dim % 2 == 0,
              "rope: head dim %d; expected an even number", grid->head_dim);
    FIL_CHECK(ctx, fili_mul_i64((int64_t)f * h, w, &tokens) && n >= 0 && n <= tokens,
              "rope: %lld rows for a grid of %dx%dx%d", (long long)n, f, h, w);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = order != NULL ? order[i] : i;
        FIL_CHECK(ctx, at >= 0 && at < tokens, "rope: token %lld lies outside the grid",
                  (long long)at);
        float        *c     = cos_table + i * half;
        float        *s     = sin_table + i * half;
        const int64_t frame = at / ((int64_t)h * w);
        const int64_t row   = at / w % h;
        axis((double)frame, time, c, s);
        axis((double)row, space, c + time / 2, s + time / 2);
        axis((double)(at % w), space, c + time / 2 + space / 2, s + time / 2 + space / 2);
    }
    return FIL_OK;
}
