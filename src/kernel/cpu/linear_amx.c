/* kernel/cpu/linear_amx.c: linear (kernel/linear.h) on AMX, bf16.
 *
 * A product is 32 rows of x (a strip) by 32 columns of the weights (a panel) over a block of k, 2 x
 * 2 tiles of sums; a step is 32 of k: two tiles of a strip and two of a panel, 2 KiB each. Weights
 * are packed as [n/32][k/32][2 tiles][16 pairs of k][16 columns][2].
 * A task is a tile of the result. Over blocks of k: its x is packed as [strip][k/32][2 tiles] and
 * stays in the L2 cache; each panel's block, in the L1 cache, meets all strips; the sums of a
 * product, 4 KiB in one piece, come from L2 and go back. Then one pass of tile.h. Between products,
 * where only the tile unit is busy, x of the next block is packed, and the next panel is fetched
 * or, with weights in place, packed. The frame is linear_tiles.h. Budget, and why so:
 * docs/design/linear_amx.md. Checked by emulation, never timed.
 */
#include <immintrin.h>

#include "kernel/cpu/amx.h"
#include "kernel/cpu/linear_tiles.h"
#include "kernel/cpu/transpose_avx512.h"

enum {
    EDGE     = 32, /* rows of a strip, columns of a panel, k of a step */
    HALF     = 16, /* of a strip or a panel: a tile */
    ROW      = 64, /* bytes of a tile's row, and of one k in a panel */
    TILE     = HALF * ROW,
    PAIR     = 2 * TILE,
    SUMS     = EDGE * EDGE, /* f32 of a product */
    TILE_M   = 256,
    TILE_N   = 768,
    SMALL_N  = 192, /* tiles become narrower, to this, where there are fewer than MANY */
    MANY     = 32,
    BLOCK_K  = 256, /* a panel's block, a strip's and sums: 36 KiB of L1 */
    SUMS_GAP = 32   /* f32 behind a panel of sums: keeps panels in different sets of the cache */
};

/* ---- sizes ---------------------------------------------------------------------------------- */

static int32_t step_bytes(const filk_linear_tiles *l)
{
    (void)l;
    return ROW;
}

/* x of a block of k. */
static size_t left_bytes(const filk_linear_tiles *l)
{
    return (size_t)(l->tile_m * l->block_k) * 2;
}

static size_t panel_block_bytes(const filk_linear_tiles *l)
{
    return (size_t)(EDGE * l->block_k) * 2;
}

/* f32 from one panel of sums to the next. */
static int64_t sums_stride(const filk_linear_tiles *l)
{
    return l->tile_m * EDGE + SUMS_GAP;
}

static void cut(filk_linear_tiles *l)
{
    const filk_linear_problem *p     = &l->p;
    int64_t                    tiles = fili_task_count(p->m, TILE_M);
    int64_t                    most  = TILE_N;
    while (most > SMALL_N && tiles * fili_task_count(p->n, most) < MANY)
        most /= 2;
    l->tile_m       = filk_share(p->m, TILE_M, EDGE);
    l->tile_n       = filk_share(p->n, most, EDGE);
    l->thread_bytes = 2 * left_bytes(l) +
                      sizeof(float) * (size_t)(l->tile_n / EDGE * sums_stride(l)) +
                      (p->packed ? 0 : 2 * panel_block_bytes(l));
}

/* Steps of the block of k that begins at `k`; 0 behind the last. */
static inline int32_t steps_at(const filk_linear_tiles *l, int64_t k)
{
    const int64_t left = l->depth - k;
    return (int32_t)((left > l->block_k ? l->block_k : left > 0 ? left : 0) / EDGE);
}

/* ---- packing -------------------------------------------------------------------------------- */

/* bf16 rows of x or of the weights, as they lie in memory. */
typedef struct source {
    const uint16_t *at;
    int64_t         stride, rows, k;
} source;

static source x_of(const filk_linear_problem *p, const void *x)
{
    return (source){.at = x, .stride = p->x_stride, .rows = p->m, .k = p->k};
}

