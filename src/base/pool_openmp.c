/* base/pool_openmp.c: threads from the OpenMP runtime (pool_run.h), the one that oneDNN uses too.
 *
 * Only the num_threads clause is used, which holds for one region: no global setting changes. The
 * runtime may give fewer threads (its limit, or the caller is inside a parallel region already).
 * One thing cannot be softened here: libgomp ends the process when the system refuses a thread.
 */
#include <omp.h>

#include "base/pool.h"
#include "base/pool_run.h"

void fili_pool_spread(const fili_os *os, int32_t n_workers, void (*work)(void *arg, int32_t worker),
                      void *arg)
{
    (void)os;
#pragma omp parallel num_threads(n_workers)
    work(arg, omp_get_thread_num());
}

const char *fili_pool_runtime(void)
{
    return "openmp";
}
