/* tests/unit/test_folder.c: io/model_folder.c and engine/folder_api.c: which files a model folder
 * has, in the layouts that models are published in, and in folders that are not as they should be.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/ctx.h"
#include "filigree/file.h"
#include "io/model_folder.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

typedef struct bench {
    scratch  dir;
    fil_ctx *ctx;
    int      warnings;
    char     last[FIL_ERROR_MESSAGE]; /* warning */
} bench;

static void on_log(void *user, fil_log_level level, const char *text)
{
    bench *b = user;
    if (level != FIL_LOG_WARNING) return;
    b->warnings++;
    snprintf(b->last, sizeof b->last, "%s", text);
}

static int set_up(void **state)
{
    static bench b;
    fil_options  opt;
    memset(&b, 0, sizeof b);
    scratch_make(&b.dir);
    fil_options_init(&opt);
    opt.log  = on_log;
    opt.user = &b;
    assert_int_equal(fil_ctx_open(&b.ctx, &opt), FIL_OK);
    *state = &b;
    return 0;
}

static int tear_down(void **state)
{
    bench *b = *state;
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
    scratch_remove(&b->dir);
    return 0;
}

/* ---- making folders ------------------------------------------------------------------------- */

static void touch(const bench *b, const char *name)
{
    scratch_write(&b->dir, name, "x", 1);
}

static void text(const bench *b, const char *name, const char *content)
{
    scratch_write(&b->dir, name, content, strlen(content));
}

static void folder(const bench *b, const char *name)
{
    assert_int_equal(mkdir(scratch_path(&b->dir, name), 0777), 0);
}

static void link_to(const bench *b, const char *target, const char *name)
{
    assert_int_equal(symlink(target, scratch_path(&b->dir, name)), 0);
}

static const char two_shards[] = "{\"metadata\":{\"total_size\":1},\"weight_map\":{"
                                 "\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\","
                                 "\"c\":\"m-1.safetensors\"}}";

/* ---- asking --------------------------------------------------------------------------------- */

/* Layout and files must be those of `expected`: "layout file file ...". Closes *f. */
static void expect_held(fil_folder **f, const char *expected)
{
    char   found[2048];
    size_t n = (size_t)snprintf(found, sizeof found, "%s", fil_folder_layout(*f));
    for (size_t i = 0; i < fil_folder_files(*f); i++)
        n += (size_t)snprintf(found + n, sizeof found - n, " %s", fil_folder_file(*f, i));
    assert_string_equal(found, expected);
    assert_null(fil_folder_file(*f, fil_folder_files(*f)));
    fil_folder_close(f);
    assert_null(*f);
}

