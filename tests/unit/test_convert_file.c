/* tests/unit/test_convert_file.c: fil_convert: values, types, names and layout of what it writes,
 * what it refuses, and that nothing but a whole file is ever left, whatever call fails.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/convert.h"
#include "support/cmocka_all.h"
#include "support/dit_make.h"
#include "support/malformed.h"
#include "tensor/convert.h"
#include "tensor/quantise.h"

typedef struct bench {
    scratch     dir;
    alloc_fault memory;
    os_fault    system;
    fili_os     os;
    fil_ctx    *ctx;
    dit_made    made;
} bench;

static void set_up(bench *b)
{
    const fili_dit_config config = dit_small_config();
    memset(b, 0, sizeof *b);
    scratch_make(&b->dir);
    b->memory.at = -1;
    b->system.at = -1;
    b->os        = os_fault_table(&b->system);
    alloc_fault_json(&b->memory);
    fil_options opt;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&b->memory);
    assert_int_equal(fili_ctx_open_on(&b->os, &b->ctx, &opt), FIL_OK);
    dit_make(&b->made, &config, 11);
}

static void tear_down(bench *b)
{
    assert_int_equal(b->memory.live, 1); /* the context */
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    assert_int_equal(b->system.open, 0);
    assert_int_equal(b->system.mapped, 0);
    fil_ctx_close(&b->ctx);
    alloc_fault_json(NULL);
    dit_free(&b->made);
    scratch_remove(&b->dir);
}

static const char *at(const bench *b, const char *name)
{
    return scratch_path(&b->dir, name);
}

/* dtype 0: F32 */
static void write_dit(bench *b, const char *name, const dit_file *how)
{
    const dit_file plain = {.dtype = FIL_DTYPE_NONE};
    dit_write(&b->made, b->ctx, at(b, name), how != NULL ? how : &plain);
}

static fil_status convert(bench *b, const char *in, const char *out, fil_dtype type,
                          fil_names names, fil_convert_result *result)
{
    char        path[2][300];
    const char *inputs[1] = {path[0]};
    snprintf(path[0], sizeof path[0], "%s", at(b, in));
    snprintf(path[1], sizeof path[1], "%s", at(b, out));
    fil_convert_options o;
    fil_convert_options_init(&o);
    o.inputs   = inputs;
    o.n_inputs = 1;
    o.output   = path[1];
    o.type     = type;
    o.names    = names;
    o.replace  = 1;
    return fil_convert(b->ctx, &o, result);
}

static void converts(bench *b, const char *in, const char *out, fil_dtype type, fil_names names)
{
    fil_convert_result r;
    if (convert(b, in, out, type, names, &r) != FIL_OK)
        fail_msg("%s to %s: %s", in, out, fil_ctx_error(b->ctx)->message);
    assert_int_equal(r.tensors, r.copied + r.converted + r.quantised);
    size_t bytes;
    free(scratch_read(&b->dir, out, &bytes));
    assert_int_equal(r.bytes_out, bytes);
}

static fili_weights *open_weights(bench *b, const char *name)
{
    fili_weights *w = NULL;
    fili_ctx_enter(b->ctx);
    if (fili_weights_open(b->ctx, FILI_PART_DIT, at(b, name), 0, &w) != FIL_OK)
        fail_msg("%s: %s", name, fil_ctx_error(b->ctx)->message);
    return w;
}

static uint64_t count(const fili_made_tensor *t)
{
    uint64_t n = 1;
    for (uint32_t d = 0; d < t->rank; d++)
        n *= (uint64_t)t->shape[d];
    return n;
}

/* Every tensor, under its canonical name and with its shape, has the values it was made with. */
static void has_all_values(bench *b, const char *name)
{
    fili_weights *w = open_weights(b, name);
    for (int32_t i = 0; i < b->made.n; i++) {
        const fili_made_tensor *t = &b->made.tensors[i];
        const uint64_t          n = count(t);
        float                  *x = malloc((size_t)n * sizeof *x);
        assert_non_null(x);
        if (fili_weights_read(w, t->name, FIL_F32, t->rank, t->shape, x) != FIL_OK)
            fail_msg("%s: %s", name, fil_ctx_error(b->ctx)->message);
        if (memcmp(x, t->data, (size_t)n * sizeof *x) != 0)
            fail_msg("%s: tensor %s has other values", name, t->name);
        free(x);
    }
    assert_int_equal(fili_weights_check_all_used(w), FIL_OK);
    fili_weights_close(&w);
}

