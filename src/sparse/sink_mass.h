/* sparse/sink_mass.h: what sinks keep beside the blocks of a mask: pairs, and mass. */
#ifndef FILI_SPARSE_SINK_MASS_H
#define FILI_SPARSE_SINK_MASS_H

#include "sparse/policy.h"

/* Sinks of head h that lie outside the blocks that query block q keeps; those inside count with
 * their block. choice->mask is not NULL. */
int32_t fili_lone_sinks(const fili_blocks *blocks, const fili_policy_choice *choice, int32_t h,
                        int32_t q);

/* Sum over the tokens of query block q and the sinks of head h that it does not keep anyway, of
 * exp(s - lse): exact, in f64. lse: [H, N]. 0 where nothing is left out. */
double fili_sink_mass(const fili_policy_call *call, const fili_policy_choice *choice,
                      const float *lse, int32_t h, int32_t q);

#endif
