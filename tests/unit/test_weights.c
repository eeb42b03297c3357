/* tests/unit/test_weights.c: wan/weights.h and wan/dit_config.c: every layout of the same weights
 * gives the same values, and what is wrong with a file is said in one sentence with the tensor,
 * what was expected, what was found, and what model it looks like.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka_all.h"
#include "support/dit_make.h"
#include "support/fault.h"

#define CONFIG                                                                                     \
    "{\"_class_name\":\"WanModel\",\"model_type\":\"t2v\",\"dim\":128,\"ffn_dim\":96,"             \
    "\"num_heads\":2,\"num_layers\":2,\"in_dim\":4,\"out_dim\":4,\"text_dim\":24,"                 \
    "\"freq_dim\":32,\"text_len\":40,\"eps\":1e-06,\"window_size\":[-1,-1]}"

typedef struct bench {
    scratch       dir;
    fil_ctx      *ctx;
    dit_made      made;
    fili_weights *w;
} bench;

static void set_up(bench *b)
{
    const fili_dit_config config = dit_small_config();
    *b                           = (bench){.w = NULL};
    scratch_make(&b->dir);
    assert_int_equal(fil_ctx_open(&b->ctx, NULL), FIL_OK);
    dit_make(&b->made, &config, 7);
}

static void tear_down(bench *b)
{
    fili_weights_close(&b->w);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
    dit_free(&b->made);
    scratch_remove(&b->dir);
}

/* Writes "m.safetensors" and opens it. */
static fil_status reopen(bench *b, const dit_file *how, uint32_t flags)
{
    const char *path = scratch_path(&b->dir, "m.safetensors");
    fili_weights_close(&b->w);
    dit_write(&b->made, b->ctx, path, how);
    fili_ctx_enter(b->ctx);
    return fili_weights_open(b->ctx, FILI_PART_DIT, path, flags, &b->w);
}

static void expect_message(const bench *b, const char *const *pieces, size_t n)
{
    const char *message = fil_ctx_error(b->ctx)->message;
    printf("%s\n", message);
    for (size_t i = 0; i < n; i++)
        if (strstr(message, pieces[i]) == NULL)
            fail_msg("'%s' does not say '%s'", message, pieces[i]);
}

#define EXPECT_MESSAGE(b, ...)                                                                     \
    do {                                                                                           \
        const char *const pieces_[] = {__VA_ARGS__};                                               \
        expect_message((b), pieces_, sizeof pieces_ / sizeof pieces_[0]);                          \
    } while (0)

static void expect_values(bench *b, const char *name, int64_t rows, int64_t cols)
{
    const int64_t shape[2] = {rows, cols};
    const void   *data;
    fili_ctx_enter(b->ctx);
    if (fili_weights_get(b->w, name, FIL_F32, 2, shape, &data) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
    assert_memory_equal(data, dit_values(&b->made, name), (size_t)(rows * cols) * sizeof(float));
}

/* ---- values --------------------------------------------------------------------------------- */

static void every_type_gives_the_same_values(void **state)
{
    static const fil_dtype types[] = {FIL_F32, FIL_F64, FIL_BF16};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        for (uint32_t flags = 0; flags <= FIL_OPEN_TRUSTED; flags++) {
            bench b;
            set_up(&b);
            assert_int_equal(reopen(&b, &(dit_file){.dtype = types[i]}, flags), FIL_OK);
            expect_values(&b, "blocks.1.ffn.0.weight", 96, 128);
            expect_values(&b, "blocks.1.ffn.0.weight", 96, 128); /* kept, not read twice */
            expect_values(&b, "text_embedding.0.weight", 128, 24);
            tear_down(&b);
        }
}

static void a_prefix_of_single_files_is_stripped(void **state)
{
    static const char *const prefixes[] = {"model.diffusion_model.", "diffusion_model.", "model."};
    (void)state;
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        bench b;
        set_up(&b);
        assert_int_equal(reopen(&b, &(dit_file){.prefix = prefixes[i]}, 0), FIL_OK);
        assert_int_equal(fili_dit_check_weights(b.w, &b.made.config), FIL_OK);
        expect_values(&b, "blocks.0.self_attn.q.weight", 128, 128);
        tear_down(&b);
    }
}

