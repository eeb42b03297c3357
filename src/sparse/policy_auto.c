/* sparse/policy_auto.c: ours: measures on a few rows of each head what pays, and does that.
 *
 * Source: own study, built on DFSAttn's pooled scores (arXiv 2605.23445), FAST's sampled rows
 * (2606.23019) and VSA's cubes (2505.13389); docs/design/policy_auto.md has the figures.
 * Order hilbert-cubes 4x4x4. A choice (auto_choice.h) is made when q or k of the layer have moved
 * by more than tau since the last one (drift.h), when the density changes, or after `refresh`
 * steps; at most one per layer and step: the second pass of guidance uses the first one's as long
 * as it lies within tau of it. Density falls over the steps in five levels, 7 : 6 : 5 : 4 : 3.
 * With a topology, half scores, half its masses are a candidate for each head. Where sparse does
 * not pay by the clock, the engine goes on dense.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sparse/auto_choice.h"
#include "sparse/drift.h"
#include "sparse/policy_topology.h"
#include "sparse/prior_map.h"

enum { LEVELS = 5 };

#define DENSITY 0.25
#define TAU     0.2

/* A choice that a layer and pass has made. */
typedef struct made {
    double  density; /* 0 = none yet */
    int32_t step;
    int32_t n_sinks;
} made;

typedef struct own {
    fili_auto_choice choice;
    fili_drift       drift;
    fili_prior_map   prior; /* of p->o.topology */
    double           tau;
    int32_t         *slot; /* [layers] of its first pass */
    made            *made; /* [slots], and so on */
    uint32_t        *bits;
    float           *factor, *signature;
    int32_t         *sinks;
    size_t           words, floats; /* of a slot's bits and signature */
    float           *now;           /* signature of this call */
    fili_mask        mask;          /* of one slot */
} own;

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    if (options->order == NULL) options->order = "hilbert-cubes 4x4x4";
    if (options->density == (double)FIL_AUTO) options->density = DENSITY;
    if (options->tail == FIL_AUTO) options->tail = 1;
    if (options->refresh == FIL_AUTO) options->refresh = setup->steps;
}

static double shape(const fili_policy *p, int32_t step)
{
    const int32_t steps = p->setup.steps - p->o.dense_steps;
    const int32_t level = steps > 0 ? (int32_t)((int64_t)step * LEVELS / steps) : 0;
    return (7 - (level < LEVELS ? level : LEVELS - 1)) / 5.0;
}

/* ---- prepare -------------------------------------------------------------------------------- */

static bool is_text(const char *a, const char *b)
{
    return a != NULL && strcmp(a, b) == 0;
}

static fil_status refuse_others(const fili_policy *p)
{
    const fil_policy_options *o = &p->o;
    FIL_CHECK(p->ctx, o->block == 64, "block: auto has blocks of 64 tokens, found %d", o->block);
    FIL_CHECK(p->ctx,
              o->budgets == NULL || is_text(o->budgets, "error") || is_text(o->budgets, "uniform"),
              "budgets: expected error or uniform, found '%.60s'", o->budgets);
    FIL_CHECK(p->ctx, o->mask == NULL, "mask: auto makes its own; expected policy mask");
    FIL_CHECK(p->ctx, o->gate != 1, "gate: auto has none; expected policy vsa");
    return FIL_OK;
}

/* `size` bytes for each of n slots, as state. */
static fil_status keep(fili_policy *p, const char *name, int32_t n, size_t size, void **out)
{
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)n, size, out));
    if (n > 0) fili_policy_keep(p, name, *out, (size_t)n * size);
    return FIL_OK;
}

