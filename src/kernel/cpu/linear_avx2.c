/* kernel/cpu/linear_avx2.c: linear (kernel/linear.h) on AVX2 and FMA, bf16 and f32.
 *
 * Weights are panels of 16 columns, [k][16] (mm_avx2.h): bf16 stays bf16 and is widened in
 * registers. A task is a tile of the result. Over blocks of k: its rows of x are widened to f32
 * [6 rows][k][6], which stays in the L2 cache; each panel's block, in the L1 cache, meets all of
 * them; sums wait in an f32 tile. Then one pass of tile.h. With weights in place, a panel's block
 * is packed in every task, so tiles are taller. k counts in steps of 8, filled up with zeros.
 * The frame is linear_tiles.h. Figures: docs/design/kernels_avx2.md.
 */
#include <string.h>

#include "kernel/cpu/linear_tiles.h"
#include "kernel/cpu/mm_avx2.h"

enum {
    TILE_M     = 96, /* packed */
    TILE_N     = 768,
    IN_PLACE_M = 192,
    IN_PLACE_N = 384,
    BLOCK_K    = 384, /* a panel's block and six rows of x: 21 KiB of bf16 and f32 */
    STEPS      = 8,   /* of k that are packed at a time */
    ACC_GAP    = 16,  /* f32 behind each row of sums: keeps rows in different sets of the cache */
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
    return mm_step_bytes(is_bf16(l));
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
    if (!p->packed) l->thread_bytes += filk_lines((size_t)(l->block_k * step_bytes(l)));
}

/* ---- packing -------------------------------------------------------------------------------- */

enum { MAX_ROWS = 16 };

