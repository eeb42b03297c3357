/* tests/kernel/check_norm.c: every row of kernel/norm.inc against the oracle, the table of the
 * rotary embedding, and q and k of a reference model's first block (FIL_FIXTURES). Usage and
 * reproducer lines: check.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/check.h"
#include "kernel/linear.h"
#include "kernel/norm.h"
#include "kernel/rope_table.h"
#include "support/fault.h"
#include "support/fixture.h"

typedef struct norm_case {
    filk_norm_problem p;
    filk_norm_args    a;
    check_buffer      x, out, weight, shift, cos, sin;
    int               in_place;
    check_rng         rng;
} norm_case;

static size_t size_of(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

static const float *floats(norm_case *c, check_buffer *b, int64_t n)
{
    check_buffer_make(b, (size_t)n * sizeof(float), 64, 0);
    check_fill_normal(&c->rng, FIL_F32, b->data, n, 1.0);
    return (const float *)(const void *)b->data;
}

static void random_problem(norm_case *c, const filk_row *row)
{
    static const int32_t heads[] = {16, 64, 128};
    filk_norm_problem   *p       = &c->p;
    p->kind                      = (filk_norm_kind)check_between(&c->rng, 0, 2);
    p->rows                      = check_between(&c->rng, 1, 40);
    p->dim       = check_between(&c->rng, 1, check_chance(&c->rng, 20) ? 5200 : 300);
    p->dtype     = check_chance(&c->rng, 50) ? FIL_BF16 : FIL_F32;
    p->out_dtype = check_chance(&c->rng, 50) ? FIL_BF16 : FIL_F32;
    if (p->kind == FILK_NORM_RMS && check_chance(&c->rng, 75)) {
        p->head_dim = heads[check_between(&c->rng, 0, 2)];
        if (row->isa == FILI_ISA_REF && check_chance(&c->rng, 50)) p->head_dim = 6;
        p->dim = p->head_dim * check_between(&c->rng, 1, 14);
    } else if (p->kind == FILK_NORM_RMS) {
        p->silu = check_chance(&c->rng, 50);
    }
}

static void make_case(norm_case *c, const filk_row *row, uint64_t seed)
{
    *c                   = (norm_case){.rng = {.seed = seed, .stream = 79}};
    filk_norm_problem *p = &c->p;
    filk_norm_args    *a = &c->a;
    random_problem(c, row);
    /* Vectors of 16 bytes are for rows that all begin on one. */
    const int64_t even = check_chance(&c->rng, 50) ? 8 : 1;
    if (p->head_dim == 0) p->dim = check_multiple(p->dim, even);
    a->x_stride   = p->dim + check_chance(&c->rng, 50) * check_between(&c->rng, 1, 40);
    a->out_stride = p->dim + check_chance(&c->rng, 50) * check_between(&c->rng, 1, 40);
    a->x_stride   = check_multiple(a->x_stride, even);
    a->out_stride = check_multiple(a->out_stride, even);
    a->eps        = check_chance(&c->rng, 50) ? 1e-6f : 1e-5f;
    c->in_place   = p->dtype == p->out_dtype && check_chance(&c->rng, 30);
    if (c->in_place) a->out_stride = a->x_stride;
    check_buffer_make(&c->x, (size_t)((p->rows - 1) * a->x_stride + p->dim) * size_of(p->dtype), 64,
                      size_of(p->dtype) * (size_t)check_between(&c->rng, 0, even == 1));
    check_buffer_make(&c->out,
                      (size_t)((p->rows - 1) * a->out_stride + p->dim) * size_of(p->out_dtype), 64,
                      size_of(p->out_dtype) * (size_t)check_between(&c->rng, 0, even == 1));
    memset(c->x.data, 0xFF, c->x.bytes);
    const double mean = check_chance(&c->rng, 50) ? 3.0 : 0.0;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t d = 0; d < p->dim; d++)
            check_store(p->dtype, c->x.data, i * a->x_stride + d, mean + check_normal(&c->rng));
    if (c->in_place) memcpy(c->out.data, c->x.data, c->x.bytes);
    a->x   = c->x.data;
    a->out = c->out.data;
    a->a   = floats(c, &c->weight, p->dim);
    if (p->kind != FILK_NORM_RMS) a->b = floats(c, &c->shift, p->dim);
    if (p->head_dim > 0) {
        a->cos = floats(c, &c->cos, p->rows * p->head_dim / 2);
        a->sin = floats(c, &c->sin, p->rows * p->head_dim / 2);
    }
}

