/* sparse/policy.c: the life of a policy, and what happens around each choice (policy.h). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "sparse/policy_inside.h"

static const fili_policy_ops *const table[] = {
#define FILI_POLICY(name) &fili_policy_##name,
#include "sparse/policy.inc"
#undef FILI_POLICY
};

enum { N_POLICIES = sizeof table / sizeof table[0] };

/* ---- the list ------------------------------------------------------------------------------- */

int32_t fil_policies(void)
{
    return N_POLICIES;
}

void fil_policy_get(int32_t i, fil_policy_info *info)
{
    if (info == NULL) return;
    *info = (fil_policy_info){.name = NULL};
    if (i < 0 || i >= N_POLICIES) return;
    *info = (fil_policy_info){.name = table[i]->name, .summary = table[i]->summary};
}

void fil_policy_options_init(fil_policy_options *options)
{
    *options = (fil_policy_options){.struct_size = (uint32_t)sizeof *options,
                                    .density     = FIL_AUTO,
                                    .fidelity    = FIL_AUTO,
                                    .dense_steps = FIL_AUTO,
                                    .min_tokens  = FIL_AUTO,
                                    .block       = FIL_AUTO,
                                    .tail        = FIL_AUTO,
                                    .refresh     = FIL_AUTO,
                                    .tau         = FIL_AUTO,
                                    .gate        = FIL_AUTO,
                                    .dense_from  = FIL_AUTO};
}

static fil_status find(fil_ctx *ctx, const char *name, const fili_policy_ops **out)
{
    char   names[256];
    size_t at = 0;
    for (int32_t i = 0; i < N_POLICIES; i++) {
        if (strcmp(table[i]->name, name) == 0) {
            *out = table[i];
            return FIL_OK;
        }
        const int n =
            snprintf(names + at, sizeof names - at, "%s%s", i > 0 ? ", " : "", table[i]->name);
        if (n > 0 && at + (size_t)n < sizeof names) at += (size_t)n;
    }
    return FIL_FAIL(ctx, FIL_E_ARG, "policy: expected %s, found '%.60s'", names, name);
}

/* ---- options -------------------------------------------------------------------------------- */

static fil_status check_share(fil_ctx *ctx, const char *what, double x)
{
    FIL_CHECK(ctx, x == (double)FIL_AUTO || (x > 0.0 && x <= 1.0),
              "%s: expected above 0, up to 1, found %g", what, x);
    return FIL_OK;
}

static fil_status check_flag(fil_ctx *ctx, const char *what, int32_t x)
{
    FIL_CHECK(ctx, x == FIL_AUTO || x == 0 || x == 1, "%s: expected 0, 1 or %d, found %d", what,
              FIL_AUTO, x);
    return FIL_OK;
}

static fil_status check_options(fil_ctx *ctx, const fil_policy_options *o)
{
    FIL_TRY(check_share(ctx, "density", o->density));
    FIL_TRY(check_share(ctx, "fidelity", o->fidelity));
    FIL_CHECK(ctx, o->density == (double)FIL_AUTO || o->fidelity == (double)FIL_AUTO,
              "expected a density or a fidelity, found both");
    FIL_CHECK(ctx, o->tau == (double)FIL_AUTO || (isfinite(o->tau) && o->tau >= 0.0),
              "tau: expected 0 or more, found %g", o->tau);
    FIL_CHECK(ctx, o->dense_steps >= FIL_AUTO, "dense steps: expected 0 or more, found %d",
              o->dense_steps);
    FIL_CHECK(ctx, o->min_tokens >= FIL_AUTO, "minimum of tokens: expected 0 or more, found %lld",
              (long long)o->min_tokens);
    FIL_CHECK(ctx, o->block == FIL_AUTO || o->block == 64 || o->block == 128,
              "block: expected 64 or 128 tokens, found %d", o->block);
    FIL_CHECK(ctx, o->refresh == FIL_AUTO || o->refresh >= 1,
              "refresh: expected 1 step or more, found %d", o->refresh);
    FIL_TRY(check_flag(ctx, "tail", o->tail));
    return check_flag(ctx, "gate", o->gate);
}

