/* tests/unit/test_order.c: sparse/order.h: names, and every order against the encoding it stands
 * for, against the published vectors and against an independent implementation's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sparse/order.h"
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

static fili_order make(fil_ctx *ctx, fili_grid grid, const char *name)
{
    fili_order_spec spec;
    fili_order      order;
    assert_int_equal(fili_order_parse(ctx, name, &spec), FIL_OK);
    assert_int_equal(fili_order_init(&order, ctx, grid, &spec), FIL_OK);
    return order;
}

static void fails_with(fil_ctx *ctx, fil_status got, fil_status want, const char *text)
{
    assert_int_equal(got, want);
    if (strcmp(fil_ctx_error(ctx)->message, text) != 0)
        fail_msg("'%s' is not '%s'", fil_ctx_error(ctx)->message, text);
    fili_ctx_enter(ctx);
}

/* ---- names ---------------------------------------------------------------------------------- */

static void every_name_parses_to_what_it_is_printed_from(void **state)
{
    (void)state;
    static const char *const names[] = {
        "raster",      "hilbert",     "hilbert-xyz",         "cubes 4x4x4",
        "cubes 3x5x4", "cubes 1x1x1", "hilbert-cubes 4x8x8", "hilbert-cubes 6x8x2147483647"};
    fil_ctx *ctx = open_ctx();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        fili_order_spec spec;
        char            name[FILI_ORDER_NAME];
        assert_int_equal(fili_order_parse(ctx, names[i], &spec), FIL_OK);
        fili_order_name(&spec, name);
        assert_string_equal(name, names[i]);
    }
    const fili_order_spec longest = {.kind = FILI_ORDER_HILBERT_CUBES,
                                     .cube = {2147483647, 2147483647, 2147483647}};
    char                  name[FILI_ORDER_NAME];
    fili_order_name(&longest, name);
    assert_string_equal(name, "hilbert-cubes 2147483647x2147483647x2147483647");
    fil_ctx_close(&ctx);
}

#define NO_ORDER                                                                                   \
    "' does not exist; expected raster, hilbert, hilbert-xyz, 'cubes TxHxW' or "                   \
    "'hilbert-cubes TxHxW'"
#define NO_CUBE "': expected 'cubes TxHxW' with three sides of 1 to 2147483647, as in 'cubes 4x4x4'"

static void a_wrong_name_is_refused_with_what_was_expected(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"", "order '" NO_ORDER},
        {"Hilbert", "order 'Hilbert" NO_ORDER},
        {"hilber", "order 'hilber" NO_ORDER},
        {"hilbertx", "order 'hilbertx" NO_ORDER},
        {" raster", "order ' raster" NO_ORDER},
        {"morton", "order 'morton" NO_ORDER},
        {"raster ", "order 'raster ': nothing may follow 'raster'"},
        {"hilbert 4x4x4", "order 'hilbert 4x4x4': nothing may follow 'hilbert'"},
        {"cubes", "order 'cubes" NO_CUBE},
        {"cubes ", "order 'cubes " NO_CUBE},
        {"cubes 4x4", "order 'cubes 4x4" NO_CUBE},
        {"cubes 4x4x", "order 'cubes 4x4x" NO_CUBE},
        {"cubes 4x4x4x4", "order 'cubes 4x4x4x4" NO_CUBE},
        {"cubes 4x4x4 ", "order 'cubes 4x4x4 " NO_CUBE},
        {"cubes  4x4x4", "order 'cubes  4x4x4" NO_CUBE},
        {"cubes 0x4x4", "order 'cubes 0x4x4" NO_CUBE},
        {"cubes 04x4x4", "order 'cubes 04x4x4" NO_CUBE},
        {"cubes -4x4x4", "order 'cubes -4x4x4" NO_CUBE},
        {"cubes 4X4X4", "order 'cubes 4X4X4" NO_CUBE},
        {"cubes 4x4x2147483648", "order 'cubes 4x4x2147483648" NO_CUBE},
        {"cubes 4x4x99999999999999999999", "order 'cubes 4x4x99999999999999999999" NO_CUBE},
        {"cubes 4x4x\x1b[2J", "order 'cubes 4x4x?[2J" NO_CUBE},
    };
    fil_ctx        *ctx = open_ctx();
    fili_order_spec spec;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        fails_with(ctx, fili_order_parse(ctx, table[i][0], &spec), FIL_E_ARG, table[i][1]);
        assert_false(fili_order_known(table[i][0], &spec));
    }
    fails_with(ctx, fili_order_parse(ctx, NULL, &spec), FIL_E_ARG, "the name of the order is NULL");
    fails_with(ctx, fili_order_parse(ctx, "hilbert-cubes 4", &spec), FIL_E_ARG,
               "order 'hilbert-cubes 4': expected 'hilbert-cubes TxHxW' with three sides of 1 to "
               "2147483647, as in 'hilbert-cubes 4x4x4'");
    fil_ctx_close(&ctx);
}

