/* engine/preview_fit.h: a linear map from the channels of a latent to a colour, by least squares
 * over samples that come bit by bit. A small ridge on all but the constant keeps it defined where
 * samples are few or alike.
 */
#ifndef FILI_ENGINE_PREVIEW_FIT_H
#define FILI_ENGINE_PREVIEW_FIT_H

#include "wan/vae.h"

enum { FILI_FIT_MOST = FILI_VAE_MAX_Z + 1 };

typedef struct fili_preview_fit {
    int32_t n; /* channels */
    double  xx[FILI_FIT_MOST]
             [FILI_FIT_MOST]; /* sums of products, lower triangle; the constant last */
    double xy[FILI_FIT_MOST][3];
    double map[FILI_FIT_MOST][3];
} fili_preview_fit;

void fili_fit_begin(fili_preview_fit *fit, int32_t channels);
/* What was added so far counts `share` of it from now on. */
void fili_fit_fade(fili_preview_fit *fit, double share);
/* A sample: channel c is z[c * stride], the colour rgb[k * rgb_stride]. What is not finite is left
 * out. */
void fili_fit_add(fili_preview_fit *fit, const float *z, int64_t stride, const float *rgb,
                  int64_t rgb_stride);
/* 0: the samples define no map; the former one, at first black, stays. */
int  fili_fit_solve(fili_preview_fit *fit);
void fili_fit_apply(const fili_preview_fit *fit, const float *z, int64_t stride, float rgb[3]);

#endif
