/* kernel/cpu/attn_fwd_amx.c: attention forward on the tiles of AMX.
 *
 * Per tile of 16 queries and group of 4 panels (64 keys):
 *   S = Q K^T     four sums of 16 x 16: a tile of Q against one of each panel of K,
 *                 [d/32][16 pairs of d][16 keys][2];
 *   P = exp2(S - m)   of the unit before, one row of 64 keys after each product (two where D is
 *                 64), so that the CPU overlaps both (attn_softmax_amx.h);
 *   O += P V      in squares of 32 queries x 32 d, after TRIP groups, so that O makes one round
 *                 trip through memory for TRIP * 64 keys. A panel of V is [8 pairs of keys][d][2]
 *                 and a line more: two that follow each other in memory are a tile of 32 keys for
 *                 every 16 d; others are copied together.
 * The budget is in docs/design/attention_amx.md. Tile products take denormals for zero.
 */
#include "kernel/cpu/amx.h"
#include "kernel/cpu/attn_softmax_amx.h"

#define MAX_TILES 8 /* of queries: without a mask a task has 128 */

typedef struct scratch {
    query_tile tile[MAX_TILES];
    _Alignas(64) float s[2][FILK_GROUP][TILE][TILE];
    _Alignas(64) char v[TRIP * PAIRS][2 * (MAX_D + FILK_PANEL) * 32]; /* panels copied together */
    int tiles;                                                        /* of queries */
    int has_o;
} scratch;

/* ---- packing -------------------------------------------------------------------------------- */

/* Bytes of a pair of keys in a panel of V: a line more than they are, so that the 16 rows of a tile
 * fall into different sets of the L1 cache. */
INLINE int64_t pitch_of(int32_t head_dim)
{
    return (int64_t)head_dim * 4 + FILK_LINE;
}

static size_t panel_bytes(int32_t head_dim)
{
    return (size_t)pitch_of(head_dim) * FILK_PANEL / 2;
}

static size_t scratch_bytes(int32_t head_dim)
{
    (void)head_dim;
    return sizeof(scratch);
}

/* Two rows by turns: quarters are sorted first, since unpacking stays within 128 bits. */
INLINE void pack_values(const void *a, const void *b, int32_t head_dim, char *to)
{
    const __m512i quarters = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    for (int32_t d = 0; d < head_dim; d += 32) {
        const __m512i x = _mm512_permutexvar_epi64(quarters, load_row(a, d * 2));
        const __m512i y = _mm512_permutexvar_epi64(quarters, load_row(b, d * 2));
        _mm512_store_si512(to + d * 4, _mm512_unpacklo_epi16(x, y));
        _mm512_store_si512(to + d * 4 + 64, _mm512_unpackhi_epi16(x, y));
    }
}

static void pack(const void *const k[FILK_PANEL], const void *const v[FILK_PANEL], int32_t head_dim,
                 void *k_panel, void *v_panel)
{
    char *vp = v_panel;
    pack_keys(k, head_dim, k_panel);
    for (int i = 0; i < FILK_PANEL; i += 2, vp += pitch_of(head_dim))
        pack_values(v[i], v[i + 1], head_dim, vp);
}

/* ---- scores --------------------------------------------------------------------------------- */

typedef struct products {
    const uint16_t *q;             /* [d/32][16][32] */
    const char     *k[FILK_GROUP]; /* panels */
    float          *s;             /* [4 panels][16][16] */
} products;

/* What is constant where a turn is inlined. */
typedef struct form {
    int D;
    int scores, probabilities; /* which of the two there is to do */
    int biased;
} form;

/* One row of P, and a part of two panels fetched into the L2 cache. */
INLINE void one_row(const softmax *y, const form f, int r)
{
    const int lines = f.D / 32 + 1;
    for (int i = 0; i < lines; i++) {
        _mm_prefetch(y->ahead[0] + (r * lines + i) * (int)FILK_LINE, _MM_HINT_T1);
        _mm_prefetch(y->ahead[1] + (r * lines + i) * (int)FILK_LINE, _MM_HINT_T1);
    }
    softmax_row(y, r, f.biased);
}

/* After product i of D / 8. */
INLINE void slice(const softmax *y, const form f, int i)
{
    if (!f.probabilities) return;
    if (f.D == 128) {
        one_row(y, f, i);
    } else {
        one_row(y, f, 2 * i);
        one_row(y, f, 2 * i + 1);
    }
}

