/* wan/dit_forward.c: contexts and the forward pass of the DiT (dit.h), wan.md section 2.
 *
 * Every line below is one kernel call, one of the small functions of nn/elementwise.h, or a copy
 * between the host and the place where kernels work (near: dit_inside.h), which is nothing where
 * that is the host; memory is touched nowhere else. x holds the residual stream; a holds what a
 * linear reads, and what attention writes. Cancelling is asked between the thirds of a layer and
 * between bands of the MLP.
 */
#include <math.h>

#include "kernel/cpu/peak.h"
#include "kernel/device_rows.h"
#include "wan/dit_inside.h"

static fil_status run_dense_in(fili_dit *d, const fili_dense *layer, const fili_dense_io *io,
                               void *workspace)
{
    const fil_status status = fili_dense_forward(layer, io, workspace);
    fili_dit_spent(d, &d->times.linear);
    return status;
}

static fil_status run_dense(fili_dit *d, const fili_dense *layer, const fili_dense_io *io)
{
    return run_dense_in(d, layer, io, d->workspace);
}

static fil_status run_norm(fili_dit *d, fili_dit_norm norm, const fili_norm_io *io)
{
    const fil_status status = fili_norm_forward(&d->norm[norm], io, d->workspace);
    fili_dit_spent(d, &d->times.rest);
    return status;
}

/* ---- contexts ------------------------------------------------------------------------------- */

/* All bands of rows through one layer, so that a weight that is kept is converted once. */
static fil_status project_context(fili_dit *d, const fili_dense *layer, void *rows, void *out,
                                  int64_t bands)
{
    const int64_t from = FILI_DIT_CTX * layer->plan->problem.k;
    const int64_t to   = FILI_DIT_CTX * layer->plan->problem.n;
    for (int64_t b = 0; b < bands; b++) {
        const fili_dense_io io = {.x     = fili_dit_at(d, rows, b * from),
                                  .out   = fili_dit_at(d, out, b * to),
                                  .again = b > 0};
        FIL_TRY(run_dense(d, layer, &io));
    }
    return FIL_OK;
}

/* ctx = Linear2(GELU(Linear1(rows))), in bands; what lies behind the rows is zero on entry and
 * becomes the row that stands for the padding. */
static fil_status embed_text(fili_dit *d, int64_t bands)
{
    FIL_TRY(project_context(d, &d->text_0, d->ctx_in, d->ctx_inner, bands));
    return project_context(d, &d->text_2, d->ctx_inner, d->ctx_rows, bands);
}

/* Where keys (which 0) or values (1) of a layer lie. */
static void *context_rows(const fili_dit *d, const fili_dit_context *c, int32_t layer, int which)
{
    return fili_dit_at(d, c->kv, ((int64_t)layer * 2 + which) * d->context_room * d->c.dim);
}

static fil_status context_layer(fili_dit *d, fili_dit_context *c, int32_t l, int64_t bands)
{
    const fili_dit_layer *layer = &d->layer[l];
    void                 *keys  = context_rows(d, c, l, 0);
    FIL_TRY(project_context(d, &layer->cross_k, d->ctx_rows, keys, bands));
    FIL_TRY(project_context(d, &layer->cross_v, d->ctx_rows, context_rows(d, c, l, 1), bands));
    const fili_norm_io norm = {
        .rows = bands * FILI_DIT_CTX, .x = keys, .out = keys, .a = layer->cross_norm_k};
    return run_norm(d, FILI_NORM_CTX, &norm);
}

/* n rows in the DiT's type, and zeros behind them. */
static fil_status take_context(fili_dit *d, const float *rows, int64_t n, int64_t room)
{
    const int64_t cols = d->c.text_dim;
    void         *here = d->on_device ? d->here : d->ctx_in;
    FIL_TRY(fili_rows_take(d->ctx, rows, n, room - n, cols, d->o.precision, here));
    return filk_device_put(d->ctx, d->ctx_in, here, (size_t)(room * cols * fili_dit_size(d)));
}

