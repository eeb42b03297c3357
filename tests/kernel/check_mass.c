/* tests/kernel/check_mass.c: every row of block mass against the f64 oracle (kernel/mass.h).
 *
 * Tolerance of mass[h][u][b], from the oracle's condition numbers: EPS (D/8 cond + 32 mass), summed
 * over the rows of u: an f32 dot product of D terms moves a score by at most EPS D sum |q_d k_d|
 * scale, and by an eighth of that in practice; 32 stands for the sums over rows and keys and for
 * 2^x. lse: 1e-5 (1 + |lse|).
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernel/check.h"
#include "kernel/mass.h"
#include "kernel/row_run.h"

#define EPS  0x1p-24
#define TINY 1e-30 /* below this, f32 may underflow */

typedef struct shape {
    int64_t   nq, nk;
    int32_t   heads, group; /* query heads of a key-value head */
    int32_t   D;
    fil_dtype dtype;
} shape;

typedef struct mass_case {
    filk_mass_problem p;
    filk_mass_args    a;
    row_tensor        q, k;
    int32_t          *q_offset, *k_offset;
    check_buffer      lse_in, lse, mass;
} mass_case;

static float *floats(const check_buffer *buffer)
{
    return (float *)(void *)buffer->data;
}

static void make_case(mass_case *c, check_rng *rng, shape s)
{
    memset(c, 0, sizeof *c);
    c->q_offset = row_need(malloc(sizeof(int32_t) * (size_t)(s.nq + 1)));
    c->k_offset = row_need(malloc(sizeof(int32_t) * (size_t)(s.nk + 1)));
    c->p        = (filk_mass_problem){.nq       = s.nq,
                                      .nk       = s.nk,
                                      .heads    = s.heads,
                                      .kv_heads = s.heads / s.group,
                                      .head_dim = s.D,
                                      .dtype    = s.dtype,
                                      .q_offset = c->q_offset,
                                      .k_offset = c->k_offset};
    c->p.mq     = row_runs(rng, s.nq, c->q_offset);
    c->p.mk     = row_runs(rng, s.nk, c->k_offset);
    row_tensor_make(&c->q, rng, s.dtype, s.nq, s.heads, s.D);
    row_tensor_make(&c->k, rng, s.dtype, s.nk, s.heads / s.group, s.D);
    check_buffer_make(&c->lse_in, sizeof(float) * (size_t)(s.heads * s.nq), 4, 0);
    check_buffer_make(&c->lse, sizeof(float) * (size_t)(s.heads * s.nq), 4, 0);
    check_buffer_make(&c->mass, sizeof(float) * (size_t)s.heads * (size_t)c->p.mq * (size_t)c->p.mk,
                      4, 0);
    c->a = (filk_mass_args){.q       = c->q.view,
                            .k       = c->k.view,
                            .scale   = 1.0f / sqrtf((float)s.D),
                            .lse_out = floats(&c->lse),
                            .mass    = floats(&c->mass)};
}

static void free_case(mass_case *c)
{
    check_buffer_free(&c->q.buffer);
    check_buffer_free(&c->k.buffer);
    check_buffer_free(&c->lse_in);
    check_buffer_free(&c->lse);
    check_buffer_free(&c->mass);
    free(c->q_offset);
    free(c->k_offset);
}

static void fill(row_tensor *t, check_rng *rng, int64_t n, int32_t heads, int32_t D, double sigma)
{
    for (int64_t i = 0; i < n; i++)
        for (int32_t h = 0; h < heads; h++)
            check_fill_normal(rng, t->dtype,
                              t->buffer.data +
                                  row_tensor_at(t, i, h, 0) * (fil_dtype_bits(t->dtype) / 8),
                              D, sigma);
}

/* Normal q and k whose logits have the standard deviation `spread`. */
static void fill_normal(mass_case *c, check_rng *rng, double spread)
{
    fill(&c->q, rng, c->p.nq, c->p.heads, c->p.head_dim, spread);
    fill(&c->k, rng, c->p.nk, c->p.kv_heads, c->p.head_dim, 1.0);
}

