/* engine/generate_capture.c: what a run captures (capture.h, video_job.h): names and checks before
 * any work, and the place between the policy's choice and the attention where q, k and v are
 * written.
 */
#include <stdio.h>
#include <string.h>

#include "engine/video_job.h"
#include "kernel/cpu/peak.h"

enum {
    NAME   = 80,   /* layer003_step010_pass0.safetensors */
    PROMPT = 4096, /* bytes of a prompt in the metadata */
    WRITER = 65536 /* memory of a file that is being written, about */
};

/* ---- names ---------------------------------------------------------------------------------- */

/* In capture->path, valid until the next call. */
static const char *path_of(fili_capture *c, int32_t layer, int32_t step, int32_t pass)
{
    const size_t n = strlen(c->prefix);
    memcpy(c->path, c->prefix, n);
    snprintf(c->path + n, NAME, "layer%03d_step%03d_pass%d.safetensors", (int)layer, (int)step,
             (int)pass);
    return c->path;
}

/* "DIR/", or the name of an output with a point. */
static fil_status choose_prefix(fili_job *job)
{
    const fil_generate_options *o      = &job->o;
    const char                 *beside = o->video != NULL         ? o->video
                                         : o->save_frames != NULL ? o->save_frames
                                                                  : o->save_latents;
    const char                 *base   = o->capture_to != NULL ? o->capture_to : beside;
    void                       *text;
    FIL_CHECK(job->ctx, base != NULL && base[0] != '\0',
              "capture: expected a folder, since there is no output for the files to lie beside");
    size_t n = strlen(base);
    while (n > 1 && o->capture_to != NULL && base[n - 1] == '/')
        n--;
    FIL_TRY(fili_arena_alloc(&job->arena, n + 2, &text));
    snprintf(text, n + 2, "%.*s%s", (int)n, base, o->capture_to != NULL ? "/" : ".");
    job->capture.prefix = text;
    FIL_TRY(fili_arena_alloc(&job->arena, n + 2 + NAME, &text));
    job->capture.path = text;
    return FIL_OK;
}

/* The folder's name, in capture->path. */
static const char *folder_of(fili_capture *c)
{
    const size_t n = strlen(c->prefix) - 1;
    memcpy(c->path, c->prefix, n);
    c->path[n] = '\0';
    return c->path;
}

/* False if it will have to be made: then there is nothing in it that could be written over. */
static bool has_folder(const fili_job *job, const char *folder)
{
    const fili_os *os = job->ctx->os;
    const int      fd = fili_open_retrying(os, FILI_CWD, folder, FILI_OPEN_PATH);
    if (fd >= 0) (void)os->close(os->self, fd);
    return fd != -ENOENT;
}

static fil_status check_path(const fili_job *job, const char *path)
{
    const fil_generate_options *o = &job->o;
    const char *const other[]     = {o->video, job->latents_path, o->save_frames, o->save_noise};
    for (int i = 0; i < 4; i++)
        FIL_CHECK(job->ctx, !fili_same_path(job->ctx, path, other[i]),
                  "a capture and an output are to go to one file, '%.160s'", path);
    return fili_outputs_look(job->ctx, &job->outputs, "a capture", path, job->replace);
}

static fil_status check_paths(fili_job *job)
{
    fili_capture   *c     = &job->capture;
    const fil_plan *p     = &job->plan;
    const bool      fresh = job->o.capture_to != NULL && !has_folder(job, folder_of(c));
    if (fresh) FIL_TRY(fili_output_check(job->ctx, "captures in", folder_of(c), 0));
    for (int32_t l = 0; l < job->dit.layers; l++)
        for (int32_t s = 0; s < p->steps; s++)
            for (int32_t k = 0; k < p->passes; k++) {
                if (!fili_capture_wants(c, l, s, k)) continue;
                if (!fresh) FIL_TRY(check_path(job, path_of(c, l, s, k)));
                c->files++;
            }
    return FIL_OK;
}

/* ---- checks --------------------------------------------------------------------------------- */

static fil_status check_most(fil_ctx *ctx, const char *what, const fili_ranges *ranges, int32_t n)
{
    const int32_t most = fili_ranges_most(ranges);
    FIL_CHECK(ctx, most < n, "capture: expected %s 0 to %d, which the run has, found %d", what,
              (int)n - 1, (int)most);
    return FIL_OK;
}

/* Metadata takes what can be printed; a prompt may hold anything. */
static fil_status take_prompt(fili_job *job, int i, const char *text)
{
    const size_t bytes = text != NULL ? strlen(text) : 0;
    char        *copy;
    FIL_TRY(fili_arena_text(&job->arena, bytes > 0 ? text : "", bytes < PROMPT ? bytes : PROMPT,
                            &copy));
    fili_printable(copy);
    job->capture.prompt[i] = copy;
    return FIL_OK;
}

