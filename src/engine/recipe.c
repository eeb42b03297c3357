/* engine/recipe.c: recipes as JSON (recipe.h), and fil_recipe_* (filigree/video.h). */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engine/recipe.h"
#include "io/json.h"
#include "io/tensors.h"

/* ---- the fields ----------------------------------------------------------------------------- */

typedef enum field_kind { TEXT, INT, LONG, SEED, REAL, REALS, PRECISION, PRESET } field_kind;

typedef struct field {
    const char *name;
    size_t      at, count_at; /* count_at: of REALS */
    field_kind  kind;
    int         is_free; /* may differ between a run and its continuation */
    int         is_path; /* TEXT: of a file that is read */
} field;

typedef struct section {
    const char  *name;
    const field *fields;
    size_t       n;
} section;

#define FIELD(type, sort, field, free)                                                             \
    {                                                                                              \
        .name = #field, .at = offsetof(type, field), .kind = (sort), .is_free = (free)             \
    }

#define MODEL(kind, field) FIELD(fil_model_options, kind, field, 1)
static const field model_fields[] = {MODEL(TEXT, dir), MODEL(TEXT, dit),       MODEL(TEXT, t5),
                                     MODEL(TEXT, vae), MODEL(TEXT, tokenizer), MODEL(INT, flags)};

#define MAKES(kind, field) FIELD(fil_generate_options, kind, field, 0)
#define READS(type, field)                                                                         \
    {                                                                                              \
        .name = #field, .at = offsetof(type, field), .kind = TEXT, .is_path = 1                    \
    }
