/* sparse/policy_radial.c: Radial Attention (arXiv 2506.19852): a band of places that narrows with
 * the distance in time (radial_mask.h).
 *
 * The authors' numbers for Wan are a decay of 0.2, one dense layer and 12 dense steps of 50; that
 * is what runs without a wanted density. With one, the decay is what meets it, and where no decay
 * does, all widths shrink or grow; the threshold is one block throughout (theirs has 128 tokens).
 * Their fine-tuning for longer videos is not here.
 */
#include <stdio.h>

#include "sparse/fixed_masks.h"
#include "sparse/radial_mask.h"

#define AUTHORS_REACH 1.2 /* a decay of 0.2 */

typedef struct radial {
    fili_fixed_masks masks;
    double           authors; /* density of the authors' mask */
} radial;

/* ---- defaults ------------------------------------------------------------------------------- */

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    fili_fixed_dense(setup, options, 0.24, "0");
}

static bool is_wanted(const fili_policy *p)
{
    return p->o.density != (double)FIL_AUTO;
}

static fili_radial rule(const fili_policy *p)
{
    return (fili_radial){
        .grid = p->setup.grid, .threshold = FILI_RADIAL_THRESHOLD, .reach = AUTHORS_REACH};
}

static fil_status authors_density(fili_policy *p, const fili_blocks *blocks, double *density)
{
    const fili_radial r = rule(p);
    fili_mask         mask;
    FIL_TRY(fili_mask_init(&mask, p->ctx, 1, blocks->m, blocks->m));
    fil_status status = fili_radial_mask(&mask, blocks, &r, FILI_BAND_HALF);
    if (status == FIL_OK) status = fili_mask_density(&mask, blocks, blocks, density);
    fili_mask_fini(&mask);
    return status;
}

/* The schedule asks for the density before the masks are made. */
static fil_status begin(fili_policy *p)
{
    fili_blocks blocks;
    int32_t     n;
    FIL_TRY(fili_policy_own(p, sizeof(radial)));
    if (is_wanted(p)) return FIL_OK;
    FIL_TRY(fili_grid_tokens(p->ctx, p->setup.grid, &n));
    FIL_TRY(fili_blocks_uniform(&blocks, p->ctx, n));
    const fil_status status = authors_density(p, &blocks, &((radial *)p->own)->authors);
    fili_blocks_fini(&blocks);
    return status;
}

static double shape(const fili_policy *p, int32_t step)
{
    (void)step;
    return is_wanted(p) ? 1.0 : ((const radial *)p->own)->authors;
}

/* ---- prepare -------------------------------------------------------------------------------- */

static fil_status make(const fili_policy *p, const void *arg, double density, fili_mask *mask)
{
    const fili_radial r = rule(p);
    (void)arg;
    if (is_wanted(p)) return fili_radial_fit(mask, &p->blocks, &r, density);
    return fili_radial_mask(mask, &p->blocks, &r, FILI_BAND_HALF);
}

static fil_status prepare(fili_policy *p)
{
    static const char *const no_budgets[] = {NULL};
    radial                  *own          = p->own;
    FIL_TRY(fili_fixed_check(p, no_budgets));
    if (p->order.spec.kind != FILI_ORDER_RASTER)
        return FIL_FAIL(p->ctx, FIL_E_UNSUP, "radial: order %s; expected raster", p->o.order);
    return fili_fixed_masks_make(&own->masks, p, make, NULL);
}

/* ---- select --------------------------------------------------------------------------------- */

static fil_status choose(fili_policy *p, const fili_policy_call *call, fili_policy_choice *choice)
{
    const radial *own = p->own;
    fili_fixed_choose(p, fili_fixed_masks_at(&own->masks, call->step), choice);
    return FIL_OK;
}

/* ---- describe ------------------------------------------------------------------------------- */

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s, threshold %g tokens, blocks by half of their pairs",
             is_wanted(p) ? "decay fitted to the density" : "decay 0.2", FILI_RADIAL_THRESHOLD);
}

const fili_policy_ops fili_policy_radial = {
    .name     = "radial",
    .summary  = "a band of places that narrows with the distance in time (Radial Attention)",
    .defaults = defaults,
    .begin    = begin,
    .prepare  = prepare,
    .select   = choose,
    .describe = describe,
    .shape    = shape,
    .no_use   = FILI_WORD_REFRESH};
