/* tests/unit/test_pool.c: the task pool (base/pool.h): every task once, same bits for any number of
 * threads, the lowest failure reported, nested runs, threads that the system refuses.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/pool.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static fil_ctx *open_with(int32_t n_threads, const fili_os *os)
{
    fil_options opt;
    fil_ctx    *ctx = NULL;
    fil_options_init(&opt);
    opt.n_threads = n_threads;
    assert_int_equal(fili_ctx_open_on(os, &ctx, &opt), FIL_OK);
    return ctx;
}

/* ---- every task once ------------------------------------------------------------------------ */

enum { N_TASKS = 1000 };

typedef struct census {
    atomic_int runs[N_TASKS];
    atomic_int bad_worker;
    int32_t    n_workers;
} census;

static fil_status count_task(void *arg, int64_t task, int32_t worker)
{
    census *c = arg;
    atomic_fetch_add(&c->runs[task], 1);
    if (worker < 0 || worker >= c->n_workers) atomic_fetch_add(&c->bad_worker, 1);
    return FIL_OK;
}

static void assert_each_once(census *c)
{
    for (int i = 0; i < N_TASKS; i++)
        assert_int_equal(atomic_load(&c->runs[i]), 1);
    assert_int_equal(atomic_load(&c->bad_worker), 0);
}

static const int32_t thread_counts[] = {1, 2, 3, 7};

#define FOR_THREADS(i) for (size_t i = 0; i < sizeof thread_counts / sizeof thread_counts[0]; i++)

static void every_task_runs_once_for_any_thread_count(void **state)
{
    (void)state;
    FOR_THREADS(i)
    {
        static census c;
        memset(&c, 0, sizeof c);
        c.n_workers  = thread_counts[i];
        fil_ctx *ctx = open_with(thread_counts[i], &fili_os_posix);
        assert_int_equal(fili_pool_run(ctx, "count", N_TASKS, count_task, &c), FIL_OK);
        assert_each_once(&c);
        fil_ctx_close(&ctx);
    }
}

static fil_status must_not_run(void *arg, int64_t task, int32_t worker)
{
    (void)arg;
    (void)task;
    (void)worker;
    return FIL_E_INTERNAL;
}

static void no_tasks_is_success_and_a_negative_number_is_refused(void **state)
{
    (void)state;
    fil_ctx *ctx = open_with(3, &fili_os_posix);
    assert_int_equal(fili_pool_run(ctx, "none", 0, must_not_run, NULL), FIL_OK);
    assert_int_equal(fili_pool_run(ctx, "negative", -1, must_not_run, NULL), FIL_E_ARG);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "negative"));
    fil_ctx_close(&ctx);
}

/* ---- same bits ------------------------------------------------------------------------------ */

enum { N_VALUES = 10007, GRAIN = 64, N_SUMS = (N_VALUES + GRAIN - 1) / GRAIN };

typedef struct sums {
    float x[N_VALUES];
    float sum[N_SUMS];
} sums;

static fil_status sum_task(void *arg, int64_t task, int32_t worker)
{
    sums            *s = arg;
    const fili_range r = fili_task_range(N_VALUES, GRAIN, task);
    float            t = 0;
    for (int64_t i = r.begin; i < r.end; i++)
        t += s->x[i];
    s->sum[task] = t;
    (void)worker;
    return FIL_OK;
}

static void sums_have_the_same_bits_for_any_thread_count(void **state)
{
    (void)state;
    static sums s;
    static sums first;
    for (int i = 0; i < N_VALUES; i++)
        s.x[i] = (float)((i * 7919) % 1000) * 1e-3f - 0.3f;
    assert_int_equal(fili_task_count(N_VALUES, GRAIN), N_SUMS);
    FOR_THREADS(i)
    {
        fil_ctx *ctx = open_with(thread_counts[i], &fili_os_posix);
        memset(s.sum, 0xff, sizeof s.sum);
        assert_int_equal(fili_pool_run(ctx, "sum", N_SUMS, sum_task, &s), FIL_OK);
        if (i == 0) first = s;
        assert_memory_equal(s.sum, first.sum, sizeof s.sum);
        fil_ctx_close(&ctx);
    }
}

