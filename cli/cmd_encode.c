/* cli/cmd_encode.c: `filigree encode -m DIR -i VIDEO -o LATENTS`: frames to latents. */
#include "progress.h"
#include "report.h"
#include "video_run.h"

typedef struct encode_values {
    cli_model   model;
    const char *input, *output, *precision;
    int64_t     frames;
    int         force, json;
} encode_values;

static int run_encode(const cli_call *call)
{
    const encode_values *v     = call->values;
    fil_ctx             *ctx   = NULL;
    fil_model           *model = NULL;
    fil_encode_options   o;
    fil_video_result     r;
    if (v->input == NULL) return cli_usage("encode: expected a video (-i FILE), found none");
    if (v->output == NULL)
        return cli_usage("encode: expected an output (-o FILE.safetensors), found none");
    fil_encode_options_init(&o);
    o.input     = v->input;
    o.latents   = v->output;
    o.precision = cli_precision_of(v->precision);
    o.replace   = v->force != 0;
    if (v->frames != 0) o.frames = (int32_t)v->frames;
    if (v->json != 0) cli_progress_events(call->out);
    int code = cli_open_model(call->common, &v->model, "encode", &ctx, &model);
    if (code == CLI_EXIT_DONE) {
        if (fil_encode(model, &o, &r) != FIL_OK)
            code = cli_failed(ctx, NULL);
        else
            cli_tell_run(call, v->json, o.latents, &r);
    }
    fil_model_close(&model);
    fil_ctx_close(&ctx);
    return code;
}

#define AT(field) offsetof(encode_values, field)

static const cli_option options[] = {
    CLI_TEXT_OPTION("model", 'm', "DIR", "model folder", AT(model.dir)),
    CLI_TEXT_OPTION("vae", 0, "PATH", "take the VAE from this file or folder", AT(model.vae)),
    CLI_FLAG_OPTION("trusted", "for files of your own: follow symbolic links, map files",
                    AT(model.trusted)),
    CLI_TEXT_OPTION("input", 'i', "FILE",
                    "a video file, a .png, DIR/%05d.png, or a .safetensors with frames as "
                    "--save-frames writes them",
                    AT(input)),
    CLI_TEXT_OPTION("output", 'o', "FILE", "write the latents as safetensors", AT(output)),
    CLI_NUMBER_OPTION("frames", 0, "N", "take the first 4n + 1 frames; default: all that fit",
                      AT(frames), 1, 100001),
    CLI_CHOICE_OPTION("precision", "TYPE", "of products: bf16 or f32; default bf16", AT(precision),
                      cli_precision_names),
    CLI_FLAG_OPTION("force", "replace files that exist", AT(force)),
    CLI_FLAG_OPTION("json", "print JSON on stdout: what happens, one object a line, and the result",
                    AT(json)),
};

const cli_verb cli_verb_encode = {
    .name      = "encode",
    .summary   = "make latents of a video with the VAE",
    .args      = "",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     = "Needs the VAE alone. The latents are the mean of the encoder's distribution, "
                 "normalised as the transformer takes them. The sides of the pictures are "
                 "multiples of 8.\n"
                 "\n"
                 "example:\n"
                 "  filigree encode -m Wan2.1-T2V-1.3B -i fox.mp4 -o fox.safetensors\n",
    .run       = run_encode,
};
