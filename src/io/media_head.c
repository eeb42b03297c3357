/* io/media_head.c: which format a file is, and the way to its reader (io/media_head.h). */
#include <string.h>

#include "io/media_head.h"
#include "io/video_file.h"

/* ---- formats -------------------------------------------------------------------------------- */

enum { HEAD = 64 };

typedef struct mark {
    size_t      at;
    const char *bytes;
} mark;

typedef struct known {
    const char *name;
    mark        first, second; /* second: bytes NULL: one mark is enough */
} known;

/* The first that fits. Marks hold no NUL. */
static const known formats[] = {{"png", {0, "\x89PNG\r\n\x1a\n"}, {0, NULL}},
                                {"gif", {0, "GIF8"}, {0, NULL}},
                                {"jpeg", {0, "\xff\xd8\xff"}, {0, NULL}},
                                {"webp", {0, "RIFF"}, {8, "WEBP"}},
                                {"avi", {0, "RIFF"}, {8, "AVI "}},
                                {"mov", {4, "ftyp"}, {8, "qt  "}},
                                {"mp4", {4, "ftyp"}, {0, NULL}},
                                {"mov", {4, "moov"}, {0, NULL}},
                                {"y4m", {0, "YUV4MPEG2 "}, {0, NULL}},
                                {"ogg", {0, "OggS"}, {0, NULL}},
                                {"flv", {0, "FLV\x01"}, {0, NULL}}};

static bool has(const uint8_t *head, size_t bytes, const mark *m)
{
    const size_t n = m->bytes != NULL ? strlen(m->bytes) : 0;
    return n == 0 || (m->at + n <= bytes && memcmp(head + m->at, m->bytes, n) == 0);
}

/* The name of the document's type stands in its first element. */
static bool names_webm(const uint8_t *head, size_t bytes)
{
    for (size_t i = 4; i + 4 <= bytes; i++)
        if (memcmp(head + i, "webm", 4) == 0) return true;
    return false;
}

const char *fili_media_format(const uint8_t *head, size_t bytes)
{
    const mark matroska = {0, "\x1a\x45\xdf\xa3"};
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (has(head, bytes, &formats[i].first) && has(head, bytes, &formats[i].second))
            return formats[i].name;
    if (!has(head, bytes, &matroska)) return NULL;
    return names_webm(head, bytes) ? "webm" : "matroska";
}

static fil_status look(fil_ctx *ctx, const fili_file *file, const char **format)
{
    uint8_t      head[HEAD] = {0};
    const size_t bytes      = file->size < HEAD ? (size_t)file->size : HEAD;
    FIL_TRY(fili_file_read(ctx, file, 0, head, bytes));
    *format = fili_media_format(head, bytes);
    return FIL_OK;
}

const char *fili_media_format_of(fil_ctx *ctx, const char *path)
{
    const fil_error before = ctx->error;
    const char     *format = NULL;
    fili_file       file;
    if (fili_file_open(ctx, FILI_CWD, path, 0, &file) == FIL_OK) {
        if (look(ctx, &file, &format) != FIL_OK) format = NULL;
        fili_file_close(ctx, &file);
    }
    ctx->error = before;
    return format;
}

/* ---- what libav knows ----------------------------------------------------------------------- */

static fil_status keep_note(fili_arena *arena, const char *text, const char **out)
{
    const size_t bytes = text != NULL ? strlen(text) : 0;
    char        *copy;
    *out = NULL;
    if (text == NULL || bytes > FILI_MEDIA_NOTE) return FIL_OK;
    FIL_TRY(fili_arena_text(arena, text, bytes, &copy));
    *out = copy;
    return FIL_OK;
}

static fil_status take_told(fili_arena *arena, const fili_video_reader *r, fili_media_head *out)
{
    fili_video_told told = {.frames = -1};
    r->plugin->read_told(r->handle, &told);
    out->width   = r->shape.width;
    out->height  = r->shape.height;
    out->fps_num = r->shape.fps_num > 0 && r->shape.fps_den > 0 ? r->shape.fps_num : 0;
    out->fps_den = out->fps_num > 0 ? r->shape.fps_den : 0;
    out->frames  = told.frames;
    out->codec   = told.codec; /* libav's, static */
    FIL_TRY(keep_note(arena, told.notes.software, &out->notes.software));
    FIL_TRY(keep_note(arena, told.notes.description, &out->notes.description));
    return keep_note(arena, told.notes.comment, &out->notes.comment);
}

static fil_status read_with_libav(fili_arena *arena, const char *path, fili_media_head *out)
{
    fili_video_reader r;
    FIL_TRY(fili_video_reader_open(&r, arena->ctx, path));
    const fil_status status = take_told(arena, &r, out);
    fili_video_reader_close(&r);
    return status;
}

/* ---- all of them ---------------------------------------------------------------------------- */

fil_status fili_media_head_read(fili_arena *arena, const char *path, fili_media_head *out)
{
    fil_ctx  *ctx = arena->ctx;
    fili_file file;
    *out = (fili_media_head){.codec = "", .frames = -1};
    FIL_TRY(fili_file_open(ctx, FILI_CWD, path, 0, &file));
    fil_status status = look(ctx, &file, &out->format);
    out->bytes        = file.size;
    if (status == FIL_OK && out->format == NULL)
        status = FIL_FAIL(ctx, FIL_E_MISMATCH, "'%s' begins like no video or picture",
                          fili_quote(path, strlen(path)).text);
    else if (status == FIL_OK && strcmp(out->format, "png") == 0)
        status = fili_png_head(arena, &file, out);
    else if (status == FIL_OK && strcmp(out->format, "webp") == 0)
        status = fili_webp_head(arena, &file, out);
    else if (status == FIL_OK)
        status = read_with_libav(arena, path, out);
    fili_file_close(ctx, &file);
    return status;
}
