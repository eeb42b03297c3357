/* kernel/cpu/tile.h: the pass over a finished tile of a product, while it lies in the cache.
 *
 *     out = gate * act(acc + bias) + residual
 *
 * A library primitive leaves f32 sums in a small tile; this adds what follows and writes them where
 * they belong, in their type and with any stride. Used by linear and conv3d. It is faster than the
 * library's own fused steps and puts no condition on strides (docs/design/linear.md). Sums may lie
 * in panels of some columns each, one panel behind the other (linear_amx.c).
 */
#ifndef FILK_CPU_TILE_H
#define FILK_CPU_TILE_H

#include "filigree/file.h"
#include "kernel/linear.h"

typedef struct filk_tile {
    const float    *acc; /* [rows, cols] */
    int64_t         acc_stride;
    int64_t         panel;        /* columns that stand side by side in acc; 0 = all */
    int64_t         panel_stride; /* from these to the next, where panel > 0 */
    int64_t         rows, cols;
    filk_activation act;
    const float    *bias;     /* [cols]; NULL = 0 */
    const float    *gate;     /* [cols]; NULL = 1 */
    const void     *residual; /* [rows, cols]; NULL = 0 */
    fil_dtype       residual_dtype;
    int64_t         residual_stride;
    void           *out; /* may be residual */
    fil_dtype       out_dtype;
    int64_t         out_stride;
} filk_tile;

typedef void (*filk_tile_fn)(const filk_tile *tile);

void filk_tile_avx2(const filk_tile *tile);
void filk_tile_avx512(const filk_tile *tile);

#endif
