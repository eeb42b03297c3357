/* tensor/view.h: where the elements of a tensor lie: address, type, shape and strides.
 *
 * A view owns nothing and is copied freely. Strides count elements, not bytes, and may be 0 (an
 * element repeated) or negative. Block types and those of less than a byte (F4, F6) have no views.
 * Functions that make a view check it with arithmetic that cannot wrap; the result then has a byte
 * extent that fits int64_t. On failure *out is untouched.
 */
#ifndef FILI_TENSOR_VIEW_H
#define FILI_TENSOR_VIEW_H

#include "base/ctx.h"
#include "filigree/file.h"

typedef struct fili_view {
    unsigned char *data;                 /* of element 0, 0, ...; any alignment; not owned */
    fil_dtype      dtype;                /* of whole bytes */
    uint32_t       rank;                 /* 0 (one element) to FIL_MAX_RANK */
    int64_t        shape[FIL_MAX_RANK];  /* each >= 0 */
    int64_t        stride[FIL_MAX_RANK]; /* elements */
} fili_view;

/* A dense row-major tensor at `data`. E_ARG: rank or a dimension out of range, or no such dtype;
 * E_UNSUP: elements that are not whole bytes; E_SHAPE: more bytes than int64_t counts. The constant
 * form is for sources: what takes a view says whether it writes through it. */
FIL_MUSTCHECK fil_status fili_view_dense(fil_ctx *ctx, void *data, fil_dtype dtype, uint32_t rank,
                                         const int64_t *shape, fili_view *out);
FIL_MUSTCHECK fil_status fili_view_dense_const(fil_ctx *ctx, const void *data, fil_dtype dtype,
                                               uint32_t rank, const int64_t *shape, fili_view *out);

/* Every step-th index (step >= 1) of dimension `dim` from begin up to, not including, end.
 * E_ARG unless 0 <= begin <= end <= shape[dim]. `out` may be `view`. */
FIL_MUSTCHECK fil_status fili_view_slice(fil_ctx *ctx, const fili_view *view, uint32_t dim,
                                         int64_t begin, int64_t end, int64_t step, fili_view *out);

/* Dimension i of the result is dimension order[i] of `view`. E_ARG unless order is a permutation
 * of 0 .. rank - 1. `out` may be `view`. */
FIL_MUSTCHECK fil_status fili_view_permute(fil_ctx *ctx, const fili_view *view,
                                           const uint32_t *order, fili_view *out);

/* Bytes [begin, end) relative to data that the elements cover; begin <= 0. Empty: both are 0.
 * E_ARG, E_UNSUP as above, E_SHAPE if it does not fit int64_t. Checks a view of any origin. */
typedef struct fili_extent {
    int64_t begin, end;
} fili_extent;
FIL_MUSTCHECK fil_status fili_view_extent(fil_ctx *ctx, const fili_view *view, fili_extent *out);

/* E_SHAPE unless all elements lie in the `bytes` bytes that start at data. */
FIL_MUSTCHECK fil_status fili_view_within(fil_ctx *ctx, const fili_view *view, uint64_t bytes);

/* True if the elements lie one after the other in row-major order; so does a view of none or one.
 * Strides of dimensions of size 1 do not matter. */
bool fili_view_is_dense(const fili_view *view);

/* Number of elements; the view has been checked. */
int64_t fili_view_count(const fili_view *view);

/* Address of the element at index[0 .. rank - 1], which is inside the shape. */
unsigned char *fili_view_at(const fili_view *view, const int64_t *index);

#endif
