/* sparse/map_prior.h: what a map of levels says of the mass of each block.
 *
 * A level is a share of a row's mass that the blocks up to it hold together (sparse/west_map.h). So
 * what lies between two levels is shared by the blocks of the upper one: an estimate of each
 * block's mass, exact but for the width of the levels where the map is of one prompt or of a mean.
 */
#ifndef FILI_SPARSE_MAP_PRIOR_H
#define FILI_SPARSE_MAP_PRIOR_H

#include <stdint.h>

/* out[m, m]: estimated share of block v in row u, times weight[u + 1] - weight[u], so that a row
 * sums to that (as votes of tiles do: sparse/tile_scores.h). level[m, m] below n_levels; levels:
 * rising to 1. count: scratch for n_levels. */
void fili_map_prior(const uint8_t *level, int32_t m, const float *levels, int32_t n_levels,
                    const int32_t *weight, int32_t *count, float *out);

#endif
