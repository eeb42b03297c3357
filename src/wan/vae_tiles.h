/* wan/vae_tiles.h: decoding in tiles of space, for frames that are too large to be held whole.
 *
 * The tiles, their overlap and the way they are blended are those of diffusers' AutoencoderKLWan
 * (tiled_decode: 256 pixels each 192, linear in the overlap, downwards before sideways), so that
 * results can be compared. A tile is decoded over all frames of the clip, since what it remembers
 * is its own; its frames wait on disk (io/piece_log.h). When all tiles are done, the frames are
 * blended one at a time and handed on in their order.
 *
 * Where the file of waiting frames has a name, a decode that was stopped goes on: every latent
 * frame of a tile whose frames are there, whole, is not decoded again, and the result has the same
 * bits.
 *
 * At most 48 threads decode a tile where more would take over 1400 MiB, since each has memory of
 * its own and decoding 480p in tiles is to stay within 1.5 GiB (AVX2; on AVX-512 it takes
 * hundreds).
 *
 * A tile's attention sees the tile alone, so the result is another one than that of whole frames:
 * close to it, not equal. The work grows by what overlaps: 1.65 times at 832 x 480.
 */
#ifndef FILI_WAN_VAE_TILES_H
#define FILI_WAN_VAE_TILES_H

#include "io/piece_log.h"
#include "wan/vae.h"

typedef struct fili_vae_tiling {
    int32_t tile;   /* latents on a side */
    int32_t stride; /* from tile to tile; 1 <= stride < tile */
} fili_vae_tiling;

/* 256 and 192 pixels. */
fili_vae_tiling fili_vae_tiling_usual(const fili_vae_config *config);

/* True if a latent of h x w is larger than a tile on one side: else it is decoded whole. */
bool fili_vae_tiling_cuts(const fili_vae_tiling *tiling, int32_t h, int32_t w);

typedef struct fili_vae_tiled_cost {
    uint64_t bytes, device; /* as fili_vae_decode_bytes, for any number of frames */
    uint64_t disk;          /* of the frames that wait */
    double   flops;         /* as fili_vae_decode_flops */
} fili_vae_tiled_cost;

/* t, h, w: of the latent. Needs no weights. E_ARG. */
FIL_MUSTCHECK fil_status fili_vae_tiled_cost_of(fil_ctx *ctx, const fili_vae_config *config,
                                                fil_dtype precision, const fili_vae_tiling *tiling,
                                                const int32_t size[3], fili_vae_tiled_cost *out);

/* z [z_dim, t, h, w] and where its frames wait. */
typedef struct fili_vae_clip {
    const float        *z;
    int32_t             t, h, w;
    fili_piece_log_what wait;  /* path NULL: nothing is left of a decode that is stopped */
    int32_t            *tiles; /* NULL, or: number of tiles of which the file holds something */
} fili_vae_clip;

/* fili_vae_decode in tiles. A file with a name stays, to be removed by the caller. E_IO: it cannot
 * be written or read. */
FIL_MUSTCHECK fil_status fili_vae_decode_tiled(fili_vae *vae, const fili_vae_tiling *tiling,
                                               const fili_vae_clip *clip, fili_frame_fn sink,
                                               void *user);

#endif
