/* sparse/auto_choice.h: one choice of the policy auto: from q, k, v of a layer to a mask, sinks,
 * and a factor of the tail for each head.
 *
 *     tiles of 8 tokens -> scores; 64 exact rows a head -> what each number of sinks and each
 *     density would leave -> sinks of the layer, budgets and factors of its heads -> masks
 *
 * Memory is taken once. Same bits for any number of threads: heads are the tasks.
 * Source: own study (docs/design/policy_auto.md).
 */
#ifndef FILI_SPARSE_AUTO_CHOICE_H
#define FILI_SPARSE_AUTO_CHOICE_H

#include "sparse/mask.h"
#include "sparse/sampled_rows.h"
#include "sparse/tile_scores.h"

/* What a choice is made for. */
typedef struct fili_auto_call {
    filk_attn_view q, k, v;                /* for kernels */
    filk_attn_view host_q, host_k, host_v; /* the same rows where the host can read them */
    float          scale;
    double         density; /* in (0, 1): of blocks and sinks, mean of the heads */
    int32_t        has_tail;
    int32_t        uniform; /* every head the same density */
    const float   *prior;   /* [heads, m, m] mass that a table knows of; NULL = none */
} fili_auto_call;

/* Where it goes. */
typedef struct fili_auto_result {
    uint32_t *bits;   /* [heads, m, words] */
    float    *factor; /* [heads] */
    int32_t  *sinks;  /* [heads, FILK_MAX_SINKS]; the first n_sinks of each, rising */
    int32_t   n_sinks;
} fili_auto_result;

typedef struct fili_auto_choice {
    fil_ctx             *ctx;
    int32_t              heads, m, n;
    fili_tile_scores     scores;
    filk_pooling_problem pooling;
    const filk_row      *pooling_row;
    void                *workspace;
    float               *mean_k, *mean_v; /* [m, heads, D] */
    float               *score;           /* [heads, m, m] */
    float               *other;           /* the same, half of it the prior's; NULL = none */
    uint32_t            *spare;           /* [heads, m, words] */
    fili_sampled_plan    plan;
    fili_sampled_work   *work;
    int32_t              n_work;
    fili_sampled_result *result; /* [heads] */
    fili_head_budgets    budgets;
    double              *error; /* [heads, FILI_PROFILE] */
    double              *share; /* [heads] density of each */
} fili_auto_choice;

/* On failure, and whenever it is done with, fini is to be called. E_UNSUP: no kernel takes the
 * heads; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_auto_choice_init(fili_auto_choice *out, fil_ctx *ctx,
                                               fili_arena *arena, const fili_blocks *blocks,
                                               int32_t heads, int32_t head_dim, fil_dtype dtype,
                                               int32_t has_prior);
void                     fili_auto_choice_fini(fili_auto_choice *c);

FIL_MUSTCHECK fil_status fili_auto_choice_run(fili_auto_choice *c, const fili_auto_call *call,
                                              fili_auto_result *out);

#endif
