/* kernel/cpu/linear_tmpl.c: linear (kernel/linear.h) on FMA, bf16 and f32. Included, not compiled:
 * the including file brings mm_avx2.h or mm_avx512.h, the pass over a finished tile (LINEAR_PASS),
 * the length of a block of k (LINEAR_BLOCK_K), and names its rows (ROW).
 *
 * Weights are panels of 16 columns, [k][16] (mm.h): bf16 stays bf16 and is widened where the tile
 * needs it. A task is a tile of the result. Over blocks of k: its rows of x are widened to f32
 * [MM_ROWS rows][k][MM_ROWS], which stays in the L2 cache; the block of each MM_PANELS panels, in
 * the L1 cache, meets all of them; sums wait in an f32 tile. Then one pass of tile.h. With weights
 * in place, a panel's block is packed in every task, so tiles are taller. k counts in steps of
 * MM_STEPS, filled up with zeros. Figures: docs/design/kernels_avx2.md.
 */
#include <string.h>

#include "base/checked.h"
#include "base/ctx.h"
#include "base/mem.h"
#include "kernel/cpu/linear_finish.h"

enum {
    TILE_M     = 96, /* packed */
    TILE_N     = 768,
    IN_PLACE_M = 192,
    IN_PLACE_N = 384,
    BLOCK_K    = LINEAR_BLOCK_K,
    ACC_GAP    = 16, /* f32 behind each row of sums: keeps rows in different sets of the cache */
    LINE       = 64
};

typedef struct linear_plan {
    filk_linear_problem p;
    int64_t             depth;   /* k, in whole steps */
    int64_t             block_k; /* of a block; the last may be shorter */
    int64_t             tile_m, tile_n, m_tiles, n_tiles;
    int32_t             n_threads;
    size_t              panel_bytes; /* of 16 columns and all k */
    size_t              left_bytes, acc_bytes, own_bytes, thread_bytes;
} linear_plan;

static size_t padded(size_t bytes)
{
    return (bytes + LINE - 1) & ~(size_t)(LINE - 1);
}

