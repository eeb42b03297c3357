/* kernel/cpu/vec_avx512.h: the few vector operations that the row templates need, on AVX-512.
 *
 * vec_avx2.h has the same names; a template (*_tmpl.c) is included after one of the two. Names
 * ending in _n take the first n lanes, 1 <= n < VF_LANES, read nothing behind them and give zeros
 * for the rest. bf16 is rounded to nearest even by integer steps, since vcvtneps2bf16 flushes
 * denormals. Sums have a fixed order.
 */
#ifndef FILK_CPU_VEC_AVX512_H
#define FILK_CPU_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m512    vf;
typedef __mmask16 vm; /* chosen lanes */

enum { VF_LANES = 16 };

INLINE __mmask16 vf_mask(int64_t n)
{
    return (__mmask16)((1u << n) - 1u);
}

/* The first n lanes; none for n <= 0, all for n >= VF_LANES. */
INLINE vm vm_first(int64_t n)
{
    return n <= 0 ? (vm)0 : n >= VF_LANES ? (vm)0xffff : vf_mask(n);
}

/* Where a > b; not where one of them is NaN. */
INLINE vm vm_above(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ);
}

INLINE vm vm_or(vm a, vm b)
{
    return (vm)(a | b);
}

INLINE int vm_any(vm m)
{
    return m != 0;
}

/* a in the chosen lanes, b in the others. */
INLINE vf vf_pick(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

INLINE vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}

INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

INLINE vf vf_load_n(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps(vf_mask(n), p);
}

INLINE void vf_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

INLINE void vf_store_n(float *p, int64_t n, vf v)
{
    _mm512_mask_storeu_ps(p, vf_mask(n), v);
}

INLINE vf vf_of_bf16(__m256i h)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

INLINE __m256i vf_to_bf16(vf v)
{
    const __m512i   bits  = _mm512_castps_si512(v);
    const __m512i   odd   = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i   even  = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(32767)));
    const __mmask16 nan   = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i   quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(even, nan, quiet), 16));
}

INLINE vf vf_load_bf16(const uint16_t *p)
{
    return vf_of_bf16(_mm256_loadu_si256((const __m256i_u *)(const void *)p));
}

INLINE vf vf_load_bf16_n(const uint16_t *p, int64_t n)
{
    return vf_of_bf16(_mm256_maskz_loadu_epi16(vf_mask(n), p));
}

INLINE void vf_store_bf16(uint16_t *p, vf v)
{
    _mm256_storeu_si256((__m256i_u *)(void *)p, vf_to_bf16(v));
}

INLINE void vf_store_bf16_n(uint16_t *p, int64_t n, vf v)
{
    _mm256_mask_storeu_epi16(p, vf_mask(n), vf_to_bf16(v));
}

/* Lanes from n on become 0. */
INLINE vf vf_first(vf v, int64_t n)
{
    return _mm512_maskz_mov_ps(vf_mask(n), v);
}

/* a b + c, and a b + c with the sign of c turned in even lanes. */
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

INLINE vf vf_fmaddsub(vf a, vf b, vf c)
{
    return _mm512_fmaddsub_ps(a, b, c);
}

INLINE vf vf_swap_pairs(vf v)
{
    return _mm512_permute_ps(v, 0xb1);
}

/* p[0] p[0] p[1] p[1] ... */
INLINE vf vf_load_twice(const float *p)
{
    const __m512i at = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    return _mm512_permutexvar_ps(at, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}

INLINE float vf_sum(vf v)
{
    return _mm512_reduce_add_ps(v);
}

INLINE vf vf_round(vf v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* The larger; b if one of them is NaN. */
INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

/* Into [-limit, limit]; a NaN stays. */
INLINE vf vf_clamp(vf v, float limit)
{
    return _mm512_min_ps(vf_set1(limit), _mm512_max_ps(vf_set1(-limit), v));
}

/* v 2^n for whole n. */
INLINE vf vf_scale(vf v, vf n)
{
    return _mm512_scalef_ps(v, n);
}

#endif
