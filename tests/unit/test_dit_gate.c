/* tests/unit/test_dit_gate.c: the gate of Video Sparse Attention in the DiT (vsa.md 1.6, 5): it is
 * found in files as FastVideo writes them, costs nothing where it is not used, and adds what its
 * definition says where it is.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/policy_run.h"
#include "nn/elementwise.h"
#include "support/cmocka_all.h"
#include "support/dit_reference.h"
#include "support/fault.h"

enum { T = 3, H = 10, W = 12, TEXT = 40, ALL = 4 * T * H * W };

#define CONFIG                                                                                     \
    "{\"_class_name\":\"WanTransformer3DModel\",\"num_attention_heads\":2,"                        \
    "\"attention_head_dim\":64,\"ffn_dim\":96,\"num_layers\":2,\"in_channels\":4,"                 \
    "\"out_channels\":4,\"text_dim\":24,\"freq_dim\":32,\"text_len\":40,\"eps\":1e-06,"            \
    "\"patch_size\":[1,2,2]}"

typedef struct bench {
    scratch          dir;
    fil_ctx         *ctx;
    dit_made         made;
    fili_weights    *w;
    fili_dit_options o;
    fili_dit        *d;
    float            latent[ALL], context[TEXT * 24], velocity[ALL];
} bench;

static bench b; /* of the test that runs */

static void set_up(int32_t has_gate)
{
    fili_dit_config config = dit_small_config();
    fil_options     opt;
    b               = (bench){.w = NULL};
    config.has_gate = has_gate;
    scratch_make(&b.dir);
    fil_options_init(&opt);
    opt.n_threads = 2;
    assert_int_equal(fil_ctx_open(&b.ctx, &opt), FIL_OK);
    dit_make(&b.made, &config, 7);
    fili_dit_options_init(&b.o);
    b.o.precision = FIL_F32;
    b.o.t         = T;
    b.o.h         = H;
    b.o.w         = W;
    fili_philox_normal(3, 1, 0, b.latent, ALL);
    fili_philox_normal(3, 2, 0, b.context, TEXT * 24);
}

static void tear_down(void)
{
    fili_dit_close(&b.d);
    fili_weights_close(&b.w);
    assert_int_equal(fil_ctx_memory(b.ctx).used, 0);
    fil_ctx_close(&b.ctx);
    dit_free(&b.made);
    scratch_remove(&b.dir);
}

/* Writes "m.safetensors" and opens it. */
static void reopen(const dit_file *how)
{
    const char *path = scratch_path(&b.dir, "m.safetensors");
    fili_weights_close(&b.w);
    dit_write(&b.made, b.ctx, path, how);
    fili_ctx_enter(b.ctx);
    assert_int_equal(fili_weights_open(b.ctx, FILI_PART_DIT, path, 0, &b.w), FIL_OK);
}

static void says(const char *piece)
{
    printf("%s\n", fil_ctx_error(b.ctx)->message);
    if (strstr(fil_ctx_error(b.ctx)->message, piece) == NULL) fail_msg("no '%s'", piece);
}

static void render(void)
{
    if (fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d) != FIL_OK ||
        fili_dit_set_context(b.d, 0, b.context, 7) != FIL_OK ||
        fili_dit_forward(b.d, 0, 0, b.latent, 321.5, b.velocity) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
    fili_dit_close(&b.d);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void a_gate_is_found_under_either_layouts_names(void **state)
{
    (void)state;
    for (int diffusers = 0; diffusers < 2; diffusers++) {
        fili_dit_config found;
        set_up(1);
        scratch_write(&b.dir, "config.json", CONFIG, strlen(CONFIG));
        reopen(&(dit_file){.diffusers = diffusers, .dtype = FIL_BF16});
        assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_OK);
        assert_memory_equal(&found, &b.made.config, sizeof found);
        assert_int_equal(fili_dit_check_weights(b.w, &found), FIL_OK);
        tear_down();
    }
}

static void a_gate_is_found_without_a_config(void **state)
{
    fili_dit_config found;
    (void)state;
    set_up(1);
    reopen(&(dit_file){.diffusers = 1});
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_OK);
    assert_int_equal(found.has_gate, 1);
    tear_down();
    set_up(0);
    reopen(&(dit_file){.diffusers = 1});
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_OK);
    assert_int_equal(found.has_gate, 0);
    tear_down();
}

