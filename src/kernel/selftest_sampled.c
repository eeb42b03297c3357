/* kernel/selftest_sampled.c: the self-test of the rows of kernel/sampled.h (kernel/selftest.h).
 *
 * Against the definition in f64. Tolerance of a share: e share (D/4 (w + mean w) + 64), with w_j =
 * scale sum |q_d k_jd| the condition of a logit; of a part the sum of its shares' times |v|.
 */
#include <math.h>

#include "kernel/sampled.h"
#include "kernel/selftest.h"

#define TINY 1e-30

typedef struct corner {
    const char *name;
    fil_dtype   dtype;
    int32_t     head_dim, n;
} corner;

static const corner corners[] = {
    {"bf16 rows over ragged blocks", FIL_BF16, 128, 300},
    {"f32 rows over ragged blocks", FIL_F32, 64, 170},
};

enum { HEADS = 2, HEAD = 1 };

typedef struct sampled_case {
    filk_sampled_problem p;
    filk_sampled_args    a;
    int32_t              n;
    double              *share, *tolerance; /* [n] of one row */
} sampled_case;

static fil_status take(filk_st *st, fil_dtype dtype, int64_t count, float **out)
{
    void *block;
    FIL_TRY(filk_st_output(st, dtype, count, &block));
    *out = block;
    return FIL_OK;
}

static fil_status make(filk_st *st, const corner *c, sampled_case *k)
{
    const int64_t   row  = (int64_t)HEADS * c->head_dim;
    filk_attn_view *x[3] = {&k->a.q, &k->a.k, &k->a.v};
    int32_t        *offset;
    void           *data;
    *k         = (sampled_case){.p = {.head_dim = c->head_dim, .dtype = c->dtype}, .n = c->n};
    k->a.head  = HEAD;
    k->a.scale = 1.0f / sqrtf((float)c->head_dim);
    FIL_TRY(filk_st_runs(st, c->n, &offset, &k->p.m));
    k->p.offset = offset;
    for (int i = 0; i < 3; i++) {
        FIL_TRY(filk_st_normal(st, c->dtype, c->n * row, i == 0 ? 2.0 : 1.0, &data));
        *x[i] = (filk_attn_view){.data = data, .stride_n = row, .stride_h = c->head_dim};
    }
    FIL_TRY(filk_st_alloc(st, FILK_SAMPLED, sizeof(int32_t), &data));
    int32_t *token = data;
    for (int32_t r = 0; r < FILK_SAMPLED; r++)
        token[r] = filk_st_between(st, 0, c->n - 1);
    k->a.token = token;
    FIL_TRY(take(st, FIL_F32, (int64_t)c->n * FILK_SAMPLED, &k->a.share));
    FIL_TRY(take(st, FIL_F32, (int64_t)k->p.m * FILK_SAMPLED * c->head_dim, &k->a.part));
    FIL_TRY(take(st, FIL_F32, FILK_SAMPLED, &k->a.lse));
    FIL_TRY(filk_st_alloc(st, 2 * (size_t)c->n, sizeof(double), &data));
    k->share     = data;
    k->tolerance = k->share + c->n;
    return FIL_OK;
}

static double get(const sampled_case *k, const filk_attn_view *x, int64_t token, int32_t d)
{
    return filk_st_get(k->p.dtype, x->data, token * x->stride_n + HEAD * x->stride_h + d);
}

/* Shares of row r and their tolerances; returns the log of the sum. */
static double share_out(const sampled_case *k, int32_t r)
{
    const double scale = (double)k->a.scale;
    double       top   = -(double)INFINITY;
    double       sum   = 0.0;
    double       mean  = 0.0;
    for (int32_t j = 0; j < k->n; j++) {
        k->share[j] = k->tolerance[j] = 0.0;
        for (int32_t d = 0; d < k->p.head_dim; d++) {
            const double x = scale * get(k, &k->a.q, k->a.token[r], d) * get(k, &k->a.k, j, d);
            k->share[j] += x;
            k->tolerance[j] += fabs(x);
        }
        top = fmax(top, k->share[j]);
    }
    for (int32_t j = 0; j < k->n; j++)
        sum += exp(k->share[j] - top);
    for (int32_t j = 0; j < k->n; j++) {
        k->share[j] = exp(k->share[j] - top) / sum;
        mean += k->share[j] * k->tolerance[j];
    }
    for (int32_t j = 0; j < k->n; j++)
        k->tolerance[j] =
            0x1p-24 * k->share[j] * (k->p.head_dim / 4.0 * (k->tolerance[j] + mean) + 64.0);
    return top + log(sum);
}

static void compare_row(filk_st *st, const sampled_case *k, int32_t r)
{
    const double lse = share_out(k, r);
    filk_st_value(st, "lse", (int64_t[]){r, 0, 0}, (double)k->a.lse[r], lse,
                  1e-5 * (1.0 + fabs(lse)));
    for (int32_t j = 0; j < k->n; j++)
        filk_st_value(st, "share", (int64_t[]){r, j, 0},
                      (double)k->a.share[(int64_t)j * FILK_SAMPLED + r], k->share[j],
                      k->tolerance[j] + TINY);
    for (int32_t b = 0; b < k->p.m; b++)
        for (int32_t d = 0; d < k->p.head_dim; d++) {
            const int64_t at   = ((int64_t)b * FILK_SAMPLED + r) * k->p.head_dim + d;
            double        sum  = 0.0;
            double        cond = TINY;
            for (int32_t j = k->p.offset[b]; j < k->p.offset[b + 1]; j++) {
                const double v = get(k, &k->a.v, j, d);
                sum += k->share[j] * v;
                cond += (k->tolerance[j] + 0x1p-24 * 64.0 * k->share[j]) * fabs(v);
            }
            filk_st_value(st, "part", (int64_t[]){b, r, d}, (double)k->a.part[at], sum, cond);
        }
}

fil_status filk_selftest_sampled(filk_st *st)
{
    for (size_t i = 0; i < sizeof corners / sizeof corners[0]; i++) {
        sampled_case k;
        int          ran;
        FIL_TRY(filk_st_begin(st, corners[i].name, 800 + i));
        FIL_TRY(make(st, &corners[i], &k));
        if (st->row->refuse(&k.p) != NULL) continue;
        FIL_TRY(filk_st_run(st, &k.p, &k.a, &ran));
        for (int32_t r = 0; ran && r < FILK_SAMPLED; r += 7)
            compare_row(st, &k, r);
    }
    return FIL_OK;
}
