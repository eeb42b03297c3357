/* kernel/sampled.h: attention of a few query rows over all keys, in parts: the contract of every
 * row.
 *
 *     share[j][r]   = exp(scale q_r . k_j - lse_r), lse_r over all keys
 *     part[b][r][d] = sum over keys j of block b of share[j][r] v_jd
 *
 * for FILK_SAMPLED rows r of one head, so that what any mask would leave of these rows is a sum of
 * parts. Rows are given by their tokens; a token may come several times, to fill up.
 *   sums     in f32 or better; shares of a row sum to 1.
 *   hygiene  NaN or inf in a key or value reaches all rows, in a query its row alone.
 *   threads  runs on the calling thread: heads are the caller's tasks.
 * Blocks, tokens and strides have been validated: a row does not check them again.
 */
#ifndef FILK_SAMPLED_H
#define FILK_SAMPLED_H

#include "kernel/attention.h"

enum { FILK_SAMPLED = 64 };

typedef struct filk_sampled_problem {
    int32_t        head_dim; /* D: 64 or 128 */
    fil_dtype      dtype;    /* of q, k, v: BF16 or F32 */
    int32_t        m;
    const int32_t *offset; /* [m+1]: runs of 1 to 64 tokens */
} filk_sampled_problem;

typedef struct filk_sampled_args {
    filk_attn_view q, k, v; /* [n, heads, D] */
    int32_t        head;
    const int32_t *token; /* [FILK_SAMPLED] */
    float          scale; /* finite, > 0 */
    float         *share; /* [n, FILK_SAMPLED] */
    float         *part;  /* [m, FILK_SAMPLED, D] */
    float         *lse;   /* [FILK_SAMPLED] natural log */
} filk_sampled_args;

extern const filk_family filk_sampled;

#define FILK_SAMPLED_ROW(stem, isa, priority)                                                      \
    const char *stem##_refuse(const void *problem);                                                \
    size_t      stem##_workspace(const void *problem, int32_t n_threads);                          \
    fil_status  stem##_run(fil_ctx *ctx, const void *problem, const void *args, void *workspace);
#include "kernel/sampled.inc"
#undef FILK_SAMPLED_ROW

#endif
