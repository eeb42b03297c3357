/* tests/unit/test_finished.c: engine/finished.c: a run that is killed between any two changes of
 * the folder goes on without being allowed to replace anything, with the same bytes, and leaves
 * nothing behind; and what it has not made itself, it does not replace.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "filigree/video.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/sanitized.h"
#include "support/scratch_dir.h"

enum { SIDE = 64, WIDE = 272, FRAMES = 5, KILLED = 9 };

/* ---- a process that dies behind its n-th renaming or removal -------------------------------- */

static int64_t changes, last_change; /* last_change: -1: never */

static int changed(int r)
{
    if (changes++ == last_change) _exit(KILLED);
    return r;
}

static int rename_and_die(void *self, int folder, const char *from, const char *to, int replace)
{
    return changed(fili_os_posix.renameat(self, folder, from, to, replace));
}

static int unlink_and_die(void *self, int folder, const char *path)
{
    return changed(fili_os_posix.unlinkat(self, folder, path));
}

/* ---- a disk that is full from the n-th write on --------------------------------------------- */

static int64_t writes, last_write; /* last_write: -1: never full */

static int64_t write_until_full(void *self, int fd, const void *data, size_t n, uint64_t at)
{
    if (last_write >= 0 && writes++ >= last_write) return -ENOSPC;
    return fili_os_posix.pwrite(self, fd, data, n, at);
}

/* ---- runs ----------------------------------------------------------------------------------- */

typedef struct rig {
    fili_os              os;
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
    char                 video[300], frames[300], recipe[300], saved[300];
} rig;

static void open_rig(rig *r, const char *video)
{
    fil_options opt;
    memset(r, 0, sizeof *r);
    r->os          = fili_os_posix;
    r->os.renameat = rename_and_die;
    r->os.unlinkat = unlink_and_die;
    r->os.pwrite   = write_until_full;
    last_change    = -1;
    last_write     = -1;
    fil_options_init(&opt);
    opt.n_threads = 1;
    assert_int_equal(fili_ctx_open_on(&r->os, &r->ctx, &opt), FIL_OK);
    r->model = demo_open(r->ctx, NULL);
    snprintf(r->video, sizeof r->video, "%s/%s", dir.path, video);
    snprintf(r->frames, sizeof r->frames, "%s/f.safetensors", dir.path);
    snprintf(r->recipe, sizeof r->recipe, "%s/v.json", dir.path);
    snprintf(r->saved, sizeof r->saved, "%s/v.resume", dir.path);
    fil_generate_options_init(&r->o);
    r->o.prompt           = "A red fox.";
    r->o.width            = SIDE;
    r->o.height           = SIDE;
    r->o.frames           = FRAMES;
    r->o.steps            = 2;
    r->o.guidance         = 1.0;
    r->o.video            = r->video;
    r->o.save_frames      = r->frames;
    r->o.save_recipe      = r->recipe;
    r->o.checkpoint       = r->saved;
    r->o.checkpoint_steps = 1;
}

static void close_rig(rig *r)
{
    fil_model_close(&r->model);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
}

static void must(const rig *r, const char *what, fil_status status)
{
    if (status != FIL_OK)
        fail_msg("change %lld: %s: %s", (long long)last_change, what,
                 fil_ctx_error(r->ctx)->message);
}

static int is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

static unsigned char *read_all(const char *path, size_t *bytes)
{
    return scratch_read(&dir, path + strlen(dir.path) + 1, bytes);
}

static void same_file(const char *path, const unsigned char *want, size_t bytes)
{
    size_t         n;
    unsigned char *got = read_all(path, &n);
    if (n != bytes || memcmp(got, want, n) != 0)
        fail_msg("change %lld: %s is another one", (long long)last_change, path);
    free(got);
}

/* In a child, which dies behind that change: 1, or ends: 0. */
static int run_until(const rig *r, int64_t change)
{
    int         how = -1;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        changes     = 0;
        last_change = change;
        _exit(fil_generate(r->model, &r->o, NULL) == FIL_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how) && (WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == KILLED));
    return WEXITSTATUS(how) == KILLED;
}

/* As a user would: the saved run if there is one, the same command where nothing stands, nothing
 * where all does. */
static void go_on(rig *r)
{
    const int stands = is_there(r->recipe);
    if (is_there(r->saved)) {
        r->o.resume = r->saved;
        must(r, "going on", fil_generate(r->model, &r->o, NULL));
        r->o.resume = NULL;
    } else if (!stands) {
        must(r, "from the beginning", fil_generate(r->model, &r->o, NULL));
    }
}

