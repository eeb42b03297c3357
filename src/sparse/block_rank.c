/* sparse/block_rank.c: sorting block pairs and spending budgets on them (sparse/block_rank.h).
 * Radix sort, lowest digits first, which keeps the order of equal keys.
 */
#include <string.h>

#include "kernel/select.h"
#include "sparse/block_rank.h"

enum { DIGIT = 11, BINS = 1 << DIGIT };

static fil_status take(fili_arena *arena, int32_t m, size_t size, void **out)
{
    return fili_arena_calloc(arena, (size_t)m, (size_t)m * size, out);
}

fil_status fili_block_rank_init(fili_block_rank *out, fili_arena *arena, int32_t m)
{
    void *block;
    *out = (fili_block_rank){.m = m};
    for (int i = 0; i < 2; i++) {
        FIL_TRY(take(arena, m, sizeof(uint32_t), &block));
        out->key[i] = block;
        FIL_TRY(take(arena, m, sizeof(int32_t), &block));
        out->index[i] = block;
    }
    FIL_TRY(take(arena, m, 1, &block));
    out->level = block;
    return FIL_OK;
}

/* Keys fall as values rise, so that the best come first. The best of the row gets 0. */
static void key_row(fili_block_rank *rank, const float *score, const int32_t *tiles, int32_t u)
{
    const int32_t m    = rank->m;
    uint32_t     *key  = rank->key[0] + (int64_t)u * m;
    int32_t       best = 0;
    for (int32_t v = 0; v < m; v++) {
        const float of_pairs = (float)(tiles[u + 1] - tiles[u]) * (float)(tiles[v + 1] - tiles[v]);
        const float value    = score[(int64_t)u * m + v] / of_pairs;
        uint32_t    bits;
        memcpy(&bits, &value, sizeof bits);
        key[v]                             = ~filk_select_key(bits);
        rank->index[0][(int64_t)u * m + v] = u * m + v;
        if (key[v] < key[best]) best = v;
    }
    key[best] = 0;
}

static void sort_digit(fili_block_rank *rank, int from, int shift)
{
    const int64_t   n          = (int64_t)rank->m * rank->m;
    const uint32_t *key        = rank->key[from];
    int32_t         next[BINS] = {0};
    int32_t         sum        = 0;
    for (int64_t i = 0; i < n; i++)
        next[key[i] >> shift & (BINS - 1)]++;
    for (int b = 0; b < BINS; b++) {
        const int32_t count = next[b];
        next[b]             = sum;
        sum += count;
    }
    for (int64_t i = 0; i < n; i++) {
        const int32_t to          = next[key[i] >> shift & (BINS - 1)]++;
        rank->key[1 - from][to]   = key[i];
        rank->index[1 - from][to] = rank->index[from][i];
    }
}

void fili_block_rank_sort(fili_block_rank *rank, const float *score, const int32_t *tiles)
{
    for (int32_t u = 0; u < rank->m; u++)
        key_row(rank, score, tiles, u);
    sort_digit(rank, 0, 0);
    sort_digit(rank, 1, DIGIT);
    sort_digit(rank, 0, 2 * DIGIT);
    /* Three passes end in the other half. */
    uint32_t *key   = rank->key[0];
    int32_t  *index = rank->index[0];
    rank->key[0]    = rank->key[1];
    rank->index[0]  = rank->index[1];
    rank->key[1]    = key;
    rank->index[1]  = index;
}

void fili_block_rank_levels(fili_block_rank *rank, const int32_t *rows, const int32_t *columns,
                            const double *budget, int32_t n)
{
    const int64_t pairs = (int64_t)rank->m * rank->m;
    double        spent = 0.0;
    int32_t       level = 0;
    for (int64_t i = 0; i < pairs; i++) {
        const int32_t at = rank->index[0][i];
        const int32_t u  = at / rank->m;
        spent += (double)rows[u] * (double)columns[at % rank->m];
        while (level < n && spent > budget[level])
            level++;
        rank->level[at] = (uint8_t)level;
    }
}
