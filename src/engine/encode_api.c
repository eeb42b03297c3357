/* engine/encode_api.c: fil_encode: frames of a file through the VAE's encoder into a file of
 * latents (filigree/video.h).
 */
#include <string.h>

#include "base/device.h"
#include "base/mem.h"
#include "engine/video_job.h"

void fil_encode_options_init(fil_encode_options *options)
{
    *options = (fil_encode_options){
        .struct_size = (uint32_t)sizeof *options, .frames = FIL_AUTO, .precision = FIL_BF16};
}

typedef struct encoding {
    fil_ctx           *ctx;
    fil_encode_options o;
    fili_weights      *weights;
    fili_vae          *vae;
    fili_frames_in     in;
    int32_t            n; /* frames that are taken */
    int64_t            shape[FILI_LATENT_RANK];
    float             *z;
    size_t             z_bytes;
} encoding;

static fil_status check_options(encoding *e, const fil_encode_options *options)
{
    fil_ctx            *ctx = e->ctx;
    fil_encode_options *o   = &e->o;
    fil_encode_options_init(o);
    FIL_TRY(fili_take_options(ctx, "fil_encode_options", o, sizeof *o, options));
    FIL_CHECK(ctx, o->input != NULL && o->latents != NULL, "expected %s",
              o->input == NULL ? "an input" : "a file to write latents to");
    FIL_CHECK(ctx, o->precision == FIL_BF16 || o->precision == FIL_F32,
              "precision: expected BF16 or F32, found %s", fil_dtype_name(o->precision));
    FIL_CHECK(ctx, o->frames == FIL_AUTO || (o->frames >= 1 && o->frames % 4 == 1),
              "frames: expected 4n + 1 (1, 5, 9, ...), found %d", (int)o->frames);
    FIL_TRY(fili_output_holds_tensors(ctx, "latents", o->latents));
    return fili_output_check(ctx, "latents", o->latents, o->replace);
}

static fil_status open_vae(encoding *e, const fil_model *model)
{
    FIL_TRY(fili_model_paths_need(&model->paths, FILI_PART_VAE));
    fil_status status = fili_weights_open(e->ctx, FILI_PART_VAE, model->paths.part[FILI_PART_VAE],
                                          model->flags, &e->weights);
    if (status == FIL_OK) status = fili_vae_open(e->ctx, e->weights, e->o.precision, &e->vae);
    if (status != FIL_OK) fili_model_paths_frame(&model->paths, FILI_PART_VAE);
    return status;
}

static fil_status check_input(encoding *e)
{
    const fili_vae_config *c     = fili_vae_config_of(e->vae);
    const int32_t          scale = fili_vae_scale(c);
    const int32_t          time  = fili_vae_time_scale(c);
    const fili_frames_in  *in    = &e->in;
    if (in->n < 1)
        return FIL_FAIL(e->ctx, FIL_E_SHAPE, "input '%s' has no frame",
                        fili_quote(in->path, strlen(in->path)).text);
    if (in->width % scale != 0 || in->height % scale != 0)
        return FIL_FAIL(e->ctx, FIL_E_SHAPE,
                        "input '%s': expected sides that %d divides, found %d x %d pixels",
                        fili_quote(in->path, strlen(in->path)).text, (int)scale, (int)in->width,
                        (int)in->height);
    e->n = e->o.frames == FIL_AUTO ? (in->n - 1) / time * time + 1 : e->o.frames;
    if (e->n > in->n)
        return FIL_FAIL(e->ctx, FIL_E_SHAPE,
                        "frames: expected at most %d, which the input has; "
                        "found %d",
                        (int)in->n, (int)e->n);
    if (e->n < in->n && e->o.frames == FIL_AUTO)
        fili_log(e->ctx, FIL_LOG_WARNING, "the last %d of %d frames are left out: 4n + 1 are taken",
                 (int)(in->n - e->n), (int)in->n);
    e->shape[0] = c->z_dim;
    e->shape[1] = (e->n - 1) / time + 1;
    e->shape[2] = in->height / scale;
    e->shape[3] = in->width / scale;
    return FIL_OK;
}

static fil_status take_memory(encoding *e)
{
    fili_vae_memory memory;
    void           *block;
    e->z_bytes = sizeof(float);
    for (int i = 0; i < FILI_LATENT_RANK; i++)
        e->z_bytes *= (size_t)e->shape[i];
    FIL_TRY(fili_vae_encode_bytes(e->ctx, fili_vae_config_of(e->vae), e->o.precision,
                                  (int32_t)e->shape[2], (int32_t)e->shape[3], &memory));
    FIL_TRY(fili_check_budget(e->ctx, "encoding", memory.bytes + e->z_bytes));
    FIL_TRY(fili_check_device(e->ctx, "encoding", memory.device + e->ctx->device_memory.used));
    FIL_TRY(fili_alloc(e->ctx, e->z_bytes, "the latents", &block));
    e->z = block;
    return FIL_OK;
}

static fil_status check_disk(const encoding *e)
{
    const fili_disk_file latents = {.what   = "the latents",
                                    .path   = e->o.latents,
                                    .bytes  = e->z_bytes,
                                    .manner = FILI_DISK_WHOLE};
    fili_disk_list       list    = {.n = 0};
    fili_disk_add(&list, &latents);
    return fili_disks_take(e->ctx, NULL, &list);
}

static fil_status run(encoding *e, const fil_model *model)
{
    FIL_TRY(open_vae(e, model));
    FIL_TRY(fili_frames_in_open(&e->in, e->ctx, e->o.input));
    FIL_TRY(check_input(e));
    FIL_TRY(take_memory(e));
    FIL_TRY(check_disk(e));
    FIL_TRY(
        fili_vae_encode(e->vae, fili_frames_in_get, &e->in, e->n, e->in.height, e->in.width, e->z));
    return fili_latents_write(e->ctx, e->o.latents, "latents", e->shape, e->z, e->o.replace);
}

fil_status fil_encode(fil_model *model, const fil_encode_options *options, fil_video_result *result)
{
    FIL_CHECK(NULL, model != NULL, "fil_encode: model is NULL");
    fil_ctx *ctx = model->ctx;
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, options != NULL, "fil_encode: options is NULL");
    encoding     e      = {.ctx = ctx};
    const double begun  = fili_seconds(ctx);
    fil_status   status = check_options(&e, options);
    if (status == FIL_OK) status = run(&e, model);
    if (result != NULL)
        *result = (fil_video_result){.frames         = e.n,
                                     .width          = e.in.width,
                                     .height         = e.in.height,
                                     .decode_seconds = fili_seconds(ctx) - begun,
                                     .peak_bytes     = ctx->memory.peak};
    fili_frames_in_close(&e.in);
    fili_vae_close(&e.vae);
    fili_weights_close(&e.weights);
    fili_free(ctx, e.z, e.z_bytes);
    return status;
}
