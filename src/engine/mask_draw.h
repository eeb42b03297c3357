/* engine/mask_draw.h: a mask becomes grey cells (filigree/masks.h). */
#ifndef FILI_ENGINE_MASK_DRAW_H
#define FILI_ENGINE_MASK_DRAW_H

#include "sparse/mask_file.h"

/* Which cells a picture has. A cell is a pair of blocks, or of groups of tokens that follow each
 * other in raster order. */
typedef struct fili_mask_cells {
    fil_ctx              *ctx;
    const fili_mask_file *file;
    bool                  raster;
    int32_t               rows, columns;
    int32_t               group; /* raster: tokens of a cell's side */
    /* raster: [n] block of each token, [mq] tokens of the row of cells in each query block,
     * [mk] their kept pairs with a token of each key block */
    int32_t  *block_q, *block_k, *tokens;
    uint64_t *pairs;
    size_t    bytes; /* of the one piece of memory behind the four */
    void     *memory;
} fili_mask_cells;

/* `file` outlives *out. E_NOMEM; on failure *out is empty. */
FIL_MUSTCHECK fil_status fili_mask_cells_init(fili_mask_cells *out, const fili_mask_file *file,
                                              bool raster);
void                     fili_mask_cells_fini(fili_mask_cells *cells); /* idempotent */

/* Row r of head h: grey[columns], 255 where no pair is kept and 0 where all are, and only there. */
void fili_mask_cells_row(fili_mask_cells *cells, const fili_mask *mask, int32_t h, int32_t r,
                         uint8_t *grey);

/* Head h as grey [rows, columns] of block pairs, rows <= mq and columns <= mk, into an RGB picture
 * whose rows are `stride` pixels apart. */
void fili_mask_thumbnail(const fili_mask *mask, int32_t h, int32_t rows, int32_t columns,
                         uint8_t *rgb, size_t stride);

#endif
