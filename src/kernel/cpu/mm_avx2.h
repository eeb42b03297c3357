/* kernel/cpu/mm_avx2.h: what the AVX2 rows of attention, block mass and linear share: a register
 * tile of 6 rows x 16 columns on FMA, panels of 16 columns, transposes, and 2^x.
 *
 * A step of a panel is 16 columns at one depth. Wide: 16 f32. Narrow: 8 pairs of bf16, column i in
 * the low half of pair i and column i + 8 in the high half, so that one load, one shift and one
 * `and` widen all 16, on ports that FMA leaves free. Twelve sums, two columns and one broadcast
 * take 15 of 16 registers; a step of 6 rows is 12 FMA and 7 or 8 loads, where the core does 2 and
 * 2 (or more) a cycle. Method: the register blocking of Goto and van de Geijn 2008 and of BLIS.
 * Everything is inlined, with sizes that are constants there. No masks: callers pad.
 */
#ifndef FILK_CPU_MM_AVX2_H
#define FILK_CPU_MM_AVX2_H

#include "kernel/cpu/vec_avx2.h"

enum {
    MM_ROWS   = 6,
    MM_COLS   = 16,
    MM_WIDE   = MM_COLS * 4, /* bytes of a step */
    MM_NARROW = MM_COLS * 2,
    MM_SLACK  = 2
};

INLINE int32_t mm_step_bytes(int narrow)
{
    return narrow ? MM_NARROW : MM_WIDE;
}

/* ---- the tile ------------------------------------------------------------------------------- */

INLINE void mm_columns(const char *b, const int narrow, vf out[2])
{
    if (!narrow) {
        out[0] = _mm256_load_ps((const float *)(const void *)b);
        out[1] = _mm256_load_ps((const float *)(const void *)(b + MM_WIDE / 2));
        return;
    }
    const __m256i pairs = _mm256_load_si256((const __m256i *)(const void *)b);
    const __m256i high  = _mm256_set1_epi32((int32_t)0xffff0000u);
    out[0]              = _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16));
    out[1]              = _mm256_castsi256_ps(_mm256_and_si256(pairs, high));
}

INLINE void mm_clear(vf c[MM_ROWS][2], const int rows)
{
    for (int r = 0; r < rows; r++)
        c[r][0] = c[r][1] = _mm256_setzero_ps();
}

/* Rows of sums in memory lie `pitch` f32 apart. */
INLINE void mm_load(vf c[MM_ROWS][2], const int rows, const float *from, int64_t pitch)
{
    for (int r = 0; r < rows; r++) {
        c[r][0] = _mm256_load_ps(from + r * pitch);
        c[r][1] = _mm256_load_ps(from + r * pitch + 8);
    }
}

INLINE void mm_add(vf c[MM_ROWS][2], const int rows, const float *more, int64_t pitch)
{
    for (int r = 0; r < rows; r++) {
        c[r][0] = _mm256_add_ps(c[r][0], _mm256_load_ps(more + r * pitch));
        c[r][1] = _mm256_add_ps(c[r][1], _mm256_load_ps(more + r * pitch + 8));
    }
}

INLINE void mm_store(vf c[MM_ROWS][2], const int rows, float *to, int64_t pitch)
{
    for (int r = 0; r < rows; r++) {
        _mm256_store_ps(to + r * pitch, c[r][0]);
        _mm256_store_ps(to + r * pitch + 8, c[r][1]);
    }
}

/* Rows in tiles of 6, the last of 2, 4 or 6: more would be lost on padding, fewer on latency.
 * CALL(n) sees `row`. */
#define MM_EACH_TILE(rows, CALL)                                                                   \
    do {                                                                                           \
        int row = 0;                                                                               \
        for (; row + MM_ROWS <= (rows); row += MM_ROWS)                                            \
            CALL(6);                                                                               \
        if ((rows)-row > 4)                                                                        \
            CALL(6);                                                                               \
        else if ((rows)-row > 2)                                                                   \
            CALL(4);                                                                               \
        else if ((rows)-row > 0)                                                                   \
            CALL(2);                                                                               \
    } while (0)

/* c += a b over `depth` steps. Element (row, step) of a lies at a + row * row_pitch + step *
 * step_pitch; of row_pitch and step_pitch, both are constants where this is inlined. */
INLINE void mm_tile(vf c[MM_ROWS][2], const int rows, const float *a, const int row_pitch,
                    const int step_pitch, const char *b, const int narrow, int32_t depth)
{
#pragma GCC unroll 4
    for (int32_t i = 0; i < depth; i++) {
        vf col[2];
        mm_columns(b, narrow, col);
        for (int r = 0; r < rows; r++) {
            const vf x = _mm256_broadcast_ss(a + r * row_pitch);
            c[r][0]    = vf_fma(x, col[0], c[r][0]);
            c[r][1]    = vf_fma(x, col[1], c[r][1]);
        }
        a += step_pitch;
        b += mm_step_bytes(narrow);
    }
}

