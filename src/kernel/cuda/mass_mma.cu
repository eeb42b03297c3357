/* kernel/cuda/mass_mma.cu: block mass of dense attention (kernel/mass.h) on mma.sync.
 *
 * One CTA takes one query block of one head, Q in registers, and walks all key blocks twice: first
 * for each row's log of its sum (online maximum, f32, base 2), then for the masses relative to it.
 * The product is made twice, which is cheaper than keeping it: a head of 32,760 tokens has 4.3 GB
 * of scores. Sums run over columns, lanes and warps in a fixed order: same bits every time.
 * Rows behind a short block are zeros with logits that are never used.
 */
#include "kernel/cuda/cuda_device.h"
#include "kernel/cuda/mma_tile.h"
#include "kernel/mass.h"

using namespace filk;

namespace
{

#define WARPS (FILK_TILE_THREADS / 32)
#define BATCH 64 /* key blocks whose masses are kept before they are written */

struct params {
    filk_mass_args a;
    const int32_t *q_offset, *k_offset;
    int64_t        nq;
    int32_t        mq, mk, group;
};

template <int D> struct shared_tiles {
    half_bits q[FILK_TILE_ROWS * D];
    half_bits k[2][FILK_TILE_ROWS * D];
    float     mass[WARPS][BATCH];
};

template <int D, bool ALIGNED>
__device__ inline int32_t load_block(const params &p, int32_t kv, int32_t b, half_bits *tile)
{
    rows_of r;
    r.base             = p.k_offset[b];
    const int32_t rows = p.k_offset[b + 1] - (int32_t)r.base;
    r.list             = nullptr;
    r.valid            = first_bits(rows);
    r.rows             = (rows + 15) & ~15;
    r.data             = static_cast<const half_bits *>(p.a.k.data) + kv * p.a.k.stride_h;
    r.stride           = p.a.k.stride_n;
    load_tile<D, ALIGNED>(tile, r);
    return rows;
}

/* Logits of a block, base 2, -inf behind its end. */
template <int D>
__device__ inline void logits_of(float (&x)[8][4], const uint32_t (&q)[D / 16][4],
                                 const half_bits *k, int32_t rows, float scale)
{
    const int column = 2 * (threadIdx.x & 3);
#pragma unroll
    for (int t = 0; t < 4; t++) {
        if (16 * t < rows) scores_of<D>(x[2 * t], x[2 * t + 1], q, k, 16 * t);
#pragma unroll
        for (int n = 2 * t; n < 2 * t + 2; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                x[n][i] = 8 * n + column + (i & 1) < rows ? x[n][i] * scale : -INFINITY;
    }
}

struct row_sums {
    float max[2], sum[2];
};

__device__ inline void add_to_sums(const float (&x)[8][4], row_sums &st)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top = st.max[r];
#pragma unroll
        for (int n = 0; n < 8; n++)
            top = fmaxf(top, fmaxf(x[n][2 * r], x[n][2 * r + 1]));
        const float base = top == -INFINITY ? 0.0f : top;
        float       sum  = 0.0f;
#pragma unroll
        for (int n = 0; n < 8; n++)
            sum += exp2_fast(x[n][2 * r] - base) + exp2_fast(x[n][2 * r + 1] - base);
        st.sum[r] = st.sum[r] * exp2_fast(st.max[r] - base) + sum;
        st.max[r] = top;
    }
}

/* Joins the four lanes of a row: each has a maximum of its own columns. Base 2; -inf: empty. */
__device__ inline float join(row_sums &st, int r)
{
    float top        = st.max[r];
    top              = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
    top              = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
    const float base = top == -INFINITY ? 0.0f : top;
    float       sum  = st.sum[r] * exp2_fast(st.max[r] - base);
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    return sum == 0.0f ? -INFINITY : base + log2f(sum);
}

/* What the row's logits are relative to: NaN where its own log is, +inf where it counts nothing. */
__device__ inline float reference_of(const params &p, float own, int64_t at)
{
    if (own != own || p.a.lse_in == nullptr) return own == -INFINITY ? INFINITY : own;
    const float given = p.a.lse_in[at];
    return own == -INFINITY || given == -INFINITY ? INFINITY : given * FILK_LOG2E;
}

__device__ inline float warp_sum(float x)
{
#pragma unroll
    for (int i = 16; i > 0; i >>= 1)
        x += __shfl_xor_sync(0xffffffffu, x, i);
    return x;
}

__device__ inline float mass_of(const float (&x)[8][4], const float (&reference)[2],
                                const bool (&counts)[2])
{
    float total[2] = {0.0f, 0.0f};
#pragma unroll
    for (int r = 0; r < 2; r++)
#pragma unroll
        for (int n = 0; n < 8; n++)
            total[r] +=
                exp2_fast(x[n][2 * r] - reference[r]) + exp2_fast(x[n][2 * r + 1] - reference[r]);
    return (counts[0] ? total[0] : 0.0f) + (counts[1] ? total[1] : 0.0f);
}

/* Writes the masses of n blocks from `first` on. All threads. */
template <int D>
__device__ inline void write_masses(const shared_tiles<D> &s, float *out, int32_t first, int32_t n)
{
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += FILK_TILE_THREADS) {
        float total = 0.0f;
#pragma unroll
        for (int w = 0; w < WARPS; w++)
            total += s.mass[w][i];
        out[first + i] = total;
    }
    __syncthreads();
}

