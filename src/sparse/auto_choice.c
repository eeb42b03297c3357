/* sparse/auto_choice.c: scores, sampled rows, budgets, masks (sparse/auto_choice.h). */
#include <math.h>
#include <string.h>

#include "base/pool.h"
#include "sparse/auto_choice.h"

/* Tokens of a tile, and up to which number of tokens. Products of tiles cost 1/32 and 1/128 of
 * dense attention. */
enum { FINE = 4, FINE_TOKENS = 4096, TILE = 8 };

/* Sinks must leave this much less than none. */
#define SINK_MARGIN 0.05

/* ---- life ----------------------------------------------------------------------------------- */

static fil_status plan_pooling(fili_auto_choice *c, fili_arena *arena, const fili_blocks *blocks,
                               int32_t head_dim, fil_dtype dtype)
{
    const size_t row = (size_t)c->heads * (size_t)head_dim * sizeof(float);
    void        *block;
    c->pooling = (filk_pooling_problem){.n        = c->n,
                                        .heads    = c->heads,
                                        .head_dim = head_dim,
                                        .dtype    = dtype,
                                        .m        = c->m,
                                        .offset   = blocks->offset};
    FIL_TRY(filk_select(c->ctx, &filk_pooling, &c->pooling, NULL, &c->pooling_row));
    FIL_TRY(fili_arena_alloc(arena, c->pooling_row->workspace(&c->pooling, c->ctx->n_threads),
                             &c->workspace));
    FIL_TRY(fili_arena_calloc(arena, (size_t)c->m, row, &block));
    c->mean_k = block;
    FIL_TRY(fili_arena_calloc(arena, (size_t)c->m, row, &block));
    c->mean_v = block;
    return FIL_OK;
}

/* Workers, or heads if they are fewer: then each head has its own. */
static fil_status take_work(fili_auto_choice *c, fili_arena *arena)
{
    void *block;
    c->n_work = c->ctx->n_threads < c->heads ? c->ctx->n_threads : c->heads;
    FIL_TRY(fili_arena_calloc(arena, (size_t)c->n_work, sizeof *c->work, &block));
    c->work = block;
    for (int32_t i = 0; i < c->n_work; i++)
        FIL_TRY(fili_sampled_work_init(&c->work[i], arena, &c->plan));
    return FIL_OK;
}

static fil_status take_results(fili_auto_choice *c, fili_arena *arena, int32_t has_prior)
{
    const size_t heads = (size_t)c->heads;
    const size_t m     = (size_t)c->m;
    const size_t words = (size_t)fili_mask_words(c->m);
    void        *block;
    FIL_TRY(fili_arena_calloc(arena, heads * m, m * sizeof(float), &block));
    c->score = block;
    if (has_prior) {
        FIL_TRY(fili_arena_calloc(arena, heads * m, m * sizeof(float), &block));
        c->other = block;
    }
    FIL_TRY(fili_arena_calloc(arena, heads * m, words * sizeof(uint32_t), &block));
    c->spare = block;
    FIL_TRY(fili_arena_calloc(arena, heads, sizeof *c->result, &block));
    c->result = block;
    FIL_TRY(fili_arena_calloc(arena, heads, FILI_PROFILE * sizeof(double), &block));
    c->error = block;
    FIL_TRY(fili_arena_calloc(arena, heads, sizeof(double), &block));
    c->share = block;
    return fili_head_budgets_init(&c->budgets, arena, c->heads);
}

fil_status fili_auto_choice_init(fili_auto_choice *out, fil_ctx *ctx, fili_arena *arena,
                                 const fili_blocks *blocks, int32_t heads, int32_t head_dim,
                                 fil_dtype dtype, int32_t has_prior)
{
    *out = (fili_auto_choice){
        .ctx = ctx, .heads = heads, .m = blocks->m, .n = fili_blocks_tokens(blocks)};
    FIL_TRY(fili_tile_scores_init_of(&out->scores, ctx, arena, blocks,
                                     out->n <= FINE_TOKENS ? FINE : TILE, heads, head_dim, dtype));
    FIL_TRY(plan_pooling(out, arena, blocks, head_dim, dtype));
    FIL_TRY(fili_sampled_plan_init(&out->plan, ctx, arena, blocks, out->scores.first, heads,
                                   head_dim, dtype));
    FIL_TRY(take_work(out, arena));
    return take_results(out, arena, has_prior);
}

