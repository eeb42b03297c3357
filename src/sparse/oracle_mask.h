/* sparse/oracle_mask.h: the blocks of most mass, where the mass is known.
 *
 * The ceiling of every choice by mass: from exact block masses (kernel/mass.h), which cost a dense
 * pass, either the same share for every row, or one threshold for all rows and heads, which spends
 * the same number of pairs where most mass lies.
 */
#ifndef FILI_SPARSE_ORACLE_MASK_H
#define FILI_SPARSE_ORACLE_MASK_H

#include "sparse/rank.h"

/* mask [H, M, M] = in each row the blocks of most mass, as many as sparse/rank.h gives for the
 * density; on ragged blocks, whose share is in tokens, of most mass per token. Of equal ones the
 * earlier. mass: f32 [H, M, M]. heap: room for M per thread of the
 * context, so that nothing is allocated here. E_ARG: density outside (0, 1]; E_SHAPE. */
FIL_MUSTCHECK fil_status fili_oracle_rows(fili_mask *mask, const fili_blocks *blocks,
                                          const float *mass, double density, fili_ranked *heap);

/* The same share of all pairs of all heads together: the block pairs of most mass per token pair,
 * until they make up the density; of equal ones the earlier. Each row keeps at least its largest
 * block, even if the density is then exceeded. E_ARG, E_SHAPE. */
FIL_MUSTCHECK fil_status fili_oracle_threshold(fili_mask *mask, const fili_blocks *blocks,
                                               const float *mass, double density);

#endif
