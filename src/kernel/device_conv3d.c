/* kernel/device_conv3d.c: the row of conv3d that runs on a CUDA device, as the registry sees it: a
 * plan of the backend, and staging around pack and run (device_plan.h). The backend computes one
 * output frame at a time from the frames of its window.
 */
#include "kernel/conv3d.h"
#include "kernel/device_plan.h"

#define MOST_WINDOW (1 << 22) /* 256 windows have fewer than 2^31 elements */

typedef struct device_conv {
    filk_planned        base;
    filk_conv3d_problem p;
} device_conv;

static size_t size_of(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

const char *filk_conv3d_any_window__cublaslt_refuse(const void *problem)
{
    const filk_conv3d_problem *p = problem;
    if (!filk_is_plain(p->dtype)) return "takes bf16 and f32 only";
    if (p->out_dtype != FIL_F32) return "writes f32 only";
    if (p->bias_dtype != FIL_DTYPE_NONE && !filk_is_plain(p->bias_dtype))
        return "takes a bias in bf16 or f32 only";
    const int64_t taps = (int64_t)p->t.kernel * p->h.kernel * p->w.kernel;
    if (taps * p->c_in > MOST_WINDOW) return "takes windows of at most 4194304 elements";
    return p->t.kernel > FILK_DEVICE_FRAMES ? "takes windows of at most 8 frames" : NULL;
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    const filk_backend_kernels *k   = filk_device_kernels();
    const filk_device_plan     *ops = k != NULL ? k->conv3d : NULL;
    FIL_TRY(filk_planned_create(ctx, problem, ops, sizeof(device_conv), plan));
    device_conv *c = *plan;
    c->p           = *(const filk_conv3d_problem *)problem;
    return FIL_OK;
}

static fil_status pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace)
{
    const filk_conv3d_problem *p    = &((const device_conv *)plan)->p;
    const size_t               taps = (size_t)p->t.kernel * (size_t)p->h.kernel;
    const size_t               n    = taps * (size_t)p->w.kernel * (size_t)p->c_in;
    return filk_planned_pack(ctx, plan, weight, n * (size_t)p->c_out * size_of(p->dtype), packed,
                             workspace, "packing a convolution");
}

/* The frames of output frame t's window; NULL where there is none. */
static void take_window(filk_stage *s, const filk_conv3d_problem *p, const filk_conv3d_args *a,
                        int32_t t, filk_device_conv_args *to)
{
    const size_t pixels = (size_t)p->h.size * (size_t)p->w.size;
    for (int32_t i = 0; i < p->t.kernel; i++) {
        const int32_t at   = t * p->t.stride + i - p->t.before;
        const void   *from = at >= 0 && at < p->t.size ? a->frames[at] : NULL;
        to->frame[i]       = filk_stage_in(s, from, pixels * (size_t)p->c_in * size_of(p->dtype));
    }
}

static fil_status run_frame(fil_ctx *ctx, const device_conv *c, const filk_conv3d_args *a,
                            int32_t t, void *workspace)
{
    const filk_conv3d_problem *p     = &c->p;
    const size_t               out_h = (size_t)filk_conv3d_out(&p->h);
    const size_t               out_w = (size_t)filk_conv3d_out(&p->w);
    const size_t               bytes = out_h * out_w * (size_t)p->c_out * sizeof(float);
    const float               *add   = a->residual != NULL ? a->residual[t] : NULL;
    filk_device_conv_args      args  = {.packed = NULL};
    filk_stage_area            area  = {.n = {1, 1}, .bytes = (int64_t)bytes};
    filk_stage                 s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    take_window(&s, p, a, t, &args);
    args.packed = filk_stage_in(&s, a->packed, filk_planned_packed(c));
    if (p->bias_dtype != FIL_DTYPE_NONE)
        args.bias = filk_stage_in(&s, a->bias, (size_t)p->c_out * size_of(p->bias_dtype));
    /* One frame on the device where residual and output are one on the host. */
    const int alias = add != NULL && (const void *)add == a->out[t];
    if (!alias) args.residual = filk_stage_in(&s, add, bytes);
    args.out = filk_stage_out_area(&s, a->out[t], &area, 1, alias);
    if (alias) args.residual = args.out;
    workspace = filk_stage_workspace(&s, workspace, filk_planned_workspace(c));
    if (s.status == FIL_OK)
        s.status = c->base.ops->run(s.device->handle, c->base.inner, &args, workspace);
    return filk_stage_end(&s, "conv3d");
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    const device_conv *c      = plan;
    const int32_t      frames = filk_conv3d_out(&c->p.t);
    if (filk_conv3d_out(&c->p.h) < 1 || filk_conv3d_out(&c->p.w) < 1) return FIL_OK;
    for (int32_t t = 0; t < frames; t++)
        FIL_TRY(run_frame(ctx, c, args, t, workspace));
    return FIL_OK;
}

const filk_plan_ops filk_conv3d_any_window__cublaslt_plan = {.create       = create,
                                                             .destroy      = filk_planned_destroy,
                                                             .workspace    = filk_planned_workspace,
                                                             .packed_bytes = filk_planned_packed,
                                                             .pack         = pack,
                                                             .run          = run};
