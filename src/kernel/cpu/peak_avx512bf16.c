/* kernel/cpu/peak_avx512bf16.c: the loop of kernel/cpu/peak.h on vdpbf16ps: sixteen sums of two
 * products.
 *
 * 24 independent sums in registers: more than latency times ports of any CPU so far. Twelve are
 * not: with a latency of 6 and two ports, Zen 5 then waits a tenth of the time. Written as one
 * assembly statement, since compilers put an array of sums into memory. All factors are zero: no
 * denormals, no slow path.
 */
#include "kernel/cpu/peak.h"

#define EIGHT(what, a, b, c, d, e, f, g, h)                                                        \
    what(a) what(b) what(c) what(d) what(e) what(f) what(g) what(h)
#define SUMS(what)                                                                                 \
    EIGHT(what, "0", "1", "2", "3", "4", "5", "6", "7")                                            \
    EIGHT(what, "8", "9", "10", "11", "12", "13", "14", "15")                                      \
    EIGHT(what, "16", "17", "18", "19", "20", "21", "22", "23")

#define CLEAR(sum) "vpxord %%zmm" sum ", %%zmm" sum ", %%zmm" sum "\n\t"
#define STEP(sum)  "vdpbf16ps %%zmm24, %%zmm24, %%zmm" sum "\n\t"

/* With the attribute, builds that emulate this instruction set may name registers from 16 on. */
__attribute__((target("avx512f"))) void filk_peak_bf16_avx512bf16(int64_t turns)
{
    if (turns < 1) return;
    __asm__ volatile(SUMS(CLEAR) CLEAR("24") ".p2align 6\n"
                                             "1:\n\t" SUMS(STEP) "dec %0\n\t"
                                                                 "jnz 1b\n\t"
                                                                 "vzeroupper"
                     : "+r"(turns)
                     :
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16",
                       "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24");
}
