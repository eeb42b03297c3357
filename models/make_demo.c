/* models/make_demo.c: writes the demo checkpoint, and shows how to write files with filigree.
 *
 *     make_demo FOLDER
 *
 * A text-to-video model in the layout that Wan is published in, in miniature (2 layers, 2 heads of
 * 128): config.json, the transformer in two shards with their index, the text encoder, its
 * tokenizer, and the VAE. Names and shapes are those of Wan2.1; the values are random, with a fixed
 * seed, so the model draws noise, and every run writes the same bytes. Sees nothing but
 * include/filigree.
 *
 * To write a file: describe its tensors (fil_tensor_desc), open, put the data, finish. See
 * write_file below.
 */
#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <filigree/file.h>

#include "demo_tokenizer.h"

/* ---- the model ------------------------------------------------------------------------------ */

static const int64_t DIM      = 256; /* 2 heads x 128 */
static const int64_t FFN      = 320;
static const int64_t TEXT_DIM = 64;
static const int64_t FREQ_DIM = 256;
static const int64_t CHANNELS = 16; /* of a latent */

enum {
    LAYERS      = 2,
    TEXT_LAYERS = 2,
    VAE_DIM     = 4 /* width of the VAE's first level; the others have 1, 2, 4 and 4 times that */
};

static const char config[] = "{\n"
                             "  \"_class_name\": \"WanModel\",\n"
                             "  \"model_type\": \"t2v\",\n"
                             "  \"dim\": 256,\n"
                             "  \"ffn_dim\": 320,\n"
                             "  \"freq_dim\": 256,\n"
                             "  \"in_dim\": 16,\n"
                             "  \"out_dim\": 16,\n"
                             "  \"num_heads\": 2,\n"
                             "  \"num_layers\": 2,\n"
                             "  \"patch_size\": [1, 2, 2],\n"
                             "  \"text_dim\": 64,\n"
                             "  \"text_len\": 512,\n"
                             "  \"qk_norm\": true,\n"
                             "  \"cross_attn_norm\": true,\n"
                             "  \"eps\": 1e-06\n"
                             "}\n";

/* What a tensor's values are drawn around. */
typedef enum kind {
    WEIGHT, /* normal, standard deviation 1 / sqrt(fan in) */
    SMALL,  /* normal, 0.02: biases and modulation tables */
    NORM    /* 1 + normal, 0.02: scales of norms */
} kind;

/* The tensors of one file. */
enum { MAX_TENSORS = 256 };

typedef struct list {
    fil_tensor_desc desc[MAX_TENSORS];
    kind            kind[MAX_TENSORS];
    char            name[MAX_TENSORS][80];
    size_t          n;
} list;

/* The two parts as one name; asserts that it fits: the names below are ours. */
static void join(char name[80], const char *prefix, const char *rest)
{
    const int n = snprintf(name, 80, "%s%s", prefix, rest);
    assert(n > 0 && n < 80);
    (void)n;
}

static void add(list *l, kind k, const char *prefix, const char *name, uint32_t rank,
                const int64_t *shape)
{
    fil_tensor_desc *t = &l->desc[l->n];
    join(l->name[l->n], prefix, name);
    *t = (fil_tensor_desc){.name = l->name[l->n], .dtype = FIL_BF16, .rank = rank};
    memcpy(t->shape, shape, rank * sizeof shape[0]);
    l->kind[l->n++] = k;
}

#define ADD(l, k, prefix, name, ...)                                                               \
    add((l), (k), (prefix), (name), sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),            \
        (const int64_t[]){__VA_ARGS__})

/* PREFIX.NAME.weight [out, in] and PREFIX.NAME.bias [out] */
static void add_linear(list *l, const char *prefix, const char *name, int64_t out, int64_t in)
{
    char full[80];
    join(full, prefix, name);
    ADD(l, WEIGHT, full, ".weight", out, in);
    ADD(l, SMALL, full, ".bias", out);
}

/* ---- the transformer ------------------------------------------------------------------------ */

static void add_embeddings(list *l)
{
    ADD(l, WEIGHT, "patch_embedding", ".weight", DIM, CHANNELS, 1, 2, 2);
    ADD(l, SMALL, "patch_embedding", ".bias", DIM);
    add_linear(l, "text_embedding", ".0", DIM, TEXT_DIM);
    add_linear(l, "text_embedding", ".2", DIM, DIM);
    add_linear(l, "time_embedding", ".0", DIM, FREQ_DIM);
    add_linear(l, "time_embedding", ".2", DIM, DIM);
    add_linear(l, "time_projection", ".1", (int64_t)6 * DIM, DIM);
}

