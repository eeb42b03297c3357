/* tests/unit/test_dit_device.c: a DiT that lies on a device (wan/dit.h), over a backend whose
 * device is this CPU and whose memory faults for everybody else: the values and the velocity of a
 * DiT on the host, streamed or not, with a choice that reads rows; what is told of its memory; and
 * errors.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/device.h"
#include "base/rng.h"
#include "support/cmocka_all.h"
#include "support/dit_reference.h"
#include "support/fault.h"
#include "wan/dit_inside.h"

enum { T = 3, H = 10, W = 12, TEXT = 40, N = T * H * W / 4, DIM = 128, VALUES = 64 };

#define BF16_LINE 1.5e-2

/* A value of the trace: a sum that moves with each element and its place. */
typedef struct value {
    char   name[32];
    double sum, size;
} value;

typedef struct bench {
    fil_ctx         *ctx;
    alloc_fault      fault;
    dit_made         made;
    fili_weights    *w;
    fili_dit_options o;
    fili_dit        *d;
    float            latent[4 * T * H * W];
    float            context[TEXT * 24];
    float            velocity[4 * T * H * W];
    double           expected[4 * T * H * W];
    value            seen[VALUES];
    int              n_seen;
    uint16_t         rows[3][N * DIM]; /* q, k and v of the last call, as the trace has them */
    int              read;             /* rows that a choice has read and found to be those */
} bench;

static bench b; /* of the test that runs */

static void set_up(const char *device)
{
    const fili_dit_config config = dit_small_config();
    fil_options           opt;
    b = (bench){.fault = {.at = -1}};
    fil_options_init(&opt);
    opt.device    = device;
    opt.n_threads = 2;
    opt.host      = alloc_fault_allocator(&b.fault);
    setenv("FIL_CUDA_BACKEND", FAKE_BACKEND, 0); /* or another that the test is given */
    assert_int_equal(fil_ctx_open(&b.ctx, &opt), FIL_OK);
    dit_make(&b.made, &config, 11);
    assert_int_equal(
        fili_weights_make(b.ctx, FILI_PART_DIT, b.made.tensors, (size_t)b.made.n, NULL, &b.w),
        FIL_OK);
    fili_dit_options_init(&b.o);
    b.o.t = T;
    b.o.h = H;
    b.o.w = W;
    fili_philox_normal(3, 1, 0, b.latent, 4 * T * H * W);
    fili_philox_normal(3, 2, 0, b.context, TEXT * 24);
}

static void tear_down(void)
{
    fili_dit_close(&b.d);
    fili_weights_close(&b.w);
    assert_int_equal(fil_ctx_memory(b.ctx).used, 0);
    fil_ctx_close(&b.ctx);
    assert_int_equal(b.fault.live, 0);
    dit_free(&b.made);
}

static fil_status run(void)
{
    FIL_TRY(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d));
    FIL_TRY(fili_dit_set_context(b.d, 0, b.context, 7));
    return fili_dit_forward(b.d, 0, 4, b.latent, 321.5, b.velocity);
}

static void must_run(void)
{
    if (run() != FIL_OK) fail_msg("%s", fil_ctx_error(b.ctx)->message);
}

static fili_dit_memory told(void)
{
    fili_dit_memory memory;
    assert_int_equal(fili_dit_bytes(b.ctx, b.w, &b.made.config, &b.o, &memory), FIL_OK);
    return memory;
}

static double distance_to_definition(void)
{
    const dit_problem p = {
        .t = T, .h = H, .w = W, .latent = b.latent, .context = b.context, .n = 7, .time = 321.5};
    dit_reference(&b.made, &p, b.expected);
    return dit_distance(b.velocity, b.expected, 4 * T * H * W);
}

/* ---- where things lie ----------------------------------------------------------------------- */

static void bf16_lies_on_the_device_and_the_host_keeps_little(void **state)
{
    (void)state;
    set_up("cpu");
    const fili_dit_memory host = told();
    assert_int_equal(host.device, 0);
    tear_down();
    set_up("cuda");
    const fili_dit_memory memory = told();
    assert_int_equal(memory.kept, FIL_DTYPE_NONE);
    assert_true(memory.device > 2 * (uint64_t)N * DIM * sizeof(float));
    assert_true(memory.total < host.total / 2);
    must_run();
    const double far = distance_to_definition();
    printf("on a device: rel_l2 %.2e\n", far);
    assert_true(far <= BF16_LINE);
    tear_down();
}

