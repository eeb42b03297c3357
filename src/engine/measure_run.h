/* engine/measure_run.h: what the measurements of filigree/bench.h share: repetitions in turn,
 * medians, inputs, options.
 *
 * A measurement lists what is to be run; the peak loop is one more entry. Every repetition runs all
 * of them once, so that a slow second of the machine falls on each alike; one round before counts
 * for nothing but the number of repetitions.
 */
#ifndef FILI_ENGINE_MEASURE_RUN_H
#define FILI_ENGINE_MEASURE_RUN_H

#include "base/arena.h"
#include "filigree/bench.h"
#include "kernel/cpu/peak.h"

#define FILI_BENCH_REPETITIONS 99
#define FILI_BENCH_RUNS        2

/* One kernel call, ready to be made: a row that is called with its problem, or with its plan. */
typedef struct fili_bench_call {
    const filk_row *row;
    const void     *problem; /* or the plan, where row->plan is set */
    const void     *args;
    void           *workspace;
} fili_bench_call;

typedef struct fili_bench_run {
    fili_bench_call       call[FILI_BENCH_RUNS]; /* row NULL: not run */
    const filk_peak_loop *loop;
    int32_t               repetitions; /* wanted; 0 = as many as fit */

    double seconds[FILI_BENCH_RUNS]; /* medians */
    double peak;                     /* operations per second; median */
} fili_bench_run;

FIL_MUSTCHECK fil_status fili_bench_measure(fil_ctx *ctx, fili_bench_run *run);

/* The loop that a row is measured by: its own instruction set; a library's row may use all that the
 * context has. */
const filk_peak_loop *fili_bench_loop(const fil_ctx *ctx, const filk_row *row, fil_dtype dtype);

/* Kernel, times and rates of call[0], which has result->flops operations. */
void fili_bench_fill(const fil_ctx *ctx, const fili_bench_run *run, fil_bench_result *result);

/* Standard normal values times `sigma`. */
void fili_bench_normal(uint64_t seed, uint64_t stream, fil_dtype dtype, void *data, int64_t n,
                       float sigma);

/* Copies a caller's struct over the defaults in dst, as far as it goes. */
FIL_MUSTCHECK fil_status fili_bench_take(fil_ctx *ctx, const char *what, void *dst, size_t dst_size,
                                         const void *src);

/* E_ARG unless low <= value <= high. */
FIL_MUSTCHECK fil_status fili_bench_range(fil_ctx *ctx, const char *name, int64_t value,
                                          int64_t low, int64_t high);

/* Adds count * size bytes to a plan; saturates at SIZE_MAX. */
void fili_bench_plan(size_t *bytes, size_t count, size_t size);

/* A piece of a fixed arena that fili_bench_plan has counted. */
FIL_MUSTCHECK fil_status fili_bench_piece(fili_arena *arena, size_t count, size_t size, void **out);

/* Fixes the arena to the plan, with a message that names the sum. */
FIL_MUSTCHECK fil_status fili_bench_fix(fil_ctx *ctx, fili_arena *arena, size_t bytes);

/* Of n values, which get sorted; of an even number the mean of the middle two. */
double fili_median(double *values, int32_t n);

#endif
