/* tests/unit/test_registry.c: choosing a kernel row (kernel/registry.h): order of the lists, by
 * name, by instruction set, disabled rows, and a refusal that names every reason.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/attention.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static fil_ctx *ctx;

static int open_ctx(void **state)
{
    (void)state;
    return fil_ctx_open(&ctx, NULL) == FIL_OK ? 0 : -1;
}

static int close_ctx(void **state)
{
    (void)state;
    fil_ctx_close(&ctx);
    return 0;
}

/* The first failure of a public call stays: each test begins such a call. */
static int enter_ctx(void **state)
{
    (void)state;
    fili_ctx_enter(ctx);
    return 0;
}

static const char *takes_all(const void *problem)
{
    (void)problem;
    return NULL;
}

/* Refuses what *problem points to, if it is negative. */
static const char *refuses_negative(const void *problem)
{
    return *(const int *)problem < 0 ? "takes no negative numbers" : NULL;
}

static size_t no_workspace(const void *problem, int32_t n_threads)
{
    (void)problem;
    (void)n_threads;
    return 0;
}

static fil_status run_nothing(fil_ctx *c, const void *problem, const void *args, void *workspace)
{
    (void)c;
    (void)problem;
    (void)args;
    (void)workspace;
    return FIL_OK;
}

#if defined(__aarch64__)
#define NO_CPU FILI_ISA_AVX2
#else
#define NO_CPU FILI_ISA_NEON
#endif

static const filk_row rows[] = {
    {"filk_op_a__foreign", NO_CPU, 90, takes_all, no_workspace, run_nothing, NULL},
    {"filk_op_b__ref", FILI_ISA_REF, 50, refuses_negative, no_workspace, run_nothing, NULL},
    {"filk_op_c__ref", FILI_ISA_REF, 10, refuses_negative, no_workspace, run_nothing, NULL}};
static const filk_family family  = {.name = "op", .rows = rows, .n_rows = 3};
static const int         plain   = 1;
static const int         unloved = -1;

/* ---- every family of the build -------------------------------------------------------------- */

#define FOR_FAMILIES(f) for (int32_t f = 0; f < filk_n_families; f++)

static void priority_falls_down_each_list(void **state)
{
    (void)state;
    FOR_FAMILIES(f)
    for (int32_t i = 1; i < filk_families[f]->n_rows; i++)
        assert_true(filk_families[f]->rows[i].priority < filk_families[f]->rows[i - 1].priority);
}

static void a_reference_row_that_runs_anywhere_stands_last(void **state)
{
    (void)state;
    FOR_FAMILIES(f)
    {
        const filk_row *last = &filk_families[f]->rows[filk_families[f]->n_rows - 1];
        assert_int_equal(last->isa, FILI_ISA_REF);
        assert_int_equal(last->priority, 0);
        assert_non_null(strstr(last->name, "__ref"));
    }
}

static void names_are_unique_and_end_in_their_instruction_set_or_library(void **state)
{
    (void)state;
    FOR_FAMILIES(f)
    for (int32_t i = 0; i < filk_families[f]->n_rows; i++) {
        const filk_row *row  = &filk_families[f]->rows[i];
        const char     *mark = strstr(row->name, "__");
        assert_int_equal(strncmp(row->name, "filk_", 5), 0);
        assert_non_null(mark);
        /* A library is a row like any other; it finds its instruction set itself. */
        const int library = strcmp(mark + 2, "onednn") == 0 || strcmp(mark + 2, "cudnn") == 0 ||
                            strcmp(mark + 2, "cublaslt") == 0;
        if (!library) assert_string_equal(mark + 2, fili_isa_name(row->isa));
        for (int32_t j = 0; j < i; j++)
            assert_string_not_equal(row->name, filk_families[f]->rows[j].name);
    }
}

static void disabled_rows_of_every_family_fit_their_bits(void **state)
{
    (void)state;
    assert_in_range(filk_n_families, 1, FILI_MAX_FAMILIES);
    FOR_FAMILIES(f)
    assert_in_range(filk_families[f]->n_rows, 1, 64);
}

/* ---- explaining ----------------------------------------------------------------------------- */

