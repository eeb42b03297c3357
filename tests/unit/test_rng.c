/* tests/unit/test_rng.c: published test vectors of both generators, normal numbers against torch's
 * (CPU seeds 0 and 42, CUDA seed 0), and that a range does not change its values.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

static void assert_close(const float *got, const float *want, int n, float tolerance)
{
    for (int i = 0; i < n; i++)
        if (!(fabsf(got[i] - want[i]) <= tolerance))
            fail_msg("number %d is %.7f; expected %.7f", i, (double)got[i], (double)want[i]);
}

static fil_ctx *open_ctx(void)
{
    fil_ctx *ctx = NULL;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    return ctx;
}

/* ---- Mersenne Twister ----------------------------------------------------------------------- */

static void mt19937_gives_the_10000th_word_of_the_cpp_standard(void **state)
{
    (void)state;
    fili_mt19937 rng; /* C++17 [rand.predef]: 10000th call of a default mt19937, seed 5489 */
    fili_mt19937_seed(&rng, 5489);
    assert_int_equal(fili_mt19937_u32(&rng), 3499211612u);
    for (int i = 2; i < 10000; i++)
        (void)fili_mt19937_u32(&rng);
    assert_int_equal(fili_mt19937_u32(&rng), 4123659995u);
}

static void mt19937_uses_the_low_32_bits_of_the_seed(void **state)
{
    (void)state;
    fili_mt19937 a;
    fili_mt19937 b;
    fili_mt19937 c;
    fili_mt19937_seed(&a, 7);
    fili_mt19937_seed(&b, (1ull << 40) + 7);
    fili_mt19937_seed(&c, 8);
    int differ = 0;
    for (int i = 0; i < 1000; i++) {
        const uint32_t x = fili_mt19937_u32(&a);
        assert_int_equal(x, fili_mt19937_u32(&b));
        differ += x != fili_mt19937_u32(&c);
    }
    assert_true(differ > 990);
}

static const float torch_0_16[16]  = {-1.1258f, -1.1524f, -0.2506f, -0.4339f, 0.8487f, 0.6920f,
                                      -0.3160f, -2.1152f, 0.3223f,  -1.2633f, 0.3500f, 0.3081f,
                                      0.1198f,  1.2377f,  1.1168f,  -0.2473f};
static const float torch_42_16[16] = {1.9269f,  1.4873f,  0.9007f,  -2.1055f, 0.6784f,  -1.2345f,
                                      -0.0431f, -1.6047f, -0.7521f, 1.6487f,  -0.3925f, -1.4036f,
                                      -0.7279f, -0.5594f, -0.7688f, 0.7624f};
static const float torch_42_20[20] = {1.9269f,  1.4873f,  0.9007f,  -2.1055f, -0.7581f,
                                      1.0783f,  0.8008f,  1.6806f,  0.3559f,  -0.6866f,
                                      -0.4934f, 0.2415f,  -0.2316f, 0.0418f,  -0.2516f,
                                      0.8599f,  -0.3097f, -0.3957f, 0.8034f,  -0.6216f};

static void torch_randn_gives_the_numbers_of_torch(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    float    out[20];
    assert_int_equal(fili_torch_randn(ctx, 0, out, 16), FIL_OK);
    assert_close(out, torch_0_16, 16, 5.1e-5f); /* the table has four decimals */
    assert_int_equal(fili_torch_randn(ctx, 42, out, 16), FIL_OK);
    assert_close(out, torch_42_16, 16, 5.1e-5f);
    fil_ctx_close(&ctx);
}

static void torch_randn_redraws_the_tail(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    float    out[20];
    assert_int_equal(fili_torch_randn(ctx, 42, out, 20), FIL_OK);
    assert_close(out, torch_42_20, 20, 5.1e-5f);
    fil_ctx_close(&ctx);
}

