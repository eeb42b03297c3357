/* wan/names_dit.c: tensor names of the DiT: original names, and diffusers' turned into them.
 *
 * wan.md 3.2. Inside a block the words differ; note that diffusers' norm2 is the original norm3.
 * A name is taken apart at "blocks.N."; no weight is transposed by the renaming. The gate of Video
 * Sparse Attention (vsa.md 5) stands directly under the block in every layout.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "wan/weights.h"

typedef struct rename_row {
    const char *from, *to;
} rename_row;

/* Whole stems; what follows (".weight", ".bias", nothing) is kept. */
static const rename_row top[] = {
    {"condition_embedder.text_embedder.linear_1", "text_embedding.0"},
    {"condition_embedder.text_embedder.linear_2", "text_embedding.2"},
    {"condition_embedder.time_embedder.linear_1", "time_embedding.0"},
    {"condition_embedder.time_embedder.linear_2", "time_embedding.2"},
    {"condition_embedder.time_proj", "time_projection.1"},
    {"condition_embedder.image_embedder.norm1", "img_emb.proj.0"},
    {"condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"},
    {"condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3"},
    {"condition_embedder.image_embedder.norm2", "img_emb.proj.4"},
    {"condition_embedder.image_embedder.pos_embed", "img_emb.emb_pos"},
    {"scale_shift_table", "head.modulation"},
    {"proj_out", "head.head"},
    {"patch_embedding", "patch_embedding"},
    {"text_embedding.0", "text_embedding.0"},
    {"text_embedding.2", "text_embedding.2"},
    {"time_embedding.0", "time_embedding.0"},
    {"time_embedding.2", "time_embedding.2"},
    {"time_projection.1", "time_projection.1"},
    {"head.modulation", "head.modulation"},
    {"head.head", "head.head"},
};

static const rename_row inside[] = {
    {"attn1.to_q", "self_attn.q"},
    {"attn1.to_k", "self_attn.k"},
    {"attn1.to_v", "self_attn.v"},
    {"attn1.to_out.0", "self_attn.o"},
    {"attn1.norm_q", "self_attn.norm_q"},
    {"attn1.norm_k", "self_attn.norm_k"},
    {"attn2.to_q", "cross_attn.q"},
    {"attn2.to_k", "cross_attn.k"},
    {"attn2.to_v", "cross_attn.v"},
    {"attn2.to_out.0", "cross_attn.o"},
    {"attn2.norm_q", "cross_attn.norm_q"},
    {"attn2.norm_k", "cross_attn.norm_k"},
    {"attn2.add_k_proj", "cross_attn.k_img"},
    {"attn2.add_v_proj", "cross_attn.v_img"},
    {"attn2.norm_added_k", "cross_attn.norm_k_img"},
    {"ffn.net.0.proj", "ffn.0"},
    {"ffn.net.2", "ffn.2"},
    {"norm2", "norm3"},
    {"scale_shift_table", "modulation"},
    {"self_attn.q", "self_attn.q"},
    {"self_attn.k", "self_attn.k"},
    {"self_attn.v", "self_attn.v"},
    {"self_attn.o", "self_attn.o"},
    {"self_attn.norm_q", "self_attn.norm_q"},
    {"self_attn.norm_k", "self_attn.norm_k"},
    {"cross_attn.q", "cross_attn.q"},
    {"cross_attn.k", "cross_attn.k"},
    {"cross_attn.v", "cross_attn.v"},
    {"cross_attn.o", "cross_attn.o"},
    {"cross_attn.norm_q", "cross_attn.norm_q"},
    {"cross_attn.norm_k", "cross_attn.norm_k"},
    {"ffn.0", "ffn.0"},
    {"ffn.2", "ffn.2"},
    {"norm3", "norm3"},
    {"modulation", "modulation"},
    {"to_gate_compress", "to_gate_compress"},
};

/* Length of "blocks.N." at the start of a name; 0 if it does not begin so. */
static size_t block_prefix(const char *name)
{
    static const char word[] = "blocks.";
    size_t            i      = sizeof word - 1;
    if (strncmp(name, word, i) != 0 || !isdigit((unsigned char)name[i])) return 0;
    while (isdigit((unsigned char)name[i]))
        i++;
    return name[i] == '.' ? i + 1 : 0;
}

/* What the row's stem is on one side: where a name comes from, or goes to. */
static const char *side(const rename_row *row, int of_ours)
{
    return of_ours ? row->to : row->from;
}

/* The first row whose stem is all of `name` up to ".weight", ".bias" or the end. */
static const rename_row *find(const rename_row *rows, size_t n, const char *name, int of_ours,
                              const char **rest)
{
    for (size_t i = 0; i < n; i++) {
        const char  *text = side(&rows[i], of_ours);
        const size_t stem = strlen(text);
        if (strncmp(name, text, stem) != 0) continue;
        *rest = name + stem;
        if (**rest == '\0' || strcmp(*rest, ".weight") == 0 || strcmp(*rest, ".bias") == 0)
            return &rows[i];
    }
    return NULL;
}

/* In the tables the rows of diffusers come first, so that the way back finds them. */
static int rename_name(const char *from, int of_ours, char *out, size_t size)
{
    const size_t      head = block_prefix(from);
    const char       *name = from + head;
    const char       *rest = "";
    const rename_row *row =
        head > 0 ? find(inside, sizeof inside / sizeof inside[0], name, of_ours, &rest)
                 : find(top, sizeof top / sizeof top[0], name, of_ours, &rest);
    if (row == NULL) return 0;
    const char *to = side(row, !of_ours);
    if (head + strlen(to) + strlen(rest) >= size) return 0;
    snprintf(out, size, "%.*s%s%s", (int)head, from, to, rest);
    return 1;
}

int fili_names_dit(const char *file_name, char *out, size_t size)
{
    const size_t head = block_prefix(file_name);
    if (head > 0 && strcmp(file_name + head, "attn2.norm_added_q.weight") == 0) return 2;
    return rename_name(file_name, 0, out, size);
}

int fili_names_dit_diffusers(const char *canonical, char *out, size_t size)
{
    return rename_name(canonical, 1, out, size);
}
