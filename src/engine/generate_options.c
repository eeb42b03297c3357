/* engine/generate_options.c: the options of fil_generate that can be judged without a model
 * (video_job.h): sizes, sampler, grid, steps, guidance, outputs, and what a preset leaves open.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "diffusion/guidance.h"
#include "engine/video_job.h"

/* wan/configs/shared_config.py of the official code: the negative prompt of all text to video. */
static const char official_negative[] =
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，"
    "低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，"
    "毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走";

void fil_generate_options_init(fil_generate_options *options)
{
    *options = (fil_generate_options){.struct_size        = (uint32_t)sizeof *options,
                                      .width              = 832,
                                      .height             = 480,
                                      .frames             = 81,
                                      .steps              = FIL_AUTO,
                                      .shift              = FIL_AUTO,
                                      .guidance           = FIL_AUTO,
                                      .preset             = FIL_PRESET_OFFICIAL,
                                      .precision          = FIL_BF16,
                                      .fps                = 16,
                                      .crf                = 10,
                                      .checkpoint_steps   = FIL_AUTO,
                                      .checkpoint_seconds = FIL_AUTO,
                                      .vae_tiles          = FIL_AUTO,
                                      .stream_weights     = FIL_AUTO};
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static fil_status check_side(fil_ctx *ctx, const char *what, int32_t side)
{
    FIL_CHECK(ctx, side >= 16 && side <= FILI_VIDEO_SIDE && side % 16 == 0,
              "%s: expected a multiple of 16 from 16 to %d, found %d", what, FILI_VIDEO_SIDE,
              (int)side);
    return FIL_OK;
}

static fil_status check_sizes(fili_job *job)
{
    const fil_generate_options *o = &job->o;
    FIL_TRY(check_side(job->ctx, "width", o->width));
    FIL_TRY(check_side(job->ctx, "height", o->height));
    FIL_CHECK(job->ctx, o->frames >= 1 && o->frames <= 100001 && o->frames % 4 == 1,
              "frames: expected 4n + 1 (1, 5, 9, ... 81, ...), found %d", (int)o->frames);
    FIL_CHECK(job->ctx, o->precision == FIL_BF16 || o->precision == FIL_F32,
              "precision: expected BF16 or F32, found %s", fil_dtype_name(o->precision));
    FIL_CHECK(job->ctx, o->preset == FIL_PRESET_OFFICIAL || o->preset == FIL_PRESET_DIFFUSERS,
              "there is no preset of number %d", (int)o->preset);
    return FIL_OK;
}

/* ---- sampler and grid ----------------------------------------------------------------------- */

static fil_status choose_sampler(fili_job *job, bool has_list)
{
    const char *name = job->o.sampler;
    job->sampler     = has_list ? FILI_SAMPLER_EULER : FILI_SAMPLER_UNIPC;
    if (name == NULL) return FIL_OK;
    const int found = fili_sampler_from_name(name);
    FIL_CHECK(job->ctx, found >= 0, "sampler: expected unipc, dpmpp, euler or dmd, found '%.60s'",
              name);
    job->sampler = (fili_sampler)found;
    return FIL_OK;
}

static fili_sigma_grid usual_grid(const fili_job *job)
{
    if (job->o.preset == FIL_PRESET_OFFICIAL)
        return job->sampler == FILI_SAMPLER_DPMPP ? FILI_SIGMA_GRID_WAN_DPM
                                                  : FILI_SIGMA_GRID_WAN_UNIPC;
    return job->sampler == FILI_SAMPLER_EULER ? FILI_SIGMA_GRID_DIFFUSERS_EULER
                                              : FILI_SIGMA_GRID_DIFFUSERS_UNIPC;
}

/* diffusers' documentation: 3 for 480p, 5 for 720p. */
static double usual_shift(const fil_generate_options *o)
{
    if (o->preset == FIL_PRESET_OFFICIAL) return 5.0;
    return (int64_t)o->width * o->height <= INT64_C(480) * 832 ? 3.0 : 5.0;
}

static fil_status take_grid(fili_job *job)
{
    const fil_generate_options *o     = &job->o;
    const int32_t               steps = o->steps == FIL_AUTO ? 50 : o->steps;
    fili_sigma_grid             grid  = usual_grid(job);
    if (o->grid != NULL) {
        const int found = fili_sigma_grid_from_name(o->grid);
        FIL_CHECK(job->ctx, found >= 0,
                  "grid: expected wan-unipc, wan-dpm, diffusers-unipc, diffusers-euler or "
                  "comfy-discrete, found '%.60s'",
                  o->grid);
        grid = (fili_sigma_grid)found;
    }
    job->plan.shift = o->shift == (double)FIL_AUTO ? usual_shift(o) : o->shift;
    job->plan.grid  = fili_sigma_grid_name(grid);
    return fili_sigmas_of_grid(job->ctx, grid, steps, job->plan.shift, &job->sigmas);
}

static fil_status take_list(fili_job *job)
{
    static const double         fastwan[] = {1000.0, 757.0, 522.0};
    const fil_generate_options *o         = &job->o;
    fil_ctx                    *ctx       = job->ctx;
    FIL_CHECK(ctx, o->grid == NULL, "grid: expected none beside a list of timesteps or sigmas");
    FIL_CHECK(ctx, o->shift == (double)FIL_AUTO,
              "shift: expected none beside a list of timesteps or sigmas");
    if (o->n_timesteps > 0)
        FIL_TRY(fili_sigmas_of_times(ctx, o->timesteps, o->n_timesteps, &job->sigmas));
    else if (o->n_sigmas > 0)
        FIL_TRY(fili_sigmas_of_levels(ctx, o->sigmas, o->n_sigmas, &job->sigmas));
    else
        FIL_TRY(fili_sigmas_of_times(ctx, fastwan, 3, &job->sigmas));
    FIL_CHECK(ctx, o->steps == FIL_AUTO || o->steps == job->sigmas.n_steps,
              "steps: the list has %d, found %d", (int)job->sigmas.n_steps, (int)o->steps);
    job->plan.shift = 1.0;
    job->plan.grid  = "list";
    return FIL_OK;
}

static fil_status choose_sigmas(fili_job *job)
{
    const fil_generate_options *o = &job->o;
    FIL_CHECK(job->ctx, o->n_timesteps == 0 || o->n_sigmas == 0,
              "expected a list of timesteps or of sigmas, found both");
    FIL_CHECK(job->ctx,
              (o->n_timesteps == 0 || o->timesteps != NULL) &&
                  (o->n_sigmas == 0 || o->sigmas != NULL),
              "a list of timesteps or sigmas is NULL");
    const bool has_list = o->n_timesteps != 0 || o->n_sigmas != 0;
    FIL_TRY(choose_sampler(job, has_list));
    const bool few = job->sampler == FILI_SAMPLER_DMD && o->grid == NULL;
    FIL_TRY(has_list || few ? take_list(job) : take_grid(job));
    job->plan.sampler = fili_sampler_name(job->sampler);
    job->plan.steps   = job->sigmas.n_steps;
    return FIL_OK;
}

static fil_status choose_guidance(fili_job *job)
{
    double g = job->o.guidance;
    if (g == (double)FIL_AUTO) g = job->sampler == FILI_SAMPLER_DMD ? 1.0 : 5.0;
    FIL_CHECK(job->ctx, isfinite(g) && g >= 0.0 && g <= 1000.0,
              "guidance: expected 0 to 1000, found %g", g);
    job->plan.guidance = g;
    job->plan.passes   = fili_guidance_is_off(g) ? 1 : 2;
    return FIL_OK;
}

static fil_status choose_prompts(fili_job *job)
{
    fil_generate_options *o = &job->o;
    FIL_CHECK(job->ctx, o->prompt != NULL, "expected a prompt");
    if (o->negative == NULL)
        o->negative = o->preset == FIL_PRESET_OFFICIAL ? official_negative : "";
    return FIL_OK;
}

static fil_status choose_all(fili_job *job)
{
    FIL_TRY(choose_prompts(job));
    FIL_TRY(check_sizes(job));
    FIL_TRY(choose_sigmas(job));
    return choose_guidance(job);
}

fil_status fili_options_settle(fil_ctx *ctx, fil_generate_options *o)
{
    void *block;
    FIL_TRY(fili_calloc(ctx, 1, sizeof(fili_job), "a run", &block));
    fili_job *job           = block;
    job->ctx                = ctx;
    job->o                  = *o;
    const fil_status status = choose_all(job);
    if (status == FIL_OK) {
        *o          = job->o;
        o->steps    = job->plan.steps;
        o->shift    = job->plan.shift;
        o->guidance = job->plan.guidance;
        o->sampler  = job->plan.sampler;
        o->grid     = job->plan.grid;
    }
    fili_free(ctx, job, sizeof *job);
    return status;
}

/* ---- outputs -------------------------------------------------------------------------------- */

/* Latents that nobody asked for lie beside what is asked for while the frames are made. */
static fil_status choose_latents_path(fili_job *job)
{
    static const char           ending[] = ".latents.safetensors";
    const fil_generate_options *o        = &job->o;
    const char                 *beside   = o->video != NULL ? o->video : o->save_frames;
    job->latents_path                    = o->save_latents;
    job->keeps_latents                   = o->save_latents != NULL;
    if (job->latents_path != NULL || beside == NULL) return FIL_OK;
    const size_t bytes = strlen(beside) + sizeof ending;
    void        *text;
    FIL_TRY(fili_arena_alloc(&job->arena, bytes, &text));
    snprintf(text, bytes, "%s%s", beside, ending);
    job->latents_path = text;
    return FIL_OK;
}

/* Frames that are decoded lie beside the checkpoint, while they are of use. */
static fil_status choose_kept_path(fili_job *job)
{
    static const char           ending[] = ".frames";
    const fil_generate_options *o        = &job->o;
    if (o->checkpoint == NULL || (o->video == NULL && o->save_frames == NULL && o->frame == NULL))
        return FIL_OK;
    const size_t bytes = strlen(o->checkpoint) + sizeof ending;
    void        *text;
    FIL_TRY(fili_arena_alloc(&job->arena, bytes, &text));
    snprintf(text, bytes, "%s%s", o->checkpoint, ending);
    job->outputs.kept    = text;
    job->plan.kept_bytes = fili_frame_log_bytes(o->frames, o->width, o->height);
    return FIL_OK;
}

/* What is read is never written over, whatever may be replaced. */
static fil_status keep_inputs(const fili_job *job, const char *const *out, int n)
{
    const fil_policy_options *p    = job->o.policy;
    const bool                full = p != NULL && p->struct_size == sizeof *p; /* else none yet */
    const char *const         in[] = {job->o.noise, job->o.mask, full ? p->mask : NULL,
                              full ? p->topology : NULL, job->o.resume};
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < n; k++)
            FIL_CHECK(job->ctx, !fili_same_path(job->ctx, in[i], out[k]),
                      "'%.160s' is read and was to be written; expected another file", out[k]);
    return FIL_OK;
}

