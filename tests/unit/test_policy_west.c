/* tests/unit/test_policy_west.c: sparse/policy_west.c: masks and budgets from a topology, on its
 * own grid and on others, and what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/policy.h"
#include "sparse/topology.h"
#include "sparse/topology_transfer.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

enum { L = 3, S = 6, G = 3, H = 2, K = 16 };

typedef struct rig {
    fil_ctx           *ctx;
    scratch            dir;
    fili_topology_info info;
    fili_order         order;
    fili_blocks        blocks; /* of the maps */
    uint8_t           *map;    /* [L,G,1,H,M,M] */
    int32_t            group[S];
    float              sigmas[S + 1];
    float              density[L * S * H * K], fidelity[L * S * H * K], error[L * S * H * K];
    uint8_t            budget[L * S * H];
    fil_policy_options options;
    fili_policy_setup  setup;
    fili_policy       *policy;
} rig;

static const uint8_t *map_of(const rig *r, int32_t layer, int32_t step, int32_t head)
{
    const size_t mm = (size_t)r->info.m * (size_t)r->info.m;
    return r->map + (((size_t)layer * G + (size_t)r->group[step]) * H + (size_t)head) * mm;
}

static void draw_maps(rig *r)
{
    const size_t m = (size_t)r->info.m;
    const size_t n = (size_t)L * G * H * m * m;
    r->map         = malloc(n);
    assert_non_null(r->map);
    for (size_t i = 0; i < n; i++) {
        const double u = fili_philox_u32(9, 0, i) / 4294967296.0;
        r->map[i]      = (uint8_t)(pow(u, 0.5) * K);
    }
    for (size_t i = 0; i < n; i += m)
        r->map[i + (i / m) % m] = 0;
}

static void fill_profiles(rig *r)
{
    for (int32_t i = 0; i < L * S * H; i++) {
        double density[K];
        fili_profile_density(map_of(r, i / H / S, i / H % S, i % H), &r->blocks, K, density);
        for (int32_t k = 0; k < K; k++) {
            r->density[i * K + k]  = (float)density[k];
            r->fidelity[i * K + k] = sqrtf((float)density[k]);
            r->error[i * K + k]    = (1.0f + (float)(i % 5)) * (1.0f - (float)density[k]);
        }
        r->budget[i] = (uint8_t)(i % K);
    }
}

static void fill_info(rig *r, int32_t block)
{
    fili_order_spec spec;
    r->info = (fili_topology_info){.grid         = {4, 10, 17},
                                   .order        = "hilbert",
                                   .block        = block,
                                   .layers       = L,
                                   .steps        = S,
                                   .groups       = G,
                                   .passes       = 1,
                                   .heads        = H,
                                   .n_levels     = K,
                                   .map          = "union",
                                   .fidelity     = "renorm",
                                   .model_hash   = "abc",
                                   .prompts_hash = "def",
                                   .sampler      = "unipc",
                                   .sigma_grid   = "wan-unipc",
                                   .shift        = 5.0};
    assert_int_equal(fili_order_parse(r->ctx, r->info.order, &spec), FIL_OK);
    assert_int_equal(fili_order_init(&r->order, r->ctx, r->info.grid, &spec), FIL_OK);
    assert_int_equal(fili_topology_blocks(&r->blocks, &r->order, block), FIL_OK);
    r->info.m = r->blocks.m;
}

static void write_topology(rig *r)
{
    float levels[K];
    fili_levels_even(levels, K);
    for (int32_t s = 0; s < S; s++)
        r->group[s] = s / 2;
    for (int32_t s = 0; s <= S; s++)
        r->sigmas[s] = 1.0f - (float)s / (float)S;
    draw_maps(r);
    fill_profiles(r);
    const fili_topology_data data = {.map        = r->map,
                                     .levels     = levels,
                                     .step_group = r->group,
                                     .sigmas     = r->sigmas,
                                     .density    = r->density,
                                     .fidelity   = r->fidelity,
                                     .error      = r->error,
                                     .budget     = r->budget};
    assert_int_equal(
        fili_topology_write(r->ctx, scratch_path(&r->dir, "t.safetensors"), &r->info, &data, 1),
        FIL_OK);
}

