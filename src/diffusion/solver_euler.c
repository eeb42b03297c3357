/* diffusion/solver_euler.c: the two samplers that remember no prediction: Euler, and dmd, which
 * takes x0 and covers it with fresh noise for the next level (diffusion/solver.h). The fresh noise
 * continues the stream that the start came from.
 */
#include "diffusion/solver.h"

void fili_step_euler(fili_solver *s, const float *v, float *x)
{
    const float *sigma = &s->sigmas->sigma[s->state.step];
    const double d     = (double)sigma[1] - (double)sigma[0];
    for (int64_t j = 0; j < s->state.n; j++)
        x[j] = (float)((double)x[j] + d * (double)v[j]);
    s->state.last_order = 1;
}

fil_status fili_step_dmd(fili_solver *s, const float *v, float *x)
{
    const float *sigma = &s->sigmas->sigma[s->state.step];
    const double s0    = (double)sigma[0];
    const double st    = (double)sigma[1];
    float       *noise = s->arrays;
    if (sigma[1] > 0.0f) FIL_TRY(fili_torch_randn_next(s->ctx, &s->state.rng, noise, s->state.n));
    for (int64_t j = 0; j < s->state.n; j++) {
        const double m = (double)x[j] - s0 * (double)v[j];
        x[j]           = (float)(sigma[1] > 0.0f ? (1.0 - st) * m + st * (double)noise[j] : m);
    }
    s->state.last_order = 1;
    return FIL_OK;
}
