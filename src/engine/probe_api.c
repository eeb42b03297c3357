/* engine/probe_api.c: fil_probe: open, choose, compute, measure, write (filigree/probe.h). */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/measure_run.h"
#include "engine/probe.h"
#include "engine/video_job.h"
#include "kernel/cpu/peak.h"
#include "nn/elementwise.h"
#include "tensor/convert.h"

enum { REPETITIONS = 3, MOST_REPETITIONS = 99 };

void fil_probe_options_init(fil_probe_options *options)
{
    *options = (fil_probe_options){
        .struct_size = (uint32_t)sizeof *options, .layer = FIL_AUTO, .step = FIL_AUTO};
}

/* ---- opening -------------------------------------------------------------------------------- */

/* What is read is never written over, whatever may be replaced. */
static fil_status keep_inputs(fil_ctx *ctx, const fil_probe_options *o)
{
    const fil_policy_options *p     = o->policy;
    const bool                full  = p != NULL && p->struct_size == sizeof *p; /* else none yet */
    const char *const         in[]  = {o->qkv, full ? p->mask : NULL, full ? p->topology : NULL};
    const char *const         out[] = {o->mask_out, o->out};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++)
            FIL_CHECK(ctx, !fili_same_path(ctx, in[i], out[k]),
                      "'%.160s' is read and was to be written; expected another file", out[k]);
    return FIL_OK;
}

static fil_status check_options(fili_probe *p)
{
    const fil_probe_options *o = &p->o;
    FIL_CHECK(p->ctx, o->qkv != NULL, "expected a file of q, k and v, found none");
    FIL_CHECK(p->ctx,
              o->precision == FIL_DTYPE_NONE || o->precision == FIL_BF16 || o->precision == FIL_F32,
              "precision: expected BF16 or F32, found %s", fil_dtype_name(o->precision));
    FIL_CHECK(p->ctx, o->repetitions >= 0 && o->repetitions <= MOST_REPETITIONS,
              "repetitions: expected 0 to %d, found %d", MOST_REPETITIONS, o->repetitions);
    FIL_TRY(keep_inputs(p->ctx, o));
    FIL_CHECK(p->ctx, !fili_same_path(p->ctx, o->mask_out, o->out),
              "mask and output go to one file, '%.160s'", o->out != NULL ? o->out : "");
    FIL_TRY(fili_output_check(p->ctx, "mask", o->mask_out, o->replace));
    FIL_TRY(fili_output_check(p->ctx, "output", o->out, o->replace));
    if (o->repetitions == 0) p->o.repetitions = REPETITIONS;
    return FIL_OK;
}

static fil_status take_policy(fili_probe *p, fil_policy_options *o)
{
    fil_policy_options_init(o);
    if (p->o.policy == NULL) return FIL_OK;
    return fili_take_options(p->ctx, "fil_policy_options", o, sizeof *o, p->o.policy);
}

static fil_status open_policy(fili_probe *p)
{
    fil_policy_options o;
    FIL_TRY(take_policy(p, &o));
    return fili_policy_open(p->ctx, &o, &p->setup, &p->policy);
}

static fil_status open_kernels(fili_probe *p)
{
    fili_attend_shape shape = {.heads     = p->setup.heads,
                               .head_dim  = p->setup.head_dim,
                               .dtype     = p->setup.dtype,
                               .q         = &p->policy->blocks,
                               .max_sinks = p->policy->ops->max_sinks,
                               .has_tail  = p->policy->tail != NULL};
    FIL_TRY(fili_attend_open(&p->attend, p->ctx, &shape));
    shape.dtype     = FIL_F32;
    shape.max_sinks = shape.has_tail = 0;
    FIL_TRY(fili_attend_open(&p->exact, p->ctx, &shape));
    const size_t more =
        p->attend.workspace > p->exact.workspace ? p->attend.workspace : p->exact.workspace;
    return fili_arena_alloc(&p->arena, more, &p->workspace);
}

static fil_status take(fili_probe *p, size_t size, void *out)
{
    void *block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)fili_probe_elements(p), size, &block));
    memcpy(out, &block, sizeof block);
    return FIL_OK;
}

