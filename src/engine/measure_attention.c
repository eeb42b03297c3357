/* engine/measure_attention.c: fil_bench_attention: sparse against dense attention against the peak.
 *
 * All heads have sinks of one list, spread evenly. The tail's keys and values are normal with the
 * deviation of a mean of 64: pooling them is another kernel and is not timed here. Logits are those
 * of normal q and k with scale 1 / sqrt(D), so the softmax is flat, as it is for no real model; the
 * time of these kernels does not depend on it but for a rare rescale.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/measure_mask.h"
#include "engine/measure_run.h"
#include "kernel/attention.h"
#include "sparse/mask_file.h"

typedef struct bench {
    fil_ctx                 *ctx;
    fil_bench_attention_desc d;
    fili_mask_file           file; /* closed if there is none */
    fili_arena               arena;

    int64_t  frames;
    int32_t  sparse; /* 1: there is a mask */
    int32_t *offset;
    int32_t *sinks;

    filk_attn_problem problem[2]; /* as asked for; dense */
    filk_attn_args    args[2];
    fili_mask         mask; /* bits in the arena */
    fili_bench_run    run;
} bench;

void fil_bench_attention_desc_init(fil_bench_attention_desc *desc)
{
    *desc = (fil_bench_attention_desc){.struct_size = (uint32_t)sizeof *desc,
                                       .n           = 4096,
                                       .heads       = 2,
                                       .head_dim    = 128,
                                       .dtype       = FIL_BF16,
                                       .density     = 1.0};
}

/* ---- options -------------------------------------------------------------------------------- */

static fil_status take(bench *b, const fil_bench_attention_desc *desc)
{
    fil_ctx                  *ctx = b->ctx;
    fil_bench_attention_desc *d   = &b->d;
    fil_bench_attention_desc_init(d);
    FIL_TRY(fili_bench_take(ctx, "fil_bench_attention_desc", d, sizeof *d, desc));
    if (d->n == 0 && d->mask_file == NULL) d->n = 4096;
    if (d->heads == 0) d->heads = 2;
    if (d->head_dim == 0) d->head_dim = 128;
    FIL_CHECK(ctx, d->density > 0.0 && d->density <= 1.0,
              "density is %g; expected a number above 0 and at most 1", d->density);
    FIL_CHECK(ctx, d->dtype == FIL_BF16 || d->dtype == FIL_F32, "dtype is %s; expected BF16 or F32",
              fil_dtype_name(d->dtype));
    FIL_TRY(fili_bench_range(ctx, "heads", d->heads, 1, 4096));
    FIL_CHECK(ctx, d->head_dim == 64 || d->head_dim == 128, "head_dim is %d; expected 64 or 128",
              d->head_dim);
    FIL_TRY(fili_bench_range(ctx, "mask", d->mask, FIL_BENCH_RANDOM, FIL_BENCH_FRAMES));
    FIL_TRY(fili_bench_range(ctx, "tail", d->tail, 0, 1));
    FIL_TRY(fili_bench_range(ctx, "sinks", d->sinks, 0, FILK_MAX_SINKS));
    return fili_bench_range(ctx, "repetitions", d->repetitions, 0, FILI_BENCH_REPETITIONS);
}

static fil_status open_file(bench *b)
{
    fil_ctx *ctx = b->ctx;
    if (b->d.mask_file == NULL) return FIL_OK;
    FIL_TRY(fili_mask_file_open(&b->file, ctx, b->d.mask_file));
    if (b->d.n != 0 && b->d.n != b->file.n)
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "the mask file is for %d tokens; expected %lld",
                        b->file.n, (long long)b->d.n);
    if (b->file.heads != 1 && b->file.heads != b->d.heads)
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "the mask file is for %d heads; expected %d",
                        b->file.heads, b->d.heads);
    if (b->file.q.m != b->file.k.m || memcmp(b->file.q.offset, b->file.k.offset,
                                             sizeof(int32_t) * ((size_t)b->file.q.m + 1)) != 0)
        return FIL_FAIL(
            ctx, FIL_E_MISMATCH,
            "the mask file cuts queries and keys differently; expected the same blocks");
    b->d.n = b->file.n;
    return FIL_OK;
}

