/* tests/kernel/attn_nonfinite.c: NaN and infinities: in a selected token they reach the rows that
 * selected it, as the oracle says; anywhere else (unselected blocks, gaps, bits behind the mask,
 * workspace) they change no bit. Empty rows.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/attn_tests.h"

#define NO_NUMBER ((double)NAN)
#define ENDLESS   ((double)INFINITY)

static const attn_shape base = {.seed     = 21,
                                .nq       = 150,
                                .nk       = 300,
                                .heads    = 2,
                                .kv_heads = 1,
                                .head_dim = 64,
                                .ragged_q = 1,
                                .ragged_k = 1,
                                .density  = 40,
                                .n_sinks  = 5,
                                .gap      = 9};

enum { DIRTY_TOKEN = 137, DIRTY_D = 17 };

static attn_shape shape_for(const filk_row *row)
{
    attn_shape s = base;
    s.dtype      = attn_dtype(row);
    return s;
}

/* Which rows are touched by the change is decided by `is_hit`; all others keep every bit. */
typedef int (*hit_fn)(const attn_case *c, int64_t i, int32_t h);

static int is_sink(const attn_case *c, int32_t token)
{
    for (int32_t s = 0; s < c->a.n_sinks; s++)
        if (c->a.sinks[s] == token) return 1;
    return 0;
}

static int selects_dirty_token(const attn_case *c, int64_t i, int32_t h)
{
    const int32_t bq = attn_block_of(c->p.q_offset, c->p.mq, i);
    const int32_t bk = attn_block_of(c->p.k_offset, c->p.mk, DIRTY_TOKEN);
    return attn_keeps(c, h, bq, bk) || is_sink(c, DIRTY_TOKEN);
}

static int is_dirty_row(const attn_case *c, int64_t i, int32_t h)
{
    (void)c;
    (void)h;
    return i == DIRTY_TOKEN;
}

static int no_row(const attn_case *c, int64_t i, int32_t h)
{
    (void)c;
    (void)i;
    (void)h;
    return 0;
}

static void check_others_unchanged(const attn_case *c, const unsigned char *before, hit_fn is_hit)
{
    size_t               bytes;
    unsigned char       *after = attn_result(c, &bytes);
    const size_t         row   = (size_t)c->p.head_dim * (fil_dtype_bits(c->p.dtype) / 8);
    const size_t         n     = (size_t)(c->p.nq * c->p.heads);
    const unsigned char *lse   = before + n * row;
    for (size_t r = 0; r < n; r++) {
        const int64_t i = (int64_t)r / c->p.heads;
        const int32_t h = (int32_t)((int64_t)r % c->p.heads);
        if (is_hit(c, i, h)) continue;
        const size_t at = 4 * (size_t)(h * c->p.nq + i);
        check_same_bytes("out of a row that selects no dirty token", after + r * row,
                         before + r * row, row);
        check_same_bytes("its lse", after + n * row + at, lse + at, 4);
    }
    free(after);
}

/* Runs clean, then with one value in one tensor; compares classes with the oracle. d = -1: the
 * whole token. */
static void check_dirty(const filk_row *row, attn_tensor *(*of)(attn_case *c), int32_t d,
                        double value, hit_fn is_hit)
{
    for (uint64_t seed = 21; seed < 25; seed++) {
        attn_case  c;
        attn_shape s = shape_for(row);
        size_t     bytes;
        s.seed = seed;
        attn_make(&c, &s);
        if (!attn_takes(row, &c)) c.p.dtype = FIL_DTYPE_NONE;
        if (c.p.dtype == FIL_DTYPE_NONE) {
            attn_free(&c);
            check_skip();
        }
        attn_run(row, &c, 2);
        unsigned char *before = attn_result(&c, &bytes);
        if (d < 0) attn_set_token(&c, of(&c), DIRTY_TOKEN, value);
        if (d >= 0)
            for (int32_t h = 0; h < of(&c)->heads; h++)
                attn_set(&c, of(&c), DIRTY_TOKEN, h, d, value);
        attn_check(row, &c, 0, attn_cosine(c.p.dtype), NULL);
        check_others_unchanged(&c, before, is_hit);
        free(before);
        attn_free(&c);
    }
}

static attn_tensor *q_of(attn_case *c)
{
    return &c->q;
}

static attn_tensor *k_of(attn_case *c)
{
    return &c->k;
}

static attn_tensor *v_of(attn_case *c)
{
    return &c->v;
}

static void nan_in_a_query_reaches_its_row_alone(const filk_row *row)
{
    check_dirty(row, q_of, DIRTY_D, NO_NUMBER, is_dirty_row);
    check_dirty(row, q_of, -1, NO_NUMBER, is_dirty_row);
}

