/* kernel/ref/linear_ref.c: linear as its definition says: the oracle.
 *
 * Scalar, f64, one output at a time, inputs as they are. Slow on purpose; it is shipped, and every
 * other row is measured against it. Its packed weights are a copy.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernel/linear.h"
#include "kernel/ref/element.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"

static double activated(double x, filk_activation act)
{
    const double u = sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
    switch (act) {
    case FILK_ACT_GELU_TANH: return 0.5 * x * (1.0 + tanh(u));
    case FILK_ACT_SILU: return x / (1.0 + exp(-x));
    default: return x;
    }
}

enum { CHUNK = FILI_BLOCK_MOST };

/* n <= CHUNK elements of row j of W from d on, d a multiple of CHUNK. */
static void weights_at(const filk_linear_problem *p, const filk_linear_args *a, int64_t j,
                       int64_t d, int64_t n, double w[CHUNK])
{
    const fil_dtype type = p->any_weight ? a->weight_dtype : p->dtype;
    double          narrow[CHUNK]; /* holds elements of any type */
    uint32_t        block;
    const int64_t   size = fil_dtype_block(type, &block);
    const char     *from = (const char *)a->weight + (j * p->k + d) / block * size;
    fili_dequant_row(FILI_ISA_REF, p->dtype, narrow, type, from, n);
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F64, w, p->dtype, narrow, (size_t)n);
}

double filk_linear_oracle(const filk_linear_problem *problem, const filk_linear_args *args,
                          int64_t i, int64_t j, double *cond, double *scale)
{
    const filk_linear_problem *p   = problem;
    double                     sum = 0.0;
    double                     abs = 0.0;
    double                     w[CHUNK];
    for (int64_t d = 0; d < p->k; d++) {
        if (d % CHUNK == 0) weights_at(p, args, j, d, p->k - d < CHUNK ? p->k - d : CHUNK, w);
        const double product =
            filk_ref_element(p->dtype, args->x, i * p->x_stride + d) * w[d % CHUNK];
        sum += product;
        abs += fabs(product);
    }
    if (p->bias_dtype != FIL_DTYPE_NONE) {
        const double b = filk_ref_element(p->bias_dtype, args->bias, j);
        sum += b;
        abs += fabs(b);
    }
    const double gate = args->gate != NULL ? (double)args->gate[j] : 1.0;
    const double y    = gate * activated(sum, p->act);
    const double base =
        args->residual != NULL ? (double)args->residual[i * args->residual_stride + j] : 0.0;
    *cond  = fabs(gate) * abs;
    *scale = fabs(y) + fabs(base);
    return y + base;
}

const char *filk_linear_any_row__ref_refuse(const void *problem)
{
    const filk_linear_problem *p = problem;
    if (!fili_convert_has(p->dtype) || !fili_convert_has(p->out_dtype)) return "takes floats only";
    if (p->any_weight && p->packed) return "packs weights of its own type only";
    return p->bias_dtype != FIL_DTYPE_NONE && !fili_convert_has(p->bias_dtype)
               ? "takes a floating-point bias only"
               : NULL;
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    FIL_TRY(fili_alloc(ctx, sizeof(filk_linear_problem), "linear plan", plan));
    memcpy(*plan, problem, sizeof(filk_linear_problem));
    return FIL_OK;
}

static void destroy(fil_ctx *ctx, void **plan)
{
    fili_free(ctx, *plan, sizeof(filk_linear_problem));
    *plan = NULL;
}

static size_t workspace_bytes(const void *plan)
{
    (void)plan;
    return 0;
}

static size_t packed_bytes(const void *plan)
{
    const filk_linear_problem *p = plan;
    return p->packed ? (size_t)p->n * (size_t)p->k * (fil_dtype_bits(p->dtype) / 8) : 0;
}

static fil_status pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace)
{
    (void)ctx;
    (void)workspace;
    memcpy(packed, weight, packed_bytes(plan));
    return FIL_OK;
}

typedef struct run_state {
    const filk_linear_problem *p;
    const filk_linear_args    *a;
} run_state;

static fil_status row_task(void *arg, int64_t i, int32_t worker)
{
    const run_state           *s    = arg;
    const filk_linear_problem *p    = s->p;
    const int64_t              size = (int64_t)fil_dtype_bits(p->out_dtype) / 8;
    (void)worker;
    for (int64_t j = 0; j < p->n; j++) {
        double       cond;
        double       scale;
        const double v = filk_linear_oracle(p, s->a, i, j, &cond, &scale);
        fili_convert_row(fili_convert_select(FILI_ISA_REF), p->out_dtype,
                         (char *)s->a->out + (i * s->a->out_stride + j) * size, FIL_F64, &v, 1);
    }
    return FIL_OK;
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    run_state s = {.p = plan, .a = args};
    (void)workspace;
    return fili_pool_run(ctx, "linear", s.p->m, row_task, &s);
}

const filk_plan_ops filk_linear_any_row__ref_plan = {.create       = create,
                                                     .destroy      = destroy,
                                                     .workspace    = workspace_bytes,
                                                     .packed_bytes = packed_bytes,
                                                     .pack         = pack,
                                                     .run          = run};
