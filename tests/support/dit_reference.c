/* tests/support/dit_reference.c: the DiT in f64 (dit_reference.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka_all.h"
#include "support/dit_reference.h"

typedef struct model {
    const dit_made    *m;
    const dit_problem *p;
    int64_t            dim, heads, tokens;
    double            *x, *context, *e, *e0;
} model;

static double *zeros(int64_t n)
{
    assert_true(n > 0 && n < 1 << 28);
    double *p = calloc((uint32_t)n, sizeof *p);
    assert_non_null(p);
    return p;
}

static const float *values(const model *s, int32_t layer, const char *name, const char *end)
{
    char full[96];
    if (layer < 0)
        snprintf(full, sizeof full, "%s%s", name, end);
    else
        snprintf(full, sizeof full, "blocks.%d.%s%s", layer, name, end);
    return dit_values(s->m, full);
}

static double gelu(double x)
{
    return 0.5 * x * (1.0 + tanh(sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

/* out [rows, n] = x [rows, k] W^T + b of the layer `name`. Returned memory is the caller's. */
static double *linear(const model *s, int32_t layer, const char *name, const double *x,
                      int64_t rows, int64_t k, int64_t n)
{
    const float *w   = values(s, layer, name, ".weight");
    const float *b   = values(s, layer, name, ".bias");
    double      *out = zeros(rows * n);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = (double)b[j];
            for (int64_t c = 0; c < k; c++)
                sum += x[i * k + c] * (double)w[j * k + c];
            out[i * n + j] = sum;
        }
    return out;
}

static void each(double *x, int64_t n, double (*f)(double))
{
    for (int64_t i = 0; i < n; i++)
        x[i] = f(x[i]);
}

static void rms_norm(const model *s, int32_t layer, const char *name, double *x, int64_t rows)
{
    const float *w = values(s, layer, name, ".weight");
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0.0;
        for (int64_t c = 0; c < s->dim; c++)
            sum += x[i * s->dim + c] * x[i * s->dim + c];
        const double f = 1.0 / sqrt(sum / (double)s->dim + (double)s->m->config.eps);
        for (int64_t c = 0; c < s->dim; c++)
            x[i * s->dim + c] *= f * (double)w[c];
    }
}

/* One row normed: (x - mean) / sqrt(var + eps). */
static void standardise(const model *s, const double *x, double *out)
{
    double mean = 0.0;
    double var  = 0.0;
    for (int64_t c = 0; c < s->dim; c++)
        mean += x[c] / (double)s->dim;
    for (int64_t c = 0; c < s->dim; c++)
        var += (x[c] - mean) * (x[c] - mean) / (double)s->dim;
    for (int64_t c = 0; c < s->dim; c++)
        out[c] = (x[c] - mean) / sqrt(var + (double)s->m->config.eps);
}

/* LN(x) (1 + scale) + shift, rows of the modulation table of the layer. */
static double *modulated(const model *s, int32_t layer, int scale, int shift)
{
    const float *table = values(s, layer, "modulation", "");
    double      *out   = zeros(s->tokens * s->dim);
    for (int64_t i = 0; i < s->tokens; i++) {
        double *row = out + i * s->dim;
        standardise(s, s->x + i * s->dim, row);
        for (int64_t c = 0; c < s->dim; c++)
            row[c] =
                row[c] * (1.0 + (double)table[scale * s->dim + c] + s->e0[scale * s->dim + c]) +
                (double)table[shift * s->dim + c] + s->e0[shift * s->dim + c];
    }
    return out;
}

/* Pair i of a head's pairs: the first for time, then height, then width. */
static void rope(const model *s, double *x)
{
    const fili_dit_config *c       = &s->m->config;
    const int64_t          d       = s->dim / s->heads;
    const int64_t          space   = 2 * (d / 6);
    const int64_t          size[3] = {d - 2 * space, space, space};
    const int64_t          w       = s->p->w / c->patch_w;
    const int64_t          h       = s->p->h / c->patch_h;
    for (int64_t i = 0; i < s->tokens; i++) {
        const int64_t at[3] = {i / (w * h), i / w % h, i % w};
        for (int64_t head = 0; head < s->heads; head++) {
            double *v = x + i * s->dim + head * d;
            for (int axis = 0; axis < 3; axis++)
                for (int64_t k = 0; k < size[axis] / 2; k++, v += 2) {
                    const double a =
                        (double)at[axis] * pow(10000.0, -2.0 * (double)k / (double)size[axis]);
                    const double x0 = v[0];
                    const double x1 = v[1];
                    v[0]            = x0 * cos(a) - x1 * sin(a);
                    v[1]            = x0 * sin(a) + x1 * cos(a);
                }
        }
    }
}

