/* tests/unit/test_model_paths.c: wan/model_paths.h: the parts of a model are found in each layout,
 * any of them can be given by hand, and what is missing or not clear is said in one sentence.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "support/cmocka_all.h"
#include "support/fault.h"
#include "wan/model_paths.h"

typedef struct bench {
    scratch          dir;
    fil_ctx         *ctx;
    fili_model_paths paths;
} bench;

/* Files by name; a name that ends in a slash is a folder. */
static void set_up(bench *b, const char *const *names, size_t n)
{
    *b = (bench){.ctx = NULL};
    scratch_make(&b->dir);
    assert_int_equal(fil_ctx_open(&b->ctx, NULL), FIL_OK);
    for (size_t i = 0; i < n; i++) {
        const size_t length = strlen(names[i]);
        if (names[i][length - 1] == '/')
            assert_int_equal(mkdir(scratch_path(&b->dir, names[i]), 0700), 0);
        else
            scratch_write(&b->dir, names[i], "{}", 2);
    }
}

static fil_status find(bench *b, fili_model_choice choice)
{
    fili_ctx_enter(b->ctx);
    if (choice.dir == NULL) choice.dir = b->dir.path;
    return fili_model_paths_open(&b->paths, b->ctx, &choice, 0);
}

static void tear_down(bench *b)
{
    fili_model_paths_close(&b->paths);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
    scratch_remove(&b->dir);
}

/* NULL: not found. */
static void expect(const bench *b, const char *found, const char *expected)
{
    if (expected == NULL) {
        assert_null(found);
        return;
    }
    assert_non_null(found);
    assert_string_equal(found, scratch_path(&b->dir, expected));
}

#define SET_UP(b, ...)                                                                             \
    do {                                                                                           \
        const char *const names_[] = {__VA_ARGS__};                                                \
        set_up((b), names_, sizeof names_ / sizeof names_[0]);                                     \
    } while (0)

static void the_original_layout_has_all_parts(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "config.json", "diffusion_pytorch_model.safetensors", "Wan2.1_VAE.pth",
           "models_t5_umt5-xxl-enc-bf16.pth",
           "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth", "google/", "google/umt5-xxl/",
           "google/umt5-xxl/spiece.model");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    assert_string_equal(b.paths.layout, "original");
    expect(&b, b.paths.part[FILI_PART_DIT], "diffusion_pytorch_model.safetensors");
    expect(&b, b.paths.part[FILI_PART_T5], "models_t5_umt5-xxl-enc-bf16.pth");
    expect(&b, b.paths.part[FILI_PART_VAE], "Wan2.1_VAE.pth");
    expect(&b, b.paths.tokenizer, "google/umt5-xxl");
    tear_down(&b);
}

static void the_diffusers_layout_has_all_parts(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "model_index.json", "transformer/",
           "transformer/diffusion_pytorch_model.safetensors",
           "transformer/diffusion_pytorch_model.fp16.safetensors", "text_encoder/",
           "text_encoder/model.safetensors", "vae/", "vae/diffusion_pytorch_model.safetensors",
           "tokenizer/", "tokenizer/spiece.model");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    assert_string_equal(b.paths.layout, "diffusers");
    expect(&b, b.paths.part[FILI_PART_DIT], "transformer/diffusion_pytorch_model.safetensors");
    expect(&b, b.paths.part[FILI_PART_T5], "text_encoder/model.safetensors");
    expect(&b, b.paths.part[FILI_PART_VAE], "vae/diffusion_pytorch_model.safetensors");
    expect(&b, b.paths.tokenizer, "tokenizer");
    tear_down(&b);
}

static void the_comfy_layout_has_all_parts(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "diffusion_models/", "diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors",
           "text_encoders/", "text_encoders/umt5_xxl_fp16.safetensors", "vae/",
           "vae/wan_2.1_vae.safetensors", "clip_vision/", "clip_vision/clip_vision_h.safetensors");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    assert_string_equal(b.paths.layout, "comfy");
    expect(&b, b.paths.part[FILI_PART_DIT], "diffusion_models/wan2.1_t2v_1.3B_fp16.safetensors");
    expect(&b, b.paths.part[FILI_PART_T5], "text_encoders/umt5_xxl_fp16.safetensors");
    expect(&b, b.paths.part[FILI_PART_VAE], "vae/wan_2.1_vae.safetensors");
    expect(&b, b.paths.tokenizer, NULL);
    assert_int_equal(fili_model_paths_need_tokenizer(&b.paths), FIL_E_MISMATCH);
    tear_down(&b);
}

static void single_files_are_told_apart_by_their_names(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "wan2.1_t2v_1.3B_fp16.safetensors", "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
           "wan_2.1_vae.safetensors", "spiece.model");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    expect(&b, b.paths.part[FILI_PART_DIT], "wan2.1_t2v_1.3B_fp16.safetensors");
    expect(&b, b.paths.part[FILI_PART_T5], "umt5_xxl_fp8_e4m3fn_scaled.safetensors");
    expect(&b, b.paths.part[FILI_PART_VAE], "wan_2.1_vae.safetensors");
    expect(&b, b.paths.tokenizer, ".");
    tear_down(&b);
}

