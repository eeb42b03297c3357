/* kernel/cpu/conv3d_onednn.c: 3-D convolution (kernel/conv3d.h) with oneDNN's 2-D convolution.
 *
 * A task is a few rows of one output frame. It runs a single-threaded 2-D primitive for each frame
 * under the kernel's time taps, the first into an f32 tile, the others adding to it, then one pass
 * of our own (tile.h) for bias, activation, residual and conversion. So frames may lie anywhere,
 * time padding is a tap left out, and the rate is that of oneDNN's 3-D convolution over the whole
 * clip (docs/design/conv3d.md). The tile is about 256 KiB and stays in the L2 cache.
 * Blocks of rows differ in the zeros above and below; each distinct shape has two primitives, one
 * that writes and one that adds. Packed weights: a piece for each time tap, same layout for all.
 * oneDNN chooses that layout by the shape, and meets another than its choice with its reference,
 * a hundred times slower: so blocks get a height, if need be some rows more, at which no shape of a
 * plan falls to it, if one is near.
 * Where the library has no bf16 products (before AVX-512), the last row widens the rows that a
 * task reads and computes in f32: half of the memory for frames, not more speed.
 */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/pool.h"
#include "kernel/conv3d.h"
#include "kernel/cpu/onednn.h"
#include "kernel/cpu/tile.h"
#include "tensor/convert.h"

enum { TILE_BYTES = 256 << 10, MAX_SHAPES = 24, LINE = 64, MOST_STEPS = 8 };

/* Output rows [first, first + rows) and what they read. */
typedef struct row_block {
    int32_t rows;
    int32_t in_rows;
    int32_t before, after; /* zeros */
} row_block;

typedef struct conv_shape {
    row_block          block;
    filk_dnn_primitive write, add;
} conv_shape;

typedef struct conv_plan {
    filk_conv3d_problem p;
    filk_dnn            dnn;
    conv_shape          shape[MAX_SHAPES];
    int32_t             n_shapes;
    filk_dnn_primitive  packing;
    filk_tile_fn        tile;
    int32_t             out_t, out_h, out_w;
    int32_t             grain; /* output rows of a task */
    int32_t             widen; /* 1: x and W are bf16, the primitives' f32 */
    size_t              acc_bytes, bias_bytes, wide_bytes, thread_bytes;
    size_t              piece_bytes; /* packed weights of a time tap */
} conv_plan;

static size_t padded(size_t bytes)
{
    return (bytes + LINE - 1) & ~(size_t)(LINE - 1);
}

static int64_t element_bytes(const filk_conv3d_problem *p)
{
    return p->dtype == FIL_BF16 ? 2 : 4;
}

/* Of the primitives' x and W. */
static dnnl_data_type_t inner_type(const conv_plan *plan)
{
    return plan->p.dtype == FIL_BF16 && !plan->widen ? dnnl_bf16 : dnnl_f32;
}

/* First input row of output row y, before it is cut to the frame. */
static int32_t input_row(const filk_conv3d_problem *p, int32_t y)
{
    return y * p->h.stride - p->h.before;
}

static row_block block_of(const conv_plan *plan, int32_t first)
{
    const filk_conv3d_problem *p    = &plan->p;
    const int32_t              left = plan->out_h - first;
    const int32_t              rows = left < plan->grain ? left : plan->grain;
    const int32_t              from = input_row(p, first);
    const int32_t              to   = input_row(p, first + rows - 1) + p->h.kernel;
    const int32_t              end  = to < p->h.size ? to : p->h.size;
    const row_block            b    = {.rows    = rows,
                                       .in_rows = end - (from > 0 ? from : 0),
                                       .before  = from < 0 ? -from : 0,
                                       .after   = to > p->h.size ? to - p->h.size : 0};
    return b;
}

static conv_shape *shape_of(conv_plan *plan, const row_block *b)
{
    for (int32_t i = 0; i < plan->n_shapes; i++)
        if (memcmp(&plan->shape[i].block, b, sizeof *b) == 0) return &plan->shape[i];
    return NULL;
}

/* ---- building ------------------------------------------------------------------------------- */

typedef struct conv_descs {
    dnnl_memory_desc_t      x, w, y;
    dnnl_convolution_desc_t desc;
} conv_descs;

