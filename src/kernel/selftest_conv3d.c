/* kernel/selftest_conv3d.c: the self-test of 3-D convolution rows (kernel/selftest.h).
 *
 * Tolerance, with e = 2^-24, u the unit roundoff of the output type and a window of w products:
 *     e ((2 sqrt(w) + 24) cond + 4 |residual|) + u |y|
 * as for linear. Outputs are sampled, since the oracle is slow.
 */
#include <math.h>
#include <string.h>

#include "kernel/conv3d.h"
#include "kernel/selftest.h"

#define EPS        0x1p-24
#define TINY       1e-35
#define SAMPLES    800
#define MAX_FRAMES 8

typedef struct corner {
    const char         *name;
    filk_conv3d_problem p;
    int32_t             residual, missing; /* missing: frames at the front that are NULL */
} corner;

static const corner corners[] = {
    {"causal, bf16",
     {.t          = {4, 3, 1, 2, 0},
      .h          = {9, 3, 1, 1, 1},
      .w          = {11, 3, 1, 1, 1},
      .c_in       = 20,
      .c_out      = 33,
      .dtype      = FIL_BF16,
      .out_dtype  = FIL_BF16,
      .bias_dtype = FIL_F32,
      .silu       = 1},
     0,
     1},
    {"3x3x3, whole vectors, bf16",
     {.t          = {3, 3, 1, 0, 0},
      .h          = {7, 3, 1, 1, 1},
      .w          = {10, 3, 1, 1, 1},
      .c_in       = 32,
      .c_out      = 24,
      .dtype      = FIL_BF16,
      .out_dtype  = FIL_F32,
      .bias_dtype = FIL_F32},
     1,
     1},
    {"3x3x3, whole vectors, f32",
     {.t          = {3, 3, 1, 0, 0},
      .h          = {7, 3, 1, 1, 1},
      .w          = {10, 3, 1, 1, 1},
      .c_in       = 32,
      .c_out      = 24,
      .dtype      = FIL_F32,
      .out_dtype  = FIL_F32,
      .bias_dtype = FIL_F32},
     1,
     1},
    {"1x1x1 with residual, bf16",
     {.t          = {2, 1, 1, 0, 0},
      .h          = {6, 1, 1, 0, 0},
      .w          = {7, 1, 1, 0, 0},
      .c_in       = 16,
      .c_out      = 24,
      .dtype      = FIL_BF16,
      .out_dtype  = FIL_F32,
      .bias_dtype = FIL_BF16},
     1,
     0},
    {"strided, f32",
     {.t          = {5, 3, 2, 0, 0},
      .h          = {8, 3, 2, 0, 1},
      .w          = {8, 3, 2, 0, 1},
      .c_in       = 12,
      .c_out      = 16,
      .dtype      = FIL_F32,
      .out_dtype  = FIL_F32,
      .bias_dtype = FIL_F32},
     0,
     0},
};

typedef struct conv_case {
    filk_conv3d_args a;
    const void      *weight;
    const void      *frames[MAX_FRAMES];
    const void      *residual[MAX_FRAMES];
    void            *out[MAX_FRAMES];
    int32_t          t, h, w; /* of the output */
} conv_case;

static fil_status make(filk_st *st, const corner *c, conv_case *k)
{
    const filk_conv3d_problem *p      = &c->p;
    const int64_t              window = (int64_t)p->t.kernel * p->h.kernel * p->w.kernel * p->c_in;
    void                      *data;
    *k = (conv_case){
        .t = filk_conv3d_out(&p->t), .h = filk_conv3d_out(&p->h), .w = filk_conv3d_out(&p->w)};
    const int64_t frame = (int64_t)k->h * k->w * p->c_out;
    for (int32_t t = c->missing; t < p->t.size; t++) {
        FIL_TRY(filk_st_normal(st, p->dtype, (int64_t)p->h.size * p->w.size * p->c_in, 1.0, &data));
        k->frames[t] = data;
    }
    FIL_TRY(filk_st_normal(st, p->dtype, window * p->c_out, 1.0 / sqrt((double)window), &data));
    k->weight = data;
    FIL_TRY(filk_st_normal(st, p->bias_dtype, p->c_out, 1.0, &data));
    k->a.bias = data;
    for (int32_t t = 0; t < k->t; t++) {
        FIL_TRY(filk_st_output(st, p->out_dtype, frame, &k->out[t]));
        FIL_TRY(filk_st_normal(st, p->out_dtype, c->residual ? frame : 0, 1.0, &data));
        k->residual[t] = data;
    }
    k->a.frames   = k->frames;
    k->a.residual = c->residual ? k->residual : NULL;
    k->a.out      = k->out;
    return FIL_OK;
}

static void compare_at(filk_st *st, const corner *c, const conv_case *k, filk_conv3d_at at)
{
    const filk_conv3d_problem *p      = &c->p;
    const double               window = (double)p->t.kernel * p->h.kernel * p->w.kernel * p->c_in;
    const int64_t              index  = ((int64_t)at.y * k->w + at.x) * p->c_out + at.o;
    double                     cond;
    const double               want = filk_conv3d_oracle(p, &k->a, k->weight, at, &cond);
    const double base = c->residual ? filk_st_get(p->out_dtype, k->residual[at.t], index) : 0.0;
    const double tolerance = EPS * ((2.0 * sqrt(window) + 24.0) * cond + 4.0 * fabs(base)) +
                             filk_st_roundoff(p->out_dtype) * fabs(want) + TINY;
    filk_st_value(st, "out", (int64_t[]){at.t, (int64_t)at.y * k->w + at.x, at.o},
                  filk_st_get(p->out_dtype, k->out[at.t], index), want, tolerance);
}

static void compare(filk_st *st, const corner *c, const conv_case *k)
{
    const int64_t all  = (int64_t)k->t * k->h * k->w * c->p.c_out;
    const int64_t step = all > SAMPLES ? all / SAMPLES | 1 : 1;
    for (int64_t i = 0; i < all; i += step) {
        const int64_t        pixel = i / c->p.c_out;
        const filk_conv3d_at at    = {.t = (int32_t)(pixel / k->w / k->h),
                                      .y = (int32_t)(pixel / k->w % k->h),
                                      .x = (int32_t)(pixel % k->w),
                                      .o = (int32_t)(i % c->p.c_out)};
        compare_at(st, c, k, at);
    }
}

fil_status filk_selftest_conv3d(filk_st *st)
{
    for (size_t i = 0; i < sizeof corners / sizeof corners[0]; i++) {
        const corner *c = &corners[i];
        conv_case     k;
        int           ran;
        FIL_TRY(filk_st_begin(st, c->name, 600 + i));
        if (st->row->refuse(&c->p) != NULL) continue;
        FIL_TRY(make(st, c, &k));
        FIL_TRY(filk_st_run_plan(st, &c->p, &k.a, k.weight, &k.a.packed, &ran));
        if (ran) compare(st, c, &k);
    }
    return FIL_OK;
}
