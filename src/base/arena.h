/* base/arena.h: memory that is taken piece by piece and given back at once.
 *
 *     chunk 0                          chunk 1 (larger)
 *     [ piece | gap | piece | gap |..] [ piece | gap | ........ free ........ ]
 *                                                      ^ bump
 *
 * Pieces are aligned to FILI_ALIGN. Chunks come from the context's allocator and double in size, so
 * a parser need not know its size beforehand; a plan reserves its exact size once and then
 * forbids growth, so that exceeding the plan is E_NOMEM, not a silent allocation. Under
 * AddressSanitizer a poisoned gap follows each piece and everything unused is poisoned.
 */
#ifndef FILI_BASE_ARENA_H
#define FILI_BASE_ARENA_H

#include "base/ctx.h"

typedef struct fili_arena_chunk fili_arena_chunk;

typedef struct fili_arena {
    fil_ctx          *ctx;
    const char       *what; /* for messages; static storage */
    fili_arena_chunk *last; /* newest first */
    size_t            next; /* payload bytes of the next chunk */
    int               fixed;
    uint64_t          used; /* bytes handed out, gaps included */
    uint64_t          peak; /* high-water mark of `used` */
} fili_arena;

typedef struct fili_arena_mark {
    fili_arena_chunk *chunk;
    size_t            bump;
    uint64_t          used;
} fili_arena_mark;

/* Takes nothing yet. first_bytes: payload of the first chunk (0 = 16 KiB). */
void fili_arena_init(fili_arena *arena, fil_ctx *ctx, const char *what, size_t first_bytes);

/* Reserves `bytes` (see fili_arena_piece) in one chunk and forbids growth from here on. Only on an
 * empty arena. E_NOMEM. */
FIL_MUSTCHECK fil_status fili_arena_fix(fili_arena *arena, size_t bytes);

/* What one piece of `bytes` costs: the sum over all pieces is the size to reserve. Saturates. */
size_t fili_arena_piece(size_t bytes);

/* bytes == 0 gives NULL and FIL_OK. Not initialised. E_NOMEM. */
FIL_MUSTCHECK fil_status fili_arena_alloc(fili_arena *arena, size_t bytes, void **out);
FIL_MUSTCHECK fil_status fili_arena_calloc(fili_arena *arena, size_t count, size_t size,
                                           void **out);
/* A NUL-terminated copy of `bytes` bytes. */
FIL_MUSTCHECK fil_status fili_arena_text(fili_arena *arena, const char *text, size_t bytes,
                                         char **out);

/* Everything taken after the mark is given back; chunks that were added since are freed. */
fili_arena_mark fili_arena_save(const fili_arena *arena);
void            fili_arena_release(fili_arena *arena, fili_arena_mark mark);

/* Frees all chunks; the arena can be used again. */
void fili_arena_fini(fili_arena *arena);

#endif
