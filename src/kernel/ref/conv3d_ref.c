/* kernel/ref/conv3d_ref.c: 3-D convolution as its definition says: the oracle.
 *
 * Scalar, f64, one output at a time, inputs as they are. Slow on purpose; it is shipped, and every
 * other row is measured against it. Its packed weights are a copy.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "kernel/conv3d.h"
#include "kernel/ref/element.h"
#include "tensor/convert.h"

typedef struct sum {
    double value, abs;
} sum;

/* Adds one row of the kernel: all of kw and C_in at frame position (i, j) and input row y. */
static void add_row(const filk_conv3d_problem *p, const void *frame, const void *weight,
                    const filk_conv3d_at *at, const int32_t tap[2], int32_t y, sum *s)
{
    const int64_t plane = (int64_t)p->t.kernel * p->h.kernel * p->w.kernel;
    for (int32_t k = 0; k < p->w.kernel; k++) {
        const int32_t x = at->x * p->w.stride + k - p->w.before;
        if (x < 0 || x >= p->w.size) continue;
        const int64_t tap_at = ((int64_t)tap[0] * p->h.kernel + tap[1]) * p->w.kernel + k;
        const int64_t from   = ((int64_t)y * p->w.size + x) * p->c_in;
        for (int64_t c = 0; c < p->c_in; c++) {
            const double product =
                filk_ref_element(p->dtype, frame, from + c) *
                filk_ref_element(p->dtype, weight, (at->o * (int64_t)p->c_in + c) * plane + tap_at);
            s->value += product;
            s->abs += fabs(product);
        }
    }
}

double filk_conv3d_oracle(const filk_conv3d_problem *problem, const filk_conv3d_args *args,
                          const void *weight, filk_conv3d_at at, double *cond)
{
    const filk_conv3d_problem *p = problem;
    sum                        s = {0.0, 0.0};
    if (p->bias_dtype != FIL_DTYPE_NONE)
        s.value = filk_ref_element(p->bias_dtype, args->bias, at.o);
    s.abs = fabs(s.value);
    for (int32_t i = 0; i < p->t.kernel; i++) {
        const int32_t t = at.t * p->t.stride + i - p->t.before;
        if (t < 0 || t >= p->t.size || args->frames[t] == NULL) continue;
        for (int32_t j = 0; j < p->h.kernel; j++) {
            const int32_t y = at.y * p->h.stride + j - p->h.before;
            if (y < 0 || y >= p->h.size) continue;
            add_row(p, args->frames[t], weight, &at, (const int32_t[]){i, j}, y, &s);
        }
    }
    double v = p->silu ? s.value / (1.0 + exp(-s.value)) : s.value;
    if (args->residual != NULL) {
        const int64_t pixel = (int64_t)at.y * filk_conv3d_out(&p->w) + at.x;
        v += filk_ref_element(p->out_dtype, args->residual[at.t], pixel * p->c_out + at.o);
    }
    *cond = s.abs;
    return v;
}

const char *filk_conv3d_any_pixel__ref_refuse(const void *problem)
{
    const filk_conv3d_problem *p = problem;
    return fili_convert_has(p->dtype) && fili_convert_has(p->out_dtype) ? NULL
                                                                        : "takes floats only";
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    FIL_TRY(fili_alloc(ctx, sizeof(filk_conv3d_problem), "conv3d plan", plan));
    memcpy(*plan, problem, sizeof(filk_conv3d_problem));
    return FIL_OK;
}

static void destroy(fil_ctx *ctx, void **plan)
{
    fili_free(ctx, *plan, sizeof(filk_conv3d_problem));
    *plan = NULL;
}

static size_t workspace_bytes(const void *plan)
{
    (void)plan;
    return 0;
}

static size_t packed_bytes(const void *plan)
{
    const filk_conv3d_problem *p = plan;
    return (size_t)p->c_out * (size_t)p->c_in * (size_t)p->t.kernel * (size_t)p->h.kernel *
           (size_t)p->w.kernel * (fil_dtype_bits(p->dtype) / 8);
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
    const filk_conv3d_problem *p;
    const filk_conv3d_args    *a;
    int32_t                    rows; /* of an output frame, at least 1 */
} run_state;

/* One row of one output frame. */
static fil_status row_task(void *arg, int64_t task, int32_t worker)
{
    const run_state           *s     = arg;
    const filk_conv3d_problem *p     = s->p;
    const int32_t              width = filk_conv3d_out(&p->w);
    const int64_t              size  = (int64_t)fil_dtype_bits(p->out_dtype) / 8;
    filk_conv3d_at at = {.t = (int32_t)(task / s->rows), .y = (int32_t)(task % s->rows)};
    (void)worker;
    for (at.x = 0; at.x < width; at.x++)
        for (at.o = 0; at.o < p->c_out; at.o++) {
            double        cond;
            const double  v  = filk_conv3d_oracle(p, s->a, s->a->packed, at, &cond);
            const int64_t to = ((int64_t)at.y * width + at.x) * p->c_out + at.o;
            fili_convert_row(fili_convert_select(FILI_ISA_REF), p->out_dtype,
                             (char *)s->a->out[at.t] + to * size, FIL_F64, &v, 1);
        }
    return FIL_OK;
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    run_state     s      = {.p = plan, .a = args};
    const int32_t frames = filk_conv3d_out(&s.p->t);
    (void)workspace;
    s.rows = filk_conv3d_out(&s.p->h);
    if (s.rows < 1) return FIL_OK; /* the kernel is larger than the image: nothing comes out */
    return fili_pool_run(ctx, "conv3d", (int64_t)frames * s.rows, row_task, &s);
}

const filk_plan_ops filk_conv3d_any_pixel__ref_plan = {.create       = create,
                                                       .destroy      = destroy,
                                                       .workspace    = workspace_bytes,
                                                       .packed_bytes = packed_bytes,
                                                       .pack         = pack,
                                                       .run          = run};
