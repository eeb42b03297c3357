/* tests/unit/test_weights_gguf.c: the parts of a model from GGUF files (wan/weights*.c): blocks
 * become numbers, wholly or in part, and names and shapes of every writer are understood.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka_all.h"
#include "support/dit_make.h"
#include "support/fault.h"
#include "support/gguf_make.h"
#include "tensor/convert.h"
#include "tensor/dequant.h"
#include "tensor/dtype.h"

enum { MAX_TENSORS = 128 };

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
    dit_make(&b->made, &config, 11);
}

static void tear_down(bench *b)
{
    fili_weights_close(&b->w);
    assert_int_equal(fil_ctx_memory(b->ctx).used, 0);
    fil_ctx_close(&b->ctx);
    dit_free(&b->made);
    scratch_remove(&b->dir);
}

static fil_status open_file(bench *b, const gguf_file *f, fili_part part, uint32_t flags)
{
    buffer bytes = {0};
    gguf_make(&bytes, f);
    scratch_write(&b->dir, "m.gguf", bytes.data, bytes.bytes);
    buffer_free(&bytes);
    fili_weights_close(&b->w);
    fili_ctx_enter(b->ctx);
    return fili_weights_open(b->ctx, part, scratch_path(&b->dir, "m.gguf"), flags, &b->w);
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* 3 rows of 2,304 elements: longer than a piece, and no multiple of one. */
enum { ROWS = 3, COLS = 2304, TOTAL = ROWS * COLS };

static const struct {
    fil_dtype dtype;
    uint32_t  number;
} types[] = {{FIL_Q4_0, 2},  {FIL_Q4_1, 3},  {FIL_Q5_0, 6},  {FIL_Q5_1, 7},  {FIL_Q8_0, 8},
             {FIL_Q2_K, 10}, {FIL_Q3_K, 11}, {FIL_Q4_K, 12}, {FIL_Q5_K, 13}, {FIL_Q6_K, 14}};

enum { TYPES = sizeof types / sizeof types[0] };

/* A file with one tensor "w" of random blocks, whose values are `values`. */
static void open_blocks(bench *b, int type, uint32_t flags, float *values)
{
    uint32_t       n;
    const uint32_t size  = fil_dtype_block(types[type].dtype, &n);
    const size_t   bytes = (size_t)TOTAL / n * size;
    unsigned char *data  = malloc(bytes);
    uint64_t       s     = (uint64_t)type + 5;
    assert_non_null(data);
    for (size_t i = 0; i < bytes; i++) {
        s       = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (unsigned char)((s >> 56) & 0xbb); /* no F16 of it is infinite */
    }
    fili_dequant_select(FILI_ISA_REF, types[type].dtype)(values, data, TOTAL / n);
    const gguf_info info = {.name  = "w",
                            .type  = types[type].number,
                            .rank  = 2,
                            .dims  = {COLS, ROWS},
                            .data  = data,
                            .bytes = bytes};
    const gguf_file f    = {.info = &info, .n_infos = 1, .data = bytes};
    if (open_file(b, &f, FILI_PART_DIT, flags) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b->ctx)->message);
    free(data);
}

static void blocks_are_given_as_f32_and_bf16(void **state)
{
    static float    values[TOTAL];
    static float    f32[TOTAL];
    static uint16_t want[TOTAL];
    static uint16_t bf16[TOTAL];
    const int64_t   shape[2] = {ROWS, COLS};
    (void)state;
    for (int t = 0; t < TYPES; t++)
        for (uint32_t flags = 0; flags <= FIL_OPEN_TRUSTED; flags++) {
            const void *data;
            bench       b;
            set_up(&b);
            open_blocks(&b, t, flags, values);
            assert_int_equal(fili_weights_read(b.w, "w", FIL_F32, 2, shape, f32), FIL_OK);
            assert_memory_equal(f32, values, sizeof values);
            fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, want, FIL_F32, values,
                             TOTAL);
            assert_int_equal(fili_weights_read(b.w, "w", FIL_BF16, 2, shape, bf16), FIL_OK);
            assert_memory_equal(bf16, want, sizeof want);
            assert_null(fili_weights_in_place(b.w, "w", FIL_BF16));
            assert_int_equal(fili_weights_get(b.w, "w", FIL_F32, 2, shape, &data), FIL_OK);
            assert_memory_equal(data, values, sizeof values);
            tear_down(&b);
        }
}