static dnnl_status_t describe(const conv_plan *plan, const row_block *b, conv_descs *out)
{
    const filk_conv3d_problem *p       = &plan->p;
    const dnnl_data_type_t     type    = inner_type(plan);
    const dnnl_dims_t          x_dims  = {1, p->c_in, b->in_rows, p->w.size};
    const dnnl_dims_t          y_dims  = {1, p->c_out, b->rows, plan->out_w};
    const dnnl_dims_t          w_dims  = {p->c_out, p->c_in, p->h.kernel, p->w.kernel};
    const dnnl_dims_t          strides = {p->h.stride, p->w.stride};
    const dnnl_dims_t          before  = {b->before, p->w.before};
    const dnnl_dims_t          after   = {b->after, p->w.after};
    dnnl_status_t s = dnnl_memory_desc_init_by_tag(&out->x, 4, x_dims, type, dnnl_nhwc);
    if (s == dnnl_success)
        s = dnnl_memory_desc_init_by_tag(&out->y, 4, y_dims, dnnl_f32, dnnl_nhwc);
    if (s == dnnl_success && plan->n_shapes > 0)
        out->w = plan->shape[0].write.weights;
    else if (s == dnnl_success)
        s = dnnl_memory_desc_init_by_tag(&out->w, 4, w_dims, type, dnnl_format_tag_any);
    if (s == dnnl_success)
        s = dnnl_convolution_forward_desc_init(&out->desc, dnnl_forward_inference,
                                               dnnl_convolution_direct, &out->x, &out->w, NULL,
                                               &out->y, strides, before, after);
    return s;
}

static fil_status add_shape(fil_ctx *ctx, conv_plan *plan, const row_block *b)
{
    conv_descs d;
    if (plan->n_shapes == MAX_SHAPES)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "conv3d: more than %d kinds of row blocks", MAX_SHAPES);
    FIL_TRY(filk_dnn_check(ctx, describe(plan, b, &d), "a convolution"));
    conv_shape *s = &plan->shape[plan->n_shapes];
    s->block      = *b;
    FIL_TRY(filk_dnn_build(ctx, &plan->dnn, &(filk_dnn_operation){.desc = &d.desc}, &s->write));
    plan->n_shapes++; /* from here on its layout of the weights holds for all */
    FIL_TRY(filk_dnn_check(ctx, describe(plan, b, &d), "a convolution"));
    return filk_dnn_build(ctx, &plan->dnn, &(filk_dnn_operation){.desc = &d.desc, .add = 1},
                          &s->add);
}

/* The weights of one time tap, [C_out, C_in, kh, kw] inside PyTorch's [C_out, C_in, kt, kh, kw];
 * widened, they lie by themselves. */
static fil_status build_packing(fil_ctx *ctx, conv_plan *plan)
{
    const filk_conv3d_problem *p       = &plan->p;
    const dnnl_data_type_t     type    = inner_type(plan);
    const int64_t              plane   = (int64_t)p->h.kernel * p->w.kernel;
    const int64_t              taps    = plan->widen ? 1 : p->t.kernel;
    const dnnl_dims_t          dims    = {p->c_out, p->c_in, p->h.kernel, p->w.kernel};
    const dnnl_dims_t          strides = {p->c_in * taps * plane, taps * plane, p->w.kernel, 1};
    dnnl_memory_desc_t         from;
    const dnnl_memory_desc_t  *to = &plan->shape[0].write.weights;
    FIL_TRY(filk_dnn_check(ctx, dnnl_memory_desc_init_by_strides(&from, 4, dims, type, strides),
                           "the weights"));
    plan->piece_bytes = padded(dnnl_memory_desc_get_size(to));
    return filk_dnn_build_reorder(ctx, &plan->dnn, &from, to, &plan->packing);
}

static void larger(size_t *a, size_t b)
{
    if (b > *a) *a = b;
}

/* Room for what a task reads of a frame, and for the weights of a time tap. */
static size_t wide_bytes(const conv_plan *plan)
{
    const filk_conv3d_problem *p    = &plan->p;
    const size_t               taps = (size_t)p->h.kernel * (size_t)p->w.kernel;
    size_t                     most = taps * (size_t)p->c_in * (size_t)p->c_out;
    for (int32_t i = 0; i < plan->n_shapes; i++)
        larger(&most, (size_t)plan->shape[i].block.in_rows * (size_t)p->w.size * (size_t)p->c_in);
    return padded(most * sizeof(float));
}

static void drop_shapes(fil_ctx *ctx, conv_plan *plan)
{
    for (int32_t i = 0; i < MAX_SHAPES; i++) {
        filk_dnn_drop(ctx, &plan->dnn, &plan->shape[i].write);
        filk_dnn_drop(ctx, &plan->dnn, &plan->shape[i].add);
    }
    plan->n_shapes = 0;
}

