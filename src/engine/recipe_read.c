/* engine/recipe_read.c: fil_recipe_*: options of a run from JSON, from its video, or from what it
 * has saved (filigree/video.h, recipe.h). Files are untrusted.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "engine/recipe_fields.h"
#include "io/media_head.h"
#include "io/sha256.h"
#include "io/tensors.h"

/* ---- reading -------------------------------------------------------------------------------- */

struct fil_recipe {
    fil_ctx             *ctx;
    fili_arena           arena;
    fil_model_options    model;
    fil_generate_options generate;
    fil_policy_options   policy;
    int                  saved; /* from a file that a run goes on from */
};

static fil_status wrong(fil_ctx *ctx, const fili_section *s, const fili_field *f,
                        const char *expected)
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

static fil_status take_list(fil_recipe *r, const fili_section *s, const fili_field *f,
                            const json_t *value, char *options)
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

static fil_status take_whole(fil_ctx *ctx, const fili_section *s, const fili_field *f,
                             const json_t *value, void *at)
{
    if (!json_is_integer(value)) return wrong(ctx, s, f, "a whole number");
    const int64_t n = json_integer_value(value);
    if (f->kind == FILI_FIELD_INT && (n < INT32_MIN || n > INT32_MAX))
        return wrong(ctx, s, f, "a number below 2^31");
    if (f->kind == FILI_FIELD_INT)
        *(int32_t *)at = (int32_t)n;
    else
        *(int64_t *)at = n;
    return FIL_OK;
}

static fil_status take_seed(fil_ctx *ctx, const fili_section *s, const fili_field *f,
                            const json_t *value, uint64_t *out)
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

static fil_status take_name(fil_ctx *ctx, const fili_section *s, const fili_field *f,
                            const json_t *value, void *at)
{
    const char *name = json_string_value(value);
    if (f->kind == FILI_FIELD_PRECISION) {
        if (name == NULL || (strcmp(name, "f32") != 0 && strcmp(name, "bf16") != 0))
            return wrong(ctx, s, f, "bf16 or f32");
        *(fil_dtype *)at = strcmp(name, "f32") == 0 ? FIL_F32 : FIL_BF16;
        return FIL_OK;
    }
    if (name == NULL ||
        (strcmp(name, fili_preset_names[0]) != 0 && strcmp(name, fili_preset_names[1]) != 0))
        return wrong(ctx, s, f, "official or diffusers");
    *(fil_preset *)at =
        strcmp(name, fili_preset_names[1]) == 0 ? FIL_PRESET_DIFFUSERS : FIL_PRESET_OFFICIAL;
    return FIL_OK;
}

static fil_status take_value(fil_recipe *r, const fili_section *s, const fili_field *f,
                             const json_t *value, char *options)
{
    void *at = options + f->at;
    switch (f->kind) {
    case FILI_FIELD_TEXT:
        if (!json_is_string(value)) return wrong(r->ctx, s, f, "a text");
        return take_text(&r->arena, value, at);
    case FILI_FIELD_INT:
    case FILI_FIELD_LONG: return take_whole(r->ctx, s, f, value, at);
    case FILI_FIELD_SEED: return take_seed(r->ctx, s, f, value, at);
    case FILI_FIELD_REAL:
        if (!json_is_number(value)) return wrong(r->ctx, s, f, "a number");
        *(double *)at = json_number_value(value);
        return FIL_OK;
    case FILI_FIELD_REALS: return take_list(r, s, f, value, options);
    case FILI_FIELD_PRECISION:
    case FILI_FIELD_PRESET: return take_name(r->ctx, s, f, value, at);
    }
    return FIL_OK;
}

static const fili_field *find_field(const fili_section *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->fields[i].name, name) == 0) return &s->fields[i];
    return NULL;
}

/* A key that this version does not know would be a choice that is lost. */
static fil_status read_section(fil_recipe *r, const fili_section *s, json_t *object, void *options)
{
    if (!json_is_object(object))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "the recipe has no object '%s'", s->name);
    for (void *i = json_object_iter(object); i != NULL; i = json_object_iter_next(object, i)) {
        const char       *key = json_object_iter_key(i);
        const fili_field *f   = find_field(s, key);
        if (f == NULL)
            return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                            "the recipe's %s has '%s', which this version does not know", s->name,
                            fili_quote(key, strlen(key)).text);
        FIL_TRY(take_value(r, s, f, json_object_iter_value(i), options));
    }
    return FIL_OK;
}

