/* sparse/recall_bound.c: a lower bound of recall from scores (sparse/recall_bound.h). */
#include <math.h>

#include "sparse/recall_bound.h"

static int is_kept(const uint32_t *kept, int32_t b)
{
    return (int)(kept[b / 32] >> (b % 32) & 1u);
}

static int32_t count_kept(const uint32_t *kept, int32_t mk)
{
    int32_t n = 0;
    for (int32_t b = 0; b < mk; b++)
        n += is_kept(kept, b);
    return n;
}

double fili_recall_gap(const float *score, const uint32_t *kept, int32_t mk)
{
    double sum[2] = {0.0, 0.0}; /* left, kept */
    for (int32_t b = 0; b < mk; b++)
        sum[is_kept(kept, b)] += (double)score[b];
    const int32_t n = count_kept(kept, mk);
    if (isnan(sum[0] + sum[1])) return (double)NAN;
    if (n == 0) return -(double)INFINITY;
    if (sum[0] == 0.0) return (double)INFINITY;
    return log(sum[1] / n) - log(sum[0] / (mk - n));
}

double fili_recall_error(const float *score, const float *mass, const uint32_t *kept, int32_t mk)
{
    double most  = -(double)INFINITY; /* of the blocks left out */
    double least = (double)INFINITY;  /* of the kept ones */
    for (int32_t b = 0; b < mk; b++) {
        if (isnan(score[b]) || isnan(mass[b])) return (double)NAN;
        if (score[b] == 0.0f && mass[b] == 0.0f) continue;
        const double x = log((double)mass[b]) - log((double)score[b]);
        if (is_kept(kept, b) && x < least) least = x;
        if (!is_kept(kept, b) && x > most) most = x;
    }
    return most > least ? 0.5 * (most - least) : 0.0;
}

double fili_recall_least(int32_t n_kept, int32_t mk, double gap, double error)
{
    if (isnan(gap) || isnan(error)) return (double)NAN;
    if (n_kept == mk) return 1.0;
    if (n_kept == 0 || isinf(error)) return 0.0;
    return 1.0 / (1.0 + (double)(mk - n_kept) / n_kept * exp(2.0 * error - gap));
}

static double least_of_row(const fili_recall_head *h, int32_t u, double error)
{
    const float    *score = h->score + (int64_t)u * h->mk;
    const uint32_t *kept  = h->kept + (int64_t)u * fili_mask_words(h->mk);
    return fili_recall_least(count_kept(kept, h->mk), h->mk, fili_recall_gap(score, kept, h->mk),
                             error);
}

static double largest_error(const fili_recall_head *h)
{
    double most = 0.0;
    for (int32_t i = 0; i < h->n_rows; i++) {
        const int32_t u = h->row[i];
        const double  e =
            fili_recall_error(h->score + (int64_t)u * h->mk, h->mass + (int64_t)i * h->mk,
                              h->kept + (int64_t)u * fili_mask_words(h->mk), h->mk);
        if (!(e <= most)) most = e;
    }
    return most;
}

/* Below x in f32 too, by far more than sums in f64 are off. */
static float rounded_down(double x)
{
    return (float)(x * (1.0 - 0x1p-20));
}

float fili_recall_bound(const fili_recall_head *head, float *measured)
{
    const double error = largest_error(head);
    double       sum   = 0.0;
    double       own   = 0.0;
    double       mine  = 0.0;
    double       all   = 0.0;
    for (int32_t u = 0; u < head->mq; u++) {
        sum += head->weight[u] * least_of_row(head, u, error);
        all += head->weight[u];
    }
    for (int32_t i = 0; measured != NULL && i < head->n_rows; i++) {
        own += head->weight[head->row[i]] * least_of_row(head, head->row[i], error);
        mine += head->weight[head->row[i]];
    }
    if (measured != NULL) *measured = rounded_down(own / mine);
    return rounded_down(sum / all);
}
