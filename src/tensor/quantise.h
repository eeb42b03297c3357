/* tensor/quantise.h: F32 into Q8_0, the block type of GGUF files that costs next to nothing.
 *
 * A block: 32 elements, a scale d in F16, then 32 signed bytes. As ggml defines it, so that the
 * bits are those of other converters: s = max|x| / 127 in F32; q = x * (1 / s), rounded to nearest
 * with halves away from zero, all zero where s is 0; d = s rounded to F16. So an element is off by
 * at most half a step of s, and by 127 times what rounding s to d leaves.
 */
#ifndef FILI_TENSOR_QUANTISE_H
#define FILI_TENSOR_QUANTISE_H

#include <stdbool.h>
#include <stddef.h>

enum { FILI_Q8_0_ELEMENTS = 32, FILI_Q8_0_BYTES = 34 };

/* src [blocks * 32] to dst [blocks * 34], of any alignment. false: an element is NaN or infinite,
 * or so large that no F16 holds its scale (above 8.3e6); dst is then undefined. */
bool fili_quantise_q8_0(unsigned char *dst, const float *src, size_t blocks);

#endif
