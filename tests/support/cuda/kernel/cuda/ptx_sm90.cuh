/* tests/support/cuda/kernel/cuda/ptx_sm90.cuh: the functions of src/kernel/cuda/ptx_sm90.cuh on the
 * CPU (machine.h). */
#ifndef FILK_CUDA_PTX_SM90_CUH
#define FILK_CUDA_PTX_SM90_CUH

#include <cuda.h>
#include <cuda_bf16.h>

#include "kernel/cuda/ptx_sm80.cuh"

namespace ptx
{

using filk::exp2_fast;
using filk::pack_bf16;
using filk::shared_address;

inline void barrier_init(uint32_t barrier, uint32_t arrivals)
{
    machine::barrier_init(barrier, arrivals);
}

inline void fence_barrier_init() {}

inline void arrive(uint32_t barrier, uint32_t count = 1)
{
    if (count == 0) machine::fail("an arrival of nobody");
    machine::barrier_arrive(barrier, count);
}

inline void arrive_expect(uint32_t barrier, uint32_t bytes)
{
    machine::barrier_expect(barrier, bytes);
}

inline void wait(uint32_t barrier, uint32_t parity)
{
    while (!machine::barrier_passed(barrier, parity))
        machine::pass();
}

template <typename T> inline T load(uint32_t from)
{
    machine::pass();
    return *reinterpret_cast<const T *>((uintptr_t)from);
}

template <typename T> inline void store(uint32_t to, T x)
{
    *reinterpret_cast<T *>((uintptr_t)to) = x;
    machine::pass();
}

inline uint32_t load32(uint32_t from)
{
    return load<uint32_t>(from);
}

inline uint64_t load64(uint32_t from)
{
    return load<uint64_t>(from);
}

inline void store32(uint32_t to, uint32_t x)
{
    store(to, x);
}

inline void store64(uint32_t to, uint64_t x)
{
    store(to, x);
}

inline void clear16(uint32_t to)
{
    machine::write_for_engine();
    memset(reinterpret_cast<void *>((uintptr_t)to), 0, 16);
}

inline void prefetch_map(const CUtensorMap *) {}

/* Rows of the box with the swizzle of 128 bytes, zeros outside of the tensor. */
inline void fill_box(uint32_t to, const CUtensorMap &m, int x, int y, int z)
{
    for (uint32_t r = 0; r < m.box[1]; r++)
        for (uint32_t c = 0; c < m.box[0]; c++) {
            const int64_t  at[3]  = {(int64_t)x + c, (int64_t)y + r, z};
            const uint32_t linear = to + r * 128 + c * 2;
            uint16_t       half   = 0;
            bool           inside = true;
            for (int i = 0; i < 3; i++)
                inside = inside && at[i] >= 0 && (uint64_t)at[i] < m.size[i];
            if (inside)
                memcpy(&half,
                       m.base + (uint64_t)at[2] * m.stride[1] + (uint64_t)at[1] * m.stride[0] +
                           (uint64_t)at[0] * 2,
                       sizeof half);
            memcpy(reinterpret_cast<void *>((uintptr_t)(linear ^ (linear >> 7 & 7) << 4)), &half,
                   sizeof half);
        }
}

inline void copy_box(uint32_t to, const CUtensorMap *map, int x, int y, int z, uint32_t barrier)
{
    const CUtensorMap m = *map;
    if (to % 128 != 0) machine::fail("a bulk copy goes to no multiple of 128 bytes");
    machine::copy_later(barrier, m.box[0] * m.box[1] * 2,
                        [to, m, x, y, z]() { fill_box(to, m, x, y, z); });
}

inline void fence_async_shared()
{
    machine::fence_for_engine();
}

template <int kRegisters> inline void registers_up() {}

template <int kRegisters> inline void registers_down() {}

inline void load_fragment(uint32_t (&a)[4], uint32_t from)
{
    filk::load_matrices(a, reinterpret_cast<const unsigned short *>((uintptr_t)from));
}

inline uint32_t opaque(uint32_t x)
{
    return x;
}

inline void wgmma_fence()
{
    machine::multiply_fence();
}

inline void wgmma_commit()
{
    machine::multiply_commit();
}

template <int kPending> inline void wgmma_wait()
{
    machine::multiply_wait(kPending);
}

inline uint64_t matrix_descriptor(uint32_t address, uint32_t chunk)
{
    return (uint64_t)((address & 0x3FFFF) >> 4) | (uint64_t)((chunk & 0x3FFFF) >> 4) << 16 |
           (uint64_t)(1024 >> 4) << 32 | 1ull << 62;
}

inline void wgmma_64x64(float *d, const uint32_t (&a)[4], uint64_t b, int accumulate)
{
    machine::multiply_later(d, a, b, 64, false, accumulate != 0);
}

inline void wgmma_64x64_across(float *d, const uint32_t (&a)[4], uint64_t b)
{
    machine::multiply_later(d, a, b, 64, true, true);
}

inline void wgmma_64x128_across(float *d, const uint32_t (&a)[4], uint64_t b)
{
    machine::multiply_later(d, a, b, 128, true, true);
}

} // namespace ptx

#endif
