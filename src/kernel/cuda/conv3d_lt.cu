/* kernel/cuda/conv3d_lt.cu: 3-D convolutions (kernel/conv3d.h) as matrix products: windows of the
 * input are laid out as rows (conv_plan.h), some hundred MiB at a time, and multiplied by the row
 * for linear layers (linear_lt.cu), which adds bias, SiLU and residual in f32.
 *
 * A window of 27 taps is written and read 27 times as large as its pixels: at 96 channels in bf16
 * that is 2.1 GB each way for a frame of 832 x 480, 1.4 ms at 3 TB/s, beside 0.2 TFLOP.
 * One output frame at a time, so that frames of the past need not lie beside the new one.
 */
#include <cuda_bf16.h>
#include <stdlib.h>

#include "kernel/cuda/conv_plan.h"
#include "kernel/cuda/cuda_device.h"
#include "kernel/linear.h"

namespace
{

#define THREADS FILK_CUDA_THREADS
#define ALIGN   256

struct conv_plan {
    filk_conv3d_problem p;
    filk_im2col         s;
    void               *product[2]; /* of a chunk of rows, and of the rows that are left */
};

struct window {
    filk_im2col s;
    const void *frame[FILK_DEVICE_FRAMES];
    void       *to;
    int64_t     first, rows; /* output pixels */
};

/* ---- kernels -------------------------------------------------------------------------------- */

/* V elements of T at a time: channels are whole vectors then, so that one lies in one pixel. */
template <typename T, int V> struct __align__(sizeof(T) * V) vector_of
{
    T x[V];
};

template <typename T, int V>
__global__ void __launch_bounds__(THREADS) lay_out(const __grid_constant__ window w)
{
    /* A chunk has fewer than 2^31 elements (device_conv3d.c): 32 bits, whose divisions are short.
     */
    const uint32_t width = (uint32_t)(w.s.k_padded / V);
    const uint32_t all   = (uint32_t)w.rows * width;
    const uint32_t step  = gridDim.x * THREADS;
    for (uint32_t i = blockIdx.x * THREADS + threadIdx.x; i < all; i += step) {
        int64_t         at;
        vector_of<T, V> x;
#pragma unroll
        for (int v = 0; v < V; v++)
            x.x[v] = T(0.0f);
        const uint32_t row  = i / width;
        const int32_t  e    = (int32_t)(i - row * width) * V;
        const int32_t  f    = filk_im2col_from(&w.s, (int32_t)(w.first + row), e, &at);
        const T       *from = f < w.s.kt ? static_cast<const T *>(w.frame[f]) : nullptr;
        if (from != nullptr && at >= 0) x = *reinterpret_cast<const vector_of<T, V> *>(from + at);
        reinterpret_cast<vector_of<T, V> *>(w.to)[i] = x;
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS)
    reorder(const T *weight, T *packed, int64_t n, const __grid_constant__ filk_im2col s)
{
    const int64_t all  = n * s.k_padded;
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < all; i += step) {
        const int64_t e = i % s.k_padded;
        packed[i]       = e < s.k ? weight[filk_im2col_weight(&s, i / s.k_padded, e)] : T(0.0f);
    }
}

template <typename T> fil_status launch_windows(const filk_cuda_device *d, const window &w)
{
    constexpr int V    = 16 / sizeof(T);
    uintptr_t     bits = (uintptr_t)w.to;
    for (int32_t i = 0; i < w.s.kt; i++)
        bits |= (uintptr_t)w.frame[i];
    const int64_t all = w.rows * w.s.k_padded;
    if (w.s.c % V == 0 && bits % 16 == 0)
        return filk_cuda_launch(&d->s, "windows", lay_out<T, V>, filk_cuda_grid(&d->s, all / V), w);
    return filk_cuda_launch(&d->s, "windows, one by one", lay_out<T, 1>, filk_cuda_grid(&d->s, all),
                            w);
}

/* ---- plans ---------------------------------------------------------------------------------- */

int64_t size_of(fil_dtype dtype)
{
    return dtype == FIL_BF16 ? 2 : 4;
}

size_t matrix_bytes(const conv_plan *c)
{
    const int64_t bytes = c->s.chunk * c->s.k_padded * size_of(c->p.dtype);
    return (size_t)((bytes + ALIGN - 1) / ALIGN * ALIGN);
}

void destroy(void *device, void *plan)
{
    conv_plan *c = static_cast<conv_plan *>(plan);
    if (c == NULL) return;
    for (int i = 0; i < 2; i++)
        filk_cuda_linear.destroy(device, c->product[i]);
    free(c);
}

fil_status plan_product(void *device, conv_plan *c, int i, int64_t rows)
{
    filk_linear_problem p = {};
    if (rows == 0) return FIL_OK;
    p.m          = rows;
    p.n          = c->p.c_out;
    p.k          = c->s.k_padded;
    p.x_stride   = c->s.k_padded;
    p.dtype      = c->p.dtype;
    p.out_dtype  = FIL_F32;
    p.bias_dtype = c->p.bias_dtype;
    p.act        = c->p.silu ? FILK_ACT_SILU : FILK_ACT_NONE;
    p.packed     = 1;
    return filk_cuda_linear.create(device, &p, &c->product[i]);
}

fil_status create(void *device, const void *problem, void **plan)
{
    conv_plan *c = static_cast<conv_plan *>(calloc(1, sizeof *c));
    *plan        = NULL;
    if (c == NULL) return FIL_E_NOMEM;
    c->p              = *static_cast<const filk_conv3d_problem *>(problem);
    c->s              = filk_im2col_of(&c->p);
    fil_status status = plan_product(device, c, 0, c->s.chunk);
    if (status == FIL_OK && c->s.chunk > 0)
        status = plan_product(device, c, 1, c->s.pixels % c->s.chunk);
    if (status != FIL_OK) {
        destroy(device, c);
        return status;
    }
    *plan = c;
    return FIL_OK;
}

size_t workspace_bytes(const void *plan)
{
    const conv_plan *c    = static_cast<const conv_plan *>(plan);
    size_t           most = 0;
    for (int i = 0; i < 2; i++) {
        const size_t bytes =
            c->product[i] != NULL ? filk_cuda_linear.workspace(c->product[i]) : (size_t)0;
        if (bytes > most) most = bytes;
    }
    return matrix_bytes(c) + most;
}

/* Rows of k_padded elements: those that linear layers pack, as that is a multiple of 8. */
size_t packed_bytes(const void *plan)
{
    const conv_plan *c = static_cast<const conv_plan *>(plan);
    return (size_t)(c->p.c_out * c->s.k_padded * size_of(c->p.dtype));
}

fil_status pack(void *device, const void *plan, const void *weight, void *packed, void *workspace)
{
    const filk_cuda_device *d = static_cast<const filk_cuda_device *>(device);
    const conv_plan        *c = static_cast<const conv_plan *>(plan);
    const int64_t           n = c->p.c_out;
    const filk_grid         g = filk_cuda_grid(&d->s, n * c->s.k_padded);
    (void)workspace;
    if (c->p.dtype == FIL_BF16)
        return filk_cuda_launch(&d->s, "reorder", reorder<__nv_bfloat16>, g,
                                static_cast<const __nv_bfloat16 *>(weight),
                                static_cast<__nv_bfloat16 *>(packed), n, c->s);
    return filk_cuda_launch(&d->s, "reorder", reorder<float>, g, static_cast<const float *>(weight),
                            static_cast<float *>(packed), n, c->s);
}

fil_status multiply(void *device, const conv_plan *c, const filk_device_conv_args *a,
                    const window &w, void *workspace)
{
    const int64_t    at   = w.first * c->p.c_out;
    filk_linear_args args = {};
    args.x                = w.to;
    args.weight           = a->packed;
    args.bias             = a->bias;
    args.residual         = a->residual != NULL ? a->residual + at : NULL;
    args.residual_stride  = c->p.c_out;
    args.out              = a->out + at;
    args.out_stride       = c->p.c_out;
    return filk_cuda_linear.run(device, c->product[w.rows < c->s.chunk], &args, workspace);
}

fil_status run(void *device, const void *plan, const void *args, void *workspace)
{
    const filk_cuda_device      *d    = static_cast<const filk_cuda_device *>(device);
    const conv_plan             *c    = static_cast<const conv_plan *>(plan);
    const filk_device_conv_args *a    = static_cast<const filk_device_conv_args *>(args);
    char                        *rest = static_cast<char *>(workspace) + matrix_bytes(c);
    window                       w    = {};
    w.s                               = c->s;
    w.to                              = workspace;
    for (int32_t i = 0; i < c->s.kt; i++)
        w.frame[i] = a->frame[i];
    for (w.first = 0; w.first < c->s.pixels; w.first += c->s.chunk) {
        const int64_t left = c->s.pixels - w.first;
        w.rows             = left < c->s.chunk ? left : c->s.chunk;
        fil_status status  = c->p.dtype == FIL_BF16 ? launch_windows<__nv_bfloat16>(d, w)
                                                    : launch_windows<float>(d, w);
        if (status == FIL_OK) status = multiply(device, c, a, w, rest);
        if (status != FIL_OK) return status;
    }
    return FIL_OK;
}

} // namespace

const filk_device_plan filk_cuda_conv3d = {create,       destroy, workspace_bytes,
                                           packed_bytes, pack,    run};
