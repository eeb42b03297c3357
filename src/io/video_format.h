/* io/video_format.h: the formats of videos by the endings of their names, and names with a number
 * in them, for one picture a frame.
 */
#ifndef FILI_IO_VIDEO_FORMAT_H
#define FILI_IO_VIDEO_FORMAT_H

#include <stdbool.h>

#include "io/video_plugin.h"

/* Words for messages. */
#define FILI_VIDEO_ENDINGS ".mp4, .webm, .webp or .y4m"

/* True if the name has more before it than the ending. */
bool fili_ends_in(const char *path, const char *ending);

/* False: the ending is none of FILI_VIDEO_ENDINGS. */
bool fili_video_format_of(const char *path, fili_video_format *out);

/* The worst quality that the format's scale has: H.264 51, VP9 63, webp 100 (100 less libwebp's
 * quality); y4m loses nothing but colour between pixels and takes any of them. */
int32_t fili_video_crf_most(fili_video_format format);

/* "frames/%05d.png": the last part of the name holds one number as printf writes it, %d or %0Nd of
 * 1 to 9 digits, and no other '%'. */
typedef struct fili_numbered {
    const char *path; /* borrowed */
    size_t      head; /* bytes before the number */
    int         digits;
    const char *tail; /* what stands behind it */
} fili_numbered;

enum { FILI_NUMBERED_BYTES = 4096 };

/* False: path is no such name, or is too long for one; *out stays as it was. */
bool fili_numbered_parse(const char *path, fili_numbered *out);
/* Returns `name`. */
const char *fili_numbered_name(const fili_numbered *n, int32_t number,
                               char name[FILI_NUMBERED_BYTES]);

#endif
