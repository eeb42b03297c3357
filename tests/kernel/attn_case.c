/* tests/kernel/attn_case.c: making, running and comparing attention problems (attn_case.h).
 *
 * Tolerance, with u the unit roundoff of the output type, e that of the sums, cond = sum p|v| / sum
 * p, kappa = the largest scale * sum |q_d k_d| of a kept key:
 *     out   2 u cond             p rounded to the type, and the result
 *         + 8 e (keys + D) cond  sums of p and p v, and the exponential
 *         + 2 D e kappa cond     a logit is a sum of D products that misses by at most D e kappa;
 *                                p and its sum move by that much, relatively
 *         + 2^-125               what a row that flushes denormals may lose
 *     lse   1e-5 (1 + |lse|) + D e kappa
 * Products of bf16 are exact in f32, so only the order of the sum is in the third term. It is cut
 * at 2^-6, so that huge logits do not excuse everything: the problems that have them are made of
 * logits that are equal or far apart.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "kernel/attn_case.h"
#include "support/fault.h"

#define MAX_D 128

/* ---- contexts ------------------------------------------------------------------------------- */

#define MAX_THREADS 8
static alloc_fault faults[MAX_THREADS + 1];
static fil_ctx    *contexts[MAX_THREADS + 1];

fil_ctx *attn_ctx(int32_t n_threads)
{
    fil_options opt;
    assert_in_range(n_threads, 1, MAX_THREADS);
    if (contexts[n_threads] != NULL) return contexts[n_threads];
    faults[n_threads] = (alloc_fault){.at = -1};
    fil_options_init(&opt);
    opt.n_threads = n_threads;
    opt.host      = alloc_fault_allocator(&faults[n_threads]);
    assert_int_equal(fil_ctx_open(&contexts[n_threads], &opt), FIL_OK);
    return contexts[n_threads];
}

/* ---- tensors -------------------------------------------------------------------------------- */

static int64_t element_bytes(const attn_case *c)
{
    return (int64_t)fil_dtype_bits(c->shape.dtype) / 8;
}

static void make_tensor(attn_case *c, attn_tensor *t, int64_t n, int32_t heads)
{
    const attn_shape *s   = &c->shape;
    const int64_t     row = s->head_dim + s->gap;
    const int64_t     el  = element_bytes(c);
    t->n                  = n;
    t->heads              = heads;
    t->stride_n           = s->head_major ? row : row * heads + s->gap;
    t->stride_h           = s->head_major ? row * n + s->gap : row;
    const int64_t span    = (n - 1) * t->stride_n + (heads - 1) * t->stride_h + s->head_dim;
    check_buffer_make(&t->buffer, (size_t)(span * el), 64, (size_t)(s->off * el));
    t->data = (char *)t->buffer.data;
}

static void *row_of(const attn_case *c, const attn_tensor *t, int64_t token, int32_t h)
{
    return t->data + (token * t->stride_n + h * t->stride_h) * element_bytes(c);
}

static void fill_tensor(attn_case *c, attn_tensor *t, check_rng *rng, double sigma)
{
    memset(t->buffer.data, 0xFF, t->buffer.bytes); /* the gaps: NaN */
    for (int64_t i = 0; i < t->n; i++)
        for (int32_t h = 0; h < t->heads; h++)
            check_fill_normal(rng, c->shape.dtype, row_of(c, t, i, h), c->shape.head_dim, sigma);
}

static filk_attn_view view_of(const attn_tensor *t)
{
    return (filk_attn_view){.data = t->data, .stride_n = t->stride_n, .stride_h = t->stride_h};
}

double attn_get(const attn_case *c, const attn_tensor *t, int64_t token, int32_t h, int32_t d)
{
    return check_load(c->shape.dtype, row_of(c, t, token, h), d);
}

void attn_set(attn_case *c, attn_tensor *t, int64_t token, int32_t h, int32_t d, double value)
{
    check_store(c->shape.dtype, row_of(c, t, token, h), d, value);
}

