/* kernel/ref/select_ref.c: block selection as its definition says: the oracle.
 *
 * Scalar, f64, one query block at a time, two passes over the key tiles of a query tile. Scores are
 * rounded to f32 before they are ranked. Slow on purpose; shipped, and every other row is measured
 * against it.
 */
#include <math.h>

#include "base/pool.h"
#include "kernel/select.h"

typedef struct tile_in {
    const filk_select_problem *p;
    const filk_select_args    *a;
    const float               *q;
    int32_t                    kv_head;
} tile_in;

/* s_ij; *weight = scale sum |q_d k_d|. */
static double logit(const tile_in *t, int32_t j, double *weight)
{
    const float *k   = t->a->k + ((int64_t)j * t->p->kv_heads + t->kv_head) * t->p->head_dim;
    double       dot = 0.0;
    double       sum = 0.0;
    for (int32_t d = 0; d < t->p->head_dim; d++) {
        const double term = (double)t->q[d] * (double)k[d];
        dot += term;
        sum += fabs(term);
    }
    *weight = sum * (double)t->a->scale;
    return dot * (double)t->a->scale;
}

static int takes_part(const tile_in *t, int32_t j)
{
    return t->a->count == NULL || t->a->count[t->kv_head * t->a->count_stride_h + j] > 0;
}

typedef struct softmax {
    double max, sum, weighted; /* weighted: sum of p times its logit's weight, over sum */
} softmax;

static softmax normalize(const tile_in *t)
{
    softmax s = {-(double)INFINITY, 0.0, 0.0};
    double  weight;
    for (int32_t j = 0; j < t->p->tk; j++) {
        if (!takes_part(t, j)) continue;
        const double x = logit(t, j, &weight);
        if (x > s.max) s.max = x;
    }
    for (int32_t j = 0; j < t->p->tk; j++) {
        if (!takes_part(t, j)) continue;
        const double x = logit(t, j, &weight);
        const double p = x == -(double)INFINITY ? 0.0 : exp(x - s.max);
        s.sum += p;
        if (p != 0.0) s.weighted += p * weight;
    }
    if (s.sum != 0.0) s.weighted /= s.sum;
    return s;
}

static void add_votes(const tile_in *t, double *score, double *cond)
{
    const softmax s = normalize(t);
    for (int32_t v = 0; v < t->p->mk; v++)
        for (int32_t j = t->p->k_tiles[v]; j < t->p->k_tiles[v + 1]; j++) {
            double weight;
            if (!takes_part(t, j) || s.sum == 0.0) continue;
            const double x = logit(t, j, &weight);
            const double p = x == -(double)INFINITY ? 0.0 : exp(x - s.max);
            score[v] += p / s.sum;
            if (cond != NULL && p != 0.0) cond[v] += p / s.sum * (weight + s.weighted);
        }
}

void filk_select_oracle_row(const filk_select_problem *problem, const filk_select_args *args,
                            int32_t h, int32_t u, double *score, double *cond)
{
    const filk_select_problem *p = problem;
    tile_in                    t = {.p = p, .a = args, .kv_head = h / (p->heads / p->kv_heads)};
    for (int32_t v = 0; v < p->mk; v++) {
        score[v] = 0.0;
        if (cond != NULL) cond[v] = 0.0;
    }
    for (int32_t i = p->q_tiles[u]; i < p->q_tiles[u + 1]; i++) {
        t.q = args->q + ((int64_t)i * p->heads + h) * p->head_dim;
        if (p->kind == FILK_SELECT_SOFTMAX) add_votes(&t, score, cond);
        for (int32_t v = 0; p->kind == FILK_SELECT_LOGIT && v < p->mk; v++) {
            double weight;
            score[v] = logit(&t, v, &weight);
            if (cond != NULL) cond[v] = weight;
        }
    }
}

typedef struct run_state {
    const filk_select_problem *p;
    const filk_select_args    *a;
    double                    *wide;   /* [threads][mk] */
    float                     *narrow; /* [threads][mk] */
} run_state;

static fil_status block_task(void *arg, int64_t index, int32_t worker)
{
    const run_state           *s     = arg;
    const filk_select_problem *p     = s->p;
    const int32_t              words = (p->mk + 31) / 32;
    double                    *wide  = s->wide + (int64_t)worker * p->mk;
    float                     *row   = s->narrow + (int64_t)worker * p->mk;
    filk_select_oracle_row(p, s->a, (int32_t)(index / p->mq), (int32_t)(index % p->mq), wide, NULL);
    for (int32_t v = 0; v < p->mk; v++) {
        row[v] = (float)wide[v];
        if (s->a->score != NULL) s->a->score[index * p->mk + v] = row[v];
    }
    filk_select_top(row, p->mk, p->keep, s->a->mask + index * words);
    return FIL_OK;
}

const char *filk_select_f32_row__ref_refuse(const void *problem)
{
    const filk_select_problem *p = problem;
    return p->head_dim < 1 || p->head_dim > 128 ? "takes head dim 1 to 128" : NULL;
}

size_t filk_select_f32_row__ref_workspace(const void *problem, int32_t n_threads)
{
    const filk_select_problem *p = problem;
    return (sizeof(double) + sizeof(float)) * (size_t)p->mk * (size_t)n_threads;
}

fil_status filk_select_f32_row__ref_run(fil_ctx *ctx, const void *problem, const void *args,
                                        void *workspace)
{
    const filk_select_problem *p = problem;
    run_state                  s = {.p = problem, .a = args, .wide = workspace};
    s.narrow = (float *)(void *)(s.wide + (size_t)p->mk * (size_t)ctx->n_threads);
    return fili_pool_run(ctx, "select", (int64_t)p->heads * p->mq, block_task, &s);
}
