/* kernel/cuda/norm_rows.cu: LayerNorm with modulation or weights, and RMS norm with rotation
 * (kernel/norm.h), each in one pass over memory.
 *
 * A CTA takes rows from its own index on, by the grid's size, and keeps one row in registers: up to
 * four times eight elements a thread, with scale and shift beside them for all its rows. Rows that
 * do not fit, or are not on 16 bytes, are read again from memory for each sum. Sums in f32: of a
 * thread's elements, then over lanes, then over warps, in a fixed order.
 */
#include "kernel/cuda/cuda_device.h"
#include "kernel/cuda/element.cuh"
#include "kernel/norm.h"

namespace
{

#define MAX_WARPS 16
#define VEC       8

struct params {
    filk_norm_args a;
    int64_t        rows;
    int32_t        dim, head_dim, silu;
};

/* The sum over the CTA, in all threads. `space` is used by one call at a time: callers alternate
 * between two. */
__device__ inline float sum_of_block(float x, float *space)
{
    const int warps = blockDim.x >> 5;
#pragma unroll
    for (int i = 16; i > 0; i >>= 1)
        x += __shfl_xor_sync(0xffffffffu, x, i);
    if ((threadIdx.x & 31) == 0) space[threadIdx.x >> 5] = x;
    __syncthreads();
    float total = 0.0f;
    for (int w = 0; w < warps; w++)
        total += space[w];
    return total;
}

__device__ inline float inverse_root(float squares, int32_t n, float eps)
{
    return 1.0f / sqrtf(squares / (float)n + eps);
}

template <typename T> struct __align__(16) pieces_of
{
    T x[VEC];
};

template <typename T> __device__ inline void load8(float (&x)[VEC], const T *from)
{
    const pieces_of<T> p = *reinterpret_cast<const pieces_of<T> *>(from);
#pragma unroll
    for (int v = 0; v < VEC; v++)
        x[v] = widen(p.x[v]);
}

template <typename T> __device__ inline void store8(T *to, const float (&x)[VEC])
{
    pieces_of<T> p;
#pragma unroll
    for (int v = 0; v < VEC; v++)
        narrow(&p.x[v], x[v]);
    *reinterpret_cast<pieces_of<T> *>(to) = p;
}

/* y / (1 + exp(-y)): of -inf it is NaN, as in the formula. */
__device__ inline float silu_of(float y)
{
    return y / (1.0f + expf(-y));
}

/* Pairs (2i, 2i + 1) of eight elements from channel d on turn by the row's angles. */
__device__ inline void rotate8(float (&x)[VEC], const params &p, int64_t row, int32_t d)
{
    const int64_t at = row * (p.head_dim / 2) + d % p.head_dim / 2;
#pragma unroll
    for (int i = 0; i < VEC / 2; i++) {
        const float c  = p.a.cos[at + i];
        const float s  = p.a.sin[at + i];
        const float x0 = x[2 * i];
        const float x1 = x[2 * i + 1];
        x[2 * i]       = x0 * c - x1 * s;
        x[2 * i + 1]   = x0 * s + x1 * c;
    }
}

/* R pieces of eight elements a thread; piece r of thread t is channel 8 (t + r threads). */
template <filk_norm_kind KIND, typename TIn, typename TOut, int R>
__global__ void __launch_bounds__(MAX_WARPS * 32) norm_kept(const __grid_constant__ params p)
{
    __shared__ float space[2][MAX_WARPS];
    float            a[R][VEC], b[R][VEC];
    const float      n = (float)p.dim;
#pragma unroll
    for (int r = 0; r < R; r++) {
        const int d = VEC * (threadIdx.x + r * blockDim.x);
#pragma unroll
        for (int v = 0; v < VEC; v++) {
            a[r][v] = d < p.dim ? p.a.a[d + v] : 0.0f;
            b[r][v] = KIND != FILK_NORM_RMS && d < p.dim ? p.a.b[d + v] : 0.0f;
            if (KIND == FILK_NORM_MODULATED) a[r][v] += 1.0f;
        }
    }
    for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
        const TIn *x = static_cast<const TIn *>(p.a.x) + row * p.a.x_stride;
        TOut      *y = static_cast<TOut *>(p.a.out) + row * p.a.out_stride;
        float      k[R][VEC];
        float      sum  = 0.0f;
        float      mean = 0.0f;
#pragma unroll
        for (int r = 0; r < R; r++) {
            const int d = VEC * (threadIdx.x + r * blockDim.x);
#pragma unroll
            for (int v = 0; v < VEC; v++)
                k[r][v] = 0.0f;
            if (d < p.dim) load8(k[r], x + d);
        }
        if (KIND != FILK_NORM_RMS) {
#pragma unroll
            for (int r = 0; r < R; r++)
#pragma unroll
                for (int v = 0; v < VEC; v++)
                    sum += k[r][v];
            mean = sum_of_block(sum, space[0]) / n;
        }
        float squares = 0.0f;
#pragma unroll
        for (int r = 0; r < R; r++)
#pragma unroll
            for (int v = 0; v < VEC; v++) {
                const int d = VEC * (threadIdx.x + r * blockDim.x);
                k[r][v] -= mean;
                if (d < p.dim) squares += k[r][v] * k[r][v];
            }
        const float inverse = inverse_root(sum_of_block(squares, space[1]), p.dim, p.a.eps);
#pragma unroll
        for (int r = 0; r < R; r++) {
            const int d = VEC * (threadIdx.x + r * blockDim.x);
            if (d >= p.dim) continue;
#pragma unroll
            for (int v = 0; v < VEC; v++)
                k[r][v] = k[r][v] * inverse * a[r][v] + b[r][v];
            if (KIND == FILK_NORM_RMS && p.silu != 0) {
#pragma unroll
                for (int v = 0; v < VEC; v++)
                    k[r][v] = silu_of(k[r][v]);
            }
            if (KIND == FILK_NORM_RMS && p.a.cos != nullptr) rotate8(k[r], p, row, d);
            store8(y + d, k[r]);
        }
        /* The next row's first sum may not overtake the reading of this one's. */
        if (KIND == FILK_NORM_RMS) __syncthreads();
    }
}

