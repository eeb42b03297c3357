/* cli/cmd_probe.c: `filigree probe --qkv FILE --attn NAME --density D`: one call of attention from
 * a file, as a policy would have it, beside the exact dense result.
 */
#include <math.h>
#include <string.h>

#include "attn_options.h"
#include "filigree/probe.h"
#include "report.h"
#include "table.h"

typedef struct probe_values {
    const char *qkv, *grid, *policy, *mask_out, *out, *precision;
    const char *layer, *step;
    cli_attn    attn;
    int64_t     repetitions;
    int         force, json;
} probe_values;

_Static_assert(sizeof(probe_values) <= CLI_VALUES, "main.c has room for the values");

enum { HEADS = 256 };

/* ---- options -------------------------------------------------------------------------------- */

static int fill(const probe_values *v, fil_policy_options *policy, fil_probe_options *o)
{
    cli_attn attn    = v->attn;
    int32_t  grid[3] = {0}; /* the file's */
    if (v->qkv == NULL)
        return cli_usage("probe: expected a file of q, k and v (--qkv FILE), found none");
    if (v->policy != NULL && attn.attn != NULL)
        return cli_usage("option --policy: expected no --attn beside it, found both");
    if (v->policy != NULL) attn.attn = v->policy;
    fil_probe_options_init(o);
    o->qkv         = v->qkv;
    o->policy      = policy;
    o->mask_out    = v->mask_out;
    o->out         = v->out;
    o->replace     = v->force != 0;
    o->repetitions = (int32_t)v->repetitions;
    if (v->precision != NULL) o->precision = cli_precision_of(v->precision);
    int code = cli_attn_take(&attn, policy);
    if (code == CLI_EXIT_DONE && v->grid != NULL) code = cli_read_grid(v->grid, grid);
    if (code == CLI_EXIT_DONE) code = cli_read_count("layer", v->layer, 9999, &o->layer);
    if (code == CLI_EXIT_DONE) code = cli_read_count("step", v->step, 9999, &o->step);
    o->grid = (fil_grid){grid[0], grid[1], grid[2]};
    return code;
}

/* ---- results -------------------------------------------------------------------------------- */

static void figures_json(cli_out *out, const fil_probe_figures *f)
{
    cli_json_real(out, "density", f->density);
    cli_json_real(out, "recall", f->recall);
    cli_json_real(out, "recall_p5", f->recall_p5);
    cli_json_real(out, "recall_min", f->recall_min);
    if (isfinite(f->recall_bound)) cli_json_real(out, "recall_bound", f->recall_bound);
    cli_json_real(out, "rel_l2", f->rel_l2);
    cli_json_real(out, "psnr", f->psnr);
}

static void print_json(cli_out *out, const fil_probe_result *r, const fil_probe_figures *heads)
{
    const int32_t shown = r->heads < HEADS ? r->heads : HEADS;
    cli_json_open(out, "probe");
    cli_json_joined(out, "policy", r->policy, strcspn(r->policy, ":"), "");
    cli_json_text(out, "attention", r->policy);
    cli_json_text(out, "kernel", r->kernel);
    cli_json_number(out, "tokens", (uint64_t)r->tokens);
    cli_json_number(out, "blocks", (uint64_t)r->blocks);
    cli_json_number(out, "sinks", (uint64_t)r->sinks);
    cli_json_bool(out, "tail", r->tail != 0);
    figures_json(out, &r->all);
    cli_json_real(out, "select_seconds", r->select_seconds);
    cli_json_real(out, "kernel_seconds", r->kernel_seconds);
    cli_json_real(out, "dense_seconds", r->dense_seconds);
    for (int32_t h = 0; h < shown; h++) {
        cli_json_item(out, "heads", "head", (uint64_t)h);
        figures_json(out, &heads[h]);
    }
    cli_json_items_end(out, "heads", (uint64_t)shown);
    cli_json_close(out);
}

typedef struct table {
    const fil_probe_result  *result;
    const fil_probe_figures *heads;
} table;

static void table_row(const void *user, size_t i, cli_cell *cells)
{
    const table             *t   = user;
    const size_t             n   = (size_t)t->result->heads;
    const fil_probe_figures *f   = i < n ? &t->heads[i] : &t->result->all;
    const double             x[] = {f->recall, f->recall_p5, f->recall_min, f->rel_l2};
    if (i < n)
        snprintf(cells[0].own, CLI_CELL, "%zu", i);
    else
        cells[0].text = "all";
    snprintf(cells[1].own, CLI_CELL, "%.1f %%", 100.0 * f->density);
    for (int c = 0; c < 4; c++)
        snprintf(cells[2 + c].own, CLI_CELL, "%.4f", x[c]);
    snprintf(cells[6].own, CLI_CELL, "%.2f", f->psnr);
}