/* Zeros but for channel 0, which fill_score then sets: logits that are known. */
static void fill_zero(mass_case *c)
{
    for (int64_t i = 0; i < c->p.nq; i++)
        for (int32_t h = 0; h < c->p.heads; h++)
            for (int32_t d = 0; d < c->p.head_dim; d++)
                row_tensor_set(&c->q, i, h, d, d == 0 ? 1.0 : 0.0);
    for (int64_t i = 0; i < c->p.nk; i++)
        for (int32_t h = 0; h < c->p.kv_heads; h++)
            for (int32_t d = 0; d < c->p.head_dim; d++)
                row_tensor_set(&c->k, i, h, d, 0.0);
}

/* The logit of key j, in all heads, as near as the type allows. After fill_zero. */
static void set_score(mass_case *c, int64_t j, double score)
{
    for (int32_t h = 0; h < c->p.kv_heads; h++)
        row_tensor_set(&c->k, j, h, 0, score / (double)c->a.scale);
}

static void run_case(const filk_row *row, mass_case *c, int32_t n_threads)
{
    memset(c->mass.data, 0xFF, c->mass.bytes);
    if (c->a.lse_out == floats(&c->lse)) memset(c->lse.data, 0xFF, c->lse.bytes);
    row_run(row, &c->p, &c->a, n_threads);
    if (!check_buffer_intact(&c->mass) || !check_buffer_intact(&c->lse))
        check_fail("run wrote beside its outputs");
}

static double worst;

/* Sums the oracle's rows of query block u: masses and tolerances. */
static void oracle_block(const mass_case *c, const filk_mass_args *a, int32_t h, int32_t u,
                         check_report *lse_report, double *mass, double *tolerance, double *row,
                         double *cond)
{
    memset(mass, 0, sizeof(double) * (size_t)c->p.mk);
    for (int32_t b = 0; b < c->p.mk; b++)
        tolerance[b] = TINY;
    for (int64_t i = c->q_offset[u]; i < c->q_offset[u + 1]; i++) {
        double        lse;
        const int64_t at = h * c->p.nq + i;
        filk_mass_oracle_row(&c->p, a, i, h, row, cond, &lse);
        if (a->lse_out != NULL)
            check_value(lse_report, h, i, 0, (double)a->lse_out[at], lse, 1e-5 * (1.0 + fabs(lse)));
        for (int32_t b = 0; b < c->p.mk; b++) {
            mass[b] += row[b];
            tolerance[b] += EPS * ((double)c->p.head_dim / 8.0 * cond[b] + 32.0 * row[b]);
        }
    }
}

/* Compares mass and lse with the oracle; lse_in is the array that the run was given. */
static void verify(mass_case *c)
{
    check_report lse_report  = {.what = "lse"};
    check_report mass_report = {.what = "mass"};
    double      *mass        = row_need(malloc(sizeof(double) * 4 * (size_t)c->p.mk));
    double      *tolerance   = mass + c->p.mk;
    for (int32_t h = 0; h < c->p.heads; h++)
        for (int32_t u = 0; u < c->p.mq; u++) {
            const float *got = c->a.mass + ((int64_t)h * c->p.mq + u) * c->p.mk;
            oracle_block(c, &c->a, h, u, &lse_report, mass, tolerance, tolerance + c->p.mk,
                         tolerance + 2 * c->p.mk);
            for (int32_t b = 0; b < c->p.mk; b++)
                check_value(&mass_report, h, u, b, (double)got[b], mass[b], tolerance[b]);
        }
    free(mass);
    if (mass_report.worst > worst) worst = mass_report.worst;
    check_report_verdict(&lse_report, 1e-9);
    check_report_verdict(&mass_report, 1e-8);
}

static void run_and_verify(const filk_row *row, mass_case *c)
{
    run_case(row, c, 2);
    verify(c);
    free_case(c);
}

static int is_ref(const filk_row *row)
{
    return row->isa == FILI_ISA_REF;
}

/* BF16 where the row takes it, else F32. */
static fil_dtype dtype_of(const filk_row *row)
{
    const filk_mass_problem p = {.dtype = FIL_BF16, .head_dim = 64};
    return row->refuse(&p) == NULL ? FIL_BF16 : FIL_F32;
}

