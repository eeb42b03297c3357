/* wan/dit_open.c: planning, memory and life of a DiT (dit.h).
 *
 * Three steps: plan (order, blocks, kernels), lay out (every piece of memory, counted first, then
 * taken from one fixed arena and, where the kernels are a device's, one block of it), load.
 * fili_dit_bytes does the first and the counting half of the second, so what it says is what open
 * takes.
 */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "kernel/cpu/peak.h"
#include "kernel/device_rows.h"
#include "kernel/rope_table.h"
#include "tensor/dequant.h"
#include "wan/dit_inside.h"

void fili_dit_options_init(fili_dit_options *options)
{
    *options = (fili_dit_options){.precision = FIL_BF16, .passes = FILI_DIT_PASSES};
}

/* ---- plan ----------------------------------------------------------------------------------- */

static fil_status check_options(fil_ctx *ctx, const fili_dit_config *c, const fili_dit_options *o)
{
    FIL_CHECK(ctx, o->precision == FIL_BF16 || o->precision == FIL_F32,
              "precision is %s; expected BF16 or F32", fil_dtype_name(o->precision));
    FIL_CHECK(ctx, o->passes >= 1 && o->passes <= FILI_DIT_PASSES, "passes is %d; expected 1 or 2",
              o->passes);
    FIL_CHECK(ctx, o->context_rows >= 0 && o->context_rows <= c->text_len,
              "context_rows is %d; expected 0 to %d", o->context_rows, c->text_len);
    if (o->gate && !c->has_gate)
        return FIL_FAIL(ctx, FIL_E_MISMATCH,
                        "a gate is wanted, and the model has none (no tensor "
                        "'blocks.0.to_gate_compress.weight')");
    FIL_CHECK(ctx, o->t >= 1 && o->h >= 1 && o->w >= 1, "a latent of %d x %d x %d", o->t, o->h,
              o->w);
    if (o->t % c->patch_t != 0 || o->h % c->patch_h != 0 || o->w % c->patch_w != 0)
        return FIL_FAIL(ctx, FIL_E_SHAPE,
                        "a latent of %d x %d x %d is not cut into whole patches of %d x %d x %d",
                        o->t, o->h, o->w, c->patch_t, c->patch_h, c->patch_w);
    return FIL_OK;
}

/* Length of each of as few parts of n as `most` allows, the last one perhaps shorter by a few. */
static int64_t even_part(int64_t n, int64_t most)
{
    const int64_t parts = (n + most - 1) / most;
    return (n + parts - 1) / parts;
}

static fil_status plan_sequence(fili_dit *d)
{
    const fili_grid grid = {
        .f = d->o.t / d->c.patch_t, .h = d->o.h / d->c.patch_h, .w = d->o.w / d->c.patch_w};
    FIL_TRY(fili_order_init(&d->order, d->ctx, grid, &d->o.order));
    FIL_TRY(fili_blocks_from_order(&d->blocks, &d->order));
    FIL_TRY(fili_blocks_uniform(&d->uniform, d->ctx, d->order.n));
    d->tokens            = d->order.n;
    d->band              = even_part(d->tokens, FILI_DIT_BAND);
    d->n_bands           = (d->tokens + d->band - 1) / d->band;
    const int32_t rows   = d->o.context_rows > 0 ? d->o.context_rows : d->c.text_len;
    const int32_t padded = rows < d->c.text_len ? rows + 1 : rows; /* one stands for the padding */
    d->context_room      = ((int64_t)padded + FILI_DIT_CTX - 1) / FILI_DIT_CTX * FILI_DIT_CTX;
    d->o.context_rows    = rows;
    return FIL_OK;
}

static int is_linear(const fili_dit_tensor *t)
{
    return t->rank == 2 &&
           (strncmp(t->name, "blocks.", 7) == 0 || strncmp(t->name, "text_embedding.", 15) == 0);
}

/* The type of a linear that is used as the file has it, a block type if there is one; NONE: they
 * are packed. All or none, as the plans are shared by all layers: where all of them have the
 * precision's type and lie in memory, or, read if need be, where there are blocks among them and
 * all are smaller so. Weights that lie on a device are packed. */
