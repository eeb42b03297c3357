/* engine/calibration.h: a calibration from the inside (filigree/calibrate.h).
 *
 *     calibrate_check.c    options, model -> sizes, settings, memory
 *     calibrate_state.c    OUTPUT.state: maps after the last whole prompt
 *     calibrate_prompts.c  the file of prompts
 *     calibrate_run.c      dense runs, masses -> maps
 *     calibrate_profile.c  one more dense run, sampled rows -> profiles, budgets, the file
 *     calibrate_api.c      the public calls
 *
 * Memory of maps and masses is taken before the first prompt and held to the end; each prompt is a
 * job of fil_generate whose latents nobody wants, with our own eye on every self-attention.
 */
#ifndef FILI_ENGINE_CALIBRATION_H
#define FILI_ENGINE_CALIBRATION_H

#include "engine/video_job.h"
#include "filigree/calibrate.h"
#include "io/sha256.h"
#include "sparse/block_mass.h"
#include "sparse/row_profile.h"
#include "sparse/topology.h"

enum {
    FILI_PROMPTS_MOST      = 1000,
    FILI_PROMPTS_BYTES     = 1 << 20,
    FILI_CALIBRATE_LEVEL   = 90, /* percent of the mass that `kept` is told for */
    FILI_CALIBRATE_ROWS    = 256,
    FILI_CALIBRATE_SETTING = 20
};

/* What must be the same for a state to be gone on from: metadata of the state file. */
typedef struct fili_setting {
    const char *name, *value;
} fili_setting;

/* What is known of a finished prompt, and stored with the state. */
typedef struct fili_growth_row {
    double added, kept;
} fili_growth_row;

typedef struct fili_calibration {
    fil_ctx              *ctx;
    fil_model            *model;
    fil_calibrate_options o;
    fil_generate_options  run;
    fili_arena            arena; /* texts, lists; taken by the check */
    fil_calibrate_plan    plan;
    uint64_t              held_bytes; /* open while a prompt is rendered, planned by nobody else */

    const char **prompt; /* [plan.prompts] */
    fili_setting setting[FILI_CALIBRATE_SETTING];
    int32_t      n_settings;
    const char  *state_path;

    fili_topology_info info;
    int32_t            is_mean;
    fili_fidelity      kind;
    fili_budgets_wish  wish;
    float              levels[FILI_LEVELS_MOST];
    int32_t            step_group[FILI_TOPOLOGY_STEPS];
    float              sigmas[FILI_TOPOLOGY_STEPS + 1];
    fili_order         order;
    fili_blocks        blocks, map_blocks; /* of 64, and those of the maps */
    int32_t            head_dim;
    fil_dtype          dtype;
    fili_block_mass    exact; /* its memory is below, too */
    int32_t            sample[FILI_CALIBRATE_ROWS];

    fili_arena       memory; /* what follows; of the run alone */
    uint8_t         *map;    /* [L,G,P,H,M,M] */
    float           *sum;    /* the same, of the mean */
    float           *pairs;
    void            *west_space, *row_space;
    float           *row_mass; /* [H, rows, M] */
    double          *row_error, *row_energy;
    float           *density, *fidelity, *error; /* profiles */
    uint8_t         *budget;
    fili_growth_row *growth; /* [prompts] */
    fili_west_growth grown;  /* of the prompt at work */
    int32_t          done;   /* prompts that are in the maps */
} fili_calibration;

/* c is zeroed but for ctx and model. On any result fili_calibration_fini is to be called. */
FIL_MUSTCHECK fil_status fili_calibration_check(fili_calibration            *c,
                                                const fil_calibrate_options *options);
void                     fili_calibration_fini(fili_calibration *c);

/* A job for prompt i of the run; i from plan.prompts on: the first prompt again with other noise.
 * fili_job_fini is to be called on any result. */
FIL_MUSTCHECK fil_status fili_calibration_job(const fili_calibration *c, int32_t i, fili_job *job);

/* All memory of the run, as it was planned. */
FIL_MUSTCHECK fil_status fili_calibration_memory(fili_calibration *c);

/* Lines of a file of prompts: texts and list in `arena`. */
FIL_MUSTCHECK fil_status fili_prompts_read(fili_arena *arena, const char *path,
                                           const char ***prompts, int32_t *n);

/* Prompts that OUTPUT.state has finished; 0 if there is none. E_MISMATCH: another command's. */
FIL_MUSTCHECK fil_status fili_state_look(const fili_calibration *c, int32_t *done);
/* Reads it into maps and growth; sets c->done. */
FIL_MUSTCHECK fil_status fili_state_load(fili_calibration *c);
FIL_MUSTCHECK fil_status fili_state_save(const fili_calibration *c);
void                     fili_state_remove(const fili_calibration *c);

/* Renders what is left, with a state after each prompt. */
FIL_MUSTCHECK fil_status fili_calibration_prompts(fili_calibration *c);
/* The profile's run, profiles, budgets, and the topology. */
FIL_MUSTCHECK fil_status fili_calibration_profile(fili_calibration     *c,
                                                  fil_calibrate_result *result);

/* One dense run with `choose` in place of a policy. */
FIL_MUSTCHECK fil_status fili_calibration_render(fili_calibration *c, int32_t i,
                                                 fili_dit_choose_fn choose);

/* Index of the map [H, M, M] of (layer, group, pass). */
static inline size_t fili_map_at(const fili_calibration *c, int32_t layer, int32_t group,
                                 int32_t pass)
{
    const fili_topology_info *i = &c->info;
    const size_t at = ((size_t)layer * (size_t)i->groups + (size_t)group) * (size_t)i->passes;
    return (at + (size_t)pass) * (size_t)i->heads * (size_t)i->m * (size_t)i->m;
}

/* Everything at the last level. */
void fili_maps_begin(const fili_calibration *c);

/* Elements of all maps. */
static inline size_t fili_maps(const fili_calibration *c)
{
    return fili_map_at(c, c->info.layers, 0, 0);
}

#endif
