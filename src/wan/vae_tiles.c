/* wan/vae_tiles.c: decode tile by tile, then blend frame by frame (wan/vae_tiles.h).
 *
 *     file    [tile in raster order][frame][3, h, w] f32, not yet cut to [-1, 1], each a piece
 *
 * Tiles at the right and at the bottom are smaller. Those of one size share a stream, since opening
 * one packs the weights; so a tile that was kept is told by its pieces, not by its place. Two tiles
 * that meet in a corner are blended as diffusers does it: a tile first takes in the strip of the
 * one above, as that was after its own blending, then that of the one to its left; so the strips
 * are kept beside the frame that grows.
 */
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "wan/vae_tiles.h"

fili_vae_tiling fili_vae_tiling_usual(const fili_vae_config *config)
{
    const int32_t scale = fili_vae_scale(config);
    return (fili_vae_tiling){.tile = 256 / scale, .stride = 192 / scale};
}

bool fili_vae_tiling_cuts(const fili_vae_tiling *tiling, int32_t h, int32_t w)
{
    return h > tiling->tile || w > tiling->tile;
}

/* ---- places --------------------------------------------------------------------------------- */

typedef struct layout {
    fili_vae_tiling how;
    int32_t         h, w; /* of the latent */
    int32_t         rows, cols;
    int32_t         scale;
    int64_t         frames;
} layout;

/* Of latents; in pixels after scaled(). */
typedef struct area {
    int32_t y, x, h, w;
} area;

static layout layout_of(const fili_vae_config *config, const fili_vae_tiling *how, int32_t t,
                        int32_t h, int32_t w)
{
    return (layout){.how    = *how,
                    .h      = h,
                    .w      = w,
                    .rows   = (h - 1) / how->stride + 1,
                    .cols   = (w - 1) / how->stride + 1,
                    .scale  = fili_vae_scale(config),
                    .frames = fili_vae_time_scale(config) * ((int64_t)t - 1) + 1};
}

static int32_t tiles_of(const layout *l)
{
    return l->rows * l->cols;
}

static area area_of(const layout *l, int32_t tile)
{
    const int32_t y = tile / l->cols * l->how.stride;
    const int32_t x = tile % l->cols * l->how.stride;
    return (area){.y = y,
                  .x = x,
                  .h = l->h - y < l->how.tile ? l->h - y : l->how.tile,
                  .w = l->w - x < l->how.tile ? l->w - x : l->how.tile};
}

static area scaled(area a, int32_t scale)
{
    return (area){a.y * scale, a.x * scale, a.h * scale, a.w * scale};
}

static bool same_size(area a, area b)
{
    return a.h == b.h && a.w == b.w;
}

/* Whether an earlier tile has the size of this one. */
static bool is_known(const layout *l, int32_t tile)
{
    for (int32_t i = 0; i < tile; i++)
        if (same_size(area_of(l, i), area_of(l, tile))) return true;
    return false;
}

static uint64_t frame_bytes(const layout *l, area a)
{
    const area px = scaled(a, l->scale);
    return 3 * sizeof(float) * (uint64_t)px.h * (uint64_t)px.w;
}

/* Where the frames of a tile begin among the pieces; that of the tile after the last: their size.
 */
static uint64_t pieces_at(const layout *l, int32_t tile)
{
    uint64_t sum = 0;
    for (int32_t i = 0; i < tile; i++)
        sum += (uint64_t)l->frames * (frame_bytes(l, area_of(l, i)) + FILI_PIECE_CRC);
    return sum;
}

/* ---- cost ----------------------------------------------------------------------------------- */

static fil_status check(fil_ctx *ctx, const fili_vae_tiling *how, const int32_t size[3])
{
    FIL_CHECK(ctx, how->stride >= 1 && how->tile > how->stride,
              "tiles of %d latents each %d; expected them to overlap", (int)how->tile,
              (int)how->stride);
    FIL_CHECK(ctx, size[0] >= 1 && size[1] >= 1 && size[2] >= 1, "a latent of %d x %d x %d",
              (int)size[0], (int)size[1], (int)size[2]);
    return FIL_OK;
}

