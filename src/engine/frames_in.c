/* engine/frames_in.c: frames out of a file, for the VAE's encoder and for comparing (video_job.h).
 */
#include <string.h>

#include "base/mem.h"
#include "engine/video_job.h"

/* By the first bytes; what is neither may be a video. */
static fil_status kind_of_content(fil_ctx *ctx, const char *path, fili_input_kind *out)
{
    static const unsigned char png[8] = {137, 80, 78, 71, 13, 10, 26, 10};

    unsigned char head[9] = {0}; /* a safetensors file: eight bytes of length, then JSON */
    fili_file     file;
    FIL_TRY(fili_file_open(ctx, FILI_CWD, path, 0, &file));
    const size_t     bytes  = file.size < sizeof head ? (size_t)file.size : sizeof head;
    const fil_status status = fili_file_read(ctx, &file, 0, head, bytes);
    fili_file_close(ctx, &file);
    if (memcmp(head, png, sizeof png) == 0)
        *out = FILI_INPUT_PICTURE;
    else if (head[8] == '{')
        *out = FILI_INPUT_TENSORS;
    else
        *out = FILI_INPUT_VIDEO;
    return status;
}

fil_status fili_input_kind_of(fil_ctx *ctx, const char *path, fili_input_kind *out)
{
    *out = FILI_INPUT_VIDEO;
    if (fili_ends_in(path, ".png"))
        *out = FILI_INPUT_PICTURE;
    else if (fili_ends_in(path, ".safetensors"))
        *out = FILI_INPUT_TENSORS;
    else
        return kind_of_content(ctx, path, out);
    return FIL_OK;
}

static size_t frame_bytes(const fili_frames_in *f)
{
    return (size_t)f->width * (size_t)f->height * 3;
}

static fil_status open_tensor(fili_frames_in *f)
{
    fili_tensors_init(&f->set, f->ctx, 0);
    f->has_set = true;
    FIL_TRY(fili_tensors_open(&f->set, f->path));
    const fili_entry *e = f->tensor = fili_tensors_find(&f->set, "frames");
    if (e == NULL)
        return FIL_FAIL(f->ctx, FIL_E_MISMATCH,
                        "expected a tensor 'frames', found none of that name");
    if (e->dtype != FIL_U8 || e->rank != 4 || e->shape[3] != 3)
        return FIL_FAIL(f->ctx, FIL_E_SHAPE,
                        "tensor 'frames': expected U8 [F, H, W, 3], found %s of %u dimensions",
                        fil_dtype_name(e->dtype), (unsigned)e->rank);
    for (int d = 0; d < 3; d++)
        if (e->shape[d] < 1 || e->shape[d] > (d == 0 ? 100001 : FILI_VIDEO_SIDE))
            return FIL_FAIL(f->ctx, FIL_E_LIMIT, "tensor 'frames': dimension %d is %lld", d,
                            (long long)e->shape[d]);
    f->n      = (int32_t)e->shape[0];
    f->height = (int32_t)e->shape[1];
    f->width  = (int32_t)e->shape[2];
    return FIL_OK;
}

static fil_status take_frame_memory(fili_frames_in *f)
{
    void *block;
    FIL_TRY(fili_alloc(f->ctx, frame_bytes(f) + FILI_VIDEO_PAD, "a frame", &block));
    f->rgb = block;
    return FIL_OK;
}

/* A container may lie about its frames, so they are counted; the last pass over the file then
 * begins anew. */
static fil_status open_video(fili_frames_in *f)
{
    int more = 1;
    FIL_TRY(fili_video_reader_open(&f->video, f->ctx, f->path));
    f->has_video = true;
    f->width     = f->video.shape.width;
    f->height    = f->video.shape.height;
    FIL_TRY(take_frame_memory(f));
    for (f->n = -1; more && f->n < 100001; f->n++) {
        FIL_TRY(fili_check_cancel(f->ctx));
        FIL_TRY(fili_video_reader_get(&f->video, f->rgb, &more));
    }
    fili_video_reader_close(&f->video);
    FIL_TRY(fili_video_reader_open(&f->video, f->ctx, f->path));
    if (f->video.shape.width == f->width && f->video.shape.height == f->height) return FIL_OK;
    return FIL_FAIL(f->ctx, FIL_E_IO, "the video was replaced while it was read");
}

