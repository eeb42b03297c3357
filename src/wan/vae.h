/* wan/vae.h: the causal video autoencoder of Wan2.1 (and of Wan2.2 A14B): latents to frames and
 * back.
 *
 * Works on one frame at a time from the start: every convolution keeps the two input frames before
 * the present one, so a clip of any length needs the memory of one frame and of that state
 * (Wan-Video/Wan2.1, wan/modules/vae.py, evaluates in chunks of four; the results are the same).
 * Latents are normalised, [z_dim, T, h, w] as the DiT works on them; frames are [3, H, W] in
 * [-1, 1], H = 8h, W = 8w, 4(T - 1) + 1 of them. Sizes come from the tensors: base width,
 * multipliers, blocks and which levels work on time; the factors above are those of Wan2.1.
 * Results have the same bits for any number of threads and however the latents are cut into calls.
 * Does not tile (vae_tiles.h does), does not sample (encoding gives the mean), knows no file of
 * pictures.
 */
#ifndef FILI_WAN_VAE_H
#define FILI_WAN_VAE_H

#include "base/ctx.h"
#include "filigree/file.h"

struct fili_weights;

enum { FILI_VAE_LEVELS = 8, FILI_VAE_MAX_Z = 64 };

typedef struct fili_vae_config {
    int32_t z_dim;                       /* channels of a latent: 16 */
    int32_t base_dim;                    /* 96 */
    int32_t n_levels;                    /* 4 */
    int32_t multiplier[FILI_VAE_LEVELS]; /* of base_dim, from the finest level: 1, 2, 4, 4 */
    int32_t blocks;                    /* residual blocks of a level: 2, the decoder has one more */
    int32_t temporal[FILI_VAE_LEVELS]; /* 1: the step from level i to i + 1 halves time: 0, 1, 1 */
    float   mean[FILI_VAE_MAX_Z], std[FILI_VAE_MAX_Z]; /* latent = (raw - mean) / std */
} fili_vae_config;

/* That of Wan2.1. */
void fili_vae_config_init(fili_vae_config *config);
/* Pixels per latent along an axis of space: 8. Frames per latent frame after the first: 4. */
int32_t fili_vae_scale(const fili_vae_config *config);
int32_t fili_vae_time_scale(const fili_vae_config *config);

typedef struct fili_vae fili_vae;

/* Takes sizes, mean and deviation from the tensors and the config.json beside them, and checks
 * every tensor. Borrows `weights`, which must outlive it. precision: F32, or BF16: inputs of the
 * convolutions are bf16 (sums and everything else f32), and so are the frames that wait for them;
 * where the only kernel for that is the reference, f32 is used and the log says so. E_MISMATCH: not
 * such a VAE (name, expected, found). */
FIL_MUSTCHECK fil_status fili_vae_open(fil_ctx *ctx, struct fili_weights *weights,
                                       fil_dtype precision, fili_vae **out);
void                     fili_vae_close(fili_vae **vae); /* NULL accepted */
const fili_vae_config   *fili_vae_config_of(const fili_vae *vae);
fil_ctx                 *fili_vae_ctx(const fili_vae *vae);
/* What is really used: F32 or BF16. */
fil_dtype fili_vae_precision(const fili_vae *vae);

/* Called for every tensor of encoder and decoder under its original name. */
typedef fil_status (*fili_vae_tensor_fn)(void *user, const char *name, uint32_t rank,
                                         const int64_t *shape);
FIL_MUSTCHECK fil_status fili_vae_each_tensor(fil_ctx *ctx, const fili_vae_config *config,
                                              fili_vae_tensor_fn visit, void *user);

/* ---- whole clips ---------------------------------------------------------------------------- */

/* A frame that is ready: index from 0; rgb [3, H, W] is valid during the call. A status other than
 * FIL_OK ends the run with it. */
typedef fil_status (*fili_frame_fn)(void *user, int32_t index, const float *rgb, int32_t h,
                                    int32_t w);
/* Wants frame `index` written to rgb [3, H, W]. */
typedef fil_status (*fili_frame_source)(void *user, int32_t index, float *rgb, int32_t h,
                                        int32_t w);

/* z [z_dim, t, h, w]. E_ARG, E_NOMEM before any work; E_CANCELLED between frames; E_NONFINITE: a
 * NaN or infinity in a frame, which no sink gets. So too in streams, and latents that are encoded.
 */
FIL_MUSTCHECK fil_status fili_vae_decode(fili_vae *vae, const float *z, int32_t t, int32_t h,
                                         int32_t w, fili_frame_fn sink, void *user);
/* n frames of h x w pixels, n = 4k + 1, h and w multiples of 8 (E_ARG); z [z_dim, k + 1, h/8, w/8].
 */
