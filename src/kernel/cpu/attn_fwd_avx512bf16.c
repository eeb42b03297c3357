/* kernel/cpu/attn_fwd_avx512bf16.c: attention forward on vdpbf16ps (AVX512_BF16, no AMX).
 *
 * Per query block of up to 64 rows and group of 4 panels (64 keys), in tiles of 4 rows x 64 keys:
 *   S = Q K^T   16 accumulators; K panel [d/2][16 keys][2], one load feeds four products; pairs of
 *               Q are broadcast from tiles of [d/2][4 rows][2];
 *   P = exp2(S - m)   of the tile before, between the products of this one: most of it runs on
 *               ports that vdpbf16ps leaves free. P is row-major bf16;
 *   O += P V    the same tile, V panel [8 key pairs][d][2], after TRIP groups, whose half rows of V
 *               stay in the L1 cache for all tiles of rows.
 * The row maximum m is lazy: it moves only when a score exceeds it by 2^8, so the usual path has no
 * horizontal work (Milakov and Gimelshein 2018 for the running form; the threshold as in
 * FlashAttention-4). Sums and lse stay exact: p is about 2^8 at most and everything is f32. m is
 * kept before scaling: the difference to it is exact where it counts. vdpbf16ps reads denormals as
 * zero.
 */
#include <float.h>
#include <math.h>

#include "kernel/cpu/attn_tile_avx512bf16.h"

#define TRIP   2             /* groups per round trip of O */
#define WIDE   (TRIP * KEYS) /* keys of a row of P */
#define PITCH  (WIDE + 96)   /* of P, in elements: rows lie in different sets of the L1 cache */
#define GROWTH 8.0f          /* log2: how far a score may exceed the lazy maximum */
#define MAX_D  128

typedef struct scratch {
    _Alignas(64) float o[FILK_BLOCK][MAX_D];
    _Alignas(64) float sum[FILK_BLOCK][16];
    _Alignas(64) uint16_t p[FILK_BLOCK][PITCH];
    _Alignas(64) uint16_t q[FILK_BLOCK * MAX_D]; /* [tile][d/2][4 rows][2] */
    _Alignas(64) float s[ROWS][KEYS];            /* q.k of the tile whose P is still to come */
    _Alignas(64) float max[FILK_BLOCK];          /* of q.k, not scaled; -inf before the first key */
    float sub[FILK_BLOCK];                       /* max, 0 where it is -inf */
    float bound[FILK_BLOCK];                     /* max and GROWTH */
    float scale;                                 /* from q.k to log2 units */
    float inverse;                               /* 1 / scale */
} scratch;

/* ---- packing -------------------------------------------------------------------------------- */

static size_t panel_bytes(int32_t head_dim)
{
    return panel_bytes_of(head_dim);
}

static size_t scratch_bytes(int32_t head_dim)
{
    (void)head_dim;
    return sizeof(scratch);
}

/* Elements 0 to 15 of two rows by turns; 16 more gives those from 16 to 31. */
static const _Alignas(64) uint16_t interleave[32] = {0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,
                                                     37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
                                                     11, 43, 12, 44, 13, 45, 14, 46, 15, 47};

static void pack(const void *const k[FILK_PANEL], const void *const v[FILK_PANEL], int32_t head_dim,
                 void *k_panel, void *v_panel)
{
    char *vp = v_panel;
    pack_keys(k, head_dim, k_panel);
    const __m512i low  = _mm512_load_si512(interleave);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (int i = 0; i < FILK_PANEL; i += 2)
        for (int32_t d = 0; d < head_dim; d += 32) {
            const __m512i a  = load_row(v[i], d * 2);
            const __m512i b  = load_row(v[i + 1], d * 2);
            char         *to = vp + (i / 2 * head_dim + d) * 4;
            _mm512_store_si512(to, _mm512_permutex2var_epi16(a, low, b));
            _mm512_store_si512(to + 64, _mm512_permutex2var_epi16(a, high, b));
        }
}

/* ---- the lazy maximum ----------------------------------------------------------------------- */

/* Moves the maximum of row r, and scales what the row has so far: O, its sum, and `done` keys of
 * P. Before the first key that is all zeros, or NaN. */
