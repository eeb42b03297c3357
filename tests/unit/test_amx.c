/* tests/unit/test_amx.c: the tile instructions of kernel/cpu/amx.h do what it says, on a CPU with
 * AMX and in the model of a build with FIL_EMULATE alike: order of rows, pairs and lanes, strides,
 * zeros, denormals. Whole numbers, so that every order of the sums gives the same bits.
 */
#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernel/cpu/amx.h"
#include "support/cmocka_all.h"

enum { ROWS = 16, PAIRS = 16, LANES = 16, WIDE_A = 40, WIDE_C = 19 };

typedef struct product {
    uint16_t a[ROWS][WIDE_A]; /* 32 of a row are taken */
    uint16_t b[PAIRS + 1][LANES][2];
    float    c[ROWS][WIDE_C];
} product;

static void need_amx(void)
{
    if (!fili_isa_has(fili_cpu_isa(&fili_os_posix), FILI_ISA_AMX)) skip();
}

static uint16_t bf16_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static float f32_of(uint16_t h)
{
    const uint32_t bits = (uint32_t)h << 16;
    float          x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Whole numbers from -8 to 8, exact in bf16. */
static void fill(product *p, uint64_t seed)
{
    uint64_t next = 0;
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < WIDE_A; k++)
            p->a[r][k] = bf16_of((float)(fili_philox_u32(seed, 0, next++) % 17) - 8.0f);
    for (int k = 0; k <= PAIRS; k++)
        for (int n = 0; n < LANES * 2; n++)
            p->b[k][n / 2][n % 2] = bf16_of((float)(fili_philox_u32(seed, 0, next++) % 17) - 8.0f);
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < WIDE_C; n++)
            p->c[r][n] = (float)(fili_philox_u32(seed, 0, next++) % 1001) - 500.0f;
}

static float sum_of(const product *p, int r, int n)
{
    float sum = 0.0f;
    for (int k = 0; k < 2 * PAIRS; k++)
        sum += f32_of(p->a[r][k]) * f32_of(p->b[k / 2][n][k % 2]);
    return sum;
}

static void a_product_is_added_to_what_the_tile_holds(void **state)
{
    (void)state;
    product p;
    need_amx();
    fill(&p, 1);
    const product before = p;
    amx_begin();
    AMX_LOAD(0, p.c, sizeof p.c[0]);
    AMX_LOAD(6, p.a, sizeof p.a[0]);
    AMX_LOAD(7, p.b, sizeof p.b[0]);
    AMX_DP(0, 6, 7);
    AMX_DP(0, 6, 7);
    AMX_STORE(0, p.c, sizeof p.c[0]);
    amx_end();
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < WIDE_C; n++) {
            const float more = n < LANES ? 2.0f * sum_of(&before, r, n) : 0.0f;
            assert_true(p.c[r][n] == before.c[r][n] + more);
        }
    assert_memory_equal(p.a, before.a, sizeof p.a);
    assert_memory_equal(p.b, before.b, sizeof p.b);
}

/* From 2 bytes behind a row's begin: no address need be aligned. */
static void eight_tiles_keep_apart_at_any_address(void **state)
{
    (void)state;
    static product p[3];
    static float   out[4][ROWS][LANES];
    need_amx();
    for (uint64_t i = 0; i < 3; i++)
        fill(&p[i], 2 + i);
    const char *a[3];
    for (int i = 0; i < 3; i++)
        a[i] = (const char *)&p[i].a[0][1];
    amx_begin();
    AMX_ZERO(1);
    AMX_ZERO(2);
    AMX_LOAD(3, a[0], sizeof p[0].a[0]);
    AMX_LOAD(4, a[1], sizeof p[0].a[0]);
    AMX_LOAD(5, p[1].b, 64);
    AMX_LOAD(6, a[2], sizeof p[0].a[0]);
    AMX_LOAD(7, p[2].b, 64);
    AMX_DP(1, 3, 5);
    AMX_DP(2, 4, 7);
    AMX_STORE(0, out[0], 64);
    AMX_DP(0, 6, 5);
    AMX_STORE(1, out[1], 64);
    AMX_STORE(2, out[2], 64);
    AMX_STORE(0, out[3], 64);
    amx_end();
    const int from[4][2] = {{-1, -1}, {0, 1}, {1, 2}, {2, 1}};
    for (int i = 0; i < 4; i++)
        for (int r = 0; r < ROWS; r++)
            for (int n = 0; n < LANES; n++) {
                float sum = 0.0f;
                for (int k = 0; i > 0 && k < 2 * PAIRS; k++)
                    sum += f32_of(p[from[i][0]].a[r][k + 1]) *
                           f32_of(p[from[i][1]].b[k / 2][n][k % 2]);
                assert_true(out[i][r][n] == sum);
            }
}

static void one_term(uint16_t a, uint16_t b, float c, float *out)
{
    static uint16_t ta[ROWS][32], tb[PAIRS][LANES * 2];
    static float    tc[ROWS][LANES];
    ta[3][31] = a;
    tb[15][9] = b; /* pair 15, lane 4, odd */
    tc[3][4]  = c;
    amx_begin();
    AMX_LOAD(0, tc, 64);
    AMX_LOAD(1, ta, 64);
    AMX_LOAD(2, tb, 64);
    AMX_DP(0, 1, 2);
    AMX_STORE(0, tc, 64);
    amx_end();
    *out = tc[3][4];
}

static void denormals_are_zero_and_the_rest_is_arithmetic(void **state)
{
    (void)state;
    const uint16_t denormal = 0x0040, least = 0x0080, large = 0x7f00, half = 0x3f00, one = 0x3f80;
    const uint16_t infinite = 0x7f80, nan = 0x7fc0;
    float          x;
    need_amx();
    one_term(denormal, large, 0.0f, &x);
    assert_true(x == 0.0f);
    one_term(least, half, 0.0f, &x);
    assert_true(x == 0.0f);
    one_term(least, one, 0x1p-126f, &x);
    assert_true(x == 0x1p-125f);
    one_term(0, one, 0x1p-130f, &x);
    assert_true(x == 0.0f);
    one_term(large, large, -1.0f, &x);
    assert_true(isinf(x) && x > 0.0f);
    one_term(infinite, 0, 1.0f, &x);
    assert_true(isnan(x));
    one_term(nan, one, 1.0f, &x);
    assert_true(isnan(x));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_is_added_to_what_the_tile_holds),
        cmocka_unit_test(eight_tiles_keep_apart_at_any_address),
        cmocka_unit_test(denormals_are_zero_and_the_rest_is_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
