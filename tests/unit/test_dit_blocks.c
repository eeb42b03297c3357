/* tests/unit/test_dit_blocks.c: a DiT whose matrices stay in the blocks of a GGUF: equal to its
 * definition with the values that the blocks have, in memory, mapped and read; and what it takes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "filigree/convert.h"
#include "support/block_make.h"
#include "support/cmocka_all.h"
#include "support/dit_reference.h"
#include "support/fault.h"
#include "tensor/dequant.h"
#include "tensor/quantise.h"

enum { T = 2, H = 6, W = 8, TEXT = 40, LATENT = 4 * T * H * W, MOST = 128 };

typedef struct bench {
    fil_ctx         *ctx;
    alloc_fault      fault;
    scratch          dir;
    dit_made         made;       /* F32, the values of the blocks */
    fili_made_tensor kept[MOST]; /* as a file has them */
    fili_weights    *w;
    fili_dit_options o;
    fili_dit        *d;
    float            latent[LATENT];
    float            context[TEXT * 24];
    float            velocity[LATENT];
    dit_problem      p;
    int              flat; /* a matrix whose rows are no whole blocks is quantised all the same */
} bench;

static bench b; /* of the test that runs */

/* ---- weights -------------------------------------------------------------------------------- */

static int64_t elements_of(const fili_made_tensor *t)
{
    return t->shape[0] * t->shape[1];
}

/* The rows of the MLP in Q4_K, other matrices of the layers in Q8_0; what has no whole blocks stays
 * F32. */
static fil_dtype type_of(const fili_made_tensor *t)
{
    if (b.flat && strcmp(t->name, "text_embedding.0.weight") == 0) return FIL_Q8_0;
    if (t->rank != 2 || strncmp(t->name, "blocks.", 7) != 0 || t->shape[1] % 32 != 0)
        return FIL_F32;
    return strstr(t->name, "ffn.0") != NULL ? FIL_Q4_K : FIL_Q8_0;
}

/* Gives `made` the values that its blocks have. */
static void quantise(const fili_made_tensor *made, fili_made_tensor *kept)
{
    const fil_dtype type   = type_of(made);
    const int64_t   n      = elements_of(made);
    float          *values = (float *)(uintptr_t)made->data;
    uint32_t        block;
    const uint32_t  size = fil_dtype_block(type, &block);
    *kept                = *made;
    if (type == FIL_F32) return;
    const size_t   blocks = (size_t)n / block;
    unsigned char *bytes  = malloc(blocks * size);
    assert_non_null(bytes);
    if (type == FIL_Q8_0)
        assert_true(fili_quantise_q8_0(bytes, values, blocks));
    else
        block_fill(type, bytes, blocks, 1, (uint64_t)n + (uint64_t)made->name[7]);
    fili_dequant_select(FILI_ISA_REF, type)(values, bytes, blocks);
    kept->dtype = type;
    kept->data  = bytes;
}

static void set_up_flat(int32_t threads, int flat)
{
    fili_dit_config config = dit_small_config();
    fil_options     opt;
    b              = (bench){.fault = {.at = -1}, .flat = flat};
    config.dim     = 256;
    config.heads   = 4;
    config.ffn_dim = 288;
    scratch_make(&b.dir);
    fil_options_init(&opt);
    opt.device    = "cpu"; /* a device packs all weights */
    opt.n_threads = threads;
    opt.host      = alloc_fault_allocator(&b.fault);
    assert_int_equal(fil_ctx_open(&b.ctx, &opt), FIL_OK);
    dit_make(&b.made, &config, 5);
    assert_true(b.made.n <= MOST);
    for (int32_t i = 0; i < b.made.n; i++)
        quantise(&b.made.tensors[i], &b.kept[i]);
    fili_dit_options_init(&b.o);
    b.o.precision = FIL_F32;
    b.o.t         = T;
    b.o.h         = H;
    b.o.w         = W;
    fili_philox_normal(3, 1, 0, b.latent, LATENT);
    fili_philox_normal(3, 2, 0, b.context, TEXT * 24);
    b.p = (dit_problem){
        .t = T, .h = H, .w = W, .latent = b.latent, .context = b.context, .n = 7, .time = 321.5};
}

static void set_up(int32_t threads)
{
    set_up_flat(threads, 0);
}

static void end_run(void)
{
    fili_dit_close(&b.d);
    fili_weights_close(&b.w);
}

