/* sparse/mask.c: life, bits and set operations of masks (sparse/mask.h).
 * Density: mask_density.c. Transpose and expansion: mask_shape.c.
 */
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "sparse/bits.h"
#include "sparse/mask.h"

fil_status fili_mask_init(fili_mask *out, fil_ctx *ctx, int32_t heads, int32_t mq, int32_t mk)
{
    size_t rows;
    size_t words;
    void  *block;
    *out = (fili_mask){.ctx = ctx};
    FIL_CHECK(ctx, heads >= 1 && mq >= 1 && mk >= 1,
              "mask of %d heads, %d query blocks, %d key blocks; expected at least 1 of each",
              heads, mq, mk);
    const int32_t w = fili_mask_words(mk);
    if (!fili_mul_size((size_t)heads, (size_t)mq, &rows) || !fili_mul_size(rows, (size_t)w, &words))
        return FIL_FAIL(ctx, FIL_E_NOMEM,
                        "mask of %d heads, %d x %d blocks exceeds the address space", heads, mq,
                        mk);
    FIL_TRY(fili_calloc(ctx, words, sizeof *out->bits, "mask", &block));
    *out = (fili_mask){.ctx   = ctx,
                       .heads = heads,
                       .mq    = mq,
                       .mk    = mk,
                       .words = w,
                       .bits  = block,
                       .bytes = words * sizeof *out->bits};
    return FIL_OK;
}

void fili_mask_fini(fili_mask *mask)
{
    if (mask->bytes != 0) fili_free(mask->ctx, mask->bits, mask->bytes);
    *mask = (fili_mask){.ctx = mask->ctx};
}

static size_t head_words(const fili_mask *mask)
{
    return (size_t)mask->mq * (size_t)mask->words;
}

static size_t all_words(const fili_mask *mask)
{
    return (size_t)mask->heads * head_words(mask);
}

/* Bits of the last word of a row that stand for key blocks. */
static uint32_t last_word_bits(const fili_mask *mask)
{
    return fili_low_bits(mask->mk - 32 * (mask->words - 1));
}

fil_status fili_mask_check(const fili_mask *mask)
{
    const uint32_t beyond = ~last_word_bits(mask);
    for (int32_t h = 0; h < mask->heads; h++)
        for (int32_t q = 0; q < mask->mq; q++) {
            const uint32_t stray = fili_mask_row(mask, h, q)[mask->words - 1] & beyond;
            FIL_CHECK(mask->ctx, stray == 0,
                      "mask: head %d, query block %d keeps key block %lld; there are %d", h, q,
                      32ll * (mask->words - 1) + fili_lowest_bit(stray), mask->mk);
        }
    return FIL_OK;
}

/* ---- bits ----------------------------------------------------------------------------------- */

void fili_mask_clear(fili_mask *mask)
{
    memset(mask->bits, 0, all_words(mask) * sizeof *mask->bits);
}

static void trim(fili_mask *mask)
{
    const uint32_t keep = last_word_bits(mask);
    const size_t   rows = (size_t)mask->heads * (size_t)mask->mq;
    const size_t   w    = (size_t)mask->words;
    if (keep == UINT32_MAX) return;
    for (size_t r = 0; r < rows; r++)
        mask->bits[r * w + w - 1] &= keep;
}

void fili_mask_fill(fili_mask *mask)
{
    memset(mask->bits, 0xff, all_words(mask) * sizeof *mask->bits);
    trim(mask);
}

fil_status fili_mask_set(fili_mask *mask, int32_t h, int32_t q, int32_t k, bool on)
{
    FIL_CHECK(mask->ctx,
              h >= 0 && h < mask->heads && q >= 0 && q < mask->mq && k >= 0 && k < mask->mk,
              "mask: head %d, blocks %d x %d; the mask has %d heads, %d x %d blocks", h, q, k,
              mask->heads, mask->mq, mask->mk);
    uint32_t      *word = &fili_mask_row(mask, h, q)[k / 32];
    const uint32_t bit  = 1u << (k % 32);
    *word               = on ? *word | bit : *word & ~bit;
    return FIL_OK;
}

bool fili_mask_get(const fili_mask *mask, int32_t h, int32_t q, int32_t k)
{
    if (h < 0 || (h >= mask->heads && mask->heads != 1) || q < 0 || q >= mask->mq || k < 0 ||
        k >= mask->mk)
        return false;
    return (fili_mask_row(mask, h, q)[k / 32] >> (k % 32) & 1u) != 0;
}

