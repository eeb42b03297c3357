/* kernel/cpu/mass_amx.c: block mass on the tiles of AMX.
 *
 * Per group of 4 panels (64 keys) and tile of 16 queries:
 *   S^T = K Q^T   four sums of 16 keys x 16 queries: panels of K are row-major tiles
 *                 [d/32][16 keys][32], queries are packed [d/32][16 pairs of d][16 queries][2];
 *   exp2(S - m)   of the unit before, between its products, as in attn_fwd_amx.c; a vector is one
 *                 key of 16 queries, so maximum and sums need no lane of another;
 *   sums          one vector a panel, added to those of its run in a table [run][query].
 * The lazy maximum m of a query moves when its sum over a panel exceeds LIMIT. Norms are known when
 * all keys are seen; then the table is weighted, and added over queries. All p carry the factor
 * EXP2_TIMES. Memory: 64 floats per run. Method: as in mass_avx512bf16.c.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/cpu/amx.h"
#include "kernel/cpu/attn_tile_amx.h"
#include "kernel/cpu/mass_panels.h"

#define TILES (FILK_BLOCK / TILE)
#define LIMIT (256.0f * EXP2_TIMES) /* of a sum over a panel */
#define CHUNK 64                    /* runs that are summed before their sum is added */

typedef struct scratch {
    _Alignas(64) uint16_t q[TILES][MAX_D / TILE_K][TILE][TILE_K];
    _Alignas(64) float s[2][FILK_GROUP][TILE][TILE]; /* [slot][panel][key][query] */
    _Alignas(64) float max[TILES][TILE];             /* log2 units */
    _Alignas(64) float norm[TILES][TILE];
    int32_t run[FILK_GROUP]; /* of each panel of the group; the number of runs = of none */
    int     tiles;
    _Alignas(64) float table[][TILES][TILE]; /* [run], and one that nobody reads */
} scratch;

static size_t panel_bytes(int32_t head_dim)
{
    return (size_t)head_dim * FILK_PANEL * 2;
}

static size_t scratch_bytes(int32_t n_panels, int32_t n_runs)
{
    (void)n_panels;
    return sizeof(scratch) + ((size_t)n_runs + 1) * sizeof(float[TILES][TILE]);
}

static void pack(const void *const k[FILK_PANEL], int32_t head_dim, void *panel)
{
    char *to = panel;
    for (int32_t d = 0; d < head_dim; d += TILE_K)
        for (int i = 0; i < FILK_PANEL; i++, to += 64)
            _mm512_store_si512(to, load_row(k[i], d * 2));
}

/* ---- scores to sums ------------------------------------------------------------------------- */

/* Scores of a unit on their way to sums. */
typedef struct softmax {
    const float   *s;     /* [4 panels][16 keys][16 queries] */
    const uint8_t *lanes; /* [4] keys of each panel */
    __m512         scale; /* to log2 units */
    __m512         max;
} softmax;

INLINE __m512 score(const softmax *x, int panel, int key)
{
    return _mm512_mul_ps(_mm512_load_ps(x->s + (panel * TILE + key) * TILE), x->scale);
}

/* One key, 0 where `ragged` and the panel has no such key. */
INLINE __m512 power(const softmax *x, int panel, int key, const int ragged)
{
    const __m512 below = _mm512_sub_ps(score(x, panel, key), x->max);
    return ragged ? exp2_16_of(key < x->lanes[panel] ? 0xffff : 0, below) : exp2_16(below);
}

INLINE __m512 sum_of_4(const softmax *x, int panel, int key, const int ragged)
{
    return _mm512_add_ps(
        _mm512_add_ps(power(x, panel, key, ragged), power(x, panel, key + 1, ragged)),
        _mm512_add_ps(power(x, panel, key + 2, ragged), power(x, panel, key + 3, ragged)));
}

static __m512 top_of(const softmax *x)
{
    __m512 top = _mm512_set1_ps(-FLT_MAX);
    for (int panel = 0; panel < FILK_GROUP; panel++)
        for (int key = 0; key < x->lanes[panel]; key++)
            top = _mm512_max_ps(score(x, panel, key), top);
    return top;
}

