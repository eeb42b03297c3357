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

#define FILK_TILE_ROWS    64
#define FILK_TILE_THREADS 128 /* four warps of 16 rows */
#define FILK_LOG2E        1.4426950408889634f
#define FILK_LN2          0.6931471805599453f

namespace filk
{

typedef unsigned short half_bits; /* of a bf16 */

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

__device__ inline uint32_t shared_address(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

__device__ inline float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ inline void load_matrices(uint32_t (&r)[4], const half_bits *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(p))
                 : "memory");
}

__device__ inline void load_matrices_turned(uint32_t (&r)[4], const half_bits *p)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(p))
                 : "memory");
}

/* c += a b: 16x16 times 16x8. */
__device__ inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* low in the lower half. */
__device__ inline uint32_t pack_bf16(float low, float high)
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

/* ---- loading tiles -------------------------------------------------------------------------- */

/* 16 bytes from global to shared memory, or zeros. */
__device__ inline void copy_chunk(half_bits *to, const half_bits *from, bool valid)
{
    const int bytes = valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(to)), "l"(from), "r"(bytes)
                 : "memory");
}

__device__ inline void copy_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* All groups but the newest `left` have arrived. */
template <int left> __device__ inline void copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(left) : "memory");
}

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
