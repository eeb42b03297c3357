/* engine/mask_pictures.c: fil_mask_pictures: the masks of a file as PNG pictures, an overview and a
 * listing (filigree/masks.h). Cells are drawn in mask_draw.c, the listing is written in
 * mask_listing.c.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "engine/mask_draw.h"
#include "engine/mask_listing.h"
#include "engine/ranges.h"
#include "engine/video_job.h"
#include "filigree/masks.h"

enum { NAME = 80, THUMBNAIL = 64 /* pixels of a side, at most */, LINE = 128 /* grey between */ };

static const char overview_name[] = "overview.png";
static const char listing_name[]  = "masks.json";

typedef struct gallery {
    fil_ctx                  *ctx;
    fil_mask_pictures_options o;
    fil_mask_pictures_result  r;
    fili_ranges               layers, steps, passes, heads;
    fili_mask_file            file;
    fili_mask                 mask;
    fili_mask_cells           cells;
    fili_mask_listing         listing;
    int32_t                   n_heads;        /* that are drawn */
    int32_t                   side_q, side_k; /* of a small picture; 0: no overview */
    int32_t                   overview_width, overview_height;
    uint8_t                  *rgb, *overview, *grey;
    uint64_t                 *kept;   /* [heads] */
    int32_t                  *counts; /* [heads, mq] */
    fili_arena                arena;  /* all of the memory */
    char                     *path;   /* folder/NAME */
    bool                      made;   /* the folder, by this call */
} gallery;

void fil_mask_pictures_options_init(fil_mask_pictures_options *options)
{
    *options = (fil_mask_pictures_options){.struct_size = (uint32_t)sizeof *options, .scale = 1};
}

/* ---- options -------------------------------------------------------------------------------- */

static fil_status read_list(fil_ctx *ctx, const char *what, const char *text, fili_ranges *out)
{
    return fili_ranges_parse(ctx, what, text, text != NULL ? strlen(text) : 0, out);
}

static fil_status check_options(gallery *g, const fil_mask_pictures_options *options)
{
    fil_ctx                   *ctx = g->ctx;
    fil_mask_pictures_options *o   = &g->o;
    fil_mask_pictures_options_init(o);
    FIL_TRY(fili_take_options(ctx, "fil_mask_pictures_options", o, sizeof *o, options));
    FIL_CHECK(ctx, o->input != NULL && o->folder != NULL && o->folder[0] != '\0', "expected %s",
              o->input == NULL ? "a mask file" : "a folder for the pictures");
    FIL_CHECK(ctx, o->scale >= 1 && o->scale <= 64, "scale: expected 1 to 64, found %d",
              (int)o->scale);
    FIL_TRY(read_list(ctx, "layers", o->layers, &g->layers));
    FIL_TRY(read_list(ctx, "steps", o->steps, &g->steps));
    FIL_TRY(read_list(ctx, "passes", o->passes, &g->passes));
    return read_list(ctx, "heads", o->heads, &g->heads);
}

/* ---- what is drawn -------------------------------------------------------------------------- */

static bool applies(const fili_ranges *wanted, int32_t place)
{
    return place == FILI_MASK_ANY || fili_ranges_has(wanted, place);
}

static bool is_wanted(const gallery *g, const fili_mask_key *key)
{
    return applies(&g->layers, key->layer) && applies(&g->steps, key->step) &&
           applies(&g->passes, key->pass);
}

static bool head_is_wanted(const gallery *g, int32_t head)
{
    return g->file.heads == 1 || fili_ranges_has(&g->heads, head);
}

static fil_status count_pictures(gallery *g)
{
    for (int32_t i = 0; i < g->file.n_masks; i++)
        g->r.masks += is_wanted(g, &g->file.map[i]);
    for (int32_t h = 0; h < g->file.heads; h++)
        g->n_heads += head_is_wanted(g, h);
    if (g->r.masks == 0 || g->n_heads == 0)
        return FIL_FAIL(g->ctx, FIL_E_MISMATCH,
                        "none of the file's %d masks of %d head%s is for what was asked",
                        (int)g->file.n_masks, (int)g->file.heads,
                        g->file.heads == 1 ? " (shared by all)" : "s");
    if ((int64_t)g->r.masks * g->n_heads > INT32_MAX)
        return FIL_FAIL(g->ctx, FIL_E_LIMIT, "%d masks of %d heads are too many pictures",
                        (int)g->r.masks, (int)g->n_heads);
    g->r.pictures = g->r.masks * g->n_heads;
    return FIL_OK;
}

