/* engine/generate_memory.c: the bytes and the operations of a run by part, and what is done where
 * the context's limit is less (video_job.h): first the frames are decoded in tiles, then the
 * transformer's weights are read layer by layer. Precision is never lowered: bf16 is the default
 * and the least. Each choice is made only for the phase that does not fit. Runs of a batch give up
 * keeping the transformer before that, so that each has the bits of a run by itself. A transformer
 * that lies on a device counts there, and its weights are read layer by layer where they do not fit
 * there.
 *
 *     held      handles, directories of the files, the policy: there in every phase
 *     text      held + text encoder + rows
 *     sampling  held + rows + transformer + latents, answers, solver + state to be saved
 *     decoding  held + rows + latents + VAE + video encoder
 */
#include <math.h>

#include "base/device.h"
#include "engine/video_job.h"
#include "tensor/dequant.h"

/* For what is too small to be counted one by one: handles of files, headers while they are read. */
#define SMALL ((uint64_t)1 << 20)

static uint64_t latent_bytes(const fili_job *job)
{
    return (uint64_t)job->n * sizeof(float);
}

static uint64_t rows_bytes(const fili_job *job)
{
    return (uint64_t)(job->prompt[0].n + job->prompt[1].n) * (uint64_t)job->dit.text_dim *
           sizeof(float);
}

/* Of the policy, taken when the steps begin. */
static uint64_t state_bytes(const fili_job *job)
{
    const bool saves = job->o.checkpoint != NULL || job->o.resume != NULL;
    return saves ? fili_policy_state_bytes(job->policy.policy) : 0;
}

/* In a batch rows of all prompts, and not what it holds for now. */
static uint64_t beside(const fili_job *job)
{
    const fili_batch *batch = job->batch;
    const uint64_t    rows  = batch != NULL ? batch->rows_bytes : 0;
    const uint64_t    held  = batch != NULL ? batch->held : 0;
    return job->ctx->memory.used - held + rows_bytes(job) + rows + state_bytes(job) + SMALL;
}

static bool keeps_transformer(const fili_job *job)
{
    return job->batch != NULL && job->batch->keeps;
}

/* Of the device; what a batch keeps there is given back before another is opened. */
static uint64_t device_room(const fili_job *job)
{
    return fili_device_room(job->ctx) + job->ctx->device_memory.used;
}

/* ---- decoding ------------------------------------------------------------------------------- */

fili_decode fili_job_decode(const fili_job *job)
{
    const int32_t want  = job->o.vae_tiles;
    const int32_t tiles = want == FIL_AUTO && keeps_transformer(job) ? 0 : want;
    return (fili_decode){.config    = &job->vae,
                         .precision = job->o.precision,
                         .shape     = job->shape,
                         .outputs   = &job->outputs,
                         .tiles     = tiles,
                         .room =
                             fili_memory_room(job->ctx, beside(job) + latent_bytes(job) + SMALL),
                         .device_room = device_room(job)};
}

/* What is chosen here goes into recipe and checkpoint, as it changes the frames. */
fil_status fili_job_choose_tiles(fili_job *job)
{
    const fili_decode d = fili_job_decode(job);
    if (!fili_job_has_frames(job)) return FIL_OK;
    FIL_TRY(fili_decode_cost_of(job->ctx, &d, &job->decode));
    job->plan.vae_tiles   = job->decode.tiled;
    job->plan.spool_bytes = job->decode.disk;
    job->plan.vae_flops   = job->decode.flops;
    if (job->decode.tiled) job->plan.kept_bytes = 0; /* what waits is what is kept */
    if (job->decode.tiled && job->o.vae_tiles == FIL_AUTO) {
        fili_tell_tiles(job->ctx, &job->decode);
        job->o.vae_tiles = 1;
    }
    return fili_vae_kernel(job->ctx, job->o.precision, &job->plan.conv_kernel);
}

/* ---- sampling ------------------------------------------------------------------------------- */

/* `preview`: what that takes beside. */
static uint64_t sample_bytes(const fili_job *job, const fili_dit_memory *dit,
                             const fili_vae_memory *preview)
{
    /* x, an answer per pass, the solver's arrays */
    return beside(job) + dit->total + dit->loading +
           latent_bytes(job) * (1 + (uint64_t)job->plan.passes) + fili_solver_bytes(job->n) +
           job->capture.bytes + preview->bytes;
}

static bool fits(const fili_job *job, const fili_dit_memory *dit, const fili_vae_memory *preview)
{
    if (dit->device > 0) return dit->device + preview->device <= device_room(job);
    return sample_bytes(job, dit, preview) <= fili_memory_room(job->ctx, 0);
}

/* What streaming is to lessen. */
static uint64_t cost_of(const fili_job *job, const fili_dit_memory *dit,
                        const fili_vae_memory *preview)
{
    return dit->device > 0 ? dit->device : sample_bytes(job, dit, preview);
}

static void tell_streaming(const fili_job *job, const fili_dit_memory *dit)
{
    fili_log(job->ctx, FIL_LOG_INFO,
             "the transformer's weights are read layer by layer in each pass, as all of them do "
             "not fit into %s",
             dit->device > 0 ? "the device's memory" : "the limit of memory");
}

