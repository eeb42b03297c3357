/* kernel/cpu/select_tmpl.c: block selection of kernel/select.h. Included, not compiled: the
 * including file brings the vector operations and names the row (SELECT_STEM).
 *
 * Lanes are query tiles: a panel of 2 vectors of them against 6 key tiles at a time, in 12 sums of
 * registers (Goto and van de Geijn 2008). So the maximum over keys, the softmax and the sums over
 * the tiles of a key block go down the lanes, and only the last sum, over the tiles of a query
 * block, goes across. A panel's logits against all key tiles lie in the cache: there is no matrix
 * of tiles by tiles. Keys are packed once per head, a few heads at a time.
 */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "kernel/cpu/activation.h"
#include "kernel/cpu/attn_panels.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

enum {
    KEYS       = 6,
    COLS       = 2 * VF_LANES,
    TASK_TILES = 32, /* query tiles of a task, about: whole blocks */
    PACK_GRAIN = 16, /* groups of KEYS key tiles of a packing task */
    CHUNK      = 32  /* terms that are summed before their sum is added */
};

typedef struct run_state {
    const filk_select_problem *p;
    const filk_select_args    *a;
    int32_t                    groups; /* of KEYS key tiles */
    int32_t                    blocks; /* query blocks of a task */
    int64_t                    tasks;  /* of a head */
    int32_t                    first;  /* key-value head of the round */
    float                     *keys;   /* [heads of the round][groups][D][KEYS] */
    char                      *scratch;
    size_t                     scratch_bytes;
} run_state;

/* Of one worker. Rows of logits beyond tk are of no key. */
typedef struct bench {
    float *panel; /* [D][COLS] */
    float *logit; /* [groups * KEYS][COLS]; later row v: what block v gets */
    float *score; /* [blocks][mk], for callers that want no scores */
} bench;

static size_t keys_bytes(const run_state *s)
{
    return sizeof(float) * KEYS * (size_t)s->groups * (size_t)s->p->head_dim;
}

static bench bench_at(const run_state *s, char *at)
{
    bench b;
    b.panel = filk_take(&at, sizeof(float) * COLS * (size_t)s->p->head_dim);
    b.logit = filk_take(&at, sizeof(float) * COLS * KEYS * (size_t)s->groups);
    b.score = filk_take(&at, sizeof(float) * (size_t)s->blocks * (size_t)s->p->mk);
    return b;
}

static run_state state_of(const filk_select_problem *p)
{
    run_state     s    = {.p = p, .groups = p->tk / KEYS + (p->tk % KEYS != 0)};
    const int64_t most = (int64_t)TASK_TILES * p->mq / p->tq;
    s.blocks           = most < 1 ? 1 : most > p->mq ? p->mq : (int32_t)most;
    s.tasks            = fili_task_count(p->mq, s.blocks);
    s.scratch_bytes    = filk_padded(sizeof(float) * COLS * (size_t)p->head_dim) +
                      filk_padded(sizeof(float) * COLS * KEYS * (size_t)s.groups) +
                      filk_padded(sizeof(float) * (size_t)s.blocks * (size_t)p->mk);
    return s;
}

/* ---- packing -------------------------------------------------------------------------------- */

/* `rows` rows, `stride` apart, as [D][width]; the rest of the width is zeros. */
INLINE void pack(const float *from, int64_t stride, int32_t rows, int32_t D, const int width,
                 float *to)
{
    for (int32_t d = 0; d < D; d++)
        for (int r = 0; r < width; r++)
            to[d * width + r] = r < rows ? from[r * stride + d] : 0.0f;
}

static fil_status pack_task(void *arg, int64_t index, int32_t worker)
{
    const run_state           *s     = arg;
    const filk_select_problem *p     = s->p;
    const int64_t              each  = fili_task_count(s->groups, PACK_GRAIN);
    const int32_t              head  = (int32_t)(index / each);
    const fili_range           range = fili_task_range(s->groups, PACK_GRAIN, index % each);
    float                     *to    = s->keys + (size_t)head * (keys_bytes(s) / sizeof(float));
    (void)worker;
    for (int64_t g = range.begin; g < range.end; g++) {
        const int32_t left = p->tk - (int32_t)g * KEYS;
        const int64_t row  = g * KEYS * p->kv_heads + s->first + head;
        pack(s->a->k + row * p->head_dim, (int64_t)p->kv_heads * p->head_dim, left, p->head_dim,
             KEYS, to + g * KEYS * p->head_dim);
    }
    return FIL_OK;
}

