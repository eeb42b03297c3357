/* sparse/fast_budgets.c: profiles and budgets (sparse/fast_budgets.h). All sums are f64, in a fixed
 * order; searches are bisections of fixed length, so that the same profile gives the same bytes.
 */
#include <math.h>
#include <string.h>

#include "sparse/fast_budgets.h"
#include "sparse/west_map.h"

enum { BISECTIONS = 60, OUTER_BISECTIONS = 24 };

/* ---- profiles of one head ------------------------------------------------------------------- */

static void cumulate(double *sum, int32_t n)
{
    for (int32_t i = 1; i < n; i++)
        sum[i] += sum[i - 1];
}

void fili_profile_density(const uint8_t *map, const fili_blocks *blocks, int32_t n_levels,
                          double *density)
{
    uint64_t      pairs[FILI_LEVELS_MOST] = {0};
    const int32_t m                       = blocks->m;
    uint64_t      kept                    = 0;
    for (int32_t u = 0; u < m; u++) {
        uint64_t tokens[FILI_LEVELS_MOST] = {0};
        for (int32_t v = 0; v < m; v++)
            tokens[map[(int64_t)u * m + v]] += (uint64_t)fili_blocks_valid(blocks, v);
        for (int32_t p = 0; p < n_levels; p++)
            pairs[p] += tokens[p] * (uint64_t)fili_blocks_valid(blocks, u);
    }
    const double n = (double)fili_blocks_tokens(blocks);
    for (int32_t p = 0; p < n_levels; p++) {
        kept += pairs[p];
        density[p] = (double)kept / (n * n);
    }
}

static double fidelity_of(double kept, fili_fidelity kind)
{
    const double m = kept < 1.0 ? kept : 1.0;
    return kind == FILI_FIDELITY_RENORM ? 1.0 - sqrt(1.0 - sqrt(m)) : 1.0 - sqrt((1.0 - m) / 2.0);
}

void fili_profile_fidelity(const uint8_t *map, int32_t m, const fili_row_masses *rows,
                           fili_fidelity kind, int32_t n_levels, double *fidelity)
{
    for (int32_t p = 0; p < n_levels; p++)
        fidelity[p] = 0.0;
    for (int32_t r = 0; r < rows->n; r++) {
        double         kept[FILI_LEVELS_MOST] = {0.0};
        const uint8_t *level                  = map + (int64_t)rows->block[r] * m;
        for (int32_t b = 0; b < m; b++)
            kept[level[b]] += (double)rows->mass[(int64_t)r * m + b];
        cumulate(kept, n_levels);
        for (int32_t p = 0; p < n_levels; p++)
            fidelity[p] += fidelity_of(kept[p], kind) / (double)rows->n;
    }
}

/* ---- one map -------------------------------------------------------------------------------- */

double fili_surface_at(const fili_surface *s, int32_t layer, int32_t layers, int32_t step,
                       int32_t steps)
{
    const double x =
        ((double)layer + s->omega * (double)step) / ((double)layers + s->omega * (double)steps);
    return s->beta * pow(1.0 - x, s->gamma) + 1.0 - s->beta;
}

int32_t fili_level_for_fidelity(const float *fidelity, int32_t n_levels, double target)
{
    int32_t p = 0;
    if (target > 1.0 - 1e-6) return n_levels - 1;
    while (p < n_levels - 1 && !((double)fidelity[p] >= target))
        p++;
    return p;
}

int32_t fili_level_for_density(const float *density, int32_t n_levels, double most)
{
    int32_t p = n_levels - 1;
    while (p > 0 && !((double)density[p] <= most))
        p--;
    return p;
}

/* ---- whole runs ----------------------------------------------------------------------------- */

static int64_t maps_of_step(const fili_profile *p)
{
    return (int64_t)p->passes * p->heads;
}

static int64_t maps_of(const fili_profile *p)
{
    return (int64_t)p->layers * p->steps * maps_of_step(p);
}

static double mean_of(const fili_profile *p, const float *values, const uint8_t *budget)
{
    const int64_t n   = maps_of(p);
    double        sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)values[i * p->levels + budget[i]];
    return sum / (double)n;
}

double fili_budgets_density(const fili_profile *profile, const uint8_t *budget)
{
    return mean_of(profile, profile->density, budget);
}

double fili_budgets_fidelity(const fili_profile *profile, const uint8_t *budget)
{
    return mean_of(profile, profile->fidelity, budget);
}

void fili_budgets_at(const fili_profile *p, const fili_surface *surface, uint8_t *budget)
{
    int64_t i = 0;
    for (int32_t l = 0; l < p->layers; l++)
        for (int32_t s = 0; s < p->steps; s++) {
            const double target = fili_surface_at(surface, l, p->layers, s, p->steps);
            for (int64_t k = 0; k < maps_of_step(p); k++, i++)
                budget[i] = (uint8_t)fili_level_for_fidelity(p->fidelity + i * p->levels, p->levels,
                                                             target);
        }
}

/* ---- names and wishes ----------------------------------------------------------------------- */

