/* engine/generate_estimate.c: how long a run will take, from the rate of this machine
 * (video_job.h).
 *
 * The three kernels that most of the work goes to are timed, for 0.3 seconds each (a second and a
 * half in all, with what fills their inputs), on inputs of the run's shapes but for fewer rows: a
 * linear of the transformer, self-attention of a few blocks of queries to all keys, a convolution
 * of the VAE. Each part's operations over its rate
 * make the seconds; a sparse run counts at the density that is asked for, a resumed one with the
 * steps that are left. Not in it: reading files, choosing masks, norms, video encoding; together
 * up to half of the time of a small model's run (docs/design/memory.md). The clock is that on the
 * wall, with all threads of the context, as in the run. Where the transformer lies on a device, so
 * do the inputs of its kernels, with more rows, so that the device is full; the VAE's alike.
 */
#include <math.h>
#include <string.h>

#include "base/device.h"
#include "base/mem.h"
#include "engine/measure_run.h"
#include "engine/video_job.h"
#include "kernel/attention.h"
#include "kernel/conv3d.h"
#include "kernel/device_rows.h"
#include "nn/dense.h"
#include "nn/space.h"
#include "tensor/dequant.h"

enum { ROWS = 512, MANY_ROWS = 4096, COLS = 2048, SIDE = 48, MANY_SIDE = 192, TAPS = 3 };

#define MOST_SECONDS 0.3  /* on one kernel */
#define SHARE        0.01 /* of what the part will take: a short run is not held up */

/* ---- timing --------------------------------------------------------------------------------- */

typedef fil_status (*call_fn)(void *user);

/* A part of the work that one kernel does. */
typedef struct part {
    double work; /* operations that are to be done */
    double each; /* seconds that one of them takes */
} part;

/* A call of `flops` operations. */
typedef struct trial {
    call_fn call;
    void   *user;
    double  flops;
} trial;

/* Until what a device has been told is done. */
static fil_status call_whole(fil_ctx *ctx, const trial *t)
{
    FIL_TRY(t->call(t->user));
    return ctx->device != NULL ? filk_device_wait(ctx) : FIL_OK;
}

static fil_status time_it(fil_ctx *ctx, const trial *t, part *what)
{
    const double begun = fili_seconds(ctx);
    FIL_TRY(call_whole(ctx, t));
    double  spent = fili_seconds(ctx) - begun;
    int64_t calls = 1;
    double  most  = MOST_SECONDS;
    if (spent < MOST_SECONDS / 2) calls = 0; /* pages, caches, the library's first call */
    while (calls == 0 || spent < most) {
        FIL_TRY(fili_check_cancel(ctx));
        const double start = fili_seconds(ctx);
        FIL_TRY(call_whole(ctx, t));
        if (calls == 0) spent = 0.0;
        spent += fili_seconds(ctx) - start;
        calls++;
        const double share = SHARE * what->work / t->flops * spent / (double)calls;
        if (share < most) most = share;
    }
    what->each = spent / (double)calls / t->flops;
    return FIL_OK;
}

/* ---- inputs --------------------------------------------------------------------------------- */

/* Where they lie: the device's block, if there is one. */
typedef struct room {
    fil_ctx   *ctx;
    fili_arena arena;
    int32_t    on_device;
    void      *block;
    uint64_t   bytes;
} room;

static void open_room(room *r, fil_ctx *ctx, int32_t on_device)
{
    *r = (room){.ctx = ctx, .on_device = on_device};
    fili_arena_init(&r->arena, ctx, "a measurement", 0);
}

static void close_room(room *r)
{
    fili_device_free(r->ctx, r->block, r->bytes);
    fili_arena_fini(&r->arena);
}

typedef struct piece {
    void  *at; /* where its address goes */
    size_t bytes;
} piece;

static fil_status walk(fili_space *space, const piece *pieces, int n)
{
    for (int i = 0; i < n; i++) {
        void *block;
        FIL_TRY(fili_space_take_near(space, pieces[i].bytes, 1, &block));
        if (space->arena != NULL) memcpy(pieces[i].at, &block, sizeof block);
    }
    return FIL_OK;
}

static fil_status take(room *r, const piece *pieces, int n)
{
    fili_space space = {.ctx = r->ctx, .on_device = r->on_device};
    FIL_TRY(walk(&space, pieces, n));
    r->bytes = space.device_bytes;
    if (r->on_device)
        FIL_TRY(fili_device_alloc(r->ctx, r->bytes, "a measurement", &r->block));
    else
        FIL_TRY(fili_arena_fix(&r->arena, (size_t)space.bytes));
    space = (fili_space){
        .ctx = r->ctx, .arena = &r->arena, .on_device = r->on_device, .device = r->block};
    return walk(&space, pieces, n);
}

