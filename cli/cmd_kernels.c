/* cli/cmd_kernels.c: `filigree kernels`. Every implementation of every family of operations,
 * whether this machine can run it, and, with --explain, which one the usual problems get and why
 * the others are passed over.
 */
#include <string.h>

#include "filigree/attention.h"
#include "filigree/bench.h"
#include "report.h"
#include "table.h"
#include "verb.h"

typedef struct kernels_values {
    int json, explain;
} kernels_values;

static void kernel_row(const void *user, size_t i, cli_cell *cells)
{
    fil_kernel_info k;
    fil_kernel_get(user, (int32_t)i, &k);
    cells[0].text = k.family;
    cells[1].text = k.name;
    cells[2].text = k.isa;
    snprintf(cells[3].own, CLI_CELL, "%s", k.available ? "yes" : k.reason);
}

static void list_text(cli_out *out, const fil_ctx *ctx)
{
    static const cli_column columns[] = {
        {"family", false}, {"kernel", false}, {"needs", false}, {"available", false}};
    const char *emulated = strstr(fil_version(), "+emulated") != NULL ? " (emulated)" : "";
    cli_putf(out, "instruction set in use: %s%s, threads: %d\n\n", fil_ctx_isa(ctx), emulated,
             (int)fil_ctx_threads(ctx));
    cli_table(out, columns, 4, (size_t)fil_kernels(ctx), kernel_row, ctx);
}

static void list_json(cli_out *out, const fil_ctx *ctx)
{
    for (int32_t i = 0; i < fil_kernels(ctx); i++) {
        fil_kernel_info k;
        fil_kernel_get(ctx, i, &k);
        cli_json_open(out, "kernel");
        cli_json_text(out, "family", k.family);
        cli_json_text(out, "kernel", k.name);
        cli_json_text(out, "isa", k.isa);
        cli_json_bool(out, "available", k.available != 0);
        cli_json_text(out, "reason", k.reason);
        cli_json_close(out);
    }
}

/* ---- explain -------------------------------------------------------------------------------- */

/* Why a kernel does not get case i, or that it does. */
static void verdict(const fil_ctx *ctx, int32_t i, const fil_kernel_case *c, const char *kernel,
                    char text[CLI_CELL])
{
    char reason[96];
    if (c->chosen != NULL && strcmp(c->chosen, kernel) == 0)
        snprintf(text, CLI_CELL, "chosen");
    else if (!fil_kernel_case_takes(ctx, i, kernel, reason))
        snprintf(text, CLI_CELL, "%s", reason);
    else
        snprintf(text, CLI_CELL, "takes it too, but stands behind the chosen one");
}

static void explain_case(cli_out *out, const fil_ctx *ctx, int32_t i, bool json)
{
    fil_kernel_case c;
    fil_kernel_case_get(ctx, i, &c);
    if (!json) cli_putf(out, "%s%s, %s\n", i == 0 ? "" : "\n", c.family, c.text);
    for (int32_t k = 0; k < fil_kernels(ctx); k++) {
        fil_kernel_info info;
        char            text[CLI_CELL];
        fil_kernel_get(ctx, k, &info);
        if (strcmp(info.family, c.family) != 0) continue;
        verdict(ctx, i, &c, info.name, text);
        if (!json) {
            cli_putf(out, "  %-40s  %s\n", info.name, text);
            continue;
        }
        cli_json_open(out, "choice");
        cli_json_text(out, "family", c.family);
        cli_json_text(out, "problem", c.text);
        cli_json_text(out, "kernel", info.name);
        cli_json_bool(out, "chosen", c.chosen != NULL && strcmp(c.chosen, info.name) == 0);
        cli_json_text(out, "reason", strcmp(text, "chosen") == 0 ? "" : text);
        cli_json_close(out);
    }
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int run_kernels(const cli_call *call)
{
    const kernels_values *values = call->values;
    fil_ctx              *ctx    = NULL;
    const int             code   = cli_open_context(call->common, &ctx);
    if (code != CLI_EXIT_DONE) return code;
    if (values->explain != 0)
        for (int32_t i = 0; i < fil_kernel_cases(ctx); i++)
            explain_case(call->out, ctx, i, values->json != 0);
    else if (values->json != 0)
        list_json(call->out, ctx);
    else
        list_text(call->out, ctx);
    fil_ctx_close(&ctx);
    return CLI_EXIT_DONE;
}

static const cli_option options[] = {
    {.name = "explain",
     .kind = CLI_FLAG,
     .help = "instead: for the usual problems of each family, which kernel is chosen and why the "
             "others are not",
     .at   = offsetof(kernels_values, explain)},
    {.name = "json",
     .kind = CLI_FLAG,
     .help = "print one JSON object per line instead of a table",
     .at   = offsetof(kernels_values, json)},
};

const cli_verb cli_verb_kernels = {
    .name      = "kernels",
    .summary   = "list the kernels of each family and which of them this machine can run",
    .args      = "",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     = "A family is an operation: attention, mass, pooling, linear, norm, conv3d. Of its "
                 "kernels the first in the list that is available and takes the problem is used.\n"
                 "\n"
                 "example:\n"
                 "  filigree kernels --explain\n",
    .run       = run_kernels,
};
