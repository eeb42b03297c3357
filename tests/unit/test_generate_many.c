/* tests/unit/test_generate_many.c: several videos in one load have the bits of single runs, with
 * every policy and within a memory limit; what is wrong with one of them is found before any work,
 * and what goes wrong with one on the way leaves the others be.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/video_job.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/scratch_dir.h"

enum { N = 3, W = 192, H = 128, FRAMES = 5, STEPS = 3 };

typedef struct rig {
    fil_ctx                    *ctx;
    fil_model                  *model;
    fil_policy_options          policy;
    fil_generate_options        o[N];
    const fil_generate_options *list[N];
    char                        latents[N][320], frames[N][320];
    int                         loads, done, failed, planned;
    int                         heard, planned_at; /* events; those before the plan */
    fil_error                   error;             /* of the one that failed last */
    double                      seconds;           /* estimated */
    const char                 *doomed;            /* a folder that goes when a video stands */
} rig;

static void on_progress(void *user, const fil_progress *p)
{
    rig *r = user;
    if (strcmp(p->phase, "load") == 0 && p->done == 0) r->loads++;
}

static void on_event(void *user, const fil_event *e)
{
    rig *r = user;
    r->heard++;
    switch (e->kind) {
    case FIL_EVENT_DONE:
        assert_int_equal(e->result->frames, FRAMES);
        r->done++;
        if (r->doomed != NULL) assert_int_equal(rmdir(r->doomed), 0);
        r->doomed = NULL;
        break;
    case FIL_EVENT_FAILED:
        r->error = *e->error;
        r->failed++;
        break;
    case FIL_EVENT_PLANNED:
        r->planned_at = r->heard;
        r->seconds    = e->plan->estimate_seconds;
        r->planned++;
        break;
    default: break;
    }
}

static void open_rig(rig *r, uint64_t limit)
{
    static const char *const prompts[N] = {"a red fox", "waves at night, seen from the shore", "x"};
    fil_options              opt;
    memset(r, 0, sizeof *r);
    fil_options_init(&opt);
    opt.n_threads      = 1;
    opt.max_host_bytes = limit;
    opt.progress       = on_progress;
    opt.user           = r;
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    r->model = demo_open(r->ctx, NULL);
    fil_policy_options_init(&r->policy);
    r->policy.dense_from = 1000000; /* the clock has no say */
    for (int i = 0; i < N; i++) {
        fil_generate_options *o = &r->o[i];
        fil_generate_options_init(o);
        snprintf(r->latents[i], sizeof r->latents[i], "%s/l%d", dir.path, i);
        snprintf(r->frames[i], sizeof r->frames[i], "%s/f%d", dir.path, i);
        o->prompt       = prompts[i];
        o->negative     = "fog";
        o->width        = W;
        o->height       = H;
        o->frames       = FRAMES;
        o->steps        = STEPS;
        o->seed         = (uint64_t)i;
        o->save_latents = r->latents[i];
        o->save_frames  = r->frames[i];
        o->replace      = 1;
        o->policy       = &r->policy;
        o->event        = on_event;
        o->event_user   = r;
        r->list[i]      = o;
    }
}

static void close_rig(rig *r)
{
    fil_model_close(&r->model);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
}

static void expect(const rig *r, fil_status expected, fil_status found)
{
    if (found != expected)
        fail_msg("%s, expected %s: %s", fil_status_name(found), fil_status_name(expected),
                 fil_ctx_error(r->ctx)->message);
}

static void render(rig *r, const char *policy)
{
    int32_t          done = -1;
    fil_video_result last;
    r->policy.name    = policy;
    r->policy.density = strcmp(policy, "dense") == 0 ? 1.0 : 0.6;
    r->policy.block   = 64;
    r->loads          = 0;
    r->done           = 0;
    r->heard          = 0;
    r->planned        = 0;
    expect(r, FIL_OK, fil_generate_many(r->model, r->list, N, &done, &last));
    assert_int_equal(done, N);
    assert_int_equal(r->done, N);
    assert_int_equal(last.frames, FRAMES);
}

