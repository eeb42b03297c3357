/* tests/unit/test_dit.c: the DiT equals the official code and diffusers: velocities and values on
 * the way, two grids, every layout of the same weights (fixtures dit/, pipeline/, gguf/).
 * Tolerances: those of the fixtures' README.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/cmocka_all.h"
#include "support/fixture.h"
#include "tensor/convert.h"
#include "wan/dit.h"

typedef struct limits {
    double rel, max;
} limits;

static const limits f32_line  = {1e-5, 5e-5};
static const limits bf16_line = {1.5e-2, 8e-2};

static void compare(const char *what, const float *found, const float *expected, int64_t n,
                    limits tolerance)
{
    double error = 0.0;
    double norm  = 0.0;
    double most  = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double e = fabs((double)found[i] - (double)expected[i]);
        error += e * e;
        norm += (double)expected[i] * (double)expected[i];
        if (!(e <= most)) most = e;
    }
    const double rel = sqrt(error / norm);
    printf("%-40s rel_l2 %.2e max_abs %.2e\n", what, rel, most);
    if (!(rel <= tolerance.rel) || !(most <= tolerance.max))
        fail_msg("%s: rel_l2 %g (limit %g), max_abs %g (limit %g)", what, rel, tolerance.rel, most,
                 tolerance.max);
}

/* ---- a case --------------------------------------------------------------------------------- */

typedef struct dit_case {
    fil_ctx         *ctx;
    fili_weights    *w;
    fili_dit_config  config;
    fili_dit_options o;
    fili_dit        *d;
    char             file[512];
    int32_t          t, h, w_;
} dit_case;

static void open_case(dit_case *c, const char *model, const char *grid, uint32_t flags,
                      int32_t threads)
{
    fil_options opt;
    *c = (dit_case){.d = NULL};
    if (fixture_path("") == NULL) skip();
    assert_int_equal(sscanf(grid, "%dx%dx%d", &c->t, &c->h, &c->w_), 3);
    snprintf(c->file, sizeof c->file, "%s/case_%s.safetensors", fixture_path("dit"), grid);
    fil_options_init(&opt);
    opt.n_threads = threads;
    assert_int_equal(fil_ctx_open(&c->ctx, &opt), FIL_OK);
    if (fili_weights_open(c->ctx, FILI_PART_DIT, fixture_path(model), flags, &c->w) != FIL_OK ||
        fili_dit_config_detect(c->w, &c->config) != FIL_OK)
        fail_msg("%s: %s", model, fil_ctx_error(c->ctx)->message);
    fili_dit_options_init(&c->o);
    c->o.t         = c->t;
    c->o.h         = c->h;
    c->o.w         = c->w_;
    c->o.precision = FIL_F32;
    c->o.passes    = 1;
}

static void start(dit_case *c)
{
    int64_t n;
    float  *rows = fixture_tensor(c->ctx, c->file, "context", FIL_F32, &n);
    if (fili_dit_open(c->ctx, c->w, &c->config, &c->o, &c->d) != FIL_OK ||
        fili_dit_set_context(c->d, 0, rows, (int32_t)(n / c->config.text_dim)) != FIL_OK)
        fail_msg("%s", fil_ctx_error(c->ctx)->message);
    free(rows);
}

static float *forward(dit_case *c, double t)
{
    int64_t n;
    float  *x = fixture_tensor(c->ctx, c->file, "x", FIL_F32, &n);
    float  *v = malloc((size_t)n * sizeof *v);
    assert_non_null(v);
    if (fili_dit_forward(c->d, 0, 0, x, t, v) != FIL_OK)
        fail_msg("%s", fil_ctx_error(c->ctx)->message);
    free(x);
    return v;
}

static void close_case(dit_case *c)
{
    fili_dit_close(&c->d);
    fili_weights_close(&c->w);
    assert_int_equal(fil_ctx_memory(c->ctx).used, 0);
    fil_ctx_close(&c->ctx);
}