/* The largest side up to `blocks` and THUMBNAIL of which n fit into one picture, with a line before
 * and behind each; 0: none. */
static int32_t thumbnail_side(int32_t blocks, int32_t n)
{
    const int32_t room = (FILI_PNG_SIDE - 1) / n - 1;
    const int32_t most = blocks < THUMBNAIL ? blocks : THUMBNAIL;
    return room < 1 ? 0 : room < most ? room : most;
}

static fil_status choose_sizes(gallery *g)
{
    const int64_t width  = (int64_t)g->cells.columns * g->o.scale;
    const int64_t height = (int64_t)g->cells.rows * g->o.scale;
    if (width > FILI_PNG_SIDE || height > FILI_PNG_SIDE)
        return FIL_FAIL(g->ctx, FIL_E_LIMIT,
                        "pictures of %lld x %lld pixels: expected sides of up to %d",
                        (long long)width, (long long)height, FILI_PNG_SIDE);
    g->r.width  = (int32_t)width;
    g->r.height = (int32_t)height;
    g->side_q   = thumbnail_side(g->file.q.m, g->r.masks);
    g->side_k   = thumbnail_side(g->file.k.m, g->n_heads);
    if (g->side_q == 0 || g->side_k == 0) {
        fili_log(g->ctx, FIL_LOG_WARNING,
                 "no overview: %d masks of %d heads are more than it shows", (int)g->r.masks,
                 (int)g->n_heads);
        return FIL_OK;
    }
    g->r.overview      = 1;
    g->overview_width  = (g->side_k + 1) * g->n_heads + 1;
    g->overview_height = (g->side_q + 1) * g->r.masks + 1;
    return FIL_OK;
}

/* ---- memory --------------------------------------------------------------------------------- */

static fil_status take_pixels(gallery *g)
{
    const size_t overview = 3 * (size_t)g->overview_width * (size_t)g->overview_height;
    void        *block;
    FIL_TRY(fili_arena_alloc(&g->arena, 3 * (size_t)g->r.width * (size_t)g->r.height, &block));
    g->rgb = block;
    FIL_TRY(fili_arena_alloc(&g->arena, (size_t)g->cells.columns, &block));
    g->grey = block;
    FIL_TRY(fili_arena_alloc(&g->arena, overview, &block));
    g->overview = block;
    if (overview > 0) memset(g->overview, LINE, overview);
    return FIL_OK;
}

static fil_status take_memory(gallery *g)
{
    const size_t heads = (size_t)g->file.heads;
    size_t       counts;
    void        *block;
    if (!fili_mul_size(heads * sizeof *g->counts, (size_t)g->file.q.m, &counts))
        return FIL_FAIL(g->ctx, FIL_E_NOMEM, "counts of %zu heads", heads);
    FIL_TRY(take_pixels(g));
    FIL_TRY(fili_arena_alloc(&g->arena, heads * sizeof *g->kept, &block));
    g->kept = block;
    FIL_TRY(fili_arena_alloc(&g->arena, counts, &block));
    g->counts = block;
    FIL_TRY(fili_arena_alloc(&g->arena, strlen(g->o.folder) + 1 + NAME, &block));
    g->path = block;
    return fili_mask_init(&g->mask, g->ctx, g->file.heads, g->file.q.m, g->file.k.m);
}

/* ---- names ---------------------------------------------------------------------------------- */

static int put_part(char *out, const char *what, int digits, int32_t value, const char *joint)
{
    return value < 0 ? snprintf(out, NAME / 4, "%sall%s", what, joint)
                     : snprintf(out, NAME / 4, "%s%0*d%s", what, digits, (int)value, joint);
}

