/* tests/unit/test_vae.c: wan/vae.h against the reference implementations' outputs (FIL_FIXTURES),
 * against a small golden (tests/golden/make_vae.py), and its laws: causal, the same in pieces as
 * whole, the same for any number of threads, no memory taken while it runs.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden/vae_golden.h"
#include "kernel/device_rows.h"
#include "support/cmocka_all.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/vae_clip.h"
#include "wan/vae_rows.h"

enum { Z = 16, MAX_TENSORS = 256 };

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

/* ---- models --------------------------------------------------------------------------------- */

/* Of make_vae.py. */
static const char small_config[] =
    "{\"latents_mean\": [0.25, -0.5, 0.125, 0.75], \"latents_std\": [1.5, 0.75, 2.0, 1.25]}";

static fili_vae_config small_sizes(void)
{
    return (fili_vae_config){.z_dim      = 4,
                             .base_dim   = 8,
                             .n_levels   = 3,
                             .multiplier = {1, 2, 2},
                             .blocks     = 1,
                             .temporal   = {0, 1}};
}

/* In [-0.5, 0.5), as in make_vae.py. */
static double drawn(uint64_t hash, uint64_t i)
{
    uint64_t z = hash + (i + 1) * 0x9e3779b97f4a7c15u;
    z          = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z          = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 40) / 16777216.0 - 0.5;
}

static int ends_with(const char *text, const char *ending)
{
    const size_t n = strlen(text);
    const size_t m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

static float *make_tensor(const char *name, int64_t n, int64_t fan)
{
    float   *data = malloc((size_t)n * sizeof *data);
    uint64_t hash = 0xcbf29ce484222325u;
    assert_non_null(data);
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    for (int64_t i = 0; i < n; i++) {
        const double u = drawn(hash, (uint64_t)i);
        if (ends_with(name, ".gamma"))
            data[i] = (float)(1.0 + 0.5 * u);
        else if (ends_with(name, ".bias"))
            data[i] = (float)(0.5 * u);
        else
            data[i] = (float)(u * sqrt(12.0 / (double)fan));
    }
    return data;
}

typedef struct tensors {
    fili_made_tensor made[MAX_TENSORS];
    char             name[MAX_TENSORS][96];
    float           *data[MAX_TENSORS];
    size_t           n;
} tensors;

static fil_status add_tensor(void *user, const char *name, uint32_t rank, const int64_t *shape)
{
    tensors *t     = user;
    int64_t  count = 1;
    assert_true(t->n < MAX_TENSORS);
    fili_made_tensor *m = &t->made[t->n];
    snprintf(t->name[t->n], sizeof t->name[0], "%s", name);
    for (uint32_t i = 0; i < rank; i++) {
        m->shape[i] = shape[i];
        count *= shape[i];
    }
    t->data[t->n] = make_tensor(name, count, count / shape[0]);
    m->name       = t->name[t->n];
    m->dtype      = FIL_F32;
    m->rank       = rank;
    m->data       = t->data[t->n++];
    return FIL_OK;
}

static tensors *small_tensors(fil_ctx *ctx)
{
    const fili_vae_config config = small_sizes();
    tensors              *t      = calloc(1, sizeof *t);
    assert_non_null(t);
    must(ctx, fili_vae_each_tensor(ctx, &config, add_tensor, t));
    return t;
}

static void free_tensors(tensors *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->data[i]);
    free(t);
}

typedef struct model {
    fil_ctx      *ctx;
    tensors      *tensors; /* NULL: from a file */
    fili_weights *weights;
    fili_vae     *vae;
    int32_t       z, scale;
} model;

static model open_model(const char *path, int32_t threads, fil_dtype precision)
{
    model m = {.ctx = open_ctx(threads), .z = Z, .scale = 8};
    must(m.ctx, fili_weights_open(m.ctx, FILI_PART_VAE, path, 0, &m.weights));
    must(m.ctx, fili_vae_open(m.ctx, m.weights, precision, &m.vae));
    return m;
}

static model small_model_in(fil_ctx *ctx)
{
    model m   = {.ctx = ctx, .z = 4, .scale = 4};
    m.tensors = small_tensors(m.ctx);
    must(m.ctx, fili_weights_make(m.ctx, FILI_PART_VAE, m.tensors->made, m.tensors->n, small_config,
                                  &m.weights));
    must(m.ctx, fili_vae_open(m.ctx, m.weights, FIL_F32, &m.vae));
    return m;
}

