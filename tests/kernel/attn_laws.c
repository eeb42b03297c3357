/* tests/kernel/attn_laws.c: laws that hold whatever the numbers are: a full mask is no mask, sinks
 * are a kept block, parts merge by lse, keys may be permuted, values scale, and the oracle itself
 * agrees with the formula written down a second time.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/attn_tests.h"

static const attn_shape shape = {.seed     = 31,
                                 .nq       = 130,
                                 .nk       = 700,
                                 .heads    = 2,
                                 .kv_heads = 1,
                                 .head_dim = 128,
                                 .ragged_q = 1,
                                 .ragged_k = 1,
                                 .density  = 30};

/* The types that a row takes, one problem each. */
typedef void (*law_fn)(const filk_row *row, fil_dtype dtype);

static void for_types(const filk_row *row, law_fn law)
{
    static const fil_dtype types[] = {FIL_BF16, FIL_F32};
    for (size_t i = 0; i < 2; i++) {
        const filk_attn_problem p = {.dtype = types[i], .head_dim = 128};
        if (row->refuse(&p) == NULL) law(row, types[i]);
    }
}

static void check_same_result(const char *what, const unsigned char *before, const attn_case *c)
{
    size_t         bytes;
    unsigned char *after = attn_result(c, &bytes);
    check_same_bytes(what, after, before, bytes);
    free(after);
}

/* ---- bit for bit ---------------------------------------------------------------------------- */

static void full_mask(const filk_row *row, fil_dtype dtype)
{
    for (int sinks = 0; sinks <= 9; sinks += 9) {
        attn_case  c;
        attn_shape s = shape;
        size_t     bytes;
        s.dtype   = dtype;
        s.mask    = MASK_ALL;
        s.n_sinks = sinks;
        attn_make(&c, &s);
        attn_run(row, &c, 2);
        unsigned char *with = attn_result(&c, &bytes);
        c.a.mask            = NULL;
        attn_run(row, &c, 2);
        check_same_result("result without a mask", with, &c);
        free(with);
        attn_free(&c);
    }
}

static void a_mask_of_density_1_is_no_mask_bit_for_bit(const filk_row *row)
{
    for_types(row, full_mask);
}

static void idle_tail(const filk_row *row, fil_dtype dtype)
{
    for (int null = 0; null < 2; null++) {
        attn_case  c;
        attn_shape s = shape;
        size_t     bytes;
        s.dtype = dtype;
        s.mask  = null ? MASK_NULL : MASK_ALL;
        s.tail  = 1;
        attn_make(&c, &s);
        attn_run(row, &c, 2);
        unsigned char *with = attn_result(&c, &bytes);
        c.a.tail_k = c.a.tail_v = (filk_attn_view){.data = NULL};
        attn_run(row, &c, 2);
        check_same_result("result without a tail, in a problem with one", with, &c);
        c.p.has_tail = 0;
        attn_run(row, &c, 2);
        check_same_result("result of a problem without a tail", with, &c);
        free(with);
        attn_free(&c);
    }
}

static void a_tail_with_every_block_kept_changes_no_bit(const filk_row *row)
{
    for_types(row, idle_tail);
}

static void spare_room(const filk_row *row, fil_dtype dtype)
{
    attn_case  c;
    attn_shape s = shape;
    size_t     bytes;
    s.dtype = dtype;
    attn_make(&c, &s);
    attn_run(row, &c, 2);
    unsigned char *without = attn_result(&c, &bytes);
    c.p.max_sinks          = FILK_MAX_SINKS;
    c.p.has_tail           = 1;
    c.a.n_sinks            = 9; /* NULL = none, whatever the number */
    attn_run(row, &c, 2);
    check_same_result("result with room for sinks and tail, and none", without, &c);
    free(without);
    attn_free(&c);
}

static void room_for_sinks_and_tail_without_any_changes_no_bit(const filk_row *row)
{
    for_types(row, spare_room);
}

