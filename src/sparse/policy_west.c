/* sparse/policy_west.c: masks from a table that was made beforehand (WEST + FAST).
 *
 * ScalingAttention (arXiv 2606.23019): for each layer, step and head the blocks that matter hardly
 * depend on the prompt, so that `filigree calibrate` writes them down once (sparse/topology.h): a
 * level per block. A budget per (layer, step, head) says up to which level blocks are kept: that of
 * the file, or one that is searched here for a density or a fidelity of the whole run, as FAST does
 * (`--budgets fast`), the same density everywhere (`uniform`, the control), or by the slope of the
 * measured output error (`error`). Choosing is a look-up: bytes of a step group are read when it
 * begins, and bits are made of them when a head's budget changes.
 *
 * Choices where the paper leaves one: sparse/west_map.h, sparse/fast_budgets.h. On another grid
 * maps are transferred by coordinates and their densities measured anew; fidelities and errors stay
 * those of the base grid, where the transferred mask keeps at least as much.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "base/pool.h"
#include "sparse/policy_topology.h"
#include "sparse/topology_maps.h"

/* What is at hand of one (layer, pass). */
typedef struct slot {
    int32_t   group; /* whose levels these are; -1 = none yet */
    uint8_t  *level; /* [H, m, m] */
    int16_t  *made;  /* [H] level that the bits were made for; -1 = none */
    fili_mask mask;  /* [H, M, M] over blocks of 64 */
} slot;

typedef struct own {
    fili_topology       t;
    int32_t             m; /* blocks of a map on this grid */
    fili_blocks         blocks;
    fili_topology_maps  maps;
    fili_mask           pairs;  /* [H, m, m] where blocks are pairs */
    uint8_t            *budget; /* [L, S, P, H] */
    slot               *slots;  /* [L, P] */
    fili_budgets_wish   wish;
    fili_budgets_result found;
    int32_t             searched; /* 0: the budgets of the file */
} own;

/* ---- defaults, and the file ----------------------------------------------------------------- */

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    (void)setup;
    if (options->order == NULL) options->order = ""; /* that of the file */
    if (options->block == FIL_AUTO) options->block = 0;
}

static fil_status fit(fili_policy *p)
{
    const own                *o   = p->own;
    const fili_topology_info *i   = &o->t.info;
    const fili_topology_run   run = fili_policy_topology_run(p);
    FIL_TRY(fili_topology_fits(&o->t, &run));
    FIL_CHECK(p->ctx, p->o.order[0] == '\0' || strcmp(p->o.order, i->order) == 0,
              "order: expected that of the topology, %s, found '%.60s'", i->order, p->o.order);
    FIL_CHECK(p->ctx, p->o.block == 0 || p->o.block == i->block,
              "block: expected that of the topology, %d, found %d", (int)i->block, (int)p->o.block);
    p->o.order = i->order;
    p->o.block = i->block;
    return FIL_OK;
}

static fil_status take_wish(fili_policy *p)
{
    own                      *o     = p->own;
    const fil_policy_options *given = &p->o;
    fili_budgets_wish_init(&o->wish);
    o->searched = given->density != (double)FIL_AUTO || given->fidelity != (double)FIL_AUTO;
    if (given->density != (double)FIL_AUTO) o->wish.density = given->density;
    if (given->fidelity != (double)FIL_AUTO) o->wish.fidelity = given->fidelity;
    if (p->setup.single) o->wish.kind = FILI_BUDGETS_UNIFORM; /* the density is the call's */
    if (given->budgets == NULL) return FIL_OK;
    const int kind = fili_budgets_from_name(given->budgets);
    FIL_CHECK(p->ctx, kind >= 0, "budgets: expected uniform, fast or error, found '%.60s'",
              given->budgets);
    FIL_CHECK(p->ctx, o->searched, "budgets %s: expected a density or a fidelity beside them",
              given->budgets);
    o->wish.kind = (fili_budgets_kind)kind;
    return FIL_OK;
}

