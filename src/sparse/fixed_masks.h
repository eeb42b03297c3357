/* sparse/fixed_masks.h: what the baselines have in common: masks that look at the grid alone.
 *
 * They are made in prepare, one for each density that the schedule has, and shared by all layers,
 * passes and heads; a choice then only points at one.
 */
#ifndef FILI_SPARSE_FIXED_MASKS_H
#define FILI_SPARSE_FIXED_MASKS_H

#include "sparse/policy.h"

typedef struct fili_fixed_masks {
    int32_t    n;
    fili_mask *mask;    /* [n] of one head */
    bool      *full;    /* [n] keeps everything */
    int32_t   *of_step; /* [steps] which; -1 = dense, none is needed */
} fili_fixed_masks;

/* Fills a mask of one head over p's blocks. */
typedef fil_status (*fili_fixed_make_fn)(const fili_policy *p, const void *arg, double density,
                                         fili_mask *mask);

/* One mask for each density below 1 among p->density. E_NOMEM, and what `make` gives. */
FIL_MUSTCHECK fil_status fili_fixed_masks_make(fili_fixed_masks *out, fili_policy *p,
                                               fili_fixed_make_fn make, const void *arg);

/* The mask of a step, NULL = dense. */
const fili_mask *fili_fixed_masks_at(const fili_fixed_masks *masks, int32_t step);

/* True for a mask over p's blocks that keeps everything. */
bool fili_fixed_is_full(const fili_policy *p, const fili_mask *mask);

/* The choice of a mask. */
void fili_fixed_choose(const fili_policy *p, const fili_mask *mask, fili_policy_choice *choice);

/* E_UNSUP where options ask for what no baseline has: blocks of 128, a topology, a gate, tau, a
 * mask file; or a budget, where it is not one of `budgets` (names ended by NULL). */
FIL_MUSTCHECK fil_status fili_fixed_check(const fili_policy *p, const char *const *budgets);

/* The authors' dense steps and layers, where no density of the whole run is wanted. */
void fili_fixed_dense(const fili_policy_setup *setup, fil_policy_options *options, double steps,
                      const char *layers);

#endif
