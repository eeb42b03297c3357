/* bench/bench_cuda.c: the rows of a CUDA device at the sizes of Wan, on memory of the device:
 * median and spread of repeated runs between two events of the device's stream. One JSON object a
 * line.
 *
 *     bench_cuda [FILTER]    cases whose "what" contains FILTER alone
 *
 * Data are normal random numbers: zeros would flatter, since they draw less power. Attention is
 * timed dense (every block) and at densities of random masks, lists included; its rate counts the
 * kept pairs of tokens alone. It compares nothing: the checkers in tests/kernel do.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/device.h"
#include "base/rng.h"
#include "kernel/attention.h"
#include "kernel/linear.h"
#include "kernel/mass.h"
#include "kernel/norm.h"
#include "kernel/pooling.h"
#include "kernel/select.h"
#include "tensor/convert.h"

enum { REPEATS = 15, WARM = 3, SEED_ELEMENTS = 1 << 20, MAX_BLOCKS = 64, D = 128 };

typedef struct bench {
    fil_ctx            *ctx;
    const fili_backend *b;
    void               *handle;
    void               *block[MAX_BLOCKS]; /* of the device, of the case at hand */
    int                 n_blocks;
    uint16_t           *half; /* normal numbers, reused for all tensors */
    float              *wide;
    const char         *filter;
} bench;

static void stop(const bench *b, const char *what)
{
    fprintf(stderr, "bench_cuda: %s: %s\n", what, b->b->error(b->handle));
    exit(1);
}