static void add_attention(list *l, const char *prefix)
{
    add_linear(l, prefix, "q", DIM, DIM);
    add_linear(l, prefix, "k", DIM, DIM);
    add_linear(l, prefix, "v", DIM, DIM);
    add_linear(l, prefix, "o", DIM, DIM);
    ADD(l, NORM, prefix, "norm_q.weight", DIM);
    ADD(l, NORM, prefix, "norm_k.weight", DIM);
}

static void add_block(list *l, int layer)
{
    char block[32];
    char part[80];
    snprintf(block, sizeof block, "blocks.%d.", layer);
    ADD(l, SMALL, block, "modulation", 1, 6, DIM);
    join(part, block, "self_attn.");
    add_attention(l, part);
    ADD(l, NORM, block, "norm3.weight", DIM);
    ADD(l, SMALL, block, "norm3.bias", DIM);
    join(part, block, "cross_attn.");
    add_attention(l, part);
    add_linear(l, block, "ffn.0", FFN, DIM);
    add_linear(l, block, "ffn.2", DIM, FFN);
}

static void add_head(list *l)
{
    add_linear(l, "head", ".head", (int64_t)4 * CHANNELS, DIM);
    ADD(l, SMALL, "head", ".modulation", 1, 2, DIM);
}

/* ---- the text encoder ----------------------------------------------------------------------- */

static void add_text_block(list *l, int layer)
{
    const int64_t inner = 64; /* 4 heads of 16 */
    const int64_t wide  = 128;
    char          block[32];
    snprintf(block, sizeof block, "blocks.%d.", layer);
    ADD(l, NORM, block, "norm1.weight", TEXT_DIM);
    ADD(l, WEIGHT, block, "attn.q.weight", inner, TEXT_DIM);
    ADD(l, WEIGHT, block, "attn.k.weight", inner, TEXT_DIM);
    ADD(l, WEIGHT, block, "attn.v.weight", inner, TEXT_DIM);
    ADD(l, WEIGHT, block, "attn.o.weight", TEXT_DIM, inner);
    ADD(l, NORM, block, "norm2.weight", TEXT_DIM);
    ADD(l, WEIGHT, block, "ffn.gate.0.weight", wide, TEXT_DIM);
    ADD(l, WEIGHT, block, "ffn.fc1.weight", wide, TEXT_DIM);
    ADD(l, WEIGHT, block, "ffn.fc2.weight", TEXT_DIM, wide);
    ADD(l, SMALL, block, "pos_embedding.embedding.weight", 32, 4);
}

static void add_text(list *l)
{
    ADD(l, WEIGHT, "token_embedding", ".weight", DEMO_VOCABULARY, TEXT_DIM);
    for (int layer = 0; layer < TEXT_LAYERS; layer++)
        add_text_block(l, layer);
    ADD(l, NORM, "norm", ".weight", TEXT_DIM);
}

/* ---- the VAE -------------------------------------------------------------------------------- */

/* Convolution over time and space, and its bias. */
static void add_conv3d(list *l, const char *prefix, const char *name, int64_t out, int64_t in,
                       int64_t time, int64_t space)
{
    char full[80];
    join(full, prefix, name);
    ADD(l, WEIGHT, full, ".weight", out, in, time, space, space);
    ADD(l, SMALL, full, ".bias", out);
}

static void add_conv2d(list *l, const char *prefix, const char *name, int64_t out, int64_t in,
                       int64_t space)
{
    char full[80];
    join(full, prefix, name);
    ADD(l, WEIGHT, full, ".weight", out, in, space, space);
    ADD(l, SMALL, full, ".bias", out);
}

static void add_residual(list *l, const char *prefix, int64_t in, int64_t out)
{
    ADD(l, NORM, prefix, "residual.0.gamma", in, 1, 1, 1);
    add_conv3d(l, prefix, "residual.2", out, in, 3, 3);
    ADD(l, NORM, prefix, "residual.3.gamma", out, 1, 1, 1);
    add_conv3d(l, prefix, "residual.6", out, out, 3, 3);
    if (in != out) add_conv3d(l, prefix, "shortcut", out, in, 1, 1);
}

/* Residual, attention, residual: the middle of both halves. */
static void add_middle(list *l, const char *half, int64_t c)
{
    char prefix[80];
    join(prefix, half, ".middle.0.");
    add_residual(l, prefix, c, c);
    join(prefix, half, ".middle.1.");
    ADD(l, NORM, prefix, "norm.gamma", c, 1, 1);
    add_conv2d(l, prefix, "to_qkv", 3 * c, c, 1);
    add_conv2d(l, prefix, "proj", c, c, 1);
    join(prefix, half, ".middle.2.");
    add_residual(l, prefix, c, c);
}

/* One entry of the flat list under downsamples or upsamples. */
typedef struct level {
    char    what; /* r: residual; 2: resample in space; 3: in time as well */
    int64_t in, out;
} level;

