/* filigree/filigree.h: version, status, limits, callbacks, context.
 *
 * filigree runs video diffusion transformers with block-sparse attention. This header is the part
 * that every other one needs. Read it top to bottom: from one call to the details.
 *
 *     #include <filigree/filigree.h>
 *     #include <filigree/file.h>
 *
 *     fil_options opt;
 *     fil_options_init(&opt);                        // defaults
 *     opt.n_threads = 4;
 *
 *     fil_ctx *ctx = NULL;
 *     fil_file *file = NULL;
 *     if (fil_ctx_open(&ctx, &opt) != FIL_OK ||
 *         fil_file_open(ctx, "model.safetensors", 0, &file) != FIL_OK)
 *         fprintf(stderr, "%s\n", fil_ctx_error(ctx)->message);
 *     fil_file_close(&file);                          // accepts a NULL handle
 *     fil_ctx_close(&ctx);
 *
 * Rules that hold for the whole library:
 *   - Threads. One context, one thread at a time; different contexts are independent. An object
 *     made with a context (a file, a plan) follows the same rule and is closed before its context.
 *   - Failure. A function that can fail returns a fil_status; its text is in fil_ctx_error(). On
 *     failure an output handle is NULL and the object that was passed in stays closable.
 *   - The library never prints, exits, aborts, installs a signal handler, changes the locale or
 *     touches OpenMP settings. What it has to say goes through the log callback.
 *   - Every file is untrusted input: see SECURITY.md.
 *   - A struct that the caller fills begins with struct_size and has an init function.
 */
#ifndef FILIGREE_FILIGREE_H
#define FILIGREE_FILIGREE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FIL_API       __attribute__((visibility("default")))
#define FIL_MUSTCHECK __attribute__((warn_unused_result))
#else
#define FIL_API
#define FIL_MUSTCHECK
#endif

/* ---- version -------------------------------------------------------------------------------- */

/* Of these headers. The interface follows semantic versioning from 1.0 on; before that, a minor
 * version may change it. */
#define FIL_VERSION_MAJOR  0
#define FIL_VERSION_MINOR  1
#define FIL_VERSION_PATCH  0
#define FIL_VERSION_STRING "0.1.0"

/* Version of the library in use, "major.minor.patch": may differ from the headers'. A build for
 * tests, in which instruction sets of the CPU are models, adds "+emulated". Static storage. */
FIL_API const char *fil_version(void);

/* ---- status --------------------------------------------------------------------------------- */

/* Numbers are permanent; new codes use the gaps. X(name, value, text)
 *
 *   OK           the call did what it says
 *   E_ARG        the caller broke a rule of the function: a NULL, a range, a wrong order of calls
 *   E_SHAPE      two arguments do not fit each other
 *   E_NOMEM      no host memory, or more than fil_options.max_host_bytes
 *   E_NOMEM_DEV  no device memory
 *   E_IO         the system failed to open, read or write; a file changed while it was open
 *   E_FORMAT     a file breaks the rules of its format; nothing of it was used
 *   E_LIMIT      a file is legal, but over a limit of fil_limits
 *   E_MISMATCH   a file is legal, but not what was asked for: missing or unexpected tensors
 *   E_UNSUP      legal, but nobody here can do it: a format, a type, a kernel, a machine
 *   E_DEVICE     the device reported an error
 *   E_NONFINITE  a NaN or infinity where the computation allows none
 *   E_CANCELLED  the cancel callback said so
 *   E_INTERNAL   a bug of the library: please report it with the message
 */
#define FIL_STATUS_LIST(X)                                                                         \
    X(OK, 0, "success")                                                                            \
    X(E_ARG, 10, "invalid argument")                                                               \
    X(E_SHAPE, 12, "shapes do not agree")                                                          \
    X(E_NOMEM, 20, "out of memory (host)")                                                         \
    X(E_NOMEM_DEV, 22, "out of memory (device)")                                                   \
    X(E_IO, 30, "input or output failed")                                                          \
    X(E_FORMAT, 32, "file is malformed")                                                           \
    X(E_LIMIT, 34, "a configured limit was exceeded")                                              \
    X(E_MISMATCH, 36, "file does not fit")                                                         \
    X(E_UNSUP, 40, "no implementation for this request")                                           \
    X(E_DEVICE, 50, "device error")                                                                \
    X(E_NONFINITE, 60, "non-finite value detected")                                                \
    X(E_CANCELLED, 70, "cancelled by caller")                                                      \
    X(E_INTERNAL, 90, "internal invariant broken")

