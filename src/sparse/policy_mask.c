/* sparse/policy_mask.c: the masks of a file (sparse/mask_file.h): for experiments, and for masks
 * that other programs made. A place that the file has no mask for runs dense.
 */
#include <stdio.h>
#include <string.h>

#include "sparse/mask_file.h"
#include "sparse/policy.h"

typedef struct own {
    fili_mask_file file;
    bool           is_open;
    fili_mask      mask; /* the one at hand */
    int32_t        i;    /* its number, counted from 1; 0 = none yet */
} own;

static void defaults(const fili_policy_setup *setup, fil_policy_options *options)
{
    (void)setup;
    if (options->mask != NULL && options->order == NULL) options->order = "";
}

static fil_status fit(fili_policy *p)
{
    const fili_mask_file *f = &((own *)p->own)->file;
    const fili_grid       g = p->setup.grid;
    fili_order_spec       spec;
    if (f->grid.f != g.f || f->grid.h != g.h || f->grid.w != g.w)
        return FIL_FAIL(p->ctx, FIL_E_SHAPE,
                        "the mask is for a token grid of %d,%d,%d; this video has %d,%d,%d",
                        (int)f->grid.f, (int)f->grid.h, (int)f->grid.w, (int)g.f, (int)g.h,
                        (int)g.w);
    if (f->heads != 1 && f->heads != p->setup.heads)
        return FIL_FAIL(p->ctx, FIL_E_SHAPE, "the mask has %d heads; the model has %d",
                        (int)f->heads, (int)p->setup.heads);
    if (!fili_order_known(f->order_name, &spec))
        return FIL_FAIL(p->ctx, FIL_E_UNSUP, "the mask's order '%.80s' is none that is known",
                        f->order_name);
    FIL_CHECK(p->ctx, p->o.order[0] == '\0' || strcmp(p->o.order, f->order_name) == 0,
              "order: expected that of the mask, %.80s, found '%.60s'", f->order_name, p->o.order);
    return FIL_OK;
}

static fil_status open_file(fili_policy *p)
{
    own *o = p->own;
    FIL_TRY(fili_mask_file_open(&o->file, p->ctx, p->o.mask));
    o->is_open = true;
    FIL_TRY(fit(p));
    p->o.order = o->file.order_name;
    return FIL_OK;
}

static fil_status framed(fili_policy *p, fil_status status)
{
    if (status != FIL_OK)
        fili_error_frame(p->ctx, "mask %s", fili_quote(p->o.mask, strlen(p->o.mask)).text);
    return status;
}

static fil_status begin(fili_policy *p)
{
    FIL_CHECK(p->ctx, p->o.mask != NULL, "mask: expected a mask file, found none");
    FIL_CHECK(p->ctx, p->o.density == (double)FIL_AUTO && p->o.fidelity == (double)FIL_AUTO,
              "mask: the file says how much is kept; expected no density beside it");
    FIL_TRY(fili_policy_own(p, sizeof(own)));
    return framed(p, open_file(p));
}

static bool same_blocks(const fili_blocks *a, const fili_blocks *b)
{
    return a->m == b->m &&
           memcmp(a->offset, b->offset, ((size_t)a->m + 1) * sizeof *a->offset) == 0;
}

static fil_status prepare(fili_policy *p)
{
    own                  *o = p->own;
    const fili_mask_file *f = &o->file;
    if (!(same_blocks(&f->q, &p->blocks) && same_blocks(&f->k, &p->blocks)))
        return framed(p, FIL_FAIL(p->ctx, FIL_E_UNSUP,
                                  "the mask's blocks are not the runs of at most 64 tokens of its "
                                  "order"));
    return fili_policy_mask(p, f->heads, f->q.m, f->k.m, &o->mask);
}

static fil_status select_mask(fili_policy *p, const fili_policy_call *call,
                              fili_policy_choice *choice)
{
    own                *o   = p->own;
    const fili_mask_key key = {.layer = call->layer, .step = call->step, .pass = call->pass};
    const int32_t       i   = fili_mask_file_find(&o->file, key);
    if (i < 0) return FIL_OK;
    if (i + 1 != o->i) {
        o->i = 0;
        FIL_TRY(framed(p, fili_mask_file_read(&o->file, i, &o->mask)));
        choice->refreshed = 1;
    }
    o->i               = i + 1;
    choice->mask       = &o->mask;
    choice->wants_tail = p->o.tail;
    return FIL_OK;
}

static void describe(const fili_policy *p, char *text, size_t bytes)
{
    const own *o = p->own;
    snprintf(text, bytes, "%d mask%s of a file, dense where it has none", o->file.n_masks,
             o->file.n_masks == 1 ? "" : "s");
}

static void close_file(fili_policy *p)
{
    own *o = p->own;
    if (o != NULL && o->is_open) fili_mask_file_close(&o->file);
}

const fili_policy_ops fili_policy_mask_file = {.name     = "mask",
                                               .summary  = "the masks of a file",
                                               .defaults = defaults,
                                               .begin    = begin,
                                               .prepare  = prepare,
                                               .select   = select_mask,
                                               .describe = describe,
                                               .close    = close_file,

                                               .unknown_density = 1,
                                               .own_budgets     = 1,
                                               .no_use = FILI_WORD_TAU | FILI_WORD_REFRESH |
                                                         FILI_WORD_GATE | FILI_WORD_BLOCK |
                                                         FILI_WORD_TOPOLOGY | FILI_WORD_BUDGETS};
