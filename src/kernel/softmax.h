/* kernel/softmax.h: softmax of a row in memory, for attention that is made of products of matrices
 * (nn/biased.h, wan/vae_attention.c).
 *
 *     x_j = exp(y_j - max y) / sum_k exp(y_k - max y),   y_j = scale x_j + bias_j
 *
 * In f32; relative error of an element 4e-7 beside what rounding y costs (|y| 2^-24); one below
 * 2^-126 of the largest may be anything up to 2^-124 of it. NaN or +inf in a row, or nothing in it
 * but -inf, makes it NaN. The order of sums depends on n and the instruction set.
 */
#ifndef FILK_SOFTMAX_H
#define FILK_SOFTMAX_H

#include <stdint.h>

#include "base/cpu.h"

typedef struct filk_softmax_row {
    float       *x; /* [n]; becomes the result */
    int64_t      n; /* >= 1 */
    float        scale;
    const float *bias; /* [n]; NULL = 0 */
} filk_softmax_row;

typedef void (*filk_softmax_fn)(const filk_softmax_row *row);

/* The fastest for CPUs that have `isa`. */
filk_softmax_fn filk_softmax_select(fili_isa isa);

#define FILK_SOFTMAX(suffix, isa) void filk_softmax_##suffix(const filk_softmax_row *row);
#include "kernel/softmax.inc"
#undef FILK_SOFTMAX

#endif
