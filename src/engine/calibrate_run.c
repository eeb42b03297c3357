/* engine/calibrate_run.c: dense runs with an eye on every self-attention: block masses into maps
 * (calibration.h). Maps are the same for any number of threads, and with or without a state between
 * two prompts: a union does not depend on its order, and sums are added in the order of the calls.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/calibration.h"

/* ---- a call --------------------------------------------------------------------------------- */

/* Joins masses into the map at `at`. */
static fil_status join(fili_calibration *c, const float *mass, size_t at)
{
    const fili_topology_info *i = &c->info;
    const fili_west_args      a = {.mass     = mass,
                                   .heads    = i->heads,
                                   .m        = i->m,
                                   .levels   = c->levels,
                                   .n_levels = i->n_levels,
                                   .scratch  = c->west_space,
                                   .map      = c->map + at};
    return fili_west_join(c->ctx, &a, &c->grown);
}

static fil_status add(fili_calibration *c, const float *mass, size_t at)
{
    if (!c->is_mean) return join(c, mass, at);
    return fili_west_sum(c->ctx, mass, c->info.heads, c->info.m, c->sum + at);
}

void fili_maps_begin(const fili_calibration *c)
{
    const fili_topology_info *i   = &c->info;
    const size_t              one = (size_t)fili_topology_map_bytes(i);
    for (size_t at = 0; at < fili_maps(c); at += one)
        fili_west_begin(c->map + at, i->heads, i->m, i->n_levels);
}

/* A fili_dit_choose_fn; user is the calibration. The choice stays dense. */
static fil_status measure(void *user, fili_policy_call *call, fili_policy_choice *choice)
{
    fili_calibration         *c    = user;
    const fili_topology_info *i    = &c->info;
    const int32_t             pass = i->passes == 1 ? 0 : call->pass;
    const size_t              at   = fili_map_at(c, call->layer, c->step_group[call->step], pass);
    (void)choice;
    FIL_TRY(fili_block_mass_run(&c->exact, call->q, call->k, call->scale));
    if (i->block == 128) fili_west_pairs(c->exact.mass, i->heads, c->blocks.m, c->pairs);
    const fil_status status = add(c, i->block == 128 ? c->pairs : c->exact.mass, at);
    if (status != FIL_OK) fili_error_frame(c->ctx, "layer %d", (int)call->layer);
    return status;
}

/* ---- a run ---------------------------------------------------------------------------------- */

static fil_status render(fili_calibration *c, fili_job *job, int32_t i, fili_dit_choose_fn choose)
{
    fil_video_result seconds = {.frames = 0};
    FIL_TRY(fili_calibration_job(c, i, job));
    job->dit_options.order  = c->order.spec;
    job->dit_options.choose = choose;
    job->dit_options.user   = c;
    FIL_TRY(fili_job_text(job));
    return fili_job_sample(job, &seconds);
}

fil_status fili_calibration_render(fili_calibration *c, int32_t i, fili_dit_choose_fn choose)
{
    void *block;
    FIL_TRY(fili_calloc(c->ctx, 1, sizeof(fili_job), "a run", &block));
    fili_job        *job    = block;
    const fil_status status = render(c, job, i, choose);
    fili_job_fini(job);
    fili_free(c->ctx, block, sizeof(fili_job));
    return status;
}

/* ---- growth --------------------------------------------------------------------------------- */

/* Share of blocks at the first level that keeps FILI_CALIBRATE_LEVEL percent. */
static double share_kept(const fili_calibration *c)
{
    const size_t  n     = fili_maps(c);
    const int32_t k     = c->info.n_levels;
    uint64_t      count = 0;
    int32_t       level = 0;
    while (level < k - 1 && (double)c->levels[level] * 100.0 < (double)FILI_CALIBRATE_LEVEL - 1e-4)
        level++;
    for (size_t i = 0; i < n; i++)
        count += c->map[i] <= level;
    return (double)count / (double)n;
}

/* What the prompt that is in last has added: mask bits of all levels, over all that could be set.
 * Of means nothing is known before the last prompt. */
static fili_growth_row growth_of(const fili_calibration *c)
{
    const double bits = (double)fili_maps(c) * c->info.n_levels;
    if (c->is_mean) return (fili_growth_row){.added = (double)NAN, .kept = (double)NAN};
    return (fili_growth_row){.added = (double)c->grown.bits / bits, .kept = share_kept(c)};
}

static void tell(const fili_calibration *c, int32_t i, double seconds, int32_t resumed)
{
    const fil_calibrate_prompt p = {.index   = i,
                                    .prompts = c->plan.prompts,
                                    .resumed = resumed,
                                    .seconds = seconds,
                                    .added   = c->growth[i].added,
                                    .kept    = c->growth[i].kept};
    if (c->o.prompt_done != NULL) c->o.prompt_done(c->o.user, &p);
}

/* ---- prompts -------------------------------------------------------------------------------- */

static fil_status one_prompt(fili_calibration *c, int32_t i)
{
    const double begun = fili_seconds(c->ctx);
    c->grown           = (fili_west_growth){0, 0};
    FIL_TRY(fili_calibration_render(c, i, measure));
    c->growth[i] = growth_of(c);
    c->done      = i + 1;
    FIL_TRY(fili_state_save(c));
    tell(c, i, fili_seconds(c->ctx) - begun, 0);
    return FIL_OK;
}

/* Levels of the means, once all prompts are in. */
static fil_status finish_means(fili_calibration *c)
{
    const size_t one = (size_t)fili_topology_map_bytes(&c->info);
    if (!c->is_mean) return FIL_OK;
    fili_maps_begin(c);
    for (size_t at = 0; at < fili_maps(c); at += one)
        FIL_TRY(join(c, c->sum + at, at));
    return FIL_OK;
}

fil_status fili_calibration_prompts(fili_calibration *c)
{
    const uint64_t total = (uint64_t)c->plan.prompts + 1;
    for (int32_t i = 0; i < c->done; i++)
        tell(c, i, 0.0, 1);
    for (int32_t i = c->done; i < c->plan.prompts; i++) {
        fili_progress(c->ctx, "calibrate", (uint64_t)i, total);
        FIL_TRY(fili_check_cancel(c->ctx));
        const fil_status status = one_prompt(c, i);
        if (status == FIL_OK) continue;
        fili_error_frame(c->ctx, "prompt %d of %d", (int)i + 1, (int)c->plan.prompts);
        return status;
    }
    fili_progress(c->ctx, "calibrate", total - 1, total);
    return finish_means(c);
}
