/* tests/unit/test_convert.c: conversions (tensor/convert.h) against a slow reference that shares
 * nothing with them: it decodes by ldexp, and rounds by a binary search over all codes of the
 * target, with the halfway point exact in F64. Every variant is then compared bit by bit with the
 * base one. A variant that this CPU lacks is skipped by name.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/cmocka_all.h"
#include "tensor/convert.h"

/* ---- the reference -------------------------------------------------------------------------- */

typedef struct format {
    fil_dtype dtype;
    int       exponent_bits, mantissa_bits;
    size_t    size;
} format;

enum { F64, F32, BF16, F16, F8, N_FORMATS };

static const format formats[N_FORMATS] = {
    {FIL_F64, 11, 52, 8}, {FIL_F32, 8, 23, 4},    {FIL_BF16, 8, 7, 2},
    {FIL_F16, 5, 10, 2},  {FIL_F8_E4M3, 4, 3, 1},
};

static uint64_t low_bits(int n)
{
    return (1ull << n) - 1;
}

static uint64_t infinity_of(const format *f) /* F8: its NaN, the code after the largest number */
{
    if (f->dtype == FIL_F8_E4M3) return 0x7f;
    return low_bits(f->exponent_bits) << f->mantissa_bits;
}

static uint64_t sign_of(const format *f)
{
    return 1ull << (f->exponent_bits + f->mantissa_bits);
}

static bool is_nan(const format *f, uint64_t code)
{
    const uint64_t a = code & (sign_of(f) - 1);
    return f->dtype == FIL_F8_E4M3 ? a == 0x7f : a > infinity_of(f);
}

/* Value of a code without sign. The code of infinity has the value that would come next. */
static double magnitude(const format *f, uint64_t code)
{
    const int      bias     = (1 << (f->exponent_bits - 1)) - 1;
    const int      exponent = (int)(code >> f->mantissa_bits);
    const uint64_t mantissa = code & low_bits(f->mantissa_bits);
    const uint64_t hidden   = exponent > 0 ? 1ull << f->mantissa_bits : 0;
    const int      scale    = (exponent > 0 ? exponent : 1) - bias - f->mantissa_bits;
    return ldexp((double)(hidden | mantissa), scale);
}

/* Nearest code of a target narrower than F64, ties to the even one. x > 0. */
static uint64_t nearest(const format *f, double x)
{
    uint64_t lo = 0; /* magnitude(lo) <= x < magnitude(hi), or hi is infinity */
    uint64_t hi = infinity_of(f);
    if (x >= magnitude(f, hi)) return hi;
    while (hi - lo > 1) {
        const uint64_t mid = lo + (hi - lo) / 2;
        if (magnitude(f, mid) <= x)
            lo = mid;
        else
            hi = mid;
    }
    const double half = (magnitude(f, lo) + magnitude(f, hi)) / 2;
    if (x < half) return lo;
    if (x > half) return hi;
    return lo % 2 == 0 ? lo : hi;
}

static uint64_t reference(const format *to, const format *from, uint64_t code)
{
    if (to == from) return code;
    const uint64_t a    = code & (sign_of(from) - 1);
    const uint64_t sign = code & sign_of(from) ? sign_of(to) : 0;
    if (is_nan(from, code)) {
        if (to->dtype == FIL_F8_E4M3) return sign | 0x7f;
        const uint64_t payload = from->dtype == FIL_F8_E4M3 ? 0 : a & low_bits(from->mantissa_bits);
        const uint64_t left    = payload << (52 - from->mantissa_bits) >> (52 - to->mantissa_bits);
        return sign | infinity_of(to) | 1ull << (to->mantissa_bits - 1) | left;
    }
    if (from->dtype != FIL_F8_E4M3 && a == infinity_of(from)) return sign | infinity_of(to);
    const double x = magnitude(from, a);
    if (x == 0) return sign;
    if (to->dtype != FIL_F64) return sign | nearest(to, x);
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return sign | bits;
}

