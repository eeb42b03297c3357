/* wan/dit_load.c: the walk over a DiT's weights (dit_inside.h): memory for each, then values.
 *
 * A linear's weight is read into a staging buffer in the type of its layer and packed from there,
 * so that no second copy of the model exists; what lies in memory already is packed from where it
 * is, or used there. Small vectors become f32. The time embedding keeps bf16 where the file has it.
 * Blocks of a GGUF stay what they are, in the file or read from it.
 * A model that is streamed has the memory of one layer, filled when a layer's turn comes. On a
 * device all goes through the staging buffer. Where a model is streamed there, that holds a whole
 * layer, and is pinned: the next one is read while the device works on the one before, and copied
 * when its turn comes.
 */
#include <stdio.h>

#include "base/mem.h"
#include "kernel/device_rows.h"
#include "wan/dit_inside.h"

typedef struct full_name {
    char text[64];
} full_name;

/* "blocks.N.NAME" or, with layer < 0, NAME. */
static full_name name_of(int32_t layer, const char *name, const char *end)
{
    full_name n;
    if (layer >= 0)
        snprintf(n.text, sizeof n.text, "blocks.%d.%s%s", (int)layer, name, end);
    else
        snprintf(n.text, sizeof n.text, "%s%s", name, end);
    return n;
}

static uint64_t elements_of(uint32_t rank, const int64_t *shape)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < rank; i++)
        n *= (uint64_t)shape[i];
    return n;
}

/* ---- staging -------------------------------------------------------------------------------- */

/* Values of a layer that is read ahead follow each other, at multiples of 4 bytes. */
static uint64_t staged_bytes(uint64_t bytes)
{
    return (bytes + 3) / 4 * 4;
}

/* Room for a value in staging: its beginning, or a place of its own. */
static void *stage(fili_dit_walk *walk, uint64_t bytes)
{
    const uint64_t at = walk->at;
    if (walk->step != FILI_DIT_READ_AND_PUT) walk->at += staged_bytes(bytes);
    return (char *)walk->staging + at;
}

/* Counts what a value takes in staging: alone, and with all others of its layer. */
static void count_staged(fili_dit_walk *walk, uint64_t bytes)
{
    if (bytes > walk->largest) walk->largest = bytes;
    walk->staged += staged_bytes(bytes);
}

/* A tensor of so many bytes to its room in staging, *here. */
static fil_status read_staged(fili_dit_walk *walk, const char *name, fil_dtype dtype, uint32_t rank,
                              const int64_t *shape, void **here)
{
    const uint64_t bytes = elements_of(rank, shape) * (fil_dtype_bits(dtype) / 8);
    *here                = stage(walk, bytes);
    if (walk->step == FILI_DIT_PUT) return FIL_OK;
    return fili_weights_read(walk->w, name, dtype, rank, shape, *here);
}

/* ---- vectors -------------------------------------------------------------------------------- */

/* A vector or small table in f32, for the host. The walk that took the memory wrote the pointer; it
 * is read-only afterwards. */
static fil_status table(fili_dit_walk *walk, const float **to, const char *name, uint32_t rank,
                        const int64_t *shape)
{
    void *block;
    if (walk->step == FILI_DIT_READ) return FIL_OK; /* the layer at hand has its own there */
    if (walk->space == NULL)
        return fili_weights_read(walk->w, name, FIL_F32, rank, shape, fili_writable(*to));
    FIL_TRY(fili_space_take(walk->space, elements_of(rank, shape), sizeof(float), &block));
    *to = block;
    return FIL_OK;
}

/* n numbers in f32 to where kernels find them. */
static fil_status read_near(fili_dit_walk *walk, const char *name, int64_t n, float *to)
{
    void *here;
    if (!walk->d->on_device) return fili_weights_read(walk->w, name, FIL_F32, 1, &n, to);
    FIL_TRY(read_staged(walk, name, FIL_F32, 1, &n, &here));
    if (walk->step == FILI_DIT_READ) return FIL_OK;
    return filk_device_put(walk->d->ctx, to, here, (size_t)n * sizeof(float));
}

static fil_status take_near(fili_dit_walk *walk, const float **to, int64_t n)
{
    const uint64_t bytes = (uint64_t)n * sizeof(float);
    void          *block;
    if (walk->d->on_device) count_staged(walk, bytes);
    FIL_TRY(fili_space_take_near(walk->space, (uint64_t)n, sizeof(float), &block));
    *to = block;
    return FIL_OK;
}