static void attend_row(const model *s, const double *q, const double *k, const double *v,
                       int64_t keys, const int *keeps, double *out)
{
    const int64_t d   = s->dim / s->heads;
    double       *p   = zeros(keys);
    double        max = -(double)INFINITY;
    double        sum = 0.0;
    for (int64_t j = 0; j < keys; j++) {
        for (int64_t c = 0; c < d; c++)
            p[j] += q[c] * k[j * s->dim + c] / sqrt((double)d);
        if (keeps[j] && p[j] > max) max = p[j];
    }
    for (int64_t j = 0; j < keys; j++)
        sum += p[j] = keeps[j] ? exp(p[j] - max) : 0.0;
    for (int64_t j = 0; j < keys && sum > 0.0; j++)
        for (int64_t c = 0; c < d; c++)
            out[c] += p[j] / sum * v[j * s->dim + c];
    free(p);
}

/* layer < 0: every key takes part. */
static double *attention(const model *s, int32_t layer, const double *q, const double *k,
                         const double *v, int64_t keys)
{
    const int64_t d     = s->dim / s->heads;
    double       *out   = zeros(s->tokens * s->dim);
    int          *keeps = calloc((size_t)keys, sizeof *keeps);
    assert_non_null(keeps);
    for (int64_t i = 0; i < s->tokens; i++)
        for (int64_t h = 0; h < s->heads; h++) {
            for (int64_t j = 0; j < keys; j++)
                keeps[j] = layer < 0 || s->p->keeps == NULL ||
                           s->p->keeps(s->p->user, layer, (int32_t)h, i, j);
            attend_row(s, q + i * s->dim + h * d, k + h * d, v + h * d, keys, keeps,
                       out + i * s->dim + h * d);
        }
    free(keeps);
    return out;
}

/* x += gate * y; gate: a row of the modulation, or -1 for 1. */
static void add_gated(const model *s, int32_t layer, int gate, const double *y)
{
    const float *table = values(s, layer, "modulation", "");
    for (int64_t i = 0; i < s->tokens * s->dim; i++) {
        const int64_t at = gate * s->dim + i % s->dim;
        s->x[i] += (gate < 0 ? 1.0 : (double)table[at] + s->e0[at]) * y[i];
    }
}

/* ---- Video Sparse Attention ------------------------------------------------------------------ */

static double *means(const model *s, const double *x)
{
    double *out = zeros(s->p->cubes * s->dim);
    double *n   = zeros(s->p->cubes);
    for (int64_t i = 0; i < s->tokens; i++) {
        n[s->p->cube[i]] += 1.0;
        for (int64_t c = 0; c < s->dim; c++)
            out[s->p->cube[i] * s->dim + c] += x[i * s->dim + c];
    }
    for (int64_t i = 0; i < s->p->cubes * s->dim; i++)
        out[i] /= n[i / s->dim];
    free(n);
    return out;
}

/* keeps[i] = 1 for the largest of score; ties to the lower index. */
static void keep_largest(const dit_problem *p, const double *score, int *keeps)
{
    for (int32_t i = 0; i < p->cubes; i++) {
        int32_t before = 0;
        for (int32_t o = 0; o < p->cubes; o++)
            before += score[o] > score[i] || (score[o] == score[i] && o < i);
        keeps[i] = before < p->keep;
    }
    for (int32_t i = 0; i < p->cubes && p->gap != NULL; i++)
        for (int32_t o = 0; o < p->cubes; o++)
            if (keeps[i] && !keeps[o] && score[i] - score[o] < *p->gap)
                *p->gap = score[i] - score[o];
}

typedef struct cubes {
    double *q, *k, *v, *out; /* [cubes, dim] */
    int    *keeps;           /* [heads, cubes, cubes] */
} cubes;

static void coarse_row(const model *s, cubes *c, int64_t h, int32_t i)
{
    const int64_t d     = s->dim / s->heads;
    double       *score = zeros(s->p->cubes);
    double       *out   = c->out + i * s->dim + h * d;
    double        sum   = 0.0;
    for (int32_t j = 0; j < s->p->cubes; j++)
        for (int64_t e = h * d; e < (h + 1) * d; e++)
            score[j] += c->q[i * s->dim + e] * c->k[j * s->dim + e] / sqrt((double)d);
    keep_largest(s->p, score, c->keeps + (h * s->p->cubes + i) * s->p->cubes);
    for (int32_t j = 0; j < s->p->cubes; j++)
        sum += exp(score[j]);
    for (int32_t j = 0; j < s->p->cubes; j++)
        for (int64_t e = 0; e < d; e++)
            out[e] += exp(score[j]) / sum * c->v[j * s->dim + h * d + e];
    free(score);
}

