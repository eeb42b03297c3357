/* wan/dit_inside.h: the DiT from the inside: what dit_*.c share. */
#ifndef FILI_WAN_DIT_INSIDE_H
#define FILI_WAN_DIT_INSIDE_H

#include "nn/attend.h"
#include "nn/dense.h"
#include "nn/elementwise.h"
#include "nn/normed.h"
#include "nn/space.h"
#include "wan/dit.h"

/* ---- sizes and names ------------------------------------------------------------------------ */

/* E_FORMAT, E_UNSUP. */
FIL_MUSTCHECK fil_status fili_dit_config_check(fil_ctx *ctx, const char *what,
                                               const fili_dit_config *c);

/* Elements of a patch in one channel. */
static inline int64_t fili_dit_patch(const fili_dit_config *c)
{
    return (int64_t)c->patch_t * c->patch_h * c->patch_w;
}

/* ---- the model ------------------------------------------------------------------------------ */

enum {
    FILI_DIT_BAND  = 4096, /* tokens of the MLP's inner rows at once, about */
    FILI_DIT_HEADS = 512, /* tokens whose q, k and v are made at once, at most, by packed weights */
    FILI_DIT_CTX   = 64,  /* rows of a context at once */
    FILI_DIT_PASSES = 2
};

/* Linear layers of one shape. */
typedef enum fili_dit_plan {
    FILI_PLAN_PATCH,
    FILI_PLAN_HEADS, /* dim to q, k and v (3 dim) for some tokens; in place: to one of them */
    FILI_PLAN_DIM,   /* dim to dim, rows of the sequence */
    FILI_PLAN_BACK,  /* dim to dim, into the residual stream */
    FILI_PLAN_UP,
    FILI_PLAN_DOWN,
    FILI_PLAN_TEXT, /* text_dim to dim, rows of a context */
    FILI_PLAN_CTX,  /* dim to dim, rows of a context */
    FILI_PLAN_HEAD,
    FILI_PLANS
} fili_dit_plan;

typedef enum fili_dit_norm {
    FILI_NORM_MODULATED,
    FILI_NORM_AFFINE,
    FILI_NORM_TURNED, /* RMS with rotation */
    FILI_NORM_PLAIN,  /* RMS */
    FILI_NORM_CTX,    /* RMS, rows of a context */
    FILI_NORM_HEAD,
    FILI_NORMS
} fili_dit_norm;

typedef struct fili_dit_layer {
    fili_dense   heads[3]; /* q, k, v; where weights are packed, the first is all of them */
    fili_dense   o;
    fili_dense   cross_q, cross_k, cross_v, cross_o;
    fili_dense   up, down;
    fili_dense   gate;       /* where c.has_gate */
    const float *modulation; /* [6, dim] */
    const float *norm_q, *norm_k;
    const float *norm3_weight, *norm3_bias;
    const float *cross_norm_q, *cross_norm_k;
} fili_dit_layer;

/* A matrix that meets one vector per step: f32, or bf16 where the file has it so. */
typedef struct fili_dit_matrix {
    const void  *weight; /* [rows, cols] */
    const float *bias;
    int64_t      rows, cols;
} fili_dit_matrix;

/* Keys and values of one prompt. */
typedef struct fili_dit_context {
    fili_attend_list list;
    int32_t          is_set;
    void            *kv; /* [layers, 2, context_room, dim] */
} fili_dit_context;

struct fili_dit {
    fil_ctx         *ctx;
    fili_dit_config  c; /* has_gate: the model has one and it is used */
    fili_dit_options o;
    fili_order       order;
    fili_blocks      blocks;  /* of the order */
    fili_blocks      uniform; /* runs of 64, for cross-attention */
    int64_t          tokens;  /* S */
    int64_t          band;    /* rows of a band; n_bands * band >= S */
    int64_t          n_bands;
    int64_t          heads_band;   /* rows whose q, k and v are made at once; <= S */
    int64_t          context_room; /* rows of a context, whole bands of FILI_DIT_CTX */
    fil_dtype        kept;         /* linears use the weights as the file has them, in memory or in
                                      the file: a type of theirs; NONE: packed */
    int32_t on_device;             /* what kernels work on stays on the context's device: all that
                                      is marked "near" below, and weights */
    int32_t       streams;         /* layers share the place of one */
    int32_t       reads_ahead;     /* a pass takes weights from files, read or mapped */
    int32_t       at;              /* the layer whose weights lie there; -1: none */
    fili_weights *w;               /* where streams or kept: to read them from */
    void         *staging;         /* for one tensor before it is packed, where streams; on a
                                      device for a layer */
    uint64_t  staging_bytes;       /* of it, where it is pinned: whole pages */
    uint64_t  staged;              /* bytes of a layer in staging, where it is read ahead; else 0 */
    int32_t   ahead;               /* the layer that lies there; -1: none, or a part of one */
    int32_t   pinned;              /* staging is */
    fil_dtype time_dtype;          /* of the matrices below */

    fili_dense_plan plan[FILI_PLANS];
    fili_norm       norm[FILI_NORMS];
    fili_attend     attend;

