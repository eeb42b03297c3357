/* cli/cmd_compare.c: `filigree compare A B`: PSNR, SSIM and relative L2 of two files of frames or
 * latents. The figures of the frames are kept until all are there, so that a failure half-way
 * leaves nothing on stdout.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/compare.h"
#include "report.h"
#include "table.h"
#include "verb.h"
#include "video_run.h"

typedef struct compare_values {
    int lossy, json;
} compare_values;

typedef struct figures {
    fil_compare_frame *frame;
    size_t             n, room;
    bool               no_memory;
} figures;

static int keep(void *user, const fil_compare_frame *frame)
{
    figures *f = user;
    if (f->n == f->room) {
        const size_t room  = f->room == 0 ? 128 : 2 * f->room;
        void        *block = realloc(f->frame, room * sizeof *f->frame);
        f->no_memory       = block == NULL;
        if (f->no_memory) return 1;
        f->frame = block;
        f->room  = room;
    }
    f->frame[f->n++] = *frame;
    return 0;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void real_member(cli_out *out, const char *key, double value)
{
    if (isfinite(value))
        cli_putf(out, ",\"%s\":%.6g", key, value);
    else
        cli_putf(out, ",\"%s\":null", key);
}

static void frames_json(cli_out *out, const figures *f)
{
    cli_put(out, ",\"per_frame\":[");
    for (size_t i = 0; i < f->n; i++) {
        const fil_compare_frame *frame = &f->frame[i];
        cli_putf(out, "%s{\"frame\":%d", i == 0 ? "" : ",", (int)frame->index);
        real_member(out, "psnr", frame->psnr);
        real_member(out, "ssim", frame->ssim);
        real_member(out, "rel_l2", frame->rel_l2);
        cli_json_bool(out, "equal", frame->equal != 0);
        cli_put(out, "}");
    }
    cli_put(out, "]");
}

static void tell_json(const cli_call *call, const fil_compare_result *r, const figures *f)
{
    cli_out *out = call->out;
    cli_json_open(out, "compare");
    cli_json_text(out, "a", call->args[0]);
    cli_json_text(out, "b", call->args[1]);
    cli_json_text(out, "kind", r->kind == FIL_COMPARE_LATENTS ? "latents" : "frames");
    cli_json_number(out, "channels", (uint64_t)r->channels);
    cli_json_number(out, "frames", (uint64_t)r->frames);
    cli_json_number(out, "width", (uint64_t)r->width);
    cli_json_number(out, "height", (uint64_t)r->height);
    cli_json_bool(out, "equal", r->equal != 0);
    cli_json_real(out, "peak", r->peak);
    cli_json_real(out, "psnr", r->psnr);
    cli_json_real(out, "psnr_mean", r->psnr_mean);
    cli_json_real(out, "psnr_min", r->psnr_min);
    cli_json_real(out, "ssim", r->ssim);
    cli_json_real(out, "ssim_min", r->ssim_min);
    cli_json_real(out, "rel_l2", r->rel_l2);
    cli_json_real(out, "max_abs", r->max_abs);
    frames_json(out, f);
    cli_json_close(out);
}

/* ---- text ----------------------------------------------------------------------------------- */

static const char *decibels(char text[CLI_CELL], double value)
{
    snprintf(text, CLI_CELL, "%.2f dB", value);
    return text;
}

static void row(const void *user, size_t i, cli_cell *cells)
{
    const fil_compare_frame *f = &((const figures *)user)->frame[i];
    snprintf(cells[0].own, CLI_CELL, "%d", (int)f->index);
    if (f->equal != 0)
        cells[1].text = "equal";
    else
        (void)decibels(cells[1].own, f->psnr);
    snprintf(cells[2].own, CLI_CELL, "%.3g", f->rel_l2);
    if (!isnan(f->ssim)) snprintf(cells[3].own, CLI_CELL, "%.5f", f->ssim);
}

static void tell_text(cli_out *out, const fil_compare_result *r, const figures *f)
{
    static const cli_column columns[] = {
        {"frame", true}, {"psnr", true}, {"rel l2", true}, {"ssim", true}};
    const bool latents = r->kind == FIL_COMPARE_LATENTS;
    char       psnr[CLI_CELL];
    char       mean[CLI_CELL];
    char       least[CLI_CELL];
    cli_table(out, columns, isnan(r->ssim) ? 3 : 4, f->n, row, f);
    cli_putf(out, "\n%s%d %s of %d x %d %s\n", latents ? "latents " : "", (int)r->frames,
             r->frames == 1 ? "frame" : "frames", (int)r->width, (int)r->height,
             latents ? "places" : "pixels");
    if (r->equal != 0)
        cli_put(out, "psnr     equal\n");
    else
        cli_putf(out, "psnr     %s; mean of the frames %s, worst %s\n", decibels(psnr, r->psnr),
                 decibels(mean, r->psnr_mean), decibels(least, r->psnr_min));
    if (!isnan(r->ssim)) cli_putf(out, "ssim     %.5f; worst %.5f\n", r->ssim, r->ssim_min);
    cli_putf(out, "rel l2   %.4g\n", r->rel_l2);
    cli_putf(out, "max abs  %.4g, peak %.4g\n", r->max_abs, r->peak);
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int run_compare(const cli_call *call)
{
    const compare_values *v   = call->values;
    fil_ctx              *ctx = NULL;
    figures               f   = {.n = 0};
    fil_compare_options   o;
    fil_compare_result    r;
    fil_compare_options_init(&o);
    o.a      = call->args[0];
    o.b      = call->args[1];
    o.lossy  = v->lossy != 0;
    o.frame  = keep;
    o.user   = &f;
    int code = cli_open_context_with_progress(call->common, &ctx);
    if (code == CLI_EXIT_DONE && fil_compare(ctx, &o, &r) != FIL_OK) {
        code = f.no_memory ? CLI_EXIT_MEMORY : cli_failed(ctx, NULL);
        if (f.no_memory) cli_error("no memory for the figures of %zu frames", f.n + 1);
    } else if (code == CLI_EXIT_DONE) {
        if (v->json != 0)
            tell_json(call, &r, &f);
        else
            tell_text(call->out, &r, &f);
    }
    free(f.frame);
    fil_ctx_close(&ctx);
    return code;
}

#define AT(field) offsetof(compare_values, field)

static const cli_option options[] = {
    CLI_FLAG_OPTION("lossy", "take video files too: what coding did to them is then measured",
                    AT(lossy)),
    CLI_FLAG_OPTION("json", "print one JSON object on stdout", AT(json)),
};

const cli_verb cli_verb_compare = {
    .name      = "compare",
    .summary   = "measure how far two videos, pictures or latents lie apart",
    .args      = "A B",
    .min_args  = 2,
    .max_args  = 2,
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes = "B is the reference. Each is a .safetensors file with frames (generate --save-frames) "
             "or latents (--save-latents), or a .png. Frames: PSNR with peak 255 over the three "
             "channels; SSIM under a Gaussian window of 11 x 11, sigma 1.5, mean of the channels; "
             "relative L2 |A - B| / |B|. Latents: PSNR with the largest |B| as peak, no SSIM.\n"
             "\n"
             "example:\n"
             "  filigree compare sparse.safetensors dense.safetensors\n",
    .run   = run_compare,
};
