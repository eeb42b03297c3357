/* cli/cmd_selftest.c: `filigree selftest`. Runs every kernel that this machine can run against the
 * scalar reference, one line each as it goes; the exit code tells whether all passed.
 */
#include "filigree/attention.h"
#include "report.h"
#include "verb.h"

typedef struct selftest_values {
    int json;
} selftest_values;

typedef struct selftest_run {
    cli_out *out;
    bool     json;
    int32_t  n;
    double   seconds;
} selftest_run;

static void tell_json(cli_out *out, const fil_kernel_info *k, int passed, double error,
                      double seconds, const char *text)
{
    cli_json_open(out, "selftest");
    cli_json_text(out, "family", k->family);
    cli_json_text(out, "kernel", k->name);
    cli_json_text(out, "isa", k->isa);
    cli_json_bool(out, "passed", passed != 0);
    cli_json_real(out, "error", error);
    cli_json_real(out, "seconds", seconds);
    cli_json_text(out, "text", text);
    cli_json_close(out);
}

static void tell(void *user, const fil_kernel_info *k, int passed, double error, double seconds,
                 const char *text)
{
    selftest_run *run = user;
    run->n++;
    run->seconds += seconds;
    if (run->json) {
        tell_json(run->out, k, passed, error, seconds, text);
    } else {
        cli_putf(run->out, "%-6s  %-10s  %-40s  error %5.3f of tolerance  %5.2f s\n",
                 passed ? "ok" : "FAILED", k->family, k->name, error, seconds);
        if (text[0] != '\0') cli_putf(run->out, "        %s\n", text);
    }
    (void)fflush(run->out->stream); /* an error is found again at the end */
}

static void tell_total(const selftest_run *run, int32_t n_failed)
{
    if (run->json) {
        cli_json_open(run->out, "total");
        cli_json_number(run->out, "kernels", (uint64_t)run->n);
        cli_json_number(run->out, "failed", (uint64_t)n_failed);
        cli_json_real(run->out, "seconds", run->seconds);
        cli_json_close(run->out);
        return;
    }
    cli_putf(run->out, "%d kernel%s, %d failed, %.2f s\n", (int)run->n, run->n == 1 ? "" : "s",
             (int)n_failed, run->seconds);
}

static int run_selftest(const cli_call *call)
{
    const selftest_values *values   = call->values;
    selftest_run           run      = {.out = call->out, .json = values->json != 0};
    fil_ctx               *ctx      = NULL;
    int32_t                n_failed = 0;
    int                    code     = cli_open_context(call->common, &ctx);
    if (code != CLI_EXIT_DONE) return code;
    if (fil_selftest(ctx, tell, &run, &n_failed) != FIL_OK) {
        code = cli_failed(ctx, NULL);
    } else {
        tell_total(&run, n_failed);
        if (n_failed > 0) {
            cli_error("%d kernel%s failed the self-test; the lines above name %s", (int)n_failed,
                      n_failed == 1 ? "" : "s", n_failed == 1 ? "it" : "them");
            code = CLI_EXIT_INTERNAL;
        }
    }
    fil_ctx_close(&ctx);
    return code;
}

static const cli_option options[] = {
    {.name = "json",
     .kind = CLI_FLAG,
     .help = "print one JSON object per kernel and a total instead of lines of text",
     .at   = offsetof(selftest_values, json)},
};

const cli_verb cli_verb_selftest = {
    .name      = "selftest",
    .summary   = "run every kernel of this machine against the scalar reference",
    .args      = "",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes = "Takes some seconds. An error is the largest one found, in units of its tolerance: "
             "above 1 a kernel has failed. Exit code 0 if all passed, 1 if one failed; "
             "FIL_ISA can keep the program from a kernel that fails.\n"
             "\n"
             "example:\n"
             "  filigree selftest\n",
    .run   = run_selftest,
};
