/* kernel/cpu/attn_softmax_amx.h: the probabilities of attn_fwd_amx.c, row by row.
 *
 * A unit is 16 queries against a group of 64 keys. Its scores become P = exp2(S - m), row-major
 * bf16 in tiles of 32 keys, and sums, in rows of 64 keys that the caller puts between products of
 * tiles. The row maximum m is lazy, as in attn_fwd_avx512bf16.c, but nothing looks for it: that p
 * exceed LIMIT shows in their sum, which is needed anyway. The first m of a row is its maximum over
 * the first group. Every p carries the factor EXP2_TIMES (attn_tile_amx.h), and so do O and the
 * sums.
 */
#ifndef FILK_CPU_ATTN_SOFTMAX_AMX_H
#define FILK_CPU_ATTN_SOFTMAX_AMX_H

#include <float.h>
#include <math.h>

#include "kernel/cpu/attn_tile_amx.h"

#define TRIP  4                     /* groups per round trip of O */
#define PAIRS 2                     /* of panels in a group: 32 keys */
#define LIMIT (256.0f * EXP2_TIMES) /* of the sum of four p */
#define AHEAD 2                     /* streams that are fetched into the L2 cache */

/* 16 queries and all that they have so far. */
typedef struct query_tile {
    _Alignas(64) float o[MAX_D / TILE][TILE][TILE];
    _Alignas(64) uint16_t q[MAX_D / TILE_K][TILE][TILE_K];
    _Alignas(64) uint16_t p[TRIP * PAIRS][TILE][TILE_K]; /* of this trip */
    _Alignas(64) float sum[TILE][TILE];
    _Alignas(64) float max[TILE]; /* log2 units */
} query_tile;

/* Scores on their way to P. */
typedef struct softmax {
    query_tile  *t;
    const float *s;    /* [4 panels][16 queries][16 keys] */
    const float *bias; /* [4 panels][16 keys], log2 units, -inf = no key; NULL = none */
    uint16_t    *p;    /* [2][16 queries][32 keys] of t->p */
    const char  *ahead[AHEAD];
    __m512       scale;            /* to log2 units */
    __mmask16    live[FILK_GROUP]; /* lanes with a key, where there is a bias */
    int          done;             /* tiles of t->p before p */
    int          strips;           /* of 16 d in O; 0 = nothing is in O yet */
    /* The same in memory: what is only here can be kept in registers. */
    const struct softmax *self;
} softmax;

/* Row r in log2 units, rounded once: the maximum is one of these values, so that equal scores give
 * the same power whatever their size. */
INLINE __m512 score(const softmax *x, int r, int panel, const int biased)
{
    const __m512 s = _mm512_mul_ps(_mm512_load_ps(x->s + (panel * TILE + r) * TILE), x->scale);
    return biased ? _mm512_add_ps(s, _mm512_loadu_ps(x->bias + panel * TILE)) : s;
}

INLINE void probabilities(const softmax *x, int r, const int biased, __m512 p[FILK_GROUP])
{
    const __m512 max = _mm512_set1_ps(x->t->max[r]);
    for (int j = 0; j < FILK_GROUP; j++) {
        const __m512 below = _mm512_sub_ps(score(x, r, j, biased), max);
        p[j]               = biased ? exp2_16_of(x->live[j], below) : exp2_16(below);
    }
}

INLINE __m512 sum_of(const __m512 p[FILK_GROUP])
{
    return _mm512_add_ps(_mm512_add_ps(p[0], p[1]), _mm512_add_ps(p[2], p[3]));
}

INLINE void keep_row(const softmax *x, int r, const __m512 p[FILK_GROUP], __m512 sum)
{
    uint16_t *to = x->p + r * TILE_K;
    _mm512_store_ps(x->t->sum[r], _mm512_add_ps(_mm512_load_ps(x->t->sum[r]), sum));
    _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(p[1], p[0]));
    _mm512_store_si512(to + TILE * TILE_K, (__m512i)_mm512_cvtne2ps_pbh(p[3], p[2]));
}

/* ---- moving the maximum --------------------------------------------------------------------- */

/* The largest score of row r, -inf if it has none; NaN do not count. */
static float top_of(const softmax *x, int r)
{
    const __m512 nothing = _mm512_set1_ps(-INFINITY);
    __m512       top     = nothing;
    for (int j = 0; j < FILK_GROUP; j++) {
        __m512 s = score(x, r, j, x->bias != NULL);
        if (x->bias != NULL) s = _mm512_mask_mov_ps(nothing, x->live[j], s);
        top = _mm512_max_ps(s, top);
    }
    return _mm512_reduce_max_ps(top);
}

/* Scales what row r has so far to a new maximum. */
static void move_max(const softmax *x, int r, float to)
{
    query_tile  *t      = x->t;
    const __m512 power  = exp2_16(_mm512_set1_ps(t->max[r] - to));
    const __m512 factor = _mm512_mul_ps(power, _mm512_set1_ps(1.0f / EXP2_TIMES));
    t->max[r]           = to;
    _mm512_store_ps(t->sum[r], _mm512_mul_ps(_mm512_load_ps(t->sum[r]), factor));
    for (int i = 0; i < x->strips; i++)
        _mm512_store_ps(t->o[i][r], _mm512_mul_ps(_mm512_load_ps(t->o[i][r]), factor));
    for (int i = 0; i < 2 * x->done; i++) {
        __m256i      *p = (__m256i *)(t->p[i / 2][r] + i % 2 * TILE);
        const __m512i b = _mm512_cvtepu16_epi32(_mm256_load_si256(p));
        const __m512  y = _mm512_castsi512_ps(_mm512_slli_epi32(b, 16));
        _mm256_store_si256(p, (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(y, factor)));
    }
}

/* A sum of row r is above LIMIT: begins the row again. */
static __attribute__((noinline, cold)) void raise_row(const softmax *x, int r)
{
    __m512      p[FILK_GROUP];
    const float top = top_of(x, r);
    if (top > x->t->max[r]) move_max(x, r, top);
    if (x->bias != NULL)
        probabilities(x, r, 1, p);
    else
        probabilities(x, r, 0, p);
    keep_row(x, r, p, sum_of(p));
}

/* ---- the usual way -------------------------------------------------------------------------- */

/* Before the first group of keys. */
static void first_max(const softmax *x)
{
    for (int r = 0; r < TILE; r++) {
        const float top = top_of(x, r);
        x->t->max[r]    = top > -FLT_MAX ? top : -FLT_MAX;
    }
}

INLINE void softmax_row(const softmax *x, int r, const int biased)
{
    __m512 p[FILK_GROUP];
    probabilities(x, r, biased, p);
    const __m512 sum = sum_of(p);
    if (__builtin_expect(_mm512_cmp_ps_mask(sum, _mm512_set1_ps(LIMIT), _CMP_GT_OQ) != 0, 0))
        raise_row(x->self, r);
    else
        keep_row(x, r, p, sum);
}

#endif
