/* io/safetensors_writer.c: layout, header text and data of a safetensors file
 * (github.com/huggingface/safetensors, README "Format"; contract in safetensors_writer.h).
 *
 * Tensors are laid out by element size, largest first, then by name: so every tensor is aligned to
 * its element without gaps, which the format forbids. The header is padded with spaces until the
 * data area is aligned to 64 bytes. The header text is emitted here and not through a JSON library:
 * two escapes and decimal numbers are all it needs, and its memory is one block of known size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/safetensors_writer.h"
#include "tensor/dtype.h"

#define METADATA_KEY "__metadata__"

/* Largest file that a signed 64-bit offset reaches. */
#define MAX_FILE ((uint64_t)INT64_MAX)

/* One tensor on its way into the layout. */
typedef struct place {
    const fil_tensor_desc *desc;
    fili_slot             *slot;
    uint64_t               begin; /* relative to the data area */
} place;

/* ---- checks --------------------------------------------------------------------------------- */

static fil_status check_tensor_name(fil_ctx *ctx, size_t i, const char *name)
{
    const uint64_t limit = ctx->opt.limits.name_bytes;
    FIL_CHECK(ctx, name != NULL, "tensor %zu: its name is NULL", i);
    const size_t      bytes = strlen(name);
    const fili_quoted q     = fili_quote(name, bytes);
    FIL_CHECK(ctx, bytes > 0, "tensor %zu: its name is empty", i);
    FIL_CHECK(ctx, bytes <= limit, "tensor name '%s' has %zu bytes; the limit is %llu", q.text,
              bytes, (unsigned long long)limit);
    FIL_CHECK(ctx, fili_is_printable(name, bytes),
              "tensor name '%s' has a control character or is not UTF-8", q.text);
    FIL_CHECK(ctx, strcmp(name, METADATA_KEY) != 0,
              "a tensor cannot be named '%s': the format keeps that name for itself", q.text);
    return FIL_OK;
}

/* *bytes = what the tensor takes. */
static fil_status check_tensor(fil_ctx *ctx, size_t i, const fil_tensor_desc *t, bool blocks,
                               uint64_t *bytes)
{
    uint32_t run;
    FIL_TRY(check_tensor_name(ctx, i, t->name));
    const fili_quoted q = fili_quote(t->name, strlen(t->name));
    FIL_CHECK(ctx, blocks || fil_dtype_bits(t->dtype) != 0,
              "tensor '%s': %d is no dtype of a safetensors file", q.text, (int)t->dtype);
    FIL_CHECK(ctx, fil_dtype_block(t->dtype, &run) != 0, "tensor '%s': %d is no dtype", q.text,
              (int)t->dtype);
    FIL_CHECK(ctx, t->rank <= FIL_MAX_RANK, "tensor '%s' has %u dimensions; the limit is %d",
              q.text, t->rank, FIL_MAX_RANK);
    for (uint32_t d = 0; d < t->rank; d++)
        FIL_CHECK(ctx, t->shape[d] >= 0, "tensor '%s': dimension %u is %lld; expected 0 or more",
                  q.text, d, (long long)t->shape[d]);
    FIL_CHECK(ctx, fili_shape_bytes(t->dtype, t->rank, t->shape, bytes),
              "tensor '%s': shape and dtype %s give no whole number of bytes below 2^64", q.text,
              fil_dtype_name(t->dtype));
    const int64_t row = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    FIL_CHECK(ctx, fil_dtype_bits(t->dtype) != 0 || row % run == 0,
              "tensor '%s' has rows of %lld elements; %s has blocks of %u", q.text, (long long)row,
              fil_dtype_name(t->dtype), run);
    return FIL_OK;
}

/* Metadata values may have lines: printable text, tabs and line ends. */
static bool is_text(const char *text)
{
    for (;;) {
        const size_t piece = strcspn(text, "\t\n\r");
        if (!fili_is_printable(text, piece)) return false;
        if (text[piece] == '\0') return true;
        text += piece + 1;
    }
}

