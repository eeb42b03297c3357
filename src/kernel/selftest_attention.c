/* kernel/selftest_attention.c: the self-test of attention rows (kernel/selftest.h).
 *
 * Tolerance, with u the unit roundoff of the output type, e that of the sums, cond = sum p|v| / sum
 * p and kappa = the largest scale * sum |q_d k_d| of a kept key:
 *     out   2 u cond + 8 e (keys + D) cond + 2 D e kappa cond + 2^-125
 *     lse   1e-5 (1 + |lse|) + D e kappa
 * p and the result are rounded to the type, p v and the exponentials are summed, a logit is a sum
 * of D products, and denormals may be flushed. Products of bf16 are exact in f32.
 */
#include <math.h>
#include <string.h>

#include "kernel/attention.h"
#include "kernel/selftest.h"

#define MAX_D 128

/* One problem: what of the contract it meets. */
typedef struct corner {
    const char *name;
    int32_t     nq, nk, heads, kv_heads, head_dim;
    fil_dtype   dtype;
    int32_t     keep;   /* percent of the blocks; 100: no mask */
    int32_t     shared; /* one mask for all heads */
    int32_t     empty;  /* the first query block keeps nothing, without a tail */
    int32_t     sinks, tail;
    int32_t     poison; /* NaN in a key block that nobody keeps */
    double      sigma;  /* of q: how far logits spread */
} corner;

static const corner corners[] = {
    {"dense", 70, 700, 1, 1, 128, FIL_BF16, 100, 0, 0, 0, 0, 0, 1.0},
    {"grouped heads", 75, 333, 4, 2, 64, FIL_BF16, 40, 0, 0, 0, 0, 0, 1.0},
    {"tail and sinks", 90, 290, 2, 1, 128, FIL_BF16, 30, 0, 0, 7, 1, 0, 1.0},
    {"tail, head dim 64", 66, 200, 2, 2, 64, FIL_BF16, 20, 1, 0, 0, 1, 0, 3.0},
    {"empty rows and NaN left out", 100, 400, 2, 2, 128, FIL_BF16, 25, 0, 1, 0, 0, 1, 1.0},
    {"large logits, sinks", 40, 300, 1, 1, 64, FIL_BF16, 50, 0, 0, 64, 0, 0, 12.0},
    {"f32", 50, 150, 2, 1, 128, FIL_F32, 50, 0, 0, 3, 1, 0, 1.0},
};

typedef struct attn_case {
    filk_attn_problem p;
    filk_attn_args    a;
    int32_t           words;
} attn_case;

/* ---- making --------------------------------------------------------------------------------- */

static fil_status make_view(filk_st *st, const corner *c, int64_t tokens, int32_t heads,
                            double sigma, filk_attn_view *view)
{
    void *data;
    FIL_TRY(filk_st_normal(st, c->dtype, tokens * heads * c->head_dim, sigma, &data));
    *view = (filk_attn_view){
        .data = data, .stride_n = (int64_t)heads * c->head_dim, .stride_h = c->head_dim};
    return FIL_OK;
}

static void set_token(const corner *c, const filk_attn_view *view, int64_t token, int32_t heads,
                      double value)
{
    union {
        const void *from;
        void       *to;
    } data = {.from = view->data};
    for (int64_t i = 0; i < (int64_t)heads * c->head_dim; i++)
        filk_st_set(c->dtype, data.to, token * view->stride_n + i, value);
}

/* Bits at random; with `poison` the last key block is kept by nobody. */
static fil_status make_mask(filk_st *st, const corner *c, attn_case *k)
{
    const int32_t heads = c->shared ? 1 : c->heads;
    void         *block;
    if (c->keep == 100) return FIL_OK;
    FIL_TRY(filk_st_alloc(st, (size_t)heads * (size_t)k->p.mq * (size_t)k->words, 4, &block));
    uint32_t *bits = block;
    for (int32_t row = 0; row < heads * k->p.mq; row++)
        for (int32_t b = 0; b < k->p.mk - c->poison; b++) {
            const int keep = filk_st_between(st, 0, 99) < c->keep;
            if (keep && !(c->empty && row % k->p.mq == 0))
                bits[row * k->words + b / 32] |= 1u << (b % 32);
        }
    k->a.mask          = bits;
    k->a.mask_stride_h = c->shared ? 0 : (int64_t)k->p.mq * k->words;
    if (!c->poison) return FIL_OK;
    for (int32_t t = k->p.k_offset[k->p.mk - 1]; t < c->nk; t++) {
        set_token(c, &k->a.k, t, c->kv_heads, (double)NAN);
        set_token(c, &k->a.v, t, c->kv_heads, (double)INFINITY);
    }
    return FIL_OK;
}

