/* tensor/view.c: making, cutting and checking strided views (tensor/view.h). Nothing here reads or
 * writes an element.
 */
#include <stdint.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/view.h"

/* Checks what the other checks build on: rank, dtype and the sign of every dimension. */
static fil_status check_form(fil_ctx *ctx, fil_dtype dtype, uint32_t rank, const int64_t *shape)
{
    uint32_t       run;
    const uint32_t bytes = fil_dtype_block(dtype, &run);
    FIL_CHECK(ctx, rank <= FIL_MAX_RANK, "view: rank is %u; expected 0 to %d", rank, FIL_MAX_RANK);
    FIL_CHECK(ctx, bytes != 0, "view: %d is no dtype", (int)dtype);
    if (run != 1)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "view: %s elements are not whole bytes",
                        fil_dtype_name(dtype));
    for (uint32_t i = 0; i < rank; i++)
        FIL_CHECK(ctx, shape[i] >= 0, "view: dimension %u is %lld; expected 0 or more", i,
                  (long long)shape[i]);
    return FIL_OK;
}

static int64_t element_bytes(fil_dtype dtype)
{
    return (int64_t)(fil_dtype_bits(dtype) / 8);
}

fil_status fili_view_dense(fil_ctx *ctx, void *data, fil_dtype dtype, uint32_t rank,
                           const int64_t *shape, fili_view *out)
{
    FIL_TRY(check_form(ctx, dtype, rank, shape));
    fili_view v     = {.data = data, .dtype = dtype, .rank = rank};
    int64_t   step  = 1; /* elements from one index of dimension i to the next */
    int64_t   bytes = 0;
    /* A dimension of 0 counts as 1, so that the strides of an empty view are checked as well. */
    for (uint32_t i = rank; i-- > 0;) {
        v.shape[i]  = shape[i];
        v.stride[i] = step;
        if (!fili_mul_i64(step, shape[i] > 0 ? shape[i] : 1, &step))
            return FIL_FAIL(ctx, FIL_E_SHAPE, "view: the shape has 2^63 elements or more");
    }
    if (!fili_mul_i64(step, element_bytes(dtype), &bytes))
        return FIL_FAIL(ctx, FIL_E_SHAPE, "view: the shape has 2^63 bytes or more");
    *out = v;
    return FIL_OK;
}

fil_status fili_view_dense_const(fil_ctx *ctx, const void *data, fil_dtype dtype, uint32_t rank,
                                 const int64_t *shape, fili_view *out)
{
    void *writable; /* one struct for both; see view.h */
    memcpy(&writable, &data, sizeof writable);
    return fili_view_dense(ctx, writable, dtype, rank, shape, out);
}

fil_status fili_view_slice(fil_ctx *ctx, const fili_view *view, uint32_t dim, int64_t begin,
                           int64_t end, int64_t step, fili_view *out)
{
    FIL_CHECK(ctx, dim < view->rank, "slice: dimension %u of a view of rank %u", dim, view->rank);
    FIL_CHECK(ctx, begin >= 0 && begin <= end && end <= view->shape[dim] && step >= 1,
              "slice: %lld to %lld by %lld of a dimension of %lld", (long long)begin,
              (long long)end, (long long)step, (long long)view->shape[dim]);
    fili_view     v     = *view;
    const int64_t n     = end - begin;
    const int64_t count = n / step + (n % step != 0);
    int64_t       skip  = 0;
    v.shape[dim]        = count;
    /* With at most one element left the step leads nowhere, and its product may not fit. */
    if (count > 1 && !fili_mul_i64(view->stride[dim], step, &v.stride[dim]))
        return FIL_FAIL(ctx, FIL_E_SHAPE, "slice: stride %lld by %lld exceeds 63 bits",
                        (long long)view->stride[dim], (long long)step);
    /* An empty slice keeps its address: begin may then be one past the end. */
    if (count > 0 && (!fili_mul_i64(view->stride[dim], begin, &skip) ||
                      !fili_mul_i64(skip, element_bytes(view->dtype), &skip)))
        return FIL_FAIL(ctx, FIL_E_SHAPE, "slice: index %lld lies beyond 63 bits of bytes",
                        (long long)begin);
    if (skip != 0) v.data += skip;
    *out = v;
    return FIL_OK;
}

fil_status fili_view_permute(fil_ctx *ctx, const fili_view *view, const uint32_t *order,
                             fili_view *out)
{
    fili_view v    = *view;
    uint32_t  seen = 0;
    for (uint32_t i = 0; i < view->rank; i++) {
        FIL_CHECK(ctx, order[i] < view->rank && !(seen & 1u << order[i]),
                  "permute: entry %u is %u; expected each of 0 to %u once", i, order[i],
                  view->rank - 1);
        seen |= 1u << order[i];
        v.shape[i]  = view->shape[order[i]];
        v.stride[i] = view->stride[order[i]];
    }
    *out = v;
    return FIL_OK;
}

fil_status fili_view_extent(fil_ctx *ctx, const fili_view *view, fili_extent *out)
{
    FIL_TRY(check_form(ctx, view->dtype, view->rank, view->shape));
    int64_t first = 0; /* lowest and highest element, relative to data */
    int64_t last  = 0;
    int64_t count = 1;
    bool    fits  = true;
    bool    empty = false;
    for (uint32_t i = 0; i < view->rank && fits; i++) {
        int64_t reach = 0;
        if (view->shape[i] == 0) {
            empty = true;
            continue;
        }
        fits = fili_mul_i64(view->stride[i], view->shape[i] - 1, &reach) &&
               fili_mul_i64(count, view->shape[i], &count) &&
               fili_add_i64(reach < 0 ? first : last, reach, reach < 0 ? &first : &last);
    }
    const int64_t bytes = element_bytes(view->dtype);
    fits                = fits && fili_add_i64(last, 1, &last) && fili_mul_i64(last, bytes, &last);
    fits                = fits && fili_mul_i64(first, bytes, &first);
    if (!fits) return FIL_FAIL(ctx, FIL_E_SHAPE, "view: its extent does not fit 63 bits of bytes");
    *out = empty ? (fili_extent){0, 0} : (fili_extent){first, last};
    return FIL_OK;
}

fil_status fili_view_within(fil_ctx *ctx, const fili_view *view, uint64_t bytes)
{
    fili_extent e;
    FIL_TRY(fili_view_extent(ctx, view, &e));
    if (e.begin < 0 || (uint64_t)e.end > bytes)
        return FIL_FAIL(ctx, FIL_E_SHAPE, "view covers bytes %lld to %lld of a buffer of %llu",
                        (long long)e.begin, (long long)e.end, (unsigned long long)bytes);
    return FIL_OK;
}

bool fili_view_is_dense(const fili_view *view)
{
    int64_t step  = 1;
    bool    dense = true;
    for (uint32_t i = view->rank; i-- > 0;) {
        if (view->shape[i] == 0) return true;
        if (view->shape[i] == 1 || !dense) continue;
        dense = view->stride[i] == step && fili_mul_i64(step, view->shape[i], &step);
    }
    return dense;
}

int64_t fili_view_count(const fili_view *view)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < view->rank; i++) {
        if (view->shape[i] == 0) return 0;
        n *= view->shape[i];
    }
    return n;
}

unsigned char *fili_view_at(const fili_view *view, const int64_t *index)
{
    int64_t offset = 0;
    for (uint32_t i = 0; i < view->rank; i++)
        offset += index[i] * view->stride[i];
    return view->data + offset * element_bytes(view->dtype);
}
