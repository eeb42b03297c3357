/* kernel/ref/mass_ref.c: block mass as its definition says: the oracle.
 *
 * Scalar, f64, one query row at a time, exact maximum, inputs as they are. Two passes over the keys
 * of a row (maximum, then sums), so that it stores no scores. Slow on purpose; it is shipped, and
 * every other row is measured against it.
 */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "kernel/mass.h"

#define MAX_D 128

typedef struct row_in {
    const filk_mass_problem *p;
    const filk_mass_args    *a;
    int32_t                  kv_head;
    double                   q[MAX_D];
} row_in;

static double element(fil_dtype dtype, const filk_attn_view *view, int64_t token, int32_t head,
                      int32_t d)
{
    const int64_t at = token * view->stride_n + head * view->stride_h + d;
    uint32_t      bits;
    float         f;
    if (dtype == FIL_F32) {
        memcpy(&f, (const char *)view->data + at * 4, sizeof f);
        return (double)f;
    }
    uint16_t half;
    memcpy(&half, (const char *)view->data + at * 2, sizeof half);
    bits = (uint32_t)half << 16;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

/* s_ij; *weight = a_ij of mass.h. */
static double logit(const row_in *r, int64_t token, double *weight)
{
    double dot = 0.0;
    double sum = 0.0;
    for (int32_t d = 0; d < r->p->head_dim; d++) {
        const double term = r->q[d] * element(r->p->dtype, &r->a->k, token, r->kv_head, d);
        dot += term;
        sum += fabs(term);
    }
    *weight = sum * (double)r->a->scale;
    return dot * (double)r->a->scale;
}

/* A NaN shows in the sums. */
static double find_max(const row_in *r)
{
    double max = -(double)INFINITY;
    double weight;
    for (int64_t j = 0; j < r->p->nk; j++) {
        const double s = logit(r, j, &weight);
        if (s > max) max = s;
    }
    return max;
}

/* Per key block: sums of p = exp(s - max), and of p a. */
static void add_keys(const row_in *r, double max, double *mass, double *cond)
{
    for (int32_t b = 0; b < r->p->mk; b++) {
        double sum      = 0.0;
        double weighted = 0.0;
        for (int32_t j = r->p->k_offset[b]; j < r->p->k_offset[b + 1]; j++) {
            double       weight;
            const double s = logit(r, j, &weight);
            const double p = s == -(double)INFINITY ? 0.0 : exp(s - max);
            sum += p;
            if (p != 0.0) weighted += p * weight; /* not 0 times infinity */
        }
        mass[b] = sum;
        if (cond != NULL) cond[b] = weighted;
    }
}

/* What sums relative to the maximum are multiplied with. */
static double norm_of(const filk_mass_args *a, int64_t at, double max, double sum, double lse)
{
    if (isnan(sum)) return sum;
    if (sum == 0.0) return 0.0;
    if (a->lse_in == NULL) return exp(max - lse);
    if (a->lse_in[at] == -INFINITY) return 0.0;
    return exp(max - (double)a->lse_in[at]);
}

void filk_mass_oracle_row(const filk_mass_problem *problem, const filk_mass_args *args, int64_t i,
                          int32_t h, double *mass, double *cond, double *lse)
{
    row_in r = {.p = problem, .a = args, .kv_head = h / (problem->heads / problem->kv_heads)};
    for (int32_t d = 0; d < problem->head_dim; d++)
        r.q[d] = element(problem->dtype, &args->q, i, h, d);
    const double max      = find_max(&r);
    double       sum      = 0.0;
    double       weighted = 0.0;
    add_keys(&r, max, mass, cond);
    for (int32_t b = 0; b < problem->mk; b++) {
        sum += mass[b];
        if (cond != NULL) weighted += cond[b];
    }
    *lse              = sum == 0.0 ? -(double)INFINITY : max + log(sum);
    const double norm = norm_of(args, h * problem->nq + i, max, sum, *lse);
    for (int32_t b = 0; b < problem->mk; b++) {
        if (cond != NULL) cond[b] = sum == 0.0 ? 0.0 : (cond[b] + mass[b] * weighted / sum) * norm;
        mass[b] *= norm;
    }
}

typedef struct run_state {
    const filk_mass_problem *p;
    const filk_mass_args    *a;
    double                  *sums; /* [threads][2][mk] */
} run_state;

static fil_status block_task(void *arg, int64_t index, int32_t worker)
{
    const run_state         *s     = arg;
    const filk_mass_problem *p     = s->p;
    const int32_t            head  = (int32_t)(index / p->mq);
    const int32_t            u     = (int32_t)(index % p->mq);
    double                  *total = s->sums + (size_t)worker * 2 * (size_t)p->mk;
    double                  *row   = total + p->mk;
    float                   *out   = s->a->mass + index * p->mk;
    for (int32_t b = 0; b < p->mk; b++)
        total[b] = 0.0;
    for (int64_t i = p->q_offset[u]; i < p->q_offset[u + 1]; i++) {
        double lse;
        filk_mass_oracle_row(p, s->a, i, head, row, NULL, &lse);
        for (int32_t b = 0; b < p->mk; b++)
            total[b] += row[b];
        if (s->a->lse_out != NULL) s->a->lse_out[head * p->nq + i] = (float)lse;
    }
    for (int32_t b = 0; b < p->mk; b++)
        out[b] = (float)total[b];
    return FIL_OK;
}

const char *filk_mass_any_row__ref_refuse(const void *problem)
{
    const filk_mass_problem *p = problem;
    if (p->dtype != FIL_BF16 && p->dtype != FIL_F32) return "takes bf16 and f32 only";
    return p->head_dim < 1 || p->head_dim > MAX_D ? "takes head dim 1 to 128" : NULL;
}

size_t filk_mass_any_row__ref_workspace(const void *problem, int32_t n_threads)
{
    const filk_mass_problem *p = problem;
    return sizeof(double) * 2 * (size_t)p->mk * (size_t)n_threads;
}

fil_status filk_mass_any_row__ref_run(fil_ctx *ctx, const void *problem, const void *args,
                                      void *workspace)
{
    const filk_mass_problem *p = problem;
    run_state                s = {.p = problem, .a = args, .sums = workspace};
    return fili_pool_run(ctx, "mass", (int64_t)p->heads * p->mq, block_task, &s);
}
