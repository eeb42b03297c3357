/* wan/vae.c: opening the autoencoder, its streams, and whole clips through them (wan/vae.h). */
#include <string.h>

#include "base/device.h"
#include "base/mem.h"
#include "kernel/cpu/peak.h"
#include "wan/vae_rows.h"

/* ---- streams -------------------------------------------------------------------------------- */

void fili_vae_stream_close(fili_vae_stream **stream)
{
    if (stream == NULL || *stream == NULL) return;
    fili_vae_stream *s = *stream;
    fili_vae_drop_plans(s);
    fili_device_free(s->ctx, s->near_block, s->near_bytes);
    fili_arena_fini(&s->memory);
    fili_free(s->ctx, s, sizeof *s);
    *stream = NULL;
}

/* With its list of layers, and nothing else yet. */
static fil_status make_stream(fil_ctx *ctx, const fili_vae_config *config, fil_dtype dtype,
                              int encoder, int32_t h, int32_t w, fili_vae_stream **out)
{
    fil_status status;
    void      *memory;
    *out = NULL;
    FIL_TRY(fili_calloc(ctx, 1, sizeof **out, "VAE stream", &memory));
    fili_vae_stream *s = memory;
    s->ctx             = ctx;
    s->config          = *config;
    s->dtype           = dtype;
    s->encoder         = encoder;
    fili_arena_init(&s->memory, ctx, "VAE", 0);
    *out = s;
    FIL_TRY_OR(fail, fili_vae_list(s, h, w));
    return FIL_OK;
fail:
    fili_vae_stream_close(out);
    return status;
}

static fil_status open_stream(fili_vae *v, int encoder, int32_t h, int32_t w, fili_vae_stream **out)
{
    fil_status status;
    *out = NULL;
    if (encoder ? !v->has_encoder : !v->has_decoder)
        return FIL_FAIL(v->ctx, FIL_E_MISMATCH, "this VAE has no %s",
                        encoder ? "encoder" : "decoder");
    FIL_TRY(make_stream(v->ctx, &v->config, v->precision, encoder, h, w, out));
    FIL_TRY_OR(fail, fili_vae_plan(*out));
    FIL_TRY_OR(fail, fili_vae_take_memory(*out));
    FIL_TRY_OR(fail, fili_vae_load(*out, v->weights));
    return FIL_OK;
fail:
    fili_vae_stream_close(out);
    return status;
}

fil_status fili_vae_decoder(fili_vae *vae, int32_t h, int32_t w, fili_vae_stream **out)
{
    return open_stream(vae, 0, h, w, out);
}

fil_status fili_vae_encoder(fili_vae *vae, int32_t h, int32_t w, fili_vae_stream **out)
{
    return open_stream(vae, 1, h, w, out);
}

static fil_status feed_until(fili_vae_stream *s, int32_t until)
{
    FIL_CHECK(s->ctx, !s->failed, "this VAE stream stopped inside a frame and cannot go on");
    const double start = filk_seconds(s->ctx);
    s->failed          = 1;
    s->made            = 0;
    s->until           = until;
    FIL_TRY(fili_vae_feed(s, 0));
    s->failed = 0;
    s->times.total += filk_seconds(s->ctx) - start;
    return FIL_OK;
}

static fil_status feed(fili_vae_stream *s)
{
    return feed_until(s, s->n_layers);
}

void fili_vae_stream_reset(fili_vae_stream *stream)
{
    fili_vae_stream *s = stream;
    for (int32_t i = 0; i < s->n_layers; i++) {
        s->layer[i].count = 0;
        for (int32_t k = 0; k < VAE_CONVS; k++)
            s->layer[i].conv[k].have = 0;
    }
    s->failed   = 0;
    s->n_frames = 0;
    s->times    = (fili_vae_times){0.0, 0.0, 0.0, 0.0};
}

void fili_vae_stream_uncut(fili_vae_stream *stream)
{
    stream->uncut = 1;
}