fil_status fili_dit_set_context(fili_dit *d, int32_t pass, const float *rows, int32_t n)
{
    FIL_CHECK(d->ctx, pass >= 0 && pass < d->o.passes, "pass %d of %d", pass, d->o.passes);
    FIL_CHECK(d->ctx, n >= 0 && n <= d->o.context_rows && (rows != NULL || n == 0),
              "a context of %d rows; expected 0 to %d", n, d->o.context_rows);
    fili_dit_context *c     = &d->context[pass];
    const int32_t     more  = d->c.text_len - n; /* rows of padding */
    const int64_t     used  = n + (more > 0);
    const int64_t     bands = (used + FILI_DIT_CTX - 1) / FILI_DIT_CTX;
    c->is_set               = 0;
    d->mark                 = filk_seconds(d->ctx);
    FIL_TRY(fili_attend_list_set(&c->list, n, more));
    FIL_TRY(take_context(d, rows, n, bands * FILI_DIT_CTX));
    fili_dit_spent(d, &d->times.rest);
    FIL_TRY(embed_text(d, bands));
    FIL_TRY(fili_dit_trace(d, "text_embedding", -1, d->o.precision, d->ctx_rows, used, d->c.dim));
    for (int32_t l = 0; l < d->c.layers; l++) {
        FIL_TRY(fili_check_cancel(d->ctx));
        FIL_TRY(fili_dit_bring(d, l));
        FIL_TRY(context_layer(d, c, l, bands));
    }
    c->is_set = 1;
    return FIL_OK;
}

/* ---- before the layers ---------------------------------------------------------------------- */

static fil_status run_matrix(fili_dit *d, const fili_dit_matrix *m, const float *x, float *out)
{
    return fili_matvec(d->ctx, d->time_dtype, m->weight, m->bias, x, m->rows, m->cols, out);
}

/* e = Linear(SiLU(Linear(sinusoid))), e0 = Linear(SiLU(e)). */
static fil_status embed_time(fili_dit *d, double t)
{
    fili_sinusoid(t, d->c.freq_dim, d->time);
    FIL_TRY(run_matrix(d, &d->time_0, d->time, d->e_silu));
    fili_silu(d->e_silu, d->c.dim, d->e_silu);
    FIL_TRY(run_matrix(d, &d->time_2, d->e_silu, d->e));
    fili_silu(d->e, d->c.dim, d->e_silu);
    FIL_TRY(run_matrix(d, &d->time_projection, d->e_silu, d->e0));
    fili_dit_spent(d, &d->times.rest);
    FIL_TRY(fili_dit_trace(d, "e", -1, FIL_F32, d->e, 1, d->c.dim));
    FIL_TRY(fili_dit_trace(d, "e0", -1, FIL_F32, d->e0, 6, d->c.dim));
    return FIL_OK;
}

static fili_patches patches_of(const fili_dit *d, int32_t channels)
{
    return (fili_patches){.channels = channels,
                          .t        = d->o.t,
                          .h        = d->o.h,
                          .w        = d->o.w,
                          .pt       = d->c.patch_t,
                          .ph       = d->c.patch_h,
                          .pw       = d->c.patch_w,
                          .order    = d->order.order,
                          .tokens   = d->tokens};
}

static fil_status embed_patches(fili_dit *d, const float *latent)
{
    const fili_patches p     = patches_of(d, d->c.in_channels);
    const int64_t      cols  = fili_dit_patch(&d->c) * d->c.in_channels;
    const size_t       bytes = (size_t)(d->band * cols) * sizeof(float);
    void              *here  = d->on_device ? d->here : d->inner;
    for (int64_t b = 0; b < d->n_bands; b++) {
        const fili_dense_io io = {.x = d->inner, .out = d->x + b * d->band * d->c.dim};
        FIL_TRY(fili_patches_gather(d->ctx, &p, latent, b * d->band, d->band, here));
        FIL_TRY(filk_device_put(d->ctx, d->inner, here, bytes));
        fili_dit_spent(d, &d->times.rest);
        FIL_TRY(run_dense(d, &d->patch, &io));
    }
    FIL_TRY(fili_dit_trace(d, "patch_embedding", -1, FIL_F32, d->x, d->tokens, d->c.dim));
    return FIL_OK;
}

