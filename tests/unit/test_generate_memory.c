/* tests/unit/test_generate_memory.c: what a run is said to take against what it takes, for every
 * policy, both precisions, files used in place and copied, frames whole and in tiles, weights kept
 * and streamed; and what a limit of memory chooses or refuses (filigree/video.h).
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "filigree/video.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/sanitized.h"
#include "support/scratch_dir.h"

/* More than a tile wide: two tiles, of 32 and of 10 columns of latents. */
enum {
    PASSES  = 4,
    W       = 272,
    H       = 128,
    FRAMES  = 5,
    STEPS   = 2,
    BYTES   = FRAMES * W * H * 3,
    LATENTS = 16 * 2 * (H / 8) * (W / 8) * 4 /* bytes of them */
};

#define MIB ((uint64_t)1 << 20)

typedef struct rig {
    fil_ctx             *ctx;
    fil_model           *model;
    fil_generate_options o;
    fil_policy_options   policy;
    fil_plan             plan;
    fil_video_result     result;
    uint64_t             anonymous; /* most that the process had beyond the beginning */
    uint64_t             before;
    char                 latents[300], frames[300], recipe[300];
} rig;

/* Anonymous memory of the process; 0 where the system does not say. */
static uint64_t anonymous_bytes(void)
{
    static const char key[] = "RssAnon:";
    char              line[256];
    uint64_t          kib    = 0;
    FILE             *status = fopen("/proc/self/status", "r");
    if (status == NULL) return 0;
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, key, sizeof key - 1) == 0)
            kib = strtoull(line + sizeof key - 1, NULL, 10);
    fclose(status);
    return kib * 1024;
}

/* Of former runs, that the C library keeps. */
static void give_back_free_memory(void)
{
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
}

static void sample(void *user, const fil_progress *progress)
{
    rig           *r   = user;
    const uint64_t now = anonymous_bytes();
    (void)progress;
    if (now > r->before && now - r->before > r->anonymous) r->anonymous = now - r->before;
}

