/* wan/weights_inside.h: what the files of weights.h share: the list by canonical name, and how a
 * part's config.json and likely model are found. For weights*.c alone.
 */
#ifndef FILI_WAN_WEIGHTS_INSIDE_H
#define FILI_WAN_WEIGHTS_INSIDE_H

#include <string.h>

#include "base/arena.h"
#include "base/text.h"
#include "tensor/dtype.h"
#include "wan/weights.h"

/* A converted copy that is kept. */
typedef struct fili_weight_copy {
    void  *data;
    size_t bytes;
} fili_weight_copy;

typedef struct fili_weight {
    const char       *name;      /* canonical */
    const fili_entry *entry;     /* of the file's directory, or made */
    const fili_entry *scale;     /* of an fp8 weight; NULL = none */
    const void       *made;      /* data in memory; NULL = in the file */
    bool              quantised; /* the file says how, in a way that is not read */
    bool              used;
    fili_weight_copy  held[2]; /* as BF16, as F32 */
} fili_weight;

struct fili_weights {
    fil_ctx     *ctx;
    fili_part    part;
    fili_tensors set;
    fili_arena   arena;
    fili_weight *tensors; /* [n], sorted by name */
    size_t       n;
    char        *config; /* NULL = none */
};

FIL_MUSTCHECK fil_status fili_weights_new(fil_ctx *ctx, fili_part part, uint32_t flags,
                                          fili_weights **out);
/* E_FORMAT: two alike. */
FIL_MUSTCHECK fil_status fili_weights_sort(fili_weights *w);
/* True for the types whose values can be taken. */
bool         fili_weights_is_number(fil_dtype dtype);
fili_weight *fili_weights_tensor(const fili_weights *w, const char *name);

/* Takes the config.json beside `file` if it is this part's. E_FORMAT: it is no JSON; E_IO. */
FIL_MUSTCHECK fil_status fili_weights_read_config(fili_weights *w, const char *file);

/* For a DiT in a GGUF file: gives tensors the shapes back that some writers change. */
FIL_MUSTCHECK fil_status fili_weights_restore_shapes(fili_weights *w);

/* "[1536, 16, 1, 2, 2]"; -1 becomes "any". */
typedef struct fili_shape_string {
    char text[96];
} fili_shape_string;
fili_shape_string fili_shape_text(uint32_t rank, const int64_t *shape);

#endif
