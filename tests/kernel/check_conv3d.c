/* tests/kernel/check_conv3d.c: every row of kernel/conv3d.inc against the oracle: random problems,
 * bits, memory. Outputs are sampled, since the oracle is slow. Usage and reproducer lines: check.h.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/conv3d.h"
#include "kernel/plan_run.h"

enum { SAMPLES = 300, MAX_FRAMES = 16 };

typedef struct conv_case {
    filk_conv3d_problem p;
    filk_conv3d_args    a;
    check_buffer        weight, bias, in[MAX_FRAMES], residual[MAX_FRAMES], out[MAX_FRAMES];
    const void         *in_at[MAX_FRAMES];
    const void         *residual_at[MAX_FRAMES];
    void               *out_at[MAX_FRAMES];
    int32_t             out_t, out_h, out_w;
    int                 in_place; /* out is the residual */
    check_rng           rng;
} conv_case;

static size_t size_of(fil_dtype dtype)
{
    return fil_dtype_bits(dtype) / 8;
}

static int32_t draw(check_rng *rng, int32_t low, int32_t high)
{
    return (int32_t)check_between(rng, low, high);
}

static void make_values(conv_case *c, check_buffer *b, fil_dtype dtype, int64_t n, double sigma)
{
    check_buffer_make(b, (size_t)n * size_of(dtype), size_of(dtype), 0); /* a page ends with it */
    check_fill_normal(&c->rng, dtype, b->data, n, sigma);
}

static filk_conv3d_axis random_axis(check_rng *rng, int32_t max_size, int32_t max_kernel)
{
    filk_conv3d_axis a = {.size   = draw(rng, 1, max_size),
                          .kernel = draw(rng, 1, max_kernel),
                          .stride = check_chance(rng, 70) ? 1 : draw(rng, 2, 3)};
    a.before           = draw(rng, 0, a.kernel - 1);
    a.after            = draw(rng, 0, a.kernel - 1);
    if (filk_conv3d_out(&a) == 0) a.size = a.kernel;
    return a;
}

/* Turns a problem that the row refuses into one for rows of 3x3 kernels and whole vectors. */
static void make_fit(conv_case *c, const filk_row *row)
{
    filk_conv3d_problem *p = &c->p;
    if (row->refuse(p) != NULL && p->out_dtype == FIL_BF16) p->out_dtype = FIL_F32;
    if (row->refuse(p) == NULL) return;
    for (int i = 0; i < 2; i++) {
        filk_conv3d_axis *a = i == 0 ? &p->h : &p->w;
        *a                  = (filk_conv3d_axis){.size   = draw(&c->rng, 3, 15),
                                                 .kernel = 3,
                                                 .stride = 1,
                                                 .before = draw(&c->rng, 0, 2),
                                                 .after  = draw(&c->rng, 0, 2)};
    }
    p->c_in = 16 * draw(&c->rng, 1, 4);
    if (p->c_out < 16) p->c_out += 16;
    if (row->refuse(p) != NULL) p->dtype = p->dtype == FIL_BF16 ? FIL_F32 : FIL_BF16;
}

static void random_problem(conv_case *c, const filk_row *row)
{
    static const int32_t channels[] = {1, 3, 4, 16, 17, 32, 33, 48, 96};
    filk_conv3d_problem *p          = &c->p;
    p->t                            = random_axis(&c->rng, 5, 3);
    p->h                            = random_axis(&c->rng, 12, 4);
    p->w                            = random_axis(&c->rng, 12, 4);
    p->c_in                         = channels[draw(&c->rng, 0, row->isa == FILI_ISA_REF ? 2 : 8)];
    p->c_out                        = channels[draw(&c->rng, 0, row->isa == FILI_ISA_REF ? 2 : 8)];
    p->dtype                        = check_chance(&c->rng, 50) ? FIL_BF16 : FIL_F32;
    if (row->refuse(p) != NULL) p->dtype = p->dtype == FIL_BF16 ? FIL_F32 : FIL_BF16;
    p->out_dtype  = check_chance(&c->rng, 50) ? FIL_BF16 : FIL_F32;
    p->bias_dtype = check_chance(&c->rng, 50) ? FIL_BF16 : FIL_F32;
    if (check_chance(&c->rng, 20)) p->bias_dtype = FIL_DTYPE_NONE;
    p->silu = check_chance(&c->rng, 40);
    make_fit(c, row);
}

