/* sparse/mask_shape.c: masks seen from the keys, and masks over pairs of blocks (sparse/mask.h). */
#include <string.h>

#include "sparse/bits.h"
#include "sparse/mask.h"

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* ---- transpose ------------------------------------------------------------------------------ */

/* Words of 32 query rows at one column, turned into words of 32 key rows. */
static void transpose_tile(fili_mask *dst, const fili_mask *src, int32_t h, int32_t q, int32_t k)
{
    uint32_t      tile[32];
    const int32_t rows = least(32, src->mq - q);
    const int32_t cols = least(32, src->mk - k);
    memset(tile, 0, sizeof tile);
    for (int32_t i = 0; i < rows; i++)
        tile[i] = fili_mask_row(src, h, q + i)[k / 32];
    fili_transpose_32x32(tile);
    for (int32_t i = 0; i < cols; i++)
        fili_mask_row(dst, h, k + i)[q / 32] = tile[i];
}

fil_status fili_mask_transpose(fili_mask *dst, const fili_mask *src)
{
    if (dst->heads != src->heads || dst->mq != src->mk || dst->mk != src->mq)
        return FIL_FAIL(dst->ctx, FIL_E_SHAPE,
                        "transpose of %d heads, %d x %d blocks into %d heads, %d x %d blocks",
                        src->heads, src->mq, src->mk, dst->heads, dst->mq, dst->mk);
    for (int32_t h = 0; h < src->heads; h++)
        for (int32_t q = 0; q < dst->words; q++)
            for (int32_t k = 0; k < src->words; k++)
                transpose_tile(dst, src, h, 32 * q, 32 * k);
    return FIL_OK;
}

/* ---- pairs of blocks ------------------------------------------------------------------------ */

static void expand_row(uint32_t *dst, const uint32_t *src, int32_t words)
{
    for (int32_t w = 0; w < words; w++)
        dst[w] = fili_double_bits(src[w / 2] >> (w % 2 * 16));
}

fil_status fili_mask_expand(fili_mask *dst, const fili_mask *src)
{
    if (dst->heads != src->heads || src->mq != dst->mq / 2 + dst->mq % 2 ||
        src->mk != dst->mk / 2 + dst->mk % 2)
        return FIL_FAIL(dst->ctx, FIL_E_SHAPE,
                        "%d heads, %d x %d pairs of blocks do not make %d heads, %d x %d blocks",
                        src->heads, src->mq, src->mk, dst->heads, dst->mq, dst->mk);
    const uint32_t keep = fili_low_bits(dst->mk - 32 * (dst->words - 1));
    for (int32_t h = 0; h < dst->heads; h++)
        for (int32_t q = 0; q < dst->mq; q++) {
            uint32_t *row = fili_mask_row(dst, h, q);
            expand_row(row, fili_mask_row(src, h, q / 2), dst->words);
            row[dst->words - 1] &= keep; /* the last pair may be half a pair */
        }
    return FIL_OK;
}
