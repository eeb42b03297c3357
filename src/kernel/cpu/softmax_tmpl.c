/* kernel/cpu/softmax_tmpl.c: the softmax of kernel/softmax.h. Included, not compiled: the including
 * file brings the vector operations and names the function (SOFTMAX_FN).
 *
 * Three passes over a row that lies in a cache: y and its maximum, exp and sum, the division.
 */
#include <math.h>

#include "kernel/cpu/activation.h"
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

/* The vector at j, of which n lanes count. The others are -inf. */
INLINE vf scaled(const filk_softmax_row *row, int64_t j, int64_t n)
{
    const vf scale = vf_set1(row->scale);
    const vf x     = n < VF_LANES ? vf_load_n(row->x + j, n) : vf_load(row->x + j);
    vf       bias  = vf_set1(0.0f);
    if (row->bias != NULL)
        bias = n < VF_LANES ? vf_load_n(row->bias + j, n) : vf_load(row->bias + j);
    return vf_pick(vm_first(n), vf_fma(x, scale, bias), vf_set1(-INFINITY));
}

INLINE void keep(const filk_softmax_row *row, int64_t j, vf v)
{
    if (row->n - j >= VF_LANES)
        vf_store(row->x + j, v);
    else
        vf_store_n(row->x + j, row->n - j, v);
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

void SOFTMAX_FN(const filk_softmax_row *row)
{
    const filk_softmax_row one = {.x = row->x, .n = row->n, .scale = 1.0f};
    vf                     top = vf_set1(-INFINITY);
    vf                     sum = vf_set1(0.0f);
    for (int64_t j = 0; j < row->n; j += VF_LANES) {
        const vf y = scaled(row, j, row->n - j);
        top        = vf_max(y, top); /* passes NaN over: they come back in the sum */
        keep(row, j, y);
    }
    const vf most = vf_set1(largest_lane(top));
    for (int64_t j = 0; j < row->n;) {
        vf part = vf_set1(0.0f);
        for (int i = 0; i < CHUNK && j < row->n; i++, j += VF_LANES) {
            const vf e = exp_of(scaled(&one, j, row->n - j) - most);
            part       = part + e;
            keep(row, j, e);
        }
        sum = sum + part;
    }
    const vf over = vf_set1(1.0f / vf_sum(sum));
    for (int64_t j = 0; j < row->n; j += VF_LANES)
        keep(row, j, scaled(&one, j, row->n - j) * over);
}