static void fill_args(conv_case *c)
{
    filk_conv3d_problem *p      = &c->p;
    const int64_t        window = (int64_t)p->t.kernel * p->h.kernel * p->w.kernel * p->c_in;
    const int64_t        pixels = (int64_t)p->h.size * p->w.size;
    c->out_t                    = filk_conv3d_out(&p->t);
    c->out_h                    = filk_conv3d_out(&p->h);
    c->out_w                    = filk_conv3d_out(&p->w);
    const int64_t out_elements  = (int64_t)c->out_h * c->out_w * p->c_out;
    const int     add           = check_chance(&c->rng, 50);
    make_values(c, &c->weight, p->dtype, window * p->c_out, 2.0 / sqrt((double)window));
    if (p->bias_dtype != FIL_DTYPE_NONE) make_values(c, &c->bias, p->bias_dtype, p->c_out, 1.0);
    for (int32_t t = 0; t < p->t.size; t++) {
        if (check_chance(&c->rng, 10)) continue; /* a frame of zeros */
        make_values(c, &c->in[t], p->dtype, pixels * p->c_in, 1.0);
        c->in_at[t] = c->in[t].data;
    }
    c->in_place = add && check_chance(&c->rng, 50);
    for (int32_t t = 0; t < c->out_t; t++) {
        check_buffer_make(&c->out[t], (size_t)out_elements * size_of(p->out_dtype), 64, 0);
        c->out_at[t] = c->out[t].data;
        if (!add) continue;
        make_values(c, &c->residual[t], p->out_dtype, out_elements, 1.0);
        c->residual_at[t] = c->residual[t].data;
        if (c->in_place) memcpy(c->out[t].data, c->residual[t].data, c->out[t].bytes);
    }
    c->a = (filk_conv3d_args){.frames   = c->in_at,
                              .packed   = c->weight.data,
                              .bias     = c->bias.data,
                              .residual = add ? c->residual_at : NULL,
                              .out      = c->out_at};
}

static void make_case(conv_case *c, const filk_row *row, uint64_t seed)
{
    *c = (conv_case){.rng = {.seed = seed, .stream = 80}};
    random_problem(c, row);
    fill_args(c);
}

static void free_list(check_buffer *list, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (list[i].map != NULL) check_buffer_free(&list[i]);
}

static void free_case(conv_case *c)
{
    free_list(c->in, MAX_FRAMES);
    free_list(c->residual, MAX_FRAMES);
    free_list(c->out, MAX_FRAMES);
    free_list(&c->weight, 1);
    free_list(&c->bias, 1);
}

static void run_case(conv_case *c, const filk_row *row, int32_t n_threads)
{
    filk_conv3d_args a = c->a;
    if (c->in_place) a.residual = (const void *const *)c->out_at;
    plan_run(row, &c->p, &a.packed, &a, n_threads);
    for (int32_t t = 0; t < c->out_t; t++)
        if (!check_buffer_intact(&c->out[t])) check_fail("run wrote beyond frame %d", (int)t);
}

static void compare_at(const conv_case *c, filk_conv3d_at at, check_report *report)
{
    double        cond;
    const double  want   = filk_conv3d_oracle(&c->p, &c->a, c->weight.data, at, &cond);
    const int64_t index  = ((int64_t)at.y * c->out_w + at.x) * c->p.c_out + at.o;
    const double  got    = check_load(c->p.out_dtype, c->out_at[at.t], index);
    const double  window = (double)c->p.t.kernel * c->p.h.kernel * c->p.w.kernel * c->p.c_in;
    const double  base =
        c->a.residual != NULL ? check_load(c->p.out_dtype, c->a.residual[at.t], index) : 0.0;
    const double tolerance =
        check_eps(FIL_F32) * ((2.0 * sqrt(window) + 24.0) * cond + 4.0 * fabs(base)) +
        check_eps(c->p.out_dtype) * fabs(want) + 1e-35;
    check_value(report, at.t, at.y * (int64_t)c->out_w + at.x, at.o, got, want,
                isfinite(tolerance) ? tolerance : 0.0);
}

