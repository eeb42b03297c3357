/* kernel/cpu/softmax_avx512.c: the softmax of kernel/softmax.h for AVX-512 (F, BW, DQ, VL).
 * Compiled with its own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx512.h"

#define SOFTMAX_FN filk_softmax_avx512
#include "kernel/cpu/softmax_tmpl.c"
