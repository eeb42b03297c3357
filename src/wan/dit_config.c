/* wan/dit_config.c: the sizes of a DiT: named, from config.json, from tensors (dit.h).
 *
 * wan.md 1.1 (published models), 1.3 (keys), 1.4 (detection). The five keys that the official
 * loader ignores are honoured here. Everything a file says is checked against limits that keep
 * later products of two or three sizes far inside int64_t.
 */
#include <stdio.h>
#include <string.h>

#include "io/json.h"
#include "wan/dit_inside.h"

#define MAX_VALUES 4096u

static const fili_dit_config defaults = {.in_channels  = 16,
                                         .out_channels = 16,
                                         .text_dim     = 4096,
                                         .freq_dim     = 256,
                                         .text_len     = 512,
                                         .patch_t      = 1,
                                         .patch_h      = 2,
                                         .patch_w      = 2,
                                         .eps          = 1e-6f};

int fili_dit_config_named(const char *name, fili_dit_config *out)
{
    *out = defaults;
    if (strcmp(name, "1.3b") == 0) {
        out->dim     = 1536;
        out->ffn_dim = 8960;
        out->heads   = 12;
        out->layers  = 30;
        return 1;
    }
    if (strcmp(name, "14b") != 0) return 0;
    out->dim     = 5120;
    out->ffn_dim = 13824;
    out->heads   = 40;
    out->layers  = 40;
    return 1;
}

/* ---- limits --------------------------------------------------------------------------------- */

static fil_status range(fil_ctx *ctx, const char *what, const char *key, int64_t value, int64_t low,
                        int64_t high)
{
    if (value >= low && value <= high) return FIL_OK;
    return FIL_FAIL(ctx, FIL_E_FORMAT, "%s: %s is %lld; expected %lld to %lld", what, key,
                    (long long)value, (long long)low, (long long)high);
}

fil_status fili_dit_config_check(fil_ctx *ctx, const char *what, const fili_dit_config *c)
{
    FIL_TRY(range(ctx, what, "dim", c->dim, 1, 65536));
    FIL_TRY(range(ctx, what, "ffn_dim", c->ffn_dim, 1, 1 << 20));
    FIL_TRY(range(ctx, what, "num_heads", c->heads, 1, c->dim));
    FIL_TRY(range(ctx, what, "num_layers", c->layers, 1, 1024));
    FIL_TRY(range(ctx, what, "in_dim", c->in_channels, 1, 1024));
    FIL_TRY(range(ctx, what, "out_dim", c->out_channels, 1, 1024));
    FIL_TRY(range(ctx, what, "text_dim", c->text_dim, 1, 65536));
    FIL_TRY(range(ctx, what, "freq_dim", c->freq_dim, 2, 65536));
    FIL_TRY(range(ctx, what, "text_len", c->text_len, 1, FILI_ATTEND_KEYS));
    FIL_TRY(range(ctx, what, "patch_size[0]", c->patch_t, 1, 8));
    FIL_TRY(range(ctx, what, "patch_size[1]", c->patch_h, 1, 8));
    FIL_TRY(range(ctx, what, "patch_size[2]", c->patch_w, 1, 8));
    if (!(c->eps > 0.0f && c->eps < 1.0f))
        return FIL_FAIL(ctx, FIL_E_FORMAT, "%s: eps is %g; expected a number between 0 and 1", what,
                        (double)c->eps);
    if (c->freq_dim % 2 != 0)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "%s: freq_dim is %d; expected an even number", what,
                        c->freq_dim);
    if (c->dim % c->heads != 0)
        return FIL_FAIL(ctx, FIL_E_FORMAT, "%s: dim %d is no multiple of num_heads %d", what,
                        c->dim, c->heads);
    if (c->dim / c->heads != 64 && c->dim / c->heads != 128)
        return FIL_FAIL(ctx, FIL_E_UNSUP, "%s: heads of %d elements; filigree has 64 and 128", what,
                        c->dim / c->heads);
    if (c->in_channels != c->out_channels)
        return FIL_FAIL(
            ctx, FIL_E_UNSUP,
            "%s: %d channels in, %d out: an image to video model; filigree runs text to "
            "video",
            what, c->in_channels, c->out_channels);
    return FIL_OK;
}

