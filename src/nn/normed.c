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
    const filk_norm_args args    = {.x          = io->x,
                                    .x_stride   = problem.dim,
                                    .out        = io->out,
                                    .out_stride = problem.dim,
                                    .a          = io->a,
                                    .b          = io->b,
                                    .cos        = io->cos,
                                    .sin        = io->sin,
                                    .eps        = norm->eps};
    problem.rows                 = io->rows;
    return norm->row->run(norm->ctx, &problem, &args, workspace);
}
