/* kernel/cuda/elementwise.cu: the functions that touch data outside of the families
 * (kernel/device_rows.h). Of the transformer: looking for what is not finite, and adding a gated
 * coarse branch; both read their rows once, at 32,760 x 1,536 0.2 GB of f32, and three times 0.1 GB
 * of bf16. Of the autoencoder: types and doubling of frames, and the softmax of its attention.
 */
#include "kernel/cuda/cuda_device.h"
#include "kernel/cuda/element.cuh"

namespace
{

#define THREADS FILK_CUDA_THREADS

/* ---- what is not finite --------------------------------------------------------------------- */

struct search {
    const float        *x;
    int64_t             n, first; /* elements before `first` (0 to 3) are not on 16 bytes */
    unsigned long long *at;       /* n on entry */
};

__device__ inline bool is_nonfinite(float x)
{
    return (__float_as_uint(x) & 0x7f800000u) == 0x7f800000u;
}

__global__ void begin_search(unsigned long long *at, unsigned long long n)
{
    *at = n;
}

/* Four at a time from the first address on 16 bytes; the ends by CTA 0. */
__global__ void __launch_bounds__(THREADS) find_nonfinite(const __grid_constant__ search s)
{
    const int64_t fours = (s.n - s.first) / 4;
    const int64_t step  = (int64_t)gridDim.x * THREADS;
    const int64_t tail  = s.first + 4 * fours;
    int64_t       found = s.n;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < fours; i += step) {
        const float4 x    = reinterpret_cast<const float4 *>(s.x + s.first)[i];
        const float  v[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
        for (int j = 3; j >= 0; j--)
            if (is_nonfinite(v[j]) && s.first + 4 * i + j < found) found = s.first + 4 * i + j;
    }
    if (blockIdx.x == 0 && threadIdx.x < 8) {
        const int64_t i   = threadIdx.x < 4 ? (int64_t)threadIdx.x : tail + threadIdx.x - 4;
        const int64_t end = threadIdx.x < 4 ? s.first : s.n;
        if (i < end && is_nonfinite(s.x[i]) && i < found) found = i;
    }
    if (found < s.n) atomicMin(s.at, (unsigned long long)found);
}

/* ---- the gate ------------------------------------------------------------------------------- */

struct gated {
    const void    *gate;
    const float   *coarse;
    void          *out;
    const int32_t *offset;
    int64_t        cols;
};

/* A CTA is a run of rows that share a row of the coarse branch. */
template <typename T>
__global__ void __launch_bounds__(THREADS) gated_add(const __grid_constant__ gated g)
{
    const float  *coarse = g.coarse + (int64_t)blockIdx.x * g.cols;
    const int64_t begin  = g.offset[blockIdx.x];
    const int64_t end    = g.offset[blockIdx.x + 1];
    for (int64_t row = begin; row < end; row++)
        for (int64_t j = threadIdx.x; j < g.cols; j += THREADS) {
            const int64_t at   = row * g.cols + j;
            const float   gate = widen(static_cast<const T *>(g.gate)[at]);
            T            *out  = static_cast<T *>(g.out) + at;
            if (gate != 0.0f) narrow(out, widen(*out) + __fmul_rn(gate, coarse[j]));
        }
}

/* ---- frames of the autoencoder -------------------------------------------------------------- */

template <typename T>
__global__ void __launch_bounds__(THREADS) cast(const float *x, T *out, int64_t n)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        narrow(out + i, x[i]);
}

__global__ void __launch_bounds__(THREADS)
    double_frame(const float *from, float *to, const __grid_constant__ filk_double_problem p)
{
    const int64_t all  = (int64_t)p.h * p.w * p.c;
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < all; i += step) {
        const int64_t pixel                   = i / p.c;
        const int64_t y                       = 2 * (pixel / p.w) + p.part / 2;
        const int64_t x                       = 2 * (pixel % p.w) + p.part % 2;
        to[(y * 2 * p.w + x) * p.c + i % p.c] = from[i];
    }
}

/* ---- softmax -------------------------------------------------------------------------------- */

struct largest {
    __device__ static float join(float a, float b) { return fmaxf(a, b); }
};

struct total {
    __device__ static float join(float a, float b) { return a + b; }
};

/* Over the CTA, in a fixed order, in all threads; `space` is not in use when it begins. */
template <typename Op> __device__ inline float over_block(float x, float *space)
{
#pragma unroll
    for (int i = 16; i > 0; i >>= 1)
        x = Op::join(x, __shfl_xor_sync(0xffffffffu, x, i));
    __syncthreads();
    if ((threadIdx.x & 31) == 0) space[threadIdx.x >> 5] = x;
    __syncthreads();
    x = space[0];
    for (int w = 1; w < THREADS / 32; w++)
        x = Op::join(x, space[w]);
    return x;
}

/* A CTA takes a row: the maximum, the exponentials and their sum, the quotients. The maximum does
 * not see NaN; the sum does, and hands it to the whole row. */