/* ---- inputs --------------------------------------------------------------------------------- */

/* Codes packed as the format's elements (little endian). */
typedef struct codes {
    const format  *f;
    unsigned char *data;
    size_t         n, room;
} codes;

static uint64_t code_at(const format *f, const unsigned char *data, size_t i)
{
    uint64_t code = 0;
    memcpy(&code, data + i * f->size, f->size);
    return code;
}

static void push(codes *c, uint64_t code)
{
    if (c->n == c->room) {
        c->room = c->room * 2 + 1024;
        c->data = realloc(c->data, c->room * c->f->size);
        assert_non_null(c->data);
    }
    memcpy(c->data + c->n++ * c->f->size, &code, c->f->size);
}

static void push_both_signs(codes *c, uint64_t code)
{
    push(c, code);
    push(c, code | sign_of(c->f));
}

/* Mantissas that end in 1000.. at every position, next to it, and with the bit above set. */
static void push_boundaries(codes *c, uint64_t exponent)
{
    const uint64_t all = low_bits(c->f->mantissa_bits);
    for (int p = 0; p <= c->f->mantissa_bits; p++) {
        const uint64_t tops[4] = {0, 1ull << p, 3ull << p, all << p};
        for (int j = 0; j < 4; j++)
            for (uint64_t d = 0; d < 3; d++)
                push_both_signs(c, exponent << c->f->mantissa_bits | ((tops[j] + d - 1) & all));
    }
}

enum { N_RANDOM = 1000000, SEED = 20240607 };

/* F64: exponents in and a little beyond the range of F32, where the narrow formats are. */
static uint64_t random_code(const format *f, uint64_t i)
{
    const uint64_t word =
        (uint64_t)fili_philox_u32(SEED, 0, 2 * i) << 32 | fili_philox_u32(SEED, 0, 2 * i + 1);
    if (f->dtype != FIL_F64) return word >> 32;
    const uint64_t exponent = 1023 - 160 + (word >> 52) % 300;
    return (word & (sign_of(f) | low_bits(52))) | exponent << 52;
}

/* Small formats: every code. F32 and F64: boundaries at every exponent that matters, infinity, NaN
 * with every single payload bit, and random codes. */
static codes make_codes(int which)
{
    codes         c   = {.f = &formats[which]};
    const format *f   = c.f;
    const int     all = 1 << f->exponent_bits;
    if (f->size <= 2) {
        for (uint64_t code = 0; code < 2 * sign_of(f); code++)
            push(&c, code);
        return c;
    }
    for (int e = 0; e < all; e++)
        if (which == F32 || e < 2 || e > all - 3 || (e > 1023 - 160 && e < 1023 + 135))
            push_boundaries(&c, (uint64_t)e);
    for (uint64_t i = 0; i < N_RANDOM; i++)
        push(&c, random_code(f, i));
    return c;
}

static codes inputs[N_FORMATS];

static int make_inputs(void **state)
{
    (void)state;
    for (int i = 0; i < N_FORMATS; i++)
        inputs[i] = make_codes(i);
    print_message("seed %d; %zu F64, %zu F32, %zu BF16, %zu F16, %zu F8_E4M3 codes\n", SEED,
                  inputs[F64].n, inputs[F32].n, inputs[BF16].n, inputs[F16].n, inputs[F8].n);
    return 0;
}

static int free_inputs(void **state)
{
    (void)state;
    for (int i = 0; i < N_FORMATS; i++)
        free(inputs[i].data);
    return 0;
}

/* ---- base against the reference ------------------------------------------------------------- */

static unsigned char *converted(const fili_convert_set *set, const format *to, const codes *from)
{
    unsigned char *out = malloc(from->n * to->size);
    assert_non_null(out);
    memset(out, 0xa5, from->n * to->size);
    fili_convert_row(set, to->dtype, out, from->f->dtype, from->data, from->n);
    return out;
}