static void a_gate_adds_its_parameters(void **state)
{
    fili_dit_config c;
    fili_dit_config gated;
    (void)state;
    assert_true(fili_dit_config_named("1.3b", &c));
    gated          = c;
    gated.has_gate = 1;
    assert_true(fili_dit_parameters(&gated) - fili_dit_parameters(&c) == 30u * (1536u * 1537u));
    assert_int_equal(fili_dit_tensors(&gated) - fili_dit_tensors(&c), 60);
}

static void a_gate_in_some_layers_alone_is_refused_in_one_sentence(void **state)
{
    fili_dit_config found;
    (void)state;
    set_up(0);
    reopen(&(dit_file){.added = "blocks.1.to_gate_compress.weight"});
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_E_MISMATCH);
    says("layer 1 has a gate ('to_gate_compress') and layer 0 has none");
    reopen(&(dit_file){.added = "blocks.0.to_gate_compress.bias"});
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_E_MISMATCH);
    says("layer 0 has a gate ('to_gate_compress') and layer 1 has none");
    tear_down();
}

static void half_a_gate_is_refused_with_the_missing_tensor(void **state)
{
    fili_dit_config found;
    (void)state;
    set_up(1);
    reopen(&(dit_file){.left_out = "blocks.1.to_gate_compress.bias"});
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &found), FIL_E_MISMATCH);
    says("'blocks.1.to_gate_compress.bias' of shape [128] is missing");
    reopen(&(dit_file){.reshaped = "blocks.0.to_gate_compress.weight"});
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &found), FIL_E_MISMATCH);
    says("expected [128, 128]");
    tear_down();
}

/* ---- not used ------------------------------------------------------------------------------- */

static double distance(const double *expected)
{
    return dit_distance(b.velocity, expected, ALL);
}

static void a_dense_run_ignores_the_gate_and_takes_no_memory_for_it(void **state)
{
    static double   expected[ALL];
    fili_dit_memory m[2];
    fili_dit_config bare;
    dit_problem     p = {.t = T, .h = H, .w = W, .latent = b.latent, .n = 7, .time = 321.5};
    (void)state;
    set_up(1);
    bare          = b.made.config;
    bare.has_gate = 0;
    reopen(&(dit_file){.diffusers = 1});
    assert_int_equal(fili_dit_bytes(b.ctx, b.w, &b.made.config, &b.o, &m[0]), FIL_OK);
    assert_int_equal(fili_dit_bytes(b.ctx, b.w, &bare, &b.o, &m[1]), FIL_OK);
    assert_memory_equal(&m[0], &m[1], sizeof m[0]);
    render();
    p.context = b.context;
    dit_reference(&b.made, &p, expected);
    printf("dense, gate left alone: rel_l2 %.2e\n", distance(expected));
    assert_true(distance(expected) <= 1e-5);
    b.o.gate = 1;
    assert_int_equal(fili_dit_bytes(b.ctx, b.w, &b.made.config, &b.o, &m[1]), FIL_OK);
    assert_true(m[1].activations >= m[0].activations + (uint64_t)T * 5 * 6 * 128 * sizeof(float));
    assert_true(m[1].weights > m[0].weights);
    tear_down();
}

static void a_gate_that_is_wanted_and_missing_is_refused(void **state)
{
    (void)state;
    set_up(0);
    reopen(&(dit_file){.diffusers = 1});
    b.o.gate = 1;
    assert_int_equal(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d), FIL_E_MISMATCH);
    says("a gate is wanted, and the model has none");
    tear_down();
}

/* ---- used ----------------------------------------------------------------------------------- */

typedef struct sparse {
    const char *order;
    double      density;
    int32_t     gate;
    fil_dtype   precision;
    int32_t     threads;
} sparse;

static fili_policy_setup setup_of(const sparse *s)
{
    return (fili_policy_setup){.grid     = {T, H / 2, W / 2},
                               .layers   = 2,
                               .steps    = 3,
                               .passes   = 2,
                               .heads    = 2,
                               .head_dim = 64,
                               .dtype    = s->precision,
                               .has_gate = b.made.config.has_gate};
}

