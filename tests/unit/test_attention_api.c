/* tests/unit/test_attention_api.c: order, mask, plan and run through filigree/attention.h: right
 * results, and a status with a sentence for everything a caller can get wrong. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "engine/handles.h"
#include "filigree/attention.h"
#include "kernel/attention.h"
#include "sparse/mask_file.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "tensor/convert.h"

enum { HEADS = 2, D = 64, MAX_N = 400 };

/* A small problem through the public interface. */
typedef struct rig {
    alloc_fault    fault;
    fil_ctx       *ctx;
    fil_order     *order;
    fil_mask      *mask;
    fil_attn_plan *plan;
    int32_t        n, m;
    uint16_t      *q, *k, *v, *out;
    float         *lse;
    void          *workspace;
    size_t         workspace_bytes;
} rig;

static uint16_t *random_bf16(uint64_t stream, size_t n)
{
    float    *f = malloc(n * sizeof *f);
    uint16_t *h = malloc(n * sizeof *h);
    assert_non_null(f);
    assert_non_null(h);
    fili_philox_normal(7, stream, 0, f, (int64_t)n);
    fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, h, FIL_F32, f, n);
    free(f);
    return h;
}

static fil_attn_desc desc_of(const rig *r)
{
    fil_attn_desc d;
    fil_attn_desc_init(&d);
    d.heads      = HEADS;
    d.head_dim   = D;
    d.n_q_blocks = r->m;
    d.q_offsets  = fil_order_offsets(r->order);
    d.max_sinks  = 4;
    d.tail       = 1;
    return d;
}

static fil_attn_io io_of(const rig *r)
{
    const fil_attn_view q = {r->q, (int64_t)HEADS * D, D};
    const fil_attn_view k = {r->k, (int64_t)HEADS * D, D};
    const fil_attn_view v = {r->v, (int64_t)HEADS * D, D};
    fil_attn_io         io;
    fil_attn_io_init(&io);
    io.q                = q;
    io.k                = k;
    io.v                = v;
    io.out              = r->out;
    io.out_stride_token = (int64_t)HEADS * D;
    io.out_stride_head  = D;
    io.lse              = r->lse;
    io.mask             = r->mask;
    return io;
}

static int set_up(void **state)
{
    rig           *r = calloc(1, sizeof *r);
    fil_options    opt;
    const fil_grid grid = {5, 7, 9};
    assert_non_null(r);
    r->fault.at = -1;
    fil_options_init(&opt);
    opt.host = alloc_fault_allocator(&r->fault);
    assert_int_equal(fil_ctx_open(&r->ctx, &opt), FIL_OK);
    assert_int_equal(fil_order_create(r->ctx, grid, "hilbert-cubes 4x4x4", &r->order), FIL_OK);
    r->n = fil_order_tokens(r->order);
    r->m = fil_order_blocks(r->order);
    assert_int_equal(fil_mask_create(r->ctx, HEADS, r->m, r->m, &r->mask), FIL_OK);
    for (int32_t h = 0; h < HEADS; h++)
        for (int32_t b = 0; b < r->m; b++)
            assert_int_equal(fil_mask_set(r->mask, h, b, (b * 5 + h) % r->m, 1), FIL_OK);
    const size_t elements = (size_t)r->n * HEADS * D;
    r->q                  = random_bf16(1, elements);
    r->k                  = random_bf16(2, elements);
    r->v                  = random_bf16(3, elements);
    r->out                = random_bf16(4, elements);
    r->lse                = malloc(sizeof *r->lse * (size_t)(r->n * HEADS));
    const fil_attn_desc d = desc_of(r);
    assert_int_equal(fil_attn_plan_create(r->ctx, &d, &r->plan), FIL_OK);
    r->workspace_bytes = fil_attn_plan_workspace(r->plan);
    r->workspace       = aligned_alloc(64, (r->workspace_bytes + 127) / 64 * 64);
    assert_non_null(r->lse);
    assert_non_null(r->workspace);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    rig *r = *state;
    fil_attn_plan_destroy(&r->plan);
    fil_mask_destroy(&r->mask);
    fil_order_destroy(&r->order);
    fil_ctx_close(&r->ctx);
    assert_int_equal(r->fault.live, 0);
    free(r->workspace);
    free(r->lse);
    free(r->out);
    free(r->v);
    free(r->k);
    free(r->q);
    free(r);
    return 0;
}

static void says(const rig *r, const char *text)
{
    if (strstr(fil_ctx_error(r->ctx)->message, text) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(r->ctx)->message, text);
}

