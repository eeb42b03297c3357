/* engine/measure_run.c: rounds, medians and inputs of measurements (measure_run.h). The median of
 * an even number of values is the mean of the middle two.
 */
#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/rng.h"
#include "engine/measure_run.h"
#include "tensor/convert.h"

#define BUDGET 2.0 /* seconds */
#define LEAST  5

/* ---- rounds --------------------------------------------------------------------------------- */

static fil_status one_call(fil_ctx *ctx, const fili_bench_call *call, double *seconds)
{
    const double start = filk_seconds(ctx);
    if (call->row->plan != NULL)
        FIL_TRY(call->row->plan->run(ctx, call->problem, call->args, call->workspace));
    else
        FIL_TRY(call->row->run(ctx, call->problem, call->args, call->workspace));
    *seconds = filk_seconds(ctx) - start;
    return FIL_OK;
}

typedef struct round_times {
    double call[FILI_BENCH_RUNS];
    double peak;
} round_times;

static fil_status one_round(fil_ctx *ctx, const fili_bench_run *run, round_times *times)
{
    FIL_TRY(fili_check_cancel(ctx));
    for (int32_t i = 0; i < FILI_BENCH_RUNS; i++)
        if (run->call[i].row != NULL) FIL_TRY(one_call(ctx, &run->call[i], &times->call[i]));
    return filk_peak_measure(ctx, run->loop, &times->peak);
}

static void sort(double *values, int32_t n)
{
    for (int32_t i = 1; i < n; i++) {
        const double v = values[i];
        int32_t      j = i;
        for (; j > 0 && values[j - 1] > v; j--)
            values[j] = values[j - 1];
        values[j] = v;
    }
}

double fili_median(double *values, int32_t n)
{
    sort(values, n);
    return 0.5 * (values[(n - 1) / 2] + values[n / 2]);
}

static int32_t choose_repetitions(int32_t wanted, const round_times *first)
{
    double round = 10e-3;
    if (wanted > 0) return wanted;
    for (int32_t i = 0; i < FILI_BENCH_RUNS; i++)
        round += first->call[i];
    const double fit = BUDGET / round;
    if (fit < LEAST) return LEAST;
    return fit > FILI_BENCH_REPETITIONS ? FILI_BENCH_REPETITIONS : (int32_t)fit;
}

fil_status fili_bench_measure(fil_ctx *ctx, fili_bench_run *run)
{
    double      values[FILI_BENCH_RUNS + 1][FILI_BENCH_REPETITIONS];
    round_times times = {.peak = 0.0};
    FIL_TRY(one_round(ctx, run, &times));
    run->repetitions = choose_repetitions(run->repetitions, &times);
    for (int32_t r = 0; r < run->repetitions; r++) {
        fili_progress(ctx, "bench", (uint64_t)r, (uint64_t)run->repetitions);
        FIL_TRY(one_round(ctx, run, &times));
        for (int32_t i = 0; i < FILI_BENCH_RUNS; i++)
            values[i][r] = times.call[i];
        values[FILI_BENCH_RUNS][r] = times.peak;
    }
    for (int32_t i = 0; i < FILI_BENCH_RUNS; i++)
        run->seconds[i] = fili_median(values[i], run->repetitions);
    run->peak = fili_median(values[FILI_BENCH_RUNS], run->repetitions);
    fili_progress(ctx, "bench", (uint64_t)run->repetitions, (uint64_t)run->repetitions);
    return FIL_OK;
}

const filk_peak_loop *fili_bench_loop(const fil_ctx *ctx, const filk_row *row, fil_dtype dtype)
{
    const char *mark    = strstr(row->name, "__");
    const int   library = mark == NULL || fili_isa_from_name(mark + 2) < 0;
    /* A library chooses by the CPU, whatever FIL_ISA says. */
    return filk_peak_find(library ? fili_cpu_isa(ctx->os) : row->isa, dtype);
}

static double quotient(double a, double b)
{
    return b > 0.0 ? a / b : 0.0;
}

void fili_bench_fill(const fil_ctx *ctx, const fili_bench_run *run, fil_bench_result *result)
{
    result->kernel           = run->call[0].row->name;
    result->isa              = fili_isa_name(run->call[0].row->isa);
    result->peak             = run->loop->name;
    result->threads          = ctx->n_threads;
    result->repetitions      = run->repetitions;
    result->seconds          = run->seconds[0];
    result->tflops           = quotient(result->flops, run->seconds[0]) * 1e-12;
    result->peak_tflops      = run->peak * 1e-12;
    result->fraction_of_peak = quotient(result->tflops, result->peak_tflops);
}

/* ---- inputs --------------------------------------------------------------------------------- */

void fili_bench_normal(uint64_t seed, uint64_t stream, fil_dtype dtype, void *data, int64_t n,
                       float sigma)
{
    float         part[1024];
    const int64_t size = (int64_t)fil_dtype_bits(dtype) / 8;
    for (int64_t at = 0; at < n; at += 1024) {
        const int64_t count = n - at < 1024 ? n - at : 1024;
        fili_philox_normal(seed, stream, (uint64_t)at, part, count);
        for (int64_t i = 0; i < count; i++)
            part[i] *= sigma;
        fili_convert_row(fili_convert_select(FILI_ISA_REF), dtype, (char *)data + at * size,
                         FIL_F32, part, (size_t)count);
    }
}

/* ---- options and memory --------------------------------------------------------------------- */

fil_status fili_bench_take(fil_ctx *ctx, const char *what, void *dst, size_t dst_size,
                           const void *src)
{
    uint32_t size;
    if (fili_cpu_emulates(FILI_ISA_AMX))
        return FIL_FAIL(
            ctx, FIL_E_UNSUP,
            "this build emulates instruction sets, for tests: it cannot measure anything");
    memcpy(&size, src, sizeof size);
    FIL_CHECK(ctx, size >= sizeof size && size <= dst_size,
              "%s.struct_size is %u; %s_init sets it to %zu", what, size, what, dst_size);
    memcpy(dst, src, size);
    return FIL_OK;
}

fil_status fili_bench_range(fil_ctx *ctx, const char *name, int64_t value, int64_t low,
                            int64_t high)
{
    FIL_CHECK(ctx, value >= low && value <= high, "%s is %lld; expected %lld to %lld", name,
              (long long)value, (long long)low, (long long)high);
    return FIL_OK;
}

void fili_bench_plan(size_t *bytes, size_t count, size_t size)
{
    size_t piece;
    if (!fili_mul_size(count, size, &piece)) piece = SIZE_MAX;
    piece = fili_arena_piece(piece);
    if (!fili_add_size(*bytes, piece, bytes)) *bytes = SIZE_MAX;
}

fil_status fili_bench_piece(fili_arena *arena, size_t count, size_t size, void **out)
{
    return fili_arena_alloc(arena, count * size, out); /* fili_bench_plan has checked the product */
}

fil_status fili_bench_fix(fil_ctx *ctx, fili_arena *arena, size_t bytes)
{
    fili_arena_init(arena, ctx, "bench", 0);
    const fil_status status = fili_arena_fix(arena, bytes);
    if (status != FIL_OK) fili_error_frame(ctx, "taking %zu bytes for a measurement", bytes);
    return status;
}
