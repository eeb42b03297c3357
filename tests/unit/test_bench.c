/* tests/unit/test_bench.c: measurements (filigree/bench.h, engine/measure_*.c, kernel/cpu/peak.h).
 * What is measured cannot be foreseen; that figures fit each other, that masks keep what was asked
 * for, and that bad requests and missing memory are refused, can.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/measure_mask.h"
#include "engine/measure_run.h"
#include "sparse/mask_file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static fil_ctx    *ctx;
static alloc_fault fault;

static int open_ctx(void **state)
{
    fil_options opt;
    (void)state;
    fault = (alloc_fault){.at = -1};
    fil_options_init(&opt);
    opt.n_threads = 1;
    opt.host      = alloc_fault_allocator(&fault);
    return fil_ctx_open(&ctx, &opt) == FIL_OK ? 0 : -1;
}

static int close_ctx(void **state)
{
    (void)state;
    const uint64_t used = fil_ctx_memory(ctx).used;
    fil_ctx_close(&ctx);
    return used == 0 && fault.live == 0 ? 0 : -1;
}

/* ---- masks ---------------------------------------------------------------------------------- */

#define MAX_M 256

typedef struct made {
    int32_t   offset[MAX_M + 1];
    fili_mask mask;
} made;

static void make(made *m, int64_t n, int32_t heads, fil_bench_mask kind, double density)
{
    const int64_t frames = fili_bench_frames(kind, density, n);
    const int32_t blocks = fili_bench_offsets(n, frames, NULL);
    assert_in_range(blocks, 1, MAX_M);
    assert_int_equal(fili_bench_offsets(n, frames, m->offset), blocks);
    assert_int_equal(fili_mask_init(&m->mask, ctx, heads, blocks, blocks), FIL_OK);
    fili_bench_make_mask(&m->mask, kind, density, frames, m->offset, 7);
    assert_int_equal(fili_mask_check(&m->mask), FIL_OK);
}

static void blocks_cover_the_tokens_and_never_cross_a_frame(void **state)
{
    static const int64_t tokens[] = {1, 63, 64, 65, 1000};
    (void)state;
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++)
        for (int64_t frames = 1; frames <= 7 && frames <= tokens[i]; frames++) {
            int32_t       offset[MAX_M + 1];
            const int32_t m = fili_bench_offsets(tokens[i], frames, offset);
            assert_int_equal(offset[0], 0);
            assert_int_equal(offset[m], tokens[i]);
            for (int32_t b = 0; b < m; b++)
                assert_in_range(offset[b + 1] - offset[b], 1, 64);
            for (int64_t f = 0; f < frames; f++) {
                int found = 0;
                for (int32_t b = 0; b < m; b++)
                    found += offset[b] == f * tokens[i] / frames;
                assert_int_equal(found, 1);
            }
        }
}

static void every_row_of_a_random_or_window_mask_keeps_the_same_share(void **state)
{
    static const double density[] = {0.001, 0.1, 0.15, 0.5, 0.99, 1.0};
    (void)state;
    for (size_t i = 0; i < sizeof density / sizeof density[0]; i++)
        for (int kind = FIL_BENCH_RANDOM; kind <= FIL_BENCH_WINDOW; kind++) {
            made    m;
            int32_t count[2 * MAX_M];
            make(&m, 5000, 2, (fil_bench_mask)kind, density[i]);
            const int32_t want =
                density[i] * m.mask.mk < 1 ? 1 : (int32_t)(density[i] * m.mask.mk + 0.5);
            fili_mask_counts(&m.mask, count);
            for (int32_t r = 0; r < 2 * m.mask.mq; r++)
                assert_int_equal(count[r], want);
            fili_mask_fini(&m.mask);
        }
}