static void fp8_weights_are_multiplied_by_their_scale(void **state)
{
    bench         b;
    const int64_t shape[2] = {128, 128};
    const void   *data;
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b, &(dit_file){.scaled = 1, .prefix = "diffusion_model."}, 0), FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &b.made.config), FIL_OK);
    assert_int_equal(fili_weights_get(b.w, "blocks.0.self_attn.q.weight", FIL_F32, 2, shape, &data),
                     FIL_OK);
    const float *found    = data;
    const float *expected = dit_values(&b.made, "blocks.0.self_attn.q.weight");
    for (int i = 0; i < 128 * 128; i++) {
        const float error = found[i] - expected[i];
        const float limit = 0.0626f * (expected[i] < 0 ? -expected[i] : expected[i]) + 0.0005f;
        if (!(error <= limit && error >= -limit))
            fail_msg("element %d is %g, expected about %g", i, (double)found[i],
                     (double)expected[i]);
    }
    tear_down(&b);
}

static void fp8_with_five_bits_of_exponent_is_read(void **state)
{
    static const uint8_t   bytes[4] = {0x3c, 0xc0, 0x01, 0x80};
    static const float     values[] = {1.0f, -2.0f, 0x1p-16f, -0.0f};
    const int64_t          shape[1] = {4};
    const fili_made_tensor t        = {
               .name = "x", .dtype = FIL_F8_E5M2, .rank = 1, .shape = {4}, .data = bytes};
    float found[4];
    bench b;
    (void)state;
    set_up(&b);
    assert_int_equal(fili_weights_make(b.ctx, FILI_PART_DIT, &t, 1, NULL, &b.w), FIL_OK);
    assert_int_equal(fili_weights_read(b.w, "x", FIL_F32, 1, shape, found), FIL_OK);
    assert_memory_equal(found, values, sizeof found);
    tear_down(&b);
}

static void a_mapped_file_is_used_in_place_where_the_type_is_right(void **state)
{
    bench         b;
    const char   *name     = "blocks.0.self_attn.q.weight";
    const int64_t shape[2] = {128, 128};
    const void   *data;
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b, &(dit_file){.dtype = FIL_BF16}, FIL_OPEN_TRUSTED), FIL_OK);
    assert_non_null(fili_weights_in_place(b.w, name, FIL_BF16));
    assert_null(fili_weights_in_place(b.w, name, FIL_F32));
    assert_int_equal(fili_weights_get(b.w, name, FIL_BF16, 2, shape, &data), FIL_OK);
    assert_ptr_equal(data, fili_weights_in_place(b.w, name, FIL_BF16));
    assert_int_equal(reopen(&b, &(dit_file){.dtype = FIL_BF16}, 0), FIL_OK);
    assert_null(fili_weights_in_place(b.w, name, FIL_BF16));
    tear_down(&b);
}

/* ---- four messages -------------------------------------------------------------------------- */

static void a_missing_tensor_is_named_with_its_shape_and_the_likely_model(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b, &(dit_file){.left_out = "blocks.1.norm3.bias"}, 0), FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &b.made.config), FIL_E_MISMATCH);
    EXPECT_MESSAGE(&b, "'blocks.1.norm3.bias'", "[128]", "missing", "a Wan DiT of another size");
    tear_down(&b);
}

static void an_extra_tensor_is_named_with_its_shape_and_the_likely_model(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b, &(dit_file){.added = "img_emb.proj.0.bias"}, 0), FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &b.made.config), FIL_E_MISMATCH);
    EXPECT_MESSAGE(&b, "unexpected", "'img_emb.proj.0.bias'", "[3]", "Wan2.1 I2V-14B");
    assert_int_equal(reopen(&b, &(dit_file){.added = "blocks.0.to_gate_compress.weight"}, 0),
                     FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &b.made.config), FIL_E_MISMATCH);
    EXPECT_MESSAGE(&b, "unexpected", "'blocks.0.to_gate_compress.weight'", "FastWan");
    tear_down(&b);
}

static void a_wrong_shape_is_told_with_both_shapes(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b, &(dit_file){.reshaped = "blocks.0.ffn.2.weight"}, 0), FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &b.made.config), FIL_E_MISMATCH);
    EXPECT_MESSAGE(&b, "'blocks.0.ffn.2.weight'", "[128, 96, 1]", "expected [128, 96]",
                   "look like");
    tear_down(&b);
}

static void a_wrong_type_is_told_with_both_types(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b, &(dit_file){.retyped = "blocks.0.modulation"}, 0), FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &b.made.config), FIL_E_MISMATCH);
    EXPECT_MESSAGE(&b, "'blocks.0.modulation'", "I32", "expected BF16", "look like");
    tear_down(&b);
}

static void a_quantisation_that_is_not_read_is_named(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b,
                            &(dit_file){.retyped = "blocks.0.ffn.0.weight",
                                        .added   = "blocks.0.ffn.0.comfy_quant"},
                            0),
                     FIL_OK);
    assert_int_equal(fili_dit_check_weights(b.w, &b.made.config), FIL_E_UNSUP);
    EXPECT_MESSAGE(&b, "'blocks.0.ffn.0.weight'", "I32", "fp8 alone");
    tear_down(&b);
}

