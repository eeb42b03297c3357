/* engine/recipe_write.c: a run as JSON, for its checkpoint, its video, and people (recipe.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "engine/recipe_fields.h"

/* ---- writing -------------------------------------------------------------------------------- */

static const void *field_of(const void *options, const fili_field *f)
{
    return (const char *)options + f->at;
}

static json_t *list_value(const void *options, const fili_field *f)
{
    const double *values = *(const double *const *)field_of(options, f);
    const int32_t n      = *(const int32_t *)(const void *)((const char *)options + f->count_at);
    json_t       *list   = n > 0 ? json_array() : NULL;
    for (int32_t i = 0; i < n; i++)
        if (json_array_append_new(list, json_real(values[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* Beyond what JSON's integers hold in every reader, the seed is a text. */
static json_t *seed_value(uint64_t seed)
{
    char text[24];
    if (seed <= INT64_MAX) return json_integer((json_int_t)seed);
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    return json_string(text);
}

/* NULL: nothing to say (a NULL text, an empty list), or a failure: see is_said. */
static json_t *value_of(const void *options, const fili_field *f)
{
    const void *at = field_of(options, f);
    switch (f->kind) {
    case FILI_FIELD_TEXT: return json_string(*(const char *const *)at);
    case FILI_FIELD_INT: return json_integer(*(const int32_t *)at);
    case FILI_FIELD_LONG: return json_integer(*(const int64_t *)at);
    case FILI_FIELD_SEED: return seed_value(*(const uint64_t *)at);
    case FILI_FIELD_REAL: return json_real(*(const double *)at);
    case FILI_FIELD_REALS: return list_value(options, f);
    case FILI_FIELD_PRECISION:
        return json_string(*(const fil_dtype *)at == FIL_F32 ? "f32" : "bf16");
    case FILI_FIELD_PRESET:
        return json_string(fili_preset_names[*(const fil_preset *)at == FIL_PRESET_DIFFUSERS]);
    }
    return NULL;
}

static bool is_said(const void *options, const fili_field *f)
{
    if (f->kind == FILI_FIELD_TEXT) return *(const char *const *)field_of(options, f) != NULL;
    if (f->kind != FILI_FIELD_REALS) return true;
    return *(const int32_t *)(const void *)((const char *)options + f->count_at) > 0;
}

/* A path without its folders. */
static json_t *base_name(const void *options, const fili_field *f)
{
    const char *path  = *(const char *const *)field_of(options, f);
    const char *slash = strrchr(path, '/');
    return json_string(slash != NULL ? slash + 1 : path);
}

typedef enum extent { ALL, SETTINGS } extent; /* SETTINGS: nothing that tells where files lie */

static fil_status write_section(fil_ctx *ctx, json_t *root, extent e, const fili_section *s,
                                const void *options)
{
    json_t *object = json_object();
    if (json_object_set_new(root, s->name, object) != 0)
        return FIL_FAIL(ctx, FIL_E_NOMEM, "the recipe of the run: no memory");
    for (size_t i = 0; i < s->n; i++) {
        const fili_field *f = &s->fields[i];
        if (!is_said(options, f) || (e == SETTINGS && f->is_free)) continue;
        json_t *value = e == SETTINGS && f->is_path ? base_name(options, f) : value_of(options, f);
        if (json_object_set_new(object, f->name, value) != 0)
            return FIL_FAIL(ctx, FIL_E_ARG,
                            "the recipe of the run cannot hold '%s' of %s: expected UTF-8", f->name,
                            s->name);
    }
    return FIL_OK;
}

/* model: NULL with SETTINGS. */
static fil_status write_root(fil_ctx *ctx, json_t *root, extent e, const fil_model_options *model,
                             const fil_generate_options *o)
{
    if (json_object_set_new(root, "filigree", json_string(fil_version())) != 0)
        return FIL_FAIL(ctx, FIL_E_NOMEM, "the recipe of the run: no memory");
    if (e == ALL)
        FIL_TRY(write_section(ctx, root, e, &fili_recipe_sections[FILI_SECTION_MODEL], model));
    FIL_TRY(write_section(ctx, root, e, &fili_recipe_sections[FILI_SECTION_GENERATE], o));
    if (o->policy == NULL) return FIL_OK;
    return write_section(ctx, root, e, &fili_recipe_sections[FILI_SECTION_POLICY], o->policy);
}

/* Metadata of a file takes printable text alone. jansson escapes all but DEL. */
static fil_status copy_text(fili_arena *arena, const char *json, const char **text)
{
    static const char del[] = "\\u007f";
    size_t            bytes = strlen(json) + 1;
    void             *block;
    for (const char *c = json; *c != '\0'; c++)
        bytes += *c == 0x7f ? sizeof del - 2 : 0;
    FIL_TRY(fili_arena_alloc(arena, bytes, &block));
    char *to = block;
    *text    = to;
    for (const char *c = json; *c != '\0'; c++) {
        if (*c == 0x7f) {
            memcpy(to, del, sizeof del - 1);
            to += sizeof del - 1;
        } else {
            *to++ = *c;
        }
    }
    *to = '\0';
    return FIL_OK;
}

static fil_status dump(fil_ctx *ctx, fili_arena *arena, const json_t *root, const char **text)
{
    char *json = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII |
                                      JSON_REAL_PRECISION(17));
    if (json == NULL) return FIL_FAIL(ctx, FIL_E_NOMEM, "the recipe of the run: no memory");
    const fil_status status = copy_text(arena, json, text);
    fili_json_drop(json);
    return status;
}

fil_status fili_recipe_text(fil_ctx *ctx, fili_arena *arena, const fil_model_options *model,
                            const fil_generate_options *o, const char **text)
{
    json_t *root = json_object();
    if (root == NULL) return FIL_FAIL(ctx, FIL_E_NOMEM, "the recipe of the run: no memory");
    fil_status status = write_root(ctx, root, ALL, model, o);
    if (status == FIL_OK) status = dump(ctx, arena, root, text);
    json_decref(root);
    return status;
}

/* ---- a file for people ---------------------------------------------------------------------- */

typedef struct figure {
    const char *name;
    double      value; /* not finite: there is none */
} figure;

static int add_figures(json_t *object, const figure *figures, size_t n)
{
    int failed = 0;
    for (size_t i = 0; failed == 0 && i < n; i++)
        if (isfinite(figures[i].value))
            failed = json_object_set_new(object, figures[i].name, json_real(figures[i].value));
    return failed;
}

/* What defaults came out as, and the densities: the same for every repetition. */
static int add_outcome(json_t *root, json_t *result, const fili_recipe_run *run)
{
    const fil_plan         *p         = run->plan;
    const fil_video_result *r         = run->result;
    const figure            figures[] = {{"shift", p->shift},
                                         {"cfg", p->guidance},
                                         {"density", r->density},
                                         {"sparse_density", r->sparse_density}};
    return json_object_set_new(root, FILI_RECIPE_DIT, json_string(run->dit)) |
           json_object_set(root, "result", result) |
           json_object_set_new(result, "sampler", json_string(p->sampler)) |
           json_object_set_new(result, "grid", json_string(p->grid)) |
           json_object_set_new(result, "steps", json_integer(p->steps)) |
           json_object_set_new(result, "attention", json_string(p->attention)) |
           add_figures(result, figures, sizeof figures / sizeof figures[0]);
}

/* How this run went. */
static int add_course(const fil_ctx *ctx, json_t *result, const fil_video_result *r)
{
    const figure figures[] = {{"text_seconds", r->text_seconds},
                              {"load_seconds", r->load_seconds},
                              {"sample_seconds", r->sample_seconds},
                              {"decode_seconds", r->decode_seconds},
                              {"attention_seconds", r->attention_seconds},
                              {"choose_seconds", r->choose_seconds},
                              {"recall", r->recall},
                              {"recall_min", r->recall_min}};
    return add_figures(result, figures, sizeof figures / sizeof figures[0]) |
           json_object_set_new(result, "calls", json_integer(r->calls)) |
           json_object_set_new(result, "dense_calls", json_integer(r->dense_calls)) |
           json_object_set_new(result, "refreshes", json_integer(r->refreshes)) |
           json_object_set_new(result, "threads", json_integer(ctx->n_threads)) |
           json_object_set_new(result, "resumed_step", json_integer(r->resumed_step)) |
           json_object_set_new(result, "peak_bytes", json_integer((json_int_t)ctx->memory.peak));
}

static fil_status add_results(fil_ctx *ctx, json_t *root, extent e, const fili_recipe_run *run)
{
    json_t *result = json_object();
    int     failed = add_outcome(root, result, run);
    if (failed == 0 && e == ALL) failed = add_course(ctx, result, run->result);
    json_decref(result);
    return failed == 0 ? FIL_OK : FIL_FAIL(ctx, FIL_E_NOMEM, "the recipe of the run: no memory");
}

/* The whole tree; *root is the caller's to let go, also after a failure. */
static fil_status make_root(fil_ctx *ctx, extent e, const fili_recipe_run *run, json_t **root)
{
    *root = json_object();
    if (*root == NULL) return FIL_FAIL(ctx, FIL_E_NOMEM, "the recipe of the run: no memory");
    FIL_TRY(write_root(ctx, *root, e, run->model, run->o));
    return add_results(ctx, *root, e, run);
}

fil_status fili_recipe_settings(fil_ctx *ctx, fili_arena *arena, const fili_recipe_run *run,
                                const char **text)
{
    json_t    *root;
    fil_status status = make_root(ctx, SETTINGS, run, &root);
    if (status == FIL_OK) status = dump(ctx, arena, root, text);
    json_decref(root);
    return status;
}

static fil_status write_text(fil_ctx *ctx, const char *path, int replace, const json_t *root)
{
    fili_atomic file;
    char *json = json_dumps(root, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    if (json == NULL) return FIL_FAIL(ctx, FIL_E_NOMEM, "the recipe of the run: no memory");
    fil_status status = fili_atomic_open(ctx, path, replace, &file);
    if (status == FIL_OK) {
        status = fili_atomic_write(ctx, &file, 0, json, strlen(json));
        if (status == FIL_OK) status = fili_atomic_write(ctx, &file, strlen(json), "\n", 1);
        if (status == FIL_OK)
            status = fili_atomic_commit(ctx, &file);
        else
            fili_atomic_abort(ctx, &file);
    }
    fili_json_drop(json);
    return status;
}

fil_status fili_recipe_write(fil_ctx *ctx, const char *path, int replace,
                             const fili_recipe_run *run)
{
    json_t    *root;
    fil_status status = make_root(ctx, ALL, run, &root);
    if (status == FIL_OK) status = write_text(ctx, path, replace, root);
    json_decref(root);
    return status;
}