__global__ void __launch_bounds__(THREADS) softmax_rows(float *x, int64_t n, float scale)
{
    __shared__ float space[THREADS / 32];
    float           *row  = x + (int64_t)blockIdx.x * n;
    float            most = -INFINITY;
    float            sum  = 0.0f;
    for (int64_t i = threadIdx.x; i < n; i += THREADS)
        most = fmaxf(most, row[i] * scale);
    most = over_block<largest>(most, space);
    for (int64_t i = threadIdx.x; i < n; i += THREADS) {
        const float e = expf(row[i] * scale - most);
        row[i]        = e;
        sum += e;
    }
    sum = over_block<total>(sum, space);
    for (int64_t i = threadIdx.x; i < n; i += THREADS)
        row[i] /= sum;
}

} // namespace

fil_status filk_cuda_cast_run(void *device, const void *problem, const void *args, void *workspace)
{
    const filk_cuda_device  *d = static_cast<const filk_cuda_device *>(device);
    const filk_cast_problem *p = static_cast<const filk_cast_problem *>(problem);
    const filk_cast_args    *a = static_cast<const filk_cast_args *>(args);
    const filk_grid          g = filk_cuda_grid(&d->s, p->n);
    (void)workspace;
    if (p->dtype == FIL_BF16)
        return filk_cuda_launch(&d->s, "cast", cast<__nv_bfloat16>, g, a->x,
                                static_cast<__nv_bfloat16 *>(a->out), p->n);
    return filk_cuda_launch(&d->s, "cast", cast<float>, g, a->x, static_cast<float *>(a->out),
                            p->n);
}

fil_status filk_cuda_double_run(void *device, const void *problem, const void *args,
                                void *workspace)
{
    const filk_cuda_device    *d = static_cast<const filk_cuda_device *>(device);
    const filk_double_problem *p = static_cast<const filk_double_problem *>(problem);
    const filk_double_args    *a = static_cast<const filk_double_args *>(args);
    (void)workspace;
    return filk_cuda_launch(&d->s, "double_frame", double_frame,
                            filk_cuda_grid(&d->s, (int64_t)p->h * p->w * p->c), a->from, a->to, *p);
}

fil_status filk_cuda_softmax_run(void *device, const void *problem, const void *args,
                                 void *workspace)
{
    const filk_cuda_device     *d = static_cast<const filk_cuda_device *>(device);
    const filk_softmax_problem *p = static_cast<const filk_softmax_problem *>(problem);
    const filk_softmax_args    *a = static_cast<const filk_softmax_args *>(args);
    filk_grid                   g;
    (void)workspace;
    g.grid   = dim3((unsigned)p->rows);
    g.block  = dim3(THREADS);
    g.shared = 0;
    return filk_cuda_launch(&d->s, "softmax_rows", softmax_rows, g, a->x, p->n, p->scale);
}

fil_status filk_cuda_find_nonfinite_run(void *device, const void *problem, const void *args,
                                        void *workspace)
{
    const filk_cuda_device  *d     = static_cast<const filk_cuda_device *>(device);
    const filk_find_problem *p     = static_cast<const filk_find_problem *>(problem);
    const filk_find_args    *a     = static_cast<const filk_find_args *>(args);
    const int64_t            off   = (int64_t)(reinterpret_cast<uintptr_t>(a->x) % 16 / 4);
    const int64_t            first = (4 - off) % 4;
    search                   s;
    filk_grid                g;
    (void)workspace;
    s.x      = a->x;
    s.n      = p->n;
    s.first  = first < p->n ? first : p->n;
    s.at     = reinterpret_cast<unsigned long long *>(a->at);
    g.grid   = dim3(1);
    g.block  = dim3(1);
    g.shared = 0;
    const fil_status status =
        filk_cuda_launch(&d->s, "begin_search", begin_search, g, s.at, (unsigned long long)p->n);
    if (status != FIL_OK || p->n == 0) return status;
    return filk_cuda_launch(&d->s, "find_nonfinite", find_nonfinite,
                            filk_cuda_grid(&d->s, p->n / 4 + 1), s);
}

fil_status filk_cuda_gated_add_run(void *device, const void *problem, const void *args,
                                   void *workspace)
{
    filk_cuda_device         *d = static_cast<filk_cuda_device *>(device);
    const filk_gated_problem *p = static_cast<const filk_gated_problem *>(problem);
    const filk_gated_args    *a = static_cast<const filk_gated_args *>(args);
    gated                     k;
    filk_grid                 g;
    (void)workspace;
    k.gate                  = a->gate;
    k.coarse                = a->coarse;
    k.out                   = a->out;
    k.cols                  = p->cols;
    g.grid                  = dim3((unsigned)p->m);
    g.block                 = dim3(THREADS);
    g.shared                = 0;
    const fil_status status = filk_cuda_table_of(d, p->offset, (size_t)p->m + 1, &k.offset);
    if (status != FIL_OK) return status;
    if (p->dtype == FIL_BF16)
        return filk_cuda_launch(&d->s, "gated_add", gated_add<__nv_bfloat16>, g, k);
    return filk_cuda_launch(&d->s, "gated_add", gated_add<float>, g, k);
}
