/* engine/outputs.c: names of outputs, checked before any work (video_job.h): what kind of file is
 * meant, whether it can be written, and whether it is there already.
 */
#include <stdio.h>
#include <string.h>

#include "engine/video_job.h"

/* ---- one file ------------------------------------------------------------------------------- */

/* Skips "/" and "." between two names. */
static const char *next_name(const char *path, size_t *bytes)
{
    do {
        path += strspn(path, "/");
        *bytes = strcspn(path, "/");
        if (*bytes != 1 || *path != '.') return path;
        path++;
    } while (true);
}

static bool same_text(const char *a, const char *b)
{
    size_t n;
    size_t m;
    if ((a[0] == '/') != (b[0] == '/')) return false;
    do {
        a = next_name(a, &n);
        b = next_name(b, &m);
        if (n != m || memcmp(a, b, n) != 0) return false;
        a += n;
        b += m;
    } while (n > 0);
    return true;
}

/* Where the last part of a path begins. */
static size_t last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? (size_t)(slash + 1 - path) : 0;
}

/* Which folder the first `bytes` of a path lead to. */
static bool stat_folder(const fil_ctx *ctx, const char *path, size_t bytes, fili_stat *out)
{
    const fili_os *os = ctx->os;
    char           folder[FILI_NUMBERED_BYTES];
    if (bytes >= sizeof folder) return false;
    memcpy(folder, path, bytes);
    folder[bytes] = '\0';
    const int fd  = fili_open_retrying(os, FILI_CWD, bytes > 0 ? folder : ".",
                                       FILI_OPEN_READ | FILI_OPEN_DIRECTORY);
    if (fd < 0) return false;
    const bool done = os->fstat(os->self, fd, out) >= 0;
    (void)os->close(os->self, fd);
    return done;
}

fili_place fili_place_of(const fil_ctx *ctx, const char *path)
{
    fili_place p = {.path = path};
    fili_stat  st;
    if (path == NULL) return p;
    const size_t folder = last_part(path);
    p.name              = path + folder;
    p.has_folder        = stat_folder(ctx, path, folder, &st);
    if (p.has_folder) {
        p.dev   = st.dev;
        p.inode = st.inode;
    }
    return p;
}

bool fili_same_place(const fili_place *a, const fili_place *b)
{
    if (a->path == NULL || b->path == NULL) return false;
    if (same_text(a->path, b->path)) return true;
    return a->has_folder && b->has_folder && a->dev == b->dev && a->inode == b->inode &&
           strcmp(a->name, b->name) == 0;
}

/* Folders are looked at where the names alone do not decide. */
bool fili_same_path(const fil_ctx *ctx, const char *a, const char *b)
{
    if (a == NULL || b == NULL) return false;
    if (same_text(a, b)) return true;
    if (strcmp(a + last_part(a), b + last_part(b)) != 0) return false;
    const fili_place of_a = fili_place_of(ctx, a);
    const fili_place of_b = fili_place_of(ctx, b);
    return fili_same_place(&of_a, &of_b);
}

fil_status fili_output_check(fil_ctx *ctx, const char *what, const char *path, int replace)
{
    fili_atomic file;
    if (path == NULL) return FIL_OK;
    const fil_status status = fili_atomic_open(ctx, path, replace, &file);
    if (status == FIL_OK)
        fili_atomic_abort(ctx, &file);
    else
        fili_error_frame(ctx, "asked to write %s %s", what, fili_quote(path, strlen(path)).text);
    return status;
}

/* Names that programs take for videos, pictures and recipes; any other is the caller's choice. */
fil_status fili_output_holds_tensors(fil_ctx *ctx, const char *what, const char *path)
{
    static const char *const others[] = {".mp4", ".webm", ".webp", ".y4m", ".png",  ".mkv",
                                         ".mov", ".avi",  ".gif",  ".jpg", ".jpeg", ".json"};
    if (path == NULL) return FIL_OK;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        FIL_CHECK(ctx, !fili_ends_in(path, others[i]),
                  "%s go to a safetensors file: expected a name such as FILE.safetensors, found "
                  "'%.160s'",
                  what, path);
    return FIL_OK;
}

/* ---- pictures with numbers ------------------------------------------------------------------ */

/* The path without its last part and the '/' before it. */
static fil_status take_folder(fil_ctx *ctx, const char *path, size_t bytes,
                              char folder[FILI_NUMBERED_BYTES])
{
    FIL_CHECK(ctx, bytes < FILI_NUMBERED_BYTES, "output path is longer than %d bytes",
              FILI_NUMBERED_BYTES);
    memcpy(folder, path, bytes);
    folder[bytes] = '\0';
    return FIL_OK;
}

/* A folder that is not there can be made if its own folder can be written. */
static fil_status look_for_folder(fil_ctx *ctx, fili_outputs *o)
{
    char        folder[FILI_NUMBERED_BYTES];
    const char *slash = strrchr(o->video, '/');
    o->missing        = 0;
    if (slash == NULL || slash == o->video) return FIL_OK;
    FIL_TRY(take_folder(ctx, o->video, (size_t)(slash - o->video), folder));
    if (fili_is_there(ctx, folder)) return FIL_OK;
    o->missing = (size_t)(slash - o->video);
    return fili_output_check(ctx, "pictures in", folder, 0);
}

fil_status fili_outputs_begin(fil_ctx *ctx, fili_outputs *o)
{
    char folder[FILI_NUMBERED_BYTES];
    if (o->missing == 0) return FIL_OK;
    FIL_TRY(take_folder(ctx, o->video, o->missing, folder));
    return fili_dir_make(ctx, folder, &o->made);
}

