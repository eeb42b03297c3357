/* io/gguf_bytes.c: the bytes of a GGUF header, taken one field after the other (io/gguf_inside.h).
 *
 * A length is compared with what is left of the file before anything is read for it.
 */
#include "base/mem.h"
#include "io/gguf_inside.h"
#include "io/le.h"

enum { FIRST_PIECE = 64 * 1024 }; /* read at first; each further piece doubles what is there */

static fil_status make_room(fili_gguf_header *h, uint64_t need)
{
    const uint64_t limit = h->ctx->opt.limits.header_bytes;
    const uint64_t most  = h->file->size < limit ? h->file->size : limit;
    uint64_t       max   = h->max == 0 ? FIRST_PIECE : 2 * (uint64_t)h->max;
    void          *block = h->data;
    if (max < need) max = need;
    if (max > most) max = most; /* need <= most */
    FIL_TRY(fili_grow(h->ctx, &block, h->max, (size_t)max, "GGUF header"));
    h->data = block;
    h->max  = (size_t)max;
    FIL_TRY(fili_file_read(h->ctx, h->file, h->filled, h->data + h->filled, h->max - h->filled));
    h->filled = h->max;
    return FIL_OK;
}

fil_status fili_gguf_take(fili_gguf_header *h, uint64_t bytes, const char *what, uint64_t *at)
{
    const uint64_t limit = h->ctx->opt.limits.header_bytes;
    if (bytes > fili_gguf_left(h))
        return FIL_FAIL(h->ctx, FIL_E_FORMAT,
                        "the file is cut off or damaged: %s at byte %llu takes %llu bytes, the "
                        "file has %llu",
                        what, (unsigned long long)h->at, (unsigned long long)bytes,
                        (unsigned long long)h->file->size);
    if (h->at + bytes > limit)
        return FIL_FAIL(h->ctx, FIL_E_LIMIT,
                        "the header is longer than %llu bytes: %s at byte %llu takes %llu (limit: "
                        "header_bytes)",
                        (unsigned long long)limit, what, (unsigned long long)h->at,
                        (unsigned long long)bytes);
    if (h->at + bytes > h->filled) FIL_TRY(make_room(h, h->at + bytes));
    *at = h->at;
    h->at += bytes;
    return FIL_OK;
}

fil_status fili_gguf_u32(fili_gguf_header *h, const char *what, uint32_t *out)
{
    uint64_t at;
    FIL_TRY(fili_gguf_take(h, 4, what, &at));
    *out = fili_le32(h->data + at);
    return FIL_OK;
}

fil_status fili_gguf_u64(fili_gguf_header *h, const char *what, uint64_t *out)
{
    uint64_t at;
    FIL_TRY(fili_gguf_take(h, 8, what, &at));
    *out = fili_le64(h->data + at);
    return FIL_OK;
}

fil_status fili_gguf_string(fili_gguf_header *h, const char *what, fili_gguf_text *out)
{
    FIL_TRY(fili_gguf_u64(h, what, &out->bytes));
    return fili_gguf_take(h, out->bytes, what, &out->at);
}
