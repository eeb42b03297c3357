/* diffusion/sigmas.h: noise levels of a flow-matching sampler, by name or from the caller's list.
 *
 * x at level sigma is (1 - sigma) x0 + sigma noise; sigma falls from about 1 to 0. A grid fixes the
 * levels of N steps; it matters, since the same solver on another grid gives another video. A shift
 * s moves points towards 1: sigma' = s sigma / (1 + (s - 1) sigma). Each grid also fixes the time
 * that the model is told: UniPC and DPM++ pipelines cut it to a whole number, the others do not.
 */
#ifndef FILI_DIFFUSION_SIGMAS_H
#define FILI_DIFFUSION_SIGMAS_H

#include "base/ctx.h"

#define FILI_MAX_STEPS 1000 /* levels that the models were trained on */

/* X(name in options, ENUM). Where each comes from stands at its function in sigmas.c. */
#define FILI_SIGMA_GRID_LIST(X)                                                                    \
    X("wan-unipc", WAN_UNIPC)                                                                      \
    X("wan-dpm", WAN_DPM)                                                                          \
    X("diffusers-unipc", DIFFUSERS_UNIPC)                                                          \
    X("diffusers-euler", DIFFUSERS_EULER)                                                          \
    X("comfy-discrete", COMFY_DISCRETE)

typedef enum fili_sigma_grid {
#define FILI_SIGMA_GRID_ENUM(name, id) FILI_SIGMA_GRID_##id,
    FILI_SIGMA_GRID_LIST(FILI_SIGMA_GRID_ENUM)
#undef FILI_SIGMA_GRID_ENUM
        FILI_SIGMA_GRIDS
} fili_sigma_grid;

/* "wan-unipc"; static storage. -1 if there is no such name. */
const char *fili_sigma_grid_name(fili_sigma_grid grid);
int         fili_sigma_grid_from_name(const char *name);

/* The levels of a run. sigma[n_steps] is 0; time[i] is what the model is told at sigma[i]. */
typedef struct fili_sigmas {
    int32_t n_steps;
    float   sigma[FILI_MAX_STEPS + 1];
    double  time[FILI_MAX_STEPS]; /* 0 to 1000 */
} fili_sigmas;

/* E_ARG: n_steps not 1 to FILI_MAX_STEPS, shift not above 0 and at most 100. */
FIL_MUSTCHECK fil_status fili_sigmas_of_grid(fil_ctx *ctx, fili_sigma_grid grid, int32_t n_steps,
                                             double shift, fili_sigmas *out);

/* From the caller's list of n values: times (sigma = t / 1000) or levels. They must fall strictly
 * and lie above 0, at most 1000 or 1; one 0 at the end is accepted and is no step. E_ARG. */
FIL_MUSTCHECK fil_status fili_sigmas_of_times(fil_ctx *ctx, const double *times, int32_t n,
                                              fili_sigmas *out);
FIL_MUSTCHECK fil_status fili_sigmas_of_levels(fil_ctx *ctx, const double *levels, int32_t n,
                                               fili_sigmas *out);

#endif