static void check_base(int source)
{
    const codes *from = &inputs[source];
    for (int i = 0; i < N_FORMATS; i++) {
        const format  *to  = &formats[i];
        unsigned char *got = converted(fili_convert_select(FILI_ISA_REF), to, from);
        for (size_t j = 0; j < from->n; j++) {
            const uint64_t code = code_at(from->f, from->data, j);
            const uint64_t want = reference(to, from->f, code);
            if (code_at(to, got, j) != want)
                fail_msg("%s 0x%llx to %s gives 0x%llx; expected 0x%llx",
                         fil_dtype_name(from->f->dtype), (unsigned long long)code,
                         fil_dtype_name(to->dtype), (unsigned long long)code_at(to, got, j),
                         (unsigned long long)want);
        }
        free(got);
    }
}

static void f64_is_rounded_once_to_every_type(void **state)
{
    (void)state;
    check_base(F64);
}

static void f32_is_rounded_to_nearest_even(void **state)
{
    (void)state;
    check_base(F32);
}

static void every_bf16_code_converts(void **state)
{
    (void)state;
    check_base(BF16);
}

static void every_f16_code_converts(void **state)
{
    (void)state;
    check_base(F16);
}

static void every_f8_code_converts(void **state)
{
    (void)state;
    check_base(F8);
}

/* Narrow to wide and back: what is no NaN is unchanged; NaN stays NaN of its sign and payload, but
 * quiet. */
static void every_narrow_code_survives_the_way_to_f32_and_f64_and_back(void **state)
{
    (void)state;
    const fili_convert_set *set = fili_convert_select(FILI_ISA_REF);
    for (int i = BF16; i < N_FORMATS; i++)
        for (int wide = F64; wide <= F32; wide++) {
            const format  *f   = &formats[i];
            const codes    mid = {.f    = &formats[wide],
                                  .data = converted(set, &formats[wide], &inputs[i]),
                                  .n    = inputs[i].n};
            unsigned char *end = converted(set, f, &mid);
            for (size_t j = 0; j < mid.n; j++) {
                const uint64_t code  = code_at(f, inputs[i].data, j);
                const uint64_t quiet = is_nan(f, code) ? 1ull << (f->mantissa_bits - 1) : 0;
                assert_int_equal(code_at(f, end, j), code | quiet);
            }
            free(mid.data);
            free(end);
        }
}

/* ---- named values --------------------------------------------------------------------------- */

static uint64_t convert_f64(int to, double x)
{
    uint64_t out = 0;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), formats[to].dtype, &out, FIL_F64, &x, 1);
    return out;
}

static void f64_is_not_rounded_to_f32_on_its_way(void **state)
{
    (void)state;
    /* Each lies just beside a tie of the target, closer than F32 can tell. */
    assert_int_equal(convert_f64(BF16, 1 + 0x1p-8 + 0x1p-40), 0x3f81);
    assert_int_equal(convert_f64(BF16, 1 + 0x3p-8 - 0x1p-40), 0x3f81);
    assert_int_equal(convert_f64(F16, 1 + 0x1p-11 + 0x1p-45), 0x3c01);
    assert_int_equal(convert_f64(F16, -1 - 0x3p-11 + 0x1p-45), 0xbc01);
    assert_int_equal(convert_f64(F8, 1 + 0x1p-4 + 0x1p-50), 0x39);
    assert_int_equal(convert_f64(F8, 1 + 0x3p-4 - 0x1p-50), 0x39);
    assert_int_equal(convert_f64(BF16, 0x1p-134 + 0x1p-180), 1); /* below half of F32's least */
    assert_int_equal(convert_f64(BF16, 0x1p-134), 0);
    assert_int_equal(convert_f64(F16, 0x1p-25 + 0x1p-77), 1);
    assert_int_equal(convert_f64(F16, 0x1p-25), 0);
    assert_int_equal(convert_f64(F8, 0x1p-10 + 0x1p-60), 1);
    assert_int_equal(convert_f64(F8, 0x1p-10), 0);
}