static void expect_listing(fil_ctx *ctx, const char *path, uint32_t flags, const char *expected)
{
    fil_folder *f;
    if (fil_folder_open(ctx, path, flags, &f) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    expect_held(&f, expected);
}

static void expect(const bench *b, uint32_t flags, const char *expected)
{
    expect_listing(b->ctx, b->dir.path, flags, expected);
}

static void expect_failure(const bench *b, uint32_t flags, fil_status status, const char *message)
{
    fil_folder      *f     = (fil_folder *)(uintptr_t)b;
    const fil_status found = fil_folder_open(b->ctx, b->dir.path, flags, &f);
    const char      *said  = fil_ctx_error(b->ctx)->message;
    if (found != status || strstr(said, message) == NULL)
        fail_msg("status %d, message '%s'; expected %d, '%s'", (int)found, said, (int)status,
                 message);
    assert_null(f);
}

/* ---- layouts -------------------------------------------------------------------------------- */

static void original_layout_is_recognised(void **state)
{
    const bench *b = *state;
    text(b, "config.json", "{}");
    text(b, "m.safetensors.index.json", two_shards);
    touch(b, "m-1.safetensors");
    touch(b, "m-2.safetensors");
    touch(b, "Wan2.1_VAE.pth");
    touch(b, "README.md");
    expect(b, 0, "original Wan2.1_VAE.pth m.safetensors.index.json");
}

static void diffusers_layout_is_recognised(void **state)
{
    const bench *b = *state;
    text(b, "model_index.json", "{}");
    folder(b, "vae");
    text(b, "vae/config.json", "{}");
    touch(b, "vae/diffusion_pytorch_model.safetensors");
    folder(b, "transformer");
    text(b, "transformer/m.safetensors.index.json", two_shards);
    touch(b, "transformer/m-1.safetensors");
    touch(b, "transformer/m-2.safetensors");
    folder(b, "scheduler");
    text(b, "scheduler/scheduler_config.json", "{}");
    expect(
        b, 0,
        "diffusers transformer/m.safetensors.index.json vae/diffusion_pytorch_model.safetensors");
}

static void folder_of_single_files_is_recognised(void **state)
{
    const bench *b = *state;
    folder(b, "diffusion_models");
    touch(b, "diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors");
    folder(b, "text_encoders");
    touch(b, "text_encoders/umt5_xxl_fp16.safetensors");
    folder(b, "vae");
    touch(b, "vae/wan_2.1_vae.safetensors");
    touch(b, "vae/notes.gguf.txt");
    folder(b, "unet");
    touch(b, "unet/wan2.1-t2v-14b-Q4_K_M.gguf");
    expect(b, 0,
           "files diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors "
           "text_encoders/umt5_xxl_fp16.safetensors unet/wan2.1-t2v-14b-Q4_K_M.gguf "
           "vae/wan_2.1_vae.safetensors");
}

static void config_without_tensors_beside_it_is_not_the_original_layout(void **state)
{
    const bench *b = *state;
    text(b, "config.json", "{}");
    folder(b, "vae");
    touch(b, "vae/x.safetensors");
    expect(b, 0, "files vae/x.safetensors");
}

/* ---- what is listed ------------------------------------------------------------------------- */

static void files_are_sorted_by_path(void **state)
{
    const bench *b = *state;
    folder(b, "b");
    touch(b, "c.safetensors");
    touch(b, "b/z.safetensors");
    touch(b, "b/a.pth");
    touch(b, "B.safetensors");
    touch(b, "b.safetensors");
    expect(b, 0, "files B.safetensors b.safetensors b/a.pth b/z.safetensors c.safetensors");
}

static void hidden_entries_and_deeper_folders_are_ignored(void **state)
{
    const bench *b = *state;
    touch(b, "a.safetensors");
    touch(b, ".b.safetensors");
    folder(b, ".cache");
    touch(b, ".cache/c.safetensors");
    folder(b, "d");
    folder(b, "d/e");
    touch(b, "d/e/f.safetensors");
    touch(b, "d/g.safetensors");
    expect(b, 0, "files a.safetensors d/g.safetensors");
}

static void only_the_endings_of_tensor_files_count(void **state)
{
    const bench *b = *state;
    touch(b, "a.safetensors");
    touch(b, ".safetensors");
    touch(b, "b.safetensors.bak");
    touch(b, "c.index.json");
    touch(b, "d.SAFETENSORS");
    touch(b, "pth");
    folder(b, "e.safetensors");
    assert_int_equal(mkfifo(scratch_path(&b->dir, "f.safetensors"), 0666), 0);
    expect(b, 0, "files a.safetensors");
}

static void shards_of_an_index_are_listed_by_the_index_alone(void **state)
{
    const bench *b = *state;
    text(b, "m.safetensors.index.json", two_shards);
    touch(b, "m-1.safetensors");
    touch(b, "m-2.safetensors");
    touch(b, "m-3.safetensors");
    touch(b, "m.safetensors");
    folder(b, "other"); /* the same name elsewhere is another file */
    touch(b, "other/m-1.safetensors");
    expect(b, 0,
           "files m-3.safetensors m.safetensors m.safetensors.index.json other/m-1.safetensors");
}

static void two_indexes_in_one_folder_claim_their_own_shards(void **state)
{
    const bench *b = *state;
    text(b, "m.safetensors.index.json", two_shards);
    text(b, "n.safetensors.index.json",
         "{\"weight_map\":{\"c\":\"n-3.safetensors\",\"b\":\"n-2.safetensors\","
         "\"a\":\"n-1.safetensors\"}}");
    touch(b, "m-1.safetensors");
    touch(b, "m-2.safetensors");
    touch(b, "n-1.safetensors");
    touch(b, "n-2.safetensors");
    touch(b, "n-3.safetensors");
    expect(b, 0, "files m.safetensors.index.json n.safetensors.index.json");
}

static void malformed_index_is_listed_and_claims_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"weight_map\":[]}",
        "{\"weight_map\":{\"a\":1}}",
        "{\"weight_map\":{\"a\":\"x\",\"a\":\"y\"}}",
    };
    const bench *b = *state;
    folder(b, "sub");
    touch(b, "a.safetensors");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        text(b, "sub/m.safetensors.index.json", bad[i]);
        fil_folder *f = NULL;
        assert_int_equal(fil_folder_open(b->ctx, b->dir.path, 0, &f), FIL_OK);
        assert_int_equal(fil_folder_files(f), 2);
        assert_string_equal(fil_folder_file(f, 1), "sub/m.safetensors.index.json");
        fil_folder_close(&f);
    }
}

