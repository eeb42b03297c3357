/* tests/unit/test_dit_laws.c: the DiT without outside fixtures: against its definition in f64
 * (dit_reference.c) on a small random model, in every order, with masks, for prompts of every kind
 * of length; and its promises: no allocation in a run, the memory that was told, cancelling.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/cmocka_all.h"
#include "support/dit_reference.h"
#include "support/fault.h"

enum { T = 3, H = 10, W = 12, TEXT = 40 };

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
    dit_problem      p;
    int              cancel_after; /* -1 = never */
} bench;

static bench b; /* of the test that runs */

static int cancel(void *user)
{
    (void)user;
    return b.cancel_after >= 0 && b.cancel_after-- == 0;
}

static void set_up(int32_t threads)
{
    const fili_dit_config config = dit_small_config();
    fil_options           opt;
    b = (bench){.fault = {.at = -1}, .cancel_after = -1};
    fil_options_init(&opt);
    opt.n_threads = threads;
    opt.host      = alloc_fault_allocator(&b.fault);
    opt.cancel    = cancel;
    assert_int_equal(fil_ctx_open(&b.ctx, &opt), FIL_OK);
    dit_make(&b.made, &config, 11);
    assert_int_equal(
        fili_weights_make(b.ctx, FILI_PART_DIT, b.made.tensors, (size_t)b.made.n, NULL, &b.w),
        FIL_OK);
    fili_dit_options_init(&b.o);
    b.o.precision = FIL_F32;
    b.o.t         = T;
    b.o.h         = H;
    b.o.w         = W;
    fili_philox_normal(3, 1, 0, b.latent, 4 * T * H * W);
    fili_philox_normal(3, 2, 0, b.context, TEXT * 24);
    b.p = (dit_problem){
        .t = T, .h = H, .w = W, .latent = b.latent, .context = b.context, .n = 7, .time = 321.5};
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

static void start(void)
{
    if (fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d) != FIL_OK ||
        fili_dit_set_context(b.d, 0, b.context, b.p.n) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
}

static void forward(void)
{
    if (fili_dit_forward(b.d, 0, 4, b.latent, b.p.time, b.velocity) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
}

static void expect_reference(const char *what, double tolerance)
{
    dit_reference(&b.made, &b.p, b.expected);
    const double far = dit_distance(b.velocity, b.expected, 4 * T * H * W);
    printf("%-30s rel_l2 %.2e\n", what, far);
    if (!(far <= tolerance)) fail_msg("%s: rel_l2 %g", what, far);
}

#define F32_LINE  1e-5
#define BF16_LINE 1.5e-2

/* ---- equal to the definition ---------------------------------------------------------------- */

static void f32_equals_the_definition(void **state)
{
    (void)state;
    set_up(2);
    start();
    forward();
    expect_reference("f32", F32_LINE);
    tear_down();
}

static void bf16_stays_within_its_line(void **state)
{
    (void)state;
    set_up(2);
    b.o.precision = FIL_BF16;
    start();
    forward();
    expect_reference("bf16", BF16_LINE);
    tear_down();
}

static void weights_used_in_place_give_the_same_function_as_packed_ones(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        fili_dit_memory memory;
        set_up(1);
        b.o.packed = packed;
        assert_int_equal(fili_dit_bytes(b.ctx, b.w, &b.made.config, &b.o, &memory), FIL_OK);
        assert_true(packed ? memory.weights > 1200000 : memory.weights < 1200000);
        start();
        forward();
        expect_reference(packed ? "packed" : "in place", F32_LINE);
        tear_down();
    }
}

static void the_padding_of_a_prompt_counts_as_many_times_as_there_are_rows(void **state)
{
    static const int32_t lengths[] = {0, 1, 7, 38, 39, 40};
    (void)state;
    set_up(1);
    start();
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char text[40];
        b.p.n = lengths[i];
        assert_int_equal(fili_dit_set_context(b.d, 0, b.context, b.p.n), FIL_OK);
        forward();
        snprintf(text, sizeof text, "a prompt of %d rows", b.p.n);
        expect_reference(text, F32_LINE);
    }
    tear_down();
}

