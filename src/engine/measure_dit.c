/* engine/measure_dit.c: fil_bench_dit: one forward pass of a DiT with random weights.
 *
 * Every tensor of a shape shares one piece of random numbers, which the DiT packs layer by layer as
 * it would a file's: so what lies in memory and in the caches is what a real model has, and the
 * numbers are drawn once. Norm weights are 1, so that attention has logits of an ordinary size.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/measure_mask.h"
#include "engine/measure_model.h"
#include "engine/policy_run.h"
#include "wan/dit.h"

/* One way of attention: a policy, or random masks. */
typedef struct entry {
    struct bench   *bench;
    fili_policy_run policy;
    fili_dit       *dit;
} entry;

enum { MOST = 16 };

typedef struct bench {
    fil_ctx           *ctx;
    fil_bench_dit_desc d;
    fili_dit_config    config;
    fili_dit_options   options;
    fili_arena         arena; /* random numbers, ones, list of tensors, latents */
    fili_made_tensor  *tensors;
    int32_t            n_tensors;
    fili_weights      *weights;
    fili_mask          mask;
    entry              entry[MOST];
    int32_t            n; /* entries */
    float             *latent, *velocity, *context;
} bench;

void fil_bench_dit_desc_init(fil_bench_dit_desc *desc)
{
    *desc = (fil_bench_dit_desc){.struct_size = (uint32_t)sizeof *desc,
                                 .config      = "1.3b",
                                 .f           = 5,
                                 .h           = 16,
                                 .w           = 26,
                                 .dtype       = FIL_BF16,
                                 .density     = 1.0};
}

/* ---- what is asked for ---------------------------------------------------------------------- */

static fil_status read_config(bench *b, const char *path)
{
    fil_ctx       *ctx   = b->ctx;
    const uint64_t limit = ctx->opt.limits.header_bytes;
    fili_file      file;
    void          *text = NULL;
    fil_status     status;
    FIL_TRY(fili_file_open(ctx, FILI_CWD, path, 0, &file));
    const size_t bytes = file.size <= limit ? (size_t)file.size : 0;
    if (file.size > limit || bytes == 0)
        status = FIL_FAIL(ctx, file.size > limit ? FIL_E_LIMIT : FIL_E_FORMAT,
                          "'%s' has %llu bytes; expected 1 to %llu (limit: header_bytes)",
                          fili_quote(path, strlen(path)).text, (unsigned long long)file.size,
                          (unsigned long long)limit);
    else
        status = fili_alloc(ctx, bytes, "configuration", &text);
    if (status == FIL_OK) status = fili_file_read(ctx, &file, 0, text, bytes);
    if (status == FIL_OK)
        status = fili_dit_config_parse(ctx, "the configuration", text, bytes, &b->config);
    fili_free(ctx, text, bytes);
    fili_file_close(ctx, &file);
    if (status != FIL_OK) fili_error_frame(ctx, "file %s", fili_quote(path, strlen(path)).text);
    return status;
}

static fil_status take(bench *b, const fil_bench_dit_desc *desc)
{
    fil_ctx            *ctx = b->ctx;
    fil_bench_dit_desc *d   = &b->d;
    fil_bench_dit_desc_init(d);
    FIL_TRY(fili_bench_take(ctx, "fil_bench_dit_desc", d, sizeof *d, desc));
    FIL_TRY(fili_bench_range(ctx, "f", d->f, 1, 65536));
    FIL_TRY(fili_bench_range(ctx, "h", d->h, 1, 65536));
    FIL_TRY(fili_bench_range(ctx, "w", d->w, 1, 65536));
    FIL_TRY(fili_bench_range(ctx, "layers", d->layers, 0, 1024));
    FIL_TRY(fili_bench_range(ctx, "n_policies", d->n_policies, 0, MOST));
    FIL_CHECK(ctx, d->n_policies == 0 || d->policies != NULL, "policies is NULL");
    FIL_CHECK(ctx, d->n_policies == 0 || d->density >= 1.0,
              "a density of random masks and policies; expected one of the two");
    FIL_TRY(fili_bench_range(ctx, "repetitions", d->repetitions, 0, FILI_BENCH_REPETITIONS));
    FIL_CHECK(ctx, d->density > 0.0 && d->density <= 1.0,
              "density is %g; expected above 0, up to 1", d->density);
    FIL_CHECK(ctx, d->config != NULL, "config is NULL");
    if (!fili_dit_config_named(d->config, &b->config)) FIL_TRY(read_config(b, d->config));
    if (d->layers > 0) b->config.layers = d->layers;
    fili_dit_options_init(&b->options);
    b->options.precision = d->dtype;
    b->options.t         = d->f * b->config.patch_t; /* at most 2^16 times 8 */
    b->options.h         = d->h * b->config.patch_h;
    b->options.w         = d->w * b->config.patch_w;
    b->options.passes    = 1;
    b->options.packed    = 1;
    return FIL_OK;
}

/* ---- inputs --------------------------------------------------------------------------------- */