static void names_with_control_characters_are_skipped_with_a_warning(void **state)
{
    const bench *b = *state;
    touch(b, "a.safetensors");
    touch(b, "b\x1b[31m.safetensors");
    expect(b, 0, "files a.safetensors");
    assert_int_equal(b->warnings, 1);
    assert_non_null(strstr(b->last, "'b?[31m.safetensors'"));
}

/* ---- links ---------------------------------------------------------------------------------- */

static void links_are_skipped_with_a_warning_when_something_else_is_there(void **state)
{
    const bench *b = *state;
    touch(b, "a.safetensors");
    link_to(b, "a.safetensors", "b.safetensors");
    expect(b, 0, "files a.safetensors");
    assert_int_equal(b->warnings, 1);
    assert_non_null(strstr(b->last, "'b.safetensors'"));
    folder(b, "c");
    touch(b, "c/d.safetensors");
    link_to(b, "c", "e");
    expect(b, 0, "files a.safetensors c/d.safetensors");
    assert_int_equal(b->warnings, 3);
    assert_non_null(strstr(b->last, "'e'"));
}

static void folder_of_links_alone_is_refused_unless_trusted(void **state)
{
    const bench *b = *state;
    folder(b, ".blobs");
    touch(b, ".blobs/0123");
    link_to(b, ".blobs/0123", "a.safetensors");
    link_to(b, ".blobs", "sub");
    expect_failure(b, 0, FIL_E_MISMATCH, "2 symbolic links (the first: 'a.safetensors')");
    expect(b, FIL_OPEN_TRUSTED, "files a.safetensors");
}

static void trusted_mode_follows_links_to_files_folders_and_indexes(void **state)
{
    const bench *b = *state;
    folder(b, ".store");
    text(b, ".store/index", two_shards);
    text(b, ".store/config", "{}");
    touch(b, ".store/m-1.safetensors");
    link_to(b, ".store/index", "m.safetensors.index.json");
    link_to(b, ".store/config", "config.json");
    link_to(b, ".store/m-1.safetensors", "m-1.safetensors");
    link_to(b, ".store", "linked");
    expect(b, FIL_OPEN_TRUSTED, "original linked/m-1.safetensors m.safetensors.index.json");
    assert_int_equal(b->warnings, 0);
}

static void links_that_lead_nowhere_matter_only_under_a_tensor_file_name(void **state)
{
    const bench *b = *state;
    touch(b, "a.safetensors");
    link_to(b, "nowhere", "b");
    link_to(b, "c", "c");
    expect(b, FIL_OPEN_TRUSTED, "files a.safetensors");
    assert_int_equal(b->warnings, 0);
    link_to(b, "nowhere", "d.safetensors");
    expect_failure(b, FIL_OPEN_TRUSTED, FIL_E_IO, "cannot open 'd.safetensors'");
}

/* ---- refusals and limits -------------------------------------------------------------------- */

static int opened_for_reading;

static int count_openat(void *self, int dir, const char *path, int flags)
{
    opened_for_reading += (flags & FILI_OPEN_PATH) == 0;
    return fili_os_posix.openat(self, dir, path, flags);
}

/* A writer that waits on a fifo must not be woken: what it writes then would be lost. */
static void nothing_is_opened_for_reading_to_learn_what_it_is(void **state)
{
    const bench *b = *state;
    touch(b, "a.safetensors");
    assert_int_equal(mkfifo(scratch_path(&b->dir, "fifo"), 0666), 0);
    assert_int_equal(mkfifo(scratch_path(&b->dir, "b.safetensors"), 0666), 0);
    fil_ctx *ctx;
    fili_os  os = fili_os_posix;
    os.openat   = count_openat;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    opened_for_reading = 0; /* the context reads the cgroup's files */
    expect_listing(ctx, b->dir.path, 0, "files a.safetensors");
    assert_int_equal(opened_for_reading, 1); /* the folder itself */
    fil_ctx_close(&ctx);
}

