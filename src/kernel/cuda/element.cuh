/* kernel/cuda/element.cuh: elements of bf16 and f32 as f32, and back, rounded to nearest. */
#ifndef FILK_CUDA_ELEMENT_CUH
#define FILK_CUDA_ELEMENT_CUH

#include <cuda_bf16.h>

namespace
{

__device__ inline float widen(float x)
{
    return x;
}

__device__ inline float widen(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

__device__ inline void narrow(float *to, float x)
{
    *to = x;
}

__device__ inline void narrow(__nv_bfloat16 *to, float x)
{
    *to = __float2bfloat16_rn(x);
}

} // namespace

#endif