static void scale_values(const filk_row *row, fil_dtype dtype)
{
    attn_case     c;
    attn_shape    s     = shape;
    const int64_t n_out = s.nq * s.heads * s.head_dim;
    size_t        bytes;
    s.dtype = dtype;
    attn_make(&c, &s);
    attn_run(row, &c, 2);
    unsigned char *before = attn_result(&c, &bytes);
    for (int64_t i = 0; i < s.nk; i++)
        for (int32_t d = 0; d < s.head_dim; d++)
            attn_set(&c, &c.v, i, 0, d, -16.0 * attn_get(&c, &c.v, i, 0, d));
    attn_run(row, &c, 2);
    unsigned char *after = attn_result(&c, &bytes);
    for (int64_t i = 0; i < n_out; i++)
        check_store(dtype, before, i, -16.0 * check_load(dtype, before, i));
    for (int64_t i = 0; i < n_out; i++) /* the sign of a zero does not count */
        if (!(check_load(dtype, after, i) == check_load(dtype, before, i)))
            check_fail("out element %lld is %g, expected %g", (long long)i,
                       check_load(dtype, after, i), check_load(dtype, before, i));
    free(before);
    free(after);
    attn_free(&c);
}

static void values_times_minus_16_give_outputs_times_minus_16(const filk_row *row)
{
    for_types(row, scale_values);
}

/* ---- within tolerance ----------------------------------------------------------------------- */

/* Both results of the same mathematics: they may miss it on either side. kappa of normal data at
 * scale 1/sqrt(D) stays below 32. */
static void check_close(const filk_row *row, const attn_case *x, const attn_case *y)
{
    check_report out = {.what = "out"};
    check_report lse = {.what = "lse"};
    double       want[128];
    double       cond[128];
    double       want_lse;
    for (int64_t i = 0; i < x->p.nq; i += 7)
        for (int32_t h = 0; h < x->p.heads; h++) {
            filk_attn_oracle_row(&x->p, &x->a, i, h, want, cond, &want_lse);
            for (int32_t d = 0; d < x->p.head_dim; d++)
                check_value(&out, i, h, d, attn_get(x, &x->out, i, h, d),
                            attn_get(y, &y->out, i, h, d),
                            2.0 * attn_out_tolerance(row, x, x->p.nk, cond[d], 32.0));
            check_value(&lse, h, i, 0, (double)x->a.lse[h * x->p.nq + i],
                        (double)y->a.lse[h * x->p.nq + i], 4e-5 * (1.0 + fabs(want_lse)));
        }
    check_report_verdict(&out, attn_cosine(x->p.dtype));
    check_report_verdict(&lse, 2.0);
}

static void sinks_as_block(const filk_row *row, fil_dtype dtype)
{
    attn_case  kept;
    attn_case  sunk;
    attn_shape s   = shape;
    s.dtype        = dtype;
    s.n_sinks      = 1;
    s.sinks_shared = 1;
    s.spare_sinks  = FILK_MAX_SINKS - 1;
    attn_make(&kept, &s);
    attn_make(&sunk, &s);
    const int32_t b = kept.p.mk / 2;
    int32_t       tokens[FILK_BLOCK];
    int32_t       n = 0;
    for (int32_t t = kept.p.k_offset[b]; t < kept.p.k_offset[b + 1]; t++)
        tokens[n++] = t;
    attn_set_sinks(&sunk, tokens, n);
    kept.a.sinks = NULL;
    for (int32_t h = 0; h < s.heads; h++)
        for (int32_t bq = 0; bq < kept.p.mq; bq++) {
            attn_keep(&kept, h, bq, b, 1);
            attn_keep(&sunk, h, bq, b, bq % 2); /* an emptied run: kept or not, the same */
        }
    attn_run(row, &kept, 2);
    attn_run(row, &sunk, 2);
    check_close(row, &kept, &sunk);
    attn_free(&kept);
    attn_free(&sunk);
}

static void sinks_of_a_whole_block_are_that_block_kept(const filk_row *row)
{
    for_types(row, sinks_as_block);
}

