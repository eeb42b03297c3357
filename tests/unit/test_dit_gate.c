/* tests/unit/test_dit_gate.c: the gate of Video Sparse Attention in the DiT (vsa.md 1.6, 5): it is
 * found in files as FastVideo writes them, costs nothing where it is not used, and adds what its
 * definition says where it is.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
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
    double error = 0.0;
    double norm  = 0.0;
    for (int i = 0; i < ALL; i++) {
        const double e = (double)b.velocity[i] - expected[i];
        error += e * e;
        norm += expected[i] * expected[i];
    }
    return sqrt(error / norm);
}

static void a_dense_run_ignores_the_gate_and_takes_no_memory_for_it(void **state)
{
    static double   expected[ALL];
    fili_dit_memory m[2];
    fili_dit_config bare;
    dit_problem     p = {
            .t = T, .h = H, .w = W, .latent = b.latent, .context = b.context, .n = 7, .time = 321.5};
    (void)state;
    set_up(1);
    bare          = b.made.config;
    bare.has_gate = 0;
    reopen(&(dit_file){.diffusers = 1});
    assert_int_equal(fili_dit_bytes(b.ctx, b.w, &b.made.config, &b.o, &m[0]), FIL_OK);
    assert_int_equal(fili_dit_bytes(b.ctx, b.w, &bare, &b.o, &m[1]), FIL_OK);
    assert_memory_equal(&m[0], &m[1], sizeof m[0]);
    render();
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