void attn_set_token(attn_case *c, attn_tensor *t, int64_t token, double value)
{
    for (int32_t h = 0; h < t->heads; h++)
        for (int32_t d = 0; d < c->shape.head_dim; d++)
            attn_set(c, t, token, h, d, value);
}

/* ---- blocks, mask, sinks, tail -------------------------------------------------------------- */

static int32_t make_offsets(check_buffer *buffer, check_rng *rng, int64_t n, int ragged)
{
    int32_t *all = malloc(sizeof *all * (size_t)(n + 1));
    int32_t  m   = 0;
    int64_t  at  = 0;
    assert_non_null(all);
    /* Some ragged problems have short runs only: many blocks, many words of mask. */
    const int64_t longest = ragged && check_chance(rng, 30) ? check_between(rng, 1, 20) : 64;
    all[0]                = 0;
    while (at < n) {
        at += ragged ? check_between(rng, 1, longest) : 64;
        if (at > n) at = n;
        all[++m] = (int32_t)at;
    }
    check_buffer_make(buffer, sizeof *all * ((size_t)m + 1), 4, 0);
    memcpy(buffer->data, all, buffer->bytes);
    free(all);
    return m;
}

static int64_t words(const attn_case *c)
{
    return (c->p.mk + 31) / 32;
}

static uint32_t *mask_word(const attn_case *c, int32_t h, int32_t bq, int32_t bk)
{
    uint32_t *mask = (uint32_t *)(void *)c->mask.data;
    return mask + h * c->a.mask_stride_h + bq * words(c) + bk / 32;
}

void attn_keep(attn_case *c, int32_t h, int32_t q_block, int32_t k_block, int keep)
{
    uint32_t *word = mask_word(c, h, q_block, k_block);
    *word &= ~(1u << (k_block % 32));
    *word |= (keep ? 1u : 0u) << (k_block % 32);
}

int attn_keeps(const attn_case *c, int32_t h, int32_t q_block, int32_t k_block)
{
    if (c->a.mask == NULL) return 1;
    return (*mask_word(c, h, q_block, k_block) >> (k_block % 32) & 1u) != 0;
}

int attn_block_of(const int32_t *offset, int32_t m, int64_t token)
{
    int b = 0;
    while (b + 1 < m && offset[b + 1] <= token)
        b++;
    return b;
}

static int mask_bit(const attn_shape *s, check_rng *rng, int32_t one, int32_t bk)
{
    switch (s->mask) {
    case MASK_ALL: return 1;
    case MASK_ONE: return bk == one;
    case MASK_RANDOM: return check_chance(rng, s->density);
    default: return 0;
    }
}

/* The bits beyond the last block are random, the words between the heads ones. */
static void make_mask(attn_case *c, check_rng *rng)
{
    const attn_shape *s = &c->shape;
    const int32_t     n = s->mask_shared ? 1 : s->heads;
    if (s->mask == MASK_NULL) return;
    const int64_t plane = c->p.mq * words(c);
    const int64_t gap   = s->gap > 0 ? 3 : 0;
    c->a.mask_stride_h  = s->mask_shared ? 0 : plane + gap;
    check_buffer_make(&c->mask, 4 * (size_t)(n * (plane + gap)), 4, 0);
    memset(c->mask.data, 0xFF, c->mask.bytes);
    c->a.mask = (const uint32_t *)(void *)c->mask.data;
    for (int32_t h = 0; h < n; h++)
        for (int32_t bq = 0; bq < c->p.mq; bq++) {
            const int32_t one = (int32_t)check_between(rng, 0, c->p.mk - 1);
            for (int32_t bk = 0; bk < c->p.mk; bk++)
                attn_keep(c, h, bq, bk, mask_bit(s, rng, one, bk));
            if (c->p.mk % 32 != 0)
                *mask_word(c, h, bq, c->p.mk - 1) ^= check_u32(rng) << (c->p.mk % 32);
        }
}

