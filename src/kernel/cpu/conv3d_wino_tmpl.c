/* kernel/cpu/conv3d_wino_tmpl.c: 3-D convolution (kernel/conv3d.h) whose kernel is 3x3 in space, by
 * Winograd's F(2x2, 3x3) (Lavin and Gray 2016). Included, not compiled: the including file brings
 * the vector operations and names the row (WINO_STEM).
 *
 * Four outputs (2x2) of a channel take 16 products instead of 36. With d the 4x4 input pixels under
 * a tile and g a 3x3 kernel, y = A^T [ (G g G^T) . (B^T d B) ] A; the products in the middle are
 * summed over channels and time taps before A is applied: 16 matrix products, one for each place.
 *
 *     packed weights   [time tap][place 16][panel][c_in][COLS]      transformed once
 *     v                [place 16][TILES rows][c_in]   of one time tap, transformed by the task
 *     m                [place 16][TILES rows][c_out]  sums over taps
 *
 * A task is TILES tiles of an output frame, in raster order, so that it depends on no thread count.
 * Places lie an odd number of lines apart, else all 16 would fall into the same sets of the cache.
 * Additions in the transforms make the error about twice that of direct sums; an input that is much
 * larger than its neighbours shows in the rounding of the other outputs of its tile.
 * With WINO_BF16 pixels and weights are bf16 and are widened as they are transformed: half of the
 * memory for frames, and the sums of f32.
 */
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernel/conv3d.h"
#include "kernel/cpu/activation.h"
#include "tensor/convert.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

#ifdef WINO_BF16
typedef uint16_t element;
#define ELEMENT FIL_BF16
#else
typedef float element;
#define ELEMENT FIL_F32
#endif

enum {
    PLACES = 16,
    TILES  = 96, /* of a task; a multiple of ROWS */
    ROWS   = VF_LANES == 8 ? 6 : 12,
    COLS   = 2 * VF_LANES,
    LINE   = 64,
    LINE_F = LINE / 4
};

typedef struct wino_plan {
    filk_conv3d_problem p;
    int32_t             out_t, out_h, out_w;
    int32_t             tiles_x, tiles; /* of a frame */
    int64_t             panels;
    int64_t             v_place, m_place; /* floats from place to place */
    size_t              thread_bytes;
    int32_t             n_threads;
} wino_plan;

/* A number of floats that is an odd number of lines. */
static int64_t odd_lines(int64_t floats)
{
    const int64_t lines = (floats + LINE_F - 1) / LINE_F;
    return (lines | 1) * LINE_F;
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    *plan = NULL;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(wino_plan), "conv3d plan", plan));
    wino_plan *w = *plan;
    memcpy(&w->p, problem, sizeof w->p);
    w->out_t     = filk_conv3d_out(&w->p.t);
    w->out_h     = filk_conv3d_out(&w->p.h);
    w->out_w     = filk_conv3d_out(&w->p.w);
    w->tiles_x   = (w->out_w + 1) / 2;
    w->tiles     = w->tiles_x * ((w->out_h + 1) / 2);
    w->panels    = (w->p.c_out + COLS - 1) / COLS;
    w->v_place   = odd_lines((int64_t)TILES * w->p.c_in);
    w->m_place   = odd_lines(TILES * w->panels * COLS);
    w->n_threads = ctx->n_threads;
    /* zeros for pixels outside, bias in f32, v, m */
    w->thread_bytes = sizeof(float) * (size_t)(odd_lines(w->p.c_in) + odd_lines(w->panels * COLS) +
                                               PLACES * (w->v_place + w->m_place));
    return FIL_OK;
}

static void destroy(fil_ctx *ctx, void **plan)
{
    fili_free(ctx, *plan, sizeof(wino_plan));
    *plan = NULL;
}

static size_t workspace_bytes(const void *plan)
{
    const wino_plan *w = plan;
    return (size_t)w->n_threads * w->thread_bytes;
}

static int64_t place_floats(const wino_plan *w)
{
    return w->panels * w->p.c_in * COLS;
}

static size_t packed_bytes(const void *plan)
{
    const wino_plan *w = plan;
    return (size_t)w->p.t.kernel * PLACES * (size_t)place_floats(w) * sizeof(float);
}

/* ---- packing -------------------------------------------------------------------------------- */

typedef struct pack_state {
    const wino_plan *w;
    const element   *weight;
    float           *packed;
} pack_state;

static double widened(element e)
{
#ifdef WINO_BF16
    const uint32_t bits = (uint32_t)e << 16;
    float          value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
#else
    return (double)e;
#endif
}