/* Queries `over` have a sum above LIMIT: moves their maxima, scales the sums of all runs so far,
 * and takes the sums of the unit again. */
static __attribute__((noinline, cold)) void raise_max(scratch *t, int tile, softmax x,
                                                      __mmask16 over, __m512 sum[FILK_GROUP])
{
    const __m512 old    = x.max;
    x.max               = _mm512_mask_max_ps(old, over, top_of(&x), old);
    const __m512 power  = exp2_16(_mm512_sub_ps(old, x.max));
    const __m512 factor = _mm512_mul_ps(power, _mm512_set1_ps(1.0f / EXP2_TIMES));
    _mm512_store_ps(t->max[tile], x.max);
    for (int32_t run = 0; run <= t->run[FILK_GROUP - 1]; run++) {
        float *at = t->table[run][tile];
        _mm512_store_ps(at,
                        _mm512_mask_mul_ps(_mm512_load_ps(at), over, _mm512_load_ps(at), factor));
    }
    for (int panel = 0; panel < FILK_GROUP; panel++) {
        sum[panel] = _mm512_setzero_ps();
        for (int key = 0; key < TILE; key += 4)
            sum[panel] = _mm512_add_ps(sum[panel], sum_of_4(&x, panel, key, 1));
    }
}

INLINE void keep_sums(scratch *t, int tile, const softmax *x, __m512 sum[FILK_GROUP])
{
    const __m512 top = _mm512_max_ps(_mm512_max_ps(sum[0], sum[1]), _mm512_max_ps(sum[2], sum[3]));
    const __mmask16 over = _mm512_cmp_ps_mask(top, _mm512_set1_ps(LIMIT), _CMP_GT_OQ);
    if (__builtin_expect(over != 0, 0)) raise_max(t, tile, *x, over, sum);
    for (int panel = 0; panel < FILK_GROUP; panel++) {
        float *at = t->table[t->run[panel]][tile];
        _mm512_store_ps(at, _mm512_add_ps(_mm512_load_ps(at), sum[panel]));
    }
}

/* ---- scores --------------------------------------------------------------------------------- */

typedef struct products {
    const uint16_t *q; /* [d/32][16 pairs of d][16 queries][2] */
    const char     *k; /* 4 panels */
    float          *s; /* [4 panels][16 keys][16 queries] */
} products;

/* What is constant where a turn is inlined. */
typedef struct form {
    int D;
    int scores, sums; /* which of the two there is to do */
    int ragged;
} form;

/* After product i of D / 8: the next keys, 512 / D of them. */
INLINE void slice(const softmax *y, const form f, int i, __m512 sum[FILK_GROUP])
{
    const int key   = i * (512 / f.D);
    const int panel = key / TILE;
    if (!f.sums) return;
    sum[panel] = _mm512_add_ps(sum[panel], sum_of_4(y, panel, key % TILE, f.ragged));
    if (f.D == 64)
        sum[panel] = _mm512_add_ps(sum[panel], sum_of_4(y, panel, key % TILE + 4, f.ragged));
}

/* Four products over 32 d. */
INLINE void step(const products *x, const softmax *y, const form f, int i, __m512 sum[FILK_GROUP])
{
    const char *k     = x->k + i * TILE_BYTES;
    const int   panel = f.D * FILK_PANEL * 2;
    if (f.scores) {
        AMX_LOAD(4, x->q + i * TILE * TILE_K, 64);
        AMX_LOAD(5, k, 64);
        AMX_DP(0, 5, 4);
    }
    slice(y, f, 4 * i, sum);
    if (f.scores) {
        AMX_LOAD(6, k + panel, 64);
        AMX_DP(1, 6, 4);
    }
    slice(y, f, 4 * i + 1, sum);
    if (f.scores) {
        AMX_LOAD(7, k + 2 * panel, 64);
        AMX_DP(2, 7, 4);
    }
    slice(y, f, 4 * i + 2, sum);
    if (f.scores) {
        AMX_LOAD(5, k + 3 * panel, 64);
        AMX_DP(3, 5, 4);
    }
    slice(y, f, 4 * i + 3, sum);
}

