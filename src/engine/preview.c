/* engine/preview.c: pictures of a run on its way (preview.h). */
#include <string.h>

#include "base/mem.h"
#include "engine/preview_fit.h"
#include "engine/video_job.h"

#define FADE 0.5 /* of former crops: x0 grows sharper */

enum { FITS = 2 };   /* maps: of the first latent frame, of the others */
enum { MARGIN = 2 }; /* places at the edge of a crop, where the decoder misses what lies beyond */

static bool is_on(const fili_job *job)
{
    return job->preview.each > 0;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

fil_status fili_preview_check(fili_job *job)
{
    const fil_generate_options *o = &job->o;
    fili_preview               *p = &job->preview;
    const int32_t               t = job->plan.latent_frames;
    FIL_CHECK(job->ctx, o->preview_steps >= 0 && o->preview_steps <= FILI_MAX_STEPS,
              "preview steps: expected 0 to %d, found %d", FILI_MAX_STEPS, (int)o->preview_steps);
    FIL_CHECK(job->ctx, o->preview == NULL || o->preview_steps > 0,
              "preview: expected steps between two pictures, found none");
    if (o->preview == NULL && job->ctx->opt.preview == NULL) return FIL_OK;
    p->path    = o->preview;
    p->each    = o->preview_steps;
    p->n       = t < FILI_PREVIEW_FRAMES ? t : FILI_PREVIEW_FRAMES;
    p->columns = p->n < FILI_PREVIEW_COLUMNS ? p->n : FILI_PREVIEW_COLUMNS;
    p->rows    = (p->n + p->columns - 1) / p->columns;
    for (int32_t i = 0; i < p->n; i++)
        p->frame[i] = p->n > 1 ? (int32_t)((int64_t)i * (t - 1) / (p->n - 1)) : 0;
    p->crop_h =
        job->plan.latent_height < FILI_PREVIEW_CROP ? job->plan.latent_height : FILI_PREVIEW_CROP;
    p->crop_w =
        job->plan.latent_width < FILI_PREVIEW_CROP ? job->plan.latent_width : FILI_PREVIEW_CROP;
    return FIL_OK;
}

/* Values of a latent frame. */
static size_t frame_values(const fili_job *job)
{
    return (size_t)(job->shape[0] * job->shape[2] * job->shape[3]);
}

static size_t x0_bytes(const fili_job *job)
{
    return (size_t)(job->preview.n + 1) * frame_values(job) * sizeof(float);
}

static size_t crop_places(const fili_job *job)
{
    return (size_t)job->preview.crop_h * (size_t)job->preview.crop_w;
}

static size_t crop_bytes(const fili_job *job)
{
    return crop_places(job) * (size_t)(job->shape[0] + 3) * sizeof(float);
}

static int32_t width_of(const fili_job *job)
{
    return FILI_PREVIEW_PIXELS * job->plan.latent_width * job->preview.columns;
}

static int32_t height_of(const fili_job *job)
{
    return FILI_PREVIEW_PIXELS * job->plan.latent_height * job->preview.rows;
}

static size_t rgb_bytes(const fili_job *job)
{
    return (size_t)width_of(job) * (size_t)height_of(job) * 3;
}

/* A PNG is compressed in memory. */
fil_status fili_preview_bytes(const fili_job *job, fili_vae_memory *out)
{
    const fili_preview *p = &job->preview;
    *out                  = (fili_vae_memory){.bytes = 0};
    if (!is_on(job)) return FIL_OK;
    FIL_TRY(
        fili_vae_decode_bytes(job->ctx, &job->vae, job->o.precision, p->crop_h, p->crop_w, out));
    out->bytes +=
        x0_bytes(job) + crop_bytes(job) + FITS * sizeof(fili_preview_fit) + 3 * rgb_bytes(job);
    return FIL_OK;
}

/* ---- the run -------------------------------------------------------------------------------- */

static fil_status take_memory(fili_job *job)
{
    fili_preview *p = &job->preview;
    void         *block;
    FIL_TRY(fili_alloc(job->ctx, x0_bytes(job), "a preview", &block));
    p->x0 = block;
    FIL_TRY(fili_alloc(job->ctx, crop_bytes(job), "a preview", &block));
    p->crop = block;
    FIL_TRY(fili_alloc(job->ctx, rgb_bytes(job), "a preview", &block));
    p->rgb = block;
    memset(p->rgb, 0, rgb_bytes(job));
    FIL_TRY(fili_alloc(job->ctx, FITS * sizeof *p->fit, "a preview", &block));
    p->fit = block;
    for (int i = 0; i < FITS; i++)
        fili_fit_begin(&p->fit[i], job->vae.z_dim);
    return FIL_OK;
}

fil_status fili_preview_begin(fili_job *job)
{
    fili_preview *p = &job->preview;
    if (!is_on(job)) return FIL_OK;
    FIL_TRY(take_memory(job));
    FIL_TRY(fili_vae_open(job->ctx, job->vae_weights, job->o.precision, &p->vae));
    return fili_vae_decoder(p->vae, p->crop_h, p->crop_w, &p->stream);
}

void fili_preview_close(fili_job *job)
{
    fili_preview *p = &job->preview;
    fili_vae_stream_close(&p->stream);
    fili_vae_close(&p->vae);
    fili_free(job->ctx, p->x0, x0_bytes(job));
    fili_free(job->ctx, p->crop, crop_bytes(job));
    fili_free(job->ctx, p->rgb, rgb_bytes(job));
    fili_free(job->ctx, p->fit, FITS * sizeof *p->fit);
    p->x0   = NULL;
    p->crop = NULL;
    p->rgb  = NULL;
    p->fit  = NULL;
}

/* x0 = x - sigma v */
typedef struct estimate {
    const float *x, *v;
    double       sigma;
} estimate;

/* x0 of latent frame `frame`, as entry `to`. */
static void take_frame(fili_job *job, const estimate *e, int32_t frame, int32_t to)
{
    const int64_t plane = job->shape[2] * job->shape[3];
    for (int64_t c = 0; c < job->shape[0]; c++) {
        const int64_t from = (c * job->shape[1] + frame) * plane;
        float        *out  = job->preview.x0 + (to * job->shape[0] + c) * plane;
        for (int64_t k = 0; k < plane; k++)
            out[k] = (float)((double)e->x[from + k] - e->sigma * (double)e->v[from + k]);
    }
}

void fili_preview_take(fili_job *job, int32_t step, const float *x, const float *v, double sigma)
{
    const estimate e = {.x = x, .v = v, .sigma = sigma};
    fili_preview  *p = &job->preview;
    if (!is_on(job) || ((step + 1) % p->each != 0 && step + 1 != job->plan.steps)) return;
    for (int32_t i = 0; i < p->n; i++)
        take_frame(job, &e, p->frame[i], i);
    if (job->shape[1] > 1) take_frame(job, &e, 1, p->n);
    p->taken = step + 1;
}

/* ---- the map -------------------------------------------------------------------------------- */

typedef struct place {
    int32_t y, x;
} place;

/* The middle first, then around it: one crop sees one part of a picture. */
static place choose_place(const fili_job *job)
{
    static const int32_t quarter[][2] = {{2, 2}, {1, 1}, {3, 3}, {1, 3}, {3, 1}};
    const fili_preview  *p            = &job->preview;
    const int32_t       *q            = quarter[p->shown % 5];
    return (place){.y = (job->plan.latent_height - p->crop_h) * q[0] / 4,
                   .x = (job->plan.latent_width - p->crop_w) * q[1] / 4};
}

static void cut_out(const fili_job *job, place at, int32_t entry)
{
    const fili_preview *p    = &job->preview;
    const int64_t       w    = job->plan.latent_width;
    const float        *from = p->x0 + (size_t)entry * frame_values(job);
    float              *to   = p->crop;
    for (int64_t c = 0; c < job->shape[0]; c++)
        for (int64_t y = 0; y < p->crop_h; y++, to += p->crop_w)
            memcpy(to, from + (c * job->plan.latent_height + at.y + y) * w + at.x,
                   (size_t)p->crop_w * sizeof(float));
}

static float *means_of(const fili_job *job)
{
    return job->preview.crop + crop_places(job) * (size_t)job->shape[0];
}

/* A fili_frame_fn: adds the mean of each place's pixels, a quarter of it in later frames. */
static fil_status take_means(void *user, int32_t index, const float *rgb, int32_t h, int32_t w)
{
    const fili_job     *job   = user;
    const fili_preview *p     = &job->preview;
    const int32_t       scale = fili_vae_scale(&job->vae);
    const double        share = index == 0 ? 1.0 : 1.0 / fili_vae_time_scale(&job->vae);
    float              *to    = means_of(job);
    if (h != p->crop_h * scale || w != p->crop_w * scale)
        return FIL_FAIL(job->ctx, FIL_E_INTERNAL, "a frame of %d x %d of a preview", (int)w,
                        (int)h);
    for (int64_t row = 0; row < INT64_C(3) * p->crop_h; row++)
        for (int64_t x = 0; x < p->crop_w; x++) {
            const float *from = rgb + row * scale * w + x * scale;
            double       sum  = 0.0;
            for (int64_t k = 0; k < (int64_t)scale * scale; k++)
                sum += (double)from[k / scale * w + k % scale];
            *to++ += (float)(share * sum / ((double)scale * scale));
        }
    return FIL_OK;
}

static bool is_inside(int32_t at, int32_t begin, int32_t length, int32_t all)
{
    return (begin == 0 || at >= MARGIN) && (begin + length == all || at < length - MARGIN);
}

static void add_samples(const fili_job *job, place at, fili_preview_fit *fit)
{
    const fili_preview *p    = &job->preview;
    const int64_t       n    = (int64_t)crop_places(job);
    const float        *mean = means_of(job);
    fili_fit_fade(fit, FADE);
    for (int32_t y = 0; y < p->crop_h; y++)
        for (int32_t x = 0; x < p->crop_w; x++) {
            const int64_t k = (int64_t)y * p->crop_w + x;
            if (is_inside(y, at.y, p->crop_h, job->plan.latent_height) &&
                is_inside(x, at.x, p->crop_w, job->plan.latent_width))
                fili_fit_add(fit, p->crop + k, n, mean + k, n);
        }
    (void)fili_fit_solve(fit);
}

static fil_status fit(fili_job *job)
{
    fili_preview *p    = &job->preview;
    const place   at   = choose_place(job);
    const int     maps = job->shape[1] > 1 ? FITS : 1;
    fili_vae_stream_reset(p->stream);
    for (int i = 0; i < maps; i++) {
        cut_out(job, at, i == 0 ? 0 : p->n);
        memset(means_of(job), 0, 3 * crop_places(job) * sizeof(float));
        FIL_TRY(
            fili_vae_decode_frame(p->stream, p->crop, (int64_t)crop_places(job), take_means, job));
        add_samples(job, at, &p->fit[i]);
    }
    return FIL_OK;
}

/* ---- the picture ---------------------------------------------------------------------------- */

static void paint(uint8_t *to, const float rgb[3], size_t line)
{
    for (size_t y = 0; y < FILI_PREVIEW_PIXELS; y++)
        for (size_t x = 0; x < FILI_PREVIEW_PIXELS; x++)
            for (size_t k = 0; k < 3; k++)
                to[y * line + 3 * x + k] = fili_frame_byte(rgb[k], 1);
}

static void draw(const fili_job *job)
{
    const fili_preview *p     = &job->preview;
    const int64_t       h     = job->plan.latent_height;
    const int64_t       w     = job->plan.latent_width;
    const int64_t       plane = h * w;
    const int64_t       line  = (int64_t)width_of(job) * 3;
    for (int32_t i = 0; i < p->n; i++) {
        const float *z = p->x0 + i * job->shape[0] * plane;
        uint8_t     *top =
            p->rgb + FILI_PREVIEW_PIXELS * (i / p->columns * h * line + i % p->columns * w * 3);
        for (int64_t k = 0; k < plane; k++) {
            float rgb[3];
            fili_fit_apply(&p->fit[p->frame[i] > 0], z + k, plane, rgb);
            paint(top + FILI_PREVIEW_PIXELS * (k / w * line + k % w * 3), rgb, (size_t)line);
        }
    }
}

static fil_status make(fili_job *job)
{
    const fili_preview *p = &job->preview;
    FIL_TRY(fit(job));
    draw(job);
    if (p->path == NULL) return FIL_OK;
    const fili_png_source source = {
        .rgb = p->rgb, .width = width_of(job), .height = height_of(job)};
    return fili_png_write(job->ctx, p->path, 1, &source);
}

static void tell(const fili_job *job)
{
    const fili_preview *p       = &job->preview;
    const fil_options  *opt     = &job->ctx->opt;
    const fil_preview   picture = {.rgb     = p->rgb,
                                   .width   = width_of(job),
                                   .height  = height_of(job),
                                   .step    = p->taken,
                                   .n_steps = job->plan.steps,
                                   .columns = p->columns,
                                   .rows    = p->rows};
    if (opt->preview != NULL) opt->preview(opt->user, &picture);
    if (p->path != NULL) fili_job_tell(job, FIL_EVENT_PREVIEW, p->taken, p->path);
}

/* As a checkpoint's, its failure is not one of the run. */
fil_status fili_preview_show(fili_job *job)
{
    fil_ctx           *ctx    = job->ctx;
    fili_preview      *p      = &job->preview;
    const fil_error    before = ctx->error;
    const fil_progress unit   = ctx->unit;
    if (p->taken == 0) return FIL_OK;
    fili_ctx_enter(ctx);
    const fil_status status = make(job);
    if (status == FIL_E_CANCELLED) return status;
    if (status == FIL_OK)
        tell(job);
    else if (!p->failed)
        fili_log(ctx, FIL_LOG_WARNING, "there is no preview of step %d: %s; the run goes on",
                 (int)p->taken, ctx->error.message);
    p->failed |= status != FIL_OK;
    p->shown++;
    p->taken   = 0;
    ctx->error = before;
    ctx->unit  = unit;
    return FIL_OK;
}
