/* sparse/rank.c: a heap of keys, and rows filled from it (sparse/rank.h). */
#include <math.h>

#include "sparse/rank.h"

/* NaN stands behind every number. */
static bool before(fili_ranked a, fili_ranked b)
{
    const bool a_nan = isnan(a.key);
    const bool b_nan = isnan(b.key);
    if (a_nan != b_nan) return b_nan;
    if (!a_nan && a.key != b.key) return a.key < b.key;
    return a.index < b.index;
}

static void sift_down(fili_ranked *heap, int32_t n, int32_t at)
{
    const fili_ranked x = heap[at];
    while (at < n / 2) {
        int32_t child = 2 * at + 1;
        if (child + 1 < n && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], x)) break;
        heap[at] = heap[child];
        at       = child;
    }
    heap[at] = x;
}

void fili_rank_begin(fili_ranked *heap, int32_t n)
{
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sift_down(heap, n, i);
}

int32_t fili_rank_next(fili_ranked *heap, int32_t *n)
{
    const int32_t first = heap[0].index;
    heap[0]             = heap[--*n];
    if (*n > 0) sift_down(heap, *n, 0);
    return first;
}

static bool is_uniform(const fili_blocks *blocks)
{
    const int32_t length = fili_blocks_valid(blocks, 0);
    for (int32_t b = 1; b < blocks->m - 1; b++)
        if (fili_blocks_valid(blocks, b) != length) return false;
    return fili_blocks_valid(blocks, blocks->m - 1) <= length;
}

/* As fili_policy_keep_blocks: a density that is a few ulps below k / M means k. */
static int32_t whole_blocks(double density, int32_t m)
{
    const double k = floor(density * (double)m + 1e-9 * (double)m);
    return k < 1.0 ? 1 : k > (double)m ? m : (int32_t)k;
}

fili_row_share fili_row_share_of(const fili_blocks *blocks, double density)
{
    if (is_uniform(blocks))
        return (fili_row_share){.blocks = whole_blocks(density, blocks->m), .tokens = HUGE_VAL};
    return (fili_row_share){.blocks = blocks->m,
                            .tokens = density * (double)fili_blocks_tokens(blocks)};
}

void fili_row_fill(fili_ranked *heap, const fili_blocks *blocks, fili_row_share share,
                   uint32_t *row)
{
    double  left = share.tokens;
    int32_t n    = blocks->m;
    fili_rank_begin(heap, n);
    for (int32_t taken = 0; taken < share.blocks && n > 0; taken++) {
        const int32_t b     = fili_rank_next(heap, &n);
        const double  valid = (double)fili_blocks_valid(blocks, b);
        if (taken > 0 && 2.0 * left < valid) break;
        row[b / 32] |= 1u << (b % 32);
        left -= valid;
    }
}
