/* nn/space.c: counting or taking (space.h). */
#include "base/checked.h"
#include "nn/space.h"

#define NEAR_ALIGN 256

static fil_status too_much(const fili_space *space, uint64_t count, uint64_t size)
{
    return FIL_FAIL(space->ctx, FIL_E_NOMEM, "%llu items of %llu bytes exceed the address space",
                    (unsigned long long)count, (unsigned long long)size);
}

fil_status fili_space_take(fili_space *space, uint64_t count, uint64_t size, void **out)
{
    uint64_t bytes;
    *out = NULL;
    if (!fili_mul_u64(count, size, &bytes) || bytes > SIZE_MAX ||
        !fili_add_u64(space->bytes, fili_arena_piece((size_t)bytes), &space->bytes))
        return too_much(space, count, size);
    return space->arena != NULL ? fili_arena_alloc(space->arena, (size_t)bytes, out) : FIL_OK;
}

fil_status fili_space_take_near(fili_space *space, uint64_t count, uint64_t size, void **out)
{
    uint64_t       bytes;
    const uint64_t at = space->device_bytes;
    if (!space->on_device) return fili_space_take(space, count, size, out);
    *out = NULL;
    if (!fili_mul_u64(count, size, &bytes) || !fili_align_u64(bytes, NEAR_ALIGN, &bytes) ||
        !fili_add_u64(at, bytes, &space->device_bytes) || space->device_bytes > SIZE_MAX)
        return too_much(space, count, size);
    if (space->device != NULL && bytes > 0) *out = space->device + at;
    return FIL_OK;
}
