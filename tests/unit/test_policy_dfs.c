/* tests/unit/test_policy_dfs.c: the policy dfs (sparse/policy_dfs.c): what it keeps against the
 * methods' fixtures, when it chooses anew, and what it refuses.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/attention_case.h"
#include "support/cmocka_all.h"
#include "support/policy_rig.h"

static void start_rig(policy_rig *r, fili_grid grid, int32_t heads, int32_t head_dim,
                      int32_t threads)
{
    const fili_policy_setup s = {.grid     = grid,
                                 .layers   = 3,
                                 .steps    = 50,
                                 .passes   = 2,
                                 .heads    = heads,
                                 .head_dim = head_dim,
                                 .dtype    = FIL_F32};
    policy_rig_start(r, "dfs", &s, threads);
}

static void near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s %.9g, expected %.9g", what, got, want);
}

/* ---- fixtures ------------------------------------------------------------------------------- */

/* Rows of 64-token blocks; a row binds where its scored block's gap does. */
static void compare_masks(const policy_rig *r, const attention_case *c, const char *name,
                          const char *gaps)
{
    int64_t          n_words;
    int64_t          n_gaps;
    const fili_mask *mask = r->choice.mask;
    const int32_t    m    = mask->mq;
    const int32_t    per  = r->p->o.block / 64;
    uint32_t        *want = attention_case_tensor(c, name, FIL_U32, &n_words);
    float           *gap  = attention_case_tensor(c, gaps, FIL_F32, &n_gaps);
    int32_t          hard = 0;
    assert_int_equal(n_words, (int64_t)c->heads * m * mask->words);
    for (int32_t h = 0; h < c->heads; h++)
        for (int32_t q = 0; q < m; q++) {
            const int64_t at = (int64_t)h * m + q;
            if (!(gap[h * (n_gaps / c->heads) + q / per] > 1e-4f)) continue;
            hard++;
            if (memcmp(fili_mask_row(mask, h, q), want + at * mask->words,
                       (size_t)mask->words * sizeof *want) != 0)
                fail_msg("%s: head %d, row %d", name, h, q);
        }
    assert_true(2 * hard > c->heads * m);
    free(gap);
    free(want);
}

/* Attention over everything, or under the mask; for free(). */
static float *attend(const policy_rig *r, const attention_case *c, const fili_mask *mask)
{
    const filk_attn_problem p   = {.nq       = c->n,
                                   .nk       = c->n,
                                   .heads    = c->heads,
                                   .kv_heads = c->heads,
                                   .head_dim = c->head_dim,
                                   .dtype    = FIL_F32,
                                   .mq       = r->p->blocks.m,
                                   .mk       = r->p->blocks.m,
                                   .q_offset = r->p->blocks.offset,
                                   .k_offset = r->p->blocks.offset};
    float                  *out = malloc((size_t)c->n * (size_t)(c->heads * c->head_dim) * 4);
    const filk_row         *row;
    assert_non_null(out);
    assert_int_equal(filk_select(r->ctx, &filk_attention, &p, NULL, &row), FIL_OK);
    filk_attn_args a = {.q            = c->view[0],
                        .k            = c->view[1],
                        .v            = c->view[2],
                        .out          = out,
                        .out_stride_n = (int64_t)c->heads * c->head_dim,
                        .out_stride_h = c->head_dim,
                        .scale        = c->scale};
    if (mask != NULL) {
        a.mask          = mask->bits;
        a.mask_stride_h = (int64_t)mask->mq * mask->words;
    }
    void *space = aligned_alloc(64, (row->workspace(&p, 2) + 63) / 64 * 64);
    assert_non_null(space);
    assert_int_equal(row->run(r->ctx, &p, &a, space), FIL_OK);
    free(space);
    return out;
}