static void clear(const rig *r, int numbered)
{
    char name[320];
    for (int i = 0; i < numbered; i++) {
        snprintf(name, sizeof name, "%s/%03d.png", dir.path, i);
        assert_int_equal(remove(name), 0);
    }
    if (numbered == 0 && r->o.video != NULL) assert_int_equal(remove(r->video), 0);
    if (r->o.save_frames != NULL) assert_int_equal(remove(r->frames), 0);
    assert_int_equal(remove(r->recipe), 0);
    assert_int_equal(scratch_count(&dir), 0);
}

/* Whatever change is the last one of the first process. */
static int64_t any_change_may_be_the_last(rig *r, const char *first, int numbered)
{
    size_t bytes;
    size_t frames_bytes = 0;
    must(r, "undisturbed", fil_generate(r->model, &r->o, NULL));
    unsigned char *want   = read_all(first, &bytes);
    unsigned char *frames = NULL;
    if (r->o.save_frames != NULL) frames = read_all(r->frames, &frames_bytes);
    clear(r, numbered);
    int64_t at = 0;
    for (int dies = 1; dies; at += SANITIZED ? 3 : 1) {
        dies        = run_until(r, at);
        last_change = -1;
        go_on(r);
        last_change = at; /* for messages; changes are beyond it */
        changes     = at + 1;
        same_file(first, want, bytes);
        if (frames != NULL) same_file(r->frames, frames, frames_bytes);
        last_change = -1;
        clear(r, numbered);
    }
    free(want);
    free(frames);
    return at;
}

static void killed_behind_any_change_a_run_goes_on(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, "v.y4m");
    const int64_t n = any_change_may_be_the_last(&r, r.video, 0);
    print_message("%lld changes\n", (long long)n);
    assert_true(n > 10);
    close_rig(&r);
}

static void and_in_tiles(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, "v.y4m");
    r.o.width       = WIDE;
    r.o.save_frames = NULL;
    r.o.vae_tiles   = 1;
    assert_true(any_change_may_be_the_last(&r, r.video, 0) > 10);
    close_rig(&r);
}

static void and_with_pictures(void **state)
{
    rig  r;
    char first[320];
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, "%03d.png");
    snprintf(first, sizeof first, "%s/000.png", dir.path);
    r.o.save_frames = NULL;
    assert_true(any_change_may_be_the_last(&r, first, FRAMES) > 10);
    close_rig(&r);
    open_rig(&r, "one.png");
    r.o.frames      = 1;
    r.o.save_frames = NULL;
    assert_true(any_change_may_be_the_last(&r, r.video, 0) > 10);
    close_rig(&r);
}

/* ---- what is not its own -------------------------------------------------------------------- */

static void empty_folder(void)
{
    DIR *d = opendir(dir.path);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            assert_int_equal(remove(scratch_path(&dir, e->d_name)), 0);
    closedir(d);
}

/* A run that was killed behind the change that has brought `path`; resumed next. */
static void kill_when(rig *r, const char *path)
{
    for (int64_t at = 0; !is_there(path); at++) {
        empty_folder();
        assert_int_equal(run_until(r, at), 1);
    }
    r->o.resume = r->saved;
}

static void refused(const rig *r, const char *says)
{
    assert_int_equal(fil_generate(r->model, &r->o, NULL), FIL_E_IO);
    if (strstr(fil_ctx_error(r->ctx)->message, says) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(r->ctx)->message, says);
    assert_true(is_there(r->saved));
}

/* Then frames are not kept, and no picture that stands can be told from a stranger's. */
static void behind_a_full_disk_a_run_goes_on_with_its_pictures(void **state)
{
    rig     r;
    char    first[320];
    size_t  bytes;
    int64_t at      = 0;
    int     resumed = 0;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, "%03d.png");
    snprintf(first, sizeof first, "%s/000.png", dir.path);
    r.o.save_frames = NULL;
    must(&r, "undisturbed", fil_generate(r.model, &r.o, NULL));
    unsigned char *want = read_all(first, &bytes);
    for (bool full = true; full; at++) {
        clear(&r, FRAMES);
        writes      = 0;
        last_write  = at;
        full        = fil_generate(r.model, &r.o, NULL) != FIL_OK;
        last_write  = -1;
        last_change = at; /* for messages; changes are beyond it */
        changes     = at + 1;
        resumed += full && is_there(r.saved);
        if (full) go_on(&r);
        same_file(first, want, bytes);
        last_change = -1;
    }
    print_message("full after %lld writes at most, %d runs went on\n", (long long)at, resumed);
    assert_true(resumed > FRAMES);
    free(want);
    close_rig(&r);
}

