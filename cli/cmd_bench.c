/* cli/cmd_bench.c: `filigree bench attention|mass|linear|dit|t5|vae`. Asks the library to measure
 * one thing and prints what it found: a small table for people, or one JSON object.
 */
#include <string.h>

#include "bench_model.h"
#include "filigree/attention.h"
#include "filigree/bench.h"
#include "report.h"
#include "table.h"
#include "verb.h"

typedef struct bench_values {
    int64_t     n, heads, head_dim, sinks, m, k, repetitions, layers, tokens;
    double      density;
    const char *mask, *mask_file, *epilogue, *kernel;
    const char *model_config, *grid, *attn, *precision, *topology, *weights;
    int         tail, in_place, json;
} bench_values;

static const char *const what_names[] = {"attention", "mass", "linear", "dit", "t5", "vae", NULL};
static const char *const mask_names[] = {"random", "window", "frames", NULL};
static const char *const epilogue_names[] = {"none", "gelu", "silu", "gate", NULL};
static const char *const type_names[]     = {"bf16", "f32", NULL};

static const char *const weight_names[] = {"bf16", "f16",  "f32",  "q4_0", "q4_1", "q5_0", "q5_1",
                                           "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", NULL};

typedef enum bench_what { ATTENTION, MASS, LINEAR, DIT, T5, VAE } bench_what;

static int index_of(const char *const *names, const char *name)
{
    for (int i = 0; names[i] != NULL; i++)
        if (name != NULL && strcmp(names[i], name) == 0) return i;
    return -1;
}

/* ---- which options belong to what ----------------------------------------------------------- */

typedef struct given {
    const char *name;
    bool        is_given;
    unsigned    belongs; /* bit of each bench_what */
} given;

#define TO(what) (1u << (what))

static int refuse_strangers(const bench_values *v, bench_what what)
{
    const unsigned attention = TO(ATTENTION) | TO(MASS);
    const unsigned kernels   = attention | TO(LINEAR);
    const given    list[]    = {
              {"n", v->n != 0, kernels},
              {"kernel", v->kernel != NULL, kernels},
              {"model-config", v->model_config != NULL, TO(DIT)},
              {"grid", v->grid != NULL, TO(DIT) | TO(VAE)},
              {"layers", v->layers != 0, TO(DIT) | TO(T5)},
              {"tokens", v->tokens != 0, TO(T5)},
              {"attn", v->attn != NULL, TO(DIT)},
              {"precision", v->precision != NULL, TO(DIT) | TO(T5) | TO(VAE)},
              {"heads", v->heads != 0, attention},
              {"head-dim", v->head_dim != 0, attention},
              {"density", v->density > 0.0, TO(ATTENTION) | TO(DIT)},
              {"topology", v->topology != NULL, TO(DIT)},
              {"mask", v->mask != NULL, TO(ATTENTION)},
              {"mask-file", v->mask_file != NULL, TO(ATTENTION)},
              {"tail", v->tail != 0, TO(ATTENTION)},
              {"sinks", v->sinks != 0, TO(ATTENTION)},
              {"m", v->m != 0, TO(LINEAR)},
              {"k", v->k != 0, TO(LINEAR)},
              {"epilogue", v->epilogue != NULL, TO(LINEAR)},
              {"in-place", v->in_place != 0, TO(LINEAR)},
              {"weights", v->weights != NULL, TO(LINEAR)},
    };
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
        if (list[i].is_given && (list[i].belongs & TO(what)) == 0)
            return cli_usage("option --%s: bench %s does not take it", list[i].name,
                             what_names[what]);
    if (v->mask_file == NULL) return CLI_EXIT_DONE;
    if (v->mask != NULL || v->density > 0.0)
        return cli_usage("option --mask-file: expected neither --mask nor --density beside it");
    return CLI_EXIT_DONE;
}

