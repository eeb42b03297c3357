/* engine/frame_log.c: decoded frames that wait in a file (engine/frame_log.h). */
#include <stdio.h>
#include <string.h>

#include "engine/frame_log.h"
#include "io/le.h"
#include "io/zip.h"

#define MAGIC "filigree.frames."

enum { HEADER = 128, CRC = 4 };

static size_t frame_bytes(const fili_frame_log *log)
{
    return (size_t)log->width * (size_t)log->height * 3;
}

static uint64_t place_of(const fili_frame_log *log, int32_t index)
{
    return HEADER + (uint64_t)index * (frame_bytes(log) + CRC);
}

uint64_t fili_frame_log_bytes(int32_t n, int32_t width, int32_t height)
{
    const fili_frame_log log = {.width = width, .height = height};
    return place_of(&log, n);
}

/* ---- the file ------------------------------------------------------------------------------- */

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static fil_status put_bytes(fili_frame_log *log, uint64_t offset, const void *src, size_t bytes)
{
    fili_atomic file = {.fd = log->fd, .dir = -1};
    snprintf(file.base, sizeof file.base, "%s", base_of(log->path));
    return fili_atomic_write(log->ctx, &file, offset, src, bytes);
}

static fil_status get_bytes(const fili_frame_log *log, uint64_t offset, void *dst, size_t bytes)
{
    const fili_file file = {.fd = log->fd, .size = offset + bytes, .name = log->path};
    return fili_file_read(log->ctx, &file, offset, dst, bytes);
}

static uint64_t size_of(const fili_frame_log *log)
{
    const fili_os *os = log->ctx->os;
    fili_stat      st;
    return os->fstat(os->self, log->fd, &st) == 0 ? st.size : 0;
}

/* The failure is told and forgotten; the run goes on without a log, and what it takes of a full
 * disk is given back. */
static void give_up(fili_frame_log *log, const char *reason, const fil_error *before)
{
    fil_ctx   *ctx    = log->ctx;
    const bool opened = log->fd >= 0;
    fili_log(ctx, FIL_LOG_WARNING,
             "decoded frames are not kept: %s; if the run is stopped, they are decoded again",
             reason);
    ctx->error = *before;
    fili_frame_log_close(log);
    if (opened) fili_frame_log_remove(ctx, log->path);
}

/* ---- opening -------------------------------------------------------------------------------- */

static void fill_header(const fili_frame_log_what *w, char header[HEADER + 1])
{
    char line[HEADER];
    snprintf(line, sizeof line, MAGIC "1 %s %d %d %d", w->key, (int)w->n, (int)w->width,
             (int)w->height);
    snprintf(header, HEADER + 1, "%-*s\n", HEADER - 1, line);
}

static bool is_whole(const fili_frame_log *log, int32_t index, uint8_t *rgb)
{
    uint8_t      crc[CRC];
    const size_t n = frame_bytes(log);
    return get_bytes(log, place_of(log, index), rgb, n) == FIL_OK &&
           get_bytes(log, place_of(log, index) + n, crc, CRC) == FIL_OK &&
           fili_le32(crc) == fili_crc32(rgb, n);
}

/* Frames that count: none, unless the header is the one that is expected. */
static int32_t count_kept(const fili_frame_log *log, const char *expected, uint8_t *rgb)
{
    char           header[HEADER];
    const uint64_t size = size_of(log);
    int32_t        kept = 0;
    if (size < HEADER || get_bytes(log, 0, header, HEADER) != FIL_OK) return 0;
    if (memcmp(header, expected, HEADER) != 0) {
        fili_log(log->ctx, FIL_LOG_WARNING,
                 "the frames kept in '%s' were made of something else: all are decoded anew",
                 fili_quote(log->path, strlen(log->path)).text);
        return 0;
    }
    while (kept < log->n && place_of(log, kept + 1) <= size && is_whole(log, kept, rgb))
        kept++;
    return kept;
}

/* Throws away what is there. */
static fil_status begin_anew(fili_frame_log *log, const char *header)
{
    const fili_os *os   = log->ctx->os;
    int            left = FILI_RETRIES;
    int            r;
    do {
        r = os->ftruncate(os->self, log->fd, 0);
    } while (fili_retry(r, &left));
    if (r < 0)
        return FIL_FAIL(log->ctx, FIL_E_IO, "cannot empty '%s': %s",
                        fili_quote(log->path, strlen(log->path)).text, strerror(-r));
    return put_bytes(log, 0, header, HEADER);
}

