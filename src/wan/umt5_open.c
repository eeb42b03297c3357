/* wan/umt5_open.c: the encoder's sizes from its tensors, and the tensors bound (umt5.h).
 *
 * Small tensors (norms, biases) are taken as f32 at once; matrices are looked up when their layer
 * runs. Which tensors there must be: specification "wan", section 11.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "wan/umt5_inside.h"

enum { MAX_LAYERS = 1024, MAX_DIM = 1 << 20 };

static const char *const part_names[FILI_UMT5_MATRICES] = {
    "attn.q", "attn.k", "attn.v", "attn.o", "ffn.gate.0", "ffn.fc1", "ffn.fc2"};

static fili_umt5_name layer_name(int64_t layer, const char *what)
{
    fili_umt5_name name;
    snprintf(name.text, sizeof name.text, "blocks.%lld.%s.weight", (long long)layer, what);
    return name;
}

fili_umt5_name fili_umt5_matrix_name(int64_t layer, fili_umt5_part part)
{
    return layer_name(layer, part_names[part]);
}

void fili_umt5_matrix_shape(const fili_umt5_config *c, fili_umt5_part part, int64_t shape[2])
{
    const int64_t inner = c->heads * c->head_dim;
    const int64_t wide  = part == FILI_UMT5_GATE || part == FILI_UMT5_FC1 ? c->ffn : inner;
    const bool    back  = part == FILI_UMT5_O || part == FILI_UMT5_FC2;
    shape[0]            = back ? c->dim : wide;
    shape[1]            = !back ? c->dim : part == FILI_UMT5_FC2 ? c->ffn : inner;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static int64_t size_of(const fili_weights *w, const char *name, uint32_t axis)
{
    const fili_entry *e = fili_weights_find(w, name);
    return e != NULL && e->rank == 2 ? e->shape[axis] : 0;
}

/* What is missing or of another rank is 0 here, and is complained about when it is bound. */
static void read_sizes(const fili_weights *w, fili_umt5_config *c)
{
    static const char bias[]      = "blocks.0.pos_embedding.embedding.weight";
    static const char embedding[] = "token_embedding.weight";
    const int64_t     inner       = size_of(w, "blocks.0.attn.q.weight", 0);
    *c                            = (fili_umt5_config){.vocab = size_of(w, embedding, 0)};
    c->dim                        = size_of(w, embedding, 1);
    c->heads                      = size_of(w, bias, 1);
    c->buckets                    = size_of(w, bias, 0);
    c->ffn                        = size_of(w, "blocks.0.ffn.gate.0.weight", 0);
    c->head_dim                   = c->heads > 0 ? inner / c->heads : 0;
    while (c->layers < MAX_LAYERS &&
           fili_weights_find(w, layer_name(c->layers, "norm1").text) != NULL)
        c->layers++;
}

static fil_status check_sizes(fili_umt5 *u)
{
    const fili_umt5_config *c      = &u->config;
    static const int64_t    any[2] = {-1, -1};
    FIL_TRY(fili_weights_expect(u->w, "token_embedding.weight", 2, any));
    FIL_TRY(fili_weights_expect(u->w, "blocks.0.attn.q.weight", 2, any));
    FIL_TRY(fili_weights_expect(u->w, "blocks.0.pos_embedding.embedding.weight", 2, any));
    FIL_TRY(fili_weights_expect(u->w, "blocks.0.ffn.gate.0.weight", 2, any));
    if (c->layers == 0) {
        static const int64_t one[1] = {-1};
        return fili_weights_expect(u->w, "blocks.0.norm1.weight", 1, one);
    }
    if (c->vocab < 1 || c->dim < 1 || c->heads < 1 || c->head_dim < 1 || c->ffn < 1 ||
        c->dim > MAX_DIM || c->ffn > MAX_DIM || c->heads > MAX_DIM ||
        c->heads * c->head_dim > MAX_DIM || c->vocab > INT32_MAX || c->buckets < 4 ||
        c->buckets > 256 || c->buckets % 4 != 0)
        return FIL_FAIL(u->ctx, FIL_E_MISMATCH,
                        "a text encoder of width %lld, %lld heads of %lld, ffn %lld, %lld buckets "
                        "and %lld tokens is none that can be run",
                        (long long)c->dim, (long long)c->heads, (long long)c->head_dim,
                        (long long)c->ffn, (long long)c->buckets, (long long)c->vocab);
    return FIL_OK;
}

