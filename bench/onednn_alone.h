/* bench/onednn_alone.h: oneDNN 2.x called in the plainest way, one primitive for the whole tensor:
 * what our rows on it are measured against. One thread. Weights in the layout that it likes best.
 * For benchmarks, where a failed call ends the program.
 */
#ifndef BENCH_ONEDNN_ALONE_H
#define BENCH_ONEDNN_ALONE_H

#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct alone {
    dnnl_engine_t    engine;
    dnnl_stream_t    stream;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t  args[8];
    int              n_args;
} alone;

static inline void alone_check(dnnl_status_t status)
{
    if (status == dnnl_success) return;
    fprintf(stderr, "oneDNN: status %d\n", (int)status);
    exit(1);
}

static inline void alone_open(alone *a)
{
    *a = (alone){0};
    alone_check(dnnl_engine_create(&a->engine, dnnl_cpu, 0));
    alone_check(dnnl_stream_create(&a->stream, a->engine, dnnl_stream_in_order));
}

static inline void alone_arg(alone *a, int arg, const dnnl_memory_desc_t *desc, void *data)
{
    dnnl_memory_t memory;
    alone_check(dnnl_memory_create(&memory, desc, a->engine, data));
    a->args[a->n_args++] = (dnnl_exec_arg_t){.arg = arg, .memory = memory};
}

/* Builds it, packs `plain` weights, and binds them. attr may be NULL. Where oneDNN does not have
 * the operation (bf16 below AVX-512) there is nothing to compare with: the program says so, and
 * ends well. */
static inline void alone_build(alone *a, const_dnnl_op_desc_t desc,
                               const_dnnl_primitive_attr_t attr, const dnnl_memory_desc_t *plain,
                               void *weights)
{
    dnnl_primitive_desc_t pd;
    dnnl_primitive_desc_t rd;
    dnnl_primitive_t      reorder;
    dnnl_memory_t         from;
    const dnnl_status_t   status = dnnl_primitive_desc_create(&pd, desc, attr, a->engine, NULL);
    if (status == dnnl_unimplemented) {
        fprintf(stderr, "oneDNN does not implement this on this CPU: skipped\n");
        exit(0);
    }
    alone_check(status);
    alone_check(dnnl_primitive_create(&a->primitive, pd));
    const dnnl_memory_desc_t *to = dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    alone_arg(a, DNNL_ARG_WEIGHTS, to, DNNL_MEMORY_ALLOCATE);
    alone_check(dnnl_memory_create(&from, plain, a->engine, weights));
    alone_check(dnnl_reorder_primitive_desc_create(&rd, plain, a->engine, to, a->engine, NULL));
    alone_check(dnnl_primitive_create(&reorder, rd));
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, a->args[a->n_args - 1].memory}};
    alone_check(dnnl_primitive_execute(reorder, a->stream, 2, args));
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(rd);
    dnnl_primitive_desc_destroy(pd);
    dnnl_memory_destroy(from);
}

static inline void alone_run(alone *a)
{
    alone_check(dnnl_primitive_execute(a->primitive, a->stream, a->n_args, a->args));
}

static inline void alone_close(alone *a)
{
    for (int i = 0; i < a->n_args; i++)
        dnnl_memory_destroy(a->args[i].memory);
    dnnl_primitive_destroy(a->primitive);
    dnnl_stream_destroy(a->stream);
    dnnl_engine_destroy(a->engine);
}

/* ---- time ----------------------------------------------------------------------------------- */

/* CPU time of the calling thread: all work is on it, and other programs do not count. */
static inline double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *values, size_t n)
{
    qsort(values, n, sizeof values[0], by_value);
    return values[n / 2];
}

#endif