static void ranges_cover_all_items_once(void **state)
{
    (void)state;
    const int64_t sizes[]  = {0, 1, 63, 64, 65, 1000, INT64_MAX};
    const int64_t grains[] = {1, 7, 64, INT64_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t j = 0; j < sizeof grains / sizeof grains[0]; j++) {
            const int64_t n = fili_task_count(sizes[i], grains[j]);
            if (n == 0) {
                assert_int_equal(sizes[i], 0);
                continue;
            }
            assert_int_equal(fili_task_range(sizes[i], grains[j], 0).begin, 0);
            const fili_range last = fili_task_range(sizes[i], grains[j], n - 1);
            assert_true(last.begin < last.end);
            assert_true(last.end - last.begin <= grains[j]);
            assert_int_equal(last.end, sizes[i]);
            if (n > 1)
                assert_int_equal(fili_task_range(sizes[i], grains[j], n - 2).end, last.begin);
        }
}

/* ---- failures ------------------------------------------------------------------------------- */

/* Tasks 300 and above fail, 300 slowly, so that later ones are in before it. */
static fil_status fail_late(void *arg, int64_t task, int32_t worker)
{
    (void)arg;
    (void)worker;
    if (task < 300) return FIL_OK;
    if (task > 300) return FIL_E_IO;
    const uint64_t start = fili_os_posix.clock_ns(NULL);
    while (fili_os_posix.clock_ns(NULL) - start < 2000000)
        continue;
    return FIL_E_NONFINITE;
}

static void the_lowest_failing_task_is_reported_for_any_thread_count(void **state)
{
    (void)state;
    FOR_THREADS(i)
    {
        for (int repeat = 0; repeat < 20; repeat++) {
            fil_ctx *ctx = open_with(thread_counts[i], &fili_os_posix);
            assert_int_equal(fili_pool_run(ctx, "norm", N_TASKS, fail_late, NULL), FIL_E_NONFINITE);
            const fil_error *e = fil_ctx_error(ctx);
            assert_int_equal(e->status, FIL_E_NONFINITE);
            assert_non_null(strstr(e->message, "norm: task 300 of 1000"));
            fil_ctx_close(&ctx);
        }
    }
}

static fil_status fail_at_once(void *arg, int64_t task, int32_t worker)
{
    (void)task;
    (void)worker;
    atomic_fetch_add((atomic_int *)arg, 1);
    return FIL_E_IO;
}

static void a_failure_stops_the_hand_out(void **state)
{
    (void)state;
    FOR_THREADS(i)
    {
        atomic_int runs = 0;
        fil_ctx   *ctx  = open_with(thread_counts[i], &fili_os_posix);
        assert_int_equal(fili_pool_run(ctx, "stop", N_TASKS, fail_at_once, &runs), FIL_E_IO);
        assert_in_range(atomic_load(&runs), 1, (uintmax_t)thread_counts[i]);
        fil_ctx_close(&ctx);
    }
}

typedef struct straggler {
    atomic_int failed, runs;
} straggler;

/* Task 0 fails; the others wait for that, and then take a millisecond each. */
static fil_status fail_first(void *arg, int64_t task, int32_t worker)
{
    straggler *s = arg;
    (void)worker;
    atomic_fetch_add(&s->runs, 1);
    if (task == 0) {
        atomic_store(&s->failed, 1);
        return FIL_E_IO;
    }
    while (!atomic_load(&s->failed))
        continue;
    const uint64_t start = fili_os_posix.clock_ns(NULL);
    while (fili_os_posix.clock_ns(NULL) - start < 1000000)
        continue;
    return FIL_OK;
}

static void a_failure_stops_the_other_threads_too(void **state)
{
    (void)state;
    straggler s   = {0};
    fil_ctx  *ctx = open_with(3, &fili_os_posix);
    assert_int_equal(fili_pool_run(ctx, "stop", N_TASKS, fail_first, &s), FIL_E_IO);
    assert_in_range(atomic_load(&s.runs), 1, N_TASKS / 2);
    fil_ctx_close(&ctx);
}

/* ---- nested --------------------------------------------------------------------------------- */

enum { OUTER = 20, INNER = 50 };

typedef struct nest {
    fil_ctx   *ctx;
    int64_t    inner_fails_at; /* task, or -1 */
    atomic_int bad;
    atomic_int inner_runs;
} nest;

static _Thread_local char mark; /* its address names the thread */

typedef struct inner_arg {
    nest       *n;
    const void *thread;
    int64_t     last;
} inner_arg;

