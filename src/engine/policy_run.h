/* engine/policy_run.h: a policy at work in a DiT, under a clock.
 *
 * Sparse must not be slower than dense without saying so: the time of each call, choosing included,
 * is set against that of the calls that ran dense. `auto` gives up where it does not pay, and says
 * from which call on; other policies go on, with one warning.
 */
#ifndef FILI_ENGINE_POLICY_RUN_H
#define FILI_ENGINE_POLICY_RUN_H

#include "sparse/policy.h"
#include "wan/dit.h"

enum { FILI_POLICY_TRIAL = 4 }; /* sparse calls before it is judged */

typedef struct fili_policy_run {
    fil_ctx        *ctx;
    fili_policy    *policy;
    const fili_dit *dit; /* its clock; set when it is open. NULL = no clock */
    int64_t         calls;
    int64_t         dense_from;        /* calls from here on run dense; -1 = none so far */
    int32_t         was_dense;         /* the call before was */
    int32_t         had_dense;         /* any was */
    int32_t         timed;             /* the clock has been read */
    double          choose, attention; /* the clock's parts when it began */
    double          measured;          /* and what the policy had spent on figures */
    double          dense_seconds, sparse_seconds;
    int64_t         n_dense, n_sparse;
    int32_t         judged;
} fili_policy_run;

/* As fili_policy_open. *run lies still until closed. */
FIL_MUSTCHECK fil_status fili_policy_run_open(fili_policy_run *run, fil_ctx *ctx,
                                              const fil_policy_options *options,
                                              const fili_policy_setup  *setup);
void                     fili_policy_run_close(fili_policy_run *run); /* idempotent */

/* What the DiT must be opened with: order, choose, sinks, tail, gate. */
void fili_policy_run_hang(fili_policy_run *run, fili_dit_options *options);

/* A fili_dit_choose_fn; user is the run. */
fil_status fili_policy_run_choose(void *user, fili_policy_call *call, fili_policy_choice *choice);

#endif
