/* tests/unit/test_fast_budgets.c: sparse/fast_budgets.h: profiles, the target, budgets; laws, and
 * what the methods' fixtures state. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/fast_budgets.h"
#include "sparse/west_map.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

enum { LAYERS = 3, STEPS = 5, PASSES = 2, HEADS = 4, LEVELS = 16 };
enum { MAPS = LAYERS * STEPS * PASSES * HEADS };

/* A made profile: density rises to 1, fidelity and error are convex or concave in it, per map. */
typedef struct rig {
    fil_ctx     *ctx;
    float        density[MAPS * LEVELS], fidelity[MAPS * LEVELS], error[MAPS * LEVELS];
    fili_profile profile;
    uint8_t      budget[MAPS];
} rig;

static int set_up(void **state)
{
    rig  *r = calloc(1, sizeof *r);
    float u[MAPS * 2];
    assert_non_null(r);
    assert_int_equal(fil_ctx_open(&r->ctx, NULL), FIL_OK);
    fili_philox_uniform(3, 0, 0, u, MAPS * 2);
    for (int32_t i = 0; i < MAPS; i++)
        for (int32_t p = 0; p < LEVELS; p++) {
            const float level           = (float)(p + 1) / (float)LEVELS;
            const float d               = powf(level, 1.0f + 3.0f * u[2 * i]);
            r->density[i * LEVELS + p]  = d;
            r->fidelity[i * LEVELS + p] = sqrtf(level);
            r->error[i * LEVELS + p]    = (0.1f + u[2 * i + 1]) * (1.0f - d) * (1.0f - d);
        }
    r->profile = (fili_profile){.layers   = LAYERS,
                                .steps    = STEPS,
                                .passes   = PASSES,
                                .heads    = HEADS,
                                .levels   = LEVELS,
                                .density  = r->density,
                                .fidelity = r->fidelity,
                                .error    = r->error};
    *state     = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    fil_ctx_close(&r->ctx);
    free(r);
    return 0;
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.12g, expected %.12g", got, want);
}

static fili_budgets_result find(rig *r, fili_budgets_kind kind, double density, double fidelity)
{
    fili_budgets_wish   wish;
    fili_budgets_result result;
    fili_budgets_wish_init(&wish);
    wish.kind     = kind;
    wish.density  = density;
    wish.fidelity = fidelity;
    assert_int_equal(fili_budgets_find(r->ctx, &r->profile, &wish, r->budget, &result), FIL_OK);
    near(result.density, fili_budgets_density(&r->profile, r->budget), 0.0);
    return result;
}

/* ---- laws ----------------------------------------------------------------------------------- */

static void every_way_meets_a_density_from_below(void **state)
{
    rig *r = *state;
    for (int kind = 0; kind < 3; kind++)
        for (double d = 0.2; d < 0.95; d += 0.1) {
            const fili_budgets_result got = find(r, (fili_budgets_kind)kind, d, 0.0);
            assert_true(got.reachable);
            assert_true(got.density <= d + 1e-9);
            /* fast moves all heads of a diagonal at once: a coarse step in so small a run */
            assert_true(got.density >= d - (kind == FILI_BUDGETS_FAST ? 0.08 : 0.02));
        }
}

static void density_one_is_dense_by_every_way(void **state)
{
    rig *r = *state;
    for (int kind = 0; kind < 3; kind++) {
        const fili_budgets_result got = find(r, (fili_budgets_kind)kind, 1.0, 0.0);
        near(got.density, 1.0, 0.0);
        assert_true(got.reachable);
        for (int32_t i = 0; i < MAPS; i++)
            assert_int_equal(r->budget[i], LEVELS - 1);
    }
}

static void every_way_meets_a_fidelity_from_above(void **state)
{
    rig *r = *state;
    for (int kind = 0; kind < 3; kind++) {
        const fili_budgets_result got = find(r, (fili_budgets_kind)kind, 0.0, 0.8);
        assert_true(got.reachable);
        assert_true(got.fidelity >= 0.8);
        assert_true(got.density < 1.0);
    }
}