/* ---- a layer -------------------------------------------------------------------------------- */

/* Row i of the layer's modulation: shift, scale, gate of attention, then of the MLP. */
static const float *modulation(const fili_dit *d, int i)
{
    return d->m + (int64_t)i * d->c.dim;
}

static fil_status project(fili_dit *d, const fili_dense *layer, void *out)
{
    const fili_dense_io io = {.x = d->a, .out = out};
    return run_dense(d, layer, &io);
}

/* Elements from row to row of q, k and v. */
static int64_t heads_stride(const fili_dit *d)
{
    return 3 * (int64_t)d->c.dim;
}

/* RMS norm and rotation of q or k, where they lie: heads_band rows from `first` on. */
static fil_status turn(fili_dit *d, void *rows, int64_t first, const float *weight)
{
    const int64_t      half = d->c.dim / d->c.heads / 2;
    void              *from = fili_dit_at(d, rows, first * heads_stride(d));
    const fili_norm_io io   = {.rows   = d->heads_band,
                               .x      = from,
                               .out    = from,
                               .a      = weight,
                               .cos    = d->cos + first * half,
                               .sin    = d->sin + first * half,
                               .stride = heads_stride(d)};
    return run_norm(d, FILI_NORM_TURNED, &io);
}

/* The same rows from the residual stream to q, k and v, so that they stay in a cache on the way. */
static fil_status make_heads(fili_dit *d, const fili_dit_layer *layer, int64_t first)
{
    const int64_t      dim = d->c.dim;
    const int          n   = fili_dit_keeps(d) ? 3 : 1;
    void              *a   = fili_dit_at(d, d->a, first * dim);
    const fili_norm_io in  = {.rows = d->heads_band,
                              .x    = d->x + first * dim,
                              .out  = a,
                              .a    = modulation(d, 1),
                              .b    = modulation(d, 0)};
    FIL_TRY(run_norm(d, FILI_NORM_MODULATED, &in));
    for (int i = 0; i < n; i++) {
        const fili_dense_io io = {.x          = a,
                                  .out        = fili_dit_at(d, d->q, (first * 3 + i) * dim),
                                  .out_stride = heads_stride(d)};
        FIL_TRY(run_dense(d, &layer->heads[i], &io));
    }
    FIL_TRY(turn(d, d->q, first, layer->norm_q));
    return turn(d, d->k, first, layer->norm_k);
}

/* All rows. The last band reaches back, so that all have one length: what it meets again it makes
 * again, to the same bits. */
static fil_status make_all_heads(fili_dit *d, const fili_dit_layer *layer)
{
    const int64_t last = d->tokens - d->heads_band;
    for (int64_t first = 0; first < last; first += d->heads_band)
        FIL_TRY(make_heads(d, layer, first));
    return make_heads(d, layer, last);
}

/* A fili_policy_call's bring: the mirror has the layout of q, k and v. */
static fil_status bring_rows(void *user, const fili_token_runs *runs, fili_policy_rows *rows)
{
    const fili_dit *d     = user;
    const int64_t   dim   = d->c.dim;
    const int64_t   head  = dim / d->c.heads;
    const int64_t   row   = heads_stride(d);
    const size_t    bytes = (size_t)(row * fili_dit_size(d));
    if (d->mirror == NULL)
        return FIL_FAIL(d->ctx, FIL_E_INTERNAL, "rows are to be read, and no room is planned");
    rows->q                   = (filk_attn_view){d->mirror, row, head};
    rows->k                   = (filk_attn_view){fili_dit_at(d, d->mirror, dim), row, head};
    rows->v                   = (filk_attn_view){fili_dit_at(d, d->mirror, 2 * dim), row, head};
    const filk_device_piece r = {.rows  = (size_t)runs->count,
                                 .bytes = (size_t)runs->n * bytes,
                                 .pitch = (size_t)runs->step * bytes};
    return filk_device_get_pieces(d->ctx, fili_dit_at(d, d->mirror, runs->first * row),
                                  fili_dit_at(d, d->q, runs->first * row), &r);
}

