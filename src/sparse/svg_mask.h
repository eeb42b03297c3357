/* sparse/svg_mask.h: a band in space, or a band in time.
 *
 * Sparse VideoGen (arXiv 2502.01776): some heads look around in their own frame, others at their
 * own place in all frames. With tokens i, j of the raster order and `width`: spatial    |i - j| <=
 * width temporal   the same with tokens numbered place by place, all frames of a place together
 * Both keep the first frame. The authors lay the tokens of temporal heads out place by place; here
 * all heads share the raster order, whose runs of 64 places of a frame cut the temporal band well.
 * A block pair is kept where half of its token pairs are.
 */
#ifndef FILI_SPARSE_SVG_MASK_H
#define FILI_SPARSE_SVG_MASK_H

#include "sparse/band.h"

typedef enum fili_svg_kind { FILI_SVG_SPATIAL, FILI_SVG_TEMPORAL } fili_svg_kind;

/* mask [1, M, M] over blocks of the raster order; width in tokens, >= 0. E_ARG, E_SHAPE. */
FIL_MUSTCHECK fil_status fili_svg_mask(fili_mask *mask, const fili_blocks *blocks, fili_grid grid,
                                       fili_svg_kind kind, int64_t width);

/* The same with the width that meets a density (band.h says how well). Where that would leave a
 * band of less than half a frame to either side, which holds less than the first frame does, the
 * first frame gives way: it shrinks to a band of places and to nothing, and only then the band
 * narrows. E_ARG, E_SHAPE, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_svg_fit(fili_mask *mask, const fili_blocks *blocks, fili_grid grid,
                                      fili_svg_kind kind, double density);

#endif