static void gguf_files_are_parts_where_others_would_be(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "Wan2.1-T2V-14B-Q4_K_M.gguf", "umt5-xxl-encoder-Q8_0.gguf",
           "wan_2.1_vae.safetensors", "spiece.model");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    expect(&b, b.paths.part[FILI_PART_DIT], "Wan2.1-T2V-14B-Q4_K_M.gguf");
    expect(&b, b.paths.part[FILI_PART_T5], "umt5-xxl-encoder-Q8_0.gguf");
    expect(&b, b.paths.part[FILI_PART_VAE], "wan_2.1_vae.safetensors");
    tear_down(&b);
    SET_UP(&b, "model_index.json", "transformer/", "transformer/wan-q8_0.gguf", "vae/",
           "vae/diffusion_pytorch_model.safetensors");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    expect(&b, b.paths.part[FILI_PART_DIT], "transformer/wan-q8_0.gguf");
    tear_down(&b);
    SET_UP(&b, "unet/", "unet/wan-q4_0.gguf", "clip/", "clip/umt5-q8_0.gguf", "vae/",
           "vae/wan_2.1_vae.safetensors");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    expect(&b, b.paths.part[FILI_PART_DIT], "unet/wan-q4_0.gguf");
    expect(&b, b.paths.part[FILI_PART_T5], "clip/umt5-q8_0.gguf");
    tear_down(&b);
}

static void the_publishers_own_dit_goes_before_a_gguf_and_two_ggufs_are_a_question(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "config.json", "diffusion_pytorch_model.safetensors", "wan-q8_0.gguf");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    expect(&b, b.paths.part[FILI_PART_DIT], "diffusion_pytorch_model.safetensors");
    tear_down(&b);
    SET_UP(&b, "wan-q4_0.gguf", "wan-q8_0.gguf");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_E_MISMATCH);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "'wan-q4_0.gguf' and 'wan-q8_0.gguf'"));
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "--dit"));
    tear_down(&b);
}

static void a_part_that_is_named_is_taken_and_the_rest_is_found(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "config.json", "diffusion_pytorch_model.safetensors", "Wan2.1_VAE.pth");
    assert_int_equal(find(&b, (fili_model_choice){.t5 = "/elsewhere/t5", .vae = "v.pth"}), FIL_OK);
    assert_string_equal(b.paths.part[FILI_PART_T5], "/elsewhere/t5");
    assert_string_equal(b.paths.part[FILI_PART_VAE], "v.pth");
    expect(&b, b.paths.part[FILI_PART_DIT], "diffusion_pytorch_model.safetensors");
    tear_down(&b);
}

static void with_all_parts_named_no_folder_is_asked(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "empty/");
    const fili_model_choice all = {
        .dir = scratch_path(&b.dir, "empty"), .dit = "d", .t5 = "t", .vae = "v", .tokenizer = "k"};
    assert_int_equal(find(&b, all), FIL_OK);
    assert_string_equal(b.paths.part[FILI_PART_DIT], "d");
    assert_string_equal(b.paths.tokenizer, "k");
    tear_down(&b);
}

static void a_missing_part_is_named_with_its_option(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "config.json", "diffusion_pytorch_model.safetensors");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_OK);
    assert_int_equal(fili_model_paths_need(&b.paths, FILI_PART_DIT), FIL_OK);
    assert_int_equal(fili_model_paths_need(&b.paths, FILI_PART_VAE), FIL_E_MISMATCH);
    printf("%s\n", fil_ctx_error(b.ctx)->message);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "--vae"));
    fili_ctx_enter(b.ctx);
    assert_int_equal(fili_model_paths_need(&b.paths, FILI_PART_T5), FIL_E_MISMATCH);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "--t5"));
    tear_down(&b);
}

static void two_files_that_could_be_a_part_are_both_named(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "diffusion_models/", "diffusion_models/a.safetensors",
           "diffusion_models/b.safetensors");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_E_MISMATCH);
    printf("%s\n", fil_ctx_error(b.ctx)->message);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "a.safetensors"));
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "b.safetensors"));
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "--dit"));
    tear_down(&b);
}

static void a_folder_of_one_file_is_the_part_itself(void **state)
{
    bench       b;
    fili_arena  arena;
    const char *path;
    (void)state;
    SET_UP(&b, "transformer/", "transformer/model.safetensors");
    fili_arena_init(&arena, b.ctx, "test", 0);
    assert_int_equal(fili_model_part_path(b.ctx, &arena, scratch_path(&b.dir, "transformer"),
                                          FILI_PART_VAE, 0, &path),
                     FIL_OK);
    expect(&b, path, "transformer/model.safetensors");
    fili_arena_fini(&arena);
    tear_down(&b);
}

static void an_empty_folder_is_refused(void **state)
{
    bench b;
    (void)state;
    SET_UP(&b, "config.json");
    assert_int_equal(find(&b, (fili_model_choice){0}), FIL_E_MISMATCH);
    assert_int_equal(find(&b, (fili_model_choice){.dir = scratch_path(&b.dir, "none")}), FIL_E_IO);
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_original_layout_has_all_parts),
        cmocka_unit_test(the_diffusers_layout_has_all_parts),
        cmocka_unit_test(the_comfy_layout_has_all_parts),
        cmocka_unit_test(single_files_are_told_apart_by_their_names),
        cmocka_unit_test(gguf_files_are_parts_where_others_would_be),
        cmocka_unit_test(the_publishers_own_dit_goes_before_a_gguf_and_two_ggufs_are_a_question),
        cmocka_unit_test(a_part_that_is_named_is_taken_and_the_rest_is_found),
        cmocka_unit_test(with_all_parts_named_no_folder_is_asked),
        cmocka_unit_test(a_missing_part_is_named_with_its_option),
        cmocka_unit_test(two_files_that_could_be_a_part_are_both_named),
        cmocka_unit_test(a_folder_of_one_file_is_the_part_itself),
        cmocka_unit_test(an_empty_folder_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