static void move_max(scratch *t, int r, int D, int done, float to)
{
    const float from = t->max[r];
    t->max[r]        = to;
    t->sub[r]        = to;
    t->bound[r]      = to + GROWTH * t->inverse;
    if (from == -INFINITY) return;
    const __m512 factor = _mm512_set1_ps(exp2f((from - to) * t->scale));
    for (int d = 0; d < D; d += 16)
        _mm512_store_ps(&t->o[r][d], _mm512_mul_ps(_mm512_load_ps(&t->o[r][d]), factor));
    _mm512_store_ps(t->sum[r], _mm512_mul_ps(_mm512_load_ps(t->sum[r]), factor));
    for (int i = 0; i < done; i += 16) {
        const __m256i  b = _mm256_load_si256((const __m256i *)&t->p[r][i]);
        const __m512   x = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
        const __m256bh y = _mm512_cvtneps_pbh(_mm512_mul_ps(x, factor));
        _mm256_store_si256((__m256i *)&t->p[r][i], (__m256i)y);
    }
}

/* A tile of rows against a group of keys. */
typedef struct tile {
    int          row;  /* its first; below 0: there is none */
    int          at;   /* its first key within the trip */
    const float *bias; /* [KEYS], log2 units, -inf = no key; NULL = none */
} tile;

/* 16 scores of a row, in units of q.k, with what a bias adds to them. */
INLINE __m512 biased_score(const scratch *t, __m512 s, const float *bias)
{
    const __m512 b = _mm512_loadu_ps(bias);
    return _mm512_fmadd_ps(b, _mm512_set1_ps(t->inverse), s);
}

/* Some of these rows have a score that exceeds its bound. NaN do not count. */
static __attribute__((noinline)) void raise_rows(scratch *t, int D, tile w)
{
    for (int r = 0; r < ROWS; r++) {
        __m512 top = _mm512_set1_ps(-INFINITY);
        for (int j = 0; j < 4; j++) {
            const __m512 s = _mm512_load_ps(&t->s[r][16 * j]);
            top = _mm512_max_ps(w.bias != NULL ? biased_score(t, s, w.bias + 16 * j) : s, top);
        }
        const float to = _mm512_reduce_max_ps(top);
        if (to > t->bound[w.row + r]) move_max(t, w.row + r, D, w.at, to);
    }
}

/* ---- scores and probabilities --------------------------------------------------------------- */

/* Where a lane has no key its score becomes -inf, whatever it was. */
INLINE void drop_lanes(__m512 s[4], const float *bias)
{
    for (int j = 0; j < 4; j++) {
        const __m512 b = _mm512_loadu_ps(bias + 16 * j);
        s[j] = _mm512_mask_mov_ps(s[j], _mm512_cmp_ps_mask(b, _mm512_set1_ps(-FLT_MAX), _CMP_LT_OQ),
                                  b);
    }
}

/* Keeps the scores of a tile, and sees to it that none exceeds its row's maximum by much. One that
 * a NaN of its row hides may: that row is NaN by its sum. */
INLINE void keep_scores(scratch *t, const int D, __m512 s[ROWS][4], const tile w)
{
    __mmask16 above = 0;
    for (int r = 0; r < ROWS; r++) {
        __m512 top[4];
        if (w.bias != NULL) drop_lanes(s[r], w.bias);
        for (int j = 0; j < 4; j++) {
            _mm512_store_ps(&t->s[r][16 * j], s[r][j]);
            top[j] = w.bias != NULL ? biased_score(t, s[r][j], w.bias + 16 * j) : s[r][j];
        }
        const __m512 most =
            _mm512_max_ps(_mm512_max_ps(top[0], top[1]), _mm512_max_ps(top[2], top[3]));
        above |= _mm512_cmp_ps_mask(most, _mm512_set1_ps(t->bound[w.row + r]), _CMP_GT_OQ);
    }
    if (__builtin_expect(above != 0, 0)) raise_rows(t, D, w);
}