static void check_against_oracle(conv_case *c, double cosine)
{
    check_report report = {.what = "out"};
    for (int s = 0; s < SAMPLES; s++) {
        const filk_conv3d_at at = {.t = draw(&c->rng, 0, c->out_t - 1),
                                   .y = draw(&c->rng, 0, c->out_h - 1),
                                   .x = draw(&c->rng, 0, c->out_w - 1),
                                   .o = draw(&c->rng, 0, c->p.c_out - 1)};
        compare_at(c, at, &report);
    }
    const filk_conv3d_at last = {
        .t = c->out_t - 1, .y = c->out_h - 1, .x = c->out_w - 1, .o = c->p.c_out - 1};
    compare_at(c, (filk_conv3d_at){0, 0, 0, 0}, &report);
    compare_at(c, last, &report);
    check_report_verdict(&report, cosine);
}

static double cosine_of(const conv_case *c)
{
    return c->p.dtype == FIL_BF16 || c->p.out_dtype == FIL_BF16 ? 2e-5 : 1e-10;
}

static void outputs_of_random_problems_match_the_oracle(const filk_row *row)
{
    static const int32_t threads[] = {1, 2, 3, 7};
    for (int64_t i = 0; i < check_opt.problems; i++) {
        const uint64_t seed = check_opt.seed + (uint64_t)i;
        conv_case      c;
        check_case(row->name, __func__, seed);
        make_case(&c, row, seed);
        run_case(&c, row, threads[seed % 4]);
        check_against_oracle(&c, cosine_of(&c));
        free_case(&c);
    }
}

/* Wide enough that a frame is several tasks. */
static void make_large(conv_case *c, const filk_row *row, uint64_t seed)
{
    *c = (conv_case){.rng = {.seed = seed, .stream = 81}};
    random_problem(c, row);
    const int slow = row->isa == FILI_ISA_REF;
    c->p.t         = (filk_conv3d_axis){.size = 3, .kernel = 3, .stride = 1, .before = 2};
    c->p.h         = (filk_conv3d_axis){
                .size = slow ? 6 : 23, .kernel = 3, .stride = 1, .before = 1, .after = 1};
    c->p.w = (filk_conv3d_axis){
        .size = slow ? 5 : 104, .kernel = 3, .stride = 1, .before = 1, .after = 1};
    c->p.c_in  = slow ? 3 : 32;
    c->p.c_out = slow ? 4 : 96;
    fill_args(c);
}

static void wide_causal_convolutions_match_the_oracle(const filk_row *row)
{
    for (uint64_t k = 0; k < 4; k++) {
        conv_case c;
        check_case(row->name, __func__, check_opt.seed + k);
        make_large(&c, row, check_opt.seed + k);
        run_case(&c, row, 2);
        check_against_oracle(&c, cosine_of(&c));
        free_case(&c);
    }
}

/* A device lays out a part of a large frame's windows at a time (kernel/cuda/conv_plan.h): here
 * two, the second one shorter. */
static void frames_of_several_parts_match_the_oracle(const filk_row *row)
{
    for (uint64_t k = 0; k < 4 && fili_isa_is_device(row->isa); k++) {
        conv_case c = {.rng = {.seed = check_opt.seed + k, .stream = 82}};
        check_case(row->name, __func__, check_opt.seed + k);
        random_problem(&c, row);
        c.p.dtype = FIL_BF16;
        c.p.t     = (filk_conv3d_axis){.size = 3, .kernel = 3, .stride = 1};
        c.p.h = (filk_conv3d_axis){.size = 170, .kernel = 3, .stride = 1, .before = 1, .after = 1};
        c.p.w = (filk_conv3d_axis){.size = 175, .kernel = 3, .stride = 1, .before = 1, .after = 1};
        c.p.c_in  = 96;
        c.p.c_out = 24;
        fill_args(&c);
        run_case(&c, row, 2);
        check_against_oracle(&c, cosine_of(&c));
        free_case(&c);
    }
}

