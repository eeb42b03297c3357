/* sparse/policy_dfs.c: DFSAttn: top-k blocks by scores of pooled tiles along a Hilbert curve.
 *
 * Source: arXiv 2605.23445 and the behaviour of its public code. Every layer but the first and
 * every step but the first quarter: blocks of 128 tokens (or 64), each query block keeps max(1,
 * floor(gamma M)) of the M key blocks by tile_scores.h, each head its own; gamma falls 0.3, 0.2,
 * 0.1; the mask is made on a step's first (conditional) pass and serves both, until the next
 * refresh. Unlike the code: f32 scores, short tiles as means of what they hold, whole numbers in
 * gamma, any number of steps, order once per run.
 *
 * Steps. Published for 50: dense 0-11, a new mask at 12, 24, 36. For S steps: floor(S/4) dense
 * ones, then levels of I = max(1, round(0.24 S)) steps, the last to the end; a new mask every I
 * steps (--refresh R: every R), and where the number of kept blocks changes; one that would serve
 * less than half as long as the others is left out, as step 48 is in the paper. 4 steps: 1 dense,
 * then a new mask every step, as published for distilled models. Low densities: fewer dense calls,
 * see below.
 * Does not: text tokens inside self-attention (HunyuanVideo), which Wan lacks.
 */
#include <stdio.h>
#include <string.h>

#include "kernel/cpu/peak.h"
#include "sparse/policy.h"
#include "sparse/recall_bound.h"
#include "sparse/sampled_mass.h"
#include "sparse/tile_scores.h"

enum { LEVELS = 3, SAMPLES = 4 };

/* The mask that a layer uses. */
typedef struct made {
    int32_t keep; /* blocks of a row; 0 = none made yet */
} made;

typedef struct own {
    fili_tile_scores  scores;
    int32_t          *slot;  /* [layers] place of a layer's mask */
    made             *made;  /* [slots] */
    uint32_t         *bits;  /* [slots][H, m, words] */
    size_t            words; /* of a slot */
    fili_mask         small; /* one slot */
    fili_mask         mask;  /* in blocks of 64, where `small` is in pairs of them */
    float            *score; /* [H, m, m]; the rest only where recall is measured */
    fili_sampled_mass exact;
    int32_t          *tokens; /* [m] */
    float            *bound;  /* [H] */
} own;

/* Steps of a level. */
static int32_t level_steps(int32_t steps)
{
    const int64_t n = (24 * (int64_t)steps + 50) / 100;
    return n < 1 ? 1 : (int32_t)n;
}

/* A wanted density below the published one (0.4) leaves fewer calls dense, unless they are asked
 * for: together at most three quarters of it, and the first layer at most a quarter of that. */
static void default_dense(const fili_policy_setup *setup, fil_policy_options *o)
{
    const double room  = o->density == (double)FIL_AUTO ? 1.0 : o->density * 3.0 / 4.0;
    const double layer = 1.0 / setup->layers;
    int32_t      n     = setup->steps / 4;
    if (o->dense_layers == NULL) {
        const bool fits = o->density == (double)FIL_AUTO || layer <= room / 4.0;
        o->dense_layers = setup->layers > 1 && fits ? "0" : "";
    }
    const double share = o->dense_layers[0] != '\0' ? layer : 0.0;
    while (n > 0 && share + (1.0 - share) * n / setup->steps > room + 1e-9)
        n--;
    if (o->dense_steps == FIL_AUTO) o->dense_steps = n;
}

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    if (options->order == NULL) options->order = "hilbert-xyz";
    if (options->block == FIL_AUTO) options->block = 128;
    if (options->refresh == FIL_AUTO) options->refresh = level_steps(setup->steps);
    default_dense(setup, options);
}

static double shape(const fili_policy *p, int32_t step)
{
    const int32_t level = step / level_steps(p->setup.steps);
    return (LEVELS - (level < LEVELS ? level : LEVELS - 1)) / 10.0;
}

/* ---- prepare -------------------------------------------------------------------------------- */

static fil_status refuse_others(const fili_policy *p)
{
    const fil_policy_options *o = &p->o;
    FIL_CHECK(p->ctx, o->tau == (double)FIL_AUTO,
              "tau: dfs chooses anew after a number of steps; expected --refresh");
    FIL_CHECK(p->ctx, o->topology == NULL, "topology: dfs uses none; expected policy west or auto");
    FIL_CHECK(p->ctx, o->budgets == NULL, "budgets: dfs keeps as many blocks in every head");
    FIL_CHECK(p->ctx, o->mask == NULL, "mask: dfs makes its own; expected policy mask");
    FIL_CHECK(p->ctx, o->gate != 1, "gate: dfs has none; expected policy vsa");
    return FIL_OK;
}

static fil_status take_masks(fili_policy *p, own *o)
{
    const fili_policy_setup *s = &p->setup;
    const int32_t            m = o->scores.m;
    int32_t                  n = 0;
    void                    *block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)s->layers, sizeof(int32_t), &block));
    o->slot = block;
    for (int32_t l = 0; l < s->layers; l++)
        o->slot[l] = p->layer_is_dense[l] ? -1 : n++;
    o->small = (fili_mask){
        .ctx = p->ctx, .heads = s->heads, .mq = m, .mk = m, .words = fili_mask_words(m)};
    o->words = (size_t)s->heads * (size_t)m * (size_t)o->small.words;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)n, sizeof(made), &block));
    o->made = block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)n, o->words * sizeof(uint32_t), &block));
    o->bits = block;
    if (n > 0) {
        fili_policy_keep(p, "dfs budgets", o->made, (size_t)n * sizeof(made));
        fili_policy_keep(p, "dfs masks", o->bits, (size_t)n * o->words * sizeof(uint32_t));
    }
    if (o->scores.per == 1) return FIL_OK;
    return fili_policy_mask(p, s->heads, p->blocks.m, p->blocks.m, &o->mask);
}

