/* sparse/drift.c: signatures of q and k, and their distance (sparse/drift.h). */
#include <math.h>
#include <string.h>

#include "sparse/drift.h"
#include "tensor/convert.h"

enum { PLACES_OF_TASK = 4, MAX_D = 128 };

void fili_drift_init(fili_drift *out, fil_ctx *ctx, int32_t n, int32_t heads, int32_t head_dim,
                     fil_dtype dtype)
{
    const int32_t step = (n + FILI_DRIFT_PLACES - 1) / FILI_DRIFT_PLACES;
    const int32_t read = step < FILI_DRIFT_TOKENS ? step : FILI_DRIFT_TOKENS;
    *out               = (fili_drift){.ctx      = ctx,
                                      .n        = n,
                                      .heads    = heads,
                                      .head_dim = head_dim,
                                      .dtype    = dtype,
                                      .places   = (n - read) / step + 1,
                                      .step     = step,
                                      .read     = read};
}

static size_t floats_of_one(const fili_drift *d)
{
    return (size_t)d->places * (size_t)d->heads * (size_t)d->head_dim;
}

static fili_range place_of(const fili_drift *d, int64_t place)
{
    return (fili_range){place * d->step, place * d->step + d->read};
}

size_t fili_drift_floats(const fili_drift *drift)
{
    return 2 * floats_of_one(drift);
}

typedef struct run_state {
    const fili_drift *d;
    filk_attn_view    x[2];
    float            *to;
} run_state;

static void add_token(const fili_drift *d, const filk_attn_view *x, int64_t token, int32_t h,
                      float *sum)
{
    const size_t  size = d->dtype == FIL_BF16 ? 2 : 4;
    const int64_t at   = token * x->stride_n + h * x->stride_h;
    float         row[MAX_D];
    fili_convert_row(fili_convert_select(d->ctx->isa), FIL_F32, row, d->dtype,
                     (const char *)x->data + at * (int64_t)size, (size_t)d->head_dim);
    for (int32_t i = 0; i < d->head_dim; i++)
        sum[i] += row[i];
}

static fil_status sign_places(void *arg, int64_t task, int32_t worker)
{
    const run_state  *s     = arg;
    const fili_drift *d     = s->d;
    const fili_range  range = fili_task_range(d->places, PLACES_OF_TASK, task);
    (void)worker;
    for (int which = 0; which < 2; which++)
        for (int64_t p = range.begin; p < range.end; p++) {
            const fili_range tokens = place_of(d, p);
            for (int32_t h = 0; h < d->heads; h++) {
                float *sum = s->to + (size_t)which * floats_of_one(d) +
                             ((size_t)p * (size_t)d->heads + (size_t)h) * (size_t)d->head_dim;
                memset(sum, 0, sizeof(float) * (size_t)d->head_dim);
                for (int64_t i = tokens.begin; i < tokens.end; i++)
                    add_token(d, &s->x[which], i, h, sum);
            }
        }
    return FIL_OK;
}

fil_status fili_drift_sign(const fili_drift *drift, filk_attn_view q, filk_attn_view k,
                           float *signature)
{
    run_state s = {.d = drift, .x = {q, k}, .to = signature};
    return fili_pool_run(drift->ctx, "drift", fili_task_count(drift->places, PLACES_OF_TASK),
                         sign_places, &s);
}

static double distance(const float *from, const float *to, size_t n)
{
    double off  = 0.0;
    double size = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)to[i] - (double)from[i];
        off += x * x;
        size += (double)from[i] * (double)from[i];
    }
    return off == 0.0 ? 0.0 : sqrt(off / size);
}

double fili_drift_between(const fili_drift *drift, const float *from, const float *to)
{
    const size_t n = floats_of_one(drift);
    const double q = distance(from, to, n);
    const double k = distance(from + n, to + n, n);
    return q >= k || isnan(q) ? q : k;
}