static void tensor_file_without_permission_is_listed_all_the_same(void **state)
{
    const bench *b = *state;
    touch(b, "a.safetensors");
    touch(b, "b.safetensors");
    assert_int_equal(chmod(scratch_path(&b->dir, "b.safetensors"), 0), 0);
    expect(b, 0, "files a.safetensors b.safetensors");
}

static int refuse_sub(void *self, int dir, const char *path, int flags)
{
    if (strcmp(path, "sub") == 0 && (flags & FILI_OPEN_DIRECTORY)) return -EACCES;
    return fili_os_posix.openat(self, dir, path, flags);
}

static void subfolder_without_permission_is_skipped(void **state)
{
    const bench *b = *state;
    fil_ctx     *ctx;
    fili_os      os = fili_os_posix;
    touch(b, "a.safetensors");
    folder(b, "sub");
    touch(b, "sub/b.safetensors");
    os.openat = refuse_sub;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    expect_listing(ctx, b->dir.path, 0, "files a.safetensors");
    fil_ctx_close(&ctx);
}

static void folder_without_tensor_files_does_not_fit(void **state)
{
    const bench *b = *state;
    text(b, "model_index.json", "{}");
    folder(b, "empty");
    expect_failure(b, 0, FIL_E_MISMATCH, "has no tensor file");
}

static void path_that_is_no_folder_is_an_io_error(void **state)
{
    const bench *b = *state;
    fil_folder  *f;
    touch(b, "a.safetensors");
    assert_int_equal(fil_folder_open(b->ctx, scratch_path(&b->dir, "a.safetensors"), 0, &f),
                     FIL_E_IO);
    assert_int_equal(fil_folder_open(b->ctx, scratch_path(&b->dir, "none"), 0, &f), FIL_E_IO);
    assert_int_equal(fil_folder_open(b->ctx, "", 0, &f), FIL_E_IO);
}

static void misuse_is_answered_with_e_arg(void **state)
{
    const bench *b = *state;
    fil_folder  *f;
    touch(b, "a.safetensors");
    assert_int_equal(fil_folder_open(NULL, b->dir.path, 0, &f), FIL_E_ARG);
    assert_string_equal(fil_ctx_error(NULL)->message, "fil_folder_open: ctx is NULL");
    assert_int_equal(fil_folder_open(b->ctx, NULL, 0, &f), FIL_E_ARG);
    assert_int_equal(fil_folder_open(b->ctx, b->dir.path, 0, NULL), FIL_E_ARG);
    assert_int_equal(fil_folder_open(b->ctx, b->dir.path, 2, &f), FIL_E_ARG);
    assert_null(f);
    fil_folder_close(&f);
    fil_folder_close(NULL);
    assert_int_equal(fil_folder_files(NULL), 0);
    assert_null(fil_folder_file(NULL, 0));
    assert_string_equal(fil_folder_layout(NULL), "");
}

static void number_of_tensor_files_is_limited_by_the_limit_on_shards(void **state)
{
    const bench *b = *state;
    fil_options  opt;
    fil_ctx     *ctx;
    fil_folder  *f;
    folder(b, "sub");
    touch(b, "a.safetensors");
    touch(b, "sub/b.safetensors");
    fil_options_init(&opt);
    opt.limits.shards = 2;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    expect_listing(ctx, b->dir.path, 0, "files a.safetensors sub/b.safetensors");
    touch(b, "c.pth");
    assert_int_equal(fil_folder_open(ctx, b->dir.path, 0, &f), FIL_E_LIMIT);
    fil_ctx_close(&ctx);
}

/* A folder with as many names as `n` says, without making them. */
typedef struct crowd {
    os_fault fault; /* first: the table's functions see this as their state */
    unsigned n;
} crowd;

