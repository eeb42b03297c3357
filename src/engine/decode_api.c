/* engine/decode_api.c: fil_decode, and the last phase of fil_generate: latents through the VAE, one
 * latent frame at a time, into the outputs (filigree/video.h).
 */
#include <string.h>

#include "base/device.h"
#include "base/mem.h"
#include "engine/video_job.h"

void fil_decode_options_init(fil_decode_options *options)
{
    *options = (fil_decode_options){.struct_size = (uint32_t)sizeof *options,
                                    .precision   = FIL_BF16,
                                    .fps         = 16,
                                    .crf         = 10,
                                    .vae_tiles   = FIL_AUTO};
}

/* ---- whole or in tiles ---------------------------------------------------------------------- */

static fil_status whole_cost(fil_ctx *ctx, const fili_decode *d, uint64_t beside,
                             fili_decode_cost *out)
{
    const int32_t   t = (int32_t)d->shape[1];
    const int32_t   h = (int32_t)d->shape[2];
    const int32_t   w = (int32_t)d->shape[3];
    fili_vae_memory memory;
    FIL_TRY(fili_vae_decode_bytes(ctx, d->config, d->precision, h, w, &memory));
    *out = (fili_decode_cost){.bytes = memory.bytes + beside, .device = memory.device};
    return fili_vae_decode_flops(ctx, d->config, t, h, w, &out->flops);
}

static fil_status tiled_cost(fil_ctx *ctx, const fili_decode *d, uint64_t beside,
                             fili_decode_cost *out)
{
    const fili_vae_tiling how = fili_vae_tiling_usual(d->config);
    const int32_t size[3]     = {(int32_t)d->shape[1], (int32_t)d->shape[2], (int32_t)d->shape[3]};
    fili_vae_tiled_cost cost;
    FIL_TRY(fili_vae_tiled_cost_of(ctx, d->config, d->precision, &how, size, &cost));
    *out = (fili_decode_cost){.tiled  = 1,
                              .bytes  = cost.bytes + beside,
                              .device = cost.device,
                              .disk   = cost.disk,
                              .flops  = cost.flops};
    return FIL_OK;
}

/* Frames that are no larger than a tile are whole, whatever is asked for. */
fil_status fili_decode_cost_of(fil_ctx *ctx, const fili_decode *d, fili_decode_cost *out)
{
    const int32_t         h      = (int32_t)d->shape[2];
    const int32_t         w      = (int32_t)d->shape[3];
    const int32_t         scale  = fili_vae_scale(d->config);
    const fili_vae_tiling how    = fili_vae_tiling_usual(d->config);
    const uint64_t        beside = fili_frames_out_bytes(d->outputs, scale * w, scale * h);
    const bool            can    = fili_vae_tiling_cuts(&how, h, w);
    if (d->tiles == 1 && can) return tiled_cost(ctx, d, beside, out);
    FIL_TRY(whole_cost(ctx, d, beside, out));
    const bool fits = out->bytes <= d->room && out->device <= d->device_room;
    return d->tiles == FIL_AUTO && can && !fits ? tiled_cost(ctx, d, beside, out) : FIL_OK;
}

static fil_status decode_frames(fili_vae *vae, const fili_decode *d, const fili_decode_input *in,
                                fili_frames_out *out)
{
    return in->tiled ? fili_decode_kept_tiles(vae, in->weights, in->z, d->shape, out)
                     : fili_decode_kept(vae, in->weights, in->z, d->shape, out);
}

fil_status fili_decode_latents(fil_ctx *ctx, const fili_decode *d, const fili_decode_input *in,
                               fil_video_result *result)
{
    const double    begun = fili_seconds(ctx);
    fili_vae       *vae   = NULL;
    fili_frames_out out;
    FIL_TRY(fili_vae_open(ctx, in->weights, d->precision, &vae));
    const int32_t scale         = fili_vae_scale(d->config);
    result->frames              = fili_vae_time_scale(d->config) * ((int32_t)d->shape[1] - 1) + 1;
    result->height              = scale * (int32_t)d->shape[2];
    result->width               = scale * (int32_t)d->shape[3];
    const fili_frames_size size = {
        .n = result->frames, .width = result->width, .height = result->height};
    fil_status status = fili_frames_out_open(&out, ctx, d->outputs, &size);
    if (status == FIL_OK) {
        status              = decode_frames(vae, d, in, &out);
        result->kept_frames = out.kept;
        result->kept_tiles  = out.kept_tiles;
        if (status == FIL_OK)
            status = fili_frames_out_finish(&out);
        else
            fili_frames_out_close(&out);
    }
    /* What a broken VAE has made before is no use. */
    if (status == FIL_E_NONFINITE) fili_piece_log_remove(ctx, d->outputs->kept);
    if (status == FIL_OK || status == FIL_E_NONFINITE) {
        result->kept_frames = 0;
        result->kept_tiles  = 0;
    }
    fili_vae_close(&vae);
    result->decode_seconds += fili_seconds(ctx) - begun;
    return status;
}