static fil_model *open_demo(fil_ctx *ctx, uint32_t flags)
{
    fil_model        *model;
    fil_model_options m;
    fil_model_options_init(&m);
    m.dir   = getenv("FIL_DEMO");
    m.flags = flags;
    if (fil_model_open(ctx, &m, &model) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    return model;
}

static void open_rig(rig *r, uint32_t flags, uint64_t limit)
{
    fil_options opt;
    memset(r, 0, sizeof *r);
    fil_options_init(&opt);
    opt.n_threads      = 2;
    opt.max_host_bytes = limit;
    opt.progress       = sample;
    opt.user           = r;
    give_back_free_memory();
    r->before = anonymous_bytes();
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    r->model = open_demo(r->ctx, flags);
    snprintf(r->latents, sizeof r->latents, "%s/l.safetensors", dir.path);
    snprintf(r->frames, sizeof r->frames, "%s/f.safetensors", dir.path);
    snprintf(r->recipe, sizeof r->recipe, "%s/r.json", dir.path);
    fil_policy_options_init(&r->policy);
    r->policy.density      = 0.5;
    r->policy.dense_steps  = 0;
    r->policy.dense_layers = "";
    r->policy.block        = 64;
    r->policy.dense_from   = 1000000;
    fil_generate_options_init(&r->o);
    r->o.prompt       = "A red fox in the snow.";
    r->o.negative     = "";
    r->o.width        = W;
    r->o.height       = H;
    r->o.frames       = FRAMES;
    r->o.steps        = STEPS;
    r->o.replace      = 1;
    r->o.save_latents = r->latents;
}

static void close_rig(rig *r)
{
    fil_model_close(&r->model);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
}

static void check(rig *r)
{
    if (fil_generate_check(r->model, &r->o, &r->plan) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
}

static void run(rig *r)
{
    if (fil_generate(r->model, &r->o, &r->result) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
}

/* ---- the plan and the run ------------------------------------------------------------------- */

/* The parts add up, the plan is kept, and it says little more than what is taken: here far less
 * than the 64 MiB that a large run is allowed. */
static void keeps_its_plan(rig *r, const char *what)
{
    check(r);
    const fil_plan *p = &r->plan;
    run(r);
    printf("  %-40s planned %8llu peak %8llu, of the process %8llu KiB\n", what,
           (unsigned long long)p->peak_bytes / 1024,
           (unsigned long long)r->result.peak_bytes / 1024,
           (unsigned long long)r->anonymous / 1024);
    assert_int_equal(p->weight_bytes + p->activation_bytes + p->attention_bytes, p->sample_bytes);
    assert_true(p->peak_bytes == p->text_bytes || p->peak_bytes == p->sample_bytes ||
                p->peak_bytes == p->decode_bytes);
    if (!(r->result.peak_bytes <= p->peak_bytes)) fail_msg("%s takes more than planned", what);
    if (!(p->peak_bytes <= r->result.peak_bytes + r->result.peak_bytes / 20 + 3 * MIB))
        fail_msg("%s: the plan says far more than is taken", what);
    /* A library's code and the sanitizers' shadows are beyond the context. */
    if (!SANITIZED && !(r->anonymous <= p->peak_bytes + p->peak_bytes / 20 + 64 * MIB))
        fail_msg("%s: the process takes more than planned", what);
}

static int wants_a_file(const char *name)
{
    return strcmp(name, "west") == 0 || strcmp(name, "mask") == 0;
}

static void every_policy_keeps_its_plan(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int32_t i = 0; i < fil_policies(); i++)
        for (int k = 0; k < 4; k++) {
            fil_policy_info info;
            rig             r;
            char            what[100];
            fil_policy_get(i, &info);
            if (wants_a_file(info.name)) continue;
            open_rig(&r, k & 1 ? FIL_OPEN_TRUSTED : 0, 0);
            r.policy.name = info.name;
            if (strcmp(info.name, "dense") == 0) r.policy.density = 1.0;
            r.o.policy    = &r.policy;
            r.o.precision = k & 2 ? FIL_F32 : FIL_BF16;
            snprintf(what, sizeof what, "%s, %s%s", info.name, k & 2 ? "f32" : "bf16",
                     k & 1 ? ", trusted" : "");
            keeps_its_plan(&r, what);
            close_rig(&r);
        }
}

static void frames_whole_and_in_tiles_keep_their_plan(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int k = 0; k < 8; k++) {
        rig  r;
        char what[100];
        open_rig(&r, k & 1 ? FIL_OPEN_TRUSTED : 0, 0);
        r.o.vae_tiles   = (k & 2) != 0;
        r.o.precision   = k & 4 ? FIL_F32 : FIL_BF16;
        r.o.save_frames = r.frames;
        snprintf(what, sizeof what, "frames %s, %s%s", k & 2 ? "in tiles" : "whole",
                 k & 4 ? "f32" : "bf16", k & 1 ? ", trusted" : "");
        keeps_its_plan(&r, what);
        assert_int_equal(r.plan.vae_tiles, (k & 2) != 0);
        /* [3, H, W] f32 of 32 and 10 columns of latents, each with a CRC, behind 288 bytes */
        const uint64_t spool = 288 + FRAMES * ((uint64_t)3 * 4 * H * (256 + 80) + 2 * 4);
        assert_int_equal(r.plan.spool_bytes, k & 2 ? spool : 0);
        assert_true(r.plan.vae_flops > 0.0);
        assert_non_null(r.plan.conv_kernel);
        close_rig(&r);
    }
}

static void small_frames_are_never_cut(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig r;
    open_rig(&r, 0, 0);
    r.o.vae_tiles   = 1;
    r.o.width       = 256;
    r.o.save_frames = r.frames;
    check(&r);
    assert_int_equal(r.plan.vae_tiles, 0);
    assert_int_equal(r.plan.spool_bytes, 0);
    close_rig(&r);
}

static void parts_of_the_work_add_up(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig r;
    open_rig(&r, 0, 0);
    r.o.save_frames = r.frames;
    check(&r);
    const fil_plan *p   = &r.plan;
    const double    sum = p->text_flops + p->attention_flops + p->linear_flops + p->vae_flops;
    assert_true(p->text_flops > 0.0 && p->attention_flops > 0.0 && p->linear_flops > 0.0);
    assert_true(p->flops == sum);
    assert_non_null(p->attention_kernel);
    assert_non_null(p->linear_kernel);
    close_rig(&r);
}

/* ---- weights that are streamed -------------------------------------------------------------- */

static void streamed_weights_give_the_same_bits_and_take_less(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int f32 = 0; f32 < 2; f32++) {
        float   *x[2];
        uint64_t weights[2];
        int64_t  n = 0;
        for (int32_t stream = 0; stream < 2; stream++) {
            rig r;
            open_rig(&r, 0, 0);
            r.o.stream_weights = stream;
            r.o.precision      = f32 ? FIL_F32 : FIL_BF16;
            keeps_its_plan(&r, stream ? "weights streamed" : "weights kept");
            assert_int_equal(r.plan.streamed, stream);
            weights[stream] = r.plan.weight_bytes;
            x[stream]       = fixture_tensor(r.ctx, r.latents, "latents", FIL_F32, &n);
            close_rig(&r);
        }
        assert_true(weights[1] < weights[0]);
        assert_memory_equal(x[0], x[1], (size_t)n * sizeof *x[0]);
        free(x[0]);
        free(x[1]);
    }
}

