/* io/safetensors.c: reads and validates the header of one safetensors file.
 *
 * Format: github.com/huggingface/safetensors, README "Format": 8 bytes little-endian length, a JSON
 * header of that length, data. Every rule is checked before an entry becomes visible: the ranges
 * cover the data without hole, overlap or tail, so that a file has one meaning only. What holds for
 * a tensor of any format (name, rank, shape against size) is checked by fili_tensors_add.
 * The header is read into memory, never mapped. No weight is read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/foreign.h"
#include "io/json.h"
#include "io/tensors.h"
#include "tensor/dtype.h"

#define LENGTH_BYTES 8u
/* JSON values of one tensor: key, object, three keys, dtype, two arrays, rank + 2 numbers. */
#define VALUES_PER_TENSOR (8u + FIL_MAX_RANK + 2u)

/* One tensor while its header is read; begin and end are relative to the data area. */
typedef struct span {
    uint64_t    begin, end;
    const char *name; /* in the JSON tree */
    size_t      name_bytes;
    fili_entry  entry;
} span;

typedef struct reader {
    fil_ctx      *ctx;
    fili_tensors *set;
    int32_t       source;
    fili_file    *file;
    uint64_t      header_bytes;
    uint64_t      data_bytes;
    span         *spans;
    size_t        n_spans, max_spans;
} reader;

/* ---- the eight bytes and the header's text --------------------------------------------------- */

static uint64_t little_endian(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* The length cannot be right: find the sentence that helps most. */
static fil_status refuse_length(const reader *r, uint64_t length, const unsigned char *head,
                                size_t bytes)
{
    const uint64_t limit = r->ctx->opt.limits.header_bytes;
    const uint64_t room  = r->file->size - LENGTH_BYTES;
    FIL_TRY(fili_explain_foreign(r->ctx, head, bytes));
    if (__builtin_bswap64(length) <= room && bytes > LENGTH_BYTES && head[LENGTH_BYTES] == '{')
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "the header's length is stored big-endian; expected little-endian");
    if (length > limit)
        return FIL_FAIL(r->ctx, FIL_E_LIMIT,
                        "the header's length is %llu; the limit is %llu (limit: header_bytes)",
                        (unsigned long long)length, (unsigned long long)limit);
    return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                    "the header's length is %llu, but only %llu bytes follow: %llu bytes are "
                    "missing, the file was cut off or is no safetensors file",
                    (unsigned long long)length, (unsigned long long)room,
                    (unsigned long long)(length - room));
}

static fil_status read_length(reader *r)
{
    unsigned char  head[FILI_SNIFF];
    const uint64_t size  = r->file->size;
    const size_t   bytes = size < FILI_SNIFF ? (size_t)size : FILI_SNIFF;
    if (size == 0)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the file is empty; expected a safetensors file");
    if (size < LENGTH_BYTES)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "the file has %llu bytes; a safetensors file has at least 8",
                        (unsigned long long)size);
    FIL_TRY(fili_file_read(r->ctx, r->file, 0, head, bytes));
    const uint64_t length = little_endian(head);
    if (length > r->ctx->opt.limits.header_bytes || length > size - LENGTH_BYTES)
        return refuse_length(r, length, head, bytes);
    if (length == 0) return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the header is empty; expected '{'");
    if (head[LENGTH_BYTES] != '{')
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the header begins with '%s'; expected '{'",
                        fili_quote((const char *)head + LENGTH_BYTES, 1).text);
    r->header_bytes = length;
    r->data_bytes   = size - LENGTH_BYTES - length;
    return FIL_OK;
}

static fil_status read_json(const reader *r, fili_json *json)
{
    const fil_limits *l = &r->ctx->opt.limits;
    /* One tensor and one pair more than allowed, so that exceeding those limits is named. */
    const uint64_t max = 2 + (l->tensors + 1) * VALUES_PER_TENSOR + 2 * (l->metadata_pairs + 1);
    void          *text;
    *json = (fili_json){.root = NULL};
    FIL_TRY(fili_alloc(r->ctx, (size_t)r->header_bytes, "safetensors header", &text));
    fil_status status =
        fili_file_read(r->ctx, r->file, LENGTH_BYTES, text, (size_t)r->header_bytes);
    if (status == FIL_OK)
        status = fili_json_parse(r->ctx, "the header", text, (size_t)r->header_bytes, max, 0, json);
    fili_free(r->ctx, text, (size_t)r->header_bytes);
    return status;
}

/* ---- one tensor ----------------------------------------------------------------------------- */

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    case JSON_NULL: return "null";
    default: return "true or false";
    }
}

