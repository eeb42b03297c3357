/* kernel/cuda/attn_fwd_sm90.cuh: block-sparse attention forward on Hopper: the kernel.
 *
 * A tile is three query blocks of one head, one for each of three consumer warpgroups. A producer
 * thread walks the union of their mask rows, bit by bit, and brings each key block once by TMA into
 * a ring of stages; a second one follows with the values. What is brought is published in a word
 * beside the stage: which block, and which warpgroups keep it. A stage is freed by those alone (the
 * producer arrives for the others). So rows that are alike share every load, and rows that are not
 * cost what they must; no list is stored. The queries of the next tile travel through the same
 * ring. A consumer keeps Q, S and O in registers (wgmma with A from registers) and goes block by
 * block: S = Q K^T, weights, O += P V. Each step is synchronous: while one warpgroup computes its
 * weights the others use the tensor cores (ThunderKittens' scheme). The row maximum is not looked
 * for where |q| max |k|, which bounds it, is small enough that f32 holds every weight relative to
 * the bound; elsewhere it moves only when it grows by more than 2^8 (FlashAttention 4's conditional
 * rescale), so that O is hardly ever multiplied. Ragged runs: logits beyond the run are replaced by
 * -inf, and a repair warp writes zeros over the rows of V that belong to the next run, so that
 * nothing in them can have an effect. Cycle budget and figures: docs/design/cuda.md.
 */
#ifndef FILK_CUDA_ATTN_FWD_SM90_CUH
#define FILK_CUDA_ATTN_FWD_SM90_CUH

#include <stddef.h>
#include <cuda_bf16.h>

#include "kernel/cuda/attn_plan.h"
#include "kernel/cuda/launch.h"
#include "kernel/cuda/ptx_sm90.cuh"

namespace attn90
{

constexpr int   kRows         = 64;               /* queries of a consumer, keys of a block */
constexpr int   kGroups       = FILK_UNION_ROWS;  /* consumer warpgroups */
constexpr int   kStages       = FILK_RING_STAGES; /* of keys, and of values */
constexpr int   kThreads      = 128 * (1 + kGroups);
constexpr int   kArrivals     = 4; /* of a warpgroup on a barrier: one a warp */
constexpr int   kProducerRegs = 32;
constexpr int   kConsumerRegs = 160;
constexpr float kLazy         = 8.0f;   /* the maximum may lag by 2^8 */
constexpr float kBoundLimit   = 60.0f;  /* of a bound that may stand for the maximum, log2 */
constexpr float kBoundShift   = 32.0f;  /* weights up to 2^32, the largest at least 2^-88 */
constexpr float kLeastSquare  = 1e-30f; /* a sum of squares that has lost nothing to underflow */
constexpr float kHugeSquare   = 1e+15f; /* |k|^2 of a huge key: a bound over it would help nobody */
constexpr float kLarge        = 16384.0f;
constexpr float kBoundLazy    = 80.0f; /* how far logits of pooled keys may exceed such a `top` */
constexpr float kLog2e        = 1.4426950408889634f;
constexpr float kLn2          = 0.6931471805599453f;

struct Maps {
    CUtensorMap q, k, v, sink_k, sink_v, tail_k, tail_v; /* by Kind, from k on */
};

/* Everything in device memory. */
struct Params {
    __nv_bfloat16  *out;
    int64_t         out_n, out_h;
    float          *lse;  /* [heads, nq] or NULL */
    const uint32_t *mask; /* [heads or 1, mq, words] or NULL */
    int64_t         mask_h;
    const int32_t  *q_offset; /* [mq+1] */
    const int32_t  *k_offset; /* [mk+1]; NULL: runs of 64, the last may be shorter */
    const uint64_t *lanes;    /* [kv_heads or 1, mk] keys of each run that count; NULL: all */
    int64_t         lanes_h;
    const float    *tail_bias;   /* [kv_heads, 64 tail_groups] log2(count), -inf = none */
    const float    *tail_factor; /* [heads] or NULL */
    const float    *k_norm; /* [kv_heads] largest |k|^2 of keys that are not huge, nor NaN or inf */
    const uint32_t *huge;   /* [kv_heads, words + 1] blocks with huge keys; then: is a sink huge? */
    int32_t        *next;   /* tile counter, 0 at the start */
    int32_t         tail_groups; /* of 64 pooled keys; 0 = no tail */
    int32_t         n_sinks;
    int32_t         heads, group;                 /* group: query heads of a kv head */
    int32_t         nq, nk, mq, mk, words, tiles; /* tiles of a head: ceil(mq / kGroups) */
    float           scale_log2;
    int32_t         wide_out; /* out may be written in pieces of 16 bytes */
};

enum Kind { kKeys, kSinks, kTail, kQueries, kEnd };

/* What a stage of the ring holds, in one word of 64 bits that is written and read at once: the
 * places of the keys and of their values, kind, the warpgroups it is for (bit g), whether some of
 * its keys do not count, and which block (or group of the tail, or tile). */
struct Word {
    uint32_t places; /* keys | values << 16 */
    uint32_t code;   /* block | for << 24 | partial << 27 | kind << 28 */

