/* io/safetensors_writer.h: writes a safetensors file of any size in constant memory.
 *
 * The layout is decided at open from names, dtypes and shapes alone; after that each piece of data
 * goes straight to its place. The file appears under its name at finish, whole, or not at all
 * (fili_atomic). Equal input gives equal bytes. Behind fil_writer_* of filigree/file.h.
 */
#ifndef FILI_IO_SAFETENSORS_WRITER_H
#define FILI_IO_SAFETENSORS_WRITER_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/file.h"
#include "filigree/file.h"

/* The data area begins at a multiple of this: a cache line, and the widest vector. */
#define FILI_SAFETENSORS_ALIGN 64u

typedef struct fili_slot {
    const char *name;   /* in the writer's arena */
    uint64_t    offset; /* of the first byte, from the start of the file */
    uint64_t    bytes;
    uint64_t    done; /* written so far, <= bytes */
} fili_slot;

typedef struct fili_writer {
    fil_ctx    *ctx;
    fili_arena  arena;
    fili_atomic file;
    fili_slot  *slots; /* [n_slots], in the caller's order */
    size_t      n_slots;
    uint64_t    bytes; /* of the whole file */
    int         dead;  /* a write failed: only closing is left */
} fili_writer;

typedef struct fili_writer_input {
    const fil_tensor_desc *tensors;
    size_t                 n_tensors;
    const fil_pair        *metadata;
    size_t                 n_pairs;
} fili_writer_input;

/* Checks the input, opens the temporary file, gives it its final size and writes the header.
 * E_ARG: a name, dtype, shape or metadata text that no reader would accept, or one used twice;
 * E_LIMIT: more than the context's limits let us read again; E_IO; E_NOMEM. On failure *w is
 * closed. */
FIL_MUSTCHECK fil_status fili_writer_open(fili_writer *w, fil_ctx *ctx, const char *path,
                                          const fili_writer_input *input, int replace);

/* The beginning of any writer's open: *w is set up, its slots have names and bytes; where they lie
 * is the caller's to say, and so is the file. blocks: block types are accepted. E_ARG, E_LIMIT,
 * E_NOMEM as above; on failure *w is closed. */
FIL_MUSTCHECK fil_status fili_writer_begin(fili_writer *w, fil_ctx *ctx,
                                           const fili_writer_input *input, bool blocks);

/* Appends to slot i < n_slots. E_ARG: more than it holds; the writer stays usable. E_IO: it does
 * not. */
FIL_MUSTCHECK fil_status fili_writer_put(fili_writer *w, size_t i, const void *data,
                                         uint64_t bytes);

/* Closes *w whatever the result. E_ARG: a slot is incomplete; E_IO. */
FIL_MUSTCHECK fil_status fili_writer_finish(fili_writer *w);

/* Removes the temporary file and frees everything. Idempotent. */
void fili_writer_close(fili_writer *w);

#endif
