/* tests/support/cuda/cuda_bf16.h: bf16 as the kernels use it, on the CPU (machine.h). */
#ifndef FIL_TEST_CUDA_BF16_H
#define FIL_TEST_CUDA_BF16_H

#include "cuda_runtime.h"

namespace machine
{

inline float widen_half(uint32_t half)
{
    return __uint_as_float(half << 16);
}

/* To nearest, ties to even; NaN becomes the one that the device makes. */
inline uint16_t narrow_float(float x)
{
    const uint32_t bits = __float_as_uint(x);
    if (x != x) return 0x7FFF;
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

} // namespace machine

struct __nv_bfloat16 {
    unsigned short bits;

    __nv_bfloat16() = default;
    explicit __nv_bfloat16(float x) : bits(machine::narrow_float(x)) {}
};

struct __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 x)
{
    return machine::widen_half(x.bits);
}

inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    return __nv_bfloat16(x);
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y)
{
    return {__nv_bfloat16(x), __nv_bfloat16(y)};
}

inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x)
{
    return x.bits;
}

inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits)
{
    __nv_bfloat16 x;
    x.bits = bits;
    return x;
}

#endif