/* ---- sets ----------------------------------------------------------------------------------- */

static fil_status check_same(const fili_mask *dst, const fili_mask *other)
{
    if (dst->mq == other->mq && dst->mk == other->mk &&
        (other->heads == 1 || other->heads == dst->heads))
        return FIL_OK;
    return FIL_FAIL(dst->ctx, FIL_E_SHAPE,
                    "masks do not agree: %d heads, %d x %d blocks, and %d heads, %d x %d blocks",
                    dst->heads, dst->mq, dst->mk, other->heads, other->mq, other->mk);
}

static void or_words(uint32_t *dst, const uint32_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] |= src[i];
}

static void and_words(uint32_t *dst, const uint32_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] &= src[i];
}

static void and_not_words(uint32_t *dst, const uint32_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] &= ~src[i];
}

static void copy_words(uint32_t *dst, const uint32_t *src, size_t n)
{
    if (dst != src) memcpy(dst, src, n * sizeof *dst);
}

static fil_status combine(fili_mask *dst, const fili_mask *other,
                          void (*words)(uint32_t *dst, const uint32_t *src, size_t n))
{
    FIL_TRY(check_same(dst, other));
    for (int32_t h = 0; h < dst->heads; h++)
        words(fili_mask_row(dst, h, 0), fili_mask_row(other, h, 0), head_words(dst));
    return FIL_OK;
}

fil_status fili_mask_union(fili_mask *dst, const fili_mask *other)
{
    return combine(dst, other, or_words);
}

fil_status fili_mask_intersect(fili_mask *dst, const fili_mask *other)
{
    return combine(dst, other, and_words);
}

fil_status fili_mask_subtract(fili_mask *dst, const fili_mask *other)
{
    return combine(dst, other, and_not_words);
}

fil_status fili_mask_copy(fili_mask *dst, const fili_mask *other)
{
    return combine(dst, other, copy_words);
}

void fili_mask_complement(fili_mask *mask)
{
    const size_t n = all_words(mask);
    for (size_t i = 0; i < n; i++)
        mask->bits[i] = ~mask->bits[i];
    trim(mask);
}

bool fili_mask_equal(const fili_mask *a, const fili_mask *b)
{
    if (a->mq != b->mq || a->mk != b->mk) return false;
    if (a->heads != b->heads && a->heads != 1 && b->heads != 1) return false;
    const int32_t heads = a->heads > b->heads ? a->heads : b->heads;
    for (int32_t h = 0; h < heads; h++)
        if (memcmp(fili_mask_row(a, h, 0), fili_mask_row(b, h, 0),
                   head_words(a) * sizeof *a->bits) != 0)
            return false;
    return true;
}

fil_status fili_mask_spread(fili_mask *dst, const fili_mask *src, int32_t head)
{
    FIL_CHECK(dst->ctx, head >= 0 && (head < src->heads || src->heads == 1),
              "mask: head %d; the mask has %d", head, src->heads);
    fili_mask one = *src;
    one.heads     = 1;
    one.bytes     = 0;
    one.bits      = fili_mask_row(src, head, 0);
    return fili_mask_copy(dst, &one);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int32_t count_words(const uint32_t *row, int32_t words)
{
    uint32_t n = 0;
    for (int32_t w = 0; w < words; w++)
        n += fili_popcount(row[w]);
    return (int32_t)n;
}

void fili_mask_counts(const fili_mask *mask, int32_t *count)
{
    const size_t rows = (size_t)mask->heads * (size_t)mask->mq;
    for (size_t r = 0; r < rows; r++)
        count[r] = count_words(mask->bits + r * (size_t)mask->words, mask->words);
}

int32_t fili_mask_list(const fili_mask *mask, int32_t h, int32_t q, int32_t *list)
{
    const uint32_t *row = fili_mask_row(mask, h, q);
    int32_t         n   = 0;
    for (int32_t w = 0; w < mask->words; w++)
        for (uint32_t left = row[w]; left != 0; left &= left - 1)
            list[n++] = 32 * w + fili_lowest_bit(left);
    return n;
}

int32_t fili_mask_rows_union(const fili_mask *mask, int32_t h, int32_t q, int32_t n, uint32_t *row)
{
    const int32_t end = n < mask->mq - q ? q + n : mask->mq;
    memset(row, 0, (size_t)mask->words * sizeof *row);
    for (int32_t r = q; r < end; r++)
        or_words(row, fili_mask_row(mask, h, r), (size_t)mask->words);
    return count_words(row, mask->words);
}
