/* kernel/cpu/mass_avx512bf16.c: block mass on vdpbf16ps (AVX512_BF16, no AMX).
 *
 * Per query block of up to 64 rows, over all keys in groups of 4 panels (64 keys):
 *   S = Q K^T     the tile of attention forward: 4 rows x 64 keys in 16 accumulators;
 *   exp2(S - m)   m is the lazy row maximum: it moves only when a score exceeds it by 2^8;
 *   sums          the 16 vectors of the tile (4 rows x 4 panels) are summed across their lanes all
 *                 at once, into one vector that is stored: one sum per row and panel.
 * A row's norm is known when all keys are seen; then the stored sums are weighted, and added over
 * rows and over the panels of each run. Memory: 16 vectors per group, 64 N / 16 floats.
 * Method: two-pass use of the online softmax (Milakov and Gimelshein 2018), here with the first
 * pass kept in a small table instead of computed again.
 */
#include <math.h>

#include "kernel/cpu/attn_tile_avx512bf16.h"
#include "kernel/cpu/mass_panels.h"

#define GROWTH 8.0f /* log2: how far a score may exceed the lazy maximum */
#define TILES  (FILK_BLOCK / ROWS)
#define CHUNK  64 /* groups that are summed before their sum is added */
#define MAX_D  128

typedef struct group_sums {
    _Alignas(64) float tile[TILES][ROWS * FILK_GROUP]; /* [row][panel] within a tile */
} group_sums;

typedef struct scratch {
    _Alignas(64) uint16_t q[FILK_BLOCK * MAX_D]; /* [tile][d/2][4 rows][2] */
    _Alignas(64) float max[FILK_BLOCK];          /* log2 units; -inf before the first key */
    _Alignas(64) float sum[FILK_BLOCK];
    _Alignas(64) float norm[FILK_BLOCK];
    group_sums groups[]; /* [n_panels / FILK_GROUP], then float [n_panels]: sums over the rows */
} scratch;

static size_t scratch_bytes(int32_t n_panels, int32_t n_runs)
{
    (void)n_runs;
    const size_t panels = (size_t)n_panels;
    return sizeof(scratch) + panels / FILK_GROUP * sizeof(group_sums) + panels * sizeof(float);
}

static void pack(const void *const k[FILK_PANEL], int32_t head_dim, void *panel)
{
    pack_keys(k, head_dim, panel);
}

/* ---- scores to sums ------------------------------------------------------------------------- */

/* Lane 4 r + j of the result is the sum of s[r][j]. */
INLINE __m512 sum_lanes(__m512 s[ROWS][4])
{
    __m512 row[ROWS]; /* four panels in each 128 bits, still to be added over these */
    for (int r = 0; r < ROWS; r++) {
        const __m512  a = _mm512_add_ps(_mm512_unpacklo_ps(s[r][0], s[r][1]),
                                        _mm512_unpackhi_ps(s[r][0], s[r][1]));
        const __m512  b = _mm512_add_ps(_mm512_unpacklo_ps(s[r][2], s[r][3]),
                                        _mm512_unpackhi_ps(s[r][2], s[r][3]));
        const __m512d x = _mm512_castps_pd(a);
        const __m512d y = _mm512_castps_pd(b);
        row[r]          = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)),
                                        _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    }
    const __m512 low  = _mm512_add_ps(_mm512_shuffle_f32x4(row[0], row[1], 0x44),
                                      _mm512_shuffle_f32x4(row[0], row[1], 0xee));
    const __m512 high = _mm512_add_ps(_mm512_shuffle_f32x4(row[2], row[3], 0x44),
                                      _mm512_shuffle_f32x4(row[2], row[3], 0xee));
    return _mm512_add_ps(_mm512_shuffle_f32x4(low, high, 0x88),
                         _mm512_shuffle_f32x4(low, high, 0xdd));
}

/* A score exceeded the lazy maximum of row r: moves it, and scales the sums of the `done` groups
 * before this one. */