static fil_status copy(const room *r, void *to, const void *from, size_t bytes)
{
    if (r->on_device) return filk_device_copy(r->ctx, to, from, bytes);
    memcpy(to, from, bytes);
    return FIL_OK;
}

/* Some normal numbers, then all that are there once more, again and again. */
static fil_status fill(const room *r, fil_dtype dtype, void *data, int64_t n)
{
    enum { PATTERN = 1 << 12 };
    float        pattern[PATTERN];
    const size_t size  = fil_dtype_bits(dtype) / 8;
    const size_t bytes = (size_t)n * size;
    size_t       done  = (size_t)(n < PATTERN ? n : PATTERN) * size;
    fili_bench_normal(1, 1, dtype, pattern, (int64_t)(done / size), 0.1f);
    if (r->on_device)
        FIL_TRY(filk_device_put(r->ctx, data, pattern, done));
    else
        memcpy(data, pattern, done);
    for (; done < bytes; done += done < bytes - done ? done : bytes - done)
        FIL_TRY(copy(r, (char *)data + done, data, done < bytes - done ? done : bytes - done));
    return FIL_OK;
}

/* ---- linear --------------------------------------------------------------------------------- */

typedef struct linear_trial {
    fili_dense    layer;
    fili_dense_io io;
    void         *workspace;
} linear_trial;

static fil_status call_linear(void *user)
{
    const linear_trial *t = user;
    return fili_dense_forward(&t->layer, &t->io, t->workspace);
}

/* The type of weights that stay. Their rows are dim long here, which may be no whole blocks. */
static fil_dtype weight_type(const fili_job *job)
{
    uint32_t block;
    (void)fil_dtype_block(job->kept, &block);
    return block != 0 && job->dit.dim % (int64_t)block != 0 ? job->o.precision : job->kept;
}

static fil_status run_linear(const fili_job *job, room *r, const fili_dense_plan *plan,
                             const fili_dense_shape *s, part *what)
{
    const size_t    el     = fil_dtype_bits(s->dtype) / 8;
    const double    flops  = 2.0 * (double)s->rows * (double)s->in * (double)s->out;
    const fil_dtype kept   = weight_type(job);
    linear_trial    t      = {.layer = {.plan = plan, .weight_dtype = kept}};
    void           *x      = NULL;
    void           *weight = NULL;
    void           *packed = NULL;
    float          *bias   = NULL;
    const piece     p[]    = {{&x, (size_t)(s->rows * s->in) * el},
                              {&weight, (size_t)(s->in * s->out) * el},
                              {&packed, plan->packed},
                              {&bias, (size_t)s->out * sizeof(float)},
                              {&t.io.out, (size_t)(s->rows * s->out) * el},
                              {&t.workspace, plan->workspace}};
    FIL_TRY(take(r, p, 6));
    FIL_TRY(fill(r, s->dtype, x, s->rows * s->in));
    if (fili_dequant_has(kept))
        memset(weight, 0, (size_t)(s->in * s->out) * el); /* no block is larger than its numbers */
    else
        FIL_TRY(fill(r, s->dtype, weight, s->in * s->out));
    FIL_TRY(fill(r, FIL_F32, bias, s->out));
    if (plan->packed != 0) FIL_TRY(fili_dense_pack(plan, weight, packed, t.workspace));
    t.io.x         = x;
    t.layer.weight = plan->packed != 0 ? packed : weight;
    t.layer.bias   = bias;
    return time_it(job->ctx, &(trial){call_linear, &t, flops}, what);
}

/* Weights that stay as they are, packed in each call, have a share of the time that falls with the
 * rows: as many as the run has, and fewer columns. */
