/* tests/unit/test_dequant.c: every block type equals the reference (fixtures gguf/) and, without
 * it, a second implementation that computes one element at a time from the text of the format; the
 * variants agree bit by bit.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/block_make.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"

enum { BLOCKS = 40, MOST_BYTES = 210 };

static const fil_dtype types[] = {
#define TYPE(name, value, elements, bytes) FIL_##name,
    FIL_BLOCK_DTYPE_LIST(TYPE)
#undef TYPE
};

enum { TYPES = sizeof types / sizeof types[0] };

/* ---- one element at a time ------------------------------------------------------------------ */

static float f16(const unsigned char *p)
{
    float x;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F32, &x, FIL_F16, p, 1);
    return x;
}

static int bit_of(const unsigned char *p, int i)
{
    return p[i / 8] >> i % 8 & 1;
}

static int nibble_of(const unsigned char *qs, int i)
{
    return i < 16 ? qs[i] % 16 : qs[i - 16] / 16;
}

/* Sub-block j of Q4_K and Q5_K. */
static void six_bits(const unsigned char *s, int j, float *scale, float *least)
{
    *scale = (float)(j < 4 ? s[j] % 64 : s[j + 4] % 16 + s[j - 4] / 64 * 16);
    *least = (float)(j < 4 ? s[j + 4] % 64 : s[j + 4] / 16 + s[j] / 64 * 16);
}

static float small_block(fil_dtype dtype, const unsigned char *b, int i)
{
    const float d = f16(b);
    switch (dtype) {
    case FIL_Q4_0: return d * (float)(nibble_of(b + 2, i) - 8);
    case FIL_Q4_1: return d * (float)nibble_of(b + 4, i) + f16(b + 2);
    case FIL_Q5_0: return d * (float)(nibble_of(b + 6, i) + 16 * bit_of(b + 2, i) - 16);
    case FIL_Q5_1: return d * (float)(nibble_of(b + 8, i) + 16 * bit_of(b + 4, i)) + f16(b + 2);
    default: return d * (float)(b[2 + i] < 128 ? b[2 + i] : b[2 + i] - 256);
    }
}

static float q2_k(const unsigned char *b, int i)
{
    const int half = i / 128;
    const int j    = i % 128 / 32;
    const int l    = i % 32;
    const int sc   = b[8 * half + 2 * j + l / 16];
    const int q    = b[16 + 32 * half + l] / (1 << 2 * j) % 4;
    return f16(b + 80) * (float)(sc % 16) * (float)q - f16(b + 82) * (float)(sc / 16);
}

static float q3_k(const unsigned char *b, int i)
{
    const unsigned char *s     = b + 96;
    const int            half  = i / 128;
    const int            j     = i % 128 / 32;
    const int            l     = i % 32;
    const int            k     = 8 * half + 2 * j + l / 16;
    const int            low   = k < 8 ? s[k] % 16 : s[k - 8] / 16;
    const int            scale = low + 16 * (s[8 + k % 4] / (1 << 2 * (k / 4)) % 4) - 32;
    const int            q     = b[32 + 32 * half + l] / (1 << 2 * j) % 4;
    const int            set   = bit_of(b + l, 4 * half + j);
    return f16(b + 108) * (float)scale * (float)(q - (set ? 0 : 4));
}

static float q4_or_5_k(fil_dtype dtype, const unsigned char *b, int i)
{
    const int            j  = i / 32;
    const int            l  = i % 32;
    const unsigned char *qs = dtype == FIL_Q4_K ? b + 16 : b + 48;
    int                  q  = j % 2 == 0 ? qs[32 * (j / 2) + l] % 16 : qs[32 * (j / 2) + l] / 16;
    float                scale;
    float                least;
    if (dtype == FIL_Q5_K) q += 16 * bit_of(b + 16 + l, j);
    six_bits(b + 4, j, &scale, &least);
    return f16(b) * scale * (float)q - f16(b + 2) * least;
}