static double rel_l2(const attention_case *c, const float *got, const float *want, int32_t h)
{
    double off  = 0.0;
    double size = 0.0;
    for (int64_t i = 0; i < c->n; i++)
        for (int32_t d = 0; d < c->head_dim; d++) {
            const int64_t at = (i * c->heads + h) * c->head_dim + d;
            const double  x  = (double)got[at] - (double)want[at];
            off += x * x;
            size += (double)want[at] * (double)want[at];
        }
    return sqrt(off / size);
}

static void compare_figures(const policy_rig *r, const attention_case *c, const char *name,
                            const float *dense)
{
    const json_t *j = json_object_get(json_object_get(c->json, "dfs"), name);
    float        *out;
    assert_non_null(j);
    out = attend(r, c, r->choice.mask);
    for (int32_t h = 0; h < c->heads; h++) {
        const size_t i    = (size_t)h;
        fili_mask    one  = *r->choice.mask;
        double       kept = 0.0;
        one.heads         = 1;
        one.bits          = fili_mask_row(r->choice.mask, h, 0);
        assert_int_equal(fili_mask_density(&one, &r->p->blocks, &r->p->blocks, &kept), FIL_OK);
        near("density", kept, json_number_value(json_array_get(json_object_get(j, "density"), i)),
             1e-6);
        near("recall", r->choice.recall[h],
             json_number_value(json_array_get(json_object_get(j, "recall"), i)), 1e-5);
        near("relative L2", rel_l2(c, out, dense, h),
             json_number_value(json_array_get(json_object_get(j, "rel_l2"), i)), 1e-5);
        if (!((double)r->choice.recall_bound[h] <= r->choice.recall[h]))
            fail_msg("head %d: bound %g above recall %g", h, (double)r->choice.recall_bound[h],
                     r->choice.recall[h]);
    }
    free(out);
}

static void check_case(policy_rig *r, const attention_case *c, int32_t block, int32_t percent)
{
    char   mask[64];
    char   gap[64];
    float *dense;
    snprintf(mask, sizeof mask, "dfs%d_mask_%d", block, percent);
    snprintf(gap, sizeof gap, "dfs%d_gap_%d", block, percent);
    r->s.single         = 1;
    r->s.layers         = 1;
    r->s.steps          = 1;
    r->s.passes         = 1;
    r->o.block          = block;
    r->o.density        = percent / 100.0;
    r->o.measure_recall = 1;
    policy_rig_open(r);
    memcpy(r->view, c->view, sizeof r->view);
    policy_rig_ask(r, 0, 0, 0);
    assert_non_null(r->choice.mask);
    assert_int_equal(fili_mask_check(r->choice.mask), FIL_OK);
    compare_masks(r, c, mask, gap);
    dense = attend(r, c, NULL);
    compare_figures(r, c, mask, dense);
    free(dense);
}

static void masks_and_figures_agree_with_the_methods_fixtures(void **state)
{
    const fili_order_spec spec = {.kind = FILI_ORDER_HILBERT_XYZ};
    (void)state;
    for (char letter = 'a'; letter <= 'b'; letter++)
        for (int32_t percent = 10; percent <= 30; percent += 10)
            for (int32_t block = 64; block <= 128; block += 64) {
                policy_rig     r;
                attention_case c;
                fil_ctx       *ctx;
                assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
                if (!attention_case_open(&c, ctx, letter, &spec)) {
                    fil_ctx_close(&ctx);
                    skip();
                }
                start_rig(&r, c.grid, c.heads, c.head_dim, 2);
                check_case(&r, &c, block, percent);
                policy_rig_end(&r);
                attention_case_close(&c);
                fil_ctx_close(&ctx);
            }
}

/* ---- the schedule --------------------------------------------------------------------------- */

/* What a run of `steps` does in layer 1: per step, blocks of a row (0 = dense) and, with a minus,
 * that the mask was made in this step. */
