/* sparse/sampled_rows.h: what a mask, sinks, a tail and its factor leave of a few exact rows.
 *
 * 64 query rows of each head, one from each of 64 equal parts of the sequence, are computed over
 * all keys (kernel/sampled.h). The output that any choice gives on them is a sum of their parts, so
 * many choices are judged for the price of one; the true output is never asked.
 * For each number of sinks in question and each of FILI_PROFILE budgets: the squared error of the
 * head's rows under the best factor of the tail, and that factor. Sinks are the tokens with most
 * mass outside the blocks that half the density would keep. Rows that helped to find sinks would
 * flatter them, so the even rows are judged with the sinks of the odd ones, and the other way.
 * Source: own study (docs/design/policy_auto.md).
 */
#ifndef FILI_SPARSE_SAMPLED_ROWS_H
#define FILI_SPARSE_SAMPLED_ROWS_H

#include "kernel/sampled.h"
#include "sparse/block_rank.h"
#include "sparse/blocks.h"
#include "sparse/head_budgets.h"

enum { FILI_SINK_COUNTS = 4 };
extern const int32_t fili_sink_counts[FILI_SINK_COUNTS]; /* 0 first, rising */

/* What is the same for all heads. */
typedef struct fili_sampled_plan {
    fil_ctx             *ctx;
    const fili_blocks   *blocks; /* borrowed, as tiles */
    const int32_t       *tiles;  /* [m + 1] first tile of each block */
    int32_t             *valid;  /* [m] */
    int32_t              token[FILK_SAMPLED], unit[FILK_SAMPLED]; /* rows and their blocks */
    int32_t              heads;
    filk_sampled_problem problem;
    const filk_row      *row;
} fili_sampled_plan;

/* Memory of one worker. */
typedef struct fili_sampled_work {
    fili_block_rank rank;
    void           *workspace;
    float          *share;       /* [n, 64] */
    float          *part;        /* [m, 64, D], without sinks */
    float          *mass;        /* [m, 64], without sinks */
    float          *k[2], *v[2]; /* [m, D] means without sinks, for even and odd rows */
    int32_t        *count[2];    /* [m] tokens without sinks */
    int32_t         sink[2][FILK_MAX_SINKS];
    float          *left[3];              /* [n] mass left out: of odd, of even, of all rows */
    float          *q, *exact, *sink_out; /* [64, D] */
    float          *sink_mass;            /* [64] */
    float          *lse;
    float          *bin; /* [FILI_PROFILE + 1][2][64, D + 1]: kept and tail, by level */
} fili_sampled_work;

/* One call of the layer. */
typedef struct fili_sampled_call {
    filk_attn_view q, k, v;
    float          scale;
    double         density;
    int32_t        has_tail;
    const float   *score;           /* [heads, m, m] */
    const float   *other;           /* the same by another estimate; NULL = none */
    const float   *mean_k, *mean_v; /* [m, heads, D] of the blocks */
} fili_sampled_call;

/* Of one head. */
typedef struct fili_sampled_result {
    int32_t other;                                 /* 1: the other score leaves less */
    int32_t n_counts;                              /* of fili_sink_counts that fit the density */
    int32_t sink[FILK_MAX_SINKS];                  /* by falling mass */
    double  error[FILI_SINK_COUNTS][FILI_PROFILE]; /* NaN where the inputs are */
    double  factor[FILI_SINK_COUNTS][FILI_PROFILE];
} fili_sampled_result;

FIL_MUSTCHECK fil_status fili_sampled_plan_init(fili_sampled_plan *out, fil_ctx *ctx,
                                                fili_arena *arena, const fili_blocks *blocks,
                                                const int32_t *tiles, int32_t heads,
                                                int32_t head_dim, fil_dtype dtype);
FIL_MUSTCHECK fil_status fili_sampled_work_init(fili_sampled_work *out, fili_arena *arena,
                                                const fili_sampled_plan *plan);

/* Runs on the calling thread. rank is sorted for the head afterwards. */
FIL_MUSTCHECK fil_status fili_sampled_run(const fili_sampled_plan *plan, fili_sampled_work *work,
                                          const fili_sampled_call *call, int32_t head,
                                          fili_sampled_result *out);

#endif
