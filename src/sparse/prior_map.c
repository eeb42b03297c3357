/* sparse/prior_map.c: reading a table's maps as masses (sparse/prior_map.h). */
#include <string.h>

#include "base/pool.h"
#include "sparse/prior_map.h"

/* ---- life ----------------------------------------------------------------------------------- */

fil_status fili_prior_map_open(fili_prior_map *out, fil_ctx *ctx, const char *path,
                               const fili_topology_run *run)
{
    *out = (fili_prior_map){.ctx = ctx, .t = {.ctx = ctx}, .cover = {.ctx = ctx}};
    FIL_TRY(fili_topology_open(&out->t, ctx, path));
    FIL_TRY(fili_topology_fits(&out->t, run));
    if (out->t.info.block == FILI_BLOCK_TOKENS) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_UNSUP, "topology: expected maps of blocks of 64 tokens, found %d",
                    (int)out->t.info.block);
}

void fili_prior_map_close(fili_prior_map *p)
{
    if (p->ctx == NULL) return;
    fili_topology_close(&p->t);
    fili_cover_fini(&p->cover);
}

static fil_status cover_from(fili_prior_map *p, const fili_order *base, const fili_order *order)
{
    fili_blocks           blocks;
    const fili_cover_side to = {.order = order, .blocks = p->blocks};
    FIL_TRY(fili_blocks_from_order(&blocks, base));
    const fili_cover_side from   = {.order = base, .blocks = &blocks};
    const fil_status      status = fili_cover_init(&p->cover, p->ctx, &from, &to);
    fili_blocks_fini(&blocks);
    return status;
}

static fil_status plan_transfer(fili_prior_map *p, fili_arena *arena, const fili_order *order,
                                const fili_order_spec *spec)
{
    const fili_topology_info *i = &p->t.info;
    fili_order                base;
    void                     *block;
    p->moved = 1;
    FIL_TRY(fili_order_init(&base, p->ctx, i->grid, spec));
    const fil_status status = cover_from(p, &base, order);
    fili_order_fini(&base);
    FIL_TRY(status);
    FIL_TRY(fili_arena_alloc(arena, (size_t)fili_topology_map_bytes(i), &block));
    p->base = block;
    FIL_TRY(fili_arena_alloc(arena, (size_t)p->ctx->n_threads * (size_t)i->m, &block));
    p->scratch = block;
    return FIL_OK;
}

static bool is_same(const fili_order *order, fili_grid grid, const fili_order_spec *spec)
{
    const fili_order_spec *have = &order->spec;
    return order->grid.f == grid.f && order->grid.h == grid.h && order->grid.w == grid.w &&
           have->kind == spec->kind && have->cube.f == spec->cube.f &&
           have->cube.h == spec->cube.h && have->cube.w == spec->cube.w;
}

fil_status fili_prior_map_plan(fili_prior_map *p, fili_arena *arena, const fili_order *order,
                               const fili_blocks *blocks)
{
    const fili_topology_info *i     = &p->t.info;
    const size_t              heads = (size_t)i->heads;
    fili_order_spec           spec;
    void                     *block;
    p->blocks = blocks;
    p->m      = blocks->m;
    FIL_TRY(fili_order_parse(p->ctx, i->order, &spec));
    if (!is_same(order, i->grid, &spec)) FIL_TRY(plan_transfer(p, arena, order, &spec));
    FIL_TRY(fili_arena_calloc(arena, heads * (size_t)p->m, (size_t)p->m, &block));
    p->level = block;
    FIL_TRY(fili_arena_calloc(arena, heads * (size_t)p->m, (size_t)p->m * sizeof(float), &block));
    p->mass = block;
    return FIL_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

static void mass_of_row(const fili_prior_map *p, const uint8_t *level, float *mass)
{
    float   share[FILI_LEVELS_MOST]  = {0};
    float   before                   = 0.0f;
    int32_t tokens[FILI_LEVELS_MOST] = {0};
    for (int32_t v = 0; v < p->m; v++)
        tokens[level[v]] += fili_blocks_valid(p->blocks, v);
    for (int32_t k = 0; k < p->t.info.n_levels; k++) {
        if (tokens[k] == 0) continue;
        share[k] = (p->t.levels[k] - before) / (float)tokens[k];
        before   = p->t.levels[k];
    }
    for (int32_t v = 0; v < p->m; v++)
        mass[v] = share[level[v]] / before * (float)fili_blocks_valid(p->blocks, v);
}

static fil_status read_head(void *arg, int64_t h, int32_t worker)
{
    const fili_prior_map *p     = arg;
    const size_t          m     = (size_t)p->m;
    const size_t          mb    = (size_t)p->t.info.m;
    uint8_t              *level = p->level + (size_t)h * m * m;
    if (p->moved)
        fili_cover_apply(&p->cover, p->base + (size_t)h * mb * mb, p->scratch + (size_t)worker * mb,
                         level);
    for (size_t u = 0; u < m; u++)
        mass_of_row(p, level + u * m, p->mass + ((size_t)h * m + u) * m);
    return FIL_OK;
}

fil_status fili_prior_map_read(fili_prior_map *p, int32_t layer, int32_t step, int32_t pass)
{
    const fili_topology_info *i = &p->t.info;
    FIL_TRY(fili_topology_read_map(&p->t, layer, p->t.step_group[step], i->passes == 1 ? 0 : pass,
                                   p->moved ? p->base : p->level));
    return fili_pool_run(p->ctx, "calibrated map", i->heads, read_head, p);
}