static void check_run(int32_t steps, int32_t refresh, const int32_t *want)
{
    policy_rig r;
    start_rig(&r, (fili_grid){5, 16, 16}, 1, 64, 1); /* 1280 tokens: 10 blocks of 128 */
    r.s.steps   = steps;
    r.o.refresh = refresh;
    policy_rig_open(&r);
    for (int32_t i = 0; i < steps; i++) {
        for (int32_t layer = 0; layer < 3; layer += 2) {
            policy_rig_ask(&r, layer, i, 0);
            if (layer == 0) assert_null(r.choice.mask);
        }
        for (int32_t pass = 0; pass < 2; pass++) {
            int32_t count[20];
            policy_rig_ask(&r, 1, i, pass);
            if (r.choice.mask == NULL) {
                if (want[i] != 0) fail_msg("%d steps: step %d is dense", steps, i);
                continue;
            }
            fili_mask_counts(r.choice.mask, count);
            for (int32_t q = 0; q < 20; q++)
                if (count[q] != 2 * abs(want[i]))
                    fail_msg("%d steps: step %d keeps %d, expected %d", steps, i, count[q],
                             2 * abs(want[i]));
            if (r.choice.refreshed != (pass == 0 && want[i] < 0))
                fail_msg("%d steps: step %d, pass %d: refreshed %d", steps, i, pass,
                         r.choice.refreshed);
        }
    }
    policy_rig_end(&r);
}

static void fifty_steps_run_as_published(void **state)
{
    int32_t want[50] = {0};
    (void)state;
    for (int32_t i = 12; i < 50; i++)
        want[i] = i < 24 ? 3 : i < 36 ? 2 : 1;
    want[12] = -3;
    want[24] = -2;
    want[36] = -1;
    check_run(50, FIL_AUTO, want);
}

static void other_numbers_of_steps_keep_the_shares_of_the_run(void **state)
{
    static const int32_t one[]    = {-3};
    static const int32_t three[]  = {-3, -2, -1};
    static const int32_t four[]   = {0, -3, -2, -1};
    static const int32_t seven[]  = {0, -3, 3, -2, 2, -1, 1};
    static const int32_t eight[]  = {0, 0, -3, 3, -2, 2, -1, 1};
    static const int32_t twenty[] = {0, 0, 0, 0, 0, -3, 3, 3, 3, 3, -2, 2, 2, 2, 2, -1, 1, 1, 1, 1};
    (void)state;
    check_run(1, FIL_AUTO, one);
    check_run(3, FIL_AUTO, three);
    check_run(4, FIL_AUTO, four);
    check_run(7, FIL_AUTO, seven);
    check_run(8, FIL_AUTO, eight);
    check_run(20, FIL_AUTO, twenty);
}

static void the_interval_of_refreshes_can_be_chosen(void **state)
{
    static const int32_t each[]  = {0, 0, -3, -3, -2, -2, -1, -1};
    static const int32_t three[] = {0, 0, -3, 3, -2, -2, -1, 1};
    static const int32_t never[] = {0, 0, -3, 3, -2, 2, -1, 1}; /* but where k changes */
    (void)state;
    check_run(8, 1, each);
    check_run(8, 3, three);
    check_run(8, 100, never);
}

static void fractions_keep_whole_numbers_of_blocks(void **state)
{
    (void)state;
    for (int32_t percent = 1; percent < 100; percent++) {
        const int32_t blocks = 10;
        const int32_t want   = percent * blocks / 100 < 1 ? 1 : percent * blocks / 100;
        policy_rig    r;
        start_rig(&r, (fili_grid){5, 16, 16}, 1, 64, 1);
        r.s.single = 1;
        r.s.layers = r.s.steps = r.s.passes = 1;
        r.o.density                         = (double)percent / 100.0 - 1e-15;
        policy_rig_open(&r);
        policy_rig_ask(&r, 0, 0, 0);
        int32_t count[20];
        fili_mask_counts(r.choice.mask, count);
        assert_int_equal(count[7], 2 * want);
        policy_rig_end(&r);
    }
}

