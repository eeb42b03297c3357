/* kernel/norm.h: the norms of a diffusion transformer, each fused with its follower: the contract.
 *
 *   FILK_NORM_MODULATED  out = (x - mean) / sqrt(var + eps) * (1 + a) + b    LayerNorm, modulation
 *   FILK_NORM_AFFINE     out = (x - mean) / sqrt(var + eps) * a + b          LayerNorm
 *   FILK_NORM_RMS        out = R(x / sqrt(mean(x^2) + eps) * a)              RMS norm, rotation
 *                        or SiLU of that
 *
 * over rows of D elements; a and b [D] f32 hold for all rows; var is the mean of (x - mean)^2.
 * R turns pairs (2i, 2i+1) inside each head of D/heads elements by the row's angles:
 * y0 = x0 cos - x1 sin, y1 = x0 sin + x1 cos (Su et al. 2021, interleaved; rope_table.h makes the
 * tables). The RMS norm runs over all of D, across heads, before the rotation. cos NULL: no R.
 *   sums     f32 or better, in two passes for the variance.
 *   rounding once, when out is written: nothing in between is bf16.
 *   hygiene  NaN or inf in a row reaches that row alone.
 *   bits     the same for any number of threads.
 * out may be x itself (same address, type and stride). Sizes and strides have been validated.
 */
#ifndef FILK_NORM_H
#define FILK_NORM_H

#include "filigree/file.h"
#include "kernel/registry.h"

typedef enum filk_norm_kind {
    FILK_NORM_MODULATED = 0,
    FILK_NORM_AFFINE,
    FILK_NORM_RMS
} filk_norm_kind;

typedef struct filk_norm_problem {
    filk_norm_kind kind;
    int64_t        rows, dim;        /* dim >= 1 */
    fil_dtype      dtype, out_dtype; /* BF16 or F32 */
    int32_t        head_dim;         /* with R: even, divides dim; else 0 */
    int32_t        silu;             /* RMS without R: y / (1 + exp(-y)) of the normed y */
} filk_norm_problem;

typedef struct filk_norm_args {
    const void  *x; /* [rows, D] */
    int64_t      x_stride;
    void        *out; /* [rows, D] */
    int64_t      out_stride;
    const float *a;         /* [D] scale or weight */
    const float *b;         /* [D] shift or bias; unused by RMS */
    const float *cos, *sin; /* [rows, head_dim/2]; NULL = no rotation */
    float        eps;
} filk_norm_args;

extern const filk_family filk_norm;

#define FILK_NORM(stem, isa, priority)                                                             \
    const char *stem##_refuse(const void *problem);                                                \
    size_t      stem##_workspace(const void *problem, int32_t n_threads);                          \
    fil_status  stem##_run(fil_ctx *ctx, const void *problem, const void *args, void *workspace);
#include "kernel/norm.inc"
#undef FILK_NORM

/* ---- the oracle ----------------------------------------------------------------------------- */

/* Row i in f64. out[dim]; cond[dim]: sum of the magnitudes that were added to make each element.
 */
void filk_norm_oracle_row(const filk_norm_problem *problem, const filk_norm_args *args, int64_t i,
                          double *out, double *cond);

#endif
