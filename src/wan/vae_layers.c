/* wan/vae_layers.c: the layers of encoder and decoder, with their names in the original file and
 * what each convolution computes (Wan-Video/Wan2.1, wan/modules/vae.py; wan/vae_parts.h). Decides
 * nothing about kernels and memory.
 */
#include <stdio.h>
#include <string.h>

#include "wan/vae_parts.h"

static const filk_conv3d_axis still = {.kernel = 1, .stride = 1};

/* The window of three at every place, or three frames that end with the present one. */
static filk_conv3d_axis around(int32_t size)
{
    return (filk_conv3d_axis){.size = size, .kernel = 3, .stride = 1, .before = 1, .after = 1};
}

static filk_conv3d_axis at_once(int32_t size)
{
    filk_conv3d_axis a = still;
    a.size             = size;
    return a;
}

static filk_conv3d_axis past_frames(void)
{
    return (filk_conv3d_axis){.size = 3, .kernel = 3, .stride = 1};
}

/* Channel counts of encoder and decoder at level i. */
static int32_t width(const fili_vae_config *c, int32_t level)
{
    return c->base_dim * c->multiplier[level];
}

static filk_conv3d_axis quarter(int32_t size, int32_t odd)
{
    return (filk_conv3d_axis){
        .size = size, .kernel = 2, .stride = 1, .before = odd ? 0 : 1, .after = odd ? 1 : 0};
}

/* ---- convolutions --------------------------------------------------------------------------- */

static vae_conv *conv_of(fili_vae_stream *s, vae_layer *l, int32_t i, const char *suffix)
{
    vae_conv *c = &l->conv[i];
    c->suffix   = suffix;
    c->rank     = 5;
    c->p        = (filk_conv3d_problem){.t          = at_once(1),
                                        .h          = at_once(s->level[l->level].h),
                                        .w          = at_once(s->level[l->level].w),
                                        .c_in       = l->c_in,
                                        .c_out      = l->c_out,
                                        .dtype      = s->dtype,
                                        .out_dtype  = FIL_F32,
                                        .bias_dtype = FIL_F32};
    return c;
}

/* The spare frame of a level for inputs of c channels. */
static void **spare_of(vae_level *v, int32_t c)
{
    if (c == v->c) return &v->spare[1];
    if (c == v->c_in) return &v->spare[0];
    v->other = c;
    return &v->spare[2];
}

static void causal_cube(fili_vae_stream *s, vae_layer *l, int32_t i, const char *suffix,
                        int32_t c_in)
{
    vae_conv *c = conv_of(s, l, i, suffix);
    c->p.c_in   = c_in;
    c->p.t      = past_frames();
    c->p.h      = around(c->p.h.size);
    c->p.w      = around(c->p.w.size);
    c->spare    = spare_of(&s->level[l->level], c_in);
}

/* ---- layers --------------------------------------------------------------------------------- */

static vae_layer *add(fili_vae_stream *s, vae_kind kind, int32_t level, const char *name)
{
    vae_layer *l = &s->layer[s->n_layers++];
    *l           = (vae_layer){.kind = kind, .level = level};
    snprintf(l->name, sizeof l->name, "%s.%.40s", s->encoder ? "encoder" : "decoder", name);
    return l;
}

static void add_res(fili_vae_stream *s, int32_t level, const char *name, int32_t c_in,
                    int32_t c_out)
{
    vae_layer *l = add(s, VAE_RES, level, name);
    l->c_in      = c_in;
    l->c_out     = c_out;
    causal_cube(s, l, 0, ".residual.2", c_in);
    causal_cube(s, l, 1, ".residual.6", c_out);
    if (c_in != c_out) conv_of(s, l, 2, ".shortcut")->p.dtype = FIL_F32;
}

static void add_middle(fili_vae_stream *s, int32_t level)
{
    const int32_t c = s->level[level].c;
    add_res(s, level, "middle.0", c, c);
    vae_layer *l = add(s, VAE_ATTENTION, level, "middle.1");
    l->c_in = l->c_out = c;
    add_res(s, level, "middle.2", c, c);
}

static const char *numbered(char name[VAE_NAME], const char *stem, int32_t i)
{
    snprintf(name, VAE_NAME, "%s.%d", stem, (int)i);
    return name;
}

/* From level to level - 1: two frames of one (temporal), each doubled in space. */
static void add_up(fili_vae_stream *s, int32_t level, const char *name)
{
    vae_layer *l = add(s, VAE_UP, level, name);
    l->c_in      = s->level[level].c;
    l->c_out     = s->level[level - 1].c_in;
    l->temporal  = s->config.temporal[level - 1];
    for (int32_t i = 0; i < 2 && l->temporal; i++) {
        vae_conv *c = conv_of(s, l, i, ".time_conv");
        c->p.c_out  = l->c_in;
        c->p.t      = past_frames();
        c->cut      = i == 0 ? VAE_FIRST : VAE_SECOND;
        c->spare    = spare_of(&s->level[level], l->c_in);
    }
    for (int32_t i = 0; i < 4; i++) {
        vae_conv *c = conv_of(s, l, 2 + i, ".resample.1");
        c->rank     = 4;
        c->cut      = (vae_cut)((int32_t)VAE_EVEN_EVEN + i);
        c->p.h      = quarter(c->p.h.size, i >> 1);
        c->p.w      = quarter(c->p.w.size, i & 1);
    }
}

