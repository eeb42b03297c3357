/* kernel/cuda/attn_fwd_mma.cu: block-sparse attention forward (kernel/attention.h) on mma.sync: for
 * devices from Ampere on, and for views that a tensor map cannot describe.
 *
 * One CTA takes one query block of one head: four warps of 16 rows, Q in registers. It walks the
 * tiles of keys that the block keeps, two in flight: the sinks, gathered; the blocks of the mask
 * row in rising order; the pooled keys of the left-out blocks, 64 to a tile. Rows that do not count
 * (behind a short block, sinks inside their own block, blocks that are kept) are zeros in shared
 * memory, and their logits are replaced by -inf, so that nothing of them is ever read.
 * Softmax is online, in f32, base 2. Sums are in a fixed order: same bits every time.
 */
#include "kernel/cuda/launch.h"
#include "kernel/cuda/mma_tile.h"

using namespace filk;

namespace
{

struct params {
    filk_attn_args a;
    const int32_t *q_offset, *k_offset;
    int64_t        nq;
    int32_t        mq, mk, group; /* heads of a key-value head */
    int32_t        words;
};

enum tile_kind { TILE_SINKS = 0, TILE_BLOCK, TILE_TAIL, TILE_NONE };

/* Where the walk over a query block's keys is, and the tile that it found. All threads alike. */
struct walk {
    int      kind;
    int32_t  next; /* block, or group of 64 pooled keys */
    int64_t  base;
    int32_t  rows; /* of the tile: up to the last valid one */
    uint64_t valid;
};

struct head_of {
    const uint32_t *mask; /* NULL: all */
    const int32_t  *sinks, *count;
    int32_t         n_sinks;
    float           factor;
};

__device__ inline uint32_t mask_word(const params &p, const head_of &h, int32_t w)
{
    const uint32_t bits = h.mask != nullptr ? h.mask[w] : ~0u;
    const int32_t  left = p.mk - 32 * w;
    return left >= 32 ? bits : left <= 0 ? 0u : bits & ((1u << left) - 1);
}

/* The next kept block from `from` on, or mk. */
__device__ inline int32_t next_block(const params &p, const head_of &h, int32_t from)
{
    for (int32_t w = from >> 5; w < p.words; w++) {
        uint32_t bits = mask_word(p, h, w);
        if (w == from >> 5) bits &= ~0u << (from & 31);
        if (bits != 0) return 32 * w + __ffs((int)bits) - 1;
    }
    return p.mk;
}

/* Bits of the rows that are sinks, of tokens base to base + 63. */
__device__ inline uint64_t sinks_in(const head_of &h, int64_t base)
{
    const int lane = threadIdx.x & 31;
    uint32_t  low  = 0;
    uint32_t  high = 0;
    for (int i = lane; i < h.n_sinks; i += 32) {
        const int64_t row = h.sinks[i] - base;
        if (row >= 0 && row < 32) low |= 1u << row;
        if (row >= 32 && row < 64) high |= 1u << (row - 32);
    }
    return __reduce_or_sync(0xffffffffu, low) | (uint64_t)__reduce_or_sync(0xffffffffu, high) << 32;
}

__device__ inline bool tail_counts(const params &p, const head_of &h, int32_t block)
{
    if (block >= p.mk || h.count[block] <= 0) return false;
    return (mask_word(p, h, block >> 5) >> (block & 31) & 1u) == 0;
}

/* Finds the next tile that holds something; kind TILE_NONE at the end. */
__device__ inline void advance(const params &p, const head_of &h, walk &w)
{
    const int lane = threadIdx.x & 31;
    w.valid        = 0;
    if (w.kind == TILE_SINKS) {
        w.valid = first_bits(h.n_sinks);
        w.base  = 0;
        if (w.next++ == 0 && w.valid != 0) {
            w.rows = h.n_sinks;
            return;
        }
        w.kind = TILE_BLOCK;
        w.next = 0;
    }
    while (w.kind == TILE_BLOCK) {
        const int32_t b = next_block(p, h, w.next);
        w.next          = b + 1;
        if (b >= p.mk) {
            w.kind = h.count != nullptr ? TILE_TAIL : TILE_NONE;
            w.next = 0;
            break;
        }
        w.base  = p.k_offset[b];
        w.rows  = p.k_offset[b + 1] - (int32_t)w.base;
        w.valid = first_bits(w.rows);
        if (h.n_sinks > 0) w.valid &= ~sinks_in(h, w.base);
        if (w.valid != 0) return;
    }
    while (w.kind == TILE_TAIL) {
        const int32_t first = 64 * w.next++;
        if (first >= p.mk) {
            w.kind = TILE_NONE;
            break;
        }
        w.valid = bits_of(tail_counts(p, h, first + lane), tail_counts(p, h, first + 32 + lane));
        w.base  = first;
        w.rows  = 64 - __clzll((long long)w.valid);
        if (w.valid != 0) return;
    }
}

template <int D> struct shared_tiles {
    half_bits q[FILK_TILE_ROWS * D];
    half_bits k[2][FILK_TILE_ROWS * D];
    half_bits v[2][FILK_TILE_ROWS * D];
    float     bias[2][FILK_TILE_ROWS]; /* of pooled keys, base 2 */
};

template <int D, bool ALIGNED>
__device__ inline void load_keys(const params &p, const head_of &h, const walk &w, int32_t kv,
                                 shared_tiles<D> &s, int stage)
{
    if (w.kind == TILE_NONE) return;
    const bool            tail = w.kind == TILE_TAIL;
    const filk_attn_view &k    = tail ? p.a.tail_k : p.a.k;
    const filk_attn_view &v    = tail ? p.a.tail_v : p.a.v;
    rows_of               r;
    r.base   = w.base;
    r.list   = w.kind == TILE_SINKS ? h.sinks : nullptr;
    r.valid  = w.valid;
    r.rows   = (w.rows + 15) & ~15;
    r.data   = static_cast<const half_bits *>(k.data) + kv * k.stride_h;
    r.stride = k.stride_n;
    load_tile<D, ALIGNED>(s.k[stage], r);
    r.data   = static_cast<const half_bits *>(v.data) + kv * v.stride_h;
    r.stride = v.stride_n;
    load_tile<D, ALIGNED>(s.v[stage], r);
    if (tail && threadIdx.x < FILK_TILE_ROWS && (w.valid >> threadIdx.x & 1))
        s.bias[stage][threadIdx.x] = log2f((float)h.count[w.base + threadIdx.x]) + log2f(h.factor);
}

/* What a thread holds of its two rows: row g and row g + 8 of the warp's 16. */
template <int D> struct rows_state {
    float max[2], sum[2];
    float out[D / 8][4];
};

/* Logits of a tile, base 2, -inf where no key is. 16 keys at a time, as many as the tile has. */
template <int D>
__device__ inline void logits_of(float (&x)[8][4], const uint32_t (&q)[D / 16][4],
                                 const half_bits *k, const walk &w, const float *bias, float scale)
{
    const int column = 2 * (threadIdx.x & 3);
#pragma unroll
    for (int t = 0; t < 4; t++) {
        if (16 * t < w.rows) scores_of<D>(x[2 * t], x[2 * t + 1], q, k, 16 * t);
#pragma unroll
        for (int n = 2 * t; n < 2 * t + 2; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int   key   = 8 * n + column + (i & 1);
                const bool  valid = w.valid >> key & 1;
                const float add   = bias != nullptr && valid ? bias[key] : 0.0f;
                x[n][i]           = valid ? fmaf(x[n][i], scale, add) : -INFINITY;
            }
    }
}

/* x becomes 2^(x - max); older sums are brought to the new maximum. */
template <int D> __device__ inline void soften(float (&x)[8][4], rows_state<D> &st)
{
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top = st.max[r];
#pragma unroll
        for (int n = 0; n < 8; n++)
            top = fmaxf(top, fmaxf(x[n][2 * r], x[n][2 * r + 1]));
        top               = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top               = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        const float base  = top == -INFINITY ? 0.0f : top;
        const float older = exp2_fast(st.max[r] - base);
        float       sum   = 0.0f;
#pragma unroll
        for (int n = 0; n < 8; n++)
#pragma unroll
            for (int i = 2 * r; i < 2 * r + 2; i++) {
                x[n][i] = exp2_fast(x[n][i] - base);
                sum += x[n][i];
            }
        st.sum[r] = st.sum[r] * older + sum;
        st.max[r] = top;
#pragma unroll
        for (int n = 0; n < D / 8; n++) {
            st.out[n][2 * r] *= older;
            st.out[n][2 * r + 1] *= older;
        }
    }
}

