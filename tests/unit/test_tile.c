/* tests/unit/test_tile.c: the pass over a finished tile (kernel/cpu/tile.h) on each instruction set
 * that has it, against its formula in f64: every width up to three vectors, every choice of bias,
 * gate, residual, activation and types, in place too, and nothing written or read beside the tile.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "kernel/cpu/tile.h"
#include "support/cmocka_all.h"
#include "tensor/convert.h"

#define EPS 0x1p-24

enum { ROWS = 3, WIDEST = 50, PITCH = 56, CELLS = ROWS * PITCH };

typedef struct tile_case {
    filk_tile tile;
    float     acc[CELLS], bias[PITCH], gate[PITCH], residual[CELLS], out[CELLS];
    uint16_t  residual16[CELLS], out16[CELLS];
} tile_case;

static float value16(uint16_t h)
{
    float x;
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F32, &x, FIL_BF16, &h, 1);
    return x;
}

/* n values each, NaN beside them. */
static void fill(float *x, int64_t rows, int64_t cols, uint64_t stream)
{
    for (int64_t i = 0; i < rows * PITCH; i++)
        x[i] = NAN;
    for (int64_t r = 0; r < rows; r++)
        fili_philox_normal(7, stream, (uint64_t)(r * PITCH), x + r * PITCH, cols);
}

/* The bits of `choice` say what takes part. */
static void make(tile_case *c, int choice, filk_activation act, int64_t cols)
{
    fill(c->acc, ROWS, cols, 1);
    fill(c->bias, 1, cols, 2);
    fill(c->gate, 1, cols, 3);
    fill(c->residual, ROWS, cols, 4);
    fill(c->out, ROWS, 0, 0);
    memset(c->out16, 0xff, sizeof c->out16);
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, c->residual16, FIL_F32,
                     c->residual, CELLS);
    const int half_residual = choice >> 3 & 1;
    const int half_out      = choice >> 4 & 1;
    c->tile                 = (filk_tile){.acc             = c->acc,
                                          .acc_stride      = PITCH,
                                          .rows            = ROWS,
                                          .cols            = cols,
                                          .act             = act,
                                          .bias            = choice & 1 ? c->bias : NULL,
                                          .gate            = choice & 2 ? c->gate : NULL,
                                          .residual_dtype  = half_residual ? FIL_BF16 : FIL_F32,
                                          .residual_stride = PITCH,
                                          .out_dtype       = half_out ? FIL_BF16 : FIL_F32,
                                          .out_stride      = PITCH};
    if (choice & 4) c->tile.residual = half_residual ? (void *)c->residual16 : (void *)c->residual;
    c->tile.out = half_out ? (void *)c->out16 : (void *)c->out;
}

/* What 2^t has as its exponent, and the activation in f64. */
static double activation(filk_activation act, double x, double *t)
{
    *t = 0.0;
    if (act == FILK_ACT_NONE) return x;
    if (act == FILK_ACT_SILU)
        *t = -x / log(2.0);
    else
        *t = -2.0 * sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x) / log(2.0);
    return x / (1.0 + exp2(*t));
}

/* One element: the formula, and what f32 may be off. */
static double want(const tile_case *c, int64_t r, int64_t col, double *tolerance)
{
    const filk_tile *t    = &c->tile;
    const int64_t    at   = r * PITCH + col;
    const double     bias = t->bias != NULL ? (double)c->bias[col] : 0.0;
    const double     gate = t->gate != NULL ? (double)c->gate[col] : 1.0;
    double           base = 0.0;
    double           power;
    if (t->residual != NULL)
        base = t->residual_dtype == FIL_BF16 ? (double)value16(c->residual16[at])
                                             : (double)c->residual[at];
    const double x     = (double)c->acc[at] + bias;
    const double y     = activation(t->act, x, &power);
    const double off_x = 2.0 * EPS * fabs(x);
    const double off_y = t->act == FILK_ACT_NONE ? 0.0 : EPS * (8.0 + 3.0 * fabs(power)) * fabs(y);
    const double z     = gate * y + base;
    *tolerance         = fabs(gate) * (1.2 * off_x + off_y) + 2.0 * EPS * fabs(z);
    if (t->out_dtype == FIL_BF16) *tolerance += 0x1p-8 * fabs(z);
    return z;
}

static double got(const tile_case *c, const void *out, int64_t at)
{
    if (c->tile.out_dtype == FIL_BF16) return (double)value16(((const uint16_t *)out)[at]);
    return (double)((const float *)out)[at];
}

static void compare(const tile_case *c, const void *out)
{
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t col = 0; col < PITCH; col++) {
            const double have = got(c, out, r * PITCH + col);
            double       tolerance;
            if (col >= c->tile.cols) {
                assert_true(isnan(have));
                continue;
            }
            const double z = want(c, r, col, &tolerance);
            if (!(fabs(have - z) <= tolerance))
                fail_msg("row %d, column %d of %d: %.9g, expected %.9g +- %.2g", (int)r, (int)col,
                         (int)c->tile.cols, have, z, tolerance);
        }
}

typedef struct tile_set {
    fili_isa     isa;
    filk_tile_fn run;
} tile_set;

static tile_set avx2   = {FILI_ISA_AVX2, filk_tile_avx2};
static tile_set avx512 = {FILI_ISA_AVX512, filk_tile_avx512};

static const tile_set *set_of(void **state)
{
    const tile_set *set = *state;
    if (!fili_isa_has(fili_cpu_isa(&fili_os_posix), set->isa)) skip();
    return set;
}