static fil_dtype dtype_for(const filk_row *row, check_rng *rng)
{
    return is_ref(row) && check_chance(rng, 50) ? FIL_F32 : dtype_of(row);
}

static shape random_shape(const filk_row *row, check_rng *rng)
{
    const int32_t group = (int32_t)check_between(rng, 1, 3);
    const int32_t D     = check_chance(rng, 50) ? 64 : 128;
    return (shape){.nq    = check_between(rng, 1, 200),
                   .nk    = check_between(rng, 1, 500),
                   .heads = group * (int32_t)check_between(rng, 1, 3),
                   .group = group,
                   .D     = D,
                   .dtype = dtype_for(row, rng)};
}

static shape small_for(const filk_row *row)
{
    return (shape){.nq = 70, .nk = 300, .heads = 2, .group = 1, .D = 64, .dtype = dtype_of(row)};
}

/* ---- random problems ------------------------------------------------------------------------ */

static void random_problems_agree_with_the_oracle(const filk_row *row)
{
    worst = 0.0;
    for (int64_t i = 0; i < check_opt.problems; i++) {
        check_rng rng = {.seed = check_opt.seed + (uint64_t)i};
        mass_case c;
        check_case(row->name, __func__, rng.seed);
        make_case(&c, &rng, random_shape(row, &rng));
        fill_normal(&c, &rng, 0.5 * (double)check_between(&rng, 0, 8));
        if (check_chance(&rng, 20)) c.a.lse_out = NULL;
        run_and_verify(row, &c);
    }
    printf("  %s: largest error %.3f of the tolerance\n", row->name, worst);
}

static void masses_are_relative_to_a_given_lse(const filk_row *row)
{
    for (uint64_t i = 0; i < 4; i++) {
        check_rng rng = {.seed = check_opt.seed + i, .stream = 1};
        mass_case c;
        check_case(row->name, __func__, check_opt.seed);
        make_case(&c, &rng, random_shape(row, &rng));
        fill_normal(&c, &rng, 2.0);
        for (int64_t at = 0; at < c.p.heads * c.p.nq; at++)
            floats(&c.lse_in)[at] = (float)(check_normal(&rng) * 8.0);
        floats(&c.lse_in)[0]              = -INFINITY;
        floats(&c.lse_in)[c.p.nq - 1]     = INFINITY;
        floats(&c.lse_in)[c.p.nq / 2 + 1] = i == 3 && c.p.nq > 4 ? NAN : 1.0f;
        c.a.lse_in                        = floats(&c.lse_in);
        run_and_verify(row, &c);
    }
}

static void lse_may_be_replaced_in_place(const filk_row *row)
{
    check_rng rng = {.seed = check_opt.seed, .stream = 2};
    mass_case c;
    make_case(&c, &rng, small_for(row));
    fill_normal(&c, &rng, 1.0);
    c.a.lse_in = floats(&c.lse_in);
    memset(c.lse_in.data, 0, c.lse_in.bytes);
    run_case(row, &c, 1);
    void *first = row_need(malloc(c.mass.bytes));
    memcpy(first, c.mass.data, c.mass.bytes);
    c.a.lse_out = floats(&c.lse_in);
    run_case(row, &c, 1);
    check_same_bytes("mass", c.mass.data, first, c.mass.bytes);
    check_same_bytes("lse", c.lse_in.data, c.lse.data, c.lse.bytes);
    free(first);
    free_case(&c);
}

static void rows_of_mass_sum_to_the_tokens_of_their_block(const filk_row *row)
{
    check_rng    rng    = {.seed = check_opt.seed, .stream = 3};
    check_report report = {.what = "sum of masses"};
    mass_case    c;
    shape        s = small_for(row);
    s.nk           = is_ref(row) ? 300 : 5000;
    make_case(&c, &rng, s);
    fill_normal(&c, &rng, 3.0);
    run_case(row, &c, 1);
    for (int32_t i = 0; i < c.p.heads * c.p.mq; i++) {
        const int32_t u   = i % c.p.mq;
        const double  n   = c.q_offset[u + 1] - c.q_offset[u];
        double        sum = 0.0;
        for (int32_t b = 0; b < c.p.mk; b++)
            sum += (double)c.a.mass[(int64_t)i * c.p.mk + b];
        check_value(&report, i, 0, 0, sum, n, 2e-6 * n);
    }
    check_report_verdict(&report, 1e-9);
    free_case(&c);
}

