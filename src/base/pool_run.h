/* base/pool_run.h: the seam between pool.c (hand-out of tasks, errors) and the runtime that lends
 * the threads: pool_openmp.c or pool_threads.c, one of which is compiled (FIL_OPENMP in CMake).
 */
#ifndef FILI_BASE_POOL_RUN_H
#define FILI_BASE_POOL_RUN_H

#include "base/ctx.h"

/* Calls work(arg, w) for w = 0 .. k - 1, each on a thread of its own, and waits; w = 0 runs on the
 * calling thread. 1 <= k <= n_workers: a runtime that lacks threads starts fewer, and says nothing,
 * since the work comes out the same. Allocates nothing through the context. */
void fili_pool_spread(const fili_os *os, int32_t n_workers, void (*work)(void *arg, int32_t worker),
                      void *arg);

#endif