static model small_model(int32_t threads)
{
    return small_model_in(open_ctx(threads));
}

static void close_model(model *m)
{
    fili_vae_close(&m->vae);
    fili_weights_close(&m->weights);
    if (m->tensors != NULL) free_tensors(m->tensors);
    fil_ctx_close(&m->ctx);
}

/* ---- clips ---------------------------------------------------------------------------------- */

static clip decode(model *m, const float *z, int32_t t, int32_t h, int32_t w)
{
    clip c = {.rgb = NULL};
    must(m->ctx, fili_vae_decode(m->vae, z, t, h, w, keep_frame, &c));
    assert_int_equal(c.n, fili_vae_time_scale(fili_vae_config_of(m->vae)) * (t - 1) + 1);
    assert_int_equal(c.h, m->scale * h);
    assert_int_equal(c.w, m->scale * w);
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
    "pipeline",
    "pipeline/original",
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

static void bf16_stays_near(void **state)
{
    (void)state;
    if (fixture_path("") == NULL) skip();
    setenv("FIL_ISA", "ref", 1); /* bf16 with sums in f64 */
    decodes_as("pipeline/vae", "vae/decode_1x6x8.safetensors", 1, FIL_BF16, 1.5e-2, 8e-2);
    unsetenv("FIL_ISA");
    decodes_as("pipeline/vae", "vae/decode_1x6x8.safetensors", 1, FIL_BF16, 1.5e-2, 8e-2);
    decodes_as("pipeline/vae", "vae/decode_5x6x8.safetensors", 5, FIL_BF16, 1.5e-2, 8e-2);
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

/* ---- the golden ----------------------------------------------------------------------------- */

static void compare_golden(const float *golden, size_t n, size_t i, float got, distance *d)
{
    if (i % GOLDEN_STEP != 0) return;
    assert_true(i / GOLDEN_STEP < n);
    compare(d, (double)got, (double)golden[i / GOLDEN_STEP]);
}

#define LENGTH(list) (sizeof(list) / sizeof(list)[0])

static void a_small_model_decodes_as_the_golden_says(void **state)
{
    (void)state;
    model    m = small_model(2);
    float   *z = make_tensor("golden.latent.bias", 4 * GOLDEN_T * GOLDEN_H * GOLDEN_W, 1);
    distance d = {0.0, 0.0, 0.0};
    for (int i = 0; i < 4 * GOLDEN_T * GOLDEN_H * GOLDEN_W; i++)
        z[i] *= 2.0f;
    clip c = decode(&m, z, GOLDEN_T, GOLDEN_H, GOLDEN_W);
    for (int32_t k = 0; k < 3; k++)
        for (int32_t f = 0; f < c.n; f++)
            for (size_t i = 0; i < (size_t)c.h * (size_t)c.w; i++)
                compare_golden(golden_video, LENGTH(golden_video), at_tensor(&c, k, f, i),
                               c.rgb[at_clip(&c, k, f, i)], &d);
    close_enough(&d, "video", 1e-5, 3e-5);
    free(c.rgb);
    free(z);
    close_model(&m);
}

typedef struct floats {
    const float *rgb; /* [3, n, h, w] */
    clip         size;
} floats;

static fil_status give_floats(void *user, int32_t index, float *rgb, int32_t h, int32_t w)
{
    const floats *p = user;
    for (int32_t k = 0; k < 3; k++)
        for (size_t i = 0; i < (size_t)h * (size_t)w; i++)
            rgb[(size_t)k * (size_t)h * (size_t)w + i] = p->rgb[at_tensor(&p->size, k, index, i)];
    return FIL_OK;
}

static void a_small_model_encodes_as_the_golden_says(void **state)
{
    (void)state;
    enum { N = 2 * (GOLDEN_T - 1) + 1, HIGH = 4 * GOLDEN_H, WIDE = 4 * GOLDEN_W };
    model    m   = small_model(2);
    float   *rgb = make_tensor("golden.video.bias", 3 * N * HIGH * WIDE, 1);
    floats   p   = {.rgb = rgb, .size = {.n = N, .h = HIGH, .w = WIDE}};
    distance d   = {0.0, 0.0, 0.0};
    float    z[4 * GOLDEN_T * GOLDEN_H * GOLDEN_W];
    for (int i = 0; i < 3 * N * HIGH * WIDE; i++)
        rgb[i] *= 2.0f;
    must(m.ctx, fili_vae_encode(m.vae, give_floats, &p, N, HIGH, WIDE, z));
    for (size_t i = 0; i < LENGTH(z); i++)
        compare_golden(golden_latent, LENGTH(golden_latent), i, z[i], &d);
    close_enough(&d, "latent", 1e-5, 3e-5);
    free(rgb);
    close_model(&m);
}

/* ---- laws ----------------------------------------------------------------------------------- */

enum { T = 4, HIGH = 5, WIDE = 7 };

static float *some_latent(const char *name)
{
    return make_tensor(name, 4 * T * HIGH * WIDE, 1);
}

static void same_frames(const clip *a, const clip *b, int32_t n)
{
    assert_memory_equal(a->rgb, b->rgb,
                        (size_t)n * 3 * (size_t)a->h * (size_t)a->w * sizeof *a->rgb);
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    (void)state;
    float *z    = some_latent("threads.bias");
    model  one  = small_model(1);
    clip   want = decode(&one, z, T, HIGH, WIDE);
    floats p    = {.rgb = want.rgb, .size = {.n = want.n, .h = want.h, .w = want.w}};
    float  back[4 * T * HIGH * WIDE];
    must(one.ctx, fili_vae_encode(one.vae, give_floats, &p, want.n, want.h, want.w, back));
    for (int32_t threads = 2; threads <= 3; threads++) {
        model m   = small_model(threads);
        clip  got = decode(&m, z, T, HIGH, WIDE);
        float other[4 * T * HIGH * WIDE];
        same_frames(&got, &want, want.n);
        must(m.ctx, fili_vae_encode(m.vae, give_floats, &p, want.n, want.h, want.w, other));
        assert_memory_equal(other, back, sizeof back);
        free(got.rgb);
        close_model(&m);
    }
    free(want.rgb);
    free(z);
    close_model(&one);
}

static void in_pieces_it_gives_the_same_bits_as_whole(void **state)
{
    (void)state;
    float           *z    = some_latent("pieces.bias");
    model            m    = small_model(2);
    clip             want = decode(&m, z, T, HIGH, WIDE);
    clip             got  = {.rgb = NULL};
    fili_vae_stream *s    = NULL;
    must(m.ctx, fili_vae_decoder(m.vae, HIGH, WIDE, &s));
    for (int32_t t = 0; t < T; t++) {
        float piece[4 * HIGH * WIDE]; /* each frame from a place of its own */
        for (size_t c = 0; c < 4; c++)
            memcpy(piece + c * HIGH * WIDE, z + (c * T + (size_t)t) * HIGH * WIDE,
                   HIGH * WIDE * sizeof *piece);
        must(m.ctx, fili_vae_decode_frame(s, piece, HIGH * WIDE, keep_frame, &got));
    }
    assert_int_equal(got.n, want.n);
    same_frames(&got, &want, want.n);
    fili_vae_stream_close(&s);
    free(want.rgb);
    free(got.rgb);
    free(z);
    close_model(&m);
}

typedef struct watch {
    const clip *want;
    int32_t     next;  /* the frame that is to come */
    int32_t     wrong; /* frames that are not those of `want` */
} watch;

static fil_status watch_frame(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    watch       *v = user;
    const size_t n = 3 * (size_t)h * (size_t)w;
    assert_int_equal(index, v->next);
    v->next++;
    v->wrong += memcmp(rgb, v->want->rgb + (size_t)index * n, n * sizeof *rgb) != 0;
    return FIL_OK;
}

/* From latent frame `next` on, told of those from `from` on. */
static watch go_on(model *m, const float *z, int32_t t, const clip *want, int32_t from,
                   int32_t next)
{
    fili_vae_stream *s = NULL;
    watch            v = {.want = want};
    must(m->ctx, fili_vae_decoder(m->vae, HIGH, WIDE, &s));
    if (from < 0) from = fili_vae_felt(s, next);
    for (int32_t i = from; i < next; i++)
        must(m->ctx, fili_vae_catch_up(s, z + i * HIGH * WIDE, (int64_t)t * HIGH * WIDE, i, next));
    v.next = next > 0 ? 2 * (next - 1) + 1 : 0;
    for (int32_t i = next; i < t; i++)
        must(m->ctx, fili_vae_decode_frame(s, z + i * HIGH * WIDE, (int64_t)t * HIGH * WIDE,
                                           watch_frame, &v));
    fili_vae_stream_close(&s);
    return v;
}

/* The small one feels 29 latent frames in all. */
static void going_on_in_the_middle_gives_the_same_bits(void **state)
{
    enum { LONG = 36 };
    static const int32_t at[] = {0, 1, 2, 3, 9, 10, 11, 20, 29, 30, 31, 35};
    (void)state;
    model  m    = small_model(2);
    float *z    = make_tensor("middle.bias", 4 * LONG * HIGH * WIDE, 1);
    clip   want = decode(&m, z, LONG, HIGH, WIDE);
    for (size_t k = 0; k < sizeof at / sizeof at[0]; k++) {
        const watch v = go_on(&m, z, LONG, &want, -1, at[k]);
        assert_int_equal(v.next, want.n);
        assert_int_equal(v.wrong, 0);
    }
    /* The past is not told of for nothing: with half of it the frames are other ones. */
    assert_true(go_on(&m, z, LONG, &want, 25, 35).wrong > 0);
    free(want.rgb);
    free(z);
    close_model(&m);
}

static void a_latent_frame_changes_no_frame_before_it(void **state)
{
    (void)state;
    float *z    = some_latent("causal.bias");
    model  m    = small_model(2);
    clip   want = decode(&m, z, T, HIGH, WIDE);
    for (int32_t t = 1; t < T; t++) {
        const size_t at    = (size_t)t * HIGH * WIDE + 3;
        const float  was   = z[at];
        const size_t frame = 3 * (size_t)want.h * (size_t)want.w;
        z[at] += 1.0f;
        clip got = decode(&m, z, T, HIGH, WIDE);
        z[at]    = was;
        same_frames(&got, &want, 2 * (t - 1) + 1);
        assert_memory_not_equal(got.rgb + (size_t)(2 * t - 1) * frame,
                                want.rgb + (size_t)(2 * t - 1) * frame, frame * sizeof(float));
        free(got.rgb);
    }
    free(want.rgb);
    free(z);
    close_model(&m);
}

static void a_clip_that_begins_alike_is_decoded_alike(void **state)
{
    (void)state;
    float *z     = some_latent("shorter.bias");
    float *first = malloc(4 * 2 * HIGH * WIDE * sizeof *first);
    model  m     = small_model(2);
    assert_non_null(first);
    for (size_t c = 0; c < 4; c++)
        memcpy(first + c * 2 * HIGH * WIDE, z + c * T * HIGH * WIDE,
               2 * HIGH * WIDE * sizeof *first);
    clip longer  = decode(&m, z, T, HIGH, WIDE);
    clip shorter = decode(&m, first, 2, HIGH, WIDE);
    same_frames(&shorter, &longer, shorter.n);
    free(longer.rgb);
    free(shorter.rgb);
    free(first);
    free(z);
    close_model(&m);
}

/* n numbers of the stream, wherever they lie. */
static float *copy_of(fil_ctx *ctx, const float *x, int n)
{
    float *copy = malloc((size_t)n * sizeof *copy);
    assert_non_null(copy);
    if (filk_device_owns(ctx, x))
        must(ctx, filk_device_get(ctx, copy, x, (size_t)n * sizeof *copy));
    else
        memcpy(copy, x, (size_t)n * sizeof *copy);
    return copy;
}

/* A frame of 24 x 23 pixels is a whole band and a shorter one. */
static void attention_in_bands_is_attention(void **state)
{
    (void)state;
    enum { H = 24, W = 23, N = H * W, C = 16, AT = 2 };
    model            m = small_model(2);
    fili_vae_stream *s = NULL;
    must(m.ctx, fili_vae_decoder(m.vae, H, W, &s));
    assert_true(N > (int)VAE_BAND && N % (int)VAE_BAND != 0);
    const vae_layer *l     = &s->layer[AT];
    float           *given = make_tensor("attention.bias", (int64_t)N * C, 1);
    double          *qkv   = malloc((size_t)N * 3 * C * sizeof *qkv);
    distance         d     = {0.0, 0.0, 0.0};
    assert_non_null(qkv);
    assert_int_equal(l->kind, VAE_ATTENTION);
    float *x = s->level[l->level].x;
    if (s->on_device)
        must(m.ctx, filk_device_put(m.ctx, x, given, (size_t)N * C * sizeof *x));
    else
        memcpy(x, given, (size_t)N * C * sizeof *x);
    must(m.ctx, fili_vae_attend(s, l));
    const vae_attention *a     = &s->attention;
    float               *w     = copy_of(m.ctx, a->qkv, 3 * C * C);
    float               *bias  = copy_of(m.ctx, a->qkv_bias, 3 * C);
    float               *proj  = copy_of(m.ctx, a->proj, C * C);
    float               *shift = copy_of(m.ctx, a->proj_bias, C);
    float               *gamma = copy_of(m.ctx, l->gamma[0], C);
    float               *got   = copy_of(m.ctx, s->level[l->level].x, N * C);
    for (int i = 0; i < N; i++) {
        double square = 0.0;
        for (int c = 0; c < C; c++)
            square += (double)given[i * C + c] * (double)given[i * C + c];
        for (int o = 0; o < 3 * C; o++) {
            double sum = (double)bias[o];
            for (int c = 0; c < C; c++)
                sum += (double)w[o * C + c] * (double)given[i * C + c] * (double)gamma[c] /
                       sqrt(square / C);
            qkv[i * 3 * C + o] = sum;
        }
    }
    for (int i = 0; i < N; i += 11) {
        double weight = 0.0;
        double mix[C] = {0.0};
        for (int j = 0; j < N; j++) {
            double dot = 0.0;
            for (int c = 0; c < C; c++)
                dot += qkv[i * 3 * C + c] * qkv[j * 3 * C + C + c];
            const double p = exp(dot / sqrt((double)C));
            weight += p;
            for (int c = 0; c < C; c++)
                mix[c] += p * qkv[j * 3 * C + 2 * C + c];
        }
        for (int o = 0; o < C; o++) {
            double want = (double)given[i * C + o] + (double)shift[o];
            for (int c = 0; c < C; c++)
                want += (double)proj[o * C + c] * mix[c] / weight;
            compare(&d, (double)got[i * C + o], want);
        }
    }
    close_enough(&d, "attention", 2e-6, 1e-5);
    float *const all[] = {given, w, bias, proj, shift, gamma, got};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    free(qkv);
    fili_vae_stream_close(&s);
    close_model(&m);
}

/* ---- memory and stopping -------------------------------------------------------------------- */

static fil_ctx *faulty_ctx(alloc_fault *fault)
{
    fil_ctx    *ctx;
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = 2;
    opt.host      = alloc_fault_allocator(fault);
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    return ctx;
}

static void a_run_takes_no_memory_and_the_plan_is_what_it_takes(void **state)
{
    (void)state;
    alloc_fault           fault  = {.at = -1};
    model                 m      = small_model_in(faulty_ctx(&fault));
    const fili_vae_config config = small_sizes();
    float                *z      = some_latent("memory.bias");
    fili_vae_stream      *s      = NULL;
    clip                  c      = {.rgb = NULL};
    fili_vae_memory       told;
    must(m.ctx, fili_vae_decode_bytes(m.ctx, &config, FIL_F32, HIGH, WIDE, &told));
    const uint64_t bytes  = told.bytes;
    const uint64_t before = fil_ctx_memory(m.ctx).used;
    must(m.ctx, fili_vae_decoder(m.vae, HIGH, WIDE, &s));
    assert_true(fil_ctx_memory(m.ctx).used - before <= bytes);
    assert_true(fil_ctx_memory(m.ctx).used - before + 4096 >= bytes);
    assert_true(fil_ctx_memory(m.ctx).peak - before <= bytes + 4096);
    fault.at      = fault.calls;
    fault.forever = 1;
    for (int32_t t = 0; t < T; t++)
        must(m.ctx, fili_vae_decode_frame(s, z + t * HIGH * WIDE, T * HIGH * WIDE, keep_frame, &c));
    assert_int_equal(fault.failed, 0);
    fault.at = -1;
    fili_vae_stream_close(&s);
    assert_int_equal(fil_ctx_memory(m.ctx).used, before);
    free(c.rgb);
    free(z);
    close_model(&m);
    assert_int_equal(fault.live, 0);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    setenv("FIL_ISA", "ref", 1);
    float z[4] = {0.5f, -0.5f, 0.25f, 1.0f};
    int   done = 0;
    for (int64_t at = 0; !done; at++) {
        alloc_fault fault = {.at = -1};
        model       m     = small_model_in(faulty_ctx(&fault));
        fili_vae   *vae   = NULL;
        fault.at          = fault.calls + at;
        fil_status status = fili_vae_open(m.ctx, m.weights, FIL_F32, &vae);
        if (status == FIL_OK) status = fili_vae_decode(vae, z, 1, 1, 1, NULL, NULL);
        done = fault.failed == 0;
        if (done)
            must(m.ctx, status);
        else
            assert_int_equal(status, FIL_E_NOMEM);
        fault.at = -1;
        fili_vae_close(&vae);
        close_model(&m);
        assert_int_equal(fault.live, 0);
        assert_true(at < 2000);
    }
    unsetenv("FIL_ISA");
}

static fil_status stop_at_two(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    (void)user;
    (void)rgb;
    (void)h;
    (void)w;
    return index == 2 ? FIL_E_IO : FIL_OK;
}

static void a_stream_that_was_stopped_inside_a_frame_says_so(void **state)
{
    (void)state;
    model            m = small_model(1);
    float           *z = some_latent("stop.bias");
    fili_vae_stream *s = NULL;
    must(m.ctx, fili_vae_decoder(m.vae, HIGH, WIDE, &s));
    must(m.ctx, fili_vae_decode_frame(s, z, T * HIGH * WIDE, stop_at_two, NULL));
    assert_int_equal(fili_vae_decode_frame(s, z + HIGH * WIDE, T * HIGH * WIDE, stop_at_two, NULL),
                     FIL_E_IO);
    fili_ctx_enter(m.ctx);
    assert_int_equal(fili_vae_decode_frame(s, z + HIGH * WIDE, T * HIGH * WIDE, stop_at_two, NULL),
                     FIL_E_ARG);
    assert_string_equal(fil_ctx_error(m.ctx)->message,
                        "this VAE stream stopped inside a frame and cannot go on");
    fili_vae_stream_close(&s);
    free(z);
    close_model(&m);
}

static int cancel_after(void *user)
{
    int *left = user;
    return (*left)-- <= 0;
}

static void a_cancel_is_obeyed_inside_a_frame(void **state)
{
    (void)state;
    float *z = some_latent("cancel.bias");
    for (int after = 0; after < 40; after += 13) {
        int         left = after;
        fil_ctx    *ctx;
        fil_options opt;
        fil_options_init(&opt);
        opt.n_threads = 1;
        opt.cancel    = cancel_after;
        opt.user      = &left;
        assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
        model m = small_model_in(ctx);
        left    = after;
        assert_int_equal(fili_vae_decode(m.vae, z, T, HIGH, WIDE, NULL, NULL), FIL_E_CANCELLED);
        assert_int_equal(left, -1);
        close_model(&m);
    }
    free(z);
}

/* ---- what does not fit ---------------------------------------------------------------------- */

static void fails_with(fil_ctx *ctx, fil_status got, fil_status want, const char *text)
{
    assert_int_equal(got, want);
    if (strstr(fil_ctx_error(ctx)->message, text) == NULL)
        fail_msg("'%s' does not say '%s'", fil_ctx_error(ctx)->message, text);
    fili_ctx_enter(ctx);
}

static void wrong_sizes_are_refused_before_any_work(void **state)
{
    (void)state;
    model m = small_model(1);
    float z[4];
    fails_with(m.ctx, fili_vae_decode(m.vae, z, 0, 1, 1, NULL, NULL), FIL_E_ARG,
               "0 latent frames; expected 1 or more");
    fails_with(m.ctx, fili_vae_decode(m.vae, z, 1, 0, 1, NULL, NULL), FIL_E_ARG,
               "latents of 0 x 1; expected 1 to");
    fails_with(m.ctx, fili_vae_encode(m.vae, NULL, NULL, 2, 4, 4, z), FIL_E_ARG,
               "2 frames; expected a multiple of 2, plus 1");
    fails_with(m.ctx, fili_vae_encode(m.vae, NULL, NULL, 1, 4, 6, z), FIL_E_ARG,
               "frames of 6 x 4 pixels; expected multiples of 4");
    close_model(&m);
}

typedef struct edit {
    const char *name; /* of the tensor that is changed */
    const char *rename;
    int64_t     rows; /* 0 = as it is */
    const char *config, *message;
} edit;

static void wrong_tensors_are_refused_by_name(void **state)
{
    (void)state;
    static const edit table[] = {
        {"decoder.upsamples.1.residual.6.weight", "decoder.other", 0, small_config,
         "decoder.upsamples.1.residual.6.weight"},
        {"decoder.head.2.weight", NULL, 2, small_config, "decoder.head.2.weight"},
        {"encoder.head.2.bias", NULL, 7, small_config, "encoder.head.2.bias"},
        {"decoder.upsamples.0.residual.2.weight",
         "decoder.upsamples.0.upsamples.0.residual.2.weight", 0, small_config, "Wan2.2"},
        {"conv2.bias", NULL, 0, NULL, "4 latent channels and no config.json with latents_mean"},
        {"conv2.bias", NULL, 0, "{\"latents_mean\": [1, 2, 3], \"latents_std\": [1, 2, 3]}",
         "latents_mean: expected 4 numbers"},
        {"conv2.bias", NULL, 0, "{\"latents_mean\": [1, 2, 3, 4], \"latents_std\": [1, 2, 3, 0]}",
         "latents_std: expected numbers above 0"},
    };
    for (size_t i = 0; i < LENGTH(table); i++) {
        fil_ctx      *ctx = open_ctx(1);
        tensors      *t   = small_tensors(ctx);
        fili_weights *w   = NULL;
        fili_vae     *vae = NULL;
        for (size_t k = 0; k < t->n; k++) {
            if (strcmp(t->name[k], table[i].name) != 0) continue;
            if (table[i].rename != NULL) t->made[k].name = table[i].rename;
            if (table[i].rows != 0) t->made[k].shape[0] = table[i].rows;
        }
        must(ctx, fili_weights_make(ctx, FILI_PART_VAE, t->made, t->n, table[i].config, &w));
        const fil_status status = fili_vae_open(ctx, w, FIL_F32, &vae);
        assert_true(status == FIL_E_MISMATCH || status == FIL_E_FORMAT);
        if (strstr(fil_ctx_error(ctx)->message, table[i].message) == NULL)
            fail_msg("'%s' does not say '%s'", fil_ctx_error(ctx)->message, table[i].message);
        assert_null(vae);
        fili_weights_close(&w);
        free_tensors(t);
        fil_ctx_close(&ctx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_decodes_as_the_official_code_in_f64),
        cmocka_unit_test(every_layout_encodes_as_the_official_code_in_f64),
        cmocka_unit_test(bf16_stays_near),
        cmocka_unit_test(a_small_model_decodes_as_the_golden_says),
        cmocka_unit_test(a_small_model_encodes_as_the_golden_says),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(in_pieces_it_gives_the_same_bits_as_whole),
        cmocka_unit_test(going_on_in_the_middle_gives_the_same_bits),
        cmocka_unit_test(a_latent_frame_changes_no_frame_before_it),
        cmocka_unit_test(a_clip_that_begins_alike_is_decoded_alike),
        cmocka_unit_test(attention_in_bands_is_attention),
        cmocka_unit_test(a_run_takes_no_memory_and_the_plan_is_what_it_takes),
        cmocka_unit_test(every_failed_allocation_is_reported),
        cmocka_unit_test(a_stream_that_was_stopped_inside_a_frame_says_so),
        cmocka_unit_test(a_cancel_is_obeyed_inside_a_frame),
        cmocka_unit_test(wrong_sizes_are_refused_before_any_work),
        cmocka_unit_test(wrong_tensors_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