static void inf_in_a_query_reaches_its_row_alone(const filk_row *row)
{
    check_dirty(row, q_of, DIRTY_D, ENDLESS, is_dirty_row);
    check_dirty(row, q_of, DIRTY_D, -ENDLESS, is_dirty_row);
}

static void nan_in_a_key_reaches_the_rows_that_select_it(const filk_row *row)
{
    check_dirty(row, k_of, DIRTY_D, NO_NUMBER, selects_dirty_token);
    check_dirty(row, k_of, -1, NO_NUMBER, selects_dirty_token);
}

static void inf_in_a_key_reaches_the_rows_that_select_it(const filk_row *row)
{
    check_dirty(row, k_of, DIRTY_D, ENDLESS, selects_dirty_token);
    check_dirty(row, k_of, DIRTY_D, -ENDLESS, selects_dirty_token);
}

static void nan_in_a_value_reaches_the_rows_that_select_it(const filk_row *row)
{
    check_dirty(row, v_of, DIRTY_D, NO_NUMBER, selects_dirty_token);
    check_dirty(row, v_of, -1, NO_NUMBER, selects_dirty_token);
}

static void inf_in_a_value_reaches_the_rows_that_select_it(const filk_row *row)
{
    check_dirty(row, v_of, DIRTY_D, ENDLESS, selects_dirty_token);
    check_dirty(row, v_of, -1, -ENDLESS, selects_dirty_token);
}

/* ---- no influence --------------------------------------------------------------------------- */

static void nothing_in_an_unselected_block_has_influence(const filk_row *row)
{
    static const double values[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 3e38};
    for (size_t x = 0; x < 4; x++) {
        attn_case        c;
        size_t           bytes;
        const attn_shape s = shape_for(row);
        attn_make(&c, &s);
        const int32_t b = attn_block_of(c.p.k_offset, c.p.mk, DIRTY_TOKEN);
        for (int32_t h = 0; h < c.p.heads; h++)
            for (int32_t bq = 0; bq < c.p.mq; bq++)
                attn_keep(&c, h, bq, b, 0);
        attn_run(row, &c, 2);
        unsigned char *before = attn_result(&c, &bytes);
        for (int32_t t = c.p.k_offset[b]; t < c.p.k_offset[b + 1]; t++) {
            if (is_sink(&c, t)) continue;
            attn_set_token(&c, &c.k, t, values[x]);
            attn_set_token(&c, &c.v, t, values[x]);
        }
        attn_run(row, &c, 2);
        check_others_unchanged(&c, before, no_row);
        free(before);
        attn_free(&c);
    }
}

/* Fills what lies between the rows of a tensor. */
static void fill_gaps(const attn_case *c, attn_tensor *t, int byte)
{
    const size_t   element = fil_dtype_bits(c->p.dtype) / 8;
    const size_t   row     = (size_t)c->p.head_dim * element;
    unsigned char *keep    = malloc(t->buffer.bytes);
    assert_non_null(keep);
    memcpy(keep, t->buffer.data, t->buffer.bytes);
    memset(t->buffer.data, byte, t->buffer.bytes);
    for (int64_t i = 0; i < t->n; i++)
        for (int32_t h = 0; h < t->heads; h++) {
            const size_t at = (size_t)(i * t->stride_n + h * t->stride_h) * element;
            memcpy(t->buffer.data + at, keep + at, row);
        }
    free(keep);
}

static void gaps_and_workspace_have_no_influence(const filk_row *row)
{
    static const int bytes_of[] = {0x00, 0xFF, 0x7F, 0xAA, 0x80};
    size_t           bytes;
    attn_case        c;
    attn_shape       s = shape_for(row);
    s.tail             = 1;
    attn_make(&c, &s);
    attn_run(row, &c, 2);
    unsigned char *before = attn_result(&c, &bytes);
    for (size_t x = 0; x < 5; x++) {
        attn_tensor *all[] = {&c.q, &c.k, &c.v, &c.tail_k, &c.tail_v};
        for (size_t i = 0; i < 5; i++)
            fill_gaps(&c, all[i], bytes_of[x]);
        attn_workspace_fill = bytes_of[x];
        attn_run(row, &c, 2);
        attn_workspace_fill = 0xAA;
        check_others_unchanged(&c, before, no_row);
    }
    free(before);
    attn_free(&c);
}

/* ---- empty rows ----------------------------------------------------------------------------- */

