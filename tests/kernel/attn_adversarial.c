/* tests/kernel/attn_adversarial.c: the adversarial catalogue of finite inputs, each under its name:
 * logits that are equal, huge, out of range of exp, rising and falling past a lazy maximum;
 * cancellation; denormals. What is not finite is in attn_nonfinite.c.
 */
#include <float.h>
#include <math.h>

#include "kernel/attn_tests.h"

typedef double (*element_fn)(int64_t token, int32_t d);

static void fill(attn_case *c, attn_tensor *t, element_fn element)
{
    for (int64_t i = 0; i < t->n; i++)
        for (int32_t h = 0; h < t->heads; h++)
            for (int32_t d = 0; d < c->shape.head_dim; d++)
                attn_set(c, t, i, h, d, element(i, d));
}

static fil_dtype dtype_of(const filk_row *row, int i)
{
    const fil_dtype         dtype = i == 0 ? FIL_BF16 : FIL_F32;
    const filk_attn_problem p     = {.dtype = dtype, .head_dim = 64};
    return row->refuse(&p) == NULL ? dtype : FIL_DTYPE_NONE;
}

static void check_one_filled(const filk_row *row, const attn_shape *s, element_fn q, element_fn k,
                             element_fn v, double cosine)
{
    attn_case c;
    attn_make(&c, s);
    if (q != NULL) fill(&c, &c.q, q);
    if (k != NULL) fill(&c, &c.k, k);
    if (v != NULL) fill(&c, &c.v, v);
    attn_check(row, &c, 0, cosine < 2.0 ? attn_cosine(s->dtype) : 2.0, NULL);
    attn_free(&c);
}

/* For each type that the row takes, every row of the problem, and of the same one in whole blocks:
 * short runs and whole ones take different paths. */
static void check_filled(const filk_row *row, attn_shape s, element_fn q, element_fn k,
                         element_fn v, double cosine)
{
    const int ragged = s.ragged_k;
    for (int i = 0; i < 2; i++) {
        s.dtype = dtype_of(row, i);
        if (s.dtype == FIL_DTYPE_NONE) continue;
        s.ragged_q = s.ragged_k = ragged;
        check_one_filled(row, &s, q, k, v, cosine);
        s.ragged_q = s.ragged_k = 0;
        if (ragged) check_one_filled(row, &s, q, k, v, cosine);
    }
}

static const attn_shape small = {.seed     = 11,
                                 .nq       = 70,
                                 .nk       = 333,
                                 .heads    = 2,
                                 .kv_heads = 1,
                                 .head_dim = 64,
                                 .ragged_q = 1,
                                 .ragged_k = 1,
                                 .density  = 60};

/* One long row of whole blocks: 20 blocks are two and a half trips of 512 keys. */
static const attn_shape lined = {
    .seed = 12, .nq = 5, .nk = 1280, .heads = 1, .kv_heads = 1, .head_dim = 64, .mask = MASK_NULL};

static double zero(int64_t token, int32_t d)
{
    (void)token;
    (void)d;
    return 0.0;
}

static double unit0(int64_t token, int32_t d)
{
    (void)token;
    return d == 0 ? 1.0 : 0.0;
}

/* ---- equal and huge ------------------------------------------------------------------------- */

static void all_logits_equal(const filk_row *row)
{
    check_filled(row, small, NULL, zero, NULL, 0.0);
}

static double huge_at_200(int64_t token, int32_t d)
{
    return token == 200 && d == 0 ? 3e4 : 0.01 * (double)((token * 7 + d) % 13);
}

static double negative_huge_at_200(int64_t token, int32_t d)
{
    return -huge_at_200(token, d);
}

static void one_huge_key(const filk_row *row)
{
    check_filled(row, small, unit0, huge_at_200, NULL, 0.0);
    check_filled(row, small, unit0, negative_huge_at_200, NULL, 0.0);
}

static double huge_query(int64_t token, int32_t d)
{
    return d == 0 ? (token % 2 != 0 ? 3e4 : -3e4) : 0.0;
}

static double apart(int64_t token, int32_t d)
{
    return d == 0 ? (double)((token * 5) % 128) : 0.0;
}

/* Logits are whole multiples of 3e4: exact enough to be told apart. */
static void huge_queries_of_both_signs(const filk_row *row)
{
    attn_shape s = small;
    s.scale      = 1.0f;
    check_filled(row, s, huge_query, apart, NULL, 0.0);
}

