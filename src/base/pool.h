/* base/pool.h: work cut into tasks of fixed size, spread over the context's threads.
 *
 * The cut depends on the problem alone, never on the thread count, and a task never shares an
 * accumulator with another: so results have the same bits for any number of threads. Tasks are
 * handed out in rising order, one at a time, to whichever thread is free.
 * Runs on the OpenMP runtime (pool_openmp.c), shared with oneDNN, so that one process has one pool;
 * builds without OpenMP use plain threads (pool_threads.c), where the thread sanitizer can look.
 * No global OpenMP setting is touched.
 */
#ifndef FILI_BASE_POOL_H
#define FILI_BASE_POOL_H

#include "base/ctx.h"

/* One task. worker: 0 to n_threads - 1, for scratch memory per thread. Runs on any thread: it must
 * not touch the context. */
typedef fil_status (*fili_task_fn)(void *arg, int64_t task, int32_t worker);

/* Runs tasks 0 .. n_tasks - 1 and waits for them. The first failure stops the hand-out; the result
 * is the status of the lowest task that failed, with a message that names `what` and the task.
 * Inside a task the run is done by that task's thread alone, in order, as worker 0; a failure then
 * has no message, since the context is not touched. A system that refuses threads gets the work
 * done on fewer (pool_threads.c; libgomp ends the process instead). */
FIL_MUSTCHECK fil_status fili_pool_run(fil_ctx *ctx, const char *what, int64_t n_tasks,
                                       fili_task_fn body, void *arg);

/* Number of tasks of `grain` items (> 0) that n items (>= 0) make; and the items of one task. */
static inline int64_t fili_task_count(int64_t n, int64_t grain)
{
    return n / grain + (n % grain != 0);
}

typedef struct fili_range {
    int64_t begin, end;
} fili_range;

static inline fili_range fili_task_range(int64_t n, int64_t grain, int64_t task)
{
    const int64_t begin = task * grain;
    return (fili_range){.begin = begin, .end = n - begin < grain ? n : begin + grain};
}

/* "openmp" or "threads": which runtime this build has. */
const char *fili_pool_runtime(void);

#endif