static void name_of(const fili_mask_key *key, int32_t head, char name[NAME])
{
    int n = put_part(name, "layer", 3, key->layer, "_");
    n += put_part(name + n, "step", 3, key->step, "_");
    n += put_part(name + n, "pass", 1, key->pass, "_");
    (void)put_part(name + n, "head", 2, head, ".png");
}

/* In g->path, valid until the next call. */
static const char *path_of(gallery *g, const char *name)
{
    const size_t n = strlen(g->o.folder);
    memcpy(g->path, g->o.folder, n);
    g->path[n] = '/';
    snprintf(g->path + n + 1, NAME, "%s", name);
    return g->path;
}

/* Head of a picture: the file's, or -1 where it is shared. */
static int32_t head_of(const gallery *g, int32_t h)
{
    return g->file.heads == 1 ? FILI_MASK_ANY : h;
}

static fil_status check_names(gallery *g)
{
    char name[NAME];
    FIL_TRY(fili_dir_make(g->ctx, g->o.folder, &g->made));
    FIL_TRY(fili_output_check(g->ctx, "a listing", path_of(g, listing_name), g->o.replace));
    if (g->r.overview)
        FIL_TRY(fili_output_check(g->ctx, "an overview", path_of(g, overview_name), g->o.replace));
    for (int32_t i = 0; i < g->file.n_masks; i++) {
        if (!is_wanted(g, &g->file.map[i])) continue;
        for (int32_t h = 0; h < g->file.heads; h++) {
            if (!head_is_wanted(g, h)) continue;
            name_of(&g->file.map[i], head_of(g, h), name);
            FIL_TRY(fili_output_check(g->ctx, "a picture", path_of(g, name), g->o.replace));
        }
    }
    return FIL_OK;
}

/* ---- drawing -------------------------------------------------------------------------------- */

/* Each cell becomes scale x scale pixels. */
static void paint(gallery *g, int32_t h)
{
    const size_t scale = (size_t)g->o.scale;
    const size_t row   = 3 * (size_t)g->r.width;
    for (int32_t r = 0; r < g->cells.rows; r++) {
        uint8_t *line = g->rgb + (size_t)r * scale * row;
        fili_mask_cells_row(&g->cells, &g->mask, h, r, g->grey);
        for (size_t c = 0; c < (size_t)g->cells.columns; c++)
            memset(line + 3 * scale * c, g->grey[c], 3 * scale);
        for (size_t s = 1; s < scale; s++)
            memcpy(line + s * row, line, row);
    }
}

static fil_mask_picture describe(const gallery *g, const fili_mask_key *key, int32_t h,
                                 const char *name)
{
    const double     n      = (double)g->file.n;
    const int32_t    m      = g->file.q.m;
    const int32_t   *counts = g->counts + (size_t)h * (size_t)m;
    fil_mask_picture p      = {.name    = name,
                               .layer   = key->layer,
                               .step    = key->step,
                               .pass    = key->pass,
                               .head    = head_of(g, h),
                               .kept    = g->kept[h],
                               .density = (double)g->kept[h] / (n * n),
                               .least   = counts[0],
                               .most    = counts[0]};
    for (int32_t i = 1; i < m; i++) {
        if (counts[i] < p.least) p.least = counts[i];
        if (counts[i] > p.most) p.most = counts[i];
    }
    return p;
}

/* row, column: in the overview. */
static void put_thumbnail(gallery *g, int32_t h, int32_t row, int32_t column)
{
    const size_t stride = (size_t)g->overview_width;
    const size_t top    = (size_t)row * (size_t)(g->side_q + 1) + 1;
    const size_t left   = (size_t)column * (size_t)(g->side_k + 1) + 1;
    fili_mask_thumbnail(&g->mask, h, g->side_q, g->side_k, g->overview + 3 * (top * stride + left),
                        stride);
}

