/* kernel/selftest_linear.c: the self-tests of linear and of norm rows (kernel/selftest.h).
 *
 * Tolerance, with e = 2^-24, u the unit roundoff of the output type and the oracles' cond and
 * scale: linear  e ((2 sqrt(K) + 24) cond + 8 scale) + u |y| norm    e (sqrt(D) + 16) cond + u |y|
 * Roundings of a sum of K terms walk about sqrt(K) steps; an activation at most doubles the error
 * of the product and adds a few roundings of its own. Wide outputs are sampled.
 */
#include <math.h>
#include <string.h>

#include "kernel/linear.h"
#include "kernel/norm.h"
#include "kernel/selftest.h"
#include "tensor/quantise.h"

#define EPS     0x1p-24
#define TINY    1e-35 /* what a row that flushes denormals may lose */
#define SAMPLES 1500

/* ---- linear --------------------------------------------------------------------------------- */

typedef struct linear_corner {
    const char     *name;
    int32_t         m, n, k;
    fil_dtype       dtype, out, bias;
    filk_activation act;
    int32_t         packed, gate, strided;
    fil_dtype       weight; /* NONE: as x */
} linear_corner;

static const linear_corner linear_corners[] = {
    {"bf16, plain", 70, 50, 96, FIL_BF16, FIL_BF16, FIL_DTYPE_NONE, FILK_ACT_NONE, 0, 0, 0,
     FIL_DTYPE_NONE},
    {"bf16, packed, GELU", 300, 270, 64, FIL_BF16, FIL_BF16, FIL_BF16, FILK_ACT_GELU_TANH, 1, 0, 0,
     FIL_DTYPE_NONE},
    {"bf16, SiLU, strided x", 33, 40, 130, FIL_BF16, FIL_F32, FIL_F32, FILK_ACT_SILU, 1, 0, 1,
     FIL_DTYPE_NONE},
    {"bf16, gate and residual", 65, 64, 200, FIL_BF16, FIL_F32, FIL_F32, FILK_ACT_NONE, 1, 1, 0,
     FIL_DTYPE_NONE},
    {"f32, packed, gate", 61, 260, 77, FIL_F32, FIL_F32, FIL_F32, FILK_ACT_NONE, 1, 1, 0,
     FIL_DTYPE_NONE},
    {"f32, one row, GELU", 1, 64, 256, FIL_F32, FIL_F32, FIL_F32, FILK_ACT_GELU_TANH, 0, 0, 0,
     FIL_DTYPE_NONE},
    {"bf16, weights of Q8_0", 70, 90, 608, FIL_BF16, FIL_F32, FIL_F32, FILK_ACT_NONE, 0, 0, 0,
     FIL_Q8_0},
    {"f32, weights of Q8_0", 30, 33, 288, FIL_F32, FIL_F32, FIL_F32, FILK_ACT_NONE, 0, 0, 0,
     FIL_Q8_0},
    {"bf16, weights of F16", 20, 65, 131, FIL_BF16, FIL_BF16, FIL_F32, FILK_ACT_NONE, 0, 0, 0,
     FIL_F16},
};

static fil_status make_weight(filk_st *st, const linear_corner *c, const void **out)
{
    const int64_t n      = (int64_t)c->n * c->k;
    const int64_t blocks = n / FILI_Q8_0_ELEMENTS;
    const double  sigma  = 1.0 / sqrt(c->k);
    void         *data;
    void         *quantised;
    if (c->weight != FIL_Q8_0) {
        const fil_dtype type = c->weight != FIL_DTYPE_NONE ? c->weight : c->dtype;
        FIL_TRY(filk_st_normal(st, type, n, sigma, &data));
        *out = data;
        return FIL_OK;
    }
    FIL_TRY(filk_st_normal(st, FIL_F32, n, sigma, &data));
    FIL_TRY(filk_st_alloc(st, (size_t)blocks, FILI_Q8_0_BYTES, &quantised));
    (void)fili_quantise_q8_0(quantised, data, (size_t)blocks); /* the values are finite */
    *out = quantised;
    return FIL_OK;
}

static fil_status make_linear(filk_st *st, const linear_corner *c, filk_linear_problem *p,
                              filk_linear_args *a)
{
    const int64_t stride = c->k + (c->strided ? 24 : 0);
    void         *data;
    *p = (filk_linear_problem){.m          = c->m,
                               .n          = c->n,
                               .k          = c->k,
                               .dtype      = c->dtype,
                               .out_dtype  = c->out,
                               .bias_dtype = c->bias,
                               .act        = c->act,
                               .x_stride   = stride,
                               .packed     = c->packed,
                               .any_weight = c->weight != FIL_DTYPE_NONE};
    *a = (filk_linear_args){.weight_dtype = c->weight, .residual_stride = c->n, .out_stride = c->n};
    FIL_TRY(filk_st_normal(st, c->dtype, c->m * stride, 1.0, &data));
    a->x = data;
    FIL_TRY(make_weight(st, c, &a->weight));
    FIL_TRY(filk_st_output(st, c->out, (int64_t)c->m * c->n, &a->out));
    if (c->bias != FIL_DTYPE_NONE) {
        FIL_TRY(filk_st_normal(st, c->bias, c->n, 1.0, &data));
        a->bias = data;
    }
    if (!c->gate) return FIL_OK;
    FIL_TRY(filk_st_normal(st, FIL_F32, c->n, 1.0, &data));
    a->gate = data;
    FIL_TRY(filk_st_normal(st, FIL_F32, (int64_t)c->m * c->n, 1.0, &data));
    a->residual = data;
    return FIL_OK;
}

