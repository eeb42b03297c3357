/* nn/biased.c: attention with a bias for each distance (biased.h).
 *
 * Both products of a head run in the family `linear`, whose rows are the fastest that the build
 * has: q k^T with k as the weight, p v with v transposed.
 */
#include <math.h>
#include <string.h>

#include "base/device.h"
#include "base/mem.h"
#include "base/pool.h"
#include "kernel/softmax.h"
#include "nn/biased.h"
#include "tensor/convert.h"

enum { MAX_DISTANCE = 128, LINE = 64, LINE_FLOATS = LINE / 4, MAX_N = 1 << 14 };

/* ---- buckets -------------------------------------------------------------------------------- */

int32_t fili_biased_bucket(int32_t distance, int32_t buckets)
{
    const int32_t half  = buckets / 2;
    const int32_t exact = half / 2;
    const int32_t base  = distance > 0 ? half : 0;
    const int32_t n     = distance > 0 ? distance : -distance;
    if (n < exact) return base + n;
    /* As the reference computes it: logarithms in f32, cut, not rounded. */
    const float   share = logf((float)n / (float)exact) / (float)log((double)MAX_DISTANCE / exact);
    const int32_t large = exact + (int32_t)(share * (float)(half - exact));
    return base + (large < half ? large : half - 1);
}

/* ---- opening -------------------------------------------------------------------------------- */

static size_t padded(size_t bytes)
{
    return (bytes + LINE - 1) & ~(size_t)(LINE - 1);
}

/* The pieces of a worker's memory, in this order. */
typedef struct worker_space {
    float *q, *k, *vt; /* [n, head_dim], [n, head_dim], [head_dim, n] */
    float *p;          /* [n, n] */
    float *o;          /* [n, head_dim] */
    float *bias;       /* [2 n - 1] */
    char  *matmul;
} worker_space;

static size_t lay_out(const fili_biased *b, char *base, worker_space *w)
{
    const size_t rows  = padded((size_t)b->n * (size_t)b->head_dim * sizeof(float));
    const size_t p     = padded((size_t)b->n * (size_t)b->n * sizeof(float));
    const size_t bias  = padded((2 * (size_t)b->n - 1) * sizeof(float));
    const size_t inner = b->logits[0].workspace > b->values[0].workspace ? b->logits[0].workspace
                                                                         : b->values[0].workspace;
    if (base != NULL)
        *w = (worker_space){.q      = (float *)(void *)base,
                            .k      = (float *)(void *)(base + rows),
                            .vt     = (float *)(void *)(base + 2 * rows),
                            .o      = (float *)(void *)(base + 3 * rows),
                            .p      = (float *)(void *)(base + 4 * rows),
                            .bias   = (float *)(void *)(base + 4 * rows + p),
                            .matmul = base + 4 * rows + p + bias};
    return 4 * rows + p + bias + padded(inner);
}

static fil_status open_products(fili_biased *b)
{
    const fili_matmul_shape logits = {
        .m = b->n, .n = b->n, .k = b->head_dim, .dtype = FIL_F32, .out_dtype = FIL_F32};
    const fili_matmul_shape values = {
        .m = b->n, .n = b->head_dim, .k = b->n, .dtype = FIL_F32, .out_dtype = FIL_F32};
    for (int32_t i = 0; i < b->n_workers; i++) {
        FIL_TRY(fili_matmul_open(&b->logits[i], b->ctx, &logits));
        FIL_TRY(fili_matmul_open(&b->values[i], b->ctx, &values));
    }
    return FIL_OK;
}

static fil_status take_tables(fili_biased *b)
{
    void        *block;
    const size_t n = (size_t)b->n_workers;
    FIL_TRY(fili_calloc(b->ctx, n, sizeof *b->logits, "encoder attention", &block));
    b->logits = block;
    FIL_TRY(fili_calloc(b->ctx, n, sizeof *b->values, "encoder attention", &block));
    b->values = block;
    FIL_TRY(fili_calloc(b->ctx, 2 * (size_t)b->n, sizeof(int32_t), "encoder attention", &block));
    b->bucket_of = block;
    for (int32_t i = 0; i < 2 * b->n - 1; i++)
        b->bucket_of[i] = fili_biased_bucket(i - (b->n - 1), b->buckets);
    return FIL_OK;
}

