/* tests/unit/test_row_profile.c: sparse/row_profile.h against attention in f64 under the masks of
 * each level (kernel/attention.h's oracle), with and without the tail.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "sparse/row_profile.h"
#include "sparse/west_map.h"
#include "support/cmocka_all.h"

enum { HEADS = 2, D = 64, ROWS = 7, K = 8, MOST_M = 8 };

typedef struct rig {
    fil_ctx      *ctx;
    fili_order    order;
    fili_blocks   blocks, map_blocks;
    int32_t       n;
    float        *x[3]; /* q, k, v */
    float        *pooled[2];
    int32_t       count[MOST_M];
    uint8_t       map[HEADS * MOST_M * MOST_M];
    int32_t       row[ROWS];
    float         mass[HEADS * ROWS * MOST_M];
    double        error[HEADS * ROWS * K], energy[HEADS * ROWS];
    void         *scratch;
    size_t        bytes;
    fili_row_args args;
} rig;

/* Mean rows of each block, for the oracle's tail. */
static void pool(const rig *r, const float *x, float *to)
{
    for (int32_t b = 0; b < r->blocks.m; b++)
        for (int32_t i = 0; i < HEADS * D; i++) {
            double sum = 0.0;
            for (int32_t j = r->blocks.offset[b]; j < r->blocks.offset[b + 1]; j++)
                sum += (double)x[j * HEADS * D + i];
            to[b * HEADS * D + i] = (float)(sum / fili_blocks_valid(&r->blocks, b));
        }
}

static filk_attn_view view_of(const float *x)
{
    return (filk_attn_view){.data = x, .stride_n = HEADS * D, .stride_h = D};
}

static void make(rig *r, fili_grid grid, int32_t per, int32_t threads)
{
    const fili_order_spec spec = {.kind = FILI_ORDER_HILBERT};
    fil_options           opt;
    fil_options_init(&opt);
    opt.n_threads = threads;
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    assert_int_equal(fili_order_init(&r->order, r->ctx, grid, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&r->blocks, &r->order), FIL_OK);
    if (per == 2)
        assert_int_equal(fili_blocks_pairs(&r->map_blocks, &r->blocks), FIL_OK);
    else
        assert_int_equal(fili_blocks_from_order(&r->map_blocks, &r->order), FIL_OK);
    r->n            = r->order.n;
    const int32_t m = r->map_blocks.m;
    assert_in_range(r->blocks.m, 1, MOST_M);
    for (int i = 0; i < 3; i++) {
        r->x[i] = malloc(sizeof(float) * (size_t)r->n * HEADS * D);
        assert_non_null(r->x[i]);
        fili_philox_normal(4, (uint64_t)i, 0, r->x[i], (int64_t)r->n * HEADS * D);
    }
    for (int i = 0; i < 2; i++) {
        r->pooled[i] = malloc(sizeof(float) * MOST_M * HEADS * D);
        assert_non_null(r->pooled[i]);
        pool(r, r->x[i + 1], r->pooled[i]);
    }
    for (int32_t b = 0; b < r->blocks.m; b++)
        r->count[b] = fili_blocks_valid(&r->blocks, b);
    for (int32_t i = 0; i < HEADS * m * m; i++)
        r->map[i] = (uint8_t)(fili_philox_u32(8, 0, (uint64_t)i) % K);
    for (int32_t i = 0; i < HEADS * m; i++)
        r->map[i * m + i % m] = 0;
    fili_row_sample(5, r->n, ROWS, r->row);
    r->bytes = (size_t)threads * fili_row_scratch(r->n, m, D, K);
    assert_int_equal(fili_alloc(r->ctx, r->bytes, "scratch", &r->scratch), FIL_OK);
    r->args = (fili_row_args){.q        = view_of(r->x[0]),
                              .k        = view_of(r->x[1]),
                              .v        = view_of(r->x[2]),
                              .dtype    = FIL_F32,
                              .heads    = HEADS,
                              .head_dim = D,
                              .scale    = 0.125f,
                              .blocks   = &r->blocks,
                              .row      = r->row,
                              .n_rows   = ROWS,
                              .map      = r->map,
                              .m        = m,
                              .per      = per,
                              .n_levels = K,
                              .tail     = 1,
                              .scratch  = r->scratch,
                              .mass     = r->mass,
                              .error    = r->error,
                              .energy   = r->energy};
}