static void expect(dit_case *c, double t, const char *tensor, limits tolerance)
{
    int64_t n;
    float  *v = forward(c, t);
    float  *r = fixture_tensor(c->ctx, c->file, tensor, FIL_F32, &n);
    compare(tensor, v, r, n, tolerance);
    free(v);
    free(r);
}

/* Both times of a case against `reference`. */
static void check_model(const char *model, const char *grid, fil_dtype precision, uint32_t flags,
                        const char *reference, limits tolerance)
{
    static const int times[] = {999, 302};
    dit_case         c;
    open_case(&c, model, grid, flags, 2);
    c.o.precision = precision;
    start(&c);
    printf("%s %s %s\n", model, grid, fil_dtype_name(precision));
    for (int i = 0; i < 2; i++) {
        char name[64];
        snprintf(name, sizeof name, "t%d.%s", times[i], reference);
        expect(&c, times[i], name, tolerance);
    }
    close_case(&c);
}

/* ---- velocities ----------------------------------------------------------------------------- */

#define SMALL "3x10x12"
#define LARGE "5x16x20"

static void diffusers_layout_in_f32_equals_the_references(void **state)
{
    (void)state;
    check_model("pipeline/transformer", SMALL, FIL_F32, 0, "exact", f32_line);
    check_model("pipeline/transformer", LARGE, FIL_F32, 0, "exact", f32_line);
    check_model("pipeline/transformer", SMALL, FIL_F32, 0, "diffusers", f32_line);
    check_model("pipeline/transformer", SMALL, FIL_F32, 0, "official", f32_line);
}

static void original_layout_in_shards_equals_the_references(void **state)
{
    (void)state;
    check_model("pipeline/original", SMALL, FIL_F32, 0, "exact", f32_line);
    check_model("pipeline/original", LARGE, FIL_F32, FIL_OPEN_TRUSTED, "exact", f32_line);
}

static void a_whole_pipeline_folder_holds_the_dit_too(void **state)
{
    (void)state;
    check_model("pipeline", SMALL, FIL_F32, 0, "exact", f32_line);
}

static void a_comfy_file_with_prefix_and_without_config_equals_the_reference(void **state)
{
    (void)state;
    check_model("dit/comfy/wan_tiny_fp16.safetensors", SMALL, FIL_F32, 0, "comfy.exact", f32_line);
}

/* Quantised blocks: the reference has the same dequantised weights. */
static void a_gguf_file_equals_the_reference(void **state)
{
    static const fil_dtype precisions[] = {FIL_F32, FIL_BF16};
    (void)state;
    for (int i = 0; i < 4; i++) {
        dit_case c;
        open_case(&c, "gguf/wan_tiny_q4_0_mix.gguf", SMALL, i % 2 ? FIL_OPEN_TRUSTED : 0, 2);
        snprintf(c.file, sizeof c.file, "%s", fixture_path("gguf/case.safetensors"));
        c.o.precision = precisions[i / 2];
        start(&c);
        expect(&c, 999, "t999.exact", i < 2 ? f32_line : bf16_line);
        close_case(&c);
    }
}

static void bf16_stays_within_its_line_from_f32_bf16_and_f16_files(void **state)
{
    (void)state;
    check_model("pipeline/transformer", SMALL, FIL_BF16, 0, "exact", bf16_line);
    check_model("pipeline/original", SMALL, FIL_BF16, 0, "exact", bf16_line);
    check_model("dit/comfy/wan_tiny_fp16.safetensors", SMALL, FIL_BF16, 0, "comfy.exact",
                bf16_line);
    check_model("pipeline/original", LARGE, FIL_BF16, 0, "exact", bf16_line);
}

static void bf16_used_in_place_stays_within_its_line(void **state)
{
    (void)state;
    check_model("pipeline/original", SMALL, FIL_BF16, FIL_OPEN_TRUSTED, "exact", bf16_line);
}

/* ---- values on the way ---------------------------------------------------------------------- */

typedef struct tracing {
    dit_case *c;
    char      file[512];
    int       seen;
} tracing;

