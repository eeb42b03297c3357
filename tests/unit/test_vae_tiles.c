/* tests/unit/test_vae_tiles.c: wan/vae_tiles.h against diffusers' tiled decode (fixtures, and
 * tests/golden/make_vae_tiles.py), against whole frames, and its laws: bounded memory, the same
 * bits for any number of threads and after any stop, every failing call reported and nothing left
 * behind unasked.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filigree/video.h"
#include "golden/vae_tiles_golden.h"
#include "support/cmocka_all.h"
#include "support/demo.h"
#include "support/fault.h"
#include "support/fixture.h"
#include "support/scratch_dir.h"
#include "support/vae_clip.h"
#include "wan/vae_tiles.h"
#include "wan/weights.h"

enum { Z = 16, T = 3, H = 6, W = 8, SCALE = 8, FRAMES = 4 * (T - 1) + 1 };

#define LENGTH(list) (sizeof(list) / sizeof(list)[0])

typedef struct model {
    fil_ctx      *ctx;
    fili_weights *weights;
    fili_vae     *vae;
} model;

static void must(fil_ctx *ctx, fil_status status)
{
    if (status != FIL_OK) fail_msg("%s", fil_ctx_error(ctx)->message);
}

static model open_model_in(fil_ctx *ctx, const char *path)
{
    model m = {.ctx = ctx};
    must(m.ctx, fili_weights_open(m.ctx, FILI_PART_VAE, path, 0, &m.weights));
    must(m.ctx, fili_vae_open(m.ctx, m.weights, FIL_F32, &m.vae));
    return m;
}

static model open_model(const char *path, int32_t threads)
{
    fil_ctx    *ctx;
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = threads;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    return open_model_in(ctx, path);
}

static void close_model(model *m)
{
    fili_vae_close(&m->vae);
    fili_weights_close(&m->weights);
    assert_int_equal(fil_ctx_memory(m->ctx).used, 0);
    fil_ctx_close(&m->ctx);
}

/* ---- clips ---------------------------------------------------------------------------------- */

static size_t values_of(const clip *c)
{
    return (size_t)c->n * 3 * (size_t)c->h * (size_t)c->w;
}

static float *some_latent(int32_t t, int32_t h, int32_t w)
{
    const size_t n = (size_t)Z * (size_t)t * (size_t)h * (size_t)w;
    float       *z = malloc(n * sizeof *z);
    uint64_t     s = 7;
    assert_non_null(z);
    for (size_t i = 0; i < n; i++) {
        s    = s * 6364136223846793005u + 1442695040888963407u;
        z[i] = (float)((double)(s >> 40) / 8388608.0 - 1.0);
    }
    return z;
}

static clip decode_tiled(model *m, const fili_vae_tiling *how, const fili_vae_clip *from)
{
    clip c = {.rgb = NULL};
    must(m->ctx, fili_vae_decode_tiled(m->vae, how, from, keep_frame, &c));
    return c;
}

static const char *beside(void)
{
    return scratch_path(&dir, "v.mp4");
}

/* ---- against diffusers ---------------------------------------------------------------------- */

static void tiles_as(model *m, const float *z, const fili_vae_tiling *how, const float *want,
                     size_t n)
{
    const fili_vae_clip from = {.z = z, .t = 5, .h = H, .w = W, .wait = {.beside = beside()}};
    clip                c    = decode_tiled(m, how, &from);
    double              max  = 0.0;
    double              sum  = 0.0;
    double              norm = 0.0;
    assert_int_equal((values_of(&c) + TILES_STEP - 1) / TILES_STEP, n);
    const size_t plane = (size_t)c.h * (size_t)c.w;
    for (size_t i = 0; i < n; i++) {
        const size_t at    = i * TILES_STEP; /* in [3, F, H, W] */
        const size_t frame = at / plane % (size_t)c.n;
        const size_t from3 = (frame * 3 + at / plane / (size_t)c.n) * plane + at % plane;
        const double d     = fabs((double)c.rgb[from3] - (double)want[i]);
        if (!(d <= max)) max = d;
        sum += d * d;
        norm += (double)want[i] * (double)want[i];
    }
    printf("  tiles of %d each %d: relative distance %.2g, largest %.2g\n", (int)how->tile,
           (int)how->stride, sqrt(sum / norm), max);
    if (!(sqrt(sum / norm) <= 1e-5) || !(max <= 3e-5)) fail_msg("too far");
    free(c.rgb);
}

