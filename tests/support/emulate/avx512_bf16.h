/* support/emulate/avx512_bf16.h: AVX512_BF16 as Intel describes it: whatever MXCSR says, to
 * nearest, and denormals are zero, in and out.
 *
 * vdpbf16ps adds the odd product of a pair first, then the even one, each fused. That a CPU rounds
 * like this inside is the manual's word, not measured.
 */
#ifndef TESTS_EMULATE_AVX512_BF16_H
#define TESTS_EMULATE_AVX512_BF16_H

typedef union emulate_bf16 {
    __m512   f;
    __m512i  i;
    __m512bh h;
    __m256   half[2];
    __m256i  ihalf[2];
} emulate_bf16;

/* f32: a number without an exponent becomes a zero of its sign. */
EMULATE __m256 emulate_no_denormals(__m256 x)
{
    const __m256i bits  = _mm256_castps_si256(x);
    const __m256i power = _mm256_and_si256(bits, _mm256_set1_epi32(0x7f800000));
    const __m256i small = _mm256_cmpeq_epi32(power, _mm256_setzero_si256());
    const __m256i rest  = _mm256_srli_epi32(small, 1); /* all but the sign */
    return _mm256_castsi256_ps(_mm256_andnot_si256(rest, bits));
}

/* The same of bf16. */
EMULATE __m256i emulate_no_denormals16(__m256i x)
{
    const __m256i power = _mm256_and_si256(x, _mm256_set1_epi16(0x7f80));
    const __m256i small = _mm256_cmpeq_epi16(power, _mm256_setzero_si256());
    return _mm256_andnot_si256(_mm256_srli_epi16(small, 1), x);
}

EMULATE __m256 emulate_even(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
}

EMULATE __m256 emulate_odd(__m256i pairs)
{
    return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32((int)0xffff0000u)));
}

EMULATE __m512 emulate_dpbf16_ps(__m512 c, __m512bh a, __m512bh b)
{
    emulate_bf16       vc = {.f = c};
    const emulate_bf16 va = {.h = a};
    const emulate_bf16 vb = {.h = b};
    for (int i = 0; i < 2; i++) {
        const __m256i ai = emulate_no_denormals16(va.ihalf[i]);
        const __m256i bi = emulate_no_denormals16(vb.ihalf[i]);
        __m256        s  = emulate_no_denormals(vc.half[i]);
        s                = _mm256_fmadd_ps(emulate_odd(ai), emulate_odd(bi), s);
        s          = _mm256_fmadd_ps(emulate_even(ai), emulate_even(bi), emulate_no_denormals(s));
        vc.half[i] = emulate_no_denormals(s);
    }
    return vc.f;
}
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps(c, a, b) emulate_dpbf16_ps(c, a, b)

/* 8 f32 to bf16, each in the lower half of 32 bits; a NaN becomes quiet. */
EMULATE __m256i emulate_round_bf16(__m256 x)
{
    const __m256i bits  = _mm256_castps_si256(emulate_no_denormals(x));
    const __m256i odd   = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i even  = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
    const __m256i nan   = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(even, quiet, nan), 16);
}

EMULATE __m256i emulate_16_bf16(__m512 x)
{
    const emulate_bf16 v = {.f = x};
    const __m256i      packed =
        _mm256_packus_epi32(emulate_round_bf16(v.half[0]), emulate_round_bf16(v.half[1]));
    return _mm256_permute4x64_epi64(packed, 0xd8);
}

EMULATE __m256bh emulate_cvtneps_pbh(__m512 x)
{
    return (__m256bh)emulate_16_bf16(x);
}
#undef _mm512_cvtneps_pbh
#define _mm512_cvtneps_pbh(x) emulate_cvtneps_pbh(x)

/* b in the lower half. */
EMULATE __m512bh emulate_cvtne2ps_pbh(__m512 a, __m512 b)
{
    emulate_bf16 v;
    v.ihalf[0] = emulate_16_bf16(b);
    v.ihalf[1] = emulate_16_bf16(a);
    return v.h;
}
#undef _mm512_cvtne2ps_pbh
#define _mm512_cvtne2ps_pbh(a, b) emulate_cvtne2ps_pbh(a, b)

#endif
