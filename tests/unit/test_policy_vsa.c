/* tests/unit/test_policy_vsa.c: the policy vsa (sparse/policy_vsa.c): what it chooses, what comes
 * out of attention under its choice against the methods' fixture, and what it refuses.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "nn/elementwise.h"
#include "sparse/coarse.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"
#include "support/policy_rig.h"
#include "tensor/convert.h"

enum { LAYERS = 2, STEPS = 4, PASSES = 2 };

static void start_rig(policy_rig *r, fili_grid grid, int32_t heads, int32_t head_dim)
{
    const fili_policy_setup s = {.grid     = grid,
                                 .layers   = LAYERS,
                                 .steps    = STEPS,
                                 .passes   = PASSES,
                                 .heads    = heads,
                                 .head_dim = head_dim,
                                 .dtype    = FIL_F32};
    policy_rig_start(r, "vsa", &s, 2);
    r->o.density = 0.3;
}

/* ---- what it keeps -------------------------------------------------------------------------- */

static void every_row_keeps_as_many_cubes_as_the_formula_says(void **state)
{
    static const struct {
        fili_grid   grid;
        const char *order;
        double      density;
    } cases[] = {{{5, 6, 9}, NULL, 0.3},           {{6, 10, 8}, "cubes 3x5x4", 0.2},
                 {{5, 9, 19}, "cubes 4x4x8", 0.1}, {{8, 8, 40}, NULL, 0.7},
                 {{3, 3, 3}, "cubes 1x1x1", 0.25}, {{5, 9, 19}, "hilbert-cubes 4x4x4", 0.5}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        policy_rig r;
        start_rig(&r, cases[i].grid, 2, 64);
        r.o.order   = cases[i].order;
        r.o.density = cases[i].density;
        policy_rig_open(&r);
        policy_rig_ask(&r, 1, 2, 1);
        const fili_order *order = &r.p->order;
        const int32_t     keep  = fili_coarse_keep(1.0 - cases[i].density, order->n_pieces);
        int32_t          *first = malloc(((size_t)order->n_pieces + 1) * sizeof *first);
        assert_non_null(first);
        assert_non_null(r.choice.mask);
        assert_int_equal(fili_mask_check(r.choice.mask), FIL_OK);
        assert_int_equal(fili_coarse_blocks(order, &r.p->blocks, first), FIL_OK);
        for (int32_t h = 0; h < 2; h++)
            for (int32_t q = 0; q < r.p->blocks.m; q++) {
                int32_t kept = 0;
                for (int32_t c = 0; c < order->n_pieces; c++) {
                    for (int32_t b = first[c] + 1; b < first[c + 1]; b++)
                        assert_int_equal(fili_mask_get(r.choice.mask, h, q, b),
                                         fili_mask_get(r.choice.mask, h, q, first[c]));
                    kept += fili_mask_get(r.choice.mask, h, q, first[c]);
                }
                assert_int_equal(kept, keep);
            }
        free(first);
        policy_rig_end(&r);
    }
}

static void the_wanted_density_of_a_run_does_not_round_up_to_one_more_cube(void **state)
{
    (void)state;
    for (int32_t tenths = 1; tenths < 10; tenths++) {
        policy_rig r;
        start_rig(&r, (fili_grid){4, 8, 20}, 1, 64); /* ten cubes */
        r.s.steps   = 50;
        r.o.density = tenths / 10.0;
        policy_rig_open(&r);
        policy_rig_ask(&r, 0, 37, 0);
        const int32_t keep = fili_coarse_keep(1.0 - tenths / 10.0, 10);
        int32_t       count[10];
        fili_mask_counts(r.choice.mask, count);
        for (int i = 0; i < 10; i++)
            assert_int_equal(count[i], keep);
        assert_true(fabs(r.choice.density - keep / 10.0) < 1e-12);
        policy_rig_end(&r);
    }
}

static void it_chooses_anew_in_every_call(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 9, 19}, 2, 64);
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    const size_t words = 2 * (size_t)r.p->blocks.m * (size_t)r.choice.mask->words;
    uint32_t    *was   = malloc(words * sizeof *was);
    assert_non_null(was);
    memcpy(was, r.choice.mask->bits, words * sizeof *was);
    fili_philox_normal(99, 7, 0, r.x[0], r.n);
    policy_rig_ask(&r, 0, 1, 0);
    assert_memory_not_equal(was, r.choice.mask->bits, words * sizeof *was);
    assert_int_equal(r.choice.refreshed, 1);
    free(was);
    policy_rig_end(&r);
}

