/* wan/weights.c: tensors of a part by canonical name, checked and converted (weights.h).
 *
 * The directory of the file (io/tensors.h) stays as it is; a second list, sorted by canonical name,
 * points into it. fp8 files: the scale of NAME.weight is NAME.scale_weight or NAME.weight_scale
 * (wan.md 15.2). What a model needs is not known here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "wan/weights_inside.h"
#include "wan/model_paths.h"

/* ---- names ---------------------------------------------------------------------------------- */

typedef int (*name_map)(const char *file_name, char *out, size_t size);

static int unknown_name(const char *file_name, char *out, size_t size)
{
    (void)file_name;
    (void)out;
    (void)size;
    return 0;
}

static name_map map_of(fili_part part)
{
    static const name_map maps[] = {[FILI_PART_DIT]   = fili_names_dit,
                                    [FILI_PART_T5]    = fili_names_t5,
                                    [FILI_PART_VAE]   = fili_names_vae,
                                    [FILI_PART_OTHER] = unknown_name};
    return maps[part];
}

/* wan.md 15.2: no tensors of the model. */
bool fili_weights_is_mark(const char *name)
{
    static const char *const ends[] = {".scale_weight", ".weight_scale", ".scale_input",
                                       ".input_scale", ".comfy_quant"};
    if (fili_ends_with(name, "scaled_fp8")) return true;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (fili_ends_with(name, ends[i])) return true;
    return false;
}

/* The prefix that single files put before the names of a DiT (wan.md 1.4), "" if none. Taken off
 * for the other parts too, so that a DiT in their place is recognised as one. */
static const char *prefix_of(const fili_tensors *set, fili_part part)
{
    static const char *const prefixes[] = {"model.diffusion_model.", "diffusion_model.", "model."};
    const size_t             n = part == FILI_PART_DIT     ? sizeof prefixes / sizeof prefixes[0]
                                 : part == FILI_PART_OTHER ? 0
                                                           : 2;
    for (size_t p = 0; p < n; p++)
        for (size_t i = 0; i < set->n_entries; i++)
            if (strncmp(set->entries[i].name, prefixes[p], strlen(prefixes[p])) == 0)
                return prefixes[p];
    return "";
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const fili_weight *)a)->name, ((const fili_weight *)b)->name);
}

/* The tensor `base`END of the file, where name is `base`.weight; NULL if there is none. */
static const fili_entry *companion(const fili_tensors *set, const char *name, const char *end)
{
    char         other[600]; /* longer names than the limit's default have no companions */
    const size_t base = strlen(name) - strlen(".weight");
    if (!fili_ends_with(name, ".weight") || base + strlen(end) >= sizeof other) return NULL;
    memcpy(other, name, base);
    memcpy(other + base, end, strlen(end) + 1);
    return fili_tensors_find(set, other);
}

static fil_status add_weight(fili_weights *w, const fili_entry *e, const char *prefix)
{
    char         canonical[600];
    const size_t skip  = strlen(prefix);
    const char  *plain = strncmp(e->name, prefix, skip) == 0 ? e->name + skip : e->name;
    char        *name;
    if (fili_weights_is_mark(plain)) return FIL_OK;
    const int known = map_of(w->part)(plain, canonical, sizeof canonical);
    if (known == 2) return FIL_OK;
    const char *chosen = known != 0 ? canonical : plain;
    FIL_TRY(fili_arena_text(&w->arena, chosen, strlen(chosen), &name));
    fili_weight *t = &w->tensors[w->n++];
    *t             = (fili_weight){.name = name, .entry = e};
    t->scale       = companion(&w->set, e->name, ".scale_weight");
    if (t->scale == NULL) t->scale = companion(&w->set, e->name, ".weight_scale");
    t->quantised = companion(&w->set, e->name, ".comfy_quant") != NULL;
    return FIL_OK;
}

static fil_status take_names(fili_weights *w)
{
    const char *prefix = prefix_of(&w->set, w->part);
    void       *block;
    FIL_TRY(fili_arena_calloc(&w->arena, w->set.n_entries, sizeof *w->tensors, &block));
    w->tensors = block;
    for (size_t i = 0; i < w->set.n_entries; i++)
        FIL_TRY(add_weight(w, &w->set.entries[i], prefix));
    return fili_weights_sort(w);
}