/* exp2(S - m) of row r of the tile, keys 16 j to 16 j + 15. */
INLINE __m512 probability(const scratch *t, const tile w, int r, int j)
{
    const __m512 sub   = _mm512_set1_ps(t->sub[w.row + r]);
    const __m512 below = _mm512_sub_ps(_mm512_load_ps(&t->s[r][16 * j]), sub);
    const __m512 scale = _mm512_set1_ps(t->scale);
    if (w.bias == NULL) return exp2_512(_mm512_mul_ps(below, scale));
    return exp2_512(_mm512_fmadd_ps(below, scale, _mm512_loadu_ps(w.bias + 16 * j)));
}

INLINE void keep_row(scratch *t, const tile w, int r, const __m512 y[4])
{
    float       *sum = t->sum[w.row + r];
    uint16_t    *p   = &t->p[w.row + r][w.at];
    const __m512 all = _mm512_add_ps(_mm512_add_ps(y[0], y[1]), _mm512_add_ps(y[2], y[3]));
    _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), all));
    _mm512_store_si512(p, (__m512i)_mm512_cvtne2ps_pbh(y[1], y[0]));
    _mm512_store_si512(p + 32, (__m512i)_mm512_cvtne2ps_pbh(y[3], y[2]));
}

/* Scores of a tile, and between their products the probabilities of the tile `before`: a row of
 * them in a quarter of the products, 16 keys in a sixteenth. */
INLINE void score_tile(scratch *t, const uint16_t *q, const char *const k[FILK_GROUP], const int D,
                       const tile before, __m512 s[ROWS][4])
{
    clear_tile(s);
#pragma GCC unroll 1
    for (int r = 0; r < ROWS; r++) {
        const int d = r * D / ROWS;
        __m512    y[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            if (before.row >= 0) y[j] = probability(t, before, r, j);
#pragma GCC unroll 4
            for (int i = 0; i < D / 16; i += 2)
                score_pair(q, k, d + j * D / 16 + i, s);
        }
        if (before.row >= 0) keep_row(t, before, r, y);
    }
}

/* What comes without products to hide behind: the last tile of a trip. */
static void finish_tile(scratch *t, const tile w)
{
    for (int r = 0; r < ROWS; r++) {
        __m512 y[4];
        for (int j = 0; j < 4; j++)
            y[j] = probability(t, w, r, j);
        keep_row(t, w, r, y);
    }
}

/* Keys that come next, into the L1 cache: a tile's part of a group of panels. */
INLINE void fetch_keys(const char *const k[FILK_GROUP], const int D, int row)
{
    const int lines = D / 2 / (FILK_BLOCK / ROWS); /* of the D / 2 in a panel */
    for (int j = 0; j < FILK_GROUP; j++)
        for (int i = 0; i < lines; i++)
            _mm_prefetch(k[j] + (row / ROWS * lines + i) * (int)FILK_LINE, _MM_HINT_T0);
}

/* A tile's rows of `out`, which are written at the end of the block. */
INLINE void fetch_out(const filk_attn_block *b, const int D, int row)
{
    const filk_attn_args *a = b->args;
    for (int r = row; r < row + ROWS && r < b->rows; r++) {
        const uint16_t *out =
            (uint16_t *)a->out + (b->first + r) * a->out_stride_n + b->head * a->out_stride_h;
        for (int d = 0; d < D; d += 32)
            __builtin_prefetch(out + d, 1, 2);
    }
}

INLINE void panels_at(const filk_attn_block *b, const int D, int32_t group,
                      const char *k[FILK_GROUP])
{
    for (int j = 0; j < FILK_GROUP; j++)
        k[j] = b->k_panels + (size_t)b->list[group * FILK_GROUP + j] * panel_bytes(D);
}

/* All rows against a group, which is `at` keys into its trip. *before is the tile whose
 * probabilities are still to come. */
