/* kernel/cpu/onednn.c: building and executing single-threaded oneDNN primitives (onednn.h).
 *
 * oneDNN asks the OpenMP runtime for its thread count: omp_get_max_threads when it builds, and when
 * it executes too unless it is inside an active parallel region. That count is a variable of the
 * calling thread alone (its nthreads-var), so setting it to 1 and back touches nobody else.
 */
#include <omp.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/cpu/onednn.h"

fil_status filk_dnn_check(fil_ctx *ctx, dnnl_status_t status, const char *what)
{
    switch (status) {
    case dnnl_success: return FIL_OK;
    case dnnl_out_of_memory: return FIL_FAIL(ctx, FIL_E_NOMEM, "oneDNN: no memory for %s", what);
    case dnnl_unimplemented:
        return FIL_FAIL(ctx, FIL_E_UNSUP, "oneDNN does not implement %s here", what);
    default:
        return FIL_FAIL(ctx, FIL_E_INTERNAL, "oneDNN: %s failed (status %d)", what, (int)status);
    }
}

/* ---- engine and streams --------------------------------------------------------------------- */

fil_status filk_dnn_open(fil_ctx *ctx, filk_dnn *dnn)
{
    fil_status status;
    void      *streams = NULL;
    *dnn               = (filk_dnn){.n_threads = ctx->n_threads};
    FIL_TRY(
        fili_calloc(ctx, (size_t)ctx->n_threads, sizeof *dnn->streams, "oneDNN streams", &streams));
    dnn->streams = streams;
    FIL_TRY_OR(fail,
               filk_dnn_check(ctx, dnnl_engine_create(&dnn->engine, dnnl_cpu, 0), "an engine"));
    for (int32_t i = 0; i < dnn->n_threads; i++)
        FIL_TRY_OR(fail,
                   filk_dnn_check(
                       ctx, dnnl_stream_create(&dnn->streams[i], dnn->engine, dnnl_stream_in_order),
                       "a stream"));
    return FIL_OK;
fail:
    filk_dnn_close(ctx, dnn);
    return status;
}

void filk_dnn_close(fil_ctx *ctx, filk_dnn *dnn)
{
    for (int32_t i = 0; dnn->streams != NULL && i < dnn->n_threads; i++)
        if (dnn->streams[i] != NULL) dnnl_stream_destroy(dnn->streams[i]);
    if (dnn->engine != NULL) dnnl_engine_destroy(dnn->engine);
    fili_free(ctx, dnn->streams, (size_t)dnn->n_threads * sizeof *dnn->streams);
    *dnn = (filk_dnn){0};
}

/* ---- primitives ----------------------------------------------------------------------------- */

static size_t memory_bytes(const filk_dnn *dnn)
{
    return (size_t)dnn->n_threads * FILK_DNN_ARGS * sizeof(dnnl_memory_t);
}

void filk_dnn_drop(fil_ctx *ctx, const filk_dnn *dnn, filk_dnn_primitive *primitive)
{
    for (int32_t i = 0; primitive->memory != NULL && i < dnn->n_threads * FILK_DNN_ARGS; i++)
        if (primitive->memory[i] != NULL) dnnl_memory_destroy(primitive->memory[i]);
    if (primitive->primitive != NULL) dnnl_primitive_destroy(primitive->primitive);
    if (primitive->memory != NULL) fili_free(ctx, primitive->memory, memory_bytes(dnn));
    *primitive = (filk_dnn_primitive){0};
}

/* A memory object for each thread and argument: their data pointers change with every task. */
static fil_status make_memory(fil_ctx *ctx, const filk_dnn *dnn,
                              const dnnl_memory_desc_t *const descs[], filk_dnn_primitive *out)
{
    void *memory = NULL;
    FIL_TRY(fili_calloc(ctx, (size_t)dnn->n_threads * FILK_DNN_ARGS, sizeof(dnnl_memory_t),
                        "oneDNN arguments", &memory));
    out->memory = memory;
    for (int32_t t = 0; t < dnn->n_threads; t++)
        for (int32_t i = 0; i < out->n_args; i++)
            FIL_TRY(filk_dnn_check(ctx,
                                   dnnl_memory_create(&out->memory[t * FILK_DNN_ARGS + i], descs[i],
                                                      dnn->engine, DNNL_MEMORY_NONE),
                                   "a memory object"));
    return FIL_OK;
}

/* Implementations of the reference are "ref:any" and the like; others name an instruction set. */
static int is_reference(const_dnnl_primitive_desc_t pd)
{
    const char *name = NULL;
    if (dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&name) != dnnl_success)
        return 0;
    return name != NULL && strncmp(name, "ref", 3) == 0;
}