static fil_status check_metadata(fil_ctx *ctx, const fil_pair *pairs, size_t n)
{
    const fil_limits *limits = &ctx->opt.limits;
    uint64_t          total  = 0;
    if (n > limits->metadata_pairs)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "%zu metadata pairs; the limit is %llu", n,
                        (unsigned long long)limits->metadata_pairs);
    for (size_t i = 0; i < n; i++) {
        const fil_pair *p = &pairs[i];
        FIL_CHECK(ctx, p->key != NULL && p->value != NULL, "metadata pair %zu has a NULL", i);
        const size_t key   = strlen(p->key);
        const size_t value = strlen(p->value);
        FIL_CHECK(ctx, fili_is_printable(p->key, key),
                  "metadata key '%s' has a control character or is not UTF-8",
                  fili_quote(p->key, key).text);
        FIL_CHECK(ctx, is_text(p->value),
                  "the value of metadata key '%s' is not UTF-8, or has a control character other "
                  "than tab and line end",
                  fili_quote(p->key, key).text);
        if (!fili_add_u64(total, key, &total) || !fili_add_u64(total, value, &total) ||
            total > limits->metadata_bytes)
            return FIL_FAIL(ctx, FIL_E_LIMIT, "more than %llu bytes of metadata",
                            (unsigned long long)limits->metadata_bytes);
    }
    return FIL_OK;
}

