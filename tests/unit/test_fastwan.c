/* tests/unit/test_fastwan.c: a few-step checkpoint as FastVideo writes it, with a gate, through
 * fil_generate: its sampler, the policy vsa, and the model run dense. The other parts of the model
 * are the demo checkpoint's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/video.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/dit_make.h"
#include "support/fault.h"
#include "support/fixture.h"

enum { LATENTS = 16 * 3 * 12 * 16 };

typedef struct rig {
    scratch              dir;
    fil_ctx             *ctx;
    fil_model           *model;
    fil_policy_options   policy;
    fil_generate_options o;
    fil_video_result     result;
    char                 latents[512];
} rig;

static void close_gates(dit_made *m)
{
    for (int32_t i = 0; i < m->n; i++) {
        size_t n = 1;
        if (strstr(m->tensors[i].name, "to_gate_compress") == NULL) continue;
        for (uint32_t d = 0; d < m->tensors[i].rank; d++)
            n *= (size_t)m->tensors[i].shape[d];
        memset((void *)(uintptr_t)m->tensors[i].data, 0, n * sizeof(float));
    }
}

static void start(rig *r, int has_gate, int closed)
{
    dit_made        made;
    fili_dit_config c = dit_small_config();
    *r                = (rig){.model = NULL};
    c.heads           = 1;
    c.in_channels = c.out_channels = 16;
    c.text_dim                     = 64;
    c.text_len                     = 512;
    c.has_gate                     = has_gate;
    scratch_make(&r->dir);
    assert_int_equal(fil_ctx_open(&r->ctx, NULL), FIL_OK);
    dit_make(&made, &c, 23);
    if (closed) close_gates(&made);
    dit_write(&made, r->ctx, scratch_path(&r->dir, "fastwan.safetensors"),
              &(dit_file){.diffusers = 1, .dtype = FIL_BF16});
    dit_free(&made);
    r->model = demo_open(r->ctx, scratch_path(&r->dir, "fastwan.safetensors"));
    fil_policy_options_init(&r->policy);
    fil_generate_options_init(&r->o);
    r->policy.name = "vsa";
    r->o.policy    = &r->policy;
    r->o.prompt    = "A red fox in the snow.";
    r->o.width     = 128;
    r->o.height    = 96;
    r->o.frames    = 9;
    r->o.sampler   = "dmd";
    r->o.replace   = 1;
    snprintf(r->latents, sizeof r->latents, "%s", scratch_path(&r->dir, "latents.safetensors"));
    r->o.save_latents = r->latents;
}

static void finish(rig *r)
{
    fil_model_close(&r->model);
    assert_int_equal(fil_ctx_memory(r->ctx).used, 0);
    fil_ctx_close(&r->ctx);
    scratch_remove(&r->dir);
}

/* The latents, to be freed. */
static float *render(rig *r)
{
    int64_t n;
    if (fil_generate(r->model, &r->o, &r->result) != FIL_OK)
        fail_msg("%s", fil_ctx_error(r->ctx)->message);
    float *data = fixture_tensor(r->ctx, r->latents, "latents", FIL_F32, &n);
    assert_int_equal(n, LATENTS);
    for (int i = 0; i < LATENTS; i++)
        assert_true(isfinite(data[i]));
    return data;
}

static double distance(const float *a, const float *b)
{
    double error = 0.0;
    double norm  = 0.0;
    for (int i = 0; i < LATENTS; i++) {
        error += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return sqrt(error / norm);
}

static void it_renders_with_its_sampler_and_the_sparsity_it_was_trained_at(void **state)
{
    rig      r;
    fil_plan plan;
    (void)state;
    SKIP_WITHOUT_DEMO();
    start(&r, 1, 0);
    r.policy.order = "cubes 2x2x2";
    assert_int_equal(fil_generate_check(r.model, &r.o, &plan), FIL_OK);
    printf("%s\n", plan.attention);
    assert_int_equal(plan.steps, 3);
    assert_int_equal(plan.passes, 1);
    assert_true(fabs(plan.density - 0.2) < 1e-9);
    assert_non_null(strstr(plan.attention, "coarse branch with the model's gate"));
    free(render(&r));
    assert_int_equal(r.result.calls, 6);
    assert_int_equal(r.result.dense_calls, 0);
    assert_int_equal(r.result.refreshes, 6);
    assert_true(r.result.density < 0.3);
    finish(&r);
}

static void the_gate_decides_what_comes_out_and_two_runs_are_the_same(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    start(&r, 1, 0);
    r.policy.order   = "cubes 2x2x2";
    r.policy.density = 0.2;
    float *with      = render(&r);
    float *again     = render(&r);
    r.policy.gate    = 0;
    float *without   = render(&r);
    assert_memory_equal(with, again, LATENTS * sizeof *with);
    assert_true(distance(without, with) > 1e-2);
    free(with);
    free(again);
    free(without);
    finish(&r);
}

static void with_a_gate_of_zero_and_everything_kept_it_is_dense_to_the_bit(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    start(&r, 1, 1);
    r.policy.order   = "cubes 4x4x4";
    r.policy.density = 1.0;
    float *sparse    = render(&r);
    assert_int_equal(r.result.dense_calls, r.result.calls);
    assert_true(r.result.density == 1.0);
    r.policy.name = "dense";
    float *dense  = render(&r);
    assert_memory_equal(sparse, dense, LATENTS * sizeof *sparse);
    free(sparse);
    free(dense);
    finish(&r);
}

static void it_runs_dense_in_the_memory_of_a_model_without_gate(void **state)
{
    rig      r;
    fil_plan plan[2];
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (int gated = 0; gated < 2; gated++) {
        start(&r, gated, 0);
        r.o.policy = NULL;
        assert_int_equal(fil_generate_check(r.model, &r.o, &plan[gated]), FIL_OK);
        free(render(&r));
        finish(&r);
    }
    /* the directories of the files differ, as one has more tensors */
    assert_int_equal(plan[0].weight_bytes, plan[1].weight_bytes);
    assert_int_equal(plan[0].attention_bytes, plan[1].attention_bytes);
}

static void a_gate_that_is_wanted_and_missing_is_refused_or_runs_dense(void **state)
{
    rig r;
    (void)state;
    SKIP_WITHOUT_DEMO();
    start(&r, 0, 0);
    r.policy.gate    = 1;
    r.policy.density = 0.2;
    assert_int_equal(fil_generate(r.model, &r.o, NULL), FIL_E_MISMATCH);
    printf("%s\n", fil_ctx_error(r.ctx)->message);
    assert_non_null(strstr(fil_ctx_error(r.ctx)->message, "a gate is wanted"));
    r.policy.fallback = 1;
    free(render(&r));
    assert_true(r.result.density == 1.0);
    finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_renders_with_its_sampler_and_the_sparsity_it_was_trained_at),
        cmocka_unit_test(the_gate_decides_what_comes_out_and_two_runs_are_the_same),
        cmocka_unit_test(with_a_gate_of_zero_and_everything_kept_it_is_dense_to_the_bit),
        cmocka_unit_test(it_runs_dense_in_the_memory_of_a_model_without_gate),
        cmocka_unit_test(a_gate_that_is_wanted_and_missing_is_refused_or_runs_dense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
