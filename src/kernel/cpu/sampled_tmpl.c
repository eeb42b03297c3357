/* kernel/cpu/sampled_tmpl.c: attention of a few rows in parts (kernel/sampled.h). Included, not
 * compiled: the including file brings the vector operations and names the row (SAMPLED_STEM).
 *
 * Lanes are query rows in the products with keys, channels in the products with values; a block of
 * keys or values is widened to f32 once for all rows. Register tiles of 6 keys by 2 vectors of
 * rows, and of 4 rows by 2 vectors of channels (Goto and van de Geijn 2008). Three passes: logits
 * and maxima, shares and parts, division by the sums.
 */
#include <math.h>
#include <string.h>

#include "kernel/cpu/activation.h"
#include "kernel/cpu/attn_panels.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

enum { ROWS = FILK_SAMPLED, COLS = 2 * VF_LANES, KEYS = 6, DEEP = 4, MAX_D = 128 };

_Static_assert(ROWS % COLS == 0 && ROWS % DEEP == 0, "rows fill the tiles");

typedef struct bench {
    float panel[ROWS / COLS][MAX_D][COLS]; /* queries */
    float block[FILK_BLOCK + KEYS][MAX_D]; /* of keys or values, widened; row by row */
    float top[ROWS];
    float sum[ROWS];
} bench;

typedef struct run_state {
    const filk_sampled_problem *p;
    const filk_sampled_args    *a;
    bench                      *b;
} run_state;

/* ---- loading -------------------------------------------------------------------------------- */

INLINE void widen_row(const run_state *s, const filk_attn_view *x, int64_t token, float *to)
{
    const int64_t at = token * x->stride_n + s->a->head * x->stride_h;
    for (int32_t d = 0; d < s->p->head_dim; d += VF_LANES) {
        if (s->p->dtype == FIL_BF16)
            vf_store(to + d, vf_load_bf16((const uint16_t *)x->data + at + d));
        else
            vf_store(to + d, vf_load((const float *)x->data + at + d));
    }
}

INLINE void widen_block(const run_state *s, const filk_attn_view *x, int32_t b)
{
    for (int32_t j = s->p->offset[b]; j < s->p->offset[b + 1]; j++)
        widen_row(s, x, j, s->b->block[j - s->p->offset[b]]);
}

INLINE void pack_queries(const run_state *s)
{
    for (int32_t r = 0; r < ROWS; r++) {
        float q[MAX_D];
        widen_row(s, &s->a->q, s->a->token[r], q);
        for (int32_t d = 0; d < s->p->head_dim; d++)
            s->b->panel[r / COLS][d][r % COLS] = q[d];
        s->b->top[r] = -INFINITY;
        s->b->sum[r] = 0.0f;
    }
}

/* ---- logits --------------------------------------------------------------------------------- */

/* KEYS rows of the block, of which `n` are written, against COLS queries from c on. */
INLINE void key_tile(const run_state *s, int32_t at, int32_t n, int32_t c, float *out)
{
    const float *key   = s->b->block[at];
    const float *panel = s->b->panel[c / COLS][0];
    vf           sum[KEYS][2];
    vf           top[2] = {vf_load(s->b->top + c), vf_load(s->b->top + c + VF_LANES)};
    for (int r = 0; r < KEYS; r++)
        sum[r][0] = sum[r][1] = vf_set1(0.0f);
    for (int32_t d = 0; d < s->p->head_dim; d++) {
        const vf low  = vf_load(panel + d * COLS);
        const vf high = vf_load(panel + d * COLS + VF_LANES);
        for (int r = 0; r < KEYS; r++) {
            const vf x = vf_set1(key[r * MAX_D + d]);
            sum[r][0]  = vf_fma(x, low, sum[r][0]);
            sum[r][1]  = vf_fma(x, high, sum[r][1]);
        }
    }
    for (int r = 0; r < KEYS && r < n; r++) {
        vf_store(out + r * ROWS + c, sum[r][0]);
        vf_store(out + r * ROWS + c + VF_LANES, sum[r][1]);
        top[0] = vf_max(sum[r][0], top[0]);
        top[1] = vf_max(sum[r][1], top[1]);
    }
    vf_store(s->b->top + c, top[0]);
    vf_store(s->b->top + c + VF_LANES, top[1]);
}

static void logits_of_block(const run_state *s, int32_t b)
{
    const int32_t first = s->p->offset[b];
    const int32_t n     = s->p->offset[b + 1] - first;
    widen_block(s, &s->a->k, b);
    for (int32_t at = 0; at < n; at += KEYS)
        for (int32_t c = 0; c < ROWS; c += COLS)
            key_tile(s, at, n - at, c, s->a->share + (int64_t)(first + at) * ROWS);
}

