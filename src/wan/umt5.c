/* wan/umt5.c: one prompt through the text encoder (umt5.h).
 *
 * Everything that an encode needs is planned first, in one arena: rows, plans, scratch memory, and
 * one piece that holds a matrix where it cannot be used in place. Nothing is kept afterwards.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/pool.h"
#include "kernel/norm.h"
#include "nn/biased.h"
#include "nn/elementwise.h"
#include "tensor/convert.h"
#include "wan/umt5_inside.h"

enum { ROWS_PER_TASK = 8, ELEMENTS_PER_TASK = 1 << 16 };

static const float eps = 1e-6f;

/* The products of a layer by shape: q k v; o; gate; fc1; fc2. */
typedef enum shape_kind { TO_INNER, FROM_INNER, TO_FFN_GELU, TO_FFN, FROM_FFN, SHAPES } shape_kind;

static const shape_kind kind_of[FILI_UMT5_MATRICES] = {TO_INNER,    TO_INNER, TO_INNER, FROM_INNER,
                                                       TO_FFN_GELU, TO_FFN,   FROM_FFN};

typedef struct run {
    fili_umt5              *u;
    int32_t                 n;
    fili_matmul             matmul[SHAPES];
    fili_biased             attention;
    filk_norm_problem       norm;      /* into the precision */
    filk_norm_problem       last_norm; /* into f32 */
    const filk_row         *norm_row, *last_norm_row;
    const fili_convert_set *convert;
    fili_arena              arena;
    float                  *x;         /* [n, dim] residual stream */
    void                   *y;         /* [n, max(dim, inner, ffn)] inputs of the linears */
    float                  *q, *k, *v; /* [n, inner]; q and k double as [n, ffn] each */
    void                   *matrix;    /* the largest one, in the precision */
    void                   *workspace;
} run;

