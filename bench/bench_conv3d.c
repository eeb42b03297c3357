/* bench/bench_conv3d.c: 3-D convolution on oneDNN by rows and time taps against oneDNN alone.
 *
 * One JSON object per line, one thread, bf16, causal 3x3x3 over the shapes of a video decoder: ours
 * with bias and residual, and oneDNN alone, ndhwc, bias, the whole clip with its two past frames in
 * one tensor. They alternate; medians. Usage: bench_conv3d [repetitions]
 */
#define _POSIX_C_SOURCE 200809L
#include <omp.h>
#include <string.h>

#include "bench_open_ctx.h"
#include "kernel/conv3d.h"
#include "onednn_alone.h"

enum { MAX_REPETITIONS = 101, MAX_T = 8 };

typedef struct shape {
    int32_t c_in, c_out, t, h, w;
} shape;

static char *need(size_t bytes)
{
    char *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (p == NULL) exit(1);
    memset(p, 0, bytes);
    return p;
}

/* Normal bf16 numbers around 1 of either sign: values do not matter, denormals would. */
static char *need_values(size_t n)
{
    char    *p = need(n * 2);
    uint32_t u = 1;
    for (size_t i = 0; i < n; i++) {
        u                = u * 1664525u + 1013904223u;
        const uint16_t v = (uint16_t)(0x3c00u | (u >> 16 & 0x80ffu));
        memcpy(p + i * 2, &v, 2);
    }
    return p;
}

static void open_alone(alone *a, const shape *s, char *const data[4])
{
    const dnnl_dims_t       x_dims  = {1, s->c_in, s->t + 2, s->h, s->w};
    const dnnl_dims_t       y_dims  = {1, s->c_out, s->t, s->h, s->w};
    const dnnl_dims_t       w_dims  = {s->c_out, s->c_in, 3, 3, 3};
    const dnnl_dims_t       b_dims  = {s->c_out};
    const dnnl_dims_t       strides = {1, 1, 1};
    const dnnl_dims_t       pad     = {0, 1, 1};
    dnnl_memory_desc_t      x;
    dnnl_memory_desc_t      any;
    dnnl_memory_desc_t      plain;
    dnnl_memory_desc_t      y;
    dnnl_memory_desc_t      b;
    dnnl_convolution_desc_t desc;
    alone_open(a);
    alone_check(dnnl_memory_desc_init_by_tag(&x, 5, x_dims, dnnl_bf16, dnnl_ndhwc));
    alone_check(dnnl_memory_desc_init_by_tag(&any, 5, w_dims, dnnl_bf16, dnnl_format_tag_any));
    alone_check(dnnl_memory_desc_init_by_tag(&plain, 5, w_dims, dnnl_bf16, dnnl_oidhw));
    alone_check(dnnl_memory_desc_init_by_tag(&y, 5, y_dims, dnnl_bf16, dnnl_ndhwc));
    alone_check(dnnl_memory_desc_init_by_tag(&b, 1, b_dims, dnnl_f32, dnnl_a));
    alone_check(dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference,
                                                   dnnl_convolution_direct, &x, &any, &b, &y,
                                                   strides, pad, pad));
    alone_build(a, &desc, NULL, &plain, data[1]);
    alone_arg(a, DNNL_ARG_SRC, &x, data[0]);
    alone_arg(a, DNNL_ARG_BIAS, &b, data[2]);
    alone_arg(a, DNNL_ARG_DST, &y, data[3]);
}

