/* tests/support/dit_make.c: random weights of a small DiT (dit_make.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "support/cmocka_all.h"
#include "support/dit_make.h"
#include "tensor/convert.h"

fili_dit_config dit_small_config(void)
{
    return (fili_dit_config){.dim          = 128,
                             .ffn_dim      = 96,
                             .heads        = 2,
                             .layers       = 2,
                             .in_channels  = 4,
                             .out_channels = 4,
                             .text_dim     = 24,
                             .freq_dim     = 32,
                             .text_len     = 40,
                             .patch_t      = 1,
                             .patch_h      = 2,
                             .patch_w      = 2,
                             .eps          = 1e-6f};
}

static int64_t elements(const fili_made_tensor *t)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= t->shape[i];
    return n;
}

/* Matrices keep the size of what they meet; norms lie around 1, everything else around 0. */
static void fill(float *to, const fili_made_tensor *t, uint64_t seed, uint64_t stream)
{
    const int64_t n      = elements(t);
    const int     matrix = strstr(t->name, "weight") != NULL && t->rank >= 2;
    const int     norm   = strstr(t->name, "norm") != NULL && strstr(t->name, "weight") != NULL;
    const float   sigma  = matrix ? 1.4f / sqrtf((float)(n / t->shape[0])) : norm ? 0.2f : 0.3f;
    fili_philox_normal(seed, stream, 0, to, n);
    for (int64_t i = 0; i < n; i++) {
        const float v = to[i] * sigma + (norm ? 1.0f : 0.0f);
        uint16_t    h;
        fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_BF16, &h, FIL_F32, &v, 1);
        fili_convert_row(fili_convert_select(FILI_ISA_REF), FIL_F32, &to[i], FIL_BF16, &h, 1);
    }
}

void dit_make(dit_made *m, const fili_dit_config *config, uint64_t seed)
{
    m->config  = *config;
    m->n       = fili_dit_tensors(config);
    m->tensors = calloc((size_t)m->n, sizeof *m->tensors);
    m->names   = calloc((size_t)m->n, sizeof *m->names);
    assert_non_null(m->tensors);
    assert_non_null(m->names);
    for (int32_t i = 0; i < m->n; i++) {
        fili_dit_tensor   t;
        fili_made_tensor *to = &m->tensors[i];
        fili_dit_tensor_at(config, i, &t);
        memcpy(m->names[i], t.name, sizeof t.name);
        *to = (fili_made_tensor){.name = m->names[i], .dtype = FIL_F32, .rank = t.rank};
        memcpy(to->shape, t.shape, sizeof t.shape);
        float *data = malloc((size_t)elements(to) * sizeof *data);
        assert_non_null(data);
        fill(data, to, seed, (uint64_t)i);
        to->data = data;
    }
}

void dit_free(dit_made *m)
{
    for (int32_t i = 0; i < m->n; i++)
        free((void *)(uintptr_t)m->tensors[i].data);
    free(m->tensors);
    free(m->names);
}

const float *dit_values(const dit_made *m, const char *name)
{
    for (int32_t i = 0; i < m->n; i++)
        if (strcmp(m->tensors[i].name, name) == 0) return m->tensors[i].data;
    fail_msg("the small DiT has no tensor '%s'", name);
    return NULL;
}

/* ---- files ---------------------------------------------------------------------------------- */

enum { MAX_TENSORS = 256 };

typedef struct writing {
    fil_tensor_desc desc[MAX_TENSORS];
    char            name[MAX_TENSORS][128];
    const float    *from[MAX_TENSORS]; /* NULL: zeros */
    float           factor[MAX_TENSORS];
    size_t          n;
} writing;

static int is(const char *name, const char *wanted)
{
    return wanted != NULL && strcmp(name, wanted) == 0;
}

