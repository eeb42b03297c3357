/* nn/elementwise.c: moving and adding numbers on the CPU, or handing them to the device that has
 * them (elementwise.h). */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/pool.h"
#include "kernel/device_rows.h"
#include "nn/elementwise.h"
#include "tensor/convert.h"

enum {
    TOKENS  = 64, /* of a task */
    OUTPUTS = 64,
    LANES   = 16,
    CHUNK   = 512 /* of a row, widened at once; a multiple of LANES */
};

/* ---- patches -------------------------------------------------------------------------------- */

typedef struct patch_state {
    const fili_patches *p;
    const float        *from;
    float              *to;
    int64_t             first, n;
} patch_state;

/* Where the first element of a token's patch lies in channel 0. */
static int64_t corner(const fili_patches *p, int64_t token)
{
    const int64_t at = p->order[token];
    const int64_t w  = p->w / p->pw;
    const int64_t h  = p->h / p->ph;
    const int64_t x  = at % w;
    const int64_t y  = at / w % h;
    const int64_t t  = at / (w * h);
    return ((t * p->pt) * p->h + y * p->ph) * p->w + x * p->pw;
}

static int64_t plane(const fili_patches *p)
{
    return (int64_t)p->t * p->h * p->w;
}

static void gather_token(const fili_patches *p, const float *from, float *row)
{
    for (int32_t c = 0; c < p->channels; c++)
        for (int32_t t = 0; t < p->pt; t++)
            for (int32_t y = 0; y < p->ph; y++)
                for (int32_t x = 0; x < p->pw; x++)
                    *row++ = from[c * plane(p) + ((int64_t)t * p->h + y) * p->w + x];
}

static void scatter_token(const fili_patches *p, const float *row, float *to)
{
    for (int32_t t = 0; t < p->pt; t++)
        for (int32_t y = 0; y < p->ph; y++)
            for (int32_t x = 0; x < p->pw; x++)
                for (int32_t c = 0; c < p->channels; c++)
                    to[c * plane(p) + ((int64_t)t * p->h + y) * p->w + x] = *row++;
}

static int64_t features(const fili_patches *p)
{
    return (int64_t)p->channels * p->pt * p->ph * p->pw;
}

static fil_status gather_task(void *arg, int64_t task, int32_t worker)
{
    const patch_state *s     = arg;
    const int64_t      cols  = features(s->p);
    const fili_range   range = fili_task_range(s->n, TOKENS, task);
    (void)worker;
    for (int64_t i = range.begin; i < range.end; i++) {
        float *row = s->to + i * cols;
        if (s->first + i < s->p->tokens)
            gather_token(s->p, s->from + corner(s->p, s->first + i), row);
        else
            memset(row, 0, (size_t)cols * sizeof *row);
    }
    return FIL_OK;
}

static fil_status scatter_task(void *arg, int64_t task, int32_t worker)
{
    const patch_state *s     = arg;
    const int64_t      cols  = features(s->p);
    const fili_range   range = fili_task_range(s->n, TOKENS, task);
    (void)worker;
    for (int64_t i = range.begin; i < range.end && s->first + i < s->p->tokens; i++)
        scatter_token(s->p, s->from + i * cols, s->to + corner(s->p, s->first + i));
    return FIL_OK;
}

fil_status fili_patches_gather(fil_ctx *ctx, const fili_patches *p, const float *latent,
                               int64_t first, int64_t n, float *rows)
{
    patch_state s = {.p = p, .from = latent, .to = rows, .first = first, .n = n};
    return fili_pool_run(ctx, "patches", fili_task_count(n, TOKENS), gather_task, &s);
}

fil_status fili_patches_scatter(fil_ctx *ctx, const fili_patches *p, const float *rows,
                                int64_t first, int64_t n, float *latent)
{
    patch_state s = {.p = p, .from = rows, .to = latent, .first = first, .n = n};
    return fili_pool_run(ctx, "patches", fili_task_count(n, TOKENS), scatter_task, &s);
}

/* ---- the time vector ------------------------------------------------------------------------ */

void fili_sinusoid(double t, int32_t n, float *out)
{
    const int32_t half = n / 2;
    for (int32_t i = 0; i < half; i++) {
        const double angle = t * pow(10000.0, -(double)i / (double)half);
        out[i]             = (float)cos(angle);
        out[half + i]      = (float)sin(angle);
    }
}

typedef struct matvec_state {
    const fili_convert_set *set;
    fil_dtype               dtype;
    const char             *weight;
    const float            *bias, *x;
    int64_t                 rows, cols;
    float                  *out;
} matvec_state;

static void add_products(const float *w, const float *x, int64_t n, float acc[LANES])
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            acc[k] += w[i + k] * x[i + k];
    for (; i < n; i++)
        acc[i % LANES] += w[i] * x[i];
}

static float row_sum(const matvec_state *s, const char *row)
{
    float         wide[CHUNK];
    float         acc[LANES] = {0.0f};
    float         sum        = 0.0f;
    const int64_t size       = (int64_t)fil_dtype_bits(s->dtype) / 8;
    for (int64_t at = 0; at < s->cols; at += CHUNK) {
        const int64_t n = s->cols - at < CHUNK ? s->cols - at : CHUNK;
        fili_convert_row(s->set, FIL_F32, wide, s->dtype, row + at * size, (size_t)n);
        add_products(wide, s->x + at, n, acc);
    }
    for (int k = 0; k < LANES; k++)
        sum += acc[k];
    return sum;
}

