/* io/piece_log.c: pieces with their CRC in a file (io/piece_log.h). */
#include <stdio.h>
#include <string.h>

#include "io/le.h"
#include "io/piece_log.h"
#include "io/zip.h"

#define MAGIC "filigree.frames."

enum {
    HEAD  = FILI_PIECE_LOG_HEAD,
    MARK  = FILI_PIECE_MARK,
    FRONT = FILI_PIECE_LOG_FRONT,
    CRC   = FILI_PIECE_CRC
};

_Static_assert(sizeof MAGIC "2 " + FILI_PIECE_MADE_OF < HEAD, "the line fits into the head");

uint64_t fili_piece_log_bytes(int64_t n, uint64_t bytes)
{
    return FRONT + bytes + (uint64_t)n * CRC;
}

/* ---- opening -------------------------------------------------------------------------------- */

static void fill_head(const char *made_of, char head[HEAD + 1])
{
    char line[HEAD];
    snprintf(line, sizeof line, MAGIC "2 %s", made_of);
    snprintf(head, HEAD + 1, "%-*s\n", HEAD - 1, line);
}

static bool has_head(const fili_piece_log *log, const char *expected)
{
    char head[HEAD];
    if (!fili_spool_peek(log->ctx, &log->spool, 0, head, HEAD)) return false;
    if (memcmp(head, expected, HEAD) == 0) return true;
    fili_log(log->ctx, FIL_LOG_WARNING,
             "the frames kept in '%s' were made of something else: all are decoded anew",
             fili_quote(log->spool.file.base, strlen(log->spool.file.base)).text);
    return false;
}

/* Throws away what is there; all of it where that fails. */
static fil_status begin_anew(fili_piece_log *log, const char *path, const char *head)
{
    fil_status status = fili_spool_empty(log->ctx, &log->spool);
    if (status == FIL_OK) status = fili_spool_write(log->ctx, &log->spool, 0, head, HEAD);
    if (status != FIL_OK) fili_piece_log_remove(log->ctx, path);
    return status;
}

static fil_status open_named(fili_piece_log *log, const fili_piece_log_what *what)
{
    char head[HEAD + 1];
    FIL_TRY(fili_spool_open_named(log->ctx, what->path, &log->spool));
    fill_head(what->made_of, head);
    log->goes_on = what->goes_on && has_head(log, head);
    return log->goes_on ? FIL_OK : begin_anew(log, what->path, head);
}

fil_status fili_piece_log_open(fili_piece_log *log, fil_ctx *ctx, const fili_piece_log_what *what)
{
    *log                    = (fili_piece_log){.ctx = ctx, .spool = FILI_SPOOL_CLOSED};
    const fil_status status = what->path != NULL ? open_named(log, what)
                                                 : fili_spool_open(ctx, what->beside, &log->spool);
    if (status != FIL_OK) fili_piece_log_close(log);
    return status;
}

fil_status fili_piece_log_look(fil_ctx *ctx, const char *path)
{
    static const char magic[] = MAGIC;

    char      head[sizeof magic - 1];
    fili_stat st;
    fili_file file = {.size = sizeof head, .name = path};
    file.fd        = fili_open_retrying(ctx->os, FILI_CWD, path, FILI_OPEN_NOFOLLOW);
    if (file.fd < 0) return FIL_OK; /* nothing is there, or writing to it will fail */
    const int    r      = ctx->os->fstat(ctx->os->self, file.fd, &st);
    const size_t bytes  = r == 0 && st.size < sizeof head ? (size_t)st.size : sizeof head;
    fil_status   status = fili_file_read(ctx, &file, 0, head, bytes);
    fili_file_close(ctx, &file);
    if (status == FIL_OK && memcmp(head, magic, bytes) != 0)
        status = FIL_FAIL(ctx, FIL_E_IO,
                          "'%s' is there and holds no frames of a run that was stopped; --force "
                          "replaces it",
                          fili_quote(path, strlen(path)).text);
    return status;
}

void fili_piece_log_close(fili_piece_log *log)
{
    if (log->ctx == NULL) return;
    fili_spool_close(log->ctx, &log->spool);
    log->ctx = NULL;
}

void fili_piece_log_remove(fil_ctx *ctx, const char *path)
{
    if (path != NULL) (void)ctx->os->unlinkat(ctx->os->self, FILI_CWD, path);
}

/* ---- pieces --------------------------------------------------------------------------------- */