/* ---- config.json ---------------------------------------------------------------------------- */

typedef struct reader {
    fil_ctx    *ctx;
    const char *what;
    json_t     *root;
} reader;

/* The integer under either name; *out stays as it is where there is none (or it is null). */
static fil_status integer(const reader *r, const char *key, const char *other, int32_t *out)
{
    const json_t *v = json_object_get(r->root, key);
    if (v == NULL && other != NULL) {
        key = other;
        v   = json_object_get(r->root, key);
    }
    if (v == NULL || json_is_null(v)) return FIL_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "%s: '%s' is no number from 0 to 2147483647", r->what,
                        key);
    *out = (int32_t)json_integer_value(v);
    return FIL_OK;
}

static fil_status patch_size(const reader *r, fili_dit_config *c)
{
    int32_t      *to[3] = {&c->patch_t, &c->patch_h, &c->patch_w};
    const json_t *v     = json_object_get(r->root, "patch_size");
    if (v == NULL || json_is_null(v)) return FIL_OK;
    if (!json_is_array(v) || json_array_size(v) != 3)
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "%s: 'patch_size' is no list of three numbers",
                        r->what);
    for (size_t i = 0; i < 3; i++) {
        const json_t *n = json_array_get(v, i);
        if (!json_is_integer(n) || json_integer_value(n) < 1 || json_integer_value(n) > 8)
            return FIL_FAIL(r->ctx, FIL_E_FORMAT, "%s: patch_size[%zu] is no number from 1 to 8",
                            r->what, i);
        *to[i] = (int32_t)json_integer_value(n);
    }
    return FIL_OK;
}

static fil_status small_number(const reader *r, const char *key, float *out)
{
    const json_t *v = json_object_get(r->root, key);
    if (v == NULL || json_is_null(v)) return FIL_OK;
    if (!json_is_number(v))
        return FIL_FAIL(r->ctx, FIL_E_FORMAT, "%s: '%s' is no number", r->what, key);
    *out = (float)json_number_value(v);
    return FIL_OK;
}

/* Keys whose other values change the function. */
static fil_status refuse_others(const reader *r)
{
    static const char *const other[] = {"added_kv_proj_dim", "image_dim", "vace_layers"};
    const char              *type    = json_string_value(json_object_get(r->root, "model_type"));
    if (type != NULL && strcmp(type, "t2v") != 0 && strcmp(type, "ti2v") != 0)
        return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                        "%s: model_type is '%s'; filigree runs text to video (t2v)", r->what,
                        fili_quote(type, strlen(type)).text);
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        const json_t *v = json_object_get(r->root, other[i]);
        if (v != NULL && !json_is_null(v))
            return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                            "%s: '%s' is set: a model with a second input; filigree runs text to "
                            "video",
                            r->what, other[i]);
    }
    if (json_is_false(json_object_get(r->root, "qk_norm")) ||
        json_is_false(json_object_get(r->root, "cross_attn_norm")))
        return FIL_FAIL(r->ctx, FIL_E_UNSUP,
                        "%s: a model without qk_norm or cross_attn_norm; filigree has both",
                        r->what);
    return FIL_OK;
}

static fil_status window_is_full(const reader *r)
{
    const json_t *v = json_object_get(r->root, "window_size");
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_integer(json_array_get(v, i)) ||
            json_integer_value(json_array_get(v, i)) != -1)
            return FIL_FAIL(r->ctx, FIL_E_UNSUP, "%s: window_size is not -1, -1 (full attention)",
                            r->what);
    return FIL_OK;
}

static fil_status take_dim(const reader *r, fili_dit_config *c)
{
    int32_t head = 128;
    FIL_TRY(integer(r, "num_heads", "num_attention_heads", &c->heads));
    FIL_TRY(integer(r, "attention_head_dim", NULL, &head));
    FIL_TRY(integer(r, "dim", NULL, &c->dim));
    if (c->dim == 0 && c->heads <= 65536 && head <= 65536 && c->heads * (int64_t)head <= 65536)
        c->dim = c->heads * head;
    return FIL_OK;
}

