/* tests/unit/test_checkpoint.c: what a save leaves behind when it fails or is killed
 * (engine/checkpoint.h): the former state or the new one, whole, always. Runs: test_resume.c.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "engine/video_job.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/power.h"
#include "support/sanitized.h"

enum { STEPS = 1000, ROWS = 5, TEXT_DIM = 32 };

/* ---- a run that computes nothing ------------------------------------------------------------ */

/* Latents are the number of the step, everywhere. */
typedef struct run {
    scratch     dir;
    char        path[300];
    fil_ctx    *ctx;
    fil_model   model;
    fili_job    job;
    fili_solver solver;
    float       rows[ROWS * TEXT_DIM];
} run;

static const fili_policy_setup setup = {.grid     = {2, 8, 8},
                                        .layers   = 2,
                                        .steps    = STEPS,
                                        .passes   = 1,
                                        .heads    = 2,
                                        .head_dim = 64,
                                        .dtype    = FIL_BF16};

static void open_run(run *r, const fili_os *os, int64_t side)
{
    fil_policy_options policy;
    fil_options        opt;
    fil_policy_options_init(&policy);
    fil_options_init(&opt);
    opt.n_threads = 1;
    assert_int_equal(fili_ctx_open_on(os, &r->ctx, &opt), FIL_OK);
    fili_job *job             = &r->job;
    *job                      = (fili_job){.ctx = r->ctx, .model = &r->model};
    job->plan.steps           = STEPS;
    job->plan.passes          = 1;
    job->dit.text_dim         = TEXT_DIM;
    job->prompt[0].n          = ROWS;
    job->prompt[0].rows       = r->rows;
    job->o.checkpoint_steps   = 1;
    job->o.checkpoint_seconds = FIL_AUTO;
    const int64_t shape[]     = {16, 2, side, side};
    job->n                    = 16 * 2 * side * side;
    memcpy(job->shape, shape, sizeof shape);
    memset(r->rows, 0, sizeof r->rows);
    fili_arena_init(&job->arena, r->ctx, "a test", 0);
    assert_int_equal(fili_policy_run_open(&job->policy, r->ctx, &policy, &setup), FIL_OK);
    job->latents = calloc((size_t)job->n, sizeof(float));
    assert_non_null(job->latents);
    r->solver = (fili_solver){.ctx    = r->ctx,
                              .state  = {.n_steps = STEPS, .n = job->n},
                              .arrays = calloc((size_t)job->n * FILI_SOLVER_ARRAYS, sizeof(float))};
    assert_non_null(r->solver.arrays);
    fili_checkpoint *k = &job->checkpoint;
    *k                 = (fili_checkpoint){.path = r->path, .recipe = "{}", .saved_step = -1};
    k->policy_bytes    = fili_policy_state_bytes(job->policy.policy);
    assert_int_equal(fili_checkpoint_begin(job, &r->solver), FIL_OK);
}

static void close_run(run *r)
{
    free(r->job.latents);
    free(r->solver.arrays);
    fili_policy_run_close(&r->job.policy);
    fili_arena_fini(&r->job.arena);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
}

static void save_step(run *r, int32_t step)
{
    r->solver.state.step = step;
    for (int64_t i = 0; i < r->job.n; i++)
        r->job.latents[i] = (float)step;
    fili_checkpoint_step(&r->job, &r->solver);
}

/* The step whose state the file holds, whole; 0: there is none. */
static int32_t step_in(const run *r)
{
    fil_ctx *ctx;
    int64_t  n;
    int64_t  m;
    FILE    *f = fopen(r->path, "rb");
    if (f == NULL) return 0;
    fclose(f);
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    float            *x = fixture_tensor(ctx, r->path, "latents", FIL_F32, &n);
    uint8_t          *s = fixture_tensor(ctx, r->path, "solver_state", FIL_U8, &m);
    fili_solver_state state;
    assert_int_equal(m, sizeof state);
    memcpy(&state, s, sizeof state);
    for (int64_t i = 0; i < n; i++)
        if (!(x[i] == (float)state.step))
            fail_msg("step %d holds a latent of step %g", (int)state.step, (double)x[i]);
    free(x);
    free(s);
    fil_ctx_close(&ctx);
    return state.step;
}