static fil_status build_shapes(fil_ctx *ctx, conv_plan *plan, int32_t grain)
{
    drop_shapes(ctx, plan);
    plan->grain = grain;
    for (int32_t y = 0; y < plan->out_h; y += grain) {
        const row_block b = block_of(plan, y);
        if (shape_of(plan, &b) == NULL) FIL_TRY(add_shape(ctx, plan, &b));
    }
    return FIL_OK;
}

int32_t filk_conv3d_onednn_references(const void *plan)
{
    const conv_plan *c = plan;
    int32_t          n = 0;
    for (int32_t i = 0; i < c->n_shapes; i++)
        n += c->shape[i].write.is_reference | c->shape[i].add.is_reference;
    return n;
}

/* Rows of a task: `usual`, or the height next to it at which no shape falls to the reference. */
static fil_status choose_rows(fil_ctx *ctx, conv_plan *plan, int32_t usual)
{
    for (int32_t step = 0; step <= MOST_STEPS; step++)
        for (int32_t sign = -1; sign <= (step > 0); sign += 2) {
            const int32_t grain = usual + sign * step;
            if (grain < 1 || grain > plan->out_h) continue;
            FIL_TRY(build_shapes(ctx, plan, grain));
            if (filk_conv3d_onednn_references(plan) == 0) return FIL_OK;
        }
    return plan->grain == usual ? FIL_OK : build_shapes(ctx, plan, usual);
}

static fil_status build(fil_ctx *ctx, conv_plan *plan)
{
    const filk_conv3d_problem *p         = &plan->p;
    const int64_t              row_bytes = (int64_t)plan->out_w * p->c_out * 4;
    size_t                     scratch   = 0;
    int64_t                    grain     = TILE_BYTES / row_bytes;
    if (grain < 1) grain = 1;
    FIL_TRY(choose_rows(ctx, plan, (int32_t)(grain < plan->out_h ? grain : plan->out_h)));
    FIL_TRY(build_packing(ctx, plan));
    larger(&scratch, plan->packing.scratch);
    for (int32_t i = 0; i < plan->n_shapes; i++) {
        larger(&scratch, plan->shape[i].write.scratch);
        larger(&scratch, plan->shape[i].add.scratch);
    }
    plan->acc_bytes    = padded((size_t)row_bytes * (size_t)plan->grain);
    plan->bias_bytes   = padded((size_t)p->c_out * sizeof(float));
    plan->wide_bytes   = plan->widen ? wide_bytes(plan) : 0;
    plan->thread_bytes = plan->acc_bytes + plan->bias_bytes + plan->wide_bytes + padded(scratch);
    return FIL_OK;
}

static void destroy(fil_ctx *ctx, void **plan)
{
    conv_plan *c = *plan;
    if (c == NULL) return;
    drop_shapes(ctx, c);
    filk_dnn_drop(ctx, &c->dnn, &c->packing);
    filk_dnn_close(ctx, &c->dnn);
    fili_free(ctx, c, sizeof *c);
    *plan = NULL;
}

static fil_status make(fil_ctx *ctx, const void *problem, int32_t widen, void **plan)
{
    fil_status status;
    *plan = NULL;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(conv_plan), "conv3d plan", plan));
    conv_plan *c = *plan;
    memcpy(&c->p, problem, sizeof c->p);
    c->widen = widen;
    c->out_t = filk_conv3d_out(&c->p.t);
    c->out_h = filk_conv3d_out(&c->p.h);
    c->out_w = filk_conv3d_out(&c->p.w);
    c->tile  = fili_isa_has(ctx->isa, FILI_ISA_AVX512) ? filk_tile_avx512 : filk_tile_avx2;
    FIL_TRY_OR(fail, filk_dnn_open(ctx, &c->dnn));
    FIL_TRY_OR(fail, build(ctx, c));
    return FIL_OK;
fail:
    destroy(ctx, plan);
    return status;
}

static fil_status create(fil_ctx *ctx, const void *problem, void **plan)
{
    return make(ctx, problem, 0, plan);
}

static fil_status create_widening(fil_ctx *ctx, const void *problem, void **plan)
{
    return make(ctx, problem, 1, plan);
}

/* ---- sizes, packing ------------------------------------------------------------------------- */

static size_t workspace_bytes(const void *plan)
{
    const conv_plan *c = plan;
    return (size_t)c->dnn.n_threads * c->thread_bytes;
}

