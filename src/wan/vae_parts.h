/* wan/vae_parts.h: the parts of the autoencoder as its own files see them (wan/vae.h).
 *
 * A stream is a list of layers. A frame goes through them one after the other (vae_run.c): a layer
 * that makes two frames of one sends each through the rest of the list before it makes the next, so
 * that every level holds one frame beside the past of its convolutions.
 *
 *     decoder                              encoder
 *     IN   z -> c, level n-1               IN   rgb -> c, level 0
 *     RES, ATTENTION, RES                  RES x blocks, DOWN     for each level but the last
 *     RES x (blocks + 1), UP  each level   RES x blocks
 *     RES x (blocks + 1)      level 0      RES, ATTENTION, RES    level n-1
 *     HEAD c -> 3                          HEAD c -> 2 z
 *
 * Level 0 is the finest. A level has a frame `in` as it arrives from its neighbour and a frame `x`
 * that its blocks work on (the same one where the channels agree), both f32, channels last.
 * A causal convolution owns two past frames of its input and borrows the level's spare frame for
 * the present one; the oldest becomes the spare. So nothing is copied.
 * Where every kernel is one of the context's device, all of this lies there ("near"), and only
 * latents and pictures travel, through a piece of the host's memory ("here").
 */
#ifndef FILI_WAN_VAE_PARTS_H
#define FILI_WAN_VAE_PARTS_H

#include "base/arena.h"
#include "kernel/conv3d.h"
#include "kernel/linear.h"
#include "kernel/norm.h"
#include "nn/space.h"
#include "wan/vae.h"
#include "wan/weights.h"

enum {
    VAE_BLOCKS = 6, /* residual blocks of a level, at most */
    VAE_LAYERS = 5 + FILI_VAE_LEVELS * (VAE_BLOCKS + 2),
    VAE_CONVS  = 6, /* of a layer */
    VAE_PLANS  = 96,
    VAE_PIECES = 2 * VAE_LAYERS * VAE_CONVS,
    VAE_NAME   = 64,
    VAE_BAND   = 512 /* rows of attention that are held at a time */
};

/* Which part of a tensor a convolution takes. */
typedef enum vae_cut {
    VAE_WHOLE = 0,
    VAE_FIRST, /* of its outputs, the first half */
    VAE_SECOND,
    VAE_EVEN_EVEN, /* the 3x3 kernel as it acts on a frame doubled by repetition: four 2x2 kernels
                    */
    VAE_EVEN_ODD,  /* on the frame itself, for even and odd rows and columns of the result */
    VAE_ODD_EVEN,
    VAE_ODD_ODD
} vae_cut;

typedef struct vae_plan {
    filk_conv3d_problem conv; /* its c_in is 0 for a linear */
    filk_linear_problem linear;
    const filk_row     *row;
    void               *plan;
} vae_plan;

typedef struct vae_conv {
    const char         *suffix; /* of its tensors after the layer's name; NULL = not used */
    filk_conv3d_problem p;
    uint32_t            rank; /* of the weight in the file: 5, or 4 without time */
    vae_cut             cut;
    const vae_plan     *plan;
    void               *packed;
    float              *bias;    /* [c_out], with room for twice that */
    void               *past[2]; /* the older first; NULL without a past */
    int32_t             have;    /* how many are filled */
    void              **spare;   /* of its level */
} vae_conv;

typedef enum vae_kind { VAE_IN, VAE_RES, VAE_ATTENTION, VAE_UP, VAE_DOWN, VAE_HEAD } vae_kind;

typedef struct vae_layer {
    vae_kind kind;
    char     name[VAE_NAME];
    int32_t  level;
    int32_t  c_in, c_out;
    int32_t  temporal; /* UP, DOWN */
    int64_t  count;    /* frames that came in */
    /* IN, HEAD: 0. RES: 0, 1, shortcut 2. UP: time 0 (earlier), 1 (later); quarters 2 to 5.
     * DOWN: space 0, time 1. */
    vae_conv     conv[VAE_CONVS];
    const float *gamma[2];
} vae_layer;

typedef struct vae_level {
    int32_t h, w;
    int32_t c_in, c; /* channels of `in` and `x` */
    float  *in, *x;
    void   *spare[3]; /* for inputs of c_in, c, and other channels; the first two may be one */
    int32_t other;    /* channels of spare[2]; 0 = none */
} vae_level;

/* Attention of one frame: N = h w rows of c. Everything lies in the scratch frame. */
typedef struct vae_attention {
    const vae_plan *project;   /* [N, c] -> [N, c] */
    const vae_plan *values;    /* W_v x^T: the values as columns, [c, N] */
    const vae_plan *scores[2]; /* a band of rows, and the last band */
    const vae_plan *mix[2];
    const float    *qkv, *qkv_bias, *proj, *proj_bias;
    float          *x, *q, *k, *v, *band;
    int64_t         n, c, rows;
} vae_attention;

