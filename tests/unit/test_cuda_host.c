/* tests/unit/test_cuda_host.c: what rows of the CUDA backend work out in integers, without a GPU:
 * the Hopper row of attention (kernel/cuda/attn_plan.h: places of the ring, mask words, workspace,
 * tensor maps), and convolutions as matrix products (kernel/cuda/conv_plan.h).
 */
#include <math.h>

#include "base/rng.h"
#include "kernel/cuda/attn_plan.h"
#include "kernel/cuda/conv_plan.h"
#include "support/cmocka_all.h"

enum { ENTRIES = 3 * 7 * 8192, FIRST_WORD = 0xFFFF }; /* three times round all places */

/* ---- ring ----------------------------------------------------------------------------------- */

static void entries_take_stages_in_turn_and_their_parity_alternates(void **state)
{
    uint32_t place = 0;
    (void)state;
    for (int i = 0; i < ENTRIES; i++) {
        assert_int_equal(filk_place_stage(place), i % FILK_RING_STAGES);
        assert_int_equal(filk_place_parity(place), i / FILK_RING_STAGES % 2);
        place = filk_place_next(place);
        assert_true(place <= 0xFFFF);
    }
    assert_int_equal(place, 0);
}

static void a_place_is_before_those_that_follow_also_across_the_wrap(void **state)
{
    static const int steps[] = {1, 6, 7, 8, 300, 28000};
    (void)state;
    for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
        uint32_t near = 0;
        uint32_t far  = 0;
        for (int i = 0; i < steps[k]; i++)
            far = filk_place_next(far);
        for (int i = 0; i < ENTRIES / 3; i++) {
            assert_true(filk_place_before(near, far));
            assert_false(filk_place_before(far, near));
            assert_false(filk_place_before(near, near));
            near = filk_place_next(near);
            far  = filk_place_next(far);
        }
    }
}

static void the_word_of_an_empty_stage_is_before_the_first_entries(void **state)
{
    uint32_t place = 0;
    (void)state;
    for (int i = 0; i < FILK_RING_STAGES; i++) {
        assert_true(filk_place_before(FIRST_WORD, place));
        place = filk_place_next(place);
    }
}

static void what_lies_above_a_place_in_its_word_does_not_count(void **state)
{
    (void)state;
    assert_true(filk_place_before(64u << 16 | 8, 9));
    assert_false(filk_place_before(64u << 16 | 9, 9));
    assert_false(filk_place_before(0xFFu << 16 | 16, 9));
}

/* ---- mask words ----------------------------------------------------------------------------- */

static void only_bits_of_blocks_are_valid(void **state)
{
    (void)state;
    assert_int_equal(filk_mask_valid(1, 0), 1);
    assert_int_equal(filk_mask_valid(31, 0), 0x7FFFFFFF);
    assert_int_equal(filk_mask_valid(32, 0), 0xFFFFFFFF);
    assert_int_equal(filk_mask_valid(33, 0), 0xFFFFFFFF);
    assert_int_equal(filk_mask_valid(33, 1), 1);
    assert_int_equal(filk_mask_valid(100, 3), 0xF);
}

static void blocks_that_are_left_out_are_the_others_of_a_group(void **state)
{
    (void)state;
    assert_int_equal(filk_mask_left_out(0, 0, 1), 1);
    assert_int_equal(filk_mask_left_out(1, 0, 1), 0);
    assert_int_equal(filk_mask_left_out(0xFFFFFFFE, 0, 32), 1);
    assert_int_equal(filk_mask_left_out(0xFFFFFFFF, 0xFFFFFFFE, 33), UINT64_C(1) << 32);
    assert_int_equal(filk_mask_left_out(0xFFFFFFFF, 1, 33), 0);
    assert_int_equal(filk_mask_left_out(0xFFFFFFFF, 0x7FFFFFFF, 64), UINT64_C(1) << 63);
    assert_int_equal(filk_mask_left_out(0, 0, 1000), UINT64_MAX);
}

/* Walks the union of three rows of m blocks as the producer does; every block that one of them
 * keeps must come once, rising, with those that keep it. */
