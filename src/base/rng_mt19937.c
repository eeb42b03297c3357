/* base/rng_mt19937.c: the Mersenne Twister and the normal numbers that torch's CPU generator makes
 * of it (base/rng.h).
 *
 * Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998, with the 2002 seeding by one
 * integer. Normals: Box-Muller over groups of 16 (8 radii, 8 angles). torch computes log, cos and
 * sin in f32 with a vector library; here they are f64, rounded once, so the last bits may differ
 * (5e-7), while the angle is the same f32 product. Below 16 numbers torch draws otherwise: not
 * done.
 */
#include <math.h>

#include "base/rng.h"

enum { N = 624, M = 397, GROUP = 16, HALF = GROUP / 2 };

#define TWO_PI 6.28318530717958648f

void fili_mt19937_seed(fili_mt19937 *rng, uint64_t seed)
{
    rng->state[0] = (uint32_t)seed;
    for (uint32_t i = 1; i < N; i++) {
        const uint32_t last = rng->state[i - 1];
        rng->state[i]       = 1812433253u * (last ^ last >> 30) + i;
    }
    rng->next = N;
}

static void refill(fili_mt19937 *rng)
{
    uint32_t *s = rng->state;
    for (int i = 0; i < N; i++) {
        const uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7fffffffu);
        s[i]             = s[(i + M) % N] ^ y >> 1 ^ ((y & 1) ? 0x9908b0dfu : 0);
    }
    rng->next = 0;
}

uint32_t fili_mt19937_u32(fili_mt19937 *rng)
{
    if (rng->next >= N) refill(rng);
    uint32_t y = rng->state[rng->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static float uniform24(fili_mt19937 *rng)
{
    return (float)(fili_mt19937_u32(rng) & 0xffffff) * 0x1p-24f;
}

/* d[0..7] give radii and d[8..15] angles; 1 - u is in (0, 1], so the logarithm is finite. */
static void normal_group(float *d)
{
    for (int j = 0; j < HALF; j++) {
        const float u1     = 1.0f - d[j];
        const float theta  = TWO_PI * d[j + HALF];
        const float radius = sqrtf(-2.0f * (float)log((double)u1));
        d[j]               = radius * (float)cos((double)theta);
        d[j + HALF]        = radius * (float)sin((double)theta);
    }
}

fil_status fili_torch_randn(fil_ctx *ctx, uint64_t seed, float *out, int64_t n)
{
    fili_mt19937 rng;
    fili_mt19937_seed(&rng, seed);
    return fili_torch_randn_next(ctx, &rng, out, n);
}

fil_status fili_torch_randn_next(fil_ctx *ctx, fili_mt19937 *rng, float *out, int64_t n)
{
    if (n < GROUP)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "torch_randn: %lld numbers; expected at least %d",
                        (long long)n, GROUP);
    for (int64_t i = 0; i < n; i++)
        out[i] = uniform24(rng);
    for (int64_t i = 0; i <= n - GROUP; i += GROUP)
        normal_group(out + i);
    if (n % GROUP == 0) return FIL_OK;
    float *tail = out + (n - GROUP); /* overlaps the last whole group, as in torch */
    for (int j = 0; j < GROUP; j++)
        tail[j] = uniform24(rng);
    normal_group(tail);
    return FIL_OK;
}