/* What is computed of a self-attention: the caller's choice, the one mask, or everything. */
static fil_status choose(fili_dit *d, const int32_t key[3], fili_policy_choice *choice)
{
    const int64_t    head = d->c.dim / d->c.heads;
    fili_policy_call call = {.layer    = key[0],
                             .step     = key[1],
                             .pass     = key[2],
                             .order    = &d->order,
                             .blocks   = &d->blocks,
                             .heads    = d->c.heads,
                             .head_dim = (int32_t)head,
                             .dtype    = d->o.precision,
                             .q        = {d->q, heads_stride(d), head},
                             .k        = {d->k, heads_stride(d), head},
                             .v        = {d->v, heads_stride(d), head},
                             .scale    = 1.0f / sqrtf((float)head),
                             .density  = 1.0};
    if (d->on_device) {
        call.bring      = bring_rows;
        call.bring_user = d;
    }
    *choice = (fili_policy_choice){.mask = d->o.choose != NULL ? NULL : d->o.mask};
    if (d->o.choose == NULL) return FIL_OK;
    const fil_status status = d->o.choose(d->o.user, &call, choice);
    fili_dit_spent(d, &d->times.choose);
    return status;
}

/* x += gate * o(attention). */
static fil_status back(fili_dit *d, const fili_dense *o, const float *gate)
{
    const fili_dense_io io = {.x = d->a, .out = d->x, .gate = gate, .residual = d->x};
    return run_dense(d, o, &io);
}

static fil_status trace_heads(fili_dit *d, int32_t layer)
{
    const char *const names[3] = {"q", "k", "v"};
    const void *const rows[3]  = {d->q, d->k, d->v};
    for (int i = 0; i < 3; i++) {
        const fili_dit_value value = {.dtype  = d->o.precision,
                                      .data   = rows[i],
                                      .rows   = d->tokens,
                                      .cols   = d->c.dim,
                                      .stride = heads_stride(d)};
        FIL_TRY(fili_dit_trace_value(d, names[i], layer, &value));
    }
    return FIL_OK;
}

/* The gate of the coarse branch, from the rows that q, k and v came from: before attention, which
 * writes there. */
static fil_status open_gate(fili_dit *d, const fili_dit_layer *layer, int32_t l)
{
    if (d->gate == NULL)
        return FIL_FAIL(d->ctx, FIL_E_INTERNAL, "a coarse branch was chosen and no gate planned");
    FIL_TRY(project(d, &layer->gate, d->gate));
    FIL_TRY(fili_dit_trace(d, "gate", l, d->o.precision, d->gate, d->tokens, d->c.dim));
    return FIL_OK;
}

/* a += gate * coarse; coarse has a row for each piece of the order. */
static fil_status add_coarse(fili_dit *d, const float *coarse)
{
    const fili_gated g = {.dtype  = d->o.precision,
                          .gate   = d->gate,
                          .coarse = coarse,
                          .offset = d->order.piece,
                          .m      = d->order.n_pieces,
                          .cols   = d->c.dim,
                          .out    = d->a};
    FIL_TRY(fili_gated_add(d->ctx, &g));
    fili_dit_spent(d, &d->times.rest);
    return FIL_OK;
}

