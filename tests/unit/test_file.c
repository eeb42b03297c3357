/* tests/unit/test_file.c: base/file.h: whole reads, and files that appear whole or not at all,
 * with every system call failing once and for ever, and with processes that are killed. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static os_fault fault;
static fili_os  os;

static fil_ctx *open_ctx(void)
{
    fil_ctx *ctx;
    fault = (os_fault){.call = OS_ANY, .at = -1};
    os    = os_fault_table(&fault);
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    return ctx;
}

static void fail_call(os_call call, int64_t at, int forever, int error)
{
    fault.call    = call;
    fault.at      = at;
    fault.forever = forever;
    fault.error   = error;
    fault.calls   = 0;
    fault.failed  = 0;
}

static void says(const fil_ctx *ctx, const char *text)
{
    if (strstr(fil_ctx_error(ctx)->message, text) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(ctx)->message, text);
}

static void only_regular_files_are_opened(void **state)
{
    (void)state;
    fil_ctx  *ctx = open_ctx();
    scratch   s;
    fili_file f;
    scratch_make(&s);
    scratch_write(&s, "file", "data", 4);
    assert_int_equal(mkfifo(scratch_path(&s, "fifo"), 0600), 0);
    assert_int_equal(symlink("file", scratch_path(&s, "link")), 0);

    assert_int_equal(fili_file_open(ctx, FILI_CWD, scratch_path(&s, "none"), 0, &f), FIL_E_IO);
    says(ctx, "No such file");
    fili_ctx_enter(ctx);
    assert_int_equal(fili_file_open(ctx, FILI_CWD, s.path, 0, &f), FIL_E_FORMAT);
    says(ctx, "a directory");
    fili_ctx_enter(ctx);
    assert_int_equal(fili_file_open(ctx, FILI_CWD, scratch_path(&s, "fifo"), 0, &f), FIL_E_FORMAT);
    says(ctx, "a fifo");
    fili_ctx_enter(ctx);
    assert_int_equal(fili_file_open(ctx, FILI_CWD, "/dev/null", 0, &f), FIL_E_FORMAT);
    says(ctx, "a device");
    fili_ctx_enter(ctx);
    assert_int_equal(
        fili_file_open(ctx, FILI_CWD, scratch_path(&s, "link"), FILI_OPEN_NOFOLLOW, &f),
        FIL_E_FORMAT);
    says(ctx, "symbolic link");
    assert_int_equal(f.fd, -1);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_file_open(ctx, FILI_CWD, scratch_path(&s, "link"), 0, &f), FIL_OK);
    assert_int_equal(f.size, 4);
    fili_file_close(ctx, &f);
    fili_file_close(ctx, &f);
    assert_int_equal(fault.open, 0);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void reading_survives_interruptions_and_short_counts(void **state)
{
    (void)state;
    fil_ctx  *ctx = open_ctx();
    scratch   s;
    fili_file f;
    char      data[1000];
    char      back[1000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7);
    scratch_make(&s);
    scratch_write(&s, "file", data, sizeof data);
    assert_int_equal(fili_file_open(ctx, FILI_CWD, scratch_path(&s, "file"), 0, &f), FIL_OK);

    fail_call(OS_PREAD, 0, 0, EINTR);
    assert_int_equal(fili_file_read(ctx, &f, 0, back, sizeof back), FIL_OK);
    assert_memory_equal(data, back, sizeof data);
    fail_call(OS_PREAD, 0, 1, OS_SHORT_COUNT);
    memset(back, 0, sizeof back);
    assert_int_equal(fili_file_read(ctx, &f, 0, back, sizeof back), FIL_OK);
    assert_memory_equal(data, back, sizeof data);
    fail_call(OS_PREAD, 0, 1, EINTR); /* for ever: an answer, not a hang */
    assert_int_equal(fili_file_read(ctx, &f, 0, back, sizeof back), FIL_E_IO);
    fili_ctx_enter(ctx);
    fail_call(OS_PREAD, 0, 0, EIO);
    assert_int_equal(fili_file_read(ctx, &f, 0, back, sizeof back), FIL_E_IO);
    says(ctx, "cannot read '");
    fili_ctx_enter(ctx);
    fail_call(OS_PREAD, -1, 0, 0);
    assert_int_equal(truncate(scratch_path(&s, "file"), 500), 0);
    assert_int_equal(fili_file_read(ctx, &f, 0, back, sizeof back), FIL_E_IO);
    says(ctx, "ends at byte 500");
    fili_file_close(ctx, &f);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

