/* tests/support/cuda/kernel/cuda/ptx_sm80.cuh: the functions of src/kernel/cuda/ptx_sm80.cuh on the
 * CPU (machine.h). */
#ifndef FILK_CUDA_PTX_SM80_CUH
#define FILK_CUDA_PTX_SM80_CUH

#include <cuda_bf16.h>

namespace filk
{

typedef unsigned short half_bits;

inline uint32_t shared_address(const void *p)
{
    return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/* Denormals are zeros, on both sides. */
inline float exp2_fast(float x)
{
    const float y = exp2f(fabsf(x) < 1.17549435e-38f ? 0.0f : x);
    return y < 1.17549435e-38f ? 0.0f : y;
}

inline uint32_t pack_bf16(float low, float high)
{
    return (uint32_t)machine::narrow_float(low) | (uint32_t)machine::narrow_float(high) << 16;
}

/* Matrix i is eight rows of 16 bytes, whose addresses lanes 8 i to 8 i + 7 show. */
inline const half_bits *row_of(const machine::offer *shown, int matrix, unsigned row)
{
    return reinterpret_cast<const half_bits *>((uintptr_t)shown[8 * matrix + (int)row].word[0]);
}

inline const machine::offer *show_row(const char *what, const half_bits *p)
{
    if (shared_address(p) % 16 != 0) machine::fail("ldmatrix is not on 16 bytes");
    return machine::show(what, ~0u, shared_address(p));
}

inline void load_matrices(uint32_t (&r)[4], const half_bits *p)
{
    const machine::offer *shown = show_row("ldmatrix", p);
    const unsigned        lane  = machine::now->lane;
    for (int i = 0; i < 4; i++)
        memcpy(&r[i], row_of(shown, i, lane / 4) + 2 * (lane % 4), sizeof r[i]);
}

inline void load_matrices_turned(uint32_t (&r)[4], const half_bits *p)
{
    const machine::offer *shown = show_row("ldmatrix.trans", p);
    const unsigned        lane  = machine::now->lane;
    for (int i = 0; i < 4; i++)
        r[i] = (uint32_t)row_of(shown, i, 2 * (lane % 4))[lane / 4] |
               (uint32_t)row_of(shown, i, 2 * (lane % 4) + 1)[lane / 4] << 16;
}

inline float half_of(uint32_t pair, int i)
{
    return machine::widen_half(i != 0 ? pair >> 16 : pair & 0xFFFF);
}

/* mma.m16n8k16: this thread has rows lane / 4 and lane / 4 + 8 of a and c, columns 2 (lane % 4) and
 * the next of c; of b, row pairs by lane % 4, column lane / 4. */
inline void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    const machine::offer *shown =
        machine::exchange("mma.m16n8k16", {{a[0], a[1], a[2], a[3], b0, b1}});
    const unsigned lane = machine::now->lane;
    for (int i = 0; i < 4; i++) {
        const unsigned column = 2 * (lane % 4) + (unsigned)(i & 1);
        for (int k = 0; k < 16; k++) {
            const unsigned  quad = (unsigned)(k % 8 / 2);
            const uint32_t *x    = shown[lane / 4 * 4 + quad].word;
            const uint32_t *y    = shown[column * 4 + quad].word;
            c[i] += half_of(x[i / 2 + 2 * (k / 8)], k & 1) * half_of(y[4 + k / 8], k & 1);
        }
    }
}

inline void copy_chunk(half_bits *to, const half_bits *from, bool valid)
{
    machine::copy_chunk(to, valid ? from : nullptr);
}

inline void copy_commit()
{
    machine::copy_commit();
}

template <int left> inline void copy_wait()
{
    machine::copy_wait(left);
}

} // namespace filk

#endif