static void torch_randn_refuses_fewer_than_16(void **state)
{
    (void)state;
    fil_ctx *ctx     = open_ctx();
    float    out[16] = {0};
    for (int64_t n = -1; n < 16; n += 8) {
        fili_ctx_enter(ctx);
        assert_int_equal(fili_torch_randn(ctx, 0, out, n), FIL_E_UNSUP);
        assert_non_null(strstr(fil_ctx_error(ctx)->message, "16"));
    }
    fil_ctx_close(&ctx);
}

/* ---- Philox --------------------------------------------------------------------------------- */

typedef struct philox_case {
    uint32_t counter[4], key[2], out[4];
} philox_case;

/* The known answers that the authors publish with their library (all zeros, all ones, pi). */
static const philox_case philox_cases[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void philox_gives_the_published_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof philox_cases / sizeof philox_cases[0]; i++) {
        uint32_t out[4];
        fili_philox4x32(philox_cases[i].counter, philox_cases[i].key, out);
        assert_memory_equal(out, philox_cases[i].out, sizeof out);
    }
}

static void philox_words_come_from_seed_stream_and_index(void **state)
{
    (void)state;
    const uint64_t seed       = 0x299f31d0a4093822u;
    const uint64_t stream     = 0x0370734413198a2eu;
    const uint64_t block      = 0x05a308d3243f6a88u; /* times four still fits the index */
    const uint32_t counter[4] = {0x243f6a88u, 0x05a308d3u, 0x13198a2eu, 0x03707344u};
    const uint32_t key[2]     = {0xa4093822u, 0x299f31d0u};
    uint32_t       words[4];
    fili_philox4x32(counter, key, words);
    for (uint64_t j = 0; j < 4; j++)
        assert_int_equal(fili_philox_u32(seed, stream, block * 4 + j), words[j]);
}

/* Seed 0 of torch's CUDA generator, first number of threads 0 to 11; all four of thread 0. */
static const float cuda_0[12]         = {-0.924662f, -0.425344f, -2.643846f, 0.145184f,
                                         -0.120867f, -0.579726f, -0.622852f, -0.328387f,
                                         -1.074542f, -0.363144f, -1.671051f, 2.265505f};
static const float cuda_0_thread_0[4] = {-0.924662f, 0.991138f, -0.482069f, -0.617609f};

static void philox_normals_are_those_of_cuda_threads(void **state)
{
    (void)state;
    float out[4];
    for (uint64_t thread = 0; thread < 12; thread++) {
        fili_philox_normal(0, thread, 0, out, 1);
        assert_close(out, &cuda_0[thread], 1, 1.5e-6f);
    }
    fili_philox_normal(0, 0, 0, out, 4);
    assert_close(out, cuda_0_thread_0, 4, 1.5e-6f);
}

enum { LONG = 1000 };

static void any_range_of_a_stream_has_the_same_bits(void **state)
{
    (void)state;
    float normal[LONG];
    float uniform[LONG];
    float part[LONG];
    fili_philox_normal(99, 5, 0, normal, LONG);
    fili_philox_uniform(99, 5, 0, uniform, LONG);
    for (uint64_t first = 0; first < 9; first++)
        for (int64_t n = 0; n < 14; n++) {
            const size_t bytes = (size_t)n * sizeof(float);
            part[n]            = 123.0f;
            fili_philox_normal(99, 5, first, part, n);
            assert_memory_equal(part, normal + first, bytes);
            fili_philox_uniform(99, 5, first, part, n);
            assert_memory_equal(part, uniform + first, bytes);
            assert_true(part[n] == 123.0f);
        }
    fili_philox_normal(99, 5, 500, part, LONG - 500);
    assert_memory_equal(part, normal + 500, (LONG - 500) * sizeof(float));
}

