/* tests/unit/test_baselines.c: sparse/{window,radial,svg,oracle}_mask.h, band.h and rank.h: against
 * counting token pairs one by one, and against the methods' fixtures. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/oracle_mask.h"
#include "sparse/policy.h"
#include "sparse/radial_mask.h"
#include "sparse/rank.h"
#include "sparse/recall.h"
#include "sparse/svg_mask.h"
#include "sparse/window_mask.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

/* ---- a grid in an order, cut into blocks ----------------------------------------------------- */

typedef struct scene {
    fil_ctx    *ctx;
    fili_order  order;
    fili_blocks blocks;
} scene;

static scene scene_of(fili_grid grid, const char *order)
{
    scene           s;
    fili_order_spec spec;
    assert_int_equal(fil_ctx_open(&s.ctx, NULL), FIL_OK);
    assert_int_equal(fili_order_parse(s.ctx, order, &spec), FIL_OK);
    assert_int_equal(fili_order_init(&s.order, s.ctx, grid, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&s.blocks, &s.order), FIL_OK);
    return s;
}

static void scene_free(scene *s)
{
    fili_blocks_fini(&s->blocks);
    fili_order_fini(&s->order);
    fil_ctx_close(&s->ctx);
}

static fili_mask mask_of(const scene *s, int32_t heads)
{
    fili_mask mask;
    assert_int_equal(fili_mask_init(&mask, s->ctx, heads, s->blocks.m, s->blocks.m), FIL_OK);
    return mask;
}

static double density_of(const scene *s, const fili_mask *mask)
{
    double density;
    assert_int_equal(fili_mask_density(mask, &s->blocks, &s->blocks, &density), FIL_OK);
    return density;
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, expected %.9g", got, want);
}

static const fili_grid grids[] = {{1, 1, 1}, {1, 2, 3},  {3, 5, 7},   {7, 1, 1},  {2, 8, 8},
                                  {5, 3, 9}, {1, 9, 20}, {4, 11, 13}, {9, 5, 11}, {6, 8, 16}};
enum { GRIDS = sizeof grids / sizeof grids[0] };

/* The own block is kept, and the density is met to half a block a row where that can be. */
static void meets(const scene *s, const fili_mask *mask, double density)
{
    const double n     = (double)fili_blocks_tokens(&s->blocks);
    double       least = 0.0;
    for (int32_t b = 0; b < s->blocks.m; b++) {
        const double valid = (double)fili_blocks_valid(&s->blocks, b);
        assert_true(fili_mask_get(mask, 0, b, b));
        least += valid * valid / (n * n);
    }
    near(density_of(s, mask), fmax(density, least), 32.0 / n + 1e-12);
    assert_int_equal(fili_mask_check(mask), FIL_OK);
}

/* ---- band ----------------------------------------------------------------------------------- */

static void a_band_is_counted_as_pair_by_pair(void **state)
{
    (void)state;
    for (int64_t na = 1; na < 7; na++)
        for (int64_t nb = 1; nb < 9; nb++)
            for (int64_t low = -12; low < 12; low++)
                for (int64_t high = -12; high < 12; high++) {
                    int64_t pairs = 0;
                    for (int64_t a = 0; a < na; a++)
                        for (int64_t b = 0; b < nb; b++)
                            pairs += b - a >= low && b - a <= high;
                    assert_int_equal(fili_band_pairs(na, nb, low, high), pairs);
                }
}

/* ---- the rules, token by token -------------------------------------------------------------- */

typedef bool (*allowed_fn)(const void *rule, int64_t i, int64_t j);

static void same_as_tokens(const scene *s, const fili_mask *mask, fili_band_keep keep,
                           allowed_fn allowed, const void *rule)
{
    const fili_blocks *blocks = &s->blocks;
    for (int32_t u = 0; u < blocks->m; u++)
        for (int32_t b = 0; b < blocks->m; b++) {
            int64_t kept = 0;
            for (int64_t i = blocks->offset[u]; i < blocks->offset[u + 1]; i++)
                for (int64_t j = blocks->offset[b]; j < blocks->offset[b + 1]; j++)
                    kept += allowed(rule, i, j);
            const int64_t all =
                (int64_t)fili_blocks_valid(blocks, u) * fili_blocks_valid(blocks, b);
            const bool want = keep == FILI_BAND_ANY ? kept > 0 : 2 * kept >= all;
            if (fili_mask_get(mask, 0, u, b) != want)
                fail_msg("blocks %d, %d: %lld of %lld pairs", u, b, (long long)kept,
                         (long long)all);
        }
}

