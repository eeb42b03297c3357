/* diffusion/solver_dpmpp.c: DPM-Solver++ 2M, midpoint, on x0-predictions (diffusion/solver.h). The
 * first and the last step are of order 1. From sigma = 1 the first step is x = st x + (1 - st) x0,
 * and the second has no slope yet: both follow from lambda = -inf.
 */
#include <math.h>

#include "diffusion/solver.h"

void fili_step_dpmpp(fili_solver *s, const float *v, float *x)
{
    const float  *sigma = s->sigmas->sigma;
    const int64_t n     = s->state.n;
    const int     i     = s->state.step;
    const int     order = i > 0 && i < s->state.n_steps - 1 ? 2 : 1;
    const double  s0    = (double)sigma[i];
    const double  st    = (double)sigma[i + 1];
    const double  h     = fili_lambda(sigma[i + 1]) - fili_lambda(sigma[i]);
    const double  ae    = (1.0 - st) * expm1(-h);
    double        slope = 0.0; /* times (x0 - x0 before) */
    if (order == 2) slope = 0.5 * ae * h / (fili_lambda(sigma[i]) - fili_lambda(sigma[i - 1]));
    float *m0 = s->arrays;
    for (int64_t j = 0; j < n; j++) {
        const double m = (double)x[j] - s0 * (double)v[j];
        x[j]           = (float)(st / s0 * (double)x[j] - ae * m - slope * (m - (double)m0[j]));
        m0[j]          = (float)m;
    }
    s->state.last_order = order;
}
