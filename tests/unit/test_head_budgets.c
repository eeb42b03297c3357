/* tests/unit/test_head_budgets.c: shares of density by equal slope (sparse/head_budgets.h), and the
 * order in which blocks are bought (sparse/block_rank.h).
 */
#include <math.h>
#include <stdlib.h>

#include "sparse/block_rank.h"
#include "sparse/head_budgets.h"
#include "support/cmocka_all.h"

enum { HEADS = 3 };

static fil_ctx   *ctx;
static fili_arena arena;

static int start(void **state)
{
    (void)state;
    if (fil_ctx_open(&ctx, NULL) != FIL_OK) return 1;
    fili_arena_init(&arena, ctx, "test", 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    fili_arena_fini(&arena);
    fil_ctx_close(&ctx);
    return 0;
}

/* Errors of a head that falls by exp(-rate) for each density asked for. */
static void fill(double *error, double size, double rate)
{
    for (int k = 0; k < FILI_PROFILE; k++)
        error[k] = size * exp(-rate * fili_profile_share[k]);
}

static void run(const double *error, double density, double least, double *budget)
{
    fili_head_budgets b;
    assert_int_equal(fili_head_budgets_init(&b, &arena, HEADS), FIL_OK);
    (void)fili_head_budgets_run(&b, error, density, least, budget);
}

static double mean(const double *x)
{
    return (x[0] + x[1] + x[2]) / 3.0;
}

static void equal_heads_get_equal_shares(void **state)
{
    double error[HEADS * FILI_PROFILE];
    double budget[HEADS];
    (void)state;
    for (int h = 0; h < HEADS; h++)
        fill(error + (ptrdiff_t)h * FILI_PROFILE, 1.0, 2.0);
    run(error, 0.1, 0.0, budget);
    for (int h = 0; h < HEADS; h++)
        assert_true(fabs(budget[h] - 0.1) < 0.0011);
    assert_true(mean(budget) <= 0.1 + 1e-12);
}

static void density_goes_where_it_buys_most(void **state)
{
    double error[HEADS * FILI_PROFILE];
    double budget[HEADS];
    (void)state;
    fill(error, 100.0, 2.0);
    fill(error + FILI_PROFILE, 1.0, 2.0);
    fill(error + (ptrdiff_t)2 * FILI_PROFILE, 100.0, 0.0); /* flat */
    run(error, 0.1, 0.02, budget);
    assert_true(budget[0] > budget[1] && budget[1] >= budget[2]);
    assert_true(fabs(budget[2] - 0.02) < 0.0011);
    assert_true(fabs(mean(budget) - 0.1) < 1e-9);
    /* Equal slopes: 100 exp(-2 x) = exp(-2 y) at x - y = ln 10. */
    if (budget[0] < 0.499) assert_true(fabs((budget[0] - budget[1]) / 0.1 - log(10.0)) < 0.35);
}

static void no_head_gets_more_than_all_or_less_than_the_least(void **state)
{
    double error[HEADS * FILI_PROFILE];
    double budget[HEADS];
    (void)state;
    fill(error, 1e6, 3.0);
    fill(error + FILI_PROFILE, 1.0, 1.0);
    fill(error + (ptrdiff_t)2 * FILI_PROFILE, 1.0, 1.0);
    run(error, 0.6, 0.3, budget);
    for (int h = 0; h < HEADS; h++)
        assert_true(budget[h] <= 1.0 && budget[h] >= 0.3 - 1e-9);
    assert_true(mean(budget) <= 0.6 + 1e-12);
    run(error, 0.6, 0.6, budget);
    for (int h = 0; h < HEADS; h++)
        assert_true(fabs(budget[h] - 0.6) < 1e-9);
}

static void a_nan_makes_its_head_one_that_nothing_is_spent_on(void **state)
{
    double error[HEADS * FILI_PROFILE];
    double budget[HEADS];
    (void)state;
    for (int h = 0; h < HEADS; h++)
        fill(error + (ptrdiff_t)h * FILI_PROFILE, 1.0, 2.0);
    error[3] = (double)NAN;
    run(error, 0.1, 0.0, budget);
    assert_true(budget[0] < budget[1] && mean(budget) <= 0.1 + 1e-12);
    for (int i = 0; i < HEADS * FILI_PROFILE; i++)
        error[i] = (double)NAN;
    run(error, 0.1, 0.0, budget);
    assert_true(mean(budget) <= 0.1 + 1e-12 && mean(budget) > 0.099);
}

/* ---- blocks --------------------------------------------------------------------------------- */

static void the_best_of_each_row_stands_first_then_the_best_of_all(void **state)
{
    static const float   score[9] = {9, 8, 7, 3, 2, NAN, 1, 6, -INFINITY};
    static const int32_t tiles[4] = {0, 1, 2, 3};
    static const int32_t want[9]  = {0, 3, 7, 1, 2, 4, 6, 8, 5};
    fili_block_rank      rank;
    (void)state;
    assert_int_equal(fili_block_rank_init(&rank, &arena, 3), FIL_OK);
    fili_block_rank_sort(&rank, score, tiles);
    for (int i = 0; i < 9; i++)
        assert_int_equal(rank.index[0][i], want[i]);
}

static void a_score_counts_per_pair_of_tiles(void **state)
{
    static const float   score[4] = {4, 3, 4, 3};
    static const int32_t tiles[3] = {0, 4, 5};
    fili_block_rank      rank;
    (void)state;
    assert_int_equal(fili_block_rank_init(&rank, &arena, 2), FIL_OK);
    fili_block_rank_sort(&rank, score, tiles);
    assert_int_equal(rank.index[0][0], 1); /* 3 / 4 against 4 / 16 */
    assert_int_equal(rank.index[0][1], 3);
    assert_int_equal(rank.index[0][2], 2); /* 4 / 4 */
    assert_int_equal(rank.index[0][3], 0);
}

static void equal_scores_go_by_place(void **state)
{
    static const float   score[9] = {0};
    static const int32_t tiles[4] = {0, 1, 2, 3};
    static const int32_t want[9]  = {0, 3, 6, 1, 2, 4, 5, 7, 8};
    fili_block_rank      rank;
    (void)state;
    assert_int_equal(fili_block_rank_init(&rank, &arena, 3), FIL_OK);
    fili_block_rank_sort(&rank, score, tiles);
    for (int i = 0; i < 9; i++)
        assert_int_equal(rank.index[0][i], want[i]);
}

static void a_budget_buys_the_list_up_to_what_it_cannot_pay(void **state)
{
    static const float   score[4]   = {4, 3, 2, 5};
    static const int32_t tiles[3]   = {0, 1, 2};
    static const int32_t rows[2]    = {10, 20};
    static const int32_t columns[2] = {3, 4};
    static const double  budget[3]  = {29, 30, 150};
    fili_block_rank      rank;
    (void)state;
    assert_int_equal(fili_block_rank_init(&rank, &arena, 2), FIL_OK);
    fili_block_rank_sort(&rank, score, tiles);
    fili_block_rank_levels(&rank, rows, columns, budget, 3);
    /* 0: 30, 3: 80, 1: 40, 2: 60 */
    assert_int_equal(rank.level[0], 1);
    assert_int_equal(rank.level[3], 2);
    assert_int_equal(rank.level[1], 2);
    assert_int_equal(rank.level[2], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(equal_heads_get_equal_shares, start, end),
        cmocka_unit_test_setup_teardown(density_goes_where_it_buys_most, start, end),
        cmocka_unit_test_setup_teardown(no_head_gets_more_than_all_or_less_than_the_least, start,
                                        end),
        cmocka_unit_test_setup_teardown(a_nan_makes_its_head_one_that_nothing_is_spent_on, start,
                                        end),
        cmocka_unit_test_setup_teardown(the_best_of_each_row_stands_first_then_the_best_of_all,
                                        start, end),
        cmocka_unit_test_setup_teardown(a_score_counts_per_pair_of_tiles, start, end),
        cmocka_unit_test_setup_teardown(equal_scores_go_by_place, start, end),
        cmocka_unit_test_setup_teardown(a_budget_buys_the_list_up_to_what_it_cannot_pay, start,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