bool fili_piece_log_has(const fili_piece_log *log, uint64_t at, uint64_t bytes)
{
    unsigned char buffer[8192];
    uint32_t      crc  = 0;
    uint64_t      from = FRONT + at;
    while (bytes > 0) {
        const size_t n = bytes < sizeof buffer ? (size_t)bytes : sizeof buffer;
        if (!fili_spool_peek(log->ctx, &log->spool, from, buffer, n)) return false;
        crc = fili_crc32_more(crc, buffer, n);
        from += n;
        bytes -= n;
    }
    return fili_spool_peek(log->ctx, &log->spool, from, buffer, CRC) && fili_le32(buffer) == crc;
}

/* Places from the beginning of the file on. */
static fil_status put_at(fili_piece_log *log, uint64_t offset, const void *src, size_t bytes)
{
    const uint32_t sum = fili_crc32(src, bytes);
    unsigned char  crc[CRC];
    for (int i = 0; i < CRC; i++)
        crc[i] = (unsigned char)(sum >> 8 * i);
    FIL_TRY(fili_spool_write(log->ctx, &log->spool, offset, src, bytes));
    return fili_spool_write(log->ctx, &log->spool, offset + bytes, crc, CRC);
}

fil_status fili_piece_log_put(fili_piece_log *log, uint64_t at, const void *src, size_t bytes)
{
    return put_at(log, FRONT + at, src, bytes);
}

fil_status fili_piece_log_get(const fili_piece_log *log, uint64_t at, void *dst, size_t bytes)
{
    const uint64_t from = FRONT + at;
    unsigned char  crc[CRC];
    FIL_TRY(fili_spool_read(log->ctx, &log->spool, from, dst, bytes));
    FIL_TRY(fili_spool_read(log->ctx, &log->spool, from + bytes, crc, CRC));
    if (fili_le32(crc) == fili_crc32(dst, bytes)) return FIL_OK;
    return FIL_FAIL(log->ctx, FIL_E_IO,
                    "'%s' has changed since it was written: the frame at byte %llu has another CRC",
                    fili_quote(log->spool.file.base, strlen(log->spool.file.base)).text,
                    (unsigned long long)from);
}

/* ---- the mark ------------------------------------------------------------------------------- */

static bool is_log(const fili_piece_log *log)
{
    char head[sizeof MAGIC - 1];
    return fili_spool_peek(log->ctx, &log->spool, 0, head, sizeof head) &&
           memcmp(head, MAGIC, sizeof head) == 0;
}

static fil_status write_mark(fili_piece_log *log, const char *text)
{
    const fili_os *os = log->ctx->os;
    char           mark[MARK];
    if (!is_log(log)) return FIL_FAIL(log->ctx, FIL_E_IO, "it is no log of frames");
    memset(mark, 0, sizeof mark);
    snprintf(mark, sizeof mark, "%s", text);
    FIL_TRY(put_at(log, HEAD, mark, MARK));
    const int r = os->fsync(os->self, log->spool.file.fd);
    return r == 0 ? FIL_OK
                  : FIL_FAIL(log->ctx, FIL_E_IO, "cannot sync '%s': %s", log->spool.file.base,
                             strerror(-r));
}

fil_status fili_piece_log_mark(fil_ctx *ctx, const char *path, const char *text)
{
    fili_piece_log log = {.ctx = ctx};
    if (!fili_is_there(ctx, path)) return FIL_FAIL(ctx, FIL_E_IO, "there is no log of frames");
    FIL_TRY(fili_spool_open_named(ctx, path, &log.spool));
    const fil_status status = write_mark(&log, text);
    fili_piece_log_close(&log);
    return status;
}

bool fili_piece_log_marked(const fil_ctx *ctx, const char *path, char text[FILI_PIECE_MARK])
{
    const fili_os *os = ctx->os;
    unsigned char  mark[FRONT];
    fili_file      file = {.size = FRONT, .name = path};
    file.fd             = fili_open_retrying(os, FILI_CWD, path, FILI_OPEN_NOFOLLOW);
    if (file.fd < 0) return false;
    const int64_t failure = fili_file_read_raw(os, &file, 0, mark, FRONT);
    (void)os->close(os->self, file.fd);
    if (failure != 0 || memcmp(mark, MAGIC, sizeof MAGIC - 1) != 0 || mark[HEAD] == '\0' ||
        mark[HEAD + MARK - 1] != '\0' ||
        fili_le32(mark + HEAD + MARK) != fili_crc32(mark + HEAD, MARK))
        return false;
    memcpy(text, mark + HEAD, MARK);
    return true;
}
