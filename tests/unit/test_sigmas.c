/* tests/unit/test_sigmas.c: diffusion/sigmas.h: golden times of every grid, the levels that the
 * reference schedulers made, lists, and what is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diffusion/sigmas.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

static fil_ctx    *ctx;
static fili_sigmas grid;

static int set_up(void **state)
{
    (void)state;
    return fil_ctx_open(&ctx, NULL) == FIL_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    fil_ctx_close(&ctx);
    return 0;
}

static void make(const char *name, int32_t n, double shift)
{
    const int g = fili_sigma_grid_from_name(name);
    assert_true(g >= 0);
    assert_string_equal(fili_sigma_grid_name((fili_sigma_grid)g), name);
    assert_int_equal(fili_sigmas_of_grid(ctx, (fili_sigma_grid)g, n, shift, &grid), FIL_OK);
    assert_int_equal(grid.n_steps, n);
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, expected %.9g", got, want);
}

typedef struct golden {
    const char *name;
    int32_t     n;
    double      shift;
    double      first[6], last[4];
} golden;

static const golden goldens[] = {
    {"wan-unipc", 50, 5, {999, 995, 991, 987, 982, 978}, {302, 241, 172, 92}},
    {"wan-unipc", 50, 8, {999, 997, 994, 991, 989, 986}, {409, 337, 249, 140}},
    {"wan-unipc", 50, 3, {999, 992, 985, 978, 971, 963}, {206, 160, 111, 57}},
    {"wan-unipc", 40, 3, {999, 991, 982, 973, 963, 954}, {249, 195, 136, 71}},
    {"wan-unipc", 40, 5, {999, 994, 989, 983, 978, 972}, {356, 288, 208, 113}},
    {"wan-unipc", 40, 12, {999, 997, 995, 993, 990, 988}, {571, 492, 386, 235}},
    {"wan-unipc", 20, 5, {999, 989, 978, 965, 952, 937}, {555, 468, 356, 208}},
    {"wan-dpm", 50, 5, {1000, 995, 991, 987, 982, 978}, {303, 241, 172, 92}},
    {"diffusers-unipc", 50, 5, {999, 995, 991, 987, 982, 978}, {305, 244, 175, 96}},
    {"diffusers-unipc", 50, 3, {999, 993, 986, 979, 971, 964}, {208, 162, 113, 60}},
};

static void times_are_the_golden_ones(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof goldens / sizeof goldens[0]; g++) {
        const golden *w = &goldens[g];
        make(w->name, w->n, w->shift);
        for (int i = 0; i < 6; i++)
            near(grid.time[i], w->first[i], 0.0);
        for (int i = 0; i < 4; i++)
            near(grid.time[w->n - 4 + i], w->last[i], 0.0);
    }
}

static void the_euler_grid_of_diffusers_is_shifted_twice(void **state)
{
    static const double want[] = {1, .95266300, .88321251, .77143073, .56164986, .02441407, 0};
    (void)state;
    make("diffusers-euler", 6, 5);
    for (int i = 0; i <= 6; i++)
        near((double)grid.sigma[i], want[i], 1e-7);
    near(grid.time[1], 952.663, 1e-3);
}

static void the_discrete_grid_takes_entries_of_a_table_of_1000(void **state)
{
    (void)state;
    make("comfy-discrete", 4, 8); /* levels 1000, 750, 500, 250 of 1000 */
    for (int i = 0; i < 4; i++) {
        const double s = 1.0 - 0.25 * i;
        near((double)grid.sigma[i], 8 * s / (1 + 7 * s), 1e-7);
        near(grid.time[i], 8000 * s / (1 + 7 * s), 1e-3);
    }
    near((double)grid.sigma[4], 0, 0.0);
}

static void every_grid_falls_from_near_1_to_0_for_any_number_of_steps(void **state)
{
    (void)state;
    for (int g = 0; g < FILI_SIGMA_GRIDS; g++)
        for (int32_t n = 1; n <= FILI_MAX_STEPS; n = n * 3 / 2 + 1) {
            make(fili_sigma_grid_name((fili_sigma_grid)g), n, 5);
            assert_true(grid.sigma[0] > 0.999f);
            assert_true(grid.sigma[0] <= 1.0f);
            for (int32_t i = 0; i < n; i++)
                assert_true(grid.sigma[i + 1] < grid.sigma[i]);
            near((double)grid.sigma[n], 0, 0.0);
        }
}