/* Floats that blending takes: the frame, two tiles, a strip for each column. */
typedef struct blend_floats {
    size_t frame, tile, strip;
} blend_floats;

static blend_floats blend_floats_of(const layout *l)
{
    const area   first   = scaled(area_of(l, 0), l->scale); /* none is larger */
    const size_t overlap = (size_t)(l->how.tile - l->how.stride) * (size_t)l->scale;
    return (blend_floats){.frame =
                              3 * (size_t)l->h * (size_t)l->w * (size_t)l->scale * (size_t)l->scale,
                          .tile  = 3 * (size_t)first.h * (size_t)first.w,
                          .strip = 3 * overlap * (size_t)first.w};
}

static uint64_t blend_bytes(const layout *l)
{
    const blend_floats n = blend_floats_of(l);
    return fili_arena_piece(n.frame * sizeof(float)) +
           2 * fili_arena_piece(n.tile * sizeof(float)) +
           fili_arena_piece((size_t)l->cols * n.strip * sizeof(float)) + (uint64_t)2 * FILI_ALIGN;
}

static size_t latent_bytes(const fili_vae_config *config, area a)
{
    return sizeof(float) * (size_t)config->z_dim * (size_t)a.h * (size_t)a.w;
}

/* ---- threads -------------------------------------------------------------------------------- */

/* A thread's workspace is 8.4 MiB on AVX2, where a convolution of a tile of 256 pixels has 3 to 171
 * tasks: with more threads than this a tile would take more than is promised, for little. */
enum { MOST_THREADS = 48 };
static const uint64_t most_bytes = (uint64_t)1400 << 20;

/* Lowers the threads of the context where a tile would take more than most_bytes; *had is what the
 * caller gives back. The bits do not depend on it. */
static fil_status take_threads(fil_ctx *ctx, const fili_vae_config *config, fil_dtype precision,
                               const fili_vae_tiling *how, int32_t *had)
{
    fili_vae_memory memory;
    *had = ctx->n_threads;
    if (ctx->n_threads <= MOST_THREADS) return FIL_OK;
    FIL_TRY(fili_vae_decode_bytes(ctx, config, precision, how->tile, how->tile, &memory));
    if (memory.bytes > most_bytes) ctx->n_threads = MOST_THREADS;
    return FIL_OK;
}

/* ---- what it takes -------------------------------------------------------------------------- */

static fil_status cost_of(fil_ctx *ctx, const fili_vae_config *config, fil_dtype precision,
                          const fili_vae_tiling *tiling, const int32_t size[3],
                          fili_vae_tiled_cost *out)
{
    const layout   l    = layout_of(config, tiling, size[0], size[1], size[2]);
    const uint64_t disk = fili_piece_log_bytes(0, pieces_at(&l, tiles_of(&l)));
    *out                = (fili_vae_tiled_cost){.bytes = blend_bytes(&l), .disk = disk};
    for (int32_t i = 0; i < tiles_of(&l); i++) {
        const area      a = area_of(&l, i);
        fili_vae_memory memory;
        double          flops;
        FIL_TRY(fili_vae_decode_flops(ctx, config, size[0], a.h, a.w, &flops));
        out->flops += flops;
        if (is_known(&l, i)) continue;
        FIL_TRY(fili_vae_decode_bytes(ctx, config, precision, a.h, a.w, &memory));
        memory.bytes += latent_bytes(config, a);
        if (memory.bytes > out->bytes) out->bytes = memory.bytes;
        if (memory.device > out->device) out->device = memory.device;
    }
    return FIL_OK;
}

fil_status fili_vae_tiled_cost_of(fil_ctx *ctx, const fili_vae_config *config, fil_dtype precision,
                                  const fili_vae_tiling *tiling, const int32_t size[3],
                                  fili_vae_tiled_cost *out)
{
    FIL_TRY(check(ctx, tiling, size));
    int32_t had;
    FIL_TRY(take_threads(ctx, config, precision, tiling, &had));
    const fil_status status = cost_of(ctx, config, precision, tiling, size, out);
    ctx->n_threads          = had;
    return status;
}