static fil_status self_attention(fili_dit *d, const fili_dit_layer *layer, const int32_t key[3])
{
    fili_policy_choice   choice;
    const fili_attend_io io = {
        .q = d->q, .k = d->k, .v = d->v, .stride = heads_stride(d), .out = d->a, .choice = &choice};
    FIL_TRY(make_all_heads(d, layer));
    FIL_TRY(trace_heads(d, key[0]));
    FIL_TRY(fili_dit_settle(d));
    fili_dit_spent(d, &d->times.linear);
    FIL_TRY(choose(d, key, &choice));
    if (choice.coarse != NULL) FIL_TRY(open_gate(d, layer, key[0]));
    FIL_TRY(fili_attend_forward(&d->attend, &io, d->workspace));
    FIL_TRY(fili_dit_settle(d));
    fili_dit_spent(d, &d->times.attention);
    if (choice.coarse != NULL) FIL_TRY(add_coarse(d, choice.coarse));
    FIL_TRY(fili_dit_trace(d, "self_attn", key[0], d->o.precision, d->a, d->tokens, d->c.dim));
    return back(d, &layer->o, modulation(d, 2));
}

static fil_status cross_attention(fili_dit *d, const fili_dit_layer *layer, const int32_t key[3])
{
    const fili_dit_context *c  = &d->context[key[2]];
    const fili_norm_io      in = {.rows = d->tokens,
                                  .x    = d->x,
                                  .out  = d->a,
                                  .a    = layer->norm3_weight,
                                  .b    = layer->norm3_bias};
    const fili_norm_io norm = {.rows = d->tokens, .x = d->q, .out = d->q, .a = layer->cross_norm_q};
    const fili_attend_io io = {.q   = d->q,
                               .k   = context_rows(d, c, key[0], 0),
                               .v   = context_rows(d, c, key[0], 1),
                               .out = d->a};
    FIL_TRY(run_norm(d, FILI_NORM_AFFINE, &in));
    FIL_TRY(project(d, &layer->cross_q, d->q));
    FIL_TRY(run_norm(d, FILI_NORM_PLAIN, &norm));
    FIL_TRY(fili_attend_list_forward(&c->list, &io, d->workspace));
    fili_dit_spent(d, &d->times.cross);
    return back(d, &layer->cross_o, NULL);
}

/* In bands of rows, so that the inner rows, ffn_dim wide, never exist for the whole sequence. The
 * last band reaches beyond the sequence; the rows there are finite and nobody reads them. What is
 * made of weights that are kept serves all bands. */
static fil_status mlp(fili_dit *d, const fili_dit_layer *layer)
{
    const fili_norm_io in = {.rows = d->n_bands * d->band,
                             .x    = d->x,
                             .out  = d->a,
                             .a    = modulation(d, 4),
                             .b    = modulation(d, 3)};
    FIL_TRY(run_norm(d, FILI_NORM_MODULATED, &in));
    for (int64_t b = 0; b < d->n_bands; b++) {
        float              *x  = d->x + b * d->band * d->c.dim;
        const fili_dense_io up = {
            .x = fili_dit_at(d, d->a, b * d->band * d->c.dim), .out = d->inner, .again = b > 0};
        const fili_dense_io down = {
            .x = d->inner, .out = x, .gate = modulation(d, 5), .residual = x, .again = b > 0};
        FIL_TRY(fili_check_cancel(d->ctx));
        FIL_TRY(run_dense(d, &layer->up, &up));
        FIL_TRY(run_dense_in(d, &layer->down, &down, d->workspace_down));
    }
    return FIL_OK;
}

/* A run that cannot come to anything ends here, and says where it went wrong. */
static fil_status check_stream(fili_dit *d, int32_t layer)
{
    const int64_t n = d->tokens * (int64_t)d->c.dim;
    int64_t       at;
    float         value;
    FIL_TRY(fili_find_nonfinite(d->ctx, d->x, n, &at, &value));
    fili_dit_spent(d, &d->times.rest);
    if (at == n) return FIL_OK;
    return FIL_FAIL(d->ctx, FIL_E_NONFINITE, "layer %d of 0 to %d gives %s in token %lld of %lld",
                    (int)layer, (int)d->c.layers - 1, fili_nonfinite_name(value),
                    (long long)(at / d->c.dim), (long long)d->tokens);
}

