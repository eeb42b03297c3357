/* sparse/policy_schedule.c: when a policy is active, and how much each call computes (policy.h).
 *
 * Dense are the first steps, the layers of a list, and everything below a number of tokens. The
 * others share what is left of the whole run's density: those of step i compute
 * min(1, scale * shape(i)), where shape is the policy's (flat if it has none) and the one scale is
 * found by bisection, as the mean rises with it.
 */
#include <math.h>
#include <string.h>

#include "sparse/policy_inside.h"

/* ---- layers --------------------------------------------------------------------------------- */

/* A number at *text, which moves behind it; -1 if there is none. */
static int32_t read_number(const char **text)
{
    int32_t n = -1;
    for (; **text >= '0' && **text <= '9'; ++*text) {
        if (n > 100000) return -1;
        n = (n < 0 ? 0 : n) * 10 + (**text - '0');
    }
    return n;
}

static fil_status read_layers(fili_policy *p)
{
    const char *at = p->o.dense_layers;
    while (*at != '\0') {
        const int32_t first = read_number(&at);
        int32_t       last  = first;
        if (*at == '-') {
            at++;
            last = read_number(&at);
        }
        FIL_CHECK(p->ctx,
                  first >= 0 && last >= first && (*at == '\0' || (*at == ',' && at[1] != '\0')),
                  "dense layers: expected a list such as 0,2-4, found '%.60s'", p->o.dense_layers);
        FIL_CHECK(p->ctx, last < p->setup.layers,
                  "dense layers: expected 0 to %d, as the model has %d layers, found %d",
                  p->setup.layers - 1, p->setup.layers, last);
        memset(p->layer_is_dense + first, 1, (size_t)(last - first) + 1);
        if (*at == ',') at++;
    }
    return FIL_OK;
}

/* ---- steps ---------------------------------------------------------------------------------- */

static double shape_at(const fili_policy *p, int32_t sparse_step)
{
    return p->ops->shape != NULL ? p->ops->shape(p, sparse_step) : 1.0;
}

static void fill_density(fili_policy *p, double scale)
{
    for (int32_t i = 0; i < p->setup.steps; i++) {
        const int32_t sparse = i - p->o.dense_steps;
        const double  d      = sparse < 0 ? 1.0 : scale * shape_at(p, sparse);
        p->density[i]        = d < 1.0 ? d : 1.0;
    }
}

static void set_density(fili_policy *p, double density)
{
    for (int32_t i = 0; i < p->setup.steps; i++)
        p->density[i] = density;
}

double fili_policy_target(const fili_policy *p)
{
    int32_t dense = 0;
    double  sum   = 0.0;
    for (int32_t l = 0; l < p->setup.layers; l++)
        dense += p->layer_is_dense[l];
    for (int32_t i = 0; i < p->setup.steps; i++)
        sum += p->density[i];
    const double share = (double)dense / p->setup.layers;
    return share + (1.0 - share) * sum / p->setup.steps;
}

/* The scale at which the whole run has the wanted density. */
static fil_status search_scale(fili_policy *p)
{
    double low  = 0.0;
    double high = 1.0;
    fill_density(p, 0.0);
    const double least = fili_policy_target(p);
    FIL_CHECK(p->ctx, least < p->o.density,
              "density %g of the whole run: the first %d of %d steps and the dense layers make "
              "%.3f by themselves; expected more, or fewer of them",
              p->o.density, p->o.dense_steps, p->setup.steps, least);
    do {
        high *= 2.0;
        fill_density(p, high);
    } while (fili_policy_target(p) < p->o.density && high < 1e9);
    for (int i = 0; i < 100; i++) {
        const double middle = 0.5 * (low + high);
        fill_density(p, middle);
        if (fili_policy_target(p) < p->o.density)
            low = middle;
        else
            high = middle;
    }
    fill_density(p, high);
    return FIL_OK;
}

static bool all_dense(const fili_policy *p)
{
    return memchr(p->layer_is_dense, 0, (size_t)p->setup.layers) == NULL;
}

static fil_status choose_density(fili_policy *p)
{
    const bool wanted = p->o.density != (double)FIL_AUTO;
    if (p->order.n < p->o.min_tokens && all_dense(p)) {
        set_density(p, 1.0);
        return FIL_OK;
    }
    if (p->ops->own_budgets) {
        fill_density(p, wanted ? p->o.density : 1.0);
        if (p->ops->unknown_density) set_density(p, (double)NAN);
        return FIL_OK;
    }
    FIL_CHECK(p->ctx, wanted || p->ops->shape != NULL,
              "policy %s has no density of its own; expected one above 0, up to 1", p->ops->name);
    if (p->setup.single || !wanted) {
        fill_density(p, 1.0);
        if (wanted) set_density(p, p->o.density);
        return FIL_OK;
    }
    if (p->o.density < 1.0) return search_scale(p);
    set_density(p, 1.0);
    return FIL_OK;
}

fil_status fili_policy_schedule(fili_policy *p)
{
    void *block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)p->setup.layers, 1, &block));
    p->layer_is_dense = block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)p->setup.steps, sizeof(double), &block));
    p->density = block;
    if (p->order.n < p->o.min_tokens)
        memset(p->layer_is_dense, 1, (size_t)p->setup.layers);
    else if (!p->setup.single)
        FIL_TRY(read_layers(p));
    return choose_density(p);
}
