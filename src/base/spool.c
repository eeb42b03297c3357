/* base/spool.c: a file without a name (base/spool.h). */
#include <stdio.h>
#include <string.h>

#include "base/spool.h"

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

fil_status fili_spool_write(fil_ctx *ctx, fili_spool *spool, uint64_t offset, const void *src,
                            size_t bytes)
{
    return fili_atomic_write(ctx, &spool->file, offset, src, bytes);
}

fil_status fili_spool_read(fil_ctx *ctx, const fili_spool *spool, uint64_t offset, void *dst,
                           size_t bytes)
{
    const fili_file file = {.fd = spool->file.fd, .size = offset + bytes, .name = spool->file.base};
    return fili_file_read(ctx, &file, offset, dst, bytes);
}

void fili_spool_close(fil_ctx *ctx, fili_spool *spool)
{
    fili_atomic_abort(ctx, &spool->file);
}
