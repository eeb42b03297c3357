/* kernel/device_conv3d.c: the row of 3-D convolution that runs on a CUDA device, as the registry
 * sees it. The backend makes one output frame at a time; each is staged for itself
 * (device_stage.h), so that a clip on the host needs no more of the device than a window of frames.
 */
#include "base/mem.h"
#include "kernel/device_stage.h"

typedef struct device_plan {
    filk_conv3d_problem     p;
    const filk_device_plan *ops;
    void                   *inner; /* the backend's */
} device_plan;

static size_t size_of(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

static int is_plain(fil_dtype dtype)
{
    return dtype == FIL_BF16 || dtype == FIL_F32;
}

static void destroy(fil_ctx *ctx, void **plan)
{
    device_plan *d = *plan;
    if (d == NULL) return;
    if (d->inner != NULL) d->ops->destroy(ctx->device->handle, d->inner);
    fili_free(ctx, d, sizeof *d);
    *plan = NULL;
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    const filk_backend_kernels *k = filk_device_kernels();
    *plan                         = NULL;
    if (ctx->device == NULL || k == NULL || k->conv3d == NULL)
        return FIL_FAIL(ctx, FIL_E_ARG, "a kernel of a device was called without a device");
    FIL_TRY(fili_calloc(ctx, 1, sizeof(device_plan), "conv3d plan", plan));
    device_plan *d          = *plan;
    d->p                    = *(const filk_conv3d_problem *)problem;
    d->ops                  = k->conv3d;
    const fil_status status = fili_device_check(
        ctx, d->ops->create(ctx->device->handle, problem, &d->inner), "conv3d plan");
    if (status != FIL_OK) destroy(ctx, plan);
    return status;
}

static size_t workspace_bytes(const void *plan)
{
    const device_plan *d = plan;
    return d->ops->workspace(d->inner);
}

static size_t packed_bytes(const void *plan)
{
    const device_plan *d = plan;
    return d->ops->packed_bytes(d->inner);
}

static fil_status pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace)
{
    const device_plan         *d = plan;
    const filk_conv3d_problem *p = &d->p;
    const size_t taps            = (size_t)p->t.kernel * (size_t)p->h.kernel * (size_t)p->w.kernel;
    const size_t bytes           = taps * (size_t)p->c_in * (size_t)p->c_out * size_of(p->dtype);
    filk_stage   s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    weight    = filk_stage_in(&s, weight, bytes);
    packed    = filk_stage_out(&s, packed, packed_bytes(plan));
    workspace = filk_stage_workspace(&s, workspace, workspace_bytes(plan));
    if (s.status == FIL_OK)
        s.status = d->ops->pack(s.device->handle, d->inner, weight, packed, workspace);
    return filk_stage_end(&s, "packing a convolution");
}

/* Frame t of the output. */
static fil_status run_frame(fil_ctx *ctx, const device_plan *d, const filk_conv3d_args *a,
                            int32_t t, void *workspace)
{
    const filk_conv3d_problem *p  = &d->p;
    const size_t               in = (size_t)p->h.size * (size_t)p->w.size * (size_t)p->c_in;
    const size_t           pixels = (size_t)filk_conv3d_out(&p->h) * (size_t)filk_conv3d_out(&p->w);
    const size_t           out    = pixels * (size_t)p->c_out * size_of(p->out_dtype);
    filk_stage_area        area   = {.n = {1, 1}, .bytes = (int64_t)out};
    filk_device_conv_frame f      = {.packed = NULL};
    const int              alias  = a->residual != NULL && a->residual[t] == a->out[t];
    filk_stage             s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    for (int32_t i = 0; i < p->t.kernel; i++) {
        const int32_t at = t * p->t.stride + i - p->t.before;
        if (at >= 0 && at < p->t.size)
            f.frame[i] = filk_stage_in(&s, a->frames[at], in * size_of(p->dtype));
    }
    f.packed = filk_stage_in(&s, a->packed, packed_bytes(d));
    if (p->bias_dtype != FIL_DTYPE_NONE)
        f.bias = filk_stage_in(&s, a->bias, (size_t)p->c_out * size_of(p->bias_dtype));
    if (a->residual != NULL && !alias)
        f.residual = filk_stage_in(&s, a->residual[t], (size_t)area.bytes);
    f.out = filk_stage_out_area(&s, a->out[t], &area, 1, alias);
    if (alias) f.residual = f.out;
    workspace = filk_stage_workspace(&s, workspace, workspace_bytes(d));
    if (s.status == FIL_OK) s.status = d->ops->run(s.device->handle, d->inner, &f, workspace);
    return filk_stage_end(&s, "conv3d");
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    const device_plan *d = plan;
    for (int32_t t = 0; t < filk_conv3d_out(&d->p.t); t++) {
        FIL_TRY(fili_check_cancel(ctx));
        FIL_TRY(run_frame(ctx, d, args, t, workspace));
    }
    return FIL_OK;
}

const char *filk_conv3d_bf16_mma_64x64__sm80_refuse(const void *problem)
{
    const filk_conv3d_problem *p = problem;
    if (p->dtype != FIL_BF16) return "takes bf16 only";
    if (!is_plain(p->out_dtype)) return "writes bf16 and f32 only";
    if (p->bias_dtype != FIL_DTYPE_NONE && !is_plain(p->bias_dtype))
        return "takes a bias in bf16 or f32 only";
    if (p->t.kernel > FILK_DEVICE_MAX_TAPS) return "takes at most 8 taps of time";
    if (filk_conv3d_out(&p->t) == 0 || filk_conv3d_out(&p->h) == 0 || filk_conv3d_out(&p->w) == 0)
        return "takes kernels that fit into the padded clip only";
    return NULL;
}

const filk_plan_ops filk_conv3d_bf16_mma_64x64__sm80_plan = {.create       = create,
                                                             .destroy      = destroy,
                                                             .workspace    = workspace_bytes,
                                                             .packed_bytes = packed_bytes,
                                                             .pack         = pack,
                                                             .run          = run};
