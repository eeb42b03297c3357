/* kernel/cpu/conv3d_wino_bf16_avx2.c: conv3d_wino_tmpl.c for AVX2 with FMA, on bf16 pixels and
 * weights. Compiled with its own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx2.h"

#define WINO_BF16
#define WINO_STEM filk_conv3d_bf16_winograd__avx2
#include "kernel/cpu/conv3d_wino_tmpl.c"
