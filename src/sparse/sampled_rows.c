/* sparse/sampled_rows.c: judging choices by a few exact rows (sparse/sampled_rows.h). */
#include <math.h>
#include <string.h>

#include "sparse/sampled_rows.h"
#include "tensor/convert.h"

enum { ROWS = FILK_SAMPLED, MAX_D = 128, LEVELS = FILI_PROFILE + 1 };

/* Sinks may take this share of a density. */
#define SINK_SHARE 0.5

#define TINY       1e-300

const int32_t fili_sink_counts[FILI_SINK_COUNTS] = {0, 16, 32, FILK_MAX_SINKS};

/* The factor that is right for the mass of a tail is not the one that leaves the least error: that
 * depends on how like the attended values are to the means. Where they are unlike, none is best,
 * and the least factor here is as good as none. 1 stands first: it is taken in doubt. */
static const double factors[] = {1,   0.001, 0.06, 0.12, 0.25, 0.35, 0.5, 0.7, 0.85, 1.2, 1.5, 2,
                                 2.5, 3,     4,    5,    6,    8,    10,  12,  16,   24,  32};

/* ---- life ----------------------------------------------------------------------------------- */

/* One row of each of 64 equal parts, at a place in it that no stride of the grid hits twice: the
 * multiples of the golden section. */
static void choose_rows(fili_sampled_plan *p)
{
    const int32_t n = fili_blocks_tokens(p->blocks);
    int32_t       b = 0;
    for (int32_t r = 0; r < ROWS; r++) {
        const double place = fmod(r * 0.6180339887498949 + 0.5, 1.0);
        const double at    = (r + place) * n / ROWS;
        p->token[r]        = at < n ? (int32_t)at : n - 1;
        while (p->blocks->offset[b + 1] <= p->token[r])
            b++;
        p->unit[r] = b;
    }
}

fil_status fili_sampled_plan_init(fili_sampled_plan *out, fil_ctx *ctx, fili_arena *arena,
                                  const fili_blocks *blocks, const int32_t *tiles, int32_t heads,
                                  int32_t head_dim, fil_dtype dtype)
{
    void *block;
    *out = (fili_sampled_plan){.ctx = ctx, .blocks = blocks, .tiles = tiles, .heads = heads};
    out->problem = (filk_sampled_problem){
        .head_dim = head_dim, .dtype = dtype, .m = blocks->m, .offset = blocks->offset};
    FIL_TRY(filk_select(ctx, &filk_sampled, &out->problem, NULL, &out->row));
    FIL_TRY(fili_arena_calloc(arena, (size_t)blocks->m, sizeof(int32_t), &block));
    out->valid = block;
    for (int32_t b = 0; b < blocks->m; b++)
        out->valid[b] = fili_blocks_valid(blocks, b);
    choose_rows(out);
    return FIL_OK;
}

static fil_status floats(fili_arena *arena, size_t rows, size_t columns, float **out)
{
    void *block;
    FIL_TRY(fili_arena_calloc(arena, rows, columns * sizeof(float), &block));
    *out = block;
    return FIL_OK;
}

fil_status fili_sampled_work_init(fili_sampled_work *out, fili_arena *arena,
                                  const fili_sampled_plan *plan)
{
    const size_t n = (size_t)fili_blocks_tokens(plan->blocks);
    const size_t m = (size_t)plan->blocks->m;
    const size_t D = (size_t)plan->problem.head_dim;
    void        *block;
    FIL_TRY(fili_block_rank_init(&out->rank, arena, plan->blocks->m));
    FIL_TRY(fili_arena_alloc(arena, plan->row->workspace(&plan->problem, 1), &out->workspace));
    FIL_TRY(floats(arena, n, ROWS, &out->share));
    FIL_TRY(floats(arena, m * ROWS, D, &out->part));
    FIL_TRY(floats(arena, m, ROWS, &out->mass));
    for (int i = 0; i < 2; i++) {
        FIL_TRY(floats(arena, m, D, &out->k[i]));
        FIL_TRY(floats(arena, m, D, &out->v[i]));
        FIL_TRY(fili_arena_calloc(arena, m, sizeof(int32_t), &block));
        out->count[i] = block;
    }
    for (int i = 0; i < 3; i++)
        FIL_TRY(floats(arena, n, 1, &out->left[i]));
    FIL_TRY(floats(arena, ROWS, D, &out->q));
    FIL_TRY(floats(arena, ROWS, D, &out->exact));
    FIL_TRY(floats(arena, ROWS, D, &out->sink_out));
    FIL_TRY(floats(arena, ROWS, 1, &out->sink_mass));
    FIL_TRY(floats(arena, ROWS, 1, &out->lse));
    return floats(arena, (size_t)LEVELS * 2 * ROWS, D + 1, &out->bin);
}