const char *fili_vae_stream_kernel(const fili_vae_stream *stream)
{
    const vae_layer *l = &stream->layer[1]; /* the first residual block */
    return l->conv[1].plan->row->name;
}

void fili_vae_stream_times(const fili_vae_stream *stream, fili_vae_times *times)
{
    *times      = stream->times;
    times->rest = times->total - times->convolution - times->attention;
}

fil_status fili_vae_decode_frame(fili_vae_stream *stream, const float *z, int64_t stride,
                                 fili_frame_fn sink, void *user)
{
    fili_vae_stream *s = stream;
    s->sink            = sink;
    s->user            = user;
    FIL_TRY(fili_vae_latent_in(s, z, stride, *s->layer[0].conv[0].spare));
    return feed(s);
}

/* ---- going on in the middle ----------------------------------------------------------------- */

/* Convolutions that keep two frames, one behind the other. */
static int32_t causal_convs(const vae_layer *l)
{
    switch (l->kind) {
    case VAE_IN:
    case VAE_HEAD: return 1;
    case VAE_RES: return 2;
    case VAE_UP: return l->temporal;
    default: return 0;
    }
}

/* For each layer of the decoder: the latent frames before the next one of whose passage it must
 * know, itself and all behind it. Backwards, in frames at the layer's own rate. */
static void count_reach(const fili_vae_stream *s, int32_t reach[VAE_LAYERS])
{
    int32_t rate   = fili_vae_time_scale(&s->config);
    int32_t frames = 0;
    for (int32_t i = s->n_layers - 1; i >= 0; i--) {
        const vae_layer *l = &s->layer[i];
        if (l->kind == VAE_UP && l->temporal) {
            frames = (frames + 1) / 2;
            rate /= 2;
        }
        frames += 2 * causal_convs(l);
        reach[i] = (frames + rate - 1) / rate;
    }
}

int32_t fili_vae_felt(const fili_vae_stream *stream, int32_t next)
{
    int32_t reach[VAE_LAYERS];
    count_reach(stream, reach);
    return next > reach[0] ? next - reach[0] : 0;
}

fil_status fili_vae_catch_up(fili_vae_stream *stream, const float *z, int64_t stride, int32_t index,
                             int32_t next)
{
    fili_vae_stream *s = stream;
    int32_t          reach[VAE_LAYERS];
    int32_t          until = 1;
    count_reach(s, reach);
    while (until < s->n_layers &&
           (s->layer[until - 1].kind != VAE_UP || reach[until] >= next - index))
        until++;
    for (int32_t i = 0; i < s->n_layers && index > 0; i++)
        if (s->layer[i].count == 0) s->layer[i].count = 1;
    s->sink = NULL;
    FIL_TRY(fili_vae_latent_in(s, z, stride, *s->layer[0].conv[0].spare));
    FIL_TRY(feed_until(s, until));
    s->n_frames = (int64_t)fili_vae_time_scale(&s->config) * index + 1;
    return FIL_OK;
}

/* ---- encoding ------------------------------------------------------------------------------- */

fil_status fili_vae_encode_frame(fili_vae_stream *stream, const float *rgb, float *z,
                                 int64_t stride, int *made)
{
    fili_vae_stream *s = stream;
    s->z               = z;
    s->z_stride        = stride;
    FIL_TRY(fili_vae_rgb_in(s, rgb, *s->layer[0].conv[0].spare));
    FIL_TRY(feed(s));
    *made = s->made;
    return FIL_OK;
}

/* ---- whole clips ---------------------------------------------------------------------------- */