static void a_density_below_the_sparsest_is_said_to_be_unreachable(void **state)
{
    rig *r = *state;
    for (int32_t i = 0; i < MAPS; i++)
        r->density[i * LEVELS] = 0.15f;
    for (int32_t i = 0; i < MAPS; i++)
        for (int32_t p = 1; p < LEVELS; p++)
            r->density[i * LEVELS + p] = fmaxf(r->density[i * LEVELS + p], 0.15f);
    for (int kind = 0; kind < 3; kind++) {
        const fili_budgets_result got = find(r, (fili_budgets_kind)kind, 0.1, 0.0);
        assert_false(got.reachable);
        assert_true(got.density >= 0.149);
    }
}

static void gamma_is_raised_only_where_it_may_be(void **state)
{
    rig                *r = *state;
    fili_budgets_wish   wish;
    fili_budgets_result result;
    fili_budgets_wish_init(&wish);
    wish.density   = 0.1;
    wish.gamma     = 1.0;
    wish.gamma_max = 1.0;
    assert_int_equal(fili_budgets_find(r->ctx, &r->profile, &wish, r->budget, &result), FIL_OK);
    assert_false(result.reachable);
    near(result.surface.beta, 1.0, 0.0);
    near(result.surface.gamma, 1.0, 0.0);
    wish.gamma_max = 256.0;
    assert_int_equal(fili_budgets_find(r->ctx, &r->profile, &wish, r->budget, &result), FIL_OK);
    assert_true(result.reachable);
    assert_true(result.surface.gamma > 1.0);
}

static double error_of(const rig *r)
{
    double sum = 0.0;
    for (int32_t i = 0; i < MAPS; i++)
        sum += (double)r->error[i * LEVELS + r->budget[i]];
    return sum;
}

static void budgets_by_error_leave_less_error_than_uniform_ones(void **state)
{
    rig *r = *state;
    for (double d = 0.2; d < 0.9; d += 0.2) {
        (void)find(r, FILI_BUDGETS_UNIFORM, d, 0.0);
        const double uniform = error_of(r);
        (void)find(r, FILI_BUDGETS_ERROR, d, 0.0);
        assert_true(error_of(r) < uniform);
    }
}

static void the_first_layer_of_the_first_step_is_dense_under_fast(void **state)
{
    rig               *r = *state;
    const fili_surface s = {.beta = 0.9, .gamma = 3.0, .omega = 0.5};
    fili_budgets_at(&r->profile, &s, r->budget);
    for (int32_t i = 0; i < PASSES * HEADS; i++)
        assert_int_equal(r->budget[i], LEVELS - 1);
    near(fili_surface_at(&s, 0, LAYERS, 0, STEPS), 1.0, 1e-15);
    near(fili_surface_at(&s, 2, 3, 5, 5), 0.9 * pow(1.0 - 4.5 / 5.5, 3.0) + 0.1, 1e-15);
}

static void wishes_outside_their_range_are_refused_in_one_sentence(void **state)
{
    rig                *r = *state;
    fili_budgets_result result;
    const struct bad {
        double density, fidelity;
        bool   has_error;
    } bad[] = {{1.5, 0.0, true},         {-0.1, 0.0, true}, {(double)NAN, 0.0, true},
               {0.0, 0.0, true},         {0.5, 0.5, true},  {0.0, 1.1, true},
               {0.0, (double)NAN, true}, {0.5, 0.0, false}, {(double)INFINITY, 0, true}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fili_budgets_wish wish;
        fili_budgets_wish_init(&wish);
        wish.kind        = FILI_BUDGETS_ERROR;
        wish.density     = bad[i].density;
        wish.fidelity    = bad[i].fidelity;
        r->profile.error = bad[i].has_error ? r->error : NULL;
        assert_int_equal(fili_budgets_find(r->ctx, &r->profile, &wish, r->budget, &result),
                         FIL_E_ARG);
    }
}

static void names_are_known(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        assert_int_equal(fili_budgets_from_name(fili_budgets_name((fili_budgets_kind)kind)), kind);
    assert_int_equal(fili_budgets_from_name("fastest"), -1);
}

/* ---- fixtures ------------------------------------------------------------------------------- */

typedef struct west {
    char         path[512];
    int32_t      layers, steps, heads, m;
    int32_t      levels;
    uint8_t     *tmap;
    float       *row_mass;
    int32_t     *row_block;
    int32_t      n_rows;
    fili_blocks  blocks;
    double      *density, *renorm, *raw; /* expected */
    float       *f_density, *f_fidelity; /* ours */
    uint8_t     *budget;
    json_t      *json;
    fili_profile profile;
} west;