/* Any width and alignment: a thread takes pairs of elements. */
template <filk_norm_kind KIND, typename TIn, typename TOut>
__global__ void __launch_bounds__(MAX_WARPS * 32) norm_any(const __grid_constant__ params p)
{
    __shared__ float space[2][MAX_WARPS];
    for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
        const TIn *x    = static_cast<const TIn *>(p.a.x) + row * p.a.x_stride;
        TOut      *y    = static_cast<TOut *>(p.a.out) + row * p.a.out_stride;
        float      sum  = 0.0f;
        float      mean = 0.0f;
        if (KIND != FILK_NORM_RMS) {
            for (int d = threadIdx.x; d < p.dim; d += blockDim.x)
                sum += widen(x[d]);
            mean = sum_of_block(sum, space[0]) / (float)p.dim;
        }
        float squares = 0.0f;
        for (int d = threadIdx.x; d < p.dim; d += blockDim.x) {
            const float c = widen(x[d]) - mean;
            squares += c * c;
        }
        const float inverse = inverse_root(sum_of_block(squares, space[1]), p.dim, p.a.eps);
        const bool  turns   = KIND == FILK_NORM_RMS && p.a.cos != nullptr;
        for (int d = 2 * threadIdx.x; d < p.dim; d += 2 * blockDim.x) {
            float     z[2] = {0.0f, 0.0f};
            const int n    = d + 1 < p.dim ? 2 : 1;
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (i >= n) continue;
                const float a = p.a.a[d + i];
                const float b = KIND != FILK_NORM_RMS ? p.a.b[d + i] : 0.0f;
                z[i]          = (widen(x[d + i]) - mean) * inverse;
                z[i]          = KIND == FILK_NORM_MODULATED ? z[i] * (1.0f + a) + b : z[i] * a + b;
                if (KIND == FILK_NORM_RMS && p.silu != 0) z[i] = silu_of(z[i]);
            }
            if (turns) {
                const int64_t at = row * (p.head_dim / 2) + d % p.head_dim / 2;
                const float   c  = p.a.cos[at];
                const float   s  = p.a.sin[at];
                const float   z0 = z[0];
                z[0]             = z0 * c - z[1] * s;
                z[1]             = z0 * s + z[1] * c;
            }
            narrow(y + d, z[0]);
            if (n > 1) narrow(y + d + 1, z[1]);
        }
        __syncthreads();
    }
}

