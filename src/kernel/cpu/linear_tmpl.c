/* kernel/cpu/linear_tmpl.c: linear (kernel/linear.h) on FMA, bf16 and f32. Included, not compiled:
 * the including file brings mm_avx2.h or mm_avx512.h, the pass over a finished tile (LINEAR_PASS),
 * the length of a block of k (LINEAR_BLOCK_K), and names its rows (ROW).
 *
 * Weights are panels of 16 columns, [k][16] (mm.h): bf16 stays bf16 and is widened where the tile
 * needs it. A task is a tile of the result. Over blocks of k: its rows of x are widened to f32
 * [MM_ROWS rows][k][MM_ROWS], which stays in the L2 cache; the block of each MM_PANELS panels, in
 * the L1 cache, meets all of them; sums wait in an f32 tile. Then one pass of tile.h. With weights
 * in place, a panel's block is packed in every task, so tiles are taller. k counts in steps of
 * MM_STEPS, filled up with zeros. The frame is linear_tiles.h, whose panels are MM_PANELS of these,
 * one behind the other. Figures: docs/design/kernels_avx2.md.
 */
#include <string.h>

#include "kernel/cpu/linear_tiles.h"

enum {
    TILE_M     = 96, /* packed */
    TILE_N     = 768,
    IN_PLACE_M = 192,
    IN_PLACE_N = 384,
    ACC_GAP    = 16, /* f32 behind each row of sums: keeps rows in different sets of the cache */
    LINE       = 64
};

static int is_bf16(const filk_linear_tiles *l)
{
    return l->p.dtype == FIL_BF16;
}

static int64_t min_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static int32_t step_bytes(const filk_linear_tiles *l)
{
    return MM_PANELS * mm_step_bytes(is_bf16(l));
}