static rig *make_rig(int32_t block)
{
    static char path[512];
    rig        *r = calloc(1, sizeof *r);
    assert_non_null(r);
    assert_int_equal(fil_ctx_open(&r->ctx, NULL), FIL_OK);
    scratch_make(&r->dir);
    fill_info(r, block);
    write_topology(r);
    fil_policy_options_init(&r->options);
    snprintf(path, sizeof path, "%s", scratch_path(&r->dir, "t.safetensors"));
    r->options.name     = "west";
    r->options.topology = path;
    r->setup            = (fili_policy_setup){.grid       = r->info.grid,
                                              .layers     = L,
                                              .steps      = S,
                                              .passes     = 2,
                                              .heads      = H,
                                              .head_dim   = 64,
                                              .dtype      = FIL_F32,
                                              .sigma      = r->sigmas,
                                              .model_hash = "abc",
                                              .sampler    = "unipc",
                                              .shift      = 5.0};
    return r;
}

static int set_up(void **state)
{
    *state = make_rig(64);
    return 0;
}

static int set_up_pairs(void **state)
{
    *state = make_rig(128);
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    fili_policy_close(&r->policy);
    fili_blocks_fini(&r->blocks);
    fili_order_fini(&r->order);
    scratch_remove(&r->dir);
    fil_ctx_close(&r->ctx);
    free(r->map);
    free(r);
    return 0;
}

