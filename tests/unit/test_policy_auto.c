/* tests/unit/test_policy_auto.c: the policy auto (sparse/policy_auto.c): what it leaves beside the
 * best of the others at the same density, what it counts, when it chooses anew, what it refuses.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/probe.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"
#include "support/policy_rig.h"
#include "support/sanitized.h"

static void start_rig(policy_rig *r, fili_grid grid, int32_t heads, int32_t head_dim,
                      int32_t threads)
{
    const fili_policy_setup s = {.grid     = grid,
                                 .layers   = 2,
                                 .steps    = 10,
                                 .passes   = 2,
                                 .heads    = heads,
                                 .head_dim = head_dim,
                                 .dtype    = FIL_F32};
    policy_rig_start(r, "auto", &s, threads);
    r->o.density = 0.2;
    for (int64_t i = 0; i < r->n; i++) /* keys draw some queries more than others */
        r->x[0][i] = 1.5f * r->x[0][i] + r->x[1][i];
}

/* ---- against the others --------------------------------------------------------------------- */

static char path_of_tensors[512];

static fil_probe_figures probe(const char *name, int32_t block, double density)
{
    fil_ctx           *ctx = NULL;
    fil_policy_options policy;
    fil_probe_options  o;
    fil_probe_result   r;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    fil_policy_options_init(&policy);
    policy.name    = name;
    policy.block   = block;
    policy.density = density;
    fil_probe_options_init(&o);
    o.qkv         = path_of_tensors;
    o.policy      = &policy;
    o.repetitions = 1;
    if (fil_probe(ctx, &o, &r, NULL, 0) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    fil_ctx_close(&ctx);
    return r.all;
}

/* Error of another policy at that density exactly: between two that enclose it, straight. */
static double error_at(const char *name, int32_t block, double density)
{
    double            ask  = density;
    fil_probe_figures low  = probe(name, block, ask);
    fil_probe_figures high = low;
    while (low.density > density && ask > 0.25 * density)
        low = probe(name, block, ask *= 0.9);
    ask = density;
    while (high.density < density && ask < 1.0)
        high = probe(name, block, ask = fmin(1.1 * ask, 1.0));
    if (!(high.density > low.density)) return low.rel_l2;
    const double t = (density - low.density) / (high.density - low.density);
    return low.rel_l2 + fmin(fmax(t, 0.0), 1.0) * (high.rel_l2 - low.rel_l2);
}

static void check_ratio(const char *fixture, double most)
{
    if (SANITIZED || fixture_path(fixture) == NULL) skip();
    snprintf(path_of_tensors, sizeof path_of_tensors, "%s", fixture_path(fixture));
    for (int percent = 10; percent <= 20; percent += 10) {
        const fil_probe_figures got = probe("auto", FIL_AUTO, percent / 100.0);
        const double            other =
            fmin(fmin(error_at("dfs", 64, got.density), error_at("dfs", 128, got.density)),
                 fmin(error_at("vsa", FIL_AUTO, got.density),
                      error_at("window", FIL_AUTO, got.density)));
        print_message("%s at %d %%: %.4f, the best other %.4f: %.3f of it\n", fixture, percent,
                      got.rel_l2, other, got.rel_l2 / other);
        if (!(got.density <= percent / 100.0)) fail_msg("density %g", got.density);
        if (!(got.rel_l2 <= most * other)) fail_msg("expected at most %g of it", most);
    }
}

static void sharp_heads_and_sinks_leave_a_third_of_the_best_other(void **state)
{
    (void)state;
    check_ratio("methods/attention_b.safetensors", 0.35);
}

static void heads_of_four_kinds_leave_two_thirds_of_the_best_other(void **state)
{
    (void)state;
    check_ratio("methods/attention_a.safetensors", 0.65);
}

static void trained_attention_leaves_four_fifths_of_the_best_other(void **state)
{
    (void)state;
    check_ratio("shapes/captures/p0_l1_s4.safetensors", 0.80);
    check_ratio("shapes/captures/p0_l3_s15.safetensors", 0.80);
}

/* ---- density -------------------------------------------------------------------------------- */

static void the_density_counted_is_at_most_the_one_asked_for(void **state)
{
    static const double    density[] = {0.02, 0.1, 0.35, 0.9};
    static const fili_grid grid[]    = {{5, 7, 9}, {4, 8, 8}, {3, 5, 31}};
    (void)state;
    for (int g = 0; g < 3; g++)
        for (int i = 0; i < 4; i++) {
            policy_rig r;
            start_rig(&r, grid[g], 1 + g, g == 1 ? 128 : 64, 2);
            r.s.single  = 1;
            r.s.passes  = 1;
            r.o.density = density[i];
            policy_rig_open(&r);
            policy_rig_ask(&r, 0, 0, 0);
            assert_non_null(r.choice.mask);
            assert_int_equal(fili_mask_check(r.choice.mask), FIL_OK);
            if (!(r.choice.density <= density[i]))
                fail_msg("asked %g, counted %g", density[i], r.choice.density);
            /* Not much is left over: less than a block a head. */
            const double block = 64.0 * 64.0 * r.s.heads * r.s.head_dim * r.s.head_dim;
            if (!(density[i] - r.choice.density < block * r.s.heads / ((double)r.n * (double)r.n)))
                fail_msg("asked %g, counted only %g", density[i], r.choice.density);
            policy_rig_end(&r);
        }
}

static void without_a_tail_and_sinks_no_row_is_empty(void **state)
{
    int32_t    count[40];
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){4, 12, 16}, 2, 64, 1); /* 12 blocks */
    r.s.single  = 1;
    r.s.passes  = 1;
    r.o.tail    = 0;
    r.o.density = 0.01;
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_int_equal(r.choice.wants_tail, 0);
    assert_null(r.choice.tail_factor);
    fili_mask_counts(r.choice.mask, count);
    for (int32_t i = 0; r.choice.n_sinks == 0 && i < 2 * r.choice.mask->mq; i++)
        assert_true(count[i] >= 1);
    policy_rig_end(&r);
}

