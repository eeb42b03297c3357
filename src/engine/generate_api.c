/* engine/generate_api.c: fil_generate and fil_generate_check: the phases in their order
 * (filigree/video.h). Latents are on disk before the first frame is decoded; those that nobody
 * asked for are removed when the video stands, and named where it does not.
 */
#include <string.h>

#include "base/mem.h"
#include "engine/recipe.h"
#include "engine/video_job.h"

fil_status fili_job_open(fil_model *model, const fil_generate_options *options, fili_batch *batch,
                         fili_job **out)
{
    void *block;
    FIL_TRY(fili_calloc(model->ctx, 1, sizeof(fili_job), "a run", &block));
    *out                    = block;
    (*out)->ctx             = model->ctx;
    (*out)->model           = model;
    (*out)->batch           = batch;
    const fil_status status = fili_job_check(*out, options);
    return status;
}

void fili_job_close(fili_job **job)
{
    if (*job == NULL) return;
    fil_ctx *ctx = (*job)->ctx;
    fili_job_fini(*job);
    fili_free(ctx, *job, sizeof **job);
    *job = NULL;
}

static void remove_latents(const fili_job *job)
{
    const fili_os *os = job->ctx->os;
    if (!job->keeps_latents && job->latents_path != NULL)
        (void)os->unlinkat(os->self, FILI_CWD, job->latents_path);
}

/* What the clock decided for auto is part of it: the same happens when it is repeated. */
static void take_policy_options(const fili_job *job, const fil_video_result *result,
                                fil_policy_options *p)
{
    *p = job->policy_options;
    if (strcmp(job->policy.policy->ops->name, "auto") == 0) p->dense_from = result->dense_from;
}

/* Only what a repetition would have too: equal runs give equal videos. */
static fil_status take_notes(fili_job *job, const fil_video_result *result)
{
    fil_generate_options o = job->o;
    fil_policy_options   p;
    fili_video_notes    *n = &job->outputs.notes;
    take_policy_options(job, result, &p);
    if (o.policy != NULL) o.policy = &p;
    n->software    = "filigree " FIL_VERSION_STRING;
    n->description = o.prompt;
    return fili_recipe_settings(job->ctx, &job->arena, &o, job->checkpoint.dit, &job->plan, result,
                                &n->comment);
}

static fil_status decode(fili_job *job, fil_video_result *result)
{
    const fili_decode d = fili_job_decode(job);
    if (!fili_job_has_frames(job)) return FIL_OK;
    FIL_TRY(take_notes(job, result));
    const fil_status status = fili_decode_latents(job->ctx, &d, job->vae_weights, job->decode.tiled,
                                                  job->latents, result);
    if (status == FIL_OK)
        remove_latents(job);
    else if (job->latents_path != NULL)
        fili_error_frame(job->ctx, "decoding %s, where the latents are kept",
                         fili_quote(job->latents_path, strlen(job->latents_path)).text);
    return status;
}

static fil_status write_recipe(const fili_job *job, const fil_video_result *result)
{
    fil_generate_options o = job->o;
    fil_policy_options   p;
    if (o.save_recipe == NULL) return FIL_OK;
    take_policy_options(job, result, &p);
    if (o.policy != NULL) o.policy = &p;
    const fil_status status =
        fili_recipe_write(job->ctx, o.save_recipe, o.replace, &job->model->given, &o,
                          job->checkpoint.dit, &job->plan, result);
    if (status != FIL_OK)
        fili_error_frame(job->ctx, "writing the recipe %s",
                         fili_quote(o.save_recipe, strlen(o.save_recipe)).text);
    return status;
}

static void tell_done(const fili_job *job, fil_video_result *result)
{
    const fil_event e  = {.kind    = FIL_EVENT_DONE,
                          .step    = job->plan.steps,
                          .n_steps = job->plan.steps,
                          .path    = job->o.video,
                          .result  = result};
    result->peak_bytes = job->ctx->memory.peak;
    if (job->o.event != NULL) job->o.event(job->o.event_user, &e);
}

fil_status fili_job_run(fili_job *job, fil_video_result *result)
{
    const double begun = fili_seconds(job->ctx);
    result->frames     = job->o.frames;
    result->width      = job->o.width;
    result->height     = job->o.height;
    FIL_TRY(fili_outputs_begin(job->ctx, &job->outputs));
    FIL_TRY(fili_job_capture_begin(job));
    if (job->o.resume == NULL) FIL_TRY(fili_job_text(job));
    result->text_seconds = fili_seconds(job->ctx) - begun;
    FIL_TRY(fili_job_sample(job, result));
    if (job->latents_path != NULL)
        FIL_TRY(fili_latents_write(job->ctx, job->latents_path, "latents", job->shape, job->latents,
                                   job->replace));
    FIL_TRY(decode(job, result));
    FIL_TRY(write_recipe(job, result));
    fili_checkpoint_remove(job);
    tell_done(job, result);
    return FIL_OK;
}

/* Only who listens waits for the measurement. */
static fil_status tell_plan(fili_job *job)
{
    const fil_event e = {.kind = FIL_EVENT_PLANNED, .n_steps = job->plan.steps, .plan = &job->plan};
    if (job->o.event == NULL) return FIL_OK;
    if (job->o.resume == NULL) FIL_TRY(fili_job_estimate(job));
    job->o.event(job->o.event_user, &e);
    return FIL_OK;
}

fil_status fil_generate(fil_model *model, const fil_generate_options *options,
                        fil_video_result *result)
{
    fil_video_result mine = {.saved_step = -1};
    fili_job        *job  = NULL;
    FIL_CHECK(NULL, model != NULL, "fil_generate: model is NULL");
    fili_ctx_enter(model->ctx);
    FIL_CHECK(model->ctx, options != NULL, "fil_generate: options is NULL");
    fil_status status = fili_job_open(model, options, NULL, &job);
    if (status == FIL_OK) status = tell_plan(job);
    if (status == FIL_OK) status = fili_job_run(job, &mine);
    fili_job_close(&job);
    mine.peak_bytes = model->ctx->memory.peak;
    if (result != NULL) *result = mine;
    return status;
}

static fil_status plan_of(fil_model *model, const fil_generate_options *options, fil_plan *plan,
                          bool estimates)
{
    fili_job  *job    = NULL;
    fil_status status = fili_job_open(model, options, NULL, &job);
    if (status == FIL_OK && estimates) status = fili_job_estimate(job);
    if (status == FIL_OK) *plan = job->plan;
    fili_job_close(&job);
    return status;
}

fil_status fil_generate_check(fil_model *model, const fil_generate_options *options, fil_plan *plan)
{
    FIL_CHECK(NULL, model != NULL, "fil_generate_check: model is NULL");
    fili_ctx_enter(model->ctx);
    FIL_CHECK(model->ctx, options != NULL && plan != NULL, "fil_generate_check: %s is NULL",
              options == NULL ? "options" : "plan");
    return plan_of(model, options, plan, false);
}

fil_status fil_generate_estimate(fil_model *model, const fil_generate_options *options,
                                 fil_plan *plan)
{
    FIL_CHECK(NULL, model != NULL, "fil_generate_estimate: model is NULL");
    fili_ctx_enter(model->ctx);
    FIL_CHECK(model->ctx, options != NULL && plan != NULL, "fil_generate_estimate: %s is NULL",
              options == NULL ? "options" : "plan");
    return plan_of(model, options, plan, true);
}
