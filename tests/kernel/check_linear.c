/* tests/kernel/check_linear.c: every row of kernel/linear.inc against the oracle: random problems,
 * bits, memory. Outputs are sampled, since the oracle is slow; all of the padding is looked at.
 * Usage and reproducer lines: check.h.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/linear.h"
#include "kernel/plan_run.h"
#include "support/block_make.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"

enum { SAMPLES = 600 };

typedef struct linear_case {
    filk_linear_problem p;
    filk_linear_args    a;
    check_buffer        x, weight, bias, gate, residual, out;
    int                 in_place; /* out is the residual */
    int                 is_even;  /* rows begin on 16 bytes */
    check_rng           rng;
} linear_case;

static size_t size_of(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

static int is_slow(const filk_row *row)
{
    return row->isa == FILI_ISA_REF;
}

static void make_values(linear_case *c, check_buffer *b, fil_dtype dtype, int64_t n, double sigma)
{
    /* A page ends with it. */
    check_buffer_make(b, (size_t)n * size_of(dtype), c->is_even ? 16 : size_of(dtype), 0);
    check_fill_normal(&c->rng, dtype, b->data, n, sigma);
}

/* What weights may be in where the kernel takes any type. */
static const fil_dtype weight_types[] = {FIL_BF16, FIL_F16, FIL_F32, FIL_F8_E4M3,
#define TYPE(name, value, elements, bytes) FIL_##name,
                                         FIL_BLOCK_DTYPE_LIST(TYPE)
#undef TYPE
};

/* Of a type of its own, as it lies in a file: blocks at any address. */
static void make_weights(linear_case *c)
{
    const filk_linear_problem *p    = &c->p;
    const fil_dtype            type = c->a.weight_dtype;
    uint32_t                   block;
    const uint32_t             size = fil_dtype_block(type, &block);
    const uint64_t             n    = (uint64_t)(p->n * p->k) / block;
    if (!p->any_weight || !fili_dequant_has(type)) {
        make_values(c, &c->weight, type, p->n * p->k, 2.0 / sqrt((double)p->k));
        return;
    }
    check_buffer_make(&c->weight, n * size, 1, 0);
    block_fill(type, c->weight.data, n, 5, (uint64_t)check_between(&c->rng, 0, 1 << 20));
}

/* Makes a problem whose sizes were chosen one that can be: whole blocks of the weights' type. */
static void settle(linear_case *c)
{
    filk_linear_problem *p = &c->p;
    uint32_t             block;
    if (p->packed) p->any_weight = 0;
    if (!p->any_weight) c->a.weight_dtype = p->dtype;
    (void)fil_dtype_block(c->a.weight_dtype, &block);
    p->k = (p->k + block - 1) / block * block;
    if (p->x_stride < p->k) p->x_stride = p->k;
}

/* Rows of n elements with NaN between them. */
static void make_rows(linear_case *c, check_buffer *b, fil_dtype dtype, const int64_t shape[2],
                      int64_t stride)
{
    check_buffer_make(b, (size_t)((shape[0] - 1) * stride + shape[1]) * size_of(dtype),
                      c->is_even ? 16 : size_of(dtype), 0);
    memset(b->data, 0xFF, b->bytes);
    for (int64_t i = 0; i < shape[0]; i++)
        check_fill_normal(&c->rng, dtype, b->data + (size_t)(i * stride) * size_of(dtype), shape[1],
                          1.0);
}

static int64_t one_of(check_rng *rng, const int64_t *list, int64_t n)
{
    return list[check_between(rng, 0, n - 1)];
}

static void random_problem(linear_case *c, const filk_row *row)
{
    static const int64_t ms[] = {1, 2, 7, 31, 64, 255, 256, 257, 300};
    static const int64_t ns[] = {1, 3, 16, 64, 255, 256, 257, 400, 513};
    static const int64_t ks[] = {1, 2, 3, 31, 33, 64, 65, 129, 300, 511};
    filk_linear_problem *p    = &c->p;
    p->m          = is_slow(row) ? check_between(&c->rng, 1, 9) : one_of(&c->rng, ms, 9);
    p->n          = is_slow(row) ? check_between(&c->rng, 1, 9) : one_of(&c->rng, ns, 9);
    p->k          = one_of(&c->rng, ks, 10);
    p->dtype      = check_chance(&c->rng, 50) ? FIL_BF16 : FIL_F32;
    p->out_dtype  = check_chance(&c->rng, 50) ? FIL_BF16 : FIL_F32;
    p->bias_dtype = check_chance(&c->rng, 50) ? FIL_BF16 : FIL_F32;
    if (check_chance(&c->rng, 20)) p->bias_dtype = FIL_DTYPE_NONE;
    if (row->refuse(p) != NULL) p->dtype = p->dtype == FIL_BF16 ? FIL_F32 : FIL_BF16;
    if (row->refuse(p) != NULL) check_fail("the row %s", row->refuse(p));
    p->act      = (filk_activation)check_between(&c->rng, 0, 2);
    p->packed   = check_chance(&c->rng, 50);
    p->x_stride = p->k + check_chance(&c->rng, 40) * check_between(&c->rng, 1, 40);
    /* Drawn last, so that what was drawn before is what it was. */
    c->a.weight_dtype = weight_types[check_between(
        &c->rng, 0, (int64_t)(sizeof weight_types / sizeof weight_types[0]) - 1)];
    p->any_weight     = !p->packed && check_chance(&c->rng, 60);
    if (row->refuse(p) != NULL) p->any_weight = 0;
    settle(c);
}

static void fill_args(linear_case *c)
{
    filk_linear_problem *p = &c->p;
    filk_linear_args    *a = &c->a;
    make_rows(c, &c->x, p->dtype, (const int64_t[]){p->m, p->k}, p->x_stride);
    make_weights(c);
    if (p->bias_dtype != FIL_DTYPE_NONE) make_values(c, &c->bias, p->bias_dtype, p->n, 1.0);
    if (check_chance(&c->rng, 50)) make_values(c, &c->gate, FIL_F32, p->n, 1.0);
    const int64_t even = c->is_even ? 8 : 1;
    a->out_stride      = p->n + check_chance(&c->rng, 50) * check_between(&c->rng, 1, 20);
    a->residual_stride = p->n + check_chance(&c->rng, 50) * check_between(&c->rng, 1, 20);
    a->out_stride      = check_multiple(a->out_stride, even);
    a->residual_stride = check_multiple(a->residual_stride, even);
    if (check_chance(&c->rng, 50)) {
        make_rows(c, &c->residual, FIL_F32, (const int64_t[]){p->m, p->n}, a->residual_stride);
        c->in_place = p->out_dtype == FIL_F32 && check_chance(&c->rng, 50);
    }
    if (c->in_place) a->out_stride = a->residual_stride;
    check_buffer_make(&c->out, (size_t)((p->m - 1) * a->out_stride + p->n) * size_of(p->out_dtype),
                      64, size_of(p->out_dtype) * (size_t)check_between(&c->rng, 0, !c->is_even));
    if (c->in_place) memcpy(c->out.data, c->residual.data, c->out.bytes);
    a->x        = c->x.data;
    a->weight   = c->weight.data;
    a->bias     = c->bias.data;
    a->gate     = (const float *)(const void *)c->gate.data;
    a->residual = (const float *)(const void *)c->residual.data;
    a->out      = c->out.data;
}

/* Rows that all begin on 16 bytes, which products of a device can be fused for. */
static void make_even(linear_case *c)
{
    c->p.n        = check_multiple(c->p.n, 8);
    c->p.k        = check_multiple(c->p.k, 8);
    c->p.x_stride = check_multiple(c->p.x_stride, 8);
    settle(c);
}

static void make_case(linear_case *c, const filk_row *row, uint64_t seed)
{
    *c = (linear_case){.rng = {.seed = seed, .stream = 77}};
    random_problem(c, row);
    c->is_even = check_chance(&c->rng, 50);
    if (c->is_even) make_even(c);
    fill_args(c);
}

static void free_case(linear_case *c)
{
    check_buffer *all[] = {&c->x, &c->weight, &c->bias, &c->gate, &c->residual, &c->out};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i]->map != NULL) check_buffer_free(all[i]);
}