static fil_status take_keys(const reader *r, fili_dit_config *c)
{
    const char *class_name = json_string_value(json_object_get(r->root, "_class_name"));
    if (!json_is_object(r->root) || (class_name != NULL && strstr(class_name, "Wan") == NULL))
        return FIL_FAIL(r->ctx, FIL_E_MISMATCH, "%s: no configuration of a Wan DiT (class '%s')",
                        r->what,
                        class_name != NULL ? fili_quote(class_name, strlen(class_name)).text : "");
    *c = defaults;
    FIL_TRY(take_dim(r, c));
    FIL_TRY(integer(r, "ffn_dim", NULL, &c->ffn_dim));
    FIL_TRY(integer(r, "num_layers", NULL, &c->layers));
    FIL_TRY(integer(r, "in_dim", "in_channels", &c->in_channels));
    FIL_TRY(integer(r, "out_dim", "out_channels", &c->out_channels));
    FIL_TRY(integer(r, "text_dim", NULL, &c->text_dim));
    FIL_TRY(integer(r, "freq_dim", NULL, &c->freq_dim));
    FIL_TRY(integer(r, "text_len", NULL, &c->text_len));
    FIL_TRY(patch_size(r, c));
    FIL_TRY(small_number(r, "eps", &c->eps));
    FIL_TRY(refuse_others(r));
    FIL_TRY(window_is_full(r));
    return fili_dit_config_check(r->ctx, r->what, c);
}

fil_status fili_dit_config_parse(fil_ctx *ctx, const char *what, const char *text, size_t bytes,
                                 fili_dit_config *out)
{
    fili_json json;
    *out = (fili_dit_config){0};
    FIL_TRY(fili_json_parse(ctx, what, text, bytes, MAX_VALUES, FILI_JSON_REALS, &json));
    const reader     r      = {.ctx = ctx, .what = what, .root = json.root};
    const fil_status status = take_keys(&r, out);
    fili_json_fini(ctx, &json);
    return status;
}

/* ---- from tensors --------------------------------------------------------------------------- */

static fil_status shape_of(const fili_weights *w, const char *name, uint32_t rank,
                           const int64_t **shape)
{
    fil_ctx          *ctx = fili_weights_ctx(w);
    const fili_entry *e   = fili_weights_find(w, name);
    if (e == NULL)
        return FIL_FAIL(ctx, FIL_E_MISMATCH,
                        "no DiT: tensor '%s' is missing; the tensors look like %s", name,
                        fili_weights_likely(w));
    if (e->rank != rank)
        return FIL_FAIL(ctx, FIL_E_MISMATCH,
                        "tensor '%s' has %u dimensions; expected %u; the tensors look like %s",
                        fili_quote(e->name, strlen(e->name)).text, e->rank, rank,
                        fili_weights_likely(w));
    for (uint32_t i = 0; i < rank; i++)
        if (e->shape[i] < 1 || e->shape[i] > 1 << 24)
            return FIL_FAIL(ctx, FIL_E_MISMATCH, "tensor '%s' has a dimension of %lld",
                            fili_quote(e->name, strlen(e->name)).text, (long long)e->shape[i]);
    *shape = e->shape;
    return FIL_OK;
}

/* 1 + the largest N of "blocks.N."; a number of more than four digits counts as 9999. */
static int32_t count_layers(const fili_weights *w)
{
    int32_t most = 0;
    for (size_t i = 0; i < fili_weights_count(w); i++) {
        const char *name;
        int32_t     n = 0;
        fili_weights_at(w, i, &name);
        if (strncmp(name, "blocks.", 7) != 0) continue;
        for (name += 7; *name >= '0' && *name <= '9'; name++)
            n = n < 1000 ? 10 * n + (*name - '0') : 9999;
        if (*name == '.' && n + 1 > most) most = n + 1;
    }
    return most;
}

