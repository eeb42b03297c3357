/* tests/unit/test_dit_hash.c: wan/dit_hash.h: one model, one hash, in every layout and type;
 * another model, another hash. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "support/cmocka_all.h"
#include "support/dit_make.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "wan/dit_hash.h"

static void hash_file(fil_ctx *ctx, const char *path, char hex[FILI_SHA256_HEX])
{
    fili_weights   *w = NULL;
    fili_dit_config config;
    if (fili_weights_open(ctx, FILI_PART_DIT, path, 0, &w) != FIL_OK ||
        fili_dit_config_detect(w, &config) != FIL_OK ||
        fili_dit_check_weights(w, &config) != FIL_OK || fili_dit_hash(w, &config, hex) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    fili_weights_close(&w);
}

static void hash_made(fil_ctx *ctx, const dit_made *m, char hex[FILI_SHA256_HEX])
{
    fili_weights *w = NULL;
    assert_int_equal(fili_weights_make(ctx, FILI_PART_DIT, m->tensors, (size_t)m->n, NULL, &w),
                     FIL_OK);
    if (fili_dit_check_weights(w, &m->config) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    assert_int_equal(fili_dit_hash(w, &m->config, hex), FIL_OK);
    fili_weights_close(&w);
}

static void other_values_of_any_tensor_give_another_hash(void **state)
{
    (void)state;
    fil_ctx              *ctx    = NULL;
    const fili_dit_config config = dit_small_config();
    dit_made              m;
    char                  was[FILI_SHA256_HEX];
    char                  is[FILI_SHA256_HEX];
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    dit_make(&m, &config, 1);
    hash_made(ctx, &m, was);
    hash_made(ctx, &m, is);
    assert_string_equal(was, is);
    for (int32_t i = 0; i < m.n; i++) {
        float      *values = fili_writable(dit_values(&m, m.names[i]));
        const float before = values[0];
        values[0]          = before + 1.0f;
        hash_made(ctx, &m, is);
        values[0] = before;
        if (strcmp(was, is) == 0) fail_msg("%s does not count", m.names[i]);
    }
    dit_free(&m);
    fil_ctx_close(&ctx);
}

static void types_and_names_of_the_file_do_not_matter(void **state)
{
    (void)state;
    fil_ctx              *ctx    = NULL;
    const fili_dit_config config = dit_small_config();
    const dit_file        how[]  = {{.dtype = FIL_F32},
                                    {.dtype = FIL_BF16},
                                    {.dtype = FIL_BF16, .prefix = "model.diffusion_model."},
                                    {.dtype = FIL_F32, .diffusers = 1}};
    dit_made              m;
    scratch               dir;
    char                  hex[4][FILI_SHA256_HEX];
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    scratch_make(&dir);
    dit_make(&m, &config, 2);
    for (int i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d.safetensors", i);
        dit_write(&m, ctx, scratch_path(&dir, name), &how[i]);
        hash_file(ctx, scratch_path(&dir, name), hex[i]);
        assert_string_equal(hex[i], hex[0]);
    }
    dit_free(&m);
    scratch_remove(&dir);
    fil_ctx_close(&ctx);
}

static void the_layouts_of_the_fixture_have_one_hash(void **state)
{
    (void)state;
    fil_ctx *ctx = NULL;
    char     a[FILI_SHA256_HEX];
    char     b[FILI_SHA256_HEX];
    if (fixture_path("") == NULL) skip();
    assert_int_equal(fil_ctx_open(&ctx, NULL), FIL_OK);
    hash_file(ctx, fixture_path("pipeline/transformer"), a);
    hash_file(ctx, fixture_path("pipeline/original"), b);
    assert_string_equal(a, b);
    hash_file(ctx, fixture_path("shapes/transformer"), b);
    assert_string_not_equal(a, b);
    fil_ctx_close(&ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_values_of_any_tensor_give_another_hash),
        cmocka_unit_test(types_and_names_of_the_file_do_not_matter),
        cmocka_unit_test(the_layouts_of_the_fixture_have_one_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