/* Before the method's defaults: what stands there has been asked for. */
static fil_status check_use(const fili_policy *p)
{
    const fil_policy_options *o    = &p->o;
    const uint32_t            none = p->ops->no_use;
    const struct {
        uint32_t    word;
        bool        given;
        const char *what;
    } words[] = {{FILI_WORD_TAU, o->tau != (double)FIL_AUTO, "tau"},
                 {FILI_WORD_REFRESH, o->refresh > 1, "refresh"},
                 {FILI_WORD_GATE, o->gate == 1, "gate"},
                 {FILI_WORD_BLOCK, o->block > FILI_BLOCK_TOKENS, "block"},
                 {FILI_WORD_TOPOLOGY, o->topology != NULL, "topology"},
                 {FILI_WORD_BUDGETS, o->budgets != NULL, "budgets"},
                 {FILI_WORD_MASK, o->mask != NULL, "mask"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        FIL_CHECK(p->ctx, !(words[i].given && (none & words[i].word) != 0),
                  "%s: policy %s has no use for it; expected none, or another policy",
                  words[i].what, p->ops->name);
    return FIL_OK;
}

/* What no default of the method has filled. */
static void fill_options(fil_policy_options *o, int32_t single)
{
    if (o->dense_steps == FIL_AUTO || single) o->dense_steps = 0;
    if (o->dense_layers == NULL || single) o->dense_layers = "";
    if (o->min_tokens == FIL_AUTO) o->min_tokens = 0;
    if (o->order == NULL) o->order = "raster";
    if (o->block == FIL_AUTO) o->block = 64;
    if (o->tail == FIL_AUTO) o->tail = 0;
    if (o->refresh == FIL_AUTO) o->refresh = 1;
}

static fil_status own_text(fili_policy *p, const char **text)
{
    char *copy;
    if (*text == NULL) return FIL_OK;
    FIL_TRY(fili_arena_text(&p->arena, *text, strlen(*text), &copy));
    *text = copy;
    return FIL_OK;
}

static fil_status take_options(fili_policy *p, const fil_policy_options *options)
{
    fil_policy_options *o = &p->o;
    *o                    = *options;
    FIL_TRY(check_options(p->ctx, o));
    FIL_TRY(fili_policy_preset(p->ctx, &p->setup, o));
    FIL_TRY(find(p->ctx, o->name != NULL ? o->name : "dense", &p->ops));
    o->name = p->ops->name;
    FIL_TRY(check_use(p));
    if (p->ops->defaults != NULL) p->ops->defaults(&p->setup, o);
    fill_options(o, p->setup.single);
    FIL_CHECK(p->ctx, p->ops->own_budgets || o->fidelity == (double)FIL_AUTO,
              "fidelity: policy %s has no profile of it; expected a density", p->ops->name);
    FIL_TRY(own_text(p, &o->dense_layers));
    FIL_TRY(own_text(p, &o->order));
    FIL_TRY(own_text(p, &o->topology));
    FIL_TRY(own_text(p, &o->mask));
    return own_text(p, &o->budgets);
}

/* ---- life ----------------------------------------------------------------------------------- */

static fil_status check_setup(fil_ctx *ctx, const fili_policy_setup *s)
{
    FIL_CHECK(ctx,
              s->layers >= 1 && s->steps >= 1 && s->passes >= 1 && s->passes <= 2 && s->heads >= 1,
              "a policy for %d layers, %d steps, %d passes, %d heads", s->layers, s->steps,
              s->passes, s->heads);
    return FIL_OK;
}

static fil_status prepare(fili_policy *p, const fil_policy_options *options)
{
    fili_order_spec spec;
    FIL_TRY(take_options(p, options));
    if (p->ops->begin != NULL) FIL_TRY(p->ops->begin(p));
    FIL_TRY(fili_order_parse(p->ctx, p->o.order, &spec));
    FIL_TRY(fili_order_init(&p->order, p->ctx, p->setup.grid, &spec));
    FIL_TRY(fili_blocks_from_order(&p->blocks, &p->order));
    FIL_TRY(fili_policy_schedule(p));
    FIL_TRY(fili_policy_count_open(p));
    if (p->o.tail != 0) FIL_TRY(fili_policy_tail_open(p));
    return p->ops->prepare(p);
}

static fil_status open_one(fil_ctx *ctx, const fil_policy_options *options,
                           const fili_policy_setup *setup, fili_policy **out)
{
    void          *block;
    const uint64_t before = ctx->memory.used;
    *out                  = NULL;
    FIL_TRY(check_setup(ctx, setup));
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fili_policy), "policy", &block));
    fili_policy *p = block;
    p->ctx         = ctx;
    p->setup       = *setup;
    p->order       = (fili_order){.ctx = ctx};
    p->blocks      = (fili_blocks){.ctx = ctx};
    fili_arena_init(&p->arena, ctx, "policy", 0);
    const fil_status status = prepare(p, options);
    p->setup.model_hash = p->setup.sampler = NULL; /* the caller's, for this call */
    p->bytes                               = ctx->memory.used - before;
    *out                                   = p;
    if (status == FIL_OK) return FIL_OK;
    if (p->ops != NULL) fili_error_frame(ctx, "policy %s", p->ops->name);
    fili_policy_close(out);
    return status;
}

