/* tests/unit/test_disk_room.c: what a run writes against the room there is (engine/disk_room.h):
 * files of one file system are added up as they will lie there, and what a plan says of that is
 * what lies there when the run is made.
 */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/disk_room.h"
#include "filigree/video.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/sanitized.h"
#include "support/scratch_dir.h"

/* ---- disks ---------------------------------------------------------------------------------- */

/* Two file systems: folder b, and everything else. */
typedef struct world {
    uint64_t b; /* the folder's inode */
    int64_t  room[2];
    int      fail; /* so many calls from now on fail; then none */
    int      asked;
} world;

static int which(const world *w, int fd)
{
    fili_stat st;
    assert_true(fili_os_posix.fstat(NULL, fd, &st) >= 0);
    return st.inode == w->b;
}

static int on_fstat(void *self, int fd, fili_stat *out)
{
    world    *w = self;
    const int r = fili_os_posix.fstat(NULL, fd, out);
    if (w->fail > 0 && w->fail-- > 0) return -EIO;
    if (r >= 0 && out->kind == FILI_KIND_DIRECTORY) out->dev = (uint64_t)(1 + which(w, fd));
    return r;
}

static int on_disk_free(void *self, int fd, uint64_t *bytes)
{
    world        *w    = self;
    const int64_t room = w->room[which(w, fd)];
    w->asked++;
    *bytes = (uint64_t)room;
    return room < 0 ? -ENOTSUP : 0;
}

typedef struct rig {
    world          w;
    fili_os        os;
    fil_ctx       *ctx;
    fili_disks     disks;
    fili_disk_list list;
    char           name[8][300];
    int            n;
} rig;

static void open_rig(rig *r)
{
    struct stat st;
    memset(r, 0, sizeof *r);
    assert_int_equal(mkdir(scratch_path(&dir, "a"), 0777), 0);
    assert_int_equal(mkdir(scratch_path(&dir, "b"), 0777), 0);
    assert_int_equal(stat(scratch_path(&dir, "b"), &st), 0);
    r->w            = (world){.b = (uint64_t)st.st_ino, .room = {1000, 1000}};
    r->os           = fili_os_posix;
    r->os.self      = &r->w;
    r->os.fstat     = on_fstat;
    r->os.disk_free = on_disk_free;
    assert_int_equal(fili_ctx_open_on(&r->os, &r->ctx, NULL), FIL_OK);
}

static void close_rig(rig *r)
{
    fil_ctx_close(&r->ctx);
}

static fili_disk_file *add(rig *r, const char *name, uint64_t bytes, fili_disk_manner manner)
{
    char *path = r->name[r->n++];
    snprintf(path, sizeof r->name[0], "%s/%s", dir.path, name);
    const fili_disk_file file = {.what = name, .path = path, .bytes = bytes, .manner = manner};
    fili_disk_add(&r->list, &file);
    return &r->list.file[r->list.n - 1];
}

static void there(const char *name, size_t bytes)
{
    void *data = calloc(1, bytes);
    assert_non_null(data);
    scratch_write(&dir, name, data, bytes);
    free(data);
}

static fil_status take(rig *r)
{
    const fil_status status = fili_disks_take(r->ctx, &r->disks, &r->list);
    r->list.n               = 0;
    r->n                    = 0;
    return status;
}