static void free_case(norm_case *c)
{
    check_buffer *all[] = {&c->x, &c->out, &c->weight, &c->shift, &c->cos, &c->sin};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i]->map != NULL) check_buffer_free(all[i]);
}

static void run_norm(const filk_row *row, const filk_norm_problem *p, const filk_norm_args *a,
                     int32_t n_threads)
{
    alloc_fault  fault = {.at = -1};
    fil_ctx     *ctx   = NULL;
    check_buffer work;
    fil_options  opt;
    fil_options_init(&opt);
    opt.n_threads = n_threads;
    opt.host      = alloc_fault_allocator(&fault);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    check_buffer_make(&work, row->workspace(p, n_threads), 64, 0);
    memset(work.data, 0xFF, work.bytes);
    fault.at      = fault.calls;
    fault.forever = 1;
    if (row->run(ctx, p, a, work.data) != FIL_OK)
        check_fail("run: %s", fil_ctx_error(ctx)->message);
    if (fault.failed != 0) check_fail("run asked for memory %lld times", (long long)fault.failed);
    if (!check_buffer_intact(&work)) check_fail("run wrote beyond its workspace");
    check_buffer_free(&work);
    fault.at = -1;
    fil_ctx_close(&ctx);
}

static void run_case(norm_case *c, const filk_row *row, int32_t n_threads)
{
    filk_norm_args a = c->a;
    if (c->in_place) a.x = c->out.data;
    run_norm(row, &c->p, &a, n_threads);
    if (!check_buffer_intact(&c->out)) check_fail("run wrote beyond out");
}

static void check_padding(const norm_case *c)
{
    const size_t size = size_of(c->p.out_dtype);
    for (int64_t i = 0; i + 1 < c->p.rows; i++)
        for (size_t b = (size_t)(i * c->a.out_stride + c->p.dim) * size;
             b < (size_t)((i + 1) * c->a.out_stride) * size; b++)
            if (c->out.data[b] != (c->in_place ? c->x.data[b] : 0xAA))
                check_fail("run wrote behind row %lld", (long long)i);
}

static void check_against_oracle(const norm_case *c, double cosine)
{
    check_report report = {.what = "out"};
    double      *want   = malloc((size_t)c->p.dim * 2 * sizeof *want);
    assert_non_null(want);
    for (int64_t i = 0; i < c->p.rows; i++) {
        filk_norm_oracle_row(&c->p, &c->a, i, want, want + c->p.dim);
        for (int64_t d = 0; d < c->p.dim; d++) {
            const double got  = check_load(c->p.out_dtype, c->out.data, i * c->a.out_stride + d);
            const double cond = want[c->p.dim + d];
            const double tolerance = check_eps(FIL_F32) * (sqrt((double)c->p.dim) + 16.0) * cond +
                                     check_eps(c->p.out_dtype) * fabs(want[d]) + 1e-35;
            check_value(&report, i, d, 0, got, want[d], isfinite(tolerance) ? tolerance : 0.0);
        }
    }
    free(want);
    check_padding(c);
    check_report_verdict(&report, cosine);
}

static void outputs_of_random_problems_match_the_oracle(const filk_row *row)
{
    static const int32_t threads[] = {1, 2, 3, 7};
    for (int64_t i = 0; i < check_opt.problems; i++) {
        const uint64_t seed = check_opt.seed + (uint64_t)i;
        norm_case      c;
        check_case(row->name, __func__, seed);
        make_case(&c, row, seed);
        assert_null(row->refuse(&c.p));
        run_case(&c, row, threads[seed % 4]);
        check_against_oracle(&c, 1e-4);
        free_case(&c);
    }
}

static void nan_and_inf_reach_their_own_row_alone(const filk_row *row)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (uint64_t k = 0; k < 30; k++) {
        norm_case c;
        check_case(row->name, __func__, check_opt.seed + k);
        make_case(&c, row, check_opt.seed + k);
        const int64_t at = check_between(&c.rng, 0, c.p.rows - 1) * c.a.x_stride +
                           check_between(&c.rng, 0, c.p.dim - 1);
        check_store(c.p.dtype, c.x.data, at, bad[k % 3]);
        if (c.in_place) check_store(c.p.dtype, c.out.data, at, bad[k % 3]);
        run_case(&c, row, 2);
        check_against_oracle(&c, (double)INFINITY);
        free_case(&c);
    }
}

