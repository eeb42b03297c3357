/* tests/kernel/test_onednn.c: what the rows on oneDNN do to the process while they run: memory that
 * the library takes by itself, threads, and the caller's OpenMP setting.
 *
 * This program replaces malloc and posix_memalign (glibc), so it is not built with a sanitizer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <omp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/linear.h"
#include "support/cmocka_all.h"

static atomic_llong calls, bytes, largest;

static void count(size_t n)
{
    atomic_fetch_add(&calls, 1);
    atomic_fetch_add(&bytes, (long long)n);
    if ((long long)n > atomic_load(&largest)) atomic_store(&largest, (long long)n);
}

void *__libc_malloc(size_t n);
void *__libc_memalign(size_t align, size_t n);

__attribute__((visibility("default"))) void *malloc(size_t n)
{
    count(n);
    return __libc_malloc(n);
}

__attribute__((visibility("default"))) int posix_memalign(void **out, size_t align, size_t n)
{
    count(n);
    *out = __libc_memalign(align, n);
    return *out != NULL ? 0 : ENOMEM;
}

static void start_counting(void)
{
    atomic_store(&calls, 0);
    atomic_store(&bytes, 0);
    atomic_store(&largest, 0);
}

static int threads_of_process(void)
{
    char  line[256];
    int   n    = 0;
    FILE *file = fopen("/proc/self/status", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "Threads:", 8) == 0) n = atoi(line + 8);
    fclose(file);
    return n;
}

static void *need(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64);
    assert_non_null(p);
    memset(p, 0, n);
    return p;
}

static fil_ctx *open_with(int32_t n_threads)
{
    fil_ctx    *ctx = NULL;
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = n_threads;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    return ctx;
}

/* Runs a product of m rows twice; the counters hold the second run. */
static void run_linear(fil_ctx *ctx, int64_t m, int32_t packed, fil_dtype dtype)
{
    const filk_linear_problem p = {.m         = m,
                                   .n         = 1500,
                                   .k         = 300,
                                   .dtype     = dtype,
                                   .out_dtype = FIL_F32,
                                   .act       = FILK_ACT_SILU,
                                   .x_stride  = 304,
                                   .packed    = packed};
    const char               *name =
        dtype == FIL_BF16 ? "filk_linear_bf16_tile__onednn" : "filk_linear_f32_tile__onednn";
    const filk_row *row;
    void           *plan = NULL;
    if (filk_select(ctx, &filk_linear, &p, name, &row) != FIL_OK) skip();
    assert_int_equal(row->plan->create(ctx, &p, &plan), FIL_OK);
    void *x         = need((size_t)m * 304 * 4);
    void *weight    = need(1500 * 300 * 4);
    void *pieces    = need(row->plan->packed_bytes(plan));
    void *workspace = need(row->plan->workspace(plan));
    void *out       = need((size_t)m * 1500 * 4);
    if (packed) assert_int_equal(row->plan->pack(ctx, plan, weight, pieces, workspace), FIL_OK);
    const filk_linear_args a = {
        .x = x, .weight = packed ? pieces : weight, .out = out, .out_stride = 1500};
    for (int i = 0; i < 2; i++) {
        start_counting();
        assert_int_equal(row->plan->run(ctx, plan, &a, workspace), FIL_OK);
    }
    const long long n = atomic_load(&calls);
    const long long b = atomic_load(&bytes);
    row->plan->destroy(ctx, &plan);
    free(out);
    free(workspace);
    free(pieces);
    free(weight);
    free(x);
    atomic_store(&calls, n);
    atomic_store(&bytes, b);
}

/* oneDNN's argument table: a handful of nodes for each primitive that is executed. */
static void executing_takes_only_small_pieces_from_the_heap(void **state)
{
    (void)state;
    fil_ctx *ctx = open_with(1);
    for (int i = 0; i < 4; i++) {
        run_linear(ctx, 700, i & 1, i & 2 ? FIL_BF16 : FIL_F32);
        print_message("%s, %s: %lld allocations, %lld bytes, largest %lld\n",
                      i & 2 ? "bf16" : "f32", i & 1 ? "packed" : "in place",
                      (long long)atomic_load(&calls), (long long)atomic_load(&bytes),
                      (long long)atomic_load(&largest));
        assert_true(atomic_load(&largest) <= 1024 || atomic_load(&calls) == 0);
    }
    fil_ctx_close(&ctx);
}

static void running_starts_no_threads_of_its_own(void **state)
{
    (void)state;
    fil_ctx  *ctx    = open_with(1);
    const int before = threads_of_process();
    omp_set_num_threads(7);
    run_linear(ctx, 700, 1, FIL_BF16);
    run_linear(ctx, 700, 0, FIL_F32);
    assert_int_equal(threads_of_process(), before);
    assert_int_equal(omp_get_max_threads(), 7);
    fil_ctx_close(&ctx);
}

static void three_threads_are_three_threads(void **state)
{
    (void)state;
    fil_ctx *ctx = open_with(3);
    omp_set_num_threads(7);
    run_linear(ctx, 700, 1, FIL_BF16);
    assert_int_equal(threads_of_process(), 3);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_starts_no_threads_of_its_own),
        cmocka_unit_test(executing_takes_only_small_pieces_from_the_heap),
        cmocka_unit_test(three_threads_are_three_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
