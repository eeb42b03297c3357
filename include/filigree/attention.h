/* filigree/attention.h: block-sparse attention: order, blocks, mask, plan, run.
 *
 * Attention over the tokens of a video, where each block of 64 queries looks at the key blocks that
 * a mask keeps, and at nothing else. The five things, in the order in which a caller needs them:
 *
 *   order   in which sequence the f*h*w tokens stand (raster, Hilbert curve, cubes). Made once per
 *           grid; q, k, v come and out goes in this sequence.
 *   blocks  the sequence cut into runs of 1 to 64 tokens: offsets[0 .. m]. Nothing is ever padded:
 *           a ragged cube or the end of the video is a shorter run.
 *   mask    one bit per (head, query block, key block).
 *   plan    all that is decided beforehand: kernel, tables, bytes of workspace.
 *   run     one call of attention. It allocates nothing.
 *
 *     fil_grid grid = {21, 30, 52};
 *     fil_order *order = NULL;
 *     fil_mask *mask = NULL;
 *     fil_attn_plan *plan = NULL;
 *     fil_order_create(ctx, grid, "hilbert-cubes 4x4x4", &order);
 *     int32_t m = fil_order_blocks(order);
 *     fil_mask_create(ctx, 12, m, m, &mask);           // 12 heads; set bits with fil_mask_set
 *
 *     fil_attn_desc desc;
 *     fil_attn_desc_init(&desc);
 *     desc.heads = 12; desc.head_dim = 128;
 *     desc.n_q_blocks = m; desc.q_offsets = fil_order_offsets(order);
 *     fil_attn_plan_create(ctx, &desc, &plan);
 *
 *     fil_attn_io io;
 *     fil_attn_io_init(&io);                           // then q, k, v, out, strides, mask
 *     void *workspace = aligned_alloc(64, fil_attn_plan_workspace(plan));
 *     fil_attn_run(plan, &io, workspace);
 *
 * Sources: the bit mask is ScalingAttention's compressed row mask (arXiv 2606.23019, section 4.4);
 * the Hilbert order DFSAttn's (arXiv 2605.23445); the pooled tail is that of Sol-Attn and PISA.
 */
#ifndef FILIGREE_ATTENTION_H
#define FILIGREE_ATTENTION_H

#include "filigree/file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Tokens of a block, at most; sinks of a head, at most. */
#define FIL_BLOCK_TOKENS 64
#define FIL_MAX_SINKS    64

/* ---- order ---------------------------------------------------------------------------------- */

/* Token counts of the video after patching: frames, rows, columns. Raster order: columns fastest.
 */
typedef struct fil_grid {
    int32_t f, h, w;
} fil_grid;

/* A permutation of the tokens of a grid, and its natural blocks. Opaque, read-only. */
typedef struct fil_order fil_order;

/* Names: "raster", "hilbert" (frame axis first), "hilbert-xyz" (as DFSAttn published it),
 * "cubes TxHxW" (cubes in raster order, raster inside), "hilbert-cubes TxHxW" (cubes along the
 * curve, the curve inside). E_ARG: no such order, or a side below 1; E_LIMIT: 2^31 tokens or more;
 * E_NOMEM. On failure *out is NULL. The order borrows ctx; destroy it first. */
FIL_API FIL_MUSTCHECK fil_status fil_order_create(fil_ctx *ctx, fil_grid grid, const char *name,
                                                  fil_order **out);
/* Sets *order to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_order_destroy(fil_order **order);

/* Number of tokens N and of blocks M. */
FIL_API int32_t fil_order_tokens(const fil_order *order);
FIL_API int32_t fil_order_blocks(const fil_order *order);

/* Borrowed from the order. order[N]: raster index of the i-th token; inverse[N]: place of a raster
 * index; offsets[M+1]: where each block begins. */
FIL_API const int32_t *fil_order_indices(const fil_order *order);
FIL_API const int32_t *fil_order_inverse(const fil_order *order);
FIL_API const int32_t *fil_order_offsets(const fil_order *order);

/* ---- mask ----------------------------------------------------------------------------------- */

/* Which key blocks each query block keeps. Bits u32 [heads, Mq, words], words = ceil(Mk / 32), bit
 * b of word w is key block 32w + b; bits beyond Mk are 0. heads 1 stands for all heads alike. */
typedef struct fil_mask fil_mask;

