/* kernel/cpu/attn_tile_amx.h: what attention and block mass on AMX share: the order of their work,
 * and 512 times 2^x.
 *
 * A unit is one tile of queries against one group of keys. Scores of a unit are products of tiles;
 * what becomes of them is vectors, and these are put between the products of the next unit, so that
 * the CPU overlaps both. Vectors are what bounds it (docs/design/attention_amx.md), so 2^x takes
 * what AVX-512 has: vreduceps gives f = x - floor(x), and vscalefps multiplies by 2^floor(x)
 * without asking for the floor. On [0, 1) the polynomial of degree 5 with 2^0 = 1, a first
 * coefficient of 1/512 and then the least relative error: 2.4e-7 with these coefficients in f32.
 * Times 512 it begins with f^5, and saves the copy that a fused product needs of its first
 * coefficient; sums of probabilities do not mind the factor. Included only by files compiled for
 * AVX512_BF16.
 */
#ifndef FILK_CPU_ATTN_TILE_AMX_H
#define FILK_CPU_ATTN_TILE_AMX_H

#include "kernel/cpu/attn_tile_avx512bf16.h"

#define TILE       16 /* rows of a tile; f32 of a row */
#define TILE_K     32 /* bf16 of a row */
#define TILE_BYTES 1024
#define MAX_D      128
#define EXP2_TIMES 512.0f

/* ---- 512 times 2^x -------------------------------------------------------------------------- */

/* Of x - floor(x). */
INLINE __m512 exp2_mantissa(__m512 x)
{
    const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512       y = _mm512_add_ps(f, _mm512_set1_ps(4.51809883f));
    y              = _mm512_fmadd_ps(y, f, _mm512_set1_ps(28.6441803f));
    y              = _mm512_fmadd_ps(y, f, _mm512_set1_ps(122.942551f));
    y              = _mm512_fmadd_ps(y, f, _mm512_set1_ps(354.895355f));
    return _mm512_fmadd_ps(y, f, _mm512_set1_ps(EXP2_TIMES));
}

/* Exact for whole x; 0 of -inf, inf of inf, NaN of NaN. */
INLINE __m512 exp2_16(__m512 x)
{
    return _mm512_scalef_ps(exp2_mantissa(x), x);
}

/* 0 in the lanes that are not in `live`, whatever they held. */
INLINE __m512 exp2_16_of(__mmask16 live, __m512 x)
{
    return _mm512_maskz_scalef_ps(live, exp2_mantissa(x), x);
}

/* ---- units ---------------------------------------------------------------------------------- */

typedef struct unit {
    int32_t group;
    int     tile;
} unit;

INLINE unit next_unit(unit u, int tiles)
{
    if (u.tile + 1 < tiles) return (unit){.group = u.group, .tile = u.tile + 1};
    return (unit){.group = u.group + 1, .tile = 0};
}

#endif
