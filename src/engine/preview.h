/* engine/preview.h: small pictures of a run on its way (video_job.h).
 *
 * The model's answer v to x at level sigma says where the run would end: x0 = x - sigma v. Up to
 * eight latent frames of that, evenly over the video, become a sheet of pictures, two pixels for
 * each place of the latent. A latent is turned into a colour by a linear map, which is fitted to
 * the VAE at hand: before each picture a crop of the first two latent frames goes through the
 * decoder, and least squares over its places, former crops counting half as much each time, give
 * two maps: of the first frame, which stands for one frame of the video, and of the others, which
 * stand for four (their mean).
 *
 * All memory is taken before the steps. Touches nothing that the video depends on. A picture that
 * cannot be made or written is told once in the log and is no failure of the run.
 */
#ifndef FILI_ENGINE_PREVIEW_H
#define FILI_ENGINE_PREVIEW_H

#include "wan/vae.h"

struct fili_job;

enum {
    FILI_PREVIEW_FRAMES  = 8,  /* of a sheet */
    FILI_PREVIEW_COLUMNS = 4,  /* side by side */
    FILI_PREVIEW_CROP    = 16, /* places of a side that are decoded */
    FILI_PREVIEW_PIXELS  = 2   /* of a side, for a place */
};

typedef struct fili_preview_fit fili_preview_fit; /* preview_fit.h */

typedef struct fili_preview {
    const char *path; /* NULL: for the callback alone */
    int32_t     each; /* steps between two pictures; 0: none are made */

    int32_t n, frame[FILI_PREVIEW_FRAMES]; /* latent frames of the sheet, the first one first */
    int32_t columns, rows;
    int32_t crop_h, crop_w;
    int32_t taken; /* steps that were done for what x0 holds; 0: nothing */
    int32_t shown; /* pictures so far */
    bool    failed;

    fili_vae         *vae;
    fili_vae_stream  *stream;
    fili_preview_fit *fit;  /* [2]: of the first latent frame, of the others */
    float            *x0;   /* [n + 1, z_dim, h, w]: of frame[], and of the second latent frame */
    float            *crop; /* [z_dim, crop_h, crop_w] and the decoder's means, [3, ...] */
    uint8_t          *rgb;
} fili_preview;

/* Sizes, from job's options and plan. E_ARG. */
FIL_MUSTCHECK fil_status fili_preview_check(struct fili_job *job);
/* Bytes that it takes while the run samples, the VAE's weights included. */
FIL_MUSTCHECK fil_status fili_preview_bytes(const struct fili_job *job, fili_vae_memory *out);

/* Takes its memory and opens the VAE. */
FIL_MUSTCHECK fil_status fili_preview_begin(struct fili_job *job);
/* In the step `step` (from 0): x at level sigma, and the model's answer. */
void fili_preview_take(struct fili_job *job, int32_t step, const float *x, const float *v,
                       double sigma);
/* Between two steps: makes the picture that was taken, if one was. E_CANCELLED alone. */
FIL_MUSTCHECK fil_status fili_preview_show(struct fili_job *job);
void                     fili_preview_close(struct fili_job *job); /* idempotent */

#endif
