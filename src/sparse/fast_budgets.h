/* sparse/fast_budgets.h: which level each map gets (FAST), from profiles.
 *
 * ScalingAttention (arXiv 2606.23019), section 4.2, as scaling_dfs.md 1.4 corrects it. The profile
 * of a head says, for each level, what density and what fidelity its mask has: 1 - Hellinger
 * distance between a row of attention and what the mask keeps of it, from block masses of a few
 * sampled rows. The target falls from 1 at the first step and layer to 1 - beta at the last:
 *
 *     F(layer, step) = beta (1 - x)^gamma + 1 - beta,  x = (layer + omega step) / (L + omega S)
 *
 * and each head takes the smallest level that reaches it; beta is searched so that the whole run
 * has the density that was asked for. Two other ways share the interface: `uniform` gives every map
 * the same density (the control), `error` gives density where a profile of output errors falls most
 * (equal slope over heads, layers and steps: auto's way).
 */
#ifndef FILI_SPARSE_FAST_BUDGETS_H
#define FILI_SPARSE_FAST_BUDGETS_H

#include "sparse/blocks.h"

/* ---- profiles of one head ------------------------------------------------------------------- */

/* What a kept mass m of a row is worth: 1 - sqrt(1 - sqrt m) with the kept part renormalised, 1 -
 * sqrt((1 - m) / 2) as it is. */
typedef enum { FILI_FIDELITY_RENORM, FILI_FIDELITY_RAW } fili_fidelity;

/* Masses of single query tokens, softmax over all keys: each row sums to 1. */
typedef struct fili_row_masses {
    const float   *mass;  /* [n, m] */
    const int32_t *block; /* [n] query block of the row */
    int32_t        n;
} fili_row_masses;

/* density[n_levels]: kept token pairs over all pairs if blocks of at most that level are kept.
 * map: [m, m] over `blocks` on both sides. */
void fili_profile_density(const uint8_t *map, const fili_blocks *blocks, int32_t n_levels,
                          double *density);

/* fidelity[n_levels]: mean over the rows. Kept masses are not divided by a row's total. */
void fili_profile_fidelity(const uint8_t *map, int32_t m, const fili_row_masses *rows,
                           fili_fidelity kind, int32_t n_levels, double *fidelity);

/* ---- profiles of a run ---------------------------------------------------------------------- */

/* All [layers, steps, passes, heads, levels]. */
typedef struct fili_profile {
    int32_t      layers, steps, passes, heads, levels;
    const float *density, *fidelity;
    const float *error; /* NULL = none: then there are no budgets by error */
} fili_profile;

typedef struct fili_surface {
    double beta, gamma, omega;
} fili_surface;

double fili_surface_at(const fili_surface *surface, int32_t layer, int32_t layers, int32_t step,
                       int32_t steps);

/* Smallest level whose fidelity reaches the target, the last if none does. A target within 1e-6 of
 * 1 takes the last: fidelity is not tested against 1, where a rounding of 1e-10 in a mass moves it
 * by 1e-5. */
int32_t fili_level_for_fidelity(const float *fidelity, int32_t n_levels, double target);

/* The largest level whose density is not above `density`, the first if there is none. */
int32_t fili_level_for_density(const float *density, int32_t n_levels, double most);

/* ---- budgets -------------------------------------------------------------------------------- */

/* budget: a level per map, [layers, steps, passes, heads]. */
double fili_budgets_density(const fili_profile *profile, const uint8_t *budget);
double fili_budgets_fidelity(const fili_profile *profile, const uint8_t *budget);

void fili_budgets_at(const fili_profile *profile, const fili_surface *surface, uint8_t *budget);

typedef enum { FILI_BUDGETS_UNIFORM, FILI_BUDGETS_FAST, FILI_BUDGETS_ERROR } fili_budgets_kind;

/* "uniform", "fast", "error"; -1 if it is none. */
int         fili_budgets_from_name(const char *name);
const char *fili_budgets_name(fili_budgets_kind kind);

typedef struct fili_budgets_wish {
    fili_budgets_kind kind;
    double            density;   /* of the whole run, 0 < density <= 1; or 0, and then: */
    double            fidelity;  /* mean over all maps, 0 < fidelity <= 1 */
    double            gamma;     /* of fast: 2 */
    double            gamma_max; /* raised up to this where beta = 1 is still too dense */
    double            omega;     /* 1 */
} fili_budgets_wish;

/* fast, gamma 2, at most 256, omega 1; density 0. */
void fili_budgets_wish_init(fili_budgets_wish *wish);

typedef struct fili_budgets_result {
    double       density, fidelity; /* of the budgets found */
    bool         reachable;         /* false: nothing is as sparse as was asked for */
    fili_surface surface;           /* of fast, else zero */
} fili_budgets_result;

/* The largest whole density not above the wish, or the smallest whose fidelity is not below it.
 * Where no budget is sparse enough, the sparsest that the way knows, and reachable is false.
 * E_ARG: a wish outside its range, neither or both given, error without a profile of it. */
FIL_MUSTCHECK fil_status fili_budgets_find(fil_ctx *ctx, const fili_profile *profile,
                                           const fili_budgets_wish *wish, uint8_t *budget,
                                           fili_budgets_result *result);

/* The same for one call alone, a profile of one layer and one step, for a density: uniform and
 * error as above; fast gives all heads one target of fidelity, which is searched, as the surface
 * has nothing to say of a single place. */
FIL_MUSTCHECK fil_status fili_budgets_find_call(fil_ctx *ctx, const fili_profile *profile,
                                                const fili_budgets_wish *wish, uint8_t *budget,
                                                fili_budgets_result *result);

#endif