static fil_tensor_info info_of(bench *b, const char *name, const char *tensor)
{
    fil_file       *file = NULL;
    fil_tensor_info t;
    assert_int_equal(fil_file_open(b->ctx, at(b, name), 0, &file), FIL_OK);
    const int64_t i = fil_file_find(file, tensor);
    if (i < 0) fail_msg("%s has no tensor %s", name, tensor);
    fil_file_tensor(file, (size_t)i, &t);
    fil_file_close(&file);
    t.name = tensor;
    t.file = NULL;
    return t;
}

static fil_dtype type_in(bench *b, const char *name, const char *tensor)
{
    return info_of(b, name, tensor).dtype;
}

/* ---- values --------------------------------------------------------------------------------- */

/* The values are exact in BF16, so that none of these ways loses any. */
static void lossless_ways_keep_every_bit(void **state)
{
    static const struct {
        const char *from, *to;
        fil_dtype   type;
        fil_names   names;
    } ways[] = {
        {"a.safetensors", "b.safetensors", FIL_BF16, FIL_NAMES_AUTO},
        {"b.safetensors", "c.gguf", FIL_DTYPE_NONE, FIL_NAMES_AUTO},
        {"c.gguf", "d.safetensors", FIL_F32, FIL_NAMES_DIFFUSERS},
        {"d.safetensors", "e.gguf", FIL_BF16, FIL_NAMES_AUTO},
        {"e.gguf", "f.gguf", FIL_F32, FIL_NAMES_KEEP},
        {"f.gguf", "g.safetensors", FIL_DTYPE_NONE, FIL_NAMES_AUTO},
        {"g.safetensors", "h.safetensors", FIL_DTYPE_NONE, FIL_NAMES_DIFFUSERS},
        {"h.safetensors", "i.safetensors", FIL_DTYPE_NONE, FIL_NAMES_ORIGINAL},
    };
    size_t first;
    size_t last;
    bench  b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        converts(&b, ways[i].from, ways[i].to, ways[i].type, ways[i].names);
        has_all_values(&b, ways[i].to);
    }
    /* Once round: the bytes of the two differ in nothing. */
    unsigned char *g = scratch_read(&b.dir, "g.safetensors", &first);
    unsigned char *i = scratch_read(&b.dir, "i.safetensors", &last);
    assert_int_equal(first, last);
    assert_memory_equal(g, i, first);
    free(g);
    free(i);
    tear_down(&b);
}

static void f16_is_rounded_once_and_read_back(void **state)
{
    bench         b;
    const int64_t shape[2] = {128, 128};
    const char   *name     = "blocks.1.self_attn.q.weight";
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    converts(&b, "a.safetensors", "b.gguf", FIL_F16, FIL_NAMES_AUTO);
    assert_int_equal(type_in(&b, "b.gguf", name), FIL_F16);
    static uint16_t want[128 * 128];
    static float    back[128 * 128];
    static float    have[128 * 128];
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F16, want, FIL_F32,
                     dit_values(&b.made, name), 128 * 128);
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F32, back, FIL_F16, want, 128 * 128);
    fili_weights *w = open_weights(&b, "b.gguf");
    assert_int_equal(fili_weights_read(w, name, FIL_F32, 2, shape, have), FIL_OK);
    assert_memory_equal(have, back, sizeof have);
    fili_weights_close(&w);
    tear_down(&b);
}

/* What lies in the file is what the quantiser makes of all values at once. */
static void q8_0_blocks_are_those_of_the_values(void **state)
{
    static unsigned char want[128 * 96 / 32 * 34];
    static unsigned char have[sizeof want];
    const char          *name = "blocks.0.ffn.2.weight"; /* [128, 96] */
    bench                b;
    fil_convert_result   r;
    fil_file            *file = NULL;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    assert_int_equal(convert(&b, "a.safetensors", "b.gguf", FIL_Q8_0, FIL_NAMES_AUTO, &r), FIL_OK);
    assert_int_equal(r.quantised, 2 * 10); /* all matrices of two layers */
    assert_true(fili_quantise_q8_0(want, dit_values(&b.made, name), 128 * 96 / 32));
    assert_int_equal(fil_file_open(b.ctx, at(&b, "b.gguf"), 0, &file), FIL_OK);
    const int64_t i = fil_file_find(file, name);
    assert_true(i >= 0);
    assert_int_equal(fil_file_read(file, (size_t)i, 0, have, sizeof have), FIL_OK);
    assert_memory_equal(have, want, sizeof have);
    fil_file_close(&file);
    tear_down(&b);
}