static void open_it(rig *r)
{
    fili_policy_close(&r->policy);
    if (fili_policy_open(r->ctx, &r->options, &r->setup, &r->policy) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
}

static fili_policy_choice choose(rig *r, int32_t layer, int32_t step, int32_t pass)
{
    fili_policy_choice choice;
    fili_policy_call   call = {.layer    = layer,
                               .step     = step,
                               .pass     = pass,
                               .order    = &r->policy->order,
                               .blocks   = &r->policy->blocks,
                               .heads    = H,
                               .head_dim = 64,
                               .dtype    = FIL_F32,
                               .scale    = 0.125f};
    assert_int_equal(fili_policy_select(r->policy, &call, &choice), FIL_OK);
    return choice;
}

static void run_all(rig *r)
{
    for (int32_t s = 0; s < S; s++)
        for (int32_t pass = 0; pass < 2; pass++)
            for (int32_t l = 0; l < L; l++)
                (void)choose(r, l, s, pass);
}

static double run_density(rig *r)
{
    fili_policy_figures f;
    fili_policy_reset(r->policy);
    run_all(r);
    fili_policy_figures_get(r->policy, &f);
    assert_int_equal(f.calls, 2 * L * S);
    return f.density;
}

static void refused(rig *r, fil_status status, const char *text)
{
    assert_int_equal(fili_policy_open(r->ctx, &r->options, &r->setup, &r->policy), status);
    assert_null(r->policy);
    if (strstr(fil_ctx_error(r->ctx)->message, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, fil_ctx_error(r->ctx)->message);
    fili_ctx_enter(r->ctx);
}

/* ---- masks ---------------------------------------------------------------------------------- */

/* Blocks of the run under blocks of the map: 1 to 1, or 2 to 1. */
static void masks_are_the_blocks_up_to_the_budget(void **state)
{
    rig          *r   = *state;
    const int32_t per = r->info.block / 64;
    open_it(r);
    for (int32_t s = 0; s < S; s++)
        for (int32_t pass = 0; pass < 2; pass++)
            for (int32_t l = 0; l < L; l++) {
                const fili_policy_choice c = choose(r, l, s, pass);
                assert_non_null(c.mask);
                assert_int_equal(fili_mask_check(c.mask), FIL_OK);
                for (int32_t h = 0; h < H; h++) {
                    const uint8_t *map = map_of(r, l, s, h);
                    const uint8_t  b   = r->budget[(l * S + s) * H + h];
                    for (int32_t u = 0; u < c.mask->mq; u++)
                        for (int32_t v = 0; v < c.mask->mk; v++)
                            assert_int_equal(fili_mask_get(c.mask, h, u, v),
                                             map[u / per * r->info.m + v / per] <= b);
                }
            }
}

static void a_mask_is_made_once_for_equal_budgets_of_a_group(void **state)
{
    rig *r             = *state;
    r->options.density = 0.4;
    r->options.budgets = "fast";
    open_it(r);
    assert_true(choose(r, 1, 4, 0).refreshed);
    assert_false(choose(r, 1, 4, 1).refreshed);
    assert_false(choose(r, 1, 4, 0).refreshed);
    assert_true(choose(r, 2, 4, 0).refreshed);
    assert_false(choose(r, 1, 4, 0).refreshed);
}

static void the_order_of_calls_does_not_matter(void **state)
{
    rig      *r = *state;
    fili_mask kept;
    open_it(r);
    assert_int_equal(fili_mask_init(&kept, r->ctx, H, r->policy->blocks.m, r->policy->blocks.m),
                     FIL_OK);
    assert_int_equal(fili_mask_copy(&kept, choose(r, 2, 5, 1).mask), FIL_OK);
    run_all(r);
    assert_true(fili_mask_equal(&kept, choose(r, 2, 5, 1).mask));
    (void)choose(r, 2, 0, 0);
    assert_true(fili_mask_equal(&kept, choose(r, 2, 5, 1).mask));
    fili_mask_fini(&kept);
}

/* ---- budgets -------------------------------------------------------------------------------- */

static void the_counted_density_meets_the_wish(void **state)
{
    static const char *const ways[] = {"uniform", "fast", "error"};
    rig                     *r      = *state;
    for (int i = 0; i < 3; i++)
        for (double d = 0.3; d < 0.9; d += 0.2) {
            r->options.density = d;
            r->options.budgets = ways[i];
            open_it(r);
            const double got = run_density(r);
            assert_true(got <= d + 1e-6);
            assert_true(got >= d - 0.1);
            assert_true(fabs(got - fili_policy_target(r->policy)) <= 1e-6);
        }
}

static void density_one_is_dense(void **state)
{
    rig *r             = *state;
    r->options.density = 1.0;
    open_it(r);
    assert_null(choose(r, 1, 3, 0).mask);
    assert_true(run_density(r) == 1.0);
    assert_true(fili_policy_target(r->policy) == 1.0);
}

static void a_fidelity_is_met_from_above(void **state)
{
    rig *r              = *state;
    r->options.fidelity = 0.7;
    open_it(r);
    double sum = 0.0;
    for (int32_t s = 0; s < S; s++)
        for (int32_t l = 0; l < L; l++)
            sum += choose(r, l, s, 0).density;
    assert_true(sum / (S * L) < 1.0);
    char text[FILI_POLICY_TEXT];
    fili_policy_describe(r->policy, text);
    assert_non_null(strstr(text, "fast budgets"));
    assert_non_null(strstr(text, "fidelity 0.7"));
}

static void dense_steps_and_layers_count_in_the_density(void **state)
{
    rig *r                  = *state;
    r->options.density      = 0.6;
    r->options.dense_steps  = 1;
    r->options.dense_layers = "0";
    open_it(r);
    const double got = run_density(r);
    assert_true(got <= 0.6 + 1e-6);
    assert_null(choose(r, 0, 4, 0).mask);
    assert_null(choose(r, 2, 0, 0).mask);
    assert_non_null(choose(r, 2, 4, 0).mask);
    assert_true(fabs(got - fili_policy_target(r->policy)) <= 1e-6);
}

static void short_videos_run_dense(void **state)
{
    rig *r                = *state;
    r->options.density    = 0.3;
    r->options.min_tokens = 100000;
    open_it(r);
    assert_true(run_density(r) == 1.0);
}

static void one_call_alone_takes_the_level_of_its_density(void **state)
{
    static const char *const ways[] = {"uniform", "fast", "error"};
    rig                     *r      = *state;
    r->setup.single                 = 1;
    r->setup.layers                 = 2;
    r->setup.steps                  = 4;
    r->setup.passes                 = 1;
    r->options.density              = 0.5;
    for (int i = 0; i < 3; i++) {
        r->options.budgets = ways[i];
        open_it(r);
        const double got = choose(r, 1, 3, 0).density;
        assert_true(got <= 0.5 + 1e-6 && got > 0.2);
    }
    r->options.budgets = "uniform";
    open_it(r);
    const fili_policy_choice c = choose(r, 1, 3, 0);
    for (int32_t h = 0; h < 1; h++) { /* the next head takes what this one left */
        const float *d = r->density + ((1 * S + 3) * H + h) * K;
        uint64_t     kept[H];
        assert_int_equal(fili_mask_kept(c.mask, &r->policy->blocks, &r->policy->blocks, kept),
                         FIL_OK);
        const double n = r->order.n;
        const double w = (double)d[fili_level_for_density(d, K, 0.5)];
        assert_true(fabs((double)kept[h] / (n * n) - w) <= 1e-6);
    }
}

/* ---- other grids ---------------------------------------------------------------------------- */

static void on_another_grid_maps_are_moved_by_coordinates(void **state)
{
    rig        *r = *state;
    fili_cover  cover;
    fili_blocks target;
    r->setup.grid      = (fili_grid){6, 12, 20};
    r->options.density = 0.9; /* drawn maps have no shape, and what is moved keeps a lot */
    open_it(r);
    assert_int_equal(fili_topology_blocks(&target, &r->policy->order, r->info.block), FIL_OK);
    const fili_cover_side from = {.order = &r->order, .blocks = &r->blocks};
    const fili_cover_side to   = {.order = &r->policy->order, .blocks = &target};
    assert_int_equal(fili_cover_init(&cover, r->ctx, &from, &to), FIL_OK);
    uint8_t *moved = malloc((size_t)target.m * (size_t)target.m + (size_t)r->info.m);
    assert_non_null(moved);
    const fili_policy_choice c = choose(r, 1, 3, 0);
    for (int32_t h = 0; h < H && c.mask != NULL; h++) {
        double density[K];
        bool   found = false;
        fili_cover_apply(&cover, map_of(r, 1, 3, h), moved + (size_t)target.m * (size_t)target.m,
                         moved);
        fili_profile_density(moved, &target, K, density);
        uint64_t kept[H];
        assert_int_equal(fili_mask_kept(c.mask, &r->policy->blocks, &r->policy->blocks, kept),
                         FIL_OK);
        const double n = r->policy->order.n;
        for (int32_t k = 0; k < K; k++) /* one of its levels, exactly */
            found = found || fabs((double)kept[h] / (n * n) - density[k]) <= 1e-12;
        assert_true(found);
    }
    const double got = run_density(r);
    assert_true(got <= 0.9 + 1e-6);
    assert_true(got >= 0.75);
    free(moved);
    fili_cover_fini(&cover);
    fili_blocks_fini(&target);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void what_does_not_belong_here_is_refused_in_one_sentence(void **state)
{
    rig                     *r       = *state;
    const fili_policy_setup  setup   = r->setup;
    const fil_policy_options options = r->options;
#define REFUSED(place, value, status, text)                                                        \
    do {                                                                                           \
        r->place = (value);                                                                        \
        refused(r, status, text);                                                                  \
        r->setup   = setup;                                                                        \
        r->options = options;                                                                      \
    } while (0)
    REFUSED(setup.model_hash, "xyz", FIL_E_MISMATCH, "another model");
    REFUSED(setup.steps, 7, FIL_E_MISMATCH, "6 steps");
    REFUSED(setup.layers, 4, FIL_E_MISMATCH, "3 layers");
    REFUSED(setup.heads, 4, FIL_E_MISMATCH, "2 heads");
    REFUSED(setup.sampler, "euler", FIL_E_MISMATCH, "sampler");
    REFUSED(setup.shift, 3.0, FIL_E_MISMATCH, "shift");
    REFUSED(options.order, "raster", FIL_E_ARG, "order");
    REFUSED(options.block, 192 - r->info.block, FIL_E_ARG, "block");
    REFUSED(options.topology, NULL, FIL_E_ARG, "topology");
    REFUSED(options.topology, "/nowhere/t", FIL_E_IO, "/nowhere/t");
    REFUSED(options.budgets, "slow", FIL_E_ARG, "budgets");
    REFUSED(options.budgets, "error", FIL_E_ARG, "density or a fidelity");
    REFUSED(options.density, 1e-6, FIL_E_UNSUP, "out of reach");
    REFUSED(setup.grid.f, 0, FIL_E_ARG, "grid");
    REFUSED(options.density, 1.5, FIL_E_ARG, "density");
    REFUSED(options.density, (double)NAN, FIL_E_ARG, "density");
    REFUSED(options.density, 0.0, FIL_E_ARG, "density");
}

static void what_does_not_belong_here_runs_dense_where_that_is_allowed(void **state)
{
    rig *r              = *state;
    r->setup.model_hash = "xyz";
    r->options.fallback = 1;
    open_it(r);
    assert_string_equal(r->policy->ops->name, "dense");
}

int main(void)
{
#define TEST(name)  cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define PAIRS(name) cmocka_unit_test_setup_teardown(name, set_up_pairs, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(masks_are_the_blocks_up_to_the_budget),
        PAIRS(masks_are_the_blocks_up_to_the_budget),
        TEST(a_mask_is_made_once_for_equal_budgets_of_a_group),
        TEST(the_order_of_calls_does_not_matter),
        TEST(the_counted_density_meets_the_wish),
        PAIRS(the_counted_density_meets_the_wish),
        TEST(density_one_is_dense),
        TEST(a_fidelity_is_met_from_above),
        TEST(dense_steps_and_layers_count_in_the_density),
        TEST(short_videos_run_dense),
        TEST(one_call_alone_takes_the_level_of_its_density),
        PAIRS(one_call_alone_takes_the_level_of_its_density),
        TEST(on_another_grid_maps_are_moved_by_coordinates),
        PAIRS(on_another_grid_maps_are_moved_by_coordinates),
        TEST(what_does_not_belong_here_is_refused_in_one_sentence),
        PAIRS(what_does_not_belong_here_is_refused_in_one_sentence),
        TEST(what_does_not_belong_here_runs_dense_where_that_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
