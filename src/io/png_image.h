/* io/png_image.h: one picture, 8 bits RGB, to and from a PNG file, through libpng.
 *
 * Written whole or not at all. Reading takes any PNG and gives RGB; transparency is laid on black.
 * A PNG is untrusted: its size is checked before memory is taken.
 */
#ifndef FILI_IO_PNG_IMAGE_H
#define FILI_IO_PNG_IMAGE_H

#include "base/file.h"
#include "io/video_plugin.h"

/* Pixels of a side, at most. */
#define FILI_PNG_SIDE 16384

typedef struct fili_png_source {
    const uint8_t   *rgb; /* [height, width, 3] */
    int32_t          width, height;
    fili_video_notes notes;
} fili_png_source;

/* Notes stand in text chunks behind the header: tEXt for what is ASCII, else iTXt. E_ARG: sides;
 * E_IO, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_png_write(fil_ctx *ctx, const char *path, int replace,
                                        const fili_png_source *source);

typedef struct fili_picture {
    int32_t  width, height;
    uint8_t *rgb; /* [height, width, 3]; freed with fili_picture_free */
} fili_picture;

/* E_FORMAT: not a PNG, or a broken one; E_LIMIT: larger than FILI_PNG_SIDE; E_IO, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_png_read(fil_ctx *ctx, const char *path, fili_picture *out);
void                     fili_picture_free(fil_ctx *ctx, fili_picture *picture);

#endif
