/* tests/unit/test_calibrate.c: fil_calibrate on the demo checkpoint that make_demo writes, and its
 * parts on the tiny model of the outside fixtures: maps, profiles, memory, threads, states.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/calibration.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"

enum { STEPS = 3 };

static scratch dir;
static char    paths[8][320];
static int     n_paths;

typedef struct bench {
    fil_ctx              *ctx;
    fil_model            *model;
    fil_generate_options  run;
    fil_calibrate_options o;
} bench;

static const char *path(const char *name)
{
    for (int i = 0; i < n_paths; i++)
        if (strcmp(strrchr(paths[i], '/') + 1, name) == 0) return paths[i];
    assert_true(n_paths < 8);
    snprintf(paths[n_paths], sizeof paths[0], "%s/%s", dir.path, name);
    return paths[n_paths++];
}

static int set_up(void **state)
{
    static const char prompts[] = "a red fox\n\nwaves at night\n";
    (void)state;
    scratch_make(&dir);
    n_paths = 0;
    scratch_write(&dir, "p.txt", prompts, sizeof prompts - 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return 0;
}

static void open_on(bench *b, const char *model, const fil_options *opt)
{
    fil_model_options m;
    assert_int_equal(fil_ctx_open(&b->ctx, opt), FIL_OK);
    fil_model_options_init(&m);
    m.dir = model;
    if (fil_model_open(b->ctx, &m, &b->model) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
    fil_generate_options_init(&b->run);
    b->run.width     = 96;
    b->run.height    = 96;
    b->run.frames    = 9;
    b->run.steps     = STEPS;
    b->run.precision = FIL_F32;
    b->run.negative  = "";
    fil_calibrate_options_init(&b->o);
    b->o.run         = &b->run;
    b->o.prompt_file = path("p.txt");
    b->o.output      = path("t.safetensors");
    b->o.replace     = 1;
    b->o.step_groups = 2;
    b->o.order       = "hilbert";
}

static void open_bench(bench *b, int32_t threads)
{
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = threads;
    open_on(b, getenv("FIL_DEMO"), &opt);
}

static void close_bench(bench *b)
{
    fil_model_close(&b->model);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
}

static fil_calibrate_result calibrate(bench *b)
{
    fil_calibrate_result r;
    if (fil_calibrate(b->model, &b->o, &r) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
    return r;
}

static void says(const bench *b, const char *words)
{
    const fil_error *e = fil_ctx_error(b->ctx);
    if (strstr(e->message, words) == NULL) fail_msg("'%s' says nothing of '%s'", e->message, words);
}

static unsigned char *bytes_of(const char *name, size_t *bytes)
{
    return scratch_read(&dir, name, bytes);
}

static void same_files(const char *a, const char *b)
{
    size_t         n;
    size_t         m;
    unsigned char *x = bytes_of(a, &n);
    unsigned char *y = bytes_of(b, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

/* ---- what comes out ------------------------------------------------------------------------- */