/* ---- tiles to the file ---------------------------------------------------------------------- */

typedef struct tiled {
    fil_ctx             *ctx;
    fili_vae            *vae;
    const fili_vae_clip *clip;
    layout               l;
    fili_piece_log       log;
    uint64_t             at;    /* of the tile that is decoded, among the pieces */
    float               *piece; /* a latent frame of a tile */
    int64_t              done;  /* latent frames of all tiles */
    int32_t              kept;  /* tiles of which latent frames are there */
    fili_frame_fn        sink;
    void                *user;
} tiled;

/* A frame of the tile whose frames begin at `tile`. */
static uint64_t piece_at(uint64_t tile, uint64_t bytes, int64_t frame)
{
    return tile + (uint64_t)frame * (bytes + FILI_PIECE_CRC);
}

static fil_status to_file(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    tiled         *j     = user;
    const uint64_t bytes = 3 * sizeof(float) * (uint64_t)h * (uint64_t)w;
    return fili_piece_log_put(&j->log, piece_at(j->at, bytes, index), rgb, (size_t)bytes);
}

/* Latent frame `t` under an area, dense. */
static void cut_out(const tiled *j, area a, int32_t t)
{
    const fili_vae_clip *c     = j->clip;
    const int32_t        z_dim = fili_vae_config_of(j->vae)->z_dim;
    float               *to    = j->piece;
    for (int32_t k = 0; k < z_dim; k++)
        for (int32_t y = 0; y < a.h; y++) {
            const int64_t row = ((int64_t)k * c->t + t) * c->h + a.y + y;
            memcpy(to, c->z + row * c->w + a.x, (size_t)a.w * sizeof *to);
            to += a.w;
        }
}

/* Latent frames of the tile at j->at whose frames an earlier run has left, from the first on. */
static int32_t count_there(const tiled *j, area a)
{
    const uint64_t bytes = frame_bytes(&j->l, a);
    const int32_t  time  = fili_vae_time_scale(fili_vae_config_of(j->vae));
    int64_t        n     = 0;
    while (j->log.goes_on && n < j->l.frames &&
           fili_piece_log_has(&j->log, piece_at(j->at, bytes, n), bytes))
        n++;
    return n == 0 ? 0 : (int32_t)((n - 1) / time) + 1;
}

/* From latent frame `first` on. */
static fil_status decode_rest(tiled *j, fili_vae_stream *s, area a, int32_t first)
{
    const int64_t plane = (int64_t)a.h * a.w;
    const int64_t total = (int64_t)tiles_of(&j->l) * j->clip->t;
    fili_progress(j->ctx, "decode", (uint64_t)j->done, (uint64_t)total);
    fili_vae_stream_reset(s);
    for (int32_t t = fili_vae_felt(s, first); t < first; t++) {
        cut_out(j, a, t);
        FIL_TRY(fili_vae_catch_up(s, j->piece, plane, t, first));
    }
    for (int32_t t = first; t < j->clip->t; t++) {
        fili_progress(j->ctx, "decode", (uint64_t)j->done, (uint64_t)total);
        cut_out(j, a, t);
        FIL_TRY(fili_vae_decode_frame(s, j->piece, plane, to_file, j));
        j->done++;
        j->kept += t == 0;
    }
    return FIL_OK;
}

/* *s: NULL, or the stream of an earlier tile of that size. */
static fil_status decode_tile(tiled *j, fili_vae_stream **s, int32_t tile)
{
    const area a = area_of(&j->l, tile);
    FIL_TRY(fili_check_cancel(j->ctx));
    j->at               = pieces_at(&j->l, tile);
    const int32_t first = count_there(j, a);
    j->done += first;
    j->kept += first > 0;
    if (first == j->clip->t) return FIL_OK;
    if (*s == NULL) {
        FIL_TRY(fili_vae_decoder(j->vae, a.h, a.w, s));
        fili_vae_stream_uncut(*s);
    }
    return decode_rest(j, *s, a, first);
}