void fili_auto_choice_fini(fili_auto_choice *c)
{
    fili_tile_scores_fini(&c->scores);
}

/* ---- measuring ------------------------------------------------------------------------------ */

typedef struct run_state {
    fili_auto_choice       *c;
    const fili_auto_call   *call;
    const fili_sampled_call sampled;
    fili_auto_result       *out;
    int32_t                 count; /* chosen number of sinks: an index of fili_sink_counts */
} run_state;

static fili_sampled_work *work_of(const run_state *s, int64_t head, int32_t worker)
{
    return &s->c->work[s->c->n_work == s->c->heads ? head : worker];
}

static fil_status measure_head(void *arg, int64_t head, int32_t worker)
{
    const run_state *s = arg;
    return fili_sampled_run(&s->c->plan, work_of(s, head, worker), &s->sampled, (int32_t)head,
                            &s->c->result[head]);
}

/* Votes of a row sum to its tiles; half of them become the table's. A row of votes that says
 * nothing, as with NaN, is the table's alone. */
static void mix_prior(fili_auto_choice *c, const float *prior)
{
    const int64_t m = c->m;
    for (int64_t row = 0; row < c->heads * m; row++) {
        const int64_t u     = row % m;
        const float   tiles = (float)(c->scores.first[u + 1] - c->scores.first[u]);
        for (int64_t v = row * m; v < (row + 1) * m; v++) {
            const float known = tiles * prior[v];
            c->other[v]       = isfinite(c->score[v]) ? 0.5f * (c->score[v] + known) : known;
        }
    }
}

static fil_status pool_blocks(fili_auto_choice *c, filk_attn_view x, float *mean)
{
    const filk_pooling_args args = {.x = x, .out_f32 = mean};
    return c->pooling_row->run(c->ctx, &c->pooling, &args, c->workspace);
}

/* ---- deciding ------------------------------------------------------------------------------- */

static void gather_errors(fili_auto_choice *c, int32_t count)
{
    for (int32_t h = 0; h < c->heads; h++)
        memcpy(c->error + (int64_t)h * FILI_PROFILE, c->result[h].error[count],
               FILI_PROFILE * sizeof(double));
}

/* Densities of the heads with that many sinks; returns what they leave. */
static double share_out(fili_auto_choice *c, const fili_auto_call *call, int32_t count)
{
    const double rest = (double)(fili_sink_counts[count] + FILI_BLOCK_TOKENS) / c->n;
    gather_errors(c, count);
    /* Uniform: no head less than all. */
    return fili_head_budgets_run(&c->budgets, c->error, call->density,
                                 call->uniform ? call->density : rest, c->share);
}

static int32_t choose_sinks(fili_auto_choice *c, const fili_auto_call *call)
{
    int32_t n    = FILI_SINK_COUNTS;
    int32_t best = 0;
    for (int32_t h = 0; h < c->heads; h++)
        if (c->result[h].n_counts < n) n = c->result[h].n_counts;
    const double none  = share_out(c, call, 0);
    double       least = none;
    for (int32_t i = 1; i < n; i++) {
        const double left = share_out(c, call, i);
        if (!(left < (1.0 - SINK_MARGIN) * none) || !(left < least)) continue;
        least = left;
        best  = i;
    }
    share_out(c, call, best);
    return best;
}

/* ---- masks ---------------------------------------------------------------------------------- */

static void write_sinks(const run_state *s, int32_t head)
{
    const int32_t *from = s->c->result[head].sink;
    int32_t       *to   = s->out->sinks + (int64_t)head * FILK_MAX_SINKS;
    for (int32_t i = 0; i < fili_sink_counts[s->count]; i++) {
        int32_t at = i;
        for (; at > 0 && to[at - 1] > from[i]; at--)
            to[at] = to[at - 1];
        to[at] = from[i];
    }
}

