/* tests/unit/test_selftest.c: the self-test of the kernels (kernel/selftest.h, fil_selftest). A row
 * is broken on purpose: the linker puts a function of this file in front of the run of an attention
 * row for AVX2 (--wrap in unit/kernel.cmake), and AVX2 is all that the context may use then.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/attention.h"
#include "filigree/bench.h"
#include "kernel/attention.h"
#include "kernel/selftest.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "tensor/convert.h"

#if defined(__x86_64__)
#define BROKEN "filk_attn_fwd_bf16_p16__avx2"
#else
#define BROKEN "none on this architecture"
#endif

/* ---- the broken row ------------------------------------------------------------------------- */

typedef enum broken { WHOLE, OFF, NAN_OUT, BAD_LSE, REFUSES, UNWRITTEN } broken;

static broken damage;

#if defined(__x86_64__)
fil_status __real_filk_attn_fwd_bf16_p16__avx2_run(fil_ctx *c, const void *problem,
                                                   const void *args, void *workspace);
fil_status __wrap_filk_attn_fwd_bf16_p16__avx2_run(fil_ctx *c, const void *problem,
                                                   const void *args, void *workspace);

/* One element of the last token: 3 % off, three times what two roundings to bf16 allow. */
fil_status __wrap_filk_attn_fwd_bf16_p16__avx2_run(fil_ctx *c, const void *problem,
                                                   const void *args, void *workspace)
{
    const filk_attn_problem *p  = problem;
    const filk_attn_args    *a  = args;
    const int64_t            at = (p->nq - 1) * a->out_stride_n;
    if (damage == REFUSES) return FIL_FAIL(c, FIL_E_DEVICE, "a wire is loose");
    if (damage == UNWRITTEN) return FIL_OK;
    const fil_status status = __real_filk_attn_fwd_bf16_p16__avx2_run(c, problem, args, workspace);
    if (damage == OFF || damage == NAN_OUT) {
        uint16_t *out = (uint16_t *)a->out + at;
        float     value;
        fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F32, &value, FIL_BF16, out, 1);
        value = damage == OFF ? value * 1.03f + 0.01f : NAN;
        fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, out, FIL_F32, &value, 1);
    }
    if (damage == BAD_LSE) a->lse[p->nq - 1] += 0.001f;
    return status;
}
#endif

/* ---- running -------------------------------------------------------------------------------- */

static fil_ctx *ctx;

typedef struct told_of {
    int    rows, failed;
    double worst, seconds;
    double error; /* of the broken row */
    char   name[96], text[256];
} told_of;

static void told(void *user, const fil_kernel_info *kernel, int passed, double error,
                 double seconds, const char *text)
{
    told_of *t = user;
    t->rows++;
    t->seconds += seconds;
    assert_int_equal(kernel->available, 1);
    if (passed) {
        assert_string_equal(text, "");
        if (error > t->worst) t->worst = error;
        return;
    }
    t->failed++;
    t->error = error;
    snprintf(t->name, sizeof t->name, "%s", kernel->name);
    snprintf(t->text, sizeof t->text, "%s", text);
}

static int open_ctx(void **state)
{
    (void)state;
    damage = WHOLE;
    return fil_ctx_open(&ctx, NULL) == FIL_OK ? 0 : -1;
}

static int close_ctx(void **state)
{
    (void)state;
    fil_ctx_close(&ctx);
    return 0;
}

/* Opens the context anew, such that the row is its best. */
static const filk_row *broken_row(void)
{
    char reason[FILK_REASON];
    fil_ctx_close(&ctx);
    assert_int_equal(setenv("FIL_ISA", "avx2", 1), 0);
    const fil_status status = fil_ctx_open(&ctx, NULL);
    assert_int_equal(unsetenv("FIL_ISA"), 0);
    if (status != FIL_OK) skip();
    for (int32_t i = 0; i < filk_attention.n_rows; i++) {
        const filk_row *row = &filk_attention.rows[i];
        if (strcmp(row->name, BROKEN) == 0 && filk_explain(ctx, &filk_attention, row, NULL, reason))
            return row;
    }
    skip();
    return NULL;
}