    fili_arena arena;
    void      *near_block; /* all that is near, in one block of the device; NULL: in the arena */
    uint64_t   near_bytes;
    /* weights: near, but for the tables of the modulation and the time embedding */
    fili_dit_layer *layer; /* [layers] */
    fili_dense      patch, text_0, text_2, head;
    fili_dit_matrix time_0, time_2, time_projection;
    const float    *head_modulation; /* [2, dim] */
    /* contexts: near */
    fili_dit_context context[FILI_DIT_PASSES];
    void            *ctx_in;    /* [context_room, text_dim] */
    void            *ctx_inner; /* [context_room, dim] */
    void            *ctx_rows;  /* [context_room, dim] */
    /* activations: near */
    float *x;         /* [n_bands * band, dim] */
    void  *a;         /* [n_bands * band, dim] input of linears; output of attention */
    void  *q, *k, *v; /* [S, dim]: parts of rows of 3 dim, q, k and v of a token beside each other;
                         q of a cross-attention: rows of dim, one after the other */
    void  *gate;      /* [S, dim]; NULL where c.has_gate is 0 */
    void  *inner;     /* rows of a band: patches, the MLP's inner rows, the head's input */
    float *head_rows; /* [band, patch * out_channels] */
    float *cos, *sin; /* [S, head_dim / 2] */
    float *m;         /* [6, dim] modulation of the layer at hand */
    void  *workspace;
    void  *workspace_down; /* of the MLP's second matrix: its own, where bands share what was made
                              of it */
    /* the host's */
    float *time;   /* [freq_dim] sinusoid */
    float *e;      /* [dim] */
    float *e_silu; /* [dim] */
    float *e0;     /* [6, dim] */
    float *m_here; /* [6, dim]; m itself where that is the host's */
    void  *here;   /* what is made or read by the host: rows of a context, patches of a band, rows
                      of the head; NULL where all is the host's */
    int64_t here_bytes;
    void   *mirror; /* [S, 3 dim]: q, k and v for who reads them on the host; NULL: nobody */

    fili_dit_times times;
    double         mark; /* when the part at hand began */
};

/* Adds the time since the last call to *part. */
void fili_dit_spent(fili_dit *d, double *part);

static inline int64_t fili_dit_size(const fili_dit *d)
{
    return d->o.precision == FIL_BF16 ? 2 : 4;
}

/* Waits until what has been queued on a device is done, so that the clock tells its time. */
FIL_MUSTCHECK fil_status fili_dit_settle(const fili_dit *d);

/* Linears use the weights as the file has them. */
static inline int fili_dit_keeps(const fili_dit *d)
{
    return d->kept != FIL_DTYPE_NONE;
}

/* Element `elements` of activations in the DiT's type. */
static inline void *fili_dit_at(const fili_dit *d, void *rows, int64_t elements)
{
    return (char *)rows + elements * fili_dit_size(d);
}

/* Hands a value to the trace, if there is one, and for the time of that a copy of what is near. */
FIL_MUSTCHECK fil_status fili_dit_trace_value(const fili_dit *d, const char *what, int32_t layer,
                                              const fili_dit_value *value);
/* Rows that lie one after the other. */
FIL_MUSTCHECK fil_status fili_dit_trace(const fili_dit *d, const char *what, int32_t layer,
                                        fil_dtype dtype, const void *data, int64_t rows,
                                        int64_t cols);

/* What a walk does with values: reads each to staging and puts it where it belongs; or, of a layer
 * that is read ahead, one of the two, each value having a place of its own in staging. */
typedef enum fili_dit_step { FILI_DIT_READ_AND_PUT, FILI_DIT_READ, FILI_DIT_PUT } fili_dit_step;

/* One walk over all weights, made three times: to count their memory, to take it, to fill it. */
typedef struct fili_dit_walk {
    fili_dit           *d;
    fili_space         *space;   /* not NULL: count or take */
    fili_weights       *w;       /* else: read from here */
    const fili_weights *asked;   /* how the file has them, in all walks; or NULL */
    void               *staging; /* for one tensor before it is packed, or a layer */
    uint64_t            largest; /* bytes that one tensor needs there */
    uint64_t            staged;  /* bytes that all values of a layer need there */
    uint64_t            mapped;  /* bytes of linears that stay in the file */
    fili_dit_step       step;
    uint64_t            at; /* place of the next value of a layer that is read ahead */
} fili_dit_walk;

FIL_MUSTCHECK fil_status fili_dit_walk_weights(fili_dit_walk *walk);
/* Sees to it that the weights of layer l are there; overwrites the workspace. */
FIL_MUSTCHECK fil_status fili_dit_bring(fili_dit *d, int32_t l);
/* Where weights are streamed to a device, which has work of layer l left: reads those of the layer
 * after l, or of the first, to staging. */
FIL_MUSTCHECK fil_status fili_dit_read_ahead(fili_dit *d, int32_t l);
/* Tells the system that the layer after l, or the first, will be wanted from the file. */
void fili_dit_look_ahead(const fili_dit *d, int32_t l);

#endif
