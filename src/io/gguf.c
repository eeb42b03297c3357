/* io/gguf.c: reads and validates the header of one GGUF file.
 *
 * Format: github.com/ggml-org/ggml, docs/gguf.md: magic, version, two counts, key-value pairs
 * (io/gguf_pairs.c), one info per tensor, padding, data. Versions 2 and 3 differ in nothing that is
 * read here. Every rule is checked before an entry becomes visible: ranges are aligned and follow
 * one another with no more between them than padding, so that a file has one meaning only. What
 * holds for a tensor of any format is checked by fili_tensors_add.
 * Dimensions are stored last first; up to FIL_MAX_RANK of them are read, where ggml has four. Not
 * read: version 1, big-endian files, block types with tables (IQ, TQ) and the FP4 ones.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/gguf_inside.h"
#include "io/le.h"
#include "tensor/dtype.h"

enum {
    INFO_BYTES    = 25,      /* of one tensor, at least: a name of one byte, no dimension */
    ALIGNMENT     = 32,      /* where general.alignment does not say otherwise */
    MAX_ALIGNMENT = 1 << 20, /* far above any that helps */
    OLDEST        = 2,
    NEWEST        = 3
};

/* One tensor while the header is read; begin and end are relative to the data area. */
typedef struct span {
    uint64_t       begin, end;
    fili_gguf_text name;
    uint32_t       type; /* ggml's number */
    fili_entry     entry;
} span;

typedef struct reader {
    fil_ctx         *ctx;
    fili_tensors    *set;
    int32_t          source;
    fili_gguf_header h;
    fili_gguf_pairs  pairs;
    span            *spans;
    size_t           n_spans;
    uint64_t         alignment;
    uint64_t         data_begin, data_bytes;
} reader;

static fili_quoted name_of(const reader *r, const span *s)
{
    return fili_gguf_quote(&r->h, &s->name);
}

/* ---- types ---------------------------------------------------------------------------------- */

typedef struct type_row {
    fil_dtype   dtype; /* FIL_DTYPE_NONE: known, not read */
    const char *name;
} type_row;

static const type_row types[] = {
    [0]  = {FIL_F32, "F32"},
    [1]  = {FIL_F16, "F16"},
    [2]  = {FIL_Q4_0, "Q4_0"},
    [3]  = {FIL_Q4_1, "Q4_1"},
    [6]  = {FIL_Q5_0, "Q5_0"},
    [7]  = {FIL_Q5_1, "Q5_1"},
    [8]  = {FIL_Q8_0, "Q8_0"},
    [9]  = {FIL_DTYPE_NONE, "Q8_1"},
    [10] = {FIL_Q2_K, "Q2_K"},
    [11] = {FIL_Q3_K, "Q3_K"},
    [12] = {FIL_Q4_K, "Q4_K"},
    [13] = {FIL_Q5_K, "Q5_K"},
    [14] = {FIL_Q6_K, "Q6_K"},
    [15] = {FIL_DTYPE_NONE, "Q8_K"},
    [16] = {FIL_DTYPE_NONE, "IQ2_XXS"},
    [17] = {FIL_DTYPE_NONE, "IQ2_XS"},
    [18] = {FIL_DTYPE_NONE, "IQ3_XXS"},
    [19] = {FIL_DTYPE_NONE, "IQ1_S"},
    [20] = {FIL_DTYPE_NONE, "IQ4_NL"},
    [21] = {FIL_DTYPE_NONE, "IQ3_S"},
    [22] = {FIL_DTYPE_NONE, "IQ2_S"},
    [23] = {FIL_DTYPE_NONE, "IQ4_XS"},
    [24] = {FIL_I8, "I8"},
    [25] = {FIL_I16, "I16"},
    [26] = {FIL_I32, "I32"},
    [27] = {FIL_I64, "I64"},
    [28] = {FIL_F64, "F64"},
    [29] = {FIL_DTYPE_NONE, "IQ1_M"},
    [30] = {FIL_BF16, "BF16"},
    [34] = {FIL_DTYPE_NONE, "TQ1_0"},
    [35] = {FIL_DTYPE_NONE, "TQ2_0"},
    [39] = {FIL_DTYPE_NONE, "MXFP4"},
    [40] = {FIL_DTYPE_NONE, "NVFP4"},
};