static fil_status sizes_of_tensors(const fili_weights *w, fili_dit_config *c)
{
    const int64_t *s;
    *c = defaults;
    FIL_TRY(shape_of(w, "head.modulation", 3, &s));
    c->dim   = (int32_t)s[2];
    c->heads = c->dim / 128;
    FIL_TRY(shape_of(w, "patch_embedding.weight", 5, &s));
    c->in_channels = (int32_t)s[1];
    c->patch_t     = (int32_t)s[2];
    c->patch_h     = (int32_t)s[3];
    c->patch_w     = (int32_t)s[4];
    for (int i = 2; i < 5; i++)
        FIL_TRY(range(fili_weights_ctx(w), "patch_embedding.weight", "a side of the patch", s[i], 1,
                      8));
    const int64_t patch = s[2] * s[3] * s[4];
    FIL_TRY(shape_of(w, "head.head.weight", 2, &s));
    c->out_channels = (int32_t)(s[0] / patch);
    FIL_TRY(shape_of(w, "blocks.0.ffn.0.weight", 2, &s));
    c->ffn_dim = (int32_t)s[0];
    FIL_TRY(shape_of(w, "text_embedding.0.weight", 2, &s));
    c->text_dim = (int32_t)s[1];
    FIL_TRY(shape_of(w, "time_embedding.0.weight", 2, &s));
    c->freq_dim = (int32_t)s[1];
    c->layers   = count_layers(w);
    return FIL_OK;
}

/* 1 if layer l has a part of a gate. */
static int has_gate(const fili_weights *w, int32_t l)
{
    char name[64];
    snprintf(name, sizeof name, "blocks.%d.to_gate_compress.weight", (int)l);
    if (fili_weights_find(w, name) != NULL) return 1;
    snprintf(name, sizeof name, "blocks.%d.to_gate_compress.bias", (int)l);
    return fili_weights_find(w, name) != NULL;
}

static fil_status detect_gate(const fili_weights *w, fili_dit_config *c)
{
    c->has_gate = has_gate(w, 0);
    for (int32_t l = 1; l < c->layers; l++)
        if (has_gate(w, l) != c->has_gate)
            return FIL_FAIL(fili_weights_ctx(w), FIL_E_MISMATCH,
                            "layer %d has a gate ('to_gate_compress') and layer %d has none; "
                            "expected one in every layer or in none",
                            (int)(c->has_gate ? 0 : l), (int)(c->has_gate ? l : 0));
    return FIL_OK;
}

static fil_status agree(const fili_weights *w, const char *key, int32_t config, int32_t tensors)
{
    if (config == tensors) return FIL_OK;
    return FIL_FAIL(fili_weights_ctx(w), FIL_E_MISMATCH,
                    "config.json says %s %d, the tensors have %d; they look like %s", key, config,
                    tensors, fili_weights_likely(w));
}

fil_status fili_dit_config_detect(const fili_weights *w, fili_dit_config *out)
{
    fil_ctx        *ctx  = fili_weights_ctx(w);
    const char     *text = fili_weights_config(w);
    fili_dit_config found;
    *out = (fili_dit_config){0};
    FIL_TRY(sizes_of_tensors(w, &found));
    if (text == NULL) {
        FIL_TRY(fili_dit_config_check(ctx, "the tensors", &found));
        FIL_TRY(detect_gate(w, &found));
        *out = found;
        return FIL_OK;
    }
    FIL_TRY(fili_dit_config_parse(ctx, "config.json", text, strlen(text), out));
    FIL_TRY(agree(w, "dim", out->dim, found.dim));
    FIL_TRY(agree(w, "ffn_dim", out->ffn_dim, found.ffn_dim));
    FIL_TRY(agree(w, "num_layers", out->layers, found.layers));
    FIL_TRY(agree(w, "in_dim", out->in_channels, found.in_channels));
    FIL_TRY(agree(w, "out_dim", out->out_channels, found.out_channels));
    FIL_TRY(agree(w, "text_dim", out->text_dim, found.text_dim));
    FIL_TRY(agree(w, "freq_dim", out->freq_dim, found.freq_dim));
    return detect_gate(w, out);
}