static int open_file(const fili_frame_log *log)
{
    const fili_os *os = log->ctx->os;
    const int      fd =
        fili_open_retrying(os, FILI_CWD, log->path, FILI_OPEN_WRITE | FILI_OPEN_NOFOLLOW);
    if (fd != -ENOENT) return fd;
    return fili_open_retrying(os, FILI_CWD, log->path, FILI_OPEN_WRITE | FILI_OPEN_CREATE);
}

void fili_frame_log_open(fili_frame_log *log, fil_ctx *ctx, const fili_frame_log_what *what,
                         int goes_on, uint8_t *rgb)
{
    const fil_error before = ctx->error;
    char            header[HEADER + 1];
    *log = (fili_frame_log){.ctx    = ctx,
                            .path   = what->path,
                            .fd     = -1,
                            .n      = what->n,
                            .width  = what->width,
                            .height = what->height};
    if (what->path == NULL) return;
    fili_ctx_enter(ctx);
    log->fd = open_file(log);
    if (log->fd < 0) {
        const char *reason = strerror(-log->fd);
        log->fd            = -1;
        give_up(log, reason, &before);
        return;
    }
    fill_header(what, header);
    if (goes_on) log->kept = count_kept(log, header, rgb);
    if (log->kept == 0 && begin_anew(log, header) != FIL_OK)
        give_up(log, ctx->error.message, &before);
    ctx->error = before;
}

fil_status fili_frame_log_look(fil_ctx *ctx, const char *path)
{
    static const char magic[] = MAGIC;

    char           head[sizeof magic - 1];
    fili_frame_log log = {.ctx = ctx, .path = path};
    log.fd = fili_open_retrying(ctx->os, FILI_CWD, path, FILI_OPEN_READ | FILI_OPEN_NOFOLLOW);
    if (log.fd < 0) return FIL_OK; /* nothing is there, or writing to it will fail */
    const uint64_t size   = size_of(&log);
    const size_t   bytes  = size < sizeof head ? (size_t)size : sizeof head;
    fil_status     status = get_bytes(&log, 0, head, bytes);
    if (status == FIL_OK && memcmp(head, magic, bytes) != 0)
        status = FIL_FAIL(ctx, FIL_E_IO,
                          "'%s' is there and holds no frames of a run that was stopped; --force "
                          "replaces it",
                          fili_quote(path, strlen(path)).text);
    fili_frame_log_close(&log);
    return status;
}

/* ---- frames --------------------------------------------------------------------------------- */

void fili_frame_log_cut(fili_frame_log *log, int32_t kept)
{
    log->kept = kept;
}

fil_status fili_frame_log_read(fili_frame_log *log, int32_t index, uint8_t *rgb)
{
    return get_bytes(log, place_of(log, index), rgb, frame_bytes(log));
}

void fili_frame_log_put(fili_frame_log *log, int32_t index, const uint8_t *rgb)
{
    const size_t n = frame_bytes(log);
    uint8_t      crc[CRC];
    if (log->fd < 0 || index != log->kept) return;
    const fil_error before = log->ctx->error;
    const uint32_t  sum    = fili_crc32(rgb, n);
    for (int i = 0; i < CRC; i++)
        crc[i] = (uint8_t)(sum >> 8 * i);
    fili_ctx_enter(log->ctx);
    if (put_bytes(log, place_of(log, index), rgb, n) != FIL_OK ||
        put_bytes(log, place_of(log, index) + n, crc, CRC) != FIL_OK) {
        give_up(log, log->ctx->error.message, &before);
        return;
    }
    log->ctx->error = before;
    log->kept++;
}

void fili_frame_log_close(fili_frame_log *log)
{
    if (log->ctx == NULL || log->fd < 0) return;
    (void)log->ctx->os->close(log->ctx->os->self, log->fd);
    log->fd = -1;
}

void fili_frame_log_remove(fil_ctx *ctx, const char *path)
{
    if (path != NULL) (void)ctx->os->unlinkat(ctx->os->self, FILI_CWD, path);
}
