/* base/atomic_file.c: files that appear whole or not at all (base/file.h).
 *
 * temp, write, fsync, rename, fsync of the folder. A failed fsync is final for that file (the
 * kernel may have dropped the dirty pages and report success next time), so the temporary file is
 * abandoned, never retried. What a killed process has left of one goes when the same output is
 * written the next time.
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
    if (r >= 0 && st.kind != FILI_KIND_REGULAR && st.kind != FILI_KIND_SYMLINK)
        return FIL_FAIL(ctx, FIL_E_IO, "'%s' is there and is not a regular file: not replaced",
                        fili_quote(file->base, strlen(file->base)).text);
    if (!file->replace) return write_failed(ctx, file, "create", EEXIST);
    return r < 0 ? write_failed(ctx, file, "stat", -r) : FIL_OK;
}

/* ---- the temporary file --------------------------------------------------------------------- */

/* Its name belongs to the output and the machine, and its lock to the process: who finds a file of
 * that name without a lock knows that a run was killed, and removes it. Several runs that write one
 * output at a time take one slot each. Only who has the lock removes the name. */
enum { SLOTS = 4 };

/* FNV-1a of 64 bits. */
static uint64_t hash_text(uint64_t h, const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    return (h ^ 0xff) * UINT64_C(0x100000001b3); /* no text has that byte */
}

static uint64_t mark_of(const fil_ctx *ctx, const char *base)
{
    char host[256];
    ctx->os->host(ctx->os->self, host, sizeof host);
    return hash_text(hash_text(UINT64_C(0xcbf29ce484222325), host), base);
}

/* Whether the name is still that of this file, and not of one that came later. */
static bool is_still(const fil_ctx *ctx, const fili_atomic *file, int fd)
{
    const fili_os *os = ctx->os;
    fili_stat      mine;
    fili_stat      named;
    const int      at =
        fili_open_retrying(os, file->dir, file->temp, FILI_OPEN_PATH | FILI_OPEN_NOFOLLOW);
    if (at < 0) return false;
    const bool told = os->fstat(os->self, fd, &mine) >= 0 && os->fstat(os->self, at, &named) >= 0;
    (void)os->close(os->self, at);
    return told && mine.kind == FILI_KIND_REGULAR && mine.dev == named.dev &&
           mine.inode == named.inode;
}

/* What stands there is removed if nobody has its lock. False: the name stays taken. */
static bool remove_left_over(fil_ctx *ctx, const fili_atomic *file)
{
    const fili_os *os   = ctx->os;
    bool           gone = false;
    const int      fd =
        fili_open_retrying(os, file->dir, file->temp, FILI_OPEN_WRITE | FILI_OPEN_NOFOLLOW);
    if (fd < 0) return fd == -ENOENT;
    if (os->lock(os->self, fd) == 0 && is_still(ctx, file, fd))
        gone = os->unlinkat(os->self, file->dir, file->temp) == 0;
    (void)os->close(os->self, fd);
    if (gone)
        fili_log(ctx, FIL_LOG_INFO, "removed %s, which a run that was killed has left behind",
                 file->temp);
    return gone;
}

/* A descriptor with its lock. -EEXIST: the name is taken; -ENOLCK: there are no locks here; other
 * failures. */
static int create_locked(const fil_ctx *ctx, const fili_atomic *file)
{
    const fili_os *os   = ctx->os;
    int            left = FILI_RETRIES;
    int            r;
    fili_stat      st;
    const int      fd =
        fili_open_retrying(os, file->dir, file->temp, FILI_OPEN_WRITE | FILI_OPEN_CREATE);
    if (fd < 0) return fd;
    do {
        r = os->lock(os->self, fd); /* who takes the file for left over has it for a moment */
    } while (fili_retry(r, &left));
    if (r < 0 && r != -EAGAIN && r != -EINTR) {
        (void)os->unlinkat(os->self, file->dir, file->temp);
        (void)os->close(os->self, fd);
        return -ENOLCK;
    }
    const bool there = os->fstat(os->self, fd, &st) < 0 || st.links > 0;
    if (r == 0 && there) return fd;
    (void)os->close(os->self, fd);
    return -EEXIST;
}

