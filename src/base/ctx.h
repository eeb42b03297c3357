/* base/ctx.h: the context from the inside, and how a failure is reported.
 *
 * A fallible function returns fil_status and writes its detail into the context once, where the
 * failure is found: return FIL_FAIL(ctx, FIL_E_FORMAT, "..."). Callers pass it on with FIL_TRY and
 * may add where it happened with fili_error_frame. The first failure of a public call wins; the
 * next public call (fili_ctx_enter) clears it. The error path allocates nothing.
 */
#ifndef FILI_BASE_CTX_H
#define FILI_BASE_CTX_H

#include <stdbool.h>

#include "base/cpu.h"
#include "base/os.h"
#include "filigree/filigree.h"

#define FILI_MAX_FAMILIES 16

struct fili_device; /* base/device.h */

struct fil_ctx {
    const fili_os      *os;
    fil_options         opt; /* as given, defaults filled in */
    fil_memory          memory, device_memory;
    fil_error           error;
    int32_t             n_threads;
    fili_isa            isa;
    struct fili_device *device;                           /* NULL: the CPU alone */
    uint64_t            disabled_rows[FILI_MAX_FAMILIES]; /* of kernel/registry.h, a bit per row */
    fil_progress        unit; /* as told last; phase NULL = nothing in this call */
};

/* fil_ctx_open over another OS layer (tests); `os` must outlive the context. */
fil_status fili_ctx_open_on(const fili_os *os, fil_ctx **out, const fil_options *opt);

/* First line of every public function that can fail: forgets the former call's error and phase. */
void fili_ctx_enter(fil_ctx *ctx);

/* ctx may be NULL (no context yet): the detail then goes to a thread-local error. Use FIL_FAIL. */
void fili_fail(fil_ctx *ctx, const char *file, int line, const char *function, fil_status status,
               const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Adds "while ..." to the pending failure; frames beyond the fourth are dropped. */
void fili_error_frame(fil_ctx *ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

void fili_log(fil_ctx *ctx, fil_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* FIL_OK, or E_CANCELLED if the caller's cancel callback says so. */
fil_status fili_check_cancel(fil_ctx *ctx);

/* Tells the progress callback, if there is one. `phase` has static storage. */
void fili_progress(fil_ctx *ctx, const char *phase, uint64_t done, uint64_t total);

/* The same from within the unit that the last call began: `part` of `parts` of it are done. */
void fili_progress_part(fil_ctx *ctx, uint64_t part, uint64_t parts);

/* The same call that fil_ctx_error answers with NULL: the thread's last failure without a context.
 */
const fil_error *fili_thread_error(void);

/* Length of the well-formed UTF-8 character at p, 0 if it is broken, -1 if the text of n > 0 bytes
 * ends inside it. */
int fili_utf8_length(const unsigned char *p, size_t n);

/* Replaces bytes that must not reach a terminal or a log: C0, DEL, C1 controls and broken UTF-8
 * become '?', a character cut at the end is dropped. Works in place on a NUL-terminated text. */
void fili_printable(char *text);

/* True if `bytes` bytes are well-formed UTF-8 without C0, DEL or C1 control characters. */
bool fili_is_printable(const char *text, size_t bytes);

/* A name from a file, shortened in the middle to at most 80 bytes for a message. */
typedef struct fili_quoted {
    char text[88];
} fili_quoted;
fili_quoted fili_quote(const char *name, size_t bytes);

/* The value is the status itself, so that the compiler sees that a failure is never FIL_OK. */
#define FIL_FAIL(ctx, status, ...)                                                                 \
    (fili_fail((ctx), __FILE__, __LINE__, __func__, (status), __VA_ARGS__), (status))

#define FIL_TRY(expr)                                                                              \
    do {                                                                                           \
        const fil_status try_status_ = (expr);                                                     \
        if (try_status_ != FIL_OK) return try_status_;                                             \
    } while (0)

/* For functions with a cleanup label: assigns to a local `status` and jumps. */
#define FIL_TRY_OR(label, expr)                                                                    \
    do {                                                                                           \
        status = (expr);                                                                           \
        if (status != FIL_OK) goto label;                                                          \
    } while (0)

/* An argument that the caller got wrong. */
#define FIL_CHECK(ctx, cond, ...)                                                                  \
    do {                                                                                           \
        if (!(cond)) return FIL_FAIL((ctx), FIL_E_ARG, __VA_ARGS__);                               \
    } while (0)

#endif
