/* io/model_folder.c: lists the tensor files of a model folder (io/model_folder.h).
 *
 * One pass over the folder, then one over each direct subfolder: list the names, ask what each one
 * is without opening it for reading, subtract the shards that an index names. Everything is
 * sorted before use, so that result and messages do not depend on the system's order.
 * Layouts: wan.md section 1.2 of the engine's specification; single files are taken as they come.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/model_folder.h"
#include "io/json.h"

typedef enum entry_role {
    ROLE_OTHER, /* nothing we read, unless it is a folder */
    ROLE_INDEX,
    ROLE_SAFETENSORS,
    ROLE_SINGLE, /* .pth, .gguf: files that no index names */
    ROLE_CONFIG,
    ROLE_MODEL_INDEX
} entry_role;

/* One name of a folder. */
typedef struct entry {
    struct entry  *next;
    const char    *name;
    entry_role     role;
    fili_file_kind kind;
    bool           claimed; /* an index beside it names it */
} entry;

/* One folder while it is looked at. */
typedef struct listing {
    fil_ctx    *ctx;
    fili_arena  arena;
    int         dir;
    const char *prefix; /* relative path of the folder, "" for the model folder itself */
    entry      *first;
    entry     **entries; /* [n], sorted by name */
    size_t      n;
    fil_status  status; /* of the callback */
} listing;

/* A path found, newest first. */
typedef struct found {
    struct found *before;
    const char   *path;
} found;

typedef struct search {
    fili_folder *folder;
    int          open_flags; /* FILI_OPEN_NOFOLLOW unless trusted */
    size_t       n_entries;  /* seen so far, in all folders */
    found       *last;
    size_t       n_links; /* skipped */
    fili_quoted  first_link;
    bool         has_config, has_model_index;
} search;

/* ---- names ---------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *ending)
{
    const size_t n = strlen(name);
    const size_t e = strlen(ending);
    return n > e && strcmp(name + n - e, ending) == 0;
}

static entry_role role_of(const char *name)
{
    if (strcmp(name, "config.json") == 0) return ROLE_CONFIG;
    if (strcmp(name, "model_index.json") == 0) return ROLE_MODEL_INDEX;
    if (ends_with(name, ".safetensors.index.json")) return ROLE_INDEX;
    if (ends_with(name, ".safetensors")) return ROLE_SAFETENSORS;
    if (ends_with(name, ".pth") || ends_with(name, ".gguf")) return ROLE_SINGLE;
    return ROLE_OTHER;
}

static int by_name(const void *a, const void *b)
{
    const entry *const *x = a;
    const entry *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int by_text(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

/* Of the entry, relative to the model folder. */
static fil_status path_of(const listing *l, const char *name, fili_arena *arena, char **out)
{
    const size_t prefix = strlen(l->prefix);
    const size_t slash  = prefix > 0;
    const size_t bytes  = strlen(name);
    void        *block;
    *out = NULL;
    FIL_TRY(fili_arena_alloc(arena, prefix + slash + bytes + 1, &block));
    char *path = block;
    memcpy(path, l->prefix, prefix);
    if (slash) path[prefix] = '/';
    memcpy(path + prefix + slash, name, bytes + 1);
    *out = path;
    return FIL_OK;
}

/* ---- what is there -------------------------------------------------------------------------- */

static fil_status add_entry(listing *l, const char *name)
{
    void        *block;
    char        *copy;
    const size_t bytes = strlen(name);
    if (l->n >= FILI_FOLDER_ENTRIES)
        return FIL_FAIL(l->ctx, FIL_E_LIMIT, "more than %u entries in the folder",
                        FILI_FOLDER_ENTRIES);
    if (!fili_is_printable(name, bytes)) {
        fili_log(l->ctx, FIL_LOG_WARNING,
                 "skipped '%s': its name has a control character or is not UTF-8",
                 fili_quote(name, bytes).text);
        return FIL_OK;
    }
    FIL_TRY(fili_arena_calloc(&l->arena, 1, sizeof(entry), &block));
    FIL_TRY(fili_arena_text(&l->arena, name, bytes, &copy));
    entry *e = block;
    *e       = (entry){.next = l->first, .name = copy, .role = role_of(copy)};
    l->first = e;
    l->n++;
    return FIL_OK;
}