/* The name that diffusers has for the same tensor. */
static void diffusers_name(const char *name, char *out, size_t size)
{
    static const char *const pairs[][2] = {
        {"text_embedding.0", "condition_embedder.text_embedder.linear_1"},
        {"text_embedding.2", "condition_embedder.text_embedder.linear_2"},
        {"time_embedding.0", "condition_embedder.time_embedder.linear_1"},
        {"time_embedding.2", "condition_embedder.time_embedder.linear_2"},
        {"time_projection.1", "condition_embedder.time_proj"},
        {"head.head", "proj_out"},
        {"head.modulation", "scale_shift_table"},
        {"modulation", "scale_shift_table"},
        {"self_attn.norm", "attn1.norm"},
        {"cross_attn.norm", "attn2.norm"},
        {"self_attn.o", "attn1.to_out.0"},
        {"cross_attn.o", "attn2.to_out.0"},
        {"self_attn.", "attn1.to_"},
        {"cross_attn.", "attn2.to_"},
        {"norm3", "norm2"},
        {"ffn.0", "ffn.net.0.proj"},
        {"ffn.2", "ffn.net.2"},
    };
    const size_t head = strncmp(name, "blocks.", 7) == 0 ? strcspn(name + 7, ".") + 8 : 0;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const size_t n = strlen(pairs[i][0]);
        if (strncmp(name + head, pairs[i][0], n) != 0) continue;
        snprintf(out, size, "%.*s%s%s", (int)head, name, pairs[i][1], name + head + n);
        return;
    }
    snprintf(out, size, "%s", name);
}

static fil_tensor_desc *add(writing *w, const char *prefix, const char *name, const float *from)
{
    fil_tensor_desc *d = &w->desc[w->n];
    assert_true(w->n < MAX_TENSORS);
    snprintf(w->name[w->n], sizeof w->name[0], "%s%s", prefix != NULL ? prefix : "", name);
    *d              = (fil_tensor_desc){.name = w->name[w->n], .dtype = FIL_F32};
    w->from[w->n]   = from;
    w->factor[w->n] = 1.0f;
    w->n++;
    return d;
}

static const float half = 0.5f;

static void add_tensor(writing *w, const fili_made_tensor *t, const dit_file *how)
{
    const int matrix = t->rank == 2;
    char      name[128];
    snprintf(name, sizeof name, "%s", t->name);
    if (how->diffusers) diffusers_name(t->name, name, sizeof name);
    fil_tensor_desc *d = add(w, how->prefix, name, t->data);
    d->rank            = t->rank;
    memcpy(d->shape, t->shape, sizeof d->shape);
    if (is(t->name, how->reshaped)) d->shape[d->rank++] = 1;
    if (how->dtype != 0) d->dtype = how->dtype;
    if (is(t->name, how->retyped)) d->dtype = FIL_I32;
    if (!how->scaled || !matrix) return;
    char scale[128];
    d->dtype            = FIL_F8_E4M3;
    w->factor[w->n - 1] = 2.0f;
    snprintf(scale, sizeof scale, "%.*s.scale_weight", (int)(strlen(t->name) - strlen(".weight")),
             t->name);
    add(w, how->prefix, scale, &half);
}

static void put(fil_ctx *ctx, fil_writer *out, const writing *w, size_t i)
{
    const fil_tensor_desc *d    = &w->desc[i];
    const size_t           size = fil_dtype_bits(d->dtype) / 8;
    size_t                 n    = 1;
    for (uint32_t k = 0; k < d->rank; k++)
        n *= (size_t)d->shape[k];
    float *wide = calloc(n, sizeof *wide);
    void  *data = calloc(n, size);
    assert_non_null(wide);
    assert_non_null(data);
    for (size_t k = 0; k < n && w->from[i] != NULL; k++)
        wide[k] = w->from[i][k] * w->factor[i];
    if (d->dtype != FIL_I32)
        fili_convert_row(fili_convert_select(FILI_ISA_REF), d->dtype, data, FIL_F32, wide, n);
    if (fil_writer_put(out, i, data, n * size) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    free(wide);
    free(data);
}

void dit_write(const dit_made *m, fil_ctx *ctx, const char *path, const dit_file *how)
{
    static writing w;
    fil_writer    *out;
    w.n = 0;
    for (int32_t i = 0; i < m->n; i++)
        if (!is(m->tensors[i].name, how->left_out)) add_tensor(&w, &m->tensors[i], how);
    if (how->scaled) add(&w, how->prefix, "scaled_fp8", NULL);
    if (how->added != NULL) {
        fil_tensor_desc *d = add(&w, how->prefix, how->added, NULL);
        d->rank            = 1;
        d->shape[0]        = 3;
    }
    if (fil_writer_open(ctx, path, w.desc, w.n, NULL, 0, FIL_WRITE_REPLACE, &out) != FIL_OK)
        fail_msg("%s", fil_ctx_error(ctx)->message);
    for (size_t i = 0; i < w.n; i++)
        put(ctx, out, &w, i);
    assert_int_equal(fil_writer_finish(&out), FIL_OK);
}
