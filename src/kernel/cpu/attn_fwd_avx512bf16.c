/* kernel/cpu/attn_fwd_avx512bf16.c: attention forward on vdpbf16ps (AVX512_BF16, no AMX).
 *
 * Per query block of up to 64 rows and group of 4 panels (64 keys):
 *   S = Q K^T   4 rows x 64 keys in 16 accumulators; K panel [d/2][16 keys][2], one load feeds four
 *               products; Q pairs are broadcast straight from the row-major input;
 *   P = exp2(S - m)   on the accumulators, stored as row-major bf16;
 *   O += P V    the same tile, V panel [8 key pairs][d][2], after TRIP groups, so that O makes one
 *               round trip through memory for TRIP * 64 keys.
 * The row maximum m is lazy: it moves only when a score exceeds it by 2^8, so the usual path has no
 * horizontal work (Milakov and Gimelshein 2018 for the running form; the threshold as in
 * FlashAttention-4). Sums and lse stay exact: p is at most 2^8 and everything is f32.
 * vdpbf16ps reads denormals as zero.
 */
#include <math.h>

#include "kernel/cpu/attn_tile_avx512bf16.h"

#define TRIP 8             /* groups per round trip of O */
#define WIDE (TRIP * KEYS) /* keys of a row of P */
#define PITCH                                                                                      \
    (WIDE + 32)     /* of P, in elements: 1 KiB rows would share four sets of the L1 cache         \
                     */
#define GROWTH 8.0f /* log2: how far a score may exceed the lazy maximum */
#define MAX_D  128

typedef struct scratch {
    _Alignas(64) float o[FILK_BLOCK][MAX_D];
    _Alignas(64) float sum[FILK_BLOCK][16];
    _Alignas(64) uint16_t p[FILK_BLOCK][PITCH];
    _Alignas(64) uint16_t q[FILK_BLOCK * MAX_D]; /* [tile][d/2][4 rows][2] */
    float max[FILK_BLOCK];                       /* log2 units; -inf before the first key */
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

/* ---- probabilities -------------------------------------------------------------------------- */

/* A score exceeded the lazy maximum of row r: moves it, and scales what the row has so far. `done`
 * keys of the row of P are written. */
static __attribute__((noinline)) void move_max(scratch *t, int r, int D, int done, float to)
{
    const float  from   = t->max[r];
    const __m512 factor = _mm512_set1_ps(from == -INFINITY ? 0.0f : exp2f(from - to));
    t->max[r]           = to;
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

/* Scaled scores of one row become probabilities: P, sum, and where needed the maximum. */
INLINE void softmax_row(scratch *t, int r, const int D, int at, __m512 s[4])
{
    const __m512 top   = _mm512_max_ps(_mm512_max_ps(s[0], s[1]), _mm512_max_ps(s[2], s[3]));
    const __m512 bound = _mm512_set1_ps(t->max[r] + GROWTH);
    if (__builtin_expect(_mm512_cmp_ps_mask(top, bound, _CMP_GT_OQ) != 0, 0))
        move_max(t, r, D, at, _mm512_reduce_max_ps(top));
    const float  m   = t->max[r] == -INFINITY ? 0.0f : t->max[r];
    const __m512 sub = _mm512_set1_ps(m);
    for (int j = 0; j < 4; j++)
        s[j] = exp2_512(_mm512_sub_ps(s[j], sub));
    const __m512 sum = _mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3]));
    _mm512_store_ps(t->sum[r], _mm512_add_ps(_mm512_load_ps(t->sum[r]), sum));
    _mm512_store_si512(&t->p[r][at], (__m512i)_mm512_cvtne2ps_pbh(s[1], s[0]));
    _mm512_store_si512(&t->p[r][at + 32], (__m512i)_mm512_cvtne2ps_pbh(s[3], s[2]));
}

/* To log2 units, rounded once: the maximum is one of these values, so that equal scores give
 * exactly 2^0 whatever their size. A fused product would keep the rounding error of the maximum. */
INLINE void scale_scores(__m512 s[4], __m512 scale)
{
    for (int j = 0; j < 4; j++)
        s[j] = _mm512_mul_ps(s[j], scale);
}

