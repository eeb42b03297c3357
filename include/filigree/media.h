/* filigree/media.h: what a video or picture file tells of itself.
 *
 * Size, frames and rate of a video or a picture, and the settings of the run that made it, where
 * filigree wrote it as .mp4, .webm or .png (ADR 0013). Headers are read, frames are not decoded.
 *
 *     fil_media *media = NULL;
 *
 *     if (fil_media_open(ctx, "fox.mp4", &media) == FIL_OK)
 *         for (size_t i = 0; i < fil_media_settings(media); i++) {
 *             fil_media_setting s;
 *             fil_media_setting_get(media, i, &s);
 *             printf("%s.%s = %s\n", s.section, s.name, s.value);
 *         }
 *     fil_media_close(&media);
 *
 * A file is untrusted: its texts may hold anything, terminal escapes included. PNG and WebP are
 * read by the library itself, everything else by FFmpeg's libraries in the plug-in for video files,
 * which may be missing.
 */
#ifndef FILIGREE_MEDIA_H
#define FILIGREE_MEDIA_H

#include "filigree/filigree.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One file that has been read. Opaque; nothing stays open. */
typedef struct fil_media fil_media;

/* Borrowed from the handle, but for what is static. */
typedef struct fil_media_info {
    const char *format;           /* by its first bytes: "mp4", "webm", "png", ...; static */
    const char *codec;            /* "h264", "vp9", ...; "" where the format says it all */
    int32_t     width, height;    /* pixels */
    int64_t     frames;           /* as the file tells, not counted; -1: it does not tell */
    int32_t     fps_num, fps_den; /* frames per second; 0: not known, or a still picture */
    uint64_t    file_bytes;       /* size of the file */
    const char *software;         /* what wrote it; NULL: it does not tell */
    const char *description;      /* of filigree the prompt; NULL: none */
    const char *comment;          /* NULL: none, or it has become the settings */
} fil_media_info;

/* One setting of the run that made the file. The names are those of a recipe (filigree/video.h):
 * sections "generate", "policy" and "result"; "" for what stands outside of them, `filigree` (the
 * version) and `dit` (hash of the transformer). */
typedef struct fil_media_setting {
    const char *section, *name;
    const char *value; /* a text as it is, anything else as JSON */
} fil_media_setting;

/* What the file is by its first bytes: the name of a format, static. NULL: no video or picture that
 * is known by them, or a file that cannot be read. Opens nothing else and is no failure. */
FIL_API const char *fil_media_format(fil_ctx *ctx, const char *path);

/* E_IO; E_MISMATCH: the first bytes are of no video or picture; E_FORMAT: a damaged one, or one
 * that FFmpeg does not read; E_LIMIT: sides above 16384 pixels; E_UNSUP: no plug-in; E_NOMEM;
 * E_ARG. The handle borrows ctx. On failure *out is NULL. */
FIL_API FIL_MUSTCHECK fil_status fil_media_open(fil_ctx *ctx, const char *path, fil_media **out);

/* Closes and sets *media to NULL. NULL and a NULL handle are accepted. */
FIL_API void fil_media_close(fil_media **media);

/* All of it; zeroed for NULL. */
FIL_API void fil_media_info_get(const fil_media *media, fil_media_info *info);

/* How many settings there are, in the order of the file; 0: filigree did not write it, or of
 * latents (decode), or the format has no place for them. */
FIL_API size_t fil_media_settings(const fil_media *media);

/* Setting i; zeroed beyond the last one. */
FIL_API void fil_media_setting_get(const fil_media *media, size_t i, fil_media_setting *setting);

#ifdef __cplusplus
}
#endif

#endif