static uint64_t ahead; /* bytes that were announced */

static void count_ahead(void *self, int fd, uint64_t offset, uint64_t bytes)
{
    (void)self;
    (void)fd;
    (void)offset;
    ahead += bytes;
}

/* Layers that are read or mapped while it runs are announced before they are wanted: in each pass
 * as many bytes as in any other; copies are not. */
static void the_next_layer_is_announced_where_it_comes_from_the_file(void **state)
{
    uint64_t want = 0;
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int k = 0; k < 3; k++) { /* kept, streamed, in place */
        fili_os     os = fili_os_posix;
        fil_options opt;
        rig         r;
        open_rig(&r, k == 2 ? FIL_OPEN_TRUSTED : 0, 0);
        fil_model_close(&r.model);
        fil_ctx_close(&r.ctx);
        fil_options_init(&opt);
        os.will_read = count_ahead;
        assert_int_equal(fili_ctx_open_on(&os, &r.ctx, &opt), FIL_OK);
        r.model            = open_demo(r.ctx, k == 2 ? FIL_OPEN_TRUSTED : 0);
        r.o.stream_weights = k == 1;
        ahead              = 0;
        run(&r);
        if (k == 1) want = ahead;
        assert_true((ahead > 0) == (k > 0));
        assert_int_equal(ahead % PASSES, 0);
        if (k == 2) assert_int_equal(ahead, want);
        close_rig(&r);
    }
}

/* Weights that stay in the file are not streamed. */
static void weights_used_in_place_are_not_streamed(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig r;
    open_rig(&r, FIL_OPEN_TRUSTED, 0);
    r.o.stream_weights = 1;
    check(&r);
    assert_int_equal(r.plan.streamed, 0);
    assert_true(r.plan.weights_mapped_bytes > 0);
    close_rig(&r);
    open_rig(&r, 0, 0);
    check(&r);
    assert_int_equal(r.plan.weights_mapped_bytes, 0);
    close_rig(&r);
}

/* ---- the estimate --------------------------------------------------------------------------- */

static void an_estimate_is_made_where_it_is_asked_for(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig r;
    open_rig(&r, 0, 0);
    r.o.save_frames = r.frames;
    check(&r);
    assert_true(isnan(r.plan.estimate_seconds));
    if (fil_generate_estimate(r.model, &r.o, &r.plan) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r.ctx)->message);
    assert_true(r.plan.estimate_seconds > 0.0 && r.plan.estimate_seconds < 1e6);
    assert_int_equal(fil_generate_estimate(r.model, &r.o, NULL), FIL_E_ARG);
    assert_int_equal(fil_generate_estimate(r.model, NULL, &r.plan), FIL_E_ARG);
    assert_int_equal(fil_generate_estimate(NULL, &r.o, &r.plan), FIL_E_ARG);
    close_rig(&r);
}

typedef struct heard {
    int      planned, others;
    fil_plan plan;
} heard;

static void hear(void *user, const fil_event *event)
{
    heard *h = user;
    if (event->kind == FIL_EVENT_PLANNED) {
        assert_int_equal(h->planned + h->others, 0); /* the first */
        h->plan = *event->plan;
        h->planned++;
    } else {
        assert_null(event->plan);
        h->others++;
    }
}

