/* io/index.c: a sharded safetensors model through its index, NAME.safetensors.index.json:
 *   {"metadata": {...}, "weight_map": {"tensor": "file", ...}}
 *
 * Shards lie beside the index: a name is a plain file name, opened relative to the index's folder.
 * Index and shards must agree in full: every tensor of the map is in the shard that the map names,
 * and no shard holds another one. "metadata" is not read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "io/json.h"
#include "io/tensors.h"

#define SHARD_END      ".safetensors"
#define MAX_SHARD_NAME 255u

/* One line of the map. Texts lie in the JSON tree. */
typedef struct row {
    const char *tensor;
    const char *shard;
    bool        found;
} row;

typedef struct index_reader {
    fil_ctx      *ctx;
    fili_tensors *set;
    const char   *base; /* the index's own name */
    int           dir;
    json_t       *map;
    row          *rows; /* sorted by shard, then tensor */
    size_t        n_rows;
} index_reader;

static int by_shard(const void *a, const void *b)
{
    const row *x = a;
    const row *y = b;
    const int  c = strcmp(x->shard, y->shard);
    return c != 0 ? c : strcmp(x->tensor, y->tensor);
}

static int by_tensor(const void *a, const void *b)
{
    return strcmp(((const row *)a)->tensor, ((const row *)b)->tensor);
}

static fil_status check_shard_name(const index_reader *r, const char *name, size_t bytes)
{
    const fili_quoted q   = fili_quote(name, bytes);
    const size_t      end = strlen(SHARD_END);
    if (strcmp(name, r->base) == 0)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the index names itself as a shard");
    if (strchr(name, '/') != NULL || strchr(name, '\\') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "shard '%s' is not a plain file name; shards lie beside the index", q.text);
    if (!fili_is_printable(name, bytes))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "shard '%s' has a control character in its name",
                        q.text);
    if (bytes > MAX_SHARD_NAME)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "shard '%s' has a name of %zu bytes; at most %u",
                        q.text, bytes, MAX_SHARD_NAME);
    if (bytes <= end || strcmp(name + bytes - end, SHARD_END) != 0)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "shard '%s' does not end in " SHARD_END, q.text);
    return FIL_OK;
}

static fil_status read_rows(index_reader *r)
{
    size_t n = 0;
    for (void *i = json_object_iter(r->map); i != NULL; i = json_object_iter_next(r->map, i)) {
        const char   *tensor = json_object_iter_key(i);
        const json_t *shard  = json_object_iter_value(i);
        if (!json_is_string(shard))
            return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                            "weight_map: the file of tensor '%s' is not a string",
                            fili_quote(tensor, json_object_iter_key_len(i)).text);
        const char *name = json_string_value(shard);
        if (n == 0 || strcmp(name, r->rows[n - 1].shard) != 0)
            FIL_TRY(check_shard_name(r, name, json_string_length(shard)));
        r->rows[n++] = (row){.tensor = tensor, .shard = name};
    }
    qsort(r->rows, r->n_rows, sizeof *r->rows, by_shard);
    return FIL_OK;
}

static fil_status refuse_twin(const index_reader *r, int32_t source)
{
    const fili_source *s = &r->set->sources[source];
    for (int32_t i = 0; i < source; i++) {
        const fili_source *other = &r->set->sources[i];
        if (other->file.dev == s->file.dev && other->file.inode == s->file.inode)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT, "shards '%s' and '%s' are the same file",
                            fili_quote(other->name, strlen(other->name)).text,
                            fili_quote(s->name, strlen(s->name)).text);
    }
    return FIL_OK;
}

