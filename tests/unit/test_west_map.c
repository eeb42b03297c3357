/* tests/unit/test_west_map.c: sparse/west_map.h: levels of blocks, laws and the maps of the
 * methods' fixtures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "sparse/mask.h"
#include "sparse/west_map.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

enum { HEADS = 3, M = 45, LEVELS = 64 };

typedef struct rig {
    fil_ctx *ctx;
    float    levels[LEVELS];
    float    mass[HEADS * M * M];
    uint8_t  map[HEADS * M * M];
    void    *scratch;
    size_t   bytes;
} rig;

static void open_rig(rig *r, int32_t threads)
{
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = threads;
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    r->bytes = (size_t)r->ctx->n_threads * fili_west_scratch(M);
    assert_int_equal(fili_alloc(r->ctx, r->bytes, "scratch", &r->scratch), FIL_OK);
    fili_levels_even(r->levels, LEVELS);
    fili_philox_uniform(5, 0, 0, r->mass, HEADS * M * M);
    for (int32_t i = 0; i < HEADS * M * M; i++)
        r->mass[i] = powf(r->mass[i], 6.0f); /* few large, many small */
    fili_west_begin(r->map, HEADS, M, LEVELS);
}

static void close_rig(rig *r)
{
    fili_free(r->ctx, r->scratch, r->bytes);
    fil_ctx_close(&r->ctx);
}

static int set_up(void **state)
{
    rig *r = calloc(1, sizeof *r);
    assert_non_null(r);
    open_rig(r, 1);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    close_rig(r);
    free(r);
    return 0;
}

static fili_west_args args_of(rig *r)
{
    return (fili_west_args){.mass     = r->mass,
                            .heads    = HEADS,
                            .m        = M,
                            .levels   = r->levels,
                            .n_levels = LEVELS,
                            .scratch  = r->scratch,
                            .map      = r->map};
}

static void join(rig *r, fili_west_growth *growth)
{
    const fili_west_args a = args_of(r);
    assert_int_equal(fili_west_join(r->ctx, &a, growth), FIL_OK);
}

static double kept_of(const float *mass, const uint8_t *level, int32_t m, int32_t most)
{
    double kept  = 0.0;
    double total = 0.0;
    for (int32_t b = 0; b < m; b++) {
        total += (double)mass[b];
        if (level[b] <= most) kept += (double)mass[b];
    }
    return kept / total;
}

/* ---- a row ---------------------------------------------------------------------------------- */

static void what_a_level_keeps_is_never_below_it(void **state)
{
    rig *r = *state;
    join(r, NULL);
    for (int32_t i = 0; i < HEADS * M; i++)
        for (int32_t p = 0; p < LEVELS; p++)
            assert_true(kept_of(r->mass + i * M, r->map + i * M, M, p) >=
                        (double)r->levels[p] - 1e-12);
}

static void a_level_keeps_no_more_blocks_than_it_needs(void **state)
{
    rig *r = *state;
    join(r, NULL);
    for (int32_t i = 0; i < HEADS * M; i++)
        for (int32_t p = 0; p < LEVELS - 1; p++) {
            const float   *mass  = r->mass + i * M;
            const uint8_t *level = r->map + i * M;
            double         total = 0.0;
            double         kept  = 0.0;
            float          least = INFINITY;
            for (int32_t b = 0; b < M; b++) {
                total += (double)mass[b];
                if (level[b] > p) continue;
                kept += (double)mass[b];
                least = fminf(least, mass[b]);
            }
            assert_true((kept - (double)least) / total < (double)r->levels[p] + 1e-12);
        }
}

static void the_first_level_keeps_a_block_in_every_row_and_the_last_keeps_all(void **state)
{
    rig *r = *state;
    memset(r->mass, 0, M * sizeof *r->mass);
    r->mass[7] = 1e-30f;
    join(r, NULL);
    assert_int_equal(r->map[7], 0);
    assert_int_equal(r->map[8], LEVELS - 1);
    for (int32_t i = 0; i < HEADS * M; i++) {
        uint8_t least = 255;
        for (int32_t b = 0; b < M; b++)
            least = r->map[i * M + b] < least ? r->map[i * M + b] : least;
        assert_int_equal(least, 0);
    }
}

static void equal_masses_keep_their_order(void **state)
{
    rig          *r       = *state;
    const float   mass[4] = {1.0f, 1.0f, -0.0f, 1.0f};
    const float   l[3]    = {0.3f, 0.6f, 1.0f};
    const uint8_t want[4] = {0, 1, 2, 1};
    uint8_t       level[4];
    assert_true(fili_west_row(mass, 4, l, 3, r->scratch, level));
    /* shares 1/3 each: the first crosses 0.3, the second 0.6, the third 1; nothing is at 1 as well
     */
    assert_int_equal(level[0], want[0]);
    assert_int_equal(level[1], want[1]);
    assert_int_equal(level[2], want[2]);
    assert_int_equal(level[3], 2);
}

