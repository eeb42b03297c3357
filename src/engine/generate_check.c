/* engine/generate_check.c: what fil_generate finds out before it begins (video_job.h): do the parts
 * of the model belong together, does what is asked for fit them, how long are the prompts, and what
 * memory does each phase take. Reads headers and the tokenizer, no weights.
 */
#include <string.h>

#include "base/mem.h"
#include "engine/text_cache.h"
#include "wan/dit_hash.h"

static fil_status open_part(fili_job *job, fili_part part, fili_weights **out)
{
    const fil_model *m = job->model;
    FIL_TRY(fili_model_paths_need(&m->paths, part));
    return fili_weights_open(job->ctx, part, m->paths.part[part], m->flags, out);
}

static fil_status from(fili_job *job, fili_part part, fil_status status)
{
    if (status != FIL_OK) fili_model_paths_frame(&job->model->paths, part);
    return status;
}

bool fili_job_has_frames(const fili_job *job)
{
    const fili_outputs *o = &job->outputs;
    return o->video != NULL || o->frames != NULL || o->fn != NULL;
}

static bool needs_vae(const fili_job *job)
{
    return fili_job_has_frames(job) || job->o.preview_steps > 0;
}

/* ---- the parts ------------------------------------------------------------------------------ */

static fil_status check_dit(fili_job *job)
{
    FIL_TRY(open_part(job, FILI_PART_DIT, &job->dit_weights));
    FIL_TRY(fili_dit_config_detect(job->dit_weights, &job->dit));
    FIL_TRY(fili_dit_check_weights(job->dit_weights, &job->dit));
    if (job->dit.in_channels == job->dit.out_channels) return FIL_OK;
    return FIL_FAIL(job->ctx, FIL_E_UNSUP,
                    "the transformer takes %d channels and gives %d: a model that also takes "
                    "pictures, which this version does not run",
                    (int)job->dit.in_channels, (int)job->dit.out_channels);
}

static fil_status check_vae(fili_job *job)
{
    fili_vae *vae = NULL;
    if (!needs_vae(job)) {
        fili_vae_config_init(&job->vae);
        return FIL_OK;
    }
    FIL_TRY(open_part(job, FILI_PART_VAE, &job->vae_weights));
    FIL_TRY(fili_vae_open(job->ctx, job->vae_weights, job->o.precision, &vae));
    job->vae = *fili_vae_config_of(vae);
    fili_vae_close(&vae);
    if (job->vae.z_dim != job->dit.in_channels)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                        "the VAE is another model's: its latents have %d channels, the "
                        "transformer's %d",
                        (int)job->vae.z_dim, (int)job->dit.in_channels);
    if (fili_vae_scale(&job->vae) != 8 || fili_vae_time_scale(&job->vae) != 4)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                        "the VAE is another model's: one latent stands for %d x %d pixels and %d "
                        "frames, expected 8 x 8 and 4",
                        (int)fili_vae_scale(&job->vae), (int)fili_vae_scale(&job->vae),
                        (int)fili_vae_time_scale(&job->vae));
    return FIL_OK;
}

/* The larger number of rows: of one prompt, since they are encoded one after the other. */
static int32_t most_rows(const fili_job *job)
{
    return job->prompt[0].n > job->prompt[1].n ? job->prompt[0].n : job->prompt[1].n;
}

/* Products of the text encoder for all prompts: linears, attention. */
static double text_flops(const fili_job *job, const fili_umt5_config *c)
{
    const double inner = (double)(c->heads * c->head_dim);
    const double dim   = (double)c->dim;
    double       sum   = 0.0;
    for (int p = 0; p < job->plan.passes; p++) {
        const double n = job->prompt[p].cached ? 0.0 : (double)job->prompt[p].n;
        sum += 2.0 * n * (4.0 * dim * inner + 3.0 * dim * (double)c->ffn) + 4.0 * n * n * inner;
    }
    return sum * (double)c->layers;
}

static fil_status check_text(fili_job *job, const fili_umt5 *umt5, int32_t vocabulary)
{
    const fili_umt5_config *c = fili_umt5_config_of(umt5);
    if (c->dim != job->dit.text_dim)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                        "the text encoder is another model's: its rows have %lld values, the "
                        "transformer takes %d",
                        (long long)c->dim, (int)job->dit.text_dim);
    if (c->vocab < vocabulary)
        return FIL_FAIL(job->ctx, FIL_E_MISMATCH,
                        "the tokenizer is another model's: it gives ids up to %d, the text encoder "
                        "has %lld rows",
                        (int)vocabulary - 1, (long long)c->vocab);
    job->plan.text_bytes = fili_umt5_bytes(umt5, most_rows(job));
    job->plan.text_flops = text_flops(job, c);
    return FIL_OK;
}

/* ---- prompts -------------------------------------------------------------------------------- */

