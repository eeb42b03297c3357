/* base/rng.h: random numbers that can be repeated: PyTorch's CPU stream, and a counter-based one.
 *
 * mt19937: the noise of reference implementations. Sequential; draws f32 normals with the pairing
 * of torch's CPU generator (groups of 16, tail redrawn).
 * philox: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * A value is a function of (seed, stream, index) alone, so any part can be made on any thread.
 */
#ifndef FILI_BASE_RNG_H
#define FILI_BASE_RNG_H

#include "base/ctx.h"

typedef struct fili_mt19937 {
    uint32_t state[624];
    int32_t  next;
} fili_mt19937;

/* Only the low 32 bits of the seed count, as in torch. */
void     fili_mt19937_seed(fili_mt19937 *rng, uint64_t seed);
uint32_t fili_mt19937_u32(fili_mt19937 *rng);

/* out[n] = torch.randn(n, generator=torch.Generator().manual_seed(seed)), to 1e-6.
 * n >= 16: below that torch draws differently; E_UNSUP. */
FIL_MUSTCHECK fil_status fili_torch_randn(fil_ctx *ctx, uint64_t seed, float *out, int64_t n);

/* The next n numbers of a generator that has been seeded and perhaps used before: another randn
 * with the same generator. */
FIL_MUSTCHECK fil_status fili_torch_randn_next(fil_ctx *ctx, fili_mt19937 *rng, float *out,
                                               int64_t n);

/* Four 32-bit words for a counter and a key. */
void fili_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Word `index` of stream `stream` under `seed`, uniform over 2^32. */
uint32_t fili_philox_u32(uint64_t seed, uint64_t stream, uint64_t index);

/* out[i] = standard normal number first + i of the stream, i < n (Box-Muller on the four words of
 * a counter). Same bits whatever range it is made in. */
void fili_philox_normal(uint64_t seed, uint64_t stream, uint64_t first, float *out, int64_t n);

/* out[i] in [0, 1), 24 bits. */
void fili_philox_uniform(uint64_t seed, uint64_t stream, uint64_t first, float *out, int64_t n);

#endif