/* A vector for kernels. */
static fil_status named_vector(fili_dit_walk *walk, const float **to, const char *name, int64_t n)
{
    if (walk->space != NULL) return take_near(walk, to, n);
    return read_near(walk, name, n, fili_writable(*to));
}

static fil_status vector(fili_dit_walk *walk, const float **to, int32_t layer, const char *name,
                         int64_t n)
{
    return named_vector(walk, to, name_of(layer, name, "").text, n);
}

/* ---- linears -------------------------------------------------------------------------------- */

/* As the file has it; room for it where it does not lie in memory. */
static fil_status take_as_it_is(fili_dit_walk *walk, fili_dense *dense, const char *name)
{
    const fili_entry *e = fili_weights_find(walk->asked, name);
    void             *block;
    if (e == NULL) return FIL_FAIL(walk->d->ctx, FIL_E_INTERNAL, "tensor '%s' has gone", name);
    if (fili_weights_as_they_are(walk->asked, name, &dense->weight_dtype) != NULL) {
        walk->mapped += e->bytes;
        return FIL_OK;
    }
    FIL_TRY(fili_space_take(walk->space, e->bytes, 1, &block));
    dense->weight = block;
    return FIL_OK;
}

static fil_status take_dense(fili_dit_walk *walk, fili_dense *dense, const fili_dense_plan *plan,
                             const char *name)
{
    const filk_linear_problem *p     = &plan->problem;
    const uint64_t             bytes = (uint64_t)(p->n * p->k) * (fil_dtype_bits(p->dtype) / 8);
    void                      *block;
    dense->plan = plan;
    if (p->any_weight) return take_as_it_is(walk, dense, name);
    if (plan->packed == 0) {
        walk->mapped += bytes;
        return FIL_OK;
    }
    count_staged(walk, bytes);
    FIL_TRY(fili_space_take_near(walk->space, plan->packed, 1, &block));
    dense->weight = block;
    return FIL_OK;
}

static fil_status fill_as_it_is(fili_dit_walk *walk, fili_dense *dense, const char *name,
                                uint32_t rank, const int64_t *shape)
{
    fil_dtype   dtype;
    const void *data = fili_weights_as_they_are(walk->w, name, &dtype);
    if (data == NULL)
        return fili_weights_read(walk->w, name, dtype, rank, shape, fili_writable(dense->weight));
    dense->weight = data;
    return fili_weights_expect(walk->w, name, rank, shape);
}

static fil_status fill_dense(fili_dit_walk *walk, fili_dense *dense, const char *name,
                             uint32_t rank, const int64_t *shape)
{
    const fil_dtype dtype = dense->plan->problem.dtype;
    const void     *data  = NULL;
    void           *here;
    if (walk->step == FILI_DIT_READ_AND_PUT) data = fili_weights_in_place(walk->w, name, dtype);
    if (dense->plan->problem.any_weight) return fill_as_it_is(walk, dense, name, rank, shape);
    FIL_TRY(fili_weights_expect(walk->w, name, rank, shape));
    if (dense->plan->packed == 0) {
        dense->weight = data;
        return data != NULL ? FIL_OK
                            : FIL_FAIL(walk->d->ctx, FIL_E_INTERNAL, "tensor '%s' has moved", name);
    }
    if (data == NULL) {
        FIL_TRY(read_staged(walk, name, dtype, rank, shape, &here));
        data = here;
    }
    if (walk->step == FILI_DIT_READ) return FIL_OK;
    return fili_dense_pack(dense->plan, data, fili_writable(dense->weight), walk->d->workspace);
}

static fil_status dense_shaped(fili_dit_walk *walk, fili_dense *dense, fili_dit_plan plan,
                               int32_t layer, const char *name, uint32_t rank, const int64_t *shape)
{
    const full_name weight = name_of(layer, name, ".weight");
    const full_name bias   = name_of(layer, name, ".bias");
    if (walk->space != NULL)
        FIL_TRY(take_dense(walk, dense, &walk->d->plan[plan], weight.text));
    else
        FIL_TRY(fill_dense(walk, dense, weight.text, rank, shape));
    return named_vector(walk, &dense->bias, bias.text, shape[0]);
}

static fil_status dense(fili_dit_walk *walk, fili_dense *to, fili_dit_plan plan, int32_t layer,
                        const char *name)
{
    const filk_linear_problem *p        = &walk->d->plan[plan].problem;
    const int64_t              shape[2] = {p->n, p->k};
    return dense_shaped(walk, to, plan, layer, name, 2, shape);
}

/* ---- q, k and v ------------------------------------------------------------------------------ */

static const char *const head_names[3] = {"self_attn.q", "self_attn.k", "self_attn.v"};

