/* engine/policy_run.c: asking the policy, and judging by the clock whether it pays (policy_run.h).
 *
 * The DiT's clock is read when a call begins: what has been added since the call before is that
 * call's time. The decision depends on timing and is the one thing here that two runs may do
 * differently; it is counted in calls, so that a recipe can repeat it.
 */
#include <string.h>

#include "engine/policy_run.h"

fil_status fili_policy_run_open(fili_policy_run *run, fil_ctx *ctx,
                                const fil_policy_options *options, const fili_policy_setup *setup)
{
    *run = (fili_policy_run){.ctx = ctx, .dense_from = options->dense_from};
    FIL_CHECK(ctx, options->dense_from >= FIL_AUTO, "dense from: expected a call, found %lld",
              (long long)options->dense_from);
    return fili_policy_open(ctx, options, setup, &run->policy);
}

void fili_policy_run_close(fili_policy_run *run)
{
    fili_policy_close(&run->policy);
    run->dit = NULL;
}

void fili_policy_run_hang(fili_policy_run *run, fili_dit_options *options)
{
    const fili_policy *p = run->policy;
    options->order       = p->order.spec;
    options->choose      = fili_policy_run_choose;
    options->user        = run;
    options->max_sinks   = p->ops->max_sinks;
    options->has_tail    = p->tail != NULL;
    options->gate        = p->uses_gate;
}

/* ---- the clock ------------------------------------------------------------------------------ */

static bool gives_up(const fili_policy_run *run)
{
    return strcmp(run->policy->ops->name, "auto") == 0;
}

/* Adds the call that has just ended. */
static void read_clock(fili_policy_run *run)
{
    fili_dit_times t;
    if (run->dit == NULL) return;
    fili_dit_times_get(run->dit, &t);
    const double measured = run->policy->measure_seconds;
    const double seconds =
        t.choose - run->choose + t.attention - run->attention -
        (measured - run->measured); /* --measure-recall must not change what runs */
    const bool counts = run->timed != 0 && seconds > 0.0;
    if (counts && run->was_dense) {
        run->dense_seconds += seconds;
        run->n_dense++;
    } else if (counts) {
        run->sparse_seconds += seconds;
        run->n_sparse++;
    }
    run->choose    = t.choose;
    run->attention = t.attention;
    run->measured  = measured;
    run->timed     = 1;
}

static void judge(fili_policy_run *run)
{
    if (run->judged || run->n_dense == 0 || run->n_sparse < FILI_POLICY_TRIAL) return;
    const double dense  = run->dense_seconds / (double)run->n_dense;
    const double sparse = run->sparse_seconds / (double)run->n_sparse;
    run->judged         = 1;
    if (sparse < dense) return;
    if (gives_up(run)) run->dense_from = run->calls;
    fili_log(run->ctx, FIL_LOG_WARNING,
             "sparse attention takes %.3g ms a call here, dense %.3g ms%s", 1e3 * sparse,
             1e3 * dense, gives_up(run) ? ": the rest of the run is dense" : "");
}

/* ---- a call --------------------------------------------------------------------------------- */

/* auto has to know what dense costs before it can judge: if the schedule has made no call dense by
 * then, the second one is. Not a matter of the clock, so that a repeated run does the same. */
static bool tries_dense(const fili_policy_run *run)
{
    return gives_up(run) && run->calls == 1 && !run->had_dense;
}

static bool is_over(const fili_policy_run *run)
{
    return run->dense_from >= 0 && run->calls >= run->dense_from;
}

fil_status fili_policy_run_choose(void *user, fili_policy_call *call, fili_policy_choice *choice)
{
    fili_policy_run *run = user;
    read_clock(run);
    if (run->policy->o.dense_from == FIL_AUTO) judge(run);
    const bool dense = is_over(run) || tries_dense(run);
    FIL_TRY(dense ? fili_policy_skip(run->policy, call, choice)
                  : fili_policy_select(run->policy, call, choice));
    run->was_dense = choice->mask == NULL;
    run->had_dense |= run->was_dense;
    run->calls++;
    return FIL_OK;
}
