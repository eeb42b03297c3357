/* kernel/rope_table.h: cosines and sines of the 3-axis rotary position embedding.
 *
 * Tokens of a grid f x h x w lie in raster order, x fastest. The D/2 pairs of a head are shared out
 * to time, height, width: A = (D - 4 (D/6)), 2 (D/6), 2 (D/6) real dimensions in this order. Pair i
 * of an axis turns by position * 10000^(-2i/A) (Su et al. 2021; the split is Wan's). Angles, cosine
 * and sine in f64, stored as f32.
 */
#ifndef FILK_ROPE_TABLE_H
#define FILK_ROPE_TABLE_H

#include "base/ctx.h"

typedef struct filk_rope_grid {
    int32_t f, h, w;  /* tokens */
    int32_t head_dim; /* D: even */
} filk_rope_grid;

/* cos_table, sin_table [n, D/2]: row i belongs to the token with raster index order[i] (NULL: i).
 * E_ARG: sizes below 1, D odd, n above f h w, or an index outside the grid. */
FIL_MUSTCHECK fil_status fili_rope_table(fil_ctx *ctx, const filk_rope_grid *grid,
                                         const int32_t *order, int64_t n, float *cos_table,
                                         float *sin_table);

#endif
