/* kernel/attention.h: block-sparse attention forward: the contract of every row.
 *
 *     out_i = sum_j p_ij v_j / sum_j p_ij,   p_ij = exp(scale q_i . k_j)
 *
 * over the keys that the row keeps: those of the key blocks whose bit is set in the mask row of i's
 * query block, and the sinks. Softmax and sums in f32 or better.
 *   blocks   runs of 1 to 64 consecutive tokens on both sides: offset[0..m]. A run costs what it
 *            holds, in steps of 16 tokens.
 *   tail     each key block b that is left out takes part as one key: the pooled tail_k[b] with
 * logit scale q.tail_k[b] + ln(count[b]) + ln(factor[h]), and value tail_v[b]. count 0: not at all.
 *   sinks    tokens that every row keeps. They are taken out of their own blocks, so that no key
 *            counts twice; the caller pools and counts without them.
 *   empty    a row that keeps nothing (or only keys with logit -inf): out 0, lse -inf.
 *   hygiene  NaN or inf in a token that no row selects has no effect; in a selected one it reaches
 *            the rows that selected it alone. Rows on bf16 dot products read denormals as zero.
 *            A pooled row of a count above 0 that is not finite may reach every row.
 *   bits     the same for any number of threads.
 * Blocks, mask, sinks and strides have been validated: a row does not check them again.
 */
#ifndef FILK_ATTENTION_H
#define FILK_ATTENTION_H

#include "filigree/file.h"
#include "kernel/registry.h"

#define FILK_BLOCK     64 /* tokens of a block, at most */
#define FILK_MAX_SINKS 64

typedef struct filk_attn_problem {
    int64_t        nq, nk;
    int32_t        heads, kv_heads; /* heads is a multiple of kv_heads */
    int32_t        head_dim;        /* D: 64 or 128 */
    fil_dtype      dtype;           /* of q, k, v, out, tail_k, tail_v: BF16 or F32 */
    int32_t        mq, mk;
    const int32_t *q_offset;  /* [mq+1] */
    const int32_t *k_offset;  /* [mk+1] */
    int32_t        max_sinks; /* 0: args have none */
    int32_t        has_tail;
} filk_attn_problem;

/* Element (token, head, d) lies at data + token * stride_n + head * stride_h + d. */
typedef struct filk_attn_view {
    const void *data;
    int64_t     stride_n, stride_h; /* elements, >= 0 */
} filk_attn_view;

typedef struct filk_attn_args {
    filk_attn_view  q;   /* [nq, heads, D] */
    filk_attn_view  k;   /* [nk, kv_heads, D] */
    filk_attn_view  v;   /* [nk, kv_heads, D] */
    void           *out; /* [nq, heads, D] */
    int64_t         out_stride_n, out_stride_h;
    float          *lse;  /* [heads, nq], natural log; NULL = not wanted */
    const uint32_t *mask; /* [heads or 1, mq, words], words = ceil(mk/32); NULL = every block */
    int64_t         mask_stride_h; /* words from head to head; 0 = one for all */
    float           scale;         /* finite, > 0 */
    const int32_t  *sinks;         /* [kv_heads or 1, n_sinks] rising; NULL = none */
    int32_t         n_sinks;
    int64_t         sinks_stride_h; /* 0 = one list for all */
    filk_attn_view  tail_k;         /* [mk, kv_heads, D]; data NULL = no tail */
    filk_attn_view  tail_v;         /* [mk, kv_heads, D] */
    const int32_t  *tail_count;     /* [kv_heads or 1, mk] */
    int64_t         tail_count_stride_h;
    const float    *tail_factor; /* [heads], > 0; NULL = 1 */
} filk_attn_args;

extern const filk_family filk_attention;

#define FILK_ATTN(stem, isa, priority)                                                             \
    const char *stem##_refuse(const void *problem);                                                \
    size_t      stem##_workspace(const void *problem, int32_t n_threads);                          \
    fil_status  stem##_run(fil_ctx *ctx, const void *problem, const void *args, void *workspace);
#include "kernel/attention.inc"
#undef FILK_ATTN

/* ---- the oracle ----------------------------------------------------------------------------- */

/* One row (token i, head h) in f64 from the inputs as they are. out[D], cond[D] = sum_j p_ij |v_jd|
 * / sum_j p_ij (what a tolerance is multiplied with; NULL = not wanted), *lse. */
void filk_attn_oracle_row(const filk_attn_problem *problem, const filk_attn_args *args, int64_t i,
                          int32_t h, double *out, double *cond, double *lse);

#endif
