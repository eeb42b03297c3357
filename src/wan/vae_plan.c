/* wan/vae_plan.c: kernels, memory and weights of a stream (wan/vae_parts.h).
 *
 * First every kernel is planned, equal problems once; then all sizes are known, their sum is taken
 * in one piece, and the weights are read and packed into it. After that nothing is allocated.
 */
#include <string.h>

#include "base/checked.h"
#include "base/device.h"
#include "base/mem.h"
#include "kernel/device_rows.h"
#include "tensor/convert.h"
#include "wan/vae_parts.h"

/* ---- plans ---------------------------------------------------------------------------------- */

static void larger(size_t *a, size_t b)
{
    if (b > *a) *a = b;
}

static bool same_linear(const filk_linear_problem *a, const filk_linear_problem *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->dtype == b->dtype &&
           a->out_dtype == b->out_dtype && a->bias_dtype == b->bias_dtype && a->act == b->act &&
           a->x_stride == b->x_stride && a->packed == b->packed;
}

fil_status fili_vae_find_plan(fili_vae_stream *s, const vae_plan *wanted, const vae_plan **out)
{
    const int          is_conv = wanted->conv.c_in > 0;
    const filk_family *family  = is_conv ? &filk_conv3d : &filk_linear;
    const void        *problem;
    for (int32_t i = 0; i < s->n_plans; i++) {
        *out = &s->plan[i];
        if (memcmp(&(*out)->conv, &wanted->conv, sizeof wanted->conv) == 0 &&
            same_linear(&(*out)->linear, &wanted->linear))
            return FIL_OK;
    }
    if (s->n_plans == VAE_PLANS)
        return FIL_FAIL(s->ctx, FIL_E_LIMIT, "VAE: more than %d kinds of layers", VAE_PLANS);
    vae_plan *p = &s->plan[s->n_plans];
    memcpy(&p->conv, &wanted->conv, sizeof p->conv);
    memcpy(&p->linear, &wanted->linear, sizeof p->linear);
    problem = is_conv ? (const void *)&p->conv : (const void *)&p->linear;
    FIL_TRY(filk_select(s->ctx, family, problem, NULL, &p->row));
    FIL_TRY(p->row->plan->create(s->ctx, problem, &p->plan));
    s->n_plans++;
    larger(&s->workspace_bytes, p->row->plan->workspace(p->plan));
    *out = p;
    return FIL_OK;
}

void fili_vae_drop_plans(fili_vae_stream *s)
{
    for (int32_t i = 0; i < s->n_plans; i++)
        s->plan[i].row->plan->destroy(s->ctx, &s->plan[i].plan);
    s->n_plans = 0;
}

static fil_status plan_norms(fili_vae_stream *s)
{
    for (int32_t silu = 0; silu < 2; silu++) {
        filk_norm_problem p = {.kind      = FILK_NORM_RMS,
                               .rows      = 1,
                               .dim       = 1,
                               .dtype     = FIL_F32,
                               .out_dtype = silu ? s->dtype : FIL_F32,
                               .silu      = silu};
        FIL_TRY(filk_select(s->ctx, &filk_norm, &p, NULL, &s->norm[silu]));
        for (int32_t i = 0; i < s->config.n_levels; i++) {
            p.dim = s->level[i].c > s->level[i].c_in ? s->level[i].c : s->level[i].c_in;
            larger(&s->workspace_bytes, s->norm[silu]->workspace(&p, s->ctx->n_threads));
        }
    }
    return FIL_OK;
}

static bool all_on_device(const fili_vae_stream *s)
{
    bool all = s->ctx->device != NULL && fili_isa_is_device(s->norm[0]->isa) &&
               fili_isa_is_device(s->norm[1]->isa);
    for (int32_t i = 0; i < s->n_plans; i++)
        all = all && fili_isa_is_device(s->plan[i].row->isa);
    return all;
}

