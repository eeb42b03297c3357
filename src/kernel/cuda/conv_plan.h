/* kernel/cuda/conv_plan.h: what convolutions through a matrix product work out in integers alone:
 * which element of the input stands where in a row of the matrix, and which of the weights
 * (im2col). Plain C as well as CUDA, so that tests hold it on machines without a GPU. The kernels
 * are in conv3d_lt.cu.
 *
 * A row of the matrix is an output pixel's window: frames, rows, columns, channels, in this order,
 * and zeros up to a multiple of 8 elements.
 */
#ifndef FILK_CUDA_CONV_PLAN_H
#define FILK_CUDA_CONV_PLAN_H

#ifdef __cplusplus
extern "C" {
#endif
#include "kernel/conv3d.h"
#ifdef __cplusplus
}
#endif

#include "kernel/cuda/both.h"

#define FILK_CONV_CHUNK ((int64_t)128 << 20) /* bytes of the matrix that exist at a time, about */

typedef struct filk_im2col {
    int32_t h, w, c;        /* of the input: rows, columns, channels */
    int32_t kt, kh, kw;     /* of the window */
    int32_t sh, sw, ph, pw; /* strides, zeros before */
    int32_t out_h, out_w;   /* of the output */
    int64_t k, k_padded;    /* elements of a row */
    int64_t pixels, chunk;  /* of the output; rows of the matrix that exist at a time */
} filk_im2col;

static inline filk_im2col filk_im2col_of(const filk_conv3d_problem *p)
{
    filk_im2col   s;
    const int64_t size = p->dtype == FIL_BF16 ? 2 : 4;
    s.h                = p->h.size;
    s.w                = p->w.size;
    s.c                = p->c_in;
    s.kt               = p->t.kernel;
    s.kh               = p->h.kernel;
    s.kw               = p->w.kernel;
    s.sh               = p->h.stride;
    s.sw               = p->w.stride;
    s.ph               = p->h.before;
    s.pw               = p->w.before;
    s.out_h            = filk_conv3d_out(&p->h);
    s.out_w            = filk_conv3d_out(&p->w);
    s.k                = (int64_t)s.kt * s.kh * s.kw * s.c;
    s.k_padded         = (s.k + 7) / 8 * 8;
    s.pixels           = (int64_t)s.out_h * s.out_w;
    s.chunk            = FILK_CONV_CHUNK / (s.k_padded * size) / 256 * 256;
    if (s.chunk < 256) s.chunk = 256;
    if (s.chunk > s.pixels) s.chunk = s.pixels;
    return s;
}

/* Element e of the row of output pixel `pixel`: its frame of the window, and *at, its place in that
 * frame; below 0: it is zero. Pixels, and elements of a row, are below 2^31. */
FILK_BOTH int32_t filk_im2col_from(const filk_im2col *s, int32_t pixel, int32_t e, int64_t *at)
{
    const int32_t tap = e / s->c;
    const int32_t row = pixel / s->out_w;
    const int32_t x   = (pixel - row * s->out_w) * s->sw + tap % s->kw - s->pw;
    const int32_t y   = row * s->sh + tap / s->kw % s->kh - s->ph;
    const int     in  = e < s->k && x >= 0 && x < s->w && y >= 0 && y < s->h;
    *at               = in ? ((int64_t)y * s->w + x) * s->c + (e - tap * s->c) : -1;
    return tap / (s->kw * s->kh);
}

/* Where element e < k of the packed row of output channel o stands in [C_out, C_in, kt, kh, kw]. */
FILK_BOTH int64_t filk_im2col_weight(const filk_im2col *s, int64_t o, int64_t e)
{
    return (o * s->c + e % s->c) * (s->k / s->c) + e / s->c;
}

#endif
