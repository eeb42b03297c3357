/* nn/normed.h: norms over rows, on the family `norm` (kernel/norm.h). */
#ifndef FILI_NN_NORMED_H
#define FILI_NN_NORMED_H

#include "kernel/norm.h"

typedef struct fili_norm {
    fil_ctx          *ctx;
    filk_norm_problem problem; /* rows: the most there will be */
    const filk_row   *row;
    float             eps;
    size_t            workspace;
} fili_norm;

/* E_UNSUP. Nothing to close. */
FIL_MUSTCHECK fil_status fili_norm_open(fili_norm *out, fil_ctx *ctx,
                                        const filk_norm_problem *problem, float eps);

typedef struct fili_norm_io {
    int64_t      rows; /* <= problem.rows */
    const void  *x;
    void        *out; /* may be x */
    const float *a, *b;
    const float *cos, *sin; /* NULL: no rotation */
    int64_t      stride;    /* elements from row to row of x and out; 0 = dim */
} fili_norm_io;

FIL_MUSTCHECK fil_status fili_norm_forward(const fili_norm *norm, const fili_norm_io *io,
                                           void *workspace);

#endif