static void tiles_are_cut_and_blended_as_diffusers_does_it(void **state)
{
    static const struct {
        fili_vae_tiling how;
        const float    *want;
        size_t          n;
    } table[] = {{{4, 3}, tiles_small, LENGTH(tiles_small)},
                 {{5, 2}, tiles_odd, LENGTH(tiles_odd)},
                 {{6, 5}, tiles_wide, LENGTH(tiles_wide)}};
    (void)state;
    if (fixture_path("") == NULL) skip();
    int64_t n;
    model   m = open_model(fixture_path("pipeline/vae"), 2);
    float  *z =
        fixture_tensor(m.ctx, fixture_path("vae/decode_5x6x8.safetensors"), "z", FIL_F32, &n);
    for (size_t i = 0; i < LENGTH(table); i++)
        tiles_as(&m, z, &table[i].how, table[i].want, table[i].n);
    free(z);
    close_model(&m);
}

/* ---- against whole frames ------------------------------------------------------------------- */

static double psnr(const clip *a, const clip *b)
{
    double sum = 0.0;
    assert_int_equal(values_of(a), values_of(b));
    for (size_t i = 0; i < values_of(a); i++) {
        const double d = ((double)a->rgb[i] - (double)b->rgb[i]) / 2.0; /* of [-1, 1] */
        sum += d * d;
    }
    return 10.0 * log10((double)values_of(a) / sum);
}

/* Mean step from column x - 1 to column x. */
static double step_at(const clip *c, int32_t x)
{
    double        sum  = 0.0;
    const int64_t rows = (int64_t)c->n * 3 * c->h;
    for (int64_t r = 0; r < rows; r++)
        sum += fabs((double)c->rgb[r * c->w + x] - (double)c->rgb[r * c->w + x - 1]);
    return sum / (double)rows;
}

/* A trained VAE, latents of a run: 16 x 16 latents of 128 x 128 pixels. Where tiles begin and end
 * no step is seen: the one there is no larger than three times that of the whole frames. */
static void tiles_of_a_trained_vae_look_like_whole_frames(void **state)
{
    static const fili_vae_tiling how = {.tile = 8, .stride = 6};
    (void)state;
    if (fixture_path("") == NULL) skip();
    int64_t n;
    model   m = open_model(fixture_path("shapes/vae"), 2);
    float  *z =
        fixture_tensor(m.ctx, fixture_path("shapes/run.safetensors"), "latents.final", FIL_F32, &n);
    const int32_t       side = 16;
    const int32_t       t    = (int32_t)(n / Z / side / side);
    const fili_vae_clip from = {.z = z, .t = t, .h = side, .w = side, .wait = {.beside = beside()}};
    clip                whole = {.rgb = NULL};
    clip                tiled = decode_tiled(&m, &how, &from);
    must(m.ctx, fili_vae_decode(m.vae, z, t, side, side, keep_frame, &whole));
    const double db = psnr(&tiled, &whole);
    printf("  PSNR of tiles to whole frames: %.1f dB\n", db);
    assert_true(db >= 30.0);
    for (int32_t x = 48; x < 128; x += 16) {
        const double step = step_at(&tiled, x);
        const double same = step_at(&whole, x);
        printf("  column %d: step %.4f, whole %.4f\n", (int)x, step, same);
        if (!(step <= 3.0 * same)) fail_msg("a seam at column %d", (int)x);
    }
    free(tiled.rgb);
    free(whole.rgb);
    free(z);
    close_model(&m);
}