/* ---- products ------------------------------------------------------------------------------- */

INLINE void product(const float *keys, const float *panel, int32_t D, float *out)
{
    vf sum[KEYS][2];
    for (int r = 0; r < KEYS; r++)
        sum[r][0] = sum[r][1] = vf_set1(0.0f);
#pragma GCC unroll 4
    for (int32_t d = 0; d < D; d++) {
        const vf low  = vf_load(panel + d * COLS);
        const vf high = vf_load(panel + d * COLS + VF_LANES);
        for (int r = 0; r < KEYS; r++) {
            const vf x = vf_set1(keys[d * KEYS + r]);
            sum[r][0]  = vf_fma(x, low, sum[r][0]);
            sum[r][1]  = vf_fma(x, high, sum[r][1]);
        }
    }
    for (int r = 0; r < KEYS; r++) {
        vf_store(out + r * COLS, sum[r][0]);
        vf_store(out + r * COLS + VF_LANES, sum[r][1]);
    }
}

/* ---- votes ---------------------------------------------------------------------------------- */

typedef struct ballot {
    const filk_select_problem *p;
    const int32_t             *count; /* of key tiles; NULL: all take part */
    const bench               *b;
    vf                         high, low; /* scale log2(e) in two parts */
    vf                         top[2];
} ballot;

INLINE int takes_part(const ballot *t, int32_t j)
{
    return t->count == NULL || t->count[j] > 0;
}

static int block_takes_part(const ballot *t, int32_t v)
{
    for (int32_t j = t->p->k_tiles[v]; j < t->p->k_tiles[v + 1]; j++)
        if (takes_part(t, j)) return 1;
    return 0;
}

/* exp(scale (x - top)): exactly 0 for x = -inf. The exponent is reduced in two parts, so that the
 * result is off by what the logits are, whatever their size. */
INLINE vf share(const ballot *t, vf x, vf top)
{
    const vf diff = x - top;
    const vf n    = vf_round(vf_clamp(diff * t->high, 200.0f));
    vf       f    = vf_fma(diff, t->high, vf_set1(0.0f) - n);
    f             = vf_fma(diff, t->low, f);
    return exp2_parts(n, vf_clamp(f, 1.0f));
}

/* The largest logit of each query tile; 0 where it is -inf. */
INLINE void find_top(ballot *t)
{
    float top[COLS];
    vf    low  = vf_set1(-INFINITY);
    vf    high = vf_set1(-INFINITY);
    for (int32_t j = 0; j < t->p->tk; j++) {
        const float *row = t->b->logit + (int64_t)j * COLS;
        if (!takes_part(t, j)) continue;
        low  = vf_max(vf_load(row), low);
        high = vf_max(vf_load(row + VF_LANES), high);
    }
    vf_store(top, low);
    vf_store(top + VF_LANES, high);
    for (int c = 0; c < COLS; c++)
        if (top[c] == -INFINITY) top[c] = 0.0f;
    t->top[0] = vf_load(top);
    t->top[1] = vf_load(top + VF_LANES);
}

/* Shares of key tiles [begin, end), summed. */
INLINE void sum_tiles(const ballot *t, int32_t begin, int32_t end, vf sum[2])
{
    sum[0] = sum[1] = vf_set1(0.0f);
    for (int32_t j = begin; j < end; j++) {
        const float *row = t->b->logit + (int64_t)j * COLS;
        if (!takes_part(t, j)) continue;
        sum[0] = sum[0] + share(t, vf_load(row), t->top[0]);
        sum[1] = sum[1] + share(t, vf_load(row + VF_LANES), t->top[1]);
    }
}

/* Row v of logits becomes the sum of block v: a block holds a tile, so row v has been read. Sums of
 * all blocks: sum. */
