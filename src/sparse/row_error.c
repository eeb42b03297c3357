/* sparse/row_error.c: output errors of two masks on sampled rows (sparse/row_error.h). */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/pool.h"
#include "base/rng.h"
#include "sparse/row_error.h"
#include "tensor/convert.h"

enum {
    ROWS    = 16, /* of a task: each block of keys is read once for all of them */
    DIM     = 128,
    BLOCK   = FILI_BLOCK_TOKENS,
    CLASSES = 4, /* in neither mask, in mask 0, in mask 1, in both */
    LANES   = 16
};

typedef struct row_state {
    float   q[DIM]; /* scaled */
    float   max;
    float   sum[CLASSES];
    float   out[CLASSES][DIM];
    int32_t block; /* the query's */
} row_state;

typedef struct scratch {
    float     k[DIM][BLOCK]; /* transposed, so that a dot product runs over keys */
    float     v[BLOCK][DIM];
    float     line[DIM];
    row_state row[ROWS];
} scratch;

typedef struct job {
    const fili_row_error_args *args;
    const fili_convert_set    *convert;
    scratch                   *scratch; /* [threads] */
    double                    *part;    /* [tasks, 2] */
    int64_t                    groups;  /* of rows */
} job;

/* ---- reading -------------------------------------------------------------------------------- */

static void load(const job *j, filk_attn_view x, int64_t token, int64_t head, float *to)
{
    const size_t         size = j->args->dtype == FIL_BF16 ? 2 : 4;
    const unsigned char *from =
        (const unsigned char *)x.data + (token * x.stride_n + head * x.stride_h) * (int64_t)size;
    fili_convert_row(j->convert, FIL_F32, to, j->args->dtype, from, (size_t)j->args->head_dim);
}

static void load_block(const job *j, scratch *s, int32_t b, int64_t head)
{
    const fili_row_error_args *a     = j->args;
    const int32_t              valid = fili_blocks_valid(a->blocks, b);
    for (int32_t i = 0; i < valid; i++) {
        load(j, a->k, a->blocks->offset[b] + i, head, s->line);
        for (int32_t d = 0; d < a->head_dim; d++)
            s->k[d][i] = s->line[d];
        load(j, a->v, a->blocks->offset[b] + i, head, s->v[i]);
    }
}

