/* diffusion/noise.h: the noise that a run starts from, and the stream behind it.
 *
 * The stream is that of torch's CPU generator (base/rng.h): the same seed gives the latents that
 * the reference implementations start from on a CPU. What comes after the start (the fresh noise of
 * the sampler dmd) continues the stream, also where the start itself was read from a file.
 */
#ifndef FILI_DIFFUSION_NOISE_H
#define FILI_DIFFUSION_NOISE_H

#include "base/rng.h"

/* out[n] standard normal numbers of `seed`; *rng stands behind them. out may be NULL: they are then
 * only passed over. n >= 16. E_UNSUP. */
FIL_MUSTCHECK fil_status fili_noise_begin(fil_ctx *ctx, uint64_t seed, float *out, int64_t n,
                                          fili_mt19937 *rng);

/* E_NONFINITE with the place of the first NaN or infinity among x[n]; `what` names the array. */
FIL_MUSTCHECK fil_status fili_check_finite(fil_ctx *ctx, const char *what, const float *x,
                                           int64_t n);

#endif
