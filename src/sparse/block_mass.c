/* sparse/block_mass.c: the kernel of masses and its memory (sparse/block_mass.h). */
#include "sparse/block_mass.h"

fil_status fili_block_mass_plan(fili_block_mass *out, fil_ctx *ctx, const fili_blocks *blocks,
                                int32_t heads, int32_t head_dim, fil_dtype dtype)
{
    const int32_t n = fili_blocks_tokens(blocks);
    *out            = (fili_block_mass){.ctx     = ctx,
                                        .problem = {.nq       = n,
                                                    .nk       = n,
                                                    .heads    = heads,
                                                    .kv_heads = heads,
                                                    .head_dim = head_dim,
                                                    .dtype    = dtype,
                                                    .mq       = blocks->m,
                                                    .mk       = blocks->m,
                                                    .q_offset = blocks->offset,
                                                    .k_offset = blocks->offset}};
    return filk_select(ctx, &filk_mass, &out->problem, NULL, &out->row);
}

fil_status fili_block_mass_take(fili_block_mass *m, fili_arena *arena, int with_lse)
{
    const filk_mass_problem *p     = &m->problem;
    const size_t             heads = (size_t)p->heads;
    void                    *block;
    FIL_TRY(fili_arena_alloc(arena, m->row->workspace(p, m->ctx->n_threads), &m->workspace));
    FIL_TRY(fili_arena_calloc(arena, heads * (size_t)p->mq, (size_t)p->mk * sizeof(float), &block));
    m->mass = block;
    if (!with_lse) return FIL_OK;
    FIL_TRY(fili_arena_calloc(arena, heads * (size_t)p->nq, sizeof(float), &block));
    m->lse = block;
    return FIL_OK;
}

fil_status fili_block_mass_run(const fili_block_mass *m, filk_attn_view q, filk_attn_view k,
                               float scale)
{
    const filk_mass_args args = {
        .q = q, .k = k, .scale = scale, .lse_out = m->lse, .mass = m->mass};
    return m->row->run(m->ctx, &m->problem, &args, m->workspace);
}