/* ---- tensors -------------------------------------------------------------------------------- */

static fil_status take_small(fili_umt5 *u, const char *name, uint32_t rank, const int64_t *shape,
                             const float **out)
{
    const void *data;
    FIL_TRY(fili_weights_get(u->w, name, FIL_F32, rank, shape, &data));
    *out = data;
    return FIL_OK;
}

static fil_status bind_layer(fili_umt5 *u, int64_t i)
{
    const fili_umt5_config *c       = &u->config;
    fili_umt5_layer        *layer   = &u->layers[i];
    const int64_t           row[1]  = {c->dim};
    const int64_t           bias[2] = {c->buckets, c->heads};
    FIL_TRY(take_small(u, layer_name(i, "norm1").text, 1, row, &layer->norm1));
    FIL_TRY(take_small(u, layer_name(i, "norm2").text, 1, row, &layer->norm2));
    FIL_TRY(take_small(u, layer_name(i, "pos_embedding.embedding").text, 2, bias, &layer->bias));
    for (int part = 0; part < FILI_UMT5_MATRICES; part++) {
        int64_t shape[2];
        fili_umt5_matrix_shape(c, (fili_umt5_part)part, shape);
        FIL_TRY(fili_weights_expect(u->w, fili_umt5_matrix_name(i, (fili_umt5_part)part).text, 2,
                                    shape));
    }
    return FIL_OK;
}

static fil_status bind(fili_umt5 *u)
{
    void         *block;
    const int64_t row[1] = {u->config.dim};
    FIL_TRY(check_sizes(u));
    FIL_TRY(fili_arena_calloc(&u->arena, (size_t)u->config.layers, sizeof *u->layers, &block));
    u->layers = block;
    for (int64_t i = 0; i < u->config.layers; i++)
        FIL_TRY(bind_layer(u, i));
    FIL_TRY(take_small(u, "norm.weight", 1, row, &u->norm));
    return fili_weights_check_all_used(u->w);
}

fil_status fili_umt5_open(fil_ctx *ctx, fili_weights *w, fil_dtype precision, fili_umt5 **out)
{
    void *block;
    *out = NULL;
    FIL_CHECK(ctx, precision == FIL_BF16 || precision == FIL_F32,
              "precision %s; expected BF16 or F32", fil_dtype_name(precision));
    FIL_TRY(fili_calloc(ctx, 1, sizeof **out, "text encoder", &block));
    fili_umt5 *u = block;
    *u           = (fili_umt5){.ctx = ctx, .w = w, .precision = precision};
    fili_arena_init(&u->arena, ctx, "text encoder", 0);
    read_sizes(w, &u->config);
    const fil_status status = bind(u);
    if (status != FIL_OK)
        fili_umt5_close(&u);
    else
        *out = u;
    return status;
}

void fili_umt5_close(fili_umt5 **u)
{
    if (u == NULL || *u == NULL) return;
    fili_arena_fini(&(*u)->arena);
    fili_free((*u)->ctx, *u, sizeof **u);
    *u = NULL;
}

int32_t fili_umt5_dim(const fili_umt5 *u)
{
    return (int32_t)u->config.dim;
}

const fili_umt5_config *fili_umt5_config_of(const fili_umt5 *u)
{
    return &u->config;
}

fili_umt5_times fili_umt5_last_times(const fili_umt5 *u)
{
    return u->times;
}
