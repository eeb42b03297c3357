/* tests/unit/test_policy.c: what surrounds every policy (sparse/policy.h): options, schedule, count
 * of pairs, tail, state. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/policy.h"
#include "support/cmocka_all.h"

enum { HEADS = 2, DIM = 64, LAYERS = 4, STEPS = 20 };

typedef struct rig {
    fil_ctx           *ctx;
    fil_policy_options o;
    fili_policy_setup  setup;
    fili_policy       *p;
    int32_t            n;
    float             *q, *k, *v;
    fili_policy_call   call;
    fili_policy_choice choice;
} rig;

static rig b;

static int set_up(void **state)
{
    (void)state;
    memset(&b, 0, sizeof b);
    assert_int_equal(fil_ctx_open(&b.ctx, NULL), FIL_OK);
    fil_policy_options_init(&b.o);
    b.setup             = (fili_policy_setup){.grid     = {5, 8, 9},
                                              .layers   = LAYERS,
                                              .steps    = STEPS,
                                              .passes   = 2,
                                              .heads    = HEADS,
                                              .head_dim = DIM,
                                              .dtype    = FIL_F32};
    b.n                 = 5 * 8 * 9;
    const size_t values = (size_t)b.n * HEADS * DIM;
    b.q                 = calloc(3 * values, sizeof(float));
    assert_non_null(b.q);
    b.k = b.q + values;
    b.v = b.k + values;
    fili_philox_normal(3, 0, 0, b.q, 3 * (int64_t)values);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fili_policy_close(&b.p);
    assert_int_equal(fil_ctx_memory(b.ctx).used, 0);
    fil_ctx_close(&b.ctx);
    free(b.q);
    return 0;
}

static void open_policy(void)
{
    if (fili_policy_open(b.ctx, &b.o, &b.setup, &b.p) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
}

static void choose(int32_t layer, int32_t step, int32_t pass)
{
    const int64_t row = HEADS * DIM;

    b.call = (fili_policy_call){.layer    = layer,
                                .step     = step,
                                .pass     = pass,
                                .order    = &b.p->order,
                                .blocks   = &b.p->blocks,
                                .heads    = HEADS,
                                .head_dim = DIM,
                                .dtype    = FIL_F32,
                                .q        = {b.q, row, DIM},
                                .k        = {b.k, row, DIM},
                                .v        = {b.v, row, DIM},
                                .scale    = 0.125f};
    assert_int_equal(fili_policy_select(b.p, &b.call, &b.choice), FIL_OK);
}

static void run_all(void)
{
    for (int32_t s = 0; s < STEPS; s++)
        for (int32_t pass = 0; pass < 2; pass++)
            for (int32_t l = 0; l < LAYERS; l++)
                choose(l, s, pass);
}

static void refused(fil_status status, const char *word)
{
    fili_ctx_enter(b.ctx);
    const fil_status found = fili_policy_open(b.ctx, &b.o, &b.setup, &b.p);
    if (found == FIL_OK) fail_msg("accepted; expected a refusal with '%s'", word);
    assert_null(b.p);
    if (found != status || strstr(fil_ctx_error(b.ctx)->message, word) == NULL)
        fail_msg("status %d, expected %d and '%s': %s", found, status, word,
                 fil_ctx_error(b.ctx)->message);
}

/* ---- the list ------------------------------------------------------------------------------- */

static void every_policy_is_listed_once_with_a_summary(void **state)
{
    (void)state;
    assert_true(fil_policies() >= 2);
    for (int32_t i = 0; i < fil_policies(); i++) {
        fil_policy_info a;
        fil_policy_info c;
        fil_policy_get(i, &a);
        assert_true(strlen(a.summary) > 10);
        for (int32_t k = 0; k < i; k++) {
            fil_policy_get(k, &c);
            assert_string_not_equal(a.name, c.name);
        }
    }
    fil_policy_info none = {.name = "x"};
    fil_policy_get(-1, &none);
    assert_null(none.name);
    fil_policy_get(fil_policies(), &none);
    assert_null(none.name);
}

static void no_name_is_dense(void **state)
{
    (void)state;
    open_policy();
    choose(0, 0, 0);
    assert_null(b.choice.mask);
    assert_true(b.choice.density == 1.0);
}

/* ---- options -------------------------------------------------------------------------------- */

