/* tests/unit/test_softmax.c: kernel/softmax.h on each instruction set against f64: every length up
 * to several vectors and two long ones, with and without a bias, nothing written behind a row, and
 * values at the ends of the range.
 */
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernel/softmax.h"
#include "support/cmocka_all.h"

#define EPS 0x1p-24

enum { LONGEST = 14400, ROOM = LONGEST + 64 };

typedef struct softmax_set {
    fili_isa        isa;
    filk_softmax_fn run;
} softmax_set;

#define FILK_SOFTMAX(suffix, isa) static softmax_set suffix = {isa, filk_softmax_##suffix};
#include "kernel/softmax.inc"
#undef FILK_SOFTMAX

static filk_softmax_fn run_of(void **state)
{
    const softmax_set *set = *state;
    if (!fili_isa_has(fili_cpu_isa(&fili_os_posix), set->isa)) skip();
    return set->run;
}

typedef struct row_case {
    float x[ROOM], bias[ROOM], got[ROOM];
    int   has_bias;
    float scale;
} row_case;

static void make(row_case *c, int64_t n, float spread)
{
    fili_philox_normal(5, (uint64_t)n, 0, c->x, ROOM);
    fili_philox_normal(6, (uint64_t)n, 0, c->bias, ROOM);
    for (int64_t j = 0; j < ROOM; j++)
        c->x[j] *= spread;
}

static void run(filk_softmax_fn fn, row_case *c, int64_t n)
{
    for (int64_t j = 0; j < ROOM; j++)
        c->got[j] = j < n ? c->x[j] : 12345.0f;
    fn(&(filk_softmax_row){
        .x = c->got, .n = n, .scale = c->scale, .bias = c->has_bias ? c->bias : NULL});
    for (int64_t j = n; j < ROOM; j++)
        assert_true(c->got[j] == 12345.0f);
}

static double y_of(const row_case *c, int64_t j)
{
    return (double)c->x[j] * (double)c->scale + (c->has_bias ? (double)c->bias[j] : 0.0);
}

static void compare(filk_softmax_fn fn, row_case *c, int64_t n)
{
    double top = (double)-INFINITY;
    double sum = 0.0;
    double y   = 0.0;
    run(fn, c, n);
    for (int64_t j = 0; j < n; j++) {
        top = fmax(top, y_of(c, j));
        y   = fmax(y, fabs((double)c->x[j] * (double)c->scale) + (double)fabsf(c->bias[j]));
    }
    for (int64_t j = 0; j < n; j++)
        sum += exp(y_of(c, j) - top);
    for (int64_t j = 0; j < n; j++) {
        const double want = exp(y_of(c, j) - top) / sum;
        const double off  = fabs((double)c->got[j] - want);
        /* Where exp ends: 2^-126 of the largest, or what is left of it. */
        if (!(off <= want * (4e-7 + 8.0 * y * EPS) + 0x1p-124))
            fail_msg("%d of %d: %.9g, expected %.9g", (int)j, (int)n, (double)c->got[j], want);
    }
}

static void every_length(void **state)
{
    const filk_softmax_fn fn = run_of(state);
    row_case             *c  = malloc(sizeof *c);
    assert_non_null(c);
    for (int64_t n = 1; n <= LONGEST; n = n < 70     ? n + 1
                                          : n == 70  ? 512
                                          : n == 512 ? LONGEST
                                                     : LONGEST + 1)
        for (int choice = 0; choice < 6; choice++) {
            static const float spreads[] = {1.0f, 30.0f, 1e-3f};
            make(c, n, spreads[choice % 3]);
            c->has_bias = choice >= 3;
            c->scale    = choice % 2 == 0 ? 1.0f : 0.0510310f;
            compare(fn, c, n);
        }
    free(c);
}

/* Equal terms round the same way each time, so that a sum of many goes astray. */
static void long_rows_of_equal_elements(void **state)
{
    static const float    below[] = {0.41f, 1.32f, 0.7f, 3.0f};
    const filk_softmax_fn fn      = run_of(state);
    row_case             *c       = calloc(1, sizeof *c);
    assert_non_null(c);
    c->scale = 1.0f;
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        for (int64_t j = 0; j < ROOM; j++)
            c->x[j] = j == 7 ? 0.0f : -below[i];
        compare(fn, c, LONGEST);
    }
    free(c);
}

/* Element `at` of a row becomes `value`. */
static void with_one(filk_softmax_fn fn, row_case *c, int64_t n, int64_t at, float value)
{
    make(c, n, 1.0f);
    c->x[at] = value;
    run(fn, c, n);
}

static void ends_of_the_range(void **state)
{
    const filk_softmax_fn fn = run_of(state);
    row_case             *c  = malloc(sizeof *c);
    assert_non_null(c);
    c->scale    = 1.0f;
    c->has_bias = 0;
    for (int64_t n = 2; n < 40; n++)
        for (int64_t at = 0; at < n; at += n - 1) {
            with_one(fn, c, n, at, NAN);
            for (int64_t j = 0; j < n; j++)
                assert_true(isnan(c->got[j]));
            with_one(fn, c, n, at, INFINITY);
            assert_true(isnan(c->got[at]));
            with_one(fn, c, n, at, -INFINITY);
            assert_true(c->got[at] >= 0.0f && c->got[at] <= 0x1p-124f);
            with_one(fn, c, n, at, 3e38f);
            assert_true(c->got[at] == 1.0f);
            with_one(fn, c, n, at, -3e38f);
            assert_true(c->got[at] >= 0.0f && c->got[at] <= 0x1p-124f);
        }
    for (int64_t j = 0; j < ROOM; j++)
        c->x[j] = -INFINITY;
    run(fn, c, 20);
    for (int64_t j = 0; j < 20; j++)
        assert_true(isnan(c->got[j]));
    free(c);
}

static void the_choice_follows_the_instruction_set(void **state)
{
    (void)state;
#define FILK_SOFTMAX(suffix, isa) assert_ptr_equal(filk_softmax_select(isa), filk_softmax_##suffix);
#include "kernel/softmax.inc"
#undef FILK_SOFTMAX
    assert_ptr_equal(filk_softmax_select(FILI_ISA_NEON), filk_softmax_base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define FILK_SOFTMAX(suffix, isa)                                                                  \
    {"every_length, " #suffix, every_length, NULL, NULL, &(suffix)},                               \
        {"long_rows_of_equal_elements, " #suffix, long_rows_of_equal_elements, NULL, NULL,         \
         &(suffix)},                                                                               \
        {"ends_of_the_range, " #suffix, ends_of_the_range, NULL, NULL, &(suffix)},
#include "kernel/softmax.inc"
#undef FILK_SOFTMAX
        cmocka_unit_test(the_choice_follows_the_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
