/* tests/support/invariants.c: contract in invariants.h. */
#include <stdlib.h>
#include <string.h>

#include "support/invariants.h"

static const char *name_broken(const fili_tensors *set, const char *name)
{
    const size_t n = strlen(name);
    if (n == 0 || n > set->ctx->opt.limits.name_bytes) return "a name is empty or too long";
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f) return "a name has a control character";
        if (c == 0xc2 && (unsigned char)name[i + 1] < 0xa0) return "a name has a C1 control";
    }
    return NULL;
}

/* By division, so that nothing can wrap: the elements that the bytes hold, over each dimension,
 * leave 1. */
static const char *extent_broken(const fili_tensors *set, const fili_entry *e)
{
    uint32_t       run;
    const uint32_t block   = fil_dtype_block(e->dtype, &run);
    double         product = 1; /* of elements */
    bool           empty   = false;
    if (block == 0) return "an entry has no dtype";
    if (e->rank > FIL_MAX_RANK) return "a rank is too high";
    if (e->bytes > UINT64_MAX / 8) return "a tensor is too large";
    for (uint32_t i = 0; i < e->rank; i++) {
        if (e->shape[i] < 0) return "a dimension is negative";
        empty = empty || e->shape[i] == 0;
        if (e->shape[i] != 0) product *= (double)e->shape[i];
    }
    if (!(product < 1.845e19)) return "a product wraps";
    if (empty ? e->bytes != 0 : e->bytes % block != 0) return "shape and bytes disagree";
    uint64_t rest = e->bytes / block * run; /* elements */
    for (uint32_t i = 0; i < e->rank && !empty; i++) {
        if (rest % (uint64_t)e->shape[i] != 0) return "shape and bytes disagree";
        rest /= (uint64_t)e->shape[i];
    }
    if (!empty && rest != 1) return "shape and bytes disagree";
    if (e->source < 0 || (size_t)e->source >= set->n_sources) return "an entry has no source";
    const uint64_t size = set->sources[e->source].file.size;
    if (e->offset > size || e->bytes > size - e->offset) return "a tensor ends beyond its file";
    return NULL;
}

static const char *bytes_broken(fili_tensors *set, const fili_entry *e)
{
    const unsigned char *map = fili_tensors_map(set, e);
    unsigned char        c;
    if ((map != NULL) != ((set->flags & FIL_OPEN_TRUSTED) != 0))
        return "mapping and flags disagree";
    if (e->bytes == 0) return NULL;
    const uint64_t at[2] = {0, e->bytes - 1};
    for (int i = 0; i < 2; i++) {
        if (fili_tensors_read(set, e, at[i], &c, 1) != FIL_OK) return "a byte cannot be read";
        if (map != NULL && map[at[i]] != c) return "mapped and read bytes differ";
    }
    if (fili_tensors_read(set, e, e->bytes, &c, 1) != FIL_E_ARG)
        return "a read behind the end was not refused";
    fili_ctx_enter(set->ctx);
    return NULL;
}

static const char *metadata_broken(const fili_tensors *set)
{
    const fil_limits *l     = &set->ctx->opt.limits;
    uint64_t          bytes = 0;
    if (set->n_pairs > l->metadata_pairs) return "too many pairs of metadata";
    for (size_t i = 0; i < set->n_pairs; i++)
        bytes += strlen(set->metadata[i].key) + strlen(set->metadata[i].value);
    return bytes > l->metadata_bytes ? "too much metadata" : NULL;
}

const char *tensors_broken(fili_tensors *set)
{
    const char *why = metadata_broken(set);
    if (set->n_entries > set->ctx->opt.limits.tensors) return "too many tensors";
    for (size_t i = 0; i < set->n_entries && why == NULL; i++) {
        const fili_entry *e = &set->entries[i];
        if (i > 0 && strcmp(e[-1].name, e->name) >= 0) return "names are not sorted or not unique";
        if (fili_tensors_find(set, e->name) != e) return "a name is not found";
        why = name_broken(set, e->name);
        if (why == NULL) why = extent_broken(set, e);
        if (why == NULL) why = bytes_broken(set, e);
    }
    return why;
}

static int by_offset(const void *a, const void *b)
{
    const fili_entry *x = a;
    const fili_entry *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

const char *safetensors_broken(fili_tensors *set)
{
    unsigned char head[8];
    uint64_t      at  = 0;
    const char   *why = tensors_broken(set);
    if (why != NULL) return why;
    if (strcmp(set->format, "safetensors") != 0 || set->n_sources != 1) return "wrong format";
    if (fili_file_read(set->ctx, &set->sources[0].file, 0, head, 8) != FIL_OK)
        return "the header's length cannot be read";
    for (int i = 7; i >= 0; i--)
        at = at << 8 | head[i];
    at += 8;
    fili_entry *sorted = malloc((set->n_entries + 1) * sizeof *sorted);
    if (sorted == NULL) return "the test has no memory";
    if (set->n_entries > 0) memcpy(sorted, set->entries, set->n_entries * sizeof *sorted);
    qsort(sorted, set->n_entries, sizeof *sorted, by_offset);
    for (size_t i = 0; i < set->n_entries && why == NULL; i++) {
        if (sorted[i].offset != at) why = "ranges leave a hole or overlap";
        at += sorted[i].bytes;
    }
    if (why == NULL && at != set->sources[0].file.size) why = "the file has a tail";
    free(sorted);
    return why;
}
