/* base/file.h: whole reads and writes over the OS table, and files that appear in one step.
 *
 * EINTR is retried and short counts are continued here, and nowhere else. Messages name the file
 * and the system's reason.
 */
#ifndef FILI_BASE_FILE_H
#define FILI_BASE_FILE_H

#include <errno.h>

#include "base/ctx.h"

/* One system call moves at most this much (Linux: 0x7ffff000). */
#define FILI_MAX_TRANSFER ((size_t)1 << 30)
/* How often an interrupted call is repeated before the interruption counts as a failure. */
#define FILI_RETRIES 1000

/* True if a call that answered r is to be made again. *left starts at FILI_RETRIES. */
static inline bool fili_retry(int64_t r, int *left)
{
    return (r == -EINTR || r == -EAGAIN) && (*left)-- > 0;
}

/* openat, repeated while it is interrupted: a descriptor or -errno. */
int fili_open_retrying(const fili_os *os, int dir, const char *path, int flags);

typedef struct fili_file {
    int         fd; /* -1 = closed */
    uint64_t    size;
    uint64_t    dev, inode;
    const char *name; /* for messages; borrowed, must outlive the file */
} fili_file;

#define FILI_FILE_CLOSED ((fili_file){.fd = -1})

/* Opens a regular file for reading, relative to the directory `dir` (FILI_CWD: working directory).
 * flags: FILI_OPEN_NOFOLLOW or 0. E_IO: cannot be opened; E_FORMAT: a directory, fifo, socket or
 * device, or a symbolic link under NOFOLLOW. */
FIL_MUSTCHECK fil_status fili_file_open(fil_ctx *ctx, int dir, const char *path, int flags,
                                        fili_file *out);
/* What stands under that name, without opening it. E_IO. */
FIL_MUSTCHECK fil_status fili_file_stat(fil_ctx *ctx, int dir, const char *path, fili_stat *out);
/* Whether something stands under that name, whatever it is, or it cannot be told. */
bool fili_is_there(const fil_ctx *ctx, const char *path);
/* A directory, to open files in. The descriptor is closed with fili_dir_close. */
FIL_MUSTCHECK fil_status fili_dir_open(fil_ctx *ctx, const char *path, int *out);
void                     fili_dir_close(fil_ctx *ctx, int *dir);
/* Makes a folder unless it is there; the one that is to hold it is. made: false where it was there;
 * NULL is accepted. E_IO. */
FIL_MUSTCHECK fil_status fili_dir_make(fil_ctx *ctx, const char *path, bool *made);
/* Removes a folder that was made for nothing; one with something in it stays. */
void fili_dir_unmake(const fil_ctx *ctx, const char *path);

/* Idempotent. */
void fili_file_close(fil_ctx *ctx, fili_file *file);

/* Exactly `bytes` bytes from `offset`. E_IO: system error, or the file is shorter than that. */
FIL_MUSTCHECK fil_status fili_file_read(fil_ctx *ctx, const fili_file *file, uint64_t offset,
                                        void *dst, size_t bytes);

/* The same from a task, which must not touch a context: 0, or what fili_file_read_failed is to be
 * told afterwards. */
int64_t    fili_file_read_raw(const fili_os *os, const fili_file *file, uint64_t offset, void *dst,
                              size_t bytes);
fil_status fili_file_read_failed(fil_ctx *ctx, const fili_file *file, int64_t failure);

/* ---- a file that appears whole or not at all ------------------------------------------------ */

/* Written under a temporary name beside its final one; fili_atomic_commit does fsync, rename,
 * fsync of the directory. Whatever fails, what stood under the final name stays as it was.
 *
 * A process that is killed leaves its temporary file, .filigree-HASH-N.tmp. The next one that opens
 * the same output on the same machine removes it; one that a living process has open is never
 * touched, since that holds a lock on it. Where the file system has no locks nothing is removed. */
typedef struct fili_atomic {
    int  fd;  /* -1 = closed */
    int  dir; /* directory that holds both names */
    int  replace;
    char base[256]; /* final name in dir */
    char temp[64];  /* temporary name in dir */
} fili_atomic;

#define FILI_ATOMIC_CLOSED ((fili_atomic){.fd = -1, .dir = -1})

/* E_IO: the folder cannot be written, or `path` exists and replace is 0, or it exists and is
 * neither a regular file nor a symbolic link (said now, not at the end); E_ARG: path has no file
 * name or it is longer than 255 bytes. */
FIL_MUSTCHECK fil_status fili_atomic_open(fil_ctx *ctx, const char *path, int replace,
                                          fili_atomic *out);
FIL_MUSTCHECK fil_status fili_atomic_write(fil_ctx *ctx, fili_atomic *file, uint64_t offset,
                                           const void *src, size_t bytes);
/* Sets the file's size now, so that a full disk is met before hours of work where the system
 * reports it. */
FIL_MUSTCHECK fil_status fili_atomic_resize(fil_ctx *ctx, fili_atomic *file, uint64_t bytes);
/* Closes `file` whatever the result; on failure the temporary file is removed. If only the last
 * step fails (fsync of the folder), the new file stands under its name, but may not survive a power
 * cut. */
FIL_MUSTCHECK fil_status fili_atomic_commit(fil_ctx *ctx, fili_atomic *file);
/* Removes the temporary file. Idempotent. */
void fili_atomic_abort(fil_ctx *ctx, fili_atomic *file);

#endif
