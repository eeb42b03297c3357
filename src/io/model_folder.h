/* io/model_folder.h: which tensor files a model folder has, and which published layout it follows.
 *
 * Looks at names, at the kinds of entries, and into shard indexes; tensor files are not read.
 * Behind fil_folder_* of filigree/file.h.
 */
#ifndef FILI_IO_MODEL_FOLDER_H
#define FILI_IO_MODEL_FOLDER_H

#include "base/arena.h"
#include "filigree/file.h"

/* Entries that a folder and its direct subfolders may have together. */
#define FILI_FOLDER_ENTRIES 65536u

typedef struct fili_folder {
    fil_ctx     *ctx;
    fili_arena   arena;
    const char **files; /* [n_files] relative paths, sorted byte-wise */
    size_t       n_files;
    const char  *layout; /* static storage */
} fili_folder;

/* Hidden entries (leading '.') are ignored. Skipped with a warning: names that are not printable,
 * and, unless flags has FIL_OPEN_TRUSTED, symbolic links. E_MISMATCH: no tensor file; E_LIMIT: too
 * many entries, or more tensor files than the limit on shards; E_FORMAT: a malformed index; E_IO;
 * E_NOMEM. On failure *folder is closed. */
FIL_MUSTCHECK fil_status fili_folder_open(fili_folder *folder, fil_ctx *ctx, const char *path,
                                          uint32_t flags);
/* Idempotent. */
void fili_folder_fini(fili_folder *folder);

#endif
