/* wan/dit.h: the diffusion transformer of Wan: one forward pass, prepared once.
 *
 * wan.md section 2. The residual stream is f32; linear layers and attention run in the precision
 * asked for, everything else (patch and time embedding, norms, modulation, head) in f32. Tokens are
 * put in order when the latent is cut into patches and put back when the velocity is put together;
 * in between everything lies in that order. Open plans all kernels, takes all memory and reads the
 * weights layer by layer; set_context and forward allocate nothing. Where every kernel is one of
 * the context's device, weights, keys of the prompts and activations stay there: only the latent,
 * the rows of the prompt, the modulation and the velocity travel, and what `choose` asks for.
 *
 *     latent -> patches, ordered -> x [S, dim] f32
 *     per layer:  x += gate * o(attention(q, k, v of norm(x)))      modulated by t
 *                 x += o(attention(q of norm(x), keys of the prompt))
 *                 x += gate * mlp(norm(x))                          modulated by t
 *     head -> velocity, put back
 *
 * The text to video model only: no image branch, no VACE, one timestep for all tokens.
 */
#ifndef FILI_WAN_DIT_H
#define FILI_WAN_DIT_H

#include "sparse/policy.h"
#include "wan/weights.h"

/* ---- configuration -------------------------------------------------------------------------- */

typedef struct fili_dit_config {
    int32_t dim, ffn_dim, heads, layers;
    int32_t in_channels, out_channels;
    int32_t text_dim, freq_dim;
    int32_t text_len;                  /* rows of the context, padding included */
    int32_t patch_t, patch_h, patch_w; /* 1, 2, 2 */
    float   eps;
    /* 1: each layer has a gate for the coarse branch of Video Sparse Attention */
    int32_t has_gate;
} fili_dit_config;

/* The sizes of a published model: "1.3b" or "14b". 0 if there is no such name. */
int fili_dit_config_named(const char *name, fili_dit_config *out);

/* From a config.json (original or diffusers keys). `what` names it in messages. E_FORMAT: not JSON,
 * a key of the wrong kind, a value out of range; E_MISMATCH: not a Wan DiT; E_UNSUP: a model that
 * this file does not run (image branch, VACE). */
FIL_MUSTCHECK fil_status fili_dit_config_parse(fil_ctx *ctx, const char *what, const char *text,
                                               size_t bytes, fili_dit_config *out);

/* From the tensors, and from the config.json beside them where there is one; E_MISMATCH where the
 * two disagree, or where some layers have a gate and others none. has_gate comes from the tensors
 * alone: no config.json says it. */
FIL_MUSTCHECK fil_status fili_dit_config_detect(const fili_weights *w, fili_dit_config *out);

/* Every tensor is there with the right shape and a type that can be read, and no other: what
 * fili_dit_open would find, without reading a weight. */
FIL_MUSTCHECK fil_status fili_dit_check_weights(fili_weights *w, const fili_dit_config *config);

/* A tensor that a DiT has; 0 <= i < fili_dit_tensors(config). */
typedef struct fili_dit_tensor {
    char     name[64];
    uint32_t rank;
    int64_t  shape[FIL_MAX_RANK];
} fili_dit_tensor;

int32_t fili_dit_tensors(const fili_dit_config *config);
void    fili_dit_tensor_at(const fili_dit_config *config, int32_t i, fili_dit_tensor *out);

/* Number of parameters. */
uint64_t fili_dit_parameters(const fili_dit_config *config);

/* ---- what the caller may hang in ------------------------------------------------------------ */

/* Before each self-attention: the choice is dense on entry and lives until the next call.
 * call->density is not set here. E_SHAPE from forward if the mask does not fit. */
typedef fil_status (*fili_dit_choose_fn)(void *user, fili_policy_call *call,
                                         fili_policy_choice *choice);

/* Rows of `cols` elements, `stride` elements from one to the next. */
typedef struct fili_dit_value {
    fil_dtype   dtype;
    const void *data;
    int64_t     rows, cols, stride;
} fili_dit_value;

/* Values on their way, for tests, in order (not raster order). what:
 * "patch_embedding", "e", "e0", "text_embedding", "q", "k", "v", "gate" (where it is used),
 * "self_attn", "block", "head". */
typedef void (*fili_dit_trace_fn)(void *user, const char *what, int32_t layer,
                                  const fili_dit_value *value);

/* ---- life ----------------------------------------------------------------------------------- */

typedef struct fili_dit fili_dit;

