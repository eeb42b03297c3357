/* engine/convert_job.h: a conversion from the inside (filigree/convert.h).
 *
 *     convert_plan.c  which tensors are written, under which names, as what
 *     convert_api.c   options, the file, and the values on their way
 */
#ifndef FILI_ENGINE_CONVERT_JOB_H
#define FILI_ENGINE_CONVERT_JOB_H

#include "base/arena.h"
#include "filigree/convert.h"
#include "io/safetensors_writer.h"
#include "wan/weights.h"

/* A tensor of the result: desc[i] of the job. */
typedef struct fili_convert_item {
    const char       *canonical; /* NULL: bytes are copied from `entry` */
    const fili_entry *entry;     /* in the source's directory */
} fili_convert_item;

typedef struct fili_convert_job {
    fil_ctx            *ctx;
    fil_convert_options o;
    bool                gguf;
    fili_weights       *w;
    fili_arena          arena; /* names, and the two lists */
    fili_convert_item  *item;  /* [n] */
    fil_tensor_desc    *desc;  /* [n], in the order of the file */
    size_t              n;
    fili_writer         writer;
    void               *buffer; /* a piece on its way */
    fil_convert_result  result;
} fili_convert_job;

/* Fills item, desc, n, and what the result says of them. */
FIL_MUSTCHECK fil_status fili_convert_plan(fili_convert_job *job);

#endif