static int32_t files_in(const run *r)
{
    char  command[400];
    char  line[64] = "";
    FILE *f;
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", r->dir.path);
    f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    pclose(f);
    return (int32_t)atoi(line);
}

static void begin(run *r)
{
    memset(r, 0, sizeof *r);
    scratch_make(&r->dir);
    snprintf(r->path, sizeof r->path, "%s/run.safetensors", r->dir.path);
}

/* ---- failures ------------------------------------------------------------------------------- */

/* Every call of the second of three saves fails once: the first state stands, no other file is
 * left, and the third save succeeds. */
static void any_failing_call_leaves_the_former_state(void **state)
{
    (void)state;
    int64_t failures = 0;
    for (int64_t at = 0;; at++) {
        os_fault      fault = {.call = OS_ANY, .at = -1, .error = ENOSPC};
        const fili_os os    = os_fault_table(&fault);
        run           r;
        begin(&r);
        open_run(&r, &os, 8);
        save_step(&r, 1);
        assert_int_equal(step_in(&r), 1);
        fault.calls = 0;
        fault.at    = at;
        save_step(&r, 2);
        fault.at             = -1;
        const int32_t second = step_in(&r);
        const int     failed = r.job.checkpoint.failures;
        failures += failed;
        assert_int_equal(fil_ctx_error(r.ctx)->status, FIL_OK); /* no failure of the run */
        if (second != (failed ? 1 : 2) && fault.failed == 0)
            fail_msg("call %lld: state %d, %d failures", (long long)at, (int)second, failed);
        assert_true(second == 1 || second == 2);
        save_step(&r, 3);
        assert_int_equal(step_in(&r), 3);
        assert_int_equal(r.job.checkpoint.saved_step, 3);
        close_run(&r);
        scratch_remove(&r.dir);
        if (fault.failed == 0) break;
        assert_true(at < 200);
    }
    print_message("%lld calls made a save fail\n", (long long)failures);
    assert_true(failures >= 5); /* open, size, write, sync, rename at least */
}

typedef struct small_disk {
    fili_os real;
    int64_t room; /* bytes; -1: endless */
} small_disk;

/* What does not fit is written as far as it does. */
static int64_t pwrite_small(void *self, int fd, const void *src, size_t bytes, uint64_t offset)
{
    small_disk *d = self;
    if (d->room == 0) return -ENOSPC;
    if (d->room > 0 && (int64_t)bytes > d->room) bytes = (size_t)d->room;
    if (d->room > 0) d->room -= (int64_t)bytes;
    return d->real.pwrite(d->real.self, fd, src, bytes, offset);
}

static void a_disk_that_is_full_at_every_4_kib_loses_nothing(void **state)
{
    small_disk disk = {.real = fili_os_posix, .room = -1};
    fili_os    os   = fili_os_posix;
    int32_t    step = 1;
    int        full = 0;
    run        r;
    (void)state;
    os.self   = &disk;
    os.pwrite = pwrite_small;
    begin(&r);
    open_run(&r, &os, 16);
    save_step(&r, step);
    for (int64_t room = 0;; room += 4096) {
        const int32_t failures = r.job.checkpoint.failures;
        disk.room              = room;
        save_step(&r, step + 1);
        disk.room        = -1;
        const int failed = r.job.checkpoint.failures - failures;
        assert_int_equal(step_in(&r), failed ? step : step + 1);
        assert_int_equal(files_in(&r), 1);
        full += failed;
        if (!failed) break;
        step++; /* the next one is tried from the next step */
        save_step(&r, step);
        assert_int_equal(step_in(&r), step);
    }
    print_message("the disk was full %d times\n", full);
    assert_true(full >= 32);
    close_run(&r);
    scratch_remove(&r.dir);
}