/* All tiles of the size that `first` has. */
static fil_status decode_alike(tiled *j, int32_t first)
{
    const area       a      = area_of(&j->l, first);
    const size_t     bytes  = latent_bytes(fili_vae_config_of(j->vae), a);
    fili_vae_stream *s      = NULL;
    fil_status       status = FIL_OK;
    void            *block;
    FIL_TRY(fili_alloc(j->ctx, bytes, "a tile of latents", &block));
    j->piece = block;
    for (int32_t i = first; status == FIL_OK && i < tiles_of(&j->l); i++)
        if (same_size(area_of(&j->l, i), a)) status = decode_tile(j, &s, i);
    fili_vae_stream_close(&s);
    fili_free(j->ctx, block, bytes);
    return status;
}

static fil_status decode_tiles(tiled *j)
{
    const uint64_t total = (uint64_t)tiles_of(&j->l) * (uint64_t)j->clip->t;
    for (int32_t i = 0; i < tiles_of(&j->l); i++)
        if (!is_known(&j->l, i)) FIL_TRY(decode_alike(j, i));
    fili_progress(j->ctx, "decode", total, total);
    return FIL_OK;
}

/* ---- blending ------------------------------------------------------------------------------- */

typedef struct blender {
    float *frame;  /* [3, H, W] */
    float *tile;   /* the one at hand, [3, h, w] */
    float *left;   /* the one before it in its row */
    float *strips; /* for each column the last rows of the tile above, [3, overlap, w] */
} blender;