static int bits(int64_t n)
{
    int b = 0;
    for (; n > 0; n >>= 1)
        b++;
    return b;
}

/* reach 2 */
static bool radial_allows(const void *rule, int64_t i, int64_t j)
{
    const fili_radial *r      = rule;
    const int64_t      frame  = (int64_t)r->grid.h * r->grid.w;
    const int64_t      d      = llabs(i / frame - j / frame);
    const double       apart  = (double)llabs(i % frame - j % frame);
    const double       length = pow(2.0, bits(frame)) / pow(2.0, bits(d));
    if (j < frame || d == 0) return true;
    if (length < r->threshold && d % (int64_t)floor(r->threshold / length) != 0) return false;
    if (d == 1) return apart <= (double)frame / 2.0;
    return apart <= fmax(length, r->threshold);
}

static void radial_masks_are_the_rule_token_by_token(void **state)
{
    (void)state;
    static const double thresholds[] = {0.0, 1.0, 5.0, 64.0, 100.0, 1e9};
    for (int g = 0; g < GRIDS; g++)
        for (int t = 0; t < 6; t++) {
            scene             s    = scene_of(grids[g], "raster");
            fili_mask         mask = mask_of(&s, 1);
            const fili_radial r    = {.grid = grids[g], .threshold = thresholds[t], .reach = 2.0};
            assert_int_equal(fili_radial_mask(&mask, &s.blocks, &r, FILI_BAND_HALF), FIL_OK);
            same_as_tokens(&s, &mask, FILI_BAND_HALF, radial_allows, &r);
            assert_int_equal(fili_radial_mask(&mask, &s.blocks, &r, FILI_BAND_ANY), FIL_OK);
            same_as_tokens(&s, &mask, FILI_BAND_ANY, radial_allows, &r);
            fili_mask_fini(&mask);
            scene_free(&s);
        }
}

static void a_larger_reach_keeps_what_a_smaller_one_keeps(void **state)
{
    (void)state;
    static const double thresholds[] = {0.0, 16.0, 64.0, 512.0};
    for (int g = 0; g < GRIDS; g++)
        for (int t = 0; t < 4; t++) {
            scene       s    = scene_of(grids[g], "raster");
            fili_mask   mask = mask_of(&s, 1);
            fili_mask   last = mask_of(&s, 1);
            fili_radial r    = {.grid = grids[g], .threshold = thresholds[t]};
            for (int step = 0; step <= 48; step++) {
                r.reach = step / 16.0;
                assert_int_equal(fili_radial_mask(&mask, &s.blocks, &r, FILI_BAND_HALF), FIL_OK);
                assert_int_equal(fili_mask_subtract(&last, &mask), FIL_OK);
                near(density_of(&s, &last), 0.0, 0.0);
                assert_int_equal(fili_mask_copy(&last, &mask), FIL_OK);
            }
            near(density_of(&s, &last), 1.0, 0.0);
            fili_mask_fini(&last);
            fili_mask_fini(&mask);
            scene_free(&s);
        }
}

typedef struct svg_rule {
    fili_grid     grid;
    fili_svg_kind kind;
    int64_t       width;
} svg_rule;

static bool svg_allows(const void *rule, int64_t i, int64_t j)
{
    const svg_rule *r     = rule;
    const int64_t   frame = (int64_t)r->grid.h * r->grid.w;
    if (j < frame) return true;
    if (r->kind == FILI_SVG_SPATIAL) return llabs(i - j) <= r->width;
    const int64_t a = i % frame * r->grid.f + i / frame;
    const int64_t b = j % frame * r->grid.f + j / frame;
    return llabs(a - b) <= r->width;
}