static void a_grid_is_three_sides_of_at_most_2_to_31_tokens(void **state)
{
    (void)state;
    fil_ctx  *ctx = open_ctx();
    int32_t   n;
    fili_grid g;
    assert_int_equal(fili_grid_parse(ctx, "21,45,80", &g), FIL_OK);
    assert_int_equal(fili_grid_tokens(ctx, g, &n), FIL_OK);
    assert_int_equal(n, 75600);
    assert_int_equal(fili_grid_tokens(ctx, (fili_grid){1, 1, INT32_MAX}, &n), FIL_OK);
    assert_int_equal(n, INT32_MAX);
    fails_with(ctx, fili_grid_tokens(ctx, (fili_grid){2, 32768, 32768}, &n), FIL_E_LIMIT,
               "grid 2,32768,32768 has more than 2147483647 tokens");
    fails_with(ctx, fili_grid_tokens(ctx, (fili_grid){INT32_MAX, INT32_MAX, INT32_MAX}, &n),
               FIL_E_LIMIT,
               "grid 2147483647,2147483647,2147483647 has more than 2147483647 tokens");
    fails_with(ctx, fili_grid_tokens(ctx, (fili_grid){0, 3, 3}, &n), FIL_E_ARG,
               "grid is 0,3,3; expected three sides of at least 1");
    fails_with(ctx, fili_grid_tokens(ctx, (fili_grid){3, 3, -1}, &n), FIL_E_ARG,
               "grid is 3,3,-1; expected three sides of at least 1");
    static const char *const bad[] = {"",      "1,2",    "1,2,3,4",       "1, 2,3",
                                      "0,2,3", "1,2,3 ", "1,2,2147483648"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fili_grid_parse(ctx, bad[i], &g), FIL_E_ARG);
        fili_ctx_enter(ctx);
    }
    fails_with(
        ctx, fili_grid_parse(ctx, "2x3x4", &g), FIL_E_ARG,
        "grid '2x3x4': expected 'f,h,w', three numbers of 1 to 2147483647, as in '21,30,52'");
    fil_ctx_close(&ctx);
}

/* ---- golden --------------------------------------------------------------------------------- */

static uint64_t fnv1a(const int32_t *data, int32_t n)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (int32_t i = 0; i < n; i++)
        for (int b = 0; b < 4; b++)
            hash = (hash ^ ((uint32_t)data[i] >> 8 * b & 0xffu)) * 0x100000001b3u;
    return hash;
}

