/* nn/matmul.h: a linear layer without bias, its weights used where they lie.
 *
 * For layers that run once or twice per weight (a text encoder): laying the weights out first would
 * cost what it saves. out = act(x W^T) + residual; kernel/linear.h has the details.
 */
#ifndef FILI_NN_MATMUL_H
#define FILI_NN_MATMUL_H

#include "kernel/linear.h"

typedef struct fili_matmul {
    fil_ctx            *ctx;
    filk_linear_problem problem;
    const filk_row     *row;
    void               *plan;
    size_t              workspace; /* bytes */
} fili_matmul;

typedef struct fili_matmul_shape {
    int64_t         m, n, k;
    int64_t         x_stride; /* 0 = k */
    fil_dtype       dtype;    /* of x and W */
    fil_dtype       out_dtype;
    filk_activation act;
} fili_matmul_shape;

/* E_UNSUP, E_NOMEM, E_DEVICE; on failure *out is closed. */
FIL_MUSTCHECK fil_status fili_matmul_open(fili_matmul *out, fil_ctx *ctx,
                                          const fili_matmul_shape *shape);
/* Idempotent; a zeroed one is accepted. */
void fili_matmul_close(fili_matmul *m);

/* x [m, k], w [n, k] dense, out [m, n]; residual [m, n] f32 or NULL, may be out. A plan that was
 * opened for one thread may run inside a task. */
FIL_MUSTCHECK fil_status fili_matmul_run(const fili_matmul *m, const void *x, const void *w,
                                         const float *residual, void *out, void *workspace);

#endif
