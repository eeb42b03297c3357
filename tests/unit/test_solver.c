/* tests/unit/test_solver.c: diffusion/solver.h and guidance.h: a toy model in closed form, traces
 * of the reference schedulers, laws, and that a saved run goes on with the same bits.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diffusion/guidance.h"
#include "diffusion/noise.h"
#include "diffusion/solver.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

enum { N = 64 };

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
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
    return 0;
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, expected %.9g", got, want);
}

static void make(fili_solver *s, const char *sampler, const char *grid_name, int32_t n_steps,
                 double shift)
{
    fili_mt19937 rng;
    const int    which = fili_sampler_from_name(sampler);
    assert_true(which >= 0);
    assert_string_equal(fili_sampler_name((fili_sampler)which), sampler);
    fili_mt19937_seed(&rng, 3);
    assert_int_equal(fili_sigmas_of_grid(ctx, (fili_sigma_grid)fili_sigma_grid_from_name(grid_name),
                                         n_steps, shift, &grid),
                     FIL_OK);
    assert_int_equal(fili_solver_init(s, ctx, (fili_sampler)which, &grid, N, &rng), FIL_OK);
}

static void begin(float *x)
{
    assert_int_equal(fili_torch_randn(ctx, 1, x, N), FIL_OK);
}

/* v = 0.5 x + sigma */
static void step_linear(fili_solver *s, float *x)
{
    float v[N];
    for (int i = 0; i < N; i++)
        v[i] = 0.5f * x[i] + grid.sigma[s->state.step];
    assert_int_equal(fili_solver_step(s, v, x), FIL_OK);
}

static void six_steps_of_a_toy_model_are_the_golden_ones(void **state)
{
    static const struct {
        const char *sampler, *grid;
        double      x[6];
    } want[] = {
        {"unipc", "wan-unipc", {.94228254, .86859849, .77142994, .63588422, .4454065, .08442174}},
        {"dpmpp", "wan-dpm", {.94230769, .86716649, .76802815, .63075, .43820721, .07865541}},
        {"euler", "wan-unipc", {.94228254, .86711632, .76537921, .62061322, .40112969, .05120749}},
    };
    (void)state;
    for (size_t k = 0; k < sizeof want / sizeof want[0]; k++) {
        fili_solver s;
        float       x[N];
        for (int i = 0; i < N; i++)
            x[i] = 1.0f;
        make(&s, want[k].sampler, want[k].grid, 6, 5);
        for (int i = 0; i < 6; i++) {
            step_linear(&s, x);
            near((double)x[0], want[k].x[i], 1e-6);
        }
        fili_solver_fini(&s);
    }
}

/* ---- the reference schedulers --------------------------------------------------------------- */

static void trace(const char *path, const char *sampler, const char *who, int32_t n_steps,
                  int shift, double *worst)
{
    char        name[80];
    int64_t     n;
    fili_solver s;
    float       v[N];
    snprintf(name, sizeof name, "%s.n%d.s%d.x", who, (int)n_steps, shift);
    float *want = fixture_tensor(ctx, path, name, FIL_F32, &n);
    float *x    = fixture_tensor(ctx, path, "x", FIL_F32, &n);
    assert_int_equal(n, N);
    make(&s, sampler, who, n_steps, shift);
    for (int32_t i = 0; i < n_steps; i++) {
        for (int j = 0; j < N; j++)
            v[j] = 0.5f * x[j] + grid.sigma[i] + 0.1f * sinf(7.0f * x[j]);
        assert_int_equal(fili_solver_step(&s, v, x), FIL_OK);
        for (int j = 0; j < N; j++) {
            const double d = fabs((double)x[j] - (double)want[i * N + j]);
            if (!(d <= *worst)) *worst = d;
        }
    }
    fili_solver_fini(&s);
    free(want);
    free(x);
}

