/* nn/space.h: a walk over everything that a model needs, made twice: to count, then to take.
 *
 * The same code asks for each piece; with no arena the bytes are only added up, so that the size
 * that is promised and the size that is taken cannot differ.
 */
#ifndef FILI_NN_SPACE_H
#define FILI_NN_SPACE_H

#include "base/arena.h"

typedef struct fili_space {
    fil_ctx    *ctx;
    fili_arena *arena; /* NULL: count */
    uint64_t    bytes; /* asked for so far, as an arena takes it */
} fili_space;

/* count * size bytes, not initialised; *out is NULL while counting. E_NOMEM. */
FIL_MUSTCHECK fil_status fili_space_take(fili_space *space, uint64_t count, uint64_t size,
                                         void **out);

#endif