static void a_video_that_was_changed_is_not_replaced(void **state)
{
    rig    r;
    size_t n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, "v.y4m");
    kill_when(&r, r.video);
    assert_false(is_there(r.recipe));
    unsigned char *data = read_all(r.video, &n);
    data[n / 2] ^= 1;
    scratch_write(&dir, "v.y4m", data, n);
    refused(&r, "'v.y4m' exists already");
    same_file(r.video, data, n);
    data[n / 2] ^= 1;
    scratch_write(&dir, "v.y4m", data, n); /* the same bytes are the same video */
    must(&r, "going on", fil_generate(r.model, &r.o, NULL));
    same_file(r.video, data, n);
    free(data);
    clear(&r, 0);
    close_rig(&r);
}

static void a_recipe_of_something_else_is_not_replaced(void **state)
{
    rig    r;
    size_t n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, "v.y4m");
    kill_when(&r, r.video);
    scratch_write(&dir, "v.json", "{}", 2);
    refused(&r, "'v.json' exists already");
    free(read_all(r.recipe, &n));
    assert_int_equal(n, 2);
    assert_int_equal(remove(r.recipe), 0);
    must(&r, "going on", fil_generate(r.model, &r.o, NULL));
    clear(&r, 0);
    close_rig(&r);
}

/* A run that was stopped in its steps has made no video, whatever lies there. */
static void a_video_beside_a_run_in_its_steps_is_not_its_own(void **state)
{
    rig    r;
    size_t n;
    size_t m;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, "v.y4m");
    r.o.save_frames = NULL;
    must(&r, "an earlier run", fil_generate(r.model, &r.o, NULL));
    unsigned char *video  = read_all(r.video, &n);
    unsigned char *recipe = read_all(r.recipe, &m);
    kill_when(&r, r.saved); /* after the first of two steps */
    scratch_write(&dir, "v.y4m", video, n);
    scratch_write(&dir, "v.json", recipe, m);
    refused(&r, "'v.y4m' exists already");
    same_file(r.video, video, n);
    free(video);
    free(recipe);
    empty_folder();
    close_rig(&r);
}

/* ---- decode --------------------------------------------------------------------------------- */

static int decode_until(const rig *r, const fil_decode_options *o, int64_t change)
{
    int         how = -1;
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        changes     = 0;
        last_change = change;
        _exit(fil_decode(r->model, o, NULL) == FIL_OK ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_true(WIFEXITED(how) && (WEXITSTATUS(how) == 0 || WEXITSTATUS(how) == KILLED));
    return WEXITSTATUS(how) == KILLED;
}

static void a_decode_that_is_killed_goes_on_alike(void **state)
{
    rig    r;
    size_t n;
    char   kept[320];
    char   latents[320];
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, "v.y4m");
    fil_decode_options o;
    fil_decode_options_init(&o);
    snprintf(kept, sizeof kept, "%s.frames", r.video);
    snprintf(latents, sizeof latents, "%s/l.safetensors", dir.path);
    r.o.video        = NULL;
    r.o.save_frames  = NULL;
    r.o.save_recipe  = NULL;
    r.o.checkpoint   = NULL;
    r.o.save_latents = latents;
    must(&r, "latents", fil_generate(r.model, &r.o, NULL));
    o.latents     = latents;
    o.video       = r.video;
    o.save_frames = r.frames;
    o.kept        = kept;
    must(&r, "undisturbed", fil_decode(r.model, &o, NULL));
    unsigned char *want = read_all(r.video, &n);
    int64_t        at   = 0;
    for (int dies = 1; dies; at++) {
        assert_int_equal(remove(r.video) | remove(r.frames), 0);
        o.resume = 0;
        dies     = decode_until(&r, &o, at);
        if (is_there(kept) || !is_there(r.video)) {
            o.resume = is_there(kept);
            must(&r, "going on", fil_decode(r.model, &o, NULL));
        }
        same_file(r.video, want, n);
        assert_true(is_there(r.frames));
        assert_int_equal(scratch_count(&dir), 3);
    }
    assert_true(at > 5);
    free(want);
    empty_folder();
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(killed_behind_any_change_a_run_goes_on),
        TEST(and_in_tiles),
        TEST(and_with_pictures),
        TEST(behind_a_full_disk_a_run_goes_on_with_its_pictures),
        TEST(a_video_that_was_changed_is_not_replaced),
        TEST(a_recipe_of_something_else_is_not_replaced),
        TEST(a_video_beside_a_run_in_its_steps_is_not_its_own),
        TEST(a_decode_that_is_killed_goes_on_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
