/* engine/measure_vae.c: fil_bench_vae: decoding a latent with an autoencoder of random weights.
 *
 * All tensors lie in one piece of random numbers as large as the largest; the stream packs each of
 * them as it would a file's. Reading and packing are not in the time, as they are not in that of
 * other programs.
 */
#include <math.h>
#include <string.h>

#include "engine/measure_model.h"
#include "wan/vae.h"
#include "wan/weights.h"

enum { MAX_TENSORS = 512, MAX_NAME = 96 };

typedef struct bench {
    fil_ctx           *ctx;
    fil_bench_vae_desc d;
    fili_vae_config    config;
    fili_arena         arena;
    fili_made_tensor  *tensors;
    size_t             n_tensors;
    int64_t            largest;
    int32_t            layers;
    fili_weights      *weights;
    fili_vae          *vae;
    fili_vae_stream   *stream;
    float             *latent;
} bench;

void fil_bench_vae_desc_init(fil_bench_vae_desc *desc)
{
    *desc = (fil_bench_vae_desc){
        .struct_size = (uint32_t)sizeof *desc, .t = 2, .h = 16, .w = 16, .dtype = FIL_F32};
}

static fil_status take(bench *b, const fil_bench_vae_desc *desc)
{
    fil_ctx            *ctx = b->ctx;
    fil_bench_vae_desc *d   = &b->d;
    fil_bench_vae_desc_init(d);
    FIL_TRY(fili_bench_take(ctx, "fil_bench_vae_desc", d, sizeof *d, desc));
    FIL_TRY(fili_bench_range(ctx, "t", d->t, 1, 65536));
    FIL_TRY(fili_bench_range(ctx, "h", d->h, 1, 4096));
    FIL_TRY(fili_bench_range(ctx, "w", d->w, 1, 4096));
    FIL_TRY(fili_bench_range(ctx, "repetitions", d->repetitions, 0, FILI_BENCH_REPETITIONS));
    fili_vae_config_init(&b->config);
    return FIL_OK;
}

/* ---- inputs --------------------------------------------------------------------------------- */

static fil_status list_tensor(void *user, const char *name, uint32_t rank, const int64_t *shape)
{
    bench            *b = user;
    fili_made_tensor *t = &b->tensors[b->n_tensors];
    char             *copy;
    int64_t           n = 1;
    if (b->n_tensors++ == MAX_TENSORS)
        return FIL_FAIL(b->ctx, FIL_E_INTERNAL, "more than %d tensors", MAX_TENSORS);
    FIL_TRY(fili_arena_text(&b->arena, name, strlen(name), &copy));
    *t = (fili_made_tensor){.name = copy, .dtype = FIL_F32, .rank = rank};
    for (uint32_t i = 0; i < rank; i++) {
        t->shape[i] = shape[i];
        n *= shape[i];
    }
    if (n > b->largest) b->largest = n;
    /* Its convolutions and products are what counts as layers. */
    if (strncmp(name, "decoder.", 8) == 0 && rank > 1 && strstr(name, ".weight") != NULL)
        b->layers++;
    return FIL_OK;
}

/* Random numbers once for the first million, then the same again. */
static void fill_random(const bench *b, float *to, int64_t n)
{
    const int64_t part = n < 1 << 20 ? n : 1 << 20;
    fili_bench_normal(b->d.seed, 1, FIL_F32, to, part, 0.02f);
    for (int64_t at = part; at < n; at += part)
        memcpy(to + at, to, (size_t)(n - at < part ? n - at : part) * sizeof *to);
}

static fil_status make_inputs(bench *b)
{
    const int64_t latent = (int64_t)b->config.z_dim * b->d.t * b->d.h * b->d.w;
    void         *memory;
    FIL_TRY(fili_arena_calloc(&b->arena, MAX_TENSORS, sizeof *b->tensors, &memory));
    b->tensors = memory;
    FIL_TRY(fili_vae_each_tensor(b->ctx, &b->config, list_tensor, b));
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)b->largest, sizeof(float), &memory));
    fill_random(b, memory, b->largest);
    for (size_t i = 0; i < b->n_tensors; i++)
        b->tensors[i].data = memory;
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)latent, sizeof(float), &memory));
    b->latent = memory;
    fili_bench_normal(b->d.seed, 2, FIL_F32, b->latent, latent, 1.0f);
    FIL_TRY(fili_weights_make(b->ctx, FILI_PART_VAE, b->tensors, b->n_tensors, NULL, &b->weights));
    FIL_TRY(fili_vae_open(b->ctx, b->weights, b->d.dtype, &b->vae));
    return fili_vae_decoder(b->vae, b->d.h, b->d.w, &b->stream);
}

/* ---- measuring ------------------------------------------------------------------------------ */

static fil_status decode(void *user, fili_model_parts *parts)
{
    const bench   *b     = user;
    const int64_t  frame = (int64_t)b->d.h * b->d.w;
    fili_vae_times times;
    fili_vae_stream_reset(b->stream);
    for (int32_t i = 0; i < b->d.t; i++)
        FIL_TRY(
            fili_vae_decode_frame(b->stream, b->latent + i * frame, b->d.t * frame, NULL, NULL));
    fili_vae_stream_times(b->stream, &times);
    *parts = (fili_model_parts){
        .attention = times.attention, .linear = times.convolution, .rest = times.rest};
    return FIL_OK;
}

static fil_status measure(bench *b, fil_bench_model_result *r)
{
    FIL_TRY(make_inputs(b));
    const fili_model_pass pass = {.run         = decode,
                                  .user        = b,
                                  .dtype       = fili_vae_precision(b->vae),
                                  .repetitions = b->d.repetitions};
    FIL_TRY(fili_vae_decode_flops(b->ctx, &b->config, b->d.t, b->d.h, b->d.w, &r->flops));
    r->tokens           = (int64_t)b->d.t * b->d.h * b->d.w;
    r->layers           = b->layers;
    r->density          = 1.0;
    r->attention_kernel = "";
    r->linear_kernel    = fili_vae_stream_kernel(b->stream);
    return fili_bench_pass(b->ctx, &pass, r);
}

fil_status fil_bench_vae(fil_ctx *ctx, const fil_bench_vae_desc *desc,
                         fil_bench_model_result *result)
{
    FIL_CHECK(NULL, ctx != NULL, "fil_bench_vae: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, desc != NULL && result != NULL, "fil_bench_vae: %s is NULL",
              desc == NULL ? "desc" : "result");
    bench b = {.ctx = ctx};
    *result = (fil_bench_model_result){.tokens = 0};
    FIL_TRY(take(&b, desc));
    fili_arena_init(&b.arena, ctx, "bench", 0);
    const fil_status status = measure(&b, result);
    fili_vae_stream_close(&b.stream);
    fili_vae_close(&b.vae);
    fili_weights_close(&b.weights);
    fili_arena_fini(&b.arena);
    return status;
}