static fil_status read_dtype(const reader *r, span *s, const json_t *value)
{
    const fili_quoted name = fili_quote(s->name, s->name_bytes);
    if (!json_is_string(value))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s': dtype is %s; expected a string",
                        name.text, type_name(value));
    const char  *text  = json_string_value(value);
    const size_t bytes = json_string_length(value);
    s->entry.dtype     = fili_dtype_from_name(text, bytes);
    if (s->entry.dtype == FIL_DTYPE_NONE)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s': unknown dtype '%s'", name.text,
                        fili_quote(text, bytes).text);
    return FIL_OK;
}

static fil_status read_shape(const reader *r, span *s, const json_t *value)
{
    const fili_quoted name = fili_quote(s->name, s->name_bytes);
    if (!json_is_array(value))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s': shape is %s; expected an array",
                        name.text, type_name(value));
    const size_t rank = json_array_size(value);
    if (rank > FIL_MAX_RANK)
        return FIL_FAIL(r->ctx, FIL_E_LIMIT, "tensor '%s' has %zu dimensions; the limit is %d",
                        name.text, rank, FIL_MAX_RANK);
    for (size_t i = 0; i < rank; i++) {
        const json_t *dim = json_array_get(value, i);
        if (!json_is_integer(dim))
            return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                            "tensor '%s': dimension %zu is %s; expected an integer", name.text, i,
                            type_name(dim));
        s->entry.shape[i] = json_integer_value(dim);
    }
    s->entry.rank = (uint32_t)rank;
    return FIL_OK;
}

static fil_status read_offsets(const reader *r, span *s, const json_t *value)
{
    const fili_quoted name = fili_quote(s->name, s->name_bytes);
    if (!json_is_array(value))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s': data_offsets is %s; expected an array",
                        name.text, type_name(value));
    if (json_array_size(value) != 2)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s': data_offsets has %zu items; expected 2",
                        name.text, json_array_size(value));
    const json_t *begin = json_array_get(value, 0);
    const json_t *end   = json_array_get(value, 1);
    if (!json_is_integer(begin) || !json_is_integer(end))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "tensor '%s': data_offsets has %s; expected two integers", name.text,
                        type_name(json_is_integer(begin) ? end : begin));
    s->begin = (uint64_t)json_integer_value(begin);
    s->end   = (uint64_t)json_integer_value(end);
    if (s->end < s->begin)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "tensor '%s': data_offsets are reversed, from %llu to %llu", name.text,
                        (unsigned long long)s->begin, (unsigned long long)s->end);
    return FIL_OK;
}

static fil_status refuse_field(const reader *r, const span *s, json_t *object)
{
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const char *key = json_object_iter_key(i);
        if (strcmp(key, "dtype") == 0 || strcmp(key, "shape") == 0 ||
            strcmp(key, "data_offsets") == 0)
            continue;
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "tensor '%s' has a field '%s'; expected dtype, shape and data_offsets only",
                        fili_quote(s->name, s->name_bytes).text,
                        fili_quote(key, json_object_iter_key_len(i)).text);
    }
    return FIL_FAIL(r->ctx, FIL_E_INTERNAL, "a tensor has three fields and one more");
}

static fil_status read_tensor(reader *r, const char *key, size_t key_bytes, json_t *value)
{
    static const char *const fields[] = {"dtype", "shape", "data_offsets"};
    span                    *s        = &r->spans[r->n_spans];
    *s = (span){.name = key, .name_bytes = key_bytes, .entry = {.source = r->source}};
    const fili_quoted name = fili_quote(key, key_bytes);
    if (!json_is_object(value))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s' is %s; expected an object", name.text,
                        type_name(value));
    for (int i = 0; i < 3; i++)
        if (json_object_get(value, fields[i]) == NULL)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s' has no %s", name.text, fields[i]);
    if (json_object_size(value) != 3) return refuse_field(r, s, value);
    FIL_TRY(read_dtype(r, s, json_object_get(value, "dtype")));
    FIL_TRY(read_shape(r, s, json_object_get(value, "shape")));
    FIL_TRY(read_offsets(r, s, json_object_get(value, "data_offsets")));
    s->entry.bytes = s->end - s->begin;
    r->n_spans++;
    return FIL_OK;
}

/* ---- metadata ------------------------------------------------------------------------------- */

static fil_status check_metadata(const reader *r, json_t *object)
{
    const fil_limits *l     = &r->ctx->opt.limits;
    uint64_t          bytes = 0;
    if (!json_is_object(object))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "__metadata__ is %s; expected an object",
                        type_name(object));
    if (json_object_size(object) > l->metadata_pairs)
        return FIL_FAIL(r->ctx, FIL_E_LIMIT,
                        "__metadata__ has %zu pairs; the limit is %llu (limit: metadata_pairs)",
                        json_object_size(object), (unsigned long long)l->metadata_pairs);
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const json_t *value = json_object_iter_value(i);
        if (!json_is_string(value))
            return FIL_FAIL(r->ctx, FIL_E_FORMAT, "__metadata__: '%s' is %s; expected a string",
                            fili_quote(json_object_iter_key(i), json_object_iter_key_len(i)).text,
                            type_name(value));
        bytes += json_object_iter_key_len(i) + json_string_length(value);
    }
    if (bytes > l->metadata_bytes)
        return FIL_FAIL(r->ctx, FIL_E_LIMIT,
                        "__metadata__ has %llu bytes; the limit is %llu (limit: metadata_bytes)",
                        (unsigned long long)bytes, (unsigned long long)l->metadata_bytes);
    return FIL_OK;
}

