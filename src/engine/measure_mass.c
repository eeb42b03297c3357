/* engine/measure_mass.c: fil_bench_mass: block mass against dense attention over the same tokens,
 * which is what a calibration would run anyway, and against the peak.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/measure_mask.h"
#include "engine/measure_run.h"
#include "kernel/mass.h"

typedef struct bench {
    fil_ctx            *ctx;
    fil_bench_mass_desc d;
    fili_arena          arena;
    filk_mass_problem   mass;
    filk_mass_args      mass_args;
    filk_attn_problem   dense;
    filk_attn_args      dense_args;
    fili_bench_run      run;
} bench;

void fil_bench_mass_desc_init(fil_bench_mass_desc *desc)
{
    *desc = (fil_bench_mass_desc){.struct_size = (uint32_t)sizeof *desc,
                                  .n           = 4096,
                                  .heads       = 2,
                                  .head_dim    = 128,
                                  .dtype       = FIL_BF16};
}

static fil_status take_mass(bench *b, const fil_bench_mass_desc *desc)
{
    fil_ctx             *ctx = b->ctx;
    fil_bench_mass_desc *d   = &b->d;
    fil_bench_mass_desc_init(d);
    FIL_TRY(fili_bench_take(ctx, "fil_bench_mass_desc", d, sizeof *d, desc));
    if (d->n == 0) d->n = 4096;
    if (d->heads == 0) d->heads = 2;
    if (d->head_dim == 0) d->head_dim = 128;
    FIL_TRY(fili_bench_range(ctx, "n", d->n, 1, INT32_MAX));
    FIL_TRY(fili_bench_range(ctx, "heads", d->heads, 1, 4096));
    FIL_CHECK(ctx, d->head_dim == 64 || d->head_dim == 128, "head_dim is %d; expected 64 or 128",
              d->head_dim);
    FIL_TRY(fili_bench_range(ctx, "repetitions", d->repetitions, 0, FILI_BENCH_REPETITIONS));
    FIL_CHECK(ctx, d->dtype == FIL_BF16 || d->dtype == FIL_F32, "dtype is %s; expected BF16 or F32",
              fil_dtype_name(d->dtype));
    return FIL_OK;
}

static fil_status choose_mass(bench *b)
{
    const fil_bench_mass_desc *d = &b->d;
    const int32_t              m = fili_bench_offsets(d->n, 1, NULL);
    b->mass                      = (filk_mass_problem){.nq       = d->n,
                                                       .nk       = d->n,
                                                       .heads    = d->heads,
                                                       .kv_heads = d->heads,
                                                       .head_dim = d->head_dim,
                                                       .dtype    = d->dtype,
                                                       .mq       = m,
                                                       .mk       = m};
    b->dense                     = (filk_attn_problem){.nq       = d->n,
                                                       .nk       = d->n,
                                                       .heads    = d->heads,
                                                       .kv_heads = d->heads,
                                                       .head_dim = d->head_dim,
                                                       .dtype    = d->dtype,
                                                       .mq       = m,
                                                       .mk       = m};
    FIL_TRY(filk_select(b->ctx, &filk_mass, &b->mass, d->kernel, &b->run.call[0].row));
    return filk_select(b->ctx, &filk_attention, &b->dense, NULL, &b->run.call[1].row);
}

enum { M_Q, M_K, M_V, M_OUT, M_LSE, M_MASS, M_SPACE, M_PIECES };

/* Workspace of both kernels: each asks for its own, and the larger one serves. offset [m + 1]. */
static fil_status take_mass_memory(bench *b, int32_t *offset, void **data)
{
    const size_t row   = (size_t)b->d.head_dim * (fil_dtype_bits(b->d.dtype) / 8);
    const size_t rows  = (size_t)b->d.n * (size_t)b->d.heads;
    const size_t m     = (size_t)b->mass.mk;
    size_t       total = 0;
    fili_bench_offsets(b->d.n, 1, offset);
    b->mass.q_offset = b->mass.k_offset = offset;
    b->dense.q_offset = b->dense.k_offset = offset;
    const size_t x                 = b->run.call[0].row->workspace(&b->mass, b->ctx->n_threads);
    const size_t y                 = b->run.call[1].row->workspace(&b->dense, b->ctx->n_threads);
    const size_t size[M_PIECES][2] = {[M_Q]     = {rows, row},
                                      [M_K]     = {rows, row},
                                      [M_V]     = {rows, row},
                                      [M_OUT]   = {rows, row},
                                      [M_LSE]   = {rows, sizeof(float)},
                                      [M_MASS]  = {m * m * (size_t)b->d.heads, sizeof(float)},
                                      [M_SPACE] = {x > y ? x : y, 1}};
    for (int i = 0; i < M_PIECES; i++)
        fili_bench_plan(&total, size[i][0], size[i][1]);
    FIL_TRY(fili_bench_fix(b->ctx, &b->arena, total));
    for (int i = 0; i < M_PIECES; i++)
        FIL_TRY(fili_bench_piece(&b->arena, size[i][0], size[i][1], &data[i]));
    return FIL_OK;
}