static void the_plan_is_told_before_a_run_begins(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig   r;
    heard h = {.planned = 0};
    open_rig(&r, 0, 0);
    r.o.event      = hear;
    r.o.event_user = &h;
    run(&r);
    assert_int_equal(h.planned, 1);
    assert_true(h.others > 0);
    assert_true(h.plan.estimate_seconds > 0.0);
    assert_int_equal(h.plan.steps, STEPS);
    assert_true(r.result.peak_bytes <= h.plan.peak_bytes); /* measuring took no more */
    close_rig(&r);
}

static int stop(void *user)
{
    (void)user;
    return 1;
}

static void an_estimate_can_be_cancelled(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    fil_options opt;
    rig         r;
    open_rig(&r, 0, 0);
    fil_model_close(&r.model);
    fil_ctx_close(&r.ctx);
    fil_options_init(&opt);
    opt.cancel = stop;
    assert_int_equal(fil_ctx_open(&r.ctx, &opt), FIL_OK);
    r.model = open_demo(r.ctx, 0);
    assert_int_equal(fil_generate_estimate(r.model, &r.o, &r.plan), FIL_E_CANCELLED);
    close_rig(&r);
}

/* ---- limits --------------------------------------------------------------------------------- */

static uint64_t planned(int32_t tiles, int32_t stream, bool frames)
{
    rig r;
    open_rig(&r, 0, 0);
    r.o.vae_tiles      = tiles;
    r.o.stream_weights = stream;
    if (frames) r.o.save_frames = r.frames;
    check(&r);
    const uint64_t bytes = r.plan.peak_bytes;
    close_rig(&r);
    return bytes;
}

/* One byte less than whole frames take, and they are cut; the recipe says so, and without a limit
 * it gives the same frames. */
static void a_limit_chooses_tiles_and_the_recipe_keeps_them(void **state)
{
    const uint64_t whole = getenv("FIL_DEMO") != NULL ? planned(0, 0, true) : 0;
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig         r;
    int64_t     n;
    fil_recipe *recipe = NULL;
    assert_true(planned(1, 0, true) < whole); /* or the limit would not be one of decoding */
    open_rig(&r, 0, whole - 1);
    r.o.save_frames = r.frames;
    r.o.save_recipe = r.recipe;
    check(&r);
    assert_int_equal(r.plan.vae_tiles, 1);
    assert_int_equal(r.plan.streamed, 0);
    assert_true(r.plan.peak_bytes < whole);
    run(&r);
    assert_true(r.result.peak_bytes <= whole - 1);
    uint8_t *tiled = fixture_tensor(r.ctx, r.frames, "frames", FIL_U8, &n);
    close_rig(&r);

    open_rig(&r, 0, 0);
    assert_int_equal(fil_recipe_open(r.ctx, r.recipe, &recipe), FIL_OK);
    r.o = *fil_recipe_generate(recipe);
    assert_int_equal(r.o.vae_tiles, 1);
    run(&r);
    uint8_t *again = fixture_tensor(r.ctx, r.frames, "frames", FIL_U8, &n);
    assert_int_equal(n, BYTES);
    assert_memory_equal(tiled, again, (size_t)n);
    free(tiled);
    free(again);
    fil_recipe_close(&recipe);
    close_rig(&r);
}

static void a_limit_chooses_streaming_and_the_least_figure_is_enough(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    const uint64_t kept  = planned(0, 0, false);
    const uint64_t least = planned(0, 1, false);
    rig            r;
    char           figure[32];
    assert_true(least < kept);
    open_rig(&r, 0, kept - 1);
    check(&r);
    assert_int_equal(r.plan.streamed, 1);
    close_rig(&r);

    heard h = {.planned = 0};
    open_rig(&r, 0, least);
    r.o.event      = hear; /* measuring does not count where it has no room */
    r.o.event_user = &h;
    run(&r);
    assert_true(r.result.peak_bytes <= least);
    close_rig(&r);

    open_rig(&r, 0, least - 1);
    assert_int_equal(fil_generate(r.model, &r.o, &r.result), FIL_E_NOMEM);
    snprintf(figure, sizeof figure, "%llu bytes", (unsigned long long)least);
    if (strstr(fil_ctx_error(r.ctx)->message, figure) == NULL)
        fail_msg("'%s' does not say %s", fil_ctx_error(r.ctx)->message, figure);
    close_rig(&r);
}

