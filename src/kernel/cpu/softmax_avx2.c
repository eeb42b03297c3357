/* kernel/cpu/softmax_avx2.c: the softmax of kernel/softmax.h for AVX2 with FMA. Compiled with
 * its own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx2.h"

#define SOFTMAX_FN filk_softmax_avx2
#include "kernel/cpu/softmax_tmpl.c"