/* In f32 the run's own memory serves for the exact one. */
static fil_status take_memory(fili_probe *p)
{
    const size_t size = p->setup.dtype == FIL_BF16 ? 2 : 4;
    FIL_TRY(take(p, size, &p->q));
    FIL_TRY(take(p, size, &p->k));
    FIL_TRY(take(p, size, &p->v));
    if (p->policy->uses_gate) FIL_TRY(take(p, size, &p->gate));
    FIL_TRY(take(p, size, &p->out));
    FIL_TRY(take(p, size, &p->dense_out));
    FIL_TRY(take(p, sizeof(float), &p->want));
    p->q32 = p->q;
    p->k32 = p->k;
    p->v32 = p->v;
    p->got = p->out;
    if (size == 2) {
        FIL_TRY(take(p, sizeof(float), &p->q32));
        FIL_TRY(take(p, sizeof(float), &p->k32));
        FIL_TRY(take(p, sizeof(float), &p->v32));
        FIL_TRY(take(p, sizeof(float), &p->got));
    }
    FIL_TRY(fili_block_mass_plan(&p->dense_mass, p->ctx, &p->policy->blocks, p->setup.heads,
                                 p->setup.head_dim, FIL_F32));
    return fili_block_mass_take(&p->dense_mass, &p->arena, 1);
}

static fil_status look(fili_probe *p)
{
    const fil_status status = fili_probe_look(p);
    if (status != FIL_OK && p->set.n_entries > 0)
        fili_error_frame(p->ctx, "qkv %s", fili_quote(p->o.qkv, strlen(p->o.qkv)).text);
    return status;
}

static fil_status prepare(fili_probe *p)
{
    FIL_TRY(check_options(p));
    FIL_TRY(look(p));
    FIL_TRY(open_policy(p));
    FIL_TRY(open_kernels(p));
    FIL_TRY(take_memory(p));
    FIL_TRY(fili_probe_read(p));
    const int64_t d   = p->setup.head_dim;
    const int64_t row = p->setup.heads * d;
    p->call           = (fili_policy_call){.layer    = p->layer,
                                           .step     = p->step,
                                           .order    = &p->policy->order,
                                           .blocks   = &p->policy->blocks,
                                           .heads    = p->setup.heads,
                                           .head_dim = p->setup.head_dim,
                                           .dtype    = p->setup.dtype,
                                           .q        = {p->q, row, d},
                                           .k        = {p->k, row, d},
                                           .v        = {p->v, row, d},
                                           .scale    = 1.0f / sqrtf((float)d)};
    return FIL_OK;
}

/* ---- running -------------------------------------------------------------------------------- */

static fil_status run_chosen(fili_probe *p)
{
    const fili_attend_io io = {
        .q = p->q, .k = p->k, .v = p->v, .out = p->out, .choice = &p->choice};
    const fili_gated gated = {.dtype  = p->setup.dtype,
                              .gate   = p->gate,
                              .coarse = p->choice.coarse,
                              .offset = p->policy->order.piece,
                              .m      = p->policy->order.n_pieces,
                              .cols   = (int64_t)p->setup.heads * p->setup.head_dim,
                              .out    = p->out};
    FIL_TRY(fili_attend_forward(&p->attend, &io, p->workspace));
    return p->choice.coarse != NULL ? fili_gated_add(p->ctx, &gated) : FIL_OK;
}

/* Choosing, computing and dense, one after the other. */
static fil_status one_round(fili_probe *p, double seconds[3])
{
    const fili_attend_io dense = {.q = p->q, .k = p->k, .v = p->v, .out = p->dense_out};
    double               at[4];
    fili_policy_reset(p->policy);
    at[0] = filk_seconds(p->ctx);
    FIL_TRY(fili_policy_select(p->policy, &p->call, &p->choice));
    at[1] = filk_seconds(p->ctx);
    FIL_TRY(run_chosen(p));
    at[2] = filk_seconds(p->ctx);
    FIL_TRY(fili_attend_forward(&p->attend, &dense, p->workspace));
    at[3] = filk_seconds(p->ctx);
    for (int i = 0; i < 3; i++)
        seconds[i] = at[i + 1] - at[i];
    return fili_check_cancel(p->ctx);
}