/* to = from (1 - i / n) + to i / n */
static void mix(float *to, const float *from, int32_t i, int32_t n, int64_t count)
{
    const float far  = (float)(1.0 - (double)i / n);
    const float near = (float)((double)i / n);
    for (int64_t k = 0; k < count; k++)
        to[k] = from[k] * far + to[k] * near;
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* A tile's pixels, and how many of them at most it shares with a neighbour. */
typedef struct overlap {
    area    px;
    int32_t n;
} overlap;

static overlap overlap_of(const layout *l, int32_t tile)
{
    return (overlap){.px = scaled(area_of(l, tile), l->scale),
                     .n  = (l->how.tile - l->how.stride) * l->scale};
}

/* The strip of a column holds what the tile above has below its stride: the rows that it shares
 * with this one begin it. */
static void blend_down(const overlap *o, const float *strip, float *tile)
{
    const int32_t n = least(o->n, o->px.h);
    for (int64_t c = 0; c < 3; c++)
        for (int32_t y = 0; y < n; y++)
            mix(tile + (c * o->px.h + y) * o->px.w, strip + (c * o->n + y) * o->px.w, y, n,
                o->px.w);
}

/* The left tile reaches `n` columns into this one, which are its last. */
static void blend_right(const overlap *o, const float *left, int32_t left_w, float *tile)
{
    const int32_t n = least(o->n, o->px.w);
    for (int64_t row = 0; row < 3 * (int64_t)o->px.h; row++)
        for (int32_t x = 0; x < n; x++)
            mix(tile + row * o->px.w + x, left + row * left_w + left_w - n + x, x, n, 1);
}

static void keep_strip(const layout *l, const overlap *o, const float *tile, float *strip)
{
    const int32_t stride = l->how.stride * l->scale;
    for (int64_t c = 0; c < 3; c++)
        for (int32_t y = stride; y < o->px.h; y++)
            memcpy(strip + (c * o->n + y - stride) * o->px.w, tile + (c * o->px.h + y) * o->px.w,
                   (size_t)o->px.w * sizeof *strip);
}

/* What no later tile writes: up to the stride. */
static void place(const layout *l, area px, const float *tile, float *frame)
{
    const int32_t stride = l->how.stride * l->scale;
    const int64_t height = (int64_t)l->h * l->scale;
    const int64_t width  = (int64_t)l->w * l->scale;
    for (int64_t c = 0; c < 3; c++)
        for (int64_t y = 0; y < least(stride, px.h); y++)
            memcpy(frame + (c * height + px.y + y) * width + px.x, tile + (c * px.h + y) * px.w,
                   (size_t)least(stride, px.w) * sizeof *frame);
}

static fil_status blend_tile(const tiled *j, blender *b, int32_t tile, int64_t frame)
{
    const layout  *l     = &j->l;
    const overlap  o     = overlap_of(l, tile);
    const uint64_t bytes = frame_bytes(l, area_of(l, tile));
    const int32_t  col   = tile % l->cols;
    float         *strip = b->strips + (size_t)col * blend_floats_of(l).strip;
    float         *spare = b->left;
    FIL_TRY(fili_piece_log_get(&j->log, piece_at(pieces_at(l, tile), bytes, frame), b->tile,
                               (size_t)bytes));
    if (tile >= l->cols) blend_down(&o, strip, b->tile);
    if (col > 0) blend_right(&o, b->left, overlap_of(l, tile - 1).px.w, b->tile);
    keep_strip(l, &o, b->tile, strip);
    place(l, o.px, b->tile, b->frame);
    b->left = b->tile;
    b->tile = spare;
    return FIL_OK;
}

/* NaN stays NaN. */
static void cut(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = values[i] > 1.0f ? 1.0f : values[i] < -1.0f ? -1.0f : values[i];
}

static fil_status blend_all(const tiled *j, blender *b)
{
    const layout *l = &j->l;
    for (int64_t f = 0; f < l->frames; f++) {
        FIL_TRY(fili_check_cancel(j->ctx));
        for (int32_t i = 0; i < tiles_of(l); i++)
            FIL_TRY(blend_tile(j, b, i, f));
        cut(b->frame, blend_floats_of(l).frame);
        FIL_TRY(j->sink(j->user, (int32_t)f, b->frame, l->h * l->scale, l->w * l->scale));
    }
    return FIL_OK;
}

static fil_status take(fili_arena *arena, size_t floats, float **out)
{
    void *block;
    FIL_TRY(fili_arena_alloc(arena, floats * sizeof **out, &block));
    *out = block;
    return FIL_OK;
}

static fil_status take_blender(const layout *l, fili_arena *arena, blender *b)
{
    const blend_floats n = blend_floats_of(l);
    FIL_TRY(fili_arena_fix(arena, (size_t)blend_bytes(l)));
    FIL_TRY(take(arena, n.frame, &b->frame));
    FIL_TRY(take(arena, n.tile, &b->tile));
    FIL_TRY(take(arena, n.tile, &b->left));
    return take(arena, (size_t)l->cols * n.strip, &b->strips);
}

static fil_status blend(const tiled *j)
{
    fili_arena arena;
    blender    b;
    fili_arena_init(&arena, j->ctx, "blending of tiles", 0);
    fil_status status = take_blender(&j->l, &arena, &b);
    if (status == FIL_OK) status = blend_all(j, &b);
    fili_arena_fini(&arena);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------ */

fil_status fili_vae_decode_tiled(fili_vae *vae, const fili_vae_tiling *tiling,
                                 const fili_vae_clip *clip, fili_frame_fn sink, void *user)
{
    fil_ctx *ctx = fili_vae_ctx(vae);
    tiled    j   = {.ctx = ctx, .vae = vae, .clip = clip, .sink = sink, .user = user};
    FIL_TRY(check(ctx, tiling, (const int32_t[]){clip->t, clip->h, clip->w}));
    j.l = layout_of(fili_vae_config_of(vae), tiling, clip->t, clip->h, clip->w);
    FIL_TRY(fili_piece_log_open(&j.log, ctx, &clip->wait));
    int32_t    had;
    fil_status status =
        take_threads(ctx, fili_vae_config_of(vae), fili_vae_precision(vae), tiling, &had);
    if (status == FIL_OK) status = decode_tiles(&j);
    ctx->n_threads = had;
    if (status == FIL_OK) status = blend(&j);
    if (clip->tiles != NULL) *clip->tiles = clip->wait.path != NULL ? j.kept : 0;
    fili_piece_log_close(&j.log);
    return status;
}