static void one_block_runs_dense(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){2, 3, 4}, 1, 64, 1);
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_null(r.choice.mask);
    policy_rig_end(&r);
}

static void density_falls_over_the_steps_to_the_mean_asked_for(void **state)
{
    policy_rig r;
    double     sum = 0.0;
    (void)state;
    start_rig(&r, (fili_grid){5, 8, 16}, 1, 64, 1);
    policy_rig_open(&r);
    for (int32_t i = 0; i < 10; i++)
        sum += r.p->density[i];
    assert_true(fabs(sum / 10.0 - 0.2) < 1e-6);
    assert_true(r.p->density[0] == r.p->density[1] && r.p->density[1] > r.p->density[2]);
    assert_true(fabs(r.p->density[0] / r.p->density[9] - 7.0 / 3.0) < 1e-6);
    policy_rig_end(&r);
}

/* ---- sameness ------------------------------------------------------------------------------- */

static void the_same_bits_for_one_two_and_three_threads(void **state)
{
    policy_rig first;
    (void)state;
    start_rig(&first, (fili_grid){5, 12, 14}, 3, 64, 1);
    policy_rig_open(&first);
    policy_rig_ask(&first, 0, 0, 0);
    for (int32_t threads = 2; threads <= 3; threads++) {
        policy_rig r;
        start_rig(&r, first.s.grid, 3, 64, threads);
        policy_rig_open(&r);
        policy_rig_ask(&r, 0, 0, 0);
        assert_true(fili_mask_equal(first.choice.mask, r.choice.mask));
        assert_int_equal(first.choice.n_sinks, r.choice.n_sinks);
        assert_memory_equal(first.choice.tail_factor, r.choice.tail_factor, 3 * sizeof(float));
        for (int32_t h = 0; h < 3 && r.choice.n_sinks > 0; h++)
            assert_memory_equal(first.choice.sinks + h * first.choice.sinks_stride_h,
                                r.choice.sinks + h * r.choice.sinks_stride_h,
                                (size_t)r.choice.n_sinks * sizeof(int32_t));
        policy_rig_end(&r);
    }
    policy_rig_end(&first);
}

static void a_policy_with_loaded_state_goes_on_the_same(void **state)
{
    policy_rig a;
    policy_rig b;
    (void)state;
    start_rig(&a, (fili_grid){5, 12, 14}, 2, 64, 2);
    start_rig(&b, a.s.grid, 2, 64, 1);
    policy_rig_open(&a);
    policy_rig_open(&b);
    policy_rig_ask(&a, 0, 0, 0);
    const size_t bytes = fili_policy_state_bytes(a.p);
    void        *saved = malloc(bytes);
    assert_non_null(saved);
    fili_policy_state_save(a.p, saved);
    assert_int_equal(fili_policy_state_load(b.p, saved, bytes), FIL_OK);
    policy_rig_ask(&a, 0, 1, 0);
    policy_rig_ask(&b, 0, 1, 0);
    assert_int_equal(b.choice.refreshed, 0);
    assert_true(fili_mask_equal(a.choice.mask, b.choice.mask));
    assert_int_equal(a.choice.n_sinks, b.choice.n_sinks);
    assert_memory_equal(a.choice.tail_factor, b.choice.tail_factor, 2 * sizeof(float));
    free(saved);
    policy_rig_end(&a);
    policy_rig_end(&b);
}

static void state_with_impossible_factors_is_refused(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 12, 14}, 2, 64, 1);
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    for (int32_t i = 0; i < r.p->n_pieces; i++)
        if (strcmp(r.p->piece[i].name, "auto factors") == 0)
            memset(r.p->piece[i].data, 0xFF, r.p->piece[i].bytes);
    policy_rig_call(&r, 0, 1, 0);
    assert_int_equal(fili_policy_select(r.p, &r.call, &r.choice), FIL_E_FORMAT);
    policy_rig_end(&r);
}

/* ---- when ----------------------------------------------------------------------------------- */

static void scale_queries(policy_rig *r, float factor)
{
    for (int64_t i = 0; i < r->n; i++)
        r->x[0][i] *= factor;
}

