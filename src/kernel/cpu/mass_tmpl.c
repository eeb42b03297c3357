/* kernel/cpu/mass_tmpl.c: block mass on FMA, bf16 and f32. Included, not compiled: the including
 * file brings mm_avx2.h or mm_avx512.h, and names its rows (ROW).
 *
 * Per query block of up to 64 rows, over the panels of each run of keys, MM_PANELS at a time:
 *   S = Q K^T     the tile of attention forward (mm.h), MM_ROWS rows x MM_COLS keys;
 *   exp2(S - m)   m is the lazy row maximum: it moves only when a score exceeds it by 2^8;
 *   sums          one vector a row, over the run; then the rows of the block are summed across
 *                 their lanes, VF_LANES rows at a time, into a table [run][row].
 * A row's norm is known when all keys are seen; then the table is weighted, and added over rows.
 * Memory: 64 floats per run. Method: as in mass_avx512bf16.c.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/cpu/mass_panels.h"

#define GROWTH 8.0f /* log2: how far a score may exceed the lazy maximum */
#define CHUNK  64   /* runs that are summed before their sum is added */
#define MAX_D  128
#define ROWS   FILK_BLOCK
#define TILES  ((ROWS + MM_ROWS - 1) / MM_ROWS)

_Static_assert(ROWS % VF_LANES == 0 && ROWS % MM_THIRD == 0, "rows fill vectors and tiles");
_Static_assert(FILK_PANEL == MM_PANEL, "a panel of keys is one of columns");

typedef struct scratch {
    _Alignas(64) float q[TILES * MM_ROWS * MAX_D + MM_SLACK]; /* [tile][d][MM_ROWS] */
    _Alignas(64) float s[MM_ROWS][MM_COLS];
    _Alignas(64) float room[MM_PANELS * MAX_D * MM_ROOM + MM_PANEL]; /* for widened keys */
    _Alignas(64) float sum[ROWS][VF_LANES];                          /* of the run */
    _Alignas(64) float total[ROWS];
    _Alignas(64) float norm[ROWS];
    float max[ROWS];                  /* of q.k, not scaled; -inf before the first key */
    float sub[ROWS];                  /* max, 0 where it is -inf */
    float bound[ROWS];                /* max and GROWTH */
    float scale;                      /* from q.k to log2 units */
    float growth;                     /* GROWTH before scaling */
    _Alignas(64) float table[][ROWS]; /* [run] */
} scratch;

/* What is constant where the kernel is inlined; bf16 keys stay bf16. */
typedef struct form {
    int D;
    int bf16;
} form;

static size_t scratch_bytes(int32_t n_panels, int32_t n_runs)
{
    (void)n_panels;
    return sizeof(scratch) + (size_t)n_runs * sizeof(float[ROWS]);
}

/* ---- scores to sums ------------------------------------------------------------------------- */

/* Moves the lazy maximum of a row, and scales its sums, those of `done` runs too. */
static void move_max(scratch *t, int row, int32_t done, float to)
{
    const float from   = t->max[row];
    const float factor = from == -INFINITY ? 0.0f : exp2f((from - to) * t->scale);
    t->max[row]        = to;
    t->sub[row]        = to;
    t->bound[row]      = to + t->growth;
    if (from == -INFINITY) return; /* the sums are zeros, or NaN */
    vf_store(t->sum[row], vf_load(t->sum[row]) * vf_set1(factor));
    for (int32_t i = 0; i < done; i++)
        t->table[i][row] *= factor;
}

/* Some of these rows have a score that exceeds the lazy maximum. */
static __attribute__((noinline)) void raise_rows(scratch *t, int row, int rows, int32_t done)
{
    for (int r = 0; r < rows; r++) {
        float top = -INFINITY;
        for (int i = 0; i < MM_COLS; i++)
            if (t->s[r][i] > top) top = t->s[r][i];
        if (top > t->bound[row + r]) move_max(t, row + r, done, top);
    }
}

/* Lanes from `lanes` on become -inf. */
INLINE void drop_lanes(vf s[2], int lanes)
{
    for (int j = 0; j < 2; j++)
        s[j] = vf_pick(vm_first(lanes - j * VF_LANES), s[j], vf_set1(-INFINITY));
}

/* Panels of a run that meet one tile: `lanes` keys, `done` runs before this. */
typedef struct piece {
    const char *panel[MM_PANELS];
    int         lanes;
    int32_t     done;
} piece;

