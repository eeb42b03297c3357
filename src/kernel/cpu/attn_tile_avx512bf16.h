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

/* Four rows of a query block into their tile, from `d` to `d` + 31: pairs of elements change places
 * with rows. */
INLINE void pack_pairs(const uint16_t *const row[ROWS], int d, uint16_t *tile)
{
    const __m512i first  = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    __m512i       r[ROWS];
    for (int i = 0; i < ROWS; i++)
        r[i] = _mm512_loadu_si512(row[i] + d);
    const __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
    const __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), e = _mm512_unpackhi_epi32(r[2], r[3]);
    /* In 128 bits l of pair[i]: pair 4 l + i of the four rows. */
    const __m512i pair[4] = {_mm512_unpacklo_epi64(a, c), _mm512_unpackhi_epi64(a, c),
                             _mm512_unpacklo_epi64(b, e), _mm512_unpackhi_epi64(b, e)};
    for (int i = 0; i < 2; i++) {
        const __m512i to = i == 0 ? first : second;
        const __m512i x  = _mm512_permutex2var_epi64(pair[0], to, pair[1]);
        const __m512i y  = _mm512_permutex2var_epi64(pair[2], to, pair[3]);
        _mm512_store_si512(tile + (d + 16 * i) * ROWS, _mm512_shuffle_i32x4(x, y, 0x44));
        _mm512_store_si512(tile + (d + 16 * i + 8) * ROWS, _mm512_shuffle_i32x4(x, y, 0xee));
    }
}

/* Rows first to first + 3 of a query block of `rows` rows, whose row 0 is `token`; rows beyond it
 * repeat its last. */
INLINE void pack_queries(const filk_attn_view *q, int64_t token, int32_t head, int first, int rows,
                         const int D, uint16_t *tile)
{
    const uint16_t *row[ROWS];
    for (int i = 0; i < ROWS; i++)
        row[i] = filk_row_at(q, 2, token + (first + i < rows ? first + i : rows - 1), head);
    for (int d = 0; d < D; d += 32)
        pack_pairs(row, d, tile);
}

/* ---- scores --------------------------------------------------------------------------------- */

INLINE __m512bh pair(const uint16_t *p)
{
    int32_t bits;
    memcpy(&bits, p, sizeof bits);
    return (__m512bh)_mm512_set1_epi32(bits);
}

INLINE void clear_tile(__m512 s[ROWS][4])
{
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < 4; j++)
            s[r][j] = _mm512_setzero_ps();
}

/* The products of elements d and d + 1. */
INLINE void score_pair(const uint16_t *q, const char *const k[FILK_GROUP], int d, __m512 s[ROWS][4])
{
    __m512bh kj[4];
    for (int j = 0; j < 4; j++)
        kj[j] = (__m512bh)_mm512_load_si512(k[j] + d * 32);
    for (int r = 0; r < ROWS; r++) {
        const __m512bh qr = pair(q + d * ROWS + 2 * r);
        for (int j = 0; j < 4; j++)
            s[r][j] = _mm512_dpbf16_ps(s[r][j], qr, kj[j]);
    }
}

/* 2^(j/16), less j at bit 19. */
static const _Alignas(64) uint32_t exp2_sixteenths[16] = {
    0x3f800000u, 0x3f7daac3u, 0x3f7b95c2u, 0x3f79c3d3u, 0x3f7837f0u, 0x3f76f532u,
    0x3f75fed7u, 0x3f75583fu, 0x3f7504f3u, 0x3f7508a4u, 0x3f75672au, 0x3f76248cu,
    0x3f7744fdu, 0x3f78ccdfu, 0x3f7ac0c7u, 0x3f7d257du};

/* 2^x for x < 127, relative error 5.4e-7 from -126 on, absolute 1e-38 below; 2^0 is 1, and 2^x of
 * -127 and below 0. With k = round(16 x) and r = x - k/16 it is 2^(k/16) (1 + r (c1 + r c2)): the
 * power is an entry of a table, picked by the last 4 bits of k, to whose exponent the others are
 * added; c1 and c2 leave the least relative error, 4.3e-7. Only its three products need a port of
 * vdpbf16ps (Zen 5). NaN stays NaN (max returns its second operand then). */
INLINE __m512 exp2_512(__m512 x)
{
    const __m512  shift = _mm512_set1_ps(0x1.8p19f); /* its last bit is a sixteenth */
    const __m512  low   = _mm512_max_ps(_mm512_set1_ps(-127.0f), x);
    const __m512  moved = _mm512_add_ps(low, shift);
    const __m512  r     = _mm512_sub_ps(low, _mm512_sub_ps(moved, shift));
    const __m512i k     = _mm512_castps_si512(moved);
    const __m512i entry = _mm512_permutexvar_epi32(k, _mm512_load_si512(exp2_sixteenths));
    const __m512  power = _mm512_castsi512_ps(_mm512_add_epi32(entry, _mm512_slli_epi32(k, 19)));
    const __m512  c = _mm512_fmadd_ps(r, _mm512_set1_ps(0.24022643f), _mm512_set1_ps(0.6931877f));
    return _mm512_fmadd_ps(power, _mm512_mul_ps(r, c), power);
}

#endif