static void overflow_begins_half_a_step_beyond_the_largest(void **state)
{
    (void)state;
    assert_int_equal(convert_f64(F16, 65520 - 0x1p-30), 0x7bff);
    assert_int_equal(convert_f64(F16, 65520), 0x7c00);
    assert_int_equal(convert_f64(BF16, 0x1.ffp127 - 0x1p80), 0x7f7f);
    assert_int_equal(convert_f64(BF16, -0x1.ffp127), 0xff80);
    assert_int_equal(convert_f64(F32, 0x1.ffffffp127 - 0x1p80), 0x7f7fffff);
    assert_int_equal(convert_f64(F32, 1e300), 0x7f800000);
    assert_int_equal(convert_f64(BF16, 1e300), 0x7f80);
    assert_int_equal(convert_f64(F16, -1e300), 0xfc00);
}

static void f8_overflow_and_infinity_become_nan(void **state)
{
    (void)state;
    assert_int_equal(convert_f64(F8, 448), 0x7e);
    assert_int_equal(convert_f64(F8, 464), 0x7e);
    assert_int_equal(convert_f64(F8, 464 + 0x1p-40), 0x7f);
    assert_int_equal(convert_f64(F8, -465), 0xff);
    assert_int_equal(convert_f64(F8, 1e300), 0x7f);
    assert_int_equal(convert_f64(F8, (double)-INFINITY), 0xff);
}

static void zero_and_underflow_keep_their_sign(void **state)
{
    (void)state;
    for (int i = F64; i < N_FORMATS; i++) {
        assert_true(convert_f64(i, -0.0) == sign_of(&formats[i]));
        assert_true(convert_f64(i, 0.0) == 0);
        if (i == F64) continue;
        assert_true(convert_f64(i, -1e-300) == sign_of(&formats[i]));
        assert_true(convert_f64(i, 1e-300) == 0);
    }
}

/* ---- variants against base ------------------------------------------------------------------ */

/* The variant named by *state, or the test is skipped. */
static const fili_convert_set *variant_of(void **state)
{
    const fili_isa isa  = *(const fili_isa *)*state;
    const fili_isa have = fili_cpu_isa(&fili_os_posix);
    for (size_t i = 0; i < fili_n_convert_variants; i++) {
        if (fili_convert_variants[i].needs != isa) continue;
        if (fili_isa_has(have, isa)) return fili_convert_variants[i].set;
        print_message("[  SKIPPED ] convert %s: built, but this CPU has %s\n", fili_isa_name(isa),
                      fili_isa_name(have));
        skip();
    }
    print_message("[  SKIPPED ] convert %s: not of this architecture\n", fili_isa_name(isa));
    skip();
    return NULL;
}

static void a_variant_has_the_bits_of_base_for_all_pairs(void **state)
{
    const fili_convert_set *set = variant_of(state);
    for (int s = 0; s < N_FORMATS; s++)
        for (int d = 0; d < N_FORMATS; d++) {
            unsigned char *want =
                converted(fili_convert_select(FILI_ISA_REF), &formats[d], &inputs[s]);
            unsigned char *got = converted(set, &formats[d], &inputs[s]);
            assert_memory_equal(got, want, inputs[s].n * formats[d].size);
            free(want);
            free(got);
        }
}

/* Every length around vector and block sizes, source and destination off by one byte, and nothing
 * written outside. */
