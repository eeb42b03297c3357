/* sparse/policy_count.c: how much was computed, counted from the masks that were used, and how much
 * of the attention that was (policy.h). What is printed as density comes from here alone.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "kernel/cpu/peak.h"
#include "sparse/block_mass.h"
#include "sparse/policy_inside.h"
#include "sparse/recall.h"
#include "sparse/sink_mass.h"

struct fili_policy_count {
    double  kept, sparse_kept; /* sums of the calls' densities */
    int64_t calls, sparse_calls, refreshes;
    double  recall_sum, recall_min, bound_min;
    int64_t recalls;
};

struct fili_policy_exact {
    fili_block_mass block;
    double         *recall; /* [H] */
};

static fil_status open_exact(fili_policy *p)
{
    const fili_policy_setup *s = &p->setup;
    void                    *block;
    FIL_TRY(fili_arena_calloc(&p->arena, 1, sizeof *p->exact, &block));
    struct fili_policy_exact *x = block;
    p->exact                    = x;
    FIL_TRY(fili_block_mass_plan(&x->block, p->ctx, &p->blocks, s->heads, s->head_dim, s->dtype));
    FIL_TRY(fili_block_mass_take(&x->block, &p->arena, 1));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)s->heads, sizeof(double), &block));
    x->recall = block;
    return FIL_OK;
}

void fili_policy_count_reset(fili_policy *p)
{
    *p->count = (struct fili_policy_count){.recall_min = 1.0, .bound_min = 1.0};
    for (uint64_t i = 0; i < p->n_calls; i++)
        p->call_density[i] = NAN;
}

fil_status fili_policy_count_open(fili_policy *p)
{
    const fili_policy_setup *s     = &p->setup;
    const uint64_t           calls = (uint64_t)s->layers * (uint64_t)s->steps * (uint64_t)s->passes;
    void                    *block;
    FIL_TRY(fili_arena_calloc(&p->arena, 1, sizeof *p->count, &block));
    p->count = block;
    fili_policy_keep(p, "count", p->count, sizeof *p->count);
    FIL_TRY(fili_arena_alloc(&p->arena, (size_t)calls * sizeof(float), &block));
    p->call_density = block;
    p->n_calls      = calls;
    fili_policy_count_reset(p);
    fili_policy_keep(p, "call density", p->call_density, (size_t)calls * sizeof(float));
    if (p->o.measure_recall == 0) return FIL_OK;
    p->reads_rows = 1;
    return open_exact(p);
}

/* ---- pairs ---------------------------------------------------------------------------------- */

static double sink_share(const fili_policy *p, const fili_policy_choice *c)
{
    uint64_t pairs = 0;
    for (int32_t h = 0; h < p->setup.heads; h++)
        for (int32_t q = 0; q < p->blocks.m; q++)
            pairs += (uint64_t)fili_lone_sinks(&p->blocks, c, h, q) *
                     (uint64_t)fili_blocks_valid(&p->blocks, q);
    return (double)pairs / ((double)p->order.n * p->order.n * p->setup.heads);
}

/* The smaller of two; a NaN stays. */
static double least(double so_far, double now)
{
    return isnan(now) || now < so_far ? now : so_far;
}

static fil_status count_density(fili_policy *p, fili_policy_choice *c)
{
    c->density = 1.0;
    if (c->mask == NULL) return FIL_OK;
    FIL_TRY(fili_mask_density(c->mask, &p->blocks, &p->blocks, &c->density));
    if (c->n_sinks > 0) c->density += sink_share(p, c);
    return FIL_OK;
}

/* ---- recall --------------------------------------------------------------------------------- */

/* What the sinks keep beside the blocks; a head's masses sum to its number of tokens. */
static fil_status add_sinks(const fili_policy *p, const fili_policy_call *call,
                            const fili_policy_choice *c, double *mean)
{
    fili_policy_call here = *call;
    fili_policy_rows rows;
    if (c->n_sinks == 0) return FIL_OK;
    FIL_TRY(fili_policy_bring(call, 0, p->order.n, &rows));
    here.q = rows.q;
    here.k = rows.k;
    for (int32_t h = 0; h < p->setup.heads; h++) {
        double sum = 0.0;
        for (int32_t q = 0; q < p->blocks.m; q++)
            sum += fili_sink_mass(&here, c, p->exact->block.lse, h, q);
        p->exact->recall[h] += sum / p->order.n;
        *mean += sum / p->order.n / p->setup.heads;
    }
    return FIL_OK;
}

static fil_status measure(fili_policy *p, const fili_policy_call *call, fili_policy_choice *c)
{
    struct fili_policy_exact *x    = p->exact;
    double                    mean = 1.0;
    if (c->mask != NULL) {
        FIL_TRY(fili_block_mass_run(&x->block, call->q, call->k, call->scale));
        FIL_TRY(fili_mask_recall(c->mask, x->block.mass, p->setup.heads, x->recall, &mean));
        FIL_TRY(add_sinks(p, call, c, &mean));
        c->recall = x->recall;
    }
    p->count->recall_sum += mean;
    p->count->recalls++;
    for (int32_t h = 0; c->recall != NULL && h < p->setup.heads; h++)
        p->count->recall_min = least(p->count->recall_min, c->recall[h]);
    return FIL_OK;
}

fil_status fili_policy_count_add(fili_policy *p, const fili_policy_call *call,
                                 fili_policy_choice *c)
{
    const fili_policy_setup *s = &p->setup;
    const int64_t            i = ((int64_t)call->layer * s->steps + call->step) * s->passes;
    FIL_TRY(count_density(p, c));
    p->call_density[i + call->pass] = (float)c->density;
    p->count->kept += c->density;
    p->count->calls++;
    if (c->mask == NULL) return FIL_OK;
    p->count->sparse_kept += c->density;
    p->count->sparse_calls++;
    p->count->refreshes += c->refreshed != 0;
    for (int32_t h = 0; c->recall_bound != NULL && c->refreshed && h < s->heads; h++)
        p->count->bound_min = least(p->count->bound_min, (double)c->recall_bound[h]);
    if (p->exact == NULL || !c->refreshed) return FIL_OK;
    const double begun = filk_seconds(p->ctx);
    FIL_TRY(measure(p, call, c));
    p->measure_seconds += filk_seconds(p->ctx) - begun;
    return FIL_OK;
}

/* ---- figures -------------------------------------------------------------------------------- */

static double mean_of(double sum, int64_t n)
{
    return n > 0 ? sum / (double)n : 1.0;
}

void fili_policy_figures_get(const fili_policy *p, fili_policy_figures *out)
{
    const struct fili_policy_count *c = p->count;

    *out = (fili_policy_figures){.density        = mean_of(c->kept, c->calls),
                                 .sparse_density = mean_of(c->sparse_kept, c->sparse_calls),
                                 .calls          = c->calls,
                                 .dense_calls    = c->calls - c->sparse_calls,
                                 .refreshes      = c->refreshes,
                                 .recall         = (double)NAN,
                                 .recall_min     = (double)NAN,
                                 .bound_min      = c->bound_min};
    if (c->recalls == 0) return;
    out->recall     = c->recall_sum / (double)c->recalls;
    out->recall_min = c->recall_min;
}

double fili_policy_density_at(const fili_policy *p, int32_t layer, int32_t step, int32_t pass)
{
    const fili_policy_setup *s = &p->setup;
    return (double)p->call_density[((int64_t)layer * s->steps + step) * s->passes + pass];
}
