/* base/rng_philox.c: Philox4x32-10 (base/rng.h), with the counter layout and the Box-Muller pairing
 * of cuRAND.
 *
 * Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Counter words 0 and 1 are
 * index / 4, words 2 and 3 the stream; key = seed. So stream t is what thread t of torch's CUDA
 * generator draws, in its order; how torch spreads streams over a tensor depends on the GPU and is
 * not done here. log, sin and cos are f64, rounded once: cuRAND's fast f32 ones differ by 1e-6.
 */
#include <math.h>

#include "base/rng.h"

enum { ROUNDS = 10, WORDS = 4 };

#define TWO_PI 6.283185307179586

void fili_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0];
    uint32_t c1 = counter[1];
    uint32_t c2 = counter[2];
    uint32_t c3 = counter[3];
    uint32_t k0 = key[0];
    uint32_t k1 = key[1];
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t p0 = (uint64_t)0xd2511f53u * c0;
        const uint64_t p1 = (uint64_t)0xcd9e8d57u * c2;
        c0                = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1                = (uint32_t)p1;
        c2                = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3                = (uint32_t)p0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static void words_at(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32)};
    const uint32_t key[2]     = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    fili_philox4x32(counter, key, out);
}

uint32_t fili_philox_u32(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t words[WORDS];
    words_at(seed, stream, index / WORDS, words);
    return words[index % WORDS];
}

/* u is f32 as in cuRAND: it may round to 1, and the radius is then 0. */
static void normal_pair(uint32_t a, uint32_t b, float out[2])
{
    const float  u      = (float)a * 0x1p-32f + 0x1p-33f;
    const double v      = ((double)b * 0x1p-32 + 0x1p-33) * TWO_PI;
    const float  radius = sqrtf(-2.0f * (float)log((double)u));
    out[0]              = radius * (float)sin(v);
    out[1]              = radius * (float)cos(v);
}

static void normals_of(const uint32_t words[4], float out[4])
{
    normal_pair(words[0], words[1], out);
    normal_pair(words[2], words[3], out + 2);
}

static void uniforms_of(const uint32_t words[4], float out[4])
{
    for (int j = 0; j < WORDS; j++)
        out[j] = (float)(words[j] >> 8) * 0x1p-24f;
}

/* Whole blocks of four; what lies outside [first, first + n) is made and dropped. */
static void fill(uint64_t seed, uint64_t stream, uint64_t first, float *out, int64_t n,
                 void (*values_of)(const uint32_t words[4], float out[4]))
{
    uint32_t words[WORDS];
    float    values[WORDS];
    uint64_t block = first / WORDS;
    int      skip  = (int)(first % WORDS);
    for (int64_t done = 0; done < n; block++) {
        words_at(seed, stream, block, words);
        values_of(words, values);
        for (int j = skip; j < WORDS && done < n; j++)
            out[done++] = values[j];
        skip = 0;
    }
}

void fili_philox_normal(uint64_t seed, uint64_t stream, uint64_t first, float *out, int64_t n)
{
    fill(seed, stream, first, out, n, normals_of);
}

void fili_philox_uniform(uint64_t seed, uint64_t stream, uint64_t first, float *out, int64_t n)
{
    fill(seed, stream, first, out, n, uniforms_of);
}