INLINE void sum_tile(scratch *t, const int rows, int row, const form f, const piece *k,
                     const int whole)
{
    vf       s[MM_ROWS][2];
    vm       above = vm_first(0);
    const vf scale = vf_set1(t->scale);
    mm_clear(s, rows);
    mm_tile(s, rows, t->q + row * f.D, 1, MM_ROWS, k->panel, f.bf16, f.D);
    for (int r = 0; r < rows; r++) {
        if (!whole) drop_lanes(s[r], k->lanes);
        const vf top = vf_max(s[r][0], s[r][1]);
        above        = vm_or(above, vm_above(top, vf_set1(t->bound[row + r])));
    }
    mm_store(s, rows, t->s[0], MM_COLS);
    if (__builtin_expect(vm_any(above), 0)) raise_rows(t, row, rows, k->done);
    for (int r = 0; r < rows; r++) {
        const vf sub = vf_set1(t->sub[row + r]);
        const vf x   = (vf_load(t->s[r]) - sub) * scale;
        const vf y   = (vf_load(t->s[r] + VF_LANES) - sub) * scale;
        const vf sum = mm_exp2(x) + mm_exp2(y);
        vf_store(t->sum[row + r], vf_load(t->sum[row + r]) + sum);
    }
}

INLINE void sum_piece(const filk_mass_block *b, scratch *t, const form f, const piece *k)
{
#define CALL(n) sum_tile(t, n, row, f, k, 1)
    if (__builtin_expect(k->lanes == MM_COLS, 1)) MM_EACH_TILE(b->rows, CALL);
#undef CALL
#define CALL(n) sum_tile(t, n, row, f, k, 0)
    else
        MM_EACH_TILE(b->rows, CALL);
#undef CALL
}

/* VF_LANES rows at a time, each summed over its lanes; in one order, whatever the rows. */
INLINE void close_run(scratch *t, int32_t run)
{
    for (int row = 0; row < ROWS; row += VF_LANES) {
        vf v[VF_LANES];
        for (int i = 0; i < VF_LANES; i++)
            v[i] = vf_load(t->sum[row + i]);
        mm_transpose(v);
        for (int n = VF_LANES / 2; n > 0; n /= 2)
            for (int i = 0; i < n; i++)
                v[i] = v[i] + v[i + n];
        vf_store(&t->table[run][row], v[0]);
    }
    memset(t->sum, 0, sizeof t->sum);
}

/* ---- sums to masses ------------------------------------------------------------------------- */

static void sum_rows(scratch *t, int32_t runs)
{
    for (int row = 0; row < ROWS; row += VF_LANES) {
        vf total = vf_set1(0.0f);
        for (int32_t g = 0; g < runs; g += CHUNK) {
            const int32_t end = runs - g < CHUNK ? runs : g + CHUNK;
            vf            sum = vf_set1(0.0f);
            for (int32_t i = g; i < end; i++)
                sum = sum + vf_load(&t->table[i][row]);
            total = total + sum;
        }
        vf_store(&t->total[row], total);
    }
}

/* What the sums of row r are multiplied with, and its lse. */
static float norm_row(const filk_mass_block *b, const scratch *t, int r)
{
    const filk_mass_args *a   = b->args;
    const int64_t         at  = b->head * b->problem->nq + b->first + r;
    const float           sum = t->total[r];
    const float           in  = a->lse_in != NULL ? a->lse_in[at] : 0.0f;
    const double          top = (double)t->max[r] * (double)a->scale;
    if (a->lse_out != NULL)
        a->lse_out[at] = sum == 0.0f ? -INFINITY : (float)(top + log((double)sum));
    if (isnan(sum)) return sum;
    if (sum == 0.0f) return 0.0f;
    if (a->lse_in == NULL) return 1.0f / sum;
    if (in == -INFINITY) return 0.0f;
    return (float)exp(top - (double)in);
}

static void write_masses(const filk_mass_block *b, const scratch *t)
{
    float *out = b->args->mass + ((int64_t)b->head * b->problem->mq + b->block) * b->problem->mk;
    for (int32_t run = 0; run < b->problem->mk; run++) {
        vf sum = vf_set1(0.0f);
        for (int row = 0; row < ROWS; row += VF_LANES)
            sum = vf_fma(vf_load(&t->table[run][row]), vf_load(&t->norm[row]), sum);
        out[run] = vf_sum(sum);
    }
}