static cubes coarse(const model *s, const double *q, const double *k, const double *v)
{
    const int32_t n = s->p->cubes;
    cubes         c = {.q = means(s, q), .k = means(s, k), .v = means(s, v)};
    c.out           = zeros(n * s->dim);
    c.keeps         = calloc((size_t)(s->heads * n * n), sizeof *c.keeps);
    assert_non_null(c.keeps);
    for (int64_t h = 0; h < s->heads; h++)
        for (int32_t i = 0; i < n; i++)
            coarse_row(s, &c, h, i);
    return c;
}

/* a: the modulated rows that q, k, v and the gate are made of. */
static double *sparse_attention(const model *s, int32_t l, const double *a, const double *q,
                                const double *k, const double *v)
{
    const int64_t d   = s->dim / s->heads;
    const int32_t n   = s->p->cubes;
    cubes         c   = coarse(s, q, k, v);
    double       *out = zeros(s->tokens * s->dim);
    double       *gate =
        s->p->gated ? linear(s, l, "to_gate_compress", a, s->tokens, s->dim, s->dim) : NULL;
    int *keeps = calloc((size_t)s->tokens, sizeof *keeps);
    assert_non_null(keeps);
    for (int64_t i = 0; i < s->tokens; i++)
        for (int64_t h = 0; h < s->heads; h++) {
            const int *row = c.keeps + (h * n + s->p->cube[i]) * n;
            for (int64_t j = 0; j < s->tokens; j++)
                keeps[j] = row[s->p->cube[j]];
            attend_row(s, q + i * s->dim + h * d, k + h * d, v + h * d, s->tokens, keeps,
                       out + i * s->dim + h * d);
        }
    for (int64_t i = 0; i < s->tokens * s->dim && s->p->gated; i++)
        out[i] += gate[i] * c.out[s->p->cube[i / s->dim] * s->dim + i % s->dim];
    free(keeps);
    free(gate);
    free(c.q);
    free(c.k);
    free(c.v);
    free(c.out);
    free(c.keeps);
    return out;
}

static void self_attention(const model *s, int32_t l)
{
    const int64_t d = s->dim;
    double       *a = modulated(s, l, 1, 0);
    double       *q = linear(s, l, "self_attn.q", a, s->tokens, d, d);
    double       *k = linear(s, l, "self_attn.k", a, s->tokens, d, d);
    double       *v = linear(s, l, "self_attn.v", a, s->tokens, d, d);
    rms_norm(s, l, "self_attn.norm_q", q, s->tokens);
    rms_norm(s, l, "self_attn.norm_k", k, s->tokens);
    rope(s, q);
    rope(s, k);
    double *y =
        s->p->keep > 0 ? sparse_attention(s, l, a, q, k, v) : attention(s, l, q, k, v, s->tokens);
    double *o = linear(s, l, "self_attn.o", y, s->tokens, d, d);
    add_gated(s, l, 2, o);
    free(a);
    free(q);
    free(k);
    free(v);
    free(y);
    free(o);
}

static void cross_attention(const model *s, int32_t l)
{
    const int64_t d    = s->dim;
    const int64_t keys = s->m->config.text_len;
    const float  *w    = values(s, l, "norm3", ".weight");
    const float  *b    = values(s, l, "norm3", ".bias");
    double       *a    = zeros(s->tokens * d);
    for (int64_t i = 0; i < s->tokens; i++) {
        standardise(s, s->x + i * d, a + i * d);
        for (int64_t c = 0; c < d; c++)
            a[i * d + c] = a[i * d + c] * (double)w[c] + (double)b[c];
    }
    double *q = linear(s, l, "cross_attn.q", a, s->tokens, d, d);
    double *k = linear(s, l, "cross_attn.k", s->context, keys, d, d);
    double *v = linear(s, l, "cross_attn.v", s->context, keys, d, d);
    rms_norm(s, l, "cross_attn.norm_q", q, s->tokens);
    rms_norm(s, l, "cross_attn.norm_k", k, keys);
    double *y = attention(s, -1, q, k, v, keys);
    double *o = linear(s, l, "cross_attn.o", y, s->tokens, d, d);
    add_gated(s, l, -1, o);
    free(a);
    free(q);
    free(k);
    free(v);
    free(y);
    free(o);
}

static void mlp(const model *s, int32_t l)
{
    const int64_t g = s->m->config.ffn_dim;
    double       *b = modulated(s, l, 4, 3);
    double       *u = linear(s, l, "ffn.0", b, s->tokens, s->dim, g);
    each(u, s->tokens * g, gelu);
    double *y = linear(s, l, "ffn.2", u, s->tokens, g, s->dim);
    add_gated(s, l, 5, y);
    free(b);
    free(u);
    free(y);
}