static void a_long_context_is_computed_in_bands(void **state)
{
    (void)state;
    set_up(1);
    dit_free(&b.made);
    fili_weights_close(&b.w);
    fili_dit_config config = dit_small_config();
    config.text_len        = 150;
    dit_make(&b.made, &config, 12);
    assert_int_equal(
        fili_weights_make(b.ctx, FILI_PART_DIT, b.made.tensors, (size_t)b.made.n, NULL, &b.w),
        FIL_OK);
    static float rows[150 * 24];
    fili_philox_normal(3, 5, 0, rows, 150 * 24);
    b.p.context = rows;
    start();
    for (int32_t n = 63; n <= 150; n += 29) {
        char text[40];
        b.p.n = n == 121 ? 128 : n;
        assert_int_equal(fili_dit_set_context(b.d, 0, rows, b.p.n), FIL_OK);
        forward();
        snprintf(text, sizeof text, "%d of 150 rows", b.p.n);
        expect_reference(text, F32_LINE);
    }
    tear_down();
}

static void every_order_gives_the_same_velocity(void **state)
{
    static const char *const orders[] = {"raster", "hilbert", "hilbert-xyz", "cubes 2x2x5",
                                         "hilbert-cubes 4x4x4"};
    (void)state;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        set_up(2);
        assert_int_equal(fili_order_parse(b.ctx, orders[i], &b.o.order), FIL_OK);
        start();
        forward();
        expect_reference(orders[i], F32_LINE);
        tear_down();
    }
}

static void two_passes_keep_their_own_prompts(void **state)
{
    float first[4 * T * H * W];
    (void)state;
    set_up(1);
    start();
    forward();
    memcpy(first, b.velocity, sizeof first);
    assert_int_equal(fili_dit_set_context(b.d, 1, b.context + 24, 3), FIL_OK);
    assert_int_equal(fili_dit_forward(b.d, 1, 0, b.latent, b.p.time, b.velocity), FIL_OK);
    assert_memory_not_equal(b.velocity, first, sizeof first);
    forward();
    assert_memory_equal(b.velocity, first, sizeof first);
    tear_down();
}

/* ---- masks ---------------------------------------------------------------------------------- */

typedef struct policy {
    fili_mask mask[2]; /* of layers 0 and 1 */
    int       calls;
    int       use_layer;
} policy;

/* Draws a mask with `heads` heads; every row keeps its own block. */
static void draw(fili_mask *mask, int32_t heads, uint64_t seed)
{
    fili_order  order;
    fili_blocks blocks;
    assert_int_equal(fili_order_init(&order, b.ctx, (fili_grid){T, H / 2, W / 2}, &b.o.order),
                     FIL_OK);
    assert_int_equal(fili_blocks_from_order(&blocks, &order), FIL_OK);
    assert_int_equal(fili_mask_init(mask, b.ctx, heads, blocks.m, blocks.m), FIL_OK);
    for (int32_t h = 0; h < heads; h++)
        for (int32_t q = 0; q < blocks.m; q++)
            for (int32_t k = 0; k < blocks.m; k++)
                if (k == q || fili_philox_u32(seed, (uint64_t)h, (uint64_t)(q * 100 + k)) % 3 == 0)
                    assert_int_equal(fili_mask_set(mask, h, q, k, true), FIL_OK);
    fili_blocks_fini(&blocks);
    fili_order_fini(&order);
}

static fil_status choose(void *user, fili_policy_call *r, fili_policy_choice *choice)
{
    policy *s = user;
    assert_int_equal(r->step, 4);
    assert_int_equal(r->pass, 0);
    assert_int_equal(r->heads, 2);
    assert_int_equal(r->head_dim, 64);
    assert_null(choice->mask);
    assert_non_null(r->q.data);
    s->calls++;
    choice->mask = &s->mask[r->layer];
    return FIL_OK;
}

static int32_t block_of(const fili_blocks *blocks, int32_t place)
{
    int32_t block = 0;
    while (blocks->offset[block + 1] <= place)
        block++;
    return block;
}

static int keeps(void *user, int32_t layer, int32_t head, int64_t q, int64_t k)
{
    const policy      *s       = user;
    const fili_blocks *blocks  = fili_dit_blocks(b.d);
    const int32_t     *inverse = fili_dit_order(b.d)->inverse;
    return fili_mask_get(&s->mask[s->use_layer ? layer : 0], head, block_of(blocks, inverse[q]),
                         block_of(blocks, inverse[k]));
}

