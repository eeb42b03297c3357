/* sparse/policy_window.c: a window around each query, as Sliding Tile Attention (STA, arXiv
 * 2502.04507) has it.
 *
 * With a density: each block keeps the blocks nearest to it, as many as the density allows
 * (window_mask.h). Without: the authors' window for rendering without training, 5x5x5 of the 5x6x10
 * tiles that their video has, the same share of each axis here, after the first 15 of 50 steps.
 * STA's search for a window per head and step, on prompts beforehand, is not done; nor are its
 * tiles of 6x8x8 tokens the default (`order "cubes 6x8x8"` has them).
 */
#include <math.h>
#include <stdio.h>

#include "sparse/fixed_masks.h"
#include "sparse/order_make.h"
#include "sparse/window_mask.h"

typedef struct window {
    fili_fixed_masks masks;
    fili_grid        side; /* the authors' window in cubes */
} window;

/* ---- defaults ------------------------------------------------------------------------------- */

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    if (options->order == NULL) options->order = "cubes 4x4x4";
    fili_fixed_dense(setup, options, 0.3, "");
}

static bool is_wanted(const fili_policy *p)
{
    return p->o.density != (double)FIL_AUTO;
}

/* The odd number of cubes nearest to a share of n, of two the smaller. */
static int32_t odd_side(int32_t n, double share)
{
    const double half = ceil((share * (double)n - 1.0) / 2.0 - 0.5);
    return half < 0.0 ? 1 : 2 * (int32_t)half + 1;
}

static fili_grid authors_window(const fili_order *order)
{
    const fili_grid n = fili_cube_grid(order->grid, order->spec.cube);
    return (fili_grid){.f = n.f % 2 == 1 ? n.f : n.f + 1, /* the whole axis */
                       .h = odd_side(n.h, 5.0 / 6.0),
                       .w = odd_side(n.w, 0.5)};
}

/* The schedule has no other density where none is wanted. */
static double shape(const fili_policy *p, int32_t step)
{
    (void)step;
    if (is_wanted(p) || p->order.spec.cube.f < 1) return 1.0;
    return fili_window_density(p->order.grid, p->order.spec.cube, authors_window(&p->order));
}

/* ---- prepare -------------------------------------------------------------------------------- */

static fil_status make(const fili_policy *p, const void *arg, double density, fili_mask *mask)
{
    const window *own = arg;
    if (is_wanted(p)) return fili_nearest_mask(mask, &p->order, &p->blocks, density);
    return fili_window_mask(mask, &p->order, &p->blocks, own->side);
}

static fil_status prepare(fili_policy *p)
{
    static const char *const no_budgets[] = {NULL};
    FIL_TRY(fili_fixed_check(p, no_budgets));
    if (!is_wanted(p) && p->order.spec.cube.f < 1)
        return FIL_FAIL(p->ctx, FIL_E_UNSUP,
                        "window: order %s has no cubes for the authors' window; expected one with "
                        "cubes, or a density",
                        p->o.order);
    FIL_TRY(fili_policy_own(p, sizeof(window)));
    window *own = p->own;
    if (!is_wanted(p)) own->side = authors_window(&p->order);
    return fili_fixed_masks_make(&own->masks, p, make, own);
}

/* ---- select --------------------------------------------------------------------------------- */

static fil_status choose(fili_policy *p, const fili_policy_call *call, fili_policy_choice *choice)
{
    const window *own = p->own;
    fili_fixed_choose(p, fili_fixed_masks_at(&own->masks, call->step), choice);
    return FIL_OK;
}

/* ---- describe ------------------------------------------------------------------------------- */

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    const window *own = p->own;
    if (is_wanted(p))
        snprintf(text, bytes, "the nearest blocks by the distance of their centres");
    else
        snprintf(text, bytes, "%dx%dx%d cubes, the authors' share of each axis", own->side.f,
                 own->side.h, own->side.w);
}

const fili_policy_ops fili_policy_window = {.name     = "window",
                                            .summary  = "a window in space and time (STA)",
                                            .defaults = defaults,
                                            .prepare  = prepare,
                                            .select   = choose,
                                            .describe = describe,
                                            .shape    = shape,
                                            .no_use   = FILI_WORD_REFRESH};