static void check_lengths(const fili_convert_set *set, int source, int target)
{
    static const size_t lengths[] = {0,  1,  2,  7,  8,  9,  15,  16,  17,  31,  32,
                                     33, 63, 64, 65, 95, 97, 511, 512, 513, 1030};
    enum { MOST = 1030, GUARD = 64 };
    static unsigned char from[MOST * 8 + GUARD];
    static unsigned char to[MOST * 8 + 2 * GUARD];
    const format        *s = &formats[source];
    const format        *d = &formats[target];
    for (size_t off = 0; off < 2; off++) {
        memcpy(from + off, inputs[source].data, (s->size == 1 ? 256u : MOST) * s->size);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            const size_t n    = s->size == 1 && lengths[i] > 256 ? 256 : lengths[i];
            const size_t head = GUARD - off;
            const size_t end  = head + n * d->size;
            memset(to, 0x5a, sizeof to);
            fili_convert_row(set, d->dtype, to + head, s->dtype, from + off, n);
            for (size_t j = 0; j < n; j++)
                assert_true(code_at(d, to + head, j) ==
                            reference(d, s, code_at(s, inputs[source].data, j)));
            for (size_t j = 0; j < head; j++)
                assert_int_equal(to[j], 0x5a);
            for (size_t j = end; j < sizeof to; j++)
                assert_int_equal(to[j], 0x5a);
        }
    }
}

static void a_variant_takes_any_length_and_alignment(void **state)
{
    const fili_convert_set *set = variant_of(state);
    for (int s = 0; s < N_FORMATS; s++)
        for (int d = 0; d < N_FORMATS; d++)
            check_lengths(set, s, d);
}

static void a_level_gets_the_best_variant_that_it_has(void **state)
{
    (void)state;
    for (int isa = 0; isa < FILI_ISA_COUNT; isa++) {
        const fili_convert_set *set   = fili_convert_select((fili_isa)isa);
        int                     first = 1;
        for (size_t i = 0; i < fili_n_convert_variants; i++) {
            if (!fili_isa_has((fili_isa)isa, fili_convert_variants[i].needs)) continue;
            if (first) assert_ptr_equal(set, fili_convert_variants[i].set);
            first = 0;
        }
        assert_false(first);
    }
}

/* ---- the door with a context ---------------------------------------------------------------- */

static fil_ctx *ctx;

static int open_ctx(void **state)
{
    (void)state;
    return fil_ctx_open(&ctx, NULL) == FIL_OK ? 0 : 1;
}

static int close_ctx(void **state)
{
    (void)state;
    fil_ctx_close(&ctx);
    return 0;
}

static void types_and_counts_are_checked(void **state)
{
    (void)state;
    float  x = 1;
    double y = 7;
    assert_int_equal(fili_convert(ctx, FIL_F64, &y, FIL_F32, &x, 1), FIL_OK);
    assert_true(y == 1.0);
    assert_int_equal(fili_convert(ctx, FIL_F64, NULL, FIL_F32, NULL, 0), FIL_OK);
    assert_int_equal(fili_convert(ctx, FIL_F64, &y, FIL_F32, &x, -1), FIL_E_ARG);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_convert(ctx, FIL_I32, &y, FIL_F32, &x, 1), FIL_E_UNSUP);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "from F32 to I32"));
    fili_ctx_enter(ctx);
    assert_int_equal(fili_convert(ctx, FIL_F32, &y, FIL_F8_E5M2, &x, 1), FIL_E_UNSUP);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_convert(ctx, FIL_F32, &y, FIL_DTYPE_NONE, &x, 1), FIL_E_UNSUP);
}

/* ---- views ---------------------------------------------------------------------------------- */

static fili_view dense(int which, void *data, uint32_t rank, const int64_t *shape)
{
    fili_view v;
    assert_int_equal(fili_view_dense(ctx, data, formats[which].dtype, rank, shape, &v), FIL_OK);
    return v;
}

static uint64_t element(const format *f, const fili_view *v, const int64_t *index)
{
    return code_at(f, fili_view_at(v, index), 0);
}

/* Every element of dst (rank 3) is the reference conversion of src's at the same index. */
static void assert_converted(int d, const fili_view *dst, int s, const fili_view *src)
{
    int64_t i[3];
    for (i[0] = 0; i[0] < dst->shape[0]; i[0]++)
        for (i[1] = 0; i[1] < dst->shape[1]; i[1]++)
            for (i[2] = 0; i[2] < dst->shape[2]; i[2]++)
                assert_true(element(&formats[d], dst, i) ==
                            reference(&formats[d], &formats[s], element(&formats[s], src, i)));
}

