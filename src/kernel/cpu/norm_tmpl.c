/* kernel/cpu/norm_tmpl.c: the norms of kernel/norm.h. Included, not compiled: the including file
 * brings the vector operations and names the row (NORM_STEM).
 *
 * A row is read three times (mean, variance, result) and twice for RMS: it lies in the L1 cache
 * then, up to 8192 elements of f32, and the traffic with memory is one read and one write. Four
 * accumulators; their order of addition depends on the width of a vector alone.
 */
#include <math.h>

#include "base/pool.h"
#include "kernel/cpu/activation.h"
#include "kernel/cpu/lanes.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

enum { GRAIN = 16 }; /* rows of a task */

INLINE vf add_term(vf sum, vf v, int squares)
{
    if (squares) return vf_fma(v, v, sum);
    return sum + v;
}

/* Sum of x, or of (x - mean)^2. */
INLINE float sum_of(const void *x, int bf16, int64_t dim, int squares, float mean)
{
    const vf m      = vf_set1(mean);
    vf       acc[4] = {vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f), vf_set1(0.0f)};
    int64_t  i      = 0;
    for (; i + 4 * VF_LANES <= dim; i += 4 * VF_LANES)
        for (int k = 0; k < 4; k++) {
            const vf v = get(x, bf16, i + k * VF_LANES, VF_LANES) - m;
            acc[k]     = add_term(acc[k], v, squares);
        }
    for (; i < dim; i += VF_LANES) {
        const int64_t n = dim - i;
        vf            v = get(x, bf16, i, n < VF_LANES ? n : VF_LANES) - m;
        if (n < VF_LANES) v = vf_first(v, n);
        acc[0] = add_term(acc[0], v, squares);
    }
    return vf_sum((acc[0] + acc[1]) + (acc[2] + acc[3]));
}

typedef struct norm_row {
    const void  *x;
    void        *out;
    const float *cos, *sin;
} norm_row;

INLINE void layer_norm(const filk_norm_problem *p, const filk_norm_args *a, const norm_row *r,
                       int bf16, int bf16_out, int modulated)
{
    const float n        = (float)p->dim;
    const float mean     = sum_of(r->x, bf16, p->dim, 0, 0.0f) / n;
    const float variance = sum_of(r->x, bf16, p->dim, 1, mean) / n;
    const vf    inverse  = vf_set1(1.0f / sqrtf(variance + a->eps));
    const vf    m        = vf_set1(mean);
    const vf    one      = vf_set1(modulated ? 1.0f : 0.0f);
    for (int64_t i = 0; i < p->dim; i += VF_LANES) {
        const int64_t left   = p->dim - i;
        const int64_t lanes  = left < VF_LANES ? left : VF_LANES;
        const vf      unit   = (get(r->x, bf16, i, lanes) - m) * inverse;
        const vf      factor = get(a->a, 0, i, lanes) + one;
        put(r->out, bf16_out, i, lanes, vf_fma(unit, factor, get(a->b, 0, i, lanes)));
    }
}

INLINE void rms_norm(const filk_norm_problem *p, const filk_norm_args *a, const norm_row *r,
                     int bf16, int bf16_out, int silu)
{
    const float square  = sum_of(r->x, bf16, p->dim, 1, 0.0f) / (float)p->dim;
    const vf    inverse = vf_set1(1.0f / sqrtf(square + a->eps));
    for (int64_t i = 0; i < p->dim; i += VF_LANES) {
        const int64_t left  = p->dim - i;
        const int64_t lanes = left < VF_LANES ? left : VF_LANES;
        vf            v     = get(r->x, bf16, i, lanes) * inverse * get(a->a, 0, i, lanes);
        if (silu) v = activated(v, FILK_ACT_SILU);
        put(r->out, bf16_out, i, lanes, v);
    }
}

INLINE void rms_norm_rope(const filk_norm_problem *p, const filk_norm_args *a, const norm_row *r,
                          int bf16, int bf16_out)
{
    const float square  = sum_of(r->x, bf16, p->dim, 1, 0.0f) / (float)p->dim;
    const vf    inverse = vf_set1(1.0f / sqrtf(square + a->eps));
    for (int64_t head = 0; head < p->dim; head += p->head_dim)
        for (int64_t d = 0; d < p->head_dim; d += VF_LANES) {
            const vf v = get(r->x, bf16, head + d, VF_LANES) * inverse * vf_load(a->a + head + d);
            const vf c = vf_load_twice(r->cos + d / 2);
            const vf s = vf_load_twice(r->sin + d / 2);
            put(r->out, bf16_out, head + d, VF_LANES, vf_fmaddsub(v, c, vf_swap_pairs(v) * s));
        }
}

INLINE void norm_of(const filk_norm_problem *p, const filk_norm_args *a, const norm_row *r,
                    int bf16, int bf16_out)
{
    if (p->kind != FILK_NORM_RMS)
        layer_norm(p, a, r, bf16, bf16_out, p->kind == FILK_NORM_MODULATED);
    else if (r->cos != NULL)
        rms_norm_rope(p, a, r, bf16, bf16_out);
    else if (p->silu)
        rms_norm(p, a, r, bf16, bf16_out, 1);
    else
        rms_norm(p, a, r, bf16, bf16_out, 0);
}

typedef struct run_state {
    const filk_norm_problem *p;
    const filk_norm_args    *a;
} run_state;

static fil_status rows_task(void *arg, int64_t task, int32_t worker)
{
    const run_state         *s        = arg;
    const filk_norm_problem *p        = s->p;
    const filk_norm_args    *a        = s->a;
    const fili_range         range    = fili_task_range(p->rows, GRAIN, task);
    const int                bf16     = p->dtype == FIL_BF16;
    const int                bf16_out = p->out_dtype == FIL_BF16;
    (void)worker;
    for (int64_t i = range.begin; i < range.end; i++) {
        norm_row r = {.x   = (const char *)a->x + i * a->x_stride * (bf16 ? 2 : 4),
                      .out = (char *)a->out + i * a->out_stride * (bf16_out ? 2 : 4)};
        if (a->cos != NULL) {
            r.cos = a->cos + i * (p->head_dim / 2);
            r.sin = a->sin + i * (p->head_dim / 2);
        }
        if (bf16 && bf16_out)
            norm_of(p, a, &r, 1, 1);
        else if (bf16)
            norm_of(p, a, &r, 1, 0);
        else if (bf16_out)
            norm_of(p, a, &r, 0, 1);
        else
            norm_of(p, a, &r, 0, 0);
    }
    return FIL_OK;
}

const char *JOIN(NORM_STEM, _refuse)(const void *problem)
{
    const filk_norm_problem *p = problem;
    if ((p->dtype != FIL_BF16 && p->dtype != FIL_F32) ||
        (p->out_dtype != FIL_BF16 && p->out_dtype != FIL_F32))
        return "takes bf16 and f32 only";
    return p->head_dim % VF_LANES != 0 ? "takes heads of whole vectors only" : NULL;
}

size_t JOIN(NORM_STEM, _workspace)(const void *problem, int32_t n_threads)
{
    (void)problem;
    (void)n_threads;
    return 0;
}

fil_status JOIN(NORM_STEM, _run)(fil_ctx *ctx, const void *problem, const void *args,
                                 void *workspace)
{
    run_state s = {.p = problem, .a = args};
    (void)workspace;
    return fili_pool_run(ctx, "norm", fili_task_count(s.p->rows, GRAIN), rows_task, &s);
}
