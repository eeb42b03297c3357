/* tests/unit/test_mask_pictures.c: filigree/masks.h and engine/ranges.h: pictures hold the masks,
 * names and listing say which, and nothing is written over or left half written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/ranges.h"
#include "filigree/masks.h"
#include "io/json.h"
#include "io/png_image.h"
#include "sparse/mask_file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

enum { MASKS = 3 };

static const fili_mask_key keys[MASKS] = {{0, 10, 0}, {0, -1, -1}, {123, -1, 1}};

static uint64_t rng_state;

static uint32_t draw(uint32_t n) /* splitmix64 */
{
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

/* ---- a mask file ---------------------------------------------------------------------------- */

typedef struct sample {
    fil_ctx    *ctx;
    scratch     dir;
    fili_order  order;
    fili_blocks blocks;
    fili_mask   mask[MASKS];
    char        file[256], folder[256];
} sample;

static void write_masks(sample *s)
{
    fili_mask_writer     w;
    const fili_mask_desc d = {.order   = &s->order,
                              .q       = &s->blocks,
                              .k       = &s->blocks,
                              .map     = keys,
                              .n_masks = MASKS,
                              .heads   = s->mask[0].heads};
    assert_int_equal(fili_mask_writer_open(&w, s->ctx, s->file, &d, 1), FIL_OK);
    for (int i = 0; i < MASKS; i++)
        assert_int_equal(fili_mask_writer_put(&w, &s->mask[i]), FIL_OK);
    assert_int_equal(fili_mask_writer_finish(&w), FIL_OK);
}

static void sample_make(sample *s, const char *order, fili_grid grid, int32_t heads)
{
    fili_order_spec spec;
    rng_state = 7;
    assert_int_equal(fil_ctx_open(&s->ctx, NULL), FIL_OK);
    scratch_make(&s->dir);
    snprintf(s->file, sizeof s->file, "%s", scratch_path(&s->dir, "m.safetensors"));
    snprintf(s->folder, sizeof s->folder, "%s", scratch_path(&s->dir, "out"));
    assert_int_equal(fili_order_parse(s->ctx, order, &spec), FIL_OK);
    assert_int_equal(fili_order_init(&s->order, s->ctx, grid, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&s->blocks, &s->order), FIL_OK);
    const int32_t m = s->blocks.m;
    for (int i = 0; i < MASKS; i++) {
        assert_int_equal(fili_mask_init(&s->mask[i], s->ctx, heads, m, m), FIL_OK);
        for (int32_t k = 0; k < heads * m * m / 3; k++)
            assert_int_equal(fili_mask_set(&s->mask[i], (int32_t)draw((uint32_t)heads),
                                           (int32_t)draw((uint32_t)m), (int32_t)draw((uint32_t)m),
                                           true),
                             FIL_OK);
    }
    write_masks(s);
}

static void sample_free(sample *s)
{
    for (int i = 0; i < MASKS; i++)
        fili_mask_fini(&s->mask[i]);
    fili_blocks_fini(&s->blocks);
    fili_order_fini(&s->order);
    assert_int_equal(fil_ctx_memory(s->ctx).used, 0);
    scratch_remove(&s->dir);
    fil_ctx_close(&s->ctx);
}

static fil_mask_pictures_options options_of(const sample *s)
{
    fil_mask_pictures_options o;
    fil_mask_pictures_options_init(&o);
    o.input  = s->file;
    o.folder = s->folder;
    return o;
}

static const char *picture_path(const sample *s, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "out/%s", name);
    return scratch_path(&s->dir, path);
}

static int count_files(const sample *s)
{
    scratch out;
    snprintf(out.path, sizeof out.path, "%s", s->folder);
    return scratch_count(&out);
}

static fili_picture read_picture(const sample *s, const char *name)
{
    fili_picture p;
    if (fili_png_read(s->ctx, picture_path(s, name), &p) != FIL_OK)
        fail_msg("%s: %s", name, fil_ctx_error(s->ctx)->message);
    return p;
}

