/* cli/report.c: error lines, exit codes, and the context with its log (cli/report.h).
 *
 * A line is put together in a fixed buffer, so that running out of memory can be said too; what is
 * longer than the buffer is cut.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "progress.h"
#include "report.h"

#define LINE 4096

static volatile sig_atomic_t stopped; /* a signal asked for it */

cli_exit cli_exit_of(fil_status status)
{
    switch (status) {
    case FIL_OK: return CLI_EXIT_DONE;
    case FIL_E_ARG: return CLI_EXIT_USAGE;
    case FIL_E_SHAPE:
    case FIL_E_FORMAT:
    case FIL_E_LIMIT:
    case FIL_E_MISMATCH:
    case FIL_E_UNSUP: return CLI_EXIT_FILE;
    case FIL_E_NOMEM:
    case FIL_E_NOMEM_DEV: return CLI_EXIT_MEMORY;
    case FIL_E_IO: return CLI_EXIT_IO;
    case FIL_E_NONFINITE: return CLI_EXIT_NONFINITE;
    case FIL_E_CANCELLED: return CLI_EXIT_STOPPED;
    case FIL_E_DEVICE:
    case FIL_E_INTERNAL: break;
    }
    return CLI_EXIT_INTERNAL;
}

static void print_line(const char *text)
{
    cli_out err = {.stream = stderr};
    cli_progress_wipe();
    cli_put(&err, "filigree: ");
    cli_put_escaped(&err, text, strlen(text), CLI_SHOWN, SIZE_MAX);
    cli_put(&err, "\n");
}

void cli_error(const char *format, ...)
{
    char    line[LINE];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    print_line(line);
}

void cli_note(const cli_common *common, const char *format, ...)
{
    char    line[LINE] = "note: ";
    va_list args;
    if (common->quiet != 0) return;
    va_start(args, format);
    vsnprintf(line + strlen(line), sizeof line - strlen(line), format, args);
    va_end(args);
    print_line(line);
}

int cli_usage(const char *format, ...)
{
    char    line[LINE];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    print_line(line);
    return CLI_EXIT_USAGE;
}

static void append(char *line, const char *a, const char *b)
{
    const size_t used = strlen(line);
    snprintf(line + used, LINE - used, "%s%s", a, b);
}

static bool ends_in(const char *text, const char *tail)
{
    const size_t n = strlen(text);
    const size_t m = strlen(tail);
    return n >= m && strcmp(text + n - m, tail) == 0;
}

int cli_failed(const fil_ctx *ctx, const char *where)
{
    const fil_error *e = fil_ctx_error(ctx);
    char             line[LINE];
    const char      *joint = " (while ";
    line[0]                = '\0';
    if (stopped && e->status == FIL_E_CANCELLED)
        append(line, "stopped by a signal", "");
    else
        append(line, e->message[0] != '\0' ? e->message : fil_status_text(e->status), "");
    for (int32_t i = 0; i < e->n_frames && i < FIL_ERROR_FRAMES; i++) {
        append(line, joint, e->frame[i]);
        joint = ", ";
        if (where != NULL && ends_in(e->frame[i], where)) where = NULL;
    }
    if (where != NULL) {
        append(line, joint, where);
        joint = ", ";
    }
    if (joint[0] == ',') append(line, ")", "");
    print_line(line);
    return (int)cli_exit_of(e->status);
}

fil_dtype cli_dtype_of(const char *name)
{
    for (int i = 1; name != NULL && i <= UINT8_MAX; i++)
        if (strcasecmp(fil_dtype_name((fil_dtype)i), name) == 0) return (fil_dtype)i;
    return FIL_DTYPE_NONE;
}

void cli_json_failure(cli_out *out, const fil_error *error)
{
    const char *frames[FIL_ERROR_FRAMES];
    size_t      n = 0;
    for (; n < FIL_ERROR_FRAMES && (int32_t)n < error->n_frames; n++)
        frames[n] = error->frame[n];
    cli_json_text(out, "status", fil_status_name(error->status));
    cli_json_number(out, "exit", (uint64_t)cli_exit_of(error->status));
    cli_json_text(out, "message", error->message);
    cli_json_texts(out, "while", frames, n);
}

/* Errors are left to cli_failed, which says them once, with their frames. */
static void log_line(void *user, fil_log_level level, const char *text)
{
    static const char *const word[] = {"error", "warning", "note", "detail"};
    const cli_common        *common = user;
    if (level == FIL_LOG_ERROR || (int)level > FIL_LOG_DEBUG) return;
    if ((int)level > FIL_LOG_WARNING + common->verbose) return;
    if (common->quiet != 0 && level > FIL_LOG_WARNING) return;
    cli_error("%s: %s", word[level], text);
    if (level == FIL_LOG_WARNING) cli_progress_warning(text);
}

/* ---- being stopped -------------------------------------------------------------------------- */

/* A second signal ends the process in the usual way. */
static void on_signal(int number)
{
    if (stopped != 0) {
        cli_progress_wipe_by_signal();
        (void)signal(number, SIG_DFL);
        (void)raise(number);
    }
    stopped = 1;
}

/* Of what is over soon: the first one ends the process, and leaves an empty line. */
static void on_last_signal(int number)
{
    cli_progress_wipe_by_signal();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* What was ignored before, as for a job in the background, stays ignored. */
static void catch_signals(void (*handler)(int))
{
    static const int number[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof number / sizeof number[0]; i++) {
        const struct sigaction catching = {.sa_handler = handler, .sa_flags = SA_RESTART};
        struct sigaction       before;
        if (sigaction(number[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaction(number[i], &catching, NULL);
    }
}

static int asked_to_stop(void *user)
{
    (void)user;
    return stopped;
}

/* ---- the context ---------------------------------------------------------------------------- */

static int open_context(cli_common *common, fil_progress_fn progress, fil_cancel_fn cancel,
                        fil_ctx **out)
{
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads        = (int32_t)common->threads;
    opt.max_host_bytes   = common->max_memory;
    opt.device           = common->device;
    opt.max_device_bytes = common->max_vram;
    opt.log              = log_line;
    opt.progress         = progress;
    opt.cancel           = cancel;
    opt.user             = common;
    if (fil_ctx_open(out, &opt) != FIL_OK) return cli_failed(NULL, NULL);
    if (common->max_vram == 0 || strcmp(fil_ctx_device(*out), "cpu") != 0) return CLI_EXIT_DONE;
    fil_ctx_close(out);
    return cli_usage("option --max-vram: expected a device, as --device cuda opens it, found none");
}

int cli_open_context(cli_common *common, fil_ctx **out)
{
    return open_context(common, NULL, NULL, out);
}

int cli_open_context_with_progress(cli_common *common, fil_ctx **out)
{
    cli_progress_begin(common->quiet);
    catch_signals(on_last_signal);
    return open_context(common, cli_progress_told, NULL, out);
}

int cli_open_context_for_run(cli_common *common, fil_ctx **out)
{
    cli_progress_begin(common->quiet);
    catch_signals(on_signal);
    return open_context(common, cli_progress_told, asked_to_stop, out);
}