static void walk(const uint32_t *rows, int32_t m)
{
    const int32_t words = (m + 31) / 32;
    int32_t       next  = 0; /* the first block that has not been passed */
    for (int32_t word = 0; word < words; word++) {
        const uint32_t bits[] = {rows[word], rows[words + word], rows[2 * words + word]};
        uint32_t       left   = (bits[0] | bits[1] | bits[2]) & filk_mask_valid(m, word);
        while (left != 0) {
            uint32_t      who;
            const int32_t block = 32 * word + filk_union_next(bits, &left, &who);
            for (; next < block; next++)
                for (int r = 0; r < 3; r++)
                    assert_int_equal(rows[r * words + next / 32] >> (next % 32) & 1, 0);
            assert_int_equal(next, block);
            for (int r = 0; r < 3; r++)
                assert_int_equal(rows[r * words + next / 32] >> (next % 32) & 1, who >> r & 1);
            assert_true(who != 0 && who < 8);
            next++;
        }
    }
    for (; next < m; next++)
        for (int r = 0; r < 3; r++)
            assert_int_equal(rows[r * words + next / 32] >> (next % 32) & 1, 0);
}

static void a_walk_brings_each_block_of_the_union_once_for_those_that_keep_it(void **state)
{
    enum { MOST = 130, WORDS = (MOST + 31) / 32 };
    uint32_t rows[3 * WORDS];
    uint64_t drawn = 0;
    (void)state;
    for (int32_t m = 1; m <= MOST; m++)
        for (int density = 0; density < 4; density++) {
            for (size_t i = 0; i < 3 * WORDS; i++) {
                uint32_t word = ~0u;
                for (int d = 0; d < density; d++)
                    word &= fili_philox_u32(1, 0, drawn++);
                rows[i] = word;
            }
            walk(rows, m);
        }
}

/* ---- workspace ------------------------------------------------------------------------------ */

static filk_attn_problem problem_of(int32_t m, int32_t heads, int32_t kv_heads)
{
    return (filk_attn_problem){.nq        = 64 * (int64_t)m,
                               .nk        = 64 * (int64_t)m,
                               .heads     = heads,
                               .kv_heads  = kv_heads,
                               .head_dim  = 128,
                               .dtype     = FIL_BF16,
                               .mq        = m,
                               .mk        = m,
                               .max_sinks = 1,
                               .has_tail  = 1};
}

static void parts_of_the_workspace_hold_what_they_must_and_do_not_overlap(void **state)
{
    static const int32_t blocks[] = {1, 31, 32, 33, 64, 65, 1182};
    (void)state;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++)
        for (size_t kv = 1; kv <= 40; kv += 13) {
            const filk_attn_problem  p        = problem_of(blocks[i], 40, (int32_t)kv);
            const filk_attn90_layout l        = filk_attn90_layout_of(&p);
            const size_t             mk       = (size_t)p.mk;
            const size_t             pools    = kv * ((mk + 63) / 64) * 64;
            const size_t             ends[]   = {l.next + 4,
                                                 l.norm + 4 * kv,
                                                 l.huge + 4 * kv * ((mk + 31) / 32 + 1),
                                                 l.lanes + 8 * kv * mk,
                                                 l.sinks + kv * 64 * 128 * 2,
                                                 l.sinks_v + kv * 64 * 128 * 2,
                                                 l.tail + pools * 128 * 2,
                                                 l.tail_v + pools * 128 * 2,
                                                 l.bias + 4 * pools};
            const size_t             starts[] = {l.norm, l.huge,   l.lanes, l.sinks, l.sinks_v,
                                                 l.tail, l.tail_v, l.bias,  l.total};
            for (size_t k = 0; k < sizeof ends / sizeof ends[0]; k++) {
                assert_true(ends[k] <= starts[k]);
                assert_int_equal(starts[k] % FILK_ATTN90_ALIGN, 0);
            }
        }
}

static void the_workspace_has_no_room_for_sinks_and_tails_that_there_are_not(void **state)
{
    filk_attn_problem p = problem_of(100, 4, 2);
    (void)state;
    p.max_sinks                = 0;
    p.has_tail                 = 0;
    const filk_attn90_layout l = filk_attn90_layout_of(&p);
    assert_int_equal(l.sinks, l.tail);
    assert_int_equal(l.tail, l.bias);
    assert_int_equal(l.bias, l.total);
}

static void the_ring_names_every_block_and_tile_or_the_row_is_not_taken(void **state)
{
    filk_attn_problem p = problem_of(1182, 40, 40);
    (void)state;
    assert_true(filk_attn90_fits(&p));
    p.mk = FILK_WORD_BLOCKS;
    assert_true(filk_attn90_fits(&p));
    p.mk = FILK_WORD_BLOCKS + 1;
    assert_false(filk_attn90_fits(&p));
    p.mk    = 1;
    p.heads = 1 << 12;
    p.mq    = 3 << 12;
    assert_true(filk_attn90_fits(&p));
    p.mq++;
    assert_false(filk_attn90_fits(&p));
    p.mq = INT32_MAX - 2;
    assert_false(filk_attn90_fits(&p));
}

