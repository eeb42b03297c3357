/* io/tensors.c: the directory of named tensors (io/tensors.h): sources, entries, look-up, bytes.
 * It trusts no reader: every entry is checked here once more, whatever the format said.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/tensors.h"
#include "tensor/dtype.h"

void fili_tensors_init(fili_tensors *set, fil_ctx *ctx, uint32_t flags)
{
    *set = (fili_tensors){.ctx = ctx, .format = "", .flags = flags};
    fili_arena_init(&set->arena, ctx, "tensor directory", 0);
}

void fili_tensors_fini(fili_tensors *set)
{
    fil_ctx *ctx = set->ctx;
    for (size_t i = 0; i < set->n_sources; i++) {
        fili_source *s = &set->sources[i];
        if (s->mapping != NULL)
            (void)ctx->os->munmap(ctx->os->self, s->mapping, (size_t)s->file.size);
        fili_file_close(ctx, &s->file);
    }
    fili_free(ctx, set->entries, set->max_entries * sizeof *set->entries);
    fili_free(ctx, set->sources, set->max_sources * sizeof *set->sources);
    fili_arena_fini(&set->arena);
    set->entries   = NULL;
    set->sources   = NULL;
    set->n_entries = set->max_entries = 0;
    set->n_sources = set->max_sources = 0;
    set->metadata                     = NULL;
    set->n_pairs                      = 0;
}

fil_status fili_tensors_reserve(fili_tensors *set, size_t more)
{
    const uint64_t limit = set->ctx->opt.limits.tensors;
    uint64_t       need;
    if (!fili_add_u64(set->n_entries, more, &need) || need > limit)
        return FIL_FAIL(set->ctx, FIL_E_LIMIT, "more than %llu tensors (limit: tensors)",
                        (unsigned long long)limit);
    if (need <= set->max_entries) return FIL_OK;
    void *block = set->entries;
    FIL_TRY(fili_grow(set->ctx, &block, set->max_entries * sizeof *set->entries,
                      (size_t)need * sizeof *set->entries, "tensor directory"));
    set->entries     = block;
    set->max_entries = (size_t)need;
    return FIL_OK;
}

static fil_status grow_sources(fili_tensors *set)
{
    const uint64_t limit = set->ctx->opt.limits.shards;
    if (set->n_sources >= limit)
        return FIL_FAIL(set->ctx, FIL_E_LIMIT, "more than %llu files in one model (limit: shards)",
                        (unsigned long long)limit);
    if (set->n_sources < set->max_sources) return FIL_OK;
    const size_t max   = set->max_sources == 0 ? 4 : set->max_sources * 2;
    void        *block = set->sources;
    FIL_TRY(fili_grow(set->ctx, &block, set->max_sources * sizeof *set->sources,
                      max * sizeof *set->sources, "tensor directory"));
    set->sources     = block;
    set->max_sources = max;
    return FIL_OK;
}

fil_status fili_tensors_source(fili_tensors *set, int dir, const char *path, int flags,
                               int32_t *source)
{
    char       *name;
    const char *slash = strrchr(path, '/');
    const char *base  = slash != NULL ? slash + 1 : path;
    *source           = -1;
    FIL_TRY(grow_sources(set));
    FIL_TRY(fili_arena_text(&set->arena, base, strlen(base), &name));
    fili_source *s = &set->sources[set->n_sources];
    *s             = (fili_source){.file = FILI_FILE_CLOSED, .name = name};
    FIL_TRY(fili_file_open(set->ctx, dir, path, flags, &s->file));
    s->file.name = name;
    *source      = (int32_t)set->n_sources++;
    return FIL_OK;
}

static fil_status check_name(fil_ctx *ctx, const char *name, size_t bytes)
{
    const fili_quoted q = fili_quote(name, bytes);
    if (bytes == 0) return FIL_FAIL(ctx, FIL_E_FORMAT, "a tensor has an empty name");
    if (bytes > ctx->opt.limits.name_bytes)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "tensor name '%s' has %zu bytes; the limit is %llu",
                        q.text, bytes, (unsigned long long)ctx->opt.limits.name_bytes);
    if (!fili_is_printable(name, bytes))
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "tensor name '%s' has a control character or is not UTF-8", q.text);
    return FIL_OK;
}

static fil_status check_extent(const fili_tensors *set, const fili_entry *e, const char *name)
{
    fil_ctx *ctx = set->ctx;
    uint64_t bytes;
    uint64_t end;
    uint32_t block;
    if (e->source < 0 || (size_t)e->source >= set->n_sources ||
        fil_dtype_block(e->dtype, &block) == 0)
        return FIL_FAIL(ctx, FIL_E_INTERNAL, "tensor '%s' has no source or no dtype", name);
    if (e->rank > FIL_MAX_RANK)
        return FIL_FAIL(ctx, FIL_E_LIMIT, "tensor '%s' has %u dimensions; the limit is %d", name,
                        e->rank, FIL_MAX_RANK);
    if (!fili_shape_bytes(e->dtype, e->rank, e->shape, &bytes))
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "tensor '%s': shape and dtype %s give no valid number of bytes", name,
                        fil_dtype_name(e->dtype));
    if (bytes != e->bytes)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "tensor '%s': shape and dtype %s need %llu bytes, its range has %llu", name,
                        fil_dtype_name(e->dtype), (unsigned long long)bytes,
                        (unsigned long long)e->bytes);
    const uint64_t size = set->sources[e->source].file.size;
    if (!fili_add_u64(e->offset, e->bytes, &end) || end > size)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "tensor '%s' ends beyond the file: byte %llu + %llu, file has %llu", name,
                        (unsigned long long)e->offset, (unsigned long long)e->bytes,
                        (unsigned long long)size);
    return FIL_OK;
}

fil_status fili_tensors_add(fili_tensors *set, const char *name, size_t name_bytes,
                            const fili_entry *entry)
{
    char *copy;
    FIL_TRY(check_name(set->ctx, name, name_bytes));
    FIL_TRY(check_extent(set, entry, fili_quote(name, name_bytes).text));
    if (set->n_entries >= set->max_entries)
        return FIL_FAIL(set->ctx, FIL_E_INTERNAL, "no room was reserved for tensor '%s'",
                        fili_quote(name, name_bytes).text);
    FIL_TRY(fili_arena_text(&set->arena, name, name_bytes, &copy));
    fili_entry *e = &set->entries[set->n_entries++];
    *e            = *entry;
    e->name       = copy;
    return FIL_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const fili_entry *)a)->name, ((const fili_entry *)b)->name);
}

static fil_status map_sources(fili_tensors *set)
{
    const fili_os *os = set->ctx->os;
    for (size_t i = 0; i < set->n_sources; i++) {
        fili_source *s = &set->sources[i];
        if (s->file.size == 0 || s->mapping != NULL) continue;
        const int r = os->mmap(os->self, s->file.fd, (size_t)s->file.size, &s->mapping);
        if (r < 0)
            return FIL_FAIL(set->ctx, FIL_E_IO, "cannot map '%s' (%llu bytes): %s", s->name,
                            (unsigned long long)s->file.size, strerror(-r));
    }
    return FIL_OK;
}

fil_status fili_tensors_seal(fili_tensors *set)
{
    if (set->n_entries > 1) qsort(set->entries, set->n_entries, sizeof *set->entries, by_name);
    for (size_t i = 1; i < set->n_entries; i++) {
        const char *name = set->entries[i].name;
        if (strcmp(set->entries[i - 1].name, name) != 0) continue;
        return FIL_FAIL(set->ctx, FIL_E_FORMAT, "tensor '%s' is there twice",
                        fili_quote(name, strlen(name)).text);
    }
    return (set->flags & FIL_OPEN_TRUSTED) != 0 ? map_sources(set) : FIL_OK;
}

const fili_entry *fili_tensors_find(const fili_tensors *set, const char *name)
{
    const fili_entry key = {.name = name};
    if (set->n_entries == 0) return NULL;
    return bsearch(&key, set->entries, set->n_entries, sizeof *set->entries, by_name);
}

const char *fili_tensors_metadata(const fili_tensors *set, const char *key)
{
    for (size_t i = 0; i < set->n_pairs; i++)
        if (strcmp(set->metadata[i].key, key) == 0) return set->metadata[i].value;
    return NULL;
}

fil_status fili_tensors_read(const fili_tensors *set, const fili_entry *entry, uint64_t begin,
                             void *dst, uint64_t bytes)
{
    FIL_CHECK(set->ctx, begin <= entry->bytes && bytes <= entry->bytes - begin && bytes <= SIZE_MAX,
              "tensor '%s' has %llu bytes; %llu bytes from byte %llu were asked for",
              fili_quote(entry->name, strlen(entry->name)).text, (unsigned long long)entry->bytes,
              (unsigned long long)bytes, (unsigned long long)begin);
    return fili_file_read(set->ctx, &set->sources[entry->source].file, entry->offset + begin, dst,
                          (size_t)bytes);
}

void fili_tensors_will_read(const fili_tensors *set, const fili_entry *entry)
{
    const fili_os *os = set->ctx->os;
    os->will_read(os->self, set->sources[entry->source].file.fd, entry->offset, entry->bytes);
}

const void *fili_tensors_map(const fili_tensors *set, const fili_entry *entry)
{
    const unsigned char *base = set->sources[entry->source].mapping;
    return base != NULL ? base + entry->offset : NULL;
}
