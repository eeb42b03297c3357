/* io/png_image.c: PNG through libpng's simplified interface (io/png_image.h), which needs no jumps
 * out of callbacks. The compressed picture is made in memory and then written in one step.
 */
#include <png.h>
#include <string.h>

#include "base/mem.h"
#include "io/png_image.h"

/* zlib's windows and tables, and libpng's rows: a bound from above for both directions. */
static uint64_t library_bytes(int32_t width)
{
    return ((uint64_t)1 << 20) + (uint64_t)width * 32;
}

static fil_status put_file(fil_ctx *ctx, const char *path, int replace, const void *data,
                           size_t bytes)
{
    fili_atomic file;
    FIL_TRY(fili_atomic_open(ctx, path, replace, &file));
    const fil_status status = fili_atomic_write(ctx, &file, 0, data, bytes);
    if (status == FIL_OK) return fili_atomic_commit(ctx, &file);
    fili_atomic_abort(ctx, &file);
    return status;
}

fil_status fili_png_write(fil_ctx *ctx, const char *path, int replace, const uint8_t *rgb,
                          int32_t width, int32_t height)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width   = (png_uint_32)width,
                       .height  = (png_uint_32)height,
                       .format  = PNG_FORMAT_RGB};
    FIL_CHECK(ctx, width > 0 && height > 0 && width <= FILI_PNG_SIDE && height <= FILI_PNG_SIDE,
              "picture of %d x %d pixels: expected sides of 1 to %d", (int)width, (int)height,
              FILI_PNG_SIDE);
    const size_t most  = (size_t)PNG_IMAGE_PNG_SIZE_MAX(image);
    size_t       bytes = most;
    void        *block;
    FIL_TRY(fili_mem_reserve(ctx, library_bytes(width), "libpng"));
    fil_status status = fili_alloc(ctx, most, "the PNG file", &block);
    if (status == FIL_OK) {
        if (png_image_write_to_memory(&image, block, &bytes, 0, rgb, 0, NULL) != 0)
            status = put_file(ctx, path, replace, block, bytes);
        else
            status = FIL_FAIL(ctx, FIL_E_NOMEM, "libpng: %s", image.message);
        fili_free(ctx, block, most);
    }
    fili_mem_release(ctx, library_bytes(width));
    return status;
}

static size_t picture_bytes(const fili_picture *p)
{
    return (size_t)p->width * (size_t)p->height * 3;
}

static fil_status broken(fil_ctx *ctx, const fili_file *file, const png_image *image)
{
    return FIL_FAIL(ctx, FIL_E_FORMAT, "'%s' is not a PNG that can be read: %s",
                    fili_quote(file->name, strlen(file->name)).text, image->message);
}

/* image: its header has been read. */
static fil_status read_pixels(fil_ctx *ctx, const fili_file *file, png_image *image,
                              fili_picture *out)
{
    const png_color black = {0, 0, 0};
    void           *block;
    if (image->width > FILI_PNG_SIDE || image->height > FILI_PNG_SIDE)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "picture of %u x %u pixels: expected sides of 1 to %d",
                        (unsigned)image->width, (unsigned)image->height, FILI_PNG_SIDE);
    image->format = PNG_FORMAT_RGB;
    out->width    = (int32_t)image->width;
    out->height   = (int32_t)image->height;
    FIL_TRY(fili_mem_reserve(ctx, library_bytes(out->width), "libpng"));
    fil_status status = fili_alloc(ctx, picture_bytes(out), "the picture", &block);
    if (status == FIL_OK) {
        out->rgb = block;
        if (png_image_finish_read(image, &black, block, 0, NULL) == 0)
            status = broken(ctx, file, image);
    }
    fili_mem_release(ctx, library_bytes(out->width));
    if (status != FIL_OK) fili_picture_free(ctx, out);
    return status;
}

fil_status fili_png_read(fil_ctx *ctx, const char *path, fili_picture *out)
{
    enum { MOST = 1 << 30 };
    png_image  image = {.version = PNG_IMAGE_VERSION};
    fili_file  file;
    fil_status status;
    void      *block = NULL;
    *out             = (fili_picture){.rgb = NULL};
    FIL_TRY(fili_file_open(ctx, FILI_CWD, path, 0, &file));
    const size_t bytes = file.size < MOST ? (size_t)file.size : MOST;
    FIL_TRY_OR(done, fili_alloc(ctx, bytes, "the PNG file", &block));
    FIL_TRY_OR(done, fili_file_read(ctx, &file, 0, block, bytes));
    if (png_image_begin_read_from_memory(&image, block, bytes) == 0)
        status = broken(ctx, &file, &image);
    else
        status = read_pixels(ctx, &file, &image, out);
    png_image_free(&image);
done:
    fili_free(ctx, block, bytes);
    fili_file_close(ctx, &file);
    return status;
}

void fili_picture_free(fil_ctx *ctx, fili_picture *picture)
{
    if (picture->rgb != NULL) fili_free(ctx, picture->rgb, picture_bytes(picture));
    *picture = (fili_picture){.rgb = NULL};
}
