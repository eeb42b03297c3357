/* tests/kernel/row_run.h: runs one row of a family as a plan would: workspace of the promised size
 * between guards and full of NaN, allocation forbidden. Also: strided views whose gaps are NaN,
 * ragged runs, tensors of fixtures. It does not compare anything: each checker has its own verify.
 */
#ifndef TESTS_KERNEL_ROW_RUN_H
#define TESTS_KERNEL_ROW_RUN_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/attention.h"
#include "kernel/check.h"
#include "support/fault.h"

static inline void *row_need(void *block)
{
    if (block == NULL) abort();
    return block;
}

static inline void row_run(const filk_row *row, const void *problem, const void *args,
                           int32_t n_threads)
{
    alloc_fault  fault = {.at = -1};
    fil_ctx     *ctx   = NULL;
    check_buffer work;
    fil_options  opt;
    fil_options_init(&opt);
    opt.n_threads = n_threads;
    opt.host      = alloc_fault_allocator(&fault);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_null(row->refuse(problem));
    check_buffer_make(&work, row->workspace(problem, n_threads), 64, 0);
    memset(work.data, 0xFF, work.bytes);
    fault.at                = fault.calls;
    fault.forever           = 1;
    const fil_status status = row->run(ctx, problem, args, work.data);
    if (status != FIL_OK) check_fail("run: %s", fil_ctx_error(ctx)->message);
    if (fault.failed != 0) check_fail("run asked for memory %lld times", (long long)fault.failed);
    if (!check_buffer_intact(&work)) check_fail("run wrote beyond its workspace");
    fault.at = -1;
    check_buffer_free(&work);
    fil_ctx_close(&ctx);
    assert_int_equal(fault.live, 0);
}

/* A view [n, heads, D] over guarded memory; what no token covers is NaN. Every other one has its
 * base and strides on multiples of 8 elements: vectors of 16 bytes are for those alone. */
typedef struct row_tensor {
    check_buffer   buffer;
    fil_dtype      dtype;
    filk_attn_view view;
} row_tensor;

static inline void row_tensor_make(row_tensor *t, check_rng *rng, fil_dtype dtype, int64_t n,
                                   int32_t heads, int32_t D)
{
    const size_t  element = fil_dtype_bits(dtype) / 8;
    const int64_t even    = check_chance(rng, 50) ? 8 : 1;
    t->dtype              = dtype;
    const int64_t inner =
        check_multiple(D + check_between(rng, 0, 1) * check_between(rng, 1, 40), even);
    if (check_chance(rng, 30)) { /* heads outermost */
        t->view.stride_n = inner;
        t->view.stride_h = check_multiple(n * inner + check_between(rng, 0, 9), even);
    } else {
        t->view.stride_h = inner;
        t->view.stride_n = check_multiple(heads * inner + check_between(rng, 0, 9), even);
    }
    const int64_t last = (n - 1) * t->view.stride_n + (heads - 1) * t->view.stride_h + D;
    const int64_t off  = even == 1 ? check_between(rng, 0, 2) : 0;
    check_buffer_make(&t->buffer, (size_t)last * element, 64, element * (size_t)off);
    memset(t->buffer.data, 0xFF, t->buffer.bytes);
    t->view.data = t->buffer.data;
}

static inline int64_t row_tensor_at(const row_tensor *t, int64_t token, int32_t head, int32_t d)
{
    return token * t->view.stride_n + head * t->view.stride_h + d;
}

static inline void row_tensor_set(row_tensor *t, int64_t token, int32_t head, int32_t d, double x)
{
    check_store(t->dtype, t->buffer.data, row_tensor_at(t, token, head, d), x);
}

/* Offsets of runs that cover n tokens: all of 64, or ragged, or mostly whole. Returns their number;
 * offset has room for n + 1. */
static inline int32_t row_runs(check_rng *rng, int64_t n, int32_t *offset)
{
    const int64_t kind = check_between(rng, 0, 2);
    int32_t       m    = 0;
    offset[0]          = 0;
    while (offset[m] < n) {
        const int     whole = kind == 0 || (kind == 2 && check_chance(rng, 70));
        const int64_t size  = whole ? FILK_BLOCK : check_between(rng, 1, FILK_BLOCK);
        const int64_t left  = n - offset[m];
        offset[m + 1]       = offset[m] + (int32_t)(size < left ? size : left);
        m++;
    }
    return m;
}

/* A whole tensor of a fixture, for free(). */
static inline void *row_fixture(fil_file *file, const char *name, fil_tensor_info *info)
{
    const int64_t at = fil_file_find(file, name);
    if (at < 0) check_fail("the fixture has no '%s'", name);
    fil_file_tensor(file, (size_t)at, info);
    void *data = row_need(malloc(info->bytes));
    assert_int_equal(fil_file_read(file, (size_t)at, 0, data, info->bytes), FIL_OK);
    return data;
}

#endif
