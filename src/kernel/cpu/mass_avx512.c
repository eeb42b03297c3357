/* kernel/cpu/mass_avx512.c: mass_tmpl.c for AVX-512 (F, BW, DQ, VL). Compiled with its own flags
 * and called only where the CPU has them.
 */
#include "kernel/cpu/mm_avx512.h"

#include "kernel/cpu/mass_tmpl.c"

ROW(filk_mass_bf16_p16__avx512, FIL_BF16, 1)
ROW(filk_mass_f32_p16__avx512, FIL_F32, 0)
