/* kernel/mass.h: block mass of dense attention: the contract of every row.
 *
 *     mass[h][u][b] = sum over query tokens i in u, key tokens j in b of exp(s_ij - lse_i)
 *
 * with s_ij = scale q_i . k_j and lse_i the log of the row's own sum over ALL keys, so that
 * mass[h][u] sums to the number of tokens of u. Exact and streaming: the N x N scores are never
 * stored. The base of calibrated masks, and of every recall figure.
 *   blocks   runs of 1 to 64 consecutive tokens on both sides, as in attention.h.
 *   lse_in   if given, masses are relative to it instead of the row's own lse (which is still what
 *            lse_out gets). A row with lse_in -inf counts for nothing. It must not lie more than 80
 *            below the row's largest logit, or f32 overflows: inf or NaN.
 *   empty    a row whose logits are all -inf: lse -inf, and it counts for nothing.
 *   hygiene  a row that sees a logit NaN or +inf has lse NaN, and makes NaN of all the masses of
 *            its query block and head, also under lse_in. A NaN key therefore reaches every query
 *            block of its heads; a NaN query, its own block and head alone. Nothing between or
 *            behind the views' tokens has an effect. Rows on bf16 dot products read denormals as
 *            zero.
 *   bits     the same for any number of threads.
 * Blocks and strides have been validated: a row does not check them again.
 */
#ifndef FILK_MASS_H
#define FILK_MASS_H

#include "kernel/attention.h"

typedef struct filk_mass_problem {
    int64_t        nq, nk;
    int32_t        heads, kv_heads; /* heads is a multiple of kv_heads */
    int32_t        head_dim;        /* D: 64 or 128 */
    fil_dtype      dtype;           /* of q and k: BF16 or F32 */
    int32_t        mq, mk;
    const int32_t *q_offset; /* [mq+1] */
    const int32_t *k_offset; /* [mk+1] */
} filk_mass_problem;

typedef struct filk_mass_args {
    filk_attn_view q;       /* [nq, heads, D] */
    filk_attn_view k;       /* [nk, kv_heads, D] */
    float          scale;   /* finite, > 0 */
    const float   *lse_in;  /* [heads, nq], natural log; NULL = each row's own */
    float         *lse_out; /* [heads, nq], natural log, each row's own; NULL = not wanted. May be
                               lse_in */
    float *mass;            /* [heads, mq, mk] */
} filk_mass_args;

extern const filk_family filk_mass;

#define FILK_MASS(stem, isa, priority)                                                             \
    const char *stem##_refuse(const void *problem);                                                \
    size_t      stem##_workspace(const void *problem, int32_t n_threads);                          \
    fil_status  stem##_run(fil_ctx *ctx, const void *problem, const void *args, void *workspace);
#include "kernel/mass.inc"
#undef FILK_MASS

/* ---- the oracle ----------------------------------------------------------------------------- */

/* One row (token i, head h) in f64 from the inputs as they are. mass[mk] = what the row adds to
 * its block; *lse = its own. cond[mk] (NULL = not wanted) = sum_j p_ij (a_ij + sum_l p_il a_il),
 * with p = exp(s - lse) and a_ij = scale sum_d |q_id k_jd|: how far the masses move when each
 * product is off by one part. */
void filk_mass_oracle_row(const filk_mass_problem *problem, const filk_mass_args *args, int64_t i,
                          int32_t h, double *mass, double *cond, double *lse);

#endif