/* In a workspace of NaN: zero times what was there is not good enough. */
static void check_all_empty(const filk_row *row, attn_case *c)
{
    attn_workspace_fill = 0xFF;
    attn_run(row, c, 2);
    attn_workspace_fill = 0xAA;
    for (int64_t i = 0; i < c->p.nq; i++)
        for (int32_t h = 0; h < c->p.heads; h++) {
            for (int32_t d = 0; d < c->p.head_dim; d++)
                if (attn_get(c, &c->out, i, h, d) != 0.0)
                    check_fail("out[%lld, %d, %d] of an empty row is %g", (long long)i, h, d,
                               attn_get(c, &c->out, i, h, d));
            const double lse = (double)c->a.lse[h * c->p.nq + i];
            if (!(lse == -(double)INFINITY))
                check_fail("lse[%d, %lld] of an empty row is %g", h, (long long)i, lse);
        }
}

static void an_empty_row_is_zero_with_lse_minus_inf(const filk_row *row)
{
    attn_case  c;
    attn_shape s = shape_for(row);
    s.n_sinks    = 0;
    s.mask       = MASK_NONE;
    attn_make(&c, &s);
    check_all_empty(row, &c);
    attn_set_token(&c, &c.q, 3, NO_NUMBER); /* also where the query is NaN */
    attn_set_token(&c, &c.k, 3, NO_NUMBER);
    attn_set_token(&c, &c.v, 3, NO_NUMBER);
    check_all_empty(row, &c);
    attn_free(&c);
}

static void an_empty_row_with_a_tail_of_count_0_is_empty(const filk_row *row)
{
    attn_case  c;
    attn_shape s = shape_for(row);
    s.n_sinks    = 0;
    s.mask       = MASK_NONE;
    s.tail       = 1;
    attn_make(&c, &s);
    memset(c.tail_count.data, 0, c.tail_count.bytes);
    for (int32_t b = 0; b < c.p.mk; b++) {
        attn_set_token(&c, &c.tail_k, b, NO_NUMBER);
        attn_set_token(&c, &c.tail_v, b, NO_NUMBER);
    }
    check_all_empty(row, &c);
    attn_free(&c);
}

static void a_row_of_logits_minus_inf_is_empty(const filk_row *row)
{
    attn_case  c;
    attn_shape s = shape_for(row);
    s.n_sinks    = 0;
    attn_make(&c, &s);
    for (int64_t i = 0; i < c.p.nq; i++)
        for (int32_t h = 0; h < c.p.heads; h++)
            for (int32_t d = 0; d < c.p.head_dim; d++)
                attn_set(&c, &c.q, i, h, d, d == 0 ? 2.0 : 0.5);
    for (int64_t i = 0; i < c.p.nk; i++)
        attn_set(&c, &c.k, i, 0, 0, -ENDLESS);
    check_all_empty(row, &c);
    /* One key that counts, in the last block. */
    attn_set(&c, &c.k, c.p.nk - 1, 0, 0, 1.0);
    attn_check(row, &c, 0, attn_cosine(c.p.dtype), NULL);
    attn_free(&c);
}

/* A query of inf makes NaN of the zeros that fill up a ragged run: they must not count. */
static void an_infinite_query_whose_logits_are_minus_inf_is_empty(const filk_row *row)
{
    attn_case  c;
    attn_shape s = shape_for(row);
    attn_make(&c, &s);
    for (int64_t i = 0; i < c.p.nk; i++)
        for (int32_t d = 0; d < c.p.head_dim; d++)
            attn_set(&c, &c.k, i, 0, d, d == 0 ? -1.0 : 0.25);
    for (int64_t i = 0; i < c.p.nq; i++)
        for (int32_t h = 0; h < c.p.heads; h++)
            attn_set(&c, &c.q, i, h, 0, ENDLESS);
    check_all_empty(row, &c);
    attn_free(&c);
}

const check_test attn_nonfinite_tests[] = {
    ATTN_TEST(nan_in_a_query_reaches_its_row_alone),
    ATTN_TEST(inf_in_a_query_reaches_its_row_alone),
    ATTN_TEST(nan_in_a_key_reaches_the_rows_that_select_it),
    ATTN_TEST(inf_in_a_key_reaches_the_rows_that_select_it),
    ATTN_TEST(nan_in_a_value_reaches_the_rows_that_select_it),
    ATTN_TEST(inf_in_a_value_reaches_the_rows_that_select_it),
    ATTN_TEST(nothing_in_an_unselected_block_has_influence),
    ATTN_TEST(gaps_and_workspace_have_no_influence),
    ATTN_TEST(an_empty_row_is_zero_with_lse_minus_inf),
    ATTN_TEST(an_empty_row_with_a_tail_of_count_0_is_empty),
    ATTN_TEST(a_row_of_logits_minus_inf_is_empty),
    ATTN_TEST(an_infinite_query_whose_logits_are_minus_inf_is_empty),
    {NULL, NULL}};