/* ---- promises ------------------------------------------------------------------------------- */

static void run_all(policy_rig *r)
{
    for (int32_t i = 0; i < r->s.steps; i++)
        for (int32_t pass = 0; pass < 2; pass++)
            for (int32_t layer = 0; layer < r->s.layers; layer++)
                policy_rig_ask(r, layer, i, pass);
}

static void a_density_of_the_run_is_met_to_less_than_a_block(void **state)
{
    static const double wanted[] = {0.4, 0.5, 0.7, 0.95};
    (void)state;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        policy_rig          r;
        fili_policy_figures f;
        start_rig(&r, (fili_grid){6, 24, 26}, 2, 64, 2); /* 3,744 tokens */
        r.s.steps        = 8;
        r.o.density      = wanted[i];
        r.o.block        = 64;
        r.o.dense_layers = "";
        policy_rig_open(&r);
        run_all(&r);
        fili_policy_figures_get(r.p, &f);
        if (!(f.density <= wanted[i] + 0.005 && f.density >= wanted[i] - 0.02))
            fail_msg("density %g, wanted %g", f.density, wanted[i]);
        policy_rig_end(&r);
    }
}

static void low_densities_of_the_run_leave_fewer_calls_dense(void **state)
{
    static const struct {
        int32_t     layers, steps;
        double      density;
        int32_t     dense_steps;
        const char *dense_layers;
    } cases[] = {{30, 50, 0.4, 12, "0"}, {40, 50, 0.2, 6, "0"}, {3, 50, 0.3, 11, ""},
                 {2, 4, 0.2, 0, ""},     {30, 4, 0.4, 1, "0"},  {30, 50, 0.01, 0, ""},
                 {30, 50, -1.0, 12, "0"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        policy_rig r;
        start_rig(&r, (fili_grid){6, 24, 26}, 1, 64, 1);
        r.s.layers  = cases[i].layers;
        r.s.steps   = cases[i].steps;
        r.o.density = cases[i].density;
        policy_rig_open(&r);
        assert_int_equal(r.p->o.dense_steps, cases[i].dense_steps);
        assert_string_equal(r.p->o.dense_layers, cases[i].dense_layers);
        if (r.o.density > 0.0) near("target", fili_policy_target(r.p), r.o.density, 1e-9);
        policy_rig_end(&r);
    }
}

static void a_run_that_is_resumed_uses_the_same_masks(void **state)
{
    policy_rig a;
    policy_rig b;
    uint32_t   words[2][2 * 20];
    (void)state;
    start_rig(&a, (fili_grid){5, 16, 16}, 2, 64, 1);
    policy_rig_open(&a);
    policy_rig_ask(&a, 1, 12, 0);
    policy_rig_ask(&a, 2, 12, 0);
    void *saved = malloc(fili_policy_state_bytes(a.p));
    assert_non_null(saved);
    fili_policy_state_save(a.p, saved);
    policy_rig_ask(&a, 1, 13, 0);
    assert_int_equal(a.choice.refreshed, 0);
    memcpy(words[0], a.choice.mask->bits, sizeof words[0]);
    start_rig(&b, a.s.grid, 2, 64, 3);
    memset(b.x[1], 0, 1280 * sizeof(float)); /* other keys: a new mask would be another */
    policy_rig_open(&b);
    assert_int_equal(fili_policy_state_load(b.p, saved, fili_policy_state_bytes(b.p)), FIL_OK);
    policy_rig_ask(&b, 1, 13, 0);
    assert_int_equal(b.choice.refreshed, 0);
    memcpy(words[1], b.choice.mask->bits, sizeof words[1]);
    assert_memory_equal(words[0], words[1], sizeof words[0]);
    free(saved);
    policy_rig_end(&b);
    policy_rig_end(&a);
}

static void a_state_with_bits_beyond_the_blocks_is_refused(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 16, 16}, 1, 64, 1);
    policy_rig_open(&r);
    policy_rig_ask(&r, 1, 12, 0);
    const size_t bytes = fili_policy_state_bytes(r.p);
    uint32_t    *saved = malloc(bytes);
    assert_non_null(saved);
    fili_policy_state_save(r.p, saved);
    saved[bytes / 4 - 1 - 10] |= 1u << 31; /* the last row of layer 1: layer 2 has 10 more */
    assert_int_equal(fili_policy_state_load(r.p, saved, bytes), FIL_OK);
    policy_rig_call(&r, 1, 13, 0);
    assert_int_equal(fili_policy_select(r.p, &r.call, &r.choice), FIL_E_ARG);
    free(saved);
    policy_rig_end(&r);
}