/* rows: those of this shard. Entries from `first` on are what the shard holds. */
static fil_status compare(const index_reader *r, row *rows, size_t n_rows, size_t first)
{
    const fili_tensors *set   = r->set;
    const fili_quoted   shard = fili_quote(rows->shard, strlen(rows->shard));
    for (size_t i = first; i < set->n_entries; i++) {
        const row         key  = {.tensor = set->entries[i].name};
        const fili_quoted name = fili_quote(key.tensor, strlen(key.tensor));
        row              *hit  = bsearch(&key, rows, n_rows, sizeof *rows, by_tensor);
        if (hit != NULL) {
            hit->found = true;
            continue;
        }
        const char *other = json_string_value(json_object_get(r->map, key.tensor));
        if (other == NULL)
            return FIL_FAIL(r->ctx, FIL_E_MISMATCH,
                            "tensor '%s' is in '%s', but the index does not name it", name.text,
                            shard.text);
        return FIL_FAIL(r->ctx, FIL_E_MISMATCH, "tensor '%s' is in '%s', but the index says '%s'",
                        name.text, shard.text, fili_quote(other, strlen(other)).text);
    }
    for (size_t i = 0; i < n_rows; i++)
        if (!rows[i].found)
            return FIL_FAIL(r->ctx, FIL_E_MISMATCH,
                            "tensor '%s' is missing from '%s', where the index says it is",
                            fili_quote(rows[i].tensor, strlen(rows[i].tensor)).text, shard.text);
    return FIL_OK;
}

static fil_status read_shard(const index_reader *r, row *rows, size_t n_rows)
{
    fili_tensors *set   = r->set;
    const int     flags = (set->flags & FIL_OPEN_TRUSTED) != 0 ? 0 : FILI_OPEN_NOFOLLOW;
    const size_t  first = set->n_entries;
    int32_t       source;
    FIL_TRY(fili_tensors_source(set, r->dir, rows->shard, flags, &source));
    FIL_TRY(refuse_twin(r, source));
    FIL_TRY(fili_safetensors_read_header(set, source));
    return compare(r, rows, n_rows, first);
}

static fil_status read_shards(const index_reader *r)
{
    for (size_t begin = 0; begin < r->n_rows;) {
        const char *name = r->rows[begin].shard;
        size_t      end  = begin + 1;
        while (end < r->n_rows && strcmp(r->rows[end].shard, name) == 0)
            end++;
        const fil_status status = read_shard(r, r->rows + begin, end - begin);
        if (status != FIL_OK) {
            fili_error_frame(r->ctx, "shard %s", fili_quote(name, strlen(name)).text);
            return status;
        }
        begin = end;
    }
    return FIL_OK;
}

static fil_status read_map(index_reader *r, json_t *root)
{
    void *block;
    if (!json_is_object(root) || !json_is_object(json_object_get(root, "weight_map")))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the index has no object \"weight_map\"");
    r->map         = json_object_get(root, "weight_map");
    const size_t n = json_object_size(r->map);
    if (n == 0) return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the index's weight_map is empty");
    FIL_TRY(fili_tensors_reserve(r->set, n));
    FIL_TRY(fili_calloc(r->ctx, n, sizeof *r->rows, "shard index", &block));
    r->rows           = block;
    r->n_rows         = n;
    fil_status status = read_rows(r);
    if (status == FIL_OK) status = read_shards(r);
    fili_free(r->ctx, r->rows, n * sizeof *r->rows);
    return status;
}

/* The folder of `path`, with the slash: "a/b.json" -> "a/", "b.json" -> "./". */
static fil_status open_folder(fil_ctx *ctx, const char *path, int *dir)
{
    const char  *slash = strrchr(path, '/');
    const size_t bytes = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    void        *text;
    if (slash == NULL) return fili_dir_open(ctx, "./", dir);
    FIL_TRY(fili_alloc(ctx, bytes + 1, "path", &text));
    memcpy(text, path, bytes);
    ((char *)text)[bytes]   = '\0';
    const fil_status status = fili_dir_open(ctx, text, dir);
    fili_free(ctx, text, bytes + 1);
    return status;
}

fil_status fili_index_read(fili_tensors *set, const char *path)
{
    fil_ctx     *ctx   = set->ctx;
    const char  *slash = strrchr(path, '/');
    index_reader r = {.ctx = ctx, .set = set, .base = slash != NULL ? slash + 1 : path, .dir = -1};
    /* A key and a value for each tensor, and as much again for "metadata". */
    const uint64_t max = 64 + 4 * (ctx->opt.limits.tensors + 1);
    fili_json      json;
    set->format = "safetensors-index";
    FIL_TRY(open_folder(ctx, path, &r.dir));
    fil_status status = fili_json_read(ctx, r.dir, r.base, 0, max, FILI_JSON_REALS, &json);
    if (status == FIL_OK) {
        status = read_map(&r, json.root);
        fili_json_fini(ctx, &json);
    }
    fili_dir_close(ctx, &r.dir);
    return status;
}
