/* sparse/topology.h: what a calibration leaves behind, in a file that anything can read.
 *
 * A safetensors file (DESIGN section 8). Dimensions: L layers, S steps, G step groups, P passes
 * (1 = united), H heads, K levels, M blocks of 64 or 128 tokens of the order on the grid.
 *
 *   tmap.LLL            u8  [G,P,H,M,M]  level index of each block, below K (sparse/west_map.h)
 *   levels              f32 [K]          rising to 1
 *   step_group          i32 [S]          0 to G - 1
 *   profile.density     f32 [L,S,P,H,K]  of the mask at each level
 *   profile.fidelity    f32 [L,S,P,H,K]  1 - Hellinger on sampled rows (sparse/fast_budgets.h)
 *   profile.error       f32 [L,S,P,H,K]  squared output error left, tail on; may be missing
 *   budget              u8  [L,S,P,H]    level of each map, as calibrated
 *   metadata            format "filigree.topology.1", grid "f,h,w", order, block_size, map (union
 *                       or mean), fidelity (renorm or raw), model_hash, prompts_hash, sampler,
 *                       sigma_grid, sigmas (S + 1 numbers), steps, shift
 *
 * Opening validates everything but the maps and profiles, which are checked when they are read:
 * maps one (layer, group, pass) at a time.
 */
#ifndef FILI_SPARSE_TOPOLOGY_H
#define FILI_SPARSE_TOPOLOGY_H

#include "io/tensors.h"
#include "sparse/fast_budgets.h"
#include "sparse/west_map.h"

#define FILI_TOPOLOGY_FORMAT "filigree.topology.1"

enum {
    FILI_TOPOLOGY_NAME   = 80,   /* longest text of metadata, with its NUL */
    FILI_TOPOLOGY_STEPS  = 1000, /* most steps */
    FILI_TOPOLOGY_LAYERS = 1000
};

typedef struct fili_topology_info {
    fili_grid grid;
    char      order[FILI_ORDER_NAME];
    int32_t   block; /* tokens: 64, or 128 = pairs of blocks */
    int32_t   layers, steps, groups, passes, heads, n_levels;
    int32_t   m; /* blocks */
    char      map[FILI_TOPOLOGY_NAME], fidelity[FILI_TOPOLOGY_NAME];
    char      model_hash[FILI_TOPOLOGY_NAME], prompts_hash[FILI_TOPOLOGY_NAME];
    char      sampler[FILI_TOPOLOGY_NAME], sigma_grid[FILI_TOPOLOGY_NAME];
    double    shift;
} fili_topology_info;

/* The blocks that maps are over: those of the order, or pairs of them. E_ARG: block is neither 64
 * nor 128; E_NOMEM. */
FIL_MUSTCHECK fil_status fili_topology_blocks(fili_blocks *out, const fili_order *order,
                                              int32_t block);

/* Bytes of one layer's map, of one (layer, group, pass), and of a profile. Saturate. */
uint64_t fili_topology_layer_bytes(const fili_topology_info *info);
uint64_t fili_topology_map_bytes(const fili_topology_info *info);
uint64_t fili_topology_profile_bytes(const fili_topology_info *info);

/* ---- writing -------------------------------------------------------------------------------- */

typedef struct fili_topology_data {
    const uint8_t *map;        /* [L,G,P,H,M,M] */
    const float   *levels;     /* [K] */
    const int32_t *step_group; /* [S] */
    const float   *sigmas;     /* [S+1] */
    const float   *density, *fidelity;
    const float   *error; /* NULL = none */
    const uint8_t *budget;
} fili_topology_data;

/* The whole file, in one step. E_ARG, E_IO, E_NOMEM. */
FIL_MUSTCHECK fil_status fili_topology_write(fil_ctx *ctx, const char *path,
                                             const fili_topology_info *info,
                                             const fili_topology_data *data, int replace);

/* Bytes of the file but for its header. */
uint64_t fili_topology_file_bytes(const fili_topology_info *info);

/* ---- reading -------------------------------------------------------------------------------- */

typedef struct fili_topology {
    fil_ctx           *ctx;
    fili_tensors       set;
    fili_topology_info info;
    float              levels[FILI_LEVELS_MOST];
    int32_t            step_group[FILI_TOPOLOGY_STEPS];
    float              sigmas[FILI_TOPOLOGY_STEPS + 1];
    const fili_entry  *tmap[FILI_TOPOLOGY_LAYERS];
    const fili_entry  *density, *fidelity, *error, *budget; /* error may be NULL */
} fili_topology;

/* E_FORMAT: not a topology, or broken: a tensor or text missing or of another type, levels that do
 * not rise, a group that there is not. E_MISMATCH: parts do not fit each other, or the format is of
 * another version. What opening tensors gives. On failure *out is closed. `out` is large: not for
 * the stack. */
FIL_MUSTCHECK fil_status fili_topology_open(fili_topology *out, fil_ctx *ctx, const char *path);
/* Idempotent; a zeroed topology is accepted. */
void fili_topology_close(fili_topology *t);

/* map[H,M,M] of one (layer, group, pass). E_FORMAT: a level index that there is not; E_IO. */
FIL_MUSTCHECK fil_status fili_topology_read_map(const fili_topology *t, int32_t layer,
                                                int32_t group, int32_t pass, uint8_t *map);

/* One of the profiles, [L,S,P,H,K]. E_FORMAT: a value that is no number, below 0, or (density and
 * fidelity) above 1. */
FIL_MUSTCHECK fil_status fili_topology_read_profile(const fili_topology *t,
                                                    const fili_entry *profile, float *values);

/* budget[L,S,P,H]. E_FORMAT: a level index that there is not. */
FIL_MUSTCHECK fil_status fili_topology_read_budget(const fili_topology *t, uint8_t *budget);

/* ---- does it belong here? ------------------------------------------------------------------- */

/* A run that wants to use it; what is not known is 0 or NULL and is not compared. */
typedef struct fili_topology_run {
    int32_t      single; /* 1: one call, which is in the last of these layers and steps */
    int32_t      layers, steps, passes, heads;
    const char  *model_hash, *sampler;
    double       shift;
    const float *sigmas; /* [steps + 1] */
} fili_topology_run;

/* E_MISMATCH with one sentence that names what differs: model, layers, heads, passes, steps,
 * sampler, sigmas. Another grid is not a mismatch: maps are transferred
 * (sparse/topology_transfer.h). */
FIL_MUSTCHECK fil_status fili_topology_fits(const fili_topology *t, const fili_topology_run *run);

#endif