static void merged(const attn_case *x, const attn_case *y, attn_case *whole)
{
    for (int64_t i = 0; i < x->p.nq; i++)
        for (int32_t h = 0; h < x->p.heads; h++) {
            const double lx  = (double)x->a.lse[h * x->p.nq + i];
            const double ly  = (double)y->a.lse[h * x->p.nq + i];
            const double top = fmax(lx, ly);
            const double wx  = exp(lx - top);
            const double wy  = exp(ly - top);
            for (int32_t d = 0; d < x->p.head_dim; d++)
                attn_set(whole, &whole->out, i, h, d,
                         (wx * attn_get(x, &x->out, i, h, d) + wy * attn_get(y, &y->out, i, h, d)) /
                             (wx + wy));
            whole->a.lse[h * x->p.nq + i] = (float)(top + log(wx + wy));
        }
}

static void split_keys(const filk_row *row, fil_dtype dtype)
{
    attn_case  part[3]; /* a mask, its complement, no mask */
    attn_shape s = shape;
    s.dtype      = dtype;
    s.density    = 50;
    for (int i = 0; i < 3; i++)
        attn_make(&part[i], &s);
    for (int32_t h = 0; h < s.heads; h++)
        for (int32_t bq = 0; bq < part[0].p.mq; bq++)
            for (int32_t bk = 0; bk < part[0].p.mk; bk++) {
                attn_keep(&part[1], h, bq, bk, !attn_keeps(&part[0], h, bq, bk));
                attn_keep(&part[2], h, bq, bk, 1);
            }
    for (int i = 0; i < 3; i++)
        attn_run(row, &part[i], 2);
    attn_case whole = part[2];
    attn_case other;
    attn_make(&other, &s);
    merged(&part[0], &part[1], &other);
    check_close(row, &whole, &other);
    attn_free(&other);
    for (int i = 0; i < 3; i++)
        attn_free(&part[i]);
}

static void two_parts_of_the_keys_merge_by_lse_into_the_whole(const filk_row *row)
{
    for_types(row, split_keys);
}

static void copy_token(const attn_case *from, attn_case *to, int64_t a, int64_t b)
{
    for (int32_t h = 0; h < from->p.kv_heads; h++)
        for (int32_t d = 0; d < from->p.head_dim; d++) {
            attn_set(to, &to->k, b, h, d, attn_get(from, &from->k, a, h, d));
            attn_set(to, &to->v, b, h, d, attn_get(from, &from->v, a, h, d));
        }
}

/* Key blocks in reverse order, with their columns of the mask. */
static void permute_blocks(const filk_row *row, fil_dtype dtype)
{
    attn_case  x;
    attn_case  y;
    attn_shape s = shape;
    s.dtype      = dtype;
    attn_make(&x, &s);
    attn_make(&y, &s);
    int32_t      *offset = (int32_t *)(void *)y.k_offset.data;
    const int32_t m      = x.p.mk;
    for (int32_t b = 0; b < m; b++) {
        const int32_t from = m - 1 - b;
        offset[b + 1]      = offset[b] + x.p.k_offset[from + 1] - x.p.k_offset[from];
        for (int32_t t = 0; t < offset[b + 1] - offset[b]; t++)
            copy_token(&x, &y, x.p.k_offset[from] + t, offset[b] + t);
        for (int32_t h = 0; h < s.heads; h++)
            for (int32_t bq = 0; bq < x.p.mq; bq++)
                attn_keep(&y, h, bq, b, attn_keeps(&x, h, bq, from));
    }
    attn_run(row, &x, 2);
    attn_run(row, &y, 2);
    check_close(row, &x, &y);
    attn_free(&x);
    attn_free(&y);
}

static void key_blocks_permuted_with_their_mask_change_nothing(const filk_row *row)
{
    for_types(row, permute_blocks);
}

/* ---- the oracle ----------------------------------------------------------------------------- */

