/* sparse/policy_inside.h: what policy.c and policy_*.c of the core share. */
#ifndef FILI_SPARSE_POLICY_INSIDE_H
#define FILI_SPARSE_POLICY_INSIDE_H

#include "sparse/policy.h"

/* policy_schedule.c: which calls are dense, and the density of the others. E_ARG: a list of layers
 * that is none; a density that the dense calls alone exceed. */
FIL_MUSTCHECK fil_status fili_policy_schedule(fili_policy *p);

/* policy_preset.c: fills name, density and when from options->preset. E_ARG. */
FIL_MUSTCHECK fil_status fili_policy_preset(fil_ctx *ctx, const fili_policy_setup *setup,
                                            fil_policy_options *options);

/* policy_tail.c: the pooled tail. */
FIL_MUSTCHECK fil_status fili_policy_tail_open(fili_policy *p);
FIL_MUSTCHECK fil_status fili_policy_tail_fill(fili_policy *p, const fili_policy_call *call,
                                               fili_policy_choice *choice);

/* policy_count.c: pairs, and exact recall. */
FIL_MUSTCHECK fil_status fili_policy_count_open(fili_policy *p);
void                     fili_policy_count_reset(fili_policy *p);
FIL_MUSTCHECK fil_status fili_policy_count_add(fili_policy *p, const fili_policy_call *call,
                                               fili_policy_choice *choice);

#endif
