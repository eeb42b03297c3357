/* tests/unit/test_run_faults.c: any allocation or system call of a whole run fails, of fil_generate
 * with a checkpoint, a preview and a video, of fil_decode with frames that are kept, of fil_encode.
 * Each output is then what it was before, or whole and new; nothing leaks; the same call works
 * afterwards.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ctx.h"
#include "filigree/video.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/sanitized.h"
#include "support/scratch_dir.h"

/* ---- runs ----------------------------------------------------------------------------------- */

typedef struct verb {
    const char *name;
    fil_status (*run)(fil_model *model);
    const char *output[3]; /* names in the scratch folder; NULL behind the last */
} verb;

static fil_status generate(fil_model *model)
{
    fil_generate_options o;
    fil_generate_options_init(&o);
    o.prompt = o.negative = "a fox";
    o.width = o.height = 32;
    o.frames           = 5;
    o.steps            = 3;
    o.save_latents     = scratch_path(&dir, "g.safetensors");
    o.video            = scratch_path(&dir, "g.y4m");
    o.checkpoint       = scratch_path(&dir, "g.resume.safetensors");
    o.preview          = scratch_path(&dir, "g.png");
    o.text_cache       = scratch_path(&dir, "cache");
    o.preview_steps    = 1;
    o.checkpoint_steps = 1;
    o.replace          = 1;
    return fil_generate(model, &o, NULL);
}

static fil_status decode(fil_model *model)
{
    fil_decode_options o;
    fil_decode_options_init(&o);
    o.latents     = scratch_path(&dir, "in.safetensors");
    o.video       = scratch_path(&dir, "d.y4m");
    o.save_frames = scratch_path(&dir, "d.safetensors");
    o.kept        = scratch_path(&dir, "d.kept");
    o.replace     = 1;
    return fil_decode(model, &o, NULL);
}

static fil_status encode(fil_model *model)
{
    fil_encode_options o;
    fil_encode_options_init(&o);
    o.input   = scratch_path(&dir, "in_frames.safetensors");
    o.latents = scratch_path(&dir, "e.safetensors");
    o.replace = 1;
    return fil_encode(model, &o, NULL);
}

static const verb verbs[] = {
    {"generate", generate, {"g.safetensors", "g.y4m", NULL}},
    {"decode", decode, {"d.y4m", "d.safetensors", NULL}},
    {"encode", encode, {"e.safetensors", NULL, NULL}},
};

enum { VERBS = sizeof verbs / sizeof verbs[0] };

/* ---- outputs -------------------------------------------------------------------------------- */

static const char old[] = "what was there before";

typedef struct content {
    unsigned char *data;
    size_t         bytes;
} content;

static content expected[VERBS][2];

static bool holds(const content *found, const void *data, size_t bytes)
{
    return found->bytes == bytes && memcmp(found->data, data, bytes) == 0;
}

static void put_old(const verb *v)
{
    for (int i = 0; v->output[i] != NULL; i++)
        scratch_write(&dir, v->output[i], old, sizeof old);
}

/* done: the run says so; then all are new. */
static void check_outputs(int which, bool done, const char *what, int64_t at)
{
    const verb *v = &verbs[which];
    for (int i = 0; v->output[i] != NULL; i++) {
        const content *want  = &expected[which][i];
        content        found = {.bytes = 0};
        found.data           = scratch_read(&dir, v->output[i], &found.bytes);
        const bool is_new    = holds(&found, want->data, want->bytes);
        if (!is_new && (done || !holds(&found, old, sizeof old)))
            fail_msg(
                "%s, %s %lld: '%s' is %s, %zu bytes", v->name, what, (long long)at, v->output[i],
                done ? "not the new file" : "neither the old file nor the new one", found.bytes);
        free(found.data);
    }
}

static fil_ctx *open_ctx(const fili_os *os, const fil_allocator *host)
{
    fil_options opt;
    fil_ctx    *ctx = NULL;
    fil_options_init(&opt);
    opt.n_threads = 1;
    if (host != NULL) opt.host = *host;
    return fili_ctx_open_on(os, &ctx, &opt) == FIL_OK ? ctx : NULL;
}

/* Model and run in a context; -1 is a context that did not open. */
static int run_in(fil_ctx *ctx, const verb *v)
{
    fil_model        *model = NULL;
    fil_model_options m;
    if (ctx == NULL) return -1;
    fil_model_options_init(&m);
    m.dir             = getenv("FIL_DEMO");
    fil_status status = fil_model_open(ctx, &m, &model);
    if (status == FIL_OK) status = v->run(model);
    fil_model_close(&model);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
    return (int)status;
}

static void run_well(const verb *v)
{
    assert_int_equal(run_in(open_ctx(&fili_os_posix, NULL), v), FIL_OK);
}

