/* tests/unit/test_recall.c: sparse/recall.h: laws, and the recalls that the methods' fixtures
 * state. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/recall.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

enum { HEADS = 3, MQ = 7, MK = 40 };

typedef struct rig {
    fil_ctx  *ctx;
    fili_mask mask;
    float     mass[HEADS * MQ * MK];
} rig;

static int set_up(void **state)
{
    rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(fil_ctx_open(&r->ctx, NULL), FIL_OK);
    assert_int_equal(fili_mask_init(&r->mask, r->ctx, HEADS, MQ, MK), FIL_OK);
    fili_philox_uniform(11, 0, 0, r->mass, HEADS * MQ * MK);
    for (int32_t i = 0; i < HEADS * MQ * MK; i += 3)
        assert_int_equal(fili_mask_set(&r->mask, i / (MQ * MK), i / MK % MQ, i % MK, true), FIL_OK);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    fili_mask_fini(&r->mask);
    fil_ctx_close(&r->ctx);
    free(r);
    return 0;
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, expected %.9g", got, want);
}

static void it_is_the_kept_share_of_the_mass(void **state)
{
    const rig *r = *state;
    double     recall[HEADS];
    double     overall;
    double     all_kept  = 0.0;
    double     all_total = 0.0;
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS, recall, &overall), FIL_OK);
    for (int32_t h = 0; h < HEADS; h++) {
        double kept  = 0.0;
        double total = 0.0;
        for (int32_t i = h * MQ * MK; i < (h + 1) * MQ * MK; i++) {
            total += (double)r->mass[i];
            if (i % 3 == 0) kept += (double)r->mass[i];
        }
        near(recall[h], kept / total, 1e-12);
        all_kept += kept;
        all_total += total;
    }
    near(overall, all_kept / all_total, 1e-12);
}

static void a_mask_and_its_complement_keep_everything_between_them(void **state)
{
    rig   *r = *state;
    double a[HEADS];
    double b[HEADS];
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS, a, NULL), FIL_OK);
    fili_mask_complement(&r->mask);
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS, b, NULL), FIL_OK);
    for (int32_t h = 0; h < HEADS; h++)
        near(a[h] + b[h], 1.0, 1e-12);
}

static void full_is_one_and_empty_is_zero(void **state)
{
    rig   *r = *state;
    double recall[HEADS];
    double overall;
    fili_mask_fill(&r->mask);
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS, recall, &overall), FIL_OK);
    near(overall, 1.0, 0.0);
    fili_mask_clear(&r->mask);
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS, recall, &overall), FIL_OK);
    near(overall, 0.0, 0.0);
    near(recall[1], 0.0, 0.0);
}

static void a_head_without_mass_loses_nothing(void **state)
{
    rig   *r = *state;
    double recall[HEADS];
    memset(r->mass, 0, sizeof(float) * MQ * MK);
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS, recall, NULL), FIL_OK);
    near(recall[0], 1.0, 0.0);
    assert_true(recall[1] < 0.9);
}

static void a_nan_shows_in_its_head_and_overall(void **state)
{
    rig   *r = *state;
    double recall[HEADS];
    double overall;
    r->mass[MQ * MK + 1] = NAN; /* head 1, a block that is not kept */
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS, recall, &overall), FIL_OK);
    assert_true(isnan(recall[1]) && isnan(overall));
    assert_false(isnan(recall[0]) || isnan(recall[2]));
}

static void other_heads_are_refused(void **state)
{
    const rig *r = *state;
    double     recall[HEADS + 1];
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, 0, recall, NULL), FIL_E_ARG);
    fili_ctx_enter(r->ctx);
    assert_int_equal(fili_mask_recall(&r->mask, r->mass, HEADS - 1, recall, NULL), FIL_E_SHAPE);
}

/* One mask for all heads in a fixture, against the recalls its json states. */
static void check_fixture(fil_ctx *ctx, const char *masses, const char *group, const char *name)
{
    char         path[512];
    json_error_t error;
    fili_mask    mask;
    int64_t      n_words;
    int64_t      n_mass;
    double       recall[16];
    snprintf(path, sizeof path, "%s", fixture_path("methods/attention_a.safetensors"));
    uint32_t     *words = fixture_tensor(ctx, path, name, FIL_U32, &n_words);
    float        *mass  = fixture_tensor(ctx, path, masses, FIL_F32, &n_mass);
    json_t       *json  = json_load_file(fixture_path("methods/attention_a.json"), 0, &error);
    const json_t *heads = json_object_get(json, "heads");
    const json_t *row =
        json_object_get(json_object_get(json_object_get(json, group), name), "recall");
    const int32_t h = (int32_t)json_integer_value(heads);
    const int32_t m = (int32_t)lrint(sqrt((double)n_mass / h));
    assert_true(h >= 1 && h <= 16 && (int64_t)m * m * h == n_mass);
    assert_int_equal(json_array_size(row), h);
    assert_int_equal(fili_mask_init(&mask, ctx, 1, m, m), FIL_OK);
    assert_int_equal(n_words, (int64_t)m * mask.words);
    memcpy(mask.bits, words, (size_t)n_words * sizeof *words);
    assert_int_equal(fili_mask_check(&mask), FIL_OK);
    assert_int_equal(fili_mask_recall(&mask, mass, h, recall, NULL), FIL_OK);
    for (int32_t i = 0; i < h; i++)
        near(recall[i], json_number_value(json_array_get(row, (size_t)i)), 1e-6);
    fili_mask_fini(&mask);
    json_decref(json);
    free(mass);
    free(words);
}

static void recalls_equal_those_of_the_methods_fixtures(void **state)
{
    const rig *r = *state;
    if (fixture_path("methods") == NULL) skip();
    check_fixture(r->ctx, "mass_cubes", "sta", "sta_mask_1x1x1");
    check_fixture(r->ctx, "mass_cubes", "sta", "sta_mask_1x3x3");
    check_fixture(r->ctx, "mass_cubes", "sta", "sta_mask_3x3x3");
    check_fixture(r->ctx, "mass_raster", "radial", "radial_mask_64_half");
    check_fixture(r->ctx, "mass_raster", "radial", "radial_mask_128_any");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_the_kept_share_of_the_mass),
        TEST(a_mask_and_its_complement_keep_everything_between_them),
        TEST(full_is_one_and_empty_is_zero),
        TEST(a_head_without_mass_loses_nothing),
        TEST(a_nan_shows_in_its_head_and_overall),
        TEST(other_heads_are_refused),
        TEST(recalls_equal_those_of_the_methods_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