static fil_dtype what_stays(const fili_dit *d, const fili_weights *w)
{
    fil_dtype blocks   = FIL_DTYPE_NONE;
    int32_t   in_place = w != NULL && !d->o.packed && !d->on_device;
    int32_t   kept     = in_place && !d->o.stream && d->ctx->device == NULL;
    uint64_t  bytes    = 0; /* of linears in the file, */
    uint64_t  packed   = 0; /* and in the precision */
    for (int32_t i = 0; (in_place || kept) && i < fili_dit_tensors(&d->c); i++) {
        fili_dit_tensor t;
        fil_dtype       dtype;
        uint32_t        block;
        fili_dit_tensor_at(&d->c, i, &t);
        if (!is_linear(&t)) continue;
        if (fili_weights_in_place(w, t.name, d->o.precision) == NULL) in_place = 0;
        (void)fili_weights_as_they_are(w, t.name, &dtype);
        (void)fil_dtype_block(dtype, &block);
        /* A GGUF may have laid a tensor out in other rows than its own. */
        if (dtype == FIL_DTYPE_NONE || t.shape[1] % block != 0) kept = 0;
        if (fili_dequant_has(dtype)) blocks = dtype;
        const fili_entry *e = fili_weights_find(w, t.name);
        bytes += e != NULL ? e->bytes : 0;
        packed += (uint64_t)(t.shape[0] * t.shape[1] * fili_dit_size(d));
    }
    if (bytes >= packed) blocks = FIL_DTYPE_NONE;
    return kept && blocks != FIL_DTYPE_NONE ? blocks : in_place ? d->o.precision : FIL_DTYPE_NONE;
}

static fil_dtype time_type(const fili_weights *w)
{
    static const char *const names[] = {"time_embedding.0.weight", "time_embedding.2.weight",
                                        "time_projection.1.weight"};
    for (int i = 0; i < 3; i++) {
        const fili_entry *e = w != NULL ? fili_weights_find(w, names[i]) : NULL;
        if (e == NULL || e->dtype != FIL_BF16) return FIL_F32;
    }
    return FIL_BF16;
}

static fil_status plan_linears(fili_dit *d)
{
    const fil_dtype        p                 = d->o.precision;
    const int64_t          s                 = d->tokens;
    const int64_t          dim               = d->c.dim;
    const int64_t          ffn               = d->c.ffn_dim;
    const int64_t          patch             = fili_dit_patch(&d->c);
    const int32_t          packed            = !fili_dit_keeps(d);
    const int32_t          kept              = !packed && d->ctx->device == NULL;
    const fili_dense_shape shape[FILI_PLANS] = {
        [FILI_PLAN_PATCH] = {d->band, patch * d->c.in_channels, dim, FIL_F32, FIL_F32,
                             FILK_ACT_NONE, 1, 0},
        [FILI_PLAN_HEADS] = {d->heads_band, dim, packed ? 3 * dim : dim, p, p, FILK_ACT_NONE,
                             packed, kept},
        [FILI_PLAN_DIM]   = {s, dim, dim, p, p, FILK_ACT_NONE, packed, kept},
        [FILI_PLAN_BACK]  = {s, dim, dim, p, FIL_F32, FILK_ACT_NONE, packed, kept},
        [FILI_PLAN_UP]    = {d->band, dim, ffn, p, p, FILK_ACT_GELU_TANH, packed, kept},
        [FILI_PLAN_DOWN]  = {d->band, ffn, dim, p, FIL_F32, FILK_ACT_NONE, packed, kept},
        [FILI_PLAN_TEXT]  = {FILI_DIT_CTX, d->c.text_dim, dim, p, p, FILK_ACT_GELU_TANH, packed,
                             kept},
        [FILI_PLAN_CTX]   = {FILI_DIT_CTX, dim, dim, p, p, FILK_ACT_NONE, packed, kept},
        [FILI_PLAN_HEAD]  = {d->band, dim, patch * d->c.out_channels, FIL_F32, FIL_F32,
                             FILK_ACT_NONE, 1, 0}};
    for (int i = 0; i < FILI_PLANS; i++)
        FIL_TRY(fili_dense_open(&d->plan[i], d->ctx, &shape[i]));
    return FIL_OK;
}

