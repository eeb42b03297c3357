/* engine/finished.c: outputs that stand although the run did not come to its end (video_job.h): it
 * was killed behind the renaming of its video and before its recipe stood, or while it removed its
 * state.
 *
 * Before the files get their names, their SHA-256 is written into the log that their frames are
 * kept in. A run that goes on and finds a file of that name knows by it whether that is its own.
 * The log is removed behind the recipe, so where it is gone already a recipe of this very run tells
 * the same. Nothing of this can fail: what is not known to be the run's own is a file that exists.
 */
#include <stdio.h>
#include <string.h>

#include "engine/recipe.h"
#include "engine/video_job.h"

/* ---- hashes --------------------------------------------------------------------------------- */

#define NONE "-"

static bool hash_file(const fili_os *os, int fd, char hex[FILI_SHA256_HEX])
{
    unsigned char buffer[16384];
    fili_file     file = {.fd = fd, .name = ""};
    fili_sha256   h;
    fili_stat     st;
    if (os->fstat(os->self, fd, &st) < 0) return false;
    fili_sha256_begin(&h);
    for (uint64_t at = 0; at < st.size; at += sizeof buffer) {
        const uint64_t left = st.size - at;
        const size_t   n    = left < sizeof buffer ? (size_t)left : sizeof buffer;
        if (fili_file_read_raw(os, &file, at, buffer, n) != 0) return false;
        fili_sha256_add(&h, buffer, n);
    }
    fili_sha256_end(&h, hex);
    return true;
}

static bool has_hash(const fil_ctx *ctx, const char *path, const char *wanted)
{
    const fili_os *os = ctx->os;
    char           hex[FILI_SHA256_HEX];
    if (path == NULL || strcmp(wanted, NONE) == 0) return false;
    const int fd = fili_open_retrying(os, FILI_CWD, path, FILI_OPEN_NOFOLLOW);
    if (fd < 0) return false;
    const bool same = hash_file(os, fd, hex) && strcmp(hex, wanted) == 0;
    (void)os->close(os->self, fd);
    return same;
}

/* ---- when they are finished ----------------------------------------------------------------- */

void fili_finished_mark(const fili_frames_out *f, const fili_atomic *video)
{
    fil_ctx            *ctx                      = f->ctx;
    const fili_outputs *o                        = f->outputs;
    const fil_error     before                   = ctx->error;
    char                hash[2][FILI_SHA256_HEX] = {NONE, NONE};
    char                text[FILI_PIECE_MARK];
    if (video == NULL && !f->has_tensor) return;
    if (o->kept == NULL || !fili_is_there(ctx, o->kept)) return;
    if ((video != NULL && !hash_file(ctx->os, video->fd, hash[0])) ||
        (f->has_tensor && !hash_file(ctx->os, f->tensor.file.fd, hash[1])))
        return;
    snprintf(text, sizeof text, "%s %s", hash[0], hash[1]);
    fili_ctx_enter(ctx);
    if (fili_piece_log_mark(ctx, o->kept, text) != FIL_OK)
        fili_log(ctx, FIL_LOG_INFO, "a run that is killed now will not know its video: %s",
                 ctx->error.message);
    ctx->error = before;
}

/* ---- when the run goes on ------------------------------------------------------------------- */

/* Of the two outputs that are one file each. */
static bool is_file(const char *path)
{
    return path != NULL && !fili_ends_in(path, ".png");
}

void fili_finished_look(const fil_ctx *ctx, fili_outputs *o)
{
    char  text[FILI_PIECE_MARK];
    char *frames;
    o->own_video = o->own_frames = o->stands = false;
    if (!o->goes_on || o->replace || o->kept == NULL) return;
    /* One picture: as with numbered ones, it is this run's if its frame is there. */
    o->own_video = o->video != NULL && !is_file(o->video) && fili_is_there(ctx, o->kept);
    if (!fili_piece_log_marked(ctx, o->kept, text)) return;
    frames = strchr(text, ' ');
    if (frames == NULL) return;
    *frames++ = '\0';
    o->own_video |= is_file(o->video) && has_hash(ctx, o->video, text);
    o->own_frames = has_hash(ctx, o->frames, frames);
    o->stands     = (o->video == NULL || (is_file(o->video) && o->own_video)) &&
                (o->frames == NULL || o->own_frames) && (o->video != NULL || o->frames != NULL) &&
                o->fn == NULL;
}

/* The recipe comes when everything else stands, and then the log goes. */
static bool stands_by_recipe(const fili_job *job)
{
    const fili_outputs *o = &job->outputs;
    return job->own_recipe && !fili_is_there(job->ctx, o->kept) &&
           (o->video == NULL || !is_file(o->video) || fili_is_there(job->ctx, o->video)) &&
           (o->frames == NULL || fili_is_there(job->ctx, o->frames)) && o->fn == NULL;
}

void fili_job_finished(fili_job *job)
{
    fil_ctx      *ctx = job->ctx;
    fili_outputs *o   = &job->outputs;
    fili_finished_look(ctx, o);
    if (!o->goes_on || o->replace || o->kept == NULL) return;
    if (!fili_checkpoint_is_at(job, job->plan.steps)) {
        o->own_video = o->own_frames = o->stands = false;
        return;
    }
    job->own_recipe = job->o.save_recipe != NULL && fili_is_there(ctx, job->o.save_recipe) &&
                      fili_recipe_tells_of(ctx, job->o.save_recipe, &job->o);
    if (stands_by_recipe(job)) o->own_video = o->own_frames = o->stands = true;
    if (o->stands)
        fili_log(ctx, FIL_LOG_INFO, "the frames are done: the run was stopped behind them");
}