template <int D>
__device__ inline void add_values(const float (&x)[8][4], const half_bits *v, int32_t rows,
                                  rows_state<D> &st)
{
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int t = 0; t < 4; t++) {
        if (16 * t >= rows) break;
        const uint32_t a[4] = {pack_bf16(x[2 * t][0], x[2 * t][1]),
                               pack_bf16(x[2 * t][2], x[2 * t][3]),
                               pack_bf16(x[2 * t + 1][0], x[2 * t + 1][1]),
                               pack_bf16(x[2 * t + 1][2], x[2 * t + 1][3])};
        const int      row  = 16 * t + (lane >> 3 & 1) * 8 + (lane & 7);
#pragma unroll
        for (int d = 0; d < D / 16; d++) {
            uint32_t b[4];
            load_matrices_turned(b, v + chunk_at<D>(row, 2 * d + (lane >> 4)));
            multiply(st.out[2 * d], a, b[0], b[1]);
            multiply(st.out[2 * d + 1], a, b[2], b[3]);
        }
    }
}

template <int D>
__device__ inline void write_rows(const params &p, rows_state<D> &st, int32_t head, int64_t first,
                                  int32_t rows)
{
    const int  lane = threadIdx.x & 31;
    half_bits *out  = static_cast<half_bits *>(p.a.out) + head * p.a.out_stride_h;
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int row = 16 * (threadIdx.x >> 5) + 8 * r + (lane >> 2);
        float     sum = st.sum[r];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        if (row >= rows) continue;
        const bool  empty   = sum == 0.0f;
        const float inverse = 1.0f / sum;
        half_bits  *to      = out + (first + row) * p.a.out_stride_n;
#pragma unroll
        for (int n = 0; n < D / 8; n++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float y                  = empty ? 0.0f : st.out[n][2 * r + i] * inverse;
                to[8 * n + 2 * (lane & 3) + i] = __bfloat16_as_ushort(__float2bfloat16_rn(y));
            }
        if (p.a.lse != nullptr && (lane & 3) == 0)
            p.a.lse[head * p.nq + first + row] =
                empty ? -INFINITY : (st.max[r] + log2f(sum)) * FILK_LN2;
    }
}

