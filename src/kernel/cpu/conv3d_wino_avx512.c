/* kernel/cpu/conv3d_wino_avx512.c: conv3d_wino_tmpl.c for AVX-512 (F, BW, DQ, VL). Compiled with
 * its own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx512.h"

#define WINO_STEM filk_conv3d_f32_winograd__avx512
#include "kernel/cpu/conv3d_wino_tmpl.c"