static void one_tile_is_the_whole_frame_to_the_bit(void **state)
{
    static const fili_vae_tiling how = {.tile = W, .stride = W - 1};
    (void)state;
    SKIP_WITHOUT_DEMO();
    model               m     = open_model(getenv("FIL_DEMO"), 1);
    float              *z     = some_latent(T, H, W - 1);
    const fili_vae_clip from  = {.z = z, .t = T, .h = H, .w = W - 1, .wait = {.beside = beside()}};
    clip                whole = {.rgb = NULL};
    clip                tiled = decode_tiled(&m, &how, &from);
    must(m.ctx, fili_vae_decode(m.vae, z, T, H, W - 1, keep_frame, &whole));
    assert_int_equal(values_of(&tiled), values_of(&whole));
    assert_memory_equal(tiled.rgb, whole.rgb, values_of(&whole) * sizeof *whole.rgb);
    free(tiled.rgb);
    free(whole.rgb);
    free(z);
    close_model(&m);
}

static void any_number_of_threads_gives_the_same_bits(void **state)
{
    static const fili_vae_tiling how = {.tile = 4, .stride = 3};
    (void)state;
    SKIP_WITHOUT_DEMO();
    float              *z     = some_latent(T, H, W);
    const fili_vae_clip from  = {.z = z, .t = T, .h = H, .w = W, .wait = {.beside = beside()}};
    clip                first = {.rgb = NULL};
    for (int32_t threads = 1; threads <= 3; threads++) {
        model m = open_model(getenv("FIL_DEMO"), threads);
        clip  c = decode_tiled(&m, &how, &from);
        if (threads == 1)
            first = c;
        else
            assert_memory_equal(c.rgb, first.rgb, values_of(&first) * sizeof *c.rgb);
        if (threads > 1) free(c.rgb);
        close_model(&m);
    }
    free(first.rgb);
    free(z);
}

/* ---- cost ----------------------------------------------------------------------------------- */

static fil_status ignore_frame(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    int32_t *frames = user;
    (void)rgb;
    assert_int_equal(index, *frames);
    assert_int_equal(h, SCALE * H);
    assert_int_equal(w, SCALE * W);
    ++*frames;
    return FIL_OK;
}

/* Memory is that of the plan whatever the number of frames; the disk is what the tiles hold. */
static void memory_is_what_the_plan_says_for_any_number_of_frames(void **state)
{
    static const fili_vae_tiling how = {.tile = 4, .stride = 3};
    (void)state;
    SKIP_WITHOUT_DEMO();
    uint64_t planned = 0;
    for (int32_t t = 1; t <= 4; t += 3) {
        model               m    = open_model(getenv("FIL_DEMO"), 2);
        float              *z    = some_latent(t, H, W);
        const fili_vae_clip from = {.z = z, .t = t, .h = H, .w = W, .wait = {.beside = beside()}};
        const int32_t       size[3] = {t, H, W};
        int32_t             frames  = 0;
        fili_vae_tiled_cost cost;
        must(m.ctx,
             fili_vae_tiled_cost_of(m.ctx, fili_vae_config_of(m.vae), FIL_F32, &how, size, &cost));
        if (t > 1) assert_int_equal(cost.bytes, planned);
        planned = cost.bytes;
        /* columns of 4, 4 and 2 latents, rows of 4 and 3 */
        assert_int_equal(cost.disk,
                         FILI_PIECE_LOG_FRONT +
                             (uint64_t)(4 * t - 3) * (10 * 7 * SCALE * SCALE * 3 * 4 + 6 * 4));
        const uint64_t before = fil_ctx_memory(m.ctx).used;
        m.ctx->memory.peak    = before;
        must(m.ctx, fili_vae_decode_tiled(m.vae, &how, &from, ignore_frame, &frames));
        const uint64_t peak = fil_ctx_memory(m.ctx).peak - before;
        assert_int_equal(frames, 4 * t - 3);
        printf("  %d frames: planned %llu, taken %llu\n", (int)frames,
               (unsigned long long)cost.bytes, (unsigned long long)peak);
        assert_true(peak <= cost.bytes);
        assert_true(cost.bytes <= peak + peak / 20 + 4096);
        free(z);
        close_model(&m);
    }
}