static fil_status plan_norms(fili_dit *d)
{
    const fil_dtype         p                 = d->o.precision;
    const int64_t           rows              = d->n_bands * d->band;
    const int64_t           dim               = d->c.dim;
    const filk_norm_problem shape[FILI_NORMS] = {
        [FILI_NORM_MODULATED] = {FILK_NORM_MODULATED, rows, dim, FIL_F32, p, 0, 0},
        [FILI_NORM_AFFINE]    = {FILK_NORM_AFFINE, rows, dim, FIL_F32, p, 0, 0},
        [FILI_NORM_TURNED]    = {FILK_NORM_RMS, rows, dim, p, p, d->c.dim / d->c.heads, 0},
        [FILI_NORM_PLAIN]     = {FILK_NORM_RMS, rows, dim, p, p, 0, 0},
        [FILI_NORM_CTX]       = {FILK_NORM_RMS, d->context_room, dim, p, p, 0, 0},
        [FILI_NORM_HEAD]      = {FILK_NORM_MODULATED, d->band, dim, FIL_F32, FIL_F32, 0, 0}};
    for (int i = 0; i < FILI_NORMS; i++)
        FIL_TRY(fili_norm_open(&d->norm[i], d->ctx, &shape[i], d->c.eps));
    return FIL_OK;
}

static void close_linears(fili_dit *d)
{
    for (int i = 0; i < FILI_PLANS; i++)
        fili_dense_close(&d->plan[i]);
}

/* What depends on where the weights lie. */
static fil_status plan_rows(fili_dit *d, const fili_weights *w)
{
    const int64_t most = d->on_device ? FILI_DIT_BAND : FILI_DIT_HEADS;
    d->kept            = what_stays(d, w);
    d->heads_band      = fili_dit_keeps(d) ? d->tokens : even_part(d->tokens, most);
    d->streams         = d->o.stream && !fili_dit_keeps(d);
    FIL_TRY(plan_linears(d));
    return plan_norms(d);
}

static bool all_on_device(const fili_dit *d)
{
    bool all = fili_isa_is_device(d->attend.row->isa);
    for (int i = 0; i < FILI_PLANS; i++)
        all = all && fili_isa_is_device(d->plan[i].row->isa);
    for (int i = 0; i < FILI_NORMS; i++)
        all = all && fili_isa_is_device(d->norm[i].row->isa);
    return all;
}

static fil_status plan_attention(fili_dit *d)
{
    const fili_attend_shape shape = {.heads     = d->c.heads,
                                     .head_dim  = d->c.dim / d->c.heads,
                                     .dtype     = d->o.precision,
                                     .q         = &d->blocks,
                                     .max_sinks = d->o.max_sinks,
                                     .has_tail  = d->o.has_tail};
    return fili_attend_open(&d->attend, d->ctx, &shape);
}

/* One row that is not the device's, and everything lies on the host, as each run of a device's row
 * may have it. */
static fil_status plan(fili_dit *d, const fili_weights *w)
{
    FIL_TRY(fili_dit_config_check(d->ctx, "the DiT", &d->c));
    FIL_TRY(check_options(d->ctx, &d->c, &d->o));
    d->c.has_gate = d->o.gate;
    d->at = d->ahead = -1;
    d->time_dtype    = time_type(w);
    FIL_TRY(plan_sequence(d));
    FIL_TRY(plan_attention(d));
    d->on_device = fili_isa_is_device(d->attend.row->isa);
    FIL_TRY(plan_rows(d, w));
    if (!d->on_device || all_on_device(d)) return FIL_OK;
    d->on_device = 0;
    close_linears(d);
    return plan_rows(d, w);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* A piece that is `count` elements of `size` bytes, and where its address goes. */
typedef struct piece {
    void   *to; /* a pointer of any object type */
    int64_t count, size;
} piece;

typedef fil_status (*take_fn)(fili_space *space, uint64_t count, uint64_t size, void **out);

static fil_status take_by(take_fn from, fili_space *space, const piece *pieces, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        void *block;
        FIL_TRY(from(space, (uint64_t)pieces[i].count, (uint64_t)pieces[i].size, &block));
        memcpy(pieces[i].to, &block, sizeof block);
    }
    return FIL_OK;
}