static void embed(model *s)
{
    const fili_dit_config *c    = &s->m->config;
    const int64_t          half = c->freq_dim / 2;
    double                *v    = zeros(c->freq_dim);
    double                *rows = zeros((int64_t)c->text_len * c->text_dim);
    for (int64_t i = 0; i < half; i++) {
        const double a = s->p->time * pow(10000.0, -(double)i / (double)half);
        v[i]           = cos(a);
        v[half + i]    = sin(a);
    }
    double *u = linear(s, -1, "time_embedding.0", v, 1, c->freq_dim, s->dim);
    each(u, s->dim, silu);
    s->e        = linear(s, -1, "time_embedding.2", u, 1, s->dim, s->dim);
    double *act = zeros(s->dim);
    memcpy(act, s->e, (size_t)s->dim * sizeof *act);
    each(act, s->dim, silu);
    s->e0 = linear(s, -1, "time_projection.1", act, 1, s->dim, 6 * s->dim);
    for (int64_t i = 0; i < (int64_t)s->p->n * c->text_dim; i++)
        rows[i] = (double)s->p->context[i];
    double *inner = linear(s, -1, "text_embedding.0", rows, c->text_len, c->text_dim, s->dim);
    each(inner, c->text_len * s->dim, gelu);
    s->context = linear(s, -1, "text_embedding.2", inner, c->text_len, s->dim, s->dim);
    free(v);
    free(u);
    free(act);
    free(rows);
    free(inner);
}

/* Element (c, frame, y, x) of a latent. */
static int64_t place(const dit_problem *p, int64_t c, int64_t f, int64_t y, int64_t x)
{
    return ((c * p->t + f) * p->h + y) * p->w + x;
}

/* Calls for each number of each token's patch: feature number and place. */
static void patches(const model *s, double *rows, double *velocity)
{
    const fili_dit_config *c = &s->m->config;
    const int64_t          w = s->p->w / 2;
    const int64_t          h = s->p->h / 2;
    const int64_t          n = 4 * (int64_t)c->in_channels;
    for (int64_t i = 0; i < s->tokens; i++)
        for (int64_t ch = 0; ch < c->in_channels; ch++)
            for (int64_t dy = 0; dy < 2; dy++)
                for (int64_t dx = 0; dx < 2; dx++) {
                    const int64_t at =
                        place(s->p, ch, i / (w * h), 2 * (i / w % h) + dy, 2 * (i % w) + dx);
                    if (velocity == NULL)
                        rows[i * n + (ch * 2 + dy) * 2 + dx] = (double)s->p->latent[at];
                    else
                        velocity[at] = rows[i * n + (dy * 2 + dx) * c->in_channels + ch];
                }
}

static void head(const model *s, double *velocity)
{
    const float  *table = values(s, -1, "head.modulation", "");
    const int64_t n     = 4 * (int64_t)s->m->config.out_channels;
    double       *a     = zeros(s->tokens * s->dim);
    for (int64_t i = 0; i < s->tokens; i++) {
        standardise(s, s->x + i * s->dim, a + i * s->dim);
        for (int64_t c = 0; c < s->dim; c++)
            a[i * s->dim + c] = a[i * s->dim + c] * (1.0 + (double)table[s->dim + c] + s->e[c]) +
                                (double)table[c] + s->e[c];
    }
    double *rows = linear(s, -1, "head.head", a, s->tokens, s->dim, n);
    patches(s, rows, velocity);
    free(a);
    free(rows);
}

void dit_reference(const dit_made *m, const dit_problem *p, double *velocity)
{
    const int64_t n = 4 * (int64_t)m->config.in_channels;
    model         s = {.m = m, .p = p, .dim = m->config.dim, .heads = m->config.heads};
    s.tokens        = (int64_t)p->t * (p->h / 2) * (p->w / 2);
    embed(&s);
    double *rows = zeros(s.tokens * n);
    patches(&s, rows, NULL);
    s.x = linear(&s, -1, "patch_embedding", rows, s.tokens, n, s.dim);
    for (int32_t l = 0; l < m->config.layers; l++) {
        self_attention(&s, l);
        cross_attention(&s, l);
        mlp(&s, l);
    }
    head(&s, velocity);
    free(rows);
    free(s.x);
    free(s.context);
    free(s.e);
    free(s.e0);
}

double dit_distance(const float *velocity, const double *expected, int64_t n)
{
    double error = 0.0;
    double norm  = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double e = (double)velocity[i] - expected[i];
        error += e * e;
        norm += expected[i] * expected[i];
    }
    return sqrt(error / norm);
}
