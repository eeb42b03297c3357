/* filigree/bench.h: which kernel is chosen, and how fast it is on this machine.
 *
 * A measurement makes its own inputs (standard normal, the same for the same seed), runs the thing
 * in question, the thing to compare it with and a register-only loop in turn, all in one process,
 * and gives medians: so frequency, temperature and neighbours are the same for all three. Nothing
 * is printed and nothing is kept.
 *
 *     fil_bench_attention_desc desc;
 *     fil_bench_result result;
 *     fil_bench_attention_desc_init(&desc);
 *     desc.n = 8192; desc.heads = 2; desc.density = 0.15;
 *     if (fil_bench_attention(ctx, &desc, &result) == FIL_OK)
 *         printf("%s: %.0f %% of peak\n", result.kernel, 100 * result.fraction_of_peak);
 *
 * Time: with one thread the CPU time of that thread, so that what other programs take does not
 * count; with more, the time that passes. Memory comes from the context and is planned beforehand:
 * what does not fit under its limit is E_NOMEM before any work is done.
 */
#ifndef FILIGREE_BENCH_H
#define FILIGREE_BENCH_H

#include "filigree/policy.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- results -------------------------------------------------------------------------------- */

/* What does not apply to a measurement is 0. */
typedef struct fil_bench_result {
    const char *kernel;           /* static storage */
    const char *isa;              /* lowest instruction set that the kernel needs */
    const char *peak;             /* what the peak loop runs on: "vdpbf16ps zmm" */
    int32_t     threads;          /* of the context */
    int32_t     repetitions;      /* that were made, after one that does not count */
    uint64_t    workspace_bytes;  /* of the kernel */
    uint64_t    memory_bytes;     /* of the whole measurement */
    double      flops;            /* operations of one call; attention: of the kept pairs alone */
    double      seconds;          /* of one call; median */
    double      tflops;           /* flops / seconds / 10^12 */
    double      peak_tflops;      /* of the register-only loop, on as many threads; median */
    double      fraction_of_peak; /* tflops / peak_tflops */

    /* Attention. density: kept (query token, key token) pairs over all, sinks counted; work: the
     * same with each key of the tail counted as one. With a mask, dense is the same kernel without
     * it, and sparse_efficiency is the rate of the kept work over that of dense. Mass: dense is
     * attention over the same tokens. */
    int64_t     n; /* of linear: columns of the result */
    int32_t     heads, head_dim;
    double      density, work;
    double      dense_seconds;
    double      sparse_efficiency;
    const char *dense_kernel;

    /* Linear: the same product without bias, epilogue and conversion. */
    double plain_seconds;
} fil_bench_result;

/* ---- attention ------------------------------------------------------------------------------ */

/* Which blocks are kept. Each is drawn or cut so that every query block keeps the same share. */
typedef enum fil_bench_mask {
    FIL_BENCH_RANDOM = 0, /* any key blocks, drawn anew for each head and query block */
    FIL_BENCH_WINDOW,     /* the nearest key blocks */
    FIL_BENCH_FRAMES      /* 1 / density frames of blocks of their own; the blocks of its frame */
} fil_bench_mask;

/* Fill with fil_bench_attention_desc_init, then change what matters. Zero takes the default. */
typedef struct fil_bench_attention_desc {
    uint32_t       struct_size; /* set by fil_bench_attention_desc_init */
    int64_t        n;           /* tokens of query and key; 4,096, or those of mask_file */
    int32_t        heads;       /* 2 */
    int32_t        head_dim;    /* 128 */
    fil_dtype      dtype;       /* FIL_BF16 */
    fil_bench_mask mask;        /* of the kinds above */
    double         density;     /* above 0, up to 1; 1 (default) without mask_file: dense alone */
    const char    *mask_file;   /* NULL; else blocks and first mask of this file */
    int32_t        tail;        /* 1: the pooled blocks take part */
    int32_t        sinks;       /* 0; sinks of each head, up to 64 */
    const char    *kernel;      /* NULL: the best */
    int32_t        repetitions; /* up to 99; 0: what fits into two seconds, 5 at least */
    uint64_t       seed;        /* 0; of the inputs and of a random mask */
} fil_bench_attention_desc;

/* Fills *desc with the defaults named above. */
FIL_API void fil_bench_attention_desc_init(fil_bench_attention_desc *desc);

/* E_ARG: a number out of range; E_UNSUP: no kernel takes it, with each one's reason; E_NOMEM;
 * E_CANCELLED; what opening a mask file gives, and E_MISMATCH: it has other tokens or heads. */
