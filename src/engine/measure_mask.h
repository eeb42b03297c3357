/* engine/measure_mask.h: blocks and masks for measurements: random, window, frames, or from a file.
 *
 * Every row of a made mask keeps the same number of blocks, so that density is what was asked for
 * up to the rounding to whole blocks.
 */
#ifndef FILI_ENGINE_MEASURE_MASK_H
#define FILI_ENGINE_MEASURE_MASK_H

#include "filigree/bench.h"
#include "sparse/mask.h"

/* Frames that `density` makes of n tokens, for FIL_BENCH_FRAMES; 1 for the others. */
int64_t fili_bench_frames(fil_bench_mask kind, double density, int64_t n);

/* Offsets [m + 1] of runs of 64 over n tokens, begun anew in each of `frames` frames of the same
 * length. Returns m; offset NULL: counts only. */
int32_t fili_bench_offsets(int64_t n, int64_t frames, int32_t *offset);

/* Fills the empty mask. offset: that of frames made by fili_bench_offsets. */
void fili_bench_make_mask(fili_mask *mask, fil_bench_mask kind, double density, int64_t frames,
                          const int32_t *offset, uint64_t seed);

/* Kept pairs over all pairs with the sinks [n_sinks] counted once, and the same with each block
 * that is left out counted as one key if `tail`. mask->bits NULL: every block. */
void fili_bench_density(const fili_mask *mask, const int32_t *offset, const int32_t *sinks,
                        int32_t n_sinks, int32_t tail, double *density, double *work);

#endif