enum { CELLS = 4 * 6 * 1300 };

static unsigned char src_cells[CELLS * 8 + 1];
static unsigned char dst_cells[CELLS * 8 + 1];

/* Fills src_cells (one byte off) with codes of the format, and dst_cells with a mark. */
static void fill_cells(int source)
{
    const codes *c = &inputs[source];
    for (size_t i = 0; i < CELLS; i++) {
        const uint64_t code = code_at(c->f, c->data, (i * 7919) % c->n);
        memcpy(src_cells + 1 + i * c->f->size, &code, c->f->size);
    }
    memset(dst_cells, 0x5a, sizeof dst_cells);
}

static void permuted_and_stepped_views_convert_for_all_pairs(void **state)
{
    (void)state;
    const int64_t  shape[3] = {4, 6, 10};
    const int64_t  back[3]  = {10, 4, 6};
    const uint32_t order[3] = {1, 2, 0};
    for (int s = 0; s < N_FORMATS; s++)
        for (int d = 0; d < N_FORMATS; d++) {
            fill_cells(s);
            fili_view src = dense(s, src_cells + 1, 3, shape);
            fili_view dst = dense(d, dst_cells + 1, 3, back);
            assert_int_equal(fili_view_permute(ctx, &dst, order, &dst), FIL_OK);
            assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
            assert_converted(d, &dst, s, &src);
            assert_int_equal(fili_view_slice(ctx, &src, 2, 1, 10, 3, &src), FIL_OK);
            assert_int_equal(fili_view_slice(ctx, &src, 0, 1, 3, 1, &src), FIL_OK);
            assert_int_equal(fili_view_slice(ctx, &dst, 2, 4, 7, 1, &dst), FIL_OK);
            assert_int_equal(fili_view_slice(ctx, &dst, 0, 0, 4, 2, &dst), FIL_OK);
            assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
            assert_converted(d, &dst, s, &src);
        }
}

static void rows_longer_than_a_block_convert_and_gaps_stay(void **state)
{
    (void)state;
    const int64_t shape[3] = {2, 3, 1300};
    const int64_t wide[3]  = {2, 3, 2600};
    fill_cells(F32);
    fili_view src = dense(F32, src_cells + 1, 3, shape);
    fili_view all = dense(BF16, dst_cells + 1, 3, wide);
    fili_view dst;
    assert_int_equal(fili_view_slice(ctx, &all, 2, 0, 2600, 2, &dst), FIL_OK);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
    assert_converted(BF16, &dst, F32, &src);
    int64_t i[3] = {1, 2, 0};
    for (i[2] = 1; i[2] < 2600; i[2] += 2)
        assert_int_equal(element(&formats[BF16], &all, i), 0x5a5a);
}

static void negative_and_zero_source_strides_convert(void **state)
{
    (void)state;
    const int64_t shape[3] = {2, 3, 700};
    fill_cells(F64);
    fili_view src = dense(F64, src_cells + 1, 3, shape);
    fili_view dst = dense(F16, dst_cells + 1, 3, shape);
    src.data += 699 * 8;
    src.stride[2] = -1;
    src.stride[0] = 0;
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
    assert_converted(F16, &dst, F64, &src);
    dst.data += 2 * 700 * 2; /* rows of the destination from the last to the first */
    dst.stride[1] = -700;
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
    assert_converted(F16, &dst, F64, &src);
}

