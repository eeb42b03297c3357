/* tests/unit/test_recall_bound.c: sparse/recall_bound.h: the bound holds wherever delta was
 * measured, and is worth something. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernel/select.h"
#include "sparse/recall_bound.h"
#include "sparse/sampled_mass.h"
#include "sparse/tile_scores.h"
#include "support/attention_case.h"
#include "support/cmocka_all.h"

enum { MOST = 97 };

static double recall_of(const float *mass, const uint32_t *kept, int32_t m)
{
    double sum[2] = {0.0, 0.0};
    for (int32_t b = 0; b < m; b++)
        sum[kept[b / 32] >> b % 32 & 1u] += (double)mass[b];
    return sum[0] + sum[1] == 0.0 ? 1.0 : sum[1] / (sum[0] + sum[1]);
}

static int is_kept(const uint32_t *kept, int32_t b)
{
    return (int)(kept[b / 32] >> b % 32 & 1u);
}

/* ---- one row -------------------------------------------------------------------------------- */

/* Log-normal masses and scores that miss them by `noise`. */
static void random_row(uint64_t seed, int32_t m, float spread, float noise, float *mass,
                       float *score)
{
    float x[2 * MOST];
    fili_philox_normal(seed, 0, 0, x, 2 * MOST);
    for (int32_t b = 0; b < m; b++) {
        mass[b]  = expf(spread * x[b]);
        score[b] = 3.0f * mass[b] * expf(noise * x[MOST + b]);
    }
}

static void check_row(const float *score, const float *mass, int32_t m, int32_t keep)
{
    uint32_t kept[MOST / 32 + 1];
    filk_select_top(score, m, keep, kept);
    const double gap   = fili_recall_gap(score, kept, m);
    const double error = fili_recall_error(score, mass, kept, m);
    const double least = fili_recall_least(keep, m, gap, error);
    const double real  = recall_of(mass, kept, m);
    const double steps = exp(-2.0 * error) / (1.0 + (double)(m - keep) / keep * exp(-gap));
    assert_true(error >= 0.0);
    if (!(least <= real * (1.0 + 1e-12))) fail_msg("bound %.17g, recall %.17g", least, real);
    if (m > keep && !(least >= steps * (1.0 - 1e-12)))
        fail_msg("bound %.17g, in two steps %.17g", least, steps);
}

static void it_never_exceeds_the_recall_of_random_rows(void **state)
{
    static const float spreads[] = {0.1f, 1.0f, 3.0f};
    static const float noises[]  = {0.0f, 0.1f, 1.0f, 4.0f};
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++)
        for (size_t i = 0; i < 12; i++) {
            float         mass[MOST];
            float         score[MOST];
            const int32_t m = 1 + (int32_t)(seed * 7 % MOST);
            random_row(seed, m, spreads[i % 3], noises[i / 3], mass, score);
            check_row(score, mass, m, 1 + (int32_t)(seed % (uint64_t)m));
        }
}

static void blocks_without_mass_or_score_do_not_break_it(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        float mass[MOST];
        float score[MOST];
        float x[2 * MOST];
        random_row(seed, MOST, 1.0f, 0.5f, mass, score);
        fili_philox_uniform(seed, 1, 0, x, 2 * MOST);
        for (int32_t b = 0; b < MOST; b++) {
            if (x[b] < 0.2f) mass[b] = 0.0f;
            if (x[MOST + b] < 0.2f || (seed % 2 && mass[b] == 0.0f)) score[b] = 0.0f;
        }
        check_row(score, mass, MOST, 1 + (int32_t)(seed % MOST));
    }
}

static void with_exact_scores_it_is_the_recall(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        float         mass[MOST];
        float         score[MOST];
        uint32_t      kept[MOST / 32 + 1];
        const int32_t keep = 1 + (int32_t)seed;
        random_row(seed, MOST, 2.0f, 0.0f, mass, score);
        for (int32_t b = 0; b < MOST; b++)
            score[b] = 4.0f * mass[b];
        filk_select_top(score, MOST, keep, kept);
        const double error = fili_recall_error(score, mass, kept, MOST);
        const double least =
            fili_recall_least(keep, MOST, fili_recall_gap(score, kept, MOST), error);
        assert_true(error <= 1e-9);
        assert_true(fabs(least - recall_of(mass, kept, MOST)) <= 1e-9);
    }
}

static void nan_is_no_bound_and_keeping_all_keeps_all(void **state)
{
    const float    good[3] = {1.0f, 2.0f, 3.0f};
    const float    bad[3]  = {1.0f, NAN, 3.0f};
    const uint32_t kept    = 5;
    (void)state;
    assert_true(isnan(fili_recall_gap(bad, &kept, 3)));
    assert_true(isnan(fili_recall_error(good, bad, &kept, 3)));
    assert_true(isnan(fili_recall_error(bad, good, &kept, 3)));
    assert_true(isnan(fili_recall_least(2, 3, (double)NAN, 0.0)));
    assert_true(fili_recall_least(3, 3, (double)INFINITY, 0.0) == 1.0);
    assert_true(fili_recall_least(0, 3, -(double)INFINITY, 0.0) == 0.0);
    assert_true(fili_recall_least(2, 3, 1.0, (double)INFINITY) == 0.0);
}

/* ---- heads of the fixtures ------------------------------------------------------------------ */

/* Masses of every scored block as samples of their own. */
typedef struct measured {
    fili_tile_scores  t;
    fili_sampled_mass all, some;
    float            *score;
    uint32_t         *mask;
    int32_t          *weight;
} measured;