static __attribute__((noinline)) void move_max(scratch *t, int r, int32_t done, float to)
{
    const float     from   = t->max[r];
    const __m512    factor = _mm512_set1_ps(exp2f(from - to));
    const __mmask16 lanes  = (__mmask16)(0xfu << (r % ROWS * 4));
    t->max[r]              = to;
    if (from == -INFINITY) return; /* the sums are zeros, or NaN */
    for (int32_t g = 0; g < done; g++) {
        float *sums = t->groups[g].tile[r / ROWS];
        _mm512_mask_storeu_ps(sums, lanes, _mm512_mul_ps(_mm512_load_ps(sums), factor));
    }
}

/* Scores of row r become exp2(s - m). The scaled score is rounded before m, a scaled score too, is
 * taken off: a fused product would leave the rounding of m, which is large where m is. */
INLINE void exp_row(scratch *t, int r, int32_t group, __m512 s[4], __m512 scale)
{
    for (int j = 0; j < 4; j++)
        s[j] = _mm512_mul_ps(s[j], scale);
    const __m512 top   = _mm512_max_ps(_mm512_max_ps(s[0], s[1]), _mm512_max_ps(s[2], s[3]));
    const __m512 bound = _mm512_set1_ps(t->max[r] + GROWTH);
    if (__builtin_expect(_mm512_cmp_ps_mask(top, bound, _CMP_GT_OQ) != 0, 0))
        move_max(t, r, group, _mm512_reduce_max_ps(top));
    const __m512 sub = _mm512_set1_ps(t->max[r] == -INFINITY ? 0.0f : t->max[r]);
    for (int j = 0; j < 4; j++)
        s[j] = exp2_512(_mm512_sub_ps(s[j], sub));
}

INLINE void group_block(const filk_mass_block *b, scratch *t, int tiles, __m512 scale, const int D,
                        int32_t group)
{
    const char *k[FILK_GROUP];
    __mmask16   lanes[FILK_GROUP];
    int         whole = 1;
    for (int j = 0; j < FILK_GROUP; j++) {
        const int32_t panel = group * FILK_GROUP + j;
        k[j]                = b->panels + (size_t)panel * panel_bytes_of(D);
        lanes[j]            = (__mmask16)((1u << b->lanes[panel]) - 1u);
        whole &= b->lanes[panel] == FILK_PANEL;
    }
    for (int tile = 0; tile < tiles; tile++) {
        __m512 s[ROWS][4];
        clear_tile(s);
        for (int d = 0; d < D; d += 2)
            score_pair(t->q + tile * ROWS * D, k, d, s);
        if (!whole)
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < 4; j++)
                    s[r][j] = _mm512_mask_mov_ps(_mm512_set1_ps(-INFINITY), lanes[j], s[r][j]);
        for (int r = 0; r < ROWS; r++)
            exp_row(t, tile * ROWS + r, group, s[r], scale);
        _mm512_store_ps(t->groups[group].tile[tile], sum_lanes(s));
    }
}

/* ---- sums to masses ------------------------------------------------------------------------- */

static void sum_rows(scratch *t, int tiles, int32_t groups)
{
    for (int tile = 0; tile < tiles; tile++) {
        _Alignas(64) float lane[ROWS * FILK_GROUP];
        __m512             total = _mm512_setzero_ps();
        for (int32_t g = 0; g < groups; g += CHUNK) {
            const int32_t end = groups - g < CHUNK ? groups : g + CHUNK;
            __m512        sum = _mm512_setzero_ps();
            for (int32_t i = g; i < end; i++)
                sum = _mm512_add_ps(sum, _mm512_load_ps(t->groups[i].tile[tile]));
            total = _mm512_add_ps(total, sum);
        }
        _mm512_store_ps(lane, total);
        for (int r = 0; r < ROWS; r++)
            t->sum[tile * ROWS + r] =
                (lane[4 * r] + lane[4 * r + 1]) + (lane[4 * r + 2] + lane[4 * r + 3]);
    }
}