static void a_refusal_has_a_reason_and_an_acceptance_none(void **state)
{
    (void)state;
    char reason[FILK_REASON];
    assert_int_equal(filk_explain(ctx, &family, &rows[1], &plain, reason), 1);
    assert_string_equal(reason, "");
    assert_int_equal(filk_explain(ctx, &family, &rows[1], NULL, reason), 1);
    assert_int_equal(filk_explain(ctx, &family, &rows[1], &unloved, reason), 0);
    assert_string_equal(reason, "takes no negative numbers");
    assert_int_equal(filk_explain(ctx, &family, &rows[0], &plain, reason), 0);
    assert_non_null(strstr(reason, fili_isa_name(NO_CPU)));
    assert_non_null(strstr(reason, fil_ctx_isa(ctx)));
}

static void every_attention_row_says_why_it_refuses_head_dim_129(void **state)
{
    (void)state;
    const filk_attn_problem p = {.dtype = FIL_BF16, .head_dim = 129};
    for (int32_t i = 0; i < filk_attention.n_rows; i++) {
        const char *reason = filk_attention.rows[i].refuse(&p);
        assert_non_null(reason);
        assert_in_range(strlen(reason), 1, FILK_REASON - 1);
    }
}

static void every_attention_row_refuses_f16_and_one_takes_each_of_bf16_and_f32(void **state)
{
    (void)state;
    static const fil_dtype types[] = {FIL_F16, FIL_BF16, FIL_F32};
    static const int       least[] = {0, 2, 1};
    for (size_t t = 0; t < 3; t++) {
        const filk_attn_problem p     = {.dtype = types[t], .head_dim = 64};
        int                     takes = 0;
        for (int32_t i = 0; i < filk_attention.n_rows; i++)
            takes += filk_attention.rows[i].refuse(&p) == NULL;
        if (t == 0) assert_int_equal(takes, 0);
        /* other architectures have the reference row alone */
        if (t > 0) assert_true(takes >= (filk_attention.n_rows > 1 ? least[t] : 1));
    }
}

/* ---- selecting ------------------------------------------------------------------------------ */

static void the_first_row_that_fits_is_selected(void **state)
{
    (void)state;
    const filk_row *row = NULL;
    assert_int_equal(filk_select(ctx, &family, &plain, NULL, &row), FIL_OK);
    assert_ptr_equal(row, &rows[1]);
}

static void a_row_is_selected_by_name_and_no_other_instead(void **state)
{
    (void)state;
    const filk_row *row = NULL;
    assert_int_equal(filk_select(ctx, &family, &plain, "filk_op_c__ref", &row), FIL_OK);
    assert_ptr_equal(row, &rows[2]);
    assert_int_equal(filk_select(ctx, &family, &plain, "filk_op_a__foreign", &row), FIL_E_UNSUP);
    assert_null(row);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "filk_op_a__foreign needs"));
    assert_null(strstr(fil_ctx_error(ctx)->message, "filk_op_b"));
}

static void an_unknown_name_is_named(void **state)
{
    (void)state;
    const filk_row *row = &rows[0];
    assert_int_equal(filk_select(ctx, &family, &plain, "filk_nothing", &row), FIL_E_UNSUP);
    assert_null(row);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "filk_nothing"));
}

static void nothing_fits_is_unsupported_with_every_reason(void **state)
{
    (void)state;
    const filk_row *row = &rows[0];
    assert_int_equal(filk_select(ctx, &family, &unloved, NULL, &row), FIL_E_UNSUP);
    assert_null(row);
    const char *text = fil_ctx_error(ctx)->message;
    assert_non_null(strstr(text, "filk_op_a__foreign needs"));
    assert_non_null(strstr(text, "filk_op_b__ref takes no negative numbers"));
    assert_non_null(strstr(text, "filk_op_c__ref takes no negative numbers"));
}

static void the_instruction_set_cap_rules_rows_out(void **state)
{
    (void)state;
    const filk_attn_problem p      = {.dtype = FIL_BF16, .head_dim = 64};
    fil_ctx                *capped = NULL;
    const filk_row         *row    = NULL;
    assert_int_equal(setenv("FIL_ISA", "ref", 1), 0);
    assert_int_equal(fil_ctx_open(&capped, NULL), FIL_OK);
    assert_int_equal(unsetenv("FIL_ISA"), 0);
    assert_int_equal(filk_select(capped, &filk_attention, &p, NULL, &row), FIL_OK);
    assert_string_equal(row->name, "filk_attn_fwd_any_row__ref");
    for (int32_t i = 0; i < filk_attention.n_rows; i++) {
        char            reason[FILK_REASON];
        const filk_row *r = &filk_attention.rows[i];
        assert_int_equal(filk_explain(capped, &filk_attention, r, &p, reason), r->isa == 0);
    }
    fil_ctx_close(&capped);
}