static void scales_of_fp8_files_are_multiplied_in(void **state)
{
    static float   want[128 * 128];
    static float   have[128 * 128];
    const int64_t  shape[2] = {128, 128};
    const char    *name     = "blocks.0.cross_attn.k.weight";
    const dit_file scaled   = {.scaled = 1, .prefix = "model.diffusion_model."};
    bench          b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", &scaled);
    fil_convert_result r;
    assert_int_equal(convert(&b, "a.safetensors", "b.safetensors", FIL_F32, FIL_NAMES_ORIGINAL, &r),
                     FIL_OK);
    assert_true(r.left_out > 1);
    fili_weights *w = open_weights(&b, "a.safetensors");
    assert_int_equal(fili_weights_read(w, name, FIL_F32, 2, shape, want), FIL_OK);
    fili_weights_close(&w);
    w = open_weights(&b, "b.safetensors");
    assert_int_equal(fili_weights_read(w, name, FIL_F32, 2, shape, have), FIL_OK);
    assert_memory_equal(have, want, sizeof have);
    fili_weights_close(&w);
    /* Types kept: what a run makes of them, since a scale has no place of its own. */
    converts(&b, "a.safetensors", "c.gguf", FIL_DTYPE_NONE, FIL_NAMES_AUTO);
    assert_int_equal(type_in(&b, "c.gguf", name), FIL_BF16);
    tear_down(&b);
}

/* ---- layout --------------------------------------------------------------------------------- */

static const char *metadata(fil_file *file, const char *key)
{
    for (size_t i = 0; i < fil_file_metadata_pairs(file); i++) {
        const char *k;
        const char *v;
        fil_file_metadata(file, i, &k, &v);
        if (strcmp(k, key) == 0) return v;
    }
    return "none";
}

static void a_gguf_looks_as_published_ones_do(void **state)
{
    fil_file *file = NULL;
    bench     b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", &(dit_file){.dtype = FIL_BF16, .diffusers = 1});
    converts(&b, "a.safetensors", "b.gguf", FIL_Q8_0, FIL_NAMES_AUTO);
    assert_int_equal(fil_file_open(b.ctx, at(&b, "b.gguf"), 0, &file), FIL_OK);
    assert_string_equal(metadata(file, "general.architecture"), "wan");
    assert_string_equal(metadata(file, "general.quantization_version"), "2");
    assert_string_equal(metadata(file, "general.file_type"), "7");
    assert_int_equal(fil_file_tensors(file), b.made.n);
    for (size_t i = 0; i < fil_file_tensors(file); i++) {
        fil_tensor_info t;
        fil_file_tensor(file, i, &t);
        assert_int_equal(t.offset % 32, 0);
        const int in_block = strncmp(t.name, "blocks.", 7) == 0;
        const int small    = t.rank != 2;
        if (t.dtype != (small ? FIL_F32 : in_block ? FIL_Q8_0 : FIL_BF16))
            fail_msg("tensor %s is %s", t.name, fil_dtype_name(t.dtype));
    }
    fil_file_close(&file);
    const fil_tensor_info patch = info_of(&b, "b.gguf", "patch_embedding.weight");
    assert_int_equal(patch.rank, 5);
    assert_int_equal(patch.shape[0], 128);
    assert_int_equal(patch.shape[4], 2);
    assert_int_equal(info_of(&b, "b.gguf", "blocks.1.modulation").rank, 3);
    tear_down(&b);
}

static void small_tensors_keep_their_type_and_matrices_get_the_new_one(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    converts(&b, "a.safetensors", "b.safetensors", FIL_BF16, FIL_NAMES_AUTO);
    assert_int_equal(type_in(&b, "b.safetensors", "blocks.0.ffn.0.weight"), FIL_BF16);
    assert_int_equal(type_in(&b, "b.safetensors", "time_projection.1.weight"), FIL_BF16);
    assert_int_equal(type_in(&b, "b.safetensors", "blocks.0.ffn.0.bias"), FIL_F32);
    assert_int_equal(type_in(&b, "b.safetensors", "blocks.0.modulation"), FIL_F32);
    assert_int_equal(type_in(&b, "b.safetensors", "patch_embedding.weight"), FIL_F32);
    converts(&b, "b.safetensors", "c.safetensors", FIL_F32, FIL_NAMES_AUTO);
    assert_int_equal(type_in(&b, "c.safetensors", "blocks.0.ffn.0.weight"), FIL_F32);
    /* blocks are no type of a safetensors file */
    converts(&b, "a.safetensors", "d.gguf", FIL_Q8_0, FIL_NAMES_AUTO);
    converts(&b, "d.gguf", "e.safetensors", FIL_DTYPE_NONE, FIL_NAMES_AUTO);
    assert_int_equal(type_in(&b, "e.safetensors", "blocks.0.ffn.0.weight"), FIL_BF16);
    tear_down(&b);
}