typedef enum fil_status {
#define FIL_STATUS_ENUM(name, value, text) FIL_##name = (value),
    FIL_STATUS_LIST(FIL_STATUS_ENUM)
#undef FIL_STATUS_ENUM
} fil_status;

/* "E_FORMAT" and "file is malformed"; "E_UNKNOWN" for a code that is none. Static storage. */
FIL_API const char *fil_status_name(fil_status status);
FIL_API const char *fil_status_text(fil_status status);

/* Detail of a failure. Filled without allocating, so that running out of memory has a text too.
 *   message  one sentence: what, where, expected, found. Printable UTF-8: control bytes that a file
 *            smuggled in are replaced, so that it may go to a terminal or a log as it is.
 *   frame    where it happened, innermost first: "tensor a.weight", "file x.safetensors". Four at
 *            most; further ones are dropped.
 * Texts are cut to their size, between characters. */
#define FIL_ERROR_MESSAGE 256
#define FIL_ERROR_FRAME   160
#define FIL_ERROR_FRAMES  4

typedef struct fil_error {
    fil_status  status;   /* FIL_OK: no failure; all else is then empty */
    int32_t     n_frames; /* valid entries of frame */
    const char *function; /* that failed; static storage */
    const char *file;     /* source file, relative to the project; static storage */
    int32_t     line;
    char        message[FIL_ERROR_MESSAGE];
    char        frame[FIL_ERROR_FRAMES][FIL_ERROR_FRAME];
} fil_error;

/* ---- memory --------------------------------------------------------------------------------- */

/* Where host memory comes from: every byte that the library takes on the host passes here, but for
 * what a third library allocates inside itself, which is counted against the limit by an upper
 * bound. Both functions or neither (zero = the C library's). Called only from the thread that uses
 * the context.
 *   alloc  returns `bytes` > 0 bytes aligned to `align` (a power of two up to 4096), or NULL
 *   free   takes what alloc returned, never NULL, with the same size */
typedef struct fil_allocator {
    void *(*alloc)(void *user, size_t bytes, size_t align);
    void (*free)(void *user, void *block, size_t bytes);
    void *user;
} fil_allocator;

/* ---- callbacks ------------------------------------------------------------------------------ */

/* Callbacks run on the thread that called the library, inside the call. They may not call back into
 * the same context, and may not jump out (longjmp, C++ exceptions). */

typedef enum fil_log_level {
    FIL_LOG_ERROR   = 0, /* a call is about to fail, and why */
    FIL_LOG_WARNING = 1, /* the result stands, but the user should know */
    FIL_LOG_INFO    = 2, /* what was chosen */
    FIL_LOG_DEBUG   = 3
} fil_log_level;

/* One message, one line, no line feed. `text` is borrowed for the call. */
typedef void (*fil_log_fn)(void *user, fil_log_level level, const char *text);

/* How far a call is. Told at its own pace: when a unit of work is finished, and in a phase whose
 * units take long (the steps of a video) also on the way through one, with a part that grows while
 * `done` stays. */
typedef struct fil_progress {
    const char *phase; /* "load", "encode", "sample", "decode", ...; static storage */
    uint64_t    done;  /* units finished, <= total */
    uint64_t    total; /* 0 = not known */
    uint64_t    part;  /* of the unit that runs: parts finished, <= parts */
    uint64_t    parts; /* 0 = not known */
} fil_progress;

/* *progress is borrowed for the call. */
typedef void (*fil_progress_fn)(void *user, const fil_progress *progress);

/* Asked between units of work, from the calling thread. Non-zero ends the call with E_CANCELLED. */
typedef int (*fil_cancel_fn)(void *user);

/* A small picture of work in progress. rgb: [height, width, 3] u8, borrowed for the call. */
typedef struct fil_preview {
    const uint8_t *rgb;
    int32_t        width, height; /* pixels */
    int32_t        step, n_steps; /* steps done, and of the run */
    int32_t        columns, rows; /* of frames in the picture, from left to right, then down */
} fil_preview;

/* Told between steps by calls that make a video, if they were asked for previews (video.h). */
typedef void (*fil_preview_fn)(void *user, const fil_preview *preview);

/* ---- limits --------------------------------------------------------------------------------- */

/* What a file may ask of us before it is refused. Exceeding one gives E_LIMIT and names the limit.
 * The defaults are written behind the fields; they fit every published model. Raise one only for
 * files that you trust: memory and time grow with it. fil_ctx_open refuses values beyond all reason
 * (E_ARG). */
