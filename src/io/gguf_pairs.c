/* io/gguf_pairs.c: the key-value pairs of a GGUF header (io/gguf_inside.h).
 *
 * A count is compared with what is left of the file before anything is allocated for it. Long
 * arrays (a vocabulary) are stepped over: of them only the length is shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/gguf_inside.h"
#include "io/le.h"

enum {
    PAIR_BYTES  = 13, /* at least: length of the key, type, a value of one byte */
    SHORT_ARRAY = 16, /* elements of an array that is shown whole */
    NUMBER_TEXT = 32
};

#define KEY_BYTES 65535u /* of a key, at most: the format's own rule */

/* ---- one pair ------------------------------------------------------------------------------- */

typedef struct type_row {
    const char *name;
    uint32_t    bytes; /* 0: no fixed size */
} type_row;

static const type_row types[FILI_GGUF_TYPES] = {
    [FILI_GGUF_U8] = {"u8", 1},         [FILI_GGUF_I8] = {"i8", 1},
    [FILI_GGUF_U16] = {"u16", 2},       [FILI_GGUF_I16] = {"i16", 2},
    [FILI_GGUF_U32] = {"u32", 4},       [FILI_GGUF_I32] = {"i32", 4},
    [FILI_GGUF_F32] = {"f32", 4},       [FILI_GGUF_BOOL] = {"bool", 1},
    [FILI_GGUF_STRING] = {"string", 0}, [FILI_GGUF_ARRAY] = {"array", 0},
    [FILI_GGUF_U64] = {"u64", 8},       [FILI_GGUF_I64] = {"i64", 8},
    [FILI_GGUF_F64] = {"f64", 8},
};

static fil_status take_type(fili_gguf_header *h, const fili_gguf_pair *p, uint32_t *out)
{
    FIL_TRY(fili_gguf_u32(h, "the type of a value", out));
    if (*out >= FILI_GGUF_TYPES)
        return FIL_FAIL(h->ctx, FIL_E_FORMAT,
                        "key '%s' has a value of type %u; the last type is %d",
                        fili_gguf_quote(h, &p->key).text, *out, FILI_GGUF_TYPES - 1);
    return FIL_OK;
}

static fil_status take_array(fili_gguf_header *h, fili_gguf_pair *p)
{
    uint64_t bytes;
    FIL_TRY(take_type(h, p, &p->item));
    FIL_TRY(fili_gguf_u64(h, "the length of an array", &p->count));
    if (p->item == FILI_GGUF_ARRAY)
        return FIL_FAIL(h->ctx, FIL_E_UNSUP, "key '%s' holds an array of arrays",
                        fili_gguf_quote(h, &p->key).text);
    p->value.at = h->at;
    if (p->item == FILI_GGUF_STRING) {
        fili_gguf_text skipped;
        if (p->count > fili_gguf_left(h) / 8) /* the length of each */
            return FIL_FAIL(h->ctx, FIL_E_FORMAT,
                            "key '%s' promises %llu strings; the file has %llu bytes left",
                            fili_gguf_quote(h, &p->key).text, (unsigned long long)p->count,
                            (unsigned long long)fili_gguf_left(h));
        for (uint64_t i = 0; i < p->count; i++)
            FIL_TRY(fili_gguf_string(h, "a string of an array", &skipped));
        p->value.bytes = h->at - p->value.at;
        return FIL_OK;
    }
    if (!fili_mul_u64(p->count, types[p->item].bytes, &bytes))
        return FIL_FAIL(h->ctx, FIL_E_FORMAT, "key '%s' promises %llu values",
                        fili_gguf_quote(h, &p->key).text, (unsigned long long)p->count);
    p->value.bytes = bytes;
    return fili_gguf_take(h, bytes, "an array", &p->value.at);
}