static void write_tensors(bench *b, const char *name, const fil_tensor_desc *t, size_t n,
                          const void *data, uint64_t bytes)
{
    fil_writer    *w      = NULL;
    const fil_pair pair[] = {{.key = "who", .value = "me"}};
    assert_int_equal(fil_writer_open(b->ctx, at(b, name), t, n, pair, 1, FIL_WRITE_REPLACE, &w),
                     FIL_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fil_writer_put(w, i, data, bytes), FIL_OK);
    assert_int_equal(fil_writer_finish(&w), FIL_OK);
}

/* A text encoder: the beginning of one is enough to tell it. */
static void a_text_encoder_has_llama_names_in_a_gguf(void **state)
{
    static const float    data[8 * 32] = {1.0f, -0.5f};
    const fil_tensor_desc t[]          = {
                 {.name = "token_embedding.weight", .dtype = FIL_F32, .rank = 2, .shape = {8, 32}},
                 {.name = "blocks.3.attn.q.weight", .dtype = FIL_F32, .rank = 2, .shape = {8, 32}},
                 {.name  = "blocks.3.pos_embedding.embedding.weight",
                  .dtype = FIL_F32,
                  .rank  = 2,
                  .shape = {8, 32}}};
    fil_file *file = NULL;
    bench     b;
    (void)state;
    set_up(&b);
    write_tensors(&b, "a.safetensors", t, 3, data, sizeof data);
    converts(&b, "a.safetensors", "b.gguf", FIL_Q8_0, FIL_NAMES_AUTO);
    assert_int_equal(type_in(&b, "b.gguf", "token_embd.weight"), FIL_Q8_0);
    assert_int_equal(type_in(&b, "b.gguf", "enc.blk.3.attn_q.weight"), FIL_Q8_0);
    assert_int_equal(type_in(&b, "b.gguf", "enc.blk.3.attn_rel_b.weight"), FIL_F32);
    assert_int_equal(fil_file_open(b.ctx, at(&b, "b.gguf"), 0, &file), FIL_OK);
    assert_string_equal(metadata(file, "general.architecture"), "t5encoder");
    fil_file_close(&file);
    converts(&b, "b.gguf", "c.safetensors", FIL_F32, FIL_NAMES_AUTO);
    assert_int_equal(type_in(&b, "c.safetensors", "blocks.3.attn.q.weight"), FIL_F32);
    converts(&b, "b.gguf", "d.safetensors", FIL_F32, FIL_NAMES_DIFFUSERS);
    assert_int_equal(type_in(&b, "d.safetensors", "encoder.block.3.layer.0.SelfAttention.q.weight"),
                     FIL_F32);
    assert_int_equal(type_in(&b, "d.safetensors", "shared.weight"), FIL_F32);
    tear_down(&b);
}

static void names_of_a_vae_come_back(void **state)
{
    static const char *const names[]  = {"encoder.conv1.weight",
                                         "conv1.bias",
                                         "conv2.bias",
                                         "encoder.downsamples.4.residual.0.gamma",
                                         "encoder.downsamples.5.resample.1.weight",
                                         "encoder.middle.1.to_qkv.weight",
                                         "decoder.middle.2.residual.6.bias",
                                         "decoder.upsamples.7.time_conv.weight",
                                         "decoder.upsamples.13.residual.2.weight",
                                         "decoder.upsamples.4.shortcut.weight",
                                         "decoder.head.0.gamma",
                                         "decoder.head.2.bias"};
    static const char *const theirs[] = {"encoder.conv_in.weight",
                                         "quant_conv.bias",
                                         "post_quant_conv.bias",
                                         "encoder.down_blocks.4.norm1.gamma",
                                         "encoder.down_blocks.5.resample.1.weight",
                                         "encoder.mid_block.attentions.0.to_qkv.weight",
                                         "decoder.mid_block.resnets.1.conv2.bias",
                                         "decoder.up_blocks.1.upsamplers.0.time_conv.weight",
                                         "decoder.up_blocks.3.resnets.1.conv1.weight",
                                         "decoder.up_blocks.1.resnets.0.conv_shortcut.weight",
                                         "decoder.norm_out.gamma",
                                         "decoder.conv_out.bias"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char out[200];
        char back[200];
        assert_int_equal(fili_names_vae_diffusers(names[i], out, sizeof out), 1);
        assert_string_equal(out, theirs[i]);
        assert_int_equal(fili_names_vae(out, back, sizeof back), 1);
        assert_string_equal(back, names[i]);
    }
    char untouched[8] = "as is";
    assert_int_equal(fili_names_vae_diffusers("other.weight", untouched, sizeof untouched), 0);
    assert_string_equal(untouched, "as is");
}