#define GOES(kind, field) FIELD(fil_generate_options, kind, field, 1)
#define LIST(field)                                                                                \
    {                                                                                              \
        .name = #field, .at = offsetof(fil_generate_options, field),                               \
        .count_at = offsetof(fil_generate_options, n_##field), .kind = REALS                       \
    }
static const field generate_fields[] = {
    MAKES(TEXT, prompt),
    MAKES(TEXT, negative),
    MAKES(INT, width),
    MAKES(INT, height),
    MAKES(INT, frames),
    MAKES(INT, steps),
    MAKES(REAL, shift),
    MAKES(REAL, guidance),
    MAKES(PRESET, preset),
    MAKES(TEXT, sampler),
    MAKES(TEXT, grid),
    LIST(timesteps),
    LIST(sigmas),
    MAKES(SEED, seed),
    READS(fil_generate_options, noise),
    MAKES(PRECISION, precision),
    READS(fil_generate_options, mask),
    {.name = "output", .at = offsetof(fil_generate_options, video), .kind = TEXT, .is_free = 1},
    GOES(INT, fps),
    GOES(INT, crf),
    GOES(TEXT, save_noise),
    GOES(TEXT, save_latents),
    GOES(TEXT, save_frames),
    GOES(INT, replace),
    GOES(TEXT, capture),
    GOES(TEXT, capture_to),
    GOES(INT, checkpoint_steps),
    GOES(REAL, checkpoint_seconds),
    GOES(INT, vae_tiles),
    GOES(INT, stream_weights)};

#define POLICY(kind, field) FIELD(fil_policy_options, kind, field, 0)
static const field policy_fields[] = {
    POLICY(TEXT, name),         POLICY(REAL, density),
    POLICY(REAL, fidelity),     POLICY(INT, dense_steps),
    POLICY(TEXT, dense_layers), POLICY(LONG, min_tokens),
    POLICY(TEXT, order),        POLICY(INT, block),
    POLICY(INT, tail),          POLICY(INT, refresh),
    POLICY(REAL, tau),          READS(fil_policy_options, topology),
    POLICY(TEXT, budgets),      READS(fil_policy_options, mask),
    POLICY(INT, gate),          POLICY(TEXT, preset),
    POLICY(LONG, dense_from),   POLICY(INT, fallback),
    POLICY(INT, measure_recall)};

#define COUNT(list) (sizeof(list) / sizeof(list)[0])
enum { SECTION_MODEL, SECTION_GENERATE, SECTION_POLICY, SECTIONS };
static const section sections[SECTIONS] = {
    [SECTION_MODEL]    = {"model", model_fields, COUNT(model_fields)},
    [SECTION_GENERATE] = {"generate", generate_fields, COUNT(generate_fields)},
    [SECTION_POLICY]   = {"policy", policy_fields, COUNT(policy_fields)}};

static const char *const preset_names[] = {"official", "diffusers"};

/* ---- writing -------------------------------------------------------------------------------- */

static const void *field_of(const void *options, const field *f)
{
    return (const char *)options + f->at;
}

static json_t *list_value(const void *options, const field *f)
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
static json_t *value_of(const void *options, const field *f)
{
    const void *at = field_of(options, f);
    switch (f->kind) {
    case TEXT: return json_string(*(const char *const *)at);
    case INT: return json_integer(*(const int32_t *)at);
    case LONG: return json_integer(*(const int64_t *)at);
    case SEED: return seed_value(*(const uint64_t *)at);
    case REAL: return json_real(*(const double *)at);
    case REALS: return list_value(options, f);
    case PRECISION: return json_string(*(const fil_dtype *)at == FIL_F32 ? "f32" : "bf16");
    case PRESET: return json_string(preset_names[*(const fil_preset *)at == FIL_PRESET_DIFFUSERS]);
    }
    return NULL;
}

static bool is_said(const void *options, const field *f)
{
    if (f->kind == TEXT) return *(const char *const *)field_of(options, f) != NULL;
    if (f->kind != REALS) return true;
    return *(const int32_t *)(const void *)((const char *)options + f->count_at) > 0;
}

/* A path without its folders. */
static json_t *base_name(const void *options, const field *f)
{
    const char *path  = *(const char *const *)field_of(options, f);
    const char *slash = strrchr(path, '/');
    return json_string(slash != NULL ? slash + 1 : path);
}

typedef enum extent { ALL, SETTINGS } extent; /* SETTINGS: nothing that tells where files lie */

static fil_status write_section(fil_ctx *ctx, json_t *root, extent e, const section *s,
                                const void *options)
{
    json_t *object = json_object();
    if (json_object_set_new(root, s->name, object) != 0)
        return FIL_FAIL(ctx, FIL_E_NOMEM, "the recipe of the run: no memory");
    for (size_t i = 0; i < s->n; i++) {
        const field *f = &s->fields[i];
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
    if (e == ALL) FIL_TRY(write_section(ctx, root, e, &sections[SECTION_MODEL], model));
    FIL_TRY(write_section(ctx, root, e, &sections[SECTION_GENERATE], o));
    if (o->policy == NULL) return FIL_OK;
    return write_section(ctx, root, e, &sections[SECTION_POLICY], o->policy);
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
    return json_object_set_new(root, "dit", json_string(run->dit)) |
           json_object_set(root, "result", result) |
           json_object_set_new(result, "sampler", json_string(p->sampler)) |
           json_object_set_new(result, "grid", json_string(p->grid)) |
           json_object_set_new(result, "steps", json_integer(p->steps)) |
           json_object_set_new(result, "attention", json_string(p->attention)) |
           add_figures(result, figures, COUNT(figures));
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
    return add_figures(result, figures, COUNT(figures)) |
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

/* ---- reading -------------------------------------------------------------------------------- */

struct fil_recipe {
    fil_ctx             *ctx;
    fili_arena           arena;
    fil_model_options    model;
    fil_generate_options generate;
    fil_policy_options   policy;
};

static fil_status wrong(fil_ctx *ctx, const section *s, const field *f, const char *expected)
{
    return FIL_FAIL(ctx, FIL_E_FORMAT, "the recipe's '%s' of %s: expected %s", f->name, s->name,
                    expected);
}

static fil_status take_text(fili_arena *arena, const json_t *value, const char **out)
{
    const size_t bytes = json_string_length(value) + 1;
    void        *block;
    FIL_TRY(fili_arena_alloc(arena, bytes, &block));
    memcpy(block, json_string_value(value), bytes);
    *out = block;
    return FIL_OK;
}

static fil_status take_list(fil_recipe *r, const section *s, const field *f, const json_t *value,
                            char *options)
{
    const size_t n = json_array_size(value);
    void        *block;
    if (n == 0 || n > 1000) return wrong(r->ctx, s, f, "1 to 1000 numbers");
    FIL_TRY(fili_arena_alloc(&r->arena, n * sizeof(double), &block));
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_array_get(value, i);
        if (!json_is_number(number)) return wrong(r->ctx, s, f, "numbers");
        ((double *)block)[i] = json_number_value(number);
    }
    *(const double **)(void *)(options + f->at) = block;
    *(int32_t *)(void *)(options + f->count_at) = (int32_t)n;
    return FIL_OK;
}

static fil_status take_whole(fil_ctx *ctx, const section *s, const field *f, const json_t *value,
                             void *at)
{
    if (!json_is_integer(value)) return wrong(ctx, s, f, "a whole number");
    const int64_t n = json_integer_value(value);
    if (f->kind == INT && (n < INT32_MIN || n > INT32_MAX))
        return wrong(ctx, s, f, "a number below 2^31");
    if (f->kind == INT)
        *(int32_t *)at = (int32_t)n;
    else
        *(int64_t *)at = n;
    return FIL_OK;
}

static fil_status take_seed(fil_ctx *ctx, const section *s, const field *f, const json_t *value,
                            uint64_t *out)
{
    const char *text = json_string_value(value);
    uint64_t    n    = 0;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return FIL_OK;
    }
    for (const char *c = text; c != NULL && *c != '\0'; c++) {
        const int digit = *c >= '0' && *c <= '9';
        if (!digit || n > (UINT64_MAX - (uint64_t)(*c - '0')) / 10)
            return wrong(ctx, s, f, "a number from 0 to 2^64 - 1");
        n = n * 10 + (uint64_t)(*c - '0');
    }
    if (text == NULL || text[0] == '\0') return wrong(ctx, s, f, "a number from 0 to 2^64 - 1");
    *out = n;
    return FIL_OK;
}

static fil_status take_name(fil_ctx *ctx, const section *s, const field *f, const json_t *value,
                            void *at)
{
    const char *name = json_string_value(value);
    if (f->kind == PRECISION) {
        if (name == NULL || (strcmp(name, "f32") != 0 && strcmp(name, "bf16") != 0))
            return wrong(ctx, s, f, "bf16 or f32");
        *(fil_dtype *)at = strcmp(name, "f32") == 0 ? FIL_F32 : FIL_BF16;
        return FIL_OK;
    }
    if (name == NULL || (strcmp(name, preset_names[0]) != 0 && strcmp(name, preset_names[1]) != 0))
        return wrong(ctx, s, f, "official or diffusers");
    *(fil_preset *)at =
        strcmp(name, preset_names[1]) == 0 ? FIL_PRESET_DIFFUSERS : FIL_PRESET_OFFICIAL;
    return FIL_OK;
}

static fil_status take_value(fil_recipe *r, const section *s, const field *f, const json_t *value,
                             char *options)
{
    void *at = options + f->at;
    switch (f->kind) {
    case TEXT:
        if (!json_is_string(value)) return wrong(r->ctx, s, f, "a text");
        return take_text(&r->arena, value, at);
    case INT:
    case LONG: return take_whole(r->ctx, s, f, value, at);
    case SEED: return take_seed(r->ctx, s, f, value, at);
    case REAL:
        if (!json_is_number(value)) return wrong(r->ctx, s, f, "a number");
        *(double *)at = json_number_value(value);
        return FIL_OK;
    case REALS: return take_list(r, s, f, value, options);
    case PRECISION:
    case PRESET: return take_name(r->ctx, s, f, value, at);
    }
    return FIL_OK;
}

static const field *find_field(const section *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->fields[i].name, name) == 0) return &s->fields[i];
    return NULL;
}

