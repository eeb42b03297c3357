/* cli/cmd_generate.c: `filigree generate -m DIR -p PROMPT -o OUT.mp4`. Hands the options to
 * fil_generate; --plan stops where the work would begin and prints what it would be.
 */
#include "generate.h"
#include "many.h"
#include "plan_report.h"
#include "progress.h"
#include "report.h"

_Static_assert(sizeof(generate_values) <= CLI_VALUES, "main.c has room for the values");

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
    generate_take_savings(v, o);
}

static void tell_stopped(const fil_generate_options *o, const fil_video_result *r,
                         fil_status status)
{
    char word[4096];
    if (o->checkpoint == NULL || r->saved_step < 0) {
        if (status == FIL_E_CANCELLED)
            cli_error("note: nothing was saved; the same command begins anew");
        return;
    }
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

int generate_plan_or_run(const cli_call *call, fil_ctx *ctx, fil_model *model,
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
        tell_stopped(o, &r, status);
        return code;
    }
    cli_tell_saves("the run", r.saves, r.save_failures);
    cli_tell_run(call, v->json, o->video, &r);
    return CLI_EXIT_DONE;
}

void generate_tell_events(const cli_call *call)
{
    const generate_values *v = call->values;
    if (v->json != 0 && v->plan == 0) cli_progress_events(call->out);
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
    generate_places        at;
    if (v->resume != NULL && v->recipe != NULL)
        return cli_usage("generate: expected --resume or --recipe, found both");
    if (v->resume != NULL || v->recipe != NULL) return generate_run_again(call);
    int never = 0;
    int code  = check_words(v);
    if (code == CLI_EXIT_DONE) code = cli_attn_take(&v->attn, &policy);
    if (code == CLI_EXIT_DONE) code = cli_run_take(&v->run, timesteps, sigmas, &o);
    if (code != CLI_EXIT_DONE) return code;
    policy.measure_recall = v->measure_recall != 0;
    o.policy              = &policy;
    fill_rest(v, &o);
    generate_take_text_cache(v, &o, &at);
    code = v->prompt_file != NULL ? generate_take_rhythm(v->checkpoint_every, &o, &never)
                                  : generate_take_checkpoint(v, &o, &at);
    if (code != CLI_EXIT_DONE) return code;
    generate_tell_events(call);
    code = cli_open_model(call->common, &v->model, "generate", &ctx, &model);
    if (code == CLI_EXIT_DONE)
        code = v->prompt_file != NULL ? run_many(call, ctx, model, &o, never)
                                      : generate_plan_or_run(call, ctx, model, &o);
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
    CLI_TEXT_OPTION(
        "recipe", 0, "FILE",
        "repeat the run that OUTPUT.json tells of, or the video itself; outputs may be other ones",
        AT(recipe)),
    CLI_TEXT_OPTION("text-cache", 0, "DIR",
                    "keep what the text encoder gives in this folder and take it from there, or "
                    "off; default: filigree/text in XDG_CACHE_HOME or ~/.cache",
                    AT(text_cache)),
    CLI_TILES_OPTION(AT),
    CLI_FLAG_OPTION("stream-weights",
                    "read the transformer's layers in each pass instead of keeping them; default: "
                    "only where --max-memory or --max-vram asks for it",
                    AT(stream_weights)),
    CLI_FLAG_OPTION("plan", "check everything, print work, memory, bytes on disk and time, and end",
                    AT(plan)),
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
        "with the same seed. One that comes to nothing leaves the others be, and is named at the "
        "end; "
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