static void any_number_of_threads_gives_the_same_bits(const filk_row *row)
{
    static const int32_t threads[] = {2, 3, 7};
    for (uint64_t k = 0; k < 12; k++) {
        norm_case c;
        check_case(row->name, __func__, check_opt.seed + k);
        make_case(&c, row, check_opt.seed + k);
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

static void a_constant_row_gives_the_shift(const filk_row *row)
{
    enum { D = 37 };
    float x[D];
    float a[D];
    float b[D];
    float out[D];
    check_case(row->name, __func__, 0);
    for (int d = 0; d < D; d++) {
        x[d] = 2.5f;
        a[d] = 3.0f;
        b[d] = (float)d;
    }
    const filk_norm_problem p = {
        .kind = FILK_NORM_MODULATED, .rows = 1, .dim = D, .dtype = FIL_F32, .out_dtype = FIL_F32};
    const filk_norm_args args = {
        .x = x, .x_stride = D, .out = out, .out_stride = D, .a = a, .b = b, .eps = 1e-6f};
    run_norm(row, &p, &args, 1);
    for (int d = 0; d < D; d++)
        if (!(out[d] == b[d])) check_fail("element %d is %g", d, (double)out[d]);
}

/* ---- q and k of the reference model --------------------------------------------------------- */

static float *fixture_f32(fil_ctx *ctx, const char *file_name, const char *name, int64_t *n)
{
    fil_file       *file = NULL;
    fil_tensor_info info;
    const char     *path = fixture_path(file_name);
    if (path == NULL) skip();
    assert_int_equal(fil_file_open(ctx, path, 0, &file), FIL_OK);
    const int64_t i = fil_file_find(file, name);
    if (i < 0) check_fail("%s has no %s", file_name, name);
    fil_file_tensor(file, (size_t)i, &info);
    assert_int_equal(info.dtype, FIL_F32);
    float *data = malloc(info.bytes);
    assert_non_null(data);
    assert_int_equal(fil_file_read(file, (size_t)i, 0, data, info.bytes), FIL_OK);
    fil_file_close(&file);
    *n = (int64_t)(info.bytes / sizeof *data);
    return data;
}

enum { TOKENS = 90, DIM = 256, HEAD = 128 };

#define TRACE   "dit/trace_3x10x12_t999.safetensors"
#define WEIGHTS "pipeline/transformer/diffusion_pytorch_model.safetensors"

/* a = LN(patch embedding) (1 + m1) + m0, then z = a W^T + b with the oracle of linear. */
static void project(fil_ctx *ctx, const filk_row *row, const char *what, float *z)
{
    char    name[80];
    int64_t n;
    float  *x     = fixture_f32(ctx, TRACE, "patch_embedding", &n);
    float  *e0    = fixture_f32(ctx, TRACE, "e0", &n);
    float  *table = fixture_f32(ctx, WEIGHTS, "blocks.0.scale_shift_table", &n);
    float  *a     = malloc(sizeof(float) * TOKENS * DIM);
    assert_non_null(a);
    for (int i = 0; i < 6 * DIM; i++)
        e0[i] += table[i];
    const filk_norm_problem p    = {.kind      = FILK_NORM_MODULATED,
                                    .rows      = TOKENS,
                                    .dim       = DIM,
                                    .dtype     = FIL_F32,
                                    .out_dtype = FIL_F32};
    filk_norm_args          args = {.x = x, .out = a, .a = e0 + DIM, .b = e0, .eps = 1e-6f};
    args.x_stride                = DIM;
    args.out_stride              = DIM;
    run_norm(row, &p, &args, 2);
    snprintf(name, sizeof name, "blocks.0.attn1.to_%s.weight", what);
    float *weight = fixture_f32(ctx, WEIGHTS, name, &n);
    snprintf(name, sizeof name, "blocks.0.attn1.to_%s.bias", what);
    float                    *bias = fixture_f32(ctx, WEIGHTS, name, &n);
    const filk_linear_problem lp   = {.m          = TOKENS,
                                      .n          = DIM,
                                      .k          = DIM,
                                      .dtype      = FIL_F32,
                                      .out_dtype  = FIL_F32,
                                      .bias_dtype = FIL_F32,
                                      .x_stride   = DIM};
    const filk_linear_args    la   = {.x = a, .weight = weight, .bias = bias};
    double                    cond;
    double                    scale;
    for (int i = 0; i < TOKENS * DIM; i++)
        z[i] = (float)filk_linear_oracle(&lp, &la, i / DIM, i % DIM, &cond, &scale);
    free(bias);
    free(weight);
    free(a);
    free(table);
    free(e0);
    free(x);
}

static void compare_with_trace(fil_ctx *ctx, const filk_row *row, const char *what)
{
    static float z[TOKENS * DIM];
    static float out[TOKENS * DIM];
    static float cos_table[TOKENS * HEAD / 2];
    static float sin_table[TOKENS * HEAD / 2];
    char         name[80];
    int64_t      n;
    project(ctx, row, what, z);
    const filk_rope_grid grid = {.f = 3, .h = 5, .w = 6, .head_dim = HEAD};
    assert_int_equal(fili_rope_table(ctx, &grid, NULL, TOKENS, cos_table, sin_table), FIL_OK);
    snprintf(name, sizeof name, "blocks.0.attn1.norm_%s.weight", what);
    float                  *weight = fixture_f32(ctx, WEIGHTS, name, &n);
    const filk_norm_problem p      = {.kind      = FILK_NORM_RMS,
                                      .rows      = TOKENS,
                                      .dim       = DIM,
                                      .dtype     = FIL_F32,
                                      .out_dtype = FIL_F32,
                                      .head_dim  = HEAD};
    const filk_norm_args    args   = {.x          = z,
                                      .x_stride   = DIM,
                                      .out        = out,
                                      .out_stride = DIM,
                                      .a          = weight,
                                      .cos        = cos_table,
                                      .sin        = sin_table,
                                      .eps        = 1e-6f};
    run_norm(row, &p, &args, 2);
    snprintf(name, sizeof name, "blocks.0.%s", what);
    float *want   = fixture_f32(ctx, TRACE, name, &n);
    double square = 0.0;
    double total  = 0.0;
    assert_int_equal(n, TOKENS * DIM);
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)out[i] - (double)want[i];
        square += d * d;
        total += (double)want[i] * (double)want[i];
    }
    const double distance = sqrt(square / total);
    printf("  %s after norm and rotation: relative distance %.2g\n", what, distance);
    if (!(distance <= 2e-6)) check_fail("%s: relative distance %g", what, distance);
    free(want);
    free(weight);
}