/* The decoder of Wan2.1 in bf16 at 480p and 720p, whole and in tiles: what is promised. */
static void decoding_stays_within_what_is_promised(void **state)
{
    static const struct {
        int32_t h, w;
        double  whole, tiled; /* GiB */
    } table[] = {{60, 104, 3.5, 1.5}, {90, 160, 8.0, 2.5}};
    fil_ctx        *ctx;
    fil_options     opt;
    fili_vae_config config;
    (void)state;
    fil_options_init(&opt);
    opt.n_threads = 2;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    fili_vae_config_init(&config);
    const fili_vae_tiling how = fili_vae_tiling_usual(&config);
    assert_int_equal(how.tile * 8, 256);
    assert_int_equal(how.stride * 8, 192);
    for (size_t i = 0; i < LENGTH(table); i++) {
        const int32_t       size[3] = {21, table[i].h, table[i].w};
        const double        gib     = 1024.0 * 1024.0 * 1024.0;
        fili_vae_tiled_cost cost;
        fili_vae_memory     whole;
        must(ctx, fili_vae_decode_bytes(ctx, &config, FIL_BF16, table[i].h, table[i].w, &whole));
        must(ctx, fili_vae_tiled_cost_of(ctx, &config, FIL_BF16, &how, size, &cost));
        printf("  %d x %d: whole %.2f GiB, in tiles %.2f GiB and %.2f on disk\n",
               (int)table[i].w * 8, (int)table[i].h * 8, (double)whole.bytes / gib,
               (double)cost.bytes / gib, (double)cost.disk / gib);
        assert_true((double)whole.bytes <= table[i].whole * gib);
        assert_true((double)cost.bytes <= table[i].tiled * gib);
    }
    fil_ctx_close(&ctx);
}

/* However many threads there are. What else a run holds while it decodes is below 64 MiB. */
static void threads_do_not_lift_the_bound(void **state)
{
    const int32_t size[3] = {21, 60, 104};
    (void)state;
    for (int32_t n_threads = 32; n_threads <= 512; n_threads *= 2) {
        fil_options         opt;
        fil_ctx            *ctx;
        fili_vae_config     config;
        fili_vae_tiled_cost cost;
        fil_options_init(&opt);
        opt.n_threads = n_threads;
        assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
        fili_vae_config_init(&config);
        const fili_vae_tiling how = fili_vae_tiling_usual(&config);
        must(ctx, fili_vae_tiled_cost_of(ctx, &config, FIL_BF16, &how, size, &cost));
        printf("  %d threads: in tiles %.2f GiB\n", (int)n_threads,
               (double)cost.bytes / (1024.0 * 1024.0 * 1024.0));
        assert_true(cost.bytes <= (uint64_t)1472 << 20);
        assert_int_equal(ctx->n_threads, n_threads);
        fil_ctx_close(&ctx);
    }
}

static void tiles_that_do_not_overlap_are_refused(void **state)
{
    static const fili_vae_tiling bad[] = {{4, 4}, {4, 0}, {0, 0}, {3, 5}};
    (void)state;
    SKIP_WITHOUT_DEMO();
    model               m    = open_model(getenv("FIL_DEMO"), 1);
    float               z[1] = {0.0f};
    const fili_vae_clip from = {.z = z, .t = 1, .h = H, .w = W, .wait = {.beside = beside()}};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        assert_int_equal(fili_vae_decode_tiled(m.vae, &bad[i], &from, NULL, NULL), FIL_E_ARG);
        assert_non_null(strstr(fil_ctx_error(m.ctx)->message, "expected them to overlap"));
        fili_ctx_enter(m.ctx);
    }
    close_model(&m);
}

/* ---- failures ------------------------------------------------------------------------------- */

typedef struct bench {
    os_fault fault;
    fili_os  os;
    model    m;
    float   *z;
} bench;

