/* kernel/cpu/mm_avx2.h: mm.h on AVX2 and FMA: a tile of 6 rows x 16 columns, one panel.
 *
 * A narrow step is 8 pairs of bf16, column i in the low half of pair i and column i + 8 in the high
 * half, so that one load, one shift and one `and` widen all 16, on ports that FMA leaves free.
 * Twelve sums, two columns and one broadcast take 15 of 16 registers; a step of 6 rows is 12 FMA
 * and 7 or 8 loads, where the core does 2 and 2 (or more) a cycle.
 */
#ifndef FILK_CPU_MM_AVX2_H
#define FILK_CPU_MM_AVX2_H

#include "kernel/cpu/vec_avx2.h"

enum { MM_ROWS = 6, MM_WIDENS = 0 };

INLINE void mm_columns(const char *const b[1], const int narrow, vf out[2])
{
    if (!narrow) {
        out[0] = _mm256_load_ps((const float *)(const void *)b[0]);
        out[1] = _mm256_load_ps((const float *)(const void *)(b[0] + 32));
        return;
    }
    const __m256i pairs = _mm256_load_si256((const __m256i *)(const void *)b[0]);
    const __m256i high  = _mm256_set1_epi32((int32_t)0xffff0000u);
    out[0]              = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
    out[1]              = _mm256_castsi256_ps(_mm256_and_si256(pairs, high));
}

/* 8x8 of 32 bits. */
INLINE void mm_transpose(vf r[8])
{
    __m256d t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i]     = _mm256_castps_pd(_mm256_unpacklo_ps(r[i], r[i + 1]));
        t[i + 1] = _mm256_castps_pd(_mm256_unpackhi_ps(r[i], r[i + 1]));
    }
    for (int i = 0; i < 8; i += 4) {
        r[i]     = _mm256_castpd_ps(_mm256_unpacklo_pd(t[i], t[i + 2]));
        r[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(t[i], t[i + 2]));
        r[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(t[i + 1], t[i + 3]));
        r[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(t[i + 1], t[i + 3]));
    }
    for (int i = 0; i < 4; i++) {
        const vf low  = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        const vf high = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
        r[i]          = low;
        r[i + 4]      = high;
    }
}

/* 2^n for the low bits of t, n and the bias of the exponent. */
INLINE vf mm_power(vf t)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t), 23));
}

#include "kernel/cpu/mm.h"

/* The tile reads narrow panels as they are. */
INLINE const char *mm_ready(const char *panel, const int narrow, int32_t steps, float *room)
{
    (void)narrow;
    (void)steps;
    (void)room;
    return panel;
}

/* Widened bf16 as pairs, the first in the low halves. */
INLINE vf mm_pair(vf low, vf high)
{
    return _mm256_or_ps(_mm256_castsi256_ps(_mm256_srli_epi32(_mm256_castps_si256(low), 16)), high);
}

/* MM_STEPS steps, `at` and on, of a panel whose 16 columns are these rows. */
INLINE void mm_pack_rows(const void *const row[MM_PANEL], const int bf16, const int narrow,
                         int32_t at, char *to)
{
    vf r[8];
    for (int half = 0; half < (narrow ? 1 : 2); half++) {
        for (int i = 0; i < 8; i++)
            r[i] = narrow ? mm_pair(mm_row(row[i], 1, at), mm_row(row[i + 8], 1, at))
                          : mm_row(row[8 * half + i], bf16, at);
        mm_transpose(r);
        for (int i = 0; i < 8; i++)
            vf_store((float *)(void *)(to + i * mm_step_bytes(narrow) + 32 * half), r[i]);
    }
}

/* One step: elements at .. at + 16 of one row. */
INLINE void mm_pack_step(const void *row, const int bf16, const int narrow, int32_t at, char *to)
{
    const vf low  = mm_row(row, bf16, at);
    const vf high = mm_row(row, bf16, at + 8);
    vf_store((float *)(void *)to, narrow ? mm_pair(low, high) : low);
    if (!narrow) vf_store((float *)(void *)(to + 32), high);
}

#endif