/* The block that a token lies in. */
static int32_t block_of(const fili_blocks *blocks, int32_t token)
{
    int32_t low  = 0;
    int32_t high = blocks->m;
    while (high - low > 1) {
        const int32_t middle = low + (high - low) / 2;
        if (blocks->offset[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void load_rows(const job *j, scratch *s, fili_range rows, int64_t head)
{
    const fili_row_error_args *a = j->args;
    for (int64_t r = rows.begin; r < rows.end; r++) {
        row_state *row = &s->row[r - rows.begin];
        *row           = (row_state){.max = -INFINITY, .block = block_of(a->blocks, a->rows[r])};
        load(j, a->q, a->rows[r], head, row->q);
        for (int32_t d = 0; d < a->head_dim; d++)
            row->q[d] *= a->scale;
    }
}

/* ---- one row and one block ------------------------------------------------------------------ */

/* logit[BLOCK], whatever stands behind the valid keys included; returns the largest valid one. */
static float logits(const scratch *s, const float *q, int32_t dim, int32_t valid, float *logit)
{
    float max = -INFINITY;
    for (int32_t first = 0; first < BLOCK; first += LANES) {
        float sum[LANES] = {0.0f};
        for (int32_t d = 0; d < dim; d++)
            for (int32_t i = 0; i < LANES; i++)
                sum[i] += q[d] * s->k[d][first + i];
        memcpy(logit + first, sum, sizeof sum);
    }
    for (int32_t i = 0; i < valid; i++)
        if (!(logit[i] <= max)) max = logit[i]; /* NaN where nothing else is there */
    return max;
}

static void rescale(row_state *row, float max)
{
    const float factor = expf(row->max - max);
    for (int32_t c = 0; c < CLASSES; c++) {
        row->sum[c] *= factor;
        for (int32_t d = 0; d < DIM; d++)
            row->out[c][d] *= factor;
    }
    row->max = max;
}

static void add_block(const scratch *s, row_state *row, int32_t class, int32_t dim, int32_t valid)
{
    float       logit[BLOCK];
    float      *out = row->out[class];
    const float max = logits(s, row->q, dim, valid, logit);
    if (max == -INFINITY) return;
    if (!(max <= row->max)) rescale(row, max);
    for (int32_t i = 0; i < valid; i++) {
        const float p = expf(logit[i] - row->max);
        row->sum[class] += p;
        for (int32_t first = 0; first < dim; first += LANES)
            for (int32_t d = 0; d < LANES; d++)
                out[first + d] += p * s->v[i][first + d];
    }
}

/* ---- errors --------------------------------------------------------------------------------- */

/* Output of the classes that have one of the bits of `in`. */
static double output(const row_state *row, int32_t in, int32_t d)
{
    double sum = 0.0;
    double out = 0.0;
    for (int32_t c = 0; c < CLASSES; c++)
        if (in == 0 || (c & in) != 0) {
            sum += (double)row->sum[c];
            out += (double)row->out[c][d];
        }
    return sum == 0.0 ? 0.0 : out / sum;
}

static double row_error(const row_state *row, int32_t mask, int32_t dim)
{
    double error = 0.0;
    for (int32_t d = 0; d < dim; d++) {
        const double off = output(row, 1 << mask, d) - output(row, 0, d);
        error += off * off;
    }
    return error;
}

static int32_t has(const fili_mask *mask, int32_t head, int32_t q, int32_t k)
{
    return (int32_t)(fili_mask_row(mask, head, q)[k / 32] >> (k % 32) & 1u);
}

/* Task: a head and a group of rows. */
static fil_status run_task(void *arg, int64_t task, int32_t worker)
{
    const job                 *j    = arg;
    const fili_row_error_args *a    = j->args;
    scratch                   *s    = &j->scratch[worker];
    const int32_t              head = (int32_t)(task / j->groups);
    const fili_range           rows = fili_task_range(a->n_rows, ROWS, task % j->groups);
    memset(s, 0, sizeof *s);
    load_rows(j, s, rows, head);
    for (int32_t b = 0; b < a->blocks->m; b++) {
        load_block(j, s, b, head);
        for (int32_t r = 0; r < rows.end - rows.begin; r++) {
            const int32_t u     = s->row[r].block;
            const int32_t class = has(a->mask[0], head, u, b) + 2 * has(a->mask[1], head, u, b);
            add_block(s, &s->row[r], class, a->head_dim, fili_blocks_valid(a->blocks, b));
        }
    }
    for (int32_t i = 0; i < 2; i++) {
        j->part[2 * task + i] = 0.0;
        for (int32_t r = 0; r < rows.end - rows.begin; r++)
            j->part[2 * task + i] += row_error(&s->row[r], i, a->head_dim);
    }
    return FIL_OK;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int64_t task_count(int32_t heads, int32_t n_rows)
{
    return (int64_t)heads * fili_task_count(n_rows, ROWS);
}

size_t fili_row_error_workspace(int32_t n_threads, int32_t heads, int32_t n_rows)
{
    size_t bytes;
    size_t parts;
    if (!fili_mul_size((size_t)n_threads, sizeof(scratch), &bytes) ||
        !fili_mul_size((size_t)task_count(heads, n_rows), 2 * sizeof(double), &parts) ||
        !fili_add_size(bytes, parts, &bytes))
        return SIZE_MAX;
    return bytes;
}

fil_status fili_row_error(fil_ctx *ctx, const fili_row_error_args *args, void *workspace,
                          double *error)
{
    const int64_t tasks = task_count(args->heads, args->n_rows);
    job           j     = {.args    = args,
                           .convert = fili_convert_select(ctx->isa),
                           .part    = workspace,
                           .scratch = (scratch *)((double *)workspace + 2 * tasks),
                           .groups  = fili_task_count(args->n_rows, ROWS)};
    FIL_TRY(fili_pool_run(ctx, "errors of rows", tasks, run_task, &j));
    for (int32_t h = 0; h < args->heads; h++)
        for (int32_t i = 0; i < 2; i++) {
            double sum = 0.0;
            for (int64_t g = 0; g < j.groups; g++)
                sum += j.part[2 * (h * j.groups + g) + i];
            error[i * args->heads + h] = sum;
        }
    return FIL_OK;
}

void fili_sample_rows(int32_t n_tokens, int32_t n, uint64_t stream, int32_t *rows)
{
    for (int32_t i = 0; i < n; i++) {
        const int64_t  first = (int64_t)i * n_tokens / n;
        const int64_t  end   = ((int64_t)i + 1) * n_tokens / n;
        const uint64_t draw  = fili_philox_u32(0, stream, (uint64_t)i);
        rows[i]              = (int32_t)(first + (int64_t)(draw * (uint64_t)(end - first) >> 32));
    }
}
