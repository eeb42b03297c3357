/* tests/kernel/test_onednn.c: what the rows on oneDNN do to the process while they run: memory that
 * the library takes by itself, threads, and the caller's OpenMP setting; and that none of the
 * autoencoder's convolutions falls to oneDNN's reference.
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

#include "kernel/conv3d.h"
#include "kernel/cpu/onednn.h"
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

/* ---- convolutions --------------------------------------------------------------------------- */

/* One of the autoencoder's kinds of convolution. kernel 2: a quarter of a step up; 1: a shortcut.
 */
typedef struct conv_layer {
    int32_t level, c_in, c_out, kernel, stride;
} conv_layer;

static const conv_layer layers[] = {{0, 16, 384, 3, 1},  {0, 384, 384, 3, 1}, {0, 384, 192, 2, 1},
                                    {1, 192, 384, 3, 1}, {1, 192, 384, 1, 1}, {1, 384, 384, 3, 1},
                                    {1, 384, 192, 2, 1}, {2, 192, 192, 3, 1}, {2, 192, 96, 2, 1},
                                    {3, 96, 96, 3, 1},   {3, 96, 3, 3, 1},    {3, 3, 96, 3, 1},
                                    {3, 96, 96, 3, 2},   {2, 96, 192, 3, 1},  {2, 96, 192, 1, 1},
                                    {2, 192, 192, 3, 2}, {1, 384, 384, 3, 2}, {0, 384, 32, 3, 1}};

/* Zeros on one side for kernels of 2, on the other for strides, on both for kernels of 3. */
static filk_conv3d_axis side(const conv_layer *l, int32_t size, int32_t first)
{
    const int32_t before = l->stride == 2 || l->kernel == 1 ? 0 : l->kernel == 3 ? 1 : first;
    const int32_t after  = l->stride == 2 ? 1 : l->kernel - 1 - before;
    return (filk_conv3d_axis){.size   = size << l->level,
                              .kernel = l->kernel,
                              .stride = l->stride,
                              .before = before,
                              .after  = after};
}

static void no_reference(fil_ctx *ctx, const char *name, fil_dtype dtype, const int32_t latent[2],
                         const conv_layer *l)
{
    for (int32_t first = 0; first < (l->kernel == 2 ? 4 : 1); first++) {
        const filk_conv3d_problem p = {.t         = {.size = 3, .kernel = 3, .stride = 1},
                                       .h         = side(l, latent[0], first & 1),
                                       .w         = side(l, latent[1], first >> 1),
                                       .c_in      = l->c_in,
                                       .c_out     = l->c_out,
                                       .dtype     = dtype,
                                       .out_dtype = FIL_F32};
        const filk_row           *row;
        void                     *plan = NULL;
        assert_int_equal(filk_select(ctx, &filk_conv3d, &p, name, &row), FIL_OK);
        assert_int_equal(row->plan->create(ctx, &p, &plan), FIL_OK);
        if (filk_conv3d_onednn_references(plan) != 0)
            fail_msg("%s: latent %d x %d, level %d, %d -> %d, kernel %d, stride %d", name,
                     (int)latent[0], (int)latent[1], (int)l->level, (int)l->c_in, (int)l->c_out,
                     (int)l->kernel, (int)l->stride);
        row->plan->destroy(ctx, &plan);
    }
}

/* Heights at which oneDNN chose different layouts for a frame's first, middle and last rows, and
 * usual ones. */
static void no_convolution_falls_to_the_reference(void **state)
{
    static const int32_t latents[][2] = {{16, 16}, {31, 31}, {32, 32},  {12, 20},
                                         {30, 52}, {16, 26}, {90, 160}, {160, 90}};
    const fil_dtype      dtype        = *state != NULL ? FIL_BF16 : FIL_F32;
    const fili_isa       need         = *state != NULL ? FILI_ISA_AVX512 : FILI_ISA_AVX2;
    const char          *name =
        *state != NULL ? "filk_conv3d_bf16_rows__onednn" : "filk_conv3d_f32_rows__onednn";
    fil_ctx  *ctx = open_with(1);
    const int has = fili_isa_has(ctx->isa, need);
    for (size_t i = 0; has && i < sizeof latents / sizeof latents[0]; i++)
        for (size_t k = 0; k < sizeof layers / sizeof layers[0]; k++)
            no_reference(ctx, name, dtype, latents[i], &layers[k]);
    fil_ctx_close(&ctx);
    if (!has) skip();
}

static char bf16_too[] = "bf16";

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(running_starts_no_threads_of_its_own),
        cmocka_unit_test(executing_takes_only_small_pieces_from_the_heap),
        cmocka_unit_test(three_threads_are_three_threads),
        {"no_convolution_falls_to_the_reference, f32", no_convolution_falls_to_the_reference, NULL,
         NULL, NULL},
        {"no_convolution_falls_to_the_reference, bf16", no_convolution_falls_to_the_reference, NULL,
         NULL, bf16_too}};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
