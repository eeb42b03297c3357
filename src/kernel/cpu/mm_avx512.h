/* kernel/cpu/mm_avx512.h: mm.h on AVX-512 F, BW, DQ and VL: a tile of 12 rows x 32 columns, two
 * panels.
 *
 * 24 sums, two columns and one broadcast take 27 of 32 registers; a step of 12 rows is 24 FMA and
 * 14 loads, where the core does 2 and 2 a cycle. On Intel's cores everything else on vectors of 512
 * bits takes a slot of an FMA, so the tile reads wide panels only: a narrow one, whose step is 16
 * bf16 in order, is widened once for all tiles of rows that meet it.
 */
#ifndef FILK_CPU_MM_AVX512_H
#define FILK_CPU_MM_AVX512_H

#include "kernel/cpu/transpose_avx512.h"
#include "kernel/cpu/vec_avx512.h"

enum { MM_ROWS = 12, MM_WIDENS = 1 };

INLINE void mm_columns(const char *const b[2], const int narrow, vf out[2])
{
    (void)narrow;
    out[0] = _mm512_load_ps(b[0]);
    out[1] = _mm512_load_ps(b[1]);
}

/* 16x16 of 32 bits. */
INLINE void mm_transpose(vf r[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i++)
        t[i] = _mm512_castps_si512(r[i]);
    transpose16(t);
    for (int i = 0; i < 16; i++)
        r[i] = _mm512_castsi512_ps(t[i]);
}

/* 2^n for the low bits of t, n and the bias of the exponent. */
INLINE vf mm_power(vf t)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(t), 23));
}

#include "kernel/cpu/mm.h"

/* A panel as the tile reads it: wide, in `room` if it was narrow. */
INLINE const char *mm_ready(const char *panel, const int narrow, int32_t steps, float *room)
{
    if (!narrow) return panel;
    for (int32_t i = 0; i < steps; i++)
        vf_store(room + i * MM_PANEL,
                 vf_load_bf16((const uint16_t *)(const void *)panel + i * MM_PANEL));
    return (const char *)room;
}

/* One step; its values are bf16 where it is narrow. */
INLINE void mm_put(vf step, const int narrow, char *to)
{
    if (narrow)
        _mm256_store_si256((__m256i *)(void *)to,
                           _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(step), 16)));
    else
        _mm512_store_ps(to, step);
}

/* MM_STEPS steps, `at` and on, of a panel whose 16 columns are these rows. */
INLINE void mm_pack_rows(const void *const row[MM_PANEL], const int bf16, const int narrow,
                         int32_t at, char *to)
{
    vf r[16];
    for (int i = 0; i < 16; i++)
        r[i] = mm_row(row[i], bf16, at);
    mm_transpose(r);
    for (int i = 0; i < 16; i++)
        mm_put(r[i], narrow, to + i * mm_step_bytes(narrow));
}

/* One step: elements at .. at + 16 of one row. */
INLINE void mm_pack_step(const void *row, const int bf16, const int narrow, int32_t at, char *to)
{
    mm_put(mm_row(row, bf16, at), narrow, to);
}

#endif
