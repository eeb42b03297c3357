/* sparse/mask_file.h: masks in a file that anything can read.
 *
 * A safetensors file: `words` u32 [G,H,M,W], G masks of H heads (1 = all heads alike); `map` i32
 * [G,3], the layer, step and pass that each belongs to (-1 = any); `order` i32 [N], the raster
 * index of the i-th token; `q_offsets` and `k_offsets` i32 [M + 1], the blocks of the ordered
 * sequence; metadata `format` = "filigree.mask.1", `grid` = "f,h,w", `order_name`.
 *
 * Writing is a stream, one mask after the other. Opening validates everything but the words, which
 * are read and checked one mask at a time: neither side holds more than one of them.
 */
#ifndef FILI_SPARSE_MASK_FILE_H
#define FILI_SPARSE_MASK_FILE_H

#include "io/safetensors_writer.h"
#include "io/tensors.h"
#include "sparse/mask.h"

#define FILI_MASK_FORMAT "filigree.mask.1"
#define FILI_MASK_ANY    (-1)

/* Where a mask applies. Each is FILI_MASK_ANY or counts from 0. */
typedef struct fili_mask_key {
    int32_t layer, step, pass;
} fili_mask_key;

/* E_ARG: a key below -1, or one that is there twice. E_NOMEM. */
FIL_MUSTCHECK fil_status fili_mask_map_check(fil_ctx *ctx, const fili_mask_key *map, int32_t n);

/* ---- writing -------------------------------------------------------------------------------- */

typedef struct fili_mask_desc {
    const fili_order    *order;
    const char          *order_name; /* NULL: the name of order->spec */
    const fili_blocks   *q, *k;      /* both over order->n tokens */
    const fili_mask_key *map;        /* [n_masks], no two alike */
    int32_t              n_masks;
    int32_t              heads;
} fili_mask_desc;

typedef struct fili_mask_writer {
    fil_ctx    *ctx;
    fili_writer file;
    int32_t     heads, mq, mk;
    int32_t     n_masks, done;
} fili_mask_writer;

/* Begins the file and writes all but the masks. `desc` is borrowed for the call. E_ARG, E_SHAPE,
 * E_IO, E_NOMEM; on failure *out is closed. */
FIL_MUSTCHECK fil_status fili_mask_writer_open(fili_mask_writer *out, fil_ctx *ctx,
                                               const char *path, const fili_mask_desc *desc,
                                               int replace);

/* The next mask, in the order of desc->map. A shared mask is repeated where the file has heads.
 * E_SHAPE; E_ARG: one too many, or a stray bit; E_IO. */
FIL_MUSTCHECK fil_status fili_mask_writer_put(fili_mask_writer *writer, const fili_mask *mask);

/* Makes the file appear. Closes *writer whatever the result. E_ARG: masks are missing; E_IO. */
FIL_MUSTCHECK fil_status fili_mask_writer_finish(fili_mask_writer *writer);

/* Gives up. Idempotent. */
void fili_mask_writer_close(fili_mask_writer *writer);

/* ---- reading -------------------------------------------------------------------------------- */

typedef struct fili_mask_file {
    fil_ctx          *ctx;
    fili_tensors      set;
    const fili_entry *words;
    const char       *order_name; /* printable; borrowed from the file */
    fili_grid         grid;
    int32_t           n;     /* tokens */
    int32_t          *order; /* [n] */
    fili_blocks       q, k;
    int32_t           n_masks, heads;
    fili_mask_key    *map; /* [n_masks] */
} fili_mask_file;

/* E_FORMAT: not a mask file, or broken: a tensor missing or of another type, `order` no
 * permutation, offsets that do not rise, a key in `map` below -1 or there twice. E_MISMATCH: parts
 * do not fit each other: shapes, grid, or `order` is not what `order_name` stands for (names that
 * filigree does not know are taken as they are). E_LIMIT, E_IO, E_NOMEM as fili_tensors_open. On
 * failure *out is closed. */
FIL_MUSTCHECK fil_status fili_mask_file_open(fili_mask_file *out, fil_ctx *ctx, const char *path);

/* Idempotent. */
void fili_mask_file_close(fili_mask_file *file);

/* The first mask whose key fits: equal or -1 in each place. -1 if there is none. */
int32_t fili_mask_file_find(const fili_mask_file *file, fili_mask_key key);

/* Mask i into `mask`, which has the file's heads and blocks. E_ARG: no such mask; E_SHAPE;
 * E_FORMAT: a bit beyond the key blocks is set; E_IO. The last two leave the mask empty. */
FIL_MUSTCHECK fil_status fili_mask_file_read(fili_mask_file *file, int32_t i, fili_mask *mask);

#endif