/* One of them alone, against what lies in the files. */
static void compare_one(rig *r, int i)
{
    int64_t  n;
    int64_t  m;
    float   *x = fixture_tensor(r->ctx, r->latents[i], "latents", FIL_F32, &n);
    uint8_t *f = fixture_tensor(r->ctx, r->frames[i], "frames", FIL_U8, &m);
    expect(r, FIL_OK, fil_generate(r->model, &r->o[i], NULL));
    float   *y = fixture_tensor(r->ctx, r->latents[i], "latents", FIL_F32, &n);
    uint8_t *g = fixture_tensor(r->ctx, r->frames[i], "frames", FIL_U8, &m);
    assert_memory_equal(x, y, (size_t)n * sizeof *x);
    assert_memory_equal(f, g, (size_t)m);
    free(x);
    free(y);
    free(f);
    free(g);
}

static void compare(rig *r)
{
    for (int i = 0; i < N; i++)
        compare_one(r, i);
}

static void each_has_the_bits_of_a_run_by_itself(void **state)
{
    static const char *const policies[] = {"dense", "dfs", "vsa", "auto", "radial"};
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        rig r;
        open_rig(&r, 0);
        render(&r, policies[i]);
        assert_int_equal(r.loads, 1);
        compare(&r);
        close_rig(&r);
    }
}

/* Another size needs another transformer; then the first one again. */
static void sizes_may_differ(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    r.o[1].width    = 128;
    r.o[2].guidance = 1.0;
    render(&r, "dense");
    assert_int_equal(r.loads, N);
    compare(&r);
    close_rig(&r);
}

static void the_plan_holds_and_a_limit_closes_the_transformer_in_between(void **state)
{
    rig      r;
    fil_plan plan;
    uint64_t alone = 0;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    r.policy.name = "dense";
    expect(&r, FIL_OK, fil_generate_many_check(r.model, r.list, N, &plan));
    for (int i = 0; i < N; i++) {
        fil_plan one;
        expect(&r, FIL_OK, fil_generate_check(r.model, &r.o[i], &one));
        if (one.peak_bytes > alone) alone = one.peak_bytes;
    }
    print_message("plan of all %llu, of one %llu\n", (unsigned long long)plan.peak_bytes,
                  (unsigned long long)alone);
    assert_true(plan.peak_bytes > alone);
    render(&r, "dense");
    assert_true(fil_ctx_memory(r.ctx).peak <= plan.peak_bytes + (1 << 20));
    close_rig(&r);
    open_rig(&r, (alone + plan.peak_bytes) / 2);
    render(&r, "dense");
    assert_int_equal(r.loads, N);
    close_rig(&r);
}

static void refused(rig *r, int32_t n, fil_status expected, const char *words)
{
    int32_t done = -1;
    expect(r, expected, fil_generate_many(r->model, r->list, n, &done, NULL));
    assert_int_equal(done, 0);
    assert_int_equal(r->loads, 0);
    if (strstr(fil_ctx_error(r->ctx)->message, words) == NULL)
        fail_msg("'%s' says nothing of '%s'", fil_ctx_error(r->ctx)->message, words);
    assert_int_equal(scratch_count(&dir), 0);
}

static void what_is_wrong_with_one_stops_all_before_any_work(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    refused(&r, 0, FIL_E_ARG, "1 to");
    r.o[2].steps = 0;
    refused(&r, N, FIL_E_ARG, "steps");
    assert_non_null(strstr(fil_ctx_error(r.ctx)->frame[0], "video 3 of 3"));
    r.o[2].steps       = STEPS;
    r.o[1].save_frames = r.frames[0];
    refused(&r, N, FIL_E_ARG, "two videos are to go to one file");
    r.o[1].save_frames = r.frames[1];
    r.o[1].precision   = FIL_F32;
    refused(&r, N, FIL_E_ARG, "precision");
    r.o[1].precision = FIL_BF16;
    r.o[1].prompt    = NULL;
    refused(&r, N, FIL_E_ARG, "prompt");
    r.list[1] = NULL;
    refused(&r, N, FIL_E_ARG, "NULL");
    close_rig(&r);
}

