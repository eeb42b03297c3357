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
#define FILI_VIDEO_SYMBOL "fil_video_plugin_v3"

enum { FILI_VIDEO_WHY = 256, FILI_VIDEO_PAD = 64 };

/* A file of random access. Both return 0, or -1 (the caller's side has the reason). */
typedef struct fili_video_bytes {
    void *user;
    int (*read)(void *user, uint64_t offset, void *dst, size_t bytes);
    int (*write)(void *user, uint64_t offset, const void *src, size_t bytes);
    uint64_t size; /* of what can be read */
} fili_video_bytes;

/* What can be written. Y4M needs no codec and is written without the plug-in (y4m_file.h). */
typedef enum fili_video_format {
    FILI_VIDEO_MP4,  /* H.264 */
    FILI_VIDEO_WEBM, /* VP9 */
    FILI_VIDEO_WEBP, /* an animated picture, for ever from the start again */
    FILI_VIDEO_Y4M,
    FILI_VIDEO_FORMATS
} fili_video_format;

/* What a file tells of itself, UTF-8. NULL: nothing. Equal notes and frames give equal bytes. */
typedef struct fili_video_notes {
    const char *software, *description, *comment;
} fili_video_notes;

typedef struct fili_video_shape {
    int32_t           width, height;    /* pixels */
    int32_t           fps_num, fps_den; /* frames per second */
    fili_video_format format;           /* this and what follows: writing only */
    int32_t           crf;   /* the format's own scale, 0 (lossless) on: see fili_video_crf_most */
    fili_video_notes  notes; /* .webp has no place for them */
} fili_video_shape;

/* What a file that is read tells of itself. */
typedef struct fili_video_told {
    const char      *codec;  /* static */
    int64_t          frames; /* of the stream; -1: it does not say */
    fili_video_notes notes;  /* live as long as the reader */
} fili_video_told;

typedef struct fili_video_plugin {
    const char *(*describe)(void); /* "libavformat 59.27.100, libavcodec 59.37.100"; static */

    /* Whether this libav has what the format needs, and the format takes the size. */
    int (*write_check)(const fili_video_shape *shape, char *why);
    /* Videos are yuv420p, limited range; BT.601 up to 576 lines, else BT.709, and tagged so. One
     * thread, so that equal frames give equal bytes. `bytes` and notes outlive the writer. */
    int (*write_open)(const fili_video_shape *shape, const fili_video_bytes *bytes, void **writer,
                      char *why);
    int (*write_frame)(void *writer, const uint8_t *rgb, char *why); /* [height, width, 3] */
    int (*write_finish)(void *writer, char *why);
    void (*write_close)(void *writer); /* NULL accepted */

    /* The first video stream of a file. */
    int (*read_open)(const fili_video_bytes *bytes, fili_video_shape *shape, void **reader,
                     char *why);
    int (*read_frame)(void *reader, uint8_t *rgb, char *why); /* 1: a frame; 0: there is no more */
    void (*read_told)(void *reader, fili_video_told *told);   /* before the first frame */
    void (*read_close)(void *reader);                         /* NULL accepted */
} fili_video_plugin;

/* Returns static storage. */
typedef const fili_video_plugin *(*fili_video_plugin_fn)(void);

#endif
