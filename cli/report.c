/* cli/report.c: error lines, exit codes, and the context with its log (cli/report.h).
 *
 * A line is put together in a fixed buffer, so that running out of memory can be said too; what is
 * longer than the buffer is cut.
 */
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output.h"
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

/* Errors are left to cli_failed, which says them once, with their frames. */
static void log_line(void *user, fil_log_level level, const char *text)
{
    static const char *const word[] = {"error", "warning", "note", "detail"};
    const cli_common        *common = user;
    if (level == FIL_LOG_ERROR || (int)level > FIL_LOG_DEBUG) return;
    if ((int)level > FIL_LOG_WARNING + common->verbose) return;
    cli_error("%s: %s", word[level], text);
}

/* One line that is written over and over, and wiped at the end. */
static void show_progress(void *user, const fil_progress *progress)
{
    (void)user;
    if (progress->done >= progress->total)
        fprintf(stderr, "\r%40s\r", "");
    else
        fprintf(stderr, "\r%.20s %llu / %llu", progress->phase, (unsigned long long)progress->done,
                (unsigned long long)progress->total);
}

/* Seconds by the clock. */
static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define BETWEEN 2.0 /* seconds from one line to the next, at least */

static struct {
    const char *phase;
    uint64_t    first;       /* units done when the phase was met */
    double      begun, told; /* the phase; the last line of any */
    bool        shown;       /* a line of the phase */
} seen;                      /* one run at a time */

static void put_progress(const fil_progress *p, double time)
{
    const bool terminal = isatty(STDERR_FILENO) != 0;
    const bool ends     = p->done >= p->total;
    fprintf(stderr, "%s%.20s %llu / %llu", terminal ? "\r" : "", p->phase,
            (unsigned long long)p->done, (unsigned long long)p->total);
    if (p->done > seen.first) {
        const double each = (time - seen.begun) / (double)(p->done - seen.first);
        const double left = each * (double)(p->total - p->done);
        fprintf(stderr, ", %.3g s each", each);
        if (!ends)
            fprintf(stderr, ", %.0f min %02.0f s left", floor(left / 60.0), fmod(left, 60.0));
    }
    fprintf(stderr, "%s%s", terminal ? "\033[K" : "", ends || !terminal ? "\n" : "");
    (void)fflush(stderr);
}

/* "sample 3 / 50, 12.3 s each, 9 min 38 s left". Phases that are over at once say nothing. */
static void show_run(void *user, const fil_progress *progress)
{
    const double time = now();
    (void)user;
    if (seen.phase == NULL || strcmp(seen.phase, progress->phase) != 0 || progress->done == 0) {
        if (seen.told == 0.0) seen.told = time;
        seen.phase = progress->phase;
        seen.first = progress->done;
        seen.begun = time;
        seen.shown = false;
    }
    const bool ends = progress->done >= progress->total;
    if (time - seen.told < BETWEEN && !(ends && seen.shown)) return;
    put_progress(progress, time);
    seen.told  = time;
    seen.shown = true;
}

/* ---- being stopped -------------------------------------------------------------------------- */

/* A second signal ends the process in the usual way. */
static void on_signal(int number)
{
    stopped = 1;
    (void)signal(number, SIG_DFL);
}

/* What was ignored before, as for a job in the background, stays ignored. */
static void catch_signal(int number)
{
    if (signal(number, on_signal) == SIG_IGN) (void)signal(number, SIG_IGN);
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
    opt.n_threads      = (int32_t)common->threads;
    opt.max_host_bytes = common->max_memory;
    opt.log            = log_line;
    opt.progress       = progress;
    opt.cancel         = cancel;
    opt.user           = common;
    if (fil_ctx_open(out, &opt) != FIL_OK) return cli_failed(NULL, NULL);
    return CLI_EXIT_DONE;
}

int cli_open_context(cli_common *common, fil_ctx **out)
{
    return open_context(common, NULL, NULL, out);
}

int cli_open_context_with_progress(cli_common *common, fil_ctx **out)
{
    return open_context(common, isatty(STDERR_FILENO) ? show_progress : NULL, NULL, out);
}

int cli_open_context_for_run(cli_common *common, fil_ctx **out)
{
    catch_signal(SIGINT);
    catch_signal(SIGTERM);
    catch_signal(SIGHUP);
    return open_context(common, show_run, asked_to_stop, out);
}
