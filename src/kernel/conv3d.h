/* kernel/conv3d.h: 3-D convolution, channels last: the contract of every row.
 *
 *     out[t, y, x, o] = act(bias[o] + sum over i, j, k, c of
 *         W[o, c, i, j, k] x[t st + i - pt, y sh + j - py, x sw + k - px, c]) + residual[t, y, x,
 * o]
 *
 * where x is zero outside the clip. Padding is zeros, before and after each axis, each smaller than
 * the kernel; a causal convolution pads time before only. Frames are separate dense [H, W, C]
 * blocks given by pointers, so that a stream joins cached frames with new ones; NULL is a frame of
 * zeros. Without padding in time the caller gives the frames of the past himself.
 *   act       none or SiLU.
 *   residual  frames [H', W', C_out] of the output's type; `out` may be the residual itself.
 *   sums      f32 or better. Rows on bf16 dot products read denormals as zero. A row that
 *             transforms its input rounds relative to the largest of the 4x4 pixels around.
 *   hygiene   NaN or inf in an input element reaches the outputs whose window holds it; a library's
 *             row or one that transforms may spread it further inside the output frames whose time
 *             window holds its frame (channels are padded with zeros, and 0 * NaN is NaN), but to
 *             no other frame.
 *   bits      the same for any number of threads.
 * Used through a plan (registry.h); weights [C_out, C_in, kt, kh, kw] are always packed.
 */
#ifndef FILK_CONV3D_H
#define FILK_CONV3D_H

#include "filigree/file.h"
#include "kernel/registry.h"

/* Along one axis: time, height, width. */
typedef struct filk_conv3d_axis {
    int32_t size;   /* of the input, >= 1 */
    int32_t kernel; /* >= 1 */
    int32_t stride; /* >= 1 */
    int32_t before; /* zeros, < kernel */
    int32_t after;
} filk_conv3d_axis;

typedef struct filk_conv3d_problem {
    filk_conv3d_axis t, h, w;
    int32_t          c_in, c_out;
    fil_dtype        dtype;      /* of x and W: BF16 or F32 */
    fil_dtype        out_dtype;  /* of out and residual: BF16 or F32 */
    fil_dtype        bias_dtype; /* BF16 or F32; FIL_DTYPE_NONE = no bias */
    int32_t          silu;
} filk_conv3d_problem;

typedef struct filk_conv3d_args {
    const void *const *frames;   /* [t.size], each [H, W, C_in] or NULL */
    const void        *packed;   /* the weights, as pack wrote them */
    const void        *bias;     /* [C_out] */
    const void *const *residual; /* NULL, or [T'] frames [H', W', C_out] */
    void *const       *out;      /* [T'] frames [H', W', C_out] */
} filk_conv3d_args;

/* Length of the output along an axis: 0 if the kernel does not fit. */
static inline int32_t filk_conv3d_out(const filk_conv3d_axis *axis)
{
    const int32_t room = axis->size + axis->before + axis->after - axis->kernel;
    return room < 0 ? 0 : room / axis->stride + 1;
}

extern const filk_family filk_conv3d;

#define FILK_CONV3D(stem, isa, priority)                                                           \
    const char                *stem##_refuse(const void *problem);                                 \
    extern const filk_plan_ops stem##_plan;
#include "kernel/conv3d.inc"
#undef FILK_CONV3D

/* ---- the oracle ----------------------------------------------------------------------------- */

typedef struct filk_conv3d_at {
    int32_t t, y, x, o;
} filk_conv3d_at;

/* One output in f64; weight as PyTorch stores it. *cond = sum |w x| + |bias|. */
double filk_conv3d_oracle(const filk_conv3d_problem *problem, const filk_conv3d_args *args,
                          const void *weight, filk_conv3d_at at, double *cond);

#endif
