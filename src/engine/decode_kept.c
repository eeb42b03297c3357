/* engine/decode_kept.c: latents to frames, behind those that an earlier run has decoded
 * (video_job.h).
 *
 * Frames are kept as bytes (frame_log.h), and the outputs get them as if they had just been made:
 * an encoder's state cannot be saved, but it costs little to fill it again. The VAE then learns of
 * the latent frames whose past it needs (fili_vae_catch_up) and goes on, with the same bits.
 *
 * Of tiles the frames that wait to be blended are kept, under the same name (wan/vae_tiles.h), and
 * the outputs get nothing before all are there.
 */
#include <stdio.h>
#include <string.h>

#include "engine/video_job.h"

typedef struct going_on {
    fil_ctx         *ctx;
    fili_vae        *vae;
    const float     *z;
    int32_t          t, h, w; /* of the latents */
    int32_t          first;   /* latent frame to go on with */
    fili_frames_out *out;
    fili_frame_log   log;
} going_on;

/* ---- what the frames were made of ----------------------------------------------------------- */

/* A sample of the VAE, that training changes: of its first and its last convolution. */
static fil_status add_weights(fili_sha256 *h, fili_weights *weights)
{
    enum { SAMPLE = 64 };
    static const char *const names[] = {"decoder.conv1.weight", "decoder.head.2.weight"};
    for (int i = 0; i < 2; i++) {
        float values[SAMPLE];
        FIL_TRY(fili_weights_read_part(weights, names[i], FIL_F32, 0, SAMPLE, values));
        fili_sha256_add(h, values, sizeof values);
    }
    return FIL_OK;
}

/* how: NULL for whole frames; those of tiles are kept before they become bytes. */
static fil_status key_of(const going_on *g, fili_weights *weights, const fili_vae_tiling *how,
                         char key[FILI_SHA256_HEX])
{
    const int32_t sizes[] = {g->t,
                             g->h,
                             g->w,
                             (int32_t)fili_vae_precision(g->vae),
                             how == NULL ? g->out->outputs->rounds : 0,
                             how == NULL ? 0 : how->tile,
                             how == NULL ? 0 : how->stride};
    const size_t  n =
        (size_t)fili_vae_config_of(g->vae)->z_dim * (size_t)g->t * (size_t)g->h * (size_t)g->w;
    const char *kernel = fili_isa_name(g->ctx->isa); /* others round in other ways */
    fili_sha256 h;
    fili_sha256_begin(&h);
    fili_sha256_add(&h, FIL_VERSION_STRING, sizeof FIL_VERSION_STRING);
    fili_sha256_add(&h, kernel, strlen(kernel));
    fili_sha256_add(&h, sizes, sizeof sizes);
    fili_sha256_add(&h, g->z, n * sizeof *g->z);
    FIL_TRY(add_weights(&h, weights));
    fili_sha256_end(&h, key);
    return FIL_OK;
}

/* ---- whether there is room ------------------------------------------------------------------ */

/* What is kept must not take the room of what is asked for. */
static bool has_room(const going_on *g)
{
    fil_ctx               *ctx    = g->ctx;
    const fil_error        before = ctx->error;
    const fili_frames_out *out    = g->out;
    const fili_frames_size size   = {.n = out->n, .width = out->width, .height = out->height};
    const fili_decode_cost whole  = {.tiled = 0};
    fili_disk_list         list   = {.n = 0};
    fili_outputs_disk(out->outputs, &size, &whole, &list);
    for (int i = 0; i < list.n; i++)
        list.file[i].spare = false;
    fili_ctx_enter(ctx);
    const bool room = fili_disks_take(ctx, NULL, &list) == FIL_OK;
    if (room)
        ctx->error = before;
    else
        fili_frame_log_tell(ctx, &before);
    return room;
}

/* ---- frames that are there ------------------------------------------------------------------ */

/* The frames of whole latent frames count. */
static fil_status take_kept(going_on *g)
{
    fili_frames_out *out  = g->out;
    const int32_t    time = fili_vae_time_scale(fili_vae_config_of(g->vae));
    if (g->log.kept == 0) return FIL_OK;
    g->first             = (g->log.kept - 1) / time + 1;
    const int32_t frames = time * (g->first - 1) + 1;
    out->pictures        = g->log.kept;
    fili_frame_log_cut(&g->log, frames);
    for (int32_t i = 0; i < frames; i++) {
        FIL_TRY(fili_check_cancel(g->ctx));
        FIL_TRY(fili_frame_log_read(&g->log, i, out->rgb));
        FIL_TRY(fili_frames_out_put_kept(out, i));
    }
    return FIL_OK;
}

