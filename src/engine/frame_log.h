/* engine/frame_log.h: frames that are decoded, kept on disk until the outputs stand, so that a run
 * that is stopped while it decodes need not begin with the first frame again.
 *
 * A piece log (io/piece_log.h) of frames [H, W, 3] u8, one behind the other: those count that are
 * whole and have only whole ones before them. A log that cannot be written is no failure of the
 * run: the log of the context says so, and the run goes on without.
 */
#ifndef FILI_ENGINE_FRAME_LOG_H
#define FILI_ENGINE_FRAME_LOG_H

#include "io/piece_log.h"
#include "io/sha256.h"

typedef struct fili_frame_log {
    fil_ctx       *ctx;
    const char    *path;
    fili_piece_log pieces;
    bool           on; /* false: nothing is kept */
    int32_t        n, width, height;
    int32_t        kept; /* frames that are whole */
} fili_frame_log;

typedef struct fili_frame_log_what {
    const char *path;                 /* NULL: nothing is kept */
    char        key[FILI_SHA256_HEX]; /* of what the frames are made of */
    int32_t     n, width, height;     /* of all frames */
} fili_frame_log_what;

/* Tells in the context's log that frames are not kept, for the reason in its error, which is then
 * what it was `before`. */
void fili_frame_log_tell(fil_ctx *ctx, const fil_error *before);

/* Bytes on disk of n frames. */
uint64_t fili_frame_log_bytes(int32_t n, int32_t width, int32_t height);

/* goes_on: 1: frames that are there already count, as log->kept tells; 0: they are thrown away. */
void fili_frame_log_open(fili_frame_log *log, fil_ctx *ctx, const fili_frame_log_what *what,
                         int goes_on);
/* Frames from `kept` on count no more. kept: at most log->kept. */
void fili_frame_log_cut(fili_frame_log *log, int32_t kept);
/* Frame index < log->kept. E_IO. */
FIL_MUSTCHECK fil_status fili_frame_log_read(fili_frame_log *log, int32_t index, uint8_t *rgb);
/* The next frame: index is log->kept, or nothing is kept. */
void fili_frame_log_put(fili_frame_log *log, int32_t index, const uint8_t *rgb);
/* The file stays. Idempotent; a zeroed log is accepted. */
void fili_frame_log_close(fili_frame_log *log);

#endif