static uint64_t elements(const fili_dit_tensor *t)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        n *= (uint64_t)t->shape[i]; /* sizes are bounded by fili_dit_config_check */
    return n;
}

static uint64_t latent_elements(const bench *b)
{
    return (uint64_t)b->config.in_channels * (uint64_t)b->options.t * (uint64_t)b->options.h *
           (uint64_t)b->options.w;
}

static fil_status take_memory(bench *b, uint64_t largest, void **random, void **ones)
{
    const uint64_t rows = (uint64_t)b->config.text_len * (uint64_t)b->config.text_dim;
    void          *block[4];
    fili_arena_init(&b->arena, b->ctx, "bench", 0);
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)largest, 2, random));
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)b->config.dim, sizeof(float), ones));
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)b->n_tensors, sizeof *b->tensors, &block[0]));
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)latent_elements(b), sizeof(float), &block[1]));
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)latent_elements(b), sizeof(float), &block[2]));
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)rows, sizeof(float), &block[3]));
    b->tensors  = block[0];
    b->latent   = block[1];
    b->velocity = block[2];
    b->context  = block[3];
    return FIL_OK;
}

/* Random numbers once for the first million, then the same again. */
static void fill_random(bench *b, uint16_t *to, uint64_t n)
{
    const uint64_t part  = n < 1 << 20 ? n : 1 << 20;
    const float    sigma = 1.0f / sqrtf((float)b->config.dim);
    fili_bench_normal(b->d.seed, 1, FIL_BF16, to, (int64_t)part, sigma);
    for (uint64_t at = part; at < n; at += part)
        memcpy(to + at, to, (size_t)(n - at < part ? n - at : part) * sizeof *to);
}

static fil_status make_weights(bench *b)
{
    fili_dit_tensor t;
    uint64_t        largest = 0;
    void           *random;
    void           *ones;
    b->n_tensors = fili_dit_tensors(&b->config);
    for (int32_t i = 0; i < b->n_tensors; i++) {
        fili_dit_tensor_at(&b->config, i, &t);
        if (elements(&t) > largest) largest = elements(&t);
    }
    FIL_TRY(take_memory(b, largest, &random, &ones));
    fill_random(b, random, largest);
    for (int64_t i = 0; i < b->config.dim; i++)
        ((float *)ones)[i] = 1.0f;
    for (int32_t i = 0; i < b->n_tensors; i++) {
        fili_dit_tensor_at(&b->config, i, &t);
        const bool        is_norm = strstr(t.name, "norm") != NULL;
        fili_made_tensor *to      = &b->tensors[i];
        char             *name;
        FIL_TRY(fili_arena_text(&b->arena, t.name, strlen(t.name), &name));
        *to = (fili_made_tensor){.name  = name,
                                 .dtype = is_norm ? FIL_F32 : FIL_BF16,
                                 .rank  = t.rank,
                                 .data  = is_norm ? ones : random};
        memcpy(to->shape, t.shape, sizeof to->shape);
    }
    return fili_weights_make(b->ctx, FILI_PART_DIT, b->tensors, (size_t)b->n_tensors, NULL,
                             &b->weights);
}

static fil_status make_mask(bench *b, const fili_blocks *blocks, double *density)
{
    *density = 1.0;
    if (b->d.density >= 1.0) return FIL_OK;
    FIL_TRY(fili_mask_init(&b->mask, b->ctx, b->config.heads, blocks->m, blocks->m));
    fili_bench_make_mask(&b->mask, FIL_BENCH_RANDOM, b->d.density, 1, blocks->offset, b->d.seed);
    return fili_mask_density(&b->mask, blocks, blocks, density);
}

/* A mask of the grid's blocks is needed before the DiT is opened. */
static fil_status prepare_mask(bench *b, double *density)
{
    const fili_grid grid = {b->d.f, b->d.h, b->d.w};
    int32_t         n;
    fili_blocks     blocks;
    FIL_TRY(fili_grid_tokens(b->ctx, grid, &n));
    FIL_TRY(fili_blocks_uniform(&blocks, b->ctx, n));
    const fil_status status = make_mask(b, &blocks, density);
    fili_blocks_fini(&blocks);
    b->options.mask = *density < 1.0 ? &b->mask : NULL;
    return status;
}

/* ---- measuring ------------------------------------------------------------------------------ */

static fil_status one_pass(void *user, fili_model_parts *parts)
{
    entry         *e = user;
    bench         *b = e->bench;
    fili_dit_times t;
    fili_dit_times_reset(e->dit);
    if (e->policy.policy != NULL) fili_policy_reset(e->policy.policy);
    FIL_TRY(fili_dit_forward(e->dit, 0, 0, b->latent, 500.0, b->velocity));
    fili_dit_times_get(e->dit, &t);
    *parts = (fili_model_parts){.attention = t.attention,
                                .cross     = t.cross,
                                .linear    = t.linear,
                                .rest      = t.rest,
                                .choose    = t.choose};
    return FIL_OK;
}

