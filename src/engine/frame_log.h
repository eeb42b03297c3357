/* engine/frame_log.h: frames that are decoded, kept on disk until the outputs stand, so that a run
 * that is stopped while it decodes need not begin with the first frame again.
 *
 *     line of text: "filigree.frames.1 KEY N W H", with a newline, 128 bytes filled up with blanks
 *     for each frame [H, W, 3] u8, then its CRC-32, four bytes, least significant first
 *
 * It is written in place, frame behind frame: what a kill or a power cut leaves of the last ones is
 * found out by length and CRC, and those before it count. KEY tells what the frames were made of;
 * with another one nothing in the file counts. A log that cannot be written is no failure of the
 * run: the log of the context says so, and the run goes on without.
 */
#ifndef FILI_ENGINE_FRAME_LOG_H
#define FILI_ENGINE_FRAME_LOG_H

#include "base/file.h"
#include "io/sha256.h"

typedef struct fili_frame_log {
    fil_ctx    *ctx;
    const char *path;
    int         fd; /* -1: nothing is kept */
    int32_t     n, width, height;
    int32_t     kept; /* frames that are whole */
} fili_frame_log;

typedef struct fili_frame_log_what {
    const char *path;                 /* NULL: nothing is kept */
    char        key[FILI_SHA256_HEX]; /* a hash in hexadecimal digits */
    int32_t     n, width, height;     /* of all frames */
} fili_frame_log_what;

/* Bytes on disk of n frames. */
uint64_t fili_frame_log_bytes(int32_t n, int32_t width, int32_t height);

/* Before a run that goes on: E_IO if a file is there that is no log. Nothing there is no failure.
 */
FIL_MUSTCHECK fil_status fili_frame_log_look(fil_ctx *ctx, const char *path);

/* goes_on: 1: frames that are there already count, as log->kept tells; 0: they are thrown away.
 * rgb: room for one frame, for the time of the call. */
void fili_frame_log_open(fili_frame_log *log, fil_ctx *ctx, const fili_frame_log_what *what,
                         int goes_on, uint8_t *rgb);
/* Frames from `kept` on count no more. kept: at most log->kept. */
void fili_frame_log_cut(fili_frame_log *log, int32_t kept);
/* Frame index < log->kept. E_IO. */
FIL_MUSTCHECK fil_status fili_frame_log_read(fili_frame_log *log, int32_t index, uint8_t *rgb);
/* The next frame: index is log->kept, or nothing is kept. */
void fili_frame_log_put(fili_frame_log *log, int32_t index, const uint8_t *rgb);
/* The file stays. Idempotent; a zeroed log is accepted. */
void fili_frame_log_close(fili_frame_log *log);
/* The outputs stand: the file is removed, after it was closed. NULL is accepted. */
void fili_frame_log_remove(fil_ctx *ctx, const char *path);

#endif