static int list_crowd(void *self, int fd, int (*entry)(void *arg, const char *name), void *arg)
{
    const crowd *c = self;
    char         name[32];
    for (unsigned i = 1; i < c->n; i++) {
        snprintf(name, sizeof name, "entry%u", i);
        const int r = entry(arg, name);
        if (r != 0) return r;
    }
    return fili_os_posix.list(NULL, fd, entry, arg); /* one more: a.safetensors */
}

static fil_status open_crowd(const bench *b, unsigned n)
{
    crowd       c  = {.fault = {.at = -1}, .n = n};
    fili_os     os = os_fault_table(&c.fault);
    fil_ctx    *ctx;
    fil_folder *f;
    os.list = list_crowd;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    const fil_status status = fil_folder_open(ctx, b->dir.path, 0, &f);
    fil_folder_close(&f);
    assert_int_equal(c.fault.open, 0);
    fil_ctx_close(&ctx);
    return status;
}

static void number_of_entries_is_limited_to_65536(void **state)
{
    const bench *b = *state;
    touch(b, "a.safetensors");
    assert_int_equal(open_crowd(b, FILI_FOLDER_ENTRIES), FIL_OK);
    assert_int_equal(open_crowd(b, FILI_FOLDER_ENTRIES + 1), FIL_E_LIMIT);
}

static void entries_of_subfolders_count_against_the_same_limit(void **state)
{
    const bench *b = *state;
    folder(b, "sub"); /* both folders have n - 1 entries more than they show */
    touch(b, "sub/a.safetensors");
    assert_int_equal(open_crowd(b, FILI_FOLDER_ENTRIES / 2), FIL_OK);
    assert_int_equal(open_crowd(b, FILI_FOLDER_ENTRIES / 2 + 1), FIL_E_LIMIT);
}

static int list_twice(void *self, int fd, int (*entry)(void *arg, const char *name), void *arg)
{
    crowd    *c = self;
    const int r = fili_os_posix.list(NULL, fd, entry, arg);
    return c->n++ == 0 ? -EINTR : r;
}

static void listing_that_was_interrupted_begins_again(void **state)
{
    const bench *b  = *state;
    crowd        c  = {.fault = {.at = -1}};
    fili_os      os = os_fault_table(&c.fault);
    fil_ctx     *ctx;
    touch(b, "a.safetensors");
    touch(b, "b.safetensors");
    os.list = list_twice;
    assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
    expect_listing(ctx, b->dir.path, 0, "files a.safetensors b.safetensors");
    assert_int_equal(c.n, 2);
    fil_ctx_close(&ctx);
}

/* ---- faults --------------------------------------------------------------------------------- */

static void make_faulty_case(const bench *b)
{
    text(b, "config.json", "{}");
    text(b, "m.safetensors.index.json", two_shards);
    touch(b, "m-1.safetensors");
    folder(b, "sub");
    touch(b, "sub/x.pth");
}

#define FAULTY_CASE "original m.safetensors.index.json sub/x.pth"

static void every_failing_system_call_gives_a_status_or_the_whole_listing(void **state)
{
    static const os_call calls[]  = {OS_OPENAT, OS_CLOSE, OS_PREAD, OS_FSTAT, OS_LIST, OS_ANY};
    static const int     errors[] = {EIO, ENOMEM, EINTR, EAGAIN};
    const bench         *b        = *state;
    int                  total    = 0;
    make_faulty_case(b);
    for (size_t i = 0; i < 2 * 6 * 4; i++)
        for (int64_t at = 0;; at++) {
            os_fault      fault = {.at = -1};
            const fili_os os    = os_fault_table(&fault);
            fil_ctx      *ctx;
            fil_folder   *f;
            assert_int_equal(fili_ctx_open_on(&os, &ctx, NULL), FIL_OK);
            fault                   = (os_fault){.call    = calls[i % 6],
                                                 .at      = at,
                                                 .forever = (int)(i / 24),
                                                 .error   = errors[i / 6 % 4]};
            const fil_status status = fil_folder_open(ctx, b->dir.path, 0, &f);
            assert_true(status == FIL_OK || status == FIL_E_IO);
            if (status == FIL_OK) expect_held(&f, FAULTY_CASE);
            assert_null(f);
            assert_int_equal(fault.open, 0);
            assert_int_equal(fil_ctx_memory(ctx).used, 0);
            const int done = fault.failed == 0;
            fil_ctx_close(&ctx);
            total++;
            if (done) break;
        }
    print_message("%d faults\n", total);
    assert_true(total > 100);
}

