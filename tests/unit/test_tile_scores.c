/* tests/unit/test_tile_scores.c: sparse/tile_scores.h and sparse/sampled_mass.h against the
 * methods' fixtures and against a pass over all blocks. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/mask.h"
#include "sparse/sampled_mass.h"
#include "sparse/tile_scores.h"
#include "support/attention_case.h"
#include "support/cmocka_all.h"

typedef struct rig {
    fil_ctx    *ctx;
    fili_arena  arena;
    fili_order  order;
    fili_blocks blocks;
} rig;

static const fili_order_spec hilbert_xyz = {.kind = FILI_ORDER_HILBERT_XYZ};

static int set_up(void **state)
{
    fil_options opt;
    rig        *r = calloc(1, sizeof *r);
    assert_non_null(r);
    fil_options_init(&opt);
    opt.n_threads = 2;
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    fili_arena_init(&r->arena, r->ctx, "test", 0);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    fili_arena_fini(&r->arena);
    if (r->blocks.ctx != NULL) fili_blocks_fini(&r->blocks);
    if (r->order.ctx != NULL) fili_order_fini(&r->order);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
    free(r);
    return 0;
}

static void cut(rig *r, fili_grid grid, const fili_order_spec *spec)
{
    if (r->blocks.ctx != NULL) fili_blocks_fini(&r->blocks);
    if (r->order.ctx != NULL) fili_order_fini(&r->order);
    assert_int_equal(fili_order_init(&r->order, r->ctx, grid, spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&r->blocks, &r->order), FIL_OK);
}

static void *need(size_t count, size_t size)
{
    void *p = calloc(count, size);
    assert_non_null(p);
    return p;
}

/* ---- fixtures ------------------------------------------------------------------------------- */

static void compare(const float *got, const float *want, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= 1e-5f))
            fail_msg("score %lld: %.9g, expected %.9g", (long long)i, (double)got[i],
                     (double)want[i]);
}

static void check_blocks(rig *r, const attention_case *c, int32_t per, const char *name)
{
    fili_tile_scores t;
    int64_t          n;
    float           *want = attention_case_tensor(c, name, FIL_F32, &n);
    assert_int_equal(fili_tile_scores_init(&t, r->ctx, &r->arena, &r->blocks, per, c->heads,
                                           c->head_dim, FIL_F32),
                     FIL_OK);
    assert_int_equal(n, (int64_t)c->heads * t.m * t.m);
    float    *score = need((size_t)n, sizeof *score);
    uint32_t *mask  = need((size_t)(c->heads * t.m * fili_mask_words(t.m)), sizeof *mask);
    assert_int_equal(fili_tile_scores_run(&t, c->view[0], c->view[1], c->scale, 1, mask, score),
                     FIL_OK);
    compare(score, want, n);
    fili_tile_scores_fini(&t);
    free(mask);
    free(score);
    free(want);
}

static void scores_of_blocks_agree_with_the_methods_fixtures(void **state)
{
    rig *r = *state;
    for (char letter = 'a'; letter <= 'b'; letter++) {
        attention_case c;
        if (!attention_case_open(&c, r->ctx, letter, &hilbert_xyz)) skip();
        cut(r, c.grid, &hilbert_xyz);
        check_blocks(r, &c, 2, "dfs_block128");
        check_blocks(r, &c, 1, "dfs_block64");
        attention_case_close(&c);
    }
}

/* Each tile as a block of its own. */
static void scores_of_tiles_agree_with_the_methods_fixture(void **state)
{
    rig           *r = *state;
    attention_case c;
    fili_blocks    tiles;
    int64_t        n;
    if (!attention_case_open(&c, r->ctx, 'a', &hilbert_xyz)) skip();
    cut(r, c.grid, &hilbert_xyz);
    assert_int_equal(fili_blocks_split(&tiles, &r->blocks, FILI_SUBRUN_TOKENS, NULL), FIL_OK);
    float           *want = attention_case_tensor(&c, "dfs_tile16", FIL_F32, &n);
    fili_tile_scores t;
    assert_int_equal(
        fili_tile_scores_init(&t, r->ctx, &r->arena, &tiles, 1, c.heads, c.head_dim, FIL_F32),
        FIL_OK);
    assert_int_equal(n, (int64_t)c.heads * t.m * t.m);
    float    *score = need((size_t)n, sizeof *score);
    uint32_t *mask  = need((size_t)(c.heads * t.m * fili_mask_words(t.m)), sizeof *mask);
    assert_int_equal(fili_tile_scores_run(&t, c.view[0], c.view[1], c.scale, 1, mask, score),
                     FIL_OK);
    compare(score, want, n);
    fili_tile_scores_fini(&t);
    fili_blocks_fini(&tiles);
    free(mask);
    free(score);
    free(want);
    attention_case_close(&c);
}

