/* sparse/fixed_masks.c: masks made once (sparse/fixed_masks.h). */
#include <math.h>
#include <string.h>

#include "sparse/fixed_masks.h"

static int32_t earlier_step(const fili_policy *p, int32_t step)
{
    for (int32_t i = 0; i < step; i++)
        if (p->density[i] == p->density[step]) return i;
    return -1;
}

static fil_status take(fili_fixed_masks *out, fili_policy *p)
{
    const size_t steps = (size_t)p->setup.steps;
    void        *block;
    FIL_TRY(fili_arena_calloc(&p->arena, steps, sizeof(int32_t), &block));
    out->of_step = block;
    for (int32_t i = 0; i < p->setup.steps; i++) {
        const int32_t same = earlier_step(p, i);
        out->of_step[i] = !(p->density[i] < 1.0) ? -1 : same >= 0 ? out->of_step[same] : out->n++;
    }
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)out->n, sizeof *out->mask, &block));
    out->mask = block;
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)out->n, sizeof *out->full, &block));
    out->full = block;
    return FIL_OK;
}

bool fili_fixed_is_full(const fili_policy *p, const fili_mask *mask)
{
    double density;
    return fili_mask_density(mask, &p->blocks, &p->blocks, &density) == FIL_OK && density == 1.0;
}

fil_status fili_fixed_masks_make(fili_fixed_masks *out, fili_policy *p, fili_fixed_make_fn make,
                                 const void *arg)
{
    int32_t made = 0;
    *out         = (fili_fixed_masks){.n = 0};
    FIL_TRY(take(out, p));
    for (int32_t i = 0; i < p->setup.steps; i++) {
        if (out->of_step[i] != made) continue; /* dense, or made before */
        fili_mask *mask = &out->mask[made];
        FIL_TRY(fili_policy_mask(p, 1, p->blocks.m, p->blocks.m, mask));
        FIL_TRY(make(p, arg, p->density[i], mask));
        out->full[made++] = fili_fixed_is_full(p, mask);
    }
    return FIL_OK;
}

const fili_mask *fili_fixed_masks_at(const fili_fixed_masks *masks, int32_t step)
{
    const int32_t i = masks->of_step[step];
    return i < 0 || masks->full[i] ? NULL : &masks->mask[i];
}

void fili_fixed_choose(const fili_policy *p, const fili_mask *mask, fili_policy_choice *choice)
{
    choice->mask       = mask;
    choice->wants_tail = mask != NULL && p->o.tail;
    choice->refreshed  = p->o.measure_recall; /* q and k are new, and so is what a mask recalls */
}

static bool is_one_of(const char *text, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(text, *names) == 0) return true;
    return false;
}

fil_status fili_fixed_check(const fili_policy *p, const char *const *budgets)
{
    const fil_policy_options *o    = &p->o;
    const char               *name = p->ops->name;
    const char               *what = o->topology != NULL             ? "a topology"
                                     : o->mask != NULL               ? "a mask file"
                                     : o->gate == 1                  ? "a gate"
                                     : o->tau != (double)FIL_AUTO    ? "tau"
                                     : o->block != FILI_BLOCK_TOKENS ? "blocks of 128 tokens"
                                                                     : NULL;
    if (what != NULL)
        return FIL_FAIL(p->ctx, FIL_E_UNSUP, "%s: asked for %s; it has no use for that", name,
                        what);
    if (o->budgets != NULL && !is_one_of(o->budgets, budgets))
        return FIL_FAIL(p->ctx, FIL_E_UNSUP, "%s: budgets '%.60s'; expected %s%s%s", name,
                        o->budgets, budgets[0] != NULL ? budgets[0] : "none",
                        budgets[0] != NULL ? " or " : "", budgets[0] != NULL ? budgets[1] : "");
    return FIL_OK;
}

void fili_fixed_dense(const fili_policy_setup *setup, fil_policy_options *options, double steps,
                      const char *layers)
{
    if (options->density != (double)FIL_AUTO) return;
    if (options->dense_steps == FIL_AUTO)
        options->dense_steps = (int32_t)lround(steps * setup->steps);
    if (options->dense_layers == NULL) options->dense_layers = layers;
}
