/* kernel/cuda/attn_fwd_sm90.cu: the Hopper row of attention forward, the host's side: tensor maps,
 * what must be prepared on the device (keys that count, gathered sinks, pooled keys), the launch.
 * The kernel is attn_fwd_sm90.cuh.
 */
#include <stdio.h>
#include <string.h>
#include <cuda_runtime.h>

#include "kernel/cuda/attn_fwd.h"
#include "kernel/cuda/attn_fwd_sm90.cuh"

namespace
{

using attn90::Maps;
using attn90::Params;

/* ---- preparation on the device --------------------------------------------------------------- */

struct Prepare {
    const int32_t *k_offset;
    const int32_t *sinks;
    int64_t        sinks_h;
    int32_t        n_sinks, kv_heads, mk, dim, groups;
    filk_attn_view k, v, tail_k, tail_v;
    const int32_t *count;
    int64_t        count_h;
    uint64_t      *lanes;
    uint16_t      *sink_k, *sink_v, *pool_k, *pool_v;
    float         *bias;
    uint32_t      *norm, *huge;
    int64_t        nk;
};

/* A thread per (kv head, run): its keys, without the sinks. */
__global__ void count_lanes(const Prepare a)
{
    const int64_t index = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= static_cast<int64_t>(a.kv_heads) * a.mk) return;
    const int      h     = static_cast<int>(index / a.mk);
    const int      b     = static_cast<int>(index % a.mk);
    const int      begin = a.k_offset[b], valid = a.k_offset[b + 1] - begin;
    uint64_t       lanes = valid >= 64 ? ~0ull : (1ull << valid) - 1;
    const int32_t *sinks = a.sinks + h * a.sinks_h;
    for (int i = 0; i < a.n_sinks; i++) {
        const int at = sinks[i] - begin;
        if (at >= 0 && at < valid) lanes &= ~(1ull << at);
    }
    a.lanes[index] = lanes;
}

__device__ uint16_t element(const filk_attn_view &view, int64_t token, int h, int d)
{
    return static_cast<const uint16_t *>(view.data)[token * view.stride_n + h * view.stride_h + d];
}

/* A block per (row of 64, kv head): the sinks' keys and values side by side, zeros behind. */
__global__ void gather_sinks(const Prepare a)
{
    const int     i = blockIdx.x, h = blockIdx.y, d = threadIdx.x;
    const int64_t to   = (static_cast<int64_t>(h) * 64 + i) * a.dim + d;
    const bool    has  = i < a.n_sinks;
    const int64_t from = has ? a.sinks[h * a.sinks_h + i] : 0;
    a.sink_k[to]       = has ? element(a.k, from, h, d) : 0;
    a.sink_v[to]       = has ? element(a.v, from, h, d) : 0;
}

/* A block per (pooled key, kv head): pooled rows that take part, zeros where none does. */
__global__ void gather_tail(const Prepare a)
{
    const int     b = blockIdx.x, h = blockIdx.y, d = threadIdx.x;
    const int64_t row         = static_cast<int64_t>(h) * a.groups * 64 + b;
    const int32_t count       = b < a.mk ? a.count[h * a.count_h + b] : 0;
    a.pool_k[row * a.dim + d] = count > 0 ? element(a.tail_k, b, h, d) : 0;
    a.pool_v[row * a.dim + d] = count > 0 ? element(a.tail_v, b, h, d) : 0;
    if (d == 0) a.bias[row] = count > 0 ? log2f(static_cast<float>(count)) : -INFINITY;
}