static size_t packed_bytes(const void *plan)
{
    const conv_plan *c = plan;
    return (size_t)c->p.t.kernel * c->piece_bytes;
}

typedef struct pack_state {
    const conv_plan *c;
    const char      *weight;
    char            *packed, *workspace;
} pack_state;

/* The part of a thread's workspace behind the tile and the bias: widened values, then scratch. */
static char *wide_of(const conv_plan *c, char *workspace, int32_t worker)
{
    return workspace + (size_t)worker * c->thread_bytes + c->acc_bytes + c->bias_bytes;
}

static void widen(float *to, const char *from, int64_t n)
{
    fili_convert_row(fili_convert_select(FILI_ISA_AVX2), FIL_F32, to, FIL_BF16, from, (size_t)n);
}

/* The taps of one time, which lie apart in the tensor. */
static void widen_tap(const conv_plan *c, const char *weight, float *to)
{
    const filk_conv3d_problem *p     = &c->p;
    const int64_t              plane = (int64_t)p->h.kernel * p->w.kernel;
    for (int64_t i = 0; i < (int64_t)p->c_out * p->c_in; i++)
        widen(to + i * plane, weight + i * p->t.kernel * plane * element_bytes(p), plane);
}

static fil_status pack_task(void *arg, int64_t tap, int32_t worker)
{
    const pack_state          *s    = arg;
    const conv_plan           *c    = s->c;
    const filk_conv3d_problem *p    = &c->p;
    const int64_t              from = tap * p->h.kernel * p->w.kernel * element_bytes(p);
    char                      *wide = wide_of(c, s->workspace, worker);
    /* oneDNN takes what it only reads through a plain pointer. */
    void *data[2] = {fili_writable(s->weight + from), s->packed + (size_t)tap * c->piece_bytes};
    if (c->widen) {
        widen_tap(c, s->weight + from, (float *)(void *)wide);
        data[0] = wide;
    }
    return filk_dnn_execute(&c->dnn, &c->packing, worker, data, wide + c->wide_bytes);
}

static fil_status pack(fil_ctx *ctx, const void *plan, const void *weight, void *packed,
                       void *workspace)
{
    pack_state s = {.c = plan, .weight = weight, .packed = packed, .workspace = workspace};
    return fili_pool_run(ctx, "conv3d packing", s.c->p.t.kernel, pack_task, &s);
}

/* ---- running -------------------------------------------------------------------------------- */

typedef struct run_state {
    const conv_plan        *c;
    const filk_conv3d_args *a;
    char                   *workspace;
} run_state;

typedef struct conv_task {
    int32_t           frame, first; /* output frame, its first row */
    int32_t           worker;
    const conv_shape *shape;
    char             *acc, *wide, *scratch;
} conv_task;

static fil_status sum_taps(const conv_plan *c, const filk_conv3d_args *a, const conv_task *k)
{
    const filk_conv3d_problem *p    = &c->p;
    const int32_t              row  = input_row(p, k->first);
    const int64_t              from = (row > 0 ? row : 0) * (int64_t)p->w.size * p->c_in;
    int                        any  = 0;
    for (int32_t i = 0; i < p->t.kernel; i++) {
        const int32_t t = k->frame * p->t.stride + i - p->t.before;
        if (t < 0 || t >= p->t.size || a->frames[t] == NULL) continue;
        void *data[3] = {fili_writable((const char *)a->frames[t] + from * element_bytes(p)),
                         fili_writable((const char *)a->packed + (size_t)i * c->piece_bytes),
                         k->acc};
        if (c->widen) {
            widen((float *)(void *)k->wide, data[0],
                  (int64_t)k->shape->block.in_rows * p->w.size * p->c_in);
            data[0] = k->wide;
        }
        const fil_status status = filk_dnn_execute(&c->dnn, any ? &k->shape->add : &k->shape->write,
                                                   k->worker, data, k->scratch);
        if (status != FIL_OK) return status;
        any = 1;
    }
    if (!any)
        memset(k->acc, 0,
               sizeof(float) * (size_t)k->shape->block.rows * (size_t)c->out_w * (size_t)p->c_out);
    return FIL_OK;
}

