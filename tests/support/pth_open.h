/* tests/support/pth_open.h: opens a checkpoint that lies in memory, and compares what came out.
 *
 * Each call has its own context over a memory file; whatever happens, at the end nothing may be
 * held: memory, descriptors.
 */
#ifndef TESTS_SUPPORT_PTH_OPEN_H
#define TESTS_SUPPORT_PTH_OPEN_H

#include "io/tensors.h"
#include "support/pth_make.h"

typedef struct pth_result {
    fil_status status;
    char       message[FIL_ERROR_MESSAGE];
    size_t     n_tensors;
    fili_entry entries[8]; /* the first of them; name is NULL */
    char       names[8][64];
    uint64_t   peak; /* bytes of memory */
} pth_result;

/* limits: NULL for the defaults. */
void pth_open(const buffer *file, const fil_limits *limits, pth_result *out);

/* Fails the test, naming `what`, unless the status is as expected and the message contains
 * `needle`. */
void pth_expect(const char *what, const pth_result *r, fil_status status, const char *needle);

/* 1 if both opened and list the same tensors. */
int pth_same(const pth_result *a, const pth_result *b);

#endif