static void what_is_not_to_be_chosen_is_refused(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig r;
    open_rig(&r, 0, planned(0, 0, true) - 1);
    r.o.save_frames = r.frames;
    r.o.vae_tiles   = 0;
    assert_int_equal(fil_generate_check(r.model, &r.o, &r.plan), FIL_E_NOMEM);
    close_rig(&r);
    open_rig(&r, 0, planned(0, 0, false) - 1);
    r.o.stream_weights = 0;
    assert_int_equal(fil_generate_check(r.model, &r.o, &r.plan), FIL_E_NOMEM);
    close_rig(&r);
}

static void numbers_that_mean_nothing_are_refused(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig r;
    open_rig(&r, 0, 0);
    r.o.vae_tiles = 2;
    assert_int_equal(fil_generate_check(r.model, &r.o, &r.plan), FIL_E_ARG);
    r.o.vae_tiles      = 0;
    r.o.stream_weights = -7;
    assert_int_equal(fil_generate_check(r.model, &r.o, &r.plan), FIL_E_ARG);
    close_rig(&r);
}

/* ---- decode --------------------------------------------------------------------------------- */

/* The frames of saved latents, to be freed. */
static uint8_t *decode(int32_t tiles, uint64_t limit, uint64_t *peak)
{
    rig                r;
    fil_decode_options d;
    int64_t            n;
    open_rig(&r, 0, limit);
    fil_decode_options_init(&d);
    d.latents     = r.latents;
    d.save_frames = r.frames;
    d.replace     = 1;
    d.vae_tiles   = tiles;
    if (fil_decode(r.model, &d, &r.result) != FIL_OK) fail_msg("%s", fil_ctx_error(r.ctx)->message);
    uint8_t *frames = fixture_tensor(r.ctx, r.frames, "frames", FIL_U8, &n);
    assert_int_equal(n, BYTES);
    *peak = r.result.peak_bytes;
    close_rig(&r);
    return frames;
}

static void decode_takes_tiles_and_a_limit_chooses_them(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig      r;
    uint64_t peak;
    uint64_t less;
    uint64_t least;
    open_rig(&r, 0, 0);
    run(&r);
    close_rig(&r);
    uint8_t *whole = decode(0, 0, &peak);
    uint8_t *tiled = decode(1, 0, &less);
    /* both are planned with a MiB for what is small */
    const uint64_t limit = less + MIB + MIB / 8;
    assert_true(limit < peak + MIB);
    uint8_t *chosen = decode(FIL_AUTO, limit, &least);
    assert_true(least <= limit);
    assert_memory_equal(tiled, chosen, BYTES);
    assert_true(memcmp(whole, tiled, BYTES) != 0);
    free(whole);
    free(tiled);
    free(chosen);
}

/* ---- room on disk --------------------------------------------------------------------------- */

/* A disk with so much room; -1: it does not say. */
typedef struct disk {
    int64_t free;
    int     asked;
    int64_t steps; /* that were begun */
} disk;

static int disk_free(void *self, int fd, uint64_t *bytes)
{
    disk *d = self;
    assert_true(fd >= 0);
    d->asked++;
    *bytes = (uint64_t)d->free;
    return d->free < 0 ? -ENOTSUP : 0;
}

static void count_steps(void *user, const fil_progress *p)
{
    disk *d = user;
    if (strcmp(p->phase, "sample") == 0) d->steps++;
}

/* Nothing of the run is there. */
static void open_on_disk(rig *r, fili_os *os, disk *d)
{
    fil_options opt;
    open_rig(r, 0, 0);
    (void)remove(r->latents);
    (void)remove(r->frames);
    fil_model_close(&r->model);
    fil_ctx_close(&r->ctx);
    *os           = fili_os_posix;
    os->self      = d;
    os->disk_free = disk_free;
    fil_options_init(&opt);
    opt.n_threads = 1;
    opt.progress  = count_steps;
    opt.user      = d;
    assert_int_equal(fili_ctx_open_on(os, &r->ctx, &opt), FIL_OK);
    r->model         = open_demo(r->ctx, 0);
    r->o.vae_tiles   = 1;
    r->o.save_frames = r->frames;
}