static const char *const names[] = {"uniform", "fast", "error"};

int fili_budgets_from_name(const char *name)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return -1;
}

const char *fili_budgets_name(fili_budgets_kind kind)
{
    return names[kind];
}

void fili_budgets_wish_init(fili_budgets_wish *wish)
{
    *wish = (fili_budgets_wish){
        .kind = FILI_BUDGETS_FAST, .gamma = 2.0, .gamma_max = 256.0, .omega = 1.0};
}

static fil_status check_wish(fil_ctx *ctx, const fili_profile *p, const fili_budgets_wish *w)
{
    FIL_CHECK(ctx, (w->density != 0.0) != (w->fidelity != 0.0),
              "budgets: expected a density or a fidelity, found %s",
              w->density != 0.0 ? "both" : "neither");
    FIL_CHECK(ctx, w->density >= 0.0 && w->density <= 1.0,
              "density: expected above 0 and at most 1, found %g", w->density);
    FIL_CHECK(ctx, w->fidelity >= 0.0 && w->fidelity <= 1.0,
              "fidelity: expected above 0 and at most 1, found %g", w->fidelity);
    FIL_CHECK(ctx, w->gamma > 0.0 && isfinite(w->gamma) && w->gamma_max >= w->gamma,
              "gamma: expected above 0 and at most %g, found %g", w->gamma_max, w->gamma);
    FIL_CHECK(ctx, w->omega >= 0.0 && isfinite(w->omega), "omega: expected 0 or more, found %g",
              w->omega);
    FIL_CHECK(ctx, w->kind != FILI_BUDGETS_ERROR || p->error != NULL,
              "budgets by error: there is no profile of errors");
    return FIL_OK;
}

/* ---- fast ----------------------------------------------------------------------------------- */

/* Density falls as beta and gamma rise. */
static void find_fast(const fili_profile *p, const fili_budgets_wish *w, double most,
                      uint8_t *budget, fili_surface *s)
{
    double low  = 0.0; /* too dense, or not looked at */
    double high = 1.0; /* sparse enough, or the end of it */
    *s          = (fili_surface){.beta = 1.0, .gamma = w->gamma, .omega = w->omega};
    for (;;) {
        fili_budgets_at(p, s, budget);
        if (fili_budgets_density(p, budget) <= most || s->gamma * 1.25 > w->gamma_max) break;
        s->gamma *= 1.25;
    }
    s->beta = 0.0;
    fili_budgets_at(p, s, budget);
    if (fili_budgets_density(p, budget) <= most) return;
    for (int i = 0; i < BISECTIONS; i++) {
        s->beta = (low + high) / 2.0;
        fili_budgets_at(p, s, budget);
        if (fili_budgets_density(p, budget) <= most)
            high = s->beta;
        else
            low = s->beta;
    }
    s->beta = high;
    fili_budgets_at(p, s, budget);
}

/* ---- uniform -------------------------------------------------------------------------------- */

/* Every map gets `share`; what it leaves of it goes to the next one, so that the mean is near the
 * share although levels are steps. A map that cannot be so sparse owes nothing. */
static void spread(const fili_profile *p, double share, uint8_t *budget)
{
    const int64_t n    = maps_of(p);
    double        left = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const float *density = p->density + i * p->levels;
        left += share;
        budget[i] = (uint8_t)fili_level_for_density(density, p->levels, left);
        left -= (double)density[budget[i]];
        left = left > 0.0 ? left : 0.0;
    }
}

static void find_uniform(const fili_profile *p, double most, uint8_t *budget)
{
    double low  = 0.0; /* sparse enough, or the end of it */
    double high = 1.0;
    spread(p, high, budget);
    if (fili_budgets_density(p, budget) <= most) return;
    for (int i = 0; i < BISECTIONS; i++) {
        const double middle = (low + high) / 2.0;
        spread(p, middle, budget);
        if (fili_budgets_density(p, budget) <= most)
            low = middle;
        else
            high = middle;
    }
    spread(p, low, budget);
}

/* ---- error ---------------------------------------------------------------------------------- */

/* Least error + price * density; of equal ones the sparser. */
static int32_t best_at(const float *error, const float *density, int32_t n, double price)
{
    int32_t best  = 0;
    double  least = (double)error[0] + price * (double)density[0];
    for (int32_t i = 1; i < n; i++) {
        const double cost = (double)error[i] + price * (double)density[i];
        if (!(cost < least)) continue;
        least = cost;
        best  = i;
    }
    return best;
}

static void budgets_at_price(const fili_profile *p, double price, uint8_t *budget)
{
    const int64_t n = maps_of(p);
    for (int64_t i = 0; i < n; i++)
        budget[i] = (uint8_t)best_at(p->error + i * p->levels, p->density + i * p->levels,
                                     p->levels, price);
}

/* Least error that costs at most `most`, and if there is a choice the sparser; `from` at worst. */
static int32_t best_within(const float *error, const float *density, int32_t n, double most,
                           int32_t from)
{
    int32_t best = from;
    for (int32_t i = 0; i < n; i++) {
        const bool fits = (double)density[i] <= most;
        if (fits &&
            (error[i] < error[best] || (error[i] <= error[best] && density[i] < density[best])))
            best = i;
    }
    return best;
}

