/* io/video_file.c: loads the plug-in and lends it our files (io/video_file.h). The plug-in's
 * failures become statuses here; where a callback of ours failed, that failure is the one that is
 * told.
 */
#include <string.h>

#include "base/mem.h"
#include "io/video_file.h"

fil_status fili_video_load(fil_ctx *ctx, const fili_video_plugin **out)
{
    const fili_os       *os     = ctx->os;
    const char          *why    = "it is too old";
    fili_video_plugin_fn get    = NULL;
    void                *object = os->library_open(os->self, FILI_VIDEO_OBJECT, &why);
    void *symbol = object != NULL ? os->library_symbol(os->self, object, FILI_VIDEO_SYMBOL) : NULL;
    _Static_assert(sizeof get == sizeof symbol, "POSIX: a function pointer fits into void *");
    memcpy(&get, &symbol, sizeof get);
    if (get == NULL)
        return FIL_FAIL(ctx, FIL_E_UNSUP,
                        "video files need the plug-in %s, which does not load: %.120s",
                        FILI_VIDEO_OBJECT, why);
    *out = get();
    return FIL_OK;
}

static fil_status check_shape(fil_ctx *ctx, const fili_video_shape *s)
{
    const int32_t most = fili_video_crf_most(s->format);
    FIL_CHECK(ctx,
              s->width > 0 && s->height > 0 && s->width % 2 == 0 && s->height % 2 == 0 &&
                  s->width <= FILI_VIDEO_SIDE && s->height <= FILI_VIDEO_SIDE,
              "video of %d x %d pixels: expected even sides up to %d", (int)s->width,
              (int)s->height, FILI_VIDEO_SIDE);
    FIL_CHECK(ctx, s->fps_num > 0 && s->fps_den > 0, "fps: expected a number above 0");
    FIL_CHECK(ctx, s->crf >= 0 && s->crf <= most, "crf: expected 0 to %d, found %d", (int)most,
              (int)s->crf);
    return FIL_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

fil_status fili_video_writer_check(fil_ctx *ctx, const fili_video_shape *shape)
{
    const fili_video_plugin *plugin;
    char                     why[FILI_VIDEO_WHY] = "";
    FIL_TRY(check_shape(ctx, shape));
    if (shape->format == FILI_VIDEO_Y4M) return FIL_OK;
    FIL_TRY(fili_video_load(ctx, &plugin));
    if (plugin->write_check(shape, why) == 0) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_UNSUP, "%s", why);
}

/* Measured at 832 x 480, rounded up. x264 keeps some 50 frames to look ahead and to refer to, with
 * borders and halves of them; libvpx 25, and statistics; libwebp a picture in some forms. */
uint64_t fili_video_writer_bytes(fili_video_format format, int32_t width, int32_t height)
{
    const uint64_t base   = (uint64_t)16 << 20;
    const uint64_t pixels = (uint64_t)width * (uint64_t)height;
    switch (format) {
    case FILI_VIDEO_WEBP: return base + pixels * 64;
    case FILI_VIDEO_Y4M: return fili_y4m_frame_bytes(width, height);
    default: return base + pixels * 200;
    }
}

static int write_bytes(void *user, uint64_t offset, const void *src, size_t bytes)
{
    fili_video_writer *w = user;
    w->io                = fili_atomic_write(w->ctx, &w->file, offset, src, bytes);
    return w->io == FIL_OK ? 0 : -1;
}

static fil_status write_failed(fili_video_writer *w, const char *why)
{
    if (w->io != FIL_OK) return w->io;
    return FIL_FAIL(w->ctx, FIL_E_IO, "'%s': %s", w->file.base, why);
}

fil_status fili_video_writer_open(fili_video_writer *w, fil_ctx *ctx, const char *path, int replace,
                                  const fili_video_clip *clip)
{
    const fili_video_shape *shape               = &clip->shape;
    char                    why[FILI_VIDEO_WHY] = "";
    fil_status              status;
    *w = (fili_video_writer){
        .ctx = ctx, .file = FILI_ATOMIC_CLOSED, .is_y4m = shape->format == FILI_VIDEO_Y4M};
    FIL_TRY(fili_video_writer_check(ctx, shape));
    if (w->is_y4m) return fili_y4m_open(&w->y4m, ctx, path, replace, shape);
    FIL_TRY(fili_video_load(ctx, &w->plugin));
    const uint64_t bytes = fili_video_writer_bytes(shape->format, shape->width, shape->height);
    FIL_TRY(fili_mem_reserve(ctx, bytes, "the video encoder"));
    w->reserved = bytes;
    FIL_TRY_OR(fail, fili_atomic_open(ctx, path, replace, &w->file));
    w->bytes = (fili_video_bytes){.user = w, .write = write_bytes};
    if (w->plugin->write_open(shape, &w->bytes, &w->handle, why) == 0) return FIL_OK;
    status = w->io;
    if (status == FIL_OK) status = FIL_FAIL(ctx, FIL_E_UNSUP, "no video: %s", why);
fail:
    fili_video_writer_close(w);
    return status;
}

