/* sparse/prior_map.c: reading a table's maps as masses (sparse/prior_map.h). */
#include <string.h>

#include "base/pool.h"
#include "sparse/prior_map.h"

/* ---- life ----------------------------------------------------------------------------------- */

fil_status fili_prior_map_open(fili_prior_map *out, fil_ctx *ctx, const char *path,
                               const fili_topology_run *run)
{
    *out = (fili_prior_map){.ctx = ctx, .t = {.ctx = ctx}};
    FIL_TRY(fili_topology_open(&out->t, ctx, path));
    return fili_topology_fits(&out->t, run);
}

void fili_prior_map_close(fili_prior_map *p)
{
    if (p->ctx == NULL) return;
    fili_topology_maps_close(&p->maps);
    fili_topology_close(&p->t);
}

fil_status fili_prior_map_plan(fili_prior_map *p, fili_arena *arena, const fili_order *order,
                               const fili_blocks *blocks)
{
    const fili_topology_info *i     = &p->t.info;
    const size_t              heads = (size_t)i->heads;
    const fili_cover_side     here  = {.order = order, .blocks = blocks};
    void                     *block;
    p->blocks = blocks;
    p->m      = blocks->m;
    FIL_TRY(fili_topology_maps_open(&p->maps, p->ctx, arena, &p->t, &here));
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
    const uint8_t        *level = p->level + (size_t)h * m * m;
    (void)worker;
    for (size_t u = 0; u < m; u++)
        mass_of_row(p, level + u * m, p->mass + ((size_t)h * m + u) * m);
    return FIL_OK;
}

fil_status fili_prior_map_read(fili_prior_map *p, int32_t layer, int32_t step, int32_t pass)
{
    const fili_topology_info *i = &p->t.info;
    FIL_TRY(fili_topology_maps_load(&p->maps, layer, p->t.step_group[step],
                                    i->passes == 1 ? 0 : pass, p->level));
    return fili_pool_run(p->ctx, "calibrated map", i->heads, read_head, p);
}