static fil_status take_state(fili_policy *p, own *o)
{
    const fili_policy_setup *s     = &p->setup;
    const size_t             heads = (size_t)s->heads;
    const int32_t            m     = p->blocks.m;
    int32_t                  n     = 0;
    void                    *block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)s->layers, sizeof(int32_t), &block));
    o->slot = block;
    for (int32_t l = 0; l < s->layers; l++) {
        o->slot[l] = n;
        n += p->layer_is_dense[l] ? 0 : s->passes;
    }
    o->mask = (fili_mask){
        .ctx = p->ctx, .heads = s->heads, .mq = m, .mk = m, .words = fili_mask_words(m)};
    o->words  = heads * (size_t)m * (size_t)o->mask.words;
    o->floats = fili_drift_floats(&o->drift);
    FIL_TRY(keep(p, "auto choices", n, sizeof(made), &block));
    o->made = block;
    FIL_TRY(keep(p, "auto masks", n, o->words * sizeof(uint32_t), &block));
    o->bits = block;
    FIL_TRY(keep(p, "auto factors", n, heads * sizeof(float), &block));
    o->factor = block;
    FIL_TRY(keep(p, "auto sinks", n, heads * FILK_MAX_SINKS * sizeof(int32_t), &block));
    o->sinks = block;
    FIL_TRY(keep(p, "auto signatures", n, o->floats * sizeof(float), &block));
    o->signature = block;
    FIL_TRY(fili_arena_calloc(&p->arena, o->floats, sizeof(float), &block));
    o->now = block;
    return FIL_OK;
}

static fil_status open_prior(fili_policy *p)
{
    own                    *o   = p->own;
    const fili_topology_run run = fili_policy_topology_run(p);
    FIL_TRY(fili_prior_map_open(&o->prior, p->ctx, p->o.topology, &run));
    return fili_prior_map_plan(&o->prior, &p->arena, &p->order, &p->blocks);
}

static fil_status prepare(fili_policy *p)
{
    const fili_policy_setup *s = &p->setup;
    FIL_TRY(refuse_others(p));
    FIL_TRY(fili_policy_own(p, sizeof(own)));
    own *o = p->own;
    if (p->o.topology != NULL) FIL_TRY(fili_policy_in_topology(p, open_prior(p)));
    o->tau        = p->o.tau == (double)FIL_AUTO ? TAU : p->o.tau;
    p->reads_rows = 1;
    fili_drift_init(&o->drift, p->ctx, p->order.n, s->heads, s->head_dim, s->dtype);
    FIL_TRY(take_state(p, o));
    return fili_auto_choice_init(&o->choice, p->ctx, &p->arena, &p->blocks, s->heads, s->head_dim,
                                 s->dtype, p->o.topology != NULL);
}

/* ---- select --------------------------------------------------------------------------------- */

static bool is_made(const own *o, const fili_policy_call *call, int32_t slot)
{
    return o->made[slot].density == call->density;
}

/* Made for this density, not long ago, and q and k are still much the same. */
static bool is_fit(const fili_policy *p, const fili_policy_call *call, int32_t slot)
{
    const own *o = p->own;
    if (!is_made(o, call, slot)) return false;
    if (call->step - o->made[slot].step >= p->o.refresh) return false;
    const float *then = o->signature + (size_t)slot * o->floats;
    return fili_drift_between(&o->drift, then, o->now) <= o->tau;
}

static fil_status make(fili_policy *p, const fili_policy_call *call, int32_t slot)
{
    own             *o    = p->own;
    const size_t     at   = (size_t)slot;
    const size_t     head = (size_t)p->setup.heads;
    fili_policy_rows rows;
    FIL_TRY(fili_policy_bring(call, 0, p->order.n, &rows));
    const fili_auto_call c  = {.q        = call->q,
                               .k        = call->k,
                               .v        = call->v,
                               .host_q   = rows.q,
                               .host_k   = rows.k,
                               .host_v   = rows.v,
                               .scale    = call->scale,
                               .density  = call->density,
                               .has_tail = p->o.tail,
                               .uniform  = is_text(p->o.budgets, "uniform"),
                               .prior    = o->prior.mass};
    fili_auto_result     to = {.bits   = o->bits + at * o->words,
                               .factor = o->factor + at * head,
                               .sinks  = o->sinks + at * head * FILK_MAX_SINKS};
    o->made[slot]           = (made){.density = 0.0}; /* until it is whole */
    if (p->o.topology != NULL)
        FIL_TRY(fili_policy_in_topology(
            p, fili_prior_map_read(&o->prior, call->layer, call->step, call->pass)));
    FIL_TRY(fili_auto_choice_run(&o->choice, &c, &to));
    memcpy(o->signature + at * o->floats, o->now, o->floats * sizeof(float));
    o->made[slot] = (made){.density = call->density, .step = call->step, .n_sinks = to.n_sinks};
    return FIL_OK;
}