static fil_status check_key(const fili_gguf_header *h, const fili_gguf_text *key)
{
    if (key->bytes == 0)
        return FIL_FAIL(h->ctx, FIL_E_FORMAT, "a key of the metadata is empty (byte %llu)",
                        (unsigned long long)key->at);
    if (key->bytes > KEY_BYTES)
        return FIL_FAIL(h->ctx, FIL_E_FORMAT, "key '%s' has %llu bytes; GGUF allows %u",
                        fili_gguf_quote(h, key).text, (unsigned long long)key->bytes, KEY_BYTES);
    if (!fili_is_printable(fili_gguf_chars(h, key), (size_t)key->bytes))
        return FIL_FAIL(h->ctx, FIL_E_FORMAT, "key '%s' has a control character or is not UTF-8",
                        fili_gguf_quote(h, key).text);
    return FIL_OK;
}

static fil_status take_pair(fili_gguf_header *h, fili_gguf_pair *p)
{
    FIL_TRY(fili_gguf_string(h, "a key of the metadata", &p->key));
    FIL_TRY(check_key(h, &p->key));
    FIL_TRY(take_type(h, p, &p->type));
    p->count = 1;
    if (p->type == FILI_GGUF_ARRAY) return take_array(h, p);
    if (p->type == FILI_GGUF_STRING) return fili_gguf_string(h, "a string value", &p->value);
    p->value.bytes = types[p->type].bytes;
    FIL_TRY(fili_gguf_take(h, p->value.bytes, "a value", &p->value.at));
    if (p->type == FILI_GGUF_BOOL && h->data[p->value.at] > 1)
        return FIL_FAIL(h->ctx, FIL_E_FORMAT, "key '%s' is a bool of value %u; expected 0 or 1",
                        fili_gguf_quote(h, &p->key).text, h->data[p->value.at]);
    return FIL_OK;
}

/* ---- values as text ------------------------------------------------------------------------- */

/* A whole number of any type as its 64 bits; signed ones are extended. */
static uint64_t bits_at(uint32_t type, const unsigned char *p)
{
    switch (type) {
    case FILI_GGUF_I8: return (uint64_t)(int64_t)(int8_t)p[0];
    case FILI_GGUF_I16: return (uint64_t)(int64_t)(int16_t)fili_le16(p);
    case FILI_GGUF_I32: return (uint64_t)(int64_t)(int32_t)fili_le32(p);
    case FILI_GGUF_U16: return fili_le16(p);
    case FILI_GGUF_U32: return fili_le32(p);
    case FILI_GGUF_U64:
    case FILI_GGUF_I64: return fili_le64(p);
    default: return p[0];
    }
}

