/* tensor/dequant_base.c: the plain loops, for any CPU, and the reference that the other variant is
 * compared with bit by bit.
 *
 * The inner loops run over 16 or 32 neighbours without a branch, so that the compiler makes vectors
 * of them. In a block of 32, byte i holds elements i (low nibble) and i + 16 (high). The
 * super-blocks of 256 (names with _k) have scales of 16 or 32 elements each, which are small
 * integers times one F16 of the block.
 */
#include <stdint.h>
#include <string.h>

#include "tensor/dequant_sets.h"

/* An F16 as F32; subnormals by a product that is exact, NaN made quiet. */
static inline float half_of(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t rest = h & 0x7fffu;
    uint32_t       bits = sign | (rest + (112u << 10)) << 13;
    float          x;
    if (rest >= 0x7c00) bits = sign | 0x7f800000u | rest << 13 | (rest > 0x7c00 ? 0x400000u : 0);
    memcpy(&x, &bits, sizeof x);
    if (rest >= 0x400) return x;
    const float small = (float)rest * 0x1p-24f;
    return sign != 0 ? -small : small;
}

static inline float half_at(const unsigned char *p)
{
    return half_of((uint16_t)(p[0] | p[1] << 8));
}

static inline uint32_t word_at(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- blocks of 32 --------------------------------------------------------------------------- */

static void dequant_q4_0(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 18) {
        const float          d = half_at(src);
        const unsigned char *q = src + 2;
        for (int i = 0; i < 16; i++) {
            dst[i]      = d * (float)((q[i] & 15) - 8);
            dst[i + 16] = d * (float)((q[i] >> 4) - 8);
        }
    }
}

static void dequant_q4_1(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 20) {
        const float          d = half_at(src);
        const float          m = half_at(src + 2);
        const unsigned char *q = src + 4;
        for (int i = 0; i < 16; i++) {
            dst[i]      = d * (float)(q[i] & 15) + m;
            dst[i + 16] = d * (float)(q[i] >> 4) + m;
        }
    }
}

/* Bit e of `high` is the fifth bit of element e. */
static void dequant_q5_0(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 22) {
        const float          d    = half_at(src);
        const uint32_t       high = word_at(src + 2);
        const unsigned char *q    = src + 6;
        for (int i = 0; i < 16; i++) {
            dst[i]      = d * (float)((q[i] & 15) + (int)(high >> i & 1) * 16 - 16);
            dst[i + 16] = d * (float)((q[i] >> 4) + (int)(high >> (i + 16) & 1) * 16 - 16);
        }
    }
}

static void dequant_q5_1(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 24) {
        const float          d    = half_at(src);
        const float          m    = half_at(src + 2);
        const uint32_t       high = word_at(src + 4);
        const unsigned char *q    = src + 8;
        for (int i = 0; i < 16; i++) {
            dst[i]      = d * (float)((q[i] & 15) + (int)(high >> i & 1) * 16) + m;
            dst[i + 16] = d * (float)((q[i] >> 4) + (int)(high >> (i + 16) & 1) * 16) + m;
        }
    }
}

static void dequant_q8_0(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 34) {
        const float          d = half_at(src);
        const unsigned char *q = src + 2;
        for (int i = 0; i < 32; i++)
            dst[i] = d * (float)(signed char)q[i];
    }
}

/* ---- super-blocks of 256 -------------------------------------------------------------------- */

/* Two bits an element; four groups of 32 lie over one another in 32 bytes. A scale and a smallest
 * value of 4 bits each for 16 elements. */
static void dequant_q2_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 84) {
        const float d     = half_at(src + 80);
        const float least = half_at(src + 82);
        for (int part = 0; part < 16; part++, dst += 16) {
            const unsigned char *q     = src + 16 + fili_dequant_place(part, 32);
            const int            shift = 2 * (part / 2 % 4);
            const float          scale = d * (float)(src[part] & 15);
            const float          m     = least * (float)(src[part] >> 4);
            for (int i = 0; i < 16; i++)
                dst[i] = scale * (float)(q[i] >> shift & 3) - m;
        }
    }
}

/* Two bits an element as above and the third, inverted, in a mask of its own. */
static void dequant_q3_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 110) {
        const float d = half_at(src + 108);
        for (int part = 0; part < 16; part++, dst += 16) {
            const unsigned char *q     = src + 32 + fili_dequant_place(part, 32);
            const unsigned char *high  = src + fili_dequant_place(part, 0);
            const int            shift = 2 * (part / 2 % 4);
            const int            bit   = part / 2;
            const float          scale = d * (float)fili_dequant_scale3(src + 96, part);
            for (int i = 0; i < 16; i++)
                dst[i] = scale * (float)((q[i] >> shift & 3) + (high[i] >> bit & 1) * 4 - 4);
        }
    }
}

static void dequant_q4_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 144) {
        const float d     = half_at(src);
        const float least = half_at(src + 2);
        for (int j = 0; j < 8; j++, dst += 32) {
            const unsigned char *q     = src + 16 + 32 * (size_t)(j / 2);
            const int            shift = 4 * (j % 2);
            int                  scale;
            int                  m;
            fili_dequant_scales(src + 4, j, &scale, &m);
            const float ds = d * (float)scale;
            const float dm = least * (float)m;
            for (int i = 0; i < 32; i++)
                dst[i] = ds * (float)(q[i] >> shift & 15) - dm;
        }
    }
}

/* As Q4_K; bit j of high[i] is the fifth bit of element i of group j. */
static void dequant_q5_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 176) {
        const float          d     = half_at(src);
        const float          least = half_at(src + 2);
        const unsigned char *high  = src + 16;
        for (int j = 0; j < 8; j++, dst += 32) {
            const unsigned char *q     = src + 48 + 32 * (size_t)(j / 2);
            const int            shift = 4 * (j % 2);
            int                  scale;
            int                  m;
            fili_dequant_scales(src + 4, j, &scale, &m);
            const float ds = d * (float)scale;
            const float dm = least * (float)m;
            for (int i = 0; i < 32; i++)
                dst[i] = ds * (float)((q[i] >> shift & 15) + (high[i] >> j & 1) * 16) - dm;
        }
    }
}

/* Two halves of 128: four groups of 32, whose low nibbles lie over one another in 64 bytes and
 * whose two upper bits do in 32. Signed scales of 8 bits for 16 elements. */
static void dequant_q6_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 210) {
        const float d = half_at(src + 208);
        for (int part = 0; part < 16; part++, dst += 16) {
            const int            group = part / 2 % 4;
            const unsigned char *low =
                src + fili_dequant_place(part, 64) + (group % 2 != 0 ? 32 : 0);
            const unsigned char *high  = src + 128 + fili_dequant_place(part, 32);
            const int            shift = 4 * (group / 2);
            const float          scale = d * (float)(signed char)src[192 + part];
            for (int i = 0; i < 16; i++)
                dst[i] = scale *
                         (float)(((low[i] >> shift & 15) | (high[i] >> 2 * group & 3) << 4) - 32);
        }
    }
}

const fili_dequant_set fili_dequant_base = {
    .type = {dequant_q4_0, dequant_q4_1, dequant_q5_0, dequant_q5_1, dequant_q8_0, dequant_q2_k,
             dequant_q3_k, dequant_q4_k, dequant_q5_k, dequant_q6_k}};