static void a_given_mask_leaves_out_what_it_leaves_out(void **state)
{
    (void)state;
    for (int32_t heads = 1; heads <= 2; heads++) {
        policy s = {.calls = 0};
        set_up(2);
        assert_int_equal(fili_order_parse(b.ctx, "hilbert-cubes 2x2x2", &b.o.order), FIL_OK);
        draw(&s.mask[0], heads, 5);
        b.o.mask  = &s.mask[0];
        b.p.keeps = keeps;
        b.p.user  = &s;
        start();
        forward();
        expect_reference(heads == 1 ? "one mask for all heads" : "a mask for each head", F32_LINE);
        fili_mask_fini(&s.mask[0]);
        tear_down();
    }
}

static void a_policy_chooses_the_mask_of_each_layer(void **state)
{
    policy s = {.use_layer = 1};
    (void)state;
    set_up(2);
    assert_int_equal(fili_order_parse(b.ctx, "cubes 1x3x3", &b.o.order), FIL_OK);
    draw(&s.mask[0], 2, 6);
    draw(&s.mask[1], 1, 7);
    b.o.choose = choose;
    b.o.user   = &s;
    b.p.keeps  = keeps;
    b.p.user   = &s;
    start();
    forward();
    assert_int_equal(s.calls, 2);
    expect_reference("a mask for each layer", F32_LINE);
    fili_mask_fini(&s.mask[0]);
    fili_mask_fini(&s.mask[1]);
    tear_down();
}

static fil_status choose_full(void *user, fili_policy_call *r, fili_policy_choice *choice)
{
    (void)r;
    choice->mask = user;
    return FIL_OK;
}

static void a_full_mask_equals_dense(void **state)
{
    float     dense[4 * T * H * W];
    fili_mask full;
    (void)state;
    set_up(1);
    start();
    forward();
    memcpy(dense, b.velocity, sizeof dense);
    const int32_t m = fili_dit_blocks(b.d)->m;
    fili_dit_close(&b.d);
    assert_int_equal(fili_mask_init(&full, b.ctx, 1, m, m), FIL_OK);
    fili_mask_fill(&full);
    b.o.choose = choose_full;
    b.o.user   = &full;
    start();
    forward();
    assert_memory_equal(b.velocity, dense, sizeof dense);
    fili_mask_fini(&full);
    tear_down();
}

static void a_mask_of_another_grid_is_refused(void **state)
{
    fili_mask mask;
    (void)state;
    set_up(1);
    assert_int_equal(fili_mask_init(&mask, b.ctx, 1, 9, 9), FIL_OK);
    b.o.mask = &mask;
    assert_int_equal(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d), FIL_E_SHAPE);
    assert_null(b.d);
    b.o.mask   = NULL;
    b.o.choose = choose_full;
    b.o.user   = &mask;
    start();
    assert_int_equal(fili_dit_forward(b.d, 0, 0, b.latent, 1.0, b.velocity), FIL_E_SHAPE);
    fili_mask_fini(&mask);
    tear_down();
}

/* ---- promises ------------------------------------------------------------------------------- */

static void bits_are_the_same_for_1_2_and_3_threads(void **state)
{
    float first[4 * T * H * W];
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++)
        for (int32_t threads = 1; threads <= 3; threads++) {
            set_up(threads);
            if (bf16) b.o.precision = FIL_BF16;
            start();
            forward();
            if (threads == 1) memcpy(first, b.velocity, sizeof first);
            assert_memory_equal(b.velocity, first, sizeof first);
            tear_down();
        }
}

static void a_run_allocates_nothing(void **state)
{
    (void)state;
    set_up(2);
    start();
    const int64_t before = b.fault.calls;
    assert_int_equal(fili_dit_set_context(b.d, 1, b.context, 5), FIL_OK);
    forward();
    assert_int_equal(b.fault.calls, before);
    tear_down();
}

static void open_takes_what_was_told(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        fili_dit_memory m;
        set_up(2);
        b.o.packed = packed;
        assert_int_equal(fili_dit_bytes(b.ctx, b.w, &b.made.config, &b.o, &m), FIL_OK);
        assert_true(m.weights + m.context + m.activations + m.workspace == m.total);
        const uint64_t before = fil_ctx_memory(b.ctx).used;
        start();
        const uint64_t taken = fil_ctx_memory(b.ctx).used - before;
        /* The arena's own header is not among its pieces. */
        if (taken < m.total || taken > m.total + 4096)
            fail_msg("%llu bytes were told, %llu were taken", (unsigned long long)m.total,
                     (unsigned long long)taken);
        assert_true(fil_ctx_memory(b.ctx).peak <= before + m.total + m.loading + 4096);
        tear_down();
    }
}