/* The list fits into `needed` bytes of its disk, and into no less. */
static void needs(rig *r, int disk, int64_t needed)
{
    const fili_disk_list list  = r->list;
    fili_disks           fresh = {.n = 0};
    char                 says[80];
    r->w.room[disk] = needed;
    if (fili_disks_take(r->ctx, &fresh, &list) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
    fresh           = (fili_disks){.n = 0};
    r->w.room[disk] = needed - 1;
    assert_int_equal(fili_disks_take(r->ctx, &fresh, &list), FIL_E_IO);
    snprintf(says, sizeof says, "%lld bytes are needed", (long long)needed);
    if (strstr(fil_ctx_error(r->ctx)->message, says) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(r->ctx)->message, says);
    fili_ctx_enter(r->ctx);
    r->list.n = 0;
    r->n      = 0;
}

static void files_of_one_disk_are_added_up(void **state)
{
    rig r;
    (void)state;
    open_rig(&r);
    add(&r, "a/x", 600, FILI_DISK_WHOLE);
    add(&r, "y", 400, FILI_DISK_LONG);
    add(&r, "b/z", 1000, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_OK);
    assert_int_equal(r.w.asked, 2); /* once each */
    r.disks = (fili_disks){.n = 0};
    add(&r, "a/x", 601, FILI_DISK_WHOLE);
    add(&r, "y", 400, FILI_DISK_LONG);
    add(&r, "b/z", 1000, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_E_IO);
    const char *message = fil_ctx_error(r.ctx)->message;
    assert_non_null(strstr(message, "too little room on the disk of '"));
    assert_non_null(
        strstr(message, "/a/x': 1001 bytes are needed, most of them for a/x; 1000 are"));
    close_rig(&r);
}

static void one_file_is_told_as_one(void **state)
{
    rig r;
    (void)state;
    open_rig(&r);
    add(&r, "a/x", 900, FILI_DISK_LONG);
    add(&r, "b/z", 1001, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_E_IO);
    const char *message = fil_ctx_error(r.ctx)->message;
    assert_non_null(strstr(message, "/b/z': 1001 bytes are needed, for b/z; 1000 are free"));
    close_rig(&r);
}

static void a_file_stands_beside_the_one_that_it_replaces(void **state)
{
    rig r;
    (void)state;
    open_rig(&r);
    there("a/x", 300);
    add(&r, "a/x", 500, FILI_DISK_WHOLE);
    needs(&r, 0, 500);
    add(&r, "a/x", 500, FILI_DISK_WHOLE); /* what it replaces is gone then */
    add(&r, "a/y", 400, FILI_DISK_LONG);
    needs(&r, 0, 600);
    add(&r, "a/x", 500, FILI_DISK_LONG);
    add(&r, "a/y", 400, FILI_DISK_LONG);
    needs(&r, 0, 900);
    add(&r, "a/x", 500, FILI_DISK_AGAIN); /* 500 beside 300, then 500 beside 500 */
    needs(&r, 0, 700);
    add(&r, "a/new", 500, FILI_DISK_AGAIN);
    needs(&r, 0, 1000);
    add(&r, "a/x", 500, FILI_DISK_PLACE);
    needs(&r, 0, 200);
    add(&r, "a/x", 500, FILI_DISK_NAMELESS);
    needs(&r, 0, 500);
    there("a/x", 5000); /* much of it becomes free */
    add(&r, "a/x", 100, FILI_DISK_WHOLE);
    add(&r, "a/y", 4900, FILI_DISK_LONG);
    needs(&r, 0, 100);
    close_rig(&r);
}

/* What stays of one run is not there for the next; what passes is. */
static void runs_come_one_after_the_other(void **state)
{
    rig r;
    (void)state;
    open_rig(&r);
    there("x", 100);
    add(&r, "x", 300, FILI_DISK_LONG); /* 200 more in the end */
    add(&r, "c", 150, FILI_DISK_AGAIN)->passes   = true;
    add(&r, "f", 250, FILI_DISK_PLACE)->passes   = true;
    add(&r, "g", 50, FILI_DISK_NAMELESS)->passes = true;
    assert_int_equal(take(&r), FIL_OK);
    assert_int_equal(r.disks.disk[0].level.now, 200);
    assert_int_equal(r.disks.disk[0].level.most, 750);
    add(&r, "y", 800, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_OK);
    add(&r, "z", 1, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_E_IO);
    close_rig(&r);
}

static void a_plan_is_of_files_that_are_not_there(void **state)
{
    rig r;
    (void)state;
    open_rig(&r);
    there("x", 100);
    add(&r, "x", 300, FILI_DISK_LONG);
    add(&r, "b/c", 150, FILI_DISK_AGAIN)->passes = true;
    add(&r, "b/l", 70, FILI_DISK_WHOLE);
    add(&r, "f", 250, FILI_DISK_PLACE)->spare = true;
    const fili_disk_level level               = fili_disk_level_of(&r.list);
    assert_int_equal(level.most, 770);
    assert_int_equal(level.now, 620);
    r.list                                       = (fili_disk_list){.n = 0};
    add(&r, "b/c", 150, FILI_DISK_AGAIN)->passes = true;
    assert_int_equal(fili_disk_level_of(&r.list).most, 300);
    assert_int_equal(fili_disk_level_of(&r.list).now, 0);
    close_rig(&r);
}

static void only_what_is_sure_is_refused(void **state)
{
    rig r;
    (void)state;
    open_rig(&r);
    r.w.room[0] = -1;
    add(&r, "x", UINT64_MAX, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_OK); /* it does not say */
    r.disks                                    = (fili_disks){.n = 0};
    r.w.room[0]                                = 0;
    add(&r, "x", 1000, FILI_DISK_PLACE)->spare = true;
    assert_int_equal(take(&r), FIL_OK);
    r.w.fail = 1; /* of the folder */
    add(&r, "x", 1000, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_OK);
    const fili_disk_file none[] = {{.bytes = 1000}, {.path = "x"}}; /* nowhere; nothing */
    fili_disk_add(&r.list, &none[0]);
    fili_disk_add(&r.list, &none[1]);
    assert_int_equal(r.list.n, 0);
    add(&r, "x", UINT64_MAX, FILI_DISK_AGAIN);
    add(&r, "y", UINT64_MAX, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_E_IO);
    close_rig(&r);
}

/* A folder that is to be made will lie where its own folder does. */
static void folders_that_are_missing_count_too(void **state)
{
    rig r;
    (void)state;
    open_rig(&r);
    add(&r, "b/new//deep/%05d.png", 700, FILI_DISK_LONG);
    needs(&r, 1, 700);
    add(&r, "b/new/", 700, FILI_DISK_NAMELESS);
    needs(&r, 1, 700);
    close_rig(&r);
}

static void more_disks_than_are_counted_are_left_alone(void **state)
{
    rig r;
    (void)state;
    open_rig(&r);
    r.disks.n = FILI_DISKS;
    for (int i = 0; i < FILI_DISKS; i++)
        r.disks.disk[i] = (fili_disk){.dev = (uint64_t)(100 + i), .known = true};
    add(&r, "x", 2000, FILI_DISK_LONG);
    assert_int_equal(take(&r), FIL_OK);
    close_rig(&r);
}

/* ---- runs ----------------------------------------------------------------------------------- */

enum { W = 272, H = 128, FRAMES = 5, STEPS = 3, SLACK = 16384 /* headers, recipes */ };

typedef struct watch {
    uint64_t most; /* bytes of files in `dir` at one time */
} watch;

static uint64_t bytes_in(const char *folder)
{
    uint64_t       sum = 0;
    DIR           *d   = opendir(folder);
    struct dirent *e;
    if (d == NULL) return 0;
    while ((e = readdir(d)) != NULL) {
        char        path[600];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (lstat(path, &st) != 0) continue;
        sum += S_ISDIR(st.st_mode) ? bytes_in(path) : (uint64_t)st.st_size;
    }
    closedir(d);
    return sum;
}

static void look(watch *w)
{
    const uint64_t now = bytes_in(dir.path);
    if (now > w->most) w->most = now;
}

static int64_t watched_pwrite(void *self, int fd, const void *src, size_t bytes, uint64_t offset)
{
    const int64_t n = fili_os_posix.pwrite(NULL, fd, src, bytes, offset);
    look(self);
    return n;
}

static int watched_ftruncate(void *self, int fd, uint64_t size)
{
    const int r = fili_os_posix.ftruncate(NULL, fd, size);
    look(self);
    return r;
}

/* Makes the run; what is there most, and in the end, is what the plan says and little more. */
static void keeps_its_plan(const char *what, void (*choose)(fil_generate_options *o))
{
    watch                w = {.most = 0};
    fili_os              os;
    fil_options          opt;
    fil_ctx             *ctx;
    fil_plan             plan;
    fil_generate_options o;
    os           = fili_os_posix;
    os.self      = &w;
    os.pwrite    = watched_pwrite;
    os.ftruncate = watched_ftruncate;
    fil_options_init(&opt);
    opt.n_threads = 1;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, &opt), FIL_OK);
    fil_model *model = demo_open(ctx, NULL);
    fil_generate_options_init(&o);
    o.prompt   = "A red fox.";
    o.negative = "";
    o.width    = W;
    o.height   = H;
    o.frames   = FRAMES;
    o.steps    = STEPS;
    choose(&o);
    if (fil_generate_check(model, &o, &plan) != FIL_OK || fil_generate(model, &o, NULL) != FIL_OK)
        fail_msg("%s: %s", what, fil_ctx_error(ctx)->message);
    const uint64_t left = bytes_in(dir.path);
    print_message("%s: at most %llu bytes, planned %llu; %llu stay, planned %llu\n", what,
                  (unsigned long long)w.most, (unsigned long long)plan.disk_bytes,
                  (unsigned long long)left, (unsigned long long)plan.stays_bytes);
    assert_true(plan.disk_bytes > 0);
    assert_true(w.most >= plan.disk_bytes && w.most <= plan.disk_bytes + SLACK);
    assert_true(left >= plan.stays_bytes && left <= plan.stays_bytes + SLACK);
    fil_model_close(&model);
    fil_ctx_close(&ctx);
}

