/* wan/vae_run.c: one frame on its way through the layers (wan/vae_parts.h).
 *
 * What follows wan.md 8.4 in time: a doubling layer lets its first frame through and begins to
 * count, and to remember, with the second; a halving layer gives its first frame and every second
 * one after it.
 */
#include <string.h>

#include "kernel/cpu/peak.h"
#include "nn/elementwise.h"
#include "wan/vae_rows.h"

/* ---- convolutions --------------------------------------------------------------------------- */

/* `frames`: as many as the convolution's window has. */
static fil_status convolve(fili_vae_stream *s, const vae_conv *c, const void *const *frames,
                           const float *residual, void *out)
{
    const void            *from[1] = {residual};
    void                  *to[1]   = {out};
    const filk_conv3d_args args    = {.frames   = frames,
                                      .packed   = c->packed,
                                      .bias     = c->bias,
                                      .residual = residual != NULL ? from : NULL,
                                      .out      = to};
    const double           start   = filk_seconds(s->ctx);
    const fil_status status = c->plan->row->plan->run(s->ctx, c->plan->plan, &args, s->workspace);
    s->times.convolution += filk_seconds(s->ctx) - start;
    return status;
}

static fil_status attend(fili_vae_stream *s, const vae_layer *l)
{
    const double     start  = filk_seconds(s->ctx);
    const fil_status status = fili_vae_attend(s, l);
    s->times.attention += filk_seconds(s->ctx) - start;
    return status;
}

/* Over the past of `owner` and its level's spare frame. */
static fil_status convolve_causal(fili_vae_stream *s, const vae_conv *c, const vae_conv *owner,
                                  const float *residual, void *out)
{
    const void *const frames[3] = {owner->have > 1 ? owner->past[0] : NULL,
                                   owner->have > 0 ? owner->past[1] : NULL, *owner->spare};
    return convolve(s, c, frames, residual, out);
}

/* The present frame becomes the latest of the past; the oldest is the spare one now. */
static void remember(vae_conv *c)
{
    void *oldest = c->past[0];
    c->past[0]   = c->past[1];
    c->past[1]   = *c->spare;
    *c->spare    = oldest;
    if (c->have < 2) c->have++;
}

static fil_status step(fili_vae_stream *s, vae_conv *c, const float *residual, void *out)
{
    FIL_TRY(convolve_causal(s, c, c, residual, out));
    remember(c);
    return FIL_OK;
}

/* A frame for a convolution in the stream's type: itself, or its cast. */
static fil_status typed(fili_vae_stream *s, const vae_level *v, int32_t c, const float *x,
                        const void **out)
{
    *out = x;
    if (s->dtype == FIL_F32) return FIL_OK;
    *out = s->cast;
    return fili_vae_cast(s, v, c, x, s->cast);
}

/* ---- layers --------------------------------------------------------------------------------- */

static fil_status run_res(fili_vae_stream *s, vae_layer *l)
{
    vae_level *v = &s->level[l->level];
    float     *x = l->c_in == v->c ? v->x : v->in;
    FIL_TRY(fili_vae_norm(s, v, l->c_in, x, l->gamma[0], 1, *l->conv[0].spare));
    FIL_TRY(step(s, &l->conv[0], NULL, s->scratch));
    FIL_TRY(fili_vae_norm(s, v, l->c_out, s->scratch, l->gamma[1], 1, *l->conv[1].spare));
    if (l->c_in != l->c_out) {
        const void *const frame[1] = {x};
        FIL_TRY(convolve(s, &l->conv[2], frame, NULL, v->x));
    }
    return step(s, &l->conv[1], v->x, v->x);
}

/* Frame x into `in` of the level above, doubled. */
static fil_status double_space(fili_vae_stream *s, const vae_layer *l, const float *x,
                               float *quarter)
{
    const vae_level *v = &s->level[l->level];
    const void      *frame[1];
    FIL_TRY(typed(s, v, l->c_in, x, &frame[0]));
    for (int32_t i = 0; i < 4; i++) {
        FIL_TRY(convolve(s, &l->conv[2 + i], frame, NULL, quarter));
        FIL_TRY(fili_vae_scatter(s, v, l->c_out, i, quarter, s->level[l->level - 1].in));
    }
    return FIL_OK;
}

/* What comes behind is left out: an UP remembers its frame, and the others that there was one. */
static fil_status pass_by(fili_vae_stream *s, int32_t index)
{
    vae_layer *l = &s->layer[index];
    for (int32_t i = index + 1; i < s->n_layers; i++)
        if (s->layer[i].count == 0) s->layer[i].count = 1;
    if (!l->temporal || l->count == 1) return FIL_OK;
    FIL_TRY(
        fili_vae_cast(s, &s->level[l->level], l->c_in, s->level[l->level].x, *l->conv[0].spare));
    remember(&l->conv[0]);
    return FIL_OK;
}

