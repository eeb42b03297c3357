/* base/arena.c: chunked bump allocation (base/arena.h). */
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/mem.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#define REDZONE        FILI_ALIGN
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#else
#define REDZONE        ((size_t)0)
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define FIRST_CHUNK ((size_t)16 << 10)
#define MAX_CHUNK   ((size_t)64 << 20)

struct fili_arena_chunk {
    _Alignas(FILI_ALIGN) fili_arena_chunk *before;
    size_t size; /* of payload */
    size_t bump;
    _Alignas(FILI_ALIGN) unsigned char payload[];
};

size_t fili_arena_piece(size_t bytes)
{
    uint64_t whole;
    if (bytes == 0) return 0;
    if (!fili_align_u64(bytes, FILI_ALIGN, &whole) || !fili_add_u64(whole, REDZONE, &whole))
        return SIZE_MAX;
    return (size_t)whole;
}

void fili_arena_init(fili_arena *arena, fil_ctx *ctx, const char *what, size_t first_bytes)
{
    *arena = (fili_arena){
        .ctx = ctx, .what = what, .next = first_bytes != 0 ? first_bytes : FIRST_CHUNK};
}

static fil_status add_chunk(fili_arena *arena, size_t payload)
{
    size_t bytes;
    void  *block;
    if (!fili_add_size(payload, sizeof(fili_arena_chunk), &bytes))
        return FIL_FAIL(arena->ctx, FIL_E_NOMEM, "%s needs more than the address space",
                        arena->what);
    FIL_TRY(fili_alloc(arena->ctx, bytes, arena->what, &block));
    fili_arena_chunk *chunk = block;
    chunk->before           = arena->last;
    chunk->size             = payload;
    chunk->bump             = 0;
    POISON(chunk->payload, payload);
    arena->last = chunk;
    return FIL_OK;
}

fil_status fili_arena_fix(fili_arena *arena, size_t bytes)
{
    if (arena->last != NULL)
        return FIL_FAIL(arena->ctx, FIL_E_INTERNAL, "%s: arena is fixed after use", arena->what);
    FIL_TRY(add_chunk(arena, bytes));
    arena->fixed = 1;
    return FIL_OK;
}

fil_status fili_arena_alloc(fili_arena *arena, size_t bytes, void **out)
{
    *out               = NULL;
    const size_t piece = fili_arena_piece(bytes);
    if (piece == 0) return FIL_OK;
    if (arena->last == NULL || piece > arena->last->size - arena->last->bump) {
        if (arena->fixed)
            return FIL_FAIL(arena->ctx, FIL_E_NOMEM,
                            "%s: %zu bytes asked for, %zu of the planned %zu are left", arena->what,
                            bytes, arena->last->size - arena->last->bump, arena->last->size);
        FIL_TRY(add_chunk(arena, piece > arena->next ? piece : arena->next));
        if (arena->next < MAX_CHUNK) arena->next *= 2;
    }
    fili_arena_chunk *chunk = arena->last;
    *out                    = chunk->payload + chunk->bump;
    UNPOISON(*out, bytes);
    chunk->bump += piece;
    arena->used += piece;
    if (arena->used > arena->peak) arena->peak = arena->used;
    return FIL_OK;
}

fil_status fili_arena_calloc(fili_arena *arena, size_t count, size_t size, void **out)
{
    size_t bytes;
    *out = NULL;
    if (!fili_mul_size(count, size, &bytes))
        return FIL_FAIL(arena->ctx, FIL_E_NOMEM, "%s: %zu items of %zu bytes", arena->what, count,
                        size);
    FIL_TRY(fili_arena_alloc(arena, bytes, out));
    if (bytes != 0) memset(*out, 0, bytes);
    return FIL_OK;
}

fil_status fili_arena_text(fili_arena *arena, const char *text, size_t bytes, char **out)
{
    void  *copy;
    size_t whole;
    *out = NULL;
    if (!fili_add_size(bytes, 1, &whole))
        return FIL_FAIL(arena->ctx, FIL_E_NOMEM, "%s: a text of %zu bytes", arena->what, bytes);
    FIL_TRY(fili_arena_alloc(arena, whole, &copy));
    if (bytes != 0) memcpy(copy, text, bytes);
    ((char *)copy)[bytes] = '\0';
    *out                  = copy;
    return FIL_OK;
}

fili_arena_mark fili_arena_save(const fili_arena *arena)
{
    return (fili_arena_mark){.chunk = arena->last,
                             .bump  = arena->last != NULL ? arena->last->bump : 0,
                             .used  = arena->used};
}

static void drop_chunk(fili_arena *arena)
{
    fili_arena_chunk *chunk = arena->last;
    arena->last             = chunk->before;
    UNPOISON(chunk->payload, chunk->size);
    fili_free(arena->ctx, chunk, sizeof *chunk + chunk->size);
}

void fili_arena_release(fili_arena *arena, fili_arena_mark mark)
{
    while (arena->last != mark.chunk)
        drop_chunk(arena);
    if (arena->last != NULL) {
        arena->last->bump = mark.bump;
        POISON(arena->last->payload + mark.bump, arena->last->size - mark.bump);
    }
    arena->used = mark.used;
}

void fili_arena_fini(fili_arena *arena)
{
    while (arena->last != NULL)
        drop_chunk(arena);
    arena->used  = 0;
    arena->fixed = 0;
}