/* ---- packing -------------------------------------------------------------------------------- */

/* 8x8 of 32 bits. */
INLINE void mm_transpose8(__m256i r[8])
{
    __m256i t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i]     = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i]     = _mm256_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i]     = _mm256_permute2x128_si256(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2x128_si256(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++)
        r[i] = t[i];
}

/* Elements at .. at + 8 of a row as 32 bits each: f32, or widened bf16. NULL: zeros. */
INLINE __m256i mm_row8(const void *row, const int bf16, int32_t at)
{
    if (row == NULL) return _mm256_setzero_si256();
    if (bf16) return _mm256_castps_si256(vf_load_bf16((const uint16_t *)row + at));
    return _mm256_castps_si256(vf_load((const float *)row + at));
}

/* Two bf16 rows as pairs, the first in the low halves. */
INLINE __m256i mm_pair8(const void *low, const void *high, int32_t low_at, int32_t high_at)
{
    const __m256i a = mm_row8(low, 1, low_at);
    const __m256i b = mm_row8(high, 1, high_at);
    return _mm256_or_si256(_mm256_srli_epi32(a, 16), b);
}

/* Eight steps, `at` and on, of a panel whose 16 columns are these rows. */
INLINE void mm_pack_rows(const void *const row[MM_COLS], const int bf16, const int narrow,
                         int32_t at, char *to)
{
    __m256i r[8];
    for (int half = 0; half < (narrow ? 1 : 2); half++) {
        for (int i = 0; i < 8; i++)
            r[i] = narrow ? mm_pair8(row[i], row[i + 8], at, at)
                          : mm_row8(row[8 * half + i], bf16, at);
        mm_transpose8(r);
        for (int i = 0; i < 8; i++)
            _mm256_store_si256((__m256i *)(void *)(to + i * mm_step_bytes(narrow) + 32 * half),
                               r[i]);
    }
}

/* One step: elements at .. at + 16 of one row. */
INLINE void mm_pack_step(const void *row, const int bf16, const int narrow, int32_t at, char *to)
{
    if (narrow) {
        _mm256_store_si256((__m256i *)(void *)to, mm_pair8(row, row, at, at + 8));
        return;
    }
    _mm256_store_si256((__m256i *)(void *)to, mm_row8(row, bf16, at));
    _mm256_store_si256((__m256i *)(void *)(to + 32), mm_row8(row, bf16, at + 8));
}

/* Eight steps of six rows of a left factor as [step][6]: eight rows at a time are transposed, and
 * each store of 8 lanes is overwritten from its seventh on by the next, so `to` needs room for
 * MM_SLACK f32 more than it gets. */
INLINE void mm_pack_left(const void *const row[8], const int bf16, int32_t at, float *to)
{
    __m256i r[8];
    for (int i = 0; i < 8; i++)
        r[i] = mm_row8(row[i], bf16, at);
    mm_transpose8(r);
    for (int i = 0; i < 8; i++)
        vf_store(to + i * MM_ROWS, _mm256_castsi256_ps(r[i]));
}

/* ---- 2^x ------------------------------------------------------------------------------------ */

/* 2^x for x <= 126, relative error 2e-7; 0 for x < -126.5. n = round(x) by adding 1.5 * 2^23, with
 * the exponent's bias in it so that the sum's low bits are the exponent of 2^n; on [-1/2, 1/2] the
 * polynomial of degree 5 with 2^0 = 1 and the least relative error. NaN stays NaN (max returns its
 * second operand then). */
INLINE vf mm_exp2(vf x)
{
    const vf magic = vf_set1(12582912.0f + 127.0f);
    x              = _mm256_max_ps(vf_set1(-127.0f), x);
    const vf t     = _mm256_add_ps(x, magic);
    const vf f     = _mm256_sub_ps(x, _mm256_sub_ps(t, magic));
    vf       y     = vf_set1(1.3264735e-3f);
    y              = vf_fma(y, f, vf_set1(9.6715153e-3f));
    y              = vf_fma(y, f, vf_set1(5.5507338e-2f));
    y              = vf_fma(y, f, vf_set1(2.4022242e-1f));
    y              = vf_fma(y, f, vf_set1(6.9314698e-1f));
    y              = vf_fma(y, f, vf_set1(1.0f));
    const vf power = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t), 23));
    return _mm256_mul_ps(y, power);
}

#endif