/* n rising tokens of nk: a part of them neighbours, so that whole runs become sinks. */
static void draw_sinks(check_rng *rng, int32_t *list, int32_t n, int64_t nk)
{
    const int64_t first = check_chance(rng, 40) ? check_between(rng, 0, nk - n) : -1;
    int64_t       token = 0;
    for (int32_t i = 0; i < n; i++) {
        if (first >= 0) {
            list[i] = (int32_t)(first + i);
            continue;
        }
        const int64_t room = nk - n + i - token; /* tokens that may be skipped */
        token += check_between(rng, 0, room < 2 * nk / n ? room : 2 * nk / n);
        list[i] = (int32_t)token++;
    }
}

static void make_sinks(attn_case *c, check_rng *rng)
{
    const attn_shape *s   = &c->shape;
    const int32_t     n   = s->n_sinks;
    const int32_t     gap = s->gap > 0 ? 2 : 0;
    c->p.max_sinks        = n + s->spare_sinks;
    c->a.n_sinks          = n;
    if (n == 0) return;
    const int32_t lists = s->sinks_shared ? 1 : s->kv_heads;
    const int32_t room  = s->sinks_shared ? c->p.max_sinks : lists * (n + gap);
    check_buffer_make(&c->sinks, 4 * (size_t)room, 4, 0);
    c->a.sinks          = (const int32_t *)(void *)c->sinks.data;
    c->a.sinks_stride_h = s->sinks_shared ? 0 : n + gap;
    for (int32_t i = 0; i < lists; i++)
        draw_sinks(rng, (int32_t *)(void *)c->sinks.data + i * (n + gap), n, s->nk);
}

void attn_set_sinks(attn_case *c, const int32_t *tokens, int32_t n)
{
    assert_in_range(n, 1, c->p.max_sinks);
    assert_int_equal(c->a.sinks_stride_h, 0);
    c->a.n_sinks = n;
    memcpy(c->sinks.data, tokens, sizeof *tokens * (size_t)n);
}

static void make_tail(attn_case *c, check_rng *rng)
{
    const attn_shape *s     = &c->shape;
    const int32_t     lists = s->count_shared ? 1 : s->kv_heads;
    if (!s->tail) return;
    make_tensor(c, &c->tail_k, c->p.mk, s->kv_heads);
    make_tensor(c, &c->tail_v, c->p.mk, s->kv_heads);
    fill_tensor(c, &c->tail_k, rng, s->sigma);
    fill_tensor(c, &c->tail_v, rng, 1.0);
    check_buffer_make(&c->tail_count, 4 * (size_t)(lists * c->p.mk), 4, 0);
    c->a.tail_count          = (const int32_t *)(void *)c->tail_count.data;
    c->a.tail_count_stride_h = s->count_shared ? 0 : c->p.mk;
    for (int32_t i = 0; i < lists; i++)
        for (int32_t b = 0; b < c->p.mk; b++) {
            const int32_t count = check_chance(rng, 20) ? 0 : (int32_t)check_between(rng, 1, 64);
            ((int32_t *)(void *)c->tail_count.data)[i * c->p.mk + b] = count;
            for (int32_t h = 0; count == 0 && h < s->kv_heads; h++)
                for (int32_t d = 0; (s->count_shared || h == i) && d < s->head_dim; d++) {
                    attn_set(c, &c->tail_k, b, h, d, (double)NAN);
                    attn_set(c, &c->tail_v, b, h, d, (double)INFINITY);
                }
        }
    c->a.tail_k = view_of(&c->tail_k);
    c->a.tail_v = view_of(&c->tail_v);
    if (!s->tail_factor) return;
    check_buffer_make(&c->tail_factor, 4 * (size_t)s->heads, 4, 0);
    float *factor = (float *)(void *)c->tail_factor.data;
    for (int32_t h = 0; h < s->heads; h++)
        factor[h] = (float)exp(check_normal(rng));
    c->a.tail_factor = factor;
}

/* ---- making --------------------------------------------------------------------------------- */