enum { N_TYPES = sizeof types / sizeof types[0] };

bool fili_gguf_type_of(fil_dtype dtype, uint32_t *number)
{
    for (uint32_t i = 0; i < N_TYPES; i++) {
        if (types[i].dtype != dtype || dtype == FIL_DTYPE_NONE) continue;
        *number = i;
        return true;
    }
    return false;
}

static fil_status find_type(const reader *r, span *s)
{
    const char *name =
        s->type < N_TYPES && types[s->type].name != NULL ? types[s->type].name : "no known type";
    s->entry.dtype = s->type < N_TYPES ? types[s->type].dtype : FIL_DTYPE_NONE;
    if (s->entry.dtype != FIL_DTYPE_NONE) return FIL_OK;
    return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                    "tensor '%s' has ggml type %u (%s); filigree reads F32, F16, BF16, F64, "
                    "integers, Q4_0 to Q8_0 and Q2_K to Q6_K",
                    name_of(r, s).text, s->type, name);
}

/* ---- taking the header ---------------------------------------------------------------------- */

static fil_status check_version(const reader *r, uint32_t version)
{
    if (version >= OLDEST && version <= NEWEST) return FIL_OK;
    if (version == 1)
        return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                        "GGUF version 1, which had 32-bit lengths, is not read; versions 2 and 3 "
                        "are");
    if (version != 0 && (version & 0xffff) == 0)
        return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                        "the file is a big-endian GGUF (version %u); only little-endian is read",
                        __builtin_bswap32(version));
    return FIL_FAIL(r->ctx, FIL_E_UNSUP, "GGUF version %u is not read; versions 2 and 3 are",
                    version);
}

static fil_status take_info(reader *r, span *s)
{
    fili_gguf_header *h = &r->h;
    uint32_t          rank;
    *s = (span){.entry = {.source = r->source}};
    FIL_TRY(fili_gguf_string(h, "a tensor's name", &s->name));
    FIL_TRY(fili_gguf_u32(h, "a tensor's number of dimensions", &rank));
    if (rank > FIL_MAX_RANK)
        return FIL_FAIL(r->ctx, FIL_E_LIMIT, "tensor '%s' has %u dimensions; the limit is %d",
                        name_of(r, s).text, rank, FIL_MAX_RANK);
    s->entry.rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t size;
        FIL_TRY(fili_gguf_u64(h, "a tensor's dimension", &size));
        if (size > INT64_MAX)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                            "tensor '%s': dimension %u is %llu, outside 0 to 2^63 - 1",
                            name_of(r, s).text, i, (unsigned long long)size);
        s->entry.shape[rank - 1 - i] = (int64_t)size;
    }
    FIL_TRY(fili_gguf_u32(h, "a tensor's type", &s->type));
    return fili_gguf_u64(h, "a tensor's offset", &s->begin);
}

static fil_status take_infos(reader *r, uint64_t n)
{
    void *block;
    if (n > fili_gguf_left(&r->h) / INFO_BYTES)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "the header promises %llu tensors; the file has %llu bytes left for them",
                        (unsigned long long)n, (unsigned long long)fili_gguf_left(&r->h));
    FIL_TRY(fili_tensors_reserve(r->set, (size_t)n));
    FIL_TRY(fili_calloc(r->ctx, (size_t)n, sizeof *r->spans, "GGUF header", &block));
    r->spans   = block;
    r->n_spans = (size_t)n;
    for (size_t i = 0; i < r->n_spans; i++)
        FIL_TRY(take_info(r, &r->spans[i]));
    return FIL_OK;
}