/* Adds the bias (log2 units) to scaled scores; a lane with bias -inf is -inf whatever it held. */
INLINE void add_bias(__m512 s[4], const float *bias)
{
    const __m512 nothing = _mm512_set1_ps(-INFINITY);
    for (int j = 0; j < 4; j++) {
        const __m512    b    = _mm512_loadu_ps(bias + 16 * j);
        const __mmask16 none = _mm512_cmp_ps_mask(b, nothing, _CMP_EQ_OQ);
        s[j]                 = _mm512_mask_mov_ps(_mm512_add_ps(s[j], b), none, nothing);
    }
}

INLINE void score_group(const filk_attn_block *b, scratch *t, int tiles, __m512 scale, const int D,
                        int32_t group, int at)
{
    const char   *k[FILK_GROUP];
    const int32_t first  = group * FILK_GROUP;
    const int     biased = first >= b->n_plain;
    const float  *bias   = b->bias + (size_t)(biased ? first - b->n_plain : 0) * FILK_PANEL;
    for (int j = 0; j < FILK_GROUP; j++)
        k[j] = b->k_panels + (size_t)b->list[first + j] * panel_bytes(D);
    for (int tile = 0; tile < tiles; tile++) {
        __m512 s[ROWS][4];
        score_tile(t->q + tile * ROWS * D, k, D, s);
        for (int r = 0; r < ROWS; r++) {
            scale_scores(s[r], scale);
            if (biased) add_bias(s[r], bias);
            softmax_row(t, tile * ROWS + r, D, at, s[r]);
        }
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

INLINE void write_rows(const filk_attn_block *b, const scratch *t, const int D)
{
    const filk_attn_args *a = b->args;
    for (int r = 0; r < b->rows; r++) {
        const int64_t token = b->first + r;
        const float   sum   = _mm512_reduce_add_ps(_mm512_load_ps(t->sum[r]));
        const __m512  norm  = _mm512_set1_ps(sum == 0.0f ? 0.0f : 1.0f / sum);
        uint16_t *out = (uint16_t *)a->out + token * a->out_stride_n + b->head * a->out_stride_h;
        for (int d = 0; d < D; d += 32) {
            const __m512 lo = _mm512_mul_ps(_mm512_load_ps(&t->o[r][d]), norm);
            const __m512 hi = _mm512_mul_ps(_mm512_load_ps(&t->o[r][d + 16]), norm);
            _mm512_storeu_si512(out + d, (__m512i)_mm512_cvtne2ps_pbh(hi, lo));
        }
        if (a->lse != NULL)
            a->lse[b->head * b->problem->nq + token] =
                sum == 0.0f ? -INFINITY : (t->max[r] + log2f(sum)) * 0.6931471805599453f;
    }
}

/* Rows beyond the block repeat its last; they are not written. */
INLINE void take_query(const filk_attn_block *b, scratch *t, const int D, int r)
{
    const filk_attn_view *q     = &b->args->q;
    const int64_t         token = b->first + (r < b->rows ? r : b->rows - 1);
    const uint16_t *from = (const uint16_t *)q->data + token * q->stride_n + b->head * q->stride_h;
    pack_query(from, t->q, r, D);
}

INLINE void block_d(const filk_attn_block *b, const int D)
{
    scratch              *t     = b->scratch;
    const filk_attn_args *a     = b->args;
    const int             tiles = (b->rows + ROWS - 1) / ROWS;
    const __m512          scale = _mm512_set1_ps(a->scale * 1.4426950408889634f);
    for (int r = 0; r < tiles * ROWS; r++) {
        take_query(b, t, D, r);
        t->max[r] = -INFINITY;
    }
    memset(t->o, 0, sizeof t->o[0] * (size_t)(tiles * ROWS));
    memset(t->sum, 0, sizeof t->sum[0] * (size_t)(tiles * ROWS));

    const int32_t groups = b->n_list / FILK_GROUP;
    for (int32_t g = 0; g < groups; g += TRIP) {
        const int32_t n = groups - g < TRIP ? groups - g : TRIP;
        for (int32_t i = 0; i < n; i++)
            score_group(b, t, tiles, scale, D, g + i, (int)i * KEYS);
        for (int tile = 0; tile < tiles; tile++)
            for (int d = 0; d < D; d += 64)
                value_tile(b, t, D, tile * ROWS, d, g * FILK_GROUP, n * FILK_GROUP);
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
