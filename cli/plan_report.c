/* cli/plan_report.c: the plan of a run as text or JSON (plan_report.h). */
#include <math.h>
#include <stdio.h>

#include "plan_report.h"
#include "report.h"

static void parts_json(cli_out *out, const fil_plan *p)
{
    cli_json_number(out, "weight_bytes", p->weight_bytes);
    cli_json_number(out, "weights_mapped_bytes", p->weights_mapped_bytes);
    cli_json_number(out, "activation_bytes", p->activation_bytes);
    cli_json_number(out, "attention_bytes", p->attention_bytes);
    if (p->device_bytes > 0) cli_json_number(out, "device_bytes", p->device_bytes);
    cli_json_number(out, "spool_bytes", p->spool_bytes);
    cli_json_number(out, "vae_tiles", (uint64_t)p->vae_tiles);
    cli_json_number(out, "stream_weights", (uint64_t)p->streamed);
    cli_json_number(out, "blocks_kept", (uint64_t)p->blocks_kept);
    cli_json_real(out, "text_tflop", p->text_flops * 1e-12);
    cli_json_real(out, "attention_tflop", p->attention_flops * 1e-12);
    cli_json_real(out, "linear_tflop", p->linear_flops * 1e-12);
    cli_json_real(out, "vae_tflop", p->vae_flops * 1e-12);
    cli_json_text(out, "attention_kernel", p->attention_kernel);
    cli_json_text(out, "linear_kernel", p->linear_kernel);
    if (p->conv_kernel != NULL) cli_json_text(out, "conv_kernel", p->conv_kernel);
    if (isfinite(p->estimate_seconds)) cli_json_real(out, "estimate_seconds", p->estimate_seconds);
}

static void plan_json(cli_out *out, const fil_plan *p)
{
    cli_json_open(out, "plan");
    cli_json_text(out, "sampler", p->sampler);
    cli_json_text(out, "grid", p->grid);
    cli_json_number(out, "steps", (uint64_t)p->steps);
    cli_json_number(out, "passes", (uint64_t)p->passes);
    cli_json_real(out, "shift", p->shift);
    cli_json_real(out, "cfg", p->guidance);
    cli_json_number(out, "prompt_tokens", (uint64_t)p->prompt_tokens);
    cli_json_number(out, "negative_tokens", (uint64_t)p->negative_tokens);
    cli_json_array(
        out, "latents",
        (const int64_t[]){p->channels, p->latent_frames, p->latent_height, p->latent_width}, 4);
    cli_json_number(out, "tokens", (uint64_t)p->tokens);
    cli_json_real(out, "tflop", p->flops * 1e-12);
    cli_json_text(out, "attention", p->attention);
    cli_json_real(out, "density", p->density);
    cli_json_number(out, "text_cached", (uint64_t)p->text_cached);
    cli_json_number(out, "text_bytes", p->text_bytes);
    cli_json_number(out, "sample_bytes", p->sample_bytes);
    cli_json_number(out, "decode_bytes", p->decode_bytes);
    cli_json_number(out, "policy_bytes", p->policy_bytes);
    cli_json_number(out, "peak_bytes", p->peak_bytes);
    parts_json(out, p);
    if (p->captures > 0) {
        cli_json_number(out, "captures", (uint64_t)p->captures);
        cli_json_number(out, "capture_bytes", p->capture_bytes);
    }
    if (p->kept_bytes > 0) cli_json_number(out, "kept_bytes", p->kept_bytes);
    cli_json_number(out, "disk_bytes", p->disk_bytes);
    cli_json_number(out, "stays_bytes", p->stays_bytes);
    cli_json_close(out);
}

static void bytes_line(cli_out *out, const char *what, uint64_t bytes, const char *note)
{
    char text[CLI_HUMAN];
    cli_putf(out, "  %-13s %s%s\n", what, cli_human(text, bytes), note);
}

static void memory_text(cli_out *out, const fil_plan *p)
{
    cli_put(out, "memory\n");
    bytes_line(out, "text", p->text_bytes, "");
    bytes_line(out, "sampling", p->sample_bytes, "");
    bytes_line(out, "  weights", p->weight_bytes,
               p->streamed      ? ", read layer by layer in each pass"
               : p->blocks_kept ? ", matrices as the file has them"
                                : "");
    if (p->weights_mapped_bytes > 0)
        bytes_line(out, "  mapped", p->weights_mapped_bytes, " of files, beside it");
    bytes_line(out, "  activations", p->activation_bytes, "");
    bytes_line(out, "  attention", p->attention_bytes, "");
    if (p->decode_bytes > 0)
        bytes_line(out, "decoding", p->decode_bytes, p->vae_tiles ? ", in tiles" : "");
    bytes_line(out, "peak", p->peak_bytes, "");
    if (p->device_bytes > 0) bytes_line(out, "on the device", p->device_bytes, ", at most");
    if (p->spool_bytes > 0) bytes_line(out, "on disk", p->spool_bytes, " while decoding");
}

