/* sparse/west_map.h: from block masses to one level per block (WEST).
 *
 * ScalingAttention (arXiv 2606.23019), section 4.1 and algorithm 1, as DESIGN reads it. Candidate
 * levels p are shares of the softmax mass. In each row of query blocks the key blocks are sorted by
 * mass; a block's level is the smallest p for which the blocks before it hold less than p: the
 * block that crosses p is in, so that what is kept at p is never below p, and no row is empty. Of
 * several prompts the smallest level counts (their union); then one byte per block holds the masks
 * of all levels: keep a block where its level is at most the one asked for.
 *
 * The mean of the masses is an alternative to the union of the masks: sum the shares with
 * fili_west_sum, then take the levels of the sums. Nothing here knows of layers, steps or files.
 */
#ifndef FILI_SPARSE_WEST_MAP_H
#define FILI_SPARSE_WEST_MAP_H

#include "sparse/blocks.h"

/* Most levels; an index then has a bit to spare, which fili_levels_bits needs. */
#define FILI_LEVELS_MOST 128

/* E_ARG: fewer than 1 or more than FILI_LEVELS_MOST, not rising, not above 0, or the last not 1. */
FIL_MUSTCHECK fil_status fili_levels_check(fil_ctx *ctx, const float *levels, int32_t n);

/* 1/n, 2/n, ... 1. */
void fili_levels_even(float *levels, int32_t n);

/* Bits of a row: bit b of row[words] = level[b] <= level. m blocks; bits from m on are 0. */
void fili_levels_bits(const uint8_t *level, int32_t m, uint8_t most, uint32_t *row);

/* ---- one row -------------------------------------------------------------------------------- */

/* Bytes of scratch for rows of m blocks, per thread; aligned to FILI_ALIGN. */
size_t fili_west_scratch(int32_t m);

/* level[m] of the masses of one row; equal masses keep their order. False, and nothing written, if
 * a mass is negative, infinite or NaN, or all are 0: such a row says nothing. */
bool fili_west_row(const float *mass, int32_t m, const float *levels, int32_t n_levels,
                   void *scratch, uint8_t *level);

/* ---- maps ----------------------------------------------------------------------------------- */

typedef struct fili_west_args {
    const float *mass; /* [heads, m, m] */
    int32_t      heads, m;
    const float *levels; /* [n_levels], checked */
    int32_t      n_levels;
    void        *scratch; /* fili_west_scratch(m) for each thread of the context */
    uint8_t     *map;     /* [heads, m, m] */
} fili_west_args;

/* What a further map added to the union. */
typedef struct fili_west_growth {
    uint64_t bytes; /* blocks whose level fell */
    uint64_t bits; /* mask bits, over all levels, that are set now and were not: the sum of falls */
} fili_west_growth;

/* An empty map: everything at the last level. */
void fili_west_begin(uint8_t *map, int32_t heads, int32_t m, int32_t n_levels);

/* map = min(map, levels of mass); growth (may be NULL) is added to. The same for any number of
 * threads. E_NONFINITE: a row that says nothing, and which; the map is then undefined. */
FIL_MUSTCHECK fil_status fili_west_join(fil_ctx *ctx, const fili_west_args *args,
                                        fili_west_growth *growth);

/* sum[heads, m, m] += mass over the total of its row. E_NONFINITE as above. */
FIL_MUSTCHECK fil_status fili_west_sum(fil_ctx *ctx, const float *mass, int32_t heads, int32_t m,
                                       float *sum);

/* Masses of pairs of blocks: pair[heads, ceil(m/2), ceil(m/2)]. */
void fili_west_pairs(const float *mass, int32_t heads, int32_t m, float *pair);

#endif