static void same_bits_for_any_number_of_threads(const filk_row *row)
{
    static const int32_t threads[] = {2, 3, 7};
    for (uint64_t i = 0; i < 3; i++) {
        check_rng rng = {.seed = check_opt.seed + i, .stream = 4};
        mass_case c;
        make_case(&c, &rng, random_shape(row, &rng));
        fill_normal(&c, &rng, 2.0);
        run_case(row, &c, 1);
        void *mass = row_need(malloc(c.mass.bytes));
        void *lse  = row_need(malloc(c.lse.bytes));
        memcpy(mass, c.mass.data, c.mass.bytes);
        memcpy(lse, c.lse.data, c.lse.bytes);
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
            run_case(row, &c, threads[t]);
            check_same_bytes("mass", c.mass.data, mass, c.mass.bytes);
            check_same_bytes("lse", c.lse.data, lse, c.lse.bytes);
        }
        free(mass);
        free(lse);
        free_case(&c);
    }
}

static void sizes_around_the_tile_agree(const filk_row *row)
{
    static const int64_t sizes[] = {1, 2, 3, 7, 31, 63, 64, 65, 127, 129, 1023, 1025};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_rng rng = {.seed = check_opt.seed + i, .stream = 5};
        mass_case c;
        shape     s = {.heads = 1, .group = 1, .D = i % 2 == 0 ? 64 : 128, .dtype = dtype_of(row)};
        s.nk        = sizes[i];
        s.nq        = sizes[i] > 200 ? 33 : sizes[i];
        make_case(&c, &rng, s);
        fill_normal(&c, &rng, 1.0);
        run_and_verify(row, &c);
    }
}

/* ---- adversarial scores --------------------------------------------------------------------- */

static void known_scores(const filk_row *row, double (*score)(int64_t j, check_rng *rng))
{
    check_rng rng = {.seed = check_opt.seed, .stream = 6};
    mass_case c;
    make_case(&c, &rng, small_for(row));
    fill_zero(&c);
    for (int64_t j = 0; j < c.p.nk; j++)
        set_score(&c, j, score(j, &rng));
    run_and_verify(row, &c);
}

static double score_equal(int64_t j, check_rng *rng)
{
    (void)j;
    (void)rng;
    return 3.0;
}

static double score_low(int64_t j, check_rng *rng)
{
    (void)j;
    (void)rng;
    return -1e30;
}

static double score_88(int64_t j, check_rng *rng)
{
    (void)j;
    return check_chance(rng, 50) ? 88.0 + check_normal(rng) : -88.0 + check_normal(rng);
}

static double score_709(int64_t j, check_rng *rng)
{
    (void)j;
    return check_chance(rng, 50) ? 709.0 : -709.0;
}

static double score_one_huge(int64_t j, check_rng *rng)
{
    return j == 137 ? 3e4 : check_normal(rng);
}

static double score_one_low(int64_t j, check_rng *rng)
{
    return j == 137 ? -65504.0 : check_normal(rng);
}

static double score_rising(int64_t j, check_rng *rng)
{
    return (double)(j / 16) * 8.0 + check_normal(rng);
}

static double score_some_none(int64_t j, check_rng *rng)
{
    return j < 100 || check_chance(rng, 50) ? -(double)INFINITY : check_normal(rng);
}

static void equal_scores_spread_evenly(const filk_row *row)
{
    known_scores(row, score_equal);
}

static void scores_of_minus_1e30_are_still_scores(const filk_row *row)
{
    known_scores(row, score_low);
}

static void scores_around_88_do_not_overflow(const filk_row *row)
{
    known_scores(row, score_88);
}