static double hundred(int64_t token, int32_t d)
{
    (void)token;
    return d == 0 ? 1e30 : 0.0;
}

static double minus_one0(int64_t token, int32_t d)
{
    (void)token;
    return d == 0 ? -1.0 : 0.0;
}

static void all_logits_minus_1e30(const filk_row *row)
{
    attn_shape s = small;
    s.scale      = 1.0f;
    check_filled(row, s, hundred, minus_one0, NULL, 0.0);
}

/* ---- around the range of exp ---------------------------------------------------------------- */

static double level;

static double around(int64_t token, int32_t d)
{
    return d == 0 ? level + (double)(token % 9 - 4) / 4.0 : 0.0;
}

static double both_signs(int64_t token, int32_t d)
{
    return token % 3 == 0 ? -around(token, d) : around(token, d);
}

static void check_levels(const filk_row *row, double l)
{
    attn_shape s = small;
    s.scale      = 1.0f;
    level        = l;
    check_filled(row, s, unit0, around, NULL, 0.0);
    check_filled(row, s, unit0, both_signs, NULL, 0.0);
    level = -l;
    check_filled(row, s, unit0, around, NULL, 0.0);
}

static void logits_around_88(const filk_row *row)
{
    check_levels(row, 88.0);
}

static void logits_around_709(const filk_row *row)
{
    check_levels(row, 708.0);
    check_levels(row, 745.0);
}

/* Key 0 has the logit 0, all others one below it: lse = ln(1 + (n - 1) 2^x) shows the error of 2^x
 * itself, which p rounded to bf16 would hide in out. */
static double one_above(int64_t token, int32_t d)
{
    return d == 0 && token > 0 ? level : 0.0;
}

static void check_exponential(const filk_row *row, attn_case *c)
{
    check_report lse = {.what = "lse"};
    double       out[128];
    double       want;
    fill(c, &c->q, unit0);
    for (int i = -1024; i <= 0; i++) {
        level = check_round(c->p.dtype, i / 128.0);
        fill(c, &c->k, one_above);
        attn_run(row, c, 1);
        filk_attn_oracle_row(&c->p, &c->a, 0, 0, out, NULL, &want);
        check_value(&lse, i, 0, 0, (double)c->a.lse[0], want, 1e-6 * (1.0 + fabs(want)));
    }
    check_report_verdict(&lse, 2.0);
}

static void the_exponential_is_exact_to_1e_6_over_8_octaves(const filk_row *row)
{
    for (int i = 0; i < 2; i++) {
        attn_case  c;
        attn_shape s = {.seed     = 13,
                        .nq       = 1,
                        .nk       = 64,
                        .heads    = 1,
                        .kv_heads = 1,
                        .head_dim = 64,
                        .mask     = MASK_NULL,
                        .scale    = 0.693147182f};
        s.dtype      = dtype_of(row, i);
        if (s.dtype == FIL_DTYPE_NONE) continue;
        attn_make(&c, &s);
        check_exponential(row, &c);
        attn_free(&c);
    }
}

/* ---- cancellation --------------------------------------------------------------------------- */

static double alternating(int64_t token, int32_t d)
{
    return ((token + d) % 2 != 0 ? -1.0 : 1.0) * (1000.0 + (double)(token % 2));
}

static void alternating_values_cancel(const filk_row *row)
{
    attn_shape s = small;
    s.mask       = MASK_NULL;
    check_filled(row, s, NULL, zero, alternating, 2.0);
    check_filled(row, s, NULL, NULL, alternating, 2.0);
}

/* ---- denormals ------------------------------------------------------------------------------ */

static double denormal(int64_t token, int32_t d)
{
    return (d % 3 == 0 ? -1.0 : 1.0) * 0x1p-130 * (double)(1 + (token + d) % 5);
}

static double near_max(int64_t token, int32_t d)
{
    return (d % 3 == 0 ? -1.0 : 1.0) * 0x1p+126 * (double)(token % 7);
}

/* attention.h: rows on bf16 dot products read denormals as zero; others do not. */
static int flushes(const filk_row *row, fil_dtype dtype)
{
    return dtype == FIL_BF16 && (row->isa == FILI_ISA_AVX512BF16 || row->isa == FILI_ISA_AMX);
}

