/* tensor/dequant_avx2.c: dequantisation for AVX2 with F16C, eight elements at a time. Compiled with
 * its own flags and called only where the CPU has both.
 *
 * Eight bytes become eight integers, from which shifts and masks take the bits of one group of
 * neighbours; layouts and order of operations are those of dequant_base.c. No product is fused with
 * a sum.
 */
#include <immintrin.h>
#include <stdint.h>

#include "tensor/dequant_sets.h"

typedef const unsigned char *bytes;

static inline __m256 half_at(bytes p)
{
    return _mm256_set1_ps(_cvtsh_ss((uint16_t)(p[0] | p[1] << 8)));
}

static inline __m256i load8(bytes p)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}

/* Bits shift .. of each, as many as `mask` has. */
static inline __m256i cut(__m256i x, int shift, int mask)
{
    return _mm256_and_si256(_mm256_srl_epi32(x, _mm_cvtsi32_si128(shift)), _mm256_set1_epi32(mask));
}

static inline __m256i join(__m256i low, __m256i high, int shift)
{
    return _mm256_or_si256(low, _mm256_sll_epi32(high, _mm_cvtsi32_si128(shift)));
}

static inline __m256i minus(__m256i x, int less)
{
    return _mm256_sub_epi32(x, _mm256_set1_epi32(less));
}

static inline void put(float *dst, __m256 scale, __m256i q)
{
    _mm256_storeu_ps(dst, _mm256_mul_ps(scale, _mm256_cvtepi32_ps(q)));
}

static inline void put_plus(float *dst, __m256 scale, __m256i q, __m256 m)
{
    _mm256_storeu_ps(dst, _mm256_add_ps(_mm256_mul_ps(scale, _mm256_cvtepi32_ps(q)), m));
}

static inline void put_minus(float *dst, __m256 scale, __m256i q, __m256 m)
{
    _mm256_storeu_ps(dst, _mm256_sub_ps(_mm256_mul_ps(scale, _mm256_cvtepi32_ps(q)), m));
}

static inline __m256 times(__m256 d, int scale)
{
    return _mm256_mul_ps(d, _mm256_set1_ps((float)scale));
}

/* ---- blocks of 32 --------------------------------------------------------------------------- */

static void dequant_q4_0(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 18) {
        const __m256 d = half_at(src);
        for (int i = 0; i < 16; i += 8) {
            const __m256i q = load8(src + 2 + i);
            put(dst + i, d, minus(cut(q, 0, 15), 8));
            put(dst + 16 + i, d, minus(cut(q, 4, 15), 8));
        }
    }
}

static void dequant_q4_1(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 20) {
        const __m256 d = half_at(src);
        const __m256 m = half_at(src + 2);
        for (int i = 0; i < 16; i += 8) {
            const __m256i q = load8(src + 4 + i);
            put_plus(dst + i, d, cut(q, 0, 15), m);
            put_plus(dst + 16 + i, d, cut(q, 4, 15), m);
        }
    }
}

/* Bits 0 to 7 of `high`, one for each element, as 0 or 1. */
static inline __m256i spread(int high)
{
    const __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(high), place),
                            _mm256_set1_epi32(1));
}

static void dequant_q5_0(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 22) {
        const __m256 d = half_at(src);
        for (int i = 0; i < 16; i += 8) {
            const __m256i q = load8(src + 6 + i);
            put(dst + i, d, minus(join(cut(q, 0, 15), spread(src[2 + i / 8]), 4), 16));
            put(dst + 16 + i, d, minus(join(cut(q, 4, 15), spread(src[4 + i / 8]), 4), 16));
        }
    }
}

static void dequant_q5_1(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 24) {
        const __m256 d = half_at(src);
        const __m256 m = half_at(src + 2);
        for (int i = 0; i < 16; i += 8) {
            const __m256i q = load8(src + 8 + i);
            put_plus(dst + i, d, join(cut(q, 0, 15), spread(src[4 + i / 8]), 4), m);
            put_plus(dst + 16 + i, d, join(cut(q, 4, 15), spread(src[6 + i / 8]), 4), m);
        }
    }
}