static void add_levels(list *l, const char *path, const level *levels, size_t n, int time_factor)
{
    char number[16];
    char prefix[80];
    for (size_t i = 0; i < n; i++) {
        const level *v = &levels[i];
        snprintf(number, sizeof number, ".%u.", (unsigned)i);
        join(prefix, path, number);
        if (v->what == 'r') {
            add_residual(l, prefix, v->in, v->out);
            continue;
        }
        add_conv2d(l, prefix, "resample.1", v->out, v->in, 3);
        if (v->what == '3') add_conv3d(l, prefix, "time_conv", time_factor * v->in, v->in, 3, 1);
    }
}

static void add_vae(list *l)
{
    enum { A = VAE_DIM, B = 2 * VAE_DIM, C = 4 * VAE_DIM };
    static const level down[] = {{'r', A, A}, {'r', A, A}, {'2', A, A}, {'r', A, B},
                                 {'r', B, B}, {'3', B, B}, {'r', B, C}, {'r', C, C},
                                 {'3', C, C}, {'r', C, C}, {'r', C, C}};
    static const level up[]   = {{'r', C, C}, {'r', C, C}, {'r', C, C}, {'3', C, B}, {'r', B, C},
                                 {'r', C, C}, {'r', C, C}, {'3', C, B}, {'r', B, B}, {'r', B, B},
                                 {'r', B, B}, {'2', B, A}, {'r', A, A}, {'r', A, A}, {'r', A, A}};
    add_conv3d(l, "encoder", ".conv1", A, 3, 3, 3);
    add_levels(l, "encoder.downsamples", down, sizeof down / sizeof down[0], 1);
    add_middle(l, "encoder", C);
    ADD(l, NORM, "encoder", ".head.0.gamma", C, 1, 1, 1);
    add_conv3d(l, "encoder", ".head.2", (int64_t)2 * CHANNELS, C, 3, 3);
    add_conv3d(l, "", "conv1", (int64_t)2 * CHANNELS, (int64_t)2 * CHANNELS, 1, 1);
    add_conv3d(l, "", "conv2", CHANNELS, CHANNELS, 1, 1);
    add_conv3d(l, "decoder", ".conv1", C, CHANNELS, 3, 3);
    add_middle(l, "decoder", C);
    add_levels(l, "decoder.upsamples", up, sizeof up / sizeof up[0], 2);
    ADD(l, NORM, "decoder", ".head.0.gamma", A, 1, 1, 1);
    add_conv3d(l, "decoder", ".head.2", 3, A, 3, 3);
}

/* ---- values --------------------------------------------------------------------------------- */

/* Standard normal, near enough for weights: the sum of twelve uniform numbers minus six. */
static double normal(uint64_t *state)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
        sum += (double)(*state >> 32) * 0x1p-32;
    }
    return sum;
}

/* To the upper half of the float, to nearest, ties to even. The values are finite. */
static uint16_t to_bf16(double value)
{
    const float f = (float)value;
    uint32_t    bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static double deviation(const fil_tensor_desc *t, kind k)
{
    double fan_in = 1.0;
    for (uint32_t d = 1; d < t->rank; d++)
        fan_in *= (double)t->shape[d];
    return k == WEIGHT ? 1.0 / sqrt(fan_in) : 0.02;
}

/* Data may come in pieces: this draws and puts 4096 values at a time. */
static fil_status put_values(fil_writer *w, size_t i, const fil_tensor_desc *t, kind k,
                             uint64_t *state)
{
    uint16_t     piece[4096];
    const double sigma = deviation(t, k);
    const double mean  = k == NORM ? 1.0 : 0.0;
    int64_t      left  = 1;
    for (uint32_t d = 0; d < t->rank; d++)
        left *= t->shape[d];
    while (left > 0) {
        const int64_t n = left < 4096 ? left : 4096;
        for (int64_t j = 0; j < n; j++)
            piece[j] = to_bf16(mean + sigma * normal(state));
        const fil_status status = fil_writer_put(w, i, piece, (uint64_t)n * sizeof piece[0]);
        if (status != FIL_OK) return status;
        left -= n;
    }
    return FIL_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Describe, open, put, finish. Until finish the old file stands; a failure leaves it there. */
static fil_status write_file(fil_ctx *ctx, const char *path, const list *l, uint64_t seed)
{
    const fil_pair metadata[] = {{.key = "format", .value = "pt"},
                                 {.key = "note", .value = "random weights, made by make_demo"}};
    fil_writer    *w;
    fil_status     status =
        fil_writer_open(ctx, path, l->desc, l->n, metadata, 2, FIL_WRITE_REPLACE, &w);
    for (size_t i = 0; i < l->n && status == FIL_OK; i++)
        status = put_values(w, i, &l->desc[i], l->kind[i], &seed);
    if (status == FIL_OK) status = fil_writer_finish(&w);
    fil_writer_close(&w); /* after a failure; accepts what finish has closed */
    if (status != FIL_OK) fprintf(stderr, "make_demo: %s\n", fil_ctx_error(ctx)->message);
    return status;
}

/* 0, or -1 after saying why. */
static int write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    if (f != NULL) {
        const int bad = fputs(text, f) == EOF;
        if (fclose(f) == 0 && !bad) return 0;
    }
    fprintf(stderr, "make_demo: cannot write '%s': %s\n", path, strerror(errno));
    return -1;
}

#define SHARD(n) "diffusion_pytorch_model-0000" n "-of-00002.safetensors"

/* The map from tensor to shard, as text. */
static int write_index(const char *path, const list *shards)
{
    static char text[32768];
    size_t      n     = 0;
    uint64_t    total = 0;
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < shards[s].n; i++) {
            uint64_t bytes = 2;
            for (uint32_t d = 0; d < shards[s].desc[i].rank; d++)
                bytes *= (uint64_t)shards[s].desc[i].shape[d];
            total += bytes;
        }
    n += (size_t)snprintf(text, sizeof text,
                          "{\n  \"metadata\": {\"total_size\": %llu},\n  \"weight_map\": {",
                          (unsigned long long)total);
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < shards[s].n; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s\n    \"%s\": \"%s\"",
                                  s > 0 || i > 0 ? "," : "", shards[s].name[i],
                                  s == 0 ? SHARD("1") : SHARD("2"));
    snprintf(text + n, sizeof text - n, "\n  }\n}\n");
    return write_text(path, text);
}

