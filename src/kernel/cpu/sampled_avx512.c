/* kernel/cpu/sampled_avx512.c: attention of a few rows in parts (kernel/sampled.h) for AVX-512.
 * Compiled with its own flags and called only where the CPU has them.
 */
#include "kernel/cpu/vec_avx512.h"
#include "kernel/sampled.h"

#define SAMPLED_STEM filk_sampled_f32_tile__avx512
#include "kernel/cpu/sampled_tmpl.c"
