/* sparse/radial_mask.c: masks of Radial Attention (sparse/radial_mask.h). */
#include <math.h>

#include "base/mem.h"
#include "sparse/radial_mask.h"

enum { STEPS = 4096 }; /* of the search, per unit of reach */

typedef struct widths {
    fili_grid grid;
    int64_t   frame; /* tokens of one */
    int64_t   first; /* width towards the first frame */
    int64_t  *of;    /* [f] by distance in time; -1 = nothing */
} widths;

static double power_above(int64_t n) /* 2^bits(n) */
{
    int exponent;
    frexp((double)n, &exponent);
    return ldexp(1.0, exponent);
}

/* Width of the rule at decay <= 1, or -1. */
static double rule_width(double frame, double threshold, int32_t d, double decay)
{
    const double length = power_above((int64_t)frame) / power_above(d);
    if (d == 0) return frame;
    if (length < threshold && fmod((double)d, floor(threshold / length)) != 0.0) return -1.0;
    if (d == 1) return frame / 2.0;
    return fmax(decay * length, threshold);
}

/* From the rule's width to the whole frame, `way` of it. */
static double grown(double width, double frame, double way)
{
    if (way <= 0.0) return width;
    const double from = fmin(fmax(width, 0.0), frame);
    return from + way * (frame - from);
}

static int64_t width_at(const fili_radial *radial, double frame, int32_t d)
{
    const double reach  = radial->reach;
    const double decay  = fmin(fmax(reach - 1.0, 0.0), 1.0);
    const double shrink = fmin(reach, 1.0);
    const double width  = rule_width(frame, radial->threshold, d, decay);
    if (width < 0.0 && reach <= 2.0) return -1;
    /* No width beyond the frame means more than the frame, and a threshold may be any number. */
    return (int64_t)fmin(frame, grown(width, frame, reach - 2.0) * shrink);
}

/* ---- counting ------------------------------------------------------------------------------- */

/* A run of tokens inside one frame. */
typedef struct piece {
    int64_t frame, place, n;
} piece;

static piece piece_at(const widths *w, int64_t token, int64_t end)
{
    const int64_t frame = token / w->frame;
    const int64_t stop  = (frame + 1) * w->frame < end ? (frame + 1) * w->frame : end;
    return (piece){.frame = frame, .place = token - frame * w->frame, .n = stop - token};
}

static int64_t piece_pairs(const widths *w, piece q, piece k)
{
    const int64_t d     = q.frame < k.frame ? k.frame - q.frame : q.frame - k.frame;
    const int64_t off   = q.place - k.place;
    int64_t       width = w->of[d];
    if (k.frame == 0 && w->first > width) width = w->first;
    if (width < 0) return 0;
    return fili_band_pairs(q.n, k.n, off - width, off + width);
}

static int64_t count(const void *rule, const fili_blocks *blocks, int32_t u, int32_t b)
{
    const widths *w     = rule;
    int64_t       pairs = 0;
    const int64_t q_end = blocks->offset[u + 1];
    const int64_t k_end = blocks->offset[b + 1];
    piece         k;
    piece         q;
    for (int64_t i = blocks->offset[u]; i < q_end; i += q.n) {
        q = piece_at(w, i, q_end);
        for (int64_t j = blocks->offset[b]; j < k_end; j += k.n) {
            k = piece_at(w, j, k_end);
            pairs += piece_pairs(w, q, k);
        }
    }
    return pairs;
}

/* ---- masks ---------------------------------------------------------------------------------- */

static fil_status check(fil_ctx *ctx, const fili_radial *radial, const fili_blocks *blocks)
{
    int32_t n;
    FIL_TRY(fili_grid_tokens(ctx, radial->grid, &n));
    FIL_CHECK(ctx, radial->threshold >= 0.0 && isfinite(radial->threshold),
              "radial: threshold %g; expected a number of tokens from 0", radial->threshold);
    FIL_CHECK(ctx, radial->reach >= 0.0 && radial->reach <= 3.0,
              "radial: reach %g; expected 0 to 3", radial->reach);
    if (fili_blocks_tokens(blocks) != n)
        return FIL_FAIL(ctx, FIL_E_SHAPE, "radial: blocks over %d tokens; the grid has %d",
                        fili_blocks_tokens(blocks), n);
    return FIL_OK;
}

fil_status fili_radial_mask(fili_mask *mask, const fili_blocks *blocks, const fili_radial *radial,
                            fili_band_keep keep)
{
    fil_ctx     *ctx    = mask->ctx;
    const size_t frames = (size_t)radial->grid.f;
    void        *room;
    FIL_TRY(check(ctx, radial, blocks));
    FIL_TRY(fili_calloc(ctx, frames, sizeof(int64_t), "widths", &room));
    widths w = {
        .grid = radial->grid, .frame = (int64_t)radial->grid.h * radial->grid.w, .of = room};
    const double frame = (double)w.frame;
    for (int32_t d = 0; d < radial->grid.f; d++)
        w.of[d] = width_at(radial, frame, d);
    w.first                 = w.of[0]; /* as the own frame */
    const fil_status status = fili_band_mask(mask, blocks, keep, count, &w);
    fili_free(ctx, room, frames * sizeof(int64_t));
    return status;
}

typedef struct family {
    const fili_blocks *blocks;
    fili_radial        radial;
} family;

static fil_status make_step(const void *arg, int64_t step, fili_mask *mask)
{
    const family *f = arg;
    fili_radial   r = f->radial;
    r.reach         = (double)step / STEPS;
    return fili_radial_mask(mask, f->blocks, &r, FILI_BAND_HALF);
}

fil_status fili_radial_fit(fili_mask *mask, const fili_blocks *blocks, const fili_radial *radial,
                           double density)
{
    family f       = {.blocks = blocks, .radial = *radial};
    f.radial.reach = 0.0;
    FIL_TRY(check(mask->ctx, &f.radial, blocks));
    return fili_band_fit(mask, blocks, density, INT64_C(3) * STEPS, make_step, &f);
}
