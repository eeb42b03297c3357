/* kernel/selftest_select.c: the self-test of block selection rows (kernel/selftest.h).
 *
 * Tolerance of a score: e (D/8 cond + 32 |score|) with the oracle's cond and e = 2^-24. The mask
 * must be the exact one of the scores that the row shows.
 */
#include <math.h>
#include <string.h>

#include "kernel/select.h"
#include "kernel/selftest.h"

#define TINY 1e-30

typedef struct corner {
    const char      *name;
    filk_select_kind kind;
    int32_t          heads, kv_heads, head_dim, mq, mk, keep;
    int32_t          counts; /* some key tiles are empty */
} corner;

static const corner corners[] = {
    {"votes of ragged blocks", FILK_SELECT_SOFTMAX, 2, 1, 128, 20, 90, 9, 1},
    {"logits", FILK_SELECT_LOGIT, 2, 2, 64, 70, 130, 17, 0},
};

typedef struct select_case {
    filk_select_problem p;
    filk_select_args    a;
} select_case;

/* Blocks of 1 to 4 tiles, or of 1. */
static fil_status make_tiles(filk_st *st, int32_t m, int single, int32_t **tiles)
{
    void *block;
    FIL_TRY(filk_st_alloc(st, (size_t)m + 1, sizeof(int32_t), &block));
    *tiles = block;
    for (int32_t i = 0; i < m; i++)
        (*tiles)[i + 1] = (*tiles)[i] + (single ? 1 : filk_st_between(st, 1, 4));
    return FIL_OK;
}

static fil_status make(filk_st *st, const corner *c, select_case *k)
{
    const int single = c->kind == FILK_SELECT_LOGIT;
    int32_t  *q_tiles;
    int32_t  *k_tiles;
    void     *data;
    FIL_TRY(make_tiles(st, c->mq, single, &q_tiles));
    FIL_TRY(make_tiles(st, c->mk, single, &k_tiles));
    *k         = (select_case){.p = {.kind     = c->kind,
                                     .heads    = c->heads,
                                     .kv_heads = c->kv_heads,
                                     .head_dim = c->head_dim,
                                     .mq       = c->mq,
                                     .mk       = c->mk,
                                     .q_tiles  = q_tiles,
                                     .k_tiles  = k_tiles,
                                     .tq       = q_tiles[c->mq],
                                     .tk       = k_tiles[c->mk],
                                     .keep     = c->keep}};
    k->a.scale = 1.0f / sqrtf((float)c->head_dim);
    FIL_TRY(filk_st_normal(st, FIL_F32, (int64_t)k->p.tq * c->heads * c->head_dim, 2.0, &data));
    k->a.q = data;
    FIL_TRY(filk_st_normal(st, FIL_F32, (int64_t)k->p.tk * c->kv_heads * c->head_dim, 1.0, &data));
    k->a.k = data;
    FIL_TRY(filk_st_output(st, FIL_F32, (int64_t)c->heads * c->mq * ((c->mk + 31) / 32), &data));
    k->a.mask = data;
    FIL_TRY(filk_st_output(st, FIL_F32, (int64_t)c->heads * c->mq * c->mk, &data));
    k->a.score = data;
    if (!c->counts) return FIL_OK;
    FIL_TRY(filk_st_alloc(st, (size_t)k->p.tk, sizeof(int32_t), &data));
    int32_t *count = data;
    for (int32_t j = 0; j < k->p.tk; j++)
        count[j] = filk_st_between(st, 0, 5);
    k->a.count = count;
    return FIL_OK;
}

/* space: two rows of mk numbers, and a mask row behind them. */
static void compare_row(filk_st *st, const select_case *k, int32_t h, int32_t u, double *space)
{
    const filk_select_problem *p     = &k->p;
    const int64_t              row   = (int64_t)h * p->mq + u;
    const int32_t              words = (p->mk + 31) / 32;
    double                    *cond  = space + p->mk;
    uint32_t                  *want  = (uint32_t *)(void *)(space + 2 * (int64_t)p->mk);
    filk_select_oracle_row(p, &k->a, h, u, space, cond);
    for (int32_t v = 0; v < p->mk; v++)
        filk_st_value(st, "score", (int64_t[]){h, u, v}, (double)k->a.score[row * p->mk + v],
                      space[v],
                      0x1p-24 * (p->head_dim / 8.0 * cond[v] + 32.0 * fabs(space[v])) + TINY);
    filk_select_top(k->a.score + row * p->mk, p->mk, p->keep, want);
    for (int32_t w = 0; w < words; w++)
        filk_st_value(st, "mask", (int64_t[]){h, u, w}, (double)k->a.mask[row * words + w],
                      (double)want[w], 0.0);
}

fil_status filk_selftest_select(filk_st *st)
{
    for (size_t i = 0; i < sizeof corners / sizeof corners[0]; i++) {
        const corner *c = &corners[i];
        select_case   k;
        void         *space;
        int           ran;
        FIL_TRY(filk_st_begin(st, c->name, 700 + i));
        FIL_TRY(make(st, c, &k));
        if (st->row->refuse(&k.p) != NULL) continue;
        FIL_TRY(filk_st_alloc(st, 3 * (size_t)c->mk, sizeof(double), &space));
        FIL_TRY(filk_st_run(st, &k.p, &k.a, &ran));
        for (int32_t h = 0; ran && h < c->heads; h++)
            for (int32_t u = 0; u < c->mq; u++)
                compare_row(st, &k, h, u, space);
    }
    return FIL_OK;
}
