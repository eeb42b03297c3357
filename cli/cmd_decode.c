/* cli/cmd_decode.c: `filigree decode -m DIR -i LATENTS -o OUT.mp4`: the end of a run alone. */
#include "progress.h"
#include "report.h"
#include "video_run.h"

typedef struct decode_values {
    cli_model   model;
    const char *input, *output, *save_frames, *preset, *precision;
    int64_t     fps, crf;
    int         vae_tiles, force, json, resume;
} decode_values;

/* Frames that are decoded lie beside what they are for. */
static int take_kept(const decode_values *v, fil_decode_options *o, char kept[CLI_PLACE])
{
    o->kept   = kept;
    o->resume = v->resume != 0;
    if (cli_beside(kept, v->output != NULL ? v->output : v->save_frames, ".frames"))
        return CLI_EXIT_DONE;
    return cli_usage("decode: the name of the output is too long");
}

static int run_or_tell(const cli_call *call, fil_ctx *ctx, fil_model *model,
                       const fil_decode_options *o)
{
    const decode_values *v = call->values;
    fil_video_result     r;
    if (fil_decode(model, o, &r) == FIL_OK) {
        cli_tell_run(call, v->json, o->video, &r);
        return CLI_EXIT_DONE;
    }
    const int code = cli_failed(ctx, NULL);
    if (r.kept_frames > 0)
        cli_error("note: %d frame%s kept; the same command with --resume goes on behind %s",
                  (int)r.kept_frames, r.kept_frames == 1 ? " is" : "s are",
                  r.kept_frames == 1 ? "it" : "them");
    if (r.kept_tiles > 0)
        cli_error("note: what was decoded of %d tile%s is kept; the same command with --resume "
                  "goes on behind it",
                  (int)r.kept_tiles, r.kept_tiles == 1 ? "" : "s");
    return code;
}

static int run_decode(const cli_call *call)
{
    const decode_values *v     = call->values;
    fil_ctx             *ctx   = NULL;
    fil_model           *model = NULL;
    fil_decode_options   o;
    char                 kept[CLI_PLACE];
    if (v->input == NULL)
        return cli_usage("decode: expected latents (-i FILE.safetensors), found none");
    if (v->output == NULL && v->save_frames == NULL)
        return cli_usage("decode: expected an output (-o FILE.mp4), found none");
    fil_decode_options_init(&o);
    o.latents     = v->input;
    o.video       = v->output;
    o.save_frames = v->save_frames;
    o.preset      = cli_preset_of(v->preset);
    o.precision   = cli_precision_of(v->precision);
    o.replace     = v->force != 0;
    if (v->vae_tiles != 0) o.vae_tiles = 1;
    if (v->fps != 0) o.fps = (int32_t)v->fps;
    if (v->crf != 0) o.crf = (int32_t)v->crf;
    int code = take_kept(v, &o, kept);
    if (v->json != 0) cli_progress_events(call->out);
    if (code == CLI_EXIT_DONE)
        code = cli_open_model(call->common, &v->model, "decode", &ctx, &model);
    if (code == CLI_EXIT_DONE) code = run_or_tell(call, ctx, model, &o);
    fil_model_close(&model);
    fil_ctx_close(&ctx);
    return code;
}

#define AT(field) offsetof(decode_values, field)

static const cli_option options[] = {
    CLI_TEXT_OPTION("model", 'm', "DIR", "model folder", AT(model.dir)),
    CLI_TEXT_OPTION("vae", 0, "PATH", "take the VAE from this file or folder", AT(model.vae)),
    CLI_FLAG_OPTION("trusted", "for files of your own: follow symbolic links, map files",
                    AT(model.trusted)),
    CLI_TEXT_OPTION("input", 'i', "FILE", "latents as --save-latents writes them", AT(input)),
    CLI_OUTPUT_OPTION(AT),
    CLI_FILE_OPTIONS(AT),
    CLI_TEXT_OPTION("save-frames", 0, "FILE", "write the frames as safetensors", AT(save_frames)),
    CLI_CHOICE_OPTION("preset", "NAME",
                      "how bytes are made: official cuts off, diffusers rounds; default official",
                      AT(preset), cli_preset_names),
    CLI_CHOICE_OPTION("precision", "TYPE", "of products: bf16 or f32; default bf16", AT(precision),
                      cli_precision_names),
    CLI_FLAG_OPTION("resume", "go on with a decode that was stopped, from OUTPUT.frames",
                    AT(resume)),
    CLI_TILES_OPTION(AT),
    CLI_FLAG_OPTION("force", "replace files that exist", AT(force)),
    CLI_FLAG_OPTION("json", "print JSON on stdout: what happens, one object a line, and the result",
                    AT(json)),
};

const cli_verb cli_verb_decode = {
    .name      = "decode",
    .summary   = "make a video of saved latents with the VAE",
    .args      = "",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes = "Goes on where a run of generate ended before its video was written, and needs the "
             "VAE alone.\n"
             "\n"
             "example:\n"
             "  filigree decode -m Wan2.1-T2V-1.3B -i fox.mp4.latents.safetensors -o fox.mp4\n",
    .run   = run_decode,
};
