/* tests/kernel/attn_fixtures.c: parity with results that other code computed in float64, found
 * through FIL_FIXTURES (skipped without): attention/ (given masks, outputs and lse in full) and
 * methods/ (a video-like case in raster order: dense lse, and dense, sparse and tail outputs of
 * sampled rows). Tolerances are those of the fixtures' own notes. The scalar row computes the
 * sampled rows only, each as a query block of one token.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/file.h"
#include "kernel/attn_tests.h"

/* ---- files ---------------------------------------------------------------------------------- */

static fil_file *open_fixture(const char *name)
{
    char        path[512];
    const char *folder = getenv("FIL_FIXTURES");
    fil_file   *file   = NULL;
    if (folder == NULL || folder[0] == '\0') check_skip();
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (fil_file_open(attn_ctx(1), path, 0, &file) != FIL_OK)
        check_fail("%s: %s", name, fil_ctx_error(attn_ctx(1))->message);
    return file;
}

/* The tensor's bytes; *info says the rest. Free with free(). */
static void *load(fil_file *file, const char *name, fil_tensor_info *info)
{
    const int64_t i = fil_file_find(file, name);
    if (i < 0) check_fail("the fixture has no tensor %s", name);
    fil_file_tensor(file, (size_t)i, info);
    void *data = malloc((size_t)info->bytes + 1);
    assert_non_null(data);
    if (fil_file_read(file, (size_t)i, 0, data, info->bytes) != FIL_OK)
        check_fail("%s: %s", name, fil_ctx_error(attn_ctx(1))->message);
    return data;
}

static double step_of(const fil_file *file, const char *name)
{
    char        key_name[16];
    const char *key;
    const char *value;
    snprintf(key_name, sizeof key_name, "%s_step", name);
    for (size_t i = 0; i < fil_file_metadata_pairs(file); i++) {
        fil_file_metadata(file, i, &key, &value);
        if (strcmp(key, key_name) == 0) return strtod(value, NULL);
    }
    check_fail("the fixture has no %s", key_name);
}

/* [N,H,D] of BF16, or of I8 times a step, as `dtype`. */
static void *load_as(fil_file *file, const char *name, fil_dtype dtype, fil_tensor_info *info)
{
    unsigned char *raw  = load(file, name, info);
    const int64_t  n    = info->shape[0] * info->shape[1] * info->shape[2];
    const double   step = info->dtype == FIL_I8 ? step_of(file, name) : 1.0;
    void          *out  = malloc((size_t)n * 4);
    assert_non_null(out);
    for (int64_t i = 0; i < n; i++) {
        const double x =
            info->dtype == FIL_I8 ? (double)(int8_t)raw[i] * step : check_load(info->dtype, raw, i);
        check_store(dtype, out, i, x);
    }
    free(raw);
    return out;
}

/* ---- comparison: relative L2, and absolute for lse ------------------------------------------ */

typedef struct distance {
    double error2, want2;
} distance;

static void add(distance *d, double got, double want)
{
    if (!check_same_class(got, want)) d->error2 = (double)NAN;
    d->error2 += (got - want) * (got - want);
    d->want2 += want * want;
}

static void check_rel_l2(const char *what, distance d, double limit)
{
    const double rel = sqrt(d.error2 / d.want2);
    if (!(rel <= limit))
        check_fail("%s: relative L2 %.3g, expected at most %.3g", what, rel, limit);
}

static double out_limit(fil_dtype dtype)
{
    return dtype == FIL_BF16 ? 1e-2 : 1e-5;
}

/* Products of bf16 are exact in f32: 1e-5 for both types, relative where lse is above 1. */
static double lse_limit(double want)
{
    return isfinite(want) ? 1e-5 * (1.0 + fabs(want)) : 0.0;
}

static void run(const filk_row *row, const filk_attn_problem *p, const filk_attn_args *a)
{
    check_buffer workspace;
    check_buffer_make(&workspace, row->workspace(p, 2), 64, 0);
    const fil_status status = row->run(attn_ctx(2), p, a, workspace.data);
    if (status != FIL_OK) check_fail("run: %s", fil_ctx_error(attn_ctx(2))->message);
    if (!check_buffer_intact(&workspace)) check_fail("run wrote outside its workspace");
    check_buffer_free(&workspace);
}

/* ---- attention/ ----------------------------------------------------------------------------- */

static uint32_t *pack_mask(const unsigned char *bits, int64_t rows, int64_t mk)
{
    const int64_t words = (mk + 31) / 32;
    uint32_t     *mask  = calloc((size_t)(rows * words), sizeof *mask);
    assert_non_null(mask);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t b = 0; b < mk; b++)
            if (bits[r * mk + b] != 0) mask[r * words + b / 32] |= 1u << (b % 32);
    return mask;
}

