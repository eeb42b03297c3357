/* kernel/cuda/mma_tile.h: what the kernels on mma.sync share: tiles of 64 rows of bf16 in shared
 * memory, fragments, exponentials. Reference: PTX ISA, "Warp-level matrix instructions", the layout
 * of mma.m16n8k16.
 *
 * A tile holds 64 rows of D elements (64 or 128). Its 16-byte chunks are swizzled, chunk c of row r
 * at c ^ (r & 7), so that the eight rows of an 8x8 matrix lie in different banks.
 */
#ifndef FILK_CUDA_MMA_TILE_H
#define FILK_CUDA_MMA_TILE_H

#include <cuda_bf16.h>
#include <stdint.h>

#include "kernel/cuda/attn_fwd.h"
#include "kernel/cuda/ptx_sm80.cuh"

#define FILK_TILE_ROWS    64
#define FILK_TILE_THREADS 128 /* four warps of 16 rows */
#define FILK_LOG2E        1.4426950408889634f
#define FILK_LN2          0.6931471805599453f

namespace filk
{

/* Whether rows of a view may be loaded 16 bytes at a time. */
inline bool is_aligned(const filk_attn_view &v)
{
    return ((uintptr_t)v.data | (uintptr_t)(v.stride_n * 2) | (uintptr_t)(v.stride_h * 2)) % 16 ==
           0;
}

template <int D> __device__ inline int chunk_at(int row, int chunk)
{
    return row * D + ((chunk ^ (row & 7)) << 3); /* elements */
}

/* ---- loading tiles -------------------------------------------------------------------------- */

__device__ inline void copy_elements(half_bits *to, const half_bits *from, bool valid)
{
    uint32_t word[4] = {0, 0, 0, 0};
    if (valid) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            word[i] = (uint32_t)from[2 * i] | (uint32_t)from[2 * i + 1] << 16;
    }
    *reinterpret_cast<uint4 *>(to) = make_uint4(word[0], word[1], word[2], word[3]);
}

/* Which rows of global memory a tile takes. */
struct rows_of {
    const half_bits *data; /* of the head */
    int64_t          stride;
    int64_t          base;  /* row r is token base + r */
    const int32_t   *list;  /* not NULL: row r is token list[r] */
    uint64_t         valid; /* a bit per row; the others become zeros */
    int32_t          rows;  /* that are loaded; a multiple of 16 */
};

/* All threads of the CTA. ALIGNED: data and stride on 16 bytes; then it only begins. */
template <int D, bool ALIGNED> __device__ inline void load_tile(half_bits *tile, const rows_of &r)
{
    constexpr int CHUNKS = D / 8;
#pragma unroll 4
    for (int i = threadIdx.x; i < r.rows * CHUNKS; i += FILK_TILE_THREADS) {
        const int        row   = i / CHUNKS;
        const int        chunk = i % CHUNKS;
        const bool       valid = r.valid >> row & 1;
        const int64_t    token = !valid ? 0 : r.list != nullptr ? r.list[row] : r.base + row;
        const half_bits *from  = r.data + token * r.stride + chunk * 8;
        half_bits       *to    = tile + chunk_at<D>(row, chunk);
        if (ALIGNED)
            copy_chunk(to, from, valid);
        else
            copy_elements(to, from, valid);
    }
}

/* The first n bits, 0 to 64. */
__device__ inline uint64_t first_bits(int n)
{
    return n >= 64 ? ~0ull : (1ull << n) - 1;
}

/* A bit per row 0 to 63: `low` of this lane's row, `high` of row lane + 32. */
__device__ inline uint64_t bits_of(bool low, bool high)
{
    const uint64_t a = __ballot_sync(0xffffffffu, low);
    return a | (uint64_t)__ballot_sync(0xffffffffu, high) << 32;
}

/* ---- products ------------------------------------------------------------------------------- */

/* The 16 rows of a warp as the left operand. */
template <int D>
__device__ inline void load_left(uint32_t (&a)[D / 16][4], const half_bits *tile, int first)
{
    const int lane = threadIdx.x & 31;
    const int row  = first + (lane >> 3 & 1) * 8 + (lane & 7);
#pragma unroll
    for (int k = 0; k < D / 16; k++)
        load_matrices(a[k], tile + chunk_at<D>(row, 2 * k + (lane >> 4)));
}

/* s = a K^T for 16 keys from row `first` of the tile: s[0] the first eight, s[1] the others. */
template <int D>
__device__ inline void scores_of(float (&s0)[4], float (&s1)[4], const uint32_t (&a)[D / 16][4],
                                 const half_bits *tile, int first)
{
    const int lane = threadIdx.x & 31;
    const int row  = first + (lane >> 4) * 8 + (lane & 7);
#pragma unroll
    for (int i = 0; i < 4; i++)
        s0[i] = s1[i] = 0.0f;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t b[4];
        load_matrices(b, tile + chunk_at<D>(row, 2 * k + (lane >> 3 & 1)));
        multiply(s0, a[k], b[0], b[1]);
        multiply(s1, a[k], b[2], b[3]);
    }
}

} // namespace filk

#endif