static void run_case(linear_case *c, const filk_row *row, int32_t n_threads)
{
    filk_linear_args a = c->a;
    if (c->in_place) a.residual = (const float *)(const void *)c->out.data;
    plan_run(row, &c->p, &a.weight, &a, n_threads);
    if (!check_buffer_intact(&c->out)) check_fail("run wrote beyond out");
}

/* An error of the product is at most doubled by the activation; the activation's own is a few
 * roundings of its result and of its argument. */
static void compare_at(const linear_case *c, int64_t i, int64_t j, check_report *report)
{
    double       cond;
    double       scale;
    const double want = filk_linear_oracle(&c->p, &c->a, i, j, &cond, &scale);
    const double got  = check_load(c->p.out_dtype, c->out.data, i * c->a.out_stride + j);
    const double sums = (2.0 * sqrt((double)c->p.k) + 24.0) * cond;
    const double tolerance =
        check_eps(FIL_F32) * (sums + 8.0 * scale) + check_eps(c->p.out_dtype) * fabs(want) + 1e-35;
    check_value(report, i, j, 0, got, want, isfinite(tolerance) ? tolerance : 0.0);
}

static void check_padding(const linear_case *c)
{
    const size_t         size = size_of(c->p.out_dtype);
    const unsigned char *base = c->in_place ? c->residual.data : NULL;
    for (int64_t i = 0; i + 1 < c->p.m; i++)
        for (size_t b = (size_t)(i * c->a.out_stride + c->p.n) * size;
             b < (size_t)((i + 1) * c->a.out_stride) * size; b++)
            if (c->out.data[b] != (base != NULL ? base[b] : 0xAA))
                check_fail("run wrote behind row %lld", (long long)i);
}

