/* tests/unit/test_policy_baselines.c: the policies window, radial, svg and topk-oracle
 * (sparse/policy_*.c) and sparse/row_error.h: what they keep, what they choose, what they refuse.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sparse/row_error.h"
#include "sparse/svg_mask.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"
#include "support/policy_rig.h"
#include "tensor/convert.h"

enum { LAYERS = 2, STEPS = 6, PASSES = 2 };

static const char *const names[] = {"window", "radial", "svg", "topk-oracle"};
enum { NAMES = 4 };

static void start_rig(policy_rig *r, const char *name, fili_grid grid, int32_t heads,
                      int32_t head_dim, int32_t threads)
{
    const fili_policy_setup s = {.grid     = grid,
                                 .layers   = LAYERS,
                                 .steps    = STEPS,
                                 .passes   = PASSES,
                                 .heads    = heads,
                                 .head_dim = head_dim,
                                 .dtype    = FIL_F32};
    policy_rig_start(r, name, &s, threads);
    r->o.density = 0.3;
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%.9g, expected %.9g", got, want);
}

/* ---- density -------------------------------------------------------------------------------- */

static const fili_grid grids[] = {{1, 1, 1},   {1, 2, 3},   {3, 5, 7},  {7, 1, 1},
                                  {5, 12, 20}, {4, 11, 13}, {9, 5, 11}, {2, 8, 8}};
enum { GRIDS = sizeof grids / sizeof grids[0] };

/* Recounted from the mask, block by block. */
static double recount(const policy_rig *r)
{
    const fili_blocks *b    = &r->p->blocks;
    double             kept = 0.0;
    if (r->choice.mask == NULL) return 1.0;
    for (int32_t h = 0; h < r->choice.mask->heads; h++)
        for (int32_t u = 0; u < b->m; u++)
            for (int32_t v = 0; v < b->m; v++)
                if (fili_mask_get(r->choice.mask, h, u, v))
                    kept += (double)fili_blocks_valid(b, u) * fili_blocks_valid(b, v);
    return kept / ((double)r->p->order.n * r->p->order.n * r->choice.mask->heads);
}

static void any_density_is_met_to_a_block_a_row(void **state)
{
    static const double densities[] = {1e-6, 0.05, 0.1, 0.2, 1.0 / 3.0, 0.5, 0.77, 0.999, 1.0};
    (void)state;
    for (int i = 0; i < NAMES; i++)
        for (int g = 0; g < GRIDS; g++)
            for (size_t d = 0; d < sizeof densities / sizeof *densities; d++) {
                policy_rig r;
                start_rig(&r, names[i], grids[g], 2, 64, 2);
                r.o.density = densities[d];
                policy_rig_open(&r);
                policy_rig_ask(&r, 1, 2, 1);
                const double block = 64.0 / r.p->order.n;
                const double got   = recount(&r);
                near(got, r.choice.density, 1e-12);
                if (r.choice.mask != NULL) assert_int_equal(fili_mask_check(r.choice.mask), FIL_OK);
                if (densities[d] >= block) near(got, densities[d], block + 1e-9);
                assert_true(got > 0.0 && got <= fmax(densities[d], 2.0 * block) + block);
                if (densities[d] == 1.0) assert_null(r.choice.mask);
                policy_rig_end(&r);
            }
}

static void dense_calls_count_in_the_density_of_a_run(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        policy_rig          r;
        fili_policy_figures f;
        start_rig(&r, names[i], (fili_grid){5, 12, 20}, 2, 64, 2);
        r.o.density      = 0.7;
        r.o.dense_steps  = 1;
        r.o.dense_layers = "0";
        policy_rig_open(&r);
        for (int32_t step = 0; step < STEPS; step++)
            for (int32_t pass = 0; pass < PASSES; pass++)
                for (int32_t layer = 0; layer < LAYERS; layer++) {
                    policy_rig_ask(&r, layer, step, pass);
                    assert_int_equal(r.choice.mask == NULL, layer == 0 || step == 0);
                }
        fili_policy_figures_get(r.p, &f);
        near(f.density, 0.7, 5.0 / 12.0 * 64.0 / 1200.0);
        assert_int_equal(f.dense_calls, 14);
        policy_rig_end(&r);
    }
}