static void random_rows_differ_between_heads_and_rows(void **state)
{
    (void)state;
    made m;
    make(&m, 5000, 2, FIL_BENCH_RANDOM, 0.3);
    const size_t bytes = (size_t)m.mask.words * sizeof(uint32_t);
    assert_memory_not_equal(fili_mask_row(&m.mask, 0, 0), fili_mask_row(&m.mask, 0, 1), bytes);
    assert_memory_not_equal(fili_mask_row(&m.mask, 0, 0), fili_mask_row(&m.mask, 1, 0), bytes);
    fili_mask_fini(&m.mask);
}

static void a_window_is_a_run_of_blocks_around_its_row(void **state)
{
    (void)state;
    made m;
    make(&m, 5000, 1, FIL_BENCH_WINDOW, 0.2);
    for (int32_t q = 0; q < m.mask.mq; q++) {
        int32_t       list[MAX_M];
        const int32_t n = fili_mask_list(&m.mask, 0, q, list);
        assert_int_equal(list[n - 1] - list[0], n - 1);
        assert_true(list[0] <= q && q <= list[n - 1]);
    }
    fili_mask_fini(&m.mask);
}

static void frames_keep_exactly_the_pairs_of_one_frame(void **state)
{
    (void)state;
    made          m;
    const int64_t n = 3001;
    make(&m, n, 1, FIL_BENCH_FRAMES, 0.2);
    for (int32_t q = 0; q < m.mask.mq; q++)
        for (int32_t k = 0; k < m.mask.mk; k++) {
            int64_t f = 0;
            while ((f + 1) * n / 5 <= m.offset[q])
                f++;
            const int same = m.offset[k] >= f * n / 5 && m.offset[k] < (f + 1) * n / 5;
            assert_int_equal(fili_mask_get(&m.mask, 0, q, k), same);
        }
    fili_mask_fini(&m.mask);
}

static void density_counts_sinks_once_and_the_tail_as_work(void **state)
{
    (void)state;
    made          m;
    const int32_t sinks[] = {0, 1, 64, 999};
    double        density, work;
    double        keep = 0.0;
    double        pool = 0.0;
    make(&m, 1000, 2, FIL_BENCH_RANDOM, 0.3);
    for (int32_t h = 0; h < 2; h++)
        for (int32_t q = 0; q < m.mask.mq; q++)
            for (int32_t k = 0; k < m.mask.mk; k++) {
                const int32_t rows = m.offset[q + 1] - m.offset[q];
                const int     kept = fili_mask_get(&m.mask, h, q, k);
                pool += kept ? 0 : rows;
                for (int32_t t = m.offset[k]; t < m.offset[k + 1]; t++)
                    keep += kept || t == 0 || t == 1 || t == 64 || t == 999 ? rows : 0;
            }
    fili_bench_density(&m.mask, m.offset, sinks, 4, 1, &density, &work);
    assert_true(fabs(density - keep / 2e6) < 1e-12);
    assert_true(fabs(work - (keep + pool) / 2e6) < 1e-12);
    fili_bench_density(&m.mask, m.offset, sinks, 4, 0, &density, &work);
    assert_true(work == density);
    fili_mask_fini(&m.mask);
}

static void without_a_mask_density_is_one(void **state)
{
    (void)state;
    const int32_t   offset[] = {0, 64, 100};
    const fili_mask mask     = {.heads = 1, .mq = 2, .mk = 2, .words = 1};
    double          density, work;
    fili_bench_density(&mask, offset, NULL, 0, 1, &density, &work);
    assert_true(density == 1.0 && work == 1.0);
}

/* ---- peak ----------------------------------------------------------------------------------- */