static fil_status run_up(fili_vae_stream *s, int32_t index)
{
    vae_layer *l = &s->layer[index];
    vae_level *v = &s->level[l->level];
    if (index + 1 >= s->until) return pass_by(s, index);
    float *later = s->scratch;
    float *rest  = s->scratch + (int64_t)v->h * v->w * l->c_in;
    if (!l->temporal || l->count == 1) {
        FIL_TRY(double_space(s, l, v->x, rest));
        return fili_vae_feed(s, index + 1);
    }
    FIL_TRY(fili_vae_cast(s, v, l->c_in, v->x, *l->conv[0].spare));
    for (int32_t i = 0; i < 2; i++) {
        FIL_TRY(convolve_causal(s, &l->conv[i], &l->conv[0], NULL, later));
        FIL_TRY(double_space(s, l, later, rest));
        FIL_TRY(fili_vae_feed(s, index + 1));
    }
    remember(&l->conv[0]);
    return FIL_OK;
}

static fil_status run_down(fili_vae_stream *s, int32_t index)
{
    vae_layer  *l    = &s->layer[index];
    vae_level  *next = &s->level[l->level + 1];
    const void *frame[1];
    FIL_TRY(typed(s, &s->level[l->level], l->c_in, s->level[l->level].x, &frame[0]));
    FIL_TRY(convolve(s, &l->conv[0], frame, NULL, next->in));
    if (!l->temporal) return fili_vae_feed(s, index + 1);
    vae_conv *time = &l->conv[1];
    FIL_TRY(fili_vae_cast(s, next, l->c_out, next->in, *time->spare));
    if (l->count > 1 && l->count % 2 == 1) FIL_TRY(convolve_causal(s, time, time, NULL, next->in));
    remember(time);
    return l->count % 2 == 1 ? fili_vae_feed(s, index + 1) : FIL_OK;
}

/* A frame that is no picture ends the run: as bytes it would be black, and nobody would be told. */
static fil_status check_frame(const fili_vae_stream *s, int64_t values)
{
    int64_t at;
    float   value;
    FIL_TRY(fili_find_nonfinite(s->ctx, s->scratch, values, &at, &value));
    if (at == values) return FIL_OK;
    return FIL_FAIL(s->ctx, FIL_E_NONFINITE, "the VAE's decoder gives %s in frame %lld",
                    fili_nonfinite_name(value), (long long)s->n_frames);
}

static fil_status check_latent(const fili_vae_stream *s, int64_t plane)
{
    for (int32_t c = 0; c < s->config.z_dim; c++) {
        const float  *z  = s->z + c * s->z_stride;
        const int64_t at = fili_first_nonfinite(z, plane);
        if (at < plane)
            return FIL_FAIL(s->ctx, FIL_E_NONFINITE,
                            "the VAE's encoder gives %s in channel %d of a latent frame",
                            fili_nonfinite_name(z[at]), (int)c);
    }
    return FIL_OK;
}

static fil_status run_head(fili_vae_stream *s, vae_layer *l)
{
    vae_level    *v     = &s->level[l->level];
    const int64_t plane = (int64_t)v->h * v->w;
    FIL_TRY(fili_vae_norm(s, v, l->c_in, v->x, l->gamma[0], 1, *l->conv[0].spare));
    FIL_TRY(step(s, &l->conv[0], NULL, s->scratch));
    if (s->encoder) {
        s->made = 1;
        FIL_TRY(fili_vae_latent_out(s, s->scratch, s->z, s->z_stride));
        return check_latent(s, plane);
    }
    FIL_TRY(check_frame(s, 3 * plane));
    FIL_TRY(fili_vae_rgb_out(s, s->scratch, s->rgb));
    const int64_t index = s->n_frames++;
    return s->sink == NULL ? FIL_OK : s->sink(s->user, (int32_t)index, s->rgb, v->h, v->w);
}

fil_status fili_vae_feed(fili_vae_stream *s, int32_t first)
{
    for (int32_t i = first; i < s->n_layers; i++) {
        vae_layer *l = &s->layer[i];
        l->count++;
        FIL_TRY(fili_check_cancel(s->ctx));
        switch (l->kind) {
        case VAE_IN: FIL_TRY(step(s, &l->conv[0], NULL, s->level[l->level].in)); break;
        case VAE_RES: FIL_TRY(run_res(s, l)); break;
        case VAE_ATTENTION: FIL_TRY(attend(s, l)); break;
        case VAE_UP: return run_up(s, i);
        case VAE_DOWN: return run_down(s, i);
        case VAE_HEAD: return run_head(s, l);
        }
    }
    return FIL_OK;
}
