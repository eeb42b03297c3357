/* io/media_head.h: what a video or picture file tells of itself: size, frames, rate, and what was
 * noted in it. Nothing is decoded.
 *
 * Files are untrusted. PNG and WebP are walked chunk by chunk by our own readers (png_head.c,
 * webp_head.c), since libpng's simplified interface hands no texts out and libav reads no animated
 * WebP; everything else goes through libav (video_file.h).
 */
#ifndef FILI_IO_MEDIA_HEAD_H
#define FILI_IO_MEDIA_HEAD_H

#include "base/arena.h"
#include "base/file.h"
#include "io/video_plugin.h"

/* Bytes of a note that are taken, and chunks of a file that are looked at. */
enum { FILI_MEDIA_NOTE = 1 << 20, FILI_MEDIA_CHUNKS = 1 << 18 };

typedef struct fili_media_head {
    const char *format; /* "png", "mp4", ...; static */
    const char *codec;  /* "" where the format says it all */
    int32_t     width, height;
    int64_t     frames;           /* as the file says; -1: it does not */
    int32_t     fps_num, fps_den; /* 0: unknown, or a still picture */
    uint64_t    bytes;            /* of the file */

    fili_video_notes notes; /* in the arena; not checked for UTF-8. NULL: none, or too long */
} fili_media_head;

/* By the first bytes alone: the name of a format, static, or NULL. */
const char *fili_media_format(const uint8_t *head, size_t bytes);

/* The same of a file; NULL too where it cannot be read. Leaves the context's error as it was. */
const char *fili_media_format_of(fil_ctx *ctx, const char *path);

/* E_MISMATCH: none of the formats; E_FORMAT: a broken one; E_UNSUP: libav is needed and not there;
 * E_IO, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_media_head_read(fili_arena *arena, const char *path,
                                              fili_media_head *out);

/* Its parts. file is open; *out comes with format and bytes. */
FIL_MUSTCHECK fil_status fili_png_head(fili_arena *arena, const fili_file *file,
                                       fili_media_head *out);
FIL_MUSTCHECK fil_status fili_webp_head(fili_arena *arena, const fili_file *file,
                                        fili_media_head *out);

#endif
