/* engine/measure_t5.c: fil_bench_t5: one prompt through the text encoder, with random weights.
 *
 * Sizes are those of UMT5-XXL but for the vocabulary, of which a prompt sees a few rows. Every
 * matrix shares one piece of random numbers, larger than a cache, and is used where it lies, as in
 * a mapped file.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/measure_model.h"
#include "kernel/linear.h"
#include "wan/umt5.h"

enum {
    DIM     = 4096,
    HEADS   = 64,
    HEAD    = 64,
    INNER   = HEADS * HEAD,
    FFN     = 10240,
    VOCAB   = 1024,
    BUCKETS = 32
};
enum { IN_LAYER = 10, OUTSIDE = 2, PIECE = 1 << 20 };

typedef struct tensor_kind {
    const char *name;
    int64_t     rows, cols; /* cols 0: a norm */
} tensor_kind;

static const tensor_kind kinds[IN_LAYER] = {
    {"norm1", DIM, 0},      {"attn.q", INNER, DIM},   {"attn.k", INNER, DIM},
    {"attn.v", INNER, DIM}, {"attn.o", DIM, INNER},   {"pos_embedding.embedding", BUCKETS, HEADS},
    {"norm2", DIM, 0},      {"ffn.gate.0", FFN, DIM}, {"ffn.fc1", FFN, DIM},
    {"ffn.fc2", DIM, FFN}};

typedef struct bench {
    fil_ctx          *ctx;
    fil_bench_t5_desc d;
    fili_arena        arena;
    void             *random, *ones; /* random: of the precision's type */
    fili_made_tensor *tensors;
    size_t            n_tensors;
    fili_weights     *weights;
    fili_umt5        *umt5;
    int32_t           ids[FILI_UMT5_MAX_ROWS];
    float            *rows;
} bench;

void fil_bench_t5_desc_init(fil_bench_t5_desc *desc)
{
    *desc = (fil_bench_t5_desc){
        .struct_size = (uint32_t)sizeof *desc, .tokens = 512, .layers = 24, .dtype = FIL_BF16};
}

static fil_status take(bench *b, const fil_bench_t5_desc *desc)
{
    fil_ctx           *ctx = b->ctx;
    fil_bench_t5_desc *d   = &b->d;
    fil_bench_t5_desc_init(d);
    FIL_TRY(fili_bench_take(ctx, "fil_bench_t5_desc", d, sizeof *d, desc));
    FIL_TRY(fili_bench_range(ctx, "tokens", d->tokens, 1, FILI_UMT5_MAX_ROWS));
    FIL_TRY(fili_bench_range(ctx, "layers", d->layers, 1, 1024));
    FIL_TRY(fili_bench_range(ctx, "repetitions", d->repetitions, 0, FILI_BENCH_REPETITIONS));
    FIL_CHECK(ctx, d->dtype == FIL_BF16 || d->dtype == FIL_F32, "dtype is %s; expected BF16 or F32",
              fil_dtype_name(d->dtype));
    return FIL_OK;
}

/* ---- weights -------------------------------------------------------------------------------- */

/* Random numbers once for the first million, then the same again. */
static void fill_random(bench *b, size_t n, size_t size)
{
    char *to = b->random;
    fili_bench_normal(b->d.seed, 1, b->d.dtype, to, PIECE, 1.0f / sqrtf((float)DIM));
    for (size_t at = PIECE; at < n; at += PIECE)
        memcpy(to + at * size, to, (n - at < PIECE ? n - at : PIECE) * size);
}

static fil_status take_memory(bench *b)
{
    const size_t n    = (size_t)FFN * DIM;
    const size_t size = fil_dtype_bits(b->d.dtype) / 8;
    const size_t list = (size_t)b->d.layers * IN_LAYER + OUTSIDE;
    void        *block;
    FIL_TRY(fili_arena_calloc(&b->arena, n, size, &b->random));
    FIL_TRY(fili_arena_calloc(&b->arena, DIM, sizeof(float), &b->ones));
    FIL_TRY(fili_arena_calloc(&b->arena, list, sizeof *b->tensors, &block));
    b->tensors = block;
    FIL_TRY(fili_arena_calloc(&b->arena, (size_t)b->d.tokens * DIM, sizeof(float), &block));
    b->rows = block;
    for (int i = 0; i < DIM; i++)
        ((float *)b->ones)[i] = 1.0f;
    fill_random(b, n, size);
    return FIL_OK;
}