/* Four products over 32 d. */
INLINE void step(const products *x, const softmax *y, const form f, int i)
{
    const int at = i * TILE_BYTES;
    AMX_LOAD(4, x->q + i * TILE * TILE_K, 64);
    AMX_LOAD(5, x->k[0] + at, 64);
    AMX_DP(0, 4, 5);
    slice(y, f, 4 * i);
    AMX_LOAD(6, x->k[1] + at, 64);
    AMX_DP(1, 4, 6);
    slice(y, f, 4 * i + 1);
    AMX_LOAD(7, x->k[2] + at, 64);
    AMX_DP(2, 4, 7);
    slice(y, f, 4 * i + 2);
    AMX_LOAD(5, x->k[3] + at, 64);
    AMX_DP(3, 4, 5);
    slice(y, f, 4 * i + 3);
}

/* Scores of one unit, probabilities of the one before it. */
INLINE void turn(const products *x, const softmax *y, const form f)
{
    if (!f.scores) {
        for (int i = 0; i < f.D / 8; i++)
            slice(y, f, i);
        return;
    }
    AMX_ZERO(0);
    AMX_ZERO(1);
    AMX_ZERO(2);
    AMX_ZERO(3);
    step(x, y, f, 0);
    step(x, y, f, 1);
    if (f.D == 128) {
        step(x, y, f, 2);
        step(x, y, f, 3);
    }
    AMX_STORE(0, x->s, 64);
    AMX_STORE(1, x->s + TILE * TILE, 64);
    AMX_STORE(2, x->s + 2 * TILE * TILE, 64);
    AMX_STORE(3, x->s + 3 * TILE * TILE, 64);
}

/* ---- values --------------------------------------------------------------------------------- */

/* Panels of V in pairs that are one tile for every 16 d. */
typedef struct pairs {
    const char *v[TRIP * PAIRS];
    int         n;
} pairs;

INLINE const char *join(char *to, const char *a, const char *b, const size_t bytes)
{
    if (b == a + bytes) return a;
    for (size_t i = 0; i < bytes; i += FILK_LINE) {
        _mm512_store_si512(to + i, _mm512_load_si512(a + i));
        _mm512_store_si512(to + bytes + i, _mm512_load_si512(b + i));
    }
    return to;
}

/* 32 queries x 32 d. */
INLINE void value_square(scratch *t, const pairs *x, const int D, int tile, int strip)
{
    const query_tile *q = &t->tile[tile];
    float            *o = t->tile[tile].o[strip][0];
    float            *u = t->tile[tile + 1].o[strip][0];
    if (t->has_o) {
        AMX_LOAD(0, o, 64);
        AMX_LOAD(1, o + TILE * TILE, 64);
        AMX_LOAD(2, u, 64);
        AMX_LOAD(3, u + TILE * TILE, 64);
    } else {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_ZERO(2);
        AMX_ZERO(3);
    }
    for (int i = 0; i < x->n; i++) {
        const char *v = x->v[i] + strip * 64;
        AMX_LOAD(4, q[0].p[i], 64);
        AMX_LOAD(6, v, pitch_of(D));
        AMX_DP(0, 4, 6);
        AMX_LOAD(7, v + 64, pitch_of(D));
        AMX_DP(1, 4, 7);
        AMX_LOAD(5, q[1].p[i], 64);
        AMX_DP(2, 5, 6);
        AMX_DP(3, 5, 7);
    }
    AMX_STORE(0, o, 64);
    AMX_STORE(1, o + TILE * TILE, 64);
    AMX_STORE(2, u, 64);
    AMX_STORE(3, u + TILE * TILE, 64);
}

/* 16 queries x 64 d, of the last tile where their number is odd. */
INLINE void value_row(scratch *t, const pairs *x, const int D, int tile, int strip)
{
    float *o = t->tile[tile].o[strip][0];
    if (t->has_o) {
        AMX_LOAD(0, o, 64);
        AMX_LOAD(1, o + TILE * TILE, 64);
        AMX_LOAD(2, o + 2 * TILE * TILE, 64);
        AMX_LOAD(3, o + 3 * TILE * TILE, 64);
    } else {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_ZERO(2);
        AMX_ZERO(3);
    }
    for (int i = 0; i < x->n; i++) {
        const char *v = x->v[i] + strip * 64;
        AMX_LOAD(4, t->tile[tile].p[i], 64);
        AMX_LOAD(5, v, pitch_of(D));
        AMX_DP(0, 4, 5);
        AMX_LOAD(6, v + 64, pitch_of(D));
        AMX_DP(1, 4, 6);
        AMX_LOAD(7, v + 128, pitch_of(D));
        AMX_DP(2, 4, 7);
        AMX_LOAD(5, v + 192, pitch_of(D));
        AMX_DP(3, 4, 5);
    }
    AMX_STORE(0, o, 64);
    AMX_STORE(1, o + TILE * TILE, 64);
    AMX_STORE(2, o + 2 * TILE * TILE, 64);
    AMX_STORE(3, o + 3 * TILE * TILE, 64);
}

