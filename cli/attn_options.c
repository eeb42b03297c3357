/* cli/attn_options.c: the words of self-attention to fil_policy_options (attn_options.h). */
#include <string.h>

#include "attn_options.h"
#include "report.h"

const char *const cli_on_off_names[]      = {"on", "off", NULL};
const char *const cli_attn_preset_names[] = {"quality", "balanced", "fast", NULL};
const char *const cli_budget_names[]      = {"uniform", "fast", "error", "mass", NULL};
const char *const cli_fallback_names[]    = {"dense", NULL};

static int32_t switch_of(const char *text)
{
    return text == NULL ? FIL_AUTO : strcmp(text, "on") == 0;
}

static void take_numbers(const cli_attn *v, fil_policy_options *o)
{
    if (v->density > 0.0) o->density = v->density;
    if (v->fidelity > 0.0) o->fidelity = v->fidelity;
    if (v->tau > 0.0) o->tau = v->tau;
    if (v->min_tokens > 0) o->min_tokens = v->min_tokens;
    if (v->block > 0) o->block = (int32_t)v->block;
    if (v->refresh > 0) o->refresh = (int32_t)v->refresh;
}

int cli_attn_take(const cli_attn *v, fil_policy_options *out)
{
    fil_policy_options_init(out);
    take_numbers(v, out);
    out->name         = v->attn;
    out->preset       = v->preset;
    out->mask         = v->mask;
    out->topology     = v->topology;
    out->budgets      = v->budgets;
    out->order        = v->order;
    out->dense_layers = v->dense_layers;
    out->tail         = switch_of(v->tail);
    out->gate         = switch_of(v->gate);
    out->fallback     = v->fallback != NULL;
    if (v->dense_layers != NULL && strcmp(v->dense_layers, "none") == 0) out->dense_layers = "";
    if (v->mask != NULL && v->attn != NULL && strcmp(v->attn, "mask") != 0)
        return cli_usage("option --mask: expected no --attn beside it, found %.80s", v->attn);
    if (v->mask != NULL) out->name = "mask";
    return cli_read_count("dense-steps", v->dense_steps, 1000, &out->dense_steps);
}
