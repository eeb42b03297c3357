/* base/os.h: everything that filigree asks of the operating system, as one table of functions.
 *
 * Only base/os_posix.c calls the system. All other code goes through the table of its context, so
 * that a test can make any single call fail, and any I/O can be simulated. Conventions:
 *   - int results: >= 0 on success, -errno on failure; errno itself is not part of the contract.
 *   - `self` is os->self: state of a replacement table; the real one ignores it.
 *   - Calls are raw: EINTR and short counts reach the caller, and base/file.h deals with them.
 * Interface after mimalloc's include/mimalloc/prim.h: the whole OS surface on one page.
 */
#ifndef FILI_BASE_OS_H
#define FILI_BASE_OS_H

#include <stddef.h>
#include <stdint.h>

#define FILI_CWD (-100) /* `dir` of openat and friends: relative to the working directory */

typedef enum fili_file_kind {
    FILI_KIND_REGULAR,
    FILI_KIND_DIRECTORY,
    FILI_KIND_SYMLINK,
    FILI_KIND_FIFO,
    FILI_KIND_SOCKET,
    FILI_KIND_DEVICE
} fili_file_kind;

typedef struct fili_stat {
    uint64_t       size;
    uint64_t       dev, inode;
    uint64_t       links;       /* names that the file has; 0: it is open and has none any more */
    uint64_t       modified_ns; /* when content was last written, by the wall clock; since 1970 */
    uint64_t       changed_ns;  /* and content or attributes: programs cannot set this one */
    fili_file_kind kind;
} fili_stat;

enum {
    FILI_OPEN_READ      = 0,
    FILI_OPEN_WRITE     = 1, /* read and write */
    FILI_OPEN_CREATE    = 2, /* must not exist */
    FILI_OPEN_NOFOLLOW  = 4, /* a symbolic link as the last component gives -ELOOP */
    FILI_OPEN_DIRECTORY = 8,
    /* For fstat only: nobody notices (a device starts nothing, a fifo's writer keeps waiting), no
     * permission on the file is needed, and under NOFOLLOW a link is opened itself. */
    FILI_OPEN_PATH = 16
};

typedef struct fili_os {
    void *self;

    /* Opens without blocking on a fifo or device; close-on-exec. Returns a descriptor. */
    int (*openat)(void *self, int dir, const char *path, int flags);
    int (*close)(void *self, int fd);
    int64_t (*pread)(void *self, int fd, void *dst, size_t bytes, uint64_t offset);
    int64_t (*pwrite)(void *self, int fd, const void *src, size_t bytes, uint64_t offset);
    int (*fstat)(void *self, int fd, fili_stat *out);
    int (*ftruncate)(void *self, int fd, uint64_t size);
    int (*fsync)(void *self, int fd);
    /* Takes the lock of a file, without waiting: -EAGAIN if another opening of it has it. It is
     * given back when this opening is closed, also by the end of the process, however that comes.
     * Other failures: the file system has no locks. */
    int (*lock)(void *self, int fd);
    /* Read-only and private. *out is page-aligned. bytes > 0. */
    int (*mmap)(void *self, int fd, size_t bytes, void **out);
    int (*munmap)(void *self, void *base, size_t bytes);
    /* A hint: memory of ours that will be used whole and for long. Changes no content. */
    void (*prefer_large_pages)(void *self, void *base, size_t bytes);
    /* A hint: these bytes of a file, mapped or not, will be read soon. Changes no content. */
    void (*will_read)(void *self, int fd, uint64_t offset, uint64_t bytes);

    /* Bytes that this process can write at most into files of the folder, as things are. -ENOTSUP:
     * the file system is not known to say that for sure (it compresses, or another machine has it).
     */
    int (*disk_free)(void *self, int dir_fd, uint64_t *bytes);

    /* Renames within `dir`. replace == 0: -EEXIST if `to` exists, decided by the system in one
     * step. */
    int (*renameat)(void *self, int dir, const char *from, const char *to, int replace);
    int (*unlinkat)(void *self, int dir, const char *path);
    int (*mkdirat)(void *self, int dir, const char *path);
    int (*rmdirat)(void *self, int dir, const char *path); /* an empty folder */
    /* Calls entry(arg, name) for all but "." and ".."; entry returns non-zero to stop, which is
     * then the result. Order is the system's. */
    int (*list)(void *self, int dir_fd, int (*entry)(void *arg, const char *name), void *arg);

    uint64_t (*clock_ns)(void *self);                    /* monotonic; never fails */
    uint64_t (*thread_ns)(void *self);                   /* CPU time of the calling thread */
    int (*random)(void *self, void *dst, size_t bytes);  /* bytes <= 256 */
    int (*cpu_count)(void *self);                        /* CPUs this process may run on, >= 1 */
    void (*host)(void *self, char *name, size_t bytes);  /* of this machine; "" if it has none */
    const char *(*getenv)(void *self, const char *name); /* NULL if unset */

    /* Asks the kernel to let this process use AMX tile data: 0, or -errno where it cannot. */
    int (*permit_amx)(void *self);

    /* Loads a shared object for good, by path or by name in the system's way: NULL, and why in *why
     * (borrowed until the next call of the thread). A symbol of it, NULL if it has none. */
    void *(*library_open)(void *self, const char *file, const char **why);
    void *(*library_symbol)(void *self, void *library, const char *name);

    /* `body(arg)` runs on a new thread. join frees *thread. */
    int (*thread_create)(void *self, void (*body)(void *arg), void *arg, void **thread);
    int (*thread_join)(void *self, void *thread);
} fili_os;

/* The real one. */
extern const fili_os fili_os_posix;

#endif