static size_t element_bytes(fil_dtype dtype)
{
    return dtype == FIL_BF16 ? 2 : 4;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* One thread: its CPU time, which other programs do not disturb. */
static uint64_t now(const run *r)
{
    const fili_os *os = r->u->ctx->os;
    return r->u->ctx->n_threads == 1 ? os->thread_ns(os->self) : os->clock_ns(os->self);
}

/* ---- planning ------------------------------------------------------------------------------- */

static fil_status plan_matmuls(run *r)
{
    const fili_umt5_config *c             = &r->u->config;
    const fil_dtype         p             = r->u->precision;
    const int64_t           inner         = c->heads * c->head_dim;
    const fili_matmul_shape shape[SHAPES] = {
        [TO_INNER]    = {.m = r->n, .n = inner, .k = c->dim},
        [FROM_INNER]  = {.m = r->n, .n = c->dim, .k = inner},
        [TO_FFN_GELU] = {.m = r->n, .n = c->ffn, .k = c->dim, .act = FILK_ACT_GELU_TANH},
        [TO_FFN]      = {.m = r->n, .n = c->ffn, .k = c->dim},
        [FROM_FFN]    = {.m = r->n, .n = c->dim, .k = c->ffn}};
    for (int i = 0; i < SHAPES; i++) {
        fili_matmul_shape s = shape[i];
        s.dtype             = p;
        s.out_dtype         = FIL_F32;
        FIL_TRY(fili_matmul_open(&r->matmul[i], r->u->ctx, &s));
    }
    return FIL_OK;
}

static fil_status plan_norms(run *r)
{
    const fili_umt5 *u     = r->u;
    r->norm                = (filk_norm_problem){.kind      = FILK_NORM_RMS,
                                                 .rows      = r->n,
                                                 .dim       = u->config.dim,
                                                 .dtype     = FIL_F32,
                                                 .out_dtype = u->precision};
    r->last_norm           = r->norm;
    r->last_norm.out_dtype = FIL_F32;
    FIL_TRY(filk_select(u->ctx, &filk_norm, &r->norm, NULL, &r->norm_row));
    return filk_select(u->ctx, &filk_norm, &r->last_norm, NULL, &r->last_norm_row);
}

static fil_status plan(run *r)
{
    const fili_umt5_config *c     = &r->u->config;
    const fili_biased_shape shape = {.n        = r->n,
                                     .heads    = (int32_t)c->heads,
                                     .head_dim = (int32_t)c->head_dim,
                                     .buckets  = (int32_t)c->buckets};
    FIL_TRY(plan_matmuls(r));
    FIL_TRY(plan_norms(r));
    r->convert = fili_convert_select(r->u->ctx->isa);
    return fili_biased_open(&r->attention, r->u->ctx, &shape);
}

static void drop_plan(run *r)
{
    for (int i = 0; i < SHAPES; i++)
        fili_matmul_close(&r->matmul[i]);
    if (r->attention.ctx != NULL) fili_biased_close(&r->attention);
}

static size_t workspace_bytes(const run *r)
{
    const int32_t n_threads = r->u->ctx->n_threads;
    size_t        most      = r->attention.workspace;
    const size_t  norm[2]   = {r->norm_row->workspace(&r->norm, n_threads),
                               r->last_norm_row->workspace(&r->last_norm, n_threads)};
    for (int i = 0; i < SHAPES; i++)
        if (r->matmul[i].workspace > most) most = r->matmul[i].workspace;
    for (int i = 0; i < 2; i++)
        if (norm[i] > most) most = norm[i];
    return most;
}

/* A matrix that lies where and as it is wanted; NULL if it has to be brought there. */
static const void *matrix_in_place(const fili_umt5 *u, int64_t layer, fili_umt5_part part)
{
    return fili_weights_in_place(u->w, fili_umt5_matrix_name(layer, part).text, u->precision);
}

static uint64_t matrix_bytes(const fili_umt5 *u)
{
    uint64_t most = 0;
    for (int64_t i = 0; i < u->config.layers; i++)
        for (int part = 0; part < FILI_UMT5_MATRICES; part++) {
            int64_t shape[2];
            if (matrix_in_place(u, i, (fili_umt5_part)part) != NULL) continue;
            fili_umt5_matrix_shape(&u->config, (fili_umt5_part)part, shape);
            const uint64_t bytes =
                (uint64_t)shape[0] * (uint64_t)shape[1] * element_bytes(u->precision);
            if (bytes > most) most = bytes;
        }
    return most;
}

enum { X, Y, Q, K, V, MATRIX, WORKSPACE, PIECES };

static void piece_sizes(const run *r, uint64_t size[PIECES])
{
    const fili_umt5_config *c     = &r->u->config;
    const uint64_t          n     = (uint64_t)r->n;
    const int64_t           inner = c->heads * c->head_dim;
    const uint64_t          wide  = (uint64_t)larger(inner, c->ffn);
    size[X]                       = n * (uint64_t)c->dim * sizeof(float);
    size[Y]         = n * (uint64_t)larger(c->dim, (int64_t)wide) * element_bytes(r->u->precision);
    size[Q]         = n * wide * sizeof(float);
    size[K]         = size[Q];
    size[V]         = n * (uint64_t)inner * sizeof(float);
    size[MATRIX]    = matrix_bytes(r->u);
    size[WORKSPACE] = workspace_bytes(r);
}

static fil_status take_memory(run *r)
{
    uint64_t size[PIECES];
    void    *piece[PIECES];
    size_t   total = 0;
    piece_sizes(r, size);
    for (int i = 0; i < PIECES; i++)
        if (size[i] > SIZE_MAX || !fili_add_size(total, fili_arena_piece((size_t)size[i]), &total))
            return FIL_FAIL(r->u->ctx, FIL_E_NOMEM, "text encoder: too large for this machine");
    FIL_TRY(fili_arena_fix(&r->arena, total));
    for (int i = 0; i < PIECES; i++)
        FIL_TRY(fili_arena_alloc(&r->arena, (size_t)size[i], &piece[i]));
    r->x         = piece[X];
    r->y         = piece[Y];
    r->q         = piece[Q];
    r->k         = piece[K];
    r->v         = piece[V];
    r->matrix    = piece[MATRIX];
    r->workspace = piece[WORKSPACE];
    return FIL_OK;
}

/* ---- elements ------------------------------------------------------------------------------- */

/* Row by row: a prompt sees few of the vocabulary's. */
static fil_status embed(run *r, const int32_t *ids)
{
    const uint64_t dim = (uint64_t)r->u->config.dim;
    for (int32_t i = 0; i < r->n; i++)
        FIL_TRY(fili_weights_read_part(r->u->w, "token_embedding.weight", FIL_F32,
                                       (uint64_t)ids[i] * dim, dim, r->x + (uint64_t)i * dim));
    return FIL_OK;
}

/* y = q * k, where q holds the gate and k what it gates. */
static fil_status gate_task(void *arg, int64_t task, int32_t worker)
{
    const run       *r     = arg;
    const int64_t    ffn   = r->u->config.ffn;
    const fili_range range = fili_task_range(r->n, ROWS_PER_TASK, task);
    (void)worker;
    for (int64_t i = range.begin; i < range.end; i++) {
        const float *gate = r->q + i * ffn;
        float       *up   = r->k + i * ffn;
        for (int64_t j = 0; j < ffn; j++)
            up[j] *= gate[j];
        fili_convert_row(r->convert, r->u->precision,
                         (char *)r->y + (size_t)(i * ffn) * element_bytes(r->u->precision), FIL_F32,
                         up, (size_t)ffn);
    }
    return FIL_OK;
}

typedef struct convert_state {
    const run  *r;
    const char *from;
    int64_t     n;
} convert_state;

static fil_status convert_task(void *arg, int64_t task, int32_t worker)
{
    const convert_state *s     = arg;
    const fili_range     range = fili_task_range(s->n, ELEMENTS_PER_TASK, task);
    (void)worker;
    fili_convert_row(s->r->convert, FIL_F32, (float *)s->r->matrix + range.begin, FIL_BF16,
                     s->from + 2 * range.begin, (size_t)(range.end - range.begin));
    return FIL_OK;
}

/* ---- layers --------------------------------------------------------------------------------- */

/* Where it lies, widened from where it lies, or read. */
static fil_status take_matrix(run *r, int64_t layer, fili_umt5_part part, const void **out)
{
    fili_umt5           *u    = r->u;
    const fili_umt5_name name = fili_umt5_matrix_name(layer, part);
    int64_t              shape[2];
    *out = fili_weights_in_place(u->w, name.text, u->precision);
    if (*out != NULL) return FIL_OK;
    *out = r->matrix;
    fili_umt5_matrix_shape(&u->config, part, shape);
    const void *narrow = fili_weights_in_place(u->w, name.text, FIL_BF16);
    if (u->precision == FIL_F32 && narrow != NULL) {
        convert_state s = {.r = r, .from = narrow, .n = shape[0] * shape[1]};
        return fili_pool_run(u->ctx, "widening", fili_task_count(s.n, ELEMENTS_PER_TASK),
                             convert_task, &s);
    }
    return fili_weights_read(u->w, name.text, u->precision, 2, shape, r->matrix);
}

static fil_status linear(run *r, int64_t layer, fili_umt5_part part, const float *residual,
                         float *out)
{
    const void    *w;
    const uint64_t begin = now(r);
    FIL_TRY(take_matrix(r, layer, part, &w));
    FIL_TRY(fili_matmul_run(&r->matmul[kind_of[part]], r->y, w, residual, out, r->workspace));
    r->u->times.linear += 1e-9 * (double)(now(r) - begin);
    return FIL_OK;
}

static fil_status normalise(const run *r, const float *weight, void *out, bool last)
{
    const filk_norm_problem *p    = last ? &r->last_norm : &r->norm;
    const filk_row          *row  = last ? r->last_norm_row : r->norm_row;
    filk_norm_args           args = {.x = r->x, .x_stride = p->dim, .a = weight, .eps = eps};
    args.out                      = out;
    args.out_stride               = p->dim;
    return row->run(r->u->ctx, p, &args, r->workspace);
}

static fil_status attend(run *r, int64_t i)
{
    const fili_biased_io io    = {.q         = r->q,
                                  .k         = r->k,
                                  .v         = r->v,
                                  .bias      = r->u->layers[i].bias,
                                  .out       = r->y,
                                  .out_dtype = r->u->precision};
    const uint64_t       begin = now(r);
    FIL_TRY(fili_biased_forward(&r->attention, &io, r->workspace));
    r->u->times.attention += 1e-9 * (double)(now(r) - begin);
    return FIL_OK;
}

static fil_status run_layer(run *r, int64_t i)
{
    FIL_TRY(normalise(r, r->u->layers[i].norm1, r->y, false));
    FIL_TRY(linear(r, i, FILI_UMT5_Q, NULL, r->q));
    FIL_TRY(linear(r, i, FILI_UMT5_K, NULL, r->k));
    FIL_TRY(linear(r, i, FILI_UMT5_V, NULL, r->v));
    FIL_TRY(attend(r, i));
    FIL_TRY(linear(r, i, FILI_UMT5_O, r->x, r->x));
    FIL_TRY(normalise(r, r->u->layers[i].norm2, r->y, false));
    FIL_TRY(linear(r, i, FILI_UMT5_GATE, NULL, r->q));
    FIL_TRY(linear(r, i, FILI_UMT5_FC1, NULL, r->k));
    FIL_TRY(fili_pool_run(r->u->ctx, "gate", fili_task_count(r->n, ROWS_PER_TASK), gate_task, r));
    return linear(r, i, FILI_UMT5_FC2, r->x, r->x);
}

static fil_status run_layers(run *r, const int32_t *ids, float *rows)
{
    const int64_t layers = r->u->config.layers;
    FIL_TRY(embed(r, ids));
    for (int64_t i = 0; i < layers; i++) {
        FIL_TRY(fili_check_cancel(r->u->ctx));
        fili_progress(r->u->ctx, "encode", (uint64_t)i, (uint64_t)layers);
        FIL_TRY(run_layer(r, i));
    }
    fili_progress(r->u->ctx, "encode", (uint64_t)layers, (uint64_t)layers);
    return normalise(r, r->u->norm, rows, true);
}

/* ---- the door ------------------------------------------------------------------------------- */

static fil_status check_ids(const fili_umt5 *u, const int32_t *ids, int32_t n)
{
    FIL_CHECK(u->ctx, n >= 1 && n <= FILI_UMT5_MAX_ROWS, "%d token ids; expected 1 to %d", n,
              FILI_UMT5_MAX_ROWS);
    for (int32_t i = 0; i < n; i++)
        FIL_CHECK(u->ctx, ids[i] >= 0 && ids[i] < u->config.vocab,
                  "token id %d; the text encoder has %lld tokens: is the tokenizer that of another "
                  "model?",
                  ids[i], (long long)u->config.vocab);
    return FIL_OK;
}

/* Here, or the first layer of a transformer would be blamed for it. */
static fil_status check_rows(const run *r, const float *rows)
{
    const int64_t dim = r->u->config.dim;
    const int64_t n   = r->n * dim;
    const int64_t at  = fili_first_nonfinite(rows, n);
    if (at == n) return FIL_OK;
    return FIL_FAIL(r->u->ctx, FIL_E_NONFINITE, "the text encoder gives %s in token %lld of %d",
                    fili_nonfinite_name(rows[at]), (long long)(at / dim), (int)r->n);
}

fil_status fili_umt5_encode(fili_umt5 *u, const int32_t *ids, int32_t n, float *rows)
{
    fil_status status;
    run        r = {.u = u, .n = n};
    FIL_TRY(check_ids(u, ids, n));
    fili_arena_init(&r.arena, u->ctx, "text encoder", 0);
    u->times             = (fili_umt5_times){.rest = 0.0};
    const uint64_t begin = now(&r);
    FIL_TRY_OR(done, plan(&r));
    FIL_TRY_OR(done, take_memory(&r));
    FIL_TRY_OR(done, run_layers(&r, ids, rows));
    FIL_TRY_OR(done, check_rows(&r, rows));
    u->times.rest = 1e-9 * (double)(now(&r) - begin) - u->times.linear - u->times.attention;
done:
    fili_arena_fini(&r.arena);
    drop_plan(&r);
    return status;
}

uint64_t fili_umt5_bytes(const fili_umt5 *u, int32_t n)
{
    run      r = {.u = fili_writable(u), .n = n};
    uint64_t size[PIECES];
    uint64_t total = 0;
    if (plan(&r) == FIL_OK) {
        piece_sizes(&r, size);
        for (int i = 0; i < PIECES; i++)
            total += fili_arena_piece((size_t)size[i]);
    }
    drop_plan(&r);
    return total;
}
