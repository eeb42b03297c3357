/* cli/bench_model.c: a measured pass through a model as JSON or as a table (bench_model.h). */
#include "bench_model.h"
#include "table.h"

static void members_json(cli_out *out, const char *bench, const char *attn,
                         const fil_bench_model_result *r)
{
    cli_json_open(out, "bench");
    cli_json_text(out, "bench", bench);
    if (attn != NULL) cli_json_text(out, "attn", attn);
    cli_json_number(out, "tokens", (uint64_t)r->tokens);
    cli_json_number(out, "layers", (uint64_t)r->layers);
    cli_json_number(out, "threads", (uint64_t)r->threads);
    cli_json_number(out, "repetitions", (uint64_t)r->repetitions);
    cli_json_real(out, "density", r->density);
    cli_json_real(out, "seconds", r->seconds);
    cli_json_real(out, "attention_seconds", r->attention_seconds);
    cli_json_real(out, "cross_seconds", r->cross_seconds);
    cli_json_real(out, "linear_seconds", r->linear_seconds);
    cli_json_real(out, "rest_seconds", r->rest_seconds);
    if (attn != NULL) cli_json_real(out, "choose_seconds", r->choose_seconds);
    cli_json_real(out, "tflops", r->tflops);
    cli_json_real(out, "peak_tflops", r->peak_tflops);
    cli_json_number(out, "peak_bytes", r->peak_bytes);
    cli_json_text(out, "attention_kernel", r->attention_kernel);
    cli_json_text(out, "linear_kernel", r->linear_kernel);
}

void bench_model_json(cli_out *out, const char *bench, const char *attn,
                      const fil_bench_model_result *r)
{
    members_json(out, bench, attn, r);
    cli_json_close(out);
}

/* ---- several -------------------------------------------------------------------------------- */

static double amdahl(const fil_bench_model_result *dense, const fil_bench_model_result *r)
{
    const double allowed = dense->seconds - dense->attention_seconds * (1.0 - r->density);
    return r->seconds > 0.0 ? allowed / r->seconds : 0.0;
}

void bench_dits_json(cli_out *out, const char *const *attn, const fil_bench_model_result *r,
                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        members_json(out, "dit", attn[i], &r[i]);
        if (n > 1) cli_json_real(out, "speedup", r[0].seconds / r[i].seconds);
        if (n > 1) cli_json_real(out, "of_amdahl", amdahl(&r[0], &r[i]));
        cli_json_close(out);
    }
}

typedef struct ways {
    const char *const            *attn;
    const fil_bench_model_result *r;
} ways;

static void way_row(const void *user, size_t i, cli_cell *cells)
{
    const ways                   *w = user;
    const fil_bench_model_result *r = &w->r[i];
    cells[0].text                   = w->attn[i];
    snprintf(cells[1].own, CLI_CELL, "%.1f %%", 100.0 * r->density);
    snprintf(cells[2].own, CLI_CELL, "%.3f s", r->seconds);
    snprintf(cells[3].own, CLI_CELL, "%.3f s", r->attention_seconds);
    snprintf(cells[4].own, CLI_CELL, "%.3f s", r->choose_seconds);
    snprintf(cells[5].own, CLI_CELL, "%.1f %%", 100.0 * r->attention_seconds / r->seconds);
    snprintf(cells[6].own, CLI_CELL, "%.2f", w->r[0].seconds / r->seconds);
    snprintf(cells[7].own, CLI_CELL, "%.3f", amdahl(&w->r[0], r));
}

void bench_dits_text(cli_out *out, const char *const *attn, const fil_bench_model_result *r,
                     size_t n)
{
    static const cli_column columns[] = {
        {"", false},        {"density", true},     {"time", true},    {"attention", true},
        {"choosing", true}, {"attention's", true}, {"x dense", true}, {"of Amdahl", true}};
    const ways w = {.attn = attn, .r = r};
    cli_putf(out, "dit: %lld tokens, %d layer%s, %d thread%s, %d repetition%s in turn\n\n",
             (long long)r->tokens, (int)r->layers, r->layers == 1 ? "" : "s", (int)r->threads,
             r->threads == 1 ? "" : "s", (int)r->repetitions, r->repetitions == 1 ? "" : "s");
    cli_table(out, columns, 8, n, way_row, &w);
}

/* ---- parts ---------------------------------------------------------------------------------- */

typedef struct part {
    const char *name;
    double      seconds;
} part;

typedef struct parts {
    part   part[6];
    double whole;
} parts;

static void table_row(const void *user, size_t i, cli_cell *cells)
{
    const parts *p = user;
    cells[0].text  = p->part[i].name;
    snprintf(cells[1].own, CLI_CELL, "%.3f ms", 1e3 * p->part[i].seconds);
    snprintf(cells[2].own, CLI_CELL, "%.1f %%",
             p->whole > 0.0 ? 100.0 * p->part[i].seconds / p->whole : 0.0);
}

void bench_model_text(cli_out *out, const char *bench, const char *attn,
                      const fil_bench_model_result *r)
{
    static const cli_column columns[] = {{"", false}, {"time", true}, {"share", true}};
    const parts             all       = {.part  = {{"attention", r->attention_seconds},
                                                   {"attention to the prompt", r->cross_seconds},
                                                   {"linears", r->linear_seconds},
                                                   {"choosing", r->choose_seconds},
                                                   {"everything else", r->rest_seconds},
                                                   {"all", r->seconds}},
                                         .whole = r->seconds};
    char                    bytes[CLI_HUMAN];
    cli_putf(out, "%s%s%s: %lld tokens, %d layer%s, %d thread%s, %d repetition%s\n", bench,
             attn != NULL ? " " : "", attn != NULL ? attn : "", (long long)r->tokens,
             (int)r->layers, r->layers == 1 ? "" : "s", (int)r->threads, r->threads == 1 ? "" : "s",
             (int)r->repetitions, r->repetitions == 1 ? "" : "s");
    cli_putf(out, "%.4f TFLOP/s of %.4f; density %.1f %%; memory %s\n\n", r->tflops, r->peak_tflops,
             100.0 * r->density, cli_human(bytes, r->peak_bytes));
    cli_table(out, columns, 3, 6, table_row, &all);
}
