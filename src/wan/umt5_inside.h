/* wan/umt5_inside.h: the encoder from the inside, for umt5*.c alone. */
#ifndef FILI_WAN_UMT5_INSIDE_H
#define FILI_WAN_UMT5_INSIDE_H

#include "base/arena.h"
#include "wan/umt5.h"

typedef enum fili_umt5_part {
    FILI_UMT5_Q,
    FILI_UMT5_K,
    FILI_UMT5_V,
    FILI_UMT5_O,
    FILI_UMT5_GATE,
    FILI_UMT5_FC1,
    FILI_UMT5_FC2,
    FILI_UMT5_MATRICES, /* how many there are */
} fili_umt5_part;

typedef struct fili_umt5_layer {
    const float *norm1, *norm2; /* [dim] */
    const float *bias;          /* [buckets, heads] */
} fili_umt5_layer;

struct fili_umt5 {
    fil_ctx         *ctx;
    fili_weights    *w;
    fil_dtype        precision;
    fili_umt5_config config;
    fili_arena       arena;  /* layers and the name buffer */
    fili_umt5_layer *layers; /* [config.layers] */
    const float     *norm;   /* [dim] */
    fili_umt5_times  times;
};

typedef struct fili_umt5_name {
    char text[64];
} fili_umt5_name;

/* "blocks.N.attn.q.weight", and its shape. */
fili_umt5_name fili_umt5_matrix_name(int64_t layer, fili_umt5_part part);
void fili_umt5_matrix_shape(const fili_umt5_config *c, fili_umt5_part part, int64_t shape[2]);

#endif