static char place[6][300];

static const char *in_dir(int i, const char *name)
{
    snprintf(place[i], sizeof place[i], "%s/%s", dir.path, name);
    return place[i];
}

static void latents_alone(fil_generate_options *o)
{
    o->save_latents     = in_dir(0, "l");
    o->save_noise       = in_dir(1, "n");
    o->checkpoint       = in_dir(2, "s");
    o->checkpoint_steps = 1;
}

static void all_of_them(fil_generate_options *o)
{
    latents_alone(o);
    o->save_frames = in_dir(3, "f");
    o->video       = in_dir(4, "v.y4m");
    o->save_recipe = in_dir(5, "v.json");
}

static void tiles(fil_generate_options *o)
{
    o->save_frames      = in_dir(0, "f");
    o->checkpoint       = in_dir(1, "s");
    o->checkpoint_steps = STEPS; /* behind the last one alone */
    o->vae_tiles        = 1;
}

static void captures(fil_generate_options *o)
{
    o->save_latents = in_dir(0, "l");
    o->capture      = "all:1-2:0-1";
    o->capture_to   = in_dir(1, "c");
}

static void a_run_writes_what_its_plan_says(void **state)
{
    static const struct {
        const char *what;
        void (*choose)(fil_generate_options *o);
    } runs[] = {
        {"latents", latents_alone}, {"all", all_of_them}, {"tiles", tiles}, {"captures", captures}};
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        keeps_its_plan(runs[i].what, runs[i].choose);
        scratch_remove(&dir);
        scratch_make(&dir);
    }
}