/* ---- one head at work ----------------------------------------------------------------------- */

typedef struct job {
    const fili_sampled_plan *p;
    const fili_sampled_call *c;
    fili_sampled_work       *w;
    fili_sampled_result     *out;
    int32_t                  head, D, m, n;
} job;

static void widen(const job *j, const filk_attn_view *x, int32_t token, float *to)
{
    const fil_dtype dtype = j->p->problem.dtype;
    const int64_t   at    = token * x->stride_n + j->head * x->stride_h;
    const size_t    size  = dtype == FIL_BF16 ? 2 : 4;
    fili_convert_row(fili_convert_select(j->p->ctx->isa), FIL_F32, to, dtype,
                     (const char *)x->data + at * (int64_t)size, (size_t)j->D);
}

static fil_status compute_rows(const job *j)
{
    const filk_sampled_args args = {.q     = j->c->q,
                                    .k     = j->c->k,
                                    .v     = j->c->v,
                                    .head  = j->head,
                                    .token = j->p->token,
                                    .scale = j->c->scale,
                                    .share = j->w->share,
                                    .part  = j->w->part,
                                    .lse   = j->w->lse};
    FIL_TRY(j->p->row->run(j->p->ctx, &j->p->problem, &args, j->w->workspace));
    for (int32_t r = 0; r < ROWS; r++)
        widen(j, &j->c->q, j->p->token[r], j->w->q + (int64_t)r * j->D);
    return FIL_OK;
}

static void begin_head(const job *j)
{
    fili_sampled_work *w = j->w;
    memset(w->exact, 0, sizeof(float) * (size_t)(ROWS * j->D));
    memset(w->sink_out, 0, sizeof(float) * (size_t)(ROWS * j->D));
    memset(w->sink_mass, 0, sizeof(float) * ROWS);
    memset(w->mass, 0, sizeof(float) * (size_t)j->m * ROWS);
    for (int32_t b = 0; b < j->m; b++) {
        const int64_t from = ((int64_t)b * j->p->heads + j->head) * j->D;
        const float  *part = w->part + (int64_t)b * ROWS * j->D;
        for (int32_t i = j->p->blocks->offset[b]; i < j->p->blocks->offset[b + 1]; i++)
            for (int32_t r = 0; r < ROWS; r++)
                w->mass[(int64_t)b * ROWS + r] += w->share[(int64_t)i * ROWS + r];
        for (int32_t i = 0; i < ROWS * j->D; i++)
            w->exact[i] += part[i];
        for (int i = 0; i < 2; i++) {
            memcpy(w->k[i] + (int64_t)b * j->D, j->c->mean_k + from, sizeof(float) * (size_t)j->D);
            memcpy(w->v[i] + (int64_t)b * j->D, j->c->mean_v + from, sizeof(float) * (size_t)j->D);
            w->count[i][b] = j->p->valid[b];
        }
    }
}

/* ---- sinks ---------------------------------------------------------------------------------- */

static void sum_left(const job *j)
{
    const fili_sampled_work *w = j->w;
    for (int32_t b = 0; b < j->m; b++) {
        float left_out[ROWS];
        for (int32_t r = 0; r < ROWS; r++)
            left_out[r] = w->rank.level[(int64_t)j->p->unit[r] * j->m + b] != 0 ? 1.0f : 0.0f;
        for (int32_t i = j->p->blocks->offset[b]; i < j->p->blocks->offset[b + 1]; i++) {
            const float *share  = w->share + (int64_t)i * ROWS;
            float        sum[2] = {0.0f, 0.0f};
            for (int32_t r = 0; r < ROWS; r += 2) {
                sum[0] += left_out[r + 1] * share[r + 1];
                sum[1] += left_out[r] * share[r];
            }
            w->left[0][i] = sum[0];
            w->left[1][i] = sum[1];
            w->left[2][i] = sum[0] + sum[1];
        }
    }
}

/* The largest, by falling mass, of equal ones the earlier first; returns how many are above 0. */
static int32_t rank_sinks(const job *j, const float *left, int32_t *sink)
{
    int32_t n = 0;
    for (int32_t i = 0; i < j->n; i++) {
        if (!(left[i] > 0.0f) || (n == FILK_MAX_SINKS && !(left[i] > left[sink[n - 1]]))) continue;
        int32_t at = n < FILK_MAX_SINKS ? n++ : n - 1;
        for (; at > 0 && left[sink[at - 1]] < left[i]; at--)
            sink[at] = sink[at - 1];
        sink[at] = i;
    }
    return n;
}

