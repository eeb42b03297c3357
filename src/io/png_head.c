/* io/png_head.c: size and text chunks of a PNG (io/media_head.h). Of texts those that png_image.c
 * writes are taken, tEXt and iTXt without compression, wherever they stand, up to a NUL in them;
 * a chunk with a wrong checksum does not count.
 */
#include <string.h>

#include "base/mem.h"
#include "io/media_head.h"
#include "io/zip.h"

enum { SIGNATURE = 8, FRAME = 12, IHDR = 13 }; /* FRAME: length and type before, checksum behind */

typedef struct chunk {
    uint64_t at; /* of its data */
    uint32_t bytes;
    char     type[4];
} chunk;

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_type(const chunk *c, const char *type)
{
    return memcmp(c->type, type, 4) == 0;
}

/* at: where the chunk begins. */
static fil_status read_chunk(fil_ctx *ctx, const fili_file *file, uint64_t at, chunk *c)
{
    uint8_t head[8];
    if (file->size < FRAME || at > file->size - FRAME)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "the PNG ends at byte %llu, without its last chunk",
                        (unsigned long long)file->size);
    FIL_TRY(fili_file_read(ctx, file, at, head, sizeof head));
    c->at    = at + sizeof head;
    c->bytes = be32(head);
    memcpy(c->type, head + 4, 4);
    if (c->bytes > file->size - at - FRAME)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "a chunk of the PNG at byte %llu has %u bytes, %llu are left",
                        (unsigned long long)at, (unsigned)c->bytes,
                        (unsigned long long)(file->size - at - FRAME));
    return FIL_OK;
}

static fil_status take_size(fil_ctx *ctx, const fili_file *file, fili_media_head *out)
{
    chunk   c;
    uint8_t data[IHDR];
    FIL_TRY(read_chunk(ctx, file, SIGNATURE, &c));
    if (!is_type(&c, "IHDR") || c.bytes != IHDR)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "the PNG does not begin with its header");
    FIL_TRY(fili_file_read(ctx, file, c.at, data, sizeof data));
    if (be32(data) == 0 || be32(data) > INT32_MAX || be32(data + 4) == 0 ||
        be32(data + 4) > INT32_MAX)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "the PNG has %u x %u pixels", (unsigned)be32(data),
                        (unsigned)be32(data + 4));
    out->width  = (int32_t)be32(data);
    out->height = (int32_t)be32(data + 4);
    out->frames = 1;
    return FIL_OK;
}

/* ---- texts ---------------------------------------------------------------------------------- */

static const char **place_of(fili_media_head *out, const char *keyword)
{
    if (strcmp(keyword, "Software") == 0) return &out->notes.software;
    if (strcmp(keyword, "Description") == 0) return &out->notes.description;
    if (strcmp(keyword, "Comment") == 0) return &out->notes.comment;
    return NULL;
}

/* Behind the keyword of an iTXt: compression flag and method, language 0, translated keyword 0.
 * NULL: compressed, or cut off. */
static const char *behind_language(const char *p, const char *end)
{
    if (end - p < 2 || p[0] != 0) return NULL;
    p += 2;
    for (int i = 0; i < 2; i++) {
        const char *zero = memchr(p, '\0', (size_t)(end - p));
        if (zero == NULL) return NULL;
        p = zero + 1;
    }
    return p;
}

/* data: type and data of the chunk, and its checksum. The first text of a keyword counts. */
static fil_status take_text(fili_arena *arena, const chunk *c, const uint8_t *data,
                            fili_media_head *out)
{
    const char *keyword = (const char *)data + 4;
    const char *end     = keyword + c->bytes;
    const char *zero    = memchr(keyword, '\0', c->bytes);
    char       *copy;
    if (zero == NULL || fili_crc32(data, (size_t)c->bytes + 4) != be32(data + 4 + c->bytes))
        return FIL_OK;
    const char  *text  = is_type(c, "iTXt") ? behind_language(zero + 1, end) : zero + 1;
    const char **place = place_of(out, keyword);
    if (text == NULL || place == NULL || *place != NULL) return FIL_OK;
    FIL_TRY(fili_arena_text(arena, text, (size_t)(end - text), &copy));
    *place = copy;
    return FIL_OK;
}

static fil_status read_text(fili_arena *arena, const fili_file *file, const chunk *c,
                            fili_media_head *out)
{
    const size_t bytes = (size_t)c->bytes + 8;
    void        *block;
    if (c->bytes > FILI_MEDIA_NOTE) return FIL_OK;
    FIL_TRY(fili_alloc(arena->ctx, bytes, "a text of the PNG", &block));
    fil_status status = fili_file_read(arena->ctx, file, c->at - 4, block, bytes);
    if (status == FIL_OK) status = take_text(arena, c, block, out);
    fili_free(arena->ctx, block, bytes);
    return status;
}

fil_status fili_png_head(fili_arena *arena, const fili_file *file, fili_media_head *out)
{
    chunk    c  = {.type = ""};
    uint64_t at = SIGNATURE;
    FIL_TRY(take_size(arena->ctx, file, out));
    for (int i = 0; i < FILI_MEDIA_CHUNKS && !is_type(&c, "IEND"); i++) {
        FIL_TRY(read_chunk(arena->ctx, file, at, &c));
        if (is_type(&c, "tEXt") || is_type(&c, "iTXt")) FIL_TRY(read_text(arena, file, &c, out));
        at += (uint64_t)c.bytes + FRAME;
    }
    return FIL_OK;
}