/* Attention in f32 is the CPU's: then nothing lies on the device, and it is right all the same. */
static void f32_stays_on_the_host(void **state)
{
    (void)state;
    set_up("cuda");
    b.o.precision = FIL_F32;
    assert_int_equal(told().device, 0);
    must_run();
    assert_true(distance_to_definition() <= 1e-5);
    tear_down();
}

static void a_run_allocates_nothing(void **state)
{
    (void)state;
    set_up("cuda");
    must_run();
    const int64_t calls = b.fault.calls;
    assert_int_equal(fili_dit_forward(b.d, 0, 5, b.latent, 300.0, b.velocity), FIL_OK);
    assert_int_equal(b.fault.calls, calls);
    tear_down();
}

/* ---- values --------------------------------------------------------------------------------- */

static float element(const fili_dit_value *v, int64_t i, int64_t j)
{
    const int64_t at = i * v->stride + j;
    uint32_t      bits;
    float         x;
    if (v->dtype == FIL_F32) return ((const float *)v->data)[at];
    bits = (uint32_t)((const uint16_t *)v->data)[at] << 16;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void see(void *user, const char *what, int32_t layer, const fili_dit_value *v)
{
    (void)user;
    assert_in_range(b.n_seen, 0, VALUES - 1);
    value *to = &b.seen[b.n_seen++];
    snprintf(to->name, sizeof to->name, "%s %d", what, (int)layer);
    for (int64_t i = 0; i < v->rows; i++)
        for (int64_t j = 0; j < v->cols; j++) {
            const double x = (double)element(v, i, j);
            to->sum += x * (1.0 + (double)((i * 7 + j * 13) % 31));
            to->size += fabs(x) * 16.0;
        }
    const char *const heads = "qkv";
    const char       *which = strchr(heads, what[0]);
    if (what[1] != '\0' || which == NULL) return;
    assert_int_equal(v->rows, N);
    for (int64_t i = 0; i < N; i++)
        memcpy(&b.rows[which - heads][i * DIM], (const uint16_t *)v->data + i * v->stride,
               DIM * sizeof(uint16_t));
}

static void every_value_on_the_way_is_that_of_the_host(void **state)
{
    static value first[VALUES];
    (void)state;
    set_up("cpu");
    b.o.trace = see;
    must_run();
    const int n = b.n_seen;
    memcpy(first, b.seen, sizeof first);
    tear_down();
    set_up("cuda");
    b.o.trace = see;
    must_run();
    assert_int_equal(b.n_seen, n);
    assert_int_equal(n, 15);
    for (int i = 0; i < n; i++) {
        assert_string_equal(b.seen[i].name, first[i].name);
        if (!(fabs(b.seen[i].sum - first[i].sum) <= 0.02 * first[i].size))
            fail_msg("%s: %g, on the host %g", first[i].name, b.seen[i].sum, first[i].sum);
    }
    tear_down();
}

static void streamed_weights_give_the_same_bits_with_less_memory(void **state)
{
    static float whole[4 * T * H * W];
    (void)state;
    set_up("cuda");
    const uint64_t all = told().device;
    must_run();
    memcpy(whole, b.velocity, sizeof whole);
    tear_down();
    set_up("cuda");
    b.o.stream = 1;
    assert_true(told().device < all);
    must_run();
    assert_memory_equal(b.velocity, whole, sizeof whole);
    tear_down();
}

/* The next layer lies in staging when a layer is done, and nobody reads it before. */
static void see_ahead(void *user, const char *what, int32_t layer, const fili_dit_value *v)
{
    (void)user;
    (void)v;
    if (strcmp(what, "self_attn") == 0) assert_int_equal(b.d->ahead, layer);
    if (strcmp(what, "block") != 0) return;
    assert_int_equal(b.d->ahead, 1 - layer);
    b.read++;
}

static void the_next_layer_is_read_while_the_device_works(void **state)
{
    static float again[4 * T * H * W];
    (void)state;
    set_up("cuda");
    b.o.stream = 1;
    b.o.trace  = see_ahead;
    must_run();
    assert_int_equal(b.read, 2);
    memcpy(again, b.velocity, sizeof again);
    assert_int_equal(fili_dit_forward(b.d, 0, 5, b.latent, 321.5, b.velocity), FIL_OK);
    assert_memory_equal(b.velocity, again, sizeof again);
    memset(b.d->staging, 0xff, b.d->staged); /* what is taken from there next */
    assert_int_equal(fili_dit_forward(b.d, 0, 6, b.latent, 321.5, b.velocity), FIL_E_NONFINITE);
    tear_down();
}

/* ---- who reads rows ------------------------------------------------------------------------- */

static void compare(const filk_attn_view *view, int which, int64_t first, int64_t n)
{
    for (int64_t i = first; i < first + n; i++) {
        const uint16_t *row = (const uint16_t *)view->data + i * view->stride_n;
        assert_int_equal(view->stride_h, 64);
        assert_memory_equal(row, &b.rows[which][i * DIM], DIM * sizeof *row);
        b.read++;
    }
}

static fil_status read_rows(void *user, fili_policy_call *call, fili_policy_choice *choice)
{
    (void)user;
    (void)choice;
    static const int64_t part[][2] = {{0, 8}, {41, 3}, {N - 1, 1}, {0, N}};
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) {
        fili_policy_rows rows;
        FIL_TRY(fili_policy_bring(call, part[i][0], part[i][1], &rows));
        compare(&rows.q, 0, part[i][0], part[i][1]);
        compare(&rows.k, 1, part[i][0], part[i][1]);
        compare(&rows.v, 2, part[i][0], part[i][1]);
    }
    const fili_token_runs runs = {.first = 3, .n = 2, .step = 11, .count = 5};
    fili_policy_rows      rows;
    FIL_TRY(fili_policy_bring_runs(call, &runs, &rows));
    for (int64_t i = 0; i < runs.count; i++)
        compare(&rows.k, 1, runs.first + i * runs.step, runs.n);
    return FIL_OK;
}