/* Both passes of two steps under the policy; velocity[pass] of the last one. */
static void render_vsa(const sparse *s, float velocity[2][ALL])
{
    fili_policy_run         run;
    fil_policy_options      o;
    const fili_policy_setup setup = setup_of(s);
    fil_policy_options_init(&o);
    o.name           = "vsa";
    o.density        = s->density;
    o.order          = s->order;
    o.gate           = s->gate;
    b.o.precision    = s->precision;
    b.ctx->n_threads = s->threads;
    if (fili_policy_run_open(&run, b.ctx, &o, &setup) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
    fili_policy_run_hang(&run, &b.o);
    if (fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
    for (int32_t pass = 0; pass < 2; pass++)
        assert_int_equal(fili_dit_set_context(b.d, pass, b.context + 24 * pass, 7), FIL_OK);
    for (int32_t step = 0; step < 2; step++)
        for (int32_t pass = 0; pass < 2; pass++)
            if (fili_dit_forward(b.d, pass, step, b.latent, 321.5, velocity[pass]) != FIL_OK)
                fail_msg("%s", fil_ctx_error(b.ctx)->message);
    fili_dit_close(&b.d);
    fili_policy_run_close(&run);
    b.o.choose = NULL;
    b.o.gate   = 0;
}

static void render_dense(const sparse *s, float velocity[2][ALL])
{
    assert_int_equal(fili_order_parse(b.ctx, s->order, &b.o.order), FIL_OK);
    b.o.precision = s->precision;
    assert_int_equal(fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d), FIL_OK);
    for (int32_t pass = 0; pass < 2; pass++) {
        assert_int_equal(fili_dit_set_context(b.d, pass, b.context + 24 * pass, 7), FIL_OK);
        assert_int_equal(fili_dit_forward(b.d, pass, 0, b.latent, 321.5, velocity[pass]), FIL_OK);
    }
    fili_dit_close(&b.d);
}

/* The gate as the annealed retrofit starts with it. */
static void close_gates(void)
{
    for (int32_t i = 0; i < b.made.n; i++)
        if (strstr(b.made.tensors[i].name, "to_gate_compress") != NULL) {
            size_t n = 1;
            for (uint32_t d = 0; d < b.made.tensors[i].rank; d++)
                n *= (size_t)b.made.tensors[i].shape[d];
            memset((void *)(uintptr_t)b.made.tensors[i].data, 0, n * sizeof(float));
        }
}

static float sparse_velocity[2][ALL], dense_velocity[2][ALL];

static void everything_kept_and_a_gate_of_zero_is_dense_to_the_bit(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const sparse s = {.order     = i % 2 == 0 ? "cubes 4x4x4" : "cubes 2x3x4",
                          .density   = 1.0,
                          .gate      = FIL_AUTO,
                          .precision = i < 2 ? FIL_F32 : FIL_BF16,
                          .threads   = 2};
        set_up(1);
        close_gates();
        reopen(&(dit_file){.diffusers = 1, .dtype = FIL_BF16});
        render_vsa(&s, sparse_velocity);
        render_dense(&s, dense_velocity);
        assert_memory_equal(sparse_velocity, dense_velocity, sizeof sparse_velocity);
        tear_down();
    }
}

/* cube of each raster token. */
static int32_t cubes_of(const char *name, int32_t cube[])
{
    fili_order      order;
    fili_order_spec spec;
    assert_int_equal(fili_order_parse(b.ctx, name, &spec), FIL_OK);
    assert_int_equal(fili_order_init(&order, b.ctx, (fili_grid){T, H / 2, W / 2}, &spec), FIL_OK);
    for (int32_t c = 0; c < order.n_pieces; c++)
        for (int32_t i = order.piece[c]; i < order.piece[c + 1]; i++)
            cube[order.order[i]] = c;
    const int32_t n = order.n_pieces;
    fili_order_fini(&order);
    return n;
}

static void expect_reference(const sparse *s, double tolerance)
{
    static double expected[ALL];
    int32_t       cube[T * H * W / 4];
    double        gap = 1e9;
    dit_problem   p   = {.t      = T,
                         .h      = H,
                         .w      = W,
                         .latent = b.latent,
                         .n      = 7,
                         .time   = 321.5,
                         .cube   = cube,
                         .gated  = b.made.config.has_gate && s->gate != 0,
                         .gap    = &gap};
    p.cubes           = cubes_of(s->order, cube);
    p.keep            = (int32_t)ceil((1.0 - (1.0 - s->density)) * p.cubes);
    render_vsa(s, sparse_velocity);
    for (int32_t pass = 0; pass < 2; pass++) {
        p.context = b.context + 24 * pass;
        dit_reference(&b.made, &p, expected);
        memcpy(b.velocity, sparse_velocity[pass], sizeof b.velocity);
        printf("%s, %d of %d cubes, gate %d: rel_l2 %.2e, least gap %.1e\n", s->order, p.keep,
               p.cubes, p.gated, distance(expected), gap);
        if (!(gap > 1e-4)) fail_msg("the case decides by rounding");
        if (!(distance(expected) <= tolerance)) fail_msg("rel_l2 %g", distance(expected));
    }
}