static void need(const bench *b, fil_status status, const char *what)
{
    if (status != FIL_OK) stop(b, what);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void *take(bench *b, size_t bytes)
{
    void *p = NULL;
    if (b->n_blocks == MAX_BLOCKS) abort();
    need(b, b->b->alloc(b->handle, bytes > 0 ? bytes : 1, &p), "memory");
    b->block[b->n_blocks++] = p;
    return p;
}

static void give_all(bench *b)
{
    need(b, b->b->sync(b->handle), "sync");
    while (b->n_blocks > 0)
        b->b->free(b->handle, b->block[--b->n_blocks]);
}

static void put(const bench *b, void *to, const void *from, size_t bytes)
{
    const fili_copy_rect r = {.dst       = to,
                              .src       = from,
                              .dst_pitch = bytes,
                              .src_pitch = bytes,
                              .row_bytes = bytes,
                              .rows      = 1,
                              .way       = FILI_COPY_TO_DEVICE};
    need(b, b->b->copy(b->handle, &r), "copy");
}

static void *upload(bench *b, const void *from, size_t bytes)
{
    void *p = take(b, bytes);
    put(b, p, from, bytes);
    need(b, b->b->sync(b->handle), "copy");
    return p;
}

static void *normal(bench *b, fil_dtype dtype, int64_t n)
{
    const size_t size = dtype == FIL_BF16 ? 2 : 4;
    char        *p    = take(b, (size_t)n * size);
    for (int64_t at = 0; at < n; at += SEED_ELEMENTS) {
        const int64_t left = n - at < SEED_ELEMENTS ? n - at : SEED_ELEMENTS;
        put(b, p + (size_t)at * size, dtype == FIL_BF16 ? (void *)b->half : (void *)b->wide,
            (size_t)left * size);
    }
    return p;
}

/* ---- timing --------------------------------------------------------------------------------- */

typedef struct timing {
    double median, least, most;
} timing;

typedef fil_status (*run_fn)(bench *b, const void *what);

static int by_value(const void *x, const void *y)
{
    const double a = *(const double *)x;
    const double c = *(const double *)y;
    return (a > c) - (a < c);
}

static timing time_it(bench *b, run_fn run, const void *what)
{
    double t[REPEATS];
    for (int i = 0; i < WARM; i++)
        need(b, run(b, what), "run");
    for (int i = 0; i < REPEATS; i++) {
        need(b, b->b->mark(b->handle, 0), "mark");
        need(b, run(b, what), "run");
        need(b, b->b->mark(b->handle, 1), "mark");
        need(b, b->b->between(b->handle, 0, 1, &t[i]), "mark");
    }
    qsort(t, REPEATS, sizeof t[0], by_value);
    return (timing){.median = t[REPEATS / 2], .least = t[0], .most = t[REPEATS - 1]};
}

typedef struct row_call {
    const filk_row *row;
    const void     *problem, *args;
    void           *workspace;
} row_call;

static fil_status run_row(bench *b, const void *what)
{
    const row_call *c = what;
    return c->row->run(b->ctx, c->problem, c->args, c->workspace);
}

static int wanted(const bench *b, const char *what)
{
    return b->filter == NULL || strstr(what, b->filter) != NULL;
}

static void report(const bench *b, const char *what, const char *row, const char *shape, timing t,
                   double flops, double bytes)
{
    printf("{\"bench\": \"cuda\", \"what\": \"%s\", \"kernel\": \"%s\", %s, \"device\": \"%s\", "
           "\"seconds\": %.6g, \"least\": %.6g, \"most\": %.6g, \"repeats\": %d",
           what, row, shape, fil_ctx_device(b->ctx), t.median, t.least, t.most, REPEATS);
    if (flops > 0) printf(", \"tflops\": %.1f", flops / t.median * 1e-12);
    if (bytes > 0) printf(", \"gbytes_per_second\": %.0f", bytes / t.median * 1e-9);
    printf("}\n");
    fflush(stdout);
}

/* Every row of the family that takes the problem on this device. */
static void time_rows(bench *b, const filk_family *family, const char *what, const char *shape,
                      const void *problem, const void *args, double flops, double bytes)
{
    char reason[FILK_REASON];
    for (int32_t i = 0; i < family->n_rows; i++) {
        row_call c = {.row = &family->rows[i], .problem = problem, .args = args};
        if (!fili_isa_is_device(c.row->isa) ||
            !filk_explain(b->ctx, family, c.row, problem, reason))
            continue;
        c.workspace = take(b, c.row->workspace(problem, 1));
        report(b, what, c.row->name, shape, time_it(b, run_row, &c), flops, bytes);
    }
}

/* ---- attention, mass ------------------------------------------------------------------------ */

static int32_t *runs_of(int64_t n, int32_t step, int32_t *m)
{
    *m              = (int32_t)((n + step - 1) / step);
    int32_t *offset = malloc(sizeof(int32_t) * (size_t)(*m + 1));
    if (offset == NULL) abort();
    for (int32_t i = 0; i <= *m; i++)
        offset[i] = (int64_t)i * step < n ? i * step : (int32_t)n;
    return offset;
}

/* Random rows of `keep` blocks; pairs of rows alike where `paired`. Kept pairs of tokens. */
static double random_mask(uint32_t *mask, int32_t heads, int32_t m, int32_t words, double density,
                          int paired, int64_t n)
{
    uint64_t next = 0;
    double   kept = 0.0;
    memset(mask, 0, sizeof(uint32_t) * (size_t)heads * (size_t)m * (size_t)words);
    for (int64_t r = 0; r < (int64_t)heads * m; r++) {
        uint32_t     *row = mask + r * words;
        const int32_t u   = (int32_t)(r % m);
        const double  q   = u == m - 1 ? (double)(n - 64 * (int64_t)(m - 1)) : 64.0;
        if (paired && u % 2 == 1) memcpy(row, row - words, sizeof(uint32_t) * (size_t)words);
        for (int32_t k = 0; k < m; k++) {
            if (!(paired && u % 2 == 1) && fili_philox_u32(7, 0, next++) < density * 4294967296.0)
                row[k / 32] |= 1u << (k % 32);
            if (row[k / 32] >> (k % 32) & 1u)
                kept += q * (k == m - 1 ? (double)(n - 64 * (int64_t)(m - 1)) : 64.0);
        }
    }
    return kept;
}

static void bench_attention(bench *b, int64_t n, int32_t heads, double density, int paired)
{
    int32_t           m;
    int32_t          *offset = runs_of(n, 64, &m);
    const int32_t     words  = (m + 31) / 32;
    filk_attn_problem p      = {.nq       = n,
                                .nk       = n,
                                .heads    = heads,
                                .kv_heads = heads,
                                .head_dim = D,
                                .dtype    = FIL_BF16,
                                .mq       = m,
                                .mk       = m,
                                .q_offset = offset,
                                .k_offset = offset};
    filk_attn_view    view   = {.stride_n = (int64_t)heads * D, .stride_h = D};
    filk_attn_args    a      = {.scale = 1.0f / sqrtf((float)D)};
    double            kept   = (double)n * (double)n * heads;
    char              shape[200];
    a.q = a.k = a.v = view;
    a.q.data        = normal(b, FIL_BF16, n * heads * D);
    a.k.data        = normal(b, FIL_BF16, n * heads * D);
    a.v.data        = normal(b, FIL_BF16, n * heads * D);
    a.out           = take(b, (size_t)(n * heads * D) * 2);
    a.out_stride_n  = view.stride_n;
    a.out_stride_h  = D;
    a.lse           = take(b, (size_t)(n * heads) * 4);
    if (density < 1.0) {
        const size_t bytes = sizeof(uint32_t) * (size_t)heads * (size_t)m * (size_t)words;
        uint32_t    *mask  = malloc(bytes);
        if (mask == NULL) abort();
        kept            = random_mask(mask, heads, m, words, density, paired, n);
        a.mask          = upload(b, mask, bytes);
        a.mask_stride_h = (int64_t)m * words;
        free(mask);
    }
    snprintf(shape, sizeof shape,
             "\"n\": %lld, \"heads\": %d, \"head_dim\": %d, \"density\": %.4f, \"paired_rows\": %s",
             (long long)n, heads, D, kept / ((double)n * (double)n * heads),
             paired ? "true" : "false");
    time_rows(b, &filk_attention, density < 1.0 ? "attention-sparse" : "attention-dense", shape, &p,
              &a, 4.0 * D * kept, 0.0);
    give_all(b);
    free(offset);
}

static void bench_mass(bench *b, int64_t n, int32_t heads)
{
    int32_t           m;
    int32_t          *offset = runs_of(n, 64, &m);
    filk_mass_problem p      = {.nq       = n,
                                .nk       = n,
                                .heads    = heads,
                                .kv_heads = heads,
                                .head_dim = D,
                                .dtype    = FIL_BF16,
                                .mq       = m,
                                .mk       = m,
                                .q_offset = offset,
                                .k_offset = offset};
    filk_mass_args    a      = {.scale = 1.0f / sqrtf((float)D)};
    char              shape[120];
    a.q.stride_n = a.k.stride_n = (int64_t)heads * D;
    a.q.stride_h = a.k.stride_h = D;
    a.q.data                    = normal(b, FIL_BF16, n * heads * D);
    a.k.data                    = normal(b, FIL_BF16, n * heads * D);
    a.mass                      = take(b, sizeof(float) * (size_t)heads * (size_t)m * (size_t)m);
    snprintf(shape, sizeof shape, "\"n\": %lld, \"heads\": %d, \"head_dim\": %d", (long long)n,
             heads, D);
    /* the product is made twice */
    time_rows(b, &filk_mass, "mass", shape, &p, &a, 4.0 * D * (double)n * (double)n * heads, 0.0);
    give_all(b);
    free(offset);
}

/* Scores of 16-token tiles and the tenth of the blocks that is kept: the whole way to mask bits. */
static void bench_select(bench *b, int64_t n, int32_t heads)
{
    int32_t             m, tiles;
    char                shape[120];
    int32_t            *runs = runs_of(n, 16, &tiles);
    int32_t            *of   = runs_of(tiles, 4, &m);
    filk_select_problem p    = {.kind     = FILK_SELECT_SOFTMAX,
                                .heads    = heads,
                                .kv_heads = heads,
                                .head_dim = D,
                                .tq       = tiles,
                                .tk       = tiles,
                                .mq       = m,
                                .mk       = m,
                                .q_tiles  = of,
                                .k_tiles  = of,
                                .keep     = m / 10};
    filk_select_args    a    = {.scale = 1.0f / sqrtf((float)D)};
    a.q                      = normal(b, FIL_F32, (int64_t)tiles * heads * D);
    a.k                      = normal(b, FIL_F32, (int64_t)tiles * heads * D);
    a.mask = take(b, sizeof(uint32_t) * (size_t)heads * (size_t)m * (size_t)((m + 31) / 32));
    snprintf(shape, sizeof shape, "\"n\": %lld, \"heads\": %d, \"keep\": %d", (long long)n, heads,
             p.keep);
    /* the product is made twice */
    time_rows(b, &filk_selection, "select", shape, &p, &a,
              4.0 * D * (double)tiles * (double)tiles * heads, 0.0);
    give_all(b);
    free(runs);
    free(of);
}

/* ---- what memory bounds --------------------------------------------------------------------- */

static void bench_pooling(bench *b, int64_t n, int32_t heads, int32_t run)
{
    filk_pooling_problem p      = {.n = n, .heads = heads, .head_dim = D, .dtype = FIL_BF16};
    filk_pooling_args    a      = {.x = {.stride_n = (int64_t)heads * D, .stride_h = D}};
    int32_t             *offset = runs_of(n, run, &p.m);
    char                 shape[120];
    p.offset  = offset;
    a.x.data  = normal(b, FIL_BF16, n * heads * D);
    a.out_f32 = take(b, sizeof(float) * (size_t)p.m * (size_t)heads * D);
    snprintf(shape, sizeof shape, "\"n\": %lld, \"heads\": %d, \"run\": %d", (long long)n, heads,
             run);
    time_rows(b, &filk_pooling, "pooling", shape, &p, &a, 0.0,
              (double)n * heads * D * 2 + (double)p.m * heads * D * 4);
    give_all(b);
    free(offset);
}

static void bench_norm(bench *b, int64_t rows, int64_t dim, filk_norm_kind kind)
{
    const int         rms = kind == FILK_NORM_RMS;
    filk_norm_problem p   = {.kind      = kind,
                             .rows      = rows,
                             .dim       = dim,
                             .dtype     = rms ? FIL_BF16 : FIL_F32,
                             .out_dtype = FIL_BF16,
                             .head_dim  = rms ? D : 0};
    filk_norm_args    a   = {.x_stride = dim, .out_stride = dim, .eps = 1e-6f};
    char              shape[120];
    a.x   = normal(b, p.dtype, rows * dim);
    a.out = take(b, (size_t)(rows * dim) * 2);
    a.a   = normal(b, FIL_F32, dim);
    a.b   = normal(b, FIL_F32, dim);
    if (rms) a.cos = normal(b, FIL_F32, rows * D / 2);
    if (rms) a.sin = normal(b, FIL_F32, rows * D / 2);
    snprintf(shape, sizeof shape, "\"rows\": %lld, \"dim\": %lld", (long long)rows, (long long)dim);
    const double each = (rms ? 2.0 : 4.0) + 2.0;
    time_rows(b, &filk_norm, rms ? "norm-rms-rope" : "norm-modulated", shape, &p, &a, 0.0,
              each * (double)rows * (double)dim + (rms ? 4.0 * (double)rows * D : 0.0));
    give_all(b);
}

/* ---- linear --------------------------------------------------------------------------------- */

typedef struct plan_call {
    const filk_plan_ops *ops;
    const void          *plan, *args;
    void                *workspace;
} plan_call;

static fil_status run_plan(bench *b, const void *what)
{
    const plan_call *c = what;
    return c->ops->run(b->ctx, c->plan, c->args, c->workspace);
}

static void time_linear(bench *b, const filk_row *row, const char *what, const char *shape,
                        const filk_linear_problem *p, filk_linear_args *a, const void *weight)
{
    void *plan = NULL;
    need(b, row->plan->create(b->ctx, p, &plan), "plan");
    void     *packed = take(b, row->plan->packed_bytes(plan));
    plan_call c      = {.ops       = row->plan,
                        .plan      = plan,
                        .args      = a,
                        .workspace = take(b, row->plan->workspace(plan))};
    need(b, row->plan->pack(b->ctx, plan, weight, packed, c.workspace), "pack");
    a->weight = packed;
    report(b, what, row->name, shape, time_it(b, run_plan, &c),
           2.0 * (double)p->m * (double)p->n * (double)p->k, 0.0);
    need(b, b->b->sync(b->handle), "sync");
    row->plan->destroy(b->ctx, &plan);
}

enum { EPILOGUE_BIAS, EPILOGUE_GELU, EPILOGUE_GATE };

static void bench_linear(bench *b, int64_t m, int64_t n, int64_t k, int epilogue)
{
    static const char  *names[] = {"linear-bias", "linear-gelu", "linear-gate-residual"};
    const int           gated   = epilogue == EPILOGUE_GATE;
    const int           gelu    = epilogue == EPILOGUE_GELU;
    filk_linear_problem p       = {.m          = m,
                                   .n          = n,
                                   .k          = k,
                                   .dtype      = FIL_BF16,
                                   .out_dtype  = gated ? FIL_F32 : FIL_BF16,
                                   .bias_dtype = FIL_BF16,
                                   .act        = gelu ? FILK_ACT_GELU_TANH : FILK_ACT_NONE,
                                   .x_stride   = k,
                                   .packed     = 1};
    filk_linear_args    a       = {.out_stride = n, .residual_stride = n};
    const void         *weight  = normal(b, FIL_BF16, n * k);
    char                shape[120];
    char                reason[FILK_REASON];
    a.x    = normal(b, FIL_BF16, m * k);
    a.bias = normal(b, FIL_BF16, n);
    a.out  = gated ? normal(b, FIL_F32, m * n) : take(b, (size_t)(m * n) * 2);
    if (gated) a.gate = normal(b, FIL_F32, n);
    if (gated) a.residual = a.out;
    snprintf(shape, sizeof shape, "\"m\": %lld, \"n\": %lld, \"k\": %lld", (long long)m,
             (long long)n, (long long)k);
    for (int32_t i = 0; i < filk_linear.n_rows; i++) {
        const filk_row *row = &filk_linear.rows[i];
        if (fili_isa_is_device(row->isa) && filk_explain(b->ctx, &filk_linear, row, &p, reason))
            time_linear(b, row, names[epilogue], shape, &p, &a, weight);
    }
    give_all(b);
}

/* ---- the list ------------------------------------------------------------------------------- */

static void all_attention(bench *b)
{
    if (wanted(b, "attention-dense")) {
        bench_attention(b, 16384, 16, 1.0, 0);
        bench_attention(b, 32760, 12, 1.0, 0);
        bench_attention(b, 75600, 5, 1.0, 0);
    }
    if (!wanted(b, "attention-sparse")) return;
    for (int paired = 0; paired < 2; paired++) {
        bench_attention(b, 32760, 12, 0.1, paired);
        bench_attention(b, 32760, 12, 0.2, paired);
        bench_attention(b, 75600, 10, 0.1, paired);
    }
}

static void all_memory(bench *b)
{
    if (wanted(b, "pooling")) {
        bench_pooling(b, 32760, 12, 64);
        bench_pooling(b, 32760, 12, 16);
        bench_pooling(b, 32760, 40, 64);
    }
    for (int64_t dim = 1536; dim <= 5120; dim += 5120 - 1536) {
        if (wanted(b, "norm-modulated")) bench_norm(b, 32760, dim, FILK_NORM_MODULATED);
        if (wanted(b, "norm-rms-rope")) bench_norm(b, 32760, dim, FILK_NORM_RMS);
    }
}

static void all_linear(bench *b)
{
    static const int64_t dims[][2] = {{1536, 8960}, {5120, 13824}};
    for (size_t i = 0; i < 2; i++) {
        const int64_t dim = dims[i][0];
        const int64_t ffn = dims[i][1];
        if (wanted(b, "linear-bias")) bench_linear(b, 32760, dim, dim, EPILOGUE_BIAS);
        if (wanted(b, "linear-gelu")) bench_linear(b, 32760, ffn, dim, EPILOGUE_GELU);
        if (wanted(b, "linear-gate-residual")) {
            bench_linear(b, 32760, dim, dim, EPILOGUE_GATE);
            bench_linear(b, 32760, dim, ffn, EPILOGUE_GATE);
        }
    }
}

int main(int argc, char **argv)
{
    bench       b = {.filter = argc > 1 ? argv[1] : NULL};
    fil_options opt;
    fil_options_init(&opt);
    opt.device = "cuda";
    if (fil_ctx_open(&b.ctx, &opt) != FIL_OK) {
        fprintf(stderr, "bench_cuda: %s; nothing was measured\n", fil_ctx_error(NULL)->message);
        return 0;
    }
    b.b      = b.ctx->device->backend;
    b.handle = b.ctx->device->handle;
    b.wide   = malloc(sizeof(float) * SEED_ELEMENTS);
    b.half   = malloc(sizeof(uint16_t) * SEED_ELEMENTS);
    if (b.wide == NULL || b.half == NULL) abort();
    fili_philox_normal(1, 1, 0, b.wide, SEED_ELEMENTS);
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, b.half, FIL_F32, b.wide,
                     SEED_ELEMENTS);
    all_linear(&b);
    all_memory(&b);
    all_attention(&b);
    if (wanted(&b, "mass")) bench_mass(&b, 32760, 12);
    if (wanted(&b, "select")) bench_select(&b, 32760, 12);
    if (wanted(&b, "select")) bench_select(&b, 75600, 40);
    free(b.wide);
    free(b.half);
    fil_ctx_close(&b.ctx);
    return 0;
}