static void a_new_choice_is_made_when_queries_have_moved(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 8, 16}, 1, 64, 1);
    r.s.steps = 50; /* ten of one density */
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_int_equal(r.choice.refreshed, 1);
    policy_rig_ask(&r, 0, 1, 0);
    assert_int_equal(r.choice.refreshed, 0);
    scale_queries(&r, 1.1f);
    policy_rig_ask(&r, 0, 2, 0);
    assert_int_equal(r.choice.refreshed, 0);
    scale_queries(&r, 1.5f);
    policy_rig_ask(&r, 0, 3, 0);
    assert_int_equal(r.choice.refreshed, 1);
    r.o.refresh = 2;
    policy_rig_open(&r);
    for (int32_t i = 0; i < 4; i++) {
        policy_rig_ask(&r, 0, i, 0);
        assert_int_equal(r.choice.refreshed, i % 2 == 0);
    }
    policy_rig_end(&r);
}

static void
the_second_pass_uses_the_first_ones_choice_and_never_makes_another_in_its_step(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 8, 16}, 1, 64, 1);
    r.s.steps = 50;
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    const uint32_t *bits = r.choice.mask->bits;
    policy_rig_ask(&r, 0, 0, 1);
    assert_int_equal(r.choice.refreshed, 0);
    assert_ptr_equal(r.choice.mask->bits, bits);
    scale_queries(&r, 2.0f); /* now the passes differ */
    policy_rig_ask(&r, 0, 0, 1);
    assert_int_equal(r.choice.refreshed, 0);
    policy_rig_ask(&r, 0, 1, 1);
    assert_int_equal(r.choice.refreshed, 1);
    assert_ptr_not_equal(r.choice.mask->bits, bits);
    policy_rig_end(&r);
}

/* ---- what is odd ---------------------------------------------------------------------------- */

static void nan_in_a_key_harms_no_choice_of_another_head(void **state)
{
    policy_rig plain;
    policy_rig r;
    (void)state;
    start_rig(&plain, (fili_grid){5, 8, 16}, 2, 64, 1);
    start_rig(&r, plain.s.grid, 2, 64, 1);
    for (int i = 0; i < 2; i++) {
        policy_rig *x = i == 0 ? &plain : &r;
        x->o.budgets  = "uniform";
        policy_rig_open(x);
        if (i == 1) x->x[1][17 * 128] = NAN; /* token 17 of head 0 */
        policy_rig_ask(x, 0, 0, 0);
        assert_int_equal(fili_mask_check(x->choice.mask), FIL_OK);
        for (int32_t h = 0; h < 2; h++)
            assert_true(isfinite(x->choice.tail_factor[h]) && x->choice.tail_factor[h] > 0.0f);
    }
    if (plain.choice.n_sinks == 0 && r.choice.n_sinks == 0)
        assert_memory_equal(fili_mask_row(plain.choice.mask, 1, 0),
                            fili_mask_row(r.choice.mask, 1, 0),
                            (size_t)r.choice.mask->mq * (size_t)r.choice.mask->words * 4);
    policy_rig_end(&plain);
    policy_rig_end(&r);
}

static void what_auto_cannot_honour_is_refused(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 8, 16}, 1, 64, 1);
    r.o.block = 128;
    policy_rig_refuses(&r, FIL_E_ARG, "blocks of 64");
    r.o.block   = FIL_AUTO;
    r.o.budgets = "fast";
    policy_rig_refuses(&r, FIL_E_ARG, "expected error or uniform");
    r.o.budgets = NULL;
    r.o.gate    = 1;
    policy_rig_refuses(&r, FIL_E_ARG, "vsa");
    r.o.gate = FIL_AUTO;
    r.o.mask = "m.safetensors";
    policy_rig_refuses(&r, FIL_E_ARG, "policy mask");
    policy_rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharp_heads_and_sinks_leave_a_third_of_the_best_other),
        cmocka_unit_test(heads_of_four_kinds_leave_two_thirds_of_the_best_other),
        cmocka_unit_test(trained_attention_leaves_four_fifths_of_the_best_other),
        cmocka_unit_test(the_density_counted_is_at_most_the_one_asked_for),
        cmocka_unit_test(without_a_tail_and_sinks_no_row_is_empty),
        cmocka_unit_test(one_block_runs_dense),
        cmocka_unit_test(density_falls_over_the_steps_to_the_mean_asked_for),
        cmocka_unit_test(the_same_bits_for_one_two_and_three_threads),
        cmocka_unit_test(a_policy_with_loaded_state_goes_on_the_same),
        cmocka_unit_test(state_with_impossible_factors_is_refused),
        cmocka_unit_test(a_new_choice_is_made_when_queries_have_moved),
        cmocka_unit_test(
            the_second_pass_uses_the_first_ones_choice_and_never_makes_another_in_its_step),
        cmocka_unit_test(nan_in_a_key_harms_no_choice_of_another_head),
        cmocka_unit_test(what_auto_cannot_honour_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