fil_status fili_vae_decode(fili_vae *vae, const float *z, int32_t t, int32_t h, int32_t w,
                           fili_frame_fn sink, void *user)
{
    fil_ctx         *ctx    = vae->ctx;
    fili_vae_stream *s      = NULL;
    fil_status       status = FIL_OK;
    FIL_CHECK(ctx, t >= 1, "%d latent frames; expected 1 or more", (int)t);
    FIL_TRY(fili_vae_decoder(vae, h, w, &s));
    const int64_t frame = (int64_t)h * w;
    for (int32_t i = 0; i < t; i++) {
        fili_progress(ctx, "decode", (uint64_t)i, (uint64_t)t);
        FIL_TRY_OR(done, fili_vae_decode_frame(s, z + i * frame, t * frame, sink, user));
    }
    fili_progress(ctx, "decode", (uint64_t)t, (uint64_t)t);
done:
    fili_vae_stream_close(&s);
    return status;
}

typedef struct encode_job {
    fili_vae_stream  *s;
    fili_frame_source source;
    void             *user;
    int32_t           n, h, w;
    float            *rgb, *z;
} encode_job;

static fil_status encode_all(fil_ctx *ctx, const encode_job *j)
{
    const int32_t scale  = fili_vae_scale(&j->s->config);
    const int64_t frame  = (int64_t)(j->h / scale) * (j->w / scale);
    const int64_t frames = (j->n - 1) / fili_vae_time_scale(&j->s->config) + 1;
    float        *z      = j->z;
    for (int32_t i = 0; i < j->n; i++) {
        int made;
        fili_progress(ctx, "encode", (uint64_t)i, (uint64_t)j->n);
        FIL_TRY(j->source(j->user, i, j->rgb, j->h, j->w));
        FIL_TRY(fili_vae_encode_frame(j->s, j->rgb, z, frames * frame, &made));
        if (made) z += frame;
    }
    fili_progress(ctx, "encode", (uint64_t)j->n, (uint64_t)j->n);
    return FIL_OK;
}