static double real_at(uint32_t type, const unsigned char *p)
{
    if (type == FILI_GGUF_F32) {
        const uint32_t bits = fili_le32(p);
        float          x;
        memcpy(&x, &bits, sizeof x);
        return (double)x;
    }
    const uint64_t bits = fili_le64(p);
    double         x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The locale's decimal point, whatever it is, becomes a point. */
static size_t put_real(char *text, uint32_t type, const unsigned char *p)
{
    static const char plain[] = "0123456789+-einfa";
    char              local[64];
    size_t            n = 0;
    snprintf(local, sizeof local, type == FILI_GGUF_F32 ? "%.9g" : "%.17g", real_at(type, p));
    for (const char *c = local; *c != '\0' && n + 1 < NUMBER_TEXT; c++) {
        if (strchr(plain, *c) != NULL)
            text[n++] = *c;
        else if (n == 0 || text[n - 1] != '.')
            text[n++] = '.';
    }
    text[n] = '\0';
    return n;
}

/* At most NUMBER_TEXT bytes, NUL included; gives their number without it. */
static size_t put_number(char *text, uint32_t type, const unsigned char *p)
{
    if (type == FILI_GGUF_F32 || type == FILI_GGUF_F64) return put_real(text, type, p);
    if (type == FILI_GGUF_BOOL)
        return (size_t)snprintf(text, NUMBER_TEXT, "%s", p[0] != 0 ? "true" : "false");
    const bool has_sign = type == FILI_GGUF_I8 || type == FILI_GGUF_I16 || type == FILI_GGUF_I32 ||
                          type == FILI_GGUF_I64;
    const uint64_t bits = bits_at(type, p);
    return (size_t)(has_sign ? snprintf(text, NUMBER_TEXT, "%lld", (long long)(int64_t)bits)
                             : snprintf(text, NUMBER_TEXT, "%llu", (unsigned long long)bits));
}

/* "[1, 2, 3]", or of what is long "256384 strings". */
static size_t put_array(char *text, size_t size, const fili_gguf_header *h, const fili_gguf_pair *p)
{
    const uint32_t step = types[p->item].bytes;
    if (p->item == FILI_GGUF_STRING || p->count > SHORT_ARRAY)
        return (size_t)snprintf(text, size, "(%llu values of type %s)",
                                (unsigned long long)p->count, types[p->item].name);
    size_t n  = 0;
    text[n++] = '[';
    for (uint64_t i = 0; i < p->count; i++) {
        if (i > 0) n += (size_t)snprintf(text + n, size - n, ", ");
        n += put_number(text + n, p->item, h->data + p->value.at + i * step);
    }
    text[n++] = ']';
    text[n]   = '\0';
    return n;
}

static fil_status check_string(const fili_gguf_header *h, const fili_gguf_pair *p)
{
    const unsigned char *text = h->data + p->value.at;
    for (uint64_t i = 0; i < p->value.bytes;) {
        const int length = fili_utf8_length(text + i, (size_t)(p->value.bytes - i));
        if (length <= 0 || text[i] == '\0')
            return FIL_FAIL(h->ctx, FIL_E_FORMAT,
                            "key '%s': the string is not UTF-8 or has a NUL character",
                            fili_gguf_quote(h, &p->key).text);
        i += (uint64_t)length;
    }
    return FIL_OK;
}

/* The value in the set's memory. *bytes counts keys and values against the limit. */
static fil_status keep_pair(const fili_gguf_header *h, fili_tensors *set, const fili_gguf_pair *p,
                            uint64_t *bytes, fil_pair *out)
{
    char           room[SHORT_ARRAY * (NUMBER_TEXT + 2) + 2];
    const uint64_t limit = h->ctx->opt.limits.metadata_bytes;
    const char    *text  = room;
    size_t         n;
    char          *key;
    char          *value;
    if (p->type == FILI_GGUF_STRING) {
        FIL_TRY(check_string(h, p));
        text = fili_gguf_chars(h, &p->value);
        n    = (size_t)p->value.bytes;
    } else {
        n = p->type == FILI_GGUF_ARRAY ? put_array(room, sizeof room, h, p)
                                       : put_number(room, p->type, h->data + p->value.at);
    }
    *bytes += p->key.bytes + n; /* each is at most the header */
    if (*bytes > limit)
        return FIL_FAIL(h->ctx, FIL_E_LIMIT,
                        "the metadata has more than %llu bytes at key '%s' (limit: metadata_bytes)",
                        (unsigned long long)limit, fili_gguf_quote(h, &p->key).text);
    FIL_TRY(fili_arena_text(&set->arena, fili_gguf_chars(h, &p->key), (size_t)p->key.bytes, &key));
    FIL_TRY(fili_arena_text(&set->arena, text, n, &value));
    *out = (fil_pair){.key = key, .value = value};
    return FIL_OK;
}

/* ---- all pairs ------------------------------------------------------------------------------ */

fil_status fili_gguf_pairs_take(fili_gguf_header *h, uint64_t n, fili_gguf_pairs *out)
{
    const uint64_t limit = h->ctx->opt.limits.metadata_pairs;
    void          *block;
    if (n > fili_gguf_left(h) / PAIR_BYTES)
        return FIL_FAIL(h->ctx, FIL_E_FORMAT,
                        "the header promises %llu key-value pairs; the file has %llu bytes left",
                        (unsigned long long)n, (unsigned long long)fili_gguf_left(h));
    if (n > limit)
        return FIL_FAIL(h->ctx, FIL_E_LIMIT,
                        "the metadata has %llu pairs; the limit is %llu (limit: metadata_pairs)",
                        (unsigned long long)n, (unsigned long long)limit);
    FIL_TRY(fili_calloc(h->ctx, (size_t)n, sizeof *out->pair, "GGUF metadata", &block));
    out->pair = block;
    out->n    = (size_t)n;
    for (size_t i = 0; i < out->n; i++)
        FIL_TRY(take_pair(h, &out->pair[i]));
    return FIL_OK;
}

void fili_gguf_pairs_fini(fil_ctx *ctx, fili_gguf_pairs *pairs)
{
    fili_free(ctx, pairs->pair, pairs->n * sizeof *pairs->pair);
    *pairs = (fili_gguf_pairs){.n = 0};
}

static int compare(const char *a, uint64_t a_bytes, const char *b, uint64_t b_bytes)
{
    const int order = memcmp(a, b, (size_t)(a_bytes < b_bytes ? a_bytes : b_bytes));
    return order != 0 ? order : a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

static int by_key(const void *a, const void *b)
{
    const fili_gguf_pair *x = a;
    const fili_gguf_pair *y = b;
    return compare(x->chars, x->key.bytes, y->chars, y->key.bytes);
}

static fil_status keep_all(const fili_gguf_header *h, fili_tensors *set, const fili_gguf_pairs *all)
{
    uint64_t bytes = 0;
    void    *block;
    FIL_TRY(fili_arena_calloc(&set->arena, all->n, sizeof(fil_pair), &block));
    fil_pair *pairs = block;
    for (size_t i = 0; i < all->n; i++)
        FIL_TRY(keep_pair(h, set, &all->pair[i], &bytes, &pairs[i]));
    set->metadata = pairs;
    set->n_pairs  = all->n;
    return FIL_OK;
}

fil_status fili_gguf_pairs_settle(const fili_gguf_header *h, fili_tensors *set,
                                  fili_gguf_pairs *pairs)
{
    if (pairs->n == 0) return FIL_OK;
    FIL_TRY(keep_all(h, set, pairs));
    for (size_t i = 0; i < pairs->n; i++)
        pairs->pair[i].chars = fili_gguf_chars(h, &pairs->pair[i].key);
    qsort(pairs->pair, pairs->n, sizeof *pairs->pair, by_key);
    for (size_t i = 1; i < pairs->n; i++)
        if (by_key(&pairs->pair[i - 1], &pairs->pair[i]) == 0)
            return FIL_FAIL(h->ctx, FIL_E_FORMAT, "key '%s' is there twice",
                            fili_gguf_quote(h, &pairs->pair[i].key).text);
    return FIL_OK;
}

/* As strcmp of the pair's key against prefix and name together. */
static int against(const fili_gguf_pair *p, const char *prefix, const char *name, size_t bytes)
{
    const size_t n = strlen(prefix);
    if (p->key.bytes < n) {
        const int order = compare(p->chars, p->key.bytes, prefix, n);
        return order != 0 ? order : -1;
    }
    const int order = memcmp(p->chars, prefix, n);
    return order != 0 ? order : compare(p->chars + n, p->key.bytes - n, name, bytes);
}

const fili_gguf_pair *fili_gguf_find(const fili_gguf_pairs *pairs, const char *prefix,
                                     const char *name, size_t bytes)
{
    size_t low  = 0;
    size_t high = pairs->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int    order  = against(&pairs->pair[middle], prefix, name, bytes);
        if (order == 0) return &pairs->pair[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool fili_gguf_integer(const fili_gguf_header *h, const fili_gguf_pair *pair, uint64_t i,
                       int64_t *out)
{
    const uint32_t type = pair->type == FILI_GGUF_ARRAY ? pair->item : pair->type;
    if (i >= pair->count || type == FILI_GGUF_F32 || type == FILI_GGUF_F64 ||
        type == FILI_GGUF_BOOL || type == FILI_GGUF_STRING)
        return false;
    const uint64_t bits = bits_at(type, h->data + pair->value.at + i * types[type].bytes);
    if (type == FILI_GGUF_U64 && bits > INT64_MAX) return false;
    *out = (int64_t)bits;
    return true;
}