fil_status fili_weights_sort(fili_weights *w)
{
    if (w->n > 1) qsort(w->tensors, w->n, sizeof *w->tensors, by_name);
    for (size_t i = 1; i < w->n; i++)
        if (strcmp(w->tensors[i - 1].name, w->tensors[i].name) == 0)
            return FIL_FAIL(w->ctx, FIL_E_FORMAT, "tensor '%s' is there under two names",
                            fili_quote(w->tensors[i].name, strlen(w->tensors[i].name)).text);
    return FIL_OK;
}

/* ---- life ----------------------------------------------------------------------------------- */

fil_status fili_weights_new(fil_ctx *ctx, fili_part part, uint32_t flags, fili_weights **out)
{
    void *block;
    *out = NULL;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fili_weights), "weights", &block));
    fili_weights *w = block;
    w->ctx          = ctx;
    w->part         = part;
    fili_tensors_init(&w->set, ctx, flags);
    fili_arena_init(&w->arena, ctx, "weights", 0);
    *out = w;
    return FIL_OK;
}

static fil_status open_path(fili_weights *w, const char *path)
{
    const char *file = path;
    if (fili_is_folder(w->ctx, path))
        FIL_TRY(fili_model_part_path(w->ctx, &w->arena, path, w->part, w->set.flags, &file));
    FIL_TRY(fili_tensors_open(&w->set, file));
    FIL_TRY(take_names(w));
    if (w->part == FILI_PART_DIT && strcmp(w->set.format, "gguf") == 0)
        FIL_TRY(fili_weights_restore_shapes(w));
    return fili_weights_read_config(w, file);
}

fil_status fili_weights_open(fil_ctx *ctx, fili_part part, const char *path, uint32_t flags,
                             fili_weights **out)
{
    FIL_TRY(fili_weights_new(ctx, part, flags, out));
    const fil_status status = open_path(*out, path);
    if (status != FIL_OK) fili_weights_close(out);
    return status;
}

/* The part that has a tensor which this one and no other has. */
static fili_part part_of(const fili_tensors *set)
{
    static const char *const marks[][2] = {
        [FILI_PART_DIT] = {"head.modulation", "head.head.weight"},
        [FILI_PART_T5]  = {"token_embedding.weight", NULL},
        [FILI_PART_VAE] = {"decoder.conv1.weight", "encoder.conv1.weight"}};
    char canonical[600];
    for (int part = 0; part < FILI_PART_OTHER; part++) {
        const size_t skip = strlen(prefix_of(set, (fili_part)part));
        for (size_t i = 0; i < set->n_entries; i++) {
            const char *name = set->entries[i].name;
            if (strlen(name) < skip ||
                map_of((fili_part)part)(name + skip, canonical, sizeof canonical) != 1)
                continue;
            for (int k = 0; k < 2; k++)
                if (marks[part][k] != NULL && strcmp(canonical, marks[part][k]) == 0)
                    return (fili_part)part;
        }
    }
    return FILI_PART_OTHER;
}

static fil_status open_files(fili_weights *w, const char *const *paths, size_t n)
{
    FIL_TRY(fili_tensors_open_all(&w->set, paths, n));
    w->part = part_of(&w->set);
    FIL_TRY(take_names(w));
    return w->part == FILI_PART_DIT && strcmp(w->set.format, "gguf") == 0
               ? fili_weights_restore_shapes(w)
               : FIL_OK;
}

fil_status fili_weights_open_files(fil_ctx *ctx, const char *const *paths, size_t n, uint32_t flags,
                                   fili_weights **out)
{
    FIL_TRY(fili_weights_new(ctx, FILI_PART_OTHER, flags, out));
    const fil_status status = open_files(*out, paths, n);
    if (status != FIL_OK) fili_weights_close(out);
    return status;
}