static source weights_of(const filk_linear_problem *p, const void *weight)
{
    return (source){.at = weight, .stride = p->k, .rows = p->n, .k = p->k};
}

/* 16 rows of 32 k; zeros behind the last row and the last k. */
INLINE void load_tile(const source *s, int64_t row, int64_t k, __m512i r[HALF])
{
    const int64_t   left  = s->k - k;
    const __mmask32 lanes = left < EDGE ? (1u << left) - 1u : ~0u;
    int64_t         at    = row * s->stride + k;
    for (int i = 0; i < HALF; i++, at += s->stride)
        r[i] = row + i < s->rows ? _mm512_maskz_loadu_epi16(lanes, s->at + at)
                                 : _mm512_setzero_si512();
}

INLINE void store_tile(char *to, const __m512i r[HALF])
{
    for (int i = 0; i < HALF; i++)
        _mm512_store_si512(to + i * ROW, r[i]);
}

INLINE void pack_x(const source *x, int64_t row, int64_t k, char *to)
{
    __m512i r[HALF];
    load_tile(x, row, k, r);
    store_tile(to, r);
}

INLINE void pack_weights(const source *w, int64_t column, int64_t k, char *to)
{
    __m512i r[HALF];
    load_tile(w, column, k, r);
    transpose16(r);
    store_tile(to, r);
}

INLINE void fetch_rows(const source *s, int64_t row, int64_t k)
{
    const int64_t rows = k < s->k ? s->rows - row : 0;
    int64_t       at   = row * s->stride + k;
    for (int64_t i = 0; i < HALF && i < rows; i++, at += s->stride)
        _mm_prefetch((const char *)(s->at + at), _MM_HINT_T1);
}

/* 16 lines into L1 or L2. */
INLINE void fetch_tile(const void *at, const int near)
{
    for (int i = 0; i < HALF; i++)
        if (near)
            _mm_prefetch((const char *)at + i * ROW, _MM_HINT_T0);
        else
            _mm_prefetch((const char *)at + i * ROW, _MM_HINT_T1);
}

static void pack(const filk_linear_tiles *l, const char *rows, int64_t n_rows, char *to)
{
    source w = weights_of(&l->p, rows);
    w.rows   = n_rows;
    for (int64_t k = 0; k < l->depth; k += EDGE)
        for (int64_t half = 0; half < 2; half++, to += TILE)
            pack_weights(&w, half * HALF, k, to);
}

/* ---- a tile of the result ------------------------------------------------------------------- */

typedef struct job {
    const filk_linear_tiles *l;
    source                   x, w;
    const char              *packed; /* weights, or NULL: in place */
    fili_range               m, n;
    char                    *left[2]; /* x of this block of k and of the next, in turn */
    char                    *own[2];  /* panels packed here, in turn */
    float                   *sums;    /* [panel][row][32] */
} job;

static job begin(const filk_linear_tiles *l, const filk_linear_args *a, fili_range m, fili_range n,
                 char *scratch)
{
    job t = {.l      = l,
             .x      = x_of(&l->p, a->x),
             .w      = weights_of(&l->p, a->weight),
             .packed = l->p.packed ? a->weight : NULL,
             .m      = m,
             .n      = n};
    for (int i = 0; i < 2; i++, scratch += left_bytes(l))
        t.left[i] = scratch;
    for (int i = 0; i < 2 && !l->p.packed; i++, scratch += panel_block_bytes(l))
        t.own[i] = scratch;
    t.sums = (float *)(void *)scratch;
    return t;
}

/* A panel's block: its first column, its first k. */
typedef struct place {
    int64_t j, k;
} place;

/* The block that comes next; none has a step behind the last. */
INLINE place after(const job *t, place at)
{
    at.j += EDGE;
    if (at.j < t->n.end) return at;
    return (place){.j = t->n.begin, .k = at.k + t->l->block_k};
}

