/* engine/generate_run.c: rows and noise to latents (video_job.h): the transformer is opened, asked
 * once or twice per step, and closed. Between two steps the state of the run is the latents and the
 * solver's; the cancel callback is asked there and within each pass.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "diffusion/guidance.h"
#include "diffusion/noise.h"
#include "engine/video_job.h"

typedef struct sampling {
    fili_job    *job;
    fili_dit    *dit;
    fili_solver  solver;
    float       *v[2]; /* answers to the prompt and the negative prompt */
    fili_mt19937 rng;
} sampling;

static size_t latent_bytes(const fili_job *job)
{
    return (size_t)job->n * sizeof(float);
}

void fili_job_tell(const fili_job *job, fil_event_kind kind, int32_t step, const char *path)
{
    const fil_event e = {.kind = kind, .step = step, .n_steps = job->plan.steps, .path = path};
    if (job->o.event != NULL) job->o.event(job->o.event_user, &e);
}

/* ---- the start ------------------------------------------------------------------------------ */

static fil_status draw_noise(sampling *s)
{
    fili_job                   *job = s->job;
    const fil_generate_options *o   = &job->o;
    void                       *block;
    FIL_TRY(fili_alloc(job->ctx, latent_bytes(job), "the latents", &block));
    job->latents = block;
    if (o->resume != NULL) return FIL_OK;
    FIL_TRY(fili_noise_begin(job->ctx, o->seed, o->noise == NULL ? job->latents : NULL, job->n,
                             &s->rng));
    if (o->noise != NULL)
        FIL_TRY(fili_latents_read(job->ctx, o->noise, "noise", job->shape, job->latents));
    if (o->save_noise == NULL) return FIL_OK;
    return fili_latents_write(job->ctx, o->save_noise, "noise", job->shape, job->latents,
                              o->replace);
}

static fil_status open_dit(sampling *s)
{
    fili_job *job = s->job;
    if (job->batch != NULL) s->dit = fili_batch_take(job->batch, &job->dit_options);
    if (s->dit == NULL)
        FIL_TRY(fili_dit_open(job->ctx, job->dit_weights, &job->dit, &job->dit_options, &s->dit));
    job->policy.dit = s->dit;
    for (int i = 0; i < job->plan.passes; i++)
        FIL_TRY(fili_dit_set_context(s->dit, i, job->prompt[i].rows, job->prompt[i].n));
    return FIL_OK;
}

static fil_status begin(sampling *s)
{
    fili_job *job = s->job;
    void     *block;
    FIL_TRY(draw_noise(s));
    for (int i = 0; i < job->plan.passes; i++) {
        FIL_TRY(fili_alloc(job->ctx, latent_bytes(job), "the model's answer", &block));
        s->v[i] = block;
    }
    FIL_TRY(fili_solver_init(&s->solver, job->ctx, job->sampler, &job->sigmas, job->n, &s->rng));
    FIL_TRY(fili_checkpoint_begin(job, &s->solver));
    if (s->solver.state.step == job->plan.steps) return FIL_OK; /* the steps are done */
    FIL_TRY(open_dit(s));
    return fili_preview_begin(job);
}

/* ---- the steps ------------------------------------------------------------------------------ */

static fil_status step(sampling *s)
{
    fili_job     *job = s->job;
    const int32_t i   = s->solver.state.step;
    for (int p = 0; p < job->plan.passes; p++)
        FIL_TRY(fili_dit_forward(s->dit, p, i, job->latents, job->sigmas.time[i], s->v[p]));
    if (job->plan.passes == 2) fili_guide(s->v[0], s->v[1], job->plan.guidance, job->n);
    fili_preview_take(job, i, job->latents, s->v[0], (double)job->sigmas.sigma[i]);
    FIL_TRY(fili_solver_step(&s->solver, s->v[0], job->latents));
    return fili_check_finite(job->ctx, "latents", job->latents, job->n);
}

