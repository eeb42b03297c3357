/* tests/kernel/plan_run.h: runs one row that works through a plan (kernel/registry.h) as its user
 * would: packed weights and workspace of the promised sizes between guards and full of NaN, every
 * allocation during run refused. For checkers that include it once.
 */
#ifndef TESTS_KERNEL_PLAN_RUN_H
#define TESTS_KERNEL_PLAN_RUN_H

#include <string.h>

#include "kernel/check.h"
#include "support/fault.h"

/* *weights is what the args point with: plain weights when called, packed ones while it runs. */
static inline void plan_run(const filk_row *row, const void *problem, const void **weights,
                            const void *args, int32_t n_threads)
{
    const filk_plan_ops *ops   = row->plan;
    alloc_fault          fault = {.at = -1};
    fil_ctx             *ctx   = NULL;
    void                *plan  = NULL;
    const void          *plain = *weights;
    check_buffer         work;
    check_buffer         packed;
    fil_options          opt;
    fil_options_init(&opt);
    opt.n_threads = n_threads;
    opt.host      = alloc_fault_allocator(&fault);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    if (ops->create(ctx, problem, &plan) != FIL_OK)
        check_fail("create: %s", fil_ctx_error(ctx)->message);
    check_buffer_make(&work, ops->workspace(plan), 64, 0);
    check_buffer_make(&packed, ops->packed_bytes(plan), 64, 0);
    memset(work.data, 0xFF, work.bytes);
    memset(packed.data, 0xFF, packed.bytes);
    fault.at      = fault.calls;
    fault.forever = 1;
    if (packed.bytes > 0) {
        if (ops->pack(ctx, plan, plain, packed.data, work.data) != FIL_OK)
            check_fail("pack: %s", fil_ctx_error(ctx)->message);
        memset(work.data, 0xFF, work.bytes);
        *weights = packed.data;
    }
    if (ops->run(ctx, plan, args, work.data) != FIL_OK)
        check_fail("run: %s", fil_ctx_error(ctx)->message);
    *weights = plain;
    if (fault.failed != 0) check_fail("run asked for memory %lld times", (long long)fault.failed);
    if (!check_buffer_intact(&work)) check_fail("run wrote beyond its workspace");
    if (!check_buffer_intact(&packed)) check_fail("pack wrote beyond the packed weights");
    check_buffer_free(&packed);
    check_buffer_free(&work);
    fault.at = -1;
    ops->destroy(ctx, &plan);
    assert_null(plan);
    fil_ctx_close(&ctx);
    assert_int_equal(fault.live, 0);
}

/* Every allocation of create fails once: E_NOMEM, nothing leaks, and the plan is NULL. */
static inline void plan_create_under_faults(const filk_row *row, const void *problem)
{
    for (int64_t at = 0; at < 10000; at++) {
        alloc_fault fault = {.at = -1};
        fil_ctx    *ctx   = NULL;
        void       *plan  = NULL;
        fil_options opt;
        fil_options_init(&opt);
        opt.n_threads = 2;
        opt.host      = alloc_fault_allocator(&fault);
        assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
        fault.at                  = fault.calls + at;
        const fil_status status   = row->plan->create(ctx, problem, &plan);
        const int        complete = fault.failed == 0;
        if (complete && status != FIL_OK) check_fail("create: %s", fil_ctx_error(ctx)->message);
        if (!complete && (status != FIL_E_NOMEM || plan != NULL))
            check_fail("create: allocation %lld failed, status %d", (long long)at, (int)status);
        fault.at = -1;
        row->plan->destroy(ctx, &plan);
        fil_ctx_close(&ctx);
        assert_int_equal(fault.live, 0);
        if (complete) return;
    }
    check_fail("create never completes");
}

#endif
