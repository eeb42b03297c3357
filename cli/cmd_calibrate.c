/* cli/cmd_calibrate.c: `filigree calibrate -m DIR --prompt-file FILE -o TOPOLOGY`. Hands the
 * options to fil_calibrate, tells memory and bytes before, and after each prompt how much it still
 * added.
 */
#include <math.h>
#include <string.h>

#include "attn_options.h"
#include "filigree/calibrate.h"
#include "progress.h"
#include "report.h"
#include "run_options.h"

typedef struct calibrate_values {
    cli_model   model;
    cli_run     run;
    const char *prompt_file, *output;
    const char *order, *map, *hellinger, *budgets;
    int64_t     block, step_groups, levels, rows;
    double      density, fidelity;
    int         split, plan, force, json;
} calibrate_values;

_Static_assert(sizeof(calibrate_values) <= CLI_VALUES, "main.c has room for the values");

static const char *const map_names[]       = {"union", "mean", NULL};
static const char *const hellinger_names[] = {"renorm", "raw", NULL};

/* ---- options -------------------------------------------------------------------------------- */

static void fill(const calibrate_values *v, fil_calibrate_options *o)
{
    fil_calibrate_options_init(o);
    o->prompt_file = v->prompt_file;
    o->output      = v->output;
    o->replace     = v->force != 0;
    o->order       = v->order;
    cli_take_number(&o->block, v->block);
    cli_take_number(&o->step_groups, v->step_groups);
    cli_take_number(&o->levels, v->levels);
    cli_take_number(&o->rows, v->rows);
    o->split    = v->split != 0;
    o->map      = v->map;
    o->fidelity = v->hellinger;
    o->budgets  = v->budgets;
    if (v->density > 0.0) o->density = v->density;
    if (v->fidelity > 0.0) o->wanted_fidelity = v->fidelity;
}

/* ---- the plan ------------------------------------------------------------------------------- */

static void plan_json(cli_out *out, const fil_calibrate_plan *p)
{
    cli_json_open(out, "plan");
    cli_json_number(out, "prompts", (uint64_t)p->prompts);
    cli_json_number(out, "done", (uint64_t)p->done);
    cli_json_text(out, "sampler", p->run.sampler);
    cli_json_text(out, "grid", p->run.grid);
    cli_json_number(out, "steps", (uint64_t)p->steps);
    cli_json_number(out, "passes", (uint64_t)p->passes);
    cli_json_real(out, "shift", p->run.shift);
    cli_json_number(out, "layers", (uint64_t)p->layers);
    cli_json_number(out, "heads", (uint64_t)p->heads);
    cli_json_number(out, "tokens", (uint64_t)p->tokens);
    cli_json_number(out, "block", (uint64_t)p->block);
    cli_json_number(out, "blocks", (uint64_t)p->blocks);
    cli_json_number(out, "step_groups", (uint64_t)p->groups);
    cli_json_number(out, "map_passes", (uint64_t)p->map_passes);
    cli_json_number(out, "levels", (uint64_t)p->levels);
    cli_json_number(out, "rows", (uint64_t)p->rows);
    cli_json_real(out, "tflop", p->flops * 1e-12);
    cli_json_number(out, "file_bytes", p->file_bytes);
    cli_json_number(out, "state_bytes", p->state_bytes);
    cli_json_number(out, "measure_bytes", p->measure_bytes);
    cli_json_number(out, "peak_bytes", p->peak_bytes);
    cli_json_close(out);
}

/* Each line through `say`: to stdout for --plan, as a note before the work. */
static void plan_text(const fil_calibrate_plan *p, void (*say)(cli_out *, const char *),
                      cli_out                  *out)
{
    char line[256];
    char a[CLI_HUMAN];
    char b[CLI_HUMAN];
    char c[CLI_HUMAN];
    snprintf(line, sizeof line,
             "prompts     %d and a profile, %d done; %s on %s, %d step%s of %d "
             "pass%s, shift %g",
             (int)p->prompts, (int)p->done, p->run.sampler, p->run.grid, (int)p->steps,
             p->steps == 1 ? "" : "s", (int)p->passes, p->passes == 1 ? "" : "es", p->run.shift);
    say(out, line);
    snprintf(line, sizeof line,
             "maps        %d layer%s x %d step group%s x %d head%s, %d blocks "
             "of %d, %d levels%s",
             (int)p->layers, p->layers == 1 ? "" : "s", (int)p->groups, p->groups == 1 ? "" : "s",
             (int)p->heads, p->heads == 1 ? "" : "s", (int)p->blocks, (int)p->block, (int)p->levels,
             p->map_passes > 1 ? ", for each pass" : "");
    say(out, line);
    snprintf(line, sizeof line, "work        %.3g TFLOP", p->flops * 1e-12);
    say(out, line);
    snprintf(line, sizeof line, "file        %s, state beside it %s", cli_human(a, p->file_bytes),
             cli_human(b, p->state_bytes));
    say(out, line);
    snprintf(line, sizeof line, "memory      %s: rendering %s, maps and masses %s",
             cli_human(a, p->peak_bytes), cli_human(b, p->run.peak_bytes),
             cli_human(c, p->measure_bytes));
    say(out, line);
}