static void one_block_is_a_map(void **state)
{
    rig        *r    = *state;
    const float mass = 64.0f;
    uint8_t     level;
    assert_true(fili_west_row(&mass, 1, r->levels, LEVELS, r->scratch, &level));
    assert_int_equal(level, 0);
}

static void a_row_that_says_nothing_is_refused(void **state)
{
    static const float bad[] = {NAN, -1.0f, INFINITY};
    rig               *r     = *state;
    for (int i = 0; i < 3; i++) {
        const float          before = r->mass[M * M + 3 * M + 5];
        const fili_west_args a      = args_of(r);
        r->mass[M * M + 3 * M + 5]  = bad[i];
        assert_int_equal(fili_west_join(r->ctx, &a, NULL), FIL_E_NONFINITE);
        assert_non_null(strstr(fil_ctx_error(r->ctx)->message, "head 1, query block 3"));
        r->mass[M * M + 3 * M + 5] = before;
    }
    memset(r->mass, 0, M * sizeof *r->mass);
    const fili_west_args a = args_of(r);
    assert_int_equal(fili_west_join(r->ctx, &a, NULL), FIL_E_NONFINITE);
}

/* ---- maps ----------------------------------------------------------------------------------- */

static void a_prompt_that_was_seen_adds_nothing(void **state)
{
    rig             *r     = *state;
    fili_west_growth first = {0, 0};
    fili_west_growth again = {0, 0};
    join(r, &first);
    join(r, &again);
    uint64_t bits = 0;
    for (int32_t i = 0; i < HEADS * M * M; i++)
        bits += (uint64_t)(LEVELS - 1 - r->map[i]);
    assert_int_equal(first.bits, bits);
    assert_true(first.bytes > 0);
    assert_int_equal(again.bytes, 0);
    assert_int_equal(again.bits, 0);
}

static void a_union_keeps_what_any_prompt_keeps_and_its_order_does_not_matter(void **state)
{
    rig     *r    = *state;
    rig     *back = calloc(1, sizeof *back);
    uint8_t *one  = malloc(sizeof r->map);
    assert_non_null(back);
    assert_non_null(one);
    open_rig(back, 2);
    fili_philox_uniform(6, 0, 0, back->mass, HEADS * M * M);
    join(r, NULL);
    memcpy(one, r->map, sizeof r->map);
    join(back, NULL);
    for (int32_t i = 0; i < HEADS * M * M; i++)
        one[i] = one[i] < back->map[i] ? one[i] : back->map[i];
    float *swap = malloc(sizeof r->mass);
    assert_non_null(swap);
    memcpy(swap, r->mass, sizeof r->mass);
    memcpy(r->mass, back->mass, sizeof r->mass);
    memcpy(back->mass, swap, sizeof r->mass);
    join(r, NULL);
    join(back, NULL);
    assert_memory_equal(r->map, one, sizeof r->map);
    assert_memory_equal(back->map, one, sizeof r->map);
    free(swap);
    free(one);
    close_rig(back);
    free(back);
}

static void the_levels_of_a_sum_of_one_prompt_are_its_own(void **state)
{
    rig   *r   = *state;
    float *sum = calloc(HEADS * M * M, sizeof *sum);
    assert_non_null(sum);
    join(r, NULL);
    assert_int_equal(fili_west_sum(r->ctx, r->mass, HEADS, M, sum), FIL_OK);
    int32_t differ = 0;
    for (int32_t i = 0; i < HEADS * M; i++) {
        uint8_t level[M];
        assert_true(fili_west_row(sum + i * M, M, r->levels, LEVELS, r->scratch, level));
        for (int32_t b = 0; b < M; b++) {
            const int d = abs(level[b] - r->map[i * M + b]);
            assert_true(d <= 1);
            differ += d;
        }
    }
    assert_true(differ <= 4); /* roundings at the border of a level */
    sum[3]     = NAN;
    r->mass[3] = NAN;
    assert_int_equal(fili_west_sum(r->ctx, r->mass, HEADS, M, sum), FIL_E_NONFINITE);
    free(sum);
}

static void pairs_of_blocks_hold_the_masses_of_both(void **state)
{
    rig          *r    = *state;
    const int32_t half = (M + 1) / 2;
    float        *pair = malloc(sizeof *pair * HEADS * (size_t)half * (size_t)half);
    assert_non_null(pair);
    fili_west_pairs(r->mass, HEADS, M, pair);
    for (int32_t h = 0; h < HEADS; h++)
        for (int32_t u = 0; u < half; u++)
            for (int32_t v = 0; v < half; v++) {
                double sum = 0.0;
                for (int32_t a = 2 * u; a < 2 * u + 2 && a < M; a++)
                    for (int32_t b = 2 * v; b < 2 * v + 2 && b < M; b++)
                        sum += (double)r->mass[(h * M + a) * M + b];
                const double got = (double)pair[(h * half + u) * half + v];
                assert_true(fabs(got - sum) <= 1e-6 * sum);
            }
    free(pair);
}