static int32_t json_int(const json_t *json, const char *key)
{
    return (int32_t)json_integer_value(json_object_get(json, key));
}

static void open_west(rig *r, west *w)
{
    int64_t      n;
    int32_t      count;
    json_error_t error;
    w->json   = json_load_file(fixture_path("methods/westfast.json"), 0, &error);
    w->layers = json_int(w->json, "layers");
    w->steps  = json_int(w->json, "steps");
    w->heads  = json_int(w->json, "heads");
    w->m      = json_int(w->json, "blocks");
    snprintf(w->path, sizeof w->path, "%s", fixture_path("methods/westfast.safetensors"));
    double *levels = fixture_tensor(r->ctx, w->path, "levels", FIL_F64, &n);
    w->levels      = (int32_t)n;
    free(levels);
    w->tmap         = fixture_tensor(r->ctx, w->path, "tmap", FIL_U8, &n);
    w->row_mass     = fixture_tensor(r->ctx, w->path, "row_mass", FIL_F32, &n);
    w->row_block    = fixture_i32(r->ctx, w->path, "row_block", &w->n_rows);
    w->density      = fixture_tensor(r->ctx, w->path, "profile_density", FIL_F64, &n);
    w->renorm       = fixture_tensor(r->ctx, w->path, "profile_fidelity_renorm", FIL_F64, &n);
    w->raw          = fixture_tensor(r->ctx, w->path, "profile_fidelity_raw", FIL_F64, &n);
    int32_t *offset = fixture_i32(r->ctx, w->path, "offset", &count);
    assert_int_equal(
        fili_blocks_from_offsets(&w->blocks, r->ctx, offset, count - 1, offset[count - 1]), FIL_OK);
    free(offset);
    w->f_density  = calloc((size_t)n, sizeof *w->f_density);
    w->f_fidelity = calloc((size_t)n, sizeof *w->f_fidelity);
    w->budget     = calloc((size_t)n, 1);
    w->profile    = (fili_profile){.layers   = w->layers,
                                   .steps    = w->steps,
                                   .passes   = 1,
                                   .heads    = w->heads,
                                   .levels   = w->levels,
                                   .density  = w->f_density,
                                   .fidelity = w->f_fidelity};
}

static void close_west(west *w)
{
    json_decref(w->json);
    free(w->tmap);
    free(w->row_mass);
    free(w->row_block);
    free(w->density);
    free(w->renorm);
    free(w->raw);
    free(w->f_density);
    free(w->f_fidelity);
    free(w->budget);
    fili_blocks_fini(&w->blocks);
}

static int32_t maps_of(const west *w)
{
    return w->layers * w->steps * w->heads;
}

/* Our profiles into w, checked against the expected ones. */
static void profile_west(west *w, fili_fidelity kind)
{
    const double *want = kind == FILI_FIDELITY_RENORM ? w->renorm : w->raw;
    for (int32_t i = 0; i < maps_of(w); i++) {
        double                density[FILI_LEVELS_MOST];
        double                fidelity[FILI_LEVELS_MOST];
        const uint8_t        *map  = w->tmap + (size_t)i * (size_t)w->m * (size_t)w->m;
        const fili_row_masses rows = {.mass = w->row_mass +
                                              (size_t)i * (size_t)w->n_rows * (size_t)w->m,
                                      .block = w->row_block,
                                      .n     = w->n_rows};
        fili_profile_density(map, &w->blocks, w->levels, density);
        fili_profile_fidelity(map, w->m, &rows, kind, w->levels, fidelity);
        for (int32_t p = 0; p < w->levels; p++) {
            const int32_t at = i * w->levels + p;
            near(density[p], w->density[at], 1e-6);
            near(fidelity[p], want[at], want[at] < 0.99 ? 1e-6 : 5e-4);
            w->f_density[at]  = (float)density[p];
            w->f_fidelity[at] = (float)fidelity[p];
        }
    }
}

static int32_t level_in(const json_t *levels, int32_t layer, int32_t step, int32_t head)
{
    const json_t *l = json_array_get(levels, (size_t)layer);
    const json_t *s = json_array_get(l, (size_t)step);
    return (int32_t)json_integer_value(json_array_get(s, (size_t)head));
}

