/* nn/normed.c: norms (normed.h). */
#include "nn/normed.h"

fil_status fili_norm_open(fili_norm *out, fil_ctx *ctx, const filk_norm_problem *problem, float eps)
{
    *out = (fili_norm){.ctx = ctx, .problem = *problem, .eps = eps};
    FIL_TRY(filk_select(ctx, &filk_norm, &out->problem, NULL, &out->row));
    out->workspace = out->row->workspace(&out->problem, ctx->n_threads);
    return FIL_OK;
}

fil_status fili_norm_forward(const fili_norm *norm, const fili_norm_io *io, void *workspace)
{
    filk_norm_problem    problem = norm->problem;
    const int64_t        stride  = io->stride != 0 ? io->stride : problem.dim;
    const filk_norm_args args    = {.x          = io->x,
                                    .x_stride   = stride,
                                    .out        = io->out,
                                    .out_stride = stride,
                                    .a          = io->a,
                                    .b          = io->b,
                                    .cos        = io->cos,
                                    .sin        = io->sin,
                                    .eps        = norm->eps};
    problem.rows                 = io->rows;
    return norm->row->run(norm->ctx, &problem, &args, workspace);
}