static void scores_around_709_do_not_overflow(const filk_row *row)
{
    known_scores(row, score_709);
}

static void one_huge_score_takes_all(const filk_row *row)
{
    known_scores(row, score_one_huge);
}

static void one_very_low_score_takes_nothing(const filk_row *row)
{
    known_scores(row, score_one_low);
}

static void a_maximum_that_keeps_moving_loses_nothing(const filk_row *row)
{
    known_scores(row, score_rising);
}

static void scores_of_minus_infinity_take_nothing(const filk_row *row)
{
    known_scores(row, score_some_none);
}

static void products_that_cancel_agree(const filk_row *row)
{
    check_rng rng = {.seed = check_opt.seed, .stream = 7};
    mass_case c;
    make_case(&c, &rng, small_for(row));
    fill_normal(&c, &rng, 4.0);
    for (int64_t j = 0; j < c.p.nk; j++) /* k_d = -k_(d+1), nearly */
        for (int32_t h = 0; h < c.p.kv_heads; h++)
            for (int32_t d = 0; d < c.p.head_dim; d += 2) {
                const double x =
                    check_load(c.k.dtype, c.k.buffer.data, row_tensor_at(&c.k, j, h, d));
                row_tensor_set(&c.k, j, h, d + 1, -x * 1.01);
            }
    for (int64_t i = 0; i < c.p.nq; i++)
        for (int32_t h = 0; h < c.p.heads; h++)
            for (int32_t d = 0; d < c.p.head_dim; d++)
                row_tensor_set(&c.q, i, h, d, 30.0);
    run_and_verify(row, &c);
}

/* ---- NaN and infinity ----------------------------------------------------------------------- */

static void a_bad_query_reaches_its_block_alone(const filk_row *row)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < 3; i++) {
        check_rng rng = {.seed = check_opt.seed, .stream = 8};
        mass_case c;
        make_case(&c, &rng, small_for(row));
        fill_normal(&c, &rng, 1.0);
        row_tensor_set(&c.q, 33, 1, 5, bad[i]);
        run_and_verify(row, &c); /* the oracle is NaN where it should be, and nowhere else */
    }
}

static void a_bad_key_reaches_every_row_of_its_head(const filk_row *row)
{
    for (int given = 0; given < 2; given++) {
        check_rng rng = {.seed = check_opt.seed, .stream = 9};
        mass_case c;
        make_case(&c, &rng, small_for(row));
        fill_normal(&c, &rng, 1.0);
        row_tensor_set(&c.k, 140, 1, 5, (double)NAN);
        memset(c.lse_in.data, 0, c.lse_in.bytes);
        if (given) c.a.lse_in = floats(&c.lse_in);
        run_case(row, &c, 1);
        verify(&c);
        for (int64_t i = 0; i < c.p.mq * c.p.mk; i++) {
            assert_true(isfinite(c.a.mass[i]));
            assert_true(isnan(c.a.mass[c.p.mq * c.p.mk + i]));
        }
        free_case(&c);
    }
}

static void a_row_without_a_score_counts_for_nothing(const filk_row *row)
{
    check_rng rng = {.seed = check_opt.seed, .stream = 10};
    mass_case c;
    make_case(&c, &rng, small_for(row));
    fill_zero(&c);
    for (int64_t j = 0; j < c.p.nk; j++)
        set_score(&c, j, -(double)INFINITY);
    run_case(row, &c, 1);
    for (size_t i = 0; i < c.mass.bytes / sizeof(float); i++)
        assert_true(c.a.mass[i] == 0.0f);
    for (size_t i = 0; i < c.lse.bytes / sizeof(float); i++)
        assert_true(c.a.lse_out[i] == -INFINITY);
    free_case(&c);
}

/* ---- promises ------------------------------------------------------------------------------- */