/* Rising tokens, some of them neighbours, a list for each key-value head. */
static fil_status make_sinks(filk_st *st, const corner *c, attn_case *k)
{
    void *block;
    if (c->sinks == 0) return FIL_OK;
    FIL_TRY(filk_st_alloc(st, (size_t)c->sinks * (size_t)c->kv_heads, sizeof(int32_t), &block));
    int32_t *sinks = block;
    for (int32_t h = 0; h < c->kv_heads; h++)
        for (int32_t i = 0, token = -1; i < c->sinks; i++) {
            const int32_t spare = c->nk - c->sinks + i - (token + 1);
            const int32_t most  = 2 * c->nk / c->sinks;
            token += 1 + filk_st_between(st, 0, spare < most ? spare : most);
            sinks[h * c->sinks + i] = token;
        }
    k->p.max_sinks      = c->sinks;
    k->a.sinks          = sinks;
    k->a.n_sinks        = c->sinks;
    k->a.sinks_stride_h = c->sinks;
    return FIL_OK;
}

static fil_status make_tail(filk_st *st, const corner *c, attn_case *k)
{
    void *block;
    if (!c->tail) return FIL_OK;
    k->p.has_tail = 1;
    FIL_TRY(make_view(st, c, k->p.mk, c->kv_heads, 0.5, &k->a.tail_k));
    FIL_TRY(make_view(st, c, k->p.mk, c->kv_heads, 0.5, &k->a.tail_v));
    FIL_TRY(filk_st_alloc(st, (size_t)k->p.mk * (size_t)c->kv_heads, sizeof(int32_t), &block));
    int32_t *count = block;
    for (int32_t i = 0; i < k->p.mk * c->kv_heads; i++)
        count[i] = i % 5 == 3 ? 0 : filk_st_between(st, 1, 64);
    k->a.tail_count          = count;
    k->a.tail_count_stride_h = k->p.mk;
    FIL_TRY(filk_st_alloc(st, (size_t)c->heads, sizeof(float), &block));
    float *factor = block;
    for (int32_t h = 0; h < c->heads; h++)
        factor[h] = 0.5f + (float)h;
    k->a.tail_factor = factor;
    return FIL_OK;
}

static fil_status make(filk_st *st, const corner *c, attn_case *k)
{
    int32_t *q_offset;
    int32_t *k_offset;
    void    *lse;
    *k = (attn_case){.p = {.nq       = c->nq,
                           .nk       = c->nk,
                           .heads    = c->heads,
                           .kv_heads = c->kv_heads,
                           .head_dim = c->head_dim,
                           .dtype    = c->dtype}};
    FIL_TRY(filk_st_runs(st, c->nq, &q_offset, &k->p.mq));
    FIL_TRY(filk_st_runs(st, c->nk, &k_offset, &k->p.mk));
    k->p.q_offset = q_offset;
    k->p.k_offset = k_offset;
    k->words      = (k->p.mk + 31) / 32;
    FIL_TRY(make_view(st, c, c->nq, c->heads, c->sigma, &k->a.q));
    FIL_TRY(make_view(st, c, c->nk, c->kv_heads, 1.0, &k->a.k));
    FIL_TRY(make_view(st, c, c->nk, c->kv_heads, 1.0, &k->a.v));
    FIL_TRY(filk_st_output(st, c->dtype, (int64_t)c->nq * c->heads * c->head_dim, &k->a.out));
    FIL_TRY(filk_st_output(st, FIL_F32, (int64_t)c->nq * c->heads, &lse));
    k->a.out_stride_n = (int64_t)c->heads * c->head_dim;
    k->a.out_stride_h = c->head_dim;
    k->a.lse          = lse;
    k->a.scale        = 1.0f / sqrtf((float)c->head_dim);
    FIL_TRY(make_mask(st, c, k));
    FIL_TRY(make_sinks(st, c, k));
    return make_tail(st, c, k);
}

/* ---- comparing ------------------------------------------------------------------------------ */