/* Finite noise that no layer survives, for one of them. */
static void write_huge_noise(const rig *r, const char *path)
{
    enum { LATENTS = 16 * 2 * (H / 8) * (W / 8) };
    static float  huge[LATENTS];
    const int64_t shape[] = {16, 2, H / 8, W / 8};
    for (int i = 0; i < LATENTS; i++)
        huge[i] = i % 2 == 0 ? 3e38f : -3e38f;
    expect(r, FIL_OK, fili_latents_write(r->ctx, path, "noise", shape, huge, 1));
}

static void one_that_comes_to_nothing_leaves_the_others(void **state)
{
    rig              r;
    int32_t          done = -1;
    fil_video_result last;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    r.policy.name = "dense";
    r.o[1].noise  = scratch_path(&dir, "noise");
    write_huge_noise(&r, r.o[1].noise);
    expect(&r, FIL_E_NONFINITE, fil_generate_many(r.model, r.list, N, &done, &last));
    const fil_error e = *fil_ctx_error(r.ctx);
    assert_int_equal(done, N - 1);
    assert_int_equal(r.done, N - 1);
    assert_int_equal(r.failed, 1);
    assert_int_equal(r.error.status, FIL_E_NONFINITE);
    assert_string_equal(r.error.message, e.message);
    assert_string_equal(e.frame[e.n_frames - 1], "video 2 of 3");
    assert_int_equal(last.frames, FRAMES); /* the third */
    assert_int_equal(access(r.latents[1], F_OK), -1);
    compare_one(&r, 0);
    compare_one(&r, 2);
    close_rig(&r);
}

static void what_the_next_one_would_meet_too_ends_the_list(void **state)
{
    rig     r;
    int32_t done = -1;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    r.policy.name = "dense";
    r.doomed      = scratch_path(&dir, "sub");
    assert_int_equal(mkdir(r.doomed, 0700), 0);
    r.o[1].save_latents = scratch_path(&dir, "sub/l");
    expect(&r, FIL_E_IO, fil_generate_many(r.model, r.list, N, &done, NULL));
    assert_int_equal(done, 1);
    assert_int_equal(r.done, 1);
    assert_int_equal(r.failed, 0);
    assert_int_equal(access(r.latents[2], F_OK), -1);
    close_rig(&r);
}

static void the_seconds_are_those_of_all(void **state)
{
    rig      r;
    fil_plan plan;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    expect(&r, FIL_OK, fil_generate_many_check(r.model, r.list, N, &plan));
    assert_true(isnan(plan.estimate_seconds));
    expect(&r, FIL_OK, fil_generate_many_estimate(r.model, r.list, N, &plan));
    assert_true(plan.estimate_seconds > 0.0 && plan.estimate_seconds < 1e6);
    assert_int_equal(r.planned, 0);
    assert_int_equal(fil_generate_many_estimate(r.model, r.list, N, NULL), FIL_E_ARG);
    assert_int_equal(fil_generate_many_estimate(NULL, r.list, N, &plan), FIL_E_ARG);
    render(&r, "dense");
    assert_int_equal(r.planned, 1);
    assert_int_equal(r.planned_at, 1); /* the first */
    assert_true(r.seconds > 0.0 && r.seconds < 1e6);
    close_rig(&r);
}

static const fili_os *real_os;
static int            tokenizers; /* opened */

static int count_open(void *self, int folder, const char *path, int flags)
{
    if (strcmp(path, "spiece.model") == 0) tokenizers++;
    return real_os->openat(self, folder, path, flags);
}

/* A real one has 256,000 pieces and takes a third of a second. */
static void the_tokenizer_is_opened_once(void **state)
{
    rig     r;
    fili_os os;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    real_os    = r.ctx->os;
    os         = *real_os;
    os.openat  = count_open;
    r.ctx->os  = &os;
    tokenizers = 0;
    render(&r, "dense");
    assert_int_equal(tokenizers, 1);
    r.ctx->os = real_os;
    close_rig(&r);
}

/* ---- a recipe against options --------------------------------------------------------------- */

static void differs(rig *r, const fil_recipe *recipe, const char *says)
{
    expect(r, FIL_E_MISMATCH, fil_recipe_compare(r->model, recipe, &r->o[0]));
    if (strstr(fil_ctx_error(r->ctx)->message, says) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(r->ctx)->message, says);
}