/* G g G^T of one kernel. */
static void transform_kernel(const element *g, double u[PLACES])
{
    double rows[4][3];
    for (int32_t x = 0; x < 3; x++) {
        const double a = widened(g[x]);
        const double b = widened(g[3 + x]);
        const double c = widened(g[6 + x]);
        rows[0][x]     = a;
        rows[1][x]     = 0.5 * (a + b + c);
        rows[2][x]     = 0.5 * (a - b + c);
        rows[3][x]     = c;
    }
    for (int32_t y = 0; y < 4; y++) {
        const double *r = rows[y];
        u[4 * y]        = r[0];
        u[4 * y + 1]    = 0.5 * (r[0] + r[1] + r[2]);
        u[4 * y + 2]    = 0.5 * (r[0] - r[1] + r[2]);
        u[4 * y + 3]    = r[2];
    }
}

/* A task is a panel of one time tap. */
static fil_status pack_task(void *arg, int64_t task, int32_t worker)
{
    const pack_state          *s     = arg;
    const wino_plan           *w     = s->w;
    const filk_conv3d_problem *p     = &w->p;
    const int64_t              tap   = task / w->panels;
    const int64_t              panel = task % w->panels;
    float *to = s->packed + tap * PLACES * place_floats(w) + panel * p->c_in * COLS;
    (void)worker;
    for (int64_t i = 0; i < COLS; i++)
        for (int64_t c = 0; c < p->c_in; c++) {
            const int64_t o         = panel * COLS + i;
            double        u[PLACES] = {0.0};
            if (o < p->c_out)
                transform_kernel(s->weight + ((o * p->c_in + c) * p->t.kernel + tap) * 9, u);
            for (int64_t k = 0; k < PLACES; k++)
                to[k * place_floats(w) + c * COLS + i] = (float)u[k];
        }
    return FIL_OK;
}

static fil_status pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace)
{
    pack_state s = {.w = plan, .weight = weight, .packed = packed};
    (void)workspace;
    return fili_pool_run(ctx, "conv3d packing", s.w->p.t.kernel * s.w->panels, pack_task, &s);
}

/* ---- transforms ----------------------------------------------------------------------------- */

typedef struct run_state {
    const wino_plan        *w;
    const filk_conv3d_args *a;
    char                   *workspace;
} run_state;

typedef struct wino_task {
    int32_t        frame; /* of the output */
    int64_t        first; /* tile */
    int64_t        tiles; /* up to TILES */
    const element *zeros; /* [c_in] */
    const float   *bias;  /* [panels * COLS] */
    float         *v, *m;
} wino_task;

/* The 16 pixels under a tile; those outside are zeros. */
static void pixels_of(const wino_plan *w, const element *frame, const wino_task *k, int64_t tile,
                      const element *d[PLACES])
{
    const filk_conv3d_problem *p  = &w->p;
    const int64_t              y0 = 2 * (tile / w->tiles_x) - p->h.before;
    const int64_t              x0 = 2 * (tile % w->tiles_x) - p->w.before;
    for (int64_t i = 0; i < PLACES; i++) {
        const int64_t y      = y0 + i / 4;
        const int64_t x      = x0 + i % 4;
        const int     inside = y >= 0 && y < p->h.size && x >= 0 && x < p->w.size;
        d[i]                 = inside ? frame + (y * p->w.size + x) * p->c_in : k->zeros;
    }
}

/* B^T on four values. */
INLINE void transform_four(vf *a, vf *b, vf *c, vf *d)
{
    const vf t = *b;
    *a         = *a - *c;
    *d         = t - *d;
    *b         = t + *c;
    *c         = *c - t;
}

INLINE vf load_pixel(const element *p)
{
#ifdef WINO_BF16
    return vf_load_bf16(p);
#else
    return vf_load(p);
#endif
}

INLINE void transform_pixels(const element *const d[PLACES], int64_t c, float *v, int64_t place)
{
    vf t[PLACES];
    for (int i = 0; i < PLACES; i++)
        t[i] = load_pixel(d[i] + c);
    for (int i = 0; i < 4; i++)
        transform_four(&t[i], &t[4 + i], &t[8 + i], &t[12 + i]);
    for (int i = 0; i < 4; i++)
        transform_four(&t[4 * i], &t[4 * i + 1], &t[4 * i + 2], &t[4 * i + 3]);
    for (int i = 0; i < PLACES; i++)
        vf_store(v + i * place, t[i]);
}

