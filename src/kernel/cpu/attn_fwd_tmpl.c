/* kernel/cpu/attn_fwd_tmpl.c: attention forward on FMA, bf16 and f32 inputs. Included, not
 * compiled: the including file brings mm_avx2.h or mm_avx512.h, and names its rows (ROW).
 *
 * Per query block of up to 64 rows, over its panels of 16 keys, MM_PANELS at a time:
 *   S = Q K^T     the tile of mm.h: MM_ROWS rows x MM_COLS keys; Q is copied as f32
 *                 [tile][d][MM_ROWS], one broadcast feeds two products;
 *   P = exp2(S - m)   while the tile is in the L1 cache, kept as row-major f32;
 *   O += P V      the same tile, V panel [d/16][16 keys][16], after TRIP panels, so that O makes
 * one round trip for TRIP * 16 keys. All products and sums in f32; bf16 keys and values are widened
 * in registers (AVX2), once for all rows (AVX-512), or when packed. The row maximum m is lazy: it
 * moves only when a score exceeds it by 2^8 (attn_fwd_avx512bf16.c). A partial panel costs its keys
 * in P V, and what a whole one does in Q K^T.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/cpu/attn_panels.h"

#define TRIP   8                        /* panels per round trip of O */
#define PITCH  (TRIP * FILK_PANEL + 16) /* of P: 1 KiB rows would share few sets of the L1 cache */
#define GROWTH 8.0f                     /* log2: how far a score may exceed the lazy maximum */
#define MAX_D  128
#define TILES  ((FILK_BLOCK + MM_ROWS - 1) / MM_ROWS)
#define ROWS   (TILES * MM_ROWS)
/* Steps that are widened at a time: a tile's keys, or its strips of a trip's values. */
#define WIDENED (MM_PANELS * (MAX_D > TRIP * FILK_PANEL ? MAX_D : TRIP * FILK_PANEL))

_Static_assert(FILK_PANEL == MM_PANEL, "a panel of keys is one of columns");
_Static_assert(FILK_GROUP % MM_PANELS == 0 && TRIP % MM_PANELS == 0, "panels come in whole tiles");

typedef struct scratch {
    _Alignas(64) float o[ROWS * MAX_D]; /* [tile][d/MM_COLS][MM_ROWS][MM_COLS] */
    _Alignas(64) float p[ROWS][PITCH];
    _Alignas(64) float sum[ROWS][VF_LANES];
    _Alignas(64) float room[WIDENED * MM_ROOM + MM_PANEL];
    _Alignas(64) float q[ROWS * MAX_D + MM_SLACK]; /* [tile][d][MM_ROWS] */
    float   max[ROWS];   /* of q.k, not scaled; -inf before the first key */
    float   sub[ROWS];   /* max, 0 where it is -inf */
    float   bound[ROWS]; /* max and GROWTH */
    float   scale;       /* from q.k to log2 units */
    float   inverse;     /* 1 / scale */
    int32_t keys[TRIP];  /* of the trip's panels, 0 to 16 */
} scratch;

/* What is constant where the kernel is inlined. */
typedef struct form {
    int D;
    int bf16;   /* inputs and outputs; else f32 */
    int narrow; /* panels of bf16; else of f32 */
} form;

/* ---- packing -------------------------------------------------------------------------------- */

/* One strip more than a panel holds: strips of panels that follow each other lie in different sets
 * of the L1 cache. */
INLINE size_t panel_size(int32_t head_dim, int narrow)
{
    return (size_t)(head_dim + MM_PANEL) * (size_t)mm_step_bytes(narrow);
}

static size_t scratch_bytes(int32_t head_dim)
{
    (void)head_dim;
    return sizeof(scratch);
}

INLINE void pack_panel(const void *const k[FILK_PANEL], const void *const v[FILK_PANEL],
                       int32_t head_dim, const form f, char *k_panel, char *v_panel)
{
    const int32_t step = mm_step_bytes(f.narrow);
    for (int32_t d = 0; d < head_dim; d += MM_STEPS)
        mm_pack_rows(k, f.bf16, f.narrow, d, k_panel + d * step);
    for (int32_t d = 0; d < head_dim; d += MM_PANEL)
        for (int i = 0; i < FILK_PANEL; i++)
            mm_pack_step(v[i], f.bf16, f.narrow, d, v_panel + (d + i) * step);
}

/* ---- probabilities -------------------------------------------------------------------------- */

INLINE float *o_row(scratch *t, int row, const int D, int strip)
{
    const int tile = row / MM_ROWS;
    return t->o + ((tile * D / MM_COLS + strip) * MM_ROWS + row % MM_ROWS) * MM_COLS;
}

/* Moves the lazy maximum of a row, and scales what the row has so far: O, its sum, and `done` keys
 * of P. */
