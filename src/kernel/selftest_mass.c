/* kernel/selftest_mass.c: the self-tests of block mass and of pooling rows (kernel/selftest.h).
 *
 * Tolerance of a mass: e (D/8 cond + 32 mass) summed over the rows of the query block, with e =
 * 2^-24 and the oracle's cond: an f32 dot product moves a logit by at most e D scale sum |q_d k_d|,
 * an eighth of that in practice; 32 stands for the sums and the exponential. lse: 1e-5 (1 + |lse|).
 * Of a mean over n tokens: (n + 2) e mean|x|, and one rounding to the type.
 */
#include <math.h>
#include <string.h>

#include "kernel/mass.h"
#include "kernel/pooling.h"
#include "kernel/selftest.h"

#define EPS  0x1p-24
#define TINY 1e-30 /* below this, f32 may underflow */

/* ---- mass ----------------------------------------------------------------------------------- */

typedef struct mass_corner {
    const char *name;
    int32_t     nq, nk, heads, kv_heads, head_dim;
    fil_dtype   dtype;
    int32_t     lse_in;
    double      sigma; /* of q */
} mass_corner;

static const mass_corner mass_corners[] = {
    {"ragged runs", 80, 500, 2, 2, 128, FIL_BF16, 0, 1.0},
    {"grouped heads, lse given", 70, 300, 4, 2, 64, FIL_BF16, 1, 1.0},
    {"large logits", 33, 260, 1, 1, 128, FIL_BF16, 0, 8.0},
    {"f32", 40, 150, 2, 1, 64, FIL_F32, 0, 1.0},
};

static fil_status make_view(filk_st *st, fil_dtype dtype, int64_t tokens, int32_t heads, int32_t D,
                            double sigma, filk_attn_view *view)
{
    void *data;
    FIL_TRY(filk_st_normal(st, dtype, tokens * heads * D, sigma, &data));
    *view = (filk_attn_view){.data = data, .stride_n = (int64_t)heads * D, .stride_h = D};
    return FIL_OK;
}

static fil_status make_mass(filk_st *st, const mass_corner *c, filk_mass_problem *p,
                            filk_mass_args *a)
{
    int32_t *q_offset;
    int32_t *k_offset;
    void    *out;
    *p = (filk_mass_problem){.nq       = c->nq,
                             .nk       = c->nk,
                             .heads    = c->heads,
                             .kv_heads = c->kv_heads,
                             .head_dim = c->head_dim,
                             .dtype    = c->dtype};
    *a = (filk_mass_args){.scale = 1.0f / sqrtf((float)c->head_dim)};
    FIL_TRY(filk_st_runs(st, c->nq, &q_offset, &p->mq));
    FIL_TRY(filk_st_runs(st, c->nk, &k_offset, &p->mk));
    p->q_offset = q_offset;
    p->k_offset = k_offset;
    FIL_TRY(make_view(st, c->dtype, c->nq, c->heads, c->head_dim, c->sigma, &a->q));
    FIL_TRY(make_view(st, c->dtype, c->nk, c->kv_heads, c->head_dim, 1.0, &a->k));
    FIL_TRY(filk_st_output(st, FIL_F32, (int64_t)c->heads * p->mq * p->mk, &out));
    a->mass = out;
    FIL_TRY(filk_st_output(st, FIL_F32, (int64_t)c->heads * c->nq, &out));
    a->lse_out = out;
    if (!c->lse_in) return FIL_OK;
    FIL_TRY(filk_st_alloc(st, (size_t)c->heads * (size_t)c->nq, sizeof(float), &out));
    float *lse = out;
    for (int32_t i = 0; i < c->heads * c->nq; i++)
        lse[i] = i % 17 == 3 ? -INFINITY : 5.0f + 0.01f * (float)(i % 50);
    a->lse_in = lse;
    return FIL_OK;
}

/* sums [4][mk]: masses, tolerances, and the row at hand. */
static void compare_block(filk_st *st, const filk_mass_problem *p, const filk_mass_args *a,
                          int32_t h, int32_t u, double *sums)
{
    double *mass      = sums;
    double *tolerance = sums + p->mk;
    double *row       = sums + 2 * (int64_t)p->mk;
    double *cond      = sums + 3 * (int64_t)p->mk;
    for (int32_t b = 0; b < p->mk; b++) {
        mass[b]      = 0.0;
        tolerance[b] = TINY;
    }
    for (int64_t i = p->q_offset[u]; i < p->q_offset[u + 1]; i++) {
        double lse;
        filk_mass_oracle_row(p, a, i, h, row, cond, &lse);
        filk_st_value(st, "lse", (int64_t[]){h, i, 0}, (double)a->lse_out[h * p->nq + i], lse,
                      1e-5 * (1.0 + fabs(lse)));
        for (int32_t b = 0; b < p->mk; b++) {
            mass[b] += row[b];
            tolerance[b] += EPS * (p->head_dim / 8.0 * cond[b] + 32.0 * row[b]);
        }
    }
    for (int32_t b = 0; b < p->mk; b++)
        filk_st_value(st, "mass", (int64_t[]){h, u, b},
                      (double)a->mass[((int64_t)h * p->mq + u) * p->mk + b], mass[b], tolerance[b]);
}

static fil_status test_mass(filk_st *st, const mass_corner *c, uint64_t seed)
{
    filk_mass_problem p;
    filk_mass_args    a;
    void             *sums;
    int               ran;
    FIL_TRY(filk_st_begin(st, c->name, seed));
    FIL_TRY(make_mass(st, c, &p, &a));
    if (st->row->refuse(&p) != NULL) return FIL_OK;
    FIL_TRY(filk_st_alloc(st, 4 * (size_t)p.mk, sizeof(double), &sums));
    FIL_TRY(filk_st_run(st, &p, &a, &ran));
    for (int32_t h = 0; ran && h < p.heads; h++)
        for (int32_t u = 0; u < p.mq; u++)
            compare_block(st, &p, &a, h, u, sums);
    return FIL_OK;
}