static void dequant_q8_0(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, dst += 32, src += 34) {
        const __m256 d = half_at(src);
        for (int i = 0; i < 32; i += 8) {
            const __m128i q = _mm_loadl_epi64((const __m128i *)(const void *)(src + 2 + i));
            put(dst + i, d, _mm256_cvtepi8_epi32(q));
        }
    }
}

/* ---- super-blocks of 256 -------------------------------------------------------------------- */

static void dequant_q2_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 84) {
        const __m256 d     = half_at(src + 80);
        const __m256 least = half_at(src + 82);
        for (int part = 0; part < 16; part++, dst += 16) {
            const bytes  q     = src + 16 + fili_dequant_place(part, 32);
            const int    shift = 2 * (part / 2 % 4);
            const __m256 scale = times(d, src[part] & 15);
            const __m256 m     = times(least, src[part] >> 4);
            put_minus(dst, scale, cut(load8(q), shift, 3), m);
            put_minus(dst + 8, scale, cut(load8(q + 8), shift, 3), m);
        }
    }
}

static void dequant_q3_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 110) {
        const __m256 d = half_at(src + 108);
        for (int part = 0; part < 16; part++, dst += 16) {
            const bytes  q     = src + 32 + fili_dequant_place(part, 32);
            const bytes  high  = src + fili_dequant_place(part, 0);
            const int    shift = 2 * (part / 2 % 4);
            const __m256 scale = times(d, fili_dequant_scale3(src + 96, part));
            for (int i = 0; i < 16; i += 8)
                put(dst + i, scale,
                    minus(join(cut(load8(q + i), shift, 3), cut(load8(high + i), part / 2, 1), 2),
                          4));
        }
    }
}

static void dequant_q4_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 144) {
        const __m256 d     = half_at(src);
        const __m256 least = half_at(src + 2);
        for (int j = 0; j < 8; j++, dst += 32) {
            const bytes q = src + 16 + 32 * (size_t)(j / 2);
            int         scale;
            int         m;
            fili_dequant_scales(src + 4, j, &scale, &m);
            const __m256 ds = times(d, scale);
            const __m256 dm = times(least, m);
            for (int i = 0; i < 32; i += 8)
                put_minus(dst + i, ds, cut(load8(q + i), 4 * (j % 2), 15), dm);
        }
    }
}

static void dequant_q5_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 176) {
        const __m256 d     = half_at(src);
        const __m256 least = half_at(src + 2);
        for (int j = 0; j < 8; j++, dst += 32) {
            const bytes high = src + 16;
            const bytes q    = src + 48 + 32 * (size_t)(j / 2);
            int         scale;
            int         m;
            fili_dequant_scales(src + 4, j, &scale, &m);
            const __m256 ds = times(d, scale);
            const __m256 dm = times(least, m);
            for (int i = 0; i < 32; i += 8)
                put_minus(dst + i, ds,
                          join(cut(load8(q + i), 4 * (j % 2), 15), cut(load8(high + i), j, 1), 4),
                          dm);
        }
    }
}

static void dequant_q6_k(float *restrict dst, const unsigned char *restrict src, size_t blocks)
{
    for (size_t b = 0; b < blocks; b++, src += 210) {
        const __m256 d = half_at(src + 208);
        for (int part = 0; part < 16; part++, dst += 16) {
            const int    group = part / 2 % 4;
            const bytes  low   = src + fili_dequant_place(part, 64) + (group % 2 != 0 ? 32 : 0);
            const bytes  high  = src + 128 + fili_dequant_place(part, 32);
            const __m256 scale = times(d, (signed char)src[192 + part]);
            for (int i = 0; i < 16; i += 8)
                put(dst + i, scale,
                    minus(join(cut(load8(low + i), 4 * (group / 2), 15),
                               cut(load8(high + i), 2 * group, 3), 4),
                          32));
        }
    }
}

const fili_dequant_set fili_dequant_avx2 = {
    .type = {dequant_q4_0, dequant_q4_1, dequant_q5_0, dequant_q5_1, dequant_q8_0, dequant_q2_k,
             dequant_q3_k, dequant_q4_k, dequant_q5_k, dequant_q6_k}};