static void move_max(scratch *t, int row, int D, int done, float to)
{
    const float from   = t->max[row];
    const vf    factor = vf_set1(from == -INFINITY ? 0.0f : exp2f((from - to) * t->scale));
    t->max[row]        = to;
    t->sub[row]        = to;
    t->bound[row]      = to + GROWTH * t->inverse;
    for (int strip = 0; strip < D / MM_COLS; strip++) {
        float *o = o_row(t, row, D, strip);
        vf_store(o, vf_load(o) * factor);
        vf_store(o + VF_LANES, vf_load(o + VF_LANES) * factor);
    }
    vf_store(t->sum[row], vf_load(t->sum[row]) * factor);
    for (int i = 0; i < done; i += VF_LANES)
        vf_store(&t->p[row][i], vf_load(&t->p[row][i]) * factor);
}

/* Where the scores of a tile's panels go, and what is fetched into the L2 cache meanwhile: panels
 * lie in no order that the hardware foresees. */
typedef struct target {
    const float *bias; /* [MM_COLS], log2 units, NULL = none; -inf = no key in this lane */
    int          at;   /* key within the trip */
    const char  *soon[2][MM_PANELS]; /* the values of these panels, the next panels' keys */
    int          lines;              /* of each, per tile of rows */
} target;

/* Some of these rows have a score that exceeds the lazy maximum; scores without bias are in P. */
static __attribute__((noinline)) void raise_rows(scratch *t, int row, int rows, int D, target to)
{
    for (int r = row; r < row + rows; r++) {
        float top = -INFINITY;
        for (int i = 0; i < MM_COLS; i++) {
            const float bias = to.bias != NULL ? to.bias[i] : 0.0f;
            const float s    = t->p[r][to.at + i] + bias * t->inverse;
            if (bias > -INFINITY && s > top) top = s;
        }
        if (top > t->bound[r]) move_max(t, r, D, to.at, top);
    }
}

/* The larger score of each pair of lanes, bias included. A lane without a key becomes -inf whatever
 * it held. */
INLINE vf top_of(const scratch *t, vf s[2], const float *bias)
{
    if (bias == NULL) return vf_max(s[0], s[1]);
    vf sum[2];
    for (int j = 0; j < 2; j++) {
        const vf b    = vf_load(bias + VF_LANES * j);
        const vm none = vm_above(vf_set1(-FLT_MAX), b);
        s[j]          = vf_pick(none, b, s[j]);
        sum[j]        = vf_pick(none, b, vf_fma(b, vf_set1(t->inverse), s[j]));
    }
    return vf_max(sum[0], sum[1]);
}

/* Scores of a tile become probabilities: P, sums, and where needed maxima. The maximum is kept
 * before scaling: the difference to it is exact where it counts, whatever the size of scores. */
INLINE void softmax_tile(scratch *t, vf s[MM_ROWS][2], const int rows, int row, const int D,
                         target to)
{
    const vf scale = vf_set1(t->scale);
    vm       above = vm_first(0);
    for (int r = 0; r < rows; r++) {
        const vf top = top_of(t, s[r], to.bias);
        above        = vm_or(above, vm_above(top, vf_set1(t->bound[row + r])));
        vf_store(&t->p[row + r][to.at], s[r][0]);
        vf_store(&t->p[row + r][to.at + VF_LANES], s[r][1]);
    }
    if (__builtin_expect(vm_any(above), 0)) raise_rows(t, row, rows, D, to);
    for (int r = 0; r < rows; r++) {
        float   *p   = &t->p[row + r][to.at];
        const vf sub = vf_set1(t->sub[row + r]);
        vf       sum = vf_load(t->sum[row + r]);
        for (int j = 0; j < 2; j++) {
            const vf below = vf_load(p + VF_LANES * j) - sub;
            vf       x     = below * scale;
            if (to.bias != NULL) x = vf_fma(below, scale, vf_load(to.bias + VF_LANES * j));
            const vf y = mm_exp2(x);
            vf_store(p + VF_LANES * j, y);
            sum = sum + y;
        }
        vf_store(t->sum[row + r], sum);
    }
}

INLINE void fetch_ahead(const target *to, int tile)
{
    for (int i = tile * to->lines; i < (tile + 1) * to->lines; i++)
        for (int j = 0; j < 2 * MM_PANELS; j++)
            _mm_prefetch(to->soon[j / MM_PANELS][j % MM_PANELS] + i * (int)FILK_LINE, _MM_HINT_T1);
}

INLINE void score_tile(scratch *t, const int rows, int row, const form f,
                       const char *const k[MM_PANELS], target to)
{
    vf s[MM_ROWS][2];
    fetch_ahead(&to, row / MM_ROWS);
    mm_clear(s, rows);
    mm_tile(s, rows, t->q + row * f.D, 1, MM_ROWS, k, f.narrow, f.D);
    softmax_tile(t, s, rows, row, f.D, to);
}

