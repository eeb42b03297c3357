/* engine/frames_out.c: frames of the VAE become bytes and go where they are wanted: a video, PNGs,
 * a tensor `frames` [F, H, W, 3] u8, the caller's function (video_job.h). One frame is held at a
 * time.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/video_job.h"

static size_t frame_bytes(int32_t width, int32_t height)
{
    return (size_t)width * (size_t)height * 3 + FILI_VIDEO_PAD;
}

/* A PNG is compressed in memory: no larger than 1.1 times the picture. */
uint64_t fili_frames_out_bytes(const fili_outputs *o, int32_t width, int32_t height)
{
    uint64_t          bytes = frame_bytes(width, height) + ((uint64_t)1 << 20);
    fili_video_format format;
    if (o->video == NULL) return bytes;
    if (!fili_video_format_of(o->video, &format)) return bytes + 2 * frame_bytes(width, height);
    return bytes + fili_video_writer_bytes(format, width, height);
}

static fil_status open_tensor(fili_frames_out *f)
{
    const fil_tensor_desc t = {
        .name = "frames", .dtype = FIL_U8, .rank = 4, .shape = {f->n, f->height, f->width, 3}};
    const fili_writer_input input   = {.tensors = &t, .n_tensors = 1};
    const int               replace = f->outputs->replace || f->outputs->own_frames;
    FIL_TRY(fili_writer_open(&f->tensor, f->ctx, f->outputs->frames, &input, replace));
    f->has_tensor = true;
    return FIL_OK;
}

static fil_status open_video(fili_frames_out *f)
{
    const fili_outputs *o       = f->outputs;
    fili_video_clip     clip    = {.frames = f->n,
                                   .shape  = {.width   = f->width,
                                              .height  = f->height,
                                              .fps_num = o->fps,
                                              .fps_den = 1,
                                              .crf     = o->crf,
                                              .notes   = o->notes}};
    const int           replace = o->replace || o->own_video;
    if (o->video == NULL || !fili_video_format_of(o->video, &clip.shape.format)) return FIL_OK;
    FIL_TRY(fili_video_writer_open(&f->video, f->ctx, o->video, replace, &clip));
    f->has_video = true;
    return FIL_OK;
}

fil_status fili_frames_out_open(fili_frames_out *f, fil_ctx *ctx, const fili_outputs *outputs,
                                const fili_frames_size *size)
{
    const size_t bytes = frame_bytes(size->width, size->height);
    void        *block;
    fil_status   status;
    *f = (fili_frames_out){
        .ctx = ctx, .outputs = outputs, .n = size->n, .width = size->width, .height = size->height};
    FIL_TRY(fili_alloc(ctx, bytes, "a frame", &block));
    f->rgb = block;
    memset(f->rgb, 0, bytes);
    if (outputs->frames != NULL) FIL_TRY_OR(fail, open_tensor(f));
    FIL_TRY_OR(fail, open_video(f));
    return FIL_OK;
fail:
    fili_frames_out_close(f);
    return status;
}

/* In f32, as both implementations compute it; lrintf rounds half to even, as numpy does. */
uint8_t fili_frame_byte(float value, int rounds)
{
    const float share = fminf(fmaxf((value + 1.0f) / 2.0f, 0.0f), 1.0f); /* NaN becomes 0 */
    const float level = share * 255.0f;
    return (uint8_t)(rounds ? lrintf(level) : (long)level);
}

static void to_bytes(fili_frames_out *f, const float *rgb)
{
    const size_t plane = (size_t)f->width * (size_t)f->height;
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            f->rgb[3 * i + c] = fili_frame_byte(rgb[c * plane + i], f->outputs->rounds);
}

static fil_status write_picture(fili_frames_out *f, int32_t index)
{
    const fili_outputs   *o      = f->outputs;
    const fili_png_source source = {
        .rgb = f->rgb, .width = f->width, .height = f->height, .notes = o->notes};
    char          name[FILI_NUMBERED_BYTES];
    fili_numbered n;
    if (!fili_numbered_parse(o->video, &n))
        return fili_png_write(f->ctx, o->video, o->replace || o->own_video, &source);
    if (index >= f->pictures) f->pictures = index + 1;
    return fili_png_write(f->ctx, fili_numbered_name(&n, index, name), o->replace || o->goes_on,
                          &source);
}

void fili_frames_out_unmake(const fili_frames_out *f)
{
    const fili_outputs *o  = f->outputs;
    const fili_os      *os = f->ctx->os;
    char                name[FILI_NUMBERED_BYTES];
    fili_numbered       n;
    if (o->video == NULL || o->replace || !fili_numbered_parse(o->video, &n)) return;
    for (int32_t i = 0; i < f->pictures; i++)
        (void)os->unlinkat(os->self, FILI_CWD, fili_numbered_name(&n, i, name));
}

static fil_status send(fili_frames_out *f, int32_t index)
{
    const fili_outputs *o = f->outputs;
    const int32_t       w = f->width;
    const int32_t       h = f->height;
    if (f->has_tensor)
        FIL_TRY(fili_writer_put(&f->tensor, 0, f->rgb, frame_bytes(w, h) - FILI_VIDEO_PAD));
    if (f->has_video) FIL_TRY(fili_video_writer_put(&f->video, f->rgb));
    if (o->video != NULL && !f->has_video) FIL_TRY(write_picture(f, index));
    if (o->fn != NULL && o->fn(o->user, index, f->rgb, w, h) != 0)
        return FIL_FAIL(f->ctx, FIL_E_CANCELLED, "the frame callback ended the run at frame %d",
                        (int)index);
    return FIL_OK;
}

fil_status fili_frames_out_put_kept(fili_frames_out *f, int32_t index)
{
    return send(f, index);
}

fil_status fili_frames_out_put(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    fili_frames_out *f = user;
    if (h != f->height || w != f->width || index < 0 || index >= f->n)
        return FIL_FAIL(f->ctx, FIL_E_INTERNAL,
                        "frame %d of %d x %d, expected one of %d of %d x %d", (int)index, (int)w,
                        (int)h, (int)f->n, (int)f->width, (int)f->height);
    to_bytes(f, rgb);
    if (f->log != NULL) fili_frame_log_put(f->log, index, f->rgb);
    return send(f, index);
}

fil_status fili_frames_out_finish(fili_frames_out *f)
{
    const fili_atomic *video  = NULL;
    fil_status         status = FIL_OK;
    if (f->has_video) status = fili_video_writer_seal(&f->video, &video);
    if (status == FIL_OK) fili_finished_mark(f, video);
    if (status == FIL_OK && f->has_tensor) {
        f->has_tensor = false;
        status        = fili_writer_finish(&f->tensor);
    }
    if (status == FIL_OK && f->has_video) {
        f->has_video = false;
        status       = fili_video_writer_finish(&f->video);
    }
    fili_frames_out_close(f);
    return status;
}

void fili_frames_out_close(fili_frames_out *f)
{
    if (f->ctx == NULL) return;
    if (f->has_tensor) fili_writer_close(&f->tensor);
    if (f->has_video) fili_video_writer_close(&f->video);
    fili_free(f->ctx, f->rgb, frame_bytes(f->width, f->height));
    *f = (fili_frames_out){.ctx = NULL};
}
