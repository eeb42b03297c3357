/* wan/vae_rows.c: pixels between convolutions (wan/vae_rows.h). */
#include <string.h>

#include "base/pool.h"
#include "kernel/device_rows.h"
#include "tensor/convert.h"
#include "wan/vae_rows.h"

fil_status fili_vae_norm(fili_vae_stream *s, const vae_level *v, int32_t c, const float *x,
                         const float *gamma, int silu, void *out)
{
    const filk_norm_problem p = {.kind      = FILK_NORM_RMS,
                                 .rows      = (int64_t)v->h * v->w,
                                 .dim       = c,
                                 .dtype     = FIL_F32,
                                 .out_dtype = silu ? s->dtype : FIL_F32,
                                 .silu      = silu};
    const filk_norm_args    a = {.x          = x,
                                 .x_stride   = c,
                                 .out        = out,
                                 .out_stride = c,
                                 .a          = gamma,
                                 /* the official 1e-12 is of the root of the sum */
                                 .eps = 1e-24f / (float)c};
    return s->norm[silu]->run(s->ctx, &p, &a, s->workspace);
}

/* One row of pixels of the frame that a task works on. */
typedef struct rows_state {
    const fili_vae_stream *s;
    const vae_level       *v;
    int32_t                c, part;
    const float           *from;
    float                 *to;
    void                  *out; /* in the stream's type */
    int64_t                stride;
} rows_state;

