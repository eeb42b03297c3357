/* io/gguf_writer.c: header and layout of a GGUF file (io/gguf_writer.h).
 *
 * Format: github.com/ggml-org/ggml, docs/gguf.md, as io/gguf.c reads it. Behind each tensor, the
 * last included, zeros fill up to the alignment: the file is given its size first, so that what is
 * not written is zero.
 */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/gguf_inside.h"
#include "io/gguf_writer.h"

enum { VERSION = 3 };

#define MAX_FILE ((uint64_t)INT64_MAX)

bool fili_gguf_holds(fil_dtype dtype)
{
    uint32_t number;
    return fili_gguf_type_of(dtype, &number);
}

/* ---- header --------------------------------------------------------------------------------- */

/* Without dst it only counts: the header is made twice by the same code. */
typedef struct header {
    unsigned char *dst;
    uint64_t       used;
} header;

static void put_number(header *h, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++, h->used++)
        if (h->dst != NULL) h->dst[h->used] = (unsigned char)(value >> (8 * i) & 0xff);
}

static void put_text(header *h, const char *text)
{
    const size_t bytes = strlen(text);
    put_number(h, bytes, 8);
    if (h->dst != NULL) memcpy(h->dst + h->used, text, bytes);
    h->used += bytes;
}

static void put_key(header *h, const fili_gguf_key *k)
{
    put_text(h, k->key);
    put_number(h, k->text != NULL ? FILI_GGUF_STRING : FILI_GGUF_U32, 4);
    if (k->text != NULL)
        put_text(h, k->text);
    else
        put_number(h, k->number, 4);
}

static void put_info(header *h, const fil_tensor_desc *t, uint64_t begin)
{
    uint32_t type = 0; /* known: check_types */
    (void)fili_gguf_type_of(t->dtype, &type);
    put_text(h, t->name);
    put_number(h, t->rank, 4);
    for (uint32_t i = t->rank; i-- > 0;)
        put_number(h, (uint64_t)t->shape[i], 8);
    put_number(h, type, 4);
    put_number(h, begin, 8);
}

/* front: bytes before the data; slots have their place once it is known. */
static void put_header(header *h, const fili_writer *w, const fili_gguf_input *in, uint64_t front)
{
    put_number(h, UINT32_C(0x46554747), 4); /* "GGUF" */
    put_number(h, VERSION, 4);
    put_number(h, in->n_tensors, 8);
    put_number(h, in->n_keys, 8);
    for (size_t i = 0; i < in->n_keys; i++)
        put_key(h, &in->keys[i]);
    for (size_t i = 0; i < in->n_tensors; i++)
        put_info(h, &in->tensors[i], w->slots[i].offset - front);
}

/* ---- opening -------------------------------------------------------------------------------- */

static fil_status check_types(fil_ctx *ctx, const fili_gguf_input *in)
{
    for (size_t i = 0; i < in->n_tensors; i++) {
        const fil_tensor_desc *t = &in->tensors[i];
        FIL_CHECK(ctx, fili_gguf_holds(t->dtype), "tensor '%s': a GGUF file has no type %s",
                  fili_quote(t->name, strlen(t->name)).text, fil_dtype_name(t->dtype));
    }
    return FIL_OK;
}

/* *front = bytes before the data area; each slot gets its place. */
static fil_status lay_out(fili_writer *w, const fili_gguf_input *in, uint64_t *front)
{
    const uint64_t limit = w->ctx->opt.limits.header_bytes;
    header         h     = {.dst = NULL};
    put_header(&h, w, in, 0);
    if (!fili_align_u64(h.used, FILI_GGUF_ALIGN, front) || *front > limit)
        return FIL_FAIL(w->ctx, FIL_E_LIMIT,
                        "the header needs %llu bytes and padding; the limit is %llu (header_bytes)",
                        (unsigned long long)h.used, (unsigned long long)limit);
    w->bytes = *front;
    for (size_t i = 0; i < w->n_slots; i++) {
        fili_slot *slot = &w->slots[i];
        uint64_t   end;
        slot->offset = w->bytes;
        FIL_CHECK(w->ctx,
                  fili_add_u64(w->bytes, slot->bytes, &end) &&
                      fili_align_u64(end, FILI_GGUF_ALIGN, &w->bytes) && w->bytes <= MAX_FILE,
                  "header and tensors together exceed the largest file, 2^63 - 1 bytes");
    }
    return FIL_OK;
}

static fil_status write_front(fili_writer *w, const fili_gguf_input *in, uint64_t front)
{
    void *block;
    FIL_TRY(fili_calloc(w->ctx, (size_t)front, 1, "GGUF header", &block));
    header h = {.dst = block};
    put_header(&h, w, in, front);
    const fil_status status = fili_atomic_write(w->ctx, &w->file, 0, block, (size_t)front);
    fili_free(w->ctx, block, (size_t)front);
    return status;
}

fil_status fili_gguf_writer_open(fili_writer *w, fil_ctx *ctx, const char *path,
                                 const fili_gguf_input *in, int replace)
{
    const fili_writer_input slots = {.tensors = in->tensors, .n_tensors = in->n_tensors};
    uint64_t                front = 0;
    fil_status              status;
    FIL_TRY(fili_writer_begin(w, ctx, &slots, true));
    FIL_TRY_OR(fail, check_types(ctx, in));
    FIL_TRY_OR(fail, lay_out(w, in, &front));
    FIL_TRY_OR(fail, fili_atomic_open(ctx, path, replace, &w->file));
    FIL_TRY_OR(fail, fili_atomic_resize(ctx, &w->file, w->bytes));
    FIL_TRY_OR(fail, write_front(w, in, front));
    return FIL_OK;
fail:
    fili_writer_close(w);
    return status;
}