static void a_loop_fits_instruction_set_and_type(void **state)
{
    (void)state;
    assert_int_equal(filk_peak_find(FILI_ISA_REF, FIL_BF16)->isa, FILI_ISA_REF);
#if defined(__x86_64__)
    assert_int_equal(filk_peak_find(FILI_ISA_AVX2, FIL_BF16)->isa, FILI_ISA_AVX2);
    assert_int_equal(filk_peak_find(FILI_ISA_AVX512, FIL_BF16)->isa, FILI_ISA_AVX512);
    assert_int_equal(filk_peak_find(FILI_ISA_AVX512BF16, FIL_BF16)->isa, FILI_ISA_AVX512BF16);
    assert_int_equal(filk_peak_find(FILI_ISA_AVX512BF16, FIL_F32)->isa, FILI_ISA_AVX512);
    assert_int_equal(filk_peak_find(FILI_ISA_AMX, FIL_BF16)->isa, FILI_ISA_AMX);
    assert_int_equal(filk_peak_find(FILI_ISA_AMX, FIL_F32)->isa, FILI_ISA_AVX512);
#endif
}

/* A wider instruction set is faster, and even the slowest CPU does 0.1 operations a cycle. */
static void each_loop_that_this_cpu_has_runs_at_a_believable_rate(void **state)
{
    (void)state;
    for (int isa = 0; isa < FILI_ISA_COUNT; isa++) {
        double                rate = 0.0;
        const filk_peak_loop *loop = filk_peak_find((fili_isa)isa, FIL_BF16);
        if (!fili_isa_has(ctx->isa, loop->isa)) continue;
        assert_int_equal(filk_peak_measure(ctx, loop, &rate), FIL_OK);
        print_message("%s: %.1f GFLOP/s\n", loop->name, rate * 1e-9);
        assert_true(rate > 1e8 && rate < 1e14);
    }
}

static void no_turns_end_at_once(void **state)
{
    (void)state;
    for (int isa = 0; isa < FILI_ISA_COUNT; isa++) {
        const filk_peak_loop *loop = filk_peak_find((fili_isa)isa, FIL_BF16);
        if (fili_isa_has(ctx->isa, loop->isa)) loop->run(0);
    }
}

/* ---- attention ------------------------------------------------------------------------------ */

static fil_bench_attention_desc small(void)
{
    fil_bench_attention_desc d;
    fil_bench_attention_desc_init(&d);
    d.n           = 300;
    d.heads       = 1;
    d.head_dim    = 64;
    d.density     = 0.4;
    d.repetitions = 2;
    return d;
}

static int close_to(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

static void the_figures_of_a_sparse_result_fit_each_other(void **state)
{
    (void)state;
    fil_bench_result         r;
    fil_bench_attention_desc d = small();
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_OK);
    assert_int_equal(r.n, 300);
    assert_int_equal(r.threads, 1);
    assert_int_equal(r.repetitions, 2);
    assert_true(close_to(r.flops, 4.0 * 64 * 300 * 300 * r.density));
    assert_true(close_to(r.tflops, r.flops / r.seconds * 1e-12));
    assert_true(close_to(r.fraction_of_peak, r.tflops / r.peak_tflops));
    assert_true(close_to(r.sparse_efficiency, r.density * r.dense_seconds / r.seconds));
    assert_string_equal(r.kernel, r.dense_kernel);
    assert_true(r.memory_bytes > 4u * 300 * 64 * 2 + r.workspace_bytes);
}

static void density_one_measures_dense_alone(void **state)
{
    (void)state;
    fil_bench_result         r;
    fil_bench_attention_desc d = small();
    d.density                  = 1.0;
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_OK);
    assert_true(r.density == 1.0 && r.dense_seconds == 0.0 && r.sparse_efficiency == 0.0);
    assert_null(r.dense_kernel);
}

static void tail_sinks_and_every_mask_run(void **state)
{
    (void)state;
    for (int kind = FIL_BENCH_RANDOM; kind <= FIL_BENCH_FRAMES; kind++) {
        fil_bench_result         r;
        fil_bench_attention_desc d = small();
        d.mask                     = (fil_bench_mask)kind;
        d.tail                     = 1;
        d.sinks                    = 5;
        assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_OK);
        assert_true(r.work > r.density && r.density > 0.3);
    }
}