fil_status fili_policy_open(fil_ctx *ctx, const fil_policy_options *options,
                            const fili_policy_setup *setup, fili_policy **out)
{
    fil_policy_options dense;
    const fil_status   status = open_one(ctx, options, setup, out);
    if (status == FIL_OK || !options->fallback ||
        (status != FIL_E_MISMATCH && status != FIL_E_UNSUP && status != FIL_E_SHAPE))
        return status;
    fili_log(ctx, FIL_LOG_WARNING, "attention runs dense, as policy %s cannot be had: %s",
             options->name != NULL ? options->name : "auto", ctx->error.message);
    fili_ctx_enter(ctx);
    fil_policy_options_init(&dense);
    return open_one(ctx, &dense, setup, out);
}

void fili_policy_close(fili_policy **policy)
{
    if (policy == NULL || *policy == NULL) return;
    fili_policy *p = *policy;
    if (p->ops != NULL && p->ops->close != NULL) p->ops->close(p);
    fili_arena_fini(&p->arena);
    fili_blocks_fini(&p->blocks);
    fili_order_fini(&p->order);
    fili_free(p->ctx, p, sizeof *p);
    *policy = NULL;
}

uint64_t fili_policy_bytes(const fili_policy *p)
{
    return p->bytes;
}

/* ---- a choice ------------------------------------------------------------------------------- */

static fil_status check_call(const fili_policy *p, const fili_policy_call *call)
{
    const fili_policy_setup *s = &p->setup;
    if (call->layer >= 0 && call->layer < s->layers && call->step >= 0 && call->step < s->steps &&
        call->pass >= 0 && call->pass < s->passes && call->heads == s->heads &&
        call->head_dim == s->head_dim && call->dtype == s->dtype && call->blocks->m == p->blocks.m)
        return FIL_OK;
    return FIL_FAIL(p->ctx, FIL_E_INTERNAL,
                    "layer %d, step %d, pass %d was not planned: %d layers, %d steps, %d passes",
                    call->layer, call->step, call->pass, s->layers, s->steps, s->passes);
}

bool fili_policy_is_dense(const fili_policy *p, int32_t layer, int32_t step)
{
    return p->layer_is_dense[layer] || step < p->o.dense_steps;
}