static void what_is_out_of_range_is_refused_by_name(void **state)
{
    (void)state;
    b.o.name = "spare";
    refused(FIL_E_ARG, "'spare'");
    b.o.name = "vsa";
    for (int i = 0; i < 5; i++) {
        const double bad[] = {0.0, 1.5, -0.5, (double)NAN, (double)INFINITY};
        b.o.density        = bad[i];
        refused(FIL_E_ARG, "density");
    }
    b.o.density  = 0.5;
    b.o.fidelity = 0.5;
    refused(FIL_E_ARG, "both");
    b.o.density = FIL_AUTO;
    refused(FIL_E_ARG, "fidelity");
    b.o.fidelity = FIL_AUTO;
    b.o.density  = 0.5;
    b.o.block    = 32;
    refused(FIL_E_ARG, "block");
    b.o.block   = FIL_AUTO;
    b.o.refresh = 0;
    refused(FIL_E_ARG, "refresh");
    b.o.refresh = FIL_AUTO;
    b.o.tail    = 2;
    refused(FIL_E_ARG, "tail");
    b.o.tail        = FIL_AUTO;
    b.o.dense_steps = -2;
    refused(FIL_E_ARG, "dense steps");
    b.o.dense_steps = FIL_AUTO;
    b.o.order       = "spiral";
    refused(FIL_E_ARG, "order");
    b.o.order  = NULL;
    b.o.preset = "good";
    refused(FIL_E_ARG, "'good'");
}

/* An option that a policy does nothing with is refused, never ignored. */
static void what_a_policy_has_no_use_for_is_refused(void **state)
{
    static const char *const names[] = {"dense", "mask", "vsa", "west", "window", "radial"};
    (void)state;
    for (int i = 0; i < 6; i++) {
        const bool all = i < 2; /* dense and mask take nothing but when and which */
        b.o.name       = names[i];
        b.o.density    = i == 0 ? 1.0 : 0.5;
        if (i < 4) {
            b.o.tau = 0.5;
            refused(FIL_E_ARG, "tau: policy");
            b.o.tau = FIL_AUTO;
        }
        if (i != 2) {
            b.o.refresh = 3;
            refused(FIL_E_ARG, "refresh: policy");
            b.o.refresh = FIL_AUTO;
        }
        if (!all) continue;
        b.o.gate = 1;
        refused(FIL_E_ARG, "gate: policy");
        b.o.gate  = FIL_AUTO;
        b.o.block = 128;
        refused(FIL_E_ARG, "block: policy");
        b.o.block    = FIL_AUTO;
        b.o.topology = "t.safetensors";
        refused(FIL_E_ARG, "topology: policy");
        b.o.topology = NULL;
        b.o.budgets  = "uniform";
        refused(FIL_E_ARG, "budgets: policy");
        b.o.budgets = NULL;
    }
}

static void broken_lists_of_layers_are_refused(void **state)
{
    static const char *const bad[] = {"a", "0,",  ",0",  "2-1", "0-",
                                      "4", "0-4", "1 2", "-1",  "99999999999"};
    (void)state;
    b.o.name    = "vsa";
    b.o.density = 0.9;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        b.o.dense_layers = bad[i];
        refused(FIL_E_ARG, "dense layers");
    }
}

static void a_preset_is_denser_for_a_small_model(void **state)
{
    double target[2];
    (void)state;
    b.o.name   = "vsa";
    b.o.preset = "balanced";
    for (int i = 0; i < 2; i++) {
        b.setup.heads = i == 0 ? 12 : 40;
        open_policy();
        target[i] = fili_policy_target(b.p);
        fili_policy_close(&b.p);
    }
    assert_true(target[0] > target[1]);
}

/* ---- schedule ------------------------------------------------------------------------------- */

static void dense_steps_and_layers_are_dense_and_the_others_are_not(void **state)
{
    (void)state;
    b.o.name         = "vsa";
    b.o.density      = 0.9;
    b.o.dense_steps  = 3;
    b.o.dense_layers = "0,2-3";
    open_policy();
    for (int32_t s = 0; s < STEPS; s++)
        for (int32_t l = 0; l < LAYERS; l++) {
            choose(l, s, 0);
            assert_int_equal(b.choice.mask == NULL, s < 3 || l != 1);
        }
}

static void the_whole_run_has_the_density_that_was_asked_for(void **state)
{
    (void)state;
    b.o.name         = "vsa";
    b.o.density      = 0.5;
    b.o.dense_steps  = 5;
    b.o.dense_layers = "0";
    open_policy();
    assert_true(fabs(fili_policy_target(b.p) - 0.5) < 1e-9);
}

static void a_density_below_the_dense_share_is_refused_with_the_share(void **state)
{
    (void)state;
    b.o.name        = "vsa";
    b.o.density     = 0.25;
    b.o.dense_steps = 5;
    refused(FIL_E_ARG, "0.250");
    b.o.density = 0.26;
    open_policy();
}

static void short_videos_run_dense_where_that_is_wanted(void **state)
{
    (void)state;
    b.o.name       = "vsa";
    b.o.density    = 0.5;
    b.o.min_tokens = b.n + 1;
    open_policy();
    choose(1, 1, 0);
    assert_null(b.choice.mask);
    fili_policy_close(&b.p);
    b.o.density    = 0.5;
    b.o.min_tokens = b.n;
    open_policy();
    choose(1, 1, 0);
    assert_non_null(b.choice.mask);
}