INLINE void sum_blocks(const ballot *t, vf sum[2])
{
    vf part[2] = {vf_set1(0.0f), vf_set1(0.0f)};
    sum[0] = sum[1] = vf_set1(0.0f);
    for (int32_t v = 0; v < t->p->mk; v++) {
        const int32_t end     = t->p->k_tiles[v + 1];
        float        *row     = t->b->logit + (int64_t)v * COLS;
        vf            mine[2] = {vf_set1(0.0f), vf_set1(0.0f)};
        for (int32_t j = t->p->k_tiles[v]; j < end; j += CHUNK) {
            vf chunk[2];
            sum_tiles(t, j, end - j < CHUNK ? end : j + CHUNK, chunk);
            mine[0] = mine[0] + chunk[0];
            mine[1] = mine[1] + chunk[1];
        }
        vf_store(row, mine[0]);
        vf_store(row + VF_LANES, mine[1]);
        part[0] = part[0] + mine[0];
        part[1] = part[1] + mine[1];
        if (v % CHUNK != CHUNK - 1 && v != t->p->mk - 1) continue;
        sum[0]  = sum[0] + part[0];
        sum[1]  = sum[1] + part[1];
        part[0] = part[1] = vf_set1(0.0f);
    }
}

/* Row v becomes the part of each query tile's vote that block v gets. */
INLINE void share_votes(const ballot *t, const vf sum[2])
{
    float total[COLS];
    vf_store(total, sum[0]);
    vf_store(total + VF_LANES, sum[1]);
    for (int c = 0; c < COLS; c++)
        total[c] = total[c] == 0.0f ? 0.0f : 1.0f / total[c];
    const vf low  = vf_load(total);
    const vf high = vf_load(total + VF_LANES);
    for (int32_t v = 0; v < t->p->mk; v++) {
        float *row = t->b->logit + (int64_t)v * COLS;
        if (t->count != NULL && !block_takes_part(t, v)) { /* nothing times NaN is nothing here */
            memset(row, 0, sizeof(float) * COLS);
            continue;
        }
        vf_store(row, vf_load(row) * low);
        vf_store(row + VF_LANES, vf_load(row + VF_LANES) * high);
    }
}

/* Adds lanes [begin, end) of all rows to the scores of one query block. */
static void add_lanes(const ballot *t, int32_t begin, int32_t end, float *score)
{
    for (int32_t v = 0; v < t->p->mk; v++) {
        const float *row = t->b->logit + (int64_t)v * COLS;
        float        sum = 0.0f;
        for (int32_t c = begin; c < end; c++)
            sum += row[c];
        score[v] += sum;
    }
}

/* ---- a task --------------------------------------------------------------------------------- */

typedef struct work {
    const run_state *s;
    bench            b;
    int32_t          head, kv_head;
    int32_t          first, end; /* query blocks */
    float           *score;      /* of block `first` */
    ballot           t;
} work;

/* The votes of query tiles [i, i + n), which begin in block u; returns the block of tile i + n. */
static int32_t vote(work *w, int32_t u, int32_t i, int32_t n)
{
    const filk_select_problem *p = w->s->p;
    vf                         sum[2];
    find_top(&w->t);
    sum_blocks(&w->t, sum);
    share_votes(&w->t, sum);
    for (int32_t at = i; at < i + n;) {
        const int32_t end = p->q_tiles[u + 1] < i + n ? p->q_tiles[u + 1] : i + n;
        add_lanes(&w->t, at - i, end - i, w->score + (int64_t)(u - w->first) * p->mk);
        at = end;
        if (end == p->q_tiles[u + 1]) u++;
    }
    return u;
}

/* Tiles are blocks. */
static void copy_logits(const work *w, int32_t i, int32_t n)
{
    const int32_t mk = w->s->p->mk;
    for (int32_t c = 0; c < n; c++)
        for (int32_t v = 0; v < mk; v++)
            w->score[(int64_t)(i + c - w->first) * mk + v] =
                w->b.logit[(int64_t)v * COLS + c] * w->s->a->scale;
}

