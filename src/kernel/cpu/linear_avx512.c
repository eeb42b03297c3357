/* kernel/cpu/linear_avx512.c: linear_tmpl.c for AVX-512 (F, BW, DQ, VL). Compiled with its own
 * flags and called only where the CPU has them.
 */
#include "kernel/cpu/mm_avx512.h"

#define LINEAR_PASS    filk_tile_avx512
#define LINEAR_BLOCK_K 160 /* the block of two panels and twelve rows of x: 27 KiB of f32 */
#include "kernel/cpu/linear_tmpl.c"

ROW(filk_linear_bf16_tile__avx512, FIL_BF16)
ROW(filk_linear_f32_tile__avx512, FIL_F32)