static void a_policy_that_cannot_be_had_falls_back_where_allowed(void **state)
{
    (void)state;
    b.o.name    = "vsa";
    b.o.density = 0.5;
    b.o.gate    = 1;
    refused(FIL_E_MISMATCH, "gate");
    b.o.fallback = 1;
    open_policy();
    choose(0, 0, 0);
    assert_null(b.choice.mask);
    assert_string_equal(b.p->ops->name, "dense");
}

/* ---- counting ------------------------------------------------------------------------------- */

/* Pairs of tokens, one by one, from the bits. */
static double recount(const fili_mask *mask)
{
    const fili_blocks *blocks = &b.p->blocks;
    uint64_t           pairs  = 0;
    if (mask == NULL) return 1.0;
    for (int32_t h = 0; h < HEADS; h++)
        for (int32_t q = 0; q < blocks->m; q++)
            for (int32_t k = 0; k < blocks->m; k++)
                if (fili_mask_get(mask, h, q, k))
                    pairs += (uint64_t)fili_blocks_valid(blocks, q) *
                             (uint64_t)fili_blocks_valid(blocks, k);
    return (double)pairs / (HEADS * (double)b.n * b.n);
}

static void the_density_told_is_that_of_the_masks(void **state)
{
    fili_policy_figures f;
    double              sum = 0.0;
    int32_t             n   = 0;
    (void)state;
    b.o.name        = "vsa";
    b.o.density     = 0.4;
    b.o.dense_steps = 2;
    open_policy();
    for (int32_t s = 0; s < STEPS; s++)
        for (int32_t l = 0; l < LAYERS; l++, n++) {
            choose(l, s, 1);
            const double counted = recount(b.choice.mask);
            assert_true(fabs(counted - b.choice.density) < 1e-12);
            assert_true(fabs(counted - fili_policy_density_at(b.p, l, s, 1)) < 1e-6);
            sum += counted;
        }
    fili_policy_figures_get(b.p, &f);
    assert_true(fabs(f.density - sum / n) < 1e-12);
    assert_int_equal(f.calls, n);
    assert_int_equal(f.dense_calls, 2 * LAYERS);
    assert_true(isnan(fili_policy_density_at(b.p, 0, 0, 0)));
}

static void density_1_is_dense_for_every_policy_that_can_be_opened(void **state)
{
    int opened = 0;
    (void)state;
    for (int32_t i = 0; i < fil_policies(); i++) {
        fil_policy_info info;
        fil_policy_get(i, &info);
        b.o.name    = info.name;
        b.o.density = 1.0;
        if (fili_policy_open(b.ctx, &b.o, &b.setup, &b.p) != FIL_OK) continue; /* wants a file */
        opened++;
        run_all();
        fili_policy_figures f;
        fili_policy_figures_get(b.p, &f);
        if (!(f.density == 1.0)) fail_msg("%s: density %g", info.name, f.density);
        fili_policy_close(&b.p);
    }
    assert_true(opened >= 2);
}

static void every_policy_works_on_tiny_and_ragged_grids(void **state)
{
    static const fili_grid grids[] = {{1, 1, 1}, {1, 2, 3}, {1, 8, 8}, {2, 5, 13}};
    (void)state;
    for (int32_t i = 0; i < fil_policies(); i++)
        for (size_t g = 0; g < sizeof grids / sizeof grids[0]; g++) {
            fil_policy_info info;
            fil_policy_get(i, &info);
            b.o.name         = info.name;
            b.o.density      = 0.3;
            b.o.dense_steps  = 0;
            b.o.dense_layers = "";
            b.setup.grid     = grids[g];
            if (fili_policy_open(b.ctx, &b.o, &b.setup, &b.p) != FIL_OK) continue;
            for (int32_t s = 0; s < 3; s++) {
                choose(1, s, 0);
                if (!(b.choice.density > 0.0 && b.choice.density <= 1.0))
                    fail_msg("%s: density %g", info.name, b.choice.density);
            }
            fili_policy_close(&b.p);
        }
}

/* ---- tail ----------------------------------------------------------------------------------- */

static void the_tail_holds_the_means_of_the_blocks(void **state)
{
    (void)state;
    b.o.name    = "vsa";
    b.o.density = 0.4;
    b.o.tail    = 1;
    open_policy();
    choose(1, 1, 0);
    const fili_blocks *blocks = &b.p->blocks;
    const float       *mean   = b.choice.tail_k.data;
    for (int32_t m = 0; m < blocks->m; m++)
        for (int32_t e = 0; e < HEADS * DIM; e++) {
            double sum = 0.0;
            for (int32_t i = blocks->offset[m]; i < blocks->offset[m + 1]; i++)
                sum += (double)b.k[(int64_t)i * HEADS * DIM + e];
            const double want = sum / fili_blocks_valid(blocks, m);
            if (!(fabs((double)mean[(int64_t)m * HEADS * DIM + e] - want) <= 1e-5))
                fail_msg("block %d, %d: %g, expected %g", m, e,
                         (double)mean[(int64_t)m * HEADS * DIM + e], want);
        }
    assert_int_equal(b.choice.tail_count[0], fili_blocks_valid(blocks, 0));
}