static fil_status draw_head(gallery *g, const fili_mask_key *key, int32_t h)
{
    char name[NAME];
    name_of(key, head_of(g, h), name);
    const fil_mask_picture p = describe(g, key, h, name);
    paint(g, h);
    FIL_TRY(fili_png_write(
        g->ctx, path_of(g, name), g->o.replace,
        &(fili_png_source){.rgb = g->rgb, .width = g->r.width, .height = g->r.height}));
    FIL_TRY(fili_mask_listing_put(&g->listing, &p));
    g->r.density += p.density / (double)g->r.pictures;
    if (g->o.picture == NULL || g->o.picture(g->o.user, &p) == 0) return FIL_OK;
    return FIL_FAIL(g->ctx, FIL_E_CANCELLED, "the picture callback ended the call at %s", name);
}

static fil_status draw_mask(gallery *g, int32_t i, int32_t row)
{
    int32_t column = 0;
    FIL_TRY(fili_mask_file_read(&g->file, i, &g->mask));
    FIL_TRY(fili_mask_kept(&g->mask, &g->file.q, &g->file.k, g->kept));
    fili_mask_counts(&g->mask, g->counts);
    for (int32_t h = 0; h < g->file.heads; h++) {
        if (!head_is_wanted(g, h)) continue;
        FIL_TRY(draw_head(g, &g->file.map[i], h));
        if (g->r.overview) put_thumbnail(g, h, row, column++);
    }
    return FIL_OK;
}

static fil_status draw_all(gallery *g)
{
    int32_t row = 0;
    FIL_TRY(fili_mask_listing_open(&g->listing, &g->file, path_of(g, listing_name), g->o.replace));
    for (int32_t i = 0; i < g->file.n_masks; i++) {
        if (!is_wanted(g, &g->file.map[i])) continue;
        fili_progress(g->ctx, "draw", (uint64_t)row, (uint64_t)g->r.masks);
        FIL_TRY(fili_check_cancel(g->ctx));
        FIL_TRY(draw_mask(g, i, row++));
    }
    fili_progress(g->ctx, "draw", (uint64_t)row, (uint64_t)g->r.masks);
    if (g->r.overview)
        FIL_TRY(fili_png_write(g->ctx, path_of(g, overview_name), g->o.replace,
                               &(fili_png_source){.rgb    = g->overview,
                                                  .width  = g->overview_width,
                                                  .height = g->overview_height}));
    return fili_mask_listing_finish(&g->listing);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static fil_status run(gallery *g, const fil_mask_pictures_options *options)
{
    FIL_TRY(check_options(g, options));
    fil_status status = fili_mask_file_open(&g->file, g->ctx, g->o.input);
    if (status == FIL_OK) status = count_pictures(g);
    if (status == FIL_OK) status = fili_mask_cells_init(&g->cells, &g->file, g->o.raster != 0);
    if (status == FIL_OK) status = choose_sizes(g);
    if (status != FIL_OK) {
        fili_error_frame(g->ctx, "mask %s", fili_quote(g->o.input, strlen(g->o.input)).text);
        return status;
    }
    FIL_TRY(take_memory(g));
    FIL_TRY(check_names(g));
    return draw_all(g);
}

fil_status fil_mask_pictures(fil_ctx *ctx, const fil_mask_pictures_options *options,
                             fil_mask_pictures_result *result)
{
    gallery g = {.ctx = ctx};
    if (result != NULL) *result = (fil_mask_pictures_result){.masks = 0};
    FIL_CHECK(NULL, ctx != NULL, "fil_mask_pictures: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, options != NULL && result != NULL, "fil_mask_pictures: %s is NULL",
              options == NULL ? "options" : "result");
    fili_arena_init(&g.arena, ctx, "pictures of masks", 0);
    const fil_status status = run(&g, options);
    if (status == FIL_OK) *result = g.r;
    fili_mask_listing_close(&g.listing);
    fili_mask_fini(&g.mask);
    fili_mask_cells_fini(&g.cells);
    if (g.file.ctx != NULL) fili_mask_file_close(&g.file);
    if (status != FIL_OK && g.made) fili_dir_unmake(ctx, g.o.folder);
    fili_arena_fini(&g.arena);
    return status;
}
