/* bench/bench_open_ctx.h: how the benchmarks of kernels begin: how often to repeat, from the
 * command line, and a context with one thread.
 */
#ifndef BENCH_BENCH_OPEN_CTX_H
#define BENCH_BENCH_OPEN_CTX_H

#include <stdlib.h>

#include "filigree/filigree.h"

/* 0 and *repetitions in [1, most], *ctx open; or what main returns: 2 for an argument that is no
 * such number, 1 for a context that does not open. */
static inline int begin_bench(int argc, char **argv, int usual, int most, int *repetitions,
                              fil_ctx **ctx)
{
    char       *end  = NULL;
    const long  said = argc > 1 ? strtol(argv[1], &end, 10) : usual;
    fil_options opt;
    *ctx = NULL;
    if (said < 1 || said > most || (end != NULL && *end != '\0')) return 2;
    *repetitions = (int)said;
    fil_options_init(&opt);
    opt.n_threads = 1;
    return fil_ctx_open(ctx, &opt) == FIL_OK ? 0 : 1;
}

#endif