/* Two digits that count: nobody knows it better. */
const char *cli_about(char text[CLI_ABOUT], double seconds)
{
    static const struct {
        double      unit, up_to;
        const char *name;
    } units[] = {{1.0, 100.0, "second"},
                 {60.0, 100.0 * 60.0, "minute"},
                 {3600.0, 48.0 * 3600.0, "hour"},
                 {86400.0, HUGE_VAL, "day"}};
    int  i    = 0;
    char number[16];
    while (seconds >= units[i].up_to)
        i++;
    const double value = seconds / units[i].unit;
    snprintf(number, sizeof number, value < 9.95 ? "%.1f" : "%.0f", value);
    snprintf(text, CLI_ABOUT, "%s %ss", number, units[i].name);
    return text;
}

static void work_text(cli_out *out, const fil_plan *p)
{
    char time[CLI_ABOUT];
    cli_putf(out, "work        %.3g TFLOP: text %.3g, attention %.3g, linears %.3g",
             p->flops * 1e-12, p->text_flops * 1e-12, p->attention_flops * 1e-12,
             p->linear_flops * 1e-12);
    if (p->vae_flops > 0.0) cli_putf(out, ", VAE %.3g", p->vae_flops * 1e-12);
    cli_putf(out, "\nkernels     %s, %s", p->attention_kernel, p->linear_kernel);
    if (p->conv_kernel != NULL) cli_putf(out, ", %s", p->conv_kernel);
    cli_put(out, "\n");
    if (isfinite(p->estimate_seconds))
        cli_putf(out, "time        about %s\n", cli_about(time, p->estimate_seconds));
}

static void disk_text(cli_out *out, const fil_plan *p)
{
    char most[CLI_HUMAN];
    char stays[CLI_HUMAN];
    if (p->kept_bytes > 0)
        cli_putf(out, "frames      %s on disk until the video stands\n",
                 cli_human(most, p->kept_bytes));
    if (p->captures > 0)
        cli_putf(out, "captures    %d file%s, %s on disk\n", (int)p->captures,
                 p->captures == 1 ? "" : "s", cli_human(most, p->capture_bytes));
    if (p->disk_bytes > 0)
        cli_putf(out, "disk        %s at most, %s stay; without what is compressed\n",
                 cli_human(most, p->disk_bytes), cli_human(stays, p->stays_bytes));
}

static void plan_text(cli_out *out, const fil_plan *p)
{
    cli_putf(out, "sampler     %s on %s, %d step%s of %d pass%s, shift %g, cfg %g\n", p->sampler,
             p->grid, (int)p->steps, p->steps == 1 ? "" : "s", (int)p->passes,
             p->passes == 1 ? "" : "es", p->shift, p->guidance);
    cli_putf(out, "prompts     %d token%s", (int)p->prompt_tokens,
             p->prompt_tokens == 1 ? "" : "s");
    if (p->negative_tokens > 0) cli_putf(out, ", negative %d", (int)p->negative_tokens);
    if (p->text_cached == p->passes)
        cli_put(out, "; encoded before: the text encoder is not opened");
    else if (p->text_cached > 0)
        cli_putf(out, "; %d of %d encoded before", (int)p->text_cached, (int)p->passes);
    cli_putf(out, "\nlatents     %d x %d x %d x %d, %lld tokens\n", (int)p->channels,
             (int)p->latent_frames, (int)p->latent_height, (int)p->latent_width,
             (long long)p->tokens);
    cli_putf(out, "attention   %s", p->attention);
    if (isfinite(p->density)) cli_putf(out, "; density %.1f %%", 100.0 * p->density);
    cli_put(out, "\n");
    work_text(out, p);
    memory_text(out, p);
    disk_text(out, p);
}

void cli_tell_plan(cli_out *out, int json, const fil_plan *p)
{
    if (json != 0)
        plan_json(out, p);
    else
        plan_text(out, p);
}
