/* engine/generate_api.c: fil_generate and fil_generate_check: the phases in their order
 * (filigree/video.h). Latents are on disk before the first frame is decoded; those that nobody
 * asked for are removed when the video stands, and named where it does not. What a run that is
 * stopped goes on from is removed behind everything else, the checkpoint last: it is what finds the
 * rest again.
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

/* A run as it is told, and the options that it points to. */
typedef struct told {
    fil_generate_options o;
    fil_policy_options   policy;
    fili_recipe_run      run;
} told;

/* What the clock decided for auto is part of it: the same happens when it is repeated. */
static void tell(const fili_job *job, const fil_video_result *result, told *t)
{
    *t = (told){.o = job->o, .policy = job->policy_options};
    if (strcmp(job->policy.policy->ops->name, "auto") == 0)
        t->policy.dense_from = result->dense_from;
    if (t->o.policy != NULL) t->o.policy = &t->policy;
    t->run = (fili_recipe_run){.model  = &job->model->given,
                               .o      = &t->o,
                               .dit    = job->checkpoint.dit,
                               .plan   = &job->plan,
                               .result = result};
}

/* Only what a repetition would have too: equal runs give equal videos. */
static fil_status take_notes(fili_job *job, const fil_video_result *result)
{
    told              t;
    fili_video_notes *n = &job->outputs.notes;
    tell(job, result, &t);
    n->software    = "filigree " FIL_VERSION_STRING;
    n->description = job->o.prompt;
    return fili_recipe_settings(job->ctx, &job->arena, &t.run, &n->comment);
}

static fil_status decode(fili_job *job, fil_video_result *result)
{
    const fili_decode       d  = fili_job_decode(job);
    const fili_decode_input in = {
        .weights = job->vae_weights, .z = job->latents, .tiled = job->decode.tiled};
    if (!fili_job_has_frames(job)) return FIL_OK;
    if (job->outputs.stands) {
        remove_latents(job);
        return FIL_OK;
    }
    FIL_TRY(take_notes(job, result));
    const fil_status status = fili_decode_latents(job->ctx, &d, &in, result);
    if (status == FIL_OK)
        remove_latents(job);
    else if (job->latents_path != NULL)
        fili_error_frame(job->ctx, "decoding %s, where the latents are kept",
                         fili_quote(job->latents_path, strlen(job->latents_path)).text);
    return status;
}

static fil_status write_recipe(const fili_job *job, const fil_video_result *result)
{
    told        t;
    const char *path = job->o.save_recipe;
    if (path == NULL) return FIL_OK;
    tell(job, result, &t);
    const int        replace = job->o.replace || job->own_recipe;
    const fil_status status  = fili_recipe_write(job->ctx, path, replace, &t.run);
    if (status != FIL_OK)
        fili_error_frame(job->ctx, "writing the recipe %s", fili_quote(path, strlen(path)).text);
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

static fil_status run_phases(fili_job *job, fil_video_result *result)
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
    if (job->latents_path != NULL && (job->keeps_latents || !job->outputs.stands))
        FIL_TRY(fili_latents_write(job->ctx, job->latents_path, "latents", job->shape, job->latents,
                                   job->replace));
    FIL_TRY(decode(job, result));
    FIL_TRY(write_recipe(job, result));
    fili_piece_log_remove(job->ctx, job->outputs.kept);
    fili_checkpoint_remove(job);
    tell_done(job, result);
    return FIL_OK;
}

fil_status fili_job_run(fili_job *job, fil_video_result *result)
{
    const fil_status status = run_phases(job, result);
    if (status != FIL_OK) {
        fili_outputs_failed(job->ctx, &job->outputs);
        fili_job_capture_failed(job);
    }
    return status;
}

static fil_status estimate(fili_job *job)
{
    fili_rates rates = {.each = {0.0}};
    return fili_job_estimate(job, &rates);
}

/* Only who listens waits for the measurement. */
static fil_status tell_plan(fili_job *job)
{
    const fil_event e = {.kind    = FIL_EVENT_PLANNED,
                         .step    = job->checkpoint.first,
                         .n_steps = job->plan.steps,
                         .plan    = &job->plan};
    if (job->o.event == NULL) return FIL_OK;
    FIL_TRY(estimate(job));
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

/* what: the call. */
static fil_status plan_of(const char *what, fil_model *model, const fil_generate_options *options,
                          fil_plan *plan, fil_status (*more)(fili_job *job))
{
    fili_job *job = NULL;
    FIL_CHECK(NULL, model != NULL, "%s: model is NULL", what);
    fili_ctx_enter(model->ctx);
    FIL_CHECK(model->ctx, options != NULL && plan != NULL, "%s: %s is NULL", what,
              options == NULL ? "options" : "plan");
    fil_status status = fili_job_open(model, options, NULL, &job);
    if (status == FIL_OK && more != NULL) status = more(job);
    if (status == FIL_OK) *plan = job->plan;
    fili_job_close(&job);
    return status;
}

fil_status fil_generate_check(fil_model *model, const fil_generate_options *options, fil_plan *plan)
{
    return plan_of("fil_generate_check", model, options, plan, NULL);
}

fil_status fil_generate_estimate(fil_model *model, const fil_generate_options *options,
                                 fil_plan *plan)
{
    return plan_of("fil_generate_estimate", model, options, plan, estimate);
}
