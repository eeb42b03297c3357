/* kernel/pooling.h: means over runs of tokens: the contract of every row.
 *
 *     out[m][h] = 1/count sum of x[i][h], i in [offset[m], offset[m+1]) and no sink of h
 *
 * Blocks and sub-runs of 16 tokens alike: pooled queries and keys for scoring, and the tail of
 * attention (tail_k, tail_v and tail_count of attention.h; the sinks are those of attention too).
 *   sums     in f32 or better, in the order of the tokens, divided once, rounded once.
 *   empty    a run without a token that counts (or of no tokens): zeros, count 0.
 *   hygiene  NaN or inf in a token reaches the means of its run, head and channel alone; in a sink
 *            it has no effect. Denormals are kept.
 *   bits     the same for any number of threads.
 * Runs, sinks and strides have been validated: a row does not check them again.
 */
#ifndef FILK_POOLING_H
#define FILK_POOLING_H

#include "kernel/attention.h"

typedef struct filk_pooling_problem {
    int64_t        n;
    int32_t        heads;
    int32_t        head_dim; /* D */
    fil_dtype      dtype;    /* of x: BF16 or F32 */
    int32_t        m;
    const int32_t *offset; /* [m+1], rising; 0 to n */
} filk_pooling_problem;

typedef struct filk_pooling_args {
    filk_attn_view x;        /* [n, heads, D] */
    float         *out_f32;  /* [m, heads, D]; NULL = not wanted */
    uint16_t      *out_bf16; /* [m, heads, D]; NULL = not wanted */
    const int32_t *sinks;    /* [heads or 1, n_sinks] rising; NULL = none */
    int32_t        n_sinks;
    int64_t        sinks_stride_h; /* 0 = one list for all */
    int32_t       *count;          /* [heads or 1, m]: tokens in each mean; NULL = not wanted */
    int64_t        count_stride_h; /* 0 (only with one list for all): one row for all */
} filk_pooling_args;

extern const filk_family filk_pooling;

#define FILK_POOLING(stem, isa, priority)                                                          \
    const char *stem##_refuse(const void *problem);                                                \
    size_t      stem##_workspace(const void *problem, int32_t n_threads);                          \
    fil_status  stem##_run(fil_ctx *ctx, const void *problem, const void *args, void *workspace);
#include "kernel/pooling.inc"
#undef FILK_POOLING

/* Sinks of head h below token t: those of a run are [below(begin), below(end)) of the list. */
int32_t filk_pooling_sinks_below(const filk_pooling_args *args, int32_t h, int64_t t);

#endif