/* One layer of 3 dim outputs, packed from staging, where the three weights come to lie one after
 * the other. */
static fil_status joined_heads(fili_dit_walk *walk, fili_dense *to, int32_t layer)
{
    const fili_dense_plan *plan     = &walk->d->plan[FILI_PLAN_HEADS];
    const fil_dtype        dtype    = plan->problem.dtype;
    const int64_t          dim      = plan->problem.k;
    const int64_t          shape[2] = {dim, dim};
    const int64_t          bytes    = dim * dim * (int64_t)(fil_dtype_bits(dtype) / 8);
    if (walk->space != NULL) {
        FIL_TRY(take_dense(walk, to, plan, NULL)); /* packed, so that the name is not asked */
        return take_near(walk, &to->bias, 3 * dim);
    }
    for (int i = 0; i < 3; i++) {
        const full_name b = name_of(layer, head_names[i], ".bias");
        FIL_TRY(read_near(walk, b.text, dim, (float *)fili_writable(to->bias) + i * dim));
    }
    char *here = stage(walk, 3 * (uint64_t)bytes);
    for (int i = 0; i < 3 && walk->step != FILI_DIT_PUT; i++) {
        const full_name w = name_of(layer, head_names[i], ".weight");
        FIL_TRY(fili_weights_read(walk->w, w.text, dtype, 2, shape, here + i * bytes));
    }
    if (walk->step == FILI_DIT_READ) return FIL_OK;
    return fili_dense_pack(plan, here, fili_writable(to->weight), walk->d->workspace);
}

static fil_status heads(fili_dit_walk *walk, fili_dense to[3], int32_t layer)
{
    if (!fili_dit_keeps(walk->d)) return joined_heads(walk, &to[0], layer);
    for (int i = 0; i < 3; i++)
        FIL_TRY(dense(walk, &to[i], FILI_PLAN_HEADS, layer, head_names[i]));
    return FIL_OK;
}

/* ---- the time embedding --------------------------------------------------------------------- */

static fil_status matrix(fili_dit_walk *walk, fili_dit_matrix *to, const char *name, int64_t rows,
                         int64_t cols)
{
    const fili_dit *d        = walk->d;
    const int64_t   shape[2] = {rows, cols};
    const full_name weight   = name_of(-1, name, ".weight");
    const full_name bias     = name_of(-1, name, ".bias");
    void           *block;
    if (walk->space != NULL) {
        *to = (fili_dit_matrix){.rows = rows, .cols = cols};
        FIL_TRY(fili_space_take(walk->space, (uint64_t)(rows * cols),
                                fil_dtype_bits(d->time_dtype) / 8, &block));
        to->weight = block;
    } else {
        FIL_TRY(fili_weights_read(walk->w, weight.text, d->time_dtype, 2, shape,
                                  fili_writable(to->weight)));
    }
    return table(walk, &to->bias, bias.text, 1, &rows);
}

/* ---- the walk ------------------------------------------------------------------------------- */

static fil_status walk_layer(fili_dit_walk *walk, int32_t l, fili_dit_layer *to)
{
    const int64_t dim      = walk->d->c.dim;
    const int64_t shape[3] = {1, 6, dim};
    FIL_TRY(table(walk, &to->modulation, name_of(l, "modulation", "").text, 3, shape));
    FIL_TRY(heads(walk, to->heads, l));
    FIL_TRY(dense(walk, &to->o, FILI_PLAN_BACK, l, "self_attn.o"));
    FIL_TRY(vector(walk, &to->norm_q, l, "self_attn.norm_q.weight", dim));
    FIL_TRY(vector(walk, &to->norm_k, l, "self_attn.norm_k.weight", dim));
    FIL_TRY(vector(walk, &to->norm3_weight, l, "norm3.weight", dim));
    FIL_TRY(vector(walk, &to->norm3_bias, l, "norm3.bias", dim));
    FIL_TRY(dense(walk, &to->cross_q, FILI_PLAN_DIM, l, "cross_attn.q"));
    FIL_TRY(dense(walk, &to->cross_k, FILI_PLAN_CTX, l, "cross_attn.k"));
    FIL_TRY(dense(walk, &to->cross_v, FILI_PLAN_CTX, l, "cross_attn.v"));
    FIL_TRY(dense(walk, &to->cross_o, FILI_PLAN_BACK, l, "cross_attn.o"));
    FIL_TRY(vector(walk, &to->cross_norm_q, l, "cross_attn.norm_q.weight", dim));
    FIL_TRY(vector(walk, &to->cross_norm_k, l, "cross_attn.norm_k.weight", dim));
    FIL_TRY(dense(walk, &to->up, FILI_PLAN_UP, l, "ffn.0"));
    FIL_TRY(dense(walk, &to->down, FILI_PLAN_DOWN, l, "ffn.2"));
    if (!walk->d->c.has_gate) return FIL_OK;
    return dense(walk, &to->gate, FILI_PLAN_DIM, l, "to_gate_compress");
}