static void ranks_0_and_8_and_empty_views_convert(void **state)
{
    (void)state;
    const int64_t shape[8] = {1, 2, 1, 3, 2, 1, 5, 1};
    const int64_t none[2]  = {5, 0};
    fill_cells(BF16);
    fili_view src = dense(BF16, src_cells + 1, 8, shape);
    fili_view dst = dense(F32, dst_cells + 1, 8, shape);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
    for (size_t i = 0; i < 60; i++)
        assert_true(
            code_at(&formats[F32], dst_cells + 1, i) ==
            reference(&formats[F32], &formats[BF16], code_at(&formats[BF16], src_cells + 1, i)));
    src.stride[5] = INT64_MAX; /* of size 1: leads nowhere, must not be multiplied */
    dst.stride[2] = INT64_MIN;
    memset(dst_cells, 0, 60 * 4 + 1);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
    assert_true(
        code_at(&formats[F32], dst_cells + 1, 59) ==
        reference(&formats[F32], &formats[BF16], code_at(&formats[BF16], src_cells + 1, 59)));
    src = dense(BF16, src_cells + 1, 0, NULL);
    dst = dense(F32, dst_cells + 1001, 0, NULL);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
    assert_memory_equal(dst_cells + 1001, dst_cells + 1, 4);
    src = dense(BF16, NULL, 2, none);
    dst = dense(F32, NULL, 2, none);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_OK);
}

static void views_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const int64_t shape[2] = {4, 6};
    const int64_t other[2] = {4, 5};
    fili_view     src      = dense(F32, src_cells, 2, shape);
    fili_view     dst      = dense(F32, dst_cells, 2, other);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_E_SHAPE);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "dimension 1 is 5 and 6"));
    dst = dense(F32, dst_cells, 1, shape);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_E_SHAPE);
    dst           = dense(F32, dst_cells, 2, shape);
    dst.stride[0] = 0;
    fili_ctx_enter(ctx);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_E_ARG);
    dst.stride[0] = INT64_MAX;
    fili_ctx_enter(ctx);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_E_SHAPE);
    dst       = dense(F32, dst_cells, 2, shape);
    dst.dtype = FIL_I32;
    fili_ctx_enter(ctx);
    assert_int_equal(fili_convert_view(ctx, &dst, &src), FIL_E_UNSUP);
}

static fili_isa ref    = FILI_ISA_REF;
static fili_isa avx2   = FILI_ISA_AVX2;
static fili_isa avx512 = FILI_ISA_AVX512;

#define VARIANT_TEST(test, isa)                                                                    \
    {                                                                                              \
#test "[" #isa "]", (test), NULL, NULL, &(isa)                                             \
    }
#define CTX_TEST(test) cmocka_unit_test_setup_teardown(test, open_ctx, close_ctx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f64_is_rounded_once_to_every_type),
        cmocka_unit_test(f32_is_rounded_to_nearest_even),
        cmocka_unit_test(every_bf16_code_converts),
        cmocka_unit_test(every_f16_code_converts),
        cmocka_unit_test(every_f8_code_converts),
        cmocka_unit_test(every_narrow_code_survives_the_way_to_f32_and_f64_and_back),
        cmocka_unit_test(f64_is_not_rounded_to_f32_on_its_way),
        cmocka_unit_test(overflow_begins_half_a_step_beyond_the_largest),
        cmocka_unit_test(f8_overflow_and_infinity_become_nan),
        cmocka_unit_test(zero_and_underflow_keep_their_sign),
        VARIANT_TEST(a_variant_has_the_bits_of_base_for_all_pairs, avx2),
        VARIANT_TEST(a_variant_has_the_bits_of_base_for_all_pairs, avx512),
        VARIANT_TEST(a_variant_takes_any_length_and_alignment, ref),
        VARIANT_TEST(a_variant_takes_any_length_and_alignment, avx2),
        VARIANT_TEST(a_variant_takes_any_length_and_alignment, avx512),
        cmocka_unit_test(a_level_gets_the_best_variant_that_it_has),
        CTX_TEST(types_and_counts_are_checked),
        CTX_TEST(permuted_and_stepped_views_convert_for_all_pairs),
        CTX_TEST(rows_longer_than_a_block_convert_and_gaps_stay),
        CTX_TEST(negative_and_zero_source_strides_convert),
        CTX_TEST(ranks_0_and_8_and_empty_views_convert),
        CTX_TEST(views_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, make_inputs, free_inputs);
}
