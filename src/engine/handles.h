/* engine/handles.h: what stands behind the opaque types of filigree/attention.h. */
#ifndef FILI_ENGINE_HANDLES_H
#define FILI_ENGINE_HANDLES_H

#include "filigree/attention.h"
#include "sparse/mask.h"
#include "sparse/order.h"

struct fil_order {
    fil_ctx    *ctx;
    fili_order  order;
    fili_blocks blocks;
};

struct fil_mask {
    fil_ctx  *ctx;
    fili_mask mask;
};

/* E_SHAPE unless offset[0 .. m] begins at 0 and rises by 1 to 64; `what` names it in the message.
 */
FIL_MUSTCHECK fil_status fili_check_offsets(fil_ctx *ctx, const char *what, const int32_t *offset,
                                            int32_t m);

#endif