/* ---- the power goes ------------------------------------------------------------------------- */

/* The state of step 1 stands when the one of step 2 is saved. 1: the power went before the save had
 * come back. */
static int cut_at(int64_t at, int torn, int loses_names)
{
    power   p  = {.at = -1, .torn = torn};
    fili_os os = power_table(&p);
    run     r;
    begin(&r);
    open_run(&r, &os, 8);
    save_step(&r, 1);
    assert_int_equal(r.job.checkpoint.failures, 0);
    p.at = p.calls + at;
    save_step(&r, 2);
    const int cut = p.off;
    power_cut(&p, loses_names);
    const int32_t step = step_in(&r);
    if (step != 2 && (step != 1 || !cut))
        fail_msg("call %lld, torn %d, names lost %d: state %d", (long long)at, torn, loses_names,
                 (int)step);
    close_run(&r);

    open_run(&r, &fili_os_posix, 8); /* the next process */
    save_step(&r, 3);
    assert_int_equal(step_in(&r), 3);
    assert_int_equal(files_in(&r), 1);
    close_run(&r);
    scratch_remove(&r.dir);
    return cut;
}

static void a_power_cut_at_any_call_leaves_one_of_two_states(void **state)
{
    int64_t cuts = 0;
    int     more = 1;
    (void)state;
    for (int64_t at = 0; more; at++) {
        more = 0;
        for (int i = 0; i < 4; i++)
            more |= cut_at(at, i % 2, i / 2);
        cuts += 4 * more;
        assert_true(at < 200);
    }
    print_message("%lld power cuts\n", (long long)cuts);
    assert_true(cuts >= 4 * 8);
}

/* ---- kill -9 -------------------------------------------------------------------------------- */

static void save_for_ever(run *r)
{
    open_run(r, &fili_os_posix, 240); /* 7.4 MB of latents, 29 MB in all */
    for (int32_t step = 1; step < STEPS; step++)
        save_step(r, step);
    _exit(0);
}

static void wait_for_first(const run *r)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < 5000 && access(r->path, F_OK) != 0; i++)
        (void)nanosleep(&pause, NULL);
    assert_int_equal(access(r->path, F_OK), 0);
}

/* At random times over about two saves of 29 MB. The full count takes minutes: FIL_CHECK_KILLS. */
static void a_killed_save_never_loses_a_state(void **state)
{
    const char *given = getenv("FIL_CHECK_KILLS");
    const int   kills = given != NULL ? atoi(given) : SANITIZED ? 2 : 12;
    int32_t     least = 0;
    run         r;
    (void)state;
    begin(&r);
    for (int i = 0; i < kills; i++) {
        const struct timespec pause = {.tv_nsec =
                                           (long)(fili_philox_u32(1, 2, (uint64_t)i) % 900000000u)};
        const pid_t           child = fork();
        assert_true(child >= 0);
        if (child == 0) save_for_ever(&r);
        wait_for_first(&r);
        (void)nanosleep(&pause, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        const int32_t step = step_in(&r);
        assert_true(step >= 1);
        least = least == 0 || step < least ? step : least;
    }
    print_message("%d kills, least step %d, files left %d\n", kills, (int)least, (int)files_in(&r));
    open_run(&r, &fili_os_posix, 8); /* the next save removes what a killed one has left */
    save_step(&r, 1);
    assert_int_equal(r.job.checkpoint.failures, 0);
    assert_int_equal(files_in(&r), 1);
    close_run(&r);
    scratch_remove(&r.dir);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(any_failing_call_leaves_the_former_state),
        TEST(a_disk_that_is_full_at_every_4_kib_loses_nothing),
        TEST(a_power_cut_at_any_call_leaves_one_of_two_states),
        TEST(a_killed_save_never_loses_a_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
