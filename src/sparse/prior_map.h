/* sparse/prior_map.h: what a calibrated table (sparse/topology.h) knows of the mass of each block
 * before q and k are seen.
 *
 * A level says which share of a row's mass stands before a block; so the blocks of a level hold the
 * difference to the level before, by their tokens. Maps of another grid or order are transferred
 * by coordinates (sparse/topology_transfer.h). Maps of pairs of blocks are refused.
 */
#ifndef FILI_SPARSE_PRIOR_MAP_H
#define FILI_SPARSE_PRIOR_MAP_H

#include "sparse/topology_maps.h"

typedef struct fili_prior_map {
    fil_ctx           *ctx;
    fili_topology      t;
    const fili_blocks *blocks; /* of this run; borrowed */
    int32_t            m;
    fili_topology_maps maps;
    uint8_t           *level; /* [H, m, m] */
    float             *mass;  /* [H, m, m] of the last read; rows sum to 1 */
} fili_prior_map;

/* Opens the file and sees whether it belongs to the run; layers and steps of 0 are not compared.
 * On failure, and when it is done with, close is to be called. */
FIL_MUSTCHECK fil_status fili_prior_map_open(fili_prior_map *out, fil_ctx *ctx, const char *path,
                                             const fili_topology_run *run);
/* Takes memory for reading. */
FIL_MUSTCHECK fil_status fili_prior_map_plan(fili_prior_map *p, fili_arena *arena,
                                             const fili_order *order, const fili_blocks *blocks);
/* Fills mass. The layer, step and pass are the topology's. */
FIL_MUSTCHECK fil_status fili_prior_map_read(fili_prior_map *p, int32_t layer, int32_t step,
                                             int32_t pass);
/* Idempotent; a zeroed map is accepted. */
void fili_prior_map_close(fili_prior_map *p);

#endif
