/* engine/measure_linear.c: fil_bench_linear: a product with its epilogue against the product alone.
 *
 * Linear is measured against the same row without bias and epilogue into f32, which is the product
 * alone: the difference is what the epilogue costs.
 */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "engine/measure_run.h"
#include "kernel/linear.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"

typedef struct bench {
    fil_ctx              *ctx;
    fil_bench_linear_desc d;
    fili_arena            arena;
    filk_linear_problem   problem[2]; /* as asked for; the product alone */
    filk_linear_args      args[2];
    void                 *plan[2];
    fili_bench_run        run;
} bench;

void fil_bench_linear_desc_init(fil_bench_linear_desc *desc)
{
    *desc = (fil_bench_linear_desc){
        .struct_size = (uint32_t)sizeof *desc, .m = 2048, .k = 1536, .n = 1536, .dtype = FIL_BF16};
}

static unsigned block_of(fil_dtype type)
{
    uint32_t block;
    (void)fil_dtype_block(type, &block);
    return block;
}

/* Of a row of k elements in whole blocks; 0: no weights of such rows can be in that type. */
static size_t row_bytes(fil_dtype type, int64_t k)
{
    uint32_t       block;
    const uint32_t size = fil_dtype_block(type, &block);
    if (!fili_convert_has(type) && !fili_dequant_has(type)) return 0;
    return k % block == 0 ? (size_t)(k / block) * size : 0;
}

static fil_dtype weight_type(const bench *b)
{
    return b->d.weights != FIL_DTYPE_NONE ? b->d.weights : b->d.dtype;
}

static fil_status take(bench *b, const fil_bench_linear_desc *desc)
{
    fil_ctx               *ctx = b->ctx;
    fil_bench_linear_desc *d   = &b->d;
    fil_bench_linear_desc_init(d);
    FIL_TRY(fili_bench_take(ctx, "fil_bench_linear_desc", d, sizeof *d, desc));
    if (d->m == 0) d->m = 2048;
    if (d->k == 0) d->k = 1536;
    if (d->n == 0) d->n = 1536;
    FIL_TRY(fili_bench_range(ctx, "m", d->m, 1, INT32_MAX));
    FIL_TRY(fili_bench_range(ctx, "k", d->k, 1, INT32_MAX));
    FIL_TRY(fili_bench_range(ctx, "n", d->n, 1, INT32_MAX));
    FIL_TRY(fili_bench_range(ctx, "epilogue", d->epilogue, FIL_BENCH_NONE, FIL_BENCH_GATE));
    FIL_TRY(fili_bench_range(ctx, "in_place", d->in_place, 0, 1));
    FIL_TRY(fili_bench_range(ctx, "repetitions", d->repetitions, 0, FILI_BENCH_REPETITIONS));
    FIL_CHECK(ctx, d->dtype == FIL_BF16 || d->dtype == FIL_F32, "dtype is %s; expected BF16 or F32",
              fil_dtype_name(d->dtype));
    FIL_CHECK(ctx, fili_convert_has(weight_type(b)) || fili_dequant_has(weight_type(b)),
              "weights is %s; expected a floating-point or block type", fil_dtype_name(d->weights));
    FIL_CHECK(ctx, row_bytes(weight_type(b), d->k) != 0,
              "k is %lld; expected whole blocks of %s, of %u elements", (long long)d->k,
              fil_dtype_name(d->weights), block_of(d->weights));
    FIL_CHECK(ctx, d->in_place == 0 || d->weights == FIL_DTYPE_NONE,
              "in_place is 1; expected 0 with weights, which are packed in each call");
    return FIL_OK;
}

static void set_problems(bench *b)
{
    static const filk_activation act[] = {FILK_ACT_NONE, FILK_ACT_GELU_TANH, FILK_ACT_SILU,
                                          FILK_ACT_NONE};
    const fil_bench_linear_desc *d     = &b->d;
    const int32_t                own   = d->weights == FIL_DTYPE_NONE;
    const filk_linear_problem    plain = {.m          = d->m,
                                          .n          = d->n,
                                          .k          = d->k,
                                          .dtype      = d->dtype,
                                          .out_dtype  = FIL_F32,
                                          .bias_dtype = FIL_DTYPE_NONE,
                                          .x_stride   = d->k,
                                          .packed     = own && d->in_place == 0,
                                          .any_weight = !own};
    b->problem[0] = b->problem[1] = plain;
    b->problem[0].bias_dtype      = d->dtype;
    b->problem[0].act             = act[d->epilogue];
    if (d->epilogue != FIL_BENCH_GATE) b->problem[0].out_dtype = d->dtype;
}

static fil_status make_plans(bench *b)
{
    const filk_row *row;
    FIL_TRY(filk_select(b->ctx, &filk_linear, &b->problem[0], b->d.kernel, &row));
    b->run.call[0].row = row;
    FIL_TRY(filk_select(b->ctx, &filk_linear, &b->problem[1], row->name, &b->run.call[1].row));
    for (int i = 0; i < 2; i++) {
        FIL_TRY(row->plan->create(b->ctx, &b->problem[i], &b->plan[i]));
        b->run.call[i].problem = b->plan[i];
        b->run.call[i].args    = &b->args[i];
    }
    return FIL_OK;
}

static size_t workspace_bytes(const bench *b)
{
    const filk_plan_ops *ops = b->run.call[0].row->plan;
    const size_t         x   = ops->workspace(b->plan[0]);
    const size_t         y   = ops->workspace(b->plan[1]);
    return x > y ? x : y;
}