/* What the authors publish, after their dense steps and layers, where no density is asked for. */
static void without_a_density_it_is_the_authors(void **state)
{
    static const struct {
        const char *name;
        double      density; /* of a sparse call at 21x30x52 */
        int32_t     dense_steps, dense_layers;
    } cases[] = {{"window", 0.4858, 15, 0}, {"radial", 0.2337, 12, 1}, {"svg", 0.25, 15, 1}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        policy_rig r;
        start_rig(&r, cases[i].name, (fili_grid){1, 1, 1}, 1, 64, 1);
        r.s.grid    = (fili_grid){21, 30, 52};
        r.s.steps   = 50;
        r.o.density = FIL_AUTO;
        policy_rig_open(&r);
        assert_int_equal(r.p->o.dense_steps, cases[i].dense_steps);
        assert_int_equal(r.p->layer_is_dense[0], cases[i].dense_layers);
        near(r.p->density[49], cases[i].density, 1e-4);
        near(r.p->density[0], 1.0, 0.0);
        if (strcmp(cases[i].name, "svg") != 0) { /* looks at no q */
            policy_rig_ask(&r, 1, 49, 0);
            near(recount(&r), r.p->density[49], 1e-9);
        }
        policy_rig_end(&r);
    }
}

/* ---- choices -------------------------------------------------------------------------------- */

static void a_window_points_at_what_was_made_before(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        policy_rig r;
        start_rig(&r, names[i], (fili_grid){5, 12, 20}, 2, 64, 2);
        policy_rig_open(&r);
        policy_rig_ask(&r, 0, 0, 0);
        const fili_mask *first = r.choice.mask;
        assert_non_null(first);
        assert_int_equal(first->heads, 1);
        policy_rig_ask(&r, 1, STEPS - 1, 1);
        assert_ptr_equal(r.choice.mask, first);
        assert_int_equal(r.choice.refreshed, 0);
        assert_int_equal(r.choice.wants_tail, 0);
        r.o.tail = 1;
        policy_rig_open(&r);
        policy_rig_ask(&r, 0, 0, 0);
        assert_int_equal(r.choice.wants_tail, 1);
        assert_non_null(r.choice.tail_k.data);
        policy_rig_end(&r);
    }
}

static void the_same_bits_for_any_number_of_threads(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        policy_rig a;
        policy_rig b;
        start_rig(&a, names[i], (fili_grid){5, 12, 20}, 3, 64, 1);
        start_rig(&b, names[i], (fili_grid){5, 12, 20}, 3, 64, 5);
        policy_rig_open(&a);
        policy_rig_open(&b);
        policy_rig_ask(&a, 1, 3, 0);
        policy_rig_ask(&b, 1, 3, 0);
        assert_true(fili_mask_equal(a.choice.mask, b.choice.mask));
        policy_rig_end(&a);
        policy_rig_end(&b);
    }
}

static void a_nan_is_survived(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        policy_rig r;
        start_rig(&r, names[i], (fili_grid){5, 12, 20}, 2, 64, 2);
        policy_rig_open(&r);
        r.x[0][70 * 128] = NAN;
        r.x[1][3]        = NAN;
        r.x[2][500]      = INFINITY;
        policy_rig_ask(&r, 0, 0, 0);
        near(recount(&r), 0.3, 64.0 / 1200.0);
        policy_rig_end(&r);
    }
}

static void one_threshold_spends_more_on_broad_heads(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, "topk-oracle", (fili_grid){5, 12, 20}, 2, 64, 2);
    for (int64_t i = 0; i < r.n; i++) /* head 0 is sharp */
        if (i / 64 % 2 == 0) r.x[0][i] *= 8.0f;
    r.o.budgets = "mass";
    policy_rig_open(&r);
    policy_rig_ask(&r, 0, 0, 0);
    uint64_t kept[2];
    assert_int_equal(fili_mask_kept(r.choice.mask, &r.p->blocks, &r.p->blocks, kept), FIL_OK);
    near(recount(&r), 0.3, 0.01);
    assert_true(kept[0] != kept[1]);
    policy_rig_end(&r);
}