/* Tokens of each block that are no sinks. */
static void count_columns(const run_state *s, int32_t head, int32_t *count)
{
    const fili_sampled_plan *p    = &s->c->plan;
    const int32_t           *sink = s->out->sinks + (int64_t)head * FILK_MAX_SINKS;
    int32_t                  at   = 0;
    for (int32_t b = 0; b < s->c->m; b++) {
        count[b] = p->valid[b];
        for (; at < fili_sink_counts[s->count] && sink[at] < p->blocks->offset[b + 1]; at++)
            count[b]--;
    }
}

/* What the best block of each row costs: with neither a tail nor sinks no row may go without. */
static double least_pairs(const run_state *s, const fili_sampled_work *w)
{
    double pairs = 0.0;
    for (int32_t i = 0; i < s->c->m; i++) {
        const int32_t at = w->rank.index[0][i];
        const int32_t u  = at / s->c->m;
        pairs += (double)s->c->plan.valid[u] * w->count[0][at % s->c->m];
    }
    return pairs;
}

static void write_bits(const run_state *s, const fili_sampled_work *w, int32_t head)
{
    const int32_t m     = s->c->m;
    const size_t  words = (size_t)fili_mask_words(m);
    uint32_t     *bits  = s->out->bits + (size_t)head * (size_t)m * words;
    memset(bits, 0, (size_t)m * words * sizeof *bits);
    for (int32_t u = 0; u < m; u++)
        for (int32_t v = 0; v < m; v++)
            if (w->rank.level[(int64_t)u * m + v] == 0)
                bits[(size_t)u * words + (size_t)(v / 32)] |= 1u << v % 32;
}

static fil_status mask_head(void *arg, int64_t head, int32_t worker)
{
    const run_state   *s     = arg;
    fili_auto_choice  *c     = s->c;
    const int32_t      h     = (int32_t)head;
    fili_sampled_work *w     = work_of(s, head, worker);
    const double       pairs = (double)c->n * c->n;
    const double       sinks = (double)fili_sink_counts[s->count] / c->n;
    double             spend = fmax(c->share[h] - sinks, 0.0) * pairs;
    write_sinks(s, h);
    count_columns(s, h, w->count[0]);
    const float *score = c->result[h].other ? c->other : c->score;
    fili_block_rank_sort(&w->rank, score + head * c->m * c->m, c->scores.first);
    if (!s->call->has_tail && s->count == 0) spend = fmax(spend, least_pairs(s, w));
    fili_block_rank_levels(&w->rank, c->plan.valid, w->count[0], &spend, 1);
    write_bits(s, w, h);
    s->out->factor[h] =
        (float)fili_profile_at(c->result[h].factor[s->count], c->share[h], s->call->density);
    return FIL_OK;
}

/* ---- all ------------------------------------------------------------------------------------ */

fil_status fili_auto_choice_run(fili_auto_choice *c, const fili_auto_call *call,
                                fili_auto_result *out)
{
    run_state s = {.c       = c,
                   .call    = call,
                   .sampled = {.q        = call->host_q,
                               .k        = call->host_k,
                               .v        = call->host_v,
                               .scale    = call->scale,
                               .density  = call->density,
                               .has_tail = call->has_tail,
                               .score    = c->score,
                               .other    = call->prior != NULL ? c->other : NULL,
                               .mean_k   = c->mean_k,
                               .mean_v   = c->mean_v},
                   .out     = out};
    FIL_TRY(fili_tile_scores_run(&c->scores, call->q, call->k, call->scale, 1, c->spare, c->score));
    if (call->prior != NULL) mix_prior(c, call->prior);
    FIL_TRY(pool_blocks(c, call->k, c->mean_k));
    FIL_TRY(pool_blocks(c, call->v, c->mean_v));
    FIL_TRY(fili_pool_run(c->ctx, "sampled rows", c->heads, measure_head, &s));
    s.count      = choose_sinks(c, call);
    out->n_sinks = fili_sink_counts[s.count];
    return fili_pool_run(c->ctx, "masks", c->heads, mask_head, &s);
}