typedef struct kept {
    int64_t keys;
    double  kappa;
} kept;

static void add_kept(const attn_case *k, const double *q, const filk_attn_view *view, int64_t token,
                     int32_t h, kept *sum)
{
    const int32_t kv   = h / (k->p.heads / k->p.kv_heads);
    const int64_t at   = token * view->stride_n + kv * view->stride_h;
    double        size = 0.0;
    for (int32_t d = 0; d < k->p.head_dim; d++)
        size += fabs(q[d] * filk_st_get(k->p.dtype, view->data, at + d));
    size *= (double)k->a.scale;
    sum->keys++;
    if (size > sum->kappa) sum->kappa = size;
}

/* Keys of query block bq as seen by row (i, h); sinks may count twice. */
static kept measure_row(const attn_case *k, int32_t bq, int64_t i, int32_t h)
{
    const int32_t   kv   = h / (k->p.heads / k->p.kv_heads);
    const uint32_t *bits = k->a.mask;
    kept            sum  = {.keys = 0};
    double          q[MAX_D];
    if (bits != NULL) bits += h * k->a.mask_stride_h + (int64_t)bq * k->words;
    for (int32_t d = 0; d < k->p.head_dim; d++)
        q[d] = filk_st_get(k->p.dtype, k->a.q.data, i * k->a.q.stride_n + h * k->a.q.stride_h + d);
    for (int32_t b = 0; b < k->p.mk; b++) {
        const int whole = bits == NULL || (bits[b / 32] >> (b % 32) & 1u) != 0;
        for (int32_t t = k->p.k_offset[b]; whole && t < k->p.k_offset[b + 1]; t++)
            add_kept(k, q, &k->a.k, t, h, &sum);
        if (!whole && k->p.has_tail && k->a.tail_count[kv * k->a.tail_count_stride_h + b] > 0)
            add_kept(k, q, &k->a.tail_k, b, h, &sum);
    }
    for (int32_t s = 0; s < k->a.n_sinks; s++)
        add_kept(k, q, &k->a.k, k->a.sinks[kv * k->a.sinks_stride_h + s], h, &sum);
    return sum;
}

static void compare_row(filk_st *st, const attn_case *k, int32_t bq, int64_t i, int32_t h)
{
    const double e   = filk_st_sum_roundoff(st->row);
    const double u   = filk_st_roundoff(k->p.dtype);
    const double D   = k->p.head_dim;
    const kept   sum = measure_row(k, bq, i, h);
    double       want[MAX_D];
    double       cond[MAX_D];
    double       lse;
    filk_attn_oracle_row(&k->p, &k->a, i, h, want, cond, &lse);
    for (int32_t d = 0; d < k->p.head_dim; d++) {
        const int64_t at = i * k->a.out_stride_n + h * k->a.out_stride_h + d;
        const double  tolerance =
            (2.0 * u + 8.0 * e * ((double)sum.keys + D) + 2.0 * D * e * sum.kappa) * cond[d] +
            0x1p-125;
        filk_st_value(st, "out", (int64_t[]){i, h, d}, filk_st_get(k->p.dtype, k->a.out, at),
                      want[d], tolerance);
    }
    filk_st_value(st, "lse", (int64_t[]){h, i, 0}, (double)k->a.lse[h * k->p.nq + i], lse,
                  1e-5 * (1.0 + fabs(lse)) + D * e * sum.kappa);
}

static fil_status test_corner(filk_st *st, const corner *c, uint64_t seed)
{
    attn_case k;
    int       ran;
    FIL_TRY(filk_st_begin(st, c->name, seed));
    FIL_TRY(make(st, c, &k));
    if (st->row->refuse(&k.p) != NULL) return FIL_OK;
    FIL_TRY(filk_st_run(st, &k.p, &k.a, &ran));
    for (int32_t b = 0; ran && b < k.p.mq; b++)
        for (int64_t i = k.p.q_offset[b]; i < k.p.q_offset[b + 1]; i++)
            for (int32_t h = 0; h < c->heads; h++)
                compare_row(st, &k, b, i, h);
    return FIL_OK;
}

fil_status filk_selftest_attention(filk_st *st)
{
    for (size_t i = 0; i < sizeof corners / sizeof corners[0]; i++)
        FIL_TRY(test_corner(st, &corners[i], 100 + i));
    return FIL_OK;
}
