/* io/pth.c: reader of PyTorch checkpoints in the ZIP form (torch.save since 1.6).
 *
 * Inside one top folder of any name: data.pkl (io/pickle.h) says which tensors there are, and
 * data/KEY holds the bytes of storage KEY, little-endian. `byteorder` must say "little" where it
 * exists; version and the entries whose names begin with a dot are not looked at. Opening reads
 * the directory, one local header per entry, data.pkl and byteorder, never a storage.
 *
 * The tensors are the values of the top-level dict whose keys are text; if it has none, those of
 * the first dict under "state_dict", "model" or "module" that has some. What else stands beside
 * them (epochs, options, nested dicts) is ignored. A tensor must be dense in row-major order:
 * views with other strides are E_UNSUP. Not read: the older form without ZIP, TorchScript.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/pickle.h"
#include "io/tensors.h"
#include "io/zip.h"
#include "tensor/dtype.h"

static const char pickle_name[] = "data.pkl";

typedef struct reader {
    fil_ctx    *ctx;
    fili_zip    zip;
    const char *folder; /* with its slash; in the zip's directory */
    size_t      folder_bytes;
    void       *data; /* data.pkl */
    size_t      data_bytes;
    fili_pickle pickle;
    int32_t     source;
} reader;

/* ---- entries -------------------------------------------------------------------------------- */

/* data.pkl directly in a top folder; sets r->folder. */
static fil_status find_pickle(reader *r, const fili_zip_entry **out)
{
    const size_t n = sizeof pickle_name - 1;
    *out           = NULL;
    for (size_t i = 0; i < r->zip.n_entries; i++) {
        const fili_zip_entry *e     = &r->zip.entries[i];
        const char           *slash = memchr(e->name, '/', e->name_bytes);
        const size_t          top   = slash != NULL ? (size_t)(slash - e->name) + 1 : 0;
        if (top == 0 || e->name_bytes - top != n || memcmp(e->name + top, pickle_name, n) != 0)
            continue;
        if (*out != NULL)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT, "pytorch: two data.pkl, '%s' and '%s'",
                            fili_quote((*out)->name, (*out)->name_bytes).text,
                            fili_quote(e->name, e->name_bytes).text);
        *out            = e;
        r->folder       = e->name;
        r->folder_bytes = top;
    }
    if (*out == NULL)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "pytorch: the archive has no FOLDER/data.pkl; it is no checkpoint");
    return FIL_OK;
}

/* The entry FOLDER/part1part2, or NULL. */
static const fili_zip_entry *find_entry(const reader *r, const char *part1, const char *part2,
                                        size_t part2_bytes)
{
    char         name[FILI_ZIP_NAME];
    const size_t n1 = strlen(part1);
    if (part2_bytes > sizeof name || r->folder_bytes + n1 > sizeof name - part2_bytes) return NULL;
    memcpy(name, r->folder, r->folder_bytes);
    memcpy(name + r->folder_bytes, part1, n1);
    if (part2_bytes > 0) memcpy(name + r->folder_bytes + n1, part2, part2_bytes);
    return fili_zip_find(&r->zip, name, r->folder_bytes + n1 + part2_bytes);
}

static fil_status check_byteorder(reader *r)
{
    char                  text[16];
    const fili_zip_entry *e = find_entry(r, "byteorder", "", 0);
    if (e == NULL) return FIL_OK;
    if (e->bytes > sizeof text)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "pytorch: entry byteorder has %llu bytes; expected 'little'",
                        (unsigned long long)e->bytes);
    const size_t n = (size_t)e->bytes;
    FIL_TRY(fili_zip_read(&r->zip, e, text));
    if (n == 6 && memcmp(text, "little", n) == 0) return FIL_OK;
    const bool big = n == 3 && memcmp(text, "big", n) == 0;
    return FIL_FAIL(r->ctx, big ? FIL_E_UNSUP : FIL_E_FORMAT,
                    "pytorch: the checkpoint's byteorder is '%s'; only 'little' is read",
                    fili_quote(text, n).text);
}

