/* sparse/row_profile.h: what masks of all levels do to a few sampled rows of attention, exactly.
 *
 * For FAST's fidelity only the block masses of sampled rows are needed (scaling_dfs.md 1.4), for
 * budgets by error the output that each level would give (auto.md): both from one pass over the
 * keys. Blocks that a level leaves out take part as their means (the plain tail), or not at all.
 */
#ifndef FILI_SPARSE_ROW_PROFILE_H
#define FILI_SPARSE_ROW_PROFILE_H

#include "kernel/attention.h"
#include "sparse/blocks.h"

typedef struct fili_row_args {
    filk_attn_view     q, k, v; /* [N, heads, head_dim], in the order */
    fil_dtype          dtype;   /* BF16 or F32 */
    int32_t            heads, head_dim;
    float              scale;
    const fili_blocks *blocks; /* of at most 64 tokens: what a tail pools */
    const int32_t     *row;    /* [n_rows] tokens, in the order */
    int32_t            n_rows;
    const uint8_t     *map;    /* [heads, m, m] levels */
    int32_t            m, per; /* blocks of the map, of `per` blocks each: 1, or 2 = pairs */
    int32_t            n_levels;
    int32_t            tail;
    void              *scratch; /* fili_row_scratch for each thread */
    float             *mass;    /* [heads, n_rows, m], each row sums to 1 */
    double            *error;   /* [heads, n_rows, n_levels] squared distance to dense output */
    double            *energy;  /* [heads, n_rows] square of the dense output */
} fili_row_args;

size_t fili_row_scratch(int32_t n, int32_t m, int32_t head_dim, int32_t n_levels);

/* n rows out of 0 .. tokens - 1, one in each of n equal strata, rising. n <= tokens. */
void fili_row_sample(uint64_t seed, int32_t tokens, int32_t n, int32_t *row);

/* The same for any number of threads. E_NONFINITE: a logit or a value is not finite. */
FIL_MUSTCHECK fil_status fili_row_profile(fil_ctx *ctx, const fili_row_args *args);

#endif