static const char *prompt_name(int pass)
{
    return pass == 0 ? "prompt" : "negative prompt";
}

static fil_status tokenize(fili_job *job, fili_tokenizer *t, int pass)
{
    fili_prompt *p      = &job->prompt[pass];
    const char  *text   = pass == 0 ? job->o.prompt : job->o.negative;
    int          cut    = 0;
    fil_status   status = FIL_OK;
    if (!p->cached) {
        status = fili_tokenizer_ids(t, text, p->ids, &p->n, &cut);
        p->cut = cut;
    }
    if (status != FIL_OK) fili_error_frame(job->ctx, "reading the %s", prompt_name(pass));
    return status;
}

static fil_status open_tokenizer(fili_job *job, fili_tokenizer **t)
{
    const fili_model_paths *paths = &job->model->paths;
    FIL_TRY(fili_model_paths_need_tokenizer(paths));
    const fil_status status = fili_tokenizer_open(job->ctx, paths->tokenizer, t);
    if (status != FIL_OK)
        fili_error_frame(job->ctx, "tokenizer %s",
                         fili_quote(paths->tokenizer, strlen(paths->tokenizer)).text);
    return status;
}

/* Ids of the batch's; of a text that lay in the cache it has none. */
static bool take_known(fili_job *job)
{
    const fili_prompt *known = job->batch != NULL ? job->batch->known : NULL;
    for (int i = 0; i < job->plan.passes; i++) {
        fili_prompt *p = &job->prompt[i];
        if (p->cached) continue;
        if (known == NULL || known[i].n == 0 || known[i].cached) return false;
        memcpy(p->ids, known[i].ids, sizeof p->ids);
        p->n   = known[i].n;
        p->cut = known[i].cut;
    }
    return true;
}

/* *vocabulary stays where no tokenizer is opened: it was looked at before. */
static fil_status take_ids(fili_job *job, int32_t *vocabulary)
{
    fili_tokenizer *t = NULL;
    if (take_known(job)) return FIL_OK;
    FIL_TRY(open_tokenizer(job, &t));
    *vocabulary       = fili_tokenizer_size(t);
    fil_status status = FIL_OK;
    for (int i = 0; i < job->plan.passes && status == FIL_OK; i++)
        status = tokenize(job, t, i);
    if (job->batch != NULL && status == FIL_OK) job->batch->cut(job->batch->user, t);
    fili_tokenizer_close(&t);
    return status;
}

static void tell_prompts(fili_job *job)
{
    job->plan.prompt_tokens   = job->prompt[0].n;
    job->plan.negative_tokens = job->prompt[1].n;
    for (int i = 0; i < job->plan.passes; i++) {
        const fili_prompt *p = &job->prompt[i];
        if (p->cut > 0)
            fili_log(job->ctx, FIL_LOG_WARNING, "the %s is cut: %d of its %d tokens are left out",
                     prompt_name(i), (int)p->cut, (int)(p->cut + p->n));
    }
}

static fil_status check_encoder(fili_job *job, int32_t vocabulary)
{
    fili_weights  *weights = NULL;
    fili_umt5     *umt5    = NULL;
    const uint64_t before  = job->ctx->memory.used;
    fil_status     status  = open_part(job, FILI_PART_T5, &weights);
    if (status == FIL_OK) status = fili_umt5_open(job->ctx, weights, job->o.precision, &umt5);
    if (status == FIL_OK) status = check_text(job, umt5, vocabulary);
    /* the directory of the file, and norms in f32 */
    if (status == FIL_OK) job->plan.text_bytes += job->ctx->memory.used - before;
    fili_umt5_close(&umt5);
    fili_weights_close(&weights);
    return from(job, FILI_PART_T5, status);
}