enum { X, WEIGHT, BIAS, GATE, OUT, PACKED, PLAIN, SPACE, PIECES };

static fil_status take_memory(bench *b, void **data)
{
    const filk_plan_ops *ops             = b->run.call[0].row->plan;
    const size_t         el              = fil_dtype_bits(b->d.dtype) / 8;
    const size_t         m               = (size_t)b->d.m;
    const size_t         k               = (size_t)b->d.k;
    const size_t         n               = (size_t)b->d.n;
    size_t               total           = 0;
    const size_t         size[PIECES][2] = {[X]      = {m, k * el},
                                            [WEIGHT] = {n, row_bytes(weight_type(b), b->d.k)},
                                            [BIAS]   = {n, el},
                                            [GATE]   = {n, sizeof(float)},
                                            [OUT]    = {m, n * sizeof(float)},
                                            [PACKED] = {ops->packed_bytes(b->plan[0]), 1},
                                            [PLAIN]  = {ops->packed_bytes(b->plan[1]), 1},
                                            [SPACE]  = {workspace_bytes(b), 1}};
    for (int i = 0; i < PIECES; i++)
        fili_bench_plan(&total, size[i][0], size[i][1]);
    FIL_TRY(fili_bench_fix(b->ctx, &b->arena, total));
    for (int i = 0; i < PIECES; i++)
        FIL_TRY(fili_bench_piece(&b->arena, size[i][0], size[i][1], &data[i]));
    return FIL_OK;
}

/* Blocks: any bytes that are, where they are the upper one of a scale in F16, below 1. */
static void fill_weights(const bench *b, void *data)
{
    const fil_bench_linear_desc *d     = &b->d;
    const size_t                 bytes = (size_t)d->n * row_bytes(weight_type(b), d->k);
    if (!fili_dequant_has(d->weights)) {
        fili_bench_normal(d->seed, 2, weight_type(b), data, d->n * d->k, 1.0f / sqrtf((float)d->k));
        return;
    }
    for (size_t i = 0; i < bytes; i++)
        ((unsigned char *)data)[i] = fili_philox_u32(d->seed, 2, i) & 0x37;
}

static fil_status fill(bench *b, void **data)
{
    const fil_bench_linear_desc *d   = &b->d;
    const filk_plan_ops         *ops = b->run.call[0].row->plan;
    fili_bench_normal(d->seed, 1, d->dtype, data[X], d->m * d->k, 1.0f);
    fill_weights(b, data[WEIGHT]);
    fili_bench_normal(d->seed, 3, d->dtype, data[BIAS], d->n, 1.0f);
    fili_bench_normal(d->seed, 4, FIL_F32, data[GATE], d->n, 1.0f);
    memset(data[OUT], 0, (size_t)d->m * (size_t)d->n * sizeof(float));
    b->args[1]      = (filk_linear_args){.x            = data[X],
                                         .weight       = data[WEIGHT],
                                         .weight_dtype = d->weights,
                                         .out          = data[OUT],
                                         .out_stride   = d->n};
    b->args[0]      = b->args[1];
    b->args[0].bias = data[BIAS];
    if (d->epilogue == FIL_BENCH_GATE) {
        b->args[0].gate            = data[GATE];
        b->args[0].residual        = data[OUT];
        b->args[0].residual_stride = d->n;
    }
    for (int i = 0; i < 2; i++) {
        b->run.call[i].workspace = data[SPACE];
        if (ops->packed_bytes(b->plan[i]) == 0) continue;
        FIL_TRY(ops->pack(b->ctx, b->plan[i], data[WEIGHT], data[PACKED + i], data[SPACE]));
        b->args[i].weight = data[PACKED + i];
    }
    return FIL_OK;
}

static fil_status bench_linear(bench *b, fil_bench_result *r)
{
    void *data[PIECES] = {NULL};
    set_problems(b);
    FIL_TRY(make_plans(b));
    FIL_TRY(take_memory(b, data));
    FIL_TRY(fill(b, data));
    b->run.loop        = fili_bench_loop(b->ctx, b->run.call[0].row, b->d.dtype);
    b->run.repetitions = b->d.repetitions;
    FIL_TRY(fili_bench_measure(b->ctx, &b->run));
    r->flops           = 2.0 * (double)b->d.m * (double)b->d.n * (double)b->d.k;
    r->n               = b->d.n;
    r->plain_seconds   = b->run.seconds[1];
    r->workspace_bytes = b->run.call[0].row->plan->workspace(b->plan[0]);
    r->memory_bytes    = b->arena.peak;
    fili_bench_fill(b->ctx, &b->run, r);
    return FIL_OK;
}

fil_status fil_bench_linear(fil_ctx *ctx, const fil_bench_linear_desc *desc,
                            fil_bench_result *result)
{
    FIL_CHECK(NULL, ctx != NULL, "fil_bench_linear: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, desc != NULL && result != NULL, "fil_bench_linear: %s is NULL",
              desc == NULL ? "desc" : "result");
    bench b = {.ctx = ctx};
    *result = (fil_bench_result){.kernel = NULL};
    FIL_TRY(take(&b, desc));
    const fil_status status = bench_linear(&b, result);
    for (int i = 0; i < 2; i++)
        if (b.plan[i] != NULL) b.run.call[0].row->plan->destroy(ctx, &b.plan[i]);
    fili_arena_fini(&b.arena);
    return status;
}
