/* nn/dense.c: linear layers over the family `linear` (dense.h). */
#include "nn/dense.h"

fil_status fili_dense_open(fili_dense_plan *out, fil_ctx *ctx, const fili_dense_shape *shape)
{
    *out = (fili_dense_plan){.ctx     = ctx,
                             .problem = {.m          = shape->rows,
                                         .n          = shape->out,
                                         .k          = shape->in,
                                         .dtype      = shape->dtype,
                                         .out_dtype  = shape->out_dtype,
                                         .bias_dtype = FIL_F32,
                                         .act        = shape->act,
                                         .x_stride   = shape->in,
                                         .packed     = shape->packed,
                                         .any_weight = shape->any_weight}};
    FIL_TRY(filk_select(ctx, &filk_linear, &out->problem, NULL, &out->row));
    FIL_TRY(out->row->plan->create(ctx, &out->problem, &out->plan));
    out->workspace = out->row->plan->workspace(out->plan);
    out->packed    = shape->packed ? out->row->plan->packed_bytes(out->plan) : 0;
    return FIL_OK;
}

void fili_dense_close(fili_dense_plan *plan)
{
    if (plan->plan != NULL) plan->row->plan->destroy(plan->ctx, &plan->plan);
    *plan = (fili_dense_plan){.ctx = plan->ctx};
}

fil_status fili_dense_pack(const fili_dense_plan *plan, const void *weight, void *packed,
                           void *workspace)
{
    return plan->row->plan->pack(plan->ctx, plan->plan, weight, packed, workspace);
}

fil_status fili_dense_forward(const fili_dense *layer, const fili_dense_io *io, void *workspace)
{
    const fili_dense_plan *plan = layer->plan;
    const filk_linear_args args = {.x               = io->x,
                                   .weight          = layer->weight,
                                   .weight_dtype    = layer->weight_dtype,
                                   .again           = io->again,
                                   .bias            = layer->bias,
                                   .gate            = io->gate,
                                   .residual        = io->residual,
                                   .residual_stride = plan->problem.n,
                                   .out             = io->out,
                                   .out_stride =
                                       io->out_stride != 0 ? io->out_stride : plan->problem.n};
    return plan->row->plan->run(plan->ctx, plan->plan, &args, workspace);
}