static void measure(measured *x, const attention_case *c, fili_arena *arena,
                    const fili_blocks *blocks, int32_t per)
{
    assert_int_equal(
        fili_tile_scores_init(&x->t, c->ctx, arena, blocks, per, c->heads, c->head_dim, FIL_F32),
        FIL_OK);
    fili_sampled_mass *s[]    = {&x->all, &x->some};
    const int32_t      most[] = {x->t.m, 4};
    for (int i = 0; i < 2; i++) {
        const fili_sampled_shape shape = {.per      = per,
                                          .most     = most[i],
                                          .heads    = c->heads,
                                          .head_dim = c->head_dim,
                                          .dtype    = FIL_F32};
        assert_int_equal(fili_sampled_mass_init(s[i], c->ctx, arena, blocks, &shape), FIL_OK);
        assert_int_equal(fili_sampled_mass_run(s[i], c->view[0], c->view[1], c->scale), FIL_OK);
    }
    const size_t rows = (size_t)c->heads * (size_t)x->t.m;
    x->score          = malloc(rows * (size_t)x->t.m * sizeof(float));
    x->mask           = malloc(rows * (size_t)fili_mask_words(x->t.m) * sizeof(uint32_t));
    x->weight         = calloc((size_t)x->t.m, sizeof(int32_t));
    assert_true(x->score != NULL && x->mask != NULL && x->weight != NULL);
    for (int32_t b = 0; b < blocks->m; b++)
        x->weight[b / per] += fili_blocks_valid(blocks, b);
}

/* Kept mass of `rows` of head h over what they have. */
static double recall_of_rows(const measured *x, int32_t h, const int32_t *row, int32_t n)
{
    const int32_t m     = x->t.m;
    double        kept  = 0.0;
    double        total = 0.0;
    for (int32_t i = 0; i < n; i++) {
        const int64_t at = (int64_t)h * m + (row != NULL ? row[i] : i);
        for (int32_t b = 0; b < m; b++) {
            const double mass = (double)x->all.mass[at * m + b];
            total += mass;
            if (is_kept(x->mask + at * fili_mask_words(m), b)) kept += mass;
        }
    }
    return kept / total;
}

/* Returns how many heads have a bound above a third of their recall. */
static int check_heads(measured *x, const attention_case *c, int32_t per, int32_t percent)
{
    const int32_t m    = x->t.m;
    const int32_t keep = percent * m / 100 < 1 ? 1 : percent * m / 100;
    int           good = 0;
    assert_int_equal(
        fili_tile_scores_run(&x->t, c->view[0], c->view[1], c->scale, keep, x->mask, x->score),
        FIL_OK);
    for (int32_t h = 0; h < c->heads; h++) {
        float                  measured_rows;
        const fili_recall_head head  = {.mq     = m,
                                        .mk     = m,
                                        .score  = x->score + (int64_t)h * m * m,
                                        .kept   = x->mask + (int64_t)h * m * fili_mask_words(m),
                                        .weight = x->weight,
                                        .n_rows = x->some.n,
                                        .row    = x->some.row,
                                        .mass   = x->some.mass + (int64_t)h * x->some.n * m};
        const double           least = (double)fili_recall_bound(&head, &measured_rows);
        const double           real  = recall_of_rows(x, h, NULL, m);
        const double           own   = recall_of_rows(x, h, x->some.row, x->some.n);
        printf("%d tokens, %d %%, head %d: bound %.3f, recall %.3f; sampled %.3f, %.3f\n", 64 * per,
               percent, h, least, real, (double)measured_rows, own);
        if (!((double)measured_rows <= own)) fail_msg("bound above the recall of the sampled rows");
        if (!(least <= real)) fail_msg("bound above the recall of the head");
        assert_true(least >= 0.0);
        good += least > real / 3.0;
    }
    return good;
}

static void check_fixture(char letter, int least_good)
{
    const fili_order_spec spec = {.kind = FILI_ORDER_HILBERT_XYZ};
    attention_case        c;
    fili_order            order;
    fili_blocks           blocks;
    fil_ctx              *ctx;
    int                   good = 0;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    if (!attention_case_open(&c, ctx, letter, &spec)) {
        fil_ctx_close(&ctx);
        skip();
    }
    assert_int_equal(fili_order_init(&order, ctx, c.grid, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&blocks, &order), FIL_OK);
    for (int32_t per = 1; per <= 2; per++) {
        fili_arena arena;
        measured   x;
        fili_arena_init(&arena, ctx, "test", 0);
        measure(&x, &c, &arena, &blocks, per);
        for (int32_t percent = 10; percent <= 30; percent += 10)
            good += check_heads(&x, &c, per, percent);
        fili_tile_scores_fini(&x.t);
        fili_arena_fini(&arena);
        free(x.score);
        free(x.mask);
        free(x.weight);
    }
    assert_true(good >= least_good);
    fili_blocks_fini(&blocks);
    fili_order_fini(&order);
    attention_case_close(&c);
    fil_ctx_close(&ctx);
}

static void it_never_exceeds_the_recall_of_fixture_a_and_says_something(void **state)
{
    (void)state;
    check_fixture('a', 16); /* of 24 */
}

static void it_never_exceeds_the_recall_of_fixture_b(void **state)
{
    (void)state;
    check_fixture('b', 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_never_exceeds_the_recall_of_random_rows),
        cmocka_unit_test(blocks_without_mass_or_score_do_not_break_it),
        cmocka_unit_test(with_exact_scores_it_is_the_recall),
        cmocka_unit_test(nan_is_no_bound_and_keeping_all_keeps_all),
        cmocka_unit_test(it_never_exceeds_the_recall_of_fixture_a_and_says_something),
        cmocka_unit_test(it_never_exceeds_the_recall_of_fixture_b),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
