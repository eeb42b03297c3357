/* sparse/window_mask.c: windows of cubes, and the nearest blocks (sparse/window_mask.h). */
#include "base/mem.h"
#include "base/pool.h"
#include "sparse/order_make.h"
#include "sparse/rank.h"
#include "sparse/window_mask.h"

static fil_status check_shape(const fili_mask *mask, const fili_order *order,
                              const fili_blocks *blocks)
{
    if (mask->heads == 1 && mask->mq == blocks->m && mask->mk == blocks->m &&
        fili_blocks_tokens(blocks) == order->n)
        return FIL_OK;
    return FIL_FAIL(mask->ctx, FIL_E_SHAPE,
                    "window: mask of %d heads, %d x %d blocks over %d tokens; expected 1, %d x %d "
                    "blocks over %d",
                    mask->heads, mask->mq, mask->mk, fili_blocks_tokens(blocks), blocks->m,
                    blocks->m, order->n);
}

static fili_grid place_of(fili_grid grid, int32_t raster)
{
    return (fili_grid){
        .f = raster / grid.w / grid.h, .h = raster / grid.w % grid.h, .w = raster % grid.w};
}

/* ---- windows of cubes ----------------------------------------------------------------------- */

typedef struct span {
    int32_t first, last;
} span;

/* Cubes of one axis that cube c sees, of n, in a window of `side`. */
static span window_span(int32_t c, int32_t n, int32_t side)
{
    const int32_t r = side / 2;
    if (side >= n) return (span){.first = 0, .last = n - 1};
    const int32_t centre = c < r ? r : c > n - 1 - r ? n - 1 - r : c;
    return (span){.first = centre - r, .last = centre + r};
}

static bool inside(span s, int32_t c)
{
    return c >= s.first && c <= s.last;
}

static void window_row(uint32_t *row, const fili_grid *cube, int32_t m, int32_t u, fili_grid cubes,
                       fili_grid window)
{
    const span f = window_span(cube[u].f, cubes.f, window.f);
    const span h = window_span(cube[u].h, cubes.h, window.h);
    const span w = window_span(cube[u].w, cubes.w, window.w);
    for (int32_t b = 0; b < m; b++)
        if (inside(f, cube[b].f) && inside(h, cube[b].h) && inside(w, cube[b].w))
            row[b / 32] |= 1u << (b % 32);
}

static fil_status check_window(fil_ctx *ctx, const fili_order *order, fili_grid window)
{
    FIL_CHECK(ctx, order->spec.cube.f >= 1,
              "window: the order has no cubes; expected \"cubes TxHxW\" or "
              "\"hilbert-cubes TxHxW\"");
    FIL_CHECK(ctx,
              window.f >= 1 && window.h >= 1 && window.w >= 1 && window.f % 2 == 1 &&
                  window.h % 2 == 1 && window.w % 2 == 1,
              "window of %dx%dx%d cubes; expected odd sides from 1", window.f, window.h, window.w);
    return FIL_OK;
}

fil_status fili_window_mask(fili_mask *mask, const fili_order *order, const fili_blocks *blocks,
                            fili_grid window)
{
    fil_ctx        *ctx  = mask->ctx;
    const fili_grid side = order->spec.cube;
    const size_t    m    = (size_t)blocks->m;
    void           *room;
    FIL_TRY(check_window(ctx, order, window));
    FIL_TRY(check_shape(mask, order, blocks));
    FIL_TRY(fili_alloc(ctx, m * sizeof(fili_grid), "places of cubes", &room));
    fili_grid *cube = room;
    for (size_t b = 0; b < m; b++) {
        const fili_grid at = place_of(order->grid, order->order[blocks->offset[b]]);
        cube[b] = (fili_grid){.f = at.f / side.f, .h = at.h / side.h, .w = at.w / side.w};
    }
    fili_mask_clear(mask);
    for (int32_t u = 0; u < blocks->m; u++)
        window_row(fili_mask_row(mask, 0, u), cube, blocks->m, u, fili_cube_grid(order->grid, side),
                   window);
    fili_free(ctx, room, m * sizeof(fili_grid));
    return FIL_OK;
}

