/* sparse/sink_mass.c: mass of single key tokens (sink_mass.h): for reports, so it is written for
 * reading; 64 sinks are 64 / N of dense attention. */
#include <math.h>
#include <string.h>

#include "sparse/sink_mass.h"

int32_t fili_lone_sinks(const fili_blocks *blocks, const fili_policy_choice *choice, int32_t h,
                        int32_t q)
{
    int32_t n  = 0;
    int32_t at = 0;
    if (choice->n_sinks == 0) return 0;
    const int32_t *sink = choice->sinks + h * choice->sinks_stride_h;
    for (int32_t s = 0; s < choice->n_sinks; s++) {
        while (blocks->offset[at + 1] <= sink[s])
            at++;
        n += !fili_mask_get(choice->mask, h, q, at);
    }
    return n;
}

static double element(const filk_attn_view *x, fil_dtype dtype, int64_t at)
{
    float    f;
    uint16_t half;
    if (dtype == FIL_F32) return (double)((const float *)x->data)[at];
    memcpy(&half, (const char *)x->data + 2 * at, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static double logit(const fili_policy_call *c, int32_t h, int64_t i, int64_t j)
{
    const int64_t q   = i * c->q.stride_n + h * c->q.stride_h;
    const int64_t k   = j * c->k.stride_n + h * c->k.stride_h;
    double        sum = 0.0;
    for (int32_t d = 0; d < c->head_dim; d++)
        sum += element(&c->q, c->dtype, q + d) * element(&c->k, c->dtype, k + d);
    return sum * (double)c->scale;
}

double fili_sink_mass(const fili_policy_call *call, const fili_policy_choice *choice,
                      const float *lse, int32_t h, int32_t q)
{
    const fili_blocks *b   = call->blocks;
    const int64_t      n   = fili_blocks_tokens(b);
    double             sum = 0.0;
    int32_t            at  = 0;
    if (choice->mask == NULL || choice->n_sinks == 0) return 0.0;
    const int32_t *sink = choice->sinks + h * choice->sinks_stride_h;
    for (int32_t s = 0; s < choice->n_sinks; s++) {
        while (b->offset[at + 1] <= sink[s])
            at++;
        if (fili_mask_get(choice->mask, h, q, at)) continue;
        for (int32_t i = b->offset[q]; i < b->offset[q + 1]; i++)
            sum += exp(logit(call, h, i, sink[s]) - (double)lse[h * n + i]);
    }
    return sum;
}
