/* io/png_image.c: PNG through libpng's simplified interface (io/png_image.h), which needs no jumps
 * out of callbacks. The compressed picture is made in memory and then written in one step.
 */
#include <png.h>
#include <string.h>

#include "base/mem.h"
#include "io/png_image.h"
#include "io/zip.h"

/* zlib's windows and tables, and libpng's rows: a bound from above for both directions. */
static uint64_t library_bytes(int32_t width)
{
    return ((uint64_t)1 << 20) + (uint64_t)width * 32;
}

/* ---- notes ---------------------------------------------------------------------------------- */

enum { HEAD = 8 + 25, CHUNK = 12, NOTES = 3 }; /* signature and IHDR; length, type and CRC */

typedef struct note {
    const char *keyword, *text;
} note;

/* Text chunks, one behind the other. */
typedef struct chunks {
    uint8_t *data;
    size_t   bytes, room;
} chunks;

static bool is_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text > 0x7e) return false;
    return true;
}

static void add(chunks *c, const void *data, size_t bytes)
{
    memcpy(c->data + c->bytes, data, bytes);
    c->bytes += bytes;
}

static void add_be32(chunks *c, uint32_t value)
{
    const uint8_t be[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                           (uint8_t)value};
    add(c, be, sizeof be);
}

/* Of iTXt between the keyword and the text: not compressed, no language, no keyword in it. */
static const char international[4] = {0};

static void add_note(chunks *c, const note *n)
{
    const bool   ascii   = is_ascii(n->text);
    const size_t keyword = strlen(n->keyword) + 1; /* and its 0 */
    const size_t text    = strlen(n->text);
    const size_t begin   = c->bytes + 4;
    add_be32(c, (uint32_t)(keyword + (ascii ? 0 : sizeof international) + text));
    add(c, ascii ? "tEXt" : "iTXt", 4);
    add(c, n->keyword, keyword);
    if (!ascii) add(c, international, sizeof international);
    add(c, n->text, text);
    add_be32(c, fili_crc32(c->data + begin, c->bytes - begin));
}

static fil_status make_chunks(fil_ctx *ctx, const fili_video_notes *notes, chunks *c)
{
    const note list[NOTES] = {{"Software", notes->software},
                              {"Description", notes->description},
                              {"Comment", notes->comment}};
    void      *block;
    *c = (chunks){.data = NULL};
    for (int i = 0; i < NOTES; i++)
        if (list[i].text != NULL)
            c->room +=
                CHUNK + strlen(list[i].keyword) + 1 + sizeof international + strlen(list[i].text);
    if (c->room == 0) return FIL_OK;
    if (c->room > INT32_MAX)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "notes of a PNG file: expected less than 2 GiB");
    FIL_TRY(fili_alloc(ctx, c->room, "the notes of a PNG file", &block));
    c->data = block;
    for (int i = 0; i < NOTES; i++)
        if (list[i].text != NULL) add_note(c, &list[i]);
    return FIL_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* A file in memory, and what goes between its header and the rest. */
typedef struct compressed {
    const uint8_t *png;
    size_t         bytes;
    const chunks  *notes;
} compressed;

static fil_status put_parts(fil_ctx *ctx, fili_atomic *file, const compressed *p)
{
    const chunks *c = p->notes;
    FIL_TRY(fili_atomic_write(ctx, file, 0, p->png, HEAD));
    FIL_TRY(fili_atomic_write(ctx, file, HEAD, c->data, c->bytes));
    return fili_atomic_write(ctx, file, HEAD + c->bytes, p->png + HEAD, p->bytes - HEAD);
}

static fil_status put_file(fil_ctx *ctx, const char *path, int replace, const compressed *p)
{
    fili_atomic file;
    FIL_TRY(fili_atomic_open(ctx, path, replace, &file));
    const fil_status status = put_parts(ctx, &file, p);
    if (status == FIL_OK) return fili_atomic_commit(ctx, &file);
    fili_atomic_abort(ctx, &file);
    return status;
}

/* The picture compressed in memory, then written with its chunks. */
static fil_status write_picture(fil_ctx *ctx, const char *path, int replace,
                                const fili_png_source *source, const chunks *c)
{
    png_image    image = {.version = PNG_IMAGE_VERSION,
                          .width   = (png_uint_32)source->width,
                          .height  = (png_uint_32)source->height,
                          .format  = PNG_FORMAT_RGB};
    const size_t most  = (size_t)PNG_IMAGE_PNG_SIZE_MAX(image);
    size_t       bytes = most;
    void        *block;
    FIL_TRY(fili_mem_reserve(ctx, library_bytes(source->width), "libpng"));
    fil_status status = fili_alloc(ctx, most, "the PNG file", &block);
    if (status == FIL_OK) {
        if (png_image_write_to_memory(&image, block, &bytes, 0, source->rgb, 0, NULL) != 0)
            status = put_file(ctx, path, replace, &(compressed){block, bytes, c});
        else
            status = FIL_FAIL(ctx, FIL_E_NOMEM, "libpng: %s", image.message);
        fili_free(ctx, block, most);
    }
    fili_mem_release(ctx, library_bytes(source->width));
    return status;
}

fil_status fili_png_write(fil_ctx *ctx, const char *path, int replace,
                          const fili_png_source *source)
{
    chunks c;
    FIL_CHECK(ctx,
              source->width > 0 && source->height > 0 && source->width <= FILI_PNG_SIDE &&
                  source->height <= FILI_PNG_SIDE,
              "picture of %d x %d pixels: expected sides of 1 to %d", (int)source->width,
              (int)source->height, FILI_PNG_SIDE);
    FIL_TRY(make_chunks(ctx, &source->notes, &c));
    const fil_status status = write_picture(ctx, path, replace, source, &c);
    fili_free(ctx, c.data, c.room);
    return status;
}

/* ---- reading -------------------------------------------------------------------------------- */

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