FIL_API FIL_MUSTCHECK fil_status fil_bench_attention(fil_ctx                        *ctx,
                                                     const fil_bench_attention_desc *desc,
                                                     fil_bench_result               *result);

/* ---- mass ----------------------------------------------------------------------------------- */

/* Mass of dense attention per pair of blocks, compared with dense attention itself. */
typedef struct fil_bench_mass_desc {
    uint32_t    struct_size; /* set by fil_bench_mass_desc_init */
    int64_t     n;           /* 4,096 */
    int32_t     heads;       /* 2 */
    int32_t     head_dim;    /* 128 */
    fil_dtype   dtype;       /* FIL_BF16 */
    const char *kernel;      /* NULL: the best */
    int32_t     repetitions; /* as above */
    uint64_t    seed;        /* 0 */
} fil_bench_mass_desc;

/* Both as for attention; a mask there is none. */
FIL_API void                     fil_bench_mass_desc_init(fil_bench_mass_desc *desc);
FIL_API FIL_MUSTCHECK fil_status fil_bench_mass(fil_ctx *ctx, const fil_bench_mass_desc *desc,
                                                fil_bench_result *result);

/* ---- linear --------------------------------------------------------------------------------- */

/* What follows the product; each has a bias. */
typedef enum fil_bench_epilogue {
    FIL_BENCH_NONE = 0, /* nothing */
    FIL_BENCH_GELU,     /* GELU in its tanh form */
    FIL_BENCH_SILU,     /* x / (1 + exp(-x)) */
    FIL_BENCH_GATE      /* gate * y + residual */
} fil_bench_epilogue;

/* y [m, n] = x [m, k] W^T [k, n], weights packed once. */
typedef struct fil_bench_linear_desc {
    uint32_t           struct_size; /* set by fil_bench_linear_desc_init */
    int64_t            m, k, n;     /* 2,048, 1,536, 1,536 */
    fil_dtype          dtype;       /* FIL_BF16 */
    fil_bench_epilogue epilogue;    /* FIL_BENCH_NONE */
    const char        *kernel;      /* NULL: the best */
    int32_t            repetitions; /* as above */
    uint64_t           seed;        /* 0 */
    int32_t            in_place;    /* 1: weights as a file has them; 0 (default): packed once */
    fil_dtype          weights;     /* FIL_DTYPE_NONE: of dtype. Else any floating-point or block
                                       type, in place: turned into dtype as they are used */
} fil_bench_linear_desc;

/* Both as for attention. The time of packing is not in the result. */
FIL_API void                     fil_bench_linear_desc_init(fil_bench_linear_desc *desc);
FIL_API FIL_MUSTCHECK fil_status fil_bench_linear(fil_ctx *ctx, const fil_bench_linear_desc *desc,
                                                  fil_bench_result *result);

/* ---- models --------------------------------------------------------------------------------- */

/* One pass through a model, or part of one, with random weights that are made in memory. The parts
 * are those of the repetition with the median time; they add up to it. */
typedef struct fil_bench_model_result {
    int64_t     tokens;            /* of the sequence */
    int32_t     layers;            /* that were run */
    int32_t     threads;           /* of the context */
    int32_t     repetitions;       /* that were made, after one that does not count */
    double      density;           /* kept pairs over all pairs of self-attention */
    double      seconds;           /* of one pass; median */
    double      attention_seconds; /* self-attention, from q, k, v to its output */
    double      cross_seconds;     /* attention to the prompt, alike */
    double      linear_seconds;    /* every matrix product with weights */
    double      rest_seconds;      /* everything else */
    double      choose_seconds;    /* dit: the policy, everything chosen anew */
    double      flops;             /* of one pass; attention: of the kept pairs alone */
    double      tflops;            /* flops / seconds / 10^12 */
    double      peak_tflops;       /* of a register-only loop, run in turn; median */
    uint64_t    peak_bytes;        /* most host memory at once, the random weights included */
    const char *attention_kernel;  /* static storage; "" if there is none */
    const char *linear_kernel;     /* static storage */
} fil_bench_model_result;

/* The diffusion transformer: one forward pass, embedding of time and patches and the head included,
 * with a prompt of full length whose keys are computed beforehand. */