/* Scores of one unit, sums of the one before it. */
INLINE void turn(const products *x, const softmax *y, const form f, __m512 sum[FILK_GROUP])
{
    if (f.scores) {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_ZERO(2);
        AMX_ZERO(3);
    }
    step(x, y, f, 0, sum);
    step(x, y, f, 1, sum);
    if (f.D == 128) {
        step(x, y, f, 2, sum);
        step(x, y, f, 3, sum);
    }
    if (f.scores) {
        AMX_STORE(0, x->s, 64);
        AMX_STORE(1, x->s + TILE * TILE, 64);
        AMX_STORE(2, x->s + 2 * TILE * TILE, 64);
        AMX_STORE(3, x->s + 3 * TILE * TILE, 64);
    }
}

/* ---- all keys ------------------------------------------------------------------------------- */

/* Runs of the panels of a group; groups come in order. */
INLINE void find_runs(const filk_mass_block *b, scratch *t, int32_t group)
{
    int32_t run = group == 0 ? 0 : t->run[FILK_GROUP - 1];
    for (int j = 0; j < FILK_GROUP; j++) {
        while (run < b->problem->mk && b->run_first[run + 1] <= group * FILK_GROUP + j)
            run++;
        t->run[j] = run;
    }
}

INLINE int is_ragged(const uint8_t lanes[FILK_GROUP])
{
    uint32_t all;
    memcpy(&all, lanes, sizeof all);
    return all != FILK_PANEL * 0x01010101u;
}

/* Sums of unit u, and the scores of the next one where x is not NULL. */
INLINE void sum_unit(const filk_mass_block *b, scratch *t, const int D, const products *x, unit u,
                     int slot)
{
    __m512  sum[FILK_GROUP] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                               _mm512_setzero_ps()};
    softmax y               = {.s     = t->s[slot][0][0],
                               .lanes = b->lanes + (size_t)u.group * FILK_GROUP,
                               .scale = _mm512_set1_ps(b->args->scale * 1.4426950408889634f)};
    if (u.tile == 0) find_runs(b, t, u.group);
    if (u.group == 0) _mm512_store_ps(t->max[u.tile], top_of(&y));
    y.max = _mm512_load_ps(t->max[u.tile]);
    if (x == NULL)
        turn(x, &y, (form){.D = D, .sums = 1, .ragged = 1}, sum);
    else if (is_ragged(y.lanes))
        turn(x, &y, (form){.D = D, .scores = 1, .sums = 1, .ragged = 1}, sum);
    else
        turn(x, &y, (form){.D = D, .scores = 1, .sums = 1}, sum);
    keep_sums(t, u.tile, &y, sum);
}

INLINE void walk(const filk_mass_block *b, scratch *t, const int D)
{
    const int64_t units = (int64_t)(b->n_panels / FILK_GROUP) * t->tiles;
    unit          ahead = {.group = 0};
    unit          u     = {.group = 0};
    for (int64_t i = 0; i <= units; i++) {
        const size_t   group = (size_t)(i < units ? ahead.group : 0);
        const products x     = {.q = t->q[ahead.tile][0][0],
                                .k = b->panels + group * FILK_GROUP * panel_bytes(D),
                                .s = t->s[i % 2][0][0]};
        ahead                = next_unit(ahead, t->tiles);
        if (i == 0) {
            turn(&x, NULL, (form){.D = D, .scores = 1}, NULL);
            continue;
        }
        sum_unit(b, t, D, i < units ? &x : NULL, u, (int)((i + 1) % 2));
        u = next_unit(u, t->tiles);
    }
}

/* ---- sums to masses ------------------------------------------------------------------------- */

static __m512 sum_runs(const scratch *t, int tile, int32_t runs)
{
    __m512 total = _mm512_setzero_ps();
    for (int32_t g = 0; g < runs; g += CHUNK) {
        const int32_t end = runs - g < CHUNK ? runs : g + CHUNK;
        __m512        sum = _mm512_setzero_ps();
        for (int32_t i = g; i < end; i++)
            sum = _mm512_add_ps(sum, _mm512_load_ps(t->table[i][tile]));
        total = _mm512_add_ps(total, sum);
    }
    return total;
}