/* No price meets a density exactly: what is left goes to maps in their order, as far as it goes. */
static void fill_up(const fili_profile *p, double most, uint8_t *budget)
{
    const int64_t n    = maps_of(p);
    double        left = (most - fili_budgets_density(p, budget)) * (double)n;
    for (int64_t i = 0; i < n && left > 0.0; i++) {
        const float *density = p->density + i * p->levels;
        const double have    = (double)density[budget[i]];
        budget[i] = (uint8_t)best_within(p->error + i * p->levels, density, p->levels, have + left,
                                         budget[i]);
        left -= (double)density[budget[i]] - have;
    }
}

static void find_error(const fili_profile *p, double most, uint8_t *budget)
{
    double low  = -60.0; /* log2 of the price: too dense, or not looked at */
    double high = 60.0;
    if (most >= 1.0) {
        memset(budget, p->levels - 1, (size_t)maps_of(p));
        return;
    }
    for (int i = 0; i < BISECTIONS; i++) {
        const double middle = (low + high) / 2.0;
        budgets_at_price(p, exp2(middle), budget);
        if (fili_budgets_density(p, budget) <= most)
            high = middle;
        else
            low = middle;
    }
    budgets_at_price(p, exp2(high), budget);
    fill_up(p, most, budget);
}

/* ---- all of them ---------------------------------------------------------------------------- */

static void find_density(const fili_profile *p, const fili_budgets_wish *w, double most,
                         uint8_t *budget, fili_budgets_result *r)
{
    r->surface = (fili_surface){0.0, 0.0, 0.0};
    if (w->kind == FILI_BUDGETS_FAST)
        find_fast(p, w, most, budget, &r->surface);
    else if (w->kind == FILI_BUDGETS_ERROR)
        find_error(p, most, budget);
    else
        find_uniform(p, most, budget);
    r->density   = fili_budgets_density(p, budget);
    r->fidelity  = fili_budgets_fidelity(p, budget);
    r->reachable = r->density <= most + 1e-9;
}

/* The fidelity rises with the density, for any of the ways nearly so. */
static void find_for_fidelity(const fili_profile *p, const fili_budgets_wish *w, uint8_t *budget,
                              fili_budgets_result *r)
{
    double low  = 0.0;
    double high = 1.0;
    for (int i = 0; i < OUTER_BISECTIONS; i++) {
        const double middle = (low + high) / 2.0;
        find_density(p, w, middle, budget, r);
        if (r->fidelity >= w->fidelity)
            high = middle;
        else
            low = middle;
    }
    find_density(p, w, high, budget, r);
    r->reachable = r->fidelity >= w->fidelity;
}

/* ---- a call alone --------------------------------------------------------------------------- */

static void reach(const fili_profile *p, double target, uint8_t *budget)
{
    for (int64_t i = 0; i < maps_of(p); i++)
        budget[i] =
            (uint8_t)fili_level_for_fidelity(p->fidelity + i * p->levels, p->levels, target);
}

static void find_equal(const fili_profile *p, double most, uint8_t *budget)
{
    double low  = 0.0; /* sparse enough, or the end of it */
    double high = 1.0;
    reach(p, high, budget);
    if (fili_budgets_density(p, budget) <= most) return;
    for (int i = 0; i < BISECTIONS; i++) {
        const double middle = (low + high) / 2.0;
        reach(p, middle, budget);
        if (fili_budgets_density(p, budget) <= most)
            low = middle;
        else
            high = middle;
    }
    reach(p, low, budget);
}

fil_status fili_budgets_find_call(fil_ctx *ctx, const fili_profile *profile,
                                  const fili_budgets_wish *wish, uint8_t *budget,
                                  fili_budgets_result *result)
{
    FIL_TRY(check_wish(ctx, profile, wish));
    FIL_CHECK(ctx, wish->density != 0.0, "one call alone: expected a density, found a fidelity");
    if (wish->kind != FILI_BUDGETS_FAST)
        return fili_budgets_find(ctx, profile, wish, budget, result);
    find_equal(profile, wish->density, budget);
    result->surface   = (fili_surface){0.0, 0.0, 0.0};
    result->density   = fili_budgets_density(profile, budget);
    result->fidelity  = fili_budgets_fidelity(profile, budget);
    result->reachable = result->density <= wish->density + 1e-9;
    return FIL_OK;
}

/* ---- whole runs ----------------------------------------------------------------------------- */

fil_status fili_budgets_find(fil_ctx *ctx, const fili_profile *profile,
                             const fili_budgets_wish *wish, uint8_t *budget,
                             fili_budgets_result *result)
{
    FIL_TRY(check_wish(ctx, profile, wish));
    if (wish->density != 0.0)
        find_density(profile, wish, wish->density, budget, result);
    else
        find_for_fidelity(profile, wish, budget, result);
    return FIL_OK;
}