static void a_part_may_begin_and_end_inside_a_block(void **state)
{
    static const uint64_t at[] = {0,   1,    31,   32,   33,   255,      256,
                                  257, 2047, 2048, 2049, 4000, TOTAL - 1};
    static float          values[TOTAL];
    static float          got[TOTAL + 1];
    (void)state;
    for (int t = 0; t < TYPES; t++) {
        const size_t n = sizeof at / sizeof at[0];
        bench        b;
        set_up(&b);
        open_blocks(&b, t, 0, values);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j <= n; j++) {
                const uint64_t count = j < n ? at[j] : TOTAL - at[i];
                if (count > TOTAL - at[i]) continue;
                got[count] = -7.5f;
                assert_int_equal(fili_weights_read_part(b.w, "w", FIL_F32, at[i], count, got),
                                 FIL_OK);
                assert_memory_equal(got, values + at[i], (size_t)count * sizeof *got);
                assert_true(got[count] == -7.5f);
            }
        fili_ctx_enter(b.ctx);
        assert_int_equal(fili_weights_read_part(b.w, "w", FIL_F32, 1, TOTAL, got), FIL_E_ARG);
        tear_down(&b);
    }
}

/* ---- a DiT ---------------------------------------------------------------------------------- */

/* How a writer stores the small DiT. */
typedef struct writer {
    const char *prefix;
    int         drops_ones;  /* leading dimensions of 1 */
    int         joins_patch; /* the first two dimensions of a tensor of five */
    int         spoils;      /* the patch embedding has one channel less than it should */
} writer;

static fil_status open_dit(bench *b, const writer *how)
{
    static gguf_info info[MAX_TENSORS];
    static char      names[MAX_TENSORS][128];
    assert_true(b->made.n <= MAX_TENSORS);
    for (int32_t i = 0; i < b->made.n; i++) {
        const fili_made_tensor *t = &b->made.tensors[i];
        int64_t                 shape[FIL_MAX_RANK];
        uint32_t                rank  = t->rank;
        uint64_t                bytes = sizeof(float);
        memcpy(shape, t->shape, sizeof shape);
        for (uint32_t d = 0; d < rank; d++)
            bytes *= (uint64_t)shape[d];
        if (how->drops_ones && shape[0] == 1) memmove(shape, shape + 1, --rank * sizeof shape[0]);
        if (how->joins_patch && rank == 5) {
            shape[1] *= shape[0] - how->spoils;
            bytes = bytes / (uint64_t)shape[0] * (uint64_t)(shape[0] - how->spoils);
            memmove(shape, shape + 1, --rank * sizeof shape[0]);
        }
        snprintf(names[i], sizeof names[i], "%s%s", how->prefix != NULL ? how->prefix : "",
                 t->name);
        info[i] = (gguf_info){.name = names[i], .rank = rank, .data = t->data, .bytes = bytes};
        for (uint32_t d = 0; d < rank; d++)
            info[i].dims[d] = (uint64_t)shape[rank - 1 - d];
    }
    const gguf_file f = {
        .info = info, .n_infos = (size_t)b->made.n, .data = gguf_lay_out(info, (size_t)b->made.n)};
    return open_file(b, &f, FILI_PART_DIT, 0);
}

static void every_writer_gives_the_same_tensors(void **state)
{
    static const writer writers[] = {
        {.prefix = NULL},
        {.prefix = "model.diffusion_model."},
        {.prefix = "diffusion_model."},
        {.drops_ones = 1},
        {.prefix = "model.diffusion_model.", .drops_ones = 1, .joins_patch = 1},
    };
    bench b;
    (void)state;
    set_up(&b);
    for (size_t i = 0; i < sizeof writers / sizeof writers[0]; i++) {
        if (open_dit(&b, &writers[i]) != FIL_OK ||
            fili_dit_check_weights(b.w, &b.made.config) != FIL_OK)
            fail_msg("writer %zu: %s", i, fil_ctx_error(b.ctx)->message);
        for (int32_t k = 0; k < b.made.n; k++) {
            const fili_made_tensor *t = &b.made.tensors[k];
            const void             *data;
            uint64_t                bytes;
            assert_int_equal(fili_weights_get(b.w, t->name, FIL_F32, t->rank, t->shape, &data),
                             FIL_OK);
            assert_true(fili_shape_bytes(FIL_F32, t->rank, t->shape, &bytes));
            assert_memory_equal(data, t->data, (size_t)bytes);
        }
    }
    tear_down(&b);
}

