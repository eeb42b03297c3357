/* kernel/cpu/peak_amx.c: the loop of kernel/cpu/peak.h on tdpbf16ps: tiles of 16 x 16 sums over 32
 * bf16 each, 8,192 products and as many sums, 16,384 operations.
 *
 * Four independent sums. All factors are zero, which AMX does not shortcut.
 */
#include "kernel/cpu/amx.h"
#include "kernel/cpu/peak.h"

void filk_peak_bf16_amx(int64_t turns)
{
    amx_begin(); /* tiles 4 and 5 are zero */
    for (int64_t i = 0; i < turns; i++) {
        AMX_DP(0, 4, 5);
        AMX_DP(1, 4, 5);
        AMX_DP(2, 4, 5);
        AMX_DP(3, 4, 5);
    }
    amx_end();
}
