/* kernel/cpu/attn_tile_avx512bf16.h: what the rows on vdpbf16ps share: packing of K, the score tile
 * of 4 rows x 64 keys, and 2^x.
 *
 * K panel: [d/2][16 keys][2], so that one 64-byte load meets one broadcast pair of q. Q tile:
 * [d/2][4 rows][2]. All of it is inlined into the kernels: head_dim is a constant there, and the 16
 * accumulators stay in registers. Included only by files compiled for AVX512_BF16.
 */
#ifndef FILK_CPU_ATTN_TILE_AVX512BF16_H
#define FILK_CPU_ATTN_TILE_AVX512BF16_H

#include <immintrin.h>
#include <string.h>

#include "kernel/cpu/attn_panels.h"
#include "kernel/cpu/transpose_avx512.h"

#define ROWS   4  /* of a register tile */
#define KEYS   64 /* of a group of FILK_GROUP panels */

#define INLINE static inline __attribute__((always_inline))

/* ---- packing -------------------------------------------------------------------------------- */

INLINE size_t panel_bytes_of(int32_t head_dim)
{
    return (size_t)head_dim * FILK_PANEL * 2;
}

INLINE __m512i load_row(const void *row, int32_t at)
{
    return row != NULL ? _mm512_loadu_si512((const char *)row + at) : _mm512_setzero_si512();
}

/* 16 keys; a NULL row stands for zeros. */
INLINE void pack_keys(const void *const k[FILK_PANEL], int32_t head_dim, char *panel)
{
    for (int32_t d = 0; d < head_dim; d += 32) {
        __m512i r[16];
        for (int i = 0; i < 16; i++)
            r[i] = load_row(k[i], d * 2);
        transpose16(r);
        for (int i = 0; i < 16; i++)
            _mm512_store_si512(panel + (d / 2 + i) * 64, r[i]);
    }
}

/* Row r of a query block into its tile. */
INLINE void pack_query(const uint16_t *from, uint16_t *q, int r, const int D)
{
    uint16_t *to = q + r / ROWS * ROWS * D + r % ROWS * 2;
    for (int d = 0; d < D; d += 2)
        memcpy(to + d * ROWS, from + d, 4);
}

/* ---- scores --------------------------------------------------------------------------------- */

INLINE __m512bh pair(const uint16_t *p)
{
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    return (__m512bh)_mm512_set1_epi32(bits);
}

INLINE void score_tile(const uint16_t *q, const char *const k[FILK_GROUP], const int D,
                       __m512 s[ROWS][4])
{
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < 4; j++)
            s[r][j] = _mm512_setzero_ps();
    for (int d = 0; d < D; d += 2) {
        __m512bh kj[4];
        for (int j = 0; j < 4; j++)
            kj[j] = (__m512bh)_mm512_load_si512(k[j] + d * 32);
        for (int r = 0; r < ROWS; r++) {
            const __m512bh qr = pair(q + d * ROWS + 2 * r);
            for (int j = 0; j < 4; j++)
                s[r][j] = _mm512_dpbf16_ps(s[r][j], qr, kj[j]);
        }
    }
}

/* 2^x for x <= GROWTH, relative error 2e-7: n = round(x), and on [-1/2, 1/2] the polynomial of
 * degree 5 with 2^0 = 1 and the least relative error, 1.1e-7 with these coefficients in f32.
 * NaN stays NaN (max returns its second operand then). */
INLINE __m512 exp2_512(__m512 x)
{
    x              = _mm512_max_ps(_mm512_set1_ps(-160.0f), x);
    const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(x, n);
    __m512       y = _mm512_set1_ps(1.3264735e-3f);
    y              = _mm512_fmadd_ps(y, f, _mm512_set1_ps(9.6715153e-3f));
    y              = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.5507338e-2f));
    y              = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.4022242e-1f));
    y              = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.9314698e-1f));
    y              = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(y, n);
}

#endif
