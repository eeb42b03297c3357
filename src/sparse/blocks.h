/* sparse/blocks.h: the ordered sequence, cut into consecutive runs.
 *
 * A block is a run of 1 to 64 tokens: `offset` rises strictly from 0 to N. Nothing is padded; a
 * ragged cube or the end of the sequence is a shorter run, and a run never crosses a cube. Two
 * other cuts are derived: pairs of blocks for methods that speak of 128 tokens, and sub-runs of at
 * most 16 for DFSAttn's tiles.
 */
#ifndef FILI_SPARSE_BLOCKS_H
#define FILI_SPARSE_BLOCKS_H

#include "sparse/order.h"

#define FILI_BLOCK_TOKENS  64
#define FILI_SUBRUN_TOKENS 16

typedef struct fili_blocks {
    fil_ctx *ctx;
    int32_t  m;
    int32_t *offset; /* [m + 1] */
} fili_blocks;

static inline int32_t fili_blocks_valid(const fili_blocks *blocks, int32_t b)
{
    return blocks->offset[b + 1] - blocks->offset[b];
}

/* Tokens of the whole sequence. */
static inline int32_t fili_blocks_tokens(const fili_blocks *blocks)
{
    return blocks->offset[blocks->m];
}

/* The block that a token, 0 to N - 1, lies in; in O(log m). */
int32_t fili_blocks_find(const fili_blocks *blocks, int32_t token);

/* All of the following fill *out; on failure it is empty. E_NOMEM where nothing else is said. */

/* Runs of at most 64, begun anew at every piece of the order. */
FIL_MUSTCHECK fil_status fili_blocks_from_order(fili_blocks *out, const fili_order *order);

/* Runs of 64 over n tokens, the last one shorter. E_ARG: n < 1. */
FIL_MUSTCHECK fil_status fili_blocks_uniform(fili_blocks *out, fil_ctx *ctx, int32_t n);

/* A copy of a caller's offsets [m + 1] over n tokens. E_ARG: m < 1, not first 0, not rising, a run
 * of more than 64, or last not n. */
FIL_MUSTCHECK fil_status fili_blocks_from_offsets(fili_blocks *out, fil_ctx *ctx,
                                                  const int32_t *offset, int32_t m, int32_t n);

/* Blocks 2i and 2i + 1 as one; the last stands alone where m is odd. */
FIL_MUSTCHECK fil_status fili_blocks_pairs(fili_blocks *out, const fili_blocks *blocks);

/* Runs of at most `tokens`, 1 to 64, begun anew at every block. Runs first[b] .. first[b + 1] - 1
 * are those of block b; first: [m + 1], or NULL. */
FIL_MUSTCHECK fil_status fili_blocks_split(fili_blocks *out, const fili_blocks *blocks,
                                           int32_t tokens, int32_t *first);

/* Idempotent; zeroed blocks are accepted. */
void fili_blocks_fini(fili_blocks *blocks);

#endif