static void transform_frame(const wino_plan *w, const element *frame, const wino_task *k)
{
    const int64_t n = w->p.c_in;
    for (int64_t i = 0; i < k->tiles; i++) {
        const element *d[PLACES];
        pixels_of(w, frame, k, k->first + i, d);
        for (int64_t c = 0; c < n; c += VF_LANES)
            transform_pixels(d, c, k->v + i * n + c, w->v_place);
    }
}

/* ---- products ------------------------------------------------------------------------------- */

/* ROWS x COLS of m: (add ? m : 0) + v u. */
INLINE void product(const float *v, int64_t depth, const float *u, float *m, int64_t m_stride,
                    int add)
{
    vf c[ROWS][2];
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 2; i++)
            c[r][i] = add ? vf_load(m + r * m_stride + i * VF_LANES) : vf_set1(0.0f);
#pragma GCC unroll 2
    for (int64_t k = 0; k < depth; k++) {
        const vf b0 = vf_load(u + k * COLS);
        const vf b1 = vf_load(u + k * COLS + VF_LANES);
        for (int r = 0; r < ROWS; r++) {
            const vf a = vf_set1(v[r * depth + k]);
            c[r][0]    = vf_fma(a, b0, c[r][0]);
            c[r][1]    = vf_fma(a, b1, c[r][1]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < 2; i++)
            vf_store(m + r * m_stride + i * VF_LANES, c[r][i]);
}

static void multiply(const wino_plan *w, const wino_task *k, const float *tap, int add)
{
    const int64_t n      = w->p.c_in;
    const int64_t stride = w->panels * COLS;
    for (int64_t place = 0; place < PLACES; place++)
        for (int64_t panel = 0; panel < w->panels; panel++) {
            const float *u = tap + place * place_floats(w) + panel * n * COLS;
            const float *v = k->v + place * w->v_place;
            float       *m = k->m + place * w->m_place + panel * COLS;
            for (int64_t i = 0; i < k->tiles; i += ROWS)
                if (add)
                    product(v + i * n, n, u, m + i * stride, stride, 1);
                else
                    product(v + i * n, n, u, m + i * stride, stride, 0);
        }
}

/* ---- results -------------------------------------------------------------------------------- */

/* A^T m A: four pixels. */
INLINE void transform_back(const float *m, int64_t place, vf y[4])
{
    vf r[8];
    for (int i = 0; i < 4; i++) {
        const vf a = vf_load(m + i * place);
        const vf b = vf_load(m + (4 + i) * place);
        const vf c = vf_load(m + (8 + i) * place);
        const vf d = vf_load(m + (12 + i) * place);
        r[i]       = a + b + c;
        r[4 + i]   = b - c - d;
    }
    for (int i = 0; i < 2; i++) {
        y[2 * i]     = r[4 * i] + r[4 * i + 1] + r[4 * i + 2];
        y[2 * i + 1] = r[4 * i + 1] - r[4 * i + 2] - r[4 * i + 3];
    }
}

/* One vector of a pixel; `at` counts elements of the frame. n lanes. */
INLINE void finish(const filk_conv3d_problem *p, const void *residual, void *out, int64_t at,
                   int64_t n, vf v)
{
    if (p->silu) v = activated(v, FILK_ACT_SILU);
    if (p->out_dtype == FIL_BF16) {
        uint16_t *to = (uint16_t *)out + at;
        if (residual != NULL) v = v + vf_load_bf16_n((const uint16_t *)residual + at, n);
        vf_store_bf16_n(to, n, v);
    } else if (n == VF_LANES) {
        if (residual != NULL) v = v + vf_load((const float *)residual + at);
        vf_store((float *)out + at, v);
    } else {
        if (residual != NULL) v = v + vf_load_n((const float *)residual + at, n);
        vf_store_n((float *)out + at, n, v);
    }
}

static void finish_tile(const wino_plan *w, const filk_conv3d_args *a, const wino_task *k,
                        int64_t i)
{
    const filk_conv3d_problem *p        = &w->p;
    const int64_t              y0       = 2 * ((k->first + i) / w->tiles_x);
    const int64_t              x0       = 2 * ((k->first + i) % w->tiles_x);
    const float               *m        = k->m + i * w->panels * COLS;
    const void                *residual = a->residual != NULL ? a->residual[k->frame] : NULL;
    const int64_t              high     = y0 + 1 < w->out_h ? 2 : 1;
    const int64_t              wide     = x0 + 1 < w->out_w ? 2 : 1;
    for (int64_t c = 0; c < p->c_out; c += VF_LANES) {
        const int64_t left = p->c_out - c;
        const vf      bias = vf_load(k->bias + c);
        vf            y[4];
        transform_back(m + c, w->m_place, y);
        for (int64_t r = 0; r < high; r++)
            for (int64_t q = 0; q < wide; q++)
                finish(p, residual, a->out[k->frame], ((y0 + r) * w->out_w + x0 + q) * p->c_out + c,
                       left < VF_LANES ? left : VF_LANES, y[2 * r + q] + bias);
    }
}

/* ---- running -------------------------------------------------------------------------------- */

static void widen_bias(const filk_conv3d_problem *p, const void *bias, float *to)
{
    if (p->bias_dtype != FIL_DTYPE_NONE)
        fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F32, to, p->bias_dtype, bias,
                         (size_t)p->c_out);
}

