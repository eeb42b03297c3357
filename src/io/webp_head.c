/* io/webp_head.c: size, frames and rate of a WebP, still or animated (io/media_head.h). RFC 9649: a
 * RIFF of chunks, the first one telling which of the two it is. Texts are not looked for.
 */
#include <string.h>

#include "io/le.h"
#include "io/media_head.h"

enum { RIFF = 12, FRAME = 8, MOST = 16 }; /* FRAME: type and length of a chunk */

typedef struct chunk {
    uint64_t next; /* where the next one begins */
    uint32_t bytes;
    char     type[4];
    uint8_t  data[MOST]; /* its first bytes, the rest of them 0 */
} chunk;

static bool is_type(const chunk *c, const char *type)
{
    return memcmp(c->type, type, 4) == 0;
}

static fil_status read_chunk(fil_ctx *ctx, const fili_file *file, uint64_t at, chunk *c)
{
    uint8_t head[FRAME];
    *c = (chunk){.bytes = 0};
    if (file->size < FRAME || at > file->size - FRAME)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "the WebP ends at byte %llu, within a chunk",
                        (unsigned long long)file->size);
    FIL_TRY(fili_file_read(ctx, file, at, head, sizeof head));
    memcpy(c->type, head, 4);
    c->bytes            = fili_le32(head + 4);
    const uint64_t left = file->size - at - FRAME;
    if (c->bytes > left)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "a chunk of the WebP at byte %llu has %u bytes, %llu are left",
                        (unsigned long long)at, (unsigned)c->bytes, (unsigned long long)left);
    c->next = at + FRAME + c->bytes + c->bytes % 2;
    return fili_file_read(ctx, file, at + FRAME, c->data, c->bytes < MOST ? c->bytes : MOST);
}

/* A key frame of VP8 (RFC 6386, 9.1), or the header of the lossless format. */
static fil_status take_still(fil_ctx *ctx, const chunk *c, fili_media_head *out)
{
    out->frames = 1;
    if (is_type(c, "VP8 ")) {
        out->codec  = "vp8";
        out->width  = (int32_t)(fili_le16(c->data + 6) & 0x3fff);
        out->height = (int32_t)(fili_le16(c->data + 8) & 0x3fff);
    } else {
        out->codec  = "lossless";
        out->width  = (int32_t)(fili_le32(c->data + 1) & 0x3fff) + 1;
        out->height = (int32_t)(fili_le32(c->data + 1) >> 14 & 0x3fff) + 1;
    }
    if (out->width > 0 && out->height > 0) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_FORMAT, "the WebP has %d x %d pixels", (int)out->width,
                    (int)out->height);
}

/* Frames, and how long each is shown. c: the chunk before. */
static fil_status count_frames(fil_ctx *ctx, const fili_file *file, chunk *c, fili_media_head *out)
{
    int64_t frames = 0;
    int64_t ms     = 0;
    for (int i = 0; i < FILI_MEDIA_CHUNKS && c->next < file->size; i++) {
        FIL_TRY(read_chunk(ctx, file, c->next, c));
        if (!is_type(c, "ANMF")) continue;
        frames++;
        ms += fili_le24(c->data + 12);
    }
    out->frames = frames > 0 ? frames : 1;
    if (frames == 0 || ms == 0 || ms > INT32_MAX || frames > INT32_MAX / 1000) return FIL_OK;
    out->fps_num = (int32_t)(frames * 1000);
    out->fps_den = (int32_t)ms;
    return FIL_OK;
}

fil_status fili_webp_head(fili_arena *arena, const fili_file *file, fili_media_head *out)
{
    fil_ctx *ctx = arena->ctx;
    chunk    c;
    FIL_TRY(read_chunk(ctx, file, RIFF, &c));
    if (is_type(&c, "VP8 ") || is_type(&c, "VP8L")) return take_still(ctx, &c, out);
    if (!is_type(&c, "VP8X"))
        return FIL_FAIL(ctx, FIL_E_FORMAT, "the WebP does not begin with its header");
    out->width  = (int32_t)fili_le24(c.data + 4) + 1;
    out->height = (int32_t)fili_le24(c.data + 7) + 1;
    return count_frames(ctx, file, &c, out);
}