static fil_status finish(fil_ctx *ctx, const filk_dnn *dnn, const_dnnl_primitive_desc_t pd,
                         filk_dnn_primitive *out)
{
    static const dnnl_query_t queries[] = {dnnl_query_src_md, dnnl_query_weights_md,
                                           dnnl_query_dst_md, dnnl_query_scratchpad_md};
    static const int args[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    const dnnl_memory_desc_t *descs[FILK_DNN_ARGS] = {0};
    for (int32_t q = 0; q < 4; q++) {
        const dnnl_memory_desc_t *desc = dnnl_primitive_desc_query_md(pd, queries[q], 0);
        if (queries[q] == dnnl_query_weights_md && (desc == NULL || desc->ndims == 0)) continue;
        if (desc == NULL) return FIL_FAIL(ctx, FIL_E_INTERNAL, "oneDNN: no descriptor %d", (int)q);
        if (queries[q] == dnnl_query_weights_md) out->weights = *desc;
        if (queries[q] == dnnl_query_scratchpad_md) out->scratch = dnnl_memory_desc_get_size(desc);
        out->arg[out->n_args] = args[q];
        descs[out->n_args++]  = desc;
    }
    out->is_reference = is_reference(pd);
    FIL_TRY(filk_dnn_check(ctx, dnnl_primitive_create(&out->primitive, pd), "a primitive"));
    return make_memory(ctx, dnn, descs, out);
}

static fil_status make_attr(fil_ctx *ctx, int add, dnnl_primitive_attr_t *attr)
{
    fil_status      status;
    dnnl_post_ops_t ops = NULL;
    FIL_TRY(filk_dnn_check(ctx, dnnl_primitive_attr_create(attr), "attributes"));
    FIL_TRY_OR(done,
               filk_dnn_check(
                   ctx, dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user),
                   "a scratchpad of the caller's"));
    if (!add) return FIL_OK;
    FIL_TRY_OR(done, filk_dnn_check(ctx, dnnl_post_ops_create(&ops), "attributes"));
    FIL_TRY_OR(done, filk_dnn_check(ctx, dnnl_post_ops_append_sum(ops, 1.0f), "a sum"));
    FIL_TRY_OR(done, filk_dnn_check(ctx, dnnl_primitive_attr_set_post_ops(*attr, ops), "a sum"));
done:
    if (ops != NULL) dnnl_post_ops_destroy(ops);
    return status;
}

fil_status filk_dnn_build(fil_ctx *ctx, const filk_dnn *dnn, const filk_dnn_operation *op,
                          filk_dnn_primitive *out)
{
    fil_status            status;
    dnnl_primitive_attr_t attr  = NULL;
    dnnl_primitive_desc_t pd    = NULL;
    const int             limit = omp_get_max_threads();
    *out                        = (filk_dnn_primitive){0};
    omp_set_num_threads(1);
    FIL_TRY_OR(done, make_attr(ctx, op->add, &attr));
    FIL_TRY_OR(done, filk_dnn_check(
                         ctx, dnnl_primitive_desc_create(&pd, op->desc, attr, dnn->engine, NULL),
                         "this shape"));
    FIL_TRY_OR(done, finish(ctx, dnn, pd, out));
done:
    omp_set_num_threads(limit);
    if (pd != NULL) dnnl_primitive_desc_destroy(pd);
    if (attr != NULL) dnnl_primitive_attr_destroy(attr);
    if (status != FIL_OK) filk_dnn_drop(ctx, dnn, out);
    return status;
}

fil_status filk_dnn_build_reorder(fil_ctx *ctx, const filk_dnn *dnn, const dnnl_memory_desc_t *from,
                                  const dnnl_memory_desc_t *to, filk_dnn_primitive *out)
{
    fil_status            status;
    dnnl_primitive_attr_t attr  = NULL;
    dnnl_primitive_desc_t pd    = NULL;
    const int             limit = omp_get_max_threads();
    *out                        = (filk_dnn_primitive){0};
    omp_set_num_threads(1);
    FIL_TRY_OR(done, make_attr(ctx, 0, &attr));
    FIL_TRY_OR(done, filk_dnn_check(ctx,
                                    dnnl_reorder_primitive_desc_create(&pd, from, dnn->engine, to,
                                                                       dnn->engine, attr),
                                    "this packing"));
    FIL_TRY_OR(done, finish(ctx, dnn, pd, out));
done:
    omp_set_num_threads(limit);
    if (pd != NULL) dnnl_primitive_desc_destroy(pd);
    if (attr != NULL) dnnl_primitive_attr_destroy(attr);
    if (status != FIL_OK) filk_dnn_drop(ctx, dnn, out);
    return status;
}

fil_status filk_dnn_execute(const filk_dnn *dnn, const filk_dnn_primitive *primitive,
                            int32_t worker, void *const data[], void *scratch)
{
    dnnl_memory_t  *memory = primitive->memory + (int64_t)worker * FILK_DNN_ARGS;
    dnnl_exec_arg_t args[FILK_DNN_ARGS];
    const int32_t   last   = primitive->n_args - 1;
    dnnl_status_t   status = dnnl_success;
    for (int32_t i = 0; i <= last; i++) {
        void *p = i == last ? scratch : data[i];
        if (status == dnnl_success) status = dnnl_memory_set_data_handle(memory[i], p);
        args[i] = (dnnl_exec_arg_t){.arg = primitive->arg[i], .memory = memory[i]};
    }
    if (status != dnnl_success) return FIL_E_INTERNAL;
    /* Inside an active region oneDNN runs serially by itself. */
    const int limit = omp_in_parallel() ? 1 : omp_get_max_threads();
    if (limit != 1) omp_set_num_threads(1);
    status = dnnl_primitive_execute(primitive->primitive, dnn->streams[worker], last + 1, args);
    if (limit != 1) omp_set_num_threads(limit);
    if (status == dnnl_out_of_memory) return FIL_E_NOMEM;
    return status == dnnl_success ? FIL_OK : FIL_E_INTERNAL;
}