static void svg_masks_are_the_rule_token_by_token(void **state)
{
    (void)state;
    for (int g = 0; g < GRIDS; g++) {
        scene     s    = scene_of(grids[g], "raster");
        fili_mask mask = mask_of(&s, 1);
        for (int64_t width = 0; width <= 2 * s.order.n; width = 2 * width + 1)
            for (int kind = 0; kind < 2; kind++) {
                const svg_rule r = {.grid = grids[g], .kind = (fili_svg_kind)kind, .width = width};
                assert_int_equal(fili_svg_mask(&mask, &s.blocks, r.grid, r.kind, width), FIL_OK);
                same_as_tokens(&s, &mask, FILI_BAND_HALF, svg_allows, &r);
            }
        fili_mask_fini(&mask);
        scene_free(&s);
    }
}

/* ---- any density ---------------------------------------------------------------------------- */

static const double densities[] = {1e-9, 0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 0.95, 1.0};
enum { DENSITIES = sizeof densities / sizeof densities[0] };

static void bands_meet_any_density(void **state)
{
    (void)state;
    for (int g = 0; g < GRIDS; g++) {
        scene             s    = scene_of(grids[g], "raster");
        fili_mask         mask = mask_of(&s, 1);
        const fili_radial r    = {.grid = grids[g], .threshold = FILI_RADIAL_THRESHOLD};
        for (int d = 0; d < DENSITIES; d++) {
            assert_int_equal(fili_radial_fit(&mask, &s.blocks, &r, densities[d]), FIL_OK);
            meets(&s, &mask, densities[d]);
            for (int kind = 0; kind < 2; kind++) {
                assert_int_equal(
                    fili_svg_fit(&mask, &s.blocks, grids[g], (fili_svg_kind)kind, densities[d]),
                    FIL_OK);
                meets(&s, &mask, densities[d]);
            }
        }
        fili_mask_fini(&mask);
        scene_free(&s);
    }
}

static void the_nearest_blocks_meet_any_density(void **state)
{
    (void)state;
    static const char *orders[] = {"cubes 4x4x4", "hilbert-cubes 3x5x4", "cubes 6x8x8", "raster",
                                   "hilbert"};
    for (int g = 0; g < GRIDS; g++)
        for (int o = 0; o < 5; o++) {
            scene     s    = scene_of(grids[g], orders[o]);
            fili_mask mask = mask_of(&s, 1);
            for (int d = 0; d < DENSITIES; d++) {
                assert_int_equal(fili_nearest_mask(&mask, &s.order, &s.blocks, densities[d]),
                                 FIL_OK);
                for (int32_t b = 0; b < s.blocks.m; b++)
                    assert_true(fili_mask_get(&mask, 0, b, b));
                assert_int_equal(fili_mask_check(&mask), FIL_OK);
                if (densities[d] * (double)s.blocks.m >= 1.0)
                    near(density_of(&s, &mask), densities[d],
                         64.0 / (double)s.order.n + 1e-12); /* a block a row */
            }
            near(density_of(&s, &mask), 1.0, 0.0);
            fili_mask_fini(&mask);
            scene_free(&s);
        }
}

static void nothing_left_out_is_nearer_than_what_is_kept(void **state)
{
    (void)state;
    scene     s    = scene_of((fili_grid){8, 12, 16}, "cubes 4x4x4"); /* whole cubes */
    fili_mask mask = mask_of(&s, 1);
    assert_int_equal(fili_nearest_mask(&mask, &s.order, &s.blocks, 0.3), FIL_OK);
    for (int32_t u = 0; u < s.blocks.m; u++) {
        int32_t farthest = 0;
        int32_t nearest  = INT32_MAX;
        for (int32_t b = 0; b < s.blocks.m; b++) {
            const int32_t f  = u / 12 - b / 12;
            const int32_t h  = u / 4 % 3 - b / 4 % 3;
            const int32_t w  = u % 4 - b % 4;
            const int32_t d2 = f * f + h * h + w * w;
            if (fili_mask_get(&mask, 0, u, b))
                farthest = d2 > farthest ? d2 : farthest;
            else
                nearest = d2 < nearest ? d2 : nearest;
        }
        assert_true(farthest <= nearest);
    }
    fili_mask_fini(&mask);
    scene_free(&s);
}

/* ---- windows -------------------------------------------------------------------------------- */