    __device__ static uint64_t make(uint32_t k_place, uint32_t v_place, Kind kind, int block,
                                    uint32_t who, bool partial)
    {
        const uint32_t code = static_cast<uint32_t>(block) | who << 24 | (partial ? 1u << 27 : 0) |
                              static_cast<uint32_t>(kind) << 28;
        return static_cast<uint64_t>(code) << 32 | (k_place | v_place << 16);
    }
    __device__ uint32_t v_place() const { return places >> 16; }
    __device__ int      kind() const { return static_cast<int>(code >> 28); }
    __device__ int      block() const { return static_cast<int>(code & 0xFFFFFF); }
    __device__ uint32_t who() const { return code >> 24 & 7; }
    __device__ bool     is_partial() const { return (code >> 27 & 1) != 0; }
    __device__ bool     is_for(int group) const { return (code >> (24 + group) & 1) != 0; }
};

/* What lies in shared memory. Code has its address in a register and adds the offsets: the compiler
 * would work the address out again at every use. */
template <int kDim> struct Shared {
    static constexpr int kHalves    = kDim / 64;   /* of 64 channels: a swizzled box each */
    static constexpr int kHalfBytes = kRows * 128; /* [64 rows][64 channels] */
    static constexpr int kBlock     = kHalves * kHalfBytes;
    alignas(1024) uint8_t k[kStages][kBlock]; /* keys; queries on their way */
    alignas(1024) uint8_t v[kStages][kBlock];
    uint64_t k_known[kStages], k_full[kStages], k_free[kStages]; /* mbarriers */
    uint64_t v_full[kStages], v_free[kStages], v_landed[kStages];
    uint64_t k_word[kStages]; /* a Word each */
    uint64_t lanes[kStages];  /* keys of the block that count, if it is partial */
    uint32_t v_word[kStages]; /* place | rows of the run << 16; kLast: no more */
};

template <int kDim> struct Ring {
    using S = Shared<kDim>;
    uint32_t base;

    __device__ __forceinline__ uint32_t k(int st) const { return base + S::kBlock * st; }
    __device__ __forceinline__ uint32_t v(int st) const
    {
        return base + static_cast<uint32_t>(offsetof(S, v)) + S::kBlock * st;
    }
#define FILK_SLOT(name, bytes)                                                                     \
    __device__ __forceinline__ uint32_t name(int st) const                                         \
    {                                                                                              \
        return base + static_cast<uint32_t>(offsetof(S, name)) + (bytes)*st;                       \
    }
    FILK_SLOT(k_known, 8)
    FILK_SLOT(k_full, 8)
    FILK_SLOT(k_free, 8)
    FILK_SLOT(v_full, 8)
    FILK_SLOT(v_free, 8)
    FILK_SLOT(v_landed, 8)
    FILK_SLOT(k_word, 8)
    FILK_SLOT(lanes, 8)
    FILK_SLOT(v_word, 4)
#undef FILK_SLOT
};

/* ---- ring ------------------------------------------------------------------------------------ */

static_assert(kStages <= 8, "a stage has three bits");
constexpr uint32_t kLast = 0xFF; /* rows of no run */

/* The word of a place once it is published: it is at `from`. A stage that holds a later place
 * already has been freed by everyone its former content was for: that was not for the caller, and
 * `code` becomes 0. */
__device__ __forceinline__ Word read_word(uint32_t from, uint32_t place)
{
    uint64_t x = ptx::load64(from);
    while (filk_place_before(static_cast<uint32_t>(x), place))
        x = ptx::load64(from);
    const Word w = {static_cast<uint32_t>(x), static_cast<uint32_t>(x >> 32)};
    return {w.places, ((w.places ^ place) & 0xFFFF) == 0 ? w.code : 0};
}

/* ---- producer -------------------------------------------------------------------------------- */

/* Keys of tail group g that a mask row leaves out. */
__device__ __forceinline__ uint64_t left_out(const Params &p, const uint32_t *row, int g)
{
    const uint32_t second = 2 * g + 1 < p.words ? __ldg(row + 2 * g + 1) : 0;
    return filk_mask_left_out(__ldg(row + 2 * g), second, p.mk - 64 * g);
}

/* Takes a stage: waits until the barrier says that it is free, and frees it on behalf of the
 * warpgroups that it is not for, so that they need not look at it. */
__device__ __forceinline__ void claim(uint32_t free, uint32_t place, uint32_t who)
{
    ptx::wait(free, filk_place_parity(place) ^ 1);
    const uint32_t others = kGroups - __popc(who);
    if (others != 0) ptx::arrive(free, kArrivals * others);
}

template <int kDim>
__device__ __forceinline__ void copy_block(uint32_t to, const CUtensorMap *map, int row, int head,
                                           uint32_t full)
{
    using S = Shared<kDim>;
    ptx::arrive_expect(full, S::kBlock);
#pragma unroll
    for (int half = 0; half < S::kHalves; half++)
        ptx::copy_box(to + half * S::kHalfBytes, map, 64 * half, row, head, full);
}

/* Where the run of a block lies. */
template <bool kLanes>
__device__ __forceinline__ void find_run(const Params &p, int block, int *row, int *rows)
{
    *row  = kRows * block;
    *rows = kRows;
    if constexpr (kLanes) {
        if (p.k_offset != nullptr) {
            *row  = __ldg(p.k_offset + block);
            *rows = __ldg(p.k_offset + block + 1) - *row;
        }
    }
}

/* The thread that walks the masks and brings queries and keys. */
template <int kDim, bool kMasked, bool kLanes> struct Producer {
    const Params    &p;
    const Maps      &maps;
    const Ring<kDim> ring;
    uint32_t         k_place = 0, v_place = 0;

    __device__ Producer(const Params &params, const Maps &m, Ring<kDim> r)
        : p(params), maps(m), ring(r)
    {
    }

    __device__ __forceinline__ void bring(const CUtensorMap *map, Kind kind, int block,
                                          uint32_t who, int row, int head, uint64_t lanes)
    {
        const int st = filk_place_stage(k_place);
        claim(ring.k_free(st), k_place, who);
        if (lanes != ~0ull) ptx::store64(ring.lanes(st), lanes);
        ptx::store64(ring.k_word(st), Word::make(k_place, v_place, kind, block, who,
                                                 lanes != ~0ull || kind == kTail));
        ptx::arrive(ring.k_known(st));
        copy_block<kDim>(ring.k(st), map, row, head, ring.k_full(st));
        k_place = filk_place_next(k_place);
        if (kind != kQueries) v_place = filk_place_next(v_place);
    }

    __device__ __forceinline__ void bring_block(int block, uint32_t who, int kv_head)
    {
        int      row, rows;
        uint64_t lanes = ~0ull;
        find_run<kLanes>(p, block, &row, &rows);
        if constexpr (kLanes) {
            lanes = __ldg(p.lanes + kv_head * p.lanes_h + block);
        } else { /* the copy fills what is behind the end with zeros */
            if (p.nk - row < kRows) lanes = (1ull << (p.nk - row)) - 1;
        }
        bring(&maps.k, kKeys, block, who, row, kv_head, lanes);
    }

    __device__ __forceinline__ void bring_tile(int index)
    {
        const int       head = index / p.tiles, first = kGroups * (index % p.tiles);
        const int       n = min(kGroups, p.mq - first), kv_head = head / p.group;
        const uint32_t  all = (1u << n) - 1;
        const uint32_t *row = p.mask + head * p.mask_h + static_cast<int64_t>(first) * p.words;
#pragma unroll 1
        for (int g = 0; g < n; g++)
            bring(&maps.q, kQueries, index, 1u << g, __ldg(p.q_offset + first + g), head, ~0ull);
        if (p.n_sinks > 0)
            bring(&maps.sink_k, kSinks, 0, all, 0, kv_head,
                  p.n_sinks >= 64 ? ~0ull : (1ull << p.n_sinks) - 1);
#pragma unroll 1
        for (int word = 0; word < p.words; word++) {
            const uint32_t valid = filk_mask_valid(p.mk, word);
            uint32_t       bits[kGroups], left = 0;
#pragma unroll
            for (int g = 0; g < kGroups; g++) {
                bits[g] = 0;
                if (kMasked && g < n) bits[g] = __ldg(row + g * p.words + word);
                left |= bits[g];
            }
            left = kMasked ? left & valid : valid;
#pragma unroll 1
            while (left != 0) {
                uint32_t  who;
                const int bit = filk_union_next(bits, &left, &who);
                if (!kMasked) who = all;
                bring_block(32 * word + bit, who, kv_head);
            }
        }
        if constexpr (kMasked) {
#pragma unroll 1
            for (int group = 0; group < p.tail_groups; group++) {
                uint32_t who = 0;
#pragma unroll 1
                for (int g = 0; g < n; g++)
                    who |= left_out(p, row + g * p.words, group) != 0 ? 1u << g : 0;
                if (who != 0) bring(&maps.tail_k, kTail, group, who, kRows * group, kv_head, ~0ull);
            }
        }
    }

    __device__ void run()
    {
        int index = atomicAdd(p.next, 1);
#pragma unroll 1
        while (index < p.heads * p.tiles) {
            const int following = atomicAdd(p.next, 1); /* arrives while this tile is brought */
            bring_tile(index);
            index = following;
        }
        const int st = filk_place_stage(k_place);
        claim(ring.k_free(st), k_place, (1u << kGroups) - 1);
        ptx::store64(ring.k_word(st),
                     Word::make(k_place, v_place, kEnd, 0, (1u << kGroups) - 1, false));
        ptx::arrive(ring.k_known(st));
    }
};

/* The thread that brings the values of the keys that the producer has published. */
template <int kDim, bool kLanes>
__device__ void bring_values(const Params &p, const Maps &maps, Ring<kDim> ring)
{
    int kv_head = 0;
#pragma unroll 1
    for (uint32_t place = 0;; place = filk_place_next(place)) {
        const int st = filk_place_stage(place);
        ptx::wait(ring.k_known(st), filk_place_parity(place));
        const Word     w       = read_word(ring.k_word(st), place);
        const uint32_t v_place = w.v_place();
        const int      to      = filk_place_stage(v_place);
        int            row, rows = kRows;
        if (w.kind() == kEnd) {
            claim(ring.v_free(to), v_place, (1u << kGroups) - 1);
            ptx::store32(ring.v_word(to), v_place | kLast << 16);
            return;
        }
        ptx::arrive(ring.k_free(st));
        if (w.kind() == kQueries) {
            kv_head = w.block() / p.tiles / p.group;
            continue;
        }
        if (w.kind() == kKeys)
            find_run<kLanes>(p, w.block(), &row, &rows);
        else
            row = kRows * w.block();
        claim(ring.v_free(to), v_place, w.who());
        ptx::store32(ring.v_word(to), v_place | static_cast<uint32_t>(rows) << 16);
        const uint32_t full = kLanes && rows < kRows ? ring.v_landed(to) : ring.v_full(to);
        if (w.kind() == kKeys)
            copy_block<kDim>(ring.v(to), &maps.v, row, kv_head, full);
        else if (w.kind() == kSinks)
            copy_block<kDim>(ring.v(to), &maps.sink_v, row, kv_head, full);
        else
            copy_block<kDim>(ring.v(to), &maps.tail_v, row, kv_head, full);
    }
}

/* Until the stage of a place holds the values of it, or of a later one; returns the word. */
__device__ __forceinline__ uint32_t wait_values(uint32_t from, uint32_t place)
{
    uint32_t w = ptx::load32(from);
    while (filk_place_before(w, place))
        w = ptx::load32(from);
    return w;
}

/* The repair warp: rows of V behind the end of a run are the next run's. They become zero before
 * any consumer sees the stage. */
template <int kDim> __device__ void repair(Ring<kDim> ring)
{
    using S            = Shared<kDim>;
    const int lane     = threadIdx.x & 31;
    uint32_t  parities = 0; /* of v_landed, a bit a stage */
    for (uint32_t place = 0;; place = filk_place_next(place)) {
        const int      st   = filk_place_stage(place);
        const uint32_t w    = wait_values(ring.v_word(st), place);
        const int      rows = static_cast<int>(w >> 16);
        if (((w ^ place) & 0xFFFF) != 0) continue; /* whole, and gone already */
        if (rows == static_cast<int>(kLast)) return;
        if (rows == kRows) continue;
        ptx::wait(ring.v_landed(st), parities >> st & 1);
        parities ^= 1u << st;
        for (int at = lane; at < (kRows - rows) * 8 * S::kHalves; at += 32) {
            const int half = at & (S::kHalves - 1), rest = at / S::kHalves;
            ptx::clear16(ring.v(st) + half * S::kHalfBytes + (rows * 8 + rest) * 16);
        }
        ptx::fence_async_shared();
        __syncwarp();
        if (lane == 0) ptx::arrive(ring.v_full(st));
    }
}

/* ---- consumer -------------------------------------------------------------------------------- */

/* One warpgroup, its 64 query rows. */
template <int kDim, bool kMasked, bool kLanes> struct Consumer {
    using S                     = Shared<kDim>;
    static constexpr int kSteps = kDim / 16;

    const Params    &p;
    const Ring<kDim> ring;
    const int        me, lane, warp; /* warpgroup; lane and warp inside it */
    int              index;          /* tile; -1: none yet */

    uint32_t q[kSteps][4];
    float    logit[32];   /* [8 chunks][2 rows][2 keys] */
    float    o[kDim / 2]; /* [kDim/8 chunks][2 rows][2 channels] */
    float    top[2], sum[2];
    bool     bounded; /* `top` is fixed: an upper bound of the row's maximum is close enough */

    __device__ Consumer(const Params &params, Ring<kDim> r, int group)
        : p(params), ring(r), me(group), lane(threadIdx.x & 31), warp(threadIdx.x / 32 % 4),
          index(-1)
    {
    }

    __device__ __forceinline__ int head() const { return index / p.tiles; }
    __device__ __forceinline__ int block() const { return kGroups * (index % p.tiles) + me; }

    __device__ __forceinline__ void release(uint32_t free)
    {
        if (lane == 0) ptx::arrive(free);
    }

    __device__ __forceinline__ void load_queries(int stage)
    {
        const int      row  = 16 * warp + (lane & 7) + (lane >> 3 & 1) * 8;
        const uint32_t base = ring.k(stage) + row * 128;
#pragma unroll
        for (int i = 0; i < kSteps; i++) {
            const int chunk = (i % 4) * 2 + (lane >> 4);
            ptx::load_fragment(q[i], base + (i / 4) * S::kHalfBytes + ((chunk ^ (row & 7)) << 4));
        }
    }

    __device__ __forceinline__ void multiply_keys(int stage)
    {
        const uint32_t k = ring.k(stage);
#pragma unroll
        for (int i = 0; i < kSteps; i++)
            ptx::wgmma_64x64(logit, q[i],
                             ptx::matrix_descriptor(k + (i / 4) * S::kHalfBytes + (i % 4) * 32, 16),
                             i != 0);
    }

    /* Keys that do not count: -inf. */
    __device__ __forceinline__ void drop(uint64_t lanes)
    {
        const uint64_t mine = lanes >> (2 * (lane & 3));
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int i = 0; i < 2; i++)
                if ((mine >> (8 * j + i) & 1) == 0)
                    logit[4 * j + i] = logit[4 * j + 2 + i] = -INFINITY;
    }