static void traces_are_those_of_the_reference_schedulers(void **state)
{
    static const char *const who[][2] = {{"unipc", "wan-unipc"},
                                         {"dpmpp", "wan-dpm"},
                                         {"unipc", "diffusers-unipc"},
                                         {"euler", "diffusers-euler"}};
    static const int         steps[]  = {6, 20, 50};
    static const int         shifts[] = {3, 5, 8};
    const char              *path     = fixture_path("solvers/solvers.safetensors");
    (void)state;
    if (path == NULL) skip();
    for (int w = 0; w < 4; w++) {
        double worst = 0.0;
        for (int k = 0; k < 9; k++)
            trace(path, who[w][0], who[w][1], steps[k / 3], shifts[k % 3], &worst);
        print_message("%s on %s: largest difference %.2g\n", who[w][0], who[w][1], worst);
        assert_true(worst <= 1e-5); /* a NaN would have raised it */
    }
}

/* ---- laws ----------------------------------------------------------------------------------- */

/* If the model knows x0, v = (x - x0) / sigma, and every solver ends there. */
static void the_end_is_x0_where_the_model_knows_it(void **state)
{
    static const char *const samplers[] = {"unipc", "dpmpp", "euler", "dmd"};
    (void)state;
    for (int k = 0; k < 4 * FILI_SIGMA_GRIDS; k++) {
        fili_solver s;
        float       x[N];
        float       v[N];
        float       x0[N];
        begin(x);
        assert_int_equal(fili_torch_randn(ctx, 2, x0, N), FIL_OK);
        make(&s, samplers[k % 4], fili_sigma_grid_name((fili_sigma_grid)(k / 4)), 7, 5);
        for (int i = 0; i < 7; i++) {
            for (int j = 0; j < N; j++)
                v[j] = (x[j] - x0[j]) / grid.sigma[i];
            assert_int_equal(fili_solver_step(&s, v, x), FIL_OK);
        }
        for (int j = 0; j < N; j++)
            near((double)x[j], (double)x0[j], 2e-5);
        fili_solver_fini(&s);
    }
}

/* Exact flow of v = 0.5 x + sigma, backwards in sigma from x = 1 at the top to 0. */
static double exact_end(double top)
{
    return (1.0 + 2.0 * top + 4.0) * exp(-0.5 * top) - 4.0;
}

static double error_of(const char *sampler, const char *grid_name, int32_t n)
{
    fili_solver s;
    float       x[N];
    for (int i = 0; i < N; i++)
        x[i] = 1.0f;
    make(&s, sampler, grid_name, n, 1);
    for (int i = 0; i < n; i++)
        step_linear(&s, x);
    fili_solver_fini(&s);
    return fabs((double)x[0] - exact_end((double)grid.sigma[0]));
}

static void more_steps_come_nearer_and_the_second_order_much_nearer(void **state)
{
    (void)state;
    const double euler = error_of("euler", "wan-unipc", 50);
    assert_true(euler < 0.6 * error_of("euler", "wan-unipc", 25));
    assert_true(error_of("unipc", "wan-unipc", 50) < 0.3 * euler);
    assert_true(error_of("dpmpp", "wan-dpm", 50) < 0.3 * euler);
}

static void a_start_at_sigma_1_is_finite_for_every_sampler(void **state)
{
    static const char *const samplers[] = {"unipc", "dpmpp", "euler", "dmd"};
    (void)state;
    for (int k = 0; k < 8; k++) {
        fili_solver s;
        float       x[N];
        begin(x);
        make(&s, samplers[k % 4], k < 4 ? "wan-dpm" : "diffusers-euler", k < 4 ? 1 : 5, 5);
        for (int i = 0; i < grid.n_steps; i++)
            step_linear(&s, x);
        assert_int_equal(fili_check_finite(ctx, "x", x, N), FIL_OK);
        fili_solver_fini(&s);
    }
}

/* ---- saving --------------------------------------------------------------------------------- */

