/* engine/recipe.c: the fields of recipes, and whether two of them make the same latents (recipe.h).
 */
#include <stdio.h>
#include <string.h>

#include "engine/recipe_fields.h"

/* ---- the fields ----------------------------------------------------------------------------- */

#define FIELD(type, sort, field, free)                                                             \
    {                                                                                              \
        .name = #field, .at = offsetof(type, field), .kind = FILI_FIELD_##sort, .is_free = (free)  \
    }

#define MODEL(kind, field) FIELD(fil_model_options, kind, field, 1)
static const fili_field model_fields[] = {MODEL(TEXT, dir),       MODEL(TEXT, dit),
                                          MODEL(TEXT, t5),        MODEL(TEXT, vae),
                                          MODEL(TEXT, tokenizer), MODEL(INT, flags)};

#define MAKES(kind, field) FIELD(fil_generate_options, kind, field, 0)
#define READS(type, field)                                                                         \
    {                                                                                              \
        .name = #field, .at = offsetof(type, field), .kind = FILI_FIELD_TEXT, .is_path = 1         \
    }
#define GOES(kind, field) FIELD(fil_generate_options, kind, field, 1)
#define LIST(field)                                                                                \
    {                                                                                              \
        .name = #field, .at = offsetof(fil_generate_options, field),                               \
        .count_at = offsetof(fil_generate_options, n_##field), .kind = FILI_FIELD_REALS            \
    }
#define NAMED(said, field)                                                                         \
    {                                                                                              \
        .name = #said, .at = offsetof(fil_generate_options, field), .kind = FILI_FIELD_TEXT,       \
        .is_free = 1                                                                               \
    }
static const fili_field generate_fields[] = {MAKES(TEXT, prompt),
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
                                             NAMED(output, video),
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
static const fili_field policy_fields[] = {
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
const fili_section fili_recipe_sections[FILI_SECTIONS] = {
    [FILI_SECTION_MODEL]    = {"model", model_fields, COUNT(model_fields)},
    [FILI_SECTION_GENERATE] = {"generate", generate_fields, COUNT(generate_fields)},
    [FILI_SECTION_POLICY]   = {"policy", policy_fields, COUNT(policy_fields)}};

const char *const fili_preset_names[2] = {"official", "diffusers"};

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

static fil_status agree_section(fil_ctx *ctx, const fili_section *s, const json_t *mine,
                                const json_t *theirs)
{
    for (size_t i = 0; i < s->n; i++) {
        const json_t *a = json_object_get(mine, s->fields[i].name);
        const json_t *b = json_object_get(theirs, s->fields[i].name);
        if (s->fields[i].is_free || a == b || json_equal(a, b)) continue;
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "it belongs to another run: %s%s was %s, is %s",
                        s == &fili_recipe_sections[FILI_SECTION_POLICY] ? "policy's " : "",
                        s->fields[i].name, show(b).text, show(a).text);
    }
    return FIL_OK;
}

fil_status fili_recipe_agree(fil_ctx *ctx, const char *mine, const char *theirs)
{
    fili_json  a     = {.root = NULL};
    fili_json  b     = {.root = NULL};
    const int  flags = FILI_JSON_REALS;
    fil_status status =
        fili_json_parse(ctx, "recipe", mine, strlen(mine), FILI_RECIPE_VALUES, flags, &a);
    if (status == FIL_OK)
        status =
            fili_json_parse(ctx, "recipe", theirs, strlen(theirs), FILI_RECIPE_VALUES, flags, &b);
    for (int i = FILI_SECTION_GENERATE; status == FIL_OK && i < FILI_SECTIONS; i++)
        status = agree_section(ctx, &fili_recipe_sections[i],
                               json_object_get(a.root, fili_recipe_sections[i].name),
                               json_object_get(b.root, fili_recipe_sections[i].name));
    fili_json_fini(ctx, &a);
    fili_json_fini(ctx, &b);
    return status;
}
