/* kernel/cuda/pooling_runs.cu: means over runs of tokens (kernel/pooling.h).
 *
 * Bound by reading x once. One CTA takes one run; a thread takes 16 bytes of channels of one head
 * (or one element where that does not fit) and adds the run's tokens in order, eight loads in
 * flight. Sinks cut the run into pieces. Sums in f32, in the order of the tokens.
 */
#include "kernel/cuda/cuda_device.h"
#include "kernel/cuda/element.cuh"
#include "kernel/pooling.h"

namespace
{

#define THREADS 256
#define AHEAD   8

struct params {
    filk_pooling_args a;
    const int32_t    *offset;
    int32_t           heads, head_dim;
};

template <typename T, int VEC> struct __align__(sizeof(T) * VEC) piece
{
    T x[VEC];
};

template <typename T, int VEC>
__device__ inline void add_tokens(float (&sum)[VEC], const T *x, int64_t stride, int64_t begin,
                                  int64_t end)
{
    int64_t t = begin;
    for (; t + AHEAD <= end; t += AHEAD) {
        piece<T, VEC> p[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            p[i] = *reinterpret_cast<const piece<T, VEC> *>(x + (t + i) * stride);
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int v = 0; v < VEC; v++)
                sum[v] += widen(p[i].x[v]);
    }
    for (; t < end; t++) {
        const piece<T, VEC> p = *reinterpret_cast<const piece<T, VEC> *>(x + t * stride);
#pragma unroll
        for (int v = 0; v < VEC; v++)
            sum[v] += widen(p.x[v]);
    }
}

template <typename T, int VEC>
__global__ void __launch_bounds__(THREADS) pool(const __grid_constant__ params p)
{
    const int32_t run    = blockIdx.x;
    const int64_t begin  = p.offset[run];
    const int64_t end    = p.offset[run + 1];
    const int     pieces = p.head_dim / VEC;
    for (int i = threadIdx.x; i < p.heads * pieces; i += THREADS) {
        const int      h        = i / pieces;
        const int      d        = i % pieces * VEC;
        const T       *x        = static_cast<const T *>(p.a.x.data) + h * p.a.x.stride_h + d;
        const int32_t *sink     = p.a.sinks + h * p.a.sinks_stride_h;
        const int      n_sinks  = p.a.sinks != nullptr ? p.a.n_sinks : 0;
        float          sum[VEC] = {};
        int32_t        count    = (int32_t)(end - begin);
        int64_t        at       = begin;
        for (int s = 0; s < n_sinks && sink[s] < end; s++) {
            if (sink[s] < begin) continue;
            add_tokens<T, VEC>(sum, x, p.a.x.stride_n, at, sink[s]);
            at = sink[s] + 1;
            count--;
        }
        add_tokens<T, VEC>(sum, x, p.a.x.stride_n, at, end);
        const int64_t to = ((int64_t)run * p.heads + h) * p.head_dim + d;
#pragma unroll
        for (int v = 0; v < VEC; v++) {
            const float mean = count > 0 ? sum[v] / (float)count : 0.0f;
            if (p.a.out_f32 != nullptr) p.a.out_f32[to + v] = mean;
            if (p.a.out_bf16 != nullptr)
                p.a.out_bf16[to + v] = __bfloat16_as_ushort(__float2bfloat16_rn(mean));
        }
        if (d == 0 && p.a.count != nullptr && (h == 0 || p.a.count_stride_h != 0))
            p.a.count[h * p.a.count_stride_h + run] = count;
    }
}

template <typename T>
fil_status launch(filk_cuda_device *d, const filk_pooling_problem *p, const params &k)
{
    constexpr int        VEC  = 16 / sizeof(T);
    const filk_attn_view x    = k.a.x;
    const uintptr_t      bits = (uintptr_t)x.data | (uintptr_t)(x.stride_n * (int64_t)sizeof(T)) |
                           (uintptr_t)(x.stride_h * (int64_t)sizeof(T));
    filk_grid g;
    g.grid   = dim3((unsigned)p->m);
    g.block  = dim3(THREADS);
    g.shared = 0;
    if (bits % 16 == 0 && p->head_dim % VEC == 0)
        return filk_cuda_launch(&d->s, "pooling", pool<T, VEC>, g, k);
    return filk_cuda_launch(&d->s, "pooling, one by one", pool<T, 1>, g, k);
}

} // namespace

fil_status filk_cuda_pooling_run(void *device, const void *problem, const void *args,
                                 void *workspace)
{
    filk_cuda_device           *d = static_cast<filk_cuda_device *>(device);
    const filk_pooling_problem *p = static_cast<const filk_pooling_problem *>(problem);
    params                      k;
    (void)workspace;
    k.a                     = *static_cast<const filk_pooling_args *>(args);
    k.heads                 = p->heads;
    k.head_dim              = p->head_dim;
    const fil_status status = filk_cuda_table_of(d, p->offset, (size_t)p->m + 1, &k.offset);
    if (status != FIL_OK) return status;
    return p->dtype == FIL_BF16 ? launch<__nv_bfloat16>(d, p, k) : launch<float>(d, p, k);
}