static int on_entry(void *arg, const char *name)
{
    listing *l = arg;
    if (name[0] != '.') l->status = add_entry(l, name);
    return l->status != FIL_OK;
}

static fil_status read_names(listing *l)
{
    const fili_os *os   = l->ctx->os;
    int            left = FILI_RETRIES;
    int            r;
    void          *block;
    do { /* a listing that was interrupted begins again */
        fili_arena_fini(&l->arena);
        l->first  = NULL;
        l->n      = 0;
        l->status = FIL_OK;
        r         = os->list(os->self, l->dir, on_entry, l);
    } while (l->status == FIL_OK && fili_retry(r, &left));
    FIL_TRY(l->status);
    if (r < 0) return FIL_FAIL(l->ctx, FIL_E_IO, "cannot list the folder: %s", strerror(-r));
    FIL_TRY(fili_arena_calloc(&l->arena, l->n, sizeof *l->entries, &block));
    l->entries = block;
    size_t i   = 0;
    for (entry *e = l->first; e != NULL; e = e->next)
        l->entries[i++] = e;
    if (l->n > 1) qsort(l->entries, l->n, sizeof *l->entries, by_name);
    return FIL_OK;
}

static void skip_link(search *s, const listing *l, const entry *e)
{
    const fili_quoted q = fili_quote(e->name, strlen(e->name));
    if (s->n_links++ == 0) s->first_link = q;
    fili_log(l->ctx, FIL_LOG_WARNING,
             "skipped '%s' in '%s/': a symbolic link, and links are followed only in trusted mode",
             q.text, *l->prefix != '\0' ? l->prefix : ".");
}

/* What may happen to a bystander without anybody's fault: no permission, gone, a broken link. */
static bool is_harmless(int error)
{
    return error == EACCES || error == EPERM || error == ENOENT || error == ELOOP;
}

/* Sets e->kind; what cannot and need not be read becomes a device, which nobody looks at. A folder
 * may hold anything, so nothing is opened for reading to find out. */
static fil_status find_kind(search *s, const listing *l, entry *e)
{
    const fili_os    *os = l->ctx->os;
    fili_stat         st;
    const int         fd = fili_open_retrying(os, l->dir, e->name, FILI_OPEN_PATH | s->open_flags);
    const fili_quoted q  = fili_quote(e->name, strlen(e->name));
    e->kind              = FILI_KIND_DEVICE;
    if (fd < 0 && e->role == ROLE_OTHER && is_harmless(-fd)) {
        fili_log(l->ctx, FIL_LOG_DEBUG, "skipped '%s': %s", q.text, strerror(-fd));
        return FIL_OK;
    }
    if (fd < 0) return FIL_FAIL(l->ctx, FIL_E_IO, "cannot open '%s': %s", q.text, strerror(-fd));
    const int r = os->fstat(os->self, fd, &st);
    (void)os->close(os->self, fd);
    if (r < 0) return FIL_FAIL(l->ctx, FIL_E_IO, "cannot stat '%s': %s", q.text, strerror(-r));
    e->kind = st.kind;
    if (st.kind == FILI_KIND_SYMLINK) skip_link(s, l, e);
    return FIL_OK;
}

/* ---- shards --------------------------------------------------------------------------------- */

/* Collects the shards that the index names; *names is sorted, [n], borrowed from the tree. */
static fil_status shard_names(fil_ctx *ctx, json_t *root, const char ***names, size_t *n)
{
    json_t     *map = json_object_get(root, "weight_map");
    const char *key;
    json_t     *value;
    void       *block;
    size_t      i = 0;
    *names        = NULL;
    *n            = 0;
    if (!json_is_object(map))
        return FIL_FAIL(ctx, FIL_E_FORMAT, "the index has no object 'weight_map'");
    json_object_foreach(map, key, value) if (!json_is_string(value)) return FIL_FAIL(
        ctx, FIL_E_FORMAT, "weight_map: the file of tensor '%s' is no string",
        fili_quote(key, strlen(key)).text);
    FIL_TRY(fili_calloc(ctx, json_object_size(map), sizeof **names, "shard names", &block));
    *names                                            = block;
    json_object_foreach(map, key, value)(*names)[i++] = json_string_value(value);
    *n                                                = i;
    if (i > 1) qsort(*names, i, sizeof **names, by_text);
    return FIL_OK;
}

