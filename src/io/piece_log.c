/* io/piece_log.c: pieces with their CRC in a file (io/piece_log.h). */
#include <stdio.h>
#include <string.h>

#include "io/le.h"
#include "io/piece_log.h"
#include "io/zip.h"

#define MAGIC "filigree.frames."

enum { HEAD = FILI_PIECE_LOG_HEAD, CRC = FILI_PIECE_CRC };

_Static_assert(sizeof MAGIC "2 " + FILI_PIECE_MADE_OF < HEAD, "the line fits into the head");

uint64_t fili_piece_log_bytes(int64_t n, uint64_t bytes)
{
    return HEAD + bytes + (uint64_t)n * CRC;
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
    uint64_t      from = HEAD + at;
    while (bytes > 0) {
        const size_t n = bytes < sizeof buffer ? (size_t)bytes : sizeof buffer;
        if (!fili_spool_peek(log->ctx, &log->spool, from, buffer, n)) return false;
        crc = fili_crc32_more(crc, buffer, n);
        from += n;
        bytes -= n;
    }
    return fili_spool_peek(log->ctx, &log->spool, from, buffer, CRC) && fili_le32(buffer) == crc;
}

fil_status fili_piece_log_get(const fili_piece_log *log, uint64_t at, void *dst, size_t bytes)
{
    unsigned char crc[CRC];
    FIL_TRY(fili_spool_read(log->ctx, &log->spool, HEAD + at, dst, bytes));
    FIL_TRY(fili_spool_read(log->ctx, &log->spool, HEAD + at + bytes, crc, CRC));
    if (fili_le32(crc) == fili_crc32(dst, bytes)) return FIL_OK;
    return FIL_FAIL(log->ctx, FIL_E_IO,
                    "'%s' has changed since it was written: the frame at byte %llu has another CRC",
                    fili_quote(log->spool.file.base, strlen(log->spool.file.base)).text,
                    (unsigned long long)(HEAD + at));
}

fil_status fili_piece_log_put(fili_piece_log *log, uint64_t at, const void *src, size_t bytes)
{
    const uint32_t sum = fili_crc32(src, bytes);
    unsigned char  crc[CRC];
    for (int i = 0; i < CRC; i++)
        crc[i] = (unsigned char)(sum >> 8 * i);
    FIL_TRY(fili_spool_write(log->ctx, &log->spool, HEAD + at, src, bytes));
    return fili_spool_write(log->ctx, &log->spool, HEAD + at + bytes, crc, CRC);
}
