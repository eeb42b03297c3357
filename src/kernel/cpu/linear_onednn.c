/* kernel/cpu/linear_onednn.c: linear (kernel/linear.h) with oneDNN's matmul, cut into tiles.
 *
 * A task is a tile of the result: one execution of a single-threaded primitive into an f32 tile
 * that stays in the L2 cache, then one pass of our own (tile.h) for bias, activation, gate,
 * residual and conversion. Measured in docs/design/linear.md. A plan holds at most four primitives:
 * whole and remaining rows by whole and remaining columns. Packed weights: a piece for each tile's
 * columns, in the layout that oneDNN asks for; tiles are wide, so that rows of out are written in
 * long runs, and taller where a piece is large, so that it is read less often. In place: the
 * primitive copies its piece of the weights again for every task, which many rows pay for, so tiles
 * are tall. Weights of another type are converted at the beginning of a call, into the workspace,
 * and taken from there in place. oneDNN 2.6 has its fast path for dense x only: rows of a strided x
 * are copied first.
 */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/pool.h"
#include "kernel/cpu/linear_finish.h"
#include "kernel/cpu/onednn.h"

enum {
    LONG_M     = 256, /* packed weights */
    LONG_N     = 768,
    SHORT_M    = 64, /* packed, where a column of the weights has at most SHORT_K elements */
    SHORT_N    = 1024,
    WHOLE_N    = 1536, /* as wide a layer is one short tile */
    SHORT_K    = 2048,
    IN_PLACE_M = 512,
    IN_PLACE_N = 256,
    LINE       = 64
};

_Static_assert(WHOLE_N <= FILK_LINEAR_WIDE, "the bias of a tile fits");

typedef struct linear_plan {
    filk_linear_problem p;
    fili_isa            isa; /* of the loops that convert weights */
    filk_dnn            dnn;
    filk_dnn_primitive  product[2][2]; /* [remaining rows][remaining columns] */
    filk_dnn_primitive  packing[2];    /* [remaining columns] */
    filk_tile_fn        tile;
    size_t              x_bytes, acc_bytes, thread_bytes; /* workspace of a thread */
    size_t              piece_bytes[2];                   /* packed weights of a tile's columns */
    int64_t             tile_m, tile_n;
    int64_t             m_tiles, n_tiles;
} linear_plan;

static size_t padded(size_t bytes)
{
    return (bytes + LINE - 1) & ~(size_t)(LINE - 1);
}

static int64_t element_bytes(const filk_linear_problem *p)
{
    return p->dtype == FIL_BF16 ? 2 : 4;
}

/* Rows or columns of a tile: whole (remaining == 0) or what is left over; 0 = there is none. */
static int64_t extent(int64_t n, int64_t tile, int remaining)
{
    if (remaining) return n % tile;
    return n >= tile ? tile : 0;
}

/* ---- building ------------------------------------------------------------------------------- */

/* W^T as a [K, columns] matrix, where PyTorch stores W [N, K]. */
static dnnl_status_t weight_in_place(const filk_linear_problem *p, int64_t columns,
                                     dnnl_memory_desc_t *out)
{
    const dnnl_data_type_t type    = p->dtype == FIL_BF16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_dims_t      dims    = {p->k, columns};
    const dnnl_dims_t      strides = {1, p->k};
    return dnnl_memory_desc_init_by_strides(out, 2, dims, type, strides);
}