/* Weights of a layer at a time, where all of them do not fit. */
static fil_status choose_streaming(fili_job *job, const fili_vae_memory *preview,
                                   fili_dit_memory *dit)
{
    fil_ctx         *ctx = job->ctx;
    fili_dit_memory  less;
    fili_dit_options o    = job->dit_options;
    const int32_t    want = job->o.stream_weights;
    FIL_CHECK(ctx, want == FIL_AUTO || want == 0 || want == 1,
              "stream_weights: expected FIL_AUTO, 0 or 1, found %d", (int)want);
    FIL_TRY(fili_dit_bytes(ctx, job->dit_weights, &job->dit, &job->dit_options, dit));
    const bool enough = fits(job, dit, preview) || (dit->device == 0 && keeps_transformer(job));
    if (want == 0 || (want == FIL_AUTO && enough)) return FIL_OK;
    o.stream = 1;
    FIL_TRY(fili_dit_bytes(ctx, job->dit_weights, &job->dit, &o, &less));
    /* Used in place, or so few that what one layer takes is more: nothing to be had. */
    if ((want == FIL_AUTO || dit->mapped > 0) &&
        cost_of(job, &less, preview) >= cost_of(job, dit, preview))
        return FIL_OK;
    if (want == FIL_AUTO) tell_streaming(job, dit);
    job->dit_options.stream = 1;
    job->plan.streamed      = 1;
    *dit                    = less;
    return FIL_OK;
}

static fil_status count_sampling(fili_job *job, fili_dit_memory *out)
{
    fil_plan       *p = &job->plan;
    fili_dit_memory dit;
    fili_vae_memory preview;
    FIL_TRY(fili_preview_bytes(job, &preview));
    FIL_TRY(choose_streaming(job, &preview, &dit));
    *out                    = dit;
    p->sample_bytes         = sample_bytes(job, &dit, &preview);
    p->device_bytes         = dit.device + preview.device;
    p->weight_bytes         = dit.weights + dit.loading;
    p->weights_mapped_bytes = dit.mapped;
    p->attention_bytes      = dit.workspace + p->policy_bytes;
    p->activation_bytes     = p->sample_bytes - p->weight_bytes - p->attention_bytes;
    p->attention_kernel     = dit.attention_kernel;
    p->linear_kernel        = dit.linear_kernel;
    p->blocks_kept          = fili_dequant_has(dit.kept);
    job->kept               = dit.kept;
    job->on_device          = dit.device > 0;
    return FIL_OK;
}

/* ---- all phases ----------------------------------------------------------------------------- */

static const char *largest_phase(const fil_plan *p)
{
    if (p->peak_bytes == p->sample_bytes) return "sampling";
    return p->peak_bytes == p->decode_bytes ? "decoding" : "reading the prompts";
}

static fil_status check_limit(const fili_job *job)
{
    const fil_memory *m = &job->ctx->memory;
    if (m->limit == 0 || job->plan.peak_bytes <= m->limit) return FIL_OK;
    return FIL_FAIL(job->ctx, FIL_E_NOMEM, "%s needs at least %llu bytes in all; the limit is %llu",
                    largest_phase(&job->plan), (unsigned long long)job->plan.peak_bytes,
                    (unsigned long long)m->limit);
}

/* The phases on the device; what is there for them; a batch keeps the transformer. */
static fil_status check_device(fili_job *job, const fili_dit_memory *dit)
{
    fil_plan      *p     = &job->plan;
    const uint64_t kept  = keeps_transformer(job) ? dit->device : 0;
    const uint64_t later = fili_job_has_frames(job) ? job->decode.device + kept : 0;
    FIL_TRY(fili_check_device(job->ctx, "sampling", p->device_bytes));
    FIL_TRY(fili_check_device(job->ctx, "decoding", later));
    if (later > p->device_bytes) p->device_bytes = later;
    return FIL_OK;
}

fil_status fili_job_memory(fili_job *job)
{
    fil_plan       *p = &job->plan;
    fili_dit_memory dit;
    FIL_TRY(count_sampling(job, &dit));
    FIL_TRY(check_device(job, &dit));
    p->text_bytes += beside(job);
    if (fili_job_has_frames(job))
        p->decode_bytes = beside(job) + latent_bytes(job) + job->decode.bytes +
                          (keeps_transformer(job) ? dit.total : 0);
    p->peak_bytes = p->text_bytes;
    if (p->sample_bytes > p->peak_bytes) p->peak_bytes = p->sample_bytes;
    if (p->decode_bytes > p->peak_bytes) p->peak_bytes = p->decode_bytes;
    return check_limit(job);
}

/* ---- operations ----------------------------------------------------------------------------- */

/* Products alone, of one pass: attention at the density of the run (NAN: of a file's masks), or
 * dense; cross-attention over the rows that are kept. */
static void add_pass(const fili_job *job, int32_t prompt_rows, double *attention, double *linears)
{
    const fili_dit_config *c     = &job->dit;
    const double           s     = (double)job->plan.tokens;
    const double           d     = (double)c->dim;
    const double           share = job->plan.density < 1.0 ? job->plan.density : 1.0;
    *attention += (double)c->layers * 4.0 * s * d * (s * share + (double)(prompt_rows + 1));
    *linears += (double)c->layers * 2.0 * s * (6.0 * d * d + 2.0 * d * (double)c->ffn_dim);
}

void fili_job_flops(fili_job *job)
{
    fil_plan *p = &job->plan;
    for (int i = 0; i < p->passes; i++)
        add_pass(job, job->prompt[i].n, &p->attention_flops, &p->linear_flops);
    p->attention_flops *= (double)p->steps;
    p->linear_flops *= (double)p->steps;
    p->estimate_seconds = (double)NAN;
    p->flops            = p->text_flops + p->attention_flops + p->linear_flops + p->vae_flops;
}