/* Grey of a pixel; fails if it has a colour. */
static int grey_at(const fili_picture *p, int32_t y, int32_t x)
{
    const uint8_t *rgb = p->rgb + 3 * ((size_t)y * (size_t)p->width + (size_t)x);
    assert_true(rgb[0] == rgb[1] && rgb[1] == rgb[2]);
    return rgb[0];
}

static void assert_says(const fil_ctx *ctx, const char *part)
{
    const char *message = fil_ctx_error(ctx)->message;
    if (strstr(message, part) == NULL) fail_msg("'%s' has no '%s'", message, part);
}

/* ---- pictures ------------------------------------------------------------------------------- */

static void pixels_are_black_where_the_mask_keeps(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert-cubes 4x4x4", (fili_grid){5, 9, 14}, 2);
    fil_mask_pictures_options o = options_of(&s);
    o.scale                     = 3;
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
    assert_int_equal(r.masks, MASKS);
    assert_int_equal(r.pictures, 2 * MASKS);
    assert_int_equal(r.width, 3 * s.blocks.m);
    assert_int_equal(count_files(&s), 2 * MASKS + 2);
    fili_picture p = read_picture(&s, "layer123_stepall_pass1_head01.png");
    assert_int_equal(p.width, r.width);
    assert_int_equal(p.height, r.height);
    for (int32_t y = 0; y < p.height; y++)
        for (int32_t x = 0; x < p.width; x++)
            assert_int_equal(grey_at(&p, y, x),
                             fili_mask_get(&s.mask[2], 1, y / 3, x / 3) ? 0 : 255);
    fili_picture_free(s.ctx, &p);
    sample_free(&s);
}

static void names_say_where_a_mask_applies(void **state)
{
    static const char *const name[MASKS] = {"layer000_step010_pass0_headall.png",
                                            "layer000_stepall_passall_headall.png",
                                            "layer123_stepall_pass1_headall.png"};
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert", (fili_grid){3, 5, 7}, 1);
    fil_mask_pictures_options o = options_of(&s);
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
    for (int i = 0; i < MASKS; i++) {
        fili_picture p = read_picture(&s, name[i]);
        fili_picture_free(s.ctx, &p);
    }
    sample_free(&s);
}

/* The overview shows masks of up to 64 blocks as they are, with a line around each. */
static void the_overview_holds_every_mask(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert", (fili_grid){5, 9, 14}, 2);
    fil_mask_pictures_options o = options_of(&s);
    const int32_t             m = s.blocks.m;
    assert_true(m < 64);
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
    assert_int_equal(r.overview, 1);
    fili_picture p = read_picture(&s, "overview.png");
    assert_int_equal(p.width, 2 * (m + 1) + 1);
    assert_int_equal(p.height, MASKS * (m + 1) + 1);
    for (int32_t y = 0; y < p.height; y++)
        for (int32_t x = 0; x < p.width; x++) {
            const bool    line = y % (m + 1) == 0 || x % (m + 1) == 0;
            const int32_t i    = (y - 1) / (m + 1);
            const int32_t h    = (x - 1) / (m + 1);
            const bool    kept =
                !line && fili_mask_get(&s.mask[i], h, (y - 1) % (m + 1), (x - 1) % (m + 1));
            const int want = line ? 128 : kept ? 0 : 255;
            assert_int_equal(grey_at(&p, y, x), want);
        }
    fili_picture_free(s.ctx, &p);
    sample_free(&s);
}

/* Kept pairs of tokens between two groups, counted one by one. */
static uint64_t count_pairs(const sample *s, const int32_t *block, int32_t group, int32_t r,
                            int32_t c)
{
    uint64_t kept = 0;
    for (int32_t i = r * group; i < (r + 1) * group && i < s->order.n; i++)
        for (int32_t j = c * group; j < (c + 1) * group && j < s->order.n; j++)
            kept += fili_mask_get(&s->mask[1], 1, block[i], block[j]);
    return kept;
}