static void open_topology(const bench *b, fili_topology *t)
{
    if (fili_topology_open(t, b->ctx, b->o.output) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
}

/* Levels of a map, densities that fit it, fidelities that rise to 1, errors that fall to 0. */
static void check_profiles(const fili_topology *t)
{
    const fili_topology_info *i        = &t->info;
    const size_t              n        = (size_t)(fili_topology_profile_bytes(i) / sizeof(float));
    float                    *density  = malloc(n * sizeof *density);
    float                    *fidelity = malloc(n * sizeof *fidelity);
    float                    *error    = malloc(n * sizeof *error);
    assert_non_null(density);
    assert_non_null(fidelity);
    assert_non_null(error);
    assert_int_equal(fili_topology_read_profile(t, t->density, density), FIL_OK);
    assert_int_equal(fili_topology_read_profile(t, t->fidelity, fidelity), FIL_OK);
    assert_int_equal(fili_topology_read_profile(t, t->error, error), FIL_OK);
    for (size_t at = 0; at < n; at += (size_t)i->n_levels) {
        const size_t last = at + (size_t)i->n_levels - 1;
        for (size_t k = at; k < last; k++) {
            assert_true(density[k] <= density[k + 1]);
            assert_true(fidelity[k] <= fidelity[k + 1] + 1e-6f);
        }
        assert_true(density[last] == 1.0f);
        assert_true(fidelity[last] > 0.999f);
        assert_true(error[last] <= 1e-6f);
        assert_true(error[at] >= 0.0f);
    }
    free(density);
    free(fidelity);
    free(error);
}

static void a_topology_comes_out_that_says_what_it_is(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench                b = {.ctx = NULL};
    fil_calibrate_plan   plan;
    static fili_topology t;
    open_bench(&b, 1);
    assert_int_equal(fil_calibrate_check(b.model, &b.o, &plan), FIL_OK);
    assert_int_equal(scratch_count(&dir), 1); /* the prompts */
    const fil_calibrate_result r = calibrate(&b);
    assert_int_equal(scratch_count(&dir), 2); /* no state is left */
    assert_int_equal(r.prompts, 2);
    assert_int_equal(r.resumed, 0);
    open_topology(&b, &t);
    assert_int_equal(t.info.layers, plan.layers);
    assert_int_equal(t.info.heads, plan.heads);
    assert_int_equal(t.info.steps, STEPS);
    assert_int_equal(t.info.groups, 2);
    assert_int_equal(t.info.passes, 1);
    assert_int_equal(t.info.m, plan.blocks);
    assert_string_equal(t.info.order, "hilbert");
    assert_string_equal(t.info.sampler, "unipc");
    assert_string_equal(t.info.sigma_grid, "wan-unipc");
    assert_int_equal(strlen(t.info.model_hash), 64);
    assert_int_equal(t.step_group[0], 0);
    assert_int_equal(t.step_group[2], 1);
    check_profiles(&t);
    fili_topology_close(&t);
    close_bench(&b);
}

static void the_plan_holds(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int mean = 0; mean < 2; mean++) {
        bench              b = {.ctx = NULL};
        fil_calibrate_plan plan;
        size_t             bytes;
        open_bench(&b, 2);
        b.o.map   = mean ? "mean" : "union";
        b.o.block = mean ? 128 : 64;
        assert_int_equal(fil_calibrate_check(b.model, &b.o, &plan), FIL_OK);
        close_bench(&b);
        open_bench(&b, 2); /* a peak of its own */
        b.o.map                      = mean ? "mean" : "union";
        b.o.block                    = mean ? 128 : 64;
        const fil_calibrate_result r = calibrate(&b);
        if (!(r.peak_bytes <= plan.peak_bytes))
            fail_msg("peak %llu, planned %llu", (unsigned long long)r.peak_bytes,
                     (unsigned long long)plan.peak_bytes);
        free(bytes_of("t.safetensors", &bytes));
        assert_true(bytes >= plan.file_bytes && bytes <= plan.file_bytes + 8192);
        assert_int_equal(r.file_bytes, plan.file_bytes);
        close_bench(&b);
    }
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b = {.ctx = NULL};
    open_bench(&b, 1);
    (void)calibrate(&b);
    close_bench(&b);
    open_bench(&b, 3);
    b.o.output = path("u.safetensors");
    (void)calibrate(&b);
    close_bench(&b);
    same_files("t.safetensors", "u.safetensors");
}

static void one_prompt_makes_the_same_maps_by_union_and_nearly_by_mean(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    static fili_topology t[2];
    bench                b = {.ctx = NULL};
    scratch_write(&dir, "p.txt", "a fox\n", 6);
    open_bench(&b, 1);
    b.o.step_groups = STEPS;
    b.o.split       = 1; /* one call per map: nothing to unite */
    (void)calibrate(&b);
    open_topology(&b, &t[0]);
    b.o.map    = "mean";
    b.o.output = path("u.safetensors");
    (void)calibrate(&b);
    open_topology(&b, &t[1]);
    assert_string_equal(t[1].info.map, "mean");
    const size_t bytes  = (size_t)fili_topology_map_bytes(&t[0].info);
    uint8_t     *map[2] = {malloc(bytes), malloc(bytes)};
    int32_t      differ = 0;
    for (int32_t l = 0; l < t[0].info.layers; l++)
        for (int32_t g = 0; g < STEPS; g++)
            for (int32_t p = 0; p < 2; p++) {
                for (int i = 0; i < 2; i++)
                    assert_int_equal(fili_topology_read_map(&t[i], l, g, p, map[i]), FIL_OK);
                for (size_t k = 0; k < bytes; k++)
                    differ += map[0][k] != map[1][k];
            }
    assert_true(differ <= (int32_t)bytes / 100);
    for (int i = 0; i < 2; i++) {
        free(map[i]);
        fili_topology_close(&t[i]);
    }
    close_bench(&b);
}

/* ---- told on the way ------------------------------------------------------------------------ */

typedef struct told {
    int     n, resumed, stop_at;
    double  added[8], kept[8];
    int32_t stop;
} told;

static void hear(void *user, const fil_calibrate_prompt *p)
{
    told *t = user;
    assert_int_equal(p->index, t->n);
    t->added[t->n] = p->added;
    t->kept[t->n]  = p->kept;
    t->resumed += p->resumed;
    t->n++;
    t->stop = t->n == t->stop_at;
}

