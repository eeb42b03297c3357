/* base/os_posix.c: the one file that calls the operating system (Linux; POSIX 2008, flock, and four
 * Linux calls: renameat2, getrandom, sched_getaffinity, arch_prctl). See os.h for the contract.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/os.h"

_Static_assert(FILI_CWD == AT_FDCWD, "FILI_CWD is the system's own value");
_Static_assert(sizeof(off_t) == 8, "files beyond 2 GiB need a 64-bit off_t");

static int result(int r)
{
    return r < 0 ? -errno : r;
}

static int posix_openat(void *self, int dir, const char *path, int flags)
{
    (void)self;
    int f = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    f |= (flags & FILI_OPEN_WRITE) ? O_RDWR : O_RDONLY;
    if (flags & FILI_OPEN_CREATE) f |= O_CREAT | O_EXCL;
    if (flags & FILI_OPEN_NOFOLLOW) f |= O_NOFOLLOW;
    if (flags & FILI_OPEN_DIRECTORY) f |= O_DIRECTORY;
    if (flags & FILI_OPEN_PATH) f |= O_PATH;
    return result(openat(dir, path, f, 0666));
}

static int posix_close(void *self, int fd)
{
    (void)self;
    return result(close(fd));
}

static int64_t posix_pread(void *self, int fd, void *dst, size_t bytes, uint64_t offset)
{
    (void)self;
    const ssize_t n = pread(fd, dst, bytes, (off_t)offset);
    return n < 0 ? -errno : n;
}

static int64_t posix_pwrite(void *self, int fd, const void *src, size_t bytes, uint64_t offset)
{
    (void)self;
    const ssize_t n = pwrite(fd, src, bytes, (off_t)offset);
    return n < 0 ? -errno : n;
}

static fili_file_kind kind_of(mode_t mode)
{
    if (S_ISREG(mode)) return FILI_KIND_REGULAR;
    if (S_ISDIR(mode)) return FILI_KIND_DIRECTORY;
    if (S_ISLNK(mode)) return FILI_KIND_SYMLINK;
    if (S_ISFIFO(mode)) return FILI_KIND_FIFO;
    if (S_ISSOCK(mode)) return FILI_KIND_SOCKET;
    return FILI_KIND_DEVICE;
}

static uint64_t nanoseconds(struct timespec t)
{
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static int posix_fstat(void *self, int fd, fili_stat *out)
{
    (void)self;
    struct stat st;
    if (fstat(fd, &st) < 0) return -errno;
    *out = (fili_stat){.size        = (uint64_t)st.st_size,
                       .dev         = (uint64_t)st.st_dev,
                       .inode       = (uint64_t)st.st_ino,
                       .links       = (uint64_t)st.st_nlink,
                       .modified_ns = nanoseconds(st.st_mtim),
                       .changed_ns  = nanoseconds(st.st_ctim),
                       .kind        = kind_of(st.st_mode)};
    return 0;
}

static int posix_ftruncate(void *self, int fd, uint64_t size)
{
    (void)self;
    return result(ftruncate(fd, (off_t)size));
}

static int posix_fsync(void *self, int fd)
{
    (void)self;
    return result(fsync(fd));
}

static int posix_lock(void *self, int fd)
{
    _Static_assert(EWOULDBLOCK == EAGAIN, "flock says EWOULDBLOCK");
    (void)self;
    return result(flock(fd, LOCK_EX | LOCK_NB));
}

static int posix_mmap(void *self, int fd, size_t bytes, void **out)
{
    (void)self;
    void *p = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return -errno;
    *out = p;
    return 0;
}

static int posix_munmap(void *self, void *base, size_t bytes)
{
    (void)self;
    return result(munmap(base, bytes));
}

static void posix_will_read(void *self, int fd, uint64_t offset, uint64_t bytes)
{
    (void)self;
    if (offset <= INT64_MAX && bytes <= INT64_MAX)
        (void)posix_fadvise(fd, (off_t)offset, (off_t)bytes, POSIX_FADV_WILLNEED);
}

/* Linux gives a mapping large pages where it is asked to (transparent_hugepage/enabled: madvise);
 * where it never does, nothing is lost. */
static void posix_prefer_large_pages(void *self, void *base, size_t bytes)
{
    (void)self;
    (void)madvise(base, bytes, MADV_HUGEPAGE);
}

/* Those that store a byte as a byte. Numbers of linux/magic.h and of the file systems' sources. */
static int stores_bytes(uint64_t type)
{
    switch (type & UINT32_MAX) {
    case 0xef53:     /* ext2, ext3, ext4 */
    case 0x58465342: /* xfs */
    case 0x3153464a: /* jfs */
    case 0x01021994: /* tmpfs */
    case 0x4d44:     /* fat */
    case 0x2011bab0: /* exfat */ return 1;
    default: return 0;
    }
}

static int posix_disk_free(void *self, int dir_fd, uint64_t *bytes)
{
    struct statfs st;
    (void)self;
    if (fstatfs(dir_fd, &st) < 0) return -errno;
    if (!stores_bytes((uint64_t)st.f_type) || st.f_blocks == 0 || st.f_frsize <= 0) return -ENOTSUP;
    const uint64_t blocks = geteuid() == 0 ? (uint64_t)st.f_bfree : (uint64_t)st.f_bavail;
    *bytes =
        blocks > UINT64_MAX / (uint64_t)st.f_frsize ? UINT64_MAX : blocks * (uint64_t)st.f_frsize;
    return 0;
}