static void masks_do_not_depend_on_threads(void **state)
{
    uint32_t first[3 * 59 * 2];
    (void)state;
    for (int32_t threads = 1; threads <= 5; threads += 2) {
        policy_rig r;
        start_rig(&r, (fili_grid){6, 24, 26}, 3, 64, threads);
        policy_rig_open(&r);
        policy_rig_ask(&r, 1, 12, 0);
        assert_int_equal(r.choice.mask->mq, 59);
        if (threads == 1) memcpy(first, r.choice.mask->bits, sizeof first);
        assert_memory_equal(first, r.choice.mask->bits, sizeof first);
        policy_rig_end(&r);
    }
}

static void tiny_and_ragged_grids_work(void **state)
{
    static const fili_grid   grids[]  = {{1, 1, 1}, {1, 8, 8}, {1, 8, 9}, {3, 5, 7}, {2, 9, 15}};
    static const char *const orders[] = {"hilbert-xyz", "cubes 3x5x4", "hilbert-cubes 4x4x4"};
    (void)state;
    for (size_t g = 0; g < sizeof grids / sizeof grids[0]; g++)
        for (size_t o = 0; o < 3; o++)
            for (int32_t block = 64; block <= 128; block += 64) {
                policy_rig r;
                start_rig(&r, grids[g], 1, 64, 1);
                r.o.order          = orders[o];
                r.o.block          = block;
                r.o.tail           = 1;
                r.o.measure_recall = 1;
                policy_rig_open(&r);
                policy_rig_ask(&r, 1, 12, 0);
                if (r.choice.mask != NULL) {
                    int32_t *count = calloc((size_t)r.p->blocks.m, sizeof *count);
                    assert_non_null(count);
                    fili_mask_counts(r.choice.mask, count);
                    for (int32_t q = 0; q < r.p->blocks.m; q++)
                        assert_true(count[q] >= 1);
                    assert_int_equal(fili_mask_check(r.choice.mask), FIL_OK);
                    assert_true((double)r.choice.recall_bound[0] <= r.choice.recall[0]);
                    free(count);
                }
                policy_rig_end(&r);
            }
}

static void nan_in_a_query_spoils_its_own_rows_alone(void **state)
{
    policy_rig r;
    uint32_t   clean[20];
    (void)state;
    start_rig(&r, (fili_grid){5, 16, 16}, 1, 64, 1);
    policy_rig_open(&r);
    policy_rig_ask(&r, 1, 12, 0);
    memcpy(clean, r.choice.mask->bits, sizeof clean);
    fili_policy_reset(r.p);
    r.x[0][300 * 64] = NAN; /* token 300: rows 4 and 5 of 64 */
    policy_rig_ask(&r, 1, 12, 0);
    for (int32_t q = 0; q < 20; q++)
        if (q / 2 != 2) assert_int_equal(r.choice.mask->bits[q], clean[q]);
    int32_t blocks = 0;
    for (uint32_t row = r.choice.mask->bits[4]; row != 0; row &= row - 1)
        blocks++;
    assert_int_equal(blocks, 6);
    policy_rig_end(&r);
}

/* A key that is no number: no block pair that does not hold it is chosen otherwise for want of a
 * score, and rows that leave it out go without it. */