fil_status fili_video_writer_put(fili_video_writer *w, const uint8_t *rgb)
{
    char why[FILI_VIDEO_WHY] = "";
    if (w->is_y4m) return fili_y4m_put(&w->y4m, rgb);
    return w->plugin->write_frame(w->handle, rgb, why) == 0 ? FIL_OK : write_failed(w, why);
}

fil_status fili_video_writer_seal(fili_video_writer *w, const fili_atomic **file)
{
    char why[FILI_VIDEO_WHY] = "";
    *file                    = w->is_y4m ? &w->y4m.file : &w->file;
    if (!w->is_y4m && !w->sealed && w->plugin->write_finish(w->handle, why) != 0)
        return write_failed(w, why);
    w->sealed = true;
    return FIL_OK;
}

fil_status fili_video_writer_finish(fili_video_writer *w)
{
    const fili_atomic *file;
    fil_status         status = fili_video_writer_seal(w, &file);
    if (status == FIL_OK)
        status = w->is_y4m ? fili_y4m_finish(&w->y4m) : fili_atomic_commit(w->ctx, &w->file);
    fili_video_writer_close(w);
    return status;
}

void fili_video_writer_close(fili_video_writer *w)
{
    if (w->ctx == NULL) return;
    fili_y4m_close(&w->y4m);
    if (w->handle != NULL) w->plugin->write_close(w->handle);
    fili_atomic_abort(w->ctx, &w->file);
    fili_mem_release(w->ctx, w->reserved);
    *w = (fili_video_writer){.ctx = NULL};
}

/* ---- reading -------------------------------------------------------------------------------- */

static int read_bytes(void *user, uint64_t offset, void *dst, size_t bytes)
{
    fili_video_reader *r = user;
    r->io                = fili_file_read(r->ctx, &r->file, offset, dst, bytes);
    return r->io == FIL_OK ? 0 : -1;
}

static fil_status read_failed(fili_video_reader *r, const char *why)
{
    if (r->io != FIL_OK) return r->io;
    return FIL_FAIL(r->ctx, FIL_E_FORMAT, "'%s': %s",
                    fili_quote(r->file.name, strlen(r->file.name)).text, why);
}

fil_status fili_video_reader_open(fili_video_reader *r, fil_ctx *ctx, const char *path)
{
    char       why[FILI_VIDEO_WHY] = "";
    fil_status status;
    *r = (fili_video_reader){.ctx = ctx, .file = FILI_FILE_CLOSED};
    FIL_TRY(fili_video_load(ctx, &r->plugin));
    FIL_TRY_OR(fail, fili_file_open(ctx, FILI_CWD, path, 0, &r->file));
    r->bytes = (fili_video_bytes){.user = r, .read = read_bytes, .size = r->file.size};
    if (r->plugin->read_open(&r->bytes, &r->shape, &r->handle, why) != 0) {
        status = read_failed(r, why);
        goto fail;
    }
    if (r->shape.width > 0 && r->shape.height > 0 && r->shape.width <= FILI_VIDEO_SIDE &&
        r->shape.height <= FILI_VIDEO_SIDE)
        return FIL_OK;
    status = FIL_FAIL(ctx, FIL_E_LIMIT, "video of %d x %d pixels: expected sides of 1 to %d",
                      (int)r->shape.width, (int)r->shape.height, FILI_VIDEO_SIDE);
fail:
    fili_video_reader_close(r);
    return status;
}

fil_status fili_video_reader_get(fili_video_reader *r, uint8_t *rgb, int *more)
{
    char      why[FILI_VIDEO_WHY] = "";
    const int got                 = r->plugin->read_frame(r->handle, rgb, why);
    *more                         = got == 1;
    return got >= 0 ? FIL_OK : read_failed(r, why);
}

void fili_video_reader_close(fili_video_reader *r)
{
    if (r->ctx == NULL) return;
    if (r->handle != NULL) r->plugin->read_close(r->handle);
    fili_file_close(r->ctx, &r->file);
    *r = (fili_video_reader){.ctx = NULL};
}
