/* kernel/cpu/norm_avx2.c: the norms of kernel/norm.h for AVX2 with FMA. Compiled with its own
 * flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx2.h"
#include "kernel/norm.h"

#define NORM_STEM filk_norm_any_row__avx2
#include "kernel/cpu/norm_tmpl.c"