static double widen(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float          f;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

/* exp and sum over the mask's bits as the caller set them: nothing of the library's is used. */
static void expect_row(const rig *r, int32_t i, int32_t h)
{
    const int32_t *offset  = fil_order_offsets(r->order);
    int32_t        block   = 0;
    double         sum     = 0.0;
    double         out[D]  = {0.0};
    double         cond[D] = {0.0};
    while (offset[block + 1] <= i)
        block++;
    for (int32_t b = 0; b < r->m; b++)
        for (int32_t j = offset[b]; j < offset[b + 1] && fil_mask_get(r->mask, h, block, b); j++) {
            double s = 0.0;
            for (int32_t d = 0; d < D; d++)
                s += widen(r->q[(i * HEADS + h) * D + d]) * widen(r->k[(j * HEADS + h) * D + d]);
            const double p = exp(s / 8.0);
            sum += p;
            for (int32_t d = 0; d < D; d++) {
                const double x = widen(r->v[(j * HEADS + h) * D + d]);
                out[d] += p * x;
                cond[d] += p * fabs(x);
            }
        }
    assert_true(sum > 0.0);
    for (int32_t d = 0; d < D; d++) {
        const double got = widen(r->out[(i * HEADS + h) * D + d]);
        if (!(fabs(got - out[d] / sum) <= 2.0 / 256.0 * cond[d] / sum))
            fail_msg("token %d head %d d %d: %g, expected %g", i, h, d, got, out[d] / sum);
    }
    if (!(fabs((double)r->lse[h * r->n + i] - log(sum)) <= 1e-5 * (1.0 + fabs(log(sum)))))
        fail_msg("token %d head %d: lse %g, expected %g", i, h, (double)r->lse[h * r->n + i],
                 log(sum));
}

static void a_run_gives_attention_over_the_kept_blocks(void **state)
{
    rig              *r  = *state;
    const fil_attn_io io = io_of(r);
    assert_int_equal(fil_attn_run(r->plan, &io, r->workspace), FIL_OK);
    for (int32_t i = 0; i < r->n; i += 11)
        for (int32_t h = 0; h < HEADS; h++)
            expect_row(r, i, h);
}

static void a_run_allocates_nothing(void **state)
{
    rig              *r  = *state;
    const fil_attn_io io = io_of(r);
    r->fault.at          = r->fault.calls;
    r->fault.forever     = 1;
    assert_int_equal(fil_attn_run(r->plan, &io, r->workspace), FIL_OK);
    assert_int_equal(r->fault.failed, 0);
    r->fault.at = -1;
}

static void no_mask_and_a_full_mask_have_the_same_bits(void **state)
{
    rig         *r    = *state;
    fil_attn_io  io   = io_of(r);
    const size_t size = (size_t)r->n * HEADS * D * sizeof *r->out;
    void        *copy = malloc(size);
    assert_non_null(copy);
    fil_mask_fill(r->mask);
    assert_int_equal(fil_attn_run(r->plan, &io, r->workspace), FIL_OK);
    memcpy(copy, r->out, size);
    io.mask = NULL;
    assert_int_equal(fil_attn_run(r->plan, &io, r->workspace), FIL_OK);
    assert_memory_equal(copy, r->out, size);
    free(copy);
}

static void density_counts_token_pairs(void **state)
{
    rig           *r      = *state;
    const int32_t *offset = fil_order_offsets(r->order);
    double         kept   = 0.0;
    double         density;
    for (int32_t h = 0; h < HEADS; h++)
        for (int32_t a = 0; a < r->m; a++)
            for (int32_t b = 0; b < r->m; b++)
                if (fil_mask_get(r->mask, h, a, b))
                    kept += (double)(offset[a + 1] - offset[a]) * (offset[b + 1] - offset[b]);
    assert_int_equal(fil_mask_density(r->mask, offset, NULL, &density), FIL_OK);
    assert_true(fabs(density - kept / ((double)r->n * r->n * HEADS)) <= 1e-12);
    fil_mask_fill(r->mask);
    assert_int_equal(fil_mask_density(r->mask, offset, offset, &density), FIL_OK);
    assert_true(fabs(density - 1.0) <= 1e-12);
    fil_mask_clear(r->mask);
    assert_int_equal(fil_mask_density(r->mask, offset, NULL, &density), FIL_OK);
    assert_true(fabs(density) <= 1e-12);
}

#define REFUSE_PLAN(change, status, text)                                                          \
    do {                                                                                           \
        fil_attn_desc  d = desc_of(r);                                                             \
        fil_attn_plan *p = r->plan;                                                                \
        change;                                                                                    \
        assert_int_equal(fil_attn_plan_create(r->ctx, &d, &p), status);                            \
        assert_null(p);                                                                            \
        says(r, text);                                                                             \
    } while (0)

static void a_bad_plan_is_refused_with_a_sentence(void **state)
{
    rig          *r         = *state;
    const int32_t flat[]    = {0, 10, 10, 20};
    const int32_t long_[]   = {0, 65};
    const int32_t late[]    = {1, 2};
    const int32_t nothing[] = {0};
    REFUSE_PLAN(d.struct_size = 0, FIL_E_ARG, "fil_attn_desc_init");
    REFUSE_PLAN(d.head_dim = 96, FIL_E_ARG, "head_dim is 96");
    REFUSE_PLAN(d.dtype = FIL_F16, FIL_E_ARG, "dtype is F16");
    REFUSE_PLAN(d.heads = 0, FIL_E_ARG, "heads is 0");
    REFUSE_PLAN(d.kv_heads = 3, FIL_E_ARG, "kv_heads is 3");
    REFUSE_PLAN(d.n_q_blocks = 0; d.q_offsets = nothing, FIL_E_ARG, "n_q_blocks is 0");
    REFUSE_PLAN(d.q_offsets = NULL, FIL_E_ARG, "q_offsets is NULL");
    REFUSE_PLAN(d.n_k_blocks = 2, FIL_E_ARG, "both or neither");
    REFUSE_PLAN(d.max_sinks = 65, FIL_E_ARG, "max_sinks is 65");
    REFUSE_PLAN(d.scale = -1.0f, FIL_E_ARG, "scale is -1");
    REFUSE_PLAN(d.scale = NAN, FIL_E_ARG, "scale is");
    REFUSE_PLAN(d.n_q_blocks = 3; d.q_offsets = flat, FIL_E_SHAPE, "block 1 has 0 tokens");
    REFUSE_PLAN(d.n_q_blocks = 1; d.q_offsets = long_, FIL_E_SHAPE, "block 0 has 65 tokens");
    REFUSE_PLAN(d.n_q_blocks = 1; d.q_offsets = late, FIL_E_SHAPE, "q_offsets[0] is 1");
    REFUSE_PLAN(d.n_k_blocks = 1; d.k_offsets = long_, FIL_E_SHAPE, "k_offsets");
    REFUSE_PLAN(d.kernel = "filk_nothing", FIL_E_UNSUP, "no kernel 'filk_nothing'");
    fil_attn_plan *p = r->plan;
    assert_int_equal(fil_attn_plan_create(r->ctx, NULL, &p), FIL_E_ARG);
    assert_null(p);
    assert_int_equal(fil_attn_plan_create(NULL, NULL, NULL), FIL_E_ARG);
}

#define REFUSE_RUN(change, status, text)                                                           \
    do {                                                                                           \
        fil_attn_io io = io_of(r);                                                                 \
        change;                                                                                    \
        assert_int_equal(fil_attn_run(r->plan, &io, r->workspace), status);                        \
        says(r, text);                                                                             \
    } while (0)

static void a_bad_run_is_refused_with_a_sentence(void **state)
{
    rig          *r         = *state;
    const int32_t down[]    = {5, 3};
    const int32_t outside[] = {MAX_N};
    const int32_t fine[]    = {1, 2, 3, 4, 5};
    int32_t       count[MAX_N];
    const float   factor[HEADS] = {1.0f, 0.0f};
    fil_mask     *other;
    for (int i = 0; i < MAX_N; i++)
        count[i] = 1;
    assert_int_equal(fil_mask_create(r->ctx, HEADS, r->m, r->m + 1, &other), FIL_OK);
    REFUSE_RUN(io.struct_size = 4, FIL_E_ARG, "fil_attn_io_init");
    REFUSE_RUN(io.q.data = NULL, FIL_E_ARG, "q is NULL");
    REFUSE_RUN(io.out = NULL, FIL_E_ARG, "out is NULL");
    REFUSE_RUN(io.k.stride_token = -1, FIL_E_ARG, "k has strides -1");
    REFUSE_RUN(io.out_stride_head = -64, FIL_E_ARG, "out has strides");
    REFUSE_RUN(io.k.stride_token = INT64_MAX / 2, FIL_E_ARG, "k has strides");
    REFUSE_RUN(io.v.stride_head = INT64_MAX / 2, FIL_E_ARG, "outside the address space");
    REFUSE_RUN(io.out_stride_token = 0, FIL_E_ARG, "overlap");
    REFUSE_RUN(io.out_stride_head = 0, FIL_E_ARG, "overlap");
    REFUSE_RUN(io.out_stride_head = D - 1, FIL_E_ARG, "overlap");
    REFUSE_RUN(io.out_stride_token = HEADS * D - 1, FIL_E_ARG, "overlap");
    REFUSE_RUN(io.out = r->q, FIL_E_ARG, "out is one of the inputs");
    REFUSE_RUN(io.mask = other, FIL_E_SHAPE, "the mask has");
    REFUSE_RUN(io.n_sinks = 5; io.sinks = fine, FIL_E_ARG, "n_sinks is 5");
    REFUSE_RUN(io.n_sinks = 2; io.sinks = down, FIL_E_ARG, "sink 1 of head 0 is 3");
    REFUSE_RUN(io.n_sinks = 1; io.sinks = outside, FIL_E_ARG, "sink 0 of head 0");
    REFUSE_RUN(io.n_sinks = 1, FIL_E_ARG, "sinks is NULL");
    REFUSE_RUN(io.tail_k = io.k, FIL_E_ARG, "tail_v is NULL");
    REFUSE_RUN(io.tail_k = io.k; io.tail_v = io.v, FIL_E_ARG, "tail_count is NULL");
    count[2] = 65;
    REFUSE_RUN(io.tail_k = io.k; io.tail_v = io.v;
               io.tail_count               = count, FIL_E_ARG, "tail_count of block 2");
    count[2] = 1;
    REFUSE_RUN(io.tail_k = io.k; io.tail_v = io.v; io.tail_count = count;
               io.tail_factor = factor, FIL_E_ARG, "tail_factor of head 1 is 0");
    fil_attn_io io = io_of(r);
    if (r->workspace_bytes > 0) {
        assert_int_equal(fil_attn_run(r->plan, &io, NULL), FIL_E_ARG);
        says(r, "workspace is NULL");
        assert_int_equal(fil_attn_run(r->plan, &io, (char *)r->workspace + 8), FIL_E_ARG);
        says(r, "not aligned");
    }
    assert_int_equal(fil_attn_run(r->plan, NULL, r->workspace), FIL_E_ARG);
    assert_int_equal(fil_attn_run(NULL, &io, r->workspace), FIL_E_ARG);
    fil_mask_destroy(&other);
}

static void bad_orders_and_masks_are_refused_with_a_sentence(void **state)
{
    rig           *r     = *state;
    fil_order     *order = r->order;
    fil_mask      *mask  = r->mask;
    double         density;
    const fil_grid grid  = {5, 7, 9};
    const fil_grid none  = {0, 7, 9};
    const fil_grid huge  = {65536, 65536, 2};
    const int32_t  bad[] = {0, 200};
    assert_int_equal(fil_order_create(r->ctx, grid, "spiral", &order), FIL_E_ARG);
    assert_null(order);
    assert_int_equal(fil_order_create(r->ctx, none, "raster", &order), FIL_E_ARG);
    assert_int_equal(fil_order_create(r->ctx, huge, "raster", &order), FIL_E_LIMIT);
    assert_int_equal(fil_order_create(r->ctx, grid, NULL, &order), FIL_E_ARG);
    assert_int_equal(fil_order_create(NULL, grid, "raster", &order), FIL_E_ARG);
    assert_int_equal(fil_mask_create(r->ctx, 0, 1, 1, &mask), FIL_E_ARG);
    assert_null(mask);
    assert_int_equal(fil_mask_set(r->mask, HEADS, 0, 0, 1), FIL_E_ARG);
    assert_int_equal(fil_mask_set(r->mask, 0, r->m, 0, 1), FIL_E_ARG);
    assert_int_equal(fil_mask_set(NULL, 0, 0, 0, 1), FIL_E_ARG);
    assert_int_equal(fil_mask_get(r->mask, 0, 0, r->m), 0);
    assert_int_equal(fil_mask_density(r->mask, NULL, NULL, &density), FIL_E_ARG);
    assert_int_equal(fil_mask_density(r->mask, bad, NULL, &density), FIL_E_SHAPE);
    assert_int_equal(fil_mask_read(r->ctx, "/nonexistent", 0, r->order, &mask), FIL_E_IO);
    fil_order_destroy(NULL);
    fil_mask_destroy(NULL);
    fil_attn_plan_destroy(NULL);
    assert_int_equal(fil_order_tokens(NULL), 0);
    assert_null(fil_order_indices(NULL));
}

static void a_mask_file_is_read_for_its_own_order_alone(void **state)
{
    rig                *r = *state;
    scratch             s;
    fili_mask_writer    w;
    fili_mask           bits = {0};
    fil_mask           *mask = NULL;
    fil_order          *raster;
    fil_order          *hilbert;
    const fil_grid      grid = {8, 8, 8}; /* both orders have eight runs of 64 */
    const fili_mask_key key  = {FILI_MASK_ANY, FILI_MASK_ANY, FILI_MASK_ANY};
    scratch_make(&s);
    assert_int_equal(fil_order_create(r->ctx, grid, "raster", &raster), FIL_OK);
    assert_int_equal(fil_order_create(r->ctx, grid, "hilbert", &hilbert), FIL_OK);
    assert_memory_equal(fil_order_offsets(raster), fil_order_offsets(hilbert), 9 * sizeof(int32_t));
    assert_int_equal(fili_mask_init(&bits, r->ctx, 1, 8, 8), FIL_OK);
    assert_int_equal(fili_mask_set(&bits, 0, 3, 5, true), FIL_OK);
    const fili_mask_desc desc = {.order   = &hilbert->order,
                                 .q       = &hilbert->blocks,
                                 .k       = &hilbert->blocks,
                                 .map     = &key,
                                 .n_masks = 1,
                                 .heads   = 1};
    assert_int_equal(fili_mask_writer_open(&w, r->ctx, scratch_path(&s, "m"), &desc, 0), FIL_OK);
    assert_int_equal(fili_mask_writer_put(&w, &bits), FIL_OK);
    assert_int_equal(fili_mask_writer_finish(&w), FIL_OK);

    assert_int_equal(fil_mask_read(r->ctx, scratch_path(&s, "m"), 0, hilbert, &mask), FIL_OK);
    assert_int_equal(fil_mask_get(mask, 0, 3, 5), 1);
    assert_int_equal(fil_mask_get(mask, 0, 5, 3), 0);
    fil_mask_destroy(&mask);
    assert_int_equal(fil_mask_read(r->ctx, scratch_path(&s, "m"), 0, raster, &mask),
                     FIL_E_MISMATCH);
    assert_null(mask);
    says(r, "'hilbert'");
    assert_int_equal(fil_mask_read(r->ctx, scratch_path(&s, "m"), 1, hilbert, &mask), FIL_E_ARG);
    assert_int_equal(fil_mask_read(r->ctx, scratch_path(&s, "m"), 0, NULL, &mask), FIL_E_ARG);
    fili_mask_fini(&bits);
    fil_order_destroy(&hilbert);
    fil_order_destroy(&raster);
    scratch_remove(&s);
}

static void order_and_inverse_belong_together(void **state)
{
    const rig     *r       = *state;
    const int32_t *order   = fil_order_indices(r->order);
    const int32_t *inverse = fil_order_inverse(r->order);
    for (int32_t i = 0; i < r->n; i++)
        assert_int_equal(inverse[order[i]], i);
    assert_int_equal(fil_order_offsets(r->order)[r->m], r->n);
}

static void every_allocation_of_a_plan_may_fail(void **state)
{
    rig                *r = *state;
    const fil_attn_desc d = desc_of(r);
    for (int64_t at = 0;; at++) {
        fil_attn_plan *p        = NULL;
        const int64_t  live     = r->fault.live;
        r->fault.failed         = 0;
        r->fault.at             = r->fault.calls + at;
        const fil_status status = fil_attn_plan_create(r->ctx, &d, &p);
        r->fault.at             = -1;
        assert_int_equal(status, r->fault.failed > 0 ? FIL_E_NOMEM : FIL_OK);
        fil_attn_plan_destroy(&p);
        assert_int_equal(r->fault.live, live);
        if (r->fault.failed == 0) break;
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_gives_attention_over_the_kept_blocks),
        TEST(a_run_allocates_nothing),
        TEST(no_mask_and_a_full_mask_have_the_same_bits),
        TEST(density_counts_token_pairs),
        TEST(a_bad_plan_is_refused_with_a_sentence),
        TEST(a_bad_run_is_refused_with_a_sentence),
        TEST(bad_orders_and_masks_are_refused_with_a_sentence),
        TEST(a_mask_file_is_read_for_its_own_order_alone),
        TEST(order_and_inverse_belong_together),
        TEST(every_allocation_of_a_plan_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
