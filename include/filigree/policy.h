/* filigree/policy.h: how a run decides which blocks of attention are computed.
 *
 * A policy looks at each call of self-attention (layer, step, pass, q, k, v) and says which key
 * blocks each query block keeps, and what becomes of the rest. All policies use one mask format and
 * one kernel (attention.h); they differ in where the mask comes from:
 *
 *   dense        every block
 *   dfs          scores of pooled tiles of 16 tokens along a Hilbert curve, kept for some steps
 *                (DFSAttn, arXiv 2605.23445)
 *   vsa          scores of pooled cubes, each call anew; with the coarse branch and its gate where
 *                a model was trained with them (VSA, arXiv 2505.13389)
 *   west         a table made beforehand by `filigree calibrate`, with a budget for each layer,
 *                step and head (ScalingAttention, arXiv 2606.23019)
 *   window       a window of cubes around each query's (STA, arXiv 2502.04507)
 *   radial       a window that narrows with the distance in time (Radial Attention)
 *   svg          a band in space or in time, head by head (Sparse VideoGen)
 *   topk-oracle  the blocks of most exact mass: the ceiling of any choice by mass, and slow
 *   mask         those of a mask file; dense where it has none
 *   auto         ours: measures on a few rows of each head what pays, and does that
 *
 * Density is the share of (query token, key token) pairs that are computed, over the whole run:
 * every layer, step and pass, those that run dense included. What is reported is counted from the
 * masks that were used, never taken from what was asked for.
 */
#ifndef FILIGREE_POLICY_H
#define FILIGREE_POLICY_H

#include "filigree/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/* "The default that fits the rest", for numbers where 0 would be a mistake of somebody. */
#define FIL_AUTO (-1)

/* What a policy is asked for. Strings are borrowed for the call that takes the options. What a
 * policy cannot honour is refused in one sentence, never ignored. */
typedef struct fil_policy_options {
    uint32_t    struct_size; /* set by fil_policy_options_init */
    const char *name;        /* as listed above; NULL = "dense" */

    /* How much. At most one of the two; neither = what the method's authors publish. */
    double density;  /* of the whole run, above 0, up to 1; FIL_AUTO = not given */
    double fidelity; /* west: mean of 1 - Hellinger distance, above 0, up to 1; FIL_AUTO */

    /* When. Dense calls count in the density. */
    int32_t     dense_steps;  /* the first steps run dense; FIL_AUTO = the method's share */
    const char *dense_layers; /* "0", "0-2,29", "" = none; NULL = the method's */
    int64_t     min_tokens;   /* videos of fewer tokens run dense; FIL_AUTO = 0 */

    /* How. */
    const char *order;   /* of the tokens, as in attention.h; NULL = the method's */
    int32_t     block;   /* tokens of a block: 64 or 128; FIL_AUTO = the method's */
    int32_t     tail;    /* 1: a block that is left out takes part as its mean; FIL_AUTO */
    int32_t     refresh; /* steps between two choices; FIL_AUTO = the method's */
    double      tau; /* auto: choose anew when the pooled q or k moved by this share; FIL_AUTO */
    const char *topology; /* west, auto: a file of filigree calibrate; NULL = none */
    const char *budgets; /* west: "uniform", "fast", "error"; auto: "uniform", "error"; topk-oracle:
                            "uniform", "mass" (one threshold over rows and heads); NULL */
    const char *mask;    /* mask: a mask file */
    int32_t     gate;    /* vsa: 1 = the model must have one, 0 = leave it out; FIL_AUTO = if any */

    const char *preset; /* "quality", "balanced", "fast": policy and density by the size of the
                           model, where name and density are not given; NULL = none */

    /* What then. */
    int64_t dense_from; /* auto: from this call on (counted from 0 over the run) all run dense, to
                           repeat what the clock once decided; FIL_AUTO = the clock decides */
    int32_t fallback;   /* 1: what cannot be honoured runs dense, with a warning in the log */
    int32_t measure_recall; /* 1: exact recall at each choice; slow, for reports */
} fil_policy_options;

/* Fills in the defaults named above. Cannot fail. */
FIL_API void fil_policy_options_init(fil_policy_options *options);

/* The policies that there are. Static strings. */
typedef struct fil_policy_info {
    const char *name;
    const char *summary; /* one line */
} fil_policy_info;

/* Their number, and the i-th; i out of range gives NULLs. */
FIL_API int32_t fil_policies(void);
FIL_API void    fil_policy_get(int32_t i, fil_policy_info *info);

#ifdef __cplusplus
}
#endif

#endif