INLINE const char *packed_at(const job *t, place at)
{
    return t->packed + (size_t)(at.j / EDGE) * t->l->panel_bytes + at.k * ROW;
}

/* Work that is done bit by bit ahead of its use, evenly over `of` products. */
typedef struct chore {
    int32_t done, all; /* tiles */
    int64_t of, passed;
} chore;

INLINE int due(const chore *c)
{
    return c->done < c->all && c->done * c->of < c->all * (c->passed + 1);
}

/* Tile u of x for the block at k; the tile below it is fetched, under the last the first of the
 * block that follows. */
INLINE void x_ahead(const job *t, int64_t k, char *to, int32_t u)
{
    const int32_t steps = steps_at(t->l, k);
    if (steps == 0) return; /* behind the last block nothing is due */
    const int64_t strip = u / steps / 2;
    const int64_t high  = u / steps % 2;
    const int64_t step  = u % steps;
    const int64_t row   = t->m.begin + strip * EDGE + high * HALF;
    pack_x(&t->x, row, k + step * EDGE, to + (strip * steps + step) * PAIR + high * TILE);
    if (row + HALF < t->m.end)
        fetch_rows(&t->x, row + HALF, k + step * EDGE);
    else
        fetch_rows(&t->x, t->m.begin, k + t->l->block_k + step * EDGE);
}

/* Tile u of the panel's block at `next`. */
INLINE void weights_ahead(const job *t, place next, char *to, int32_t u)
{
    const int64_t column = u % 2 * HALF;
    const int64_t k      = u / 2 * EDGE;
    if (t->packed != NULL) {
        fetch_tile(packed_at(t, next) + u * TILE, 0);
        return;
    }
    const place then = after(t, next);
    pack_weights(&t->w, next.j + column, next.k + k, to + u * TILE);
    fetch_rows(&t->w, then.j + column, then.k + k);
}

/* ---- products ------------------------------------------------------------------------------- */

typedef struct block {
    const char *strip, *panel;
    float      *sums;
    float      *next_sums; /* of the product that follows */
    int32_t     steps;
    int32_t     is_first; /* of the blocks of k */
} block;

#define SUMS_AT(row, column) (b->sums + (row) * (HALF * EDGE) + (column)*HALF)

/* high, wide: tiles of the strip and of the panel that hold something, 1 or 2. */
INLINE void multiply(const block *b, const int high, const int wide)
{
    const char *x = b->strip;
    const char *w = b->panel;
    if (b->is_first) {
        AMX_ZERO(0);
        AMX_ZERO(1);
        AMX_ZERO(2);
        AMX_ZERO(3);
    } else {
        AMX_LOAD(0, SUMS_AT(0, 0), EDGE * 4);
        if (wide == 2) AMX_LOAD(1, SUMS_AT(0, 1), EDGE * 4);
        if (high == 2) AMX_LOAD(2, SUMS_AT(1, 0), EDGE * 4);
        if (high == 2 && wide == 2) AMX_LOAD(3, SUMS_AT(1, 1), EDGE * 4);
        for (int i = 0; i < 4; i++)
            fetch_tile((const char *)b->next_sums + i * TILE, 1);
    }
    for (int32_t s = 0; s < b->steps; s++, x += PAIR, w += PAIR) {
        AMX_LOAD(4, x, ROW);
        AMX_LOAD(6, w, ROW);
        AMX_DP(0, 4, 6);
        if (wide == 2) AMX_LOAD(7, w + TILE, ROW);
        if (wide == 2) AMX_DP(1, 4, 7);
        if (high == 2) AMX_LOAD(5, x + TILE, ROW);
        if (high == 2) AMX_DP(2, 5, 6);
        if (high == 2 && wide == 2) AMX_DP(3, 5, 7);
    }
    AMX_STORE(0, SUMS_AT(0, 0), EDGE * 4);
    if (wide == 2) AMX_STORE(1, SUMS_AT(0, 1), EDGE * 4);
    if (high == 2) AMX_STORE(2, SUMS_AT(1, 0), EDGE * 4);
    if (high == 2 && wide == 2) AMX_STORE(3, SUMS_AT(1, 1), EDGE * 4);
}