/* ---- frames that are kept ------------------------------------------------------------------- */

static int told; /* that frames are not kept */

static void on_log(void *user, fil_log_level level, const char *text)
{
    (void)user;
    told += level == FIL_LOG_WARNING &&
            strstr(text, "decoded frames are not kept: too little room on the disk of '") != NULL;
}

/* They are of use to a run that is stopped; the room of the outputs is not theirs. */
static void frames_are_kept_where_there_is_room_for_them_too(void **state)
{
    rig                  r;
    fil_options          opt;
    fil_plan             plan;
    fil_generate_options o;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    fil_ctx_close(&r.ctx);
    fil_options_init(&opt);
    opt.log = on_log;
    assert_int_equal(fili_ctx_open_on(&r.os, &r.ctx, &opt), FIL_OK);
    fil_model *model = demo_open(r.ctx, NULL);
    fil_generate_options_init(&o);
    o.prompt      = "A red fox.";
    o.width       = 64;
    o.height      = 64;
    o.frames      = 17;
    o.steps       = 1;
    o.save_frames = in_dir(0, "f");
    o.checkpoint  = in_dir(1, "s");
    o.replace     = 1;
    r.w.room[0]   = -1;
    assert_int_equal(fil_generate_check(model, &o, &plan), FIL_OK);
    for (int fits = 0; fits < 2; fits++) {
        told        = 0;
        r.w.room[0] = (int64_t)(plan.disk_bytes - (fits ? 0 : plan.kept_bytes));
        assert_int_equal(fil_generate(model, &o, NULL), FIL_OK);
        assert_int_equal(told, !fits);
    }
    fil_model_close(&model);
    close_rig(&r);
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* Two videos, of which each alone would have room. */
static void a_list_of_videos_is_asked_for_together(void **state)
{
    rig                         r;
    fil_plan                    plan;
    fil_generate_options        o[2];
    const fil_generate_options *both[2] = {&o[0], &o[1]};
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    r.w.room[0]      = -1;
    fil_model *model = demo_open(r.ctx, NULL);
    for (int i = 0; i < 2; i++) {
        fil_generate_options_init(&o[i]);
        o[i].prompt      = "A red fox.";
        o[i].width       = 64;
        o[i].height      = 64;
        o[i].frames      = 5;
        o[i].steps       = 1;
        o[i].save_frames = in_dir(i, i == 0 ? "f" : "g");
    }
    assert_int_equal(fil_generate_check(model, &o[0], &plan), FIL_OK);
    assert_true(plan.stays_bytes > 0 && plan.disk_bytes > plan.stays_bytes);
    const uint64_t needed = plan.stays_bytes + plan.disk_bytes;
    r.w.room[0]           = (int64_t)needed - 1;
    assert_int_equal(fil_generate_check(model, &o[0], &plan), FIL_OK);
    assert_int_equal(fil_generate_check(model, &o[1], &plan), FIL_OK);
    assert_int_equal(fil_generate_many(model, both, 2, NULL, NULL), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(r.ctx)->message, "too little room"));
    assert_int_equal(fil_ctx_error(r.ctx)->n_frames, 1);
    assert_string_equal(fil_ctx_error(r.ctx)->frame[0], "video 2 of 2");
    assert_false(fili_is_there(r.ctx, o[0].save_frames));
    r.w.room[0] = (int64_t)needed;
    assert_int_equal(fil_generate_many(model, both, 2, NULL, NULL), FIL_OK);
    fil_model_close(&model);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_of_one_disk_are_added_up),
        TEST(one_file_is_told_as_one),
        TEST(a_file_stands_beside_the_one_that_it_replaces),
        TEST(runs_come_one_after_the_other),
        TEST(a_plan_is_of_files_that_are_not_there),
        TEST(only_what_is_sure_is_refused),
        TEST(folders_that_are_missing_count_too),
        TEST(more_disks_than_are_counted_are_left_alone),
        TEST(a_run_writes_what_its_plan_says),
        TEST(frames_are_kept_where_there_is_room_for_them_too),
        TEST(a_list_of_videos_is_asked_for_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
