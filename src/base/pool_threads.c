/* base/pool_threads.c: threads from the OS table (pool_run.h), for builds without OpenMP.
 *
 * Made for each run and joined at its end: simple, and every hand-over is one that the thread
 * sanitizer understands. Costs some 20 us per thread and run, so it is not the build to measure.
 * When the system refuses a thread, the ones that are there do all the work.
 */
#include "base/pool.h"
#include "base/pool_run.h"

enum { MAX_WORKERS = 1024 }; /* the most a context may ask for */

typedef struct helper {
    void (*work)(void *arg, int32_t worker);
    void   *arg;
    void   *thread;
    int32_t worker;
} helper;

static void help(void *arg)
{
    const helper *h = arg;
    h->work(h->arg, h->worker);
}

void fili_pool_spread(const fili_os *os, int32_t n_workers, void (*work)(void *arg, int32_t worker),
                      void *arg)
{
    helper  helpers[MAX_WORKERS]; /* 32 KiB of stack, so that a run allocates nothing */
    int32_t n = 1;
    if (n_workers > MAX_WORKERS) n_workers = MAX_WORKERS;
    for (; n < n_workers; n++) {
        helpers[n] = (helper){.work = work, .arg = arg, .worker = n};
        if (os->thread_create(os->self, help, &helpers[n], &helpers[n].thread) < 0) break;
    }
    work(arg, 0);
    for (int32_t i = 1; i < n; i++)
        (void)os->thread_join(os->self, helpers[i].thread);
}

const char *fili_pool_runtime(void)
{
    return "threads";
}