/* A name that does not exist is wrong usage; one that this machine lacks is for the library. */
static int check_kernel(const fil_ctx *ctx, const char *family, const char *name)
{
    if (name == NULL) return CLI_EXIT_DONE;
    for (int32_t i = 0; i < fil_kernels(ctx); i++) {
        fil_kernel_info k;
        fil_kernel_get(ctx, i, &k);
        if (strcmp(k.family, family) == 0 && strcmp(k.name, name) == 0) return CLI_EXIT_DONE;
    }
    return cli_usage("option --kernel: expected a kernel of %s ('filigree kernels' lists them), "
                     "found '%.80s'",
                     family, name);
}

/* ---- measuring ------------------------------------------------------------------------------ */

static fil_status measure_attention(fil_ctx *ctx, const bench_values *v, fil_bench_result *r)
{
    fil_bench_attention_desc d;
    fil_bench_attention_desc_init(&d);
    d.n = v->n;
    if (v->heads != 0) d.heads = (int32_t)v->heads;
    if (v->head_dim != 0) d.head_dim = (int32_t)v->head_dim;
    if (v->density > 0.0) d.density = v->density;
    if (v->mask != NULL) d.mask = (fil_bench_mask)index_of(mask_names, v->mask);
    d.mask_file   = v->mask_file;
    d.tail        = v->tail != 0;
    d.sinks       = (int32_t)v->sinks;
    d.kernel      = v->kernel;
    d.repetitions = (int32_t)v->repetitions;
    return fil_bench_attention(ctx, &d, r);
}

static fil_status measure_mass(fil_ctx *ctx, const bench_values *v, fil_bench_result *r)
{
    fil_bench_mass_desc d;
    fil_bench_mass_desc_init(&d);
    d.n = v->n;
    if (v->heads != 0) d.heads = (int32_t)v->heads;
    if (v->head_dim != 0) d.head_dim = (int32_t)v->head_dim;
    d.kernel      = v->kernel;
    d.repetitions = (int32_t)v->repetitions;
    return fil_bench_mass(ctx, &d, r);
}

static fil_status measure_linear(fil_ctx *ctx, const bench_values *v, fil_bench_result *r)
{
    fil_bench_linear_desc d;
    fil_bench_linear_desc_init(&d);
    if (v->m != 0) d.m = v->m;
    if (v->k != 0) d.k = v->k;
    if (v->n != 0) d.n = v->n;
    if (v->epilogue != NULL) d.epilogue = (fil_bench_epilogue)index_of(epilogue_names, v->epilogue);
    d.in_place    = v->in_place != 0;
    d.weights     = cli_dtype_of(v->weights);
    d.kernel      = v->kernel;
    d.repetitions = (int32_t)v->repetitions;
    return fil_bench_linear(ctx, &d, r);
}

static fil_status measure(fil_ctx *ctx, const bench_values *v, bench_what what, fil_bench_result *r)
{
    switch (what) {
    case MASS: return measure_mass(ctx, v, r);
    case LINEAR: return measure_linear(ctx, v, r);
    default: return measure_attention(ctx, v, r);
    }
}

/* ---- models --------------------------------------------------------------------------------- */

enum { ATTNS = 16, WORD = 32 };

/* The words of --attn: dense first, so that the others have something to be set against. */
typedef struct attn_list {
    char               name[ATTNS][WORD];
    fil_policy_options policy[ATTNS];
    int32_t            n;
    bool               has_random; /* no policy: measured by itself */
} attn_list;

static int add_attn(attn_list *list, const char *name, size_t n)
{
    if (n == 0 || n >= WORD)
        return cli_usage("option --attn: expected policies separated by commas, found '%.80s'",
                         name);
    if (n == 5 && strncmp(name, "dense", n) == 0 && list->n > 0) return CLI_EXIT_DONE;
    if (list->n == ATTNS)
        return cli_usage("option --attn: expected at most %d policies", ATTNS - 1);
    memcpy(list->name[list->n], name, n);
    list->name[list->n][n] = '\0';
    fil_policy_options_init(&list->policy[list->n]);
    list->policy[list->n].name = list->name[list->n];
    list->n++;
    return CLI_EXIT_DONE;
}