static void levels_and_times_are_those_of_the_reference_schedulers(void **state)
{
    static const char *const solver[] = {"wan-unipc", "wan-dpm", "diffusers-unipc",
                                         "diffusers-euler"};
    static const int         steps[]  = {6, 20, 50};
    static const int         shifts[] = {3, 5, 8};
    const char              *path     = fixture_path("solvers/solvers.safetensors");
    char                     name[80];
    int64_t                  n;
    (void)state;
    if (path == NULL) skip();
    for (int k = 0; k < 36; k++) {
        const char *who = solver[k / 9];
        make(who, steps[k / 3 % 3], shifts[k % 3]);
        snprintf(name, sizeof name, "%s.n%d.s%d.sigmas", who, steps[k / 3 % 3], shifts[k % 3]);
        float *sigmas = fixture_tensor(ctx, path, name, FIL_F32, &n);
        for (int64_t i = 0; i < n; i++)
            near((double)grid.sigma[i], (double)sigmas[i], 1.2e-7);
        free(sigmas);
        snprintf(name, sizeof name, "%s.n%d.s%d.timesteps", who, steps[k / 3 % 3], shifts[k % 3]);
        const int whole = k / 9 < 3;
        void     *times = fixture_tensor(ctx, path, name, whole ? FIL_I64 : FIL_F32, &n);
        for (int64_t i = 0; i < n; i++)
            near(grid.time[i], whole ? (double)((int64_t *)times)[i] : (double)((float *)times)[i],
                 whole ? 0.0 : 1.3e-4);
        free(times);
    }
}

/* ---- lists ---------------------------------------------------------------------------------- */

static void a_list_of_times_gives_its_levels(void **state)
{
    static const double times[] = {1000, 937.5, 833.3, 625};
    (void)state;
    assert_int_equal(fili_sigmas_of_times(ctx, times, 4, &grid), FIL_OK);
    assert_int_equal(grid.n_steps, 4);
    for (int i = 0; i < 4; i++) {
        near((double)grid.sigma[i], times[i] / 1000, 6e-8);
        near(grid.time[i], times[i], 6e-5);
    }
    near((double)grid.sigma[4], 0, 0.0);
}

static void a_zero_at_the_end_of_a_list_is_no_step(void **state)
{
    static const double levels[] = {0.9, 0.5, 0};
    (void)state;
    assert_int_equal(fili_sigmas_of_levels(ctx, levels, 3, &grid), FIL_OK);
    assert_int_equal(grid.n_steps, 2);
    near(grid.time[0], 900, 1e-4);
    near((double)grid.sigma[2], 0, 0.0);
}

static void refused(fil_status status, const char *words)
{
    assert_int_equal(status, FIL_E_ARG);
    if (strstr(fil_ctx_error(ctx)->message, words) == NULL)
        fail_msg("'%s' says nothing of '%s'", fil_ctx_error(ctx)->message, words);
    fili_ctx_enter(ctx); /* the first failure of a call wins */
}

static void lists_that_do_not_fall_or_leave_the_range_are_refused(void **state)
{
    static const double rising[] = {500, 600};
    static const double equal[]  = {500, 500};
    static const double high[]   = {1000.5};
    static const double minus[]  = {900, -1};
    static const double nan_[]   = {(double)NAN};
    static const double zero[]   = {0};
    (void)state;
    refused(fili_sigmas_of_times(ctx, rising, 2, &grid), "falling");
    refused(fili_sigmas_of_times(ctx, equal, 2, &grid), "falling");
    refused(fili_sigmas_of_times(ctx, high, 1, &grid), "1000.5");
    refused(fili_sigmas_of_times(ctx, minus, 2, &grid), "-1");
    refused(fili_sigmas_of_times(ctx, nan_, 1, &grid), "nan");
    refused(fili_sigmas_of_times(ctx, zero, 1, &grid), "above 0");
    refused(fili_sigmas_of_times(ctx, NULL, 0, &grid), "found 0");
    refused(fili_sigmas_of_levels(ctx, rising, 2, &grid), "at most 1");
}

static void no_steps_too_many_and_shifts_that_are_none_are_refused(void **state)
{
    (void)state;
    refused(fili_sigmas_of_grid(ctx, FILI_SIGMA_GRID_WAN_UNIPC, 0, 5, &grid), "found 0");
    refused(fili_sigmas_of_grid(ctx, FILI_SIGMA_GRID_WAN_UNIPC, 1001, 5, &grid), "1001");
    refused(fili_sigmas_of_grid(ctx, FILI_SIGMA_GRID_WAN_UNIPC, 6, 0, &grid), "shift");
    refused(fili_sigmas_of_grid(ctx, FILI_SIGMA_GRID_WAN_UNIPC, 6, (double)NAN, &grid), "shift");
    assert_int_equal(fili_sigma_grid_from_name("wan"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_the_golden_ones),
        cmocka_unit_test(the_euler_grid_of_diffusers_is_shifted_twice),
        cmocka_unit_test(the_discrete_grid_takes_entries_of_a_table_of_1000),
        cmocka_unit_test(every_grid_falls_from_near_1_to_0_for_any_number_of_steps),
        cmocka_unit_test(levels_and_times_are_those_of_the_reference_schedulers),
        cmocka_unit_test(a_list_of_times_gives_its_levels),
        cmocka_unit_test(a_zero_at_the_end_of_a_list_is_no_step),
        cmocka_unit_test(lists_that_do_not_fall_or_leave_the_range_are_refused),
        cmocka_unit_test(no_steps_too_many_and_shifts_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