void attn_make(attn_case *c, const attn_shape *shape)
{
    check_rng rng = {.seed = shape->seed, .stream = 1};
    *c            = (attn_case){.shape = *shape};
    attn_shape *s = &c->shape;
    if (s->sigma == 0.0) s->sigma = 1.0;
    if (s->scale == 0.0f) s->scale = (float)(1.0 / sqrt((double)s->head_dim));
    if (s->n_sinks > s->nk) s->n_sinks = (int32_t)s->nk;
    c->p          = (filk_attn_problem){.nq       = s->nq,
                                        .nk       = s->nk,
                                        .heads    = s->heads,
                                        .kv_heads = s->kv_heads,
                                        .head_dim = s->head_dim,
                                        .dtype    = s->dtype,
                                        .has_tail = s->tail};
    c->p.mq       = make_offsets(&c->q_offset, &rng, s->nq, s->ragged_q);
    c->p.mk       = make_offsets(&c->k_offset, &rng, s->nk, s->ragged_k);
    c->p.q_offset = (const int32_t *)(void *)c->q_offset.data;
    c->p.k_offset = (const int32_t *)(void *)c->k_offset.data;

    make_tensor(c, &c->q, s->nq, s->heads);
    fill_tensor(c, &c->q, &rng, s->sigma);
    if (!s->alias) {
        make_tensor(c, &c->k, s->nk, s->kv_heads);
        make_tensor(c, &c->v, s->nk, s->kv_heads);
        fill_tensor(c, &c->k, &rng, s->sigma);
        fill_tensor(c, &c->v, &rng, 1.0);
    }
    make_tensor(c, &c->out, s->nq, s->heads);
    c->a = (filk_attn_args){.q            = view_of(&c->q),
                            .k            = view_of(s->alias ? &c->q : &c->k),
                            .v            = view_of(s->alias ? &c->q : &c->v),
                            .out          = c->out.data,
                            .out_stride_n = c->out.stride_n,
                            .out_stride_h = c->out.stride_h,
                            .scale        = s->scale};
    if (!s->no_lse) {
        check_buffer_make(&c->lse, 4 * (size_t)(s->heads * s->nq), 4, 0);
        c->a.lse = (float *)(void *)c->lse.data;
    }
    make_mask(c, &rng);
    make_sinks(c, &rng);
    make_tail(c, &rng);
}

void attn_free(attn_case *c)
{
    check_buffer *all[] = {&c->q.buffer,      &c->k.buffer,   &c->v.buffer, &c->tail_k.buffer,
                           &c->tail_v.buffer, &c->out.buffer, &c->lse,      &c->mask,
                           &c->q_offset,      &c->k_offset,   &c->sinks,    &c->tail_count,
                           &c->tail_factor};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        check_buffer_free(all[i]);
}

/* ---- running -------------------------------------------------------------------------------- */

int attn_workspace_fill = 0xAA;

int attn_takes(const filk_row *row, const attn_case *c)
{
    return row->refuse(&c->p) == NULL;
}

fil_dtype attn_dtype(const filk_row *row)
{
    const filk_attn_problem p = {.dtype = FIL_BF16, .head_dim = 64};
    return row->refuse(&p) == NULL ? FIL_BF16 : FIL_F32;
}

static void protect_inputs(attn_case *c, int on)
{
    check_buffer *all[] = {&c->q.buffer,      &c->k.buffer,   &c->v.buffer,   &c->tail_k.buffer,
                           &c->tail_v.buffer, &c->mask,       &c->q_offset,   &c->k_offset,
                           &c->sinks,         &c->tail_count, &c->tail_factor};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        check_buffer_protect(all[i], on);
}

/* Every element of the output is written, and no gap. */
static void check_written(attn_case *c)
{
    const size_t   bytes = c->out.buffer.bytes;
    const size_t   row   = (size_t)(c->shape.head_dim * element_bytes(c));
    unsigned char *copy  = malloc(bytes);
    unsigned char  poison[MAX_D * 4];
    assert_non_null(copy);
    memset(poison, 0xAA, sizeof poison);
    memcpy(copy, c->out.buffer.data, bytes);
    for (int64_t i = 0; i < c->out.n; i++)
        for (int32_t h = 0; h < c->out.heads; h++) {
            const char *at = row_of(c, &c->out, i, h);
            if (memcmp(at, poison, row) == 0)
                check_fail("out[%lld, %d] is not written", (long long)i, h);
            memset(copy + (at - c->out.data), 0xAA, row);
        }
    for (size_t i = 0; i < bytes; i++)
        if (copy[i] != 0xAA) check_fail("byte %zu of the output's gaps is written", i);
    free(copy);
}