static void a_disabled_row_is_passed_over_in_its_context_alone(void **state)
{
    (void)state;
    const filk_attn_problem p     = {.dtype = FIL_BF16, .head_dim = 64};
    fil_ctx                *other = NULL;
    const filk_row         *first = NULL;
    const filk_row         *row   = NULL;
    char                    reason[FILK_REASON];
    assert_int_equal(fil_ctx_open(&other, NULL), FIL_OK);
    assert_int_equal(filk_select(other, &filk_attention, &p, NULL, &first), FIL_OK);
    filk_disable(other, &filk_attention, first);
    assert_int_equal(filk_explain(other, &filk_attention, first, &p, reason), 0);
    assert_non_null(strstr(reason, "self-test"));
    if (first->isa != FILI_ISA_REF) {
        assert_int_equal(filk_select(other, &filk_attention, &p, NULL, &row), FIL_OK);
        assert_true(row > first);
    }
    assert_int_equal(filk_select(other, &filk_attention, &p, first->name, &row), FIL_E_UNSUP);
    assert_int_equal(filk_select(ctx, &filk_attention, &p, NULL, &row), FIL_OK);
    assert_ptr_equal(row, first);
    fil_ctx_close(&other);
}

/* By name as far as there is room, those of this CPU before all others; the rest by number. */
static void assert_every_row_is_told(const fil_ctx *c)
{
    const char *text      = fil_ctx_error(c)->message;
    const char *rest      = strstr(text, "; and ");
    int         named[2]  = {0, 0}; /* [of this CPU] */
    int         hidden[2] = {0, 0};
    for (int32_t i = 0; i < filk_attention.n_rows; i++) {
        char            piece[FILK_REASON];
        const filk_row *row = &filk_attention.rows[i];
        const int       own = fili_isa_has(c->isa, row->isa);
        if (fili_isa_is_device(row->isa)) continue;
        snprintf(piece, sizeof piece, "; %s ", row->name);
        if (strstr(text, piece) != NULL)
            named[own]++;
        else
            hidden[own]++;
    }
    assert_true(named[1] > 0);
    assert_true(hidden[1] == 0 || named[0] == 0);
    assert_int_equal(rest != NULL ? atoi(rest + strlen("; and ")) : 0, hidden[0] + hidden[1]);
}

static void with_every_row_disabled_nothing_is_selected(void **state)
{
    (void)state;
    const filk_attn_problem p     = {.dtype = FIL_BF16, .head_dim = 64};
    fil_ctx                *other = NULL;
    const filk_row         *row   = NULL;
    assert_int_equal(fil_ctx_open(&other, NULL), FIL_OK);
    for (int32_t i = 0; i < filk_attention.n_rows; i++)
        filk_disable(other, &filk_attention, &filk_attention.rows[i]);
    assert_int_equal(filk_select(other, &filk_attention, &p, NULL, &row), FIL_E_UNSUP);
    assert_null(row);
    assert_every_row_is_told(other);
    fil_ctx_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(priority_falls_down_each_list, enter_ctx),
        cmocka_unit_test_setup(a_reference_row_that_runs_anywhere_stands_last, enter_ctx),
        cmocka_unit_test_setup(names_are_unique_and_end_in_their_instruction_set_or_library,
                               enter_ctx),
        cmocka_unit_test_setup(disabled_rows_of_every_family_fit_their_bits, enter_ctx),
        cmocka_unit_test_setup(a_refusal_has_a_reason_and_an_acceptance_none, enter_ctx),
        cmocka_unit_test_setup(every_attention_row_says_why_it_refuses_head_dim_129, enter_ctx),
        cmocka_unit_test_setup(every_attention_row_refuses_f16_and_one_takes_each_of_bf16_and_f32,
                               enter_ctx),
        cmocka_unit_test_setup(the_first_row_that_fits_is_selected, enter_ctx),
        cmocka_unit_test_setup(a_row_is_selected_by_name_and_no_other_instead, enter_ctx),
        cmocka_unit_test_setup(an_unknown_name_is_named, enter_ctx),
        cmocka_unit_test_setup(nothing_fits_is_unsupported_with_every_reason, enter_ctx),
        cmocka_unit_test_setup(the_instruction_set_cap_rules_rows_out, enter_ctx),
        cmocka_unit_test_setup(a_disabled_row_is_passed_over_in_its_context_alone, enter_ctx),
        cmocka_unit_test_setup(with_every_row_disabled_nothing_is_selected, enter_ctx),
    };
    return cmocka_run_group_tests(tests, open_ctx, close_ctx);
}