/* Marks the block of a huge key, and the sinks if it is one. */
__device__ void mark_huge(const Prepare &a, int h, int64_t token)
{
    const int words = (a.mk + 31) / 32;
    uint32_t *huge  = a.huge + static_cast<int64_t>(h) * (words + 1);
    int       low = 0, high = a.mk; /* the block is in [low, high) */
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (a.k_offset[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    atomicOr(huge + low / 32, 1u << (low % 32));
    for (int i = 0; i < a.n_sinks; i++)
        if (a.sinks[h * a.sinks_h + i] == token) atomicOr(huge + words, 1u);
}

/* The largest |k|^2 of a head, over keys that are finite and not huge. A thread takes 8 channels of
 * kAtOnce keys, as many loads being under way; rows are aligned to 16 bytes. Floats above 0 are
 * ordered as their bits are. */
template <int kDim> __global__ void __launch_bounds__(256) measure_keys(const Prepare a)
{
    const filk_attn_view &k       = a.k;
    const int64_t         n       = a.nk;
    constexpr int         kAtOnce = 8, kThreadsPerKey = kDim / 8, kKeys = 256 / kThreadsPerKey;
    const int             h = blockIdx.y, part = threadIdx.x % kThreadsPerKey;
    const int64_t         first =
        static_cast<int64_t>(blockIdx.x) * kKeys * kAtOnce + threadIdx.x / kThreadsPerKey;
    uint4 x[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; i++) {
        const int64_t   at = first + i * kKeys < n ? first + i * kKeys : n - 1;
        const uint16_t *row =
            static_cast<const uint16_t *>(k.data) + at * k.stride_n + h * k.stride_h;
        x[i] = __ldg(reinterpret_cast<const uint4 *>(row) + part);
    }
    float best = 0.0f;
#pragma unroll
    for (int i = 0; i < kAtOnce; i++) {
        const uint32_t w[4]    = {x[i].x, x[i].y, x[i].z, x[i].w};
        float          sum     = 0.0f;
        uint32_t       strange = 0; /* an exponent of all ones: NaN or inf */
#pragma unroll
        for (int j = 0; j < 4; j++) {
            strange |= ((w[j] & 0x7F80u) + 0x80u) & 0x8000u;
            strange |= ((w[j] & 0x7F800000u) + 0x800000u) & 0x80000000u;
            const float low  = __uint_as_float(w[j] << 16),
                        high = __uint_as_float(w[j] & 0xFFFF0000u);
            sum              = fmaf(low, low, fmaf(high, high, sum));
        }
#pragma unroll
        for (int bit = 1; bit < kThreadsPerKey; bit <<= 1) {
            sum += __shfl_xor_sync(~0u, sum, bit);
            strange |= __shfl_xor_sync(~0u, strange, bit);
        }
        const bool huge =
            !(sum <= attn90::kHugeSquare); /* also where squares left the range of f32 */
        if (strange == 0 && !huge) best = fmaxf(best, sum);
        if (strange == 0 && huge && part == 0 && first + i * kKeys < n)
            mark_huge(a, h, first + i * kKeys);
    }
#pragma unroll
    for (int bit = kThreadsPerKey; bit < 32; bit <<= 1)
        best = fmaxf(best, __shfl_xor_sync(~0u, best, bit));
    if ((threadIdx.x & 31) == 0) atomicMax(a.norm + h, __float_as_uint(best));
}

/* ---- the host's side ------------------------------------------------------------------------- */

fil_status fail(const filk_cuda_stream *s, fil_status status, const char *what, const char *why)
{
    snprintf(s->error, s->error_size, "attention on device %d: %s: %s", s->device, what, why);
    return status;
}

fil_status check(const filk_cuda_stream *s, cudaError_t code, const char *what)
{
    return code == cudaSuccess ? FIL_OK : fail(s, FIL_E_DEVICE, what, cudaGetErrorString(code));
}

using Encode = CUresult (*)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                            const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                            const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                            CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

struct Mapper {
    const filk_cuda_stream *s;
    Encode                  encode;
    int32_t                 dim;

    /* Boxes of 64 tokens by 64 channels of a view [tokens, heads, dim]. */
    fil_status map(CUtensorMap *out, const char *name, const filk_attn_view &v, int64_t tokens,
                   int32_t heads) const
    {
        filk_box_map m;
        if (!filk_box_map_of(&m, &v, dim, tokens, heads))
            return fail(s, FIL_E_UNSUP, name, "base and strides must be multiples of 16 bytes");
        const cuuint64_t sizes[3]   = {m.sizes[0], m.sizes[1], m.sizes[2]};
        const cuuint64_t strides[2] = {m.strides[0], m.strides[1]};
        const cuuint32_t step[3]    = {1, 1, 1};
        const CUresult   code =
            encode(out, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<void *>(v.data), sizes,
                   strides, m.box, step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
        if (code == CUDA_SUCCESS) return FIL_OK;
        return fail(s, FIL_E_UNSUP, name, "the driver refuses its tensor map");
    }
};

/* Runs of 64 from token 0 on, the last one shorter or not: then positions need no table. */
bool is_uniform(const int32_t *offset, int32_t m)
{
    for (int32_t b = 0; b < m; b++)
        if (offset[b] != 64 * b) return false;
    return true;
}

void launch_measure(const Prepare &x, cudaStream_t stream)
{
    const int64_t keys = int64_t{8} * 256 * 8 / x.dim; /* of a block of threads */
    const dim3    grid(static_cast<unsigned>((x.nk + keys - 1) / keys),
                       static_cast<unsigned>(x.kv_heads));
    if (x.dim == 128)
        measure_keys<128><<<grid, 256, 0, stream>>>(x);
    else
        measure_keys<64><<<grid, 256, 0, stream>>>(x);
}

/* The pooled rows that gather_tail writes. */
filk_attn_view pooled(const uint16_t *data, const filk_attn_problem *p, const Prepare &x)
{
    return {data, p->head_dim, int64_t{64} * x.groups * p->head_dim};
}

fil_status prepare(const filk_cuda_stream *s, const filk_attn_problem *p, const filk_attn_args *a,
                   const int32_t *k_offset, char *base, const filk_attn90_layout &l, bool lanes,
                   Prepare *out)
{
    const size_t kv     = static_cast<size_t>(p->kv_heads);
    const auto   stream = static_cast<cudaStream_t>(s->stream);
    Prepare      x      = {};
    x.k_offset          = k_offset;
    x.sinks             = a->sinks;
    x.sinks_h           = a->sinks_stride_h;
    x.n_sinks           = a->sinks != nullptr ? a->n_sinks : 0;
    x.kv_heads          = p->kv_heads;
    x.mk                = p->mk;
    x.dim               = p->head_dim;
    x.groups            = filk_attn90_tail_groups(p);
    x.k                 = a->k;
    x.v                 = a->v;
    x.tail_k            = a->tail_k;
    x.tail_v            = a->tail_v;
    x.count             = a->tail_count;
    x.count_h           = a->tail_count_stride_h;
    x.lanes             = reinterpret_cast<uint64_t *>(base + l.lanes);
    x.sink_k            = reinterpret_cast<uint16_t *>(base + l.sinks);
    x.sink_v            = reinterpret_cast<uint16_t *>(base + l.sinks_v);
    x.pool_k            = reinterpret_cast<uint16_t *>(base + l.tail);
    x.pool_v            = reinterpret_cast<uint16_t *>(base + l.tail_v);
    x.bias              = reinterpret_cast<float *>(base + l.bias);
    x.norm              = reinterpret_cast<uint32_t *>(base + l.norm);
    x.huge              = reinterpret_cast<uint32_t *>(base + l.huge);
    x.nk                = p->nk;
    *out                = x;

    const dim3 per_sink(64, p->kv_heads), per_pool(64 * x.groups, p->kv_heads);
    if (lanes) count_lanes<<<static_cast<unsigned>((kv * p->mk + 255) / 256), 256, 0, stream>>>(x);
    if (x.n_sinks > 0) gather_sinks<<<per_sink, p->head_dim, 0, stream>>>(x);
    if (a->tail_k.data != nullptr) gather_tail<<<per_pool, p->head_dim, 0, stream>>>(x);
    launch_measure(x, stream);
    return check(s, cudaGetLastError(), "preparing keys");
}

fil_status make_maps(const filk_cuda_stream *s, const filk_attn_problem *p, const filk_attn_args *a,
                     const Prepare &x, Maps *maps)
{
    const Mapper m = {s, reinterpret_cast<Encode>(s->driver_entry("cuTensorMapEncodeTiled")),
                      p->head_dim};
    if (m.encode == nullptr)
        return fail(s, FIL_E_UNSUP, "tensor maps", "the driver has no cuTensorMapEncodeTiled");
    const int64_t        rows   = 64 * static_cast<int64_t>(x.groups);
    const filk_attn_view sk     = {x.sink_k, p->head_dim, int64_t{64} * p->head_dim};
    const filk_attn_view sv     = {x.sink_v, p->head_dim, int64_t{64} * p->head_dim};
    const filk_attn_view tk     = pooled(x.pool_k, p, x);
    const filk_attn_view tv     = pooled(x.pool_v, p, x);
    fil_status           status = m.map(&maps->q, "q", a->q, p->nq, p->heads);
    if (status == FIL_OK) status = m.map(&maps->k, "k", a->k, p->nk, p->kv_heads);
    if (status == FIL_OK) status = m.map(&maps->v, "v", a->v, p->nk, p->kv_heads);
    if (status == FIL_OK && x.n_sinks > 0) {
        status = m.map(&maps->sink_k, "sinks", sk, 64, p->kv_heads);
        if (status == FIL_OK) status = m.map(&maps->sink_v, "sinks", sv, 64, p->kv_heads);
    }
    if (status == FIL_OK && a->tail_k.data != nullptr) {
        status = m.map(&maps->tail_k, "tail", tk, rows, p->kv_heads);
        if (status == FIL_OK) status = m.map(&maps->tail_v, "tail", tv, rows, p->kv_heads);
    }
    return status;
}

template <int kDim, bool kMasked, bool kLanes>
fil_status launch(const filk_cuda_stream *s, const Params &params, const Maps &maps)
{
    const auto   kernel = attn90::attn_fwd_kernel<kDim, kMasked, kLanes>;
    const size_t shared = sizeof(attn90::Shared<kDim>) + 1024;
    fil_status   status =
        check(s, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
              "shared memory of the kernel");
    if (status != FIL_OK) return status;
    const int64_t tiles = static_cast<int64_t>(params.heads) * params.tiles;
    const int     grid  = static_cast<int>(tiles < s->sms ? tiles : s->sms);
    kernel<<<grid, attn90::kThreads, shared, static_cast<cudaStream_t>(s->stream)>>>(params, maps);
    return check(s, cudaGetLastError(), "launch of attn_fwd_kernel");
}

template <int kDim>
fil_status launch_dim(const filk_cuda_stream *s, const Params &p, const Maps &maps)
{
    const bool lanes = p.lanes != nullptr;
    if (p.mask == nullptr)
        return lanes ? launch<kDim, false, true>(s, p, maps)
                     : launch<kDim, false, false>(s, p, maps);
    return lanes ? launch<kDim, true, true>(s, p, maps) : launch<kDim, true, false>(s, p, maps);
}

} // namespace

size_t filk_cuda_attn_fwd_sm90_workspace(const filk_attn_problem *p)
{
    return filk_attn90_layout_of(p).total;
}

fil_status filk_cuda_attn_fwd_sm90_run(const filk_cuda_stream *s, const filk_attn_problem *p,
                                       const filk_attn_args *a, const int32_t *q_offset,
                                       const int32_t *k_offset, void *workspace)
{
    const filk_attn90_layout l       = filk_attn90_layout_of(p);
    char                    *base    = static_cast<char *>(workspace);
    const bool               uniform = is_uniform(p->k_offset, p->mk);
    const bool               lanes   = !uniform || (a->sinks != nullptr && a->n_sinks > 0);
    Prepare                  x;
    Maps                     maps;
    memset(&maps, 0, sizeof maps);
    fil_status status = check(
        s,
        cudaMemsetAsync(base + l.next, 0, l.lanes - l.next, static_cast<cudaStream_t>(s->stream)),
        "tile counter");
    if (status == FIL_OK) status = prepare(s, p, a, k_offset, base, l, lanes, &x);
    if (status == FIL_OK) status = make_maps(s, p, a, x, &maps);
    if (status != FIL_OK) return status;

    Params d     = {};
    d.out        = static_cast<__nv_bfloat16 *>(a->out);
    d.out_n      = a->out_stride_n;
    d.out_h      = a->out_stride_h;
    d.lse        = a->lse;
    d.mask       = a->mask;
    d.mask_h     = a->mask_stride_h;
    d.q_offset   = q_offset;
    d.k_offset   = uniform ? nullptr : k_offset;
    d.lanes      = lanes ? x.lanes : nullptr;
    d.lanes_h    = p->mk;
    d.next       = reinterpret_cast<int32_t *>(base + l.next);
    d.k_norm     = reinterpret_cast<const float *>(x.norm);
    d.huge       = x.huge;
    d.n_sinks    = x.n_sinks;
    d.heads      = p->heads;
    d.group      = p->heads / p->kv_heads;
    d.nq         = static_cast<int32_t>(p->nq);
    d.nk         = static_cast<int32_t>(p->nk);
    d.mq         = p->mq;
    d.mk         = p->mk;
    d.words      = (p->mk + 31) / 32;
    d.tiles      = (p->mq + attn90::kGroups - 1) / attn90::kGroups;
    d.scale_log2 = a->scale * attn90::kLog2e;
    d.wide_out   = reinterpret_cast<uint64_t>(a->out) % 16 == 0 && a->out_stride_n % 8 == 0 &&
                 a->out_stride_h % 8 == 0;
    if (a->tail_k.data != nullptr) {
        d.tail_groups = x.groups;
        d.tail_bias   = x.bias;
        d.tail_factor = a->tail_factor;
    }
    return p->head_dim == 128 ? launch_dim<128>(s, d, maps) : launch_dim<64>(s, d, maps);
}