static void a_kernel_is_measured_by_name(void **state)
{
    (void)state;
    fil_bench_result         r;
    fil_bench_attention_desc d = small();
    d.kernel                   = "filk_attn_fwd_any_row__ref";
    d.dtype                    = FIL_F32;
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_OK);
    assert_string_equal(r.kernel, d.kernel);
    assert_string_equal(r.isa, "ref");
    d.kernel = "filk_nothing";
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_E_UNSUP);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "filk_nothing"));
}

static void numbers_out_of_range_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t      at, size;
        int64_t     value;
    } bad[] = {
#define BAD(field, value)                                                                          \
    {#field, offsetof(fil_bench_attention_desc, field),                                            \
     sizeof(((fil_bench_attention_desc *)NULL)->field), (value)}
        BAD(n, -1),        BAD(n, 1ll << 31), BAD(heads, -1),        BAD(heads, 5000),
        BAD(head_dim, 96), BAD(mask, 3),      BAD(tail, 2),          BAD(sinks, 65),
        BAD(sinks, -1),    BAD(dtype, 9),     BAD(repetitions, 100), BAD(repetitions, -1),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fil_bench_result         r;
        fil_bench_attention_desc d     = small();
        const int32_t            word  = (int32_t)bad[i].value;
        const void              *value = bad[i].size == 8 ? (const void *)&bad[i].value : &word;
        memcpy((char *)&d + bad[i].at, value, bad[i].size);
        assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_E_ARG);
        assert_non_null(strstr(fil_ctx_error(ctx)->message, bad[i].name));
    }
}

static void a_density_outside_0_to_1_or_nan_is_refused(void **state)
{
    static const double bad[] = {0.0, -0.1, 1.01, (double)NAN};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        fil_bench_result         r;
        fil_bench_attention_desc d = small();
        d.density                  = bad[i];
        assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_E_ARG);
        assert_non_null(strstr(fil_ctx_error(ctx)->message, "density"));
    }
}

static void null_and_a_struct_of_another_size_are_refused(void **state)
{
    (void)state;
    fil_bench_result         r;
    fil_bench_attention_desc d = small();
    assert_int_equal(fil_bench_attention(NULL, &d, &r), FIL_E_ARG);
    assert_int_equal(fil_bench_attention(ctx, NULL, &r), FIL_E_ARG);
    assert_int_equal(fil_bench_attention(ctx, &d, NULL), FIL_E_ARG);
    d.struct_size = 0;
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_E_ARG);
    d.struct_size = sizeof d + 8;
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_E_ARG);
}

static void what_is_over_the_limit_is_refused_before_any_work(void **state)
{
    (void)state;
    fil_options              opt;
    fil_ctx                 *tight = NULL;
    fil_bench_result         r;
    fil_bench_attention_desc d = small();
    fil_options_init(&opt);
    opt.max_host_bytes = 1u << 20;
    d.n                = 2000000000;
    d.density          = 1.0;
    assert_int_equal(fil_ctx_open(&tight, &opt), FIL_OK);
    assert_int_equal(fil_bench_attention(tight, &d, &r), FIL_E_NOMEM);
    d.n = 20000;
    assert_int_equal(fil_bench_attention(tight, &d, &r), FIL_E_NOMEM);
    assert_true(fil_ctx_memory(tight).used == 0);
    fil_ctx_close(&tight);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fil_bench_result         r;
    fil_bench_attention_desc d    = small();
    fil_status               last = FIL_E_NOMEM;
    for (int64_t at = 0; last != FIL_OK && at < 20; at++) {
        fault.calls = 0;
        fault.at    = at;
        last        = fil_bench_attention(ctx, &d, &r);
        assert_true(last == FIL_OK || last == FIL_E_NOMEM);
        assert_true(fil_ctx_memory(ctx).used == 0);
    }
    assert_int_equal(last, FIL_OK);
    fault.at = -1;
}

/* ---- mask files ----------------------------------------------------------------------------- */