static void open_bench(bench *b)
{
    fil_ctx    *ctx;
    fil_options opt;
    fil_options_init(&opt);
    opt.n_threads = 1;
    b->fault      = (os_fault){.at = -1};
    b->os         = os_fault_table(&b->fault);
    b->z          = some_latent(1, H, W);
    assert_int_equal(fili_ctx_open_on(&b->os, &ctx, &opt), FIL_OK);
    b->m = open_model_in(ctx, getenv("FIL_DEMO"));
}

static fil_status decode_on(bench *b)
{
    static const fili_vae_tiling how = {.tile = 4, .stride = 3};
    const fili_vae_clip from   = {.z = b->z, .t = 1, .h = H, .w = W, .wait = {.beside = beside()}};
    int32_t             frames = 0;
    return fili_vae_decode_tiled(b->m.vae, &how, &from, ignore_frame, &frames);
}

static void close_bench(bench *b)
{
    b->fault.at = -1;
    free(b->z);
    close_model(&b->m);
    assert_int_equal(b->fault.open, 0);
    assert_int_equal(scratch_count(&dir), 0);
}

/* Every kind, every call, once and for ever. A failed unlink or close is no failure of the run, but
 * the name must go all the same. */
static void every_failed_call_is_reported_and_leaves_nothing(void **state)
{
    static const os_call kinds[] = {OS_OPENAT, OS_PREAD, OS_PWRITE};
    (void)state;
    SKIP_WITHOUT_DEMO();
    for (size_t k = 0; k < LENGTH(kinds); k++) {
        int done = 0;
        for (int64_t at = 0; !done; at++) {
            bench b;
            open_bench(&b);
            b.fault           = (os_fault){.call    = kinds[k],
                                           .at      = at,
                                           .forever = 1,
                                           .error   = EIO,
                                           .open    = b.fault.open,
                                           .mapped  = b.fault.mapped};
            fil_status status = decode_on(&b);
            done              = b.fault.failed == 0;
            if (done)
                must(b.m.ctx, status);
            else if (kinds[k] != OS_OPENAT ||
                     status != FIL_OK) /* what was left need not be found */
                assert_int_equal(status, FIL_E_IO);
            close_bench(&b);
            assert_true(at < 2000);
        }
    }
}

static void short_counts_are_continued(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b;
    open_bench(&b);
    b.fault = (os_fault){.call    = OS_PWRITE,
                         .forever = 1,
                         .error   = OS_SHORT_COUNT,
                         .open    = b.fault.open,
                         .mapped  = b.fault.mapped};
    must(b.m.ctx, decode_on(&b));
    assert_true(b.fault.failed > 0);
    close_bench(&b);
}

static void a_full_disk_is_told_in_one_sentence(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b;
    open_bench(&b);
    b.fault = (os_fault){.call    = OS_PWRITE,
                         .at      = 2,
                         .forever = 1,
                         .error   = ENOSPC,
                         .open    = b.fault.open,
                         .mapped  = b.fault.mapped};
    assert_int_equal(decode_on(&b), FIL_E_IO);
    assert_string_equal(fil_ctx_error(b.m.ctx)->message,
                        "cannot write 'v.mp4 (waiting frames)': No space left on device");
    close_bench(&b);
}

static fil_status stop_at_once(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    (void)rgb;
    (void)h;
    (void)w;
    /* The spool has no name while it is used. */
    assert_int_equal(scratch_count(user), 0);
    return index == 1 ? FIL_E_CANCELLED : FIL_OK;
}

static void a_sink_that_stops_ends_it(void **state)
{
    static const fili_vae_tiling how = {.tile = 4, .stride = 3};
    (void)state;
    SKIP_WITHOUT_DEMO();
    model               m    = open_model(getenv("FIL_DEMO"), 1);
    float              *z    = some_latent(T, H, W);
    const fili_vae_clip from = {.z = z, .t = T, .h = H, .w = W, .wait = {.beside = beside()}};
    assert_int_equal(fili_vae_decode_tiled(m.vae, &how, &from, stop_at_once, &dir),
                     FIL_E_CANCELLED);
    assert_int_equal(scratch_count(&dir), 0);
    free(z);
    close_model(&m);
}

