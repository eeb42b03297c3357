/* tensor/convert_avx2.c: conversion rows for AVX2 with F16C. Compiled with its own flags and called
 * only where the CPU has both. F16 uses vcvtph2ps and vcvtps2ph, whose NaN rule is that of
 * convert.h and which ignore flush-to-zero; the rest are the loops of convert_tmpl.c in vectors of
 * 256 bits.
 */
#include <immintrin.h>
#include <stdint.h>

#include "tensor/convert_sets.h"

enum { LANES = 8 };

static inline size_t wide_load_f16(unsigned char *dst, const unsigned char *src, size_t n)
{
    size_t i = 0;
    for (; n - i >= LANES; i += LANES) {
        const __m128i h = _mm_loadu_si128((const __m128i_u *)(const void *)(src + 2 * i));
        _mm256_storeu_ps((float *)(void *)(dst + 4 * i), _mm256_cvtph_ps(h));
    }
    return i;
}

static inline size_t wide_store_f16(unsigned char *dst, const unsigned char *src, size_t n)
{
    size_t i = 0;
    for (; n - i >= LANES; i += LANES) {
        const __m256  x = _mm256_loadu_ps((const float *)(const void *)(src + 4 * i));
        const __m128i h = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((__m128i_u *)(void *)(dst + 2 * i), h);
    }
    return i;
}

#define CONVERT_SET fili_convert_avx2
#include "tensor/convert_tmpl.c"