typedef struct fil_limits {
    uint64_t header_bytes;   /* JSON or GGUF header, index, config, pickle: 64 MiB */
    uint64_t tensors;        /* per model: 65,536 */
    uint64_t name_bytes;     /* per tensor name: 512 */
    uint64_t metadata_bytes; /* keys and values of a file's metadata together: 1 MiB */
    uint64_t metadata_pairs; /* 4,096 */
    uint64_t shards;         /* files of one model: 1,024 */
} fil_limits;

/* ---- context -------------------------------------------------------------------------------- */

/* What every call needs: memory, limits, threads, callbacks, and the last error. Opaque. Cheap to
 * open (no threads are started, no file is read but the cgroup's), so one per thread is fine.
 * Threads are OpenMP's, which spin while they wait for others: where the machine has other work, a
 * process that is started with OMP_WAIT_POLICY=passive is several times as fast. */
typedef struct fil_ctx fil_ctx;

/* How a context is to behave. Fill with fil_options_init, then change what matters. A program built
 * with an older header passes a shorter struct and gets the defaults of what it does not know. */
typedef struct fil_options {
    uint32_t        struct_size;    /* set by fil_options_init; lets the struct grow */
    int32_t         n_threads;      /* 0 = what the process may use (affinity, cgroup quota) */
    uint64_t        max_host_bytes; /* 0 = no limit; exceeding gives E_NOMEM */
    fil_allocator   host;           /* all zero = the C library's */
    fil_limits      limits;         /* what a file may ask of us */
    fil_log_fn      log;            /* NULL = silent */
    fil_progress_fn progress;       /* NULL = not told */
    fil_cancel_fn   cancel;         /* NULL = never cancelled */
    fil_preview_fn  preview;        /* NULL = no pictures are made */
    void           *user;           /* given to the four callbacks */
    /* Where kernels run: "cpu", "cuda" (the first GPU), "cuda:1", ... NULL = what the environment
     * variable FIL_DEVICE says, else the CPU. Read by fil_ctx_open alone. */
    const char *device;
    uint64_t    max_device_bytes; /* of the device's memory; 0, or more than that = all that is free
                                     when the context is opened; exceeding gives E_NOMEM_DEV. Not
                                     looked at without a device */
} fil_options;

/* Fills *opt with the defaults named above. Cannot fail; opt is not NULL. */
FIL_API void fil_options_init(fil_options *opt);

/* Opens a context. A device that was asked for and is not there is E_UNSUP; without one nothing of
 * CUDA is loaded. Calls take memory of the host and of the device alike: what lies on the host is
 * copied to the device and back inside the call. `opt` is copied (NULL = defaults); its callbacks
 * must outlive the context. The environment variable FIL_ISA (ref, avx2, avx512, avx512bf16, amx,
 * neon) caps the instruction set. E_ARG: bad option or an FIL_ISA that does not exist; E_UNSUP:
 * FIL_ISA names what this CPU lacks; E_NOMEM. On failure *out is NULL and the detail is in
 * fil_ctx_error(NULL). */
FIL_API FIL_MUSTCHECK fil_status fil_ctx_open(fil_ctx **out, const fil_options *opt);

/* Closes and sets *ctx to NULL. NULL and a NULL handle are accepted. Everything made with the
 * context has been closed before: files, writers and plans borrow it. */
FIL_API void fil_ctx_close(fil_ctx **ctx);

/* The last failure of a call on this context; status FIL_OK and an empty message if it succeeded.
 * Borrowed until the next call on the context. NULL: the calling thread's last failure that had no
 * context. Never NULL. */
FIL_API const fil_error *fil_ctx_error(const fil_ctx *ctx);

/* Threads that this context uses, and the instruction set level in use ("avx512bf16"; static). */
FIL_API int32_t     fil_ctx_threads(const fil_ctx *ctx);
FIL_API const char *fil_ctx_isa(const fil_ctx *ctx);

/* "cpu", or the device and its name: "cuda:0 NVIDIA H100 80GB HBM3". Borrowed from the context. */
FIL_API const char *fil_ctx_device(const fil_ctx *ctx);

/* Memory of a context, in bytes. */
typedef struct fil_memory {
    uint64_t used;  /* bytes allocated now through the context */
    uint64_t peak;  /* high-water mark */
    uint64_t limit; /* 0 = none */
} fil_memory;

/* Of the host: a snapshot. The limit is that of fil_options.max_host_bytes. */
FIL_API fil_memory fil_ctx_memory(const fil_ctx *ctx);

/* Of the device: what models keep there. A share of the limit, an eighth and at most 256 MiB, is
 * left for copies that calls make and for the vendor's libraries, and is not in `used`. All 0
 * without a device. */
FIL_API fil_memory fil_ctx_device_memory(const fil_ctx *ctx);

#ifdef __cplusplus
}
#endif

#endif
