/* kernel/cuda/ptx_sm90.cuh: the instructions of Hopper that C++ has no words for, one wrapper each:
 * mbarriers, bulk tensor copies (TMA), warpgroup matrix products (wgmma), register budgets.
 * PTX ISA 8.0, sections 9.7.12 (barriers), 9.7.8.24 (copies), 9.7.14 (wgmma). No logic here.
 */
#ifndef FILK_CUDA_PTX_SM90_CUH
#define FILK_CUDA_PTX_SM90_CUH

#include <stdint.h>
#include <cuda.h>

#include "kernel/cuda/ptx_sm80.cuh"

namespace ptx
{

using filk::exp2_fast;
using filk::pack_bf16;
using filk::shared_address;

/* ---- mbarrier: addresses are in shared memory ------------------------------------------------ */

__device__ inline void barrier_init(uint32_t barrier, uint32_t arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals));
}

/* Makes initialised barriers visible to the copy engine. */
__device__ inline void fence_barrier_init()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void arrive(uint32_t barrier, uint32_t count = 1)
{
    asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
                 "r"(count)
                 : "memory");
}

/* One arrival, and the phase also waits for `bytes` from the copy engine. */
__device__ inline void arrive_expect(uint32_t barrier, uint32_t bytes)
{
    asm volatile(
        "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(barrier),
        "r"(bytes)
        : "memory");
}

/* Until the phase with this parity has completed. */
__device__ inline void wait(uint32_t barrier, uint32_t parity)
{
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%0], %1;\n"
                 "@done bra.uni out;\n"
                 "bra.uni again;\n"
                 "out:\n"
                 "}\n" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* Whether the phase with this parity has completed; may wait for a moment. */
__device__ inline bool test(uint32_t barrier, uint32_t parity)
{
    uint32_t done;
    asm volatile("{\n"
                 ".reg .pred done;\n"
                 "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 done, [%1], %2;\n"
                 "selp.b32 %0, 1, 0, done;\n"
                 "}\n"
                 : "=r"(done)
                 : "r"(barrier), "r"(parity)
                 : "memory");
    return done != 0;
}

/* ---- shared memory by address -----------------------------------------------------------------
 */

/* Words that one thread writes while others look at them, hence the strong operations of the memory
 * model. What else they order, barriers do. */

__device__ inline uint32_t load32(uint32_t from)
{
    uint32_t x;
    asm volatile("ld.relaxed.cta.shared::cta.b32 %0, [%1];" : "=r"(x) : "r"(from) : "memory");
    return x;
}

__device__ inline uint64_t load64(uint32_t from)
{
    uint64_t x;
    asm volatile("ld.relaxed.cta.shared::cta.b64 %0, [%1];" : "=l"(x) : "r"(from) : "memory");
    return x;
}

__device__ inline void store32(uint32_t to, uint32_t x)
{
    asm volatile("st.relaxed.cta.shared::cta.b32 [%0], %1;" ::"r"(to), "r"(x) : "memory");
}

__device__ inline void store64(uint32_t to, uint64_t x)
{
    asm volatile("st.relaxed.cta.shared::cta.b64 [%0], %1;" ::"r"(to), "l"(x) : "memory");
}

/* 16 bytes of zeros */
__device__ inline void clear16(uint32_t to)
{
    asm volatile("st.shared.v4.b32 [%0], {%1, %1, %1, %1};" ::"r"(to), "r"(0) : "memory");
}

/* ---- copies ---------------------------------------------------------------------------------- */

__device__ inline void prefetch_map(const CUtensorMap *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

/* A box of a tensor of rank 3 to shared memory; completes on the barrier. */
__device__ inline void copy_box(uint32_t to, const CUtensorMap *map, int x, int y, int z,
                                uint32_t barrier)
{
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
                 " [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(to),
                 "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier)
                 : "memory");
}

/* Orders shared memory written by threads before what the copy engine or wgmma does with it. */
__device__ inline void fence_async_shared()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* ---- registers ------------------------------------------------------------------------------- */

template <int kRegisters> __device__ inline void registers_up()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

template <int kRegisters> __device__ inline void registers_down()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

/* ---- fragments ------------------------------------------------------------------------------- */

__device__ inline void load_fragment(uint32_t (&a)[4], uint32_t from)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])
                 : "r"(from)
                 : "memory");
}

/* x, in a register from here on: the compiler does not know its value. */
__device__ inline uint32_t opaque(uint32_t x)
{
    asm volatile("" : "+r"(x));
    return x;
}

/* ---- wgmma ----------------------------------------------------------------------------------- */

__device__ inline void wgmma_fence()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ inline void wgmma_commit()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* Until at most kPending groups are under way. */
template <int kPending> __device__ inline void wgmma_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/* A matrix in shared memory with the 128-byte swizzle: 8 rows of 128 bytes make an atom of 1,024
 * bytes; atoms follow each other along the rows. For operands whose other dimension runs along the
 * 128 bytes ("MN major"), `chunk` is the distance in bytes from one chunk of 128 bytes to the next.
 */
__device__ inline uint64_t matrix_descriptor(uint32_t address, uint32_t chunk)
{
    return static_cast<uint64_t>((address & 0x3FFFF) >> 4) |
           static_cast<uint64_t>((chunk & 0x3FFFF) >> 4) << 16 |
           static_cast<uint64_t>(1024 >> 4) << 32 | 1ull << 62;
}

#define FILK_R8(how, d, i)                                                                         \
    how(d[i]), how(d[i + 1]), how(d[i + 2]), how(d[i + 3]), how(d[i + 4]), how(d[i + 5]),          \
        how(d[i + 6]), how(d[i + 7])
#define FILK_R32(how, d, i)                                                                        \
    FILK_R8(how, d, i), FILK_R8(how, d, i + 8), FILK_R8(how, d, i + 16), FILK_R8(how, d, i + 24)

/* d[64 x 64] = a[64 x 16] b, or += if `accumulate`: a in registers, b [64 keys][16] along the rows
 * (K major). */
__device__ inline void wgmma_64x64(float *d, const uint32_t (&a)[4], uint64_t b, int accumulate)
{
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %37, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "{%32, %33, %34, %35}, %36, p, 1, 1, 0;\n}\n"
                 : FILK_R32("+f", d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate));
}

/* d[64 x 64] += a[64 x 16] b: b [16 keys][64] across the rows (MN major). */
__device__ inline void wgmma_64x64_across(float *d, const uint32_t (&a)[4], uint64_t b)
{
    asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
                 "{%32, %33, %34, %35}, %36, p, 1, 1, 1;\n}\n"
                 : FILK_R32("+f", d, 0)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

/* d[64 x 128] += a[64 x 16] b: b [16 keys][128] across the rows (MN major). */
__device__ inline void wgmma_64x128_across(float *d, const uint32_t (&a)[4], uint64_t b)
{
    asm volatile("{\n.reg .pred p;\nsetp.eq.b32 p, 0, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
                 "{%64, %65, %66, %67}, %68, p, 1, 1, 1;\n}\n"
                 : FILK_R32("+f", d, 0), FILK_R32("+f", d, 32)
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

#undef FILK_R8
#undef FILK_R32

} // namespace ptx

#endif
