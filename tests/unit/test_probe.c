/* tests/unit/test_probe.c: filigree/probe.h against the methods' fixtures: what dfs keeps and loses
 * there was computed elsewhere, in f64. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "filigree/probe.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/sanitized.h"

enum { MOST = 8 };

static char path_of_tensors[512];

static void use(const char *fixture)
{
    if (fixture_path(fixture) == NULL) skip();
    snprintf(path_of_tensors, sizeof path_of_tensors, "%s", fixture_path(fixture));
}

static void near(const char *what, int head, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s of head %d: %.7g, expected %.7g", what, head, got, want);
}

static double number(const json_t *entry, const char *key, int head)
{
    const json_t *list = json_object_get(entry, key);
    assert_non_null(list);
    return json_number_value(json_array_get(list, (size_t)head));
}

static void probe(const char *order, int32_t block, int32_t tail, double density,
                  fil_probe_result *r, fil_probe_figures *heads)
{
    fil_ctx           *ctx = NULL;
    fil_policy_options policy;
    fil_probe_options  o;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    fil_policy_options_init(&policy);
    policy.name    = "dfs";
    policy.order   = order;
    policy.block   = block;
    policy.tail    = tail;
    policy.density = density;
    fil_probe_options_init(&o);
    o.qkv         = path_of_tensors;
    o.policy      = &policy;
    o.repetitions = 1;
    if (fil_probe(ctx, &o, r, heads, MOST) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    fil_ctx_close(&ctx);
}

/* Recall and density to the tolerances of f32 masses; errors to a thousandth of themselves, since a
 * reference in f64 may choose another block where two scores are equal in f32. */
static void check_case(const char *name, const json_t *all)
{
    fil_probe_result  r;
    fil_probe_figures heads[MOST];
    char              key[32];
    for (int32_t block = 64; block <= 128; block += 64)
        for (int percent = 10; percent <= 30; percent += 10) {
            snprintf(key, sizeof key, "dfs%d_mask_%d", (int)block, percent);
            const json_t *want = json_object_get(all, key);
            assert_non_null(want);
            probe("hilbert-xyz", block, 0, percent / 100.0, &r, heads);
            print_message("%s %s\n", name, key);
            for (int h = 0; h < r.heads; h++) {
                near("density", h, heads[h].density, number(want, "density", h), 1e-6);
                near("recall", h, heads[h].recall, number(want, "recall", h), 1e-4);
                near("rel_l2", h, heads[h].rel_l2, number(want, "rel_l2", h),
                     1e-3 * number(want, "rel_l2", h));
                near("psnr", h, heads[h].psnr, number(want, "psnr", h), 1e-2);
            }
            probe("hilbert-xyz", block, 1, percent / 100.0, &r, heads);
            for (int h = 0; h < r.heads; h++)
                near("rel_l2 with tail", h, heads[h].rel_l2, number(want, "tail_rel_l2", h),
                     1e-3 * number(want, "tail_rel_l2", h));
        }
}

static void dfs_keeps_and_loses_what_the_reference_does(void **state)
{
    static const char *const names[] = {"attention_a", "attention_b"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        char         file[64];
        json_error_t error;
        snprintf(file, sizeof file, "methods/%s.json", names[i]);
        if (SANITIZED || fixture_path(file) == NULL) skip();
        json_t *all = json_load_file(fixture_path(file), 0, &error);
        assert_non_null(all);
        snprintf(file, sizeof file, "methods/%s.safetensors", names[i]);
        use(file);
        check_case(names[i], json_object_get(all, "dfs"));
        json_decref(all);
    }
}

static void figures_of_all_are_those_of_the_heads(void **state)
{
    fil_probe_result  r;
    fil_probe_figures heads[MOST];
    double            recall = 0.0;
    double            least  = 1.0;
    (void)state;
    use("methods/attention_a.safetensors");
    probe(NULL, 64, 0, 0.2, &r, heads);
    for (int h = 0; h < r.heads; h++) {
        recall += heads[h].recall / r.heads;
        if (heads[h].recall_min < least) least = heads[h].recall_min;
        assert_true(heads[h].recall_min <= heads[h].recall_p5);
        assert_true(heads[h].recall_p5 <= heads[h].recall);
    }
    near("recall", -1, r.all.recall, recall, 1e-12);
    near("least recall", -1, r.all.recall_min, least, 0.0);
}

static void density_1_is_exact(void **state)
{
    fil_probe_result  r;
    fil_probe_figures heads[MOST];
    (void)state;
    use("methods/attention_a.safetensors");
    probe(NULL, FIL_AUTO, 0, 1.0, &r, heads);
    near("density", -1, r.all.density, 1.0, 0.0);
    near("recall", -1, r.all.recall, 1.0, 1e-5);
    near("rel_l2", -1, r.all.rel_l2, 0.0, 1e-6);
}