static void sizes_are_found_without_a_config(void **state)
{
    fili_dit_config found;
    bench           b;
    (void)state;
    set_up(&b);
    assert_int_equal(open_dit(&b, &(writer){.drops_ones = 1, .joins_patch = 1}), FIL_OK);
    if (fili_dit_config_detect(b.w, &found) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
    assert_int_equal(found.dim, b.made.config.dim);
    assert_int_equal(found.in_channels, b.made.config.in_channels);
    assert_int_equal(found.patch_h, b.made.config.patch_h);
    assert_int_equal(found.layers, b.made.config.layers);
    tear_down(&b);
}

static void a_patch_embedding_that_cannot_be_taken_apart_is_named(void **state)
{
    fili_dit_config found;
    bench           b;
    (void)state;
    set_up(&b);
    assert_int_equal(open_dit(&b, &(writer){.joins_patch = 1, .spoils = 1}), FIL_OK);
    assert_int_equal(fili_dit_config_detect(b.w, &found), FIL_E_MISMATCH);
    assert_non_null(strstr(fil_ctx_error(b.ctx)->message, "'patch_embedding.weight' has 4 dim"));
    tear_down(&b);
}

static void every_allocation_may_fail(void **state)
{
    bench       b;
    fil_options opt;
    alloc_fault fault = {.at = -1};
    (void)state;
    set_up(&b);
    assert_int_equal(open_dit(&b, &(writer){.drops_ones = 1, .joins_patch = 1}), FIL_OK);
    fili_weights_close(&b.w);
    fil_ctx *keep = b.ctx;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&fault);
    assert_int_equal(fil_ctx_open(&b.ctx, &opt), FIL_OK);
    for (int64_t at = 0;; at++) {
        fault = (alloc_fault){.at = at, .live = 1};
        fili_ctx_enter(b.ctx);
        const fil_status status =
            fili_weights_open(b.ctx, FILI_PART_DIT, scratch_path(&b.dir, "m.gguf"), 0, &b.w);
        assert_int_equal(status, fault.failed != 0 ? FIL_E_NOMEM : FIL_OK);
        fili_weights_close(&b.w);
        assert_int_equal(fault.live, 1);
        if (fault.failed == 0) break;
    }
    fault.at = -1;
    fil_ctx_close(&b.ctx);
    b.ctx = keep;
    tear_down(&b);
}

/* ---- a text encoder ------------------------------------------------------------------------- */

static void a_text_encoder_has_the_names_of_llama(void **state)
{
    gguf_info info[] = {
        {.name = "token_embd.weight", .rank = 2, .dims = {8, 4}, .bytes = 128},
        {.name = "enc.blk.0.attn_rel_b.weight", .rank = 2, .dims = {2, 32}, .bytes = 256},
        {.name = "enc.output_norm.weight", .rank = 1, .dims = {8}, .bytes = 32}};
    const gguf_file f      = {.info = info, .n_infos = 3, .data = gguf_lay_out(info, 3)};
    const int64_t   bias[] = {32, 2};
    bench           b;
    (void)state;
    set_up(&b);
    assert_int_equal(open_file(&b, &f, FILI_PART_T5, 0), FIL_OK);
    assert_non_null(fili_weights_find(b.w, "token_embedding.weight"));
    assert_non_null(fili_weights_find(b.w, "norm.weight"));
    assert_int_equal(fili_weights_expect(b.w, "blocks.0.pos_embedding.embedding.weight", 2, bias),
                     FIL_OK);
    assert_int_equal(open_file(&b, &f, FILI_PART_DIT, 0), FIL_OK);
    assert_string_equal(fili_weights_likely(b.w), "a UMT5 text encoder");
    tear_down(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_given_as_f32_and_bf16),
        cmocka_unit_test(a_part_may_begin_and_end_inside_a_block),
        cmocka_unit_test(every_writer_gives_the_same_tensors),
        cmocka_unit_test(sizes_are_found_without_a_config),
        cmocka_unit_test(a_patch_embedding_that_cannot_be_taken_apart_is_named),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_text_encoder_has_the_names_of_llama),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