/* Sinks and factors may come from a checkpoint. */
static fil_status check(const fili_policy *p, int32_t slot)
{
    const own     *o       = p->own;
    const int32_t  n_sinks = o->made[slot].n_sinks;
    const int32_t *sinks   = o->sinks + (size_t)slot * (size_t)p->setup.heads * FILK_MAX_SINKS;
    bool           fine    = n_sinks >= 0 && n_sinks <= FILK_MAX_SINKS;
    for (int32_t h = 0; fine && h < p->setup.heads; h++) {
        const float factor = o->factor[(size_t)slot * (size_t)p->setup.heads + (size_t)h];
        fine               = isfinite(factor) && factor > 0.0f;
        for (int32_t i = 0; fine && i < n_sinks; i++) {
            const int32_t *at = sinks + (size_t)h * FILK_MAX_SINKS + i;
            fine              = *at > (i > 0 ? at[-1] : -1) && *at < p->order.n;
        }
    }
    if (!fine)
        return FIL_FAIL(p->ctx, FIL_E_FORMAT, "state of auto: sinks or factors are out of range");
    return fili_mask_check(&o->mask);
}

static fil_status use(fili_policy *p, int32_t slot, fili_policy_choice *choice)
{
    own         *o    = p->own;
    const size_t head = (size_t)slot * (size_t)p->setup.heads;
    o->mask.bits      = o->bits + (size_t)slot * o->words;
    FIL_TRY(check(p, slot));
    choice->mask           = &o->mask;
    choice->wants_tail     = p->o.tail;
    choice->tail_factor    = p->o.tail ? o->factor + head : NULL;
    choice->n_sinks        = o->made[slot].n_sinks;
    choice->sinks          = choice->n_sinks > 0 ? o->sinks + head * FILK_MAX_SINKS : NULL;
    choice->sinks_stride_h = choice->n_sinks > 0 ? FILK_MAX_SINKS : 0;
    return FIL_OK;
}

/* What the rows at the places of the drift are now. */
static fil_status sign(own *o, const fili_policy_call *call)
{
    const fili_token_runs runs = {
        .n = o->drift.read, .step = o->drift.step, .count = o->drift.places};
    fili_policy_rows rows;
    FIL_TRY(fili_policy_bring_runs(call, &runs, &rows));
    return fili_drift_sign(&o->drift, rows.q, rows.k, o->now);
}

static fil_status select_blocks(fili_policy *p, const fili_policy_call *call,
                                fili_policy_choice *choice)
{
    own          *o     = p->own;
    const int32_t first = o->slot[call->layer];
    const int32_t slot  = first + call->pass;
    if (p->blocks.m == 1) return FIL_OK;
    FIL_TRY(sign(o, call));
    if (is_fit(p, call, slot)) return use(p, slot, choice);
    if (slot != first && is_fit(p, call, first)) return use(p, first, choice);
    if (slot != first && is_made(o, call, first) && o->made[first].step == call->step)
        return use(p, is_made(o, call, slot) ? slot : first, choice);
    FIL_TRY(make(p, call, slot));
    choice->refreshed = 1;
    return use(p, slot, choice);
}

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    const own *o = p->own;
    snprintf(
        text, bytes,
        "votes of pooled tiles%s, one list per head; budgets %s, sinks and factors by the error "
        "on %d rows a head; new when q or k moved by %g, at the latest after %d steps; one "
        "choice a layer and step",
        p->o.topology != NULL ? " or half the topology's" : "",
        is_text(p->o.budgets, "uniform") ? "uniform" : "error", FILK_SAMPLED, o->tau, p->o.refresh);
}

static void close_choice(fili_policy *p)
{
    own *o = p->own;
    if (o == NULL) return;
    fili_auto_choice_fini(&o->choice);
    fili_prior_map_close(&o->prior);
}

const fili_policy_ops fili_policy_auto = {.name      = "auto",
                                          .summary   = "ours: measures on a few rows of each head "
                                                       "what pays, and does that",
                                          .defaults  = defaults,
                                          .prepare   = prepare,
                                          .select    = select_blocks,
                                          .describe  = describe,
                                          .shape     = shape,
                                          .close     = close_choice,
                                          .max_sinks = FILK_MAX_SINKS};
