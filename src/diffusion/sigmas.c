/* diffusion/sigmas.c: the named grids (diffusion/sigmas.h).
 *
 * Sources: the schedulers of github.com/Wan-Video/Wan2.1 (wan/utils), of diffusers, and ComfyUI's
 * discrete flow sampling, as shared facts; points are made as numpy.linspace makes them (i * step +
 * start in double), since a time that is cut to a whole number depends on the last bit. No other
 * schedulers of ComfyUI than "simple".
 */
#include <math.h>
#include <string.h>

#include "diffusion/sigmas.h"

static const char *const names[FILI_SIGMA_GRIDS] = {
#define FILI_SIGMA_GRID_NAME(name, id) [FILI_SIGMA_GRID_##id] = (name),
    FILI_SIGMA_GRID_LIST(FILI_SIGMA_GRID_NAME)
#undef FILI_SIGMA_GRID_NAME
};

const char *fili_sigma_grid_name(fili_sigma_grid grid)
{
    return (unsigned)grid < FILI_SIGMA_GRIDS ? names[grid] : "?";
}

int fili_sigma_grid_from_name(const char *name)
{
    for (int i = 0; i < FILI_SIGMA_GRIDS; i++)
        if (strcmp(names[i], name) == 0) return i;
    return -1;
}

static double shifted(double sigma, double shift)
{
    return shift * sigma / (1.0 + (shift - 1.0) * sigma);
}

/* Point i of n intervals between start and stop, the last one not forced. */
static double point(double start, double stop, int32_t n, int32_t i)
{
    return (double)i * ((stop - start) / (double)n) + start;
}

/* The official code takes its largest sigma from an f32 tensor: 0.99900001287. */
static double wan_unipc(int32_t n, int32_t i, double shift)
{
    return shifted(point((double)0.999f, 0.0, n, i), shift);
}

static double wan_dpm(int32_t n, int32_t i, double shift)
{
    return shifted(point(1.0, 0.0, n, i), shift);
}

/* Since pull request 12109 of diffusers (January 2026). At sigma = 1 its solver would divide by
 * zero, hence the step back. */
static double diffusers_unipc(int32_t n, int32_t i, double shift)
{
    const double sigma = shifted(point(1.0, 0.001, n, i), shift);
    return i == 0 && fabs(sigma - 1.0) < 1e-6 ? sigma - 1e-6 : sigma;
}

/* The shift is applied to the smallest sigma when the scheduler is built (in f32), and again to all
 * points. All n points are kept, the smallest included. */
static double diffusers_euler(int32_t n, int32_t i, double shift)
{
    const float  s     = (float)shift;
    const float  least = s * 0.001f / (1.0f + (s - 1.0f) * 0.001f);
    const double start = 1000.0;
    const double stop  = (double)least * 1000.0;
    double       t     = n > 1 ? point(start, stop, n - 1, i) : start;
    if (n > 1 && i == n - 1) t = stop;
    return shifted(t / 1000.0, shift);
}

/* A table of 1000 shifted levels; the scheduler "simple" takes every (1000 / n)-th from the top. */
static double comfy_discrete(int32_t n, int32_t i, double shift)
{
    const int32_t at = 1000 - (int32_t)((double)i * (1000.0 / (double)n));
    return shifted((double)at / 1000.0, shift);
}

fil_status fili_sigmas_of_grid(fil_ctx *ctx, fili_sigma_grid grid, int32_t n_steps, double shift,
                               fili_sigmas *out)
{
    static double (*const level[FILI_SIGMA_GRIDS])(int32_t, int32_t, double) = {
        [FILI_SIGMA_GRID_WAN_UNIPC]       = wan_unipc,
        [FILI_SIGMA_GRID_WAN_DPM]         = wan_dpm,
        [FILI_SIGMA_GRID_DIFFUSERS_UNIPC] = diffusers_unipc,
        [FILI_SIGMA_GRID_DIFFUSERS_EULER] = diffusers_euler,
        [FILI_SIGMA_GRID_COMFY_DISCRETE]  = comfy_discrete};
    FIL_CHECK(ctx, n_steps >= 1 && n_steps <= FILI_MAX_STEPS, "steps: expected 1 to %d, found %d",
              FILI_MAX_STEPS, (int)n_steps);
    FIL_CHECK(ctx, shift > 0.0 && shift <= 100.0,
              "shift: expected a number above 0 and at most 100, found %g", shift);
    FIL_CHECK(ctx, (unsigned)grid < FILI_SIGMA_GRIDS, "there is no sigma grid of number %d",
              (int)grid);
    const bool whole = grid == FILI_SIGMA_GRID_WAN_UNIPC || grid == FILI_SIGMA_GRID_WAN_DPM ||
                       grid == FILI_SIGMA_GRID_DIFFUSERS_UNIPC;
    for (int32_t i = 0; i < n_steps; i++) {
        const double sigma = level[grid](n_steps, i, shift);
        out->sigma[i]      = (float)sigma;
        out->time[i]       = whole ? trunc(sigma * 1000.0) : (double)((float)sigma * 1000.0f);
    }
    out->sigma[n_steps] = 0.0f;
    out->n_steps        = n_steps;
    return FIL_OK;
}

/* ---- lists ---------------------------------------------------------------------------------- */

static fil_status from_list(fil_ctx *ctx, const char *what, const double *values, int32_t n,
                            double most, fili_sigmas *out)
{
    if (n > 1 && values[n - 1] == 0.0) n--;
    FIL_CHECK(ctx, n >= 1 && n <= FILI_MAX_STEPS, "%s: expected 1 to %d numbers, found %d", what,
              FILI_MAX_STEPS, (int)n);
    for (int32_t i = 0; i < n; i++) {
        FIL_CHECK(ctx, values[i] > 0.0 && values[i] <= most,
                  "%s: expected numbers above 0 and at most %g, found %g", what, most, values[i]);
        out->sigma[i] = (float)(values[i] / most);
        out->time[i]  = (double)(float)(values[i] / most * 1000.0);
        FIL_CHECK(ctx, i == 0 || out->sigma[i] < out->sigma[i - 1],
                  "%s: expected falling numbers, found %g behind %g", what, values[i],
                  values[i > 0 ? i - 1 : 0]);
    }
    out->sigma[n] = 0.0f;
    out->n_steps  = n;
    return FIL_OK;
}

fil_status fili_sigmas_of_times(fil_ctx *ctx, const double *times, int32_t n, fili_sigmas *out)
{
    return from_list(ctx, "timesteps", times, n, 1000.0, out);
}

fil_status fili_sigmas_of_levels(fil_ctx *ctx, const double *levels, int32_t n, fili_sigmas *out)
{
    return from_list(ctx, "sigmas", levels, n, 1.0, out);
}
