/* sparse/policy_svg.c: Sparse VideoGen (SVG, arXiv 2502.01776): each head is spatial or temporal.
 *
 * A spatial head keeps a band of the raster order, a temporal one a band of places in all frames;
 * both keep the first frame (svg_mask.h). Which, is decided at run time: 64 rows are computed dense
 * and under both masks, and the mask of the smaller squared error of the output is taken, of equal
 * ones the spatial. By default in every call, as the authors do; with `refresh`, every so many
 * steps for each layer and pass. Both bands have the width that meets the density; the authors' is
 * 0.25, after the first 30 % of the steps, with the first layer dense. The authors reorder the
 * tokens of temporal heads; here both masks lie over the raster order.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sparse/fixed_masks.h"
#include "sparse/row_error.h"
#include "sparse/svg_mask.h"

enum { SAMPLED = 64 };

typedef struct svg {
    fili_fixed_masks spatial, temporal;
    fili_mask        mask;   /* [H, M, M] */
    int32_t          n_rows; /* sampled */
    int32_t         *rows;
    double          *error; /* [2, H] */
    void            *workspace;
    uint8_t         *label;   /* [layers, passes, H]: 1 = temporal */
    int32_t         *decided; /* [layers, passes]: 1 + step of the last decision; 0 = none */
} svg;

/* ---- defaults ------------------------------------------------------------------------------- */

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    fili_fixed_dense(setup, options, 0.3, "0");
}

static double shape(const fili_policy *p, int32_t step)
{
    (void)step;
    return p->o.density == (double)FIL_AUTO ? 0.25 : 1.0;
}

/* ---- prepare -------------------------------------------------------------------------------- */

static fil_status make_spatial(const fili_policy *p, const void *arg, double density,
                               fili_mask *mask)
{
    (void)arg;
    return fili_svg_fit(mask, &p->blocks, p->setup.grid, FILI_SVG_SPATIAL, density);
}

static fil_status make_temporal(const fili_policy *p, const void *arg, double density,
                                fili_mask *mask)
{
    (void)arg;
    return fili_svg_fit(mask, &p->blocks, p->setup.grid, FILI_SVG_TEMPORAL, density);
}

static fil_status take(fili_policy *p, svg *own)
{
    const fili_policy_setup *s     = &p->setup;
    const size_t             calls = (size_t)s->layers * (size_t)s->passes;
    const size_t             heads = (size_t)s->heads;
    void                    *block;
    own->n_rows = p->order.n < SAMPLED ? p->order.n : SAMPLED;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)own->n_rows, sizeof(int32_t), &block));
    own->rows = block;
    FIL_TRY(fili_arena_calloc(&p->arena, heads, 2 * sizeof(double), &block));
    own->error = block;
    FIL_TRY(fili_arena_alloc(&p->arena,
                             fili_row_error_workspace(p->ctx->n_threads, s->heads, own->n_rows),
                             &own->workspace));
    FIL_TRY(fili_arena_calloc(&p->arena, calls, heads, &block));
    own->label = block;
    FIL_TRY(fili_arena_calloc(&p->arena, calls, sizeof(int32_t), &block));
    own->decided = block;
    fili_policy_keep(p, "svg labels", own->label, calls * heads);
    fili_policy_keep(p, "svg decided", own->decided, calls * sizeof(int32_t));
    return fili_policy_mask(p, s->heads, p->blocks.m, p->blocks.m, &own->mask);
}

static fil_status prepare(fili_policy *p)
{
    static const char *const no_budgets[] = {NULL};
    FIL_TRY(fili_fixed_check(p, no_budgets));
    if (p->order.spec.kind != FILI_ORDER_RASTER)
        return FIL_FAIL(p->ctx, FIL_E_UNSUP, "svg: order %s; expected raster", p->o.order);
    if (p->setup.head_dim != 64 && p->setup.head_dim != 128)
        return FIL_FAIL(p->ctx, FIL_E_UNSUP, "svg: heads of %d channels; expected 64 or 128",
                        p->setup.head_dim);
    FIL_TRY(fili_policy_own(p, sizeof(svg)));
    svg *own      = p->own;
    p->reads_rows = 1;
    FIL_TRY(fili_fixed_masks_make(&own->spatial, p, make_spatial, NULL));
    FIL_TRY(fili_fixed_masks_make(&own->temporal, p, make_temporal, NULL));
    return take(p, own);
}