static void check_denormal(const filk_row *row, int in_q, int in_k, int in_v)
{
    for (int i = 0; i < 2; i++) {
        attn_case  c;
        attn_case  truth;
        attn_shape s = small;
        s.scale      = 1.0f;
        s.dtype      = dtype_of(row, i);
        if (s.dtype == FIL_DTYPE_NONE) continue;
        attn_make(&c, &s);
        attn_make(&truth, &s);
        if (in_q || in_k) {
            fill(&c, &c.q, in_q ? denormal : near_max);
            fill(&c, &c.k, in_k ? denormal : near_max);
            fill(&truth, &truth.q, !in_q ? near_max : flushes(row, s.dtype) ? zero : denormal);
            fill(&truth, &truth.k, !in_k ? near_max : flushes(row, s.dtype) ? zero : denormal);
        }
        if (in_v) fill(&c, &c.v, denormal);
        if (in_v) fill(&truth, &truth.v, flushes(row, s.dtype) ? zero : denormal);
        attn_run(row, &c, 2);
        attn_compare(row, &c, &truth, 0, in_v ? 2.0 : attn_cosine(s.dtype), NULL);
        attn_free(&c);
        attn_free(&truth);
    }
}

static void denormal_queries(const filk_row *row)
{
    check_denormal(row, 1, 0, 0);
}

static void denormal_keys(const filk_row *row)
{
    check_denormal(row, 0, 1, 0);
}

static void denormal_values(const filk_row *row)
{
    check_denormal(row, 0, 0, 1);
}

/* ---- rising and falling maxima -------------------------------------------------------------- */

static double step_of;
static int    keys_of_step;

/* Logits in log2 units, exact in bf16: token group g has g * step, with small ones between. */
static double rising(int64_t token, int32_t d)
{
    if (d == 0) return (double)(token / keys_of_step) * step_of;
    return d == 1 ? -(double)(token % 4) : 0.0;
}

static double falling(int64_t token, int32_t d)
{
    return d == 0 ? -rising(token, 0) : rising(token, d);
}

static double units01(int64_t token, int32_t d)
{
    (void)token;
    return d < 2 ? 1.0 : 0.0;
}

/* ln 2: then scale times log2(e) is 1 to the last bit of f32, and a logit is a whole number there.
 */
static const float ln2 = 0.693147182f;

/* A sanitized build takes every third step. */
static void check_steps(const filk_row *row, element_fn keys)
{
    const size_t        hop      = check_is_sanitized() ? 3 : 1;
    static const double steps[]  = {1, 7, 7.5, 8, 8.5, 9, 16, 128, 256, 512};
    static const int    widths[] = {1, 16, 17, 64, 100, 512};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i += hop)
        for (size_t j = 0; j < sizeof widths / sizeof widths[0]; j++) {
            attn_shape s = lined;
            s.scale      = ln2;
            s.ragged_k   = widths[j] == 17;
            s.nk         = widths[j] == 512 ? 1280 : 700;
            step_of      = steps[i];
            keys_of_step = widths[j];
            check_filled(row, s, units01, keys, NULL, 0.0);
        }
}

static void rising_maxima(const filk_row *row)
{
    check_steps(row, rising);
}

static void falling_maxima(const filk_row *row)
{
    check_steps(row, falling);
}

/* The largest score of a group is exactly 2^8 above the lazy maximum, one step below, one above. */
static double at_threshold(int64_t token, int32_t d)
{
    if (d == 1) return token >= 640 ? step_of : 0.0;
    return d == 0 && token >= 64 ? 8.0 : 0.0;
}

static void a_maximum_exactly_at_the_threshold(const filk_row *row)
{
    static const double steps[] = {0.0, -0x1p-6, 0x1p-6, 1.0, 8.0, -8.0, 120.0};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        attn_shape s = lined;
        s.scale      = ln2;
        step_of      = steps[i];
        check_filled(row, s, units01, at_threshold, NULL, 0.0);
    }
}

/* Every row of a tile moves at another key. */
static double shifted_query(int64_t token, int32_t d)
{
    return d == token % 16 ? 1.0 : 0.0;
}

static double shifted_key(int64_t token, int32_t d)
{
    return (double)((token * (d + 3)) % 509) / 2.0 - 60.0;
}

