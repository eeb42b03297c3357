/* sparse/policy_oracle.c: the blocks of most exact mass: the ceiling of every choice by mass.
 *
 * Not a method: each call computes the mass of all block pairs exactly (kernel/mass.h), which alone
 * costs as much as dense attention. It shows what a perfect score of the same kind could reach.
 * Budgets: "uniform" (the default), max(1, floor(density M)) blocks in each row; "mass", one
 * threshold over the rows and heads of a call, so that the pairs go where most mass lies
 * (oracle_mask.h).
 */
#include <stdio.h>
#include <string.h>

#include "sparse/block_mass.h"
#include "sparse/fixed_masks.h"
#include "sparse/oracle_mask.h"

typedef struct oracle {
    fili_block_mass exact;
    fili_mask       mask; /* [H, M, M] */
    bool            threshold;
} oracle;

/* ---- defaults ------------------------------------------------------------------------------- */

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    (void)setup;
    if (options->order == NULL) options->order = "hilbert";
}

/* ---- prepare -------------------------------------------------------------------------------- */

static fil_status check(const fili_policy *p)
{
    static const char *const budgets[] = {"uniform", "mass", NULL};
    FIL_TRY(fili_fixed_check(p, budgets));
    if (p->o.refresh == 1) return FIL_OK;
    return FIL_FAIL(p->ctx, FIL_E_UNSUP,
                    "topk-oracle: refresh %d; expected 1, as it chooses anew in every call",
                    p->o.refresh);
}

static fil_status prepare(fili_policy *p)
{
    const fili_policy_setup *s = &p->setup;
    FIL_TRY(check(p));
    FIL_TRY(fili_policy_own(p, sizeof(oracle)));
    oracle *own    = p->own;
    own->threshold = p->o.budgets != NULL && strcmp(p->o.budgets, "mass") == 0;
    FIL_TRY(fili_block_mass_plan(&own->exact, p->ctx, &p->blocks, s->heads, s->head_dim, s->dtype));
    FIL_TRY(fili_block_mass_take(&own->exact, &p->arena, 0));
    return fili_policy_mask(p, s->heads, p->blocks.m, p->blocks.m, &own->mask);
}

/* ---- select --------------------------------------------------------------------------------- */

static fil_status choose(fili_policy *p, const fili_policy_call *call, fili_policy_choice *choice)
{
    oracle      *own  = p->own;
    const float *mass = own->exact.mass;
    FIL_TRY(fili_block_mass_run(&own->exact, call->q, call->k, call->scale));
    if (own->threshold)
        FIL_TRY(fili_oracle_threshold(&own->mask, &p->blocks, mass, call->density));
    else
        FIL_TRY(fili_oracle_rows(&own->mask, mass,
                                 fili_policy_keep_blocks(call->density, p->blocks.m)));
    if (fili_fixed_is_full(p, &own->mask)) return FIL_OK;
    choice->mask       = &own->mask;
    choice->wants_tail = p->o.tail;
    choice->refreshed  = 1;
    return FIL_OK;
}

/* ---- describe ------------------------------------------------------------------------------- */

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    const oracle *own = p->own;
    snprintf(text, bytes,
             "exact mass in every call (as slow as dense), %s, of equal masses the first block",
             own->threshold ? "one threshold over rows and heads"
                            : "max(1, floor(density M)) blocks in each row");
}

const fili_policy_ops fili_policy_oracle = {
    .name     = "topk-oracle",
    .summary  = "the blocks of most exact mass: the ceiling of any choice by mass, and slow",
    .defaults = defaults,
    .prepare  = prepare,
    .select   = choose,
    .describe = describe};