static void cancelling_ends_open_context_and_forward(void **state)
{
    int reached = 0;
    (void)state;
    set_up(1);
    start();
    for (int at = 0; at < 100; at++) {
        b.cancel_after    = at;
        fil_status status = fili_dit_set_context(b.d, 0, b.context, 5);
        if (status == FIL_OK) status = fili_dit_forward(b.d, 0, 0, b.latent, 5.0, b.velocity);
        if (status == FIL_OK) break;
        assert_int_equal(status, FIL_E_CANCELLED);
        reached++;
    }
    b.cancel_after = -1;
    /* Layers of the context and thirds of the layers; kernels may ask in between. */
    assert_true(reached >= 2 + 2 * 3 && reached < 100);
    fili_dit_close(&b.d);
    b.cancel_after = 1;
    assert_int_equal(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d), FIL_E_CANCELLED);
    assert_null(b.d);
    tear_down();
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (int64_t at = 0;; at++) {
        set_up(1);
        b.o.packed              = 1;
        b.fault.at              = b.fault.calls + at;
        const fil_status s      = fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d);
        const int64_t    failed = b.fault.failed;
        assert_int_equal(s, failed > 0 ? FIL_E_NOMEM : FIL_OK);
        assert_true((b.d == NULL) == (failed > 0));
        tear_down();
        if (failed == 0) break;
    }
}

static void wrong_calls_are_refused_with_a_sentence(void **state)
{
    (void)state;
    set_up(1);
    b.o.w = W + 1;
    assert_int_equal(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d), FIL_E_SHAPE);
    b.o.w = 0;
    assert_int_equal(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d), FIL_E_ARG);
    b.o.w         = W;
    b.o.precision = FIL_F16;
    assert_int_equal(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d), FIL_E_ARG);
    b.o.precision    = FIL_F32;
    b.o.context_rows = TEXT + 1;
    assert_int_equal(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d), FIL_E_ARG);
    b.o.context_rows = 7;
    start();
    assert_int_equal(fili_dit_set_context(b.d, 0, b.context, 8), FIL_E_ARG);
    assert_int_equal(fili_dit_set_context(b.d, 2, b.context, 1), FIL_E_ARG);
    assert_int_equal(fili_dit_forward(b.d, 1, 0, b.latent, 1.0, b.velocity), FIL_E_ARG);
    assert_int_equal(fili_dit_forward(b.d, 0, 0, b.latent, (double)NAN, b.velocity), FIL_E_ARG);
    assert_int_equal(fili_dit_set_context(b.d, 0, b.context, 7), FIL_OK);
    forward();
    expect_reference("a context of the planned length", F32_LINE);
    tear_down();
}

static void parts_of_the_time_add_up(void **state)
{
    fili_dit_times t;
    (void)state;
    set_up(1);
    start();
    fili_dit_times_reset(b.d);
    forward();
    fili_dit_times_get(b.d, &t);
    assert_true(t.attention > 0.0 && t.cross > 0.0 && t.linear > 0.0 && t.rest > 0.0);
    assert_true(t.total == t.attention + t.cross + t.linear + t.rest + t.choose);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_equals_the_definition),
        cmocka_unit_test(bf16_stays_within_its_line),
        cmocka_unit_test(weights_used_in_place_give_the_same_function_as_packed_ones),
        cmocka_unit_test(the_padding_of_a_prompt_counts_as_many_times_as_there_are_rows),
        cmocka_unit_test(a_long_context_is_computed_in_bands),
        cmocka_unit_test(every_order_gives_the_same_velocity),
        cmocka_unit_test(two_passes_keep_their_own_prompts),
        cmocka_unit_test(a_given_mask_leaves_out_what_it_leaves_out),
        cmocka_unit_test(a_policy_chooses_the_mask_of_each_layer),
        cmocka_unit_test(a_full_mask_equals_dense),
        cmocka_unit_test(a_mask_of_another_grid_is_refused),
        cmocka_unit_test(bits_are_the_same_for_1_2_and_3_threads),
        cmocka_unit_test(a_run_allocates_nothing),
        cmocka_unit_test(open_takes_what_was_told),
        cmocka_unit_test(cancelling_ends_open_context_and_forward),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(wrong_calls_are_refused_with_a_sentence),
        cmocka_unit_test(parts_of_the_time_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