static void every_failing_allocation_gives_e_nomem_and_leaves_no_memory(void **state)
{
    const bench *b = *state;
    make_faulty_case(b);
    for (int forever = 0; forever < 2; forever++)
        for (int64_t at = 0;; at++) {
            alloc_fault fault = {.at = -1};
            fil_options opt;
            fil_ctx    *ctx;
            fil_folder *f;
            fil_options_init(&opt);
            opt.host = alloc_fault_allocator(&fault);
            alloc_fault_json(&fault);
            assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
            fault.at                = fault.calls + at;
            fault.forever           = forever;
            const fil_status status = fil_folder_open(ctx, b->dir.path, 0, &f);
            assert_int_equal(status, fault.failed > 0 ? FIL_E_NOMEM : FIL_OK);
            fil_folder_close(&f);
            assert_int_equal(fil_ctx_memory(ctx).used, 0);
            fil_ctx_close(&ctx);
            alloc_fault_json(NULL);
            assert_int_equal(fault.live, 0);
            if (fault.failed > 0) continue;
            assert_true(at >= 5);
            break;
        }
}

/* ---- published layouts ---------------------------------------------------------------------- */

static void fixture_pipelines_are_listed(void **state)
{
    const bench *b        = *state;
    const char  *fixtures = getenv("FIL_FIXTURES");
    char         path[512];
    if (fixtures == NULL) {
        skip();
        return;
    }
    snprintf(path, sizeof path, "%s/pipeline", fixtures);
    expect_listing(b->ctx, path, 0,
                   "diffusers original/Wan2.1_VAE.pth "
                   "original/diffusion_pytorch_model.safetensors.index.json "
                   "original/models_t5_umt5-xxl-enc-bf16.pth "
                   "run/run_diffusers.safetensors run/run_diffusers_guidance1.safetensors "
                   "run/run_official.safetensors text_encoder/model.safetensors "
                   "transformer/diffusion_pytorch_model.safetensors "
                   "vae/diffusion_pytorch_model.safetensors");
    snprintf(path, sizeof path, "%s/pipeline/original", fixtures);
    expect_listing(b->ctx, path, 0,
                   "original Wan2.1_VAE.pth diffusion_pytorch_model.safetensors.index.json "
                   "models_t5_umt5-xxl-enc-bf16.pth");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(original_layout_is_recognised),
        TEST(diffusers_layout_is_recognised),
        TEST(folder_of_single_files_is_recognised),
        TEST(config_without_tensors_beside_it_is_not_the_original_layout),
        TEST(files_are_sorted_by_path),
        TEST(hidden_entries_and_deeper_folders_are_ignored),
        TEST(only_the_endings_of_tensor_files_count),
        TEST(shards_of_an_index_are_listed_by_the_index_alone),
        TEST(two_indexes_in_one_folder_claim_their_own_shards),
        TEST(malformed_index_is_listed_and_claims_nothing),
        TEST(names_with_control_characters_are_skipped_with_a_warning),
        TEST(links_are_skipped_with_a_warning_when_something_else_is_there),
        TEST(folder_of_links_alone_is_refused_unless_trusted),
        TEST(trusted_mode_follows_links_to_files_folders_and_indexes),
        TEST(links_that_lead_nowhere_matter_only_under_a_tensor_file_name),
        TEST(nothing_is_opened_for_reading_to_learn_what_it_is),
        TEST(tensor_file_without_permission_is_listed_all_the_same),
        TEST(subfolder_without_permission_is_skipped),
        TEST(folder_without_tensor_files_does_not_fit),
        TEST(path_that_is_no_folder_is_an_io_error),
        TEST(misuse_is_answered_with_e_arg),
        TEST(number_of_tensor_files_is_limited_by_the_limit_on_shards),
        TEST(number_of_entries_is_limited_to_65536),
        TEST(entries_of_subfolders_count_against_the_same_limit),
        TEST(listing_that_was_interrupted_begins_again),
        TEST(every_failing_system_call_gives_a_status_or_the_whole_listing),
        TEST(every_failing_allocation_gives_e_nomem_and_leaves_no_memory),
        TEST(fixture_pipelines_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
