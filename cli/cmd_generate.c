/* cli/cmd_generate.c: `filigree generate -m DIR -p PROMPT -o OUT.mp4`. Hands the options to
 * fil_generate; --plan stops where the work would begin and prints what it would be.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attn_options.h"
#include "many.h"
#include "plan_report.h"
#include "progress.h"
#include "report.h"
#include "run_options.h"

typedef struct generate_values {
    cli_model   model;
    cli_run     run;
    const char *prompt, *prompt_file, *output;
    int64_t     fps, crf;
    const char *noise, *save_noise, *save_latents, *save_frames;
    const char *capture, *capture_to;
    const char *checkpoint_every, *resume, *recipe;
    int64_t     preview;
    const char *text_cache;
    int         vae_tiles, stream_weights;
    int         plan, force, json, goes_on;
    cli_attn    attn;
    int         measure_recall;
} generate_values;

_Static_assert(sizeof(generate_values) <= CLI_VALUES, "main.c has room for the values");

/* Not asked for: where the limit of memory asks for it. */
static void take_savings(const generate_values *v, fil_generate_options *o)
{
    if (v->vae_tiles != 0) o->vae_tiles = 1;
    if (v->stream_weights != 0) o->stream_weights = 1;
}

static void fill_rest(const generate_values *v, fil_generate_options *o)
{
    cli_take_number(&o->fps, v->fps);
    cli_take_number(&o->crf, v->crf);
    o->prompt       = v->prompt;
    o->noise        = v->noise;
    o->video        = v->output;
    o->save_noise   = v->save_noise;
    o->save_latents = v->save_latents;
    o->save_frames  = v->save_frames;
    o->capture      = v->capture;
    o->capture_to   = v->capture_to;
    o->replace      = v->force != 0;
    o->event        = cli_progress_event;
    take_savings(v, o);
}

/* ---- saving and going on -------------------------------------------------------------------- */

/* "5": steps; "60s": seconds; "never". */
static int take_rhythm(const char *text, fil_generate_options *o, int *never)
{
    char        *end   = NULL;
    const double n     = text != NULL && *text >= '0' && *text <= '9' ? strtod(text, &end) : -1.0;
    const bool   plain = end != NULL && end == text + strspn(text, "0123456789.");
    *never             = text != NULL && strcmp(text, "never") == 0;
    if (text == NULL || *never) return CLI_EXIT_DONE;
    o->checkpoint_steps   = FIL_AUTO; /* a recipe's own does not stay beside it */
    o->checkpoint_seconds = FIL_AUTO;
    if (plain && strcmp(end, "s") == 0 && n <= 1e9)
        o->checkpoint_seconds = n;
    else if (plain && *end == '\0' && n >= 1.0 && n <= 1000.0 && floor(n) == n)
        o->checkpoint_steps = (int32_t)n;
    else
        return cli_usage("option --checkpoint-every: expected steps (5), seconds (60s) or never, "
                         "found '%.40s'",
                         text);
    return CLI_EXIT_DONE;
}

/* Names of files beside the output, and of the cache's folder. */
typedef struct places {
    char checkpoint[CLI_PLACE], recipe[CLI_PLACE], preview[CLI_PLACE], text_cache[CLI_PLACE];
} places;

static int name_beside(char place[CLI_PLACE], const char *output, const char *ending)
{
    if (cli_beside(place, output, ending)) return CLI_EXIT_DONE;
    return cli_usage("generate: the name of the output is too long");
}

/* Where programs keep what they can make anew (XDG base directories); without a home, nowhere. */
static void take_text_cache(const generate_values *v, fil_generate_options *o, places *at)
{
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int         n    = -1;
    o->text_cache    = v->text_cache;
    if (v->text_cache != NULL) {
        if (strcmp(v->text_cache, "off") == 0) o->text_cache = NULL;
        return;
    }
    if (base != NULL && base[0] == '/')
        n = snprintf(at->text_cache, sizeof at->text_cache, "%s/filigree/text", base);
    else if (home != NULL && home[0] == '/')
        n = snprintf(at->text_cache, sizeof at->text_cache, "%s/.cache/filigree/text", home);
    if (n > 0 && (size_t)n < sizeof at->text_cache) o->text_cache = at->text_cache;
}

/* A video has its recipe beside it. */
static int take_sidecar(fil_generate_options *o, places *at)
{
    if (o->video == NULL) return CLI_EXIT_DONE;
    const int code = name_beside(at->recipe, o->video, ".json");
    o->save_recipe = at->recipe;
    return code;
}

static int take_preview(const generate_values *v, fil_generate_options *o, places *at)
{
    const char *beside = cli_main_output(o);
    if (v->preview == 0 || beside == NULL) return CLI_EXIT_DONE;
    o->preview       = at->preview;
    o->preview_steps = (int32_t)v->preview;
    return name_beside(at->preview, beside, ".preview.png");
}

