/* kernel/cpu/peak_base.c: the loop of kernel/cpu/peak.h for the compiler's baseline: multiply and
 * add on vectors of four f32, eight independent sums. On CPUs that could fuse them (64-bit Arm)
 * -ffp-contract=off keeps the two apart: the reference rows are built the same way.
 */
#include "kernel/cpu/peak.h"

typedef float four __attribute__((vector_size(16)));

#define STEP(sum) (sum) = (sum)*factor + factor
#define KEEP(sum) __asm__ volatile("" ::"m"(sum))

void filk_peak_base(int64_t turns)
{
    four       factor = {0.5f, 0.5f, 0.5f, 0.5f};
    const four zero   = {0.0f, 0.0f, 0.0f, 0.0f};
    four       a = zero, b = zero, c = zero, d = zero, e = zero, f = zero, g = zero, h = zero;
    for (int64_t t = 0; t < turns; t++) {
        /* The compiler cannot know the factor from turn to turn, so that no turn can be foreseen.
         */
        __asm__ volatile("" : "+m"(factor));
        STEP(a);
        STEP(b);
        STEP(c);
        STEP(d);
        STEP(e);
        STEP(f);
        STEP(g);
        STEP(h);
    }
    KEEP(a);
    KEEP(b);
    KEEP(c);
    KEEP(d);
    KEEP(e);
    KEEP(f);
    KEEP(g);
    KEEP(h);
}