/* ---- state ---------------------------------------------------------------------------------- */

static void a_state_of_another_size_is_refused(void **state)
{
    (void)state;
    open_policy();
    assert_int_equal(fili_policy_state_load(b.p, "", 1), FIL_E_FORMAT);
}

/* Every policy: half a run, saved; the other half once directly, once in a new policy. */
static void a_run_goes_on_from_a_saved_state_as_if_it_had_not_stopped(void **state)
{
    (void)state;
    for (int32_t i = 0; i < fil_policies(); i++) {
        fil_policy_info info;
        fil_policy_get(i, &info);
        b.o.name    = info.name;
        b.o.density = strcmp(info.name, "dense") == 0 ? 1.0 : 0.5;
        if (fili_policy_open(b.ctx, &b.o, &b.setup, &b.p) != FIL_OK) continue;
        for (int32_t s = 0; s < STEPS / 2; s++)
            for (int32_t pass = 0; pass < 2; pass++)
                for (int32_t l = 0; l < LAYERS; l++)
                    choose(l, s, pass);
        const size_t bytes = fili_policy_state_bytes(b.p);
        void        *saved = malloc(bytes);
        assert_non_null(saved);
        fili_policy_state_save(b.p, saved);
        fili_policy *first = b.p;
        open_policy();
        fili_policy *second = b.p;
        assert_int_equal(fili_policy_state_load(second, saved, bytes), FIL_OK);
        for (int32_t s = STEPS / 2; s < STEPS; s++)
            for (int32_t l = 0; l < LAYERS; l++) {
                b.p = first;
                choose(l, s, 0);
                const fili_policy_choice one = b.choice;
                b.p                          = second;
                choose(l, s, 0);
                if ((one.mask == NULL) != (b.choice.mask == NULL) ||
                    (one.mask != NULL && !fili_mask_equal(one.mask, b.choice.mask)) ||
                    one.n_sinks != b.choice.n_sinks)
                    fail_msg("%s: another choice at layer %d, step %d", info.name, l, s);
                if (one.tail_factor != NULL)
                    assert_memory_equal(one.tail_factor, b.choice.tail_factor,
                                        HEADS * sizeof(float));
            }
        free(saved);
        fili_policy_close(&first);
        fili_policy_close(&second);
        b.p = NULL;
    }
}

static void reset_forgets_all_calls(void **state)
{
    fili_policy_figures f;
    (void)state;
    b.o.name    = "vsa";
    b.o.density = 0.5;
    open_policy();
    run_all();
    fili_policy_reset(b.p);
    fili_policy_figures_get(b.p, &f);
    assert_int_equal(f.calls, 0);
    assert_true(f.density == 1.0);
}

static void what_it_holds_is_what_it_says(void **state)
{
    (void)state;
    b.o.name    = "vsa";
    b.o.density = 0.5;
    open_policy();
    const uint64_t used = fil_ctx_memory(b.ctx).used;
    assert_int_equal(fili_policy_bytes(b.p), used);
    run_all();
    assert_int_equal(fil_ctx_memory(b.ctx).used, used);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_policy_is_listed_once_with_a_summary),
        TEST(no_name_is_dense),
        TEST(what_is_out_of_range_is_refused_by_name),
        TEST(what_a_policy_has_no_use_for_is_refused),
        TEST(broken_lists_of_layers_are_refused),
        TEST(a_preset_is_denser_for_a_small_model),
        TEST(dense_steps_and_layers_are_dense_and_the_others_are_not),
        TEST(the_whole_run_has_the_density_that_was_asked_for),
        TEST(a_density_below_the_dense_share_is_refused_with_the_share),
        TEST(short_videos_run_dense_where_that_is_wanted),
        TEST(a_policy_that_cannot_be_had_falls_back_where_allowed),
        TEST(the_density_told_is_that_of_the_masks),
        TEST(density_1_is_dense_for_every_policy_that_can_be_opened),
        TEST(every_policy_works_on_tiny_and_ragged_grids),
        TEST(the_tail_holds_the_means_of_the_blocks),
        TEST(a_state_of_another_size_is_refused),
        TEST(a_run_goes_on_from_a_saved_state_as_if_it_had_not_stopped),
        TEST(reset_forgets_all_calls),
        TEST(what_it_holds_is_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