static float q6_k(const unsigned char *b, int i)
{
    const int            half  = i / 128;
    const int            group = i % 128 / 32;
    const int            l     = i % 32;
    const unsigned char *ql    = b + 64 * half + (group % 2 == 0 ? 0 : 32);
    const int            low   = group < 2 ? ql[l] % 16 : ql[l] / 16;
    const int            top   = b[128 + 32 * half + l] / (1 << 2 * group) % 4;
    const int            s     = b[192 + 8 * half + l / 16 + 2 * group];
    return f16(b + 208) * (float)(s < 128 ? s : s - 256) * (float)(low + 16 * top - 32);
}

static float element(fil_dtype dtype, const unsigned char *block, int i)
{
    switch (dtype) {
    case FIL_Q2_K: return q2_k(block, i);
    case FIL_Q3_K: return q3_k(block, i);
    case FIL_Q4_K:
    case FIL_Q5_K: return q4_or_5_k(dtype, block, i);
    case FIL_Q6_K: return q6_k(block, i);
    default: return small_block(dtype, block, i);
    }
}

/* ---- random blocks -------------------------------------------------------------------------- */

/* Any bytes; the F16 numbers are finite, among them zeros of both signs and subnormal ones. */
static void fill(fil_dtype dtype, unsigned char *blocks, uint64_t seed)
{
    static const uint16_t special[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff};
    uint32_t              elements;
    const uint32_t        size = fil_dtype_block(dtype, &elements);
    int                   at[2];
    block_halves(dtype, at);
    block_bytes(blocks, (uint64_t)BLOCKS * size, seed);
    for (int b = 0; b < BLOCKS; b++)
        for (int k = 0; k < 2; k++) {
            unsigned char *p = blocks + (uint32_t)b * size + at[k];
            if (k == 1 && at[k] == 0) continue;
            if (b < 6) {
                p[0] = (unsigned char)special[b];
                p[1] = (unsigned char)(special[b] >> 8);
            }
            if ((p[1] & 0x7c) == 0x7c) p[1] ^= 0x40; /* no infinity, no NaN */
        }
}

/* The same bits, or both no number. */
static int same(const float *a, const float *b)
{
    return memcmp(a, b, sizeof *a) == 0 || (isnan(*a) && isnan(*b));
}

static void every_variant_equals_the_format_element_by_element(void **state)
{
    (void)state;
    for (int t = 0; t < TYPES; t++)
        for (size_t v = 0; v < fili_n_dequant_variants; v++) {
            const fili_isa needs = fili_dequant_variants[v].needs;
            uint32_t       n;
            const uint32_t size = fil_dtype_block(types[t], &n);
            unsigned char *src  = malloc((size_t)BLOCKS * size + 1);
            float         *dst  = malloc((size_t)BLOCKS * n * sizeof *dst);
            assert_non_null(src);
            assert_non_null(dst);
            if (!fili_isa_has(fili_cpu_isa(&fili_os_posix), needs)) {
                print_message("%s: not on this CPU\n", fili_isa_name(needs));
                free(src);
                free(dst);
                continue;
            }
            fill(types[t], src + 1, (uint64_t)t); /* odd address */
            fili_dequant_of(fili_dequant_variants[v].set, types[t])(dst, src + 1, BLOCKS);
            for (uint32_t i = 0; i < BLOCKS * n; i++) {
                const float e = element(types[t], src + 1 + i / n * size, (int)(i % n));
                if (!same(&dst[i], &e))
                    fail_msg("%s %s: element %u is %.9g, expected %.9g", fili_isa_name(needs),
                             fil_dtype_name(types[t]), i, (double)dst[i], (double)e);
            }
            free(src);
            free(dst);
        }
}

static void nothing_beside_the_elements_is_written(void **state)
{
    (void)state;
    for (int t = 0; t < TYPES; t++)
        for (size_t blocks = 0; blocks < 3; blocks++) {
            unsigned char src[BLOCKS * MOST_BYTES];
            float         dst[1 + 2 * FILI_BLOCK_MOST + 1];
            uint32_t      n;
            (void)fil_dtype_block(types[t], &n);
            fill(types[t], src, 1);
            for (size_t i = 0; i < sizeof dst / sizeof dst[0]; i++)
                dst[i] = 12345.0f;
            fili_dequant_select(fili_cpu_isa(&fili_os_posix), types[t])(dst + 1, src, blocks);
            assert_true(dst[0] == 12345.0f);
            assert_true(dst[1 + blocks * n] == 12345.0f);
        }
}