static fil_status copy_made(fili_weights *w, const fili_made_tensor *tensors, size_t n)
{
    void *block;
    void *entries;
    FIL_TRY(fili_arena_calloc(&w->arena, n, sizeof *w->tensors, &block));
    FIL_TRY(fili_arena_calloc(&w->arena, n, sizeof(fili_entry), &entries));
    w->tensors = block;
    for (size_t i = 0; i < n; i++) {
        fili_entry *e = (fili_entry *)entries + i;
        char       *name;
        FIL_CHECK(
            w->ctx,
            tensors[i].rank <= FIL_MAX_RANK &&
                fili_shape_bytes(tensors[i].dtype, tensors[i].rank, tensors[i].shape, &e->bytes),
            "tensor %zu has no valid shape or type", i);
        FIL_TRY(fili_arena_text(&w->arena, tensors[i].name, strlen(tensors[i].name), &name));
        e->name   = name;
        e->dtype  = tensors[i].dtype;
        e->rank   = tensors[i].rank;
        e->source = -1;
        memcpy(e->shape, tensors[i].shape, sizeof e->shape);
        w->tensors[w->n++] = (fili_weight){.name = name, .entry = e, .made = tensors[i].data};
    }
    return fili_weights_sort(w);
}

fil_status fili_weights_make(fil_ctx *ctx, fili_part part, const fili_made_tensor *tensors,
                             size_t n, const char *config, fili_weights **out)
{
    fil_status status;
    FIL_TRY(fili_weights_new(ctx, part, 0, out));
    FIL_TRY_OR(fail, copy_made(*out, tensors, n));
    if (config != NULL)
        FIL_TRY_OR(fail, fili_arena_text(&(*out)->arena, config, strlen(config), &(*out)->config));
    return FIL_OK;
fail:
    fili_weights_close(out);
    return status;
}

void fili_weights_close(fili_weights **w)
{
    if (w == NULL || *w == NULL) return;
    fili_weights *o = *w;
    for (size_t i = 0; i < o->n; i++)
        for (int k = 0; k < 2; k++)
            fili_free(o->ctx, o->tensors[i].held[k].data, o->tensors[i].held[k].bytes);
    fili_tensors_fini(&o->set);
    fili_arena_fini(&o->arena);
    fili_free(o->ctx, o, sizeof *o);
    *w = NULL;
}

/* ---- asking --------------------------------------------------------------------------------- */

fil_ctx *fili_weights_ctx(const fili_weights *w)
{
    return w->ctx;
}

fili_part fili_weights_part(const fili_weights *w)
{
    return w->part;
}

const fili_tensors *fili_weights_set(const fili_weights *w)
{
    return &w->set;
}

fili_weight_kind fili_weights_kind(const fili_weights *w, size_t i)
{
    const fili_weight *t = &w->tensors[i];
    if (!fili_weights_is_number(t->entry->dtype))
        return t->quantised ? FILI_WEIGHT_UNREAD : FILI_WEIGHT_OTHER;
    return t->scale != NULL ? FILI_WEIGHT_SCALED : FILI_WEIGHT_PLAIN;
}

fili_weight *fili_weights_tensor(const fili_weights *w, const char *name)
{
    const fili_weight key = {.name = name};
    if (w->n == 0) return NULL;
    return bsearch(&key, w->tensors, w->n, sizeof *w->tensors, by_name);
}

const fili_entry *fili_weights_find(const fili_weights *w, const char *name)
{
    const fili_weight *t = fili_weights_tensor(w, name);
    return t != NULL ? t->entry : NULL;
}

size_t fili_weights_count(const fili_weights *w)
{
    return w->n;
}

const fili_entry *fili_weights_at(const fili_weights *w, size_t i, const char **name)
{
    if (name != NULL) *name = w->tensors[i].name;
    return w->tensors[i].entry;
}

const char *fili_weights_config(const fili_weights *w)
{
    return w->config;
}

uint64_t fili_weights_bytes(const fili_weights *w)
{
    uint64_t total = 0;
    for (size_t i = 0; i < w->n; i++)
        if (!fili_add_u64(total, w->tensors[i].entry->bytes, &total)) return UINT64_MAX;
    return total;
}

fil_status fili_weights_check_all_used(fili_weights *w)
{
    for (size_t i = 0; i < w->n; i++) {
        const fili_weight *t = &w->tensors[i];
        if (t->used) continue;
        return FIL_FAIL(w->ctx, FIL_E_MISMATCH,
                        "unexpected tensor '%s' of shape %s: this model has none of that name; the "
                        "tensors look like %s",
                        fili_quote(t->entry->name, strlen(t->entry->name)).text,
                        fili_shape_text(t->entry->rank, t->entry->shape).text,
                        fili_weights_likely(w));
    }
    return FIL_OK;
}
