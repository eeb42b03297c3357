/* kernel/select.c: the table of selection rows, from the list in select.inc, and the k largest. */
#include <string.h>

#include "kernel/select.h"

static const filk_row rows[] = {
#define FILK_SELECT(stem, level, rank) FILK_ROW_OF(stem, level, rank)
#include "kernel/select.inc"
#undef FILK_SELECT
};

const filk_family filk_selection = {
    .name = "select", .rows = rows, .n_rows = sizeof rows / sizeof rows[0]};

static uint32_t key_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return filk_select_key(bits);
}

/* The key of the keep-th largest: the highest one that at least `keep` numbers reach. */
static uint32_t threshold_of(const float *score, int32_t mk, int32_t keep)
{
    uint32_t key = 0;
    for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
        int32_t n = 0;
        for (int32_t b = 0; b < mk; b++)
            n += key_of(score[b]) >= (key | bit);
        if (n >= keep) key |= bit;
    }
    return key;
}

void filk_select_top(const float *score, int32_t mk, int32_t keep, uint32_t *row)
{
    const uint32_t limit = threshold_of(score, mk, keep);
    int32_t        ties  = keep;
    memset(row, 0, sizeof(uint32_t) * (size_t)((mk + 31) / 32));
    for (int32_t b = 0; b < mk; b++)
        ties -= key_of(score[b]) > limit;
    for (int32_t b = 0; b < mk; b++) {
        const uint32_t key  = key_of(score[b]);
        const int      kept = key > limit || (key == limit && ties > 0);
        if (key == limit) ties--;
        if (kept) row[b / 32] |= 1u << (b % 32);
    }
}