typedef struct vae_piece {
    void  *at; /* where its address goes: a pointer of any object type */
    size_t bytes;
    int    near; /* for kernels */
} vae_piece;

struct fili_vae {
    fil_ctx        *ctx;
    fili_weights   *weights;
    fili_vae_config config;
    fil_dtype       precision;
    int             has_encoder, has_decoder;
};

struct fili_vae_stream {
    fil_ctx        *ctx;
    fili_vae_config config;
    fil_dtype       dtype; /* of the inputs of convolutions */
    int             encoder;
    int             failed; /* a frame was not finished: the past is of no use */
    int32_t         until;  /* layers from this one on are left out; it stands behind an UP */
    int             uncut;  /* frames keep values outside [-1, 1] */
    int32_t         n_layers, n_plans, n_pieces;
    vae_level       level[FILI_VAE_LEVELS];
    vae_layer       layer[VAE_LAYERS];
    vae_plan        plan[VAE_PLANS];
    vae_attention   attention;
    vae_piece       piece[VAE_PIECES];
    fili_arena      memory;
    int32_t         on_device; /* what is near lies there, in one block: */
    void           *near_block;
    uint64_t        near_bytes;
    float          *here; /* on_device: latents and pictures on their way, weights before they are
                             packed */
    size_t          here_bytes;
    void           *workspace;
    size_t          workspace_bytes;
    float          *scratch; /* results of a layer on their way to the next, attention, packing */
    size_t          scratch_bytes;
    void           *cast; /* bf16: inputs that no norm makes */
    size_t          cast_bytes;
    float          *rgb;                  /* the decoder's result; the host's */
    const float    *latent, *latent_bias; /* the 1x1x1 convolution beside the latent; the host's */
    const filk_row *norm[2];              /* to dtype with SiLU; to f32 without */
    int64_t         n_frames;             /* that came out */
    fili_vae_times  times;
    /* Of the call that runs. */
    fili_frame_fn sink;
    void         *user;
    float        *z;
    int64_t       z_stride;
    int           made;
};

/* vae_config.c */
FIL_MUSTCHECK fil_status fili_vae_detect(fil_ctx *ctx, const fili_weights *weights,
                                         fili_vae_config *config);
/* vae_layers.c: lists the layers of one half with names and problems; touches no memory. */
FIL_MUSTCHECK fil_status fili_vae_list(fili_vae_stream *stream, int32_t h, int32_t w);
/* Calls `visit` for every tensor of the listed layers, in order. */
typedef struct vae_tensor {
    char         name[VAE_NAME + 16];
    uint32_t     rank;
    int64_t      shape[5];
    const float *dst; /* where the stream keeps it as it is; NULL: convolutions, or no memory yet */
} vae_tensor;
typedef fil_status (*vae_visit)(void *user, const vae_tensor *tensor);
FIL_MUSTCHECK fil_status fili_vae_tensors(const fili_vae_stream *stream, vae_visit visit,
                                          void *user);
void fili_vae_conv_tensors(const vae_layer *layer, const vae_conv *conv, vae_tensor *weight,
                           vae_tensor *bias);
/* vae_plan.c: plans and memory; then the weights. */
FIL_MUSTCHECK fil_status fili_vae_plan(fili_vae_stream *stream);
/* Counts: *bytes of the host; near_bytes. */
FIL_MUSTCHECK fil_status fili_vae_reserve(fili_vae_stream *stream, uint64_t *bytes);
FIL_MUSTCHECK fil_status fili_vae_take_memory(fili_vae_stream *stream);
FIL_MUSTCHECK fil_status fili_vae_load(fili_vae_stream *stream, fili_weights *weights);
void                     fili_vae_drop_plans(fili_vae_stream *stream);
FIL_MUSTCHECK fil_status fili_vae_find_plan(fili_vae_stream *stream, const vae_plan *wanted,
                                            const vae_plan **out);
/* vae_attention.c */
FIL_MUSTCHECK fil_status fili_vae_attention_plan(fili_vae_stream *stream);
size_t                   fili_vae_attention_floats(const fili_vae_stream *stream);
FIL_MUSTCHECK fil_status fili_vae_attend(fili_vae_stream *stream, const vae_layer *layer);
/* vae_run.c: a frame through the layers from `first` on; it lies where that layer wants it. */
FIL_MUSTCHECK fil_status fili_vae_feed(fili_vae_stream *stream, int32_t first);

#endif