static fil_status build_product(fil_ctx *ctx, linear_plan *plan, int rest_m, int rest_n)
{
    const filk_linear_problem *p      = &plan->p;
    const int64_t              m      = extent(p->m, plan->tile_m, rest_m);
    const int64_t              n      = extent(p->n, plan->tile_n, rest_n);
    const dnnl_data_type_t     type   = p->dtype == FIL_BF16 ? dnnl_bf16 : dnnl_f32;
    const dnnl_dims_t          x_dims = {m, p->k};
    const dnnl_dims_t          w_dims = {p->k, n};
    const dnnl_dims_t          y_dims = {m, n};
    dnnl_memory_desc_t         x;
    dnnl_memory_desc_t         w;
    dnnl_memory_desc_t         y;
    dnnl_matmul_desc_t         desc;
    if (m == 0 || n == 0) return FIL_OK;
    dnnl_status_t s = dnnl_memory_desc_init_by_tag(&x, 2, x_dims, type, dnnl_ab);
    if (s == dnnl_success) s = dnnl_memory_desc_init_by_tag(&y, 2, y_dims, dnnl_f32, dnnl_ab);
    if (s == dnnl_success && !p->packed) s = weight_in_place(p, n, &w);
    if (s == dnnl_success && p->packed) {
        /* Remaining rows take the weights as the whole tiles do. */
        if (rest_m && plan->product[0][rest_n].primitive != NULL)
            w = plan->product[0][rest_n].weights;
        else
            s = dnnl_memory_desc_init_by_tag(&w, 2, w_dims, type, dnnl_format_tag_any);
    }
    if (s == dnnl_success) s = dnnl_matmul_desc_init(&desc, &x, &w, NULL, &y);
    FIL_TRY(filk_dnn_check(ctx, s, "a matrix product"));
    return filk_dnn_build(ctx, &plan->dnn, &(filk_dnn_operation){.desc = &desc},
                          &plan->product[rest_m][rest_n]);
}

static fil_status build_packing(fil_ctx *ctx, linear_plan *plan, int rest_n)
{
    const int64_t n = extent(plan->p.n, plan->tile_n, rest_n);
    if (!plan->p.packed || n == 0) return FIL_OK;
    const filk_dnn_primitive *whole = &plan->product[0][rest_n];
    const filk_dnn_primitive *used  = whole->primitive != NULL ? whole : &plan->product[1][rest_n];
    dnnl_memory_desc_t        from;
    FIL_TRY(filk_dnn_check(ctx, weight_in_place(&plan->p, n, &from), "the weights"));
    plan->piece_bytes[rest_n] = padded(dnnl_memory_desc_get_size(&used->weights));
    return filk_dnn_build_reorder(ctx, &plan->dnn, &from, &used->weights, &plan->packing[rest_n]);
}

static fil_status build(fil_ctx *ctx, linear_plan *plan)
{
    const filk_linear_problem *p       = &plan->p;
    size_t                     scratch = 0;
    for (int n = 0; n < 2; n++) {
        for (int m = 0; m < 2; m++) {
            FIL_TRY(build_product(ctx, plan, m, n));
            if (plan->product[m][n].scratch > scratch) scratch = plan->product[m][n].scratch;
        }
        FIL_TRY(build_packing(ctx, plan, n));
        if (plan->packing[n].scratch > scratch) scratch = plan->packing[n].scratch;
    }
    if (p->x_stride != p->k) {
        const size_t rows = (size_t)(p->m < plan->tile_m ? p->m : plan->tile_m);
        if (!fili_mul_size(rows * (size_t)element_bytes(p), (size_t)p->k, &plan->x_bytes))
            return FIL_FAIL(ctx, FIL_E_SHAPE, "linear: rows of %lld elements are too long",
                            (long long)p->k);
        plan->x_bytes = padded(plan->x_bytes);
    }
    plan->acc_bytes    = sizeof(float) * (size_t)(plan->tile_m * plan->tile_n);
    plan->thread_bytes = plan->x_bytes + plan->acc_bytes + padded(scratch);
    return FIL_OK;
}

static void destroy(fil_ctx *ctx, void **plan)
{
    linear_plan *l = *plan;
    if (l == NULL) return;
    for (int n = 0; n < 2; n++) {
        for (int m = 0; m < 2; m++)
            filk_dnn_drop(ctx, &l->dnn, &l->product[m][n]);
        filk_dnn_drop(ctx, &l->dnn, &l->packing[n]);
    }
    filk_dnn_close(ctx, &l->dnn);
    fili_free(ctx, l, sizeof *l);
    *plan = NULL;
}