fil_status fili_biased_open(fili_biased *out, fil_ctx *ctx, const fili_biased_shape *shape)
{
    *out =
        (fili_biased){.ctx       = ctx,
                      .n         = shape->n,
                      .heads     = shape->heads,
                      .head_dim  = shape->head_dim,
                      .buckets   = shape->buckets,
                      .n_workers = ctx->n_threads < shape->heads ? ctx->n_threads : shape->heads};
    FIL_CHECK(ctx, shape->n >= 1 && shape->n <= MAX_N && shape->heads >= 1 && shape->head_dim >= 1,
              "encoder attention of %d rows, %d heads of %d", shape->n, shape->heads,
              shape->head_dim);
    FIL_CHECK(ctx, shape->buckets >= 4 && shape->buckets % 4 == 0 && shape->buckets <= 256,
              "%d buckets of distances; expected a multiple of 4 up to 256", shape->buckets);
    fil_status status = take_tables(out);
    /* Each plan runs inside a task, on that task's thread: it needs room for one, and no device,
     * which takes one thread at a time. */
    fili_device  *device    = ctx->device;
    const int32_t n_threads = ctx->n_threads;
    ctx->device             = NULL;
    ctx->n_threads          = 1;
    if (status == FIL_OK) status = open_products(out);
    ctx->device    = device;
    ctx->n_threads = n_threads;
    if (status != FIL_OK) {
        fili_biased_close(out);
        return status;
    }
    out->worker_bytes = lay_out(out, NULL, NULL);
    out->workspace    = out->worker_bytes * (size_t)n_threads;
    return FIL_OK;
}

void fili_biased_close(fili_biased *b)
{
    for (int32_t i = 0; i < b->n_workers; i++) {
        if (b->logits != NULL) fili_matmul_close(&b->logits[i]);
        if (b->values != NULL) fili_matmul_close(&b->values[i]);
    }
    fili_free(b->ctx, b->logits, (size_t)b->n_workers * sizeof *b->logits);
    fili_free(b->ctx, b->values, (size_t)b->n_workers * sizeof *b->values);
    fili_free(b->ctx, b->bucket_of, 2 * (size_t)b->n * sizeof(int32_t));
    *b = (fili_biased){.ctx = b->ctx};
}

/* ---- forward -------------------------------------------------------------------------------- */

typedef struct forward_state {
    const fili_biased      *b;
    const fili_biased_io   *io;
    const fili_convert_set *convert;
    filk_softmax_fn         softmax;
    char                   *workspace;
} forward_state;

static void gather(const forward_state *s, int64_t head, const worker_space *w)
{
    const fili_biased *b      = s->b;
    const int64_t      d      = b->head_dim;
    const int64_t      stride = d * b->heads;
    for (int64_t i = 0; i < b->n; i++) {
        const int64_t from = i * stride + head * d;
        memcpy(w->q + i * d, s->io->q + from, (size_t)d * sizeof(float));
        memcpy(w->k + i * d, s->io->k + from, (size_t)d * sizeof(float));
    }
    for (int64_t i = 0; i < b->n; i += LINE_FLOATS) {
        const int64_t end = i + LINE_FLOATS < b->n ? i + LINE_FLOATS : b->n;
        for (int64_t j = 0; j < d; j++)
            for (int64_t r = i; r < end; r++) /* about a cache line of vt */
                w->vt[j * b->n + r] = s->io->v[r * stride + head * d + j];
    }
    for (int64_t i = 0; i < 2 * b->n - 1; i++)
        w->bias[i] = s->io->bias[(int64_t)b->bucket_of[i] * b->heads + head];
}

static void scatter(const forward_state *s, int64_t head, const worker_space *w)
{
    const fili_biased *b    = s->b;
    const int64_t      d    = b->head_dim;
    const int64_t      size = s->io->out_dtype == FIL_BF16 ? 2 : 4;
    for (int64_t i = 0; i < b->n; i++)
        fili_convert_row(s->convert, s->io->out_dtype,
                         (char *)s->io->out + (i * b->heads + head) * d * size, FIL_F32,
                         w->o + i * d, (size_t)d);
}

static fil_status head_task(void *arg, int64_t head, int32_t worker)
{
    const forward_state *s = arg;
    const fili_biased   *b = s->b;
    worker_space         w = {.q = NULL};
    (void)lay_out(b, s->workspace + (size_t)worker * b->worker_bytes, &w);
    gather(s, head, &w);
    fil_status status = fili_matmul_run(&b->logits[worker], w.q, w.k, NULL, w.p, w.matmul);
    if (status != FIL_OK) return status;
    for (int32_t i = 0; i < b->n; i++)
        s->softmax(&(filk_softmax_row){.x     = w.p + (int64_t)i * b->n,
                                       .n     = b->n,
                                       .scale = 1.0f,
                                       .bias  = w.bias + (b->n - 1 - i)});
    status = fili_matmul_run(&b->values[worker], w.p, w.vt, NULL, w.o, w.matmul);
    if (status == FIL_OK) scatter(s, head, &w);
    return status;
}

fil_status fili_biased_forward(const fili_biased *b, const fili_biased_io *io, void *workspace)
{
    forward_state s = {.b         = b,
                       .io        = io,
                       .convert   = fili_convert_select(b->ctx->isa),
                       .softmax   = filk_softmax_select(b->ctx->isa),
                       .workspace = workspace};
    return fili_pool_run(b->ctx, "encoder attention", b->heads, head_task, &s);
}