static filk_attn_view packed_view(const void *data, const fil_tensor_info *info)
{
    return (filk_attn_view){
        .data = data, .stride_n = info->shape[1] * info->shape[2], .stride_h = info->shape[2]};
}

static void check_in_full(fil_file *file, const filk_attn_problem *p, const filk_attn_args *a)
{
    fil_tensor_info info;
    float          *out  = load(file, "out", &info);
    float          *lse  = load(file, "lse", &info);
    check_report    logs = {.what = "lse"};
    distance        d    = {.error2 = 0.0};
    for (int64_t i = 0; i < p->nq * p->heads * p->head_dim; i++)
        add(&d, check_load(p->dtype, a->out, i), (double)out[i]);
    for (int64_t i = 0; i < p->nq * p->heads; i++)
        check_value(&logs, i / p->nq, i % p->nq, 0, (double)a->lse[i], (double)lse[i],
                    lse_limit((double)lse[i]));
    check_rel_l2("out", d, out_limit(p->dtype));
    check_report_verdict(&logs, 2.0);
    free(out);
    free(lse);
}

static void check_given_mask(const filk_row *row, const char *name, fil_dtype dtype)
{
    fil_tensor_info         qi;
    fil_tensor_info         ki;
    fil_tensor_info         mi;
    fil_tensor_info         oi;
    fil_file               *file = open_fixture(name);
    void                   *q    = load_as(file, "q", dtype, &qi);
    void                   *k    = load_as(file, "k", dtype, &ki);
    void                   *v    = load_as(file, "v", dtype, &ki);
    unsigned char          *bits = load(file, "mask", &mi);
    int32_t                *qo   = load(file, "q_offsets", &oi);
    int32_t                *ko   = load(file, "k_offsets", &oi);
    uint32_t               *mask = pack_mask(bits, mi.shape[0] * mi.shape[1], mi.shape[2]);
    void                   *out  = calloc((size_t)(qi.shape[0] * qi.shape[1] * qi.shape[2]), 4);
    float                  *lse  = calloc((size_t)(qi.shape[0] * qi.shape[1]), 4);
    const filk_attn_problem p    = {.nq       = qi.shape[0],
                                    .nk       = ki.shape[0],
                                    .heads    = (int32_t)qi.shape[1],
                                    .kv_heads = (int32_t)ki.shape[1],
                                    .head_dim = (int32_t)qi.shape[2],
                                    .dtype    = dtype,
                                    .mq       = (int32_t)mi.shape[1],
                                    .mk       = (int32_t)mi.shape[2],
                                    .q_offset = qo,
                                    .k_offset = ko};
    const filk_attn_view    to   = packed_view(out, &qi);
    const filk_attn_args    a    = {.q             = packed_view(q, &qi),
                                    .k             = packed_view(k, &ki),
                                    .v             = packed_view(v, &ki),
                                    .out           = out,
                                    .out_stride_n  = to.stride_n,
                                    .out_stride_h  = to.stride_h,
                                    .lse           = lse,
                                    .mask          = mask,
                                    .mask_stride_h = p.mq * ((p.mk + 31) / 32),
                                    .scale         = (float)(1.0 / sqrt((double)p.head_dim))};
    if (row->refuse(&p) == NULL) {
        run(row, &p, &a);
        check_in_full(file, &p, &a);
    }
    void *all[] = {q, k, v, bits, qo, ko, mask, out, lse};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    fil_file_close(&file);
}

static void outputs_and_lse_of_attention_fixtures(const filk_row *row)
{
    static const char *const names[] = {
        "attention/d128_cross_ragged.safetensors", "attention/d128_runs64.safetensors",
        "attention/d64_cross_runs64.safetensors", "attention/d64_ragged.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        check_given_mask(row, names[i], FIL_BF16);
        check_given_mask(row, names[i], FIL_F32);
    }
}

/* ---- methods/ ------------------------------------------------------------------------------- */

typedef struct method {
    fil_file *file;
    fil_dtype dtype;
    int64_t   n, n_rows, words;
    int32_t   heads, D, m;
    char     *q, *k, *v;                             /* [N,H,D] in the order hilbert_xyz */
    char     *mean_k, *mean_v;                       /* [M,H,D] */
    int32_t  *order, *offset, *rows, *place, *count; /* place: position of a raster token */
    uint32_t *mask;                                  /* [H,M,words] */
    /* The queries of a run: all tokens in order, or the sampled rows alone. */
    int       sampled;
    int64_t   nq;
    int32_t   mq;
    char     *query;
    int32_t  *q_offset;
    uint32_t *q_mask;
    char     *out;
    float    *lse;
} method;