/* How often key block b, or its pooled key, counts for row i: the contract, said once more. */
static double weight_of_token(const attn_case *c, int64_t i, int32_t h, int32_t t)
{
    const int32_t  kv   = h / (c->p.heads / c->p.kv_heads);
    const int32_t *sink = c->a.sinks + kv * c->a.sinks_stride_h;
    for (int32_t s = 0; s < c->a.n_sinks; s++)
        if (sink[s] == t) return 1.0;
    return attn_keeps(c, h, attn_block_of(c->p.q_offset, c->p.mq, i),
                      attn_block_of(c->p.k_offset, c->p.mk, t));
}

static double weight_of_tail(const attn_case *c, int64_t i, int32_t h, int32_t b)
{
    const int32_t kv = h / (c->p.heads / c->p.kv_heads);
    if (attn_keeps(c, h, attn_block_of(c->p.q_offset, c->p.mq, i), b)) return 0.0;
    return c->a.tail_count[kv * c->a.tail_count_stride_h + b] * (double)c->a.tail_factor[h];
}

typedef struct sums {
    double p, pv[128];
} sums;

/* No maximum is subtracted: logits of this problem are small. */
static void add_plainly(const attn_case *c, const attn_tensor *k, const attn_tensor *v, int64_t i,
                        int32_t h, int64_t t, double weight, sums *sum)
{
    const int32_t kv  = h / (c->p.heads / c->p.kv_heads);
    double        dot = 0.0;
    if (weight == 0.0) return;
    for (int32_t d = 0; d < c->p.head_dim; d++)
        dot += attn_get(c, &c->q, i, h, d) * attn_get(c, k, t, kv, d);
    const double p = weight * exp((double)c->a.scale * dot);
    sum->p += p;
    for (int32_t d = 0; d < c->p.head_dim; d++)
        sum->pv[d] += p * attn_get(c, v, t, kv, d);
}

static void the_oracle_agrees_with_the_formula(const filk_row *row)
{
    attn_case    c;
    attn_shape   s   = {.seed        = 33,
                        .nq          = 40,
                        .nk          = 90,
                        .heads       = 4,
                        .kv_heads    = 2,
                        .head_dim    = 64,
                        .dtype       = FIL_BF16,
                        .ragged_q    = 1,
                        .ragged_k    = 1,
                        .density     = 40,
                        .tail        = 1,
                        .tail_factor = 1,
                        .n_sinks     = 7,
                        .gap         = 5};
    check_report out = {.what = "oracle"};
    double       got[128];
    double       lse;
    (void)row;
    attn_make(&c, &s);
    for (int64_t i = 0; i < s.nq; i++)
        for (int32_t h = 0; h < s.heads; h++) {
            sums sum = {.p = 0.0};
            for (int32_t t = 0; t < s.nk; t++)
                add_plainly(&c, &c.k, &c.v, i, h, t, weight_of_token(&c, i, h, t), &sum);
            for (int32_t b = 0; b < c.p.mk; b++)
                add_plainly(&c, &c.tail_k, &c.tail_v, i, h, b, weight_of_tail(&c, i, h, b), &sum);
            filk_attn_oracle_row(&c.p, &c.a, i, h, got, NULL, &lse);
            for (int32_t d = 0; d < s.head_dim; d++)
                check_value(&out, i, h, d, got[d], sum.pv[d] / sum.p, 1e-12);
            check_value(&out, i, h, -1, lse, log(sum.p), 1e-12);
        }
    check_report_verdict(&out, 1e-12);
    attn_free(&c);
}

const check_test attn_law_tests[] = {ATTN_TEST(the_oracle_agrees_with_the_formula),
                                     ATTN_TEST(a_mask_of_density_1_is_no_mask_bit_for_bit),
                                     ATTN_TEST(a_tail_with_every_block_kept_changes_no_bit),
                                     ATTN_TEST(room_for_sinks_and_tail_without_any_changes_no_bit),
                                     ATTN_TEST(values_times_minus_16_give_outputs_times_minus_16),
                                     ATTN_TEST(sinks_of_a_whole_block_are_that_block_kept),
                                     ATTN_TEST(two_parts_of_the_keys_merge_by_lse_into_the_whole),
                                     ATTN_TEST(key_blocks_permuted_with_their_mask_change_nothing),
                                     {NULL, NULL}};
