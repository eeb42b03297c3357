/* kernel/device_elementwise.c: data that stays on a device: how it gets there and back, and the
 * functions that touch it outside of the families (device_rows.h).
 */
#include "kernel/device_stage.h"

/* ---- memory --------------------------------------------------------------------------------- */

int filk_device_owns(const fil_ctx *ctx, const void *p)
{
    const fili_device *d = ctx->device;
    return d != NULL && p != NULL && d->backend->owns(d->handle, p);
}

static fil_status copy(fil_ctx *ctx, const fili_copy_rect *rect, const char *what)
{
    const fili_device *d = ctx->device;
    if (rect->row_bytes == 0) return FIL_OK;
    return fili_device_check(ctx, d->backend->copy(d->handle, rect), what);
}

fil_status filk_device_wait(fil_ctx *ctx)
{
    const fili_device *d = ctx->device;
    return fili_device_check(ctx, d->backend->sync(d->handle), "waiting for the device");
}

fil_status filk_device_put(fil_ctx *ctx, void *device, const void *host, size_t bytes)
{
    const fili_copy_rect rect = {
        .dst = device, .src = host, .row_bytes = bytes, .rows = 1, .way = FILI_COPY_TO_DEVICE};
    if (device == host) return FIL_OK;
    FIL_TRY(copy(ctx, &rect, "copying to the device"));
    return filk_device_wait(ctx);
}

fil_status filk_device_get(fil_ctx *ctx, void *host, const void *device, size_t bytes)
{
    const fili_copy_rect rect = {
        .dst = host, .src = device, .row_bytes = bytes, .rows = 1, .way = FILI_COPY_TO_HOST};
    return host != device ? copy(ctx, &rect, "copying from the device") : FIL_OK;
}

fil_status filk_device_get_pieces(fil_ctx *ctx, void *host, const void *device,
                                  const filk_device_piece *pieces)
{
    const fili_copy_rect rect = {.dst       = host,
                                 .src       = device,
                                 .dst_pitch = pieces->pitch,
                                 .src_pitch = pieces->pitch,
                                 .row_bytes = pieces->bytes,
                                 .rows      = pieces->rows,
                                 .way       = FILI_COPY_TO_HOST};
    return host != device ? copy(ctx, &rect, "copying from the device") : FIL_OK;
}

fil_status filk_device_copy(fil_ctx *ctx, void *to, const void *from, size_t bytes)
{
    const fili_copy_rect rect = {
        .dst = to, .src = from, .row_bytes = bytes, .rows = 1, .way = FILI_COPY_ON_DEVICE};
    return copy(ctx, &rect, "copying on the device");
}

/* ---- functions ------------------------------------------------------------------------------ */

fil_status filk_device_find_nonfinite(fil_ctx *ctx, const float *x, int64_t n, int64_t *at)
{
    const filk_backend_kernels *k       = filk_device_kernels();
    const filk_find_problem     problem = {.n = n};
    filk_find_args              a       = {.x = x};
    filk_stage                  s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    a.at = filk_stage_out(&s, at, sizeof *at);
    if (s.status == FIL_OK) s.status = k->find_nonfinite.run(s.device->handle, &problem, &a, NULL);
    return filk_stage_end(&s, "looking for values that are not finite");
}

fil_status filk_device_gated_add(fil_ctx *ctx, const filk_gated_problem *problem,
                                 const filk_gated_args *args)
{
    const filk_backend_kernels *k = filk_device_kernels();
    filk_gated_args             a = *args;
    filk_stage                  s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    a.coarse =
        filk_stage_in(&s, a.coarse, sizeof(float) * (size_t)problem->m * (size_t)problem->cols);
    if (s.status == FIL_OK) s.status = k->gated_add.run(s.device->handle, problem, &a, NULL);
    return filk_stage_end(&s, "adding a coarse branch");
}

/* Nothing is staged. */
static fil_status run_there(fil_ctx *ctx, const filk_device_row *row, const void *problem,
                            const void *args, const char *what)
{
    const fili_device *d = ctx->device;
    return fili_device_check(ctx, row->run(d->handle, problem, args, NULL), what);
}

fil_status filk_device_cast(fil_ctx *ctx, const filk_cast_problem *problem,
                            const filk_cast_args *args)
{
    return run_there(ctx, &filk_device_kernels()->cast, problem, args, "converting a frame");
}

fil_status filk_device_double(fil_ctx *ctx, const filk_double_problem *problem,
                              const filk_double_args *args)
{
    return run_there(ctx, &filk_device_kernels()->double_frame, problem, args, "doubling a frame");
}

fil_status filk_device_softmax(fil_ctx *ctx, const filk_softmax_problem *problem,
                               const filk_softmax_args *args)
{
    return run_there(ctx, &filk_device_kernels()->softmax, problem, args, "softmax");
}
