/* engine/recipe_fields.h: the fields of recipes as a table that recipe_write.c and recipe_read.c
 * walk (recipe.h).
 */
#ifndef FILI_ENGINE_RECIPE_FIELDS_H
#define FILI_ENGINE_RECIPE_FIELDS_H

#include <stddef.h>

#include "engine/recipe.h"
#include "io/json.h"

enum { FILI_RECIPE_VALUES = 8192 }; /* of a recipe and what stands beside it */

typedef enum fili_field_kind {
    FILI_FIELD_TEXT,
    FILI_FIELD_INT,  /* int32_t */
    FILI_FIELD_LONG, /* int64_t */
    FILI_FIELD_SEED, /* uint64_t */
    FILI_FIELD_REAL,
    FILI_FIELD_REALS, /* a pointer, and an int32_t that counts */
    FILI_FIELD_PRECISION,
    FILI_FIELD_PRESET
} fili_field_kind;

typedef struct fili_field {
    const char     *name;
    size_t          at, count_at; /* count_at: of REALS */
    fili_field_kind kind;
    int             is_free; /* may differ between a run and its continuation */
    int             is_path; /* TEXT: of a file that is read */
} fili_field;

typedef struct fili_section {
    const char       *name;
    const fili_field *fields;
    size_t            n;
} fili_section;

enum { FILI_SECTION_MODEL, FILI_SECTION_GENERATE, FILI_SECTION_POLICY, FILI_SECTIONS };

extern const fili_section fili_recipe_sections[FILI_SECTIONS];
extern const char *const  fili_preset_names[2]; /* official, diffusers */

#endif
