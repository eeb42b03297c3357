/* tests/unit/test_mask.c: sparse/mask.h: laws of sets, and every word-wise function against a loop
 * over single bits. Sizes lie around multiples of 32; unused bits are checked after everything.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sparse/mask.h"
#include "support/cmocka_all.h"
#include "support/fault.h"

static uint64_t rng_state;

static uint32_t draw(uint32_t n) /* splitmix64 */
{
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15u);
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) % n);
}

static void seed(uint64_t value)
{
    rng_state = value;
    printf("seed %llu\n", (unsigned long long)value);
}

static int32_t draw_size(void)
{
    static const int32_t edges[] = {1, 2, 31, 32, 33, 63, 64, 65, 96, 97};
    return draw(2) == 0 ? edges[draw(10)] : 1 + (int32_t)draw(100);
}

static fil_ctx *open_ctx(void)
{
    fil_ctx *ctx;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    return ctx;
}

static fili_mask make(fil_ctx *ctx, int32_t heads, int32_t mq, int32_t mk)
{
    fili_mask m;
    assert_int_equal(fili_mask_init(&m, ctx, heads, mq, mk), FIL_OK);
    return m;
}

static void valid(const fili_mask *m)
{
    assert_int_equal(fili_mask_check(m), FIL_OK);
}

/* A density of its own for each mask, set bit by bit. */
static fili_mask draw_mask(fil_ctx *ctx, int32_t heads, int32_t mq, int32_t mk)
{
    fili_mask      m    = make(ctx, heads, mq, mk);
    const uint32_t keep = draw(11);
    for (int32_t h = 0; h < heads; h++)
        for (int32_t q = 0; q < mq; q++)
            for (int32_t k = 0; k < mk; k++)
                assert_int_equal(fili_mask_set(&m, h, q, k, draw(10) < keep), FIL_OK);
    valid(&m);
    return m;
}

static fili_mask copy_of(const fili_mask *m)
{
    fili_mask c = make(m->ctx, m->heads, m->mq, m->mk);
    assert_int_equal(fili_mask_copy(&c, m), FIL_OK);
    return c;
}

static fili_blocks draw_blocks(fil_ctx *ctx, int32_t m)
{
    fili_blocks b;
    int32_t    *offset = malloc(((size_t)m + 1) * sizeof *offset);
    const int   ragged = draw(2) == 0;
    assert_non_null(offset);
    offset[0] = 0;
    for (int32_t i = 0; i < m; i++)
        offset[i + 1] = offset[i] + (ragged ? 1 + (int32_t)draw(64) : 64);
    assert_int_equal(fili_blocks_from_offsets(&b, ctx, offset, m, offset[m]), FIL_OK);
    free(offset);
    return b;
}

static void fails_with(fil_ctx *ctx, fil_status got, fil_status want, const char *text)
{
    assert_int_equal(got, want);
    if (strcmp(fil_ctx_error(ctx)->message, text) != 0)
        fail_msg("'%s' is not '%s'", fil_ctx_error(ctx)->message, text);
    fili_ctx_enter(ctx);
}

/* ---- bits ----------------------------------------------------------------------------------- */

static void a_new_mask_is_empty_and_a_filled_one_is_full(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(91);
    for (int i = 0; i < 40; i++) {
        fili_mask m = make(ctx, 1 + (int32_t)draw(3), draw_size(), draw_size());
        for (int full = 0; full < 2; full++) {
            if (full) fili_mask_fill(&m);
            valid(&m);
            for (int32_t q = 0; q < m.mq; q++)
                for (int32_t k = 0; k < m.mk; k++)
                    assert_int_equal(fili_mask_get(&m, m.heads - 1, q, k), full);
        }
        fili_mask_clear(&m);
        assert_false(fili_mask_get(&m, 0, 0, 0));
        fili_mask_fini(&m);
        fili_mask_fini(&m);
    }
    fil_ctx_close(&ctx);
}

