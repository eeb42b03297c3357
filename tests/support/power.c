/* tests/support/power.c: see power.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka_all.h"
#include "support/power.h"

#define UNDO ".undo" /* what a rename has replaced */

/* The power is off, or goes with this call. */
static int fails(power *p)
{
    if (p->at >= 0 && p->calls == p->at) p->off = 1;
    p->calls++;
    return p->off;
}

static uint64_t inode_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return (uint64_t)st.st_ino;
}

/* ---- writes --------------------------------------------------------------------------------- */

static void note_write(power *p, int fd, uint64_t from, uint64_t bytes)
{
    assert_true(p->n_writes < POWER_WRITES);
    const power_write w = {.fd = dup(fd), .inode = inode_of(fd), .from = from, .bytes = bytes};
    assert_true(w.fd >= 0);
    p->write[p->n_writes++] = w;
}

static int64_t power_pwrite(void *self, int fd, const void *src, size_t bytes, uint64_t offset)
{
    power    *p    = self;
    const int was  = p->off;
    const int dies = fails(p);
    if (dies && (was || !p->torn)) return -EIO;
    const int64_t n = fili_os_posix.pwrite(NULL, fd, src, dies ? bytes / 2 : bytes, offset);
    if (n > 0) note_write(p, fd, offset, (uint64_t)n);
    return dies ? -EIO : n;
}

static void synced(power *p, uint64_t inode)
{
    int kept = 0;
    for (int i = 0; i < p->n_writes; i++)
        if (p->write[i].inode == inode)
            (void)close(p->write[i].fd);
        else
            p->write[kept++] = p->write[i];
    p->n_writes = kept;
}

/* ---- names ---------------------------------------------------------------------------------- */

static void forget_rename(power *p)
{
    if (p->folder < 0) return;
    if (p->had) assert_int_equal(unlinkat(p->folder, UNDO, 0), 0);
    (void)close(p->folder);
    p->folder = -1;
}

static int power_fsync(void *self, int fd)
{
    power *p = self;
    if (fails(p)) return -EIO;
    const int r = fili_os_posix.fsync(NULL, fd);
    if (r < 0) return r;
    synced(p, inode_of(fd));
    if (p->folder >= 0 && inode_of(fd) == inode_of(p->folder)) forget_rename(p);
    return r;
}

static int power_renameat(void *self, int dir, const char *from, const char *to, int replace)
{
    power *p = self;
    if (fails(p)) return -EIO;
    assert_true(p->folder < 0);
    p->had      = linkat(dir, to, dir, UNDO, 0) == 0;
    const int r = fili_os_posix.renameat(NULL, dir, from, to, replace);
    if (r < 0) {
        if (p->had) assert_int_equal(unlinkat(dir, UNDO, 0), 0);
        return r;
    }
    p->folder = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(p->folder >= 0);
    snprintf(p->target, sizeof p->target, "%s", to);
    return r;
}

/* ---- what changes nothing, or is complete at once ------------------------------------------- */

static int power_openat(void *self, int dir, const char *path, int flags)
{
    return fails(self) ? -EIO : fili_os_posix.openat(NULL, dir, path, flags);
}

static int power_close(void *self, int fd)
{
    (void)fails(self);
    return fili_os_posix.close(NULL, fd); /* the end of the process does it, too */
}

static int power_fstat(void *self, int fd, fili_stat *out)
{
    return fails(self) ? -EIO : fili_os_posix.fstat(NULL, fd, out);
}

static int power_ftruncate(void *self, int fd, uint64_t size)
{
    return fails(self) ? -EIO : fili_os_posix.ftruncate(NULL, fd, size);
}

static int power_lock(void *self, int fd)
{
    return fails(self) ? -EIO : fili_os_posix.lock(NULL, fd);
}

static int power_unlinkat(void *self, int dir, const char *path)
{
    return fails(self) ? -EIO : fili_os_posix.unlinkat(NULL, dir, path);
}

fili_os power_table(power *p)
{
    fili_os os   = fili_os_posix;
    os.self      = p;
    os.openat    = power_openat;
    os.close     = power_close;
    os.pwrite    = power_pwrite;
    os.fstat     = power_fstat;
    os.ftruncate = power_ftruncate;
    os.fsync     = power_fsync;
    os.lock      = power_lock;
    os.renameat  = power_renameat;
    os.unlinkat  = power_unlinkat;
    p->folder    = -1;
    return os;
}

void power_cut(power *p, int loses_names)
{
    static const char nothing[1 << 16];
    for (int i = 0; i < p->n_writes; i++) {
        const power_write *w   = &p->write[i];
        const uint64_t     end = w->from + w->bytes;
        for (uint64_t at = w->from + w->bytes / 2; at < end;) {
            const uint64_t n = end - at < sizeof nothing ? end - at : sizeof nothing;
            assert_int_equal(pwrite(w->fd, nothing, (size_t)n, (off_t)at), (ssize_t)n);
            at += n;
        }
        (void)close(w->fd);
    }
    p->n_writes = 0;
    if (p->folder >= 0 && loses_names) {
        if (p->had)
            assert_int_equal(renameat(p->folder, UNDO, p->folder, p->target), 0);
        else
            assert_int_equal(unlinkat(p->folder, p->target, 0), 0);
        p->had = 0;
    }
    forget_rename(p);
}
