/* kernel/cpu/sampled_avx2.c: attention of a few rows in parts (kernel/sampled.h) for AVX2 with FMA.
 * Compiled with its own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx2.h"
#include "kernel/sampled.h"

#define SAMPLED_STEM filk_sampled_f32_tile__avx2
#include "kernel/cpu/sampled_tmpl.c"
