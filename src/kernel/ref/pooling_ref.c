/* kernel/ref/pooling_ref.c: means over runs as the definition says: scalar, f64 sums. Slow on
 * purpose; it is shipped, and every other row is measured against it.
 */
#include <string.h>

#include "base/pool.h"
#include "kernel/pooling.h"
#include "tensor/convert.h"

typedef struct run_state {
    const filk_pooling_problem *p;
    const filk_pooling_args    *a;
} run_state;

static double element(const run_state *s, int64_t token, int32_t head, int32_t d)
{
    const int64_t at = token * s->a->x.stride_n + head * s->a->x.stride_h + d;
    float         f;
    uint16_t      half;
    if (s->p->dtype == FIL_F32) {
        memcpy(&f, (const char *)s->a->x.data + at * 4, sizeof f);
        return (double)f;
    }
    memcpy(&half, (const char *)s->a->x.data + at * 2, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static int is_sink(const filk_pooling_args *a, int32_t head, int64_t token)
{
    return filk_pooling_sinks_below(a, head, token + 1) > filk_pooling_sinks_below(a, head, token);
}

static double mean(const run_state *s, int32_t run, int32_t head, int32_t d, int32_t *count)
{
    double sum = 0.0;
    *count     = 0;
    for (int64_t i = s->p->offset[run]; i < s->p->offset[run + 1]; i++) {
        if (is_sink(s->a, head, i)) continue;
        sum += element(s, i, head, d);
        ++*count;
    }
    return *count > 0 ? sum / *count : 0.0;
}

static fil_status run_task(void *arg, int64_t index, int32_t worker)
{
    const run_state         *s   = arg;
    const filk_pooling_args *a   = s->a;
    const int32_t            run = (int32_t)index;
    (void)worker;
    for (int32_t h = 0; h < s->p->heads; h++) {
        int32_t count = 0;
        for (int32_t d = 0; d < s->p->head_dim; d++) {
            const int64_t at = (index * s->p->heads + h) * s->p->head_dim + d;
            const double  x  = mean(s, run, h, d, &count);
            if (a->out_f32 != NULL) a->out_f32[at] = (float)x;
            if (a->out_bf16 != NULL)
                fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, a->out_bf16 + at,
                                 FIL_F64, &x, 1);
        }
        if (a->count != NULL) a->count[h * a->count_stride_h + run] = count;
    }
    return FIL_OK;
}

const char *filk_pooling_any_run__ref_refuse(const void *problem)
{
    const filk_pooling_problem *p = problem;
    return p->dtype != FIL_BF16 && p->dtype != FIL_F32 ? "takes bf16 and f32 only" : NULL;
}

size_t filk_pooling_any_run__ref_workspace(const void *problem, int32_t n_threads)
{
    (void)problem;
    (void)n_threads;
    return 0;
}

fil_status filk_pooling_any_run__ref_run(fil_ctx *ctx, const void *problem, const void *args,
                                         void *workspace)
{
    run_state s = {.p = problem, .a = args};
    (void)workspace;
    return fili_pool_run(ctx, "pooling", s.p->m, run_task, &s);
}
