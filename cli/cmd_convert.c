/* cli/cmd_convert.c: `filigree convert IN... -o OUT`: model files into another format or type. */
#include <string.h>

#include "filigree/convert.h"
#include "report.h"
#include "video_run.h"

typedef struct convert_values {
    const char *output, *type, *names;
    int         trusted, force, json;
} convert_values;

static const char *const type_names[]  = {"bf16", "f16", "f32", "q8_0", NULL};
static const char *const style_names[] = {"keep", "original", "diffusers", NULL};

static fil_names names_of(const char *name)
{
    static const fil_names names[] = {FIL_NAMES_KEEP, FIL_NAMES_ORIGINAL, FIL_NAMES_DIFFUSERS};
    for (int i = 0; name != NULL && i < 3; i++)
        if (strcmp(name, style_names[i]) == 0) return names[i];
    return FIL_NAMES_AUTO;
}

static void tell_json(cli_out *out, const char *path, const fil_convert_result *r)
{
    cli_json_open(out, "convert");
    cli_json_text(out, "path", path);
    cli_json_text(out, "model", r->model);
    cli_json_number(out, "tensors", (uint64_t)r->tensors);
    cli_json_number(out, "copied", (uint64_t)r->copied);
    cli_json_number(out, "converted", (uint64_t)r->converted);
    cli_json_number(out, "quantised", (uint64_t)r->quantised);
    cli_json_number(out, "left_out", (uint64_t)r->left_out);
    cli_json_number(out, "bytes_in", r->bytes_in);
    cli_json_number(out, "bytes_out", r->bytes_out);
    cli_json_close(out);
}

static void tell_text(const cli_call *call, const char *path, const fil_convert_result *r)
{
    char in[CLI_HUMAN];
    char out[CLI_HUMAN];
    char left[64] = "";
    if (r->left_out > 0)
        snprintf(left, sizeof left, ", %lld of the source left out", (long long)r->left_out);
    cli_note(call->common,
             "%s: %s, %lld tensors (%lld copied, %lld converted, %lld quantised%s); %s of %s", path,
             r->model, (long long)r->tensors, (long long)r->copied, (long long)r->converted,
             (long long)r->quantised, left, cli_human(out, r->bytes_out),
             cli_human(in, r->bytes_in));
}

static int run_convert(const cli_call *call)
{
    const convert_values *v   = call->values;
    fil_ctx              *ctx = NULL;
    fil_convert_options   o;
    fil_convert_result    r;
    if (v->output == NULL)
        return cli_usage("convert: expected an output (-o FILE.safetensors or FILE.gguf), found "
                         "none");
    fil_convert_options_init(&o);
    o.flags    = v->trusted != 0 ? FIL_OPEN_TRUSTED : 0;
    o.inputs   = (const char *const *)call->args;
    o.n_inputs = call->n_args;
    o.output   = v->output;
    o.type     = cli_dtype_of(v->type);
    o.names    = names_of(v->names);
    o.replace  = v->force != 0;
    int code   = cli_open_context_for_run(call->common, &ctx);
    if (code == CLI_EXIT_DONE) {
        if (fil_convert(ctx, &o, &r) != FIL_OK)
            code = cli_failed(ctx, NULL);
        else if (v->json != 0)
            tell_json(call->out, o.output, &r);
        else
            tell_text(call, o.output, &r);
    }
    fil_ctx_close(&ctx);
    return code;
}

#define AT(field) offsetof(convert_values, field)

static const cli_option options[] = {
    CLI_TEXT_OPTION("output", 'o', "FILE", "write FILE.safetensors or FILE.gguf", AT(output)),
    CLI_CHOICE_OPTION("type", "TYPE",
                      "of the matrices: bf16, f16, f32, or q8_0 in a GGUF; default: as they are",
                      AT(type), type_names),
    CLI_CHOICE_OPTION("names", "STYLE",
                      "names of tensors: keep, original or diffusers; default: what readers of the "
                      "format look for",
                      AT(names), style_names),
    CLI_FLAG_OPTION("trusted", "for files of your own: follow symbolic links beside an index",
                    AT(trusted)),
    CLI_FLAG_OPTION("force", "replace a file that exists", AT(force)),
    CLI_FLAG_OPTION("json", "print one JSON object on stdout", AT(json)),
};

const cli_verb cli_verb_convert = {
    .name      = "convert",
    .summary   = "write a model file in another format or type",
    .args      = "FILE...",
    .min_args  = 1,
    .max_args  = 1024,
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes =
        "FILE is a .safetensors file, the index of a sharded model, a PyTorch checkpoint (.pth) or "
        "a GGUF file; several are the shards of one model. Tensors pass one after the other, so "
        "that any model fits into memory, and the output appears whole or not at all.\n"
        "\n"
        "Small tensors on which much hangs (biases, norms, modulation) keep a float type; with "
        "q8_0 the matrices of a transformer's blocks and those of a text encoder become blocks of "
        "8 bits, about half of bf16. What is widened loses nothing.\n"
        "\n"
        "examples:\n"
        "  filigree convert model.safetensors.index.json -o wan.safetensors --type bf16\n"
        "  filigree convert wan.safetensors -o wan-q8_0.gguf --type q8_0\n"
        "  filigree generate -m DIR --dit wan-q8_0.gguf -p \"A fox.\" -o fox.mp4\n",
    .run = run_convert,
};