/* Of the transformer, beside the options; NULL: it is not told. */
static fil_status take_hash(fil_recipe *r, const char *hash)
{
    char *copy;
    if (hash == NULL) return FIL_OK;
    if (strlen(hash) != FILI_SHA256_HEX - 1 ||
        strspn(hash, "0123456789abcdef") != FILI_SHA256_HEX - 1)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT,
                        "the recipe's '" FILI_RECIPE_DIT "': expected 64 hexadecimal digits");
    FIL_TRY(fili_arena_text(&r->arena, hash, strlen(hash), &copy));
    r->generate.made_with = copy;
    return FIL_OK;
}

static fil_status read_hash(fil_recipe *r, const json_t *root)
{
    const json_t *value = json_object_get(root, FILI_RECIPE_DIT);
    if (value == NULL) return FIL_OK;
    return take_hash(r, json_is_string(value) ? json_string_value(value) : "");
}

/* first: FILI_SECTION_GENERATE where the model is not told of. */
static fil_status read_root(fil_recipe *r, const json_t *root, int first)
{
    json_t *policy = json_object_get(root, fili_recipe_sections[FILI_SECTION_POLICY].name);
    FIL_TRY(read_hash(r, root));
    for (int i = first; i < FILI_SECTION_POLICY; i++)
        FIL_TRY(read_section(r, &fili_recipe_sections[i],
                             json_object_get(root, fili_recipe_sections[i].name),
                             i == FILI_SECTION_MODEL ? (void *)&r->model : (void *)&r->generate));
    if (policy == NULL) return FIL_OK;
    r->generate.policy = &r->policy;
    return read_section(r, &fili_recipe_sections[FILI_SECTION_POLICY], policy, &r->policy);
}

/* ---- files ---------------------------------------------------------------------------------- */

static fil_status read_json(fil_recipe *r, const char *path)
{
    fili_json json = {.root = NULL};
    FIL_TRY(fili_json_read(r->ctx, FILI_CWD, path, 0, FILI_RECIPE_VALUES, FILI_JSON_REALS, &json));
    const fil_status status = read_root(r, json.root, FILI_SECTION_MODEL);
    fili_json_fini(r->ctx, &json);
    return status;
}

static fil_status read_text(fil_recipe *r, const char *text, int first)
{
    fili_json json = {.root = NULL};
    FIL_TRY(fili_json_parse(r->ctx, "recipe", text, strlen(text), FILI_RECIPE_VALUES,
                            FILI_JSON_REALS, &json));
    const fil_status status = read_root(r, json.root, first);
    fili_json_fini(r->ctx, &json);
    return status;
}

static fil_status read_metadata(fil_recipe *r, const fili_tensors *set)
{
    const char *text = fili_tensors_metadata(set, FILI_RECIPE_KEY);
    if (text == NULL)
        return FIL_FAIL(r->ctx, FIL_E_MISMATCH,
                        "it carries no recipe of a run; expected a JSON recipe, a video or picture "
                        "that filigree wrote, or what a run has saved to be resumed");
    FIL_TRY(take_hash(r, fili_tensors_metadata(set, FILI_RECIPE_DIT)));
    r->saved = 1;
    return read_text(r, text, FILI_SECTION_MODEL);
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

/* The settings in a video or picture. */
static fil_status read_media(fil_recipe *r, const char *path)
{
    fili_media_head head;
    FIL_TRY(fili_media_head_read(&r->arena, path, &head));
    const char *text = head.notes.comment;
    if (text == NULL || !fili_begins_with(text, "{\"filigree\":"))
        return FIL_FAIL(
            r->ctx, FIL_E_MISMATCH,
            "the file carries no settings of a run; expected a .mp4, .webm or .png that "
            "generate wrote, or the JSON beside a video");
    return read_text(r, text, FILI_SECTION_GENERATE);
}

static fil_status read_first(fil_ctx *ctx, const char *path, char *head)
{
    fili_file file;
    *head = '\0';
    FIL_TRY(fili_file_open(ctx, FILI_CWD, path, 0, &file));
    const fil_status status = file.size > 0 ? fili_file_read(ctx, &file, 0, head, 1) : FIL_OK;
    fili_file_close(ctx, &file);
    return status;
}

static fil_status read_file(fil_recipe *r, const char *path)
{
    char       head;
    fil_status status = read_first(r->ctx, path, &head);
    if (status == FIL_OK)
        status = head == '{'                                  ? read_json(r, path)
                 : fili_media_format_of(r->ctx, path) != NULL ? read_media(r, path)
                                                              : read_tensors(r, path);
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

int fil_recipe_is_saved(const fil_recipe *recipe)
{
    return recipe != NULL ? recipe->saved : 0;
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
