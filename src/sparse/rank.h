/* sparse/rank.h: filling the rows of a mask in the order of a key until the row's share is used up.
 *
 * Keys of a row go into a heap, from which they come smallest first; of equal keys the lower index
 * first, NaN last: so the choice is the same everywhere. A row's share is the density of the call:
 * where all blocks but the last are of one length it is the whole number of blocks that the other
 * policies take too, max(1, floor(density M)); on ragged blocks, where a count of blocks would
 * miss the density by what the blocks happen to hold, it is density N tokens, met to half a block.
 */
#ifndef FILI_SPARSE_RANK_H
#define FILI_SPARSE_RANK_H

#include "sparse/mask.h"

typedef struct fili_ranked {
    double  key;
    int32_t index;
} fili_ranked;

/* Makes a heap of heap[0..n). */
void fili_rank_begin(fili_ranked *heap, int32_t n);

/* Takes the first of the heap's *n > 0 out and returns its index. */
int32_t fili_rank_next(fili_ranked *heap, int32_t *n);

/* What one row may keep. */
typedef struct fili_row_share {
    int32_t blocks; /* at most; M where tokens decide */
    double  tokens; /* at most, to half a block; infinite where blocks decide */
} fili_row_share;

/* 0 < density <= 1. */
fili_row_share fili_row_share_of(const fili_blocks *blocks, double density);

/* Sets the bits of a cleared row from a heap of all blocks: at least one, then as many as the share
 * allows. The heap is used up. */
void fili_row_fill(fili_ranked *heap, const fili_blocks *blocks, fili_row_share share,
                   uint32_t *row);

#endif
