/* kernel/cpu/activation.h: 2^x and the activations, on vectors: included after the vector
 * operations.
 *
 * Both are x / (1 + 2^t): SiLU with t = -x log2(e), and GELU with its tanh written as a sigmoid,
 * 0.5 (1 + tanh u) = 1 / (1 + exp(-2u)). 2^t: round, degree 6 (fitted at Chebyshev nodes, relative
 * error 3e-9), scale. An activation of -inf is NaN, as in the formula.
 */
#ifndef FILK_CPU_ACTIVATION_H
#define FILK_CPU_ACTIVATION_H

#include "kernel/linear.h"

#define LOG2E 1.44269504f
/* -2 log2(e) sqrt(2/pi), and the same times 0.044715 */
#define GELU_LINEAR (-2.30220820f)
#define GELU_CUBIC  (-0.10294324f)

/* 2^(n + f), n whole, |f| <= 1/2. */
INLINE vf exp2_parts(vf n, vf f)
{
    vf p = vf_set1(1.5461445e-4f);
    p    = vf_fma(p, f, vf_set1(1.3400428e-3f));
    p    = vf_fma(p, f, vf_set1(9.6180567e-3f));
    p    = vf_fma(p, f, vf_set1(5.5503272e-2f));
    p    = vf_fma(p, f, vf_set1(2.4022651e-1f));
    p    = vf_fma(p, f, vf_set1(6.9314721e-1f));
    p    = vf_fma(p, f, vf_set1(1.0f));
    return vf_scale(p, n);
}

INLINE vf exp2_of(vf t)
{
    const vf near = vf_clamp(t, 252.0f); /* far enough for 0 and inf, and 2^t - n stays finite */
    const vf n    = vf_round(near);
    return exp2_parts(n, near - n);
}

INLINE vf activated(vf x, filk_activation act)
{
    vf t;
    if (act == FILK_ACT_GELU_TANH)
        t = x * vf_fma(x * x, vf_set1(GELU_CUBIC), vf_set1(GELU_LINEAR));
    else
        t = x * vf_set1(-LOG2E);
    return x / (vf_set1(1.0f) + exp2_of(t));
}

#endif