fil_status filk_selftest_mass(filk_st *st)
{
    for (size_t i = 0; i < sizeof mass_corners / sizeof mass_corners[0]; i++)
        FIL_TRY(test_mass(st, &mass_corners[i], 200 + i));
    return FIL_OK;
}

/* ---- pooling -------------------------------------------------------------------------------- */

typedef struct pool_corner {
    const char *name;
    int32_t     n, heads, head_dim;
    fil_dtype   dtype;
    int32_t     sinks;
} pool_corner;

static const pool_corner pool_corners[] = {
    {"ragged runs", 300, 3, 128, FIL_BF16, 0},
    {"sinks", 200, 2, 64, FIL_BF16, 9},
    {"f32, odd head dim", 130, 2, 13, FIL_F32, 5},
};

static fil_status make_pool(filk_st *st, const pool_corner *c, filk_pooling_problem *p,
                            filk_pooling_args *a)
{
    int32_t *offset;
    void    *out;
    *p = (filk_pooling_problem){
        .n = c->n, .heads = c->heads, .head_dim = c->head_dim, .dtype = c->dtype};
    *a = (filk_pooling_args){.n_sinks = c->sinks};
    FIL_TRY(filk_st_runs(st, c->n, &offset, &p->m));
    p->offset           = offset;
    const int64_t cells = (int64_t)p->m * c->heads;
    FIL_TRY(make_view(st, c->dtype, c->n, c->heads, c->head_dim, 1.0, &a->x));
    FIL_TRY(filk_st_output(st, FIL_F32, cells * c->head_dim, &out));
    a->out_f32 = out;
    FIL_TRY(filk_st_output(st, FIL_BF16, cells * c->head_dim, &out));
    a->out_bf16 = out;
    FIL_TRY(filk_st_output(st, FIL_F32, cells, &out));
    a->count          = out;
    a->count_stride_h = p->m;
    if (c->sinks == 0) return FIL_OK;
    FIL_TRY(filk_st_alloc(st, (size_t)c->sinks * (size_t)c->heads, sizeof(int32_t), &out));
    int32_t *sinks = out;
    for (int32_t i = 0; i < c->sinks * c->heads; i++)
        sinks[i] = i % c->sinks * (c->n / c->sinks) + filk_st_between(st, 0, 9);
    a->sinks          = sinks;
    a->sinks_stride_h = c->sinks;
    return FIL_OK;
}

static int is_sink(const filk_pooling_args *a, int32_t h, int64_t token)
{
    for (int32_t i = 0; i < a->n_sinks; i++)
        if (a->sinks[h * a->sinks_stride_h + i] == token) return 1;
    return 0;
}

/* The mean of one channel, and of its magnitudes. Returns the count. */
static int32_t mean_of(const filk_pooling_problem *p, const filk_pooling_args *a, int32_t run,
                       int32_t h, int32_t d, double *mean, double *size)
{
    int32_t n = 0;
    *mean = *size = 0.0;
    for (int64_t i = p->offset[run]; i < p->offset[run + 1]; i++) {
        if (is_sink(a, h, i)) continue;
        const double x =
            filk_st_get(p->dtype, a->x.data, i * a->x.stride_n + h * a->x.stride_h + d);
        *mean += x;
        *size += fabs(x);
        n++;
    }
    if (n > 0) *mean /= n;
    if (n > 0) *size /= n;
    return n;
}

static void compare_run(filk_st *st, const filk_pooling_problem *p, const filk_pooling_args *a,
                        int32_t run, int32_t h)
{
    int32_t n = 0;
    for (int32_t d = 0; d < p->head_dim; d++) {
        double        mean, size;
        const int64_t at       = ((int64_t)run * p->heads + h) * p->head_dim + d;
        const int64_t place[3] = {run, h, d};
        n                      = mean_of(p, a, run, h, d, &mean, &size);
        const double tolerance = (n + 2) * EPS * size;
        filk_st_value(st, "out_f32", place, (double)a->out_f32[at], mean, tolerance);
        filk_st_value(st, "out_bf16", place, filk_st_get(FIL_BF16, a->out_bf16, at), mean,
                      tolerance + filk_st_roundoff(FIL_BF16) * fabs(mean));
    }
    filk_st_value(st, "count", (int64_t[]){h, run, 0}, a->count[h * a->count_stride_h + run], n,
                  0.5);
}

static fil_status test_pool(filk_st *st, const pool_corner *c, uint64_t seed)
{
    filk_pooling_problem p;
    filk_pooling_args    a;
    int                  ran;
    FIL_TRY(filk_st_begin(st, c->name, seed));
    FIL_TRY(make_pool(st, c, &p, &a));
    if (st->row->refuse(&p) != NULL) return FIL_OK;
    FIL_TRY(filk_st_run(st, &p, &a, &ran));
    for (int32_t run = 0; ran && run < p.m; run++)
        for (int32_t h = 0; h < p.heads; h++)
            compare_run(st, &p, &a, run, h);
    return FIL_OK;
}

fil_status filk_selftest_pooling(filk_st *st)
{
    for (size_t i = 0; i < sizeof pool_corners / sizeof pool_corners[0]; i++)
        FIL_TRY(test_pool(st, &pool_corners[i], 300 + i));
    return FIL_OK;
}
