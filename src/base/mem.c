/* base/mem.c: counted and limited allocation (base/mem.h). */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"

/* The memory sanitizer is told not to watch malloc, because jansson's stores are not instrumented
 * (./run test msan); our own blocks are marked as not written while they are ours. */
#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define POISON_NEW(p, n) __msan_poison((p), (n))
#define GIVE_BACK(p, n)  __msan_unpoison((p), (n))
#endif
#endif
#ifndef POISON_NEW
#define POISON_NEW(p, n) ((void)(p), (void)(n))
#define GIVE_BACK(p, n)  ((void)(p), (void)(n))
#endif

fil_status fili_mem_reserve(fil_ctx *ctx, uint64_t bytes, const char *what)
{
    fil_memory *m = &ctx->memory;
    uint64_t    used;
    if (!fili_add_u64(m->used, bytes, &used) || (m->limit != 0 && used > m->limit))
        return FIL_FAIL(
            ctx, FIL_E_NOMEM, "%s needs %llu bytes; %llu of the limit of %llu are in use", what,
            (unsigned long long)bytes, (unsigned long long)m->used, (unsigned long long)m->limit);
    m->used = used;
    if (used > m->peak) m->peak = used;
    return FIL_OK;
}

void fili_mem_release(fil_ctx *ctx, uint64_t bytes)
{
    ctx->memory.used -= bytes;
}

fil_status fili_alloc(fil_ctx *ctx, size_t bytes, const char *what, void **out)
{
    *out = NULL;
    if (bytes == 0) return FIL_OK;
    FIL_TRY(fili_mem_reserve(ctx, bytes, what));
    void *p = ctx->opt.host.alloc(ctx->opt.host.user, bytes, FILI_ALIGN);
    if (p == NULL) {
        fili_mem_release(ctx, bytes);
        return FIL_FAIL(ctx, FIL_E_NOMEM, "%s: the allocator has no %llu bytes", what,
                        (unsigned long long)bytes);
    }
    POISON_NEW(p, bytes);
    *out = p;
    return FIL_OK;
}

fil_status fili_calloc(fil_ctx *ctx, size_t count, size_t size, const char *what, void **out)
{
    size_t bytes;
    *out = NULL;
    if (!fili_mul_size(count, size, &bytes))
        return FIL_FAIL(ctx, FIL_E_NOMEM, "%s: %zu items of %zu bytes exceed the address space",
                        what, count, size);
    FIL_TRY(fili_alloc(ctx, bytes, what, out));
    if (bytes != 0) memset(*out, 0, bytes);
    return FIL_OK;
}

fil_status fili_grow(fil_ctx *ctx, void **block, size_t old_bytes, size_t new_bytes,
                     const char *what)
{
    void *p;
    FIL_TRY(fili_alloc(ctx, new_bytes, what, &p));
    if (old_bytes != 0) memcpy(p, *block, old_bytes);
    fili_free(ctx, *block, old_bytes);
    *block = p;
    return FIL_OK;
}

void fili_free(fil_ctx *ctx, void *block, size_t bytes)
{
    if (block == NULL) return;
    GIVE_BACK(block, bytes);
    ctx->opt.host.free(ctx->opt.host.user, block, bytes);
    fili_mem_release(ctx, bytes);
}
