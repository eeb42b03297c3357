/* wan/dit_device.c: what a DiT does where its kernels are a device's: waiting, and values for the
 * trace (dit_inside.h).
 */
#include "base/mem.h"
#include "kernel/device_rows.h"
#include "wan/dit_inside.h"

/* ---- a device ------------------------------------------------------------------------------- */

fil_status fili_dit_settle(const fili_dit *d)
{
    return d->on_device ? filk_device_wait(d->ctx) : FIL_OK;
}

/* ---- the trace ------------------------------------------------------------------------------ */

static fil_status trace_copy(const fili_dit *d, const char *what, int32_t layer,
                             const fili_dit_value *value)
{
    const size_t   size  = fil_dtype_bits(value->dtype) / 8;
    const size_t   bytes = (size_t)((value->rows - 1) * value->stride + value->cols) * size;
    fili_dit_value copy  = *value;
    void          *block;
    FIL_TRY(fili_alloc(d->ctx, bytes, "a value for the trace", &block));
    copy.data               = block;
    const fil_status status = filk_device_get(d->ctx, block, value->data, bytes);
    if (status == FIL_OK) d->o.trace(d->o.user, what, layer, &copy);
    fili_free(d->ctx, block, bytes);
    return status;
}

fil_status fili_dit_trace_value(const fili_dit *d, const char *what, int32_t layer,
                                const fili_dit_value *value)
{
    if (d->o.trace == NULL) return FIL_OK;
    if (filk_device_owns(d->ctx, value->data)) return trace_copy(d, what, layer, value);
    d->o.trace(d->o.user, what, layer, value);
    return FIL_OK;
}

fil_status fili_dit_trace(const fili_dit *d, const char *what, int32_t layer, fil_dtype dtype,
                          const void *data, int64_t rows, int64_t cols)
{
    const fili_dit_value value = {
        .dtype = dtype, .data = data, .rows = rows, .cols = cols, .stride = cols};
    return fili_dit_trace_value(d, what, layer, &value);
}
