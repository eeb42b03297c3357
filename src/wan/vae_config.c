/* wan/vae_config.c: which autoencoder a file holds: sizes from the shapes of its tensors, mean and
 * deviation of the latents from config.json, or those of Wan2.1 where there is none.
 */
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "wan/vae_parts.h"

enum { JSON_VALUES = 4096, MAX_WIDTH = 8192 };

void fili_vae_config_init(fili_vae_config *config)
{
    static const float mean[] = {-0.7571f, -0.7089f, -0.9113f, 0.1075f,  -0.1745f, 0.9653f,
                                 -0.1517f, 1.5508f,  0.4134f,  -0.0715f, 0.5517f,  -0.3632f,
                                 -0.1922f, -0.9497f, 0.2503f,  -0.2921f};
    static const float std[]  = {2.8184f, 1.4541f, 2.3275f, 2.6558f, 1.2196f, 1.7708f,
                                 2.6052f, 2.0743f, 3.2687f, 2.1526f, 2.8652f, 1.5579f,
                                 1.6382f, 1.1253f, 2.8251f, 1.9160f};
    *config                   = (fili_vae_config){.z_dim      = 16,
                                                  .base_dim   = 96,
                                                  .n_levels   = 4,
                                                  .multiplier = {1, 2, 4, 4},
                                                  .blocks     = 2,
                                                  .temporal   = {0, 1, 1}};
    memcpy(config->mean, mean, sizeof mean);
    memcpy(config->std, std, sizeof std);
}

int32_t fili_vae_scale(const fili_vae_config *config)
{
    return 1 << (config->n_levels - 1);
}

int32_t fili_vae_time_scale(const fili_vae_config *config)
{
    int32_t scale = 1;
    for (int32_t i = 0; i < config->n_levels - 1; i++)
        scale *= config->temporal[i] ? 2 : 1;
    return scale;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static const char not_a_vae[] = "%s is not there; expected the tensors of Wan2.1's VAE, found %s";

/* First dimension of a tensor: outputs, or channels of a norm. */
static fil_status width_of(fil_ctx *ctx, const fili_weights *w, const char *name, int32_t *out)
{
    const fili_entry *e = fili_weights_find(w, name);
    if (e == NULL) return FIL_FAIL(ctx, FIL_E_MISMATCH, not_a_vae, name, fili_weights_likely(w));
    if (e->rank < 1 || e->shape[0] < 1 || e->shape[0] > MAX_WIDTH)
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "%s: expected 1 to %d channels", name, MAX_WIDTH);
    *out = (int32_t)e->shape[0];
    return FIL_OK;
}

typedef struct half {
    const char *stem; /* "decoder.upsamples", coarse to fine; "encoder.downsamples" */
    int32_t     width[FILI_VAE_LEVELS], temporal[FILI_VAE_LEVELS];
    int32_t     n, blocks;
} half;

static int has(const fili_weights *w, const half *h, int32_t i, const char *suffix, char *name)
{
    snprintf(name, VAE_NAME, "%s.%d.%s", h->stem, (int)i, suffix);
    return fili_weights_find(w, name) != NULL;
}

/* Blocks up to a resampling step make a level. */
static fil_status walk(fil_ctx *ctx, const fili_weights *w, half *h)
{
    char    name[VAE_NAME];
    int32_t blocks = 0;
    for (int32_t i = 0; h->n < FILI_VAE_LEVELS; i++) {
        if (has(w, h, i, "residual.2.weight", name)) {
            FIL_TRY(width_of(ctx, w, name, &h->width[h->n]));
            blocks++;
            continue;
        }
        if (blocks == 0)
            return FIL_FAIL(ctx, FIL_E_MISMATCH, not_a_vae, name, fili_weights_likely(w));
        if (h->n > 0 && blocks != h->blocks)
            return FIL_FAIL(ctx, FIL_E_MISMATCH,
                            "%s: level %d has %d residual blocks; expected %d as before it",
                            h->stem, (int)h->n, (int)blocks, (int)h->blocks);
        h->blocks = blocks;
        blocks    = 0;
        h->n++;
        if (!has(w, h, i, "resample.1.weight", name)) break;
        if (h->n < FILI_VAE_LEVELS) h->temporal[h->n - 1] = has(w, h, i, "time_conv.weight", name);
    }
    if (h->blocks > VAE_BLOCKS)
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "%s: %d residual blocks a level; expected up to %d",
                        h->stem, (int)h->blocks, VAE_BLOCKS);
    return FIL_OK;
}

