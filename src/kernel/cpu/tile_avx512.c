/* kernel/cpu/tile_avx512.c: the pass of tile.h for AVX-512 (F, BW, DQ, VL). Compiled with its own
 * flags and called only where the CPU has them.
 */
#include "kernel/cpu/tile.h"
#include "kernel/cpu/vec_avx512.h"

#define TILE_FN filk_tile_avx512
#include "kernel/cpu/tile_tmpl.c"