/* An empty mask. E_ARG: a size below 1; E_NOMEM. On failure *out is NULL. Borrows ctx. */
FIL_API FIL_MUSTCHECK fil_status fil_mask_create(fil_ctx *ctx, int32_t heads, int32_t n_q_blocks,
                                                 int32_t n_k_blocks, fil_mask **out);
/* Sets *mask to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_mask_destroy(fil_mask **mask);

/* All bits 0, all bits 1, one bit. E_ARG: outside the mask. */
FIL_API void                     fil_mask_clear(fil_mask *mask);
FIL_API void                     fil_mask_fill(fil_mask *mask);
FIL_API FIL_MUSTCHECK fil_status fil_mask_set(fil_mask *mask, int32_t head, int32_t q_block,
                                              int32_t k_block, int keep);
/* The bit, or 0 outside the mask; of a mask for all heads alike, any head from 0 on. */
FIL_API int fil_mask_get(const fil_mask *mask, int32_t head, int32_t q_block, int32_t k_block);

/* *density = kept (query token, key token) pairs over all pairs, over all heads; blocks have these
 * offsets [Mq+1], [Mk+1] (k_offsets NULL: as the queries'). E_SHAPE: offsets that do not rise by 1
 * to 64; E_ARG: NULL. */
FIL_API FIL_MUSTCHECK fil_status fil_mask_density(const fil_mask *mask, const int32_t *q_offsets,
                                                  const int32_t *k_offsets, double *density);

/* Reads mask number `index` of a mask file (format filigree.mask.1) that was made for this order:
 * the same permutation and the same blocks for queries and keys. E_MISMATCH: another grid, order or
 * blocks; E_ARG: no such mask; E_FORMAT, E_LIMIT, E_IO, E_NOMEM. On failure *out is NULL. */
FIL_API FIL_MUSTCHECK fil_status fil_mask_read(fil_ctx *ctx, const char *path, int32_t index,
                                               const fil_order *order, fil_mask **out);

/* ---- plan ----------------------------------------------------------------------------------- */

/* What a plan is made for. Fill with fil_attn_desc_init, then change what matters. */
typedef struct fil_attn_desc {
    uint32_t       struct_size; /* set by fil_attn_desc_init */
    fil_dtype      dtype;       /* of q, k, v, out and the tail: FIL_BF16 (default) or FIL_F32 */
    int32_t        head_dim;    /* 128 (default) or 64 */
    int32_t        heads;       /* of q and out */
    int32_t        kv_heads;    /* of k and v; divides heads; 0 (default) = heads */
    int32_t        n_q_blocks;
    int32_t        n_k_blocks; /* 0 (default): keys are cut like queries */
    const int32_t *q_offsets;  /* [n_q_blocks+1], copied; rising from 0 by 1 to 64 */
    const int32_t *k_offsets;  /* [n_k_blocks+1], copied; NULL where n_k_blocks is 0 */
    int32_t        max_sinks;  /* 0 (default) to FIL_MAX_SINKS */
    int32_t        tail;       /* 1: runs may give a tail; 0 (default): none will */
    float          scale;      /* of the logits; 0 (default) = 1 / sqrt(head_dim) */
    const char    *kernel; /* NULL (default): the best; else a name that fil_kernel_info lists */
} fil_attn_desc;

/* Fills *desc with the defaults named above. */
FIL_API void fil_attn_desc_init(fil_attn_desc *desc);

/* Opaque. Serves one run at a time. */
typedef struct fil_attn_plan fil_attn_plan;

/* Checks everything that does not change from run to run and chooses the kernel.
 * E_ARG: a number out of range, and which; E_SHAPE: offsets that do not rise by 1 to 64;
 * E_UNSUP: no kernel takes it, with each one's reason; E_NOMEM. On failure *out is NULL. */
FIL_API FIL_MUSTCHECK fil_status fil_attn_plan_create(fil_ctx *ctx, const fil_attn_desc *desc,
                                                      fil_attn_plan **out);
/* Sets *plan to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_attn_plan_destroy(fil_attn_plan **plan);

/* Bytes that every run wants as workspace, aligned to 64; its content before and after is of no
 * interest. And the kernel that was chosen; borrowed from the library. */
FIL_API size_t      fil_attn_plan_workspace(const fil_attn_plan *plan);
FIL_API const char *fil_attn_plan_kernel(const fil_attn_plan *plan);

/* ---- run ------------------------------------------------------------------------------------ */

/* A tensor [tokens, heads, head_dim]: element (token, head, d) lies at
 * data + (token * stride_token + head * stride_head + d) elements. Strides are >= 0, and those of
 * out such that no two rows overlap; data need only the alignment of an element. */
