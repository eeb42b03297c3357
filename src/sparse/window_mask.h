/* sparse/window_mask.h: a window in space and time around each query block.
 *
 * Sliding Tile Attention (arXiv 2502.04507): the window is a box of cubes, odd on each axis, and
 * slides by whole cubes. At the border of the grid its centre is pulled inwards, so that every
 * query sees as many cubes. The window knows a few densities only; `nearest` is the same idea at
 * any density: each query block keeps the blocks whose centres lie nearest to its own. Neither
 * looks at q or k.
 */
#ifndef FILI_SPARSE_WINDOW_MASK_H
#define FILI_SPARSE_WINDOW_MASK_H

#include "sparse/mask.h"

/* The window of `window` cubes (odd sides) into mask [1, M, M]; blocks are those of the order,
 * which has cubes. A query cube c keeps the cubes at most (side - 1) / 2 from min(max(c, r), n - 1
 * - r) on each axis of n cubes; all of an axis that is no longer than the window. E_ARG: no cubes,
 * a side that is even or below 1; E_SHAPE; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_window_mask(fili_mask *mask, const fili_order *order,
                                          const fili_blocks *blocks, fili_grid window);

/* Density of that mask in token pairs, without making it. The same arguments are assumed right. */
double fili_window_density(fili_grid grid, fili_grid cube, fili_grid window);

/* The blocks nearest to each into mask [1, M, M], as many as sparse/rank.h gives for the density.
 * Distance between the mean places of the tokens, an axis as good as another; of equally far ones
 * the earlier. Any order. E_ARG: density outside (0, 1]; E_SHAPE; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_nearest_mask(fili_mask *mask, const fili_order *order,
                                           const fili_blocks *blocks, double density);

#endif