static void workspace_grows_with_the_keys_not_with_their_square(const filk_row *row)
{
    const int64_t n       = 75600;
    const int32_t m       = (int32_t)((n + 63) / 64);
    int32_t      *offset  = row_need(malloc(sizeof(int32_t) * (size_t)(m + 1)));
    const int32_t threads = 4;
    for (int32_t i = 0; i <= m; i++)
        offset[i] = i * 64 < n ? i * 64 : (int32_t)n;
    const filk_mass_problem p      = {.nq       = n,
                                      .nk       = n,
                                      .heads    = 40,
                                      .kv_heads = 40,
                                      .head_dim = 128,
                                      .dtype    = dtype_of(row),
                                      .mq       = m,
                                      .mk       = m,
                                      .q_offset = offset,
                                      .k_offset = offset};
    const size_t            packed = (size_t)n * 128 * (fil_dtype_bits(p.dtype) / 8);
    const size_t            sums   = (size_t)threads * (size_t)n / 16 * 64 * sizeof(float);
    assert_true(row->workspace(&p, threads) <= (packed + sums) / 50 * 51 + (size_t)threads * 32768);
    free(offset);
}

static void other_types_and_widths_are_refused(const filk_row *row)
{
    filk_mass_problem p = {.head_dim = 129, .dtype = FIL_BF16};
    assert_non_null(row->refuse(&p));
    p = (filk_mass_problem){.head_dim = 64, .dtype = FIL_F16};
    assert_non_null(row->refuse(&p));
}

/* ---- fixtures ------------------------------------------------------------------------------- */

static double step_of(fil_file *file, const char *wanted)
{
    const char *key;
    const char *value;
    for (size_t i = 0; i < fil_file_metadata_pairs(file); i++) {
        fil_file_metadata(file, i, &key, &value);
        if (strcmp(key, wanted) == 0) return atof(value);
    }
    check_fail("the fixture has no metadata '%s'", wanted);
}

/* int8 [n, heads, D] in raster order, to a row tensor in the order of `order` (NULL: raster). */
static void take_fixture(row_tensor *t, fil_file *file, const char *name, const char *step,
                         const int32_t *order, int32_t heads)
{
    fil_tensor_info info;
    signed char    *x     = row_fixture(file, name, &info);
    const double    scale = step_of(file, step);
    for (int64_t i = 0; i < info.shape[0]; i++)
        for (int32_t h = 0; h < heads; h++)
            for (int32_t d = 0; d < info.shape[2]; d++) {
                const int64_t from = ((order ? order[i] : i) * info.shape[1] + h) * info.shape[2];
                row_tensor_set(t, i, h, d, x[from + d] * scale);
            }
    free(x);
}

static void compare_fixture(const mass_case *c, fil_file *file, const char *mass_name,
                            const int32_t *order, double tolerance)
{
    check_report    lse_report  = {.what = "lse"};
    check_report    mass_report = {.what = mass_name};
    fil_tensor_info info;
    float          *lse  = row_fixture(file, "lse", &info);
    float          *mass = row_fixture(file, mass_name, &info);
    for (int32_t h = 0; h < c->p.heads; h++) {
        for (int64_t i = 0; i < c->p.nq; i++)
            check_value(&lse_report, h, i, 0, (double)c->a.lse_out[h * c->p.nq + i],
                        (double)lse[h * c->p.nq + (order ? order[i] : i)], 1e-5);
        for (int32_t u = 0; u < c->p.mq; u++)
            for (int32_t b = 0; b < c->p.mk; b++) {
                const int64_t at    = ((int64_t)h * c->p.mq + u) * c->p.mk + b;
                const int32_t valid = c->q_offset[u + 1] - c->q_offset[u];
                check_value(&mass_report, h, u, b, (double)c->a.mass[at], (double)mass[at],
                            tolerance * valid);
            }
    }
    check_report_verdict(&lse_report, 1e-9);
    check_report_verdict(&mass_report, 1e-9);
    free(lse);
    free(mass);
}

