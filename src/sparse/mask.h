/* sparse/mask.h: which key blocks each query block keeps, one bit per pair and head.
 *
 * bits [H, Mq, W] u32, W = ceil(Mk / 32); bit b of word w is key block 32w + b (ScalingAttention's
 * compressed row mask). H = 1 stands for all heads alike. The bits of the last word beyond Mk are 0
 * at all times, so that a kernel may walk words without looking at Mk: every function here keeps
 * that, and fili_mask_check tests words that came from elsewhere. Blocks are just numbers here;
 * only the figures in token pairs ask how long they are.
 */
#ifndef FILI_SPARSE_MASK_H
#define FILI_SPARSE_MASK_H

#include "sparse/blocks.h"

typedef struct fili_mask {
    fil_ctx  *ctx;
    int32_t   heads; /* 1 = shared by all heads */
    int32_t   mq, mk;
    int32_t   words; /* of a row */
    uint32_t *bits;  /* [heads, mq, words] */
    size_t    bytes; /* of bits if the mask owns them; 0 = a view of another's */
} fili_mask;

/* Words of a row of mk bits. */
static inline int32_t fili_mask_words(int32_t mk)
{
    return mk / 32 + (mk % 32 != 0);
}

/* Row q of head h; any h where the mask is shared. q < mq. */
static inline uint32_t *fili_mask_row(const fili_mask *mask, int32_t h, int32_t q)
{
    const size_t head = mask->heads == 1 ? 0 : (size_t)h;
    return mask->bits + (head * (size_t)mask->mq + (size_t)q) * (size_t)mask->words;
}

/* ---- life ----------------------------------------------------------------------------------- */

/* An empty mask. E_ARG: a size below 1; E_NOMEM. On failure *out is empty. */
FIL_MUSTCHECK fil_status fili_mask_init(fili_mask *out, fil_ctx *ctx, int32_t heads, int32_t mq,
                                        int32_t mk);
/* Idempotent; a zeroed mask is accepted. A view frees nothing. */
void fili_mask_fini(fili_mask *mask);

/* E_ARG: a bit beyond mk is set, and where. For words that were not made here. */
FIL_MUSTCHECK fil_status fili_mask_check(const fili_mask *mask);

/* ---- bits ----------------------------------------------------------------------------------- */

void fili_mask_clear(fili_mask *mask);
void fili_mask_fill(fili_mask *mask);
/* E_ARG: outside the mask. For a shared mask h is 0. */
FIL_MUSTCHECK fil_status fili_mask_set(fili_mask *mask, int32_t h, int32_t q, int32_t k, bool on);
/* false outside the mask; any h >= 0 where it is shared. */
bool fili_mask_get(const fili_mask *mask, int32_t h, int32_t q, int32_t k);

/* ---- sets ----------------------------------------------------------------------------------- */

/* dst becomes dst with other. `other` may be shared where dst is not. E_SHAPE: sizes differ; dst is
 * then as it was. dst and other may be the same. */
FIL_MUSTCHECK fil_status fili_mask_union(fili_mask *dst, const fili_mask *other);
FIL_MUSTCHECK fil_status fili_mask_intersect(fili_mask *dst, const fili_mask *other);
FIL_MUSTCHECK fil_status fili_mask_subtract(fili_mask *dst, const fili_mask *other);
FIL_MUSTCHECK fil_status fili_mask_copy(fili_mask *dst, const fili_mask *other);
void                     fili_mask_complement(fili_mask *mask);

/* The same pairs for every head; a shared mask equals one whose heads are all like it. Masks of
 * different mq, mk or (both above 1) heads are not equal. */
bool fili_mask_equal(const fili_mask *a, const fili_mask *b);

/* Head `head` of src for all heads of dst. E_ARG: no such head; E_SHAPE. Not in place. */
FIL_MUSTCHECK fil_status fili_mask_spread(fili_mask *dst, const fili_mask *src, int32_t head);

/* ---- rows ----------------------------------------------------------------------------------- */

/* count[heads, mq]: key blocks of each row. */
void fili_mask_counts(const fili_mask *mask, int32_t *count);

/* Key blocks of one row, ascending, into list[mk]; returns how many. */
int32_t fili_mask_list(const fili_mask *mask, int32_t h, int32_t q, int32_t *list);

/* row[words] = union of rows q .. q + n - 1 of head h (those below mq), for kernels that share key
 * blocks among neighbouring query blocks; returns its number of blocks. */
int32_t fili_mask_rows_union(const fili_mask *mask, int32_t h, int32_t q, int32_t n, uint32_t *row);

/* ---- other shapes --------------------------------------------------------------------------- */

/* dst [H, Mk, ceil(Mq / 32)]: bit q of row k = bit k of row q. E_SHAPE. Not in place. */
FIL_MUSTCHECK fil_status fili_mask_transpose(fili_mask *dst, const fili_mask *src);

/* From pairs of blocks to blocks: src has ceil(mq / 2) and ceil(mk / 2) of dst's. E_SHAPE. */
FIL_MUSTCHECK fil_status fili_mask_expand(fili_mask *dst, const fili_mask *src);

/* ---- density -------------------------------------------------------------------------------- */

/* kept[heads] = number of (query token, key token) pairs inside the kept blocks, exact.
 * E_SHAPE: blocks and mask do not agree. */
FIL_MUSTCHECK fil_status fili_mask_kept(const fili_mask *mask, const fili_blocks *q,
                                        const fili_blocks *k, uint64_t *kept);

/* Kept pairs over all pairs, mean of the heads: exactly 1 for a full mask, exactly 0 for an empty
 * one. E_SHAPE. */
FIL_MUSTCHECK fil_status fili_mask_density(const fili_mask *mask, const fili_blocks *q,
                                           const fili_blocks *k, double *density);

#endif