static void svg_keeps_its_labels_until_a_refresh_and_over_a_checkpoint(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, "svg", (fili_grid){5, 12, 20}, 3, 64, 2);
    r.o.refresh = 3;
    policy_rig_open(&r);
    for (int32_t step = 0; step < STEPS; step++) {
        policy_rig_ask(&r, 1, step, 0);
        assert_int_equal(r.choice.refreshed, step % 3 == 0);
    }
    fili_policy_reset(r.p);
    policy_rig_ask(&r, 1, 1, 0);
    assert_int_equal(r.choice.refreshed, 1);
    fili_mask kept;
    assert_int_equal(fili_mask_init(&kept, r.ctx, 3, r.p->blocks.m, r.p->blocks.m), FIL_OK);
    assert_int_equal(fili_mask_copy(&kept, r.choice.mask), FIL_OK);
    const size_t bytes = fili_policy_state_bytes(r.p);
    void        *saved = malloc(bytes);
    assert_non_null(saved);
    fili_policy_state_save(r.p, saved);
    policy_rig_open(&r);
    assert_int_equal(fili_policy_state_load(r.p, saved, bytes), FIL_OK);
    for (int i = 0; i < 3; i++)
        memset(r.x[i], 0, (size_t)r.n * sizeof(float)); /* is not looked at */
    policy_rig_ask(&r, 1, 2, 0);
    assert_int_equal(r.choice.refreshed, 0);
    assert_true(fili_mask_equal(&kept, r.choice.mask));
    fili_mask_fini(&kept);
    free(saved);
    policy_rig_end(&r);
}

/* ---- errors of rows ------------------------------------------------------------------------- */

/* Attention of one row in f64, over the keys that the mask keeps (NULL: all). */
static void row_output(const policy_rig *r, const fili_blocks *blocks, const fili_mask *mask,
                       int32_t head, int32_t row, double *out)
{
    const int32_t dim = r->s.head_dim;
    int32_t       u   = 0;
    double        sum = 0.0;
    memset(out, 0, (size_t)dim * sizeof *out);
    while (blocks->offset[u + 1] <= row)
        u++;
    for (int32_t b = 0; b < blocks->m; b++) {
        if (mask != NULL && !fili_mask_get(mask, head, u, b)) continue;
        for (int32_t j = blocks->offset[b]; j < blocks->offset[b + 1]; j++) {
            double s = 0.0;
            for (int32_t d = 0; d < dim; d++)
                s += (double)r->x[0][((int64_t)row * r->s.heads + head) * dim + d] *
                     (double)r->x[1][((int64_t)j * r->s.heads + head) * dim + d];
            const double p = exp(s / sqrt(dim));
            sum += p;
            for (int32_t d = 0; d < dim; d++)
                out[d] += p * (double)r->x[2][((int64_t)j * r->s.heads + head) * dim + d];
        }
    }
    for (int32_t d = 0; d < dim && sum > 0.0; d++)
        out[d] /= sum;
}