/* Inputs are exact in bf16, and so are their products in f32: the tolerances of f32 hold. */
static void one_fixture(const filk_row *row, fil_file *file, const char *order_name,
                        int32_t max_heads)
{
    char            name[64];
    check_rng       rng = {.seed = check_opt.seed, .stream = 11};
    fil_tensor_info info;
    fil_tensor_info q;
    mass_case       c;
    int32_t        *order = NULL;
    free(row_fixture(file, "q", &q));
    const int32_t heads = q.shape[1] < max_heads ? (int32_t)q.shape[1] : max_heads;
    const shape   s     = {.nq    = q.shape[0],
                           .nk    = q.shape[0],
                           .heads = heads,
                           .group = 1,
                           .D     = (int32_t)q.shape[2],
                           .dtype = dtype_of(row)};
    make_case(&c, &rng, s);
    if (strcmp(order_name, "raster") != 0) {
        snprintf(name, sizeof name, "order_%s", order_name);
        order = row_fixture(file, name, &info);
    }
    snprintf(name, sizeof name, "offset_%s", order_name);
    int32_t *offset = row_fixture(file, name, &info);
    c.p.mq = c.p.mk = (int32_t)info.shape[0] - 1;
    memcpy(c.q_offset, offset, info.bytes);
    memcpy(c.k_offset, offset, info.bytes);
    free(offset);
    check_buffer_free(&c.mass);
    check_buffer_make(&c.mass, sizeof(float) * (size_t)heads * (size_t)c.p.mq * (size_t)c.p.mk, 4,
                      0);
    c.a.mass = floats(&c.mass);
    take_fixture(&c.q, file, "q", "q_step", order, heads);
    take_fixture(&c.k, file, "k", "k_step", order, heads);
    run_case(row, &c, 2);
    snprintf(name, sizeof name, "mass_%s", order_name);
    compare_fixture(&c, file, name, order, 1e-5);
    free(order);
    free_case(&c);
}

static void masses_of_the_fixtures_agree(const filk_row *row)
{
    const char *folder = getenv("FIL_FIXTURES");
    const int   slow   = is_ref(row);
    if (folder == NULL) {
        check_case(NULL, NULL, 0);
        skip();
    }
    for (int i = 0; i < (slow ? 1 : 2); i++) {
        char      path[512];
        fil_ctx  *ctx  = NULL;
        fil_file *file = NULL;
        snprintf(path, sizeof path, "%s/methods/attention_%c.safetensors", folder, 'a' + i);
        assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
        if (fil_file_open(ctx, path, 0, &file) != FIL_OK)
            check_fail("%s", fil_ctx_error(ctx)->message);
        one_fixture(row, file, "hilbert", slow && check_is_sanitized() ? 1 : 64);
        if (!slow) one_fixture(row, file, "cubes", 64);
        if (!slow) one_fixture(row, file, "raster", 64);
        fil_file_close(&file);
        fil_ctx_close(&ctx);
    }
}

/* ---- the list ------------------------------------------------------------------------------- */

#define TEST(claim)                                                                                \
    {                                                                                              \
#claim, claim                                                                              \
    }

static const check_test tests[] = {
    TEST(random_problems_agree_with_the_oracle),
    TEST(masses_are_relative_to_a_given_lse),
    TEST(lse_may_be_replaced_in_place),
    TEST(rows_of_mass_sum_to_the_tokens_of_their_block),
    TEST(same_bits_for_any_number_of_threads),
    TEST(sizes_around_the_tile_agree),
    TEST(equal_scores_spread_evenly),
    TEST(scores_of_minus_1e30_are_still_scores),
    TEST(scores_around_88_do_not_overflow),
    TEST(scores_around_709_do_not_overflow),
    TEST(one_huge_score_takes_all),
    TEST(one_very_low_score_takes_nothing),
    TEST(a_maximum_that_keeps_moving_loses_nothing),
    TEST(scores_of_minus_infinity_take_nothing),
    TEST(products_that_cancel_agree),
    TEST(a_bad_query_reaches_its_block_alone),
    TEST(a_bad_key_reaches_every_row_of_its_head),
    TEST(a_row_without_a_score_counts_for_nothing),
    TEST(workspace_grows_with_the_keys_not_with_their_square),
    TEST(other_types_and_widths_are_refused),
    TEST(masses_of_the_fixtures_agree),
};

int main(int argc, char **argv)
{
    if (check_options_read(argc, argv, "check_mass", 20) != 0) return 2;
    return check_run(&filk_mass, tests, sizeof tests / sizeof tests[0]);
}
