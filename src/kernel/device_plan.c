/* kernel/device_plan.c: plans of a backend, and staging around pack (device_plan.h). */
#include "base/mem.h"
#include "kernel/device_plan.h"

void filk_planned_destroy(fil_ctx *ctx, void **plan)
{
    filk_planned *p = *plan;
    if (p == NULL) return;
    if (p->inner != NULL) p->ops->destroy(ctx->device->handle, p->inner);
    fili_free(ctx, p, p->bytes);
    *plan = NULL;
}

fil_status filk_planned_create(fil_ctx *ctx, const void *problem, const filk_device_plan *ops,
                               size_t bytes, void **plan)
{
    *plan = NULL;
    if (ctx->device == NULL || ops == NULL)
        return FIL_FAIL(ctx, FIL_E_ARG, "a kernel of a device was called without a device");
    FIL_TRY(fili_calloc(ctx, 1, bytes, "a device's plan", plan));
    filk_planned *p         = *plan;
    *p                      = (filk_planned){.ops = ops, .bytes = bytes};
    const fil_status status = fili_device_check(
        ctx, ops->create(ctx->device->handle, problem, &p->inner), "a device's plan");
    if (status != FIL_OK) filk_planned_destroy(ctx, plan);
    return status;
}

size_t filk_planned_workspace(const void *plan)
{
    const filk_planned *p = plan;
    return p->ops->workspace(p->inner);
}

size_t filk_planned_packed(const void *plan)
{
    const filk_planned *p = plan;
    return p->ops->packed_bytes(p->inner);
}

fil_status filk_planned_pack(fil_ctx *ctx, const void *plan, const void *weight, size_t bytes,
                             void *packed, void *workspace, const char *what)
{
    const filk_planned *p = plan;
    filk_stage          s;
    filk_stage_begin(&s, ctx);
    if (s.status != FIL_OK) return s.status;
    weight    = filk_stage_in(&s, weight, bytes);
    packed    = filk_stage_out(&s, packed, filk_planned_packed(plan));
    workspace = filk_stage_workspace(&s, workspace, filk_planned_workspace(plan));
    if (s.status == FIL_OK)
        s.status = p->ops->pack(s.device->handle, p->inner, weight, packed, workspace);
    return filk_stage_end(&s, what);
}