/* Its settings, with what defaults come out as, and its transformer; not where it goes. */
static void a_recipe_tells_whether_its_video_is_asked_for(void **state)
{
    rig                   r;
    fil_recipe           *recipe = NULL;
    const char           *path   = scratch_path(&dir, "r.json");
    fil_generate_options *o      = &r.o[0];
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 0);
    r.policy.name  = "auto";
    r.policy.block = 64;
    o->save_recipe = path;
    o->negative    = NULL;
    expect(&r, FIL_OK, fil_generate(r.model, o, NULL));
    expect(&r, FIL_OK, fil_recipe_open(r.ctx, path, &recipe));
    expect(&r, FIL_OK, fil_recipe_compare(r.model, recipe, o));
    r.policy.dense_from     = FIL_AUTO;
    r.policy.measure_recall = 1;
    o->shift                = 5.0;
    o->sampler              = "unipc";
    o->grid                 = "wan-unipc";
    o->negative             = fil_recipe_generate(recipe)->negative;
    o->save_frames          = NULL;
    o->vae_tiles            = 1;
    o->replace              = 0;
    expect(&r, FIL_OK, fil_recipe_compare(r.model, recipe, o));
    o->shift = 3.0;
    differs(&r, recipe, "shift was 5.0, is 3.0");
    o->shift = FIL_AUTO;
    o->fps   = 24;
    differs(&r, recipe, "fps was 16, is 24");
    o->fps           = 16;
    r.policy.density = 0.25;
    differs(&r, recipe, "policy's density was -1.0, is 0.25");
    r.policy.density = FIL_AUTO;
    o->policy        = NULL;
    differs(&r, recipe, "policy's name was \"auto\", is nothing");
    o->policy = &r.policy;
    o->width  = 17;
    expect(&r, FIL_E_ARG, fil_recipe_compare(r.model, recipe, o));
    o->width = W;
    expect(&r, FIL_E_ARG, fil_recipe_compare(r.model, NULL, o));
    expect(&r, FIL_E_ARG, fil_recipe_compare(r.model, recipe, NULL));
    assert_int_equal(fil_recipe_compare(NULL, recipe, o), FIL_E_ARG);
    fil_recipe_close(&recipe);
    close_rig(&r);
}

static void a_file_of_prompts(void **state)
{
    static const char text[] = "# title\n one \r\n\n  # no\ntwo # with\n";
    fil_ctx          *ctx;
    fil_prompts      *p = NULL;
    char              path[320];
    (void)state;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    scratch_write(&dir, "p.txt", text, sizeof text - 1);
    snprintf(path, sizeof path, "%s/p.txt", dir.path);
    assert_int_equal(fil_prompts_open(ctx, path, &p), FIL_OK);
    assert_int_equal(fil_prompts_count(p), 2);
    assert_string_equal(fil_prompts_text(p, 0), "one");
    assert_string_equal(fil_prompts_text(p, 1), "two # with");
    assert_null(fil_prompts_text(p, 2));
    assert_null(fil_prompts_text(p, -1));
    fil_prompts_close(&p);
    fil_prompts_close(&p);
    assert_int_equal(fil_prompts_count(NULL), 0);
    assert_int_equal(fil_prompts_open(ctx, NULL, &p), FIL_E_ARG);
    assert_int_equal(fil_prompts_open(ctx, "missing", &p), FIL_E_IO);
    assert_null(p);
    scratch_write(&dir, "q.txt", "# no\n", 5);
    snprintf(path, sizeof path, "%s/q.txt", dir.path);
    assert_int_equal(fil_prompts_open(ctx, path, &p), FIL_E_FORMAT);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_has_the_bits_of_a_run_by_itself),
        TEST(sizes_may_differ),
        TEST(the_plan_holds_and_a_limit_closes_the_transformer_in_between),
        TEST(what_is_wrong_with_one_stops_all_before_any_work),
        TEST(one_that_comes_to_nothing_leaves_the_others),
        TEST(what_the_next_one_would_meet_too_ends_the_list),
        TEST(the_seconds_are_those_of_all),
        TEST(the_tokenizer_is_opened_once),
        TEST(a_recipe_tells_whether_its_video_is_asked_for),
        TEST(a_file_of_prompts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