static fil_status set_levels(fil_ctx *ctx, const half *h, int decoder, fili_vae_config *c)
{
    c->n_levels = h->n;
    c->blocks   = h->blocks - decoder;
    for (int32_t i = 0; i < h->n; i++) {
        const int32_t from = decoder ? h->n - 1 - i : i;
        c->multiplier[i]   = h->width[from] / c->base_dim;
        if (h->width[from] % c->base_dim != 0)
            return FIL_FAIL(ctx, FIL_E_MISMATCH,
                            "%s: a level of %d channels; expected a multiple of %d", h->stem,
                            (int)h->width[from], (int)c->base_dim);
        if (i < h->n - 1) c->temporal[i] = h->temporal[decoder ? h->n - 2 - i : i];
    }
    return FIL_OK;
}

static fil_status set_sizes(fil_ctx *ctx, const fili_weights *w, int decoder, fili_vae_config *c)
{
    half    h = {.stem = decoder ? "decoder.upsamples" : "encoder.downsamples"};
    int32_t rows;
    *c = (fili_vae_config){.n_levels = 0};
    FIL_TRY(width_of(ctx, w, decoder ? "conv2.weight" : "conv1.weight", &rows));
    c->z_dim = decoder ? rows : rows / 2;
    if (c->z_dim < 1 || c->z_dim > FILI_VAE_MAX_Z)
        return FIL_FAIL(ctx, FIL_E_MISMATCH, "VAE: %d latent channels; expected 1 to %d",
                        (int)c->z_dim, FILI_VAE_MAX_Z);
    FIL_TRY(
        width_of(ctx, w, decoder ? "decoder.head.0.gamma" : "encoder.conv1.weight", &c->base_dim));
    FIL_TRY(walk(ctx, w, &h));
    return set_levels(ctx, &h, decoder, c);
}

/* ---- mean and deviation --------------------------------------------------------------------- */

static fil_status take_list(fil_ctx *ctx, const json_t *list, const char *key, int32_t n,
                            float *out)
{
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return FIL_FAIL(ctx, FIL_E_MISMATCH,
                        "config.json: %s: expected %d numbers, as many as the "
                        "latent has channels",
                        key, (int)n);
    for (int32_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        if (!json_is_number(v))
            return FIL_FAIL(ctx, FIL_E_FORMAT, "config.json: %s: expected numbers", key);
        out[i] = (float)json_number_value(v);
    }
    return FIL_OK;
}

/* *found = 0: it says nothing about latents (the config.json of a DiT beside the file). */
static fil_status take_config(fil_ctx *ctx, const char *text, fili_vae_config *c, int *found)
{
    fili_json  json;
    fil_status status;
    *found = 0;
    if (text == NULL) return FIL_OK;
    FIL_TRY(fili_json_parse(ctx, "config.json", text, strlen(text), JSON_VALUES, FILI_JSON_REALS,
                            &json));
    const json_t *mean = json_object_get(json.root, "latents_mean");
    const json_t *std  = json_object_get(json.root, "latents_std");
    status             = FIL_OK;
    if (mean != NULL || std != NULL) {
        *found = 1;
        FIL_TRY_OR(done, take_list(ctx, mean, "latents_mean", c->z_dim, c->mean));
        FIL_TRY_OR(done, take_list(ctx, std, "latents_std", c->z_dim, c->std));
    }
done:
    fili_json_fini(ctx, &json);
    for (int32_t i = 0; i < c->z_dim && *found && status == FIL_OK; i++)
        if (!(c->std[i] > 0.0f))
            return FIL_FAIL(ctx, FIL_E_FORMAT,
                            "config.json: latents_std: expected numbers above 0");
    return status;
}

fil_status fili_vae_detect(fil_ctx *ctx, const fili_weights *w, fili_vae_config *c)
{
    fili_vae_config usual;
    int             found;
    const int       decoder = fili_weights_find(w, "decoder.conv1.weight") != NULL ||
                        fili_weights_find(w, "encoder.conv1.weight") == NULL;
    if (fili_weights_find(w, "decoder.upsamples.0.upsamples.0.residual.2.weight") != NULL)
        return FIL_FAIL(ctx, FIL_E_MISMATCH,
                        "this is the VAE of Wan2.2 TI2V-5B; expected that of Wan2.1");
    FIL_TRY(set_sizes(ctx, w, decoder, c));
    FIL_TRY(take_config(ctx, fili_weights_config(w), c, &found));
    if (found) return FIL_OK;
    fili_vae_config_init(&usual);
    if (c->z_dim != usual.z_dim)
        return FIL_FAIL(ctx, FIL_E_MISMATCH,
                        "VAE: %d latent channels and no config.json with latents_mean and "
                        "latents_std; expected %d channels as in Wan2.1",
                        (int)c->z_dim, (int)usual.z_dim);
    memcpy(c->mean, usual.mean, sizeof c->mean);
    memcpy(c->std, usual.std, sizeof c->std);
    return FIL_OK;
}