/* ---- problem -------------------------------------------------------------------------------- */

static void set_problem(bench *b)
{
    const fil_bench_attention_desc *d = &b->d;

    const int32_t m =
        b->d.mask_file != NULL ? b->file.q.m : fili_bench_offsets(d->n, b->frames, NULL);
    b->problem[1]           = (filk_attn_problem){.nq       = d->n,
                                                  .nk       = d->n,
                                                  .heads    = d->heads,
                                                  .kv_heads = d->heads,
                                                  .head_dim = d->head_dim,
                                                  .dtype    = d->dtype,
                                                  .mq       = m,
                                                  .mk       = m};
    b->problem[0]           = b->problem[1];
    b->problem[0].max_sinks = d->sinks;
    b->problem[0].has_tail  = d->tail;
    const int32_t shared    = b->d.mask_file != NULL && b->file.heads == 1;
    b->mask                 = (fili_mask){.ctx   = b->ctx,
                                          .heads = shared ? 1 : d->heads,
                                          .mq    = m,
                                          .mk    = m,
                                          .words = fili_mask_words(m)};
}

static fil_status choose(bench *b)
{
    const filk_row *row;
    FIL_TRY(filk_select(b->ctx, &filk_attention, &b->problem[0], b->d.kernel, &row));
    b->run.call[0].row = row;
    if (!b->sparse) return FIL_OK;
    return filk_select(b->ctx, &filk_attention, &b->problem[1], row->name, &b->run.call[1].row);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Both problems have their offsets by now: workspace depends on the length of every run. */
static size_t workspace_bytes(const bench *b)
{
    size_t most = 1;
    for (int i = 0; i < 2; i++) {
        const filk_row *row = b->run.call[i].row;
        if (row == NULL) continue;
        const size_t bytes = row->workspace(&b->problem[i], b->ctx->n_threads);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* The pieces in the order in which they are taken. */
typedef struct piece {
    void **to;
    size_t count, size;
} piece;

enum { MAX_PIECES = 16 };

static int32_t list_pieces(bench *b, void **data, piece *pieces)
{
    const fil_bench_attention_desc *d = &b->d;

    const size_t el     = fil_dtype_bits(d->dtype) / 8;
    const size_t rows   = (size_t)d->n * (size_t)d->heads;
    const size_t blocks = (size_t)b->mask.mk * (size_t)d->heads;
    const size_t D      = (size_t)d->head_dim * el;
    const size_t words  = (size_t)b->mask.heads * (size_t)b->mask.mq * (size_t)b->mask.words;
    const piece  all[]  = {
          {&data[0], rows, D}, /* q, k, v, out */
          {&data[1], rows, D},
          {&data[2], rows, D},
          {&data[3], rows, D},
          {&data[4], rows, sizeof(float)},                               /* lse */
          {&data[5], b->sparse ? words : 0, sizeof(uint32_t)},           /* mask */
          {&data[6], d->tail ? blocks : 0, D},                           /* tail_k, tail_v */
          {&data[7], d->tail ? blocks : 0, D},                           /* */
          {&data[8], d->tail ? (size_t)b->mask.mk : 0, sizeof(int32_t)}, /* tail_count */
          {&data[9], (size_t)d->sinks, sizeof(int32_t)},
          {&data[10], workspace_bytes(b), 1},
    };
    memcpy(pieces, all, sizeof all);
    return (int32_t)(sizeof all / sizeof all[0]);
}

static fil_status take_memory(bench *b, void **data)
{
    piece   pieces[MAX_PIECES];
    size_t  bytes = 0;
    int32_t n     = list_pieces(b, data, pieces);
    for (int32_t i = 0; i < n; i++)
        fili_bench_plan(&bytes, pieces[i].count, pieces[i].size);
    FIL_TRY(fili_bench_fix(b->ctx, &b->arena, bytes));
    for (int32_t i = 0; i < n; i++)
        FIL_TRY(fili_bench_piece(&b->arena, pieces[i].count, pieces[i].size, pieces[i].to));
    return FIL_OK;
}

/* ---- filling -------------------------------------------------------------------------------- */

static void fill_sinks(bench *b, int32_t *sinks)
{
    b->sinks = sinks;
    for (int32_t i = 0; i < b->d.sinks; i++)
        sinks[i] = (int32_t)((int64_t)i * b->d.n / b->d.sinks);
}

static void fill_tail(bench *b, void **data)
{
    const int64_t elements = (int64_t)b->mask.mk * b->d.heads * b->d.head_dim;
    int32_t      *count    = data[8];
    int32_t       s        = 0;
    fili_bench_normal(b->d.seed, 4, b->d.dtype, data[6], elements, 0.125f);
    fili_bench_normal(b->d.seed, 5, b->d.dtype, data[7], elements, 0.125f);
    for (int32_t i = 0; i < b->mask.mk; i++) {
        count[i] = b->offset[i + 1] - b->offset[i];
        for (; s < b->d.sinks && b->sinks[s] < b->offset[i + 1]; s++)
            count[i]--;
    }
}

static fil_status fill_mask(bench *b, void *bits)
{
    const size_t words = (size_t)b->mask.heads * (size_t)b->mask.mq * (size_t)b->mask.words;
    if (!b->sparse) return FIL_OK;
    b->mask.bits = bits;
    memset(bits, 0, words * sizeof(uint32_t));
    if (b->d.mask_file != NULL) return fili_mask_file_read(&b->file, 0, &b->mask);
    fili_bench_make_mask(&b->mask, b->d.mask, b->d.density, b->frames, b->offset, b->d.seed);
    return FIL_OK;
}

static filk_attn_view view_of(const bench *b, const void *data)
{
    return (filk_attn_view){
        .data = data, .stride_n = (int64_t)b->d.heads * b->d.head_dim, .stride_h = b->d.head_dim};
}

static void set_args(bench *b, void **data)
{
    const filk_attn_view q = view_of(b, data[0]);
    b->args[1]             = (filk_attn_args){.q            = q,
                                              .k            = view_of(b, data[1]),
                                              .v            = view_of(b, data[2]),
                                              .out          = data[3],
                                              .out_stride_n = q.stride_n,
                                              .out_stride_h = q.stride_h,
                                              .lse          = data[4],
                                              .scale        = 1.0f / sqrtf((float)b->d.head_dim)};
    b->args[0]             = b->args[1];
    b->args[0].mask        = b->mask.bits;
    b->args[0].mask_stride_h =
        b->mask.heads == 1 ? 0 : (int64_t)b->mask.mq * (int64_t)b->mask.words;
    b->args[0].sinks   = b->d.sinks > 0 ? b->sinks : NULL;
    b->args[0].n_sinks = b->d.sinks;
    if (!b->d.tail) return;
    b->args[0].tail_k     = view_of(b, data[6]);
    b->args[0].tail_v     = view_of(b, data[7]);
    b->args[0].tail_count = data[8];
}

static fil_status fill(bench *b, void **data)
{
    const int64_t elements = b->d.n * b->d.heads * b->d.head_dim;
    for (int i = 0; i < 3; i++) {
        FIL_TRY(fili_check_cancel(b->ctx));
        fili_bench_normal(b->d.seed, (uint64_t)i + 1, b->d.dtype, data[i], elements, 1.0f);
    }
    fill_sinks(b, data[9]);
    if (b->d.tail) fill_tail(b, data);
    FIL_TRY(fill_mask(b, data[5]));
    set_args(b, data);
    for (int i = 0; i < 2; i++) {
        b->run.call[i].problem   = &b->problem[i];
        b->run.call[i].args      = &b->args[i];
        b->run.call[i].workspace = data[10];
    }
    return FIL_OK;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void set_result(bench *b, fil_bench_result *r)
{
    const double pairs = (double)b->d.n * (double)b->d.n * b->d.heads;
    double       density, work;
    fili_bench_density(&b->mask, b->offset, b->sinks, b->d.sinks, b->d.tail, &density, &work);
    *r                 = (fil_bench_result){.n            = b->d.n,
                                            .heads        = b->d.heads,
                                            .head_dim     = b->d.head_dim,
                                            .density      = density,
                                            .work         = work,
                                            .flops        = 4.0 * b->d.head_dim * pairs * density,
                                            .memory_bytes = b->arena.peak};
    r->workspace_bytes = b->run.call[0].row->workspace(&b->problem[0], b->ctx->n_threads);
    fili_bench_fill(b->ctx, &b->run, r);
    if (!b->sparse) return;
    r->dense_seconds     = b->run.seconds[1];
    r->dense_kernel      = b->run.call[1].row->name;
    r->sparse_efficiency = r->seconds > 0.0 ? density * r->dense_seconds / r->seconds : 0.0;
}

static fil_status take_offsets(bench *b, void **block, size_t *bytes)
{
    *bytes = sizeof(int32_t) * ((size_t)b->mask.mk + 1);
    if (b->d.mask_file != NULL) {
        b->offset = b->file.q.offset;
        *bytes    = 0;
    }
    if (*bytes == 0) return FIL_OK;
    FIL_TRY(fili_alloc(b->ctx, *bytes, "blocks of a measurement", block));
    b->offset = *block;
    fili_bench_offsets(b->d.n, b->frames, b->offset);
    return FIL_OK;
}

static fil_status measure(bench *b)
{
    void *data[MAX_PIECES] = {NULL};
    FIL_TRY(choose(b));
    FIL_TRY(take_memory(b, data));
    FIL_TRY(fill(b, data));
    b->run.loop        = fili_bench_loop(b->ctx, b->run.call[0].row, b->d.dtype);
    b->run.repetitions = b->d.repetitions;
    return fili_bench_measure(b->ctx, &b->run);
}

static fil_status bench_attention(bench *b, fil_bench_result *result)
{
    fil_status status;
    void      *block = NULL;
    size_t     bytes = 0;
    FIL_TRY_OR(done, open_file(b));
    FIL_TRY_OR(done, fili_bench_range(b->ctx, "n", b->d.n, 1, INT32_MAX));
    b->sparse = b->d.mask_file != NULL || b->d.density < 1.0;
    b->frames = b->sparse ? fili_bench_frames(b->d.mask, b->d.density, b->d.n) : 1;
    FIL_TRY_OR(done, fili_bench_range(b->ctx, "sinks", b->d.sinks, 0, b->d.n));
    set_problem(b);
    FIL_TRY_OR(done, take_offsets(b, &block, &bytes));
    b->problem[0].q_offset = b->problem[0].k_offset = b->offset;
    b->problem[1].q_offset = b->problem[1].k_offset = b->offset;
    FIL_TRY_OR(done, measure(b));
    set_result(b, result);
done:
    fili_arena_fini(&b->arena);
    if (b->d.mask_file != NULL) fili_mask_file_close(&b->file);
    fili_free(b->ctx, block, bytes);
    return status;
}

fil_status fil_bench_attention(fil_ctx *ctx, const fil_bench_attention_desc *desc,
                               fil_bench_result *result)
{
    FIL_CHECK(NULL, ctx != NULL, "fil_bench_attention: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, desc != NULL && result != NULL, "fil_bench_attention: %s is NULL",
              desc == NULL ? "desc" : "result");
    bench b = {.ctx = ctx};
    *result = (fil_bench_result){.kernel = NULL};
    FIL_TRY(take(&b, desc));
    return bench_attention(&b, result);
}