/* ---- shares and parts ----------------------------------------------------------------------- */

/* exp(scale (x - top)), in place, and their sum. */
static void shares_of_block(const run_state *s, int32_t b)
{
    const vf scale = vf_set1(s->a->scale * LOG2E);
    for (int32_t c = 0; c < ROWS; c += VF_LANES) {
        const vf top = vf_load(s->b->top + c);
        vf       sum = vf_set1(0.0f);
        for (int32_t j = s->p->offset[b]; j < s->p->offset[b + 1]; j++) {
            float   *at = s->a->share + (int64_t)j * ROWS + c;
            const vf x  = exp2_of((vf_load(at) - top) * scale);
            vf_store(at, x);
            sum = sum + x;
        }
        vf_store(s->b->sum + c, vf_load(s->b->sum + c) + sum);
    }
}

INLINE void value_tile(const run_state *s, const float *share, int32_t n, int32_t d, float *out)
{
    const float *value = s->b->block[0] + d;
    vf           sum[DEEP][2];
    for (int r = 0; r < DEEP; r++)
        sum[r][0] = sum[r][1] = vf_set1(0.0f);
    for (int32_t j = 0; j < n; j++) {
        const vf low  = vf_load(value + j * MAX_D);
        const vf high = vf_load(value + j * MAX_D + VF_LANES);
        for (int r = 0; r < DEEP; r++) {
            const vf x = vf_set1(share[j * ROWS + r]);
            sum[r][0]  = vf_fma(x, low, sum[r][0]);
            sum[r][1]  = vf_fma(x, high, sum[r][1]);
        }
    }
    for (int r = 0; r < DEEP; r++) {
        vf_store(out + r * s->p->head_dim + d, sum[r][0]);
        vf_store(out + r * s->p->head_dim + d + VF_LANES, sum[r][1]);
    }
}

static void parts_of_block(const run_state *s, int32_t b)
{
    const int32_t n     = s->p->offset[b + 1] - s->p->offset[b];
    const float  *share = s->a->share + (int64_t)s->p->offset[b] * ROWS;
    float        *part  = s->a->part + (int64_t)b * ROWS * s->p->head_dim;
    widen_block(s, &s->a->v, b);
    for (int32_t r = 0; r < ROWS; r += DEEP)
        for (int32_t d = 0; d < s->p->head_dim; d += COLS)
            value_tile(s, share + r, n, d, part + (int64_t)r * s->p->head_dim);
}

/* ---- division ------------------------------------------------------------------------------- */

static void divide(const run_state *s)
{
    const int32_t n = s->p->offset[s->p->m];
    const int32_t D = s->p->head_dim;
    for (int32_t r = 0; r < ROWS; r++) {
        s->a->lse[r] = s->b->top[r] * s->a->scale + logf(s->b->sum[r]);
        s->b->sum[r] = 1.0f / s->b->sum[r];
    }
    for (int64_t j = 0; j < n; j++)
        for (int32_t c = 0; c < ROWS; c += VF_LANES) {
            float *at = s->a->share + j * ROWS + c;
            vf_store(at, vf_load(at) * vf_load(s->b->sum + c));
        }
    for (int64_t i = 0; i < (int64_t)s->p->m * ROWS; i++) {
        const vf factor = vf_set1(s->b->sum[i % ROWS]);
        float   *at     = s->a->part + i * D;
        for (int32_t d = 0; d < D; d += VF_LANES)
            vf_store(at + d, vf_load(at + d) * factor);
    }
}

/* ---- the row -------------------------------------------------------------------------------- */

const char *JOIN(SAMPLED_STEM, _refuse)(const void *problem)
{
    const filk_sampled_problem *p = problem;
    if (p->head_dim != 64 && p->head_dim != 128) return "takes head dim 64 or 128";
    return NULL;
}

size_t JOIN(SAMPLED_STEM, _workspace)(const void *problem, int32_t n_threads)
{
    (void)problem;
    (void)n_threads;
    return sizeof(bench);
}

fil_status JOIN(SAMPLED_STEM, _run)(fil_ctx *ctx, const void *problem, const void *args,
                                    void *workspace)
{
    const run_state s = {.p = problem, .a = args, .b = workspace};
    (void)ctx;
    memset(s.b->block, 0, sizeof s.b->block); /* rows beyond a short block are read */
    pack_queries(&s);
    for (int32_t b = 0; b < s.p->m; b++)
        logits_of_block(&s, b);
    for (int32_t r = 0; r < ROWS; r++)
        if (s.b->top[r] == -INFINITY) s.b->top[r] = 0.0f;
    for (int32_t b = 0; b < s.p->m; b++) {
        shares_of_block(&s, b);
        parts_of_block(&s, b);
    }
    divide(&s);
    return FIL_OK;
}