static void check_against_oracle(linear_case *c)
{
    check_report  report = {.what = "out"};
    const int64_t total  = c->p.m * c->p.n;
    for (int64_t s = 0; s < (total < SAMPLES ? total : SAMPLES); s++) {
        const int64_t at = total <= SAMPLES ? s : check_between(&c->rng, 0, total - 1);
        compare_at(c, at / c->p.n, at % c->p.n, &report);
    }
    compare_at(c, c->p.m - 1, c->p.n - 1, &report);
    check_padding(c);
    check_report_verdict(&report,
                         c->p.dtype == FIL_BF16 || c->p.out_dtype == FIL_BF16 ? 2e-5 : 1e-10);
}

static void outputs_of_random_problems_match_the_oracle(const filk_row *row)
{
    static const int32_t threads[] = {1, 2, 3, 7};
    for (int64_t i = 0; i < check_opt.problems; i++) {
        const uint64_t seed = check_opt.seed + (uint64_t)i;
        linear_case    c;
        check_case(row->name, __func__, seed);
        make_case(&c, row, seed);
        run_case(&c, row, threads[seed % 4]);
        check_against_oracle(&c);
        free_case(&c);
    }
}

/* Small, without an activation, a bias of the result's type or none, all on 16 bytes: what a device
 * hands to its vendor's library whole, for every gate, residual and stride. */
static void what_may_be_fused_matches_the_oracle(const filk_row *row)
{
    enum { CASES = 48 };
    for (uint64_t seed = check_opt.seed; seed < check_opt.seed + CASES; seed++) {
        linear_case c = {.rng = {.seed = seed, .stream = 80}, .is_even = 1};
        check_case(row->name, __func__, seed);
        random_problem(&c, row);
        c.p.m   = check_between(&c.rng, 1, 20);
        c.p.n   = check_between(&c.rng, 1, 60);
        c.p.act = FILK_ACT_NONE;
        if (c.p.bias_dtype != FIL_DTYPE_NONE) c.p.bias_dtype = c.p.out_dtype;
        make_even(&c);
        fill_args(&c);
        run_case(&c, row, 1);
        check_against_oracle(&c);
        free_case(&c);
    }
}

static void nan_and_inf_reach_their_own_row_alone(const filk_row *row)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (uint64_t k = 0; k < 18; k++) {
        linear_case c;
        check_case(row->name, __func__, check_opt.seed + k);
        make_case(&c, row, check_opt.seed + k);
        const int64_t i = check_between(&c.rng, 0, c.p.m - 1);
        const int64_t d = check_between(&c.rng, 0, c.p.k - 1);
        check_store(c.p.dtype, c.x.data, i * c.p.x_stride + d, bad[k % 3]);
        run_case(&c, row, 2);
        check_report report = {.what = "out"};
        for (int64_t s = 0; s < SAMPLES / 2; s++) {
            const int64_t j = check_between(&c.rng, 0, c.p.n - 1);
            compare_at(&c, i, j, &report);
            compare_at(&c, check_between(&c.rng, 0, c.p.m - 1), j, &report);
        }
        check_report_verdict(&report, (double)INFINITY);
        free_case(&c);
    }
}

/* Cases of several tiles along both axes, whole ones and what is left over, packed and in place;
 * tiles of linear_onednn.c depend on K. */
enum { LARGE_CASES = 4 };