static fil_status matvec_task(void *arg, int64_t task, int32_t worker)
{
    const matvec_state *s     = arg;
    const int64_t       bytes = s->cols * (int64_t)fil_dtype_bits(s->dtype) / 8;
    const fili_range    range = fili_task_range(s->rows, OUTPUTS, task);
    (void)worker;
    for (int64_t i = range.begin; i < range.end; i++)
        s->out[i] = row_sum(s, s->weight + i * bytes) + s->bias[i];
    return FIL_OK;
}

fil_status fili_matvec(fil_ctx *ctx, fil_dtype dtype, const void *weight, const float *bias,
                       const float *x, int64_t rows, int64_t cols, float *out)
{
    matvec_state s = {.set    = fili_convert_select(ctx->isa),
                      .dtype  = dtype,
                      .weight = weight,
                      .bias   = bias,
                      .x      = x,
                      .rows   = rows,
                      .cols   = cols,
                      .out    = out};
    return fili_pool_run(ctx, "matrix times vector", fili_task_count(rows, OUTPUTS), matvec_task,
                         &s);
}

void fili_silu(const float *x, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] / (1.0f + expf(-x[i]));
}

/* ---- rows ----------------------------------------------------------------------------------- */

void fili_add(const float *a, const float *b, int64_t n, float *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = a[i] + b[i];
}

fil_status fili_rows_take(fil_ctx *ctx, const float *rows, int64_t n, int64_t pad, int64_t cols,
                          fil_dtype dtype, void *out)
{
    const int64_t size = (int64_t)fil_dtype_bits(dtype) / 8;
    FIL_TRY(fili_convert(ctx, dtype, out, FIL_F32, rows, n * cols));
    memset((char *)out + n * cols * size, 0, (size_t)(pad * cols * size));
    return FIL_OK;
}

/* ---- the gate of a coarse branch ------------------------------------------------------------ */

typedef struct gated_state {
    const fili_gated       *g;
    const fili_convert_set *set;
} gated_state;

static void add_where_open(const float *gate, const float *coarse, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = gate[i] == 0.0f ? out[i] : out[i] + gate[i] * coarse[i];
}

static void add_gated_row(const gated_state *s, int64_t token, const float *coarse)
{
    float         gate[CHUNK];
    float         out[CHUNK];
    const int64_t cols = s->g->cols;
    const int64_t size = (int64_t)fil_dtype_bits(s->g->dtype) / 8;
    for (int64_t at = 0; at < cols; at += CHUNK) {
        const size_t  n    = (size_t)(cols - at < CHUNK ? cols - at : CHUNK);
        const int64_t from = (token * cols + at) * size;
        char         *to   = (char *)s->g->out + from;
        fili_convert_row(s->set, FIL_F32, gate, s->g->dtype, (const char *)s->g->gate + from, n);
        fili_convert_row(s->set, FIL_F32, out, s->g->dtype, to, n);
        add_where_open(gate, coarse + at, n, out);
        fili_convert_row(s->set, s->g->dtype, to, FIL_F32, out, n);
    }
}

static fil_status gated_task(void *arg, int64_t run, int32_t worker)
{
    const gated_state *s = arg;
    (void)worker;
    for (int64_t i = s->g->offset[run]; i < s->g->offset[run + 1]; i++)
        add_gated_row(s, i, s->g->coarse + run * s->g->cols);
    return FIL_OK;
}

static fil_status gated_add_there(fil_ctx *ctx, const fili_gated *g)
{
    const filk_gated_problem problem = {
        .dtype = g->dtype, .offset = g->offset, .m = g->m, .cols = g->cols};
    const filk_gated_args args = {.gate = g->gate, .coarse = g->coarse, .out = g->out};
    return filk_device_gated_add(ctx, &problem, &args);
}

fil_status fili_gated_add(fil_ctx *ctx, const fili_gated *g)
{
    gated_state s = {.g = g, .set = fili_convert_select(ctx->isa)};
    if (filk_device_owns(ctx, g->out)) return gated_add_there(ctx, g);
    return fili_pool_run(ctx, "gate", g->m, gated_task, &s);
}

/* ---- checks --------------------------------------------------------------------------------- */

/* All bits of the exponent are set. */
static int is_nonfinite(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

/* A part at a time without a branch, so that it runs in vectors. */
int64_t fili_first_nonfinite(const float *x, int64_t n)
{
    enum { PART = 4096 };
    for (int64_t at = 0; at < n; at += PART) {
        const int64_t end = at + PART < n ? at + PART : n;
        int           any = 0;
        for (int64_t i = at; i < end; i++)
            any |= is_nonfinite(x[i]);
        for (int64_t i = at; any && i < end; i++)
            if (is_nonfinite(x[i])) return i;
    }
    return n;
}

fil_status fili_find_nonfinite(fil_ctx *ctx, const float *x, int64_t n, int64_t *at, float *value)
{
    const int there = filk_device_owns(ctx, x);
    *value          = 0.0f;
    *at             = there ? n : fili_first_nonfinite(x, n);
    if (there) FIL_TRY(filk_device_find_nonfinite(ctx, x, n, at));
    if (*at == n) return FIL_OK;
    if (there) return filk_device_get(ctx, value, x + *at, sizeof *value);
    *value = x[*at];
    return FIL_OK;
}

const char *fili_nonfinite_name(float x)
{
    return isnan(x) ? "what is not a number" : "an infinite value";
}