/* What the sums of row r are multiplied with, and its lse. */
static float norm_row(const filk_mass_block *b, int r, float max, float total)
{
    const filk_mass_args *a   = b->args;
    const int64_t         at  = b->head * b->problem->nq + b->first + r;
    const float           in  = a->lse_in != NULL ? a->lse_in[at] : 0.0f;
    const double          sum = (double)total / (double)EXP2_TIMES;
    if (a->lse_out != NULL)
        a->lse_out[at] =
            sum == 0.0 ? -INFINITY : (float)(((double)max + log2(sum)) * 0.69314718055994530942);
    if (isnan(total)) return total;
    if (total == 0.0f) return 0.0f;
    if (a->lse_in == NULL) return 1.0f / total;
    if (in == -INFINITY) return 0.0f;
    return (float)(exp2((double)max - (double)in * 1.44269504088896340736) / (double)EXP2_TIMES);
}

static void find_norms(const filk_mass_block *b, scratch *t)
{
    for (int tile = 0; tile < t->tiles; tile++) {
        _Alignas(64) float total[TILE];
        _mm512_store_ps(total, sum_runs(t, tile, b->problem->mk));
        for (int r = 0; r < TILE; r++) {
            const int row    = tile * TILE + r;
            t->norm[tile][r] = row < b->rows ? norm_row(b, row, t->max[tile][r], total[r]) : 0.0f;
        }
    }
}

static void write_masses(const filk_mass_block *b, const scratch *t)
{
    float *out = b->args->mass + ((int64_t)b->head * b->problem->mq + b->block) * b->problem->mk;
    for (int32_t run = 0; run < b->problem->mk; run++) {
        __m512 sum = _mm512_setzero_ps();
        for (int tile = 0; tile < t->tiles; tile++)
            sum = _mm512_fmadd_ps(_mm512_load_ps(t->table[run][tile]),
                                  _mm512_load_ps(t->norm[tile]), sum);
        out[run] = _mm512_reduce_add_ps(sum);
    }
}

/* ---- a query block -------------------------------------------------------------------------- */

/* Rows beyond the block repeat its last; their norm is 0. */
INLINE void start(const filk_mass_block *b, scratch *t, const int D)
{
    t->tiles = (b->rows + TILE - 1) / TILE;
    for (int tile = 0; tile < t->tiles; tile++) {
        const void *from[TILE];
        for (int i = 0; i < TILE; i++) {
            const int r = tile * TILE + i;
            from[i] =
                filk_row_at(&b->args->q, 2, b->first + (r < b->rows ? r : b->rows - 1), b->head);
        }
        pack_keys(from, D, (char *)t->q[tile]);
    }
    memset(t->table, 0, ((size_t)b->problem->mk + 1) * sizeof t->table[0]);
}

INLINE void block_d(const filk_mass_block *b, const int D)
{
    scratch *t = b->scratch;
    start(b, t, D);
    amx_begin();
    walk(b, t, D);
    amx_end();
    find_norms(b, t);
    write_masses(b, t);
}

static void block(const filk_mass_block *b)
{
    if (b->problem->head_dim == 128)
        block_d(b, 128);
    else
        block_d(b, 64);
}

static const filk_mass_kernel kernel = {
    .panel_bytes = panel_bytes, .scratch_bytes = scratch_bytes, .pack = pack, .block = block};

const char *filk_mass_bf16_p16__amx_refuse(const void *problem)
{
    const filk_mass_problem *p = problem;
    if (p->dtype != FIL_BF16) return "takes bf16 only";
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 and 128 only";
    return NULL;
}

size_t filk_mass_bf16_p16__amx_workspace(const void *problem, int32_t n_threads)
{
    return filk_mass_panels_workspace(problem, &kernel, n_threads);
}

fil_status filk_mass_bf16_p16__amx_run(fil_ctx *ctx, const void *problem, const void *args,
                                       void *workspace)
{
    return filk_mass_panels_run(ctx, problem, args, &kernel, workspace);
}
