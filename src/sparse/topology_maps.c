/* sparse/topology_maps.c: reading a map, and moving it where the grid is another
 * (sparse/topology_maps.h). */
#include <string.h>

#include "base/pool.h"
#include "sparse/topology_maps.h"

static bool is_same(const fili_topology *t, const fili_cover_side *target)
{
    const fili_topology_info *i = &t->info;
    const fili_grid           g = target->order->grid;
    char                      name[FILI_ORDER_NAME];
    fili_order_name(&target->order->spec, name);
    /* Blocks and pairs of blocks are as many only where there is one of them. */
    return i->grid.f == g.f && i->grid.h == g.h && i->grid.w == g.w && i->m == target->blocks->m &&
           strcmp(i->order, name) == 0;
}

static fil_status make_cover(fili_topology_maps *maps, const fili_order *base,
                             const fili_cover_side *target)
{
    fili_blocks blocks;
    FIL_TRY(fili_topology_blocks(&blocks, base, maps->t->info.block));
    const fili_cover_side from   = {.order = base, .blocks = &blocks};
    const fil_status      status = fili_cover_init(&maps->cover, maps->ctx, &from, target);
    fili_blocks_fini(&blocks);
    return status;
}

static fil_status open_transfer(fili_topology_maps *maps, fili_arena *arena,
                                const fili_cover_side *target)
{
    const fili_topology_info *i = &maps->t->info;
    fili_order_spec           spec;
    fili_order                base;
    void                     *block;
    FIL_TRY(fili_order_parse(maps->ctx, i->order, &spec));
    FIL_TRY(fili_order_init(&base, maps->ctx, i->grid, &spec));
    const fil_status status = make_cover(maps, &base, target);
    fili_order_fini(&base);
    FIL_TRY(status);
    FIL_TRY(fili_arena_alloc(arena, (size_t)fili_topology_map_bytes(i), &block));
    maps->base = block;
    FIL_TRY(fili_arena_alloc(arena, (size_t)maps->ctx->n_threads * (size_t)i->m, &block));
    maps->scratch = block;
    return FIL_OK;
}

fil_status fili_topology_maps_open(fili_topology_maps *out, fil_ctx *ctx, fili_arena *arena,
                                   const fili_topology *t, const fili_cover_side *target)
{
    *out = (fili_topology_maps){.ctx = ctx, .t = t, .m = target->blocks->m, .cover = {.ctx = ctx}};
    out->transferred = !is_same(t, target);
    if (!out->transferred) return FIL_OK;
    const fil_status status = open_transfer(out, arena, target);
    if (status != FIL_OK) fili_topology_maps_close(out);
    return status;
}

void fili_topology_maps_close(fili_topology_maps *maps)
{
    if (maps->cover.ctx != NULL) fili_cover_fini(&maps->cover);
}

/* ---- loading -------------------------------------------------------------------------------- */

typedef struct moving {
    const fili_topology_maps *maps;
    uint8_t                  *to; /* [H, m, m] */
} moving;

static fil_status move_head(void *arg, int64_t h, int32_t worker)
{
    const moving             *job  = arg;
    const fili_topology_maps *maps = job->maps;
    const size_t              mb   = (size_t)maps->t->info.m;
    const size_t              mt   = (size_t)maps->m;
    fili_cover_apply(&maps->cover, maps->base + (size_t)h * mb * mb,
                     maps->scratch + (size_t)worker * mb, job->to + (size_t)h * mt * mt);
    return FIL_OK;
}

fil_status fili_topology_maps_load(const fili_topology_maps *maps, int32_t layer, int32_t group,
                                   int32_t pass, uint8_t *level)
{
    moving job = {.maps = maps, .to = level};
    if (!maps->transferred) return fili_topology_read_map(maps->t, layer, group, pass, level);
    FIL_TRY(fili_topology_read_map(maps->t, layer, group, pass, maps->base));
    return fili_pool_run(maps->ctx, "maps on another grid", maps->t->info.heads, move_head, &job);
}