/* Magic, version, counts, pairs, infos: everything up to the padding. */
static fil_status take_header(reader *r)
{
    fili_gguf_header *h = &r->h;
    uint64_t          at;
    uint32_t          version;
    uint64_t          n_tensors;
    uint64_t          n_pairs;
    FIL_TRY(fili_gguf_take(h, 4, "the magic", &at));
    if (memcmp(h->data + at, "GGUF", 4) != 0)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the file does not begin with GGUF");
    FIL_TRY(fili_gguf_u32(h, "the version", &version));
    FIL_TRY(check_version(r, version));
    FIL_TRY(fili_gguf_u64(h, "the number of tensors", &n_tensors));
    FIL_TRY(fili_gguf_u64(h, "the number of key-value pairs", &n_pairs));
    FIL_TRY(fili_gguf_pairs_take(h, n_pairs, &r->pairs));
    return take_infos(r, n_tensors);
}

/* ---- the data area -------------------------------------------------------------------------- */

static fil_status find_alignment(reader *r)
{
    static const char     key[] = "general.alignment";
    const fili_gguf_pair *p     = fili_gguf_find(&r->pairs, key, "", 0);
    int64_t               value = ALIGNMENT;
    if (p != NULL && (p->type != FILI_GGUF_U32 || !fili_gguf_integer(&r->h, p, 0, &value)))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "%s has type %u; expected %d (u32)", key, p->type,
                        FILI_GGUF_U32);
    if (value <= 0 || (value & (value - 1)) != 0)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "%s is %lld; expected a power of two", key,
                        (long long)value);
    if (value > MAX_ALIGNMENT)
        return FIL_FAIL(r->ctx, FIL_E_LIMIT, "%s is %lld; the limit is %d", key, (long long)value,
                        MAX_ALIGNMENT);
    r->alignment = (uint64_t)value;
    return FIL_OK;
}

static fil_status find_data(reader *r)
{
    const uint64_t size = r->h.file->size;
    FIL_TRY(find_alignment(r));
    if (!fili_align_u64(r->h.at, r->alignment, &r->data_begin))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the data begin behind byte 2^64");
    r->data_bytes = size > r->data_begin ? size - r->data_begin : 0;
    return FIL_OK;
}

/* ---- one tensor ----------------------------------------------------------------------------- */

/* The shape under the key comfy.gguf.orig_shape.NAME, row-major: the writer had flattened it. */
static fil_status take_true_shape(const reader *r, span *s)
{
    const fili_gguf_pair *p =
        fili_gguf_find(&r->pairs, "comfy.gguf.orig_shape.", fili_gguf_chars(&r->h, &s->name),
                       (size_t)s->name.bytes);
    fili_entry *e = &s->entry;
    uint64_t    stored;
    uint64_t    meant;
    if (p == NULL) return FIL_OK;
    if (p->type == FILI_GGUF_ARRAY && p->count > FIL_MAX_RANK)
        return FIL_FAIL(r->ctx, FIL_E_LIMIT,
                        "tensor '%s': its orig_shape has %llu dimensions; the limit is %d",
                        name_of(r, s).text, (unsigned long long)p->count, FIL_MAX_RANK);
    if (!fili_shape_elements(e->rank, e->shape, &stored)) return FIL_OK; /* is refused anyway */
    e->rank = (uint32_t)p->count;
    for (uint32_t i = 0; i < e->rank; i++)
        if (p->type != FILI_GGUF_ARRAY || !fili_gguf_integer(&r->h, p, i, &e->shape[i]))
            return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                            "tensor '%s': its orig_shape is no list of whole numbers",
                            name_of(r, s).text);
    if (!fili_shape_elements(e->rank, e->shape, &meant) || meant != stored)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "tensor '%s': its orig_shape has another number of elements than the %llu "
                        "of the tensor",
                        name_of(r, s).text, (unsigned long long)stored);
    return FIL_OK;
}