typedef struct fil_attn_view {
    const void *data;
    int64_t     stride_token, stride_head;
} fil_attn_view;

/* One call of attention. Fill with fil_attn_io_init, then what matters. All memory is the caller's
 * and only borrowed. out may not overlap anything else. */
typedef struct fil_attn_io {
    uint32_t        struct_size; /* set by fil_attn_io_init */
    fil_attn_view   q;           /* [Nq, heads, D] */
    fil_attn_view   k, v;        /* [Nk, kv_heads, D] */
    void           *out;         /* [Nq, heads, D] */
    int64_t         out_stride_token, out_stride_head;
    float          *lse;  /* [heads, Nq] natural log of the sum of exp(logit); NULL = not wanted */
    const fil_mask *mask; /* [heads or 1, Mq, Mk]; NULL = every block: dense attention */

    /* Sinks: key tokens that every row keeps, whatever the mask says. They count once: their own
     * block goes without them. Rising, [kv_heads or 1, n_sinks]; stride 0 = one list for all heads.
     */
    const int32_t *sinks;
    int32_t        n_sinks;
    int64_t        sinks_stride_head;

    /* Tail: each key block that a row leaves out takes part as one key, tail_k[b] with logit
     * scale q.tail_k[b] + ln(count[b]) + ln(factor[head]), and value tail_v[b]. Usually the means
     * of the block's keys and values without its sinks, and their number. data NULL = no tail. */
    fil_attn_view  tail_k, tail_v; /* [Mk, kv_heads, D] */
    const int32_t *tail_count;     /* [kv_heads or 1, Mk]; 0 = nothing is left in the block */
    int64_t        tail_count_stride_head; /* 0 = one for all heads */
    const float   *tail_factor;            /* [heads], > 0; NULL = 1 */
} fil_attn_io;

/* Fills *io with zeros: no lse, no mask, no sinks, no tail. */
FIL_API void fil_attn_io_init(fil_attn_io *io);

/* out_i = sum_j p_ij v_j / sum_j p_ij with p_ij = exp(scale q_i.k_j), j over the keys that i keeps.
 * A row that keeps nothing gives 0, and lse -inf. Without a tail, a NaN or infinity in a token that
 * a row does not keep has no effect on it; one in a pooled key or value that counts may reach every
 * row, also those that keep its block. The same bits for any number of threads. workspace: see
 * fil_attn_plan_workspace; not read by anybody else during the call.
 * E_ARG: NULL, a negative stride or one beyond the address space, rows of out that overlap,
 * unaligned workspace, sinks that do not rise or lie outside, a
 * factor that is not above 0; E_SHAPE: a mask of another size; E_CANCELLED. Inputs are checked
 * before anything is written; out is undefined after E_CANCELLED alone. */
FIL_API FIL_MUSTCHECK fil_status fil_attn_run(fil_attn_plan *plan, const fil_attn_io *io,
                                              void *workspace);

/* ---- kernels -------------------------------------------------------------------------------- */

/* One implementation of one family of operations. Strings are the library's. */
typedef struct fil_kernel_info {
    const char *family;     /* "attention", "mass", "linear", ... */
    const char *name;       /* filk_<op>_<types>_<variant>__<instruction set> */
    const char *isa;        /* lowest instruction set it needs */
    int32_t     available;  /* 1: this CPU and this context can run it */
    char        reason[96]; /* why not; empty if available */
} fil_kernel_info;

/* Number of implementations, and the i-th: families one after the other, best first. i out of range
 * or a NULL context gives zeros. */
FIL_API int32_t fil_kernels(const fil_ctx *ctx);
FIL_API void    fil_kernel_get(const fil_ctx *ctx, int32_t i, fil_kernel_info *info);

/* Told of each implementation as the self-test goes on. `error` is the largest error found, in
 * units of the tolerance (above 1 is a failure; NaN too); `text` says what failed, or is empty. */
typedef void (*fil_selftest_fn)(void *user, const fil_kernel_info *kernel, int passed, double error,
                                double seconds, const char *text);

/* Runs every available implementation against the scalar reference, some seconds in all. One that
 * fails is disabled in this context, and the next best takes its place. *n_failed counts them;
 * FIL_OK even then. E_NOMEM, E_CANCELLED. */
FIL_API FIL_MUSTCHECK fil_status fil_selftest(fil_ctx *ctx, fil_selftest_fn told, void *user,
                                              int32_t *n_failed);

#ifdef __cplusplus
}
#endif

#endif