static void say_out(cli_out *out, const char *line)
{
    cli_putf(out, "%s\n", line);
}

static void say_note(cli_out *out, const char *line)
{
    (void)out;
    cli_error("note: %s", line);
}

/* ---- the work ------------------------------------------------------------------------------- */

static void tell_prompt(void *user, const fil_calibrate_prompt *p)
{
    const cli_call         *call = user;
    const calibrate_values *v    = call->values;
    if (v->json != 0) {
        cli_json_open(call->out, "prompt");
        cli_json_number(call->out, "index", (uint64_t)p->index);
        cli_json_bool(call->out, "resumed", p->resumed != 0);
        cli_json_real(call->out, "seconds", p->seconds);
        cli_json_real(call->out, "added", p->added);
        cli_json_real(call->out, "kept", p->kept);
        cli_json_close(call->out);
        return;
    }
    char how[64];
    snprintf(how, sizeof how, p->resumed != 0 ? "done before" : "%.1f s", p->seconds);
    if (isnan(p->added))
        cli_note(call->common, "prompt %d of %d: %s", (int)p->index + 1, (int)p->prompts, how);
    else
        cli_note(call->common,
                 "prompt %d of %d: %s, %.3f %% of the mask bits added; masks of 90 %% of "
                 "the mass now keep %.2f %%",
                 (int)p->index + 1, (int)p->prompts, how, 100.0 * p->added, 100.0 * p->kept);
}

static void tell_result(const cli_call *call, const char *path, const fil_calibrate_result *r)
{
    const calibrate_values *v = call->values;
    char                    bytes[CLI_HUMAN];
    char                    peak[CLI_HUMAN];
    if (v->json != 0) {
        cli_json_open(call->out, "calibrate");
        cli_json_text(call->out, "path", path);
        cli_json_number(call->out, "prompts", (uint64_t)r->prompts);
        cli_json_number(call->out, "resumed", (uint64_t)r->resumed);
        cli_json_real(call->out, "density", r->density);
        cli_json_real(call->out, "fidelity", r->fidelity);
        cli_json_bool(call->out, "reachable", r->reachable != 0);
        cli_json_real(call->out, "beta", r->beta);
        cli_json_real(call->out, "gamma", r->gamma);
        cli_json_real(call->out, "omega", r->omega);
        cli_json_real(call->out, "seconds", r->seconds);
        cli_json_number(call->out, "file_bytes", r->file_bytes);
        cli_json_number(call->out, "peak_bytes", r->peak_bytes);
        cli_json_close(call->out);
        return;
    }
    cli_note(call->common,
             "%s: %s, %d prompt%s; %s budgets of density %.3f, fidelity %.3f%s; %.1f s, "
             "peak %s",
             path, cli_human(bytes, r->file_bytes), (int)r->prompts, r->prompts == 1 ? "" : "s",
             v->budgets != NULL ? v->budgets : "fast", r->density, r->fidelity,
             r->reachable != 0 ? "" : " (none are as sparse as was asked for)", r->seconds,
             cli_human(peak, r->peak_bytes));
}

static int plan_or_run(const cli_call *call, fil_ctx *ctx, fil_model *model,
                       const fil_calibrate_options *o)
{
    const calibrate_values *v = call->values;
    fil_calibrate_plan      p;
    fil_calibrate_result    r;
    if (fil_calibrate_check(model, o, &p) != FIL_OK) return cli_failed(ctx, NULL);
    if (v->json != 0)
        plan_json(call->out, &p);
    else if (v->plan != 0 || call->common->quiet == 0)
        plan_text(&p, v->plan != 0 ? say_out : say_note, call->out);
    if (v->plan != 0) return CLI_EXIT_DONE;
    if (fil_calibrate(model, o, &r) != FIL_OK) return cli_failed(ctx, NULL);
    tell_result(call, o->output, &r);
    return CLI_EXIT_DONE;
}

static int run_calibrate(const cli_call *call)
{
    const calibrate_values *v     = call->values;
    fil_ctx                *ctx   = NULL;
    fil_model              *model = NULL;
    fil_generate_options    run;
    fil_calibrate_options   o;
    double                  timesteps[CLI_LIST];
    double                  sigmas[CLI_LIST];
    cli_call                mine = *call;
    if (v->prompt_file == NULL)
        return cli_usage("calibrate: expected prompts (--prompt-file FILE), found none");
    if (v->output == NULL)
        return cli_usage("calibrate: expected an output (-o FILE.safetensors), found none");
    fill(v, &o);
    o.run         = &run;
    o.prompt_done = tell_prompt;
    o.user        = &mine;
    int code      = cli_run_take(&v->run, timesteps, sigmas, &run);
    if (v->json != 0 && v->plan == 0) cli_progress_events(call->out);
    if (code == CLI_EXIT_DONE)
        code = cli_open_model(call->common, &v->model, "calibrate", &ctx, &model);
    if (code == CLI_EXIT_DONE) code = plan_or_run(call, ctx, model, &o);
    fil_model_close(&model);
    fil_ctx_close(&ctx);
    return code;
}