/* ---- laws ----------------------------------------------------------------------------------- */

/* Rows sum to the tiles of their block, pairs are sums of their halves' tiles, one token works. */
static void check_sums(rig *r, fili_grid grid, const fili_order_spec *spec, int32_t per)
{
    enum { HEADS = 2, D = 64 };
    cut(r, grid, spec);
    const int64_t        n    = (int64_t)r->order.n * HEADS * D;
    float               *x    = need((size_t)n, sizeof *x);
    const filk_attn_view view = {.data = x, .stride_n = HEADS * D, .stride_h = D};
    fili_tile_scores     t;
    fili_philox_normal(5, 0, 0, x, n);
    assert_int_equal(
        fili_tile_scores_init(&t, r->ctx, &r->arena, &r->blocks, per, HEADS, D, FIL_F32), FIL_OK);
    const int32_t m     = t.m;
    float        *score = need((size_t)HEADS * (size_t)m * (size_t)m, sizeof *score);
    uint32_t     *mask  = need((size_t)(HEADS * m * fili_mask_words(m)), sizeof *mask);
    assert_int_equal(fili_tile_scores_run(&t, view, view, 0.125f, (m + 1) / 2, mask, score),
                     FIL_OK);
    for (int32_t row = 0; row < HEADS * m; row++) {
        const int32_t u     = row % m;
        double        sum   = 0.0;
        int32_t       tiles = 0;
        int32_t       kept  = 0;
        for (int32_t v = 0; v < m; v++) {
            sum += (double)score[(int64_t)row * m + v];
            kept += (int32_t)(mask[row * fili_mask_words(m) + v / 32] >> v % 32 & 1u);
        }
        for (int32_t b = u * per; b < (u + 1) * per && b < r->blocks.m; b++)
            tiles += (fili_blocks_valid(&r->blocks, b) + 15) / 16;
        if (!(fabs(sum - tiles) <= 1e-4)) fail_msg("row %d: %.9g of %d votes", row, sum, tiles);
        assert_int_equal(kept, (m + 1) / 2);
    }
    fili_tile_scores_fini(&t);
    free(mask);
    free(score);
    free(x);
}

static void each_tile_has_one_vote_on_any_grid(void **state)
{
    const fili_order_spec cubes = {.kind = FILI_ORDER_CUBES, .cube = {3, 5, 4}};
    rig                  *r     = *state;
    for (int32_t per = 1; per <= 2; per++) {
        check_sums(r, (fili_grid){1, 1, 1}, &hilbert_xyz, per);
        check_sums(r, (fili_grid){2, 5, 7}, &hilbert_xyz, per);
        check_sums(r, (fili_grid){3, 9, 11}, &hilbert_xyz, per);
        check_sums(r, (fili_grid){4, 7, 9}, &cubes, per);
    }
}

/* ---- sampled masses ------------------------------------------------------------------------- */

static void check_sampled(rig *r, fili_grid grid, const fili_order_spec *spec, int32_t per)
{
    enum { HEADS = 2, D = 64 };
    cut(r, grid, spec);
    const int32_t            m     = r->blocks.m;
    const int64_t            n     = (int64_t)r->order.n * HEADS * D;
    float                   *x     = need((size_t)n, sizeof *x);
    float                   *mass  = need((size_t)HEADS * (size_t)m * (size_t)m, sizeof *mass);
    const filk_attn_view     view  = {.data = x, .stride_n = HEADS * D, .stride_h = D};
    const filk_mass_args     args  = {.q = view, .k = view, .scale = 0.1f, .mass = mass};
    const filk_mass_problem  all   = {.nq       = r->order.n,
                                      .nk       = r->order.n,
                                      .heads    = HEADS,
                                      .kv_heads = HEADS,
                                      .head_dim = D,
                                      .dtype    = FIL_F32,
                                      .mq       = m,
                                      .mk       = m,
                                      .q_offset = r->blocks.offset,
                                      .k_offset = r->blocks.offset};
    const filk_row          *row   = &filk_mass.rows[filk_mass.n_rows - 1];
    const fili_sampled_shape shape = {
        .per = per, .most = 3, .heads = HEADS, .head_dim = D, .dtype = FIL_F32};
    fili_sampled_mass s;
    void             *space;
    fili_philox_normal(6, 0, 0, x, n);
    assert_int_equal(fili_arena_alloc(&r->arena, row->workspace(&all, 2), &space), FIL_OK);
    assert_int_equal(row->run(r->ctx, &all, &args, space), FIL_OK);
    assert_int_equal(fili_sampled_mass_init(&s, r->ctx, &r->arena, &r->blocks, &shape), FIL_OK);
    assert_int_equal(fili_sampled_mass_run(&s, view, view, 0.1f), FIL_OK);
    for (int32_t h = 0; h < HEADS; h++)
        for (int32_t i = 0; i < s.n; i++)
            for (int32_t v = 0; v < s.m; v++) {
                double want = 0.0;
                for (int32_t a = s.row[i] * per; a < (s.row[i] + 1) * per && a < m; a++)
                    for (int32_t b = v * per; b < (v + 1) * per && b < m; b++)
                        want += (double)mass[((int64_t)h * m + a) * m + b];
                const float got = s.mass[((int64_t)h * s.n + i) * s.m + v];
                if (!(fabs((double)got - want) <= 1e-4))
                    fail_msg("sample %d, column %d: %.9g, expected %.9g", i, v, (double)got, want);
            }
    free(mass);
    free(x);
}