static void the_file_of_another_part_is_recognised(void **state)
{
    static const struct {
        const char *name, *likely;
    } others[] = {{"token_embedding.weight", "a UMT5 text encoder"},
                  {"shared.weight", "a UMT5 text encoder"},
                  {"decoder.conv1.weight", "a Wan VAE"},
                  {"visual.patch_embedding.weight", "a CLIP image encoder"},
                  {"something.else", "no model that filigree knows"}};
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        bench            b;
        fili_dit_config  config;
        const float      value = 1.0f;
        fili_made_tensor t = {.name = others[i].name, .dtype = FIL_F32, .rank = 0, .data = &value};
        set_up(&b);
        assert_int_equal(fili_weights_make(b.ctx, FILI_PART_DIT, &t, 1, NULL, &b.w), FIL_OK);
        assert_int_equal(fili_dit_config_detect(b.w, &config), FIL_E_MISMATCH);
        EXPECT_MESSAGE(&b, "no DiT", "head.modulation", others[i].likely);
        tear_down(&b);
    }
}

/* ---- configuration -------------------------------------------------------------------------- */

static void write_config(const bench *b, const char *text)
{
    scratch_write(&b->dir, "config.json", text, strlen(text));
}

static void sizes_come_from_config_and_tensors(void **state)
{
    bench           b;
    fili_dit_config found;
    (void)state;
    set_up(&b);
    write_config(&b, CONFIG);
    assert_int_equal(reopen(&b, &(dit_file){0}, 0), FIL_OK);
    assert_non_null(fili_weights_config(b.w));
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_OK);
    assert_memory_equal(&found, &b.made.config, sizeof found);
    tear_down(&b);
}

static void sizes_come_from_the_tensors_alone_without_a_config(void **state)
{
    bench           b;
    fili_dit_config found;
    fili_dit_config config = dit_small_config();
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b, &(dit_file){0}, 0), FIL_OK);
    assert_null(fili_weights_config(b.w));
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_OK);
    config.heads    = 1; /* 128 elements each is all that tensors can tell */
    config.text_len = 512;
    assert_memory_equal(&found, &config, sizeof found);
    tear_down(&b);
}

static void a_config_that_contradicts_the_tensors_is_refused(void **state)
{
    static const struct {
        const char *from, *to, *says;
    } lies[] = {{"\"ffn_dim\":96", "\"ffn_dim\":97", "ffn_dim 97, the tensors have 96"},
                {"\"num_layers\":2", "\"num_layers\":3", "num_layers 3, the tensors have 2"},
                {"\"text_dim\":24", "\"text_dim\":25", "text_dim 25, the tensors have 24"}};
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        bench           b;
        fili_dit_config found;
        char            text[512];
        const char     *at = strstr(CONFIG, lies[i].from);
        assert_non_null(at);
        set_up(&b);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - CONFIG), CONFIG, lies[i].to,
                 at + strlen(lies[i].from));
        write_config(&b, text);
        assert_int_equal(reopen(&b, &(dit_file){0}, 0), FIL_OK);
        assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_E_MISMATCH);
        EXPECT_MESSAGE(&b, lies[i].says);
        tear_down(&b);
    }
}

static void the_config_of_another_part_is_left_alone(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    write_config(&b, "{\"_class_name\":\"AutoencoderKLWan\",\"base_dim\":96}");
    assert_int_equal(reopen(&b, &(dit_file){0}, 0), FIL_OK);
    assert_null(fili_weights_config(b.w));
    write_config(&b, "{\"d_model\":64,\"model_type\":\"umt5\"}");
    assert_int_equal(reopen(&b, &(dit_file){0}, 0), FIL_OK);
    assert_null(fili_weights_config(b.w));
    tear_down(&b);
}

/* What a folder's config.json says counts even where it names no class; no object says nothing. */
static void a_config_without_a_class_is_judged_too(void **state)
{
    bench           b;
    fili_dit_config found;
    (void)state;
    set_up(&b);
    write_config(&b, "{\"dim\":128,\"model_type\":\"i2v\"}");
    assert_int_equal(reopen(&b, &(dit_file){0}, 0), FIL_OK);
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_E_UNSUP);
    EXPECT_MESSAGE(&b, "'i2v'");
    tear_down(&b);
    set_up(&b);
    write_config(&b, "[]");
    assert_int_equal(reopen(&b, &(dit_file){0}, 0), FIL_E_FORMAT);
    EXPECT_MESSAGE(&b, "no JSON object");
    tear_down(&b);
}