static void a_grid_smaller_than_a_cube_is_dense(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){1, 2, 3}, 1, 64);
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_null(r.choice.mask);
    assert_null(r.choice.coarse);
    assert_true(r.choice.density == 1.0);
    policy_rig_end(&r);
}

static void select_allocates_nothing(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 9, 19}, 2, 64);
    r.s.has_gate = 1;
    r.o.order    = "cubes 4x4x8";
    policy_rig_open(&r);
    const fil_memory before = fil_ctx_memory(r.ctx);
    policy_rig_ask(&r, 0, 0, 0);
    assert_non_null(r.choice.coarse);
    assert_int_equal(fil_ctx_memory(r.ctx).peak, before.peak);
    policy_rig_end(&r);
}

static void bits_are_the_same_for_any_number_of_threads(void **state)
{
    policy_rig r[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        start_rig(&r[i], (fili_grid){9, 13, 22}, 3, 64);
        r[i].ctx->n_threads = i == 0 ? 1 : 3;
        r[i].s.has_gate     = 1;
        policy_rig_open(&r[i]);
        policy_rig_ask(&r[i], 0, 0, 0);
    }
    const fili_mask *m = r[0].choice.mask;
    assert_memory_equal(m->bits, r[1].choice.mask->bits,
                        3 * (size_t)m->mq * (size_t)m->words * sizeof(uint32_t));
    assert_memory_equal(r[0].choice.coarse, r[1].choice.coarse,
                        (size_t)m->mq * 3 * 64 * sizeof(float));
    policy_rig_end(&r[0]);
    policy_rig_end(&r[1]);
}

/* ---- gate and schedule ---------------------------------------------------------------------- */

static void the_coarse_branch_is_there_where_the_model_has_a_gate(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 64);
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_int_equal(r.p->uses_gate, 0);
    assert_null(r.choice.coarse);
    r.s.has_gate = 1;
    r.o.gate     = 0;
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_int_equal(r.p->uses_gate, 0);
    assert_null(r.choice.coarse);
    r.o.gate = 1;
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_int_equal(r.p->uses_gate, 1);
    assert_non_null(r.choice.coarse);
    policy_rig_end(&r);
}

static void a_density_of_1_keeps_the_coarse_branch_and_needs_no_mask(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 64);
    r.o.density = 1.0;
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_null(r.choice.mask);
    assert_null(r.choice.coarse);
    r.s.has_gate = 1;
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_null(r.choice.mask);
    assert_non_null(r.choice.coarse);
    assert_true(r.choice.density == 1.0);
    policy_rig_end(&r);
}

static void what_the_schedule_makes_dense_goes_without_the_coarse_branch(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 64);
    r.s.has_gate     = 1;
    r.o.density      = 0.9;
    r.o.dense_steps  = 1;
    r.o.dense_layers = "1";
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_null(r.choice.coarse);
    policy_rig_ask(&r, 1, 2, 0);
    assert_null(r.choice.coarse);
    policy_rig_ask(&r, 0, 2, 0);
    assert_non_null(r.choice.coarse);
    assert_non_null(r.choice.mask);
    policy_rig_end(&r);
}

static void a_model_with_a_gate_has_the_density_that_it_was_trained_at(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 64);
    r.s.has_gate = 1;
    r.o.density  = FIL_AUTO;
    policy_rig_open(&r);
    assert_true(r.p->density[0] == 0.2 || fabs(r.p->density[0] - 0.2) < 1e-12);
    fili_policy_close(&r.p);
    r.s.has_gate = 0;
    policy_rig_refuses(&r, FIL_E_ARG, "density");
    policy_rig_end(&r);
}

static void a_block_of_128_is_a_cube_of_4x4x8(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){8, 8, 16}, 2, 64);
    r.o.block = 128;
    policy_rig_open(&r);
    assert_string_equal(r.p->o.order, "cubes 4x4x8");
    assert_int_equal(r.p->order.n_pieces, 8);
    assert_int_equal(r.p->blocks.m, 16);
    policy_rig_end(&r);
}

static void a_tail_is_honoured(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 64);
    r.o.tail = 1;
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    assert_int_equal(r.choice.wants_tail, 1);
    assert_non_null(r.choice.tail_k.data);
    policy_rig_end(&r);
}

