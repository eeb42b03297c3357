/* kernel/ref/norm_ref.c: the norms as their definitions say: the oracle.
 *
 * Scalar, f64, inputs as they are, three passes over a row. It keeps one row in f64, which is its
 * workspace. Shipped, and every other row is measured against it.
 */
#include <math.h>

#include "base/pool.h"
#include "kernel/norm.h"
#include "tensor/convert.h"

static void load_row(const filk_norm_problem *p, const filk_norm_args *a, int64_t i, double *row)
{
    const int64_t size = (int64_t)fil_dtype_bits(p->dtype) / 8;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F64, row, p->dtype,
                     (const char *)a->x + i * a->x_stride * size, (size_t)p->dim);
}

typedef struct moments {
    double mean, inverse; /* inverse of the root */
    double mean_abs;
} moments;

static moments moments_of(const filk_norm_problem *p, double eps, const double *row)
{
    const double n      = (double)p->dim;
    moments      m      = {0.0, 0.0, 0.0};
    double       square = 0.0;
    if (p->kind != FILK_NORM_RMS)
        for (int64_t d = 0; d < p->dim; d++) {
            m.mean += row[d];
            m.mean_abs += fabs(row[d]);
        }
    m.mean /= n;
    m.mean_abs /= n;
    for (int64_t d = 0; d < p->dim; d++)
        square += (row[d] - m.mean) * (row[d] - m.mean);
    m.inverse = 1.0 / sqrt(square / n + eps);
    return m;
}

static void rotate(const filk_norm_problem *p, const filk_norm_args *a, int64_t i, double *out,
                   double *cond)
{
    const int64_t half = p->head_dim / 2;
    for (int64_t d = 0; d < p->dim; d += 2) {
        const double c  = (double)a->cos[i * half + d % p->head_dim / 2];
        const double s  = (double)a->sin[i * half + d % p->head_dim / 2];
        const double x0 = out[d];
        const double x1 = out[d + 1];
        const double c0 = cond[d];
        out[d]          = x0 * c - x1 * s;
        out[d + 1]      = x0 * s + x1 * c;
        cond[d]         = c0 * fabs(c) + cond[d + 1] * fabs(s);
        cond[d + 1]     = c0 * fabs(s) + cond[d + 1] * fabs(c);
    }
}

void filk_norm_oracle_row(const filk_norm_problem *problem, const filk_norm_args *args, int64_t i,
                          double *out, double *cond)
{
    const filk_norm_problem *p = problem;
    load_row(p, args, i, out);
    const moments m = moments_of(p, (double)args->eps, out);
    for (int64_t d = 0; d < p->dim; d++) {
        const double unit   = (out[d] - m.mean) * m.inverse;
        const double a      = (double)args->a[d];
        const double factor = p->kind == FILK_NORM_MODULATED ? 1.0 + a : a;
        const double shift  = p->kind == FILK_NORM_RMS ? 0.0 : (double)args->b[d];
        cond[d]             = (fabs(out[d]) + m.mean_abs) * m.inverse * fabs(factor) + fabs(shift);
        if (p->kind == FILK_NORM_MODULATED) cond[d] += fabs(unit);
        out[d] = unit * factor + shift;
        if (p->silu) { /* its slope is below 1.1 */
            cond[d] *= 1.1;
            out[d] /= 1.0 + exp(-out[d]);
        }
    }
    if (args->cos != NULL) rotate(p, args, i, out, cond);
}

const char *filk_norm_any_row__ref_refuse(const void *problem)
{
    const filk_norm_problem *p = problem;
    if (!fili_convert_has(p->dtype) || !fili_convert_has(p->out_dtype)) return "takes floats only";
    return NULL;
}

size_t filk_norm_any_row__ref_workspace(const void *problem, int32_t n_threads)
{
    const filk_norm_problem *p = problem;
    return (size_t)n_threads * (size_t)p->dim * 2 * sizeof(double);
}

typedef struct run_state {
    const filk_norm_problem *p;
    const filk_norm_args    *a;
    double                  *workspace;
} run_state;

static fil_status row_task(void *arg, int64_t i, int32_t worker)
{
    const run_state         *s    = arg;
    const filk_norm_problem *p    = s->p;
    double                  *out  = s->workspace + (int64_t)worker * p->dim * 2;
    const int64_t            size = (int64_t)fil_dtype_bits(p->out_dtype) / 8;
    filk_norm_oracle_row(p, s->a, i, out, out + p->dim);
    fili_convert_row(fili_convert_select(FILI_ISA_REF), p->out_dtype,
                     (char *)s->a->out + i * s->a->out_stride * size, FIL_F64, out, (size_t)p->dim);
    return FIL_OK;
}

fil_status filk_norm_any_row__ref_run(fil_ctx *ctx, const void *problem, const void *args,
                                      void *workspace)
{
    run_state s = {.p = problem, .a = args, .workspace = workspace};
    return fili_pool_run(ctx, "norm", s.p->rows, row_task, &s);
}
