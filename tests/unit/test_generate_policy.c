/* tests/unit/test_generate_policy.c: whole runs with every policy (filigree/video.h, policy.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/video.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/sanitized.h"
#include "support/scratch_dir.h"

/* 3 x 8 x 12 tokens: blocks of cubes at the border are short. */
enum { W = 192, H = 128, FRAMES = 9, STEPS = 6, TOKENS = 3 * 8 * 12 };

typedef struct rig {
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
    fil_policy_options   policy;
    fil_video_result     result;
    char                 latents[300];
} rig;

static void open_rig(rig *r, int32_t threads)
{
    fil_options opt;
    memset(r, 0, sizeof *r);
    fil_options_init(&opt);
    opt.n_threads = threads;
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    r->model = demo_open(r->ctx, NULL);
    snprintf(r->latents, sizeof r->latents, "%s/l.safetensors", dir.path);
    fil_policy_options_init(&r->policy);
    r->policy.density      = 0.5;
    r->policy.dense_steps  = 1;
    r->policy.dense_layers = "";
    r->policy.block        = 64;
    fil_generate_options_init(&r->o);
    r->o.prompt       = "A red fox in the snow.";
    r->o.negative     = "";
    r->o.width        = W;
    r->o.height       = H;
    r->o.frames       = FRAMES;
    r->o.steps        = STEPS;
    r->o.replace      = 1;
    r->o.save_latents = r->latents;
    r->o.policy       = &r->policy;
}

static void close_rig(rig *r)
{
    fil_model_close(&r->model);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
}

/* The latents, to be freed. */
static float *run(rig *r, int64_t *n)
{
    if (fil_generate(r->model, &r->o, &r->result) != FIL_OK)
        fail_msg("%s: %s", r->policy.name, fil_ctx_error(r->ctx)->message);
    return fixture_tensor(r->ctx, r->latents, "latents", FIL_F32, n);
}

/* West and mask want a file, and are tested where there is one. */
static int wants_a_file(const char *name)
{
    return strcmp(name, "west") == 0 || strcmp(name, "mask") == 0;
}

/* dense_from lies beyond the run: the clock has no say. */
static void every_policy_gives_the_same_bits_for_1_2_and_3_threads(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int32_t i = 0; i < fil_policies(); i++) {
        fil_policy_info info;
        float          *first = NULL;
        fil_policy_get(i, &info);
        if (wants_a_file(info.name)) continue;
        for (int32_t threads = 1; threads <= (SANITIZED ? 1 : 3); threads++) {
            rig     r;
            int64_t n;
            open_rig(&r, threads);
            r.policy.name       = info.name;
            r.policy.dense_from = 1000000;
            if (strcmp(info.name, "dense") == 0) r.policy.density = 1.0;
            float *x = run(&r, &n);
            if (first == NULL)
                first = x;
            else if (memcmp(first, x, (size_t)n * sizeof *x) != 0)
                fail_msg("%s: other bits with %d threads", info.name, threads);
            if (x != first) free(x);
            close_rig(&r);
        }
        free(first);
    }
}

static void what_a_run_tells_is_consistent(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int32_t i = 0; i < fil_policies(); i++) {
        fil_policy_info info;
        rig             r;
        fil_plan        plan;
        int64_t         n;
        fil_policy_get(i, &info);
        if (wants_a_file(info.name)) continue;
        open_rig(&r, 1);
        r.policy.name           = info.name;
        r.policy.dense_from     = 1000000;
        r.policy.measure_recall = 1;
        if (strcmp(info.name, "dense") == 0) r.policy.density = 1.0;
        assert_int_equal(fil_generate_check(r.model, &r.o, &plan), FIL_OK);
        assert_non_null(strstr(plan.attention, info.name));
        assert_int_equal(plan.tokens, TOKENS);
        free(run(&r, &n));
        const fil_video_result *v = &r.result;
        print_message("%s: wanted %.3f, found %.3f, recall %.3f\n", info.name, plan.density,
                      v->density, v->recall);
        assert_int_equal(v->calls % (2 * STEPS), 0);
        assert_true(v->density > 0.2 && v->density <= 1.0);
        /* 5 blocks: a row may hold one more or less than was wanted */
        assert_true(fabs(v->density - plan.density) < 0.2);
        const double mean =
            ((double)v->dense_calls + (double)(v->calls - v->dense_calls) * v->sparse_density) /
            (double)v->calls;
        assert_true(fabs(mean - v->density) < 1e-9);
        assert_int_equal(v->dense_from, 1000000);
        assert_true(v->choose_seconds >= 0.0);
        if (v->dense_calls < v->calls) assert_true(v->recall > 0.3 && v->recall <= 1.0 + 1e-6);
        assert_true(r.result.peak_bytes <= plan.peak_bytes + (2u << 20));
        close_rig(&r);
    }
}

static void a_run_of_auto_can_be_repeated_whatever_the_clock_decided(void **state)
{
    rig     r;
    int64_t n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    r.policy.name        = "auto";
    r.policy.dense_steps = 0;
    float       *x       = run(&r, &n);
    const double density = r.result.density;
    r.policy.dense_from  = r.result.dense_from;
    float *y             = run(&r, &n);
    assert_memory_equal(x, y, (size_t)n * sizeof *x);
    assert_true(r.result.density == density);
    free(x);
    free(y);
    close_rig(&r);
}

/* Its time is not the choice's: a policy that is slow only to measure is not given up. */
static void measuring_recall_is_not_counted_as_choosing(void **state)
{
    rig     r;
    int64_t n;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    r.policy.name           = "window";
    r.policy.measure_recall = 1;
    free(run(&r, &n));
    assert_true(r.result.recall > 0.0);
    /* the masks stand: to choose is to point at them, to measure costs more than attention */
    assert_true(r.result.choose_seconds < r.result.attention_seconds);
    close_rig(&r);
}

static void a_run_may_give_up_anywhere(void **state)
{
    double last = 0.0;
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int64_t from = 10; from >= 0; from -= 5) {
        rig     r;
        int64_t n;
        open_rig(&r, 1);
        r.policy.name        = "auto";
        r.policy.dense_steps = 0;
        r.policy.dense_from  = from;
        free(run(&r, &n));
        assert_true(r.result.density > last);
        last = r.result.density;
        close_rig(&r);
    }
    assert_true(last == 1.0);
}

static void what_does_not_fit_is_refused_before_any_work(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    open_rig(&r, 1);
    r.policy.name    = "dfs";
    r.policy.density = 0.1;
    assert_int_equal(fil_generate(r.model, &r.o, NULL), FIL_E_ARG);
    assert_non_null(strstr(fil_ctx_error(r.ctx)->message, "0.167"));
    r.policy.density = 0.5;
    r.o.mask         = "m.safetensors";
    assert_int_equal(fil_generate(r.model, &r.o, NULL), FIL_E_ARG);
    r.o.mask      = NULL;
    r.policy.gate = 1;
    r.policy.name = "vsa";
    assert_int_equal(fil_generate(r.model, &r.o, NULL), FIL_E_MISMATCH);
    r.policy.fallback = 1;
    int64_t n;
    free(run(&r, &n));
    assert_true(r.result.density == 1.0);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_policy_gives_the_same_bits_for_1_2_and_3_threads),
        TEST(what_a_run_tells_is_consistent),
        TEST(a_run_of_auto_can_be_repeated_whatever_the_clock_decided),
        TEST(measuring_recall_is_not_counted_as_choosing),
        TEST(a_run_may_give_up_anywhere),
        TEST(what_does_not_fit_is_refused_before_any_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
