/* kernel/cpu/tile_avx2.c: the pass of tile.h for AVX2 with FMA. Compiled with its own flags and
 * called only where the CPU has them.
 */
#include "kernel/cpu/tile.h"
#include "kernel/cpu/vec_avx2.h"

#define TILE_FN filk_tile_avx2
#include "kernel/cpu/tile_tmpl.c"