/* Walks all key blocks, two in flight; visit(x, block) has the logits of the warp's rows. */
template <int D, bool ALIGNED, typename Visit>
__device__ inline void for_blocks(const params &p, int32_t kv, const uint32_t (&q)[D / 16][4],
                                  shared_tiles<D> &s, Visit visit)
{
    const float scale = p.a.scale * FILK_LOG2E;
    int32_t     rows  = load_block<D, ALIGNED>(p, kv, 0, s.k[0]);
    copy_commit();
    for (int32_t b = 0; b < p.mk; b++) {
        int32_t next = 0;
        if (b + 1 < p.mk) next = load_block<D, ALIGNED>(p, kv, b + 1, s.k[~b & 1]);
        copy_commit();
        copy_wait<1>();
        __syncthreads();
        float x[8][4] = {};
        logits_of<D>(x, q, s.k[b & 1], rows, scale);
        visit(x, b);
        __syncthreads();
        rows = next;
    }
    copy_wait<0>();
}

template <int D, bool ALIGNED>
__global__ void __launch_bounds__(FILK_TILE_THREADS) mass(const __grid_constant__ params p)
{
    FILK_SHARED_ARRAY(unsigned char, memory, 128);
    shared_tiles<D> &s     = *reinterpret_cast<shared_tiles<D> *>(memory);
    const int32_t    block = blockIdx.x;
    const int32_t    head  = blockIdx.y;
    const int32_t    kv    = head / p.group;
    const int64_t    first = p.q_offset[block];
    const int32_t    rows  = p.q_offset[block + 1] - (int32_t)first;
    const int        lane  = threadIdx.x & 31;
    const int        warp  = threadIdx.x >> 5;
    rows_of          queries;
    queries.data   = static_cast<const half_bits *>(p.a.q.data) + head * p.a.q.stride_h;
    queries.stride = p.a.q.stride_n;
    queries.base   = first;
    queries.list   = nullptr;
    queries.valid  = first_bits(rows);
    queries.rows   = FILK_TILE_ROWS;
    load_tile<D, ALIGNED>(s.q, queries);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
    uint32_t q[D / 16][4];
    load_left<D>(q, s.q, 16 * warp);

    row_sums st;
    st.max[0] = st.max[1] = -INFINITY;
    st.sum[0] = st.sum[1] = 0.0f;
    for_blocks<D, ALIGNED>(p, kv, q, s,
                           [&](const float(&x)[8][4], int32_t) { add_to_sums(x, st); });

    float reference[2];
    bool  counts[2];
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int     row = 16 * warp + 8 * r + (lane >> 2);
        const int64_t at  = head * p.nq + first + row;
        const float   own = join(st, r);
        counts[r]         = row < rows;
        reference[r]      = counts[r] ? reference_of(p, own, at) : INFINITY;
        __syncwarp();
        if (counts[r] && p.a.lse_out != nullptr && (lane & 3) == 0)
            p.a.lse_out[at] = own * FILK_LN2;
    }

    float *out = p.a.mass + ((int64_t)head * p.mq + block) * p.mk;
    for_blocks<D, ALIGNED>(p, kv, q, s, [&](const float(&x)[8][4], int32_t b) {
        const float sum = warp_sum(mass_of(x, reference, counts));
        if (lane == 0) s.mass[warp][b % BATCH] = sum;
        if ((b + 1) % BATCH == 0) write_masses<D>(s, out, b + 1 - BATCH, BATCH);
    });
    if (p.mk % BATCH != 0) write_masses<D>(s, out, p.mk - p.mk % BATCH, p.mk % BATCH);
}

template <int D, bool ALIGNED>
fil_status launch(const filk_cuda_stream *s, const filk_mass_problem *p, const params &args)
{
    filk_grid g;
    g.grid   = dim3((unsigned)p->mq, (unsigned)p->heads);
    g.block  = dim3(FILK_TILE_THREADS);
    g.shared = sizeof(shared_tiles<D>);
    return filk_cuda_launch(s, "mass_mma", mass<D, ALIGNED>, g, args);
}

} // namespace

fil_status filk_cuda_mass_run(void *device, const void *problem, const void *args, void *workspace)
{
    filk_cuda_device        *d = static_cast<filk_cuda_device *>(device);
    const filk_mass_problem *p = static_cast<const filk_mass_problem *>(problem);
    params                   k;
    (void)workspace;
    k.a               = *static_cast<const filk_mass_args *>(args);
    k.nq              = p->nq;
    k.mq              = p->mq;
    k.mk              = p->mk;
    k.group           = p->heads / p->kv_heads;
    fil_status status = filk_cuda_table_of(d, p->q_offset, (size_t)p->mq + 1, &k.q_offset);
    if (status == FIL_OK)
        status = filk_cuda_table_of(d, p->k_offset, (size_t)p->mk + 1, &k.k_offset);
    if (status != FIL_OK) return status;
    const bool aligned = is_aligned(k.a.q) && is_aligned(k.a.k);
    if (p->head_dim == 128)
        return aligned ? launch<128, true>(&d->s, p, k) : launch<128, false>(&d->s, p, k);
    return aligned ? launch<64, true>(&d->s, p, k) : launch<64, false>(&d->s, p, k);
}
