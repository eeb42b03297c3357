/* tests/support/policy_rig.h: one policy on random q, k, v: opened, asked, refused. The policies'
 * own tests run on it; what a policy chooses is theirs to judge.
 */
#ifndef TESTS_SUPPORT_POLICY_RIG_H
#define TESTS_SUPPORT_POLICY_RIG_H

#include "sparse/policy.h"
#include "support/fault.h"

typedef struct policy_rig {
    alloc_fault        fault;
    fil_ctx           *ctx;
    fil_policy_options o; /* before policy_rig_open */
    fili_policy_setup  s; /* before policy_rig_open */
    fili_policy       *p;
    fili_policy_call   call; /* the last one */
    fili_policy_choice choice;
    float             *x[3];    /* q, k, v [N, H, D], in order; normal */
    filk_attn_view     view[3]; /* what a call hands over: x */
    int64_t            n;       /* elements of each */
} policy_rig;

/* Must stay where it is until policy_rig_end: the context allocates through it. */
void policy_rig_start(policy_rig *r, const char *name, const fili_policy_setup *s, int32_t threads);
/* Fails the test if the policy left memory behind. */
void policy_rig_end(policy_rig *r);

/* Closes the one before. */
void policy_rig_open(policy_rig *r);
/* Opening fails with that status and a sentence that holds `says`; leaves no policy. */
void policy_rig_refuses(policy_rig *r, fil_status status, const char *says);

/* Fills r->call. */
void policy_rig_call(policy_rig *r, int32_t layer, int32_t step, int32_t pass);
/* Fills r->call and r->choice; fails the test if the policy allocates on the way. */
void policy_rig_ask(policy_rig *r, int32_t layer, int32_t step, int32_t pass);

/* [N, H, D] of the rig's heads. */
filk_attn_view policy_rig_view(const policy_rig *r, const void *data);

#endif