static size_t size_of(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

static size_t values_of(const vae_level *v, int32_t c)
{
    return (size_t)v->h * (size_t)v->w * (size_t)c;
}

static void store(const rows_state *r, int64_t at, const float *values, int64_t n)
{
    const fil_dtype dtype = r->s->dtype;
    fili_convert_row(fili_convert_select(r->s->ctx->isa), dtype,
                     (char *)r->out + at * (int64_t)(fil_dtype_bits(dtype) / 8), FIL_F32, values,
                     (size_t)n);
}

static fil_status rows(fili_vae_stream *s, const char *what, fili_task_fn body, rows_state *r)
{
    r->s = s;
    return fili_pool_run(s->ctx, what, r->v->h, body, r);
}

/* ---- frames --------------------------------------------------------------------------------- */

static fil_status cast_row(void *arg, int64_t y, int32_t worker)
{
    const rows_state *r = arg;
    const int64_t     n = (int64_t)r->v->w * r->c;
    (void)worker;
    store(r, y * n, r->from + y * n, n);
    return FIL_OK;
}

fil_status fili_vae_cast(fili_vae_stream *s, const vae_level *v, int32_t c, const float *x,
                         void *out)
{
    const filk_cast_problem problem = {.n = (int64_t)v->h * v->w * c, .dtype = s->dtype};
    if (s->on_device)
        return filk_device_cast(s->ctx, &problem, &(filk_cast_args){.x = x, .out = out});
    return rows(s, "VAE cast", cast_row, &(rows_state){.v = v, .c = c, .from = x, .out = out});
}

static fil_status scatter_row(void *arg, int64_t y, int32_t worker)
{
    const rows_state *r    = arg;
    const int64_t     w    = r->v->w;
    const float      *from = r->from + y * w * r->c;
    float            *to   = r->to + ((2 * y + r->part / 2) * 2 * w + r->part % 2) * r->c;
    (void)worker;
    for (int64_t x = 0; x < w; x++)
        memcpy(to + 2 * x * r->c, from + x * r->c, (size_t)r->c * sizeof *to);
    return FIL_OK;
}

fil_status fili_vae_scatter(fili_vae_stream *s, const vae_level *v, int32_t c, int32_t part,
                            const float *quarter, float *out)
{
    rows_state                r       = {.v = v, .c = c, .part = part, .from = quarter, .to = out};
    const filk_double_problem problem = {.h = v->h, .w = v->w, .c = c, .part = part};
    if (s->on_device)
        return filk_device_double(s->ctx, &problem,
                                  &(filk_double_args){.from = quarter, .to = out});
    return rows(s, "VAE doubling", scatter_row, &r);
}

/* n numbers where the host can read them. */
static fil_status bring(const fili_vae_stream *s, const float *x, size_t n, const float **here)
{
    *here = s->on_device ? s->here : x;
    return s->on_device ? filk_device_get(s->ctx, s->here, x, n * sizeof *x) : FIL_OK;
}

/* ---- latents -------------------------------------------------------------------------------- */

static fil_status latent_in_row(void *arg, int64_t y, int32_t worker)
{
    const rows_state      *r = arg;
    const fili_vae_stream *s = r->s;
    const int32_t          n = s->config.z_dim;
    (void)worker;
    for (int64_t x = 0; x < r->v->w; x++) {
        const int64_t at = y * r->v->w + x;
        float         raw[FILI_VAE_MAX_Z];
        float         out[FILI_VAE_MAX_Z];
        for (int32_t c = 0; c < n; c++)
            raw[c] = r->from[c * r->stride + at] * s->config.std[c] + s->config.mean[c];
        for (int32_t o = 0; o < n; o++) {
            double sum = (double)s->latent_bias[o];
            for (int32_t c = 0; c < n; c++)
                sum += (double)s->latent[o * n + c] * (double)raw[c];
            out[o] = (float)sum;
        }
        store(r, at * n, out, n);
    }
    return FIL_OK;
}

fil_status fili_vae_latent_in(fili_vae_stream *s, const float *z, int64_t stride, void *out)
{
    const vae_level *v    = &s->level[s->config.n_levels - 1];
    void            *here = s->on_device ? s->here : out;
    rows_state       r    = {.v = v, .from = z, .stride = stride, .out = here};
    FIL_TRY(rows(s, "VAE latent", latent_in_row, &r));
    return filk_device_put(s->ctx, out, here, values_of(v, s->config.z_dim) * size_of(s->dtype));
}

static fil_status latent_out_row(void *arg, int64_t y, int32_t worker)
{
    const rows_state      *r = arg;
    const fili_vae_stream *s = r->s;
    const int32_t          n = s->config.z_dim;
    (void)worker;
    for (int64_t x = 0; x < r->v->w; x++) {
        const int64_t at  = y * r->v->w + x;
        const float  *row = r->from + at * 2 * n;
        for (int32_t o = 0; o < n; o++) {
            double sum = (double)s->latent_bias[o];
            for (int32_t c = 0; c < 2 * n; c++)
                sum += (double)s->latent[o * 2 * n + c] * (double)row[c];
            r->to[o * r->stride + at] =
                (float)((sum - (double)s->config.mean[o]) / (double)s->config.std[o]);
        }
    }
    return FIL_OK;
}

fil_status fili_vae_latent_out(fili_vae_stream *s, const float *x, float *z, int64_t stride)
{
    const vae_level *v = &s->level[s->config.n_levels - 1];
    rows_state       r = {.v = v, .stride = stride, .to = z};
    FIL_TRY(bring(s, x, values_of(v, 2 * s->config.z_dim), &r.from));
    return rows(s, "VAE latent", latent_out_row, &r);
}

/* ---- pictures ------------------------------------------------------------------------------- */

static fil_status rgb_in_row(void *arg, int64_t y, int32_t worker)
{
    const rows_state *r     = arg;
    const int64_t     plane = (int64_t)r->v->h * r->v->w;
    (void)worker;
    for (int64_t x = 0; x < r->v->w; x++) {
        const int64_t at     = y * r->v->w + x;
        const float   rgb[3] = {r->from[at], r->from[plane + at], r->from[2 * plane + at]};
        store(r, at * 3, rgb, 3);
    }
    return FIL_OK;
}

fil_status fili_vae_rgb_in(fili_vae_stream *s, const float *rgb, void *out)
{
    const vae_level *v    = &s->level[0];
    void            *here = s->on_device ? s->here : out;
    FIL_TRY(rows(s, "VAE input", rgb_in_row, &(rows_state){.v = v, .from = rgb, .out = here}));
    return filk_device_put(s->ctx, out, here, values_of(v, 3) * size_of(s->dtype));
}

/* NaN stays NaN. */
static float cut(float v)
{
    if (v > 1.0f) return 1.0f;
    return v < -1.0f ? -1.0f : v;
}

static fil_status rgb_out_row(void *arg, int64_t y, int32_t worker)
{
    const rows_state *r     = arg;
    const int64_t     plane = (int64_t)r->v->h * r->v->w;
    (void)worker;
    for (int64_t x = 0; x < r->v->w; x++)
        for (int64_t c = 0; c < 3; c++) {
            const float v                      = r->from[(y * r->v->w + x) * 3 + c];
            r->to[c * plane + y * r->v->w + x] = r->s->uncut ? v : cut(v);
        }
    return FIL_OK;
}

fil_status fili_vae_rgb_out(fili_vae_stream *s, const float *x, float *rgb)
{
    const vae_level *v = &s->level[0];
    rows_state       r = {.v = v, .to = rgb};
    FIL_TRY(bring(s, x, values_of(v, 3), &r.from));
    return rows(s, "VAE output", rgb_out_row, &r);
}