static fil_status read_pickle(reader *r)
{
    const fili_zip_entry *e;
    const uint64_t        limit = r->ctx->opt.limits.header_bytes;
    FIL_TRY(find_pickle(r, &e));
    FIL_TRY(check_byteorder(r));
    if (e->bytes > limit)
        return FIL_FAIL(r->ctx, FIL_E_LIMIT,
                        "pytorch: data.pkl has %llu bytes; the limit is %llu (header_bytes)",
                        (unsigned long long)e->bytes, (unsigned long long)limit);
    FIL_TRY(fili_alloc(r->ctx, (size_t)e->bytes, "data.pkl", &r->data));
    r->data_bytes = (size_t)e->bytes;
    FIL_TRY(fili_zip_read(&r->zip, e, r->data));
    return fili_pickle_parse(r->ctx, r->data, r->data_bytes, &r->pickle);
}

/* ---- the dict of tensors -------------------------------------------------------------------- */

static size_t count_tensors(const fili_pickle_dict *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n_pairs; i++)
        n += d->pairs[i].value.kind == FILI_PICKLE_TENSOR;
    return n;
}

/* The last dict under that key, as Python would see it; NULL if there is none with tensors. */
static const fili_pickle_dict *find_wrapped(const fili_pickle_dict *d, const char *key)
{
    for (size_t i = d->n_pairs; i > 0; i--) {
        const fili_pickle_pair *p = &d->pairs[i - 1];
        if (p->key.kind != FILI_PICKLE_TEXT || p->key.length != strlen(key) ||
            memcmp(p->key.u.text, key, p->key.length) != 0)
            continue;
        const bool tensors =
            p->value.kind == FILI_PICKLE_DICT && count_tensors(p->value.u.dict) > 0;
        return tensors ? p->value.u.dict : NULL;
    }
    return NULL;
}

static fil_status find_tensors(const reader *r, const fili_pickle_dict **out)
{
    static const char *const wrappers[] = {"state_dict", "model", "module"};
    if (r->pickle.root.kind != FILI_PICKLE_DICT)
        return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                        "pytorch: the checkpoint is a %s; expected a dict of tensors",
                        fili_pickle_kind_name(r->pickle.root.kind));
    const fili_pickle_dict *root = r->pickle.root.u.dict;
    *out                         = count_tensors(root) > 0 ? root : NULL;
    for (size_t i = 0; *out == NULL && i < sizeof wrappers / sizeof *wrappers; i++) {
        *out = find_wrapped(root, wrappers[i]);
        if (*out != NULL)
            fili_log(r->ctx, FIL_LOG_DEBUG, "pytorch: the tensors are those under '%s'",
                     wrappers[i]);
    }
    if (*out != NULL) return FIL_OK;
    return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                    "pytorch: no tensor at the top of the checkpoint (%zu entries), nor in a dict "
                    "under state_dict, model or module",
                    root->n_pairs);
}

/* ---- one tensor ----------------------------------------------------------------------------- */

/* "2, 3, 4" of a shape or of strides, for messages. */
typedef struct listed {
    char text[FIL_MAX_RANK * 22];
} listed;

static listed list_numbers(uint32_t rank, const int64_t *numbers)
{
    listed l;
    size_t n  = 0;
    l.text[0] = '\0';
    for (uint32_t i = 0; i < rank; i++)
        n += (size_t)snprintf(l.text + n, sizeof l.text - n, "%s%lld", i > 0 ? "," : "",
                              (long long)numbers[i]);
    return l;
}

/* Row-major without gaps. Strides of dimensions of size 1 say nothing, nor do any when there is no
 * element. The products cannot overflow: the number of elements has been computed. */
static bool is_dense(const fili_pickle_tensor *t, uint64_t elements)
{
    int64_t expected = 1;
    if (elements == 0) return true;
    for (uint32_t i = t->rank; i > 0; i--) {
        if (t->shape[i - 1] != 1 && t->stride[i - 1] != expected) return false;
        expected *= t->shape[i - 1];
    }
    return true;
}

static fil_status check_layout(const reader *r, const fili_pickle_tensor *t, const char *name,
                               uint64_t *elements)
{
    const listed shape   = list_numbers(t->rank, t->shape);
    const listed strides = list_numbers(t->rank, t->stride);
    if (!fili_shape_elements(t->rank, t->shape, elements) || *elements > INT64_MAX)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s': shape [%s] has no valid element count",
                        name, shape.text);
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->stride[i] < 0)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s': negative stride in [%s]", name,
                            strides.text);
    if (!is_dense(t, *elements))
        return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                        "tensor '%s' is not contiguous: shape [%s], strides [%s]", name, shape.text,
                        strides.text);
    return FIL_OK;
}

