/* sparse/row_profile.c: masses and errors of sampled rows (sparse/row_profile.h).
 *
 * A task is one row of one head. Logits first; then, block by block, what the block gives to the
 * numerator and denominator if it is kept and if it is pooled is added to the block's level. Sums
 * over levels from below and above are then the outputs of all levels. The logit of a pooled key is
 * the mean of the logits of its block, as the product is linear in the key.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "sparse/row_profile.h"

enum { MOST_DIM = 128, LANES = 8 };

/* ---- sampling ------------------------------------------------------------------------------- */

void fili_row_sample(uint64_t seed, int32_t tokens, int32_t n, int32_t *row)
{
    for (int32_t i = 0; i < n; i++) {
        const int64_t begin = (int64_t)i * tokens / n;
        const int64_t end   = ((int64_t)i + 1) * tokens / n;
        const int64_t draw  = fili_philox_u32(seed, 0, (uint64_t)i);
        row[i]              = (int32_t)(begin + draw * (end - begin) / ((int64_t)1 << 32));
    }
}

/* ---- a worker's desk ------------------------------------------------------------------------ */

/* Numerator [D] and, behind it, denominator of one level. */
typedef struct desk {
    float  *weight; /* [N] logits, then exp(logit - most) */
    double *mass;   /* [m] */
    double *kept;   /* [K, D + 1] */
    double *pooled; /* [K, D + 1] */
} desk;

static size_t doubles(int32_t m, int32_t head_dim, int32_t n_levels)
{
    return (size_t)m + 2 * (size_t)n_levels * ((size_t)head_dim + 1);
}

size_t fili_row_scratch(int32_t n, int32_t m, int32_t head_dim, int32_t n_levels)
{
    const size_t bytes =
        doubles(m, head_dim, n_levels) * sizeof(double) + (size_t)n * sizeof(float);
    return (bytes + FILI_ALIGN - 1) / FILI_ALIGN * FILI_ALIGN;
}

static desk desk_of(const fili_row_args *a, int32_t worker)
{
    const int32_t  n    = fili_blocks_tokens(a->blocks);
    const size_t   size = fili_row_scratch(n, a->m, a->head_dim, a->n_levels);
    const size_t   sums = (size_t)a->n_levels * ((size_t)a->head_dim + 1);
    unsigned char *at   = (unsigned char *)a->scratch + (size_t)worker * size;
    desk           d    = {.mass = (double *)(void *)at};
    d.kept              = d.mass + a->m;
    d.pooled            = d.kept + sums;
    d.weight            = (float *)(void *)(d.pooled + sums);
    memset(d.mass, 0, doubles(a->m, a->head_dim, a->n_levels) * sizeof(double));
    return d;
}

/* ---- rows of the inputs --------------------------------------------------------------------- */

