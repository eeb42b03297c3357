/* tests/support/attention_case.c: reading the methods' fixtures (attention_case.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/attention_case.h"
#include "support/cmocka_all.h"
#include "support/fixture.h"

static double step_of(fil_ctx *ctx, const char *path, const char *wanted)
{
    fil_file   *file = NULL;
    const char *key;
    const char *value;
    double      step = 0.0;
    if (fil_file_open(ctx, path, 0, &file) != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
    for (size_t i = 0; i < fil_file_metadata_pairs(file); i++) {
        fil_file_metadata(file, i, &key, &value);
        if (strcmp(key, wanted) == 0) step = strtod(value, NULL);
    }
    fil_file_close(&file);
    if (!(step > 0.0)) fail_msg("the fixture has no metadata '%s'", wanted);
    return step;
}

static float *take(const attention_case *c, const fili_order *order, const char *name)
{
    char          step[16];
    int64_t       n;
    const int64_t row = (int64_t)c->heads * c->head_dim;
    signed char  *raw = fixture_tensor(c->ctx, c->path, name, FIL_I8, &n);
    assert_int_equal(n, c->n * row);
    snprintf(step, sizeof step, "%s_step", name);
    const float unit = (float)step_of(c->ctx, c->path, step);
    float      *out  = malloc((size_t)n * sizeof *out);
    assert_non_null(out);
    for (int64_t i = 0; i < c->n; i++)
        for (int64_t d = 0; d < row; d++)
            out[i * row + d] = unit * (float)raw[order->order[i] * row + d];
    free(raw);
    return out;
}

static int32_t whole(const json_t *json, const char *key)
{
    return (int32_t)json_integer_value(json_object_get(json, key));
}

bool attention_case_open(attention_case *c, fil_ctx *ctx, char letter, const fili_order_spec *order)
{
    char          name[64];
    json_error_t  error;
    fili_order    made;
    const json_t *grid;
    *c = (attention_case){.ctx = ctx};
    if (fixture_path("methods") == NULL) return false;
    snprintf(name, sizeof name, "methods/attention_%c.json", letter);
    c->json = json_load_file(fixture_path(name), 0, &error);
    assert_non_null(c->json);
    snprintf(name, sizeof name, "methods/attention_%c.safetensors", letter);
    snprintf(c->path, sizeof c->path, "%s", fixture_path(name));
    grid        = json_object_get(c->json, "grid");
    c->grid.f   = (int32_t)json_integer_value(json_array_get(grid, 0));
    c->grid.h   = (int32_t)json_integer_value(json_array_get(grid, 1));
    c->grid.w   = (int32_t)json_integer_value(json_array_get(grid, 2));
    c->heads    = whole(c->json, "heads");
    c->head_dim = whole(c->json, "head_dim");
    c->scale    = 1.0f / sqrtf((float)c->head_dim);
    assert_int_equal(fili_order_init(&made, ctx, c->grid, order), FIL_OK);
    c->n = made.n;
    c->q = take(c, &made, "q");
    c->k = take(c, &made, "k");
    c->v = take(c, &made, "v");
    fili_order_fini(&made);
    for (int i = 0; i < 3; i++)
        c->view[i] = (filk_attn_view){.data     = i == 0   ? c->q
                                                  : i == 1 ? c->k
                                                           : c->v,
                                      .stride_n = (int64_t)c->heads * c->head_dim,
                                      .stride_h = c->head_dim};
    return true;
}

void attention_case_close(attention_case *c)
{
    json_decref(c->json);
    free(c->q);
    free(c->k);
    free(c->v);
    *c = (attention_case){.ctx = c->ctx};
}

void *attention_case_tensor(const attention_case *c, const char *name, fil_dtype dtype, int64_t *n)
{
    return fixture_tensor(c->ctx, c->path, name, dtype, n);
}