/* The trip that ends with `group`. */
INLINE void values(const filk_attn_block *b, scratch *t, const int D, int32_t group)
{
    const size_t   bytes = panel_bytes(D);
    const int32_t *list  = b->list + (group - group % TRIP) * FILK_GROUP;
    pairs          x     = {.n = (group % TRIP + 1) * PAIRS};
    for (int i = 0; i < x.n; i++)
        x.v[i] = join(t->v[i], b->v_panels + (size_t)list[2 * i] * bytes,
                      b->v_panels + (size_t)list[2 * i + 1] * bytes, bytes);
    for (int tile = 0; tile + 1 < t->tiles; tile += 2)
        for (int strip = 0; strip < D / TILE; strip += 2)
            value_square(t, &x, D, tile, strip);
    for (int strip = 0; t->tiles % 2 != 0 && strip < D / TILE; strip += 4)
        value_row(t, &x, D, t->tiles - 1, strip);
    t->has_o = 1;
}

/* ---- a query block -------------------------------------------------------------------------- */

INLINE products products_of(const filk_attn_block *b, scratch *t, const int D, unit u, int slot)
{
    products x = {.q = t->tile[u.tile].q[0][0], .s = t->s[slot][0][0]};
    for (int j = 0; j < FILK_GROUP; j++)
        x.k[j] = b->k_panels + (size_t)b->list[u.group * FILK_GROUP + j] * panel_bytes(D);
    return x;
}

/* While it works on this group its values, and the keys of the next one, are fetched. */
INLINE softmax softmax_of(const filk_attn_block *b, scratch *t, const int D, unit u, int slot)
{
    const int32_t first = u.group * FILK_GROUP;
    const int32_t next  = first + FILK_GROUP < b->n_list ? first + FILK_GROUP : first;
    const int32_t part  = u.tile % FILK_GROUP;
    softmax       x     = {.t      = &t->tile[u.tile],
                           .s      = t->s[slot][0][0],
                           .ahead  = {b->v_panels + (size_t)b->list[first + part] * panel_bytes(D),
                                      b->k_panels + (size_t)b->list[next + part] * panel_bytes(D)},
                           .scale  = _mm512_set1_ps(b->args->scale * 1.4426950408889634f),
                           .done   = u.group % TRIP * PAIRS,
                           .strips = t->has_o ? D / TILE : 0};
    x.p                 = x.t->p[x.done][0];
    if (first < b->n_plain) return x;
    x.bias = b->bias + (size_t)(first - b->n_plain) * FILK_PANEL;
    for (int j = 0; j < FILK_GROUP; j++)
        x.live[j] = _mm512_cmp_ps_mask(_mm512_loadu_ps(x.bias + j * TILE),
                                       _mm512_set1_ps(-INFINITY), _CMP_NEQ_UQ);
    return x;
}

/* x, y: NULL = nothing to do. */
INLINE void one_turn(const int D, const products *x, const softmax *y)
{
    if (y == NULL) {
        turn(x, y, (form){.D = D, .scores = 1});
        return;
    }
    softmax z = *y;
    z.self    = y;
    if (x != NULL && y->bias == NULL)
        turn(x, &z, (form){.D = D, .scores = 1, .probabilities = 1});
    else if (x != NULL)
        turn(x, &z, (form){.D = D, .scores = 1, .probabilities = 1, .biased = 1});
    else if (y->bias == NULL)
        turn(x, &z, (form){.D = D, .probabilities = 1});
    else
        turn(x, &z, (form){.D = D, .probabilities = 1, .biased = 1});
}

