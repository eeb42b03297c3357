/* io/y4m_file.h: writes YUV4MPEG2 (.y4m): frames without compression, as encoders and filters take
 * them.
 *
 * A header line, then for each frame the line "FRAME" and three planes of bytes: Y [height, width],
 * Cb and Cr [height/2, width/2]. Colours are those of our other videos: limited range, BT.601 up to
 * 576 lines, else BT.709. A chroma sample is the mean of its four pixels and lies between them
 * (C420jpeg). Whole numbers all the way: the same bytes on every machine.
 */
#ifndef FILI_IO_Y4M_FILE_H
#define FILI_IO_Y4M_FILE_H

#include "base/file.h"
#include "io/video_plugin.h"

/* Of one frame's planes; sides are even. */
size_t fili_y4m_frame_bytes(int32_t width, int32_t height);

/* rgb [height, width, 3] to the three planes, one behind the other. Each byte is the nearest whole
 * number to the exact value (ties: either). */
void fili_y4m_convert(const uint8_t *rgb, int32_t width, int32_t height, uint8_t *planes);

/* Of a file of so many frames, exactly. */
uint64_t fili_y4m_file_bytes(const fili_video_shape *shape, int32_t frames);

typedef struct fili_y4m {
    fil_ctx    *ctx;
    fili_atomic file;
    int32_t     width, height;
    uint64_t    at;     /* bytes written */
    uint8_t    *planes; /* one frame */
} fili_y4m;

/* On failure *y is closed. E_IO, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_y4m_open(fili_y4m *y, fil_ctx *ctx, const char *path, int replace,
                                       const fili_video_shape *shape);
FIL_MUSTCHECK fil_status fili_y4m_put(fili_y4m *y, const uint8_t *rgb);
/* Makes the file appear and closes *y whatever the result. */
FIL_MUSTCHECK fil_status fili_y4m_finish(fili_y4m *y);
void                     fili_y4m_close(fili_y4m *y); /* idempotent; a zeroed one is accepted */

#endif