static void sampled_masses_are_rows_of_all_masses(void **state)
{
    const fili_order_spec cubes = {.kind = FILI_ORDER_CUBES, .cube = {3, 5, 4}};
    rig                  *r     = *state;
    for (int32_t per = 1; per <= 2; per++) {
        check_sampled(r, (fili_grid){1, 1, 1}, &hilbert_xyz, per);
        check_sampled(r, (fili_grid){3, 9, 11}, &hilbert_xyz, per);
        check_sampled(r, (fili_grid){4, 7, 9}, &cubes, per);
    }
}

/* One token of a head is no number: rows of the other head keep their bits, and those of its own
 * are numbers that sum to the votes of their tiles. */
static void a_token_that_is_no_number_takes_out_its_tile_alone(void **state)
{
    enum { HEADS = 2, DIM = 64 };
    rig             *r = *state;
    fili_tile_scores t;
    cut(r, (fili_grid){3, 9, 11}, &hilbert_xyz);
    const int32_t        n    = fili_blocks_tokens(&r->blocks);
    const int32_t        m    = r->blocks.m;
    const size_t         all  = (size_t)n * HEADS * DIM;
    const size_t         rows = (size_t)HEADS * (size_t)m;
    float               *x    = need(all, sizeof *x);
    float               *a    = need(rows * (size_t)m, sizeof *a);
    float               *c    = need(rows * (size_t)m, sizeof *c);
    uint32_t            *mask = need(rows * (size_t)fili_mask_words(m), sizeof *mask);
    const filk_attn_view view = {.data = x, .stride_n = HEADS * DIM, .stride_h = DIM};
    fili_philox_normal(9, 0, 0, x, (int64_t)all);
    assert_int_equal(
        fili_tile_scores_init(&t, r->ctx, &r->arena, &r->blocks, 1, HEADS, DIM, FIL_F32), FIL_OK);
    assert_int_equal(fili_tile_scores_run(&t, view, view, 0.1f, 1, mask, a), FIL_OK);
    x[100 * HEADS * DIM + 5] = NAN; /* head 0 */
    assert_int_equal(fili_tile_scores_run(&t, view, view, 0.1f, 1, mask, c), FIL_OK);
    assert_memory_equal(a + rows / 2 * (size_t)m, c + rows / 2 * (size_t)m,
                        rows / 2 * (size_t)m * sizeof *a);
    for (int32_t u = 0; u < m; u++) {
        double sum = 0.0;
        for (int32_t v = 0; v < m; v++)
            sum += (double)c[u * m + v];
        const double tiles = t.first[u + 1] - t.first[u];
        if (!(fabs(sum - tiles) <= 1e-5)) fail_msg("row %d sums to %g, expected %g", u, sum, tiles);
    }
    fili_tile_scores_fini(&t);
    free(mask);
    free(c);
    free(a);
    free(x);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(scores_of_blocks_agree_with_the_methods_fixtures),
        TEST(scores_of_tiles_agree_with_the_methods_fixture),
        TEST(each_tile_has_one_vote_on_any_grid),
        TEST(sampled_masses_are_rows_of_all_masses),
        TEST(a_token_that_is_no_number_takes_out_its_tile_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