static void nan_in_a_key_leaves_the_choice_to_the_other_tiles(void **state)
{
    policy_rig r;
    uint32_t   clean[20];
    int        same = 0;
    (void)state;
    start_rig(&r, (fili_grid){5, 16, 16}, 1, 64, 1);
    policy_rig_open(&r);
    policy_rig_ask(&r, 1, 12, 0);
    memcpy(clean, r.choice.mask->bits, sizeof clean);
    fili_policy_reset(r.p);
    r.x[1][300 * 64] = NAN;
    policy_rig_ask(&r, 1, 12, 0);
    for (int32_t q = 0; q < 20; q++)
        same += r.choice.mask->bits[q] == clean[q];
    assert_true(same >= 12); /* all would be 0x3f if NaN decided */
    policy_rig_end(&r);
}

static void what_it_cannot_honour_is_refused(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 16, 16}, 1, 64, 1);
    r.o.tau = 0.5;
    policy_rig_refuses(&r, FIL_E_ARG, "tau");
    r.o.tau      = FIL_AUTO;
    r.o.topology = "t.safetensors";
    policy_rig_refuses(&r, FIL_E_ARG, "topology");
    r.o.topology = NULL;
    r.o.budgets  = "fast";
    policy_rig_refuses(&r, FIL_E_ARG, "budgets");
    r.o.budgets = NULL;
    r.o.mask    = "m.safetensors";
    policy_rig_refuses(&r, FIL_E_ARG, "mask");
    r.o.mask = NULL;
    r.o.gate = 1;
    policy_rig_refuses(&r, FIL_E_ARG, "gate");
    r.o.gate     = FIL_AUTO;
    r.o.fidelity = 0.9;
    policy_rig_refuses(&r, FIL_E_ARG, "fidelity");
    r.o.fidelity    = FIL_AUTO;
    r.o.density     = 0.1; /* below the dense steps' own share */
    r.o.dense_steps = 6;
    policy_rig_refuses(&r, FIL_E_ARG, "density");
    policy_rig_end(&r);
}

static void memory_that_fails_is_told_and_given_back(void **state)
{
    (void)state;
    for (int64_t at = 0;; at++) {
        policy_rig r;
        start_rig(&r, (fili_grid){3, 9, 11}, 1, 64, 1);
        r.o.measure_recall      = 1;
        r.fault.at              = r.fault.calls + at;
        const fil_status status = fili_policy_open(r.ctx, &r.o, &r.s, &r.p);
        r.fault.at              = -1;
        if (status != FIL_OK) assert_int_equal(status, FIL_E_NOMEM);
        policy_rig_end(&r);
        if (status == FIL_OK) break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_and_figures_agree_with_the_methods_fixtures),
        cmocka_unit_test(fifty_steps_run_as_published),
        cmocka_unit_test(other_numbers_of_steps_keep_the_shares_of_the_run),
        cmocka_unit_test(the_interval_of_refreshes_can_be_chosen),
        cmocka_unit_test(fractions_keep_whole_numbers_of_blocks),
        cmocka_unit_test(a_density_of_the_run_is_met_to_less_than_a_block),
        cmocka_unit_test(low_densities_of_the_run_leave_fewer_calls_dense),
        cmocka_unit_test(a_run_that_is_resumed_uses_the_same_masks),
        cmocka_unit_test(a_state_with_bits_beyond_the_blocks_is_refused),
        cmocka_unit_test(masks_do_not_depend_on_threads),
        cmocka_unit_test(tiny_and_ragged_grids_work),
        cmocka_unit_test(nan_in_a_query_spoils_its_own_rows_alone),
        cmocka_unit_test(nan_in_a_key_leaves_the_choice_to_the_other_tiles),
        cmocka_unit_test(what_it_cannot_honour_is_refused),
        cmocka_unit_test(memory_that_fails_is_told_and_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
