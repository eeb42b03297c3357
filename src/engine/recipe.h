/* engine/recipe.h: a run as a JSON text: everything that makes its picture, and where it goes.
 *
 *     {"filigree": "0.1.0",
 *      "model":    {"dir": "Wan2.1-T2V-1.3B"},
 *      "generate": {"prompt": "A red fox.", "width": 832, ...},
 *      "policy":   {"name": "dfs", "density": 0.2, ...}}
 *
 * The names are those of the fields of fil_model_options, fil_generate_options and
 * fil_policy_options, but for `video`, which is called `output`. What was left to a default stays
 * so; callbacks and the files to resume from and to write this to are no part of it. One table of
 * fields (recipe.c) writes, reads and compares.
 */
#ifndef FILI_ENGINE_RECIPE_H
#define FILI_ENGINE_RECIPE_H

#include "base/arena.h"
#include "filigree/video.h"

#define FILI_RECIPE_KEY "recipe" /* of the metadata of a file that carries one */
#define FILI_RECIPE_DIT "dit"    /* beside it, or beside its options: the hash of the transformer */

/* *text is taken from the arena. o->policy may be NULL. E_ARG: a text that is not UTF-8; E_NOMEM.
 */
FIL_MUSTCHECK fil_status fili_recipe_text(fil_ctx *ctx, fili_arena *arena,
                                          const fil_model_options    *model,
                                          const fil_generate_options *o, const char **text);

/* A run that is done, told: its options with what came of them. */
typedef struct fili_recipe_run {
    const fil_model_options    *model;
    const fil_generate_options *o;
    const char                 *dit; /* hash of the transformer */
    const fil_plan             *plan;
    const fil_video_result     *result;
} fili_recipe_run;

/* What a video tells of itself: settings alone, so that equal runs give equal videos wherever they
 * are made. No model folder, no outputs, of files that were read their names without folders, no
 * times; with `dit`, and under `result` what defaults came out as and the densities. run->model is
 * not looked at; run->o as it is when the steps are done. *text is ASCII, taken from the arena. */
FIL_MUSTCHECK fil_status fili_recipe_settings(fil_ctx *ctx, fili_arena *arena,
                                              const fili_recipe_run *run, const char **text);

/* Writes fili_recipe_text's as a file for people, in one step, with `dit`, the hash of the
 * transformer, and under `result` what defaults came out as and how the run went. E_ARG, E_IO,
 * E_NOMEM. */
FIL_MUSTCHECK fil_status fili_recipe_write(fil_ctx *ctx, const char *path, int replace,
                                           const fili_recipe_run *run);

/* Whether the file `path` is a recipe of this video: prompt, seed, size and where it goes. */
bool fili_recipe_tells_of(fil_ctx *ctx, const char *path, const fil_generate_options *o);

/* E_MISMATCH: the two would not make the same latents; names the first field that differs, with
 * what it was and is. Outputs, and how often a run is saved, may differ. E_FORMAT: `theirs` is no
 * recipe. */
FIL_MUSTCHECK fil_status fili_recipe_agree(fil_ctx *ctx, const char *mine, const char *theirs);

#endif