/* A broken index claims nothing and is listed: whoever opens it hears what is wrong. */
static fil_status after_claim(const listing *l, const char *index, fil_status status)
{
    if (status != FIL_E_FORMAT && status != FIL_E_LIMIT && status != FIL_E_UNSUP) return status;
    fili_ctx_enter(l->ctx);
    fili_log(l->ctx, FIL_LOG_WARNING,
             "'%s' is no index that can be read: its shards are listed too",
             fili_quote(index, strlen(index)).text);
    return FIL_OK;
}

static fil_status claim_shards(const search *s, const listing *l, const char *index)
{
    fil_ctx       *ctx        = l->ctx;
    const uint64_t max_values = 64 + 4 * (ctx->opt.limits.tensors + 1); /* as in index.c */
    const char   **names      = NULL;
    size_t         n          = 0;
    fili_json      json       = {.root = NULL};
    fil_status     status;
    FIL_TRY_OR(done, fili_json_read(ctx, l->dir, index, s->open_flags, max_values,
                                    FILI_JSON_REALS | FILI_JSON_FLAT, &json));
    FIL_TRY_OR(done, shard_names(ctx, json.root, &names, &n));
    for (size_t i = 0; n > 0 && i < l->n; i++)
        if (bsearch(&l->entries[i]->name, names, n, sizeof *names, by_text) != NULL)
            l->entries[i]->claimed = true;
done:
    fili_free(ctx, names, n * sizeof *names);
    fili_json_fini(ctx, &json);
    if (status != FIL_OK) fili_error_frame(ctx, "file %s", fili_quote(index, strlen(index)).text);
    return status;
}

/* ---- the search ----------------------------------------------------------------------------- */

static bool is_wanted(const entry *e)
{
    if (e->kind != FILI_KIND_REGULAR) return false;
    return e->role == ROLE_INDEX || e->role == ROLE_SINGLE ||
           (e->role == ROLE_SAFETENSORS && !e->claimed);
}

static fil_status add_file(search *s, const listing *l, const char *name)
{
    fili_folder   *folder = s->folder;
    const uint64_t limit  = folder->ctx->opt.limits.shards;
    void          *block;
    char          *path;
    if (folder->n_files >= limit)
        return FIL_FAIL(folder->ctx, FIL_E_LIMIT,
                        "more than %llu tensor files in one folder (limit: shards)",
                        (unsigned long long)limit);
    FIL_TRY(fili_arena_alloc(&folder->arena, sizeof(found), &block));
    FIL_TRY(path_of(l, name, &folder->arena, &path));
    found *f = block;
    *f       = (found){.before = s->last, .path = path};
    s->last  = f;
    folder->n_files++;
    return FIL_OK;
}

static void listing_init(listing *l, fil_ctx *ctx, int dir, const char *prefix)
{
    *l = (listing){.ctx = ctx, .dir = dir, .prefix = prefix};
    fili_arena_init(&l->arena, ctx, "folder listing", 0);
}

/* Lists l->dir and adds its tensor files. */
static fil_status look_through(search *s, listing *l)
{
    FIL_TRY(read_names(l));
    s->n_entries += l->n;
    if (s->n_entries > FILI_FOLDER_ENTRIES)
        return FIL_FAIL(l->ctx, FIL_E_LIMIT, "more than %u entries in the folder's subfolders",
                        FILI_FOLDER_ENTRIES);
    for (size_t i = 0; i < l->n; i++)
        FIL_TRY(find_kind(s, l, l->entries[i]));
    for (size_t i = 0; i < l->n; i++) {
        const entry *e = l->entries[i];
        if (e->role == ROLE_INDEX && e->kind == FILI_KIND_REGULAR)
            FIL_TRY(after_claim(l, e->name, claim_shards(s, l, e->name)));
    }
    for (size_t i = 0; i < l->n; i++)
        if (is_wanted(l->entries[i])) FIL_TRY(add_file(s, l, l->entries[i]->name));
    return FIL_OK;
}

