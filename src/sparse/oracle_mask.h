/* sparse/oracle_mask.h: the blocks of most mass, where the mass is known.
 *
 * The ceiling of every choice by mass: from exact block masses (kernel/mass.h), which cost a dense
 * pass, either the same number for every row, or one threshold for all rows and heads, which spends
 * the same number of pairs where most mass lies.
 */
#ifndef FILI_SPARSE_ORACLE_MASK_H
#define FILI_SPARSE_ORACLE_MASK_H

#include "sparse/mask.h"

/* mask [H, M, M] = in each row the `keep` blocks of most mass, whatever they hold; of equal ones
 * the earlier, NaN last. mass: f32 [H, M, M]. E_ARG: keep outside 1 to M. */
FIL_MUSTCHECK fil_status fili_oracle_rows(fili_mask *mask, const float *mass, int32_t keep);

/* The same share of all pairs of all heads together: the block pairs of most mass per token pair,
 * until they make up the density; of equal ones the earlier. Each row keeps at least its largest
 * block, even if the density is then exceeded. E_ARG, E_SHAPE. */
FIL_MUSTCHECK fil_status fili_oracle_threshold(fili_mask *mask, const fili_blocks *blocks,
                                               const float *mass, double density);

#endif