typedef struct fil_bench_dit_desc {
    uint32_t    struct_size; /* set by fil_bench_dit_desc_init */
    const char *config;      /* "1.3b" (default), "14b", or the path of a config.json */
    int32_t     f, h, w;     /* tokens: frames, height, width; 5, 16, 26 */
    int32_t     layers;      /* 0: those of the configuration */
    fil_dtype   dtype;       /* FIL_BF16: of linears and attention */
    double      density;     /* of random masks: above 0, up to 1 (default: dense) */

    /* Policies instead, that run in turn in every repetition with one set of weights: [n_policies],
     * borrowed. Each chooses anew in every pass, the costliest case. Their density is that of the
     * pass. NULL with 0: one run, dense or with random masks. */
    const fil_policy_options *policies;
    int32_t                   n_policies;  /* up to 16 */
    int32_t                   repetitions; /* up to 99; 0: what fits into two seconds, 3 at least */
    uint64_t                  seed;        /* 0 */
} fil_bench_dit_desc;

/* Fills *desc with the defaults named above. */
FIL_API void fil_bench_dit_desc_init(fil_bench_dit_desc *desc);

/* results: [n_policies], or one. E_ARG: a number out of range; E_NOMEM: before any work is done;
 * what a config.json gives: E_FORMAT, E_MISMATCH, E_UNSUP, E_IO; what a policy refuses;
 * E_CANCELLED. */
FIL_API FIL_MUSTCHECK fil_status fil_bench_dit(fil_ctx *ctx, const fil_bench_dit_desc *desc,
                                               fil_bench_model_result *results);

/* The autoencoder of Wan2.1 (its sizes): decoding a latent, the first frames included. tokens:
 * places of the latent; layers: convolutions and products of the decoder; attention: that in its
 * middle; linear_seconds: the convolutions. flops counts what the layers define; transforms and
 * quarters take fewer products, so that tflops may exceed peak_tflops. */
typedef struct fil_bench_vae_desc {
    uint32_t  struct_size; /* set by fil_bench_vae_desc_init */
    int32_t   t, h, w;     /* of the latent; 2, 16, 16 */
    fil_dtype dtype;       /* FIL_F32; FIL_BF16 where there is a fast convolution for it */
    int32_t   repetitions; /* as for dit */
    uint64_t  seed;        /* 0 */
} fil_bench_vae_desc;

/* Fills *desc with the defaults named above. */
FIL_API void fil_bench_vae_desc_init(fil_bench_vae_desc *desc);

/* E_ARG: a number out of range; E_NOMEM: before any work is done; E_CANCELLED. */
FIL_API FIL_MUSTCHECK fil_status fil_bench_vae(fil_ctx *ctx, const fil_bench_vae_desc *desc,
                                               fil_bench_model_result *result);

/* The text encoder: one prompt, in UMT5-XXL's sizes with a small vocabulary; weights are used where
 * they lie. */
typedef struct fil_bench_t5_desc {
    uint32_t  struct_size; /* set by fil_bench_t5_desc_init */
    int32_t   tokens;      /* of the prompt: 1 to 512 (default) */
    int32_t   layers;      /* 24 */
    fil_dtype dtype;       /* FIL_BF16 or FIL_F32: of the linears */
    int32_t   repetitions; /* up to 99; 0: what fits into two seconds, 3 at least */
    uint64_t  seed;        /* 0 */
} fil_bench_t5_desc;

/* Fills *desc with the defaults named above. */
FIL_API void fil_bench_t5_desc_init(fil_bench_t5_desc *desc);

/* E_ARG: a number out of range; E_NOMEM; E_CANCELLED. */
FIL_API FIL_MUSTCHECK fil_status fil_bench_t5(fil_ctx *ctx, const fil_bench_t5_desc *desc,
                                              fil_bench_model_result *result);

/* ---- choice --------------------------------------------------------------------------------- */

/* The usual problems of each family, and which kernel takes them. */
typedef struct fil_kernel_case {
    const char *family; /* "attention", "mass", ... */
    const char *text;   /* "bf16, head dim 128, tail and sinks"; static storage */
    const char *chosen; /* kernel; NULL if none takes it */
} fil_kernel_case;

/* Number of cases, and the i-th; i out of range or a NULL context gives zeros. */
FIL_API int32_t fil_kernel_cases(const fil_ctx *ctx);
FIL_API void    fil_kernel_case_get(const fil_ctx *ctx, int32_t i, fil_kernel_case *out);

/* 1 if `kernel` (as listed by fil_kernel_get) could take case i; else 0 and why not, NUL-terminated
 * and cut to 96 bytes. */
FIL_API int fil_kernel_case_takes(const fil_ctx *ctx, int32_t i, const char *kernel,
                                  char reason[96]);

#ifdef __cplusplus
}
#endif

#endif