static fil_status look_into_subfolder(search *s, const listing *top, const char *name)
{
    listing   sub;
    const int flags = FILI_OPEN_READ | FILI_OPEN_DIRECTORY | s->open_flags;
    int       dir   = fili_open_retrying(top->ctx->os, top->dir, name, flags);
    if (dir < 0 && is_harmless(-dir)) {
        fili_log(top->ctx, FIL_LOG_DEBUG, "skipped '%s/': %s", fili_quote(name, strlen(name)).text,
                 strerror(-dir));
        return FIL_OK;
    }
    if (dir < 0)
        return FIL_FAIL(top->ctx, FIL_E_IO, "cannot open '%s': %s",
                        fili_quote(name, strlen(name)).text, strerror(-dir));
    listing_init(&sub, top->ctx, dir, name);
    const fil_status status = look_through(s, &sub);
    if (status != FIL_OK)
        fili_error_frame(top->ctx, "subfolder %s", fili_quote(name, strlen(name)).text);
    fili_arena_fini(&sub.arena);
    fili_dir_close(top->ctx, &dir);
    return status;
}

static fil_status look_everywhere(search *s, listing *top)
{
    FIL_TRY(look_through(s, top));
    for (size_t i = 0; i < top->n; i++) {
        const entry *e = top->entries[i];
        if (e->kind != FILI_KIND_REGULAR) continue;
        s->has_config |= e->role == ROLE_CONFIG;
        s->has_model_index |= e->role == ROLE_MODEL_INDEX;
    }
    s->folder->layout = s->has_model_index                        ? "diffusers"
                        : s->has_config && s->folder->n_files > 0 ? "original"
                                                                  : "files";
    for (size_t i = 0; i < top->n; i++)
        if (top->entries[i]->kind == FILI_KIND_DIRECTORY)
            FIL_TRY(look_into_subfolder(s, top, top->entries[i]->name));
    return FIL_OK;
}

static fil_status gather(search *s, const char *path)
{
    fili_folder      *folder = s->folder;
    const fili_quoted q      = fili_quote(path, strlen(path));
    void             *block;
    if (folder->n_files == 0 && s->n_links > 0)
        return FIL_FAIL(folder->ctx, FIL_E_MISMATCH,
                        "'%s' has no tensor file, but %zu symbolic links (the first: '%s'); links "
                        "are followed only in trusted mode",
                        q.text, s->n_links, s->first_link.text);
    if (folder->n_files == 0)
        return FIL_FAIL(folder->ctx, FIL_E_MISMATCH,
                        "'%s' has no tensor file (.safetensors, .safetensors.index.json, .pth or "
                        ".gguf), nor have its subfolders",
                        q.text);
    FIL_TRY(fili_arena_calloc(&folder->arena, folder->n_files, sizeof *folder->files, &block));
    folder->files = block;
    size_t i      = folder->n_files;
    for (const found *f = s->last; f != NULL; f = f->before)
        folder->files[--i] = f->path;
    qsort(folder->files, folder->n_files, sizeof *folder->files, by_text);
    return FIL_OK;
}

fil_status fili_folder_open(fili_folder *folder, fil_ctx *ctx, const char *path, uint32_t flags)
{
    fil_status status;
    listing    top;
    int        dir = -1;
    search     s   = {.folder     = folder,
                      .open_flags = (flags & FIL_OPEN_TRUSTED) != 0 ? 0 : FILI_OPEN_NOFOLLOW};
    *folder        = (fili_folder){.ctx = ctx, .layout = "files"};
    fili_arena_init(&folder->arena, ctx, "model folder", 0);
    FIL_TRY(fili_dir_open(ctx, path, &dir));
    listing_init(&top, ctx, dir, "");
    FIL_TRY_OR(done, look_everywhere(&s, &top));
    status = gather(&s, path);
done:
    fili_arena_fini(&top.arena);
    fili_dir_close(ctx, &dir);
    if (status != FIL_OK) fili_folder_fini(folder);
    return status;
}

void fili_folder_fini(fili_folder *folder)
{
    fili_arena_fini(&folder->arena);
    folder->files   = NULL;
    folder->n_files = 0;
}
