/* tests/support/os_fault.c: the real OS table with one failing call (fault.h). */
#include <errno.h>

#include "support/fault.h"

static const char *const call_names[OS_CALLS] = {
    "openat",  "close",   "pread", "pwrite", "fstat",         "ftruncate",
    "fsync",   "lock",    "mmap",  "munmap", "renameat",      "unlinkat",
    "mkdirat", "rmdirat", "list",  "random", "thread_create", "any"};

const char *os_call_name(os_call call)
{
    return call_names[call];
}

static int fails(os_fault *f, os_call call)
{
    if (f->call != call && f->call != OS_ANY) return 0;
    const int64_t n   = f->calls++;
    const int     hit = f->at >= 0 && (n == f->at || (f->forever && n > f->at));
    f->failed += hit;
    return hit;
}

static int error_of(const os_fault *f)
{
    return f->error != 0 ? -f->error : -EIO;
}

static int fault_openat(void *self, int dir, const char *path, int flags)
{
    os_fault *f = self;
    if (fails(f, OS_OPENAT)) return error_of(f);
    const int fd = fili_os_posix.openat(NULL, dir, path, flags);
    f->open += fd >= 0;
    return fd;
}

static int fault_close(void *self, int fd)
{
    os_fault *f = self;
    f->open--; /* a failing close gives the descriptor back all the same, as on Linux */
    const int hit = fails(f, OS_CLOSE);
    const int r   = fili_os_posix.close(NULL, fd);
    return hit ? error_of(f) : r;
}

static size_t half(size_t bytes)
{
    return bytes > 1 ? bytes / 2 : bytes;
}

static int64_t fault_pread(void *self, int fd, void *dst, size_t bytes, uint64_t offset)
{
    os_fault *f = self;
    if (fails(f, OS_PREAD)) {
        if (f->error != OS_SHORT_COUNT) return error_of(f);
        bytes = half(bytes);
    }
    return fili_os_posix.pread(NULL, fd, dst, bytes, offset);
}

static int64_t fault_pwrite(void *self, int fd, const void *src, size_t bytes, uint64_t offset)
{
    os_fault *f = self;
    if (fails(f, OS_PWRITE)) {
        if (f->error != OS_SHORT_COUNT) return error_of(f);
        bytes = half(bytes);
    }
    return fili_os_posix.pwrite(NULL, fd, src, bytes, offset);
}

static int fault_fstat(void *self, int fd, fili_stat *out)
{
    os_fault *f = self;
    return fails(f, OS_FSTAT) ? error_of(f) : fili_os_posix.fstat(NULL, fd, out);
}

static int fault_ftruncate(void *self, int fd, uint64_t size)
{
    os_fault *f = self;
    return fails(f, OS_FTRUNCATE) ? error_of(f) : fili_os_posix.ftruncate(NULL, fd, size);
}

static int fault_fsync(void *self, int fd)
{
    os_fault *f = self;
    return fails(f, OS_FSYNC) ? error_of(f) : fili_os_posix.fsync(NULL, fd);
}

static int fault_lock(void *self, int fd)
{
    os_fault *f = self;
    return fails(f, OS_LOCK) ? error_of(f) : fili_os_posix.lock(NULL, fd);
}

static int fault_mmap(void *self, int fd, size_t bytes, void **out)
{
    os_fault *f = self;
    if (fails(f, OS_MMAP)) return error_of(f);
    const int r = fili_os_posix.mmap(NULL, fd, bytes, out);
    f->mapped += r >= 0;
    return r;
}

static int fault_munmap(void *self, void *base, size_t bytes)
{
    os_fault *f = self;
    f->mapped--;
    const int hit = fails(f, OS_MUNMAP);
    const int r   = fili_os_posix.munmap(NULL, base, bytes);
    return hit ? error_of(f) : r;
}

static int fault_renameat(void *self, int dir, const char *from, const char *to, int replace)
{
    os_fault *f = self;
    return fails(f, OS_RENAMEAT) ? error_of(f)
                                 : fili_os_posix.renameat(NULL, dir, from, to, replace);
}

static int fault_unlinkat(void *self, int dir, const char *path)
{
    os_fault *f = self;
    return fails(f, OS_UNLINKAT) ? error_of(f) : fili_os_posix.unlinkat(NULL, dir, path);
}

static int fault_mkdirat(void *self, int dir, const char *path)
{
    os_fault *f = self;
    return fails(f, OS_MKDIRAT) ? error_of(f) : fili_os_posix.mkdirat(NULL, dir, path);
}

static int fault_rmdirat(void *self, int dir, const char *path)
{
    os_fault *f = self;
    return fails(f, OS_RMDIRAT) ? error_of(f) : fili_os_posix.rmdirat(NULL, dir, path);
}

static int fault_list(void *self, int fd, int (*entry)(void *arg, const char *name), void *arg)
{
    os_fault *f = self;
    return fails(f, OS_LIST) ? error_of(f) : fili_os_posix.list(NULL, fd, entry, arg);
}

static int fault_random(void *self, void *dst, size_t bytes)
{
    os_fault *f = self;
    return fails(f, OS_RANDOM) ? error_of(f) : fili_os_posix.random(NULL, dst, bytes);
}

static int fault_thread_create(void *self, void (*body)(void *arg), void *arg, void **thread)
{
    os_fault *f = self;
    return fails(f, OS_THREAD_CREATE) ? error_of(f)
                                      : fili_os_posix.thread_create(NULL, body, arg, thread);
}

fili_os os_fault_table(os_fault *fault)
{
    fili_os os       = fili_os_posix;
    os.self          = fault;
    os.openat        = fault_openat;
    os.close         = fault_close;
    os.pread         = fault_pread;
    os.pwrite        = fault_pwrite;
    os.fstat         = fault_fstat;
    os.ftruncate     = fault_ftruncate;
    os.fsync         = fault_fsync;
    os.lock          = fault_lock;
    os.mmap          = fault_mmap;
    os.munmap        = fault_munmap;
    os.renameat      = fault_renameat;
    os.unlinkat      = fault_unlinkat;
    os.mkdirat       = fault_mkdirat;
    os.rmdirat       = fault_rmdirat;
    os.list          = fault_list;
    os.random        = fault_random;
    os.thread_create = fault_thread_create;
    return os;
}