static void what_is_no_probe_is_refused(void **state)
{
    fil_ctx          *ctx = NULL;
    fil_probe_options o;
    fil_probe_result  r;
    (void)state;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    fil_probe_options_init(&o);
    assert_int_equal(fil_probe(ctx, &o, &r, NULL, 0), FIL_E_ARG);
    o.qkv = "no-such-file";
    assert_int_equal(fil_probe(ctx, &o, &r, NULL, 0), FIL_E_IO);
    o.repetitions = 100;
    assert_int_equal(fil_probe(ctx, &o, &r, NULL, 0), FIL_E_ARG);
    o.repetitions = 0;
    o.precision   = FIL_F16;
    assert_int_equal(fil_probe(ctx, &o, &r, NULL, 0), FIL_E_ARG);
    assert_int_equal(fil_probe(ctx, &o, &r, NULL, 1), FIL_E_ARG);
    assert_int_equal(fil_probe(ctx, NULL, &r, NULL, 0), FIL_E_ARG);
    assert_int_equal(fil_probe(NULL, &o, &r, NULL, 0), FIL_E_ARG);
    assert_int_equal(fil_ctx_memory(ctx).used, 0);
    fil_ctx_close(&ctx);
}

/* ---- a token that is no number -------------------------------------------------------------- */

enum { TOKENS = 4 * 8 * 12, DIM = 64, BAD = TOKENS - 1 };

/* q, k, v of normal numbers; token `bad` of k and v is NaN, none if it is -1. */
static void write_qkv(fil_ctx *ctx, const char *path, int64_t bad)
{
    static float      x[3][TOKENS * DIM];
    const char *const names[] = {"q", "k", "v"};
    const fil_pair    grid    = {"grid", "4,8,12"};
    fil_tensor_desc   t[3];
    fil_writer       *w = NULL;
    for (int i = 0; i < 3; i++) {
        fili_philox_normal(5, (uint64_t)i, 0, x[i], TOKENS * DIM);
        t[i] = (fil_tensor_desc){
            .name = names[i], .dtype = FIL_F32, .rank = 3, .shape = {TOKENS, 1, DIM}};
        for (int d = 0; bad >= 0 && i > 0 && d < DIM; d++)
            x[i][bad * DIM + d] = NAN;
    }
    assert_int_equal(fil_writer_open(ctx, path, t, 3, &grid, 1, FIL_WRITE_REPLACE, &w), FIL_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(fil_writer_put(w, i, x[i], sizeof x[i]), FIL_OK);
    assert_int_equal(fil_writer_finish(&w), FIL_OK);
}

static void probe_file(fil_ctx *ctx, const fil_probe_options *o, fil_probe_result *r)
{
    if (fil_probe(ctx, o, r, NULL, 0) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
}

/* A window does not look at the tokens, so that the last one is far from the first rows. */
static void a_token_that_is_no_number_reaches_only_the_rows_that_keep_it(void **state)
{
    fil_ctx           *ctx = NULL;
    scratch            s;
    fil_policy_options policy;
    fil_probe_options  o;
    fil_probe_result   r;
    char               in[300];
    char               out[2][300];
    float             *x[2];
    int64_t            n;
    int                touched = 0;
    (void)state;
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    scratch_make(&s);
    snprintf(in, sizeof in, "%s/in.safetensors", s.path);
    fil_policy_options_init(&policy);
    policy.name    = "window";
    policy.density = 0.4;
    fil_probe_options_init(&o);
    o.qkv         = in;
    o.policy      = &policy;
    o.repetitions = 1;
    for (int i = 0; i < 2; i++) {
        snprintf(out[i], sizeof out[i], "%s/out%d.safetensors", s.path, i);
        o.out = out[i];
        write_qkv(ctx, in, i == 0 ? -1 : BAD);
        probe_file(ctx, &o, &r);
        x[i] = fixture_tensor(ctx, out[i], "out", FIL_F32, &n);
    }
    assert_true(isnan(r.all.rel_l2));
    assert_true(isnan(r.all.recall) && isnan(r.all.recall_min));
    for (int64_t t = 0; t < TOKENS; t++) {
        if (isnan(x[1][t * DIM])) {
            touched++;
            continue;
        }
        assert_memory_equal(x[0] + t * DIM, x[1] + t * DIM, DIM * sizeof(float));
    }
    assert_true(touched > 0 && touched < TOKENS / 2 + 64);
    free(x[0]);
    free(x[1]);
    scratch_remove(&s);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dfs_keeps_and_loses_what_the_reference_does),
        cmocka_unit_test(figures_of_all_are_those_of_the_heads),
        cmocka_unit_test(density_1_is_exact),
        cmocka_unit_test(what_is_no_probe_is_refused),
        cmocka_unit_test(a_token_that_is_no_number_reaches_only_the_rows_that_keep_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