static fil_status take_bound(fili_policy *p, own *o)
{
    const fili_policy_setup *s     = &p->setup;
    const int32_t            m     = o->scores.m;
    const fili_sampled_shape shape = {.per      = o->scores.per,
                                      .most     = SAMPLES,
                                      .heads    = s->heads,
                                      .head_dim = s->head_dim,
                                      .dtype    = s->dtype};
    void                    *block;
    p->reads_rows = 1;
    FIL_TRY(fili_sampled_mass_init(&o->exact, p->ctx, &p->arena, &p->blocks, &shape));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)s->heads * (size_t)m, (size_t)m * sizeof(float),
                              &block));
    o->score = block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)m, sizeof(int32_t), &block));
    o->tokens = block;
    for (int32_t b = 0; b < p->blocks.m; b++)
        o->tokens[b / o->scores.per] += fili_blocks_valid(&p->blocks, b);
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)s->heads, sizeof(float), &block));
    o->bound = block;
    return FIL_OK;
}

static fil_status prepare(fili_policy *p)
{
    FIL_TRY(refuse_others(p));
    FIL_TRY(fili_policy_own(p, sizeof(own)));
    own *o = p->own;
    FIL_TRY(fili_tile_scores_init(&o->scores, p->ctx, &p->arena, &p->blocks, p->o.block / 64,
                                  p->setup.heads, p->setup.head_dim, p->setup.dtype));
    FIL_TRY(take_masks(p, o));
    return p->o.measure_recall != 0 ? take_bound(p, o) : FIL_OK;
}

/* ---- select --------------------------------------------------------------------------------- */

/* Is this one of the steps at which masks are made? */
static bool is_due(const fili_policy *p, int32_t step)
{
    const int32_t sparse = step - p->o.dense_steps;
    const int64_t left   = (int64_t)p->setup.steps - step;
    return sparse % p->o.refresh == 0 && (sparse == 0 || 2 * left >= p->o.refresh);
}

static fil_status bound_heads(fili_policy *p, const fili_policy_call *call)
{
    own          *o     = p->own;
    const int32_t m     = o->scores.m;
    const double  begun = filk_seconds(p->ctx);

    fili_policy_rows rows;
    FIL_TRY(fili_policy_bring(call, 0, p->order.n, &rows));
    FIL_TRY(fili_sampled_mass_run(&o->exact, rows.q, call->k, call->scale));
    for (int32_t h = 0; h < call->heads; h++) {
        const fili_recall_head head = {.mq     = m,
                                       .mk     = m,
                                       .score  = o->score + (int64_t)h * m * m,
                                       .kept   = fili_mask_row(&o->small, h, 0),
                                       .weight = o->tokens,
                                       .n_rows = o->exact.n,
                                       .row    = o->exact.row,
                                       .mass   = o->exact.mass + (int64_t)h * o->exact.n * m};
        o->bound[h]                 = fili_recall_bound(&head, NULL);
    }
    p->measure_seconds += filk_seconds(p->ctx) - begun;
    return FIL_OK;
}

static fil_status select_blocks(fili_policy *p, const fili_policy_call *call,
                                fili_policy_choice *choice)
{
    own          *o    = p->own;
    const int32_t slot = o->slot[call->layer];
    const int32_t keep = fili_policy_keep_blocks(call->density, o->scores.m);
    made         *m    = &o->made[slot];
    if (keep == o->scores.m) return FIL_OK;
    o->small.bits = o->bits + (size_t)slot * o->words;
    if (m->keep != keep || (call->pass == 0 && is_due(p, call->step))) {
        m->keep = 0; /* until it is whole */
        FIL_TRY(fili_tile_scores_run(&o->scores, call->q, call->k, call->scale, keep, o->small.bits,
                                     o->score));
        m->keep           = keep;
        choice->refreshed = 1;
        if (o->bound != NULL) FIL_TRY(bound_heads(p, call));
        choice->recall_bound = o->bound;
    }
    FIL_TRY(fili_mask_check(&o->small)); /* its bits may come from a checkpoint */
    choice->mask       = &o->small;
    choice->wants_tail = p->o.tail;
    if (o->scores.per == 1) return FIL_OK;
    choice->mask = &o->mask;
    return fili_mask_expand(&o->mask, &o->small);
}

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    snprintf(
        text, bytes,
        "softmax votes of pooled tiles of 16, f32; blocks of %d; per head and row the largest "
        "max(1, floor(density M)); first %d steps and layers \"%s\" dense; new every %d steps, "
        "on the first pass",
        p->o.block, p->o.dense_steps, p->o.dense_layers, p->o.refresh);
}

static void close_scores(fili_policy *p)
{
    own *o = p->own;
    if (o != NULL) fili_tile_scores_fini(&o->scores);
}

const fili_policy_ops fili_policy_dfs = {.name        = "dfs",
                                         .summary     = "pooled scores along a Hilbert curve, kept "
                                                        "for some steps (DFSAttn)",
                                         .defaults    = defaults,
                                         .prepare     = prepare,
                                         .select      = select_blocks,
                                         .describe    = describe,
                                         .shape       = shape,
                                         .close       = close_scores,
                                         .knows_bound = 1};