/* A key that this version does not know would be a choice that is lost. */
static fil_status read_section(fil_recipe *r, const section *s, json_t *object, void *options)
{
    if (!json_is_object(object))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the recipe has no object '%s'", s->name);
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const char  *key = json_object_iter_key(i);
        const field *f   = find_field(s, key);
        if (f == NULL)
            return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                            "the recipe's %s has '%s', which this version does not know", s->name,
                            fili_quote(key, strlen(key)).text);
        FIL_TRY(take_value(r, s, f, json_object_iter_value(i), options));
    }
    return FIL_OK;
}

static fil_status read_root(fil_recipe *r, const json_t *root)
{
    json_t *policy = json_object_get(root, sections[SECTION_POLICY].name);
    for (int i = 0; i < SECTION_POLICY; i++)
        FIL_TRY(read_section(r, &sections[i], json_object_get(root, sections[i].name),
                             i == SECTION_MODEL ? (void *)&r->model : (void *)&r->generate));
    if (policy == NULL) return FIL_OK;
    r->generate.policy = &r->policy;
    return read_section(r, &sections[SECTION_POLICY], policy, &r->policy);
}

/* ---- files ---------------------------------------------------------------------------------- */

enum { MOST_VALUES = 8192 }; /* of a recipe and what stands beside it */

static fil_status read_json(fil_recipe *r, const char *path)
{
    fili_json json = {.root = NULL};
    FIL_TRY(fili_json_read(r->ctx, FILI_CWD, path, 0, MOST_VALUES, FILI_JSON_REALS, &json));
    const fil_status status = read_root(r, json.root);
    fili_json_fini(r->ctx, &json);
    return status;
}

static fil_status read_metadata(fil_recipe *r, const fili_tensors *set)
{
    fili_json   json = {.root = NULL};
    const char *text = fili_tensors_metadata(set, FILI_RECIPE_KEY);
    if (text == NULL)
        return FIL_FAIL(r->ctx, FIL_E_MISMATCH,
                        "it carries no recipe of a run; expected a JSON "
                        "recipe or what a run has saved to be resumed");
    FIL_TRY(
        fili_json_parse(r->ctx, "recipe", text, strlen(text), MOST_VALUES, FILI_JSON_REALS, &json));
    const fil_status status = read_root(r, json.root);
    fili_json_fini(r->ctx, &json);
    return status;
}