static int make_folder(const char *folder);

/* The text encoder, and the tokenizer where the authors of Wan have theirs. */
static int write_text_part(fil_ctx *ctx, const char *folder)
{
    static list text;
    char        path[4096];
    add_text(&text);
    snprintf(path, sizeof path, "%s/models_t5_umt5-xxl-enc-bf16.safetensors", folder);
    if (write_file(ctx, path, &text, 4) != FIL_OK) return -1;
    snprintf(path, sizeof path, "%s/google", folder);
    if (make_folder(path) != 0) return -1;
    snprintf(path, sizeof path, "%s/google/umt5-xxl", folder);
    if (make_folder(path) != 0) return -1;
    snprintf(path, sizeof path, "%s/google/umt5-xxl/spiece.model", folder);
    return demo_write_tokenizer(path);
}

static int write_all(fil_ctx *ctx, const char *folder)
{
    static list shards[2];
    static list vae;
    char        path[4096];
    add_embeddings(&shards[0]);
    for (int layer = 0; layer < LAYERS; layer++)
        add_block(&shards[layer < LAYERS / 2 ? 0 : 1], layer);
    add_head(&shards[1]);
    add_vae(&vae);

    snprintf(path, sizeof path, "%s/" SHARD("1"), folder);
    if (write_file(ctx, path, &shards[0], 1) != FIL_OK) return -1;
    snprintf(path, sizeof path, "%s/" SHARD("2"), folder);
    if (write_file(ctx, path, &shards[1], 2) != FIL_OK) return -1;
    snprintf(path, sizeof path, "%s/Wan2.1_VAE.safetensors", folder);
    if (write_file(ctx, path, &vae, 3) != FIL_OK) return -1;
    snprintf(path, sizeof path, "%s/diffusion_pytorch_model.safetensors.index.json", folder);
    if (write_index(path, shards) != 0) return -1;
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (write_text(path, config) != 0) return -1;
    return write_text_part(ctx, folder);
}

/* 0 if there is a folder to write in, else -1 after saying why not. */
static int make_folder(const char *folder)
{
    struct stat st;
    if (strlen(folder) > 3900) {
        fprintf(stderr, "make_demo: the folder's path is longer than 3900 bytes\n");
        return -1;
    }
    if (mkdir(folder, 0777) == 0) return 0;
    const int error = errno;
    if (error == EEXIST && stat(folder, &st) == 0 && S_ISDIR(st.st_mode)) return 0;
    fprintf(stderr, "make_demo: cannot make the folder '%s': %s\n", folder,
            error == EEXIST ? "a file of that name is in the way" : strerror(error));
    return -1;
}

int main(int argc, char **argv)
{
    fil_ctx *ctx;
    if (argc != 2 || argv[1][0] == '\0') {
        fprintf(stderr, "usage: make_demo FOLDER\n");
        return 2;
    }
    if (make_folder(argv[1]) != 0) return 5;
    if (fil_ctx_open(&ctx, NULL) != FIL_OK) {
        fprintf(stderr, "make_demo: %s\n", fil_ctx_error(NULL)->message);
        return 1;
    }
    const int failed = write_all(ctx, argv[1]) != 0;
    fil_ctx_close(&ctx);
    return failed ? 5 : 0;
}