static void bit_b_of_word_w_is_key_block_32w_plus_b(void **state)
{
    (void)state;
    fil_ctx  *ctx = open_ctx();
    fili_mask m   = make(ctx, 2, 3, 70);
    assert_int_equal(m.words, 3);
    assert_int_equal(fili_mask_set(&m, 1, 2, 69, true), FIL_OK);
    assert_int_equal(m.bits[((size_t)1 * 3 + 2) * 3 + 2], 1u << 5);
    assert_true(fili_mask_get(&m, 1, 2, 69));
    assert_false(fili_mask_get(&m, 0, 2, 69));
    assert_int_equal(fili_mask_set(&m, 1, 2, 69, false), FIL_OK);
    assert_int_equal(m.bits[((size_t)1 * 3 + 2) * 3 + 2], 0);
    fili_mask_fini(&m);
    fil_ctx_close(&ctx);
}

static void outside_the_mask_nothing_is_set_and_nothing_is_kept(void **state)
{
    (void)state;
    static const int32_t outside[][3] = {{-1, 0, 0}, {2, 0, 0},  {0, -1, 0},
                                         {0, 3, 0},  {0, 0, -1}, {0, 0, 33}};
    fil_ctx             *ctx          = open_ctx();
    fili_mask            m            = make(ctx, 2, 3, 33);
    fili_mask_fill(&m);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        const int32_t *o = outside[i];
        assert_int_equal(fili_mask_set(&m, o[0], o[1], o[2], true), FIL_E_ARG);
        fili_ctx_enter(ctx);
        assert_false(fili_mask_get(&m, o[0], o[1], o[2]));
    }
    fails_with(ctx, fili_mask_set(&m, 1, 2, 33, true), FIL_E_ARG,
               "mask: head 1, blocks 2 x 33; the mask has 2 heads, 3 x 33 blocks");
    valid(&m);
    fili_mask_fini(&m);
    fil_ctx_close(&ctx);
}

static void a_stray_bit_is_found(void **state)
{
    (void)state;
    fil_ctx  *ctx = open_ctx();
    fili_mask m   = make(ctx, 2, 3, 33);
    fili_mask_row(&m, 1, 2)[1] |= 1u << 7;
    fails_with(ctx, fili_mask_check(&m), FIL_E_ARG,
               "mask: head 1, query block 2 keeps key block 39; there are 33");
    fili_mask_row(&m, 1, 2)[1] = 1;
    valid(&m);
    fili_mask_fini(&m);
    m = make(ctx, 1, 1, 64);
    fili_mask_fill(&m);
    valid(&m);
    fili_mask_fini(&m);
    fil_ctx_close(&ctx);
}

static void sizes_below_one_and_beyond_memory_are_refused(void **state)
{
    (void)state;
    fil_ctx  *ctx = open_ctx();
    fili_mask m;
    fails_with(ctx, fili_mask_init(&m, ctx, 0, 4, 4), FIL_E_ARG,
               "mask of 0 heads, 4 query blocks, 4 key blocks; expected at least 1 of each");
    fails_with(ctx, fili_mask_init(&m, ctx, 1, 4, -4), FIL_E_ARG,
               "mask of 1 heads, 4 query blocks, -4 key blocks; expected at least 1 of each");
    fails_with(ctx, fili_mask_init(&m, ctx, INT32_MAX, INT32_MAX, INT32_MAX), FIL_E_NOMEM,
               "mask of 2147483647 heads, 2147483647 x 2147483647 blocks exceeds the address "
               "space");
    assert_null(m.bits);
    fili_mask_fini(&m);
    fil_ctx_close(&ctx);
}

/* ---- sets ----------------------------------------------------------------------------------- */

