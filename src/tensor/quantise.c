/* tensor/quantise.c: F32 into blocks of Q8_0 (tensor/quantise.h). Plain loops over 32 elements,
 * which compilers turn into vector code. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tensor/convert.h"
#include "tensor/quantise.h"

enum { N = FILI_Q8_0_ELEMENTS, BLOCKS = 64 }; /* scales are rounded to F16 so many at a time */

static const float largest_f16 = 65504.0f;

/* Of the elements' absolute values, which as bits have the order of their values; infinity or NaN
 * if there is one. */
static float largest(const float *x)
{
    uint32_t bits[N];
    uint32_t most = 0;
    float    value;
    memcpy(bits, x, sizeof bits);
    for (int i = 0; i < N; i++) {
        const uint32_t a = bits[i] & UINT32_C(0x7fffffff);
        most             = a > most ? a : most;
    }
    memcpy(&value, &most, sizeof value);
    return value;
}

/* To nearest, halves away from zero: the fraction is exact, as |x| is below 2^23. */
static int8_t round_away(float x)
{
    const int   whole = (int)x;
    const float rest  = x - (float)whole;
    return (int8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
}

static void fill(unsigned char *dst, const float *x, float scale)
{
    int8_t      q[N];
    const float inverse = scale != 0.0f ? 1.0f / scale : 0.0f;
    const float factor  = isfinite(inverse) ? inverse : 0.0f; /* of what is next to 0 */
    for (int i = 0; i < N; i++)
        q[i] = round_away(x[i] * factor);
    memcpy(dst, q, sizeof q);
}

static bool quantise(unsigned char *dst, const float *src, size_t blocks)
{
    float    scale[BLOCKS];
    uint16_t half[BLOCKS];
    for (size_t b = 0; b < blocks; b++) {
        const float most = largest(src + b * N);
        scale[b]         = most / 127.0f;
        if (!(scale[b] <= largest_f16)) return false;
        fill(dst + b * FILI_Q8_0_BYTES + 2, src + b * N, scale[b]);
    }
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F16, half, FIL_F32, scale, blocks);
    for (size_t b = 0; b < blocks; b++) {
        dst[b * FILI_Q8_0_BYTES]     = (unsigned char)(half[b] & 0xff);
        dst[b * FILI_Q8_0_BYTES + 1] = (unsigned char)(half[b] >> 8);
    }
    return true;
}

bool fili_quantise_q8_0(unsigned char *dst, const float *src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b += BLOCKS) {
        const size_t n = blocks - b < BLOCKS ? blocks - b : BLOCKS;
        if (!quantise(dst + b * FILI_Q8_0_BYTES, src + b * N, n)) return false;
    }
    return true;
}