fil_status fili_tiles_check(fil_ctx *ctx, int32_t tiles)
{
    FIL_CHECK(ctx, tiles == FIL_AUTO || tiles == 0 || tiles == 1,
              "vae_tiles: expected FIL_AUTO, 0 or 1, found %d", (int)tiles);
    return FIL_OK;
}

void fili_tell_tiles(fil_ctx *ctx, const fili_decode_cost *cost)
{
    fili_log(ctx, FIL_LOG_INFO,
             "decoding goes in tiles, as whole frames do not fit into memory, of the host or the "
             "device: %llu bytes, and %llu on disk",
             (unsigned long long)cost->bytes, (unsigned long long)cost->disk);
}

/* ---- fil_decode ----------------------------------------------------------------------------- */

typedef struct decoding {
    fil_ctx           *ctx;
    fil_decode_options o;
    fili_vae_config    config;
    fili_outputs       outputs;
    fili_decode        what;
    fili_decode_cost   cost;
    fili_weights      *weights;
    int64_t            shape[FILI_LATENT_RANK];
    float             *z;
    size_t             z_bytes;
} decoding;

static fil_status check_options(decoding *d, const fil_decode_options *options)
{
    fil_ctx            *ctx = d->ctx;
    fil_decode_options *o   = &d->o;
    fil_decode_options_init(o);
    FIL_TRY(fili_take_options(ctx, "fil_decode_options", o, sizeof *o, options));
    FIL_CHECK(ctx, o->latents != NULL, "expected a file of latents");
    FIL_CHECK(ctx, o->video != NULL || o->save_frames != NULL || o->frame != NULL,
              "nothing would come of it: expected a video or frames to write");
    FIL_TRY(fili_output_holds_tensors(ctx, "frames", o->save_frames));
    FIL_CHECK(ctx, !fili_same_path(ctx, o->video, o->save_frames),
              "video and frames are to go to one file, '%.160s'", o->video);
    FIL_CHECK(ctx,
              !fili_same_path(ctx, o->kept, o->video) &&
                  !fili_same_path(ctx, o->kept, o->save_frames) &&
                  !fili_same_path(ctx, o->kept, o->latents),
              "frames are to be kept in '%.160s', which is another file of this run", o->kept);
    FIL_CHECK(ctx, o->resume == 0 || o->kept != NULL,
              "expected the file of the frames that were kept, to go on from there");
    FIL_CHECK(ctx, o->precision == FIL_BF16 || o->precision == FIL_F32,
              "precision: expected BF16 or F32, found %s", fil_dtype_name(o->precision));
    FIL_CHECK(ctx, o->preset == FIL_PRESET_OFFICIAL || o->preset == FIL_PRESET_DIFFUSERS,
              "there is no preset of number %d", (int)o->preset);
    FIL_TRY(fili_tiles_check(ctx, o->vae_tiles));
    d->outputs = (fili_outputs){.video   = o->video,
                                .frames  = o->save_frames,
                                .fps     = o->fps,
                                .crf     = o->crf,
                                .replace = o->replace,
                                .rounds  = o->preset == FIL_PRESET_DIFFUSERS,
                                .fn      = o->frame,
                                .user    = o->frame_user,
                                .notes   = {.software = "filigree " FIL_VERSION_STRING},
                                .goes_on = o->resume,
                                .kept    = o->kept,
                                .spool   = o->video != NULL ? o->video : o->save_frames};
    return FIL_OK;
}

static fil_status check_latents(decoding *d, const fili_vae_config *config)
{
    const int64_t want[FILI_LATENT_RANK] = {config->z_dim, -1, -1, -1};
    FIL_TRY(fili_latents_look(d->ctx, d->o.latents, "latents", want, d->shape));
    const int64_t scale = fili_vae_scale(config);
    const int64_t time  = fili_vae_time_scale(config);
    if (d->shape[1] > 100000 || d->shape[2] * scale > FILI_VIDEO_SIDE ||
        d->shape[3] * scale > FILI_VIDEO_SIDE)
        return FIL_FAIL(d->ctx, FIL_E_LIMIT,
                        "latents of %lld frames of %lld x %lld; expected at most 100000 of %lld x "
                        "%lld",
                        (long long)d->shape[1], (long long)d->shape[2], (long long)d->shape[3],
                        FILI_VIDEO_SIDE / (long long)scale, FILI_VIDEO_SIDE / (long long)scale);
    const int32_t frames = (int32_t)(time * (d->shape[1] - 1) + 1);
    if (frames == 1) d->outputs.rounds = 1;
    const fili_video_shape size = {.width  = (int32_t)(d->shape[3] * scale),
                                   .height = (int32_t)(d->shape[2] * scale)};
    FIL_TRY(fili_outputs_check(d->ctx, &d->outputs, &size, frames));
    fili_finished_look(d->ctx, &d->outputs);
    FIL_TRY(fili_outputs_look(d->ctx, &d->outputs, "video", d->o.video,
                              d->o.replace || d->outputs.own_video));
    FIL_TRY(fili_outputs_look(d->ctx, &d->outputs, "frames", d->o.save_frames,
                              d->o.replace || d->outputs.own_frames));
    return fili_outputs_look(d->ctx, &d->outputs,
                             "kept frames (a decode that was stopped; --resume goes on with it)",
                             d->o.kept, d->o.replace || d->o.resume);
}