static void scales_that_are_no_numbers_give_no_numbers(void **state)
{
    (void)state;
    for (int t = 0; t < TYPES; t++)
        for (size_t v = 0; v < fili_n_dequant_variants; v++) {
            unsigned char src[BLOCKS * MOST_BYTES];
            float         dst[FILI_BLOCK_MOST];
            uint32_t      n;
            int           at[2];
            (void)fil_dtype_block(types[t], &n);
            if (!fili_isa_has(fili_cpu_isa(&fili_os_posix), fili_dequant_variants[v].needs))
                continue;
            fill(types[t], src, 2);
            block_halves(types[t], at);
            src[at[0]]     = 1; /* NaN */
            src[at[0] + 1] = 0x7c;
            fili_dequant_of(fili_dequant_variants[v].set, types[t])(dst, src, 1);
            for (uint32_t i = 0; i < n; i++)
                assert_true(isnan(dst[i]));
        }
}

static void element_types_have_no_loop(void **state)
{
    (void)state;
#define NONE(name, value, bits, text)                                                              \
    assert_false(fili_dequant_has(FIL_##name));                                                    \
    assert_null(fili_dequant_select(FILI_ISA_REF, FIL_##name));
    FIL_DTYPE_LIST(NONE)
#undef NONE
    assert_false(fili_dequant_has(FIL_DTYPE_NONE));
    for (int t = 0; t < TYPES; t++)
        assert_non_null(fili_dequant_select(FILI_ISA_REF, types[t]));
}

/* ---- the reference -------------------------------------------------------------------------- */

/* Numbers of floats between a and b, counted through zero; large if either is no number. */
static uint32_t ulps(float a, float b)
{
    int32_t x;
    int32_t y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    if (isnan(a) || isnan(b)) return UINT32_MAX;
    const int64_t p = x < 0 ? -(int64_t)(x & INT32_MAX) : x;
    const int64_t q = y < 0 ? -(int64_t)(y & INT32_MAX) : y;
    return (uint32_t)(p > q ? p - q : q - p);
}

static void every_type_equals_the_reference(void **state)
{
    fil_ctx *ctx = NULL;
    char     path[512];
    (void)state;
    if (fixture_path("") == NULL) skip();
    snprintf(path, sizeof path, "%s", fixture_path("gguf/dequant.safetensors"));
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    for (int t = 0; t < TYPES; t++) {
        char     name[32];
        int64_t  bytes;
        int64_t  values;
        uint32_t n;
        uint32_t worst = 0;
        snprintf(name, sizeof name, "%s.bytes", fil_dtype_name(types[t]));
        unsigned char *src = fixture_tensor(ctx, path, name, FIL_U8, &bytes);
        snprintf(name, sizeof name, "%s.values", fil_dtype_name(types[t]));
        float         *want   = fixture_tensor(ctx, path, name, FIL_F32, &values);
        const uint32_t size   = fil_dtype_block(types[t], &n);
        const size_t   blocks = (size_t)bytes / size;
        assert_int_equal(blocks * n, values);
        float *got = malloc((size_t)values * sizeof *got);
        assert_non_null(got);
        fili_dequant_select(ctx->isa, types[t])(got, src, blocks);
        for (int64_t i = 0; i < values; i++)
            if (ulps(got[i], want[i]) > worst) worst = ulps(got[i], want[i]);
        printf("%s: %lld values, at most %u ulp\n", fil_dtype_name(types[t]), (long long)values,
               worst);
        assert_true(values > 0);
        assert_true(worst <= 1);
        free(src);
        free(want);
        free(got);
    }
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_equals_the_format_element_by_element),
        cmocka_unit_test(nothing_beside_the_elements_is_written),
        cmocka_unit_test(scales_that_are_no_numbers_give_no_numbers),
        cmocka_unit_test(element_types_have_no_loop),
        cmocka_unit_test(every_type_equals_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