static void every_choice_at_every_width(void **state)
{
    static const filk_activation acts[] = {FILK_ACT_NONE, FILK_ACT_GELU_TANH, FILK_ACT_SILU};
    const tile_set              *set    = set_of(state);
    tile_case                    c;
    for (int64_t cols = 1; cols <= WIDEST; cols++)
        for (int choice = 0; choice < 32; choice++)
            for (size_t a = 0; a < 3; a++) {
                make(&c, choice, acts[a], cols);
                set->run(&c.tile);
                compare(&c, c.tile.out);
            }
}

/* out = residual is allowed: the same bits as beside it. */
static void in_place_has_the_same_bits(void **state)
{
    const tile_set *set = set_of(state);
    tile_case       c;
    for (int choice = 4; choice < 32; choice += 8) {
        if ((choice >> 3 & 1) != (choice >> 4 & 1)) continue;
        make(&c, choice | 3, FILK_ACT_GELU_TANH, 37);
        set->run(&c.tile);
        tile_case same     = c;
        same.tile.out      = choice >> 4 & 1 ? (void *)same.residual16 : (void *)same.residual;
        same.tile.residual = same.tile.out;
        same.tile.acc      = same.acc;
        set->run(&same.tile);
        const size_t size = choice >> 4 & 1 ? sizeof(uint16_t) : sizeof(float);
        for (int64_t r = 0; r < ROWS; r++)
            assert_memory_equal((const char *)same.tile.out + (size_t)(r * PITCH) * size,
                                (const char *)c.tile.out + (size_t)(r * PITCH) * size, 37 * size);
    }
}

/* The same sums as [panel][row][16 columns], NaN behind each panel. */
static void sums_in_panels_give_the_same_bits(void **state)
{
    enum { PANEL = 16, STRIDE = ROWS * PANEL + PANEL };
    const tile_set *set = set_of(state);
    tile_case       c;
    float           panels[(WIDEST + PANEL - 1) / PANEL * STRIDE];
    for (int64_t cols = 1; cols <= WIDEST; cols++)
        for (int half = 0; half < 2; half++) {
            make(&c, half << 4 | 7, FILK_ACT_GELU_TANH, cols);
            memset(panels, 0xff, sizeof panels);
            for (int64_t r = 0; r < ROWS; r++)
                for (int64_t i = 0; i < cols; i++)
                    panels[i / PANEL * STRIDE + r * PANEL + i % PANEL] = c.acc[r * PITCH + i];
            set->run(&c.tile);
            tile_case same         = c;
            same.tile.acc          = panels;
            same.tile.acc_stride   = PANEL;
            same.tile.panel        = PANEL;
            same.tile.panel_stride = STRIDE;
            same.tile.out          = half ? (void *)same.out16 : (void *)same.out;
            memset(same.tile.out, 0xff, half ? sizeof same.out16 : sizeof same.out);
            set->run(&same.tile);
            compare(&same, same.tile.out);
            for (int64_t r = 0; r < ROWS; r++)
                assert_memory_equal((const char *)same.tile.out + r * PITCH * (half ? 2 : 4),
                                    (const char *)c.tile.out + r * PITCH * (half ? 2 : 4),
                                    (size_t)cols * (half ? 2 : 4));
        }
}

static void what_is_no_number_stays_none(void **state)
{
    const tile_set *set = set_of(state);
    tile_case       c;
    for (int half = 0; half < 2; half++) {
        make(&c, half << 4, FILK_ACT_SILU, 40);
        c.acc[3]  = NAN;
        c.acc[20] = INFINITY;
        c.acc[37] = -INFINITY; /* -inf / (1 + inf) */
        set->run(&c.tile);
        assert_true(isnan(got(&c, c.tile.out, 3)));
        assert_true(got(&c, c.tile.out, 20) == (double)INFINITY);
        assert_true(isnan(got(&c, c.tile.out, 37)));
        assert_true(isfinite(got(&c, c.tile.out, 4)));
    }
}

/* Ties, denormals, what rounds to infinity and NaN: the bits of the reference. */
static void bf16_is_rounded_to_nearest_even(void **state)
{
    static const uint32_t bits[] = {0x3f808000, 0x3f818000, 0xbf808001, 0xbf817fff, 0x00000000,
                                    0x80000000, 0x00008000, 0x00018000, 0x80007fff, 0x7f7fffff,
                                    0x7f7f8000, 0x7f7f7fff, 0x7f800000, 0xff800000, 0x7f800001,
                                    0xffc00000, 0x42fe8000, 0x42ff8000};
    enum { N = sizeof bits / sizeof bits[0] };
    const tile_set *set = set_of(state);
    tile_case       c;
    uint16_t        wanted[N];
    make(&c, 1 << 4, FILK_ACT_NONE, N);
    memcpy(c.acc, bits, sizeof bits);
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, wanted, FIL_F32, c.acc, N);
    set->run(&c.tile);
    for (int i = 0; i < N; i++)
        assert_int_equal(c.out16[i], wanted[i]);
}

#define ON(set, test)                                                                              \
    {                                                                                              \
        .name = #test "[" #set "]", .test_func = (test), .initial_state = &(set)                   \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(avx2, every_choice_at_every_width),       ON(avx512, every_choice_at_every_width),
        ON(avx2, in_place_has_the_same_bits),        ON(avx512, in_place_has_the_same_bits),
        ON(avx2, sums_in_panels_give_the_same_bits), ON(avx512, sums_in_panels_give_the_same_bits),
        ON(avx2, what_is_no_number_stays_none),      ON(avx512, what_is_no_number_stays_none),
        ON(avx2, bf16_is_rounded_to_nearest_even),   ON(avx512, bf16_is_rounded_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