static void every_query_sees_as_many_cubes_and_the_density_is_known_beforehand(void **state)
{
    (void)state;
    static const fili_grid windows[] = {{1, 1, 1}, {1, 3, 3}, {3, 1, 5}, {3, 3, 3}, {99, 99, 99}};
    static const char     *orders[]  = {"cubes 4x4x4", "hilbert-cubes 2x3x4", "cubes 6x8x8"};
    for (int g = 0; g < GRIDS; g++)
        for (int o = 0; o < 3; o++)
            for (int i = 0; i < 5; i++) {
                scene     s    = scene_of(grids[g], orders[o]);
                fili_mask mask = mask_of(&s, 1);
                assert_int_equal(fili_window_mask(&mask, &s.order, &s.blocks, windows[i]), FIL_OK);
                near(density_of(&s, &mask),
                     fili_window_density(grids[g], s.order.spec.cube, windows[i]), 1e-12);
                for (int32_t b = 0; b < s.blocks.m; b++)
                    assert_true(fili_mask_get(&mask, 0, b, b));
                fili_mask_fini(&mask);
                scene_free(&s);
            }
}

static void windows_that_are_none_are_refused(void **state)
{
    (void)state;
    scene           s    = scene_of((fili_grid){4, 8, 8}, "cubes 4x4x4");
    scene           r    = scene_of((fili_grid){4, 8, 8}, "raster");
    fili_mask       mask = mask_of(&s, 1);
    fili_mask       two  = mask_of(&s, 2);
    const fili_grid fits = {1, 3, 3};
    assert_int_equal(fili_window_mask(&mask, &s.order, &s.blocks, (fili_grid){1, 2, 1}), FIL_E_ARG);
    assert_int_equal(fili_window_mask(&mask, &s.order, &s.blocks, (fili_grid){0, 1, 1}), FIL_E_ARG);
    assert_int_equal(fili_window_mask(&mask, &r.order, &r.blocks, fits), FIL_E_ARG);
    assert_int_equal(fili_window_mask(&two, &s.order, &s.blocks, fits), FIL_E_SHAPE);
    assert_int_equal(fili_nearest_mask(&mask, &s.order, &s.blocks, 0.0), FIL_E_ARG);
    assert_int_equal(fili_nearest_mask(&mask, &s.order, &s.blocks, 1.5), FIL_E_ARG);
    assert_int_equal(fili_nearest_mask(&mask, &s.order, &s.blocks, (double)NAN), FIL_E_ARG);
    fili_mask_fini(&two);
    fili_mask_fini(&mask);
    scene_free(&r);
    scene_free(&s);
}

static void bands_of_another_grid_and_bad_numbers_are_refused(void **state)
{
    (void)state;
    const fili_grid grid  = {4, 8, 8};
    const fili_grid other = {4, 8, 9};
    scene           s     = scene_of(grid, "raster");
    fili_mask       mask  = mask_of(&s, 1);
    fili_radial     r     = {.grid = other, .threshold = 64.0, .reach = 2.0};
    assert_int_equal(fili_radial_mask(&mask, &s.blocks, &r, FILI_BAND_ANY), FIL_E_SHAPE);
    r.grid  = grid;
    r.reach = 3.5;
    assert_int_equal(fili_radial_mask(&mask, &s.blocks, &r, FILI_BAND_ANY), FIL_E_ARG);
    r.reach     = 2.0;
    r.threshold = (double)NAN;
    assert_int_equal(fili_radial_mask(&mask, &s.blocks, &r, FILI_BAND_ANY), FIL_E_ARG);
    r.threshold = 64.0;
    assert_int_equal(fili_radial_fit(&mask, &s.blocks, &r, (double)NAN), FIL_E_ARG);
    assert_int_equal(fili_svg_mask(&mask, &s.blocks, other, FILI_SVG_SPATIAL, 3), FIL_E_SHAPE);
    assert_int_equal(fili_svg_mask(&mask, &s.blocks, grid, FILI_SVG_SPATIAL, -1), FIL_E_ARG);
    assert_int_equal(fili_svg_fit(&mask, &s.blocks, grid, FILI_SVG_SPATIAL, 0.0), FIL_E_ARG);
    fili_mask_fini(&mask);
    scene_free(&s);
}

/* ---- the oracle ----------------------------------------------------------------------------- */

enum { HEADS = 3 };

typedef struct oracle {
    scene     s;
    float    *mass;
    fili_mask mask;
} oracle;