/* rows, cols: what is left of the tile of the result. */
INLINE void multiply_left(const block *b, int64_t rows, int64_t cols)
{
    if (rows > HALF && cols > HALF)
        multiply(b, 2, 2);
    else if (rows > HALF)
        multiply(b, 2, 1);
    else if (cols > HALF)
        multiply(b, 1, 2);
    else
        multiply(b, 1, 1);
}

/* Panel `at` with all strips; meanwhile tiles of x_next, and the panel that follows into `own`. */
INLINE void meet_strips(const job *t, place at, const char *panel, const char *left, char *own,
                        chore *x, char *x_next)
{
    const filk_linear_tiles *l     = t->l;
    const place              next  = after(t, at);
    const int64_t            rows  = t->m.end - t->m.begin;
    const int32_t            steps = steps_at(l, at.k);
    float                   *sums  = t->sums + (at.j - t->n.begin) / EDGE * sums_stride(l);
    chore w = {.all = 2 * steps_at(l, next.k), .of = fili_task_count(rows, EDGE)};
    for (int64_t i = 0; i < rows; i += EDGE, w.passed++, x->passed++) {
        while (due(x))
            x_ahead(t, at.k + l->block_k, x_next, x->done++);
        while (due(&w))
            weights_ahead(t, next, own, w.done++);
        const block b = {.strip     = left + i / EDGE * steps * PAIR,
                         .panel     = panel,
                         .sums      = sums + i * EDGE,
                         .next_sums = sums + (i + EDGE) * EDGE,
                         .steps     = steps,
                         .is_first  = at.k == 0};
        multiply_left(&b, rows - i, t->n.end - at.j);
    }
}

static filk_linear_sums product(const filk_linear_tiles *l, const filk_linear_args *a, fili_range m,
                                fili_range n, char *scratch)
{
    const job     t      = begin(l, a, m, n, scratch);
    const int64_t strips = fili_task_count(m.end - m.begin, EDGE);
    const int64_t panels = fili_task_count(n.end - n.begin, EDGE);
    const int32_t high   = (int32_t)fili_task_count(m.end - m.begin, HALF);
    const place   first  = {.j = n.begin, .k = 0};
    for (int32_t u = 0; u < high * steps_at(l, 0); u++)
        x_ahead(&t, 0, t.left[0], u);
    for (int32_t u = 0; u < 2 * steps_at(l, 0); u++)
        weights_ahead(&t, first, t.own[0], u);
    amx_begin();
    int   own = 0;
    int   now = 0;
    place at  = first;
    for (; at.k < l->depth; now ^= 1) {
        chore         x = {.all = high * steps_at(l, at.k + l->block_k), .of = strips * panels};
        const int64_t k = at.k;
        for (; at.k == k; at = after(&t, at), own ^= 1)
            meet_strips(&t, at, t.packed != NULL ? packed_at(&t, at) : t.own[own], t.left[now],
                        t.own[!own], &x, t.left[!now]);
    }
    amx_end();
    return (filk_linear_sums){
        .at = t.sums, .stride = EDGE, .panel = EDGE, .panel_stride = sums_stride(l)};
}

/* ---- the row -------------------------------------------------------------------------------- */

const char *filk_linear_bf16_tile__amx_refuse(const void *problem)
{
    return filk_linear_refuse_other(problem, FIL_BF16);
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    static const filk_linear_kernel kernel = {.cols       = EDGE,
                                              .step       = EDGE,
                                              .block_k    = BLOCK_K,
                                              .step_bytes = step_bytes,
                                              .cut        = cut,
                                              .pack       = pack,
                                              .product    = product,
                                              .tile       = filk_tile_avx512};
    return filk_linear_tiles_create(ctx, problem, &kernel, plan);
}

const filk_plan_ops filk_linear_bf16_tile__amx_plan = FILK_LINEAR_TILES_OPS(create);
