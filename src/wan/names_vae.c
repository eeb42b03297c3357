/* wan/names_vae.c: tensor names of the VAE: those of diffusers' AutoencoderKLWan to the original's
 * (wan.md 8.7). Blocks of the decoder are numbered through in the original and level by level in
 * diffusers, three residual blocks and a step up each, as in every published VAE of this kind.
 */
#include <stdio.h>
#include <string.h>

#include "wan/weights.h"

enum { LEVEL = 4 /* residual blocks of a level of the decoder and its step up */ };

typedef struct swap {
    const char *from, *to;
} swap;

/* Beginnings of names; the first that fits. */
static const swap tops[] = {
    {"post_quant_conv.", "conv2."},
    {"quant_conv.", "conv1."},
    {"encoder.conv_in.", "encoder.conv1."},
    {"decoder.conv_in.", "decoder.conv1."},
    {"encoder.norm_out.", "encoder.head.0."},
    {"decoder.norm_out.", "decoder.head.0."},
    {"encoder.conv_out.", "encoder.head.2."},
    {"decoder.conv_out.", "decoder.head.2."},
    {"encoder.mid_block.attentions.0.", "encoder.middle.1."},
    {"decoder.mid_block.attentions.0.", "decoder.middle.1."},
    {"encoder.mid_block.resnets.0.", "encoder.middle.0."},
    {"encoder.mid_block.resnets.1.", "encoder.middle.2."},
    {"decoder.mid_block.resnets.0.", "decoder.middle.0."},
    {"decoder.mid_block.resnets.1.", "decoder.middle.2."},
};

/* Parts of a residual block. */
static const swap parts[] = {
    {"norm1.", "residual.0."}, {"conv1.", "residual.2."},       {"norm2.", "residual.3."},
    {"conv2.", "residual.6."}, {"conv_shortcut.", "shortcut."},
};

static const char *after(const char *text, const char *beginning)
{
    const size_t n = strlen(beginning);
    return strncmp(text, beginning, n) == 0 ? text + n : NULL;
}

static int join(char *out, size_t size, const char *stem, const char *rest)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *tail = after(rest, parts[i].from);
        if (tail == NULL) continue;
        snprintf(out, size, "%s%s%s", stem, parts[i].to, tail);
        return 1;
    }
    snprintf(out, size, "%s%s", stem, rest);
    return 1;
}

static int is_original(const char *name)
{
    static const char *const stems[] = {"conv1.",
                                        "conv2.",
                                        "encoder.conv1.",
                                        "decoder.conv1.",
                                        "encoder.head.",
                                        "decoder.head.",
                                        "encoder.middle.",
                                        "decoder.middle.",
                                        "encoder.downsamples.",
                                        "decoder.upsamples."};
    for (size_t i = 0; i < sizeof stems / sizeof stems[0]; i++)
        if (after(name, stems[i]) != NULL) return 1;
    return 0;
}

/* A number of one or two digits and a dot; NULL if there is none. */
static const char *number(const char *text, int *out)
{
    int n = 0;
    *out  = 0;
    for (; n < 2 && text[n] >= '0' && text[n] <= '9'; n++)
        *out = *out * 10 + text[n] - '0';
    return n > 0 && text[n] == '.' ? text + n + 1 : NULL;
}

int fili_names_vae(const char *file_name, char *out, size_t size)
{
    char        stem[48];
    int         level;
    int         block;
    const char *rest;
    if (is_original(file_name)) {
        snprintf(out, size, "%s", file_name);
        return 1;
    }
    for (size_t i = 0; i < sizeof tops / sizeof tops[0]; i++)
        if ((rest = after(file_name, tops[i].from)) != NULL)
            return join(out, size, tops[i].to, rest);
    if ((rest = after(file_name, "encoder.down_blocks.")) != NULL &&
        (rest = number(rest, &block)) != NULL) {
        snprintf(stem, sizeof stem, "encoder.downsamples.%d.", block);
        return join(out, size, stem, rest);
    }
    if ((rest = after(file_name, "decoder.up_blocks.")) == NULL ||
        (rest = number(rest, &level)) == NULL)
        return 0;
    const char *resnet = after(rest, "resnets.");
    const char *up     = after(rest, "upsamplers.0.");
    block              = LEVEL - 1;
    if (resnet != NULL) up = number(resnet, &block);
    if (up == NULL || block >= LEVEL || (resnet != NULL && block == LEVEL - 1)) return 0;
    snprintf(stem, sizeof stem, "decoder.upsamples.%d.", level * LEVEL + block);
    return join(out, size, stem, up);
}

/* ---- the way back --------------------------------------------------------------------------- */

/* stem, and the rest with the words of a residual block for ours. */
static int join_back(char *out, size_t size, const char *stem, const char *rest)
{
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        const char *tail = after(rest, parts[i].to);
        if (tail == NULL) continue;
        snprintf(out, size, "%s%s%s", stem, parts[i].from, tail);
        return 1;
    }
    snprintf(out, size, "%s%s", stem, rest);
    return 1;
}

int fili_names_vae_diffusers(const char *canonical, char *out, size_t size)
{
    char        stem[48];
    int         block;
    const char *rest;
    for (size_t i = 0; i < sizeof tops / sizeof tops[0]; i++)
        if ((rest = after(canonical, tops[i].to)) != NULL)
            return join_back(out, size, tops[i].from, rest);
    if ((rest = after(canonical, "encoder.downsamples.")) != NULL &&
        (rest = number(rest, &block)) != NULL) {
        snprintf(stem, sizeof stem, "encoder.down_blocks.%d.", block);
        return join_back(out, size, stem, rest);
    }
    if ((rest = after(canonical, "decoder.upsamples.")) == NULL ||
        (rest = number(rest, &block)) == NULL)
        return 0;
    if (block % LEVEL == LEVEL - 1)
        snprintf(stem, sizeof stem, "decoder.up_blocks.%d.upsamplers.0.", block / LEVEL);
    else
        snprintf(stem, sizeof stem, "decoder.up_blocks.%d.resnets.%d.", block / LEVEL,
                 block % LEVEL);
    return join_back(out, size, stem, rest);
}