/* ---- refused -------------------------------------------------------------------------------- */

static void what_it_cannot_honour_is_refused_in_one_sentence(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 64);
    r.o.gate = 1;
    policy_rig_refuses(&r, FIL_E_MISMATCH, "a gate is wanted, and the model has none");
    r.o.gate  = FIL_AUTO;
    r.o.order = "hilbert";
    policy_rig_refuses(&r, FIL_E_UNSUP, "order hilbert; expected cubes TxHxW");
    r.o.order = "cubes 4x4x4";
    r.o.block = 128;
    policy_rig_refuses(&r, FIL_E_UNSUP,
                       "blocks of 128 tokens; the cubes of order cubes 4x4x4 are blocks of");
    r.o.block   = FIL_AUTO;
    r.o.refresh = 4;
    policy_rig_refuses(&r, FIL_E_UNSUP, "refresh 4; expected 1");
    r.o.refresh  = FIL_AUTO;
    r.o.topology = "somewhere.safetensors";
    policy_rig_refuses(&r, FIL_E_UNSUP, "topology");
    r.o.topology = NULL;
    r.o.density  = 0.0;
    policy_rig_refuses(&r, FIL_E_ARG, "density");
    r.o.density = (double)NAN;
    policy_rig_refuses(&r, FIL_E_ARG, "density");
    policy_rig_end(&r);
}

static void a_missing_gate_runs_dense_where_that_is_allowed(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 64);
    r.o.gate     = 1;
    r.o.fallback = 1;
    policy_rig_open(&r);
    assert_string_equal(r.p->ops->name, "dense");
    policy_rig_end(&r);
}

static void it_says_what_it_does(void **state)
{
    policy_rig r;
    char       text[FILI_POLICY_TEXT];
    (void)state;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 64);
    r.s.has_gate = 1;
    policy_rig_open(&r);
    fili_policy_describe(r.p, text);
    printf("%s\n", text);
    assert_non_null(strstr(text, "best 4 of 12 cubes"));
    assert_non_null(strstr(text, "gate"));
    policy_rig_end(&r);
}

/* ---- the fixture ---------------------------------------------------------------------------- */

#define FIXTURE "methods/vsa.safetensors"

static void *tensor(policy_rig *r, const char *name, fil_dtype dtype, int64_t n)
{
    int64_t found;
    void   *data = fixture_tensor(r->ctx, fixture_path(FIXTURE), name, dtype, &found);
    assert_int_equal(found, n);
    return data;
}

/* int8 [N,H,D] in raster order, times the step, into the policy's order. */
static void take_int8(policy_rig *r, const char *name, double step, float *to)
{
    signed char  *data = tensor(r, name, FIL_I8, r->n);
    const int64_t row  = (int64_t)r->s.heads * r->s.head_dim;
    for (int64_t i = 0; i < r->n; i++)
        to[i] = (float)(step * data[r->p->order.order[i / row] * row + i % row]);
    free(data);
}

typedef struct result {
    float *out, *fine; /* [N, H, D] */
    float *lse;        /* [H, N] */
} result;

