/* tests/unit/test_text_cache.c: a run with the cache of text encodings (engine/text_cache.h) has
 * the bits of one without, whatever lies in its folder and whatever fails; the encoder is opened
 * only where it is needed; and the folder does not grow without end.
 */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/text_cache.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"

enum { W = 32, H = 32, FRAME = W * H * 3, NAME = 64 + 12 };

typedef struct rig {
    scratch              dir;
    fili_os              os;
    os_fault             fault;
    int                  encoder_opened, tokenizer_opened; /* for reading */
    int                  encoded;        /* progress of the text encoder was told */
    int                  warnings, cuts; /* told in the log */
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
    char                 t5[300], tokenizer[300], cache[300];
    uint8_t              frame[FRAME];
} rig;

static rig *watched;

static int watch_openat(void *self, int dir, const char *path, int flags)
{
    if (strstr(path, "t5.safetensors") != NULL && (flags & FILI_OPEN_PATH) == 0)
        watched->encoder_opened++;
    if (strstr(path, "spiece.model") != NULL && (flags & FILI_OPEN_PATH) == 0)
        watched->tokenizer_opened++;
    return os_fault_table(&watched->fault).openat(self, dir, path, flags);
}

static void on_progress(void *user, const fil_progress *p)
{
    rig *r = user;
    if (strcmp(p->phase, "encode") == 0) r->encoded = 1;
}

static void on_log(void *user, fil_log_level level, const char *text)
{
    rig *r = user;
    if (level == FIL_LOG_WARNING && strstr(text, "cache of text") != NULL) r->warnings++;
    if (level == FIL_LOG_WARNING && strstr(text, "prompt is cut") != NULL) r->cuts++;
}

static int on_frame(void *user, int32_t index, const uint8_t *rgb, int32_t width, int32_t height)
{
    rig *r = user;
    if (index != 0 || width != W || height != H) return 1;
    memcpy(r->frame, rgb, FRAME);
    return 0;
}

/* A copy of a file of the demo, so that it can be changed. */
static void copy(const char *name, const char *place)
{
    char   from[600];
    char   piece[4096];
    size_t bytes;
    snprintf(from, sizeof from, "%s/%s", getenv("FIL_DEMO"), name);
    FILE *in = fopen(from, "rb");
    FILE *to = fopen(place, "wb");
    assert_non_null(in);
    assert_non_null(to);
    while ((bytes = fread(piece, 1, sizeof piece, in)) > 0)
        assert_int_equal(fwrite(piece, 1, bytes, to), bytes);
    assert_int_equal(fclose(to), 0);
    fclose(in);
}