static void a_choice_reads_the_rows_that_it_asks_for(void **state)
{
    (void)state;
    for (int host = 0; host < 2; host++) {
        set_up(host ? "cpu" : "cuda");
        b.o.trace      = see;
        b.o.choose     = read_rows;
        b.o.reads_rows = 1;
        must_run();
        assert_int_equal(b.read, 2 * (3 * (N + 12) + 10)); /* two layers */
        tear_down();
    }
}

static void rows_that_nobody_announced_are_refused(void **state)
{
    (void)state;
    set_up("cuda");
    b.o.choose = read_rows;
    assert_int_equal(run(), FIL_E_INTERNAL);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "no room is planned"));
    tear_down();
}

/* ---- errors --------------------------------------------------------------------------------- */

static void what_is_not_finite_is_found_on_the_device(void **state)
{
    (void)state;
    set_up("cuda");
    b.context[3] = NAN;
    assert_int_equal(run(), FIL_E_NONFINITE);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "layer 0 of 0 to 1 gives what is not a"));
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "in token 0 of 90"));
    tear_down();
}

static void too_little_memory_of_the_device_is_said(void **state)
{
    (void)state;
    setenv("FIL_FAKE_BYTES", "300000", 1);
    set_up("cuda");
    assert_int_equal(run(), FIL_E_NOMEM_DEV);
    assert_null(b.d);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "the transformer needs "));
    unsetenv("FIL_FAKE_BYTES");
    tear_down();
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int64_t at = 0;; at++) {
        set_up("cuda");
        b.fault.at              = b.fault.calls + at;
        const fil_status status = run();
        b.fault.at              = -1;
        if (status != FIL_OK) assert_int_equal(status, FIL_E_NOMEM);
        tear_down();
        if (status == FIL_OK) break;
        assert_true(at < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_lies_on_the_device_and_the_host_keeps_little),
        cmocka_unit_test(f32_stays_on_the_host),
        cmocka_unit_test(a_run_allocates_nothing),
        cmocka_unit_test(every_value_on_the_way_is_that_of_the_host),
        cmocka_unit_test(streamed_weights_give_the_same_bits_with_less_memory),
        cmocka_unit_test(the_next_layer_is_read_while_the_device_works),
        cmocka_unit_test(a_choice_reads_the_rows_that_it_asks_for),
        cmocka_unit_test(rows_that_nobody_announced_are_refused),
        cmocka_unit_test(what_is_not_finite_is_found_on_the_device),
        cmocka_unit_test(too_little_memory_of_the_device_is_said),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