fil_status fili_vae_encode(fili_vae *vae, fili_frame_source source, void *user, int32_t n,
                           int32_t h, int32_t w, float *z)
{
    fil_ctx      *ctx   = vae->ctx;
    const int32_t scale = fili_vae_scale(&vae->config);
    const int32_t time  = fili_vae_time_scale(&vae->config);
    encode_job    job   = {.source = source, .user = user, .n = n, .h = h, .w = w, .z = z};
    fil_status    status;
    void         *rgb;
    FIL_CHECK(ctx, n >= 1 && n % time == 1 % time, "%d frames; expected a multiple of %d, plus 1",
              (int)n, (int)time);
    FIL_CHECK(ctx, h >= 1 && w >= 1 && h % scale == 0 && w % scale == 0,
              "frames of %d x %d pixels; expected multiples of %d", (int)w, (int)h, (int)scale);
    FIL_TRY(fili_vae_encoder(vae, h / scale, w / scale, &job.s));
    const size_t bytes = 3 * (size_t)h * (size_t)w * sizeof(float);
    FIL_TRY_OR(done, fili_alloc(ctx, bytes, "a frame to encode", &rgb));
    job.rgb = rgb;
    status  = encode_all(ctx, &job);
    fili_free(ctx, rgb, bytes);
done:
    fili_vae_stream_close(&job.s);
    return status;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* The row of a convolution as most are. */
static fil_status usual_row(fil_ctx *ctx, fil_dtype dtype, const filk_row **row)
{
    const filk_conv3d_axis side = {.size = 16, .kernel = 3, .stride = 1, .before = 1, .after = 1};
    const filk_conv3d_axis time = {.size = 3, .kernel = 3, .stride = 1};
    const filk_conv3d_problem p = {.t          = time,
                                   .h          = side,
                                   .w          = side,
                                   .c_in       = 96,
                                   .c_out      = 96,
                                   .dtype      = dtype,
                                   .out_dtype  = FIL_F32,
                                   .bias_dtype = FIL_F32};
    return filk_select(ctx, &filk_conv3d, &p, NULL, row);
}

/* F32 where bf16 has no kernel but the reference. */
fil_status fili_vae_usable(fil_ctx *ctx, fil_dtype wanted, fil_dtype *out)
{
    const filk_row *row;
    *out = FIL_F32;
    FIL_CHECK(ctx, wanted == FIL_F32 || wanted == FIL_BF16,
              "VAE: precision %s; expected F32 or BF16", fil_dtype_name(wanted));
    if (wanted == FIL_F32) return FIL_OK;
    FIL_TRY(usual_row(ctx, FIL_BF16, &row));
    if (row->isa != FILI_ISA_REF || ctx->isa == FILI_ISA_REF) *out = FIL_BF16;
    return FIL_OK;
}

fil_status fili_vae_kernel(fil_ctx *ctx, fil_dtype precision, const char **name)
{
    fil_dtype       dtype;
    const filk_row *row;
    FIL_TRY(fili_vae_usable(ctx, precision, &dtype));
    FIL_TRY(usual_row(ctx, dtype, &row));
    *name = row->name;
    return FIL_OK;
}

static fil_status count_bytes(fil_ctx *ctx, const fili_vae_config *config, fil_dtype precision,
                              int encoder, int32_t h, int32_t w, fili_vae_memory *out)
{
    fili_vae_stream *s      = NULL;
    const uint64_t   before = fil_ctx_memory(ctx).used;
    fil_status       status;
    fil_dtype        dtype;
    FIL_TRY(fili_vae_usable(ctx, precision, &dtype));
    FIL_TRY(make_stream(ctx, config, dtype, encoder, h, w, &s));
    FIL_TRY_OR(done, fili_vae_plan(s));
    FIL_TRY_OR(done, fili_vae_reserve(s, &out->bytes));
    out->device = s->near_bytes;
    out->bytes +=
        fil_ctx_memory(ctx).used - before + (uint64_t)2 * FILI_ALIGN; /* the arena's own header */
    if (encoder)
        out->bytes += 3 * sizeof(float) * (uint64_t)s->level[0].h * (uint64_t)s->level[0].w;
done:
    fili_vae_stream_close(&s);
    return status;
}

fil_status fili_vae_decode_bytes(fil_ctx *ctx, const fili_vae_config *config, fil_dtype precision,
                                 int32_t h, int32_t w, fili_vae_memory *out)
{
    return count_bytes(ctx, config, precision, 0, h, w, out);
}

fil_status fili_vae_encode_bytes(fil_ctx *ctx, const fili_vae_config *config, fil_dtype precision,
                                 int32_t h, int32_t w, fili_vae_memory *out)
{
    return count_bytes(ctx, config, precision, 1, h, w, out);
}

/* ---- operations ----------------------------------------------------------------------------- */

/* Of one frame. A quarter stands for a quarter of 3x3 on four times as many pixels. */
static double products(const vae_conv *c)
{
    const filk_conv3d_problem *p = &c->p;
    const double space = c->cut >= VAE_EVEN_EVEN ? 9.0 : p->h.kernel * (double)p->w.kernel;
    if (c->suffix == NULL) return 0.0;
    return p->c_in * (double)p->c_out * (double)p->t.kernel * space * p->h.size * (double)p->w.size;
}

/* Of the `n` frames that come into a layer; *n = those that go out. */
static double layer_products(const fili_vae_stream *s, const vae_layer *l, double *n)
{
    const double pixels = (double)s->level[l->level].h * (double)s->level[l->level].w;
    const double in     = *n;
    double       sum    = 0.0;
    if (l->kind == VAE_UP && l->temporal) *n = 2.0 * in - 1.0;
    if (l->kind == VAE_ATTENTION) sum = in * pixels * l->c_in * (4.0 * l->c_in + 2.0 * pixels);
    for (int32_t k = 0; k < VAE_CONVS; k++)
        sum += products(&l->conv[k]) * (l->kind == VAE_UP ? k < 2 ? in - 1.0 : *n : in);
    return sum;
}

fil_status fili_vae_decode_flops(fil_ctx *ctx, const fili_vae_config *config, int32_t t, int32_t h,
                                 int32_t w, double *flops)
{
    fili_vae_stream *s      = NULL;
    double           frames = t;
    *flops                  = 0.0;
    FIL_TRY(make_stream(ctx, config, FIL_F32, 0, h, w, &s));
    for (int32_t i = 0; i < s->n_layers; i++)
        *flops += 2.0 * layer_products(s, &s->layer[i], &frames);
    fili_vae_stream_close(&s);
    return FIL_OK;
}

/* ---- opening -------------------------------------------------------------------------------- */

typedef struct lister {
    fili_vae_tensor_fn visit;
    void              *user;
} lister;

static fil_status list_one(void *user, const vae_tensor *t)
{
    const lister *l = user;
    return l->visit(l->user, t->name, t->rank, t->shape);
}

fil_status fili_vae_each_tensor(fil_ctx *ctx, const fili_vae_config *config,
                                fili_vae_tensor_fn visit, void *user)
{
    lister l = {.visit = visit, .user = user};
    for (int encoder = 0; encoder < 2; encoder++) {
        fili_vae_stream *s = NULL;
        FIL_TRY(make_stream(ctx, config, FIL_F32, encoder, 1, 1, &s));
        const fil_status status = fili_vae_tensors(s, list_one, &l);
        fili_vae_stream_close(&s);
        FIL_TRY(status);
    }
    return FIL_OK;
}

static fil_status expect(void *user, const vae_tensor *t)
{
    return fili_weights_expect(user, t->name, t->rank, t->shape);
}

/* Every tensor of one half, without its values. */
static fil_status check_half(fili_vae *v, int encoder)
{
    fili_vae_stream *s = NULL;
    FIL_TRY(make_stream(v->ctx, &v->config, v->precision, encoder, 1, 1, &s));
    const fil_status status = fili_vae_tensors(s, expect, v->weights);
    fili_vae_stream_close(&s);
    return status;
}

static fil_status fill(fili_vae *v, fil_dtype precision)
{
    FIL_TRY(fili_vae_usable(v->ctx, precision, &v->precision));
    FIL_TRY(fili_vae_detect(v->ctx, v->weights, &v->config));
    v->has_decoder = fili_weights_find(v->weights, "decoder.conv1.weight") != NULL;
    v->has_encoder = fili_weights_find(v->weights, "encoder.conv1.weight") != NULL;
    if (v->has_decoder) FIL_TRY(check_half(v, 0));
    if (v->has_encoder) FIL_TRY(check_half(v, 1));
    FIL_TRY(fili_weights_check_all_used(v->weights));
    if (v->precision != precision)
        fili_log(v->ctx, FIL_LOG_INFO,
                 "VAE: computes in f32, as there is no bf16 convolution for %s",
                 fili_isa_name(v->ctx->isa));
    return FIL_OK;
}

fil_status fili_vae_open(fil_ctx *ctx, fili_weights *weights, fil_dtype precision, fili_vae **out)
{
    void *memory;
    *out = NULL;
    FIL_TRY(fili_calloc(ctx, 1, sizeof **out, "VAE", &memory));
    *out                    = memory;
    (*out)->ctx             = ctx;
    (*out)->weights         = weights;
    const fil_status status = fill(*out, precision);
    if (status != FIL_OK) fili_vae_close(out);
    return status;
}

void fili_vae_close(fili_vae **vae)
{
    if (vae == NULL || *vae == NULL) return;
    fili_free((*vae)->ctx, *vae, sizeof **vae);
    *vae = NULL;
}

const fili_vae_config *fili_vae_config_of(const fili_vae *vae)
{
    return &vae->config;
}

fil_ctx *fili_vae_ctx(const fili_vae *vae)
{
    return vae->ctx;
}

fil_dtype fili_vae_precision(const fili_vae *vae)
{
    return vae->precision;
}