#define AT(field)  offsetof(calibrate_values, field)
#define RUN(field) offsetof(calibrate_values, run.field)

static const cli_option options[] = {
    CLI_TEXT_OPTION("model", 'm', "DIR",
                    "model folder as published: original, diffusers, or ComfyUI's files",
                    AT(model.dir)),
    CLI_TEXT_OPTION("dit", 0, "PATH", "take the transformer from this file, index or folder",
                    AT(model.dit)),
    CLI_TEXT_OPTION("t5", 0, "PATH", "take the text encoder from there", AT(model.t5)),
    CLI_TEXT_OPTION("tokenizer", 0, "PATH", "take spiece.model from this file or folder",
                    AT(model.tokenizer)),
    CLI_FLAG_OPTION("trusted",
                    "for files of your own: use bf16 weights in place, follow symbolic links",
                    AT(model.trusted)),
    CLI_TEXT_OPTION("prompt-file", 0, "FILE", "prompts, one a line; 10 to 20 unlike ones will do",
                    AT(prompt_file)),
    CLI_TEXT_OPTION("output", 'o', "FILE", "write the topology: FILE.safetensors", AT(output)),
    CLI_TEXT_OPTION("negative", 'n', "TEXT",
                    "negative prompt; default: official's own, diffusers: none", RUN(negative)),
    CLI_SIZE_OPTIONS(RUN),
    CLI_SAMPLER_OPTIONS(RUN),
    CLI_CHOICE_OPTION("preset", "NAME",
                      "whose runs: official or diffusers, as in generate; default official",
                      RUN(preset), cli_preset_names),
    CLI_NUMBER_OPTION("seed", 0, "N", "seed of the first prompt, one more for each; default 0",
                      RUN(seed), 0, INT64_MAX),
    CLI_CHOICE_OPTION("precision", "TYPE", "of products: bf16 or f32; default bf16", RUN(precision),
                      cli_precision_names),
    CLI_TEXT_OPTION("order", 0, "NAME",
                    "of the tokens: raster, hilbert, hilbert-xyz, 'cubes TxHxW' or 'hilbert-cubes "
                    "TxHxW'; default hilbert-cubes 4x4x4",
                    AT(order)),
    CLI_NUMBER_OPTION("block", 0, "N",
                      "tokens of a block, 64 or 128; default 64, above 24 heads 128", AT(block), 64,
                      128),
    CLI_NUMBER_OPTION("step-groups", 0, "N", "steps share maps in N groups; default 10",
                      AT(step_groups), 1, 1000),
    CLI_FLAG_OPTION("split-passes", "maps for each pass of guidance; default: one for both",
                    AT(split)),
    CLI_CHOICE_OPTION("map", "KIND",
                      "union of the prompts' masks, or levels of their mean mass: union or mean; "
                      "default union",
                      AT(map), map_names),
    CLI_NUMBER_OPTION("levels", 0, "N", "levels of the maps, 2 to 128; default 64", AT(levels), 2,
                      128),
    CLI_NUMBER_OPTION("rows", 0, "N", "rows sampled for the profile, up to 256; default 16",
                      AT(rows), 1, 256),
    CLI_CHOICE_OPTION("hellinger", "KIND",
                      "fidelity with the kept mass renormalised or not: renorm or raw; default "
                      "renorm",
                      AT(hellinger), hellinger_names),
    CLI_CHOICE_OPTION("budgets", "KIND",
                      "how the file's budgets share the density: uniform, fast or error; default "
                      "fast",
                      AT(budgets), cli_budget_names),
    CLI_SHARE_OPTION("density", "density of the file's budgets; default 0.5", AT(density)),
    CLI_SHARE_OPTION("fidelity", "instead: mean fidelity that they are to keep", AT(fidelity)),
    CLI_FLAG_OPTION("plan", "check everything, print work, bytes and memory, and end", AT(plan)),
    CLI_FLAG_OPTION("force", "replace files that exist", AT(force)),
    CLI_FLAG_OPTION("json", "print JSON objects on stdout, one a line", AT(json)),
};

const cli_verb cli_verb_calibrate = {
    .name      = "calibrate",
    .summary   = "make a table of masks from dense runs of a few prompts, for --attn west",
    .args      = "",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes =
        "Each prompt is rendered with dense attention, and the mass of every block measured. Work, "
        "bytes and memory are told first. After each prompt the state is on disk as OUTPUT.state: "
        "the same command goes on from there, and the file is the same as without a stop.\n"
        "\n"
        "The table is for this model, sampler, steps and shift, and for any grid: on another one "
        "it is moved by coordinates. It holds all densities: generate --attn west --density P or "
        "--fidelity P finds the budgets anew.\n"
        "\n"
        "example:\n"
        "  filigree calibrate -m Wan2.1-T2V-1.3B --prompt-file prompts.txt -o west.safetensors\n"
        "  filigree generate -m Wan2.1-T2V-1.3B -p \"A red fox.\" --attn west --density 0.45 \\\n"
        "      --topology west.safetensors -o fox.mp4\n",
    .run = run_calibrate,
};