static void a_saved_run_goes_on_with_the_same_bits(void **state)
{
    static const char *const samplers[] = {"unipc", "dpmpp", "euler", "dmd"};
    enum { STEPS = 6 };
    (void)state;
    for (int k = 0; k < 4 * (STEPS + 1); k++) {
        fili_solver a;
        fili_solver b;
        float       x[N];
        float       y[N];
        make(&a, samplers[k % 4], "wan-unipc", STEPS, 5);
        make(&b, samplers[k % 4], "wan-unipc", STEPS, 5);
        begin(x);
        for (int i = 0; i < k / 4; i++)
            step_linear(&a, x);
        memcpy(y, x, sizeof y);
        fili_solver_state saved = a.state; /* as a checkpoint would keep it */
        assert_int_equal(fili_solver_restore(&b, &saved, a.arrays), FIL_OK);
        for (int i = k / 4; i < STEPS; i++) {
            step_linear(&a, x);
            step_linear(&b, y);
        }
        assert_memory_equal(x, y, sizeof x);
        fili_solver_fini(&a);
        fili_solver_fini(&b);
    }
}

static void a_saved_state_of_another_run_is_refused(void **state)
{
    fili_solver s;
    (void)state;
    make(&s, "unipc", "wan-unipc", 6, 5);
    for (int k = 0; k < 6; k++) {
        fili_solver_state saved = s.state;
        if (k == 0) saved.sampler = FILI_SAMPLER_EULER;
        if (k == 1) saved.n_steps = 7;
        if (k == 2) saved.n = 2 * N;
        if (k == 3) saved.step = 7;
        if (k == 4) saved.last_order = 3;
        if (k == 5) saved.rng.next = 625;
        assert_int_equal(fili_solver_restore(&s, &saved, s.arrays), FIL_E_MISMATCH);
    }
    fili_solver_fini(&s);
}

static void a_step_too_many_is_refused(void **state)
{
    fili_solver s;
    float       x[N];
    (void)state;
    begin(x);
    make(&s, "euler", "wan-unipc", 1, 5);
    step_linear(&s, x);
    assert_int_equal(fili_solver_step(&s, x, x), FIL_E_ARG);
    fili_solver_fini(&s);
}

static void dmd_without_a_stream_of_noise_is_refused(void **state)
{
    fili_solver s;
    (void)state;
    assert_int_equal(fili_sigmas_of_grid(ctx, FILI_SIGMA_GRID_WAN_UNIPC, 3, 5, &grid), FIL_OK);
    assert_int_equal(fili_solver_init(&s, ctx, FILI_SAMPLER_DMD, &grid, N, NULL), FIL_E_ARG);
}

/* ---- guidance ------------------------------------------------------------------------------- */

static void guidance_goes_beyond_the_prompt_and_is_off_at_1(void **state)
{
    float       c[2] = {2.0f, -1.0f};
    const float u[2] = {1.0f, 3.0f};
    (void)state;
    fili_guide(c, u, 5.0, 2);
    near((double)c[0], 6.0, 0.0);
    near((double)c[1], -17.0, 0.0);
    assert_true(fili_guidance_is_off(1.0));
    assert_true(fili_guidance_is_off(0.0));
    assert_false(fili_guidance_is_off(1.01));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_steps_of_a_toy_model_are_the_golden_ones),
        cmocka_unit_test(traces_are_those_of_the_reference_schedulers),
        cmocka_unit_test(the_end_is_x0_where_the_model_knows_it),
        cmocka_unit_test(more_steps_come_nearer_and_the_second_order_much_nearer),
        cmocka_unit_test(a_start_at_sigma_1_is_finite_for_every_sampler),
        cmocka_unit_test(a_saved_run_goes_on_with_the_same_bits),
        cmocka_unit_test(a_saved_state_of_another_run_is_refused),
        cmocka_unit_test(a_step_too_many_is_refused),
        cmocka_unit_test(dmd_without_a_stream_of_noise_is_refused),
        cmocka_unit_test(guidance_goes_beyond_the_prompt_and_is_off_at_1),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
