/* kernel/selftest.c: what the self-tests of all families share (selftest.h): memory, seeded
 * numbers, running a row, judging an element. The problems are in selftest_<family>.c.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/attention.h"
#include "kernel/conv3d.h"
#include "kernel/linear.h"
#include "kernel/mass.h"
#include "kernel/norm.h"
#include "kernel/pooling.h"
#include "kernel/sampled.h"
#include "kernel/select.h"
#include "kernel/selftest.h"
#include "tensor/convert.h"

#define POISON 0xFF

static const struct {
    const filk_family *family;
    fil_status (*test)(filk_st *st);
} tests[] = {{&filk_attention, filk_selftest_attention}, {&filk_mass, filk_selftest_mass},
             {&filk_pooling, filk_selftest_pooling},     {&filk_linear, filk_selftest_linear},
             {&filk_norm, filk_selftest_norm},           {&filk_conv3d, filk_selftest_conv3d},
             {&filk_selection, filk_selftest_select},    {&filk_sampled, filk_selftest_sampled}};

fil_status filk_selftest(fil_ctx *ctx, const filk_family *family, const filk_row *row,
                         filk_selftest_result *result)
{
    *result    = (filk_selftest_result){.error = 0.0};
    filk_st st = {.ctx = ctx, .row = row, .result = result, .problem = ""};
    fili_arena_init(&st.arena, ctx, "self-test", (size_t)1 << 20);
    fil_status status = FIL_FAIL(ctx, FIL_E_INTERNAL, "there is no self-test for %s", family->name);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (tests[i].family == family) {
            fili_ctx_enter(ctx);
            status = tests[i].test(&st);
        }
    fili_arena_fini(&st.arena);
    return status;
}

fil_status filk_st_begin(filk_st *st, const char *problem, uint64_t seed)
{
    fili_arena_fini(&st->arena);
    fili_arena_init(&st->arena, st->ctx, "self-test", (size_t)1 << 20);
    st->problem = problem;
    st->seed    = seed;
    st->next    = 0;
    return fili_check_cancel(st->ctx);
}

/* ---- numbers and memory --------------------------------------------------------------------- */

int32_t filk_st_between(filk_st *st, int32_t low, int32_t high)
{
    const uint64_t u = fili_philox_u32(st->seed, 0, st->next++);
    return low + (int32_t)(u * ((uint64_t)(high - low) + 1) >> 32);
}

fil_status filk_st_alloc(filk_st *st, size_t count, size_t size, void **out)
{
    return fili_arena_calloc(&st->arena, count, size, out);
}

fil_status filk_st_normal(filk_st *st, fil_dtype dtype, int64_t count, double sigma, void **out)
{
    float        part[1024];
    const size_t size = fil_dtype_bits(dtype) / 8;
    FIL_TRY(filk_st_alloc(st, (size_t)count, size, out));
    for (int64_t at = 0; at < count; at += 1024) {
        const int64_t n = count - at < 1024 ? count - at : 1024;
        fili_philox_normal(st->seed, 1, st->next, part, n);
        st->next += (uint64_t)n;
        for (int64_t i = 0; i < n; i++)
            part[i] *= (float)sigma;
        fili_convert_row(fili_convert_select(FILI_ISA_REF), dtype,
                         (char *)*out + at * (int64_t)size, FIL_F32, part, (size_t)n);
    }
    return FIL_OK;
}

fil_status filk_st_output(filk_st *st, fil_dtype dtype, int64_t count, void **out)
{
    const size_t size = fil_dtype_bits(dtype) / 8;
    FIL_TRY(filk_st_alloc(st, (size_t)count, size, out));
    memset(*out, POISON, (size_t)count * size);
    return FIL_OK;
}

fil_status filk_st_runs(filk_st *st, int32_t n, int32_t **offset, int32_t *m)
{
    void *block;
    FIL_TRY(filk_st_alloc(st, (size_t)n + 1, sizeof(int32_t), &block));
    *offset = block;
    *m      = 0;
    for (int32_t at = 0; at < n;) {
        at += filk_st_between(st, 1, 64);
        (*offset)[++*m] = at < n ? at : n;
    }
    return FIL_OK;
}

