/* tests/kernel/check_select.c: every row of block selection against the f64 oracle
 * (kernel/select.h).
 *
 * Scores: EPS (D/8 cond + 32 |score|) from the oracle's condition numbers. The mask is compared bit
 * by bit with the k largest of the scores that the row shows, by a second, slow rule of its own.
 */
#include <stdlib.h>

#include "kernel/check.h"
#include "kernel/row_run.h"
#include "kernel/select.h"

#define EPS  0x1p-24
#define TINY 1e-30

typedef struct select_case {
    filk_select_problem p;
    filk_select_args    a;
    int32_t            *q_tiles, *k_tiles;
    check_buffer        q, k, count, mask, score;
} select_case;

static int32_t *make_tiles(check_rng *rng, int32_t m, int32_t most)
{
    int32_t *t = row_need(malloc(sizeof(int32_t) * (size_t)(m + 1)));
    t[0]       = 0;
    for (int32_t i = 0; i < m; i++)
        t[i + 1] = t[i] + (int32_t)check_between(rng, 1, most);
    return t;
}

static void fill(check_rng *rng, check_buffer *b, int64_t n, double sigma)
{
    check_buffer_make(b, (size_t)n * sizeof(float), 4, 0);
    check_fill_normal(rng, FIL_F32, b->data, n, sigma);
}

/* most: tiles of a block, at most. */
static void make_case(select_case *c, check_rng *rng, filk_select_kind kind, int32_t mq, int32_t mk,
                      int32_t most)
{
    static const int32_t dims[] = {128, 64, 13, 1};
    filk_select_problem *p      = &c->p;
    memset(c, 0, sizeof *c);
    if (kind == FILK_SELECT_LOGIT) most = 1;
    c->q_tiles  = make_tiles(rng, mq, most);
    c->k_tiles  = make_tiles(rng, mk, most);
    p->kind     = kind;
    p->kv_heads = (int32_t)check_between(rng, 1, 2);
    p->heads    = p->kv_heads * (int32_t)check_between(rng, 1, 2);
    p->head_dim = dims[check_between(rng, 0, 3)];
    p->mq       = mq;
    p->mk       = mk;
    p->q_tiles  = c->q_tiles;
    p->k_tiles  = c->k_tiles;
    p->tq       = c->q_tiles[mq];
    p->tk       = c->k_tiles[mk];
    p->keep     = (int32_t)check_between(rng, 1, mk);
    fill(rng, &c->q, (int64_t)p->tq * p->heads * p->head_dim, 2.0);
    fill(rng, &c->k, (int64_t)p->tk * p->kv_heads * p->head_dim, 1.0);
    check_buffer_make(&c->mask, sizeof(uint32_t) * (size_t)(p->heads * mq * ((mk + 31) / 32)), 4,
                      0);
    check_buffer_make(&c->score, sizeof(float) * (size_t)(p->heads * mq * mk), 4, 0);
    c->a = (filk_select_args){.q     = (float *)(void *)c->q.data,
                              .k     = (float *)(void *)c->k.data,
                              .scale = 1.0f / sqrtf((float)p->head_dim),
                              .mask  = (uint32_t *)(void *)c->mask.data,
                              .score = (float *)(void *)c->score.data};
}

/* A list for each key-value head, or one for all. About a fifth of the tiles are empty. */
static void add_counts(select_case *c, check_rng *rng)
{
    const int32_t lists = check_chance(rng, 50) ? c->p.kv_heads : 1;
    check_buffer_make(&c->count, sizeof(int32_t) * (size_t)(lists * c->p.tk), 4, 0);
    int32_t *count = (int32_t *)(void *)c->count.data;
    for (int32_t i = 0; i < lists * c->p.tk; i++)
        count[i] = (int32_t)check_between(rng, 0, 4);
    c->a.count          = count;
    c->a.count_stride_h = lists > 1 ? c->p.tk : 0;
}

static void free_case(select_case *c)
{
    check_buffer_free(&c->q);
    check_buffer_free(&c->k);
    check_buffer_free(&c->mask);
    check_buffer_free(&c->score);
    if (c->count.map != NULL) check_buffer_free(&c->count);
    free(c->q_tiles);
    free(c->k_tiles);
}