static void measure(fil_ctx *ctx, const shape *s, int repetitions)
{
    const filk_conv3d_problem p       = {.t          = {s->t + 2, 3, 1, 0, 0},
                                         .h          = {s->h, 3, 1, 1, 1},
                                         .w          = {s->w, 3, 1, 1, 1},
                                         .c_in       = s->c_in,
                                         .c_out      = s->c_out,
                                         .dtype      = FIL_BF16,
                                         .out_dtype  = FIL_BF16,
                                         .bias_dtype = FIL_F32};
    const size_t              in      = (size_t)s->h * (size_t)s->w * (size_t)s->c_in;
    const size_t              out     = (size_t)s->h * (size_t)s->w * (size_t)s->c_out;
    char *const               data[4] = {need_values(in * (size_t)(s->t + 2)),
                                         need_values((size_t)s->c_in * (size_t)s->c_out * 27),
                                         need((size_t)s->c_out * 4), need(out * (size_t)s->t * 2)};
    char                     *added   = need_values(out * (size_t)s->t);
    const void               *frames[MAX_T + 2];
    const void               *residual[MAX_T];
    void                     *outs[MAX_T];
    const filk_row           *row;
    void                     *plan = NULL;
    alone                     a;
    double                    t[2][MAX_REPETITIONS];
    if (filk_select(ctx, &filk_conv3d, &p, NULL, &row) != FIL_OK ||
        row->plan->create(ctx, &p, &plan) != FIL_OK)
        exit(1);
    char *packed    = need(row->plan->packed_bytes(plan));
    char *workspace = need(row->plan->workspace(plan));
    if (row->plan->pack(ctx, plan, data[1], packed, workspace) != FIL_OK) exit(1);
    for (int32_t i = 0; i < s->t + 2; i++)
        frames[i] = data[0] + (size_t)i * in * 2;
    for (int32_t i = 0; i < s->t; i++) {
        residual[i] = added + (size_t)i * out * 2;
        outs[i]     = data[3] + (size_t)i * out * 2;
    }
    const filk_conv3d_args args = {
        .frames = frames, .packed = packed, .bias = data[2], .residual = residual, .out = outs};
    open_alone(&a, s, data);
    for (int r = -1; r < repetitions; r++)
        for (int what = 0; what < 2; what++) {
            const double start = seconds_now();
            if (what == 1)
                alone_run(&a);
            else if (row->plan->run(ctx, plan, &args, workspace) != FIL_OK)
                exit(1);
            if (r >= 0) t[what][r] = seconds_now() - start;
        }
    const double ours  = median(t[0], (size_t)repetitions);
    const double other = median(t[1], (size_t)repetitions);
    const double tflop = 54e-12 * (double)in * s->t * s->c_out;
    printf("{\"bench\":\"conv3d\",\"kernel\":\"%s\",\"c_in\":%d,\"c_out\":%d,\"t\":%d,\"h\":%d,"
           "\"w\":%d,\"threads\":1,\"seconds\":%.6f,\"alone_seconds\":%.6f,\"tflops\":%.4f,"
           "\"alone_tflops\":%.4f,\"slower\":%.4f}\n",
           row->name, s->c_in, s->c_out, s->t, s->h, s->w, ours, other, tflop / ours, tflop / other,
           ours / other - 1);
    fflush(stdout);
    alone_close(&a);
    row->plan->destroy(ctx, &plan);
    free(workspace);
    free(packed);
    free(added);
    for (int i = 0; i < 4; i++)
        free(data[i]);
}

int main(int argc, char **argv)
{
    static const shape shapes[]    = {{384, 384, 3, 60, 104}, {192, 192, 1, 120, 208},
                                      {96, 96, 1, 240, 416},  {192, 384, 3, 60, 104},
                                      {16, 384, 3, 60, 104},  {96, 3, 1, 240, 416},
                                      {3, 96, 1, 240, 416}};
    int                repetitions = 0;
    fil_ctx           *ctx         = NULL;
    const int          failed = begin_bench(argc, argv, 5, MAX_REPETITIONS, &repetitions, &ctx);
    if (failed != 0) return failed;
    omp_set_num_threads(1); /* for oneDNN alone */
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        measure(ctx, &shapes[i], repetitions);
    fil_ctx_close(&ctx);
    return 0;
}
