/* sparse/head_budgets.c: equal slopes over the heads of a layer (sparse/head_budgets.h). */
#include <math.h>

#include "sparse/head_budgets.h"

enum { POINTS = FILI_BUDGET_STEPS + 1 };

/* A measured error below this share of the largest is as good as none. */
#define FLOOR 1e-12

const double fili_profile_share[FILI_PROFILE] = {0.2, 0.4, 0.7, 1.0, 1.5, 2.2, 3.4, 5.0};

fil_status fili_head_budgets_init(fili_head_budgets *out, fili_arena *arena, int32_t heads)
{
    void *block;
    *out = (fili_head_budgets){.heads = heads};
    FIL_TRY(fili_arena_calloc(arena, (size_t)heads, POINTS * sizeof(double), &block));
    out->curve = block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)heads, sizeof(int32_t), &block));
    out->step = block;
    return FIL_OK;
}

/* ---- profiles ------------------------------------------------------------------------------- */

double fili_profile_at(const double *profile, double density, double asked)
{
    const double x = density / asked;
    int          i = 0;
    if (!(x > fili_profile_share[0])) return profile[0];
    if (x >= fili_profile_share[FILI_PROFILE - 1]) return profile[FILI_PROFILE - 1];
    while (x > fili_profile_share[i + 1])
        i++;
    const double t =
        (x - fili_profile_share[i]) / (fili_profile_share[i + 1] - fili_profile_share[i]);
    return exp((1.0 - t) * log(profile[i]) + t * log(profile[i + 1]));
}

static double share_of_step(int32_t step)
{
    const double first = fili_profile_share[0];
    const double last  = fili_profile_share[FILI_PROFILE - 1];
    return first + (last - first) * step / FILI_BUDGET_STEPS;
}

/* Falling, above 0; flat where a NaN is in it. */
static void tame(const double *error, double least, double *profile)
{
    double above = 0.0;
    for (int i = FILI_PROFILE - 1; i >= 0; i--) {
        if (!(error[i] <= 1e300)) {
            for (int k = 0; k < FILI_PROFILE; k++)
                profile[k] = least;
            return;
        }
        above      = fmax(fmax(error[i], least), above);
        profile[i] = above;
    }
}

/* The lower convex hull, in place; the points are a unit apart. */
static void bend(double *y)
{
    int32_t at[POINTS];
    int32_t n = 0;
    for (int32_t x = 0; x < POINTS; x++) {
        while (n >= 2 && (y[at[n - 1]] - y[at[n - 2]]) * (x - at[n - 2]) >=
                             (y[x] - y[at[n - 2]]) * (at[n - 1] - at[n - 2]))
            n--;
        at[n++] = x;
    }
    for (int32_t i = 0; i + 1 < n; i++)
        for (int32_t x = at[i] + 1; x < at[i + 1]; x++)
            y[x] = y[at[i]] + (y[at[i + 1]] - y[at[i]]) * (x - at[i]) / (double)(at[i + 1] - at[i]);
}

static void make_curves(fili_head_budgets *b, const double *error)
{
    double largest = 0.0;
    for (int32_t i = 0; i < b->heads * FILI_PROFILE; i++)
        if (error[i] > largest && error[i] <= 1e300) largest = error[i];
    for (int32_t h = 0; h < b->heads; h++) {
        double  profile[FILI_PROFILE];
        double *y = b->curve + (int64_t)h * POINTS;
        tame(error + (int64_t)h * FILI_PROFILE, FLOOR * largest + 1e-300, profile);
        for (int32_t i = 0; i < POINTS; i++)
            y[i] = fili_profile_at(profile, share_of_step(i), 1.0);
        bend(y);
    }
}

/* ---- shares --------------------------------------------------------------------------------- */

/* The head that one more step buys most for; -1 where all have all. */
static int32_t best_head(const fili_head_budgets *b, int32_t most)
{
    int32_t best = -1;
    double  gain = -1.0;
    for (int32_t h = 0; h < b->heads; h++) {
        const double *y = b->curve + (int64_t)h * POINTS + b->step[h];
        if (b->step[h] >= most || !(y[0] - y[1] > gain)) continue;
        gain = y[0] - y[1];
        best = h;
    }
    return best;
}

/* First step that is at least (up), or last that is at most this share. */
static int32_t step_of(double share, int up)
{
    int32_t i = 0;
    while (i < FILI_BUDGET_STEPS && share_of_step(i + (up ? 0 : 1)) <= share - (up ? 1e-9 : -1e-9))
        i++;
    return i;
}

double fili_head_budgets_run(fili_head_budgets *b, const double *error, double density,
                             double least, double *budget)
{
    const int32_t one   = step_of(1.0, 0);
    const int32_t most  = step_of(1.0 / density, 0);
    const int32_t low   = step_of(least / density, 1);
    const int32_t first = low < one ? low : one;
    int64_t       left  = (int64_t)(one - first) * b->heads;
    double        sum   = 0.0;
    make_curves(b, error);
    for (int32_t h = 0; h < b->heads; h++)
        b->step[h] = first;
    for (; left > 0; left--) {
        const int32_t h = best_head(b, most);
        if (h < 0) break;
        b->step[h]++;
    }
    for (int32_t h = 0; h < b->heads; h++) {
        sum += b->curve[(int64_t)h * POINTS + b->step[h]];
        budget[h] = fmin(density * share_of_step(b->step[h]), 1.0);
    }
    return sum;
}
