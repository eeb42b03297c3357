/* wan/names_t5.c: tensor names of the text encoder: those of Hugging Face, which diffusers' folders
 * and ComfyUI's single files have, and those of llama.cpp, which GGUF files have, to the original
 * ones. Specification "wan", section 11.
 */
#include <stdio.h>
#include <string.h>

#include "wan/weights.h"

typedef struct pair {
    const char *theirs, *ours;
} pair;

static const pair tops[] = {
    {"shared.weight", "token_embedding.weight"},
    {"encoder.embed_tokens.weight", "token_embedding.weight"},
    {"encoder.final_layer_norm.weight", "norm.weight"},
    {"token_embd.weight", "token_embedding.weight"},
    {"enc.output_norm.weight", "norm.weight"},
};

/* Behind "encoder.block.N.layer." and "blocks.N." */
static const pair inner[] = {
    {"0.layer_norm.weight", "norm1.weight"},
    {"0.SelfAttention.q.weight", "attn.q.weight"},
    {"0.SelfAttention.k.weight", "attn.k.weight"},
    {"0.SelfAttention.v.weight", "attn.v.weight"},
    {"0.SelfAttention.o.weight", "attn.o.weight"},
    {"0.SelfAttention.relative_attention_bias.weight", "pos_embedding.embedding.weight"},
    {"1.layer_norm.weight", "norm2.weight"},
    {"1.DenseReluDense.wi_0.weight", "ffn.gate.0.weight"},
    {"1.DenseReluDense.wi_1.weight", "ffn.fc1.weight"},
    {"1.DenseReluDense.wo.weight", "ffn.fc2.weight"},
};

/* Behind "enc.blk.N." and "blocks.N." */
static const pair llama[] = {
    {"attn_norm.weight", "norm1.weight"}, {"attn_q.weight", "attn.q.weight"},
    {"attn_k.weight", "attn.k.weight"},   {"attn_v.weight", "attn.v.weight"},
    {"attn_o.weight", "attn.o.weight"},   {"attn_rel_b.weight", "pos_embedding.embedding.weight"},
    {"ffn_norm.weight", "norm2.weight"},  {"ffn_gate.weight", "ffn.gate.0.weight"},
    {"ffn_up.weight", "ffn.fc1.weight"},  {"ffn_down.weight", "ffn.fc2.weight"},
};

enum {
    TOPS  = sizeof tops / sizeof tops[0],
    INNER = sizeof inner / sizeof inner[0],
    LLAMA = sizeof llama / sizeof llama[0]
};

/* Digits of a block number at text, without leading zeros; 0 if there are none. */
static int number_length(const char *text)
{
    int n = 0;
    while (text[n] >= '0' && text[n] <= '9')
        n++;
    return n > 4 || (n > 1 && text[0] == '0') ? 0 : n;
}

/* `prefix`, a number, `infix`: what stands behind them, and the number's place; NULL if not so. */
static const char *behind(const char *name, const char *prefix, const char *infix,
                          const char **number, int *digits)
{
    const size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0) return NULL;
    *number = name + n;
    *digits = number_length(*number);
    if (*digits == 0 || strncmp(*number + *digits, infix, strlen(infix)) != 0) return NULL;
    return *number + *digits + strlen(infix);
}

static int is_original(const char *name)
{
    const char *number;
    int         digits;
    const char *rest = behind(name, "blocks.", ".", &number, &digits);
    for (int i = 0; i < TOPS; i++)
        if (strcmp(name, tops[i].ours) == 0) return 1;
    for (int i = 0; rest != NULL && i < INNER; i++)
        if (strcmp(rest, inner[i].ours) == 0) return 1;
    return 0;
}

/* A name inside a block: what stands in front of and behind its number, and the words behind. */
static int rename_inner(const char *name, const char *prefix, const char *infix, const pair *pairs,
                        int n, char *out, size_t size)
{
    const char *number;
    int         digits;
    const char *rest = behind(name, prefix, infix, &number, &digits);
    for (int i = 0; rest != NULL && i < n; i++) {
        if (strcmp(rest, pairs[i].theirs) != 0) continue;
        snprintf(out, size, "blocks.%.*s.%s", digits, number, pairs[i].ours);
        return 1;
    }
    return 0;
}

int fili_names_t5(const char *file_name, char *out, size_t size)
{
    if (is_original(file_name)) {
        snprintf(out, size, "%s", file_name);
        return 1;
    }
    for (int i = 0; i < TOPS; i++) {
        if (strcmp(file_name, tops[i].theirs) != 0) continue;
        snprintf(out, size, "%s", tops[i].ours);
        return 1;
    }
    if (rename_inner(file_name, "encoder.block.", ".layer.", inner, INNER, out, size) != 0 ||
        rename_inner(file_name, "enc.blk.", ".", llama, LLAMA, out, size) != 0)
        return 1;
    /* ComfyUI's files carry the tokenizer, and a marker of their quantisation. */
    return strcmp(file_name, "spiece_model") == 0 || strcmp(file_name, "scaled_fp8") == 0 ? 2 : 0;
}

/* ---- the way back --------------------------------------------------------------------------- */

/* Names of other people: outside of blocks, and what stands around a block's number. */
typedef struct style {
    const char *embedding, *norm, *prefix, *infix;
    const pair *pairs;
    int         n;
} style;

static int from_original(const char *name, const style *s, char *out, size_t size)
{
    const char *number;
    int         digits;
    const char *rest  = behind(name, "blocks.", ".", &number, &digits);
    const char *plain = strcmp(name, "token_embedding.weight") == 0 ? s->embedding
                        : strcmp(name, "norm.weight") == 0          ? s->norm
                                                                    : NULL;
    if (plain != NULL) snprintf(out, size, "%s", plain);
    for (int i = 0; rest != NULL && i < s->n; i++) {
        if (strcmp(rest, s->pairs[i].ours) != 0) continue;
        snprintf(out, size, "%s%.*s%s%s", s->prefix, digits, number, s->infix, s->pairs[i].theirs);
        return 1;
    }
    return plain != NULL;
}

int fili_names_t5_diffusers(const char *canonical, char *out, size_t size)
{
    static const style s = {.embedding = "shared.weight",
                            .norm      = "encoder.final_layer_norm.weight",
                            .prefix    = "encoder.block.",
                            .infix     = ".layer.",
                            .pairs     = inner,
                            .n         = INNER};
    return from_original(canonical, &s, out, size);
}

int fili_names_t5_llama(const char *canonical, char *out, size_t size)
{
    static const style s = {.embedding = "token_embd.weight",
                            .norm      = "enc.output_norm.weight",
                            .prefix    = "enc.blk.",
                            .infix     = ".",
                            .pairs     = llama,
                            .n         = LLAMA};
    return from_original(canonical, &s, out, size);
}
