/* base/spool.h: bytes that wait on disk for their turn: in a temporary file beside what they are
 * for, or in one with a name, that a run which goes on finds again.
 *
 * The temporary file loses its name as soon as it is open, so nothing of it is left behind however
 * the process ends; it takes the disk only while the spool is open. The one with a name stays.
 */
#ifndef FILI_BASE_SPOOL_H
#define FILI_BASE_SPOOL_H

#include "base/file.h"

typedef struct fili_spool {
    fili_atomic file;  /* that never appears; with a name: its descriptor, and what messages say */
    bool        named; /* the file stays when the spool is closed */
} fili_spool;

#define FILI_SPOOL_CLOSED ((fili_spool){.file = {.fd = -1, .dir = -1}})

/* In the folder of the file `beside`; NULL: in $TMPDIR, else in /tmp. E_IO: it cannot be written.
 */
FIL_MUSTCHECK fil_status fili_spool_open(fil_ctx *ctx, const char *beside, fili_spool *out);
/* The file `path` with what it holds, or a new one. E_IO: it cannot be opened, is a link, another
 * process has it open like this, ... */
FIL_MUSTCHECK fil_status fili_spool_open_named(fil_ctx *ctx, const char *path, fili_spool *out);
/* E_IO: the disk is full, ... */
FIL_MUSTCHECK fil_status fili_spool_write(fil_ctx *ctx, fili_spool *spool, uint64_t offset,
                                          const void *src, size_t bytes);
/* What was written there. E_IO. */
FIL_MUSTCHECK fil_status fili_spool_read(fil_ctx *ctx, const fili_spool *spool, uint64_t offset,
                                         void *dst, size_t bytes);
/* The same where it is no failure if it is not there: false. */
bool fili_spool_peek(const fil_ctx *ctx, const fili_spool *spool, uint64_t offset, void *dst,
                     size_t bytes);
/* Throws away what it holds. E_IO. */
FIL_MUSTCHECK fil_status fili_spool_empty(fil_ctx *ctx, fili_spool *spool);
void                     fili_spool_close(fil_ctx *ctx, fili_spool *spool); /* idempotent */

#endif