static void errors_of_rows_are_those_of_the_definition(void **state)
{
    static const int32_t dims[] = {64, 128};
    static const int32_t rows[] = {0,   1,   63,  64,  65,  100, 101, 130, 140, 150,
                                   151, 152, 160, 170, 177, 180, 185, 190, 194};
    enum { ROWS = sizeof rows / sizeof rows[0], HEADS = 2 };
    (void)state;
    for (int c = 0; c < 2; c++) {
        policy_rig  r;
        fili_blocks blocks;
        fili_mask   mask[2];
        void       *room;
        double      error[2 * HEADS];
        double      dense[128];
        double      out[128];
        start_rig(&r, "svg", (fili_grid){3, 5, 13}, HEADS, dims[c], 3); /* 195 tokens, 4 blocks */
        const size_t bytes = fili_row_error_workspace(3, HEADS, ROWS);
        assert_int_equal(fili_blocks_uniform(&blocks, r.ctx, 195), FIL_OK);
        assert_int_equal(fili_alloc(r.ctx, bytes, "test", &room), FIL_OK);
        for (int i = 0; i < 2; i++)
            assert_int_equal(fili_mask_init(&mask[i], r.ctx, 1 + i, 4, 4), FIL_OK);
        static const int32_t kept[][3] = {{0, 0, 0}, {0, 1, 3}, {0, 2, 0}, {0, 3, 3}, {0, 3, 0}};
        for (int i = 0; i < 5; i++) {
            assert_int_equal(fili_mask_set(&mask[0], 0, kept[i][1], kept[i][2], true), FIL_OK);
            assert_int_equal(fili_mask_set(&mask[1], 0, kept[i][2], kept[i][1], true), FIL_OK);
            assert_int_equal(fili_mask_set(&mask[1], 1, kept[i][1], 3 - kept[i][2], true), FIL_OK);
        }
        const fili_row_error_args args = {.blocks   = &blocks,
                                          .heads    = HEADS,
                                          .head_dim = dims[c],
                                          .dtype    = FIL_F32,
                                          .q        = policy_rig_view(&r, r.x[0]),
                                          .k        = policy_rig_view(&r, r.x[1]),
                                          .v        = policy_rig_view(&r, r.x[2]),
                                          .scale    = 1.0f / sqrtf((float)dims[c]),
                                          .rows     = rows,
                                          .n_rows   = ROWS,
                                          .mask     = {&mask[0], &mask[1]}};
        assert_int_equal(fili_row_error(r.ctx, &args, room, error), FIL_OK);
        for (int i = 0; i < 2; i++)
            for (int32_t h = 0; h < HEADS; h++) {
                double want = 0.0;
                for (int32_t n = 0; n < ROWS; n++) {
                    row_output(&r, &blocks, NULL, h, rows[n], dense);
                    row_output(&r, &blocks, &mask[i], h, rows[n], out);
                    for (int32_t d = 0; d < dims[c]; d++)
                        want += (out[d] - dense[d]) * (out[d] - dense[d]);
                }
                near(error[i * HEADS + h], want, 1e-4 * want);
            }
        for (int i = 0; i < 2; i++)
            fili_mask_fini(&mask[i]);
        fili_free(r.ctx, room, bytes);
        fili_blocks_fini(&blocks);
        policy_rig_end(&r);
    }
}

static void sampled_rows_rise_one_in_each_stretch(void **state)
{
    int32_t rows[64];
    int32_t other[64];
    (void)state;
    for (int32_t n = 1; n <= 64; n++)
        for (int32_t tokens = n; tokens < 3000; tokens += 97) {
            fili_sample_rows(tokens, n, 5, rows);
            for (int32_t i = 0; i < n; i++)
                assert_in_range(rows[i], (int64_t)i * tokens / n,
                                (int64_t)(i + 1) * tokens / n - 1);
        }
    fili_sample_rows(100000, 64, 6, rows);
    fili_sample_rows(100000, 64, 7, other);
    assert_memory_not_equal(rows, other, sizeof rows);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void what_a_baseline_has_no_use_for_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        policy_rig r;
        start_rig(&r, names[i], (fili_grid){4, 8, 8}, 2, 64, 2);
        const fil_policy_options good = r.o;
        r.o.topology                  = "somewhere";
        policy_rig_refuses(&r, FIL_E_UNSUP, "topology");
        r.o      = good;
        r.o.gate = 1;
        policy_rig_refuses(&r, FIL_E_UNSUP, "gate");
        r.o     = good;
        r.o.tau = 0.5;
        policy_rig_refuses(&r, FIL_E_UNSUP, "tau");
        r.o       = good;
        r.o.block = 128;
        policy_rig_refuses(&r, FIL_E_UNSUP, "128");
        r.o         = good;
        r.o.budgets = "fast";
        policy_rig_refuses(&r, FIL_E_UNSUP, "budgets 'fast'");
        r.o         = good;
        r.o.density = 1.5;
        policy_rig_refuses(&r, FIL_E_ARG, "density");
        r.o.density = (double)NAN;
        policy_rig_refuses(&r, FIL_E_ARG, "density");
        policy_rig_end(&r);
    }
}

static void an_order_that_does_not_fit_is_refused(void **state)
{
    policy_rig r;
    (void)state;
    start_rig(&r, "radial", (fili_grid){4, 8, 8}, 2, 64, 2);
    r.o.order = "hilbert";
    policy_rig_refuses(&r, FIL_E_UNSUP, "raster");
    r.o.name = "svg";
    policy_rig_refuses(&r, FIL_E_UNSUP, "raster");
    r.o.name    = "window";
    r.o.density = FIL_AUTO;
    policy_rig_refuses(&r, FIL_E_UNSUP, "cubes");
    r.o.name = "topk-oracle";
    policy_rig_refuses(&r, FIL_E_ARG, "no density of its own");
    r.o.density = 0.3;
    r.o.refresh = 2;
    policy_rig_refuses(&r, FIL_E_UNSUP, "refresh");
    policy_rig_end(&r);
}

