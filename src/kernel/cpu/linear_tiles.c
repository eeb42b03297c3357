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

size_t filk_linear_tiles_workspace(const void *plan)
{
    const filk_linear_tiles *l = plan;
    return (size_t)l->n_threads * l->thread_bytes;
}

static int64_t panels_of(const filk_linear_tiles *l)
{
    return fili_task_count(l->p.n, l->kernel->cols);
}

size_t filk_linear_tiles_packed_bytes(const void *plan)
{
    const filk_linear_tiles *l = plan;
    return l->p.packed ? (size_t)panels_of(l) * l->panel_bytes : 0;
}

/* ---- packing -------------------------------------------------------------------------------- */

typedef struct pack_state {
    const filk_linear_tiles *l;
    const char              *weight;
    char                    *packed;
} pack_state;

static fil_status pack_task(void *arg, int64_t panel, int32_t worker)
{
    const pack_state        *s = arg;
    const filk_linear_tiles *l = s->l;
    (void)worker;
    l->kernel->pack(l, s->weight, panel * l->kernel->cols,
                    s->packed + (size_t)panel * l->panel_bytes);
    return FIL_OK;
}

fil_status filk_linear_tiles_pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                                  void *workspace)
{
    pack_state s = {.l = plan, .weight = weight, .packed = packed};
    (void)workspace;
    if (!s.l->p.packed) return FIL_OK;
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

fil_status filk_linear_tiles_run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    run_state s = {.l = plan, .a = args, .workspace = workspace};
    return fili_pool_run(ctx, "linear", s.l->m_tiles * s.l->n_tiles, tile_task, &s);
}