static void uniforms_are_the_top_24_bits_of_the_words(void **state)
{
    (void)state;
    float out[LONG];
    fili_philox_uniform(3, 1ull << 35, 1ull << 34, out, LONG);
    for (uint64_t i = 0; i < LONG; i++) {
        const uint32_t w = fili_philox_u32(3, 1ull << 35, (1ull << 34) + i);
        assert_true(out[i] == (float)(w >> 8) / 16777216.0f);
        assert_true(out[i] >= 0.0f && out[i] < 1.0f);
    }
}

enum { MANY = 1 << 20 };

static void normals_have_mean_0_and_variance_1(void **state)
{
    (void)state;
    double sum     = 0;
    double squares = 0;
    double fourth  = 0;
    float  block[1024];
    for (uint64_t i = 0; i < MANY; i += 1024) {
        fili_philox_normal(1234, 1, i, block, 1024);
        for (int j = 0; j < 1024; j++) {
            const double x = (double)block[j];
            sum += x;
            squares += x * x;
            fourth += x * x * x * x;
        }
    }
    /* Six standard errors: sigma / sqrt(n) = 0.98e-3, times sqrt 2 and sqrt 96. */
    print_message("seed 1234: mean %g, variance %g, fourth moment %g\n", sum / MANY, squares / MANY,
                  fourth / MANY);
    assert_true(fabs(sum / MANY) <= 6e-3);
    assert_true(fabs(squares / MANY - 1) <= 8.5e-3);
    assert_true(fabs(fourth / MANY - 3) <= 6e-2);
}

/* The largest difference allowed is the fixtures' own (their README): 2e-6. */
static void noise_equals_torchs_for_every_seed_of_the_fixtures(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        uint64_t    seed;
        int64_t     n; /* of the whole draw: long tensors are cut in the file, not in torch */
    } cases[] = {
        {"seed0.20", 0, 20},
        {"seed0.16x3x10x12", 0, 16 * 3 * 10 * 12},
        {"seed0.16x5x16x20", 0, 16 * 5 * 16 * 20},
        {"seed42.20", 42, 20},
        {"seed42.16x3x10x12", 42, 16 * 3 * 10 * 12},
        {"seed42.16x5x16x20", 42, 16 * 5 * 16 * 20},
        {"seed2147483648.20", 2147483648, 20},
        {"seed2147483648.16x3x10x12", 2147483648, 16 * 3 * 10 * 12},
        {"seed1099511627783.20", 1099511627783, 20},
        {"seed1099511627783.16x5x16x20", 1099511627783, 16 * 5 * 16 * 20},
    };
    const char *path = fixture_path("noise/noise.safetensors");
    if (path == NULL) skip();
    fil_ctx *ctx = open_ctx();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t n;
        float  *want = fixture_tensor(ctx, path, cases[i].tensor, FIL_F32, &n);
        float  *got  = malloc((size_t)cases[i].n * sizeof *got);
        assert_non_null(got);
        assert_true(n > 0 && n <= cases[i].n);
        assert_int_equal(fili_torch_randn(ctx, cases[i].seed, got, cases[i].n), FIL_OK);
        assert_close(got, want, (int)n, 2e-6f);
        free(got);
        free(want);
    }
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt19937_gives_the_10000th_word_of_the_cpp_standard),
        cmocka_unit_test(mt19937_uses_the_low_32_bits_of_the_seed),
        cmocka_unit_test(torch_randn_gives_the_numbers_of_torch),
        cmocka_unit_test(torch_randn_redraws_the_tail),
        cmocka_unit_test(torch_randn_refuses_fewer_than_16),
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(philox_words_come_from_seed_stream_and_index),
        cmocka_unit_test(philox_normals_are_those_of_cuda_threads),
        cmocka_unit_test(any_range_of_a_stream_has_the_same_bits),
        cmocka_unit_test(uniforms_are_the_top_24_bits_of_the_words),
        cmocka_unit_test(normals_have_mean_0_and_variance_1),
        cmocka_unit_test(noise_equals_torchs_for_every_seed_of_the_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