static void open_rig(rig *r)
{
    fil_options       opt;
    fil_model_options m;
    memset(r, 0, sizeof *r);
    watched = r;
    scratch_make(&r->dir);
    snprintf(r->t5, sizeof r->t5, "%s/t5.safetensors", r->dir.path);
    snprintf(r->cache, sizeof r->cache, "%s/a/b/cache", r->dir.path);
    snprintf(r->tokenizer, sizeof r->tokenizer, "%s/spiece.model", r->dir.path);
    copy("models_t5_umt5-xxl-enc-bf16.safetensors", r->t5);
    copy("google/umt5-xxl/spiece.model", r->tokenizer);
    r->fault.at  = -1;
    r->os        = os_fault_table(&r->fault);
    r->os.openat = watch_openat;
    fil_options_init(&opt);
    opt.progress  = on_progress;
    opt.log       = on_log;
    opt.user      = r;
    opt.n_threads = 1;
    assert_int_equal(fili_ctx_open_on(&r->os, &r->ctx, &opt), FIL_OK);
    fil_model_options_init(&m);
    m.dir       = getenv("FIL_DEMO");
    m.t5        = r->t5;
    m.tokenizer = r->tokenizer;
    if (fil_model_open(r->ctx, &m, &r->model) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
    fil_generate_options_init(&r->o);
    r->o.prompt     = "A red fox.";
    r->o.negative   = "fog";
    r->o.width      = W;
    r->o.height     = H;
    r->o.frames     = 1;
    r->o.steps      = 1;
    r->o.frame      = on_frame;
    r->o.frame_user = r;
    r->o.text_cache = r->cache;
}

static void close_rig(rig *r)
{
    fil_model_close(&r->model);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    assert_int_equal(r->fault.open, 0);
    fil_ctx_close(&r->ctx);
    scratch_remove(&r->dir);
}

/* One run; counts begin anew. */
static void generate(rig *r)
{
    r->encoder_opened = r->tokenizer_opened = 0;
    r->encoded = r->warnings = r->cuts = 0;
    memset(r->frame, 0, FRAME);
    if (fil_generate(r->model, &r->o, NULL) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
    assert_int_equal(fil_ctx_error(r->ctx)->status, FIL_OK);
}

static void expect_frame(const rig *r, const uint8_t *want, const char *what)
{
    if (memcmp(r->frame, want, FRAME) != 0) fail_msg("%s: other bits", what);
}

/* What a run gives that knows of no cache. */
static void plain_frame(rig *r, uint8_t *want)
{
    r->o.text_cache = NULL;
    generate(r);
    assert_int_equal(r->encoded, 1);
    memcpy(want, r->frame, FRAME);
    r->o.text_cache = r->cache;
}

/* Name of the i-th file of the cache in the system's order; NULL behind the last. */
static const char *file_at(const rig *r, int i)
{
    static char          path[700];
    const struct dirent *e;
    DIR                 *d = opendir(r->cache);
    if (d == NULL) return NULL;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.' || i-- > 0) continue;
        snprintf(path, sizeof path, "%s/%s", r->cache, e->d_name);
        break;
    }
    closedir(d);
    return e != NULL ? path : NULL;
}

static int files(const rig *r)
{
    int n = 0;
    while (file_at(r, n) != NULL)
        n++;
    return n;
}

static int32_t planned(rig *r, uint64_t *bytes)
{
    fil_plan p;
    assert_int_equal(fil_generate_check(r->model, &r->o, &p), FIL_OK);
    if (bytes != NULL) *bytes = p.text_bytes;
    return p.text_cached;
}

/* ---- hits and misses ------------------------------------------------------------------------ */

static void a_prompt_that_was_encoded_gives_the_same_bits_without_the_encoder(void **state)
{
    uint8_t  want[FRAME];
    uint64_t before;
    uint64_t after;
    rig      r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    plain_frame(&r, want);
    assert_int_equal(planned(&r, &before), 0);
    assert_int_equal(files(&r), 0); /* a plan writes nothing */
    generate(&r);
    expect_frame(&r, want, "the first run");
    assert_true(r.encoded && r.encoder_opened > 0 && r.tokenizer_opened > 0);
    assert_int_equal(files(&r), 2);
    assert_int_equal(planned(&r, &after), 2);
    assert_true(after < before);
    generate(&r);
    expect_frame(&r, want, "the second run");
    assert_int_equal(r.encoded, 0);
    assert_int_equal(r.encoder_opened, 0);
    assert_int_equal(r.tokenizer_opened, 0);
    assert_int_equal(r.warnings, 0);
    close_rig(&r);
}

static void another_prompt_or_precision_is_encoded(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    generate(&r);
    r.o.prompt = "A red fox!";
    assert_int_equal(planned(&r, NULL), 1); /* the negative one is known */
    generate(&r);
    assert_int_equal(r.encoded, 1);
    assert_int_equal(files(&r), 3);
    r.o.precision = FIL_F32;
    assert_int_equal(planned(&r, NULL), 0);
    r.o.precision = FIL_BF16;
    assert_int_equal(planned(&r, NULL), 2);
    r.o.guidance = 1.0; /* no negative prompt */
    assert_int_equal(planned(&r, NULL), 1);
    r.o.guidance = 5.0;
    close_rig(&r);
}

/* One byte, in place: same name, same size, and the time of writing put back. */
static void change(const char *file, long at, int c)
{
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    FILE *f = fopen(file, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_not_equal(fputc(c, f), EOF);
    assert_int_equal(fclose(f), 0);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
}

static void a_changed_encoder_or_tokenizer_is_another_one(void **state)
{
    uint8_t     want[FRAME];
    struct stat before;
    struct stat after;
    rig         r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    generate(&r);
    assert_int_equal(stat(r.t5, &before), 0);
    change(r.t5, -1000, 0x3f);
    assert_int_equal(stat(r.t5, &after), 0);
    assert_true(after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
                after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
    assert_int_equal(planned(&r, NULL), 0);
    plain_frame(&r, want);
    generate(&r);
    expect_frame(&r, want, "the changed encoder");
    assert_int_equal(planned(&r, NULL), 2);
    change(r.tokenizer, 0, 0x0a); /* the byte that is there */
    assert_int_equal(planned(&r, NULL), 0);
    generate(&r);
    assert_int_equal(planned(&r, NULL), 2);
    /* A file that appears beside the tokenizer, where it is read. */
    FILE *f = fopen(scratch_path(&r.dir, "tokenizer_config.json"), "wb");
    assert_non_null(f);
    assert_true(fputs("{}", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(planned(&r, NULL), 0);
    close_rig(&r);
}

static void a_prompt_that_was_cut_is_told_of_again(void **state)
{
    static char text[8192];
    rig         r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    while (strlen(text) + 8 < sizeof text)
        strcat(text, "fox ");
    r.o.prompt = text;
    generate(&r);
    assert_int_equal(r.cuts, 1);
    generate(&r);
    assert_int_equal(r.encoded, 0);
    assert_int_equal(r.cuts, 1);
    close_rig(&r);
}

/* ---- what lies in the folder ---------------------------------------------------------------- */

static void spoil_and_run(rig *r, const uint8_t *want, const char *what)
{
    generate(r);
    expect_frame(r, want, what);
    if (r->warnings != 1) fail_msg("%s: %d warnings", what, r->warnings);
    generate(r); /* it has been written anew */
    expect_frame(r, want, what);
    if (r->encoded || r->warnings != 0) fail_msg("%s: not written anew", what);
}

static void a_damaged_or_foreign_file_is_written_anew(void **state)
{
    uint8_t want[FRAME];
    char    path[700];
    char    other[700];
    rig     r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    plain_frame(&r, want);
    generate(&r);
    snprintf(path, sizeof path, "%s", file_at(&r, 0));
    snprintf(other, sizeof other, "%s", file_at(&r, 1));
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    for (long at = 8; at < (long)st.st_size; at += 61) { /* behind the header's length */
        FILE *f = fopen(path, "r+b");
        assert_non_null(f);
        assert_int_equal(fseek(f, at, SEEK_SET), 0);
        const int c = fgetc(f);
        assert_int_equal(fseek(f, at, SEEK_SET), 0);
        assert_int_not_equal(fputc(c ^ 0x04, f), EOF);
        assert_int_equal(fclose(f), 0);
        generate(&r);
        expect_frame(&r, want, "a flipped bit");
        generate(&r);
        expect_frame(&r, want, "after a flipped bit");
        assert_int_equal(r.encoded, 0);
    }
    for (off_t n = 0; n < st.st_size; n += 97) {
        assert_int_equal(truncate(path, n), 0);
        spoil_and_run(&r, want, "a cut file");
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs("something else", f) >= 0);
    assert_int_equal(fclose(f), 0);
    spoil_and_run(&r, want, "a foreign file");
    /* The file of another key under this name. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(link(other, path), 0);
    spoil_and_run(&r, want, "another prompt's file");
    close_rig(&r);
}

static void a_folder_in_the_place_of_a_file_is_left_alone(void **state)
{
    uint8_t want[FRAME];
    char    path[700];
    rig     r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    plain_frame(&r, want);
    generate(&r);
    snprintf(path, sizeof path, "%s", file_at(&r, 0));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    generate(&r);
    expect_frame(&r, want, "a folder in its place");
    assert_int_equal(r.warnings, 2); /* not read, not written */
    assert_int_equal(rmdir(path), 0);
    close_rig(&r);
}

static void a_folder_that_cannot_be_is_no_failure(void **state)
{
    uint8_t want[FRAME];
    rig     r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    plain_frame(&r, want);
    snprintf(r.cache, sizeof r.cache, "%s/t5.safetensors/cache", r.dir.path); /* under a file */
    generate(&r);
    expect_frame(&r, want, "a folder under a file");
    assert_int_equal(r.warnings, 1);
    memset(r.cache, 'x', sizeof r.cache - 1);
    r.cache[sizeof r.cache - 1] = '\0'; /* a name longer than file systems take */
    generate(&r);
    expect_frame(&r, want, "a long name");
    assert_int_equal(r.warnings, 1);
    close_rig(&r);
}

/* ---- failures ------------------------------------------------------------------------------- */

/* The run writes nothing but the cache: every call that writes fails once. */
static void any_failing_write_is_no_failure_of_the_run(void **state)
{
    static const os_call calls[] = {OS_MKDIRAT, OS_RANDOM,   OS_FTRUNCATE, OS_PWRITE,
                                    OS_FSYNC,   OS_RENAMEAT, OS_LIST};
    uint8_t              want[FRAME];
    int                  told = 0;
    rig                  r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    plain_frame(&r, want);
    for (size_t c = 0; c < sizeof calls / sizeof calls[0]; c++)
        for (int64_t at = 0;; at++) {
            while (files(&r) > 0)
                assert_int_equal(unlink(file_at(&r, 0)), 0);
            (void)rmdir(r.cache); /* to be made again */
            r.fault = (os_fault){.call = calls[c], .at = at, .error = ENOSPC, .open = r.fault.open};
            generate(&r);
            expect_frame(&r, want, os_call_name(calls[c]));
            const int64_t failed = r.fault.failed;
            told += r.warnings;
            if (failed == 0) assert_int_equal(r.warnings, 0);
            r.fault.at = -1;
            generate(&r);
            expect_frame(&r, want, "the run after it");
            assert_int_equal(files(&r), 2);
            if (failed == 0) break;
        }
    print_message("%d failures were told\n", told);
    assert_true(told >= 10);
    close_rig(&r);
}

/* ---- size ----------------------------------------------------------------------------------- */

/* A file of that many MiB that takes no room, so many seconds old. */
static void old_file(const rig *r, const char *name, long mebibytes, time_t age)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", r->cache, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(truncate(path, (off_t)mebibytes << 20), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    const struct timespec past     = {.tv_sec = st.st_mtim.tv_sec - age};
    const struct timespec times[2] = {past, past};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int is_there(const rig *r, const char *name)
{
    char        path[700];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", r->cache, name);
    return stat(path, &st) == 0;
}

static void the_oldest_files_are_removed_and_strangers_stay(void **state)
{
    char name[3][NAME + 1];
    rig  r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r);
    generate(&r);
    for (int i = 0; i < 3; i++) {
        memset(name[i], 'a' + i, 64);
        memcpy(name[i] + 64, ".safetensors", 13);
        old_file(&r, name[i], 100, 1000 - i * 100); /* a is the oldest */
    }
    old_file(&r, "mine.safetensors", 300, 5000);
    r.o.prompt = "Another one.";
    generate(&r);
    assert_false(is_there(&r, name[0]));
    assert_true(is_there(&r, name[1]));
    assert_true(is_there(&r, name[2]));
    assert_true(is_there(&r, "mine.safetensors"));
    assert_int_equal(planned(&r, NULL), 2);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_that_was_encoded_gives_the_same_bits_without_the_encoder),
        cmocka_unit_test(another_prompt_or_precision_is_encoded),
        cmocka_unit_test(a_changed_encoder_or_tokenizer_is_another_one),
        cmocka_unit_test(a_prompt_that_was_cut_is_told_of_again),
        cmocka_unit_test(a_damaged_or_foreign_file_is_written_anew),
        cmocka_unit_test(a_folder_in_the_place_of_a_file_is_left_alone),
        cmocka_unit_test(a_folder_that_cannot_be_is_no_failure),
        cmocka_unit_test(any_failing_write_is_no_failure_of_the_run),
        cmocka_unit_test(the_oldest_files_are_removed_and_strangers_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
