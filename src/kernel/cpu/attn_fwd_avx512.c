/* kernel/cpu/attn_fwd_avx512.c: attn_fwd_tmpl.c for AVX-512 (F, BW, DQ, VL). Compiled with its own
 * flags and called only where the CPU has them.
 */
#include "kernel/cpu/mm_avx512.h"

#include "kernel/cpu/attn_fwd_tmpl.c"

ROW(filk_attn_fwd_bf16_p16__avx512, FIL_BF16, 1, 1)
ROW(filk_attn_fwd_f32_p16__avx512, FIL_F32, 0, 0)