static fil_status take(fili_space *space, const piece *pieces, size_t n)
{
    return take_by(fili_space_take, space, pieces, n);
}

static fil_status take_near(fili_space *space, const piece *pieces, size_t n)
{
    return take_by(fili_space_take_near, space, pieces, n);
}

static fil_status lay_context(fili_dit *d, fili_space *space)
{
    const int64_t           el    = fili_dit_size(d);
    const int64_t           room  = d->context_room;
    const fili_attend_shape shape = {.heads    = d->c.heads,
                                     .head_dim = d->c.dim / d->c.heads,
                                     .dtype    = d->o.precision,
                                     .q        = &d->uniform};
    const piece             p[]   = {{&d->ctx_in, room * d->c.text_dim, el},
                                     {&d->ctx_inner, room * d->c.dim, el},
                                     {&d->ctx_rows, room * d->c.dim, el}};
    for (int32_t i = 0; i < d->o.passes; i++) {
        fili_dit_context *to   = &d->context[i];
        const piece       kv   = {&to->kv, (int64_t)2 * d->c.layers * room, d->c.dim * el};
        const int32_t     keys = d->o.context_rows + (d->o.context_rows < d->c.text_len);
        FIL_TRY(fili_attend_list_open(&to->list, d->ctx, &shape, keys, space));
        if (d->on_device && !fili_isa_is_device(to->list.attend.row->isa))
            return FIL_FAIL(d->ctx, FIL_E_INTERNAL, "cross-attention left the device");
        FIL_TRY(take_near(space, &kv, 1));
    }
    return take_near(space, p, sizeof p / sizeof p[0]);
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What only the host sees. */
static fil_status lay_host(fili_dit *d, fili_space *space)
{
    const int64_t el    = fili_dit_size(d);
    const int64_t dim   = d->c.dim;
    const int64_t f32   = sizeof(float);
    const int64_t patch = fili_dit_patch(&d->c);
    const int64_t text  = d->context_room * d->c.text_dim * el;
    const int64_t cols  = larger(d->c.in_channels, d->c.out_channels);
    const int64_t turn  = (int64_t)FILI_DIT_HEADS * (dim / d->c.heads) * f32; /* angles of some */
    const int64_t here  = larger(turn, larger(text, d->band * patch * cols * f32));
    d->here_bytes       = d->on_device ? here : 0;
    const int64_t three = d->o.reads_rows ? 3 * d->tokens * dim : 0;
    const piece   p[]   = {{&d->time, d->c.freq_dim, f32},
                           {&d->e, dim, f32},
                           {&d->e_silu, dim, f32},
                           {&d->e0, 6 * dim, f32},
                           {&d->m_here, d->on_device ? 6 * dim : 0, f32},
                           {&d->here, d->here_bytes, 1},
                           {&d->mirror, d->on_device ? three : 0, el}};
    return take(space, p, sizeof p / sizeof p[0]);
}

static fil_status lay_activations(fili_dit *d, fili_space *space)
{
    const int64_t el    = fili_dit_size(d);
    const int64_t dim   = d->c.dim;
    const int64_t rows  = d->n_bands * d->band;
    const int64_t half  = dim / d->c.heads / 2;
    const int64_t patch = fili_dit_patch(&d->c);
    const int64_t f32   = sizeof(float);
    /* One band of: the MLP's inner rows; patches; the head's input. */
    const int64_t inner =
        larger(d->c.ffn_dim * el, larger(patch * d->c.in_channels * f32, dim * f32));
    const piece p[] = {{&d->x, rows * dim, f32},
                       {&d->a, rows * dim, el},
                       {&d->q, d->tokens * 3 * dim, el},
                       {&d->gate, d->c.has_gate ? d->tokens * dim : 0, el},
                       {&d->inner, d->band * inner, 1},
                       {&d->head_rows, d->band * patch * d->c.out_channels, f32},
                       {&d->cos, d->tokens * half, f32},
                       {&d->sin, d->tokens * half, f32},
                       {&d->m, 6 * dim, f32}};
    FIL_TRY(take_near(space, p, sizeof p / sizeof p[0]));
    FIL_TRY(lay_host(d, space));
    if (space->arena == NULL) return FIL_OK;
    d->k = fili_dit_at(d, d->q, dim);
    d->v = fili_dit_at(d, d->q, 2 * dim);
    if (!d->on_device) d->m_here = d->m;
    return FIL_OK;
}

static fil_status lay_workspace(fili_dit *d, fili_space *space)
{
    size_t most = d->attend.workspace;
    for (int i = 0; i < FILI_PLANS; i++)
        if (d->plan[i].workspace > most) most = d->plan[i].workspace;
    for (int i = 0; i < FILI_NORMS; i++)
        if (d->norm[i].workspace > most) most = d->norm[i].workspace;
    for (int32_t i = 0; i < d->o.passes; i++)
        if (d->context[i].list.attend.workspace > most) most = d->context[i].list.attend.workspace;
    FIL_TRY(fili_space_take_near(space, most, 1, &d->workspace));
    d->workspace_down          = d->workspace;
    const fili_dense_plan down = d->plan[FILI_PLAN_DOWN];
    if (!down.problem.any_weight || d->n_bands == 1) return FIL_OK;
    return fili_space_take(space, down.workspace, 1, &d->workspace_down);
}

/* Where it is pinned, it has its pages to itself. */
static fil_status lay_staging(fili_dit *d, const fili_dit_walk *walk, fili_space *space)
{
    const uint64_t page  = FILI_DEVICE_PAGE;
    const uint64_t bytes = walk->staged > walk->largest ? walk->staged : walk->largest;
    if (!d->on_device) return fili_space_take(space, walk->largest, 1, &d->staging);
    d->staged        = walk->staged;
    d->staging_bytes = (bytes + page - 1) / page * page;
    FIL_TRY(fili_space_take(space, d->staging_bytes + page, 1, &d->staging));
    const uintptr_t off = (uintptr_t)d->staging % page;
    if (d->staging != NULL && off != 0) d->staging = (char *)d->staging + (page - off);
    return FIL_OK;
}

/* memory: its parts, as far as they lie in the arena, and what lies on the device. */
static fil_status lay_out(fili_dit *d, const fili_weights *w, fili_space *space,
                          fili_dit_memory *memory)
{
    fili_dit_walk walk  = {.d = d, .space = space, .asked = w};
    const piece   layer = {&d->layer, d->c.layers, sizeof *d->layer};
    FIL_TRY(take(space, &layer, 1));
    FIL_TRY(fili_dit_walk_weights(&walk));
    if (d->streams) FIL_TRY(lay_staging(d, &walk, space));
    memory->weights = space->bytes;
    memory->loading = d->streams ? 0 : walk.largest;
    memory->mapped  = walk.mapped;
    d->reads_ahead  = d->streams || walk.mapped > 0;
    memory->kept    = d->kept;
    FIL_TRY(lay_context(d, space));
    memory->context = space->bytes - memory->weights;
    FIL_TRY(lay_activations(d, space));
    memory->activations = space->bytes - memory->weights - memory->context;
    FIL_TRY(lay_workspace(d, space));
    memory->workspace = space->bytes - memory->weights - memory->context - memory->activations;
    memory->device    = space->device_bytes;
    return FIL_OK;
}

/* ---- life ----------------------------------------------------------------------------------- */

void fili_dit_close(fili_dit **dit)
{
    if (dit == NULL || *dit == NULL) return;
    fili_dit *d = *dit;
    close_linears(d);
    if (d->pinned) fili_device_unpin(d->ctx, d->staging);
    fili_device_free(d->ctx, d->near_block, d->near_bytes);
    fili_arena_fini(&d->arena);
    fili_blocks_fini(&d->uniform);
    fili_blocks_fini(&d->blocks);
    fili_order_fini(&d->order);
    fili_free(d->ctx, d, sizeof *d);
    *dit = NULL;
}

/* A DiT with everything planned and nothing laid out, and what laying out takes. */
static fil_status open_planned(fil_ctx *ctx, const fili_weights *w, const fili_dit_config *config,
                               const fili_dit_options *o, fili_dit_memory *memory,
                               uint64_t *arena_bytes, fili_dit **out)
{
    void          *block;
    fil_status     status;
    const uint64_t before = ctx->memory.used;
    fili_space     space  = {.ctx = ctx};
    *arena_bytes          = 0;
    *memory               = (fili_dit_memory){0};
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fili_dit), "DiT", &block));
    fili_dit *d = block;
    *out        = d;
    d->ctx      = ctx;
    d->c        = *config;
    d->o        = *o;
    d->order    = (fili_order){.ctx = ctx};
    d->blocks = d->uniform = (fili_blocks){.ctx = ctx};
    fili_arena_init(&d->arena, ctx, "DiT", 0);
    FIL_TRY_OR(fail, plan(d, w));
    space.on_device = d->on_device;
    FIL_TRY_OR(fail, lay_out(d, w, &space, memory));
    *arena_bytes = space.bytes;
    memory->activations += ctx->memory.used - before;
    memory->total            = space.bytes + (ctx->memory.used - before);
    memory->attention_kernel = fili_dit_kernel(d, 0);
    memory->linear_kernel    = fili_dit_kernel(d, 2);
    return FIL_OK;
