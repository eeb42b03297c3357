/* sparse/policy_vsa.c: Video Sparse Attention (VSA, arXiv 2505.13389; FastVideo), its inference.
 *
 *     out = fine + gate * coarse
 *
 * fine: attention to the k key cubes of the best scores between pooled queries and keys, k the same
 * for every row, chosen anew in every call; no forced diagonal (section 3.1), a tail if asked for.
 * coarse: attention between the cubes themselves (coarse.h), for models that were trained with a
 * gate; its product is added by the DiT. A model without a gate gets the choice alone. Dense layers
 * and steps of the schedule go without both. Training is not here.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "sparse/coarse.h"
#include "sparse/policy.h"

typedef struct vsa {
    fili_coarse coarse;
    int32_t     m; /* cubes */
    fili_mask   blocks;
    fili_mask   cubes; /* where a cube is several blocks */
    int32_t    *first; /* of cubes in blocks; NULL: a cube is a block */
    float      *out;   /* [m, H, D]; NULL without gate */
} vsa;

/* ---- defaults ------------------------------------------------------------------------------- */

/* 64 or 128: what a cube is a block of. */
static int32_t block_of(const fili_order_spec *s)
{
    const double tokens = (double)s->cube.f * s->cube.h * s->cube.w;
    return tokens > FILI_BLOCK_TOKENS ? 2 * FILI_BLOCK_TOKENS : FILI_BLOCK_TOKENS;
}

/* Cubes of 64 or 128 tokens, and the sparsity that FastVideo trains models of each size with. */
static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    fili_order_spec spec;
    if (options->order == NULL)
        options->order = options->block == 2 * FILI_BLOCK_TOKENS ? "cubes 4x4x8" : "cubes 4x4x4";
    if (options->block == FIL_AUTO && fili_order_known(options->order, &spec))
        options->block = block_of(&spec);
    if (options->density == (double)FIL_AUTO && setup->has_gate && options->gate != 0)
        options->density = setup->heads > 16 ? 0.1 : 0.2;
}

/* ---- prepare -------------------------------------------------------------------------------- */

static fil_status check(const fili_policy *p)
{
    const fili_order_spec    *s = &p->order.spec;
    const fil_policy_options *o = &p->o;
    if (s->kind != FILI_ORDER_CUBES && s->kind != FILI_ORDER_HILBERT_CUBES)
        return FIL_FAIL(p->ctx, FIL_E_UNSUP, "vsa: order %s; expected cubes TxHxW", o->order);
    if (o->block != block_of(s))
        return FIL_FAIL(p->ctx, FIL_E_UNSUP,
                        "vsa: blocks of %d tokens; the cubes of order %s are blocks of %d",
                        o->block, o->order, block_of(s));
    if (o->refresh != 1)
        return FIL_FAIL(p->ctx, FIL_E_UNSUP,
                        "vsa: refresh %d; expected 1, as it chooses anew in every call",
                        o->refresh);
    if (o->topology != NULL || o->budgets != NULL)
        return FIL_FAIL(p->ctx, FIL_E_UNSUP, "vsa: a %s is given; it has no use for one",
                        o->topology != NULL ? "topology" : "budget");
    if (o->gate == 1 && !p->setup.has_gate)
        return FIL_FAIL(p->ctx, FIL_E_MISMATCH,
                        "vsa: a gate is wanted, and the model has none (tensors "
                        "'blocks.N.to_gate_compress')");
    return FIL_OK;
}

/* Masks, and where a cube is several blocks, the table of them. */
static fil_status take_masks(fili_policy *p, vsa *own)
{
    const int32_t heads = p->setup.heads;
    void         *block;
    FIL_TRY(fili_policy_mask(p, heads, p->blocks.m, p->blocks.m, &own->blocks));
    if (p->blocks.m == own->m) return FIL_OK;
    FIL_TRY(fili_policy_mask(p, heads, own->m, own->m, &own->cubes));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)own->m + 1, sizeof(int32_t), &block));
    own->first = block;
    return fili_coarse_blocks(&p->order, &p->blocks, own->first);
}

static fil_status prepare(fili_policy *p)
{
    const fili_policy_setup *s = &p->setup;
    void                    *block;
    FIL_TRY(check(p));
    FIL_TRY(fili_policy_own(p, sizeof(vsa)));
    vsa *own     = p->own;
    own->m       = p->order.n_pieces;
    p->uses_gate = s->has_gate && p->o.gate != 0;
    FIL_TRY(take_masks(p, own));
    const fili_coarse_shape shape = {.n           = p->order.n,
                                     .heads       = s->heads,
                                     .head_dim    = s->head_dim,
                                     .dtype       = s->dtype,
                                     .m           = own->m,
                                     .offset      = p->order.piece,
                                     .with_output = p->uses_gate};
    FIL_TRY(fili_coarse_open(&own->coarse, p->ctx, &shape, &p->arena));
    if (!p->uses_gate) return FIL_OK;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)own->m,
                              (size_t)s->heads * (size_t)s->head_dim * sizeof(float), &block));
    own->out = block;
    return FIL_OK;
}

/* ---- select --------------------------------------------------------------------------------- */

/* The search for a whole-run density leaves the wanted number with an error of a few ulps, which
 * the formula would round up to one more cube. */
static int32_t keep_of(const fili_policy *p, double density)
{
    const double wanted = fabs(density - p->o.density) < 1e-9 ? p->o.density : density;
    return fili_coarse_keep(1.0 - wanted, ((const vsa *)p->own)->m);
}

static fil_status choose(fili_policy *p, const fili_policy_call *call, fili_policy_choice *choice)
{
    vsa           *own  = p->own;
    const int32_t  keep = keep_of(p, call->density);
    const int      full = keep == own->m;
    uint32_t      *bits = own->first != NULL ? own->cubes.bits : own->blocks.bits;
    fili_coarse_io io   = {.q     = call->q,
                           .k     = call->k,
                           .v     = call->v,
                           .scale = call->scale,
                           .keep  = keep,
                           .mask  = full ? NULL : bits,
                           .out   = own->out};
    if (full && own->out == NULL) return FIL_OK;
    FIL_TRY(fili_coarse_run(&own->coarse, &io));
    choice->coarse = own->out;
    if (full) return FIL_OK;
    if (own->first != NULL) FIL_TRY(fili_coarse_expand(&own->blocks, &own->cubes, own->first));
    choice->mask       = &own->blocks;
    choice->wants_tail = p->o.tail;
    choice->refreshed  = 1;
    return FIL_OK;
}

/* ---- describe ------------------------------------------------------------------------------- */

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    const int32_t m = ((const vsa *)p->own)->m;
    snprintf(text, bytes,
             "best %d of %d cubes by f32 means, of equal ones the first, chosen in every call; %s",
             keep_of(p, p->density[p->setup.steps - 1]), m,
             p->uses_gate        ? "coarse branch with the model's gate"
             : p->setup.has_gate ? "the model's gate left out"
                                 : "no gate in the model: plain top-k");
}

const fili_policy_ops fili_policy_vsa = {
    .name     = "vsa",
    .summary  = "best cubes by pooled scores, and a gated coarse branch where trained (VSA)",
    .defaults = defaults,
    .prepare  = prepare,
    .select   = choose,
    .describe = describe,
    .always   = 1,
    .no_use   = FILI_WORD_TAU | FILI_WORD_MASK};
