/* tests/fuzz/memory_file.c: contract in memory_file.h. */
#define _POSIX_C_SOURCE 200112L
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/memory_file.h"

enum { FD_FILE = 1000, FD_FOLDER = 1001, PAGE = 4096 };

static int memory_openat(void *self, int dir, const char *path, int flags)
{
    memory_file *f = self;
    (void)dir;
    (void)path;
    if (flags & (FILI_OPEN_WRITE | FILI_OPEN_CREATE)) return -EROFS;
    f->open++;
    return flags & FILI_OPEN_DIRECTORY ? FD_FOLDER : FD_FILE;
}

static int memory_close(void *self, int fd)
{
    memory_file *f = self;
    (void)fd;
    f->open--;
    return 0;
}

static int64_t memory_pread(void *self, int fd, void *dst, size_t bytes, uint64_t offset)
{
    const memory_file *f = self;
    if (fd != FD_FILE) return -EISDIR;
    if (offset >= f->bytes) return 0;
    const size_t left = f->bytes - (size_t)offset;
    const size_t n    = bytes < left ? bytes : left;
    if (n != 0) memcpy(dst, f->data + offset, n);
    return (int64_t)n;
}

static int64_t memory_pwrite(void *self, int fd, const void *src, size_t bytes, uint64_t offset)
{
    (void)self;
    (void)fd;
    (void)src;
    (void)bytes;
    (void)offset;
    return -EROFS;
}

static int memory_fstat(void *self, int fd, fili_stat *out)
{
    const memory_file   *f    = self;
    const fili_file_kind kind = fd == FD_FILE ? FILI_KIND_REGULAR : FILI_KIND_DIRECTORY;
    *out = (fili_stat){.size = f->bytes, .dev = 1, .inode = (uint64_t)fd, .kind = kind};
    return 0;
}

static int memory_ftruncate(void *self, int fd, uint64_t size)
{
    (void)self;
    (void)fd;
    (void)size;
    return -EROFS;
}

static int memory_mmap(void *self, int fd, size_t bytes, void **out)
{
    memory_file *f = self;
    void        *p;
    if (fd != FD_FILE || bytes != f->bytes) return -ENODEV;
    if (posix_memalign(&p, PAGE, bytes) != 0) return -ENOMEM;
    memcpy(p, f->data, bytes);
    f->mapped++;
    *out = p;
    return 0;
}

static int memory_munmap(void *self, void *base, size_t bytes)
{
    memory_file *f = self;
    (void)bytes;
    free(base);
    f->mapped--;
    return 0;
}

static int memory_renameat(void *self, int dir, const char *from, const char *to, int replace)
{
    (void)self;
    (void)dir;
    (void)from;
    (void)to;
    (void)replace;
    return -EROFS;
}

static int memory_change(void *self, int dir, const char *path)
{
    (void)self;
    (void)dir;
    (void)path;
    return -EROFS;
}

static int memory_list(void *self, int fd, int (*entry)(void *arg, const char *name), void *arg)
{
    (void)self;
    (void)fd;
    return entry(arg, "file");
}

static const char *memory_getenv(void *self, const char *name)
{
    (void)self;
    (void)name;
    return NULL;
}

fili_os memory_file_table(memory_file *file)
{
    fili_os os   = fili_os_posix; /* clock, random and threads stay the system's */
    os.self      = file;
    os.openat    = memory_openat;
    os.close     = memory_close;
    os.pread     = memory_pread;
    os.pwrite    = memory_pwrite;
    os.fstat     = memory_fstat;
    os.ftruncate = memory_ftruncate;
    os.mmap      = memory_mmap;
    os.munmap    = memory_munmap;
    os.renameat  = memory_renameat;
    os.unlinkat  = memory_change;
    os.mkdirat   = memory_change;
    os.rmdirat   = memory_change;
    os.list      = memory_list;
    os.getenv    = memory_getenv;
    return os;
}