/* ---- tensor maps ---------------------------------------------------------------------------- */

static void a_tensor_map_has_sizes_in_elements_and_strides_in_bytes(void **state)
{
    const filk_attn_view v = {(const void *)16, 5120, 128};
    filk_box_map         m;
    (void)state;
    assert_true(filk_box_map_of(&m, &v, 128, 75600, 40));
    assert_int_equal(m.sizes[0], 128);
    assert_int_equal(m.sizes[1], 75600);
    assert_int_equal(m.sizes[2], 40);
    assert_int_equal(m.strides[0], 10240);
    assert_int_equal(m.strides[1], 256);
    assert_int_equal(m.box[0], 64);
    assert_int_equal(m.box[1], 64);
    assert_int_equal(m.box[2], 1);
}

static void strides_beyond_2_31_elements_reach_the_tensor_map(void **state)
{
    const filk_attn_view v = {NULL, 128, INT64_C(1) << 33};
    filk_box_map         m;
    (void)state;
    assert_true(filk_box_map_of(&m, &v, 128, INT64_C(1) << 26, 2));
    assert_int_equal(m.strides[1], UINT64_C(1) << 34);
}

static void views_off_16_bytes_have_no_tensor_map(void **state)
{
    const filk_attn_view base = {(const void *)8, 128, 128};
    const filk_attn_view row  = {(const void *)16, 132, 128};
    const filk_attn_view head = {(const void *)16, 128, 132};
    filk_box_map         m;
    (void)state;
    assert_false(filk_box_map_of(&m, &base, 128, 2, 2));
    assert_false(filk_box_map_of(&m, &row, 128, 2, 2));
    assert_false(filk_box_map_of(&m, &head, 128, 2, 2));
}

static void a_stride_that_nothing_steps_over_may_be_any(void **state)
{
    const filk_attn_view v = {(const void *)16, 1, 3};
    filk_box_map         m;
    (void)state;
    assert_true(filk_box_map_of(&m, &v, 64, 1, 1));
    assert_int_equal(m.strides[0], 16);
    assert_int_equal(m.strides[1], 16);
}

/* ---- convolutions --------------------------------------------------------------------------- */

enum { CONVS = 60, MOST = 4096 };

typedef struct conv_case {
    filk_conv3d_problem p;
    float               frame[3][MOST], weight[MOST];
    const void         *frames[3];
} conv_case;

static int32_t draw(uint64_t *state, int32_t low, int32_t high)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return low + (int32_t)((*state >> 33) % (uint64_t)(high - low + 1));
}

static filk_conv3d_axis axis_of(uint64_t *state, int32_t kernel)
{
    return (filk_conv3d_axis){.size   = draw(state, kernel, kernel + 5),
                              .kernel = kernel,
                              .stride = draw(state, 1, 2),
                              .before = draw(state, 0, kernel - 1),
                              .after  = draw(state, 0, kernel - 1)};
}

/* One output frame of three, the first of which may be missing. */
static void make_conv(conv_case *c, uint64_t *state)
{
    c->p = (filk_conv3d_problem){.t         = {.size = 3, .kernel = draw(state, 1, 3), .stride = 1},
                                 .h         = axis_of(state, draw(state, 1, 3)),
                                 .w         = axis_of(state, draw(state, 1, 3)),
                                 .c_in      = draw(state, 1, 17),
                                 .c_out     = draw(state, 1, 5),
                                 .dtype     = FIL_F32,
                                 .out_dtype = FIL_F32,
                                 .bias_dtype = FIL_DTYPE_NONE};
    for (int i = 0; i < 3; i++) {
        fili_philox_normal(*state, (uint64_t)i + 1, 0, c->frame[i], MOST);
        c->frames[i] = i == 0 && draw(state, 0, 1) != 0 ? NULL : c->frame[i];
    }
    fili_philox_normal(*state, 9, 0, c->weight, MOST);
}

/* Output (y, x, o) of output frame 0 from the row of its pixel and the packed row of its channel.
 */