void attn_run(const filk_row *row, attn_case *c, int32_t n_threads)
{
    fil_ctx     *ctx   = attn_ctx(n_threads);
    alloc_fault *fault = &faults[n_threads];
    check_buffer workspace;
    check_buffer_make(&workspace, row->workspace(&c->p, n_threads), 64, 0);
    memset(workspace.data, attn_workspace_fill, workspace.bytes);
    memset(c->out.buffer.data, 0xAA, c->out.buffer.bytes);
    if (c->a.lse != NULL) memset(c->lse.data, 0xAA, c->lse.bytes);
    protect_inputs(c, 1);
    *fault = (alloc_fault){.at = 0, .forever = 1, .live = fault->live};
    fili_ctx_enter(ctx);
    const fil_status status = row->run(ctx, &c->p, &c->a, workspace.data);
    const int64_t    calls  = fault->calls;
    fault->at               = -1;
    protect_inputs(c, 0);
    if (status != FIL_OK) check_fail("run: %s", fil_ctx_error(ctx)->message);
    if (calls != 0) check_fail("run asked for memory %lld times", (long long)calls);
    if (!check_buffer_intact(&workspace))
        check_fail("run wrote outside the %zu bytes of workspace it had asked for",
                   workspace.bytes);
    if (!check_buffer_intact(&c->out.buffer)) check_fail("run wrote around out");
    if (c->a.lse != NULL && !check_buffer_intact(&c->lse)) check_fail("run wrote around lse");
    check_written(c);
    check_buffer_free(&workspace);
}

unsigned char *attn_result(const attn_case *c, size_t *bytes)
{
    const size_t row = (size_t)(c->shape.head_dim * element_bytes(c));
    const size_t lse = c->a.lse != NULL ? c->lse.bytes : 0;
    *bytes           = row * (size_t)(c->out.n * c->out.heads) + lse;
    unsigned char *r = malloc(*bytes);
    unsigned char *p = r;
    assert_non_null(r);
    for (int64_t i = 0; i < c->out.n; i++)
        for (int32_t h = 0; h < c->out.heads; h++, p += row)
            memcpy(p, row_of(c, &c->out, i, h), row);
    if (lse > 0) memcpy(p, c->lse.data, lse);
    return r;
}

/* ---- comparing ------------------------------------------------------------------------------ */

typedef struct kept {
    int64_t keys;
    double  kappa;
} kept;

static void add_kept(const attn_case *c, const double *q, const filk_attn_view *view, int64_t token,
                     int32_t h, kept *k)
{
    const int32_t kv  = h / (c->p.heads / c->p.kv_heads);
    const int64_t at  = token * view->stride_n + kv * view->stride_h;
    double        sum = 0.0;
    double        key[MAX_D];
    check_load_row(c->p.dtype, view->data, at, c->p.head_dim, key);
    for (int32_t d = 0; d < c->p.head_dim; d++)
        sum += fabs(q[d] * key[d]);
    k->keys++;
    if (isfinite(sum) && sum > k->kappa) k->kappa = sum;
}