double filk_st_get(fil_dtype dtype, const void *data, int64_t at)
{
    double        value;
    const int64_t size = (int64_t)fil_dtype_bits(dtype) / 8;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F64, &value, dtype,
                     (const char *)data + at * size, 1);
    return value;
}

void filk_st_set(fil_dtype dtype, void *data, int64_t at, double value)
{
    const int64_t size = (int64_t)fil_dtype_bits(dtype) / 8;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), dtype, (char *)data + at * size, FIL_F64,
                     &value, 1);
}

double filk_st_roundoff(fil_dtype dtype)
{
    return dtype == FIL_BF16 ? 0x1p-8 : 0x1p-24;
}

double filk_st_sum_roundoff(const filk_row *row)
{
    return row->isa == FILI_ISA_REF ? 0x1p-53 : 0x1p-24;
}

/* ---- running -------------------------------------------------------------------------------- */

static fil_status workspace(filk_st *st, size_t bytes, void **out)
{
    FIL_TRY(filk_st_alloc(st, bytes, 1, out));
    if (bytes > 0) memset(*out, POISON, bytes);
    return FIL_OK;
}

/* A row's own failure is its result; what the machine lacks or the caller wants is a status. */
static fil_status judge_run(filk_st *st, fil_status status, int *ran)
{
    *ran = status == FIL_OK;
    if (status == FIL_OK || status == FIL_E_NOMEM || status == FIL_E_CANCELLED) return status;
    if (st->result->text[0] == '\0')
        snprintf(st->result->text, sizeof st->result->text, "%s: %.120s", st->problem,
                 fil_ctx_error(st->ctx)->message);
    st->result->error = (double)INFINITY;
    fili_ctx_enter(st->ctx);
    return FIL_OK;
}

fil_status filk_st_run(filk_st *st, const void *problem, const void *args, int *ran)
{
    void *space;
    FIL_TRY(workspace(st, st->row->workspace(problem, st->ctx->n_threads), &space));
    return judge_run(st, st->row->run(st->ctx, problem, args, space), ran);
}

static fil_status run_plan(filk_st *st, const void *plan, const void *args, const void *weight,
                           const void **packed)
{
    const filk_plan_ops *ops   = st->row->plan;
    const size_t         bytes = ops->packed_bytes(plan);
    void                *space;
    void                *copy;
    FIL_TRY(workspace(st, ops->workspace(plan), &space));
    if (bytes > 0) {
        FIL_TRY(workspace(st, bytes, &copy));
        FIL_TRY(ops->pack(st->ctx, plan, weight, copy, space));
        *packed = copy;
    }
    return ops->run(st->ctx, plan, args, space);
}

fil_status filk_st_run_plan(filk_st *st, const void *problem, const void *args, const void *weight,
                            const void **packed, int *ran)
{
    const filk_plan_ops *ops    = st->row->plan;
    void                *plan   = NULL;
    fil_status           status = ops->create(st->ctx, problem, &plan);
    if (status == FIL_OK) status = run_plan(st, plan, args, weight, packed);
    ops->destroy(st->ctx, &plan);
    return judge_run(st, status, ran);
}

/* ---- judging -------------------------------------------------------------------------------- */

/* Error in units of the tolerance. Finite values alone have a distance; a NaN in the tolerance is
 * an error of the test and infinite too. */
static double error_of(double got, double want, double tolerance)
{
    if (isnan(want)) return isnan(got) ? 0.0 : (double)INFINITY;
    if (isinf(want) || !isfinite(got)) return got == want ? 0.0 : (double)INFINITY;
    if (got == want && tolerance >= 0.0) return 0.0;
    if (!(tolerance > 0.0)) return (double)INFINITY;
    return fabs(got - want) / tolerance;
}

void filk_st_value(filk_st *st, const char *what, const int64_t at[3], double got, double want,
                   double tolerance)
{
    filk_selftest_result *r     = st->result;
    const double          error = error_of(got, want, tolerance);
    if (error > r->error) r->error = error;
    if (error > 1.0 && r->text[0] == '\0')
        snprintf(r->text, sizeof r->text,
                 "%s: %s[%lld, %lld, %lld] is %.9g, expected %.9g within %.2g", st->problem, what,
                 (long long)at[0], (long long)at[1], (long long)at[2], got, want, tolerance);
}
