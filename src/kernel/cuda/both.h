/* kernel/cuda/both.h: functions that a kernel calls, and a test on machines without a GPU: they are
 * compiled as C for the host, and as CUDA for both sides. */
#ifndef FILK_CUDA_BOTH_H
#define FILK_CUDA_BOTH_H

#ifdef __CUDACC__
#define FILK_BOTH __host__ __device__ __forceinline__
#else
#define FILK_BOTH static inline
#endif

#endif
