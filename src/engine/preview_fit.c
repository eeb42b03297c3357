/* engine/preview_fit.c: normal equations and their Cholesky factor (preview_fit.h). */
#include <math.h>
#include <string.h>

#include "engine/preview_fit.h"

#define RIDGE 1e-3 /* of the mean square of a channel */

void fili_fit_begin(fili_preview_fit *fit, int32_t channels)
{
    memset(fit, 0, sizeof *fit);
    fit->n = channels;
    for (int k = 0; k < 3; k++)
        fit->map[channels][k] = -1.0; /* black */
}

void fili_fit_fade(fili_preview_fit *fit, double share)
{
    for (int32_t i = 0; i <= fit->n; i++) {
        for (int32_t j = 0; j <= i; j++)
            fit->xx[i][j] *= share;
        for (int k = 0; k < 3; k++)
            fit->xy[i][k] *= share;
    }
}

void fili_fit_add(fili_preview_fit *fit, const float *z, int64_t stride, const float *rgb,
                  int64_t rgb_stride)
{
    double x[FILI_FIT_MOST];
    double sum = 0.0;
    for (int32_t c = 0; c < fit->n; c++) {
        x[c] = (double)z[c * stride];
        sum += fabs(x[c]);
    }
    x[fit->n] = 1.0;
    for (int k = 0; k < 3; k++)
        sum += fabs((double)rgb[k * rgb_stride]);
    if (!isfinite(sum)) return;
    for (int32_t i = 0; i <= fit->n; i++) {
        for (int32_t j = 0; j <= i; j++)
            fit->xx[i][j] += x[i] * x[j];
        for (int k = 0; k < 3; k++)
            fit->xy[i][k] += x[i] * (double)rgb[k * rgb_stride];
    }
}

/* a = l l^T, in place of its lower triangle. 0: a is not positive definite. */
static int factor(double a[FILI_FIT_MOST][FILI_FIT_MOST], int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j <= i; j++) {
            double sum = a[i][j];
            for (int32_t k = 0; k < j; k++)
                sum -= a[i][k] * a[j][k];
            if (i == j && !(sum > 0.0)) return 0;
            a[i][j] = i == j ? sqrt(sum) : sum / a[j][j];
        }
    return 1;
}

static void solve(double l[FILI_FIT_MOST][FILI_FIT_MOST], int32_t n, double x[FILI_FIT_MOST][3])
{
    for (int k = 0; k < 3; k++) {
        for (int32_t i = 0; i < n; i++) {
            for (int32_t j = 0; j < i; j++)
                x[i][k] -= l[i][j] * x[j][k];
            x[i][k] /= l[i][i];
        }
        for (int32_t i = n - 1; i >= 0; i--) {
            for (int32_t j = i + 1; j < n; j++)
                x[i][k] -= l[j][i] * x[j][k];
            x[i][k] /= l[i][i];
        }
    }
}

int fili_fit_solve(fili_preview_fit *fit)
{
    fili_preview_fit work = *fit;
    double           mean = 0.0;
    for (int32_t i = 0; i < fit->n; i++)
        mean += fit->xx[i][i] / (double)fit->n;
    for (int32_t i = 0; i < fit->n; i++)
        work.xx[i][i] += RIDGE * mean;
    if (!factor(work.xx, fit->n + 1)) return 0;
    solve(work.xx, fit->n + 1, work.xy);
    memcpy(fit->map, work.xy, sizeof fit->map);
    return 1;
}

void fili_fit_apply(const fili_preview_fit *fit, const float *z, int64_t stride, float rgb[3])
{
    double sum[3] = {fit->map[fit->n][0], fit->map[fit->n][1], fit->map[fit->n][2]};
    for (int32_t c = 0; c < fit->n; c++)
        for (int k = 0; k < 3; k++)
            sum[k] += fit->map[c][k] * (double)z[c * stride];
    for (int k = 0; k < 3; k++)
        rgb[k] = (float)sum[k];
}