static void score_blocks(work *w)
{
    const filk_select_problem *p    = w->s->p;
    const size_t               each = (size_t)KEYS * (size_t)p->head_dim;
    const float               *keys =
        w->s->keys + (size_t)(w->kv_head - w->s->first) * (keys_bytes(w->s) / sizeof(float));
    int32_t u = w->first;
    if (p->kind == FILK_SELECT_SOFTMAX)
        memset(w->score, 0, sizeof(float) * (size_t)(w->end - w->first) * (size_t)p->mk);
    for (int32_t i = p->q_tiles[w->first]; i < p->q_tiles[w->end]; i += COLS) {
        const int32_t left = p->q_tiles[w->end] - i;
        const int32_t n    = left < COLS ? left : COLS;
        const int64_t row  = (int64_t)i * p->heads + w->head;
        pack(w->s->a->q + row * p->head_dim, (int64_t)p->heads * p->head_dim, n, p->head_dim, COLS,
             w->b.panel);
        for (int32_t g = 0; g < w->s->groups; g++)
            product(keys + (size_t)g * each, w->b.panel, p->head_dim,
                    w->b.logit + (int64_t)g * KEYS * COLS);
        if (p->kind == FILK_SELECT_SOFTMAX)
            u = vote(w, u, i, n);
        else
            copy_logits(w, i, n);
    }
}

static ballot ballot_of(const work *w)
{
    const filk_select_args *a     = w->s->a;
    const double            exact = (double)a->scale * 1.4426950408889634;
    const float             high  = (float)exact;
    ballot                  t     = {.p = w->s->p, .b = &w->b, .high = vf_set1(high)};
    t.low                         = vf_set1((float)(exact - (double)high));
    if (a->count != NULL) t.count = a->count + w->kv_head * a->count_stride_h;
    return t;
}

static fil_status score_task(void *arg, int64_t index, int32_t worker)
{
    const run_state           *s     = arg;
    const filk_select_problem *p     = s->p;
    const int32_t              group = p->heads / p->kv_heads;
    const int32_t              words = (p->mk + 31) / 32;
    const fili_range           range = fili_task_range(p->mq, s->blocks, index % s->tasks);
    work                       w     = {.s = s};
    w.b                              = bench_at(s, s->scratch + (size_t)worker * s->scratch_bytes);
    w.head                           = s->first * group + (int32_t)(index / s->tasks);
    w.kv_head                        = w.head / group;
    w.first                          = (int32_t)range.begin;
    w.end                            = (int32_t)range.end;
    w.t                              = ballot_of(&w);
    const int64_t row                = (int64_t)w.head * p->mq + w.first;
    w.score                          = s->a->score != NULL ? s->a->score + row * p->mk : w.b.score;
    score_blocks(&w);
    for (int32_t u = w.first; u < w.end; u++)
        filk_select_top(w.score + (int64_t)(u - w.first) * p->mk, p->mk, p->keep,
                        s->a->mask + (row + u - w.first) * words);
    return FIL_OK;
}

/* ---- the row -------------------------------------------------------------------------------- */

const char *JOIN(SELECT_STEM, _refuse)(const void *problem)
{
    const filk_select_problem *p = problem;
    return p->head_dim < 1 || p->head_dim > 128 ? "takes head dim 1 to 128" : NULL;
}

static int32_t round_heads(const run_state *s, int32_t n_threads)
{
    return filk_round_heads(s->tasks * (s->p->heads / s->p->kv_heads), s->p->kv_heads, n_threads);
}

size_t JOIN(SELECT_STEM, _workspace)(const void *problem, int32_t n_threads)
{
    const run_state s = state_of(problem);
    return filk_padded(keys_bytes(&s) * (size_t)round_heads(&s, n_threads)) +
           s.scratch_bytes * (size_t)n_threads;
}

fil_status JOIN(SELECT_STEM, _run)(fil_ctx *ctx, const void *problem, const void *args,
                                   void *workspace)
{
    const filk_select_problem *p     = problem;
    run_state                  s     = state_of(problem);
    const int32_t              heads = round_heads(&s, ctx->n_threads);
    const int64_t              packs = fili_task_count(s.groups, PACK_GRAIN);
    char                      *at    = workspace;
    s.a                              = args;
    s.keys                           = filk_take(&at, keys_bytes(&s) * (size_t)heads);
    s.scratch                        = at;
    for (s.first = 0; s.first < p->kv_heads; s.first += heads) {
        const int32_t n = p->kv_heads - s.first < heads ? p->kv_heads - s.first : heads;
        FIL_TRY(fili_pool_run(ctx, "select", n * packs, pack_task, &s));
        FIL_TRY(
            fili_pool_run(ctx, "select", n * (p->heads / p->kv_heads) * s.tasks, score_task, &s));
    }
    return FIL_OK;
}