fil_status fili_vae_plan(fili_vae_stream *s)
{
    FIL_TRY(plan_norms(s));
    for (int32_t i = 0; i < s->n_layers; i++)
        for (int32_t k = 0; k < VAE_CONVS; k++) {
            vae_conv *c      = &s->layer[i].conv[k];
            vae_plan  wanted = {.row = NULL};
            if (c->suffix == NULL) continue;
            memcpy(&wanted.conv, &c->p, sizeof c->p);
            FIL_TRY(fili_vae_find_plan(s, &wanted, &c->plan));
        }
    FIL_TRY(fili_vae_attention_plan(s));
    s->on_device = all_on_device(s);
    return FIL_OK;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* The list is as long as all layers could need: see VAE_PIECES. */
static void add_piece(fili_vae_stream *s, void *at, size_t bytes, int near)
{
    if (bytes > 0 && s->n_pieces < VAE_PIECES)
        s->piece[s->n_pieces++] = (vae_piece){.at = at, .bytes = bytes, .near = near};
}

/* For kernels. */
static void want(fili_vae_stream *s, void *at, size_t bytes)
{
    add_piece(s, at, bytes, 1);
}

/* For the host. */
static void want_here(fili_vae_stream *s, void *at, size_t bytes)
{
    add_piece(s, at, bytes, 0);
}

/* Sizes fit: fili_vae_list bounds the sides, the loader the channels; 2^53 bytes at most. */
static size_t frame_bytes(const vae_level *v, int64_t c, fil_dtype dtype)
{
    return (size_t)v->h * (size_t)v->w * (size_t)c * (fil_dtype_bits(dtype) / 8);
}

static void want_level(fili_vae_stream *s, vae_level *v)
{
    want(s, &v->in, frame_bytes(v, v->c_in, FIL_F32));
    if (v->c != v->c_in) {
        want(s, &v->x, frame_bytes(v, v->c, FIL_F32));
        want(s, &v->spare[0], frame_bytes(v, v->c_in, s->dtype));
    }
    want(s, &v->spare[1], frame_bytes(v, v->c, s->dtype));
    if (v->other > 0) want(s, &v->spare[2], frame_bytes(v, v->other, s->dtype));
}

/* The results and casts of a layer that share the scratch frame and the cast frame. */
static void widen_scratch(fili_vae_stream *s, const vae_layer *l)
{
    const vae_level *v = &s->level[l->level];
    larger(&s->scratch_bytes, frame_bytes(v, l->c_out, FIL_F32));
    if (l->kind == VAE_UP) larger(&s->scratch_bytes, frame_bytes(v, l->c_in + l->c_out, FIL_F32));
    if (s->dtype != FIL_F32 && (l->kind == VAE_UP || l->kind == VAE_DOWN))
        larger(&s->cast_bytes, frame_bytes(v, l->c_in, s->dtype));
}

/* The tensor, the part of it that is used, and that converted. */
static size_t weight_floats(const vae_conv *c)
{
    const size_t taps = (size_t)c->p.t.kernel * (size_t)c->p.h.kernel * (size_t)c->p.w.kernel;
    const size_t file = c->cut >= VAE_EVEN_EVEN ? 9 : c->cut != VAE_WHOLE ? 2 * taps : taps;
    return (file + 2 * taps) * (size_t)c->p.c_in * (size_t)c->p.c_out;
}

static void want_conv(fili_vae_stream *s, vae_conv *c)
{
    const size_t pixels = (size_t)c->p.h.size * (size_t)c->p.w.size;
    const size_t input  = pixels * (size_t)c->p.c_in * (fil_dtype_bits(c->p.dtype) / 8);
    want(s, &c->packed, c->plan->row->plan->packed_bytes(c->plan->plan));
    want(s, &c->bias, (size_t)c->p.c_out * 2 * sizeof(float));
    larger(s->on_device ? &s->here_bytes : &s->scratch_bytes, weight_floats(c) * sizeof(float));
    if (c->spare == NULL || c->cut == VAE_SECOND) return;
    want(s, &c->past[0], input);
    want(s, &c->past[1], input);
}

static void want_layer(fili_vae_stream *s, vae_layer *l)
{
    widen_scratch(s, l);
    for (int32_t k = 0; k < VAE_CONVS; k++)
        if (l->conv[k].suffix != NULL) want_conv(s, &l->conv[k]);
    if (l->kind != VAE_UP && l->kind != VAE_DOWN && l->kind != VAE_IN) {
        want(s, &l->gamma[0], (size_t)l->c_in * sizeof(float));
        if (l->kind == VAE_RES) want(s, &l->gamma[1], (size_t)l->c_out * sizeof(float));
    }
    if (l->kind == VAE_ATTENTION) {
        const size_t   c = (size_t)l->c_in;
        vae_attention *a = &s->attention;
        if (s->on_device) larger(&s->here_bytes, 3 * c * c * sizeof(float));
        want(s, &a->qkv, 3 * c * c * sizeof(float));
        want(s, &a->qkv_bias, 3 * c * sizeof(float));
        want(s, &a->proj, c * c * sizeof(float));
        want(s, &a->proj_bias, c * sizeof(float));
    }
}

/* All of them in one walk, which counts, or takes and tells where they lie. */
static fil_status walk_pieces(const fili_vae_stream *s, fili_space *space)
{
    for (int32_t i = 0; i < s->n_pieces; i++) {
        const vae_piece *p = &s->piece[i];
        void            *data;
        FIL_TRY(p->near ? fili_space_take_near(space, p->bytes, 1, &data)
                        : fili_space_take(space, p->bytes, 1, &data));
        if (space->arena != NULL) memcpy(p->at, &data, sizeof data);
    }
    return FIL_OK;
}

fil_status fili_vae_reserve(fili_vae_stream *s, uint64_t *bytes)
{
    const size_t z     = (size_t)s->config.z_dim * (s->encoder ? 2 : 1);
    fili_space   space = {.ctx = s->ctx, .on_device = s->on_device};
    s->n_pieces        = 0;
    for (int32_t i = 0; i < s->config.n_levels; i++)
        want_level(s, &s->level[i]);
    for (int32_t i = 0; i < s->n_layers; i++)
        want_layer(s, &s->layer[i]);
    larger(&s->scratch_bytes, fili_vae_attention_floats(s) * sizeof(float));
    want_here(s, &s->latent, z * z * sizeof(float));
    want_here(s, &s->latent_bias, z * sizeof(float));
    if (!s->encoder) want_here(s, &s->rgb, frame_bytes(&s->level[0], 3, FIL_F32));
    want(s, &s->scratch, s->scratch_bytes);
    want(s, &s->cast, s->cast_bytes);
    want(s, &s->workspace, s->workspace_bytes);
    if (s->on_device) {
        /* The picture, and the latent with two values for each of its own. */
        larger(&s->here_bytes, frame_bytes(&s->level[0], 3, FIL_F32));
        larger(&s->here_bytes, frame_bytes(&s->level[s->config.n_levels - 1],
                                           (int64_t)2 * s->config.z_dim, FIL_F32));
        want_here(s, &s->here, s->here_bytes);
    }
    if (walk_pieces(s, &space) != FIL_OK)
        return FIL_FAIL(s->ctx, FIL_E_NOMEM, "VAE: its frames are larger than any memory");
    s->near_bytes = space.device_bytes;
    *bytes        = space.bytes;
    return FIL_OK;
}

fil_status fili_vae_take_memory(fili_vae_stream *s)
{
    uint64_t bytes;
    FIL_TRY(fili_vae_reserve(s, &bytes));
    FIL_TRY(fili_arena_fix(&s->memory, (size_t)bytes));
    if (s->on_device) FIL_TRY(fili_device_alloc(s->ctx, s->near_bytes, "the VAE", &s->near_block));
    fili_space space = {
        .ctx = s->ctx, .arena = &s->memory, .on_device = s->on_device, .device = s->near_block};
    FIL_TRY(walk_pieces(s, &space));
    for (int32_t i = 0; i < s->config.n_levels; i++)
        if (s->level[i].x == NULL) s->level[i].x = s->level[i].in;
    return FIL_OK;
}

/* ---- weights -------------------------------------------------------------------------------- */

typedef struct loader {
    fili_vae_stream *s;
    fili_weights    *w;
} loader;

/* Convolutions are loaded by load_conv, from the shapes that were checked here. What is read is
 * read-only from here on. */
static fil_status load_floats(void *user, const vae_tensor *t)
{
    const loader *l = user;
    size_t        n = sizeof(float);
    if (t->dst == NULL) return FIL_OK;
    if (!filk_device_owns(l->s->ctx, t->dst))
        return fili_weights_read(l->w, t->name, FIL_F32, t->rank, t->shape, fili_writable(t->dst));
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (size_t)t->shape[i];
    FIL_TRY(fili_weights_read(l->w, t->name, FIL_F32, t->rank, t->shape, l->s->here));
    return filk_device_put(l->s->ctx, fili_writable(t->dst), l->s->here, n);
}

/* A quarter of a 3x3 kernel over a doubled frame (vae_cut): taps that meet the same pixel are
 * added.
 */
static void quarter_kernel(const vae_conv *c, const float *whole, float *out)
{
    const int32_t part  = (int32_t)c->cut - (int32_t)VAE_EVEN_EVEN;
    const int32_t odd_y = part >> 1;
    const int32_t odd_x = part & 1;
    const int64_t n     = (int64_t)c->p.c_in * c->p.c_out;
    for (int64_t i = 0; i < n; i++) {
        double sum[4] = {0.0, 0.0, 0.0, 0.0};
        for (int32_t y = 0; y < 3; y++)
            for (int32_t x = 0; x < 3; x++)
                sum[2 * ((y + odd_y + 1) / 2 - odd_y) + (x + odd_x + 1) / 2 - odd_x] +=
                    (double)whole[i * 9 + (int64_t)y * 3 + x];
        for (int32_t k = 0; k < 4; k++)
            out[i * 4 + k] = (float)sum[k];
    }
}

/* The half of it that is used. */
static fil_status load_bias(const loader *l, const vae_conv *c, const vae_tensor *bias)
{
    float *here = l->s->on_device ? l->s->here : c->bias;
    FIL_TRY(fili_weights_read(l->w, bias->name, FIL_F32, 1, bias->shape, here));
    if (c->cut == VAE_SECOND) memcpy(here, here + c->p.c_out, (size_t)c->p.c_out * sizeof *here);
    return filk_device_put(l->s->ctx, c->bias, here, (size_t)c->p.c_out * sizeof *here);
}

static fil_status load_conv(const loader *l, const vae_layer *layer, vae_conv *c)
{
    fili_vae_stream *s    = l->s;
    const int64_t    taps = (int64_t)c->p.t.kernel * c->p.h.kernel * c->p.w.kernel;
    const int64_t    n    = taps * c->p.c_in * c->p.c_out;
    float           *all  = s->on_device ? s->here : s->scratch;
    float           *from = all;
    vae_tensor       weight;
    vae_tensor       bias;
    fili_vae_conv_tensors(layer, c, &weight, &bias);
    FIL_TRY(load_bias(l, c, &bias));
    FIL_TRY(fili_weights_read(l->w, weight.name, FIL_F32, weight.rank, weight.shape, from));
    if (c->cut == VAE_SECOND) from += n;
    if (c->cut >= VAE_EVEN_EVEN) {
        from += (int64_t)9 * c->p.c_in * c->p.c_out;
        quarter_kernel(c, all, from);
    }
    if (c->p.dtype != FIL_F32) {
        FIL_TRY(fili_convert(s->ctx, c->p.dtype, from + n, FIL_F32, from, n));
        from += n;
    }
    return c->plan->row->plan->pack(s->ctx, c->plan->plan, from, c->packed, s->workspace);
}

fil_status fili_vae_load(fili_vae_stream *s, fili_weights *weights)
{
    loader l = {.s = s, .w = weights};
    FIL_TRY(fili_vae_tensors(s, load_floats, &l));
    for (int32_t i = 0; i < s->n_layers; i++)
        for (int32_t k = 0; k < VAE_CONVS; k++)
            if (s->layer[i].conv[k].suffix != NULL)
                FIL_TRY(load_conv(&l, &s->layer[i], &s->layer[i].conv[k]));
    return FIL_OK;
}