static void several_files_and_an_index_are_one_model(void **state)
{
    size_t      one;
    size_t      two;
    char        path[3][300];
    const char *inputs[3] = {path[0], path[1], path[2]};
    bench       b;
    (void)state;
    set_up(&b);
    write_shard(&b.dir, "a.safetensors", "a");
    write_shard(&b.dir, "b.safetensors", "b");
    scratch_write(&b.dir, INDEX_NAME, GOOD_INDEX, sizeof GOOD_INDEX - 1);
    converts(&b, INDEX_NAME, "whole.safetensors", FIL_DTYPE_NONE, FIL_NAMES_AUTO);
    snprintf(path[0], sizeof path[0], "%s", at(&b, "b.safetensors"));
    snprintf(path[1], sizeof path[1], "%s", at(&b, "a.safetensors"));
    snprintf(path[2], sizeof path[2], "%s", at(&b, "a.safetensors"));
    fil_convert_options o;
    fil_convert_options_init(&o);
    o.inputs   = inputs;
    o.n_inputs = 2;
    o.output   = at(&b, "both.safetensors");
    assert_int_equal(fil_convert(b.ctx, &o, NULL), FIL_OK);
    unsigned char *x = scratch_read(&b.dir, "whole.safetensors", &one);
    unsigned char *y = scratch_read(&b.dir, "both.safetensors", &two);
    assert_int_equal(one, two);
    assert_memory_equal(x, y, one);
    free(x);
    free(y);
    o.n_inputs = 3;
    o.replace  = 1;
    assert_int_equal(fil_convert(b.ctx, &o, NULL), FIL_E_FORMAT); /* a tensor is there twice */
    tear_down(&b);
}