static void q_and_k_of_the_reference_model_are_met(const filk_row *row)
{
    fil_ctx *ctx = NULL;
    check_case(row->name, __func__, 0);
    if (fixture_path(TRACE) == NULL) skip();
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    compare_with_trace(ctx, row, "q");
    compare_with_trace(ctx, row, "k");
    fil_ctx_close(&ctx);
}

/* Inverse frequencies and their places, from the specification's golden values. */
static void the_table_turns_each_axis_by_its_position(const filk_row *row)
{
    enum { F = 2, H = 3, W = 4, D = 128 };
    static float         c[F * H * W][D / 2];
    static float         s[F * H * W][D / 2];
    static const int32_t order[] = {F * H * W - 1};
    const filk_rope_grid grid    = {.f = F, .h = H, .w = W, .head_dim = D};
    fil_ctx             *ctx     = NULL;
    check_case(row->name, __func__, 0);
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    assert_int_equal(fili_rope_table(ctx, &grid, NULL, F * H * W, &c[0][0], &s[0][0]), FIL_OK);
    const float *last = s[F * H * W - 1]; /* position 1, 2, 3 */
    assert_true(fabs((double)last[1] - sin(0.657933224657568)) < 1e-7);
    assert_true(fabs((double)last[21] - sin(0.0001519911083)) < 1e-11);
    assert_true(fabs((double)last[22 + 1] - sin(2 * 0.644946677103762)) < 1e-7);
    assert_true(fabs((double)last[22 + 21 + 20] - sin(3 * 0.0001550515780)) < 1e-10);
    assert_true(c[0][0] == 1.0f && s[0][63] == 0.0f);
    assert_int_equal(fili_rope_table(ctx, &grid, order, 1, &c[0][0], &s[0][0]), FIL_OK);
    assert_memory_equal(s[0], last, sizeof s[0]);
    assert_int_equal(
        fili_rope_table(ctx, &grid, (const int32_t[]){F * H * W}, 1, &c[0][0], &s[0][0]),
        FIL_E_ARG);
    assert_int_equal(fili_rope_table(ctx, &grid, NULL, F * H * W + 1, &c[0][0], &s[0][0]),
                     FIL_E_ARG);
    fil_ctx_close(&ctx);
}

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

int main(int argc, char **argv)
{
    static const check_test tests[] = {TEST(outputs_of_random_problems_match_the_oracle),
                                       TEST(nan_and_inf_reach_their_own_row_alone),
                                       TEST(any_number_of_threads_gives_the_same_bits),
                                       TEST(a_constant_row_gives_the_shift),
                                       TEST(q_and_k_of_the_reference_model_are_met),
                                       TEST(the_table_turns_each_axis_by_its_position)};
    if (check_options_read(argc, argv, "check_norm", 200) != 0) return 2;
    return check_run(&filk_norm, tests, sizeof tests / sizeof tests[0]);
}
