/* kernel/cpu/tile_tmpl.c: the pass of tile.h. Included, not compiled: the including file brings the
 * vector operations and names the function (TILE_FN).
 */
#include "kernel/cpu/activation.h"
#include "kernel/cpu/lanes.h"

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

/* Columns from `first` to `end`, of one panel of sums. */
INLINE void columns_of(const filk_tile *t, const tile_row *r, filk_activation act, int bf16_out,
                       int64_t first, int64_t end)
{
    const int64_t whole = end - (end - first) % VF_LANES;
    for (int64_t c = first; c < whole; c += VF_LANES)
        step(t, r, act, bf16_out, c, VF_LANES);
    if (whole < end) step(t, r, act, bf16_out, whole, end - whole);
}

INLINE void rows_of(const filk_tile *t, filk_activation act, int bf16_out)
{
    const int64_t out_size      = bf16_out ? 2 : 4;
    const int64_t residual_size = t->residual_dtype == FIL_BF16 ? 2 : 4;
    const int64_t panel         = t->panel > 0 ? t->panel : t->cols;
    for (int64_t i = 0; i < t->rows; i++) {
        tile_row r = {.acc      = t->acc + i * t->acc_stride,
                      .residual = t->residual == NULL ? NULL
                                                      : (const char *)t->residual +
                                                            i * t->residual_stride * residual_size,
                      .out      = (char *)t->out + i * t->out_stride * out_size};
        for (int64_t c = 0; c < t->cols; c += panel) {
            columns_of(t, &r, act, bf16_out, c, t->cols - c < panel ? t->cols : c + panel);
            if (panel < t->cols) r.acc += t->panel_stride - panel; /* column c stays at acc + c */
        }
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
