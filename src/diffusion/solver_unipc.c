/* diffusion/solver_unipc.c: UniPC of order 2 with B2(h) on x0-predictions, as the schedulers of the
 * official code and of diffusers run it (diffusion/solver.h).
 *
 * A step first corrects x with the answer that the model just gave, then predicts the next x. The
 * model is not asked again for the corrected x. The last step, and the first, are of order 1.
 */
#include <math.h>

#include "diffusion/solver.h"

/* x = last * last x + m0 * newest x0 + m1 * the one before + m * x0 of this step */
typedef struct combination {
    double last, m0, m1, m;
} combination;

/* From step i - 1 to i. */
static combination corrector(const fili_solver *s)
{
    const float *sigma = s->sigmas->sigma;
    const int    i     = s->state.step;
    const double st    = (double)sigma[i];
    const double s0    = (double)sigma[i - 1];
    const double h     = fili_lambda(sigma[i]) - fili_lambda(sigma[i - 1]);
    const double b     = expm1(-h);
    const double ab    = (1.0 - st) * b;
    combination  c     = {.last = st / s0, .m0 = -0.5 * ab, .m = -0.5 * ab};
    if (s->state.last_order < 2) return c;

    const double r    = (fili_lambda(sigma[i - 2]) - fili_lambda(sigma[i - 1])) / h;
    const double phi1 = b / -h - 1.0;
    const double phi2 = phi1 / -h - 0.5;
    const double b1   = phi1 / b;
    const double b2   = 2.0 * phi2 / b;
    /* rho0 + rho1 = b1, r rho0 + rho1 = b2; r is negative */
    const double rho0 = (b2 - b1) / (r - 1.0);
    const double rho1 = b1 - rho0;
    c.m1              = -ab * rho0 / r;
    c.m0              = -ab + ab * (rho0 / r + rho1);
    c.m               = -ab * rho1;
    return c;
}

/* From step i to i + 1; `last` is the corrected x, m0 the newest x0 before this step. */
static combination predictor(const fili_solver *s, int order)
{
    const float *sigma = s->sigmas->sigma;
    const int    i     = s->state.step;
    const double st    = (double)sigma[i + 1];
    const double s0    = (double)sigma[i];
    if (sigma[i + 1] == 0.0f) return (combination){.m = 1.0};
    const double h  = fili_lambda(sigma[i + 1]) - fili_lambda(sigma[i]);
    const double ab = (1.0 - st) * expm1(-h);
    combination  c  = {.last = st / s0, .m = -ab};
    if (order < 2) return c;
    const double r = (fili_lambda(sigma[i - 1]) - fili_lambda(sigma[i])) / h;
    c.m0           = -ab * 0.5 / r;
    c.m += ab * 0.5 / r;
    return c;
}

void fili_step_unipc(fili_solver *s, const float *v, float *x)
{
    const int64_t     n        = s->state.n;
    const int         i        = s->state.step;
    const bool        corrects = i > 0;
    const int         order    = i > 0 && s->state.n_steps - i > 1 ? 2 : 1;
    const double      sigma    = (double)s->sigmas->sigma[i];
    const combination c        = corrects ? corrector(s) : (combination){.last = 0.0};
    const combination p        = predictor(s, order);
    float            *m0       = s->arrays;
    float            *m1       = m0 + n;
    float            *last     = m1 + n;
    for (int64_t j = 0; j < n; j++) {
        const double m = (double)x[j] - sigma * (double)v[j];
        double       y = (double)x[j];
        if (corrects)
            y = c.last * (double)last[j] + c.m0 * (double)m0[j] + c.m1 * (double)m1[j] + c.m * m;
        x[j]    = (float)(p.last * y + p.m0 * (double)m0[j] + p.m * m);
        last[j] = (float)y;
        m1[j]   = m0[j];
        m0[j]   = (float)m;
    }
    s->state.last_order = order;
}