static fil_status measure(const reader *r, span *s)
{
    fili_entry *e = &s->entry;
    uint32_t    block;
    FIL_TRY(find_type(r, s));
    (void)fil_dtype_block(e->dtype, &block);
    const int64_t row = e->rank > 0 ? e->shape[e->rank - 1] : 1;
    if (row % block != 0)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "tensor '%s' has rows of %lld elements; %s has blocks of %u",
                        name_of(r, s).text, (long long)row, fil_dtype_name(e->dtype), block);
    if (!fili_shape_bytes(e->dtype, e->rank, e->shape, &e->bytes) ||
        !fili_add_u64(s->begin, e->bytes, &s->end))
        return FIL_FAIL(
            r->ctx, FIL_E_FORMAT,
            "tensor '%s': shape, dtype %s and offset %llu give no valid number of bytes",
            name_of(r, s).text, fil_dtype_name(e->dtype), (unsigned long long)s->begin);
    if (s->begin % r->alignment != 0)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "tensor '%s' begins at data byte %llu, which is no multiple of the "
                        "alignment %llu",
                        name_of(r, s).text, (unsigned long long)s->begin,
                        (unsigned long long)r->alignment);
    return take_true_shape(r, s);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int by_range(const void *a, const void *b)
{
    const span *x = a;
    const span *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Sorted ranges begin where the one before, rounded up, ends; behind the last is only padding. A
 * range that passes the end of the data is found before it is rounded, so that this cannot wrap. */
static fil_status check_cover(const reader *r)
{
    uint64_t at  = 0;
    uint64_t end = 0;
    if (r->n_spans > 1) qsort(r->spans, r->n_spans, sizeof *r->spans, by_range);
    for (size_t i = 0; i < r->n_spans; i++) {
        const span *s = &r->spans[i];
        if (s->begin != at)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                            "tensor '%s' begins at data byte %llu; expected %llu (%s)",
                            name_of(r, s).text, (unsigned long long)s->begin,
                            (unsigned long long)at, s->begin > at ? "a hole" : "an overlap");
        end = s->end;
        if (end > r->data_bytes)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                            "tensor '%s' ends at data byte %llu, but the file has %llu bytes of "
                            "data: it is cut off or damaged",
                            name_of(r, s).text, (unsigned long long)end,
                            (unsigned long long)r->data_bytes);
        if (!fili_align_u64(end, r->alignment, &at)) at = UINT64_MAX;
    }
    if (at < r->data_bytes)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "%llu bytes after the last tensor belong to no tensor",
                        (unsigned long long)(r->data_bytes - at));
    return FIL_OK;
}

static fil_status read_all(reader *r)
{
    FIL_TRY(take_header(r));
    FIL_TRY(fili_gguf_pairs_settle(&r->h, r->set, &r->pairs));
    FIL_TRY(find_data(r));
    for (size_t i = 0; i < r->n_spans; i++)
        FIL_TRY(measure(r, &r->spans[i]));
    FIL_TRY(check_cover(r));
    for (size_t i = 0; i < r->n_spans; i++) {
        span *s         = &r->spans[i];
        s->entry.offset = r->data_begin + s->begin;
        FIL_TRY(fili_tensors_add(r->set, fili_gguf_chars(&r->h, &s->name), (size_t)s->name.bytes,
                                 &s->entry));
    }
    r->set->format = "gguf";
    return FIL_OK;
}

fil_status fili_gguf_read_header(fili_tensors *set, int32_t source)
{
    reader           r      = {.ctx    = set->ctx,
                               .set    = set,
                               .source = source,
                               .h      = {.ctx = set->ctx, .file = &set->sources[source].file}};
    const fil_status status = read_all(&r);
    fili_free(r.ctx, r.spans, r.n_spans * sizeof *r.spans);
    fili_gguf_pairs_fini(r.ctx, &r.pairs);
    fili_free(r.ctx, r.h.data, r.h.max);
    return status;
}