static fil_status run(sampling *s)
{
    fil_ctx       *ctx = s->job->ctx;
    const uint64_t n   = (uint64_t)s->job->plan.steps;
    for (uint64_t i = (uint64_t)s->solver.state.step; i < n; i++) {
        fili_progress(ctx, "sample", i, n);
        fili_checkpoint_step(s->job, &s->solver);
        fil_status status = fili_preview_show(s->job);
        if (status == FIL_OK) status = fili_check_cancel(ctx);
        if (status == FIL_OK) status = step(s);
        if (status == FIL_E_CANCELLED) fili_checkpoint_stop(s->job, &s->solver);
        if (status != FIL_OK) {
            fili_error_frame(ctx, "step %llu of %llu", (unsigned long long)i + 1,
                             (unsigned long long)n);
            return status;
        }
    }
    fili_progress(ctx, "sample", n, n);
    return fili_preview_show(s->job);
}

/* What came of it is not always what was asked for: blocks are few, or auto gave up. */
static void tell_difference(const fili_job *job, const fili_policy_figures *f)
{
    const double wanted = job->plan.density;
    if (!(wanted < 1.0) || fabs(f->density - wanted) <= 0.1 * wanted) return;
    fili_log(job->ctx, FIL_LOG_WARNING,
             "attention: a density of %.3f was to be met, and %.3f was computed%s", wanted,
             f->density, f->dense_calls == f->calls ? ": every call ran dense" : "");
}

static void tell_attention(const fili_job *job, const fili_dit *dit, int whole,
                           fil_video_result *result)
{
    const fili_policy_run *run = &job->policy;
    fili_dit_times         t   = {.attention = 0.0};
    fili_policy_figures    f;
    if (dit != NULL) fili_dit_times_get(dit, &t);
    result->attention_seconds = t.attention;
    result->choose_seconds    = t.choose - job->capture.seconds - run->policy->measure_seconds;
    fili_policy_figures_get(run->policy, &f);
    result->density        = f.density;
    result->sparse_density = f.sparse_density;
    result->calls          = f.calls;
    result->dense_calls    = f.dense_calls;
    result->refreshes      = f.refreshes;
    result->recall         = f.recall;
    result->recall_min     = f.recall_min;
    result->recall_bound   = f.bound_min;
    result->dense_from     = fili_policy_run_dense_from(run);
    if (whole) tell_difference(job, &f);
}

static void tell_saves(const fili_checkpoint *k, fil_video_result *result)
{
    result->resumed_step  = k->first;
    result->saved_step    = k->saved_step;
    result->saves         = k->saves;
    result->save_failures = k->failures;
}

/* In a batch it is for the next one. */
static void close_dit(sampling *s)
{
    fili_job   *job   = s->job;
    fili_batch *batch = job->batch;
    if (batch == NULL) {
        fili_dit_close(&s->dit);
        return;
    }
    if (batch->dit == NULL && s->dit != NULL) {
        batch->dit       = s->dit;
        batch->weights   = job->dit_weights;
        job->dit_weights = NULL;
    }
    if (!batch->keeps) fili_batch_close(batch);
}

fil_status fili_job_sample(fili_job *job, fil_video_result *result)
{
    sampling     s      = {.job = job};
    const double begun  = fili_seconds(job->ctx);
    fil_status   status = begin(&s);
    const double loaded = fili_seconds(job->ctx);
    if (status == FIL_OK) status = run(&s);
    const bool all = s.solver.state.step == job->plan.steps; /* stopped in the last preview */
    if (status == FIL_OK || (status == FIL_E_CANCELLED && all))
        fili_checkpoint_stop(job, &s.solver);
    tell_saves(&job->checkpoint, result);
    result->load_seconds += loaded - begun;
    result->sample_seconds += fili_seconds(job->ctx) - loaded;
    if (s.dit != NULL || status == FIL_OK) tell_attention(job, s.dit, status == FIL_OK, result);
    job->policy.dit = NULL;
    fili_preview_close(job);
    close_dit(&s);
    fili_solver_fini(&s.solver);
    for (int i = 0; i < 2; i++)
        fili_free(job->ctx, s.v[i], latent_bytes(job));
    fili_weights_close(&job->dit_weights);
    return status;
}
