/* wan/vae_attention.c: the attention in the middle of the autoencoder (wan/vae_parts.h): one head
 * over all pixels of a frame, dense, nothing over time.
 *
 * Products by the linear kernels, on bands of VAE_BAND rows: scores of a band, softmax, mix. So the
 * N x N matrix never exists. The values are made as columns, V^T = W_v X^T, since the product that
 * mixes them wants them so; their bias is added after the mixing, whose weights sum to one.
 */
#include <math.h>

#include "base/pool.h"
#include "kernel/device_rows.h"
#include "kernel/softmax.h"
#include "wan/vae_rows.h"

typedef struct product {
    int64_t m, n, k;
    int     bias;
} product;

static fil_status plan_product(fili_vae_stream *s, product p, const vae_plan **out)
{
    const vae_plan wanted = {.linear = {.m          = p.m,
                                        .n          = p.n,
                                        .k          = p.k,
                                        .dtype      = FIL_F32,
                                        .out_dtype  = FIL_F32,
                                        .bias_dtype = p.bias ? FIL_F32 : FIL_DTYPE_NONE,
                                        .x_stride   = p.k}};
    return fili_vae_find_plan(s, &wanted, out);
}

fil_status fili_vae_attention_plan(fili_vae_stream *s)
{
    const vae_level *v = &s->level[s->config.n_levels - 1];
    vae_attention   *a = &s->attention;
    a->n               = (int64_t)v->h * v->w;
    a->c               = v->c;
    a->rows            = a->n < VAE_BAND ? a->n : VAE_BAND;
    FIL_TRY(plan_product(s, (product){a->n, a->c, a->c, 1}, &a->project));
    FIL_TRY(plan_product(s, (product){a->c, a->n, a->c, 0}, &a->values));
    for (int32_t i = 0; i < 2; i++) {
        const int64_t rows = i == 0 || a->rows == 0 ? a->rows : a->n % a->rows;
        if (rows == 0) continue;
        FIL_TRY(plan_product(s, (product){rows, a->n, a->c, 0}, &a->scores[i]));
        FIL_TRY(plan_product(s, (product){rows, a->c, a->n, 1}, &a->mix[i]));
    }
    return FIL_OK;
}

size_t fili_vae_attention_floats(const fili_vae_stream *s)
{
    const vae_attention *a = &s->attention;
    return (size_t)a->n * (4 * (size_t)a->c + (size_t)a->rows);
}

static fil_status multiply(fili_vae_stream *s, const vae_plan *p, const filk_linear_args *args)
{
    return p->row->plan->run(s->ctx, p->plan, args, s->workspace);
}

/* ---- softmax -------------------------------------------------------------------------------- */

typedef struct softmax_state {
    filk_softmax_fn run;
    float          *rows;
    int64_t         n;
    float           scale;
} softmax_state;

static fil_status softmax_row(void *arg, int64_t row, int32_t worker)
{
    const softmax_state *s = arg;
    (void)worker;
    s->run(&(filk_softmax_row){.x = s->rows + row * s->n, .n = s->n, .scale = s->scale});
    return FIL_OK;
}

static fil_status soften(fili_vae_stream *s, int64_t rows, softmax_state *state)
{
    const filk_softmax_problem problem = {.rows = rows, .n = state->n, .scale = state->scale};
    if (!s->on_device) return fili_pool_run(s->ctx, "softmax", rows, softmax_row, state);
    return filk_device_softmax(s->ctx, &problem, &(filk_softmax_args){.x = state->rows});
}

/* ---- a frame -------------------------------------------------------------------------------- */

static void place(fili_vae_stream *s)
{
    vae_attention *a    = &s->attention;
    const int64_t  size = a->n * a->c;
    a->x                = s->scratch;
    a->q                = a->x + size;
    a->k                = a->q + size;
    a->v                = a->k + size;
    a->band             = a->v + size;
}

static fil_status make_qkv(fili_vae_stream *s)
{
    const vae_attention *a    = &s->attention;
    const int64_t        part = a->c * a->c;
    filk_linear_args     args = {
            .x = a->x, .weight = a->qkv, .bias = a->qkv_bias, .out = a->q, .out_stride = a->c};
    FIL_TRY(multiply(s, a->project, &args));
    args.weight = a->qkv + part;
    args.bias   = a->qkv_bias + a->c;
    args.out    = a->k;
    FIL_TRY(multiply(s, a->project, &args));
    args =
        (filk_linear_args){.x = a->qkv + 2 * part, .weight = a->x, .out = a->v, .out_stride = a->n};
    return multiply(s, a->values, &args);
}

/* Rows from `first` on: the result takes the place of their queries. */
static fil_status attend_band(fili_vae_stream *s, int64_t first, int32_t last)
{
    const vae_attention *a       = &s->attention;
    const int64_t        rows    = last ? a->n % a->rows : a->rows;
    float               *q       = a->q + first * a->c;
    softmax_state        softmax = {.run   = filk_softmax_select(s->ctx->isa),
                                    .rows  = a->band,
                                    .n     = a->n,
                                    .scale = 1.0f / sqrtf((float)a->c)};
    FIL_TRY(
        multiply(s, a->scores[last],
                 &(filk_linear_args){.x = q, .weight = a->k, .out = a->band, .out_stride = a->n}));
    FIL_TRY(soften(s, rows, &softmax));
    return multiply(s, a->mix[last],
                    &(filk_linear_args){.x          = a->band,
                                        .weight     = a->v,
                                        .bias       = a->qkv_bias + 2 * a->c,
                                        .out        = q,
                                        .out_stride = a->c});
}

fil_status fili_vae_attend(fili_vae_stream *s, const vae_layer *layer)
{
    const vae_attention *a = &s->attention;
    vae_level           *v = &s->level[layer->level];
    place(s);
    FIL_TRY(fili_vae_norm(s, v, layer->c_in, v->x, layer->gamma[0], 0, a->x));
    FIL_TRY(make_qkv(s));
    for (int64_t first = 0; first < a->n; first += a->rows) {
        FIL_TRY(fili_check_cancel(s->ctx));
        FIL_TRY(attend_band(s, first, first + a->rows > a->n));
    }
    return multiply(s, a->project,
                    &(filk_linear_args){.x               = a->q,
                                        .weight          = a->proj,
                                        .bias            = a->proj_bias,
                                        .residual        = v->x,
                                        .residual_stride = a->c,
                                        .out             = v->x,
                                        .out_stride      = a->c});
}
