/* tests/kernel/attn_random.c: seeded random problems over all that the contract allows: sizes next
 * to every multiple of 16 and 64, ragged runs, masks, tail, sinks, layouts. Problem number i of a
 * row has the seed --seed + i, so --seed S --problems 1 repeats a failure.
 */
#include <math.h>
#include <stdio.h>

#include "kernel/attn_tests.h"

static const int64_t sizes[] = {1, 2, 3, 7, 31, 63, 64, 65, 127, 129, 1023, 1025, 2925};
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

/* nq * nk * heads * D: a scalar row would take minutes over the large ones. */
static int64_t work_limit(const filk_row *row)
{
    if (row->isa == FILI_ISA_REF) return 3000000;
    return check_is_sanitized() ? 100000000 : INT64_MAX;
}

static void draw_sizes(const filk_row *row, check_rng *rng, attn_shape *s)
{
    static const int32_t group[] = {1, 2, 4};
    s->head_dim                  = check_chance(rng, 50) ? 64 : 128;
    s->kv_heads                  = (int32_t)check_between(rng, 1, 3);
    s->heads                     = s->kv_heads * group[check_between(rng, 0, 2)];
    do {
        s->nq = sizes[check_between(rng, 0, N_SIZES - 1)];
        s->nk = check_chance(rng, 30) ? s->nq : sizes[check_between(rng, 0, N_SIZES - 1)];
    } while (s->nq * s->nk * s->heads * s->head_dim > work_limit(row));
    s->alias = check_chance(rng, 5);
    if (s->alias) {
        s->nk       = s->nq;
        s->kv_heads = s->heads;
    }
}

static void draw_mask(check_rng *rng, attn_shape *s)
{
    static const attn_mask kinds[] = {MASK_RANDOM, MASK_RANDOM, MASK_RANDOM, MASK_RANDOM,
                                      MASK_NULL,   MASK_NONE,   MASK_ONE,    MASK_ALL};
    static const int       parts[] = {2, 10, 25, 50, 90};
    s->mask                        = kinds[check_between(rng, 0, 7)];
    s->density                     = parts[check_between(rng, 0, 4)];
    s->mask_shared                 = check_chance(rng, 30);
}

static attn_shape draw_shape(const filk_row *row, uint64_t seed)
{
    check_rng  rng = {.seed = seed, .stream = 0};
    attn_shape s   = {.seed = seed, .dtype = check_chance(&rng, 70) ? FIL_BF16 : FIL_F32};
    draw_sizes(row, &rng, &s);
    draw_mask(&rng, &s);
    s.ragged_q     = check_chance(&rng, 50);
    s.ragged_k     = check_chance(&rng, 50);
    s.tail         = check_chance(&rng, 40);
    s.tail_factor  = check_chance(&rng, 50);
    s.count_shared = check_chance(&rng, 50);
    s.n_sinks      = check_chance(&rng, 40) ? (int32_t)check_between(&rng, 1, 64) : 0;
    s.spare_sinks  = check_chance(&rng, 30) ? FILK_MAX_SINKS - s.n_sinks : 0;
    s.sinks_shared = check_chance(&rng, 50);
    s.no_lse       = check_chance(&rng, 20);
    s.head_major   = check_chance(&rng, 40);
    s.gap          = check_chance(&rng, 50) ? check_between(&rng, 1, 37) : 0;
    s.off          = check_chance(&rng, 40);
    s.sigma        = check_chance(&rng, 30) ? 3.0 : 1.0;
    return s;
}

/* As many rows as a fixed number of products allows. */
static int64_t rows_to_check(const attn_shape *s)
{
    const int64_t rows = 2000000 / (s->nk * s->head_dim);
    return rows < 6 ? 6 : rows;
}

static void random_problems(const filk_row *row)
{
    attn_worst worst = {.out = 0.0};
    int64_t    done  = 0;
    for (uint64_t i = 0; done < check_opt.problems; i++) {
        attn_case  c;
        attn_shape s = draw_shape(row, check_opt.seed + i);
        check_case(row->name, __func__, check_opt.seed + i);
        const filk_attn_problem p = {.dtype = s.dtype, .head_dim = s.head_dim};
        if (row->refuse(&p) != NULL) s.dtype = s.dtype == FIL_F32 ? FIL_BF16 : FIL_F32;
        attn_make(&c, &s);
        attn_check(row, &c, rows_to_check(&s), s.mask == MASK_NONE ? 2.0 : attn_cosine(s.dtype),
                   &worst);
        attn_free(&c);
        done++;
    }
    printf("  %lld problems; of the tolerance out needed %.2f, lse %.2f; cosine distance %.1e\n",
           (long long)done, worst.out, worst.lse, worst.cosine);
}

const check_test attn_random_tests[] = {ATTN_TEST(random_problems), {NULL, NULL}};