static void write_mask_file(const char *path, int32_t heads)
{
    const fili_order_spec spec = {.kind = FILI_ORDER_RASTER};
    const fili_mask_key   key  = {-1, -1, -1};
    fili_order            order;
    fili_blocks           blocks;
    fili_mask             mask;
    fili_mask_writer      writer;
    assert_int_equal(fili_order_init(&order, ctx, (fili_grid){4, 8, 8}, &spec), FIL_OK);
    assert_int_equal(fili_blocks_from_order(&blocks, &order), FIL_OK);
    assert_int_equal(fili_mask_init(&mask, ctx, heads, blocks.m, blocks.m), FIL_OK);
    for (int32_t h = 0; h < heads; h++)
        for (int32_t b = 0; b < blocks.m; b++)
            assert_int_equal(fili_mask_set(&mask, h, b, b, true), FIL_OK);
    const fili_mask_desc desc = {
        .order = &order, .q = &blocks, .k = &blocks, .map = &key, .n_masks = 1, .heads = heads};
    assert_int_equal(fili_mask_writer_open(&writer, ctx, path, &desc, 1), FIL_OK);
    assert_int_equal(fili_mask_writer_put(&writer, &mask), FIL_OK);
    assert_int_equal(fili_mask_writer_finish(&writer), FIL_OK);
    fili_mask_fini(&mask);
    fili_blocks_fini(&blocks);
    fili_order_fini(&order);
}

static void a_mask_file_gives_tokens_blocks_and_mask(void **state)
{
    (void)state;
    static const char        path[] = "test_bench_mask.safetensors";
    fil_bench_result         r;
    fil_bench_attention_desc d = small();
    for (int32_t heads = 1; heads <= 2; heads++) {
        write_mask_file(path, heads);
        d.n         = 0;
        d.heads     = 2;
        d.mask_file = path;
        assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_OK);
        assert_int_equal(r.n, 256);
        assert_true(r.density == 0.25);
    }
    d.heads = 3;
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_E_MISMATCH);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "heads"));
    d.heads = 2;
    d.n     = 300;
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_E_MISMATCH);
    assert_non_null(strstr(fil_ctx_error(ctx)->message, "tokens"));
    d.mask_file = "there_is_none";
    assert_int_equal(fil_bench_attention(ctx, &d, &r), FIL_E_IO);
    assert_int_equal(remove(path), 0);
}

/* ---- mass and linear ------------------------------------------------------------------------ */

static void mass_is_measured_beside_dense_attention(void **state)
{
    (void)state;
    fil_bench_mass_desc d;
    fil_bench_result    r;
    fil_bench_mass_desc_init(&d);
    d.n           = 200;
    d.heads       = 1;
    d.repetitions = 1;
    assert_int_equal(fil_bench_mass(ctx, &d, &r), FIL_OK);
    assert_true(r.seconds > 0.0 && r.dense_seconds > 0.0 && r.flops == 2.0 * 128 * 200 * 200);
    assert_non_null(r.dense_kernel);
    d.head_dim = 96;
    assert_int_equal(fil_bench_mass(ctx, &d, &r), FIL_E_ARG);
    d.head_dim = 64;
    d.n        = -1;
    assert_int_equal(fil_bench_mass(ctx, &d, &r), FIL_E_ARG);
    d.n      = 64;
    d.kernel = "filk_nothing";
    assert_int_equal(fil_bench_mass(ctx, &d, &r), FIL_E_UNSUP);
    assert_int_equal(fil_bench_mass(NULL, &d, &r), FIL_E_ARG);
    assert_int_equal(fil_bench_mass(ctx, NULL, &r), FIL_E_ARG);
}