static fil_status read_tensors(fil_recipe *r, const char *path)
{
    fili_tensors set;
    fili_tensors_init(&set, r->ctx, 0);
    fil_status status = fili_tensors_open(&set, path);
    if (status == FIL_OK) status = read_metadata(r, &set);
    fili_tensors_fini(&set);
    return status;
}

static fil_status read_file(fil_recipe *r, const char *path)
{
    fili_file file;
    char      head = '\0';
    FIL_TRY(fili_file_open(r->ctx, FILI_CWD, path, 0, &file));
    fil_status status = file.size > 0 ? fili_file_read(r->ctx, &file, 0, &head, 1) : FIL_OK;
    fili_file_close(r->ctx, &file);
    if (status == FIL_OK) status = head == '{' ? read_json(r, path) : read_tensors(r, path);
    if (status != FIL_OK)
        fili_error_frame(r->ctx, "reading the recipe in %s", fili_quote(path, strlen(path)).text);
    return status;
}

fil_status fil_recipe_open(fil_ctx *ctx, const char *path, fil_recipe **out)
{
    void *block;
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_recipe_open: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, path != NULL && out != NULL, "fil_recipe_open: %s is NULL",
              path == NULL ? "path" : "out");
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_recipe), "a recipe", &block));
    fil_recipe *r = block;
    r->ctx        = ctx;
    fili_arena_init(&r->arena, ctx, "a recipe", 0);
    fil_model_options_init(&r->model);
    fil_generate_options_init(&r->generate);
    fil_policy_options_init(&r->policy);
    const fil_status status = read_file(r, path);
    if (status != FIL_OK)
        fil_recipe_close(&r);
    else
        *out = r;
    return status;
}

void fil_recipe_close(fil_recipe **recipe)
{
    if (recipe == NULL || *recipe == NULL) return;
    fil_ctx *ctx = (*recipe)->ctx;
    fili_arena_fini(&(*recipe)->arena);
    fili_free(ctx, *recipe, sizeof **recipe);
    *recipe = NULL;
}

const fil_model_options *fil_recipe_model(const fil_recipe *recipe)
{
    return recipe != NULL ? &recipe->model : NULL;
}

const fil_generate_options *fil_recipe_generate(const fil_recipe *recipe)
{
    return recipe != NULL ? &recipe->generate : NULL;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool fili_recipe_tells_of(fil_ctx *ctx, const char *path, const fil_generate_options *o)
{
    const fil_error      before = ctx->error;
    const fil_progress   unit   = ctx->unit;
    fil_recipe          *recipe = NULL;
    fil_generate_options its;
    bool                 same = fil_recipe_open(ctx, path, &recipe) == FIL_OK;
    if (same) {
        its  = recipe->generate;
        same = same_text(its.prompt, o->prompt) && same_text(its.video, o->video) &&
               same_text(its.save_frames, o->save_frames) && its.seed == o->seed &&
               its.width == o->width && its.height == o->height && its.frames == o->frames;
    }
    fil_recipe_close(&recipe);
    ctx->error = before;
    ctx->unit  = unit;
    return same;
}

/* ---- comparing ------------------------------------------------------------------------------ */

typedef struct shown {
    char text[48];
} shown;

static shown show(const json_t *value)
{
    shown s = {"nothing"};
    if (value == NULL) return s;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    snprintf(s.text, sizeof s.text, "%.40s", text != NULL ? text : "?");
    fili_json_drop(text);
    return s;
}

static fil_status agree_section(fil_ctx *ctx, const section *s, const json_t *mine,
                                const json_t *theirs)
{
    for (size_t i = 0; i < s->n; i++) {
        const json_t *a = json_object_get(mine, s->fields[i].name);
        const json_t *b = json_object_get(theirs, s->fields[i].name);
        if (s->fields[i].is_free || a == b || json_equal(a, b)) continue;
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "it belongs to another run: %s was %s, is %s",
                        s->fields[i].name, show(b).text, show(a).text);
    }
    return FIL_OK;
}

fil_status fili_recipe_agree(fil_ctx *ctx, const char *mine, const char *theirs)
{
    fili_json  a      = {.root = NULL};
    fili_json  b      = {.root = NULL};
    const int  flags  = FILI_JSON_REALS;
    fil_status status = fili_json_parse(ctx, "recipe", mine, strlen(mine), MOST_VALUES, flags, &a);
    if (status == FIL_OK)
        status = fili_json_parse(ctx, "recipe", theirs, strlen(theirs), MOST_VALUES, flags, &b);
    for (int i = SECTION_GENERATE; status == FIL_OK && i < SECTIONS; i++)
        status = agree_section(ctx, &sections[i], json_object_get(a.root, sections[i].name),
                               json_object_get(b.root, sections[i].name));
    fili_json_fini(ctx, &a);
    fili_json_fini(ctx, &b);
    return status;
}
