/* base/pool.c: hands out tasks and keeps the first failure (base/pool.h).
 *
 * Tasks leave a counter in rising order and a task once handed out always completes. So when task t
 * fails, all tasks below t have been handed out and will report, and the lowest failure among those
 * that ran is the lowest of all: the same one for any number of threads and any timing.
 * Where the threads come from: pool_run.h.
 */
#include <stdatomic.h>

#include "base/pool.h"
#include "base/pool_run.h"

typedef struct pool_job {
    fili_task_fn body;
    void        *arg;
    int64_t      n_tasks;
    atomic_llong next;
    atomic_bool  stop;
    atomic_flag  lock;   /* guards the two below; taken once per worker at most */
    int64_t      failed; /* lowest task that failed, or n_tasks */
    fil_status   status; /* its status */
} pool_job;

/* Written only by work(): true while this thread runs tasks, so that a nested run stays on it. */
static _Thread_local bool in_task;

static void note_failure(pool_job *job, int64_t task, fil_status status)
{
    atomic_store_explicit(&job->stop, true, memory_order_relaxed);
    while (atomic_flag_test_and_set_explicit(&job->lock, memory_order_acquire))
        continue;
    if (task < job->failed) {
        job->failed = task;
        job->status = status;
    }
    atomic_flag_clear_explicit(&job->lock, memory_order_release);
}

static void work(void *arg, int32_t worker)
{
    pool_job  *job   = arg;
    const bool outer = in_task;
    in_task          = true;
    while (!atomic_load_explicit(&job->stop, memory_order_relaxed)) {
        const int64_t task = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (task >= job->n_tasks) break;
        const fil_status status = job->body(job->arg, task, worker);
        if (status != FIL_OK) {
            note_failure(job, task, status);
            break;
        }
    }
    in_task = outer;
}

fil_status fili_pool_run(fil_ctx *ctx, const char *what, int64_t n_tasks, fili_task_fn body,
                         void *arg)
{
    const bool nested = in_task;
    fil_ctx   *report = nested ? NULL : ctx; /* a task must not touch the context */
    FIL_CHECK(report, n_tasks >= 0, "%s: %lld tasks; expected 0 or more", what, (long long)n_tasks);
    pool_job job = {
        .body = body, .arg = arg, .n_tasks = n_tasks, .lock = ATOMIC_FLAG_INIT, .failed = n_tasks};
    atomic_init(&job.next, 0);
    atomic_init(&job.stop, false);

    int32_t workers = nested ? 1 : ctx->n_threads;
    if (workers > n_tasks) workers = (int32_t)n_tasks;
    if (workers > 1)
        fili_pool_spread(ctx->os, workers, work, &job);
    else
        work(&job, 0);
    if (job.failed == n_tasks) return FIL_OK;
    return FIL_FAIL(report, job.status, "%s: task %lld of %lld failed (%s)", what,
                    (long long)job.failed, (long long)n_tasks, fil_status_text(job.status));
}