static fil_status begin(fili_policy *p)
{
    FIL_CHECK(p->ctx, p->o.topology != NULL,
              "west: expected a topology, as filigree calibrate makes it, found none");
    FIL_TRY(fili_policy_own(p, sizeof(own)));
    own *o = p->own;
    FIL_TRY(take_wish(p));
    FIL_TRY(fili_policy_in_topology(p, fili_topology_open(&o->t, p->ctx, p->o.topology)));
    return fili_policy_in_topology(p, fit(p));
}

/* ---- budgets -------------------------------------------------------------------------------- */

typedef struct profiles {
    fil_ctx     *ctx;
    size_t       bytes;     /* of each */
    float       *values[3]; /* density, fidelity, error */
    fili_profile view;
} profiles;

static void close_profiles(profiles *f)
{
    for (int i = 0; i < 3; i++)
        fili_free(f->ctx, f->values[i], f->bytes);
}

static fil_status read_profiles(const own *o, profiles *f)
{
    const fili_entry *entry[3] = {o->t.density, o->t.fidelity, o->t.error};
    for (int i = 0; i < 3; i++) {
        void *block;
        if (entry[i] == NULL) continue;
        FIL_TRY(fili_alloc(f->ctx, f->bytes, "profiles", &block));
        f->values[i] = block;
        FIL_TRY(fili_topology_read_profile(&o->t, entry[i], f->values[i]));
    }
    f->view.density  = f->values[0];
    f->view.fidelity = f->values[1];
    f->view.error    = f->values[2];
    return FIL_OK;
}

static float *at_step(const own *o, float *values, int32_t layer, int32_t step, int32_t pass)
{
    const fili_topology_info *i    = &o->t.info;
    const int64_t             maps = ((int64_t)layer * i->steps + step) * i->passes + pass;
    return values + maps * i->heads * i->n_levels;
}

/* density[H, K] of maps on this grid. */
static void density_of_maps(const own *o, const uint8_t *level, float *density)
{
    const int32_t n = o->t.info.n_levels;
    double        of_head[FILI_LEVELS_MOST];
    for (int32_t h = 0; h < o->t.info.heads; h++) {
        fili_profile_density(level + (size_t)h * (size_t)o->m * (size_t)o->m, &o->blocks, n,
                             of_head);
        for (int32_t k = 0; k < n; k++)
            density[h * n + k] = (float)of_head[k];
    }
}

/* Densities of one (layer, group, pass) of the transferred maps, for all steps of the group. */
static fil_status measure_group(fili_policy *p, const int32_t key[3], float *density)
{
    own                      *o     = p->own;
    const fili_topology_info *i     = &o->t.info;
    const size_t              bytes = (size_t)i->heads * (size_t)i->n_levels * sizeof *density;
    const float              *first = NULL;
    for (int32_t s = 0; s < i->steps; s++) {
        float *to = at_step(o, density, key[0], s, key[2]);
        if (o->t.step_group[s] != key[1]) continue;
        if (first != NULL) {
            memcpy(to, first, bytes);
            continue;
        }
        FIL_TRY(fili_topology_maps_load(&o->maps, key[0], key[1], key[2], o->slots[0].level));
        density_of_maps(o, o->slots[0].level, to);
        first = to;
    }
    return FIL_OK;
}

/* All of them, into the profile. */
static fil_status measure_densities(fili_policy *p, float *density)
{
    const fili_topology_info *i = &((own *)p->own)->t.info;
    for (int32_t l = 0; l < i->layers; l++)
        for (int32_t g = 0; g < i->groups; g++)
            for (int32_t t = 0; t < i->passes; t++) {
                const int32_t key[3] = {l, g, t};
                FIL_TRY(measure_group(p, key, density));
            }
    return FIL_OK;
}

