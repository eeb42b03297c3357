/* sparse/mask_density.c: how many token pairs a mask keeps (sparse/mask.h).
 *
 * The lengths of 32 key blocks are seven bit planes: bit b of plane p is bit p of the length of
 * block b. Then the tokens of a word of the mask are the sum of popcount(word & plane) << p. Most
 * words of a real order have one plane that is not empty (all runs of 64), so this costs about one
 * popcount a word.
 */
#include <string.h>

#include "sparse/bits.h"
#include "sparse/mask.h"

#define PLANES  7  /* a length is at most 64 */
#define COLUMNS 64 /* words of a row that are summed at a time, to keep the planes on the stack */

typedef struct plane {
    uint32_t bits;
    uint32_t shift;
} plane;

typedef struct plane_set {
    int32_t n_words;
    int32_t first[COLUMNS + 1]; /* planes of word w: first[w] .. first[w + 1] - 1 */
    plane   plane[COLUMNS * PLANES];
} plane_set;

/* The planes that are not empty, for words `begin` and up to COLUMNS - 1 behind it. */
static void make_planes(plane_set *set, const fili_blocks *k, int32_t begin, int32_t words)
{
    int32_t n    = 0;
    set->n_words = words - begin < COLUMNS ? words - begin : COLUMNS;
    for (int32_t w = 0; w < set->n_words; w++) {
        uint32_t      bits[PLANES] = {0};
        const int32_t block        = 32 * (begin + w);
        for (int32_t b = 0; b < 32 && b < k->m - block; b++)
            for (int32_t p = 0; p < PLANES; p++)
                bits[p] |= ((uint32_t)fili_blocks_valid(k, block + b) >> p & 1u) << b;
        set->first[w] = n;
        for (uint32_t p = 0; p < PLANES; p++)
            if (bits[p] != 0) set->plane[n++] = (plane){.bits = bits[p], .shift = p};
    }
    set->first[set->n_words] = n;
}

static uint64_t row_tokens(const plane_set *set, const uint32_t *row)
{
    uint64_t tokens = 0;
    for (int32_t w = 0; w < set->n_words; w++) {
        if (row[w] == 0) continue;
        for (int32_t i = set->first[w]; i < set->first[w + 1]; i++)
            tokens += fili_popcount(row[w] & set->plane[i].bits) << set->plane[i].shift;
    }
    return tokens;
}

static fil_status check_blocks(const fili_mask *mask, const fili_blocks *q, const fili_blocks *k)
{
    if (q->m == mask->mq && k->m == mask->mk) return FIL_OK;
    return FIL_FAIL(mask->ctx, FIL_E_SHAPE, "mask of %d x %d blocks; the sequences have %d and %d",
                    mask->mq, mask->mk, q->m, k->m);
}

fil_status fili_mask_kept(const fili_mask *mask, const fili_blocks *q, const fili_blocks *k,
                          uint64_t *kept)
{
    plane_set set;
    FIL_TRY(check_blocks(mask, q, k));
    memset(kept, 0, (size_t)mask->heads * sizeof *kept);
    for (int32_t begin = 0; begin < mask->words; begin += COLUMNS) {
        make_planes(&set, k, begin, mask->words);
        for (int32_t h = 0; h < mask->heads; h++)
            for (int32_t u = 0; u < mask->mq; u++)
                kept[h] += row_tokens(&set, fili_mask_row(mask, h, u) + begin) *
                           (uint64_t)fili_blocks_valid(q, u);
    }
    return FIL_OK;
}

/* One head at a time, so that no list of heads need be held. */
fil_status fili_mask_density(const fili_mask *mask, const fili_blocks *q, const fili_blocks *k,
                             double *density)
{
    double sum = 0.0;
    *density   = 0.0;
    FIL_TRY(check_blocks(mask, q, k));
    const uint64_t pairs = (uint64_t)fili_blocks_tokens(q) * (uint64_t)fili_blocks_tokens(k);
    for (int32_t h = 0; h < mask->heads; h++) {
        fili_mask one = *mask;
        uint64_t  kept;
        one.heads = 1;
        one.bits  = fili_mask_row(mask, h, 0);
        FIL_TRY(fili_mask_kept(&one, q, k, &kept));
        sum += (double)kept / (double)pairs;
    }
    *density = sum / (double)mask->heads;
    return FIL_OK;
}
