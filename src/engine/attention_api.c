/* engine/attention_api.c: plan and run of filigree/attention.h over the registry's attention rows.
 *
 * Everything that a kernel takes for granted (kernel/attention.h) is checked here: sizes once per
 * plan, pointers, strides, mask, sinks and tail at every run. A run allocates nothing.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "engine/handles.h"
#include "kernel/attention.h"

struct fil_attn_plan {
    fil_ctx          *ctx;
    filk_attn_problem problem; /* offsets are in `offsets` */
    const filk_row   *row;
    float             scale;
    int32_t          *offsets; /* those of the queries, then, if they differ, of the keys */
    size_t            offsets_bytes;
    size_t            workspace;
};

/* ---- plan ----------------------------------------------------------------------------------- */

void fil_attn_desc_init(fil_attn_desc *desc)
{
    memset(desc, 0, sizeof *desc);
    desc->struct_size = (uint32_t)sizeof *desc;
    desc->dtype       = FIL_BF16;
    desc->head_dim    = 128;
}

static fil_status check_desc(fil_ctx *ctx, const fil_attn_desc *d)
{
    FIL_CHECK(ctx, d->struct_size == sizeof *d,
              "fil_attn_desc.struct_size is %u; fil_attn_desc_init sets it to %zu", d->struct_size,
              sizeof *d);
    FIL_CHECK(ctx, d->dtype == FIL_BF16 || d->dtype == FIL_F32, "dtype is %s; expected BF16 or F32",
              fil_dtype_name(d->dtype));
    FIL_CHECK(ctx, d->head_dim == 64 || d->head_dim == 128, "head_dim is %d; expected 64 or 128",
              d->head_dim);
    FIL_CHECK(ctx, d->heads >= 1 && d->heads <= 65536, "heads is %d; expected 1 to 65536",
              d->heads);
    FIL_CHECK(ctx, d->kv_heads >= 0 && (d->kv_heads == 0 || d->heads % d->kv_heads == 0),
              "kv_heads is %d; expected a divisor of heads, %d", d->kv_heads, d->heads);
    FIL_CHECK(ctx, d->n_q_blocks >= 1 && d->q_offsets != NULL,
              "n_q_blocks is %d and q_offsets %s; expected at least one block", d->n_q_blocks,
              d->q_offsets != NULL ? "is given" : "is NULL");
    FIL_CHECK(ctx, d->n_k_blocks >= 0 && (d->n_k_blocks == 0) == (d->k_offsets == NULL),
              "n_k_blocks is %d and k_offsets %s; expected both or neither", d->n_k_blocks,
              d->k_offsets != NULL ? "is given" : "is NULL");
    FIL_CHECK(ctx, d->max_sinks >= 0 && d->max_sinks <= FIL_MAX_SINKS,
              "max_sinks is %d; expected 0 to %d", d->max_sinks, FIL_MAX_SINKS);
    FIL_CHECK(ctx, isfinite(d->scale) && d->scale >= 0.0f,
              "scale is %g; expected a finite number above 0, or 0 for 1/sqrt(head_dim)",
              (double)d->scale);
    FIL_TRY(fili_check_offsets(ctx, "q_offsets", d->q_offsets, d->n_q_blocks));
    if (d->k_offsets != NULL)
        FIL_TRY(fili_check_offsets(ctx, "k_offsets", d->k_offsets, d->n_k_blocks));
    return FIL_OK;
}

static fil_status copy_offsets(fil_attn_plan *plan, const fil_attn_desc *d)
{
    const size_t nq = (size_t)d->n_q_blocks + 1;
    const size_t nk = d->k_offsets != NULL ? (size_t)d->n_k_blocks + 1 : 0;
    void        *block;
    FIL_TRY(fili_calloc(plan->ctx, nq + nk, sizeof(int32_t), "attention plan", &block));
    plan->offsets       = block;
    plan->offsets_bytes = (nq + nk) * sizeof(int32_t);
    memcpy(plan->offsets, d->q_offsets, nq * sizeof(int32_t));
    if (nk > 0) memcpy(plan->offsets + nq, d->k_offsets, nk * sizeof(int32_t));

    filk_attn_problem *p = &plan->problem;
    p->mq                = d->n_q_blocks;
    p->q_offset          = plan->offsets;
    p->mk                = nk > 0 ? d->n_k_blocks : p->mq;
    p->k_offset          = nk > 0 ? plan->offsets + nq : p->q_offset;
    p->nq                = p->q_offset[p->mq];
    p->nk                = p->k_offset[p->mk];
    return FIL_OK;
}