/* Calls that the schedule makes dense cost everything at every level, and lose nothing. */
static void mark_dense(const fili_policy *p, const profiles *f)
{
    const own                *o = p->own;
    const fili_topology_info *i = &o->t.info;
    const int64_t             n = (int64_t)i->passes * i->heads * i->n_levels;
    for (int32_t l = 0; l < p->setup.layers; l++)
        for (int32_t s = 0; s < p->setup.steps; s++) {
            if (!fili_policy_is_dense(p, l, s)) continue;
            for (int64_t k = 0; k < n; k++) {
                at_step(o, f->values[0], l, s, 0)[k] = 1.0f;
                at_step(o, f->values[1], l, s, 0)[k] = 1.0f;
                if (f->values[2] != NULL) at_step(o, f->values[2], l, s, 0)[k] = 0.0f;
            }
        }
}

/* Which call it will be is not known yet: budgets of each, as if it were alone. */
static fil_status budgets_of_calls(fili_policy *p, const profiles *f)
{
    own                      *o    = p->own;
    const fili_topology_info *i    = &o->t.info;
    const int64_t             maps = (int64_t)i->passes * i->heads;
    for (int64_t k = 0; k < (int64_t)i->layers * i->steps; k++) {
        fili_profile  one = f->view;
        const int64_t at  = k * maps * i->n_levels;
        one.layers = one.steps = 1;
        one.density += at;
        one.fidelity += at;
        if (one.error != NULL) one.error += at;
        FIL_TRY(fili_budgets_find_call(p->ctx, &one, &o->wish, o->budget + k * maps, &o->found));
    }
    return FIL_OK;
}

static fil_status search(fili_policy *p, const profiles *f)
{
    own *o = p->own;
    if (p->setup.single && o->wish.density != 0.0) return budgets_of_calls(p, f);
    FIL_TRY(fili_budgets_find(p->ctx, &f->view, &o->wish, o->budget, &o->found));
    if (o->found.reachable) return FIL_OK;
    return FIL_FAIL(p->ctx, FIL_E_UNSUP,
                    "%s %g: out of reach, as the topology's %s budgets and the dense calls come to "
                    "a density of %.3f and a fidelity of %.3f",
                    o->wish.density != 0.0 ? "density" : "fidelity",
                    o->wish.density != 0.0 ? o->wish.density : o->wish.fidelity,
                    fili_budgets_name(o->wish.kind), o->found.density, o->found.fidelity);
}

/* For fili_policy_target: what a sparse layer's call of each step computes, on average. */
static void tell_densities(fili_policy *p, const profiles *f)
{
    const own                *o    = p->own;
    const fili_topology_info *i    = &o->t.info;
    const int32_t             maps = i->passes * i->heads;
    for (int32_t s = 0; s < p->setup.steps; s++) {
        double  sum = 0.0;
        int64_t n   = 0;
        for (int32_t l = 0; l < p->setup.layers; l++) {
            const uint8_t *budget = o->budget + ((int64_t)l * i->steps + s) * maps;
            const float   *d      = at_step(o, f->values[0], l, s, 0);
            for (int32_t k = 0; k < maps && !p->layer_is_dense[l]; k++, n++)
                sum += (double)d[(int64_t)k * i->n_levels + budget[k]];
        }
        p->density[s] = n > 0 ? sum / (double)n : 1.0;
    }
}

static fil_status find_budgets(fili_policy *p, profiles *f)
{
    own *o = p->own;
    FIL_TRY(fili_policy_in_topology(p, read_profiles(o, f)));
    if (o->maps.transferred)
        FIL_TRY(fili_policy_in_topology(p, measure_densities(p, f->values[0])));
    mark_dense(p, f);
    if (p->order.n < p->o.min_tokens) /* all of it runs dense, whatever was asked for */
        memset(o->budget, o->t.info.n_levels - 1, o->t.budget->bytes);
    else if (o->searched)
        FIL_TRY(search(p, f));
    else
        FIL_TRY(fili_policy_in_topology(p, fili_topology_read_budget(&o->t, o->budget)));
    o->found.density  = fili_budgets_density(&f->view, o->budget);
    o->found.fidelity = fili_budgets_fidelity(&f->view, o->budget);
    tell_densities(p, f);
    return FIL_OK;
}