fail:
    fili_dit_close(out);
    return status;
}

fil_status fili_dit_bytes(fil_ctx *ctx, const fili_weights *w, const fili_dit_config *config,
                          const fili_dit_options *options, fili_dit_memory *out)
{
    fili_dit *d = NULL;
    uint64_t  arena;
    FIL_TRY(open_planned(ctx, w, config, options, out, &arena, &d));
    fili_dit_close(&d);
    return FIL_OK;
}

static fil_status check_given_mask(const fili_dit *d)
{
    const fili_mask *m = d->o.mask;
    if (m == NULL ||
        ((m->heads == 1 || m->heads == d->c.heads) && m->mq == d->blocks.m && m->mk == d->blocks.m))
        return FIL_OK;
    return FIL_FAIL(d->ctx, FIL_E_SHAPE,
                    "the mask has %d heads and %d by %d blocks; this model and grid have %d heads "
                    "and %d by %d",
                    m->heads, m->mq, m->mk, d->c.heads, d->blocks.m, d->blocks.m);
}

/* Through `here`, cosines and sines of some tokens at a time. */
static fil_status fill_angles_near(fili_dit *d, const filk_rope_grid *grid)
{
    const int64_t half = d->c.dim / d->c.heads / 2;
    const int64_t most = d->here_bytes / (int64_t)(2 * sizeof(float)) / half;
    float        *cos  = d->here;
    float        *sin  = cos + most * half;
    for (int64_t at = 0; at < d->tokens; at += most) {
        const int64_t n     = d->tokens - at < most ? d->tokens - at : most;
        const size_t  bytes = (size_t)(n * half) * sizeof(float);
        FIL_TRY(fili_rope_table(d->ctx, grid, d->order.order + at, n, cos, sin));
        FIL_TRY(filk_device_put(d->ctx, d->cos + at * half, cos, bytes));
        FIL_TRY(filk_device_put(d->ctx, d->sin + at * half, sin, bytes));
    }
    return FIL_OK;
}

