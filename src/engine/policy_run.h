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

/* Sparse calls, and steps with them, before it is judged: a choice serves more than one step. */
enum { FILI_POLICY_TRIAL = 4, FILI_POLICY_TRIAL_STEPS = 2 };

/* What is remembered from call to call, and goes into a checkpoint with the policy's state; zeroed
 * = nothing yet. */
typedef struct fili_policy_past {
    int64_t calls;
    int64_t dense_from;  /* 1 + the call from which on all run dense; 0 = none */
    int64_t sparse_step; /* 1 + the first step with a sparse call; 0 = none */
    int64_t had_dense;   /* a call ran dense */
    int64_t judged;
    int64_t n_dense, n_sparse;
    double  dense_seconds, sparse_seconds;
} fili_policy_past;

typedef struct fili_policy_run {
    fil_ctx         *ctx;
    fili_policy     *policy;
    const fili_dit  *dit; /* its clock; set when it is open. NULL = no clock */
    fili_policy_past past;
    int32_t          was_dense;         /* the call before was */
    int32_t          timed;             /* the clock has been read */
    double           choose, attention; /* the clock's parts when it began */
    double           measured;          /* and what the policy had spent on figures */
} fili_policy_run;

/* As fili_policy_open; and E_UNSUP where a density is to be met and all tokens are one block,
 * unless options->fallback. *run lies still until closed. */
FIL_MUSTCHECK fil_status fili_policy_run_open(fili_policy_run *run, fil_ctx *ctx,
                                              const fil_policy_options *options,
                                              const fili_policy_setup  *setup);
void                     fili_policy_run_close(fili_policy_run *run); /* idempotent */

/* What the DiT must be opened with: order, choose, sinks, tail, gate. */
void fili_policy_run_hang(fili_policy_run *run, fili_dit_options *options);

/* The call from which on the run is dense, to be given back as options->dense_from; the number of
 * calls so far where it is not. */
int64_t fili_policy_run_dense_from(const fili_policy_run *run);

/* A fili_dit_choose_fn; user is the run. */
fil_status fili_policy_run_choose(void *user, fili_policy_call *call, fili_policy_choice *choice);

#endif
