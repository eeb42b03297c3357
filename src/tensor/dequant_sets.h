/* tensor/dequant_sets.h: the variants that dequant_base.c and dequant_avx2.c define, and what both
 * compute with plain integers. dequant.c lists the variants.
 */
#ifndef FILI_TENSOR_DEQUANT_SETS_H
#define FILI_TENSOR_DEQUANT_SETS_H

#include "tensor/dequant.h"

extern const fili_dequant_set fili_dequant_base;
extern const fili_dequant_set fili_dequant_avx2;

/* Where the bits of elements 16 * part .. 16 * part + 15 lie in a super-block whose halves take
 * `half` bytes each: groups of 32 neighbours lie over one another. */
static inline size_t fili_dequant_place(int part, size_t half)
{
    return half * (size_t)(part / 8) + (part % 2 != 0 ? 16 : 0);
}

/* Scale and smallest value number j of 8, 6 bits each, of the 12 bytes that Q4_K and Q5_K have
 * alike. */
static inline void fili_dequant_scales(const unsigned char *s, int j, int *scale, int *least)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *least = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *least = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

/* Scale number k of the 16 of Q3_K, -32 to 31: four bits in a nibble of the first 8 bytes, two in
 * the last 4. */
static inline int fili_dequant_scale3(const unsigned char *s, int k)
{
    const int low = k < 8 ? s[k] & 15 : s[k - 8] >> 4;
    const int top = s[8 + k % 4] >> 2 * (k / 4) & 3;
    return (low | top << 4) - 32;
}

#endif
