/* bench/bench_linear.c: linear on oneDNN in tiles against oneDNN alone, by shape and epilogue.
 *
 * One JSON object per line, one thread, bf16, M = 4096: our row with packed weights and with
 * weights in place; oneDNN alone for the whole product with a bias and nothing else; and oneDNN
 * alone with the epilogue as post-ops. The four alternate; medians. `slower` is our time over that
 * of oneDNN alone without an epilogue, minus 1; slower_than_post_ops: over oneDNN alone that does
 * the same. gate: residual f32, updated in place.
 * Usage: bench_linear [repetitions]
 */
#define _POSIX_C_SOURCE 200809L
#include <omp.h>
#include <string.h>

#include "bench_open_ctx.h"
#include "base/rng.h"
#include "kernel/linear.h"
#include "onednn_alone.h"
#include "tensor/convert.h"

enum { M = 4096, MAX_REPETITIONS = 101 };

typedef struct shape {
    int64_t n, k;
} shape;

typedef enum epilogue { NONE, GELU, SILU, GATE } epilogue;

static const char *const epilogue_names[] = {"none", "gelu", "silu", "gate"};

typedef struct data {
    uint16_t *x, *w;
    void     *out;
    float    *bias, *gate;
} data;

static void *need(size_t bytes)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (p == NULL) exit(1);
    memset(p, 0, bytes);
    return p;
}

static void fill(uint16_t *bf16, int64_t n, uint64_t stream)
{
    float chunk[4096];
    for (int64_t i = 0; i < n; i += 4096) {
        const int64_t left = n - i < 4096 ? n - i : 4096;
        fili_philox_normal(1, stream, (uint64_t)i, chunk, left);
        fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, bf16 + i, FIL_F32, chunk,
                         (size_t)left);
    }
}

/* ---- oneDNN alone --------------------------------------------------------------------------- */

static void append(dnnl_post_ops_t ops, epilogue e, const dnnl_memory_desc_t *row)
{
    if (e == GELU) alone_check(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_gelu_tanh, 0, 0));
    if (e == SILU) alone_check(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_swish, 1, 0));
    if (e != GATE) return;
    alone_check(dnnl_post_ops_append_binary(ops, dnnl_binary_mul, row));
    alone_check(dnnl_post_ops_append_sum(ops, 1));
}

static void open_alone(alone *a, const data *d, const shape *s, epilogue e, int f32_out)
{
    const dnnl_dims_t     x_dims    = {M, s->k};
    const dnnl_dims_t     w_dims    = {s->k, s->n};
    const dnnl_dims_t     w_strides = {1, s->k};
    const dnnl_dims_t     y_dims    = {M, s->n};
    const dnnl_dims_t     b_dims    = {1, s->n};
    dnnl_memory_desc_t    x;
    dnnl_memory_desc_t    any;
    dnnl_memory_desc_t    plain;
    dnnl_memory_desc_t    y;
    dnnl_memory_desc_t    b;
    dnnl_matmul_desc_t    desc;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t       ops;
    alone_open(a);
    alone_check(dnnl_memory_desc_init_by_tag(&x, 2, x_dims, dnnl_bf16, dnnl_ab));
    alone_check(dnnl_memory_desc_init_by_tag(&any, 2, w_dims, dnnl_bf16, dnnl_format_tag_any));
    alone_check(dnnl_memory_desc_init_by_strides(&plain, 2, w_dims, dnnl_bf16, w_strides));
    alone_check(
        dnnl_memory_desc_init_by_tag(&y, 2, y_dims, f32_out ? dnnl_f32 : dnnl_bf16, dnnl_ab));
    alone_check(dnnl_memory_desc_init_by_tag(&b, 2, b_dims, dnnl_f32, dnnl_ab));
    alone_check(dnnl_matmul_desc_init(&desc, &x, &any, &b, &y));
    alone_check(dnnl_primitive_attr_create(&attr));
    alone_check(dnnl_post_ops_create(&ops));
    append(ops, e, &b);
    alone_check(dnnl_primitive_attr_set_post_ops(attr, ops));
    alone_build(a, &desc, attr, &plain, d->w);
    alone_arg(a, DNNL_ARG_SRC, &x, d->x);
    alone_arg(a, DNNL_ARG_BIAS, &b, d->bias);
    alone_arg(a, DNNL_ARG_DST, &y, d->out);
    if (e == GATE) alone_arg(a, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, &b, d->gate);
    dnnl_post_ops_destroy(ops);
    dnnl_primitive_attr_destroy(attr);
}

/* ---- our row -------------------------------------------------------------------------------- */

typedef struct ours {
    fil_ctx             *ctx;
    const filk_plan_ops *ops;
    void                *plan, *packed, *workspace;
    filk_linear_args     args;
} ours;

static void check(const ours *o, fil_status status)
{
    if (status == FIL_OK) return;
    fprintf(stderr, "bench_linear: %s\n", fil_ctx_error(o->ctx)->message);
    exit(1);
}