static void check_raster(fili_grid grid, int32_t group)
{
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert-cubes 3x5x4", grid, 2);
    fil_mask_pictures_options o = options_of(&s);
    o.raster                    = 1;
    int32_t *block              = malloc((size_t)s.order.n * sizeof *block);
    assert_non_null(block);
    for (int32_t b = 0; b < s.blocks.m; b++)
        for (int32_t i = s.blocks.offset[b]; i < s.blocks.offset[b + 1]; i++)
            block[s.order.order[i]] = b;
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
    assert_int_equal(r.width, s.order.n / group);
    fili_picture   p   = read_picture(&s, "layer000_stepall_passall_head01.png");
    const uint64_t all = (uint64_t)group * (uint64_t)group;
    for (int32_t y = 0; y < p.height; y++)
        for (int32_t x = 0; x < p.width; x++) {
            const uint64_t kept = count_pairs(&s, block, group, y, x);
            const int      grey = grey_at(&p, y, x);
            const double   want = 255.0 - 255.0 * (double)kept / (double)all;
            assert_true((grey == 255) == (kept == 0) && (grey == 0) == (kept == all));
            if (!((double)grey - want <= 1.0 && want - (double)grey <= 1.0))
                fail_msg("%d, expected %g", grey, want);
        }
    fili_picture_free(s.ctx, &p);
    free(block);
    sample_free(&s);
}

static void raster_pictures_show_every_token_of_a_small_grid(void **state)
{
    (void)state;
    check_raster((fili_grid){5, 9, 14}, 1);
}

static void raster_pictures_show_rows_of_a_larger_grid(void **state)
{
    (void)state;
    check_raster((fili_grid){5, 11, 20}, 20);
}

static void a_grid_of_one_token_is_drawn(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "raster", (fili_grid){1, 1, 1}, 1);
    fil_mask_pictures_options o = options_of(&s);
    for (int raster = 0; raster < 2; raster++) {
        o.raster  = raster;
        o.replace = raster;
        assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
        assert_int_equal(r.width, 1);
    }
    sample_free(&s);
}

/* ---- listing -------------------------------------------------------------------------------- */

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static void the_listing_has_the_density_of_every_picture(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    fili_json                json;
    sample_make(&s, "hilbert-cubes 4x4x4", (fili_grid){5, 9, 14}, 2);
    fil_mask_pictures_options o = options_of(&s);
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
    assert_int_equal(fili_json_read(s.ctx, FILI_CWD, picture_path(&s, "masks.json"), 0, 10000,
                                    FILI_JSON_REALS, &json),
                     FIL_OK);
    const json_t *list = json_object_get(json.root, "pictures");
    double        sum  = 0.0;
    assert_int_equal(json_array_size(list), 2 * MASKS);
    for (size_t i = 0; i < 2 * MASKS; i++) {
        const json_t *entry = json_array_get(list, i);
        uint64_t      kept[2];
        assert_int_equal(fili_mask_kept(&s.mask[i / 2], &s.blocks, &s.blocks, kept), FIL_OK);
        const double density = (double)kept[i % 2] / (630.0 * 630.0);
        assert_true(number(entry, "kept") == (double)kept[i % 2]);
        assert_true(number(entry, "density") - density <= 5.1e-7 &&
                    density - number(entry, "density") <= 5.1e-7);
        assert_true(number(entry, "head") == (double)(i % 2));
        assert_true(number(entry, "layer") == (double)keys[i / 2].layer);
        assert_true(number(entry, "step") == (double)keys[i / 2].step);
        sum += density;
    }
    assert_true(r.density - sum / 6.0 <= 1e-12 && sum / 6.0 - r.density <= 1e-12);
    fili_json_fini(s.ctx, &json);
    sample_free(&s);
}

/* ---- choosing and refusing ------------------------------------------------------------------ */