/* jansson's objects keep the order of insertion, so the pairs come in the file's order. */
static fil_status keep_metadata(const reader *r, json_t *object)
{
    fili_tensors *set = r->set;
    void         *block;
    size_t        n = 0;
    FIL_TRY(fili_arena_calloc(&set->arena, json_object_size(object), sizeof(fil_pair), &block));
    fil_pair *pairs = block;
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const json_t *text = json_object_iter_value(i);
        char         *key;
        char         *value;
        FIL_TRY(fili_arena_text(&set->arena, json_object_iter_key(i), json_object_iter_key_len(i),
                                &key));
        FIL_TRY(fili_arena_text(&set->arena, json_string_value(text), json_string_length(text),
                                &value));
        pairs[n++] = (fil_pair){.key = key, .value = value};
    }
    set->metadata = pairs;
    set->n_pairs  = n;
    return FIL_OK;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int by_range(const void *a, const void *b)
{
    const span *x = a;
    const span *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Sorted ranges must follow one another from 0 to the end of the file. A zero-size tensor then lies
 * on a boundary, because its range sorts before the one that begins at the same byte. */
static fil_status check_cover(const reader *r)
{
    uint64_t at = 0;
    if (r->n_spans > 1) qsort(r->spans, r->n_spans, sizeof *r->spans, by_range);
    for (size_t i = 0; i < r->n_spans; i++) {
        const span *s = &r->spans[i];
        if (s->begin != at)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                            "tensor '%s' begins at data byte %llu; expected %llu (%s)",
                            fili_quote(s->name, s->name_bytes).text, (unsigned long long)s->begin,
                            (unsigned long long)at, s->begin > at ? "a hole" : "an overlap");
        at = s->end;
    }
    if (at > r->data_bytes)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "the file is cut off: its header describes %llu bytes of data, the file "
                        "has %llu, %llu bytes are missing",
                        (unsigned long long)at, (unsigned long long)r->data_bytes,
                        (unsigned long long)(at - r->data_bytes));
    if (at < r->data_bytes)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "%llu bytes after the last tensor belong to no tensor",
                        (unsigned long long)(r->data_bytes - at));
    return FIL_OK;
}

static fil_status read_members(reader *r, json_t *root, bool alone)
{
    for (void *i = json_object_iter(root); i != NULL; i = json_object_iter_next(root, i)) {
        const char *key   = json_object_iter_key(i);
        json_t     *value = json_object_iter_value(i);
        if (strcmp(key, "__metadata__") != 0) {
            FIL_TRY(read_tensor(r, key, json_object_iter_key_len(i), value));
            continue;
        }
        FIL_TRY(check_metadata(r, value));
        if (alone) FIL_TRY(keep_metadata(r, value));
    }
    return FIL_OK;
}

static fil_status add_tensors(const reader *r)
{
    for (size_t i = 0; i < r->n_spans; i++) {
        span *s         = &r->spans[i];
        s->entry.offset = LENGTH_BYTES + r->header_bytes + s->begin;
        FIL_TRY(fili_tensors_add(r->set, s->name, s->name_bytes, &s->entry));
    }
    return FIL_OK;
}

static fil_status read_root(reader *r, json_t *root)
{
    fili_tensors *set   = r->set;
    const bool    alone = set->format[0] == '\0'; /* not a shard of an index */
    const size_t  n     = json_object_size(root) - (json_object_get(root, "__metadata__") != NULL);
    void         *block;
    FIL_TRY(fili_tensors_reserve(set, n));
    FIL_TRY(fili_calloc(r->ctx, n, sizeof *r->spans, "safetensors header", &block));
    r->spans     = block;
    r->max_spans = n;
    FIL_TRY(read_members(r, root, alone));
    FIL_TRY(check_cover(r));
    FIL_TRY(add_tensors(r));
    if (alone) set->format = "safetensors";
    return FIL_OK;
}

fil_status fili_safetensors_read_header(fili_tensors *set, int32_t source)
{
    reader r = {.ctx = set->ctx, .set = set, .source = source, .file = &set->sources[source].file};
    fili_json json;
    FIL_TRY(read_length(&r));
    FIL_TRY(read_json(&r, &json));
    const fil_status status = read_root(&r, json.root);
    fili_free(set->ctx, r.spans, r.max_spans * sizeof *r.spans);
    fili_json_fini(set->ctx, &json);
    return status;
}