/* From level to level + 1: every second pixel, and every second frame (temporal). */
static void add_down(fili_vae_stream *s, int32_t level, const char *name)
{
    vae_layer *l  = add(s, VAE_DOWN, level, name);
    l->c_in       = s->level[level].c;
    l->c_out      = l->c_in;
    l->temporal   = s->config.temporal[level];
    vae_conv *c   = conv_of(s, l, 0, ".resample.1");
    c->rank       = 4;
    c->p.h.kernel = 3;
    c->p.h.stride = 2;
    c->p.h.after  = 1;
    c->p.w        = c->p.h;
    c->p.w.size   = s->level[level].w;
    if (!l->temporal) return;
    vae_level *next = &s->level[level + 1];
    c               = conv_of(s, l, 1, ".time_conv");
    c->p.t          = past_frames();
    c->p.h          = at_once(next->h);
    c->p.w          = at_once(next->w);
    c->spare        = spare_of(next, l->c_out);
}

static void add_end(fili_vae_stream *s, vae_kind kind, int32_t level, const char *name,
                    const char *suffix, int32_t c_in, int32_t c_out)
{
    vae_layer *l = add(s, kind, level, name);
    l->c_in      = c_in;
    l->c_out     = c_out;
    causal_cube(s, l, 0, suffix, c_in);
}

/* ---- the two halves ------------------------------------------------------------------------- */

static void list_decoder(fili_vae_stream *s)
{
    const fili_vae_config *c    = &s->config;
    const int32_t          last = c->n_levels - 1;
    int32_t                at   = 0;
    char                   name[VAE_NAME];
    add_end(s, VAE_IN, last, "conv1", "", c->z_dim, s->level[last].c);
    add_middle(s, last);
    for (int32_t i = last; i >= 0; i--) {
        const vae_level *v = &s->level[i];
        for (int32_t b = 0; b <= c->blocks; b++)
            add_res(s, i, numbered(name, "upsamples", at++), b == 0 ? v->c_in : v->c, v->c);
        if (i > 0) add_up(s, i, numbered(name, "upsamples", at++));
    }
    add_end(s, VAE_HEAD, 0, "head", ".2", s->level[0].c, 3);
}

static void list_encoder(fili_vae_stream *s)
{
    const fili_vae_config *c    = &s->config;
    const int32_t          last = c->n_levels - 1;
    int32_t                at   = 0;
    char                   name[VAE_NAME];
    add_end(s, VAE_IN, 0, "conv1", "", 3, s->level[0].c_in);
    for (int32_t i = 0; i <= last; i++) {
        const vae_level *v = &s->level[i];
        for (int32_t b = 0; b < c->blocks; b++)
            add_res(s, i, numbered(name, "downsamples", at++), b == 0 ? v->c_in : v->c, v->c);
        if (i < last) add_down(s, i, numbered(name, "downsamples", at++));
    }
    add_middle(s, last);
    add_end(s, VAE_HEAD, last, "head", ".2", s->level[last].c, 2 * c->z_dim);
}

/* Channels in the middle of the decoder before a level: half of those above it (each step up
 * halves them); the encoder's levels begin with those of the level before. */
static void set_levels(fili_vae_stream *s, int32_t h, int32_t w)
{
    const fili_vae_config *c = &s->config;
    for (int32_t i = c->n_levels - 1; i >= 0; i--) {
        vae_level *v = &s->level[i];
        v->h         = h << (c->n_levels - 1 - i);
        v->w         = w << (c->n_levels - 1 - i);
        v->c         = width(c, i);
        if (s->encoder)
            v->c_in = i == 0 ? c->base_dim : width(c, i - 1);
        else
            v->c_in = i == c->n_levels - 1 ? v->c : s->level[i + 1].c / 2;
    }
}

fil_status fili_vae_list(fili_vae_stream *s, int32_t h, int32_t w)
{
    const int32_t longest = INT32_MAX >> (s->config.n_levels + 8);
    FIL_CHECK(s->ctx, h >= 1 && w >= 1 && h <= longest && w <= longest,
              "latents of %d x %d; expected 1 to %d on each side", (int)h, (int)w, (int)longest);
    set_levels(s, h, w);
    if (s->encoder)
        list_encoder(s);
    else
        list_decoder(s);
    return FIL_OK;
}

/* ---- tensors -------------------------------------------------------------------------------- */