/* Writes `text` to s/out. Always leaves the atomic file closed. */
static fil_status write_out(fil_ctx *ctx, const scratch *s, const char *text, int replace)
{
    fili_atomic  file;
    fil_status   status;
    const size_t n = strlen(text);
    FIL_TRY(fili_atomic_open(ctx, scratch_path(s, "out"), replace, &file));
    FIL_TRY_OR(fail, fili_atomic_resize(ctx, &file, n));
    FIL_TRY_OR(fail, fili_atomic_write(ctx, &file, 0, text, n));
    return fili_atomic_commit(ctx, &file);
fail:
    fili_atomic_abort(ctx, &file);
    return status;
}

static void holds(const scratch *s, const char *text)
{
    size_t         n;
    unsigned char *data = scratch_read(s, "out", &n);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(data, text, n);
    free(data);
}

static void a_file_appears_whole_and_is_replaced_only_when_asked(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    scratch  s;
    scratch_make(&s);
    assert_int_equal(write_out(ctx, &s, "first", 0), FIL_OK);
    holds(&s, "first");
    assert_int_equal(write_out(ctx, &s, "second", 0), FIL_E_IO);
    says(ctx, "exists already");
    holds(&s, "first");
    fili_ctx_enter(ctx);
    assert_int_equal(write_out(ctx, &s, "third", 1), FIL_OK);
    holds(&s, "third");
    assert_int_equal(scratch_count(&s), 1);
    assert_int_equal(fault.open, 0);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void a_file_that_appeared_meanwhile_is_not_overwritten(void **state)
{
    (void)state;
    fil_ctx    *ctx = open_ctx();
    scratch     s;
    fili_atomic file;
    scratch_make(&s);
    assert_int_equal(fili_atomic_open(ctx, scratch_path(&s, "out"), 0, &file), FIL_OK);
    scratch_write(&s, "out", "other", 5);
    assert_int_equal(fili_atomic_commit(ctx, &file), FIL_E_IO);
    says(ctx, "exists already");
    holds(&s, "other");
    assert_int_equal(scratch_count(&s), 1);
    fili_atomic_abort(ctx, &file);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void a_folder_or_a_fifo_is_not_replaced_and_that_is_said_at_once(void **state)
{
    (void)state;
    fil_ctx    *ctx = open_ctx();
    scratch     s;
    fili_atomic file;
    scratch_make(&s);
    assert_int_equal(mkdir(scratch_path(&s, "folder"), 0777), 0);
    assert_int_equal(mkfifo(scratch_path(&s, "fifo"), 0666), 0);
    const char *names[] = {"folder", "fifo"};
    for (size_t i = 0; i < 2; i++) {
        fili_ctx_enter(ctx);
        assert_int_equal(fili_atomic_open(ctx, scratch_path(&s, names[i]), 1, &file), FIL_E_IO);
        says(ctx, "not a regular file");
    }
    fili_ctx_enter(ctx);
    assert_int_equal(fili_atomic_open(ctx, "/dev/null", 1, &file), FIL_E_IO);
    says(ctx, "not a regular file");
    assert_int_equal(scratch_count(&s), 2);
    assert_int_equal(fault.open, 0);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void an_interrupted_look_at_the_target_does_not_mean_that_it_exists(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    scratch  s;
    for (int64_t at = 0; at < 6; at++) { /* the folder, the target, the temporary file, others */
        scratch_make(&s);
        fail_call(OS_OPENAT, at, 0, EINTR);
        assert_int_equal(write_out(ctx, &s, "new", 0), FIL_OK);
        assert_int_equal(fault.failed, 1);
        holds(&s, "new");
        scratch_remove(&s);
    }
    fil_ctx_close(&ctx);
}

static void bad_output_paths_are_refused(void **state)
{
    (void)state;
    fil_ctx    *ctx = open_ctx();
    fili_atomic file;
    char        longer[5000];
    const char *bad[] = {"", "/", "/tmp/", ".", "..", "/tmp/.."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fili_atomic_open(ctx, bad[i], 0, &file), FIL_E_ARG);
        fili_ctx_enter(ctx);
    }
    memset(longer, 'x', sizeof longer);
    longer[300] = '\0';
    assert_int_equal(fili_atomic_open(ctx, longer, 0, &file), FIL_E_ARG);
    fili_ctx_enter(ctx);
    longer[300]               = 'x';
    longer[4990]              = '/';
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(fili_atomic_open(ctx, longer, 0, &file), FIL_E_ARG);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_atomic_open(ctx, "/nonexistent/out", 0, &file), FIL_E_IO);
    assert_int_equal(fault.open, 0);
    fil_ctx_close(&ctx);
}

/* Row 10: each kind of call fails, at each of its places, once and for ever, with each error. */
static void replacing_a_file_never_loses_the_old_one(void **state)
{
    (void)state;
    const int errors[] = {EIO, ENOSPC, EINTR, EAGAIN, OS_SHORT_COUNT};
    fil_ctx  *ctx      = open_ctx();
    scratch   s;
    int       cases = 0;
    scratch_make(&s);
    for (int call = 0; call < OS_ANY; call++)
        for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++)
            for (int forever = 0; forever < 2; forever++)
                for (int64_t at = 0;; at++) {
                    fili_ctx_enter(ctx);
                    fail_call(OS_ANY, -1, 0, 0);
                    assert_int_equal(write_out(ctx, &s, "old", 1), FIL_OK);
                    fail_call((os_call)call, at, forever, errors[e]);
                    const fil_status status = write_out(ctx, &s, "new", 1);
                    const int        failed = fault.failed > 0;
                    assert_int_equal(fault.open, 0);
                    if (status == FIL_OK || strstr(fil_ctx_error(ctx)->message, "the folder of"))
                        holds(&s, "new");
                    else
                        holds(&s, "old");
                    if (status != FIL_OK) assert_int_equal(status, FIL_E_IO);
                    /* a lock that somebody has: it is for them to remove the file */
                    if (call != OS_UNLINKAT && call != OS_LOCK)
                        assert_int_equal(scratch_count(&s), 1);
                    cases++;
                    if (!failed) break;
                }
    assert_true(cases > 100);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

/* Free bytes, or nothing that is for sure. */
static void room_on_disk_is_told_or_not(void **state)
{
    (void)state;
    fil_ctx *ctx  = open_ctx();
    uint64_t room = 0;
    scratch  s;
    int      folder;
    scratch_make(&s);
    assert_int_equal(fili_dir_open(ctx, s.path, &folder), FIL_OK);
    const int r = fili_os_posix.disk_free(NULL, folder, &room);
    assert_true(r == -ENOTSUP || (r == 0 && room > 0));
    fili_dir_close(ctx, &folder);
    assert_int_equal(fili_os_posix.disk_free(NULL, -1, &room), -EBADF);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

/* ---- processes that were killed ------------------------------------------------------------- */

/* A child that begins to write s/NAME and is killed, or waits to be told to finish. */
typedef struct child {
    pid_t pid;
    int   tell; /* a byte there lets it finish */
} child;

static void child_main(const scratch *s, const char *name, int ready, int told)
{
    fil_ctx    *ctx;
    fili_atomic file;
    char        byte = 0;
    if (fil_ctx_open(&ctx, NULL) != FIL_OK ||
        fili_atomic_open(ctx, scratch_path(s, name), 1, &file) != FIL_OK ||
        fili_atomic_write(ctx, &file, 0, "child", 5) != FIL_OK || write(ready, &byte, 1) != 1)
        _exit(1);
    if (read(told, &byte, 1) != 1) _exit(1);
    _exit(fili_atomic_commit(ctx, &file) == FIL_OK ? 0 : 1);
}

static child begin_child(const scratch *s, const char *name)
{
    int   ready[2];
    int   tell[2];
    child c;
    char  byte;
    assert_int_equal(pipe(ready) | pipe(tell), 0);
    c.pid = fork();
    assert_true(c.pid >= 0);
    if (c.pid == 0) {
        (void)close(tell[1]);
        child_main(s, name, ready[1], tell[0]);
    }
    (void)close(ready[1]);
    (void)close(tell[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    (void)close(ready[0]);
    c.tell = tell[1];
    return c;
}

static void kill_child(child *c)
{
    assert_int_equal(kill(c->pid, SIGKILL), 0);
    assert_int_equal(waitpid(c->pid, NULL, 0), c->pid);
    (void)close(c->tell);
}

static void finish_child(child *c)
{
    int        how  = -1;
    const char byte = 0;
    assert_int_equal(write(c->tell, &byte, 1), 1);
    assert_int_equal(waitpid(c->pid, &how, 0), c->pid);
    assert_int_equal(how, 0);
    (void)close(c->tell);
}

static void what_a_killed_process_has_left_goes_with_the_next_write(void **state)
{
    (void)state;
    fil_ctx    *ctx = open_ctx();
    scratch     s;
    fili_atomic file;
    scratch_make(&s);
    for (int i = 0; i < 3; i++) {
        child c = begin_child(&s, "out");
        kill_child(&c);
        assert_int_equal(scratch_count(&s), 1 + (i > 0));
        if (i < 2)
            assert_int_equal(write_out(ctx, &s, "new", 1), FIL_OK);
        else { /* and when an output is only looked at */
            assert_int_equal(fili_atomic_open(ctx, scratch_path(&s, "out"), 1, &file), FIL_OK);
            fili_atomic_abort(ctx, &file);
        }
        holds(&s, "new");
        assert_int_equal(scratch_count(&s), 1);
    }
    assert_int_equal(fault.open, 0);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void a_file_that_a_living_process_writes_is_left_alone(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    scratch  s;
    child    c[6];
    scratch_make(&s);
    for (int i = 0; i < 6; i++) /* more than there are names with locks */
        c[i] = begin_child(&s, "out");
    assert_int_equal(scratch_count(&s), 6);
    assert_int_equal(write_out(ctx, &s, "parent", 1), FIL_OK);
    holds(&s, "parent");
    assert_int_equal(scratch_count(&s), 7);
    for (int i = 0; i < 6; i++) {
        finish_child(&c[i]);
        holds(&s, "child");
    }
    assert_int_equal(scratch_count(&s), 1);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void what_several_that_were_killed_have_left_goes_at_once(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    scratch  s;
    child    c[4];
    scratch_make(&s);
    for (int i = 0; i < 4; i++)
        c[i] = begin_child(&s, "out");
    for (int i = 1; i < 4; i++)
        kill_child(&c[i]);
    assert_int_equal(scratch_count(&s), 4);
    assert_int_equal(write_out(ctx, &s, "new", 1), FIL_OK); /* beside the one that lives */
    assert_int_equal(scratch_count(&s), 2);
    kill_child(&c[0]);
    assert_int_equal(write_out(ctx, &s, "newer", 1), FIL_OK);
    assert_int_equal(scratch_count(&s), 1);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void one_process_may_write_a_file_twice_at_a_time(void **state)
{
    (void)state;
    fil_ctx    *ctx = open_ctx();
    scratch     s;
    fili_atomic a;
    scratch_make(&s);
    assert_int_equal(fili_atomic_open(ctx, scratch_path(&s, "out"), 1, &a), FIL_OK);
    assert_int_equal(fili_atomic_write(ctx, &a, 0, "slow", 4), FIL_OK);
    assert_int_equal(write_out(ctx, &s, "fast", 1), FIL_OK);
    holds(&s, "fast");
    assert_int_equal(fili_atomic_commit(ctx, &a), FIL_OK);
    holds(&s, "slow");
    assert_int_equal(scratch_count(&s), 1);
    assert_int_equal(fault.open, 0);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void host_elsewhere(void *self, char *name, size_t bytes)
{
    (void)self;
    snprintf(name, bytes, "elsewhere");
}

/* Another output's, and another machine's, whose locks may not be seen here. */
static void what_may_be_of_others_stays(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    scratch  s;
    scratch_make(&s);
    child c = begin_child(&s, "other");
    kill_child(&c);
    assert_int_equal(write_out(ctx, &s, "new", 1), FIL_OK);
    assert_int_equal(scratch_count(&s), 2);
    c = begin_child(&s, "out");
    kill_child(&c);
    os.host = host_elsewhere;
    assert_int_equal(write_out(ctx, &s, "newer", 1), FIL_OK);
    holds(&s, "newer");
    assert_int_equal(scratch_count(&s), 3);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

/* A name that a link, a fifo or a folder has is not ours, and not followed. */
static void only_a_regular_file_is_taken_for_left_over(void **state)
{
    (void)state;
    fil_ctx    *ctx = open_ctx();
    scratch     s;
    fili_atomic file;
    char        temp[64];
    scratch_make(&s);
    assert_int_equal(fili_atomic_open(ctx, scratch_path(&s, "out"), 1, &file), FIL_OK);
    memcpy(temp, file.temp, sizeof temp);
    fili_atomic_abort(ctx, &file);
    for (int kind = 0; kind < 3; kind++) {
        const char *path = scratch_path(&s, temp);
        scratch_write(&s, "mine", "mine", 4);
        if (kind == 0) assert_int_equal(symlink("mine", path), 0);
        if (kind == 1) assert_int_equal(mkfifo(path, 0600), 0);
        if (kind == 2) assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(write_out(ctx, &s, "new", 1), FIL_OK);
        holds(&s, "new");
        assert_int_equal(scratch_count(&s), 3);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(fault.open, 0);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void where_there_are_no_locks_nothing_is_removed(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    scratch  s;
    scratch_make(&s);
    child c = begin_child(&s, "out");
    kill_child(&c);
    fail_call(OS_LOCK, 0, 1, ENOSYS);
    assert_int_equal(write_out(ctx, &s, "new", 1), FIL_OK);
    assert_int_equal(write_out(ctx, &s, "newer", 1), FIL_OK);
    holds(&s, "newer");
    assert_int_equal(scratch_count(&s), 2);
    fail_call(OS_ANY, -1, 0, 0);
    assert_int_equal(write_out(ctx, &s, "newest", 1), FIL_OK);
    assert_int_equal(scratch_count(&s), 1);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

/* Writes again and again, and now and then dies on the way. */
static void write_and_die(const scratch *s, int seed)
{
    for (int i = 0; i < 40; i++) {
        const pid_t pid = fork();
        if (pid == 0) {
            fil_ctx    *ctx;
            fili_atomic file;
            if (fil_ctx_open(&ctx, NULL) != FIL_OK) _exit(1);
            for (int k = 0; k < 5; k++) {
                if (fili_atomic_open(ctx, scratch_path(s, "out"), 1, &file) != FIL_OK ||
                    fili_atomic_write(ctx, &file, 0, "whole", 5) != FIL_OK)
                    _exit(1);
                if ((i + k + seed) % 7 == 0) _exit(0); /* as a kill would end it */
                if (fili_atomic_commit(ctx, &file) != FIL_OK) _exit(1);
            }
            _exit(0);
        }
        int how = -1;
        if (pid < 0 || waitpid(pid, &how, 0) != pid || how != 0) _exit(1);
    }
    _exit(0);
}

static void many_that_write_one_file_and_die_lose_none(void **state)
{
    enum { WRITERS = 3, SLOTS = 4 };
    (void)state;
    fil_ctx *ctx = open_ctx();
    scratch  s;
    pid_t    pid[WRITERS];
    scratch_make(&s);
    for (int i = 0; i < WRITERS; i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (pid[i] == 0) write_and_die(&s, i);
    }
    for (int i = 0; i < WRITERS; i++) {
        int how = -1;
        assert_int_equal(waitpid(pid[i], &how, 0), pid[i]);
        assert_int_equal(how, 0);
    }
    holds(&s, "whole");
    /* They died 85 times. One is left over in each slot at most, and where none was found free. */
    assert_true(scratch_count(&s) <= 1 + SLOTS + WRITERS);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

static void a_folder_is_made_unless_it_is_there(void **state)
{
    (void)state;
    fil_ctx *ctx  = open_ctx();
    bool     made = false;
    scratch  s;
    scratch_make(&s);
    scratch_write(&s, "file", "data", 4);
    assert_int_equal(fili_dir_make(ctx, scratch_path(&s, "new"), &made), FIL_OK);
    assert_true(made);
    assert_int_equal(fili_dir_make(ctx, scratch_path(&s, "new"), &made), FIL_OK);
    assert_false(made);
    assert_int_equal(fili_dir_make(ctx, scratch_path(&s, "new"), NULL), FIL_OK);
    assert_int_equal(fili_dir_make(ctx, scratch_path(&s, "file"), &made), FIL_E_IO);
    says(ctx, "Not a directory");
    fili_ctx_enter(ctx);
    assert_int_equal(fili_dir_make(ctx, scratch_path(&s, "no/such"), &made), FIL_E_IO);
    says(ctx, "cannot make the folder");
    fili_ctx_enter(ctx);
    fail_call(OS_MKDIRAT, 0, 0, EINTR);
    assert_int_equal(fili_dir_make(ctx, scratch_path(&s, "other"), NULL), FIL_OK);
    assert_int_equal(fault.open, 0);
    assert_int_equal(scratch_count(&s), 3);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

/* What is in it is never lost, and what is no folder is left alone. */
static void a_folder_that_was_made_for_nothing_is_removed(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    scratch  s;
    scratch_make(&s);
    scratch_write(&s, "file", "data", 4);
    assert_int_equal(fili_dir_make(ctx, scratch_path(&s, "empty"), NULL), FIL_OK);
    assert_int_equal(fili_dir_make(ctx, scratch_path(&s, "full"), NULL), FIL_OK);
    scratch_write(&s, "full/file", "data", 4);
    fili_dir_unmake(ctx, scratch_path(&s, "empty"));
    fili_dir_unmake(ctx, scratch_path(&s, "full"));
    fili_dir_unmake(ctx, scratch_path(&s, "file"));
    fili_dir_unmake(ctx, scratch_path(&s, "missing"));
    assert_false(fili_is_there(ctx, scratch_path(&s, "empty")));
    assert_true(fili_is_there(ctx, scratch_path(&s, "full/file")));
    assert_true(fili_is_there(ctx, scratch_path(&s, "file")));
    assert_int_equal(scratch_count(&s), 2);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_made_unless_it_is_there),
        cmocka_unit_test(a_folder_that_was_made_for_nothing_is_removed),
        cmocka_unit_test(room_on_disk_is_told_or_not),
        cmocka_unit_test(only_regular_files_are_opened),
        cmocka_unit_test(reading_survives_interruptions_and_short_counts),
        cmocka_unit_test(a_file_appears_whole_and_is_replaced_only_when_asked),
        cmocka_unit_test(a_file_that_appeared_meanwhile_is_not_overwritten),
        cmocka_unit_test(a_folder_or_a_fifo_is_not_replaced_and_that_is_said_at_once),
        cmocka_unit_test(an_interrupted_look_at_the_target_does_not_mean_that_it_exists),
        cmocka_unit_test(bad_output_paths_are_refused),
        cmocka_unit_test(replacing_a_file_never_loses_the_old_one),
        cmocka_unit_test(what_a_killed_process_has_left_goes_with_the_next_write),
        cmocka_unit_test(a_file_that_a_living_process_writes_is_left_alone),
        cmocka_unit_test(what_several_that_were_killed_have_left_goes_at_once),
        cmocka_unit_test(one_process_may_write_a_file_twice_at_a_time),
        cmocka_unit_test(what_may_be_of_others_stays),
        cmocka_unit_test(only_a_regular_file_is_taken_for_left_over),
        cmocka_unit_test(where_there_are_no_locks_nothing_is_removed),
        cmocka_unit_test(many_that_write_one_file_and_die_lose_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