/* Scores run one unit ahead of probabilities, and into the next trip before the values of this. */
INLINE void walk(const filk_attn_block *b, scratch *t, const int D)
{
    const int32_t groups = b->n_list / FILK_GROUP;
    const int64_t units  = (int64_t)groups * t->tiles;
    unit          ahead  = {.group = 0};
    unit          u      = {.group = 0};
    if (units == 0) return;
    for (int64_t i = 0; i <= units; i++) {
        const products x = products_of(b, t, D, i < units ? ahead : u, (int)(i % 2));
        const softmax  y = softmax_of(b, t, D, u, (int)((i + 1) % 2));
        if (i > 0 && u.group == 0) first_max(&y);
        one_turn(D, i < units ? &x : NULL, i > 0 ? &y : NULL);
        ahead = next_unit(ahead, t->tiles);
        if (i == 0) continue;
        if (u.tile == t->tiles - 1 && (u.group % TRIP == TRIP - 1 || u.group == groups - 1))
            values(b, t, D, u.group);
        u = next_unit(u, t->tiles);
    }
}

/* Rows beyond the block repeat its last; they are not written. */
INLINE void start(const filk_attn_block *b, scratch *t, const int D)
{
    t->tiles = (b->rows + TILE - 1) / TILE;
    t->has_o = 0;
    for (int r = 0; r < t->tiles * TILE; r++) {
        query_tile *q    = &t->tile[r / TILE];
        const int   in   = r < b->rows ? r : b->rows - 1;
        const char *from = filk_row_at(&b->args->q, 2, b->first + in, b->head);
        for (int d = 0; d < D; d += TILE_K)
            _mm512_store_si512(q->q[d / TILE_K][r % TILE], _mm512_loadu_si512(from + d * 2));
        _mm512_store_ps(q->sum[r % TILE], _mm512_setzero_ps());
        q->max[r % TILE] = -FLT_MAX;
    }
}

/* A row without a sum has seen no key: zeros, whatever O holds. */
INLINE void write_row(const filk_attn_block *b, const query_tile *t, const int D, int r,
                      int64_t token)
{
    const filk_attn_args *a    = b->args;
    const float           sum  = _mm512_reduce_add_ps(_mm512_load_ps(t->sum[r]));
    const __m512          norm = _mm512_set1_ps(sum == 0.0f ? 0.0f : 1.0f / sum);
    const __mmask16       some = sum == 0.0f ? 0 : 0xffff;
    uint16_t *out = (uint16_t *)a->out + token * a->out_stride_n + b->head * a->out_stride_h;
    for (int i = 0; i < D / TILE; i += 2) {
        const __m512 lo = _mm512_maskz_mul_ps(some, _mm512_load_ps(t->o[i][r]), norm);
        const __m512 hi = _mm512_maskz_mul_ps(some, _mm512_load_ps(t->o[i + 1][r]), norm);
        _mm512_storeu_si512(out + i * TILE, (__m512i)_mm512_cvtne2ps_pbh(hi, lo));
    }
    if (a->lse != NULL)
        a->lse[b->head * b->problem->nq + token] =
            sum == 0.0f ? -INFINITY
                        : (t->max[r] + log2f(sum * (1.0f / EXP2_TIMES))) * 0.6931471805599453f;
}

INLINE void block_d(const filk_attn_block *b, const int D)
{
    scratch *t = b->scratch;
    start(b, t, D);
    amx_begin();
    walk(b, t, D);
    amx_end();
    for (int r = 0; r < b->rows; r++)
        write_row(b, &t->tile[r / TILE], D, r % TILE, b->first + r);
}

static void block(const filk_attn_block *b)
{
    if (b->problem->head_dim == 128)
        block_d(b, 128);
    else
        block_d(b, 64);
}

static const filk_attn_kernel kernel = {.panel_bytes   = panel_bytes,
                                        .scratch_bytes = scratch_bytes,
                                        .pack          = pack,
                                        .block         = block,
                                        .dense_rows    = MAX_TILES * TILE};

const char *filk_attn_fwd_bf16_p16__amx_refuse(const void *problem)
{
    const filk_attn_problem *p = problem;
    if (p->dtype != FIL_BF16) return "takes bf16 only";
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 and 128 only";
    return NULL;
}

size_t filk_attn_fwd_bf16_p16__amx_workspace(const void *problem, int32_t n_threads)
{
    return filk_attn_panels_workspace(problem, &kernel, n_threads);
}

fil_status filk_attn_fwd_bf16_p16__amx_run(fil_ctx *ctx, const void *problem, const void *args,
                                           void *workspace)
{
    return filk_attn_panels_run(ctx, problem, args, &kernel, workspace);
}