__device__ inline head_of head_params(const params &p, int32_t head, int32_t kv, int32_t block)
{
    head_of h;
    h.mask = p.a.mask;
    if (h.mask != nullptr) h.mask += head * p.a.mask_stride_h + (int64_t)block * p.words;
    h.n_sinks = p.a.sinks != nullptr ? p.a.n_sinks : 0;
    h.sinks   = p.a.sinks != nullptr ? p.a.sinks + kv * p.a.sinks_stride_h : nullptr;
    h.count  = p.a.tail_k.data != nullptr ? p.a.tail_count + kv * p.a.tail_count_stride_h : nullptr;
    h.factor = p.a.tail_factor != nullptr ? p.a.tail_factor[head] : 1.0f;
    return h;
}

template <int D, bool ALIGNED>
__global__ void __launch_bounds__(FILK_TILE_THREADS) attn_fwd(const __grid_constant__ params p)
{
    FILK_SHARED_ARRAY(unsigned char, memory, 128);
    shared_tiles<D> &s     = *reinterpret_cast<shared_tiles<D> *>(memory);
    const int32_t    block = blockIdx.x;
    const int32_t    head  = blockIdx.y;
    const int32_t    kv    = head / p.group;
    const int64_t    first = p.q_offset[block];
    const int32_t    rows  = p.q_offset[block + 1] - (int32_t)first;
    const head_of    h     = head_params(p, head, kv, block);
    const int        mine  = 16 * (threadIdx.x >> 5);
    const float      scale = p.a.scale * FILK_LOG2E;
    rows_of          queries;
    queries.data   = static_cast<const half_bits *>(p.a.q.data) + head * p.a.q.stride_h;
    queries.stride = p.a.q.stride_n;
    queries.base   = first;
    queries.list   = nullptr;
    queries.valid  = first_bits(rows);
    queries.rows   = FILK_TILE_ROWS;
    load_tile<D, ALIGNED>(s.q, queries);

    walk now;
    now.kind = TILE_SINKS;
    now.next = 0;
    advance(p, h, now);
    load_keys<D, ALIGNED>(p, h, now, kv, s, 0);
    copy_commit();

    rows_state<D> st;
    st.max[0] = st.max[1] = -INFINITY;
    st.sum[0] = st.sum[1] = 0.0f;
#pragma unroll
    for (int n = 0; n < D / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++)
            st.out[n][i] = 0.0f;

    uint32_t q[D / 16][4];
    int      stage = 0;
    for (bool begun = false; now.kind != TILE_NONE; stage ^= 1) {
        walk next = now;
        advance(p, h, next);
        load_keys<D, ALIGNED>(p, h, next, kv, s, stage ^ 1);
        copy_commit();
        copy_wait<1>();
        __syncthreads();
        if (!begun) load_left<D>(q, s.q, mine);
        begun = true;
        if (mine < rows) {
            float x[8][4] = {};
            logits_of<D>(x, q, s.k[stage], now, now.kind == TILE_TAIL ? s.bias[stage] : nullptr,
                         scale);
            soften<D>(x, st);
            add_values<D>(x, s.v[stage], now.rows, st);
        }
        __syncthreads();
        now = next;
    }
    copy_wait<0>();
    write_rows<D>(p, st, head, first, rows);
}