/* From one panel to the next. */
static size_t panel_bytes(const filk_linear_tiles *l)
{
    return (size_t)l->depth * (size_t)mm_step_bytes(is_bf16(l));
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

static int64_t acc_stride(const filk_linear_tiles *l)
{
    return l->tile_n + ACC_GAP;
}

static size_t left_bytes(const filk_linear_tiles *l)
{
    return filk_lines(sizeof(float) * (size_t)(l->tile_m * l->block_k + MM_SLACK));
}

static size_t acc_bytes(const filk_linear_tiles *l)
{
    return filk_lines(sizeof(float) * (size_t)(l->tile_m * acc_stride(l)));
}

static void cut(filk_linear_tiles *l)
{
    const filk_linear_problem *p = &l->p;
    l->tile_m       = min_of(p->packed ? TILE_M : IN_PLACE_M, filk_rounded(p->m, MM_ROWS));
    l->tile_n       = min_of(p->packed ? TILE_N : IN_PLACE_N, filk_rounded(p->n, MM_COLS));
    l->thread_bytes = left_bytes(l) + acc_bytes(l);
    if (!p->packed || (is_bf16(l) && MM_WIDENS))
        l->thread_bytes += filk_lines(MM_PANELS * own_size(l->block_k, is_bf16(l)));
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

/* Rows of weights in the type of x, one behind the other. */
typedef struct weight_rows {
    const char *at;
    int64_t     n;
} weight_rows;

/* Steps k of the panel that begins with row `first` of these. */
INLINE void pack_panel(const filk_linear_tiles *l, const weight_rows *w, int64_t first,
                       fili_range k, const int bf16, const int narrow, char *to)
{
    const int64_t element = bf16 ? 2 : 4;
    const void   *row[MM_PANEL];
    for (int i = 0; i < MM_PANEL; i++)
        row[i] = first + i < w->n ? w->at + (first + i) * l->p.k * element : NULL;
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
INLINE void pack_left(const filk_linear_tiles *l, const char *x, fili_range m, fili_range k,
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

static void pack(const filk_linear_tiles *l, const char *rows, int64_t n_rows, char *to)
{
    const fili_range  all = {.begin = 0, .end = l->depth};
    const weight_rows w   = {.at = rows, .n = n_rows};
    for (int64_t i = 0; i < MM_COLS; i += MM_PANEL, to += panel_bytes(l))
        if (is_bf16(l))
            pack_panel(l, &w, i, all, 1, 1, to);
        else
            pack_panel(l, &w, i, all, 0, 0, to);
}

/* ---- running -------------------------------------------------------------------------------- */

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
static const char *packed_at(const filk_linear_tiles *l, const char *packed, int64_t j, int64_t k)
{
    return packed + (size_t)(j / MM_PANEL) * panel_bytes(l) +
           (size_t)k * (size_t)mm_step_bytes(is_bf16(l));
}

/* Where the panels after column j lie: the next columns, or the next block of k, or nowhere new. */
static const char *packed_after(const filk_linear_tiles *l, const char *packed, fili_range n,
                                int64_t j, fili_range k)
{
    if (j + MM_COLS < n.end) return packed_at(l, packed, j + MM_COLS, k.begin);
    if (k.end < l->depth) return packed_at(l, packed, n.begin, k.end);
    return packed_at(l, packed, j, k.begin);
}

/* Panels from column j on, and what is to be fetched. */
INLINE void take_packed(const filk_linear_tiles *l, const filk_linear_args *a, block *b,
                        fili_range n, int64_t j, fili_range k, const int bf16, char *own)
{
    const char *at   = packed_at(l, a->weight, j, k.begin);
    const char *next = packed_after(l, a->weight, n, j, k);
    for (int i = 0; i < MM_PANELS; i++) {
        b->panel[i] = mm_ready(at + (size_t)i * panel_bytes(l), bf16, b->depth,
                               (float *)(void *)own + i * b->depth * MM_ROOM);
        b->next[i]  = next + (size_t)i * panel_bytes(l);
    }
}

/* The same, packed here. */
INLINE void take_in_place(const filk_linear_tiles *l, const filk_linear_args *a, block *b,
                          int64_t j, fili_range k, const int bf16, char *own)
{
    const weight_rows w = {.at = a->weight, .n = l->p.n};
    for (int i = 0; i < MM_PANELS; i++) {
        char *to    = own + (size_t)i * own_size(b->depth, bf16);
        b->panel[i] = to;
        pack_panel(l, &w, j + i * MM_PANEL, k, bf16, own_is_narrow(bf16), to);
    }
}

INLINE void multiply(const filk_linear_tiles *l, const filk_linear_args *a, fili_range m,
                     fili_range n, const int bf16, char *scratch)
{
    float    *left  = (float *)(void *)scratch;
    float    *acc   = (float *)(void *)(scratch + left_bytes(l));
    char     *own   = scratch + left_bytes(l) + acc_bytes(l);
    const int tiles = (int)fili_task_count(m.end - m.begin, MM_ROWS);
    for (int64_t at = 0; at < l->depth; at += l->block_k) {
        const fili_range k = {.begin = at, .end = min_of(at + l->block_k, l->depth)};
        block            b = {.left       = left,
                              .acc_stride = acc_stride(l),
                              .depth      = (int32_t)(k.end - k.begin),
                              .is_first   = at == 0};
        if (l->p.packed) b.lines = (b.depth * mm_step_bytes(bf16) / LINE + tiles - 1) / tiles;
        pack_left(l, a->x, m, k, bf16, left);
        for (int64_t j = n.begin; j < n.end; j += MM_COLS) {
            if (l->p.packed)
                take_packed(l, a, &b, n, j, k, bf16, own);
            else
                take_in_place(l, a, &b, j, k, bf16, own);
            b.acc = acc + (j - n.begin);
            product_panels(&b, (int)(m.end - m.begin), bf16);
        }
    }
}

static filk_linear_sums product(const filk_linear_tiles *l, const filk_linear_args *a, fili_range m,
                                fili_range n, char *scratch)
{
    if (is_bf16(l))
        multiply(l, a, m, n, 1, scratch);
    else
        multiply(l, a, m, n, 0, scratch);
    return (filk_linear_sums){.at     = (const float *)(const void *)(scratch + left_bytes(l)),
                              .stride = acc_stride(l)};
}

/* ---- rows ----------------------------------------------------------------------------------- */

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    static const filk_linear_kernel kernel = {.cols       = MM_COLS,
                                              .step       = MM_STEPS,
                                              .block_k    = LINEAR_BLOCK_K,
                                              .step_bytes = step_bytes,
                                              .cut        = cut,
                                              .pack       = pack,
                                              .product    = product,
                                              .tile       = LINEAR_PASS};
    return filk_linear_tiles_create(ctx, problem, &kernel, plan);
}

/* The row for one type of x and weights. */
#define ROW(stem, type)                                                                            \
    const char *stem##_refuse(const void *problem)                                                 \
    {                                                                                              \
        return filk_linear_refuse_other(problem, type);                                            \
    }                                                                                              \
    const filk_plan_ops stem##_plan = FILK_LINEAR_TILES_OPS(create);