/* What row r's sums are multiplied with, and its lse. */
static float norm_row(const filk_mass_block *b, const scratch *t, int r)
{
    const filk_mass_args *a   = b->args;
    const int64_t         at  = b->head * b->problem->nq + b->first + r;
    const float           sum = t->sum[r];
    const float           in  = a->lse_in != NULL ? a->lse_in[at] : 0.0f;
    if (a->lse_out != NULL)
        a->lse_out[at] =
            sum == 0.0f ? -INFINITY
                        : (float)(((double)t->max[r] + log2((double)sum)) * 0.69314718055994530942);
    if (isnan(sum)) return sum;
    if (sum == 0.0f) return 0.0f;
    if (a->lse_in == NULL) return 1.0f / sum;
    if (in == -INFINITY) return 0.0f;
    return (float)exp2((double)t->max[r] - (double)in * 1.44269504088896340736);
}

static void write_masses(const filk_mass_block *b, scratch *t, int tiles, int32_t groups)
{
    float *panel = (float *)(t->groups + groups);
    float *out   = b->args->mass + ((int64_t)b->head * b->problem->mq + b->block) * b->problem->mk;
    for (int32_t g = 0; g < groups; g++) {
        __m512 sum = _mm512_setzero_ps();
        for (int tile = 0; tile < tiles; tile++) {
            const __m512i spread = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
            const __m128  four   = _mm_load_ps(t->norm + tile * ROWS);
            const __m512  norm   = _mm512_permutexvar_ps(spread, _mm512_castps128_ps512(four));
            sum = _mm512_fmadd_ps(_mm512_load_ps(t->groups[g].tile[tile]), norm, sum);
        }
        const __m256 two =
            _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1));
        _mm_store_ps(panel + FILK_GROUP * g,
                     _mm_add_ps(_mm256_castps256_ps128(two), _mm256_extractf128_ps(two, 1)));
    }
    for (int32_t run = 0; run < b->problem->mk; run++) {
        float sum = 0.0f;
        for (int32_t p = b->run_first[run]; p < b->run_first[run + 1]; p++)
            sum += panel[p];
        out[run] = sum;
    }
}

/* ---- a query block -------------------------------------------------------------------------- */

INLINE void block_d(const filk_mass_block *b, const int D)
{
    scratch      *t      = b->scratch;
    const int     tiles  = (b->rows + ROWS - 1) / ROWS;
    const int32_t groups = b->n_panels / FILK_GROUP;
    const __m512  scale  = _mm512_set1_ps(b->args->scale * 1.4426950408889634f);
    for (int r = 0; r < tiles * ROWS; r++) {
        t->max[r]  = -INFINITY;
        t->norm[r] = 0.0f;
    }
    /* Rows beyond the block repeat its last; their norm is 0. */
    for (int r = 0; r < tiles * ROWS; r += ROWS)
        pack_queries(&b->args->q, b->first, b->head, r, b->rows, D, t->q + r * D);
    for (int32_t g = 0; g < groups; g++)
        group_block(b, t, tiles, scale, D, g);
    sum_rows(t, tiles, groups);
    for (int r = 0; r < b->rows; r++)
        t->norm[r] = norm_row(b, t, r);
    write_masses(b, t, tiles, groups);
}

static void block(const filk_mass_block *b)
{
    if (b->problem->head_dim == 128)
        block_d(b, 128);
    else
        block_d(b, 64);
}

static size_t panel_bytes(int32_t head_dim)
{
    return panel_bytes_of(head_dim);
}

static const filk_mass_kernel kernel = {
    .panel_bytes = panel_bytes, .scratch_bytes = scratch_bytes, .pack = pack, .block = block};

const char *filk_mass_bf16_p16__avx512bf16_refuse(const void *problem)
{
    const filk_mass_problem *p = problem;
    if (p->dtype != FIL_BF16) return "takes bf16 only";
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 and 128 only";
    return NULL;
}

size_t filk_mass_bf16_p16__avx512bf16_workspace(const void *problem, int32_t n_threads)
{
    return filk_mass_panels_workspace(problem, &kernel, n_threads);
}

fil_status filk_mass_bf16_p16__avx512bf16_run(fil_ctx *ctx, const void *problem, const void *args,
                                              void *workspace)
{
    return filk_mass_panels_run(ctx, problem, args, &kernel, workspace);
}