enum { VIDEO, LATENTS, FRAMES, NOISE, RECIPE, PREVIEW, KEPT, CHECKPOINT, OUTPUTS };

/* What the run itself has written before, and what stands for the present alone. */
static int may_replace(const fili_job *job, int output)
{
    switch (output) {
    case PREVIEW: return 1;
    case VIDEO: return job->o.replace || job->outputs.own_video;
    case FRAMES: return job->o.replace || job->outputs.own_frames;
    case RECIPE: return job->o.replace || job->own_recipe;
    default: return job->replace;
    }
}

static fil_status check_outputs(fili_job *job)
{
    fil_ctx                    *ctx = job->ctx;
    const fil_generate_options *o   = &job->o;
    job->outputs                    = (fili_outputs){.video   = o->video,
                                                     .frames  = o->save_frames,
                                                     .fps     = o->fps,
                                                     .crf     = o->crf,
                                                     .replace = o->replace,
                                                     .fn      = o->frame,
                                                     .user    = o->frame_user};
    job->outputs.rounds             = o->preset == FIL_PRESET_DIFFUSERS || o->frames == 1;
    job->outputs.goes_on            = o->resume != NULL;
    FIL_CHECK(ctx,
              job->bare || o->video != NULL || o->save_latents != NULL || o->save_frames != NULL ||
                  o->frame != NULL,
              "nothing would come of it: expected a video, frames or latents to write");
    FIL_TRY(choose_latents_path(job));
    FIL_TRY(choose_kept_path(job));
    job->outputs.spool        = o->video != NULL         ? o->video
                                : o->save_frames != NULL ? o->save_frames
                                                         : job->latents_path;
    const char *const path[]  = {o->video,          job->latents_path, o->save_frames,
                                 o->save_noise,     o->save_recipe,    o->preview,
                                 job->outputs.kept, o->checkpoint};
    const char *const what[]  = {"video",
                                 "latents",
                                 "frames",
                                 "noise",
                                 "recipe",
                                 "preview",
                                 "decoded frames (of a run that was stopped)",
                                 "checkpoint (a run that was stopped; --resume goes on with it)"};
    const bool        goes_on = o->resume != NULL; /* the run has written some of them before */
    job->replace              = o->replace != 0 || goes_on;
    for (int i = 0; i < OUTPUTS; i++)
        for (int k = 0; k < i; k++)
            FIL_CHECK(ctx, !fili_same_path(ctx, path[i], path[k]),
                      "%s and %s are to go to one file, '%.160s'", what[k], what[i], path[i]);
    FIL_TRY(keep_inputs(job, path, CHECKPOINT));
    FIL_TRY(fili_output_holds_tensors(ctx, "noise values", o->save_noise));
    FIL_TRY(fili_output_holds_tensors(ctx, "latents", o->save_latents));
    FIL_TRY(fili_output_holds_tensors(ctx, "frames", o->save_frames));
    const fili_video_shape size = {.width = o->width, .height = o->height};
    FIL_TRY(fili_outputs_check(ctx, &job->outputs, &size, o->frames));
    fili_job_finished(job);
    for (int i = 0; i < OUTPUTS; i++)
        FIL_TRY(fili_outputs_look(ctx, &job->outputs, what[i], path[i], may_replace(job, i)));
    return FIL_OK;
}

fil_status fili_job_options(fili_job *job, const fil_generate_options *options)
{
    fil_generate_options_init(&job->o);
    FIL_TRY(fili_take_options(job->ctx, "fil_generate_options", &job->o, sizeof job->o, options));
    FIL_TRY(choose_all(job));
    FIL_TRY(fili_tiles_check(job->ctx, job->o.vae_tiles));
    return check_outputs(job);
}