static void refuses(rig *r, uint64_t needed, uint64_t room)
{
    char figures[200];
    assert_int_equal(fil_generate(r->model, &r->o, &r->result), FIL_E_IO);
    snprintf(figures, sizeof figures, "': %llu bytes are needed, most of them for ",
             (unsigned long long)needed);
    if (strstr(fil_ctx_error(r->ctx)->message, figures) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(r->ctx)->message, figures);
    snprintf(figures, sizeof figures, "; %llu are free", (unsigned long long)room);
    if (strstr(fil_ctx_error(r->ctx)->message, figures) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(r->ctx)->message, figures);
}

static void too_little_room_is_told_before_the_first_step(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig     r;
    fili_os os;
    disk    d = {.free = -1};
    open_on_disk(&r, &os, &d);
    for (int tiles = 1; tiles >= 0; tiles--) { /* whole frames do not wait */
        r.o.vae_tiles = tiles;
        d.free        = -1;
        check(&r);
        const uint64_t needed = r.plan.disk_bytes;
        assert_int_equal(needed, r.plan.spool_bytes + BYTES + LATENTS);
        assert_int_equal(r.plan.stays_bytes, BYTES + LATENTS);
        assert_int_equal(r.plan.spool_bytes > 0, tiles);
        d.free = (int64_t)needed - 1;
        refuses(&r, needed, needed - 1);
        assert_int_equal(d.steps, 0);
        d.free = (int64_t)needed;
        check(&r);
    }
    close_rig(&r);
}

/* What is there of them counts, when a run goes on and when it begins anew. */
static void what_is_on_disk_already_is_not_asked_for_again(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig     r;
    fili_os os;
    disk    d = {.free = -1};
    char    saved[300];
    char    kept[320];
    open_on_disk(&r, &os, &d);
    snprintf(saved, sizeof saved, "%s/s", dir.path);
    snprintf(kept, sizeof kept, "%s.frames", saved);
    r.o.checkpoint = saved;
    check(&r);
    const uint64_t needed = r.plan.disk_bytes;
    scratch_write(&dir, "s.frames", "filigree.frames.", 16);
    d.free = (int64_t)needed - 17;
    refuses(&r, needed - 16, needed - 17);
    d.free = (int64_t)needed - 16;
    check(&r);
    assert_int_equal(remove(kept), 0);
    close_rig(&r);
}

static void decode_asks_for_room_too(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    rig                r;
    fili_os            os;
    fil_decode_options o;
    disk               d = {.free = -1};
    open_on_disk(&r, &os, &d);
    run(&r);
    check(&r);
    fil_decode_options_init(&o);
    o.latents     = r.latents;
    o.save_frames = r.frames;
    o.replace     = 1;
    o.vae_tiles   = 1;
    d.free        = (int64_t)r.plan.spool_bytes + BYTES - 1; /* beside the frames that are there */
    assert_int_equal(fil_decode(r.model, &o, NULL), FIL_E_IO);
    assert_non_null(strstr(fil_ctx_error(r.ctx)->message, "are free"));
    d.free++;
    assert_int_equal(fil_decode(r.model, &o, NULL), FIL_OK);
    close_rig(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_policy_keeps_its_plan),
        cmocka_unit_test(frames_whole_and_in_tiles_keep_their_plan),
        cmocka_unit_test(small_frames_are_never_cut),
        cmocka_unit_test(parts_of_the_work_add_up),
        cmocka_unit_test(streamed_weights_give_the_same_bits_and_take_less),
        cmocka_unit_test(weights_used_in_place_are_not_streamed),
        cmocka_unit_test(the_next_layer_is_announced_where_it_comes_from_the_file),
        cmocka_unit_test(an_estimate_is_made_where_it_is_asked_for),
        cmocka_unit_test(the_plan_is_told_before_a_run_begins),
        cmocka_unit_test(an_estimate_can_be_cancelled),
        cmocka_unit_test(a_limit_chooses_tiles_and_the_recipe_keeps_them),
        cmocka_unit_test(a_limit_chooses_streaming_and_the_least_figure_is_enough),
        cmocka_unit_test(what_is_not_to_be_chosen_is_refused),
        cmocka_unit_test(numbers_that_mean_nothing_are_refused),
        cmocka_unit_test(decode_takes_tiles_and_a_limit_chooses_them),
        cmocka_unit_test(too_little_room_is_told_before_the_first_step),
        cmocka_unit_test(what_is_on_disk_already_is_not_asked_for_again),
        cmocka_unit_test(decode_asks_for_room_too),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
