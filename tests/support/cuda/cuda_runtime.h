/* tests/support/cuda/cuda_runtime.h: what the backend's sources use of CUDA C++ and its runtime, on
 * the CPU (machine.h). Names and meanings are the vendor's; what is not used is not here.
 */
#ifndef FIL_TEST_CUDA_RUNTIME_H
#define FIL_TEST_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "machine.h"

/* ---- the language ---------------------------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n)    __attribute__((aligned(n)))
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__      static /* one CTA runs at a time */
#define FILK_SHARED_ARRAY(type, name, alignment)                                                   \
    type *const name = reinterpret_cast<type *>(machine::dynamic_shared(alignment))

struct __attribute__((aligned(8))) uint2 {
    unsigned x, y;
};

struct __attribute__((aligned(16))) uint4 {
    unsigned x, y, z, w;
};

struct __attribute__((aligned(16))) float4 {
    float x, y, z, w;
};

inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

inline float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

inline int min(int a, int b)
{
    return a < b ? a : b;
}

inline int max(int a, int b)
{
    return a > b ? a : b;
}

/* ---- functions of a thread ------------------------------------------------------------------- */

template <typename T> inline T __ldg(const T *p)
{
    return *p;
}

inline uint32_t __float_as_uint(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float __uint_as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline float __fmul_rn(float a, float b)
{
    return a * b;
}

inline int __popc(unsigned x)
{
    return __builtin_popcount(x);
}

inline int __ffs(int x)
{
    return __builtin_ffs(x);
}

inline int __clzll(long long x)
{
    return x == 0 ? 64 : __builtin_clzll((unsigned long long)x);
}

inline size_t __cvta_generic_to_shared(const void *p)
{
    return (size_t)p;
}

template <typename T> inline T atomicAdd(T *p, T x)
{
    const T old = *p;
    *p          = old + x;
    return old;
}

template <typename T> inline T atomicOr(T *p, T x)
{
    const T old = *p;
    *p          = old | x;
    return old;
}

template <typename T> inline T atomicMax(T *p, T x)
{
    const T old = *p;
    *p          = old > x ? old : x;
    return old;
}

template <typename T> inline T atomicMin(T *p, T x)
{
    const T old = *p;
    *p          = old < x ? old : x;
    return old;
}

inline void __syncthreads()
{
    machine::sync_block();
}

/* ---- functions of a warp, all of whose lanes take part --------------------------------------- */

namespace machine
{

template <typename T> inline const offer *show(const char *what, unsigned mask, T x)
{
    static_assert(sizeof(T) == 4, "four bytes");
    offer mine = {};
    if (mask != ~0u) fail("an instruction of a part of a warp");
    memcpy(mine.word, &x, sizeof x);
    return exchange(what, mine);
}

template <typename T> inline T shown_by(const offer *shown, unsigned lane)
{
    T x;
    memcpy(&x, shown[lane].word, sizeof x);
    return x;
}

} // namespace machine

inline void __syncwarp()
{
    (void)machine::show("__syncwarp", ~0u, 0);
}

template <typename T> inline T __shfl_sync(unsigned mask, T x, int lane)
{
    return machine::shown_by<T>(machine::show("__shfl_sync", mask, x), (unsigned)lane);
}

template <typename T> inline T __shfl_xor_sync(unsigned mask, T x, int bits)
{
    const machine::offer *shown = machine::show("__shfl_xor_sync", mask, x);
    return machine::shown_by<T>(shown, machine::now->lane ^ (unsigned)bits);
}

inline unsigned __ballot_sync(unsigned mask, int yes)
{
    const machine::offer *shown = machine::show("__ballot_sync", mask, yes != 0 ? 1u : 0u);
    unsigned              bits  = 0;
    for (unsigned l = 0; l < machine::now->of->lanes; l++)
        bits |= shown[l].word[0] << l;
    return bits;
}

inline int __any_sync(unsigned mask, int yes)
{
    return __ballot_sync(mask, yes) != 0;
}

inline unsigned __reduce_or_sync(unsigned mask, unsigned x)
{
    const machine::offer *shown = machine::show("__reduce_or_sync", mask, x);
    unsigned              all   = 0;
    for (unsigned l = 0; l < machine::now->of->lanes; l++)
        all |= shown[l].word[0];
    return all;
}

inline int __reduce_add_sync(unsigned mask, int x)
{
    const machine::offer *shown = machine::show("__reduce_add_sync", mask, x);
    unsigned              all   = 0;
    for (unsigned l = 0; l < machine::now->of->lanes; l++)
        all += shown[l].word[0];
    return (int)all;
}

/* ---- the runtime ----------------------------------------------------------------------------- */

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue,
    cudaErrorMemoryAllocation,
    cudaErrorInvalidConfiguration,
    cudaErrorInvalidDevice,
    cudaErrorSymbolNotFound,
    cudaErrorNotReady
};

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice
};

enum cudaMemoryType {
    cudaMemoryTypeUnregistered,
    cudaMemoryTypeHost,
    cudaMemoryTypeDevice,
    cudaMemoryTypeManaged
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaDriverEntryPointQueryResult {
    cudaDriverEntryPointSuccess,
    cudaDriverEntryPointSymbolNotFound
};
enum { cudaStreamNonBlocking = 1, cudaEnableDefault = 0, cudaHostRegisterDefault = 0 };

typedef struct machine_stream *cudaStream_t;
typedef struct machine_event  *cudaEvent_t;

struct cudaDeviceProp {
    char name[256];
    int  major, minor, multiProcessorCount;
};

struct cudaPointerAttributes {
    cudaMemoryType type;
    int            device;
};

struct cudaLaunchAttribute;

struct cudaLaunchConfig_t {
    dim3                 gridDim, blockDim;
    size_t               dynamicSmemBytes;
    cudaStream_t         stream;
    cudaLaunchAttribute *attrs;
    unsigned             numAttrs;
};

cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaGetLastError();
const char *cudaGetErrorName(cudaError_t e);
const char *cudaGetErrorString(cudaError_t e);
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **entry, unsigned version,
                                             unsigned long long               flags,
                                             cudaDriverEntryPointQueryResult *result);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);

cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *block);
cudaError_t cudaHostRegister(void *block, size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void *block);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute what, int value);

namespace machine
{

/* Queues work in a stream: it runs when somebody waits for the stream. */
void queue(cudaStream_t stream, const std::function<void()> &work);

cudaError_t launch(const cudaLaunchConfig_t &c, const void *kernel,
                   const std::function<void()> &body);

/* Fails where one of the words points to the host's memory: no kernel reaches that. (Two numbers of
 * 32 bits beside each other may look like such a pointer, once in some hundred thousands.) */
void refuse_host(const void *words, size_t bytes);

template <typename T> inline int look_at(T argument)
{
#ifndef __clang__ /* which cannot clear what lies between members */
    __builtin_clear_padding(&argument);
    refuse_host(&argument, sizeof argument);
#endif
    return sizeof argument;
}

} // namespace machine

/* Arguments are copied when a kernel is launched. */
template <typename... P, typename... A>
inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *c, void (*kernel)(P...), A &&...a)
{
    const std::tuple<std::decay_t<P>...> held(std::forward<A>(a)...);
    std::apply([](const auto &...x) { (void)(0 + ... + machine::look_at(x)); }, held);
    return machine::launch(*c, reinterpret_cast<const void *>(kernel),
                           [kernel, held]() { std::apply(kernel, held); });
}

template <typename T>
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *n, T, int, size_t)
{
    *n = 1; /* few, so that kernels that step on by the grid's size do */
    return cudaSuccess;
}

#endif
