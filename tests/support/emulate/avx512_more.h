/* support/emulate/avx512_more.h: intrinsics of AVX-512 that SIMDe 0.7.4 lacks, in pairs of AVX2's.
 *
 * Also vscalefps, which SIMDe multiplies by an approximate power, and faults of misaligned
 * addresses. Masked loads and stores touch the lanes of the mask alone, as the CPU's do.
 */
#ifndef TESTS_EMULATE_AVX512_MORE_H
#define TESTS_EMULATE_AVX512_MORE_H

#include <stdint.h>
#include <string.h>

/* What a kernel has a hundred times, and what would take the compiler minutes in line. */
#define EMULATE_APART static __attribute__((noinline, unused))

typedef union emulate_512 {
    __m512   f;
    __m512i  i;
    __m256   half[2];
    __m256i  ihalf[2];
    __m128   part[4];
    float    f32[16];
    uint16_t u16[32];
} emulate_512;

typedef int16_t  emulate_i16x16 __attribute__((vector_size(32)));
typedef int32_t  emulate_i32x16 __attribute__((vector_size(64)));
typedef uint16_t emulate_u16x16 __attribute__((vector_size(32)));
typedef uint32_t emulate_u32x16 __attribute__((vector_size(64)));

/* ---- aligned loads and stores --------------------------------------------------------------- */

/* As the CPU's: a fault unless the address is a multiple of 64. SIMDe takes any address. */
EMULATE void *emulate_aligned(const void *p)
{
    const uintptr_t at = (uintptr_t)p;
    if (at % 64 != 0) __builtin_trap();
    return (void *)at;
}
#undef _mm512_load_ps
#undef _mm512_load_si512
#undef _mm512_store_ps
#undef _mm512_store_si512
#define _mm512_load_ps(from)      _mm512_loadu_ps(emulate_aligned(from))
#define _mm512_load_si512(from)   _mm512_loadu_si512(emulate_aligned(from))
#define _mm512_store_ps(to, x)    _mm512_storeu_ps(emulate_aligned(to), x)
#define _mm512_store_si512(to, x) _mm512_storeu_si512(emulate_aligned(to), x)

/* ---- masked loads and stores ---------------------------------------------------------------- */

EMULATE __m512 emulate_maskz_loadu_ps(__mmask16 mask, const void *from)
{
    emulate_512 v = {.f = {0}};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy(&v.f32[i], (const char *)from + 4 * i, 4);
    return v.f;
}
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps(mask, from) emulate_maskz_loadu_ps(mask, from)

EMULATE void emulate_mask_storeu_ps(void *to, __mmask16 mask, __m512 x)
{
    const emulate_512 v = {.f = x};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy((char *)to + 4 * i, &v.f32[i], 4);
}
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps(to, mask, x) emulate_mask_storeu_ps(to, mask, x)

EMULATE __m256i emulate_maskz_loadu_epi16(__mmask16 mask, const void *from)
{
    emulate_512 v = {.f = {0}};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy(&v.u16[i], (const char *)from + 2 * i, 2);
    return v.ihalf[0];
}
#undef _mm256_maskz_loadu_epi16
#define _mm256_maskz_loadu_epi16(mask, from) emulate_maskz_loadu_epi16(mask, from)

EMULATE __m512i emulate_maskz_loadu_epi16_512(__mmask32 mask, const void *from)
{
    emulate_512 v = {.f = {0}};
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) memcpy(&v.u16[i], (const char *)from + 2 * i, 2);
    return v.i;
}
#undef _mm512_maskz_loadu_epi16
#define _mm512_maskz_loadu_epi16(mask, from) emulate_maskz_loadu_epi16_512(mask, from)

EMULATE void emulate_mask_storeu_epi16(void *to, __mmask16 mask, __m256i x)
{
    emulate_512 v;
    v.ihalf[0] = x;
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy((char *)to + 2 * i, &v.u16[i], 2);
}
#undef _mm256_mask_storeu_epi16
#define _mm256_mask_storeu_epi16(to, mask, x) emulate_mask_storeu_epi16(to, mask, x)

