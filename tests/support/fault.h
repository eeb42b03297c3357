/* tests/support/fault.h: make any allocation or system call fail, once or for ever.
 *
 * A fault counts the calls of one kind; call number `at` (from 0) fails, and with `forever` all
 * later ones too. Run a function with at = 0, 1, 2, ... until it completes untouched: then every
 * call on its path has failed once. Method of SQLite's and curl's torture tests.
 */
#ifndef TESTS_SUPPORT_FAULT_H
#define TESTS_SUPPORT_FAULT_H

#include "base/ctx.h"

/* ---- allocations ---------------------------------------------------------------------------- */

typedef struct alloc_fault {
    int64_t at; /* -1 = never */
    int     forever;
    int64_t calls;  /* so far */
    int64_t live;   /* blocks not freed: a leak if it is not 0 at the end */
    int64_t failed; /* calls that were made to fail */
} alloc_fault;

/* An allocator for fil_options.host. Blocks are filled with 0xAA, and with 0xDD when freed; a free
 * with another size than the allocation's ends the program. */
fil_allocator alloc_fault_allocator(alloc_fault *fault);

/* jansson's allocations go through the same fault until called with NULL. */
void alloc_fault_json(alloc_fault *fault);

/* ---- system calls --------------------------------------------------------------------------- */

typedef enum os_call {
    OS_OPENAT,
    OS_CLOSE,
    OS_PREAD,
    OS_PWRITE,
    OS_FSTAT,
    OS_FTRUNCATE,
    OS_FSYNC,
    OS_LOCK,
    OS_MMAP,
    OS_MUNMAP,
    OS_RENAMEAT,
    OS_UNLINKAT,
    OS_MKDIRAT,
    OS_RMDIRAT,
    OS_LIST,
    OS_RANDOM,
    OS_THREAD_CREATE,
    OS_ANY,
    OS_CALLS
} os_call;

const char *os_call_name(os_call call);

/* As `error`: pread and pwrite move half of what was asked, at least 1. */
#define OS_SHORT_COUNT 0

typedef struct os_fault {
    os_call call; /* which kind fails; OS_ANY: every kind counts */
    int64_t at;   /* -1 = never */
    int     forever;
    int     error; /* errno value, or OS_SHORT_COUNT */
    int64_t calls;
    int64_t failed;
    int64_t open; /* descriptors not closed */
    int64_t mapped;
} os_fault;

/* The real system with `fault` in between. */
fili_os os_fault_table(os_fault *fault);

/* ---- scratch folder ------------------------------------------------------------------------- */

/* A fresh folder under TMPDIR or /tmp; removed with all it holds by scratch_remove. The path lies
 * in static storage of the call's buffer. */
typedef struct scratch {
    char path[256];
} scratch;

void scratch_make(scratch *s);
void scratch_remove(scratch *s);
/* path/name, in s-independent static storage; valid until the eighth next call. */
const char *scratch_path(const scratch *s, const char *name);
void        scratch_write(const scratch *s, const char *name, const void *data, size_t bytes);
/* Reads a whole file with malloc; *bytes = its size. Fails the test if it is not there. */
unsigned char *scratch_read(const scratch *s, const char *name, size_t *bytes);
/* Number of entries of the folder itself. */
int scratch_count(const scratch *s);

#endif
