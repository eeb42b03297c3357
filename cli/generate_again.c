/* cli/generate_again.c: `filigree generate --resume FILE` and `--recipe FILE`: a run that goes on
 * or is repeated has its options from the file (generate.h).
 */
#include <string.h>
#include <unistd.h>

#include "generate.h"
#include "progress.h"
#include "report.h"

/* What is left open by a recipe: where the model lies, where outputs go, and how this call is told
 * of. A saved run has its outputs. */
static int refuse_beside_recipe(const generate_values *v)
{
    generate_values other;
    unsigned char   bytes[sizeof other];
    memcpy(&other, v, sizeof other);
    memset(&other.model, 0, sizeof other.model);
    other.resume = other.recipe = other.checkpoint_every = other.text_cache = NULL;
    other.json = other.force = other.plan = 0;
    other.preview                         = 0;
    other.vae_tiles = other.stream_weights = 0;
    if (v->resume == NULL) {
        other.output = other.save_noise = other.save_latents = other.save_frames = NULL;
        other.capture = other.capture_to = NULL;
    }
    memcpy(bytes, &other, sizeof other);
    for (size_t i = 0; i < sizeof bytes; i++)
        if (bytes[i] != 0)
            return cli_usage(
                "generate: expected none but the model's options,%s --checkpoint-every, "
                "--preview, --text-cache, --vae-tiles, --stream-weights, --force, --plan and "
                "--json beside --%s, which has the others",
                v->resume != NULL ? "" : " outputs, captures,",
                v->resume != NULL ? "resume" : "recipe");
    return CLI_EXIT_DONE;
}

/* Outputs that this call names are its own, instead of those of the recipe. */
static void take_outputs(const generate_values *v, fil_generate_options *o)
{
    const bool named = v->output != NULL || v->save_latents != NULL || v->save_frames != NULL;
    if (named || v->save_noise != NULL) {
        o->video        = v->output;
        o->save_noise   = v->save_noise;
        o->save_latents = v->save_latents;
        o->save_frames  = v->save_frames;
    }
    if (v->capture == NULL && v->capture_to == NULL) return;
    o->capture    = v->capture;
    o->capture_to = v->capture_to;
}

/* A run that is repeated, or goes on: everything else comes from the file. */
static int take_saved(const generate_values *v, fil_generate_options *o, generate_places *at)
{
    int never = 0;
    int code =
        v->resume != NULL ? generate_take_rhythm(v->checkpoint_every, o, &never) : CLI_EXIT_DONE;
    o->replace |= v->force != 0;
    o->event = cli_progress_event;
    generate_take_text_cache(v, o, at);
    generate_take_savings(v, o);
    if (v->resume != NULL) {
        o->resume     = v->resume;
        o->checkpoint = never ? NULL : v->resume;
        if (code == CLI_EXIT_DONE) code = generate_take_preview(v, o, at);
        return code != CLI_EXIT_DONE ? code : generate_take_sidecar(o, at);
    }
    o->replace = v->force != 0; /* by the word of this call, not of a file */
    take_outputs(v, o);
    return generate_take_checkpoint(v, o, at);
}

/* A video does not tell where its model lies. */
static int check_model(const generate_values *v, const fil_model_options *saved)
{
    const cli_model *m = &v->model;
    if (saved->dir != NULL || saved->dit != NULL || m->dir != NULL || m->dit != NULL)
        return CLI_EXIT_DONE;
    return cli_usage("generate: expected a model (-m DIR): '%.200s' does not tell where it lies",
                     v->recipe != NULL ? v->recipe : v->resume);
}

/* a.mp4, or a.mp4.json, for a.mp4.resume.safetensors. Where no such file lies beside what was named
 * and that cannot be read, the library has said why. */
static int refuse_unsaved(const fil_ctx *ctx, const char *path, int is_recipe)
{
    static const char json[] = ".json";
    char              stem[CLI_PLACE];
    char              place[CLI_PLACE];
    const size_t      bytes = strlen(path);
    const size_t      tail  = sizeof json - 1;
    const bool        named = bytes > tail && strcmp(path + bytes - tail, json) == 0;
    const int  n = snprintf(stem, sizeof stem, "%.*s", (int)(named ? bytes - tail : bytes), path);
    const bool known = n >= 0 && n < CLI_PLACE && cli_beside(place, stem, ".resume.safetensors");
    if (known && access(place, F_OK) == 0)
        return cli_usage("'%.200s' is no saved run; expected '%.200s', which lies beside it", path,
                         place);
    if (is_recipe == 0) return cli_failed(ctx, NULL);
    return cli_usage("'%.200s' is no saved run; expected OUTPUT.resume.safetensors, and none lies "
                     "beside it; --recipe repeats the run that it tells of",
                     path);
}

/* The file is read; what it says is not looked at. */
static int open_recipe(const generate_values *v, fil_ctx *ctx, fil_recipe **recipe)
{
    const char      *path   = v->resume != NULL ? v->resume : v->recipe;
    const fil_status status = fil_recipe_open(ctx, path, recipe);
    if (v->resume != NULL && fil_recipe_is_saved(*recipe) == 0)
        return refuse_unsaved(ctx, path, status == FIL_OK);
    return status == FIL_OK ? CLI_EXIT_DONE : cli_failed(ctx, NULL);
}

int generate_run_again(const cli_call *call)
{
    const generate_values *v      = call->values;
    fil_ctx               *ctx    = NULL;
    fil_model             *model  = NULL;
    fil_recipe            *recipe = NULL;
    generate_places        at;
    int                    code = refuse_beside_recipe(v);
    generate_tell_events(call);
    if (code == CLI_EXIT_DONE) code = cli_open_context_for_run(call->common, &ctx);
    if (code != CLI_EXIT_DONE) return code;
    code = open_recipe(v, ctx, &recipe);
    if (code == CLI_EXIT_DONE) {
        fil_generate_options o = *fil_recipe_generate(recipe);
        code                   = take_saved(v, &o, &at);
        if (code == CLI_EXIT_DONE) code = check_model(v, fil_recipe_model(recipe));
        if (code == CLI_EXIT_DONE)
            code = cli_open_saved_model(ctx, &v->model, fil_recipe_model(recipe), v->resume != NULL,
                                        &model);
        if (code == CLI_EXIT_DONE) code = generate_plan_or_run(call, ctx, model, &o);
    }
    fil_model_close(&model);
    fil_recipe_close(&recipe);
    fil_ctx_close(&ctx);
    return code;
}