static void tear_down(void)
{
    end_run();
    assert_int_equal(fil_ctx_memory(b.ctx).used, 0);
    fil_ctx_close(&b.ctx);
    assert_int_equal(b.fault.live, 0);
    for (int32_t i = 0; i < b.made.n; i++)
        if (b.kept[i].dtype != FIL_F32) free((void *)(uintptr_t)b.kept[i].data);
    dit_free(&b.made);
    scratch_remove(&b.dir);
}

static void hold_in_memory(void)
{
    assert_int_equal(fili_weights_make(b.ctx, FILI_PART_DIT, b.kept, (size_t)b.made.n, NULL, &b.w),
                     FIL_OK);
}

static void run(void)
{
    if (fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d) != FIL_OK ||
        fili_dit_set_context(b.d, 0, b.context, b.p.n) != FIL_OK ||
        fili_dit_forward(b.d, 0, 4, b.latent, b.p.time, b.velocity) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
}

static fili_dit_memory told(void)
{
    fili_dit_memory m;
    assert_int_equal(fili_dit_bytes(b.ctx, b.w, &b.made.config, &b.o, &m), FIL_OK);
    return m;
}

static void expect_reference(const char *what, double tolerance)
{
    double expected[LATENT];
    dit_reference(&b.made, &b.p, expected);
    const double far = dit_distance(b.velocity, expected, LATENT);
    printf("%-30s rel_l2 %.2e\n", what, far);
    if (!(far <= tolerance)) fail_msg("%s: rel_l2 %g", what, far);
}

#define F32_LINE  1e-5
#define BF16_LINE 1.5e-2

/* ---- in memory ------------------------------------------------------------------------------ */

static void blocks_of_two_types_and_f32_equal_the_definition(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        set_up(2);
        hold_in_memory();
        if (bf16) b.o.precision = FIL_BF16;
        assert_true(fili_dequant_has(told().kept));
        run();
        expect_reference(bf16 ? "bf16" : "f32", bf16 ? BF16_LINE : F32_LINE);
        tear_down();
    }
}

/* Some writers lay tensors out in rows of 256 and note their shape beside: blocks then cross rows.
 */
static void blocks_that_cross_rows_are_converted(void **state)
{
    (void)state;
    set_up_flat(1, 1);
    hold_in_memory();
    assert_int_equal(told().kept, FIL_DTYPE_NONE);
    run();
    expect_reference("across rows", F32_LINE);
    tear_down();
}

static void packed_on_demand_they_give_the_same_function(void **state)
{
    (void)state;
    set_up(1);
    hold_in_memory();
    b.o.packed = 1;
    assert_int_equal(told().kept, FIL_DTYPE_NONE);
    run();
    expect_reference("packed", F32_LINE);
    tear_down();
}

/* More tokens than a band, and more rows of a context: a matrix is converted once for all. */
static void bands_share_what_was_converted(void **state)
{
    enum { SIDE = 92, MANY = 4 * T * SIDE * SIDE, ROWS = 129 };
    static float  latent[MANY];
    static float  out[2][MANY];
    static double expected[MANY];
    static float  context[ROWS * 24];
    (void)state;
    set_up(2);
    fili_philox_normal(3, 1, 0, latent, MANY);
    fili_philox_normal(3, 2, 0, context, ROWS * 24);
    b.made.config.text_len = 150;
    b.o.h = b.o.w = SIDE;
    for (int32_t packed = 0; packed < 2; packed++) {
        hold_in_memory();
        b.o.packed = packed;
        assert_int_equal(fili_dequant_has(told().kept), !packed);
        if (fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d) != FIL_OK ||
            fili_dit_set_context(b.d, 0, context, ROWS) != FIL_OK ||
            fili_dit_forward(b.d, 0, 4, latent, 321.5, out[packed]) != FIL_OK)
            fail_msg("%s", fil_ctx_error(b.ctx)->message);
        end_run();
    }
    for (int i = 0; i < MANY; i++)
        expected[i] = (double)out[1][i];
    const double far = dit_distance(out[0], expected, MANY);
    printf("%-30s rel_l2 %.2e\n", "two bands, of packed", far);
    if (!(far <= F32_LINE)) fail_msg("two bands: rel_l2 %g", far);
    tear_down();
}

static void bits_are_the_same_for_1_2_and_3_threads(void **state)
{
    float first[LATENT];
    (void)state;
    for (int32_t threads = 1; threads <= 3; threads++) {
        set_up(threads);
        hold_in_memory();
        b.o.precision = FIL_BF16;
        run();
        if (threads == 1) memcpy(first, b.velocity, sizeof first);
        assert_memory_equal(b.velocity, first, sizeof first);
        tear_down();
    }
}

