/* engine/policy_run.c: asking the policy, and judging by the clock whether it pays (policy_run.h).
 *
 * The DiT's clock is read when a call begins: what has been added since the call before is that
 * call's time. The decision depends on timing and is the one thing here that two runs may do
 * differently; it is counted in calls, so that a recipe can repeat it.
 */
#include <string.h>

#include "engine/policy_run.h"

/* One block leaves nothing to choose; a density of less than all is then never met. */
static fil_status check_tokens(const fili_policy_run *run, int32_t fallback)
{
    const fili_policy *p = run->policy;
    if (p->blocks.m > 1 || !(fili_policy_target(p) < 1.0)) return FIL_OK;
    if (!fallback)
        return FIL_FAIL(
            run->ctx, FIL_E_UNSUP,
            "policy %s: the tokens of the video, %d, are one block, and nothing can be left out; "
            "expected a longer video or dense attention",
            p->ops->name, p->order.n);
    fili_log(run->ctx, FIL_LOG_WARNING,
             "attention runs dense, as the tokens of the video, %d, are one block for policy %s",
             p->order.n, p->ops->name);
    return FIL_OK;
}

fil_status fili_policy_run_open(fili_policy_run *run, fil_ctx *ctx,
                                const fil_policy_options *options, const fili_policy_setup *setup)
{
    *run = (fili_policy_run){.ctx = ctx};
    FIL_CHECK(ctx, options->dense_from >= FIL_AUTO, "dense from: expected a call, found %lld",
              (long long)options->dense_from);
    FIL_TRY(fili_policy_open(ctx, options, setup, &run->policy));
    fili_policy_keep(run->policy, "run", &run->past, sizeof run->past);
    const fil_status status = check_tokens(run, options->fallback);
    if (status != FIL_OK) fili_policy_run_close(run);
    return status;
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
    options->reads_rows  = p->reads_rows;
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
        run->past.dense_seconds += seconds;
        run->past.n_dense++;
    } else if (counts) {
        run->past.sparse_seconds += seconds;
        run->past.n_sparse++;
    }
    run->choose    = t.choose;
    run->attention = t.attention;
    run->measured  = measured;
    run->timed     = 1;
}

static bool is_tried(const fili_policy_past *past, int32_t step)
{
    return past->n_dense > 0 && past->n_sparse >= FILI_POLICY_TRIAL && past->sparse_step > 0 &&
           step >= past->sparse_step - 1 + FILI_POLICY_TRIAL_STEPS;
}

static void judge(fili_policy_run *run, int32_t step)
{
    if (run->past.judged || !is_tried(&run->past, step)) return;
    const double dense  = run->past.dense_seconds / (double)run->past.n_dense;
    const double sparse = run->past.sparse_seconds / (double)run->past.n_sparse;
    run->past.judged    = 1;
    if (sparse < dense) return;
    if (gives_up(run)) run->past.dense_from = run->past.calls + 1;
    fili_log(run->ctx, FIL_LOG_WARNING,
             "sparse attention takes %.3g ms a call here, dense %.3g ms%s", 1e3 * sparse,
             1e3 * dense, gives_up(run) ? ": the rest of the run is dense" : "");
}

/* ---- a call --------------------------------------------------------------------------------- */

/* auto has to know what dense costs before it can judge: if the schedule has made no call dense by
 * then, the second one is. Not a matter of the clock, so that a repeated run does the same. */
static bool tries_dense(const fili_policy_run *run)
{
    return gives_up(run) && run->past.calls == 1 && !run->past.had_dense;
}

int64_t fili_policy_run_dense_from(const fili_policy_run *run)
{
    const int64_t given = run->policy->o.dense_from;
    if (given != FIL_AUTO) return given;
    return run->past.dense_from > 0 ? run->past.dense_from - 1 : run->past.calls;
}

static bool is_over(const fili_policy_run *run)
{
    const bool decided = run->policy->o.dense_from != FIL_AUTO || run->past.dense_from > 0;
    return decided && run->past.calls >= fili_policy_run_dense_from(run);
}

fil_status fili_policy_run_choose(void *user, fili_policy_call *call, fili_policy_choice *choice)
{
    fili_policy_run *run = user;
    read_clock(run);
    if (run->policy->o.dense_from == FIL_AUTO) judge(run, call->step);
    const bool dense = is_over(run) || tries_dense(run);
    FIL_TRY(dense ? fili_policy_skip(run->policy, call, choice)
                  : fili_policy_select(run->policy, call, choice));
    run->was_dense = choice->mask == NULL;
    run->past.had_dense |= run->was_dense;
    if (!run->was_dense && run->past.sparse_step == 0) run->past.sparse_step = call->step + 1;
    run->past.calls++;
    return FIL_OK;
}