static fil_status walk_outside(fili_dit_walk *walk)
{
    fili_dit              *d        = walk->d;
    const fili_dit_config *c        = &d->c;
    const int64_t          dim      = c->dim;
    const int64_t          shape[3] = {1, 2, dim};
    const int64_t          patch[5] = {dim, c->in_channels, c->patch_t, c->patch_h, c->patch_w};
    FIL_TRY(dense_shaped(walk, &d->patch, FILI_PLAN_PATCH, -1, "patch_embedding", 5, patch));
    FIL_TRY(dense(walk, &d->text_0, FILI_PLAN_TEXT, -1, "text_embedding.0"));
    FIL_TRY(dense(walk, &d->text_2, FILI_PLAN_CTX, -1, "text_embedding.2"));
    FIL_TRY(matrix(walk, &d->time_0, "time_embedding.0", dim, c->freq_dim));
    FIL_TRY(matrix(walk, &d->time_2, "time_embedding.2", dim, dim));
    FIL_TRY(matrix(walk, &d->time_projection, "time_projection.1", 6 * dim, dim));
    FIL_TRY(table(walk, &d->head_modulation, "head.modulation", 3, shape));
    return dense(walk, &d->head, FILI_PLAN_HEAD, -1, "head.head");
}

/* One place, at which all layers point. */
static fil_status share_layer(fili_dit_walk *walk, bool counting)
{
    fili_dit      *d = walk->d;
    fili_dit_layer unused;
    walk->staged = 0;
    FIL_TRY(walk_layer(walk, 0, counting ? &unused : &d->layer[0]));
    for (int32_t l = 1; l < d->c.layers && !counting; l++)
        d->layer[l] = d->layer[0];
    return FIL_OK;
}

/* The values of layer l to their places in staging. */
static fil_status read_layer(fili_dit *d, int32_t l)
{
    fili_dit_walk walk = {.d = d, .w = d->w, .staging = d->staging, .step = FILI_DIT_READ};
    d->ahead           = -1;
    FIL_TRY(walk_layer(&walk, l, &d->layer[l]));
    d->ahead = l;
    return FIL_OK;
}

fil_status fili_dit_read_ahead(fili_dit *d, int32_t l)
{
    if (d->staged == 0 || d->c.layers == 1) return FIL_OK;
    return read_layer(d, (l + 1) % d->c.layers);
}

fil_status fili_dit_bring(fili_dit *d, int32_t l)
{
    fili_dit_walk walk = {.d = d, .w = d->w, .staging = d->staging};
    if (!d->streams || d->at == l) return FIL_OK;
    if (d->staged > 0 && d->ahead != l) FIL_TRY(read_layer(d, l));
    if (d->staged > 0) walk.step = FILI_DIT_PUT;
    d->at                   = -1;
    const fil_status status = walk_layer(&walk, l, &d->layer[l]);
    if (status == FIL_OK) d->at = l;
    fili_dit_spent(d, &d->times.rest);
    return status;
}

void fili_dit_look_ahead(const fili_dit *d, int32_t l)
{
    char prefix[32];
    if (!d->reads_ahead) return;
    snprintf(prefix, sizeof prefix, "blocks.%d.", (int)((l + 1) % d->c.layers));
    fili_weights_will_read(d->w, prefix);
}

fil_status fili_dit_walk_weights(fili_dit_walk *walk)
{
    fili_dit      *d        = walk->d;
    const int32_t  layers   = d->c.layers;
    const bool     counting = walk->space != NULL && walk->space->arena == NULL;
    fili_dit_layer unused;
    FIL_TRY(walk_outside(walk));
    if (d->streams) return walk->space == NULL ? FIL_OK : share_layer(walk, counting);
    for (int32_t l = 0; l < layers; l++) {
        if (walk->space == NULL) {
            FIL_TRY(fili_check_cancel(d->ctx));
            fili_progress(d->ctx, "load", (uint64_t)l, (uint64_t)layers);
        }
        FIL_TRY(walk_layer(walk, l, counting ? &unused : &d->layer[l]));
    }
    if (walk->space == NULL) fili_progress(d->ctx, "load", (uint64_t)layers, (uint64_t)layers);
    return FIL_OK;
}