static void drop(rig *r)
{
    for (int i = 0; i < 3; i++)
        free(r->x[i]);
    for (int i = 0; i < 2; i++)
        free(r->pooled[i]);
    fili_free(r->ctx, r->scratch, r->bytes);
    fili_blocks_fini(&r->map_blocks);
    fili_blocks_fini(&r->blocks);
    fili_order_fini(&r->order);
    fil_ctx_close(&r->ctx);
}

static int32_t block_of(const fili_blocks *blocks, int32_t token)
{
    int32_t b = 0;
    while (blocks->offset[b + 1] <= token)
        b++;
    return b;
}

/* The oracle's output of row `token` with the blocks up to `level`; level K - 1: dense. */
static void oracle(const rig *r, int32_t h, int32_t token, int32_t level, double out[D])
{
    const fili_row_args    *a                    = &r->args;
    const filk_attn_problem problem              = {.nq       = r->n,
                                                    .nk       = r->n,
                                                    .heads    = HEADS,
                                                    .kv_heads = HEADS,
                                                    .head_dim = D,
                                                    .dtype    = FIL_F32,
                                                    .mq       = r->blocks.m,
                                                    .mk       = r->blocks.m,
                                                    .q_offset = r->blocks.offset,
                                                    .k_offset = r->blocks.offset,
                                                    .has_tail = a->tail};
    uint32_t                mask[HEADS * MOST_M] = {0};
    double                  lse;
    for (int32_t u = 0; u < r->blocks.m; u++)
        for (int32_t b = 0; b < r->blocks.m; b++)
            if (r->map[(h * a->m + u / a->per) * a->m + b / a->per] <= level)
                mask[h * r->blocks.m + u] |= 1u << b;
    filk_attn_args args = {.q             = a->q,
                           .k             = a->k,
                           .v             = a->v,
                           .mask          = mask,
                           .mask_stride_h = r->blocks.m,
                           .scale         = a->scale};
    if (a->tail) {
        args.tail_k     = view_of(r->pooled[0]);
        args.tail_v     = view_of(r->pooled[1]);
        args.tail_count = r->count;
    }
    filk_attn_oracle_row(&problem, &args, token, h, out, NULL, &lse);
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, expected %.9g", got, want);
}

static void check_row(const rig *r, int32_t h, int32_t i)
{
    double dense[D];
    double out[D];
    double energy = 0.0;
    oracle(r, h, r->row[i], K - 1, dense);
    for (int32_t d = 0; d < D; d++)
        energy += dense[d] * dense[d];
    near(r->energy[h * ROWS + i], energy, 1e-5 * energy);
    for (int32_t k = 0; k < K; k++) {
        double error = 0.0;
        oracle(r, h, r->row[i], k, out);
        for (int32_t d = 0; d < D; d++)
            error += (out[d] - dense[d]) * (out[d] - dense[d]);
        near(r->error[(h * ROWS + i) * K + k], error, 1e-5 * (error + energy));
    }
    near(r->error[(h * ROWS + i) * K + K - 1], 0.0, 0.0);
}

static void check_all(const rig *r)
{
    for (int32_t h = 0; h < HEADS; h++)
        for (int32_t i = 0; i < ROWS; i++) {
            double sum = 0.0;
            for (int32_t b = 0; b < r->args.m; b++)
                sum += (double)r->mass[(h * ROWS + i) * r->args.m + b];
            near(sum, 1.0, 1e-6);
            check_row(r, h, i);
        }
}

