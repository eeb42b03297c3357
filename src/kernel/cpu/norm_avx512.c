/* kernel/cpu/norm_avx512.c: the norms of kernel/norm.h for AVX-512 (F, BW, DQ, VL). Compiled with
 * its own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx512.h"
#include "kernel/norm.h"

#define NORM_STEM filk_norm_any_row__avx512
#include "kernel/cpu/norm_tmpl.c"