static fil_status look_at_vae(decoding *d, const fil_model *model, fili_vae_config *config)
{
    fili_vae *vae = NULL;
    FIL_TRY(fili_model_paths_need(&model->paths, FILI_PART_VAE));
    fil_status status = fili_weights_open(d->ctx, FILI_PART_VAE, model->paths.part[FILI_PART_VAE],
                                          model->flags, &d->weights);
    if (status == FIL_OK) status = fili_vae_open(d->ctx, d->weights, d->o.precision, &vae);
    if (status == FIL_OK)
        *config = *fili_vae_config_of(vae);
    else
        fili_model_paths_frame(&model->paths, FILI_PART_VAE);
    fili_vae_close(&vae);
    return status;
}

static fil_status check_disk(decoding *d)
{
    const int32_t          scale = fili_vae_scale(&d->config);
    const fili_frames_size size  = {.n      = d->outputs.n,
                                    .width  = scale * (int32_t)d->shape[3],
                                    .height = scale * (int32_t)d->shape[2]};
    fili_disk_list         list  = {.n = 0};
    fili_outputs_disk(&d->outputs, &size, &d->cost, &list);
    return fili_disks_take(d->ctx, NULL, &list);
}

static fil_status prepare(decoding *d, const fil_model *model)
{
    const fil_memory *m = &d->ctx->memory;
    void             *block;
    FIL_TRY(look_at_vae(d, model, &d->config));
    FIL_TRY(check_latents(d, &d->config));
    d->z_bytes = sizeof(float);
    for (int i = 0; i < FILI_LATENT_RANK; i++)
        d->z_bytes *= (size_t)d->shape[i];
    d->what = (fili_decode){.config      = &d->config,
                            .precision   = d->o.precision,
                            .shape       = d->shape,
                            .outputs     = &d->outputs,
                            .tiles       = d->o.vae_tiles,
                            .room        = fili_memory_room(d->ctx, m->used + d->z_bytes),
                            .device_room = fili_device_room(d->ctx)};
    FIL_TRY(fili_decode_cost_of(d->ctx, &d->what, &d->cost));
    if (d->cost.tiled && d->o.vae_tiles == FIL_AUTO) fili_tell_tiles(d->ctx, &d->cost);
    FIL_TRY(fili_check_budget(d->ctx, "decoding", d->cost.bytes + d->z_bytes));
    FIL_TRY(fili_check_device(d->ctx, "decoding", d->cost.device + d->ctx->device_memory.used));
    FIL_TRY(check_disk(d));
    FIL_TRY(fili_alloc(d->ctx, d->z_bytes, "the latents", &block));
    d->z = block;
    return fili_latents_read(d->ctx, d->o.latents, "latents", d->shape, d->z);
}

/* Unless the outputs stand already, and only what was kept is to be removed. */
static fil_status run(decoding *d, fil_video_result *result)
{
    const fili_decode_input in    = {.weights = d->weights, .z = d->z, .tiled = d->cost.tiled};
    const int32_t           scale = fili_vae_scale(&d->config);
    result->frames                = d->outputs.n;
    result->height                = scale * (int32_t)d->shape[2];
    result->width                 = scale * (int32_t)d->shape[3];
    if (!d->outputs.stands) {
        fil_status status = fili_outputs_begin(d->ctx, &d->outputs);
        if (status == FIL_OK) status = fili_decode_latents(d->ctx, &d->what, &in, result);
        if (status != FIL_OK) {
            fili_outputs_failed(d->ctx, &d->outputs);
            return status;
        }
    }
    fili_piece_log_remove(d->ctx, d->outputs.kept);
    return FIL_OK;
}

fil_status fil_decode(fil_model *model, const fil_decode_options *options, fil_video_result *result)
{
    fil_video_result mine = {.frames = 0};
    FIL_CHECK(NULL, model != NULL, "fil_decode: model is NULL");
    fil_ctx *ctx = model->ctx;
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, options != NULL, "fil_decode: options is NULL");
    decoding   d      = {.ctx = ctx};
    fil_status status = check_options(&d, options);
    if (status == FIL_OK) status = prepare(&d, model);
    if (status == FIL_OK) status = run(&d, &mine);
    fili_free(ctx, d.z, d.z_bytes);
    fili_weights_close(&d.weights);
    mine.peak_bytes = ctx->memory.peak;
    if (result != NULL) *result = mine;
    return status;
}