static fil_status fill_angles(fili_dit *d)
{
    const filk_rope_grid grid = {.f        = d->order.grid.f,
                                 .h        = d->order.grid.h,
                                 .w        = d->order.grid.w,
                                 .head_dim = d->c.dim / d->c.heads};
    if (d->on_device) return fill_angles_near(d, &grid);
    return fili_rope_table(d->ctx, &grid, d->order.order, d->tokens, d->cos, d->sin);
}

static fil_status fill(fili_dit *d, fili_weights *w, const fili_dit_memory *memory)
{
    fili_dit_walk walk = {.d = d, .w = w};
    FIL_TRY(fill_angles(d));
    d->w = w;
    if (d->streams) {
        walk.staging = d->staging;
        if (d->staged > 0) d->pinned = fili_device_pin(d->ctx, d->staging, d->staging_bytes);
        return fili_dit_walk_weights(&walk);
    }
    FIL_TRY(fili_alloc(d->ctx, (size_t)memory->loading, "loading a DiT", &walk.staging));
    const fil_status status = fili_dit_walk_weights(&walk);
    fili_free(d->ctx, walk.staging, (size_t)memory->loading);
    return status;
}

static fil_status take_block(fili_dit *d, fili_space *space, uint64_t bytes)
{
    if (!d->on_device) return FIL_OK;
    FIL_TRY(fili_device_alloc(d->ctx, bytes, "the transformer", &d->near_block));
    d->near_bytes = bytes;
    space->device = d->near_block;
    return FIL_OK;
}

