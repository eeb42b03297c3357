/* kernel/cpu/onednn.h: oneDNN 2.x primitives that run inside one task, on one thread.
 *
 * The families that use oneDNN (linear_onednn.c, conv3d_onednn.c) describe their operations; the
 * rest is here, so that a port to the 3.x interface has three files to touch. A primitive is built
 * and executed with the calling thread's OpenMP thread count at 1, restored afterwards: so its
 * inner blocking does not depend on the machine's cores, and it never opens a parallel region.
 * Memory: a primitive, its generated code and its descriptors are oneDNN's own, taken when it is
 * built; scratchpads are the caller's. Executing allocates a few small bookkeeping nodes inside
 * oneDNN (its argument table) and nothing that grows with the problem.
 */
#ifndef FILK_CPU_ONEDNN_H
#define FILK_CPU_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>

#include "base/ctx.h"

#define FILK_DNN_ARGS 5

/* An engine, and a stream for each thread of the context. */
typedef struct filk_dnn {
    dnnl_engine_t  engine;
    dnnl_stream_t *streams;
    int32_t        n_threads;
} filk_dnn;

typedef struct filk_dnn_primitive {
    dnnl_primitive_t   primitive;
    dnnl_memory_desc_t weights;      /* the layout that oneDNN chose */
    size_t             scratch;      /* bytes, aligned to 64 */
    int32_t            is_reference; /* oneDNN has no other code for this shape and layout: plain
                                        loops, a hundred times slower */
    int32_t        n_args;
    int            arg[FILK_DNN_ARGS];
    dnnl_memory_t *memory; /* [n_threads][FILK_DNN_ARGS] */
} filk_dnn_primitive;

/* What to build: an operation of oneDNN (a *_desc_t) with its data, weights and result. */
typedef struct filk_dnn_operation {
    const_dnnl_op_desc_t desc;
    int                  add; /* 1: the result is added to what is there */
} filk_dnn_operation;

/* Zeroed storage; on failure everything has been given back. E_NOMEM, E_DEVICE. */
FIL_MUSTCHECK fil_status filk_dnn_open(fil_ctx *ctx, filk_dnn *dnn);
void                     filk_dnn_close(fil_ctx *ctx, filk_dnn *dnn);

/* Arguments of execute, in this order: source, weights, result. */
FIL_MUSTCHECK fil_status filk_dnn_build(fil_ctx *ctx, const filk_dnn *dnn,
                                        const filk_dnn_operation *op, filk_dnn_primitive *out);
/* Arguments: source, result. */
FIL_MUSTCHECK fil_status filk_dnn_build_reorder(fil_ctx *ctx, const filk_dnn *dnn,
                                                const dnnl_memory_desc_t *from,
                                                const dnnl_memory_desc_t *to,
                                                filk_dnn_primitive       *out);
/* Zeroed storage is accepted. */
void filk_dnn_drop(fil_ctx *ctx, const filk_dnn *dnn, filk_dnn_primitive *primitive);

/* From a task: data[] as above, then the scratchpad. Does not touch the context. */
FIL_MUSTCHECK fil_status filk_dnn_execute(const filk_dnn *dnn, const filk_dnn_primitive *primitive,
                                          int32_t worker, void *const data[], void *scratch);

/* The status for a failed dnnl_ call that describes something. */
FIL_MUSTCHECK fil_status filk_dnn_check(fil_ctx *ctx, dnnl_status_t status, const char *what);

/* Shapes of a plan of conv3d_onednn.c that oneDNN's reference computes. Here for its test. */
int32_t filk_conv3d_onednn_references(const void *plan);

#endif
