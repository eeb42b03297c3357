/* kernel/ref/attn_fwd_ref.c: attention forward as its definition says: the oracle.
 *
 * Scalar, f64, one query row at a time, exact maximum, inputs as they are. Two passes over the kept
 * keys (maximum, then sums), so that it needs no memory. Slow on purpose; it is shipped, and every
 * other row is measured against it.
 */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "kernel/attention.h"
#include "tensor/convert.h"

#define MAX_D 128

typedef struct visit {
    const filk_attn_problem *p;
    const filk_attn_args    *a;
    int32_t                  head;
    double                   q[MAX_D];
    double                   max, sum;
    double                   out[MAX_D], cond[MAX_D]; /* sums of p v and of p |v| */
} visit;

static double element(const filk_attn_problem *p, const filk_attn_view *view, int64_t token,
                      int32_t head, int32_t d)
{
    const int64_t at = token * view->stride_n + head * view->stride_h + d;
    if (p->dtype == FIL_F32) {
        float f;
        memcpy(&f, (const char *)view->data + at * 4, sizeof f);
        return (double)f;
    }
    uint16_t half;
    memcpy(&half, (const char *)view->data + at * 2, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    float          f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

typedef void (*key_fn)(visit *v, const filk_attn_view *keys, const filk_attn_view *values,
                       int64_t token, double bias);

static double logit(const visit *v, const filk_attn_view *keys, int64_t token, double bias)
{
    const int32_t kv_head = v->head / (v->p->heads / v->p->kv_heads);
    double        dot     = 0.0;
    for (int32_t d = 0; d < v->p->head_dim; d++)
        dot += v->q[d] * element(v->p, keys, token, kv_head, d);
    return dot * (double)v->a->scale + bias;
}

static void find_max(visit *v, const filk_attn_view *keys, const filk_attn_view *values,
                     int64_t token, double bias)
{
    (void)values;
    const double s = logit(v, keys, token, bias);
    if (s > v->max) v->max = s; /* a NaN shows in the sums */
}

static void add_key(visit *v, const filk_attn_view *keys, const filk_attn_view *values,
                    int64_t token, double bias)
{
    const int32_t kv_head = v->head / (v->p->heads / v->p->kv_heads);
    const double  s       = logit(v, keys, token, bias);
    const double  p       = s == -(double)INFINITY ? 0.0 : exp(s - v->max);
    v->sum += p;
    for (int32_t d = 0; d < v->p->head_dim; d++) {
        const double x = element(v->p, values, token, kv_head, d);
        v->out[d] += p * x;
        v->cond[d] += p * fabs(x);
    }
}

static int is_sink(const int32_t *sinks, int32_t n, int64_t token)
{
    for (int32_t i = 0; i < n; i++)
        if (sinks[i] == token) return 1;
    return 0;
}

/* Every key that the row keeps, once. */
static void visit_keys(visit *v, const uint32_t *mask_row, key_fn fn)
{
    const filk_attn_args *a       = v->a;
    const int32_t         kv_head = v->head / (v->p->heads / v->p->kv_heads);
    const int32_t        *sinks = a->sinks != NULL ? a->sinks + kv_head * a->sinks_stride_h : NULL;
    const int32_t         n_sinks = sinks != NULL ? a->n_sinks : 0;
    for (int32_t b = 0; b < v->p->mk; b++) {
        if (mask_row == NULL || (mask_row[b / 32] >> (b % 32) & 1u) != 0) {
            for (int32_t t = v->p->k_offset[b]; t < v->p->k_offset[b + 1]; t++)
                if (!is_sink(sinks, n_sinks, t)) fn(v, &a->k, &a->v, t, 0.0);
        } else if (a->tail_k.data != NULL) {
            const int32_t count  = a->tail_count[kv_head * a->tail_count_stride_h + b];
            const double  factor = a->tail_factor != NULL ? (double)a->tail_factor[v->head] : 1.0;
            if (count > 0) fn(v, &a->tail_k, &a->tail_v, b, log((double)count * factor));
        }
    }
    for (int32_t i = 0; i < n_sinks; i++)
        fn(v, &a->k, &a->v, sinks[i], 0.0);
}

static int32_t block_of(const int32_t *offset, int32_t m, int64_t token)
{
    int32_t lo = 0;
    int32_t hi = m;
    while (hi - lo > 1) {
        const int32_t mid = lo + (hi - lo) / 2;
        if (offset[mid] <= token)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

static void compute_row(visit *v, int64_t i)
{
    const filk_attn_problem *p     = v->p;
    const int64_t            words = (p->mk + 31) / 32;
    const uint32_t          *mask  = NULL;
    if (v->a->mask != NULL)
        mask = v->a->mask + v->head * v->a->mask_stride_h + block_of(p->q_offset, p->mq, i) * words;
    for (int32_t d = 0; d < p->head_dim; d++) {
        v->q[d]   = element(p, &v->a->q, i, v->head, d);
        v->out[d] = v->cond[d] = 0.0;
    }
    v->max = -(double)INFINITY;
    v->sum = 0.0;
    visit_keys(v, mask, find_max);
    visit_keys(v, mask, add_key);
}

void filk_attn_oracle_row(const filk_attn_problem *problem, const filk_attn_args *args, int64_t i,
                          int32_t h, double *out, double *cond, double *lse)
{
    visit v = {.p = problem, .a = args, .head = h};
    compute_row(&v, i);
    const int empty = v.sum == 0.0;
    for (int32_t d = 0; d < problem->head_dim; d++) {
        out[d] = empty ? 0.0 : v.out[d] / v.sum;
        if (cond != NULL) cond[d] = empty ? 0.0 : v.cond[d] / v.sum;
    }
    *lse = empty ? -(double)INFINITY : v.max + log(v.sum);
}

typedef struct run_state {
    const filk_attn_problem *p;
    const filk_attn_args    *a;
} run_state;

static fil_status block_task(void *arg, int64_t index, int32_t worker)
{
    const run_state         *s    = arg;
    const filk_attn_problem *p    = s->p;
    const int32_t            head = (int32_t)(index / p->mq);
    const int32_t            b    = (int32_t)(index % p->mq);
    double                   out[MAX_D];
    double                   lse;
    (void)worker;
    for (int64_t i = p->q_offset[b]; i < p->q_offset[b + 1]; i++) {
        filk_attn_oracle_row(p, s->a, i, head, out, NULL, &lse);
        const int64_t at = i * s->a->out_stride_n + head * s->a->out_stride_h;
        fili_convert_row(fili_convert_select(FILI_ISA_REF), p->dtype,
                         (char *)s->a->out + at * (int64_t)fil_dtype_bits(p->dtype) / 8, FIL_F64,
                         out, (size_t)p->head_dim);
        if (s->a->lse != NULL) s->a->lse[head * p->nq + i] = (float)lse;
    }
    return FIL_OK;
}

const char *filk_attn_fwd_any_row__ref_refuse(const void *problem)
{
    const filk_attn_problem *p = problem;
    if (p->dtype != FIL_BF16 && p->dtype != FIL_F32) return "takes bf16 and f32 only";
    return p->head_dim < 1 || p->head_dim > MAX_D ? "takes head dim 1 to 128" : NULL;
}

size_t filk_attn_fwd_any_row__ref_workspace(const void *problem, int32_t n_threads)
{
    (void)problem;
    (void)n_threads;
    return 0;
}

fil_status filk_attn_fwd_any_row__ref_run(fil_ctx *ctx, const void *problem, const void *args,
                                          void *workspace)
{
    const filk_attn_problem *p = problem;
    run_state                s = {.p = problem, .a = args};
    (void)workspace;
    return fili_pool_run(ctx, "attention", (int64_t)p->heads * p->mq, block_task, &s);
}
