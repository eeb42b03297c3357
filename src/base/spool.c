/* base/spool.c: a file that is written and read in place (base/spool.h). */
#include <stdio.h>
#include <string.h>

#include "base/spool.h"

/* ---- opening -------------------------------------------------------------------------------- */

/* A name in the system's folder for such things; the file never gets it. */
static fil_status usual_place(fil_ctx *ctx, char path[4096])
{
    const fili_os *os     = ctx->os;
    const char    *folder = os->getenv(os->self, "TMPDIR");
    if (folder == NULL || folder[0] == '\0') folder = "/tmp";
    const int n = snprintf(path, 4096, "%s/filigree", folder);
    FIL_CHECK(ctx, n > 0 && n < 4096, "TMPDIR is longer than 4096 bytes");
    return FIL_OK;
}

fil_status fili_spool_open(fil_ctx *ctx, const char *beside, fili_spool *out)
{
    const fili_os *os = ctx->os;
    char           path[4096];
    *out = FILI_SPOOL_CLOSED;
    if (beside == NULL) {
        FIL_TRY(usual_place(ctx, path));
        beside = path;
    }
    FIL_TRY(fili_atomic_open(ctx, beside, 1, &out->file));
    (void)os->unlinkat(os->self, out->file.dir, out->file.temp);
    /* What messages name. */
    char        *base = out->file.base;
    const size_t used = strlen(base) < 200 ? strlen(base) : 200;
    snprintf(base + used, sizeof out->file.base - used, " (waiting frames)");
    return FIL_OK;
}

static int open_or_make(const fili_os *os, const char *path)
{
    const int fd = fili_open_retrying(os, FILI_CWD, path, FILI_OPEN_WRITE | FILI_OPEN_NOFOLLOW);
    if (fd != -ENOENT) return fd;
    return fili_open_retrying(os, FILI_CWD, path, FILI_OPEN_WRITE | FILI_OPEN_CREATE);
}

fil_status fili_spool_open_named(fil_ctx *ctx, const char *path, fili_spool *out)
{
    const char *slash = strrchr(path, '/');
    *out              = FILI_SPOOL_CLOSED;
    const int fd      = open_or_make(ctx->os, path);
    if (fd < 0)
        return FIL_FAIL(ctx, FIL_E_IO, "cannot open '%s': %s", fili_quote(path, strlen(path)).text,
                        strerror(-fd));
    out->file.fd = fd;
    out->named   = true;
    if (ctx->os->lock(ctx->os->self, fd) == -EAGAIN) {
        fili_spool_close(ctx, out);
        return FIL_FAIL(ctx, FIL_E_IO, "'%s' is in use by another run",
                        fili_quote(path, strlen(path)).text);
    }
    snprintf(out->file.base, sizeof out->file.base, "%s", slash != NULL ? slash + 1 : path);
    return FIL_OK;
}

void fili_spool_close(fil_ctx *ctx, fili_spool *spool)
{
    if (spool->named) {
        if (spool->file.fd >= 0) (void)ctx->os->close(ctx->os->self, spool->file.fd);
        spool->file.fd = -1;
    } else {
        fili_atomic_abort(ctx, &spool->file);
    }
}

/* ---- bytes ---------------------------------------------------------------------------------- */

fil_status fili_spool_write(fil_ctx *ctx, fili_spool *spool, uint64_t offset, const void *src,
                            size_t bytes)
{
    return fili_atomic_write(ctx, &spool->file, offset, src, bytes);
}

static fili_file readable(const fili_spool *spool, uint64_t end)
{
    return (fili_file){.fd = spool->file.fd, .size = end, .name = spool->file.base};
}

fil_status fili_spool_read(fil_ctx *ctx, const fili_spool *spool, uint64_t offset, void *dst,
                           size_t bytes)
{
    const fili_file file = readable(spool, offset + bytes);
    return fili_file_read(ctx, &file, offset, dst, bytes);
}

bool fili_spool_peek(const fil_ctx *ctx, const fili_spool *spool, uint64_t offset, void *dst,
                     size_t bytes)
{
    const fili_file file = readable(spool, offset + bytes);
    return fili_file_read_raw(ctx->os, &file, offset, dst, bytes) == 0;
}

fil_status fili_spool_empty(fil_ctx *ctx, fili_spool *spool)
{
    const fili_os *os   = ctx->os;
    const char    *name = spool->file.base;
    int            left = FILI_RETRIES;
    int            r;
    do {
        r = os->ftruncate(os->self, spool->file.fd, 0);
    } while (fili_retry(r, &left));
    return r == 0 ? FIL_OK
                  : FIL_FAIL(ctx, FIL_E_IO, "cannot empty '%s': %s",
                             fili_quote(name, strlen(name)).text, strerror(-r));
}