/* ---- a query block -------------------------------------------------------------------------- */

/* Rows beyond the block repeat its last; their norm is 0. */
INLINE void start(const filk_mass_block *b, scratch *t, const form f)
{
    t->scale  = b->args->scale * 1.4426950408889634f;
    t->growth = GROWTH * fminf(1.0f / t->scale, FLT_MAX);
    memset(t->sum, 0, sizeof t->sum);
    for (int row = 0; row < b->rows; row += MM_ROWS) {
        const void *from[VF_LANES];
        for (int r = 0; r < VF_LANES; r++) {
            const int in = row + r < b->rows ? row + r : b->rows - 1;
            from[r]      = filk_row_at(&b->args->q, f.bf16 ? 2 : 4, b->first + in, b->head);
        }
        for (int d = 0; d < f.D; d += MM_STEPS)
            mm_pack_left(from, f.bf16, d, t->q + row * f.D + d * MM_ROWS);
    }
    for (int r = 0; r < ROWS; r++) {
        t->max[r]   = -INFINITY;
        t->sub[r]   = 0.0f;
        t->bound[r] = -INFINITY;
        t->norm[r]  = 0.0f;
    }
}

/* Panels i to `end` of a run, at most MM_PANELS. Behind the last, its lanes are none. */
INLINE piece take_piece(const filk_mass_block *b, scratch *t, const form f, int32_t i, int32_t end)
{
    const size_t size = (size_t)f.D * (size_t)mm_step_bytes(f.bf16);
    piece        k    = {.lanes = 0};
    for (int j = 0; j < MM_PANELS; j++) {
        const int32_t panel = i + j < end ? i + j : i;
        if (i + j < end) k.lanes += b->lanes[panel];
        k.panel[j] =
            mm_ready(b->panels + (size_t)panel * size, f.bf16, f.D, t->room + j * f.D * MM_ROOM);
    }
    return k;
}

INLINE void block_of(const filk_mass_block *b, const form f)
{
    scratch      *t    = b->scratch;
    const int32_t runs = b->problem->mk;
    start(b, t, f);
    for (int32_t run = 0; run < runs; run++) {
        const int32_t end = b->run_first[run + 1];
        for (int32_t i = b->run_first[run]; i < end; i += MM_PANELS) {
            piece k = take_piece(b, t, f, i, end);
            k.done  = run;
            sum_piece(b, t, f, &k);
        }
        close_run(t, run);
    }
    sum_rows(t, runs);
    for (int r = 0; r < b->rows; r++)
        t->norm[r] = norm_row(b, t, r);
    write_masses(b, t);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const char *refuse(const filk_mass_problem *p, fil_dtype dtype)
{
    if (p->dtype != dtype) return dtype == FIL_BF16 ? "takes bf16 only" : "takes f32 only";
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 and 128 only";
    return NULL;
}

/* The row for one type of input. */
#define ROW(stem, type, is_bf16)                                                                   \
    static size_t stem##_panel(int32_t head_dim)                                                   \
    {                                                                                              \
        return (size_t)(head_dim * mm_step_bytes(is_bf16));                                        \
    }                                                                                              \
    static void stem##_pack(const void *const k[FILK_PANEL], int32_t head_dim, void *panel)        \
    {                                                                                              \
        for (int32_t d = 0; d < head_dim; d += MM_STEPS)                                           \
            mm_pack_rows(k, is_bf16, is_bf16, d, (char *)panel + d * mm_step_bytes(is_bf16));      \
    }                                                                                              \
    static void stem##_block(const filk_mass_block *b)                                             \
    {                                                                                              \
        if (b->problem->head_dim == 128)                                                           \
            block_of(b, (form){.D = 128, .bf16 = is_bf16});                                        \
        else                                                                                       \
            block_of(b, (form){.D = 64, .bf16 = is_bf16});                                         \
    }                                                                                              \
    static const filk_mass_kernel stem##_kernel = {                                                \
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
        return filk_mass_panels_workspace(problem, &stem##_kernel, n_threads);                     \
    }                                                                                              \
    fil_status stem##_run(fil_ctx *ctx, const void *problem, const void *args, void *workspace)    \
    {                                                                                              \
        return filk_mass_panels_run(ctx, problem, args, &stem##_kernel, workspace);                \
    }