/* Attention under the choice, then the gate, in the rig's type. */
static result compute(policy_rig *r, const void *x[3], const void *gate)
{
    const fil_dtype         dtype = r->s.dtype;
    const fili_convert_set *set   = fili_convert_select(FILI_ISA_REF);
    const size_t            n     = (size_t)r->n;
    const filk_row         *row;
    void                   *out = calloc(n, 4);
    result                  res = {.out  = calloc(n, sizeof(float)),
                                   .fine = calloc(n, sizeof(float)),
                                   .lse  = calloc(n, sizeof(float))};
    const filk_attn_problem p   = {.nq       = r->p->order.n,
                                   .nk       = r->p->order.n,
                                   .heads    = r->s.heads,
                                   .kv_heads = r->s.heads,
                                   .head_dim = r->s.head_dim,
                                   .dtype    = dtype,
                                   .mq       = r->p->blocks.m,
                                   .mk       = r->p->blocks.m,
                                   .q_offset = r->p->blocks.offset,
                                   .k_offset = r->p->blocks.offset};
    const fili_mask        *m   = r->choice.mask;
    const filk_attn_args    a   = {.q             = policy_rig_view(r, x[0]),
                                   .k             = policy_rig_view(r, x[1]),
                                   .v             = policy_rig_view(r, x[2]),
                                   .out           = out,
                                   .out_stride_n  = (int64_t)r->s.heads * r->s.head_dim,
                                   .out_stride_h  = r->s.head_dim,
                                   .lse           = res.lse,
                                   .mask          = m != NULL ? m->bits : NULL,
                                   .mask_stride_h = m != NULL ? (int64_t)m->mq * m->words : 0,
                                   .scale         = r->call.scale};
    const fili_gated        g   = {.dtype  = dtype,
                                   .gate   = gate,
                                   .coarse = r->choice.coarse,
                                   .offset = r->p->order.piece,
                                   .m      = r->p->order.n_pieces,
                                   .cols   = (int64_t)r->s.heads * r->s.head_dim,
                                   .out    = out};
    assert_int_equal(filk_select(r->ctx, &filk_attention, &p, NULL, &row), FIL_OK);
    const size_t bytes = (row->workspace(&p, r->ctx->n_threads) + 64) / 64 * 64;
    void        *work  = aligned_alloc(64, bytes);
    assert_true(out != NULL && res.out != NULL && res.fine != NULL && res.lse != NULL &&
                work != NULL);
    assert_int_equal(row->run(r->ctx, &p, &a, work), FIL_OK);
    fili_convert_row(set, FIL_F32, res.fine, dtype, out, n);
    assert_int_equal(fili_gated_add(r->ctx, &g), FIL_OK);
    fili_convert_row(set, FIL_F32, res.out, dtype, out, n);
    free(work);
    free(out);
    return res;
}

/* Rows `rows` (raster) of found against the fixture's: relative L2. */
static void expect_rows(policy_rig *r, const char *name, const float *found, const int32_t *rows,
                        int32_t n_rows, double tolerance)
{
    const int64_t row   = (int64_t)r->s.heads * r->s.head_dim;
    float        *want  = tensor(r, name, FIL_F32, n_rows * row);
    double        error = 0.0;
    double        norm  = 0.0;
    for (int32_t i = 0; i < n_rows; i++) {
        const int32_t token = rows != NULL ? rows[i] : i;
        const float  *x     = found + r->p->order.inverse[token] * row;
        for (int64_t c = 0; c < row; c++) {
            const double w = (double)want[i * row + c];
            error += ((double)x[c] - w) * ((double)x[c] - w);
            norm += w * w;
        }
    }
    printf("%-18s rel_l2 %.2e\n", name, sqrt(error / norm));
    if (!(sqrt(error / norm) <= tolerance)) fail_msg("%s: %g", name, sqrt(error / norm));
    free(want);
}

static void expect_lse(policy_rig *r, const char *name, const float *found, double tolerance)
{
    const int32_t n    = r->p->order.n;
    float        *want = tensor(r, name, FIL_F32, (int64_t)r->s.heads * n);
    for (int32_t h = 0; h < r->s.heads; h++)
        for (int32_t i = 0; i < n; i++) {
            const double x = (double)found[h * n + r->p->order.inverse[i]];
            const double w = (double)want[h * n + i];
            if (!(fabs(x - w) <= tolerance)) fail_msg("%s: %g, expected %g", name, x, w);
        }
    free(want);
}

/* The lists of kept cubes are the choice's, where no two scores are close. */
static void expect_lists(policy_rig *r, int32_t k)
{
    char          name[32];
    const int32_t m = r->p->order.n_pieces;
    int32_t       list[32];
    snprintf(name, sizeof name, "topk_k%d", k);
    int32_t *want = tensor(r, name, FIL_I32, (int64_t)r->s.heads * m * k);
    snprintf(name, sizeof name, "gap_k%d", k);
    float *gap = tensor(r, name, FIL_F32, (int64_t)r->s.heads * m);
    for (int32_t i = 0; r->choice.mask != NULL && i < r->s.heads * m; i++) {
        if (!(gap[i] > 1e-4f)) continue;
        assert_int_equal(fili_mask_list(r->choice.mask, i / m, i % m, list), k);
        assert_memory_equal(list, want + (int64_t)i * k, (size_t)k * sizeof *list);
    }
    assert_int_equal(r->choice.mask == NULL, k == m);
    free(want);
    free(gap);
}