static oracle oracle_of(fili_grid grid, const char *order)
{
    oracle        r     = {.s = scene_of(grid, order)};
    const int64_t cells = (int64_t)HEADS * r.s.blocks.m * r.s.blocks.m;
    r.mass              = calloc((size_t)cells, sizeof *r.mass);
    r.mask              = mask_of(&r.s, HEADS);
    assert_non_null(r.mass);
    fili_philox_uniform(7, 0, 0, r.mass, cells);
    for (int64_t i = 0; i < cells; i++) /* heads of different breadth */
        r.mass[i] = powf(r.mass[i], (float)(1 << (3 * i / cells * 2)));
    return r;
}

static void oracle_free(oracle *r)
{
    fili_mask_fini(&r->mask);
    free(r->mass);
    scene_free(&r->s);
}

static double recall_of(const oracle *r)
{
    double recall[HEADS];
    double overall;
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS, recall, &overall), FIL_OK);
    return overall;
}

static void one_threshold_keeps_more_mass_than_equal_rows(void **state)
{
    (void)state;
    for (int d = 3; d < DENSITIES; d++) {
        oracle        r    = oracle_of((fili_grid){8, 16, 16}, "hilbert");
        const int32_t m    = r.s.blocks.m;
        const int32_t keep = densities[d] * m < 1.0 ? 1 : (int32_t)(densities[d] * m);
        assert_int_equal(fili_oracle_rows(&r.mask, r.mass, keep), FIL_OK);
        const double rows    = recall_of(&r);
        const double density = density_of(&r.s, &r.mask);
        assert_int_equal(fili_oracle_threshold(&r.mask, &r.s.blocks, r.mass, density), FIL_OK);
        assert_true(recall_of(&r) >= rows);
        near(density_of(&r.s, &r.mask), density, 1e-9);
        oracle_free(&r);
    }
}

static void one_threshold_meets_the_density_with_ties_and_ragged_blocks(void **state)
{
    (void)state;
    for (int g = 0; g < GRIDS; g++)
        for (int d = 0; d < DENSITIES; d++) {
            oracle        r     = oracle_of(grids[g], "cubes 4x4x4");
            const int32_t m     = r.s.blocks.m;
            const int64_t cells = (int64_t)HEADS * m * m;
            for (int64_t i = 0; i < cells; i++)
                r.mass[i] = floorf(4.0f * r.mass[i]); /* 0 among them */
            assert_int_equal(fili_oracle_threshold(&r.mask, &r.s.blocks, r.mass, densities[d]),
                             FIL_OK);
            const double got   = density_of(&r.s, &r.mask);
            const double block = 64.0 * 64.0 / pow((double)r.s.order.n, 2.0);
            assert_true(got >= densities[d] - block);
            int32_t *count       = calloc((size_t)HEADS * (size_t)m, sizeof *count);
            bool     floor_binds = true; /* then the density may be exceeded */
            fili_mask_counts(&r.mask, count);
            for (int32_t i = 0; i < HEADS * m; i++) {
                assert_true(count[i] >= 1);
                floor_binds = floor_binds && count[i] == 1;
            }
            if (!floor_binds) assert_true(got <= densities[d] + block);
            free(count);
            oracle_free(&r);
        }
}

static void a_nan_mass_is_kept_last(void **state)
{
    (void)state;
    oracle        r = oracle_of((fili_grid){4, 8, 16}, "raster");
    const int32_t m = r.s.blocks.m;
    r.mass[2]       = NAN;
    assert_int_equal(fili_oracle_rows(&r.mask, r.mass, m - 1), FIL_OK);
    assert_false(fili_mask_get(&r.mask, 0, 0, 2));
    assert_int_equal(fili_oracle_threshold(&r.mask, &r.s.blocks, r.mass, 0.9), FIL_OK);
    assert_false(fili_mask_get(&r.mask, 0, 0, 2));
    oracle_free(&r);
}

/* ---- fixtures ------------------------------------------------------------------------------- */

typedef struct fixture {
    char      path[512];
    json_t   *json;
    fili_grid grid;
} fixture;