typedef struct fili_dit_options {
    fil_dtype       precision;    /* BF16 or F32 */
    int32_t         t, h, w;      /* the latent's frames, height, width */
    fili_order_spec order;        /* zeroed: raster */
    int32_t         passes;       /* contexts that are kept: 1 or 2 */
    int32_t         context_rows; /* most rows of set_context; 0 = text_len */
    int32_t         packed;       /* 1: linears are packed even where the weights can be used in
                                     place: faster, and a copy */
    int32_t stream;               /* 1: the weights of a layer that cannot be used in place are read
                                     and packed when it runs, into one place for all layers: the
                                     same bits, one layer's memory, and the reading in each pass */
    const fili_mask   *mask;      /* for every self-attention; NULL = dense */
    fili_dit_choose_fn choose;    /* asked instead if not NULL */
    int32_t            max_sinks; /* what choices may have: sinks, */
    int32_t            has_tail;  /* a tail, */
    int32_t            gate;      /* a coarse branch: the model's gate is read; otherwise a model
                                     that has one runs as if it had none, without its memory */
    int32_t           reads_rows; /* choose may ask for rows of q, k and v on the host */
    fili_dit_trace_fn trace;      /* NULL = none */
    void             *user;       /* of choose and trace */
} fili_dit_options;

/* Dense, bf16, raster, two passes. */
void fili_dit_options_init(fili_dit_options *options);

/* What open will take, known without the weights. */
typedef struct fili_dit_memory {
    uint64_t weights; /* packed weights, biases, norms; 0 of the linears if they stay in place */
    uint64_t context; /* keys and values of the prompts */
    uint64_t activations; /* residual stream, q, k, v, MLP, tables */
    uint64_t workspace;   /* of the kernels */
    uint64_t total;       /* all of it, as the arena takes it */
    uint64_t loading;     /* in addition while weights are read */
    uint64_t mapped;      /* linears used where they lie in the file: no memory of the process */
    uint64_t device; /* of the context's device: weights, context, activations and workspace lie
                        there and count here alone; 0: nothing does */
    fil_dtype kept;  /* linears are used as the file has them, and this is the type of one, a block
                        type if there are any; NONE: they are packed */
    /* Rows that will run: self-attention, linears. Static. */
    const char *attention_kernel, *linear_kernel;
} fili_dit_memory;

/* w: NULL, or the weights, which tells whether linears can stay where the file has them. */
FIL_MUSTCHECK fil_status fili_dit_bytes(fil_ctx *ctx, const fili_weights *w,
                                        const fili_dit_config  *config,
                                        const fili_dit_options *options, fili_dit_memory *out);

/* Checks all tensors (four kinds of E_MISMATCH, see weights.h), then reads them. `w` must outlive
 * the DiT only if it is mapped or made in memory: linears of the precision's type are then used in
 * place (unless options->packed). Linears in blocks of a GGUF stay as they are, in the file or read
 * from it, and become numbers as a product uses them (not with options->packed or stream, and not
 * on a device, which packs them). With options->stream `w` must outlive the DiT, too. E_SHAPE: a
 * latent that the patches do not divide, or a mask that does not fit; E_ARG, E_NOMEM, E_UNSUP,
 * E_IO, E_CANCELLED; E_MISMATCH too: a gate is wanted and the model has none. On failure *out is
 * NULL.
 */
FIL_MUSTCHECK fil_status fili_dit_open(fil_ctx *ctx, fili_weights *w, const fili_dit_config *config,
                                       const fili_dit_options *options, fili_dit **out);

/* NULL and a NULL handle are accepted. */
void fili_dit_close(fili_dit **d);

/* For another run with the same weights: 1 if d is what open would give with `options`; it then
 * has their hooks, no contexts, and times of 0. 0: it is not, and stays as it was; so where either
 * has a mask of its own. */
int fili_dit_reuse(fili_dit *d, const fili_dit_options *options);

/* The order and blocks of the token grid, for who makes masks. */
const fili_order  *fili_dit_order(const fili_dit *d);
const fili_blocks *fili_dit_blocks(const fili_dit *d);

/* ---- running -------------------------------------------------------------------------------- */

/* The prompt of a pass: rows [n, text_dim] f32, 0 <= n <= context_rows; the rows up to text_len are
 * zero. Keys and values of every layer are computed here. */
FIL_MUSTCHECK fil_status fili_dit_set_context(fili_dit *d, int32_t pass, const float *rows,
                                              int32_t n);

/* velocity [C_out, T, H, W] from latent [C, T, H, W] at time t (0 to 1000). `step` is handed to
 * choose. E_ARG: the pass has no context yet; E_CANCELLED; what choose returns. */
FIL_MUSTCHECK fil_status fili_dit_forward(fili_dit *d, int32_t pass, int32_t step,
                                          const float *latent, double t, float *velocity);

/* Seconds spent since open or the last reset, by part; contexts are counted under linear. On a
 * device attention, choose and the total are true; what is queued behind attention (its output,
 * cross-attention, the MLP) is waited for, and counts, in rest. */
typedef struct fili_dit_times {
    double attention; /* self-attention: the product alone */
    double cross;     /* cross-attention: the product alone */
    double linear;
    double rest;   /* norms, patches, tables, everything else */
    double choose; /* the caller's callback; not in rest */
    double total;
} fili_dit_times;

void fili_dit_times_get(const fili_dit *d, fili_dit_times *out);
void fili_dit_times_reset(fili_dit *d);

/* Name of the row that runs: part 0 attention, 1 cross-attention, 2 linear. For reports. */
const char *fili_dit_kernel(const fili_dit *d, int32_t part);

#endif