static int take_checkpoint(const generate_values *v, fil_generate_options *o, places *at)
{
    const char *beside = cli_main_output(o);
    int         never  = 0;
    int         code   = take_rhythm(v->checkpoint_every, o, &never);
    if (code == CLI_EXIT_DONE) code = take_sidecar(o, at);
    if (code == CLI_EXIT_DONE) code = take_preview(v, o, at);
    if (code != CLI_EXIT_DONE || never || beside == NULL) return code;
    o->checkpoint = at->checkpoint;
    return name_beside(at->checkpoint, beside, ".resume.safetensors");
}

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

static void tell_saved(const fil_video_result *r)
{
    if (r->save_failures > 0)
        cli_error("note: the run could not be saved %d time%s; it was %d time%s",
                  (int)r->save_failures, r->save_failures == 1 ? "" : "s", (int)r->saves,
                  r->saves == 1 ? "" : "s");
}

static void tell_stopped(const fil_generate_options *o, const fil_video_result *r)
{
    char word[4096];
    if (o->checkpoint == NULL || r->saved_step < 0) return;
    cli_error("note: saved after %d step%s; go on with: filigree generate --resume %s",
              (int)r->saved_step, r->saved_step == 1 ? "" : "s",
              cli_shell_word(word, sizeof word, o->checkpoint));
}

/* ---- the verb ------------------------------------------------------------------------------- */

static void tell_plan(const cli_call *call, const fil_plan *p)
{
    const generate_values *v = call->values;
    cli_tell_plan(call->out, v->json, p);
}