static void same_masks(const west *w, const json_t *levels)
{
    for (int32_t i = 0; i < maps_of(w); i++) {
        const uint8_t *map = w->tmap + (size_t)i * (size_t)w->m * (size_t)w->m;
        const int32_t  want =
            level_in(levels, i / w->heads / w->steps, i / w->heads % w->steps, i % w->heads);
        for (int32_t b = 0; b < w->m * w->m; b++)
            assert_int_equal(map[b] <= w->budget[i], map[b] <= want);
    }
}

static void profiles_and_fixed_budgets_are_those_of_the_fixture(void **state)
{
    rig        *r = *state;
    west        w = {.layers = 0};
    const char *key;
    json_t     *entry;
    if (fixture_path("") == NULL) skip();
    open_west(r, &w);
    json_object_foreach(json_object_get(w.json, "fixed"), key, entry)
    {
        const fili_surface s = {.beta  = json_number_value(json_object_get(entry, "beta")),
                                .gamma = json_number_value(json_object_get(entry, "gamma")),
                                .omega = json_number_value(json_object_get(entry, "omega"))};
        profile_west(&w, strncmp(key, "raw", 3) == 0 ? FILI_FIDELITY_RAW : FILI_FIDELITY_RENORM);
        fili_budgets_at(&w.profile, &s, w.budget);
        same_masks(&w, json_object_get(entry, "levels"));
        near(fili_budgets_density(&w.profile, w.budget),
             json_number_value(json_object_get(entry, "density")), 1e-6);
    }
    close_west(&w);
}

static void the_target_is_that_of_the_fixture(void **state)
{
    rig               *r = *state;
    west               w = {.layers = 0};
    const fili_surface s = {.beta = 0.5, .gamma = 2.0, .omega = 1.0};
    int64_t            n;
    if (fixture_path("") == NULL) skip();
    open_west(r, &w);
    double *target = fixture_tensor(r->ctx, w.path, "target_beta0.5", FIL_F64, &n);
    for (int32_t i = 0; i < (int32_t)n; i++)
        near(fili_surface_at(&s, i / w.steps, w.layers, i % w.steps, w.steps), target[i], 1e-12);
    free(target);
    close_west(&w);
}

static void searches_end_where_the_fixture_says(void **state)
{
    rig        *r = *state;
    west        w = {.layers = 0};
    const char *key;
    json_t     *entry;
    if (fixture_path("") == NULL) skip();
    open_west(r, &w);
    json_object_foreach(json_object_get(w.json, "search"), key, entry)
    {
        fili_budgets_wish   wish;
        fili_budgets_result got;
        const bool          raw = strstr(key, "_raw_") != NULL;
        fili_budgets_wish_init(&wish);
        wish.density   = json_number_value(json_object_get(entry, "target"));
        wish.gamma     = json_number_value(json_object_get(entry, "gamma"));
        wish.gamma_max = wish.gamma;
        profile_west(&w, raw ? FILI_FIDELITY_RAW : FILI_FIDELITY_RENORM);
        assert_int_equal(fili_budgets_find(r->ctx, &w.profile, &wish, w.budget, &got), FIL_OK);
        assert_int_equal(got.reachable, json_is_true(json_object_get(entry, "reachable")));
        if (got.reachable) {
            assert_true(got.density >= wish.density - 0.02);
            assert_true(got.density <= wish.density + 0.005);
        }
        near(got.density, json_number_value(json_object_get(entry, "density")), 0.005);
    }
    close_west(&w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_way_meets_a_density_from_below),
        TEST(density_one_is_dense_by_every_way),
        TEST(every_way_meets_a_fidelity_from_above),
        TEST(a_density_below_the_sparsest_is_said_to_be_unreachable),
        TEST(gamma_is_raised_only_where_it_may_be),
        TEST(budgets_by_error_leave_less_error_than_uniform_ones),
        TEST(the_first_layer_of_the_first_step_is_dense_under_fast),
        TEST(wishes_outside_their_range_are_refused_in_one_sentence),
        TEST(names_are_known),
        TEST(profiles_and_fixed_budgets_are_those_of_the_fixture),
        TEST(the_target_is_that_of_the_fixture),
        TEST(searches_end_where_the_fixture_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