static void lists_choose_masks_and_heads(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert", (fili_grid){5, 9, 14}, 3);
    fil_mask_pictures_options o = options_of(&s);
    o.replace                   = 1;
    o.layers                    = "0";
    o.steps                     = "9,10-12";
    o.heads                     = "0,2";
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
    assert_int_equal(r.masks, 2); /* that of step 10, and that of all steps */
    assert_int_equal(r.pictures, 4);
    o.steps = "9";
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
    assert_int_equal(r.masks, 1);
    o.layers = "1-122";
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_MISMATCH);
    assert_int_equal(r.masks, 0);
    o.layers = NULL;
    o.heads  = "3";
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_MISMATCH);
    sample_free(&s);
}

static void an_existing_file_is_found_before_anything_is_written(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert", (fili_grid){5, 9, 14}, 2);
    fil_mask_pictures_options o = options_of(&s);
    assert_int_equal(fili_dir_make(s.ctx, s.folder, NULL), FIL_OK);
    scratch_write(&s.dir, "out/layer123_stepall_pass1_head01.png", "old", 3);
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_IO);
    assert_says(s.ctx, "exists already");
    assert_int_equal(count_files(&s), 1);
    o.replace = 1;
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_OK);
    sample_free(&s);
}

static void bad_requests_are_refused(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert", (fili_grid){5, 9, 14}, 2);
    fil_mask_pictures_options o = options_of(&s);
    o.scale                     = 65;
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_ARG);
    o        = options_of(&s);
    o.layers = "3-1";
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_ARG);
    assert_says(s.ctx, "layers: ");
    o       = options_of(&s);
    o.input = NULL;
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_ARG);
    o       = options_of(&s);
    o.input = "none";
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_IO);
    o        = options_of(&s);
    o.folder = s.file; /* not a folder */
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_IO);
    o.folder = "no/such/folder";
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_IO);
    assert_int_equal(fil_mask_pictures(NULL, &o, &r), FIL_E_ARG);
    assert_int_equal(fil_mask_pictures(s.ctx, NULL, &r), FIL_E_ARG);
    assert_int_equal(scratch_count(&s.dir), 1);
    sample_free(&s);
}

/* 300 blocks, 64 pixels each: more than a picture holds. */
static void a_picture_that_is_too_large_is_refused(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "raster", (fili_grid){1, 64, 300}, 1);
    fil_mask_pictures_options o = options_of(&s);
    o.scale                     = 64;
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_LIMIT);
    assert_int_equal(scratch_count(&s.dir), 1);
    sample_free(&s);
}

static int stop_at_second(void *user, const fil_mask_picture *picture)
{
    int *calls = user;
    assert_non_null(picture->name);
    return ++*calls == 2;
}

static void the_callback_ends_the_call(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    int                      calls = 0;
    sample_make(&s, "hilbert", (fili_grid){5, 9, 14}, 2);
    fil_mask_pictures_options o = options_of(&s);
    o.picture                   = stop_at_second;
    o.user                      = &calls;
    assert_int_equal(fil_mask_pictures(s.ctx, &o, &r), FIL_E_CANCELLED);
    assert_int_equal(calls, 2);
    assert_int_equal(count_files(&s), 2); /* no listing */
    sample_free(&s);
}

/* ---- failures ------------------------------------------------------------------------------- */

static void every_allocation_that_fails_ends_in_order(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert", (fili_grid){5, 9, 14}, 2);
    fil_mask_pictures_options o     = options_of(&s);
    alloc_fault               fault = {.at = 0};
    o.replace                       = 1;
    o.raster                        = 1;
    for (fault.at = 0;; fault.at++) {
        fil_options opt;
        fil_ctx    *ctx = NULL;
        fault.calls = fault.failed = 0;
        fil_options_init(&opt);
        opt.host          = alloc_fault_allocator(&fault);
        fil_status status = fil_ctx_open(&ctx, &opt);
        if (status == FIL_OK) status = fil_mask_pictures(ctx, &o, &r);
        fil_ctx_close(&ctx);
        assert_int_equal(fault.live, 0);
        if (fault.failed == 0) {
            assert_int_equal(status, FIL_OK);
            break;
        }
        assert_int_equal(status, FIL_E_NOMEM);
    }
    assert_true(fault.at > 10);
    sample_free(&s);
}