    /* Pooled keys: logits become scaled ones, base 2, and get log2(count) + log2(factor). (In units
     * of q.k a bias would be infinite where the scale is near nothing.) */
    __device__ __forceinline__ void add_bias(int group)
    {
        const float *bias =
            p.tail_bias + (static_cast<int64_t>(head() / p.group) * p.tail_groups + group) * kRows +
            2 * (lane & 3);
        const float factor = p.tail_factor != nullptr ? log2f(__ldg(p.tail_factor + head())) : 0.0f;
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float b        = __ldg(bias + 8 * j + i) + factor;
                logit[4 * j + i]     = fmaf(logit[4 * j + i], p.scale_log2, b);
                logit[4 * j + 2 + i] = fmaf(logit[4 * j + 2 + i], p.scale_log2, b);
            }
    }

    __device__ __forceinline__ void finish_logits(const Word &w, int stage, float (&scale)[2])
    {
        uint64_t lanes = ptx::load64(ring.lanes(stage));
        if constexpr (kMasked) {
            if (w.kind() == kTail) {
                lanes = left_out(
                    p, p.mask + head() * p.mask_h + static_cast<int64_t>(block()) * p.words,
                    w.block());
                add_bias(w.block());
                scale[0] = scale[1] = 1.0f;
            }
        }
        drop(lanes);
        /* The bound knows keys, not pooled ones with their counts and factors. */
        if (kMasked && w.kind() == kTail && bounded) {
            drop_idle_top();
            raise_top(kBoundLazy, 1.0f);
        }
    }

    /* The maximum of a row that has met nothing but pooled keys is theirs, however far below the
     * bound. */
    __device__ __forceinline__ void drop_idle_top()
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float total = sum[r];
            total += __shfl_xor_sync(~0u, total, 1);
            total += __shfl_xor_sync(~0u, total, 2);
            if (total == 0.0f) top[r] = -INFINITY;
        }
    }

    /* Where a row's maximum has grown by more than `lazy`, O and the sum are brought to the new
     * one. Logits count `scale` each. */
    __device__ __forceinline__ void raise_top(float lazy, float scale)
    {
        float factor[2] = {1.0f, 1.0f};
        bool  moved     = false;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float best = fmaxf(logit[2 * r], logit[2 * r + 1]);
#pragma unroll
            for (int j = 1; j < 8; j++)
                best = fmaxf(best, fmaxf(logit[4 * j + 2 * r], logit[4 * j + 2 * r + 1]));
            best = fmaxf(best, __shfl_xor_sync(~0u, best, 1));
            best = fmaxf(best, __shfl_xor_sync(~0u, best, 2)) * scale;
            if (best > top[r] + lazy) {
                factor[r] = ptx::exp2_fast(top[r] - best);
                top[r]    = best;
                moved     = true;
            }
        }
        if (__any_sync(~0u, moved)) rescale(factor);
    }

    /* The product inside fmaf is exact, `top` is rounded: what they leave of logits beyond kLarge
     * would be no small number. Such a row's logits are rounded as its maximum was, so that that
     * leaves 0. A row decides for itself. */
    __device__ __forceinline__ void round_large(float (&scale)[2])
    {
        const bool large[2] = {fabsf(top[0]) > kLarge, fabsf(top[1]) > kLarge};
        if (!__any_sync(~0u, large[0] || large[1])) return;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            if (!large[r]) continue;
#pragma unroll
            for (int j = 0; j < 8; j++)
#pragma unroll
                for (int k = 0; k < 2; k++)
                    logit[4 * j + 2 * r + k] *= scale[r];
            scale[r] = 1.0f;
        }
    }

    /* exp2(scaled logit - top) and O += P V, 16 keys at a time: the products of one chunk run while
     * the next one's exponentials are computed. S as the accumulator holds it is A as the next
     * product wants it. */
    __device__ __forceinline__ void add_values(int stage, const float (&scale)[2])
    {
        const uint32_t v        = ring.v(stage);
        const float    minus[2] = {top[0] == -INFINITY ? 0.0f : -top[0],
                                top[1] == -INFINITY ? 0.0f : -top[1]};
        uint32_t weight[4][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float *x = logit + 8 * i + 2 * j;
                x[0]     = ptx::exp2_fast(fmaf(x[0], scale[j & 1], minus[j & 1]));
                x[1]     = ptx::exp2_fast(fmaf(x[1], scale[j & 1], minus[j & 1]));
                sum[j & 1] += x[0] + x[1];
                weight[i][j] = ptx::pack_bf16(x[0], x[1]);
            }
            const uint64_t m = ptx::matrix_descriptor(v + i * 2048, S::kHalfBytes);
            ptx::wgmma_fence();
            if constexpr (kDim == 128)
                ptx::wgmma_64x128_across(o, weight[i], m);
            else
                ptx::wgmma_64x64_across(o, weight[i], m);
        }
        ptx::wgmma_commit();
    }

    __device__ __forceinline__ void rescale(const float (&factor)[2])
    {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            sum[r] *= factor[r];
#pragma unroll
            for (int j = 0; j < kDim / 8; j++) {
                o[4 * j + 2 * r] *= factor[r];
                o[4 * j + 2 * r + 1] *= factor[r];
            }
        }
    }

    __device__ __forceinline__ void step(const Word &w, uint32_t place)
    {
        const int      st      = filk_place_stage(place);
        const uint32_t v_place = w.v_place();
        const int      v_stage = filk_place_stage(v_place);
        ptx::wait(ring.k_full(st), filk_place_parity(place));
        ptx::wgmma_fence();
        multiply_keys(st);
        ptx::wgmma_commit();
        ptx::wgmma_wait<0>();
        float scale[2] = {p.scale_log2, p.scale_log2}; /* of a logit, by row */
        if (w.is_partial()) {
            finish_logits(w, st, scale);
            __syncwarp();
        }
        release(ring.k_free(st));
        if (!bounded) raise_top(kLazy, scale[0]);
        /* Pooled keys may raise a bound, too: one of huge keys that the row leaves out is huge. */
        if (!bounded || (kMasked && w.kind() == kTail)) round_large(scale);
        /* Before the word says so, the barrier's parity speaks of another entry. */
        if constexpr (kMasked) wait_values(ring.v_word(v_stage), v_place);
        ptx::wait(ring.v_full(v_stage), filk_place_parity(v_place));
        add_values(v_stage, scale);
        ptx::wgmma_wait<0>();
        release(ring.v_free(v_stage));
    }

    __device__ __forceinline__ void begin(const Word &w, uint32_t place)
    {
        const int st = filk_place_stage(place);
        ptx::wait(ring.k_full(st), filk_place_parity(place));
        load_queries(st);
        __syncwarp();
        release(ring.k_free(st));
        index = w.block();
#pragma unroll
        for (int i = 0; i < kDim / 2; i++)
            o[i] = 0.0f;
        sum[0] = sum[1] = 0.0f;
        bound_top();
    }

    /* Whether a huge key is among those that the rows keep. */
    __device__ __forceinline__ bool meets_huge() const
    {
        const uint32_t *huge = p.huge + static_cast<int64_t>(head() / p.group) * (p.words + 1);
        const uint32_t *row  = p.mask + head() * p.mask_h + static_cast<int64_t>(block()) * p.words;
        bool            meets = false;
        for (int i = lane; i <= p.words; i += 32) {
            uint32_t blocks = __ldg(huge + i);
            if (kMasked && i < p.words && blocks != 0) blocks &= __ldg(row + i);
            meets |= blocks != 0;
        }
        return meets;
    }

    /* |q| max |k| bounds a row's logits from above and, negated, from below. Where that interval is
     * well inside the exponents of f32, the bound can stand in for the maximum, and nothing needs
     * to be looked for. Squares that left the range of f32 bound nothing. A row that is not finite
     * decides nothing for its neighbours. Pooled keys are not in the bound: see finish_logits. */
    __device__ __forceinline__ void bound_top()
    {
        const float k2    = __ldg(p.k_norm + head() / p.group);
        bool        loose = !(k2 >= kLeastSquare) || meets_huge();
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float    q2      = 0.0f;
            uint32_t strange = 0; /* an exponent of all ones: NaN or inf */
#pragma unroll
            for (int i = 0; i < kSteps; i++)
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    const uint32_t x    = q[i][r + 2 * j];
                    const float    low  = __uint_as_float(x << 16);
                    const float    high = __uint_as_float(x & 0xFFFF0000u);
                    q2                  = fmaf(low, low, fmaf(high, high, q2));
                    strange |= ((x & 0x7F80u) + 0x80u) & 0x8000u;
                    strange |= ((x & 0x7F800000u) + 0x800000u) & 0x80000000u;
                }
            q2 += __shfl_xor_sync(~0u, q2, 1);
            q2 += __shfl_xor_sync(~0u, q2, 2);
            strange |= __shfl_xor_sync(~0u, strange, 1);
            strange |= __shfl_xor_sync(~0u, strange, 2);
            const float bound = sqrtf(q2) * sqrtf(k2) * p.scale_log2 * 1.001f;
            top[r]            = bound - kBoundShift;
            loose |= strange == 0 && !(q2 >= kLeastSquare && bound <= kBoundLimit);
        }
        bounded = !__any_sync(~0u, loose);
        if (!bounded) top[0] = top[1] = -INFINITY;
    }

    __device__ __forceinline__ void store_row(int token, const uint32_t *chunk)
    {
        __nv_bfloat16 *to = p.out + token * p.out_n + head() * p.out_h;
        const int      q4 = lane & 3;
        if (p.wide_out) {
#pragma unroll
            for (int g = 0; g < kDim / 32; g++)
                reinterpret_cast<uint4 *>(to)[4 * g + q4] =
                    make_uint4(chunk[4 * g], chunk[4 * g + 1], chunk[4 * g + 2], chunk[4 * g + 3]);
            return;
        }
#pragma unroll
        for (int g = 0; g < kDim / 32; g++)
#pragma unroll
            for (int i = 0; i < 8; i++)
                to[32 * g + 8 * q4 + i] = __ushort_as_bfloat16(
                    static_cast<unsigned short>(chunk[4 * g + i / 2] >> (16 * (i & 1))));
    }

    /* Chunks of 8 channels are spread over four threads: afterwards each has whole ones. */
    __device__ __forceinline__ void transpose(uint32_t *a)
    {
#pragma unroll
        for (int bit = 1; bit <= 2; bit <<= 1)
#pragma unroll
            for (int i = 0; i < 4; i++)
                if ((i & bit) == 0) {
                    const bool     upper = (lane & bit) != 0;
                    const uint32_t give  = upper ? a[i] : a[i | bit];
                    const uint32_t got   = __shfl_xor_sync(~0u, give, bit);
                    if (upper)
                        a[i] = got;
                    else
                        a[i | bit] = got;
                }
    }

    /* Natural log of a row's sum. A sum of inf has met a logit of inf: NaN, as the formula has it.
     */
    __device__ __forceinline__ static float log_of(float top, float total)
    {
        if (total == 0.0f) return -INFINITY;
        return (top + log2f(total) + 0.0f * total) * kLn2;
    }

    __device__ __forceinline__ void store()
    {
        const int first = __ldg(p.q_offset + block());
        const int rows  = __ldg(p.q_offset + block() + 1) - first;
#pragma unroll
        for (int r = 0; r < 2; r++) {
            const int row   = 16 * warp + (lane >> 2) + 8 * r;
            float     total = sum[r];
            total += __shfl_xor_sync(~0u, total, 1);
            total += __shfl_xor_sync(~0u, total, 2);
            const float inverse = total == 0.0f ? 0.0f : 1.0f / total;
            uint32_t    chunk[kDim / 8];
#pragma unroll
            for (int j = 0; j < kDim / 8; j++)
                chunk[j] =
                    ptx::pack_bf16(o[4 * j + 2 * r] * inverse, o[4 * j + 2 * r + 1] * inverse);
#pragma unroll
            for (int g = 0; g < kDim / 32; g++)
                transpose(chunk + 4 * g);
            if (row < rows) {
                store_row(first + row, chunk);
                if (p.lse != nullptr && (lane & 3) == 0)
                    p.lse[static_cast<int64_t>(head()) * p.nq + first + row] =
                        log_of(top[r], total);
            }
        }
    }

    __device__ __forceinline__ void run()
    {
        for (uint32_t place = 0;; place = filk_place_next(place)) {
            Word w = read_word(ring.k_word(filk_place_stage(place)), place);
            w.code = __shfl_sync(~0u, w.code, 0); /* uniform, and known to be */
            if (!w.is_for(me)) continue;
            w.places = __shfl_sync(~0u, w.places, 0);
            if (w.kind() < kQueries) {
                step(w, place);
                continue;
            }
            if (index >= 0) store();
            if (w.kind() == kEnd) return;
            begin(w, place);
        }
    }
};

