/* kernel/cpu/select_avx2.c: block selection of kernel/select.h for AVX2 with FMA. Compiled with its
 * own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx2.h"
#include "kernel/select.h"

#define SELECT_STEM filk_select_f32_tile__avx2
#include "kernel/cpu/select_tmpl.c"
