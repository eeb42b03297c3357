/* filigree/compare.h: how far two videos, pictures or latents lie apart.
 *
 * A is what is judged, B is the reference. Both hold the same: frames, or latents. Files are read
 * one frame (or plane of a latent) at a time, so that videos of any length take the memory of a few
 * frames.
 *
 *     fil_compare_options o;
 *     fil_compare_result  r;
 *     fil_compare_options_init(&o);
 *     o.a = "sparse.safetensors";                      // as generate --save-frames writes it
 *     o.b = "dense.safetensors";
 *     if (fil_compare(ctx, &o, &r) == FIL_OK)
 *         printf("%.2f dB, SSIM %.4f\n", r.psnr, r.ssim);
 *
 * The figures, so that they can be compared with those of others:
 *   - PSNR = 10 log10(peak^2 / MSE), in dB. Frames: peak 255, MSE over the three channels together.
 *     Latents: peak is the largest |B| of all of B, and is in the result. Equal: infinite.
 *   - SSIM (Wang, Bovik, Sheikh, Simoncelli 2004) of frames, as scikit-image computes it with
 *     structural_similarity(channel_axis=-1, gaussian_weights=True, sigma=1.5,
 *     use_sample_covariance=False, data_range=255): each of R, G, B by itself under a Gaussian
 *     window of 11 x 11, K1 0.01, K2 0.03; the mean over the places where the window lies inside
 *     the picture, and over the channels. Pictures with a side below 11 and latents have none: NaN.
 *   - Relative L2 = |A - B| / |B|, of bytes as numbers 0 to 255, or of the latents' values. Where B
 *     is all zero: 0 if A is, else infinite.
 * Sums of bytes are exact; all others are f64 in a fixed order: the same bits for any number of
 * threads.
 */
#ifndef FILIGREE_COMPARE_H
#define FILIGREE_COMPARE_H

#include "filigree/filigree.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is compared. */
typedef enum fil_compare_kind {
    FIL_COMPARE_FRAMES  = 0, /* bytes [F, H, W, 3] */
    FIL_COMPARE_LATENTS = 1  /* values [C, T, H, W] f32 */
} fil_compare_kind;

/* The figures of one frame. Latents: of all channels of one latent frame. */
typedef struct fil_compare_frame {
    int32_t index; /* from 0 */
    int32_t equal; /* 1: no value differs */
    double  psnr;  /* dB; infinite if equal */
    double  ssim;  /* NaN where there is none */
    double  rel_l2;
} fil_compare_frame;

/* Told the frames in their order; *frame is borrowed for the call. Of latents all are told at the
 * end, since the peak is known then. Anything but 0 ends the call with E_CANCELLED. */
typedef int (*fil_compare_fn)(void *user, const fil_compare_frame *frame);

/* Two files. Each is one of
 *   - a safetensors file with `frames` [F, H, W, 3] u8, as fil_generate saves them,
 *   - a safetensors file with `latents` [C, T, H, W] f32 (where both files have both, frames are
 *     compared),
 *   - a PNG picture (transparency is laid on black): one frame,
 *   - a video file, if `lossy` allows it.
 * The kind is told from the endings .safetensors and .png, else from the content. */
typedef struct fil_compare_options {
    uint32_t struct_size; /* set by fil_compare_options_init */
    int32_t  lossy;       /* 1: video files are taken, and what coding did to them is measured
                             with the rest; 0 */
    const char    *a;     /* path of what is judged */
    const char    *b;     /* path of the reference */
    fil_compare_fn frame; /* NULL = nobody wants single frames */
    void          *user;  /* for frame */
} fil_compare_options;

/* No paths, no video files. Cannot fail. */
FIL_API void fil_compare_options_init(fil_compare_options *options);

/* The figures of the whole. */
typedef struct fil_compare_result {
    fil_compare_kind kind;
    int32_t          channels; /* 3, or those of the latents */
    int32_t          frames;
    int32_t          width, height; /* pixels, or places of a latent */
    int32_t          equal;         /* 1: no value differs */
    double           peak;          /* 255, or the largest |B| */
    double           psnr;          /* of the MSE over all frames */
    double           psnr_mean;     /* mean of the frames' PSNR: infinite if one of them is */
    double           psnr_min;      /* of the worst frame */
    double           ssim;          /* mean of the frames */
    double           ssim_min;      /* of the worst frame */
    double           rel_l2;        /* over all frames */
    double           max_abs;       /* largest |A - B| of a value */
} fil_compare_result;

/* Compares. On failure *result is zeroed. E_MISMATCH: one holds frames and the other latents, or
 * neither of them, or a video file that `lossy` does not allow; E_SHAPE: other sizes or counts;
 * E_NONFINITE: a NaN or infinity in latents (the message says where); E_CANCELLED; what opening the
 * files may give: E_IO, E_FORMAT, E_LIMIT, E_NOMEM, E_UNSUP without the plug-in for video files. */
FIL_API FIL_MUSTCHECK fil_status fil_compare(fil_ctx *ctx, const fil_compare_options *options,
                                             fil_compare_result *result);

#ifdef __cplusplus
}
#endif

#endif
