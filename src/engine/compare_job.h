/* engine/compare_job.h: a comparison from the inside (filigree/compare.h).
 *
 *     compare_api.c      options, what the two files hold
 *     compare_frames.c   frames, one after the other
 *     compare_latents.c  latents, plane by plane
 *     compare_ssim.c     structural similarity of two frames
 */
#ifndef FILI_ENGINE_COMPARE_JOB_H
#define FILI_ENGINE_COMPARE_JOB_H

#include "engine/video_job.h"
#include "filigree/compare.h"

typedef struct fili_comparison {
    fil_ctx            *ctx;
    fil_compare_options o;
    fil_compare_result  r;
} fili_comparison;

/* Both fill c->r and tell c->o.frame. */
FIL_MUSTCHECK fil_status fili_compare_frames(fili_comparison *c);
FIL_MUSTCHECK fil_status fili_compare_latents(fili_comparison *c);

/* Squared error and squared reference, summed over n values. */
typedef struct fili_squares {
    double error, reference;
} fili_squares;

/* Infinite where error is 0. */
double fili_psnr(double peak, double error, double n);
double fili_relative(const fili_squares *s);

/* Adds one frame to c->r (means are sums until the end) and tells it. E_CANCELLED. */
FIL_MUSTCHECK fil_status fili_compare_tell(fili_comparison *c, const fil_compare_frame *frame);

/* ---- SSIM ----------------------------------------------------------------------------------- */

#define FILI_SSIM_SIDE 11 /* of the window */

typedef struct fili_ssim {
    fil_ctx       *ctx;
    int32_t        width, height;
    const uint8_t *a, *b; /* of the frame at hand */
    double         weight[FILI_SSIM_SIDE];
    double        *row;    /* [height - 10] sums of each row of windows */
    double        *column; /* [threads, 4, 3 width] weighted columns */
    size_t         row_bytes, column_bytes;
} fili_ssim;

/* Sides below FILI_SSIM_SIDE take no memory and give NaN. E_NOMEM. */
FIL_MUSTCHECK fil_status fili_ssim_open(fili_ssim *s, fil_ctx *ctx, int32_t width, int32_t height);
/* a, b: [height, width, 3]. */
FIL_MUSTCHECK fil_status fili_ssim_of(fili_ssim *s, const uint8_t *a, const uint8_t *b,
                                      double *value);
void                     fili_ssim_close(fili_ssim *s); /* idempotent */

#endif
