/* sparse/block_rank.h: all block pairs of a head in the order in which they are worth keeping.
 *
 * One list per head instead of the k best of each row: a row whose attention is spread gets many
 * blocks where that pays more than one more block for a row that looks at one place. Value is the
 * score per pair of tiles, that is per token pair also where blocks are ragged. The best block of
 * each row stands before all others, so that no row is left empty while the budget lasts.
 */
#ifndef FILI_SPARSE_BLOCK_RANK_H
#define FILI_SPARSE_BLOCK_RANK_H

#include "base/arena.h"

typedef struct fili_block_rank {
    int32_t   m;
    uint32_t *key[2];   /* [m * m] */
    int32_t  *index[2]; /* [m * m] row * m + column; index[0] is sorted, best first */
    uint8_t  *level;    /* [m * m] of fili_block_rank_levels */
} fili_block_rank;

FIL_MUSTCHECK fil_status fili_block_rank_init(fili_block_rank *out, fili_arena *arena, int32_t m);

/* Sorts. score: [m, m], NaN is worth least; of equal ones the lower row, then the lower column
 * first. tiles: [m + 1] first tile of each block. */
void fili_block_rank_sort(fili_block_rank *rank, const float *score, const int32_t *tiles);

/* What each budget buys: level of a pair = number of budgets (rising, at most 254) that do not
 * reach it. A pair costs rows[u] * columns[v]; a budget buys the list up to the first pair that it
 * cannot pay. */
void fili_block_rank_levels(fili_block_rank *rank, const int32_t *rows, const int32_t *columns,
                            const double *budget, int32_t n);

#endif
