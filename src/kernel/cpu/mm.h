/* kernel/cpu/mm.h: what the rows of attention, block mass and linear on FMA share: a register tile
 * of MM_ROWS rows x 2 vectors, panels of 16 columns, and 2^x.
 *
 * A step of a panel is 16 columns at one depth: wide, 16 f32, or narrow, 16 bf16 in an order of the
 * instruction set's own. A tile meets MM_PANELS panels. Method: the register blocking of Goto and
 * van de Geijn 2008 and of BLIS. Everything is inlined, with sizes that are constants there. No
 * masks: callers pad. Not to be included by itself: mm_avx2.h and mm_avx512.h bring MM_ROWS,
 * MM_WIDENS, the columns of a step, a transpose and a power of two, include this, and add packing.
 */
#ifndef FILK_CPU_MM_H
#define FILK_CPU_MM_H

enum {
    MM_PANEL  = 16, /* columns */
    MM_COLS   = 2 * VF_LANES,
    MM_PANELS = MM_COLS / MM_PANEL,
    MM_WIDE   = MM_PANEL * 4, /* bytes of a step */
    MM_NARROW = MM_PANEL * 2,
    MM_STEPS  = VF_LANES,                 /* that are packed at a time */
    MM_SLACK  = VF_LANES - MM_ROWS,       /* f32 behind a packed left factor */
    MM_ROOM   = MM_WIDENS ? MM_PANEL : 0, /* f32 that a step of a narrow panel is widened to */
    MM_THIRD  = MM_ROWS / 3
};

INLINE int32_t mm_step_bytes(int narrow)
{
    return narrow ? MM_NARROW : MM_WIDE;
}

/* ---- the tile ------------------------------------------------------------------------------- */

INLINE void mm_clear(vf c[MM_ROWS][2], const int rows)
{
    for (int r = 0; r < rows; r++)
        c[r][0] = c[r][1] = vf_set1(0.0f);
}

/* Rows of sums in memory lie `pitch` f32 apart. */
INLINE void mm_load(vf c[MM_ROWS][2], const int rows, const float *from, int64_t pitch)
{
    for (int r = 0; r < rows; r++) {
        c[r][0] = vf_load(from + r * pitch);
        c[r][1] = vf_load(from + r * pitch + VF_LANES);
    }
}

INLINE void mm_add(vf c[MM_ROWS][2], const int rows, const float *more, int64_t pitch)
{
    for (int r = 0; r < rows; r++) {
        c[r][0] = c[r][0] + vf_load(more + r * pitch);
        c[r][1] = c[r][1] + vf_load(more + r * pitch + VF_LANES);
    }
}

INLINE void mm_store(vf c[MM_ROWS][2], const int rows, float *to, int64_t pitch)
{
    for (int r = 0; r < rows; r++) {
        vf_store(to + r * pitch, c[r][0]);
        vf_store(to + r * pitch + VF_LANES, c[r][1]);
    }
}

/* Rows in tiles of MM_ROWS, the last of one, two or three thirds of it: more would be lost on
 * padding, fewer on latency. CALL(n) sees `row`. */
#define MM_EACH_TILE(rows, CALL)                                                                   \
    do {                                                                                           \
        int row = 0;                                                                               \
        for (; row + MM_ROWS <= (rows); row += MM_ROWS)                                            \
            CALL(MM_ROWS);                                                                         \
        if ((rows)-row > 2 * MM_THIRD)                                                             \
            CALL(MM_ROWS);                                                                         \
        else if ((rows)-row > MM_THIRD)                                                            \
            CALL(2 * MM_THIRD);                                                                    \
        else if ((rows)-row > 0)                                                                   \
            CALL(MM_THIRD);                                                                        \
    } while (0)

/* c += a b over `depth` steps; b as mm_ready gives it. Element (row, step) of a lies at a + row *
 * row_pitch + step * step_pitch; of row_pitch and step_pitch, both are constants where this is
 * inlined. */
INLINE void mm_tile(vf c[MM_ROWS][2], const int rows, const float *a, const int row_pitch,
                    const int step_pitch, const char *const b[MM_PANELS], const int narrow,
                    int32_t depth)
{
    const char *at[MM_PANELS];
    for (int j = 0; j < MM_PANELS; j++)
        at[j] = b[j];
#pragma GCC unroll 4
    for (int32_t i = 0; i < depth; i++) {
        vf col[2];
        mm_columns(at, narrow, col);
        for (int r = 0; r < rows; r++) {
            const vf x = vf_set1(a[r * row_pitch]);
            c[r][0]    = vf_fma(x, col[0], c[r][0]);
            c[r][1]    = vf_fma(x, col[1], c[r][1]);
        }
        a += step_pitch;
        for (int j = 0; j < MM_PANELS; j++)
            at[j] += mm_step_bytes(narrow && !MM_WIDENS);
    }
}

/* ---- packing -------------------------------------------------------------------------------- */

/* VF_LANES elements of a row, from `at` on, as f32. NULL: zeros. */
INLINE vf mm_row(const void *row, const int bf16, int32_t at)
{
    if (row == NULL) return vf_set1(0.0f);
    if (bf16) return vf_load_bf16((const uint16_t *)row + at);
    return vf_load((const float *)row + at);
}

/* MM_STEPS steps of MM_ROWS rows of a left factor as [step][MM_ROWS]: VF_LANES rows at a time are
 * transposed, and of each store the lanes that are too many are overwritten by the next, so `to`
 * needs room for MM_SLACK f32 more than it gets. */
INLINE void mm_pack_left(const void *const row[VF_LANES], const int bf16, int32_t at, float *to)
{
    vf r[VF_LANES];
    for (int i = 0; i < VF_LANES; i++)
        r[i] = mm_row(row[i], bf16, at);
    mm_transpose(r);
    for (int i = 0; i < MM_STEPS; i++)
        vf_store(to + i * MM_ROWS, r[i]);
}

/* ---- 2^x ------------------------------------------------------------------------------------ */

/* 2^x for x <= 126, relative error 2e-7; 0 for x < -126.5. n = round(x) by adding 1.5 * 2^23, with
 * the exponent's bias in it so that the sum's low bits are the exponent of 2^n; on [-1/2, 1/2] the
 * polynomial of degree 5 with 2^0 = 1 and the least relative error. NaN stays NaN (max returns its
 * second operand then). */
INLINE vf mm_exp2(vf x)
{
    const vf magic = vf_set1(12582912.0f + 127.0f);
    x              = vf_max(vf_set1(-127.0f), x);
    const vf t     = x + magic;
    const vf f     = x - (t - magic);
    vf       y     = vf_set1(1.3264735e-3f);
    y              = vf_fma(y, f, vf_set1(9.6715153e-3f));
    y              = vf_fma(y, f, vf_set1(5.5507338e-2f));
    y              = vf_fma(y, f, vf_set1(2.4022242e-1f));
    y              = vf_fma(y, f, vf_set1(6.9314698e-1f));
    y              = vf_fma(y, f, vf_set1(1.0f));
    return y * mm_power(t);
}

#endif
