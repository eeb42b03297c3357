/* sparse/tile_scores.h: which blocks a query block wants, from the means of tiles of 16 tokens.
 *
 * DFSAttn's estimate (arXiv 2605.23445): the softmax of a mean query tile over all mean key tiles,
 * summed over the tiles of a pair of blocks. In f32; a short tile is the mean of what it holds, and
 * nothing is padded. Scored blocks are those of the sequence, or pairs of them (128 tokens).
 * Kernels: kernel/pooling.h, kernel/select.h. Memory is taken once; a run takes none.
 */
#ifndef FILI_SPARSE_TILE_SCORES_H
#define FILI_SPARSE_TILE_SCORES_H

#include "base/arena.h"
#include "kernel/pooling.h"
#include "kernel/select.h"
#include "sparse/blocks.h"

typedef struct fili_tile_scores {
    fil_ctx             *ctx;
    int32_t              per; /* blocks of the sequence in a scored one: 1 or 2 */
    int32_t              m;   /* scored blocks */
    fili_blocks          tiles;
    int32_t             *first; /* [m + 1] tiles of a scored block */
    filk_pooling_problem pooling;
    filk_select_problem  select;
    const filk_row      *pooling_row, *select_row;
    float               *q, *k; /* [tiles, heads, D] means of the last run */
    int32_t             *count; /* [heads, tiles] 0: a key tile that holds a NaN or infinity */
    void                *workspace;
} fili_tile_scores;

/* blocks: of queries and keys, borrowed. On failure, and whenever it is done with, fini is to be
 * called. E_ARG: per; E_UNSUP: no kernel takes the heads; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_tile_scores_init(fili_tile_scores *out, fil_ctx *ctx,
                                               fili_arena *arena, const fili_blocks *blocks,
                                               int32_t per, int32_t heads, int32_t head_dim,
                                               fil_dtype dtype);

/* The same with tiles of at most `tile` tokens, 1 to 64, and each block by itself. */
FIL_MUSTCHECK fil_status fili_tile_scores_init_of(fili_tile_scores *out, fil_ctx *ctx,
                                                  fili_arena *arena, const fili_blocks *blocks,
                                                  int32_t tile, int32_t heads, int32_t head_dim,
                                                  fil_dtype dtype);

void fili_tile_scores_fini(fili_tile_scores *t);

/* A NaN or infinity in a token takes its tile of keys out, and makes its tile of queries vote for
 * all alike; other tiles go on as ever. The `keep` scored blocks of the largest scores: mask
 * [heads, m, words], and if not NULL the scores [heads, m, m]. 1 <= keep <= m. */
FIL_MUSTCHECK fil_status fili_tile_scores_run(fili_tile_scores *t, filk_attn_view q,
                                              filk_attn_view k, float scale, int32_t keep,
                                              uint32_t *mask, float *score);

#endif
