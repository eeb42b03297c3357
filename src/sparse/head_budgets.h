/* sparse/head_budgets.h: how much each head of a layer may compute, so that the squared error of
 * all together is least at the mean density asked for.
 *
 * Each head has a profile: its squared output error at some densities, measured on sampled rows.
 * Between them its logarithm is straight; the lower convex hull of that is what a head can be
 * bought down to, and shares of density go where they buy most, until the slopes are equal.
 * Source: own study (docs/design/policy_auto.md).
 */
#ifndef FILI_SPARSE_HEAD_BUDGETS_H
#define FILI_SPARSE_HEAD_BUDGETS_H

#include "base/arena.h"

/* Measured densities, in shares of the one asked for, and the steps of a budget between the first
 * and the last. */
enum { FILI_PROFILE = 8, FILI_BUDGET_STEPS = 480 };
extern const double fili_profile_share[FILI_PROFILE];

typedef struct fili_head_budgets {
    int32_t  heads;
    double  *curve; /* [heads, FILI_BUDGET_STEPS + 1] */
    int32_t *step;  /* [heads] */
} fili_head_budgets;

FIL_MUSTCHECK fil_status fili_head_budgets_init(fili_head_budgets *out, fili_arena *arena,
                                                int32_t heads);

/* error: [heads, FILI_PROFILE], in any unit; a NaN makes its head one that nothing is gained on.
 * least: no head gets less. Fills budget[heads], whose mean is at most `density`, up to 1 each;
 * returns the error that is left by the profiles. */
double fili_head_budgets_run(fili_head_budgets *b, const double *error, double density,
                             double least, double *budget);

/* A profile at a density: between the measured ones its logarithm is straight. */
double fili_profile_at(const double *profile, double density, double asked);

#endif
