/* sparse/topology_transfer.h: a map of levels on another grid.
 *
 * scaling_dfs.md 1.3, the safer of its readings: by coordinates, not by stretching the matrix. A
 * token of the target covers the base cells floor(a nb/nt) .. ceil((a + 1) nb/nt) - 1 on each axis,
 * a block of the target all base blocks that its tokens touch; a pair of target blocks gets the
 * smallest level of the base pairs that it covers. So a block is kept wherever the base keeps
 * anything of it, on any grid, also with another number of frames.
 */
#ifndef FILI_SPARSE_TOPOLOGY_TRANSFER_H
#define FILI_SPARSE_TOPOLOGY_TRANSFER_H

#include "sparse/blocks.h"

/* Which base blocks each target block touches: bit b of row t. */
typedef struct fili_cover {
    fil_ctx  *ctx;
    int32_t   mt, mb; /* blocks of the target and of the base */
    int32_t   words;  /* of a row */
    uint32_t *bits;   /* [mt, words] */
} fili_cover;

typedef struct fili_cover_side {
    const fili_order  *order;
    const fili_blocks *blocks;
} fili_cover_side;

/* E_NOMEM; on failure *out is empty. Both sides' blocks lie over their orders' tokens. */
FIL_MUSTCHECK fil_status fili_cover_init(fili_cover *out, fil_ctx *ctx, const fili_cover_side *base,
                                         const fili_cover_side *target);
/* Idempotent; a zeroed cover is accepted. */
void fili_cover_fini(fili_cover *cover);

/* Bytes that init takes for so many blocks. Saturates. */
uint64_t fili_cover_bytes(int32_t mt, int32_t mb);

/* target[mt, mt] from base[mb, mb]; scratch: [mb] bytes. */
void fili_cover_apply(const fili_cover *cover, const uint8_t *base, uint8_t *scratch,
                      uint8_t *target);

#endif
