/* io/piece_log.h: what has been decoded, on disk in pieces until the outputs stand, so that a run
 * that is stopped need not make it again.
 *
 *     line of text: "filigree.frames.2 MADE_OF", with a newline, 128 bytes filled up with blanks
 *     a mark: 156 bytes of text, or zeros, and their CRC, like a piece
 *     pieces, each where its owner puts it: its bytes, then their CRC-32, four bytes, least
 *     significant first
 *
 * It is written in place and never synced: what a kill or a power cut has left of a piece, or what
 * somebody has changed of it, is found out by its CRC, and that piece counts as not there. MADE_OF
 * tells what the pieces were made of; with another one nothing in the file counts.
 */
#ifndef FILI_IO_PIECE_LOG_H
#define FILI_IO_PIECE_LOG_H

#include "base/spool.h"

enum {
    FILI_PIECE_LOG_HEAD  = 128,
    FILI_PIECE_CRC       = 4,
    FILI_PIECE_MADE_OF   = 100,
    FILI_PIECE_MARK      = 156,
    FILI_PIECE_LOG_FRONT = FILI_PIECE_LOG_HEAD + FILI_PIECE_MARK + FILI_PIECE_CRC
};

typedef struct fili_piece_log {
    fil_ctx   *ctx;
    fili_spool spool;
    bool       goes_on; /* there may be pieces of an earlier run that count */
} fili_piece_log;

typedef struct fili_piece_log_what {
    const char *path;    /* NULL: a file without a name, of which nothing is left, */
    const char *beside;  /* and then as in fili_spool_open */
    const char *made_of; /* less than FILI_PIECE_MADE_OF bytes; not read without a path */
    bool        goes_on; /* what is there already counts, if it was made of the same; else it is
                            thrown away, and the log of the context says so */
} fili_piece_log_what;

/* Bytes on disk of n pieces that hold so many bytes in all. */
uint64_t fili_piece_log_bytes(int64_t n, uint64_t bytes);

/* Before a run that goes on: E_IO if a file is there that is no log. Nothing there is no failure.
 */
FIL_MUSTCHECK fil_status fili_piece_log_look(fil_ctx *ctx, const char *path);

/* E_IO; on failure *log is closed. */
FIL_MUSTCHECK fil_status fili_piece_log_open(fili_piece_log *log, fil_ctx *ctx,
                                             const fili_piece_log_what *what);

/* Places count from behind the mark; each piece takes FILI_PIECE_CRC bytes more than it holds. */

/* Whether the piece is there, whole. Reads it, through a small buffer. */
bool fili_piece_log_has(const fili_piece_log *log, uint64_t at, uint64_t bytes);
/* E_IO: also where the piece is not whole. */
FIL_MUSTCHECK fil_status fili_piece_log_get(const fili_piece_log *log, uint64_t at, void *dst,
                                            size_t bytes);
FIL_MUSTCHECK fil_status fili_piece_log_put(fili_piece_log *log, uint64_t at, const void *src,
                                            size_t bytes);

/* Into the log `path`, that is not open: what its pieces were made into, less than FILI_PIECE_MARK
 * bytes; synced. It is gone when the log is begun anew. E_IO: also where no log is there. */
FIL_MUSTCHECK fil_status fili_piece_log_mark(fil_ctx *ctx, const char *path, const char *text);
/* false: there is no log, or no mark in it. */
bool fili_piece_log_marked(const fil_ctx *ctx, const char *path, char text[FILI_PIECE_MARK]);

/* A file with a name stays. Idempotent; a zeroed log is accepted. */
void fili_piece_log_close(fili_piece_log *log);
/* The outputs stand: the file is removed, after it was closed. NULL is accepted. */
void fili_piece_log_remove(fil_ctx *ctx, const char *path);

#endif
