/* cli/cmd_masks.c: `filigree masks FILE -o DIR`: the masks of a mask file as PNG pictures. */
#include "filigree/masks.h"
#include "report.h"
#include "verb.h"
#include "video_run.h"

typedef struct masks_values {
    const char *output, *layer, *step, *pass, *head;
    int64_t     scale;
    int         raster, force, json;
} masks_values;

static void number_member(cli_out *out, const char *key, int32_t value)
{
    cli_putf(out, ",\"%s\":%d", key, (int)value);
}

static int tell_json(void *user, const fil_mask_picture *p)
{
    cli_out *out = user;
    cli_json_open(out, "mask");
    cli_json_text(out, "file", p->name);
    number_member(out, "layer", p->layer);
    number_member(out, "step", p->step);
    number_member(out, "pass", p->pass);
    number_member(out, "head", p->head);
    cli_json_number(out, "kept", p->kept);
    cli_json_real(out, "density", p->density);
    number_member(out, "least", p->least);
    number_member(out, "most", p->most);
    cli_json_close(out);
    return 0;
}

static int tell_text(void *user, const fil_mask_picture *p)
{
    cli_putf(user, "%6.2f%%  %s  %d to %d blocks a row\n", 100.0 * p->density, p->name,
             (int)p->least, (int)p->most);
    return 0;
}

static void tell_total(const cli_call *call, const fil_mask_pictures_result *r)
{
    const masks_values *v   = call->values;
    cli_out            *out = call->out;
    if (v->json == 0) {
        cli_putf(out, "%6.2f%%  mean of %d picture%s of %d x %d pixels\n", 100.0 * r->density,
                 (int)r->pictures, r->pictures == 1 ? "" : "s", (int)r->width, (int)r->height);
        return;
    }
    cli_json_open(out, "total");
    number_member(out, "masks", r->masks);
    number_member(out, "pictures", r->pictures);
    number_member(out, "width", r->width);
    number_member(out, "height", r->height);
    cli_json_bool(out, "overview", r->overview != 0);
    cli_json_real(out, "density", r->density);
    cli_json_close(out);
}

static int run_masks(const cli_call *call)
{
    const masks_values       *v   = call->values;
    fil_ctx                  *ctx = NULL;
    fil_mask_pictures_options o;
    fil_mask_pictures_result  r;
    if (v->output == NULL) return cli_usage("masks: expected a folder (-o DIR), found none");
    fil_mask_pictures_options_init(&o);
    o.input   = call->args[0];
    o.folder  = v->output;
    o.layers  = v->layer;
    o.steps   = v->step;
    o.passes  = v->pass;
    o.heads   = v->head;
    o.raster  = v->raster != 0;
    o.replace = v->force != 0;
    o.picture = v->json != 0 ? tell_json : tell_text;
    o.user    = call->out;
    if (v->scale != 0) o.scale = (int32_t)v->scale;
    int code = cli_open_context(call->common, &ctx);
    if (code == CLI_EXIT_DONE) {
        if (fil_mask_pictures(ctx, &o, &r) != FIL_OK)
            code = cli_failed(ctx, NULL);
        else
            tell_total(call, &r);
    }
    fil_ctx_close(&ctx);
    return code;
}

#define AT(field) offsetof(masks_values, field)

static const cli_option options[] = {
    CLI_TEXT_OPTION("output", 'o', "DIR", "write the pictures there; made if it is not there",
                    AT(output)),
    CLI_TEXT_OPTION("layer", 0, "LIST", "masks of these layers: 0,5,10-12; default: all",
                    AT(layer)),
    CLI_TEXT_OPTION("step", 0, "LIST", "masks of these steps; default: all", AT(step)),
    CLI_TEXT_OPTION("pass", 0, "LIST", "masks of these passes; default: all", AT(pass)),
    CLI_TEXT_OPTION("head", 0, "LIST", "these heads; default: all", AT(head)),
    CLI_NUMBER_OPTION("scale", 0, "N", "pixels of a side of a pair of blocks; default 1", AT(scale),
                      1, 64),
    CLI_FLAG_OPTION("raster",
                    "draw in raster order of the tokens: grey is the share of kept pairs between "
                    "two rows of the grid, or, up to 1024 tokens, two tokens",
                    AT(raster)),
    CLI_FLAG_OPTION("force", "replace files that exist", AT(force)),
    CLI_FLAG_OPTION("json", "print one JSON object per picture, and a total", AT(json)),
};

const cli_verb cli_verb_masks = {
    .name      = "masks",
    .summary   = "draw the masks of a mask file as pictures",
    .args      = "FILE",
    .min_args  = 1,
    .max_args  = 1,
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     = "Writes one PNG per mask and head, named layer003_step010_pass0_head05.png "
                 "('all' where a mask stands for all): rows are query blocks, columns key "
                 "blocks, black is kept. Beside them overview.png, all of them small, and "
                 "masks.json, a list with the density of each.\n"
                 "\n"
                 "example:\n"
                 "  filigree masks fox.masks.safetensors -o fox.masks --layer 0-3 --scale 4\n",
    .run       = run_masks,
};
