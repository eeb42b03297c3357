/* engine/probe_measure.c: recall and errors of a probe (probe.h). Sums in f64, in a fixed order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/probe.h"
#include "sparse/sink_mass.h"

/* ---- recall --------------------------------------------------------------------------------- */

/* Kept mass of a query block over its number of tokens. */
static double block_recall(const fili_probe *p, int32_t h, int32_t q)
{
    const fili_policy_choice *c    = &p->choice;
    const int32_t             m    = p->policy->blocks.m;
    const float              *mass = p->dense_mass.mass + ((int64_t)h * m + q) * m;
    double                    kept = 0.0;
    double                    all  = 0.0;
    for (int32_t k = 0; k < m; k++) {
        all += (double)mass[k];
        if (c->mask == NULL || fili_mask_get(c->mask, h, q, k)) kept += (double)mass[k];
    }
    return (kept + fili_sink_mass(&p->call, c, p->dense_mass.lse, h, q)) / all;
}

/* ---- figures -------------------------------------------------------------------------------- */

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Fills the recalls from those of n query blocks, which get sorted. The 5th percentile is the
 * smallest value that at least 5 % of the blocks do not exceed. One NaN makes both NaN. */
static void spread(double *recall, int64_t n, fil_probe_figures *f)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += recall[i];
    f->recall_min = f->recall_p5 = (double)NAN;
    if (isnan(sum)) return;
    qsort(recall, (size_t)n, sizeof *recall, rising);
    f->recall_min = recall[0];
    f->recall_p5  = recall[(n - 1) / 20];
}

typedef struct error_sum {
    double error, norm, peak;
} error_sum;

static void add_error(const fili_probe *p, int32_t h, error_sum *to)
{
    const int64_t d   = p->setup.head_dim;
    const int64_t row = d * p->setup.heads;
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t e = 0; e < d; e++) {
            const double want = (double)p->want[i * row + h * d + e];
            const double diff = (double)p->got[i * row + h * d + e] - want;
            to->error += diff * diff;
            to->norm += want * want;
            if (fabs(want) > to->peak) to->peak = fabs(want);
        }
}

static void take_error(const error_sum *s, int64_t values, fil_probe_figures *f)
{
    const double mean = s->error / (double)values;
    f->rel_l2         = s->error == 0.0 ? 0.0 : sqrt(s->error / s->norm); /* infinite over 0 */
    f->psnr           = mean == 0.0 ? (double)INFINITY : 10.0 * log10(s->peak * s->peak / mean);
}

/* Density of head h, counted from its bits. */
static fil_status head_density(fili_probe *p, int32_t h, double *density)
{
    const fili_policy_choice *c = &p->choice;
    const fili_blocks        *b = &p->policy->blocks;
    uint64_t                  pairs;
    *density = 1.0;
    if (c->mask == NULL) return FIL_OK;
    fili_mask one = *c->mask;
    one.heads     = 1;
    one.bits      = fili_mask_row(c->mask, h, 0);
    FIL_TRY(fili_mask_kept(&one, b, b, &pairs));
    for (int32_t q = 0; q < b->m && c->n_sinks > 0; q++)
        pairs += (uint64_t)fili_lone_sinks(b, c, h, q) * (uint64_t)fili_blocks_valid(b, q);
    *density = (double)pairs / ((double)p->n * (double)p->n);
    return FIL_OK;
}

/* recall[m] of head h is left in `recall`. */
static fil_status one_head(fili_probe *p, int32_t h, double *recall, error_sum *all,
                           fil_probe_figures *f)
{
    const fili_blocks *b   = &p->policy->blocks;
    error_sum          own = {.error = 0.0};
    *f                     = (fil_probe_figures){.recall_bound = (double)NAN};
    if (p->choice.recall_bound != NULL) f->recall_bound = (double)p->choice.recall_bound[h];
    FIL_TRY(head_density(p, h, &f->density));
    for (int32_t q = 0; q < b->m; q++) {
        recall[q] = block_recall(p, h, q);
        f->recall += recall[q] * fili_blocks_valid(b, q) / (double)p->n;
    }
    add_error(p, h, &own);
    take_error(&own, p->n * p->setup.head_dim, f);
    all->error += own.error;
    all->norm += own.norm;
    if (own.peak > all->peak) all->peak = own.peak;
    return FIL_OK;
}

fil_status fili_probe_measure(fili_probe *p, fil_probe_result *result, fil_probe_figures *heads,
                              int32_t max_heads)
{
    const int32_t        m   = p->policy->blocks.m;
    const int32_t        h_n = p->setup.heads;
    error_sum            all = {.error = 0.0};
    fil_probe_figures   *sum = &result->all;
    fil_probe_figures    f;
    void                *block;
    const int64_t        row = (int64_t)h_n * p->setup.head_dim;
    const filk_attn_view q   = {p->q32, row, p->setup.head_dim};
    const filk_attn_view k   = {p->k32, row, p->setup.head_dim};
    FIL_TRY(fili_block_mass_run(&p->dense_mass, q, k, p->call.scale));
    FIL_TRY(fili_arena_calloc(&p->arena, (size_t)h_n * (size_t)m, 2 * sizeof(double), &block));
    double *recall = block;
    double *sorted = recall + (int64_t)h_n * m;
    *sum           = (fil_probe_figures){.recall_bound = (double)NAN};
    for (int32_t h = 0; h < h_n; h++) {
        FIL_TRY(one_head(p, h, recall + (int64_t)h * m, &all, &f));
        memcpy(sorted, recall + (int64_t)h * m, (size_t)m * sizeof *sorted);
        spread(sorted, m, &f);
        sum->density += f.density / h_n;
        sum->recall += f.recall / h_n;
        if (h == 0 || isnan(f.recall_bound) || f.recall_bound < sum->recall_bound)
            sum->recall_bound = f.recall_bound;
        if (h < max_heads) heads[h] = f;
    }
    spread(recall, (int64_t)h_n * m, sum);
    take_error(&all, fili_probe_elements(p), sum);
    return FIL_OK;
}