static void without_an_output_frames_wait_in_the_systems_folder(void **state)
{
    static const fili_vae_tiling how = {.tile = 4, .stride = 3};
    (void)state;
    SKIP_WITHOUT_DEMO();
    model         m      = open_model(getenv("FIL_DEMO"), 1);
    float        *z      = some_latent(1, H, W);
    fili_vae_clip from   = {.z = z, .t = 1, .h = H, .w = W};
    int32_t       frames = 0;
    setenv("TMPDIR", dir.path, 1);
    must(m.ctx, fili_vae_decode_tiled(m.vae, &how, &from, ignore_frame, &frames));
    setenv("TMPDIR", "/nowhere/at/all", 1);
    assert_int_equal(fili_vae_decode_tiled(m.vae, &how, &from, ignore_frame, &frames), FIL_E_IO);
    unsetenv("TMPDIR");
    assert_int_equal(scratch_count(&dir), 0);
    free(z);
    close_model(&m);
}

/* ---- going on ------------------------------------------------------------------------------- */

enum { TILES = 6, UNITS = TILES * T }; /* columns of 4, 4 and 2 latents, rows of 4 and 3 */

static const fili_vae_tiling cut_small = {.tile = 4, .stride = 3};

/* Stops a decode when so many latent frames of tiles are done, or frames are out. */
typedef struct stopper {
    int64_t  at;    /* -1: never */
    int32_t  frame; /* -1: never */
    int      reached;
    int64_t  begun; /* the first that was told of; -1: none */
    int64_t  told;  /* how often */
    int      warnings;
    fil_ctx *ctx;
    clip     c;
} stopper;

static void on_progress(void *user, const fil_progress *p)
{
    stopper *s = user;
    assert_string_equal(p->phase, "decode");
    assert_int_equal(p->total, UNITS);
    if (s->begun < 0) s->begun = (int64_t)p->done;
    s->told++;
    if (s->at >= 0 && (int64_t)p->done >= s->at) s->reached = 1;
}

static int on_cancel(void *user)
{
    const stopper *s = user;
    return s->reached;
}

static void on_log(void *user, fil_log_level level, const char *text)
{
    stopper *s = user;
    if (level == FIL_LOG_WARNING && strstr(text, "made of something else") != NULL) s->warnings++;
}

static fil_status on_frame(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    stopper *s = user;
    if (index == s->frame) return FIL_E_CANCELLED;
    return keep_frame(&s->c, index, rgb, h, w);
}

static const char *kept(void)
{
    return scratch_path(&dir, "v.frames");
}

/* A decode with a file that is kept, in a process of its own as far as a test can tell. *tiles: of
 * which something is there in the end. */
static fil_status decode_kept(stopper *s, const float *z, const char *made_of, bool goes_on,
                              int32_t *tiles)
{
    fil_options opt;
    fil_ctx    *ctx;
    fil_options_init(&opt);
    opt.n_threads = 1;
    opt.progress  = on_progress;
    opt.cancel    = on_cancel;
    opt.log       = on_log;
    opt.user      = s;
    assert_int_equal(fil_ctx_open(&ctx, &opt), FIL_OK);
    model               m      = open_model_in(ctx, getenv("FIL_DEMO"));
    const fili_vae_clip from   = {.z     = z,
                                  .t     = T,
                                  .h     = H,
                                  .w     = W,
                                  .wait  = {.path = kept(), .made_of = made_of, .goes_on = goes_on},
                                  .tiles = tiles};
    const fil_status    status = fili_vae_decode_tiled(m.vae, &cut_small, &from, on_frame, s);
    if (status != FIL_OK && status != FIL_E_CANCELLED) must(ctx, status);
    close_model(&m);
    return status;
}

static stopper stop_at(int64_t at, int32_t frame)
{
    return (stopper){.at = at, .frame = frame, .begun = -1};
}

/* To be freed. */
static clip undisturbed(const float *z)
{
    stopper s = stop_at(-1, -1);
    assert_int_equal(decode_kept(&s, z, "a", false, NULL), FIL_OK);
    assert_int_equal(s.told, UNITS + TILES + 1); /* twice where a tile begins */
    assert_int_equal(remove(kept()), 0);
    return s.c;
}

