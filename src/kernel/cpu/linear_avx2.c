/* kernel/cpu/linear_avx2.c: linear_tmpl.c for AVX2 and FMA. Compiled with its own flags and called
 * only where the CPU has them.
 */
#include "kernel/cpu/mm_avx2.h"

#define LINEAR_PASS    filk_tile_avx2
#define LINEAR_BLOCK_K 384 /* a panel's block and six rows of x: 21 KiB of bf16 and f32 */
#include "kernel/cpu/linear_tmpl.c"

ROW(filk_linear_bf16_tile__avx2, FIL_BF16)
ROW(filk_linear_f32_tile__avx2, FIL_F32)