static double by_rows(const conv_case *c, const filk_im2col *s, int32_t pixel, int32_t o)
{
    double sum = 0.0;
    for (int32_t e = 0; e < s->k_padded; e++) {
        int64_t       at;
        const int32_t f = filk_im2col_from(s, pixel, e, &at);
        if (e >= s->k) {
            assert_true(at < 0);
            continue;
        }
        assert_in_range(f, 0, s->kt - 1);
        if (at < 0 || c->frames[f] == NULL) continue;
        assert_true(at < (int64_t)s->h * s->w * s->c);
        sum += (double)c->frame[f][at] * (double)c->weight[filk_im2col_weight(s, o, e)];
    }
    return sum;
}

static void rows_of_windows_times_packed_weights_are_the_convolution(void **state)
{
    static conv_case c;
    uint64_t         random = 5;
    (void)state;
    for (int i = 0; i < CONVS; i++) {
        make_conv(&c, &random);
        const filk_im2col      s    = filk_im2col_of(&c.p);
        const filk_conv3d_args args = {.frames = c.frames, .packed = c.weight};
        assert_int_equal(s.k_padded % 8, 0);
        assert_in_range(s.k_padded - s.k, 0, 7);
        assert_int_equal(s.chunk, s.pixels); /* small ones are whole */
        for (int32_t pixel = 0; pixel < s.pixels; pixel++)
            for (int32_t o = 0; o < c.p.c_out; o++) {
                const filk_conv3d_at at = {0, (int32_t)(pixel / s.out_w),
                                           (int32_t)(pixel % s.out_w), o};
                double               cond;
                const double         want = filk_conv3d_oracle(&c.p, &args, c.weight, at, &cond);
                if (!(fabs(by_rows(&c, &s, pixel, o) - want) <= 1e-12 * cond))
                    fail_msg("problem %d, pixel %lld, channel %d", i, (long long)pixel, (int)o);
            }
    }
}

/* 832 x 480 at 96 channels: the largest of the VAE. Chunks are whole tiles of 256 rows. */
static void a_large_frame_goes_in_chunks_of_about_128_mib(void **state)
{
    const filk_conv3d_axis    time = {.size = 3, .kernel = 3, .stride = 1};
    const filk_conv3d_axis    h = {.size = 480, .kernel = 3, .stride = 1, .before = 1, .after = 1};
    const filk_conv3d_axis    w = {.size = 832, .kernel = 3, .stride = 1, .before = 1, .after = 1};
    const filk_conv3d_problem p = {
        .t = time, .h = h, .w = w, .c_in = 96, .c_out = 96, .dtype = FIL_BF16};
    const filk_im2col s = filk_im2col_of(&p);
    (void)state;
    assert_int_equal(s.pixels, 480 * 832);
    assert_int_equal(s.k, 27 * 96);
    assert_int_equal(s.chunk % 256, 0);
    assert_true(s.chunk * s.k_padded * 2 <= FILK_CONV_CHUNK);
    assert_true((s.chunk + 256) * s.k_padded * 2 > FILK_CONV_CHUNK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_take_stages_in_turn_and_their_parity_alternates),
        cmocka_unit_test(a_place_is_before_those_that_follow_also_across_the_wrap),
        cmocka_unit_test(the_word_of_an_empty_stage_is_before_the_first_entries),
        cmocka_unit_test(what_lies_above_a_place_in_its_word_does_not_count),
        cmocka_unit_test(only_bits_of_blocks_are_valid),
        cmocka_unit_test(blocks_that_are_left_out_are_the_others_of_a_group),
        cmocka_unit_test(a_walk_brings_each_block_of_the_union_once_for_those_that_keep_it),
        cmocka_unit_test(parts_of_the_workspace_hold_what_they_must_and_do_not_overlap),
        cmocka_unit_test(the_workspace_has_no_room_for_sinks_and_tails_that_there_are_not),
        cmocka_unit_test(the_ring_names_every_block_and_tile_or_the_row_is_not_taken),
        cmocka_unit_test(a_tensor_map_has_sizes_in_elements_and_strides_in_bytes),
        cmocka_unit_test(strides_beyond_2_31_elements_reach_the_tensor_map),
        cmocka_unit_test(views_off_16_bytes_have_no_tensor_map),
        cmocka_unit_test(a_stride_that_nothing_steps_over_may_be_any),
        cmocka_unit_test(rows_of_windows_times_packed_weights_are_the_convolution),
        cmocka_unit_test(a_large_frame_goes_in_chunks_of_about_128_mib),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