/* By the problem alone: the same bits for any number of threads. */
static void choose_tile(linear_plan *l)
{
    const int     in_place = !l->p.packed;
    const int     is_short = l->p.k <= SHORT_K;
    const int64_t wide     = l->p.n <= WHOLE_N ? WHOLE_N : SHORT_N;
    l->tile_m              = in_place ? IN_PLACE_M : is_short ? SHORT_M : LONG_M;
    l->tile_n              = in_place ? IN_PLACE_N : is_short ? wide : LONG_N;
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    fil_status status;
    *plan = NULL;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(linear_plan), "linear plan", plan));
    linear_plan *l = *plan;
    memcpy(&l->p, problem, sizeof l->p);
    l->isa = ctx->isa;
    choose_tile(l);
    l->m_tiles = fili_task_count(l->p.m, l->tile_m);
    l->n_tiles = fili_task_count(l->p.n, l->tile_n);
    l->tile    = fili_isa_has(ctx->isa, FILI_ISA_AVX512) ? filk_tile_avx512 : filk_tile_avx2;
    FIL_TRY_OR(fail, filk_dnn_open(ctx, &l->dnn));
    FIL_TRY_OR(fail, build(ctx, l));
    return FIL_OK;
fail:
    destroy(ctx, plan);
    return status;
}

/* ---- sizes, packing ------------------------------------------------------------------------- */

static size_t threads_bytes(const linear_plan *l)
{
    return (size_t)l->dnn.n_threads * padded(l->thread_bytes);
}

/* Converted weights lie behind the scratch of the threads. */
static size_t workspace_bytes(const void *plan)
{
    const linear_plan *l    = plan;
    const size_t       size = (size_t)l->p.n * (size_t)l->p.k * (size_t)element_bytes(&l->p);
    return threads_bytes(l) + (l->p.any_weight ? size : 0);
}

static size_t packed_bytes(const void *plan)
{
    const linear_plan *l = plan;
    return (size_t)(l->p.n / l->tile_n) * l->piece_bytes[0] + l->piece_bytes[1];
}

typedef struct pack_state {
    const linear_plan *l;
    const char        *weight;
    char              *packed, *workspace;
} pack_state;

static fil_status pack_task(void *arg, int64_t piece, int32_t worker)
{
    const pack_state  *s    = arg;
    const linear_plan *l    = s->l;
    const int          rest = piece == l->p.n / l->tile_n;
    const int64_t      from = piece * l->tile_n * l->p.k * element_bytes(&l->p);
    /* oneDNN takes what it only reads through a plain pointer. */
    void *data[2] = {(void *)((uintptr_t)s->weight + (uintptr_t)from),
                     s->packed + (size_t)piece * l->piece_bytes[0]};
    return filk_dnn_execute(&l->dnn, &l->packing[rest], worker, data,
                            s->workspace + (size_t)worker * l->thread_bytes);
}

static fil_status pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace)
{
    pack_state s = {.l = plan, .weight = weight, .packed = packed, .workspace = workspace};
    if (!s.l->p.packed) return FIL_OK;
    return fili_pool_run(ctx, "linear packing", s.l->n_tiles, pack_task, &s);
}

/* ---- running -------------------------------------------------------------------------------- */

typedef struct run_state {
    const linear_plan      *l;
    const filk_linear_args *a;
    char                   *workspace;
} run_state;

static const void *dense_rows(const linear_plan *l, const void *x, int64_t first, int64_t rows,
                              char *copy)
{
    const int64_t size = element_bytes(&l->p);
    const char   *from = (const char *)x + first * l->p.x_stride * size;
    if (l->p.x_stride == l->p.k) return from;
    for (int64_t i = 0; i < rows; i++)
        memcpy(copy + i * l->p.k * size, from + i * l->p.x_stride * size, (size_t)(l->p.k * size));
    return copy;
}