static void a_gate_adds_the_coarse_branch_as_it_is_defined(void **state)
{
    static const sparse cases[] = {
        {"cubes 2x3x3", 0.3, FIL_AUTO, FIL_F32, 2}, {"cubes 2x3x3", 0.3, 0, FIL_F32, 2},
        {"cubes 2x2x2", 0.15, 1, FIL_F32, 1},       {"cubes 4x4x4", 0.5, FIL_AUTO, FIL_F32, 3},
        {"cubes 4x8x8", 0.5, FIL_AUTO, FIL_F32, 2}, {"cubes 2x2x2", 1.0, FIL_AUTO, FIL_F32, 2},
        {"cubes 3x5x4", 0.5, FIL_AUTO, FIL_F32, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set_up(1);
        reopen(&(dit_file){.diffusers = 1});
        expect_reference(&cases[i], 1e-5);
        tear_down();
    }
}

static void a_model_without_a_gate_gets_the_choice_alone(void **state)
{
    const sparse s = {"cubes 2x3x3", 0.3, FIL_AUTO, FIL_F32, 2};
    (void)state;
    set_up(0);
    reopen(&(dit_file){.diffusers = 1});
    expect_reference(&s, 1e-5);
    tear_down();
}

static void bits_are_the_same_for_any_number_of_threads(void **state)
{
    sparse s = {"cubes 2x3x3", 0.3, FIL_AUTO, FIL_BF16, 1};
    (void)state;
    set_up(1);
    reopen(&(dit_file){.diffusers = 1, .dtype = FIL_BF16});
    render_vsa(&s, sparse_velocity);
    s.threads = 3;
    render_vsa(&s, dense_velocity);
    assert_memory_equal(sparse_velocity, dense_velocity, sizeof sparse_velocity);
    tear_down();
}

/* ---- the sum -------------------------------------------------------------------------------- */

static void a_gate_of_zero_leaves_the_row_to_the_bit(void **state)
{
    static const int32_t offset[]  = {0, 1, 3};
    float                gate[6]   = {0.0f, 2.0f, -0.0f, 0.5f, 0.0f, 1.0f};
    float                coarse[4] = {NAN, 3.0f, INFINITY, -8.0f};
    float                out[6]    = {-0.0f, 1.0f, -0.0f, 1.0f, 5.0f, -1.0f};
    (void)state;
    set_up(0);
    const fili_gated   g           = {.dtype  = FIL_F32,
                                      .gate   = gate,
                                      .coarse = coarse,
                                      .offset = offset,
                                      .m      = 2,
                                      .cols   = 2,
                                      .out    = out};
    static const float expected[6] = {-0.0f, 7.0f, -0.0f, -3.0f, 5.0f, -9.0f};
    assert_int_equal(fili_gated_add(b.ctx, &g), FIL_OK);
    assert_memory_equal(out, expected, sizeof out);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gate_is_found_under_either_layouts_names),
        cmocka_unit_test(a_gate_is_found_without_a_config),
        cmocka_unit_test(a_gate_adds_its_parameters),
        cmocka_unit_test(a_gate_in_some_layers_alone_is_refused_in_one_sentence),
        cmocka_unit_test(half_a_gate_is_refused_with_the_missing_tensor),
        cmocka_unit_test(a_dense_run_ignores_the_gate_and_takes_no_memory_for_it),
        cmocka_unit_test(a_gate_that_is_wanted_and_missing_is_refused),
        cmocka_unit_test(everything_kept_and_a_gate_of_zero_is_dense_to_the_bit),
        cmocka_unit_test(a_gate_adds_the_coarse_branch_as_it_is_defined),
        cmocka_unit_test(a_model_without_a_gate_gets_the_choice_alone),
        cmocka_unit_test(bits_are_the_same_for_any_number_of_threads),
        cmocka_unit_test(a_gate_of_zero_leaves_the_row_to_the_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
