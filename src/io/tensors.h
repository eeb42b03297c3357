/* io/tensors.h: the directory of named tensors that every reader fills and every user asks.
 *
 * A reader (safetensors.c, pth.c, gguf.c) opens its file, validates everything that is not
 * weights, and adds entries. fili_tensors_seal sorts them by name and refuses duplicates. After
 * that the set is read-only. Bytes are reached in two ways: fili_tensors_read copies (always), and
 * fili_tensors_map gives a view into a mapping (trusted mode only).
 */
#ifndef FILI_IO_TENSORS_H
#define FILI_IO_TENSORS_H

#include "base/arena.h"
#include "base/file.h"
#include "filigree/file.h"

typedef struct fili_entry {
    const char *name; /* in the set's arena */
    fil_dtype   dtype;
    int32_t     source; /* index into sources */
    uint32_t    rank;
    int64_t     shape[FIL_MAX_RANK];
    uint64_t    offset; /* of the first byte in the source */
    uint64_t    bytes;
} fili_entry;

typedef struct fili_source {
    fili_file   file;
    const char *name;    /* base name, in the set's arena */
    void       *mapping; /* NULL unless trusted */
} fili_source;

typedef struct fili_tensors {
    fil_ctx     *ctx;
    fili_arena   arena;  /* names, metadata, arrays */
    const char  *format; /* static storage: "safetensors", ... */
    uint32_t     flags;  /* FIL_OPEN_* */
    fili_entry  *entries;
    size_t       n_entries, max_entries;
    fili_source *sources;
    size_t       n_sources, max_sources;
    fil_pair    *metadata;
    size_t       n_pairs;
} fili_tensors;

/* Takes nothing yet; fini is safe from here on, also after a failure at any point. */
void fili_tensors_init(fili_tensors *set, fil_ctx *ctx, uint32_t flags);
void fili_tensors_fini(fili_tensors *set);

/* Room for `more` further entries, within ctx's limit on tensors (E_LIMIT). */
FIL_MUSTCHECK fil_status fili_tensors_reserve(fili_tensors *set, size_t more);

/* Opens `path` relative to `dir` as a further source; *source = its index. flags as fili_file_open.
 */
FIL_MUSTCHECK fil_status fili_tensors_source(fili_tensors *set, int dir, const char *path,
                                             int flags, int32_t *source);

/* Adds one entry; room was reserved. Checks the name (not empty, within the limit, UTF-8, no
 * control characters; need not be NUL-terminated, is copied), the rank, that no dimension is
 * negative, that shape and dtype give exactly `bytes`, and that offset + bytes lies inside the
 * source. entry->name is ignored. E_FORMAT, E_LIMIT, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_tensors_add(fili_tensors *set, const char *name, size_t name_bytes,
                                          const fili_entry *entry);

/* Sorts by name; E_FORMAT if two are equal. Trusted sets: maps the sources. */
FIL_MUSTCHECK fil_status fili_tensors_seal(fili_tensors *set);

/* NULL if there is none. Binary search. */
const fili_entry *fili_tensors_find(const fili_tensors *set, const char *name);

/* Value of a key of the metadata, borrowed from the set; NULL if there is none. */
const char *fili_tensors_metadata(const fili_tensors *set, const char *key);

/* Copies part of a tensor's bytes. E_ARG: outside the tensor. E_IO. */
FIL_MUSTCHECK fil_status fili_tensors_read(const fili_tensors *set, const fili_entry *entry,
                                           uint64_t begin, void *dst, uint64_t bytes);

/* A hint to the system: its bytes will be wanted soon, read or mapped. */
void fili_tensors_will_read(const fili_tensors *set, const fili_entry *entry);

/* The tensor's bytes in the mapping, not aligned beyond 1; NULL if the set is not trusted. */
const void *fili_tensors_map(const fili_tensors *set, const fili_entry *entry);

/* ---- readers -------------------------------------------------------------------------------- */

/* Opens any supported file, telling the format from its content (and an index from its ending). */
FIL_MUSTCHECK fil_status fili_tensors_open(fili_tensors *set, const char *path);

/* Several files as one set, n >= 1: shards that come without an index. */
FIL_MUSTCHECK fil_status fili_tensors_open_all(fili_tensors *set, const char *const *paths,
                                               size_t n);

/* One reader each: `set` has been init'ed; the caller seals. `source` is open already. */
FIL_MUSTCHECK fil_status fili_safetensors_read_header(fili_tensors *set, int32_t source);
FIL_MUSTCHECK fil_status fili_pth_read_header(fili_tensors *set, int32_t source);
FIL_MUSTCHECK fil_status fili_gguf_read_header(fili_tensors *set, int32_t source);
FIL_MUSTCHECK fil_status fili_index_read(fili_tensors *set, const char *path);

#endif