static fil_status take_memory(fili_job *job)
{
    fili_capture *c        = &job->capture;
    const int32_t head_dim = job->dit.dim / job->dit.heads;
    const size_t  bytes    = fili_capture_rows_bytes(job->dit.heads, head_dim, job->o.precision);
    void         *block;
    FIL_TRY(take_prompt(job, 0, job->o.prompt));
    FIL_TRY(take_prompt(job, 1, job->plan.passes == 2 ? job->o.negative : NULL));
    FIL_TRY(fili_arena_alloc(&job->arena, bytes, &block));
    c->rows                 = block;
    c->bytes                = bytes + WRITER;
    job->plan.captures      = c->files;
    job->plan.capture_bytes = (uint64_t)c->files * 3 * (uint64_t)job->plan.tokens *
                              (uint64_t)job->dit.dim * (fil_dtype_bits(job->o.precision) / 8);
    return FIL_OK;
}

fil_status fili_job_capture(fili_job *job)
{
    fil_ctx      *ctx = job->ctx;
    fili_capture *c   = &job->capture;
    FIL_CHECK(ctx, job->o.capture != NULL || job->o.capture_to == NULL,
              "a folder for captures was given, and nothing to capture");
    if (job->o.capture == NULL) return FIL_OK;
    FIL_TRY(fili_capture_parse(c, ctx, job->o.capture));
    FIL_TRY(check_most(ctx, "layers", &c->layers, job->dit.layers));
    FIL_TRY(check_most(ctx, "steps", &c->steps, job->plan.steps));
    FIL_TRY(check_most(ctx, "passes", &c->passes, job->plan.passes));
    FIL_TRY(choose_prefix(job));
    FIL_TRY(check_paths(job));
    job->dit_options.choose     = fili_job_choose;
    job->dit_options.user       = job;
    job->dit_options.reads_rows = 1;
    return take_memory(job);
}

/* ---- at work -------------------------------------------------------------------------------- */

fil_status fili_job_capture_begin(fili_job *job)
{
    if (!job->capture.wanted || job->o.capture_to == NULL) return FIL_OK;
    return fili_dir_make(job->ctx, folder_of(&job->capture), &job->capture.made);
}

void fili_job_capture_failed(fili_job *job)
{
    if (job->capture.made) fili_dir_unmake(job->ctx, folder_of(&job->capture));
}

typedef struct number {
    char text[48];
} number;

static number whole(int64_t value)
{
    number n;
    snprintf(n.text, sizeof n.text, "%lld", (long long)value);
    return n;
}

static fil_status write_call(fili_job *job, const fili_policy_call *call)
{
    const fil_plan *p    = &job->plan;
    const fili_grid g    = call->order->grid;
    fili_capture   *c    = &job->capture;
    const char     *path = path_of(c, call->layer, call->step, call->pass);
    number          grid;
    snprintf(grid.text, sizeof grid.text, "%d,%d,%d", (int)g.f, (int)g.h, (int)g.w);
    const number     layer = whole(call->layer), step = whole(call->step), pass = whole(call->pass);
    const number     layers = whole(job->dit.layers), steps = whole(p->steps);
    number           seed;
    const fili_fixed sigma = fili_fixed_text((double)job->sigmas.sigma[call->step], 9);
    const fili_fixed time  = fili_fixed_text(job->sigmas.time[call->step], 6);
    const fili_fixed cfg   = fili_fixed_text(p->guidance, 6);
    const fili_fixed shift = fili_fixed_text(p->shift, 6);
    snprintf(seed.text, sizeof seed.text, "%llu", (unsigned long long)job->o.seed);
    const fil_pair pairs[] = {
        {"note", "[N,H,D] raster order (f,h,w), q and k after norm and rotary embedding"},
        {"grid", grid.text},
        {"layer", layer.text},
        {"layers", layers.text},
        {"step", step.text},
        {"steps", steps.text},
        {"pass", pass.text},
        {"sigma", sigma.text},
        {"timestep", time.text},
        {"guidance", cfg.text},
        {"shift", shift.text},
        {"sampler", p->sampler},
        {"seed", seed.text},
        {"attention", p->attention},
        {"prompt", c->prompt[0]},
        {"negative", c->prompt[1]}};
    return fili_capture_write(c, path, call, pairs, sizeof pairs / sizeof pairs[0], job->replace);
}

fil_status fili_job_choose(void *user, fili_policy_call *call, fili_policy_choice *choice)
{
    fili_job     *job = user;
    fili_capture *c   = &job->capture;
    FIL_TRY(fili_policy_run_choose(&job->policy, call, choice));
    if (!fili_capture_wants(c, call->layer, call->step, call->pass)) return FIL_OK;
    const double     begun  = filk_seconds(job->ctx); /* the clock of the DiT */
    const fil_status status = write_call(job, call);
    const double     spent  = filk_seconds(job->ctx) - begun;
    c->seconds += spent;
    job->policy.choose += spent; /* its clock is to time the policy, not the disk */
    if (status != FIL_OK)
        fili_error_frame(job->ctx, "capturing layer %d, step %d, pass %d", (int)call->layer,
                         (int)call->step, (int)call->pass);
    return status;
}