static fixture fixture_of(const char *name)
{
    fixture      f;
    json_error_t error;
    char         file[64];
    snprintf(file, sizeof file, "methods/%s.json", name);
    f.json = json_load_file(fixture_path(file), 0, &error);
    assert_non_null(f.json);
    snprintf(file, sizeof file, "methods/%s.safetensors", name);
    snprintf(f.path, sizeof f.path, "%s", fixture_path(file));
    const json_t *grid = json_object_get(f.json, "grid");
    f.grid             = (fili_grid){.f = (int32_t)json_integer_value(json_array_get(grid, 0)),
                                     .h = (int32_t)json_integer_value(json_array_get(grid, 1)),
                                     .w = (int32_t)json_integer_value(json_array_get(grid, 2))};
    return f;
}

static void same_words(const scene *s, const fixture *f, const char *name, const fili_mask *mask)
{
    int64_t   n;
    uint32_t *words = fixture_tensor(s->ctx, f->path, name, FIL_U32, &n);
    assert_int_equal(n, (int64_t)mask->mq * mask->words);
    if (memcmp(words, mask->bits, (size_t)n * sizeof *words) != 0) fail_msg("%s differs", name);
    free(words);
}

static void same_figures(const scene *s, const fixture *f, const json_t *entry,
                         const fili_mask *mask, const char *masses)
{
    int64_t       n;
    double        recall[16];
    float        *mass  = fixture_tensor(s->ctx, f->path, masses, FIL_F32, &n);
    const int32_t heads = (int32_t)json_integer_value(json_object_get(f->json, "heads"));
    const json_t *want  = json_object_get(entry, "recall");
    assert_int_equal(n, (int64_t)heads * mask->mq * mask->mk);
    near(density_of(s, mask), json_number_value(json_object_get(entry, "density")), 1e-6);
    assert_int_equal(fili_mask_recall(mask, mass, heads, recall, NULL), FIL_OK);
    for (int32_t h = 0; h < heads; h++)
        near(recall[h], json_number_value(json_array_get(want, (size_t)h)), 1e-6);
    free(mass);
}

static const char *const cases[] = {"attention_a", "attention_b"};

static void windows_are_those_of_the_fixtures(void **state)
{
    (void)state;
    if (fixture_path("methods") == NULL) skip();
    for (int c = 0; c < 2; c++) {
        fixture     f    = fixture_of(cases[c]);
        scene       s    = scene_of(f.grid, "cubes 4x4x4");
        fili_mask   mask = mask_of(&s, 1);
        json_t     *sta  = json_object_get(f.json, "sta");
        const char *key;
        json_t     *entry;
        json_object_foreach(sta, key, entry)
        {
            fili_grid window;
            assert_int_equal(sscanf(key, "sta_mask_%dx%dx%d", &window.f, &window.h, &window.w), 3);
            assert_int_equal(fili_window_mask(&mask, &s.order, &s.blocks, window), FIL_OK);
            same_words(&s, &f, key, &mask);
            same_figures(&s, &f, entry, &mask, "mass_cubes");
        }
        fili_mask_fini(&mask);
        scene_free(&s);
        json_decref(f.json);
    }
}

static void radial_masks_are_those_of_the_fixtures(void **state)
{
    (void)state;
    if (fixture_path("methods") == NULL) skip();
    for (int c = 0; c < 2; c++) {
        fixture     f      = fixture_of(cases[c]);
        scene       s      = scene_of(f.grid, "raster");
        fili_mask   mask   = mask_of(&s, 1);
        json_t     *radial = json_object_get(f.json, "radial");
        const char *key;
        json_t     *entry;
        json_object_foreach(radial, key, entry)
        {
            int  threshold;
            char keep[8];
            assert_int_equal(sscanf(key, "radial_mask_%d_%7s", &threshold, keep), 2);
            const fili_radial r = {.grid = f.grid, .threshold = threshold, .reach = 2.0};
            assert_int_equal(
                fili_radial_mask(&mask, &s.blocks, &r,
                                 strcmp(keep, "any") == 0 ? FILI_BAND_ANY : FILI_BAND_HALF),
                FIL_OK);
            same_words(&s, &f, key, &mask);
            same_figures(&s, &f, entry, &mask, "mass_raster");
        }
        fili_mask_fini(&mask);
        scene_free(&s);
        json_decref(f.json);
    }
}

