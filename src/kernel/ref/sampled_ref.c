/* kernel/ref/sampled_ref.c: attention of a few rows in parts as its definition says: the oracle.
 * Scalar, sums in f64, one row after the other. Slow on purpose.
 */
#include <math.h>

#include "kernel/ref/element.h"
#include "kernel/sampled.h"

typedef struct sample {
    const filk_sampled_problem *p;
    const filk_sampled_args    *a;
    int32_t                     r;
    double                      q[128];
} sample;

static double element(const sample *s, const filk_attn_view *x, int64_t token, int32_t d)
{
    return filk_ref_element(s->p->dtype, x->data,
                            token * x->stride_n + s->a->head * x->stride_h + d);
}

/* The logit is kept in share, rounded to f32 as it must be there. */
static float logit(const sample *s, int32_t j)
{
    double dot = 0.0;
    for (int32_t d = 0; d < s->p->head_dim; d++)
        dot += s->q[d] * element(s, &s->a->k, j, d);
    return (float)(dot * (double)s->a->scale);
}

static void share_out(const sample *s, int32_t n)
{
    float *share = s->a->share + s->r;
    float  top   = -INFINITY;
    double sum   = 0.0;
    for (int32_t j = 0; j < n; j++) {
        share[(int64_t)j * FILK_SAMPLED] = logit(s, j);
        if (!(share[(int64_t)j * FILK_SAMPLED] <= top)) top = share[(int64_t)j * FILK_SAMPLED];
    }
    if (top == -INFINITY) top = 0.0f;
    for (int32_t j = 0; j < n; j++)
        sum += exp((double)share[(int64_t)j * FILK_SAMPLED] - (double)top);
    s->a->lse[s->r] = (float)((double)top + log(sum));
    for (int32_t j = 0; j < n; j++) {
        float *x = share + (int64_t)j * FILK_SAMPLED;
        *x       = (float)(exp((double)*x - (double)top) / sum);
    }
}

static void sum_values(const sample *s, int32_t b)
{
    float *part = s->a->part + ((int64_t)b * FILK_SAMPLED + s->r) * s->p->head_dim;
    for (int32_t d = 0; d < s->p->head_dim; d++) {
        double sum = 0.0;
        for (int32_t j = s->p->offset[b]; j < s->p->offset[b + 1]; j++)
            sum +=
                (double)s->a->share[(int64_t)j * FILK_SAMPLED + s->r] * element(s, &s->a->v, j, d);
        part[d] = (float)sum;
    }
}

const char *filk_sampled_f32_row__ref_refuse(const void *problem)
{
    const filk_sampled_problem *p = problem;
    return p->head_dim < 1 || p->head_dim > 128 ? "takes head dim 1 to 128" : NULL;
}

size_t filk_sampled_f32_row__ref_workspace(const void *problem, int32_t n_threads)
{
    (void)problem;
    (void)n_threads;
    return 0;
}

fil_status filk_sampled_f32_row__ref_run(fil_ctx *ctx, const void *problem, const void *args,
                                         void *workspace)
{
    sample s = {.p = problem, .a = args};
    (void)ctx;
    (void)workspace;
    for (s.r = 0; s.r < FILK_SAMPLED; s.r++) {
        for (int32_t d = 0; d < s.p->head_dim; d++)
            s.q[d] = element(&s, &s.a->q, s.a->token[s.r], d);
        share_out(&s, s.p->offset[s.p->m]);
        for (int32_t b = 0; b < s.p->m; b++)
            sum_values(&s, b);
    }
    return FIL_OK;
}
