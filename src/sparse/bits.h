/* sparse/bits.h: a few operations on 32-bit words that the masks are made of.
 *
 * Popcount is written out because the build targets the baseline of its architecture, where the
 * builtin would be a call; compilers turn the loop over words into vector code.
 */
#ifndef FILI_SPARSE_BITS_H
#define FILI_SPARSE_BITS_H

#include <stdint.h>

static inline uint32_t fili_popcount(uint32_t x)
{
    x = x - (x >> 1 & 0x55555555u);
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0fu;
    return (x * 0x01010101u) >> 24;
}

/* Index of the lowest set bit; x != 0. */
static inline int32_t fili_lowest_bit(uint32_t x)
{
    return __builtin_ctz(x);
}

/* The n lowest bits, 0 <= n <= 32. */
static inline uint32_t fili_low_bits(int32_t n)
{
    return n >= 32 ? UINT32_MAX : (1u << n) - 1u;
}

/* Each of the 16 low bits twice: bit i goes to 2i and 2i + 1. */
static inline uint32_t fili_double_bits(uint32_t x)
{
    x &= 0xffffu;
    x = (x | x << 8) & 0x00ff00ffu;
    x = (x | x << 4) & 0x0f0f0f0fu;
    x = (x | x << 2) & 0x33333333u;
    x = (x | x << 1) & 0x55555555u;
    return x | x << 1;
}

/* a[i] bit j becomes a[j] bit i: swaps the off-diagonal quarters, then the same inside each. */
static inline void fili_transpose_32x32(uint32_t a[32])
{
    uint32_t low = 0x0000ffffu;
    for (int half = 16; half != 0; half >>= 1, low ^= low << half)
        for (int i = 0; i < 32; i = (i + half + 1) & ~half) {
            const uint32_t swap = (a[i] >> half ^ a[i + half]) & low;
            a[i] ^= swap << half;
            a[i + half] ^= swap;
        }
}

#endif
