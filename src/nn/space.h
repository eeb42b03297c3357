/* nn/space.h: a walk over everything that a model needs, made twice: to count, then to take.
 *
 * The same code asks for each piece; with no arena the bytes are only added up, so that the size
 * that is promised and the size that is taken cannot differ. What kernels work on is asked for by
 * itself, so that it can lie on the context's device.
 */
#ifndef FILI_NN_SPACE_H
#define FILI_NN_SPACE_H

#include "base/arena.h"

typedef struct fili_space {
    fil_ctx    *ctx;
    fili_arena *arena;        /* NULL: count */
    uint64_t    bytes;        /* asked for so far, as an arena takes it */
    int32_t     on_device;    /* what kernels work on lies on the device: */
    char       *device;       /* one block of it; NULL while counting */
    uint64_t    device_bytes; /* asked for so far */
} fili_space;

/* count * size bytes, not initialised; *out is NULL while counting. E_NOMEM. */
FIL_MUSTCHECK fil_status fili_space_take(fili_space *space, uint64_t count, uint64_t size,
                                         void **out);

/* The same of the device where space->on_device, aligned to 256; the caller takes the block. */
FIL_MUSTCHECK fil_status fili_space_take_near(fili_space *space, uint64_t count, uint64_t size,
                                              void **out);

#endif