static int64_t rounded(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int is_bf16(const linear_plan *l)
{
    return l->p.dtype == FIL_BF16;
}

/* Panels of a task's own hold what the tile reads: as packed in place, or widened. */
INLINE int own_is_narrow(const int bf16)
{
    return bf16 && !MM_WIDENS;
}

INLINE size_t own_size(int64_t block_k, const int bf16)
{
    return (size_t)block_k * (size_t)mm_step_bytes(own_is_narrow(bf16));
}

/* ---- the plan ------------------------------------------------------------------------------- */

/* By the problem alone: the same bits for any number of threads. Blocks of k are of one length, or
 * nearly so. */
static void choose_tiles(linear_plan *l)
{
    const filk_linear_problem *p = &l->p;
    l->depth                     = rounded(p->k, MM_STEPS);
    const int64_t blocks         = (l->depth + BLOCK_K - 1) / BLOCK_K;
    l->block_k                   = rounded((l->depth + blocks - 1) / blocks, MM_STEPS);
    l->tile_m                    = min_of(p->packed ? TILE_M : IN_PLACE_M, rounded(p->m, MM_ROWS));
    l->tile_n                    = min_of(p->packed ? TILE_N : IN_PLACE_N, rounded(p->n, MM_COLS));
    l->m_tiles                   = fili_task_count(p->m, l->tile_m);
    l->n_tiles                   = fili_task_count(p->n, l->tile_n);
}

static int64_t acc_stride(const linear_plan *l)
{
    return l->tile_n + ACC_GAP;
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    size_t all;
    *plan                        = NULL;
    const filk_linear_problem *p = problem;
    if (p->n > INT64_MAX - MM_COLS ||
        !fili_mul_size((size_t)rounded(p->n, MM_COLS), (size_t)rounded(p->k, MM_STEPS) * 4, &all))
        return FIL_FAIL(ctx, FIL_E_SHAPE, "linear: weights of %lld x %lld are too large",
                        (long long)p->n, (long long)p->k);
    FIL_TRY(fili_calloc(ctx, 1, sizeof(linear_plan), "linear plan", plan));
    linear_plan *l = *plan;
    memcpy(&l->p, p, sizeof l->p);
    choose_tiles(l);
    l->n_threads      = ctx->n_threads;
    const int has_own = !p->packed || (is_bf16(l) && MM_WIDENS);
    l->panel_bytes    = (size_t)l->depth * (size_t)mm_step_bytes(is_bf16(l));
    l->left_bytes     = padded(sizeof(float) * (size_t)(l->tile_m * l->block_k + MM_SLACK));
    l->acc_bytes      = padded(sizeof(float) * (size_t)(l->tile_m * acc_stride(l)));
    l->own_bytes      = has_own ? MM_PANELS * own_size(l->block_k, is_bf16(l)) : 0;
    l->thread_bytes   = l->left_bytes + l->acc_bytes + l->own_bytes;
    return FIL_OK;
}

static void destroy(fil_ctx *ctx, void **plan)
{
    fili_free(ctx, *plan, sizeof(linear_plan));
    *plan = NULL;
}

static size_t workspace_bytes(const void *plan)
{
    const linear_plan *l = plan;
    return (size_t)l->n_threads * l->thread_bytes;
}

/* In whole tiles. */
static int64_t panels_of(const linear_plan *l)
{
    return rounded(l->p.n, MM_COLS) / MM_PANEL;
}

static size_t packed_bytes(const void *plan)
{
    const linear_plan *l = plan;
    return l->p.packed ? (size_t)panels_of(l) * l->panel_bytes : 0;
}

/* ---- packing -------------------------------------------------------------------------------- */

enum { MAX_ROWS = 16 };

/* The last steps of up to 16 rows, filled up with zeros. */
typedef struct last_steps {
    _Alignas(64) char copy[MAX_ROWS][MM_STEPS * 4];
    const void *row[MAX_ROWS];
} last_steps;

static void copy_last(last_steps *last, const void *const *row, int n, int64_t at, int64_t left,
                      int64_t element)
{
    memset(last->copy, 0, sizeof last->copy);
    for (int i = 0; i < n; i++) {
        last->row[i] = row[i] != NULL ? last->copy[i] : NULL;
        if (row[i] != NULL)
            memcpy(last->copy[i], (const char *)row[i] + at * element, (size_t)(left * element));
    }
}

/* Steps k of the panel that begins with column `first`. */
INLINE void pack_panel(const linear_plan *l, const char *weight, int64_t first, fili_range k,
                       const int bf16, const int narrow, char *to)
{
    const int64_t element = bf16 ? 2 : 4;
    const void   *row[MM_PANEL];
    for (int i = 0; i < MM_PANEL; i++)
        row[i] = first + i < l->p.n ? weight + (first + i) * l->p.k * element : NULL;
    int64_t at = k.begin;
    for (; at + MM_STEPS <= min_of(k.end, l->p.k); at += MM_STEPS)
        mm_pack_rows(row, bf16, narrow, (int32_t)at, to + (at - k.begin) * mm_step_bytes(narrow));
    if (at < k.end) {
        last_steps last;
        copy_last(&last, row, MM_PANEL, at, l->p.k - at, element);
        mm_pack_rows(last.row, bf16, narrow, 0, to + (at - k.begin) * mm_step_bytes(narrow));
    }
}

/* Steps k of rows m of x, MM_ROWS by MM_ROWS. Rows beyond the last repeat it. */
INLINE void pack_left(const linear_plan *l, const char *x, fili_range m, fili_range k,
                      const int bf16, float *to)
{
    const int64_t element = bf16 ? 2 : 4;
    for (int64_t i = m.begin; i < m.end; i += MM_ROWS, to += MM_ROWS * (k.end - k.begin)) {
        const void *row[VF_LANES];
        for (int r = 0; r < VF_LANES; r++)
            row[r] = x + min_of(i + r, m.end - 1) * l->p.x_stride * element;
        int64_t at = k.begin;
        for (; at + MM_STEPS <= min_of(k.end, l->p.k); at += MM_STEPS)
            mm_pack_left(row, bf16, (int32_t)at, to + (at - k.begin) * MM_ROWS);
        if (at < k.end) {
            last_steps last;
            copy_last(&last, row, VF_LANES, at, l->p.k - at, element);
            mm_pack_left(last.row, bf16, 0, to + (at - k.begin) * MM_ROWS);
        }
    }
}

typedef struct pack_state {
    const linear_plan *l;
    const char        *weight;
    char              *packed;
} pack_state;

static fil_status pack_task(void *arg, int64_t panel, int32_t worker)
{
    const pack_state  *s   = arg;
    const linear_plan *l   = s->l;
    const fili_range   all = {.begin = 0, .end = l->depth};
    char              *to  = s->packed + (size_t)panel * l->panel_bytes;
    (void)worker;
    if (is_bf16(l))
        pack_panel(l, s->weight, panel * MM_PANEL, all, 1, 1, to);
    else
        pack_panel(l, s->weight, panel * MM_PANEL, all, 0, 0, to);
    return FIL_OK;
}

static fil_status pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace)
{
    pack_state s = {.l = plan, .weight = weight, .packed = packed};
    (void)workspace;
    if (!s.l->p.packed) return FIL_OK;
    return fili_pool_run(ctx, "linear packing", panels_of(s.l), pack_task, &s);
}

