/* engine/generate_disk.c: what a run of fil_generate writes, in its order (video_job.h,
 * disk_room.h).
 */
#include "engine/video_job.h"

static uint64_t latent_bytes(const fili_job *job)
{
    return (uint64_t)job->n * sizeof(float);
}

static void add_noise(const fili_job *job, fili_disk_list *list)
{
    const fili_disk_file noise = {.what   = "the noise",
                                  .path   = job->o.save_noise,
                                  .bytes  = latent_bytes(job),
                                  .manner = FILI_DISK_WHOLE};
    if (job->o.resume == NULL) fili_disk_add(list, &noise);
}

/* Many files in one folder. Where some of them may be there before, and are replaced, nobody
 * counts which. */
static void add_captures(const fili_job *job, fili_disk_list *list)
{
    const fili_disk_file captures = {.what   = "captures",
                                     .path   = job->capture.prefix,
                                     .bytes  = job->plan.capture_bytes,
                                     .manner = FILI_DISK_NAMELESS,
                                     .spare  = job->replace != 0};
    if (job->capture.wanted != 0) fili_disk_add(list, &captures);
}

/* It is saved behind the last step, and where the clock has a say perhaps before. */
static void add_checkpoint(const fili_job *job, fili_disk_list *list)
{
    const fil_generate_options *o    = &job->o;
    const fili_checkpoint      *k    = &job->checkpoint;
    const int32_t               left = job->plan.steps - k->first;
    const bool                  once =
        left <= 1 || (o->checkpoint_steps >= left && o->checkpoint_seconds == (double)FIL_AUTO);
    const fili_disk_file checkpoint = {.what   = "the checkpoint",
                                       .path   = k->path,
                                       .bytes  = k->bytes,
                                       .manner = once ? FILI_DISK_WHOLE : FILI_DISK_AGAIN,
                                       .passes = true};
    if (left > 0 || !fili_same_path(job->ctx, k->path, k->resume)) fili_disk_add(list, &checkpoint);
}

static void add_latents(const fili_job *job, fili_disk_list *list)
{
    const fili_disk_file latents = {.what   = "the latents",
                                    .path   = job->latents_path,
                                    .bytes  = latent_bytes(job),
                                    .manner = FILI_DISK_WHOLE,
                                    .passes = job->keeps_latents == 0};
    if (job->keeps_latents || !job->outputs.stands) fili_disk_add(list, &latents);
}

static void add_outputs(const fili_job *job, fili_disk_list *list)
{
    const fili_frames_size size = {
        .n = job->o.frames, .width = job->o.width, .height = job->o.height};
    if (fili_job_has_frames(job)) fili_outputs_disk(&job->outputs, &size, &job->decode, list);
}

fil_status fili_job_disk(fili_job *job)
{
    fili_disk_list list = {.n = 0};
    add_noise(job, &list);
    add_captures(job, &list);
    add_checkpoint(job, &list);
    add_latents(job, &list);
    add_outputs(job, &list);
    const fili_disk_level level = fili_disk_level_of(&list);
    job->plan.disk_bytes        = (uint64_t)level.most;
    job->plan.stays_bytes       = (uint64_t)level.now;
    return fili_disks_take(job->ctx, job->batch != NULL ? job->batch->disks : NULL, &list);
}