static fil_status choose_budgets(fili_policy *p)
{
    own                      *o = p->own;
    const fili_topology_info *i = &o->t.info;
    profiles                  f = {.ctx = p->ctx, .bytes = (size_t)fili_topology_profile_bytes(i)};
    f.view                      = (fili_profile){.layers = i->layers,
                                                 .steps  = i->steps,
                                                 .passes = i->passes,
                                                 .heads  = i->heads,
                                                 .levels = i->n_levels};
    const fil_status status     = find_budgets(p, &f);
    close_profiles(&f);
    return status;
}

/* ---- prepare -------------------------------------------------------------------------------- */

static fil_status open_slot(fili_policy *p, slot *s)
{
    const own   *o     = p->own;
    const size_t heads = (size_t)p->setup.heads;
    void        *block;
    s->group = -1;
    FIL_TRY(fili_arena_alloc(&p->arena, heads * (size_t)o->m * (size_t)o->m, &block));
    s->level = block;
    FIL_TRY(fili_arena_calloc(&p->arena, heads, sizeof *s->made, &block));
    s->made = block;
    return fili_policy_mask(p, p->setup.heads, p->blocks.m, p->blocks.m, &s->mask);
}

static fil_status open_slots(fili_policy *p)
{
    own                      *o = p->own;
    const fili_topology_info *i = &o->t.info;
    const int32_t             n = p->setup.layers * i->passes;
    void                     *block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)n, sizeof *o->slots, &block));
    o->slots = block;
    for (int32_t k = 0; k < n; k++)
        FIL_TRY(open_slot(p, &o->slots[k]));
    if (i->block == 64) return FIL_OK;
    return fili_policy_mask(p, i->heads, o->m, o->m, &o->pairs);
}

static fil_status prepare(fili_policy *p)
{
    own                      *o = p->own;
    const fili_topology_info *i = &o->t.info;
    void                     *block;
    FIL_TRY(fili_topology_blocks(&o->blocks, &p->order, i->block));
    o->m                       = o->blocks.m;
    const fili_cover_side here = {.order = &p->order, .blocks = &o->blocks};
    FIL_TRY(fili_topology_maps_open(&o->maps, p->ctx, &p->arena, &o->t, &here));
    FIL_TRY(fili_arena_alloc(
        &p->arena, (size_t)(fili_topology_profile_bytes(i) / (uint64_t)i->n_levels / sizeof(float)),
        &block));
    o->budget = block;
    FIL_TRY(open_slots(p));
    return choose_budgets(p);
}

/* ---- select --------------------------------------------------------------------------------- */

typedef struct making {
    const own     *o;
    const uint8_t *budget; /* [H] */
    slot          *s;
} making;

/* Bits of head h: those of blocks, or of pairs and then of the blocks in them. */
static fil_status make_head(void *arg, int64_t head, int32_t worker)
{
    const making  *job = arg;
    const own     *o   = job->o;
    const int32_t  h   = (int32_t)head;
    const int32_t  m   = o->m;
    const uint8_t *l   = job->s->level + (size_t)h * (size_t)m * (size_t)m;
    const uint8_t  b   = job->budget[h];
    fili_mask      to  = job->s->mask;
    (void)worker;
    if (job->s->made[h] == b) return FIL_OK;
    job->s->made[h] = b;
    fili_mask from  = o->pairs.bits != NULL ? o->pairs : to;
    from.bits       = fili_mask_row(&from, h, 0);
    from.heads      = 1;
    for (int32_t u = 0; u < m; u++)
        fili_levels_bits(l + (int64_t)u * m, m, b, fili_mask_row(&from, 0, u));
    if (o->pairs.bits == NULL) return FIL_OK;
    to.bits  = fili_mask_row(&to, h, 0);
    to.heads = 1;
    return fili_mask_expand(&to, &from);
}