/* ---- conversions ---------------------------------------------------------------------------- */

EMULATE __m512i emulate_cvtepu16_epi32(__m256i x)
{
    return (__m512i) __builtin_convertvector((emulate_u16x16)x, emulate_u32x16);
}
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32(x) emulate_cvtepu16_epi32(x)

EMULATE __m256i emulate_cvtepi32_epi16(__m512i x)
{
    return (__m256i) __builtin_convertvector((emulate_i32x16)x, emulate_i16x16);
}
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16(x) emulate_cvtepi32_epi16(x)

EMULATE __m512 emulate_cvtepi32_ps(__m512i x)
{
    const emulate_512 v = {.i = x};
    return (emulate_512){.half = {_mm256_cvtepi32_ps(v.ihalf[0]), _mm256_cvtepi32_ps(v.ihalf[1])}}
        .f;
}
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps(x) emulate_cvtepi32_ps(x)

EMULATE __m512i emulate_srai_epi32(__m512i x, int bits)
{
    const emulate_512 v = {.i = x};
    return (emulate_512){
        .ihalf = {_mm256_srai_epi32(v.ihalf[0], bits), _mm256_srai_epi32(v.ihalf[1], bits)}}
        .i;
}
#undef _mm512_srai_epi32
#define _mm512_srai_epi32(x, bits) emulate_srai_epi32(x, bits)

EMULATE __m512 emulate_cvtph_ps(__m256i x)
{
    emulate_512 v;
    v.half[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(x));
    v.half[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1));
    return v.f;
}
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps(x) emulate_cvtph_ps(x)

#define emulate_cvtps_ph(x, rounding)                                                              \
    __extension__({                                                                                \
        const emulate_512 emulate_x = {.f = (x)};                                                  \
        _mm256_set_m128i(_mm256_cvtps_ph(emulate_x.half[1], rounding),                             \
                         _mm256_cvtps_ph(emulate_x.half[0], rounding));                            \
    })
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(x, rounding) emulate_cvtps_ph(x, rounding)

/* ---- arithmetic ----------------------------------------------------------------------------- */

EMULATE __m512 emulate_fmaddsub_ps(__m512 a, __m512 b, __m512 c)
{
    const emulate_512 va = {.f = a};
    const emulate_512 vb = {.f = b};
    emulate_512       vc = {.f = c};
    for (int i = 0; i < 2; i++)
        vc.half[i] = _mm256_fmaddsub_ps(va.half[i], vb.half[i], vc.half[i]);
    return vc.f;
}
#undef _mm512_fmaddsub_ps
#define _mm512_fmaddsub_ps(a, b, c) emulate_fmaddsub_ps(a, b, c)

/* a 2^floor(b), rounded once: exact as a double, then an f32. */
EMULATE float emulate_scale(float a, float b)
{
    if (b != b) return a + b;
    if (__builtin_isinf(b)) return a * (b > 0.0f ? b : 0.0f);
    const float    limit = 600.0f; /* beyond it every f32 is 0 or infinite */
    const float    whole = __builtin_floorf(b > limit ? limit : b < -limit ? -limit : b);
    double         power;
    const uint64_t bits = (uint64_t)((int64_t)whole + 1023) << 52;
    memcpy(&power, &bits, sizeof power);
    return (float)((double)a * power);
}

EMULATE_APART __m512 emulate_scalef_ps(__m512 a, __m512 b)
{
    emulate_512       va = {.f = a};
    const emulate_512 vb = {.f = b};
    for (int i = 0; i < 16; i++)
        va.f32[i] = emulate_scale(va.f32[i], vb.f32[i]);
    return va.f;
}
#undef _mm512_scalef_ps
#define _mm512_scalef_ps(a, b) emulate_scalef_ps(a, b)

