/* engine/model_info.c: filigree/model.h over wan/model_paths.h, weights.h and dit.h. */
#include <stdio.h>
#include <string.h>

#include "engine/video_job.h"
#include "filigree/model.h"
#include "wan/dit.h"
#include "wan/model_paths.h"

/* The largest video that the smallest published model was made for. */
enum { LATENT_T = 21, LATENT_H = 60, LATENT_W = 104 };

static fil_status sizes(fil_ctx *ctx, fili_weights *w, fil_model_info *info)
{
    fili_dit_config  c;
    fili_dit_options o;
    fili_dit_memory  m;
    FIL_TRY(fili_dit_config_detect(w, &c));
    FIL_TRY(fili_dit_check_weights(w, &c));
    fili_dit_options_init(&o);
    o.t = LATENT_T - LATENT_T % c.patch_t;
    o.h = LATENT_H - LATENT_H % c.patch_h;
    o.w = LATENT_W - LATENT_W % c.patch_w;
    FIL_TRY(fili_dit_bytes(ctx, w, &c, &o, &m));
    /* beside it, as fil_generate counts: the latents, an answer per pass, the solver's arrays */
    const int64_t  n     = (int64_t)c.in_channels * LATENT_T * LATENT_H * LATENT_W;
    const uint64_t x     = (uint64_t)n * sizeof(float);
    info->dim            = c.dim;
    info->ffn_dim        = c.ffn_dim;
    info->heads          = c.heads;
    info->layers         = c.layers;
    info->channels       = c.in_channels;
    info->text_dim       = c.text_dim;
    info->parameters     = fili_dit_parameters(&c);
    info->memory_weights = m.weights;
    info->memory_480p = m.total + m.loading + x * (1 + (uint64_t)o.passes) + fili_solver_bytes(n);
    return FIL_OK;
}

/* A DiT that cannot run is described all the same; whatever is no DiT is a failure. */
static fil_status look_into(fil_ctx *ctx, fili_weights *w, fil_model_info *info)
{
    info->likely            = fili_weights_likely(w);
    info->weight_bytes      = fili_weights_bytes(w);
    const fil_status status = sizes(ctx, w, info);
    if (status == FIL_OK || status == FIL_E_NOMEM) return status;
    if (fili_weights_find(w, "head.modulation") == NULL) return status;
    snprintf(info->problem, sizeof info->problem, "%s", fil_ctx_error(ctx)->message);
    fili_ctx_enter(ctx);
    return FIL_OK;
}

/* As fil_generate counts it: the latents, and an mp4 being written. */
static fil_status vae_bytes(fil_ctx *ctx, const char *path, uint32_t flags, uint64_t *bytes)
{
    const fili_outputs outputs = {.video = "x.mp4"};
    fili_weights      *w;
    fili_vae          *vae = NULL;
    FIL_TRY(fili_weights_open(ctx, FILI_PART_VAE, path, flags, &w));
    fil_status status = fili_vae_open(ctx, w, FIL_BF16, &vae);
    if (status == FIL_OK) {
        const fili_vae_config *c       = fili_vae_config_of(vae);
        const int64_t          shape[] = {c->z_dim, LATENT_T, LATENT_H, LATENT_W};
        const fili_decode      what    = {
                    .config = c, .precision = FIL_BF16, .shape = shape, .outputs = &outputs};
        fili_decode_cost cost = {.bytes = 0};
        status                = fili_decode_cost_of(ctx, &what, &cost);
        *bytes = cost.bytes + (uint64_t)c->z_dim * LATENT_T * LATENT_H * LATENT_W * sizeof(float);
    }
    fili_vae_close(&vae);
    fili_weights_close(&w);
    return status;
}

/* A VAE that cannot run is not what was asked about. */
static fil_status look_at_vae(fil_ctx *ctx, const char *path, uint32_t flags, fil_model_info *info)
{
    uint64_t bytes = 0;
    if (path == NULL || info->problem[0] != '\0') return FIL_OK;
    const fil_status status = vae_bytes(ctx, path, flags, &bytes);
    if (status == FIL_OK) info->memory_decode_480p = bytes;
    if (status == FIL_OK || status == FIL_E_NOMEM) return status;
    fili_ctx_enter(ctx);
    return FIL_OK;
}

static fil_status model_info(fil_ctx *ctx, const fili_model_paths *paths, uint32_t flags,
                             fil_model_info *info)
{
    fili_weights *w;
    info->layout           = paths->layout;
    info->has_text_encoder = paths->part[FILI_PART_T5] != NULL;
    info->has_vae          = paths->part[FILI_PART_VAE] != NULL;
    info->has_tokenizer    = paths->tokenizer != NULL;
    FIL_TRY(fili_model_paths_need(paths, FILI_PART_DIT));
    FIL_TRY(fili_weights_open(ctx, FILI_PART_DIT, paths->part[FILI_PART_DIT], flags, &w));
    const fil_status status = look_into(ctx, w, info);
    fili_weights_close(&w);
    FIL_TRY(status);
    return look_at_vae(ctx, paths->part[FILI_PART_VAE], flags, info);
}

fil_status fil_model_info_get(fil_ctx *ctx, const char *path, uint32_t flags, fil_model_info *info)
{
    fili_model_paths paths;
    FIL_CHECK(NULL, ctx != NULL, "fil_model_info_get: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, path != NULL && info != NULL, "fil_model_info_get: %s is NULL",
              path == NULL ? "path" : "info");
    FIL_CHECK(ctx, (flags & ~FIL_OPEN_TRUSTED) == 0, "fil_model_info_get: unknown flags 0x%x",
              flags);
    *info = (fil_model_info){.likely = "", .layout = ""};
    /* What is skipped in a folder is told by fil_folder_open, to whoever lists it. */
    const fil_log_fn log = ctx->opt.log;
    ctx->opt.log         = NULL;
    fil_status status =
        fili_model_paths_open(&paths, ctx, &(fili_model_choice){.dir = path}, flags);
    ctx->opt.log = log;
    if (status != FIL_OK) return status;
    status = model_info(ctx, &paths, flags, info);
    fili_model_paths_close(&paths);
    return status;
}