/* Share of the pairs of one axis: its tokens see those of the cubes in their window. */
static double axis_density(int32_t tokens, int32_t cube, int32_t window)
{
    const int64_t n    = tokens;
    const int64_t side = cube < tokens ? cube : tokens;
    const int32_t c    = (int32_t)((n + side - 1) / side);
    double        sum  = 0.0;
    for (int64_t i = 0; i < c; i++) {
        const span    s    = window_span((int32_t)i, c, window);
        const int64_t own  = n - i * side < side ? n - i * side : side;
        const int64_t end  = (s.last + 1) * side < n ? (s.last + 1) * side : n;
        const int64_t seen = end - s.first * side;
        sum += (double)own * (double)seen;
    }
    return sum / ((double)n * (double)n);
}

double fili_window_density(fili_grid grid, fili_grid cube, fili_grid window)
{
    return axis_density(grid.f, cube.f, window.f) * axis_density(grid.h, cube.h, window.h) *
           axis_density(grid.w, cube.w, window.w);
}

/* ---- nearest blocks ------------------------------------------------------------------------- */

enum { ROWS = 16 }; /* of a task */

typedef struct centre {
    double f, h, w;
} centre;

static centre centre_of(const fili_order *order, const fili_blocks *blocks, int32_t b)
{
    int64_t      f = 0;
    int64_t      h = 0;
    int64_t      w = 0;
    const double n = (double)fili_blocks_valid(blocks, b);
    for (int32_t i = blocks->offset[b]; i < blocks->offset[b + 1]; i++) {
        const fili_grid at = place_of(order->grid, order->order[i]);
        f += at.f;
        h += at.h;
        w += at.w;
    }
    return (centre){.f = (double)f / n, .h = (double)h / n, .w = (double)w / n};
}

typedef struct nearest_job {
    fili_mask         *mask;
    const fili_blocks *blocks;
    const centre      *centre;
    fili_ranked       *heap; /* [threads, m] */
    fili_row_share     share;
} nearest_job;

static fil_status nearest_rows(void *arg, int64_t task, int32_t worker)
{
    const nearest_job *job  = arg;
    const int32_t      m    = job->blocks->m;
    fili_ranked       *heap = job->heap + (int64_t)worker * m;
    const fili_range   rows = fili_task_range(m, ROWS, task);
    for (int32_t u = (int32_t)rows.begin; u < rows.end; u++) {
        const centre own = job->centre[u];
        for (int32_t b = 0; b < m; b++) {
            const centre c = job->centre[b];
            heap[b] =
                (fili_ranked){.key = (c.f - own.f) * (c.f - own.f) + (c.h - own.h) * (c.h - own.h) +
                                     (c.w - own.w) * (c.w - own.w),
                              .index = b};
        }
        fili_row_fill(heap, job->blocks, job->share, fili_mask_row(job->mask, 0, u));
    }
    return FIL_OK;
}

fil_status fili_nearest_mask(fili_mask *mask, const fili_order *order, const fili_blocks *blocks,
                             double density)
{
    fil_ctx     *ctx     = mask->ctx;
    const size_t m       = (size_t)blocks->m;
    const size_t ranked  = m * (size_t)ctx->n_threads;
    void        *centres = NULL;
    void        *heaps   = NULL;
    fil_status   status  = FIL_OK;
    FIL_CHECK(ctx, density > 0.0 && density <= 1.0, "density %g; expected above 0, up to 1",
              density);
    FIL_TRY(check_shape(mask, order, blocks));
    FIL_TRY_OR(done, fili_calloc(ctx, m, sizeof(centre), "centres of blocks", &centres));
    FIL_TRY_OR(done, fili_calloc(ctx, ranked, sizeof(fili_ranked), "ranking of blocks", &heaps));
    for (int32_t b = 0; b < blocks->m; b++)
        ((centre *)centres)[b] = centre_of(order, blocks, b);
    fili_mask_clear(mask);
    nearest_job job = {.mask   = mask,
                       .blocks = blocks,
                       .centre = centres,
                       .heap   = heaps,
                       .share  = fili_row_share_of(blocks, density)};
    status =
        fili_pool_run(ctx, "nearest blocks", fili_task_count(blocks->m, ROWS), nearest_rows, &job);
done:
    fili_free(ctx, heaps, ranked * sizeof(fili_ranked));
    fili_free(ctx, centres, m * sizeof(centre));
    return status;
}