static void broken_configs_are_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *text;
        fil_status  status;
        const char *says;
    } cases[] = {
        {"", FIL_E_FORMAT, "empty"},
        {"{", FIL_E_FORMAT, "config.json"},
        {"[]", FIL_E_MISMATCH, "no configuration"},
        {"{\"_class_name\":\"FluxTransformer\"}", FIL_E_MISMATCH, "FluxTransformer"},
        {"{\"dim\":\"128\"}", FIL_E_FORMAT, "'dim'"},
        {"{\"dim\":128.5}", FIL_E_FORMAT, "'dim'"},
        {"{\"dim\":-1}", FIL_E_FORMAT, "'dim'"},
        {"{\"dim\":99999999999}", FIL_E_FORMAT, "'dim'"},
        {"{\"dim\":128}", FIL_E_FORMAT, "ffn_dim is 0"},
        {"{\"num_heads\":2147483647,\"attention_head_dim\":2147483647}", FIL_E_FORMAT, "dim is 0"},
        {"{\"dim\":128,\"ffn_dim\":9,\"num_heads\":3,\"num_layers\":1}", FIL_E_FORMAT,
         "no multiple"},
        {"{\"dim\":128,\"ffn_dim\":9,\"num_heads\":4,\"num_layers\":1}", FIL_E_UNSUP,
         "heads of 32"},
        {"{\"dim\":128,\"ffn_dim\":9,\"num_heads\":1,\"num_layers\":5000}", FIL_E_FORMAT,
         "num_layers is 5000"},
        {"{\"dim\":128,\"ffn_dim\":9,\"num_heads\":1,\"num_layers\":1,\"patch_size\":[1,2]}",
         FIL_E_FORMAT, "three numbers"},
        {"{\"dim\":128,\"ffn_dim\":9,\"num_heads\":1,\"num_layers\":1,\"patch_size\":[1,2,0]}",
         FIL_E_FORMAT, "patch_size[2]"},
        {"{\"dim\":128,\"ffn_dim\":9,\"num_heads\":1,\"num_layers\":1,\"eps\":0}", FIL_E_FORMAT,
         "eps"},
        {"{\"dim\":128,\"ffn_dim\":9,\"num_heads\":1,\"num_layers\":1,\"freq_dim\":7}",
         FIL_E_FORMAT, "even"},
        {"{\"dim\":128,\"ffn_dim\":9,\"num_heads\":1,\"num_layers\":1,\"in_dim\":36}", FIL_E_UNSUP,
         "image to video"},
        {"{\"dim\":128,\"model_type\":\"i2v\"}", FIL_E_UNSUP, "'i2v'"},
        {"{\"dim\":128,\"added_kv_proj_dim\":5120}", FIL_E_UNSUP, "added_kv_proj_dim"},
        {"{\"dim\":128,\"qk_norm\":false}", FIL_E_UNSUP, "qk_norm"},
        {"{\"dim\":128,\"window_size\":[3,-1]}", FIL_E_UNSUP, "window_size"},
        {"{\"dim\":128,\"dim\":129}", FIL_E_FORMAT, "config.json"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fil_ctx        *ctx;
        fili_dit_config c;
        assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
        const fil_status found =
            fili_dit_config_parse(ctx, "config.json", cases[i].text, strlen(cases[i].text), &c);
        printf("%s: %s\n", cases[i].text, fil_ctx_error(ctx)->message);
        assert_int_equal(found, cases[i].status);
        if (cases[i].text[0] != '\0')
            assert_non_null(strstr(fil_ctx_error(ctx)->message, cases[i].says));
        assert_int_equal(fil_ctx_memory(ctx).used, 0);
        fil_ctx_close(&ctx);
    }
}

static void published_sizes_have_the_published_number_of_parameters(void **state)
{
    fili_dit_config c;
    (void)state;
    assert_true(fili_dit_config_named("1.3b", &c));
    assert_true(fili_dit_parameters(&c) == 1418996800u);
    assert_int_equal(fili_dit_tensors(&c), 825);
    assert_true(fili_dit_config_named("14b", &c));
    assert_true(fili_dit_parameters(&c) == 14288491584u);
    assert_int_equal(fili_dit_tensors(&c), 1095);
    assert_false(fili_dit_config_named("7b", &c));
}

/* ---- names ---------------------------------------------------------------------------------- */