static int stops(void *user)
{
    return ((const told *)user)->stop;
}

static void a_prompt_seen_twice_adds_nothing_and_growth_is_told(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b = {.ctx = NULL};
    told  t = {.n = 0};
    open_bench(&b, 1);
    b.o.prompt_done = hear;
    b.o.user        = &t;
    (void)calibrate(&b);
    assert_int_equal(t.n, 2);
    assert_true(t.added[0] > 0.0 && t.added[1] >= 0.0 && t.added[1] < t.added[0]);
    assert_true(t.kept[0] > 0.0 && t.kept[1] >= t.kept[0] && t.kept[1] <= 1.0);
    close_bench(&b);
}

static void a_stopped_calibration_goes_on_to_the_same_file(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int mean = 0; mean < 2; mean++) {
        bench       b = {.ctx = NULL};
        told        t = {.stop_at = 1};
        fil_options opt;
        fil_options_init(&opt);
        opt.cancel = stops;
        opt.user   = &t;
        open_on(&b, getenv("FIL_DEMO"), &opt);
        b.o.map         = mean ? "mean" : "union";
        b.o.prompt_done = hear;
        b.o.user        = &t;
        assert_int_equal(fil_calibrate(b.model, &b.o, NULL), FIL_E_CANCELLED);
        assert_int_equal(t.n, 1);
        assert_int_equal(scratch_count(&dir), 2 + 2 * mean); /* prompts, state */
        b.o.budgets = "error";                               /* does not bear on the maps */
        b.o.budgets = NULL;
        t           = (told){.n = 0};
        fil_calibrate_plan plan;
        assert_int_equal(fil_calibrate_check(b.model, &b.o, &plan), FIL_OK);
        assert_int_equal(plan.done, 1);
        assert_int_equal(calibrate(&b).resumed, 1);
        assert_int_equal(t.resumed, 1);
        assert_int_equal(t.n, 2);
        b.o.output      = path("u.safetensors");
        b.o.prompt_done = NULL;
        (void)calibrate(&b);
        same_files("t.safetensors", "u.safetensors");
        close_bench(&b);
    }
}