static void metadata_and_integers_stay(void **state)
{
    static const int64_t  data[4] = {1, -2, 3, INT64_MAX};
    const fil_tensor_desc t[]     = {{.name = "ids", .dtype = FIL_I64, .rank = 1, .shape = {4}}};
    int64_t               have[4];
    fil_file             *file = NULL;
    bench                 b;
    (void)state;
    set_up(&b);
    write_tensors(&b, "a.safetensors", t, 1, data, sizeof data);
    converts(&b, "a.safetensors", "b.safetensors", FIL_BF16, FIL_NAMES_AUTO);
    assert_int_equal(fil_file_open(b.ctx, at(&b, "b.safetensors"), 0, &file), FIL_OK);
    assert_string_equal(metadata(file, "who"), "me");
    assert_int_equal(fil_file_read(file, 0, 0, have, sizeof have), FIL_OK);
    assert_memory_equal(have, data, sizeof have);
    fil_file_close(&file);
    tear_down(&b);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void expect(bench *b, fil_status want, fil_status found, const char *part)
{
    if (found != want || strstr(fil_ctx_error(b->ctx)->message, part) == NULL)
        fail_msg("%s, expected %s and '%s': %s", fil_status_name(found), fil_status_name(want),
                 part, fil_ctx_error(b->ctx)->message);
}

static void what_cannot_be_is_refused_and_leaves_nothing(void **state)
{
    static const float    data[4] = {1.0f};
    const fil_tensor_desc t[]     = {{.name = "w", .dtype = FIL_F32, .rank = 1, .shape = {4}}};
    bench                 b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    write_tensors(&b, "other.safetensors", t, 1, data, sizeof data);
    const int before = scratch_count(&b.dir);
    expect(&b, FIL_E_ARG, convert(&b, "a.safetensors", "b.bin", 0, 0, NULL), "ending");
    expect(&b, FIL_E_ARG, convert(&b, "a.safetensors", "b.safetensors", FIL_Q8_0, 0, NULL),
           ".gguf");
    expect(&b, FIL_E_ARG, convert(&b, "a.safetensors", "b.gguf", FIL_Q4_K, 0, NULL), "Q4_K");
    expect(&b, FIL_E_ARG, convert(&b, "a.safetensors", "b.gguf", FIL_F32, (fil_names)9, NULL),
           "names");
    expect(&b, FIL_E_ARG, convert(&b, "a.safetensors", "a.safetensors", 0, 0, NULL), "is read");
    expect(&b, FIL_E_MISMATCH, convert(&b, "other.safetensors", "b.gguf", 0, 0, NULL),
           "architecture");
    expect(&b, FIL_E_MISMATCH,
           convert(&b, "other.safetensors", "b.safetensors", 0, FIL_NAMES_ORIGINAL, NULL), "names");
    expect(&b, FIL_E_IO, convert(&b, "missing.safetensors", "b.gguf", 0, 0, NULL), "missing");
    expect(&b, FIL_E_IO, convert(&b, "a.safetensors", "none/b.gguf", 0, 0, NULL), "none");
    fil_convert_options o;
    fil_convert_options_init(&o);
    expect(&b, FIL_E_ARG, fil_convert(b.ctx, &o, NULL), "file");
    assert_int_equal(fil_convert(NULL, &o, NULL), FIL_E_ARG);
    assert_int_equal(scratch_count(&b.dir), before);
    tear_down(&b);
}

static void an_existing_file_is_replaced_when_that_is_asked_for(void **state)
{
    char        in[300];
    char        out[300];
    const char *inputs[1] = {in};
    bench       b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    scratch_write(&b.dir, "b.gguf", "old", 3);
    snprintf(in, sizeof in, "%s", at(&b, "a.safetensors"));
    snprintf(out, sizeof out, "%s", at(&b, "b.gguf"));
    fil_convert_options o;
    fil_convert_options_init(&o);
    o.inputs   = inputs;
    o.n_inputs = 1;
    o.output   = out;
    expect(&b, FIL_E_IO, fil_convert(b.ctx, &o, NULL), "exists");
    size_t         bytes;
    unsigned char *old = scratch_read(&b.dir, "b.gguf", &bytes);
    assert_int_equal(bytes, 3);
    free(old);
    o.replace = 1;
    assert_int_equal(fil_convert(b.ctx, &o, NULL), FIL_OK);
    has_all_values(&b, "b.gguf");
    tear_down(&b);
}

static void malformed_files_are_refused_as_by_the_reader(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    for (size_t i = 0; i < n_malformed_files + n_malformed_ggufs; i++) {
        fil_status  status;
        const char *message;
        blob        file;
        if (i < n_malformed_files) {
            status  = malformed_files[i].status;
            message = malformed_files[i].message;
            file    = malformed_blob(&malformed_files[i]);
        } else {
            (void)malformed_gguf(i - n_malformed_files, &file, &status, &message);
        }
        scratch_write(&b.dir, "bad", file.data, file.bytes);
        blob_free(&file);
        expect(&b, status, convert(&b, "bad", "out.safetensors", FIL_BF16, 0, NULL), message);
        assert_int_equal(scratch_count(&b.dir), 1);
    }
    tear_down(&b);
}

/* 70,000 does not fit into F16, 3.39e38 rounds up out of BF16. An infinity that was there stays. */
static void a_value_that_does_not_fit_ends_it(void **state)
{
    static const struct {
        float      value;
        fil_dtype  type;
        fil_status status;
    } cases[]                 = {{70000.0f, FIL_F16, FIL_E_NONFINITE},
                                 {-70000.0f, FIL_F16, FIL_E_NONFINITE},
                                 {65519.0f, FIL_F16, FIL_OK},
                                 {3.4e38f, FIL_BF16, FIL_E_NONFINITE},
                                 {INFINITY, FIL_F16, FIL_OK},
                                 {-INFINITY, FIL_BF16, FIL_OK},
                                 {NAN, FIL_F16, FIL_OK},
                                 {NAN, FIL_BF16, FIL_OK}};
    const fil_tensor_desc t[] = {{.name = "w", .dtype = FIL_F32, .rank = 2, .shape = {3, 32}}};
    bench                 b;
    (void)state;
    set_up(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float data[96] = {INFINITY, 1.0f};
        data[77]       = cases[i].value;
        write_tensors(&b, "a.safetensors", t, 1, data, sizeof data);
        const fil_status status =
            convert(&b, "a.safetensors", "b.safetensors", cases[i].type, 0, NULL);
        if (status != cases[i].status)
            fail_msg("%g: %s", (double)cases[i].value, fil_status_name(status));
        if (status != FIL_OK) expect(&b, status, status, "element 77");
        assert_int_equal(scratch_count(&b.dir), status == FIL_OK ? 2 : 1);
        if (status == FIL_OK) assert_int_equal(remove(at(&b, "b.safetensors")), 0);
    }
    tear_down(&b);
}

static void blocks_take_no_value_without_a_number(void **state)
{
    static const float wrong[] = {NAN, INFINITY, 1e30f};
    bench              b;
    (void)state;
    set_up(&b);
    for (size_t i = 0; i < 3; i++) {
        float *data = (float *)(uintptr_t)dit_values(&b.made, "blocks.1.self_attn.v.weight");
        data[77]    = wrong[i];
        write_dit(&b, "a.safetensors", NULL);
        expect(&b, FIL_E_NONFINITE, convert(&b, "a.safetensors", "b.gguf", FIL_Q8_0, 0, NULL),
               "blocks.1.self_attn.v.weight': element 77");
        assert_int_equal(scratch_count(&b.dir), 1);
    }
    tear_down(&b);
}

static int cancel_at_once(void *user)
{
    int *left = user;
    return (*left)-- <= 0;
}

static void a_cancelled_conversion_leaves_nothing(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    for (int after = 0; after < 40; after += 13) {
        int         left = after;
        fil_ctx    *ctx  = b.ctx;
        fil_options opt;
        fil_options_init(&opt);
        opt.cancel = cancel_at_once;
        opt.user   = &left;
        assert_int_equal(fil_ctx_open(&b.ctx, &opt), FIL_OK);
        assert_int_equal(convert(&b, "a.safetensors", "b.gguf", FIL_BF16, 0, NULL),
                         FIL_E_CANCELLED);
        fil_ctx_close(&b.ctx);
        b.ctx = ctx;
        assert_int_equal(scratch_count(&b.dir), 1);
    }
    tear_down(&b);
}

/* ---- failures ------------------------------------------------------------------------------- */

typedef struct case_of_failure {
    const char    *out;
    fil_dtype      type;
    unsigned char *good; /* what a conversion without a failure writes */
    size_t         bytes;
} case_of_failure;

/* The old file (3 bytes) with a failure told, or the whole new one; and no third file, unless it
 * was the removal of one that failed. Gives 1 if the conversion failed. */
static int judge(bench *b, const case_of_failure *c, fil_status status)
{
    size_t         bytes;
    unsigned char *now   = scratch_read(&b->dir, c->out, &bytes);
    const int      old   = bytes == 3 && memcmp(now, "old", 3) == 0;
    const int      whole = bytes == c->bytes && memcmp(now, c->good, bytes) == 0;
    const int      files = scratch_count(&b->dir);
    const char    *call  = os_call_name(b->system.call);
    free(now);
    if (!old && !whole) fail_msg("%s %d: half a file", call, (int)b->system.at);
    if (old && status == FIL_OK) fail_msg("%s %d: told as done", call, (int)b->system.at);
    if (files != 2 && b->system.call != OS_UNLINKAT)
        fail_msg("%s %d: %d files", call, (int)b->system.at, files);
    if (b->system.failed == 0) assert_int_equal(status, FIL_OK);
    if (status != FIL_OK) assert_int_equal(fil_ctx_error(b->ctx)->status, status);
    assert_int_equal(b->memory.live, 1);
    assert_int_equal(b->system.open, 0);
    return status != FIL_OK;
}

static int fail_each_call(bench *b, const case_of_failure *c, os_call call, int error)
{
    int failures = 0;
    for (int64_t n = 0;; n++) {
        scratch_write(&b->dir, c->out, "old", 3);
        b->system = (os_fault){.call = call, .at = n, .error = error};
        failures += judge(b, c, convert(b, "a.safetensors", c->out, c->type, 0, NULL));
        if (b->system.failed == 0) return failures;
        if (call == OS_UNLINKAT) { /* what could not be removed */
            scratch_remove(&b->dir);
            scratch_make(&b->dir);
            b->system.at = -1;
            write_dit(b, "a.safetensors", NULL);
        }
    }
}

static void any_failing_call_leaves_the_old_file_or_the_whole_new_one(void **state)
{
    static const os_call calls[]  = {OS_OPENAT, OS_CLOSE,    OS_PREAD,    OS_PWRITE, OS_FSTAT,
                                     OS_FSYNC,  OS_RENAMEAT, OS_UNLINKAT, OS_RANDOM, OS_FTRUNCATE};
    static const int     errors[] = {EIO, ENOSPC, EINTR, OS_SHORT_COUNT};
    case_of_failure      cases[]  = {{.out = "b.gguf", .type = FIL_Q8_0},
                                     {.out = "b.safetensors", .type = FIL_BF16}};
    int                  failures = 0;
    bench                b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    for (size_t o = 0; o < 2; o++) {
        case_of_failure *c = &cases[o];
        converts(&b, "a.safetensors", c->out, c->type, FIL_NAMES_AUTO);
        c->good = scratch_read(&b.dir, c->out, &c->bytes);
        for (size_t k = 0; k < sizeof calls / sizeof calls[0]; k++)
            for (size_t e = 0; e < sizeof errors / sizeof errors[0]; e++)
                if (errors[e] != OS_SHORT_COUNT || calls[k] == OS_PREAD || calls[k] == OS_PWRITE)
                    failures += fail_each_call(&b, c, calls[k], errors[e]);
        assert_int_equal(remove(at(&b, c->out)), 0);
        free(c->good);
    }
    print_message("%d calls made a conversion fail\n", failures);
    assert_true(failures > 400);
    tear_down(&b);
}

static void any_failing_allocation_leaves_the_old_file(void **state)
{
    bench b;
    (void)state;
    set_up(&b);
    write_dit(&b, "a.safetensors", NULL);
    for (int64_t n = 0;; n++) {
        scratch_write(&b.dir, "b.gguf", "old", 3);
        b.memory.calls          = 0;
        b.memory.failed         = 0;
        b.memory.at             = n;
        const fil_status status = convert(&b, "a.safetensors", "b.gguf", FIL_Q8_0, 0, NULL);
        b.memory.at             = -1;
        if (b.memory.failed == 0) {
            assert_int_equal(status, FIL_OK);
            assert_true(n > 20);
            break;
        }
        assert_int_equal(status, FIL_E_NOMEM);
        size_t bytes;
        free(scratch_read(&b.dir, "b.gguf", &bytes));
        assert_int_equal(bytes, 3);
        assert_int_equal(scratch_count(&b.dir), 2);
        assert_int_equal(b.memory.live, 1);
    }
    tear_down(&b);
}

/* Whatever the file's size, memory is a piece, and the directory. */
static void memory_does_not_grow_with_tensors(void **state)
{
    const fil_tensor_desc t[] = {
        {.name = "w", .dtype = FIL_F32, .rank = 2, .shape = {2048, 4096}}}; /* 32 MiB */
    float *data = calloc((size_t)2048 * 4096, sizeof *data);
    bench  b;
    (void)state;
    assert_non_null(data);
    set_up(&b);
    write_tensors(&b, "a.safetensors", t, 1, data, (uint64_t)2048 * 4096 * 4);
    free(data);
    b.ctx->memory.peak = 0;
    converts(&b, "a.safetensors", "b.safetensors", FIL_BF16, FIL_NAMES_AUTO);
    assert_true(fil_ctx_memory(b.ctx).peak < (uint64_t)2 << 20);
    tear_down(&b);
}

#define TEST(name) cmocka_unit_test(name)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lossless_ways_keep_every_bit),
        TEST(f16_is_rounded_once_and_read_back),
        TEST(q8_0_blocks_are_those_of_the_values),
        TEST(scales_of_fp8_files_are_multiplied_in),
        TEST(a_gguf_looks_as_published_ones_do),
        TEST(small_tensors_keep_their_type_and_matrices_get_the_new_one),
        TEST(a_text_encoder_has_llama_names_in_a_gguf),
        TEST(names_of_a_vae_come_back),
        TEST(several_files_and_an_index_are_one_model),
        TEST(metadata_and_integers_stay),
        TEST(what_cannot_be_is_refused_and_leaves_nothing),
        TEST(an_existing_file_is_replaced_when_that_is_asked_for),
        TEST(malformed_files_are_refused_as_by_the_reader),
        TEST(a_value_that_does_not_fit_ends_it),
        TEST(blocks_take_no_value_without_a_number),
        TEST(a_cancelled_conversion_leaves_nothing),
        TEST(any_failing_call_leaves_the_old_file_or_the_whole_new_one),
        TEST(any_failing_allocation_leaves_the_old_file),
        TEST(memory_does_not_grow_with_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
