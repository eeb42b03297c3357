/* kernel/cpu/tile_tmpl.c: the pass of tile.h. Included, not compiled: the including file brings the
 * vector operations and names the function (TILE_FN).
 *
 * Both activations are x / (1 + 2^t): SiLU with t = -x log2(e), and GELU with its tanh written as a
 * sigmoid, 0.5 (1 + tanh u) = 1 / (1 + exp(-2u)). 2^t: round, degree 6 (fitted at Chebyshev nodes,
 * relative error 3e-9), scale. An activation of -inf is NaN, as in the formula.
 */

#define LOG2E 1.44269504f
/* -2 log2(e) sqrt(2/pi), and the same times 0.044715 */
#define GELU_LINEAR (-2.30220820f)
#define GELU_CUBIC  (-0.10294324f)

INLINE vf exp2_of(vf t)
{
    const vf near = vf_clamp(t, 252.0f); /* far enough for 0 and inf, and 2^t - n stays finite */
    const vf n    = vf_round(near);
    const vf f    = near - n;
    vf       p    = vf_set1(1.5461445e-4f);
    p             = vf_fma(p, f, vf_set1(1.3400428e-3f));
    p             = vf_fma(p, f, vf_set1(9.6180567e-3f));
    p             = vf_fma(p, f, vf_set1(5.5503272e-2f));
    p             = vf_fma(p, f, vf_set1(2.4022651e-1f));
    p             = vf_fma(p, f, vf_set1(6.9314721e-1f));
    p             = vf_fma(p, f, vf_set1(1.0f));
    return vf_scale(p, n);
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

INLINE vf get(const void *p, int bf16, int64_t i, int64_t n)
{
    if (bf16) {
        const uint16_t *h = (const uint16_t *)p + i;
        return n < VF_LANES ? vf_load_bf16_n(h, n) : vf_load_bf16(h);
    }
    const float *f = (const float *)p + i;
    return n < VF_LANES ? vf_load_n(f, n) : vf_load(f);
}

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

typedef struct tile_row {
    const float *acc;
    const void  *residual;
    void        *out;
} tile_row;

/* n lanes from column c on; n == VF_LANES is known at compile time where it matters. */
INLINE void step(const filk_tile *t, const tile_row *r, filk_activation act, int bf16_out,
                 int64_t c, int64_t n)
{
    vf v = get(r->acc, 0, c, n);
    if (t->bias != NULL) v = v + get(t->bias, 0, c, n);
    if (act != FILK_ACT_NONE) v = activated(v, act);
    if (t->residual != NULL) {
        const vf base = get(r->residual, t->residual_dtype == FIL_BF16, c, n);
        if (t->gate != NULL)
            v = vf_fma(v, get(t->gate, 0, c, n), base);
        else
            v = v + base;
    } else if (t->gate != NULL) {
        v = v * get(t->gate, 0, c, n);
    }
    put(r->out, bf16_out, c, n, v);
}

INLINE void rows_of(const filk_tile *t, filk_activation act, int bf16_out)
{
    const int64_t out_size      = bf16_out ? 2 : 4;
    const int64_t residual_size = t->residual_dtype == FIL_BF16 ? 2 : 4;
    const int64_t whole         = t->cols - t->cols % VF_LANES;
    for (int64_t i = 0; i < t->rows; i++) {
        const tile_row r = {.acc      = t->acc + i * t->acc_stride,
                            .residual = t->residual == NULL
                                            ? NULL
                                            : (const char *)t->residual +
                                                  i * t->residual_stride * residual_size,
                            .out      = (char *)t->out + i * t->out_stride * out_size};
        for (int64_t c = 0; c < whole; c += VF_LANES)
            step(t, &r, act, bf16_out, c, VF_LANES);
        if (whole < t->cols) step(t, &r, act, bf16_out, whole, t->cols - whole);
    }
}

INLINE void typed(const filk_tile *t, filk_activation act)
{
    if (t->out_dtype == FIL_BF16)
        rows_of(t, act, 1);
    else
        rows_of(t, act, 0);
}

void TILE_FN(const filk_tile *tile)
{
    switch (tile->act) {
    case FILK_ACT_GELU_TANH: typed(tile, FILK_ACT_GELU_TANH); break;
    case FILK_ACT_SILU: typed(tile, FILK_ACT_SILU); break;
    default: typed(tile, FILK_ACT_NONE); break;
    }
}