/* Breaks the row and checks that it alone is found. */
static told_of find_damage(broken how)
{
    told_of t        = {.rows = 0};
    int32_t n_failed = 0;
    damage           = how;
    assert_int_equal(fil_selftest(ctx, told, &t, &n_failed), FIL_OK);
    assert_int_equal(n_failed, 1);
    assert_int_equal(t.failed, 1);
    assert_string_equal(t.name, BROKEN);
    assert_true(strlen(t.text) > 0);
    return t;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void every_row_of_this_machine_passes(void **state)
{
    (void)state;
    told_of t         = {.rows = 0};
    int32_t n_failed  = -1;
    int32_t available = 0;
    for (int32_t i = 0; i < fil_kernels(ctx); i++) {
        fil_kernel_info info;
        fil_kernel_get(ctx, i, &info);
        available += info.available;
    }
    assert_int_equal(fil_selftest(ctx, told, &t, &n_failed), FIL_OK);
    assert_int_equal(n_failed, 0);
    assert_int_equal(t.rows, available);
    assert_true(t.worst > 0.0 && t.worst <= 1.0);
    print_message("%d rows, largest error %.3f, %.2f s\n", t.rows, t.worst, t.seconds);
}

static void a_broken_row_is_disabled_by_name_and_the_next_one_chosen(void **state)
{
    (void)state;
    const filk_attn_problem p    = {.dtype = FIL_BF16, .head_dim = 128};
    const filk_row         *row  = broken_row();
    const filk_row         *next = NULL;
    char                    reason[FILK_REASON];
    assert_int_equal(filk_select(ctx, &filk_attention, &p, NULL, &next), FIL_OK);
    assert_ptr_equal(next, row);
    const told_of t = find_damage(OFF);
    assert_true(t.error > 1.0 && isfinite(t.error));
    assert_non_null(strstr(t.text, "out["));
    assert_int_equal(filk_explain(ctx, &filk_attention, row, &p, reason), 0);
    assert_string_equal(reason, "failed the self-test");
    assert_int_equal(filk_select(ctx, &filk_attention, &p, NULL, &next), FIL_OK);
    assert_true(next > row);
}

static void a_disabled_row_is_not_tested_again(void **state)
{
    (void)state;
    told_of t        = {.rows = 0};
    int32_t n_failed = -1;
    (void)broken_row();
    const told_of first = find_damage(OFF);
    assert_int_equal(fil_selftest(ctx, told, &t, &n_failed), FIL_OK);
    assert_int_equal(n_failed, 0);
    assert_int_equal(t.rows, first.rows - 1);
}

static void a_nan_in_an_output_is_an_infinite_error(void **state)
{
    (void)state;
    (void)broken_row();
    const told_of t = find_damage(NAN_OUT);
    assert_true(isinf(t.error));
}

static void an_output_that_is_not_written_is_found(void **state)
{
    (void)state;
    (void)broken_row();
    const told_of t = find_damage(UNWRITTEN);
    assert_true(isinf(t.error));
}

static void a_wrong_lse_is_found(void **state)
{
    (void)state;
    (void)broken_row();
    const told_of t = find_damage(BAD_LSE);
    assert_non_null(strstr(t.text, "lse["));
}

static void a_row_that_returns_a_failure_has_failed_with_its_words(void **state)
{
    (void)state;
    (void)broken_row();
    const told_of t = find_damage(REFUSES);
    assert_non_null(strstr(t.text, "a wire is loose"));
    assert_int_equal(fil_ctx_error(ctx)->status, FIL_OK);
}

static void all_memory_is_given_back(void **state)
{
    (void)state;
    const uint64_t before   = fil_ctx_memory(ctx).used;
    int32_t        n_failed = -1;
    assert_int_equal(fil_selftest(ctx, NULL, NULL, &n_failed), FIL_OK);
    assert_true(fil_ctx_memory(ctx).used == before);
    assert_true(fil_ctx_memory(ctx).peak < 64u << 20);
}

static void memory_that_is_missing_is_no_fault_of_a_row(void **state)
{
    (void)state;
    fil_options opt;
    fil_ctx    *small    = NULL;
    int32_t     n_failed = -1;
    fil_options_init(&opt);
    opt.max_host_bytes = 200000;
    assert_int_equal(fil_ctx_open(&small, &opt), FIL_OK);
    assert_int_equal(fil_selftest(small, NULL, NULL, &n_failed), FIL_E_NOMEM);
    assert_int_equal(n_failed, 0);
    for (int32_t i = 0; i < FILI_MAX_FAMILIES; i++)
        assert_true(small->disabled_rows[i] == 0);
    fil_ctx_close(&small);
}

static int cancels(void *user)
{
    (void)user;
    return 1;
}

static void a_selftest_can_be_cancelled(void **state)
{
    (void)state;
    fil_options opt;
    fil_ctx    *c        = NULL;
    int32_t     n_failed = -1;
    fil_options_init(&opt);
    opt.cancel = cancels;
    assert_int_equal(fil_ctx_open(&c, &opt), FIL_OK);
    assert_int_equal(fil_selftest(c, NULL, NULL, &n_failed), FIL_E_CANCELLED);
    fil_ctx_close(&c);
}

static void null_arguments_are_refused(void **state)
{
    (void)state;
    int32_t n;
    assert_int_equal(fil_selftest(NULL, NULL, NULL, &n), FIL_E_ARG);
    assert_int_equal(fil_selftest(ctx, NULL, NULL, NULL), FIL_E_ARG);
}

/* ---- judging -------------------------------------------------------------------------------- */

static double judge(double got, double want, double tolerance)
{
    filk_selftest_result result = {.error = 0.0};
    filk_st              st     = {.result = &result, .problem = "p"};
    filk_st_value(&st, "x", (int64_t[]){0, 0, 0}, got, want, tolerance);
    assert_int_equal(result.error > 1.0, result.text[0] != '\0');
    return result.error;
}

static void classes_come_before_distances(void **state)
{
    (void)state;
    const double inf = (double)INFINITY;
    const double nan = (double)NAN;
    assert_true(judge(1.5, 1.0, 1.0) == 0.5);
    assert_true(judge(nan, nan, 1.0) == 0.0 && judge(inf, inf, 1.0) == 0.0);
    assert_true(judge(-inf, -inf, 1.0) == 0.0);
    assert_true(judge(nan, 1.0, 1.0) == inf && judge(1.0, nan, 1.0) == inf);
    assert_true(judge(inf, 1.0, inf) == inf && judge(inf, -inf, inf) == inf);
    assert_true(judge(1.0, inf, inf) == inf && judge(nan, inf, inf) == inf);
    assert_true(judge(1.0, 2.0, nan) == inf && judge(1.0, 2.0, 0.0) == inf);
    assert_true(judge(1.0, 1.0, 0.0) == 0.0 && judge(1.0, 1.0, nan) == inf);
}

/* ---- the list ------------------------------------------------------------------------------- */

static void kernels_are_listed_family_by_family_best_first(void **state)
{
    (void)state;
    int32_t at = 0;
    for (int32_t f = 0; f < filk_n_families; f++)
        for (int32_t r = 0; r < filk_families[f]->n_rows; r++) {
            fil_kernel_info info;
            fil_kernel_get(ctx, at++, &info);
            assert_string_equal(info.family, filk_families[f]->name);
            assert_string_equal(info.name, filk_families[f]->rows[r].name);
            assert_int_equal(info.available, info.reason[0] == '\0');
        }
    assert_int_equal(at, fil_kernels(ctx));
}

static void a_kernel_out_of_range_gives_zeros(void **state)
{
    (void)state;
    fil_kernel_info info;
    fil_kernel_get(ctx, -1, &info);
    assert_null(info.name);
    fil_kernel_get(ctx, fil_kernels(ctx), &info);
    assert_null(info.name);
}

static void without_a_context_there_are_no_kernels_and_no_cases(void **state)
{
    (void)state;
    fil_kernel_info info;
    fil_kernel_case c;
    char            reason[96];
    fil_kernel_get(NULL, 0, &info);
    assert_null(info.name);
    fil_kernel_case_get(NULL, 0, &c);
    assert_null(c.family);
    fil_kernel_get(ctx, 0, &info);
    assert_int_equal(fil_kernel_case_takes(NULL, 0, info.name, reason), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ctx, close_ctx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_row_of_this_machine_passes),
        TEST(a_broken_row_is_disabled_by_name_and_the_next_one_chosen),
        TEST(a_disabled_row_is_not_tested_again),
        TEST(a_nan_in_an_output_is_an_infinite_error),
        TEST(an_output_that_is_not_written_is_found),
        TEST(a_wrong_lse_is_found),
        TEST(a_row_that_returns_a_failure_has_failed_with_its_words),
        TEST(all_memory_is_given_back),
        TEST(memory_that_is_missing_is_no_fault_of_a_row),
        TEST(a_selftest_can_be_cancelled),
        TEST(null_arguments_are_refused),
        TEST(classes_come_before_distances),
        TEST(kernels_are_listed_family_by_family_best_first),
        TEST(a_kernel_out_of_range_gives_zeros),
        TEST(without_a_context_there_are_no_kernels_and_no_cases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