static float wide(uint16_t bf16)
{
    const uint32_t bits = (uint32_t)bf16 << 16;
    float          value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The row as f32: where it lies, or converted into `room`. */
static const float *row_of(const fili_row_args *a, const filk_attn_view *x, int64_t token,
                           int64_t h, float room[MOST_DIM])
{
    const int64_t at = token * x->stride_n + h * x->stride_h;
    if (a->dtype == FIL_F32) return (const float *)x->data + at;
    const uint16_t *from = (const uint16_t *)x->data + at;
    for (int32_t d = 0; d < a->head_dim; d++)
        room[d] = wide(from[d]);
    return room;
}

/* head_dim is a multiple of LANES. */
static float product(const float *x, const float *y, int32_t n)
{
    float sum[LANES] = {0.0f};
    float all        = 0.0f;
    for (int32_t d = 0; d < n; d += LANES)
        for (int32_t i = 0; i < LANES; i++)
            sum[i] += x[d + i] * y[d + i];
    for (int32_t i = 0; i < LANES; i++)
        all += sum[i];
    return all;
}

/* ---- a row ---------------------------------------------------------------------------------- */

static float logits(const fili_row_args *a, int64_t token, int64_t h, float *logit)
{
    const int32_t n                 = fili_blocks_tokens(a->blocks);
    float         room[2][MOST_DIM] = {{0.0f}};
    const float  *q                 = row_of(a, &a->q, token, h, room[0]);
    float         most              = -INFINITY;
    for (int32_t j = 0; j < n; j++) {
        logit[j] = a->scale * product(q, row_of(a, &a->k, j, h, room[1]), a->head_dim);
        most     = logit[j] > most ? logit[j] : most;
    }
    return most;
}

/* Block b: its mass; what it gives if it is kept, and if it is pooled, to `kept` and `pooled`. */
static double add_block(const fili_row_args *a, const desk *d, int32_t b, int64_t h, float most,
                        double *kept, double *pooled)
{
    const int32_t begin          = a->blocks->offset[b];
    const int32_t end            = a->blocks->offset[b + 1];
    const double  n              = (double)(end - begin);
    float         room[MOST_DIM] = {0.0f};
    float         sum[MOST_DIM]  = {0.0f};
    float         mean[MOST_DIM] = {0.0f};
    double        mass           = 0.0;
    double        logit          = 0.0;
    for (int32_t j = begin; j < end; j++) {
        const float *v = row_of(a, &a->v, j, h, room);
        const float  p = expf(d->weight[j] - most);
        logit += (double)d->weight[j];
        mass += (double)p;
        for (int32_t i = 0; i < a->head_dim; i++) {
            sum[i] += p * v[i];
            mean[i] += v[i];
        }
    }
    const double w = a->tail ? n * exp(logit / n - (double)most) : 0.0;
    for (int32_t i = 0; i < a->head_dim; i++) {
        kept[i] += (double)sum[i];
        pooled[i] += w * ((double)mean[i] / n);
    }
    kept[a->head_dim] += mass;
    pooled[a->head_dim] += w;
    return mass;
}

/* kept[k] becomes the sum of levels up to k, pooled[k] that of the levels above it. */
static void sum_levels(const fili_row_args *a, const desk *d)
{
    const size_t width = (size_t)a->head_dim + 1;
    for (int32_t k = 1; k < a->n_levels; k++)
        for (size_t i = 0; i < width; i++)
            d->kept[(size_t)k * width + i] += d->kept[(size_t)(k - 1) * width + i];
    for (size_t i = 0; i < width; i++) {
        double above = 0.0;
        for (int32_t k = a->n_levels - 1; k >= 0; k--) {
            const double own                 = d->pooled[(size_t)k * width + i];
            d->pooled[(size_t)k * width + i] = above;
            above += own;
        }
    }
}

static void measure(const fili_row_args *a, const desk *d, double *error, double *energy)
{
    const int32_t width = a->head_dim + 1;
    const double *all   = d->kept + (int64_t)(a->n_levels - 1) * width;
    *energy             = 0.0;
    for (int32_t i = 0; i < a->head_dim; i++)
        *energy += all[i] / all[a->head_dim] * (all[i] / all[a->head_dim]);
    for (int32_t k = 0; k < a->n_levels; k++) {
        const double *kept   = d->kept + (int64_t)k * width;
        const double *pooled = d->pooled + (int64_t)k * width;
        const double  weight = kept[a->head_dim] + pooled[a->head_dim];
        error[k]             = 0.0;
        for (int32_t i = 0; i < a->head_dim; i++) {
            const double out  = weight > 0.0 ? (kept[i] + pooled[i]) / weight : 0.0;
            const double miss = out - all[i] / all[a->head_dim];
            error[k] += miss * miss;
        }
    }
}

static fil_status profile_row(void *arg, int64_t task, int32_t worker)
{
    const fili_row_args *a     = arg;
    const int64_t        h     = task / a->n_rows;
    const int32_t        token = a->row[task % a->n_rows];
    const desk           d     = desk_of(a, worker);
    const int32_t        u     = fili_blocks_find(a->blocks, token) / a->per;
    const uint8_t       *level = a->map + (h * a->m + u) * a->m;
    const int64_t        width = a->head_dim + 1;
    const float          most  = logits(a, token, h, d.weight);
    double               total = 0.0;
    for (int32_t b = 0; b < a->blocks->m; b++) {
        const int64_t at   = level[b / a->per] * width;
        const double  mass = add_block(a, &d, b, h, most, d.kept + at, d.pooled + at);
        d.mass[b / a->per] += mass;
        total += mass;
    }
    if (!isfinite(total)) return FIL_E_NONFINITE;
    for (int32_t b = 0; b < a->m; b++)
        a->mass[task * a->m + b] = (float)(d.mass[b] / total);
    sum_levels(a, &d);
    measure(a, &d, a->error + task * a->n_levels, a->energy + task);
    return isfinite(a->energy[task]) ? FIL_OK : FIL_E_NONFINITE;
}

fil_status fili_row_profile(fil_ctx *ctx, const fili_row_args *args)
{
    fili_row_args mine = *args;
    FIL_CHECK(ctx, args->head_dim % LANES == 0 && args->head_dim <= MOST_DIM,
              "profiles of rows: head_dim is %d; expected a multiple of %d, at most %d",
              (int)args->head_dim, LANES, MOST_DIM);
    return fili_pool_run(ctx, "profiles of rows", (int64_t)args->heads * args->n_rows, profile_row,
                         &mine);
}
