/* sparse/radial_mask.h: attention that thins out with the distance in time.
 *
 * Radial Attention (arXiv 2506.19852), in raster order. With frames i, j, d = |i - j|, P tokens a
 * frame, places a, b in their frames and L = 2^bits(P) / 2^bits(d):
 *   - the first frame and the own frame are kept
 *   - d = 1: |a - b| <= P / 2
 *   - else |a - b| <= max(decay L, threshold)
 *   - where L < threshold, only frames with d mod floor(threshold / L) = 0 take part, at any d >= 1
 * The authors' code has the same rule with a decay of 1, or 0.2 for Wan. It reaches a few densities
 * only: at the lower end all of the first and the own frame stay, at the upper end the missing
 * frames. `reach` goes on at both ends, so that any density can be met:
 *   0 .. 1   no decay L at all, and every width shrinks with reach
 *   1 .. 2   the rule with decay = reach - 1
 *   2 .. 3   decay 1; every width, those of missing frames too (from 0), grows to the whole frame
 * What a reach keeps, a larger one keeps too.
 */
#ifndef FILI_SPARSE_RADIAL_MASK_H
#define FILI_SPARSE_RADIAL_MASK_H

#include "sparse/band.h"

#define FILI_RADIAL_THRESHOLD 64.0 /* tokens: one block */

typedef struct fili_radial {
    fili_grid grid;
    double    threshold; /* tokens, finite, >= 0 */
    double    reach;     /* 0 to 3 */
} fili_radial;

/* mask [1, M, M] over blocks of the raster order. E_ARG, E_SHAPE, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_radial_mask(fili_mask *mask, const fili_blocks *blocks,
                                          const fili_radial *radial, fili_band_keep keep);

/* The same with the reach that meets a density (band.h says how well); radial->reach is not read.
 * Blocks are kept by half. */
FIL_MUSTCHECK fil_status fili_radial_fit(fili_mask *mask, const fili_blocks *blocks,
                                         const fili_radial *radial, double density);

#endif
