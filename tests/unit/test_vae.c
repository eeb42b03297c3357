/* tests/unit/test_vae.c: wan/vae.h against the reference implementations' outputs (FIL_FIXTURES),
 * and its laws: causal, the same in pieces as whole, the same for any number of threads.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "wan/vae.h"
#include "wan/weights.h"

enum { Z = 16 };

static fil_ctx *open_ctx(int32_t threads)
{
    fil_ctx    *ctx;
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = threads;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    return ctx;
}

static void must(fil_ctx *ctx, fil_status status)
{
    if (status != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
}

typedef struct model {
    fil_ctx      *ctx;
    fili_weights *weights;
    fili_vae     *vae;
} model;

static model open_model(const char *path, int32_t threads, fil_dtype precision)
{
    model m = {.ctx = open_ctx(threads)};
    must(m.ctx, fili_weights_open(m.ctx, FILI_PART_VAE, path, 0, &m.weights));
    must(m.ctx, fili_vae_open(m.ctx, m.weights, precision, &m.vae));
    return m;
}

static void close_model(model *m)
{
    fili_vae_close(&m->vae);
    fili_weights_close(&m->weights);
    fil_ctx_close(&m->ctx);
}

/* ---- clips ---------------------------------------------------------------------------------- */

typedef struct clip {
    float  *rgb; /* [n][3, h, w] */
    int32_t n, h, w;
} clip;

static fil_status keep_frame(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    clip        *c    = user;
    const size_t size = 3 * (size_t)h * (size_t)w;
    assert_int_equal(index, c->n);
    c->rgb = realloc(c->rgb, (size_t)(index + 1) * size * sizeof *c->rgb);
    assert_non_null(c->rgb);
    memcpy(c->rgb + (size_t)index * size, rgb, size * sizeof *rgb);
    c->n = index + 1;
    c->h = h;
    c->w = w;
    return FIL_OK;
}

static clip decode(model *m, const float *z, int32_t t, int32_t h, int32_t w)
{
    clip c = {.rgb = NULL};
    must(m->ctx, fili_vae_decode(m->vae, z, t, h, w, keep_frame, &c));
    assert_int_equal(c.n, 4 * (t - 1) + 1);
    assert_int_equal(c.h, 8 * h);
    assert_int_equal(c.w, 8 * w);
    return c;
}

/* Value of channel c of frame f at pixel i of a clip, and of a tensor [3, F, H, W]. */
static size_t at_clip(const clip *c, int32_t channel, int32_t f, size_t i)
{
    return ((size_t)f * 3 + (size_t)channel) * (size_t)c->h * (size_t)c->w + i;
}

static size_t at_tensor(const clip *c, int32_t channel, int32_t f, size_t i)
{
    return ((size_t)channel * (size_t)c->n + (size_t)f) * (size_t)c->h * (size_t)c->w + i;
}

typedef struct distance {
    double square, norm, max;
} distance;

static void compare(distance *d, double got, double want)
{
    const double diff = fabs(got - want);
    d->square += diff * diff;
    d->norm += want * want;
    if (!(diff <= d->max)) d->max = diff;
}

static void close_enough(const distance *d, const char *what, double rel, double max)
{
    const double relative = sqrt(d->square / d->norm);
    printf("  %s: relative distance %.2g, largest %.2g\n", what, relative, d->max);
    if (!(relative <= rel) || !(d->max <= max)) fail_msg("%s is too far", what);
}

/* ---- against the reference ------------------------------------------------------------------ */

static const char *const layouts[] = {
    "pipeline/vae",
    "pipeline/original/Wan2.1_VAE.pth",
    "vae/wan_vae_bf16.safetensors",
};

static void decodes_as(const char *layout, const char *file, int32_t t, fil_dtype precision,
                       double rel, double max)
{
    char        what[128];
    int64_t     nz;
    int64_t     nv;
    model       m    = open_model(fixture_path(layout), 2, precision);
    const char *path = fixture_path(file);
    float      *z    = fixture_tensor(m.ctx, path, "z", FIL_F32, &nz);
    float      *want = fixture_tensor(m.ctx, path, "video.exact", FIL_F32, &nv);
    clip        c    = decode(&m, z, t, 6, 8);
    distance    d    = {0.0, 0.0, 0.0};
    assert_int_equal(nv, 3 * c.n * c.h * c.w);
    for (int32_t k = 0; k < 3; k++)
        for (int32_t f = 0; f < c.n; f++)
            for (size_t i = 0; i < (size_t)c.h * (size_t)c.w; i++)
                compare(&d, (double)c.rgb[at_clip(&c, k, f, i)],
                        (double)want[at_tensor(&c, k, f, i)]);
    snprintf(what, sizeof what, "%s, %s", layout, file);
    close_enough(&d, what, rel, max);
    free(c.rgb);
    free(want);
    free(z);
    close_model(&m);
}

static void every_layout_decodes_as_the_official_code_in_f64(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        decodes_as(layouts[i], "vae/decode_5x6x8.safetensors", 5, FIL_F32, 1e-5, 3e-5);
        decodes_as(layouts[i], "vae/decode_1x6x8.safetensors", 1, FIL_F32, 1e-5, 3e-5);
    }
}

typedef struct pixels {
    const uint8_t *u8; /* [3, n, h, w] */
    clip           size;
} pixels;

static fil_status give_frame(void *user, int32_t index, float *rgb, int32_t h, int32_t w)
{
    const pixels *p = user;
    for (int32_t k = 0; k < 3; k++)
        for (size_t i = 0; i < (size_t)h * (size_t)w; i++)
            rgb[(size_t)k * (size_t)h * (size_t)w + i] =
                (float)p->u8[at_tensor(&p->size, k, index, i)] / 127.5f - 1.0f;
    return FIL_OK;
}

static void encodes_as(const char *layout, const char *file, int32_t n, fil_dtype precision,
                       double rel, double max)
{
    char        what[128];
    int64_t     nv;
    int64_t     nz;
    model       m    = open_model(fixture_path(layout), 2, precision);
    const char *path = fixture_path(file);
    uint8_t    *u8   = fixture_tensor(m.ctx, path, "video.u8", FIL_U8, &nv);
    float      *want = fixture_tensor(m.ctx, path, "z.exact", FIL_F32, &nz);
    pixels      p    = {.u8 = u8, .size = {.n = n, .h = 48, .w = 64}};
    float      *z    = malloc((size_t)nz * sizeof *z);
    distance    d    = {0.0, 0.0, 0.0};
    assert_non_null(z);
    assert_int_equal(nz, Z * ((n - 1) / 4 + 1) * 48);
    must(m.ctx, fili_vae_encode(m.vae, give_frame, &p, n, 48, 64, z));
    for (int64_t i = 0; i < nz; i++)
        compare(&d, (double)z[i], (double)want[i]);
    snprintf(what, sizeof what, "%s, %s", layout, file);
    close_enough(&d, what, rel, max);
    free(z);
    free(want);
    free(u8);
    close_model(&m);
}

static void every_layout_encodes_as_the_official_code_in_f64(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        encodes_as(layouts[i], "vae/encode_17x48x64.safetensors", 17, FIL_F32, 1e-5, 3e-5);
        encodes_as(layouts[i], "vae/encode_1x48x64.safetensors", 1, FIL_F32, 1e-5, 3e-5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_decodes_as_the_official_code_in_f64),
        cmocka_unit_test(every_layout_encodes_as_the_official_code_in_f64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