fil_status fili_policy_select(fili_policy *p, fili_policy_call *call, fili_policy_choice *choice)
{
    *choice = (fili_policy_choice){.mask = NULL};
    FIL_TRY(check_call(p, call));
    call->density = p->layer_is_dense[call->layer] ? 1.0 : p->density[call->step];
    if (!fili_policy_is_dense(p, call->layer, call->step) &&
        (call->density < 1.0 || p->ops->own_budgets || p->ops->always)) {
        FIL_TRY(p->ops->select(p, call, choice));
        if (choice->mask == NULL) choice->wants_tail = 0;
        if (choice->wants_tail) FIL_TRY(fili_policy_tail_fill(p, call, choice));
    }
    return fili_policy_count_add(p, call, choice);
}

fil_status fili_policy_skip(fili_policy *p, const fili_policy_call *call,
                            fili_policy_choice *choice)
{
    *choice = (fili_policy_choice){.mask = NULL};
    FIL_TRY(check_call(p, call));
    return fili_policy_count_add(p, call, choice);
}

void fili_policy_reset(fili_policy *p)
{
    for (int32_t i = 0; i < p->n_pieces; i++)
        memset(p->piece[i].data, 0, p->piece[i].bytes);
    fili_policy_count_reset(p);
}

void fili_policy_describe(const fili_policy *p, char text[FILI_POLICY_TEXT])
{
    char own[FILI_POLICY_TEXT / 2] = "";
    if (p->ops->describe != NULL) p->ops->describe(p, own, sizeof own);
    snprintf(text, FILI_POLICY_TEXT, "%s: %s; order %s, %d block%s%s", p->ops->name, own,
             p->o.order, p->blocks.m, p->blocks.m == 1 ? "" : "s", p->o.tail != 0 ? ", tail" : "");
}

/* ---- for policies --------------------------------------------------------------------------- */

fil_status fili_policy_own(fili_policy *p, size_t bytes)
{
    return fili_arena_calloc(&p->arena, 1, bytes, &p->own);
}

void fili_policy_keep(fili_policy *p, const char *name, void *data, size_t bytes)
{
    if (p->n_pieces < FILI_POLICY_PIECES)
        p->piece[p->n_pieces++] = (fili_policy_piece){.name = name, .data = data, .bytes = bytes};
}

int32_t fili_policy_keep_blocks(double density, int32_t m)
{
    const double keep = floor(density * m + 1e-9 * m);
    return keep < 1.0 ? 1 : keep > m ? m : (int32_t)keep;
}

fil_status fili_policy_mask(fili_policy *p, int32_t heads, int32_t mq, int32_t mk, fili_mask *out)
{
    void *block;
    *out = (fili_mask){
        .ctx = p->ctx, .heads = heads, .mq = mq, .mk = mk, .words = fili_mask_words(mk)};
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)heads * (size_t)mq,
                              (size_t)out->words * sizeof(uint32_t), &block));
    out->bits = block;
    return FIL_OK;
}

/* ---- state ---------------------------------------------------------------------------------- */

size_t fili_policy_state_bytes(const fili_policy *p)
{
    size_t bytes = 0;
    for (int32_t i = 0; i < p->n_pieces; i++)
        bytes += p->piece[i].bytes;
    return bytes;
}

void fili_policy_state_save(const fili_policy *p, void *to)
{
    char *at = to;
    for (int32_t i = 0; i < p->n_pieces; i++) {
        memcpy(at, p->piece[i].data, p->piece[i].bytes);
        at += p->piece[i].bytes;
    }
}

fil_status fili_policy_state_load(fili_policy *p, const void *from, size_t bytes)
{
    const char *at = from;
    if (bytes != fili_policy_state_bytes(p))
        return FIL_FAIL(p->ctx, FIL_E_FORMAT,
                        "the state of policy %s has %llu bytes; expected %llu", p->ops->name,
                        (unsigned long long)bytes, (unsigned long long)fili_policy_state_bytes(p));
    for (int32_t i = 0; i < p->n_pieces; i++) {
        memcpy(p->piece[i].data, at, p->piece[i].bytes);
        at += p->piece[i].bytes;
    }
    return FIL_OK;
}
