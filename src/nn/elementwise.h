/* nn/elementwise.h: the small functions that touch activations outside of kernels: all of them.
 *
 * They move or add numbers and cost next to nothing; everything else runs in a kernel family. All
 * work on memory of the host; what is said to take memory of the context's device does so too.
 */
#ifndef FILI_NN_ELEMENTWISE_H
#define FILI_NN_ELEMENTWISE_H

#include "base/ctx.h"
#include "filigree/file.h"

/* ---- patches -------------------------------------------------------------------------------- */

/* A latent [channels, T, H, W] f32 in patches of pt x ph x pw: tokens of the grid T/pt, H/ph, W/pw
 * in raster order, token i of the sequence being order[i]. */
typedef struct fili_patches {
    int32_t        channels, t, h, w;
    int32_t        pt, ph, pw;
    const int32_t *order; /* [tokens] */
    int64_t        tokens;
} fili_patches;

/* rows[n, channels * pt * ph * pw] for tokens first .. first + n - 1, features in the order (c, dt,
 * dy, dx); tokens beyond the last are zero. */
FIL_MUSTCHECK fil_status fili_patches_gather(fil_ctx *ctx, const fili_patches *p,
                                             const float *latent, int64_t first, int64_t n,
                                             float *rows);

/* The way back; features in the order (dt, dy, dx, c), as the head has them. Rows beyond the last
 * token are left out. */
FIL_MUSTCHECK fil_status fili_patches_scatter(fil_ctx *ctx, const fili_patches *p,
                                              const float *rows, int64_t first, int64_t n,
                                              float *latent);

/* ---- the time vector ------------------------------------------------------------------------ */

/* out[n]: cosines, then sines, of t * 10000^(-i / (n/2)); angles in f64. n is even. */
void fili_sinusoid(double t, int32_t n, float *out);

/* out[rows] = W x + bias for one vector x[cols] f32; W [rows, cols] BF16 or F32, sums f32 in an
 * order of their own, the same for any number of threads. */
FIL_MUSTCHECK fil_status fili_matvec(fil_ctx *ctx, fil_dtype dtype, const void *weight,
                                     const float *bias, const float *x, int64_t rows, int64_t cols,
                                     float *out);

/* out[i] = x / (1 + exp(-x)); may be x. */
void fili_silu(const float *x, int64_t n, float *out);

/* ---- rows ----------------------------------------------------------------------------------- */

/* out[i] = a[i] + b[i]; may be a or b. */
void fili_add(const float *a, const float *b, int64_t n, float *out);

/* rows [n, cols] as dtype (BF16 or F32) into out [n + pad, cols], the last `pad` rows zero. */
FIL_MUSTCHECK fil_status fili_rows_take(fil_ctx *ctx, const float *rows, int64_t n, int64_t pad,
                                        int64_t cols, fil_dtype dtype, void *out);

/* out[i] += gate[i] * coarse[run of i], element by element: in f32, rounded once. Where the gate is
 * 0, out stays as it is to the bit, whatever coarse holds. gate and out may lie on the device, both
 * or none; coarse on either side. */
typedef struct fili_gated {
    fil_dtype      dtype;  /* of gate and out: BF16 or F32 */
    const void    *gate;   /* [offset[m], cols] */
    const float   *coarse; /* [m, cols] */
    const int32_t *offset; /* [m + 1] where each run begins, rising from 0 */
    int32_t        m;
    int64_t        cols;
    void          *out; /* [offset[m], cols] */
} fili_gated;

FIL_MUSTCHECK fil_status fili_gated_add(fil_ctx *ctx, const fili_gated *g);

/* Index of the first NaN or infinity among x[n], n if there is none. */
int64_t fili_first_nonfinite(const float *x, int64_t n);
/* The same for x on the host or the device: its index, and what it is; *value 0 if there is none.
 * E_DEVICE. */
FIL_MUSTCHECK fil_status fili_find_nonfinite(fil_ctx *ctx, const float *x, int64_t n, int64_t *at,
                                             float *value);
/* Such a value in a sentence. */
const char *fili_nonfinite_name(float x);

#endif
