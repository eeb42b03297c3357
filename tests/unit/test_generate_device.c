/* tests/unit/test_generate_device.c: fil_generate with a transformer that lies on a device, over a
 * backend whose device is this CPU: what the plan tells of its memory, weights that are read layer
 * by layer where it is short of that, a batch of two sizes, and a device that is too small.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/video.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fixture.h"
#include "support/scratch_dir.h"

enum { W = 32, H = 48, LATENTS = 16 * 2 * 6 * 4 };

static char file[2][320];

typedef struct bench {
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
} bench;

static void settle(fil_generate_options *o, const char *name, char to[320])
{
    fil_generate_options_init(o);
    snprintf(to, 320, "%s/%s", dir.path, name);
    o->prompt       = "A red fox in the snow.";
    o->negative     = "the black field";
    o->width        = W;
    o->height       = H;
    o->frames       = 5;
    o->steps        = 2;
    o->save_latents = to;
    o->replace      = 1;
}

static bench open_bench(uint64_t limit, const char *device)
{
    bench       b = {.ctx = NULL};
    fil_options opt;
    fil_options_init(&opt);
    opt.device           = device;
    opt.n_threads        = 2;
    opt.max_device_bytes = limit;
    setenv("FIL_CUDA_BACKEND", FAKE_BACKEND, 0); /* or another that the test is given */
    assert_int_equal(fil_ctx_open(&b.ctx, &opt), FIL_OK);
    b.model = demo_open(b.ctx, NULL);
    settle(&b.o, "latents.safetensors", file[0]);
    return b;
}

