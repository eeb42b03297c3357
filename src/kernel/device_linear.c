/* kernel/device_linear.c: the rows of linear that run on a CUDA device, as the registry sees them:
 * plans of the backend, and staging around pack and run (device_stage.h).
 */
#include "base/mem.h"
#include "kernel/device_stage.h"
#include "kernel/linear.h"

typedef struct device_plan {
    filk_linear_problem     p;
    const filk_device_plan *ops;
    void                   *inner; /* the backend's */
} device_plan;

static int64_t size_of(fil_dtype dtype)
{
    return (int64_t)fil_dtype_bits(dtype) / 8;
}

static int is_plain(fil_dtype dtype)
{
    return dtype == FIL_BF16 || dtype == FIL_F32;
}

/* ---- plans ---------------------------------------------------------------------------------- */

static void destroy(fil_ctx *ctx, void **plan)
{
    device_plan *d = *plan;
    if (d == NULL) return;
    if (d->inner != NULL) d->ops->destroy(ctx->device->handle, d->inner);
    fili_free(ctx, d, sizeof *d);
    *plan = NULL;
}

static fil_status create(fil_ctx *ctx, const void *problem, const filk_device_plan *ops,
                         void **plan)
{
    *plan = NULL;
    if (ctx->device == NULL || ops == NULL)
        return FIL_FAIL(ctx, FIL_E_ARG, "a kernel of a device was called without a device");
    FIL_TRY(fili_calloc(ctx, 1, sizeof(device_plan), "linear plan", plan));
    device_plan *d = *plan;
    d->p           = *(const filk_linear_problem *)problem;
    d->ops         = ops;
    const fil_status status =
        fili_device_check(ctx, ops->create(ctx->device->handle, problem, &d->inner), "linear plan");
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
    const device_plan *d     = plan;
    const int64_t      bytes = d->p.n * d->p.k * size_of(d->p.dtype);
    filk_stage         s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    weight    = filk_stage_in(&s, weight, (size_t)bytes);
    packed    = filk_stage_out(&s, packed, packed_bytes(plan));
    workspace = filk_stage_workspace(&s, workspace, workspace_bytes(plan));
    if (s.status == FIL_OK)
        s.status = d->ops->pack(s.device->handle, d->inner, weight, packed, workspace);
    return filk_stage_end(&s, "packing a linear layer");
}

/* ---- running -------------------------------------------------------------------------------- */

static void stage_inputs(filk_stage *s, const device_plan *d, filk_linear_args *a)
{
    const filk_linear_problem *p      = &d->p;
    const int64_t              size   = size_of(p->dtype);
    const int64_t              packed = (int64_t)packed_bytes(d);
    const int64_t              weight = packed > 0 ? packed : p->n * p->k * size;
    filk_stage_area            x      = filk_stage_area_of(p->m, 1, p->x_stride, 1, p->k, size);
    a->x                              = filk_stage_in_area(s, a->x, &x, size);
    if (s->status == FIL_OK && p->m > 1 && x.stride[0] != p->x_stride * size)
        s->status = FIL_FAIL(s->ctx, FIL_E_UNSUP, "linear: rows of x lie too far apart to copy");
    a->weight = filk_stage_in(s, a->weight, (size_t)weight);
    if (p->bias_dtype != FIL_DTYPE_NONE)
        a->bias = filk_stage_in(s, a->bias, (size_t)(p->n * size_of(p->bias_dtype)));
    a->gate = filk_stage_in(s, a->gate, sizeof(float) * (size_t)p->n);
}

/* residual and out: one array on the device where they are one on the host. */
static void stage_outputs(filk_stage *s, const device_plan *d, filk_linear_args *a)
{
    const filk_linear_problem *p     = &d->p;
    const int64_t              size  = size_of(p->out_dtype);
    const int                  alias = a->residual != NULL && (const void *)a->residual == a->out;
    filk_stage_area            to    = filk_stage_area_of(p->m, 1, a->out_stride, 1, p->n, size);
    filk_stage_area            from  = filk_stage_area_of(p->m, 1, a->residual_stride, 1, p->n, 4);
    if (!alias) a->residual = filk_stage_in_area(s, a->residual, &from, 4);
    a->out             = filk_stage_out_area(s, a->out, &to, size, alias);
    a->out_stride      = to.stride[0] / size;
    a->residual_stride = alias ? a->out_stride : from.stride[0] / 4;
    if (alias) a->residual = a->out;
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    const device_plan *d = plan;
    filk_linear_args   a = *(const filk_linear_args *)args;
    filk_stage         s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    stage_inputs(&s, d, &a);
    stage_outputs(&s, d, &a);
    workspace = filk_stage_workspace(&s, workspace, workspace_bytes(plan));
    if (s.status == FIL_OK) s.status = d->ops->run(s.device->handle, d->inner, &a, workspace);
    return filk_stage_end(&s, "linear");
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const char *refuse(const filk_linear_problem *p)
{
    if (!is_plain(p->dtype)) return "takes bf16 and f32 only";
    if (!is_plain(p->out_dtype)) return "writes bf16 and f32 only";
    if (p->bias_dtype != FIL_DTYPE_NONE && !is_plain(p->bias_dtype))
        return "takes a bias in bf16 or f32 only";
    return p->any_weight ? "takes weights of its own type only" : NULL;
}

const char *filk_linear_any_tile__cublaslt_refuse(const void *problem)
{
    return refuse(problem);
}

static fil_status create_any(fil_ctx *ctx, const void *problem, void **plan)
{
    const filk_backend_kernels *k = filk_device_kernels();
    return create(ctx, problem, k != NULL ? k->linear : NULL, plan);
}

const filk_plan_ops filk_linear_any_tile__cublaslt_plan = {.create       = create_any,
                                                           .destroy      = destroy,
                                                           .workspace    = workspace_bytes,
                                                           .packed_bytes = packed_bytes,
                                                           .pack         = pack,
                                                           .run          = run};