static fil_status add(bench *b, const char *name, const tensor_kind *kind)
{
    char *kept;
    FIL_TRY(fili_arena_text(&b->arena, name, strlen(name), &kept));
    b->tensors[b->n_tensors++] = (fili_made_tensor){.name  = kept,
                                                    .dtype = kind->cols == 0 ? FIL_F32 : b->d.dtype,
                                                    .rank  = kind->cols == 0 ? 1 : 2,
                                                    .shape = {kind->rows, kind->cols},
                                                    .data  = kind->cols == 0 ? b->ones : b->random};
    return FIL_OK;
}

static fil_status make_weights(bench *b)
{
    static const tensor_kind embedding = {"token_embedding.weight", VOCAB, DIM};
    static const tensor_kind norm      = {"norm.weight", DIM, 0};
    FIL_TRY(take_memory(b));
    FIL_TRY(add(b, embedding.name, &embedding));
    for (int32_t layer = 0; layer < b->d.layers; layer++)
        for (int i = 0; i < IN_LAYER; i++) {
            char name[64];
            snprintf(name, sizeof name, "blocks.%d.%s.weight", (int)layer, kinds[i].name);
            FIL_TRY(add(b, name, &kinds[i]));
        }
    FIL_TRY(add(b, norm.name, &norm));
    return fili_weights_make(b->ctx, FILI_PART_T5, b->tensors, b->n_tensors, NULL, &b->weights);
}

/* ---- measuring ------------------------------------------------------------------------------ */

static fil_status one_pass(void *user, fili_model_parts *parts)
{
    bench *b = user;
    FIL_TRY(fili_umt5_encode(b->umt5, b->ids, b->d.tokens, b->rows));
    const fili_umt5_times t = fili_umt5_last_times(b->umt5);
    *parts = (fili_model_parts){.attention = t.attention, .linear = t.linear, .rest = t.rest};
    return FIL_OK;
}

static double count_flops(const bench *b)
{
    const double n      = b->d.tokens;
    const double linear = 2.0 * n * DIM * (4.0 * HEADS * HEAD + 3.0 * FFN);
    return b->d.layers * (linear + 4.0 * n * n * HEADS * HEAD);
}

/* The row that the products run in. */
static fil_status linear_kernel(bench *b, const char **name)
{
    const filk_linear_problem p = {.m          = b->d.tokens,
                                   .n          = FFN,
                                   .k          = DIM,
                                   .dtype      = b->d.dtype,
                                   .out_dtype  = FIL_F32,
                                   .bias_dtype = FIL_DTYPE_NONE,
                                   .x_stride   = DIM};
    const filk_row           *row;
    FIL_TRY(filk_select(b->ctx, &filk_linear, &p, NULL, &row));
    *name = row->name;
    return FIL_OK;
}

static fil_status measure(bench *b, fil_bench_model_result *r)
{
    const fili_model_pass pass = {
        .run = one_pass, .user = b, .dtype = b->d.dtype, .repetitions = b->d.repetitions};
    FIL_TRY(make_weights(b));
    FIL_TRY(fili_umt5_open(b->ctx, b->weights, b->d.dtype, &b->umt5));
    for (int32_t i = 0; i < b->d.tokens; i++)
        b->ids[i] = (i * 617 + 5) % VOCAB;
    r->tokens  = b->d.tokens;
    r->layers  = b->d.layers;
    r->density = 1.0;
    r->flops   = count_flops(b);
    FIL_TRY(linear_kernel(b, &r->linear_kernel));
    return fili_bench_pass(b->ctx, &pass, r);
}

fil_status fil_bench_t5(fil_ctx *ctx, const fil_bench_t5_desc *desc, fil_bench_model_result *result)
{
    FIL_CHECK(NULL, ctx != NULL, "fil_bench_t5: ctx is NULL");
    fili_ctx_enter(ctx);
    FIL_CHECK(ctx, desc != NULL && result != NULL, "fil_bench_t5: %s is NULL",
              desc == NULL ? "desc" : "result");
    bench b = {.ctx = ctx};
    fili_arena_init(&b.arena, ctx, "bench", 0);
    *result           = (fil_bench_model_result){.attention_kernel = "", .linear_kernel = ""};
    fil_status status = take(&b, desc);
    if (status == FIL_OK) status = measure(&b, result);
    fili_umt5_close(&b.umt5);
    fili_weights_close(&b.weights);
    fili_arena_fini(&b.arena);
    return status;
}