static void run_case(const filk_row *row, select_case *c, int32_t n_threads)
{
    memset(c->mask.data, 0xFF, c->mask.bytes);
    memset(c->score.data, 0xFF, c->score.bytes);
    row_run(row, &c->p, &c->a, n_threads);
    if (!check_buffer_intact(&c->mask) || !check_buffer_intact(&c->score))
        check_fail("run wrote beside its outputs");
}

/* 1 if score[x] ranks before score[y]: by the words of the contract. */
static int ranks_before(const float *score, int32_t x, int32_t y)
{
    if (isnan(score[x]) || isnan(score[y]))
        return isnan(score[x]) && isnan(score[y]) ? x < y : isnan(score[y]);
    if (score[x] == score[y]) return x < y;
    return score[x] > score[y];
}

static void verify_mask(const select_case *c, int64_t row)
{
    const int32_t   mk    = c->p.mk;
    const int32_t   words = (mk + 31) / 32;
    const float    *score = c->a.score + row * mk;
    const uint32_t *bits  = c->a.mask + row * words;
    for (int32_t b = 0; b < 32 * words; b++) {
        int32_t before = 0;
        for (int32_t o = 0; b < mk && o < mk; o++)
            before += o != b && ranks_before(score, o, b);
        const int want = b < mk && before < c->p.keep;
        if ((int)(bits[b / 32] >> (b % 32) & 1u) != want)
            check_fail("row %lld, block %d of %d: bit %d expected (%d rank before it, %d are kept)",
                       (long long)row, b, mk, want, before, c->p.keep);
    }
}

static void verify(const select_case *c)
{
    const filk_select_problem *p      = &c->p;
    check_report               report = {.what = "score"};
    double                    *want   = row_need(malloc(sizeof(double) * (size_t)p->mk));
    double                    *cond   = row_need(malloc(sizeof(double) * (size_t)p->mk));
    for (int32_t h = 0; h < p->heads; h++)
        for (int32_t u = 0; u < p->mq; u++) {
            const int64_t row = (int64_t)h * p->mq + u;
            filk_select_oracle_row(p, &c->a, h, u, want, cond);
            for (int32_t v = 0; v < p->mk; v++) {
                const double t = EPS * (p->head_dim / 8.0 * cond[v] + 32.0 * fabs(want[v])) + TINY;
                check_value(&report, h, u, v, (double)c->a.score[row * p->mk + v], want[v],
                            isfinite(t) ? t : 0.0);
            }
            verify_mask(c, row);
        }
    free(want);
    free(cond);
    check_report_verdict(&report, 1e-9);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void random_problems_agree_with_the_definition(const filk_row *row)
{
    for (int64_t i = 0; i < check_opt.problems; i++) {
        check_rng   rng = {.seed = check_opt.seed + (uint64_t)i, .stream = 1};
        select_case c;
        check_case(row->name, __func__, rng.seed);
        const filk_select_kind kind =
            check_chance(&rng, 70) ? FILK_SELECT_SOFTMAX : FILK_SELECT_LOGIT;
        make_case(&c, &rng, kind, (int32_t)check_between(&rng, 1, 40),
                  (int32_t)check_between(&rng, 1, 150), (int32_t)check_between(&rng, 1, 9));
        if (check_chance(&rng, 50)) add_counts(&c, &rng);
        run_case(row, &c, 2);
        verify(&c);
        free_case(&c);
    }
}

static void blocks_of_64_tiles_and_tables_longer_than_a_step_agree(const filk_row *row)
{
    check_rng   rng = {.seed = check_opt.seed, .stream = 2};
    select_case c;
    make_case(&c, &rng, FILK_SELECT_SOFTMAX, 3, 9, 64);
    run_case(row, &c, 3);
    verify(&c);
    free_case(&c);
    make_case(&c, &rng, FILK_SELECT_LOGIT, 5, 1000, 1);
    run_case(row, &c, 3);
    verify(&c);
    free_case(&c);
}

static void of_equal_scores_the_first_blocks_are_kept(const filk_row *row)
{
    check_rng   rng = {.seed = check_opt.seed, .stream = 3};
    select_case c;
    make_case(&c, &rng, FILK_SELECT_LOGIT, 4, 200, 1);
    c.p.keep = 77;
    memset(c.k.data, 0, c.k.bytes);
    run_case(row, &c, 1);
    for (int32_t w = 0; w < 7; w++)
        assert_int_equal(c.a.mask[w], w < 2 ? ~0u : w == 2 ? (1u << 13) - 1 : 0u);
    verify(&c);
    free_case(&c);
}

static void every_block_can_be_kept(const filk_row *row)
{
    check_rng   rng = {.seed = check_opt.seed, .stream = 4};
    select_case c;
    make_case(&c, &rng, FILK_SELECT_SOFTMAX, 3, 65, 3);
    c.p.keep = 65;
    run_case(row, &c, 1);
    assert_int_equal(c.a.mask[0], ~0u);
    assert_int_equal(c.a.mask[2], 1);
    free_case(&c);
}

static void nan_ranks_last_and_stays_in_its_rows(const filk_row *row)
{
    for (int kind = 0; kind < 2; kind++) {
        check_rng   rng = {.seed = check_opt.seed, .stream = 5};
        select_case c;
        make_case(&c, &rng, (filk_select_kind)kind, 70, 40, 3);
        check_store(FIL_F32, c.q.data, (int64_t)c.q_tiles[9] * c.p.heads * c.p.head_dim,
                    (double)NAN);
        if (kind == FILK_SELECT_LOGIT)
            check_store(FIL_F32, c.k.data, (int64_t)7 * c.p.kv_heads * c.p.head_dim, (double)NAN);
        run_case(row, &c, 2);
        verify(&c);
        free_case(&c);
    }
}

static void bad_values_in_an_empty_key_tile_have_no_effect_on_votes(const filk_row *row)
{
    check_rng   rng = {.seed = check_opt.seed, .stream = 6};
    select_case c;
    make_case(&c, &rng, FILK_SELECT_SOFTMAX, 6, 50, 3);
    add_counts(&c, &rng);
    for (int32_t j = 0; j < c.p.tk; j++)
        for (int32_t h = 0; h < c.p.kv_heads; h++)
            if (c.a.count[h * c.a.count_stride_h + j] == 0)
                check_store(FIL_F32, c.k.data, ((int64_t)j * c.p.kv_heads + h) * c.p.head_dim,
                            j % 2 ? (double)NAN : (double)INFINITY);
    run_case(row, &c, 1);
    verify(&c);
    free_case(&c);
}

static void same_bits_for_any_number_of_threads(const filk_row *row)
{
    static const int32_t threads[] = {2, 3, 7};
    check_rng            rng       = {.seed = check_opt.seed, .stream = 7};
    select_case          c;
    make_case(&c, &rng, FILK_SELECT_SOFTMAX, 30, 100, 4);
    run_case(row, &c, 1);
    void *first = row_need(malloc(c.score.bytes));
    memcpy(first, c.score.data, c.score.bytes);
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        run_case(row, &c, threads[t]);
        check_same_bytes("score", c.score.data, first, c.score.bytes);
    }
    free(first);
    free_case(&c);
}

