/* kernel/linear.h: y = x W^T + b with what follows it fused: the contract of every row.
 *
 *     out = gate * act(x W^T + bias) + residual        x [M, K], W [N, K] as PyTorch stores it
 *
 *   act       none, GELU in its tanh form, SiLU. Of -inf: NaN, as in the formula.
 *   gate      [N] f32, the same for every row: a modulation gate. NULL = 1.
 *   residual  [M, N] f32. NULL = 0. `out` may be the residual itself (same address, stride, type).
 *   sums      f32 or better. Rows on bf16 dot products read denormals as zero.
 *   hygiene   NaN or inf in a row of x reaches that row of out alone.
 *   bits      the same for any number of threads: work is cut into tiles of fixed size.
 *   any_weight  W has the type that each call says, one that convert.h or dequant.h reads: what a
 *             file has is used as it lies there. It becomes `dtype`, rounded once (blocks from
 *             f32), in the workspace of the call, and is packed there if that is worth it: the
 *             bits of weights that were converted beforehand. K is whole blocks.
 * A row is used through a plan (registry.h): create decides how; packed_bytes and pack lay the
 * weights out once, in memory of the caller; run only computes. With packed == 0, run takes the
 * weights where the file has them. Sizes and strides have been validated by the caller of create;
 * data may have any alignment of its type; packed weights and workspace are aligned to 64.
 */
#ifndef FILK_LINEAR_H
#define FILK_LINEAR_H

#include "filigree/file.h"
#include "kernel/registry.h"

typedef enum filk_activation {
    FILK_ACT_NONE = 0,
    FILK_ACT_GELU_TANH,
    FILK_ACT_SILU
} filk_activation;

typedef struct filk_linear_problem {
    int64_t         m, n, k;    /* each >= 1 */
    fil_dtype       dtype;      /* of x and, without any_weight, of W: BF16 or F32 */
    fil_dtype       out_dtype;  /* BF16 or F32 */
    fil_dtype       bias_dtype; /* BF16 or F32; FIL_DTYPE_NONE = no bias */
    filk_activation act;
    int64_t         x_stride;   /* elements from row to row of x, >= K */
    int32_t         packed;     /* 1: args.weight is what pack wrote */
    int32_t         any_weight; /* 1: args.weight is of type args.weight_dtype; packed is 0 */
} filk_linear_problem;

typedef struct filk_linear_args {
    const void *x;            /* [M, K] */
    const void *weight;       /* [N, K] dense, or packed */
    fil_dtype   weight_dtype; /* with any_weight alone */
    int32_t     again;     /* with any_weight: 1: the call before it had the same plan, weight and
                              workspace, and nobody has written there since: what it has made
                              of the weight is used, not made again */
    const void  *bias;     /* [N] */
    const float *gate;     /* [N] or NULL */
    const float *residual; /* [M, N] or NULL */
    int64_t      residual_stride;
    void        *out; /* [M, N] */
    int64_t      out_stride;
} filk_linear_args;

extern const filk_family filk_linear;

#define FILK_LINEAR(stem, isa, priority)                                                           \
    const char                *stem##_refuse(const void *problem);                                 \
    extern const filk_plan_ops stem##_plan;
#include "kernel/linear.inc"
#undef FILK_LINEAR

/* ---- the oracle ----------------------------------------------------------------------------- */

/* Element (i, j) in f64 from the inputs as they are, weights not packed. *cond: what an error of
 * the product is measured by, |gate| (sum |x w| + |bias|); *scale: |gate act| + |residual|. */
double filk_linear_oracle(const filk_linear_problem *problem, const filk_linear_args *args,
                          int64_t i, int64_t j, double *cond, double *scale);

#endif
