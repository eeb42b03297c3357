/* base/atomic_file.c: files that appear whole or not at all (base/file.h).
 *
 * temp, write, fsync, rename, fsync of the folder. A failed fsync is final for that file (the
 * kernel may have dropped the dirty pages and report success next time), so the temporary file is
 * abandoned, never retried.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

static fil_status write_failed(fil_ctx *ctx, const fili_atomic *file, const char *what, int error)
{
    const fili_quoted name = fili_quote(file->base, strlen(file->base));
    if (error == EEXIST)
        return FIL_FAIL(ctx, FIL_E_IO, "'%s' exists already; --force replaces it", name.text);
    return FIL_FAIL(ctx, FIL_E_IO, "cannot %s '%s': %s", what, name.text, strerror(error));
}

/* Splits path into an open directory and a base name. */
static fil_status open_parent(fil_ctx *ctx, const char *path, fili_atomic *file)
{
    char         folder[4096];
    const char  *slash  = strrchr(path, '/');
    const char  *base   = slash != NULL ? slash + 1 : path;
    const size_t length = strlen(base);
    const size_t prefix = (size_t)(base - path);
    FIL_CHECK(ctx,
              length > 0 && length < sizeof file->base && strcmp(base, ".") != 0 &&
                  strcmp(base, "..") != 0,
              "output path '%s' has no file name of 1 to 255 bytes",
              fili_quote(path, strlen(path)).text);
    FIL_CHECK(ctx, prefix < sizeof folder, "output path is longer than %zu bytes", sizeof folder);
    memcpy(file->base, base, length + 1);
    memcpy(folder, path, prefix);
    folder[prefix] = '\0';
    return fili_dir_open(ctx, prefix > 0 ? folder : ".", &file->dir);
}

/* Refuses now what the rename would refuse after hours of work; and what it would not: root may
 * rename a file over /dev/null. A symbolic link is replaced itself, as rename does it. */
static fil_status check_target(fil_ctx *ctx, const fili_atomic *file)
{
    const fili_os *os = ctx->os;
    fili_stat      st;
    const int      fd =
        fili_open_retrying(os, file->dir, file->base, FILI_OPEN_PATH | FILI_OPEN_NOFOLLOW);
    if (fd == -ENOENT) return FIL_OK;
    if (fd < 0) return write_failed(ctx, file, "look for", -fd);
    const int r = os->fstat(os->self, fd, &st);
    (void)os->close(os->self, fd);
    if (!file->replace) return write_failed(ctx, file, "create", EEXIST);
    if (r < 0) return write_failed(ctx, file, "stat", -r);
    if (st.kind != FILI_KIND_REGULAR && st.kind != FILI_KIND_SYMLINK)
        return FIL_FAIL(ctx, FIL_E_IO, "'%s' is there and is not a regular file: not replaced",
                        fili_quote(file->base, strlen(file->base)).text);
    return FIL_OK;
}

fil_status fili_atomic_open(fil_ctx *ctx, const char *path, int replace, fili_atomic *out)
{
    const fili_os *os = ctx->os;
    fil_status     status;
    unsigned char  random[8];
    *out         = FILI_ATOMIC_CLOSED;
    out->replace = replace;
    FIL_TRY(open_parent(ctx, path, out));
    FIL_TRY_OR(fail, check_target(ctx, out));

    for (int attempt = 0; attempt < 16 && out->fd < 0; attempt++) {
        const int r = os->random(os->self, random, sizeof random);
        if (r == -EINTR) {
            out->fd = r; /* the error of the last attempt */
            continue;
        }
        if (r < 0) {
            status = write_failed(ctx, out, "name a temporary file for", -r);
            goto fail;
        }
        int n = snprintf(out->temp, sizeof out->temp, ".filigree-");
        for (size_t i = 0; i < sizeof random; i++)
            n += snprintf(out->temp + n, sizeof out->temp - (size_t)n, "%02x", random[i]);
        snprintf(out->temp + n, sizeof out->temp - (size_t)n, ".tmp");
        out->fd = os->openat(os->self, out->dir, out->temp, FILI_OPEN_WRITE | FILI_OPEN_CREATE);
        if (out->fd < 0 && out->fd != -EINTR && out->fd != -EEXIST) break;
    }
    if (out->fd >= 0) return FIL_OK;
    status = write_failed(ctx, out, "create a temporary file for", -out->fd);
fail:
    out->fd = -1;
    fili_dir_close(ctx, &out->dir);
    return status;
}

fil_status fili_atomic_write(fil_ctx *ctx, fili_atomic *file, uint64_t offset, const void *src,
                             size_t bytes)
{
    const fili_os *os   = ctx->os;
    int            left = FILI_RETRIES;
    size_t         done = 0;
    while (done < bytes) {
        const size_t  rest = bytes - done;
        const size_t  ask  = rest < FILI_MAX_TRANSFER ? rest : FILI_MAX_TRANSFER;
        const int64_t n =
            os->pwrite(os->self, file->fd, (const char *)src + done, ask, offset + done);
        if (fili_retry(n, &left)) continue;
        if (n <= 0) return write_failed(ctx, file, "write", n < 0 ? (int)-n : ENOSPC);
        done += (size_t)n;
    }
    return FIL_OK;
}

fil_status fili_atomic_resize(fil_ctx *ctx, fili_atomic *file, uint64_t bytes)
{
    int left = FILI_RETRIES;
    int r;
    do {
        r = ctx->os->ftruncate(ctx->os->self, file->fd, bytes);
    } while (fili_retry(r, &left));
    return r < 0 ? write_failed(ctx, file, "set the size of", -r) : FIL_OK;
}

void fili_atomic_abort(fil_ctx *ctx, fili_atomic *file)
{
    const fili_os *os = ctx->os;
    if (file->fd >= 0) {
        (void)os->close(os->self, file->fd);
        (void)os->unlinkat(os->self, file->dir, file->temp);
    }
    fili_dir_close(ctx, &file->dir);
    file->fd = -1;
}

static int fsync_retrying(const fili_os *os, int fd)
{
    int left = FILI_RETRIES;
    int r;
    do {
        r = os->fsync(os->self, fd);
    } while (fili_retry(r, &left));
    return r;
}

fil_status fili_atomic_commit(fil_ctx *ctx, fili_atomic *file)
{
    const fili_os *os = ctx->os;
    fil_status     status;
    int            r = fsync_retrying(os, file->fd);
    if (r < 0) {
        status = write_failed(ctx, file, "sync", -r);
        goto fail;
    }
    r        = os->close(os->self, file->fd); /* EINTR: closed all the same on Linux */
    file->fd = -1;
    if (r < 0 && r != -EINTR) {
        status = write_failed(ctx, file, "close", -r);
        goto fail_closed;
    }
    r = os->renameat(os->self, file->dir, file->temp, file->base, file->replace);
    if (r < 0) {
        status = write_failed(ctx, file, "rename into place", -r);
        goto fail_closed;
    }
    r = fsync_retrying(os, file->dir);
    fili_dir_close(ctx, &file->dir);
    /* Some file systems have no fsync for folders; the rename itself has happened. */
    if (r < 0 && r != -EINVAL) return write_failed(ctx, file, "sync the folder of", -r);
    return FIL_OK;

fail_closed:
    (void)os->unlinkat(os->self, file->dir, file->temp);
fail:
    fili_atomic_abort(ctx, file);
    return status;
}
