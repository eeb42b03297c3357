/* kernel/cpu/linear_tiles.c: plan, packing and tasks of linear_tiles.h. */
#include "kernel/cpu/linear_tiles.h"

#include <string.h>

#include "base/checked.h"
#include "base/mem.h"

/* ---- the plan ------------------------------------------------------------------------------- */

fil_status filk_linear_tiles_create(fil_ctx *ctx, const filk_linear_problem *p,
                                    const filk_linear_kernel *kernel, void **plan)
{
    size_t all;
    *plan = NULL;
    if (p->n > INT64_MAX - kernel->cols ||
        !fili_mul_size((size_t)filk_rounded(p->n, kernel->cols),
                       (size_t)filk_rounded(p->k, kernel->step) * 4, &all))
        return FIL_FAIL(ctx, FIL_E_SHAPE, "linear: weights of %lld x %lld are too large",
                        (long long)p->n, (long long)p->k);
    FIL_TRY(fili_calloc(ctx, 1, sizeof(filk_linear_tiles), "linear plan", plan));
    filk_linear_tiles *l = *plan;
    memcpy(&l->p, p, sizeof l->p);
    l->kernel    = kernel;
    l->isa       = ctx->isa;
    l->p.packed  = p->packed || p->any_weight;
    l->n_threads = ctx->n_threads;
    l->depth     = filk_rounded(p->k, kernel->step);
    l->block_k   = filk_share(l->depth, kernel->block_k, kernel->step);
    kernel->cut(l);
    l->m_tiles     = fili_task_count(p->m, l->tile_m);
    l->n_tiles     = fili_task_count(p->n, l->tile_n);
    l->panel_bytes = (size_t)l->depth * (size_t)kernel->step_bytes(l);
    return FIL_OK;
}

void filk_linear_tiles_destroy(fil_ctx *ctx, void **plan)
{
    fili_free(ctx, *plan, sizeof(filk_linear_tiles));
    *plan = NULL;
}

static int64_t panels_of(const filk_linear_tiles *l)
{
    return fili_task_count(l->p.n, l->kernel->cols);
}

static size_t all_panels_bytes(const filk_linear_tiles *l)
{
    return (size_t)panels_of(l) * l->panel_bytes;
}

/* From row to row of the weights, in the type of x. */
static size_t row_bytes(const filk_linear_tiles *l)
{
    return (size_t)l->p.k * (fil_dtype_bits(l->p.dtype) / 8);
}

/* Rows of a panel, in the type of x. */
static size_t converted_bytes(const filk_linear_tiles *l)
{
    return filk_lines((size_t)l->kernel->cols * row_bytes(l));
}

/* Scratch of the threads, for one thing or the other; panels of another type lie behind it. */
static size_t threads_bytes(const filk_linear_tiles *l)
{
    const size_t rows = l->p.any_weight ? converted_bytes(l) : 0;
    return (size_t)l->n_threads * (rows > l->thread_bytes ? rows : l->thread_bytes);
}

size_t filk_linear_tiles_workspace(const void *plan)
{
    const filk_linear_tiles *l = plan;
    return threads_bytes(l) + (l->p.any_weight ? all_panels_bytes(l) : 0);
}

size_t filk_linear_tiles_packed_bytes(const void *plan)
{
    const filk_linear_tiles *l = plan;
    return l->p.packed && !l->p.any_weight ? all_panels_bytes(l) : 0;
}

/* ---- packing -------------------------------------------------------------------------------- */

typedef struct pack_state {
    const filk_linear_tiles *l;
    const char              *weight; /* in the type of x */
    const filk_linear_args  *a;      /* of another; else NULL */
    char                    *packed, *workspace;
} pack_state;

static fil_status pack_task(void *arg, int64_t panel, int32_t worker)
{
    const pack_state        *s  = arg;
    const filk_linear_tiles *l  = s->l;
    const fili_range         n  = fili_task_range(l->p.n, l->kernel->cols, panel);
    char                    *to = s->packed + (size_t)panel * l->panel_bytes;
    if (s->a == NULL) {
        l->kernel->pack(l, s->weight + (size_t)n.begin * row_bytes(l), n.end - n.begin, to);
        return FIL_OK;
    }
    char *rows = s->workspace + (size_t)worker * converted_bytes(l);
    filk_linear_convert(&l->p, l->isa, s->a, n, rows);
    l->kernel->pack(l, rows, n.end - n.begin, to);
    return FIL_OK;
}

fil_status filk_linear_tiles_pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                                  void *workspace)
{
    pack_state s = {.l = plan, .weight = weight, .packed = packed, .workspace = workspace};
    if (filk_linear_tiles_packed_bytes(plan) == 0) return FIL_OK;
    return fili_pool_run(ctx, "linear packing", panels_of(s.l), pack_task, &s);
}

/* ---- running -------------------------------------------------------------------------------- */

typedef struct run_state {
    const filk_linear_tiles *l;
    const filk_linear_args  *a;
    char                    *workspace;
} run_state;

/* Tiles of the same columns follow each other, so that their weights stay in the cache. */
static fil_status tile_task(void *arg, int64_t task, int32_t worker)
{
    const run_state         *s       = arg;
    const filk_linear_tiles *l       = s->l;
    const fili_range         m       = fili_task_range(l->p.m, l->tile_m, task % l->m_tiles);
    const fili_range         n       = fili_task_range(l->p.n, l->tile_n, task / l->m_tiles);
    char                    *scratch = s->workspace + (size_t)worker * l->thread_bytes;
    const filk_linear_sums   sums    = l->kernel->product(l, s->a, m, n, scratch);
    filk_linear_finish(&l->p, s->a, l->kernel->tile, &sums, m, n);
    return FIL_OK;
}

/* Weights of another type, behind the scratch of the threads. */
static fil_status pack_here(fil_ctx *ctx, const run_state *s, filk_linear_args *packed)
{
    char      *to   = s->workspace + threads_bytes(s->l);
    const bool own  = s->a->weight_dtype == s->l->p.dtype;
    pack_state pack = {.l         = s->l,
                       .weight    = s->a->weight,
                       .a         = own ? NULL : s->a,
                       .packed    = to,
                       .workspace = s->workspace};
    *packed         = *s->a;
    packed->weight  = to;
    if (s->a->again) return FIL_OK;
    return fili_pool_run(ctx, "linear packing", panels_of(s->l), pack_task, &pack);
}

fil_status filk_linear_tiles_run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    run_state        s = {.l = plan, .a = args, .workspace = workspace};
    filk_linear_args packed;
    if (s.l->p.any_weight) {
        FIL_TRY(filk_linear_check_weight(ctx, &s.l->p, args));
        FIL_TRY(pack_here(ctx, &s, &packed));
        s.a = &packed;
    }
    return fili_pool_run(ctx, "linear", s.l->m_tiles * s.l->n_tiles, tile_task, &s);
}