static int64_t element(const method *m)
{
    return m->dtype == FIL_BF16 ? 2 : 4;
}

static char *load_in_order(method *m, const char *name)
{
    fil_tensor_info info;
    char           *raster = load_as(m->file, name, m->dtype, &info);
    const size_t    row    = (size_t)(info.shape[1] * info.shape[2] * element(m));
    char           *out    = malloc(row * (size_t)info.shape[0]);
    assert_non_null(out);
    m->n     = info.shape[0];
    m->heads = (int32_t)info.shape[1];
    m->D     = (int32_t)info.shape[2];
    for (int64_t i = 0; i < m->n; i++)
        memcpy(out + (size_t)i * row, raster + (size_t)m->order[i] * row, row);
    free(raster);
    return out;
}

static char *mean_of_blocks(const method *m, const char *tokens)
{
    const int64_t width = (int64_t)m->heads * m->D;
    char         *out   = malloc((size_t)(m->m * width * element(m)));
    assert_non_null(out);
    for (int32_t b = 0; b < m->m; b++)
        for (int64_t x = 0; x < width; x++) {
            double sum = 0.0;
            for (int32_t t = m->offset[b]; t < m->offset[b + 1]; t++)
                sum += check_load(m->dtype, tokens, t * width + x);
            check_store(m->dtype, out, b * width + x, sum / m->count[b]);
        }
    return out;
}

static void open_method(method *m, const char *name, fil_dtype dtype)
{
    fil_tensor_info info;
    *m        = (method){.file = open_fixture(name), .dtype = dtype};
    m->order  = load(m->file, "order_hilbert_xyz", &info);
    m->offset = load(m->file, "offset_hilbert_xyz", &info);
    m->m      = (int32_t)info.shape[0] - 1;
    m->mask   = load(m->file, "dfs64_mask_20", &info);
    m->words  = info.shape[2];
    m->rows   = load(m->file, "rows", &info);
    m->n_rows = info.shape[0];
    m->q      = load_in_order(m, "q");
    m->k      = load_in_order(m, "k");
    m->v      = load_in_order(m, "v");
    m->place  = malloc(4 * (size_t)m->n);
    m->count  = malloc(4 * (size_t)m->m);
    assert_non_null(m->place);
    assert_non_null(m->count);
    for (int32_t i = 0; i < m->n; i++)
        m->place[m->order[i]] = i;
    for (int32_t b = 0; b < m->m; b++)
        m->count[b] = m->offset[b + 1] - m->offset[b];
    m->mean_k = mean_of_blocks(m, m->k);
    m->mean_v = mean_of_blocks(m, m->v);
}

static void *copy(const void *from, size_t bytes)
{
    void *to = malloc(bytes);
    assert_non_null(to);
    memcpy(to, from, bytes);
    return to;
}

static void take_queries(method *m, int sampled)
{
    const size_t row = (size_t)(m->heads * m->D * element(m));
    m->sampled       = sampled;
    m->nq            = sampled ? m->n_rows : m->n;
    m->mq            = sampled ? (int32_t)m->n_rows : m->m;
    m->out           = calloc((size_t)m->nq, row);
    m->lse           = calloc((size_t)(m->nq * m->heads), 4);
    if (!sampled) {
        m->query    = copy(m->q, row * (size_t)m->n);
        m->q_offset = copy(m->offset, 4 * (size_t)(m->m + 1));
        m->q_mask   = copy(m->mask, 4 * (size_t)(m->heads * m->m * m->words));
        return;
    }
    m->query    = calloc((size_t)m->nq, row);
    m->q_offset = calloc((size_t)m->nq + 1, 4);
    m->q_mask   = calloc((size_t)(m->heads * m->nq * m->words), 4);
    for (int32_t r = 0; r < m->nq; r++) {
        const int32_t at   = m->place[m->rows[r]];
        const int     b    = attn_block_of(m->offset, m->m, at);
        m->q_offset[r + 1] = r + 1;
        memcpy(m->query + (size_t)r * row, m->q + (size_t)at * row, row);
        for (int32_t h = 0; h < m->heads; h++)
            memcpy(m->q_mask + (h * m->nq + r) * m->words, m->mask + (h * m->m + b) * m->words,
                   4 * (size_t)m->words);
    }
}

static void close_method(method *m)
{
    void *all[] = {m->q,        m->k,      m->v,     m->mean_k, m->mean_v, m->order,
                   m->offset,   m->rows,   m->place, m->count,  m->mask,   m->query,
                   m->q_offset, m->q_mask, m->out,   m->lse};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    fil_file_close(&m->file);
}

