/* cli/video_run.c: opening a model for a run, and telling how it went (cli/video_run.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report.h"
#include "video_run.h"

const char *const cli_preset_names[]    = {"official", "diffusers", NULL};
const char *const cli_precision_names[] = {"bf16", "f32", NULL};

fil_preset cli_preset_of(const char *name)
{
    return name != NULL && strcmp(name, "diffusers") == 0 ? FIL_PRESET_DIFFUSERS
                                                          : FIL_PRESET_OFFICIAL;
}

fil_dtype cli_precision_of(const char *name)
{
    return name != NULL && strcmp(name, "f32") == 0 ? FIL_F32 : FIL_BF16;
}

int cli_open_model(cli_common *common, const cli_model *where, const char *verb, fil_ctx **ctx,
                   fil_model **model)
{
    fil_model_options o;
    if (where->dir == NULL && where->dit == NULL && where->t5 == NULL && where->vae == NULL)
        return cli_usage("%s: expected a model (-m DIR), found none", verb);
    const int code = cli_open_context_for_run(common, ctx);
    if (code != CLI_EXIT_DONE) return code;
    fil_model_options_init(&o);
    o.flags     = where->trusted != 0 ? FIL_OPEN_TRUSTED : 0;
    o.dir       = where->dir;
    o.dit       = where->dit;
    o.t5        = where->t5;
    o.vae       = where->vae;
    o.tokenizer = where->tokenizer;
    return fil_model_open(*ctx, &o, model) == FIL_OK ? CLI_EXIT_DONE : cli_failed(*ctx, NULL);
}

static const char *either(const char *given, const char *saved)
{
    return given != NULL ? given : saved;
}

int cli_open_saved_model(fil_ctx *ctx, const cli_model *where, const fil_model_options *saved,
                         int trust, fil_model **model)
{
    fil_model_options o = *saved;
    if (where->trusted != 0) {
        o.flags |= FIL_OPEN_TRUSTED;
    } else if (trust == 0 && (o.flags & FIL_OPEN_TRUSTED) != 0) {
        o.flags &= ~(uint32_t)FIL_OPEN_TRUSTED;
        cli_error(
            "note: the recipe is of a run with --trusted, which only a call can say: the same "
            "video, but perhaps not the same bits");
    }
    o.dir       = either(where->dir, o.dir);
    o.dit       = either(where->dit, o.dit);
    o.t5        = either(where->t5, o.t5);
    o.vae       = either(where->vae, o.vae);
    o.tokenizer = either(where->tokenizer, o.tokenizer);
    return fil_model_open(ctx, &o, model) == FIL_OK ? CLI_EXIT_DONE : cli_failed(ctx, NULL);
}

const char *cli_main_output(const fil_generate_options *o)
{
    return o->video != NULL ? o->video : o->save_frames != NULL ? o->save_frames : o->save_latents;
}

bool cli_beside(char place[CLI_PLACE], const char *output, const char *ending)
{
    const int n = snprintf(place, CLI_PLACE, "%s%s", output, ending);
    return n >= 0 && n < CLI_PLACE;
}

/* What attention computed, and what that took. */
static void attention_json(cli_out *out, const fil_video_result *r)
{
    cli_json_real(out, "attention_seconds", r->attention_seconds);
    cli_json_real(out, "choose_seconds", r->choose_seconds);
    cli_json_real(out, "density", r->density);
    cli_json_real(out, "sparse_density", r->sparse_density);
    cli_json_number(out, "calls", (uint64_t)r->calls);
    cli_json_number(out, "dense_calls", (uint64_t)r->dense_calls);
    cli_json_number(out, "refreshes", (uint64_t)r->refreshes);
    cli_json_number(out, "dense_from", (uint64_t)r->dense_from);
    if (isfinite(r->recall)) cli_json_real(out, "recall", r->recall);
    if (isfinite(r->recall_min)) cli_json_real(out, "recall_min", r->recall_min);
    if (r->recall_bound < 1.0) cli_json_real(out, "recall_bound", r->recall_bound);
}

static void attention_text(const cli_common *common, const fil_video_result *r)
{
    if (r->dense_calls == r->calls) return;
    cli_note(common,
             "attention: density %.1f %% over the run, %.1f %% where sparse; %lld of %lld "
             "calls dense; %.1f s, and %.1f s to choose",
             100.0 * r->density, 100.0 * r->sparse_density, (long long)r->dense_calls,
             (long long)r->calls, r->attention_seconds, r->choose_seconds);
    if (isfinite(r->recall))
        cli_note(common, "recall: mean %.4f, least of a head %.4f, least lower bound %.4f",
                 r->recall, r->recall_min, r->recall_bound);
}

static void tell_json(cli_out *out, const char *verb, const char *path, const fil_video_result *r)
{
    cli_json_open(out, verb);
    if (path != NULL) cli_json_text(out, "path", path);
    cli_json_number(out, "frames", (uint64_t)r->frames);
    cli_json_number(out, "width", (uint64_t)r->width);
    cli_json_number(out, "height", (uint64_t)r->height);
    cli_json_real(out, "text_seconds", r->text_seconds);
    cli_json_real(out, "load_seconds", r->load_seconds);
    cli_json_real(out, "sample_seconds", r->sample_seconds);
    cli_json_real(out, "decode_seconds", r->decode_seconds);
    if (strcmp(verb, "generate") == 0) {
        attention_json(out, r);
        cli_json_number(out, "resumed_step", (uint64_t)r->resumed_step);
        cli_json_number(out, "saves", (uint64_t)r->saves);
        cli_json_number(out, "save_failures", (uint64_t)r->save_failures);
    }
    cli_json_number(out, "peak_bytes", r->peak_bytes);
    cli_json_close(out);
}

void cli_tell_run(const cli_call *call, int json, const char *path, const fil_video_result *r)
{
    const char *verb = call->verb->name;
    char        bytes[CLI_HUMAN];
    if (json != 0) {
        tell_json(call->out, verb, path, r);
        return;
    }
    char phases[96] = "";
    if (strcmp(verb, "generate") == 0)
        snprintf(phases, sizeof phases, "text %.1f s, load %.1f s, sample %.1f s, ",
                 r->text_seconds, r->load_seconds, r->sample_seconds);
    cli_note(call->common, "%s%s%d frame%s of %d x %d pixels; %s%s %.1f s; peak %s",
             path != NULL ? path : "", path != NULL ? ": " : "", (int)r->frames,
             r->frames == 1 ? "" : "s", (int)r->width, (int)r->height, phases,
             strcmp(verb, "encode") == 0 ? verb : "decode", r->decode_seconds,
             cli_human(bytes, r->peak_bytes));
    if (strcmp(verb, "generate") == 0) attention_text(call->common, r);
}

void cli_tell_saves(const char *what, int32_t saves, int32_t failures)
{
    if (failures > 0)
        cli_error("note: %.200s could not be saved %d time%s; it was %d time%s", what,
                  (int)failures, failures == 1 ? "" : "s", (int)saves, saves == 1 ? "" : "s");
}
