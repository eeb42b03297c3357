/* tests/support/block_make.h: random blocks of GGUF's types. */
#ifndef TESTS_SUPPORT_BLOCK_MAKE_H
#define TESTS_SUPPORT_BLOCK_MAKE_H

#include <stdint.h>

#include "filigree/file.h"

/* Where the F16 numbers of a block stand, scale and least value; a second one of 0 is none. */
static inline void block_halves(fil_dtype dtype, int at[2])
{
    at[0] = dtype == FIL_Q2_K ? 80 : dtype == FIL_Q3_K ? 108 : dtype == FIL_Q6_K ? 208 : 0;
    at[1] = dtype == FIL_Q2_K                                                                  ? 82
            : dtype == FIL_Q4_1 || dtype == FIL_Q5_1 || dtype == FIL_Q4_K || dtype == FIL_Q5_K ? 2
                                                                                               : 0;
}

static inline void block_bytes(unsigned char *bytes, uint64_t n, uint64_t seed)
{
    uint64_t s = seed * 2 + 1;
    for (uint64_t i = 0; i < n; i++) {
        s        = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (unsigned char)(s >> 56);
    }
}

/* Any bytes, and F16 numbers of this exponent, 1 (2^-14) to 30 (2^15), of either sign. */
static inline void block_fill(fil_dtype dtype, unsigned char *blocks, uint64_t n, int exponent,
                              uint64_t seed)
{
    uint32_t       elements;
    const uint32_t size = fil_dtype_block(dtype, &elements);
    int            at[2];
    block_halves(dtype, at);
    block_bytes(blocks, n * size, seed);
    for (uint64_t b = 0; b < n; b++)
        for (int k = 0; k < 2; k++) {
            unsigned char *high = blocks + b * size + at[k] + 1;
            if (k == 0 || at[k] != 0) *high = (unsigned char)((*high & 0x83) | exponent << 2);
        }
}

#endif