static void make_large(linear_case *c, const filk_row *row, int32_t which, uint64_t seed)
{
    const int is_long = which / 2;
    *c                = (linear_case){.rng = {.seed = seed, .stream = 78}};
    random_problem(c, row);
    c->p.m      = is_slow(row) ? 37 : 700;
    c->p.n      = is_slow(row) ? 11 : is_long ? 800 : 1600;
    c->p.k      = is_slow(row) || !is_long ? 160 : 2080;
    c->p.packed = which % 2;
    settle(c);
    fill_args(c);
}

static void any_number_of_threads_gives_the_same_bits(const filk_row *row)
{
    static const int32_t threads[] = {2, 3, 7};
    for (int32_t which = 0; which < LARGE_CASES; which++) {
        linear_case c;
        check_case(row->name, __func__, check_opt.seed);
        make_large(&c, row, which, check_opt.seed);
        unsigned char *start = malloc(c.out.bytes);
        unsigned char *first = malloc(c.out.bytes);
        assert_non_null(start);
        assert_non_null(first);
        memcpy(start, c.out.data, c.out.bytes);
        run_case(&c, row, 1);
        memcpy(first, c.out.data, c.out.bytes);
        for (int t = 0; t < 3; t++) {
            memcpy(c.out.data, start, c.out.bytes);
            run_case(&c, row, threads[t]);
            check_same_bytes("out", c.out.data, first, c.out.bytes);
        }
        free(first);
        free(start);
        free_case(&c);
    }
}

/* Both ways add the same products, not always in the same order: each is held to the tolerance. */
static void packed_weights_and_weights_in_place_agree(const filk_row *row)
{
    for (int32_t which = 0; which < LARGE_CASES; which++) {
        linear_case c;
        check_case(row->name, __func__, check_opt.seed + 5);
        make_large(&c, row, which, check_opt.seed + 5);
        run_case(&c, row, 2);
        check_against_oracle(&c);
        free_case(&c);
    }
}

/* The weights of a case, turned into the type of x. */
static void convert_weights(const linear_case *c, check_buffer *out)
{
    const fil_dtype       type    = c->a.weight_dtype;
    const fili_dequant_fn dequant = fili_dequant_select(FILI_ISA_REF, type);
    uint32_t              block;
    const uint32_t        size = fil_dtype_block(type, &block);
    check_buffer_make(out, (size_t)(c->p.n * c->p.k) * size_of(c->p.dtype), 64, 0);
    for (int64_t i = 0; i < c->p.n * c->p.k; i += FILI_BLOCK_MOST) {
        float       wide[FILI_BLOCK_MOST];
        const void *from = c->weight.data + i / block * size;
        if (dequant != NULL) dequant(wide, from, FILI_BLOCK_MOST / block);
        fili_convert_row(fili_convert_select(FILI_ISA_REF), c->p.dtype,
                         out->data + (size_t)i * size_of(c->p.dtype),
                         dequant != NULL ? FIL_F32 : type, dequant != NULL ? wide : from,
                         FILI_BLOCK_MOST);
    }
}

/* Two calls with one workspace: the second finds what the first has made of the weight. */
static void run_again(linear_case *c, const filk_row *row, const unsigned char *start)
{
    filk_linear_args a    = c->a;
    fil_ctx         *ctx  = NULL;
    void            *plan = NULL;
    check_buffer     work;
    if (c->in_place) a.residual = (const float *)(const void *)c->out.data;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    assert_int_equal(row->plan->create(ctx, &c->p, &plan), FIL_OK);
    check_buffer_make(&work, row->plan->workspace(plan), 64, 0);
    memset(work.data, 0xFF, work.bytes);
    for (a.again = 0; a.again < 2; a.again++) {
        memcpy(c->out.data, start, c->out.bytes);
        if (row->plan->run(ctx, plan, &a, work.data) != FIL_OK)
            check_fail("run: %s", fil_ctx_error(ctx)->message);
    }
    if (!check_buffer_intact(&work)) check_fail("run wrote beyond its workspace");
    check_buffer_free(&work);
    row->plan->destroy(ctx, &plan);
    fil_ctx_close(&ctx);
}