static void a_state_of_another_command_is_refused(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench       b = {.ctx = NULL};
    told        t = {.stop_at = 1};
    fil_options opt;
    fil_options_init(&opt);
    opt.cancel = stops;
    opt.user   = &t;
    open_on(&b, getenv("FIL_DEMO"), &opt);
    b.o.prompt_done = hear;
    b.o.user        = &t;
    assert_int_equal(fil_calibrate(b.model, &b.o, NULL), FIL_E_CANCELLED);
    t.stop = 0;
#define REFUSED(change, undo, words)                                                               \
    do {                                                                                           \
        change;                                                                                    \
        assert_int_equal(fil_calibrate(b.model, &b.o, NULL), FIL_E_MISMATCH);                      \
        says(&b, words);                                                                           \
        undo;                                                                                      \
    } while (0)
    REFUSED(b.run.steps = 2, b.run.steps = STEPS, "steps was 3, is 2");
    REFUSED(b.run.seed = 7, b.run.seed = 0, "seed was 0, is 7");
    REFUSED(b.o.map = "mean", b.o.map = NULL, "map was union, is mean");
    REFUSED(b.o.levels = 32, b.o.levels = 64, "levels was 64, is 32");
    REFUSED(b.run.guidance = 4.0, b.run.guidance = FIL_AUTO, "cfg was 5, is 4");
    scratch_write(&dir, "p.txt", "a fox\n", 6);
    REFUSED((void)0, (void)0, "prompts_hash");
    scratch_write(&dir, "t.safetensors.state", "x", 1);
    assert_int_not_equal(fil_calibrate(b.model, &b.o, NULL), FIL_OK);
    close_bench(&b);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void what_makes_no_sense_is_refused_before_any_work(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b = {.ctx = NULL};
    open_bench(&b, 1);
    const fil_calibrate_options o   = b.o;
    const fil_generate_options  run = b.run;
#define WRONG(place, value, words)                                                                 \
    do {                                                                                           \
        fil_calibrate_plan plan;                                                                   \
        b.place = (value);                                                                         \
        assert_int_equal(fil_calibrate_check(b.model, &b.o, &plan), FIL_E_ARG);                    \
        says(&b, words);                                                                           \
        b.o   = o;                                                                                 \
        b.run = run;                                                                               \
    } while (0)
    WRONG(o.block, 96, "block");
    WRONG(o.step_groups, 0, "step groups");
    WRONG(o.step_groups, STEPS + 1, "step groups");
    WRONG(o.levels, 1, "levels");
    WRONG(o.levels, 129, "levels");
    WRONG(o.rows, 0, "rows");
    WRONG(o.map, "sum", "map");
    WRONG(o.fidelity, "best", "fidelity");
    WRONG(o.budgets, "best", "budgets");
    WRONG(o.density, (double)NAN, "density");
    WRONG(o.density, 0.0, "density");
    WRONG(o.wanted_fidelity, 1.5, "fidelity");
    WRONG(o.order, "spiral", "spiral");
    WRONG(o.run, NULL, "run is NULL");
    WRONG(o.prompt_file, NULL, "file of prompts");
    WRONG(o.output, NULL, "output");
    WRONG(o.split, 2, "split");
    WRONG(run.prompt, "a fox", "prompts in a file");
    WRONG(run.video, "a.mp4", "keeps no video");
    WRONG(run.noise, "n", "noise");
    WRONG(run.mask, "m", "mask");
    WRONG(run.width, 100, "width");
    close_bench(&b);
}

static void memory_that_is_not_there_is_told_before(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench              b = {.ctx = NULL};
    fil_calibrate_plan plan;
    fil_options        opt;
    open_bench(&b, 1);
    assert_int_equal(fil_calibrate_check(b.model, &b.o, &plan), FIL_OK);
    close_bench(&b);
    fil_options_init(&opt);
    opt.n_threads      = 1;
    opt.max_host_bytes = plan.peak_bytes - 1000;
    open_on(&b, getenv("FIL_DEMO"), &opt);
    assert_int_equal(fil_calibrate_check(b.model, &b.o, &plan), FIL_E_NOMEM);
    says(&b, "calibrating");
    close_bench(&b);
    opt.max_host_bytes = plan.peak_bytes * 2;
    open_on(&b, getenv("FIL_DEMO"), &opt);
    (void)calibrate(&b);
    close_bench(&b);
}

/* ---- fixtures ------------------------------------------------------------------------------- */

/* The tiny model: a run under the table at full density is the dense run, bit for bit; and at a
 * lower one the density that is counted is the one asked for. */
static void the_tiny_model_of_the_fixtures_runs_under_its_table(void **state)
{
    (void)state;
    char                 model[320];
    bench                b = {.ctx = NULL};
    fil_options          opt;
    fil_policy_options   policy;
    fil_video_result     dense;
    fil_video_result     sparse;
    fil_generate_options o;
    if (fixture_path("") == NULL) skip();
    snprintf(model, sizeof model, "%s", fixture_path("pipeline"));
    fil_options_init(&opt);
    open_on(&b, model, &opt);
    b.run.width  = 128;
    b.run.height = 128;
    b.run.frames = 17;
    (void)calibrate(&b);
    o        = b.run;
    o.prompt = "A red fox in the snow.";
    o.policy = &policy;
    fil_policy_options_init(&policy);
    policy.order   = "hilbert";
    o.save_latents = path("a.safetensors");
    assert_int_equal(fil_generate(b.model, &o, &dense), FIL_OK);
    policy.name     = "west";
    policy.topology = b.o.output;
    policy.density  = 1.0;
    o.save_latents  = path("b.safetensors");
    assert_int_equal(fil_generate(b.model, &o, &sparse), FIL_OK);
    assert_true(dense.density == 1.0);
    same_files("a.safetensors", "b.safetensors");
    assert_true(sparse.density == 1.0);
    policy.density = 0.8;
    o.save_latents = path("c.safetensors");
    if (fil_generate(b.model, &o, &sparse) != FIL_OK) fail_msg("%s", fil_ctx_error(b.ctx)->message);
    assert_true(sparse.density <= 0.8 + 1e-6 && sparse.density > 0.4);
    o.policy = NULL;
    o.preset = FIL_PRESET_OFFICIAL;
    close_bench(&b);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_topology_comes_out_that_says_what_it_is),
        TEST(the_plan_holds),
        TEST(threads_do_not_matter),
        TEST(one_prompt_makes_the_same_maps_by_union_and_nearly_by_mean),
        TEST(a_prompt_seen_twice_adds_nothing_and_growth_is_told),
        TEST(a_stopped_calibration_goes_on_to_the_same_file),
        TEST(a_state_of_another_command_is_refused),
        TEST(what_makes_no_sense_is_refused_before_any_work),
        TEST(memory_that_is_not_there_is_told_before),
        TEST(the_tiny_model_of_the_fixtures_runs_under_its_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
