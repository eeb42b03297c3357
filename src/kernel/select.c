/* kernel/select.c: the table of selection rows, from the list in select.inc, and the k largest by
 * their digits: O(mk), whatever k is. */
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

/* Which keys are kept: those whose digits `mask` exceed `limit`, and the first `ties` of those
 * whose digits equal it. */
typedef struct cut {
    uint32_t mask, limit;
    int32_t  ties;
} cut;

/* Digit by digit from the top: the digits of the keep-th largest, until all that share them are
 * kept. Keys that do not share them count in a bin of their own, without a branch. */
static cut cut_of(const float *score, int32_t mk, int32_t keep)
{
    cut c = {.ties = keep};
    for (int shift = 24;; shift -= 8) {
        int32_t  n[257] = {0};
        uint32_t digit  = 255;
        for (int32_t b = 0; b < mk; b++) {
            const uint32_t key = key_of(score[b]);
            n[(key & c.mask) == c.limit ? key >> shift & 255u : 256u]++;
        }
        while (n[digit] < c.ties)
            c.ties -= n[digit--];
        c.mask |= 255u << shift;
        c.limit |= digit << shift;
        if (n[digit] == c.ties || shift == 0) return c;
    }
}

void filk_select_top(const float *score, int32_t mk, int32_t keep, uint32_t *row)
{
    cut c = cut_of(score, mk, keep);
    for (int32_t first = 0; first < mk; first += 32) {
        const int32_t n    = mk - first < 32 ? mk - first : 32;
        uint32_t      word = 0;
        for (int32_t b = 0; b < n; b++) {
            const uint32_t digits = key_of(score[first + b]) & c.mask;
            const uint32_t tie    = digits == c.limit;
            word |= ((uint32_t)(digits > c.limit) | (tie & (uint32_t)(c.ties > 0))) << b;
            c.ties -= (int32_t)tie;
        }
        row[first / 32] = word;
    }
}