static void run_method(const filk_row *row, const method *m, int masked, int tail)
{
    const int64_t           n = (int64_t)m->heads * m->D;
    const filk_attn_problem p = {.nq       = m->nq,
                                 .nk       = m->n,
                                 .heads    = m->heads,
                                 .kv_heads = m->heads,
                                 .head_dim = m->D,
                                 .dtype    = m->dtype,
                                 .mq       = m->mq,
                                 .mk       = m->m,
                                 .q_offset = m->q_offset,
                                 .k_offset = m->offset,
                                 .has_tail = tail};
    filk_attn_args          a = {.q             = {m->query, n, m->D},
                                 .k             = {m->k, n, m->D},
                                 .v             = {m->v, n, m->D},
                                 .out           = m->out,
                                 .out_stride_n  = n,
                                 .out_stride_h  = m->D,
                                 .lse           = m->lse,
                                 .mask          = masked ? m->q_mask : NULL,
                                 .mask_stride_h = m->mq * m->words,
                                 .scale         = (float)(1.0 / sqrt((double)m->D))};
    if (tail) {
        a.tail_k     = (filk_attn_view){m->mean_k, n, m->D};
        a.tail_v     = (filk_attn_view){m->mean_v, n, m->D};
        a.tail_count = m->count;
    }
    run(row, &p, &a);
}

/* rows and lse of the sampled tokens; the tail's pooled keys are rounded to the type first, which
 * moves a logit of them by 2^-9 of its size. */
static void check_rows(const method *m, const char *out_name, const char *lse_name, double lse_tol)
{
    fil_tensor_info info;
    float          *out  = load(m->file, out_name, &info);
    float          *want = load(m->file, lse_name, &info);
    check_report    logs = {.what = lse_name};
    distance        d    = {.error2 = 0.0};
    const int64_t   row  = (int64_t)m->heads * m->D;
    const int       full = info.shape[1] == m->n; /* lse of every raster token */
    for (int64_t r = 0; r < m->n_rows; r++) {
        const int64_t at = m->sampled ? r : m->place[m->rows[r]];
        for (int64_t x = 0; x < row; x++)
            add(&d, check_load(m->dtype, m->out, at * row + x), (double)out[r * row + x]);
        for (int32_t h = 0; h < m->heads; h++) {
            const int64_t w = h * info.shape[1] + (full ? m->rows[r] : r);
            check_value(&logs, h, r, 0, (double)m->lse[h * m->nq + at], (double)want[w],
                        lse_tol * (1.0 + fabs((double)want[w])));
        }
    }
    check_rel_l2(out_name, d, out_limit(m->dtype));
    check_report_verdict(&logs, 2.0);
    free(out);
    free(want);
}

/* lse of every token, not only of the sampled ones. */
static void check_dense_lse(const method *m)
{
    fil_tensor_info info;
    check_report    logs = {.what = "lse"};
    float          *want = load(m->file, "lse", &info);
    for (int32_t h = 0; h < m->heads && !m->sampled; h++)
        for (int64_t t = 0; t < m->n; t++) {
            const double w = (double)want[h * m->n + t];
            check_value(&logs, h, t, 0, (double)m->lse[h * m->n + m->place[t]], w, lse_limit(w));
        }
    check_report_verdict(&logs, 2.0);
    free(want);
}

static void check_method(const filk_row *row, const char *name, fil_dtype dtype)
{
    method                  m;
    const filk_attn_problem p = {.dtype = dtype, .head_dim = 64};
    if (row->refuse(&p) != NULL) return;
    open_method(&m, name, dtype);
    take_queries(&m, row->isa == FILI_ISA_REF || check_is_sanitized());
    run_method(row, &m, 0, 0);
    check_rows(&m, "out_dense_rows", "lse", 1e-5);
    check_dense_lse(&m);
    run_method(row, &m, 1, 0);
    check_rows(&m, "out_sparse_rows", "lse_sparse_rows", 1e-5);
    run_method(row, &m, 1, 1);
    check_rows(&m, "out_tail_rows", "lse_tail_rows", dtype == FIL_BF16 ? 1e-3 : 1e-5);
    close_method(&m);
}

static void rows_of_method_fixture_a(const filk_row *row)
{
    check_method(row, "methods/attention_a.safetensors", FIL_BF16);
    check_method(row, "methods/attention_a.safetensors", FIL_F32);
}

static void rows_of_method_fixture_b(const filk_row *row)
{
    check_method(row, "methods/attention_b.safetensors", FIL_BF16);
    check_method(row, "methods/attention_b.safetensors", FIL_F32);
}

const check_test attn_fixture_tests[] = {ATTN_TEST(outputs_and_lse_of_attention_fixtures),
                                         ATTN_TEST(rows_of_method_fixture_a),
                                         ATTN_TEST(rows_of_method_fixture_b),
                                         {NULL, NULL}};