static void find_sinks(const job *j)
{
    const double half  = 0.5 * j->c->density * j->n * j->n;
    int32_t      found = FILK_MAX_SINKS;
    int32_t      n     = 1;
    fili_block_rank_levels(&j->w->rank, j->p->valid, j->p->valid, &half, 1);
    sum_left(j);
    for (int i = 0; i < 3; i++) {
        const int32_t of_these = rank_sinks(j, j->w->left[i], i < 2 ? j->w->sink[i] : j->out->sink);
        if (of_these < found) found = of_these;
    }
    while (n < FILI_SINK_COUNTS && fili_sink_counts[n] <= found &&
           fili_sink_counts[n] <= SINK_SHARE * j->c->density * j->n)
        n++;
    j->out->n_counts = n;
}

/* Takes a token out of a mean over `count`. */
static void take_out(float *mean, const float *x, int32_t count, int32_t D)
{
    for (int32_t d = 0; d < D; d++)
        mean[d] = count > 1 ? (mean[d] * (float)count - x[d]) / (float)(count - 1) : 0.0f;
}

/* Moves a token from its block to the sinks, for every second row. */
static void move_sink(const job *j, int32_t token, int odd)
{
    fili_sampled_work *w     = j->w;
    const int32_t      b     = fili_blocks_find(j->p->blocks, token);
    const float       *share = w->share + (int64_t)token * ROWS;
    float              x[MAX_D];
    widen(j, &j->c->k, token, x);
    take_out(w->k[odd] + (int64_t)b * j->D, x, w->count[odd][b], j->D);
    widen(j, &j->c->v, token, x);
    take_out(w->v[odd] + (int64_t)b * j->D, x, w->count[odd][b], j->D);
    w->count[odd][b]--;
    for (int32_t r = odd; r < ROWS; r += 2) {
        float *part = w->part + ((int64_t)b * ROWS + r) * j->D;
        float *out  = w->sink_out + (int64_t)r * j->D;
        w->mass[(int64_t)b * ROWS + r] -= share[r];
        w->sink_mass[r] += share[r];
        for (int32_t d = 0; d < j->D; d++) {
            part[d] -= share[r] * x[d];
            out[d] += share[r] * x[d];
        }
    }
}

/* ---- errors --------------------------------------------------------------------------------- */

/* Kept (0) or tail (1) of a level and row: D values, then the mass. */
static float *bin_at(const job *j, int32_t level, int tail, int32_t r)
{
    return j->w->bin + (((int64_t)level * 2 + tail) * ROWS + r) * (j->D + 1);
}

