/* base/mem.h: host memory of a context: one door for every allocation, counted and limited.
 *
 * Sizes are given back on free, so the context knows at any time what it holds and what its peak
 * was, and a limit holds to the byte.
 */
#ifndef FILI_BASE_MEM_H
#define FILI_BASE_MEM_H

#include "base/ctx.h"

#define FILI_ALIGN 64u /* cache line and widest vector */

/* *out = bytes aligned to FILI_ALIGN, not initialised; bytes == 0 gives NULL and FIL_OK.
 * E_NOMEM (with a message that names `what`) leaves *out NULL. */
FIL_MUSTCHECK fil_status fili_alloc(fil_ctx *ctx, size_t bytes, const char *what, void **out);

/* The same for count * size bytes, checked; zeroed. */
FIL_MUSTCHECK fil_status fili_calloc(fil_ctx *ctx, size_t count, size_t size, const char *what,
                                     void **out);

/* Grows a block from old_bytes to new_bytes (>= old_bytes), keeping its content. On failure *block
 * is still the old one. */
FIL_MUSTCHECK fil_status fili_grow(fil_ctx *ctx, void **block, size_t old_bytes, size_t new_bytes,
                                   const char *what);

/* NULL is accepted. `bytes` as it was asked for. */
void fili_free(fil_ctx *ctx, void *block, size_t bytes);

/* Counts bytes that a library allocates on our behalf (jansson's tree) against the limit. */
FIL_MUSTCHECK fil_status fili_mem_reserve(fil_ctx *ctx, uint64_t bytes, const char *what);
void                     fili_mem_release(fil_ctx *ctx, uint64_t bytes);

/* What a const pointer points to, for the one who owns it and knows that it may be written. */
static inline void *fili_writable(const void *p)
{
    union {
        const void *given;
        void       *wanted;
    } u;
    u.given = p;
    return u.wanted;
}

#endif