static void open_ours(ours *o, fil_ctx *ctx, const data *d, const shape *s, epilogue e, int packed)
{
    static const filk_activation acts[] = {FILK_ACT_NONE, FILK_ACT_GELU_TANH, FILK_ACT_SILU,
                                           FILK_ACT_NONE};
    const filk_linear_problem    p      = {.m          = M,
                                           .n          = s->n,
                                           .k          = s->k,
                                           .dtype      = FIL_BF16,
                                           .out_dtype  = e == GATE ? FIL_F32 : FIL_BF16,
                                           .bias_dtype = FIL_F32,
                                           .act        = acts[e],
                                           .x_stride   = s->k,
                                           .packed     = packed};
    const filk_row              *row;
    *o = (ours){.ctx = ctx};
    check(o, filk_select(ctx, &filk_linear, &p, NULL, &row));
    o->ops = row->plan;
    check(o, o->ops->create(ctx, &p, &o->plan));
    o->workspace = need(o->ops->workspace(o->plan));
    o->packed    = need(o->ops->packed_bytes(o->plan) + 64);
    if (packed) check(o, o->ops->pack(ctx, o->plan, d->w, o->packed, o->workspace));
    o->args = (filk_linear_args){.x               = d->x,
                                 .weight          = packed ? o->packed : (void *)d->w,
                                 .bias            = d->bias,
                                 .gate            = e == GATE ? d->gate : NULL,
                                 .residual        = e == GATE ? d->out : NULL,
                                 .residual_stride = s->n,
                                 .out             = d->out,
                                 .out_stride      = s->n};
}

static void close_ours(ours *o)
{
    o->ops->destroy(o->ctx, &o->plan);
    free(o->packed);
    free(o->workspace);
}

static void measure(fil_ctx *ctx, const data *d, const shape *s, epilogue e, int repetitions)
{
    double t[4][MAX_REPETITIONS];
    ours   o[2];
    alone  a[2];
    for (int packed = 0; packed < 2; packed++)
        open_ours(&o[packed], ctx, d, s, e, packed);
    open_alone(&a[0], d, s, NONE, e == GATE);
    open_alone(&a[1], d, s, e, e == GATE);
    for (int r = -1; r < repetitions; r++) /* -1 warms up */
        for (int what = 0; what < 4; what++) {
            const double start = seconds_now();
            if (what < 2)
                check(&o[what],
                      o[what].ops->run(ctx, o[what].plan, &o[what].args, o[what].workspace));
            else
                alone_run(&a[what - 2]);
            if (r >= 0) t[what][r] = seconds_now() - start;
        }
    double m[4];
    for (int what = 0; what < 4; what++)
        m[what] = median(t[what], (size_t)repetitions);
    const double tflop = 2e-12 * (double)M * (double)s->n * (double)s->k;
    printf("{\"bench\":\"linear\",\"m\":%d,\"n\":%lld,\"k\":%lld,\"epilogue\":\"%s\","
           "\"threads\":1,\"seconds\":%.6f,\"in_place_seconds\":%.6f,\"alone_seconds\":%.6f,"
           "\"post_ops_seconds\":%.6f,\"tflops\":%.4f,\"alone_tflops\":%.4f,\"slower\":%.4f,"
           "\"in_place_slower\":%.4f,\"post_ops_slower\":%.4f,\"slower_than_post_ops\":%.4f}\n",
           (int)M, (long long)s->n, (long long)s->k, epilogue_names[e], m[1], m[0], m[2], m[3],
           tflop / m[1], tflop / m[2], m[1] / m[2] - 1, m[0] / m[2] - 1, m[3] / m[2] - 1,
           m[1] / m[3] - 1);
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        close_ours(&o[i]);
        alone_close(&a[i]);
    }
}

int main(int argc, char **argv)
{
    static const shape shapes[]    = {{1536, 1536}, {8960, 1536}, {1536, 8960}, {5120, 5120}};
    int                repetitions = 0;
    fil_ctx           *ctx         = NULL;
    const int          failed = begin_bench(argc, argv, 7, MAX_REPETITIONS, &repetitions, &ctx);
    if (failed != 0) return failed;
    omp_set_num_threads(1); /* for oneDNN alone */
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const shape *s = &shapes[i];
        data         d = {.x    = need((size_t)(M * s->k) * 2),
                          .w    = need((size_t)(s->n * s->k) * 2),
                          .out  = need((size_t)(M * s->n) * 4),
                          .bias = need((size_t)s->n * 4),
                          .gate = need((size_t)s->n * 4)};
        fill(d.x, M * s->k, 1);
        fill(d.w, s->n * s->k, 2);
        for (int e = 0; e < 4; e++)
            measure(ctx, &d, s, (epilogue)e, repetitions);
        free(d.gate);
        free(d.bias);
        free(d.out);
        free(d.w);
        free(d.x);
    }
    fil_ctx_close(&ctx);
    return 0;
}
