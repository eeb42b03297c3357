/* io/video_plugin.h: what the library asks of the plug-in that knows video formats.
 *
 * Debian's libav comes under the GPL with x264, so it is no part of the library: a small shared
 * object, libfiligree-video.so, links it and exports one function; video_file.c loads that object
 * when a video is to be read or written, and without it everything else works. The plug-in sees no
 * context and opens no file: bytes come and go through callbacks. Functions return 0, or -1 after
 * writing a sentence to why[FILI_VIDEO_WHY]. Behind pictures lie FILI_VIDEO_PAD bytes that vector
 * code may touch.
 */
#ifndef FILI_IO_VIDEO_PLUGIN_H
#define FILI_IO_VIDEO_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#define FILI_VIDEO_OBJECT "libfiligree-video.so.0"
#define FILI_VIDEO_SYMBOL "fil_video_plugin_v1"

enum { FILI_VIDEO_WHY = 256, FILI_VIDEO_PAD = 64 };

/* A file of random access. Both return 0, or -1 (the caller's side has the reason). */
typedef struct fili_video_bytes {
    void *user;
    int (*read)(void *user, uint64_t offset, void *dst, size_t bytes);
    int (*write)(void *user, uint64_t offset, const void *src, size_t bytes);
    uint64_t size; /* of what can be read */
} fili_video_bytes;

typedef struct fili_video_shape {
    int32_t width, height;    /* pixels */
    int32_t fps_num, fps_den; /* frames per second */
    int32_t crf;              /* H.264's constant rate factor, 0 (lossless) to 51; writing only */
} fili_video_shape;

typedef struct fili_video_plugin {
    const char *(*describe)(void); /* "libavformat 59.27.100, libavcodec 59.37.100"; static */

    /* mp4, H.264, yuv420p, limited range; BT.601 up to 576 lines, else BT.709, and tagged so. One
     * thread, so that equal frames give equal bytes. `bytes` outlives the writer. */
    int (*write_open)(const fili_video_shape *shape, const fili_video_bytes *bytes, void **writer,
                      char *why);
    int (*write_frame)(void *writer, const uint8_t *rgb, char *why); /* [height, width, 3] */
    int (*write_finish)(void *writer, char *why);
    void (*write_close)(void *writer); /* NULL accepted */

    /* The first video stream of a file. */
    int (*read_open)(const fili_video_bytes *bytes, fili_video_shape *shape, void **reader,
                     char *why);
    int (*read_frame)(void *reader, uint8_t *rgb, char *why); /* 1: a frame; 0: there is no more */
    void (*read_close)(void *reader);                         /* NULL accepted */
} fili_video_plugin;

/* Returns static storage. */
typedef const fili_video_plugin *(*fili_video_plugin_fn)(void);

#endif