INLINE void score_group(const filk_attn_block *b, scratch *t, const int D, int32_t group, int at,
                        tile *before)
{
    const char   *k[FILK_GROUP], *next[FILK_GROUP];
    const int32_t first = group * FILK_GROUP;
    const int     last  = first + FILK_GROUP >= b->n_list;
    tile          w     = {.at = at};
    if (first >= b->n_plain) w.bias = b->bias + (size_t)(first - b->n_plain) * FILK_PANEL;
    panels_at(b, D, group, k);
    panels_at(b, D, last ? group : group + 1, next);
    for (w.row = 0; w.row < b->rows; w.row += ROWS) {
        __m512          s[ROWS][4];
        const uint16_t *q = t->q + w.row * D;
        fetch_keys(next, D, w.row);
        if (group == 0) fetch_out(b, D, w.row);
        if (before->row < 0)
            score_tile(t, q, k, D, (tile){.row = -1}, s);
        else if (before->bias == NULL)
            score_tile(t, q, k, D, (tile){.row = before->row, .at = before->at}, s);
        else
            score_tile(t, q, k, D, *before, s);
        if (w.bias == NULL)
            keep_scores(t, D, s, (tile){.row = w.row, .at = at});
        else
            keep_scores(t, D, s, w);
        *before = w;
    }
}

/* ---- values --------------------------------------------------------------------------------- */

INLINE void value_tile(const filk_attn_block *b, scratch *t, const int D, int row, int d,
                       int32_t first, int32_t n_panels)
{
    __m512 o[ROWS][4];
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < 4; j++)
            o[r][j] = _mm512_load_ps(&t->o[row + r][d + 16 * j]);
    for (int32_t i = 0; i < n_panels; i++) {
        const char *v = b->v_panels + (size_t)b->list[first + i] * panel_bytes(D) + d * 4;
        for (int key = 0; key < FILK_PANEL; key += 2, v += D * 4) {
            __m512bh vj[4];
            for (int j = 0; j < 4; j++)
                vj[j] = (__m512bh)_mm512_load_si512(v + 64 * j);
            for (int r = 0; r < ROWS; r++) {
                const __m512bh p = pair(&t->p[row + r][i * FILK_PANEL + key]);
                for (int j = 0; j < 4; j++)
                    o[r][j] = _mm512_dpbf16_ps(o[r][j], p, vj[j]);
            }
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int j = 0; j < 4; j++)
            _mm512_store_ps(&t->o[row + r][d + 16 * j], o[r][j]);
}

/* ---- a query block -------------------------------------------------------------------------- */

/* ln x for x that is normal, error below 5e-8 and one rounding; NaN for NaN and inf. x = 2^e m with
 * 3/4 <= m < 3/2, and ln m = 2 artanh((m - 1) / (m + 1)), whose series ends at the ninth power. */
INLINE __m512 ln_512(__m512 x)
{
    const __m512  one  = _mm512_set1_ps(1.0f);
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i e  = _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f400000)), 23);
    const __m512  m  = _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(e, 23)));
    const __m512  z  = _mm512_div_ps(_mm512_sub_ps(m, one), _mm512_add_ps(m, one));
    const __m512  zz = _mm512_mul_ps(z, z);
    __m512        y  = _mm512_add_ps(_mm512_sub_ps(x, x), _mm512_set1_ps(1.0f / 9.0f));
    y                = _mm512_fmadd_ps(y, zz, _mm512_set1_ps(1.0f / 7.0f));
    y                = _mm512_fmadd_ps(y, zz, _mm512_set1_ps(1.0f / 5.0f));
    y                = _mm512_fmadd_ps(y, zz, _mm512_set1_ps(1.0f / 3.0f));
    y                = _mm512_mul_ps(_mm512_add_ps(z, z), _mm512_fmadd_ps(y, zz, one));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(e), _mm512_set1_ps(0.69314718f), y);
}

INLINE void write_lse(const filk_attn_block *b, const scratch *t, const float *sums)
{
    const filk_attn_args *a     = b->args;
    const __m512          scale = _mm512_set1_ps(a->scale);
    for (int r = 0; r < b->rows; r += 16) {
        const int       left = b->rows - r;
        const __mmask16 rows = (__mmask16)(left < 16 ? (1u << left) - 1u : 0xffffu);
        const __m512    sum  = _mm512_load_ps(sums + r);
        const __mmask16 none = _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_EQ_OQ);
        const __m512    lse  = _mm512_fmadd_ps(_mm512_load_ps(t->max + r), scale, ln_512(sum));
        _mm512_mask_storeu_ps(a->lse + b->head * b->problem->nq + b->first + r, rows,
                              _mm512_mask_mov_ps(lse, none, _mm512_set1_ps(-INFINITY)));
    }
}