/* Tiles of the same columns follow each other, so that their weights stay in the cache. */
static fil_status tile_task(void *arg, int64_t task, int32_t worker)
{
    const run_state   *s      = arg;
    const linear_plan *l      = s->l;
    const int64_t      piece  = task / l->m_tiles;
    const fili_range   m      = fili_task_range(l->p.m, l->tile_m, task % l->m_tiles);
    const fili_range   n      = fili_task_range(l->p.n, l->tile_n, piece);
    const int          rest_m = m.end - m.begin < l->tile_m;
    const int          rest_n = n.end - n.begin < l->tile_n;
    char              *mine   = s->workspace + (size_t)worker * l->thread_bytes;
    char              *acc    = mine + l->x_bytes;
    const void        *x      = dense_rows(l, s->a->x, m.begin, m.end - m.begin, mine);
    const int64_t      at =
        l->p.packed ? piece * (int64_t)l->piece_bytes[0] : n.begin * l->p.k * element_bytes(&l->p);
    void *data[3] = {(void *)(uintptr_t)x, (void *)((uintptr_t)s->a->weight + (uintptr_t)at), acc};
    const fil_status status =
        filk_dnn_execute(&l->dnn, &l->product[rest_m][rest_n], worker, data, acc + l->acc_bytes);
    if (status != FIL_OK) return status;
    const filk_linear_sums sums = {.at     = (const float *)(const void *)acc,
                                   .stride = n.end - n.begin};
    filk_linear_finish(&l->p, s->a, l->tile, &sums, m, n);
    return FIL_OK;
}

enum { ROWS = 64 }; /* of a weight, converted in one task */

static fil_status convert_task(void *arg, int64_t task, int32_t worker)
{
    const run_state   *s = arg;
    const linear_plan *l = s->l;
    const fili_range   n = fili_task_range(l->p.n, ROWS, task);
    (void)worker;
    filk_linear_convert(&l->p, l->isa, s->a, n,
                        s->workspace + threads_bytes(l) + n.begin * l->p.k * element_bytes(&l->p));
    return FIL_OK;
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    run_state        s = {.l = plan, .a = args, .workspace = workspace};
    filk_linear_args converted;
    if (s.l->p.any_weight) FIL_TRY(filk_linear_check_weight(ctx, &s.l->p, args));
    if (s.l->p.any_weight && s.a->weight_dtype != s.l->p.dtype) {
        if (!s.a->again)
            FIL_TRY(fili_pool_run(ctx, "linear conversion", fili_task_count(s.l->p.n, ROWS),
                                  convert_task, &s));
        converted        = *s.a;
        converted.weight = s.workspace + threads_bytes(s.l);
        s.a              = &converted;
    }
    return fili_pool_run(ctx, "linear", s.l->m_tiles * s.l->n_tiles, tile_task, &s);
}

/* ---- rows ----------------------------------------------------------------------------------- */

const char *filk_linear_bf16_tile__onednn_refuse(const void *problem)
{
    return filk_linear_refuse_other(problem, FIL_BF16);
}

const char *filk_linear_f32_tile__onednn_refuse(const void *problem)
{
    return filk_linear_refuse_other(problem, FIL_F32);
}

const filk_plan_ops filk_linear_bf16_tile__onednn_plan = {.create       = create,
                                                          .destroy      = destroy,
                                                          .workspace    = workspace_bytes,
                                                          .packed_bytes = packed_bytes,
                                                          .pack         = pack,
                                                          .run          = run};

const filk_plan_ops filk_linear_f32_tile__onednn_plan = {.create       = create,
                                                         .destroy      = destroy,
                                                         .workspace    = workspace_bytes,
                                                         .packed_bytes = packed_bytes,
                                                         .pack         = pack,
                                                         .run          = run};