static fil_status run_rounds(fili_probe *p, fil_probe_result *r)
{
    double        seconds[3][MOST_REPETITIONS] = {{0.0}};
    double        now[3];
    const int32_t n = p->o.repetitions;
    for (int32_t i = 0; i < n; i++) {
        FIL_TRY(one_round(p, now));
        for (int k = 0; k < 3; k++)
            seconds[k][i] = now[k];
    }
    r->select_seconds = fili_median(seconds[0], n);
    r->kernel_seconds = fili_median(seconds[1], n);
    r->dense_seconds  = fili_median(seconds[2], n);
    return FIL_OK;
}

/* Bounds of recall, where the policy knows them: measured by a second one, since that takes time
 * which is not the choice's. */
static fil_status find_bounds(fili_probe *p)
{
    fil_policy_options o;
    fili_policy_choice choice;
    fili_policy       *other = NULL;
    void              *block;
    if (!p->policy->ops->knows_bound) return FIL_OK;
    FIL_TRY(take_policy(p, &o));
    o.measure_recall = 1;
    FIL_TRY(fili_policy_open(p->ctx, &o, &p->setup, &other));
    fil_status status = fili_policy_select(other, &p->call, &choice);
    if (status == FIL_OK && choice.recall_bound != NULL) {
        const size_t bytes = (size_t)p->setup.heads * sizeof(float);
        status             = fili_arena_alloc(&p->arena, bytes, &block);
        if (status == FIL_OK) memcpy(block, choice.recall_bound, bytes);
        if (status == FIL_OK) p->choice.recall_bound = block;
    }
    fili_policy_close(&other);
    return status;
}

static fil_status run_exact(fili_probe *p)
{
    const fili_attend_io io = {.q = p->q32, .k = p->k32, .v = p->v32, .out = p->want};
    FIL_TRY(fili_attend_forward(&p->exact, &io, p->workspace));
    if (p->got == p->out) return FIL_OK;
    return fili_convert(p->ctx, FIL_F32, p->got, p->setup.dtype, p->out, fili_probe_elements(p));
}

static fil_status probe(fili_probe *p, fil_probe_result *r, fil_probe_figures *heads, int32_t max)
{
    FIL_TRY(prepare(p));
    FIL_TRY(run_rounds(p, r));
    FIL_TRY(find_bounds(p));
    FIL_TRY(run_exact(p));
    FIL_TRY(fili_probe_measure(p, r, heads, max));
    fili_policy_describe(p->policy, r->policy);
    r->kernel   = p->attend.row->name;
    r->tokens   = p->n;
    r->heads    = p->setup.heads;
    r->head_dim = p->setup.head_dim;
    r->blocks   = p->policy->blocks.m;
    r->sinks    = p->choice.n_sinks;
    r->tail     = p->choice.tail_k.data != NULL;
    return fili_probe_write(p);
}

fil_status fil_probe(fil_ctx *ctx, const fil_probe_options *options, fil_probe_result *result,
                     fil_probe_figures *heads, int32_t max_heads)
{
    void *block;
    FIL_CHECK(NULL, ctx != NULL, "fil_probe: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, options != NULL && result != NULL, "fil_probe: %s is NULL",
              options == NULL ? "options" : "result");
    FIL_CHECK(ctx, max_heads >= 0 && (heads != NULL || max_heads == 0), "fil_probe: heads is NULL");
    *result = (fil_probe_result){.kernel = ""};
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fili_probe), "probe", &block));
    fili_probe *p = block;
    p->ctx        = ctx;
    fili_arena_init(&p->arena, ctx, "probe", 0);
    fili_tensors_init(&p->set, ctx, 0);
    fil_probe_options_init(&p->o);
    fil_status status = fili_take_options(ctx, "fil_probe_options", &p->o, sizeof p->o, options);
    if (status == FIL_OK) status = probe(p, result, heads, max_heads);
    fili_policy_close(&p->policy);
    fili_tensors_fini(&p->set);
    fili_arena_fini(&p->arena);
    fili_free(ctx, p, sizeof *p);
    return status;
}
