/* engine/measure_model.c: timing a pass through a model (measure_model.h). */
#include "base/mem.h"
#include "engine/measure_model.h"

#define BUDGET 2.0 /* seconds */
#define LEAST  3

typedef struct round {
    fili_model_parts parts;
    double           total, peak;
} round_times;

static fil_status one_round(fil_ctx *ctx, const fili_model_pass *pass, round_times *r)
{
    FIL_TRY(fili_check_cancel(ctx));
    FIL_TRY(pass->run(pass->user, &r->parts));
    r->total =
        r->parts.attention + r->parts.cross + r->parts.linear + r->parts.rest + r->parts.choose;
    return filk_peak_measure(ctx, filk_peak_find(ctx->isa, pass->dtype), &r->peak);
}

static int32_t choose_repetitions(int32_t wanted, double seconds)
{
    if (wanted > 0) return wanted;
    const double fit = BUDGET / (seconds + 10e-3);
    if (fit < LEAST) return LEAST;
    return fit > FILI_BENCH_REPETITIONS ? FILI_BENCH_REPETITIONS : (int32_t)fit;
}

/* By time, and the rates of the peak loop by themselves. */
static void sort(round_times *r, int32_t n)
{
    for (int32_t i = 1; i < n; i++)
        for (int32_t j = i; j > 0 && r[j - 1].total > r[j].total; j--) {
            const round_times t = r[j];
            r[j]                = r[j - 1];
            r[j - 1]            = t;
        }
    for (int32_t i = 1; i < n; i++)
        for (int32_t j = i; j > 0 && r[j - 1].peak > r[j].peak; j--) {
            const double t = r[j].peak;
            r[j].peak      = r[j - 1].peak;
            r[j - 1].peak  = t;
        }
}

static void take_median(fil_ctx *ctx, round_times *r, int32_t n, fil_bench_model_result *result)
{
    sort(r, n);
    const round_times *median = &r[(n - 1) / 2]; /* of an even number the faster of the middle */
    result->threads           = ctx->n_threads;
    result->repetitions       = n;
    result->seconds           = median->total;
    result->attention_seconds = median->parts.attention;
    result->cross_seconds     = median->parts.cross;
    result->linear_seconds    = median->parts.linear;
    result->rest_seconds      = median->parts.rest;
    result->choose_seconds    = median->parts.choose;
    result->tflops            = median->total > 0.0 ? result->flops / median->total * 1e-12 : 0.0;
    result->peak_tflops       = median->peak * 1e-12;
    result->peak_bytes        = ctx->memory.peak;
}

/* r: [n][FILI_BENCH_REPETITIONS]. The first round does not count. */
static fil_status run_rounds(fil_ctx *ctx, const fili_model_pass *passes, int32_t n, round_times *r,
                             int32_t *rounds)
{
    for (int32_t p = 0; p < n; p++)
        FIL_TRY(one_round(ctx, &passes[p], &r[(int64_t)p * FILI_BENCH_REPETITIONS]));
    *rounds = choose_repetitions(passes[0].repetitions, r[0].total);
    for (int32_t i = 0; i < *rounds; i++)
        for (int32_t p = 0; p < n; p++) {
            fili_progress(ctx, "bench", (uint64_t)i * (uint64_t)n + (uint64_t)p,
                          (uint64_t)*rounds * (uint64_t)n);
            FIL_TRY(one_round(ctx, &passes[p], &r[(int64_t)p * FILI_BENCH_REPETITIONS + i]));
        }
    return FIL_OK;
}

fil_status fili_bench_passes(fil_ctx *ctx, const fili_model_pass *passes, int32_t n,
                             fil_bench_model_result *results)
{
    const size_t bytes = (size_t)n * FILI_BENCH_REPETITIONS * sizeof(round_times);
    void        *block;
    int32_t      rounds = 0;
    FIL_TRY(fili_alloc(ctx, bytes, "bench", &block));
    const fil_status status = run_rounds(ctx, passes, n, block, &rounds);
    for (int32_t p = 0; p < n && status == FIL_OK; p++)
        take_median(ctx, (round_times *)block + (int64_t)p * FILI_BENCH_REPETITIONS, rounds,
                    &results[p]);
    fili_free(ctx, block, bytes);
    if (status == FIL_OK) fili_progress(ctx, "bench", (uint64_t)rounds, (uint64_t)rounds);
    return status;
}

fil_status fili_bench_pass(fil_ctx *ctx, const fili_model_pass *pass,
                           fil_bench_model_result *result)
{
    return fili_bench_passes(ctx, pass, 1, result);
}