static float dot(const float *a, const float *b, int32_t D)
{
    float lane[8] = {0};
    for (int32_t d = 0; d < D; d += 8)
        for (int32_t i = 0; i < 8; i++)
            lane[i] += a[d + i] * b[d + i];
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void add_scaled(float *to, const float *x, float factor, int32_t D)
{
    for (int32_t d = 0; d < D; d++)
        to[d] += factor * x[d];
}

/* What block b gives to row r goes to the bin of its level. */
static void add_block(const job *j, int32_t b, int32_t r)
{
    const fili_sampled_work *w     = j->w;
    const int                odd   = r % 2;
    const int32_t            level = w->rank.level[(int64_t)j->p->unit[r] * j->m + b];
    const int32_t            count = w->count[odd][b];
    float                   *kept  = bin_at(j, level, 0, r);
    float                   *tail  = bin_at(j, level, 1, r);
    add_scaled(kept, w->part + ((int64_t)b * ROWS + r) * j->D, 1.0f, j->D);
    kept[j->D] += w->mass[(int64_t)b * ROWS + r];
    if (!j->c->has_tail || count == 0) return;
    const float logit =
        j->c->scale * dot(w->q + (int64_t)r * j->D, w->k[odd] + (int64_t)b * j->D, j->D);
    const float t = (float)count * expf(logit - w->lse[r]);
    add_scaled(tail, w->v[odd] + (int64_t)b * j->D, t, j->D);
    tail[j->D] += t;
}

/* A budget keeps its own level and those before; the tail has those behind. */
static void sum_bins(const job *j)
{
    for (int32_t l = 1; l < LEVELS; l++)
        add_scaled(bin_at(j, l, 0, 0), bin_at(j, l - 1, 0, 0), 1.0f, ROWS * (j->D + 1));
    for (int32_t l = LEVELS - 2; l >= 0; l--)
        add_scaled(bin_at(j, l, 1, 0), bin_at(j, l + 1, 1, 0), 1.0f, ROWS * (j->D + 1));
}

/* The error of a row under factor f is |x + f y|^2 / (mass + f tail)^2: the dots of x and y. */
typedef struct row_error {
    double xx, xy, yy, mass, tail;
} row_error;

static row_error error_of_row(const job *j, int32_t level, int32_t r)
{
    const float *kept     = bin_at(j, level, 0, r);
    const float *tail     = bin_at(j, level + 1, 1, r);
    const float *sink     = j->w->sink_out + (int64_t)r * j->D;
    const float *exact    = j->w->exact + (int64_t)r * j->D;
    const float  mass     = kept[j->D] + j->w->sink_mass[r];
    float        x[MAX_D] = {0};
    float        y[MAX_D] = {0};
    for (int32_t d = 0; d < j->D; d++) {
        x[d] = kept[d] + sink[d] - mass * exact[d];
        y[d] = tail[d] - tail[j->D] * exact[d];
    }
    return (row_error){.xx   = (double)dot(x, x, j->D),
                       .xy   = (double)dot(x, y, j->D),
                       .yy   = (double)dot(y, y, j->D),
                       .mass = (double)mass,
                       .tail = (double)tail[j->D]};
}

/* A row without any mass has output 0. */
static double squared_error(const job *j, const row_error *rows, double f)
{
    double sum = 0.0;
    for (int32_t r = 0; r < ROWS; r++) {
        const row_error *e    = &rows[r];
        const double     mass = e->mass + f * e->tail;
        const float     *o    = j->w->exact + (int64_t)r * j->D;
        sum += mass == 0.0 ? (double)dot(o, o, j->D)
                           : (e->xx + f * (2.0 * e->xy + f * e->yy)) / (mass * mass);
    }
    return sum;
}

static void judge_budget(const job *j, int32_t k, double *least, double *factor)
{
    row_error rows[ROWS];
    for (int32_t r = 0; r < ROWS; r++)
        rows[r] = error_of_row(j, k, r);
    *factor = 1.0;
    *least  = squared_error(j, rows, 1.0);
    for (size_t f = 1; j->c->has_tail && f < sizeof factors / sizeof factors[0]; f++) {
        const double error = squared_error(j, rows, factors[f]);
        if (!(error < *least)) continue;
        *least  = error;
        *factor = factors[f];
    }
}

/* Number i of sinks, which have been moved. */
static void judge(const job *j, int32_t i)
{
    const double pairs = (double)j->n * j->n;
    double       budget[FILI_PROFILE];
    memset(j->w->bin, 0, sizeof(float) * LEVELS * 2 * ROWS * (size_t)(j->D + 1));
    for (int32_t k = 0; k < FILI_PROFILE; k++) {
        const double share = fmin(fili_profile_share[k] * j->c->density, 1.0);
        budget[k]          = fmax(share - (double)fili_sink_counts[i] / j->n, 0.0) * pairs;
    }
    for (int odd = 0; odd < 2; odd++) {
        fili_block_rank_levels(&j->w->rank, j->p->valid, j->w->count[odd], budget, FILI_PROFILE);
        for (int32_t b = 0; b < j->m; b++)
            for (int32_t r = odd; r < ROWS; r += 2)
                add_block(j, b, r);
    }
    sum_bins(j);
    for (int32_t k = 0; k < FILI_PROFILE; k++)
        judge_budget(j, k, &j->out->error[i][k], &j->out->factor[i][k]);
}

/* Sorts by the score that leaves less, at densities near the one asked for. */
static void choose_score(const job *j)
{
    const int64_t at   = (int64_t)j->head * j->m * j->m;
    double        gain = 0.0;
    double        first[FILI_PROFILE];
    j->out->other = 0;
    fili_block_rank_sort(&j->w->rank, j->c->score + at, j->p->tiles);
    if (j->c->other == NULL) return;
    judge(j, 0);
    memcpy(first, j->out->error[0], sizeof first);
    fili_block_rank_sort(&j->w->rank, j->c->other + at, j->p->tiles);
    judge(j, 0);
    for (int32_t k = 2; k < 5; k++)
        gain += log(first[k] + TINY) - log(j->out->error[0][k] + TINY);
    if (gain > 0.0)
        j->out->other = 1;
    else
        fili_block_rank_sort(&j->w->rank, j->c->score + at, j->p->tiles);
}

fil_status fili_sampled_run(const fili_sampled_plan *plan, fili_sampled_work *work,
                            const fili_sampled_call *call, int32_t head, fili_sampled_result *out)
{
    const job j = {.p    = plan,
                   .c    = call,
                   .w    = work,
                   .out  = out,
                   .head = head,
                   .D    = plan->problem.head_dim,
                   .m    = plan->blocks->m,
                   .n    = fili_blocks_tokens(plan->blocks)};
    FIL_TRY(compute_rows(&j));
    begin_head(&j);
    choose_score(&j);
    find_sinks(&j);
    for (int32_t i = 0; i < out->n_counts; i++) {
        for (int32_t s = i > 0 ? fili_sink_counts[i - 1] : 0; s < fili_sink_counts[i]; s++)
            for (int odd = 0; odd < 2; odd++)
                move_sink(&j, work->sink[odd][s], odd);
        judge(&j, i);
    }
    return FIL_OK;
}