static int read_attn(const bench_values *v, attn_list *list)
{
    int code = add_attn(list, "dense", 5);
    for (const char *at = v->attn; at != NULL && code == CLI_EXIT_DONE;) {
        const size_t n = strcspn(at, ",");
        if (n == 6 && strncmp(at, "random", n) == 0)
            list->has_random = true;
        else
            code = add_attn(list, at, n);
        at = at[n] == ',' ? at + n + 1 : NULL;
    }
    if (code != CLI_EXIT_DONE) return code;
    const bool sparse = list->n > 1 || list->has_random;
    if (sparse && v->density <= 0.0)
        return cli_usage("option --attn: policies other than dense need --density beside it");
    if (!sparse && v->density > 0.0)
        return cli_usage("option --density: expected --attn NAME beside it");
    for (int32_t i = 1; i < list->n; i++) {
        list->policy[i].density  = v->density;
        list->policy[i].topology = v->topology;
    }
    return CLI_EXIT_DONE;
}

/* Random masks are no policy: the kernel alone, as bench attention has them. */
static int random_dit(fil_ctx *ctx, const cli_call *call, const fil_bench_dit_desc *asked)
{
    const bench_values    *v = call->values;
    fil_bench_dit_desc     d = *asked;
    fil_bench_model_result r;
    if (v->density <= 0.0) return cli_usage("option --attn: random needs --density beside it");
    d.density = v->density;
    if (fil_bench_dit(ctx, &d, &r) != FIL_OK) return cli_failed(ctx, NULL);
    if (v->json != 0)
        bench_model_json(call->out, "dit", "random", &r);
    else
        bench_model_text(call->out, "dit", "random", &r);
    return CLI_EXIT_DONE;
}

static void tell_dits(const cli_call *call, const attn_list *list, const fil_bench_model_result *r)
{
    const bench_values *v = call->values;
    const char         *names[ATTNS];
    for (int32_t i = 0; i < list->n; i++)
        names[i] = list->name[i];
    if (v->json != 0)
        bench_dits_json(call->out, names, r, (size_t)list->n);
    else if (list->n == 1)
        bench_model_text(call->out, "dit", names[0], r);
    else
        bench_dits_text(call->out, names, r, (size_t)list->n);
}

static int policies_dit(fil_ctx *ctx, const cli_call *call, const fil_bench_dit_desc *asked)
{
    fil_bench_dit_desc     d    = *asked;
    attn_list              list = {.n = 0};
    fil_bench_model_result r[ATTNS];
    const int              code = read_attn(call->values, &list);
    if (code != CLI_EXIT_DONE) return code;
    d.policies   = list.policy;
    d.n_policies = list.n;
    if (fil_bench_dit(ctx, &d, r) != FIL_OK) return cli_failed(ctx, NULL);
    tell_dits(call, &list, r);
    return list.has_random ? random_dit(ctx, call, asked) : CLI_EXIT_DONE;
}

static int run_dit(fil_ctx *ctx, const cli_call *call)
{
    const bench_values *v       = call->values;
    int32_t             grid[3] = {0};
    fil_bench_dit_desc  d;
    fil_bench_dit_desc_init(&d);
    const int code = v->grid != NULL ? cli_read_grid(v->grid, grid) : CLI_EXIT_DONE;
    if (code != CLI_EXIT_DONE) return code;
    if (v->grid != NULL) {
        d.f = grid[0];
        d.h = grid[1];
        d.w = grid[2];
    }
    if (v->model_config != NULL) d.config = v->model_config;
    if (v->precision != NULL && strcmp(v->precision, "f32") == 0) d.dtype = FIL_F32;
    d.layers      = (int32_t)v->layers;
    d.repetitions = (int32_t)v->repetitions;
    return policies_dit(ctx, call, &d);
}

