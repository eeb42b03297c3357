/* engine/checkpoint.h: a run on disk between two steps, and going on from there (video_job.h).
 *
 * What is saved is the state at the beginning of a step: nothing that a step computes before its
 * end. So a run that is stopped in the middle of one saves where that step began, at once. The
 * policy is the one part that changes within a step; its state is copied when the step begins.
 *
 * The file is safetensors, written anew each time in one step (fili_atomic):
 *
 *     latents        f32 [C, T, H, W]    at the beginning of the step
 *     solver         f32 [3, n]          the solver's arrays
 *     solver_state   u8                  fili_solver_state
 *     policy         u8                  fili_policy_state_save
 *     prompt         f32 [n, text_dim]   and `negative`: the text encoder is not asked again
 *
 * Metadata: format; recipe (recipe.h); dit, the hash of the transformer; sha256 of all of the data
 * above. solver_state and policy are read by the version and on the kind of machine that wrote
 * them: `format` counts.
 */
#ifndef FILI_ENGINE_CHECKPOINT_H
#define FILI_ENGINE_CHECKPOINT_H

#include "diffusion/solver.h"
#include "filigree/video.h"
#include "io/sha256.h"

struct fili_job;

typedef struct fili_checkpoint {
    const char *path;   /* NULL: nothing is saved */
    const char *resume; /* NULL: the run begins with noise */
    const char *recipe;
    char        dit[FILI_SHA256_HEX];

    void  *policy; /* [policy_bytes] its state when the step began */
    size_t policy_bytes;

    uint64_t bytes; /* of the data in the file */

    int32_t first;      /* step to go on with, as the file says; 0 where nothing is resumed */
    double  saved_at;   /* seconds by the clock */
    int32_t saved_step; /* steps done in the file; -1: none of this run yet */
    int32_t saves, failures;
} fili_checkpoint;

/* Whether `resume` holds a run that has done so many steps; false also where it cannot be told. */
bool fili_checkpoint_is_at(const struct fili_job *job, int32_t step);

/* After all other checks: what the run will save, whether `resume` is a state of this run, and how
 * far it is.
 * E_MISMATCH: of another run, model or version; E_FORMAT: damaged. Adds to the plan's bytes. */
FIL_MUSTCHECK fil_status fili_checkpoint_check(struct fili_job *job);

/* The solver stands; latents are the noise, or if resumed just memory. Then takes the state from
 * the file. */
FIL_MUSTCHECK fil_status fili_checkpoint_begin(struct fili_job *job, fili_solver *solver);

/* A step begins. Saves if it is time; a failure to save is told in the log and counted, and the
 * run goes on with the former file. */
void fili_checkpoint_step(struct fili_job *job, const fili_solver *solver);

/* The run ends here: in the middle of the step that the last call announced (the state it had
 * then), or behind the last one. */
void fili_checkpoint_stop(struct fili_job *job, const fili_solver *solver);

/* Everything stands: the file is not needed any more. */
void fili_checkpoint_remove(const struct fili_job *job);

#endif