/* Finds the storage's entry; it holds at least the elements that the pickle promises. */
static fil_status check_storage(const reader *r, const fili_pickle_storage *s, const char *name,
                                const fili_zip_entry **out)
{
    const uint64_t size = fil_dtype_bits(s->dtype) / 8;
    uint64_t       bytes;
    *out = find_entry(r, "data/", s->key, s->key_bytes);
    if (*out == NULL)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "tensor '%s': the archive has no storage data/%s",
                        name, fili_quote(s->key, s->key_bytes).text);
    if (!fili_mul_u64(s->elements, size, &bytes) || bytes > (*out)->bytes)
        return FIL_FAIL(
            r->ctx, FIL_E_FORMAT,
            "tensor '%s': storage data/%s has %llu bytes; %llu elements of %s need more", name,
            fili_quote(s->key, s->key_bytes).text, (unsigned long long)(*out)->bytes,
            (unsigned long long)s->elements, fil_dtype_name(s->dtype));
    return FIL_OK;
}

static fil_status add_tensor(fili_tensors *set, const reader *r, const fili_pickle_value *key,
                             const fili_pickle_tensor *t)
{
    const fili_zip_entry *e;
    uint64_t              elements;
    uint64_t              end;
    if (key->kind != FILI_PICKLE_TEXT)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "pytorch: a tensor's name is a %s; expected a str",
                        fili_pickle_kind_name(key->kind));
    const fili_quoted          q    = fili_quote(key->u.text, key->length);
    const fili_pickle_storage *s    = t->storage;
    const uint64_t             size = fil_dtype_bits(s->dtype) / 8;
    FIL_TRY(check_layout(r, t, q.text, &elements));
    FIL_TRY(check_storage(r, s, q.text, &e));
    if (!fili_add_u64(t->offset, elements, &end) || end > s->elements)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "tensor '%s': elements %llu + %llu lie outside its storage of %llu", q.text,
                        (unsigned long long)t->offset, (unsigned long long)elements,
                        (unsigned long long)s->elements);
    /* check_storage: s->elements * size fits, so these products do */
    fili_entry entry = {.dtype  = s->dtype,
                        .source = r->source,
                        .rank   = t->rank,
                        .offset = e->offset + t->offset * size,
                        .bytes  = elements * size};
    memcpy(entry.shape, t->shape, sizeof entry.shape);
    return fili_tensors_add(set, key->u.text, key->length, &entry);
}

static fil_status add_tensors(fili_tensors *set, const reader *r)
{
    const fili_pickle_dict *d;
    FIL_TRY(find_tensors(r, &d));
    const size_t n = count_tensors(d);
    FIL_TRY(fili_tensors_reserve(set, n));
    for (size_t i = 0; i < d->n_pairs; i++)
        if (d->pairs[i].value.kind == FILI_PICKLE_TENSOR)
            FIL_TRY(add_tensor(set, r, &d->pairs[i].key, d->pairs[i].value.u.tensor));
    if (n < d->n_pairs)
        fili_log(r->ctx, FIL_LOG_DEBUG, "pytorch: ignored %zu entries that are no tensors",
                 d->n_pairs - n);
    return FIL_OK;
}

fil_status fili_pth_read_header(fili_tensors *set, int32_t source)
{
    reader     r = {.ctx = set->ctx, .source = source};
    fil_status status;
    fili_arena_init(&r.pickle.arena, r.ctx, "pickle", 0);
    FIL_TRY(fili_zip_open(r.ctx, &set->sources[source].file, &r.zip));
    FIL_TRY_OR(done, read_pickle(&r));
    FIL_TRY_OR(done, add_tensors(set, &r));
    set->format = "pytorch";
done:
    fili_pickle_fini(&r.pickle);
    fili_free(r.ctx, r.data, r.data_bytes);
    fili_zip_fini(&r.zip);
    return status;
}
