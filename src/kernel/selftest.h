/* kernel/selftest.h: does a row compute what its contract says, here and now?
 *
 * A few small seeded problems per family, chosen so that each corner of the contract is met once,
 * against the f64 oracle of the family. An element is judged by its class first (NaN, the sign of
 * an infinity), then by a tolerance that follows from its condition; the result is the largest
 * error in units of the tolerance, so that above 1 is a failure. Outputs and workspace are poisoned
 * before. A bad CPU, a miscompiled kernel or a library that changed show here; the checkers in
 * tests/ look much closer.
 */
#ifndef FILK_SELFTEST_H
#define FILK_SELFTEST_H

#include "base/arena.h"
#include "filigree/file.h"
#include "kernel/registry.h"

#define FILK_SELFTEST_TEXT 160

typedef struct filk_selftest_result {
    double error; /* in units of the tolerance; infinite: another class, or run failed */
    char   text[FILK_SELFTEST_TEXT]; /* where the error is above 1 first; else empty */
} filk_selftest_result;

/* Tests one row of a family of the registry that the context can run. E_NOMEM, E_CANCELLED; FIL_OK
 * where the row fails. */
FIL_MUSTCHECK fil_status filk_selftest(fil_ctx *ctx, const filk_family *family, const filk_row *row,
                                       filk_selftest_result *result);

/* ---- for the tests of each family ----------------------------------------------------------- */

/* One row under test. Memory of a problem lives in `arena` until the next filk_st_begin. */
typedef struct filk_st {
    fil_ctx              *ctx;
    const filk_row       *row;
    fili_arena            arena;
    filk_selftest_result *result;
    const char           *problem; /* names the one under way; static storage */
    uint64_t              seed, next;
} filk_st;

fil_status filk_selftest_attention(filk_st *st);
fil_status filk_selftest_mass(filk_st *st);
fil_status filk_selftest_pooling(filk_st *st);
fil_status filk_selftest_linear(filk_st *st);
fil_status filk_selftest_norm(filk_st *st);
fil_status filk_selftest_select(filk_st *st);
fil_status filk_selftest_sampled(filk_st *st);
fil_status filk_selftest_conv3d(filk_st *st);

/* Begins a problem: frees the last one's memory and restarts the random numbers. E_CANCELLED. */
FIL_MUSTCHECK fil_status filk_st_begin(filk_st *st, const char *problem, uint64_t seed);

/* Uniform in [low, high]. */
int32_t filk_st_between(filk_st *st, int32_t low, int32_t high);

/* Memory; elements of a type: normal times sigma, or all bits 1 (NaN) for outputs. */
FIL_MUSTCHECK fil_status filk_st_alloc(filk_st *st, size_t count, size_t size, void **out);
FIL_MUSTCHECK fil_status filk_st_normal(filk_st *st, fil_dtype dtype, int64_t count, double sigma,
                                        void **out);
FIL_MUSTCHECK fil_status filk_st_output(filk_st *st, fil_dtype dtype, int64_t count, void **out);

/* Offsets [m + 1] of ragged runs of 1 to 64 over n tokens. */
FIL_MUSTCHECK fil_status filk_st_runs(filk_st *st, int32_t n, int32_t **offset, int32_t *m);

double filk_st_get(fil_dtype dtype, const void *data, int64_t at);
void   filk_st_set(fil_dtype dtype, void *data, int64_t at, double value);

/* Unit roundoff of a type, and of the row's sums (f64 in reference rows, else f32). */
double filk_st_roundoff(fil_dtype dtype);
double filk_st_sum_roundoff(const filk_row *row);

/* Runs a row that needs no plan, with poisoned workspace. A failure of the row is a result, not a
 * status: *ran tells. */
FIL_MUSTCHECK fil_status filk_st_run(filk_st *st, const void *problem, const void *args, int *ran);

/* The same for a row with a plan. `weight` is packed before where the plan packs; *packed then
 * points to a place in args that gets the packed weights. */
FIL_MUSTCHECK fil_status filk_st_run_plan(filk_st *st, const void *problem, const void *args,
                                          const void *weight, const void **packed, int *ran);

/* Judges one element, element (a, b, c) of `what`. */
void filk_st_value(filk_st *st, const char *what, const int64_t at[3], double got, double want,
                   double tolerance);

#endif
