/* base/file.c: reading whole ranges, and directories (base/file.h). Writing: atomic_file.c. */
#include <errno.h>
#include <string.h>

#include "base/file.h"

static const char *kind_name(fili_file_kind kind)
{
    switch (kind) {
    case FILI_KIND_DIRECTORY: return "a directory";
    case FILI_KIND_SYMLINK: return "a symbolic link";
    case FILI_KIND_FIFO: return "a fifo";
    case FILI_KIND_SOCKET: return "a socket";
    case FILI_KIND_DEVICE: return "a device";
    default: return "a regular file";
    }
}

int fili_open_retrying(const fili_os *os, int dir, const char *path, int flags)
{
    int left = FILI_RETRIES;
    int fd;
    do {
        fd = os->openat(os->self, dir, path, flags);
    } while (fili_retry(fd, &left));
    return fd;
}

static fil_status open_failed(fil_ctx *ctx, const char *path, int flags, int error)
{
    const fili_quoted name = fili_quote(path, strlen(path));
    if (error == ELOOP && (flags & FILI_OPEN_NOFOLLOW) != 0)
        return FIL_FAIL(ctx, FIL_E_FORMAT,
                        "'%s' is a symbolic link; links are followed only in trusted mode",
                        name.text);
    return FIL_FAIL(ctx, FIL_E_IO, "cannot open '%s': %s", name.text, strerror(error));
}

fil_status fili_file_open(fil_ctx *ctx, int dir, const char *path, int flags, fili_file *out)
{
    const fili_os *os = ctx->os;
    *out              = FILI_FILE_CLOSED;
    const int fd = fili_open_retrying(os, dir, path, FILI_OPEN_READ | (flags & FILI_OPEN_NOFOLLOW));
    if (fd < 0) return open_failed(ctx, path, flags, -fd);

    fili_stat st;
    const int r = os->fstat(os->self, fd, &st);
    if (r < 0 || st.kind != FILI_KIND_REGULAR) {
        (void)os->close(os->self, fd);
        const fili_quoted name = fili_quote(path, strlen(path));
        if (r < 0) return FIL_FAIL(ctx, FIL_E_IO, "cannot stat '%s': %s", name.text, strerror(-r));
        return FIL_FAIL(ctx, FIL_E_FORMAT, "'%s' is %s; expected a regular file", name.text,
                        kind_name(st.kind));
    }
    *out = (fili_file){.fd = fd, .size = st.size, .dev = st.dev, .inode = st.inode, .name = path};
    return FIL_OK;
}

fil_status fili_file_stat(fil_ctx *ctx, int dir, const char *path, fili_stat *out)
{
    const fili_os *os = ctx->os;
    const int      fd = fili_open_retrying(os, dir, path, FILI_OPEN_PATH);
    if (fd < 0) return open_failed(ctx, path, 0, -fd);
    const int r = os->fstat(os->self, fd, out);
    (void)os->close(os->self, fd);
    return r >= 0 ? FIL_OK
                  : FIL_FAIL(ctx, FIL_E_IO, "cannot stat '%s': %s",
                             fili_quote(path, strlen(path)).text, strerror(-r));
}

bool fili_is_there(const fil_ctx *ctx, const char *path)
{
    const fili_os *os = ctx->os;
    const int      fd = fili_open_retrying(os, FILI_CWD, path, FILI_OPEN_PATH | FILI_OPEN_NOFOLLOW);
    if (fd >= 0) (void)os->close(os->self, fd);
    return fd != -ENOENT;
}

void fili_file_close(fil_ctx *ctx, fili_file *file)
{
    if (file->fd >= 0) (void)ctx->os->close(ctx->os->self, file->fd);
    file->fd = -1;
}

fil_status fili_dir_open(fil_ctx *ctx, const char *path, int *out)
{
    *out = -1;
    const int fd =
        fili_open_retrying(ctx->os, FILI_CWD, path, FILI_OPEN_READ | FILI_OPEN_DIRECTORY);
    if (fd < 0) return open_failed(ctx, path, 0, -fd);
    *out = fd;
    return FIL_OK;
}

fil_status fili_dir_make(fil_ctx *ctx, const char *path, bool *made)
{
    const fili_os *os   = ctx->os;
    int            left = FILI_RETRIES;
    int            dir;
    int            r;
    do {
        r = os->mkdirat(os->self, FILI_CWD, path);
    } while (fili_retry(r, &left));
    if (made != NULL) *made = r >= 0;
    if (r < 0 && r != -EEXIST)
        return FIL_FAIL(ctx, FIL_E_IO, "cannot make the folder '%s': %s",
                        fili_quote(path, strlen(path)).text, strerror(-r));
    FIL_TRY(fili_dir_open(ctx, path, &dir)); /* what is there may be a file */
    fili_dir_close(ctx, &dir);
    return FIL_OK;
}

void fili_dir_unmake(const fil_ctx *ctx, const char *path)
{
    (void)ctx->os->rmdirat(ctx->os->self, FILI_CWD, path);
}

void fili_dir_close(fil_ctx *ctx, int *dir)
{
    if (*dir >= 0) (void)ctx->os->close(ctx->os->self, *dir);
    *dir = -1;
}

/* -errno, or for a file that has become shorter 1 + its last byte. */
int64_t fili_file_read_raw(const fili_os *os, const fili_file *file, uint64_t offset, void *dst,
                           size_t bytes)
{
    int    left = FILI_RETRIES;
    size_t done = 0;
    while (done < bytes) {
        const size_t  rest = bytes - done;
        const size_t  ask  = rest < FILI_MAX_TRANSFER ? rest : FILI_MAX_TRANSFER;
        const int64_t n    = os->pread(os->self, file->fd, (char *)dst + done, ask, offset + done);
        if (fili_retry(n, &left)) continue;
        if (n < 0) return n;
        if (n == 0) return (int64_t)(offset + done) + 1;
        done += (size_t)n;
    }
    return 0;
}

fil_status fili_file_read_failed(fil_ctx *ctx, const fili_file *file, int64_t failure)
{
    const fili_quoted name = fili_quote(file->name, strlen(file->name));
    if (failure < 0)
        return FIL_FAIL(ctx, FIL_E_IO, "cannot read '%s': %s", name.text, strerror((int)-failure));
    return FIL_FAIL(ctx, FIL_E_IO, "'%s' ends at byte %lld; it had %llu bytes when it was opened",
                    name.text, (long long)failure - 1, (unsigned long long)file->size);
}

fil_status fili_file_read(fil_ctx *ctx, const fili_file *file, uint64_t offset, void *dst,
                          size_t bytes)
{
    const int64_t failure = fili_file_read_raw(ctx->os, file, offset, dst, bytes);
    return failure == 0 ? FIL_OK : fili_file_read_failed(ctx, file, failure);
}