static void every_system_call_that_fails_ends_in_order(void **state)
{
    (void)state;
    sample                   s;
    fil_mask_pictures_result r;
    sample_make(&s, "hilbert", (fili_grid){5, 9, 14}, 1);
    fil_mask_pictures_options o     = options_of(&s);
    os_fault                  fault = {.call = OS_ANY, .error = 5 /* EIO */};
    const fili_os             os    = os_fault_table(&fault);
    o.replace                       = 1;
    for (fault.at = 0;; fault.at++) {
        fil_ctx *ctx = NULL;
        fault.calls = fault.failed = 0;
        fil_status status          = fili_ctx_open_on(&os, &ctx, NULL);
        if (status == FIL_OK) status = fil_mask_pictures(ctx, &o, &r);
        fil_ctx_close(&ctx);
        assert_int_equal(fault.open, 0);
        if (fault.failed == 0) {
            assert_int_equal(status, FIL_OK);
            break;
        }
    }
    assert_true(fault.at > 30);
    sample_free(&s);
}

/* ---- ranges --------------------------------------------------------------------------------- */

static void a_list_of_ranges_holds_what_it_says(void **state)
{
    (void)state;
    fil_ctx          *ctx = NULL;
    fili_ranges       r;
    static const char text[] = "0,5,10-12,7-7:tail";
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    assert_int_equal(fili_ranges_parse(ctx, "steps", text, 13, &r), FIL_OK);
    for (int32_t i = 0; i < 20; i++)
        assert_int_equal(fili_ranges_has(&r, i),
                         i == 0 || i == 5 || i == 7 || (i >= 10 && i <= 12));
    assert_int_equal(fili_ranges_most(&r), 12);
    assert_int_equal(fili_ranges_parse(ctx, "steps", NULL, 0, &r), FIL_OK);
    assert_true(fili_ranges_has(&r, 99) && fili_ranges_most(&r) == -1);
    fil_ctx_close(&ctx);
}

static void what_is_no_list_is_refused(void **state)
{
    static const char *const bad[] = {"",   ",",   "1,",   "1,,2",  "a",      "-1",
                                      "1-", "2-1", "1 ,2", "1-2-3", "100000", "99999999999",
                                      "+1", "1.5", "0x1",  "1:2",   " 1",     "1;2"};
    (void)state;
    fil_ctx    *ctx = NULL;
    fili_ranges r;
    char        many[65 * 2];
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (fili_ranges_parse(ctx, "steps", bad[i], strlen(bad[i]), &r) != FIL_E_ARG)
            fail_msg("'%s' was taken", bad[i]);
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = i % 2 == 0 ? '1' : ',';
    assert_int_equal(fili_ranges_parse(ctx, "steps", many, 64 * 2 - 1, &r), FIL_OK);
    assert_int_equal(fili_ranges_parse(ctx, "steps", many, 65 * 2 - 1, &r), FIL_E_ARG);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_black_where_the_mask_keeps),
        cmocka_unit_test(names_say_where_a_mask_applies),
        cmocka_unit_test(the_overview_holds_every_mask),
        cmocka_unit_test(raster_pictures_show_every_token_of_a_small_grid),
        cmocka_unit_test(raster_pictures_show_rows_of_a_larger_grid),
        cmocka_unit_test(a_grid_of_one_token_is_drawn),
        cmocka_unit_test(the_listing_has_the_density_of_every_picture),
        cmocka_unit_test(lists_choose_masks_and_heads),
        cmocka_unit_test(an_existing_file_is_found_before_anything_is_written),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(a_picture_that_is_too_large_is_refused),
        cmocka_unit_test(the_callback_ends_the_call),
        cmocka_unit_test(every_allocation_that_fails_ends_in_order),
        cmocka_unit_test(every_system_call_that_fails_ends_in_order),
        cmocka_unit_test(a_list_of_ranges_holds_what_it_says),
        cmocka_unit_test(what_is_no_list_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