/* CTAs that are in flight at once, and no more than there are rows. */
template <typename Kernel>
unsigned grid_for(const filk_cuda_stream *s, Kernel kernel, int threads, int64_t rows)
{
    int per_sm = 1;
    if (cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, kernel, threads, 0) != cudaSuccess)
        (void)cudaGetLastError();
    const int64_t most = (int64_t)(per_sm > 0 ? per_sm : 1) * s->sms;
    return (unsigned)(rows < most ? rows : most);
}

template <filk_norm_kind KIND, typename TIn, typename TOut, int R>
fil_status launch_kept(const filk_cuda_stream *s, const params &k)
{
    const int pieces = (k.dim + VEC - 1) / VEC;
    filk_grid g;
    g.block  = dim3((unsigned)(((pieces + R - 1) / R + 31) / 32 * 32));
    g.grid   = dim3(grid_for(s, norm_kept<KIND, TIn, TOut, R>, (int)g.block.x, k.rows));
    g.shared = 0;
    return filk_cuda_launch(s, "norm", norm_kept<KIND, TIn, TOut, R>, g, k);
}

template <filk_norm_kind KIND, typename TIn, typename TOut>
fil_status launch(const filk_cuda_stream *s, const params &k)
{
    const uintptr_t bits = (uintptr_t)k.a.x | (uintptr_t)k.a.out |
                           (uintptr_t)(k.a.x_stride * (int64_t)sizeof(TIn)) |
                           (uintptr_t)(k.a.out_stride * (int64_t)sizeof(TOut));
    const bool fits = bits % 16 == 0 && k.dim % VEC == 0 && k.head_dim % VEC == 0;
    if (fits && k.dim <= VEC * 256) return launch_kept<KIND, TIn, TOut, 1>(s, k);
    if (fits && k.dim <= VEC * 1024) return launch_kept<KIND, TIn, TOut, 2>(s, k);
    /* Two elements a thread: further warps would write nothing. Not timed on a GPU. */
    const int pairs   = (k.dim + 1) / 2;
    const int threads = pairs < 256 ? (pairs + 31) / 32 * 32 : 256;
    filk_grid g;
    g.block  = dim3((unsigned)threads);
    g.grid   = dim3(grid_for(s, norm_any<KIND, TIn, TOut>, threads, k.rows));
    g.shared = 0;
    return filk_cuda_launch(s, "norm, any width", norm_any<KIND, TIn, TOut>, g, k);
}

template <filk_norm_kind KIND>
fil_status launch_types(const filk_cuda_stream *s, const filk_norm_problem *p, const params &k)
{
    const bool in  = p->dtype == FIL_BF16;
    const bool out = p->out_dtype == FIL_BF16;
    if (in && out) return launch<KIND, __nv_bfloat16, __nv_bfloat16>(s, k);
    if (in) return launch<KIND, __nv_bfloat16, float>(s, k);
    if (out) return launch<KIND, float, __nv_bfloat16>(s, k);
    return launch<KIND, float, float>(s, k);
}

} // namespace

fil_status filk_cuda_norm_run(void *device, const void *problem, const void *args, void *workspace)
{
    const filk_cuda_device  *d = static_cast<const filk_cuda_device *>(device);
    const filk_norm_problem *p = static_cast<const filk_norm_problem *>(problem);
    params                   k;
    (void)workspace;
    k.a        = *static_cast<const filk_norm_args *>(args);
    k.rows     = p->rows;
    k.dim      = (int32_t)p->dim;
    k.head_dim = p->head_dim;
    k.silu     = p->silu;
    if (p->kind == FILK_NORM_MODULATED) return launch_types<FILK_NORM_MODULATED>(&d->s, p, k);
    if (p->kind == FILK_NORM_AFFINE) return launch_types<FILK_NORM_AFFINE>(&d->s, p, k);
    return launch_types<FILK_NORM_RMS>(&d->s, p, k);
}