static void set_operations_work_on_every_bit(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(92);
    for (int i = 0; i < 60; i++) {
        const int32_t heads  = 1 + (int32_t)draw(3);
        const int32_t mq     = draw_size();
        const int32_t mk     = draw_size();
        fili_mask     a      = draw_mask(ctx, heads, mq, mk);
        fili_mask     b      = draw_mask(ctx, draw(2) == 0 ? 1 : heads, mq, mk);
        fili_mask     either = copy_of(&a);
        fili_mask     both   = copy_of(&a);
        fili_mask     minus  = copy_of(&a);
        fili_mask     none   = copy_of(&a);
        assert_int_equal(fili_mask_union(&either, &b), FIL_OK);
        assert_int_equal(fili_mask_intersect(&both, &b), FIL_OK);
        assert_int_equal(fili_mask_subtract(&minus, &b), FIL_OK);
        fili_mask_complement(&none);
        for (int32_t h = 0; h < heads; h++)
            for (int32_t q = 0; q < mq; q++)
                for (int32_t k = 0; k < mk; k++) {
                    const bool x = fili_mask_get(&a, h, q, k);
                    const bool y = fili_mask_get(&b, h, q, k);
                    assert_int_equal(fili_mask_get(&either, h, q, k), x || y);
                    assert_int_equal(fili_mask_get(&both, h, q, k), x && y);
                    assert_int_equal(fili_mask_get(&minus, h, q, k), x && !y);
                    assert_int_equal(fili_mask_get(&none, h, q, k), !x);
                }
        fili_mask *all[] = {&a, &b, &either, &both, &minus, &none};
        for (int k = 0; k < 6; k++) {
            valid(all[k]);
            fili_mask_fini(all[k]);
        }
    }
    fil_ctx_close(&ctx);
}

static void de_morgan_holds(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(93);
    for (int i = 0; i < 60; i++) {
        const int32_t mq    = draw_size();
        const int32_t mk    = draw_size();
        fili_mask     a     = draw_mask(ctx, 2, mq, mk);
        fili_mask     b     = draw_mask(ctx, 2, mq, mk);
        fili_mask     left  = copy_of(&a);
        fili_mask     right = copy_of(&a);
        assert_int_equal(fili_mask_union(&left, &b), FIL_OK);
        fili_mask_complement(&left);
        fili_mask_complement(&right);
        fili_mask_complement(&b);
        assert_int_equal(fili_mask_intersect(&right, &b), FIL_OK);
        assert_true(fili_mask_equal(&left, &right));
        fili_mask *all[] = {&a, &b, &left, &right};
        for (int k = 0; k < 4; k++)
            fili_mask_fini(all[k]);
    }
    fil_ctx_close(&ctx);
}

static void masks_of_other_sizes_do_not_mix(void **state)
{
    (void)state;
    static const int32_t sizes[][3] = {{3, 4, 5}, {2, 5, 5}, {2, 4, 6}, {2, 4, 37}};
    fil_ctx             *ctx        = open_ctx();
    fili_mask            a          = draw_mask(ctx, 2, 4, 5);
    fili_mask            before     = copy_of(&a);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fili_mask b = make(ctx, sizes[i][0], sizes[i][1], sizes[i][2]);
        assert_int_equal(fili_mask_union(&a, &b), FIL_E_SHAPE);
        assert_int_equal(fili_mask_intersect(&a, &b), FIL_E_SHAPE);
        assert_int_equal(fili_mask_subtract(&a, &b), FIL_E_SHAPE);
        assert_int_equal(fili_mask_copy(&a, &b), FIL_E_SHAPE);
        assert_false(fili_mask_equal(&a, &b));
        assert_true(fili_mask_equal(&a, &before));
        fili_mask_fini(&b);
        fili_ctx_enter(ctx);
    }
    fili_mask shared = make(ctx, 1, 4, 5);
    fails_with(ctx, fili_mask_union(&shared, &a), FIL_E_SHAPE,
               "masks do not agree: 1 heads, 4 x 5 blocks, and 2 heads, 4 x 5 blocks");
    fili_mask_fini(&shared);
    fili_mask_fini(&before);
    fili_mask_fini(&a);
    fil_ctx_close(&ctx);
}