static void the_published_test_vectors_come_out(void **state)
{
    (void)state;
    static const struct {
        fili_grid grid;
        int32_t   n, first[16];
    } table[] = {
        {{2, 2, 2}, 8, {0, 4, 6, 2, 3, 7, 5, 1}},
        {{3, 5, 6}, 16, {0, 1, 31, 30, 36, 37, 7, 6, 12, 18, 48, 42, 43, 49, 19, 13}},
        {{21, 30, 52}, 12, {0, 1, 1561, 1560, 1612, 1613, 53, 52, 104, 156, 1716, 1664}},
    };
    fil_ctx *ctx = open_ctx();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        fili_order o = make(ctx, table[i].grid, "hilbert-xyz");
        for (int32_t k = 0; k < table[i].n; k++)
            assert_int_equal(o.order[k], table[i].first[k]);
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

static void orders_equal_those_of_an_independent_implementation(void **state)
{
    (void)state;
    static const struct {
        fili_grid   grid;
        const char *name;
        uint64_t    hash; /* FNV-1a of the whole order, little-endian */
        int32_t     first[16];
    } table[] = {
        {{5, 12, 20},
         "hilbert",
         0x52d087d3aa9f8bfdu,
         {0, 20, 260, 240, 241, 261, 21, 1, 2, 3, 243, 242, 262, 263, 23, 22}},
        {{5, 12, 20},
         "hilbert-xyz",
         0x4f6ed0c2aec0b93du,
         {0, 20, 21, 1, 241, 261, 260, 240, 480, 720, 721, 481, 501, 741, 740, 500}},
        {{5, 12, 20},
         "cubes 4x4x4",
         0x270da401b310f285u,
         {0, 1, 2, 3, 20, 21, 22, 23, 40, 41, 42, 43, 60, 61, 62, 63}},
        {{9, 16, 26},
         "hilbert",
         0x335a77071d972a21u,
         {0, 26, 442, 416, 417, 443, 27, 1, 2, 3, 419, 418, 444, 445, 29, 28}},
        {{9, 16, 26},
         "hilbert-xyz",
         0xf6a0de37bf5453b1u,
         {0, 26, 27, 1, 417, 443, 442, 416, 832, 1248, 1249, 833, 859, 1275, 1274, 858}},
        {{9, 16, 26},
         "cubes 4x4x4",
         0x50233e6f19ab06bdu,
         {0, 1, 2, 3, 26, 27, 28, 29, 52, 53, 54, 55, 78, 79, 80, 81}},
        {{5, 6, 9},
         "cubes 4x4x4",
         0x3baf1122bffd158cu,
         {0, 1, 2, 3, 9, 10, 11, 12, 18, 19, 20, 21, 27, 28, 29, 30}},
    };
    fil_ctx *ctx = open_ctx();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        fili_order o = make(ctx, table[i].grid, table[i].name);
        for (int32_t k = 0; k < 16; k++)
            assert_int_equal(o.order[k], table[i].first[k]);
        assert_int_equal(fnv1a(o.order, o.n), table[i].hash);
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

static void orders_equal_the_fixtures(void **state)
{
    (void)state;
    static const struct {
        const char *file, *tensor, *name;
        fili_grid   grid;
    } table[] = {
        {"methods/attention_a.safetensors", "order_hilbert", "hilbert", {5, 12, 20}},
        {"methods/attention_a.safetensors", "order_hilbert_xyz", "hilbert-xyz", {5, 12, 20}},
        {"methods/attention_a.safetensors", "order_cubes", "cubes 4x4x4", {5, 12, 20}},
        {"methods/attention_b.safetensors", "order_hilbert", "hilbert", {9, 16, 26}},
        {"methods/attention_b.safetensors", "order_hilbert_xyz", "hilbert-xyz", {9, 16, 26}},
        {"methods/attention_b.safetensors", "order_cubes", "cubes 4x4x4", {9, 16, 26}},
        {"methods/vsa.safetensors", "order_cubes", "cubes 4x4x4", {5, 6, 9}},
    };
    if (fixture_path("") == NULL) skip();
    fil_ctx *ctx = open_ctx();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int32_t     n;
        const char *path = fixture_path(table[i].file);
        int32_t    *want = fixture_i32(ctx, path, table[i].tensor, &n);
        fili_order  o    = make(ctx, table[i].grid, table[i].name);
        assert_int_equal(o.n, n);
        assert_memory_equal(o.order, want, (size_t)n * sizeof *want);
        fili_order_fini(&o);
        free(want);
    }
    fil_ctx_close(&ctx);
}

/* ---- laws ----------------------------------------------------------------------------------- */

/* The code of a point by Skilling's transform, word by word, as the paper states it. */
static uint64_t encode(const uint32_t point[3], int bits)
{
    uint32_t x[3]  = {point[0], point[1], point[2]};
    uint64_t code  = 0;
    uint64_t digit = 0;
    for (int level = bits - 1; level > 0; level--) {
        const uint32_t below = (1u << level) - 1;
        for (int i = 0; i < 3; i++) {
            const uint32_t swap = (x[0] ^ x[i]) & below;
            if ((x[i] >> level & 1) != 0) {
                x[0] ^= below;
                continue;
            }
            x[0] ^= swap;
            x[i] ^= swap;
        }
    }
    for (int level = bits - 1; level >= 0; level--)
        for (int i = 0; i < 3; i++) {
            digit ^= x[i] >> level & 1;
            code = code << 1 | digit;
        }
    return code;
}

static int bits_of(fili_grid g)
{
    int bits = 1;
    while (1 << bits < g.f || 1 << bits < g.h || 1 << bits < g.w)
        bits++;
    return bits;
}

static void codes_rise(const fili_order *o, int xyz)
{
    uint64_t last = 0;
    for (int32_t i = 0; i < o->n; i++) {
        const uint32_t w      = (uint32_t)(o->order[i] % o->grid.w);
        const uint32_t h      = (uint32_t)(o->order[i] / o->grid.w % o->grid.h);
        const uint32_t f      = (uint32_t)(o->order[i] / o->grid.w / o->grid.h);
        const uint32_t zyx[3] = {f, h, w};
        const uint32_t rev[3] = {w, h, f};
        const uint64_t code   = encode(xyz ? rev : zyx, bits_of(o->grid));
        if (i > 0) assert_true(code > last);
        last = code;
    }
}

static void hilbert_orders_are_sorted_by_skillings_code(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(71);
    for (int i = 0; i < 120; i++) {
        const fili_grid grid = i < 60 ? draw_grid(9) : draw_grid(40);
        fili_order      zyx  = make(ctx, grid, "hilbert");
        fili_order      xyz  = make(ctx, grid, "hilbert-xyz");
        codes_rise(&zyx, 0);
        codes_rise(&xyz, 1);
        fili_order_fini(&zyx);
        fili_order_fini(&xyz);
    }
    fil_ctx_close(&ctx);
}

static void is_permutation(const fili_order *o)
{
    unsigned char *seen = calloc((size_t)o->n, 1);
    assert_non_null(seen);
    for (int32_t i = 0; i < o->n; i++) {
        assert_in_range(o->order[i], 0, o->n - 1);
        assert_int_equal(seen[o->order[i]]++, 0);
        assert_int_equal(o->inverse[o->order[i]], i);
    }
    free(seen);
    assert_int_equal(o->piece[0], 0);
    assert_int_equal(o->piece[o->n_pieces], o->n);
    for (int32_t p = 0; p < o->n_pieces; p++)
        assert_true(o->piece[p] < o->piece[p + 1]);
}

static void every_order_of_every_grid_is_a_permutation_with_its_inverse(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(72);
    for (int i = 0; i < 200; i++) {
        const fili_grid grid = draw_grid(i % 4 == 0 ? 3 : 24);
        const fili_grid cube = draw_grid(9);
        for (int kind = FILI_ORDER_RASTER; kind <= FILI_ORDER_HILBERT_CUBES; kind++) {
            const fili_order_spec spec = {.kind = (fili_order_kind)kind, .cube = cube};
            fili_order            o;
            assert_int_equal(fili_order_init(&o, ctx, grid, &spec), FIL_OK);
            is_permutation(&o);
            fili_order_fini(&o);
        }
    }
    fil_ctx_close(&ctx);
}

static int32_t cube_of(const fili_order *o, int32_t token)
{
    const fili_grid c  = o->spec.cube;
    const int32_t   w  = token % o->grid.w / c.w;
    const int32_t   h  = token / o->grid.w % o->grid.h / c.h;
    const int32_t   f  = token / o->grid.w / o->grid.h / c.f;
    const int32_t   nh = (o->grid.h + c.h - 1) / c.h;
    const int32_t   nw = (o->grid.w + c.w - 1) / c.w;
    return (f * nh + h) * nw + w;
}

static void a_piece_is_one_whole_cube(void **state)
{
    (void)state;
    static const char *const names[] = {"cubes 3x5x4", "hilbert-cubes 3x5x4", "cubes 4x4x4",
                                        "hilbert-cubes 4x4x8"};
    fil_ctx                 *ctx     = open_ctx();
    seed(73);
    for (int i = 0; i < 100; i++) {
        fili_order o    = make(ctx, draw_grid(20), names[i % 4]);
        char      *seen = calloc((size_t)o.n_pieces, 1);
        assert_non_null(seen);
        for (int32_t p = 0; p < o.n_pieces; p++) {
            const int32_t cube = cube_of(&o, o.order[o.piece[p]]);
            assert_int_equal(seen[cube]++, 0);
            for (int32_t k = o.piece[p]; k < o.piece[p + 1]; k++)
                assert_int_equal(cube_of(&o, o.order[k]), cube);
        }
        free(seen);
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

static void cubes_come_in_raster_order_with_raster_inside(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(74);
    for (int i = 0; i < 60; i++) {
        fili_order o = make(ctx, draw_grid(20), "cubes 3x5x4");
        for (int32_t k = 1; k < o.n; k++) {
            const int32_t before = cube_of(&o, o.order[k - 1]);
            const int32_t here   = cube_of(&o, o.order[k]);
            assert_true(before < here || (before == here && o.order[k - 1] < o.order[k]));
        }
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

static void hilbert_cubes_come_along_the_curve_of_the_grid_of_cubes(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(75);
    for (int i = 0; i < 60; i++) {
        fili_order      o     = make(ctx, draw_grid(30), "hilbert-cubes 3x5x4");
        const fili_grid cubes = {(o.grid.f + 2) / 3, (o.grid.h + 4) / 5, (o.grid.w + 3) / 4};
        fili_order      outer = make(ctx, cubes, "hilbert");
        assert_int_equal(o.n_pieces, outer.n);
        for (int32_t p = 0; p < o.n_pieces && outer.n > 1; p++)
            assert_int_equal(cube_of(&o, o.order[o.piece[p]]), outer.order[p]);
        fili_order_fini(&outer);
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

static void hilbert_cubes_of_four_are_the_sequence_of_hilbert_on_every_grid(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(76);
    for (int i = 0; i < 200; i++) {
        const fili_grid grid = draw_grid(i % 2 == 0 ? 6 : 35);
        fili_order      a    = make(ctx, grid, "hilbert");
        fili_order      b    = make(ctx, grid, "hilbert-cubes 4x4x4");
        assert_memory_equal(a.order, b.order, (size_t)a.n * sizeof *a.order);
        fili_order_fini(&a);
        fili_order_fini(&b);
    }
    fil_ctx_close(&ctx);
}

static void the_curve_steps_to_a_neighbour_in_a_full_cube(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    for (int32_t side = 2; side <= 32; side *= 2) {
        fili_order o = make(ctx, (fili_grid){side, side, side}, "hilbert");
        for (int32_t i = 1; i < o.n; i++) {
            const int32_t a = o.order[i - 1];
            const int32_t b = o.order[i];
            const int32_t d = abs(a % side - b % side) + abs(a / side % side - b / side % side) +
                              abs(a / side / side - b / side / side);
            assert_int_equal(d, 1);
        }
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

static void sides_beyond_21_bits_are_no_special_case(void **state)
{
    (void)state;
    static const fili_grid grids[] = {{1, 1, 2500000}, {1, 2500000, 1}, {2500000, 1, 1}};
    fil_ctx               *ctx     = open_ctx();
    for (int i = 0; i < 3; i++) {
        fili_order o = make(ctx, grids[i], i == 1 ? "hilbert-cubes 4x4x2000000000" : "hilbert");
        is_permutation(&o);
        fili_order_fini(&o);
    }
    fil_ctx_close(&ctx);
}

/* ---- failures ------------------------------------------------------------------------------- */

static void bad_specs_and_grids_are_refused(void **state)
{
    (void)state;
    fil_ctx              *ctx  = open_ctx();
    const fili_grid       grid = {2, 3, 4};
    const fili_order_spec kind = {.kind = (fili_order_kind)7};
    const fili_order_spec cube = {.kind = FILI_ORDER_CUBES, .cube = {4, 0, 4}};
    const fili_order_spec good = {.kind = FILI_ORDER_HILBERT};
    fili_order            o;
    fails_with(ctx, fili_order_init(&o, ctx, grid, &kind), FIL_E_ARG,
               "order kind is 7; expected 0 to 4");
    fails_with(ctx, fili_order_init(&o, ctx, grid, &cube), FIL_E_ARG,
               "cube is 4x0x4; expected three sides of at least 1");
    fails_with(ctx, fili_order_init(&o, ctx, (fili_grid){2048, 2048, 512}, &good), FIL_E_LIMIT,
               "grid 2048,2048,512 has more than 2147483647 tokens");
    assert_null(o.order);
    fili_order_fini(&o);
    fil_ctx_close(&ctx);
}

static void what_is_no_permutation_is_not_inverted(void **state)
{
    (void)state;
    static const int32_t twice[]    = {0, 2, 1, 2};
    static const int32_t high[]     = {0, 4, 1, 2};
    static const int32_t negative[] = {0, 1, -1, 2};
    fil_ctx             *ctx        = open_ctx();
    int32_t              inverse[4];
    fails_with(ctx, fili_order_invert(ctx, twice, 4, inverse), FIL_E_ARG,
               "order names token 2 twice, at 1 and at 3");
    fails_with(ctx, fili_order_invert(ctx, high, 4, inverse), FIL_E_ARG,
               "order[1] is 4; expected 0 to 3");
    fails_with(ctx, fili_order_invert(ctx, negative, 4, inverse), FIL_E_ARG,
               "order[2] is -1; expected 0 to 3");
    fil_ctx_close(&ctx);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    alloc_fault f = {.at = -1};
    fil_options opt;
    fil_ctx    *ctx;
    fili_order  o;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&f);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    const fili_order_spec spec   = {.kind = FILI_ORDER_CUBES, .cube = {4, 4, 4}};
    fil_status            status = FIL_E_NOMEM;
    for (int64_t at = 0; status != FIL_OK; at++) {
        f.calls  = 0;
        f.failed = 0;
        f.at     = at;
        fili_ctx_enter(ctx);
        status = fili_order_init(&o, ctx, (fili_grid){5, 6, 7}, &spec);
        assert_int_equal(status, f.failed > 0 ? FIL_E_NOMEM : FIL_OK);
        if (status != FIL_OK) assert_int_equal(f.live, 1);
    }
    assert_int_equal(f.calls, 3);
    fili_order_fini(&o);
    fili_order_fini(&o);
    assert_int_equal(f.live, 1);
    fil_ctx_close(&ctx);
    assert_int_equal(f.live, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_parses_to_what_it_is_printed_from),
        cmocka_unit_test(a_wrong_name_is_refused_with_what_was_expected),
        cmocka_unit_test(a_grid_is_three_sides_of_at_most_2_to_31_tokens),
        cmocka_unit_test(the_published_test_vectors_come_out),
        cmocka_unit_test(orders_equal_those_of_an_independent_implementation),
        cmocka_unit_test(orders_equal_the_fixtures),
        cmocka_unit_test(hilbert_orders_are_sorted_by_skillings_code),
        cmocka_unit_test(every_order_of_every_grid_is_a_permutation_with_its_inverse),
        cmocka_unit_test(a_piece_is_one_whole_cube),
        cmocka_unit_test(cubes_come_in_raster_order_with_raster_inside),
        cmocka_unit_test(hilbert_cubes_come_along_the_curve_of_the_grid_of_cubes),
        cmocka_unit_test(hilbert_cubes_of_four_are_the_sequence_of_hilbert_on_every_grid),
        cmocka_unit_test(the_curve_steps_to_a_neighbour_in_a_full_cube),
        cmocka_unit_test(sides_beyond_21_bits_are_no_special_case),
        cmocka_unit_test(bad_specs_and_grids_are_refused),
        cmocka_unit_test(what_is_no_permutation_is_not_inverted),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