static void print_text(cli_out *out, const fil_probe_result *r, const fil_probe_figures *heads)
{
    static const cli_column columns[] = {{"head", true},   {"density", true}, {"recall", true},
                                         {"5 %", true},    {"least", true},   {"rel. L2", true},
                                         {"PSNR dB", true}};
    const table             t         = {.result = r, .heads = heads};
    const size_t            shown     = r->heads <= HEADS ? (size_t)r->heads : 0;
    cli_putf(out, "%s\n%lld tokens, %d heads of %d\n\n", r->policy, (long long)r->tokens,
             (int)r->heads, (int)r->head_dim);
    if (shown > 0) cli_table(out, columns, 7, shown + 1, table_row, &t);
    if (isfinite(r->all.recall_bound))
        cli_putf(out, "\nrecall of every head at least %.4f, by the policy's own bound\n",
                 r->all.recall_bound);
    cli_putf(out,
             "\nchoosing %.3f ms, attention %.3f ms, dense %.3f ms: %.2f times as fast as dense\n",
             1e3 * r->select_seconds, 1e3 * r->kernel_seconds, 1e3 * r->dense_seconds,
             r->dense_seconds / (r->select_seconds + r->kernel_seconds));
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int run_probe(const cli_call *call)
{
    const probe_values      *v = call->values;
    static fil_probe_figures heads[HEADS];
    fil_ctx                 *ctx = NULL;
    fil_policy_options       policy;
    fil_probe_options        o;
    fil_probe_result         r;
    fil_policy_options_init(&policy);
    int code = fill(v, &policy, &o);
    if (code == CLI_EXIT_DONE) code = cli_open_context_for_run(call->common, &ctx);
    if (code == CLI_EXIT_DONE && fil_probe(ctx, &o, &r, heads, HEADS) != FIL_OK)
        code = cli_failed(ctx, NULL);
    else if (code == CLI_EXIT_DONE && v->json != 0)
        print_json(call->out, &r, heads);
    else if (code == CLI_EXIT_DONE)
        print_text(call->out, &r, heads);
    fil_ctx_close(&ctx);
    return code;
}

#define AT(field)   offsetof(probe_values, field)
#define ATTN(field) offsetof(probe_values, attn.field)

static const cli_option options[] = {
    CLI_TEXT_OPTION("qkv", 0, "FILE",
                    "safetensors with q, k, v [N, H, D] in raster order: bf16, f32, or int8 with "
                    "q_step, k_step, v_step in the metadata; and gate, where vsa is to use one",
                    AT(qkv)),
    CLI_TEXT_OPTION("grid", 0, "F,H,W", "tokens: frames, height, width; default: the file's",
                    AT(grid)),
    CLI_TEXT_OPTION("policy", 0, "NAME", "the same as --attn", AT(policy)),
    CLI_ATTN_OPTIONS(ATTN),
    CLI_TEXT_OPTION("layer", 0, "N",
                    "layer that it comes from, for --topology; default: the file's", AT(layer)),
    CLI_TEXT_OPTION("step", 0, "N", "step that it comes from, the same", AT(step)),
    CLI_CHOICE_OPTION("precision", "TYPE", "of the kernels: bf16 or f32; default: the file's",
                      AT(precision), cli_precision_names),
    CLI_NUMBER_OPTION("repetitions", 0, "R", "measure R times, 1 to 99; default 3", AT(repetitions),
                      1, 99),
    CLI_TEXT_OPTION("mask-out", 0, "FILE", "write the mask as a mask file", AT(mask_out)),
    CLI_TEXT_OPTION("out", 0, "FILE", "write the output, [N, H, D] f32 in raster order", AT(out)),
    CLI_FLAG_OPTION("force", "replace files that exist", AT(force)),
    CLI_FLAG_OPTION("json", "print one JSON object on stdout", AT(json)),
};

const cli_verb cli_verb_probe = {
    .name      = "probe",
    .summary   = "what a policy does to one call of attention, beside exact dense attention",
    .args      = "",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes =
        "Density, recall (the softmax mass that the choice keeps: mean, 5th percentile and least "
        "of the query blocks), error of the output against dense attention in f32, and times. "
        "--density is that of this call; steps and layers that a policy would run dense do not "
        "matter here. 'filigree generate --capture' writes such files.\n"
        "\n"
        "examples:\n"
        "  filigree probe --qkv l3s10.safetensors --attn dfs --density 0.2\n"
        "  filigree probe --qkv l3s10.safetensors --attn auto --density 0.1 --mask-out "
        "m.safetensors "
        "--json\n",
    .run = run_probe,
};