static int run_t5(fil_ctx *ctx, const cli_call *call)
{
    const bench_values    *v = call->values;
    fil_bench_t5_desc      d;
    fil_bench_model_result r;
    fil_bench_t5_desc_init(&d);
    if (v->tokens != 0) d.tokens = (int32_t)v->tokens;
    if (v->layers != 0) d.layers = (int32_t)v->layers;
    if (v->precision != NULL && strcmp(v->precision, "f32") == 0) d.dtype = FIL_F32;
    d.repetitions = (int32_t)v->repetitions;
    if (fil_bench_t5(ctx, &d, &r) != FIL_OK) return cli_failed(ctx, NULL);
    if (v->json != 0)
        bench_model_json(call->out, "t5", NULL, &r);
    else
        bench_model_text(call->out, "t5", NULL, &r);
    return CLI_EXIT_DONE;
}

static int run_vae(fil_ctx *ctx, const cli_call *call)
{
    const bench_values    *v       = call->values;
    int32_t                grid[3] = {0};
    fil_bench_vae_desc     d;
    fil_bench_model_result r;
    fil_bench_vae_desc_init(&d);
    if (v->grid != NULL) {
        const int code = cli_read_grid(v->grid, grid);
        if (code != CLI_EXIT_DONE) return code;
        d.t = grid[0];
        d.h = grid[1];
        d.w = grid[2];
    }
    if (v->precision != NULL && strcmp(v->precision, "bf16") == 0) d.dtype = FIL_BF16;
    d.repetitions = (int32_t)v->repetitions;
    if (fil_bench_vae(ctx, &d, &r) != FIL_OK) return cli_failed(ctx, NULL);
    if (v->json != 0)
        bench_model_json(call->out, "vae", NULL, &r);
    else
        bench_model_text(call->out, "vae", NULL, &r);
    return CLI_EXIT_DONE;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void json_shape(cli_out *out, const bench_values *v, bench_what what,
                       const fil_bench_result *r)
{
    if (what == LINEAR) {
        fil_bench_linear_desc d;
        fil_bench_linear_desc_init(&d);
        cli_json_number(out, "m", (uint64_t)(v->m != 0 ? v->m : d.m));
        cli_json_number(out, "k", (uint64_t)(v->k != 0 ? v->k : d.k));
        cli_json_number(out, "n", (uint64_t)r->n);
        cli_json_text(out, "epilogue", v->epilogue != NULL ? v->epilogue : "none");
        cli_json_bool(out, "in_place", v->in_place != 0);
        cli_json_text(out, "weights", v->weights != NULL ? v->weights : "packed");
        return;
    }
    cli_json_number(out, "n", (uint64_t)r->n);
    cli_json_number(out, "heads", (uint64_t)r->heads);
    cli_json_number(out, "head_dim", (uint64_t)r->head_dim);
    cli_json_real(out, "density", r->density);
    if (what != ATTENTION) return;
    const bool sparse = r->dense_seconds > 0.0;
    cli_json_text(out, "mask",
                  v->mask_file != NULL ? "file"
                  : !sparse            ? "none"
                  : v->mask != NULL    ? v->mask
                                       : "random");
    cli_json_real(out, "work", r->work);
    cli_json_bool(out, "tail", v->tail != 0);
    cli_json_number(out, "sinks", (uint64_t)v->sinks);
}

static void print_json(cli_out *out, const bench_values *v, bench_what what,
                       const fil_bench_result *r)
{
    cli_json_open(out, "bench");
    cli_json_text(out, "bench", what_names[what]);
    cli_json_text(out, "kernel", r->kernel);
    cli_json_text(out, "isa", r->isa);
    json_shape(out, v, what, r);
    cli_json_number(out, "threads", (uint64_t)r->threads);
    cli_json_number(out, "repetitions", (uint64_t)r->repetitions);
    cli_json_real(out, "seconds", r->seconds);
    cli_json_real(out, "tflops", r->tflops);
    cli_json_text(out, "peak", r->peak);
    cli_json_real(out, "peak_tflops", r->peak_tflops);
    cli_json_real(out, "fraction_of_peak", r->fraction_of_peak);
    if (r->dense_seconds > 0.0) {
        cli_json_text(out, "dense_kernel", r->dense_kernel);
        cli_json_real(out, "dense_seconds", r->dense_seconds);
    }
    if (r->sparse_efficiency > 0.0) cli_json_real(out, "sparse_efficiency", r->sparse_efficiency);
    if (r->plain_seconds > 0.0) cli_json_real(out, "plain_seconds", r->plain_seconds);
    cli_json_number(out, "workspace_bytes", r->workspace_bytes);
    cli_json_number(out, "memory_bytes", r->memory_bytes);
    cli_json_close(out);
}

/* ---- text ----------------------------------------------------------------------------------- */

/* One line of the table: what was run, and how long it took. */
typedef struct line {
    const char *name;
    double      density; /* 0: left blank */
    double      seconds, tflops;
    double      fraction; /* of peak */
} line;

typedef struct lines {
    line    line[2];
    int32_t n;
} lines;

static void table_row(const void *user, size_t i, cli_cell *cells)
{
    const line *l = &((const lines *)user)->line[i];
    cells[0].text = l->name;
    snprintf(cells[1].own, CLI_CELL, "%.3f ms", 1e3 * l->seconds);
    snprintf(cells[2].own, CLI_CELL, "%.4f", l->tflops);
    snprintf(cells[3].own, CLI_CELL, "%.1f %%", 100.0 * l->fraction);
    if (l->density > 0.0) snprintf(cells[4].own, CLI_CELL, "%.1f %%", 100.0 * l->density);
}

/* The line of what it is compared with, which did `flops` operations. */
static line other_line(const fil_bench_result *r, const char *name, double density, double seconds,
                       double flops)
{
    const double tflops = flops / seconds * 1e-12;
    return (line){.name     = name,
                  .density  = density,
                  .seconds  = seconds,
                  .tflops   = tflops,
                  .fraction = r->peak_tflops > 0.0 ? tflops / r->peak_tflops : 0.0};
}

static void print_text(cli_out *out, bench_what what, const fil_bench_result *r)
{
    static const cli_column columns[] = {
        {"", false}, {"time", true}, {"TFLOP/s", true}, {"of peak", true}, {"density", true}};
    const bool sparse = r->sparse_efficiency > 0.0;
    lines      all    = {.n = 1};
    char       bytes[CLI_HUMAN];
    cli_putf(out, "%s, %d thread%s, %d repetition%s\n", r->kernel, (int)r->threads,
             r->threads == 1 ? "" : "s", (int)r->repetitions, r->repetitions == 1 ? "" : "s");
    cli_putf(out, "peak %.4f TFLOP/s (%s); workspace %s\n\n", r->peak_tflops, r->peak,
             cli_human(bytes, r->workspace_bytes));
    all.line[0] = (line){.name     = sparse              ? "sparse"
                                     : what == ATTENTION ? "dense"
                                                         : what_names[what],
                         .density  = what == LINEAR ? 0.0 : r->density,
                         .seconds  = r->seconds,
                         .tflops   = r->tflops,
                         .fraction = r->fraction_of_peak};
    if (sparse)
        all.line[all.n++] = other_line(r, "dense", 1.0, r->dense_seconds, r->flops / r->density);
    else if (what == MASS)
        all.line[all.n++] = other_line(r, "dense attention", 1.0, r->dense_seconds, 2.0 * r->flops);
    else if (what == LINEAR)
        all.line[all.n++] = other_line(r, "product alone", 0.0, r->plain_seconds, r->flops);
    cli_table(out, columns, what == LINEAR ? 4 : 5, (size_t)all.n, table_row, &all);
    if (sparse)
        cli_putf(out, "\n%.2f times as fast as dense; sparse efficiency %.3f\n",
                 r->dense_seconds / r->seconds, r->sparse_efficiency);
    else if (what == MASS)
        cli_putf(out, "\n%.3f of the time of dense attention\n", r->seconds / r->dense_seconds);
    else if (what == LINEAR)
        cli_putf(out, "\n%+.1f %% over the product alone\n",
                 100.0 * (r->seconds / r->plain_seconds - 1.0));
}

/* ---- the verb ------------------------------------------------------------------------------- */

static int run_bench(const cli_call *call)
{
    const bench_values *v     = call->values;
    const int           found = index_of(what_names, call->args[0]);
    fil_ctx            *ctx   = NULL;
    fil_bench_result    r;
    if (found < 0)
        return cli_usage("bench: expected attention, mass, linear, dit, t5 or vae, found '%.80s'",
                         call->args[0]);
    const bench_what what = (bench_what)found;
    int              code = refuse_strangers(v, what);
    if (code == CLI_EXIT_DONE) code = cli_open_context_with_progress(call->common, &ctx);
    if (code == CLI_EXIT_DONE) code = check_kernel(ctx, what_names[what], v->kernel);
    if (code == CLI_EXIT_DONE && what == DIT)
        code = run_dit(ctx, call);
    else if (code == CLI_EXIT_DONE && what == VAE)
        code = run_vae(ctx, call);
    else if (code == CLI_EXIT_DONE && what == T5)
        code = run_t5(ctx, call);
    else if (code == CLI_EXIT_DONE && measure(ctx, v, what, &r) != FIL_OK)
        code = cli_failed(ctx, NULL);
    else if (code == CLI_EXIT_DONE && v->json != 0)
        print_json(call->out, v, what, &r);
    else if (code == CLI_EXIT_DONE)
        print_text(call->out, what, &r);
    fil_ctx_close(&ctx);
    return code;
}

#define NUMBER(option, field, value, text, low, high)                                              \
    {                                                                                              \
        .name = (option), .kind = CLI_NUMBER, .arg = (value), .help = (text),                      \
        .at = offsetof(bench_values, field), .min = (low), .max = (high)                           \
    }

static const cli_option options[] = {
    NUMBER("n", n, "N", "tokens; of linear: columns of the result; default 4096, linear 1536", 1,
           INT32_MAX),
    NUMBER("heads", heads, "N", "heads of attention and mass; default 2", 1, 4096),
    NUMBER("head-dim", head_dim, "D", "elements of a head, 64 or 128; default 128", 64, 128),
    {.name = "model-config",
     .kind = CLI_TEXT,
     .arg  = "NAME",
     .help = "sizes of dit: 1.3b, 14b, or the path of a config.json; default 1.3b",
     .at   = offsetof(bench_values, model_config)},
    {.name = "grid",
     .kind = CLI_TEXT,
     .arg  = "SIZES",
     .help =
         "tokens of dit, or latent of vae, as F,H,W: frames, height, width; default 5,16,26, vae "
         "2,16,16",
     .at = offsetof(bench_values, grid)},
    NUMBER("layers", layers, "N", "layers of dit or t5; default: those of the configuration, t5 24",
           1, 1024),
    NUMBER("tokens", tokens, "N", "tokens of t5's prompt, up to 512; default 512", 1, 512),
    {.name = "attn",
     .kind = CLI_TEXT,
     .arg  = "LIST",
     .help = "self-attention of dit: policies separated by commas, which run in turn beside dense, "
             "or random (masks of the kernel alone); default dense",
     .at   = offsetof(bench_values, attn)},
    {.name = "topology",
     .kind = CLI_TEXT,
     .arg  = "FILE",
     .help = "what filigree calibrate wrote, for west among --attn",
     .at   = offsetof(bench_values, topology)},
    {.name    = "precision",
     .kind    = CLI_CHOICE,
     .arg     = "TYPE",
     .help    = "of the linears of dit and t5, dit's attention, vae's convolutions: bf16 or f32; "
                "default bf16, vae f32",
     .at      = offsetof(bench_values, precision),
     .choices = type_names},
    {.name = "density",
     .kind = CLI_SHARE,
     .arg  = "P",
     .help = "keep this share of the blocks in each row, above 0, up to 1; default 1: dense alone",
     .at   = offsetof(bench_values, density)},
    {.name = "mask",
     .kind = CLI_CHOICE,
     .arg  = "KIND",
     .help = "which blocks are kept: random, window (the nearest) or frames (1/P frames, each on "
             "its own); default random",
     .at   = offsetof(bench_values, mask),
     .choices = mask_names},
    {.name = "mask-file",
     .kind = CLI_TEXT,
     .arg  = "PATH",
     .help = "take blocks and the first mask from this file instead",
     .at   = offsetof(bench_values, mask_file)},
    {.name = "tail",
     .kind = CLI_FLAG,
     .help = "let each block that is left out take part as one pooled key and value",
     .at   = offsetof(bench_values, tail)},
    NUMBER("sinks", sinks, "N", "keep N single tokens in every row, up to 64; default none", 0, 64),
    NUMBER("m", m, "M", "rows of linear; default 2048", 1, INT32_MAX),
    NUMBER("k", k, "K", "columns of linear's input; default 1536", 1, INT32_MAX),
    {.name = "epilogue",
     .kind = CLI_CHOICE,
     .arg  = "KIND",
     .help = "what follows the product of linear: none, gelu, silu or gate (times a gate, plus a "
             "residual); default none",
     .at   = offsetof(bench_values, epilogue),
     .choices = epilogue_names},
    {.name = "in-place",
     .kind = CLI_FLAG,
     .help = "weights of linear as a file has them, as where it is mapped; default: packed once",
     .at   = offsetof(bench_values, in_place)},
    {.name    = "weights",
     .kind    = CLI_CHOICE,
     .arg     = "TYPE",
     .help    = "weights of linear in this type, turned into bf16 as they are used: f16, f32 or a "
                "block type of GGUF such as q8_0 or q4_k; default: bf16",
     .at      = offsetof(bench_values, weights),
     .choices = weight_names},
    {.name = "kernel",
     .kind = CLI_TEXT,
     .arg  = "NAME",
     .help = "measure this kernel ('filigree kernels' lists them); default: the one that is chosen",
     .at   = offsetof(bench_values, kernel)},
    NUMBER("repetitions", repetitions, "R", "repeat R times, 1 to 99; default: about two seconds",
           1, 99),
    {.name = "json",
     .kind = CLI_FLAG,
     .help = "print one JSON object instead of a table",
     .at   = offsetof(bench_values, json)},
};

const cli_verb cli_verb_bench = {
    .name      = "bench",
    .summary   = "measure a kernel beside its dense form and the peak of this machine",
    .args      = "attention|mass|linear|dit|t5|vae",
    .min_args  = 1,
    .max_args  = 1,
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes =
        "The kernel, what it is compared with (attention: the same kernel without a mask; mass: "
        "dense attention; linear: the product alone) and a register-only loop of the same "
        "instruction set run in turn in one process; dit is one forward pass, t5 one prompt and "
        "vae "
        "the decoding of a latent with random weights beside that loop, told by their parts; "
        "medians "
        "are printed. Inputs are random "
        "normal bf16. With one thread times are CPU time of that thread, so that other programs "
        "do not count; with more, elapsed time. What does not fit into --max-memory is refused "
        "before anything is measured.\n"
        "\n"
        "examples:\n"
        "  filigree bench attention --n 8192 --density 0.15 --threads 1\n"
        "  filigree bench linear --epilogue gelu --json\n"
        "  filigree bench dit --grid 5,30,52 --layers 6 --attn dfs,vsa,auto --density 0.2\n",
    .run = run_bench,
};