static void finish_tile(const conv_plan *c, const filk_conv3d_args *a, const conv_task *k,
                        float *widened)
{
    const filk_conv3d_problem *p    = &c->p;
    const int64_t              size = p->out_dtype == FIL_BF16 ? 2 : 4;
    const int64_t              at   = (int64_t)k->first * c->out_w * p->c_out * size;
    filk_tile                  t    = {.acc             = (const float *)(const void *)k->acc,
                                       .acc_stride      = p->c_out,
                                       .rows            = (int64_t)k->shape->block.rows * c->out_w,
                                       .cols            = p->c_out,
                                       .act             = p->silu ? FILK_ACT_SILU : FILK_ACT_NONE,
                                       .residual_dtype  = p->out_dtype,
                                       .residual_stride = p->c_out,
                                       .out             = (char *)a->out[k->frame] + at,
                                       .out_dtype       = p->out_dtype,
                                       .out_stride      = p->c_out};
    if (a->residual != NULL) t.residual = (const char *)a->residual[k->frame] + at;
    if (p->bias_dtype == FIL_F32) t.bias = a->bias;
    if (p->bias_dtype == FIL_BF16) {
        fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F32, widened, FIL_BF16, a->bias,
                         (size_t)p->c_out);
        t.bias = widened;
    }
    c->tile(&t);
}

static fil_status rows_task(void *arg, int64_t task, int32_t worker)
{
    const run_state *s      = arg;
    const conv_plan *c      = s->c;
    const int64_t    blocks = fili_task_count(c->out_h, c->grain);
    char            *mine   = s->workspace + (size_t)worker * c->thread_bytes;
    conv_task        k      = {.frame   = (int32_t)(task / blocks),
                               .first   = (int32_t)(task % blocks) * c->grain,
                               .worker  = worker,
                               .acc     = mine,
                               .wide    = wide_of(c, s->workspace, worker),
                               .scratch = wide_of(c, s->workspace, worker) + c->wide_bytes};
    const row_block  b      = block_of(c, k.first);
    for (int32_t i = 0; i < c->n_shapes; i++)
        if (memcmp(&c->shape[i].block, &b, sizeof b) == 0) k.shape = &c->shape[i];
    if (k.shape == NULL) return FIL_E_INTERNAL;
    const fil_status status = sum_taps(c, s->a, &k);
    if (status != FIL_OK) return status;
    finish_tile(c, s->a, &k, (float *)(void *)(mine + c->acc_bytes));
    return FIL_OK;
}

static fil_status run(fil_ctx *ctx, const void *plan, const void *args, void *workspace)
{
    run_state     s      = {.c = plan, .a = args, .workspace = workspace};
    const int64_t blocks = fili_task_count(s.c->out_h, s.c->grain);
    return fili_pool_run(ctx, "conv3d", s.c->out_t * blocks, rows_task, &s);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static const char *refuse_other_than(const filk_conv3d_problem *p, fil_dtype dtype)
{
    if (p->dtype != dtype) return dtype == FIL_BF16 ? "takes bf16 only" : "takes f32 only";
    if (p->out_dtype != FIL_BF16 && p->out_dtype != FIL_F32) return "writes bf16 and f32 only";
    if (p->bias_dtype != FIL_DTYPE_NONE && p->bias_dtype != FIL_BF16 && p->bias_dtype != FIL_F32)
        return "takes a bias in bf16 or f32 only";
    if (filk_conv3d_out(&p->t) == 0 || filk_conv3d_out(&p->h) == 0 || filk_conv3d_out(&p->w) == 0)
        return "takes kernels that fit into the padded clip only";
    return NULL;
}

const char *filk_conv3d_bf16_rows__onednn_refuse(const void *problem)
{
    return refuse_other_than(problem, FIL_BF16);
}

const char *filk_conv3d_f32_rows__onednn_refuse(const void *problem)
{
    return refuse_other_than(problem, FIL_F32);
}

const char *filk_conv3d_bf16_widened__onednn_refuse(const void *problem)
{
    return refuse_other_than(problem, FIL_BF16);
}

const filk_plan_ops filk_conv3d_bf16_rows__onednn_plan = {.create       = create,
                                                          .destroy      = destroy,
                                                          .workspace    = workspace_bytes,
                                                          .packed_bytes = packed_bytes,
                                                          .pack         = pack,
                                                          .run          = run};

const filk_plan_ops filk_conv3d_f32_rows__onednn_plan = {.create       = create,
                                                         .destroy      = destroy,
                                                         .workspace    = workspace_bytes,
                                                         .packed_bytes = packed_bytes,
                                                         .pack         = pack,
                                                         .run          = run};

const filk_plan_ops filk_conv3d_bf16_widened__onednn_plan = {.create       = create_widening,
                                                             .destroy      = destroy,
                                                             .workspace    = workspace_bytes,
                                                             .packed_bytes = packed_bytes,
                                                             .pack         = pack,
                                                             .run          = run};
