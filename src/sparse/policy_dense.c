/* sparse/policy_dense.c: every block of every call: the reference of all other policies. */
#include <stdio.h>

#include "sparse/policy.h"

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    (void)setup;
    if (options->density == (double)FIL_AUTO) options->density = 1.0;
}

static fil_status prepare(fili_policy *p)
{
    FIL_CHECK(p->ctx, !(p->o.density < 1.0), "dense: density %g; expected 1 or none", p->o.density);
    return FIL_OK;
}

static fil_status select_all(fili_policy *p, const fili_policy_call *call,
                             fili_policy_choice *choice)
{
    (void)p;
    (void)call;
    (void)choice;
    return FIL_OK;
}

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    (void)p;
    snprintf(text, bytes, "every block of every call");
}

const fili_policy_ops fili_policy_dense = {
    .name     = "dense",
    .summary  = "every block: the reference",
    .defaults = defaults,
    .prepare  = prepare,
    .select   = select_all,
    .describe = describe,
    .no_use   = FILI_WORD_TAU | FILI_WORD_REFRESH | FILI_WORD_GATE | FILI_WORD_BLOCK |
              FILI_WORD_TOPOLOGY | FILI_WORD_BUDGETS | FILI_WORD_MASK};
