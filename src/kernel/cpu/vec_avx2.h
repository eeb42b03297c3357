/* kernel/cpu/vec_avx2.h: the operations of vec_avx512.h on AVX2 and FMA: the same names and rules.
 *
 * Where AVX2 has no masked form (16-bit data), the last elements go one by one.
 */
#ifndef FILK_CPU_VEC_AVX2_H
#define FILK_CPU_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m256 vf;
typedef __m256 vm;

enum { VF_LANES = 8 };

INLINE __m256i vf_mask(int64_t n)
{
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n), lane);
}

INLINE vm vm_first(int64_t n)
{
    return _mm256_castsi256_ps(vf_mask(n));
}

INLINE vm vm_above(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_GT_OQ);
}

INLINE vm vm_or(vm a, vm b)
{
    return _mm256_or_ps(a, b);
}

INLINE int vm_any(vm m)
{
    return _mm256_movemask_ps(m) != 0;
}

INLINE vf vf_pick(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, m);
}

INLINE vf vf_set1(float x)
{
    return _mm256_set1_ps(x);
}

INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

INLINE vf vf_load_n(const float *p, int64_t n)
{
    return _mm256_maskload_ps(p, vf_mask(n));
}

INLINE void vf_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

INLINE void vf_store_n(float *p, int64_t n, vf v)
{
    _mm256_maskstore_ps(p, vf_mask(n), v);
}

INLINE vf vf_of_bf16(__m128i h)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

INLINE __m128i vf_to_bf16(vf v)
{
    const __m256i bits  = _mm256_castps_si256(v);
    const __m256i odd   = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i even  = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(32767)));
    const __m256i nan   = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
    const __m256i high  = _mm256_srli_epi32(_mm256_blendv_epi8(even, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
}

INLINE vf vf_load_bf16(const uint16_t *p)
{
    return vf_of_bf16(_mm_loadu_si128((const __m128i_u *)(const void *)p));
}

INLINE vf vf_load_bf16_n(const uint16_t *p, int64_t n)
{
    uint16_t h[VF_LANES] = {0};
    for (int64_t i = 0; i < n; i++)
        h[i] = p[i];
    return vf_load_bf16(h);
}

INLINE void vf_store_bf16(uint16_t *p, vf v)
{
    _mm_storeu_si128((__m128i_u *)(void *)p, vf_to_bf16(v));
}

INLINE void vf_store_bf16_n(uint16_t *p, int64_t n, vf v)
{
    uint16_t h[VF_LANES];
    vf_store_bf16(h, v);
    for (int64_t i = 0; i < n; i++)
        p[i] = h[i];
}

INLINE vf vf_first(vf v, int64_t n)
{
    return _mm256_and_ps(v, _mm256_castsi256_ps(vf_mask(n)));
}

INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

INLINE vf vf_fmaddsub(vf a, vf b, vf c)
{
    return _mm256_fmaddsub_ps(a, b, c);
}

INLINE vf vf_swap_pairs(vf v)
{
    return _mm256_permute_ps(v, 0xb1);
}

INLINE vf vf_load_twice(const float *p)
{
    const __m256i at = _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), at);
}

INLINE float vf_sum(vf v)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two  = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE vf vf_round(vf v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

/* Into [-limit, limit]; a NaN stays. */
INLINE vf vf_clamp(vf v, float limit)
{
    return _mm256_min_ps(vf_set1(limit), _mm256_max_ps(vf_set1(-limit), v));
}

/* In two halves, so that 2^n may lie outside the normal range; |n| <= 252. */
INLINE vf vf_scale(vf v, vf n)
{
    const __m256i i    = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(i, 1);
    const __m256i rest = _mm256_sub_epi32(i, half);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256i a    = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i b    = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    return v * _mm256_castsi256_ps(a) * _mm256_castsi256_ps(b);
}

#endif