static void check_fixture(fil_dtype dtype, double tolerance, double lse_tolerance, int32_t k)
{
    policy_rig r;
    start_rig(&r, (fili_grid){5, 6, 9}, 2, 128);
    char                    name[32];
    const fili_convert_set *set  = fili_convert_select(FILI_ISA_REF);
    float                  *gate = malloc((size_t)r.n * sizeof *gate);
    uint16_t               *half = malloc(4 * (size_t)r.n * sizeof *half);
    assert_true(gate != NULL && half != NULL);
    r.s.dtype    = dtype;
    r.s.has_gate = 1;
    r.o.density  = (k - 0.5) / 12.0;
    policy_rig_open(&r);
    take_int8(&r, "q", 0.0625, r.x[0]);
    take_int8(&r, "k", 0.125, r.x[1]);
    take_int8(&r, "v", 0.03125, r.x[2]);
    take_int8(&r, "gate", 0.015625, gate);
    const float *from[4] = {r.x[0], r.x[1], r.x[2], gate};
    const void  *x[4]    = {r.x[0], r.x[1], r.x[2], gate};
    float *const own[3]  = {r.x[0], r.x[1], r.x[2]};
    for (int i = 0; i < 4 && dtype == FIL_BF16; i++) {
        fili_convert_row(set, FIL_BF16, half + i * r.n, FIL_F32, from[i], (size_t)r.n);
        x[i] = half + i * r.n;
    }
    for (int i = 0; i < 3 && dtype == FIL_BF16; i++) /* ask hands over what is in the rig */
        memcpy(own[i], half + i * r.n, (size_t)r.n * sizeof *half);
    policy_rig_ask(&r, 1, 3, 1);
    expect_lists(&r, k);
    const result res  = compute(&r, x, x[3]);
    int32_t     *rows = tensor(&r, "rows", FIL_I32, 16);
    snprintf(name, sizeof name, "out_fine_rows_k%d", k);
    expect_rows(&r, name, res.fine, rows, 16, tolerance);
    snprintf(name, sizeof name, "out_rows_k%d", k);
    expect_rows(&r, name, res.out, rows, 16, tolerance);
    if (k == 4) expect_rows(&r, "out_k4", res.out, NULL, r.p->order.n, tolerance);
    snprintf(name, sizeof name, "lse_k%d", k);
    expect_lse(&r, name, res.lse, lse_tolerance);
    free(rows);
    free(res.out);
    free(res.fine);
    free(res.lse);
    free(gate);
    free(half);
    policy_rig_end(&r);
}

static void f32_output_equals_the_fixture(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    check_fixture(FIL_F32, 1e-5, 1e-5, 4);
    check_fixture(FIL_F32, 1e-5, 1e-5, 1);
    check_fixture(FIL_F32, 1e-5, 1e-5, 12);
}

static void bf16_output_equals_the_fixture(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    check_fixture(FIL_BF16, 1e-2, 1e-2, 4);
    check_fixture(FIL_BF16, 1e-2, 1e-2, 1);
    check_fixture(FIL_BF16, 1e-2, 1e-2, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_keeps_as_many_cubes_as_the_formula_says),
        cmocka_unit_test(the_wanted_density_of_a_run_does_not_round_up_to_one_more_cube),
        cmocka_unit_test(it_chooses_anew_in_every_call),
        cmocka_unit_test(a_grid_smaller_than_a_cube_is_dense),
        cmocka_unit_test(select_allocates_nothing),
        cmocka_unit_test(bits_are_the_same_for_any_number_of_threads),
        cmocka_unit_test(the_coarse_branch_is_there_where_the_model_has_a_gate),
        cmocka_unit_test(a_density_of_1_keeps_the_coarse_branch_and_needs_no_mask),
        cmocka_unit_test(what_the_schedule_makes_dense_goes_without_the_coarse_branch),
        cmocka_unit_test(a_model_with_a_gate_has_the_density_that_it_was_trained_at),
        cmocka_unit_test(a_block_of_128_is_a_cube_of_4x4x8),
        cmocka_unit_test(a_tail_is_honoured),
        cmocka_unit_test(what_it_cannot_honour_is_refused_in_one_sentence),
        cmocka_unit_test(a_missing_gate_runs_dense_where_that_is_allowed),
        cmocka_unit_test(it_says_what_it_does),
        cmocka_unit_test(f32_output_equals_the_fixture),
        cmocka_unit_test(bf16_output_equals_the_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
