/* wan/vae_rows.h: what is done to the pixels of a frame between two convolutions: layouts, types,
 * the 1x1x1 convolution at the latent. Simple loops, cut into tasks of a row; none of it takes a
 * noticeable share of the time.
 */
#ifndef FILI_WAN_VAE_ROWS_H
#define FILI_WAN_VAE_ROWS_H

#include "wan/vae_parts.h"

/* out = the rows of x [h w, c] in the stream's type, each over its root mean square, times gamma,
 * with SiLU or (then f32) without. */
FIL_MUSTCHECK fil_status fili_vae_norm(fili_vae_stream *stream, const vae_level *level, int32_t c,
                                       const float *x, const float *gamma, int silu, void *out);

/* A frame in the stream's type. */
FIL_MUSTCHECK fil_status fili_vae_cast(fili_vae_stream *stream, const vae_level *level, int32_t c,
                                       const float *x, void *out);

/* Pixel (y, x) of quarter [h w, c] becomes pixel (2 y + part / 2, 2 x + part % 2) of out. */
FIL_MUSTCHECK fil_status fili_vae_scatter(fili_vae_stream *stream, const vae_level *level,
                                          int32_t c, int32_t part, const float *quarter,
                                          float *out);

/* Latent channels c at z + c * stride, as the first convolution of the decoder wants them:
 * deviation and mean put back, through conv2. */
FIL_MUSTCHECK fil_status fili_vae_latent_in(fili_vae_stream *stream, const float *z, int64_t stride,
                                            void *out);
/* The encoder's last frame [h w, 2 z_dim] through conv1: the mean, normalised. */
FIL_MUSTCHECK fil_status fili_vae_latent_out(fili_vae_stream *stream, const float *x, float *z,
                                             int64_t stride);

/* rgb [3, H, W] to [H W, 3] in the stream's type, and back from f32, cut to [-1, 1] unless
 * the stream leaves that. */
FIL_MUSTCHECK fil_status fili_vae_rgb_in(fili_vae_stream *stream, const float *rgb, void *out);
FIL_MUSTCHECK fil_status fili_vae_rgb_out(fili_vae_stream *stream, const float *x, float *rgb);

#endif
