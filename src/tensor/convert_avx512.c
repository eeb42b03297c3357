/* tensor/convert_avx512.c: conversion rows for AVX-512 (F, BW, DQ, VL). Compiled with its own flags
 * and called only where the CPU has them. F16 uses the 512-bit vcvtph2ps and vcvtps2ph; the rest
 * are the loops of convert_tmpl.c. AVX512_BF16's own conversion is not used: it flushes subnormals.
 */
#include <immintrin.h>
#include <stdint.h>

#include "tensor/convert_sets.h"

enum { LANES = 16 };

static inline size_t wide_load_f16(unsigned char *dst, const unsigned char *src, size_t n)
{
    size_t i = 0;
    for (; n - i >= LANES; i += LANES) {
        const __m256i h = _mm256_loadu_si256((const __m256i_u *)(const void *)(src + 2 * i));
        _mm512_storeu_ps((void *)(dst + 4 * i), _mm512_cvtph_ps(h));
    }
    return i;
}

static inline size_t wide_store_f16(unsigned char *dst, const unsigned char *src, size_t n)
{
    size_t i = 0;
    for (; n - i >= LANES; i += LANES) {
        const __m512  x = _mm512_loadu_ps((const void *)(src + 4 * i));
        const __m256i h = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT);
        _mm256_storeu_si256((__m256i_u *)(void *)(dst + 2 * i), h);
    }
    return i;
}

#define CONVERT_SET fili_convert_avx512
#include "tensor/convert_tmpl.c"