/* ---- running -------------------------------------------------------------------------------- */

typedef struct run_state {
    const linear_plan      *l;
    const filk_linear_args *a;
    char                   *workspace;
} run_state;

/* The block of k of a tile's panels, of one thread. */
typedef struct block {
    const float *left; /* [MM_ROWS rows][k][MM_ROWS] */
    const char  *panel[MM_PANELS];
    const char  *next[MM_PANELS]; /* the panels that come after these, fetched meanwhile */
    int          lines;           /* of each, per tile of rows */
    float       *acc;             /* of the panels' columns */
    int64_t      acc_stride;
    int32_t      depth;
    int          is_first;
} block;

/* Sums may have left for the L3 cache since the last block of k: they are fetched before the
 * product, and added behind it. */
INLINE void product_tile(const block *b, const int rows, int row, const int bf16)
{
    vf        c[MM_ROWS][2];
    float    *acc  = b->acc + row * b->acc_stride;
    const int tile = row / MM_ROWS;
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < MM_PANELS; j++)
            _mm_prefetch((const char *)(acc + r * b->acc_stride + j * MM_PANEL), _MM_HINT_T0);
    for (int i = tile * b->lines; i < (tile + 1) * b->lines; i++)
        for (int j = 0; j < MM_PANELS; j++)
            _mm_prefetch(b->next[j] + i * LINE, _MM_HINT_T1);
    mm_clear(c, rows);
    mm_tile(c, rows, b->left + (int64_t)row * b->depth, 1, MM_ROWS, b->panel, bf16, b->depth);
    if (!b->is_first) mm_add(c, rows, acc, b->acc_stride);
    mm_store(c, rows, acc, b->acc_stride);
}

INLINE void product_panels(const block *b, int rows, const int bf16)
{
#define CALL(n) product_tile(b, n, row, bf16)
    MM_EACH_TILE(rows, CALL);
#undef CALL
}

/* Packed weights from column j and step k on. */
static const char *packed_at(const linear_plan *l, const char *packed, int64_t j, int64_t k)
{
    return packed + (size_t)(j / MM_PANEL) * l->panel_bytes +
           (size_t)k * (size_t)mm_step_bytes(is_bf16(l));
}

/* Where the panels after column j lie: the next columns, or the next block of k, or nowhere new. */
static const char *packed_after(const linear_plan *l, const char *packed, fili_range n, int64_t j,
                                fili_range k)
{
    if (j + MM_COLS < n.end) return packed_at(l, packed, j + MM_COLS, k.begin);
    if (k.end < l->depth) return packed_at(l, packed, n.begin, k.end);
    return packed_at(l, packed, j, k.begin);
}

