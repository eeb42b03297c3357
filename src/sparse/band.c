/* sparse/band.c: counting bands, and fitting masks of bands to a density (sparse/band.h). */
#include "base/pool.h"
#include "sparse/band.h"

enum { ROWS = 8 }; /* of a task */

/* Sum of min(max(y, 0), n) over all y < x. */
static int64_t ramp(int64_t x, int64_t n)
{
    if (x <= 0) return 0;
    if (x <= n + 1) return x * (x - 1) / 2;
    return n * (n + 1) / 2 + (x - 1 - n) * n;
}

/* Pairs with b - a <= high: row a has min(max(high + a + 1, 0), nb) of them. */
static int64_t staircase(int64_t na, int64_t nb, int64_t high)
{
    return ramp(high + 1 + na, nb) - ramp(high + 1, nb);
}

int64_t fili_band_pairs(int64_t na, int64_t nb, int64_t low, int64_t high)
{
    if (low > high) return 0;
    return staircase(na, nb, high) - staircase(na, nb, low - 1);
}

/* ---- masks ---------------------------------------------------------------------------------- */

static fil_status check_shape(const fili_mask *mask, const fili_blocks *blocks)
{
    if (mask->heads == 1 && mask->mq == blocks->m && mask->mk == blocks->m) return FIL_OK;
    return FIL_FAIL(mask->ctx, FIL_E_SHAPE,
                    "band: mask of %d heads, %d x %d blocks; expected 1, %d x %d", mask->heads,
                    mask->mq, mask->mk, blocks->m, blocks->m);
}

typedef struct mask_job {
    fili_mask         *mask;
    const fili_blocks *blocks;
    fili_band_keep     keep;
    fili_band_count_fn count;
    const void        *rule;
} mask_job;

static fil_status mask_rows(void *arg, int64_t task, int32_t worker)
{
    const mask_job    *job    = arg;
    const fili_blocks *blocks = job->blocks;
    const fili_range   rows   = fili_task_range(blocks->m, ROWS, task);
    (void)worker;
    for (int32_t u = (int32_t)rows.begin; u < rows.end; u++) {
        uint32_t *row = fili_mask_row(job->mask, 0, u);
        for (int32_t b = 0; b < blocks->m; b++) {
            const int64_t pairs =
                (int64_t)fili_blocks_valid(blocks, u) * fili_blocks_valid(blocks, b);
            const int64_t kept = job->count(job->rule, blocks, u, b);
            if (job->keep == FILI_BAND_ANY ? kept > 0 : 2 * kept >= pairs)
                row[b / 32] |= 1u << (b % 32);
        }
    }
    return FIL_OK;
}

fil_status fili_band_mask(fili_mask *mask, const fili_blocks *blocks, fili_band_keep keep,
                          fili_band_count_fn count, const void *rule)
{
    FIL_TRY(check_shape(mask, blocks));
    mask_job job = {.mask = mask, .blocks = blocks, .keep = keep, .count = count, .rule = rule};
    fili_mask_clear(mask);
    return fili_pool_run(mask->ctx, "band mask", fili_task_count(blocks->m, ROWS), mask_rows, &job);
}

/* ---- fitting -------------------------------------------------------------------------------- */

typedef struct fit {
    const fili_blocks *blocks;
    fili_band_make_fn  make;
    const void        *family;
} fit;

/* Step -1 is the own blocks alone. */
static fil_status make_step(const fit *f, int64_t step, fili_mask *mask, uint64_t *kept)
{
    if (step < 0)
        fili_mask_clear(mask);
    else
        FIL_TRY(f->make(f->family, step, mask));
    for (int32_t b = 0; b < mask->mq; b++)
        fili_mask_row(mask, 0, b)[b / 32] |= 1u << (b % 32);
    return fili_mask_kept(mask, f->blocks, f->blocks, kept);
}

static bool has(const uint32_t *row, int32_t b)
{
    return (row[b / 32] >> (b % 32) & 1u) != 0;
}

static uint64_t row_tokens(const uint32_t *row, const fili_blocks *blocks)
{
    uint64_t n = 0;
    for (int32_t b = 0; b < blocks->m; b++)
        if (has(row, b)) n += (uint64_t)fili_blocks_valid(blocks, b);
    return n;
}

/* Moves block b of row u from `more` to `mask` if `room` pairs allow it to half a block. */
static void take(fili_mask *mask, const fili_mask *more, const fili_blocks *blocks, int32_t u,
                 int32_t b, double *room)
{
    uint32_t *row = fili_mask_row(mask, 0, u);
    if (b < 0 || b >= blocks->m || has(row, b) || !has(fili_mask_row(more, 0, u), b)) return;
    const double pairs =
        (double)fili_blocks_valid(blocks, u) * (double)fili_blocks_valid(blocks, b);
    if (2.0 * *room < pairs) return;
    row[b / 32] |= 1u << (b % 32);
    *room -= pairs;
}

/* Adds `share` of what `more` has beyond `mask`. What rounding leaves goes on to the next row. */
static void add_share(fili_mask *mask, const fili_mask *more, const fili_blocks *blocks,
                      double share)
{
    double room = 0.0;
    for (int32_t u = 0; u < blocks->m; u++) {
        const uint64_t extra = row_tokens(fili_mask_row(more, 0, u), blocks) -
                               row_tokens(fili_mask_row(mask, 0, u), blocks);
        room += share * (double)extra * (double)fili_blocks_valid(blocks, u);
        for (int32_t d = 1; d < blocks->m; d++) {
            take(mask, more, blocks, u, u - d, &room);
            take(mask, more, blocks, u, u + d, &room);
        }
    }
}

/* The last step of -1 .. last that keeps at most `want` pairs, or -1. */
static fil_status search(const fit *f, fili_mask *mask, double want, int64_t last, int64_t *step)
{
    int64_t low  = -1;
    int64_t high = last + 1;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        uint64_t      kept;
        FIL_TRY(make_step(f, middle, mask, &kept));
        if ((double)kept <= want)
            low = middle;
        else
            high = middle;
    }
    *step = low;
    return FIL_OK;
}

static fil_status fit_to(const fit *f, fili_mask *mask, fili_mask *more, double want, int64_t last)
{
    int64_t  step;
    uint64_t less_kept;
    uint64_t more_kept;
    FIL_TRY(search(f, mask, want, last, &step));
    FIL_TRY(make_step(f, step, mask, &less_kept));
    if (step == last || (double)less_kept >= want) return FIL_OK;
    FIL_TRY(make_step(f, step + 1, more, &more_kept));
    add_share(mask, more, f->blocks,
              (want - (double)less_kept) / ((double)more_kept - (double)less_kept));
    return FIL_OK;
}

fil_status fili_band_fit(fili_mask *mask, const fili_blocks *blocks, double density, int64_t last,
                         fili_band_make_fn make, const void *family)
{
    const fit    f    = {.blocks = blocks, .make = make, .family = family};
    const double n    = (double)fili_blocks_tokens(blocks);
    fili_mask    more = {0};
    FIL_CHECK(mask->ctx, density > 0.0 && density <= 1.0, "density %g; expected above 0, up to 1",
              density);
    FIL_TRY(check_shape(mask, blocks));
    FIL_TRY(fili_mask_init(&more, mask->ctx, 1, mask->mq, mask->mk));
    const fil_status status = fit_to(&f, mask, &more, density * n * n, last);
    fili_mask_fini(&more);
    return status;
}
