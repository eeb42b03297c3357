/* kernel/cpu/pooling_avx2.c: pooling in f32, in vectors of 256 bits that the compiler makes.
 * Compiled with its own flags and called only where the CPU has AVX2. Vectors of 512
 * bits were measured and are slower on Zen 4 (19 against 26 GB/s).
 *
 * A run is read token by token, all heads of a token at a time, so that memory is one stream; the
 * sums of all heads stay in the first-level cache. Only a run that holds a sink is read head by
 * head. Every channel is summed in the order of the tokens either way.
 */
#include <string.h>

#include "base/pool.h"
#include "kernel/cpu/attn_panels.h"
#include "kernel/pooling.h"
#include "tensor/convert.h"

#define RUN_GRAIN 4 /* runs of one task */

typedef struct run_state {
    const filk_pooling_problem *p;
    const filk_pooling_args    *a;
    const fili_convert_set     *convert;
    char                       *sums; /* [threads][heads * D] f32, padded */
    size_t                      sums_bytes;
} run_state;

static size_t sums_bytes(const filk_pooling_problem *p)
{
    return filk_padded(sizeof(float) * (size_t)p->heads * (size_t)p->head_dim);
}

static void add_f32(float *restrict sum, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += x[i];
}

static void add_bf16(float *restrict sum, const uint16_t *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)x[i] << 16;
        float          f;
        memcpy(&f, &bits, sizeof f);
        sum[i] += f;
    }
}

/* n elements from (token, head, 0) on. */
static void add(const run_state *s, float *sum, int64_t token, int32_t head, size_t n)
{
    if (s->p->dtype == FIL_F32)
        add_f32(sum, filk_row_at(&s->a->x, 4, token, head), n);
    else
        add_bf16(sum, filk_row_at(&s->a->x, 2, token, head), n);
}

static void sum_all(const run_state *s, float *sum, int64_t begin, int64_t end)
{
    const size_t  D       = (size_t)s->p->head_dim;
    const int     joined  = s->a->x.stride_h == s->p->head_dim;
    const int32_t n_parts = joined ? 1 : s->p->heads;
    const size_t  part    = joined ? (size_t)s->p->heads * D : D;
    for (int64_t i = begin; i < end; i++)
        for (int32_t h = 0; h < n_parts; h++)
            add(s, sum + (size_t)h * D, i, h, part);
}

/* Head h without its sinks, list[first .. last). */
static void sum_head(const run_state *s, float *sum, int64_t begin, int64_t end, int32_t h,
                     int32_t first, int32_t last)
{
    const size_t   D    = (size_t)s->p->head_dim;
    const int32_t *list = s->a->sinks != NULL ? s->a->sinks + h * s->a->sinks_stride_h : NULL;
    for (int64_t i = begin; i < end; i++) {
        if (first < last && list[first] == i)
            first++;
        else
            add(s, sum + (size_t)h * D, i, h, D);
    }
}

static void write_head(const run_state *s, float *sum, int32_t run, int32_t h, int32_t count)
{
    const filk_pooling_args *a  = s->a;
    const int32_t            D  = s->p->head_dim;
    const int64_t            at = ((int64_t)run * s->p->heads + h) * D;
    const float              n  = (float)(count > 0 ? count : 1);
    for (int32_t d = 0; d < D; d++)
        sum[d] /= n;
    if (a->out_f32 != NULL) memcpy(a->out_f32 + at, sum, sizeof(float) * (size_t)D);
    if (a->out_bf16 != NULL)
        fili_convert_row(s->convert, FIL_BF16, a->out_bf16 + at, FIL_F32, sum, (size_t)D);
    if (a->count != NULL) a->count[h * a->count_stride_h + run] = count;
}

/* Sinks of head h in [begin, end), and the first of them. */
static int32_t sinks_in(const run_state *s, int32_t h, int64_t begin, int64_t end, int32_t *first)
{
    *first = filk_pooling_sinks_below(s->a, h, begin);
    return filk_pooling_sinks_below(s->a, h, end) - *first;
}

static int has_sink(const run_state *s, int64_t begin, int64_t end)
{
    const int32_t lists = s->a->sinks == NULL ? 0 : s->a->sinks_stride_h == 0 ? 1 : s->p->heads;
    int32_t       first;
    for (int32_t h = 0; h < lists; h++)
        if (sinks_in(s, h, begin, end, &first) > 0) return 1;
    return 0;
}

static void pool_run(const run_state *s, float *sum, int32_t run)
{
    const int64_t begin = s->p->offset[run];
    const int64_t end   = s->p->offset[run + 1];
    const int     split = has_sink(s, begin, end);
    memset(sum, 0, s->sums_bytes);
    if (!split) sum_all(s, sum, begin, end);
    for (int32_t h = 0; h < s->p->heads; h++) {
        int32_t first = 0;
        int32_t n     = split ? sinks_in(s, h, begin, end, &first) : 0;
        if (split) sum_head(s, sum, begin, end, h, first, first + n);
        write_head(s, sum + (size_t)h * (size_t)s->p->head_dim, run, h, (int32_t)(end - begin) - n);
    }
}

static fil_status run_task(void *arg, int64_t index, int32_t worker)
{
    const run_state *s    = arg;
    const fili_range runs = fili_task_range(s->p->m, RUN_GRAIN, index);
    for (int64_t run = runs.begin; run < runs.end; run++)
        pool_run(s, (float *)(void *)(s->sums + (size_t)worker * s->sums_bytes), (int32_t)run);
    return FIL_OK;
}

const char *filk_pooling_any_run__avx2_refuse(const void *problem)
{
    const filk_pooling_problem *p = problem;
    return p->dtype != FIL_BF16 && p->dtype != FIL_F32 ? "takes bf16 and f32 only" : NULL;
}

size_t filk_pooling_any_run__avx2_workspace(const void *problem, int32_t n_threads)
{
    return sums_bytes(problem) * (size_t)n_threads;
}

fil_status filk_pooling_any_run__avx2_run(fil_ctx *ctx, const void *problem, const void *args,
                                          void *workspace)
{
    run_state s  = {.p = problem, .a = args, .sums = workspace};
    s.convert    = fili_convert_select(FILI_ISA_AVX2);
    s.sums_bytes = sums_bytes(problem);
    return fili_pool_run(ctx, "pooling", fili_task_count(s.p->m, RUN_GRAIN), run_task, &s);
}
