/* nn/dense.h: linear layers: one plan for all layers of a shape, weights bound to it.
 *
 * forward: out = gate * act(x W^T + bias) + residual (kernel/linear.h); rows of x lie one after the
 * other, and those of out unless it says otherwise. The number of rows belongs to the plan.
 */
#ifndef FILI_NN_DENSE_H
#define FILI_NN_DENSE_H

#include "kernel/linear.h"

typedef struct fili_dense_plan {
    fil_ctx            *ctx;
    filk_linear_problem problem;
    const filk_row     *row;
    void               *plan;
    size_t              workspace; /* bytes */
    size_t              packed;    /* bytes of one packed weight; 0: weights are used as they are */
} fili_dense_plan;

typedef struct fili_dense_shape {
    int64_t         rows, in, out;
    fil_dtype       dtype;     /* of x and, without any_weight, of the weight */
    fil_dtype       out_dtype; /* bias is F32 */
    filk_activation act;
    int32_t         packed;
    int32_t         any_weight; /* each layer says the type of its weight; not packed */
} fili_dense_shape;

/* E_UNSUP, E_NOMEM, E_DEVICE; on failure *out is closed. */
FIL_MUSTCHECK fil_status fili_dense_open(fili_dense_plan *out, fil_ctx *ctx,
                                         const fili_dense_shape *shape);
/* Idempotent; a zeroed plan is accepted. */
void fili_dense_close(fili_dense_plan *plan);

/* Lays out weight [out, in] in packed[plan->packed]. */
FIL_MUSTCHECK fil_status fili_dense_pack(const fili_dense_plan *plan, const void *weight,
                                         void *packed, void *workspace);

typedef struct fili_dense {
    const fili_dense_plan *plan;
    const void            *weight;       /* packed, or as it is where plan->packed is 0 */
    fil_dtype              weight_dtype; /* where the plan has any_weight */
    const float           *bias;         /* [out] */
} fili_dense;

typedef struct fili_dense_io {
    const void  *x;          /* [rows, in] */
    void        *out;        /* [rows, out] */
    const float *gate;       /* [out] or NULL */
    const float *residual;   /* [rows, out] or NULL; may be out, where out_stride is 0 */
    int64_t      out_stride; /* elements from row to row of out; 0 = out: one after the other */
    int32_t      again;      /* 1: the last call with this workspace was of this layer */
} fili_dense_io;

FIL_MUSTCHECK fil_status fili_dense_forward(const fili_dense *layer, const fili_dense_io *io,
                                            void *workspace);

#endif
