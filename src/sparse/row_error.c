/* sparse/row_error.c: output errors of two masks on sampled rows (sparse/row_error.h). */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/pool.h"
#include "base/rng.h"
#include "sparse/row_error.h"
#include "tensor/convert.h"

enum {
    ROWS    = 64, /* of a task: each block of keys is read once for all of them */
    DIM     = 128,
    BLOCK   = FILI_BLOCK_TOKENS,
    CLASSES = 4 /* in neither mask, in mask 0, in mask 1, in both */
};

/* Four floats of an array. */
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

typedef struct row_state {
    float   q[DIM]; /* scaled */
    float   max;
    float   sum[CLASSES];
    float   out[CLASSES][DIM];
    int32_t block; /* the query's */
    int32_t class; /* of the block in work */
} row_state;

typedef struct scratch {
    float     k[DIM][BLOCK]; /* transposed, so that a dot product runs over keys */
    float     v[BLOCK][DIM];
    float     p[ROWS][BLOCK]; /* logits, then their exponentials */
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

static void load_rows(const job *j, scratch *s, fili_range rows, int64_t head)
{
    const fili_row_error_args *a = j->args;
    for (int64_t r = rows.begin; r < rows.end; r++) {
        row_state *row = &s->row[r - rows.begin];
        *row = (row_state){.max = -INFINITY, .block = fili_blocks_find(a->blocks, a->rows[r])};
        load(j, a->q, a->rows[r], head, row->q);
        for (int32_t d = 0; d < a->head_dim; d++)
            row->q[d] *= a->scale;
    }
}

/* ---- one block, all rows -------------------------------------------------------------------- */

static four splat(float x)
{
    return (four){x, x, x, x};
}

/* p[r .. r + 3][first .. first + 7] = logits; what stands behind the valid keys included. */
static void logits(scratch *s, int32_t r, int32_t first, int32_t dim)
{
    const row_state *row = &s->row[r];
    four             a[4];
    four             b[4];
    for (int32_t i = 0; i < 4; i++)
        a[i] = b[i] = splat(0.0f);
    for (int32_t d = 0; d < dim; d++) {
        const four *k  = (const four *)&s->k[d][first];
        const four  q0 = splat(row[0].q[d]);
        const four  q1 = splat(row[1].q[d]);
        const four  q2 = splat(row[2].q[d]);
        const four  q3 = splat(row[3].q[d]);
        a[0] += q0 * k[0];
        b[0] += q0 * k[1];
        a[1] += q1 * k[0];
        b[1] += q1 * k[1];
        a[2] += q2 * k[0];
        b[2] += q2 * k[1];
        a[3] += q3 * k[0];
        b[3] += q3 * k[1];
    }
    for (int32_t i = 0; i < 4; i++) {
        *(four *)&s->p[r + i][first]     = a[i];
        *(four *)&s->p[r + i][first + 4] = b[i];
    }
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

/* Logits become exponentials; 0 behind the valid keys, and where all logits so far are -inf. */
static void exponentials(row_state *row, float *p, int32_t valid)
{
    float max = -INFINITY;
    for (int32_t i = 0; i < valid; i++)
        if (!(p[i] <= max)) max = p[i]; /* NaN where nothing else is there */
    if (!(max <= row->max)) rescale(row, max);
    for (int32_t i = 0; i < valid; i++) {
        p[i] = row->max == -INFINITY ? 0.0f : expf(p[i] - row->max);
        row->sum[row->class] += p[i];
    }
    for (int32_t i = valid; i < BLOCK; i++)
        p[i] = 0.0f;
}

/* out[d .. d + 15] of rows r and r + 1 += p v. */
static void add_values(scratch *s, int32_t r, int32_t d, int32_t valid)
{
    four        *to0 = (four *)&s->row[r].out[s->row[r].class][d];
    four        *to1 = (four *)&s->row[r + 1].out[s->row[r + 1].class][d];
    const float *p0  = s->p[r];
    const float *p1  = s->p[r + 1];
    four         a[4];
    four         b[4];
    for (int32_t i = 0; i < 4; i++) {
        a[i] = to0[i];
        b[i] = to1[i];
    }
    for (int32_t i = 0; i < valid; i++) {
        const four *v = (const four *)&s->v[i][d];
        const four  x = splat(p0[i]);
        const four  y = splat(p1[i]);
        a[0] += x * v[0];
        a[1] += x * v[1];
        a[2] += x * v[2];
        a[3] += x * v[3];
        b[0] += y * v[0];
        b[1] += y * v[1];
        b[2] += y * v[2];
        b[3] += y * v[3];
    }
    for (int32_t i = 0; i < 4; i++) {
        to0[i] = a[i];
        to1[i] = b[i];
    }
}

/* Rows in fours: those behind the last have q 0 and are not read again. */
static void add_block(scratch *s, int32_t rows, int32_t dim, int32_t valid)
{
    for (int32_t first = 0; first < valid; first += 8)
        for (int32_t r = 0; r < rows; r += 4)
            logits(s, r, first, dim);
    for (int32_t r = 0; r < rows; r++)
        exponentials(&s->row[r], s->p[r], valid);
    for (int32_t d = 0; d < dim; d += 16)
        for (int32_t r = 0; r < rows; r += 2)
            add_values(s, r, d, valid);
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
    const int32_t              n    = (int32_t)(rows.end - rows.begin);
    memset(s, 0, sizeof *s);
    load_rows(j, s, rows, head);
    for (int32_t b = 0; b < a->blocks->m; b++) {
        load_block(j, s, b, head);
        for (int32_t r = 0; r < n; r++) {
            row_state *row = &s->row[r];
            row->class =
                has(a->mask[0], head, row->block, b) + 2 * has(a->mask[1], head, row->block, b);
        }
        add_block(s, n, a->head_dim, fili_blocks_valid(a->blocks, b));
    }
    for (int32_t i = 0; i < 2; i++) {
        j->part[2 * task + i] = 0.0;
        for (int32_t r = 0; r < n; r++)
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