/* Every allocation of open fails once: nothing leaks, and the status says so. */
static void without_memory_nothing_is_held(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++) {
        fil_status status = FIL_E_NOMEM;
        for (int64_t at = 0; status != FIL_OK; at++) {
            alloc_fault        fault = {.at = -1};
            fil_options        opt;
            fil_ctx           *ctx;
            fili_policy       *p;
            fili_policy_setup  s = {.grid     = {5, 12, 20},
                                    .layers   = 1,
                                    .steps    = 1,
                                    .passes   = 1,
                                    .heads    = 2,
                                    .head_dim = 64,
                                    .dtype    = FIL_F32};
            fil_policy_options o;
            fil_options_init(&opt);
            opt.n_threads = 2;
            opt.host      = alloc_fault_allocator(&fault);
            assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
            const int64_t live = fault.live;
            fault.at           = fault.calls + at;
            fil_policy_options_init(&o);
            o.name    = names[i];
            o.density = 0.3;
            status    = fili_policy_open(ctx, &o, &s, &p);
            assert_true(status == FIL_OK || status == FIL_E_NOMEM);
            assert_int_equal(status == FIL_OK, fault.failed == 0);
            fili_policy_close(&p);
            assert_int_equal(fault.live, live);
            fil_ctx_close(&ctx);
        }
    }
}

/* ---- fixtures ------------------------------------------------------------------------------- */

typedef struct fixture {
    char    path[512];
    json_t *json;
} fixture;

static void fixture_input(policy_rig *r, const fixture *f, int which)
{
    static const char *const tensors[] = {"q", "k", "v"};
    static const float steps[][3] = {{0.0625f, 0.0625f, 0.03125f}, {0.0625f, 0.125f, 0.03125f}};
    for (int i = 0; i < 3; i++) {
        int64_t       n;
        int8_t       *x   = fixture_tensor(r->ctx, f->path, tensors[i], FIL_I8, &n);
        const int64_t dim = (int64_t)r->s.heads * r->s.head_dim;
        assert_int_equal(n, r->n);
        for (int64_t t = 0; t < r->p->order.n; t++)
            for (int64_t d = 0; d < dim; d++)
                r->x[i][t * dim + d] = (float)x[r->p->order.order[t] * dim + d] * steps[which][i];
        free(x);
    }
}

static fixture start_fixture(policy_rig *r, int which, const char *name, const char *order,
                             double density)
{
    fixture      f;
    json_error_t error;
    char         file[64];
    snprintf(file, sizeof file, "methods/attention_%c.json", "ab"[which]);
    f.json = json_load_file(fixture_path(file), 0, &error);
    assert_non_null(f.json);
    snprintf(file, sizeof file, "methods/attention_%c.safetensors", "ab"[which]);
    snprintf(f.path, sizeof f.path, "%s", fixture_path(file));
    const json_t   *g    = json_object_get(f.json, "grid");
    const fili_grid grid = {.f = (int32_t)json_integer_value(json_array_get(g, 0)),
                            .h = (int32_t)json_integer_value(json_array_get(g, 1)),
                            .w = (int32_t)json_integer_value(json_array_get(g, 2))};
    start_rig(r, name, grid, (int32_t)json_integer_value(json_object_get(f.json, "heads")),
              (int32_t)json_integer_value(json_object_get(f.json, "head_dim")), 2);
    r->o.order   = order;
    r->o.density = density;
    policy_rig_open(r);
    fixture_input(r, &f, which);
    return f;
}