/* k blocks of each row of a fixture by its own masses. */
static void check_oracle(const fixture *f, const char *order, const char *masses)
{
    static const char *const percents[] = {"10", "20", "30"};
    char                     key[64];
    int64_t                  n;
    scene                    s     = scene_of(f->grid, order);
    const int32_t            m     = s.blocks.m;
    const int32_t            heads = (int32_t)json_integer_value(json_object_get(f->json, "heads"));
    float                   *mass  = fixture_tensor(s.ctx, f->path, masses, FIL_F32, &n);
    fili_mask                mask  = mask_of(&s, heads);
    snprintf(key, sizeof key, "oracle_top_k_%s", masses + strlen("mass_"));
    for (int p = 0; p < 3; p++) {
        const json_t *entry = json_object_get(json_object_get(f->json, key), percents[p]);
        const int32_t keep  = fili_policy_keep_blocks(atof(percents[p]) / 100.0, m);
        double        recall[16];
        uint64_t      kept[16];
        assert_int_equal(keep, json_integer_value(json_object_get(entry, "k")));
        assert_int_equal(fili_oracle_rows(&mask, mass, keep), FIL_OK);
        assert_int_equal(fili_mask_kept(&mask, &s.blocks, &s.blocks, kept), FIL_OK);
        assert_int_equal(fili_mask_recall(&mask, mass, heads, recall, NULL), FIL_OK);
        for (int32_t h = 0; h < heads; h++) {
            const json_t *density = json_array_get(json_object_get(entry, "density"), (size_t)h);
            const json_t *want    = json_array_get(json_object_get(entry, "recall"), (size_t)h);
            near((double)kept[h] / pow((double)s.order.n, 2.0), json_number_value(density), 1e-6);
            near(recall[h], json_number_value(want), 1e-6);
        }
    }
    fili_mask_fini(&mask);
    free(mass);
    scene_free(&s);
}

static void the_oracles_ceiling_is_that_of_the_fixtures(void **state)
{
    (void)state;
    if (fixture_path("methods") == NULL) skip();
    for (int c = 0; c < 2; c++) {
        fixture f = fixture_of(cases[c]);
        check_oracle(&f, "hilbert", "mass_hilbert");
        check_oracle(&f, "cubes 4x4x4", "mass_cubes");
        check_oracle(&f, "raster", "mass_raster");
        json_decref(f.json);
    }
}

/* On blocks of one length the share of a density is the k of the fixtures. */
static void a_row_share_is_the_k_of_the_fixtures(void **state)
{
    (void)state;
    if (fixture_path("methods") == NULL) skip();
    for (int c = 0; c < 2; c++) {
        fixture     f = fixture_of(cases[c]);
        scene       s = scene_of(f.grid, "hilbert");
        const char *percent;
        json_t     *entry;
        json_object_foreach(json_object_get(f.json, "oracle_top_k_hilbert"), percent, entry)
        {
            const fili_row_share share = fili_row_share_of(&s.blocks, atof(percent) / 100.0);
            assert_int_equal(share.blocks, json_integer_value(json_object_get(entry, "k")));
        }
        scene_free(&s);
        json_decref(f.json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_band_is_counted_as_pair_by_pair),
        cmocka_unit_test(radial_masks_are_the_rule_token_by_token),
        cmocka_unit_test(a_larger_reach_keeps_what_a_smaller_one_keeps),
        cmocka_unit_test(svg_masks_are_the_rule_token_by_token),
        cmocka_unit_test(bands_meet_any_density),
        cmocka_unit_test(the_nearest_blocks_meet_any_density),
        cmocka_unit_test(nothing_left_out_is_nearer_than_what_is_kept),
        cmocka_unit_test(every_query_sees_as_many_cubes_and_the_density_is_known_beforehand),
        cmocka_unit_test(windows_that_are_none_are_refused),
        cmocka_unit_test(bands_of_another_grid_and_bad_numbers_are_refused),
        cmocka_unit_test(one_threshold_keeps_more_mass_than_equal_rows),
        cmocka_unit_test(one_threshold_meets_the_density_with_ties_and_ragged_blocks),
        cmocka_unit_test(a_nan_mass_is_kept_last),
        cmocka_unit_test(windows_are_those_of_the_fixtures),
        cmocka_unit_test(radial_masks_are_those_of_the_fixtures),
        cmocka_unit_test(the_oracles_ceiling_is_that_of_the_fixtures),
        cmocka_unit_test(a_row_share_is_the_k_of_the_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