static void every_epilogue_of_linear_runs(void **state)
{
    (void)state;
    for (int e = FIL_BENCH_NONE; e <= FIL_BENCH_GATE; e++)
        for (int t = 0; t < 2; t++) {
            fil_bench_linear_desc d;
            fil_bench_result      r;
            fil_bench_linear_desc_init(&d);
            d.m           = 70;
            d.k           = 50;
            d.n           = 33;
            d.dtype       = t ? FIL_F32 : FIL_BF16;
            d.epilogue    = (fil_bench_epilogue)e;
            d.repetitions = 1;
            assert_int_equal(fil_bench_linear(ctx, &d, &r), FIL_OK);
            assert_true(r.seconds > 0.0 && r.plain_seconds > 0.0);
            assert_true(r.flops == 2.0 * 70 * 50 * 33);
        }
}

static void bad_requests_to_linear_are_refused(void **state)
{
    (void)state;
    fil_bench_linear_desc d;
    fil_bench_result      r;
    fil_bench_linear_desc_init(&d);
    d.repetitions = 1;
    d.m           = -5;
    assert_int_equal(fil_bench_linear(ctx, &d, &r), FIL_E_ARG);
    d.m        = 5;
    d.epilogue = (fil_bench_epilogue)4;
    assert_int_equal(fil_bench_linear(ctx, &d, &r), FIL_E_ARG);
    d.epilogue = FIL_BENCH_NONE;
    d.kernel   = "filk_nothing";
    assert_int_equal(fil_bench_linear(ctx, &d, &r), FIL_E_UNSUP);
    assert_int_equal(fil_bench_linear(NULL, &d, &r), FIL_E_ARG);
    assert_int_equal(fil_bench_linear(ctx, &d, NULL), FIL_E_ARG);
}

/* ---- choice --------------------------------------------------------------------------------- */

static void every_case_is_taken_and_the_chosen_kernel_takes_it(void **state)
{
    (void)state;
    for (int32_t i = 0; i < fil_kernel_cases(ctx); i++) {
        fil_kernel_case c;
        char            reason[96];
        fil_kernel_case_get(ctx, i, &c);
        assert_non_null(c.family);
        assert_non_null(c.chosen);
        assert_int_equal(fil_kernel_case_takes(ctx, i, c.chosen, reason), 1);
        assert_string_equal(reason, "");
        assert_int_equal(fil_kernel_case_takes(ctx, i, "filk_nothing", reason), 0);
        assert_true(strlen(reason) > 0);
    }
    fil_kernel_case none;
    fil_kernel_case_get(ctx, -1, &none);
    assert_null(none.family);
    fil_kernel_case_get(ctx, fil_kernel_cases(ctx), &none);
    assert_null(none.family);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_ctx, close_ctx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(blocks_cover_the_tokens_and_never_cross_a_frame),
        TEST(every_row_of_a_random_or_window_mask_keeps_the_same_share),
        TEST(random_rows_differ_between_heads_and_rows),
        TEST(a_window_is_a_run_of_blocks_around_its_row),
        TEST(frames_keep_exactly_the_pairs_of_one_frame),
        TEST(density_counts_sinks_once_and_the_tail_as_work),
        TEST(without_a_mask_density_is_one),
        TEST(a_loop_fits_instruction_set_and_type),
        TEST(each_loop_that_this_cpu_has_runs_at_a_believable_rate),
        TEST(no_turns_end_at_once),
        TEST(the_figures_of_a_sparse_result_fit_each_other),
        TEST(density_one_measures_dense_alone),
        TEST(tail_sinks_and_every_mask_run),
        TEST(a_kernel_is_measured_by_name),
        TEST(numbers_out_of_range_are_refused_by_name),
        TEST(a_density_outside_0_to_1_or_nan_is_refused),
        TEST(null_and_a_struct_of_another_size_are_refused),
        TEST(what_is_over_the_limit_is_refused_before_any_work),
        TEST(every_allocation_may_fail),
        TEST(a_mask_file_gives_tokens_blocks_and_mask),
        TEST(mass_is_measured_beside_dense_attention),
        TEST(every_epilogue_of_linear_runs),
        TEST(bad_requests_to_linear_are_refused),
        TEST(every_case_is_taken_and_the_chosen_kernel_takes_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