void fili_vae_conv_tensors(const vae_layer *l, const vae_conv *c, vae_tensor *weight,
                           vae_tensor *bias)
{
    const int     halved = c->cut == VAE_FIRST || c->cut == VAE_SECOND;
    const int64_t side   = c->cut >= VAE_EVEN_EVEN ? 3 : c->p.h.kernel;
    const int64_t out    = (halved ? 2 : 1) * (int64_t)c->p.c_out;
    *weight = (vae_tensor){.rank = 5, .shape = {out, c->p.c_in, c->p.t.kernel, side, side}};
    if (c->rank == 4) *weight = (vae_tensor){.rank = 4, .shape = {out, c->p.c_in, side, side}};
    *bias = (vae_tensor){.rank = 1, .shape = {out}};
    snprintf(weight->name, sizeof weight->name, "%s%s.weight", l->name, c->suffix);
    snprintf(bias->name, sizeof bias->name, "%s%s.bias", l->name, c->suffix);
}

static fil_status visit_one(const char *stem, const char *suffix, vae_tensor *t, vae_visit visit,
                            void *user)
{
    snprintf(t->name, sizeof t->name, "%s%s", stem, suffix);
    return visit(user, t);
}

static fil_status visit_gamma(const vae_layer *l, int32_t i, const char *suffix, uint32_t rank,
                              vae_visit visit, void *user)
{
    vae_tensor t = {
        .rank = rank, .shape = {i == 0 ? l->c_in : l->c_out, 1, 1, 1}, .dst = l->gamma[i]};
    return visit_one(l->name, suffix, &t, visit, user);
}

/* A product of pixels: weight [out, in] in a tensor of `rank`, and its bias. */
typedef struct pixel_product {
    const char  *name;
    int64_t      out, in;
    uint32_t     rank;
    const float *weight, *bias;
} pixel_product;

static fil_status visit_product(const pixel_product *p, vae_visit visit, void *user)
{
    vae_tensor t = {.rank = p->rank, .shape = {p->out, p->in, 1, 1, 1}, .dst = p->weight};
    FIL_TRY(visit_one(p->name, ".weight", &t, visit, user));
    t = (vae_tensor){.rank = 1, .shape = {p->out}, .dst = p->bias};
    return visit_one(p->name, ".bias", &t, visit, user);
}

static fil_status visit_attention(const fili_vae_stream *s, const vae_layer *l, vae_visit visit,
                                  void *user)
{
    const vae_attention *a = &s->attention;
    char                 name[VAE_NAME + 8];
    FIL_TRY(visit_gamma(l, 0, ".norm.gamma", 3, visit, user));
    pixel_product p = {.name   = name,
                       .out    = 3 * (int64_t)l->c_in,
                       .in     = l->c_in,
                       .rank   = 4,
                       .weight = a->qkv,
                       .bias   = a->qkv_bias};
    snprintf(name, sizeof name, "%s.to_qkv", l->name);
    FIL_TRY(visit_product(&p, visit, user));
    p.out    = l->c_in;
    p.weight = a->proj;
    p.bias   = a->proj_bias;
    snprintf(name, sizeof name, "%s.proj", l->name);
    return visit_product(&p, visit, user);
}

static fil_status visit_layer(const fili_vae_stream *s, const vae_layer *l, vae_visit visit,
                              void *user)
{
    if (l->kind == VAE_RES) {
        FIL_TRY(visit_gamma(l, 0, ".residual.0.gamma", 4, visit, user));
        FIL_TRY(visit_gamma(l, 1, ".residual.3.gamma", 4, visit, user));
    }
    if (l->kind == VAE_HEAD) FIL_TRY(visit_gamma(l, 0, ".0.gamma", 4, visit, user));
    if (l->kind == VAE_ATTENTION) FIL_TRY(visit_attention(s, l, visit, user));
    for (int32_t i = 0; i < VAE_CONVS; i++) {
        const vae_conv *c = &l->conv[i];
        vae_tensor      weight;
        vae_tensor      bias;
        /* The second half and three of the quarters stand in tensors that were visited. */
        if (c->suffix == NULL || c->cut == VAE_SECOND || c->cut > VAE_EVEN_EVEN) continue;
        fili_vae_conv_tensors(l, c, &weight, &bias);
        FIL_TRY(visit(user, &weight));
        FIL_TRY(visit(user, &bias));
    }
    return FIL_OK;
}

fil_status fili_vae_tensors(const fili_vae_stream *s, vae_visit visit, void *user)
{
    const int64_t       z = (int64_t)s->config.z_dim * (s->encoder ? 2 : 1);
    const pixel_product p = {.name   = s->encoder ? "conv1" : "conv2",
                             .out    = z,
                             .in     = z,
                             .rank   = 5,
                             .weight = s->latent,
                             .bias   = s->latent_bias};
    FIL_TRY(visit_product(&p, visit, user));
    for (int32_t i = 0; i < s->n_layers; i++)
        FIL_TRY(visit_layer(s, &s->layer[i], visit, user));
    return FIL_OK;
}