/* Where all of them were encoded before, neither tokenizer nor encoder is opened. */
static fil_status check_prompts(fili_job *job)
{
    int32_t vocabulary = 0;
    fili_text_cache_look(job);
    const bool known = job->plan.text_cached == job->plan.passes;
    if (!known) FIL_TRY(take_ids(job, &vocabulary));
    tell_prompts(job);
    return known ? FIL_OK : check_encoder(job, vocabulary);
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static fil_status choose_sizes(fili_job *job)
{
    const fil_generate_options *o = &job->o;
    fil_plan                   *p = &job->plan;
    const fili_dit_config      *c = &job->dit;
    p->channels                   = c->in_channels;
    p->latent_frames              = (o->frames - 1) / 4 + 1;
    p->latent_height              = o->height / 8;
    p->latent_width               = o->width / 8;
    if (c->patch_t != 1 || p->latent_height % c->patch_h != 0 || p->latent_width % c->patch_w != 0)
        return FIL_FAIL(job->ctx, FIL_E_UNSUP,
                        "patches of %d x %d x %d latents; expected 1 x 2 x 2", (int)c->patch_t,
                        (int)c->patch_h, (int)c->patch_w);
    p->tokens = (int64_t)p->latent_frames * (p->latent_height / c->patch_h) *
                (p->latent_width / c->patch_w);
    job->shape[0] = p->channels;
    job->shape[1] = p->latent_frames;
    job->shape[2] = p->latent_height;
    job->shape[3] = p->latent_width;
    job->n        = 1;
    for (int d = 0; d < FILI_LATENT_RANK; d++)
        job->n *= job->shape[d];
    return job->o.noise == NULL
               ? FIL_OK
               : fili_latents_look(job->ctx, job->o.noise, "noise", job->shape, NULL);
}

/* ---- self-attention ------------------------------------------------------------------------- */

static fili_policy_setup setup_of(const fili_job *job)
{
    const fil_plan *p = &job->plan;
    return (fili_policy_setup){.grid     = {.f = p->latent_frames,
                                            .h = p->latent_height / job->dit.patch_h,
                                            .w = p->latent_width / job->dit.patch_w},
                               .layers   = job->dit.layers,
                               .steps    = p->steps,
                               .passes   = p->passes,
                               .heads    = job->dit.heads,
                               .head_dim = job->dit.dim / job->dit.heads,
                               .dtype    = job->o.precision,
                               .has_gate = job->dit.has_gate,
                               .sigma    = job->sigmas.sigma,
                               .sampler  = p->sampler,
                               .shift    = p->shift};
}

static fil_status take_policy(fili_job *job, fil_policy_options *o)
{
    fil_policy_options_init(o);
    if (job->o.policy != NULL)
        FIL_TRY(fili_take_options(job->ctx, "fil_policy_options", o, sizeof *o, job->o.policy));
    job->policy_options = *o;
    if (job->o.mask == NULL) return FIL_OK;
    FIL_CHECK(job->ctx, o->name == NULL && o->preset == NULL && o->mask == NULL,
              "expected a mask file or a policy, found both");
    o->name = "mask";
    o->mask = job->o.mask;
    return FIL_OK;
}

static fil_status check_policy(fili_job *job)
{
    fili_policy_setup  setup = setup_of(job);
    fil_policy_options o;
    char               hash[FILI_SHA256_HEX];
    FIL_TRY(take_policy(job, &o));
    if (o.topology != NULL) {
        FIL_TRY(fili_dit_hash(job->dit_weights, &job->dit, hash));
        setup.model_hash = hash;
    }
    FIL_TRY(fili_policy_run_open(&job->policy, job->ctx, &o, &setup));
    fili_policy_run_hang(&job->policy, &job->dit_options);
    if (job->reads_rows) job->dit_options.reads_rows = 1;
    job->plan.density      = fili_policy_target(job->policy.policy);
    job->plan.policy_bytes = fili_policy_bytes(job->policy.policy);
    fili_policy_describe(job->policy.policy, job->plan.attention);
    return FIL_OK;
}

static void choose_dit_options(fili_job *job)
{
    fili_dit_options *o = &job->dit_options;
    fili_dit_options_init(o);
    o->precision    = job->o.precision;
    o->t            = job->plan.latent_frames;
    o->h            = job->plan.latent_height;
    o->w            = job->plan.latent_width;
    o->passes       = job->plan.passes;
    o->context_rows = most_rows(job);
    if (job->batch != NULL && job->batch->context_rows > o->context_rows)
        o->context_rows = job->batch->context_rows;
}

/* ---- all of it ------------------------------------------------------------------------------ */

fil_status fili_job_check(fili_job *job, const fil_generate_options *options)
{
    fili_arena_init(&job->arena, job->ctx, "a run", 0);
    FIL_TRY(fili_job_options(job, options));
    FIL_TRY(from(job, FILI_PART_DIT, check_dit(job)));
    FIL_TRY(from(job, FILI_PART_VAE, check_vae(job)));
    FIL_TRY(choose_sizes(job));
    FIL_TRY(check_prompts(job));
    choose_dit_options(job);
    FIL_TRY(check_policy(job));
    FIL_TRY(fili_job_capture(job));
    FIL_TRY(fili_preview_check(job));
    FIL_TRY(fili_job_choose_tiles(job));
    FIL_TRY(fili_checkpoint_check(job));
    fili_job_flops(job);
    FIL_TRY(fili_job_memory(job));
    return fili_job_disk(job);
}

void fili_job_fini(fili_job *job)
{
    if (job->latents != NULL)
        fili_free(job->ctx, job->latents, (size_t)job->n * sizeof *job->latents);
    job->latents = NULL;
    fili_policy_run_close(&job->policy);
    fili_weights_close(&job->dit_weights);
    fili_weights_close(&job->vae_weights);
    fili_arena_fini(&job->arena);
}