static int by_key(const void *a, const void *b)
{
    const fil_pair *const *x = a;
    const fil_pair *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

static fil_status check_unique_keys(fil_ctx *ctx, const fil_pair *pairs, size_t n)
{
    void *block;
    FIL_TRY(fili_calloc(ctx, n, sizeof(fil_pair *), "metadata keys", &block));
    const fil_pair **sorted = block;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &pairs[i];
    if (n > 1) qsort(sorted, n, sizeof *sorted, by_key);
    fil_status status = FIL_OK;
    for (size_t i = 1; i < n && status == FIL_OK; i++)
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            status = FIL_FAIL(ctx, FIL_E_ARG, "metadata key '%s' is there twice",
                              fili_quote(sorted[i]->key, strlen(sorted[i]->key)).text);
    fili_free(ctx, block, n * sizeof(fil_pair *));
    return status;
}

/* ---- layout --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const place *)a)->desc->name, ((const place *)b)->desc->name);
}

/* Types below a byte count as bytes: several elements share one. */
static uint32_t alignment(const place *p)
{
    const uint32_t bits = fil_dtype_bits(p->desc->dtype);
    return bits < 8 ? 1 : bits / 8;
}

static int by_layout(const void *a, const void *b)
{
    const uint32_t x = alignment(a);
    const uint32_t y = alignment(b);
    if (x != y) return x > y ? -1 : 1;
    return by_name(a, b);
}

/* Sorts the places into file order and gives each its begin; *total = bytes of the data area. */
static fil_status lay_out(fili_writer *w, place *places, const fili_writer_input *in,
                          uint64_t *total)
{
    const size_t n = in->n_tensors;
    *total         = 0;
    for (size_t i = 0; i < n; i++)
        places[i] = (place){.desc = &in->tensors[i], .slot = &w->slots[i]};
    if (n > 1) qsort(places, n, sizeof *places, by_layout);
    for (size_t i = 0; i < n; i++) {
        places[i].begin = *total;
        FIL_CHECK(w->ctx, fili_add_u64(*total, places[i].slot->bytes, total) && *total <= MAX_FILE,
                  "the tensors together exceed the largest file, 2^63 - 1 bytes");
    }
    return FIL_OK;
}

/* ---- header text ---------------------------------------------------------------------------- */

/* Without dst it only counts, so that the text is made twice by the same code: once for its size.
 */
typedef struct text {
    char  *dst;
    size_t used;
} text;

static void add(text *t, const char *bytes, size_t n)
{
    if (t->dst != NULL) memcpy(t->dst + t->used, bytes, n);
    t->used += n;
}

static void add_literal(text *t, const char *literal)
{
    add(t, literal, strlen(literal));
}

static void add_number(text *t, uint64_t value)
{
    char      digits[24];
    const int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    add(t, digits, (size_t)n);
}

/* The checks above leave five characters that JSON wants escaped. */
static void add_string(text *t, const char *s)
{
    static const char raw[]     = "\"\\\t\n\r";
    static const char escaped[] = "\"\\tnr";
    add_literal(t, "\"");
    for (;;) {
        const size_t plain = strcspn(s, raw);
        add(t, s, plain);
        s += plain;
        if (*s == '\0') break;
        const char pair[2] = {'\\', escaped[strchr(raw, *s) - raw]};
        add(t, pair, sizeof pair);
        s++;
    }
    add_literal(t, "\"");
}

static void add_metadata(text *t, const fil_pair *pairs, size_t n)
{
    add_string(t, METADATA_KEY);
    add_literal(t, ":{");
    for (size_t i = 0; i < n; i++) {
        if (i > 0) add_literal(t, ",");
        add_string(t, pairs[i].key);
        add_literal(t, ":");
        add_string(t, pairs[i].value);
    }
    add_literal(t, "}");
}

static void add_tensor(text *t, const place *p)
{
    add_string(t, p->desc->name);
    add_literal(t, ":{\"dtype\":");
    add_string(t, fil_dtype_name(p->desc->dtype));
    add_literal(t, ",\"shape\":[");
    for (uint32_t d = 0; d < p->desc->rank; d++) {
        if (d > 0) add_literal(t, ",");
        add_number(t, (uint64_t)p->desc->shape[d]);
    }
    add_literal(t, "],\"data_offsets\":[");
    add_number(t, p->begin);
    add_literal(t, ",");
    add_number(t, p->begin + p->slot->bytes);
    add_literal(t, "]}");
}

static void add_header(text *t, const place *places, const fili_writer_input *in)
{
    add_literal(t, "{");
    if (in->n_pairs > 0) add_metadata(t, in->metadata, in->n_pairs);
    for (size_t i = 0; i < in->n_tensors; i++) {
        if (i > 0 || in->n_pairs > 0) add_literal(t, ",");
        add_tensor(t, &places[i]);
    }
    add_literal(t, "}");
}

static void store_le64(char *dst, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        dst[i] = (char)(value >> (8 * i) & 0xff);
}

/* ---- opening -------------------------------------------------------------------------------- */

static int by_slot_name(const void *a, const void *b)
{
    const fili_slot *const *x = a;
    const fili_slot *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static fil_status check_unique_names(fil_ctx *ctx, const fili_slot *slots, size_t n)
{
    void *block;
    FIL_TRY(fili_calloc(ctx, n, sizeof(fili_slot *), "tensor names", &block));
    const fili_slot **sorted = block;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &slots[i];
    if (n > 1) qsort(sorted, n, sizeof *sorted, by_slot_name);
    fil_status status = FIL_OK;
    for (size_t i = 1; i < n && status == FIL_OK; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            status = FIL_FAIL(ctx, FIL_E_ARG, "tensor '%s' is there twice",
                              fili_quote(sorted[i]->name, strlen(sorted[i]->name)).text);
    fili_free(ctx, block, n * sizeof(fili_slot *));
    return status;
}

static fil_status take_slots(fili_writer *w, const fili_writer_input *in, bool blocks)
{
    const size_t n = in->n_tensors;
    void        *slots;
    FIL_TRY(fili_arena_calloc(&w->arena, n, sizeof *w->slots, &slots));
    w->slots   = slots;
    w->n_slots = n;
    for (size_t i = 0; i < n; i++) {
        const fil_tensor_desc *t = &in->tensors[i];
        char                  *name;
        FIL_TRY(check_tensor(w->ctx, i, t, blocks, &w->slots[i].bytes));
        FIL_TRY(fili_arena_text(&w->arena, t->name, strlen(t->name), &name));
        w->slots[i].name = name;
    }
    return check_unique_names(w->ctx, w->slots, n);
}

fil_status fili_writer_begin(fili_writer *w, fil_ctx *ctx, const fili_writer_input *in, bool blocks)
{
    const uint64_t limit = ctx->opt.limits.tensors;
    *w                   = (fili_writer){.ctx = ctx, .file = FILI_ATOMIC_CLOSED};
    fili_arena_init(&w->arena, ctx, "writer of tensors", 0);
    if (in->n_tensors > limit)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "%zu tensors; the limit is %llu", in->n_tensors,
                        (unsigned long long)limit);
    const fil_status status = take_slots(w, in, blocks);
    if (status != FIL_OK) fili_writer_close(w);
    return status;
}

/* Everything before the data area, in one write. */
static fil_status write_front(fili_writer *w, const place *places, const fili_writer_input *in,
                              uint64_t front)
{
    void *block;
    FIL_TRY(fili_alloc(w->ctx, (size_t)front, "safetensors header", &block));
    text t = {.dst = (char *)block + 8};
    store_le64(block, front - 8);
    add_header(&t, places, in);
    memset(t.dst + t.used, ' ', (size_t)front - 8 - t.used);
    const fil_status status = fili_atomic_write(w->ctx, &w->file, 0, block, (size_t)front);
    fili_free(w->ctx, block, (size_t)front);
    return status;
}

/* *front = bytes before the data area; the slots get their place in the file. */
static fil_status place_data(fili_writer *w, const place *places, const fili_writer_input *in,
                             uint64_t total, uint64_t *front)
{
    const uint64_t limit = w->ctx->opt.limits.header_bytes;
    uint64_t       size;
    text           t = {.dst = NULL};
    add_header(&t, places, in);
    if (!fili_add_u64(t.used, 8, front) || !fili_align_u64(*front, FILI_SAFETENSORS_ALIGN, front) ||
        *front - 8 > limit)
        return FIL_FAIL(w->ctx, FIL_E_LIMIT,
                        "the header needs %zu bytes and padding; the limit is %llu (header_bytes)",
                        t.used, (unsigned long long)limit);
    FIL_CHECK(w->ctx, fili_add_u64(*front, total, &size) && size <= MAX_FILE,
              "header and tensors together exceed the largest file, 2^63 - 1 bytes");
    for (size_t i = 0; i < in->n_tensors; i++)
        places[i].slot->offset = *front + places[i].begin;
    return FIL_OK;
}

static fil_status open_with(fili_writer *w, const char *path, const fili_writer_input *in,
                            int replace, place *places)
{
    uint64_t total = 0;
    uint64_t front = 0;
    FIL_TRY(lay_out(w, places, in, &total));
    FIL_TRY(place_data(w, places, in, total, &front));
    w->bytes = front + total;
    FIL_TRY(fili_atomic_open(w->ctx, path, replace, &w->file));
    FIL_TRY(fili_atomic_resize(w->ctx, &w->file, w->bytes));
    return write_front(w, places, in, front);
}

fil_status fili_writer_open(fili_writer *w, fil_ctx *ctx, const char *path,
                            const fili_writer_input *in, int replace)
{
    void      *places = NULL;
    fil_status status;
    FIL_TRY(fili_writer_begin(w, ctx, in, false));
    FIL_TRY_OR(done, check_metadata(ctx, in->metadata, in->n_pairs));
    FIL_TRY_OR(done, check_unique_keys(ctx, in->metadata, in->n_pairs));
    FIL_TRY_OR(done, fili_calloc(ctx, in->n_tensors, sizeof(place), "tensor layout", &places));
    status = open_with(w, path, in, replace, places);
done:
    fili_free(ctx, places, in->n_tensors * sizeof(place));
    if (status != FIL_OK) fili_writer_close(w);
    return status;
}

/* ---- data ----------------------------------------------------------------------------------- */

fil_status fili_writer_put(fili_writer *w, size_t i, const void *data, uint64_t bytes)
{
    fili_slot        *slot = &w->slots[i];
    const fili_quoted q    = fili_quote(slot->name, strlen(slot->name));
    if (w->dead)
        return FIL_FAIL(w->ctx, FIL_E_IO,
                        "tensor '%s': an earlier write failed; the writer can only be closed",
                        q.text);
    FIL_CHECK(w->ctx, bytes <= slot->bytes - slot->done && bytes <= SIZE_MAX,
              "tensor '%s' has %llu bytes, %llu are written; %llu more do not fit", q.text,
              (unsigned long long)slot->bytes, (unsigned long long)slot->done,
              (unsigned long long)bytes);
    const fil_status status =
        fili_atomic_write(w->ctx, &w->file, slot->offset + slot->done, data, (size_t)bytes);
    if (status == FIL_OK)
        slot->done += bytes;
    else
        w->dead = 1;
    return status;
}

static fil_status check_complete(const fili_writer *w)
{
    if (w->dead)
        return FIL_FAIL(w->ctx, FIL_E_IO, "an earlier write failed; '%s' was not written",
                        fili_quote(w->file.base, strlen(w->file.base)).text);
    for (size_t i = 0; i < w->n_slots; i++) {
        const fili_slot *slot = &w->slots[i];
        FIL_CHECK(w->ctx, slot->done == slot->bytes,
                  "tensor '%s' is incomplete: it has %llu bytes, expected %llu",
                  fili_quote(slot->name, strlen(slot->name)).text, (unsigned long long)slot->done,
                  (unsigned long long)slot->bytes);
    }
    return FIL_OK;
}

fil_status fili_writer_finish(fili_writer *w)
{
    fil_status status = check_complete(w);
    if (status == FIL_OK) status = fili_atomic_commit(w->ctx, &w->file);
    fili_writer_close(w);
    return status;
}

void fili_writer_close(fili_writer *w)
{
    fili_atomic_abort(w->ctx, &w->file);
    fili_arena_fini(&w->arena);
    w->slots   = NULL;
    w->n_slots = 0;
}
