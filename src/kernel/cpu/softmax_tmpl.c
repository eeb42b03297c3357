/* kernel/cpu/softmax_tmpl.c: the softmax of kernel/softmax.h. Included, not compiled: the including
 * file brings the vector operations and names the function (SOFTMAX_FN).
 *
 * Three passes over a row that lies in a cache: y and its maximum, exp and sum, the division.
 */
#include <math.h>

#include "kernel/cpu/activation.h"
#include "kernel/cpu/lanes.h"
#include "kernel/softmax.h"

#define LOG2E_REST 1.92596e-8f /* log2(e) - LOG2E */
#define LOWEST     (-170.0f)   /* exp of it is 0 */
#define CHUNK      64          /* vectors that are summed before their sum is added */

/* exp of t <= 0, NaN where t is: t log2(e) = n + f, the product kept to more than f32. */
INLINE vf exp_of(vf t)
{
    const vf low = vf_max(vf_set1(LOWEST), t);
    const vf n   = vf_round(low * vf_set1(LOG2E));
    const vf f   = vf_fma(low, vf_set1(LOG2E), vf_set1(0.0f) - n);
    return exp2_parts(n, vf_fma(low, vf_set1(LOG2E_REST), f));
}

/* The largest lane. Lanes are never NaN. */
INLINE float largest_lane(vf v)
{
    float lane[VF_LANES];
    float top = -INFINITY;
    vf_store(lane, v);
    for (int i = 0; i < VF_LANES; i++)
        top = lane[i] > top ? lane[i] : top;
    return top;
}

/* v, and `other` in lanes from n on. */
INLINE vf first_lanes(vf v, int64_t n, float other)
{
    return vf_pick(vm_first(n), v, vf_set1(other));
}

void SOFTMAX_FN(const filk_softmax_row *row)
{
    float        *x     = row->x;
    const int64_t n     = row->n;
    const vf      scale = vf_set1(row->scale);
    vf            top   = vf_set1(-INFINITY);
    vf            sum   = vf_set1(0.0f);
    for (int64_t j = 0; j < n; j += VF_LANES) {
        const vf bias = row->bias != NULL ? get(row->bias, 0, j, n - j) : vf_set1(0.0f);
        const vf y    = vf_fma(get(x, 0, j, n - j), scale, bias);
        put(x, 0, j, n - j, y);
        top = vf_max(first_lanes(y, n - j, -INFINITY), top); /* NaN come back in the sum */
    }
    const vf most = vf_set1(largest_lane(top));
    for (int64_t j = 0; j < n;) {
        vf part = vf_set1(0.0f);
        for (int i = 0; i < CHUNK && j < n; i++, j += VF_LANES) {
            const vf e = exp_of(get(x, 0, j, n - j) - most);
            put(x, 0, j, n - j, e);
            part = part + first_lanes(e, n - j, 0.0f);
        }
        sum = sum + part;
    }
    const vf over = vf_set1(1.0f / vf_sum(sum));
    for (int64_t j = 0; j < n; j += VF_LANES)
        put(x, 0, j, n - j, get(x, 0, j, n - j) * over);
}