/* ---- select --------------------------------------------------------------------------------- */

static fil_status decide(fili_policy *p, const fili_policy_call *call, const fili_mask *spatial,
                         const fili_mask *temporal, uint8_t *label)
{
    svg           *own = p->own;
    const uint64_t stream =
        ((uint64_t)call->step * (uint64_t)p->setup.layers + (uint64_t)call->layer) *
            (uint64_t)p->setup.passes +
        (uint64_t)call->pass;
    fili_policy_rows rows;
    FIL_TRY(fili_policy_bring(call, 0, p->order.n, &rows));
    const fili_row_error_args args = {.blocks   = &p->blocks,
                                      .heads    = call->heads,
                                      .head_dim = call->head_dim,
                                      .dtype    = call->dtype,
                                      .q        = rows.q,
                                      .k        = rows.k,
                                      .v        = rows.v,
                                      .scale    = call->scale,
                                      .rows     = own->rows,
                                      .n_rows   = own->n_rows,
                                      .mask     = {spatial, temporal}};
    fili_sample_rows(p->order.n, own->n_rows, stream, own->rows);
    FIL_TRY(fili_row_error(p->ctx, &args, own->workspace, own->error));
    for (int32_t h = 0; h < call->heads; h++)
        label[h] = own->error[call->heads + h] < own->error[h];
    return FIL_OK;
}

static void copy_head(fili_mask *to, int32_t head, const fili_mask *from)
{
    memcpy(fili_mask_row(to, head, 0), from->bits,
           (size_t)to->mq * (size_t)to->words * sizeof *to->bits);
}

static fil_status choose(fili_policy *p, const fili_policy_call *call, fili_policy_choice *choice)
{
    svg             *own      = p->own;
    const int64_t    i        = (int64_t)call->layer * p->setup.passes + call->pass;
    uint8_t         *label    = own->label + i * p->setup.heads;
    const int32_t    last     = own->decided[i];
    const fili_mask *spatial  = fili_fixed_masks_at(&own->spatial, call->step);
    const fili_mask *temporal = fili_fixed_masks_at(&own->temporal, call->step);
    if (spatial == NULL || temporal == NULL) return FIL_OK;
    const bool anew = last == 0 || call->step < last - 1 || call->step - (last - 1) >= p->o.refresh;
    if (anew) {
        FIL_TRY(decide(p, call, spatial, temporal, label));
        own->decided[i] = call->step + 1;
    }
    for (int32_t h = 0; h < call->heads; h++)
        copy_head(&own->mask, h, label[h] != 0 ? temporal : spatial);
    fili_fixed_choose(p, &own->mask, choice);
    choice->refreshed = choice->refreshed || anew;
    return FIL_OK;
}

/* ---- describe ------------------------------------------------------------------------------- */

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    const svg    *own   = p->own;
    const int64_t n     = (int64_t)p->setup.layers * p->setup.passes * p->setup.heads;
    int64_t       space = 0;
    int64_t       time  = 0;
    for (int64_t i = 0; i < n; i++) {
        if (own->decided[i / p->setup.heads] == 0) continue;
        time += own->label[i];
        space += 1 - own->label[i];
    }
    snprintf(text, bytes,
             "%d rows decide each head every %d steps: at last %lld spatial, %lld temporal",
             own->n_rows, p->o.refresh, (long long)space, (long long)time);
}

const fili_policy_ops fili_policy_svg = {.name     = "svg",
                                         .summary  = "a band in space or in time (SVG)",
                                         .defaults = defaults,
                                         .prepare  = prepare,
                                         .select   = choose,
                                         .describe = describe,
                                         .shape    = shape};
