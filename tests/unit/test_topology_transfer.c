/* tests/unit/test_topology_transfer.c: sparse/topology_transfer.h: laws, and the covers and maps of
 * the methods' fixtures. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sparse/topology_transfer.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

typedef struct side {
    fili_order  order;
    fili_blocks blocks;
} side;

static int set_up(void **state)
{
    fil_ctx *ctx = NULL;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    *state = ctx;
    return 0;
}

static int tear_down(void **state)
{
    fil_ctx *ctx = *state;
    fil_ctx_close(&ctx);
    return 0;
}

static void open_side(side *s, fil_ctx *ctx, const char *order, const char *grid)
{
    fili_order_spec spec;
    fili_grid       g;
    assert_int_equal(fili_order_parse(ctx, order, &spec), FIL_OK);
    assert_int_equal(fili_grid_parse(ctx, grid, &g), FIL_OK);
    assert_int_equal(fili_order_init(&s->order, ctx, g, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&s->blocks, &s->order), FIL_OK);
}

static void close_side(side *s)
{
    fili_blocks_fini(&s->blocks);
    fili_order_fini(&s->order);
}

static fili_cover_side of(const side *s)
{
    return (fili_cover_side){.order = &s->order, .blocks = &s->blocks};
}

static void open_cover(fili_cover *c, fil_ctx *ctx, const side *base, const side *target)
{
    const fili_cover_side b = of(base);
    const fili_cover_side t = of(target);
    assert_int_equal(fili_cover_init(c, ctx, &b, &t), FIL_OK);
    assert_int_equal(c->mt, target->blocks.m);
    assert_int_equal(c->mb, base->blocks.m);
}

static void the_same_grid_gives_the_same_map(void **state)
{
    static const char *const orders[] = {"raster", "hilbert", "cubes 3x5x4", "hilbert-cubes 4x4x4"};
    fil_ctx                 *ctx      = *state;
    for (int i = 0; i < 4; i++) {
        side       s;
        fili_cover c;
        open_side(&s, ctx, orders[i], "5,9,11");
        open_cover(&c, ctx, &s, &s);
        const size_t n   = (size_t)c.mb * (size_t)c.mb;
        uint8_t     *map = malloc(2 * n + (size_t)c.mb);
        assert_non_null(map);
        for (size_t k = 0; k < n; k++)
            map[k] = (uint8_t)(fili_philox_u32(1, 0, k) % 64);
        fili_cover_apply(&c, map, map + 2 * n, map + n);
        assert_memory_equal(map, map + n, n);
        free(map);
        fili_cover_fini(&c);
        fili_cover_fini(&c);
        close_side(&s);
    }
}

static void a_single_block_gives_its_level_to_every_grid(void **state)
{
    fil_ctx      *ctx  = *state;
    const uint8_t base = 7;
    side          b;
    side          t;
    fili_cover    c;
    uint8_t       scratch[1];
    uint8_t       map[25];
    open_side(&b, ctx, "raster", "1,1,1");
    open_side(&t, ctx, "hilbert", "5,8,8");
    assert_int_equal(t.blocks.m, 5);
    open_cover(&c, ctx, &b, &t);
    fili_cover_apply(&c, &base, scratch, map);
    for (int i = 0; i < 25; i++)
        assert_int_equal(map[i], 7);
    fili_cover_fini(&c);
    close_side(&b);
    close_side(&t);
}

static void no_kept_pair_of_the_base_is_lost(void **state)
{
    fil_ctx   *ctx = *state;
    side       b;
    side       t;
    fili_cover c;
    open_side(&b, ctx, "hilbert", "6,12,14");
    open_side(&t, ctx, "hilbert", "4,7,5");
    open_cover(&c, ctx, &b, &t);
    for (int32_t k = 0; k < c.mb; k++) {
        int32_t n = 0;
        for (int32_t u = 0; u < c.mt; u++)
            n += (int32_t)(c.bits[u * c.words + k / 32] >> (k % 32) & 1u);
        assert_true(n >= 1);
    }
    fili_cover_fini(&c);
    close_side(&b);
    close_side(&t);
}

static void check_cover(fil_ctx *ctx, const char *path, const char *order, const char *grid)
{
    char       name[96];
    char       sides[32];
    int64_t    n;
    side       b;
    side       t;
    fili_cover c;
    snprintf(sides, sizeof sides, "%s", grid);
    for (char *p = sides; *p != '\0'; p++)
        if (*p == 'x') *p = ',';
    open_side(&b, ctx, order, "6,12,14");
    open_side(&t, ctx, order, sides);
    open_cover(&c, ctx, &b, &t);
    snprintf(name, sizeof name, "cover_%s_%s", order, grid);
    uint32_t *want = fixture_tensor(ctx, path, name, FIL_U32, &n);
    assert_int_equal(n, (int64_t)c.mt * c.words);
    assert_memory_equal(c.bits, want, (size_t)n * sizeof *want);
    free(want);
    if (strcmp(order, "hilbert") == 0) {
        int64_t n_map;
        snprintf(name, sizeof name, "transfer_hilbert_%s", grid);
        uint8_t      *tmap   = fixture_tensor(ctx, path, "tmap", FIL_U8, &n_map);
        uint8_t      *moved  = fixture_tensor(ctx, path, name, FIL_U8, &n);
        const int64_t mm     = (int64_t)c.mb * c.mb;
        const int64_t mt     = (int64_t)c.mt * c.mt;
        const int64_t layers = n / mt;
        const int64_t heads  = 3;
        const int64_t steps  = n_map / mm / layers / heads;
        uint8_t      *got    = malloc((size_t)(mt + c.mb));
        assert_non_null(got);
        for (int64_t l = 0; l < layers; l++) { /* head 0 at the last step */
            fili_cover_apply(&c, tmap + ((l * steps + steps - 1) * heads) * mm, got + mt, got);
            assert_memory_equal(got, moved + l * mt, (size_t)mt);
        }
        free(got);
        free(moved);
        free(tmap);
    }
    fili_cover_fini(&c);
    close_side(&b);
    close_side(&t);
}

static void covers_and_transfers_are_those_of_the_fixture(void **state)
{
    fil_ctx *ctx = *state;
    char     path[512];
    if (fixture_path("") == NULL) skip();
    snprintf(path, sizeof path, "%s", fixture_path("methods/westfast.safetensors"));
    check_cover(ctx, path, "hilbert", "6x16x20");
    check_cover(ctx, path, "hilbert", "9x12x14");
    check_cover(ctx, path, "raster", "6x16x20");
    check_cover(ctx, path, "raster", "9x12x14");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_same_grid_gives_the_same_map),
        TEST(a_single_block_gives_its_level_to_every_grid),
        TEST(no_kept_pair_of_the_base_is_lost),
        TEST(covers_and_transfers_are_those_of_the_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