static void diffusers_names_become_original_ones(void **state)
{
    static const char *const pairs[][2] = {
        {"condition_embedder.time_proj.bias", "time_projection.1.bias"},
        {"scale_shift_table", "head.modulation"},
        {"blocks.12.scale_shift_table", "blocks.12.modulation"},
        {"blocks.0.norm2.weight", "blocks.0.norm3.weight"},
        {"blocks.3.attn2.to_out.0.bias", "blocks.3.cross_attn.o.bias"},
        {"blocks.3.attn1.norm_k.weight", "blocks.3.self_attn.norm_k.weight"},
        {"blocks.29.ffn.net.0.proj.weight", "blocks.29.ffn.0.weight"},
        {"proj_out.weight", "head.head.weight"},
        {"blocks.7.self_attn.q.weight", "blocks.7.self_attn.q.weight"}};
    static const char *const strangers[] = {
        "blocks.attn1.to_q.weight", "blocks.0.attn1.to_q.weights", "blocks.0.attn1.to_qkv.weight",
        "scale_shift_table.0",      "blocks.0x.modulation",        ""};
    char out[64];
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(fili_names_dit(pairs[i][0], out, sizeof out), 1);
        assert_string_equal(out, pairs[i][1]);
    }
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++)
        assert_int_equal(fili_names_dit(strangers[i], out, sizeof out), 0);
    assert_int_equal(fili_names_dit("blocks.1.attn2.norm_added_q.weight", out, sizeof out), 2);
    assert_int_equal(fili_names_dit("blocks.7.self_attn.q.weight", out, 27), 0); /* no room */
}

static void one_tensor_under_two_names_is_refused(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    assert_int_equal(reopen(&b, &(dit_file){.added = "proj_out.bias"}, 0), FIL_E_FORMAT);
    EXPECT_MESSAGE(&b, "'head.head.bias'", "two names");
    tear_down(&b);
}

static void every_allocation_may_fail_while_weights_are_opened(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    write_config(&b, CONFIG);
    assert_int_equal(reopen(&b, &(dit_file){.dtype = FIL_BF16}, 0), FIL_OK);
    const char *path = scratch_path(&b.dir, "m.safetensors");
    for (int64_t at = 0;; at++) {
        alloc_fault     fault = {.at = at};
        fil_ctx        *ctx;
        fili_weights   *w = NULL;
        fil_options     opt;
        fili_dit_config c;
        const void     *data;
        const int64_t   shape[2] = {128, 128};
        fil_options_init(&opt);
        opt.host = alloc_fault_allocator(&fault);
        if (fil_ctx_open(&ctx, &opt) == FIL_OK) {
            fil_status s = fili_weights_open(ctx, FILI_PART_DIT, path, 0, &w);
            if (s == FIL_OK) s = fili_dit_config_detect(w, &c);
            if (s == FIL_OK)
                s = fili_weights_get(w, "text_embedding.2.weight", FIL_F32, 2, shape, &data);
            assert_int_equal(s, fault.failed > 0 ? FIL_E_NOMEM : FIL_OK);
            fili_weights_close(&w);
            fil_ctx_close(&ctx);
        }
        assert_int_equal(fault.live, 0);
        if (fault.failed == 0) break;
    }
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_gives_the_same_values),
        cmocka_unit_test(a_prefix_of_single_files_is_stripped),
        cmocka_unit_test(fp8_weights_are_multiplied_by_their_scale),
        cmocka_unit_test(fp8_with_five_bits_of_exponent_is_read),
        cmocka_unit_test(a_mapped_file_is_used_in_place_where_the_type_is_right),
        cmocka_unit_test(a_missing_tensor_is_named_with_its_shape_and_the_likely_model),
        cmocka_unit_test(an_extra_tensor_is_named_with_its_shape_and_the_likely_model),
        cmocka_unit_test(a_wrong_shape_is_told_with_both_shapes),
        cmocka_unit_test(a_wrong_type_is_told_with_both_types),
        cmocka_unit_test(a_quantisation_that_is_not_read_is_named),
        cmocka_unit_test(the_file_of_another_part_is_recognised),
        cmocka_unit_test(sizes_come_from_config_and_tensors),
        cmocka_unit_test(sizes_come_from_the_tensors_alone_without_a_config),
        cmocka_unit_test(a_config_that_contradicts_the_tensors_is_refused),
        cmocka_unit_test(the_config_of_another_part_is_left_alone),
        cmocka_unit_test(a_config_without_a_class_is_judged_too),
        cmocka_unit_test(broken_configs_are_refused_with_a_sentence),
        cmocka_unit_test(published_sizes_have_the_published_number_of_parameters),
        cmocka_unit_test(diffusers_names_become_original_ones),
        cmocka_unit_test(one_tensor_under_two_names_is_refused),
        cmocka_unit_test(every_allocation_may_fail_while_weights_are_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
