/* sparse/band.h: masks made of bands, counted in closed form and fitted to a density.
 *
 * The patterns of Radial Attention and Sparse VideoGen allow or forbid single pairs of tokens:
 * |i - j| <= width, of some kind. A block pair is kept where half of its pairs are allowed, or any
 * of them. Counting them one by one would cost N^2; but a band across a rectangle is the difference
 * of two staircases, whose sums are known.
 */
#ifndef FILI_SPARSE_BAND_H
#define FILI_SPARSE_BAND_H

#include "sparse/mask.h"

/* What makes a block pair kept. */
typedef enum fili_band_keep {
    FILI_BAND_HALF, /* half of its pairs or more */
    FILI_BAND_ANY
} fili_band_keep;

/* Pairs (a, b), 0 <= a < na, 0 <= b < nb, with low <= b - a <= high. All within 2^31. */
int64_t fili_band_pairs(int64_t na, int64_t nb, int64_t low, int64_t high);

/* Allowed pairs of block pair (u, b). */
typedef int64_t (*fili_band_count_fn)(const void *rule, const fili_blocks *blocks, int32_t u,
                                      int32_t b);

/* mask [1, M, M] = the block pairs that `count` says are kept. E_SHAPE. */
FIL_MUSTCHECK fil_status fili_band_mask(fili_mask *mask, const fili_blocks *blocks,
                                        fili_band_keep keep, fili_band_count_fn count,
                                        const void *rule);

/* A family of masks that grow: what step t keeps, step t + 1 keeps too. */
typedef fil_status (*fili_band_make_fn)(const void *family, int64_t step, fili_mask *mask);

/* mask [1, M, M] = the last step of 0 .. last whose density is at most `density`, and what the next
 * step adds to it, in each row as large a share of that as meets the density, from the diagonal
 * outwards. Every block keeps itself, whatever the family says. The density is met to half a
 * block a row, except where the own blocks alone exceed it or step `last` falls short of it.
 * E_ARG: density outside (0, 1]; E_SHAPE; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_band_fit(fili_mask *mask, const fili_blocks *blocks, double density,
                                       int64_t last, fili_band_make_fn make, const void *family);

#endif