fil_status fili_dit_open(fil_ctx *ctx, fili_weights *w, const fili_dit_config *config,
                         const fili_dit_options *options, fili_dit **out)
{
    fili_dit_memory memory;
    uint64_t        arena;
    fil_status      status;
    *out = NULL;
    FIL_TRY(fili_dit_check_weights(w, config));
    FIL_TRY(open_planned(ctx, w, config, options, &memory, &arena, out));
    fili_dit  *d     = *out;
    fili_space space = {.ctx = ctx, .arena = &d->arena, .on_device = d->on_device};
    FIL_TRY_OR(fail, check_given_mask(d));
    FIL_TRY_OR(fail, fili_arena_fix(&d->arena, (size_t)arena)); /* <= SIZE_MAX: space.c */
    FIL_TRY_OR(fail, take_block(d, &space, memory.device));
    FIL_TRY_OR(fail, lay_out(d, w, &space, &memory));
    FIL_TRY_OR(fail, fill(d, w, &memory));
    fili_dit_times_reset(d);
    return FIL_OK;
fail:
    fili_dit_close(out);
    return status;
}

/* ---- again ---------------------------------------------------------------------------------- */

static bool is_same_order(const fili_order_spec *a, const fili_order_spec *b)
{
    return a->kind == b->kind && a->cube.f == b->cube.f && a->cube.h == b->cube.h &&
           a->cube.w == b->cube.w;
}

static bool is_same_size(const fili_dit *d, const fili_dit_options *b)
{
    const fili_dit_options *a    = &d->o;
    const int32_t           rows = b->context_rows > 0 ? b->context_rows : d->c.text_len;
    return a->t == b->t && a->h == b->h && a->w == b->w && a->passes == b->passes &&
           a->context_rows == rows && a->max_sinks == b->max_sinks && a->has_tail == b->has_tail &&
           a->gate == b->gate && (!d->on_device || a->reads_rows == b->reads_rows);
}

int fili_dit_reuse(fili_dit *d, const fili_dit_options *options)
{
    fili_dit_options *o = &d->o;
    if (o->mask != NULL || options->mask != NULL || !is_same_size(d, options) ||
        !is_same_order(&o->order, &options->order) || o->precision != options->precision ||
        o->packed != options->packed || o->stream != options->stream)
        return 0;
    o->choose = options->choose;
    o->trace  = options->trace;
    o->user   = options->user;
    for (int32_t i = 0; i < o->passes; i++)
        d->context[i].is_set = 0;
    fili_dit_times_reset(d);
    return 1;
}

/* ---- asking --------------------------------------------------------------------------------- */

const fili_order *fili_dit_order(const fili_dit *d)
{
    return &d->order;
}

const fili_blocks *fili_dit_blocks(const fili_dit *d)
{
    return &d->blocks;
}

const char *fili_dit_kernel(const fili_dit *d, int32_t part)
{
    return part == 0   ? d->attend.row->name
           : part == 1 ? d->context[0].list.attend.row->name
                       : d->plan[FILI_PLAN_DIM].row->name;
}

void fili_dit_spent(fili_dit *d, double *part)
{
    const double now = filk_seconds(d->ctx);
    *part += now - d->mark;
    d->mark = now;
}

void fili_dit_times_get(const fili_dit *d, fili_dit_times *out)
{
    const fili_dit_times *t = &d->times;
    *out                    = *t;
    out->total              = t->attention + t->cross + t->linear + t->rest + t->choose;
}

void fili_dit_times_reset(fili_dit *d)
{
    d->times = (fili_dit_times){0};
}
