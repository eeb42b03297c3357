/* tests/unit/test_device.c: choosing and opening a device (base/device.h) without a GPU: what
 * options say, what a missing or foreign backend says, and a backend on the CPU. The kernels behind
 * it are tests/kernel's.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/device.h"
#include "kernel/device_rows.h"
#include "kernel/pooling.h"
#include "kernel/select.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static void device_names_are_parsed_whole(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int         good;
        int32_t     index;
    } cases[] = {{"cpu", 1, -1},     {"cuda", 1, 0},     {"cuda:0", 1, 0}, {"cuda:7", 1, 7},
                 {"cuda:63", 1, 63}, {"cuda:64", 0, 0},  {"cuda:", 0, 0},  {"cuda: 1", 0, 0},
                 {"cuda:-1", 0, 0},  {"cuda:1x", 0, 0},  {"CUDA", 0, 0},   {"gpu", 0, 0},
                 {"", 0, 0},         {"cuda:0x1", 0, 0}, {"cudaa", 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t index;
        assert_int_equal(fili_device_parse(cases[i].text, &index), cases[i].good);
        if (cases[i].good) assert_int_equal(index, cases[i].index);
    }
}

static fil_status open_as(const char *device, fil_ctx **ctx)
{
    fil_options opt;
    fil_options_init(&opt);
    opt.device = device;
    return fil_ctx_open(ctx, &opt);
}

static void a_device_that_is_none_is_an_argument_error(void **state)
{
    (void)state;
    fil_ctx *ctx = NULL;
    assert_int_equal(open_as("cuda:", &ctx), FIL_E_ARG);
    assert_null(ctx);
    assert_non_null(strstr(fil_ctx_error(NULL)->message, "device is 'cuda:'"));
    setenv("FIL_DEVICE", "gpu", 1);
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_E_ARG);
    assert_non_null(strstr(fil_ctx_error(NULL)->message, "FIL_DEVICE is 'gpu'"));
    assert_int_equal(open_as("cpu", &ctx), FIL_OK); /* the option comes first */
    assert_string_equal(fil_ctx_device(ctx), "cpu");
    assert_null(ctx->device);
    fil_ctx_close(&ctx);
    unsetenv("FIL_DEVICE");
}

/* Before the fake is loaded: a process loads one backend. */
static void a_missing_backend_and_a_file_that_is_none_are_unsupported(void **state)
{
    (void)state;
    fil_ctx *ctx = NULL;
    setenv("FIL_CUDA_BACKEND", "/nonexistent/backend.so", 1);
    assert_int_equal(open_as("cuda", &ctx), FIL_E_UNSUP);
    assert_null(ctx);
    assert_non_null(strstr(fil_ctx_error(NULL)->message, "/nonexistent/backend.so"));
    setenv("FIL_CUDA_BACKEND", "libm.so.6", 1);
    assert_int_equal(open_as("cuda", &ctx), FIL_E_UNSUP);
    assert_non_null(strstr(fil_ctx_error(NULL)->message, "fil_backend_v1"));
    assert_null(fili_backend_loaded());
    assert_null(filk_device_kernels());
}

static void a_context_on_a_device_takes_its_rows_and_names_it(void **state)
{
    (void)state;
    alloc_fault                fault  = {.at = -1};
    const int32_t              runs[] = {0, 1};
    const filk_pooling_problem p      = {
             .n = 1, .heads = 1, .head_dim = 8, .dtype = FIL_F32, .m = 1, .offset = runs};
    fil_ctx        *ctx = NULL;
    const filk_row *row;
    fil_options     opt;
    setenv("FIL_CUDA_BACKEND", FAKE_BACKEND, 1);
    fil_options_init(&opt);
    opt.device = "cuda";
    opt.host   = alloc_fault_allocator(&fault);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_string_equal(fil_ctx_device(ctx), "fake:0 a CPU in disguise");
    assert_int_equal(filk_select(ctx, &filk_pooling, &p, NULL, &row), FIL_OK);
    assert_int_equal(row->isa, FILI_ISA_SM80);
    fil_ctx_close(&ctx);
    assert_int_equal(fault.live, 0);
    assert_int_equal(open_as("cuda:5", &ctx), FIL_E_UNSUP);
    assert_non_null(strstr(fil_ctx_error(NULL)->message, "this machine has 1"));
}

static void an_allocation_that_fails_leaves_no_device(void **state)
{
    (void)state;
    for (int64_t at = 0; at < 2; at++) {
        alloc_fault fault = {.at = at};
        fil_ctx    *ctx   = NULL;
        fil_options opt;
        fil_options_init(&opt);
        opt.device = "cuda";
        opt.host   = alloc_fault_allocator(&fault);
        assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_E_NOMEM);
        assert_null(ctx);
        assert_int_equal(fault.live, 0);
    }
}

static void a_row_of_a_device_that_is_called_without_one_fails(void **state)
{
    (void)state;
    const filk_pooling_problem p   = {.n = 1, .heads = 1, .head_dim = 8, .dtype = FIL_F32, .m = 1};
    const filk_pooling_args    a   = {.n_sinks = 0};
    fil_ctx                   *ctx = NULL;
    assert_int_equal(open_as("cpu", &ctx), FIL_OK);
    assert_int_equal(filk_pooling_any_run__sm80_run(ctx, &p, &a, NULL), FIL_E_ARG);
    fil_ctx_close(&ctx);
}

static void the_k_largest_are_ranked_as_floats(void **state)
{
    (void)state;
    static const float score[] = {(float)NAN, -0.0f, 0.0f,   -(float)INFINITY, 3.0f,
                                  -2.0f,      3.0f,  1e-40f, (float)INFINITY};
    /* best first */
    static const int32_t order[] = {8, 4, 6, 7, 1, 2, 5, 3, 0};
    uint32_t             want    = 0;
    for (int32_t keep = 1; keep <= 9; keep++) {
        uint32_t row = ~0u;
        want |= 1u << order[keep - 1];
        filk_select_top(score, 9, keep, &row);
        assert_int_equal(row, want);
    }
}

int main(void)
{
    unsetenv("FIL_DEVICE");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device_names_are_parsed_whole),
        cmocka_unit_test(a_device_that_is_none_is_an_argument_error),
        cmocka_unit_test(a_missing_backend_and_a_file_that_is_none_are_unsupported),
        cmocka_unit_test(a_context_on_a_device_takes_its_rows_and_names_it),
        cmocka_unit_test(an_allocation_that_fails_leaves_no_device),
        cmocka_unit_test(a_row_of_a_device_that_is_called_without_one_fails),
        cmocka_unit_test(the_k_largest_are_ranked_as_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
