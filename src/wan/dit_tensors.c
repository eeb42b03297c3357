/* wan/dit_tensors.c: the list of a DiT's tensors (wan.md 3.1), and whether a file has them (dit.h).
 *
 * One table, walked by number: whoever needs all names or shapes (checks, counts, random weights)
 * walks it. The layers' own rows come first per layer; those of the gate, which only models for
 * Video Sparse Attention have, stand last among them.
 */
#include <stdio.h>
#include <string.h>

#include "wan/dit_inside.h"

/* Sizes that a shape is made of. */
typedef enum size_kind {
    NONE,
    D,   /* dim */
    G,   /* ffn_dim */
    TD,  /* text_dim */
    FD,  /* freq_dim */
    D6,  /* 6 dim */
    OUT, /* features of the head */
    IN,  /* in_channels */
    ONE,
    TWO,
    SIX,
    PT,
    PH,
    PW
} size_kind;

typedef struct tensor_row {
    const char *name;
    size_kind   shape[5];
} tensor_row;

static const tensor_row outside[] = {
    {"patch_embedding.weight", {D, IN, PT, PH, PW}},
    {"patch_embedding.bias", {D}},
    {"text_embedding.0.weight", {D, TD}},
    {"text_embedding.0.bias", {D}},
    {"text_embedding.2.weight", {D, D}},
    {"text_embedding.2.bias", {D}},
    {"time_embedding.0.weight", {D, FD}},
    {"time_embedding.0.bias", {D}},
    {"time_embedding.2.weight", {D, D}},
    {"time_embedding.2.bias", {D}},
    {"time_projection.1.weight", {D6, D}},
    {"time_projection.1.bias", {D6}},
    {"head.head.weight", {OUT, D}},
    {"head.head.bias", {OUT}},
    {"head.modulation", {ONE, TWO, D}},
};

static const tensor_row in_layer[] = {
    {"modulation", {ONE, SIX, D}},
    {"self_attn.q.weight", {D, D}},
    {"self_attn.q.bias", {D}},
    {"self_attn.k.weight", {D, D}},
    {"self_attn.k.bias", {D}},
    {"self_attn.v.weight", {D, D}},
    {"self_attn.v.bias", {D}},
    {"self_attn.o.weight", {D, D}},
    {"self_attn.o.bias", {D}},
    {"self_attn.norm_q.weight", {D}},
    {"self_attn.norm_k.weight", {D}},
    {"norm3.weight", {D}},
    {"norm3.bias", {D}},
    {"cross_attn.q.weight", {D, D}},
    {"cross_attn.q.bias", {D}},
    {"cross_attn.k.weight", {D, D}},
    {"cross_attn.k.bias", {D}},
    {"cross_attn.v.weight", {D, D}},
    {"cross_attn.v.bias", {D}},
    {"cross_attn.o.weight", {D, D}},
    {"cross_attn.o.bias", {D}},
    {"cross_attn.norm_q.weight", {D}},
    {"cross_attn.norm_k.weight", {D}},
    {"ffn.0.weight", {G, D}},
    {"ffn.0.bias", {G}},
    {"ffn.2.weight", {D, G}},
    {"ffn.2.bias", {D}},
    {"to_gate_compress.weight", {D, D}},
    {"to_gate_compress.bias", {D}},
};

enum {
    N_OUTSIDE  = sizeof outside / sizeof outside[0],
    N_IN_LAYER = sizeof in_layer / sizeof in_layer[0],
    N_GATE     = 2 /* the last of them */
};

static int64_t size_of(const fili_dit_config *c, size_kind kind)
{
    switch (kind) {
    case D: return c->dim;
    case G: return c->ffn_dim;
    case TD: return c->text_dim;
    case FD: return c->freq_dim;
    case D6: return 6 * (int64_t)c->dim;
    case OUT: return fili_dit_patch(c) * c->out_channels;
    case IN: return c->in_channels;
    case ONE: return 1;
    case TWO: return 2;
    case SIX: return 6;
    case PT: return c->patch_t;
    case PH: return c->patch_h;
    case PW: return c->patch_w;
    default: return 0;
    }
}

static int32_t per_layer(const fili_dit_config *config)
{
    return config->has_gate ? N_IN_LAYER : N_IN_LAYER - N_GATE;
}

int32_t fili_dit_tensors(const fili_dit_config *config)
{
    return N_OUTSIDE + config->layers * per_layer(config);
}

void fili_dit_tensor_at(const fili_dit_config *config, int32_t i, fili_dit_tensor *out)
{
    const int32_t     inner = i - N_OUTSIDE;
    const int32_t     rows  = per_layer(config);
    const tensor_row *row   = inner < 0 ? &outside[i] : &in_layer[inner % rows];
    *out                    = (fili_dit_tensor){.rank = 0};
    if (inner < 0)
        snprintf(out->name, sizeof out->name, "%s", row->name);
    else
        snprintf(out->name, sizeof out->name, "blocks.%d.%s", (int)(inner / rows), row->name);
    while (out->rank < 5 && row->shape[out->rank] != NONE) {
        out->shape[out->rank] = size_of(config, row->shape[out->rank]);
        out->rank++;
    }
}

uint64_t fili_dit_parameters(const fili_dit_config *config)
{
    uint64_t total = 0;
    for (int32_t i = 0; i < fili_dit_tensors(config); i++) {
        fili_dit_tensor t;
        uint64_t        n = 1;
        fili_dit_tensor_at(config, i, &t);
        for (uint32_t d = 0; d < t.rank; d++)
            n *= (uint64_t)t.shape[d]; /* a matrix has at most 2^20 x 2^19 */
        total += n;
    }
    return total;
}

fil_status fili_dit_check_weights(fili_weights *w, const fili_dit_config *config)
{
    for (int32_t i = 0; i < fili_dit_tensors(config); i++) {
        fili_dit_tensor t;
        fili_dit_tensor_at(config, i, &t);
        FIL_TRY(fili_weights_expect(w, t.name, t.rank, t.shape));
    }
    return fili_weights_check_all_used(w);
}
