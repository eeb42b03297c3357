/* sparse/sampled_mass.c: block masses of a few query blocks (sparse/sampled_mass.h): their queries
 * are gathered, so that keys are packed once. */
#include <string.h>

#include "sparse/sampled_mass.h"

static int32_t first_block(const fili_sampled_mass *s, int32_t sample)
{
    return s->row[sample] * s->per;
}

static int32_t end_block(const fili_sampled_mass *s, int32_t sample)
{
    const int32_t end = first_block(s, sample) + s->per;
    return end < s->blocks->m ? end : s->blocks->m;
}

static fil_status choose_rows(fili_sampled_mass *s, fili_arena *arena, int32_t most)
{
    void *block;
    s->m = s->blocks->m / s->per + (s->blocks->m % s->per != 0);
    s->n = most < s->m ? most : s->m;
    FIL_TRY(fili_arena_alloc(arena, (size_t)s->n * sizeof(int32_t), &block));
    s->row = block;
    for (int32_t i = 0; i < s->n; i++)
        s->row[i] = (int32_t)((2 * (int64_t)i + 1) * s->m / (2 * (int64_t)s->n));
    return FIL_OK;
}

static fil_status gather_offsets(fili_sampled_mass *s, fili_arena *arena)
{
    void *block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)s->n * (size_t)s->per + 1, sizeof(int32_t), &block));
    int32_t *offset = block;
    int32_t  m      = 0;
    for (int32_t i = 0; i < s->n; i++)
        for (int32_t b = first_block(s, i); b < end_block(s, i); b++, m++)
            offset[m + 1] = offset[m] + fili_blocks_valid(s->blocks, b);
    s->problem.q_offset = offset;
    s->problem.mq       = m;
    s->problem.nq       = offset[m];
    return FIL_OK;
}

static fil_status take_memory(fili_sampled_mass *s, fili_arena *arena)
{
    const filk_mass_problem *p     = &s->problem;
    const size_t             token = (size_t)p->heads * (size_t)p->head_dim;
    const size_t             size  = p->dtype == FIL_BF16 ? 2 : 4;
    const size_t             heads = (size_t)p->heads * sizeof(float);
    void                    *block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)p->nq, token * size, &block));
    s->q = block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)p->mq * (size_t)p->mk, heads, &block));
    s->fine = block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)s->n * (size_t)s->m, heads, &block));
    s->mass = block;
    return fili_arena_alloc(arena, s->kernel->workspace(p, s->ctx->n_threads), &s->workspace);
}

fil_status fili_sampled_mass_init(fili_sampled_mass *out, fil_ctx *ctx, fili_arena *arena,
                                  const fili_blocks *blocks, const fili_sampled_shape *shape)
{
    *out         = (fili_sampled_mass){.ctx = ctx, .blocks = blocks, .per = shape->per};
    out->problem = (filk_mass_problem){.nk       = fili_blocks_tokens(blocks),
                                       .heads    = shape->heads,
                                       .kv_heads = shape->heads,
                                       .head_dim = shape->head_dim,
                                       .dtype    = shape->dtype,
                                       .mk       = blocks->m,
                                       .k_offset = blocks->offset};
    FIL_TRY(choose_rows(out, arena, shape->most));
    FIL_TRY(gather_offsets(out, arena));
    FIL_TRY(filk_select(ctx, &filk_mass, &out->problem, NULL, &out->kernel));
    return take_memory(out, arena);
}

static void gather(const fili_sampled_mass *s, const filk_attn_view *q)
{
    const size_t size = s->problem.dtype == FIL_BF16 ? 2 : 4;
    const size_t row  = (size_t)s->problem.head_dim * size;
    char        *to   = s->q;
    for (int32_t i = 0; i < s->n; i++)
        for (int32_t t = s->blocks->offset[first_block(s, i)];
             t < s->blocks->offset[end_block(s, i)]; t++)
            for (int32_t h = 0; h < s->problem.heads; h++, to += row) {
                const int64_t at = t * q->stride_n + h * q->stride_h;
                memcpy(to, (const char *)q->data + at * (int64_t)size, row);
            }
}

/* Adds what belongs to one sample and one column. */
static void fold(const fili_sampled_mass *s)
{
    const int32_t mk   = s->problem.mk;
    const float  *from = s->fine;
    memset(s->mass, 0, sizeof(float) * (size_t)s->problem.heads * (size_t)s->n * (size_t)s->m);
    for (int32_t h = 0; h < s->problem.heads; h++)
        for (int32_t i = 0; i < s->n; i++) {
            float *to = s->mass + ((int64_t)h * s->n + i) * s->m;
            for (int32_t b = first_block(s, i); b < end_block(s, i); b++, from += mk)
                for (int32_t v = 0; v < mk; v++)
                    to[v / s->per] += from[v];
        }
}

fil_status fili_sampled_mass_run(fili_sampled_mass *s, filk_attn_view q, filk_attn_view k,
                                 float scale)
{
    const int64_t        token = (int64_t)s->problem.heads * s->problem.head_dim;
    const filk_mass_args args  = {
         .q     = {.data = s->q, .stride_n = token, .stride_h = s->problem.head_dim},
         .k     = k,
         .scale = scale,
         .mass  = s->fine};
    gather(s, &q);
    FIL_TRY(s->kernel->run(s->ctx, &s->problem, &args, s->workspace));
    fold(s);
    return FIL_OK;
}
