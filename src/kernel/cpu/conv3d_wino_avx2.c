/* kernel/cpu/conv3d_wino_avx2.c: conv3d_wino_tmpl.c for AVX2 with FMA. Compiled with its own flags
 * and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx2.h"

#define WINO_STEM filk_conv3d_f32_winograd__avx2
#include "kernel/cpu/conv3d_wino_tmpl.c"
