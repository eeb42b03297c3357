/* tests/unit/test_blocks.c: sparse/blocks.h: runs, pairs, sub-runs, and whose blocks are whose. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sparse/blocks.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"

static uint64_t rng_state;

static uint32_t draw(uint32_t n) /* splitmix64 */
{
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

static void seed(uint64_t value)
{
    rng_state = value;
    printf("seed %llu\n", (unsigned long long)value);
}

static fili_grid draw_grid(uint32_t longest)
{
    return (fili_grid){.f = 1 + (int32_t)draw(longest),
                       .h = 1 + (int32_t)draw(longest),
                       .w = 1 + (int32_t)draw(longest)};
}

static fil_ctx *open_ctx(void)
{
    fil_ctx *ctx;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    return ctx;
}

static fili_order order_of(fil_ctx *ctx, fili_grid grid, const char *name)
{
    fili_order_spec spec;
    fili_order      order;
    assert_int_equal(fili_order_parse(ctx, name, &spec), FIL_OK);
    assert_int_equal(fili_order_init(&order, ctx, grid, &spec), FIL_OK);
    return order;
}

static fili_blocks blocks_of(const fili_order *order)
{
    fili_blocks b;
    assert_int_equal(fili_blocks_from_order(&b, order), FIL_OK);
    return b;
}

static void equals(const fili_blocks *b, const int32_t *offset, int32_t m)
{
    assert_int_equal(b->m, m);
    for (int32_t i = 0; i <= m; i++)
        assert_int_equal(b->offset[i], offset[i]);
}

static void fails_with(fil_ctx *ctx, fil_status got, fil_status want, const char *text)
{
    assert_int_equal(got, want);
    if (strcmp(fil_ctx_error(ctx)->message, text) != 0)
        fail_msg("'%s' is not '%s'", fil_ctx_error(ctx)->message, text);
    fili_ctx_enter(ctx);
}

/* ---- from an order -------------------------------------------------------------------------- */

static void an_order_without_cubes_has_runs_of_64_and_a_rest(void **state)
{
    (void)state;
    static const int32_t want[]  = {0, 64, 128, 192, 256, 270};
    static const char   *names[] = {"raster", "hilbert", "hilbert-xyz"};
    fil_ctx             *ctx     = open_ctx();
    for (int i = 0; i < 3; i++) {
        fili_order  o = order_of(ctx, (fili_grid){5, 6, 9}, names[i]);
        fili_blocks b = blocks_of(&o);
        equals(&b, want, 5);
        assert_int_equal(fili_blocks_valid(&b, 4), 14);
        fili_blocks_fini(&b);
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

static void a_ragged_cube_is_a_shorter_run(void **state)
{
    (void)state;
    static const int32_t want[] = {0, 64, 128, 144, 176, 208, 216, 232, 248, 252, 260, 268, 270};
    fil_ctx             *ctx    = open_ctx();
    fili_order           o      = order_of(ctx, (fili_grid){5, 6, 9}, "cubes 4x4x4");
    fili_blocks          b      = blocks_of(&o);
    equals(&b, want, 12);
    fili_blocks_fini(&b);
    fili_order_fini(&o);
    fil_ctx_close(&ctx);
}

static void a_cube_of_more_than_64_tokens_is_several_runs(void **state)
{
    (void)state;
    /* Two cubes of 4x5x5 = 100 tokens, two of 4x5x2 = 40. */
    static const int32_t want[] = {0, 64, 100, 140, 204, 240, 280};
    fil_ctx             *ctx    = open_ctx();
    fili_order           o      = order_of(ctx, (fili_grid){4, 10, 7}, "cubes 4x5x5");
    fili_blocks          b      = blocks_of(&o);
    equals(&b, want, 6);
    fili_blocks_fini(&b);
    fili_order_fini(&o);
    fil_ctx_close(&ctx);
}

static void runs_partition_the_sequence_and_never_cross_a_cube(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(81);
    for (int i = 0; i < 200; i++) {
        const fili_order_spec spec = {.kind = (fili_order_kind)draw(5), .cube = draw_grid(12)};
        fili_order            o;
        assert_int_equal(fili_order_init(&o, ctx, draw_grid(20), &spec), FIL_OK);
        fili_blocks b = blocks_of(&o);
        int32_t     p = 0;
        assert_int_equal(b.offset[0], 0);
        assert_int_equal(fili_blocks_tokens(&b), o.n);
        for (int32_t k = 0; k < b.m; k++) {
            assert_in_range(fili_blocks_valid(&b, k), 1, 64);
            while (o.piece[p + 1] <= b.offset[k])
                p++;
            assert_true(b.offset[k + 1] <= o.piece[p + 1]);
            /* Only the last run of a piece is short. */
            assert_true(fili_blocks_valid(&b, k) == 64 || b.offset[k + 1] == o.piece[p + 1]);
        }
        fili_blocks_fini(&b);
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

static int by_value(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a;
    const int32_t y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* The order's blocks as sets: tokens of each block sorted, then the blocks by their first token. */
static int32_t *block_sets(const fili_order *o)
{
    fili_blocks b    = blocks_of(o);
    int32_t    *sets = malloc((size_t)o->n * sizeof *sets);
    assert_non_null(sets);
    memcpy(sets, o->order, (size_t)o->n * sizeof *sets);
    for (int32_t k = 0; k < b.m; k++) {
        assert_int_equal(fili_blocks_valid(&b, k), 64);
        qsort(sets + b.offset[k], 64, sizeof *sets, by_value);
    }
    qsort(sets, (size_t)b.m, 64 * sizeof *sets, by_value);
    fili_blocks_fini(&b);
    return sets;
}

static void where_sides_are_multiples_of_4_all_local_orders_have_the_same_blocks(void **state)
{
    (void)state;
    static const char *const names[] = {"hilbert", "hilbert-xyz", "hilbert-cubes 4x4x4"};
    fil_ctx                 *ctx     = open_ctx();
    seed(82);
    for (int i = 0; i < 60; i++) {
        const fili_grid g     = draw_grid(7);
        const fili_grid grid  = {4 * g.f, 4 * g.h, 4 * g.w};
        fili_order      cubes = order_of(ctx, grid, "cubes 4x4x4");
        int32_t        *want  = block_sets(&cubes);
        for (int k = 0; k < 3; k++) {
            fili_order o   = order_of(ctx, grid, names[k]);
            int32_t   *got = block_sets(&o);
            assert_memory_equal(got, want, (size_t)o.n * sizeof *got);
            free(got);
            fili_order_fini(&o);
        }
        free(want);
        fili_order_fini(&cubes);
    }
    fil_ctx_close(&ctx);
}

static void blocks_equal_the_fixtures(void **state)
{
    (void)state;
    static const struct {
        const char *file, *tensor, *name;
        fili_grid   grid;
    } table[] = {
        {"methods/attention_a.safetensors", "offset_raster", "raster", {5, 12, 20}},
        {"methods/attention_a.safetensors", "offset_hilbert", "hilbert", {5, 12, 20}},
        {"methods/attention_a.safetensors", "offset_cubes", "cubes 4x4x4", {5, 12, 20}},
        {"methods/attention_b.safetensors", "offset_hilbert_xyz", "hilbert-xyz", {9, 16, 26}},
        {"methods/attention_b.safetensors", "offset_cubes", "cubes 4x4x4", {9, 16, 26}},
        {"methods/vsa.safetensors", "offset_cubes", "cubes 4x4x4", {5, 6, 9}},
    };
    if (fixture_path("") == NULL) skip();
    fil_ctx *ctx = open_ctx();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int32_t     n;
        const char *path = fixture_path(table[i].file);
        int32_t    *want = fixture_i32(ctx, path, table[i].tensor, &n);
        fili_order  o    = order_of(ctx, table[i].grid, table[i].name);
        fili_blocks b    = blocks_of(&o);
        equals(&b, want, n - 1);
        fili_blocks_fini(&b);
        fili_order_fini(&o);
        free(want);
    }
    fil_ctx_close(&ctx);
}

/* ---- from elsewhere ------------------------------------------------------------------------- */

static void uniform_runs_are_64_tokens_and_a_rest(void **state)
{
    (void)state;
    static const int32_t one[]  = {0, 1};
    static const int32_t full[] = {0, 64};
    static const int32_t rest[] = {0, 64, 65};
    fil_ctx             *ctx    = open_ctx();
    fili_blocks          b;
    assert_int_equal(fili_blocks_uniform(&b, ctx, 1), FIL_OK);
    equals(&b, one, 1);
    fili_blocks_fini(&b);
    assert_int_equal(fili_blocks_uniform(&b, ctx, 64), FIL_OK);
    equals(&b, full, 1);
    fili_blocks_fini(&b);
    assert_int_equal(fili_blocks_uniform(&b, ctx, 65), FIL_OK);
    equals(&b, rest, 2);
    fili_blocks_fini(&b);
    assert_int_equal(fili_blocks_uniform(&b, ctx, 75600), FIL_OK);
    assert_int_equal(b.m, 1182);
    fili_blocks_fini(&b);
    fails_with(ctx, fili_blocks_uniform(&b, ctx, 0), FIL_E_ARG, "0 tokens; expected at least 1");
    fil_ctx_close(&ctx);
}

static void offsets_of_a_caller_are_validated(void **state)
{
    (void)state;
    static const struct {
        int32_t     offset[5];
        int32_t     m, n;
        const char *text; /* NULL = good */
    } table[] = {
        {{0, 64, 65, 129}, 3, 129, NULL},
        {{0, 1}, 1, 1, NULL},
        {{0, 64}, 0, 64, "0 blocks; expected at least 1"},
        {{0, 64}, -1, 64, "-1 blocks; expected at least 1"},
        {{1, 64}, 1, 64, "the first block begins at token 1; expected 0"},
        {{-1, 60}, 1, 60, "the first block begins at token -1; expected 0"},
        {{0, 10, 10, 20}, 3, 20, "block offsets do not rise: 10 and 10 at block 1"},
        {{0, 30, 20, 40}, 3, 40, "block offsets do not rise: 30 and 20 at block 1"},
        {{0, INT32_MIN}, 1, 5, "block offsets do not rise: 0 and -2147483648 at block 0"},
        {{0, 65}, 1, 65, "block 0 has 65 tokens; at most 64 are allowed"},
        {{0, INT32_MAX}, 1, INT32_MAX, "block 0 has 2147483647 tokens; at most 64 are allowed"},
        {{0, 64, 100}, 2, 101, "the last block ends at token 100; expected 101"},
        {{0, 64, 100}, 2, 99, "the last block ends at token 100; expected 99"},
    };
    fil_ctx *ctx = open_ctx();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        fili_blocks      b;
        const fil_status s =
            fili_blocks_from_offsets(&b, ctx, table[i].offset, table[i].m, table[i].n);
        if (table[i].text == NULL) {
            assert_int_equal(s, FIL_OK);
            equals(&b, table[i].offset, table[i].m);
        } else
            fails_with(ctx, s, FIL_E_ARG, table[i].text);
        fili_blocks_fini(&b);
    }
    fili_blocks b;
    fails_with(ctx, fili_blocks_from_offsets(&b, ctx, NULL, 1, 1), FIL_E_ARG,
               "block offsets are NULL");
    fil_ctx_close(&ctx);
}

/* ---- derived -------------------------------------------------------------------------------- */

static void pairs_join_neighbours_and_an_odd_block_stays_alone(void **state)
{
    (void)state;
    static const int32_t offset[] = {0, 64, 100, 110, 120, 121};
    static const int32_t odd[]    = {0, 100, 120, 121};
    static const int32_t even[]   = {0, 100, 120};
    fil_ctx             *ctx      = open_ctx();
    fili_blocks          b;
    fili_blocks          p;
    assert_int_equal(fili_blocks_from_offsets(&b, ctx, offset, 5, 121), FIL_OK);
    assert_int_equal(fili_blocks_pairs(&p, &b), FIL_OK);
    equals(&p, odd, 3);
    fili_blocks_fini(&p);
    fili_blocks_fini(&b);
    assert_int_equal(fili_blocks_from_offsets(&b, ctx, offset, 4, 120), FIL_OK);
    assert_int_equal(fili_blocks_pairs(&p, &b), FIL_OK);
    equals(&p, even, 2);
    fili_blocks_fini(&p);
    fili_blocks_fini(&b);
    fil_ctx_close(&ctx);
}

static void sub_runs_are_16_tokens_and_a_rest_of_each_block(void **state)
{
    (void)state;
    static const int32_t offset[] = {0, 64, 81, 82, 98};
    static const int32_t want[]   = {0, 16, 32, 48, 64, 80, 81, 82, 98};
    static const int32_t begin[]  = {0, 4, 6, 7, 8};
    int32_t              first[5];
    fil_ctx             *ctx = open_ctx();
    fili_blocks          b;
    fili_blocks          s;
    assert_int_equal(fili_blocks_from_offsets(&b, ctx, offset, 4, 98), FIL_OK);
    assert_int_equal(fili_blocks_split(&s, &b, FILI_SUBRUN_TOKENS, first), FIL_OK);
    equals(&s, want, 8);
    assert_memory_equal(first, begin, sizeof begin);
    fili_blocks_fini(&s);
    assert_int_equal(fili_blocks_split(&s, &b, FILI_SUBRUN_TOKENS, NULL), FIL_OK);
    equals(&s, want, 8);
    fili_blocks_fini(&s);
    fili_blocks_fini(&b);
    fil_ctx_close(&ctx);
}

static void every_token_is_found_in_its_block(void **state)
{
    (void)state;
    static const int32_t offset[] = {0, 1, 64, 65, 128, 130};
    fil_ctx             *ctx      = open_ctx();
    fili_blocks          b;
    for (int32_t m = 1; m <= 5; m++) {
        assert_int_equal(fili_blocks_from_offsets(&b, ctx, offset, m, offset[m]), FIL_OK);
        for (int32_t k = 0; k < m; k++)
            for (int32_t t = offset[k]; t < offset[k + 1]; t++)
                assert_int_equal(fili_blocks_find(&b, t), k);
        fili_blocks_fini(&b);
    }
    fil_ctx_close(&ctx);
}

static void without_memory_there_are_no_blocks(void **state)
{
    (void)state;
    alloc_fault f = {.at = -1};
    fil_options opt;
    fil_ctx    *ctx;
    fili_blocks b;
    fili_blocks d;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&f);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_int_equal(fili_blocks_uniform(&b, ctx, 200), FIL_OK);
    f.at      = f.calls;
    f.forever = 1;
    assert_int_equal(fili_blocks_pairs(&d, &b), FIL_E_NOMEM);
    assert_int_equal(fili_blocks_split(&d, &b, FILI_SUBRUN_TOKENS, NULL), FIL_E_NOMEM);
    assert_int_equal(fili_blocks_from_offsets(&d, ctx, b.offset, b.m, 200), FIL_E_NOMEM);
    assert_null(d.offset);
    fili_blocks_fini(&d);
    fili_blocks_fini(&b);
    assert_int_equal(f.live, 1);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_without_cubes_has_runs_of_64_and_a_rest),
        cmocka_unit_test(a_ragged_cube_is_a_shorter_run),
        cmocka_unit_test(a_cube_of_more_than_64_tokens_is_several_runs),
        cmocka_unit_test(runs_partition_the_sequence_and_never_cross_a_cube),
        cmocka_unit_test(where_sides_are_multiples_of_4_all_local_orders_have_the_same_blocks),
        cmocka_unit_test(blocks_equal_the_fixtures),
        cmocka_unit_test(uniform_runs_are_64_tokens_and_a_rest),
        cmocka_unit_test(offsets_of_a_caller_are_validated),
        cmocka_unit_test(pairs_join_neighbours_and_an_odd_block_stays_alone),
        cmocka_unit_test(sub_runs_are_16_tokens_and_a_rest_of_each_block),
        cmocka_unit_test(every_token_is_found_in_its_block),
        cmocka_unit_test(without_memory_there_are_no_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