void fili_outputs_failed(const fil_ctx *ctx, const fili_outputs *o)
{
    char folder[FILI_NUMBERED_BYTES];
    if (!o->made) return;
    memcpy(folder, o->video, o->missing);
    folder[o->missing] = '\0';
    fili_dir_unmake(ctx, folder);
}

/* Pictures that are there are of this run if its decoded frames are there, too; a picture behind
 * the last one would be taken for a frame of this video. */
static fil_status look_for_pictures(fil_ctx *ctx, const fili_outputs *o, const fili_numbered *n)
{
    char       name[FILI_NUMBERED_BYTES];
    const bool begun = o->goes_on && (o->kept == NULL || o->stands || fili_is_there(ctx, o->kept));
    for (int32_t i = 0; i < o->n; i++)
        FIL_TRY(
            fili_output_check(ctx, "video", fili_numbered_name(n, i, name), o->replace || begun));
    if (!fili_is_there(ctx, fili_numbered_name(n, o->n, name))) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_IO,
                    "'%s' is there already and would pass for a frame of this video, which has %d: "
                    "expected another name, or that file removed",
                    fili_quote(name, strlen(name)).text, (int)o->n);
}

/* ---- all outputs ---------------------------------------------------------------------------- */

/* A sequence has a number in its name; a picture has none. */
static fil_status check_pictures(fil_ctx *ctx, fili_outputs *o)
{
    const fili_quoted name = fili_quote(o->video, strlen(o->video));
    fili_numbered     numbered;
    if (fili_numbered_parse(o->video, &numbered)) return look_for_folder(ctx, o);
    FIL_CHECK(ctx, o->n == 1,
              "output '%s': a .png holds one frame, this video has %d; a name with a number, such "
              "as frames/%%05d.png, takes one file for each",
              name.text, (int)o->n);
    return FIL_OK;
}

fil_status fili_outputs_check(fil_ctx *ctx, fili_outputs *o, const fili_video_shape *size,
                              int32_t frames)
{
    fili_video_shape shape = {.width   = size->width,
                              .height  = size->height,
                              .fps_num = o->fps,
                              .fps_den = 1,
                              .crf     = o->crf};
    o->n                   = frames;
    FIL_CHECK(ctx, o->fps >= 1 && o->fps <= 1000, "fps: expected 1 to 1000, found %d", (int)o->fps);
    FIL_CHECK(ctx, o->crf >= 0 && o->crf <= 100, "crf: expected 0 to 100, found %d", (int)o->crf);
    if (o->video == NULL) return FIL_OK;
    if (fili_ends_in(o->video, ".png")) return check_pictures(ctx, o);
    FIL_CHECK(ctx, fili_video_format_of(o->video, &shape.format),
              "output '%s': expected a name that ends in " FILI_VIDEO_ENDINGS
              ", in .png for one frame, or one such as frames/%%05d.png",
              fili_quote(o->video, strlen(o->video)).text);
    return fili_video_writer_check(ctx, &shape);
}

fil_status fili_outputs_look(fil_ctx *ctx, const fili_outputs *o, const char *what,
                             const char *path, int replace)
{
    fili_numbered n;
    if (path == NULL) return FIL_OK;
    if (o->missing > 0 && strncmp(path, o->video, o->missing + 1) == 0 &&
        strchr(path + o->missing + 1, '/') == NULL)
        return FIL_OK;
    if (path == o->video && fili_ends_in(path, ".png") && fili_numbered_parse(path, &n))
        return look_for_pictures(ctx, o, &n);
    if (path == o->kept && o->goes_on && !o->replace) FIL_TRY(fili_piece_log_look(ctx, path));
    return fili_output_check(ctx, what, path, replace);
}

/* ---- their bytes ---------------------------------------------------------------------------- */

static uint64_t video_bytes(const fili_outputs *o, const fili_frames_size *size)
{
    const fili_video_shape shape = {
        .width = size->width, .height = size->height, .fps_num = o->fps, .fps_den = 1};
    fili_video_format format;
    if (o->video == NULL || !fili_video_format_of(o->video, &format) || format != FILI_VIDEO_Y4M)
        return 0;
    return fili_y4m_file_bytes(&shape, size->n);
}

/* Tiles wait there until all are done; whole frames are kept as long as there is room. */
static fili_disk_file kept_file(const fili_outputs *o, const fili_frames_size *size,
                                const fili_decode_cost *cost)
{
    if (!cost->tiled)
        return (fili_disk_file){.what   = "decoded frames",
                                .path   = o->kept,
                                .bytes  = fili_frame_log_bytes(size->n, size->width, size->height),
                                .manner = FILI_DISK_PLACE,
                                .passes = true,
                                .spare  = true};
    return (fili_disk_file){.what   = "frames that wait for their tiles",
                            .path   = o->kept != NULL ? o->kept : o->spool,
                            .bytes  = cost->disk,
                            .manner = o->kept != NULL ? FILI_DISK_PLACE : FILI_DISK_NAMELESS,
                            .passes = true};
}

void fili_outputs_disk(const fili_outputs *o, const fili_frames_size *size,
                       const fili_decode_cost *cost, fili_disk_list *list)
{
    const uint64_t       pixels = (uint64_t)size->width * (uint64_t)size->height;
    const fili_disk_file kept   = kept_file(o, size, cost);
    const fili_disk_file frames = {.what   = "the frames",
                                   .path   = o->frames,
                                   .bytes  = (uint64_t)size->n * pixels * 3,
                                   .manner = FILI_DISK_LONG};
    const fili_disk_file video  = {.what   = "the video",
                                   .path   = o->video,
                                   .bytes  = video_bytes(o, size),
                                   .manner = FILI_DISK_LONG};
    if (o->stands) return;
    fili_disk_add(list, &kept);
    fili_disk_add(list, &frames);
    fili_disk_add(list, &video);
}
