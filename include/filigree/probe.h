/* filigree/probe.h: what a policy does to one call of attention, against exact dense attention.
 *
 * The call comes from a file: q, k, v as `filigree generate --capture` writes them, or anybody
 * else. The policy chooses, the kernel computes what it chose, and both are set against the dense
 * result: computed in f32 with every block, whatever the type of the run. Recall is the softmax
 * mass that the choice keeps, sinks included, of the exact distribution; what a tail stands for
 * does not count in it. A NaN or infinity in the tensors is no failure: figures that it reaches are
 * NaN.
 *
 *     fil_probe_options o;
 *     fil_probe_result  r;
 *     fil_policy_options policy;
 *     fil_policy_options_init(&policy);
 *     policy.name = "dfs"; policy.density = 0.2;
 *     fil_probe_options_init(&o);
 *     o.qkv = "p0_l1_s4.safetensors"; o.policy = &policy;
 *     if (fil_probe(ctx, &o, &r, NULL, 0) == FIL_OK)
 *         printf("recall %.3f, error %.3f\n", r.all.recall, r.all.rel_l2);
 */
#ifndef FILIGREE_PROBE_H
#define FILIGREE_PROBE_H

#include "filigree/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One probe. Fill with fil_probe_options_init. Pointers are borrowed for the call. */
typedef struct fil_probe_options {
    uint32_t    struct_size; /* set by fil_probe_options_init */
    const char *qkv;         /* safetensors: q, k, v [N, H, D] in raster order, BF16, F32, or I8
                                with q_step, k_step, v_step in the metadata; D 64 or 128. And gate
                                [N, H, D], where vsa is to use one */
    fil_grid  grid;          /* of the tokens; 0,0,0 = what the metadata says under `grid` */
    int32_t   layer, step;   /* of the model, for a topology; FIL_AUTO = of the metadata, else 0 */
    fil_dtype precision;     /* of the kernels; FIL_DTYPE_NONE = the file's, F32 for I8 */
    int32_t   repetitions;   /* of the timings; 0 = 3 */
    const fil_policy_options *policy;   /* density is that of this call; NULL = dense */
    const char               *mask_out; /* write the mask (format filigree.mask.1); NULL */
    const char               *out;      /* write `out` [N, H, D] F32 in raster order; NULL */
    int32_t                   replace;  /* 1 = files that exist are replaced */
} fil_probe_options;

/* No file, the metadata's grid. Cannot fail. */
FIL_API void fil_probe_options_init(fil_probe_options *options);

/* Of one head, or of all. Recall of a query block: its kept mass over its mass. */
typedef struct fil_probe_figures {
    double density;      /* counted: kept pairs and sinks over all pairs */
    double recall;       /* mean over the query tokens */
    double recall_p5;    /* 5th percentile of the query blocks */
    double recall_min;   /* of the query blocks */
    double recall_bound; /* lower bound of recall that the policy knows; NAN = it knows none */
    double rel_l2;       /* |out - dense| / |dense| */
    double psnr;         /* dB, peak = largest |dense|; infinite where equal */
} fil_probe_figures;

typedef struct fil_probe_result {
    char              policy[512]; /* what it is and does */
    const char       *kernel;      /* of attention; static storage */
    int64_t           tokens;
    int32_t           heads, head_dim, blocks;
    int32_t           sinks; /* single key tokens that every row keeps */
    int32_t           tail;  /* 1: what is left out took part as means */
    fil_probe_figures all;
    double            select_seconds; /* choosing, with everything pooled */
    double            kernel_seconds; /* attention as chosen; medians, by the clock */
    double            dense_seconds;  /* the same kernel with every block */
} fil_probe_result;

/* heads[max_heads]: figures of each head, as many as fit; NULL with 0. E_ARG: an option;
 * E_MISMATCH: tensors that are missing or of another type or shape than expected, or a grid of
 * another number of tokens; what opening a policy or
 * files gives; E_NOMEM, E_CANCELLED. On failure nothing is written. */
FIL_API FIL_MUSTCHECK fil_status fil_probe(fil_ctx *ctx, const fil_probe_options *options,
                                           fil_probe_result *result, fil_probe_figures *heads,
                                           int32_t max_heads);

#ifdef __cplusplus
}
#endif

#endif