static void rows_that_move_at_different_keys(const filk_row *row)
{
    attn_shape s = lined;
    s.nq         = 64;
    s.scale      = ln2;
    check_filled(row, s, shifted_query, shifted_key, NULL, 0.0);
}

/* ---- tail ----------------------------------------------------------------------------------- */

static void tail_that_outweighs_all_keys(const filk_row *row)
{
    for (int i = 0; i < 2; i++) {
        attn_case  c;
        attn_shape s  = small;
        s.dtype       = dtype_of(row, i);
        s.tail        = 1;
        s.tail_factor = 1;
        if (s.dtype == FIL_DTYPE_NONE) continue;
        attn_make(&c, &s);
        float *factor = (float *)(void *)c.tail_factor.data;
        factor[0]     = FLT_MAX / 64.0f;
        factor[1]     = FLT_MIN;
        attn_check(row, &c, 0, attn_cosine(s.dtype), NULL);
        attn_free(&c);
    }
}

/* However small its factor: it is all that the rows have. */
static void tail_alone_with_the_least_factor(const filk_row *row)
{
    for (int i = 0; i < 2; i++) {
        attn_case  c;
        attn_shape s  = small;
        s.dtype       = dtype_of(row, i);
        s.mask        = MASK_NONE;
        s.tail        = 1;
        s.tail_factor = 1;
        if (s.dtype == FIL_DTYPE_NONE) continue;
        attn_make(&c, &s);
        float *factor = (float *)(void *)c.tail_factor.data;
        factor[0] = factor[1] = FLT_MIN;
        attn_check(row, &c, 0, attn_cosine(s.dtype), NULL);
        attn_free(&c);
    }
}

/* Logits are nothing then, and the tail's counts and factors are all that tells keys apart. */
static void tail_with_a_scale_near_nothing(const filk_row *row)
{
    static const float scales[] = {1e-39f, 2e-38f, 1e-30f};
    for (int i = 0; i < 6; i++) {
        attn_case  c;
        attn_shape s  = small;
        s.dtype       = dtype_of(row, i % 2);
        s.scale       = scales[i / 2];
        s.tail        = 1;
        s.tail_factor = 1;
        if (s.dtype == FIL_DTYPE_NONE) continue;
        attn_make(&c, &s);
        float *factor = (float *)(void *)c.tail_factor.data;
        factor[0]     = 16.0f;
        factor[1]     = 1e-30f;
        attn_check(row, &c, 0, attn_cosine(s.dtype), NULL);
        attn_free(&c);
    }
}

/* The pooled key of a huge key, among keys that are small. */
static void one_huge_pooled_key(const filk_row *row)
{
    for (int i = 0; i < 2; i++) {
        attn_case  c;
        attn_shape s = small;
        s.dtype      = dtype_of(row, i);
        s.tail       = 1;
        if (s.dtype == FIL_DTYPE_NONE) continue;
        attn_make(&c, &s);
        attn_set_token(&c, &c.tail_k, 2, 1e25);
        attn_check(row, &c, 0, attn_cosine(s.dtype), NULL);
        attn_free(&c);
    }
}

const check_test attn_adversarial_tests[] = {
    ATTN_TEST(all_logits_equal),
    ATTN_TEST(one_huge_key),
    ATTN_TEST(huge_queries_of_both_signs),
    ATTN_TEST(all_logits_minus_1e30),
    ATTN_TEST(logits_around_88),
    ATTN_TEST(logits_around_709),
    ATTN_TEST(the_exponential_is_exact_to_1e_6_over_8_octaves),
    ATTN_TEST(alternating_values_cancel),
    ATTN_TEST(denormal_queries),
    ATTN_TEST(denormal_keys),
    ATTN_TEST(denormal_values),
    ATTN_TEST(rising_maxima),
    ATTN_TEST(falling_maxima),
    ATTN_TEST(a_maximum_exactly_at_the_threshold),
    ATTN_TEST(rows_that_move_at_different_keys),
    ATTN_TEST(tail_that_outweighs_all_keys),
    ATTN_TEST(tail_alone_with_the_least_factor),
    ATTN_TEST(tail_with_a_scale_near_nothing),
    ATTN_TEST(one_huge_pooled_key),
    {NULL, NULL}};