static fil_status make_plan(fil_attn_plan *plan, const fil_attn_desc *d)
{
    fil_ctx *ctx  = plan->ctx;
    plan->problem = (filk_attn_problem){.heads     = d->heads,
                                        .kv_heads  = d->kv_heads != 0 ? d->kv_heads : d->heads,
                                        .head_dim  = d->head_dim,
                                        .dtype     = d->dtype,
                                        .max_sinks = d->max_sinks,
                                        .has_tail  = d->tail != 0};
    plan->scale   = d->scale != 0.0f ? d->scale : 1.0f / sqrtf((float)d->head_dim);
    FIL_TRY(copy_offsets(plan, d));
    FIL_TRY(filk_select(ctx, &filk_attention, &plan->problem, d->kernel, &plan->row));
    plan->workspace = plan->row->workspace(&plan->problem, ctx->n_threads);
    return FIL_OK;
}

fil_status fil_attn_plan_create(fil_ctx *ctx, const fil_attn_desc *desc, fil_attn_plan **out)
{
    void *block;
    if (out != NULL) *out = NULL;
    FIL_CHECK(NULL, ctx != NULL, "fil_attn_plan_create: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, desc != NULL && out != NULL, "fil_attn_plan_create: %s is NULL",
              desc == NULL ? "desc" : "out");
    FIL_TRY(check_desc(ctx, desc));
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fil_attn_plan), "attention plan", &block));
    fil_attn_plan *plan     = block;
    plan->ctx               = ctx;
    const fil_status status = make_plan(plan, desc);
    if (status != FIL_OK) fil_attn_plan_destroy(&plan);
    *out = plan;
    return status;
}

void fil_attn_plan_destroy(fil_attn_plan **plan)
{
    if (plan == NULL || *plan == NULL) return;
    fil_attn_plan *p = *plan;
    fili_free(p->ctx, p->offsets, p->offsets_bytes);
    fili_free(p->ctx, p, sizeof *p);
    *plan = NULL;
}

size_t fil_attn_plan_workspace(const fil_attn_plan *plan)
{
    return plan != NULL ? plan->workspace : 0;
}

const char *fil_attn_plan_kernel(const fil_attn_plan *plan)
{
    return plan != NULL ? plan->row->name : "";
}

/* ---- run ------------------------------------------------------------------------------------ */

void fil_attn_io_init(fil_attn_io *io)
{
    memset(io, 0, sizeof *io);
    io->struct_size = (uint32_t)sizeof *io;
}

/* `tokens` rows and `heads` lists of head_dim elements: all of them must have an offset. */
static fil_status check_view(const fil_attn_plan *plan, const char *name, fil_attn_view view,
                             int64_t tokens, int32_t heads)
{
    fil_ctx      *ctx  = plan->ctx;
    const int64_t size = (int64_t)fil_dtype_bits(plan->problem.dtype) / 8;
    int64_t       token, head, end;
    FIL_CHECK(ctx, view.data != NULL, "%s is NULL", name);
    FIL_CHECK(ctx, view.stride_token >= 0 && view.stride_head >= 0,
              "%s has strides %lld and %lld; expected 0 or more", name,
              (long long)view.stride_token, (long long)view.stride_head);
    FIL_CHECK(ctx,
              fili_mul_i64(tokens - 1, view.stride_token, &token) &&
                  fili_mul_i64(heads - 1, view.stride_head, &head) &&
                  fili_add_i64(token, head, &end) &&
                  fili_add_i64(end, plan->problem.head_dim, &end) && end <= PTRDIFF_MAX / size,
              "%s has strides %lld and %lld; its last element lies outside the address space", name,
              (long long)view.stride_token, (long long)view.stride_head);
    return FIL_OK;
}