static void close_bench(bench *b)
{
    fil_model_close(&b->model);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    assert_int_equal(fil_ctx_device_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
}

static fil_plan planned(bench *b)
{
    fil_plan plan;
    if (fil_generate_check(b->model, &b->o, &plan) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
    return plan;
}

static float *run(bench *b)
{
    int64_t n;
    if (fil_generate(b->model, &b->o, NULL) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
    float *latents = fixture_tensor(b->ctx, file[0], "latents", FIL_F32, &n);
    assert_int_equal(n, LATENTS);
    return latents;
}

static void the_plan_tells_what_the_device_will_hold(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench          b    = open_bench(0, "cuda");
    const fil_plan plan = planned(&b);
    assert_int_equal(plan.streamed, 0);
    assert_true(plan.device_bytes > plan.weight_bytes);
    free(run(&b));
    const fil_memory held = fil_ctx_device_memory(b.ctx);
    assert_int_equal(held.peak, plan.device_bytes);
    assert_int_equal(held.used, 0);
    assert_int_equal(held.limit, (uint64_t)4 << 30);
    assert_true(fil_ctx_memory(b.ctx).peak <= plan.peak_bytes);
    close_bench(&b);
}

static void an_estimate_measures_there_and_gives_back_what_it_took(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench    b = open_bench(0, "cuda");
    fil_plan plan;
    assert_int_equal(fil_generate_estimate(b.model, &b.o, &plan), FIL_OK);
    assert_true(plan.estimate_seconds > 0.0);
    assert_true(fil_ctx_device_memory(b.ctx).peak > 0);
    assert_int_equal(fil_ctx_device_memory(b.ctx).used, 0);
    close_bench(&b);
}

static void in_f32_nothing_lies_there(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b       = open_bench(0, "cuda");
    b.o.precision = FIL_F32;
    assert_int_equal(planned(&b).device_bytes, 0);
    free(run(&b));
    assert_int_equal(fil_ctx_device_memory(b.ctx).peak, 0);
    close_bench(&b);
}

/* The limit is raised by what is left aside of it: an eighth. */
static uint64_t limit_for(uint64_t bytes)
{
    return bytes + bytes / 7 + 8;
}

static void weights_are_streamed_where_the_device_is_short(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench          b       = open_bench(0, "cuda");
    const uint64_t whole   = planned(&b).device_bytes;
    float         *latents = run(&b);
    close_bench(&b);

    b                   = open_bench(limit_for(whole) - 1024, "cuda");
    const fil_plan less = planned(&b);
    assert_int_equal(less.streamed, 1);
    assert_true(less.device_bytes < whole);
    float *same = run(&b);
    assert_memory_equal(same, latents, LATENTS * sizeof(float));
    assert_int_equal(fil_ctx_device_memory(b.ctx).peak, less.device_bytes);
    close_bench(&b);
    free(same);
    free(latents);
}

static void a_device_that_is_too_small_is_refused_with_the_limit_that_would_do(void **state)
{
    static const char needs[] = "sampling needs ";
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench    b = open_bench(100000, "cuda");
    fil_plan plan;
    assert_int_equal(fil_generate_check(b.model, &b.o, &plan), FIL_E_NOMEM_DEV);
    const char *said = fil_ctx_error(b.ctx)->message;
    if (strncmp(said, needs, sizeof needs - 1) != 0 ||
        strstr(said, " bytes of the device's memory, ") == NULL ||
        strstr(said, "; the limit is 100000") == NULL)
        fail_msg("%s", said);
    const uint64_t enough = strtoull(said + sizeof needs - 1, NULL, 10);
    assert_int_equal(fil_generate(b.model, &b.o, NULL), FIL_E_NOMEM_DEV);
    assert_int_equal(scratch_count(&dir), 0);
    close_bench(&b);
    b = open_bench(enough, "cuda");
    assert_int_equal(planned(&b).streamed, 1);
    free(run(&b));
    close_bench(&b);
}

static uint8_t *frames_of(bench *b, const char *name, int64_t *n)
{
    snprintf(file[1], sizeof file[1], "%s/%s", dir.path, name);
    b->o.save_frames = file[1];
    if (fil_generate(b->model, &b->o, NULL) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
    return fixture_tensor(b->ctx, file[1], "frames", FIL_U8, n);
}

/* Pictures as the CPU makes them, but for roundings to bf16 in another order. */
static void frames_are_decoded_on_the_device(void **state)
{
    int64_t n;
    int64_t other;
    double  off = 0.0;
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench    b    = open_bench(0, "cpu");
    uint8_t *want = frames_of(&b, "cpu.safetensors", &n);
    close_bench(&b);
    b                   = open_bench(0, "cuda");
    uint8_t       *got  = frames_of(&b, "cuda.safetensors", &other);
    const fil_plan plan = planned(&b);
    assert_int_equal(fil_ctx_device_memory(b.ctx).peak, plan.device_bytes);
    close_bench(&b);
    assert_int_equal(n, other);
    for (int64_t i = 0; i < n; i++)
        off += abs((int)want[i] - (int)got[i]);
    printf("mean difference of %lld bytes: %.3f\n", (long long)n, off / (double)n);
    assert_true(off / (double)n <= 1.0);
    free(want);
    free(got);
}

/* Of two sides, 272 pixels are more than a tile of 256. */
static void frames_are_decoded_in_tiles_where_the_device_is_short(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    int64_t n;
    bench   b               = open_bench(0, "cuda");
    b.o.width               = 272;
    b.o.frames              = 1;
    const uint64_t sampling = planned(&b).device_bytes;
    b.o.save_frames         = file[1];
    snprintf(file[1], sizeof file[1], "%s/f.safetensors", dir.path);
    const fil_plan whole = planned(&b);
    assert_int_equal(whole.vae_tiles, 0);
    assert_true(whole.device_bytes > sampling);
    close_bench(&b);
    b                    = open_bench(limit_for(whole.device_bytes) - 1024, "cuda");
    b.o.width            = 272;
    b.o.frames           = 1;
    b.o.save_frames      = file[1];
    const fil_plan tiled = planned(&b);
    assert_int_equal(tiled.vae_tiles, 1);
    assert_true(tiled.device_bytes < whole.device_bytes);
    free(frames_of(&b, "f.safetensors", &n));
    assert_int_equal(fil_ctx_device_memory(b.ctx).peak, tiled.device_bytes);
    close_bench(&b);
}

/* One transformer is held at a time: room for the larger is enough. */
static void a_batch_of_two_sizes_holds_one_transformer_at_a_time(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b                     = open_bench(0, "cuda");
    b.o.height                  = 2 * H;
    const uint64_t       larger = planned(&b).device_bytes;
    fil_generate_options other;
    settle(&other, "other.safetensors", file[1]);
    close_bench(&b);
    b                                         = open_bench(limit_for(larger), "cuda");
    b.o.height                                = 2 * H;
    const fil_generate_options *const list[2] = {&other, &b.o};
    int32_t                           done;
    if (fil_generate_many(b.model, list, 2, &done, NULL) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
    assert_int_equal(scratch_count(&dir), 2);
    assert_int_equal(fil_ctx_device_memory(b.ctx).peak, larger);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_plan_tells_what_the_device_will_hold),
        TEST(an_estimate_measures_there_and_gives_back_what_it_took),
        TEST(in_f32_nothing_lies_there),
        TEST(weights_are_streamed_where_the_device_is_short),
        TEST(a_device_that_is_too_small_is_refused_with_the_limit_that_would_do),
        TEST(frames_are_decoded_on_the_device),
        TEST(frames_are_decoded_in_tiles_where_the_device_is_short),
        TEST(a_batch_of_two_sizes_holds_one_transformer_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
