/* tests/unit/test_noise.c: diffusion/noise.h: torch's numbers, and where the stream stands behind
 * them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diffusion/noise.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

static fil_ctx *open_ctx(void)
{
    fil_ctx *ctx = NULL;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    return ctx;
}

static void seed_42_begins_as_torch_does(void **state)
{
    static const float want[] = {1.9269f, 1.4873f, 0.9007f, -2.1055f};
    fil_ctx           *ctx    = open_ctx();
    fili_mt19937       rng;
    float              x[16];
    (void)state;
    assert_int_equal(fili_noise_begin(ctx, 42, x, 16, &rng), FIL_OK);
    for (int i = 0; i < 4; i++)
        if (!(fabsf(x[i] - want[i]) <= 5e-5f)) fail_msg("number %d is %.6f", i, (double)x[i]);
    fil_ctx_close(&ctx);
}

static void the_stream_stands_in_the_same_place_drawn_or_passed_over(void **state)
{
    static const int64_t n[] = {16, 32, 17, 100, 1000, 1009};
    fil_ctx             *ctx = open_ctx();
    float                x[1009];
    (void)state;
    for (int k = 0; k < 6; k++) {
        fili_mt19937 a;
        fili_mt19937 b;
        assert_int_equal(fili_noise_begin(ctx, 5, x, n[k], &a), FIL_OK);
        assert_int_equal(fili_noise_begin(ctx, 5, NULL, n[k], &b), FIL_OK);
        assert_int_equal(fili_mt19937_u32(&a), fili_mt19937_u32(&b));
    }
    fil_ctx_close(&ctx);
}

static void it_is_torchs_noise_for_every_seed_and_shape_of_the_fixtures(void **state)
{
    static const char *const seeds[]  = {"0", "42", "2147483648", "1099511627783"};
    static const char *const shapes[] = {"20", "16x3x10x12", "16x5x16x20"};
    static const int64_t     sizes[]  = {20, 5760, 25600};
    const char              *path     = fixture_path("noise/noise.safetensors");
    char                     name[80];
    int64_t                  n;
    (void)state;
    if (path == NULL) skip();
    fil_ctx *ctx = open_ctx();
    float   *x   = malloc(25600 * sizeof *x);
    assert_non_null(x);
    for (int k = 0; k < 12; k++) {
        fili_mt19937 rng;
        snprintf(name, sizeof name, "seed%s.%s", seeds[k / 3], shapes[k % 3]);
        float *want = fixture_tensor(ctx, path, name, FIL_F32, &n);
        assert_int_equal(
            fili_noise_begin(ctx, strtoull(seeds[k / 3], NULL, 10), x, sizes[k % 3], &rng), FIL_OK);
        for (int64_t i = 0; i < n; i++)
            if (!(fabsf(x[i] - want[i]) <= 2e-6f))
                fail_msg("%s, number %lld: %.8f, expected %.8f", name, (long long)i, (double)x[i],
                         (double)want[i]);
        free(want);
    }
    free(x);
    fil_ctx_close(&ctx);
}

static void a_value_that_is_not_finite_is_named(void **state)
{
    fil_ctx *ctx  = open_ctx();
    float    x[4] = {0.0f, 1.0f, NAN, 2.0f};
    (void)state;
    assert_int_equal(fili_check_finite(ctx, "latents", x, 2), FIL_OK);
    assert_int_equal(fili_check_finite(ctx, "latents", x, 4), FIL_E_NONFINITE);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "latents: value 2 of 4 is not a number"));
    x[2] = -INFINITY;
    assert_int_equal(fili_check_finite(ctx, "latents", x, 4), FIL_E_NONFINITE);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seed_42_begins_as_torch_does),
        cmocka_unit_test(the_stream_stands_in_the_same_place_drawn_or_passed_over),
        cmocka_unit_test(it_is_torchs_noise_for_every_seed_and_shape_of_the_fixtures),
        cmocka_unit_test(a_value_that_is_not_finite_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
