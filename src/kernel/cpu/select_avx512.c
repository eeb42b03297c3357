/* kernel/cpu/select_avx512.c: block selection of kernel/select.h for AVX-512 (F, BW, DQ, VL).
 * Compiled with its own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx512.h"
#include "kernel/select.h"

#define SELECT_STEM filk_select_f32_tile__avx512
#include "kernel/cpu/select_tmpl.c"