/* Without a lock: a name that nobody takes for left over. */
static int create_random(const fil_ctx *ctx, fili_atomic *file)
{
    const fili_os *os = ctx->os;
    unsigned char  random[8];
    int            fd = -EEXIST;
    for (int attempt = 0; attempt < 16 && (fd == -EEXIST || fd == -EINTR); attempt++) {
        fd = os->random(os->self, random, sizeof random);
        if (fd < 0) continue;
        int n = snprintf(file->temp, sizeof file->temp, ".filigree-");
        for (size_t i = 0; i < sizeof random; i++)
            n += snprintf(file->temp + n, sizeof file->temp - (size_t)n, "%02x", random[i]);
        snprintf(file->temp + n, sizeof file->temp - (size_t)n, ".tmp");
        fd = fili_open_retrying(os, file->dir, file->temp, FILI_OPEN_WRITE | FILI_OPEN_CREATE);
    }
    return fd;
}

static void name_slot(fili_atomic *file, uint64_t mark, int slot)
{
    snprintf(file->temp, sizeof file->temp, ".filigree-%016llx-%d.tmp", (unsigned long long)mark,
             slot);
}

static void sweep(fil_ctx *ctx, const fili_atomic *file, uint64_t mark, int from)
{
    fili_atomic other = *file;
    for (int slot = from; slot < SLOTS; slot++) {
        name_slot(&other, mark, slot);
        (void)remove_left_over(ctx, &other);
    }
}

static int create_temp(fil_ctx *ctx, fili_atomic *file)
{
    const uint64_t mark = mark_of(ctx, file->base);
    int            slot = 0;
    for (int attempt = 0; attempt < 16 && slot < SLOTS; attempt++) {
        name_slot(file, mark, slot);
        const int fd = create_locked(ctx, file);
        if (fd == -ENOLCK) break;
        if (fd >= 0) sweep(ctx, file, mark, slot + 1);
        if (fd != -EEXIST) return fd;
        if (!remove_left_over(ctx, file)) slot++;
    }
    return create_random(ctx, file);
}

fil_status fili_atomic_open(fil_ctx *ctx, const char *path, int replace, fili_atomic *out)
{
    fil_status status;
    *out         = FILI_ATOMIC_CLOSED;
    out->replace = replace;
    FIL_TRY(open_parent(ctx, path, out));
    FIL_TRY_OR(fail, check_target(ctx, out));
    out->fd = create_temp(ctx, out);
    if (out->fd >= 0) return FIL_OK;
    status = write_failed(ctx, out, "create a temporary file for", -out->fd);
fail:
    out->fd = -1;
    fili_dir_close(ctx, &out->dir);
    return status;
}

/* ---- its content ---------------------------------------------------------------------------- */

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

/* In this order, so that the name goes while its lock is held. */
void fili_atomic_abort(fil_ctx *ctx, fili_atomic *file)
{
    const fili_os *os = ctx->os;
    if (file->fd >= 0) {
        (void)os->unlinkat(os->self, file->dir, file->temp);
        (void)os->close(os->self, file->fd);
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

/* What fsync has seen written is on disk: a failing close behind it says nothing of the file. And
 * it comes behind the rename, as the lock guards the name until then. */
fil_status fili_atomic_commit(fil_ctx *ctx, fili_atomic *file)
{
    const fili_os *os = ctx->os;
    fil_status     status;
    int            r = fsync_retrying(os, file->fd);
    if (r < 0) {
        status = write_failed(ctx, file, "sync", -r);
        goto fail;
    }
    r = os->renameat(os->self, file->dir, file->temp, file->base, file->replace);
    if (r < 0) {
        status = write_failed(ctx, file, "rename into place", -r);
        goto fail;
    }
    (void)os->close(os->self, file->fd);
    file->fd = -1;
    r        = fsync_retrying(os, file->dir);
    fili_dir_close(ctx, &file->dir);
    /* Some file systems have no fsync for folders; the rename itself has happened. */
    if (r < 0 && r != -EINVAL) return write_failed(ctx, file, "sync the folder of", -r);
    return FIL_OK;
fail:
    fili_atomic_abort(ctx, file);
    return status;
}