INLINE void score_panels(const filk_attn_block *b, scratch *t, const form f,
                         const char *const k[MM_PANELS], target to)
{
#define CALL(n) score_tile(t, n, row, f, k, to)
    MM_EACH_TILE(b->rows, CALL);
#undef CALL
}

/* ---- values --------------------------------------------------------------------------------- */

INLINE void value_tile(scratch *t, const int rows, int row, const form f, int strip,
                       const char *v[TRIP][MM_PANELS], int n)
{
    vf     o[MM_ROWS][2];
    float *at = o_row(t, row, f.D, strip);
    mm_load(o, rows, at, MM_COLS);
    for (int i = 0; i < n; i++) {
        const float *p = &t->p[row][i * FILK_PANEL];
        if (__builtin_expect(t->keys[i] == FILK_PANEL, 1))
            mm_tile(o, rows, p, PITCH, 1, v[i], f.narrow, FILK_PANEL);
        else
            mm_tile(o, rows, p, PITCH, 1, v[i], f.narrow, t->keys[i]);
    }
    mm_store(o, rows, at, MM_COLS);
}

INLINE void value_trip(const filk_attn_block *b, scratch *t, const form f,
                       const char *const v[TRIP], int n)
{
    const int piece = FILK_PANEL * mm_step_bytes(f.narrow); /* a panel's values in 16 channels */
    for (int strip = 0; strip < f.D / MM_COLS; strip++) {
        const char *s[TRIP][MM_PANELS];
        for (int i = 0; i < n; i++)
            for (int j = 0; j < MM_PANELS; j++)
                s[i][j] = mm_ready(v[i] + (strip * MM_PANELS + j) * piece, f.narrow, FILK_PANEL,
                                   t->room + (i * MM_PANELS + j) * FILK_PANEL * MM_ROOM);
#define CALL(n_rows) value_tile(t, n_rows, row, f, strip, s, n)
        MM_EACH_TILE(b->rows, CALL);
#undef CALL
    }
}

/* ---- a query block -------------------------------------------------------------------------- */

/* Rows beyond the block repeat its last; they are not written. */
INLINE void take_query(const filk_attn_block *b, scratch *t, const form f, int row)
{
    const void *from[VF_LANES];
    for (int r = 0; r < VF_LANES; r++) {
        const int in = row + r < b->rows ? row + r : b->rows - 1;
        from[r]      = filk_row_at(&b->args->q, f.bf16 ? 2 : 4, b->first + in, b->head);
    }
    for (int d = 0; d < f.D; d += MM_STEPS)
        mm_pack_left(from, f.bf16, d, t->q + row * f.D + d * MM_ROWS);
}

INLINE void start(const filk_attn_block *b, scratch *t, const form f)
{
    t->scale   = b->args->scale * 1.4426950408889634f;
    t->inverse = fminf(1.0f / t->scale, 0x1p100f); /* a bias times it is finite */
    for (int row = 0; row < b->rows; row += MM_ROWS)
        take_query(b, t, f, row);
    const int rows = (b->rows + MM_ROWS - 1) / MM_ROWS * MM_ROWS;
    memset(t->o, 0, sizeof(float) * (size_t)(rows * f.D));
    memset(t->sum, 0, sizeof t->sum[0] * (size_t)rows);
    for (int r = 0; r < rows; r++) {
        t->max[r]   = -INFINITY;
        t->sub[r]   = 0.0f;
        t->bound[r] = -INFINITY;
    }
}

INLINE void write_rows(const filk_attn_block *b, scratch *t, const form f)
{
    const filk_attn_args *a = b->args;
    for (int r = 0; r < b->rows; r++) {
        const int64_t token = b->first + r;
        const int64_t at    = token * a->out_stride_n + b->head * a->out_stride_h;
        const float   sum   = vf_sum(vf_load(t->sum[r]));
        const vf      norm  = vf_set1(sum == 0.0f ? 0.0f : 1.0f / sum);
        for (int d = 0; d < f.D; d += VF_LANES) {
            const vf v = vf_load(o_row(t, r, f.D, d / MM_COLS) + d % MM_COLS) * norm;
            if (f.bf16)
                vf_store_bf16((uint16_t *)a->out + at + d, v);
            else
                vf_store((float *)a->out + at + d, v);
        }
        if (a->lse != NULL)
            a->lse[b->head * b->problem->nq + token] =
                sum == 0.0f ? -INFINITY
                            : (float)((double)t->max[r] * (double)a->scale + log((double)sum));
    }
}

/* Bias of panel i of the list; NULL = it needs none. */
static const float *bias_of(const filk_attn_block *b, int32_t i)
{
    return i < b->n_plain ? NULL : b->bias + (size_t)(i - b->n_plain) * FILK_PANEL;
}