static fil_status open_picture(fili_frames_in *f)
{
    FIL_TRY(fili_png_read(f->ctx, f->path, &f->picture));
    f->n      = 1;
    f->width  = f->picture.width;
    f->height = f->picture.height;
    return FIL_OK;
}

/* Numbers from 0 on, as we write them, or from 1 on, as others do. */
static fil_status open_numbered(fili_frames_in *f)
{
    char name[FILI_NUMBERED_BYTES];
    f->first = fili_is_there(f->ctx, fili_numbered_name(&f->numbered, 0, name)) ? 0 : 1;
    FIL_TRY(fili_png_read(f->ctx, fili_numbered_name(&f->numbered, f->first, name), &f->picture));
    f->width  = f->picture.width;
    f->height = f->picture.height;
    for (f->n = 1; f->n < 100001; f->n++) {
        FIL_TRY(fili_check_cancel(f->ctx));
        if (!fili_is_there(f->ctx, fili_numbered_name(&f->numbered, f->first + f->n, name))) break;
    }
    return FIL_OK;
}

static fil_status read_numbered(fili_frames_in *f, int32_t index)
{
    char name[FILI_NUMBERED_BYTES];
    fili_picture_free(f->ctx, &f->picture);
    FIL_TRY(fili_png_read(f->ctx, fili_numbered_name(&f->numbered, f->first + index, name),
                          &f->picture));
    if (f->picture.width == f->width && f->picture.height == f->height) return FIL_OK;
    return FIL_FAIL(f->ctx, FIL_E_SHAPE, "'%s' has %d x %d pixels; those before it %d x %d",
                    fili_quote(name, strlen(name)).text, (int)f->picture.width,
                    (int)f->picture.height, (int)f->width, (int)f->height);
}

fil_status fili_frames_in_open(fili_frames_in *f, fil_ctx *ctx, const char *path)
{
    *f = (fili_frames_in){.ctx = ctx, .path = path};
    fili_input_kind kind;
    fil_status      status = fili_input_kind_of(ctx, path, &kind);
    if (status == FIL_OK && kind == FILI_INPUT_PICTURE && fili_numbered_parse(path, &f->numbered))
        status = open_numbered(f);
    else if (status == FIL_OK)
        status = kind == FILI_INPUT_PICTURE   ? open_picture(f)
                 : kind == FILI_INPUT_TENSORS ? open_tensor(f)
                                              : open_video(f);
    if (status == FIL_OK && f->rgb == NULL) status = take_frame_memory(f);
    if (status == FIL_OK) return FIL_OK;
    fili_error_frame(ctx, "input %s", fili_quote(path, strlen(path)).text);
    fili_frames_in_close(f);
    return status;
}

fil_status fili_frames_in_bytes(fili_frames_in *f, int32_t index, const uint8_t **rgb)
{
    int more = 1;
    *rgb     = f->rgb;
    if (f->has_set)
        return fili_tensors_read(&f->set, f->tensor, (uint64_t)index * frame_bytes(f), f->rgb,
                                 frame_bytes(f));
    if (f->numbered.tail != NULL) FIL_TRY(read_numbered(f, index));
    if (!f->has_video) {
        *rgb = f->picture.rgb;
        return FIL_OK;
    }
    FIL_TRY(fili_video_reader_get(&f->video, f->rgb, &more));
    if (more) return FIL_OK;
    return FIL_FAIL(f->ctx, FIL_E_IO, "'%s' ends at frame %d; it had %d before",
                    fili_quote(f->path, strlen(f->path)).text, (int)index, (int)f->n);
}

fil_status fili_frames_in_get(void *user, int32_t index, float *rgb, int32_t h, int32_t w)
{
    fili_frames_in *f = user;
    const uint8_t  *bytes;
    const size_t    plane = (size_t)h * (size_t)w;
    FIL_TRY(fili_frames_in_bytes(f, index, &bytes));
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            rgb[c * plane + i] = (float)bytes[3 * i + c] / 127.5f - 1.0f;
    return FIL_OK;
}

void fili_frames_in_close(fili_frames_in *f)
{
    if (f->ctx == NULL) return;
    if (f->has_set) fili_tensors_fini(&f->set);
    if (f->has_video) fili_video_reader_close(&f->video);
    fili_picture_free(f->ctx, &f->picture);
    fili_free(f->ctx, f->rgb, frame_bytes(f) + FILI_VIDEO_PAD);
    *f = (fili_frames_in){.ctx = NULL};
}