static fil_status refresh(fili_policy *p, slot *s, const int32_t key[3], const uint8_t *budget)
{
    own   *o   = p->own;
    making job = {.o = o, .budget = budget, .s = s};
    if (s->group != key[1]) {
        s->group = -1;
        for (int32_t h = 0; h < o->t.info.heads; h++)
            s->made[h] = -1;
        FIL_TRY(fili_policy_in_topology(
            p, fili_topology_maps_load(&o->maps, key[0], key[1], key[2], s->level)));
        s->group = key[1];
    }
    return fili_pool_run(p->ctx, "masks of a topology", o->t.info.heads, make_head, &job);
}

static bool is_made(const own *o, const slot *s, const int32_t key[3], const uint8_t *budget)
{
    if (s->group != key[1]) return false;
    for (int32_t h = 0; h < o->t.info.heads; h++)
        if (s->made[h] != budget[h]) return false;
    return true;
}

static bool keeps_all(const uint8_t *budget, int32_t heads, int32_t n_levels)
{
    for (int32_t h = 0; h < heads; h++)
        if (budget[h] != n_levels - 1) return false;
    return true;
}

static fil_status select_blocks(fili_policy *p, const fili_policy_call *call,
                                fili_policy_choice *choice)
{
    own                      *o      = p->own;
    const fili_topology_info *i      = &o->t.info;
    const int32_t             pass   = i->passes == 1 ? 0 : call->pass;
    const int64_t             at     = ((int64_t)call->layer * i->steps + call->step) * i->passes;
    const uint8_t            *budget = o->budget + (at + pass) * i->heads;
    const int32_t             key[3] = {call->layer, o->t.step_group[call->step], pass};
    slot                     *s      = &o->slots[call->layer * i->passes + pass];
    if (fili_policy_is_dense(p, call->layer, call->step) ||
        keeps_all(budget, i->heads, i->n_levels))
        return FIL_OK;
    if (!is_made(o, s, key, budget)) {
        FIL_TRY(refresh(p, s, key, budget));
        choice->refreshed = 1;
    }
    choice->mask       = &s->mask;
    choice->wants_tail = p->o.tail;
    return FIL_OK;
}

/* ---- words ---------------------------------------------------------------------------------- */

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    const own                *o        = p->own;
    const fili_topology_info *i        = &o->t.info;
    const fili_surface       *s        = &o->found.surface;
    char                      how[96]  = "budgets of the file";
    char                      from[64] = "";
    if (o->searched && o->wish.kind == FILI_BUDGETS_FAST && !p->setup.single)
        snprintf(how, sizeof how, "fast budgets (beta %.4g, gamma %.4g, omega %.4g)", s->beta,
                 s->gamma, s->omega);
    else if (o->searched)
        snprintf(how, sizeof how, "%s budgets", fili_budgets_name(o->wish.kind));
    if (o->maps.transferred)
        snprintf(from, sizeof from, ", transferred from %d,%d,%d", (int)i->grid.f, (int)i->grid.h,
                 (int)i->grid.w);
    snprintf(text, bytes, "%s of maps, %s, density %.3f, fidelity %.3f, blocks of %d%s", i->map,
             how, o->found.density, o->found.fidelity, (int)i->block, from);
}

static void close_west(fili_policy *p)
{
    own *o = p->own;
    if (o == NULL) return;
    fili_topology_close(&o->t);
    fili_blocks_fini(&o->blocks);
    fili_topology_maps_close(&o->maps);
}

const fili_policy_ops fili_policy_west = {.name        = "west",
                                          .summary     = "a calibrated table, with budgets per "
                                                         "layer, step and head (ScalingAttention)",
                                          .defaults    = defaults,
                                          .begin       = begin,
                                          .prepare     = prepare,
                                          .select      = select_blocks,
                                          .describe    = describe,
                                          .close       = close_west,
                                          .own_budgets = 1,
                                          .no_use      = FILI_WORD_TAU | FILI_WORD_REFRESH |
                                                    FILI_WORD_GATE | FILI_WORD_MASK};
