/* cli/report.h: what the program says on stderr, and the code it leaves with.
 *
 * Every failure is one line, `filigree: SENTENCE (while WHERE, WHERE)`. Exit codes are permanent;
 * scripts rely on them.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "filigree/file.h"
#include "filigree/filigree.h"
#include "options.h"
#include "output.h"

/* X(name, code, text) */
#define CLI_EXIT_LIST(X)                                                                           \
    X(DONE, 0, "done")                                                                             \
    X(INTERNAL, 1, "internal error")                                                               \
    X(USAGE, 2, "wrong usage")                                                                     \
    X(FILE, 3, "bad or unfitting file")                                                            \
    X(MEMORY, 4, "not enough memory")                                                              \
    X(IO, 5, "input or output failed")                                                             \
    X(NONFINITE, 6, "non-finite values")                                                           \
    X(STOPPED, 75, "stopped by a signal; what was saved can be resumed")

typedef enum cli_exit {
#define CLI_EXIT_ENUM(name, code, text) CLI_EXIT_##name = (code),
    CLI_EXIT_LIST(CLI_EXIT_ENUM)
#undef CLI_EXIT_ENUM
} cli_exit;

cli_exit cli_exit_of(fil_status status);

/* One line on stderr, made printable. */
void cli_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for how something went, "note: ..."; nothing with --quiet. */
void cli_note(const cli_common *common, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for wrong usage; returns CLI_EXIT_USAGE. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The library's last failure on ctx (NULL: without a context); returns its exit code. `where` is
 * one more frame, left out if a frame ends in it; NULL for none. */
int cli_failed(const fil_ctx *ctx, const char *where);

/* The type of that name, in capitals or not; NONE for NULL and what is no type. */
fil_dtype cli_dtype_of(const char *name);

/* Members of a JSON object that tell of a failure: status, exit, message, while. */
void cli_json_failure(cli_out *out, const fil_error *error);

/* Opens a context as the common options say. Returns 0 or an exit code, after the report. The log
 * goes to stderr: warnings always, more with -v. `common` must outlive the context. */
int cli_open_context(cli_common *common, fil_ctx **out);
/* The same; how far a call is goes to stderr and to the events of progress.h. */
int cli_open_context_with_progress(cli_common *common, fil_ctx **out);
/* The same for runs of hours: SIGINT, SIGTERM and SIGHUP end the run in order. */
int cli_open_context_for_run(cli_common *common, fil_ctx **out);

#endif