/* ---- levels and bits ------------------------------------------------------------------------ */

static void bits_are_the_blocks_at_most_at_a_level(void **state)
{
    (void)state;
    uint8_t  level[131];
    uint32_t row[5];
    for (int32_t i = 0; i < 131; i++)
        level[i] = (uint8_t)(i * 37 % 128);
    for (int32_t m = 1; m <= 131; m++)
        for (int32_t p = 0; p < 128; p++) {
            memset(row, 0xa5, sizeof row);
            fili_levels_bits(level, m, (uint8_t)p, row);
            for (int32_t b = 0; b < 32 * fili_mask_words(m); b++)
                assert_int_equal(row[b / 32] >> (b % 32) & 1u, b < m && level[b] <= p);
        }
}

static void levels_must_rise_to_one(void **state)
{
    const rig *r         = *state;
    float      l[LEVELS] = {0.0f};
    const struct bad {
        int32_t n, at;
        float   value;
    } bad[] = {{LEVELS, 5, 0.05f}, {LEVELS, 0, 0.0f},      {LEVELS, 9, NAN},
               {LEVELS, 63, 1.5f}, {LEVELS - 1, 0, 0.01f}, {0, 0, 0.01f}};
    fili_levels_even(l, LEVELS);
    assert_int_equal(fili_levels_check(r->ctx, l, LEVELS), FIL_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fili_levels_even(l, LEVELS);
        l[bad[i].at] = bad[i].value;
        assert_int_equal(fili_levels_check(r->ctx, l, bad[i].n), FIL_E_ARG);
    }
}

/* ---- fixtures ------------------------------------------------------------------------------- */

static void maps_are_those_of_the_fixture(void **state)
{
    rig    *r = *state;
    int64_t n_mass;
    int64_t n_map;
    int64_t n_levels;
    char    path[512];
    if (fixture_path("") == NULL) skip();
    snprintf(path, sizeof path, "%s", fixture_path("methods/westfast.safetensors"));
    float   *mass   = fixture_tensor(r->ctx, path, "mass", FIL_F32, &n_mass);
    uint8_t *low    = fixture_tensor(r->ctx, path, "tmap_low", FIL_U8, &n_map);
    uint8_t *high   = fixture_tensor(r->ctx, path, "tmap_high", FIL_U8, &n_map);
    double  *levels = fixture_tensor(r->ctx, path, "levels", FIL_F64, &n_levels);
    int32_t  m      = 0;
    int32_t  n      = 0;
    int32_t *offset = fixture_i32(r->ctx, path, "offset", &m);
    uint8_t *map    = malloc((size_t)n_map);
    float    l[FILI_LEVELS_MOST];
    m--;
    assert_non_null(map);
    assert_in_range(n_levels, 1, FILI_LEVELS_MOST);
    for (int64_t i = 0; i < n_levels; i++)
        l[i] = (float)levels[i];
    n                      = (int32_t)(n_map / (m * m));
    const fili_west_args a = {.heads    = n,
                              .m        = m,
                              .levels   = l,
                              .n_levels = (int32_t)n_levels,
                              .scratch  = r->scratch,
                              .map      = map};
    fili_west_begin(map, n, m, (int32_t)n_levels);
    for (int64_t prompt = 0; prompt < n_mass / n_map; prompt++) {
        fili_west_args one = a;
        one.mass           = mass + prompt * n_map;
        assert_int_equal(fili_west_join(r->ctx, &one, NULL), FIL_OK);
    }
    for (int64_t i = 0; i < n_map; i++) {
        const bool up = map[i] >= low[i] && map[i] <= high[i];
        assert_true(up || (map[i] >= high[i] && map[i] <= low[i]));
    }
    free(mass);
    free(low);
    free(high);
    free(levels);
    free(offset);
    free(map);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_a_level_keeps_is_never_below_it),
        TEST(a_level_keeps_no_more_blocks_than_it_needs),
        TEST(the_first_level_keeps_a_block_in_every_row_and_the_last_keeps_all),
        TEST(equal_masses_keep_their_order),
        TEST(one_block_is_a_map),
        TEST(a_row_that_says_nothing_is_refused),
        TEST(a_prompt_that_was_seen_adds_nothing),
        TEST(a_union_keeps_what_any_prompt_keeps_and_its_order_does_not_matter),
        TEST(the_levels_of_a_sum_of_one_prompt_are_its_own),
        TEST(pairs_of_blocks_hold_the_masses_of_both),
        TEST(bits_are_the_blocks_at_most_at_a_level),
        TEST(levels_must_rise_to_one),
        TEST(maps_are_those_of_the_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