static fil_status time_linears(const fili_job *job, room *r, part *what)
{
    const int32_t    stays  = job->kept != FIL_DTYPE_NONE && job->ctx->device == NULL;
    const int64_t    tokens = job->plan.tokens;
    const int64_t    rows   = stays || r->on_device ? MANY_ROWS : ROWS;
    const int64_t    cols   = stays ? COLS * ROWS / MANY_ROWS : COLS;
    fili_dense_shape s      = {.rows       = tokens < rows ? tokens : rows,
                               .in         = job->dit.dim,
                               .out        = job->dit.ffn_dim < cols ? job->dit.ffn_dim : cols,
                               .dtype      = job->o.precision,
                               .out_dtype  = job->o.precision,
                               .packed     = job->kept == FIL_DTYPE_NONE,
                               .any_weight = stays};
    fili_dense_plan  plan   = {.ctx = NULL};
    FIL_TRY(fili_dense_open(&plan, job->ctx, &s));
    const fil_status status = run_linear(job, r, &plan, &s, what);
    fili_dense_close(&plan);
    return status;
}

/* ---- attention ------------------------------------------------------------------------------ */

typedef struct attention_trial {
    fil_ctx          *ctx;
    filk_attn_problem p;
    filk_attn_args    args;
    const filk_row   *row;
    void             *workspace;
} attention_trial;

static fil_status call_attention(void *user)
{
    const attention_trial *t = user;
    return t->row->run(t->ctx, &t->p, &t->args, t->workspace);
}

static fil_status run_attention(const fili_job *job, room *r, const fili_blocks *keys, part *what)
{
    const int32_t   all    = job->dit.heads;
    const int32_t   some   = all < job->ctx->n_threads ? all : job->ctx->n_threads;
    const int32_t   heads  = r->on_device ? all : some;
    const int32_t   blocks = (r->on_device ? MANY_ROWS : ROWS) / FILK_BLOCK;
    const int32_t   d      = job->dit.dim / all;
    attention_trial t      = {.ctx = job->ctx,
                              .p   = {.heads    = heads,
                                      .kv_heads = heads,
                                      .head_dim = d,
                                      .dtype    = job->o.precision,
                                      .nk       = job->plan.tokens,
                                      .mk       = keys->m,
                                      .k_offset = keys->offset,
                                      .mq       = keys->m < blocks ? keys->m : blocks,
                                      .q_offset = keys->offset}};
    t.p.nq                 = keys->offset[t.p.mq];
    FIL_TRY(filk_select(job->ctx, &filk_attention, &t.p, NULL, &t.row));
    const size_t row   = (size_t)heads * (size_t)d;
    const size_t el    = fil_dtype_bits(t.p.dtype) / 8;
    void        *rows  = NULL;
    const piece  p[]   = {{&rows, (size_t)t.p.nk * row * el},
                          {&t.args.out, (size_t)t.p.nq * row * el},
                          {&t.workspace, t.row->workspace(&t.p, job->ctx->n_threads)}};
    const double flops = 4.0 * (double)t.p.nq * (double)t.p.nk * (double)row;
    FIL_TRY(take(r, p, 3));
    FIL_TRY(fill(r, t.p.dtype, rows, t.p.nk * (int64_t)row));
    t.args.q            = (filk_attn_view){rows, (int64_t)row, d};
    t.args.k            = t.args.q;
    t.args.v            = t.args.q;
    t.args.out_stride_n = (int64_t)row;
    t.args.out_stride_h = d;
    t.args.scale        = 1.0f / sqrtf((float)d);
    return time_it(job->ctx, &(trial){call_attention, &t, flops}, what);
}

static fil_status time_attention(const fili_job *job, room *r, part *what)
{
    fili_blocks keys = {.ctx = job->ctx};
    FIL_TRY(fili_blocks_uniform(&keys, job->ctx, (int32_t)job->plan.tokens));
    const fil_status status = run_attention(job, r, &keys, what);
    fili_blocks_fini(&keys);
    return status;
}

/* ---- convolution ---------------------------------------------------------------------------- */

typedef struct conv_trial {
    fil_ctx         *ctx;
    const filk_row  *row;
    void            *plan, *workspace;
    const void      *frames[TAPS];
    void            *out[1];
    filk_conv3d_args args;
} conv_trial;

static fil_status call_conv(void *user)
{
    const conv_trial *t = user;
    return t->row->plan->run(t->ctx, t->plan, &t->args, t->workspace);
}

