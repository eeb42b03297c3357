/* kernel/softmax.c: the choice of a softmax (softmax.h), and the one for every CPU: loops that
 * compilers turn into vector code of the baseline.
 */
#include <math.h>
#include <string.h>

#include "kernel/softmax.h"

enum { LANES = 16, CHUNK = 64 * LANES }; /* elements that are summed before their sum is added */

/* exp of x <= 0 or NaN, below -87 as there: 2^k times a polynomial on [-ln2/2, ln2/2] (Cody and
 * Waite's reduction; Cephes' coefficients). k comes out of the bits of a sum, so nothing is
 * converted and the loop is plain vector code. */
static inline float exp_small(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers */
    const float low   = x < -87.0f ? -87.0f : x;
    const float sum   = low * 1.44269504f + magic;
    const float k     = sum - magic;
    const float r     = (low - k * 0.693359375f) - k * -2.12194440e-4f;
    uint32_t    bits;
    float       scale;
    float       y = 1.9875691500e-4f;
    y             = y * r + 1.3981999507e-3f;
    y             = y * r + 8.3334519073e-3f;
    y             = y * r + 4.1665795894e-2f;
    y             = y * r + 1.6666665459e-1f;
    y             = y * r + 5.0000001201e-1f;
    y             = y * r * r + r + 1.0f;
    memcpy(&bits, &sum, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&scale, &bits, sizeof scale);
    return y * scale;
}

/* Lanes of their own, so that the compiler need not change the order of a sum. A NaN may be passed
 * over here: it makes its row NaN in the sum. */
static float largest(const float *x, int64_t n)
{
    float   top[LANES];
    float   all = -INFINITY;
    int64_t j   = 0;
    for (int i = 0; i < LANES; i++)
        top[i] = -INFINITY;
    for (; j + LANES <= n; j += LANES)
        for (int i = 0; i < LANES; i++)
            top[i] = top[i] > x[j + i] ? top[i] : x[j + i];
    for (; j < n; j++)
        all = all > x[j] ? all : x[j];
    for (int i = 0; i < LANES; i++)
        all = all > top[i] ? all : top[i];
    return all;
}

static float sum_of(const float *x, int64_t n)
{
    float   total[LANES] = {0};
    float   sum          = 0.0f;
    int64_t j            = 0;
    while (j + LANES <= n) {
        float         part[LANES] = {0};
        const int64_t end         = j + CHUNK < n ? j + CHUNK : n;
        for (; j + LANES <= end; j += LANES)
            for (int i = 0; i < LANES; i++)
                part[i] += x[j + i];
        for (int i = 0; i < LANES; i++)
            total[i] += part[i];
    }
    for (; j < n; j++)
        sum += x[j];
    for (int i = 0; i < LANES; i++)
        sum += total[i];
    return sum;
}

void filk_softmax_base(const filk_softmax_row *row)
{
    float *x = row->x;
    for (int64_t j = 0; j < row->n; j++)
        x[j] *= row->scale;
    for (int64_t j = 0; row->bias != NULL && j < row->n; j++)
        x[j] += row->bias[j];
    const float top = largest(x, row->n);
    for (int64_t j = 0; j < row->n; j++)
        x[j] = exp_small(x[j] - top);
    const float over = 1.0f / sum_of(x, row->n);
    for (int64_t j = 0; j < row->n; j++)
        x[j] *= over;
}

filk_softmax_fn filk_softmax_select(fili_isa isa)
{
#define FILK_SOFTMAX(suffix, need)                                                                 \
    if (fili_isa_has(isa, need)) return filk_softmax_##suffix;
#include "kernel/softmax.inc"
#undef FILK_SOFTMAX
    return filk_softmax_base;
}