static int posix_renameat(void *self, int dir, const char *from, const char *to, int replace)
{
    (void)self;
    if (replace) return result(renameat(dir, from, dir, to));
    if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -errno;
    /* A file system without RENAME_NOREPLACE: a hard link refuses an existing name as well. */
    if (linkat(dir, from, dir, to, 0) < 0) return -errno;
    return result(unlinkat(dir, from, 0));
}

static int posix_unlinkat(void *self, int dir, const char *path)
{
    (void)self;
    return result(unlinkat(dir, path, 0));
}

static int posix_mkdirat(void *self, int dir, const char *path)
{
    (void)self;
    return result(mkdirat(dir, path, 0777));
}

static int posix_rmdirat(void *self, int dir, const char *path)
{
    (void)self;
    return result(unlinkat(dir, path, AT_REMOVEDIR));
}

static int posix_list(void *self, int dir_fd, int (*entry)(void *arg, const char *name), void *arg)
{
    (void)self;
    const int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        const int error = errno;
        close(fd);
        return -error;
    }
    int r = 0;
    for (;;) {
        errno                  = 0;
        const struct dirent *e = readdir(dir);
        if (e == NULL) {
            r = -errno;
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        r = entry(arg, e->d_name);
        if (r != 0) break;
    }
    closedir(dir);
    return r;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t posix_clock_ns(void *self)
{
    (void)self;
    return read_clock(CLOCK_MONOTONIC);
}

static uint64_t posix_thread_ns(void *self)
{
    (void)self;
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static int posix_random(void *self, void *dst, size_t bytes)
{
    (void)self;
    const ssize_t n = getrandom(dst, bytes, 0);
    if (n < 0) return -errno;
    return (size_t)n == bytes ? 0 : -EIO;
}

static int posix_cpu_count(void *self)
{
    (void)self;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
    const long n = sysconf(_SC_NPROCESSORS_ONLN); /* more CPUs than cpu_set_t holds */
    return n < 1 ? 1 : (int)n;
}

static void posix_host(void *self, char *name, size_t bytes)
{
    (void)self;
    if (gethostname(name, bytes) < 0) name[0] = '\0';
    name[bytes - 1] = '\0';
}

static const char *posix_getenv(void *self, const char *name)
{
    (void)self;
    return getenv(name);
}

static int posix_permit_amx(void *self)
{
    (void)self;
#if defined(__x86_64__)
    const long request_permission = 0x1023; /* ARCH_REQ_XCOMP_PERM */
    const long tile_data          = 18;     /* XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, request_permission, tile_data) < 0 ? -errno : 0;
#else
    return -ENOSYS;
#endif
}

typedef struct thread_start {
    pthread_t handle;
    void (*body)(void *arg);
    void *arg;
} thread_start;

static void *thread_entry(void *p)
{
    const thread_start *t = p;
    t->body(t->arg);
    return NULL;
}

static int posix_thread_create(void *self, void (*body)(void *arg), void *arg, void **thread)
{
    (void)self;
    thread_start *t = malloc(sizeof *t);
    if (t == NULL) return -ENOMEM;
    t->body         = body;
    t->arg          = arg;
    const int error = pthread_create(&t->handle, NULL, thread_entry, t);
    if (error != 0) {
        free(t);
        return -error;
    }
    *thread = t;
    return 0;
}

static int posix_thread_join(void *self, void *thread)
{
    (void)self;
    thread_start *t     = thread;
    const int     error = pthread_join(t->handle, NULL);
    free(t);
    return -error;
}

/* ---- libraries ------------------------------------------------------------------------------ */

static void *posix_library_open(void *self, const char *file, const char **why)
{
    (void)self;
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) *why = dlerror();
    return library;
}

static void *posix_library_symbol(void *self, void *library, const char *name)
{
    (void)self;
    return dlsym(library, name);
}

const fili_os fili_os_posix = {
    .self               = NULL,
    .openat             = posix_openat,
    .close              = posix_close,
    .pread              = posix_pread,
    .pwrite             = posix_pwrite,
    .fstat              = posix_fstat,
    .ftruncate          = posix_ftruncate,
    .fsync              = posix_fsync,
    .lock               = posix_lock,
    .mmap               = posix_mmap,
    .munmap             = posix_munmap,
    .prefer_large_pages = posix_prefer_large_pages,
    .will_read          = posix_will_read,
    .disk_free          = posix_disk_free,
    .renameat           = posix_renameat,
    .unlinkat           = posix_unlinkat,
    .mkdirat            = posix_mkdirat,
    .rmdirat            = posix_rmdirat,
    .list               = posix_list,
    .clock_ns           = posix_clock_ns,
    .thread_ns          = posix_thread_ns,
    .random             = posix_random,
    .cpu_count          = posix_cpu_count,
    .host               = posix_host,
    .getenv             = posix_getenv,
    .permit_amx         = posix_permit_amx,
    .library_open       = posix_library_open,
    .library_symbol     = posix_library_symbol,
    .thread_create      = posix_thread_create,
    .thread_join        = posix_thread_join,
};