/* Panels from column j on, and what is to be fetched. */
INLINE void take_packed(const run_state *s, block *b, fili_range n, int64_t j, fili_range k,
                        const int bf16, char *own)
{
    const char *at   = packed_at(s->l, s->a->weight, j, k.begin);
    const char *next = packed_after(s->l, s->a->weight, n, j, k);
    for (int i = 0; i < MM_PANELS; i++) {
        b->panel[i] = mm_ready(at + (size_t)i * s->l->panel_bytes, bf16, b->depth,
                               (float *)(void *)own + i * b->depth * MM_ROOM);
        b->next[i]  = next + (size_t)i * s->l->panel_bytes;
    }
}

/* The same, packed here. */
INLINE void take_in_place(const run_state *s, block *b, int64_t j, fili_range k, const int bf16,
                          char *own)
{
    for (int i = 0; i < MM_PANELS; i++) {
        char *to    = own + (size_t)i * own_size(b->depth, bf16);
        b->panel[i] = to;
        pack_panel(s->l, s->a->weight, j + i * MM_PANEL, k, bf16, own_is_narrow(bf16), to);
    }
}

INLINE void product(const run_state *s, char *mine, fili_range m, fili_range n, const int bf16)
{
    const linear_plan *l     = s->l;
    float             *left  = (float *)(void *)mine;
    float             *acc   = (float *)(void *)(mine + l->left_bytes);
    char              *own   = mine + l->left_bytes + l->acc_bytes;
    const int          tiles = (int)fili_task_count(m.end - m.begin, MM_ROWS);
    for (int64_t at = 0; at < l->depth; at += l->block_k) {
        const fili_range k = {.begin = at, .end = min_of(at + l->block_k, l->depth)};
        block            b = {.left       = left,
                              .acc_stride = acc_stride(l),
                              .depth      = (int32_t)(k.end - k.begin),
                              .is_first   = at == 0};
        if (l->p.packed) b.lines = (b.depth * mm_step_bytes(bf16) / LINE + tiles - 1) / tiles;
        pack_left(l, s->a->x, m, k, bf16, left);
        for (int64_t j = n.begin; j < n.end; j += MM_COLS) {
            if (l->p.packed)
                take_packed(s, &b, n, j, k, bf16, own);
            else
                take_in_place(s, &b, j, k, bf16, own);
            b.acc = acc + (j - n.begin);
            product_panels(&b, (int)(m.end - m.begin), bf16);
        }
    }
}

/* Tiles of the same columns follow each other, so that their weights stay in the cache. */
static fil_status tile_task(void *arg, int64_t task, int32_t worker)
{
    const run_state   *s    = arg;
    const linear_plan *l    = s->l;
    const fili_range   m    = fili_task_range(l->p.m, l->tile_m, task % l->m_tiles);
    const fili_range   n    = fili_task_range(l->p.n, l->tile_n, task / l->m_tiles);
    char              *mine = s->workspace + (size_t)worker * l->thread_bytes;
    if (is_bf16(l))
        product(s, mine, m, n, 1);
    else
        product(s, mine, m, n, 0);
    filk_linear_finish(&l->p, s->a, LINEAR_PASS,
                       (const float *)(const void *)(mine + l->left_bytes), acc_stride(l), m, n);
    return FIL_OK;
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    run_state s = {.l = plan, .a = args, .workspace = workspace};
    return fili_pool_run(ctx, "linear", s.l->m_tiles * s.l->n_tiles, tile_task, &s);
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* The row for one type of x and weights. */
#define ROW(stem, type)                                                                            \
    const char *stem##_refuse(const void *problem)                                                 \
    {                                                                                              \
        return filk_linear_refuse_other(problem, type);                                            \
    }                                                                                              \
    const filk_plan_ops stem##_plan = {.create       = create,                                     \
                                       .destroy      = destroy,                                    \
                                       .workspace    = workspace_bytes,                            \
                                       .packed_bytes = packed_bytes,                               \
                                       .pack         = pack,                                       \
                                       .run          = run};
