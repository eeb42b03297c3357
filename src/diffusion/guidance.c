/* diffusion/guidance.c: classifier-free guidance (diffusion/guidance.h). */
#include "diffusion/guidance.h"

int fili_guidance_is_off(double g)
{
    return g <= 1.0;
}

void fili_guide(float *c, const float *u, double g, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        c[i] = (float)((double)u[i] + g * ((double)c[i] - (double)u[i]));
}
