/* engine/measure_model.h: repetitions of a pass through a model, and its parts, for bench.
 *
 * Passes and the peak loop run in turn. The result has the median time and the parts of the
 * repetition that took it, so that they add up.
 */
#ifndef FILI_ENGINE_MEASURE_MODEL_H
#define FILI_ENGINE_MEASURE_MODEL_H

#include "engine/measure_run.h"

/* Seconds of one pass, by part; their sum is its time. */
typedef struct fili_model_parts {
    double attention, cross, linear, rest, choose;
} fili_model_parts;

typedef struct fili_model_pass {
    fil_status (*run)(void *user, fili_model_parts *parts);
    void     *user;
    fil_dtype dtype;       /* of the products, for the peak loop */
    int32_t   repetitions; /* 0: as many as fit */
} fili_model_pass;

/* n passes in turn, as often as the first one says. Fills seconds, parts, rates, threads,
 * repetitions and peak_bytes; results[i].flops is set. */
FIL_MUSTCHECK fil_status fili_bench_passes(fil_ctx *ctx, const fili_model_pass *passes, int32_t n,
                                           fil_bench_model_result *results);

/* One alone. */
FIL_MUSTCHECK fil_status fili_bench_pass(fil_ctx *ctx, const fili_model_pass *pass,
                                         fil_bench_model_result *result);

#endif
