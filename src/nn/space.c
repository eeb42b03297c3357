/* nn/space.c: counting or taking (space.h). */
#include "base/checked.h"
#include "nn/space.h"

fil_status fili_space_take(fili_space *space, uint64_t count, uint64_t size, void **out)
{
    uint64_t bytes;
    *out = NULL;
    if (!fili_mul_u64(count, size, &bytes) || bytes > SIZE_MAX ||
        !fili_add_u64(space->bytes, fili_arena_piece((size_t)bytes), &space->bytes))
        return FIL_FAIL(space->ctx, FIL_E_NOMEM,
                        "%llu items of %llu bytes exceed the address space",
                        (unsigned long long)count, (unsigned long long)size);
    return space->arena != NULL ? fili_arena_alloc(space->arena, (size_t)bytes, out) : FIL_OK;
}