/* One more than the last lane that holds a key; 0 = none does. */
static int32_t keys_of(const float *bias)
{
    int32_t n = FILK_PANEL;
    while (bias != NULL && n > 0 && bias[n - 1] == -INFINITY)
        n--;
    return n;
}

/* Takes panels i and on of the list as the n-th of a trip; 0: none of them holds a key. */
INLINE int take_panels(const filk_attn_block *b, scratch *t, const form f, int32_t i, int n,
                       const char *v[TRIP])
{
    int any = 0;
    for (int j = 0; j < MM_PANELS; j++) {
        t->keys[n + j] = keys_of(bias_of(b, i + j));
        v[n + j]       = b->v_panels + (size_t)b->list[i + j] * panel_size(f.D, f.narrow);
        any |= t->keys[n + j];
    }
    return any;
}

INLINE void block_of(const filk_attn_block *b, const form f)
{
    scratch     *t     = b->scratch;
    const size_t size  = panel_size(f.D, f.narrow);
    const int    tiles = (b->rows + MM_ROWS - 1) / MM_ROWS;
    const int    lines = f.D * mm_step_bytes(f.narrow) / (int)FILK_LINE;
    const char  *v[TRIP];
    int          n = 0;
    start(b, t, f);
    for (int32_t i = 0; i < b->n_list; i += MM_PANELS) {
        const int32_t next = i + MM_PANELS < b->n_list ? i + MM_PANELS : i;
        const char   *k[MM_PANELS];
        target        to = {.at = n * FILK_PANEL, .lines = (lines + tiles - 1) / tiles};
        if (!take_panels(b, t, f, i, n, v)) continue;
        for (int j = 0; j < MM_PANELS; j++) {
            k[j]          = mm_ready(b->k_panels + (size_t)b->list[i + j] * size, f.narrow, f.D,
                                     t->room + j * f.D * MM_ROOM);
            to.soon[0][j] = v[n + j];
            to.soon[1][j] = b->k_panels + (size_t)b->list[next + j] * size;
        }
        if (i < b->n_plain) {
            score_panels(b, t, f, k, to);
        } else {
            to.bias = bias_of(b, i);
            score_panels(b, t, f, k, to);
        }
        n += MM_PANELS;
        if (n < TRIP) continue;
        value_trip(b, t, f, v, n);
        n = 0;
    }
    if (n > 0) value_trip(b, t, f, v, n);
    write_rows(b, t, f);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const char *refuse(const filk_attn_problem *p, fil_dtype dtype)
{
    if (p->dtype != dtype) return dtype == FIL_BF16 ? "takes bf16 only" : "takes f32 only";
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 and 128 only";
    return NULL;
}

/* The row for one type of input. */
#define ROW(stem, type, is_bf16, is_narrow)                                                        \
    static size_t stem##_panel(int32_t head_dim)                                                   \
    {                                                                                              \
        return panel_size(head_dim, is_narrow);                                                    \
    }                                                                                              \
    static void stem##_pack(const void *const k[FILK_PANEL], const void *const v[FILK_PANEL],      \
                            int32_t head_dim, void *k_panel, void *v_panel)                        \
    {                                                                                              \
        pack_panel(k, v, head_dim, (form){.bf16 = is_bf16, .narrow = is_narrow}, k_panel,          \
                   v_panel);                                                                       \
    }                                                                                              \
    static void stem##_block(const filk_attn_block *b)                                             \
    {                                                                                              \
        if (b->problem->head_dim == 128)                                                           \
            block_of(b, (form){.D = 128, .bf16 = is_bf16, .narrow = is_narrow});                   \
        else                                                                                       \
            block_of(b, (form){.D = 64, .bf16 = is_bf16, .narrow = is_narrow});                    \
    }                                                                                              \
    static const filk_attn_kernel stem##_kernel = {                                                \
        .panel_bytes   = stem##_panel,                                                             \
        .scratch_bytes = scratch_bytes,                                                            \
        .pack          = stem##_pack,                                                              \
        .block         = stem##_block,                                                             \
    };                                                                                             \
    const char *stem##_refuse(const void *problem)                                                 \
    {                                                                                              \
        return refuse(problem, type);                                                              \
    }                                                                                              \
    size_t stem##_workspace(const void *problem, int32_t n_threads)                                \
    {                                                                                              \
        return filk_attn_panels_workspace(problem, &stem##_kernel, n_threads);                     \
    }                                                                                              \
    fil_status stem##_run(fil_ctx *ctx, const void *problem, const void *args, void *workspace)    \
    {                                                                                              \
        return filk_attn_panels_run(ctx, problem, args, &stem##_kernel, workspace);                \
    }
