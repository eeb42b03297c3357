/* sparse/svg_mask.c: bands in space and in time (sparse/svg_mask.h). */
#include "sparse/svg_mask.h"

typedef struct bands {
    fili_svg_kind kind;
    int64_t       frames, frame; /* their number, and tokens of one */
    int64_t       width;
    int64_t       first; /* places around its own that a token keeps of the first frame */
} bands;

/* A run of tokens inside one frame. */
typedef struct piece {
    int64_t frame, place, n;
} piece;

static piece piece_at(int64_t frame_tokens, int64_t token, int64_t end)
{
    const int64_t frame = token / frame_tokens;
    const int64_t stop  = (frame + 1) * frame_tokens < end ? (frame + 1) * frame_tokens : end;
    return (piece){.frame = frame, .place = token - frame * frame_tokens, .n = stop - token};
}

static int64_t floor_div(int64_t a, int64_t b) /* b > 0 */
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

/* Bounds of (key place - query place) inside which a pair of these frames lies in the band. */
typedef struct bounds {
    int64_t low, high;
} bounds;

static bounds band_of(const bands *s, piece q, piece k)
{
    const int64_t d = k.frame - q.frame;
    if (s->kind == FILI_SVG_SPATIAL)
        return (bounds){.low = -s->width - d * s->frame, .high = s->width - d * s->frame};
    return (bounds){.low  = -floor_div(s->width + d, s->frames),
                    .high = floor_div(s->width - d, s->frames)};
}

/* Pairs in the band, or in that of the first frame. */
static int64_t piece_pairs(const bands *s, piece q, piece k)
{
    const int64_t off   = q.place - k.place;
    const bounds  a     = band_of(s, q, k);
    int64_t       pairs = fili_band_pairs(q.n, k.n, off + a.low, off + a.high);
    if (k.frame != 0 || s->first < 0) return pairs;
    const int64_t low  = a.low > -s->first ? a.low : -s->first; /* in both */
    const int64_t high = a.high < s->first ? a.high : s->first;
    pairs += fili_band_pairs(q.n, k.n, off - s->first, off + s->first);
    return pairs - fili_band_pairs(q.n, k.n, off + low, off + high);
}

static int64_t count(const void *rule, const fili_blocks *blocks, int32_t u, int32_t b)
{
    const bands  *s     = rule;
    const int64_t q_end = blocks->offset[u + 1];
    const int64_t k_end = blocks->offset[b + 1];
    int64_t       pairs = 0;
    piece         k;
    piece         q;
    for (int64_t i = blocks->offset[u]; i < q_end; i += q.n) {
        q = piece_at(s->frame, i, q_end);
        for (int64_t j = blocks->offset[b]; j < k_end; j += k.n) {
            k = piece_at(s->frame, j, k_end);
            pairs += piece_pairs(s, q, k);
        }
    }
    return pairs;
}

static fil_status check(fil_ctx *ctx, fili_grid grid, const fili_blocks *blocks)
{
    int32_t n;
    FIL_TRY(fili_grid_tokens(ctx, grid, &n));
    if (fili_blocks_tokens(blocks) == n) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_SHAPE, "svg: blocks over %d tokens; the grid has %d",
                    fili_blocks_tokens(blocks), n);
}

fil_status fili_svg_mask(fili_mask *mask, const fili_blocks *blocks, fili_grid grid,
                         fili_svg_kind kind, int64_t width)
{
    FIL_CHECK(mask->ctx, width >= 0, "svg: width %lld; expected 0 or more", (long long)width);
    FIL_TRY(check(mask->ctx, grid, blocks));
    const int64_t frame = (int64_t)grid.h * grid.w;
    const int64_t n     = fili_blocks_tokens(blocks);
    const bands   s     = {.kind   = kind,
                           .frames = grid.f,
                           .frame  = frame,
                           .width  = width < n ? width : n, /* wider is no more */
                           .first  = frame};
    return fili_band_mask(mask, blocks, FILI_BAND_HALF, count, &s);
}

typedef struct family {
    const fili_blocks *blocks;
    bands              bands; /* but the widths */
} family;

/* The band to half a frame; then the first frame, from no place to all; then the band again. */
static fil_status make_step(const void *arg, int64_t step, fili_mask *mask)
{
    const family *f    = arg;
    const int64_t half = f->bands.frame / 2;
    const int64_t more = step - half; /* beyond the first stretch of the band */
    bands         s    = f->bands;
    s.width            = step < half ? step : half;
    s.first            = more < 1 ? -1 : more - 1;
    if (s.first > s.frame) {
        s.width += s.first - s.frame;
        s.first = s.frame;
    }
    return fili_band_mask(mask, f->blocks, FILI_BAND_HALF, count, &s);
}

fil_status fili_svg_fit(fili_mask *mask, const fili_blocks *blocks, fili_grid grid,
                        fili_svg_kind kind, double density)
{
    FIL_TRY(check(mask->ctx, grid, blocks));
    const int64_t frame = (int64_t)grid.h * grid.w;
    const int64_t last  = frame + 1 + (int64_t)fili_blocks_tokens(blocks);
    const family  f = {.blocks = blocks, .bands = {.kind = kind, .frames = grid.f, .frame = frame}};
    return fili_band_fit(mask, blocks, density, last, make_step, &f);
}