/* A second enumeration of the kept keys, independent of the oracle's; sinks may count twice. */
static kept measure_row(const attn_case *c, int64_t i, int32_t h)
{
    const int32_t bq = attn_block_of(c->p.q_offset, c->p.mq, i);
    const int32_t kv = h / (c->p.heads / c->p.kv_heads);
    kept          k  = {.keys = 0};
    double        q[MAX_D];
    check_load_row(c->p.dtype, c->a.q.data, i * c->a.q.stride_n + h * c->a.q.stride_h,
                   c->p.head_dim, q);
    for (int32_t b = 0; b < c->p.mk; b++) {
        const int whole = attn_keeps(c, h, bq, b);
        for (int32_t t = c->p.k_offset[b]; whole && t < c->p.k_offset[b + 1]; t++)
            add_kept(c, q, &c->a.k, t, h, &k);
        if (!whole && c->a.tail_k.data != NULL &&
            c->a.tail_count[kv * c->a.tail_count_stride_h + b] > 0)
            add_kept(c, q, &c->a.tail_k, b, h, &k);
    }
    for (int32_t s = 0; c->a.sinks != NULL && s < c->a.n_sinks; s++)
        add_kept(c, q, &c->a.k, c->a.sinks[kv * c->a.sinks_stride_h + s], h, &k);
    k.kappa *= (double)c->a.scale;
    return k;
}

static double eps_of_sums(const filk_row *row)
{
    return row->isa == FILI_ISA_REF ? 0x1p-53 : 0x1p-24;
}

double attn_out_tolerance(const filk_row *row, const attn_case *c, int64_t keys, double cond,
                          double kappa)
{
    const double u     = check_eps(c->p.dtype);
    const double e     = eps_of_sums(row);
    const double D     = c->p.head_dim;
    const double logit = fmin(2.0 * D * e * kappa, 0x1p-6);
    return (2.0 * u + 8.0 * e * ((double)keys + D) + logit) * cond + 0x1p-125;
}

double attn_cosine(fil_dtype dtype)
{
    return dtype == FIL_BF16 ? 1e-5 : 1e-10;
}

static void compare_row(const filk_row *row, const attn_case *c, const attn_case *truth, int64_t i,
                        int32_t h, check_report *out, check_report *lse)
{
    const kept k = measure_row(truth, i, h);
    double     want[MAX_D];
    double     cond[MAX_D];
    double     want_lse;
    filk_attn_oracle_row(&truth->p, &truth->a, i, h, want, cond, &want_lse);
    for (int32_t d = 0; d < c->p.head_dim; d++) {
        const double w = isfinite(want[d]) ? want[d] : check_round(c->p.dtype, want[d]);
        check_value(out, i, h, d, attn_get(c, &c->out, i, h, d), w,
                    attn_out_tolerance(row, c, k.keys, cond[d], k.kappa));
    }
    if (c->a.lse == NULL) return;
    const double tolerance =
        1e-5 * (1.0 + fabs(want_lse)) + c->p.head_dim * eps_of_sums(row) * k.kappa;
    check_value(lse, h, i, 0, (double)c->a.lse[h * c->p.nq + i], want_lse, tolerance);
}

void attn_compare(const filk_row *row, const attn_case *c, const attn_case *truth, int64_t rows,
                  double cosine, attn_worst *worst)
{
    const int64_t all = c->p.nq * c->p.heads;
    check_report  out = {.what = "out"};
    check_report  lse = {.what = "lse"};
    check_rng     rng = {.seed = c->shape.seed, .stream = 2};
    if (rows == 0 || rows > all) rows = all;
    for (int64_t r = 0; r < rows; r++) {
        int64_t at = r;
        if (rows < all && r > 0) at = r == 1 ? all - 1 : check_between(&rng, 0, all - 1);
        compare_row(row, c, truth, at / c->p.heads, (int32_t)(at % c->p.heads), &out, &lse);
    }
    check_report_verdict(&out, cosine);
    check_report_verdict(&lse, 2.0);
    if (worst == NULL) return;
    const double distance = check_cosine_distance(&out);
    if (out.worst > worst->out) worst->out = out.worst;
    if (lse.worst > worst->lse) worst->lse = lse.worst;
    if (distance > worst->cosine) worst->cosine = distance;
}

void attn_check(const filk_row *row, attn_case *c, int64_t rows, double cosine, attn_worst *worst)
{
    attn_run(row, c, 2);
    attn_compare(row, c, c, rows, cosine, worst);
}