/* ---- kernel ---------------------------------------------------------------------------------- */

template <int kDim> __device__ void init(Ring<kDim> ring)
{
    for (int i = 0; i < kStages; i++) {
        ptx::barrier_init(ring.k_known(i), 1);
        ptx::barrier_init(ring.k_full(i), 1);
        ptx::barrier_init(ring.v_full(i), 1);
        ptx::barrier_init(ring.v_landed(i), 1);
        ptx::barrier_init(ring.k_free(i), kGroups * kArrivals + 1);
        ptx::barrier_init(ring.v_free(i), kGroups * kArrivals);
        ptx::store64(ring.k_word(i), 0xFFFF); /* a place before the first */
        ptx::store32(ring.v_word(i), 0xFFFF);
    }
    ptx::fence_barrier_init();
}

template <int kDim, bool kMasked, bool kLanes>
__global__ void __launch_bounds__(kThreads, 1)
    attn_fwd_kernel(const Params p, const __grid_constant__ Maps maps)
{
    FILK_SHARED_ARRAY(uint8_t, raw, 16);
    const Ring<kDim> ring = {ptx::opaque((ptx::shared_address(raw) + 1023) & ~1023u)};
    const int        warp = __shfl_sync(~0u, threadIdx.x / 32, 0); /* uniform, and known to be */
    if (threadIdx.x == 0) init(ring);
    __syncthreads();
    if (warp < 4) {
        ptx::registers_down<kProducerRegs>();
        if (threadIdx.x == 0) {
            Producer<kDim, kMasked, kLanes> producer(p, maps, ring);
            producer.run();
        }
        if (threadIdx.x == 32) bring_values<kDim, kLanes>(p, maps, ring);
        if constexpr (kLanes) {
            if (warp == 2) repair(ring);
        }
    } else {
        ptx::registers_up<kConsumerRegs>();
        Consumer<kDim, kMasked, kLanes> consumer(p, ring, warp / 4 - 1);
        consumer.run();
    }
}

} // namespace attn90

#endif