EMULATE_APART __m512 emulate_maskz_scalef_ps(__mmask16 mask, __m512 a, __m512 b)
{
    emulate_512 v = {.f = emulate_scalef_ps(a, b)};
    for (int i = 0; i < 16; i++)
        if (!(mask >> i & 1)) v.f32[i] = 0.0f;
    return v.f;
}
#undef _mm512_maskz_scalef_ps
#define _mm512_maskz_scalef_ps(mask, a, b) emulate_maskz_scalef_ps(mask, a, b)

/* x - floor(x), which is all of vreduceps that is used: another step or rounding does not compile.
 * Zero of an infinity. */
EMULATE_APART __m512 emulate_reduce_ps(__m512 x)
{
    emulate_512  v       = {.f = x};
    const __m256 endless = _mm256_set1_ps(__builtin_inff());
    for (int i = 0; i < 2; i++) {
        const __m256 size  = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v.half[i]);
        const __m256 whole = _mm256_cmp_ps(size, endless, _CMP_EQ_OQ);
        const __m256 rest  = _mm256_sub_ps(v.half[i], _mm256_floor_ps(v.half[i]));
        v.half[i]          = _mm256_andnot_ps(whole, rest);
    }
    return v.f;
}
#undef _mm512_reduce_ps
#define _mm512_reduce_ps(x, how)                                                                   \
    __extension__({                                                                                \
        _Static_assert((how) == (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC), "floor alone");       \
        emulate_reduce_ps(x);                                                                      \
    })

/* Halves, quarters, pairs, singles, as compilers do it. */
#define EMULATE_REDUCE(name, op)                                                                   \
    EMULATE float name(__m512 x)                                                                   \
    {                                                                                              \
        const emulate_512 v     = {.f = x};                                                        \
        const __m256      eight = _mm256_##op##_ps(v.half[1], v.half[0]);                          \
        const __m128      four =                                                                   \
            _mm_##op##_ps(_mm256_extractf128_ps(eight, 1), _mm256_castps256_ps128(eight));         \
        const __m128 two = _mm_##op##_ps(four, _mm_shuffle_ps(four, four, 0x4e));                  \
        return _mm_cvtss_f32(_mm_##op##_ss(two, _mm_shuffle_ps(two, two, 0xb1)));                  \
    }
EMULATE_REDUCE(emulate_reduce_add_ps, add)
EMULATE_REDUCE(emulate_reduce_max_ps, max)
#undef _mm512_reduce_add_ps
#undef _mm512_reduce_max_ps
#define _mm512_reduce_add_ps(x) emulate_reduce_add_ps(x)
#define _mm512_reduce_max_ps(x) emulate_reduce_max_ps(x)

/* ---- moving lanes --------------------------------------------------------------------------- */

#define emulate_permute_ps(x, order)                                                               \
    __extension__({                                                                                \
        emulate_512 emulate_x = {.f = (x)};                                                        \
        emulate_x.half[0]     = _mm256_permute_ps(emulate_x.half[0], order);                       \
        emulate_x.half[1]     = _mm256_permute_ps(emulate_x.half[1], order);                       \
        emulate_x.f;                                                                               \
    })
#undef _mm512_permute_ps
#define _mm512_permute_ps(x, order) emulate_permute_ps(x, order)

EMULATE __m512 emulate_shuffle_f32x4(__m512 a, __m512 b, int order)
{
    const emulate_512 va = {.f = a};
    const emulate_512 vb = {.f = b};
    emulate_512       to;
    for (int i = 0; i < 4; i++)
        to.part[i] = (i < 2 ? va : vb).part[order >> 2 * i & 3];
    return to.f;
}
#undef _mm512_shuffle_f32x4
#define _mm512_shuffle_f32x4(a, b, order) emulate_shuffle_f32x4(a, b, order)

EMULATE __m256 emulate_extractf32x8_ps(__m512 x, int at)
{
    const emulate_512 v = {.f = x};
    return v.half[at & 1];
}
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps(x, at) emulate_extractf32x8_ps(x, at)

#endif
