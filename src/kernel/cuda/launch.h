/* kernel/cuda/launch.h: the one way by which a kernel is launched, and how a failure is told.
 *
 * A launch that the runtime refuses, for its sizes or because an earlier kernel has failed, leaves
 * the kernel's name, its grid and the runtime's words in the stream's error text.
 */
#ifndef FILK_CUDA_LAUNCH_H
#define FILK_CUDA_LAUNCH_H

#include <cuda_runtime.h>
#include <stdio.h>

#include "kernel/cuda/attn_fwd.h"

/* FIL_OK, or the status of a runtime call with `what` and the runtime's text. */
inline fil_status filk_cuda_check(const filk_cuda_stream *s, cudaError_t e, const char *what)
{
    if (e == cudaSuccess) return FIL_OK;
    (void)cudaGetLastError(); /* forget it, unless it is of the kind that stays */
    snprintf(s->error, s->error_size, "%s: %s: %s", what, cudaGetErrorName(e),
             cudaGetErrorString(e));
    return e == cudaErrorMemoryAllocation ? FIL_E_NOMEM_DEV : FIL_E_DEVICE;
}

/* The dynamic shared memory of a CTA, an array of `type`. Tests that run kernels on the CPU have
 * another one. */
#ifndef FILK_SHARED_ARRAY
#define FILK_SHARED_ARRAY(type, name, alignment)                                                   \
    extern __shared__ __align__(alignment)                                                         \
    type              name[]
#endif

struct filk_grid {
    dim3   grid, block;
    size_t shared; /* dynamic shared memory, bytes */
};

/* 256 threads a CTA for `work` of them, and no more CTAs than eight an SM: kernels that step on by
 * the grid's size. */
enum { FILK_CUDA_THREADS = 256 };

inline filk_grid filk_cuda_grid(const filk_cuda_stream *s, int64_t work)
{
    const int64_t want = (work + FILK_CUDA_THREADS - 1) / FILK_CUDA_THREADS;
    const int64_t most = (int64_t)s->sms * 8;
    filk_grid     g;
    g.grid   = dim3((unsigned)(want < most ? want : most));
    g.block  = dim3(FILK_CUDA_THREADS);
    g.shared = 0;
    return g;
}

inline fil_status filk_cuda_launched(const filk_cuda_stream *s, const char *name,
                                     const filk_grid &g, cudaError_t e)
{
    char what[160];
    if (e == cudaSuccess) return FIL_OK;
    snprintf(what, sizeof what, "%s, grid %ux%ux%u, block %u, shared %zu", name, g.grid.x, g.grid.y,
             g.grid.z, g.block.x, g.shared);
    return filk_cuda_check(s, e, what);
}

/* Launches kernel(args...). `name` is what the error text calls it. */
template <typename... Params, typename... Args>
inline fil_status filk_cuda_launch(const filk_cuda_stream *s, const char      *name,
                                   void (*kernel)(Params...), const filk_grid &g, Args... args)
{
    const size_t plain = 48 * 1024; /* more shared memory is to be asked for */
    cudaError_t  e     = cudaSuccess;
    if (g.grid.x == 0 || g.grid.y == 0 || g.grid.z == 0) return FIL_OK; /* nothing to do */
    if (g.shared > plain)
        e = cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                 cudaFuncAttributeMaxDynamicSharedMemorySize, (int)g.shared);
    if (e == cudaSuccess) {
        cudaLaunchConfig_t c = {};
        c.gridDim            = g.grid;
        c.blockDim           = g.block;
        c.dynamicSmemBytes   = g.shared;
        c.stream             = static_cast<cudaStream_t>(s->stream);
        e                    = cudaLaunchKernelEx(&c, kernel, static_cast<Params>(args)...);
    }
    return filk_cuda_launched(s, name, g, e);
}

#endif
