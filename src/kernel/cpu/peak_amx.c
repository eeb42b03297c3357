/* kernel/cpu/peak_amx.c: the loop of kernel/cpu/peak.h on tdpbf16ps: tiles of 16 x 16 sums over 32
 * bf16 each, 16,384 products and sums, 32,768 operations.
 *
 * Four independent sums. Tiles are configured and released inside one assembly statement: gcc's
 * intrinsics carry no clobbers, and no call may be made while tiles are configured. The caller has
 * asked the kernel for permission (base/cpu.h). All factors are zero, which AMX does not shortcut.
 */
#include "kernel/cpu/peak.h"

/* Layout of ldtilecfg's operand: palette 1, eight tiles of 16 rows of 64 bytes. */
typedef struct tile_config {
    uint8_t  palette, start_row;
    uint8_t  reserved[14];
    uint16_t row_bytes[16];
    uint8_t  rows[16];
} tile_config;

void filk_peak_bf16_amx(int64_t turns)
{
    _Alignas(64) static const tile_config config = {.palette   = 1,
                                                    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                                    .rows      = {16, 16, 16, 16, 16, 16, 16, 16}};
    if (turns < 1) return;
    __asm__ volatile("ldtilecfg %1\n\t"
                     "tilezero %%tmm0\n\t"
                     "tilezero %%tmm1\n\t"
                     "tilezero %%tmm2\n\t"
                     "tilezero %%tmm3\n\t"
                     "tilezero %%tmm4\n\t"
                     "tilezero %%tmm5\n"
                     "1:\n\t"
                     "tdpbf16ps %%tmm5, %%tmm4, %%tmm0\n\t"
                     "tdpbf16ps %%tmm5, %%tmm4, %%tmm1\n\t"
                     "tdpbf16ps %%tmm5, %%tmm4, %%tmm2\n\t"
                     "tdpbf16ps %%tmm5, %%tmm4, %%tmm3\n\t"
                     "dec %0\n\t"
                     "jnz 1b\n\t"
                     "tilerelease"
                     : "+r"(turns)
                     : "m"(config)
                     : "cc", "memory");
}