INLINE void write_rows(const filk_attn_block *b, const scratch *t, const int D)
{
    const filk_attn_args *a = b->args;
    _Alignas(64) float    sums[FILK_BLOCK];
    memset(sums, 0, sizeof sums);
    for (int r = 0; r < b->rows; r++) {
        const int64_t token = b->first + r;
        const float   sum   = _mm512_reduce_add_ps(_mm512_load_ps(t->sum[r]));
        const __m512  norm  = _mm512_set1_ps(sum == 0.0f ? 0.0f : 1.0f / sum);
        uint16_t *out = (uint16_t *)a->out + token * a->out_stride_n + b->head * a->out_stride_h;
        sums[r]       = sum;
        for (int d = 0; d < D; d += 32) {
            const __m512 lo = _mm512_mul_ps(_mm512_load_ps(&t->o[r][d]), norm);
            const __m512 hi = _mm512_mul_ps(_mm512_load_ps(&t->o[r][d + 16]), norm);
            _mm512_storeu_si512(out + d, (__m512i)_mm512_cvtne2ps_pbh(hi, lo));
        }
    }
    if (a->lse != NULL) write_lse(b, t, sums);
}

INLINE void start(const filk_attn_block *b, scratch *t, const int D)
{
    const int rows = (b->rows + ROWS - 1) / ROWS * ROWS;
    t->scale       = b->args->scale * 1.4426950408889634f;
    t->inverse     = fminf(1.0f / t->scale, 0x1p100f); /* a bias times it is finite */
    memset(t->o, 0, sizeof t->o[0] * (size_t)rows);
    memset(t->sum, 0, sizeof t->sum[0] * (size_t)rows);
    for (int r = 0; r < rows; r += ROWS)
        pack_queries(&b->args->q, b->first, b->head, r, b->rows, D, t->q + r * D);
    for (int r = 0; r < FILK_BLOCK; r++) {
        t->max[r]   = -INFINITY;
        t->sub[r]   = 0.0f;
        t->bound[r] = -INFINITY;
    }
}

INLINE void block_d(const filk_attn_block *b, const int D)
{
    scratch      *t      = b->scratch;
    const int32_t groups = b->n_list / FILK_GROUP;
    start(b, t, D);
    for (int32_t g = 0; g < groups; g += TRIP) {
        const int32_t n      = groups - g < TRIP ? groups - g : TRIP;
        tile          before = {.row = -1};
        for (int32_t i = 0; i < n; i++)
            score_group(b, t, D, g + i, (int)i * KEYS, &before);
        finish_tile(t, before);
        for (int d = 0; d < D; d += 64)
            for (int row = 0; row < b->rows; row += ROWS)
                value_tile(b, t, D, row, d, g * FILK_GROUP, n * FILK_GROUP);
    }
    write_rows(b, t, D);
}

static void block(const filk_attn_block *b)
{
    if (b->problem->head_dim == 128)
        block_d(b, 128);
    else
        block_d(b, 64);
}

static const filk_attn_kernel kernel = {
    .panel_bytes = panel_bytes, .scratch_bytes = scratch_bytes, .pack = pack, .block = block};

const char *filk_attn_fwd_bf16_p16__avx512bf16_refuse(const void *problem)
{
    const filk_attn_problem *p = problem;
    if (p->dtype != FIL_BF16) return "takes bf16 only";
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 and 128 only";
    return NULL;
}

size_t filk_attn_fwd_bf16_p16__avx512bf16_workspace(const void *problem, int32_t n_threads)
{
    return filk_attn_panels_workspace(problem, &kernel, n_threads);
}

fil_status filk_attn_fwd_bf16_p16__avx512bf16_run(fil_ctx *ctx, const void *problem,
                                                  const void *args, void *workspace)
{
    return filk_attn_panels_run(ctx, problem, args, &kernel, workspace);
}
