/* wan/umt5_fingerprint.c: what the encoder computes here, in one hash (umt5.h).
 *
 * A miniature of one layer, with weights that are exact in BF16, encodes a few tokens: the
 * products, norms and softmax of its rows are those of the real one, on the instruction set or
 * device at hand.
 */
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "wan/umt5.h"

enum { TOKENS = 11, VOCAB = 16, DIM = 256, HEADS = 2, INNER = 128, FFN = 512, BUCKETS = 32 };

static const struct {
    const char *name;
    uint32_t    rank;
    int64_t     shape[2];
} parts[] = {{"token_embedding.weight", 2, {VOCAB, DIM}},
             {"norm.weight", 1, {DIM}},
             {"blocks.0.norm1.weight", 1, {DIM}},
             {"blocks.0.norm2.weight", 1, {DIM}},
             {"blocks.0.pos_embedding.embedding.weight", 2, {BUCKETS, HEADS}},
             {"blocks.0.attn.q.weight", 2, {INNER, DIM}},
             {"blocks.0.attn.k.weight", 2, {INNER, DIM}},
             {"blocks.0.attn.v.weight", 2, {INNER, DIM}},
             {"blocks.0.attn.o.weight", 2, {DIM, INNER}},
             {"blocks.0.ffn.gate.0.weight", 2, {FFN, DIM}},
             {"blocks.0.ffn.fc1.weight", 2, {FFN, DIM}},
             {"blocks.0.ffn.fc2.weight", 2, {DIM, FFN}}};

enum { PARTS = sizeof parts / sizeof parts[0] };

static int64_t elements(int i)
{
    return parts[i].shape[0] * (parts[i].rank == 2 ? parts[i].shape[1] : 1);
}

/* Multiples of 1 / 512 from -1/8 up to 1/8: seven bits of mantissa hold them. */
static fil_status make_weights(fil_ctx *ctx, uint16_t *values, fili_weights **out)
{
    fili_made_tensor made[PARTS];
    for (int i = 0; i < PARTS; i++) {
        made[i] = (fili_made_tensor){
            .name = parts[i].name, .dtype = FIL_BF16, .rank = parts[i].rank, .data = values};
        memcpy(made[i].shape, parts[i].shape, sizeof parts[i].shape);
        for (int64_t k = 0; k < elements(i); k++, values++) {
            const uint32_t random = fili_philox_u32(1, (uint64_t)i, (uint64_t)k);
            const float    value  = (float)((int32_t)(random >> 25) - 64) / 512.0f;
            uint32_t       bits;
            memcpy(&bits, &value, sizeof bits);
            *values = (uint16_t)(bits >> 16);
        }
    }
    return fili_weights_make(ctx, FILI_PART_T5, made, PARTS, NULL, out);
}

static fil_status encode(fil_ctx *ctx, fil_dtype precision, uint16_t *values, float *rows)
{
    static const int32_t ids[TOKENS] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 0};
    fili_weights        *w           = NULL;
    fili_umt5           *u           = NULL;
    fil_status           status      = make_weights(ctx, values, &w);
    if (status == FIL_OK) status = fili_umt5_open(ctx, w, precision, &u);
    if (status == FIL_OK) status = fili_umt5_encode(u, ids, TOKENS, rows);
    fili_umt5_close(&u);
    fili_weights_close(&w);
    return status;
}

fil_status fili_umt5_fingerprint(fil_ctx *ctx, fil_dtype precision, fili_sha256 *h)
{
    const fil_progress_fn progress = ctx->opt.progress;
    float                 rows[TOKENS * DIM];
    size_t                n = 0;
    void                 *values;
    for (int i = 0; i < PARTS; i++)
        n += (size_t)elements(i);
    FIL_TRY(fili_alloc(ctx, n * sizeof(uint16_t), "a text encoder in miniature", &values));
    ctx->opt.progress       = NULL; /* nobody waits for this one */
    const fil_status status = encode(ctx, precision, values, rows);
    ctx->opt.progress       = progress;
    fili_free(ctx, values, n * sizeof(uint16_t));
    if (status == FIL_OK) fili_sha256_add(h, rows, sizeof rows);
    return status;
}