/* Rows one after the other; to be freed. */
static float *dense_rows(const fili_dit_value *v)
{
    float *rows = malloc((size_t)(v->rows * v->cols) * sizeof *rows);
    assert_non_null(rows);
    for (int64_t i = 0; i < v->rows; i++)
        memcpy(rows + i * v->cols, (const float *)v->data + i * v->stride,
               (size_t)v->cols * sizeof *rows);
    return rows;
}

/* The trace is in order; the reference in raster order, which is the order here. */
static void check_value(void *user, const char *what, int32_t layer, const fili_dit_value *v)
{
    tracing *s = user;
    char     name[64];
    int64_t  n;
    assert_int_equal(v->dtype, FIL_F32);
    if (strcmp(what, "block") == 0)
        snprintf(name, sizeof name, "blocks.%d", layer);
    else if (layer == 0 && strcmp(what, "head") != 0)
        snprintf(name, sizeof name, "blocks.0.%s", what);
    else if (layer <= 0)
        snprintf(name, sizeof name, "%s", what);
    else
        return;
    float *r     = fixture_tensor(s->c->ctx, s->file, name, FIL_F32, &n);
    float *found = dense_rows(v);
    assert_int_equal(n, v->rows * v->cols);
    compare(name, found, r, n, (limits){1e-5, 1e-4});
    s->seen++;
    free(found);
    free(r);
}

static void every_value_on_the_way_equals_the_trace(void **state)
{
    dit_case c;
    tracing  s = {.c = &c};
    (void)state;
    open_case(&c, "pipeline/transformer", SMALL, 0, 1);
    snprintf(s.file, sizeof s.file, "%s/trace_" SMALL "_t999.safetensors", fixture_path("dit"));
    c.o.trace = check_value;
    c.o.user  = &s;
    start(&c);
    free(forward(&c, 999.0));
    assert_int_equal(s.seen, 11);
    close_case(&c);
}

/* ---- orders, masks, threads ----------------------------------------------------------------- */

static void any_order_gives_the_same_velocity(void **state)
{
    static const char *const orders[] = {"hilbert", "hilbert-xyz", "cubes 2x4x3",
                                         "hilbert-cubes 4x4x4"};
    (void)state;
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        dit_case c;
        open_case(&c, "pipeline/transformer", LARGE, 0, 2);
        assert_int_equal(fili_order_parse(c.ctx, orders[i], &c.o.order), FIL_OK);
        start(&c);
        printf("%s\n", orders[i]);
        expect(&c, 999.0, "t999.exact", f32_line);
        close_case(&c);
    }
}

static void bits_are_the_same_for_1_2_and_3_threads(void **state)
{
    float *first = NULL;
    (void)state;
    for (int precision = 0; precision < 2; precision++) {
        for (int32_t threads = 1; threads <= 3; threads++) {
            dit_case c;
            int64_t  n;
            open_case(&c, "pipeline/original", SMALL, 0, threads);
            c.o.precision = precision == 0 ? FIL_F32 : FIL_BF16;
            start(&c);
            float *v = forward(&c, 302.0);
            free(fixture_tensor(c.ctx, c.file, "x", FIL_F32, &n));
            if (first == NULL)
                first = v;
            else
                assert_memory_equal(v, first, (size_t)n * sizeof *v);
            if (v != first) free(v);
            close_case(&c);
        }
        free(first);
        first = NULL;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(diffusers_layout_in_f32_equals_the_references),
        cmocka_unit_test(original_layout_in_shards_equals_the_references),
        cmocka_unit_test(a_whole_pipeline_folder_holds_the_dit_too),
        cmocka_unit_test(a_comfy_file_with_prefix_and_without_config_equals_the_reference),
        cmocka_unit_test(a_gguf_file_equals_the_reference),
        cmocka_unit_test(bf16_stays_within_its_line_from_f32_bf16_and_f16_files),
        cmocka_unit_test(bf16_used_in_place_stays_within_its_line),
        cmocka_unit_test(every_value_on_the_way_equals_the_trace),
        cmocka_unit_test(any_order_gives_the_same_velocity),
        cmocka_unit_test(bits_are_the_same_for_1_2_and_3_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