/* The last steps of up to 16 rows, filled up with zeros. */
typedef struct last_steps {
    _Alignas(32) char copy[MAX_ROWS][STEPS * 4];
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
INLINE void pack_panel(const filk_linear_tiles *l, const char *weight, int64_t first, fili_range k,
                       const int bf16, char *to)
{
    const int64_t element = bf16 ? 2 : 4;
    const void   *row[MM_COLS];
    for (int i = 0; i < MM_COLS; i++)
        row[i] = first + i < l->p.n ? weight + (first + i) * l->p.k * element : NULL;
    int64_t at = k.begin;
    for (; at + STEPS <= min_of(k.end, l->p.k); at += STEPS)
        mm_pack_rows(row, bf16, bf16, (int32_t)at, to + (at - k.begin) * mm_step_bytes(bf16));
    if (at < k.end) {
        last_steps last;
        copy_last(&last, row, MM_COLS, at, l->p.k - at, element);
        mm_pack_rows(last.row, bf16, bf16, 0, to + (at - k.begin) * mm_step_bytes(bf16));
    }
}

/* Steps k of rows m of x, six by six. Rows beyond the last repeat it. */
INLINE void pack_left(const filk_linear_tiles *l, const char *x, fili_range m, fili_range k,
                      const int bf16, float *to)
{
    const int64_t element = bf16 ? 2 : 4;
    for (int64_t i = m.begin; i < m.end; i += MM_ROWS, to += MM_ROWS * (k.end - k.begin)) {
        const void *row[8];
        for (int r = 0; r < 8; r++)
            row[r] = x + min_of(i + r, m.end - 1) * l->p.x_stride * element;
        int64_t at = k.begin;
        for (; at + STEPS <= min_of(k.end, l->p.k); at += STEPS)
            mm_pack_left(row, bf16, (int32_t)at, to + (at - k.begin) * MM_ROWS);
        if (at < k.end) {
            last_steps last;
            copy_last(&last, row, 8, at, l->p.k - at, element);
            mm_pack_left(last.row, bf16, 0, to + (at - k.begin) * MM_ROWS);
        }
    }
}

static void pack(const filk_linear_tiles *l, const char *weight, int64_t first, char *to)
{
    const fili_range all = {.begin = 0, .end = l->depth};
    if (is_bf16(l))
        pack_panel(l, weight, first, all, 1, to);
    else
        pack_panel(l, weight, first, all, 0, to);
}

/* ---- running -------------------------------------------------------------------------------- */

/* One panel's block of k, of one thread. */
typedef struct block {
    const float *left; /* [6 rows][k][6] */
    const char  *panel;
    const char  *next;  /* the panel that comes after it, fetched meanwhile */
    int          lines; /* of it, per tile of rows */
    float       *acc;   /* of the panel's columns */
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
        _mm_prefetch((const char *)(acc + r * b->acc_stride), _MM_HINT_T0);
    for (int i = tile * b->lines; i < (tile + 1) * b->lines; i++)
        _mm_prefetch(b->next + i * LINE, _MM_HINT_T1);
    mm_clear(c, rows);
    mm_tile(c, rows, b->left + (int64_t)row * b->depth, 1, MM_ROWS, b->panel, bf16, b->depth);
    if (!b->is_first) mm_add(c, rows, acc, b->acc_stride);
    mm_store(c, rows, acc, b->acc_stride);
}

INLINE void product_panel(const block *b, int rows, const int bf16)
{
#define CALL(n) product_tile(b, n, row, bf16)
    MM_EACH_TILE(rows, CALL);
#undef CALL
}

/* Packed weights from column j and step k on. */
static const char *packed_at(const filk_linear_tiles *l, const char *packed, int64_t j, int64_t k)
{
    return packed + (size_t)(j / MM_COLS) * l->panel_bytes +
           (size_t)k * (size_t)mm_step_bytes(is_bf16(l));
}

/* Where the panel after column j lies: the next columns, or the next block of k, or nowhere new. */
static const char *packed_after(const filk_linear_tiles *l, const char *packed, fili_range n,
                                int64_t j, fili_range k)
{
    if (j + MM_COLS < n.end) return packed_at(l, packed, j + MM_COLS, k.begin);
    if (k.end < l->depth) return packed_at(l, packed, n.begin, k.end);
    return packed_at(l, packed, j, k.begin);
}

INLINE void multiply(const filk_linear_tiles *l, const filk_linear_args *a, fili_range m,
                     fili_range n, const int bf16, char *scratch)
{
    float    *left  = (float *)(void *)scratch;
    float    *acc   = (float *)(void *)(scratch + left_bytes(l));
    char     *own   = scratch + left_bytes(l) + acc_bytes(l); /* a panel, packed here */
    const int tiles = (int)fili_task_count(m.end - m.begin, MM_ROWS);
    for (int64_t at = 0; at < l->depth; at += l->block_k) {
        const fili_range k = {.begin = at, .end = min_of(at + l->block_k, l->depth)};
        block            b = {.left       = left,
                              .panel      = own,
                              .acc_stride = acc_stride(l),
                              .depth      = (int32_t)(k.end - k.begin),
                              .is_first   = at == 0};
        if (l->p.packed) b.lines = (b.depth * mm_step_bytes(bf16) / LINE + tiles - 1) / tiles;
        pack_left(l, a->x, m, k, bf16, left);
        for (int64_t j = n.begin; j < n.end; j += MM_COLS) {
            if (l->p.packed) {
                b.panel = packed_at(l, a->weight, j, at);
                b.next  = packed_after(l, a->weight, n, j, k);
            } else {
                pack_panel(l, a->weight, j, k, bf16, own);
            }
            b.acc = acc + (j - n.begin);
            product_panel(&b, (int)(m.end - m.begin), bf16);
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

const char *filk_linear_bf16_tile__avx2_refuse(const void *problem)
{
    return filk_linear_refuse_other(problem, FIL_BF16);
}

const char *filk_linear_f32_tile__avx2_refuse(const void *problem)
{
    return filk_linear_refuse_other(problem, FIL_F32);
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    static const filk_linear_kernel kernel = {.cols       = MM_COLS,
                                              .step       = STEPS,
                                              .block_k    = BLOCK_K,
                                              .step_bytes = step_bytes,
                                              .cut        = cut,
                                              .pack       = pack,
                                              .product    = product,
                                              .tile       = filk_tile_avx2};
    return filk_linear_tiles_create(ctx, problem, &kernel, plan);
}

const filk_plan_ops filk_linear_bf16_tile__avx2_plan = FILK_LINEAR_TILES_OPS(create);
const filk_plan_ops filk_linear_f32_tile__avx2_plan  = FILK_LINEAR_TILES_OPS(create);