static void the_mask_is_the_same_if_scores_are_not_wanted(const filk_row *row)
{
    check_rng   rng = {.seed = check_opt.seed, .stream = 8};
    select_case c;
    make_case(&c, &rng, FILK_SELECT_SOFTMAX, 12, 77, 4);
    run_case(row, &c, 1);
    void *first = row_need(malloc(c.mask.bytes));
    memcpy(first, c.mask.data, c.mask.bytes);
    c.a.score = NULL;
    run_case(row, &c, 1);
    check_same_bytes("mask", c.mask.data, first, c.mask.bytes);
    free(first);
    free_case(&c);
}

#define TEST(claim)                                                                                \
    {                                                                                              \
#claim, claim                                                                              \
    }

static const check_test tests[] = {
    TEST(random_problems_agree_with_the_definition),
    TEST(blocks_of_64_tiles_and_tables_longer_than_a_step_agree),
    TEST(of_equal_scores_the_first_blocks_are_kept),
    TEST(every_block_can_be_kept),
    TEST(nan_ranks_last_and_stays_in_its_rows),
    TEST(bad_values_in_an_empty_key_tile_have_no_effect_on_votes),
    TEST(same_bits_for_any_number_of_threads),
    TEST(the_mask_is_the_same_if_scores_are_not_wanted),
};

int main(int argc, char **argv)
{
    if (check_options_read(argc, argv, "check_select", 40) != 0) return 2;
    return check_run(&filk_selection, tests, sizeof tests / sizeof tests[0]);
}