/* Labels bind where the errors differ by more than half. */
static void svg_labels_are_those_of_the_fixtures(void **state)
{
    (void)state;
    if (fixture_path("methods") == NULL) skip();
    for (int c = 0; c < 2; c++)
        for (int32_t step = 0; step < STEPS; step += 2) { /* other rows each */
            policy_rig    r;
            fixture       f       = start_fixture(&r, c, "svg", NULL, c == 0 ? 0.43 : 0.256);
            const json_t *svg     = json_object_get(f.json, "svg");
            const json_t *ratio   = json_object_get(svg, "ratio");
            const json_t *labels  = json_object_get(svg, "label");
            int           n_bound = 0;
            fili_mask     want;
            assert_int_equal(fili_mask_init(&want, r.ctx, 1, r.p->blocks.m, r.p->blocks.m), FIL_OK);
            policy_rig_ask(&r, 0, step, 0);
            for (int32_t h = 0; h < r.s.heads; h++) {
                const double times = json_number_value(json_array_get(ratio, (size_t)h));
                const char  *label = json_string_value(json_array_get(labels, (size_t)h));
                if (times > 0.67 && times < 1.5) continue;
                n_bound++;
                assert_int_equal(fili_svg_fit(&want, &r.p->blocks, r.s.grid,
                                              strcmp(label, "spatial") == 0 ? FILI_SVG_SPATIAL
                                                                            : FILI_SVG_TEMPORAL,
                                              r.o.density),
                                 FIL_OK);
                if (memcmp(fili_mask_row(r.choice.mask, h, 0), want.bits,
                           (size_t)want.mq * (size_t)want.words * sizeof *want.bits) != 0)
                    fail_msg("attention_%c head %d is not %s", "ab"[c], h, label);
            }
            assert_true(n_bound >= 1);
            fili_mask_fini(&want);
            json_decref(f.json);
            policy_rig_end(&r);
        }
}

/* On blocks of one length: k of the fixture, from the masses that the policy computes itself. */
static void the_oracle_has_the_recall_of_the_fixtures(void **state)
{
    static const char *const orders[] = {"hilbert", "raster"};
    (void)state;
    if (fixture_path("methods") == NULL) skip();
    for (int c = 0; c < 2; c++)
        for (int o = c; o < 2; o++) /* the larger case in one order */
            for (int percent = 10; percent <= 30; percent += 10) {
                policy_rig r;
                char       key[64];
                uint64_t   kept[8];
                fixture    f = start_fixture(&r, c, "topk-oracle", orders[o], percent / 100.0);
                r.o.measure_recall = 1;
                policy_rig_open(&r);
                policy_rig_ask(&r, 0, 0, 0);
                snprintf(key, sizeof key, "oracle_top_k_%s", orders[o]);
                const json_t *entry = json_object_get(f.json, key);
                snprintf(key, sizeof key, "%d", percent);
                entry = json_object_get(entry, key);
                assert_int_equal(fili_mask_kept(r.choice.mask, &r.p->blocks, &r.p->blocks, kept),
                                 FIL_OK);
                for (int32_t h = 0; h < r.s.heads; h++) {
                    const json_t *density =
                        json_array_get(json_object_get(entry, "density"), (size_t)h);
                    const json_t *recall =
                        json_array_get(json_object_get(entry, "recall"), (size_t)h);
                    near((double)kept[h] / pow(r.p->order.n, 2.0), json_number_value(density),
                         1e-6);
                    near(r.choice.recall[h], json_number_value(recall), 1e-5);
                }
                json_decref(f.json);
                policy_rig_end(&r);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_density_is_met_to_a_block_a_row),
        cmocka_unit_test(dense_calls_count_in_the_density_of_a_run),
        cmocka_unit_test(without_a_density_it_is_the_authors),
        cmocka_unit_test(a_window_points_at_what_was_made_before),
        cmocka_unit_test(the_same_bits_for_any_number_of_threads),
        cmocka_unit_test(a_nan_is_survived),
        cmocka_unit_test(one_threshold_spends_more_on_broad_heads),
        cmocka_unit_test(svg_keeps_its_labels_until_a_refresh_and_over_a_checkpoint),
        cmocka_unit_test(errors_of_rows_are_those_of_the_definition),
        cmocka_unit_test(sampled_rows_rise_one_in_each_stretch),
        cmocka_unit_test(what_a_baseline_has_no_use_for_is_refused),
        cmocka_unit_test(an_order_that_does_not_fit_is_refused),
        cmocka_unit_test(without_memory_nothing_is_held),
        cmocka_unit_test(svg_labels_are_those_of_the_fixtures),
        cmocka_unit_test(the_oracle_has_the_recall_of_the_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