static fil_status run_conv(const fili_job *job, room *r, conv_trial *t,
                           const filk_conv3d_problem *p, part *what)
{
    const int64_t pixels = (int64_t)p->h.size * p->w.size;
    const int64_t taps   = (int64_t)9 * TAPS;
    const size_t  el     = fil_dtype_bits(p->dtype) / 8;
    const double  flops  = 2.0 * (double)(pixels * taps) * (double)p->c_in * (double)p->c_out;
    void         *frame  = NULL;
    void         *weight = NULL;
    void         *packed = NULL;
    float        *bias   = NULL;
    const piece   m[]    = {{&frame, (size_t)(pixels * p->c_in) * el},
                            {&weight, (size_t)(taps * p->c_in * p->c_out) * el},
                            {&packed, t->row->plan->packed_bytes(t->plan)},
                            {&bias, (size_t)p->c_out * sizeof(float)},
                            {&t->out[0], (size_t)(pixels * p->c_out) * sizeof(float)},
                            {&t->workspace, t->row->plan->workspace(t->plan)}};
    FIL_TRY(take(r, m, 6));
    FIL_TRY(fill(r, p->dtype, frame, pixels * p->c_in));
    FIL_TRY(fill(r, p->dtype, weight, taps * p->c_in * p->c_out));
    FIL_TRY(fill(r, FIL_F32, bias, p->c_out));
    FIL_TRY(t->row->plan->pack(job->ctx, t->plan, weight, packed, t->workspace));
    for (int i = 0; i < TAPS; i++)
        t->frames[i] = frame;
    t->args =
        (filk_conv3d_args){.frames = t->frames, .packed = packed, .bias = bias, .out = t->out};
    return time_it(job->ctx, &(trial){call_conv, t, flops}, what);
}

static fil_status time_convs(const fili_job *job, room *r, part *what)
{
    const filk_conv3d_axis side = {
        .size = r->on_device ? MANY_SIDE : SIDE, .kernel = 3, .stride = 1, .before = 1, .after = 1};
    const int32_t       c = job->vae.base_dim * job->vae.multiplier[1];
    filk_conv3d_problem p = {.t          = {.size = TAPS, .kernel = TAPS, .stride = 1},
                             .h          = side,
                             .w          = side,
                             .c_in       = c,
                             .c_out      = c,
                             .out_dtype  = FIL_F32,
                             .bias_dtype = FIL_F32};
    conv_trial          t = {.ctx = job->ctx};
    FIL_TRY(fili_vae_usable(job->ctx, job->o.precision, &p.dtype));
    FIL_TRY(filk_select(job->ctx, &filk_conv3d, &p, NULL, &t.row));
    FIL_TRY(t.row->plan->create(job->ctx, &p, &t.plan));
    const fil_status status = run_conv(job, r, &t, &p, what);
    t.row->plan->destroy(job->ctx, &t.plan);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------ */

enum { LINEAR, ATTENTION, CONV, PARTS };
_Static_assert((int)PARTS == (int)FILI_RATES, "one rate for each part");

/* Steps that a resumed run has done are not done again, and its prompts are read. */
static void work_left(const fili_job *job, part parts[PARTS])
{
    const fil_plan *p     = &job->plan;
    const int32_t   done  = job->checkpoint.first;
    const double    left  = (double)(p->steps - done) / (double)p->steps;
    const double    text  = job->o.resume == NULL ? p->text_flops : 0.0;
    parts[LINEAR].work    = p->linear_flops * left + text;
    parts[ATTENTION].work = p->attention_flops * left;
    parts[CONV].work      = p->vae_flops;
}

typedef fil_status (*time_fn)(const fili_job *job, room *r, part *what);

/* Rates that are known already are taken as they are. */
static fil_status measure(const fili_job *job, fili_rates *rates, part parts[PARTS])
{
    static const time_fn timers[PARTS] = {time_linears, time_attention, time_convs};
    for (int i = 0; i < PARTS; i++) {
        room r;
        if (!(parts[i].work > 0.0) || rates->each[i] > 0.0) continue;
        open_room(&r, job->ctx, i == CONV ? job->decode.device > 0 : job->on_device);
        const fil_status status = timers[i](job, &r, &parts[i]);
        close_room(&r);
        FIL_TRY(status);
        rates->each[i] = parts[i].each;
    }
    return FIL_OK;
}

/* A limit that has no room for it is no failure of the run: then nobody knows. */
fil_status fili_job_estimate(fili_job *job, fili_rates *rates)
{
    part   parts[PARTS] = {{.work = 0.0}};
    double sum          = 0.0;
    work_left(job, parts);
    const fil_status status = measure(job, rates, parts);
    if (status == FIL_E_NOMEM || status == FIL_E_NOMEM_DEV) {
        fili_ctx_enter(job->ctx);
        return FIL_OK;
    }
    for (int i = 0; i < PARTS; i++)
        sum += parts[i].work * rates->each[i];
    job->plan.estimate_seconds = sum;
    return status;
}