FIL_MUSTCHECK fil_status fili_vae_encode(fili_vae *vae, fili_frame_source source, void *user,
                                         int32_t n, int32_t h, int32_t w, float *z);

/* What a decode or an encode takes at its peak beside the weights as fili_weights holds them, for
 * any number of frames and the context's threads. Exact but for oneDNN's own primitives and
 * generated code (some 20 MB). */
typedef struct fili_vae_memory {
    uint64_t bytes;  /* of the host */
    uint64_t device; /* of the context's device, where every kernel is one of it: weights, frames
                        and workspace lie there then; else 0 */
} fili_vae_memory;

/* h, w: latent. Needs no weights. */
FIL_MUSTCHECK fil_status fili_vae_decode_bytes(fil_ctx *ctx, const fili_vae_config *config,
                                               fil_dtype precision, int32_t h, int32_t w,
                                               fili_vae_memory *out);
FIL_MUSTCHECK fil_status fili_vae_encode_bytes(fil_ctx *ctx, const fili_vae_config *config,
                                               fil_dtype precision, int32_t h, int32_t w,
                                               fili_vae_memory *out);

/* ---- streams -------------------------------------------------------------------------------- */

/* The state of a decode or an encode. All memory is taken when it is opened. */
typedef struct fili_vae_stream fili_vae_stream;

/* h, w: of the latent. */
FIL_MUSTCHECK fil_status fili_vae_decoder(fili_vae *vae, int32_t h, int32_t w,
                                          fili_vae_stream **out);
FIL_MUSTCHECK fil_status fili_vae_encoder(fili_vae *vae, int32_t h, int32_t w,
                                          fili_vae_stream **out);
void                     fili_vae_stream_close(fili_vae_stream **stream);

/* The next latent frame: channel c at z + c * stride. 1 frame reaches the sink for the first one,
 * 4 for each later one. */
FIL_MUSTCHECK fil_status fili_vae_decode_frame(fili_vae_stream *stream, const float *z,
                                               int64_t stride, fili_frame_fn sink, void *user);
/* The next frame [3, H, W]; *made = 1 if it completes a latent frame, which then is written to
 * z + c * stride. */
FIL_MUSTCHECK fil_status fili_vae_encode_frame(fili_vae_stream *stream, const float *rgb, float *z,
                                               int64_t stride, int *made);

/* Going on in the middle of a clip, in a stream that has seen nothing: the latent frames from
 * fili_vae_felt(next) to next - 1 in turn, and then fili_vae_decode_frame from `next` on gives the
 * bits that it would give behind all frames. What a frame left in the past of coarse levels is felt
 * long, 38 latent frames with Wan2.1; in that of the finest, which take most of the work, 7: no
 * more is computed. */
int32_t fili_vae_felt(const fili_vae_stream *stream, int32_t next);
/* Latent frame `index`, as in fili_vae_decode_frame; no frame comes out. */
FIL_MUSTCHECK fil_status fili_vae_catch_up(fili_vae_stream *stream, const float *z, int64_t stride,
                                           int32_t index, int32_t next);

/* Forgets every frame: the next one is the first again. */
void fili_vae_stream_reset(fili_vae_stream *stream);
/* Frames keep values outside [-1, 1], until the stream is closed. */
void fili_vae_stream_uncut(fili_vae_stream *stream);
/* Name of the row that most convolutions take. */
const char *fili_vae_stream_kernel(const fili_vae_stream *stream);
/* The same, known without a stream; static. */
FIL_MUSTCHECK fil_status fili_vae_kernel(fil_ctx *ctx, fil_dtype precision, const char **name);
/* F32 or BF16: what is used where `precision` is asked for. */
FIL_MUSTCHECK fil_status fili_vae_usable(fil_ctx *ctx, fil_dtype precision, fil_dtype *out);

/* Seconds spent in a stream's frames, by part: CPU time with one thread, else elapsed time. On a
 * device the parts tell what was waited for, and only the total is true. */
typedef struct fili_vae_times {
    double convolution;
    double attention; /* in the middle: all of it */
    double rest;      /* norms, doubling, layouts */
    double total;
} fili_vae_times;

void fili_vae_stream_times(const fili_vae_stream *stream, fili_vae_times *times);

/* Operations of decoding t latent frames, as the layers are defined: 3x3 kernels on doubled frames,
 * frames of zeros before the first one counted. What is really computed is less. */
FIL_MUSTCHECK fil_status fili_vae_decode_flops(fil_ctx *ctx, const fili_vae_config *config,
                                               int32_t t, int32_t h, int32_t w, double *flops);

#endif