static void a_shared_mask_equals_its_copies_and_no_other(void **state)
{
    (void)state;
    fil_ctx  *ctx    = open_ctx();
    fili_mask shared = make(ctx, 1, 40, 70);
    fili_mask each   = make(ctx, 3, 40, 70);
    assert_int_equal(fili_mask_set(&shared, 0, 39, 69, true), FIL_OK);
    assert_int_equal(fili_mask_copy(&each, &shared), FIL_OK);
    assert_true(fili_mask_get(&shared, 7, 39, 69));
    assert_true(fili_mask_equal(&each, &shared));
    assert_true(fili_mask_equal(&shared, &each));
    assert_int_equal(fili_mask_set(&each, 2, 39, 69, false), FIL_OK);
    assert_false(fili_mask_equal(&each, &shared));
    assert_false(fili_mask_equal(&shared, &each));
    fili_mask_fini(&each);
    fili_mask_fini(&shared);
    fil_ctx_close(&ctx);
}

static void one_head_can_be_spread_over_all(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(94);
    fili_mask src = draw_mask(ctx, 3, 33, 65);
    fili_mask dst = make(ctx, 5, 33, 65);
    assert_int_equal(fili_mask_spread(&dst, &src, 2), FIL_OK);
    for (int32_t h = 0; h < 5; h++)
        for (int32_t q = 0; q < 33; q++)
            for (int32_t k = 0; k < 65; k++)
                assert_int_equal(fili_mask_get(&dst, h, q, k), fili_mask_get(&src, 2, q, k));
    fails_with(ctx, fili_mask_spread(&dst, &src, 3), FIL_E_ARG, "mask: head 3; the mask has 3");
    fails_with(ctx, fili_mask_spread(&dst, &src, -1), FIL_E_ARG, "mask: head -1; the mask has 3");
    fili_mask_fini(&dst);
    fili_mask_fini(&src);
    fil_ctx_close(&ctx);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void lists_counts_and_unions_of_rows_agree_with_the_bits(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(95);
    for (int i = 0; i < 60; i++) {
        fili_mask m     = draw_mask(ctx, 1 + (int32_t)draw(2), draw_size(), draw_size());
        int32_t  *count = malloc((size_t)m.heads * (size_t)m.mq * sizeof *count);
        int32_t  *list  = malloc((size_t)m.mk * sizeof *list);
        uint32_t *row   = malloc((size_t)m.words * sizeof *row);
        assert_true(count != NULL && list != NULL && row != NULL);
        fili_mask_counts(&m, count);
        for (int32_t h = 0; h < m.heads; h++)
            for (int32_t q = 0; q < m.mq; q++) {
                int32_t n = 0;
                int32_t u = 0;
                assert_int_equal(fili_mask_list(&m, h, q, list), count[h * m.mq + q]);
                const int32_t in_union = fili_mask_rows_union(&m, h, q, 3, row);
                for (int32_t k = 0; k < m.mk; k++) {
                    const bool any = fili_mask_get(&m, h, q, k) || fili_mask_get(&m, h, q + 1, k) ||
                                     fili_mask_get(&m, h, q + 2, k);
                    if (fili_mask_get(&m, h, q, k)) assert_int_equal(list[n++], k);
                    assert_int_equal(row[k / 32] >> (k % 32) & 1, any);
                    u += any;
                }
                assert_int_equal(n, count[h * m.mq + q]);
                assert_int_equal(u, in_union);
            }
        free(count);
        free(list);
        free(row);
        fili_mask_fini(&m);
    }
    fil_ctx_close(&ctx);
}

/* ---- other shapes --------------------------------------------------------------------------- */

static void the_transpose_swaps_queries_and_keys_and_twice_is_the_mask(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(96);
    for (int i = 0; i < 60; i++) {
        fili_mask m = draw_mask(ctx, 1 + (int32_t)draw(2), draw_size(), draw_size());
        fili_mask t = make(ctx, m.heads, m.mk, m.mq);
        fili_mask b = make(ctx, m.heads, m.mq, m.mk);
        fili_mask_fill(&t);
        assert_int_equal(fili_mask_transpose(&t, &m), FIL_OK);
        assert_int_equal(fili_mask_transpose(&b, &t), FIL_OK);
        for (int32_t q = 0; q < m.mq; q++)
            for (int32_t k = 0; k < m.mk; k++)
                assert_int_equal(fili_mask_get(&m, m.heads - 1, q, k),
                                 fili_mask_get(&t, m.heads - 1, k, q));
        assert_true(fili_mask_equal(&m, &b));
        valid(&t);
        fili_mask_fini(&m);
        fili_mask_fini(&t);
        fili_mask_fini(&b);
    }
    fili_mask m = make(ctx, 2, 3, 4);
    fili_mask t = make(ctx, 2, 3, 4);
    fails_with(ctx, fili_mask_transpose(&t, &m), FIL_E_SHAPE,
               "transpose of 2 heads, 3 x 4 blocks into 2 heads, 3 x 4 blocks");
    fili_mask_fini(&m);
    fili_mask_fini(&t);
    fil_ctx_close(&ctx);
}

static void a_pair_of_blocks_becomes_its_two_blocks(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(97);
    for (int i = 0; i < 80; i++) {
        const int32_t mq = draw_size();
        const int32_t mk = draw_size();
        fili_mask     p  = draw_mask(ctx, 2, (mq + 1) / 2, (mk + 1) / 2);
        fili_mask     m  = make(ctx, 2, mq, mk);
        fili_mask_fill(&m);
        assert_int_equal(fili_mask_expand(&m, &p), FIL_OK);
        for (int32_t h = 0; h < 2; h++)
            for (int32_t q = 0; q < mq; q++)
                for (int32_t k = 0; k < mk; k++)
                    assert_int_equal(fili_mask_get(&m, h, q, k),
                                     fili_mask_get(&p, h, q / 2, k / 2));
        valid(&m);
        fili_mask_fini(&m);
        fili_mask_fini(&p);
    }
    fili_mask p = make(ctx, 1, 2, 2);
    fili_mask m = make(ctx, 1, 4, 5);
    fails_with(ctx, fili_mask_expand(&m, &p), FIL_E_SHAPE,
               "1 heads, 2 x 2 pairs of blocks do not make 1 heads, 4 x 5 blocks");
    fili_mask_fini(&m);
    fili_mask_fini(&p);
    fil_ctx_close(&ctx);
}

/* ---- density -------------------------------------------------------------------------------- */

static void kept_pairs_equal_a_count_over_tokens(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(98);
    for (int i = 0; i < 60; i++) {
        fili_mask   m       = draw_mask(ctx, 1 + (int32_t)draw(3), draw_size(), draw_size());
        fili_blocks q       = draw_blocks(ctx, m.mq);
        fili_blocks k       = draw_blocks(ctx, m.mk);
        uint64_t    kept[3] = {0};
        double      density;
        double      want = 0.0;
        assert_int_equal(fili_mask_kept(&m, &q, &k, kept), FIL_OK);
        assert_int_equal(fili_mask_density(&m, &q, &k, &density), FIL_OK);
        for (int32_t h = 0; h < m.heads; h++) {
            uint64_t pairs = 0;
            for (int32_t u = 0; u < m.mq; u++)
                for (int32_t v = 0; v < m.mk; v++)
                    if (fili_mask_get(&m, h, u, v))
                        pairs +=
                            (uint64_t)fili_blocks_valid(&q, u) * (uint64_t)fili_blocks_valid(&k, v);
            assert_int_equal(kept[h], pairs);
            want += (double)pairs;
        }
        want /= (double)m.heads * fili_blocks_tokens(&q) * fili_blocks_tokens(&k);
        assert_true(density >= want - 1e-12 && density <= want + 1e-12);
        fili_mask_fini(&m);
        fili_blocks_fini(&q);
        fili_blocks_fini(&k);
    }
    fil_ctx_close(&ctx);
}

static void a_full_mask_has_density_one_and_an_empty_one_zero_exactly(void **state)
{
    (void)state;
    fil_ctx *ctx = open_ctx();
    seed(99);
    for (int i = 0; i < 40; i++) {
        /* More than 64 words in a row now and then: density is summed in pieces of 64. */
        fili_mask   m = make(ctx, 3, draw_size(), i % 8 == 0 ? 3000 : draw_size());
        fili_blocks q = draw_blocks(ctx, m.mq);
        fili_blocks k = draw_blocks(ctx, m.mk);
        uint64_t    kept[3];
        double      density;
        assert_int_equal(fili_mask_density(&m, &q, &k, &density), FIL_OK);
        assert_true(density == 0.0);
        fili_mask_fill(&m);
        assert_int_equal(fili_mask_density(&m, &q, &k, &density), FIL_OK);
        assert_true(density == 1.0);
        assert_int_equal(fili_mask_kept(&m, &q, &k, kept), FIL_OK);
        assert_int_equal(kept[2],
                         (uint64_t)fili_blocks_tokens(&q) * (uint64_t)fili_blocks_tokens(&k));
        fili_mask_fini(&m);
        fili_blocks_fini(&q);
        fili_blocks_fini(&k);
    }
    fil_ctx_close(&ctx);
}

static void density_wants_the_blocks_of_the_mask(void **state)
{
    (void)state;
    fil_ctx    *ctx  = open_ctx();
    fili_mask   m    = make(ctx, 1, 3, 4);
    fili_blocks four = draw_blocks(ctx, 4);
    uint64_t    kept;
    double      density;
    fails_with(ctx, fili_mask_kept(&m, &four, &four, &kept), FIL_E_SHAPE,
               "mask of 3 x 4 blocks; the sequences have 4 and 4");
    assert_int_equal(fili_mask_density(&m, &four, &four, &density), FIL_E_SHAPE);
    fili_blocks_fini(&four);
    fili_mask_fini(&m);
    fil_ctx_close(&ctx);
}

static void without_memory_there_is_no_mask_and_a_limit_holds(void **state)
{
    (void)state;
    alloc_fault f = {.at = -1};
    fil_options opt;
    fil_ctx    *ctx;
    fili_mask   m;
    fil_options_init(&opt);
    opt.host           = alloc_fault_allocator(&f);
    opt.max_host_bytes = 4 * 3 * 2 * 2;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    assert_int_equal(fili_mask_init(&m, ctx, 3, 2, 65), FIL_E_NOMEM);
    assert_null(m.bits);
    fili_ctx_enter(ctx);
    assert_int_equal(fili_mask_init(&m, ctx, 3, 2, 64), FIL_OK);
    fili_mask_fini(&m);
    f.at = f.calls;
    assert_int_equal(fili_mask_init(&m, ctx, 3, 2, 64), FIL_E_NOMEM);
    assert_int_equal(f.live, 1);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_mask_is_empty_and_a_filled_one_is_full),
        cmocka_unit_test(bit_b_of_word_w_is_key_block_32w_plus_b),
        cmocka_unit_test(outside_the_mask_nothing_is_set_and_nothing_is_kept),
        cmocka_unit_test(a_stray_bit_is_found),
        cmocka_unit_test(sizes_below_one_and_beyond_memory_are_refused),
        cmocka_unit_test(set_operations_work_on_every_bit),
        cmocka_unit_test(de_morgan_holds),
        cmocka_unit_test(masks_of_other_sizes_do_not_mix),
        cmocka_unit_test(a_shared_mask_equals_its_copies_and_no_other),
        cmocka_unit_test(one_head_can_be_spread_over_all),
        cmocka_unit_test(lists_counts_and_unions_of_rows_agree_with_the_bits),
        cmocka_unit_test(the_transpose_swaps_queries_and_keys_and_twice_is_the_mask),
        cmocka_unit_test(a_pair_of_blocks_becomes_its_two_blocks),
        cmocka_unit_test(kept_pairs_equal_a_count_over_tokens),
        cmocka_unit_test(a_full_mask_has_density_one_and_an_empty_one_zero_exactly),
        cmocka_unit_test(density_wants_the_blocks_of_the_mask),
        cmocka_unit_test(without_memory_there_is_no_mask_and_a_limit_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