static int plan_or_run(const cli_call *call, fil_ctx *ctx, fil_model *model,
                       const fil_generate_options *o)
{
    const generate_values *v = call->values;
    fil_plan               p;
    fil_video_result       r;
    if (v->plan != 0) {
        if (fil_generate_estimate(model, o, &p) != FIL_OK) return cli_failed(ctx, NULL);
        tell_plan(call, &p);
        return CLI_EXIT_DONE;
    }
    const fil_status status = fil_generate(model, o, &r);
    if (status != FIL_OK) {
        const int code = cli_failed(ctx, NULL);
        tell_stopped(o, &r);
        return code;
    }
    tell_saved(&r);
    cli_tell_run(call, v->json, o->video, &r);
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
static int take_saved(const generate_values *v, fil_generate_options *o, places *at)
{
    int never = 0;
    int code  = v->resume != NULL ? take_rhythm(v->checkpoint_every, o, &never) : CLI_EXIT_DONE;
    o->replace |= v->force != 0;
    o->event = cli_progress_event;
    take_text_cache(v, o, at);
    take_savings(v, o);
    if (v->resume != NULL) {
        o->resume     = v->resume;
        o->checkpoint = never ? NULL : v->resume;
        if (code == CLI_EXIT_DONE) code = take_preview(v, o, at);
        return code != CLI_EXIT_DONE ? code : take_sidecar(o, at);
    }
    o->replace = v->force != 0; /* by the word of this call, not of a file */
    take_outputs(v, o);
    return take_checkpoint(v, o, at);
}

static void tell_events(const cli_call *call)
{
    const generate_values *v = call->values;
    if (v->json != 0 && v->plan == 0) cli_progress_events(call->out);
}

static int run_saved(const cli_call *call)
{
    const generate_values *v      = call->values;
    fil_ctx               *ctx    = NULL;
    fil_model             *model  = NULL;
    fil_recipe            *recipe = NULL;
    places                 at;
    int                    code = refuse_beside_recipe(v);
    tell_events(call);
    if (code == CLI_EXIT_DONE) code = cli_open_context_for_run(call->common, &ctx);
    if (code != CLI_EXIT_DONE) return code;
    if (fil_recipe_open(ctx, v->resume != NULL ? v->resume : v->recipe, &recipe) != FIL_OK) {
        code = cli_failed(ctx, NULL);
    } else {
        fil_generate_options o = *fil_recipe_generate(recipe);
        code                   = take_saved(v, &o, &at);
        if (code == CLI_EXIT_DONE)
            code = cli_open_saved_model(ctx, &v->model, fil_recipe_model(recipe), v->resume != NULL,
                                        &model);
        if (code == CLI_EXIT_DONE) code = plan_or_run(call, ctx, model, &o);
    }
    fil_model_close(&model);
    fil_recipe_close(&recipe);
    fil_ctx_close(&ctx);
    return code;
}

/* For --prompt-file names are made for each prompt. */
static int run_many(const cli_call *call, fil_ctx *ctx, fil_model *model, fil_generate_options *o,
                    int never)
{
    const generate_values *v   = call->values;
    const cli_many_how     how = {.prompt_file = v->prompt_file,
                                  .resumes     = v->goes_on,
                                  .saves       = never == 0,
                                  .plan        = v->plan,
                                  .json        = v->json,
                                  .tell_plan   = tell_plan};
    o->preview_steps           = (int32_t)v->preview;
    return cli_generate_many(call, ctx, model, o, &how);
}

static int check_words(const generate_values *v)
{
    if (v->prompt == NULL && v->prompt_file == NULL)
        return cli_usage("generate: expected a prompt (-p TEXT), found none");
    if (v->prompt != NULL && v->prompt_file != NULL)
        return cli_usage("generate: expected --prompt or --prompt-file, found both");
    if (v->goes_on != 0 && v->prompt_file == NULL)
        return cli_usage("generate: --continue is for --prompt-file; a single run goes on with "
                         "--resume");
    if (v->output == NULL && v->save_latents == NULL && v->save_frames == NULL)
        return cli_usage("generate: expected an output (-o FILE.mp4), found none");
    return CLI_EXIT_DONE;
}

static int run_generate(const cli_call *call)
{
    const generate_values *v     = call->values;
    fil_ctx               *ctx   = NULL;
    fil_model             *model = NULL;
    fil_generate_options   o;
    fil_policy_options     policy;
    double                 timesteps[CLI_LIST];
    double                 sigmas[CLI_LIST];
    places                 at;
    if (v->resume != NULL && v->recipe != NULL)
        return cli_usage("generate: expected --resume or --recipe, found both");
    if (v->resume != NULL || v->recipe != NULL) return run_saved(call);
    int never = 0;
    int code  = check_words(v);
    if (code == CLI_EXIT_DONE) code = cli_attn_take(&v->attn, &policy);
    if (code == CLI_EXIT_DONE) code = cli_run_take(&v->run, timesteps, sigmas, &o);
    if (code != CLI_EXIT_DONE) return code;
    policy.measure_recall = v->measure_recall != 0;
    o.policy              = &policy;
    fill_rest(v, &o);
    take_text_cache(v, &o, &at);
    code = v->prompt_file != NULL ? take_rhythm(v->checkpoint_every, &o, &never)
                                  : take_checkpoint(v, &o, &at);
    if (code != CLI_EXIT_DONE) return code;
    tell_events(call);
    code = cli_open_model(call->common, &v->model, "generate", &ctx, &model);
    if (code == CLI_EXIT_DONE)
        code = v->prompt_file != NULL ? run_many(call, ctx, model, &o, never)
                                      : plan_or_run(call, ctx, model, &o);
    fil_model_close(&model);
    fil_ctx_close(&ctx);
    return code;
}

#define AT(field)   offsetof(generate_values, field)
#define RUN(field)  offsetof(generate_values, run.field)
#define ATTN(field) offsetof(generate_values, attn.field)

static const cli_option options[] = {
    CLI_TEXT_OPTION("model", 'm', "DIR",
                    "model folder as published: original, diffusers, or ComfyUI's files",
                    AT(model.dir)),
    CLI_TEXT_OPTION("dit", 0, "PATH", "take the transformer from this file, index or folder",
                    AT(model.dit)),
    CLI_TEXT_OPTION("t5", 0, "PATH", "take the text encoder from there", AT(model.t5)),
    CLI_TEXT_OPTION("vae", 0, "PATH", "take the VAE from there", AT(model.vae)),
    CLI_TEXT_OPTION("tokenizer", 0, "PATH", "take spiece.model from this file or folder",
                    AT(model.tokenizer)),
    CLI_FLAG_OPTION("trusted",
                    "for files of your own: use bf16 weights in place, follow symbolic links",
                    AT(model.trusted)),
    CLI_TEXT_OPTION("prompt", 'p', "TEXT", "what the video shows", AT(prompt)),
    CLI_TEXT_OPTION("prompt-file", 0, "FILE",
                    "instead: a video for each line of a file, in one load; outputs are numbered, "
                    "OUT.mp4: OUT-001.mp4, DIR/%05d.png: DIR-001/%05d.png",
                    AT(prompt_file)),
    CLI_FLAG_OPTION("continue",
                    "with --prompt-file: leave alone what stands, go on with what was begun",
                    AT(goes_on)),
    CLI_TEXT_OPTION("negative", 'n', "TEXT",
                    "what it should not show; default: official's own, diffusers: none",
                    RUN(negative)),
    CLI_OUTPUT_OPTION(AT),
    CLI_SIZE_OPTIONS(RUN),
    CLI_FILE_OPTIONS(AT),
    CLI_SAMPLER_OPTIONS(RUN),
    CLI_CHOICE_OPTION("preset", "NAME",
                      "whose run is repeated, official or diffusers: grid, shift, negative prompt, "
                      "rounding of bytes; default official",
                      RUN(preset), cli_preset_names),
    CLI_NUMBER_OPTION("seed", 0, "N", "seed of the noise, that of torch on a CPU; default 0",
                      RUN(seed), 0, INT64_MAX),
    CLI_TEXT_OPTION("noise", 0, "FILE", "take the noise from a safetensors file instead",
                    AT(noise)),
    CLI_TEXT_OPTION("save-noise", 0, "FILE", "write the noise as safetensors", AT(save_noise)),
    CLI_TEXT_OPTION("save-latents", 0, "FILE",
                    "write the latents as safetensors, before they are decoded", AT(save_latents)),
    CLI_TEXT_OPTION("save-frames", 0, "FILE", "write the frames as safetensors", AT(save_frames)),
    CLI_TEXT_OPTION("capture", 0, "WHICH",
                    "write q, k, v of self-attentions, LAYERS:STEPS or LAYERS:STEPS:PASSES: "
                    "0,5,10-12:4 or all:0:1; without PASSES those of the prompt, 0",
                    AT(capture)),
    CLI_TEXT_OPTION("capture-to", 0, "DIR",
                    "captures go there; default: beside the output, OUTPUT.layer003_...",
                    AT(capture_to)),
    CLI_CHOICE_OPTION("precision", "TYPE", "of products: bf16 or f32; default bf16", RUN(precision),
                      cli_precision_names),
    CLI_ATTN_OPTIONS(ATTN),
    CLI_FLAG_OPTION("measure-recall",
                    "measure exactly how much of the attention each choice keeps; slow",
                    AT(measure_recall)),
    CLI_TEXT_OPTION("checkpoint-every", 0, "WHEN",
                    "save the run every 5 steps (5), after 60 seconds (60s), or never; default 60s",
                    AT(checkpoint_every)),
    CLI_NUMBER_OPTION("preview", 0, "K",
                      "every K steps, and after the last, write a small picture of where it is "
                      "going: OUTPUT.preview.png",
                      AT(preview), 1, 1000),
    CLI_TEXT_OPTION("resume", 0, "FILE",
                    "go on with a run that was stopped, from OUTPUT.resume.safetensors",
                    AT(resume)),
    CLI_TEXT_OPTION("recipe", 0, "FILE",
                    "repeat the run that OUTPUT.json tells of; outputs may be other ones",
                    AT(recipe)),
    CLI_TEXT_OPTION("text-cache", 0, "DIR",
                    "keep what the text encoder gives in this folder and take it from there, or "
                    "off; default: filigree/text in XDG_CACHE_HOME or ~/.cache",
                    AT(text_cache)),
    CLI_TILES_OPTION(AT),
    CLI_FLAG_OPTION("stream-weights",
                    "read the transformer's layers in each pass instead of keeping them; default: "
                    "only where --max-memory asks for it",
                    AT(stream_weights)),
    CLI_FLAG_OPTION("plan", "check everything, print work, memory and time, and end", AT(plan)),
    CLI_FLAG_OPTION("force", "replace files that exist", AT(force)),
    CLI_FLAG_OPTION("json", "print JSON on stdout: what happens, one object a line, and the result",
                    AT(json)),
};

const cli_verb cli_verb_generate = {
    .name      = "generate",
    .summary   = "render a video from a prompt with a Wan2.1 checkpoint",
    .args      = "",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes =
        "Everything is checked before any work starts. Latents are on disk before the first frame "
        "is decoded: without --save-latents as OUTPUT.latents.safetensors, removed when the video "
        "stands. Same seed, same bits, for any number of threads.\n"
        "\n"
        "The run is saved as OUTPUT.resume.safetensors every minute, when it is told to stop "
        "(Ctrl-C, SIGTERM, SIGHUP; a second one ends at once), and before frames are decoded. "
        "--resume "
        "FILE goes on from there, needs nothing else, and gives the bits of a run that was never "
        "stopped.\n"
        "\n"
        "--prompt-file makes several videos in one load of the model, one for each line; empty "
        "lines and those that begin with # do not count. Each has the bits of a run by itself, "
        "with the same seed. One that comes to nothing leaves the others be, and is named at the end; "
        "no memory, a full disk or a stop end the list, which goes on with the same command and "
        "--continue.\n"
        "\n"
        "Beside a video lies OUTPUT.json: all options, and how the run went. --recipe repeats it. "
        "Videos and pictures carry the settings that made them, and nothing that tells where files "
        "lie.\n"
        "\n"
        "examples:\n"
        "  filigree generate -m Wan2.1-T2V-1.3B -p \"A red fox in the snow.\" --cfg 6 --shift 8 "
        "\\\n"
        "      -o fox.mp4\n"
        "  filigree generate -m Wan2.1-T2V-1.3B -p \"A red fox in the snow.\" --plan -o fox.mp4\n",
    .run = run_generate,
};