/* Threads write rows of out at the same time: no two may share an element. So the smaller stride
 * that is used spans a row, and the larger one all that lies within the smaller. */
static fil_status check_out(const fil_attn_plan *plan, const fil_attn_io *io)
{
    const filk_attn_problem *p    = &plan->problem;
    const fil_attn_view      view = {io->out, io->out_stride_token, io->out_stride_head};
    FIL_TRY(check_view(plan, "out", view, p->nq, p->heads));
    const int64_t token = p->nq > 1 ? view.stride_token : INT64_MAX;
    const int64_t head  = p->heads > 1 ? view.stride_head : INT64_MAX;
    const int64_t inner = token < head ? token : head;
    const int64_t outer = token < head ? head : token;
    const int64_t count = token < head ? p->nq : p->heads;
    /* (count - 1) * inner is below what check_view has computed. */
    const int64_t span = inner == INT64_MAX ? 0 : (count - 1) * inner + p->head_dim;
    FIL_CHECK(plan->ctx, inner >= p->head_dim && outer >= span,
              "out has strides %lld and %lld; its rows of %d elements overlap",
              (long long)view.stride_token, (long long)view.stride_head, p->head_dim);
    return FIL_OK;
}

static fil_status check_mask(fil_ctx *ctx, const filk_attn_problem *p, const fil_mask *mask)
{
    if (mask == NULL) return FIL_OK;
    const fili_mask *m = &mask->mask;
    if ((m->heads == 1 || m->heads == p->heads) && m->mq == p->mq && m->mk == p->mk) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_SHAPE,
                    "the mask has %d heads and %d by %d blocks; expected %d (or 1) and %d by %d",
                    m->heads, m->mq, m->mk, p->heads, p->mq, p->mk);
}

static fil_status check_sinks(fil_ctx *ctx, const filk_attn_problem *p, const fil_attn_io *io)
{
    FIL_CHECK(ctx, io->n_sinks >= 0 && io->n_sinks <= p->max_sinks,
              "n_sinks is %d; the plan was made for at most %d", io->n_sinks, p->max_sinks);
    if (io->n_sinks == 0) return FIL_OK;
    FIL_CHECK(ctx, io->sinks != NULL && io->sinks_stride_head >= 0,
              "n_sinks is %d, but sinks is NULL or its stride negative", io->n_sinks);
    const int32_t lists = io->sinks_stride_head == 0 ? 1 : p->kv_heads;
    for (int32_t h = 0; h < lists; h++) {
        const int32_t *sinks = io->sinks + h * io->sinks_stride_head;
        for (int32_t i = 0; i < io->n_sinks; i++)
            FIL_CHECK(ctx, sinks[i] >= 0 && sinks[i] < p->nk && (i == 0 || sinks[i] > sinks[i - 1]),
                      "sink %d of head %d is %d; expected rising tokens below %lld", i, h, sinks[i],
                      (long long)p->nk);
    }
    return FIL_OK;
}

