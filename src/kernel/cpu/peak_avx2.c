/* kernel/cpu/peak_avx2.c: the loop of kernel/cpu/peak.h on vfmadd231ps, eight f32 at a time.
 *
 * Twelve independent sums in registers: more than latency times ports of any CPU so far. Written as
 * one assembly statement, since compilers put an array of sums into memory. All factors
 * are zero: no denormals, no slow path.
 */
#include "kernel/cpu/peak.h"

#define STEP(sum) "vfmadd231ps %%ymm14, %%ymm14, %%ymm" sum "\n\t"
#define SUMS                                                                                       \
    STEP("0")                                                                                      \
    STEP("1")                                                                                      \
    STEP("2")                                                                                      \
    STEP("3")                                                                                      \
    STEP("4")                                                                                      \
    STEP("5")                                                                                      \
    STEP("6")                                                                                      \
    STEP("7")                                                                                      \
    STEP("8")                                                                                      \
    STEP("9")                                                                                      \
    STEP("10")                                                                                     \
    STEP("11")

void filk_peak_f32_avx2(int64_t turns)
{
    if (turns < 1) return;
    __asm__ volatile("vxorps %%xmm0, %%xmm0, %%xmm0\n\t"
                     "vxorps %%xmm1, %%xmm1, %%xmm1\n\t"
                     "vxorps %%xmm2, %%xmm2, %%xmm2\n\t"
                     "vxorps %%xmm3, %%xmm3, %%xmm3\n\t"
                     "vxorps %%xmm4, %%xmm4, %%xmm4\n\t"
                     "vxorps %%xmm5, %%xmm5, %%xmm5\n\t"
                     "vxorps %%xmm6, %%xmm6, %%xmm6\n\t"
                     "vxorps %%xmm7, %%xmm7, %%xmm7\n\t"
                     "vxorps %%xmm8, %%xmm8, %%xmm8\n\t"
                     "vxorps %%xmm9, %%xmm9, %%xmm9\n\t"
                     "vxorps %%xmm10, %%xmm10, %%xmm10\n\t"
                     "vxorps %%xmm11, %%xmm11, %%xmm11\n\t"
                     "vxorps %%xmm14, %%xmm14, %%xmm14\n\t"
                     ".p2align 6\n"
                     "1:\n\t" SUMS "dec %0\n\t"
                     "jnz 1b\n\t"
                     "vzeroupper"
                     : "+r"(turns)
                     :
                     : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
                       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14");
}