static void fill_mass(bench *b, void **data)
{
    const fil_bench_mass_desc *d      = &b->d;
    const int64_t              stride = (int64_t)d->heads * d->head_dim;
    filk_attn_view             view[3];
    for (int i = 0; i < 3; i++) {
        fili_bench_normal(d->seed, (uint64_t)i + 1, d->dtype, data[i], d->n * stride, 1.0f);
        view[i] = (filk_attn_view){.data = data[i], .stride_n = stride, .stride_h = d->head_dim};
    }
    const float scale        = 1.0f / sqrtf((float)d->head_dim);
    b->dense_args            = (filk_attn_args){.q            = view[M_Q],
                                                .k            = view[M_K],
                                                .v            = view[M_V],
                                                .out          = data[M_OUT],
                                                .out_stride_n = stride,
                                                .out_stride_h = d->head_dim,
                                                .lse          = data[M_LSE],
                                                .scale        = scale};
    b->mass_args             = (filk_mass_args){.q       = view[M_Q],
                                                .k       = view[M_K],
                                                .scale   = scale,
                                                .lse_out = data[M_LSE],
                                                .mass    = data[M_MASS]};
    b->run.call[0].problem   = &b->mass;
    b->run.call[0].args      = &b->mass_args;
    b->run.call[0].workspace = data[M_SPACE];
    b->run.call[1].problem   = &b->dense;
    b->run.call[1].args      = &b->dense_args;
    b->run.call[1].workspace = data[M_SPACE];
}

static fil_status measure_mass(bench *b, int32_t *offset, fil_bench_result *r)
{
    void *data[M_PIECES] = {NULL};
    FIL_TRY(take_mass_memory(b, offset, data));
    fill_mass(b, data);
    b->run.loop        = fili_bench_loop(b->ctx, b->run.call[0].row, b->d.dtype);
    b->run.repetitions = b->d.repetitions;
    FIL_TRY(fili_bench_measure(b->ctx, &b->run));
    r->n               = b->d.n;
    r->heads           = b->d.heads;
    r->head_dim        = b->d.head_dim;
    r->density         = 1.0;
    r->work            = 1.0;
    r->flops           = 2.0 * b->d.head_dim * (double)b->d.n * (double)b->d.n * b->d.heads;
    r->dense_seconds   = b->run.seconds[1];
    r->dense_kernel    = b->run.call[1].row->name;
    r->workspace_bytes = b->run.call[0].row->workspace(&b->mass, b->ctx->n_threads);
    r->memory_bytes    = b->arena.peak;
    fili_bench_fill(b->ctx, &b->run, r);
    return FIL_OK;
}

fil_status fil_bench_mass(fil_ctx *ctx, const fil_bench_mass_desc *desc, fil_bench_result *result)
{
    FIL_CHECK(NULL, ctx != NULL, "fil_bench_mass: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, desc != NULL && result != NULL, "fil_bench_mass: %s is NULL",
              desc == NULL ? "desc" : "result");
    bench b      = {.ctx = ctx};
    void *offset = NULL;
    *result      = (fil_bench_result){.kernel = NULL};
    FIL_TRY(take_mass(&b, desc));
    FIL_TRY(choose_mass(&b));
    const size_t bytes = ((size_t)b.mass.mk + 1) * sizeof(int32_t);
    FIL_TRY(fili_alloc(ctx, bytes, "blocks of a measurement", &offset));
    const fil_status status = measure_mass(&b, offset, result);
    fili_arena_fini(&b.arena);
    fili_free(ctx, offset, bytes);
    return status;
}