static void errors_are_those_of_attention_under_each_level(void **state)
{
    (void)state;
    for (int32_t per = 1; per <= 2; per++)
        for (int32_t tail = 0; tail <= 1; tail++) {
            rig r = {.ctx = NULL};
            make(&r, (fili_grid){3, 8, 13}, per, 1);
            r.args.tail = tail;
            assert_int_equal(fili_row_profile(r.ctx, &r.args), FIL_OK);
            check_all(&r);
            drop(&r);
        }
}

static void one_block_loses_nothing(void **state)
{
    (void)state;
    rig r = {.ctx = NULL};
    make(&r, (fili_grid){1, 3, 4}, 1, 1);
    assert_int_equal(fili_row_profile(r.ctx, &r.args), FIL_OK);
    for (int32_t i = 0; i < HEADS * ROWS; i++) {
        near((double)r.mass[i], 1.0, 0.0);
        for (int32_t k = 0; k < K; k++)
            near(r.error[i * K + k], 0.0, 0.0);
    }
    drop(&r);
}

static void masses_are_those_of_the_logits(void **state)
{
    (void)state;
    rig r = {.ctx = NULL};
    make(&r, (fili_grid){3, 8, 13}, 1, 2);
    assert_int_equal(fili_row_profile(r.ctx, &r.args), FIL_OK);
    const int32_t h            = 1;
    const int32_t token        = r.row[3];
    double        mass[MOST_M] = {0.0};
    double        total        = 0.0;
    for (int32_t j = 0; j < r.n; j++) {
        double dot = 0.0;
        for (int32_t d = 0; d < D; d++)
            dot += (double)r.x[0][(token * HEADS + h) * D + d] *
                   (double)r.x[1][(j * HEADS + h) * D + d];
        mass[block_of(&r.blocks, j)] += exp(0.125 * dot);
        total += exp(0.125 * dot);
    }
    for (int32_t b = 0; b < r.blocks.m; b++)
        near((double)r.mass[(h * ROWS + 3) * r.args.m + b], mass[b] / total, 1e-6);
    drop(&r);
}

static void the_same_bits_come_from_any_number_of_threads(void **state)
{
    (void)state;
    rig a = {.ctx = NULL};
    rig b = {.ctx = NULL};
    make(&a, (fili_grid){3, 8, 13}, 1, 1);
    make(&b, (fili_grid){3, 8, 13}, 1, 4);
    assert_int_equal(fili_row_profile(a.ctx, &a.args), FIL_OK);
    assert_int_equal(fili_row_profile(b.ctx, &b.args), FIL_OK);
    assert_memory_equal(a.mass, b.mass, sizeof a.mass);
    assert_memory_equal(a.error, b.error, sizeof a.error);
    drop(&a);
    drop(&b);
}

static void a_nan_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        rig r = {.ctx = NULL};
        make(&r, (fili_grid){3, 8, 13}, 1, 1);
        const int32_t token           = i == 0 ? r.row[2] : 77;
        r.x[i][token * HEADS * D + 3] = NAN;
        assert_int_equal(fili_row_profile(r.ctx, &r.args), FIL_E_NONFINITE);
        drop(&r);
    }
}

static void sampled_rows_lie_one_in_each_stratum(void **state)
{
    (void)state;
    int32_t row[16];
    for (uint64_t seed = 0; seed < 50; seed++) {
        fili_row_sample(seed, 1008, 16, row);
        for (int32_t i = 0; i < 16; i++)
            assert_in_range(row[i], 63 * i, 63 * i + 62);
        fili_row_sample(seed, 16, 16, row);
        for (int32_t i = 0; i < 16; i++)
            assert_int_equal(row[i], i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_those_of_attention_under_each_level),
        cmocka_unit_test(one_block_loses_nothing),
        cmocka_unit_test(masses_are_those_of_the_logits),
        cmocka_unit_test(the_same_bits_come_from_any_number_of_threads),
        cmocka_unit_test(a_nan_is_told),
        cmocka_unit_test(sampled_rows_lie_one_in_each_stratum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