/* Inputs of the others come from the first, and what each of them gives where nothing fails. */
static void make_expected(void)
{
    for (int i = 0; i < VERBS; i++) {
        const verb *v = &verbs[i];
        run_well(v);
        for (int k = 0; v->output[k] != NULL; k++)
            expected[i][k].data = scratch_read(&dir, v->output[k], &expected[i][k].bytes);
        if (i == 0)
            scratch_write(&dir, "in.safetensors", expected[0][0].data, expected[0][0].bytes);
        if (i == 1)
            scratch_write(&dir, "in_frames.safetensors", expected[1][1].data, expected[1][1].bytes);
    }
}

static void free_expected(void)
{
    for (int i = 0; i < VERBS; i++)
        for (int k = 0; k < 2; k++) {
            free(expected[i][k].data);
            expected[i][k] = (content){.bytes = 0};
        }
}

/* The next call that fails: all of the first ones, then fewer and fewer. FIL_CHECK_FAULTS: all,
 * which takes an hour. */
static int64_t next(int64_t at)
{
    if (getenv("FIL_CHECK_FAULTS") != NULL) return at + 1;
    return at + 1 + at / (SANITIZED ? 2 : 5);
}

/* ---- memory --------------------------------------------------------------------------------- */

static bool fail_allocation(int which, int64_t at, int forever)
{
    alloc_fault         fault = {.at = at, .forever = forever};
    const fil_allocator host  = alloc_fault_allocator(&fault);
    put_old(&verbs[which]);
    const int status = run_in(open_ctx(&fili_os_posix, &host), &verbs[which]);
    assert_int_equal(fault.live, 0);
    if (status != FIL_OK && status != FIL_E_NOMEM && status != -1)
        fail_msg("%s, allocation %lld: status %d", verbs[which].name, (long long)at, status);
    check_outputs(which, status == FIL_OK, "allocation", at);
    return fault.failed > 0;
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    make_expected();
    for (int which = 0; which < VERBS; which++)
        for (int forever = 0; forever < 2; forever++) {
            int64_t n = 0;
            for (int64_t at = 0; fail_allocation(which, at, forever); at = next(at))
                n++;
            print_message("%s: %lld allocations failed%s\n", verbs[which].name, (long long)n,
                          forever ? " for ever" : "");
            assert_true(n > 8);
        }
    free_expected();
}

/* ---- the system ----------------------------------------------------------------------------- */

/* What a failing call does. Where it only interrupts, the run must not notice. */
typedef struct failure {
    os_call     call;
    int         error, forever;
    bool        harmless;
    const char *name;
} failure;

static bool fail_call(int which, int64_t at, const failure *f)
{
    os_fault      fault = {.call = f->call, .at = at, .error = f->error, .forever = f->forever};
    const fili_os os    = os_fault_table(&fault);
    put_old(&verbs[which]);
    const int status = run_in(open_ctx(&os, NULL), &verbs[which]);
    assert_int_equal(fault.open, 0);
    assert_int_equal(fault.mapped, 0);
    check_outputs(which, status == FIL_OK, f->name, at);
    if (f->harmless && status != FIL_OK)
        fail_msg("%s, %s %lld: status %d", verbs[which].name, f->name, (long long)at, status);
    if (fault.failed > 0 && !f->forever) { /* what it has left is in nobody's way */
        run_well(&verbs[which]);
        check_outputs(which, true, f->name, at);
    }
    return fault.failed > 0;
}

static void any_system_call_may_fail(void **state)
{
    static const failure failures[] = {
        {OS_ANY, EIO, 0, false, "EIO"},
        {OS_ANY, EIO, 1, false, "EIO for ever"},
        {OS_ANY, ENOSPC, 0, false, "ENOSPC"},
        {OS_OPENAT, EINTR, 0, true, "interrupted openat"},
        {OS_PREAD, EINTR, 0, true, "interrupted pread"},
        {OS_PREAD, OS_SHORT_COUNT, 0, true, "short pread"},
        {OS_PWRITE, EINTR, 0, true, "interrupted pwrite"},
        {OS_PWRITE, OS_SHORT_COUNT, 0, true, "short pwrite"},
        {OS_FSYNC, EINTR, 0, true, "interrupted fsync"},
    };
    (void)state;
    SKIP_WITHOUT_DEMO();
    make_expected();
    for (int which = 0; which < VERBS; which++)
        for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
            int64_t n = 0;
            for (int64_t at = 0; fail_call(which, at, &failures[i]); at = next(at))
                n++;
            print_message("%s, %s: %lld calls failed\n", verbs[which].name, failures[i].name,
                          (long long)n);
            assert_true(n > (failures[i].harmless ? 1 : 8));
        }
    free_expected();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_allocation_may_fail),
        TEST(any_system_call_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