static void compare_linear(filk_st *st, const filk_linear_problem *p, const filk_linear_args *a)
{
    const int64_t all  = p->m * p->n;
    const int64_t step = all > SAMPLES ? all / SAMPLES | 1 : 1;
    for (int64_t at = 0; at < all; at += step) {
        const int64_t i = at / p->n;
        const int64_t j = at % p->n;
        double        cond, scale;
        const double  want      = filk_linear_oracle(p, a, i, j, &cond, &scale);
        const double  tolerance = EPS * ((2.0 * sqrt((double)p->k) + 24.0) * cond + 8.0 * scale) +
                                 filk_st_roundoff(p->out_dtype) * fabs(want) + TINY;
        filk_st_value(st, "out", (int64_t[]){i, j, 0}, filk_st_get(p->out_dtype, a->out, at), want,
                      tolerance);
    }
}

static fil_status test_linear(filk_st *st, const linear_corner *c, uint64_t seed)
{
    filk_linear_problem p;
    filk_linear_args    a;
    int                 ran;
    FIL_TRY(filk_st_begin(st, c->name, seed));
    FIL_TRY(make_linear(st, c, &p, &a));
    if (st->row->refuse(&p) != NULL) return FIL_OK;
    const void *weight = a.weight;
    FIL_TRY(filk_st_run_plan(st, &p, &a, weight, &a.weight, &ran));
    a.weight = weight;
    if (ran) compare_linear(st, &p, &a);
    return FIL_OK;
}

fil_status filk_selftest_linear(filk_st *st)
{
    for (size_t i = 0; i < sizeof linear_corners / sizeof linear_corners[0]; i++)
        FIL_TRY(test_linear(st, &linear_corners[i], 400 + i));
    return FIL_OK;
}

/* ---- norms ---------------------------------------------------------------------------------- */

typedef struct norm_corner {
    const char    *name;
    filk_norm_kind kind;
    int32_t        rows, dim, head_dim;
    fil_dtype      dtype, out;
} norm_corner;

static const norm_corner norm_corners[] = {
    {"modulated, f32 to bf16", FILK_NORM_MODULATED, 40, 1536, 0, FIL_F32, FIL_BF16},
    {"affine, odd length", FILK_NORM_AFFINE, 33, 131, 0, FIL_BF16, FIL_F32},
    {"RMS and rotation", FILK_NORM_RMS, 50, 256, 128, FIL_BF16, FIL_BF16},
    {"RMS alone, f32", FILK_NORM_RMS, 9, 100, 0, FIL_F32, FIL_F32},
};

static fil_status make_norm(filk_st *st, const norm_corner *c, filk_norm_problem *p,
                            filk_norm_args *a)
{
    void *data;
    *p = (filk_norm_problem){.kind      = c->kind,
                             .rows      = c->rows,
                             .dim       = c->dim,
                             .dtype     = c->dtype,
                             .out_dtype = c->out,
                             .head_dim  = c->head_dim};
    *a = (filk_norm_args){.x_stride = c->dim, .out_stride = c->dim, .eps = 1e-6f};
    FIL_TRY(filk_st_normal(st, c->dtype, (int64_t)c->rows * c->dim, 2.0, &data));
    a->x = data;
    FIL_TRY(filk_st_output(st, c->out, (int64_t)c->rows * c->dim, &a->out));
    FIL_TRY(filk_st_normal(st, FIL_F32, c->dim, 1.0, &data));
    a->a = data;
    FIL_TRY(filk_st_normal(st, FIL_F32, c->dim, 1.0, &data));
    a->b = data;
    if (c->head_dim == 0) return FIL_OK;
    const int64_t angles = (int64_t)c->rows * c->head_dim / 2;
    FIL_TRY(filk_st_normal(st, FIL_F32, angles, 3.0, &data));
    float *cosines = data;
    FIL_TRY(filk_st_alloc(st, (size_t)angles, sizeof(float), &data));
    float *sines = data;
    for (int64_t i = 0; i < angles; i++) {
        sines[i]   = sinf(cosines[i]);
        cosines[i] = cosf(cosines[i]);
    }
    a->cos = cosines;
    a->sin = sines;
    return FIL_OK;
}

static fil_status test_norm(filk_st *st, const norm_corner *c, uint64_t seed)
{
    filk_norm_problem p;
    filk_norm_args    a;
    void             *data;
    int               ran;
    FIL_TRY(filk_st_begin(st, c->name, seed));
    FIL_TRY(make_norm(st, c, &p, &a));
    if (st->row->refuse(&p) != NULL) return FIL_OK;
    FIL_TRY(filk_st_alloc(st, 2 * (size_t)p.dim, sizeof(double), &data));
    double *want = data;
    FIL_TRY(filk_st_run(st, &p, &a, &ran));
    for (int64_t i = 0; ran && i < p.rows; i++) {
        filk_norm_oracle_row(&p, &a, i, want, want + p.dim);
        for (int64_t d = 0; d < p.dim; d++) {
            const double tolerance = EPS * (sqrt((double)p.dim) + 16.0) * want[p.dim + d] +
                                     filk_st_roundoff(p.out_dtype) * fabs(want[d]) + TINY;
            filk_st_value(st, "out", (int64_t[]){i, d, 0},
                          filk_st_get(p.out_dtype, a.out, i * a.out_stride + d), want[d],
                          tolerance);
        }
    }
    return FIL_OK;
}

fil_status filk_selftest_norm(filk_st *st)
{
    for (size_t i = 0; i < sizeof norm_corners / sizeof norm_corners[0]; i++)
        FIL_TRY(test_norm(st, &norm_corners[i], 500 + i));
    return FIL_OK;
}
