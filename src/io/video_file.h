/* io/video_file.h: frames to a video file, and frames of a video file.
 *
 * Codecs lie in a plug-in (video_plugin.h) that is loaded at the first use and stays loaded; .y4m
 * is written without it. What is written appears under its name whole, at finish, or not at all. A
 * video file that is read is untrusted and goes through libav, a large attack surface of its own:
 * see SECURITY.md.
 */
#ifndef FILI_IO_VIDEO_FILE_H
#define FILI_IO_VIDEO_FILE_H

#include "base/file.h"
#include "io/video_format.h"
#include "io/y4m_file.h"

/* Pixels of a side, at most. */
#define FILI_VIDEO_SIDE 16384

/* E_UNSUP if the plug-in is not installed, with the package that it needs. */
FIL_MUSTCHECK fil_status fili_video_load(fil_ctx *ctx, const fili_video_plugin **out);

typedef struct fili_video_writer {
    fil_ctx                 *ctx;
    const fili_video_plugin *plugin;
    fili_video_bytes         bytes;
    fili_atomic              file;
    void                    *handle;
    uint64_t                 reserved; /* bytes counted for the encoder */
    fil_status               io;       /* of the last write */
    bool                     sealed;   /* no frame comes any more */
    bool                     is_y4m;   /* then the rest is y4m's */
    fili_y4m                 y4m;
} fili_video_writer;

/* Bytes that an encoder takes, about, for any number of frames: counted against the context's
 * limit.
 */
uint64_t fili_video_writer_bytes(fili_video_format format, int32_t width, int32_t height);

/* E_ARG: a size, rate or crf that the format does not take; E_UNSUP: no plug-in, or its libav lacks
 * the encoder. */
FIL_MUSTCHECK fil_status fili_video_writer_check(fil_ctx *ctx, const fili_video_shape *shape);

typedef struct fili_video_clip {
    fili_video_shape shape;  /* even width and height up to FILI_VIDEO_SIDE */
    int32_t          frames; /* how many there will be */
} fili_video_clip;

/* w lies still until closed, and the clip's notes too. E_IO, E_NOMEM and as above; on failure *w is
 * closed. */
FIL_MUSTCHECK fil_status fili_video_writer_open(fili_video_writer *w, fil_ctx *ctx,
                                                const char *path, int replace,
                                                const fili_video_clip *clip);
/* rgb [height, width, 3], and FILI_VIDEO_PAD readable bytes behind it. */
FIL_MUSTCHECK fil_status fili_video_writer_put(fili_video_writer *w, const uint8_t *rgb);
/* Behind the last frame: all that the file will hold is in it, still under its temporary name.
 * *file is that, until it is finished; the descriptor is the writer's. */
FIL_MUSTCHECK fil_status fili_video_writer_seal(fili_video_writer *w, const fili_atomic **file);
/* Seals the file if that was not done, and gives it its name. Closes *w whatever the result. */
FIL_MUSTCHECK fil_status fili_video_writer_finish(fili_video_writer *w);
/* Removes what was not finished. Idempotent; a zeroed writer is accepted. */
void fili_video_writer_close(fili_video_writer *w);

typedef struct fili_video_reader {
    fil_ctx                 *ctx;
    const fili_video_plugin *plugin;
    fili_video_bytes         bytes;
    fili_file                file;
    void                    *handle;
    fili_video_shape         shape;
    fil_status               io;
} fili_video_reader;

/* E_FORMAT: not a video; E_LIMIT: larger than FILI_VIDEO_SIDE; E_IO, E_UNSUP. path outlives r. */
FIL_MUSTCHECK fil_status fili_video_reader_open(fili_video_reader *r, fil_ctx *ctx,
                                                const char *path);
/* *more = 0 at the end. rgb has FILI_VIDEO_PAD writable bytes behind it. */
FIL_MUSTCHECK fil_status fili_video_reader_get(fili_video_reader *r, uint8_t *rgb, int *more);
void                     fili_video_reader_close(fili_video_reader *r);

#endif