template <int D, bool ALIGNED>
fil_status launch(const filk_cuda_stream *s, const filk_attn_problem *p, const params &args)
{
    filk_grid g;
    g.grid   = dim3((unsigned)p->mq, (unsigned)p->heads);
    g.block  = dim3(FILK_TILE_THREADS);
    g.shared = sizeof(shared_tiles<D>);
    return filk_cuda_launch(s, "attn_fwd_mma", attn_fwd<D, ALIGNED>, g, args);
}

} // namespace

fil_status filk_cuda_attn_fwd_mma_run(const filk_cuda_stream *s, const filk_attn_problem *p,
                                      const filk_attn_args *a, const int32_t *q_offset,
                                      const int32_t *k_offset)
{
    const bool aligned = is_aligned(a->q) && is_aligned(a->k) && is_aligned(a->v) &&
                         is_aligned(a->tail_k) && is_aligned(a->tail_v);
    params args;
    args.a        = *a;
    args.q_offset = q_offset;
    args.k_offset = k_offset;
    args.nq       = p->nq;
    args.mq       = p->mq;
    args.mk       = p->mk;
    args.group    = p->heads / p->kv_heads;
    args.words    = (p->mk + 31) / 32;
    if (p->head_dim == 128)
        return aligned ? launch<128, true>(s, p, args) : launch<128, false>(s, p, args);
    return aligned ? launch<64, true>(s, p, args) : launch<64, false>(s, p, args);
}
