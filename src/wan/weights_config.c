/* wan/weights_config.c: which model the tensors look like, and the config.json beside them
 * (weights.h). Detection after wan.md 1.4; the sizes are those of the published models (1.1).
 */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/json.h"
#include "wan/weights_inside.h"

#define MAX_VALUES 4096u

/* ---- the likely model ----------------------------------------------------------------------- */

static bool has(const fili_weights *w, const char *a, const char *b)
{
    return fili_weights_find(w, a) != NULL || (b != NULL && fili_weights_find(w, b) != NULL);
}

static int64_t dimension(const fili_weights *w, const char *name, uint32_t i)
{
    const fili_entry *e = fili_weights_find(w, name);
    return e != NULL && i < e->rank ? e->shape[i] : -1;
}

static const char *likely_dit(const fili_weights *w, int64_t dim)
{
    const int64_t in = dimension(w, "patch_embedding.weight", 1);
    if (has(w, "vace_patch_embedding.weight", NULL)) return "Wan2.1 VACE (an editing model)";
    if (has(w, "img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"))
        return "Wan2.1 FLF2V-14B (first and last frame to video)";
    if (has(w, "img_emb.proj.0.bias", "condition_embedder.image_embedder.norm1.bias"))
        return "Wan2.1 I2V-14B (image to video)";
    if (has(w, "blocks.0.to_gate_compress.weight", NULL)) return "FastWan (a VSA model)";
    if (in == 36) return "Wan2.2 I2V-A14B (image to video)";
    if (in == 48) return "Wan2.2 TI2V-5B";
    if (dim == 1536) return "Wan2.1 T2V-1.3B";
    if (dim == 5120) return "Wan2.1 T2V-14B";
    return "a Wan DiT of another size";
}

const char *fili_weights_likely(const fili_weights *w)
{
    int64_t dim = dimension(w, "head.modulation", 2);
    if (dim < 0) dim = dimension(w, "scale_shift_table", 2);
    if (dim >= 0) return likely_dit(w, dim);
    if (has(w, "token_embedding.weight", "shared.weight") ||
        has(w, "encoder.embed_tokens.weight", "encoder.final_layer_norm.weight") ||
        has(w, "enc.output_norm.weight", NULL))
        return "a UMT5 text encoder";
    if (has(w, "decoder.conv1.weight", "decoder.conv_in.weight")) return "a Wan VAE";
    if (has(w, "visual.patch_embedding.weight", "vision_model.embeddings.class_embedding"))
        return "a CLIP image encoder";
    if (has(w, "double_blocks.0.img_attn_qkv.weight", "double_blocks.0.img_attn.qkv.weight"))
        return "HunyuanVideo";
    return "no model that filigree knows";
}

/* ---- config.json ---------------------------------------------------------------------------- */

static bool names(const json_t *root, const char *key, const char *part)
{
    const char *text = json_string_value(json_object_get(root, key));
    return text != NULL && strstr(text, part) != NULL;
}

static bool is_of(fili_part part, const json_t *root)
{
    const bool vae =
        names(root, "_class_name", "Autoencoder") || json_object_get(root, "latents_mean") != NULL;
    if (part == FILI_PART_VAE) return vae;
    if (part == FILI_PART_T5) return json_object_get(root, "d_model") != NULL;
    return !vae && (names(root, "_class_name", "Wan") || json_object_get(root, "ffn_dim") != NULL ||
                    json_object_get(root, "dim") != NULL);
}

static fil_status keep_config(fili_weights *w, const char *text, size_t bytes)
{
    fili_json json;
    FIL_TRY(
        fili_json_parse(w->ctx, "config.json", text, bytes, MAX_VALUES, FILI_JSON_REALS, &json));
    const bool object = json_is_object(json.root);
    const bool mine   = object && is_of(w->part, json.root);
    fili_json_fini(w->ctx, &json);
    if (!object) return FIL_FAIL(w->ctx, FIL_E_FORMAT, "config.json is no JSON object");
    return mine ? fili_arena_text(&w->arena, text, bytes, &w->config) : FIL_OK;
}

static fil_status read_text(fili_weights *w, const fili_file *file)
{
    const uint64_t limit = w->ctx->opt.limits.header_bytes;
    void          *text;
    if (file->size > limit)
        return FIL_FAIL(w->ctx, FIL_E_LIMIT,
                        "'config.json' has %llu bytes; the limit is %llu (limit: header_bytes)",
                        (unsigned long long)file->size, (unsigned long long)limit);
    if (file->size == 0)
        return FIL_FAIL(w->ctx, FIL_E_FORMAT, "'config.json' is empty; expected JSON");
    FIL_TRY(fili_alloc(w->ctx, (size_t)file->size, "config.json", &text));
    fil_status status = fili_file_read(w->ctx, file, 0, text, (size_t)file->size);
    if (status == FIL_OK) status = keep_config(w, text, (size_t)file->size);
    fili_free(w->ctx, text, (size_t)file->size);
    return status;
}

/* Whether there is one is asked first: a part without a config is no failure. */
static bool exists(fil_ctx *ctx, const char *path)
{
    const int fd = fili_open_retrying(ctx->os, FILI_CWD, path, FILI_OPEN_PATH);
    if (fd >= 0) (void)ctx->os->close(ctx->os->self, fd);
    return fd >= 0;
}

fil_status fili_weights_read_config(fili_weights *w, const char *file)
{
    const char     *slash = strrchr(file, '/');
    const size_t    n     = slash != NULL ? (size_t)(slash - file) + 1 : 0;
    fili_arena_mark mark  = fili_arena_save(&w->arena);
    void           *block;
    fili_file       config;
    FIL_TRY(fili_arena_alloc(&w->arena, n + sizeof "config.json", &block));
    char *path = block;
    memcpy(path, file, n);
    memcpy(path + n, "config.json", sizeof "config.json");
    if (!exists(w->ctx, path)) {
        fili_arena_release(&w->arena, mark);
        return FIL_OK;
    }
    const int flags = (w->set.flags & FIL_OPEN_TRUSTED) != 0 ? 0 : FILI_OPEN_NOFOLLOW;
    FIL_TRY(fili_file_open(w->ctx, FILI_CWD, path, flags, &config));
    fil_status status = read_text(w, &config);
    fili_file_close(w->ctx, &config);
    if (status != FIL_OK) fili_error_frame(w->ctx, "file %s", fili_quote(path, strlen(path)).text);
    return status;
}