/* ---- in a file ------------------------------------------------------------------------------ */

static void write_gguf(const char *path)
{
    const char         *source = scratch_path(&b.dir, "f32.safetensors");
    fil_convert_options o;
    fil_convert_result  r;
    dit_write(&b.made, b.ctx, source, &(dit_file){.dtype = FIL_F32});
    fil_convert_options_init(&o);
    o.inputs   = &source;
    o.n_inputs = 1;
    o.output   = path;
    o.type     = FIL_Q8_0;
    if (fil_convert(b.ctx, &o, &r) != FIL_OK) fail_msg("%s", fil_ctx_error(b.ctx)->message);
    assert_true(r.quantised > 0);
}

static void open_file(const char *path, uint32_t flags)
{
    if (fili_weights_open(b.ctx, FILI_PART_DIT, path, flags, &b.w) != FIL_OK)
        fail_msg("%s", fil_ctx_error(b.ctx)->message);
}

/* Read into memory as they are, or used in the mapping: the same bits, and the memory that was
 * told, about a quarter of that of f32. */
static void mapped_and_read_blocks_give_the_same_bits(void **state)
{
    float                 first[LATENT];
    static const uint32_t flags[] = {0, FIL_OPEN_TRUSTED};
    uint64_t              f32     = 0;
    (void)state;
    set_up(2);
    const char *path = scratch_path(&b.dir, "a.gguf");
    write_gguf(path);
    for (int i = 0; i < 2; i++) {
        open_file(path, flags[i]);
        b.o.packed              = 1;
        f32                     = told().weights;
        b.o.packed              = 0;
        const fili_dit_memory m = told();
        assert_int_equal(m.kept, FIL_Q8_0);
        assert_true(flags[i] == 0 ? m.mapped == 0 : m.mapped > f32 / 5);
        assert_true(flags[i] == 0 ? m.weights < f32 / 2 : m.weights + m.mapped < f32 / 2);
        const uint64_t before = fil_ctx_memory(b.ctx).used;
        run();
        const uint64_t taken = fil_ctx_memory(b.ctx).used - before;
        assert_true(taken >= m.total && taken <= m.total + 4096);
        if (i == 0) memcpy(first, b.velocity, sizeof first);
        assert_memory_equal(b.velocity, first, sizeof first);
        end_run();
    }
    tear_down();
}

/* One converted layer at a time, and all of them at once. */
static void converted_ones_give_the_same_bits(void **state)
{
    float first[LATENT];
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        set_up(2);
        if (bf16) b.o.precision = FIL_BF16;
        const char *path = scratch_path(&b.dir, "a.gguf");
        write_gguf(path);
        for (int i = 0; i < 3; i++) {
            open_file(path, 0);
            b.o.stream = i == 1;
            b.o.packed = i == 2;
            assert_int_equal(told().kept, i == 0 ? FIL_Q8_0 : FIL_DTYPE_NONE);
            run();
            if (i == 0) memcpy(first, b.velocity, sizeof first);
            assert_memory_equal(b.velocity, first, sizeof first);
            end_run();
        }
        tear_down();
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    set_up(1);
    const char *path = scratch_path(&b.dir, "a.gguf");
    write_gguf(path);
    open_file(path, 0);
    const int64_t live = b.fault.live;
    for (int64_t at = 0;; at++) {
        assert_true(at < 10000);
        b.fault.at              = b.fault.calls + at;
        b.fault.failed          = 0;
        const fil_status status = fili_dit_open(b.ctx, b.w, &b.made.config, &b.o, &b.d);
        const int        failed = b.fault.failed != 0;
        b.fault.at              = -1;
        if (!failed) assert_int_equal(status, FIL_OK);
        if (!failed) break;
        assert_int_equal(status, FIL_E_NOMEM);
        assert_null(b.d);
        assert_int_equal(b.fault.live, live);
    }
    tear_down();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_two_types_and_f32_equal_the_definition),
        cmocka_unit_test(blocks_that_cross_rows_are_converted),
        cmocka_unit_test(packed_on_demand_they_give_the_same_function),
        cmocka_unit_test(bands_share_what_was_converted),
        cmocka_unit_test(bits_are_the_same_for_1_2_and_3_threads),
        cmocka_unit_test(mapped_and_read_blocks_give_the_same_bits),
        cmocka_unit_test(converted_ones_give_the_same_bits),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
