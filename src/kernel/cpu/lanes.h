/* kernel/cpu/lanes.h: a vector of a row in memory, the last one of which may be short: included
 * after the vector operations, by templates that go along rows of bf16 or f32.
 */
#ifndef FILK_CPU_LANES_H
#define FILK_CPU_LANES_H

#include <stdint.h>

/* Elements i to i + n - 1, at most VF_LANES; lanes behind them are 0. */
INLINE vf get(const void *p, int bf16, int64_t i, int64_t n)
{
    if (bf16) {
        const uint16_t *h = (const uint16_t *)p + i;
        return n < VF_LANES ? vf_load_bf16_n(h, n) : vf_load_bf16(h);
    }
    const float *f = (const float *)p + i;
    return n < VF_LANES ? vf_load_n(f, n) : vf_load(f);
}

/* The same lanes of v. */
INLINE void put(void *p, int bf16, int64_t i, int64_t n, vf v)
{
    uint16_t *h = (uint16_t *)p + i;
    float    *f = (float *)p + i;
    if (bf16 && n < VF_LANES)
        vf_store_bf16_n(h, n, v);
    else if (bf16)
        vf_store_bf16(h, v);
    else if (n < VF_LANES)
        vf_store_n(f, n, v);
    else
        vf_store(f, v);
}

#endif