/* The bits of weights that were turned into the type of x beforehand, packed or in place. */
static void weights_of_any_type_are_what_they_would_be_converted(const filk_row *row)
{
    for (size_t t = 0; t < sizeof weight_types / sizeof weight_types[0]; t++) {
        linear_case  c = {.rng = {.seed = check_opt.seed + t, .stream = 79}};
        check_buffer converted;
        check_case(row->name, __func__, check_opt.seed + t);
        random_problem(&c, row);
        c.p.m            = is_slow(row) ? 5 : 210;
        c.p.n            = is_slow(row) ? 7 : 431;
        c.p.k            = 768;
        c.p.packed       = 0;
        c.p.any_weight   = 1;
        c.a.weight_dtype = weight_types[t];
        if (row->refuse(&c.p) != NULL) return; /* takes its own type alone */
        settle(&c);
        fill_args(&c);
        unsigned char *start = malloc(c.out.bytes);
        unsigned char *first = malloc(c.out.bytes);
        assert_non_null(start);
        assert_non_null(first);
        memcpy(start, c.out.data, c.out.bytes);
        run_case(&c, row, 2);
        check_against_oracle(&c);
        memcpy(first, c.out.data, c.out.bytes);
        run_again(&c, row, start);
        check_same_bytes("out again", first, c.out.data, c.out.bytes);
        convert_weights(&c, &converted);
        c.p.any_weight = 0;
        c.a.weight     = converted.data;
        for (c.p.packed = 1; c.p.packed >= 0; c.p.packed--) {
            memcpy(c.out.data, start, c.out.bytes);
            run_case(&c, row, 1);
            if (c.p.packed == 0 || memcmp(first, c.out.data, c.out.bytes) == 0) break;
        }
        check_same_bytes("out", first, c.out.data, c.out.bytes);
        free(first);
        free(start);
        check_buffer_free(&converted);
        free_case(&c);
    }
}

static void an_activation_keeps_its_formula_at_the_ends(const filk_row *row)
{
    static const double at[] = {0.0,
                                -0.0,
                                1e-30,
                                -1e-30,
                                3.0,
                                -3.0,
                                9.0,
                                -9.0,
                                88.0,
                                -88.,
                                127.,
                                -127.,
                                1e4,
                                -1e4,
                                3e30,
                                -3e30,
                                1e-5,
                                -1e-5,
                                0.75,
                                -0.5,
                                20.0,
                                -20.0,
                                -104.0,
                                (double)INFINITY,
                                -(double)INFINITY};
    const int64_t       n    = sizeof at / sizeof at[0];
    for (int act = 1; act < 3; act++) {
        linear_case c = {.rng = {.seed = 3}};
        c.p           = (filk_linear_problem){.m         = n,
                                              .n         = 3,
                                              .k         = 1,
                                              .dtype     = FIL_F32,
                                              .out_dtype = FIL_F32,
                                              .act       = (filk_activation)act,
                                              .x_stride  = 1};
        check_case(row->name, __func__, 3);
        if (row->refuse(&c.p) != NULL) c.p.dtype = FIL_BF16;
        settle(&c);
        fill_args(&c);
        for (int64_t i = 0; i < n; i++)
            check_store(c.p.dtype, c.x.data, i, at[i]);
        for (int64_t j = 0; j < c.p.n; j++)
            check_store(c.p.dtype, c.weight.data, j, 1.0);
        c.a.gate     = NULL;
        c.a.residual = NULL;
        c.in_place   = 0;
        run_case(&c, row, 1);
        check_report report = {.what = "out"};
        for (int64_t i = 0; i < n * c.p.n; i++)
            compare_at(&c, i / c.p.n, i % c.p.n, &report);
        check_report_verdict(&report, (double)INFINITY);
        free_case(&c);
    }
}

static void create_reports_every_failed_allocation(const filk_row *row)
{
    linear_case c;
    check_case(row->name, __func__, check_opt.seed);
    make_large(&c, row, 1, check_opt.seed);
    plan_create_under_faults(row, &c.p);
    free_case(&c);
}

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

int main(int argc, char **argv)
{
    static const check_test tests[] = {TEST(outputs_of_random_problems_match_the_oracle),
                                       TEST(what_may_be_fused_matches_the_oracle),
                                       TEST(nan_and_inf_reach_their_own_row_alone),
                                       TEST(any_number_of_threads_gives_the_same_bits),
                                       TEST(packed_weights_and_weights_in_place_agree),
                                       TEST(weights_of_any_type_are_what_they_would_be_converted),
                                       TEST(an_activation_keeps_its_formula_at_the_ends),
                                       TEST(create_reports_every_failed_allocation)};
    if (check_options_read(argc, argv, "check_linear", 200) != 0) return 2;
    return check_run(&filk_linear, tests, sizeof tests / sizeof tests[0]);
}