/* Patches, time and head are left out: under one part in a thousand. */
static double count_flops(const bench *b, double tokens, double density)
{
    const double dim    = b->config.dim;
    const double linear = 2.0 * tokens * dim * (6.0 * dim + 2.0 * b->config.ffn_dim);
    const double own    = 4.0 * tokens * tokens * dim * density;
    const double cross  = 4.0 * tokens * b->config.text_len * dim;
    return b->config.layers * (linear + own + cross);
}

static fil_status open_policy(bench *b, entry *e, const fil_policy_options *asked)
{
    const fili_policy_setup setup = {.grid     = {b->d.f, b->d.h, b->d.w},
                                     .layers   = b->config.layers,
                                     .steps    = 1,
                                     .passes   = 1,
                                     .heads    = b->config.heads,
                                     .head_dim = b->config.dim / b->config.heads,
                                     .dtype    = b->d.dtype,
                                     .single   = 1};
    fil_policy_options      o;
    fil_policy_options_init(&o);
    FIL_TRY(fili_bench_take(b->ctx, "fil_policy_options", &o, sizeof o, asked));
    FIL_TRY(fili_policy_run_open(&e->policy, b->ctx, &o, &setup));
    return FIL_OK;
}

static fil_status open_entry(bench *b, entry *e)
{
    fili_dit_options options = b->options;
    e->bench                 = b;
    if (e->policy.policy != NULL) fili_policy_run_hang(&e->policy, &options);
    FIL_TRY(fili_dit_open(b->ctx, b->weights, &b->config, &options, &e->dit));
    return fili_dit_set_context(e->dit, 0, b->context, b->config.text_len);
}

/* Before any weights: what is refused is refused at once. */
static fil_status open_policies(bench *b)
{
    b->n = b->d.n_policies > 0 ? b->d.n_policies : 1;
    for (int32_t i = 0; i < b->d.n_policies; i++)
        FIL_TRY(open_policy(b, &b->entry[i], &b->d.policies[i]));
    return FIL_OK;
}

static fil_status open_entries(bench *b)
{
    for (int32_t i = 0; i < b->n; i++)
        FIL_TRY(open_entry(b, &b->entry[i]));
    return FIL_OK;
}

static fil_status measure(bench *b, fil_bench_model_result *r)
{
    fili_model_pass passes[MOST];
    for (int32_t i = 0; i < b->n; i++) {
        const entry *e        = &b->entry[i];
        r[i].tokens           = fili_dit_order(e->dit)->n;
        r[i].layers           = b->config.layers;
        r[i].attention_kernel = fili_dit_kernel(e->dit, 0);
        r[i].linear_kernel    = fili_dit_kernel(e->dit, 2);
        passes[i]             = (fili_model_pass){.run         = one_pass,
                                                  .user        = &b->entry[i],
                                                  .dtype       = b->d.dtype,
                                                  .repetitions = b->d.repetitions};
    }
    FIL_TRY(fili_bench_passes(b->ctx, passes, b->n, r));
    for (int32_t i = 0; i < b->n; i++) {
        fili_policy_figures f;
        if (b->entry[i].policy.policy != NULL) {
            fili_policy_figures_get(b->entry[i].policy.policy, &f);
            r[i].density = f.density;
        }
        r[i].flops  = count_flops(b, (double)r[i].tokens, r[i].density);
        r[i].tflops = r[i].seconds > 0.0 ? r[i].flops / r[i].seconds * 1e-12 : 0.0;
    }
    return FIL_OK;
}

static fil_status bench_dit(bench *b, fil_bench_model_result *r)
{
    FIL_TRY(prepare_mask(b, &r->density));
    FIL_TRY(open_policies(b));
    FIL_TRY(make_weights(b));
    fili_bench_normal(b->d.seed, 2, FIL_F32, b->latent, (int64_t)latent_elements(b), 1.0f);
    fili_bench_normal(b->d.seed, 3, FIL_F32, b->context,
                      (int64_t)b->config.text_len * b->config.text_dim, 1.0f);
    FIL_TRY(open_entries(b));
    return measure(b, r);
}

static void close_entries(bench *b)
{
    for (int32_t i = 0; i < MOST; i++) {
        fili_dit_close(&b->entry[i].dit);
        fili_policy_run_close(&b->entry[i].policy);
    }
}

fil_status fil_bench_dit(fil_ctx *ctx, const fil_bench_dit_desc *desc,
                         fil_bench_model_result *results)
{
    FIL_CHECK(NULL, ctx != NULL, "fil_bench_dit: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, desc != NULL && results != NULL, "fil_bench_dit: %s is NULL",
              desc == NULL ? "desc" : "results");
    bench b = {.ctx = ctx, .mask = {.ctx = ctx}};
    fili_arena_init(&b.arena, ctx, "bench", 0);
    FIL_TRY(take(&b, desc));
    for (int32_t i = 0; i < (b.d.n_policies > 0 ? b.d.n_policies : 1); i++)
        results[i] = (fil_bench_model_result){.attention_kernel = "", .linear_kernel = ""};
    const fil_status status = bench_dit(&b, results);
    close_entries(&b);
    fili_weights_close(&b.weights);
    fili_mask_fini(&b.mask);
    fili_arena_fini(&b.arena);
    return status;
}
