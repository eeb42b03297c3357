/* nn/matmul.c: a linear layer without bias (matmul.h). */
#include "nn/matmul.h"

fil_status fili_matmul_open(fili_matmul *out, fil_ctx *ctx, const fili_matmul_shape *shape)
{
    *out =
        (fili_matmul){.ctx     = ctx,
                      .problem = {.m          = shape->m,
                                  .n          = shape->n,
                                  .k          = shape->k,
                                  .dtype      = shape->dtype,
                                  .out_dtype  = shape->out_dtype,
                                  .bias_dtype = FIL_DTYPE_NONE,
                                  .act        = shape->act,
                                  .x_stride   = shape->x_stride != 0 ? shape->x_stride : shape->k}};
    FIL_TRY(filk_select(ctx, &filk_linear, &out->problem, NULL, &out->row));
    FIL_TRY(out->row->plan->create(ctx, &out->problem, &out->plan));
    out->workspace = out->row->plan->workspace(out->plan);
    return FIL_OK;
}

void fili_matmul_close(fili_matmul *m)
{
    if (m->plan != NULL) m->row->plan->destroy(m->ctx, &m->plan);
    *m = (fili_matmul){.plan = NULL};
}

fil_status fili_matmul_run(const fili_matmul *m, const void *x, const void *w,
                           const float *residual, void *out, void *workspace)
{
    const filk_linear_args args = {.x               = x,
                                   .weight          = w,
                                   .residual        = residual,
                                   .residual_stride = m->problem.n,
                                   .out             = out,
                                   .out_stride      = m->problem.n};
    return m->row->plan->run(m->ctx, m->plan, &args, workspace);
}