/* ---- the others ----------------------------------------------------------------------------- */

static fil_status decode_rest(going_on *g, fili_vae_stream *s)
{
    const int64_t  frame  = (int64_t)g->h * g->w;
    const int64_t  stride = (int64_t)g->t * frame;
    const uint64_t n      = (uint64_t)g->t;
    fili_progress(g->ctx, "decode", (uint64_t)g->first, n);
    for (int32_t i = fili_vae_felt(s, g->first); i < g->first; i++)
        FIL_TRY(fili_vae_catch_up(s, g->z + i * frame, stride, i, g->first));
    for (int32_t i = g->first; i < g->t; i++) {
        fili_progress(g->ctx, "decode", (uint64_t)i, n);
        FIL_TRY(fili_vae_decode_frame(s, g->z + i * frame, stride, fili_frames_out_put, g->out));
    }
    fili_progress(g->ctx, "decode", n, n);
    return FIL_OK;
}

static fil_status go_on(going_on *g)
{
    fili_vae_stream *s = NULL;
    FIL_TRY(take_kept(g));
    if (g->first == g->t) return FIL_OK;
    FIL_TRY(fili_vae_decoder(g->vae, g->h, g->w, &s));
    const fil_status status = decode_rest(g, s);
    fili_vae_stream_close(&s);
    return status;
}

static going_on going_on_of(fili_vae *vae, const float *z, const int64_t shape[FILI_LATENT_RANK],
                            fili_frames_out *out)
{
    return (going_on){.ctx = out->ctx,
                      .vae = vae,
                      .z   = z,
                      .t   = (int32_t)shape[1],
                      .h   = (int32_t)shape[2],
                      .w   = (int32_t)shape[3],
                      .out = out};
}

fil_status fili_decode_kept(fili_vae *vae, fili_weights *weights, const float *z,
                            const int64_t shape[FILI_LATENT_RANK], fili_frames_out *out)
{
    const fili_outputs *o = out->outputs;
    going_on            g = going_on_of(vae, z, shape, out);
    if (o->kept == NULL) return fili_vae_decode(vae, z, g.t, g.h, g.w, fili_frames_out_put, out);
    fili_frame_log_what what = {
        .path = o->kept, .n = out->n, .width = out->width, .height = out->height};
    FIL_TRY(key_of(&g, weights, NULL, what.key));
    if (!o->goes_on && !has_room(&g)) {
        fili_piece_log_remove(g.ctx, o->kept);
        what.path = NULL;
    }
    fili_frame_log_open(&g.log, g.ctx, &what, o->goes_on);
    out->log                = &g.log;
    const fil_status status = go_on(&g);
    out->log                = NULL;
    out->kept               = g.log.on ? g.log.kept : 0;
    if (status != FIL_OK && !g.log.on) fili_frames_out_unmake(out);
    fili_frame_log_close(&g.log);
    return status;
}

/* ---- tiles ---------------------------------------------------------------------------------- */

fil_status fili_decode_kept_tiles(fili_vae *vae, fili_weights *weights, const float *z,
                                  const int64_t shape[FILI_LATENT_RANK], fili_frames_out *out)
{
    const fili_outputs   *o   = out->outputs;
    const fili_vae_tiling how = fili_vae_tiling_usual(fili_vae_config_of(vae));
    const going_on        g   = going_on_of(vae, z, shape, out);
    char                  key[FILI_SHA256_HEX];
    char                  made_of[FILI_PIECE_MADE_OF] = "";
    fili_vae_clip         clip = {.z = z, .t = g.t, .h = g.h, .w = g.w, .tiles = &out->kept_tiles};
    clip.wait.path             = o->kept;
    clip.wait.beside           = o->spool;
    clip.wait.made_of          = made_of;
    clip.wait.goes_on          = o->goes_on != 0;
    if (o->kept != NULL) {
        FIL_TRY(key_of(&g, weights, &how, key));
        snprintf(made_of, sizeof made_of, "%s tiles", key);
    }
    return fili_vae_decode_tiled(vae, &how, &clip, fili_frames_out_put, out);
}