static void any_number_of_threads_gives_the_same_bits(const filk_row *row)
{
    static const int32_t threads[] = {1, 2, 3, 7};
    conv_case            first;
    check_case(row->name, __func__, check_opt.seed);
    make_large(&first, row, check_opt.seed);
    run_case(&first, row, 1);
    for (int t = 0; t < 4; t++) {
        conv_case c;
        make_large(&c, row, check_opt.seed);
        run_case(&c, row, threads[t]);
        for (int32_t f = 0; f < c.out_t; f++)
            check_same_bytes("out", c.out[f].data, first.out[f].data, c.out[f].bytes);
        free_case(&c);
    }
    free_case(&first);
}

static int frame_is_seen(const conv_case *c, int32_t frame, int32_t out_frame)
{
    const int32_t first = out_frame * c->p.t.stride - c->p.t.before;
    return frame >= first && frame < first + c->p.t.kernel;
}

/* Inside the frames that see it, a library may multiply it with the zeros that it pads channels
 * with: there, what must not be finite is not, and that is all. */
static void check_spread(conv_case *c, int32_t bad_frame)
{
    check_report report = {.what = "out"};
    double       cond;
    for (int s = 0; s < SAMPLES; s++) {
        const filk_conv3d_at at    = {.t = draw(&c->rng, 0, c->out_t - 1),
                                      .y = draw(&c->rng, 0, c->out_h - 1),
                                      .x = draw(&c->rng, 0, c->out_w - 1),
                                      .o = draw(&c->rng, 0, c->p.c_out - 1)};
        const int64_t        index = ((int64_t)at.y * c->out_w + at.x) * c->p.c_out + at.o;
        if (!frame_is_seen(c, bad_frame, at.t)) {
            compare_at(c, at, &report);
            continue;
        }
        const double want = filk_conv3d_oracle(&c->p, &c->a, c->weight.data, at, &cond);
        if (!isfinite(want) && isfinite(check_load(c->p.out_dtype, c->out_at[at.t], index)))
            check_fail("frame %d is finite at %lld", (int)at.t, (long long)index);
    }
    check_report_verdict(&report, (double)INFINITY);
}

static void nan_and_inf_reach_only_frames_that_see_them(const filk_row *row)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (uint64_t k = 0; k < 30; k++) {
        conv_case c;
        check_case(row->name, __func__, check_opt.seed + k);
        make_case(&c, row, check_opt.seed + k);
        const int32_t t = draw(&c.rng, 0, c.p.t.size - 1);
        if (c.in[t].bytes > 0)
            check_store(c.p.dtype, c.in[t].data,
                        check_between(&c.rng, 0, (int64_t)(c.in[t].bytes / size_of(c.p.dtype)) - 1),
                        bad[k % 3]);
        run_case(&c, row, 2);
        check_spread(&c, t);
        free_case(&c);
    }
}

static void create_reports_every_failed_allocation(const filk_row *row)
{
    conv_case c;
    check_case(row->name, __func__, check_opt.seed);
    make_large(&c, row, check_opt.seed);
    plan_create_under_faults(row, &c.p);
    free_case(&c);
}

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

int main(int argc, char **argv)
{
    static const check_test tests[] = {TEST(outputs_of_random_problems_match_the_oracle),
                                       TEST(wide_causal_convolutions_match_the_oracle),
                                       TEST(frames_of_several_parts_match_the_oracle),
                                       TEST(any_number_of_threads_gives_the_same_bits),
                                       TEST(nan_and_inf_reach_only_frames_that_see_them),
                                       TEST(create_reports_every_failed_allocation)};
    if (check_options_read(argc, argv, "check_conv3d", 200) != 0) return 2;
    return check_run(&filk_conv3d, tests, sizeof tests / sizeof tests[0]);
}
