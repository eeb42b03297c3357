/* kernel/device_linear.c: the rows of linear that run on a CUDA device, as the registry sees them:
 * plans of the backend, and staging around pack and run (device_plan.h).
 */
#include "kernel/device_plan.h"
#include "kernel/linear.h"

typedef struct device_linear {
    filk_planned        base;
    filk_linear_problem p;
} device_linear;

static int64_t size_of(fil_dtype dtype)
{
    return (int64_t)fil_dtype_bits(dtype) / 8;
}

static fil_status pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace)
{
    const filk_linear_problem *p = &((const device_linear *)plan)->p;
    return filk_planned_pack(ctx, plan, weight, (size_t)(p->n * p->k * size_of(p->dtype)), packed,
                             workspace, "packing a linear layer");
}

/* ---- running -------------------------------------------------------------------------------- */

static void stage_inputs(filk_stage *s, const device_linear *d, filk_linear_args *a)
{
    const filk_linear_problem *p      = &d->p;
    const int64_t              size   = size_of(p->dtype);
    const int64_t              packed = (int64_t)filk_planned_packed(d);
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
static void stage_outputs(filk_stage *s, const device_linear *d, filk_linear_args *a)
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
    const device_linear *d = plan;
    filk_linear_args     a = *(const filk_linear_args *)args;
    filk_stage           s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    stage_inputs(&s, d, &a);
    stage_outputs(&s, d, &a);
    workspace = filk_stage_workspace(&s, workspace, filk_planned_workspace(plan));
    if (s.status == FIL_OK)
        s.status = d->base.ops->run(s.device->handle, d->base.inner, &a, workspace);
    return filk_stage_end(&s, "linear");
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const char *refuse(const filk_linear_problem *p)
{
    if (!filk_is_plain(p->dtype)) return "takes bf16 and f32 only";
    if (!filk_is_plain(p->out_dtype)) return "writes bf16 and f32 only";
    if (p->bias_dtype != FIL_DTYPE_NONE && !filk_is_plain(p->bias_dtype))
        return "takes a bias in bf16 or f32 only";
    return p->any_weight ? "takes weights of its own type only" : NULL;
}

const char *filk_linear_any_tile__cublaslt_refuse(const void *problem)
{
    return refuse(problem);
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    const filk_backend_kernels *k   = filk_device_kernels();
    const filk_device_plan     *ops = k != NULL ? k->linear : NULL;
    FIL_TRY(filk_planned_create(ctx, problem, ops, sizeof(device_linear), plan));
    device_linear *d = *plan;
    d->p             = *(const filk_linear_problem *)problem;
    return FIL_OK;
}

const filk_plan_ops filk_linear_any_tile__cublaslt_plan = {.create       = create,
                                                           .destroy      = filk_planned_destroy,
                                                           .workspace    = filk_planned_workspace,
                                                           .packed_bytes = filk_planned_packed,
                                                           .pack         = pack,
                                                           .run          = run};