/* Goes on, and gives the frames of one decode. */
static stopper goes_on_to(const float *z, const clip *want)
{
    stopper s = stop_at(-1, -1);
    assert_int_equal(decode_kept(&s, z, "a", true, NULL), FIL_OK);
    assert_int_equal(s.c.n, FRAMES);
    assert_memory_equal(s.c.rgb, want->rgb, values_of(want) * sizeof *want->rgb);
    free(s.c.rgb);
    s.c.rgb = NULL;
    return s;
}

/* In the middle of every latent frame of every tile; behind the last one blending begins. */
static void a_decode_that_stops_anywhere_goes_on_with_the_same_bits(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    float     *z    = some_latent(T, H, W);
    const clip want = undisturbed(z);
    for (int64_t at = 0; at <= UNITS; at++) {
        stopper s     = stop_at(at, -1);
        int32_t tiles = -1;
        assert_int_equal(decode_kept(&s, z, "a", false, &tiles), FIL_E_CANCELLED);
        assert_int_equal(tiles, (at + T - 1) / T);
        const stopper r = goes_on_to(z, &want);
        assert_int_equal(r.begun, at);
        assert_int_equal(remove(kept()), 0);
    }
    free(want.rgb);
    free(z);
}

/* One latent frame at a time, as if each process had been killed behind one. */
static void a_decode_in_many_pieces_has_the_bits_of_one(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    float     *z    = some_latent(T, H, W);
    const clip want = undisturbed(z);
    for (int64_t at = 1; at <= UNITS; at++) {
        stopper s = stop_at(at, -1);
        assert_int_equal(decode_kept(&s, z, "a", at > 1, NULL), FIL_E_CANCELLED);
        assert_int_equal(s.begun, at - 1);
    }
    assert_int_equal(goes_on_to(z, &want).begun, UNITS);
    assert_int_equal(remove(kept()), 0);
    free(want.rgb);
    free(z);
}

static void a_stop_while_frames_are_blended_costs_no_tile(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    float     *z    = some_latent(T, H, W);
    const clip want = undisturbed(z);
    for (int32_t frame = 0; frame < FRAMES; frame += 4) {
        stopper s = stop_at(-1, frame);
        assert_int_equal(decode_kept(&s, z, "a", frame > 0, NULL), FIL_E_CANCELLED);
        free(s.c.rgb);
    }
    assert_int_equal(goes_on_to(z, &want).told, 1);
    assert_int_equal(remove(kept()), 0);
    free(want.rgb);
    free(z);
}

/* A bit anywhere in a whole file, or its end missing from anywhere: never trusted, and a bit costs
 * the rest of its tile and no other. */
static void what_was_damaged_is_decoded_again_and_no_more(void **state)
{
    size_t size;
    (void)state;
    SKIP_WITHOUT_DEMO();
    float     *z    = some_latent(T, H, W);
    const clip want = undisturbed(z);
    stopper    s    = stop_at(UNITS, -1);
    assert_int_equal(decode_kept(&s, z, "a", false, NULL), FIL_E_CANCELLED);
    unsigned char *data = scratch_read(&dir, "v.frames", &size);
    for (size_t i = 0; i < 24; i++) {
        const size_t at = FILI_PIECE_LOG_FRONT + i * (size - FILI_PIECE_LOG_FRONT - 1) / 23;
        data[at] ^= 0x40;
        scratch_write(&dir, "v.frames", data, size);
        data[at] ^= 0x40;
        const stopper r = goes_on_to(z, &want);
        assert_in_range(r.told, 3, T + 2);
    }
    for (size_t i = 0; i <= 12; i++) {
        scratch_write(&dir, "v.frames", data, i * size / 12);
        (void)goes_on_to(z, &want);
    }
    memset(data + size / 3, 0, size / 3); /* blocks that never reached the disk */
    scratch_write(&dir, "v.frames", data, size);
    assert_in_range(goes_on_to(z, &want).told, 3, UNITS - 1);
    free(data);
    assert_int_equal(remove(kept()), 0);
    free(want.rgb);
    free(z);
}