static fil_status check_tail(const fil_attn_plan *plan, const fil_attn_io *io)
{
    fil_ctx                 *ctx = plan->ctx;
    const filk_attn_problem *p   = &plan->problem;
    if (io->tail_k.data == NULL && io->tail_v.data == NULL) return FIL_OK;
    FIL_CHECK(ctx, p->has_tail, "a tail is given, but the plan was made without");
    FIL_TRY(check_view(plan, "tail_k", io->tail_k, p->mk, p->kv_heads));
    FIL_TRY(check_view(plan, "tail_v", io->tail_v, p->mk, p->kv_heads));
    FIL_CHECK(ctx, io->tail_count != NULL && io->tail_count_stride_head >= 0,
              "a tail is given, but tail_count is NULL or its stride negative");
    const int32_t lists = io->tail_count_stride_head == 0 ? 1 : p->kv_heads;
    for (int32_t h = 0; h < lists; h++)
        for (int32_t b = 0; b < p->mk; b++) {
            const int32_t n = io->tail_count[h * io->tail_count_stride_head + b];
            FIL_CHECK(ctx, n >= 0 && n <= FIL_BLOCK_TOKENS,
                      "tail_count of block %d, head %d is %d; expected 0 to %d", b, h, n,
                      FIL_BLOCK_TOKENS);
        }
    for (int32_t h = 0; h < p->heads && io->tail_factor != NULL; h++)
        FIL_CHECK(ctx, isfinite(io->tail_factor[h]) && io->tail_factor[h] > 0.0f,
                  "tail_factor of head %d is %g; expected a finite number above 0", h,
                  (double)io->tail_factor[h]);
    return FIL_OK;
}

static fil_status check_io(const fil_attn_plan *plan, const fil_attn_io *io, const void *workspace)
{
    fil_ctx                 *ctx = plan->ctx;
    const filk_attn_problem *p   = &plan->problem;
    FIL_CHECK(ctx, io->struct_size == sizeof *io,
              "fil_attn_io.struct_size is %u; fil_attn_io_init sets it to %zu", io->struct_size,
              sizeof *io);
    FIL_TRY(check_view(plan, "q", io->q, p->nq, p->heads));
    FIL_TRY(check_view(plan, "k", io->k, p->nk, p->kv_heads));
    FIL_TRY(check_view(plan, "v", io->v, p->nk, p->kv_heads));
    FIL_TRY(check_out(plan, io));
    FIL_CHECK(ctx, io->out != io->q.data && io->out != io->k.data && io->out != io->v.data,
              "out is one of the inputs; expected memory of its own");
    FIL_TRY(check_mask(ctx, p, io->mask));
    FIL_TRY(check_sinks(ctx, p, io));
    FIL_TRY(check_tail(plan, io));
    FIL_CHECK(ctx, plan->workspace == 0 || (workspace != NULL && (uintptr_t)workspace % 64 == 0),
              "workspace is %s; expected %zu bytes aligned to 64",
              workspace == NULL ? "NULL" : "not aligned", plan->workspace);
    return FIL_OK;
}

static filk_attn_view view_of(fil_attn_view v)
{
    return (filk_attn_view){.data = v.data, .stride_n = v.stride_token, .stride_h = v.stride_head};
}

fil_status fil_attn_run(fil_attn_plan *plan, const fil_attn_io *io, void *workspace)
{
    FIL_CHECK(NULL, plan != NULL, "fil_attn_run: plan is NULL");
    fili_ctx_enter(plan->ctx);
    FIL_CHECK(plan->ctx, io != NULL, "fil_attn_run: io is NULL");
    FIL_TRY(check_io(plan, io, workspace));
    const fili_mask *mask = io->mask != NULL ? &io->mask->mask : NULL;
    filk_attn_args   args = {.q                   = view_of(io->q),
                             .k                   = view_of(io->k),
                             .v                   = view_of(io->v),
                             .out                 = io->out,
                             .out_stride_n        = io->out_stride_token,
                             .out_stride_h        = io->out_stride_head,
                             .lse                 = io->lse,
                             .scale               = plan->scale,
                             .sinks               = io->n_sinks > 0 ? io->sinks : NULL,
                             .n_sinks             = io->n_sinks,
                             .sinks_stride_h      = io->sinks_stride_head,
                             .tail_k              = view_of(io->tail_k),
                             .tail_v              = view_of(io->tail_v),
                             .tail_count          = io->tail_count,
                             .tail_count_stride_h = io->tail_count_stride_head,
                             .tail_factor         = io->tail_factor};
    if (mask != NULL) {
        args.mask          = mask->bits;
        args.mask_stride_h = mask->heads == 1 ? 0 : (int64_t)mask->mq * mask->words;
    }
    return plan->row->run(plan->ctx, &plan->problem, &args, workspace);
}