static fil_status tiles_task(void *arg, int64_t task, int32_t worker)
{
    const run_state           *s     = arg;
    const wino_plan           *w     = s->w;
    const filk_conv3d_problem *p     = &w->p;
    const int64_t              tasks = fili_task_count(w->tiles, TILES);
    const fili_range           range = fili_task_range(w->tiles, TILES, task % tasks);
    float    *zeros = (float *)(void *)(s->workspace + (size_t)worker * w->thread_bytes);
    float    *bias  = zeros + odd_lines(p->c_in);
    wino_task k     = {.frame = (int32_t)(task / tasks),
                       .first = range.begin,
                       .tiles = range.end - range.begin,
                       .zeros = (const element *)(const void *)zeros,
                       .bias  = bias};
    int       any   = 0;
    k.v             = bias + odd_lines(w->panels * COLS);
    k.m             = k.v + PLACES * w->v_place;
    memset(zeros, 0, (size_t)((char *)k.v - (char *)zeros));
    widen_bias(p, s->a->bias, bias);
    /* Rows of the last product that are no tiles. */
    for (int64_t place = 0; place < PLACES && k.tiles % ROWS != 0; place++)
        memset(k.v + place * w->v_place + k.tiles * p->c_in, 0,
               (size_t)(ROWS - k.tiles % ROWS) * (size_t)p->c_in * sizeof(float));
    for (int32_t i = 0; i < p->t.kernel; i++) {
        const int32_t t = k.frame * p->t.stride + i - p->t.before;
        if (t < 0 || t >= p->t.size || s->a->frames[t] == NULL) continue;
        transform_frame(w, s->a->frames[t], &k);
        multiply(w, &k, (const float *)s->a->packed + i * PLACES * place_floats(w), any);
        any = 1;
    }
    if (!any) memset(k.m, 0, (size_t)(PLACES * w->m_place) * sizeof(float));
    for (int64_t i = 0; i < k.tiles; i++)
        finish_tile(w, s->a, &k, i);
    return FIL_OK;
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    run_state s = {.w = plan, .a = args, .workspace = workspace};
    return fili_pool_run(ctx, "conv3d", s.w->out_t * fili_task_count(s.w->tiles, TILES), tiles_task,
                         &s);
}

/* ---- row ------------------------------------------------------------------------------------ */

static int is_three(const filk_conv3d_axis *a)
{
    return a->kernel == 3 && a->stride == 1;
}

const char *JOIN(WINO_STEM, _refuse)(const void *problem)
{
    const filk_conv3d_problem *p = problem;
    if (p->dtype != ELEMENT) return ELEMENT == FIL_F32 ? "takes f32 only" : "takes bf16 only";
    if (p->out_dtype != FIL_BF16 && p->out_dtype != FIL_F32) return "writes bf16 and f32 only";
    if (p->bias_dtype != FIL_DTYPE_NONE && p->bias_dtype != FIL_BF16 && p->bias_dtype != FIL_F32)
        return "takes a bias in bf16 or f32 only";
    if (!is_three(&p->h) || !is_three(&p->w)) return "takes 3x3 kernels without strides only";
    if (p->c_in % VF_LANES != 0) return "takes whole vectors of input channels only";
    if (p->c_out < VF_LANES) return "takes a vector of output channels or more";
    if (filk_conv3d_out(&p->t) == 0 || filk_conv3d_out(&p->h) == 0 || filk_conv3d_out(&p->w) == 0)
        return "takes kernels that fit into the padded clip only";
    return NULL;
}

const filk_plan_ops JOIN(WINO_STEM, _plan) = {.create       = create,
                                              .destroy      = destroy,
                                              .workspace    = workspace_bytes,
                                              .packed_bytes = packed_bytes,
                                              .pack         = pack,
                                              .run          = run};