static void frames_of_something_else_do_not_count_and_that_is_said(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    float     *z    = some_latent(T, H, W);
    const clip want = undisturbed(z);
    stopper    s    = stop_at(UNITS, -1);
    assert_int_equal(decode_kept(&s, z, "b", false, NULL), FIL_E_CANCELLED);
    const stopper r = goes_on_to(z, &want);
    assert_int_equal(r.begun, 0);
    assert_int_equal(r.warnings, 1);
    s = stop_at(0, -1); /* unasked nothing counts */
    assert_int_equal(decode_kept(&s, z, "a", false, NULL), FIL_E_CANCELLED);
    assert_int_equal(s.begun, 0);
    assert_int_equal(s.warnings, 0);
    assert_int_equal(remove(kept()), 0);
    free(want.rgb);
    free(z);
}

static fil_status keep_on(bench *b, const fili_vae_clip *from)
{
    int32_t frames = 0;
    return fili_vae_decode_tiled(b->m.vae, &cut_small, from, ignore_frame, &frames);
}

/* The run fails, and what is on disk counts when it goes on. */
static void a_full_disk_keeps_what_was_decoded(void **state)
{
    (void)state;
    SKIP_WITHOUT_DEMO();
    bench b;
    open_bench(&b);
    int32_t       tiles = 0;
    fili_vae_clip from  = {.z     = b.z,
                           .t     = 1,
                           .h     = H,
                           .w     = W,
                           .wait  = {.path = kept(), .made_of = "a", .goes_on = true},
                           .tiles = &tiles};
    /* the head, two tiles of a frame and its CRC, a frame */
    b.fault = (os_fault){.call    = OS_PWRITE,
                         .at      = 6,
                         .forever = 1,
                         .error   = ENOSPC,
                         .open    = b.fault.open,
                         .mapped  = b.fault.mapped};
    assert_int_equal(keep_on(&b, &from), FIL_E_IO);
    assert_string_equal(fil_ctx_error(b.m.ctx)->message,
                        "cannot write 'v.frames': No space left on device");
    assert_int_equal(tiles, 2);
    fili_ctx_enter(b.m.ctx);
    b.fault.at = -1;
    must(b.m.ctx, keep_on(&b, &from));
    assert_int_equal(tiles, TILES);
    assert_int_equal(remove(kept()), 0);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_are_cut_and_blended_as_diffusers_does_it),
        cmocka_unit_test(tiles_of_a_trained_vae_look_like_whole_frames),
        cmocka_unit_test(one_tile_is_the_whole_frame_to_the_bit),
        cmocka_unit_test(any_number_of_threads_gives_the_same_bits),
        cmocka_unit_test(memory_is_what_the_plan_says_for_any_number_of_frames),
        cmocka_unit_test(decoding_stays_within_what_is_promised),
        cmocka_unit_test(threads_do_not_lift_the_bound),
        cmocka_unit_test(tiles_that_do_not_overlap_are_refused),
        cmocka_unit_test(every_failed_call_is_reported_and_leaves_nothing),
        cmocka_unit_test(short_counts_are_continued),
        cmocka_unit_test(a_full_disk_is_told_in_one_sentence),
        cmocka_unit_test(a_sink_that_stops_ends_it),
        cmocka_unit_test(without_an_output_frames_wait_in_the_systems_folder),
        cmocka_unit_test(a_decode_that_stops_anywhere_goes_on_with_the_same_bits),
        cmocka_unit_test(a_decode_in_many_pieces_has_the_bits_of_one),
        cmocka_unit_test(a_stop_while_frames_are_blended_costs_no_tile),
        cmocka_unit_test(what_was_damaged_is_decoded_again_and_no_more),
        cmocka_unit_test(frames_of_something_else_do_not_count_and_that_is_said),
        cmocka_unit_test(a_full_disk_keeps_what_was_decoded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
