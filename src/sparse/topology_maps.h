/* sparse/topology_maps.h: the maps of a topology on the blocks at hand.
 *
 * Where grid, order and blocks are those of the topology its bytes are read as they are; on others,
 * also of another length, they are transferred by coordinates (sparse/topology_transfer.h). One
 * (layer, group, pass) at a time. Memory is taken once; loading takes none beyond the file's.
 */
#ifndef FILI_SPARSE_TOPOLOGY_MAPS_H
#define FILI_SPARSE_TOPOLOGY_MAPS_H

#include "sparse/topology.h"
#include "sparse/topology_transfer.h"

typedef struct fili_topology_maps {
    fil_ctx             *ctx;
    const fili_topology *t; /* borrowed */
    int32_t              m; /* blocks at hand */
    int32_t              transferred;
    fili_cover           cover;
    uint8_t             *base;    /* [H, mb, mb] where maps are transferred */
    uint8_t             *scratch; /* [threads, mb] */
} fili_topology_maps;

/* For maps over these blocks of this order. E_NOMEM; on failure *out is closed. */
FIL_MUSTCHECK fil_status fili_topology_maps_open(fili_topology_maps *out, fil_ctx *ctx,
                                                 fili_arena *arena, const fili_topology *t,
                                                 const fili_cover_side *target);
/* Idempotent; zeroed maps are accepted. */
void fili_topology_maps_close(fili_topology_maps *maps);

/* level[H, m, m] of one (layer, group, pass). What fili_topology_read_map gives. */
FIL_MUSTCHECK fil_status fili_topology_maps_load(const fili_topology_maps *maps, int32_t layer,
                                                 int32_t group, int32_t pass, uint8_t *level);

#endif