/* m = the layer's table + e0. */
static fil_status modulate(fili_dit *d, const fili_dit_layer *layer)
{
    const int64_t n = 6 * (int64_t)d->c.dim;
    fili_add(layer->modulation, d->e0, n, d->m_here);
    return filk_device_put(d->ctx, d->m, d->m_here, (size_t)n * sizeof(float));
}

static fil_status run_layer(fili_dit *d, const int32_t key[3])
{
    const fili_dit_layer *layer = &d->layer[key[0]];
    FIL_TRY(fili_check_cancel(d->ctx));
    FIL_TRY(fili_dit_bring(d, key[0]));
    fili_dit_look_ahead(d, key[0]);
    FIL_TRY(modulate(d, layer));
    FIL_TRY(self_attention(d, layer, key));
    FIL_TRY(fili_check_cancel(d->ctx));
    FIL_TRY(cross_attention(d, layer, key));
    FIL_TRY(mlp(d, layer));
    FIL_TRY(fili_dit_read_ahead(d, key[0])); /* not before: attention's clock would count it */
    FIL_TRY(fili_dit_trace(d, "block", key[0], FIL_F32, d->x, d->tokens, d->c.dim));
    return check_stream(d, key[0]);
}

/* ---- after the layers ----------------------------------------------------------------------- */

static fil_status run_head(fili_dit *d, float *velocity)
{
    const fili_patches p     = patches_of(d, d->c.out_channels);
    const int64_t      dim   = d->c.dim;
    const int64_t      cols  = fili_dit_patch(&d->c) * d->c.out_channels;
    const float       *shift = d->m;
    const float       *scale = d->m + dim;
    float             *here  = d->on_device ? d->here : d->head_rows;
    fili_add(d->head_modulation, d->e, dim, d->m_here);
    fili_add(d->head_modulation + dim, d->e, dim, d->m_here + dim);
    FIL_TRY(filk_device_put(d->ctx, d->m, d->m_here, (size_t)(2 * dim) * sizeof(float)));
    for (int64_t b = 0; b < d->n_bands; b++) {
        const int64_t      first = b * d->band;
        const int64_t      left  = d->tokens - first < d->band ? d->tokens - first : d->band;
        const fili_norm_io in    = {
               .rows = d->band, .x = d->x + first * dim, .out = d->inner, .a = scale, .b = shift};
        const fili_dense_io io = {.x = d->inner, .out = d->head_rows};
        FIL_TRY(run_norm(d, FILI_NORM_HEAD, &in));
        FIL_TRY(run_dense(d, &d->head, &io));
        FIL_TRY(fili_dit_trace(d, "head", (int32_t)b, FIL_F32, d->head_rows, left, cols));
        FIL_TRY(filk_device_get(d->ctx, here, d->head_rows, (size_t)(left * cols) * sizeof(float)));
        FIL_TRY(fili_patches_scatter(d->ctx, &p, here, first, left, velocity));
        fili_dit_spent(d, &d->times.rest);
    }
    return FIL_OK;
}

fil_status fili_dit_forward(fili_dit *d, int32_t pass, int32_t step, const float *latent, double t,
                            float *velocity)
{
    FIL_CHECK(d->ctx, pass >= 0 && pass < d->o.passes && d->context[pass].is_set,
              "pass %d has no context", pass);
    FIL_CHECK(d->ctx, t >= 0.0 && t <= 1e6, "time %g; expected 0 to 1000", t);
    const uint64_t layers = (uint64_t)d->c.layers;
    const uint64_t passes = (uint64_t)d->o.passes;
    d->mark               = filk_seconds(d->ctx);
    FIL_TRY(embed_time(d, t));
    FIL_TRY(embed_patches(d, latent));
    for (int32_t l = 0; l < d->c.layers; l++) {
        const int32_t key[3] = {l, step, pass};
        FIL_TRY(run_layer(d, key));
        fili_progress_part(d->ctx, (uint64_t)pass * layers + (uint64_t)l + 1, passes * layers);
    }
    return run_head(d, velocity);
}