static fil_status inner_task(void *arg, int64_t task, int32_t worker)
{
    inner_arg *a = arg;
    if (worker != 0 || a->thread != &mark || task != a->last + 1) atomic_fetch_add(&a->n->bad, 1);
    a->last = task;
    atomic_fetch_add(&a->n->inner_runs, 1);
    return task == a->n->inner_fails_at ? FIL_E_FORMAT : FIL_OK;
}

static fil_status outer_task(void *arg, int64_t task, int32_t worker)
{
    nest     *n = arg;
    inner_arg a = {.n = n, .thread = &mark, .last = -1};
    (void)task;
    (void)worker;
    return fili_pool_run(n->ctx, "inner", INNER, inner_task, &a);
}

static void a_run_inside_a_task_stays_on_its_thread_in_order(void **state)
{
    (void)state;
    nest n = {.ctx = open_with(3, &fili_os_posix), .inner_fails_at = -1};
    assert_int_equal(fili_pool_run(n.ctx, "outer", OUTER, outer_task, &n), FIL_OK);
    assert_int_equal(atomic_load(&n.bad), 0);
    assert_int_equal(atomic_load(&n.inner_runs), OUTER * INNER);
    fil_ctx_close(&n.ctx);
}

static void a_failure_inside_a_nested_run_is_reported_by_the_outer_one(void **state)
{
    (void)state;
    nest n = {.ctx = open_with(3, &fili_os_posix), .inner_fails_at = 7};
    assert_int_equal(fili_pool_run(n.ctx, "outer", OUTER, outer_task, &n), FIL_E_FORMAT);
    assert_non_null(strstr(fil_ctx_error(n.ctx)->message, "outer: task 0 of 20"));
    fil_ctx_close(&n.ctx);
}

static void a_run_after_a_run_uses_all_threads_again(void **state)
{
    (void)state;
    /* Whoever forgets to leave the task state would run this serially, on worker 0 alone. */
    static census c;
    memset(&c, 0, sizeof c);
    fil_ctx *ctx = open_with(2, &fili_os_posix);
    c.n_workers  = 2;
    assert_int_equal(fili_pool_run(ctx, "stop", 5, must_not_run, NULL), FIL_E_INTERNAL);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_pool_run(ctx, "count", N_TASKS, count_task, &c), FIL_OK);
    assert_each_once(&c);
    assert_int_equal(fili_pool_run(ctx, "again", 5, must_not_run, NULL), FIL_E_INTERNAL);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "again")); /* not silent as a nested one */
    fil_ctx_close(&ctx);
}

/* ---- threads that the system refuses -------------------------------------------------------- */

static void refused_threads_leave_the_work_to_the_others(void **state)
{
    (void)state;
    if (strcmp(fili_pool_runtime(), "threads") != 0) {
        print_message("[  SKIPPED ] thread creation cannot fail softly in the %s runtime\n",
                      fili_pool_runtime());
        skip();
    }
    for (int at = 0; at < 4; at++) {
        static census c;
        memset(&c, 0, sizeof c);
        os_fault fault = {.call = OS_THREAD_CREATE, .at = at, .forever = 1, .error = EAGAIN};
        fili_os  os    = os_fault_table(&fault);
        fil_ctx *ctx   = open_with(4, &os);
        c.n_workers    = at + 1 < 4 ? at + 1 : 4;
        assert_int_equal(fili_pool_run(ctx, "count", N_TASKS, count_task, &c), FIL_OK);
        assert_each_once(&c);
        assert_int_equal(fault.failed, at < 3); /* the first refusal ends the asking */
        fil_ctx_close(&ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once_for_any_thread_count),
        cmocka_unit_test(no_tasks_is_success_and_a_negative_number_is_refused),
        cmocka_unit_test(sums_have_the_same_bits_for_any_thread_count),
        cmocka_unit_test(ranges_cover_all_items_once),
        cmocka_unit_test(the_lowest_failing_task_is_reported_for_any_thread_count),
        cmocka_unit_test(a_failure_stops_the_hand_out),
        cmocka_unit_test(a_failure_stops_the_other_threads_too),
        cmocka_unit_test(a_run_inside_a_task_stays_on_its_thread_in_order),
        cmocka_unit_test(a_failure_inside_a_nested_run_is_reported_by_the_outer_one),
        cmocka_unit_test(a_run_after_a_run_uses_all_threads_again),
        cmocka_unit_test(refused_threads_leave_the_work_to_the_others),
    };
    print_message("pool runtime: %s\n", fili_pool_runtime());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
